/*
 * applier/dvm/topk_run.c - TOPK at work: delta in, delta out.
 *
 * What is known of a key: the rows kept, in order, and whether there are more.
 * If there are, every row before the last one kept (the horizon) is kept, and
 * with WITH TIES also its peers; of peers of the horizon some may be missing
 * otherwise.  So a row behind the horizon is none of our business, and a
 * removed row that is not found must be one of those.
 *
 * For each touched key the changes before the horizon are added up by image and
 * applied to the rows kept; the order gives the places; the change of the rows
 * shown is emitted.  Among peers, rows keep the places they had.
 *
 * Too few rows left, and more exist: the first ones are read from the input's
 * new state.  Likewise for all keys of a run whose changes exceed
 * refresh_work_mem; then keys are done in batches as memory fills, which is
 * right because what is read does not depend on what was read before.
 *
 * Locks: RowExclusiveLock on the state table.  State and delta change together;
 * an ERROR leaves nothing but what the transaction undoes.
 */
#include "postgres.h"

#include "executor/executor.h"
#include "miscadmin.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/tlist.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/sortsupport.h"

#include "applier/dvm/state.h"
#include "applier/dvm/target.h"
#include "applier/dvm/topk.h"
#include "applier/settings.h"
#include "decoder/compat.h"

#define CHECK_MEMORY_ROWS 256
/* Place of a row that was not kept before. */
#define PLACE_NEW 3

/* A row kept. */
typedef struct Kept
{
	MinimalTuple image;
	uint64		image_hash;
	Datum	   *order;			/* what is sorted by, inside the image */
	bool	   *ordernull;
	int			was;			/* PgtTopkPlace or PLACE_NEW */
	int			place;
	int			nth;			/* keeps sorting stable */
	bool		stored;
	bool		gone;
	ItemPointerData tid;		/* if stored */
} Kept;

/* The rows kept of one key. */
typedef struct KeyRows
{
	struct KeyRows *next;		/* in its bucket */
	struct KeyRows *later;		/* in order of arrival */
	uint64		hash;
	Datum	   *keys;
	bool	   *keynulls;
	Kept	  **rows;
	int			n;
	int			room;
	bool		more;			/* the input has rows behind these */
	bool		marked;			/* a state row says so */
	ItemPointerData mark;
	Kept	   *horizon;		/* last row when loaded, if there are more */
	PgtRowBag  *changes;		/* of rows before the horizon, or NULL */
	bool		reread;
} KeyRows;

typedef struct TopkRun
{
	PgtTopkOp  *op;
	QueryEnvironment *env;
	Tuplestorestate *out;		/* or NULL */
	PgtStateTable *state;
	int			norder;
	int		   *order_cols;		/* 0-based columns of the output */
	SortSupportData *order;
	MemoryContext batch;		/* keys and their rows */
	MemoryContext scratch;		/* one row */
	KeyRows   **buckets;
	uint32		nbuckets;		/* power of two */
	uint32		nkeys;
	KeyRows    *first;
	KeyRows    *last;
	bool		building;		/* the state table is empty */
	bool		reread_all;		/* memory ran out: read instead of adding up */
	Datum	   *keys;
	bool	   *keynulls;
	Datum	   *values;			/* an output row and its weight */
	bool	   *nulls;
} TopkRun;

static bool
is_full(MemoryContext context)
{
	return MemoryContextMemAllocated(context, true) >
		(Size) pgt_refresh_work_mem * 1024;
}

/* ---- order ---- */

