/*
 * applier/dvm/compile.c - expanded Query -> operator tree.
 *
 * One query level becomes
 *     inputs -> BLOCK                                 select, project, join
 *     inputs -> BLOCK -> REDUCE -> BLOCK              with GROUP BY or aggregates
 *     ... -> REDUCE                                   with DISTINCT
 *     branches -> UNION_ALL -> ...                    set operations
 * see grouping.c and setop.c for the latter.
 * A subquery in FROM is an operator of its own; nothing is pulled up here: in
 * a new state it is a subquery again, which PostgreSQL's planner pulls up.
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
#include "catalog/pg_class.h"
#include "catalog/pg_type.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/optimizer.h"
#include "optimizer/tlist.h"
#include "parser/parse_relation.h"
#include "parser/parsetree.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"

#include "applier/dvm/compiler.h"
#include "applier/dvm/level.h"
#include "applier/dvm/items.h"
#include "applier/dvm/qtree.h"
#include "applier/dvm/recursion.h"
#include "decoder/compat.h"

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

void
pgt_compile_finish_op(PgtCompiler *c, PgtOp *op, PgtOpKind kind, List *inputs,
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
source_columns(PgtCompiler *c, Oid relid)
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

/* Columns of a level's relations among these Vars. */
static void
collect_var_columns(PgtCompiler *c, const Query *query, List *vars)
{
	ListCell   *lc;

	foreach(lc, vars)
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

/* Columns that one expression of a level takes from its relations. */
static void
collect_expr_columns(PgtCompiler *c, const Query *query, Node *expr)
{
	collect_var_columns(c, query, pull_vars_of_level(expr, 0));
}

static void collect_rte_columns(PgtCompiler *c, const Query *query, int rtindex);

static void
collect_columns(PgtCompiler *c, const Query *query)
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
collect_rte_columns(PgtCompiler *c, const Query *query, int rtindex)
{
	RangeTblEntry *rte = rt_fetch(rtindex, query->rtable);

	if (pgt_item_is_pure(rte))
		collect_var_columns(c, query, pgt_item_vars(rte));
	else if (rte->rtekind == RTE_SUBQUERY)
		collect_columns(c, rte->subquery);
	else if (rte->rtekind == RTE_RELATION)
		source_columns(c, rte->relid);
}

/* ---- SCAN ---- */

static PgtOp *
compile_scan(PgtCompiler *c, const RangeTblEntry *rte)
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
	pgt_compile_finish_op(c, &scan->op, PGT_OP_SCAN, NIL, desc,
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

PgtOp *
pgt_compile_rte(PgtCompiler *c, const RangeTblEntry *rte)
{
	if (rte->rtekind == RTE_RELATION &&
		(rte->relkind == RELKIND_FOREIGN_TABLE || rte->relkind == RELKIND_MATVIEW))
		return pgt_snapshot_of_relation(c, rte, source_columns(c, rte->relid)->columns);
	if (rte->rtekind == RTE_RELATION)
		return compile_scan(c, rte);
	if (rte->rtekind == RTE_SUBQUERY)
		return pgt_compile_shared_level(c, rte->subquery);
	if (rte->rtekind == RTE_CTE && rte->self_reference)
		return pgt_recursion_self(c, rte);
	elog(ERROR, "unexpected range table entry of kind %d", (int) rte->rtekind);
	return NULL;
}

/* Var of a query level -> column of the level's inputs and items. */
static Var *
to_input(const Var *of, void *arg)
{
	PgtLevelInputs *in = arg;
	Var		   *var = copyObject(unconstify(Var *, of));
	PgtOp	   *leaf = in->leaf[of->varno];

	if (in->number[of->varno] <= 0 || (leaf != NULL && of->varattno <= 0))
		elog(ERROR, "unexpected column reference");
	if (leaf != NULL && leaf->kind == PGT_OP_SCAN)
		var->varattno = scan_column_number((PgtScanOp *) leaf, of->varattno);
	var->varattno += in->base[of->varno];
	var->varno = in->number[of->varno];
	var->varnosyn = var->varno;
	var->varattnosyn = var->varattno;
	var->location = -1;
	return var;
}

Expr *
pgt_compile_to_inputs(PgtLevelInputs *in, void *expr)
{
	return (Expr *) pgt_map_vars(expr, to_input, in);
}

void
pgt_compile_items(const Query *query, List *rtindexes, PgtLevelInputs *in)
{
	ListCell   *lc;

	foreach(lc, rtindexes)
	{
		int			rtindex = lfirst_int(lc);

		in->items = lappend(in->items, rt_fetch(rtindex, query->rtable));
		in->number[rtindex] = list_length(in->ops) + list_length(in->items);
		in->base[rtindex] = 0;
		in->leaf[rtindex] = NULL;
	}
	foreach(lc, in->items)
	{
		RangeTblEntry *item = pgt_item_map_vars(lfirst(lc), to_input, in);

		pgt_forget_permissions(item);
		lfirst(lc) = item;
	}
}

PgtLevelInputs *
pgt_compile_from(PgtCompiler *c, const Query *query)
{
	PgtLevelInputs *in = palloc0(sizeof(PgtLevelInputs));
	int			n = list_length(query->rtable) + 1;
	List	   *quals = NIL;

	in->number = palloc0(sizeof(int) * n);
	in->base = palloc0(sizeof(int) * n);
	in->leaf = palloc0(sizeof(PgtOp *) * n);
	pgt_from_add(c, query, (Node *) query->jointree, in, &quals);
	in->quals = (List *) pgt_compile_to_inputs(in, quals);
	return in;
}

/* Is the block nothing but a choice of its input's columns? */
static void
note_permutation(PgtBlockOp *block)
{
	int			i = 0;
	ListCell   *lc;
	PgtOp	   *input;

	if (list_length(block->op.inputs) != 1 || block->quals != NULL ||
		block->items != NIL)
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

	if (inputs == NIL)
		return pstrdup("constant");
	if (list_length(inputs) > 1)
		return psprintf("join of %d inputs", list_length(inputs));
	return pstrdup(what);
}

static PgtOp *
make_block(PgtCompiler *c, const PgtLevelInputs *in, List *quals, List *exprs,
		   List *names)
{
	PgtBlockOp *block = palloc0(sizeof(PgtBlockOp));
	int			i = 0;
	ListCell   *lc;

	block->exprs = exprs;
	block->quals = quals == NIL ? NULL : (Node *) make_ands_explicit(quals);
	block->items = in->items;
	block->fenced = palloc0(sizeof(bool) * (list_length(in->ops) + 1));
	foreach(lc, in->fences)
		block->fenced[i++] = lfirst_int(lc) != 0;
	pgt_compile_finish_op(c, &block->op, PGT_OP_BLOCK, in->ops,
						  pgt_exprs_desc(exprs, names),
						  block_label(in->ops, block->quals));
	note_permutation(block);
	return &block->op;
}

PgtOp *
pgt_compile_block(PgtCompiler *c, PgtLevelInputs *in, List *exprs, List *names)
{
	return make_block(c, in, in->quals, exprs, names);
}

PgtOp *
pgt_compile_project(PgtCompiler *c, PgtOp *input, List *quals, List *exprs,
					List *names)
{
	PgtLevelInputs in = {0};

	in.ops = list_make1(input);
	return make_block(c, &in, quals, exprs, names);
}

PgtOp *
pgt_compile_repeat(PgtCompiler *c, PgtOp *input, Expr *copies, List *exprs,
				   List *names)
{
	PgtOp	   *op = pgt_compile_project(c, input, NIL, exprs, names);
	PgtBlockOp *block = (PgtBlockOp *) op;

	block->copies = copies;
	block->permutation = false;
	block->identity = false;
	return op;
}

void
pgt_compile_output(const Query *query, List **exprs, List **names)
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

/* In a recursive term: the level of the rows, the last column of an input. */
static Var *
level_column(const PgtLevelInputs *in)
{
	ListCell   *lc;

	foreach(lc, in->ops)
	{
		const PgtOp *op = lfirst(lc);
		int			col = op->outdesc->natts;

		if (op->leveled)
			return pgt_qtree_var(foreach_current_index(lc) + 1, op->outdesc,
								 col, col);
	}
	return NULL;
}

static PgtOp *
compile_select(PgtCompiler *c, const Query *query)
{
	PgtLevelInputs *in = pgt_compile_from(c, query);
	Var		   *level;
	PgtOp	   *op;
	List	   *exprs;
	List	   *names;

	pgt_compile_output(query, &exprs, &names);
	exprs = (List *) pgt_compile_to_inputs(in, exprs);
	level = level_column(in);
	if (level != NULL)
	{
		exprs = lappend(exprs, level);
		names = lappend(names, PGT_LEVEL_NAME);
	}
	op = pgt_compile_block(c, in, exprs, names);
	op->leveled = level != NULL;
	return op;
}

/* A level without a relation: whatever it does, it runs as it is. */
static PgtOp *
compile_constant(PgtCompiler *c, Query *query)
{
	PgtLevelInputs in = {0};
	RangeTblEntry *item = makeNode(RangeTblEntry);
	List	   *exprs;
	List	   *names;
	List	   *columns = NIL;
	ListCell   *lc;

	pgt_compile_output(query, &exprs, &names);
	foreach(lc, exprs)
		columns = lappend(columns,
						  makeVar(1, foreach_current_index(lc) + 1,
								  exprType(lfirst(lc)), exprTypmod(lfirst(lc)),
								  exprCollation(lfirst(lc)), 0));
	item->rtekind = RTE_SUBQUERY;
	item->subquery = query;
	item->inFromCl = true;
	item->alias = makeAlias("constant", NIL);
	item->eref = makeAlias("constant", NIL);
	foreach(lc, names)
		item->eref->colnames = lappend(item->eref->colnames,
									   makeString(pstrdup(lfirst(lc))));
	in.items = list_make1(item);
	return make_block(c, &in, NIL, columns, names);
}

/* ---- levels ---- */

PgtOp *
pgt_compile_level(PgtCompiler *c, Query *query)
{
	PgtOp	   *op;

	if (pgt_recursion_of(query) != NULL)
		return pgt_recursion_compile(c, query);
	if (pgt_query_is_pure(query))
		return compile_constant(c, query);
	if (query->setOperations != NULL)
		return pgt_setop_compile(c, query, castNode(SetOperationStmt,
												query->setOperations));
	if (pgt_level_is_ordered(query))
		return pgt_topk_serves(query) ? pgt_topk_compile(c, query) :
			pgt_partition_compile(c, query);
	if (query->hasAggs || query->groupClause != NIL ||
		query->groupingSets != NIL || query->havingQual != NULL)
		op = pgt_grouping_compile(c, query);
	else
		op = compile_select(c, query);
	if (query->distinctClause != NIL)
		op = pgt_grouping_distinct(c, query, op);
	return op;
}

PgtOp *
pgt_compile_shared_level(PgtCompiler *c, Query *query)
{
	PgtLevel   *level;
	ListCell   *lc;

	foreach(lc, c->levels)
	{
		level = lfirst(lc);
		if (equal(level->query, query))
			return level->op;
	}
	level = palloc0(sizeof(PgtLevel));
	level->query = query;
	level->op = pgt_compile_level(c, query);
	c->levels = lappend(c->levels, level);
	return level->op;
}

/* Mark the operators whose state table a join above reads. */
static void
mark_readable(PgtOp *op, bool joined)
{
	ListCell   *lc;

	if (op->methods != NULL)
	{
		op->readable |= joined;
		joined = false;
	}
	else if ((op->kind == PGT_OP_BLOCK && list_length(op->inputs) > 1) ||
			 op->kind == PGT_OP_OUTER)
		joined = true;
	foreach(lc, op->inputs)
		mark_readable(lfirst(lc), joined);
}

PgtOp *
pgt_compile_query(const Query *expanded, List **ops, List **sources)
{
	PgtCompiler	c = {.expanded = expanded};
	Query	   *query = pgt_compile_normalise(expanded);
	PgtOp	   *top;

	collect_columns(&c, query);
	top = pgt_compile_level(&c, query);
	mark_readable(top, false);
	*ops = c.ops;
	*sources = c.sources;
	return top;
}
