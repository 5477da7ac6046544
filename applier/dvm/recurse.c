/*
 * applier/dvm/recurse.c - RECURSE: the fixpoint of WITH RECURSIVE, by levels.
 *
 * A row is found at level 0 by the non-recursive term and at level k + 1 by
 * the recursive term from a row that counts at level k.  The state has per row
 * and level the number n of its derivations and the weight w with which it
 * counts there: with UNION ALL w = n; with UNION w is 1 at the first level
 * that has a derivation and 0 at all others.
 *
 * A change is absorbed level by level:
 *     dn(0)     = delta of the non-recursive term
 *     dn(k + 1) = recursive term over dw(k), everything else new
 *               + what the change of everything else makes of the old w(k)
 * (the second part is what the steps below have computed: they read WORK,
 * which is this state, before it changes).  When level k is reached all levels
 * before it are final, so a row that lost its last derivation at level k can
 * be seen to count at its next level, and no cycle of rows supports itself:
 * each derivation comes from a lower level.  Additions and removals are one
 * pass; nothing is derived again that did not lose or gain a derivation or
 * change its level.
 *
 * State table, by attribute number: 1 pgt_hash, of the row's image; then the
 * row's columns c1 ..; pgt_level int4; n int8; w int8.
 *
 * Memory: the rows touched are held until the end, with all their levels.
 * A level beyond pg_trickle.ivm_recursive_max_depth raises 54001.
 */
#include "postgres.h"

#include "catalog/pg_operator.h"
#include "catalog/pg_type.h"
#include "executor/executor.h"
#include "miscadmin.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/optimizer.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/queryenvironment.h"
#include "utils/rel.h"

#include "applier/dvm/block.h"
#include "applier/dvm/explain.h"
#include "applier/dvm/items.h"
#include "applier/dvm/plan.h"
#include "applier/dvm/qtree.h"
#include "applier/dvm/recursion.h"
#include "applier/dvm/state.h"
#include "applier/dvm/target.h"
#include "applier/settings.h"
#include "decoder/compat.h"

/* A row at one level. */
typedef struct RowLevel
{
	int			level;
	bool		queued;			/* in the level's queue */
	bool		stored;
	int64		n;
	int64		w;
	int64		old_n;			/* as stored */
	int64		old_w;
	int64		change;			/* of n, not yet absorbed */
	ItemPointerData tid;		/* if stored */
} RowLevel;

typedef struct Row
{
	PgtRowChange change;		/* image, hash; weight: of the output */
	struct Row *next;			/* in order of arrival */
	int			nlevels;
	int			room;
	RowLevel   *levels;			/* ascending */
} Row;

typedef struct Recursion
{
	PgtRecurseOp *op;
	QueryEnvironment *env;
	bool		building;		/* the state is empty */
	PgtStateTable *state;
	PgtRowBag  *rows;
	Row		   *first;
	Row		   *last;
	int			nqueues;
	List	  **queues;			/* of Row*, by level */
	MemoryContext cxt;			/* the run's */
	MemoryContext scratch;		/* one row */
	Datum	   *values;
	bool	   *nulls;
} Recursion;

#define natts_of(recurse) ((recurse)->op.outdesc->natts)
#define level_attno(recurse) (natts_of(recurse) + 2)
#define count_attno(recurse) (natts_of(recurse) + 3)
#define weight_attno(recurse) (natts_of(recurse) + 4)

/* ---- the table ---- */

static void
prepare(PgtOp *op)
{
	((PgtRecurseOp *) op)->imager = pgt_imager_make(op->outdesc,
													op->outdesc->natts);
}

static TupleDesc
state_desc(const PgtOp *of)
{
	const PgtRecurseOp *op = (const PgtRecurseOp *) of;
	TupleDesc	desc = CreateTemplateTupleDesc(weight_attno(op));

	pgt_state_column(desc, PGT_STATE_HASH_ATTNO, "pgt_hash", INT8OID, -1,
					 InvalidOid);
	for (int i = 1; i <= natts_of(op); i++)
	{
		Form_pg_attribute att = TupleDescAttr(of->outdesc, i - 1);

		pgt_state_column(desc, i + 1, psprintf("c%d", i), att->atttypid,
						 att->atttypmod, att->attcollation);
	}
	pgt_state_column(desc, level_attno(op), PGT_LEVEL_NAME, INT4OID, -1, InvalidOid);
	pgt_state_column(desc, count_attno(op), "n", INT8OID, -1, InvalidOid);
	pgt_state_column(desc, weight_attno(op), "w", INT8OID, -1, InvalidOid);
	pgt_tupdesc_finish(desc);
	return desc;
}

