/*
 * applier/dvm/groups.c - the groups of one reduce while they are in memory.
 *
 * A hash table by key.  A group is fetched from the state table once, when
 * the first row of the batch names it; aggregate states stay in stored form
 * until a row changes them.  Everything lives in the batch context.
 */
#include "postgres.h"
#include "access/htup_details.h"
#include "access/heaptoast.h"
#include "utils/memutils.h"
#include "utils/rel.h"

#include "applier/dvm/groups.h"

#define FIRST_BUCKETS 64
#define FIRST_SHIFT (64 - 6)

/*
 * Buckets are ranges of the hash in the order of the state table's index
 * (int8), so that writing the groups bucket by bucket walks through the index
 * instead of jumping about in it.
 */
static inline uint32
bucket_of(const PgtReduction *r, uint64 hash)
{
	return (uint32) ((hash ^ (UINT64CONST(1) << 63)) >> r->bucket_shift);
}

/* Forget all groups. */
void
pgt_groups_reset(PgtReduction *r)
{
	MemoryContextReset(r->agg.batch);
	r->nbuckets = FIRST_BUCKETS;
	r->bucket_shift = FIRST_SHIFT;
	r->buckets = MemoryContextAllocZero(r->agg.batch,
										sizeof(PgtGroup *) * r->nbuckets);
	r->ngroups = 0;
}

static void
grow(PgtReduction *r)
{
	uint32		old = r->nbuckets;
	uint32		n = old * 4;
	PgtGroup  **buckets;

	r->nbuckets = n;
	r->bucket_shift -= 2;
	buckets = MemoryContextAllocExtended(r->agg.batch, sizeof(PgtGroup *) * n,
										 MCXT_ALLOC_HUGE | MCXT_ALLOC_ZERO);
	for (uint32 i = 0; i < old; i++)
	{
		PgtGroup   *group = r->buckets[i];

		while (group != NULL)
		{
			PgtGroup   *next = group->next;
			PgtGroup  **bucket = &buckets[bucket_of(r, group->hash)];

			group->next = *bucket;
			*bucket = group;
			group = next;
		}
	}
	pfree(r->buckets);
	r->buckets = buckets;
}

/* The row's keys into r->keys; returns their hash. */
uint64
pgt_groups_hash_row(PgtReduction *r, TupleTableSlot *slot)
{
	PgtReduceOp *op = r->op;

	for (int i = 0; i < op->nkeys; i++)
	{
		r->keys[i] = slot->tts_values[op->keys[i].in_col - 1];
		r->keynulls[i] = slot->tts_isnull[op->keys[i].in_col - 1];
	}
	return pgt_keys_hash(op->keyset, r->keys, r->keynulls);
}

/* The group of r->keys if it is in memory, else NULL. */
PgtGroup *
pgt_groups_find(PgtReduction *r, uint64 hash)
{
	PgtGroup   *group = r->buckets[bucket_of(r, hash)];

	for (; group != NULL; group = group->next)
	{
		if (group->hash == hash &&
			pgt_keys_equal(r->op->keyset, r->keys, r->keynulls,
						   group->keys, group->keynulls))
			return group;
	}
	return NULL;
}

static PgtGroup *
add_group(PgtReduction *r, uint64 hash)
{
	PgtReduceOp *op = r->op;
	PgtGroup   *group;
	PgtGroup  **bucket;

	if (r->ngroups >= r->nbuckets)
		grow(r);
	group = palloc0(offsetof(PgtGroup, aggs) +
					sizeof(PgtAggValue) * op->naggs);
	group->hash = hash;
	group->keys = palloc(sizeof(Datum) * Max(op->nkeys, 1));
	group->keynulls = palloc(sizeof(bool) * Max(op->nkeys, 1));
	bucket = &r->buckets[bucket_of(r, hash)];
	group->next = *bucket;
	*bucket = group;
	r->ngroups++;
	return group;
}

/* Does the state row in r->values belong to the key in r->keys? */
static bool
row_has_key(PgtReduction *r)
{
	return pgt_keys_equal(r->op->keyset, r->keys, r->keynulls,
						  &r->values[PGT_STATE_HASH_ATTNO],
						  &r->nulls[PGT_STATE_HASH_ATTNO]);
}

static void
load_row(PgtReduction *r, TupleTableSlot *slot)
{
	slot_getallattrs(slot);
	memcpy(r->values, slot->tts_values, sizeof(Datum) * slot->tts_nvalid);
	memcpy(r->nulls, slot->tts_isnull, sizeof(bool) * slot->tts_nvalid);
}

