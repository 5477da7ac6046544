/*
 * applier/dvm/apply.c - a delta becomes changes of the stream table.
 *
 * The delta is consolidated by row image first: what cancels out is never
 * written.  Then, in this order: deletions, updates (a deletion and an
 * insertion of the same key), insertions, so that no unique index sees two
 * rows where the query has one.
 *
 * Memory: up to refresh_work_mem for the consolidated rows.  A delta that
 * needs more is split by the hash of the key (or row) first; deletions and
 * updates are done part by part, insertions wait in a tuplestore for the end.
 *
 * On ERROR the transaction undoes everything.  Errors: XX001 when a row to be
 * deleted is not there (target.c), and what constraints, unique indexes and
 * triggers of the stream table raise.
 */
#include "postgres.h"
#include "access/tableam.h"
#include "executor/executor.h"
#include "miscadmin.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

#include "applier/dvm/target.h"
#include "applier/settings.h"
#include "decoder/compat.h"

#define MAX_PARTS 256
#define CHECK_MEMORY_ROWS 256
/* Fewer rows are always looked up one by one. */
#define SCAN_ROWS 1000

typedef struct Application
{
	PgtTarget  *target;
	TupleDesc	deltadesc;
	MemoryContext batch;		/* the bag */
	Tuplestorestate *inserts;	/* of a split delta: they wait */
} Application;

static MinimalTuple
delta_image(Application *a, TupleTableSlot *slot, int64 *weight)
{
	int			col = a->deltadesc->natts - 1;

	slot_getallattrs(slot);
	*weight = DatumGetInt64(slot->tts_values[col]);
	return pgt_image_form(a->target->imager, slot->tts_values,
						  slot->tts_isnull);
}

static bool
memory_is_full(Application *a)
{
	return MemoryContextMemAllocated(a->batch, true) >
		(Size) pgt_refresh_work_mem * 1024;
}

/*
 * Add up the delta's rows in a bag (in batch).  Returns NULL when memory ran
 * out, with the number of rows read until then.
 */
static PgtRowBag *
consolidate(Application *a, Tuplestorestate *delta, bool bounded, int64 *rows)
{
	TupleTableSlot *slot = MakeSingleTupleTableSlot(a->deltadesc,
													&TTSOpsMinimalTuple);
	MemoryContext old = MemoryContextSwitchTo(a->batch);
	PgtRowBag  *bag = pgt_row_bag_make(Min(tuplestore_tuple_count(delta), 1024));
	bool		full = false;

	*rows = 0;
	tuplestore_select_read_pointer(delta, 0);
	tuplestore_rescan(delta);
	while (!full && pgt_next_row(delta, slot))
	{
		int64		weight;
		MinimalTuple image = delta_image(a, slot, &weight);
		bool		added;

		pgt_row_bag_get(bag, image, pgt_image_hash(image), &added)->weight += weight;
		if (!added)
			pfree(image);
		if (++(*rows) % CHECK_MEMORY_ROWS == 0)
		{
			CHECK_FOR_INTERRUPTS();
			full = bounded && memory_is_full(a);
		}
	}
	MemoryContextSwitchTo(old);
	ExecDropSingleTupleTableSlot(slot);
	return full ? NULL : bag;
}

static void
insert_later(Application *a, MinimalTuple image, int64 weight)
{
	PgtTarget  *target = a->target;

	pgt_image_deform(target->imager, image, target->values, target->nulls);
	target->values[target->ncolumns] = Int64GetDatum(weight);
	target->nulls[target->ncolumns] = false;
	tuplestore_putvalues(a->inserts, a->deltadesc, target->values,
						 target->nulls);
}

/* So many rows to find that reading the whole table beats probing its index? */
static bool
worth_scanning(Application *a, uint32 nrows)
{
	float4		stored = a->target->rel->rd_rel->reltuples;

	return nrows >= SCAN_ROWS && stored > 0 &&
		nrows >= pgt_merge_seqscan_threshold * stored;
}

/*
 * Find all rows that are to go in one scan: those without a partner are
 * deleted on the way, the others' places are noted for the updates.
 */
