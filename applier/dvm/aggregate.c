/*
 * applier/dvm/aggregate.c - which way an aggregate is kept.
 *
 * Decided once, when a query is compiled, from pg_aggregate alone:
 *
 *   MOVING     has an inverse transition function and a state that can be
 *              stored (moving.c)
 *   BOOL       bool_and, bool_or, every: two counts (truth.c)
 *   EXTREME    min, max and whatever else is one by its sort operator
 *              (extreme.c)
 *   RECOMPUTE  everything else: the executor evaluates the touched groups
 *
 * DISTINCT and ORDER BY inside do not change min, max and the truth
 * aggregates; DISTINCT puts any other on RECOMPUTE, ORDER BY those that are
 * not known to ignore order.
 */
#include "postgres.h"
#include "access/transam.h"
#include "catalog/pg_aggregate.h"

#include "applier/dvm/aggregate.h"

static bool
may_be_moving(const Aggref *aggref)
{
	if (aggref->aggkind != AGGKIND_NORMAL || aggref->aggdistinct != NIL)
		return false;
	/* no built-in with an inverse looks at the order of its inputs */
	return aggref->aggorder == NIL || aggref->aggfnoid < FirstNormalObjectId;
}

void
pgt_agg_classify(PgtAggSpec *agg, Oid *state_type, Oid *state_collation)
{
	*state_type = InvalidOid;
	*state_collation = InvalidOid;
	agg->plan = NULL;
	if (pgt_truth_classify(agg, state_type))
		agg->method = PGT_AGG_BOOL;
	else if (pgt_extreme_classify(agg, state_type))
		agg->method = PGT_AGG_EXTREME;
	else if (may_be_moving(agg->aggref) &&
			 pgt_moving_classify(agg, state_type, state_collation))
		agg->method = PGT_AGG_MOVING;
	else
		agg->method = PGT_AGG_RECOMPUTE;
	if (agg->plan != NULL)
	{
		((PgtAggPlan *) agg->plan)->state_type = *state_type;
		((PgtAggPlan *) agg->plan)->state_collation = *state_collation;
	}
}

const char *
pgt_agg_method_name(const PgtAggSpec *agg)
{
	if (agg->method == PGT_AGG_RECOMPUTE)
		return "recomputed for the touched groups";
	return pgt_agg_plan(agg)->methods->name;
}
