/*
 * applier/dvm/compile.c - expanded Query -> operator tree.
 *
 * One query level becomes
 *     inputs -> BLOCK                                 select, project, join
 *     inputs -> BLOCK -> REDUCE -> BLOCK              with GROUP BY or aggregates
 *     ... -> REDUCE                                   with DISTINCT
 * where the first BLOCK of a grouped level computes keys and aggregate
 * arguments (left out where these are plain columns) and the last one HAVING
 * and the output (left out where that is the REDUCE's row as it is).
 * A subquery in FROM is an operator of its own; nothing is pulled up here: in
 * a new state it is a subquery again, which PostgreSQL's planner pulls up.
 * UNION ALL of any nesting is one UNION_ALL over its branches, as long as the
 * nested ones have the types of the whole.
 *
 * All scans of one relation carry the same columns, those that any of them
 * uses, so one delta per relation serves every occurrence.
 *
 * The order of everything follows the query, so compiling it again gives the
 * same operator numbers, by which state tables are named.
 *
 * What reaches this file has passed pgt_query_check: elog(ERROR) on the rest.
 */
#include "postgres.h"

#include "access/table.h"
#include "catalog/pg_aggregate.h"
#include "catalog/pg_class.h"
#include "catalog/pg_type.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/optimizer.h"
#include "optimizer/tlist.h"
#include "parser/parse_coerce.h"
#include "parser/parse_oper.h"
#include "parser/parse_relation.h"
#include "parser/parsetree.h"
#include "rewrite/rewriteManip.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"

#include "applier/dvm/compile.h"
#include "decoder/compat.h"

/* State of one compilation. */
typedef struct Compiler
{
	List	   *sources;		/* of PgtSourceColumns* */
	List	   *ops;			/* of PgtOp*, post-order */
} Compiler;

/* One level's FROM while its block is made. */
typedef struct LevelInputs
{
	List	   *ops;			/* of PgtOp* */
	List	   *fences;			/* of int: security barrier? */
	int		   *number;			/* range table index -> input number, from 1 */
	List	   *quals;			/* of Node*, in terms of the inputs */
} LevelInputs;

static PgtOp *compile_level(Compiler *c, Query *query);
static PgtOp *compile_branch(Compiler *c, const Query *query, Node *branch);

/* ---- descriptors ---- */

TupleDesc
pgt_exprs_desc(List *exprs, List *names)
{
	TupleDesc	desc = CreateTemplateTupleDesc(list_length(exprs));
	int			i = 0;
	ListCell   *lc;

	foreach(lc, exprs)
	{
		Node	   *expr = lfirst(lc);
		char	   *name = names != NIL ? list_nth(names, i) : NULL;

		i++;
		TupleDescInitEntry(desc, i, name ? name : psprintf("c%d", i),
						   exprType(expr), exprTypmod(expr), 0);
		TupleDescInitEntryCollation(desc, i, exprCollation(expr));
	}
	pgt_tupdesc_finish(desc);
	return desc;
}

TupleDesc
pgt_delta_desc(TupleDesc desc)
{
	TupleDesc	delta = CreateTemplateTupleDesc(desc->natts + 1);

	for (int i = 1; i <= desc->natts; i++)
	{
		Form_pg_attribute att = TupleDescAttr(desc, i - 1);

		TupleDescInitEntry(delta, i, NameStr(att->attname), att->atttypid,
						   att->atttypmod, att->attndims);
		TupleDescInitEntryCollation(delta, i, att->attcollation);
	}
	TupleDescInitEntry(delta, desc->natts + 1, PGT_WEIGHT_NAME, INT8OID, -1, 0);
	pgt_tupdesc_finish(delta);
	return delta;
}

static void
finish_op(Compiler *c, PgtOp *op, PgtOpKind kind, List *inputs,
		  TupleDesc desc, char *label)
{
	op->kind = kind;
	op->inputs = inputs;
	op->outdesc = desc;
	op->deltadesc = pgt_delta_desc(desc);
	op->label = label;
	c->ops = lappend(c->ops, op);
	op->id = list_length(c->ops);
}

