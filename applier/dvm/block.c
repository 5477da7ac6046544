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
#include "applier/dvm/plan.h"
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

/* ---- range table entries ---- */

static Query *
make_select(void)
{
	Query	   *query = makeNode(Query);

	query->commandType = CMD_SELECT;
	query->querySource = QSRC_ORIGINAL;
	query->canSetTag = true;
	query->jointree = makeFromExpr(NIL, NULL);
	query->stmt_location = -1;
	return query;
}

static List *
desc_names(TupleDesc desc)
{
	List	   *names = NIL;

	for (int i = 0; i < desc->natts; i++)
	{
		Form_pg_attribute att = TupleDescAttr(desc, i);

		names = lappend(names, makeString(att->attisdropped ? pstrdup("") :
										  pstrdup(NameStr(att->attname))));
	}
	return names;
}

static RangeTblEntry *
relation_entry(Query *query, Oid relid, bool inh)
{
	RangeTblEntry *rte = makeNode(RangeTblEntry);
	Relation	rel = table_open(relid, AccessShareLock);

	rte->rtekind = RTE_RELATION;
	rte->relid = relid;
	rte->relkind = rel->rd_rel->relkind;
	rte->rellockmode = AccessShareLock;
	rte->inh = inh;
	rte->inFromCl = true;
	rte->eref = makeAlias(RelationGetRelationName(rel),
						  desc_names(RelationGetDescr(rel)));
	table_close(rel, NoLock);
	pgt_add_permission_entry(query, rte);
	return rte;
}

static RangeTblEntry *
subquery_entry(Query *subquery, const char *name, List *colnames, bool fenced)
{
	RangeTblEntry *rte = makeNode(RangeTblEntry);

	rte->rtekind = RTE_SUBQUERY;
	rte->subquery = subquery;
	rte->security_barrier = fenced;
	rte->inFromCl = true;
	rte->alias = makeAlias(name, NIL);
	rte->eref = makeAlias(name, colnames);
	return rte;
}

static RangeTblEntry *
store_entry(const char *name, TupleDesc desc)
{
	RangeTblEntry *rte = makeNode(RangeTblEntry);

	rte->rtekind = RTE_NAMEDTUPLESTORE;
	rte->enrname = pstrdup(name);
	rte->enrtuples = PGT_SMALL_DELTA_GUESS;
	rte->inFromCl = true;
	rte->eref = makeAlias(name, desc_names(desc));
	for (int i = 0; i < desc->natts; i++)
	{
		Form_pg_attribute att = TupleDescAttr(desc, i);

		rte->coltypes = lappend_oid(rte->coltypes, att->atttypid);
		rte->coltypmods = lappend_int(rte->coltypmods, att->atttypmod);
		rte->colcollations = lappend_oid(rte->colcollations, att->attcollation);
	}
	return rte;
}

/* Append to the range table and to FROM; returns the index. */
static int
add_from(Query *query, RangeTblEntry *rte)
{
	RangeTblRef *ref = makeNode(RangeTblRef);

	query->rtable = lappend(query->rtable, rte);
	ref->rtindex = list_length(query->rtable);
	query->jointree->fromlist = lappend(query->jointree->fromlist, ref);
	return ref->rtindex;
}

static Var *
desc_var(int varno, TupleDesc desc, int col, AttrNumber attno)
{
	Form_pg_attribute att = TupleDescAttr(desc, col - 1);

	return makeVar(varno, attno, att->atttypid, att->atttypmod,
				   att->attcollation, 0);
}

static void
add_target(Query *query, Node *expr, const char *name)
{
	query->targetList = lappend(query->targetList,
								makeTargetEntry((Expr *) expr,
												list_length(query->targetList) + 1,
												pstrdup(name), false));
}

/* ---- weights ---- */

static Node *
int8_const(int64 value)
{
	return (Node *) makeConst(INT8OID, -1, InvalidOid, sizeof(int64),
							  Int64GetDatum(value), false, FLOAT8PASSBYVAL);
}

static Node *
multiply(Node *a, Node *b)
{
	if (a == NULL)
		return b;
	return (Node *) makeFuncExpr(F_INT8MUL, INT8OID, list_make2(a, b),
								 InvalidOid, InvalidOid, COERCE_EXPLICIT_CALL);
}

static Node *
negate(Node *a)
{
	return (Node *) makeFuncExpr(F_INT8UM, INT8OID, list_make1(a),
								 InvalidOid, InvalidOid, COERCE_EXPLICIT_CALL);
}

/* ---- states of an operator ---- */

