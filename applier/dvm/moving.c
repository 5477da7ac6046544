/*
 * applier/dvm/moving.c - aggregates that can forget: forward and inverse
 * transition functions called as a moving window frame calls them.
 *
 * Any aggregate of the catalog with an inverse transition function and a
 * storable state: built in, from an extension, or a user's own.  A state of
 * type internal is stored through the aggregate's own serialisation function,
 * provided its moving state is the plain one.
 *
 * The rules are those of window aggregates: strict functions skip rows with a
 * NULL input; a strict forward function without initial value takes the first
 * input as its state; the last input is never taken away by the inverse
 * function but by starting anew; an inverse function that answers NULL cannot
 * do it, and the group's rows are read again.
 *
 * Memory: states live in the run's batch context.  The fmgr look-ups live
 * with the compiled query; what functions cache there stays as long.
 */
#include "postgres.h"
#include "access/htup_details.h"
#include "catalog/pg_aggregate.h"
#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "parser/parse_agg.h"
#include "utils/builtins.h"
#include "utils/datum.h"
#include "utils/expandeddatum.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/syscache.h"

#include "applier/dvm/aggregate.h"
#include "applier/dvm/image.h"

typedef struct MovingPlan
{
	PgtAggPlan	plan;
	FmgrInfo	forward;
	FmgrInfo	inverse;
	FmgrInfo	final;
	FmgrInfo	serialize;
	FmgrInfo	deserialize;
	FmgrInfo	combine;
	bool		has_final;
	bool		internal;		/* stored through serialize */
	bool		has_combine;
	int			nfinalargs;
	Oid			collation;
	int16		typlen;			/* of the transition type */
	bool		typbyval;
	Datum		init;
	bool		init_null;
} MovingPlan;

#define moving_plan(agg) ((MovingPlan *) (agg)->plan)

/* Empty the function call's argument list up to nargs and call in it. */
static void
prepare_call(FunctionCallInfo fcinfo, FmgrInfo *fn, int nargs, Oid collation,
			 PgtAggRun *run)
{
	InitFunctionCallInfoData(*fcinfo, fn, nargs, collation,
							 (Node *) run->caller, NULL);
	for (int i = 0; i < nargs; i++)
	{
		fcinfo->args[i].value = (Datum) 0;
		fcinfo->args[i].isnull = true;
	}
}

static void
moving_init(const PgtAggSpec *agg, PgtAggRun *run, PgtAggValue *v)
{
	MovingPlan *plan = moving_plan(agg);
	MemoryContext old = MemoryContextSwitchTo(run->batch);

	v->isnull = plan->init_null;
	v->state = plan->init_null ? (Datum) 0 :
		datumCopy(plan->init, plan->typbyval, plan->typlen);
	v->count = 0;
	MemoryContextSwitchTo(old);
}

/*
 * Bytes -> internal state.  Deserialising alone is not enough: the states of
 * variance and stddev come back unfit for further inputs on several releases.
 * Combining them into an empty state is what makes them whole.
 */
static Datum
thaw_internal(MovingPlan *plan, PgtAggRun *run, Datum bytes, bool *isnull)
{
	LOCAL_FCINFO(fcinfo, 2);
	Datum		state;

	prepare_call(fcinfo, &plan->deserialize, 2, InvalidOid, run);
	fcinfo->args[0].value = bytes;
	fcinfo->args[0].isnull = false;
	fcinfo->args[1].isnull = false;
	state = FunctionCallInvoke(fcinfo);
	*isnull = fcinfo->isnull;
	if (fcinfo->isnull || !plan->has_combine)
		return state;
	prepare_call(fcinfo, &plan->combine, 2, plan->collation, run);
	fcinfo->args[1].value = state;
	fcinfo->args[1].isnull = false;
	state = FunctionCallInvoke(fcinfo);
	*isnull = fcinfo->isnull;
	return state;
}

static void
moving_thaw(const PgtAggSpec *agg, PgtAggRun *run, PgtAggValue *v)
{
	MovingPlan *plan = moving_plan(agg);
	MemoryContext old;

	if (v->isnull)
		return;
	old = MemoryContextSwitchTo(run->batch);
	if (plan->internal)
		v->state = thaw_internal(plan, run, v->state, &v->isnull);
	else if (plan->typlen == -1)
		v->state = PointerGetDatum(PG_DETOAST_DATUM_COPY(v->state));
	else
		v->state = datumCopy(v->state, plan->typbyval, plan->typlen);
	MemoryContextSwitchTo(old);
}

