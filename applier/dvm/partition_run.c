/*
 * applier/dvm/partition_run.c - PARTITION at work: delta in, delta out.
 *
 * The keys of the input delta's rows are collected; their partitions are
 * evaluated over the input's new state; each row of the result cancels against
 * an identical row of the state.  State rows left over go, result rows left
 * over come, as updates of state rows of the same partition where there are
 * some.
 *
 * Memory: refresh_work_mem, twice.  Where the keys need more, those collected
 * so far are done before the delta is read on: a partition done twice is the
 * same the second time.  Where the rows need more, they are compared in
 * passes, each of which looks at the rows of one part of the range of hashes.
 *
 * Locks: RowExclusiveLock on the state table.  State and delta change together;
 * an ERROR leaves nothing but what the transaction undoes.
 */
#include "postgres.h"

#include "executor/executor.h"
#include "miscadmin.h"
#include "utils/memutils.h"
#include "utils/rel.h"

#include "applier/dvm/partition.h"
#include "applier/dvm/state.h"
#include "applier/dvm/target.h"
#include "applier/settings.h"
#include "decoder/compat.h"

#define CHECK_MEMORY_ROWS 256
#define MAX_PASSES 1024

/* A touched partition. */
typedef struct Touched
{
	struct Touched *next;		/* in its bucket */
	struct Touched *later;		/* in order of arrival */
	uint64		hash;
	Datum	   *keys;
	bool	   *keynulls;
	ItemPointerData *stale;		/* state rows to go */
	int			nstale;
	int			room;
} Touched;

typedef struct PartitionRun
{
	PgtPartitionOp *op;
	QueryEnvironment *env;
	Tuplestorestate *out;		/* or NULL */
	PgtStateTable *state;
	MemoryContext batch;		/* touched partitions */
	MemoryContext rows;			/* rows being compared */
	MemoryContext scratch;		/* one row */
	Touched   **buckets;
	uint32		nbuckets;		/* power of two */
	uint32		ntouched;
	Touched    *first;
	Touched    *last;
	int			npasses;		/* parts that rows are compared in */
	int			pass;
	Datum	   *keys;
	bool	   *keynulls;
	Datum	   *values;			/* an output row and its weight */
	bool	   *nulls;
} PartitionRun;

static bool
is_full(MemoryContext context)
{
	return MemoryContextMemAllocated(context, true) >
		(Size) pgt_refresh_work_mem * 1024;
}

static PartitionRun *
begin(PgtPartitionOp *op, QueryEnvironment *env, Tuplestorestate *out)
{
	PartitionRun *r = palloc0(sizeof(PartitionRun));
	int			natts = op->op.outdesc->natts;

	r->op = op;
	r->env = env;
	r->out = out;
	r->batch = AllocSetContextCreate(CurrentMemoryContext, "partition batch",
									 ALLOCSET_DEFAULT_SIZES);
	r->rows = GenerationContextCreate(CurrentMemoryContext, "partition rows",
									  ALLOCSET_DEFAULT_SIZES);
	r->scratch = AllocSetContextCreate(CurrentMemoryContext, "partition row",
									   ALLOCSET_DEFAULT_SIZES);
	r->keys = palloc(sizeof(Datum) * (op->nkeys + 1));
	r->keynulls = palloc(sizeof(bool) * (op->nkeys + 1));
	r->values = palloc(sizeof(Datum) * (natts + 1));
	r->nulls = palloc(sizeof(bool) * (natts + 1));
	return r;
}

/* ---- touched partitions ---- */

static void
forget_touched(PartitionRun *r)
{
	MemoryContextReset(r->batch);
	r->nbuckets = 64;
	r->buckets = MemoryContextAllocZero(r->batch,
										sizeof(Touched *) * r->nbuckets);
	r->ntouched = 0;
	r->first = r->last = NULL;
}

