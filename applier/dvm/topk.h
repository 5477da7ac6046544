/*
 * applier/dvm/topk.h - the operator TOPK.  Private to dvm/.
 *
 * The first rows of its input in an order, of each key or of all: ORDER BY with
 * LIMIT and OFFSET, WITH TIES, DISTINCT ON.
 */
#ifndef PGT_TOPK_H
#define PGT_TOPK_H

#include "postgres.h"

#include "applier/dvm/keys.h"
#include "applier/dvm/op.h"

/* What a row of the state is: column pgt_place.  NULL: no row of the input, but
 * the sign that the key has more rows than are kept. */
typedef enum PgtTopkPlace
{
	PGT_TOPK_SKIPPED,			/* before OFFSET */
	PGT_TOPK_SHOWN,
	PGT_TOPK_SPARE				/* beyond the limit */
} PgtTopkPlace;

#define PGT_TOPK_PLACE_ATTNO 2
/* Output column i (from 1) stands in the state table at i + 2. */
#define PGT_TOPK_FIRST_ATTNO 3

typedef struct PgtTopkOp
{
	PgtOp		op;				/* outdesc: the columns of eval */
	Query	   *eval;			/* target list of the input's columns, sortClause */
	int			nkeys;			/* 0: the first of all rows */
	PgtKeySpec *keys;			/* state_attno as above */
	PgtKeySet  *keyset;
	PgtImager  *imager;			/* of a row of the output */
	int64		limit;
	int64		offset;
	bool		with_ties;
	int64		kept;			/* rows asked for when the state is filled */
	int64		most;			/* rows beyond which the state is cut to "kept" */
	/*
	 * Rows of the NEW state of the input: the first "kept" of the keys in
	 * PGT_KEYS_NAME, [nonnull] as in PgtReduceOp; and of everything, ordered by
	 * key and order.
	 */
	PgtPlan    *first[2];
	PgtPlan    *all;
} PgtTopkOp;

extern const PgtOpMethods pgt_topk_methods;

/* topk_run.c */
extern void pgt_topk_run(PgtOp *op, QueryEnvironment *env,
						 Tuplestorestate **inputs, Tuplestorestate *out);
extern void pgt_topk_build(PgtOp *op, QueryEnvironment *env,
						   Tuplestorestate **inputs);

#endif							/* PGT_TOPK_H */
