/*
 * applier/api/coordination.c - gates, watermarks, groups, as SQL calls them.
 *
 * Rights.  A gate stops the capture of a table and holds back whoever reads
 * it: the table's owner may do that.  A watermark says how far a table has been
 * loaded: whoever may write it may say so.  A group of either kind makes its
 * members wait for each other: it takes the owner of all of them.
 *
 * Gates and capture.  Stopping capture takes the triggers off, so that a bulk
 * load costs nothing, and the row of the gate commits with that.  From then on
 * the buffer does not hold what the source holds: a refresh whose snapshot
 * shows the gate reads the sources as a whole (refresh.c).  Ungating puts the
 * triggers back behind a lock that waits for every uncaptured writer, and
 * leaves a mark in the buffer that makes every reader rebuild once.
 */
#include "postgres.h"

#include "access/xlog.h"
#include "catalog/namespace.h"
#include "catalog/pg_class.h"
#include "catalog/pg_type.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "nodes/makefuncs.h"
#include "utils/acl.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"

#include "applier/api/names.h"
#include "applier/capture/capture.h"
#include "applier/catalog/coordination.h"
#include "applier/schedule/schedule.h"
#include "decoder/compat.h"

PG_FUNCTION_INFO_V1(pgt_gate_source);
PG_FUNCTION_INFO_V1(pgt_ungate_source);
PG_FUNCTION_INFO_V1(pgt_advance_watermark);
PG_FUNCTION_INFO_V1(pgt_create_watermark_group);
PG_FUNCTION_INFO_V1(pgt_drop_watermark_group);
PG_FUNCTION_INFO_V1(pgt_create_refresh_group);
PG_FUNCTION_INFO_V1(pgt_drop_refresh_group);

/* ---- arguments ---- */

static char *
text_arg(FunctionCallInfo fcinfo, int n, const char *name)
{
	if (PG_ARGISNULL(n))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("argument \"%s\" must not be null", name)));
	return text_to_cstring(PG_GETARG_TEXT_PP(n));
}

static List *
text_array_arg(FunctionCallInfo fcinfo, int n, const char *name)
{
	Datum	   *datums;
	bool	   *nulls;
	int			count;
	List	   *result = NIL;

	if (PG_ARGISNULL(n))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("argument \"%s\" must not be null", name)));
	deconstruct_array(PG_GETARG_ARRAYTYPE_P(n), TEXTOID, -1, false, TYPALIGN_INT,
					  &datums, &nulls, &count);
	for (int i = 0; i < count; i++)
	{
		if (nulls[i])
			ereport(ERROR,
					(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
					 errmsg("argument \"%s\" must not contain nulls", name)));
		result = lappend(result, TextDatumGetCString(datums[i]));
	}
	return result;
}

/* Any table as SQL names it, or a stream table by its own rules. */
static Oid
resolve_source(const char *text)
{
	char	   *schema;
	char	   *name;
	Oid			relid;
	PgtStreamTable *st;
	char		relkind;

	pgt_name_split(text, &schema, &name);
	relid = RangeVarGetRelid(makeRangeVar(schema, name, -1), AccessShareLock, true);
	if (!OidIsValid(relid))
	{
		st = pgt_api_resolve(text, true);
		if (st == NULL)
			ereport(ERROR,
					(errcode(ERRCODE_UNDEFINED_TABLE),
					 errmsg("relation \"%s\" does not exist", text)));
		return st->relid;
	}
	relkind = get_rel_relkind(relid);
	if (relkind != RELKIND_RELATION && relkind != RELKIND_PARTITIONED_TABLE &&
		relkind != RELKIND_FOREIGN_TABLE && relkind != RELKIND_MATVIEW)
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE),
				 errmsg("\"%s\" is not a table", text),
				 errhint("Name a table, a foreign table or a materialized view that stream tables read.")));
	return relid;
}

static void
check_owner(Oid relid)
{
	if (!pgt_relation_ownercheck(relid, GetUserId()))
		aclcheck_error(ACLCHECK_NOT_OWNER, OBJECT_TABLE, get_rel_name(relid));
}

static Oid
own_source(const char *text)
{
	Oid			relid = resolve_source(text);

	check_owner(relid);
	return relid;
}

/* ---- gates ---- */

/* Changes of stream tables come from their refreshes, those of foreign tables
 * and materialized views from nobody: there is no capture to stop. */
static bool
can_stop_capture(Oid relid)
{
	char		relkind = get_rel_relkind(relid);

	return !pgt_is_stream_table(relid) &&
		(relkind == RELKIND_RELATION || relkind == RELKIND_PARTITIONED_TABLE);
}

