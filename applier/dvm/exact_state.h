/*
 * applier/dvm/exact_state.h - the transition state of the exact aggregates.
 * Private to exact_float.c and exact_result.c.
 *
 * One struct serves three kinds of aggregates, allocated only as far as its
 * kind needs: sum and avg (n, x without squares), variance and stddev (all of
 * x), the two-argument ones (everything).  NaN and infinities are counted,
 * never added, so they can be taken away again.
 */
#ifndef PGT_EXACT_STATE_H
#define PGT_EXACT_STATE_H

#include "postgres.h"

#include "applier/dvm/exact_sum.h"

typedef enum PgtExactKind
{
	PGT_EXACT_SUM = 1,
	PGT_EXACT_VARIANCE = 2,
	PGT_EXACT_REGRESSION = 3
} PgtExactKind;

typedef struct PgtExactColumn
{
	int64		nan;
	int64		infinite;		/* +Infinity */
	int64		neg_infinite;	/* -Infinity */
	int64		neg_zero;		/* counted for sum() only, whose result may be -0 */
	PgtExactSum sum;
	PgtExactSum squares;
} PgtExactColumn;

typedef struct PgtExactState
{
	PgtExactKind kind;
	MemoryContext cxt;			/* holds the state and its limbs */
	int64		n;				/* rows without a NULL argument */
	PgtExactColumn x;			/* of (y, x) the second argument, as PostgreSQL names them */
	PgtExactColumn y;
	PgtExactSum products;		/* of pairs where both are finite */
} PgtExactState;

#define pgt_exact_special(column) \
	((column)->nan + (column)->infinite + (column)->neg_infinite > 0)

#endif							/* PGT_EXACT_STATE_H */
