/*
 * applier/dvm/grouping.c - GROUP BY, aggregates, HAVING, DISTINCT -> operators.
 *
 *     inputs -> BLOCK -> REDUCE -> BLOCK
 * where the first BLOCK computes keys and aggregate arguments (left out where
 * these are plain columns) and the last one HAVING and the output (left out
 * where that is the REDUCE's row as it is).
 *
 * With GROUPING SETS, ROLLUP or CUBE the first BLOCK has one REDUCE for each
 * grouping set above it, each with a BLOCK of its own in which the keys that
 * its set leaves out are NULL and GROUPING() is a constant; a UNION_ALL of
 * these is the level.
 */
#include "postgres.h"

#include "catalog/pg_aggregate.h"
#include "catalog/pg_type.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/optimizer.h"
#include "optimizer/tlist.h"
#include "parser/parse_agg.h"
#include "parser/parse_oper.h"
#include "utils/fmgroids.h"

#include "applier/dvm/compiler.h"
#include "decoder/compat.h"

/* A grouped level being taken apart. */
typedef struct GroupLevel
{
	List	   *keys;			/* of Node*, in the level's terms */
	List	   *key_clauses;	/* of SortGroupClause* */
	List	   *aggrefs;		/* of Aggref*, in the level's terms */
	List	   *columns;		/* of Node*: of the block below, level's terms */
	/* while one REDUCE of the level is made */
	List	   *set;			/* int list: positions, from 1, of its keys */
	List	   *refs;			/* int list: their tleSortGroupRefs */
} GroupLevel;

static int
list_position(List *list, void *node)
{
	int			i = 1;
	ListCell   *lc;

	foreach(lc, list)
	{
		if (equal(lfirst(lc), node))
			return i;
		i++;
	}
	return 0;
}

/* Number of the column of the block below that computes node; made if new. */
static int
level_column(GroupLevel *g, void *node)
{
	int			number = list_position(g->columns, node);

	if (number > 0)
		return number;
	g->columns = lappend(g->columns, node);
	return list_length(g->columns);
}

static Var *
column_var(int varno, int attno, Node *of)
{
	return makeVar(varno, attno, exprType(of), exprTypmod(of),
				   exprCollation(of), 0);
}

/* Grouping operators of a type, as the parser would choose them. */
static SortGroupClause *
default_group_clause(Oid type)
{
	SortGroupClause *clause = makeNode(SortGroupClause);
	bool		hashable;

	get_sort_group_operators(type, false, true, false, &clause->sortop,
							 &clause->eqop, NULL, &hashable);
	clause->hashable = hashable;
	return clause;
}

/* Take the keys, the aggregates and the dependent columns out of a level. */
static bool
find_group_parts_walker(Node *node, GroupLevel *g)
{
	if (node == NULL || list_position(g->keys, node) > 0 ||
		IsA(node, GroupingFunc))
		return false;
	if (IsA(node, Aggref) && ((Aggref *) node)->agglevelsup == 0)
	{
		if (list_position(g->aggrefs, node) == 0)
			g->aggrefs = lappend(g->aggrefs, node);
		return false;
	}
	if (IsA(node, Var))
	{
		/* depends on the keys by a primary key: one more key changes no group */
		g->keys = lappend(g->keys, node);
		g->key_clauses = lappend(g->key_clauses,
								 default_group_clause(((Var *) node)->vartype));
		return false;
	}
	return expression_tree_walker(node, find_group_parts_walker, g);
}

/* count(1) is count(*): no column of ones need be carried. */
static void
simplify_count(Aggref *agg)
{
	TargetEntry *tle;

	if (agg->aggfnoid != F_COUNT_ANY || agg->aggdistinct != NIL ||
		agg->aggorder != NIL || list_length(agg->args) != 1)
		return;
	tle = linitial_node(TargetEntry, agg->args);
	if (!IsA(tle->expr, Const) || ((Const *) tle->expr)->constisnull)
		return;
	agg->aggfnoid = F_COUNT_;
	agg->args = NIL;
	agg->aggargtypes = NIL;
	agg->aggstar = true;
}

Aggref *
pgt_grouping_count_star(void)
{
	Aggref	   *agg = makeNode(Aggref);

	agg->aggfnoid = F_COUNT_;
	agg->aggtype = INT8OID;
	agg->aggstar = true;
	agg->aggkind = AGGKIND_NORMAL;
	agg->aggsplit = AGGSPLIT_SIMPLE;
	agg->aggno = -1;
	agg->aggtransno = -1;
	agg->location = -1;
	return agg;
}