static int
input_of(const PgtBlockOp *step, const PgtOp *op)
{
	int			number = 0;
	ListCell   *lc;

	foreach(lc, step->op.inputs)
	{
		if (lfirst(lc) == op)
			return number;
		number++;
	}
	elog(ERROR, "operator %d is no input of operator %d", op->id, step->op.id);
	return -1;
}

/* Columns of WORK that a step compares for equality with other inputs. */
static Bitmapset *
joined_columns(const PgtRecurseOp *op)
{
	const PgtBlockOp *step = linitial(op->steps);
	int			work = 1 + input_of(step, op->work);
	Bitmapset  *columns = NULL;
	ListCell   *lc;

	foreach(lc, make_ands_implicit((Expr *) step->quals))
	{
		OpExpr	   *qual = lfirst(lc);

		if (!IsA(qual, OpExpr) || list_length(qual->args) != 2)
			continue;
		for (int side = 0; side < 2; side++)
		{
			Var		   *var = list_nth(qual->args, side);

			if (IsA(var, Var) && var->varno == work &&
				op_mergejoinable(qual->opno, var->vartype))
				columns = bms_add_member(columns, var->varattno);
		}
	}
	return columns;
}

static void
state_indexes(const PgtOp *of, const char *table)
{
	const PgtRecurseOp *op = (const PgtRecurseOp *) of;
	Bitmapset  *columns = joined_columns(op);
	int			col = -1;

	pgt_state_hash_index(table);
	if (of->readable)
		columns = bms_add_member(columns, 1);
	while ((col = bms_next_member(columns, col)) > 0)
		if (col <= natts_of(op))
			pgt_state_column_index(of, table, col + 1);
}

Query *
pgt_recurse_rows(const PgtRecurseOp *op, bool leveled)
{
	Query	   *query = pgt_qtree_select();
	TupleDesc	desc = op->op.outdesc;
	Var		   *weight = makeVar(1, weight_attno(op), INT8OID, -1, InvalidOid, 0);
	OpExpr	   *counts;

	if (!OidIsValid(op->op.state_relid))
		elog(ERROR, "state table of operator %d does not exist", op->op.id);
	pgt_qtree_add_from(query, pgt_qtree_relation(query, op->op.state_relid, false));
	for (int i = 1; i <= desc->natts; i++)
		pgt_qtree_add_target(query, (Node *) pgt_qtree_var(1, desc, i, i + 1),
							 NameStr(TupleDescAttr(desc, i - 1)->attname));
	if (leveled)
		pgt_qtree_add_target(query,
							 (Node *) makeVar(1, level_attno(op), INT4OID, -1,
											  InvalidOid, 0),
							 PGT_LEVEL_NAME);
	if (!op->distinct)
		pgt_qtree_add_from(query, pgt_item_repeat((Expr *) weight));
	else
	{
		counts = (OpExpr *) make_opclause(Int8LessOperator, BOOLOID, false,
										  (Expr *) pgt_qtree_int8(0),
										  (Expr *) weight, InvalidOid, InvalidOid);
		set_opfuncid(counts);
		query->jointree->quals = (Node *) counts;
	}
	return query;
}

static Query *
new_state(const PgtOp *op)
{
	return pgt_recurse_rows((const PgtRecurseOp *) op, false);
}

static void
make_plans(PgtOp *op, MemoryContext context)
{
	((PgtRecurseOp *) op)->context = context;
}

/* ---- rows and their levels ---- */

/* The row's place for a level, made if it is new. */
static RowLevel *
row_level(Row *row, int level)
{
	int			at = 0;

	while (at < row->nlevels && row->levels[at].level < level)
		at++;
	if (at < row->nlevels && row->levels[at].level == level)
		return &row->levels[at];
	if (row->nlevels == row->room)
	{
		row->room = Max(2, row->room * 2);
		row->levels = row->levels == NULL ?
			palloc(sizeof(RowLevel) * row->room) :
			repalloc(row->levels, sizeof(RowLevel) * row->room);
	}
	memmove(&row->levels[at + 1], &row->levels[at],
			sizeof(RowLevel) * (row->nlevels - at));
	row->nlevels++;
	memset(&row->levels[at], 0, sizeof(RowLevel));
	row->levels[at].level = level;
	return &row->levels[at];
}

