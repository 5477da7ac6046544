/*
 * applier/dvm/spell.c - the same query, with every operator spelled out.
 *
 * Some constructs of SQL have no place for the schema of the operator they
 * use.  Here they become others that have:
 *     JOIN USING, NATURAL JOIN       FROM list and WHERE (inner joins)
 *     a IS DISTINCT FROM b           (a = b) IS NOT TRUE
 *                                        AND NOT (a IS NULL AND b IS NULL)
 *     NULLIF(a, b)                   CASE WHEN a = b THEN NULL ELSE a END
 *     CASE a WHEN b THEN ...         CASE WHEN a = b THEN ...
 * where = is then deparsed as OPERATOR(schema.=).  Operands are repeated, so
 * this is for queries without volatile functions in them; it serves only the
 * text of a definition, and only where the plain text would mean something
 * else (deparse.c).  Outer joins with USING stay as they are.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/optimizer.h"
#include "parser/parsetree.h"
#include "utils/lsyscache.h"

#include "applier/dvm/compile.h"
#include "applier/dvm/deparse.h"
#include "decoder/compat.h"

static Node *spell_mutator(Node *node, void *context);

/* ---- expressions ---- */

static Node *
null_test(Node *arg)
{
	NullTest   *test = makeNode(NullTest);

	test->arg = copyObject((Expr *) arg);
	test->nulltesttype = IS_NULL;
	test->location = -1;
	return (Node *) test;
}

/* DistinctExpr and NullIfExpr are OpExpr structs with another tag. */
static OpExpr *
plain_comparison(const OpExpr *of)
{
	OpExpr	   *op = makeNode(OpExpr);

	op->opno = of->opno;
	op->opfuncid = of->opfuncid;
	op->opresulttype = BOOLOID;
	op->inputcollid = of->inputcollid;
	op->args = copyObject(of->args);
	op->location = -1;
	return op;
}

static Node *
spell_distinct(OpExpr *distinct)
{
	BooleanTest *test = makeNode(BooleanTest);
	List	   *nulls = list_make2(null_test(linitial(distinct->args)),
								   null_test(lsecond(distinct->args)));

	test->arg = (Expr *) plain_comparison(distinct);
	test->booltesttype = IS_NOT_TRUE;
	test->location = -1;
	return (Node *) make_andclause(list_make2(test,
											  makeBoolExpr(NOT_EXPR,
														   list_make1(make_andclause(nulls)), -1)));
}

static Node *
spell_nullif(OpExpr *nullif)
{
	CaseExpr   *cond = makeNode(CaseExpr);
	CaseWhen   *when = makeNode(CaseWhen);
	Node	   *value = linitial(nullif->args);

	when->expr = (Expr *) plain_comparison(nullif);
	when->result = (Expr *) makeNullConst(exprType(value), exprTypmod(value),
										  exprCollation(value));
	when->location = -1;
	cond->casetype = exprType(value);
	cond->casecollid = exprCollation(value);
	cond->args = list_make1(when);
	cond->defresult = copyObject((Expr *) value);
	cond->location = -1;
	return (Node *) cond;
}

static Node *
spell_case(CaseExpr *simple)
{
	ListCell   *lc;

	/* the stand-in of a nested simple CASE is its own, and already replaced */
	foreach(lc, simple->args)
	{
		CaseWhen   *when = lfirst_node(CaseWhen, lc);

		when->expr = (Expr *) pgt_replace_case_test((Node *) when->expr,
													(Node *) simple->arg);
	}
	simple->arg = NULL;
	return (Node *) simple;
}

/* ---- levels ---- */

static bool
only_inner_joins(Node *node)
{
	ListCell   *lc;

	if (IsA(node, RangeTblRef))
		return true;
	if (IsA(node, JoinExpr))
		return ((JoinExpr *) node)->jointype == JOIN_INNER &&
			only_inner_joins(((JoinExpr *) node)->larg) &&
			only_inner_joins(((JoinExpr *) node)->rarg);
	foreach(lc, castNode(FromExpr, node)->fromlist)
		if (!only_inner_joins(lfirst(lc)))
			return false;
	return true;
}

static bool
has_lateral(const Query *query)
{
	ListCell   *lc;

	foreach(lc, query->rtable)
		if (lfirst_node(RangeTblEntry, lc)->lateral)
			return true;
	return false;
}

/* An entry that nothing refers to any more, in a form that prints nothing. */
static void
blank_entry(RangeTblEntry *rte)
{
	Alias	   *eref = rte->eref;

	memset(rte, 0, sizeof(RangeTblEntry));
	rte->type = T_RangeTblEntry;
	rte->rtekind = RTE_RESULT;
	rte->eref = makeAlias(eref->aliasname, NIL);
}

/* What a column was called in the query no longer exists. */
static bool
forget_names_walker(Node *node, void *context)
{
	if (node == NULL)
		return false;
	if (IsA(node, Var))
	{
		((Var *) node)->varnosyn = 0;
		((Var *) node)->varattnosyn = 0;
		return false;
	}
	if (IsA(node, Query))
		return query_tree_walker((Query *) node, forget_names_walker, context, 0);
	return expression_tree_walker(node, forget_names_walker, context);
}

/* Inner joins as a FROM list and conditions. */
static void
spell_joins(Query *query)
{
	List	   *rtindexes;
	List	   *quals;
	ListCell   *lc;

	if (query->setOperations != NULL || has_lateral(query) ||
		!only_inner_joins((Node *) query->jointree))
		return;
	pgt_flatten_grouping(query);
	query->targetList = (List *)
		pgt_flatten_join_aliases(query, (Node *) query->targetList);
	query->havingQual = pgt_flatten_join_aliases(query, query->havingQual);
	query->jointree = (FromExpr *)
		pgt_flatten_join_aliases(query, (Node *) query->jointree);
	pgt_compile_flatten_from(query, &rtindexes, &quals);
	query->jointree = makeFromExpr(NIL, quals == NIL ? NULL :
								   (Node *) make_ands_explicit(quals));
	foreach(lc, rtindexes)
	{
		RangeTblRef *ref = makeNode(RangeTblRef);

		ref->rtindex = lfirst_int(lc);
		query->jointree->fromlist = lappend(query->jointree->fromlist, ref);
	}
	foreach(lc, query->rtable)
	{
		RangeTblEntry *rte = lfirst_node(RangeTblEntry, lc);

		if (rte->rtekind == RTE_JOIN || pgt_rte_is_grouping(rte))
			blank_entry(rte);
	}
	forget_names_walker((Node *) query, NULL);
}

static Node *
spell_mutator(Node *node, void *context)
{
	if (node == NULL)
		return NULL;
	if (IsA(node, Query))
	{
		Query	   *query = query_tree_mutator((Query *) node, spell_mutator,
											   context, 0);

		spell_joins(query);
		return (Node *) query;
	}
	node = expression_tree_mutator(node, spell_mutator, context);
	if (IsA(node, DistinctExpr))
		return spell_distinct((OpExpr *) node);
	if (IsA(node, NullIfExpr))
		return spell_nullif((OpExpr *) node);
	if (IsA(node, CaseExpr) && ((CaseExpr *) node)->arg != NULL)
		return spell_case((CaseExpr *) node);
	return node;
}

Query *
pgt_spell_operators(const Query *query)
{
	return (Query *) spell_mutator((Node *) copyObject(unconstify(Query *, query)),
								   NULL);
}