/* ---- which columns of which relation ---- */

static PgtSourceColumns *
source_columns(Compiler *c, Oid relid)
{
	PgtSourceColumns *source;
	ListCell   *lc;

	foreach(lc, c->sources)
	{
		source = lfirst(lc);
		if (source->relid == relid)
			return source;
	}
	source = palloc0(sizeof(PgtSourceColumns));
	source->relid = relid;
	c->sources = lappend(c->sources, source);
	return source;
}

static bool
is_output_or_group(const TargetEntry *tle, const Query *query)
{
	return !tle->resjunk ||
		(tle->ressortgroupref != 0 &&
		 get_sortgroupref_clause_noerr(tle->ressortgroupref,
									   query->groupClause) != NULL);
}

/* Columns that one expression of a level takes from its relations. */
static void
collect_expr_columns(Compiler *c, const Query *query, Node *expr)
{
	ListCell   *lc;

	foreach(lc, pull_vars_of_level(expr, 0))
	{
		Var		   *var = lfirst(lc);
		RangeTblEntry *rte = rt_fetch(var->varno, query->rtable);

		if (rte->rtekind == RTE_RELATION)
		{
			PgtSourceColumns *source = source_columns(c, rte->relid);

			source->columns = bms_add_member(source->columns, var->varattno);
		}
	}
}

static void collect_rte_columns(Compiler *c, const Query *query, int rtindex);

static void
collect_columns(Compiler *c, const Query *query)
{
	List	   *rtindexes;
	List	   *quals;
	ListCell   *lc;

	pgt_compile_flatten_from(query, &rtindexes, &quals);
	foreach(lc, rtindexes)
		collect_rte_columns(c, query, lfirst_int(lc));
	if (query->setOperations != NULL)
	{
		/* branches are range table entries that FROM does not name */
		for (int i = 1; i <= list_length(query->rtable); i++)
			collect_rte_columns(c, query, i);
		return;
	}
	collect_expr_columns(c, query, (Node *) quals);
	collect_expr_columns(c, query, query->havingQual);
	foreach(lc, query->targetList)
	{
		TargetEntry *tle = lfirst_node(TargetEntry, lc);

		if (is_output_or_group(tle, query))
			collect_expr_columns(c, query, (Node *) tle->expr);
	}
}

static void
collect_rte_columns(Compiler *c, const Query *query, int rtindex)
{
	RangeTblEntry *rte = rt_fetch(rtindex, query->rtable);

	if (rte->rtekind == RTE_SUBQUERY)
		collect_columns(c, rte->subquery);
	else if (rte->rtekind == RTE_RELATION)
		source_columns(c, rte->relid);
}

/* ---- SCAN ---- */

static PgtOp *
compile_scan(Compiler *c, const RangeTblEntry *rte)
{
	PgtScanOp  *scan = palloc0(sizeof(PgtScanOp));
	Bitmapset  *used = source_columns(c, rte->relid)->columns;
	Relation	rel = table_open(rte->relid, AccessShareLock);
	TupleDesc	desc;
	int			attno = -1;
	int			i = 0;

	scan->relid = rte->relid;
	scan->inh = rte->inh;
	scan->ncolumns = bms_num_members(used);
	scan->columns = palloc(sizeof(AttrNumber) * Max(scan->ncolumns, 1));
	desc = CreateTemplateTupleDesc(scan->ncolumns);
	while ((attno = bms_next_member(used, attno)) >= 0)
	{
		Form_pg_attribute att = TupleDescAttr(RelationGetDescr(rel), attno - 1);

		scan->columns[i++] = attno;
		TupleDescInitEntry(desc, i, NameStr(att->attname), att->atttypid,
						   att->atttypmod, att->attndims);
		TupleDescInitEntryCollation(desc, i, att->attcollation);
	}
	pgt_tupdesc_finish(desc);
	finish_op(c, &scan->op, PGT_OP_SCAN, NIL, desc,
			  psprintf("scan of %s",
					   quote_qualified_identifier(get_namespace_name(RelationGetNamespace(rel)),
												  RelationGetRelationName(rel))));
	table_close(rel, NoLock);
	return &scan->op;
}