/* All stored levels of the row with this image; in the run's context. */
static void
load_levels(Recursion *r, Row *row)
{
	TupleTableSlot *slot = r->state->found;
	PgtRecurseOp *op = r->op;

	pgt_state_seek(r->state, row->change.hash);
	while (pgt_state_next(r->state))
	{
		RowLevel   *at;
		MinimalTuple image;
		bool		same;

		slot_getallattrs(slot);
		image = pgt_image_form(op->imager, &slot->tts_values[PGT_STATE_HASH_ATTNO],
							   &slot->tts_isnull[PGT_STATE_HASH_ATTNO]);
		same = pgt_image_equal(image, row->change.image);
		pfree(image);
		if (!same)
			continue;
		at = row_level(row, DatumGetInt32(slot->tts_values[level_attno(op) - 1]));
		at->n = at->old_n = DatumGetInt64(slot->tts_values[count_attno(op) - 1]);
		at->w = at->old_w = DatumGetInt64(slot->tts_values[weight_attno(op) - 1]);
		at->stored = true;
		at->tid = slot->tts_tid;
	}
	ExecClearTuple(slot);
}

/* The row with these columns, as it was stored if it is met for the first time. */
static Row *
get_row(Recursion *r, const Datum *values, const bool *isnull)
{
	MemoryContext old = MemoryContextSwitchTo(r->cxt);
	MinimalTuple image = pgt_image_form(r->op->imager, values, isnull);
	uint64		hash = pgt_image_hash(image);
	Row		   *row = (Row *) pgt_row_bag_find(r->rows, image, hash);

	if (row != NULL)
		pfree(image);
	else
	{
		row = palloc0(sizeof(Row));
		row->change.image = image;
		row->change.hash = hash;
		pgt_row_bag_put(r->rows, &row->change);
		if (r->last == NULL)
			r->first = row;
		else
			r->last->next = row;
		r->last = row;
		if (!r->building)
			load_levels(r, row);
	}
	MemoryContextSwitchTo(old);
	return row;
}

static void
enqueue(Recursion *r, Row *row, RowLevel *at)
{
	MemoryContext old;

	if (at->queued)
		return;
	if (at->level > pgt_ivm_recursive_max_depth)
		ereport(ERROR,
				(errcode(ERRCODE_STATEMENT_TOO_COMPLEX),
				 errmsg("recursion goes deeper than %d levels",
						pgt_ivm_recursive_max_depth),
				 errdetail("With UNION ALL a cycle in the data never ends."),
				 errhint("Raise pg_trickle.ivm_recursive_max_depth if the recursion is meant to be that deep.")));
	old = MemoryContextSwitchTo(r->cxt);
	while (r->nqueues <= at->level)
	{
		int			n = Max(16, r->nqueues * 2);

		r->queues = r->nqueues == 0 ? palloc(sizeof(List *) * n) :
			repalloc(r->queues, sizeof(List *) * n);
		while (r->nqueues < n)
			r->queues[r->nqueues++] = NIL;
	}
	r->queues[at->level] = lappend(r->queues[at->level], row);
	at->queued = true;
	MemoryContextSwitchTo(old);
}

/* Rows of a delta; their level is the last column plus "up", or just "up". */
static void
take_delta(Recursion *r, Tuplestorestate *delta, TupleDesc desc, bool leveled,
		   int up)
{
	TupleTableSlot *slot;
	int			natts = natts_of(r->op);

	if (delta == NULL)
		return;
	slot = MakeSingleTupleTableSlot(desc, &TTSOpsMinimalTuple);
	tuplestore_select_read_pointer(delta, 0);
	tuplestore_rescan(delta);
	while (pgt_next_row(delta, slot))
	{
		Row		   *row;
		RowLevel   *at;
		int			level = up;

		CHECK_FOR_INTERRUPTS();
		slot_getallattrs(slot);
		if (leveled)
			level += DatumGetInt32(slot->tts_values[natts]);
		row = get_row(r, slot->tts_values, slot->tts_isnull);
		at = row_level(row, level);
		at->change += DatumGetInt64(slot->tts_values[desc->natts - 1]);
		enqueue(r, row, at);
	}
	ExecDropSingleTupleTableSlot(slot);
}

/* ---- one level ---- */

/* With UNION: the next level of the row that may begin or cease to count. */
static void
enqueue_next(Recursion *r, Row *row, int level)
{
	bool		found = false;

	for (int i = 0; i < row->nlevels; i++)
	{
		RowLevel   *at = &row->levels[i];

		if (at->level <= level)
			found = found || at->n > 0;
		else if (!found || at->w != 0)
		{
			enqueue(r, row, at);
			if (!found)
				return;
		}
	}
}

