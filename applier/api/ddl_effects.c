/*
 * applier/api/ddl_effects.c - what follows from DDL that ddl.c noticed.
 *
 * Runs after the command, in its transaction.  Catalog rows are written
 * natively, so whoever ran the DDL needs no rights on them.  Where a defining
 * query is analysed again, that is done as the stream table's owner and inside
 * a subtransaction: what fails there marks the stream table, it does not stop
 * somebody else's DDL.
 *
 * For what changes a query's meaning marking is enough: the next refresh
 * analyses the query's text again before it takes its snapshot, and rebuilds
 * rows, state and capture (refresh/reinit.c).
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/xact.h"
#include "catalog/dependency.h"
#include "catalog/indexing.h"
#include "catalog/objectaddress.h"
#include "catalog/pg_class.h"
#include "catalog/pg_depend.h"
#include "catalog/pg_inherits.h"
#include "catalog/pg_proc.h"
#include "catalog/pg_rewrite.h"
#include "catalog/pg_trigger.h"
#include "catalog/pg_type.h"
#include "commands/trigger.h"
#include "lib/stringinfo.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/regproc.h"
#include "utils/resowner.h"

#include "applier/api/ddl_internal.h"
#include "applier/capture/capture.h"
#include "applier/capture/handover.h"
#include "applier/catalog/catalog.h"
#include "applier/dvm/dvm.h"
#include "applier/refresh/attach.h"
#include "applier/refresh/identity.h"
#include "applier/refresh/refresh.h"
#include "applier/schedule/schedule.h"

/* ---- marking ---- */

static bool
is_marked(const PgtDdlMarks *marks, int64 pgt_id)
{
	ListCell   *lc;

	foreach(lc, marks->ids)
		if (*(int64 *) lfirst(lc) == pgt_id)
			return true;
	return false;
}

static void
mark(int64 pgt_id, const char *reason, PgtDdlMarks *marks)
{
	PgtStreamTable *st;
	int64	   *id;

	if (is_marked(marks, pgt_id))
		return;
	/* a refresh that ends now would take the mark of its beginning back */
	pgt_stream_table_await(pgt_id);
	st = pgt_stream_table_get(pgt_id, true);
	if (st == NULL)
		return;
	pgt_stream_table_set_status(pgt_id, st->status, true, reason);
	CommandCounterIncrement();
	pgt_schedule_notice_at_commit();

	id = palloc(sizeof(int64));
	*id = pgt_id;
	if (marks->ids == NIL)
		marks->reason = reason;
	if (list_length(marks->ids) < PGT_DDL_NAMED)
		appendStringInfo(marks->names, "%s%s", marks->ids == NIL ? "" : ", ",
						 quote_qualified_identifier(st->schema, st->name));
	marks->ids = lappend(marks->ids, id);
}

static bool
uses_column(const PgtDependency *d, AttrNumber attnum)
{
	/* a use of the whole row is a use of every column */
	for (int i = 0; i < d->ncolumns; i++)
		if (d->columns[i] == attnum || d->columns[i] == 0)
			return true;
	return attnum == 0;
}

static void
mark_readers(Oid relid, AttrNumber attnum, const char *reason,
			 PgtDdlMarks *marks)
{
	ListCell   *lc;

	foreach(lc, pgt_dependency_readers(relid))
	{
		const PgtDependency *d = lfirst(lc);

		if (uses_column(d, attnum))
			mark(d->pgt_id, reason, marks);
	}
}

/* ---- owner's work in a subtransaction ---- */

typedef void (*OwnerWork) (PgtStreamTable *st, void *arg);

/* NULL, or the message of the error that undid it. */
static char *
try_as_owner(PgtStreamTable *st, OwnerWork work, void *arg)
{
	MemoryContext context = CurrentMemoryContext;
	ResourceOwner owner = CurrentResourceOwner;
	char	   *volatile failure = NULL;

	BeginInternalSubTransaction(NULL);
	MemoryContextSwitchTo(context);
	PG_TRY();
	{
		PgtIdentity identity;

		pgt_identity_enter(&identity, pgt_relation_owner(st->relid), st->pinned_settings);
		work(st, arg);
		pgt_identity_leave(&identity);
		ReleaseCurrentSubTransaction();
		MemoryContextSwitchTo(context);
		CurrentResourceOwner = owner;
	}
	PG_CATCH();
	{
		ErrorData  *error;

		MemoryContextSwitchTo(context);
		error = CopyErrorData();
		FlushErrorState();
		RollbackAndReleaseCurrentSubTransaction();
		MemoryContextSwitchTo(context);
		CurrentResourceOwner = owner;
		if (error->sqlerrcode == ERRCODE_QUERY_CANCELED)
			ReThrowError(error);
		failure = error->message;
	}
	PG_END_TRY();
	return failure;
}

