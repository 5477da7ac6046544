/*
 * applier/dvm/explain.c - a program told to people, for explain_st.
 *
 * Lines are property / value pairs: the mode of running first, then the
 * operators in the order of the steps of a refresh, each with its inputs and
 * what it costs to know: state table and its size, the SQL of its delta when
 * one input changed, how each aggregate is kept, and which indexes would help.
 * Plans are made under the active snapshot when asked for, not run.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/table.h"
#include "catalog/pg_am.h"
#include "catalog/pg_class.h"
#include "catalog/pg_index.h"
#include "commands/explain.h"
#include "executor/executor.h"
#include "lib/stringinfo.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "storage/bufmgr.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/regproc.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"

#include "applier/dvm/block.h"
#include "applier/dvm/deparse.h"
#include "applier/dvm/explain.h"
#include "applier/dvm/outer.h"
#include "applier/dvm/plan.h"
#include "applier/dvm/program.h"
#include "decoder/compat.h"

struct PgtExplain
{
	PgtProgram *program;
	bool		plans;
	PgtExplainEmit emit;
	void	   *arg;
};

static void say(PgtExplain *e, const char *value, const char *property, ...) pg_attribute_printf(3, 4);

static void
say(PgtExplain *e, const char *value, const char *property,...)
{
	StringInfoData name;
	va_list		args;
	int			needed;

	initStringInfo(&name);
	for (;;)
	{
		va_start(args, property);
		needed = appendStringInfoVA(&name, property, args);
		va_end(args);
		if (needed == 0)
			break;
		enlargeStringInfo(&name, needed);
	}
	e->emit(e->arg, name.data, value);
}

static char *
relation_name(Oid relid)
{
	return quote_qualified_identifier(get_namespace_name(get_rel_namespace(relid)),
									  get_rel_name(relid));
}

/* ---- plans ---- */

/* Descriptor of a named tuplestore, from its range table entry. */
static TupleDesc
store_desc(const RangeTblEntry *rte)
{
	TupleDesc	desc = CreateTemplateTupleDesc(list_length(rte->coltypes));
	int			i = 0;
	ListCell   *type;
	ListCell   *typmod;
	ListCell   *collation;

	forthree(type, rte->coltypes, typmod, rte->coltypmods,
			 collation, rte->colcollations)
	{
		i++;
		TupleDescInitEntry(desc, i, strVal(list_nth(rte->eref->colnames, i - 1)),
						   lfirst_oid(type), lfirst_int(typmod), 0);
		TupleDescInitEntryCollation(desc, i, lfirst_oid(collation));
	}
	pgt_tupdesc_finish(desc);
	return desc;
}

/* Empty deltas: the executor looks them up even to explain. */
static QueryEnvironment *
empty_stores(const PlannedStmt *stmt)
{
	QueryEnvironment *env = create_queryEnv();
	ListCell   *lc;

	foreach(lc, stmt->rtable)
	{
		RangeTblEntry *rte = lfirst_node(RangeTblEntry, lc);
		EphemeralNamedRelation enr;

		if (rte->rtekind != RTE_NAMEDTUPLESTORE || get_ENR(env, rte->enrname) != NULL)
			continue;
		enr = palloc0(sizeof(EphemeralNamedRelationData));
		enr->md.name = rte->enrname;
		enr->md.tupdesc = store_desc(rte);
		enr->md.enrtype = ENR_NAMED_TUPLESTORE;
		enr->reldata = tuplestore_begin_heap(false, false, 64);
		register_ENR(env, enr);
	}
	return env;
}

