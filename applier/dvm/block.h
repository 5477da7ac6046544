/*
 * applier/dvm/block.h - operators as queries: new states and delta terms.
 * Private to dvm/.
 */
#ifndef PGT_BLOCK_H
#define PGT_BLOCK_H

#include "postgres.h"

#include "applier/dvm/compile.h"

/* Changed inputs up to which one term per subset is used. */
#define PGT_MAX_SUBSET_INPUTS 4

/* One term of a block's delta. */
typedef struct PgtBlockTerm
{
	uint64		delta;			/* inputs read as their delta */
	uint64		old;			/* inputs read in their old state */
	PgtPlan    *plan;
} PgtBlockTerm;

/* Name of the named tuplestore that holds an operator's delta. */
extern const char *pgt_delta_name(const PgtOp *op);

/* New state of an operator: a Query with outdesc's columns. */
extern Query *pgt_op_new_state(const PgtOp *op);
/* ... and a weight column of ones */
extern Query *pgt_op_new_state_weighted(const PgtOp *op);

/* A REDUCE's two pairs of plans, once its state table and those below exist. */
extern void pgt_reduce_make_plans(PgtOp *op, MemoryContext context);

/* Column "col" of an operator where its new state stands in FROM, and what
 * stands there. */
extern AttrNumber pgt_op_state_attno(const PgtOp *op, int col);
extern RangeTblEntry *pgt_op_state_entry(Query *query, const PgtOp *op,
										 bool fenced);
/* An expression over the columns of an operator, number 1 in FROM -> over its
 * new state there. */
extern Node *pgt_op_place_vars(Node *node, const PgtOp *op);

/*
 * SELECT FROM the new state of an operator, restricted to the keys in the named
 * tuplestore PGT_KEYS_NAME (columns k1 .. kn, distinct); without keys all of
 * it.  No columns yet.  nonnull: no key in the set is NULL, so that indexes can
 * be used.
 */
extern Query *pgt_op_restricted_state(const PgtOp *op, const PgtKeySpec *keys,
									  int nkeys, bool nonnull);

/*
 * The terms of a block's delta for a set of changed inputs (bit i: input i+1),
 * made if they are new: a list of PgtBlockTerm*.  Plans go into "context".
 */
extern List *pgt_block_terms(PgtBlockOp *block, uint64 changed,
							 MemoryContext context);

#endif							/* PGT_BLOCK_H */