static GroupLevel *
take_group_apart(const Query *query)
{
	GroupLevel *g = palloc0(sizeof(GroupLevel));
	ListCell   *lc;

	foreach(lc, query->groupClause)
	{
		SortGroupClause *clause = lfirst_node(SortGroupClause, lc);

		g->keys = lappend(g->keys,
						  get_sortgroupclause_expr(clause, query->targetList));
		g->key_clauses = lappend(g->key_clauses, clause);
	}
	foreach(lc, query->targetList)
		if (!lfirst_node(TargetEntry, lc)->resjunk)
			find_group_parts_walker((Node *) lfirst_node(TargetEntry, lc)->expr, g);
	find_group_parts_walker(query->havingQual, g);
	/* without keys and aggregates there still is the one group */
	if ((g->keys == NIL || query->groupingSets != NIL) && g->aggrefs == NIL)
		g->aggrefs = list_make1(pgt_grouping_count_star());
	foreach(lc, g->keys)
		level_column(g, lfirst(lc));
	return g;
}

/* Place of a key among those of the REDUCE; 0: its set leaves it out. */
static int
place_in_set(const GroupLevel *g, int key)
{
	int			place = 1;
	ListCell   *lc;

	foreach(lc, g->set)
	{
		if (lfirst_int(lc) == key)
			return place;
		place++;
	}
	return 0;
}

static Node *
null_of(Node *node)
{
	return (Node *) makeNullConst(exprType(node), exprTypmod(node),
								  exprCollation(node));
}

/* Key expressions in an ordered-set aggregate's direct arguments. */
static Node *
to_key_columns_mutator(Node *node, GroupLevel *g)
{
	int			key;

	if (node == NULL)
		return NULL;
	key = list_position(g->keys, node);
	if (key > 0 && place_in_set(g, key) == 0)
		return null_of(node);
	if (key > 0)
		return (Node *) column_var(1, level_column(g, node), node);
	if (IsA(node, Var))
		elog(ERROR, "column in a direct argument is no grouping key");
	return expression_tree_mutator(node, to_key_columns_mutator, g);
}

/* The aggregate over the columns of the block below. */
static void
make_agg_spec(GroupLevel *g, const Aggref *aggref, PgtAggSpec *spec)
{
	Aggref	   *agg = copyObject(unconstify(Aggref *, aggref));
	ListCell   *lc;

	simplify_count(agg);
	agg->aggdirectargs = (List *)
		to_key_columns_mutator((Node *) agg->aggdirectargs, g);
	spec->arg_cols = palloc(sizeof(int) * (list_length(agg->args) + 1));
	foreach(lc, agg->args)
	{
		TargetEntry *tle = lfirst_node(TargetEntry, lc);
		int			col = level_column(g, tle->expr);

		if (!tle->resjunk)
			spec->arg_cols[spec->nargs++] = col;
		tle->expr = (Expr *) column_var(1, col, (Node *) tle->expr);
	}
	if (agg->aggfilter != NULL)
	{
		spec->filter_col = level_column(g, agg->aggfilter);
		agg->aggfilter = (Expr *) column_var(1, spec->filter_col,
											 (Node *) agg->aggfilter);
	}
	agg->aggno = -1;
	agg->aggtransno = -1;
	agg->location = -1;
	spec->aggref = agg;
}

static void
make_key_spec(const SortGroupClause *clause, Node *expr, int col,
			  PgtKeySpec *key)
{
	key->in_col = col;
	key->type = exprType(expr);
	key->typmod = exprTypmod(expr);
	key->collation = exprCollation(expr);
	key->eqop = clause->eqop;
	key->sortop = clause->sortop;
}

/* Read the columns of the one input instead of a block that only picks them. */
static Node *
through_permutation_mutator(Node *node, int *source_cols)
{
	if (node == NULL)
		return NULL;
	if (IsA(node, Var))
	{
		Var		   *var = (Var *) copyObject(node);

		var->varattno = source_cols[var->varattno - 1];
		var->varattnosyn = var->varattno;
		return (Node *) var;
	}
	return expression_tree_mutator(node, through_permutation_mutator,
								   source_cols);
}

