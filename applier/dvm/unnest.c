/*
 * applier/dvm/unnest.c - levels whose expressions have subqueries in them.
 *
 * FROM and the conditions of such a level that have none become a subquery,
 * the first entry of FROM; each subquery in an expression becomes a join to it
 * (sublink.c), and the expressions speak of the columns of these joins:
 *
 *     SELECT e(sub) FROM f WHERE c AND d(sub)
 *     SELECT e(m1) FROM (SELECT columns FROM f WHERE c) JOIN sub' -> m1 JOIN sub' -> m2
 *      WHERE d(m2)
 *
 * What GROUP BY is above of (HAVING, and the output outside of aggregates) is
 * moved to a level of its own first.
 *
 * Subqueries that read no relation stay where they are: they are expressions
 * like any other.
 */
#include "postgres.h"

#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/optimizer.h"
#include "optimizer/tlist.h"
#include "parser/parse_oper.h"
#include "parser/parsetree.h"
#include "rewrite/rewriteManip.h"

#include "applier/dvm/items.h"
#include "applier/dvm/qtree.h"
#include "applier/dvm/unnest.h"

void
pgt_unnest_refuse(PgtUnnest *u, const char *construct, const char *detail)
{
	if (u->construct != NULL)
		return;
	u->construct = construct;
	u->detail = detail;
}

bool
pgt_join_is_named(const JoinExpr *join, const char *name)
{
	return join->jointype == JOIN_SEMI && join->alias != NULL &&
		strcmp(join->alias->aliasname, name) == 0;
}

/* ---- joins ---- */

static List *
target_names(const Query *sub)
{
	List	   *names = NIL;
	ListCell   *lc;

	foreach(lc, sub->targetList)
	{
		TargetEntry *tle = lfirst_node(TargetEntry, lc);

		if (!tle->resjunk)
			names = lappend(names, makeString(pstrdup(tle->resname ? tle->resname : "?column?")));
	}
	return names;
}

void
pgt_unnest_note_names(RangeTblEntry *rte)
{
	rte->eref = makeAlias(rte->eref->aliasname, target_names(rte->subquery));
}

int
pgt_unnest_add_entry(PgtUnnestLevel *v, Query *sub)
{
	v->query->rtable = lappend(v->query->rtable,
							   pgt_qtree_subquery(sub, "sub", target_names(sub), false));
	return list_length(v->query->rtable);
}

static JoinExpr *
add_join(PgtUnnestLevel *v, JoinType type, int right, List *quals)
{
	JoinExpr   *join = makeNode(JoinExpr);
	RangeTblRef *ref = makeNode(RangeTblRef);

	ref->rtindex = right;
	join->jointype = type;
	join->larg = v->tree;
	join->rarg = (Node *) ref;
	join->quals = quals == NIL ? NULL : (Node *) make_ands_explicit(quals);
	v->tree = (Node *) join;
	return join;
}

void
pgt_unnest_join(PgtUnnestLevel *v, JoinType type, int right, List *quals)
{
	add_join(v, type, right, quals);
}

Node *
pgt_unnest_column_join(PgtUnnestLevel *v, const char *name, int right,
					   List *quals, Node *column)
{
	JoinExpr   *join = add_join(v, JOIN_SEMI, right, quals);
	RangeTblEntry *rte = makeNode(RangeTblEntry);

	rte->rtekind = RTE_RESULT;
	rte->eref = makeAlias(name, list_make1(makeString(pstrdup(name))));
	v->query->rtable = lappend(v->query->rtable, rte);
	join->alias = makeAlias(name, NIL);
	join->rtindex = list_length(v->query->rtable);
	return (Node *) makeVar(join->rtindex, 1, exprType(column), exprTypmod(column),
							exprCollation(column), 0);
}

/* ---- GROUP BY and what is above of it ---- */

typedef struct Grouped
{
	Query	   *below;
	List	   *keys;			/* of TargetEntry* of below */
	int			depth;			/* queries between the level and the node */
	bool		failed;
} Grouped;

