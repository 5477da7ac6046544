/*
 * applier/api/ddl.c - notices DDL on stream tables and on what they read.
 *
 * Two ways of noticing, none of which a setting switches off.  The object
 * access hook sees every object dropped (by whatever cascade), every column
 * and relation altered, every function and policy made or replaced.  What it
 * cannot tell apart (ATTACH PARTITION, DISABLE TRIGGER, a replaced view) is
 * read off the command's tree in ProcessUtility, before the command runs.
 *
 * Noticing only takes notes, in memory of the transaction.  They are acted
 * upon (ddl_effects.c) when the utility command has ended, inside the same
 * transaction, so that an error there undoes the command; or before commit,
 * where no utility command was involved.  Sub-commands of ALTER TABLE wait
 * for the outer command: it has the table open.
 *
 * A subtransaction that is rolled back takes its notes with it.  While the
 * extension itself is being dropped nothing is noted or done.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/xact.h"
#include "catalog/index.h"
#include "catalog/namespace.h"
#include "catalog/pg_class.h"
#include "catalog/pg_index.h"
#include "catalog/pg_namespace.h"
#include "catalog/pg_operator.h"
#include "catalog/pg_policy.h"
#include "catalog/pg_proc.h"
#include "catalog/pg_type.h"
#include "nodes/makefuncs.h"
#include "nodes/parsenodes.h"
#include "parser/parse_type.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"

#include "applier/api/ddl.h"
#include "applier/api/ddl_internal.h"
#include "applier/catalog/catalog.h"
#include "applier/settings.h"
#include "decoder/compat.h"

static PgtDdlFrame *current_frame = NULL;
static List *pending = NIL;		/* of PgtDdlNote*, in TopTransactionContext */
static bool processing = false;
static int	catalog_dropped_at = 0; /* nest level that drops our catalog, 0: none */

/* ---- notes ---- */

static PgtDdlNote *
make_note(PgtDdlKind kind, Oid class_id, Oid object_id, const char *reason)
{
	PgtDdlNote *note = palloc0(sizeof(PgtDdlNote));

	note->kind = kind;
	note->class_id = class_id;
	note->object_id = object_id;
	note->reason = reason ? pstrdup(reason) : NULL;
	note->nest_level = GetCurrentTransactionNestLevel();
	return note;
}

static PgtDdlNote *
note_pending(PgtDdlKind kind, Oid class_id, Oid object_id, const char *reason)
{
	MemoryContext saved = MemoryContextSwitchTo(TopTransactionContext);
	PgtDdlNote *note = make_note(kind, class_id, object_id, reason);

	pending = lappend(pending, note);
	MemoryContextSwitchTo(saved);
	return note;
}

static bool
has_readers(Oid relid)
{
	return pgt_dependency_readers(relid) != NIL;
}

/* ---- from the object access hook ---- */

/*
 * Is relid a table of our catalog, or an index of one?  Then the extension is
 * being dropped, and its tables go one by one in any order.
 */
static bool
is_catalog_part(Oid relid)
{
	Oid			table = get_rel_relkind(relid) == RELKIND_INDEX ?
		IndexGetRelation(relid, true) : relid;

	for (PgtCatalogTable t = PGT_TABLE_DEFINITIONS; t <= PGT_TABLE_HISTORY; t++)
		if (table == pgt_catalog_relid(t))
			return true;
	return false;
}

static void
note_dropped_index(Oid index)
{
	HeapTuple	tuple = SearchSysCache1(INDEXRELID, ObjectIdGetDatum(index));
	Oid			table = InvalidOid;

	if (!HeapTupleIsValid(tuple))
		return;
	if (((Form_pg_index) GETSTRUCT(tuple))->indisunique)
		table = ((Form_pg_index) GETSTRUCT(tuple))->indrelid;
	ReleaseSysCache(tuple);
	if (OidIsValid(table) && has_readers(table))
		note_pending(PGT_DDL_KEY_DROPPED, RelationRelationId, table,
					 psprintf("unique index \"%s\" of table \"%s\" was dropped",
							  get_rel_name(index), get_rel_name(table)));
}