/* ---- dropped ---- */

static void
forget_stream_table(int64 pgt_id)
{
	List	   *dependencies = pgt_dependency_of(pgt_id);
	ListCell   *lc;

	if (pgt_stream_table_get(pgt_id, true) == NULL)
		return;
	pgt_stream_table_delete(pgt_id);
	CommandCounterIncrement();
	pgt_state_drop_all(pgt_id);
	CommandCounterIncrement();
	foreach(lc, dependencies)
		pgt_capture_stop_if_unused(((PgtDependency *) lfirst(lc))->source_relid);
	CommandCounterIncrement();
	pgt_refresh_forget_program(pgt_id);
	pgt_schedule_notice_at_commit();
}

/* ---- renamed ---- */

static void
deparse_again(PgtStreamTable *st, void *arg)
{
	char	   *text = pgt_query_deparse(pgt_refresh_load_query(st));

	if (strcmp(text, st->defining_query) == 0)
		return;
	st->defining_query = text;
	pgt_stream_table_update(st);
	CommandCounterIncrement();
}

/* The name of a stream table follows its table; the texts follow their tables. */
static void
follow_names(PgtStreamTable *st, PgtDdlMarks *marks)
{
	char	   *name = get_rel_name(st->relid);
	char	   *schema = get_namespace_name(get_rel_namespace(st->relid));
	char	   *failure;

	if (name != NULL && (strcmp(name, st->name) != 0 || strcmp(schema, st->schema) != 0))
	{
		st->name = name;
		st->schema = schema;
		pgt_stream_table_update(st);
		CommandCounterIncrement();
		pgt_schedule_notice_at_commit();
	}
	failure = try_as_owner(st, deparse_again, NULL);
	if (failure != NULL)
		mark(st->pgt_id, psprintf("its query cannot be read after a rename: %s", failure), marks);
}

static void
follow_names_of(List *dependencies, PgtDdlMarks *marks)
{
	ListCell   *lc;

	foreach(lc, dependencies)
	{
		PgtStreamTable *st = pgt_stream_table_get(((PgtDependency *) lfirst(lc))->pgt_id, true);

		if (st != NULL)
			follow_names(st, marks);
	}
}

static void
follow_schema_name(PgtDdlMarks *marks)
{
	ListCell   *lc;

	foreach(lc, pgt_stream_table_all())
		follow_names(lfirst(lc), marks);
}

/* ---- objects that queries depend on ---- */

typedef void (*DependentVisit) (Oid relid, AttrNumber attnum, void *arg);

static Oid
view_of_rule(Oid rule)
{
	Relation	rel = table_open(RewriteRelationId, AccessShareLock);
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple	tuple;
	Oid			view = InvalidOid;

	ScanKeyInit(&key, Anum_pg_rewrite_oid, BTEqualStrategyNumber, F_OIDEQ,
				ObjectIdGetDatum(rule));
	scan = systable_beginscan(rel, RewriteOidIndexId, true, NULL, 1, &key);
	tuple = systable_getnext(scan);
	if (HeapTupleIsValid(tuple))
		view = ((Form_pg_rewrite) GETSTRUCT(tuple))->ev_class;
	systable_endscan(scan);
	table_close(rel, AccessShareLock);
	return view;
}

/*
 * Visit every relation or column that depends on an object: stream tables,
 * columns of a type (or of an array or domain over it), views whose query
 * calls a function.
 */