static void
read_through(PgtReduceOp *reduce, int *source_cols)
{
	for (int i = 0; i < reduce->nkeys; i++)
		reduce->keys[i].in_col = source_cols[reduce->keys[i].in_col - 1];
	for (int i = 0; i < reduce->naggs; i++)
	{
		PgtAggSpec *spec = &reduce->aggs[i];

		for (int j = 0; j < spec->nargs; j++)
			spec->arg_cols[j] = source_cols[spec->arg_cols[j] - 1];
		if (spec->filter_col > 0)
			spec->filter_col = source_cols[spec->filter_col - 1];
		spec->aggref = (Aggref *)
			through_permutation_mutator((Node *) spec->aggref, source_cols);
	}
}

/* The block of keys and arguments, or its input where it only picks columns. */
static PgtOp *
reduces_input(PgtCompiler *c, PgtLevelInputs *in, GroupLevel *g, List *reduces)
{
	PgtOp	   *op = pgt_compile_block(c, in,
									   (List *) pgt_compile_to_inputs(in, g->columns),
									   NIL);
	PgtBlockOp *block = (PgtBlockOp *) op;
	ListCell   *lc;

	if (!block->permutation || block->fenced[0])
		return op;
	foreach(lc, reduces)
		read_through(lfirst(lc), block->source_cols);
	c->ops = list_delete_last(c->ops);
	return linitial(op->inputs);
}

/* The REDUCE by the keys of g->set, its input not yet known. */
static PgtReduceOp *
make_reduce(GroupLevel *g)
{
	PgtReduceOp *reduce = palloc0(sizeof(PgtReduceOp));
	int			i = 0;
	ListCell   *lc;

	reduce->op.methods = &pgt_reduce_methods;
	reduce->nkeys = list_length(g->set);
	reduce->keys = palloc0(sizeof(PgtKeySpec) * (reduce->nkeys + 1));
	foreach(lc, g->set)
	{
		Node	   *key = list_nth(g->keys, lfirst_int(lc) - 1);

		make_key_spec(list_nth(g->key_clauses, lfirst_int(lc) - 1), key,
					  level_column(g, key), &reduce->keys[i++]);
	}
	i = 0;
	reduce->naggs = list_length(g->aggrefs);
	reduce->aggs = palloc0(sizeof(PgtAggSpec) * (reduce->naggs + 1));
	foreach(lc, g->aggrefs)
		make_agg_spec(g, lfirst_node(Aggref, lc), &reduce->aggs[i++]);
	return reduce;
}

static void
finish_reduce(PgtCompiler *c, GroupLevel *g, PgtReduceOp *reduce, PgtOp *input)
{
	List	   *columns = NIL;
	ListCell   *lc;

	foreach(lc, g->set)
		columns = lappend(columns, list_nth(g->keys, lfirst_int(lc) - 1));
	pgt_compile_finish_op(c, &reduce->op, PGT_OP_REDUCE, list_make1(input),
						  pgt_exprs_desc(list_concat(columns, g->aggrefs), NIL),
						  reduce->naggs > 0 ? "aggregate" : "group");
}

/* ---- above the REDUCE ---- */

Node *
pgt_replace_case_test(Node *node, Node *operand)
{
	if (node == NULL)
		return NULL;
	if (IsA(node, CaseTestExpr))
		return copyObject(operand);
	return expression_tree_mutator(node, pgt_replace_case_test, operand);
}

/* One bit per argument, set where the grouping set leaves it out. */
static Node *
grouping_const(const GroupLevel *g, const GroupingFunc *grouping)
{
	int32		bits = 0;
	ListCell   *lc;

	foreach(lc, grouping->refs)
		bits = (bits << 1) | (list_member_int(g->refs, lfirst_int(lc)) ? 0 : 1);
	return (Node *) makeConst(INT4OID, -1, InvalidOid, sizeof(int32),
							  Int32GetDatum(bits), false, true);
}

/* Keys and aggregates -> columns of the REDUCE. */
static Node *
to_reduce_mutator(Node *node, GroupLevel *g)
{
	int			number;
	Expr	   *func;
	Expr	   *coercion;

	if (node == NULL)
		return NULL;
	if (pgt_json_aggregate(node, &func, &coercion))
	{
		/* JSON_ARRAYAGG and the like: around an aggregate only a coercion */
		Node	   *result = to_reduce_mutator((Node *) func, g);

		return coercion == NULL ? result :
			pgt_replace_case_test((Node *) coercion, result);
	}
	number = list_position(g->keys, node);
	if (number > 0)
	{
		int			place = place_in_set(g, number);

		return place == 0 ? null_of(node) : (Node *) column_var(1, place, node);
	}
	if (IsA(node, GroupingFunc))
		return grouping_const(g, (GroupingFunc *) node);
	if (IsA(node, Aggref))
	{
		number = list_position(g->aggrefs, node);
		Assert(number > 0);
		return (Node *) column_var(1, list_length(g->set) + number, node);
	}
	Assert(!IsA(node, Var));
	return expression_tree_mutator(node, to_reduce_mutator, g);
}

