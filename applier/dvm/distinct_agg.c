/*
 * applier/dvm/distinct_agg.c - aggregates of distinct values, as aggregates of
 * rows that a DISTINCT below lets through once.
 *
 *     SELECT g, sum(a), count(DISTINCT x) FROM ... GROUP BY g
 * becomes
 *     SELECT g, sum(a) FILTER (WHERE f0), count(x) FILTER (WHERE f1)
 *     FROM (SELECT g, a, x, true AS f0, false AS f1 FROM base
 *           UNION ALL
 *           SELECT g, NULL, x, false, true FROM (SELECT DISTINCT g, x FROM base))
 *     GROUP BY g
 * so that a value is counted in the state of the DISTINCT and the aggregate
 * sees it come and go once.  "base" is FROM and WHERE of the level, computing
 * columns; written twice, it is one operator.  Aggregates that share value and
 * FILTER share a DISTINCT.  Groups are as before: a distinct row is there only
 * where a row of base is.
 *
 * Taken are aggregates that do not depend on the order of their input, which
 * the catalog says by an inverse transition function.  Those for which DISTINCT
 * changes nothing (min, max, bool_and) lose it.  Others stay as they are.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/transam.h"
#include "catalog/pg_aggregate.h"
#include "catalog/pg_class.h"
#include "catalog/pg_inherits.h"
#include "catalog/pg_type.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/optimizer.h"
#include "optimizer/tlist.h"
#include "parser/parse_clause.h"
#include "parser/parse_oper.h"
#include "parser/parsetree.h"
#include "rewrite/rewriteManip.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/syscache.h"

#include "applier/catalog/catalog.h"
#include "applier/dvm/compile.h"
#include "applier/dvm/level.h"
#include "applier/dvm/qtree.h"

/* Vars of these numbers: a column of the base, a flag f0, f1, ... */
#define COLUMN_VARNO 1
#define FLAG_VARNO 2

/* Values that some aggregates see once. */
typedef struct DistinctValues
{
	int			column;
	int			filter;			/* column, 0 = none */
	SortGroupClause *clause;	/* its equality */
} DistinctValues;

typedef struct Split
{
	Query	   *query;
	List	   *columns;		/* of Node*: of the base */
	List	   *keys;			/* of Node*: what is grouped by */
	List	   *key_clauses;	/* of SortGroupClause* */
	List	   *values;			/* of DistinctValues* */
	bool		failed;
} Split;

/* ---- which aggregates ---- */

static Form_pg_aggregate
aggregate_form(Oid aggfnoid, HeapTuple *tuple)
{
	*tuple = SearchSysCache1(AGGFNOID, ObjectIdGetDatum(aggfnoid));
	if (!HeapTupleIsValid(*tuple))
		elog(ERROR, "cache lookup failed for aggregate %u", aggfnoid);
	return (Form_pg_aggregate) GETSTRUCT(*tuple);
}

/* The same with and without DISTINCT. */
static bool
is_idempotent(Oid aggfnoid)
{
	HeapTuple	tuple;
	bool		extreme = OidIsValid(aggregate_form(aggfnoid, &tuple)->aggsortop);

	ReleaseSysCache(tuple);
	return extreme || aggfnoid == F_BOOL_AND || aggfnoid == F_BOOL_OR ||
		aggfnoid == F_EVERY;
}

static bool
is_order_blind(Oid aggfnoid)
{
	HeapTuple	tuple;
	bool		moving = OidIsValid(aggregate_form(aggfnoid, &tuple)->aggmtransfn);

	ReleaseSysCache(tuple);
	/* what a user made may look at the order of its inputs */
	return moving && (aggfnoid < FirstNormalObjectId ||
					  get_func_namespace(aggfnoid) == pgt_schema_oid());
}

static bool
is_taken(const Aggref *agg)
{
	return agg->agglevelsup == 0 && agg->aggdistinct != NIL &&
		agg->aggkind == AGGKIND_NORMAL && list_length(agg->args) == 1 &&
		is_order_blind(agg->aggfnoid);
}

static Node *
drop_distinct_mutator(Node *node, void *context)
{
	if (node == NULL)
		return NULL;
	if (IsA(node, Aggref) && ((Aggref *) node)->agglevelsup == 0 &&
		((Aggref *) node)->aggdistinct != NIL &&
		is_idempotent(((Aggref *) node)->aggfnoid))
	{
		Aggref	   *agg = (Aggref *) copyObject(node);

		agg->aggdistinct = NIL;
		agg->aggorder = NIL;
		return (Node *) agg;
	}
	return expression_tree_mutator(node, drop_distinct_mutator, context);
}

