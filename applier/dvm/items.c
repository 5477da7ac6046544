/*
 * applier/dvm/items.c - what a level's FROM computes instead of reading it.
 *
 * A pure item has no delta and no state of its own: per row beside it in FROM
 * it gives the same rows at any time, so a block is linear in its inputs with
 * the item in every term.  Whatever a pure subquery does inside (aggregates,
 * windows, LIMIT) is PostgreSQL's business: it runs as it is, once per row.
 *
 * Works on copies; catalogs are not looked at.
 */
#include "postgres.h"

#include "catalog/pg_class.h"
#include "catalog/pg_type.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/optimizer.h"
#include "utils/fmgroids.h"

#include "applier/dvm/items.h"
#include "decoder/compat.h"

/* ---- which are pure ---- */

/* Views leave an entry behind that FROM does not name; they are expanded. */
static bool
reads_relation_walker(Node *node, void *context)
{
	ListCell   *lc;

	if (node == NULL)
		return false;
	if (!IsA(node, Query))
		return expression_tree_walker(node, reads_relation_walker, context);
	foreach(lc, ((Query *) node)->rtable)
	{
		RangeTblEntry *rte = lfirst_node(RangeTblEntry, lc);

		if (rte->rtekind == RTE_CTE ||
			(rte->rtekind == RTE_RELATION &&
			 (rte->relkind != RELKIND_VIEW || rte->inFromCl)))
			return true;
	}
	return query_tree_walker((Query *) node, reads_relation_walker, context, 0);
}

bool
pgt_query_is_pure(const Query *query)
{
	return !reads_relation_walker((Node *) query, NULL);
}

bool
pgt_item_is_pure(const RangeTblEntry *rte)
{
	switch (rte->rtekind)
	{
		case RTE_FUNCTION:
			return !reads_relation_walker((Node *) rte->functions, NULL);
		case RTE_TABLEFUNC:
			return !reads_relation_walker((Node *) rte->tablefunc, NULL);
		case RTE_VALUES:
			return !reads_relation_walker((Node *) rte->values_lists, NULL);
		case RTE_SUBQUERY:
			return pgt_query_is_pure(rte->subquery);
		default:
			return false;
	}
}

/* ---- Vars ---- */

typedef struct MapVars
{
	PgtVarMap	map;
	void	   *arg;
	int			level;			/* queries above node */
} MapVars;

static Node *
map_vars_mutator(Node *node, MapVars *m)
{
	if (node == NULL)
		return NULL;
	if (IsA(node, Var) && ((Var *) node)->varlevelsup == m->level)
	{
		Var		   *var = copyObject((Var *) node);

		var->varlevelsup = 0;
		var = m->map(var, m->arg);
		var->varlevelsup = m->level;
		return (Node *) var;
	}
	if (IsA(node, Query))
	{
		Query	   *query;

		m->level++;
		query = query_tree_mutator((Query *) node, map_vars_mutator, m, 0);
		m->level--;
		return (Node *) query;
	}
	return expression_tree_mutator(node, map_vars_mutator, m);
}

Node *
pgt_map_vars(Node *node, PgtVarMap map, void *arg)
{
	MapVars		m = {map, arg, 0};

	return map_vars_mutator(node, &m);
}

RangeTblEntry *
pgt_item_map_vars(const RangeTblEntry *item, PgtVarMap map, void *arg)
{
	RangeTblEntry *copy = copyObject(unconstify(RangeTblEntry *, item));

	switch (copy->rtekind)
	{
		case RTE_FUNCTION:
			copy->functions = (List *)
				pgt_map_vars((Node *) copy->functions, map, arg);
			break;
		case RTE_TABLEFUNC:
			copy->tablefunc = (TableFunc *)
				pgt_map_vars((Node *) copy->tablefunc, map, arg);
			break;
		case RTE_VALUES:
			copy->values_lists = (List *)
				pgt_map_vars((Node *) copy->values_lists, map, arg);
			break;
		case RTE_SUBQUERY:
			copy->subquery = (Query *)
				pgt_map_vars((Node *) copy->subquery, map, arg);
			break;
		default:
			elog(ERROR, "unexpected item of kind %d", (int) copy->rtekind);
	}
	return copy;
}

List *
pgt_item_vars(const RangeTblEntry *item)
{
	switch (item->rtekind)
	{
		case RTE_FUNCTION:
			return pull_vars_of_level((Node *) item->functions, 0);
		case RTE_TABLEFUNC:
			return pull_vars_of_level((Node *) item->tablefunc, 0);
		case RTE_VALUES:
			return pull_vars_of_level((Node *) item->values_lists, 0);
		case RTE_SUBQUERY:
			return pull_vars_of_level((Node *) item->subquery, 1);
		default:
			return NIL;
	}
}

/* ---- an item of the engine's own ---- */

RangeTblEntry *
pgt_item_repeat(Expr *count)
{
	RangeTblEntry *rte = makeNode(RangeTblEntry);
	RangeTblFunction *function = makeNode(RangeTblFunction);
	Const	   *one = makeConst(INT8OID, -1, InvalidOid, sizeof(int64),
								Int64GetDatum(1), false, FLOAT8PASSBYVAL);
	FuncExpr   *series = makeFuncExpr(F_GENERATE_SERIES_INT8_INT8, INT8OID,
									  list_make2(one, count), InvalidOid,
									  InvalidOid, COERCE_EXPLICIT_CALL);

	series->funcretset = true;
	function->funcexpr = (Node *) series;
	function->funccolcount = 1;
	rte->rtekind = RTE_FUNCTION;
	rte->functions = list_make1(function);
	rte->lateral = true;
	rte->inFromCl = true;
	rte->alias = makeAlias("copies", list_make1(makeString("n")));
	rte->eref = makeAlias("copies", list_make1(makeString("n")));
	return rte;
}