static void
drop_state(MovingPlan *plan, PgtAggValue *v)
{
	if (plan->typbyval || v->isnull)
		return;
	if (DatumIsReadWriteExpandedObject(v->state, false, plan->typlen))
		DeleteExpandedObject(v->state);
	else
		pfree(DatumGetPointer(v->state));
}

/* Keep what a transition function returned from scratch memory. */
static void
keep_state(MovingPlan *plan, PgtAggRun *run, PgtAggValue *v, Datum value)
{
	if (!plan->typbyval &&
		(v->isnull || DatumGetPointer(value) != DatumGetPointer(v->state)))
	{
		MemoryContext old = MemoryContextSwitchTo(run->batch);
		bool		adopted;

		adopted = DatumIsReadWriteExpandedObject(value, false, plan->typlen) &&
			MemoryContextGetParent(DatumGetEOHP(value)->eoh_context) == run->batch;
		if (!adopted)
			value = datumCopy(value, false, plan->typlen);
		MemoryContextSwitchTo(old);
		drop_state(plan, v);
	}
	v->state = value;
	v->isnull = false;
}

static void
prepare_transition(FunctionCallInfo fcinfo, FmgrInfo *fn,
				   const PgtAggSpec *agg, PgtAggRun *run, PgtAggValue *v,
				   const Datum *args, const bool *nulls)
{
	InitFunctionCallInfoData(*fcinfo, fn, agg->nargs + 1,
							 moving_plan(agg)->collation,
							 (Node *) run->caller, NULL);
	fcinfo->args[0].value = v->state;
	fcinfo->args[0].isnull = v->isnull;
	for (int i = 0; i < agg->nargs; i++)
	{
		fcinfo->args[i + 1].value = args[i];
		fcinfo->args[i + 1].isnull = nulls[i];
	}
}

static void
forward(const PgtAggSpec *agg, PgtAggRun *run, PgtAggValue *v,
		const Datum *args, const bool *nulls)
{
	MovingPlan *plan = moving_plan(agg);
	LOCAL_FCINFO(fcinfo, FUNC_MAX_ARGS + 1);
	Datum		value;

	if (plan->forward.fn_strict && v->isnull)
	{
		if (v->count > 0)
			elog(ERROR, "state of aggregate %u is null", agg->aggref->aggfnoid);
		keep_state(plan, run, v, plan->typlen == -1 ?
				   PointerGetDatum(PG_DETOAST_DATUM_COPY(args[0])) : args[0]);
		v->count = 1;
		return;
	}
	prepare_transition(fcinfo, &plan->forward, agg, run, v, args, nulls);
	value = FunctionCallInvoke(fcinfo);
	if (fcinfo->isnull)
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("moving-aggregate transition function must not return null")));
	keep_state(plan, run, v, value);
	v->count++;
}

static void
backward(const PgtAggSpec *agg, PgtAggRun *run, PgtAggValue *v,
		 const Datum *args, const bool *nulls)
{
	MovingPlan *plan = moving_plan(agg);
	LOCAL_FCINFO(fcinfo, FUNC_MAX_ARGS + 1);
	Datum		value;

	if (v->count == 1)
	{
		drop_state(plan, v);
		moving_init(agg, run, v);
		return;
	}
	if (v->isnull)
		elog(ERROR, "aggregate transition value is NULL before inverse transition");
	prepare_transition(fcinfo, &plan->inverse, agg, run, v, args, nulls);
	value = FunctionCallInvoke(fcinfo);
	v->count--;
	if (fcinfo->isnull)
		v->rescan = true;
	else
		keep_state(plan, run, v, value);
}

static void
moving_add(const PgtAggSpec *agg, PgtAggRun *run, PgtAggValue *v,
		   const Datum *args, const bool *nulls, int64 weight)
{
	MemoryContext old;

	if (moving_plan(agg)->forward.fn_strict)
	{
		for (int i = 0; i < agg->nargs; i++)
			if (nulls[i])
				return;
	}
	v->changed = true;
	if (weight < 0 && v->count + weight < 0)
		ereport(ERROR,
				(errcode(ERRCODE_DATA_CORRUPTED),
				 errmsg("an aggregate would forget more rows than it holds"),
				 errhint("Rebuild the stream table with refresh_stream_table(name, 'FULL').")));
	old = MemoryContextSwitchTo(run->scratch);
	for (; weight > 0; weight--)
	{
		forward(agg, run, v, args, nulls);
		CHECK_FOR_INTERRUPTS();
	}
	for (; weight < 0 && !v->rescan; weight++)
	{
		backward(agg, run, v, args, nulls);
		CHECK_FOR_INTERRUPTS();
	}
	MemoryContextSwitchTo(old);
}

