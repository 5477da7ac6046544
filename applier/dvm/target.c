/*
 * applier/dvm/target.c - a stream table open for changes.
 *
 * Finds rows through the table's identity index (rowid.c), checks that a row
 * found looks exactly like the one to retract, and writes natively with the
 * table's triggers, constraints and indexes.  A row that is not there means
 * that table and state have parted: ERROR data_corrupted, never a guess.
 *
 * Locks: RowExclusiveLock on the table until commit.  Rows are read with a
 * snapshot taken at open, so nothing written here is met again; a row changed
 * by somebody else meanwhile raises the heap's "concurrently updated" error.
 */
#include "postgres.h"
#include "access/nbtree.h"
#include "access/stratnum.h"
#include "access/table.h"
#include "access/tableam.h"
#include "catalog/pg_type.h"
#include "commands/tablecmds.h"
#include "executor/executor.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/sortsupport.h"

#include "applier/dvm/target.h"
#include "decoder/compat.h"

/* ---- opening ---- */

static void
map_columns(PgtTarget *target, TupleDesc rowdesc)
{
	TupleDesc	desc = RelationGetDescr(target->rel);
	TupleDesc	live;
	int			n = 0;

	target->attnos = palloc(sizeof(AttrNumber) * Max(desc->natts, 1));
	for (int i = 0; i < desc->natts; i++)
		if (!TupleDescAttr(desc, i)->attisdropped)
			target->attnos[n++] = i + 1;
	target->ncolumns = n;
	if (rowdesc->natts < n)
		elog(ERROR, "rows of %d columns for a table of %d", rowdesc->natts, n);
	live = CreateTemplateTupleDesc(n);
	for (int i = 0; i < n; i++)
	{
		TupleDescCopyEntry(live, i + 1, desc, target->attnos[i]);
		if (TupleDescAttr(live, i)->atttypid !=
			TupleDescAttr(rowdesc, i)->atttypid)
			elog(ERROR, "column %d has type %u in the table, %u in the rows",
				 i + 1, TupleDescAttr(live, i)->atttypid,
				 TupleDescAttr(rowdesc, i)->atttypid);
	}
	pgt_tupdesc_finish(live);
	target->imager = pgt_imager_make(live, n);
}

/* 0-based column of an attribute number. */
static int
column_of(PgtTarget *target, AttrNumber attno)
{
	for (int i = 0; i < target->ncolumns; i++)
		if (target->attnos[i] == attno)
			return i;
	elog(ERROR, "attribute %d of \"%s\" is not a column", attno,
		 RelationGetRelationName(target->rel));
}

static void
prepare_hash_identity(PgtTarget *target)
{
	target->scankeys = palloc0(sizeof(ScanKeyData));
	ScanKeyInit(&target->scankeys[0], 1, BTEqualStrategyNumber, F_INT8EQ,
				(Datum) 0);
}

static void
prepare_key_identity(PgtTarget *target)
{
	int			n = target->id.nkeys;
	Relation	index = target->index;
	TupleDesc	desc = CreateTemplateTupleDesc(n);

	target->key_columns = palloc(sizeof(int) * n);
	target->scankeys = palloc0(sizeof(ScanKeyData) * n);
	for (int i = 0; i < n; i++)
	{
		Oid			type = index->rd_opcintype[i];
		Oid			equal = get_opfamily_member(index->rd_opfamily[i], type, type,
												BTEqualStrategyNumber);

		target->key_columns[i] = column_of(target, target->id.key_attnos[i]);
		TupleDescCopyEntry(desc, i + 1, RelationGetDescr(target->rel),
						   target->id.key_attnos[i]);
		ScanKeyEntryInitialize(&target->scankeys[i], 0, i + 1,
							   BTEqualStrategyNumber, type,
							   index->rd_indcollation[i], get_opcode(equal),
							   (Datum) 0);
	}
	pgt_tupdesc_finish(desc);
	target->key_imager = pgt_imager_make(desc, n);
}

