/*
 * applier/dvm/reduce.c - GROUP BY, aggregates, DISTINCT: delta in, delta out.
 *
 * For each row of the input delta its group is fetched from the state table
 * (once), the row is added or taken away weight times, and at the end each
 * group's state row is written and the change of its output row emitted.
 *
 * All additions come before the first removal: the input is read twice.  So
 * nothing is ever taken from a group that it does not hold.
 *
 * Memory: groups are held up to refresh_work_mem.  Where they would need
 * more, nothing has been written yet: the input is split by the hash of the
 * keys and each part is done by itself, so that a group is always finished in
 * one go.  Contexts: run > batch (groups) and run > scratch (one row).
 *
 * Locks: RowExclusiveLock on the state table.  An ERROR leaves nothing behind
 * but what the transaction undoes; state and emitted delta change together.
 */
#include "postgres.h"
#include "catalog/pg_type.h"
#include "executor/executor.h"
#include "miscadmin.h"
#include "utils/memutils.h"
#include "utils/rel.h"

#include "applier/dvm/block.h"
#include "applier/dvm/explain.h"
#include "applier/dvm/groups.h"
#include "applier/settings.h"

#define MAX_PARTS 64
/* Beyond, what is left is alike under the hash: no use to split. */
#define MAX_DEPTH 4
#define CHECK_MEMORY_ROWS 256

/* ---- compiling ---- */

static void
assign_columns(PgtReduceOp *op)
{
	AttrNumber	next = op->nkeys + 3 + (pgt_reduce_has_images(op) ? 1 : 0);

	for (int i = 0; i < op->nkeys; i++)
		op->keys[i].state_attno = i + 2;
	for (int i = 0; i < op->naggs; i++)
	{
		PgtAggSpec *agg = &op->aggs[i];

		agg->state_attno = 0;
		if (agg->method == PGT_AGG_RECOMPUTE)
			continue;
		agg->state_attno = next;
		next += pgt_agg_plan(agg)->has_count ? 2 : 1;
	}
	for (int i = 0; i < op->naggs; i++)
		op->aggs[i].out_attno = next++;
	if (next - 1 > MaxHeapAttributeNumber)
		ereport(ERROR,
				(errcode(ERRCODE_TOO_MANY_COLUMNS),
				 errmsg("the state of %d group columns and %d aggregates does not fit into one table",
						op->nkeys, op->naggs),
				 errhint("Use refresh_mode FULL, or split the query.")));
}

static void
prepare(PgtOp *reduce)
{
	PgtReduceOp *op = (PgtReduceOp *) reduce;

	op->keyset = pgt_keys_prepare(op->keys, op->nkeys);
	op->any_recompute = false;
	op->any_rescan = false;
	for (int i = 0; i < op->naggs; i++)
	{
		PgtAggSpec *agg = &op->aggs[i];
		Oid			type;
		Oid			collation;

		if (agg->plan == NULL)
			pgt_agg_classify(agg, &type, &collation);
		if (agg->method == PGT_AGG_RECOMPUTE)
			op->any_recompute = true;
		else if (agg->method != PGT_AGG_BOOL && pgt_agg_plan(agg)->has_count)
			op->any_rescan = true;
	}
	assign_columns(op);
}

/* ---- running ---- */

static void absorb(PgtReduction *r, Tuplestorestate *input, int depth);

static PgtReduction *
begin(PgtReduceOp *op, QueryEnvironment *env, Tuplestorestate *out)
{
	PgtReduction *r = palloc0(sizeof(PgtReduction));
	PgtOp	   *input = linitial(op->op.inputs);
	int			natts;

	r->op = op;
	r->env = env != NULL ? env : create_queryEnv();
	r->out = out;
	r->indesc = input->deltadesc;
	r->cxt = CurrentMemoryContext;
	r->agg.batch = AllocSetContextCreate(r->cxt, "reduce batch",
										 ALLOCSET_DEFAULT_SIZES);
	r->agg.scratch = AllocSetContextCreate(r->cxt, "reduce row",
										   ALLOCSET_DEFAULT_SIZES);
	r->agg.caller = makeNode(WindowAggState);
	r->agg.caller->curaggcontext = r->agg.batch;
	r->state = pgt_state_open(&op->op);
	natts = RelationGetDescr(r->state->rel)->natts;
	r->keys = palloc(sizeof(Datum) * (op->nkeys + 1));
	r->keynulls = palloc(sizeof(bool) * (op->nkeys + 1));
	r->values = palloc(sizeof(Datum) * natts);
	r->nulls = palloc(sizeof(bool) * natts);
	r->newvalues = palloc(sizeof(Datum) * natts);
	r->newnulls = palloc(sizeof(bool) * natts);
	r->outvalues = palloc(sizeof(Datum) * (op->nkeys + op->naggs + 1));
	r->outnulls = palloc(sizeof(bool) * (op->nkeys + op->naggs + 1));
	return r;
}

static bool
memory_is_full(PgtReduction *r)
{
	return MemoryContextMemAllocated(r->agg.batch, true) >
		(Size) pgt_refresh_work_mem * 1024;
}

static int64
row_weight(PgtReduction *r, TupleTableSlot *slot)
{
	int			col = r->indesc->natts - 1;

	if (slot->tts_isnull[col])
		elog(ERROR, "a delta row has no weight");
	return DatumGetInt64(slot->tts_values[col]);
}

/*
 * One pass over the input: its additions or its removals.  Returns the number
 * of rows read when memory ran out, -1 when the pass is complete; sets
 * *skipped if there were rows of the other kind.
 */