static void
delete_by_scan(Application *a, PgtRowChange **deletions, uint32 ndeletions)
{
	PgtTarget  *target = a->target;
	MemoryContext old = MemoryContextSwitchTo(a->batch);
	PgtRowBag  *bag = pgt_row_bag_make(ndeletions);
	Snapshot	snapshot = RegisterSnapshot(GetLatestSnapshot());
	TableScanDesc scan = pgt_table_beginscan(target->rel, snapshot);
	PgtRowChange *change;

	for (uint32 i = 0; i < ndeletions; i++)
	{
		deletions[i]->hash = pgt_image_hash(deletions[i]->image);
		pgt_row_bag_put(bag, deletions[i]);
	}
	MemoryContextSwitchTo(target->scratch);
	while (table_scan_getnextslot(scan, ForwardScanDirection, target->found))
	{
		MinimalTuple image = pgt_target_stored_image(target, target->found);

		change = pgt_row_bag_find(bag, image, pgt_image_hash(image));
		if (change != NULL && change->weight < 0)
		{
			change->tid = target->found->tts_tid;
			change->weight++;
			if (change->partner == NULL)
				pgt_target_delete_at(target, image, &change->tid);
		}
		CHECK_FOR_INTERRUPTS();
		MemoryContextReset(target->scratch);
	}
	MemoryContextSwitchTo(old);
	table_endscan(scan);
	UnregisterSnapshot(snapshot);
	for (uint32 i = 0; i < ndeletions; i++)
		if (deletions[i]->weight < 0)
			pgt_target_report_missing(target);
}

static void
delete_by_index(Application *a, PgtRowChange **deletions, uint32 ndeletions)
{
	for (uint32 i = 0; i < ndeletions; i++)
		if (deletions[i]->partner == NULL)
			pgt_target_delete(a->target, deletions[i]->image,
							  -deletions[i]->weight);
}

static void
write_bag(Application *a, PgtRowBag *bag)
{
	PgtTarget  *target = a->target;
	MemoryContext old = MemoryContextSwitchTo(a->batch);
	PgtRowChange **deletions;
	PgtRowChange **insertions;
	uint32		ndeletions;
	uint32		ninsertions;

	pgt_row_bag_sort_out(bag, &deletions, &ndeletions, &insertions, &ninsertions);
	pgt_target_pair(target, deletions, ndeletions, insertions, ninsertions);
	pgt_target_sort(target, deletions, ndeletions);
	MemoryContextSwitchTo(old);
	if (worth_scanning(a, ndeletions))
		delete_by_scan(a, deletions, ndeletions);
	else
		delete_by_index(a, deletions, ndeletions);
	for (uint32 i = 0; i < ndeletions; i++)
		if (deletions[i]->partner != NULL)
			pgt_target_update(target, deletions[i]->image,
							  ItemPointerIsValid(&deletions[i]->tid) ?
							  &deletions[i]->tid : NULL,
							  deletions[i]->partner->image);
	for (uint32 i = 0; i < ninsertions; i++)
	{
		if (insertions[i]->partner != NULL)
			continue;
		if (a->inserts != NULL)
			insert_later(a, insertions[i]->image, insertions[i]->weight);
		else
			pgt_target_insert(target, insertions[i]->image,
							  insertions[i]->weight);
	}
}

/* ---- deltas that do not fit into memory ---- */

static void
split(Application *a, Tuplestorestate *delta, Tuplestorestate **parts,
	  int nparts)
{
	TupleTableSlot *slot = MakeSingleTupleTableSlot(a->deltadesc,
													&TTSOpsMinimalTuple);
	MemoryContext old = MemoryContextSwitchTo(a->target->scratch);

	tuplestore_select_read_pointer(delta, 0);
	tuplestore_rescan(delta);
	while (pgt_next_row(delta, slot))
	{
		int64		weight;
		MinimalTuple image = delta_image(a, slot, &weight);

		if (a->target->id.by_key)
			image = pgt_target_key_image(a->target, image);
		tuplestore_puttupleslot(parts[(pgt_image_hash(image) >> 32) % nparts],
								slot);
		MemoryContextReset(a->target->scratch);
	}
	MemoryContextSwitchTo(old);
	ExecDropSingleTupleTableSlot(slot);
}

static void
write_waiting(Application *a)
{
	TupleTableSlot *slot = MakeSingleTupleTableSlot(a->deltadesc,
													&TTSOpsMinimalTuple);

	while (pgt_next_row(a->inserts, slot))
	{
		int64		weight;
		MinimalTuple image = delta_image(a, slot, &weight);

		pgt_target_insert(a->target, image, weight);
		pfree(image);
	}
	ExecDropSingleTupleTableSlot(slot);
}

