/*
 * applier/dvm/sublink.c - a subquery in an expression, as a join.
 *
 *   WHERE EXISTS, IN, = ANY          semi-join
 *   WHERE NOT EXISTS                 anti-join
 *   NOT IN, <> ALL, op ALL           anti-joins, one for the comparison and one
 *                                    for each way in which it can be NULL
 *   elsewhere                        marking joins; three-valued results by CASE
 *   scalar                           the one row of an aggregate: an inner join;
 *                                    else a scalar look-up (JOIN_SEMI "single")
 *
 * Where a subquery refers to the level in conditions of its WHERE only, these
 * conditions become the join's, and the columns they need its columns.  Where
 * it does so otherwise: domain.c.
 */
#include "postgres.h"

#include "catalog/pg_aggregate.h"
#include "catalog/pg_type.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/optimizer.h"
#include "optimizer/tlist.h"
#include "parser/parsetree.h"
#include "rewrite/rewriteManip.h"
#include "utils/array.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"

#include "applier/dvm/items.h"
#include "applier/dvm/level.h"
#include "applier/dvm/qtree.h"
#include "applier/dvm/unnest.h"
#include "decoder/compat.h"

/* ---- what there is ---- */

static bool
within_walker(Node *node, void *context)
{
	if (node == NULL)
		return false;
	if (IsA(node, SubLink))
	{
		SubLink    *link = (SubLink *) node;

		return !pgt_query_is_pure((Query *) link->subselect) ||
			within_walker(link->testexpr, context);
	}
	return expression_tree_walker(node, within_walker, context);
}

bool
pgt_sublink_within(Node *node)
{
	return within_walker(node, NULL);
}

/* ---- subqueries made simpler ---- */

static bool
is_grouped(const Query *sub)
{
	return sub->hasAggs || sub->groupClause != NIL || sub->groupingSets != NIL ||
		sub->havingQual != NULL;
}

/* SELECT, FROM and WHERE only, perhaps with DISTINCT. */
static bool
is_plain(const Query *sub)
{
	return sub->setOperations == NULL && !is_grouped(sub) &&
		!sub->hasWindowFuncs && !sub->hasTargetSRFs && !sub->hasDistinctOn &&
		!pgt_level_is_limited(sub);
}

static bool
at_least_one(Node *limit)
{
	Const	   *value = (Const *) eval_const_expressions(NULL, limit);

	return IsA(value, Const) &&
		(value->constisnull || DatumGetInt64(value->constvalue) > 0);
}

/* Columns of one subquery, all rows of it or the first few. */
static bool
passes_rows_on(const Query *sub)
{
	Node	   *from;

	if (sub->setOperations != NULL || is_grouped(sub) || sub->hasWindowFuncs ||
		sub->hasTargetSRFs || sub->limitOffset != NULL ||
		(sub->limitCount != NULL && !at_least_one(sub->limitCount)) ||
		sub->jointree->quals != NULL || list_length(sub->jointree->fromlist) != 1)
		return false;
	from = linitial(sub->jointree->fromlist);
	return IsA(from, RangeTblRef) &&
		rt_fetch(((RangeTblRef *) from)->rtindex, sub->rtable)->rtekind == RTE_SUBQUERY;
}

/* Does it have a row? asks less than which rows it has. */
static Query *
simplify_for_exists(Query *sub)
{
	while (passes_rows_on(sub))
	{
		RangeTblRef *ref = linitial_node(RangeTblRef, sub->jointree->fromlist);

		sub = rt_fetch(ref->rtindex, sub->rtable)->subquery;
		IncrementVarSublevelsUp((Node *) sub, -1, 1);
	}
	if (!pgt_level_is_limited(sub))
	{
		sub->distinctClause = NIL;
		sub->hasDistinctOn = false;
		sub->sortClause = NIL;
	}
	return sub;
}

