/*
 * applier/api/create.c - making stream tables.
 *
 * Everything happens in the caller's transaction: storage, identity index,
 * dependencies, capture, catalog rows, state tables, first fill.  Order: the
 * query is judged before anything is made; capture is started (which locks
 * the sources against writers until commit) before the fill's snapshot is
 * taken, so that no writer falls between the two.
 *
 * At REPEATABLE READ or above the transaction's snapshot is older than the
 * lock: nothing is filled then, the scheduler does it after commit.
 */
#include "postgres.h"

#include "access/table.h"
#include "access/xact.h"
#include "access/xlog.h"
#include "catalog/dependency.h"
#include "catalog/namespace.h"
#include "catalog/objectaddress.h"
#include "catalog/pg_class.h"
#include "catalog/toasting.h"
#include "commands/tablecmds.h"
#include "miscadmin.h"
#include "nodes/makefuncs.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

#include "applier/api/append_only.h"
#include "applier/api/create.h"
#include "applier/api/names.h"
#include "applier/capture/capture.h"
#include "applier/dvm/op.h"
#include "applier/refresh/attach.h"
#include "applier/refresh/identity.h"
#include "applier/refresh/refresh.h"
#include "applier/schedule/schedule.h"
#include "applier/settings.h"

/* ---- judging a query ---- */

PgtPlannedQuery *
pgt_plan_query_for(const char *text, const char *refresh_mode)
{
	PgtPlannedQuery *q = palloc0(sizeof(PgtPlannedQuery));
	int			guc_level = NewGUCNestLevel();

	(void) set_config_option("row_security", "off", PGC_USERSET, PGC_S_SESSION,
							 GUC_ACTION_SAVE, true, 0, false);
	q->text = pstrdup(text);
	q->query = pgt_query_parse(text);
	/* a trailing semicolon must not make two queries differ */
	q->query->stmt_location = -1;
	q->query->stmt_len = 0;
	q->expanded = pgt_query_expand(q->query);
	q->check = pgt_query_check(q->query, q->expanded);
	q->effective_mode = pgt_attach_choose_mode(q->check, refresh_mode, q->text,
											   &q->reason);
	pgt_attach_check_rights(q->check, strcmp(refresh_mode, "IMMEDIATE") == 0);
	AtEOXact_GUC(false, guc_level);
	return q;
}

/* ---- storage ---- */

static List *
column_definitions(const Query *query)
{
	TupleDesc	desc = pgt_query_result_desc(query);
	List	   *columns = NIL;

	for (int i = 0; i < desc->natts; i++)
	{
		Form_pg_attribute att = TupleDescAttr(desc, i);

		columns = lappend(columns,
						  makeColumnDef(NameStr(att->attname), att->atttypid,
										att->atttypmod, att->attcollation));
	}
	return columns;
}

Oid
pgt_create_storage(const PgtPlannedQuery *q, Oid schema, const char *name)
{
	CreateStmt *create = makeNode(CreateStmt);
	ObjectAddress address;

	create->relation = makeRangeVar(get_namespace_name(schema), pstrdup(name), -1);
	create->tableElts = column_definitions(q->query);
	create->oncommit = ONCOMMIT_NOOP;
	/* refreshes update rows in place: room on the page keeps them HOT */
	create->options = list_make1(makeDefElem("fillfactor",
											 (Node *) makeInteger(PGT_FILLFACTOR), -1));
	address = DefineRelation(create, RELKIND_RELATION, GetUserId(), NULL, NULL);
	CommandCounterIncrement();
	/* wide and long values go out of line as in any table */
	NewRelationCreateToastTable(address.objectId, (Datum) 0);
	CommandCounterIncrement();
	return address.objectId;
}

/* ---- state and catalog rows ---- */

void
pgt_create_state(const PgtStreamTable *st)
{
	PgtIdentity identity;
	PgtProgram *program;

	if (strcmp(st->effective_mode, "FULL") == 0)
		return;
	pgt_identity_enter(&identity, pgt_relation_owner(st->relid), st->pinned_settings);
	program = pgt_program_compile(st->pgt_id, st->relid,
								  pgt_query_expand(pgt_refresh_load_query(st)),
								  true, CurrentMemoryContext);
	pgt_program_check_rights(program);
	pgt_program_create_state(program);
	pgt_program_free(program);
	pgt_identity_leave(&identity);
	CommandCounterIncrement();
}