static bool
find_taken_walker(Node *node, void *context)
{
	if (node == NULL)
		return false;
	if (IsA(node, Aggref) && is_taken((Aggref *) node))
		return true;
	return expression_tree_walker(node, find_taken_walker, context);
}

/* ---- the level in terms of columns ---- */

static int
column_number(Split *s, Node *node)
{
	int			i = 0;
	ListCell   *lc;

	foreach(lc, s->columns)
	{
		i++;
		if (equal(lfirst(lc), node))
			return i;
	}
	s->columns = lappend(s->columns, node);
	return i + 1;
}

static Var *
column_var(Split *s, Node *node)
{
	return makeVar(COLUMN_VARNO, column_number(s, node), exprType(node),
				   exprTypmod(node), exprCollation(node), 0);
}

static Expr *
flag_var(int flag)
{
	return (Expr *) makeVar(FLAG_VARNO, flag, BOOLOID, -1, InvalidOid, 0);
}

/* An argument: a column, unless it is constant. */
static Expr *
argument(Split *s, Expr *expr)
{
	if (!contain_var_clause((Node *) expr))
		return expr;
	return (Expr *) column_var(s, (Node *) expr);
}

/* Can it be a column of a state table? */
static bool
can_be_kept(Node *node)
{
	return get_typtype(getBaseType(exprType(node))) != TYPTYPE_PSEUDO;
}

/* Flag of the rows that carry these values once: from 1. */
static int
flag_of_values(Split *s, const Aggref *agg)
{
	TargetEntry *tle = linitial_node(TargetEntry, agg->args);
	int			column = column_number(s, (Node *) tle->expr);
	int			filter = agg->aggfilter == NULL ? 0 :
		column_number(s, (Node *) agg->aggfilter);
	int			flag = 0;
	DistinctValues *values;
	ListCell   *lc;

	foreach(lc, s->values)
	{
		values = lfirst(lc);
		flag++;
		if (values->column == column && values->filter == filter)
			return flag;
	}
	values = palloc0(sizeof(DistinctValues));
	values->column = column;
	values->filter = filter;
	values->clause = linitial_node(SortGroupClause, agg->aggdistinct);
	s->values = lappend(s->values, values);
	return flag + 1;
}

static Node *to_columns_mutator(Node *node, Split *s);

static Node *
convert_aggregate(Split *s, const Aggref *of)
{
	Aggref	   *agg = copyObject(unconstify(Aggref *, of));
	ListCell   *lc;

	if (is_taken(of) &&
		!can_be_kept((Node *) linitial_node(TargetEntry, of->args)->expr))
		s->failed = true;
	if (is_taken(of))
	{
		agg->aggfilter = flag_var(flag_of_values(s, of));
		agg->aggdistinct = NIL;
		agg->aggorder = NIL;
	}
	else if (agg->aggfilter == NULL)
		agg->aggfilter = flag_var(0);
	else
		agg->aggfilter = (Expr *) column_var(s, (Node *) agg->aggfilter);
	agg->aggdirectargs = (List *)
		to_columns_mutator((Node *) agg->aggdirectargs, s);
	foreach(lc, agg->args)
	{
		TargetEntry *tle = lfirst_node(TargetEntry, lc);

		tle->expr = is_taken(of) ? (Expr *) column_var(s, (Node *) tle->expr) :
			argument(s, tle->expr);
		if (is_taken(of))
			tle->ressortgroupref = 0;
	}
	return (Node *) agg;
}

static bool
is_key(const Split *s, Node *node)
{
	ListCell   *lc;

	foreach(lc, s->keys)
		if (equal(lfirst(lc), node))
			return true;
	return false;
}

/* A column that a primary key among the keys determines is one more key. */
static void
add_dependent_key(Split *s, Var *var)
{
	RangeTblEntry *rte = rt_fetch(var->varno, s->query->rtable);
	SortGroupClause *clause = makeNode(SortGroupClause);
	bool		hashable;

	get_sort_group_operators(var->vartype, false, false, false,
							 &clause->sortop, &clause->eqop, NULL, &hashable);
	clause->hashable = hashable;
	/* where check.c has something to say the level stays as it is */
	if (!OidIsValid(clause->eqop) ||
		(rte->rtekind == RTE_RELATION && rte->inh && has_subclass(rte->relid)))
		s->failed = true;
	s->keys = lappend(s->keys, var);
	s->key_clauses = lappend(s->key_clauses, clause);
}