static int64
read_pass(PgtReduction *r, Tuplestorestate *input, bool removals, bool bounded,
		  bool *skipped)
{
	TupleTableSlot *slot = MakeSingleTupleTableSlot(r->indesc,
													&TTSOpsMinimalTuple);
	MemoryContext old = MemoryContextSwitchTo(r->agg.scratch);
	int64		rows = 0;
	bool		full = false;

	tuplestore_select_read_pointer(input, 0);
	tuplestore_rescan(input);
	while (!full && pgt_next_row(input, slot))
	{
		int64		weight;

		slot_getallattrs(slot);
		weight = row_weight(r, slot);
		if (weight != 0 && (weight < 0) == removals)
		{
			uint64		hash = pgt_groups_hash_row(r, slot);

			pgt_group_add_row(r, pgt_groups_get(r, hash), slot, weight);
		}
		else if (weight != 0)
			*skipped = true;
		if (++rows % CHECK_MEMORY_ROWS == 0)
		{
			CHECK_FOR_INTERRUPTS();
			full = bounded && memory_is_full(r);
		}
		MemoryContextReset(r->agg.scratch);
	}
	MemoryContextSwitchTo(old);
	ExecDropSingleTupleTableSlot(slot);
	return full ? rows : -1;
}

/* Distribute the input by the hash of its keys. */
static void
split(PgtReduction *r, Tuplestorestate *input, Tuplestorestate **parts,
	  int nparts, int depth)
{
	TupleTableSlot *slot = MakeSingleTupleTableSlot(r->indesc,
													&TTSOpsMinimalTuple);
	MemoryContext old = MemoryContextSwitchTo(r->agg.scratch);

	tuplestore_select_read_pointer(input, 0);
	tuplestore_rescan(input);
	while (pgt_next_row(input, slot))
	{
		uint64		hash;

		slot_getallattrs(slot);
		hash = pgt_groups_hash_row(r, slot);
		tuplestore_puttupleslot(parts[pgt_row_hash_step(hash, depth) % nparts],
								slot);
		MemoryContextReset(r->agg.scratch);
	}
	MemoryContextSwitchTo(old);
	ExecDropSingleTupleTableSlot(slot);
}

static void
absorb_in_parts(PgtReduction *r, Tuplestorestate *input, int64 rows_read,
				int depth)
{
	double		used = MemoryContextMemAllocated(r->agg.batch, true);
	double		needed = used * tuplestore_tuple_count(input) / rows_read;
	int			nparts;
	Tuplestorestate **parts;

	nparts = (int) Min(MAX_PARTS,
					   needed / (pgt_refresh_work_mem * 1024.0) * 1.3 + 2);
	parts = MemoryContextAlloc(r->cxt, sizeof(Tuplestorestate *) * nparts);
	pgt_groups_reset(r);
	for (int i = 0; i < nparts; i++)
		parts[i] = tuplestore_begin_heap(false, false,
										 Max(64, pgt_refresh_work_mem / nparts));
	split(r, input, parts, nparts, depth);
	for (int i = 0; i < nparts; i++)
	{
		absorb(r, parts[i], depth + 1);
		tuplestore_end(parts[i]);
	}
}

static void
finish_batch(PgtReduction *r)
{
	for (uint32 b = 0; b < r->nbuckets; b++)
		for (PgtGroup *g = r->buckets[b]; g != NULL; g = g->next)
			pgt_group_settle(r, g);
	pgt_groups_reread(r);
	for (uint32 b = 0; b < r->nbuckets; b++)
		for (PgtGroup *g = r->buckets[b]; g != NULL; g = g->next)
			pgt_group_emit(r, g);
	pgt_groups_reset(r);
}

static void
absorb(PgtReduction *r, Tuplestorestate *input, int depth)
{
	/* one group cannot be split */
	bool		bounded = depth < MAX_DEPTH && r->op->nkeys > 0;
	bool		removals = false;
	bool		additions = false;
	int64		full;

	full = read_pass(r, input, false, bounded, &removals);
	if (full < 0 && removals)
		full = read_pass(r, input, true, bounded, &additions);
	if (full < 0)
		finish_batch(r);
	else
		absorb_in_parts(r, input, full, depth);
}

static void
run(PgtReduceOp *op, QueryEnvironment *env, Tuplestorestate *input,
	Tuplestorestate *out, bool building)
{
	MemoryContext cxt = AllocSetContextCreate(CurrentMemoryContext, "reduce",
											  ALLOCSET_DEFAULT_SIZES);
	MemoryContext old = MemoryContextSwitchTo(cxt);
	PgtReduction *r = begin(op, env, out);

	r->building = building;
	pgt_engine_begin_write();
	pgt_groups_reset(r);
	/* without keys there is one group, whatever the input */
	if (op->nkeys == 0 && building)
		pgt_groups_get(r, pgt_keys_hash(op->keyset, r->keys, r->keynulls));
	absorb(r, input, 0);
	pgt_state_close(r->state);
	pgt_engine_end_write();
	MemoryContextSwitchTo(old);
	MemoryContextDelete(cxt);
}

static void
run_reduce(PgtOp *op, QueryEnvironment *env, Tuplestorestate **inputs,
		   Tuplestorestate *out)
{
	run((PgtReduceOp *) op, env, inputs[0], out, false);
}

static void
build_reduce(PgtOp *op, QueryEnvironment *env, Tuplestorestate **inputs)
{
	run((PgtReduceOp *) op, env, inputs[0], NULL, true);
}

const PgtOpMethods pgt_reduce_methods = {
	.prepare = prepare,
	.state_desc = pgt_state_reduce_desc,
	.state_indexes = pgt_state_reduce_indexes,
	.state_attno = pgt_state_reduce_attno,
	.make_plans = pgt_reduce_make_plans,
	.run = run_reduce,
	.build = build_reduce,
	.explain = pgt_reduce_explain,
};
