/*
 * applier/refresh/cost.c - AUTO's choice between the delta and FULL.
 *
 * The differential path is modelled as fixed + per_change * changes, FULL as
 * one figure; all three are running means of what was measured (weight 1/4 for
 * the newest).  Before FULL was ever measured the ratio of changes to source
 * rows decides (pg_trickle.differential_max_change_ratio).  Hysteresis: the
 * delta must look 10 % dearer than FULL before FULL is taken, so that noise does
 * not flip the choice.  Small deltas never go to FULL on the model's word alone:
 * below SMALL_DELTA changes the fixed part dominates and the model is blind.
 */
#include "postgres.h"

#include "applier/refresh/internal.h"
#include "applier/settings.h"

#define SMALL_DELTA 1000
#define HYSTERESIS 1.1
#define NEWEST_WEIGHT 0.25

static double
mean(double old, double newest)
{
	return old < 0 ? newest : old + NEWEST_WEIGHT * (newest - old);
}

bool
pgt_cost_prefers_full(const PgtProgress *p, int64 changes, double source_rows,
					  const char **reason)
{
	double		predicted;

	if (changes < SMALL_DELTA)
		return false;
	if (p->full_ms < 0 || p->diff_change_ms < 0)
	{
		if (changes <= pgt_differential_max_change_ratio * Max(source_rows, 1))
			return false;
		*reason = psprintf(INT64_FORMAT " changes exceed pg_trickle.differential_max_change_ratio of %.0f source rows",
						   changes, source_rows);
		return true;
	}
	predicted = Max(p->diff_fixed_ms, 0) + p->diff_change_ms * changes;
	if (predicted <= p->full_ms * HYSTERESIS)
		return false;
	*reason = psprintf(INT64_FORMAT " changes would take about %.1f ms differentially, FULL took %.1f ms",
					   changes, predicted, p->full_ms);
	return true;
}

bool
pgt_cost_state_is_due(const PgtProgress *p, const char **reason)
{
	int			cycles = pgt_algebraic_drift_reset_cycles;

	if (cycles == 0 || p->n_differential == 0 || p->n_differential % cycles != 0 ||
		(p->last_action != NULL && strcmp(p->last_action, "DIFFERENTIAL") != 0))
		return false;
	*reason = psprintf("state is built anew after each %d differential refreshes (pg_trickle.algebraic_drift_reset_cycles)",
					   cycles);
	return true;
}

/*
 * A small delta measures the fixed part, a large one the part per change.
 */
void
pgt_cost_learn(PgtProgress *p, bool full, int64 changes, double ms)
{
	if (full)
		p->full_ms = mean(p->full_ms, ms);
	else if (changes < SMALL_DELTA)
		p->diff_fixed_ms = mean(p->diff_fixed_ms, ms);
	else
		p->diff_change_ms = mean(p->diff_change_ms,
								 Max(ms - Max(p->diff_fixed_ms, 0), 0) / changes);
}