/* Columns of unique indexes beside the identity: an update may not pass
 * through them in any order. */
static void
find_other_unique(PgtTarget *target)
{
	ResultRelInfo *rri = target->writer->rri;

	for (int i = 0; i < rri->ri_NumIndices; i++)
	{
		Form_pg_index form = rri->ri_IndexRelationDescs[i]->rd_index;
		Bitmapset  *columns = NULL;

		if (!(form->indisunique || form->indisexclusion) ||
			form->indexrelid == target->id.index)
			continue;
		for (int k = 0; k < form->indnatts; k++)
		{
			/* an expression may use any column */
			if (form->indkey.values[k] == 0)
				columns = bms_add_range(columns, 0, target->ncolumns - 1);
			else if (form->indkey.values[k] > 0)
				columns = bms_add_member(columns,
										 column_of(target, form->indkey.values[k]));
		}
		target->other_unique = lappend(target->other_unique, columns);
	}
}

PgtTarget *
pgt_target_open(Oid relid, TupleDesc rowdesc, Tuplestorestate *out,
				PgtRunResult *result)
{
	PgtTarget  *target = palloc0(sizeof(PgtTarget));

	target->rel = table_open(relid, RowExclusiveLock);
	map_columns(target, rowdesc);
	pgt_rowid_get(relid, &target->id);
	target->index = index_open(target->id.index, RowExclusiveLock);
	if (target->id.by_key)
		prepare_key_identity(target);
	else
		prepare_hash_identity(target);
	target->writer = pgt_writer_begin(target->rel, true);
	/* user code in triggers must not find the engine's door open */
	if (!target->writer->triggers)
		pgt_engine_begin_write();
	find_other_unique(target);
	target->found = table_slot_create(target->rel, NULL);
	target->row = table_slot_create(target->rel, NULL);
	target->out = out;
	target->result = result;
	target->scratch = AllocSetContextCreate(CurrentMemoryContext, "row",
											ALLOCSET_DEFAULT_SIZES);
	target->values = palloc(sizeof(Datum) * (target->ncolumns + 1));
	target->nulls = palloc(sizeof(bool) * (target->ncolumns + 1));
	if (out != NULL)
	{
		target->outdesc = CreateTemplateTupleDesc(target->ncolumns + 1);
		for (int i = 1; i <= target->ncolumns; i++)
			TupleDescCopyEntry(target->outdesc, i, target->imager->desc, i);
		TupleDescInitEntry(target->outdesc, target->ncolumns + 1,
						   PGT_WEIGHT_NAME, INT8OID, -1, 0);
		pgt_tupdesc_finish(target->outdesc);
	}
	return target;
}

void
pgt_target_close(PgtTarget *target)
{
	if (target->scan != NULL)
	{
		Snapshot	snapshot = target->scan->xs_snapshot;

		index_endscan(target->scan);
		UnregisterSnapshot(snapshot);
	}
	for (CmdType kind = CMD_UPDATE; kind <= CMD_DELETE; kind++)
		if (target->begun[kind])
			pgt_writer_after(target->writer, kind);
	if (!target->writer->triggers)
		pgt_engine_end_write();
	ExecDropSingleTupleTableSlot(target->found);
	ExecDropSingleTupleTableSlot(target->row);
	pgt_writer_end(target->writer);
	index_close(target->index, NoLock);
	table_close(target->rel, NoLock);
}

/* ---- images ---- */

MinimalTuple
pgt_target_stored_image(PgtTarget *target, TupleTableSlot *slot)
{
	slot_getallattrs(slot);
	for (int i = 0; i < target->ncolumns; i++)
	{
		target->values[i] = slot->tts_values[target->attnos[i] - 1];
		target->nulls[i] = slot->tts_isnull[target->attnos[i] - 1];
	}
	return pgt_image_form(target->imager, target->values, target->nulls);
}