/* UNION ALL of queries whose columns are desc's. */
static Query *
union_all(List *queries, TupleDesc desc)
{
	Query	   *query = make_select();
	Node	   *tree = NULL;
	ListCell   *lc;

	foreach(lc, queries)
	{
		RangeTblRef *ref = makeNode(RangeTblRef);
		RangeTblEntry *rte = subquery_entry(lfirst(lc), "branch",
											desc_names(desc), false);
		SetOperationStmt *setop;

		rte->inFromCl = false;
		query->rtable = lappend(query->rtable, rte);
		ref->rtindex = list_length(query->rtable);
		if (tree == NULL)
		{
			tree = (Node *) ref;
			continue;
		}
		setop = makeNode(SetOperationStmt);
		setop->op = SETOP_UNION;
		setop->all = true;
		setop->larg = tree;
		setop->rarg = (Node *) ref;
		for (int i = 0; i < desc->natts; i++)
		{
			Form_pg_attribute att = TupleDescAttr(desc, i);

			setop->colTypes = lappend_oid(setop->colTypes, att->atttypid);
			setop->colTypmods = lappend_int(setop->colTypmods, att->atttypmod);
			setop->colCollations = lappend_oid(setop->colCollations,
											   att->attcollation);
		}
		tree = (Node *) setop;
	}
	for (int i = 1; i <= desc->natts; i++)
		add_target(query, (Node *) desc_var(1, desc, i, i),
				   NameStr(TupleDescAttr(desc, i - 1)->attname));
	query->setOperations = tree;
	return query;
}

static Query *block_query(const PgtBlockOp *block, const InputState *states,
						  int sign);

/* Number of a column of an operator where its new state stands in FROM. */
static AttrNumber
new_state_attno(const PgtOp *op, int col)
{
	if (op->kind == PGT_OP_SCAN)
		return ((const PgtScanOp *) op)->columns[col - 1];
	if (op->kind == PGT_OP_REDUCE)
		return pgt_state_output_attno((const PgtReduceOp *) op, col);
	return col;
}

static RangeTblEntry *
new_state_entry(Query *query, const PgtOp *op, bool fenced)
{
	if (op->kind == PGT_OP_SCAN)
		return relation_entry(query, ((const PgtScanOp *) op)->relid,
							  ((const PgtScanOp *) op)->inh);
	if (op->kind == PGT_OP_REDUCE)
	{
		Oid			relid = ((const PgtReduceOp *) op)->state_relid;

		if (!OidIsValid(relid))
			elog(ERROR, "state table of operator %d does not exist", op->id);
		return relation_entry(query, relid, false);
	}
	return subquery_entry(pgt_op_new_state(op), psprintf("op%d", op->id),
						  desc_names(op->outdesc), fenced);
}

/* SELECT all columns FROM what "rte" is, with a weight unless it is NULL. */
static Query *
select_columns(const PgtOp *op, bool from_delta, bool weighted)
{
	Query	   *query = make_select();
	RangeTblEntry *rte = from_delta ?
		store_entry(pgt_delta_name(op), op->deltadesc) :
		new_state_entry(query, op, false);
	int			varno = add_from(query, rte);
	int			natts = op->outdesc->natts;

	for (int i = 1; i <= natts; i++)
		add_target(query,
				   (Node *) desc_var(varno, op->outdesc, i,
									 from_delta ? i : new_state_attno(op, i)),
				   NameStr(TupleDescAttr(op->outdesc, i - 1)->attname));
	if (!weighted)
		return query;
	add_target(query, from_delta ?
			   negate((Node *) desc_var(varno, op->deltadesc, natts + 1, natts + 1)) :
			   int8_const(1), PGT_WEIGHT_NAME);
	return query;
}

