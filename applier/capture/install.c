/*
 * applier/capture/install.c - putting capture on sources and taking it off.
 *
 * A source is captured in one of two forms:
 *
 *   statement  triggers with transition tables on the source and on every
 *              descendant.  DML fires the triggers of the table it names, and
 *              rows of descendants are in those transition tables: whichever
 *              table of the tree is named, exactly one trigger sees the rows.
 *   row        row triggers on every table of the tree that stores rows.  For
 *              sources that are partitions or inheritance children (DML that
 *              names an ancestor fires no statement trigger of theirs), that
 *              logical replication writes to (the apply worker fires row
 *              triggers only), or that have foreign tables among them
 *              (transition tables are refused there).
 *
 * Both have a statement trigger for TRUNCATE on every table of the tree.  A
 * table may belong to several sources at once, itself and ancestors; which
 * triggers it needs follows from the forms of all of them, so everything here
 * ends in sync_triggers(), which makes a relation's triggers what they should
 * be.  Triggers are internal (not dumped, not switched off by DISABLE TRIGGER
 * USER), ENABLE ALWAYS, and go away with the extension.
 *
 * Locks: the tree is locked parents first, ShareRowExclusive to begin or to
 * widen, AccessExclusive to end; then the first buffer segment with
 * ShareUpdateExclusive, which stands for the right to change the source's row
 * of pgt_sources (clean.c takes it too, conditionally).
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/xact.h"
#include "catalog/dependency.h"
#include "catalog/indexing.h"
#include "catalog/pg_class.h"
#include "catalog/pg_extension.h"
#include "catalog/pg_inherits.h"
#include "catalog/pg_proc.h"
#include "catalog/pg_subscription_rel.h"
#include "catalog/pg_trigger.h"
#include "commands/trigger.h"
#include "nodes/bitmapset.h"
#include "nodes/makefuncs.h"
#include "parser/parse_func.h"
#include "storage/lmgr.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/timestamp.h"

#include "applier/capture/buffer.h"
#include "applier/capture/capture.h"
#include "applier/capture/cdc.h"
#include "applier/capture/install.h"
#include "applier/capture/target.h"
#include "applier/capture/wal.h"
#include "applier/catalog/catalog.h"
#include "applier/catalog/coordination.h"
#include "decoder/compat.h"

/* A set of kinds is a bit mask. */
#define DECODER_PATIENCE_MS	2000

#define KIND_STATEMENT	0x07
#define KIND_ROW		0x08
#define KIND_TRUNCATE	0x10

static const PgtTriggerKind kinds[] = {
	{"pgt_capture_insert", TRIGGER_TYPE_INSERT, false, true},
	{"pgt_capture_update", TRIGGER_TYPE_UPDATE, true, true},
	{"pgt_capture_delete", TRIGGER_TYPE_DELETE, true, false},
	{"pgt_capture_row", TRIGGER_TYPE_ROW | TRIGGER_TYPE_INSERT |
	TRIGGER_TYPE_UPDATE | TRIGGER_TYPE_DELETE, false, false},
	{"pgt_capture_truncate", TRIGGER_TYPE_TRUNCATE, false, false},
};

/* ---- one relation's triggers ---- */

Oid
pgt_install_function(const char *name)
{
	return LookupFuncName(list_make2(makeString("pgtrickle"),
									 makeString(pstrdup(name))),
						  0, NULL, false);
}

static Oid
capture_function(void)
{
	return pgt_install_function("capture");
}

/* By a gate. */
static bool
is_stopped(Oid relid)
{
	PgtGate    *gate = pgt_gate_get(relid, NULL);

	return gate != NULL && gate->stop_capture;
}

static int
required_kinds(Oid relid)
{
	char		relkind = get_rel_relkind(relid);
	int			required = 0;
	ListCell   *lc;

	foreach(lc, pgt_lineage(relid))
	{
		PgtSource  *source = pgt_source_get(lfirst_oid(lc), true);

		if (source == NULL || strcmp(source->capture_form, "none") == 0 ||
			is_stopped(source->relid))
			continue;
		if (relkind != RELKIND_FOREIGN_TABLE)
			required |= KIND_TRUNCATE;
		if (strcmp(source->capture_form, "statement") == 0)
			required |= KIND_STATEMENT;
		else if (relkind != RELKIND_PARTITIONED_TABLE)
			required |= KIND_ROW;
	}
	return required;
}