/* An aggregate without GROUP BY and HAVING: one row, whatever comes. */
static bool
has_one_row(const Query *sub)
{
	return sub->hasAggs && sub->groupClause == NIL && sub->groupingSets == NIL &&
		sub->havingQual == NULL && sub->setOperations == NULL &&
		!pgt_level_is_limited(sub) && !sub->hasTargetSRFs;
}

/* ---- conditions moved to the join ---- */

typedef struct Hoist
{
	Query	   *sub;
	int			rtindex;
} Hoist;

/* A column of the subquery's FROM as a column of the subquery. */
static Var *
exported(Hoist *h, const Var *var)
{
	TargetEntry *tle;
	ListCell   *lc;

	foreach(lc, h->sub->targetList)
	{
		tle = lfirst_node(TargetEntry, lc);
		if (!tle->resjunk && equal(tle->expr, var))
			return makeVar(h->rtindex, tle->resno, var->vartype, var->vartypmod,
						   var->varcollid, 0);
	}
	tle = makeTargetEntry(copyObject((Expr *) unconstify(Var *, var)),
						  list_length(h->sub->targetList) + 1,
						  psprintf("x%d", list_length(h->sub->targetList) + 1), false);
	h->sub->targetList = lappend(h->sub->targetList, tle);
	return makeVar(h->rtindex, tle->resno, var->vartype, var->vartypmod,
				   var->varcollid, 0);
}

/* Conditions of the subquery -> conditions of the level. */
static Node *
hoist_mutator(Node *node, Hoist *h)
{
	if (node == NULL)
		return NULL;
	if (IsA(node, Var))
	{
		Var		   *var = (Var *) node;

		if (var->varlevelsup == 0)
			return (Node *) exported(h, var);
		var = copyObject(var);
		var->varlevelsup--;
		return (Node *) var;
	}
	return expression_tree_mutator(node, hoist_mutator, h);
}

static void
take_correlated(Node *node, List **taken)
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
			return;
		take_correlated(join->larg, taken);
		take_correlated(join->rarg, taken);
		quals = &join->quals;
	}
	else
	{
		foreach(lc, castNode(FromExpr, node)->fromlist)
			take_correlated(lfirst(lc), taken);
		quals = &((FromExpr *) node)->quals;
	}
	foreach(lc, make_ands_implicit((Expr *) *quals))
	{
		Node	   *qual = lfirst(lc);

		if (contain_vars_of_level(qual, 1) && !checkExprHasSubLink(qual))
			*taken = lappend(*taken, qual);
		else
			rest = lappend(rest, qual);
	}
	*quals = rest == NIL ? NULL : (Node *) make_ands_explicit(rest);
}

static bool
is_correlated(Query *sub)
{
	return contain_vars_of_level((Node *) sub, 1);
}

/* Columns sorted by: the order of rows is nobody's concern. */
static void
drop_junk(Query *sub)
{
	List	   *visible = NIL;
	ListCell   *lc;

	foreach(lc, sub->targetList)
		if (!lfirst_node(TargetEntry, lc)->resjunk)
			visible = lappend(visible, lfirst(lc));
	sub->targetList = visible;
	sub->sortClause = NIL;
	foreach(lc, visible)
		lfirst_node(TargetEntry, lc)->resno = foreach_current_index(lc) + 1;
}

Query *
pgt_sublink_hoist(Query *sub, int rtindex, List **quals)
{
	Hoist		h = {copyObject(sub), rtindex};
	List	   *taken = NIL;

	*quals = NIL;
	if (!is_correlated(h.sub))
		return h.sub;
	if (!is_plain(h.sub) || h.sub->distinctClause != NIL)
		return NULL;
	take_correlated((Node *) h.sub->jointree, &taken);
	if (is_correlated(h.sub))
		return NULL;
	drop_junk(h.sub);
	*quals = (List *) hoist_mutator((Node *) taken, &h);
	return h.sub;
}

/* Attach a subquery to the level: its number in the range table, and the
 * conditions that choose its rows. */