/* Text of the plan for deltas of that many rows. */
static char *
plan_text(PgtPlan *plan, double tuples)
{
	ExplainState *es = NewExplainState();
	PlannedStmt *stmt = pgt_plan_statement(plan, tuples);
	QueryDesc  *desc;

	es->costs = false;
	es->format = EXPLAIN_FORMAT_TEXT;
	desc = CreateQueryDesc(stmt, "pg_trickle explain", GetActiveSnapshot(),
						   InvalidSnapshot, None_Receiver, NULL,
						   empty_stores(stmt), 0);
	ExecutorStart(desc, EXEC_FLAG_EXPLAIN_ONLY);
	ExplainBeginOutput(es);
	ExplainPrintPlan(es, desc);
	ExplainEndOutput(es);
	ExecutorEnd(desc);
	FreeQueryDesc(desc);
	while (es->str->len > 0 && es->str->data[es->str->len - 1] == '\n')
		es->str->data[--es->str->len] = '\0';
	return es->str->data;
}

static void
say_plan(PgtExplain *e, const char *step, PgtPlan *plan)
{
	if (plan == NULL)
		return;
	say(e, pgt_deparse_for_display(pgt_plan_query_tree(plan)), "%s: SQL", step);
	if (!e->plans)
		return;
	say(e, plan_text(plan, PGT_SMALL_DELTA_GUESS), "%s: plan for small deltas", step);
	say(e, plan_text(plan, PGT_SMALL_DELTA * 100.0), "%s: plan for large deltas", step);
}

/* ---- indexes that would help ---- */

/* Does some index begin with the column? */
static bool
leads_an_index(Oid relid, AttrNumber attno)
{
	Relation	rel = table_open(relid, AccessShareLock);
	bool		found = false;
	ListCell   *lc;

	foreach(lc, RelationGetIndexList(rel))
	{
		Relation	index = index_open(lfirst_oid(lc), AccessShareLock);

		if (index->rd_index->indisvalid && index->rd_index->indkey.values[0] == attno)
			found = true;
		index_close(index, NoLock);
	}
	table_close(rel, NoLock);
	return found;
}

static void
advise_index(PgtExplain *e, const PgtOp *op, int col, int step)
{
	const PgtScanOp *scan = (const PgtScanOp *) op;
	AttrNumber	attno;

	if (op->kind != PGT_OP_SCAN)
		return;
	attno = scan->columns[col - 1];
	if (leads_an_index(scan->relid, attno))
		return;
	say(e, psprintf("CREATE INDEX ON %s (%s)", relation_name(scan->relid),
					quote_identifier(get_attname(scan->relid, attno, false))),
		"step %d: index that would help", step);
}

/* Items have columns, too, but no indexes. */
static bool
is_input_column(const PgtBlockOp *block, const Var *var)
{
	return IsA(var, Var) && var->varno <= list_length(block->op.inputs);
}

/* A column compared for equality with a column of another input. */
static void
advise_join(PgtExplain *e, const PgtBlockOp *block)
{
	ListCell   *lc;

	foreach(lc, make_ands_implicit((Expr *) block->quals))
	{
		OpExpr	   *op = lfirst(lc);
		Var		   *left;
		Var		   *right;

		if (!IsA(op, OpExpr) || list_length(op->args) != 2)
			continue;
		left = linitial(op->args);
		right = lsecond(op->args);
		if (!is_input_column(block, left) || !is_input_column(block, right) ||
			left->varno == right->varno ||
			!op_mergejoinable(op->opno, left->vartype))
			continue;
		advise_index(e, list_nth(block->op.inputs, left->varno - 1),
					 left->varattno, block->op.id);
		advise_index(e, list_nth(block->op.inputs, right->varno - 1),
					 right->varattno, block->op.id);
	}
}

const char *
pgt_explain_column(const PgtOp *op, int col)
{
	const char *name = NameStr(TupleDescAttr(op->outdesc, col - 1)->attname);

	while (op->kind == PGT_OP_BLOCK)
	{
		const PgtBlockOp *block = (const PgtBlockOp *) op;
		const Var  *var = list_nth(block->exprs, col - 1);

		/* an expression, or a column of a function beside the inputs */
		if (!is_input_column(block, var))
			return name;
		op = list_nth(op->inputs, var->varno - 1);
		col = var->varattno;
	}
	return NameStr(TupleDescAttr(op->outdesc, col - 1)->attname);
}