static void
note_dropped_relation(Oid relid)
{
	char		relkind = get_rel_relkind(relid);
	ListCell   *lc;

	if (relkind == RELKIND_INDEX || relkind == RELKIND_PARTITIONED_INDEX)
	{
		note_dropped_index(relid);
		return;
	}
	if (pgt_is_stream_table(relid))
		note_pending(PGT_DDL_DROPPED_STREAM_TABLE, RelationRelationId, relid, NULL)->pgt_id =
			pgt_stream_table_by_relid(relid, false)->pgt_id;
	if (pgt_is_source(relid) || has_readers(relid))
		note_pending(PGT_DDL_DROPPED_SOURCE, RelationRelationId, relid, NULL);
	foreach(lc, pgt_ddl_ancestors(relid))
	{
		Oid			parent = lfirst_oid(lc);

		if (parent != relid && has_readers(parent))
			note_pending(PGT_DDL_CHANGED_RELATION, RelationRelationId, parent,
						 psprintf("partition or child table \"%s\" of table \"%s\" was dropped",
								  get_rel_name(relid), get_rel_name(parent)));
	}
}

static void
note_column(Oid relid, AttrNumber attnum, const char *format)
{
	if (!has_readers(relid))
		return;
	note_pending(PGT_DDL_CHANGED_RELATION, RelationRelationId, relid,
				 psprintf(format, get_attname(relid, attnum, false),
						  get_rel_name(relid)))->attnum = attnum;
}

/* Rows of the table, as values, got another form; its columns are as before. */
static void
note_row_type(Oid relid, const char *format)
{
	if (has_readers(relid))
		note_pending(PGT_DDL_CHANGED_RELATION, RelationRelationId, relid,
					 psprintf(format, get_rel_name(relid)))->attnum = PGT_DDL_WHOLE_ROW;
}

/* The table of a policy, which may have been made just now. */
static Oid
table_of_policy(Oid policy)
{
	Relation	rel = table_open(PolicyRelationId, AccessShareLock);
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple	tuple;
	Oid			relid = InvalidOid;

	ScanKeyInit(&key, Anum_pg_policy_oid, BTEqualStrategyNumber, F_OIDEQ,
				ObjectIdGetDatum(policy));
	scan = systable_beginscan(rel, PolicyOidIndexId, true, SnapshotSelf, 1, &key);
	tuple = systable_getnext(scan);
	if (HeapTupleIsValid(tuple))
		relid = ((Form_pg_policy) GETSTRUCT(tuple))->polrelid;
	systable_endscan(scan);
	table_close(rel, AccessShareLock);
	return relid;
}

static void
note_policy(Oid policy)
{
	Oid			relid = table_of_policy(policy);

	if (OidIsValid(relid) && has_readers(relid))
		note_pending(PGT_DDL_CHANGED_RELATION, RelationRelationId, relid,
					 psprintf("the row security policies of table \"%s\" were changed",
							  get_rel_name(relid)));
}

static void
note_drop(Oid class_id, Oid object_id, int sub_id)
{
	if (class_id == PolicyRelationId)
		note_policy(object_id);
	if (class_id != RelationRelationId)
		return;
	if (is_catalog_part(object_id))
		catalog_dropped_at = GetCurrentTransactionNestLevel();
	else if (sub_id == 0)
		note_dropped_relation(object_id);
	else
		note_column(object_id, sub_id, "column \"%s\" of table \"%s\" was dropped");
}

static bool
is_retyped(Oid relid, AttrNumber attnum)
{
	char	   *name = get_attname(relid, attnum, true);
	ListCell   *lc;

	foreach(lc, current_frame->retyped)
		if (name != NULL && strcmp(name, lfirst(lc)) == 0)
			return true;
	return false;
}

static void
note_alter(Oid class_id, Oid object_id, int sub_id)
{
	if (current_frame->is_rename)
	{
		if (class_id == NamespaceRelationId)
			note_pending(PGT_DDL_RENAMED_SCHEMA, class_id, object_id, NULL);
		else if (class_id == RelationRelationId && sub_id > 0)
		{
			note_row_type(object_id, "a column of table \"%s\" was renamed");
			note_pending(PGT_DDL_RENAMED, class_id, object_id, NULL);
		}
		else if (class_id == RelationRelationId || class_id == ProcedureRelationId ||
				 class_id == TypeRelationId || class_id == OperatorRelationId)
			note_pending(PGT_DDL_RENAMED, class_id, object_id, NULL);
	}
	else if (class_id == RelationRelationId && sub_id > 0 && is_retyped(object_id, sub_id))
		note_column(object_id, sub_id, "column \"%s\" of table \"%s\" got another type or expression");
}

static bool
is_function_command(const Node *stmt)
{
	return IsA(stmt, CreateFunctionStmt) || IsA(stmt, AlterFunctionStmt) ||
		IsA(stmt, DefineStmt);
}