static bool
attach(PgtUnnestLevel *v, Query *sub, int *rtindex, List **quals)
{
	PgtDomain	d;

	*rtindex = list_length(v->query->rtable) + 1;
	d.sub = pgt_sublink_hoist(sub, *rtindex, quals);
	if (d.sub != NULL)
	{
		pgt_unnest_add_entry(v, d.sub);
		return true;
	}
	if (!pgt_domain_make(v->u, v->query, copyObject(sub), *rtindex, &d))
		return false;
	Assert(!d.aggregate);
	*quals = d.quals;
	pgt_unnest_add_entry(v, d.sub);
	return true;
}

static Node *
null_const(Oid type)
{
	return (Node *) makeNullConst(type, -1, InvalidOid);
}

static Node *
mark_join(PgtUnnestLevel *v, int rtindex, List *quals)
{
	return pgt_unnest_column_join(v, PGT_MARK_JOIN, rtindex, quals,
								  makeBoolConst(true, false));
}

/* ---- aggregates ---- */

static Node *
column(const PgtUnnestLevel *v, int rtindex, int col)
{
	RangeTblEntry *rte = list_nth(v->query->rtable, rtindex - 1);
	Node	   *expr = (Node *) ((TargetEntry *) list_nth(rte->subquery->targetList,
														  col - 1))->expr;

	return (Node *) makeVar(rtindex, col, exprType(expr), exprTypmod(expr),
							exprCollation(expr), 0);
}

static Node *
typed_null(Node *like)
{
	return (Node *) makeNullConst(exprType(like), exprTypmod(like), exprCollation(like));
}

static bool
is_correlated_aggregate(Query *sub)
{
	return sub->hasAggs && sub->groupClause == NIL && sub->groupingSets == NIL &&
		sub->setOperations == NULL && is_correlated(sub) &&
		!pgt_level_is_ordered(sub);
}

/* Joined so that it has a row or NULLs. */
static bool
attach_aggregate(PgtUnnestLevel *v, Query *sub, PgtDomain *d, int *rtindex)
{
	if (!is_correlated_aggregate(sub))
		return false;
	*rtindex = list_length(v->query->rtable) + 1;
	if (!pgt_domain_make(v->u, v->query, copyObject(sub), *rtindex, d))
		return false;
	pgt_unnest_add_entry(v, d->sub);
	pgt_unnest_join(v, JOIN_LEFT, *rtindex, d->quals);
	return true;
}

/* ---- EXISTS ---- */

static Node *
exists_value(PgtUnnestLevel *v, SubLink *link)
{
	Query	   *sub = simplify_for_exists((Query *) link->subselect);
	PgtDomain	d;
	int			rtindex;
	List	   *quals;

	if (has_one_row(sub))
		return makeBoolConst(true, false);
	if (attach_aggregate(v, sub, &d, &rtindex))
		return pgt_domain_exists(&d, rtindex);
	if (!attach(v, sub, &rtindex, &quals))
		return makeBoolConst(true, false);
	return mark_join(v, rtindex, quals);
}

static void
exists_condition(PgtUnnestLevel *v, SubLink *link, bool negated)
{
	Query	   *sub = simplify_for_exists((Query *) link->subselect);
	int			rtindex;
	List	   *quals;

	link->subselect = (Node *) sub;
	if (sub->hasAggs && sub->groupClause == NIL)
	{
		Node	   *value = exists_value(v, link);

		if (negated)
			value = (Node *) makeBoolExpr(NOT_EXPR, list_make1(value), -1);
		v->quals = lappend(v->quals, value);
	}
	else if (attach(v, sub, &rtindex, &quals))
		pgt_unnest_join(v, negated ? JOIN_ANTI : JOIN_SEMI, rtindex, quals);
}

/* ---- ANY, ALL, IN ---- */

/* A test: is there a row for which it hits, or is NULL? */
typedef struct RowTest
{
	Query	   *sub;
	bool		all;			/* ALL: to hit is to be false */
	Node	   *test;			/* Params for the subquery's columns */
} RowTest;