void
pgt_explain_advise(PgtExplain *e, const PgtOp *op, const PgtOp *input, int col)
{
	if (input->kind == PGT_OP_BLOCK)
	{
		const PgtBlockOp *block = (const PgtBlockOp *) input;
		const Var  *var = list_nth(block->exprs, col - 1);

		if (!is_input_column(block, var))
			return;
		input = list_nth(input->inputs, var->varno - 1);
		col = var->varattno;
	}
	advise_index(e, input, col, op->id);
}

/* Recomputing a group wants an index on the first grouping key. */
static void
advise_recompute(PgtExplain *e, const PgtReduceOp *reduce)
{
	if (reduce->nkeys == 0)
		pgt_explain_say(e, &reduce->op, "note",
						"aggregates without GROUP BY that are recomputed read the whole input");
	else
		pgt_explain_advise(e, &reduce->op, linitial(reduce->op.inputs),
						   reduce->keys[0].in_col);
}

/* ---- operators ---- */

static char *
input_list(const PgtOp *op)
{
	StringInfoData list;
	ListCell   *lc;

	initStringInfo(&list);
	foreach(lc, op->inputs)
		appendStringInfo(&list, "%s%d", list.len > 0 ? ", " : "",
						 ((PgtOp *) lfirst(lc))->id);
	return list.data;
}

static void
explain_block(PgtExplain *e, PgtBlockOp *block)
{
	int			i = 0;
	ListCell   *lc;

	if (block->permutation)
	{
		say(e, block->identity ? "passed on as it is" : "columns copied, no plan",
			"step %d: method", block->op.id);
		return;
	}
	foreach(lc, block->op.inputs)
	{
		PgtOp	   *input = lfirst(lc);
		List	   *terms = pgt_block_terms(block, UINT64CONST(1) << i++,
											e->program->context);
		PgtBlockTerm *term = linitial(terms);

		say_plan(e, psprintf("step %d: change of input %d", block->op.id, input->id),
				 term->plan);
	}
	if (list_length(block->op.inputs) > 1)
		advise_join(e, block);
}

static char *
aggregate_text(const PgtAggSpec *spec)
{
	return psprintf("%s: %s", format_procedure(spec->aggref->aggfnoid),
					pgt_agg_method_name(spec));
}

static void
explain_state_table(PgtExplain *e, const PgtOp *op)
{
	Relation	rel;
	int64		bytes;

	if (!OidIsValid(op->state_relid))
		return;
	rel = table_open(op->state_relid, AccessShareLock);
	bytes = (int64) RelationGetNumberOfBlocks(rel) * BLCKSZ;
	table_close(rel, NoLock);
	pgt_explain_say(e, op, "state table",
					psprintf("%s, %lld bytes", relation_name(op->state_relid),
							 (long long) bytes));
}

void
pgt_explain_say(PgtExplain *e, const PgtOp *op, const char *what,
				const char *value)
{
	say(e, value, "step %d: %s", op->id, what);
}

void
pgt_explain_plan(PgtExplain *e, const PgtOp *op, const char *what,
				 PgtPlan *plan)
{
	say_plan(e, psprintf("step %d: %s", op->id, what), plan);
}

void
pgt_reduce_explain(const PgtOp *op, PgtExplain *e)
{
	const PgtReduceOp *reduce = (const PgtReduceOp *) op;

	for (int i = 0; i < reduce->naggs; i++)
		pgt_explain_say(e, op, psprintf("aggregate %d", i + 1),
						aggregate_text(&reduce->aggs[i]));
	if (!reduce->any_recompute && !reduce->any_rescan)
		return;
	if (reduce->any_recompute)
		pgt_explain_plan(e, op, "recompute groups", reduce->recompute[1]);
	if (reduce->any_rescan)
		pgt_explain_plan(e, op, "read groups again", reduce->rescan[1]);
	advise_recompute(e, reduce);
}