static void
moving_freeze(const PgtAggSpec *agg, PgtAggRun *run, PgtAggValue *v,
			  Datum *state, bool *isnull)
{
	MovingPlan *plan = moving_plan(agg);
	LOCAL_FCINFO(fcinfo, 1);

	*state = v->state;
	*isnull = v->isnull;
	if (v->isnull)
		return;
	if (!plan->internal)
	{
		if (plan->typlen == -1)
			*state = pgt_value_detoast(v->state);
		return;
	}
	prepare_call(fcinfo, &plan->serialize, 1, InvalidOid, run);
	fcinfo->args[0].value = v->state;
	fcinfo->args[0].isnull = false;
	*state = FunctionCallInvoke(fcinfo);
	*isnull = fcinfo->isnull;
}

static void
moving_result(const PgtAggSpec *agg, PgtAggRun *run, PgtAggValue *v,
			  Datum *result, bool *isnull)
{
	MovingPlan *plan = moving_plan(agg);
	LOCAL_FCINFO(fcinfo, FUNC_MAX_ARGS + 1);

	*result = v->state;
	*isnull = v->isnull;
	if (!plan->has_final)
		return;
	*result = (Datum) 0;
	*isnull = true;
	/* a strict final function sees NULL in its extra arguments, if any */
	if (plan->final.fn_strict && (v->isnull || plan->nfinalargs > 1))
		return;
	prepare_call(fcinfo, &plan->final, plan->nfinalargs, plan->collation, run);
	fcinfo->args[0].value = MakeExpandedObjectReadOnly(v->state, v->isnull,
													   plan->typlen);
	fcinfo->args[0].isnull = v->isnull;
	*result = FunctionCallInvoke(fcinfo);
	*isnull = fcinfo->isnull;
}

static const PgtAggMethods moving_methods = {
	.name = "forward and inverse transitions",
	.init = moving_init,
	.thaw = moving_thaw,
	.add = moving_add,
	.freeze = moving_freeze,
	.result = moving_result,
};

/* ---- count(*) and count(x): the state is the number itself ---- */

static void
count_init(const PgtAggSpec *agg, PgtAggRun *run, PgtAggValue *v)
{
	v->state = Int64GetDatum(0);
	v->isnull = false;
}

static void
count_thaw(const PgtAggSpec *agg, PgtAggRun *run, PgtAggValue *v)
{
}

static void
count_add(const PgtAggSpec *agg, PgtAggRun *run, PgtAggValue *v,
		  const Datum *args, const bool *nulls, int64 weight)
{
	if (agg->nargs > 0 && nulls[0])
		return;
	v->state = Int64GetDatum(DatumGetInt64(v->state) + weight);
	v->changed = true;
}

static void
count_result(const PgtAggSpec *agg, PgtAggRun *run, PgtAggValue *v,
			 Datum *result, bool *isnull)
{
	*result = v->state;
	*isnull = false;
}

static const PgtAggMethods count_methods = {
	.name = "count",
	.init = count_init,
	.thaw = count_thaw,
	.add = count_add,
	.freeze = count_result,
	.result = count_result,
};

/* ---- compiling ---- */

static void
set_init_value(MovingPlan *plan, Oid transtype, HeapTuple tuple)
{
	Datum		stored;
	Oid			input;
	Oid			ioparam;
	char	   *string;

	stored = SysCacheGetAttr(AGGFNOID, tuple, Anum_pg_aggregate_aggminitval,
							 &plan->init_null);
	if (plan->init_null)
		return;
	getTypeInputInfo(transtype, &input, &ioparam);
	string = TextDatumGetCString(stored);
	plan->init = OidInputFunctionCall(input, string, ioparam, -1);
}

/* Can the moving state be kept in a column, through serialisation or plainly? */
static bool
storable(Form_pg_aggregate form, Oid transtype, bool *internal)
{
	*internal = transtype == INTERNALOID;
	if (*internal)
		return form->aggmtransfn == form->aggtransfn &&
			form->aggmtranstype == form->aggtranstype &&
			OidIsValid(form->aggserialfn) && OidIsValid(form->aggdeserialfn);
	return get_typtype(transtype) != TYPTYPE_PSEUDO;
}

static void
set_transition_functions(MovingPlan *plan, const PgtAggSpec *agg,
						 Form_pg_aggregate form, Oid *types, Oid transtype)
{
	Expr	   *forward_expr;
	Expr	   *inverse_expr;

	build_aggregate_transfn_expr(types, agg->nargs, 0,
								 agg->aggref->aggvariadic, transtype,
								 plan->collation, form->aggmtransfn,
								 form->aggminvtransfn,
								 &forward_expr, &inverse_expr);
	fmgr_info(form->aggmtransfn, &plan->forward);
	fmgr_info_set_expr((Node *) forward_expr, &plan->forward);
	fmgr_info(form->aggminvtransfn, &plan->inverse);
	fmgr_info_set_expr((Node *) inverse_expr, &plan->inverse);
	if (plan->forward.fn_strict != plan->inverse.fn_strict)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_FUNCTION_DEFINITION),
				 errmsg("strictness of aggregate's forward and inverse transition functions must match")));
}

