/*
 * applier/monitor/cdc.c - how sources are captured and why, for the monitoring
 * functions.
 *
 * The decision is made anew when it is asked for, with the settings of the
 * session that asks: what stands in pgt_sources is what the scheduler has made
 * of it so far.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/pg_lsn.h"
#include "utils/timestamp.h"

#include "applier/capture/cdc.h"
#include "applier/capture/wal.h"

PG_FUNCTION_INFO_V1(pgt_monitor_cdc_decision);
PG_FUNCTION_INFO_V1(pgt_monitor_decoder);

static Datum
make_row(FunctionCallInfo fcinfo, Datum *values, bool *nulls)
{
	TupleDesc	desc;

	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");
	return HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(desc), values, nulls));
}

static const char *
mode_name(PgtCdcMode mode)
{
	switch (mode)
	{
		case PGT_CDC_AUTO:
			return "auto";
		case PGT_CDC_TRIGGER:
			return "trigger";
		case PGT_CDC_WAL:
			return "wal";
	}
	return NULL;
}

/* _cdc_decision(source): NULLs for what is no captured table */
Datum
pgt_monitor_cdc_decision(PG_FUNCTION_ARGS)
{
	PgtSource  *source = pgt_source_get(PG_GETARG_OID(0), true);
	PgtCdcDecision d;
	Datum		values[2];
	bool		nulls[2] = {true, true};

	if (source != NULL && strcmp(source->cdc_mode, "STREAM") != 0)
	{
		pgt_cdc_decide(source, &d);
		nulls[0] = false;
		values[0] = CStringGetTextDatum(mode_name(d.wanted));
		nulls[1] = d.blocked_reason == NULL;
		if (d.blocked_reason != NULL)
			values[1] = CStringGetTextDatum(d.blocked_reason);
	}
	PG_RETURN_DATUM(make_row(fcinfo, values, nulls));
}

/* _decoder(): what this database's decoder says of itself; NULLs where there
 * is none */
Datum
pgt_monitor_decoder(PG_FUNCTION_ARGS)
{
	PgtWalStatus status;
	Datum		values[6];
	bool		nulls[6] = {0};

	pgt_wal_status(MyDatabaseId, &status);
	nulls[0] = status.pid == 0;
	values[0] = Int32GetDatum(status.pid);
	nulls[1] = XLogRecPtrIsInvalid(status.reached);
	values[1] = LSNGetDatum(status.reached);
	nulls[2] = nulls[3] = status.state == PGT_WAL_ABSENT;
	values[2] = Int64GetDatum(status.changes);
	values[3] = Int64GetDatum(status.bytes);
	nulls[4] = status.caught_up_at == 0;
	values[4] = TimestampTzGetDatum(status.caught_up_at);
	nulls[5] = status.message[0] == '\0';
	values[5] = CStringGetTextDatum(status.message);
	PG_RETURN_DATUM(make_row(fcinfo, values, nulls));
}
