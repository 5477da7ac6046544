/*
 * applier/dvm/difference.c - make a stream table equal a set of rows, writing
 * only what differs.
 *
 * Multiset difference by row image: the wanted rows are counted in a bag, the
 * stored rows are read once and cancel against it; a stored row without a
 * counterpart goes (its place is known, no index is asked), a wanted row
 * without one comes.  Pairs of the same key become updates.  Deletions,
 * updates, insertions, in this order, as in apply.c.
 *
 * Memory: refresh_work_mem for the bag.  Where the wanted rows need more,
 * both sides are split by the hash of the key (or row) and compared part by
 * part; insertions wait for the end.  An empty table is filled directly.
 */
#include "postgres.h"
#include "access/tableam.h"
#include "catalog/pg_type.h"
#include "executor/executor.h"
#include "miscadmin.h"
#include "storage/bufmgr.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

#include "applier/dvm/target.h"
#include "applier/settings.h"
#include "decoder/compat.h"

#define MAX_PARTS 256
#define CHECK_MEMORY_ROWS 256

typedef struct Difference
{
	PgtTarget  *target;
	TupleDesc	rowdesc;
	TupleDesc	storeddesc;		/* live columns, then the row's tid */
	MemoryContext batch;
	Tuplestorestate *inserts;	/* of a split difference: they wait */
	PgtRowChange **deletions;	/* of the batch */
	uint32		ndeletions;
	uint32		room;
	bool		full;			/* no more room to remember deletions */
} Difference;

static MinimalTuple
wanted_image(Difference *d, TupleTableSlot *slot)
{
	slot_getallattrs(slot);
	return pgt_image_form(d->target->imager, slot->tts_values,
						  slot->tts_isnull);
}

/* Count the wanted rows; NULL when memory ran out after *rows of them. */
static PgtRowBag *
count_wanted(Difference *d, Tuplestorestate *rows_wanted, bool bounded,
			 int64 *rows)
{
	TupleTableSlot *slot = MakeSingleTupleTableSlot(d->rowdesc,
													&TTSOpsMinimalTuple);
	MemoryContext old = MemoryContextSwitchTo(d->batch);
	PgtRowBag  *bag = pgt_row_bag_make(bounded ? 1024 :
									   Min(tuplestore_tuple_count(rows_wanted),
										   1 << 24));
	bool		full = false;

	*rows = 0;
	tuplestore_select_read_pointer(rows_wanted, 0);
	tuplestore_rescan(rows_wanted);
	while (!full && pgt_next_row(rows_wanted, slot))
	{
		MinimalTuple image = wanted_image(d, slot);
		bool		added;

		pgt_row_bag_get(bag, image, pgt_image_hash(image), &added)->weight++;
		if (!added)
			pfree(image);
		if (++(*rows) % CHECK_MEMORY_ROWS == 0)
		{
			CHECK_FOR_INTERRUPTS();
			full = bounded && MemoryContextMemAllocated(d->batch, true) >
				(Size) pgt_refresh_work_mem * 1024;
		}
	}
	MemoryContextSwitchTo(old);
	ExecDropSingleTupleTableSlot(slot);
	return full ? NULL : bag;
}

/* image (in scratch memory) at tid is to go. */
static void
remember_deletion(Difference *d, MinimalTuple image, ItemPointer tid)
{
	MemoryContext old = MemoryContextSwitchTo(d->batch);
	PgtRowChange *change = palloc0(sizeof(PgtRowChange));

	if (d->ndeletions == d->room)
	{
		uint32		room = Max(64, d->room * 2);
		PgtRowChange **bigger = palloc_extended(sizeof(PgtRowChange *) * room,
												MCXT_ALLOC_HUGE);

		if (d->ndeletions > 0)
			memcpy(bigger, d->deletions, sizeof(PgtRowChange *) * d->ndeletions);
		d->deletions = bigger;
		d->room = room;
	}
	change->image = palloc(image->t_len);
	memcpy(change->image, image, image->t_len);
	change->weight = -1;
	change->tid = *tid;
	d->deletions[d->ndeletions++] = change;
	MemoryContextSwitchTo(old);
}

/* A stored row cancels a wanted one, or goes: later if there is memory to
 * remember it and so perhaps make it an update, else at once. */
static void
cancel_stored(Difference *d, PgtRowBag *bag, MinimalTuple image,
			  ItemPointer tid)
{
	PgtRowChange *wanted = pgt_row_bag_find(bag, image, pgt_image_hash(image));

	if (wanted != NULL && wanted->weight > 0)
	{
		wanted->weight--;
		return;
	}
	if (!d->full && d->ndeletions == d->room)
		d->full = MemoryContextMemAllocated(d->batch, true) >
			(Size) pgt_refresh_work_mem * 2048;
	if (d->full)
		pgt_target_delete_at(d->target, image, tid);
	else
		remember_deletion(d, image, tid);
}

