/*
 * applier/dvm/target.h - a stream table open for changes.  Private to
 * apply.c and difference.c.
 *
 * Rows come and go as images (image.h) of the live columns in order.
 */
#ifndef PGT_TARGET_H
#define PGT_TARGET_H

#include "postgres.h"
#include "access/genam.h"
#include "access/skey.h"
#include "utils/relcache.h"
#include "utils/tuplestore.h"

#include "applier/dvm/image.h"
#include "applier/dvm/op.h"
#include "applier/dvm/writer.h"

/* One distinct row image that has to come or go. */
typedef struct PgtRowChange
{
	struct PgtRowChange *next;	/* in its bucket */
	struct PgtRowChange *later; /* the one that arrived after it */
	struct PgtRowChange *partner;	/* same key, other direction: an UPDATE */
	MinimalTuple image;
	MinimalTuple key;			/* image of the key columns, when pairing */
	uint64		hash;			/* of the image, later of the key */
	int64		weight;			/* rows to insert, or (negative) to delete */
	ItemPointerData tid;		/* where the row is, if known */
} PgtRowChange;

typedef struct PgtTarget
{
	Relation	rel;
	PgtRowIdentity id;
	Relation	index;			/* the identity's */
	IndexScanDesc scan;			/* begun at the first look-up */
	ScanKeyData *scankeys;
	int			ncolumns;		/* live ones */
	AttrNumber *attnos;			/* of column i */
	PgtImager  *imager;
	PgtImager  *key_imager;		/* by_key */
	int		   *key_columns;	/* by_key: 0-based columns */
	List	   *other_unique;	/* of Bitmapset* of 0-based columns */
	PgtWriter  *writer;
	TupleTableSlot *found;
	TupleTableSlot *row;
	bool		begun[CMD_DELETE + 1];	/* statement triggers fired, by CmdType */
	Tuplestorestate *out;		/* or NULL */
	TupleDesc	outdesc;
	PgtRunResult *result;
	MemoryContext scratch;		/* one row */
	Datum	   *values;			/* of an image, weight */
	bool	   *nulls;
} PgtTarget;

extern PgtTarget *pgt_target_open(Oid relid, TupleDesc rowdesc,
								  Tuplestorestate *out, PgtRunResult *result);
extern void pgt_target_close(PgtTarget *target);

/* Image of the row in slot, a row of the table (in the current context). */
extern MinimalTuple pgt_target_stored_image(PgtTarget *target,
											TupleTableSlot *slot);
extern MinimalTuple pgt_target_key_image(PgtTarget *target,
										 MinimalTuple image);

/* Delete count rows that look like image; error XX001 if there are fewer. */
extern void pgt_target_delete(PgtTarget *target, MinimalTuple image,
							  int64 count);
extern void pgt_target_report_missing(PgtTarget *target);
extern void pgt_target_delete_at(PgtTarget *target, MinimalTuple image,
								 ItemPointer tid);
/* Turn the one row that looks like "from" into "to"; tid may be NULL. */
extern void pgt_target_update(PgtTarget *target, MinimalTuple from,
							  ItemPointer tid, MinimalTuple to);
extern void pgt_target_insert(PgtTarget *target, MinimalTuple image,
							  int64 count);

/* Pair deletions with insertions of the same key: these become updates. */
extern void pgt_target_pair(PgtTarget *target, PgtRowChange **deletions,
							uint32 ndeletions, PgtRowChange **insertions,
							uint32 ninsertions);

/* Put many changes into the order of the identity's first column. */
extern void pgt_target_sort(PgtTarget *target, PgtRowChange **changes,
							uint32 n);

/* ---- a bag of row images, in the current context ---- */
typedef struct PgtRowBag
{
	PgtRowChange **buckets;
	uint32		nbuckets;		/* power of two */
	uint32		n;				/* distinct images */
	PgtRowChange *first;		/* in order of arrival */
	PgtRowChange *last;
} PgtRowBag;

extern PgtRowBag *pgt_row_bag_make(uint32 expected);
extern PgtRowChange *pgt_row_bag_find(PgtRowBag *bag, MinimalTuple image,
									  uint64 hash);
/* For look-ups only: a change whose hash is set, distinct from those there. */
extern void pgt_row_bag_put(PgtRowBag *bag, PgtRowChange *change);
/* Finds or adds; a new image gets weight 0 and is not copied. */
extern PgtRowChange *pgt_row_bag_get(PgtRowBag *bag, MinimalTuple image,
									 uint64 hash, bool *added);
/* Those with negative and those with positive weight, as arrays in order of
 * arrival: neighbours in the delta are often neighbours in the table. */
extern void pgt_row_bag_sort_out(PgtRowBag *bag,
								 PgtRowChange ***deletions, uint32 *ndeletions,
								 PgtRowChange ***insertions, uint32 *ninsertions);

#endif							/* PGT_TARGET_H */