MinimalTuple
pgt_target_key_image(PgtTarget *target, MinimalTuple image)
{
	int			n = target->id.nkeys;
	Datum		values[INDEX_MAX_KEYS];
	bool		nulls[INDEX_MAX_KEYS];

	pgt_image_deform(target->imager, image, target->values, target->nulls);
	for (int i = 0; i < n; i++)
	{
		values[i] = target->values[target->key_columns[i]];
		nulls[i] = target->nulls[target->key_columns[i]];
	}
	return pgt_image_form(target->key_imager, values, nulls);
}

/* ---- finding ---- */

/* Begin or repeat the scan with the keys set.  What an index scan allocates
 * on its way must live as long as the scan. */
static void
start_scan(PgtTarget *target, int nkeys)
{
	MemoryContext old = MemoryContextSwitchTo(GetMemoryChunkContext(target));

	if (target->scan == NULL)
		target->scan = pgt_index_beginscan(target->rel, target->index,
										   RegisterSnapshot(GetLatestSnapshot()),
										   nkeys);
	index_rescan(target->scan, target->scankeys, nkeys, NULL, 0);
	MemoryContextSwitchTo(old);
}

/* Set the search to the identity of image. */
static void
seek(PgtTarget *target, MinimalTuple image)
{
	int			n = 1;

	pgt_image_deform(target->imager, image, target->values, target->nulls);
	if (target->id.by_key)
	{
		n = target->id.nkeys;
		for (int i = 0; i < n; i++)
		{
			ScanKey		key = &target->scankeys[i];

			key->sk_flags = 0;
			key->sk_strategy = BTEqualStrategyNumber;
			key->sk_argument = target->values[target->key_columns[i]];
			if (!target->nulls[target->key_columns[i]])
				continue;
			key->sk_flags = SK_ISNULL | SK_SEARCHNULL;
			key->sk_strategy = InvalidStrategy;
			key->sk_argument = (Datum) 0;
		}
	}
	else
		target->scankeys[0].sk_argument =
			Int64GetDatum((int64) pgt_row_hash_values(target->imager,
													  target->values,
													  target->nulls));
	start_scan(target, n);
}

static bool
next_row(PgtTarget *target)
{
	MemoryContext old = MemoryContextSwitchTo(GetMemoryChunkContext(target));
	bool		found = index_getnext_slot(target->scan, ForwardScanDirection,
										   target->found);

	MemoryContextSwitchTo(old);
	return found;
}

/*
 * Does the row in target->found look like image, which target->values holds
 * taken apart?  Compared value by value; rows inside rows as images.
 */
static bool
found_matches(PgtTarget *target, MinimalTuple image)
{
	TupleTableSlot *slot = target->found;

	if (target->imager->any_composite)
		return pgt_image_equal(pgt_target_stored_image(target, slot), image);
	slot_getallattrs(slot);
	for (int i = 0; i < target->ncolumns; i++)
	{
		Form_pg_attribute att = TupleDescAttr(target->imager->desc, i);
		int			col = target->attnos[i] - 1;

		if (slot->tts_isnull[col] != target->nulls[i])
			return false;
		if (!target->nulls[i] &&
			!pgt_value_same(slot->tts_values[col], target->values[i],
							att->attlen, att->attbyval))
			return false;
	}
	return true;
}

/* The next row that looks like image into target->found. */
static bool
next_match(PgtTarget *target, MinimalTuple image)
{
	while (next_row(target))
		if (found_matches(target, image))
			return true;
	return false;
}

/* A row to be retracted is not there. */
void
pgt_target_report_missing(PgtTarget *target)
{
	ereport(ERROR,
			(errcode(ERRCODE_DATA_CORRUPTED),
			 errmsg("a row to be retracted is not in stream table \"%s.%s\"",
					get_namespace_name(RelationGetNamespace(target->rel)),
					RelationGetRelationName(target->rel)),
			 errhint("Rebuild it with refresh_stream_table(name, 'FULL').")));
}

/* ---- writing ---- */

static void
begin_kind(PgtTarget *target, CmdType kind)
{
	if (target->begun[kind])
		return;
	target->begun[kind] = true;
	pgt_writer_before(target->writer, kind);
}