typedef void (*StoredRow) (Difference *d, void *arg, MinimalTuple image,
						   ItemPointer tid);

static void
scan_stored(Difference *d, StoredRow handler, void *arg)
{
	PgtTarget  *target = d->target;
	Snapshot	snapshot = RegisterSnapshot(GetLatestSnapshot());
	TableScanDesc scan = pgt_table_beginscan(target->rel, snapshot);
	MemoryContext old = MemoryContextSwitchTo(target->scratch);

	while (table_scan_getnextslot(scan, ForwardScanDirection, target->found))
	{
		CHECK_FOR_INTERRUPTS();
		handler(d, arg, pgt_target_stored_image(target, target->found),
				&target->found->tts_tid);
		MemoryContextReset(target->scratch);
	}
	MemoryContextSwitchTo(old);
	table_endscan(scan);
	UnregisterSnapshot(snapshot);
}

static void
cancel_handler(Difference *d, void *arg, MinimalTuple image, ItemPointer tid)
{
	cancel_stored(d, arg, image, tid);
}

static void
insert_or_wait(Difference *d, MinimalTuple image, int64 count)
{
	PgtTarget  *target = d->target;

	if (d->inserts == NULL)
	{
		pgt_target_insert(target, image, count);
		return;
	}
	pgt_image_deform(target->imager, image, target->values, target->nulls);
	for (; count > 0; count--)
		tuplestore_putvalues(d->inserts, d->rowdesc, target->values,
							 target->nulls);
}

/* What is left of the bag comes, what was remembered goes. */
static void
write_difference(Difference *d, PgtRowBag *bag)
{
	PgtTarget  *target = d->target;
	MemoryContext old = MemoryContextSwitchTo(d->batch);
	PgtRowChange **none;
	PgtRowChange **insertions;
	uint32		nnone;
	uint32		ninsertions;

	pgt_row_bag_sort_out(bag, &none, &nnone, &insertions, &ninsertions);
	pgt_target_pair(target, d->deletions, d->ndeletions,
					insertions, ninsertions);
	MemoryContextSwitchTo(old);
	for (uint32 i = 0; i < d->ndeletions; i++)
		if (d->deletions[i]->partner == NULL)
			pgt_target_delete_at(target, d->deletions[i]->image,
								 &d->deletions[i]->tid);
	for (uint32 i = 0; i < d->ndeletions; i++)
		if (d->deletions[i]->partner != NULL)
			pgt_target_update(target, d->deletions[i]->image,
							  &d->deletions[i]->tid,
							  d->deletions[i]->partner->image);
	for (uint32 i = 0; i < ninsertions; i++)
		if (insertions[i]->partner == NULL)
			insert_or_wait(d, insertions[i]->image, insertions[i]->weight);
}

static void
forget_batch(Difference *d)
{
	MemoryContextReset(d->batch);
	d->deletions = NULL;
	d->ndeletions = d->room = 0;
	d->full = false;
}

/* ---- in parts ---- */

typedef struct Parts
{
	int			n;
	Tuplestorestate **wanted;
	Tuplestorestate **stored;
} Parts;

static int
part_of(Difference *d, Parts *parts, MinimalTuple image)
{
	if (d->target->id.by_key)
		image = pgt_target_key_image(d->target, image);
	return (pgt_image_hash(image) >> 32) % parts->n;
}

static Tuplestorestate **
make_parts(int n)
{
	Tuplestorestate **parts = palloc(sizeof(Tuplestorestate *) * n);

	for (int i = 0; i < n; i++)
		parts[i] = tuplestore_begin_heap(false, false,
										 Max(64, pgt_refresh_work_mem / n));
	return parts;
}

static void
split_wanted(Difference *d, Parts *parts, Tuplestorestate *rows)
{
	TupleTableSlot *slot = MakeSingleTupleTableSlot(d->rowdesc,
													&TTSOpsMinimalTuple);
	MemoryContext old = MemoryContextSwitchTo(d->target->scratch);

	tuplestore_select_read_pointer(rows, 0);
	tuplestore_rescan(rows);
	while (pgt_next_row(rows, slot))
	{
		CHECK_FOR_INTERRUPTS();
		tuplestore_puttupleslot(parts->wanted[part_of(d, parts,
													  wanted_image(d, slot))],
								slot);
		MemoryContextReset(d->target->scratch);
	}
	MemoryContextSwitchTo(old);
	ExecDropSingleTupleTableSlot(slot);
}