/* Both sides are looked up by the columns compared for equality. */
static void
advise_outer(PgtExplain *e, const PgtOuterOp *o)
{
	for (int i = 0; i < o->nkeys; i++)
	{
		Node	   *sides[2] = {o->keys[i].left, o->keys[i].right};

		for (int side = 0; side < 2; side++)
			if (IsA(sides[side], Var))
				pgt_explain_advise(e, &o->op, list_nth(o->op.inputs, side),
								   ((Var *) sides[side])->varattno);
	}
	if (o->nkeys == 0 && !o->keyed)
		pgt_explain_say(e, &o->op, "note",
						"no equality between the sides: a change of the right one reads the left one whole");
}

static void
explain_outer(PgtExplain *e, PgtOuterOp *o)
{
	MemoryContext context = e->program->context;

	pgt_explain_plan(e, &o->op, "change of the left side",
					 pgt_outer_plan(o, PGT_OUTER_LEFT_DELTA, context));
	if (o->kind == PGT_OUTER_LEFT || o->kind == PGT_OUTER_SINGLE)
		pgt_explain_plan(e, &o->op, "change of the right side: matches",
						 pgt_outer_plan(o, PGT_OUTER_PAIRS, context));
	pgt_explain_plan(e, &o->op, "change of the right side: touched",
					 pgt_outer_plan(o, o->keyed ? PGT_OUTER_TOUCHED_KEYS :
									PGT_OUTER_TOUCHED_ROWS, context));
	pgt_explain_plan(e, &o->op, "change of the right side: first or last match",
					 pgt_outer_plan(o, PGT_OUTER_TURNED, context));
	if (o->keyed)
		pgt_explain_plan(e, &o->op, "change of the right side: rows",
						 pgt_outer_plan(o, PGT_OUTER_LEFT_TURNED, context));
	advise_outer(e, o);
}

static void
explain_op(PgtExplain *e, PgtOp *op)
{
	if (op->inputs != NIL)
		say(e, psprintf("%s (of %s)", op->label, input_list(op)), "step %d", op->id);
	else
		say(e, op->label, "step %d", op->id);
	if (op->kind == PGT_OP_BLOCK)
		explain_block(e, (PgtBlockOp *) op);
	else if (op->kind == PGT_OP_OUTER)
		explain_outer(e, (PgtOuterOp *) op);
	else if (op->methods != NULL)
	{
		explain_state_table(e, op);
		if (op->methods->explain != NULL)
			op->methods->explain(op, e);
	}
}

static void
explain_identity(PgtExplain *e)
{
	PgtRowIdentity id;
	StringInfoData text;

	if (!OidIsValid(e->program->st_relid))
		return;
	pgt_rowid_get(e->program->st_relid, &id);
	initStringInfo(&text);
	if (!id.by_key)
		appendStringInfoString(&text, "hash of the row's image");
	for (int i = 0; id.by_key && i < id.nkeys; i++)
		appendStringInfo(&text, "%s%s", i > 0 ? ", " : "key ",
						 quote_identifier(get_attname(e->program->st_relid,
													  id.key_attnos[i], false)));
	say(e, text.data, "row identity");
}

void
pgt_program_explain(PgtProgram *program, bool analyze, PgtExplainEmit emit,
					void *arg)
{
	PgtExplain	e = {program, analyze, emit, arg};
	ListCell   *lc;

	say(&e, program->differential ? "differential" : "full", "method");
	explain_identity(&e);
	say(&e, pgt_program_full_query(program), "full query");
	if (analyze)
		say(&e, plan_text(program->full, 0), "full query: plan");
	if (!program->differential)
		return;
	if (!program->have_plans)
	{
		say(&e, "missing: the next refresh builds it", "operator state");
		return;
	}
	foreach(lc, program->ops)
		explain_op(&e, lfirst(lc));
}

char *
pgt_program_full_query(const PgtProgram *program)
{
	return pgt_deparse_for_display(program->expanded);
}