static Node *
columns_for_params_mutator(Node *node, PgtUnnestLevel *v)
{
	if (node == NULL)
		return NULL;
	if (IsA(node, Param) && ((Param *) node)->paramkind == PARAM_SUBLINK)
		return column(v, list_length(v->query->rtable), ((Param *) node)->paramid);
	return expression_tree_mutator(node, columns_for_params_mutator, v);
}

static Node *
boolean_test(Node *arg, BoolTestType type)
{
	BooleanTest *test = makeNode(BooleanTest);

	test->arg = (Expr *) arg;
	test->booltesttype = type;
	test->location = -1;
	return (Node *) test;
}

/* The negation of a comparison, as one: there are indexes for a = b. */
static Node *
negated(Node *test)
{
	OpExpr	   *op = (OpExpr *) test;
	Oid			negator;

	if (!IsA(test, OpExpr) || !OidIsValid(negator = get_negator(op->opno)))
		return boolean_test(test, IS_FALSE);
	op = copyObject(op);
	op->opno = negator;
	op->opfuncid = InvalidOid;
	set_opfuncid(op);
	return (Node *) op;
}

static Node *
is_null(Node *arg)
{
	NullTest   *test = makeNode(NullTest);

	test->arg = (Expr *) arg;
	test->nulltesttype = IS_NULL;
	test->location = -1;
	return (Node *) test;
}

/* Attach the subquery once more, with one more condition over its columns. */
static bool
attach_test(PgtUnnestLevel *v, const RowTest *t, Node *condition, int *rtindex,
			List **quals)
{
	if (!attach(v, copyObject(t->sub), rtindex, quals))
		return false;
	*quals = lappend(*quals, columns_for_params_mutator(condition, v));
	return true;
}

static Node *
hit_condition(const RowTest *t)
{
	return t->all ? negated(copyObject(t->test)) : copyObject(t->test);
}

/*
 * Ways in which the test can be NULL.  A comparison that sorts or hashes by
 * is NULL where an operand is, and nowhere else; each operand is a condition
 * of one side.
 */
static List *
null_conditions(const RowTest *t)
{
	OpExpr	   *op = (OpExpr *) t->test;

	if (IsA(t->test, OpExpr) && list_length(op->args) == 2 &&
		op_strict(op->opno) &&
		pgt_op_is_comparison(op->opno))
		return list_make2(is_null(copyObject(linitial(op->args))),
						  is_null(copyObject(lsecond(op->args))));
	return list_make1(boolean_test(copyObject(t->test), IS_UNKNOWN));
}

static Node *
test_mark(PgtUnnestLevel *v, const RowTest *t, Node *condition)
{
	int			rtindex;
	List	   *quals;

	if (!attach_test(v, t, condition, &rtindex, &quals))
		return makeBoolConst(true, false);
	return mark_join(v, rtindex, quals);
}

static void
test_join(PgtUnnestLevel *v, const RowTest *t, Node *condition, JoinType type)
{
	int			rtindex;
	List	   *quals;

	if (attach_test(v, t, condition, &rtindex, &quals))
		pgt_unnest_join(v, type, rtindex, quals);
}

static RowTest
row_test(PgtUnnestLevel *v, SubLink *link)
{
	RowTest		t;

	t.sub = (Query *) link->subselect;
	t.all = link->subLinkType == ALL_SUBLINK;
	t.test = pgt_sublink_replace(v, link->testexpr, false);
	if (!t.sub->hasDistinctOn && !pgt_level_is_limited(t.sub) &&
		t.sub->setOperations == NULL)
		t.sub->distinctClause = NIL;
	return t;
}

/* The test where the subquery is the one row of a correlated aggregate. */
typedef struct AggregateTest
{
	PgtDomain	d;
	int			rtindex;
} AggregateTest;