static int
scan_column_number(const PgtScanOp *scan, AttrNumber attno)
{
	for (int i = 0; i < scan->ncolumns; i++)
		if (scan->columns[i] == attno)
			return i + 1;
	elog(ERROR, "column %d of relation %u was not collected", attno, scan->relid);
	return 0;
}

/* ---- BLOCK ---- */

static PgtOp *
compile_rte(Compiler *c, const RangeTblEntry *rte)
{
	if (rte->rtekind == RTE_RELATION)
		return compile_scan(c, rte);
	if (rte->rtekind == RTE_SUBQUERY)
		return compile_level(c, rte->subquery);
	elog(ERROR, "unexpected range table entry of kind %d", (int) rte->rtekind);
	return NULL;
}

/* Vars of a query level -> columns of the level's inputs. */
static Node *
to_inputs_mutator(Node *node, LevelInputs *in)
{
	if (node == NULL)
		return NULL;
	if (IsA(node, Var))
	{
		Var		   *var = (Var *) copyObject(node);
		PgtOp	   *op;

		if (var->varlevelsup != 0 || var->varattno <= 0)
			elog(ERROR, "unexpected column reference");
		var->varno = in->number[var->varno];
		op = list_nth(in->ops, var->varno - 1);
		if (op->kind == PGT_OP_SCAN)
			var->varattno = scan_column_number((PgtScanOp *) op, var->varattno);
		var->varnosyn = var->varno;
		var->varattnosyn = var->varattno;
		var->location = -1;
		return (Node *) var;
	}
	return expression_tree_mutator(node, to_inputs_mutator, in);
}

static Expr *
to_inputs(LevelInputs *in, void *expr)
{
	return (Expr *) to_inputs_mutator((Node *) expr, in);
}

static LevelInputs *
compile_from(Compiler *c, const Query *query)
{
	LevelInputs *in = palloc0(sizeof(LevelInputs));
	List	   *rtindexes;
	List	   *quals;
	ListCell   *lc;

	in->number = palloc0(sizeof(int) * (list_length(query->rtable) + 1));
	pgt_compile_flatten_from(query, &rtindexes, &quals);
	foreach(lc, rtindexes)
	{
		RangeTblEntry *rte = rt_fetch(lfirst_int(lc), query->rtable);

		in->ops = lappend(in->ops, compile_rte(c, rte));
		in->fences = lappend_int(in->fences, rte->rtekind == RTE_SUBQUERY &&
								 rte->security_barrier);
		in->number[lfirst_int(lc)] = list_length(in->ops);
	}
	in->quals = (List *) to_inputs(in, quals);
	return in;
}

/* Is the block nothing but a choice of its input's columns? */
static void
note_permutation(PgtBlockOp *block)
{
	int			i = 0;
	ListCell   *lc;
	PgtOp	   *input;

	if (list_length(block->op.inputs) != 1 || block->quals != NULL)
		return;
	block->source_cols = palloc(sizeof(int) * Max(list_length(block->exprs), 1));
	input = linitial(block->op.inputs);
	block->identity = list_length(block->exprs) == input->outdesc->natts;
	foreach(lc, block->exprs)
	{
		if (!IsA(lfirst(lc), Var))
			return;
		block->source_cols[i] = ((Var *) lfirst(lc))->varattno;
		if (block->source_cols[i] != i + 1)
			block->identity = false;
		i++;
	}
	block->permutation = true;
}

static char *
block_label(List *inputs, Node *quals)
{
	const char *what = quals != NULL ? "filter and project" : "project";

	if (list_length(inputs) > 1)
		return psprintf("join of %d inputs", list_length(inputs));
	return pstrdup(what);
}