void
pgt_ddl_object_access(ObjectAccessType access, Oid class_id, Oid object_id,
					  int sub_id)
{
	if (catalog_dropped_at > 0 || !IsTransactionState() ||
		(access != OAT_DROP && current_frame == NULL && class_id != PolicyRelationId) ||
		!pgt_extension_installed())
		return;
	if (access == OAT_DROP)
		note_drop(class_id, object_id, sub_id);
	else if (access != OAT_POST_CREATE && access != OAT_POST_ALTER)
		return;
	else if (class_id == PolicyRelationId)
		note_policy(object_id);
	else if (class_id == ProcedureRelationId && is_function_command(current_frame->stmt))
		note_pending(PGT_DDL_CHANGED_OBJECT, class_id, object_id, NULL);
	else if (access == OAT_POST_CREATE && class_id == RelationRelationId && sub_id > 0)
		note_row_type(object_id, "a column was added to table \"%s\"");
	else if (access == OAT_POST_ALTER)
		note_alter(class_id, object_id, sub_id);
}

/* ---- from the command's tree ---- */

static Oid
lookup(const RangeVar *relation)
{
	return relation ? RangeVarGetRelid(relation, NoLock, true) : InvalidOid;
}

static void
note_in_frame(PgtDdlFrame *frame, PgtDdlKind kind, Oid class_id, Oid object_id,
			  const char *reason)
{
	if (OidIsValid(object_id))
		frame->notes = lappend(frame->notes, make_note(kind, class_id, object_id, reason));
}

/* The rows seen through a parent changed without a captured change. */
static void
note_tree(PgtDdlFrame *frame, Oid relid, const char *format)
{
	ListCell   *lc;

	if (!OidIsValid(relid))
		return;
	foreach(lc, pgt_ddl_ancestors(relid))
		note_in_frame(frame, PGT_DDL_CHANGED_RELATION, RelationRelationId, lfirst_oid(lc),
					  psprintf(format, get_rel_name(relid)));
}

/* Parent and child may need other triggers than before. */
static void
note_family(PgtDdlFrame *frame, Oid parent, Oid child)
{
	note_in_frame(frame, PGT_DDL_FAMILY, RelationRelationId, parent, NULL);
	note_in_frame(frame, PGT_DDL_FAMILY, RelationRelationId, child, NULL);
}

static void
note_alter_command(PgtDdlFrame *frame, Oid relid, const AlterTableCmd *cmd)
{
	if (PGT_IS_SET_EXPRESSION(cmd->subtype))
		frame->retyped = lappend(frame->retyped, cmd->name);
	switch (cmd->subtype)
	{
		case AT_AlterColumnType:
			frame->retyped = lappend(frame->retyped, cmd->name);
			break;
		case AT_AttachPartition:
			note_tree(frame, relid, "a partition was attached to table \"%s\"");
			note_family(frame, relid, lookup(((PartitionCmd *) cmd->def)->name));
			break;
		case AT_DetachPartition:
		case AT_DetachPartitionFinalize:
			note_tree(frame, relid, "a partition was detached from table \"%s\"");
			note_family(frame, relid, lookup(((PartitionCmd *) cmd->def)->name));
			break;
		case AT_AddInherit:
			note_tree(frame, lookup((RangeVar *) cmd->def), "a child table was added to table \"%s\"");
			note_family(frame, lookup((RangeVar *) cmd->def), relid);
			break;
		case AT_DropInherit:
			note_tree(frame, lookup((RangeVar *) cmd->def), "a child table was taken from table \"%s\"");
			note_family(frame, lookup((RangeVar *) cmd->def), relid);
			break;
		case AT_SetLogged:
		case AT_SetUnLogged:
			note_tree(frame, relid, "the persistence of table \"%s\" was changed");
			note_in_frame(frame, PGT_DDL_IDENTITY, RelationRelationId, relid, NULL);
			break;
		case AT_ReplicaIdentity:
			note_in_frame(frame, PGT_DDL_IDENTITY, RelationRelationId, relid, NULL);
			break;
		case AT_EnableRowSecurity:
		case AT_DisableRowSecurity:
		case AT_ForceRowSecurity:
		case AT_NoForceRowSecurity:
			note_in_frame(frame, PGT_DDL_CHANGED_RELATION, RelationRelationId, relid,
						  psprintf("row security of table \"%s\" was switched", get_rel_name(relid)));
			break;
		case AT_EnableTrigAll:
		case AT_DisableTrigAll:
			note_in_frame(frame, PGT_DDL_TRIGGERS_SWITCHED, RelationRelationId, relid, NULL);
			break;
		case AT_DropNotNull:
			note_in_frame(frame, PGT_DDL_KEY_DROPPED, RelationRelationId, relid,
						  psprintf("a column of table \"%s\" may be null now", get_rel_name(relid)));
			break;
		case AT_SetRelOptions:
		case AT_ResetRelOptions:
		case AT_ReplaceRelOptions:
			/* security_barrier, security_invoker */
			if (get_rel_relkind(relid) == RELKIND_VIEW)
				note_in_frame(frame, PGT_DDL_CHANGED_RELATION, RelationRelationId, relid,
							  psprintf("options of view \"%s\" were changed", get_rel_name(relid)));
			break;
		default:
			break;
	}
}

