/*
 * applier/api/alter.c - alter_stream_table, drop_stream_table, resume.
 *
 * Every change takes the refresh lock first: a refresh under way ends before
 * its definition changes, and the next one reads the new definition.
 */
#include "postgres.h"

#include "access/table.h"
#include "access/xact.h"
#include "catalog/dependency.h"
#include "catalog/objectaddress.h"
#include "catalog/pg_class.h"
#include "commands/tablecmds.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "nodes/makefuncs.h"
#include "storage/lmgr.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"

#include "applier/api/alter.h"
#include "applier/api/append_only.h"
#include "applier/api/create.h"
#include "applier/api/ddl.h"
#include "applier/api/names.h"
#include "applier/dvm/op.h"
#include "applier/refresh/attach.h"
#include "applier/refresh/immediate.h"
#include "applier/refresh/internal.h"
#include "applier/refresh/lock.h"
#include "applier/schedule/schedule.h"

PG_FUNCTION_INFO_V1(pgt_alter);
PG_FUNCTION_INFO_V1(pgt_drop);
PG_FUNCTION_INFO_V1(pgt_resume);
PG_FUNCTION_INFO_V1(pgt_empty);

/* ---- settings ---- */

static bool
is_immediate(const char *mode)
{
	return mode != NULL && strcmp(mode, "IMMEDIATE") == 0;
}

/*
 * Mode changes: what is effective is judged again with the stored query.
 * Between IMMEDIATE and the others the sources' triggers change hands:
 * returns what they are to be attached by, or NULL.
 */
static PgtQueryCheck *
change_mode(PgtStreamTable *st, const char *mode)
{
	PgtPlannedQuery *q;
	bool		attach = is_immediate(st->refresh_mode) != is_immediate(mode);

	if (strcmp(st->refresh_mode, mode) == 0)
		return NULL;
	if (is_immediate(st->refresh_mode))
		pgt_immediate_check_readers(st);
	if (is_immediate(mode))
		st->schedule = NULL;
	q = pgt_plan_query_for(st->defining_query, mode);
	st->refresh_mode = pstrdup(mode);
	if (strcmp(st->effective_mode, q->effective_mode) != 0)
	{
		/* state tables come or go with the mode; contents stay right meanwhile */
		if (strcmp(q->effective_mode, "FULL") == 0)
			pgt_state_drop_all(st->pgt_id);
		st->needs_reinit = true;
		st->reinit_reason = psprintf("the refresh mode was changed to %s", mode);
	}
	st->effective_mode = pstrdup(q->effective_mode);
	st->effective_mode_reason = q->reason;
	return attach ? q->check : NULL;
}

void
pgt_alter_settings(PgtStreamTable *st, const PgtOptions *o)
{
	PgtQueryCheck *attach = NULL;

	pgt_options_check_schedule(o->refresh_mode ? o->refresh_mode : st->refresh_mode,
							   o->schedule);
	if (o->refresh_mode != NULL)
		attach = change_mode(st, o->refresh_mode);
	if (o->schedule != NULL)
		st->schedule = pg_strcasecmp(o->schedule, "calculated") == 0 ? NULL : o->schedule;
	if (o->diamond_consistency != NULL)
		st->diamond_consistency = o->diamond_consistency;
	if (o->diamond_schedule_policy != NULL)
		st->diamond_schedule_policy = o->diamond_schedule_policy;
	if (o->cdc_mode != NULL)
		st->requested_cdc_mode = o->cdc_mode;
	if (o->has_append_only)
		st->append_only = o->append_only;
	if (st->append_only && (o->has_append_only || o->refresh_mode != NULL))
		pgt_append_only_check(pgt_query_expand(pgt_refresh_load_query(st)),
							  st->effective_mode);
	pgt_stream_table_update(st);
	CommandCounterIncrement();
	if (o->cdc_mode != NULL)
		pgt_options_require_wal(st);
	if (attach != NULL)
		pgt_attach_sources(st, attach);
}

/* ---- locks ---- */

void
pgt_alter_lock(int64 pgt_id, const char *new_mode)
{
	PgtStreamTable *st = pgt_stream_table_get(pgt_id, false);

	if (is_immediate(st->refresh_mode) || is_immediate(new_mode))
		(void) pgt_immediate_lock_sources(st, true, true);
	(void) pgt_lock_refresh(pgt_id, true);
}