static PgtBlockOp *
make_block(Compiler *c, List *inputs, List *fences, List *quals, List *exprs,
		   List *names)
{
	PgtBlockOp *block = palloc0(sizeof(PgtBlockOp));
	int			i = 0;
	ListCell   *lc;

	block->exprs = exprs;
	block->quals = quals == NIL ? NULL : (Node *) make_ands_explicit(quals);
	block->fenced = palloc0(sizeof(bool) * (list_length(inputs) + 1));
	foreach(lc, fences)
		block->fenced[i++] = lfirst_int(lc) != 0;
	finish_op(c, &block->op, PGT_OP_BLOCK, inputs,
			  pgt_exprs_desc(exprs, names), block_label(inputs, block->quals));
	note_permutation(block);
	return block;
}

/* A block over all inputs of a level. */
static PgtOp *
block_over(Compiler *c, LevelInputs *in, List *exprs, List *names)
{
	return &make_block(c, in->ops, in->fences, in->quals, exprs, names)->op;
}

/* A block of expressions over one operator. */
static PgtOp *
project_over(Compiler *c, PgtOp *input, List *quals, List *exprs, List *names)
{
	return &make_block(c, list_make1(input), list_make1_int(false), quals,
					   exprs, names)->op;
}

static void
output_columns(const Query *query, List **exprs, List **names)
{
	ListCell   *lc;

	*exprs = NIL;
	*names = NIL;
	foreach(lc, query->targetList)
	{
		TargetEntry *tle = lfirst_node(TargetEntry, lc);

		if (tle->resjunk)
			continue;
		*exprs = lappend(*exprs, tle->expr);
		*names = lappend(*names, tle->resname ? tle->resname : "?column?");
	}
}

static PgtOp *
compile_select(Compiler *c, const Query *query)
{
	LevelInputs *in = compile_from(c, query);
	List	   *exprs;
	List	   *names;

	output_columns(query, &exprs, &names);
	return block_over(c, in, (List *) to_inputs(in, exprs), names);
}

/* ---- REDUCE ---- */

/* A grouped level being taken apart. */
typedef struct GroupLevel
{
	List	   *keys;			/* of Node*, in the level's terms */
	List	   *key_clauses;	/* of SortGroupClause* */
	List	   *aggrefs;		/* of Aggref*, in the level's terms */
	List	   *columns;		/* of Node*: of the block below, level's terms */
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
	if (node == NULL || list_position(g->keys, node) > 0)
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

/* An aggregate-free, key-free grouped level still has its one group. */
static Aggref *
make_count_star(void)
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
	if (g->keys == NIL && g->aggrefs == NIL)
		g->aggrefs = list_make1(make_count_star());
	foreach(lc, g->keys)
		level_column(g, lfirst(lc));
	return g;
}