static void
note(PgtTarget *target, MinimalTuple image, int64 weight)
{
	if (weight > 0)
		target->result->rows_inserted += weight;
	else
		target->result->rows_deleted -= weight;
	if (target->out == NULL)
		return;
	pgt_image_deform(target->imager, image, target->values, target->nulls);
	target->values[target->ncolumns] = Int64GetDatum(weight);
	target->nulls[target->ncolumns] = false;
	tuplestore_putvalues(target->out, target->outdesc, target->values,
						 target->nulls);
}

static TupleTableSlot *
fill_slot(PgtTarget *target, MinimalTuple image)
{
	TupleTableSlot *slot = target->row;
	int			natts = slot->tts_tupleDescriptor->natts;

	ExecClearTuple(slot);
	pgt_image_deform(target->imager, image, target->values, target->nulls);
	memset(slot->tts_isnull, true, sizeof(bool) * natts);
	memset(slot->tts_values, 0, sizeof(Datum) * natts);
	for (int i = 0; i < target->ncolumns; i++)
	{
		slot->tts_values[target->attnos[i] - 1] = target->values[i];
		slot->tts_isnull[target->attnos[i] - 1] = target->nulls[i];
	}
	slot->tts_tableOid = RelationGetRelid(target->rel);
	return ExecStoreVirtualTuple(slot);
}

void
pgt_target_delete_at(PgtTarget *target, MinimalTuple image, ItemPointer tid)
{
	begin_kind(target, CMD_DELETE);
	pgt_writer_delete(target->writer, tid);
	note(target, image, -1);
}

void
pgt_target_delete(PgtTarget *target, MinimalTuple image, int64 count)
{
	MemoryContext old;

	begin_kind(target, CMD_DELETE);
	MemoryContextReset(target->scratch);
	old = MemoryContextSwitchTo(target->scratch);
	seek(target, image);
	for (; count > 0; count--)
	{
		if (!next_match(target, image))
			pgt_target_report_missing(target);
		pgt_target_delete_at(target, image, &target->found->tts_tid);
	}
	ExecClearTuple(target->found);
	MemoryContextSwitchTo(old);
}

void
pgt_target_update(PgtTarget *target, MinimalTuple from, ItemPointer tid,
				  MinimalTuple to)
{
	ItemPointerData found;
	MemoryContext old;

	begin_kind(target, CMD_UPDATE);
	MemoryContextReset(target->scratch);
	old = MemoryContextSwitchTo(target->scratch);
	if (tid == NULL)
	{
		seek(target, from);
		if (!next_match(target, from))
			pgt_target_report_missing(target);
		found = target->found->tts_tid;
		ExecClearTuple(target->found);
		tid = &found;
	}
	pgt_writer_update(target->writer, tid, fill_slot(target, to));
	note(target, from, -1);
	note(target, to, 1);
	MemoryContextSwitchTo(old);
}

void
pgt_target_insert(PgtTarget *target, MinimalTuple image, int64 count)
{
	MemoryContext old;

	begin_kind(target, CMD_INSERT);
	MemoryContextReset(target->scratch);
	old = MemoryContextSwitchTo(target->scratch);
	note(target, image, count);
	for (; count > 0; count--)
		pgt_writer_insert(target->writer, fill_slot(target, image));
	ExecClearTuple(target->row);
	MemoryContextSwitchTo(old);
}

/* ---- pairing ---- */

/* Would the update change a column under another unique index? */
static bool
touches_other_unique(PgtTarget *target, MinimalTuple from, MinimalTuple to)
{
	Datum	   *values;
	bool	   *nulls;
	ListCell   *lc;
	bool		touches = false;

	if (target->other_unique == NIL)
		return false;
	values = palloc(sizeof(Datum) * target->ncolumns);
	nulls = palloc(sizeof(bool) * target->ncolumns);
	pgt_image_deform(target->imager, from, target->values, target->nulls);
	pgt_image_deform(target->imager, to, values, nulls);
	foreach(lc, target->other_unique)
	{
		int			i = -1;

		while ((i = bms_next_member(lfirst(lc), i)) >= 0)
		{
			Form_pg_attribute att = TupleDescAttr(target->imager->desc, i);

			if (target->nulls[i] != nulls[i] ||
				(!nulls[i] && !pgt_value_same(target->values[i], values[i],
											  att->attlen, att->attbyval)))
				touches = true;
		}
	}
	return touches;
}