/* ---- a new query ---- */

static void
alter_table(Oid relid, List *commands)
{
	AlterTableInternal(relid, commands, true);
	CommandCounterIncrement();
}

static AlterTableCmd *
drop_column(const char *name)
{
	AlterTableCmd *cmd = makeNode(AlterTableCmd);

	cmd->subtype = AT_DropColumn;
	cmd->name = pstrdup(name);
	cmd->behavior = DROP_RESTRICT;
	return cmd;
}

static AlterTableCmd *
add_column(Form_pg_attribute att)
{
	AlterTableCmd *cmd = makeNode(AlterTableCmd);

	cmd->subtype = AT_AddColumn;
	cmd->def = (Node *) makeColumnDef(NameStr(att->attname), att->atttypid,
									  att->atttypmod, att->attcollation);
	return cmd;
}

/*
 * Columns from the first that differs on are dropped and added anew, so that
 * SELECT * shows the query's order.  The identity index goes first; views and
 * other dependants of a dropped column make it fail, named by core.
 */
static void
change_columns(PgtStreamTable *st, const PgtPlannedQuery *q)
{
	Relation	rel = table_open(st->relid, AccessExclusiveLock);
	TupleDesc	want = pgt_query_result_desc(q->query);
	int			first = pgt_refresh_first_mismatch(want, rel);
	List	   *drops = NIL;
	List	   *adds = NIL;
	int			live = 0;

	for (int i = 0; first >= 0 && i < RelationGetDescr(rel)->natts; i++)
	{
		Form_pg_attribute att = TupleDescAttr(RelationGetDescr(rel), i);

		if (!att->attisdropped && live++ >= first)
			drops = lappend(drops, drop_column(NameStr(att->attname)));
	}
	for (int i = first; first >= 0 && i < want->natts; i++)
		adds = lappend(adds, add_column(TupleDescAttr(want, i)));
	table_close(rel, NoLock);

	pgt_engine_begin_write();
	if (drops != NIL)
		alter_table(st->relid, drops);
	if (adds != NIL)
		alter_table(st->relid, adds);
	pgt_engine_end_write();
}

static void
drop_identity_index(const PgtStreamTable *st)
{
	ObjectAddress index;

	if (!OidIsValid(st->identity_index) || get_rel_relkind(st->identity_index) == '\0')
		return;
	ObjectAddressSet(index, RelationRelationId, st->identity_index);
	performDeletion(&index, DROP_RESTRICT, PERFORM_DELETION_INTERNAL);
	CommandCounterIncrement();
}

static void
make_identity_index(PgtStreamTable *st, const PgtPlannedQuery *q)
{
	PgtRowIdentity identity;

	st->identity_index = pgt_rowid_create(st->relid, pgt_create_row_key(q, st->relid));
	CommandCounterIncrement();
	pgt_rowid_get(st->relid, &identity);
	st->row_identity = identity.by_key ? "key" : "hash";
}

/* Rows of the old query may break the new key: they go before it is made. */
static void
empty_table(const PgtStreamTable *st, const char *reason)
{
	TruncateStmt *truncate = makeNode(TruncateStmt);

	truncate->relations = list_make1(makeRangeVar(st->schema, st->name, -1));
	truncate->behavior = DROP_RESTRICT;
	pgt_engine_begin_write();
	ExecuteTruncate(truncate);
	pgt_engine_end_write();
	CommandCounterIncrement();
	pgt_buffer_append_lost(st->relid, reason);
}

/* The rows they were made from went without a delta. */
static void
mark_immediate_readers(const PgtStreamTable *st)
{
	ListCell   *lc;

	foreach(lc, pgt_dependency_immediate(st->relid))
	{
		int64		reader = ((PgtDependency *) lfirst(lc))->pgt_id;

		pgt_stream_table_set_status(reader, "ACTIVE", true,
									psprintf("the query of stream table \"%s\" was changed", st->name));
	}
	CommandCounterIncrement();
}

