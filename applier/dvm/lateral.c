/*
 * applier/dvm/lateral.c - LATERAL subqueries, as joins.
 *
 * A subquery of FROM that refers to entries before it:
 *   by conditions of its WHERE only   they become conditions of the join
 *   otherwise                         it is evaluated for all values of the
 *                                     columns it refers to (domain.c), and
 *                                     joined by these; what stands before it in
 *                                     FROM becomes one subquery first, if that
 *                                     is more than one entry
 * The one row of an aggregate is joined so that it is not missing where it
 * aggregates nothing; its columns are expressions then.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/optimizer.h"
#include "optimizer/tlist.h"
#include "parser/parsetree.h"
#include "rewrite/rewriteManip.h"

#include "applier/dvm/compile.h"
#include "applier/dvm/items.h"
#include "applier/dvm/qtree.h"
#include "applier/dvm/unnest.h"
#include "decoder/compat.h"

/* ---- finding ---- */

static RangeTblEntry *
entry_of(const Query *query, Node *node)
{
	return IsA(node, RangeTblRef) ?
		rt_fetch(((RangeTblRef *) node)->rtindex, query->rtable) : NULL;
}

static bool
is_lateral(const Query *query, Node *node)
{
	RangeTblEntry *rte = entry_of(query, node);

	return rte != NULL && rte->rtekind == RTE_SUBQUERY && !pgt_item_is_pure(rte) &&
		contain_vars_of_level((Node *) rte->subquery, 1);
}

static bool
is_pure_lateral(const Query *query, Node *node)
{
	RangeTblEntry *rte = entry_of(query, node);

	return rte != NULL && pgt_item_is_pure(rte) && pgt_item_vars(rte) != NIL;
}

/* An entry of a FROM list, joined to those before it. */
static JoinExpr *
join_in_list(FromExpr *from, int n)
{
	JoinExpr   *join = makeNode(JoinExpr);
	List	   *before = list_copy_head(from->fromlist, n);

	join->jointype = JOIN_INNER;
	join->larg = n == 1 ? linitial(before) : (Node *) makeFromExpr(before, NULL);
	join->rarg = list_nth(from->fromlist, n);
	from->fromlist = lcons(join, list_copy_tail(from->fromlist, n + 1));
	return join;
}

static void
entries_below(Node *node, List **rtindexes)
{
	ListCell   *lc;

	if (IsA(node, RangeTblRef))
		*rtindexes = lappend_int(*rtindexes, ((RangeTblRef *) node)->rtindex);
	else if (IsA(node, JoinExpr))
	{
		entries_below(((JoinExpr *) node)->larg, rtindexes);
		entries_below(((JoinExpr *) node)->rarg, rtindexes);
	}
	else
		foreach(lc, castNode(FromExpr, node)->fromlist)
			entries_below(lfirst(lc), rtindexes);
}

/* Does the right side refer to more than the left one? */
static bool
refers_further(const Query *query, const JoinExpr *join)
{
	List	   *before = NIL;
	ListCell   *lc;

	entries_below(join->larg, &before);
	foreach(lc, pull_vars_of_level((Node *) entry_of(query, join->rarg)->subquery, 1))
		if (!list_member_int(before, lfirst_node(Var, lc)->varno))
			return true;
	return false;
}

/* Is the join the first of a chain that keeps what is on its left? */
static bool
begins_chain(Node *node, const JoinExpr *join)
{
	if (node == (Node *) join)
		return true;
	return IsA(node, JoinExpr) &&
		(((JoinExpr *) node)->jointype == JOIN_INNER ||
		 ((JoinExpr *) node)->jointype == JOIN_LEFT) &&
		begins_chain(((JoinExpr *) node)->larg, join);
}

/* FROM a, b LEFT JOIN c is (a, b) LEFT JOIN c: what a comma separates comes
 * to the left side of the join. */
static void
take_in_before(FromExpr *from, int n, JoinExpr *join)
{
	List	   *before = list_copy_head(from->fromlist, n);

	join->larg = (Node *) makeFromExpr(lappend(before, join->larg), NULL);
	from->fromlist = list_copy_tail(from->fromlist, n);
}

