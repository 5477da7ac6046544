/*
 * applier/dvm/block.c - Query trees for blocks: new states and delta terms.
 *
 * Terms.  For a set C of changed inputs, C small, the delta of a block is
 *     sum over non-empty T in C of (-1)^(|T|+1) * join(delta(T), new(rest))
 * which needs new states only, each of them free to be read by an index.
 * With more changed inputs than PGT_MAX_SUBSET_INPUTS the number of terms
 * must not explode: one term per changed input i in C, with delta(i), the new
 * state of what follows i, and for what precedes i the old state, new UNION
 * ALL minus delta.  An old state is read whole (PostgreSQL cannot look into an
 * append over a named tuplestore by an index), so those refreshes cost a scan
 * of the inputs; documented in docs/operators.md.
 *
 * Queries are built by hand and planned directly; they name relations by OID,
 * carry no rights (program.c checks those of the defining query) and lock with
 * AccessShareLock.  All functions allocate in the current context and take
 * AccessShareLock on the relations they name, kept until commit.
 */
#include "postgres.h"

#include "access/table.h"
#include "catalog/pg_class.h"
#include "catalog/pg_operator.h"
#include "catalog/pg_type.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/optimizer.h"
#include "port/pg_bitutils.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"

#include "applier/dvm/block.h"
#include "applier/dvm/items.h"
#include "applier/dvm/outer.h"
#include "applier/dvm/plan.h"
#include "applier/dvm/qtree.h"
#include "applier/dvm/recursion.h"
#include "decoder/compat.h"

/* As what a block's input is read. */
typedef enum InputState
{
	INPUT_NEW, INPUT_OLD, INPUT_DELTA
} InputState;

const char *
pgt_delta_name(const PgtOp *op)
{
	if (op->kind == PGT_OP_SCAN)
		return psprintf("pgt_source_%u", ((const PgtScanOp *) op)->relid);
	return psprintf("pgt_delta_%d", op->id);
}

/* ---- states of an operator ---- */

static Query *block_query(const PgtBlockOp *block, const InputState *states,
						  int sign);

AttrNumber
pgt_op_state_attno(const PgtOp *op, int col)
{
	if (op->kind == PGT_OP_SCAN)
		return ((const PgtScanOp *) op)->columns[col - 1];
	if (op->methods != NULL && op->methods->state_attno != NULL)
		return op->methods->state_attno(op, col);
	return col;
}

RangeTblEntry *
pgt_op_state_entry(Query *query, const PgtOp *op, bool fenced)
{
	if (op->kind == PGT_OP_SCAN)
		return pgt_qtree_relation(query, ((const PgtScanOp *) op)->relid,
								  ((const PgtScanOp *) op)->inh);
	if (op->methods != NULL && !OidIsValid(op->state_relid))
		elog(ERROR, "state table of operator %d does not exist", op->id);
	if (op->methods != NULL && op->methods->state_attno != NULL)
		return pgt_qtree_relation(query, op->state_relid, false);
	return pgt_qtree_subquery(pgt_op_new_state(op), psprintf("op%d", op->id),
							  pgt_qtree_names(op->outdesc), fenced);
}

/* SELECT all columns FROM what "rte" is, with a weight unless it is NULL. */
static Query *
select_columns(const PgtOp *op, bool from_delta, bool weighted)
{
	Query	   *query = pgt_qtree_select();
	RangeTblEntry *rte = from_delta ?
		pgt_qtree_store(pgt_delta_name(op), op->deltadesc) :
		pgt_op_state_entry(query, op, false);
	int			varno = pgt_qtree_add_from(query, rte);
	int			natts = op->outdesc->natts;

	for (int i = 1; i <= natts; i++)
		pgt_qtree_add_target(query,
				   (Node *) pgt_qtree_var(varno, op->outdesc, i,
									 from_delta ? i : pgt_op_state_attno(op, i)),
				   NameStr(TupleDescAttr(op->outdesc, i - 1)->attname));
	if (!weighted)
		return query;
	pgt_qtree_add_target(query, from_delta ?
			   pgt_qtree_negate((Node *) pgt_qtree_var(varno, op->deltadesc, natts + 1, natts + 1)) :
			   pgt_qtree_int8(1), PGT_WEIGHT_NAME);
	return query;
}

static Query *
old_state(const PgtOp *op)
{
	return pgt_qtree_union_all(list_make2(select_columns(op, false, true),
								select_columns(op, true, true)),
					 op->deltadesc);
}