static void
set_final_function(MovingPlan *plan, const PgtAggSpec *agg,
				   Form_pg_aggregate form, Oid *types, Oid transtype)
{
	Expr	   *expr;

	plan->has_final = OidIsValid(form->aggmfinalfn);
	if (!plan->has_final)
		return;
	plan->nfinalargs = form->aggmfinalextra ? agg->nargs + 1 : 1;
	build_aggregate_finalfn_expr(types, plan->nfinalargs, transtype,
								 agg->aggref->aggtype, plan->collation,
								 form->aggmfinalfn, &expr);
	fmgr_info(form->aggmfinalfn, &plan->final);
	fmgr_info_set_expr((Node *) expr, &plan->final);
}

static void
set_storage_functions(MovingPlan *plan, Form_pg_aggregate form, Oid transtype)
{
	Expr	   *expr;

	build_aggregate_serialfn_expr(form->aggserialfn, &expr);
	fmgr_info(form->aggserialfn, &plan->serialize);
	fmgr_info_set_expr((Node *) expr, &plan->serialize);
	build_aggregate_deserialfn_expr(form->aggdeserialfn, &expr);
	fmgr_info(form->aggdeserialfn, &plan->deserialize);
	fmgr_info_set_expr((Node *) expr, &plan->deserialize);
	if (!OidIsValid(form->aggcombinefn))
		return;
	fmgr_info(form->aggcombinefn, &plan->combine);
	plan->has_combine = !plan->combine.fn_strict;
	build_aggregate_transfn_expr(&transtype, 1, 0, false, transtype,
								 plan->collation, form->aggcombinefn,
								 InvalidOid, &expr, NULL);
	fmgr_info_set_expr((Node *) expr, &plan->combine);
}

static bool
classify_form(PgtAggSpec *agg, HeapTuple tuple, Oid *state_type,
			  Oid *state_collation)
{
	Form_pg_aggregate form = (Form_pg_aggregate) GETSTRUCT(tuple);
	Oid			types[FUNC_MAX_ARGS];
	int			ntypes;
	Oid			transtype;
	bool		internal;
	MovingPlan *plan;

	if (!OidIsValid(form->aggminvtransfn) ||
		form->aggmfinalmodify != AGGMODIFY_READ_ONLY)
		return false;
	ntypes = get_aggregate_argtypes(agg->aggref, types);
	if (ntypes != agg->nargs)
		return false;
	transtype = resolve_aggregate_transtype(agg->aggref->aggfnoid,
											form->aggmtranstype,
											types, ntypes);
	if (!storable(form, transtype, &internal))
		return false;

	plan = palloc0(sizeof(MovingPlan));
	plan->plan.methods = &moving_methods;
	plan->plan.has_count = true;
	plan->internal = internal;
	plan->collation = agg->aggref->inputcollid;
	get_typlenbyval(transtype, &plan->typlen, &plan->typbyval);
	set_init_value(plan, transtype, tuple);
	set_transition_functions(plan, agg, form, types, transtype);
	set_final_function(plan, agg, form, types, transtype);
	if (internal)
		set_storage_functions(plan, form, transtype);
	agg->plan = plan;
	*state_type = internal ? BYTEAOID : transtype;
	*state_collation = internal ? InvalidOid : get_typcollation(transtype);
	return true;
}

static void
classify_count(PgtAggSpec *agg, Oid *state_type)
{
	PgtAggPlan *plan = palloc0(sizeof(PgtAggPlan));

	plan->methods = &count_methods;
	agg->plan = plan;
	*state_type = INT8OID;
}

bool
pgt_moving_classify(PgtAggSpec *agg, Oid *state_type, Oid *state_collation)
{
	HeapTuple	tuple;
	bool		found;

	if (agg->aggref->aggfnoid == F_COUNT_ ||
		agg->aggref->aggfnoid == F_COUNT_ANY)
	{
		classify_count(agg, state_type);
		return true;
	}
	tuple = SearchSysCache1(AGGFNOID, ObjectIdGetDatum(agg->aggref->aggfnoid));
	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for aggregate %u",
			 agg->aggref->aggfnoid);
	found = classify_form(agg, tuple, state_type, state_collation);
	ReleaseSysCache(tuple);
	return found;
}