static bool
may_pair(PgtTarget *target, PgtRowChange *a, PgtRowChange *b)
{
	return a->partner == NULL && a->weight == -1 && b->weight == 1 &&
		pgt_image_equal(a->key, b->key) &&
		!touches_other_unique(target, a->image, b->image);
}

static void
set_key(PgtTarget *target, PgtRowChange *change)
{
	change->key = pgt_target_key_image(target, change->image);
	change->hash = pgt_image_hash(change->key);
}

/*
 * A deletion and an insertion of the same key (same bytes: equal keys that
 * differ in image are deleted and inserted) become partners.  Not where a
 * column under another unique index changes: two rows may be exchanging it,
 * and only deleting first passes that index.  Takes over the changes' hash
 * and next.
 */
void
pgt_target_pair(PgtTarget *target, PgtRowChange **deletions, uint32 ndeletions,
				PgtRowChange **insertions, uint32 ninsertions)
{
	PgtRowBag  *bag;

	if (!target->id.by_key || ndeletions == 0 || ninsertions == 0)
		return;
	bag = pgt_row_bag_make(ndeletions);
	for (uint32 i = 0; i < ndeletions; i++)
	{
		set_key(target, deletions[i]);
		pgt_row_bag_put(bag, deletions[i]);
	}
	for (uint32 i = 0; i < ninsertions; i++)
	{
		PgtRowChange *to = insertions[i];
		PgtRowChange *from;

		set_key(target, to);
		from = bag->buckets[to->hash & (bag->nbuckets - 1)];
		while (from != NULL && !may_pair(target, from, to))
			from = from->next;
		if (from == NULL)
			continue;
		from->partner = to;
		to->partner = from;
	}
}

/* ---- order ---- */

/* Fewer look-ups gain nothing from being neighbours. */
#define SORT_MIN 32

typedef struct SortItem
{
	Datum		key;
	bool		isnull;
	PgtRowChange *change;
} SortItem;

static int
compare_items(const void *a, const void *b, void *ssup)
{
	const SortItem *x = a;
	const SortItem *y = b;

	return ApplySortComparator(x->key, x->isnull, y->key, y->isnull, ssup);
}

/*
 * Changes found in the order of the index share its inner pages, and often the
 * heap's, in the processor's cache.  Only for identities whose first column is
 * passed by value: comparing texts costs more than it saves.
 */
void
pgt_target_sort(PgtTarget *target, PgtRowChange **changes, uint32 n)
{
	SortSupportData ssup = {0};
	SortItem   *items;
	int			col;

	if (n < SORT_MIN || !target->id.by_key)
		return;
	col = target->key_columns[0];
	if (!TupleDescAttr(target->imager->desc, col)->attbyval)
		return;
	ssup.ssup_cxt = CurrentMemoryContext;
	ssup.ssup_collation = target->index->rd_indcollation[0];
	ssup.ssup_attno = 1;
	pgt_sort_support_from_index(target->index, &ssup);
	items = palloc_extended(sizeof(SortItem) * n, MCXT_ALLOC_HUGE);
	for (uint32 i = 0; i < n; i++)
	{
		pgt_image_deform(target->imager, changes[i]->image, target->values,
						 target->nulls);
		items[i].key = target->values[col];
		items[i].isnull = target->nulls[col];
		items[i].change = changes[i];
	}
	qsort_arg(items, n, sizeof(SortItem), compare_items, &ssup);
	for (uint32 i = 0; i < n; i++)
		changes[i] = items[i].change;
}