Query *
pgt_op_new_state(const PgtOp *op)
{
	List	   *branches = NIL;
	ListCell   *lc;

	switch (op->kind)
	{
		case PGT_OP_BLOCK:
			return block_query((const PgtBlockOp *) op, NULL, 0);
		case PGT_OP_UNION_ALL:
			foreach(lc, op->inputs)
				branches = lappend(branches, pgt_op_new_state(lfirst(lc)));
			if (list_length(branches) == 1)
				return linitial(branches);
			return pgt_qtree_union_all(branches, op->outdesc);
		case PGT_OP_OUTER:
			return pgt_outer_new_state((const PgtOuterOp *) op);
		case PGT_OP_WORK:
			return pgt_recurse_rows(((const PgtWorkOp *) op)->recurse, true);
		default:
			if (op->methods != NULL && op->methods->state_attno == NULL)
				return op->methods->new_state(op);
			return select_columns(op, false, false);
	}
}

Query *
pgt_op_new_state_weighted(const PgtOp *op)
{
	return select_columns(op, false, true);
}

/* ---- a block with its inputs in given states ---- */

typedef struct BlockBuild
{
	const PgtBlockOp *block;
	const InputState *states;	/* NULL: all new */
} BlockBuild;

static InputState
input_state(const BlockBuild *b, int number)
{
	return b->states == NULL ? INPUT_NEW : b->states[number - 1];
}

/* Column of an input -> column of what stands for it in FROM; items stay. */
static Var *
place_var(const Var *of, void *arg)
{
	BlockBuild *b = arg;
	Var		   *var = copyObject(unconstify(Var *, of));

	if (var->varno <= list_length(b->block->op.inputs) &&
		input_state(b, var->varno) == INPUT_NEW)
		var->varattno = pgt_op_state_attno(list_nth(b->block->op.inputs,
												 var->varno - 1),
										var->varattno);
	var->varnosyn = var->varno;
	var->varattnosyn = var->varattno;
	return var;
}

static RangeTblEntry *
input_entry(Query *query, BlockBuild *b, int number)
{
	const PgtOp *op = list_nth(b->block->op.inputs, number - 1);

	switch (input_state(b, number))
	{
		case INPUT_NEW:
			return pgt_op_state_entry(query, op, b->block->fenced[number - 1]);
		case INPUT_DELTA:
			return pgt_qtree_store(pgt_delta_name(op), op->deltadesc);
		case INPUT_OLD:
			return pgt_qtree_subquery(old_state(op), psprintf("old%d", op->id),
								  pgt_qtree_names(op->deltadesc), false);
	}
	return NULL;
}

static Node *
product_of_weights(const BlockBuild *b)
{
	Node	   *product = NULL;
	int			number = 0;
	ListCell   *lc;

	foreach(lc, b->block->op.inputs)
	{
		const PgtOp *op = lfirst(lc);
		int			col = op->deltadesc->natts;

		if (input_state(b, ++number) != INPUT_NEW)
			product = pgt_qtree_multiply(product,
							   (Node *) pgt_qtree_var(number, op->deltadesc, col, col));
	}
	return product;
}

/*
 * Rows that stand for several: in a state so many rows, in a delta one of so
 * much weight.
 */
static Node *
repeat_rows(Query *query, BlockBuild *b, Node *weight)
{
	Node	   *copies = pgt_map_vars((Node *) b->block->copies, place_var, b);
	OpExpr	   *some;

	if (weight == NULL)
	{
		pgt_qtree_add_from(query, pgt_item_repeat((Expr *) copies));
		return NULL;
	}
	some = (OpExpr *) make_opclause(Int8LessOperator, BOOLOID, false,
									(Expr *) pgt_qtree_int8(0), (Expr *) copies,
									InvalidOid, InvalidOid);
	set_opfuncid(some);
	query->jointree->quals = (Node *)
		make_ands_explicit(lappend(make_ands_implicit((Expr *) query->jointree->quals),
								   some));
	return pgt_qtree_multiply(weight, copyObject(copies));
}