int
pgt_install_present(Oid relid, Oid function, const PgtTriggerKind *among,
					int namong, Oid *oids)
{
	Relation	triggers = table_open(TriggerRelationId, AccessShareLock);
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple	tuple;
	int			present = 0;

	ScanKeyInit(&key, Anum_pg_trigger_tgrelid, BTEqualStrategyNumber, F_OIDEQ,
				ObjectIdGetDatum(relid));
	scan = systable_beginscan(triggers, TriggerRelidNameIndexId, true, NULL, 1,
							  &key);
	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		Form_pg_trigger form = (Form_pg_trigger) GETSTRUCT(tuple);

		if (form->tgfoid != function || !form->tgisinternal)
			continue;
		for (int i = 0; i < namong; i++)
			if (among[i].tgtype == form->tgtype &&
				(among[i].old_table || among[i].new_table) ==
				(!heap_attisnull(tuple, Anum_pg_trigger_tgoldtable, NULL) ||
				 !heap_attisnull(tuple, Anum_pg_trigger_tgnewtable, NULL)))
			{
				present |= 1 << i;
				oids[i] = form->oid;
			}
	}
	systable_endscan(scan);
	table_close(triggers, AccessShareLock);
	return present;
}

static TriggerTransition *
transition_table(const char *name, bool is_new)
{
	TriggerTransition *t = makeNode(TriggerTransition);

	t->name = pstrdup(name);
	t->isNew = is_new;
	t->isTable = true;
	return t;
}

void
pgt_install_create(Oid relid, const PgtTriggerKind *kind, Oid function)
{
	CreateTrigStmt *stmt = makeNode(CreateTrigStmt);
	ObjectAddress trigger,
				extension;

	stmt->trigname = pstrdup(kind->name);
	stmt->relation = makeRangeVar(get_namespace_name(get_rel_namespace(relid)),
								  get_rel_name(relid), -1);
	stmt->row = (kind->tgtype & TRIGGER_TYPE_ROW) != 0;
	stmt->timing = kind->tgtype & TRIGGER_TYPE_TIMING_MASK;
	stmt->events = kind->tgtype & TRIGGER_TYPE_EVENT_MASK;
	if (kind->old_table)
		stmt->transitionRels = lappend(stmt->transitionRels,
									   transition_table("pgt_old", false));
	if (kind->new_table)
		stmt->transitionRels = lappend(stmt->transitionRels,
									   transition_table("pgt_new", true));
	trigger = CreateTriggerFiringOn(stmt, NULL, relid, InvalidOid, InvalidOid,
									InvalidOid, function, InvalidOid, NULL,
									true, false, TRIGGER_FIRES_ALWAYS);
	ObjectAddressSet(extension, ExtensionRelationId, pgt_extension_oid());
	recordDependencyOn(&trigger, &extension, DEPENDENCY_AUTO_EXTENSION);
	CommandCounterIncrement();
}

void
pgt_install_drop(Oid oid)
{
	ObjectAddress trigger;

	ObjectAddressSet(trigger, TriggerRelationId, oid);
	performDeletion(&trigger, DROP_RESTRICT, PERFORM_DELETION_INTERNAL);
	CommandCounterIncrement();
}

/*
 * Make a relation's capture triggers what its sources need.  Creating needs
 * ShareRowExclusiveLock, dropping takes AccessExclusiveLock; both are kept
 * until commit.
 */
static void
sync_triggers(Oid relid)
{
	Oid			function = capture_function();
	Oid			oids[lengthof(kinds)];
	int			required = required_kinds(relid);
	int			present = pgt_install_present(relid, function, kinds,
											  lengthof(kinds), oids);

	for (int i = 0; i < lengthof(kinds); i++)
	{
		int			bit = 1 << i;

		if ((required & bit) && !(present & bit))
			pgt_install_create(relid, &kinds[i], function);
		else if (!(required & bit) && (present & bit))
			pgt_install_drop(oids[i]);
	}
}

/* Is anything missing or too much?  Asked before taking locks for it. */
static bool
is_synced(Oid relid)
{
	Oid			oids[lengthof(kinds)];

	return required_kinds(relid) ==
		pgt_install_present(relid, capture_function(), kinds, lengthof(kinds),
							oids);
}

/* ---- the source as a whole ---- */

static bool
is_subscribed(Oid relid)
{
	Relation	rel = table_open(SubscriptionRelRelationId, AccessShareLock);
	ScanKeyData key;
	SysScanDesc scan;
	bool		found;

	ScanKeyInit(&key, Anum_pg_subscription_rel_srrelid, BTEqualStrategyNumber,
				F_OIDEQ, ObjectIdGetDatum(relid));
	scan = systable_beginscan(rel, SubscriptionRelSrrelidSrsubidIndexId, true,
							  NULL, 1, &key);
	found = HeapTupleIsValid(systable_getnext(scan));
	systable_endscan(scan);
	table_close(rel, AccessShareLock);
	return found;
}

