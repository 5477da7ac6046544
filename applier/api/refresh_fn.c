/*
 * applier/api/refresh_fn.c - refresh_stream_table.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "funcapi.h"
#include "utils/builtins.h"

#include "applier/api/names.h"
#include "applier/refresh/refresh.h"

PG_FUNCTION_INFO_V1(pgt_refresh);

static PgtRefreshMode
mode_arg(FunctionCallInfo fcinfo, const PgtStreamTable *st)
{
	char	   *mode;

	if (PG_ARGISNULL(1))
		return PGT_REFRESH_DEFAULT;
	mode = text_to_cstring(PG_GETARG_TEXT_PP(1));
	if (pg_strcasecmp(mode, "FULL") == 0)
		return PGT_REFRESH_FULL;
	if (pg_strcasecmp(mode, "DIFFERENTIAL") != 0 && pg_strcasecmp(mode, "INCREMENTAL") != 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("invalid mode: \"%s\"", mode),
				 errhint("Valid values are DIFFERENTIAL and FULL.")));
	if (strcmp(st->effective_mode, "FULL") == 0)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("cannot refresh stream table \"%s\" differentially", st->name),
				 st->effective_mode_reason ? errdetail("%s.", st->effective_mode_reason) : 0,
				 errhint("Use mode FULL, or alter the stream table's refresh_mode.")));
	return PGT_REFRESH_DIFFERENTIAL;
}

Datum
pgt_refresh(PG_FUNCTION_ARGS)
{
	PgtStreamTable *st;
	PgtRefreshResult result;
	TupleDesc	desc;
	Datum		values[4];
	bool		nulls[4] = {0};

	PreventCommandIfReadOnly("pgtrickle.refresh_stream_table()");
	if (PG_ARGISNULL(0))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("the name of the stream table must not be null")));
	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");
	st = pgt_api_resolve(text_to_cstring(PG_GETARG_TEXT_PP(0)), false);
	pgt_api_check_owner(st);
	if (st->suspended)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("stream table \"%s\" is suspended", st->name),
				 errhint("Use pgtrickle.resume_stream_table to resume it.")));
	pgt_refresh_in_transaction(st->pgt_id, mode_arg(fcinfo, st),
							   PG_ARGISNULL(2) || PG_GETARG_BOOL(2), "MANUAL",
							   &result);

	values[0] = CStringGetTextDatum(result.action);
	values[1] = Int64GetDatum(result.rows_inserted);
	values[2] = Int64GetDatum(result.rows_deleted);
	values[3] = Float8GetDatum(result.duration_ms);
	PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(desc), values, nulls)));
}