/* sign 0: without a weight column (a new state). */
static Query *
block_query(const PgtBlockOp *block, const InputState *states, int sign)
{
	BlockBuild	b = {block, states};
	Query	   *query = pgt_qtree_select();
	int			i = 0;
	ListCell   *lc;
	Node	   *weight;

	for (int number = 1; number <= list_length(block->op.inputs); number++)
		pgt_qtree_add_from(query, input_entry(query, &b, number));
	foreach(lc, block->items)
		pgt_qtree_add_from(query, pgt_item_map_vars(lfirst(lc), place_var, &b));
	query->jointree->quals = pgt_map_vars(block->quals, place_var, &b);
	foreach(lc, block->exprs)
	{
		pgt_qtree_add_target(query, pgt_map_vars(lfirst(lc), place_var, &b),
				   NameStr(TupleDescAttr(block->op.outdesc, i)->attname));
		i++;
	}
	query->hasTargetSRFs = expression_returns_set((Node *) block->exprs);
	weight = sign == 0 ? NULL : product_of_weights(&b);
	if (block->copies != NULL)
		weight = repeat_rows(query, &b, weight);
	if (sign == 0)
		return query;
	pgt_qtree_add_target(query, sign < 0 ? pgt_qtree_negate(weight) : weight, PGT_WEIGHT_NAME);
	return query;
}

/* ---- terms ---- */

static PgtBlockTerm *
get_term(PgtBlockOp *block, uint64 delta, uint64 old, MemoryContext context)
{
	int			ninputs = list_length(block->op.inputs);
	InputState *states;
	PgtBlockTerm *term;
	MemoryContext caller;
	ListCell   *lc;

	foreach(lc, block->terms)
	{
		term = lfirst(lc);
		if (term->delta == delta && term->old == old)
			return term;
	}
	states = palloc(sizeof(InputState) * ninputs);
	for (int i = 0; i < ninputs; i++)
		states[i] = (delta >> i) & 1 ? INPUT_DELTA :
			(old >> i) & 1 ? INPUT_OLD : INPUT_NEW;

	caller = MemoryContextSwitchTo(context);
	term = palloc0(sizeof(PgtBlockTerm));
	term->delta = delta;
	term->old = old;
	MemoryContextSwitchTo(caller);
	term->plan = pgt_plan_make(context,
							   block_query(block, states,
										   pg_popcount64(delta) % 2 == 1 ? 1 : -1),
							   psprintf("pg_trickle delta of operator %d", block->op.id),
							   false);
	MemoryContextSwitchTo(context);
	block->terms = lappend(block->terms, term);
	MemoryContextSwitchTo(caller);
	return term;
}

List *
pgt_block_terms(PgtBlockOp *block, uint64 changed, MemoryContext context)
{
	List	   *terms = NIL;

	if (pg_popcount64(changed) <= PGT_MAX_SUBSET_INPUTS)
	{
		/* all non-empty subsets */
		for (uint64 t = changed; t != 0; t = (t - 1) & changed)
			terms = lappend(terms, get_term(block, t, 0, context));
		return terms;
	}
	for (uint64 rest = changed; rest != 0; rest &= rest - 1)
	{
		uint64		delta = rest & (~rest + 1);

		terms = lappend(terms, get_term(block, delta, changed & (delta - 1),
										context));
	}
	return terms;
}

/* ---- REDUCE ---- */

/* t.key = k.key; or, where either may be NULL, that or both are NULL. */
static Node *
key_match(const PgtKeySpec *key, Var *left, Var *right, bool nonnull)
{
	OpExpr	   *eq = (OpExpr *) make_opclause(key->eqop, BOOLOID, false,
											  (Expr *) left, (Expr *) right,
											  InvalidOid, key->collation);
	NullTest   *null_left;
	NullTest   *null_right;

	set_opfuncid(eq);
	if (nonnull)
		return (Node *) eq;
	null_left = makeNode(NullTest);
	null_left->arg = copyObject((Expr *) left);
	null_left->nulltesttype = IS_NULL;
	null_left->location = -1;
	null_right = copyObject(null_left);
	null_right->arg = copyObject((Expr *) right);
	return (Node *) make_orclause(list_make2(eq,
											 make_andclause(list_make2(null_left, null_right))));
}

