/*
 * applier/api/guard.c - the hooks: nobody but the engine writes stream tables,
 * state tables and change buffers, and DDL is watched.
 *
 * Four hooks, installed at server start.  ExecutorStart refuses plans with a
 * guarded result relation (INSERT, UPDATE, DELETE, MERGE, data-modifying CTEs,
 * through views and rules as well).  The object access hook refuses TRUNCATE
 * (CASCADE reaches tables that no statement names) and functions in schema
 * pgtrickle.  ProcessUtility refuses COPY FROM and DDL that would make a
 * stream table something else (guard_utility.c), tells ddl.c what is altered,
 * and the launcher and scheduler what happens to databases.
 *
 * No setting switches the hooks off.  They look up nothing for statements
 * that cannot concern them, and in databases without the extension they end
 * after one cached look-up.  The engine announces its own writes with
 * pgt_engine_begin_write (dvm/dvm.h); abort resets that.
 *
 * After a restore tables exist before the extension knows them as stream
 * tables, so that pg_restore's COPY passes.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/xact.h"
#include "catalog/objectaccess.h"
#include "catalog/pg_authid.h"
#include "catalog/pg_database.h"
#include "catalog/pg_operator.h"
#include "catalog/pg_proc.h"
#include "commands/dbcommands.h"
#include "commands/defrem.h"
#include "executor/executor.h"
#include "miscadmin.h"
#include "nodes/plannodes.h"
#include "parser/parsetree.h"
#include "tcop/utility.h"
#include "utils/acl.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"

#include "applier/api/ddl.h"
#include "applier/api/guard.h"
#include "applier/capture/capture.h"
#include "applier/catalog/catalog.h"
#include "applier/dvm/dvm.h"
#include "applier/schedule/schedule.h"
#include "decoder/compat.h"

static ExecutorStart_hook_type previous_executor_start = NULL;
static ProcessUtility_hook_type previous_process_utility = NULL;
static object_access_hook_type previous_object_access = NULL;

/* ---- direct writes ---- */

void
pgt_guard_refuse_write(Oid relid)
{
	if (pgt_engine_is_writing())
		return;
	if (pgt_is_stream_table(relid))
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE),
				 errmsg("cannot change stream table \"%s\"", get_rel_name(relid)),
				 errdetail("Its rows follow from its defining query."),
				 errhint("Change the source tables, or the query with pgtrickle.alter_stream_table.")));
	if (pgt_is_engine_table(relid))
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("cannot change table \"%s\"", get_rel_name(relid)),
				 errdetail("It belongs to pg_trickle, which alone writes to it.")));
}

static void
guard_executor_start(QueryDesc *queryDesc, int eflags)
{
	PlannedStmt *plan = queryDesc->plannedstmt;

	if ((queryDesc->operation != CMD_SELECT || plan->hasModifyingCTE) &&
		(eflags & EXEC_FLAG_EXPLAIN_ONLY) == 0)
	{
		Bitmapset  *targets = pgt_result_relations(plan);
		int			rti = -1;

		while ((rti = bms_next_member(targets, rti)) >= 0)
			pgt_guard_refuse_write(rt_fetch(rti, plan->rtable)->relid);
	}

	if (previous_executor_start)
		previous_executor_start(queryDesc, eflags);
	else
		standard_ExecutorStart(queryDesc, eflags);
}

/* ---- functions and operators in schema pgtrickle ---- */

/* Schema of a function or operator that may have been made just now: the row
 * is read as this command wrote it. */