/* The first join, from the left, whose right side refers to its left. */
static JoinExpr *
find_join(const Query *query, Node *node, bool under_outer, bool *outer)
{
	JoinExpr   *found = NULL;

	if (IsA(node, JoinExpr))
	{
		JoinExpr   *join = (JoinExpr *) node;
		bool		below = under_outer || join->jointype != JOIN_INNER;

		found = find_join(query, join->larg, below, outer);
		if (found != NULL)
			return found;
		*outer = under_outer;
		if (is_lateral(query, join->rarg))
			return join;
		return find_join(query, join->rarg, below, outer);
	}
	if (IsA(node, FromExpr))
	{
		FromExpr   *from = (FromExpr *) node;

		for (int i = 0; i < list_length(from->fromlist) && found == NULL; i++)
		{
			Node	   *child = list_nth(from->fromlist, i);

			*outer = under_outer;
			if (i > 0 && is_lateral(query, child))
				return join_in_list(from, i);
			found = find_join(query, child, under_outer, outer);
			if (found != NULL && i > 0 && refers_further(query, found) &&
				begins_chain(child, found))
				take_in_before(from, i, found);
		}
	}
	return found;
}

/* ---- expressions of the level ---- */

typedef struct Change
{
	/* what is left of FROM on the join's left: entries, and their subquery */
	List	   *moved;			/* of int */
	Query	   *inner;
	int			wrapped;		/* the subquery's entry */
	/* columns of an aggregate */
	const PgtDomain *domain;
	int			aggregate;		/* its entry, or 0 */
	int			depth;
} Change;

static Node *
wrapped_column(Change *c, Var *var)
{
	Var		   *own = copyObject(var);
	TargetEntry *tle;

	own->varlevelsup = 0;
	own->location = -1;
	own->varnosyn = 0;
	own->varattnosyn = 0;
	tle = tlist_member((Expr *) own, c->inner->targetList);
	if (tle == NULL)
	{
		tle = makeTargetEntry((Expr *) own, list_length(c->inner->targetList) + 1,
							  psprintf("w%d", list_length(c->inner->targetList) + 1), false);
		c->inner->targetList = lappend(c->inner->targetList, tle);
	}
	return (Node *) makeVar(c->wrapped, tle->resno, var->vartype, var->vartypmod,
							var->varcollid, var->varlevelsup);
}

static Node *
change_mutator(Node *node, Change *c)
{
	if (node == NULL)
		return NULL;
	if (IsA(node, Query))
	{
		c->depth++;
		node = (Node *) query_tree_mutator((Query *) node, change_mutator, c, 0);
		c->depth--;
		return node;
	}
	if (IsA(node, Var) && ((Var *) node)->varlevelsup == c->depth)
	{
		Var		   *var = (Var *) node;

		if (c->aggregate > 0 && var->varno == c->aggregate)
		{
			node = pgt_domain_value(c->domain, c->aggregate, var->varattno);
			IncrementVarSublevelsUp(node, c->depth, 0);
			return node;
		}
		if (list_member_int(c->moved, var->varno))
			return wrapped_column(c, var);
		return copyObject(node);
	}
	return expression_tree_mutator(node, change_mutator, c);
}

/* Entries that refer to others. */
static void
change_entries(Query *query, Change *c)
{
	int			rtindex = 0;
	ListCell   *lc;

	foreach(lc, query->rtable)
	{
		RangeTblEntry *rte = lfirst_node(RangeTblEntry, lc);

		rtindex++;
		if (list_member_int(c->moved, rtindex) || rtindex == c->wrapped ||
			rtindex == c->aggregate)
			continue;
		rte->subquery = (Query *) change_mutator((Node *) rte->subquery, c);
		rte->functions = (List *) change_mutator((Node *) rte->functions, c);
		rte->values_lists = (List *) change_mutator((Node *) rte->values_lists, c);
		rte->tablefunc = (TableFunc *) change_mutator((Node *) rte->tablefunc, c);
	}
}

/* Conditions only, in place: the joins stay the nodes they are. */
static void
change_conditions(Node *node, Change *c)
{
	ListCell   *lc;

	if (IsA(node, JoinExpr))
	{
		JoinExpr   *join = (JoinExpr *) node;

		change_conditions(join->larg, c);
		change_conditions(join->rarg, c);
		join->quals = change_mutator(join->quals, c);
	}
	else if (IsA(node, FromExpr))
	{
		FromExpr   *from = (FromExpr *) node;

		foreach(lc, from->fromlist)
			change_conditions(lfirst(lc), c);
		from->quals = change_mutator(from->quals, c);
	}
}