static void
prepare_order(TopkRun *r)
{
	PgtTopkOp  *op = r->op;
	int			i = 0;
	ListCell   *lc;

	r->norder = list_length(op->eval->sortClause);
	r->order_cols = palloc(sizeof(int) * (r->norder + 1));
	r->order = palloc0(sizeof(SortSupportData) * (r->norder + 1));
	foreach(lc, op->eval->sortClause)
	{
		SortGroupClause *clause = lfirst_node(SortGroupClause, lc);
		TargetEntry *tle = get_sortgroupclause_tle(clause, op->eval->targetList);
		SortSupport ssup = &r->order[i];

		r->order_cols[i++] = tle->resno - 1;
		ssup->ssup_cxt = CurrentMemoryContext;
		ssup->ssup_collation = exprCollation((Node *) tle->expr);
		ssup->ssup_nulls_first = clause->nulls_first;
		PrepareSortSupportFromOrderingOp(clause->sortop, ssup);
	}
}

static int
compare_order(const TopkRun *r, const Kept *a, const Kept *b)
{
	for (int i = 0; i < r->norder; i++)
	{
		int			c = ApplySortComparator(a->order[i], a->ordernull[i],
											b->order[i], b->ordernull[i],
											&r->order[i]);

		if (c != 0)
			return c;
	}
	return 0;
}

static int
compare_kept(const void *a, const void *b, void *r)
{
	const Kept *x = *(Kept *const *) a;
	const Kept *y = *(Kept *const *) b;
	int			c = compare_order(r, x, y);

	if (c != 0)
		return c;
	if (x->was != y->was)
		return x->was < y->was ? -1 : 1;
	return x->nth < y->nth ? -1 : x->nth > y->nth ? 1 : 0;
}

static void
sort_rows(TopkRun *r, KeyRows *k)
{
	for (int i = 0; i < k->n; i++)
		k->rows[i]->nth = i;
	if (k->n > 1)
		qsort_arg(k->rows, k->n, sizeof(Kept *), compare_kept, r);
}

/* ---- rows ---- */

/* The row whose columns are values: its image and order, in batch memory. */
static Kept *
make_kept(TopkRun *r, MinimalTuple image)
{
	PgtTopkOp  *op = r->op;
	MemoryContext old = MemoryContextSwitchTo(r->batch);
	Kept	   *kept = palloc0(sizeof(Kept));

	kept->image = palloc(image->t_len);
	memcpy(kept->image, image, image->t_len);
	kept->image_hash = pgt_image_hash(image);
	kept->was = kept->place = PLACE_NEW;
	kept->order = palloc(sizeof(Datum) * (r->norder + 1));
	kept->ordernull = palloc(sizeof(bool) * (r->norder + 1));
	pgt_image_deform(op->imager, kept->image, r->values, r->nulls);
	for (int i = 0; i < r->norder; i++)
	{
		kept->order[i] = r->values[r->order_cols[i]];
		kept->ordernull[i] = r->nulls[r->order_cols[i]];
	}
	MemoryContextSwitchTo(old);
	return kept;
}

static void
append_kept(TopkRun *r, KeyRows *k, Kept *kept)
{
	if (k->n == k->room)
	{
		int			room = Max(16, k->room * 2);
		Kept	  **rows;

		rows = MemoryContextAllocExtended(r->batch, sizeof(Kept *) * room,
										  MCXT_ALLOC_HUGE);
		if (k->n > 0)
			memcpy(rows, k->rows, sizeof(Kept *) * k->n);
		k->rows = rows;
		k->room = room;
	}
	k->rows[k->n++] = kept;
}

/* ---- keys ---- */

static void
forget_keys(TopkRun *r)
{
	MemoryContextReset(r->batch);
	r->nbuckets = 64;
	r->buckets = MemoryContextAllocZero(r->batch,
										sizeof(KeyRows *) * r->nbuckets);
	r->nkeys = 0;
	r->first = r->last = NULL;
}

static void
grow_buckets(TopkRun *r)
{
	r->nbuckets *= 4;
	pfree(r->buckets);
	r->buckets = MemoryContextAllocExtended(r->batch,
											sizeof(KeyRows *) * r->nbuckets,
											MCXT_ALLOC_HUGE | MCXT_ALLOC_ZERO);
	for (KeyRows *k = r->first; k != NULL; k = k->later)
	{
		KeyRows   **bucket = &r->buckets[k->hash & (r->nbuckets - 1)];

		k->next = *bucket;
		*bucket = k;
	}
}