static void
split_handler(Difference *d, void *arg, MinimalTuple image, ItemPointer tid)
{
	PgtTarget  *target = d->target;
	Parts	   *parts = arg;
	int			part = part_of(d, parts, image);

	pgt_image_deform(target->imager, image, target->values, target->nulls);
	target->values[target->ncolumns] = PointerGetDatum(tid);
	target->nulls[target->ncolumns] = false;
	tuplestore_putvalues(parts->stored[part], d->storeddesc, target->values,
						 target->nulls);
}

static void
make_stored_desc(Difference *d)
{
	PgtTarget  *target = d->target;

	d->storeddesc = CreateTemplateTupleDesc(target->ncolumns + 1);
	for (int i = 1; i <= target->ncolumns; i++)
		TupleDescCopyEntry(d->storeddesc, i, target->imager->desc, i);
	TupleDescInitEntry(d->storeddesc, target->ncolumns + 1, "ctid", TIDOID,
					   -1, 0);
	pgt_tupdesc_finish(d->storeddesc);
}

static void
cancel_part(Difference *d, PgtRowBag *bag, Tuplestorestate *stored)
{
	TupleTableSlot *slot = MakeSingleTupleTableSlot(d->storeddesc,
													&TTSOpsMinimalTuple);
	MemoryContext old = MemoryContextSwitchTo(d->target->scratch);

	while (pgt_next_row(stored, slot))
	{
		MinimalTuple image = wanted_image(d, slot);

		cancel_stored(d, bag, image, (ItemPointer)
					  DatumGetPointer(slot->tts_values[d->target->ncolumns]));
		MemoryContextReset(d->target->scratch);
	}
	MemoryContextSwitchTo(old);
	ExecDropSingleTupleTableSlot(slot);
}

static void
insert_rows(Difference *d, Tuplestorestate *rows)
{
	TupleTableSlot *slot = MakeSingleTupleTableSlot(d->rowdesc,
													&TTSOpsMinimalTuple);

	tuplestore_select_read_pointer(rows, 0);
	tuplestore_rescan(rows);
	while (pgt_next_row(rows, slot))
	{
		MinimalTuple image = wanted_image(d, slot);

		CHECK_FOR_INTERRUPTS();
		pgt_target_insert(d->target, image, 1);
		pfree(image);
	}
	ExecDropSingleTupleTableSlot(slot);
}

static void
differ_in_parts(Difference *d, Tuplestorestate *rows, int64 rows_read)
{
	double		used = MemoryContextMemAllocated(d->batch, true);
	double		needed = used * tuplestore_tuple_count(rows) / rows_read;
	Parts		parts;

	parts.n = (int) Min(MAX_PARTS,
						needed / (pgt_refresh_work_mem * 1024.0) * 1.3 + 2);
	forget_batch(d);
	parts.wanted = make_parts(parts.n);
	parts.stored = make_parts(parts.n);
	make_stored_desc(d);
	split_wanted(d, &parts, rows);
	scan_stored(d, split_handler, &parts);
	d->inserts = tuplestore_begin_heap(false, false, pgt_refresh_work_mem);
	for (int i = 0; i < parts.n; i++)
	{
		int64		counted;
		PgtRowBag  *bag = count_wanted(d, parts.wanted[i], false, &counted);

		cancel_part(d, bag, parts.stored[i]);
		write_difference(d, bag);
		tuplestore_end(parts.wanted[i]);
		tuplestore_end(parts.stored[i]);
		forget_batch(d);
	}
	insert_rows(d, d->inserts);
	tuplestore_end(d->inserts);
}

static void
differ(Difference *d, Tuplestorestate *rows)
{
	int64		counted;
	PgtRowBag  *bag;

	if (RelationGetNumberOfBlocks(d->target->rel) == 0)
	{
		insert_rows(d, rows);
		return;
	}
	bag = count_wanted(d, rows, true, &counted);
	if (bag == NULL)
	{
		differ_in_parts(d, rows, counted);
		return;
	}
	scan_stored(d, cancel_handler, bag);
	write_difference(d, bag);
}

/*
 * Make the rows of the stream table the rows in "rows" (its columns, no
 * weight), counting what was written in *result; out as in pgt_apply_delta.
 */
void
pgt_apply_difference(Oid st_relid, Tuplestorestate *rows, TupleDesc rowdesc,
					 Tuplestorestate *out, PgtRunResult *result)
{
	MemoryContext cxt = AllocSetContextCreate(CurrentMemoryContext,
											  "difference",
											  ALLOCSET_DEFAULT_SIZES);
	MemoryContext old = MemoryContextSwitchTo(cxt);
	Difference	d = {0};

	d.target = pgt_target_open(st_relid, rowdesc, out, result);
	d.rowdesc = rowdesc;
	d.batch = GenerationContextCreate(cxt, "difference rows",
									  ALLOCSET_DEFAULT_SIZES);
	differ(&d, rows);
	pgt_target_close(d.target);
	MemoryContextSwitchTo(old);
	MemoryContextDelete(cxt);
}
