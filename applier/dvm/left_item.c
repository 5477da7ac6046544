/*
 * applier/dvm/left_item.c - LEFT JOIN LATERAL with what reads no relation.
 *
 *     l LEFT JOIN LATERAL f(l.x) ON condition
 * is linear in l: what a row of l finds, or that it finds nothing, depends on
 * that row alone.  So the join becomes an inner one with an item that has the
 * row of NULLs itself,
 *     l, LATERAL (SELECT f.* FROM (SELECT 1) one LEFT JOIN f(l.x) ON condition)
 * and is part of a block like any other item.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/optimizer.h"
#include "parser/parsetree.h"
#include "rewrite/rewriteManip.h"

#include "applier/dvm/items.h"
#include "applier/dvm/qtree.h"
#include "decoder/compat.h"

/* Where the parts stand in the new subquery. */
#define ONE_VARNO 1
#define ITEM_VARNO 2
#define JOIN_VARNO 3

typedef struct Move
{
	int			item;			/* number of the item in its old level */
	int			depth;			/* queries above node */
} Move;

/* Into a subquery of the level: what is the item's is here, all else outside. */
static bool
move_walker(Node *node, Move *m)
{
	if (node == NULL)
		return false;
	if (IsA(node, Var))
	{
		Var		   *var = (Var *) node;

		if ((int) var->varlevelsup == m->depth && var->varno == m->item)
			var->varno = ITEM_VARNO;
		else if ((int) var->varlevelsup >= m->depth)
			var->varlevelsup++;
		var->varnosyn = var->varno;
		var->varattnosyn = var->varattno;
		return false;
	}
	if (IsA(node, Query))
	{
		m->depth++;
		query_tree_walker((Query *) node, move_walker, m, 0);
		m->depth--;
		return false;
	}
	return expression_tree_walker(node, move_walker, m);
}

static void
move_into(void *node, int item)
{
	Move		m = {item, 0};

	move_walker(node, &m);
}

static RangeTblEntry *
one_row(void)
{
	Query	   *query = pgt_qtree_select();

	pgt_qtree_add_target(query, (Node *) makeConst(INT4OID, -1, InvalidOid,
												   sizeof(int32), Int32GetDatum(1),
												   false, true), "one");
	return pgt_qtree_subquery(query, "one", list_make1(makeString("one")), false);
}

/* The join's entry, whose columns are those of "one" and of the item. */
static RangeTblEntry *
join_entry(List *names, List *vars)
{
	RangeTblEntry *rte = makeNode(RangeTblEntry);

	rte->rtekind = RTE_JOIN;
	rte->jointype = JOIN_LEFT;
	rte->inFromCl = true;
	rte->joinaliasvars = lcons(makeVar(ONE_VARNO, 1, INT4OID, -1, InvalidOid, 0),
							   copyObject(vars));
	rte->joinleftcols = list_make1_int(1);
	for (int i = 1; i <= list_length(vars); i++)
		rte->joinrightcols = lappend_int(rte->joinrightcols, i);
	rte->eref = makeAlias("unnamed_join",
						  lcons(makeString("one"), copyObject(names)));
	return rte;
}

/* SELECT item.* FROM (SELECT 1) one LEFT JOIN item ON quals */
static Query *
item_or_nulls(RangeTblEntry *item, Node *quals)
{
	Query	   *query = pgt_qtree_select();
	JoinExpr   *join = makeNode(JoinExpr);
	List	   *names;
	List	   *vars;
	ListCell   *name;
	ListCell   *var;

	pgt_qtree_add_from(query, one_row());
	pgt_qtree_add_from(query, item);
	pgt_expand_rte(item, ITEM_VARNO, &names, &vars);
	query->rtable = lappend(query->rtable, join_entry(names, vars));
	join->jointype = JOIN_LEFT;
	join->larg = linitial(query->jointree->fromlist);
	join->rarg = lsecond(query->jointree->fromlist);
	join->quals = quals != NULL ? quals : makeBoolConst(true, false);
	join->rtindex = JOIN_VARNO;
	query->jointree->fromlist = list_make1(join);
	forboth(name, names, var, vars)
	{
		pgt_set_nulling_join(lfirst_node(Var, var), JOIN_VARNO);
		pgt_qtree_add_target(query, lfirst(var), strVal(lfirst(name)));
	}
	return query;
}

static bool
whole_row_walker(Node *node, Move *m)
{
	if (node == NULL)
		return false;
	if (IsA(node, Var))
		return ((Var *) node)->varno == m->item && ((Var *) node)->varattno == 0 &&
			(int) ((Var *) node)->varlevelsup == m->depth;
	if (IsA(node, Query))
	{
		bool		found;

		m->depth++;
		found = query_tree_walker((Query *) node, whole_row_walker, m, 0);
		m->depth--;
		return found;
	}
	return expression_tree_walker(node, whole_row_walker, m);
}

/* A row of a subquery is of no declared type, as that of a function may be. */
static bool
is_used_whole(Query *query, int rtindex)
{
	Move		m = {rtindex, 0};

	return query_tree_walker(query, whole_row_walker, &m, 0);
}

static void
replace_join(Query *query, JoinExpr *join)
{
	int			rtindex = ((RangeTblRef *) join->rarg)->rtindex;
	ListCell   *cell = list_nth_cell(query->rtable, rtindex - 1);
	RangeTblEntry *item = lfirst_node(RangeTblEntry, cell);
	RangeTblEntry *rte;
	Node	   *quals = join->quals;

	if (!pgt_item_is_pure(item) || pgt_item_vars(item) == NIL ||
		checkExprHasSubLink(quals) || is_used_whole(query, rtindex))
		return;
	item = copyObject(item);
	move_into(item->functions, 0);
	move_into(item->tablefunc, 0);
	move_into(item->values_lists, 0);
	move_into(item->subquery, 0);
	move_into(quals, rtindex);
	rte = pgt_qtree_subquery(item_or_nulls(item, quals), "item_or_nulls",
							 copyObject(item->eref->colnames), false);
	rte->lateral = true;
	lfirst(cell) = rte;
	join->jointype = JOIN_INNER;
	join->quals = NULL;
	if (join->rtindex > 0)
		rt_fetch(join->rtindex, query->rtable)->jointype = JOIN_INNER;
}

static void
replace_joins(Query *query, Node *node)
{
	ListCell   *lc;

	if (IsA(node, FromExpr))
		foreach(lc, ((FromExpr *) node)->fromlist)
			replace_joins(query, lfirst(lc));
	else if (IsA(node, JoinExpr))
	{
		JoinExpr   *join = (JoinExpr *) node;

		replace_joins(query, join->larg);
		replace_joins(query, join->rarg);
		if (join->jointype == JOIN_LEFT && IsA(join->rarg, RangeTblRef))
			replace_join(query, join);
	}
}

void
pgt_item_left_joins(Query *query)
{
	replace_joins(query, (Node *) query->jointree);
}