static Node *
values_for_params_mutator(Node *node, AggregateTest *a)
{
	if (node == NULL)
		return NULL;
	if (IsA(node, Param) && ((Param *) node)->paramkind == PARAM_SUBLINK)
		return pgt_domain_value(&a->d, a->rtindex, ((Param *) node)->paramid);
	return expression_tree_mutator(node, values_for_params_mutator, a);
}

static Node *
aggregate_test(PgtUnnestLevel *v, const RowTest *t)
{
	AggregateTest a;
	CaseExpr   *expr = makeNode(CaseExpr);
	CaseWhen   *when = makeNode(CaseWhen);

	if (!attach_aggregate(v, t->sub, &a.d, &a.rtindex))
		return makeBoolConst(true, false);
	when->expr = (Expr *) pgt_domain_exists(&a.d, a.rtindex);
	when->result = (Expr *) values_for_params_mutator(t->test, &a);
	when->location = -1;
	expr->casetype = BOOLOID;
	expr->args = list_make1(when);
	expr->defresult = (Expr *) makeBoolConst(t->all, false);
	expr->location = -1;
	return (Node *) expr;
}

static Node *
test_value(PgtUnnestLevel *v, SubLink *link, bool positive)
{
	RowTest		t = row_test(v, link);
	Node	   *hit = is_correlated_aggregate(t.sub) ? aggregate_test(v, &t) :
		test_mark(v, &t, hit_condition(&t));
	CaseExpr   *expr = makeNode(CaseExpr);
	CaseWhen   *when;
	List	   *nulls = NIL;
	ListCell   *lc;

	if ((positive && !t.all) || is_correlated_aggregate(t.sub))
		return hit;
	foreach(lc, null_conditions(&t))
		nulls = lappend(nulls, test_mark(v, &t, lfirst(lc)));
	when = makeNode(CaseWhen);
	when->expr = (Expr *) hit;
	when->result = (Expr *) makeBoolConst(!t.all, false);
	when->location = -1;
	expr->args = list_make1(when);
	when = makeNode(CaseWhen);
	when->expr = list_length(nulls) == 1 ? linitial(nulls) : make_orclause(nulls);
	when->result = (Expr *) null_const(BOOLOID);
	when->location = -1;
	expr->args = lappend(expr->args, when);
	expr->casetype = BOOLOID;
	expr->defresult = (Expr *) makeBoolConst(t.all, false);
	expr->location = -1;
	return (Node *) expr;
}

/* Under AND in WHERE, perhaps under one NOT. */
static void
test_condition(PgtUnnestLevel *v, SubLink *link, bool negated)
{
	RowTest		t = row_test(v, link);
	ListCell   *lc;

	if (is_correlated_aggregate(t.sub))
	{
		Node	   *value = aggregate_test(v, &t);

		v->quals = lappend(v->quals, negated ?
						   (Node *) makeBoolExpr(NOT_EXPR, list_make1(value), -1) : value);
		return;
	}
	if (t.all == negated)
	{
		test_join(v, &t, hit_condition(&t), JOIN_SEMI);
		return;
	}
	test_join(v, &t, hit_condition(&t), JOIN_ANTI);
	foreach(lc, null_conditions(&t))
		test_join(v, &t, lfirst(lc), JOIN_ANTI);
}

/* ---- scalars ---- */

static Node *
scalar_value(PgtUnnestLevel *v, SubLink *link)
{
	Query	   *sub = (Query *) link->subselect;
	Node	   *null = typed_null((Node *) linitial_node(TargetEntry, sub->targetList)->expr);
	PgtDomain	d;
	int			rtindex;
	List	   *quals;

	if (has_one_row(sub) && !is_correlated(sub))
	{
		rtindex = pgt_unnest_add_entry(v, sub);
		pgt_unnest_join(v, JOIN_INNER, rtindex, NIL);
		return column(v, rtindex, 1);
	}
	if (attach_aggregate(v, sub, &d, &rtindex))
		return pgt_domain_value(&d, rtindex, 1);
	if (!attach(v, sub, &rtindex, &quals))
		return null;
	return pgt_unnest_column_join(v, PGT_SINGLE_JOIN, rtindex, quals,
								  column(v, rtindex, 1));
}