char *
pgt_install_form(Oid relid, List *tree)
{
	ListCell   *lc;

	if (list_length(pgt_lineage(relid)) > 1)
		return "row";
	foreach(lc, tree)
		if (get_rel_relkind(lfirst_oid(lc)) == RELKIND_FOREIGN_TABLE ||
			is_subscribed(lfirst_oid(lc)))
			return "row";
	return "statement";
}

List *
pgt_install_lock_tree(Oid relid, LOCKMODE lockmode)
{
	LockRelationOid(relid, lockmode);
	return find_all_inheritors(relid, lockmode, NULL);
}

static void
refuse(Oid relid, const char *what, const char *hint)
{
	ereport(ERROR,
			(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
			 errmsg("changes of \"%s\" cannot be captured: %s",
					get_rel_name(relid), what),
			 errhint("%s", hint)));
}

void
pgt_install_check(Oid relid, List *tree)
{
	ListCell   *lc;
	char		relkind = get_rel_relkind(relid);

	if (relkind != RELKIND_RELATION && relkind != RELKIND_PARTITIONED_TABLE)
		refuse(relid, "it is not a table", "Use refresh mode FULL.");
	if (get_rel_persistence(relid) == RELPERSISTENCE_TEMP)
		refuse(relid, "it is a temporary table", "Use a permanent table.");
	foreach(lc, tree)
		if (get_rel_relkind(lfirst_oid(lc)) == RELKIND_FOREIGN_TABLE)
			refuse(relid, psprintf("its descendant \"%s\" is a foreign table",
								   get_rel_name(lfirst_oid(lc))),
				   "Use refresh mode FULL.");
}

/* signature of the captured columns as the relation is now */
static int64
current_signature(Oid relid, const AttrNumber *columns, int ncolumns)
{
	Relation	rel = table_open(relid, NoLock);
	PgtWireShape *shape = pgt_wire_shape(relid, RelationGetDescr(rel), columns,
										 ncolumns);

	table_close(rel, NoLock);
	if (shape == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_COLUMN),
				 errmsg("a column of \"%s\" that is to be captured does not exist",
						get_rel_name(relid))));
	return (int64) shape->signature;
}

/* Union of captured columns that still exist and wanted ones, ascending. */
static void
merge_columns(PgtSource *source, const AttrNumber *columns, int ncolumns)
{
	Bitmapset  *all = NULL;
	int			attnum = -1;
	int			n = 0;

	for (int i = 0; i < source->ncolumns; i++)
		if (OidIsValid(get_atttype(source->relid, source->columns[i])))
			all = bms_add_member(all, source->columns[i]);
	for (int i = 0; i < ncolumns; i++)
		all = bms_add_member(all, columns[i]);
	source->ncolumns = bms_num_members(all);
	source->columns = palloc(sizeof(AttrNumber) * (source->ncolumns + 1));
	while ((attnum = bms_next_member(all, attnum)) >= 0)
		source->columns[n++] = attnum;
}

/* Has no captured column been dropped? */
static bool
columns_exist(const PgtSource *source)
{
	for (int i = 0; i < source->ncolumns; i++)
		if (!OidIsValid(get_atttype(source->relid, source->columns[i])))
			return false;
	return true;
}

static bool
has_columns(const PgtSource *source, const AttrNumber *columns, int ncolumns)
{
	int			at = 0;

	for (int i = 0; i < ncolumns; i++)
	{
		while (at < source->ncolumns && source->columns[at] < columns[i])
			at++;
		if (at == source->ncolumns || source->columns[at] != columns[i])
			return false;
	}
	return true;
}

void
pgt_install_lock_row(Oid relid)
{
	PgtBufferRef ref = pgt_buffer_ref(relid, 0);

	if (OidIsValid(ref.heap))
		LockRelationOid(ref.heap, ShareUpdateExclusiveLock);
}

/*
 * Is everything there already?  Then no writer has to be waited for: batches
 * of all of them hold what is wanted.  Both segments are locked, so that
 * clean-up, which does not know the new reader yet, leaves its batches.
 */
static bool
already_captured(Oid relid, const AttrNumber *columns, int ncolumns)
{
	PgtSource  *source = pgt_source_get(relid, true);

	if (source == NULL)
		return false;
	for (int i = 0; i < PGT_BUFFER_SEGMENTS; i++)
	{
		PgtBufferRef ref = pgt_buffer_ref(relid, i);

		if (!OidIsValid(ref.heap))
			return false;
		LockRelationOid(ref.heap, AccessShareLock);
	}
	source = pgt_source_get(relid, true);
	return source != NULL && columns_exist(source) &&
		has_columns(source, columns, ncolumns) &&
		source->signature == current_signature(relid, source->columns,
											   source->ncolumns);
}

void
pgt_install_sync_tree(List *tree)
{
	ListCell   *lc;

	foreach(lc, tree)
		sync_triggers(lfirst_oid(lc));
}