Datum
pgt_gate_source(PG_FUNCTION_ARGS)
{
	Oid			relid = own_source(text_arg(fcinfo, 0, "source"));
	PgtGate		gate = {
		.relid = relid,
		.stop_capture = (PG_ARGISNULL(1) || PG_GETARG_BOOL(1)) && can_stop_capture(relid),
		.gated_at = GetCurrentTimestamp(),
		.gated_by = GetUserNameFromId(GetUserId(), false),
	};
	PgtGate    *there;

	PreventCommandIfReadOnly("pgtrickle.gate_source()");
	pgt_gate_lock();
	there = pgt_gate_get(relid, NULL);
	if (there != NULL && there->stop_capture != gate.stop_capture)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("source \"%s\" is gated already", get_rel_name(relid)),
				 errdetail(there->stop_capture ? "Its capture is stopped." : "Its capture goes on."),
				 errhint("Ungate it first.")));
	if (there != NULL)
	{
		ereport(NOTICE,
				(errmsg("source \"%s\" is gated already, skipping", get_rel_name(relid))));
		PG_RETURN_VOID();
	}
	pgt_gate_delete(InvalidOid);	/* rows of dropped tables */
	pgt_gate_insert(&gate);
	if (gate.stop_capture)
		pgt_capture_gate(relid);
	pgt_schedule_notice_at_commit();
	PG_RETURN_VOID();
}

Datum
pgt_ungate_source(PG_FUNCTION_ARGS)
{
	Oid			relid = own_source(text_arg(fcinfo, 0, "source"));
	PgtGate    *gate;

	PreventCommandIfReadOnly("pgtrickle.ungate_source()");
	pgt_gate_lock();
	gate = pgt_gate_get(relid, NULL);
	if (gate == NULL)
	{
		ereport(NOTICE,
				(errmsg("source \"%s\" is not gated, skipping", get_rel_name(relid))));
		PG_RETURN_VOID();
	}
	pgt_gate_delete(relid);
	if (gate->stop_capture)
		pgt_capture_ungate(relid);
	pgt_schedule_notice_at_commit();
	PG_RETURN_VOID();
}

/* ---- watermarks ---- */

static void
refuse_step_back(Oid relid, const PgtWatermark *before, TimestampTz watermark)
{
	char	   *stands = pstrdup(timestamptz_to_str(before->watermark));

	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("the watermark of \"%s\" cannot move back to %s",
					get_rel_name(relid), timestamptz_to_str(watermark)),
			 errdetail("It stands at %s.", stands)));
}

Datum
pgt_advance_watermark(PG_FUNCTION_ARGS)
{
	Oid			relid = resolve_source(text_arg(fcinfo, 0, "source"));
	PgtWatermark w = {.relid = relid};
	PgtWatermark *before;

	PreventCommandIfReadOnly("pgtrickle.advance_watermark()");
	if (PG_ARGISNULL(1) || TIMESTAMP_NOT_FINITE(PG_GETARG_TIMESTAMPTZ(1)))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("a watermark must be a point in time")));
	if (!pgt_relation_ownercheck(relid, GetUserId()) &&
		pg_class_aclcheck(relid, GetUserId(), ACL_INSERT | ACL_UPDATE | ACL_DELETE) != ACLCHECK_OK)
		aclcheck_error(ACLCHECK_NO_PRIV, OBJECT_TABLE, get_rel_name(relid));
	pgt_watermark_lock(relid);
	w.watermark = PG_GETARG_TIMESTAMPTZ(1);
	w.updated_at = GetCurrentTimestamp();
	w.advanced_by = GetUserNameFromId(GetUserId(), false);
	w.lsn = GetXLogInsertRecPtr();
	before = pgt_watermark_get(relid);
	if (before != NULL && w.watermark < before->watermark)
		refuse_step_back(relid, before, w.watermark);
	pgt_watermark_set(&w);
	pgt_schedule_notice_at_commit();
	PG_RETURN_VOID();
}

static void
check_members(List *relids, int least, const char *what)
{
	ListCell   *lc;
	List	   *unique = NIL;

	foreach(lc, relids)
	{
		if (list_member_oid(unique, lfirst_oid(lc)))
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("\"%s\" is named twice", get_rel_name(lfirst_oid(lc)))));
		unique = lappend_oid(unique, lfirst_oid(lc));
	}
	if (list_length(relids) < least)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("a %s has at least %d members", what, least)));
}

static char *
group_name_arg(FunctionCallInfo fcinfo)
{
	char	   *name = text_arg(fcinfo, 0, "group_name");

	if (name[0] == '\0' || strlen(name) >= NAMEDATALEN)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_NAME),
				 errmsg("invalid name for a group: \"%s\"", name),
				 errdetail("It has from 1 to %d bytes.", NAMEDATALEN - 1)));
	return name;
}

