/*
 * applier/monitor/stats.c - numbers for the monitoring functions that only C
 * can see: change buffers, shared memory, parsed schedules.
 *
 * Everything here is readable by everybody and shows nothing but numbers.  The
 * SQL section "monitor" makes tables of them.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"
#include "utils/xid8.h"

#include "applier/capture/capture.h"
#include "applier/catalog/catalog.h"
#include "applier/refresh/refresh.h"
#include "applier/schedule/schedule.h"
#include "applier/settings.h"

PG_FUNCTION_INFO_V1(pgt_monitor_buffer_stats);
PG_FUNCTION_INFO_V1(pgt_monitor_schedule_seconds);
PG_FUNCTION_INFO_V1(pgt_monitor_ages_by_itself);
PG_FUNCTION_INFO_V1(pgt_monitor_workers);

static Datum
make_row(FunctionCallInfo fcinfo, Datum *values, bool *nulls)
{
	TupleDesc	desc;

	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");
	return HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(desc), values, nulls));
}

static Datum
time_or_null(TimestampTz when, bool *isnull)
{
	*isnull = when == 0;
	return TimestampTzGetDatum(when);
}

/* The frontier as its columns in pgt_progress give it; NULL: never filled. */
static PgtFrontier *
frontier_arg(FunctionCallInfo fcinfo)
{
	FullTransactionId own = InvalidFullTransactionId;

	if (PG_ARGISNULL(1))
		return NULL;
	if (!PG_ARGISNULL(2))
		own = PG_GETARG_FULLTRANSACTIONID(2);
	return pgt_frontier_from_datum(PG_GETARG_DATUM(1), own,
								   PG_ARGISNULL(3) ? 0 : PG_GETARG_INT32(3));
}

/* _buffer_stats(source, frontier, own_xid, own_batches) */
Datum
pgt_monitor_buffer_stats(PG_FUNCTION_ARGS)
{
	int64		pending = 0;
	int64		bytes = 0;
	TimestampTz oldest = 0;
	TimestampTz last = 0;
	Datum		values[4];
	bool		nulls[4] = {0};

	if (!PG_ARGISNULL(0) && pgt_is_source(PG_GETARG_OID(0)))
		pgt_buffer_stats(PG_GETARG_OID(0), frontier_arg(fcinfo), &pending,
						 &bytes, &oldest, &last);
	values[0] = Int64GetDatum(pending);
	values[1] = Int64GetDatum(bytes);
	values[2] = time_or_null(oldest, &nulls[2]);
	values[3] = time_or_null(last, &nulls[3]);
	return make_row(fcinfo, values, nulls);
}

/* _schedule_seconds(text): continuous counts as 0, a cron line as its next two
 * times are apart */
Datum
pgt_monitor_schedule_seconds(PG_FUNCTION_ARGS)
{
	PgtSchedule schedule = {.kind = PGT_SCHEDULE_CALCULATED};

	if (!PG_ARGISNULL(0) &&
		!pgt_schedule_try_parse(text_to_cstring(PG_GETARG_TEXT_PP(0)), &schedule))
		PG_RETURN_NULL();
	PG_RETURN_FLOAT8(pgt_schedule_period_ms(&schedule) / 1000.0);
}

/* _ages_by_itself(pgt_id) */
Datum
pgt_monitor_ages_by_itself(PG_FUNCTION_ARGS)
{
	PgtStreamTable *st = pgt_stream_table_get(PG_GETARG_INT64(0), true);

	PG_RETURN_BOOL(st != NULL && pgt_refresh_ages_by_itself(st));
}

/* _workers(): of this database */
Datum
pgt_monitor_workers(PG_FUNCTION_ARGS)
{
	int			idle = 0;
	int			queued = 0;
	int			active = pgt_pool_active(MyDatabaseId, &idle, &queued);
	Datum		values[5];
	bool		nulls[5] = {0};

	values[0] = BoolGetDatum(pgt_scheduler_running(MyDatabaseId));
	values[1] = Int32GetDatum(active);
	values[2] = Int32GetDatum(idle);
	values[3] = Int32GetDatum(queued);
	values[4] = time_or_null(pgt_pool_starved_since(MyDatabaseId), &nulls[4]);
	return make_row(fcinfo, values, nulls);
}