static void
visit_dependents(Oid class_id, Oid object_id, DependentVisit visit, void *arg)
{
	Relation	rel = table_open(DependRelationId, AccessShareLock);
	ScanKeyData key[2];
	SysScanDesc scan;
	HeapTuple	tuple;

	ScanKeyInit(&key[0], Anum_pg_depend_refclassid, BTEqualStrategyNumber,
				F_OIDEQ, ObjectIdGetDatum(class_id));
	ScanKeyInit(&key[1], Anum_pg_depend_refobjid, BTEqualStrategyNumber,
				F_OIDEQ, ObjectIdGetDatum(object_id));
	scan = systable_beginscan(rel, DependReferenceIndexId, true, NULL, 2, key);
	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		Form_pg_depend d = (Form_pg_depend) GETSTRUCT(tuple);

		if (d->classid == RelationRelationId)
			visit(d->objid, d->objsubid, arg);
		else if (d->classid == RewriteRelationId)
			visit(view_of_rule(d->objid), 0, arg);
		else if (d->classid == TypeRelationId && d->objid != object_id)
			visit_dependents(TypeRelationId, d->objid, visit, arg);
	}
	systable_endscan(scan);
	table_close(rel, AccessShareLock);
}

typedef struct MarkDependents
{
	const char *reason;
	PgtDdlMarks *marks;
} MarkDependents;

static void
mark_dependent(Oid relid, AttrNumber attnum, void *arg)
{
	MarkDependents *m = arg;

	if (attnum == 0 && pgt_is_stream_table(relid))
		mark(pgt_stream_table_by_relid(relid, false)->pgt_id, m->reason, m->marks);
	else
		mark_readers(relid, attnum, m->reason, m->marks);
}

static void
follow_dependent(Oid relid, AttrNumber attnum, void *arg)
{
	if (attnum == 0 && pgt_is_stream_table(relid))
		follow_names(pgt_stream_table_by_relid(relid, false), arg);
}

static void
follow_renamed(const PgtDdlNote *note, PgtDdlMarks *marks)
{
	if (note->class_id != RelationRelationId)
	{
		visit_dependents(note->class_id, note->object_id, follow_dependent, marks);
		return;
	}
	if (pgt_is_stream_table(note->object_id))
		follow_names(pgt_stream_table_by_relid(note->object_id, false), marks);
	follow_names_of(pgt_dependency_readers(note->object_id), marks);
}

/* ---- inheritance and triggers ---- */

static void
add_parents(Oid relid, List **result)
{
	Relation	rel = table_open(InheritsRelationId, AccessShareLock);
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple	tuple;
	List	   *parents = NIL;
	ListCell   *lc;

	ScanKeyInit(&key, Anum_pg_inherits_inhrelid, BTEqualStrategyNumber, F_OIDEQ,
				ObjectIdGetDatum(relid));
	scan = systable_beginscan(rel, InheritsRelidSeqnoIndexId, true, NULL, 1, &key);
	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
		parents = lappend_oid(parents, ((Form_pg_inherits) GETSTRUCT(tuple))->inhparent);
	systable_endscan(scan);
	table_close(rel, AccessShareLock);

	foreach(lc, parents)
	{
		if (list_member_oid(*result, lfirst_oid(lc)))
			continue;
		*result = lappend_oid(*result, lfirst_oid(lc));
		add_parents(lfirst_oid(lc), result);
	}
}

List *
pgt_ddl_ancestors(Oid relid)
{
	List	   *result = list_make1_oid(relid);

	add_parents(relid, &result);
	return result;
}

/* Old rows may be missing from the WAL, or be there from now on. */
static void
check_wal_capture(Oid relid)
{
	if (get_rel_name(relid) != NULL && pgt_handover_after_ddl(relid))
		pgt_schedule_notice_at_commit();
}

static void
repair_family(Oid relid)
{
	ListCell   *lc;

	foreach(lc, pgt_ddl_ancestors(relid))
		if (lfirst_oid(lc) == relid || pgt_is_source(lfirst_oid(lc)) ||
			pgt_dependency_immediate(lfirst_oid(lc)) != NIL)
			pgt_capture_repair(lfirst_oid(lc));
	CommandCounterIncrement();
	check_wal_capture(relid);
}

/*
 * ALTER TABLE ... DISABLE / ENABLE TRIGGER ALL reaches internal triggers too;
 * capture's stay as they were made: ENABLE ALWAYS.  Nobody can have written in
 * between, the command holds its lock until commit.
 */