static Oid
schema_of_new_object(Oid class_id, Oid object_id)
{
	bool		is_function = class_id == ProcedureRelationId;
	Relation	rel = table_open(class_id, AccessShareLock);
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple	tuple;
	Oid			schema = InvalidOid;

	ScanKeyInit(&key, is_function ? Anum_pg_proc_oid : Anum_pg_operator_oid,
				BTEqualStrategyNumber, F_OIDEQ, ObjectIdGetDatum(object_id));
	scan = systable_beginscan(rel, is_function ? ProcedureOidIndexId : OperatorOidIndexId,
							  true, SnapshotSelf, 1, &key);
	tuple = systable_getnext(scan);
	if (HeapTupleIsValid(tuple))
		schema = is_function ? ((Form_pg_proc) GETSTRUCT(tuple))->pronamespace
			: ((Form_pg_operator) GETSTRUCT(tuple))->oprnamespace;
	systable_endscan(scan);
	table_close(rel, AccessShareLock);
	return schema;
}

/*
 * Users may be granted CREATE on schema pgtrickle for their stream tables.  A
 * function or operator there could pass for one of the extension's.
 */
static void
refuse_foreign_function(Oid class_id, Oid object_id)
{
	if (superuser() || !pgt_extension_installed() ||
		schema_of_new_object(class_id, object_id) != pgt_schema_oid())
		return;
	ereport(ERROR,
			(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
			 errmsg("permission denied to create functions or operators in schema pgtrickle"),
			 errdetail("Only superusers may do so."),
			 errhint("Use a schema of your own.")));
}

static void
guard_object_access(ObjectAccessType access, Oid class_id, Oid object_id,
					int sub_id, void *arg)
{
	if (previous_object_access)
		previous_object_access(access, class_id, object_id, sub_id, arg);

	if (access == OAT_TRUNCATE)
		pgt_guard_refuse_write(object_id);
	else if ((access == OAT_POST_CREATE || access == OAT_POST_ALTER) &&
			 (class_id == ProcedureRelationId || class_id == OperatorRelationId))
		refuse_foreign_function(class_id, object_id);
	pgt_ddl_object_access(access, class_id, object_id, sub_id);
}

/* ---- databases: our workers must not be in the way ---- */

static void
evict_owned_database(const char *name)
{
	Oid			dboid = get_database_oid(name, true);

	if (OidIsValid(dboid) && pgt_database_ownercheck(dboid, GetUserId()))
		pgt_schedule_evict_database(dboid);
}

static bool
may_create_databases(void)
{
	HeapTuple	tuple = SearchSysCache1(AUTHOID, ObjectIdGetDatum(GetUserId()));
	bool		result = superuser();

	if (HeapTupleIsValid(tuple))
	{
		result = result || ((Form_pg_authid) GETSTRUCT(tuple))->rolcreatedb;
		ReleaseSysCache(tuple);
	}
	return result;
}

static char *
string_option(List *options, const char *name)
{
	ListCell   *lc;

	foreach(lc, options)
	{
		DefElem    *def = lfirst_node(DefElem, lc);

		if (strcmp(def->defname, name) == 0 && def->arg != NULL)
			return defGetString(def);
	}
	return NULL;
}

/* The template is copied while nobody is connected to it. */
static void
evict_template(const CreatedbStmt *stmt)
{
	const char *template = string_option(stmt->options, "template");
	Oid			dboid = get_database_oid(template ? template : "template1", true);

	if (OidIsValid(dboid) && may_create_databases())
		pgt_schedule_evict_database(dboid);
}

static bool
drops_extension(const DropStmt *stmt)
{
	ListCell   *lc;

	if (stmt->removeType != OBJECT_EXTENSION)
		return false;
	foreach(lc, stmt->objects)
		if (strcmp(strVal(lfirst(lc)), "pg_trickle") == 0)
			return true;
	return false;
}

/* Workers at work would hold the catalog, and the drop what they want next. */
static void
evict_own_database(void)
{
	if (pgt_extension_installed() &&
		has_privs_of_role(GetUserId(), pgt_extension_owner()))
		pgt_schedule_evict_database(MyDatabaseId);
}