static TargetEntry *
grouped_column(Grouped *g, Node *expr)
{
	TargetEntry *tle = tlist_member((Expr *) expr, g->below->targetList);

	if (tle != NULL)
		return tle;
	tle = makeTargetEntry((Expr *) expr, list_length(g->below->targetList) + 1,
						  psprintf("g%d", list_length(g->below->targetList) + 1), false);
	g->below->targetList = lappend(g->below->targetList, tle);
	return tle;
}

/* A column that depends on the keys becomes one of them. */
static TargetEntry *
dependent_column(Grouped *g, Var *var)
{
	TargetEntry *tle = grouped_column(g, (Node *) var);
	SortGroupClause *clause;
	bool		hashable;

	if (tle->ressortgroupref != 0)
		return tle;
	clause = makeNode(SortGroupClause);
	tle->ressortgroupref = list_length(g->below->targetList) + 1000;
	clause->tleSortGroupRef = tle->ressortgroupref;
	get_sort_group_operators(var->vartype, false, false, false, &clause->sortop,
							 &clause->eqop, NULL, &hashable);
	if (!OidIsValid(clause->eqop))
		g->failed = true;
	clause->hashable = hashable;
	g->below->groupClause = lappend(g->below->groupClause, clause);
	return tle;
}

static Node *
above_group_mutator(Node *node, Grouped *g)
{
	TargetEntry *tle = NULL;
	Node	   *local = node;

	if (node == NULL)
		return NULL;
	if (IsA(node, Query))
	{
		g->depth++;
		node = (Node *) query_tree_mutator((Query *) node, above_group_mutator, g, 0);
		g->depth--;
		return node;
	}
	if (g->depth > 0 && !IsA(node, List) && !IsA(node, Const) &&
		contain_vars_of_level(node, g->depth) && !contain_vars_of_level(node, 0))
	{
		local = copyObject(node);
		IncrementVarSublevelsUp(local, -g->depth, g->depth);
	}
	if (IsA(node, Aggref) && ((Aggref *) node)->agglevelsup == g->depth)
	{
		local = copyObject(node);
		IncrementVarSublevelsUp(local, -g->depth, g->depth);
		tle = grouped_column(g, local);
	}
	else if (IsA(node, GroupingFunc) && ((GroupingFunc *) node)->agglevelsup == g->depth)
		g->failed = true;
	else if (!IsA(node, List) && (g->depth == 0 || local != node))
	{
		ListCell   *lc;

		foreach(lc, g->keys)
			if (equal(lfirst_node(TargetEntry, lc)->expr, local))
				tle = lfirst(lc);
		if (tle == NULL && IsA(local, Var) && ((Var *) local)->varlevelsup == 0)
			tle = dependent_column(g, (Var *) local);
	}
	if (tle != NULL)
		return (Node *) makeVar(1, tle->resno, exprType((Node *) tle->expr),
								exprTypmod((Node *) tle->expr),
								exprCollation((Node *) tle->expr), g->depth);
	return expression_tree_mutator(node, above_group_mutator, g);
}

/* The keys as columns of the level below, with the references they have. */
static void
take_keys(Grouped *g, const Query *query)
{
	ListCell   *lc;

	foreach(lc, query->groupClause)
	{
		TargetEntry *tle = get_sortgroupclause_tle(lfirst(lc), query->targetList);
		TargetEntry *key = makeTargetEntry(copyObject(tle->expr),
										   list_length(g->below->targetList) + 1,
										   psprintf("g%d", list_length(g->below->targetList) + 1),
										   false);

		key->ressortgroupref = tle->ressortgroupref;
		g->below->targetList = lappend(g->below->targetList, key);
		g->keys = lappend(g->keys, key);
	}
}

/* Aggregates of the level stay below; so does a subquery in their arguments. */
static bool
above_aggregates_walker(Node *node, void *context)
{
	if (node == NULL || IsA(node, Aggref))
		return false;
	if (IsA(node, SubLink))
		return pgt_sublink_within(node);
	return expression_tree_walker(node, above_aggregates_walker, context);
}