/* ---- ARRAY and rows ---- */

/* Sorted by columns become columns, after the others. */
static void
show_junk(Query *sub)
{
	ListCell   *lc;

	foreach(lc, sub->targetList)
	{
		TargetEntry *tle = lfirst_node(TargetEntry, lc);

		if (tle->resjunk)
			tle->resname = psprintf("s%d", tle->resno);
		tle->resjunk = false;
	}
}

/* SELECT array_agg(value ORDER BY ...) FROM (subquery) */
static Query *
aggregated(Query *sub)
{
	Query	   *query = pgt_qtree_select();
	Aggref	   *agg = makeNode(Aggref);
	Node	   *value = (Node *) linitial_node(TargetEntry, sub->targetList)->expr;
	Oid			type = exprType(value);
	List	   *names = NIL;
	ListCell   *lc;

	show_junk(sub);
	IncrementVarSublevelsUp((Node *) sub, 1, 1);
	foreach(lc, sub->targetList)
	{
		TargetEntry *tle = lfirst_node(TargetEntry, lc);
		TargetEntry *arg;

		names = lappend(names, makeString(pstrdup(tle->resname ? tle->resname : "?column?")));
		if (tle->resno > 1 && tle->ressortgroupref == 0)
			continue;
		arg = makeTargetEntry((Expr *) makeVar(1, tle->resno, exprType((Node *) tle->expr),
											   exprTypmod((Node *) tle->expr),
											   exprCollation((Node *) tle->expr), 0),
							  list_length(agg->args) + 1, NULL, tle->resno > 1);
		arg->ressortgroupref = tle->ressortgroupref;
		agg->args = lappend(agg->args, arg);
	}
	agg->aggorder = copyObject(sub->sortClause);
	agg->aggfnoid = OidIsValid(get_element_type(type)) ? F_ARRAY_AGG_ANYARRAY :
		F_ARRAY_AGG_ANYNONARRAY;
	agg->aggtype = get_promoted_array_type(type);
	agg->aggcollid = exprCollation(value);
	agg->inputcollid = exprCollation(value);
	agg->aggargtypes = list_make1_oid(type);
	agg->aggkind = AGGKIND_NORMAL;
	agg->aggsplit = AGGSPLIT_SIMPLE;
	agg->aggno = -1;
	agg->aggtransno = -1;
	agg->location = -1;
	if (!pgt_level_is_limited(sub))
		sub->sortClause = NIL;
	pgt_qtree_add_from(query, pgt_qtree_subquery(sub, "elements", names, false));
	pgt_qtree_add_target(query, (Node *) agg, "array");
	query->hasAggs = true;
	return query;
}

/* ARRAY of nothing is an empty array, not NULL. */
static Node *
array_value(PgtUnnestLevel *v, SubLink *link)
{
	CoalesceExpr *expr = makeNode(CoalesceExpr);
	Oid			type;
	Oid			element;

	link->subselect = (Node *) aggregated((Query *) link->subselect);
	link->subLinkType = EXPR_SUBLINK;
	type = exprType((Node *) linitial_node(TargetEntry, ((Query *) link->subselect)->targetList)->expr);
	element = get_element_type(type);
	expr->coalescetype = type;
	expr->coalescecollid = exprCollation((Node *) linitial_node(TargetEntry, ((Query *) link->subselect)->targetList)->expr);
	expr->args = list_make2(scalar_value(v, link),
							makeConst(type, -1, expr->coalescecollid, -1,
									  PointerGetDatum(construct_empty_array(element)),
									  false, false));
	expr->location = -1;
	return (Node *) expr;
}

typedef struct RowValue
{
	PgtUnnestLevel *v;
	Query	   *sub;
} RowValue;

