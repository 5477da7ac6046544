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
#include "utils/builtins.h"

#include "applier/capture/cdc.h"

PG_FUNCTION_INFO_V1(pgt_monitor_cdc_decision);

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
	TupleDesc	desc;
	Datum		values[2];
	bool		nulls[2] = {true, true};

	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");
	if (source != NULL && strcmp(source->cdc_mode, "STREAM") != 0)
	{
		pgt_cdc_decide(source, &d);
		nulls[0] = false;
		values[0] = CStringGetTextDatum(mode_name(d.wanted));
		nulls[1] = d.blocked_reason == NULL;
		if (d.blocked_reason != NULL)
			values[1] = CStringGetTextDatum(d.blocked_reason);
	}
	PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(desc), values, nulls)));
}