static Node *
to_columns_mutator(Node *node, Split *s)
{
	if (node == NULL)
		return NULL;
	if (is_key(s, node))
		return (Node *) column_var(s, node);
	if (IsA(node, Aggref) && ((Aggref *) node)->agglevelsup == 0)
		return convert_aggregate(s, (Aggref *) node);
	if (IsA(node, Var) && ((Var *) node)->varlevelsup == 0)
	{
		add_dependent_key(s, (Var *) node);
		return (Node *) column_var(s, node);
	}
	if (IsA(node, SubLink))
		s->failed = true;
	return expression_tree_mutator(node, to_columns_mutator, s);
}

/* Flags stand behind the columns. */
static Node *
place_flags_mutator(Node *node, Split *s)
{
	if (node == NULL)
		return NULL;
	if (IsA(node, Var) && ((Var *) node)->varlevelsup == 0 &&
		((Var *) node)->varno == FLAG_VARNO)
	{
		Var		   *var = (Var *) copyObject(node);

		var->varno = COLUMN_VARNO;
		var->varattno += list_length(s->columns) + 1;
		var->varnosyn = 0;
		var->varattnosyn = 0;
		return (Node *) var;
	}
	return expression_tree_mutator(node, place_flags_mutator, s);
}

/* ---- the branches ---- */

/* FROM and WHERE of the level, so many levels further down. */
static Query *
make_base(const Split *s, int depth)
{
	Query	   *base = makeNode(Query);
	int			i = 0;
	ListCell   *lc;

	*base = *s->query;
	base->targetList = NIL;
	base->groupClause = NIL;
	base->havingQual = NULL;
	base->hasAggs = false;
	base->windowClause = NIL;
	base->hasWindowFuncs = false;
	base->hasTargetSRFs = false;
	base->distinctClause = NIL;
	base->hasDistinctOn = false;
	base->sortClause = NIL;
	base->limitCount = NULL;
	base->limitOffset = NULL;
	foreach(lc, s->columns)
	{
		i++;
		base->targetList = lappend(base->targetList,
								   makeTargetEntry(lfirst(lc), i,
												   psprintf("c%d", i), false));
	}
	base = copyObject(base);
	IncrementVarSublevelsUp((Node *) base, depth, 1);
	return base;
}

static Query *
select_from(Query *subquery)
{
	Query	   *query = pgt_qtree_select();
	List	   *names = NIL;
	ListCell   *lc;

	foreach(lc, subquery->targetList)
		names = lappend(names, makeString(lfirst_node(TargetEntry, lc)->resname));
	pgt_qtree_add_from(query, pgt_qtree_subquery(subquery, "base", names, false));
	return query;
}

static Var *
column_of(const Split *s, int column, int attno)
{
	Node	   *node = list_nth(s->columns, column - 1);

	return makeVar(1, attno, exprType(node), exprTypmod(node),
				   exprCollation(node), 0);
}

/* Flags f0, f1, ...: the nth is true. */
static void
add_flags(const Split *s, Query *query, int nth)
{
	for (int i = 0; i <= list_length(s->values); i++)
		pgt_qtree_add_target(query, makeBoolConst(i == nth, false),
							 psprintf("f%d", i));
}

static Query *
rows_branch(const Split *s)
{
	Query	   *query = select_from(make_base(s, 3));

	for (int i = 1; i <= list_length(s->columns); i++)
		pgt_qtree_add_target(query, (Node *) column_of(s, i, i),
							 psprintf("c%d", i));
	add_flags(s, query, 0);
	return query;
}

static void
add_distinct(Query *query, Node *expr, const SortGroupClause *clause)
{
	SortGroupClause *copy = copyObject(unconstify(SortGroupClause *, clause));

	pgt_qtree_add_target(query, expr,
						 psprintf("d%d", list_length(query->targetList) + 1));
	copy->tleSortGroupRef = list_length(query->targetList);
	llast_node(TargetEntry, query->targetList)->ressortgroupref =
		copy->tleSortGroupRef;
	query->distinctClause = lappend(query->distinctClause, copy);
}

