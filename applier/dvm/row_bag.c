/*
 * applier/dvm/row_bag.c - a bag of row images with weights.
 *
 * Consolidation: weights of the same image add up, what is zero is nothing.
 * Everything lives in the context that was current when the bag was made or
 * added to; callers bound it.
 */
#include "postgres.h"

#include "applier/dvm/target.h"

static PgtRowChange **
make_buckets(uint32 n)
{
	return palloc_extended(sizeof(PgtRowChange *) * n,
						   MCXT_ALLOC_HUGE | MCXT_ALLOC_ZERO);
}

PgtRowBag *
pgt_row_bag_make(uint32 expected)
{
	PgtRowBag  *bag = palloc0(sizeof(PgtRowBag));

	bag->nbuckets = 16;
	while (bag->nbuckets < expected && bag->nbuckets < (1U << 28))
		bag->nbuckets <<= 1;
	bag->buckets = make_buckets(bag->nbuckets);
	return bag;
}

static void
grow(PgtRowBag *bag)
{
	uint32		n = bag->nbuckets * 4;
	PgtRowChange **buckets = make_buckets(n);

	for (uint32 b = 0; b < bag->nbuckets; b++)
	{
		PgtRowChange *change = bag->buckets[b];

		while (change != NULL)
		{
			PgtRowChange *next = change->next;
			PgtRowChange **bucket = &buckets[change->hash & (n - 1)];

			change->next = *bucket;
			*bucket = change;
			change = next;
		}
	}
	pfree(bag->buckets);
	bag->buckets = buckets;
	bag->nbuckets = n;
}

PgtRowChange *
pgt_row_bag_find(PgtRowBag *bag, MinimalTuple image, uint64 hash)
{
	PgtRowChange *change = bag->buckets[hash & (bag->nbuckets - 1)];

	while (change != NULL &&
		   (change->hash != hash || !pgt_image_equal(change->image, image)))
		change = change->next;
	return change;
}

void
pgt_row_bag_put(PgtRowBag *bag, PgtRowChange *change)
{
	PgtRowChange **bucket = &bag->buckets[change->hash & (bag->nbuckets - 1)];

	change->next = *bucket;
	*bucket = change;
	bag->n++;
}

PgtRowChange *
pgt_row_bag_get(PgtRowBag *bag, MinimalTuple image, uint64 hash, bool *added)
{
	PgtRowChange *change = pgt_row_bag_find(bag, image, hash);

	*added = change == NULL;
	if (change != NULL)
		return change;
	if (bag->n >= bag->nbuckets)
		grow(bag);
	change = palloc0(sizeof(PgtRowChange));
	change->image = image;
	change->hash = hash;
	ItemPointerSetInvalid(&change->tid);
	pgt_row_bag_put(bag, change);
	if (bag->last == NULL)
		bag->first = change;
	else
		bag->last->later = change;
	bag->last = change;
	return change;
}

void
pgt_row_bag_sort_out(PgtRowBag *bag,
					 PgtRowChange ***deletions, uint32 *ndeletions,
					 PgtRowChange ***insertions, uint32 *ninsertions)
{
	Size		size = sizeof(PgtRowChange *) * Max(bag->n, 1);

	*deletions = palloc_extended(size, MCXT_ALLOC_HUGE);
	*insertions = palloc_extended(size, MCXT_ALLOC_HUGE);
	*ndeletions = *ninsertions = 0;
	for (PgtRowChange *c = bag->first; c != NULL; c = c->later)
	{
		if (c->weight < 0)
			(*deletions)[(*ndeletions)++] = c;
		else if (c->weight > 0)
			(*insertions)[(*ninsertions)++] = c;
	}
}