/* The key in r->keys, or NULL. */
static KeyRows *
find_key(TopkRun *r, uint64 hash)
{
	KeyRows    *k = r->buckets[hash & (r->nbuckets - 1)];

	while (k != NULL &&
		   (k->hash != hash ||
			!pgt_keys_equal(r->op->keyset, k->keys, k->keynulls, r->keys,
							r->keynulls)))
		k = k->next;
	return k;
}

/* Key of an output row whose first column is attribute "first" (from 0). */
static uint64
take_key(TopkRun *r, const Datum *values, const bool *isnull)
{
	for (int i = 0; i < r->op->nkeys; i++)
	{
		int			col = r->op->keys[i].state_attno - PGT_TOPK_FIRST_ATTNO;

		r->keys[i] = values[col];
		r->keynulls[i] = isnull[col];
	}
	return pgt_keys_hash(r->op->keyset, r->keys, r->keynulls);
}

static void
load_row(TopkRun *r, KeyRows *k)
{
	TupleTableSlot *slot = r->state->found;
	int			first = PGT_TOPK_FIRST_ATTNO - 1;
	Kept	   *kept;

	if (slot->tts_isnull[PGT_TOPK_PLACE_ATTNO - 1])
	{
		k->more = k->marked = true;
		k->mark = slot->tts_tid;
		return;
	}
	kept = make_kept(r, pgt_image_form(r->op->imager, slot->tts_values + first,
									   slot->tts_isnull + first));
	kept->was = DatumGetInt16(slot->tts_values[PGT_TOPK_PLACE_ATTNO - 1]);
	kept->stored = true;
	kept->tid = slot->tts_tid;
	append_kept(r, k, kept);
}

/* Read the rows kept of the key. */
static void
load_key(TopkRun *r, KeyRows *k)
{
	int			first = PGT_TOPK_FIRST_ATTNO - 1;

	pgt_state_seek(r->state, k->hash);
	while (pgt_state_next(r->state))
	{
		slot_getallattrs(r->state->found);
		take_key(r, r->state->found->tts_values + first,
				 r->state->found->tts_isnull + first);
		if (pgt_keys_equal(r->op->keyset, k->keys, k->keynulls, r->keys,
						   r->keynulls))
			load_row(r, k);
	}
	sort_rows(r, k);
	if (k->more && k->n > 0)
		k->horizon = k->rows[k->n - 1];
}

/* The key in r->keys, with what is kept of it. */
static KeyRows *
get_key(TopkRun *r, uint64 hash)
{
	KeyRows    *k = find_key(r, hash);
	KeyRows   **bucket;
	MemoryContext old;

	if (k != NULL)
		return k;
	if (r->nkeys >= r->nbuckets)
		grow_buckets(r);
	old = MemoryContextSwitchTo(r->batch);
	k = palloc0(sizeof(KeyRows));
	k->hash = hash;
	k->keys = palloc(sizeof(Datum) * (r->op->nkeys + 1));
	k->keynulls = palloc(sizeof(bool) * (r->op->nkeys + 1));
	pgt_keys_copy(r->op->keyset, k->keys, k->keynulls, r->keys, r->keynulls);
	MemoryContextSwitchTo(old);
	bucket = &r->buckets[hash & (r->nbuckets - 1)];
	k->next = *bucket;
	*bucket = k;
	if (r->last == NULL)
		r->first = k;
	else
		r->last->later = k;
	r->last = k;
	r->nkeys++;
	if (!r->building)
		load_key(r, k);
	return k;
}

/* ---- changes ---- */

/* Is the row none of ours? */
static bool
is_beyond(const TopkRun *r, const KeyRows *k, const Kept *row)
{
	return k->more &&
		(k->horizon == NULL || compare_order(r, row, k->horizon) > 0);
}