/* SELECT DISTINCT keys, value FROM base WHERE filter. */
static Query *
distinct_rows(Split *s, const DistinctValues *values)
{
	Query	   *query = select_from(make_base(s, 4));
	ListCell   *lk;
	ListCell   *lc;

	forboth(lk, s->keys, lc, s->key_clauses)
	{
		int			column = column_number(s, lfirst(lk));

		add_distinct(query, (Node *) column_of(s, column, column), lfirst(lc));
	}
	add_distinct(query, (Node *) column_of(s, values->column, values->column),
				 values->clause);
	if (values->filter > 0)
		query->jointree->quals = (Node *) column_of(s, values->filter,
													values->filter);
	return query;
}

/* Those rows in the shape of the union. */
static Query *
values_branch(Split *s, const DistinctValues *values, int flag)
{
	Query	   *query = select_from(distinct_rows(s, values));
	int		   *attnos = palloc0(sizeof(int) * (list_length(s->columns) + 1));
	int			attno = 0;
	ListCell   *lc;

	foreach(lc, s->keys)
		attnos[column_number(s, lfirst(lc))] = ++attno;
	attnos[values->column] = ++attno;
	for (int i = 1; i <= list_length(s->columns); i++)
	{
		Node	   *node = list_nth(s->columns, i - 1);

		pgt_qtree_add_target(query, attnos[i] > 0 ?
							 (Node *) column_of(s, i, attnos[i]) :
							 (Node *) makeNullConst(exprType(node), exprTypmod(node),
													exprCollation(node)),
							 psprintf("c%d", i));
	}
	add_flags(s, query, flag);
	return query;
}

static Query *
make_union(Split *s)
{
	List	   *branches = list_make1(rows_branch(s));
	List	   *exprs = NIL;
	int			flag = 0;
	ListCell   *lc;

	foreach(lc, s->values)
		branches = lappend(branches, values_branch(s, lfirst(lc), ++flag));
	foreach(lc, linitial_node(Query, branches)->targetList)
		exprs = lappend(exprs, lfirst_node(TargetEntry, lc)->expr);
	return pgt_qtree_union_all(branches, pgt_exprs_desc(exprs, NIL));
}

/* ---- the level ---- */

/* Keys that GROUP BY does not name yet. */
static void
add_group_clauses(Split *s, List **targets)
{
	for (int i = list_length(s->query->groupClause); i < list_length(s->keys); i++)
	{
		Node	   *key = list_nth(s->keys, i);
		SortGroupClause *clause = copyObject(list_nth(s->key_clauses, i));
		TargetEntry *tle = makeTargetEntry((Expr *) column_var(s, key),
										   list_length(*targets) + 1, NULL, true);

		*targets = lappend(*targets, tle);
		clause->tleSortGroupRef = assignSortGroupRef(tle, *targets);
		s->query->groupClause = lappend(s->query->groupClause, clause);
	}
}

static void
split(Query *query)
{
	Split		s = {query};
	List	   *targets;
	Node	   *having;
	Query	   *rows;
	ListCell   *lc;

	foreach(lc, query->groupClause)
	{
		s.keys = lappend(s.keys, get_sortgroupclause_expr(lfirst(lc), query->targetList));
		s.key_clauses = lappend(s.key_clauses, lfirst(lc));
	}
	foreach(lc, s.keys)
		column_number(&s, lfirst(lc));
	targets = (List *) to_columns_mutator((Node *) query->targetList, &s);
	having = to_columns_mutator(query->havingQual, &s);
	if (s.failed)
		return;
	add_group_clauses(&s, &targets);
	query->targetList = (List *) place_flags_mutator((Node *) targets, &s);
	query->havingQual = place_flags_mutator(having, &s);
	rows = select_from(make_union(&s));
	query->rtable = rows->rtable;
	query->jointree = rows->jointree;
}

void
pgt_distinct_agg_split(Query *query)
{
	if (!query->hasAggs || query->groupingSets != NIL || query->setOperations != NULL)
		return;
	query->targetList = (List *)
		drop_distinct_mutator((Node *) query->targetList, NULL);
	query->havingQual = drop_distinct_mutator(query->havingQual, NULL);
	if (find_taken_walker((Node *) query->targetList, NULL) ||
		find_taken_walker(query->havingQual, NULL))
		split(query);
}