/* Each column of the one row by itself. */
static Node *
row_value_mutator(Node *node, RowValue *r)
{
	if (node == NULL)
		return NULL;
	if (IsA(node, Param) && ((Param *) node)->paramkind == PARAM_SUBLINK)
	{
		SubLink    *link = makeNode(SubLink);
		Query	   *sub = copyObject(r->sub);
		TargetEntry *tle = list_nth(sub->targetList, ((Param *) node)->paramid - 1);

		tle->resno = 1;
		sub->targetList = list_make1(tle);
		sub->sortClause = NIL;
		link->subLinkType = EXPR_SUBLINK;
		link->subselect = (Node *) sub;
		link->location = -1;
		return scalar_value(r->v, link);
	}
	return expression_tree_mutator(node, row_value_mutator, r);
}

static Node *
row_value(PgtUnnestLevel *v, SubLink *link)
{
	RowValue	r = {v, (Query *) link->subselect};
	Node	   *test = pgt_sublink_replace(v, link->testexpr, false);

	if (!is_plain(r.sub) && !has_one_row(r.sub))
	{
		pgt_unnest_refuse(v->u, "a row comparison with a subquery of this kind", NULL);
		return test;
	}
	r.sub->distinctClause = NIL;
	return row_value_mutator(test, &r);
}

/* ---- any expression ---- */

typedef struct Replace
{
	PgtUnnestLevel *v;
	bool		positive;
} Replace;

static Node *
replace_link(Replace *r, SubLink *link)
{
	switch (link->subLinkType)
	{
		case EXISTS_SUBLINK:
			return exists_value(r->v, link);
		case ANY_SUBLINK:
		case ALL_SUBLINK:
			return test_value(r->v, link, r->positive);
		case EXPR_SUBLINK:
			return scalar_value(r->v, link);
		case ROWCOMPARE_SUBLINK:
			return row_value(r->v, link);
		case ARRAY_SUBLINK:
			return array_value(r->v, link);
		default:
			pgt_unnest_refuse(r->v->u, "a subquery in an expression", NULL);
			break;
	}
	return (Node *) link;
}

static Node *
replace_mutator(Node *node, Replace *r)
{
	bool		positive = r->positive;

	if (node == NULL)
		return NULL;
	if (IsA(node, SubLink))
	{
		if (pgt_sublink_within(node))
			return replace_link(r, copyObject((SubLink *) node));
		return copyObject(node);
	}
	if (IsA(node, Query))
		return copyObject(node);
	r->positive = positive && (IsA(node, List) ||
							   (IsA(node, BoolExpr) && ((BoolExpr *) node)->boolop != NOT_EXPR));
	node = expression_tree_mutator(node, replace_mutator, r);
	r->positive = positive;
	return node;
}

Node *
pgt_sublink_replace(PgtUnnestLevel *v, Node *node, bool positive)
{
	Replace		r = {v, positive};

	return replace_mutator(node, &r);
}

static SubLink *
filter_link(Node *qual, bool *negated)
{
	SubLink    *link;

	*negated = is_notclause(qual);
	link = (SubLink *) (*negated ? (Node *) get_notclausearg((Expr *) qual) : qual);
	if (!IsA(link, SubLink) || pgt_query_is_pure((Query *) link->subselect))
		return NULL;
	return link->subLinkType == EXISTS_SUBLINK || link->subLinkType == ANY_SUBLINK ||
		link->subLinkType == ALL_SUBLINK ? link : NULL;
}

bool
pgt_sublink_is_filter(Node *qual)
{
	bool		negated;

	return filter_link(qual, &negated) != NULL;
}

void
pgt_sublink_condition(PgtUnnestLevel *v, Node *qual)
{
	bool		negated;
	SubLink    *link = filter_link(qual, &negated);

	if (link == NULL)
		v->quals = lappend(v->quals, pgt_sublink_replace(v, qual, true));
	else if (link->subLinkType == EXISTS_SUBLINK)
		exists_condition(v, link, negated);
	else
		test_condition(v, link, negated);
}
