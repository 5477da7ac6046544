/*
 * applier/dvm/reread.c - groups whose answer is in the input, not the state.
 *
 * Two reasons to read the input's new state again, both for the touched
 * groups only: aggregates that the executor evaluates (RECOMPUTE), and states
 * that could not forget a row (rescan).  The keys of the groups go into the
 * named tuplestore PGT_KEYS_NAME, once those without NULLs, for which the
 * plan may use equality and indexes, once those with one.
 */
#include "postgres.h"
#include "executor/executor.h"
#include "utils/datum.h"
#include "utils/memutils.h"

#include "applier/dvm/groups.h"
#include "applier/settings.h"
#include "decoder/compat.h"

typedef bool (*GroupTest) (const PgtReduction *r, const PgtGroup *group);
typedef void (*RowHandler) (PgtReduction *r, PgtGroup *group,
							TupleTableSlot *slot);

static bool
wants_rescan(const PgtReduction *r, const PgtGroup *group)
{
	for (int i = 0; i < r->op->naggs; i++)
		if (group->aggs[i].rescan && group->n > 0)
			return true;
	return false;
}

static bool
wants_recompute(const PgtReduction *r, const PgtGroup *group)
{
	return group->n > 0 || r->op->nkeys == 0;
}

static bool
has_null_key(const PgtReduction *r, const PgtGroup *group)
{
	for (int i = 0; i < r->op->nkeys; i++)
		if (group->keynulls[i])
			return true;
	return false;
}

/* Keys of the groups asked for, with or without NULLs; NULL if there are none. */
static Tuplestorestate *
collect_keys(PgtReduction *r, GroupTest test, bool nulls, int64 *n)
{
	TupleDesc	desc = pgt_keys_imager(r->op->keyset)->desc;
	Tuplestorestate *keys = NULL;

	*n = 0;
	for (uint32 b = 0; b < r->nbuckets; b++)
	{
		for (PgtGroup *g = r->buckets[b]; g != NULL; g = g->next)
		{
			if (!test(r, g) || has_null_key(r, g) != nulls)
				continue;
			if (keys == NULL)
				keys = tuplestore_begin_heap(false, false, pgt_refresh_work_mem);
			tuplestore_putvalues(keys, desc, g->keys, g->keynulls);
			(*n)++;
		}
	}
	return keys;
}

static void
read_rows(PgtReduction *r, Tuplestorestate *rows, TupleDesc desc,
		  const int *key_cols, RowHandler handler)
{
	TupleTableSlot *slot = MakeSingleTupleTableSlot(desc, &TTSOpsMinimalTuple);
	MemoryContext old = MemoryContextSwitchTo(r->agg.scratch);

	while (pgt_next_row(rows, slot))
	{
		PgtGroup   *group;

		MemoryContextReset(r->agg.scratch);
		slot_getallattrs(slot);
		for (int i = 0; i < r->op->nkeys; i++)
		{
			r->keys[i] = slot->tts_values[key_cols[i] - 1];
			r->keynulls[i] = slot->tts_isnull[key_cols[i] - 1];
		}
		group = pgt_groups_find(r, pgt_keys_hash(r->op->keyset, r->keys, r->keynulls));
		if (group == NULL)
			elog(ERROR, "a group that was not asked for was read again");
		handler(r, group, slot);
	}
	MemoryContextSwitchTo(old);
	ExecDropSingleTupleTableSlot(slot);
}

/* Run the plan over these keys, hand each row to its group. */
static void
run_plan(PgtReduction *r, PgtPlan *plan, Tuplestorestate *keys, int64 nkeys,
		 TupleDesc desc, const int *key_cols, RowHandler handler)
{
	Tuplestorestate *rows = tuplestore_begin_heap(false, false,
												  pgt_refresh_work_mem);

	if (plan == NULL)
		elog(ERROR, "operator %d cannot read its groups again", r->op->op.id);
	if (keys != NULL)
	{
		EphemeralNamedRelation enr = palloc0(sizeof(EphemeralNamedRelationData));

		enr->md.name = PGT_KEYS_NAME;
		enr->md.reliddesc = InvalidOid;
		enr->md.tupdesc = pgt_keys_imager(r->op->keyset)->desc;
		enr->md.enrtype = ENR_NAMED_TUPLESTORE;
		enr->md.enrtuples = nkeys;
		enr->reldata = keys;
		register_ENR(r->env, enr);
	}
	pgt_plan_run_into(plan, r->env, rows);
	if (keys != NULL)
	{
		unregister_ENR(r->env, PGT_KEYS_NAME);
		tuplestore_end(keys);
	}
	read_rows(r, rows, desc, key_cols, handler);
	tuplestore_end(rows);
}

/* Without keys there is one group in memory. */
static PgtGroup *
only_group(const PgtReduction *r)
{
	uint32		b = 0;

	while (r->buckets[b] == NULL)
		b++;
	return r->buckets[b];
}