static void
grow_buckets(PartitionRun *r)
{
	r->nbuckets *= 4;
	pfree(r->buckets);
	r->buckets = MemoryContextAllocExtended(r->batch,
											sizeof(Touched *) * r->nbuckets,
											MCXT_ALLOC_HUGE | MCXT_ALLOC_ZERO);
	for (Touched *t = r->first; t != NULL; t = t->later)
	{
		Touched   **bucket = &r->buckets[t->hash & (r->nbuckets - 1)];

		t->next = *bucket;
		*bucket = t;
	}
}

/* The partition of the key in r->keys, or NULL. */
static Touched *
find_touched(PartitionRun *r, uint64 hash)
{
	Touched    *t = r->buckets[hash & (r->nbuckets - 1)];

	while (t != NULL &&
		   (t->hash != hash ||
			!pgt_keys_equal(r->op->keyset, t->keys, t->keynulls, r->keys,
							r->keynulls)))
		t = t->next;
	return t;
}

static void
touch(PartitionRun *r, uint64 hash)
{
	MemoryContext old;
	Touched    *t;
	Touched   **bucket;

	if (find_touched(r, hash) != NULL)
		return;
	if (r->ntouched >= r->nbuckets)
		grow_buckets(r);
	old = MemoryContextSwitchTo(r->batch);
	t = palloc0(sizeof(Touched));
	t->hash = hash;
	t->keys = palloc(sizeof(Datum) * (r->op->nkeys + 1));
	t->keynulls = palloc(sizeof(bool) * (r->op->nkeys + 1));
	pgt_keys_copy(r->op->keyset, t->keys, t->keynulls, r->keys, r->keynulls);
	bucket = &r->buckets[hash & (r->nbuckets - 1)];
	t->next = *bucket;
	*bucket = t;
	if (r->last == NULL)
		r->first = t;
	else
		r->last->later = t;
	r->last = t;
	r->ntouched++;
	MemoryContextSwitchTo(old);
}

/* ---- evaluation ---- */

static bool
has_null(const PartitionRun *r, const Touched *t)
{
	for (int i = 0; i < r->op->nkeys; i++)
		if (t->keynulls[i])
			return true;
	return false;
}

/* Append the rows of the touched partitions, of those with or without NULLs. */
static void
evaluate_some(PartitionRun *r, bool nulls, Tuplestorestate *rows)
{
	EphemeralNamedRelation enr;
	Tuplestorestate *keys = NULL;
	int64		n = 0;

	for (Touched *t = r->first; t != NULL; t = t->later)
	{
		if (has_null(r, t) != nulls)
			continue;
		if (keys == NULL)
			keys = tuplestore_begin_heap(false, false, pgt_refresh_work_mem);
		tuplestore_putvalues(keys, pgt_keys_imager(r->op->keyset)->desc,
							 t->keys, t->keynulls);
		n++;
	}
	if (keys == NULL)
		return;
	enr = palloc0(sizeof(EphemeralNamedRelationData));
	enr->md.name = PGT_KEYS_NAME;
	enr->md.reliddesc = InvalidOid;
	enr->md.tupdesc = pgt_keys_imager(r->op->keyset)->desc;
	enr->md.enrtype = ENR_NAMED_TUPLESTORE;
	enr->md.enrtuples = n;
	enr->reldata = keys;
	register_ENR(r->env, enr);
	pgt_plan_run_into(r->op->touched[nulls ? 0 : 1], r->env, rows);
	unregister_ENR(r->env, PGT_KEYS_NAME);
	tuplestore_end(keys);
}

static Tuplestorestate *
evaluate(PartitionRun *r)
{
	Tuplestorestate *rows = tuplestore_begin_heap(false, false,
												  pgt_refresh_work_mem);

	if (r->op->nkeys == 0)
		pgt_plan_run_into(r->op->all, r->env, rows);
	else
	{
		evaluate_some(r, false, rows);
		evaluate_some(r, true, rows);
	}
	return rows;
}

/* ---- comparing ---- */