/* Key expressions in an ordered-set aggregate's direct arguments. */
static Node *
to_key_columns_mutator(Node *node, GroupLevel *g)
{
	int			key;

	if (node == NULL)
		return NULL;
	key = list_position(g->keys, node);
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
reduce_input(Compiler *c, LevelInputs *in, GroupLevel *g, PgtReduceOp *reduce)
{
	PgtOp	   *op = block_over(c, in, (List *) to_inputs(in, g->columns), NIL);
	PgtBlockOp *block = (PgtBlockOp *) op;

	if (!block->permutation || block->fenced[0])
		return op;
	read_through(reduce, block->source_cols);
	c->ops = list_delete_last(c->ops);
	return linitial(op->inputs);
}

static TupleDesc
reduce_desc(List *keys, List *aggrefs)
{
	return pgt_exprs_desc(list_concat(list_copy(keys), aggrefs), NIL);
}

static PgtReduceOp *
compile_reduce(Compiler *c, LevelInputs *in, GroupLevel *g)
{
	PgtReduceOp *reduce = palloc0(sizeof(PgtReduceOp));
	int			i = 0;
	ListCell   *lc;
	PgtOp	   *input;

	reduce->nkeys = list_length(g->keys);
	reduce->keys = palloc0(sizeof(PgtKeySpec) * (reduce->nkeys + 1));
	foreach(lc, g->keys)
	{
		make_key_spec(list_nth(g->key_clauses, i), lfirst(lc),
					  level_column(g, lfirst(lc)), &reduce->keys[i]);
		i++;
	}
	i = 0;
	reduce->naggs = list_length(g->aggrefs);
	reduce->aggs = palloc0(sizeof(PgtAggSpec) * (reduce->naggs + 1));
	foreach(lc, g->aggrefs)
		make_agg_spec(g, lfirst_node(Aggref, lc), &reduce->aggs[i++]);

	input = reduce_input(c, in, g, reduce);
	finish_op(c, &reduce->op, PGT_OP_REDUCE, list_make1(input),
			  reduce_desc(g->keys, g->aggrefs),
			  reduce->naggs > 0 ? "aggregate" : "group");
	return reduce;
}

Node *
pgt_replace_case_test(Node *node, Node *operand)
{
	if (node == NULL)
		return NULL;
	if (IsA(node, CaseTestExpr))
		return copyObject(operand);
	return expression_tree_mutator(node, pgt_replace_case_test, operand);
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
		return (Node *) column_var(1, number, node);
	if (IsA(node, Aggref))
	{
		number = list_position(g->aggrefs, node);
		Assert(number > 0);
		return (Node *) column_var(1, list_length(g->keys) + number, node);
	}
	Assert(!IsA(node, Var));
	return expression_tree_mutator(node, to_reduce_mutator, g);
}

static PgtOp *
compile_grouped(Compiler *c, const Query *query)
{
	LevelInputs *in = compile_from(c, query);
	GroupLevel *g = take_group_apart(query);
	PgtReduceOp *reduce = compile_reduce(c, in, g);
	List	   *having = make_ands_implicit((Expr *) query->havingQual);
	List	   *exprs;
	List	   *names;
	PgtOp	   *op;

	output_columns(query, &exprs, &names);
	op = project_over(c, &reduce->op,
					  (List *) to_reduce_mutator((Node *) having, g),
					  (List *) to_reduce_mutator((Node *) exprs, g), names);
	return op;
}

/* DISTINCT: every output column is a key. */
static PgtOp *
compile_distinct(Compiler *c, const Query *query, PgtOp *input)
{
	PgtReduceOp *reduce = palloc0(sizeof(PgtReduceOp));
	int			i = 0;
	ListCell   *lc;

	reduce->nkeys = input->outdesc->natts;
	reduce->keys = palloc0(sizeof(PgtKeySpec) * (reduce->nkeys + 1));
	foreach(lc, query->targetList)
	{
		TargetEntry *tle = lfirst_node(TargetEntry, lc);
		SortGroupClause *clause;

		if (tle->resjunk)
			continue;
		clause = get_sortgroupref_clause(tle->ressortgroupref,
										 query->distinctClause);
		make_key_spec(clause, (Node *) tle->expr, i + 1, &reduce->keys[i]);
		i++;
	}
	finish_op(c, &reduce->op, PGT_OP_REDUCE, list_make1(input),
			  CreateTupleDescCopy(input->outdesc), "distinct");
	return &reduce->op;
}

/* ---- UNION ALL ---- */

/*
 * Subqueries and nested set operations.  One whose columns have the types of
 * the whole is taken apart; others convert values on the way, as in
 * (numeric UNION ALL real) UNION ALL double precision.
 */
static void
collect_branches(const Query *query, Node *node, const SetOperationStmt *whole,
				 List **branches)
{
	SetOperationStmt *setop = (SetOperationStmt *) node;

	if (IsA(node, RangeTblRef) || !equal(setop->colTypes, whole->colTypes))
	{
		*branches = lappend(*branches, node);
		return;
	}
	collect_branches(query, setop->larg, whole, branches);
	collect_branches(query, setop->rarg, whole, branches);
}

/* A branch whose column types are not yet those of the result. */
static PgtOp *
coerce_branch(Compiler *c, PgtOp *op, const SetOperationStmt *setop)
{
	List	   *exprs = NIL;
	bool		same = true;

	for (int i = 0; i < op->outdesc->natts; i++)
	{
		Form_pg_attribute att = TupleDescAttr(op->outdesc, i);
		Oid			type = list_nth_oid(setop->colTypes, i);
		Var		   *var = makeVar(1, i + 1, att->atttypid, att->atttypmod,
								  att->attcollation, 0);

		same = same && att->atttypid == type;
		exprs = lappend(exprs, coerce_to_common_type(NULL, (Node *) var, type,
													 "UNION"));
	}
	return same ? op : project_over(c, op, NIL, exprs, NIL);
}

/* Type, typmod and collation of the columns; their names from the query. */
static TupleDesc
union_desc(const Query *query, const SetOperationStmt *setop)
{
	List	   *exprs;
	List	   *names;
	TupleDesc	desc;

	output_columns(query, &exprs, &names);
	desc = CreateTemplateTupleDesc(list_length(names));
	for (int i = 0; i < list_length(names); i++)
	{
		TupleDescInitEntry(desc, i + 1, list_nth(names, i),
						   list_nth_oid(setop->colTypes, i),
						   list_nth_int(setop->colTypmods, i), 0);
		TupleDescInitEntryCollation(desc, i + 1,
									list_nth_oid(setop->colCollations, i));
	}
	pgt_tupdesc_finish(desc);
	return desc;
}

static PgtOp *
compile_union(Compiler *c, const Query *query, SetOperationStmt *setop)
{
	PgtUnionOp *un = palloc0(sizeof(PgtUnionOp));
	List	   *branches = NIL;
	List	   *inputs = NIL;
	ListCell   *lc;

	collect_branches(query, (Node *) setop, setop, &branches);
	foreach(lc, branches)
		inputs = lappend(inputs,
						 coerce_branch(c, compile_branch(c, query, lfirst(lc)),
									   setop));
	finish_op(c, &un->op, PGT_OP_UNION_ALL, inputs, union_desc(query, setop),
			  psprintf("union all of %d", list_length(inputs)));
	return &un->op;
}

static PgtOp *
compile_branch(Compiler *c, const Query *query, Node *branch)
{
	if (IsA(branch, SetOperationStmt))
		return compile_union(c, query, (SetOperationStmt *) branch);
	return compile_level(c, rt_fetch(castNode(RangeTblRef, branch)->rtindex,
									 query->rtable)->subquery);
}

/* ---- levels ---- */

static PgtOp *
compile_level(Compiler *c, Query *query)
{
	PgtOp	   *op;

	if (query->setOperations != NULL)
		return compile_union(c, query, castNode(SetOperationStmt,
												query->setOperations));
	if (query->hasAggs || query->groupClause != NIL || query->havingQual != NULL)
		op = compile_grouped(c, query);
	else
		op = compile_select(c, query);
	if (query->distinctClause != NIL)
		op = compile_distinct(c, query, op);
	return op;
}

/* Mark the REDUCEs whose state table a join above reads. */
static void
mark_readable(PgtOp *op, bool joined)
{
	ListCell   *lc;

	if (op->kind == PGT_OP_REDUCE)
	{
		((PgtReduceOp *) op)->readable = joined;
		joined = false;
	}
	else if (op->kind == PGT_OP_BLOCK && list_length(op->inputs) > 1)
		joined = true;
	foreach(lc, op->inputs)
		mark_readable(lfirst(lc), joined);
}

PgtOp *
pgt_compile_query(const Query *expanded, List **ops, List **sources)
{
	Compiler	c = {0};
	Query	   *query = pgt_compile_normalise(expanded);
	PgtOp	   *top;

	collect_columns(&c, query);
	top = compile_level(&c, query);
	mark_readable(top, false);
	*ops = c.ops;
	*sources = c.sources;
	return top;
}
