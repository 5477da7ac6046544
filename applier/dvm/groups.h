/*
 * applier/dvm/groups.h - the groups of one reduce while they are in memory.
 * Private to reduce.c, groups.c, reread.c and emit.c (all one operator).
 */
#ifndef PGT_GROUPS_H
#define PGT_GROUPS_H

#include "postgres.h"
#include "storage/itemptr.h"

#include "applier/dvm/aggregate.h"
#include "applier/dvm/keys.h"
#include "applier/dvm/op.h"
#include "applier/dvm/state.h"

typedef struct PgtGroup
{
	struct PgtGroup *next;		/* in its bucket */
	uint64		hash;
	Datum	   *keys;			/* the image shown */
	bool	   *keynulls;
	int64		n;				/* rows */
	PgtKeyImages *images;		/* NULL: all rows have the image shown */
	bool		rekeyed;		/* the image shown is not the stored one */
	bool		stored;
	ItemPointerData tid;		/* if stored */
	HeapTuple	old;			/* if stored: the row, without TOAST pointers */
	Datum	   *fresh;			/* results of RECOMPUTE aggregates, or NULL */
	bool	   *freshnull;
	PgtAggValue aggs[FLEXIBLE_ARRAY_MEMBER];
} PgtGroup;

/* One run of one reduce. */
typedef struct PgtReduction
{
	PgtReduceOp *op;
	QueryEnvironment *env;
	Tuplestorestate *out;		/* or NULL: nobody wants the delta */
	bool		building;		/* the state table is empty */
	PgtStateTable *state;
	TupleDesc	indesc;			/* input columns, weight */
	MemoryContext cxt;			/* the run's */
	PgtAggRun	agg;			/* batch: the groups in memory; scratch: one row */

	PgtGroup  **buckets;
	uint32		nbuckets;		/* power of two */
	int			bucket_shift;	/* 64 minus its logarithm */
	uint32		ngroups;

	/* work space */
	Datum	   *keys;			/* of the row looked at */
	bool	   *keynulls;
	Datum	   *values;			/* of a state row: as stored */
	bool	   *nulls;
	Datum	   *newvalues;		/* of a state row: to be stored */
	bool	   *newnulls;
	Datum	   *outvalues;		/* of an output row, weight */
	bool	   *outnulls;
	Datum		args[FUNC_MAX_ARGS];
	bool		argnulls[FUNC_MAX_ARGS];
} PgtReduction;

/* groups.c */
extern void pgt_groups_reset(PgtReduction *r);
extern uint64 pgt_groups_hash_row(PgtReduction *r, TupleTableSlot *slot);
extern PgtGroup *pgt_groups_find(PgtReduction *r, uint64 hash);
extern PgtGroup *pgt_groups_get(PgtReduction *r, uint64 hash);
extern void pgt_group_add_row(PgtReduction *r, PgtGroup *group,
							  TupleTableSlot *slot, int64 weight);
extern void pgt_group_add_input(PgtReduction *r, PgtGroup *group, int agg,
								TupleTableSlot *slot, int64 weight);
extern void pgt_group_settle(PgtReduction *r, PgtGroup *group);

/* reread.c */
extern void pgt_groups_reread(PgtReduction *r);

/* emit.c */
extern void pgt_group_emit(PgtReduction *r, PgtGroup *group);

#endif							/* PGT_GROUPS_H */
