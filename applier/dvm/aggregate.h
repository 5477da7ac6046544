/*
 * applier/dvm/aggregate.h - one aggregate of one group in memory.
 * Private to reduce.c and the methods (moving.c, truth.c, extreme.c).
 *
 * A method keeps its state in PgtAggValue while a group is in memory and in
 * one or two columns of the state table in between: the state itself
 * (state_attno) and, for all methods but counts, the number of inputs it
 * holds (state_attno + 1, int8): NULL inputs of strict functions and rows
 * that FILTER leaves out are not counted.
 */
#ifndef PGT_AGGREGATE_H
#define PGT_AGGREGATE_H

#include "postgres.h"
#include "nodes/execnodes.h"

#include "applier/dvm/op.h"

/* What the methods need during a run.  "batch" holds the states of all groups
 * in memory, "scratch" is reset after each row. */
typedef struct PgtAggRun
{
	MemoryContext batch;
	MemoryContext scratch;
	WindowAggState *caller;		/* satisfies AggCheckCallContext, as moving */
} PgtAggRun;

typedef struct PgtAggValue
{
	Datum		state;			/* MOVING: transition value; BOOL: count of true */
	bool		isnull;
	bool		thawed;			/* state is in memory form, else as stored */
	bool		changed;
	bool		rescan;			/* unknown: rows of the group are needed */
	int64		count;			/* inputs held */
	void	   *list;			/* EXTREME: in memory form */
} PgtAggValue;

typedef struct PgtAggMethods
{
	const char *name;
	/* value of an empty group, in memory form */
	void		(*init) (const PgtAggSpec *agg, PgtAggRun *run, PgtAggValue *v);
	/* v->state as stored (in batch memory, not toasted) -> memory form */
	void		(*thaw) (const PgtAggSpec *agg, PgtAggRun *run, PgtAggValue *v);
	/* add the row weight times, or take it away; sets v->rescan if it cannot */
	void		(*add) (const PgtAggSpec *agg, PgtAggRun *run, PgtAggValue *v,
						const Datum *args, const bool *nulls, int64 weight);
	/* memory form -> stored form, in the current context */
	void		(*freeze) (const PgtAggSpec *agg, PgtAggRun *run,
						   PgtAggValue *v, Datum *state, bool *isnull);
	/* result, in the current context or pointing into the state */
	void		(*result) (const PgtAggSpec *agg, PgtAggRun *run,
						   PgtAggValue *v, Datum *result, bool *isnull);
} PgtAggMethods;

/* Start of every method's private plan (PgtAggSpec.plan). */
typedef struct PgtAggPlan
{
	const PgtAggMethods *methods;
	bool		has_count;		/* a count column follows the state column */
	Oid			state_type;		/* of the state column */
	Oid			state_collation;
} PgtAggPlan;

#define pgt_agg_plan(agg) ((const PgtAggPlan *) (agg)->plan)

/* Each returns false if the aggregate is not its; else sets agg->plan. */
extern bool pgt_moving_classify(PgtAggSpec *agg, Oid *state_type,
								Oid *state_collation);
extern bool pgt_truth_classify(PgtAggSpec *agg, Oid *state_type);
extern bool pgt_extreme_classify(PgtAggSpec *agg, Oid *state_type);

#endif							/* PGT_AGGREGATE_H */