Query *
pgt_op_restricted_state(const PgtOp *op, const PgtKeySpec *keys, int nkeys,
						bool nonnull)
{
	Query	   *query = pgt_qtree_select();
	TupleDesc	keydesc = CreateTemplateTupleDesc(nkeys);
	List	   *matches = NIL;

	pgt_qtree_add_from(query, pgt_op_state_entry(query, op, false));
	if (nkeys == 0)
		return query;
	for (int i = 1; i <= nkeys; i++)
	{
		const PgtKeySpec *key = &keys[i - 1];

		TupleDescInitEntry(keydesc, i, psprintf("k%d", i), key->type,
						   key->typmod, 0);
		TupleDescInitEntryCollation(keydesc, i, key->collation);
	}
	pgt_tupdesc_finish(keydesc);
	pgt_qtree_add_from(query, pgt_qtree_store(PGT_KEYS_NAME, keydesc));
	for (int i = 1; i <= nkeys; i++)
	{
		const PgtKeySpec *key = &keys[i - 1];
		AttrNumber	attno = pgt_op_state_attno(op, key->in_col);

		matches = lappend(matches,
						  key_match(key,
									pgt_qtree_var(1, op->outdesc, key->in_col, attno),
									pgt_qtree_var(2, keydesc, i, i), nonnull));
	}
	query->jointree->quals = (Node *) make_ands_explicit(matches);
	return query;
}

static Query *
restricted_input(const PgtReduceOp *reduce, bool nonnull)
{
	return pgt_op_restricted_state(linitial(reduce->op.inputs), reduce->keys,
								   reduce->nkeys, nonnull);
}

static Query *
rescan_query(const PgtReduceOp *reduce, bool nonnull)
{
	const PgtOp *input = linitial(reduce->op.inputs);
	Query	   *query = restricted_input(reduce, nonnull);

	for (int i = 1; i <= input->outdesc->natts; i++)
		pgt_qtree_add_target(query,
				   (Node *) pgt_qtree_var(1, input->outdesc, i, pgt_op_state_attno(input, i)),
				   NameStr(TupleDescAttr(input->outdesc, i - 1)->attname));
	return query;
}

static Node *
place_vars_of_op_mutator(Node *node, const PgtOp *op)
{
	if (node == NULL)
		return NULL;
	if (IsA(node, Var))
	{
		Var		   *var = (Var *) copyObject(node);

		var->varattno = pgt_op_state_attno(op, var->varattno);
		var->varattnosyn = var->varattno;
		return (Node *) var;
	}
	return expression_tree_mutator(node, place_vars_of_op_mutator, (void *) op);
}

Node *
pgt_op_place_vars(Node *node, const PgtOp *op)
{
	return place_vars_of_op_mutator(node, op);
}

static Query *
recompute_query(const PgtReduceOp *reduce, bool nonnull)
{
	PgtOp	   *input = linitial(reduce->op.inputs);
	Query	   *query = restricted_input(reduce, nonnull);

	for (int i = 1; i <= reduce->nkeys; i++)
	{
		const PgtKeySpec *key = &reduce->keys[i - 1];
		SortGroupClause *clause = makeNode(SortGroupClause);

		pgt_qtree_add_target(query,
				   (Node *) pgt_qtree_var(1, input->outdesc, key->in_col,
									 pgt_op_state_attno(input, key->in_col)),
				   psprintf("k%d", i));
		llast_node(TargetEntry, query->targetList)->ressortgroupref = i;
		clause->tleSortGroupRef = i;
		clause->eqop = key->eqop;
		clause->sortop = key->sortop;
		clause->hashable = op_hashjoinable(key->eqop, key->type);
		query->groupClause = lappend(query->groupClause, clause);
	}
	for (int i = 0; i < reduce->naggs; i++)
	{
		if (reduce->aggs[i].method != PGT_AGG_RECOMPUTE)
			continue;
		pgt_qtree_add_target(query, pgt_op_place_vars((Node *) reduce->aggs[i].aggref, input),
				   psprintf("a%d", i + 1));
		query->hasAggs = true;
	}
	return query;
}

void
pgt_reduce_make_plans(PgtOp *op, MemoryContext context)
{
	PgtReduceOp *reduce = (PgtReduceOp *) op;

	for (int nonnull = 0; nonnull <= 1; nonnull++)
	{
		reduce->rescan[nonnull] =
			pgt_plan_make(context, rescan_query(reduce, nonnull),
						  psprintf("pg_trickle rescan of operator %d", reduce->op.id),
						  false);
		if (reduce->any_recompute)
			reduce->recompute[nonnull] =
				pgt_plan_make(context, recompute_query(reduce, nonnull),
							  psprintf("pg_trickle recompute of operator %d", reduce->op.id),
							  false);
	}
}