/* Key of an output row, found "offset" attributes behind its state column. */
static uint64
row_key(PartitionRun *r, TupleTableSlot *slot, int offset)
{
	for (int i = 0; i < r->op->nkeys; i++)
	{
		int			col = r->op->keys[i].state_attno - 1 - offset;

		r->keys[i] = slot->tts_values[col];
		r->keynulls[i] = slot->tts_isnull[col];
	}
	return pgt_keys_hash(r->op->keyset, r->keys, r->keynulls);
}

static bool
in_this_pass(const PartitionRun *r, uint64 image_hash)
{
	return (image_hash >> 32) % r->npasses == r->pass;
}

/* One more of that image, which is in scratch memory. */
static void
count_row(PartitionRun *r, PgtRowBag *bag, MinimalTuple image, uint64 hash)
{
	PgtRowChange *wanted = pgt_row_bag_find(bag, image, hash);
	MemoryContext old;
	MinimalTuple copy;
	bool		added;

	if (wanted == NULL)
	{
		old = MemoryContextSwitchTo(r->rows);
		copy = palloc(image->t_len);
		memcpy(copy, image, image->t_len);
		wanted = pgt_row_bag_get(bag, copy, hash, &added);
		MemoryContextSwitchTo(old);
	}
	wanted->weight++;
}

/* Count the wanted rows of this pass; NULL when memory ran out. */
static PgtRowBag *
count_wanted(PartitionRun *r, Tuplestorestate *wanted, int64 *nrows)
{
	TupleTableSlot *slot = MakeSingleTupleTableSlot(r->op->op.outdesc,
													&TTSOpsMinimalTuple);
	MemoryContext old = MemoryContextSwitchTo(r->rows);
	PgtRowBag  *bag = pgt_row_bag_make(64);
	bool		full = false;

	MemoryContextSwitchTo(r->scratch);
	*nrows = 0;
	tuplestore_select_read_pointer(wanted, 0);
	tuplestore_rescan(wanted);
	while (!full && pgt_next_row(wanted, slot))
	{
		MinimalTuple image;
		uint64		hash;

		slot_getallattrs(slot);
		image = pgt_image_form(r->op->imager, slot->tts_values, slot->tts_isnull);
		hash = pgt_image_hash(image);
		if (in_this_pass(r, hash))
			count_row(r, bag, image, hash);
		MemoryContextReset(r->scratch);
		if (++(*nrows) % CHECK_MEMORY_ROWS == 0)
		{
			CHECK_FOR_INTERRUPTS();
			full = r->npasses == 1 && is_full(r->rows);
		}
	}
	MemoryContextSwitchTo(old);
	ExecDropSingleTupleTableSlot(slot);
	return full ? NULL : bag;
}

/* One change of the output: image, weight times. */
static void
emit(PartitionRun *r, MinimalTuple image, int64 weight)
{
	int			natts = r->op->op.outdesc->natts;

	if (r->out == NULL)
		return;
	pgt_image_deform(r->op->imager, image, r->values, r->nulls);
	r->values[natts] = Int64GetDatum(weight);
	r->nulls[natts] = false;
	tuplestore_putvalues(r->out, r->op->op.deltadesc, r->values, r->nulls);
}

static void
remember_stale(PartitionRun *r, Touched *t, ItemPointer tid)
{
	if (t->nstale == t->room)
	{
		int			room = Max(8, t->room * 2);
		ItemPointerData *bigger;

		bigger = MemoryContextAllocExtended(r->rows,
											sizeof(ItemPointerData) * room,
											MCXT_ALLOC_HUGE);
		if (t->nstale > 0)
			memcpy(bigger, t->stale, sizeof(ItemPointerData) * t->nstale);
		t->stale = bigger;
		t->room = room;
	}
	t->stale[t->nstale++] = *tid;
}