bool
pgt_alter_query(PgtStreamTable *st, const char *query)
{
	PgtPlannedQuery *q = pgt_plan_query_for(query, st->refresh_mode);

	if (equal(q->query, pgt_refresh_load_query(st)))
		return false;
	if (st->append_only)
		pgt_append_only_check(q->expanded, q->effective_mode);
	pgt_state_drop_all(st->pgt_id);
	empty_table(st, "the query of a stream table was changed");
	drop_identity_index(st);
	change_columns(st, q);
	pgt_fill_state(st, q);
	make_identity_index(st, q);
	st->needs_reinit = true;
	st->reinit_reason = "the query was changed";
	pgt_stream_table_update(st);
	CommandCounterIncrement();
	pgt_attach_sources(st, q->check);
	pgt_options_require_wal(st);
	mark_immediate_readers(st);
	return true;
}

static void
refill_immediate_readers(const PgtStreamTable *st)
{
	PgtRefreshResult result;
	ListCell   *lc;

	foreach(lc, pgt_dependency_immediate(st->relid))
	{
		PgtStreamTable *reader = pgt_stream_table_get(((PgtDependency *) lfirst(lc))->pgt_id, false);

		if (reader->needs_reinit && !reader->suspended)
			pgt_refresh_in_transaction(reader->pgt_id, PGT_REFRESH_DEFAULT, true,
									   "MANUAL", &result);
	}
}

void
pgt_alter_refill(PgtStreamTable *st)
{
	PgtRefreshResult result;

	if (!st->needs_reinit || st->suspended || IsolationUsesXactSnapshot())
		return;
	pgt_refresh_in_transaction(st->pgt_id, PGT_REFRESH_DEFAULT, true, "MANUAL", &result);
	refill_immediate_readers(st);
}

/* ---- SQL functions ---- */

static char *
text_arg(FunctionCallInfo fcinfo, int n)
{
	return PG_ARGISNULL(n) ? NULL : text_to_cstring(PG_GETARG_TEXT_PP(n));
}

/* An IMMEDIATE stream table can be stopped while its writers go on. */
static PgtStreamTable *
own_locked_stream_table(const char *name, const char *new_mode, bool stop)
{
	PgtStreamTable *st = pgt_api_resolve(name, false);

	pgt_api_check_owner(st);
	if (stop)
		(void) pgt_lock_refresh(st->pgt_id, true);
	else
		pgt_alter_lock(st->pgt_id, new_mode);
	return pgt_stream_table_get(st->pgt_id, false);
}

static PgtStreamTable *
named_stream_table(FunctionCallInfo fcinfo, const char *new_mode, bool stop)
{
	char	   *name = text_arg(fcinfo, 0);

	PreventCommandIfReadOnly("changing a stream table");
	if (name == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("the name of the stream table must not be null")));
	return own_locked_stream_table(name, new_mode, stop);
}

static void
set_suspended(PgtStreamTable *st, bool suspended)
{
	PgtProgress *p = pgt_progress_get(st->pgt_id);

	if (is_immediate(st->refresh_mode) && st->suspended && !suspended)
	{
		/* its writers passed it by */
		st->needs_reinit = true;
		st->reinit_reason = "it was suspended";
	}
	st->suspended = suspended;
	st->status = suspended ? "SUSPENDED" : p->is_populated ? "ACTIVE" : "INITIALIZING";
	pgt_stream_table_update(st);
	CommandCounterIncrement();
}

/* status: what a user may ask for is ACTIVE or SUSPENDED */
static void
change_status(PgtStreamTable *st, const char *status, bool has_enabled,
			  bool enabled)
{
	bool		suspended = has_enabled && !enabled;

	if (status != NULL)
	{
		if (pg_strcasecmp(status, "SUSPENDED") != 0 && pg_strcasecmp(status, "ACTIVE") != 0)
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("invalid status: \"%s\"", status),
					 errhint("Valid values are ACTIVE and SUSPENDED.")));
		suspended = pg_strcasecmp(status, "SUSPENDED") == 0;
		if (has_enabled && enabled == suspended)
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("arguments \"status\" and \"enabled\" contradict each other")));
	}
	if (status != NULL || has_enabled)
		set_suspended(st, suspended);
}