static void
add_change(TopkRun *r, KeyRows *k, MinimalTuple image, int64 weight)
{
	PgtRowChange *change;
	Kept	   *row;
	MemoryContext old;
	bool		added;

	if (k->reread)
		return;
	row = make_kept(r, image);
	if (is_beyond(r, k, row))
	{
		pfree(row->image);
		pfree(row->order);
		pfree(row->ordernull);
		pfree(row);
		return;
	}
	old = MemoryContextSwitchTo(r->batch);
	if (k->changes == NULL)
		k->changes = pgt_row_bag_make(16);
	change = pgt_row_bag_get(k->changes, row->image, row->image_hash, &added);
	change->weight += weight;
	MemoryContextSwitchTo(old);
}

static void
report_missing(const TopkRun *r)
{
	ereport(ERROR,
			(errcode(ERRCODE_DATA_CORRUPTED),
			 errmsg("a row to be taken back is not in state table \"%s\"",
					RelationGetRelationName(r->state->rel)),
			 errhint("Rebuild the stream table with refresh_stream_table(name, 'FULL').")));
}

/* Take one row of that image out of those kept, false if there is none. */
static bool
take_out(KeyRows *k, const PgtRowChange *change)
{
	/* from the end: what is not shown goes first */
	for (int i = k->n - 1; i >= 0; i--)
	{
		Kept	   *kept = k->rows[i];

		if (kept->gone || kept->image_hash != change->hash ||
			!pgt_image_equal(kept->image, change->image))
			continue;
		kept->gone = true;
		return true;
	}
	return false;
}

/* Where ties count, all peers of the horizon are kept; else some may not be. */
static bool
may_be_missing(const TopkRun *r, const KeyRows *k, MinimalTuple image)
{
	return k->more && !r->op->with_ties &&
		(k->horizon == NULL ||
		 compare_order(r, make_kept(unconstify(TopkRun *, r), image),
					   k->horizon) >= 0);
}

static void
apply_changes(TopkRun *r, KeyRows *k)
{
	if (k->changes == NULL)
		return;
	for (PgtRowChange *c = k->changes->first; c != NULL; c = c->later)
	{
		for (int64 w = c->weight; w < 0; w++)
			if (!take_out(k, c))
			{
				if (!may_be_missing(r, k, c->image))
					report_missing(r);
				break;
			}
	}
	for (PgtRowChange *c = k->changes->first; c != NULL; c = c->later)
		for (int64 w = c->weight; w > 0; w--)
			append_kept(r, k, make_kept(r, c->image));
}

/* ---- reading the input again ---- */

static int
count_left(const KeyRows *k)
{
	int			n = 0;

	for (int i = 0; i < k->n; i++)
		if (!k->rows[i]->gone)
			n++;
	return n;
}

static bool
has_null(const TopkRun *r, const KeyRows *k)
{
	for (int i = 0; i < r->op->nkeys; i++)
		if (k->keynulls[i])
			return true;
	return false;
}

/* A row that was kept and is read again stays where it is. */
static void
take_read_row(TopkRun *r, KeyRows *k, MinimalTuple image)
{
	uint64		hash = pgt_image_hash(image);

	for (int i = 0; i < k->n; i++)
	{
		Kept	   *kept = k->rows[i];

		if (kept->gone && kept->stored && kept->image_hash == hash &&
			pgt_image_equal(kept->image, image))
		{
			kept->gone = false;
			return;
		}
	}
	append_kept(r, k, make_kept(r, image));
}

