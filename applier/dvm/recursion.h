/*
 * applier/dvm/recursion.h - WITH RECURSIVE: operators and their making.
 * Private to dvm/.
 *
 *   WORK      the rows found so far, as the recursive term reads them; a leaf
 *             whose rows are those of its RECURSE's state.  Columns: those of
 *             the CTE, then the level at which the row was found.
 *   RECURSE   the fixpoint.  Inputs: the non-recursive term; the recursive
 *             term over WORK.
 *   SNAPSHOT  a query run anew at each change of its inputs and compared with
 *             the rows stored; or a foreign table or materialized view, read at
 *             each run.
 */
#ifndef PGT_RECURSION_H
#define PGT_RECURSION_H

#include "postgres.h"

#include "applier/dvm/compiler.h"
#include "applier/dvm/image.h"
#include "applier/dvm/op.h"

typedef struct PgtRecurseOp
{
	PgtOp		op;				/* outdesc: the CTE's columns */
	bool		distinct;		/* UNION: a row counts once, at its first level */
	PgtOp	   *work;
	List	   *steps;			/* of PgtBlockOp*: from WORK to inputs[1], in order */
	PgtImager  *imager;			/* of a row */
	MemoryContext context;		/* the program's, for plans */
} PgtRecurseOp;

typedef struct PgtWorkOp
{
	PgtOp		op;				/* outdesc: the CTE's columns, pgt_level int4 */
	PgtRecurseOp *recurse;
} PgtWorkOp;

typedef struct PgtSnapshotOp
{
	PgtOp		op;				/* inputs: what the query reads */
	Query	   *query;
	const char *reason;			/* why it is run anew, for explain_st */
	Oid			polled;			/* or InvalidOid: rows of this relation, at each run */
	PgtPlan    *plan;
	PgtImager  *imager;
} PgtSnapshotOp;

/*
 * Recursive CTEs in the compiler's form: the subquery that stands for a
 * reference is the set operation, with hasRecursive set and in its cteList
 * one CTE without a query that says its name and columns; references to
 * itself are left as entries with self_reference, ctelevelsup 0.
 */
extern CommonTableExpr *pgt_recursion_of(const Query *query);
/* Put "query", a copy of cte's query, into that form. */
extern void pgt_recursion_mark(Query *query);
extern void pgt_recursion_finish(Query *query, const CommonTableExpr *cte);

/* Number the recursive CTEs of a query at all levels, in cte->location. */
extern void pgt_recursion_number(Query *query);
/* Can each of them be run by itself?  Else its name. */
extern const char *pgt_recursion_misfit(const Query *expanded);

/* A relation whose changes cannot be captured: polled. */
extern PgtOp *pgt_snapshot_of_relation(PgtCompiler *c, const RangeTblEntry *rte,
									   const Bitmapset *columns);

/* The operator of a reference, and of the reference to itself. */
extern PgtOp *pgt_recursion_compile(PgtCompiler *c, Query *query);
extern PgtOp *pgt_recursion_self(PgtCompiler *c, const RangeTblEntry *rte);

/* The rows of the state as they count, with the level as a last column or
 * without. */
extern Query *pgt_recurse_rows(const PgtRecurseOp *recurse, bool leveled);

extern const PgtOpMethods pgt_recurse_methods;
extern const PgtOpMethods pgt_snapshot_methods;

#endif							/* PGT_RECURSION_H */