/* Is there a subquery above GROUP BY: not in an aggregate, not in a key? */
static bool
has_subquery_above(const Query *query)
{
	ListCell   *lc;

	foreach(lc, query->targetList)
	{
		TargetEntry *tle = lfirst_node(TargetEntry, lc);

		if (tle->ressortgroupref != 0 &&
			get_sortgroupref_clause_noerr(tle->ressortgroupref, query->groupClause) != NULL)
			continue;
		if (above_aggregates_walker((Node *) tle->expr, NULL))
			return true;
	}
	return above_aggregates_walker(query->havingQual, NULL);
}

static bool
is_grouped(const Query *query)
{
	return query->hasAggs || query->groupClause != NIL ||
		query->groupingSets != NIL || query->havingQual != NULL;
}

/* Everything above GROUP BY becomes a level over the rest. */
static void
split_grouped(PgtUnnest *u, Query *query)
{
	Grouped		g = {0};
	Query	   *below;
	Query		above;

	if (query->groupingSets != NIL)
	{
		pgt_unnest_refuse(u, "a subquery above GROUPING SETS", NULL);
		return;
	}
	below = copyObject(query);
	below->targetList = NIL;
	below->havingQual = NULL;
	below->distinctClause = NIL;
	below->sortClause = NIL;
	g.below = below;
	take_keys(&g, query);

	above = *query;
	above.groupClause = NIL;
	above.hasAggs = false;
	above.havingQual = NULL;
	above.targetList = (List *) above_group_mutator((Node *) query->targetList, &g);
	above.jointree = makeFromExpr(NIL, above_group_mutator(query->havingQual, &g));
	above.rtable = NIL;
	if (below->targetList == NIL)
		grouped_column(&g, (Node *) makeBoolConst(true, false));
	pgt_qtree_add_from(&above, pgt_qtree_subquery(below, "grouped", target_names(below), false));
	if (g.failed)
		pgt_unnest_refuse(u, "a subquery beside an ungrouped column or GROUPING()", NULL);
	*query = above;
}

/* ---- FROM as a subquery ---- */

typedef struct Wrapped
{
	Query	   *inner;
} Wrapped;

static Var *
to_wrapped(const Var *var, void *arg)
{
	Wrapped    *w = arg;
	TargetEntry *tle = tlist_member((Expr *) var, w->inner->targetList);

	if (tle == NULL)
	{
		tle = makeTargetEntry(copyObject((Expr *) unconstify(Var *, var)),
							  list_length(w->inner->targetList) + 1,
							  psprintf("w%d", list_length(w->inner->targetList) + 1), false);
		w->inner->targetList = lappend(w->inner->targetList, tle);
	}
	return makeVar(1, tle->resno, var->vartype, var->vartypmod, var->varcollid, 0);
}

/* Conditions with subqueries, out of WHERE and of inner joins. */
static void
take_conditions(PgtUnnest *u, Node *node, List **conditions)
{
	Node	  **quals;
	List	   *rest = NIL;
	ListCell   *lc;

	if (IsA(node, RangeTblRef))
		return;
	if (IsA(node, JoinExpr))
	{
		JoinExpr   *join = (JoinExpr *) node;

		if (join->jointype != JOIN_INNER)
		{
			if (pgt_sublink_within(node))
				pgt_unnest_refuse(u, "a subquery in the condition of a join inside of an outer join", NULL);
			return;
		}
		take_conditions(u, join->larg, conditions);
		take_conditions(u, join->rarg, conditions);
		quals = &join->quals;
	}
	else
	{
		FromExpr   *from = castNode(FromExpr, node);

		foreach(lc, from->fromlist)
			take_conditions(u, lfirst(lc), conditions);
		quals = &from->quals;
	}
	foreach(lc, make_ands_implicit((Expr *) *quals))
	{
		Node	   *qual = lfirst(lc);

		if (pgt_sublink_within(qual))
			*conditions = lappend(*conditions, qual);
		else
			rest = lappend(rest, qual);
	}
	*quals = rest == NIL ? NULL : (Node *) make_ands_explicit(rest);
}