static PgtSource *
new_source(Oid relid, bool is_stream_table, List *tree)
{
	PgtSource  *source = palloc0(sizeof(PgtSource));

	source->relid = relid;
	source->cdc_mode = is_stream_table ? "STREAM" : "TRIGGER";
	source->capture_form = is_stream_table ? "none" : pgt_install_form(relid, tree);
	source->switched_at = InvalidFullTransactionId;
	source->since = GetCurrentTimestamp();
	return source;
}

void
pgt_capture_start(Oid relid, const AttrNumber *columns, int ncolumns,
				  bool is_stream_table)
{
	PgtSource  *source;
	List	   *tree;
	bool		is_new;

	LockRelationOid(relid, AccessShareLock);
	if (already_captured(relid, columns, ncolumns))
		return;

	tree = pgt_install_lock_tree(relid, ShareRowExclusiveLock);
	if (!is_stream_table)
		pgt_install_check(relid, tree);
	pgt_buffer_create(relid);
	pgt_install_lock_row(relid);
	source = pgt_source_get(relid, true);
	is_new = source == NULL;
	if (is_new)
		source = new_source(relid, is_stream_table, tree);
	merge_columns(source, columns, ncolumns);
	source->signature = current_signature(relid, source->columns,
										  source->ncolumns);
	if (is_new)
		pgt_source_insert(source);
	else
		pgt_source_update(source);
	CommandCounterIncrement();
	if (!is_stream_table)
		pgt_install_sync_tree(tree);
}

/*
 * Somebody may be about to read the source whose dependency we cannot see yet:
 * he holds a lock on it, so what was found is looked at again under ours.
 */
void
pgt_capture_stop_if_unused(Oid relid)
{
	List	   *tree = NIL;
	PgtSource  *source;
	char	   *why;

	pgt_maintain_stop_if_unused(relid);
	if (pgt_source_get(relid, true) == NULL ||
		pgt_dependency_deferred(relid) != NIL)
		return;
	if (get_rel_name(relid) != NULL)
		tree = pgt_install_lock_tree(relid, AccessExclusiveLock);
	pgt_install_lock_row(relid);
	source = pgt_source_get(relid, true);
	if (source == NULL || pgt_dependency_deferred(relid) != NIL)
		return;
	/* so that the decoder never finds a buffer locked until our commit; one
	 * that does not come has nobody to hold up */
	if (pgt_cdc_is_wal(source))
		(void) pgt_wal_wait(pgt_wal_end(), DECODER_PATIENCE_MS, &why);
	pgt_source_delete(relid);
	CommandCounterIncrement();
	pgt_install_sync_tree(tree);
	pgt_buffer_drop(relid);
}

/* The gate's row is there (or gone) already: triggers follow from it.  What
 * other sources of the tree need of them stays. */
void
pgt_capture_gate(Oid relid)
{
	pgt_install_sync_tree(pgt_install_lock_tree(relid, AccessExclusiveLock));
}

/* Under the lock every writer that was not captured has ended; the mark comes
 * after all of them. */
void
pgt_capture_ungate(Oid relid)
{
	pgt_install_sync_tree(pgt_install_lock_tree(relid, ShareRowExclusiveLock));
	pgt_buffer_append_lost(relid, psprintf("capture of source \"%s\" was stopped by a gate",
										   get_rel_name(relid)));
}

/*
 * Also takes triggers off relations that no longer belong to a source, when
 * called for those, and changes the form where DDL made another one right.
 */
void
pgt_capture_repair(Oid relid)
{
	PgtSource  *source = pgt_source_get(relid, true);
	List	   *tree = find_all_inheritors(relid, NoLock, NULL);
	ListCell   *lc;

	if (source != NULL && strcmp(source->capture_form, "none") != 0 &&
		strcmp(source->capture_form, pgt_install_form(relid, tree)) != 0)
	{
		tree = pgt_install_lock_tree(relid, AccessExclusiveLock);
		pgt_install_lock_row(relid);
		source = pgt_source_get(relid, false);
		source->capture_form = pgt_install_form(relid, tree);
		pgt_source_update(source);
		CommandCounterIncrement();
	}
	foreach(lc, tree)
	{
		if (is_synced(lfirst_oid(lc)))
			continue;
		LockRelationOid(lfirst_oid(lc), ShareRowExclusiveLock);
		sync_triggers(lfirst_oid(lc));
	}
	pgt_maintain_repair(relid);
}

void
pgt_capture_repair_all(void)
{
	ListCell   *lc;

	foreach(lc, pgt_source_all())
		pgt_capture_repair(((PgtSource *) lfirst(lc))->relid);
	pgt_maintain_repair_all();
}
