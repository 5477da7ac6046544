/*
 * applier/dvm/truth.c - bool_and, bool_or and every, by counting.
 *
 * Their own moving state is internal and cannot be stored.  The number of
 * non-null inputs and of the true ones among them says everything.
 */
#include "postgres.h"
#include "catalog/pg_type.h"
#include "utils/fmgroids.h"

#include "applier/dvm/aggregate.h"

static void
truth_init(const PgtAggSpec *agg, PgtAggRun *run, PgtAggValue *v)
{
	v->state = Int64GetDatum(0);
	v->isnull = false;
	v->count = 0;
}

static void
truth_thaw(const PgtAggSpec *agg, PgtAggRun *run, PgtAggValue *v)
{
}

static void
truth_add(const PgtAggSpec *agg, PgtAggRun *run, PgtAggValue *v,
		  const Datum *args, const bool *nulls, int64 weight)
{
	if (nulls[0])
		return;
	v->changed = true;
	v->count += weight;
	if (DatumGetBool(args[0]))
		v->state = Int64GetDatum(DatumGetInt64(v->state) + weight);
}

static void
truth_freeze(const PgtAggSpec *agg, PgtAggRun *run, PgtAggValue *v,
			 Datum *state, bool *isnull)
{
	*state = v->state;
	*isnull = false;
}

static void
truth_result(const PgtAggSpec *agg, PgtAggRun *run, PgtAggValue *v,
			 Datum *result, bool *isnull)
{
	int64		yes = DatumGetInt64(v->state);

	*isnull = v->count == 0;
	if (agg->aggref->aggfnoid == F_BOOL_OR)
		*result = BoolGetDatum(yes > 0);
	else
		*result = BoolGetDatum(yes == v->count);
}

static const PgtAggMethods truth_methods = {
	.name = "two counts",
	.init = truth_init,
	.thaw = truth_thaw,
	.add = truth_add,
	.freeze = truth_freeze,
	.result = truth_result,
};

bool
pgt_truth_classify(PgtAggSpec *agg, Oid *state_type)
{
	PgtAggPlan *plan;
	Oid			fn = agg->aggref->aggfnoid;

	if (fn != F_BOOL_AND && fn != F_BOOL_OR && fn != F_EVERY)
		return false;
	plan = palloc0(sizeof(PgtAggPlan));
	plan->methods = &truth_methods;
	plan->has_count = true;
	agg->plan = plan;
	*state_type = INT8OID;
	return true;
}
