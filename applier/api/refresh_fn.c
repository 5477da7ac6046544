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
#include "applier/catalog/coordination.h"
#include "applier/refresh/refresh.h"
#include "applier/schedule/graph.h"
#include "applier/schedule/units.h"

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

/* ---- members of refresh groups ---- */

static bool
in_refresh_group(Oid relid)
{
	ListCell   *lc;

	foreach(lc, pgt_refresh_group_all(NULL))
		if (list_member_oid(((PgtRefreshGroup *) lfirst(lc))->members, relid))
			return true;
	return false;
}

static void
refuse_suspended_members(const PgtGraph *graph, const int *members, int n)
{
	for (int i = 0; i < n; i++)
		if (graph->nodes[members[i]].status == PGT_NODE_SUSPENDED)
			ereport(ERROR,
					(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
					 errmsg("stream table %s of the same refresh group is suspended",
							graph->nodes[members[i]].name),
					 errhint("Use pgtrickle.resume_stream_table to resume it.")));
}

/* All that belong together, in their order; false when it belongs to nobody. */
static bool
refresh_with_group(const PgtStreamTable *st, PgtRefreshResult *result)
{
	PgtGraph   *graph;
	PgtNode    *node;
	const int  *members;
	int			n;
	int64	   *ids;
	PgtRefreshResult *results;

	if (!in_refresh_group(st->relid))
		return false;
	graph = pgt_graph_load(CurrentMemoryContext, NULL);
	node = pgt_graph_find(graph, st->pgt_id);
	if (node == NULL || node->unit < 0)
		return false;
	members = pgt_units_members(graph, node, &n);
	refuse_suspended_members(graph, members, n);
	ids = palloc(sizeof(int64) * n);
	results = palloc0(sizeof(PgtRefreshResult) * n);
	for (int i = 0; i < n; i++)
		ids[i] = graph->nodes[members[i]].pgt_id;
	pgt_refresh_group_in_transaction(ids, n, "MANUAL", results);
	for (int i = 0; i < n; i++)
		if (ids[i] == st->pgt_id)
			*result = results[i];
	return true;
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
	if (!PG_ARGISNULL(1) || !(PG_ARGISNULL(2) || PG_GETARG_BOOL(2)) ||
		!refresh_with_group(st, &result))
		pgt_refresh_in_transaction(st->pgt_id, mode_arg(fcinfo, st),
								   PG_ARGISNULL(2) || PG_GETARG_BOOL(2), "MANUAL",
								   &result);

	values[0] = CStringGetTextDatum(result.action);
	values[1] = Int64GetDatum(result.rows_inserted);
	values[2] = Int64GetDatum(result.rows_deleted);
	values[3] = Float8GetDatum(result.duration_ms);
	PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(desc), values, nulls)));
}