/* All rows of keys to be read are gone until they are read. */
static void
take_read_rows(TopkRun *r, Tuplestorestate *rows)
{
	TupleTableSlot *slot = MakeSingleTupleTableSlot(r->op->op.outdesc,
													&TTSOpsMinimalTuple);
	MemoryContext old = MemoryContextSwitchTo(r->scratch);

	while (pgt_next_row(rows, slot))
	{
		KeyRows    *k;

		slot_getallattrs(slot);
		k = find_key(r, take_key(r, slot->tts_values, slot->tts_isnull));
		if (k == NULL || !k->reread)
			elog(ERROR, "operator %d read a key that was not asked for",
				 r->op->op.id);
		take_read_row(r, k, pgt_image_form(r->op->imager, slot->tts_values,
										   slot->tts_isnull));
		MemoryContextReset(r->scratch);
		CHECK_FOR_INTERRUPTS();
	}
	MemoryContextSwitchTo(old);
	ExecDropSingleTupleTableSlot(slot);
}

/* Keys to be read, those with or without NULLs; NULL if there are none. */
static Tuplestorestate *
keys_to_read(TopkRun *r, bool nulls, int64 *n)
{
	Tuplestorestate *keys = NULL;

	*n = 0;
	for (KeyRows *k = r->first; k != NULL; k = k->later)
	{
		if (!k->reread || has_null(r, k) != nulls)
			continue;
		if (keys == NULL)
			keys = tuplestore_begin_heap(false, false, pgt_refresh_work_mem);
		tuplestore_putvalues(keys, pgt_keys_imager(r->op->keyset)->desc,
							 k->keys, k->keynulls);
		(*n)++;
	}
	return keys;
}

static void
read_some(TopkRun *r, bool nulls, Tuplestorestate *rows)
{
	EphemeralNamedRelation enr;
	int64		n;
	Tuplestorestate *keys = keys_to_read(r, nulls, &n);

	if (keys == NULL)
		return;
	if (r->op->nkeys == 0)
	{
		pgt_plan_run_into(r->op->all, r->env, rows);
		tuplestore_end(keys);
		return;
	}
	enr = palloc0(sizeof(EphemeralNamedRelationData));
	enr->md.name = PGT_KEYS_NAME;
	enr->md.reliddesc = InvalidOid;
	enr->md.tupdesc = pgt_keys_imager(r->op->keyset)->desc;
	enr->md.enrtype = ENR_NAMED_TUPLESTORE;
	enr->md.enrtuples = n;
	enr->reldata = keys;
	register_ENR(r->env, enr);
	pgt_plan_run_into(r->op->first[nulls ? 0 : 1], r->env, rows);
	unregister_ENR(r->env, PGT_KEYS_NAME);
	tuplestore_end(keys);
}

static void
read_again(TopkRun *r)
{
	Tuplestorestate *rows = tuplestore_begin_heap(false, false,
												  pgt_refresh_work_mem);

	for (KeyRows *k = r->first; k != NULL; k = k->later)
		for (int i = 0; k->reread && i < k->n; i++)
			k->rows[i]->gone = true;
	read_some(r, false, rows);
	read_some(r, true, rows);
	take_read_rows(r, rows);
	tuplestore_end(rows);
	for (KeyRows *k = r->first; k != NULL; k = k->later)
		if (k->reread)
			k->more = count_left(k) >= r->op->kept;
}

/* ---- places ---- */

/* Rows left to the front, in order; those gone behind.  Returns how many. */
static int
order_left(TopkRun *r, KeyRows *k)
{
	Kept	  **gone = palloc(sizeof(Kept *) * (k->n + 1));
	int			left = 0;
	int			ngone = 0;
	int			all = k->n;

	for (int i = 0; i < all; i++)
	{
		if (k->rows[i]->gone)
			gone[ngone++] = k->rows[i];
		else
			k->rows[left++] = k->rows[i];
	}
	k->n = left;
	sort_rows(r, k);
	if (ngone > 0)
		memcpy(k->rows + left, gone, sizeof(Kept *) * ngone);
	k->n = all;
	pfree(gone);
	return left;
}