static void
reread(PgtReduction *r, PgtPlan **plans, GroupTest test, TupleDesc desc,
	   const int *key_cols, RowHandler handler)
{
	if (r->op->nkeys == 0)
	{
		PgtPlan    *plan = plans[1] != NULL ? plans[1] : plans[0];

		if (r->ngroups > 0 && test(r, only_group(r)))
			run_plan(r, plan, NULL, 0, desc, key_cols, handler);
		return;
	}
	for (int nulls = 0; nulls <= 1; nulls++)
	{
		int64		n;
		Tuplestorestate *keys = collect_keys(r, test, nulls, &n);

		if (keys != NULL)
			run_plan(r, plans[nulls ? 0 : 1], keys, n, desc, key_cols, handler);
	}
}

/* ---- rescan: states anew ---- */

/* Also those of groups without rows, which need no reading. */
static void
clear_states(PgtReduction *r)
{
	for (uint32 b = 0; b < r->nbuckets; b++)
	{
		for (PgtGroup *g = r->buckets[b]; g != NULL; g = g->next)
		{
			for (int i = 0; i < r->op->naggs; i++)
			{
				const PgtAggSpec *agg = &r->op->aggs[i];
				PgtAggValue *v = &g->aggs[i];

				if (!v->rescan)
					continue;
				pgt_agg_plan(agg)->methods->init(agg, &r->agg, v);
				v->thawed = true;
			}
		}
	}
}

static void
add_again(PgtReduction *r, PgtGroup *group, TupleTableSlot *slot)
{
	for (int i = 0; i < r->op->naggs; i++)
		if (group->aggs[i].rescan)
			pgt_group_add_input(r, group, i, slot, 1);
}

static bool
any_rescan(PgtReduction *r)
{
	for (uint32 b = 0; b < r->nbuckets; b++)
		for (PgtGroup *g = r->buckets[b]; g != NULL; g = g->next)
			if (wants_rescan(r, g))
				return true;
	return false;
}

static void
rescan(PgtReduction *r)
{
	PgtOp	   *input = linitial(r->op->op.inputs);
	int		   *key_cols = palloc(sizeof(int) * Max(r->op->nkeys, 1));

	for (int i = 0; i < r->op->nkeys; i++)
		key_cols[i] = r->op->keys[i].in_col;
	reread(r, r->op->rescan, wants_rescan, input->outdesc, key_cols, add_again);
}

/* ---- recompute: results anew ---- */

/* Keys, then the results of the RECOMPUTE aggregates in order. */
static TupleDesc
recompute_desc(const PgtReduceOp *op)
{
	TupleDesc	out = op->op.outdesc;
	int			n = op->nkeys;
	TupleDesc	desc;

	for (int i = 0; i < op->naggs; i++)
		if (op->aggs[i].method == PGT_AGG_RECOMPUTE)
			n++;
	desc = CreateTemplateTupleDesc(n);
	n = 0;
	for (int i = 0; i < op->nkeys + op->naggs; i++)
		if (i < op->nkeys || op->aggs[i - op->nkeys].method == PGT_AGG_RECOMPUTE)
			TupleDescCopyEntry(desc, ++n, out, i + 1);
	pgt_tupdesc_finish(desc);
	return desc;
}

static void
take_results(PgtReduction *r, PgtGroup *group, TupleTableSlot *slot)
{
	MemoryContext old = MemoryContextSwitchTo(r->agg.batch);
	int			col = r->op->nkeys;

	if (group->fresh != NULL)
		elog(ERROR, "a group was recomputed twice");
	group->fresh = palloc(sizeof(Datum) * r->op->naggs);
	group->freshnull = palloc(sizeof(bool) * r->op->naggs);
	for (int i = 0; i < r->op->naggs; i++)
	{
		Form_pg_attribute att;

		if (r->op->aggs[i].method != PGT_AGG_RECOMPUTE)
			continue;
		att = TupleDescAttr(slot->tts_tupleDescriptor, col);
		group->freshnull[i] = slot->tts_isnull[col];
		group->fresh[i] = slot->tts_isnull[col] ? (Datum) 0 :
			datumCopy(slot->tts_values[col], att->attbyval, att->attlen);
		col++;
	}
	MemoryContextSwitchTo(old);
}

static void
recompute(PgtReduction *r)
{
	int		   *key_cols = palloc(sizeof(int) * Max(r->op->nkeys, 1));

	for (int i = 0; i < r->op->nkeys; i++)
		key_cols[i] = i + 1;
	reread(r, r->op->recompute, wants_recompute, recompute_desc(r->op),
		   key_cols, take_results);
}

/* Bring every group of the batch up to date that the state cannot answer for. */
void
pgt_groups_reread(PgtReduction *r)
{
	MemoryContext old = MemoryContextSwitchTo(r->agg.batch);

	if (r->op->any_rescan)
	{
		clear_states(r);
		if (any_rescan(r))
			rescan(r);
	}
	if (r->op->any_recompute && r->ngroups > 0)
		recompute(r);
	MemoryContextSwitchTo(old);
}