static void
note_alter_table(PgtDdlFrame *frame, const AlterTableStmt *stmt)
{
	Oid			relid = lookup(stmt->relation);
	ListCell   *lc;

	frame->is_alter = true;
	if (!OidIsValid(relid))
		return;
	if (stmt->objtype == OBJECT_TYPE)
		note_in_frame(frame, PGT_DDL_CHANGED_OBJECT, TypeRelationId,
					  get_rel_type_id(relid), "a composite type it uses was altered");
	foreach(lc, stmt->cmds)
		note_alter_command(frame, relid, lfirst_node(AlterTableCmd, lc));
}

/* Rows of inheritance children are not in the unique indexes of the parents. */
static void
note_unkeyed(PgtDdlFrame *frame, Oid parent)
{
	ListCell   *lc;

	if (get_rel_relkind(parent) == RELKIND_PARTITIONED_TABLE)
		return;
	foreach(lc, pgt_ddl_ancestors(parent))
		note_in_frame(frame, PGT_DDL_KEY_DROPPED, RelationRelationId,
					  lfirst_oid(lc),
					  psprintf("a child table was added to table \"%s\"",
							   get_rel_name(parent)));
}

static void
note_new_child(PgtDdlFrame *frame, const CreateStmt *stmt, bool foreign)
{
	ListCell   *lc;

	foreach(lc, stmt->inhRelations)
	{
		Oid			parent = lookup(lfirst_node(RangeVar, lc));

		note_in_frame(frame, PGT_DDL_FAMILY, RelationRelationId, parent, NULL);
		if (OidIsValid(parent))
			note_unkeyed(frame, parent);
		if (foreign)
			note_tree(frame, parent, "a foreign table was added to table \"%s\"");
	}
}

static void
note_statement(PgtDdlFrame *frame)
{
	const Node *stmt = frame->stmt;

	switch (nodeTag(stmt))
	{
		case T_AlterTableStmt:
			note_alter_table(frame, (const AlterTableStmt *) stmt);
			break;
		case T_CreateStmt:
			note_new_child(frame, (const CreateStmt *) stmt, false);
			break;
		case T_CreateForeignTableStmt:
			note_new_child(frame, &((const CreateForeignTableStmt *) stmt)->base, true);
			break;
		case T_ViewStmt:
			if (((const ViewStmt *) stmt)->replace)
				note_in_frame(frame, PGT_DDL_CHANGED_RELATION, RelationRelationId,
							  lookup(((const ViewStmt *) stmt)->view),
							  psprintf("view \"%s\" was replaced", ((const ViewStmt *) stmt)->view->relname));
			break;
		case T_AlterEnumStmt:
			if (((const AlterEnumStmt *) stmt)->oldVal != NULL)
				note_in_frame(frame, PGT_DDL_CHANGED_OBJECT, TypeRelationId,
							  typenameTypeId(NULL, makeTypeNameFromNameList(((const AlterEnumStmt *) stmt)->typeName)),
							  "a value of an enum type it uses was renamed");
			break;
		case T_RenameStmt:
		case T_AlterObjectSchemaStmt:
			frame->is_rename = true;
			break;
		default:
			break;
	}
}

/* ---- around a command ---- */

void
pgt_ddl_begin(PgtDdlFrame *frame, const Node *stmt)
{
	memset(frame, 0, sizeof(*frame));
	frame->stmt = stmt;
	frame->outer = current_frame;
	note_statement(frame);
	current_frame = frame;
}