/* A state row of the partition cancels a wanted one, or is to go. */
static void
cancel_stored(PartitionRun *r, Touched *t, PgtRowBag *bag)
{
	TupleTableSlot *slot = r->state->found;
	MinimalTuple image;
	PgtRowChange *wanted;
	uint64		hash;

	image = pgt_image_form(r->op->imager, slot->tts_values + 1,
						   slot->tts_isnull + 1);
	hash = pgt_image_hash(image);
	if (!in_this_pass(r, hash))
		return;
	wanted = pgt_row_bag_find(bag, image, hash);
	if (wanted != NULL && wanted->weight > 0)
	{
		wanted->weight--;
		return;
	}
	emit(r, image, -1);
	remember_stale(r, t, &slot->tts_tid);
}

static void
cancel_partition(PartitionRun *r, Touched *t, PgtRowBag *bag)
{
	MemoryContext old = MemoryContextSwitchTo(r->scratch);

	t->stale = NULL;
	t->nstale = t->room = 0;
	pgt_state_seek(r->state, t->hash);
	while (pgt_state_next(r->state))
	{
		slot_getallattrs(r->state->found);
		row_key(r, r->state->found, 0);
		if (pgt_keys_equal(r->op->keyset, t->keys, t->keynulls, r->keys,
						   r->keynulls))
			cancel_stored(r, t, bag);
		MemoryContextReset(r->scratch);
	}
	MemoryContextSwitchTo(old);
	CHECK_FOR_INTERRUPTS();
}

/* ---- writing ---- */

static void
fill_row(PartitionRun *r, uint64 hash, MinimalTuple image)
{
	TupleTableSlot *row = r->state->row;

	ExecClearTuple(row);
	row->tts_values[0] = Int64GetDatum((int64) hash);
	row->tts_isnull[0] = false;
	pgt_image_deform(r->op->imager, image, row->tts_values + 1,
					 row->tts_isnull + 1);
	ExecStoreVirtualTuple(row);
}

/* The row comes, weight times: in the place of rows that go, if there are. */
static void
write_wanted(PartitionRun *r, MinimalTuple image, int64 weight)
{
	Touched    *t;
	uint64		hash;

	fill_row(r, 0, image);
	hash = row_key(r, r->state->row, 0);
	t = find_touched(r, hash);
	if (t == NULL)
		elog(ERROR, "operator %d evaluated a partition that was not touched",
			 r->op->op.id);
	emit(r, image, weight);
	for (; weight > 0; weight--)
	{
		/* written slots belong to what was written */
		fill_row(r, hash, image);
		if (t->nstale > 0)
			pgt_writer_update(r->state->writer, &t->stale[--t->nstale],
							  r->state->row);
		else
			pgt_writer_insert(r->state->writer, r->state->row);
	}
}

static void
write_difference(PartitionRun *r, PgtRowBag *bag)
{
	MemoryContext old = MemoryContextSwitchTo(r->scratch);

	for (PgtRowChange *c = bag->first; c != NULL; c = c->later)
	{
		if (c->weight > 0)
			write_wanted(r, c->image, c->weight);
		MemoryContextReset(r->scratch);
	}
	for (Touched *t = r->first; t != NULL; t = t->later)
		while (t->nstale > 0)
			pgt_writer_delete(r->state->writer, &t->stale[--t->nstale]);
	MemoryContextSwitchTo(old);
}

/* Compare the rows in the bag with the touched partitions of the state. */
static void
compare(PartitionRun *r, PgtRowBag *bag)
{
	for (Touched *t = r->first; t != NULL; t = t->later)
		cancel_partition(r, t, bag);
	write_difference(r, bag);
	MemoryContextReset(r->rows);
}

/* What one look at the state sees does not change while it is written. */
static void
absorb_touched(PartitionRun *r)
{
	Tuplestorestate *wanted = evaluate(r);
	PgtRowBag  *bag;
	int64		nrows;

	r->npasses = 1;
	r->pass = 0;
	r->state = pgt_state_open(&r->op->op);
	bag = count_wanted(r, wanted, &nrows);
	if (bag != NULL)
		compare(r, bag);
	else
	{
		double		share = (double) tuplestore_tuple_count(wanted) / nrows;

		MemoryContextReset(r->rows);
		r->npasses = (int) Min(MAX_PASSES, share * 1.3 + 2);
		for (; r->pass < r->npasses; r->pass++)
			compare(r, count_wanted(r, wanted, &nrows));
	}
	pgt_state_close(r->state);
	tuplestore_end(wanted);
	forget_touched(r);
}

