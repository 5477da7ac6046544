/*
 * applier/dvm/plan.h - a Query of the engine's own and the plans made of it.
 * Private to dvm/.
 */
#ifndef PGT_PLAN_H
#define PGT_PLAN_H

#include "postgres.h"
#include "access/tupdesc.h"
#include "nodes/parsenodes.h"
#include "nodes/plannodes.h"

#include "applier/dvm/op.h"

/* Rows in the largest delta from which on another plan is made. */
#define PGT_SMALL_DELTA 1000
/* Rows that the plan for small deltas is made for. */
#define PGT_SMALL_DELTA_GUESS 10

/*
 * Make a plan, lazily: the Query is copied into a context below "parent" and
 * planned when first run.  "text" names it in logs.  check_rights: permission
 * entries of the Query stay and are checked at every run (the FULL query);
 * otherwise they are dropped.
 */
extern PgtPlan *pgt_plan_make(MemoryContext parent, const Query *query,
							  const char *text, bool check_rights);
extern TupleDesc pgt_plan_desc(const PgtPlan *plan);
extern const Query *pgt_plan_query_tree(const PgtPlan *plan);

/* The planned statement that a run with deltas of "tuples" rows would use,
 * locked; for explain_st. */
extern PlannedStmt *pgt_plan_statement(PgtPlan *plan, double tuples);

/* Append "name" for every named tuplestore that the Query reads. */
extern List *pgt_plan_store_names(const PgtPlan *plan);

#endif							/* PGT_PLAN_H */