/* Everything in the level that speaks of columns, but for the entries moved. */
static void
change_level(Query *query, Change *c)
{
	query->targetList = (List *) change_mutator((Node *) query->targetList, c);
	query->havingQual = change_mutator(query->havingQual, c);
	change_conditions((Node *) query->jointree, c);
	change_entries(query, c);
}

/* ---- the left side as one entry ---- */

static RangeTblEntry *
no_entry(void)
{
	RangeTblEntry *rte = makeNode(RangeTblEntry);

	rte->rtekind = RTE_RESULT;
	rte->eref = makeAlias("moved", NIL);
	return rte;
}

/* The range table of one part: entries of the other are no entries. */
static List *
part_of_entries(List *rtable, List *moved, bool keep_moved)
{
	List	   *result = NIL;
	ListCell   *lc;

	foreach(lc, rtable)
		result = lappend(result,
						 list_member_int(moved, foreach_current_index(lc) + 1) == keep_moved ?
						 lfirst(lc) : no_entry());
	return result;
}

/* A side of a join becomes a subquery, which also computes "columns". */
static int
wrap_side(Query *query, Node **side, List *columns)
{
	Change		c = {0};
	RangeTblRef *ref = makeNode(RangeTblRef);
	RangeTblEntry *rte;
	Node	   *node = *side;
	ListCell   *lc;

	entries_below(node, &c.moved);
	c.inner = pgt_qtree_select();
	c.inner->jointree = IsA(node, FromExpr) ? (FromExpr *) node :
		makeFromExpr(list_make1(node), NULL);
	foreach(lc, columns)
		pgt_qtree_add_target(c.inner, lfirst(lc),
							 psprintf("w%d", foreach_current_index(lc) + 1));
	c.wrapped = list_length(query->rtable) + 1;
	ref->rtindex = c.wrapped;
	*side = (Node *) ref;
	c.inner->rtable = part_of_entries(query->rtable, c.moved, true);
	rte = pgt_qtree_subquery(c.inner, "wrapped", NIL, false);
	query->rtable = lappend(part_of_entries(query->rtable, c.moved, false), rte);
	change_level(query, &c);
	if (c.inner->targetList == NIL)
		pgt_qtree_add_target(c.inner, makeBoolConst(true, false), "w1");
	pgt_unnest_note_names(rte);
	return c.wrapped;
}

/* ---- a subquery ---- */

static bool
is_trivial(Node *qual)
{
	return qual == NULL ||
		(IsA(qual, Const) && !((Const *) qual)->constisnull &&
		 DatumGetBool(((Const *) qual)->constvalue));
}

static void
add_to_join(JoinExpr *join, List *quals)
{
	List	   *all = is_trivial(join->quals) ? NIL :
		make_ands_implicit((Expr *) join->quals);

	all = list_concat(list_copy(all), quals);
	join->quals = all == NIL ? NULL : (Node *) make_ands_explicit(all);
}

static void
add_to_where(Query *query, Node *quals)
{
	List	   *all = make_ands_implicit((Expr *) query->jointree->quals);

	all = list_concat(list_copy(all), make_ands_implicit((Expr *) quals));
	query->jointree->quals = all == NIL ? NULL : (Node *) make_ands_explicit(all);
}

static void
join_aggregate(PgtUnnest *u, Query *query, JoinExpr *join, int rtindex,
			   PgtDomain *d, bool under_outer)
{
	Change		c = {0};
	bool		inner = join->jointype == JOIN_INNER;
	Node	   *quals = join->quals;

	if (!is_trivial(quals) && (!inner || under_outer))
		pgt_unnest_refuse(u, "a LATERAL aggregate with a condition of an outer join", NULL);
	if (d->having > 0 && inner && under_outer)
		pgt_unnest_refuse(u, "a LATERAL aggregate with HAVING on one side of an outer join", NULL);
	join->jointype = JOIN_LEFT;
	join->quals = (Node *) make_ands_explicit(d->quals);
	if (!is_trivial(quals))
		add_to_where(query, quals);
	c.domain = d;
	c.aggregate = rtindex;
	/* the join's own condition speaks of the entry itself */
	quals = join->quals;
	join->quals = NULL;
	change_level(query, &c);
	join->quals = quals;
	if (d->having > 0 && inner)
		add_to_where(query, pgt_domain_exists(d, rtindex));
}