void
pgt_ddl_abandon(PgtDdlFrame *frame)
{
	current_frame = frame->outer;
}

static bool
inside_alter_table(void)
{
	for (PgtDdlFrame *f = current_frame; f != NULL; f = f->outer)
		if (f->is_alter)
			return true;
	return false;
}

void
pgt_ddl_end(PgtDdlFrame *frame)
{
	ListCell   *lc;

	current_frame = frame->outer;
	foreach(lc, frame->notes)
	{
		const PgtDdlNote *note = lfirst(lc);

		note_pending(note->kind, note->class_id, note->object_id, note->reason);
	}
	if (!inside_alter_table())
		pgt_ddl_process();
}

/* ---- acting ---- */

static int
cmp_note(const ListCell *a, const ListCell *b)
{
	return (int) ((PgtDdlNote *) lfirst(a))->kind - (int) ((PgtDdlNote *) lfirst(b))->kind;
}

static void
report(const PgtDdlMarks *marks)
{
	if (marks->ids == NIL)
		return;
	if (list_length(marks->ids) > PGT_DDL_NAMED)
		appendStringInfo(marks->names, " and %d more",
						 list_length(marks->ids) - PGT_DDL_NAMED);
	if (pgt_block_source_ddl)
		ereport(ERROR,
				(errcode(ERRCODE_DEPENDENT_OBJECTS_STILL_EXIST),
				 errmsg("cannot change what stream tables read while pg_trickle.block_source_ddl is on"),
				 errdetail("To be rebuilt: %s (%s).", marks->names->data, marks->reason),
				 errhint("Set pg_trickle.block_source_ddl to off.")));
	ereport(NOTICE,
			(errmsg_plural("a stream table will be rebuilt: %s",
						   "stream tables will be rebuilt: %s",
						   list_length(marks->ids), marks->names->data),
			 errdetail("Reason: %s.", marks->reason)));
}

static void
apply_pending(void)
{
	PgtDdlMarks marks = {0};

	marks.names = makeStringInfo();
	CommandCounterIncrement();
	while (pending != NIL)
	{
		List	   *notes = pending;
		ListCell   *lc;

		pending = NIL;
		list_sort(notes, cmp_note);
		foreach(lc, notes)
			pgt_ddl_apply(lfirst(lc), &marks);
		CommandCounterIncrement();
	}
	report(&marks);
}

void
pgt_ddl_process(void)
{
	bool		own_snapshot = !ActiveSnapshotSet();

	if (pending == NIL || processing)
		return;
	if (catalog_dropped_at > 0 || !pgt_extension_installed())
	{
		pending = NIL;
		return;
	}
	if (own_snapshot)
		PushActiveSnapshot(GetTransactionSnapshot());
	processing = true;
	PG_TRY();
	{
		apply_pending();
	}
	PG_FINALLY();
	{
		processing = false;
	}
	PG_END_TRY();
	if (own_snapshot)
		PopActiveSnapshot();
}

/* ---- ends of transactions ---- */

static void
at_transaction_end(XactEvent event, void *arg)
{
	if (event == XACT_EVENT_PRE_COMMIT || event == XACT_EVENT_PRE_PREPARE)
	{
		pgt_ddl_process();
		return;
	}
	pending = NIL;
	catalog_dropped_at = 0;
	if (event == XACT_EVENT_ABORT)
		current_frame = NULL;
}

static void
at_subtransaction_end(SubXactEvent event, SubTransactionId self,
					  SubTransactionId parent, void *arg)
{
	int			level = GetCurrentTransactionNestLevel();
	ListCell   *lc;

	if (event == SUBXACT_EVENT_ABORT_SUB && catalog_dropped_at >= level)
		catalog_dropped_at = 0;
	if (event == SUBXACT_EVENT_COMMIT_SUB && catalog_dropped_at == level)
		catalog_dropped_at = level - 1;
	if (event != SUBXACT_EVENT_ABORT_SUB && event != SUBXACT_EVENT_COMMIT_SUB)
		return;
	foreach(lc, pending)
	{
		PgtDdlNote *note = lfirst(lc);

		if (note->nest_level < level)
			continue;
		if (event == SUBXACT_EVENT_ABORT_SUB)
			pending = foreach_delete_current(pending, lc);
		else
			note->nest_level = level - 1;
	}
}

void
pgt_ddl_init(void)
{
	RegisterXactCallback(at_transaction_end, NULL);
	RegisterSubXactCallback(at_subtransaction_end, NULL);
}