static void
apply_in_parts(Application *a, Tuplestorestate *delta, int64 rows_read)
{
	double		used = MemoryContextMemAllocated(a->batch, true);
	double		needed = used * tuplestore_tuple_count(delta) / rows_read;
	int			nparts;
	Tuplestorestate **parts;

	nparts = (int) Min(MAX_PARTS,
					   needed / (pgt_refresh_work_mem * 1024.0) * 1.3 + 2);
	MemoryContextReset(a->batch);
	parts = palloc(sizeof(Tuplestorestate *) * nparts);
	for (int i = 0; i < nparts; i++)
		parts[i] = tuplestore_begin_heap(false, false,
										 Max(64, pgt_refresh_work_mem / nparts));
	a->inserts = tuplestore_begin_heap(false, false, pgt_refresh_work_mem);
	split(a, delta, parts, nparts);
	for (int i = 0; i < nparts; i++)
	{
		int64		rows;

		write_bag(a, consolidate(a, parts[i], false, &rows));
		tuplestore_end(parts[i]);
		MemoryContextReset(a->batch);
	}
	write_waiting(a);
	tuplestore_end(a->inserts);
}

/*
 * Apply delta (the stream table's columns, then the weight) to the table and
 * count what was written in *result.  The rows written go to out as well,
 * unless that is NULL.
 */
void
pgt_apply_delta(Oid st_relid, Tuplestorestate *delta, TupleDesc deltadesc,
				Tuplestorestate *out, PgtRunResult *result)
{
	MemoryContext cxt = AllocSetContextCreate(CurrentMemoryContext, "apply",
											  ALLOCSET_DEFAULT_SIZES);
	MemoryContext old = MemoryContextSwitchTo(cxt);
	Application a = {0};
	PgtRowBag  *bag;
	int64		rows;

	a.target = pgt_target_open(st_relid, deltadesc, out, result);
	a.deltadesc = deltadesc;
	a.batch = GenerationContextCreate(cxt, "apply rows",
									  ALLOCSET_DEFAULT_SIZES);
	bag = consolidate(&a, delta, true, &rows);
	if (bag != NULL)
		write_bag(&a, bag);
	else
		apply_in_parts(&a, delta, rows);
	pgt_target_close(a.target);
	MemoryContextSwitchTo(old);
	MemoryContextDelete(cxt);
}

static bool
only_insertions(Tuplestorestate *delta, TupleTableSlot *slot)
{
	int			col = slot->tts_tupleDescriptor->natts;

	tuplestore_select_read_pointer(delta, 0);
	tuplestore_rescan(delta);
	while (pgt_next_row(delta, slot))
	{
		bool		isnull;

		CHECK_FOR_INTERRUPTS();
		if (DatumGetInt64(slot_getattr(slot, col, &isnull)) < 0)
			return false;
	}
	return true;
}

bool
pgt_apply_appends(Oid st_relid, Tuplestorestate *delta, TupleDesc deltadesc,
				  Tuplestorestate *out, PgtRunResult *result)
{
	MemoryContext cxt = AllocSetContextCreate(CurrentMemoryContext, "apply",
											  ALLOCSET_DEFAULT_SIZES);
	MemoryContext old = MemoryContextSwitchTo(cxt);
	TupleTableSlot *slot = MakeSingleTupleTableSlot(deltadesc, &TTSOpsMinimalTuple);
	bool		fits = only_insertions(delta, slot);

	if (fits)
	{
		Application a = {.deltadesc = deltadesc};
		MemoryContext row = AllocSetContextCreate(cxt, "apply row", ALLOCSET_DEFAULT_SIZES);

		a.target = pgt_target_open(st_relid, deltadesc, out, result);
		tuplestore_rescan(delta);
		while (pgt_next_row(delta, slot))
		{
			int64		weight;
			MinimalTuple image;

			CHECK_FOR_INTERRUPTS();
			MemoryContextReset(row);
			MemoryContextSwitchTo(row);
			image = delta_image(&a, slot, &weight);
			MemoryContextSwitchTo(cxt);
			pgt_target_insert(a.target, image, weight);
		}
		pgt_target_close(a.target);
	}
	ExecDropSingleTupleTableSlot(slot);
	MemoryContextSwitchTo(old);
	MemoryContextDelete(cxt);
	return fits;
}