static int
place_of(const TopkRun *r, const KeyRows *k, int nth)
{
	int64		end = r->op->offset + r->op->limit;

	if (nth < r->op->offset)
		return PGT_TOPK_SKIPPED;
	if (nth < end)
		return PGT_TOPK_SHOWN;
	if (r->op->with_ties && r->op->limit > 0 &&
		compare_order(r, k->rows[nth], k->rows[end - 1]) == 0)
		return PGT_TOPK_SHOWN;
	return PGT_TOPK_SPARE;
}

/* Keep no more than enough; with ties whole sets of peers. */
static int
cut(TopkRun *r, KeyRows *k, int left)
{
	int			keep = (int) r->op->kept;

	if (left <= r->op->most)
		return left;
	while (r->op->with_ties && keep < left &&
		   compare_order(r, k->rows[keep], k->rows[keep - 1]) == 0)
		keep++;
	for (int i = keep; i < left; i++)
	{
		k->rows[i]->gone = true;
		k->more = true;
	}
	return keep;
}

static void
set_places(TopkRun *r, KeyRows *k)
{
	int			left = cut(r, k, order_left(r, k));

	for (int i = 0; i < left; i++)
		k->rows[i]->place = place_of(r, k, i);
}

/* ---- emitting and writing ---- */

static void
emit(TopkRun *r, MinimalTuple image, int64 weight)
{
	int			natts = r->op->op.outdesc->natts;

	pgt_image_deform(r->op->imager, image, r->values, r->nulls);
	r->values[natts] = Int64GetDatum(weight);
	r->nulls[natts] = false;
	tuplestore_putvalues(r->out, r->op->op.deltadesc, r->values, r->nulls);
}

/* The change of the rows shown; equal images cancel. */
static void
emit_key(TopkRun *r, KeyRows *k)
{
	PgtRowBag  *bag = pgt_row_bag_make(16);
	bool		added;

	for (int i = 0; i < k->n; i++)
	{
		Kept	   *kept = k->rows[i];
		int			change = (!kept->gone && kept->place == PGT_TOPK_SHOWN) -
			(kept->was == PGT_TOPK_SHOWN);

		if (change != 0)
			pgt_row_bag_get(bag, kept->image, kept->image_hash,
							&added)->weight += change;
	}
	for (PgtRowChange *c = bag->first; c != NULL; c = c->later)
		if (c->weight != 0)
			emit(r, c->image, c->weight);
}

static void
fill_row(TopkRun *r, const KeyRows *k, const Kept *kept)
{
	TupleTableSlot *row = r->state->row;
	int			first = PGT_TOPK_FIRST_ATTNO - 1;

	ExecClearTuple(row);
	row->tts_values[0] = Int64GetDatum((int64) k->hash);
	row->tts_isnull[0] = false;
	row->tts_values[PGT_TOPK_PLACE_ATTNO - 1] =
		Int16GetDatum(kept != NULL ? kept->place : 0);
	row->tts_isnull[PGT_TOPK_PLACE_ATTNO - 1] = kept == NULL;
	if (kept != NULL)
		pgt_image_deform(r->op->imager, kept->image, row->tts_values + first,
						 row->tts_isnull + first);
	else
	{
		memset(row->tts_isnull + first, true,
			   sizeof(bool) * r->op->op.outdesc->natts);
		for (int i = 0; i < r->op->nkeys; i++)
		{
			int			col = r->op->keys[i].state_attno - 1;

			row->tts_values[col] = k->keys[i];
			row->tts_isnull[col] = k->keynulls[i];
		}
	}
	ExecStoreVirtualTuple(row);
}

/* Write a row: in the place of one that goes, if there is one left. */
static void
write_row(TopkRun *r, KeyRows *k, const Kept *kept, int *gone)
{
	while (*gone < k->n &&
		   !(k->rows[*gone]->gone && k->rows[*gone]->stored))
		(*gone)++;
	fill_row(r, k, kept);
	if (*gone < k->n)
		pgt_writer_update(r->state->writer, &k->rows[(*gone)++]->tid,
						  r->state->row);
	else
		pgt_writer_insert(r->state->writer, r->state->row);
}