/* HAVING and the output over one REDUCE, of g->set. */
static PgtOp *
compile_output(PgtCompiler *c, const Query *query, GroupLevel *g,
			   PgtReduceOp *reduce)
{
	List	   *having = make_ands_implicit((Expr *) query->havingQual);
	List	   *exprs;
	List	   *names;

	pgt_compile_output(query, &exprs, &names);
	return pgt_compile_project(c, &reduce->op,
							   (List *) to_reduce_mutator((Node *) having, g),
							   (List *) to_reduce_mutator((Node *) exprs, g),
							   names);
}

/* ---- grouping sets ---- */

/* Lists of tleSortGroupRefs; without GROUPING SETS one of all. */
static List *
grouping_sets(const Query *query)
{
	List	   *all = NIL;
	ListCell   *lc;

	if (query->groupingSets != NIL)
		return expand_grouping_sets(query->groupingSets, query->groupDistinct, -1);
	foreach(lc, query->groupClause)
		all = lappend_int(all, lfirst_node(SortGroupClause, lc)->tleSortGroupRef);
	return list_make1(all);
}

/* Keys that depend on the others belong to every set. */
static void
choose_set(GroupLevel *g, const Query *query, List *refs)
{
	int			ngrouped = list_length(query->groupClause);

	g->refs = refs;
	g->set = NIL;
	for (int key = 1; key <= list_length(g->keys); key++)
	{
		SortGroupClause *clause = list_nth(g->key_clauses, key - 1);

		if (key > ngrouped || list_member_int(refs, clause->tleSortGroupRef))
			g->set = lappend_int(g->set, key);
	}
}

PgtOp *
pgt_grouping_compile(PgtCompiler *c, const Query *query)
{
	PgtLevelInputs *in = pgt_compile_from(c, query);
	GroupLevel *g = take_group_apart(query);
	List	   *sets = grouping_sets(query);
	List	   *reduces = NIL;
	List	   *outputs = NIL;
	PgtOp	   *input;
	ListCell   *set;
	ListCell   *lc;

	foreach(set, sets)
	{
		choose_set(g, query, lfirst(set));
		reduces = lappend(reduces, make_reduce(g));
	}
	input = reduces_input(c, in, g, reduces);
	forboth(set, sets, lc, reduces)
	{
		choose_set(g, query, lfirst(set));
		finish_reduce(c, g, lfirst(lc), input);
		outputs = lappend(outputs, compile_output(c, query, g, lfirst(lc)));
	}
	if (list_length(outputs) == 1)
		return linitial(outputs);
	return pgt_setop_union_all(c, outputs, ((PgtOp *) linitial(outputs))->outdesc);
}

/* ---- DISTINCT ---- */

PgtReduceOp *
pgt_grouping_by_columns(PgtOp *input, int nkeys, List *clauses)
{
	PgtReduceOp *reduce = palloc0(sizeof(PgtReduceOp));

	reduce->op.methods = &pgt_reduce_methods;
	reduce->nkeys = nkeys;
	reduce->keys = palloc0(sizeof(PgtKeySpec) * (nkeys + 1));
	for (int i = 0; i < nkeys; i++)
	{
		Form_pg_attribute att = TupleDescAttr(input->outdesc, i);
		Var		   *column = makeVar(1, i + 1, att->atttypid, att->atttypmod,
									 att->attcollation, 0);

		make_key_spec(list_nth(clauses, i), (Node *) column, i + 1,
					  &reduce->keys[i]);
	}
	return reduce;
}

PgtOp *
pgt_grouping_distinct(PgtCompiler *c, const Query *query, PgtOp *input)
{
	PgtReduceOp *reduce;
	List	   *clauses = NIL;
	ListCell   *lc;

	foreach(lc, query->targetList)
	{
		TargetEntry *tle = lfirst_node(TargetEntry, lc);

		if (!tle->resjunk)
			clauses = lappend(clauses,
							  get_sortgroupref_clause(tle->ressortgroupref,
													  query->distinctClause));
	}
	reduce = pgt_grouping_by_columns(input, input->outdesc->natts, clauses);
	pgt_compile_finish_op(c, &reduce->op, PGT_OP_REDUCE, list_make1(input),
						  CreateTupleDescCopy(input->outdesc), "distinct");
	return &reduce->op;
}