static void
load_aggregates(PgtReduction *r, PgtGroup *group)
{
	PgtReduceOp *op = r->op;

	for (int i = 0; i < op->naggs; i++)
	{
		const PgtAggSpec *agg = &op->aggs[i];
		PgtAggValue *v = &group->aggs[i];

		if (agg->state_attno == 0)
			continue;
		v->state = r->values[agg->state_attno - 1];
		v->isnull = r->nulls[agg->state_attno - 1];
		if (pgt_agg_plan(agg)->has_count)
			v->count = DatumGetInt64(r->values[agg->state_attno]);
	}
}

/* The stored row in state->found becomes a group. */
static PgtGroup *
load_group(PgtReduction *r, uint64 hash)
{
	PgtReduceOp *op = r->op;
	TupleTableSlot *slot = r->state->found;
	TupleDesc	desc = slot->tts_tupleDescriptor;
	PgtGroup   *group = add_group(r, hash);
	AttrNumber	images = pgt_state_images_attno(op);

	group->stored = true;
	group->tid = slot->tts_tid;
	group->old = ExecCopySlotHeapTuple(slot);
	if (HeapTupleHasExternal(group->old))
		group->old = toast_flatten_tuple(group->old, desc);
	heap_deform_tuple(group->old, desc, r->values, r->nulls);
	memcpy(group->keys, &r->values[PGT_STATE_HASH_ATTNO],
		   sizeof(Datum) * op->nkeys);
	memcpy(group->keynulls, &r->nulls[PGT_STATE_HASH_ATTNO],
		   sizeof(bool) * op->nkeys);
	group->n = DatumGetInt64(r->values[pgt_state_count_attno(op) - 1]);
	if (pgt_reduce_has_images(op) && !r->nulls[images - 1])
		group->images = pgt_key_images_read(r->values[images - 1]);
	load_aggregates(r, group);
	return group;
}

static PgtGroup *
new_group(PgtReduction *r, uint64 hash)
{
	PgtReduceOp *op = r->op;
	PgtGroup   *group = add_group(r, hash);

	pgt_keys_copy(op->keyset, group->keys, group->keynulls, r->keys, r->keynulls);
	for (int i = 0; i < op->naggs; i++)
	{
		PgtAggValue *v = &group->aggs[i];

		if (op->aggs[i].state_attno == 0)
			continue;
		pgt_agg_plan(&op->aggs[i])->methods->init(&op->aggs[i], &r->agg, v);
		v->thawed = true;
		v->changed = true;
	}
	return group;
}

/* The group of r->keys: in memory, from the state table, or empty. */
PgtGroup *
pgt_groups_get(PgtReduction *r, uint64 hash)
{
	PgtGroup   *group = pgt_groups_find(r, hash);
	MemoryContext old;

	if (group != NULL)
		return group;
	old = MemoryContextSwitchTo(r->agg.batch);
	if (!r->building)
	{
		pgt_state_seek(r->state, hash);
		while (group == NULL && pgt_state_next(r->state))
		{
			load_row(r, r->state->found);
			if (row_has_key(r))
				group = load_group(r, hash);
		}
		ExecClearTuple(r->state->found);
	}
	if (group == NULL && r->op->nkeys == 0 && !r->building)
		ereport(ERROR,
				(errcode(ERRCODE_DATA_CORRUPTED),
				 errmsg("state table \"%s\" has lost its row",
						RelationGetRelationName(r->state->rel)),
				 errhint("Rebuild the stream table with refresh_stream_table(name, 'FULL').")));
	if (group == NULL)
		group = new_group(r, hash);
	MemoryContextSwitchTo(old);
	return group;
}

/* Only some rows lend their image: count theirs, even if all are alike. */
static void
count_lent_image(PgtReduction *r, PgtGroup *group, TupleTableSlot *slot,
				 int64 weight)
{
	int			col = r->op->image_col - 1;
	MemoryContext old;

	if (slot->tts_isnull[col] || !DatumGetBool(slot->tts_values[col]))
		return;
	old = MemoryContextSwitchTo(r->agg.batch);
	if (group->images == NULL)
		group->images = pgt_key_images_make();
	pgt_key_images_add(group->images,
					   pgt_image_form(pgt_keys_imager(r->op->keyset), r->keys,
									  r->keynulls), weight);
	MemoryContextSwitchTo(old);
}