/* ---- faces ---- */

/* Collect the keys of the delta's rows. */
static void
touch_all(PartitionRun *r, Tuplestorestate *input)
{
	PgtOp	   *below = linitial(r->op->op.inputs);
	TupleTableSlot *slot = MakeSingleTupleTableSlot(below->deltadesc,
													&TTSOpsMinimalTuple);
	MemoryContext old = MemoryContextSwitchTo(r->scratch);
	int64		nrows = 0;

	tuplestore_select_read_pointer(input, 0);
	tuplestore_rescan(input);
	while (pgt_next_row(input, slot))
	{
		slot_getallattrs(slot);
		for (int i = 0; i < r->op->nkeys; i++)
		{
			r->keys[i] = slot->tts_values[r->op->keys[i].in_col - 1];
			r->keynulls[i] = slot->tts_isnull[r->op->keys[i].in_col - 1];
		}
		touch(r, pgt_keys_hash(r->op->keyset, r->keys, r->keynulls));
		MemoryContextReset(r->scratch);
		if (++nrows % CHECK_MEMORY_ROWS != 0)
			continue;
		CHECK_FOR_INTERRUPTS();
		if (is_full(r->batch))
		{
			MemoryContextSwitchTo(old);
			absorb_touched(r);
			MemoryContextSwitchTo(r->scratch);
		}
	}
	MemoryContextSwitchTo(old);
	ExecDropSingleTupleTableSlot(slot);
	if (r->ntouched > 0)
		absorb_touched(r);
}

void
pgt_partition_run(PgtOp *op, QueryEnvironment *env, Tuplestorestate **inputs,
				  Tuplestorestate *out)
{
	MemoryContext cxt = AllocSetContextCreate(CurrentMemoryContext, "partition",
											  ALLOCSET_DEFAULT_SIZES);
	MemoryContext old = MemoryContextSwitchTo(cxt);
	PartitionRun *r = begin((PgtPartitionOp *) op, env, out);

	forget_touched(r);
	touch_all(r, inputs[0]);
	MemoryContextSwitchTo(old);
	MemoryContextDelete(cxt);
}

void
pgt_partition_build(PgtOp *op, QueryEnvironment *env, Tuplestorestate **inputs)
{
	MemoryContext cxt = AllocSetContextCreate(CurrentMemoryContext, "partition",
											  ALLOCSET_DEFAULT_SIZES);
	MemoryContext old = MemoryContextSwitchTo(cxt);
	PartitionRun *r = begin((PgtPartitionOp *) op, env, NULL);
	Tuplestorestate *rows = tuplestore_begin_heap(false, false,
												  pgt_refresh_work_mem);
	TupleTableSlot *slot = MakeSingleTupleTableSlot(op->outdesc,
													&TTSOpsMinimalTuple);

	pgt_plan_run_into(r->op->all, env, rows);
	r->state = pgt_state_open(op);
	MemoryContextSwitchTo(r->scratch);
	while (pgt_next_row(rows, slot))
	{
		slot_getallattrs(slot);
		fill_row(r, row_key(r, slot, 1),
				 pgt_image_form(r->op->imager, slot->tts_values,
								slot->tts_isnull));
		pgt_writer_insert(r->state->writer, r->state->row);
		MemoryContextReset(r->scratch);
		CHECK_FOR_INTERRUPTS();
	}
	pgt_state_close(r->state);
	MemoryContextSwitchTo(old);
	ExecDropSingleTupleTableSlot(slot);
	tuplestore_end(rows);
	MemoryContextDelete(cxt);
}
