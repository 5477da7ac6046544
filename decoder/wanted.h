/*
 * decoder/wanted.h - which relations are wanted, for which sources, and how
 * their columns are found.
 *
 * A Wanted remembers per relation that turned up the sources its changes
 * belong to: none for most.  Built under the historic snapshot of the change
 * at hand, forgotten by invalidation, so an answer holds for its place in the
 * WAL.  Lives in the decoding context.
 */
#ifndef PGT_DECODER_WANTED_H
#define PGT_DECODER_WANTED_H

#include "postgres.h"
#include "utils/hsearch.h"
#include "utils/relcache.h"

#include "decoder/layout.h"
#include "decoder/options.h"
#include "decoder/wire.h"

/* A source that a relation's changes are written for. */
typedef struct PgtTarget
{
	PgtWireShape *shape;		/* without columns where there is a mismatch */
	AttrNumber *attnums;		/* of the shape's columns in the relation */
	const char *mismatch;		/* or why changes cannot be written */
	bool		old_is_whole;	/* old rows have all columns carried */
	bool		all_columns;	/* carries the relation's, as they are */

	/* the decoder's */
	struct PgtBatch *batch;		/* NULL before it is looked up */
	PgtWireTuple old_tuple;		/* with room for values */
	PgtWireTuple new_tuple;
} PgtTarget;

/* Room for a row of the relation. */
typedef struct PgtRowRoom
{
	Datum	   *values;
	bool	   *nulls;
} PgtRowRoom;

typedef struct PgtWantedEntry
{
	Oid			relid;			/* hash key */
	bool		valid;
	MemoryContext context;		/* owns targets; NULL where there never were any */
	FullTransactionId skipped_in;	/* transaction of a change not wanted */
	int			natts;			/* of the relation */
	int			ntargets;
	PgtTarget  *targets;
	PgtLayout  *layout;			/* up to the last attribute carried */
	PgtRowRoom	old_row;		/* only where there are targets */
	PgtRowRoom	new_row;
} PgtWantedEntry;

typedef struct PgtWanted
{
	MemoryContext context;
	MemoryContext scratch;		/* empty between calls */
	const PgtDecoderOptions *options;
	HTAB	   *entries;
	PgtWantedEntry *last;		/* looked up last, or NULL */
	long		trim_at;		/* entries */
	bool		catalog_known;
	Oid			catalog;		/* pgtrickle.pgt_sources, or InvalidOid */
} PgtWanted;

/* The context must not outlive the decoding context; one Wanted per process. */
extern PgtWanted *pgt_wanted_create(MemoryContext context,
									const PgtDecoderOptions *options);

/* The relation's entry; build it anew when it is not valid.  Building frees
 * the targets it had.  The new heap of a rewrite has the sources of the table
 * that it is made for, with a mismatch. */
extern PgtWantedEntry *pgt_wanted_entry(PgtWanted *wanted, Oid relid);
extern void pgt_wanted_build(PgtWanted *wanted, PgtWantedEntry *entry,
							 Relation rel);

/* Under the historic snapshot: a relation and what it inherits from, itself
 * first; and is this one a source? */
extern List *pgt_wanted_lineage(Oid relid);
extern bool pgt_wanted_is_source(PgtWanted *wanted, Oid relid);

/* Were changes of it left out in this transaction? */
extern bool pgt_wanted_was_skipped(const PgtWanted *wanted, Oid relid,
								   FullTransactionId xid);

/* Between transactions: forget relations that are gone, once they are many. */
extern void pgt_wanted_trim(PgtWanted *wanted);

#endif							/* PGT_DECODER_WANTED_H */