static void
enable_capture(Oid relid)
{
	Relation	rel = table_open(TriggerRelationId, RowExclusiveLock);
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple	tuple;

	ScanKeyInit(&key, Anum_pg_trigger_tgrelid, BTEqualStrategyNumber, F_OIDEQ,
				ObjectIdGetDatum(relid));
	scan = systable_beginscan(rel, TriggerRelidNameIndexId, true, NULL, 1, &key);
	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		Form_pg_trigger form = (Form_pg_trigger) GETSTRUCT(tuple);

		if (!form->tgisinternal || form->tgenabled == TRIGGER_FIRES_ALWAYS ||
			get_func_namespace(form->tgfoid) != pgt_schema_oid())
			continue;
		tuple = heap_copytuple(tuple);
		((Form_pg_trigger) GETSTRUCT(tuple))->tgenabled = TRIGGER_FIRES_ALWAYS;
		CatalogTupleUpdate(rel, &tuple->t_self, tuple);
		CacheInvalidateRelcacheByRelid(relid);
	}
	systable_endscan(scan);
	table_close(rel, RowExclusiveLock);
}

static void
enable_capture_of_tree(Oid relid)
{
	ListCell   *lc;

	foreach(lc, find_all_inheritors(relid, NoLock, NULL))
		enable_capture(lfirst_oid(lc));
	CommandCounterIncrement();
}

/* ---- keys ---- */

static void
check_identity(PgtStreamTable *st, void *arg)
{
	Oid			before = st->identity_index;

	pgt_attach_check_identity(st, pgt_query_expand(pgt_refresh_load_query(st)));
	if (st->identity_index == before)
		return;
	pgt_stream_table_update(st);
	CommandCounterIncrement();
}

/* Rows that were told apart by a key of a source may come twice from now on. */
static void
check_keys_of_readers(Oid relid, const char *reason, PgtDdlMarks *marks)
{
	ListCell   *lc;

	foreach(lc, pgt_dependency_readers(relid))
	{
		PgtStreamTable *st = pgt_stream_table_get(((PgtDependency *) lfirst(lc))->pgt_id, true);
		char	   *failure;

		if (st == NULL || strcmp(st->row_identity, "key") != 0)
			continue;
		failure = try_as_owner(st, check_identity, NULL);
		if (failure != NULL)
			mark(st->pgt_id, psprintf("%s, and its query cannot be used: %s", reason, failure), marks);
	}
}

/* ---- the table of effects ---- */

static void
change_relation(const PgtDdlNote *note, PgtDdlMarks *marks)
{
	mark_readers(note->object_id, note->attnum, note->reason, marks);
	/* what is captured of a source follows its columns */
	if (note->attnum > 0 && pgt_is_source(note->object_id) &&
		get_rel_name(note->object_id) != NULL)
		pgt_capture_start(note->object_id, NULL, 0,
						  pgt_is_stream_table(note->object_id));
}

static void
change_object(const PgtDdlNote *note, PgtDdlMarks *marks)
{
	MarkDependents m = {.reason = note->reason,.marks = marks};

	if (note->class_id == ProcedureRelationId)
		m.reason = psprintf("function %s was replaced or altered",
							format_procedure(note->object_id));
	visit_dependents(note->class_id, note->object_id, mark_dependent, &m);
}

void
pgt_ddl_apply(const PgtDdlNote *note, PgtDdlMarks *marks)
{
	switch (note->kind)
	{
		case PGT_DDL_DROPPED_STREAM_TABLE:
			forget_stream_table(note->pgt_id);
			break;
		case PGT_DDL_DROPPED_SOURCE:
			pgt_capture_stop_if_unused(note->object_id);
			break;
		case PGT_DDL_RENAMED_SCHEMA:
			follow_schema_name(marks);
			break;
		case PGT_DDL_RENAMED:
			follow_renamed(note, marks);
			break;
		case PGT_DDL_FAMILY:
			if (get_rel_name(note->object_id) != NULL)
				repair_family(note->object_id);
			break;
		case PGT_DDL_IDENTITY:
			check_wal_capture(note->object_id);
			break;
		case PGT_DDL_TRIGGERS_SWITCHED:
			if (get_rel_name(note->object_id) != NULL)
				enable_capture_of_tree(note->object_id);
			break;
		case PGT_DDL_KEY_DROPPED:
			check_keys_of_readers(note->object_id, note->reason, marks);
			check_wal_capture(note->object_id);
			break;
		case PGT_DDL_CHANGED_RELATION:
			change_relation(note, marks);
			break;
		case PGT_DDL_CHANGED_OBJECT:
			change_object(note, marks);
			break;
	}
}
