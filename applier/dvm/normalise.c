/*
 * applier/dvm/normalise.c - queries in the compiler's form.
 *
 * References to CTEs become subqueries, each with its own copy of the CTE's
 * query; what PostgreSQL 18 groups by and what joins call their columns
 * becomes the expressions that these names stand for.  After that every Var of
 * a level names a column of a relation or of a subquery in its FROM.  Levels
 * with window functions, DISTINCT ON or a limit become several (level.c).
 *
 * Works on copies; nothing is looked up or locked.
 */
#include "postgres.h"

#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/optimizer.h"
#include "rewrite/rewriteManip.h"

#include "applier/dvm/compile.h"
#include "applier/dvm/items.h"
#include "applier/dvm/level.h"
#include "applier/dvm/recursion.h"
#include "applier/dvm/unnest.h"
#include "decoder/compat.h"

static CommonTableExpr *
find_cte(List *levels, const RangeTblEntry *rte)
{
	Query	   *owner = list_nth(levels, rte->ctelevelsup);
	ListCell   *lc;

	foreach(lc, owner->cteList)
	{
		CommonTableExpr *cte = lfirst_node(CommonTableExpr, lc);

		if (strcmp(cte->ctename, rte->ctename) == 0)
			return cte;
	}
	elog(ERROR, "could not find CTE \"%s\"", rte->ctename);
	return NULL;
}

/* A reference to a CTE becomes a subquery: its own copy, moved to its level. */
static CommonTableExpr *
inline_cte(RangeTblEntry *rte, List *levels)
{
	CommonTableExpr *cte = find_cte(levels, rte);
	Query	   *query = (Query *) copyObject(cte->ctequery);

	if (cte->cterecursive)
		pgt_recursion_mark(query);
	if (rte->ctelevelsup > 0)
		IncrementVarSublevelsUp((Node *) query, rte->ctelevelsup, 1);
	rte->rtekind = RTE_SUBQUERY;
	rte->subquery = query;
	rte->self_reference = false;
	rte->security_barrier = false;
	rte->ctename = NULL;
	rte->ctelevelsup = 0;
	rte->coltypes = NIL;
	rte->coltypmods = NIL;
	rte->colcollations = NIL;
	return cte;
}

/* What an item of FROM takes from those before it (LATERAL). */
static void
flatten_item(Query *query, RangeTblEntry *rte)
{
	rte->functions = (List *)
		pgt_flatten_join_aliases(query, (Node *) rte->functions);
	rte->values_lists = (List *)
		pgt_flatten_join_aliases(query, (Node *) rte->values_lists);
	rte->tablefunc = (TableFunc *)
		pgt_flatten_join_aliases(query, (Node *) rte->tablefunc);
	if (rte->rtekind == RTE_SUBQUERY && rte->lateral)
		rte->subquery = (Query *)
			pgt_flatten_join_aliases(query, (Node *) rte->subquery);
}

static void normalise_level(Query *query, List *outer);

/* Subqueries in expressions: each one level below. */
static bool
normalise_links_walker(Node *node, List *levels)
{
	if (node == NULL)
		return false;
	if (IsA(node, SubLink))
		normalise_level((Query *) ((SubLink *) node)->subselect, levels);
	return expression_tree_walker(node, normalise_links_walker, levels);
}

static void
normalise_links(Query *query, List *levels)
{
	ListCell   *lc;

	normalise_links_walker((Node *) query->targetList, levels);
	normalise_links_walker((Node *) query->jointree, levels);
	normalise_links_walker(query->havingQual, levels);
	foreach(lc, query->rtable)
	{
		RangeTblEntry *rte = lfirst_node(RangeTblEntry, lc);

		normalise_links_walker((Node *) rte->functions, levels);
		normalise_links_walker((Node *) rte->values_lists, levels);
		normalise_links_walker((Node *) rte->tablefunc, levels);
	}
}

static void
normalise_level(Query *query, List *outer)
{
	List	   *levels = lcons(query, list_copy(outer));	/* lcons changes its list */
	ListCell   *lc;

	foreach(lc, query->rtable)
	{
		RangeTblEntry *rte = lfirst_node(RangeTblEntry, lc);
		CommonTableExpr *cte = NULL;

		if (rte->rtekind == RTE_CTE && !rte->self_reference)
			cte = inline_cte(rte, levels);
		if (rte->rtekind == RTE_SUBQUERY)
			normalise_level(rte->subquery, levels);
		if (cte != NULL && cte->cterecursive)
			pgt_recursion_finish(rte->subquery, cte);
	}
	normalise_links(query, levels);
	query->cteList = NIL;

	foreach(lc, query->rtable)
		flatten_item(query, lfirst_node(RangeTblEntry, lc));
	pgt_flatten_grouping(query);
	query->targetList = (List *)
		pgt_flatten_join_aliases(query, (Node *) query->targetList);
	query->havingQual = pgt_flatten_join_aliases(query, query->havingQual);
	query->jointree = (FromExpr *)
		pgt_flatten_join_aliases(query, (Node *) query->jointree);
	pgt_item_left_joins(query);
	pgt_distinct_agg_split(query);
	pgt_level_split(query);
}

/* Which outer joins may null a column is said anew where queries are made. */
static bool
clear_nulling_walker(Node *node, void *context)
{
	if (node == NULL)
		return false;
	if (IsA(node, Var))
	{
		pgt_clear_nulling((Var *) node);
		return false;
	}
	if (IsA(node, Query))
		return query_tree_walker((Query *) node, clear_nulling_walker, context, 0);
	return expression_tree_walker(node, clear_nulling_walker, context);
}

Query *
pgt_compile_try_normalise(const Query *expanded, const char **construct,
						  const char **detail)
{
	/* what a mutator returns shares parts with what it was given */
	Query	   *query = copyObject(pgt_expand_whole_rows(unconstify(Query *, expanded)));
	PgtUnnest	unnest = {0};

	pgt_recursion_number(query);
	clear_nulling_walker((Node *) query, NULL);
	normalise_level(query, NIL);
	pgt_unnest_query(&unnest, query);
	*construct = unnest.construct;
	*detail = unnest.detail;
	return unnest.construct == NULL ? query : NULL;
}

Query *
pgt_compile_normalise(const Query *expanded)
{
	const char *construct;
	const char *detail;
	Query	   *query = pgt_compile_try_normalise(expanded, &construct, &detail);

	if (query == NULL)
		elog(ERROR, "%s cannot be compiled", construct);
	return query;
}

static void
flatten_from_node(Node *node, List **rtindexes, List **quals)
{
	if (IsA(node, RangeTblRef))
		*rtindexes = lappend_int(*rtindexes, ((RangeTblRef *) node)->rtindex);
	else if (IsA(node, JoinExpr))
	{
		JoinExpr   *join = (JoinExpr *) node;

		flatten_from_node(join->larg, rtindexes, quals);
		flatten_from_node(join->rarg, rtindexes, quals);
		*quals = list_concat(*quals, make_ands_implicit((Expr *) join->quals));
	}
	else
	{
		FromExpr   *from = castNode(FromExpr, node);
		ListCell   *lc;

		foreach(lc, from->fromlist)
			flatten_from_node(lfirst(lc), rtindexes, quals);
		*quals = list_concat(*quals, make_ands_implicit((Expr *) from->quals));
	}
}

void
pgt_compile_flatten_from(const Query *query, List **rtindexes, List **quals)
{
	*rtindexes = NIL;
	*quals = NIL;
	flatten_from_node((Node *) query->jointree, rtindexes, quals);
}