Datum
pgt_create_watermark_group(PG_FUNCTION_ARGS)
{
	PgtWatermarkGroup group = {.name = group_name_arg(fcinfo)};
	ListCell   *lc;

	PreventCommandIfReadOnly("pgtrickle.create_watermark_group()");
	foreach(lc, text_array_arg(fcinfo, 1, "sources"))
		group.sources = lappend_oid(group.sources, own_source(lfirst(lc)));
	check_members(group.sources, 2, "watermark group");
	group.tolerance_secs = PG_ARGISNULL(2) ? 0 : PG_GETARG_FLOAT8(2);
	if (!(group.tolerance_secs >= 0))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("the tolerance of a watermark group must not be negative")));
	group.created_at = GetCurrentTimestamp();
	pgt_watermark_group_insert(&group);
	pgt_schedule_notice_at_commit();
	PG_RETURN_VOID();
}

PGT_NORETURN static void
raise_no_group(const char *kind, const char *name)
{
	ereport(ERROR,
			(errcode(ERRCODE_UNDEFINED_OBJECT),
			 errmsg("%s group \"%s\" does not exist", kind, name)));
}

static void
check_owner_of_all(List *relids)
{
	ListCell   *lc;

	foreach(lc, relids)
		check_owner(lfirst_oid(lc));
}

Datum
pgt_drop_watermark_group(PG_FUNCTION_ARGS)
{
	char	   *name = group_name_arg(fcinfo);
	ListCell   *lc;

	PreventCommandIfReadOnly("pgtrickle.drop_watermark_group()");
	foreach(lc, pgt_watermark_group_all(NULL))
		if (strcmp(((PgtWatermarkGroup *) lfirst(lc))->name, name) == 0)
			check_owner_of_all(((PgtWatermarkGroup *) lfirst(lc))->sources);
	if (!pgt_watermark_group_delete(name))
		raise_no_group("watermark", name);
	pgt_schedule_notice_at_commit();
	PG_RETURN_VOID();
}

/* ---- refresh groups ---- */

static Oid
own_member(const char *text)
{
	PgtStreamTable *st = pgt_api_resolve(text, false);
	ListCell   *lc;

	pgt_api_check_owner(st);
	if (strcmp(st->effective_mode, "IMMEDIATE") == 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("stream table \"%s\" cannot be a member of a refresh group", st->name),
				 errdetail("It is maintained by its writers, not refreshed.")));
	foreach(lc, pgt_refresh_group_all(NULL))
	{
		const PgtRefreshGroup *group = lfirst(lc);

		if (list_member_oid(group->members, st->relid))
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("stream table \"%s\" is a member of refresh group \"%s\" already",
							st->name, group->name)));
	}
	return st->relid;
}

Datum
pgt_create_refresh_group(PG_FUNCTION_ARGS)
{
	PgtRefreshGroup group = {.name = group_name_arg(fcinfo), .isolation = "repeatable_read"};
	ListCell   *lc;

	PreventCommandIfReadOnly("pgtrickle.create_refresh_group()");
	if (!PG_ARGISNULL(2) &&
		pg_strcasecmp(text_arg(fcinfo, 2, "isolation"), group.isolation) != 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("invalid isolation: \"%s\"", text_arg(fcinfo, 2, "isolation")),
				 errhint("The only value is repeatable_read: one snapshot for all members.")));
	foreach(lc, text_array_arg(fcinfo, 1, "members"))
		group.members = lappend_oid(group.members, own_member(lfirst(lc)));
	check_members(group.members, 2, "refresh group");
	if (list_length(group.members) > PGT_GROUP_MAX)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("a refresh group has at most %d members", PGT_GROUP_MAX)));
	group.created_at = GetCurrentTimestamp();
	pgt_refresh_group_insert(&group);
	pgt_schedule_notice_at_commit();
	PG_RETURN_VOID();
}

Datum
pgt_drop_refresh_group(PG_FUNCTION_ARGS)
{
	char	   *name = group_name_arg(fcinfo);
	ListCell   *lc;

	PreventCommandIfReadOnly("pgtrickle.drop_refresh_group()");
	foreach(lc, pgt_refresh_group_all(NULL))
		if (strcmp(((PgtRefreshGroup *) lfirst(lc))->name, name) == 0)
			check_owner_of_all(((PgtRefreshGroup *) lfirst(lc))->members);
	if (!pgt_refresh_group_delete(name))
		raise_no_group("refresh", name);
	pgt_schedule_notice_at_commit();
	PG_RETURN_VOID();
}
