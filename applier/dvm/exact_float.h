/*
 * applier/dvm/exact_float.h - which exact aggregate stands for which built-in.
 *
 * Sums and statistics over float4 and float8 are kept by the aggregates
 * pgtrickle.exact_*: their states are exact, so a value taken away leaves no
 * trace and the order of rows does not matter.  FULL refreshes use them too.
 */
#ifndef PGT_EXACT_FLOAT_H
#define PGT_EXACT_FLOAT_H

#include "postgres.h"

/*
 * The exact aggregate of the same arguments and result type for a built-in
 * aggregate over float4 / float8 (sum, avg, variance, stddev and their _samp
 * and _pop forms, corr, covar_*, regr_*); InvalidOid for every other function.
 * Error when the extension's own aggregate is missing.
 */
extern Oid	pgt_exact_aggregate_for(Oid aggfnoid);

#endif							/* PGT_EXACT_FLOAT_H */