void
pgt_fill_state(PgtStreamTable *st, const PgtPlannedQuery *q)
{
	st->original_query = q->text;
	st->defining_query = pgt_query_deparse(q->query);
	st->effective_mode = pstrdup(q->effective_mode);
	st->effective_mode_reason = q->reason;
	st->query_tree = nodeToString(q->query);
	st->tree_version = PGT_MAJOR_VERSION;
	st->system_identifier = GetSystemIdentifier();
	st->database_oid = MyDatabaseId;
	st->topk_limit = q->check->topk_limit;
	st->topk_offset = q->check->topk_offset;
	st->pinned_settings = q->check->uses_stable ? pgt_identity_pin_settings() : NIL;
}

List *
pgt_create_row_key(const PgtPlannedQuery *q, Oid relid)
{
	List	   *key = pgt_query_output_key(q->expanded);

	if (strcmp(q->effective_mode, "IMMEDIATE") == 0 &&
		pgt_rowid_may_overflow(relid, key))
		return NIL;
	return key;
}

static PgtStreamTable *
new_stream_table(const PgtPlannedQuery *q, Oid relid, const PgtOptions *o)
{
	PgtStreamTable *st = palloc0(sizeof(PgtStreamTable));
	PgtRowIdentity identity;

	st->schema = get_namespace_name(get_rel_namespace(relid));
	st->name = get_rel_name(relid);
	st->schedule = o->schedule;
	st->refresh_mode = o->refresh_mode;
	st->diamond_consistency = o->diamond_consistency ? o->diamond_consistency : "atomic";
	st->diamond_schedule_policy = o->diamond_schedule_policy ? o->diamond_schedule_policy : "fastest";
	st->requested_cdc_mode = o->cdc_mode;
	st->append_only = o->append_only;
	st->created_at = st->updated_at = GetCurrentTimestamp();
	st->relid = relid;
	st->status = "INITIALIZING";
	pgt_fill_state(st, q);
	st->identity_index = pgt_rowid_create(relid, pgt_auto_index ?
										  pgt_create_row_key(q, relid) : NIL);
	CommandCounterIncrement();
	pgt_rowid_get(relid, &identity);
	st->row_identity = identity.by_key ? "key" : "hash";
	return st;
}

static void
say_where_it_went(const PgtStreamTable *st)
{
	if (RelationIsVisible(st->relid))
		return;
	ereport(NOTICE,
			(errmsg("stream table \"%s\" was created in schema \"%s\", which is not on search_path",
					st->name, st->schema),
			 errhint("Read it as %s.", quote_qualified_identifier(st->schema, st->name))));
}

static void
say_mode(const PgtStreamTable *st, const PgtPlannedQuery *q)
{
	if (strcmp(st->refresh_mode, "AUTO") == 0 && q->reason != NULL)
		ereport(NOTICE,
				(errmsg("stream table \"%s\" is refreshed in mode FULL", st->name),
				 errdetail("%s.", q->reason)));
	if (q->check->uses_stable)
		ereport(NOTICE,
				(errmsg("stream table \"%s\" calls functions whose results depend on settings", st->name),
				 errdetail("They keep seeing this session's values of TimeZone, DateStyle and the like.")));
}

Oid
pgt_create_stream_table(const char *name, const char *query,
						PgtOptions *options, bool initialize)
{
	Oid			schema;
	char	   *relname;
	PgtPlannedQuery *q;
	PgtStreamTable *st;
	PgtRefreshResult result;

	pgt_name_for_create(name, false, &schema, &relname);
	q = pgt_plan_query_for(query, options->refresh_mode);
	if (options->append_only)
		pgt_append_only_check(q->expanded, q->effective_mode);
	st = new_stream_table(q, pgt_create_storage(q, schema, relname), options);
	pgt_stream_table_insert(st);
	CommandCounterIncrement();
	pgt_attach_sources(st, q->check);
	pgt_options_require_wal(st);
	pgt_create_state(st);
	say_where_it_went(st);
	say_mode(st, q);

	if (initialize && IsolationUsesXactSnapshot())
	{
		initialize = false;
		ereport(NOTICE,
				(errmsg("stream table \"%s\" will be filled after this transaction", st->name),
				 errdetail("A transaction at REPEATABLE READ or SERIALIZABLE may not see what others have committed.")));
	}
	if (initialize)
		pgt_refresh_in_transaction(st->pgt_id, PGT_REFRESH_DEFAULT, true,
								   "INITIAL", &result);
	pgt_schedule_notice_at_commit();
	return st->relid;
}