static int64
weight_at(Recursion *r, const Row *row, const RowLevel *at)
{
	if (!r->op->distinct)
		return at->n;
	for (const RowLevel *before = row->levels; before < at; before++)
		if (before->n > 0)
			return 0;
	return at->n > 0 ? 1 : 0;
}

static void
put_work(Recursion *r, Tuplestorestate *store, const Row *row, int level,
		 int64 weight)
{
	int			natts = natts_of(r->op);

	pgt_image_deform(r->op->imager, row->change.image, r->values, r->nulls);
	r->values[natts] = Int32GetDatum(level);
	r->nulls[natts] = false;
	r->values[natts + 1] = Int64GetDatum(weight);
	r->nulls[natts + 1] = false;
	tuplestore_putvalues(store, r->op->work->deltadesc, r->values, r->nulls);
}

static void
settle_row(Recursion *r, Row *row, int level, Tuplestorestate *work)
{
	RowLevel   *at = row_level(row, level);
	int64		weight;

	at->queued = false;
	at->n += at->change;
	at->change = 0;
	if (at->n < 0)
		ereport(ERROR,
				(errcode(ERRCODE_DATA_CORRUPTED),
				 errmsg("a row of a recursion would have a negative number of derivations"),
				 errhint("Rebuild the stream table with refresh_stream_table(name, 'FULL').")));
	weight = weight_at(r, row, at);
	if (weight != at->w)
	{
		put_work(r, work, row, level, weight - at->w);
		row->change.weight += weight - at->w;
		at->w = weight;
	}
	if (r->op->distinct)
		enqueue_next(r, row, level);
}

static void
register_store(Recursion *r, PgtOp *op, Tuplestorestate *store)
{
	EphemeralNamedRelation enr = palloc0(sizeof(EphemeralNamedRelationData));

	enr->md.name = unconstify(char *, pgt_delta_name(op));
	enr->md.tupdesc = op->deltadesc;
	enr->md.enrtype = ENR_NAMED_TUPLESTORE;
	enr->md.enrtuples = tuplestore_tuple_count(store);
	enr->reldata = store;
	if (get_ENR(r->env, enr->md.name) != NULL)
		unregister_ENR(r->env, enr->md.name);
	register_ENR(r->env, enr);
}

/* The recursive term over a delta of WORK alone; the store of the last step. */
static Tuplestorestate *
run_steps(Recursion *r, Tuplestorestate *work)
{
	PgtOp	   *below = r->op->work;
	Tuplestorestate *store = work;
	ListCell   *lc;

	foreach(lc, r->op->steps)
	{
		PgtBlockOp *step = lfirst(lc);
		int			input = input_of(step, below);
		Tuplestorestate *next = tuplestore_begin_heap(false, false,
													  pgt_refresh_work_mem);
		ListCell   *term;

		register_store(r, below, store);
		foreach(term, pgt_block_terms(step, UINT64CONST(1) << input,
									  r->op->context))
			pgt_plan_run_into(((PgtBlockTerm *) lfirst(term))->plan, r->env, next);
		unregister_ENR(r->env, pgt_delta_name(below));
		tuplestore_end(store);
		store = next;
		below = &step->op;
	}
	return store;
}

static void
run_level(Recursion *r, int level)
{
	PgtOp	   *step = llast(r->op->steps);
	Tuplestorestate *work = tuplestore_begin_heap(false, false,
												  pgt_refresh_work_mem);
	Tuplestorestate *found;
	ListCell   *lc;

	foreach(lc, r->queues[level])
		settle_row(r, lfirst(lc), level, work);
	list_free(r->queues[level]);
	r->queues[level] = NIL;
	if (tuplestore_tuple_count(work) == 0)
	{
		tuplestore_end(work);
		return;
	}
	found = run_steps(r, work);
	take_delta(r, found, step->deltadesc, false, level + 1);
	tuplestore_end(found);
}

/* ---- writing ---- */

static TupleTableSlot *
state_row(Recursion *r, const Row *row, const RowLevel *at)
{
	TupleTableSlot *slot = r->state->row;

	ExecClearTuple(slot);
	slot->tts_values[0] = Int64GetDatum((int64) row->change.hash);
	pgt_image_deform(r->op->imager, row->change.image,
					 &slot->tts_values[PGT_STATE_HASH_ATTNO],
					 &slot->tts_isnull[PGT_STATE_HASH_ATTNO]);
	slot->tts_values[level_attno(r->op) - 1] = Int32GetDatum(at->level);
	slot->tts_values[count_attno(r->op) - 1] = Int64GetDatum(at->n);
	slot->tts_values[weight_attno(r->op) - 1] = Int64GetDatum(at->w);
	slot->tts_isnull[0] = false;
	for (int attno = level_attno(r->op); attno <= weight_attno(r->op); attno++)
		slot->tts_isnull[attno - 1] = false;
	slot->tts_tableOid = RelationGetRelid(r->state->rel);
	return ExecStoreVirtualTuple(slot);
}