/* Columns that do not come from FROM: none to be had without one. */
static void
wrap_from(PgtUnnestLevel *v, List **conditions)
{
	Query	   *query = v->query;
	Wrapped		w;
	Query	   *inner = pgt_qtree_select();

	take_conditions(v->u, (Node *) query->jointree, conditions);
	inner->rtable = query->rtable;
	inner->jointree = query->jointree;
	w.inner = inner;
	query->targetList = (List *) pgt_map_vars((Node *) query->targetList, to_wrapped, &w);
	query->havingQual = pgt_map_vars(query->havingQual, to_wrapped, &w);
	*conditions = (List *) pgt_map_vars((Node *) *conditions, to_wrapped, &w);
	if (inner->targetList == NIL)
		pgt_qtree_add_target(inner, makeBoolConst(true, false), "w1");
	query->rtable = NIL;
	query->jointree = makeFromExpr(NIL, NULL);
	pgt_qtree_add_from(query, pgt_qtree_subquery(inner, "wrapped", target_names(inner), false));
	v->tree = linitial(query->jointree->fromlist);
}

/* ---- levels ---- */

static bool
level_has_subqueries(const Query *query)
{
	return pgt_sublink_within((Node *) query->targetList) ||
		pgt_sublink_within(query->havingQual) ||
		pgt_sublink_within((Node *) query->jointree);
}

static void
unnest_expressions(PgtUnnest *u, Query *query)
{
	PgtUnnestLevel v = {u, query, NULL, NIL};
	List	   *conditions = NIL;
	ListCell   *lc;

	wrap_from(&v, &conditions);
	/* what leaves rows out comes first */
	foreach(lc, conditions)
		if (pgt_sublink_is_filter(lfirst(lc)))
			pgt_sublink_condition(&v, lfirst(lc));
	foreach(lc, conditions)
		if (!pgt_sublink_is_filter(lfirst(lc)))
			pgt_sublink_condition(&v, lfirst(lc));
	foreach(lc, query->targetList)
	{
		TargetEntry *tle = lfirst_node(TargetEntry, lc);

		tle->expr = (Expr *) pgt_sublink_replace(&v, (Node *) tle->expr, false);
	}
	if (pgt_sublink_within(query->havingQual))
		query->havingQual = pgt_sublink_replace(&v, query->havingQual, true);
	query->jointree = makeFromExpr(list_make1(v.tree), v.quals == NIL ? NULL :
								   (Node *) make_ands_explicit(v.quals));
}

static bool
refers_outward(const Query *query)
{
	return contain_vars_of_level((Node *) query, 1);
}

void
pgt_unnest_query(PgtUnnest *u, Query *query)
{
	ListCell   *lc;

	if (u->construct != NULL || pgt_query_is_pure(query))
		return;
	if (query->setOperations == NULL)
	{
		pgt_lateral_flatten(u, query);
		pgt_lateral_hide_conditions(u, query, (Node *) query->jointree);
	}
	if (query->setOperations == NULL && level_has_subqueries(query))
	{
		if (is_grouped(query) && has_subquery_above(query))
			split_grouped(u, query);
		if (u->construct == NULL && level_has_subqueries(query))
			unnest_expressions(u, query);
	}
	query->hasSubLinks = false;
	foreach(lc, query->rtable)
	{
		RangeTblEntry *rte = lfirst_node(RangeTblEntry, lc);

		if (rte->rtekind != RTE_SUBQUERY || pgt_item_is_pure(rte))
			continue;
		if (refers_outward(rte->subquery))
			pgt_unnest_refuse(u, "LATERAL", NULL);
		pgt_unnest_query(u, rte->subquery);
	}
}