static void
flatten_subquery(PgtUnnest *u, Query *query, JoinExpr *join, bool under_outer)
{
	int			rtindex = ((RangeTblRef *) join->rarg)->rtindex;
	RangeTblEntry *rte = rt_fetch(rtindex, query->rtable);
	List	   *before = NIL;
	List	   *quals;
	Query	   *sub;
	PgtDomain	d;
	ListCell   *lc;

	entries_below(join->larg, &before);
	foreach(lc, pull_vars_of_level((Node *) rte->subquery, 1))
		if (!list_member_int(before, lfirst_node(Var, lc)->varno))
			pgt_unnest_refuse(u, "LATERAL across the side of an outer join", NULL);
	if (join->jointype != JOIN_INNER && join->jointype != JOIN_LEFT)
		pgt_unnest_refuse(u, "LATERAL", NULL);
	if (u->construct != NULL)
		return;
	sub = pgt_sublink_hoist(rte->subquery, rtindex, &quals);
	if (sub != NULL)
	{
		rte->subquery = sub;
		add_to_join(join, quals);
	}
	else
	{
		if (!IsA(join->larg, RangeTblRef) || is_pure_lateral(query, join->larg))
			wrap_side(query, &join->larg, NIL);
		rte = rt_fetch(rtindex, query->rtable);
		if (!pgt_domain_make(u, query, copyObject(rte->subquery), rtindex, &d))
			return;
		rte->subquery = d.sub;
		if (d.aggregate)
			join_aggregate(u, query, join, rtindex, &d, under_outer);
		else
			add_to_join(join, d.quals);
	}
	rte->lateral = false;
	pgt_unnest_note_names(rte);
}

/* ---- subqueries in the condition of an outer join ---- */

/* Does the condition speak of these entries only? */
static bool
speaks_of(Node *qual, List *rtindexes)
{
	ListCell   *lc;

	foreach(lc, pull_vars_of_level(qual, 0))
		if (!list_member_int(rtindexes, lfirst_node(Var, lc)->varno))
			return false;
	return true;
}

/* Conditions with a subquery about one side become columns of that side. */
static void
hide_conditions(PgtUnnest *u, Query *query, JoinExpr *join)
{
	Node	  **sides[2] = {&join->rarg, &join->larg};
	List	   *left = make_ands_implicit((Expr *) join->quals);

	for (int i = 0; i < 2; i++)
	{
		List	   *rtindexes = NIL;
		List	   *columns = NIL;
		List	   *rest = NIL;
		int			wrapped;
		ListCell   *lc;

		entries_below(*sides[i], &rtindexes);
		foreach(lc, left)
		{
			Node	   *qual = lfirst(lc);

			if (pgt_sublink_within(qual) && speaks_of(qual, rtindexes))
				columns = lappend(columns, qual);
			else
				rest = lappend(rest, qual);
		}
		left = rest;
		if (columns == NIL)
			continue;
		join->quals = rest == NIL ? NULL : (Node *) make_ands_explicit(rest);
		wrapped = wrap_side(query, sides[i], columns);
		left = make_ands_implicit((Expr *) join->quals);
		foreach(lc, columns)
			left = lappend(list_copy(left),
						   makeVar(wrapped, foreach_current_index(lc) + 1, BOOLOID, -1,
								   InvalidOid, 0));
		join->quals = (Node *) make_ands_explicit(left);
	}
	if (pgt_sublink_within(join->quals))
		pgt_unnest_refuse(u, "a subquery about both sides of an outer join in its condition", NULL);
}

void
pgt_lateral_hide_conditions(PgtUnnest *u, Query *query, Node *node)
{
	ListCell   *lc;

	if (IsA(node, FromExpr))
		foreach(lc, ((FromExpr *) node)->fromlist)
			pgt_lateral_hide_conditions(u, query, lfirst(lc));
	if (!IsA(node, JoinExpr))
		return;
	pgt_lateral_hide_conditions(u, query, ((JoinExpr *) node)->larg);
	pgt_lateral_hide_conditions(u, query, ((JoinExpr *) node)->rarg);
	if (((JoinExpr *) node)->jointype != JOIN_INNER &&
		pgt_sublink_within(((JoinExpr *) node)->quals))
		hide_conditions(u, query, (JoinExpr *) node);
}

void
pgt_lateral_flatten(PgtUnnest *u, Query *query)
{
	JoinExpr   *join;
	bool		under_outer = false;

	while (u->construct == NULL &&
		   (join = find_join(query, (Node *) query->jointree, false, &under_outer)) != NULL)
		flatten_subquery(u, query, join, under_outer);
}