static void
write_row(Recursion *r, Row *row)
{
	for (RowLevel *at = row->levels; at < row->levels + row->nlevels; at++)
	{
		if (at->n == at->old_n && at->w == at->old_w)
			continue;
		if (at->n == 0)
			pgt_writer_delete(r->state->writer, &at->tid);
		else if (at->stored)
			pgt_writer_update(r->state->writer, &at->tid, state_row(r, row, at));
		else
			pgt_writer_insert(r->state->writer, state_row(r, row, at));
	}
}

static void
emit_row(Recursion *r, const Row *row, Tuplestorestate *out)
{
	int			natts = natts_of(r->op);

	if (row->change.weight == 0)
		return;
	pgt_image_deform(r->op->imager, row->change.image, r->values, r->nulls);
	r->values[natts] = Int64GetDatum(row->change.weight);
	r->nulls[natts] = false;
	tuplestore_putvalues(out, r->op->op.deltadesc, r->values, r->nulls);
}

/* ---- runs ---- */

static Recursion *
begin(PgtRecurseOp *op, QueryEnvironment *env, bool building)
{
	Recursion  *r = palloc0(sizeof(Recursion));

	r->op = op;
	r->env = env;
	r->building = building;
	r->cxt = CurrentMemoryContext;
	r->scratch = AllocSetContextCreate(r->cxt, "recursion row",
									   ALLOCSET_DEFAULT_SIZES);
	r->state = pgt_state_open(&op->op);
	r->rows = pgt_row_bag_make(1024);
	r->values = palloc(sizeof(Datum) * (natts_of(op) + 2));
	r->nulls = palloc(sizeof(bool) * (natts_of(op) + 2));
	return r;
}

static void
absorb(PgtRecurseOp *op, QueryEnvironment *env, Tuplestorestate *base,
	   Tuplestorestate *steps, bool building, Tuplestorestate *out)
{
	MemoryContext cxt = AllocSetContextCreate(CurrentMemoryContext, "recursion",
											  ALLOCSET_DEFAULT_SIZES);
	MemoryContext old = MemoryContextSwitchTo(cxt);
	PgtOp	   *term = llast(op->op.inputs);
	Recursion  *r = begin(op, env, building);

	take_delta(r, base, ((PgtOp *) linitial(op->op.inputs))->deltadesc, false, 0);
	take_delta(r, steps, term->deltadesc, true, 1);
	for (int level = 0; level < r->nqueues; level++)
		if (r->queues[level] != NIL)
			run_level(r, level);
	for (Row *row = r->first; row != NULL; row = row->next)
	{
		MemoryContextReset(r->scratch);
		MemoryContextSwitchTo(r->scratch);
		write_row(r, row);
		if (out != NULL)
			emit_row(r, row, out);
		MemoryContextSwitchTo(cxt);
	}
	pgt_state_close(r->state);
	MemoryContextSwitchTo(old);
	MemoryContextDelete(cxt);
}

static void
run_recurse(PgtOp *op, QueryEnvironment *env, Tuplestorestate **inputs,
			Tuplestorestate *out)
{
	absorb((PgtRecurseOp *) op, env, inputs[0], inputs[1], false, out);
}

/* WORK is empty as yet, and so is what the recursive term makes of it. */
static void
build_recurse(PgtOp *op, QueryEnvironment *env, Tuplestorestate **inputs)
{
	absorb((PgtRecurseOp *) op, env, inputs[0], NULL, true, NULL);
}

static void
explain(const PgtOp *op, PgtExplain *e)
{
	const PgtRecurseOp *recurse = (const PgtRecurseOp *) op;

	pgt_explain_say(e, op, "method", recurse->distinct ?
					"derivations per row and level; a row counts at its first level" :
					"derivations per row and level");
}

const PgtOpMethods pgt_recurse_methods = {
	.prepare = prepare,
	.state_desc = state_desc,
	.state_indexes = state_indexes,
	.new_state = new_state,
	.make_plans = make_plans,
	.run = run_recurse,
	.build = build_recurse,
	.explain = explain,
};