/* Count the image of the key in r->keys; nothing to do while all are alike. */
static void
count_image(PgtReduction *r, PgtGroup *group, int64 weight)
{
	PgtImager  *imager = pgt_keys_imager(r->op->keyset);
	MemoryContext old;

	if (group->images == NULL &&
		(group->n == 0 ||
		 pgt_keys_identical(r->op->keyset, r->keys, r->keynulls,
							group->keys, group->keynulls)))
		return;
	old = MemoryContextSwitchTo(r->agg.batch);
	if (group->images == NULL)
	{
		group->images = pgt_key_images_make();
		pgt_key_images_add(group->images,
						   pgt_image_form(imager, group->keys, group->keynulls),
						   group->n);
	}
	pgt_key_images_add(group->images,
					   pgt_image_form(imager, r->keys, r->keynulls), weight);
	MemoryContextSwitchTo(old);
}

/* One row for one aggregate: weight times, or taken away. */
void
pgt_group_add_input(PgtReduction *r, PgtGroup *group, int i,
					TupleTableSlot *slot, int64 weight)
{
	const PgtAggSpec *agg = &r->op->aggs[i];
	PgtAggValue *v = &group->aggs[i];
	const PgtAggMethods *methods;

	if (agg->filter_col != 0 &&
		(slot->tts_isnull[agg->filter_col - 1] ||
		 !DatumGetBool(slot->tts_values[agg->filter_col - 1])))
		return;
	methods = pgt_agg_plan(agg)->methods;
	if (!v->thawed)
	{
		methods->thaw(agg, &r->agg, v);
		v->thawed = true;
	}
	for (int a = 0; a < agg->nargs; a++)
	{
		r->args[a] = slot->tts_values[agg->arg_cols[a] - 1];
		r->argnulls[a] = slot->tts_isnull[agg->arg_cols[a] - 1];
	}
	methods->add(agg, &r->agg, v, r->args, r->argnulls, weight);
}

/* The row, whose keys are in r->keys, weight times into the group. */
void
pgt_group_add_row(PgtReduction *r, PgtGroup *group, TupleTableSlot *slot,
				  int64 weight)
{
	PgtReduceOp *op = r->op;

	if (pgt_reduce_has_images(op) && op->image_col > 0)
		count_lent_image(r, group, slot, weight);
	else if (pgt_reduce_has_images(op))
		count_image(r, group, weight);
	group->n += weight;
	for (int i = 0; i < op->naggs; i++)
	{
		if (op->aggs[i].state_attno != 0 && !group->aggs[i].rescan)
			pgt_group_add_input(r, group, i, slot, weight);
	}
}

static void
corrupted(void)
{
	ereport(ERROR,
			(errcode(ERRCODE_DATA_CORRUPTED),
			 errmsg("a group would have a negative number of rows"),
			 errhint("Rebuild the stream table with refresh_stream_table(name, 'FULL').")));
}

/* Show the key as one of the remaining rows has it. */
static void
show_image(PgtReduction *r, PgtGroup *group, MinimalTuple image)
{
	PgtImager  *imager = pgt_keys_imager(r->op->keyset);
	Datum	   *keys = palloc(sizeof(Datum) * r->op->nkeys);
	bool	   *nulls = palloc(sizeof(bool) * r->op->nkeys);

	pgt_image_deform(imager, image, keys, nulls);
	if (pgt_keys_identical(r->op->keyset, keys, nulls, group->keys, group->keynulls))
		return;
	group->keys = keys;
	group->keynulls = nulls;
	group->rekeyed = true;
}

/*
 * After all rows of the batch: check the counts, forget images that no row
 * has any more, see to it that the image shown is one that a row has.
 */
void
pgt_group_settle(PgtReduction *r, PgtGroup *group)
{
	PgtKeyImages *set = group->images;
	MemoryContext old;
	MinimalTuple shown;
	int			n = 0;

	if (group->n < 0)
		corrupted();
	if (set == NULL || group->n == 0)
		return;
	old = MemoryContextSwitchTo(r->agg.batch);
	shown = pgt_image_form(pgt_keys_imager(r->op->keyset), group->keys, group->keynulls);
	for (int i = 0; i < set->n; i++)
	{
		if (set->counts[i] < 0)
			corrupted();
		if (set->counts[i] == 0)
			continue;
		set->images[n] = set->images[i];
		set->counts[n++] = set->counts[i];
	}
	set->n = n;
	for (int i = 0; i < n; i++)
		if (pgt_image_equal(set->images[i], shown))
			n = 0;				/* still there */
	if (n > 0)
		show_image(r, group, set->images[0]);
	if (set->n == 0 || (set->n == 1 && r->op->image_col == 0))
		group->images = NULL;
	MemoryContextSwitchTo(old);
}