static void
rename_to(PgtStreamTable *st, const char *name)
{
	char	   *schema;
	char	   *newname;
	RenameStmt *rename = makeNode(RenameStmt);

	pgt_name_split(name, &schema, &newname);
	if (schema != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_NAME),
				 errmsg("invalid new name for a stream table: \"%s\"", name),
				 errhint("Give a name without a schema; ALTER TABLE ... SET SCHEMA moves it.")));
	rename->renameType = OBJECT_TABLE;
	rename->relation = makeRangeVar(st->schema, st->name, -1);
	rename->newname = newname;
	RenameRelation(rename);
	st->name = rename->newname;
	pgt_stream_table_update(st);
	CommandCounterIncrement();
}

/* enabled => false, or status => 'SUSPENDED', and nothing else */
static bool
only_suspends(FunctionCallInfo fcinfo)
{
	char	   *status = text_arg(fcinfo, 4);

	for (int i = 1; i < 11; i++)
		if (i != 4 && i != 5 && !PG_ARGISNULL(i))
			return false;
	return (status != NULL && pg_strcasecmp(status, "SUSPENDED") == 0) ||
		(!PG_ARGISNULL(5) && !PG_GETARG_BOOL(5));
}

Datum
pgt_alter(PG_FUNCTION_ARGS)
{
	PgtStreamTable *st;
	PgtOptions	o = {
		.schedule = text_arg(fcinfo, 2),
		.refresh_mode = text_arg(fcinfo, 3),
		.diamond_consistency = text_arg(fcinfo, 7),
		.diamond_schedule_policy = text_arg(fcinfo, 8),
		.cdc_mode = text_arg(fcinfo, 9),
		.append_only = !PG_ARGISNULL(10) && PG_GETARG_BOOL(10),
		.has_append_only = !PG_ARGISNULL(10),
	};

	pgt_options_check(&o);
	st = named_stream_table(fcinfo, o.refresh_mode, only_suspends(fcinfo));
	pgt_alter_settings(st, &o);
	if (!PG_ARGISNULL(1))
		(void) pgt_alter_query(st, text_arg(fcinfo, 1));
	change_status(st, text_arg(fcinfo, 4), !PG_ARGISNULL(5),
				  !PG_ARGISNULL(5) && PG_GETARG_BOOL(5));
	if (!PG_ARGISNULL(6))
		rename_to(st, text_arg(fcinfo, 6));
	pgt_alter_refill(st);
	pgt_schedule_notice_at_commit();
	PG_RETURN_VOID();
}

Datum
pgt_drop(PG_FUNCTION_ARGS)
{
	PgtStreamTable *st = named_stream_table(fcinfo, NULL, false);
	bool		cascade = !PG_ARGISNULL(1) && PG_GETARG_BOOL(1);
	ObjectAddress table;

	LockRelationOid(st->relid, AccessExclusiveLock);
	ObjectAddressSet(table, RelationRelationId, st->relid);
	/* the rest (catalog, state, capture) follows from the drop: ddl.c */
	performDeletion(&table, cascade ? DROP_CASCADE : DROP_RESTRICT, 0);
	pgt_ddl_process();
	PG_RETURN_VOID();
}

Datum
pgt_resume(PG_FUNCTION_ARGS)
{
	PgtStreamTable *st = named_stream_table(fcinfo, NULL, false);
	PgtProgress *p = pgt_progress_get(st->pgt_id);

	p->consecutive_errors = 0;
	pgt_progress_update(p);
	set_suspended(st, false);
	if (is_immediate(st->refresh_mode))
		pgt_alter_refill(st);
	pgt_schedule_notice_at_commit();
	PG_RETURN_VOID();
}

/* Emptied and suspended: an IMMV "WITH NO DATA".  Resuming fills it. */
Datum
pgt_empty(PG_FUNCTION_ARGS)
{
	PgtStreamTable *st = pgt_stream_table_by_relid(PG_GETARG_OID(0), false);

	PreventCommandIfReadOnly("emptying a stream table");
	pgt_api_check_owner(st);
	pgt_alter_lock(st->pgt_id, NULL);
	st = pgt_stream_table_get(st->pgt_id, false);
	if (!is_immediate(st->refresh_mode))
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE),
				 errmsg("stream table \"%s\" is not IMMEDIATE", st->name)));
	pgt_immediate_check_readers(st);
	set_suspended(st, true);
	empty_table(st, "a stream table was emptied");
	PG_RETURN_VOID();
}