static void
write_key(TopkRun *r, KeyRows *k)
{
	int			gone = 0;

	for (int i = 0; i < k->n; i++)
	{
		Kept	   *kept = k->rows[i];

		if (kept->gone || (kept->stored && kept->place == kept->was))
			continue;
		if (kept->stored)
		{
			fill_row(r, k, kept);
			pgt_writer_update(r->state->writer, &kept->tid, r->state->row);
		}
		else
			write_row(r, k, kept, &gone);
	}
	if (k->more && !k->marked)
		write_row(r, k, NULL, &gone);
	else if (!k->more && k->marked)
		pgt_writer_delete(r->state->writer, &k->mark);
	for (; gone < k->n; gone++)
		if (k->rows[gone]->gone && k->rows[gone]->stored)
			pgt_writer_delete(r->state->writer, &k->rows[gone]->tid);
}

/* ---- a batch of keys ---- */

static void
finish_keys(TopkRun *r)
{
	bool		any = false;

	for (KeyRows *k = r->first; k != NULL; k = k->later)
	{
		if (!k->reread)
		{
			apply_changes(r, k);
			k->reread = k->more && count_left(k) < r->op->limit + r->op->offset;
		}
		any = any || k->reread;
	}
	if (any)
		read_again(r);
	for (KeyRows *k = r->first; k != NULL; k = k->later)
	{
		MemoryContext old = MemoryContextSwitchTo(r->scratch);

		set_places(r, k);
		if (r->out != NULL)
			emit_key(r, k);
		write_key(r, k);
		MemoryContextSwitchTo(old);
		MemoryContextReset(r->scratch);
		CHECK_FOR_INTERRUPTS();
	}
	forget_keys(r);
}

/* Memory is full of changes: from now on keys are read, not added up. */
static void
give_up_changes(TopkRun *r)
{
	r->reread_all = true;
	for (KeyRows *k = r->first; k != NULL; k = k->later)
		k->reread = true;
}

static void
finish_batch(TopkRun *r)
{
	finish_keys(r);
	/* what was written is to be seen by the next look at the state */
	pgt_state_close(r->state);
	r->state = pgt_state_open(&r->op->op);
}

/* ---- faces ---- */

static TopkRun *
begin(PgtTopkOp *op, QueryEnvironment *env, Tuplestorestate *out)
{
	TopkRun    *r = palloc0(sizeof(TopkRun));
	int			natts = op->op.outdesc->natts;

	r->op = op;
	r->env = env;
	r->out = out;
	r->batch = AllocSetContextCreate(CurrentMemoryContext, "topk batch",
									 ALLOCSET_DEFAULT_SIZES);
	r->scratch = AllocSetContextCreate(CurrentMemoryContext, "topk row",
									   ALLOCSET_DEFAULT_SIZES);
	r->keys = palloc(sizeof(Datum) * (op->nkeys + 1));
	r->keynulls = palloc(sizeof(bool) * (op->nkeys + 1));
	r->values = palloc(sizeof(Datum) * (natts + 1));
	r->nulls = palloc(sizeof(bool) * (natts + 1));
	prepare_order(r);
	forget_keys(r);
	r->state = pgt_state_open(&op->op);
	return r;
}

/* The input's columns in the order of the output's. */
static int *
output_columns(const PgtTopkOp *op)
{
	int		   *columns = palloc(sizeof(int) * (op->op.outdesc->natts + 1));
	int			i = 0;
	ListCell   *lc;

	foreach(lc, op->eval->targetList)
		columns[i++] = castNode(Var, lfirst_node(TargetEntry, lc)->expr)->varattno - 1;
	return columns;
}