static Query *
old_state(const PgtOp *op)
{
	return union_all(list_make2(select_columns(op, false, true),
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
			return union_all(branches, op->outdesc);
		case PGT_OP_SCAN:
		case PGT_OP_REDUCE:
			return select_columns(op, false, false);
	}
	elog(ERROR, "unknown operator kind %d", (int) op->kind);
	return NULL;
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

/* Columns of inputs -> columns of what stands for them in FROM. */
static Node *
place_vars_mutator(Node *node, BlockBuild *b)
{
	if (node == NULL)
		return NULL;
	if (IsA(node, Var))
	{
		Var		   *var = (Var *) copyObject(node);

		if (input_state(b, var->varno) == INPUT_NEW)
			var->varattno = new_state_attno(list_nth(b->block->op.inputs,
													 var->varno - 1),
											var->varattno);
		var->varnosyn = var->varno;
		var->varattnosyn = var->varattno;
		return (Node *) var;
	}
	return expression_tree_mutator(node, place_vars_mutator, b);
}

static RangeTblEntry *
input_entry(Query *query, BlockBuild *b, int number)
{
	const PgtOp *op = list_nth(b->block->op.inputs, number - 1);

	switch (input_state(b, number))
	{
		case INPUT_NEW:
			return new_state_entry(query, op, b->block->fenced[number - 1]);
		case INPUT_DELTA:
			return store_entry(pgt_delta_name(op), op->deltadesc);
		case INPUT_OLD:
			return subquery_entry(old_state(op), psprintf("old%d", op->id),
								  desc_names(op->deltadesc), false);
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
			product = multiply(product,
							   (Node *) desc_var(number, op->deltadesc, col, col));
	}
	return product;
}

/* sign 0: without a weight column (a new state). */
static Query *
block_query(const PgtBlockOp *block, const InputState *states, int sign)
{
	BlockBuild	b = {block, states};
	Query	   *query = make_select();
	int			i = 0;
	ListCell   *lc;
	Node	   *weight;

	for (int number = 1; number <= list_length(block->op.inputs); number++)
		add_from(query, input_entry(query, &b, number));
	query->jointree->quals = place_vars_mutator(block->quals, &b);
	foreach(lc, block->exprs)
	{
		add_target(query, place_vars_mutator(lfirst(lc), &b),
				   NameStr(TupleDescAttr(block->op.outdesc, i)->attname));
		i++;
	}
	if (sign == 0)
		return query;
	weight = product_of_weights(&b);
	add_target(query, sign < 0 ? negate(weight) : weight, PGT_WEIGHT_NAME);
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

/* FROM the input's new state and, if there are keys, the set of keys. */
static Query *
restricted_input(const PgtReduceOp *reduce, bool nonnull)
{
	const PgtOp *input = linitial(reduce->op.inputs);
	Query	   *query = make_select();
	TupleDesc	keydesc = CreateTemplateTupleDesc(reduce->nkeys);
	List	   *matches = NIL;

	add_from(query, new_state_entry(query, input, false));
	if (reduce->nkeys == 0)
		return query;
	for (int i = 1; i <= reduce->nkeys; i++)
	{
		const PgtKeySpec *key = &reduce->keys[i - 1];

		TupleDescInitEntry(keydesc, i, psprintf("k%d", i), key->type,
						   key->typmod, 0);
		TupleDescInitEntryCollation(keydesc, i, key->collation);
	}
	pgt_tupdesc_finish(keydesc);
	add_from(query, store_entry(PGT_KEYS_NAME, keydesc));
	for (int i = 1; i <= reduce->nkeys; i++)
	{
		const PgtKeySpec *key = &reduce->keys[i - 1];

		matches = lappend(matches,
						  key_match(key,
									desc_var(1, input->outdesc, key->in_col,
											 new_state_attno(input, key->in_col)),
									desc_var(2, keydesc, i, i), nonnull));
	}
	query->jointree->quals = (Node *) make_ands_explicit(matches);
	return query;
}

static Query *
rescan_query(const PgtReduceOp *reduce, bool nonnull)
{
	const PgtOp *input = linitial(reduce->op.inputs);
	Query	   *query = restricted_input(reduce, nonnull);

	for (int i = 1; i <= input->outdesc->natts; i++)
		add_target(query,
				   (Node *) desc_var(1, input->outdesc, i, new_state_attno(input, i)),
				   NameStr(TupleDescAttr(input->outdesc, i - 1)->attname));
	return query;
}

/* Columns of a REDUCE's input -> columns of its new state. */
static Node *
place_agg_mutator(Node *node, const PgtOp *input)
{
	if (node == NULL)
		return NULL;
	if (IsA(node, Var))
	{
		Var		   *var = (Var *) copyObject(node);

		var->varattno = new_state_attno(input, var->varattno);
		var->varattnosyn = var->varattno;
		return (Node *) var;
	}
	return expression_tree_mutator(node, place_agg_mutator, (void *) input);
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

		add_target(query,
				   (Node *) desc_var(1, input->outdesc, key->in_col,
									 new_state_attno(input, key->in_col)),
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
		add_target(query, place_agg_mutator((Node *) reduce->aggs[i].aggref, input),
				   psprintf("a%d", i + 1));
		query->hasAggs = true;
	}
	return query;
}

void
pgt_reduce_make_plans(PgtReduceOp *reduce, MemoryContext context)
{
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
