/*
 * applier/dvm/partition.h - the operator PARTITION.  Private to dvm/.
 *
 * A query over the rows of its input, evaluated for each partition by itself:
 * window functions over PARTITION BY columns, DISTINCT ON, and, with no
 * partition columns, a limit over the whole.
 */
#ifndef PGT_PARTITION_H
#define PGT_PARTITION_H

#include "postgres.h"

#include "applier/dvm/keys.h"
#include "applier/dvm/op.h"

typedef struct PgtPartitionOp
{
	PgtOp		op;				/* outdesc: the visible columns of eval */
	/*
	 * Target list, windowClause, distinctClause, sortClause and limit of the
	 * level.  Vars are columns of the input, number 1.
	 */
	Query	   *eval;
	int			nkeys;			/* 0: one partition, the whole input */
	PgtKeySpec *keys;			/* state_attno: where the key stands in the state */
	PgtKeySet  *keyset;
	PgtImager  *imager;			/* of a row of the output */
	/* eval over the NEW state of the input: of the partitions in PGT_KEYS_NAME,
	 * [nonnull] as in PgtReduceOp; and of everything */
	PgtPlan    *touched[2];
	PgtPlan    *all;
} PgtPartitionOp;

extern const PgtOpMethods pgt_partition_methods;

/* partition_run.c */
extern void pgt_partition_run(PgtOp *op, QueryEnvironment *env,
							  Tuplestorestate **inputs, Tuplestorestate *out);
extern void pgt_partition_build(PgtOp *op, QueryEnvironment *env,
								Tuplestorestate **inputs);

#endif							/* PGT_PARTITION_H */