static void
absorb(TopkRun *r, Tuplestorestate *input)
{
	PgtOp	   *below = linitial(r->op->op.inputs);
	int			natts = r->op->op.outdesc->natts;
	int		   *columns = output_columns(r->op);
	Datum	   *values = palloc(sizeof(Datum) * natts);
	bool	   *nulls = palloc(sizeof(bool) * natts);
	TupleTableSlot *slot = MakeSingleTupleTableSlot(below->deltadesc,
													&TTSOpsMinimalTuple);
	MemoryContext old = MemoryContextSwitchTo(r->scratch);
	int64		nrows = 0;

	tuplestore_select_read_pointer(input, 0);
	tuplestore_rescan(input);
	while (pgt_next_row(input, slot))
	{
		KeyRows    *k;

		slot_getallattrs(slot);
		for (int i = 0; i < natts; i++)
		{
			values[i] = slot->tts_values[columns[i]];
			nulls[i] = slot->tts_isnull[columns[i]];
		}
		k = get_key(r, take_key(r, values, nulls));
		k->reread = k->reread || r->reread_all;
		add_change(r, k, pgt_image_form(r->op->imager, values, nulls),
				   DatumGetInt64(slot->tts_values[below->outdesc->natts]));
		MemoryContextReset(r->scratch);
		if (++nrows % CHECK_MEMORY_ROWS != 0)
			continue;
		CHECK_FOR_INTERRUPTS();
		if (!is_full(r->batch))
			continue;
		MemoryContextSwitchTo(old);
		give_up_changes(r);
		finish_batch(r);
		MemoryContextSwitchTo(r->scratch);
	}
	MemoryContextSwitchTo(old);
	ExecDropSingleTupleTableSlot(slot);
	finish_keys(r);
}

void
pgt_topk_run(PgtOp *op, QueryEnvironment *env, Tuplestorestate **inputs,
			 Tuplestorestate *out)
{
	MemoryContext cxt = AllocSetContextCreate(CurrentMemoryContext, "topk",
											  ALLOCSET_DEFAULT_SIZES);
	MemoryContext old = MemoryContextSwitchTo(cxt);
	TopkRun    *r = begin((PgtTopkOp *) op, env, out);

	absorb(r, inputs[0]);
	pgt_state_close(r->state);
	MemoryContextSwitchTo(old);
	MemoryContextDelete(cxt);
}

/* Rows come key by key, each key's in order: one key in memory at a time. */
void
pgt_topk_build(PgtOp *op, QueryEnvironment *env, Tuplestorestate **inputs)
{
	MemoryContext cxt = AllocSetContextCreate(CurrentMemoryContext, "topk",
											  ALLOCSET_DEFAULT_SIZES);
	MemoryContext old = MemoryContextSwitchTo(cxt);
	TopkRun    *r = begin((PgtTopkOp *) op, env, NULL);
	Tuplestorestate *rows = tuplestore_begin_heap(false, false,
												  pgt_refresh_work_mem);
	TupleTableSlot *slot = MakeSingleTupleTableSlot(op->outdesc,
													&TTSOpsMinimalTuple);

	r->building = true;
	pgt_plan_run_into(r->op->all, env, rows);
	MemoryContextSwitchTo(r->scratch);
	while (pgt_next_row(rows, slot))
	{
		KeyRows    *k;
		uint64		hash;

		slot_getallattrs(slot);
		hash = take_key(r, slot->tts_values, slot->tts_isnull);
		if (r->first != NULL && find_key(r, hash) == NULL)
			finish_keys(r);
		k = get_key(r, hash);
		append_kept(r, k, make_kept(r, pgt_image_form(r->op->imager,
													  slot->tts_values,
													  slot->tts_isnull)));
		k->more = k->n >= r->op->kept;
		MemoryContextReset(r->scratch);
		CHECK_FOR_INTERRUPTS();
	}
	finish_keys(r);
	pgt_state_close(r->state);
	MemoryContextSwitchTo(old);
	ExecDropSingleTupleTableSlot(slot);
	tuplestore_end(rows);
	MemoryContextDelete(cxt);
}
