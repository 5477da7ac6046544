/*
 * applier/dvm/whole_row.c - rows of relations and subqueries as values.
 *
 * "t" in SELECT row_to_json(t) FROM t becomes ROW(t.a, t.b, ...), of t's type,
 * so that below the parser's form there are only columns.  Not where an outer
 * join may make the row absent: then "t" is NULL, and a row of NULLs is not.
 * Rows of functions stay as they are: they are computed where they are used.
 *
 * Works on copies; relations are opened to see their columns.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/optimizer.h"
#include "parser/parsetree.h"

#include "applier/dvm/compile.h"
#include "applier/dvm/items.h"
#include "decoder/compat.h"

/* Is it below a side of an outer join that may have no row? */
static bool
is_optional(Node *node, int rtindex, bool optional)
{
	ListCell   *lc;

	if (IsA(node, RangeTblRef))
		return optional && ((RangeTblRef *) node)->rtindex == rtindex;
	if (IsA(node, JoinExpr))
	{
		JoinExpr   *join = (JoinExpr *) node;

		return is_optional(join->larg, rtindex, optional ||
						   join->jointype == JOIN_RIGHT || join->jointype == JOIN_FULL) ||
			is_optional(join->rarg, rtindex, optional ||
						join->jointype == JOIN_LEFT || join->jointype == JOIN_FULL);
	}
	foreach(lc, castNode(FromExpr, node)->fromlist)
		if (is_optional(lfirst(lc), rtindex, optional))
			return true;
	return false;
}

/* The row of what, if it can be taken apart; else NULL. */
static RangeTblEntry *
row_source(const Var *var, List *levels)
{
	const Query *query;
	RangeTblEntry *rte;

	if (var->varattno != InvalidAttrNumber)
		return NULL;
	query = list_nth(levels, var->varlevelsup);
	rte = rt_fetch(var->varno, query->rtable);
	if ((rte->rtekind != RTE_RELATION && rte->rtekind != RTE_SUBQUERY &&
		 rte->rtekind != RTE_CTE) ||
		is_optional((Node *) query->jointree, var->varno, false))
		return NULL;
	return rte;
}

static Node *
row_of(RangeTblEntry *rte, const Var *var, bool named)
{
	RowExpr    *row = makeNode(RowExpr);
	List	   *names;

	pgt_expand_whole_row(rte, var, named, &names, &row->args);
	row->row_typeid = named ? var->vartype : RECORDOID;
	row->row_format = named ? COERCE_EXPLICIT_CAST : COERCE_EXPLICIT_CALL;
	row->colnames = named ? NIL : names;
	row->location = -1;
	return (Node *) row;
}

/* t IS NULL looks at the columns there are, not at those dropped. */
static Node *
test_row(const NullTest *test, List *levels)
{
	NullTest   *copy = copyObject(unconstify(NullTest *, test));
	RangeTblEntry *rte = row_source((Var *) test->arg, levels);

	if (rte != NULL)
		copy->arg = (Expr *) row_of(rte, (Var *) test->arg, false);
	return (Node *) copy;
}

static Node *
expand_mutator(Node *node, List *levels)
{
	if (node == NULL)
		return NULL;
	if (IsA(node, Var))
	{
		RangeTblEntry *rte = row_source((Var *) node, levels);

		return rte != NULL ?
			row_of(rte, (Var *) node, ((Var *) node)->vartype != RECORDOID) :
			(Node *) copyObject(node);
	}
	if (IsA(node, NullTest) && ((NullTest *) node)->argisrow &&
		IsA(((NullTest *) node)->arg, Var))
		return test_row((NullTest *) node, levels);
	if (IsA(node, Query))
		return (Node *) query_tree_mutator((Query *) node, expand_mutator,
										   lcons(node, list_copy(levels)), 0);
	return expression_tree_mutator(node, expand_mutator, levels);
}

Query *
pgt_expand_whole_rows(Query *query)
{
	return (Query *) expand_mutator((Node *) query, NIL);
}

static bool
left_over_walker(Node *node, List *levels)
{
	if (node == NULL)
		return false;
	if (IsA(node, Var))
	{
		const Var  *var = (Var *) node;
		const Query *query = list_nth(levels, var->varlevelsup);

		return var->varattno == InvalidAttrNumber &&
			!pgt_item_is_pure(rt_fetch(var->varno, query->rtable));
	}
	if (IsA(node, Query))
		return query_tree_walker((Query *) node, left_over_walker,
								 lcons(node, list_copy(levels)), 0);
	return expression_tree_walker(node, left_over_walker, levels);
}

bool
pgt_has_whole_rows(const Query *query)
{
	return left_over_walker((Node *) query, NIL);
}