static void
before_database_command(const Node *stmt)
{
	switch (nodeTag(stmt))
	{
		case T_DropdbStmt:
			evict_owned_database(((const DropdbStmt *) stmt)->dbname);
			break;
		case T_CreatedbStmt:
			evict_template((const CreatedbStmt *) stmt);
			break;
		case T_AlterDatabaseStmt:
			if (string_option(((const AlterDatabaseStmt *) stmt)->options, "tablespace"))
				evict_owned_database(((const AlterDatabaseStmt *) stmt)->dbname);
			break;
		case T_RenameStmt:
			if (((const RenameStmt *) stmt)->renameType == OBJECT_DATABASE)
				evict_owned_database(((const RenameStmt *) stmt)->subname);
			break;
		case T_DropStmt:
			if (drops_extension((const DropStmt *) stmt))
				evict_own_database();
			break;
		default:
			break;
	}
}

static void
after_database_command(const Node *stmt)
{
	switch (nodeTag(stmt))
	{
		case T_CreatedbStmt:
			pgt_launcher_wake(InvalidOid);
			break;
		case T_CreateExtensionStmt:
			if (strcmp(((const CreateExtensionStmt *) stmt)->extname, "pg_trickle") == 0)
				pgt_launcher_wake(MyDatabaseId);
			break;
		case T_DropStmt:
			if (drops_extension((const DropStmt *) stmt))
				pgt_launcher_wake(MyDatabaseId);
			break;
		case T_TransactionStmt:
			/* which sources it changed is not known any more */
			if (((const TransactionStmt *) stmt)->kind == TRANS_STMT_COMMIT_PREPARED &&
				pgt_capture_touched_hook != NULL)
				pgt_capture_touched_hook(MyDatabaseId, InvalidOid);
			break;
		case T_CreateSubscriptionStmt:
		case T_AlterSubscriptionStmt:
			/* an apply worker fires other triggers than sessions do */
			if (pgt_extension_installed())
				pgt_capture_repair_all();
			break;
		default:
			break;
	}
}

/* ---- utility commands ---- */

static void
run_utility(PlannedStmt *pstmt, const char *query_string, bool read_only_tree,
			ProcessUtilityContext context, ParamListInfo params,
			QueryEnvironment *env, DestReceiver *dest, QueryCompletion *qc)
{
	if (previous_process_utility)
		previous_process_utility(pstmt, query_string, read_only_tree, context,
								 params, env, dest, qc);
	else
		standard_ProcessUtility(pstmt, query_string, read_only_tree, context,
								params, env, dest, qc);
}

static void
guard_process_utility(PlannedStmt *pstmt, const char *query_string,
					  bool read_only_tree, ProcessUtilityContext context,
					  ParamListInfo params, QueryEnvironment *env,
					  DestReceiver *dest, QueryCompletion *qc)
{
	const Node *stmt;

	if (!pgt_guard_watches(pstmt->utilityStmt) || !IsTransactionState())
	{
		run_utility(pstmt, query_string, read_only_tree, context, params, env,
					dest, qc);
		return;
	}

	/* commands scribble on their tree: keep what is asked afterwards */
	stmt = copyObject(pstmt->utilityStmt);
	before_database_command(stmt);
	if (pgt_extension_installed())
	{
		PgtDdlFrame frame;

		pgt_guard_check_utility(stmt);
		pgt_ddl_begin(&frame, stmt);
		PG_TRY();
		{
			run_utility(pstmt, query_string, read_only_tree, context, params,
						env, dest, qc);
		}
		PG_CATCH();
		{
			pgt_ddl_abandon(&frame);
			PG_RE_THROW();
		}
		PG_END_TRY();
		pgt_ddl_end(&frame);
	}
	else
		run_utility(pstmt, query_string, read_only_tree, context, params, env,
					dest, qc);
	after_database_command(stmt);
}

void
pgt_guard_init(void)
{
	previous_executor_start = ExecutorStart_hook;
	ExecutorStart_hook = guard_executor_start;
	previous_process_utility = ProcessUtility_hook;
	ProcessUtility_hook = guard_process_utility;
	previous_object_access = object_access_hook;
	object_access_hook = guard_object_access;
	pgt_ddl_init();
}
