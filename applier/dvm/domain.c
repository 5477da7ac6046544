/*
 * applier/dvm/domain.c - subqueries that refer to the level around them
 * otherwise than in conditions of a plain WHERE.
 *
 * "Unnesting arbitrary queries": the subquery is evaluated for all values at
 * once that the columns it refers to have, its domain
 *     D = SELECT DISTINCT columns FROM the level's FROM
 * D is joined in where the references are, stands for them, and is handed up to
 * the subquery's output: as grouping keys, as part of DISTINCT and PARTITION BY,
 * in every branch of a set operation.  LIMIT becomes a numbering within each
 * value of D.  What is left for the level is to join by D's columns.
 *
 * Of equal values D holds one.  Where equal values can look different (1.0 and
 * 1.00) the subquery must not be able to tell: it may only compare them.
 *
 * A column that some condition beside D compares strictly is never NULL in the
 * result, so the join is by plain equality; else NULLs match, too, which no
 * index and no hash join serves.
 */
#include "postgres.h"

#include "access/stratnum.h"
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
#include "utils/typcache.h"

#include "applier/dvm/items.h"
#include "applier/dvm/keys.h"
#include "applier/dvm/level.h"
#include "applier/dvm/qtree.h"
#include "applier/dvm/unnest.h"

/* One subquery being extended by its domain. */
typedef struct Extend
{
	PgtUnnest  *u;
	Query	   *domain;
	List	   *vars;			/* of Var*: the level's columns referred to, varlevelsup 0 */
} Extend;

/* A place where references are replaced. */
typedef struct Place
{
	Extend	   *e;
	int			varno;			/* entry that has D's columns */
	List	   *attnos;			/* of int: where */
	int			up;				/* from the place to the level */
	int			depth;
} Place;

static List *extend(Extend *e, Query *query, int up, Bitmapset **nonnull);

/* ---- which columns ---- */

static int
position_of(List *vars, const Var *var)
{
	ListCell   *lc;

	foreach(lc, vars)
	{
		Var		   *known = lfirst_node(Var, lc);

		if (known->varno == var->varno && known->varattno == var->varattno)
			return foreach_current_index(lc) + 1;
	}
	return 0;
}

static List *
columns_referred_to(Query *sub)
{
	List	   *vars = NIL;
	ListCell   *lc;

	foreach(lc, pull_vars_of_level((Node *) sub, 1))
	{
		Var		   *var = copyObject(lfirst_node(Var, lc));

		var->varlevelsup = 0;
		if (position_of(vars, var) == 0)
			vars = lappend(vars, var);
	}
	return vars;
}

static Node *
strip_relabel(Node *node)
{
	while (node != NULL && IsA(node, RelabelType))
		node = (Node *) ((RelabelType *) node)->arg;
	return node;
}

/* Comparisons of the type's own order see equal values alike. */
static bool
compares_only(const OpExpr *op, const Var *var)
{
	Oid			family = lookup_type_cache(var->vartype, TYPECACHE_BTREE_OPFAMILY)->btree_opf;

	return OidIsValid(family) && op_in_opfamily(op->opno, family);
}

typedef struct ImageUse
{
	const Var  *var;
	int			depth;
} ImageUse;

/* Is the column used in a way that could tell equal values apart? */
static bool
image_use_walker(Node *node, ImageUse *use)
{
	if (node == NULL)
		return false;
	if (IsA(node, Query))
	{
		bool		result;

		use->depth++;
		result = query_tree_walker((Query *) node, image_use_walker, use, 0);
		use->depth--;
		return result;
	}
	if (IsA(node, Var))
		return ((Var *) node)->varlevelsup == use->depth &&
			((Var *) node)->varno == use->var->varno &&
			((Var *) node)->varattno == use->var->varattno;
	if (IsA(node, OpExpr) && compares_only((OpExpr *) node, use->var))
	{
		ListCell   *lc;

		foreach(lc, ((OpExpr *) node)->args)
		{
			Node	   *arg = strip_relabel(lfirst(lc));

			if (!IsA(arg, Var) && image_use_walker(arg, use))
				return true;
		}
		return false;
	}
	return expression_tree_walker(node, image_use_walker, use);
}

static bool
is_fit(PgtUnnest *u, Query *sub, const Var *var)
{
	ImageUse	use = {var, 0};
	Oid			eqop;

	get_sort_group_operators(var->vartype, false, false, false, NULL, &eqop, NULL, NULL);
	if (!OidIsValid(eqop))
		pgt_unnest_refuse(u, "a correlated subquery over a column whose type has no equality", NULL);
	else if (!pgt_keys_equal_means_identical(var->vartype, var->varcollid, eqop) &&
			 image_use_walker((Node *) sub, &use))
		pgt_unnest_refuse(u, "a correlated subquery over a column of which equal values can look different",
						  "It does more than compare the column.");
	else
		return true;
	return false;
}

static SortGroupClause *
group_clause(const Var *var, TargetEntry *tle, List *targets)
{
	SortGroupClause *clause = makeNode(SortGroupClause);
	bool		hashable;

	get_sort_group_operators(var->vartype, true, true, false, &clause->sortop,
							 &clause->eqop, NULL, &hashable);
	clause->hashable = hashable;
	clause->tleSortGroupRef = assignSortGroupRef(tle, targets);
	return clause;
}

/* D over a copy of the entry that the references are to. */
static Query *
make_domain(const Query *level, List *vars)
{
	Query	   *domain = pgt_qtree_select();
	RangeTblEntry *rte = copyObject(rt_fetch(linitial_node(Var, vars)->varno, level->rtable));
	ListCell   *lc;

	pgt_qtree_add_from(domain, rte);
	foreach(lc, vars)
	{
		Var		   *var = copyObject(lfirst_node(Var, lc));

		var->varno = 1;
		pgt_qtree_add_target(domain, (Node *) var,
							 psprintf("d%d", foreach_current_index(lc) + 1));
	}
	foreach(lc, vars)
		domain->distinctClause = lappend(domain->distinctClause,
										 group_clause(lfirst_node(Var, lc),
													  list_nth(domain->targetList, foreach_current_index(lc)),
													  domain->targetList));
	return domain;
}

/* ---- references replaced ---- */

static Var *
domain_var(const Place *p, int i, int levelsup)
{
	Var		   *like = list_nth(p->e->vars, i - 1);

	return makeVar(p->varno, list_nth_int(p->attnos, i - 1), like->vartype,
				   like->vartypmod, like->varcollid, levelsup);
}

static Node *
replace_mutator(Node *node, Place *p)
{
	if (node == NULL)
		return NULL;
	if (IsA(node, Query))
	{
		Query	   *query;

		p->depth++;
		query = query_tree_mutator((Query *) node, replace_mutator, p, 0);
		p->depth--;
		return (Node *) query;
	}
	if (IsA(node, Var) && ((Var *) node)->varlevelsup == p->up + p->depth)
	{
		int			i = position_of(p->e->vars, (Var *) node);

		if (i == 0)
			elog(ERROR, "column %d of entry %d has no place in the domain",
				 ((Var *) node)->varattno, ((Var *) node)->varno);
		return (Node *) domain_var(p, i, p->depth);
	}
	return expression_tree_mutator(node, replace_mutator, p);
}

static void
replace_references(Query *query, Place *p)
{
	ListCell   *lc;

	query_tree_mutator(query, replace_mutator, p, QTW_DONT_COPY_QUERY);
	foreach(lc, query->rtable)
	{
		RangeTblEntry *rte = lfirst_node(RangeTblEntry, lc);

		if (rte->rtekind == RTE_SUBQUERY && contain_vars_of_level((Node *) rte->subquery, 1))
			rte->lateral = true;
		else if (rte->rtekind != RTE_SUBQUERY && rte->rtekind != RTE_RELATION &&
				 pgt_item_is_pure(rte) && pgt_item_vars(rte) != NIL)
			rte->lateral = true;
	}
}

/* Columns of D that a condition compares strictly. */
static Bitmapset *
strict_columns(const Query *query, const Place *p)
{
	Bitmapset  *result = NULL;
	ListCell   *lc;

	foreach(lc, make_ands_implicit((Expr *) query->jointree->quals))
	{
		OpExpr	   *op = lfirst(lc);
		ListCell   *la;

		if (!IsA(op, OpExpr) || !op_strict(op->opno))
			continue;
		foreach(la, op->args)
		{
			Var		   *var = (Var *) strip_relabel(lfirst(la));

			if (!IsA(var, Var) || var->varlevelsup != 0 || var->varno != p->varno)
				continue;
			for (int i = 1; i <= list_length(p->attnos); i++)
				if (list_nth_int(p->attnos, i - 1) == var->varattno)
					result = bms_add_member(result, i);
		}
	}
	return result;
}

/* ---- clauses ---- */

/* D's columns after the visible ones; returns their numbers. */
static List *
add_output(Query *query, const Place *p, List **entries)
{
	List	   *visible = NIL;
	List	   *junk = NIL;
	List	   *attnos = NIL;
	ListCell   *lc;

	foreach(lc, query->targetList)
		if (lfirst_node(TargetEntry, lc)->resjunk)
			junk = lappend(junk, lfirst(lc));
		else
			visible = lappend(visible, lfirst(lc));
	*entries = NIL;
	for (int i = 1; i <= list_length(p->attnos); i++)
	{
		TargetEntry *tle = makeTargetEntry((Expr *) domain_var(p, i, 0), 0,
										   psprintf("pgt_d%d", i), false);

		visible = lappend(visible, tle);
		*entries = lappend(*entries, tle);
		attnos = lappend_int(attnos, list_length(visible));
	}
	query->targetList = list_concat(visible, junk);
	foreach(lc, query->targetList)
		lfirst_node(TargetEntry, lc)->resno = foreach_current_index(lc) + 1;
	return attnos;
}

static List *
clauses_for(Extend *e, Query *query, List *entries)
{
	List	   *clauses = NIL;
	ListCell   *lc;

	foreach(lc, entries)
		clauses = lappend(clauses,
						  group_clause(list_nth(e->vars, foreach_current_index(lc)),
									   lfirst(lc), query->targetList));
	return clauses;
}

/* FETCH FIRST counts: a constant, 0 = not given; -1: something else. */
static int64
constant_limit(Node *limit, int64 missing)
{
	Const	   *value = (Const *) eval_const_expressions(NULL, limit);

	if (limit == NULL)
		return missing;
	if (!IsA(value, Const))
		return -1;
	return value->constisnull ? missing : DatumGetInt64(value->constvalue);
}

static TargetEntry *
add_numbering(Query *query, Oid funcid, const char *name)
{
	WindowFunc *func = makeNode(WindowFunc);
	TargetEntry *tle;
	int			place = 0;
	ListCell   *lc;

	func->winfnoid = funcid;
	func->wintype = INT8OID;
	func->winref = 1;
	func->location = -1;
	tle = makeTargetEntry((Expr *) func, 0, pstrdup(name), false);
	while (place < list_length(query->targetList) &&
		   !list_nth_node(TargetEntry, query->targetList, place)->resjunk)
		place++;
	query->targetList = list_insert_nth(query->targetList, place, tle);
	foreach(lc, query->targetList)
		lfirst_node(TargetEntry, lc)->resno = foreach_current_index(lc) + 1;
	return tle;
}

static Node *
compare_int8(Oid funcid, const TargetEntry *tle, int64 value)
{
	return (Node *) makeFuncExpr(funcid, BOOLOID,
								 list_make2(makeVar(1, tle->resno, INT8OID, -1, InvalidOid, 0),
											pgt_qtree_int8(value)),
								 InvalidOid, InvalidOid, COERCE_EXPLICIT_CALL);
}

/* LIMIT for each value of D: rows are numbered, and chosen one level above. */
static void
limit_each(Extend *e, Query *query, List *partition)
{
	int64		skip = constant_limit(query->limitOffset, 0);
	int64		count = constant_limit(query->limitCount, PG_INT64_MAX);
	bool		ties = query->limitOption == LIMIT_OPTION_WITH_TIES;
	WindowClause *window = makeNode(WindowClause);
	Query	   *above = pgt_qtree_select();
	Query	   *below = makeNode(Query);
	TargetEntry *number;
	TargetEntry *rank;
	List	   *names = NIL;
	List	   *quals = NIL;
	int			nvisible = 0;
	ListCell   *lc;

	if (skip < 0 || count < 0)
	{
		pgt_unnest_refuse(e->u, "a LIMIT that is no constant in a correlated subquery", NULL);
		return;
	}
	foreach(lc, query->targetList)
		if (!lfirst_node(TargetEntry, lc)->resjunk)
			nvisible++;
	window->partitionClause = partition;
	window->orderClause = query->sortClause;
	window->frameOptions = FRAMEOPTION_DEFAULTS;
	window->winref = 1;
	query->windowClause = list_make1(window);
	query->hasWindowFuncs = true;
	query->sortClause = NIL;
	query->limitCount = NULL;
	query->limitOffset = NULL;
	query->limitOption = LIMIT_OPTION_COUNT;
	number = add_numbering(query, F_ROW_NUMBER, "pgt_number");
	rank = ties ? add_numbering(query, F_RANK_, "pgt_rank") : number;

	*below = *query;
	foreach(lc, below->targetList)
		if (!lfirst_node(TargetEntry, lc)->resjunk)
			names = lappend(names, makeString(pstrdup(lfirst_node(TargetEntry, lc)->resname ?
													  lfirst_node(TargetEntry, lc)->resname : "?column?")));
	pgt_qtree_add_from(above, pgt_qtree_subquery(below, "numbered", names, false));
	for (int i = 1; i <= nvisible; i++)
	{
		TargetEntry *tle = list_nth(below->targetList, i - 1);

		pgt_qtree_add_target(above, (Node *) makeVar(1, i, exprType((Node *) tle->expr),
													 exprTypmod((Node *) tle->expr),
													 exprCollation((Node *) tle->expr), 0),
							 tle->resname ? tle->resname : "?column?");
	}
	if (skip > 0)
		quals = lappend(quals, compare_int8(F_INT8GT, number, skip));
	if (count < PG_INT64_MAX - skip)
		quals = lappend(quals, compare_int8(F_INT8LE, rank, skip + count));
	above->jointree->quals = quals == NIL ? NULL : (Node *) make_ands_explicit(quals);
	*query = *above;
}

/* Whatever the level does, it does for each value of D. */
static List *
hand_up(Extend *e, Query *query, Place *p)
{
	List	   *entries;
	List	   *attnos = add_output(query, p, &entries);
	ListCell   *lc;

	if (query->groupingSets != NIL)
		pgt_unnest_refuse(e->u, "GROUPING SETS in a correlated subquery", NULL);
	if (query->hasTargetSRFs && pgt_level_is_ordered(query))
		pgt_unnest_refuse(e->u, "a set-returning function below a LIMIT in a correlated subquery", NULL);
	if (query->hasAggs || query->groupClause != NIL)
		query->groupClause = list_concat(query->groupClause,
										 clauses_for(e, query, entries));
	if (query->hasDistinctOn)
	{
		query->distinctClause = list_concat(clauses_for(e, query, entries),
											query->distinctClause);
		query->sortClause = list_concat(clauses_for(e, query, entries),
										query->sortClause);
	}
	else if (query->distinctClause != NIL)
		query->distinctClause = list_concat(query->distinctClause,
											clauses_for(e, query, entries));
	foreach(lc, query->windowClause)
	{
		WindowClause *window = lfirst_node(WindowClause, lc);

		window->partitionClause = list_concat(window->partitionClause,
											  clauses_for(e, query, entries));
	}
	if (pgt_level_is_limited(query))
		limit_each(e, query, clauses_for(e, query, entries));
	return attnos;
}

/* ---- levels ---- */

/* The one subquery that is all of FROM, if it has the references. */
static RangeTblEntry *
only_subquery(const Query *query, int up)
{
	Node	   *from;
	RangeTblEntry *rte;

	if (list_length(query->jointree->fromlist) != 1)
		return NULL;
	from = linitial(query->jointree->fromlist);
	if (!IsA(from, RangeTblRef))
		return NULL;
	rte = rt_fetch(((RangeTblRef *) from)->rtindex, query->rtable);
	if (rte->rtekind != RTE_SUBQUERY || pgt_item_is_pure(rte) ||
		!contain_vars_of_level((Node *) rte->subquery, up + 1))
		return NULL;
	return rte;
}

static void
note_domain_names(RangeTblEntry *rte)
{
	ListCell   *lc;

	rte->eref->colnames = NIL;
	foreach(lc, rte->subquery->targetList)
		if (!lfirst_node(TargetEntry, lc)->resjunk)
			rte->eref->colnames = lappend(rte->eref->colnames,
										  makeString(pstrdup(lfirst_node(TargetEntry, lc)->resname ?
															 lfirst_node(TargetEntry, lc)->resname : "?column?")));
}

/* An aggregate without GROUP BY, below the top, has a row for no rows. */
static bool
makes_row_of_nothing(const Query *query)
{
	return query->hasAggs && query->groupClause == NIL &&
		query->groupingSets == NIL && query->setOperations == NULL;
}

static List *
extend_level(Extend *e, Query *query, int up, Bitmapset **nonnull)
{
	Place		p = {e, 0, NIL, up, 0};
	RangeTblEntry *below = only_subquery(query, up);

	if (below != NULL)
	{
		if (makes_row_of_nothing(below->subquery))
			pgt_unnest_refuse(e->u, "an aggregate without GROUP BY inside of a correlated subquery", NULL);
		p.varno = ((RangeTblRef *) linitial(query->jointree->fromlist))->rtindex;
		p.attnos = extend(e, below->subquery, up + 1, nonnull);
		note_domain_names(below);
		below->lateral = false;
	}
	else
	{
		RangeTblEntry *rte = pgt_qtree_subquery(copyObject(e->domain), "domain", NIL, false);

		note_domain_names(rte);
		p.varno = pgt_qtree_add_from(query, rte);
		/* first, so that LATERAL entries can refer to it */
		query->jointree->fromlist = lcons(llast(query->jointree->fromlist),
										  list_copy_head(query->jointree->fromlist,
														 list_length(query->jointree->fromlist) - 1));
		for (int i = 1; i <= list_length(e->vars); i++)
			p.attnos = lappend_int(p.attnos, i);
	}
	replace_references(query, &p);
	if (below == NULL)
		*nonnull = strict_columns(query, &p);
	return hand_up(e, query, &p);
}

static void
extend_setop(Extend *e, Query *query, Node *node, int up, List **attnos,
			 Bitmapset **nonnull, bool *first)
{
	SetOperationStmt *setop = (SetOperationStmt *) node;
	ListCell   *lc;

	if (IsA(node, RangeTblRef))
	{
		RangeTblEntry *rte = rt_fetch(((RangeTblRef *) node)->rtindex, query->rtable);
		Bitmapset  *strict = NULL;

		if (makes_row_of_nothing(rte->subquery))
			pgt_unnest_refuse(e->u, "an aggregate without GROUP BY inside of a correlated subquery", NULL);
		*attnos = extend(e, rte->subquery, up + 1, &strict);
		note_domain_names(rte);
		*nonnull = *first ? strict : bms_int_members(*nonnull, strict);
		*first = false;
		return;
	}
	extend_setop(e, query, setop->larg, up, attnos, nonnull, first);
	extend_setop(e, query, setop->rarg, up, attnos, nonnull, first);
	foreach(lc, e->vars)
	{
		Var		   *var = lfirst_node(Var, lc);
		SortGroupClause *clause = makeNode(SortGroupClause);
		bool		hashable;

		setop->colTypes = lappend_oid(setop->colTypes, var->vartype);
		setop->colTypmods = lappend_int(setop->colTypmods, var->vartypmod);
		setop->colCollations = lappend_oid(setop->colCollations, var->varcollid);
		if (setop->groupClauses == NIL)
			continue;
		get_sort_group_operators(var->vartype, true, true, false, &clause->sortop,
								 &clause->eqop, NULL, &hashable);
		clause->hashable = hashable;
		setop->groupClauses = lappend(setop->groupClauses, clause);
	}
}

/* Returns D's columns in the query's output; nonnull: which are never NULL. */
static List *
extend(Extend *e, Query *query, int up, Bitmapset **nonnull)
{
	List	   *attnos = NIL;
	List	   *entries;
	bool		first = true;
	Place		p = {e, 1, NIL, up, 0};

	if (query->setOperations == NULL)
		return extend_level(e, query, up, nonnull);
	extend_setop(e, query, query->setOperations, up, &attnos, nonnull, &first);
	p.attnos = attnos;
	return add_output(query, &p, &entries);
}

/* ---- an aggregate over nothing ---- */

/* What an expression is where its aggregates have no rows. */
static Node *
over_nothing_mutator(Node *node, int *depth)
{
	if (node == NULL)
		return NULL;
	if (IsA(node, Query))
	{
		Node	   *query;

		(*depth)++;
		query = (Node *) query_tree_mutator((Query *) node, over_nothing_mutator, depth, 0);
		(*depth)--;
		return query;
	}
	if (IsA(node, Var) && ((Var *) node)->varlevelsup == *depth)
		return (Node *) makeNullConst(((Var *) node)->vartype, ((Var *) node)->vartypmod,
									  ((Var *) node)->varcollid);
	return expression_tree_mutator(node, over_nothing_mutator, depth);
}

static Node *
aggregate_of_nothing(Aggref *agg)
{
	Query	   *query = pgt_qtree_select();
	SubLink    *link = makeNode(SubLink);
	int			depth = 0;

	if (agg->aggfnoid == F_COUNT_ || agg->aggfnoid == F_COUNT_ANY)
		return pgt_qtree_int8(0);
	agg = (Aggref *) over_nothing_mutator((Node *) agg, &depth);
	IncrementVarSublevelsUp((Node *) agg->aggdirectargs, 1, 1);
	agg->aggfilter = NULL;
	query->jointree->quals = makeBoolConst(false, false);
	pgt_qtree_add_target(query, (Node *) agg, "value");
	query->hasAggs = true;
	link->subLinkType = EXPR_SUBLINK;
	link->subselect = (Node *) query;
	link->location = -1;
	return (Node *) link;
}

/* ... in the level's terms: the subquery's references are its columns. */
static Node *
of_nothing_mutator(Node *node, void *context)
{
	if (node == NULL)
		return NULL;
	if (IsA(node, Aggref) && ((Aggref *) node)->agglevelsup == 0)
		return aggregate_of_nothing(copyObject((Aggref *) node));
	if (IsA(node, Var))
	{
		Var		   *var = copyObject((Var *) node);

		var->varlevelsup--;
		return (Node *) var;
	}
	return expression_tree_mutator(node, of_nothing_mutator, context);
}

static void
note_values_of_nothing(PgtDomain *d, Query *sub)
{
	ListCell   *lc;

	foreach(lc, sub->targetList)
	{
		TargetEntry *tle = lfirst_node(TargetEntry, lc);

		if (!tle->resjunk)
			d->empty_values = lappend(d->empty_values,
									  of_nothing_mutator((Node *) tle->expr, NULL));
	}
	if (sub->havingQual != NULL)
		d->empty_having = of_nothing_mutator(sub->havingQual, NULL);
}

/* HAVING as a column, and one that is never NULL. */
static void
add_aggregate_columns(PgtDomain *d, Query *sub)
{
	List	   *visible = NIL;
	ListCell   *lc;

	foreach(lc, sub->targetList)
		if (!lfirst_node(TargetEntry, lc)->resjunk)
			visible = lappend(visible, lfirst(lc));
	sub->targetList = visible;
	sub->sortClause = NIL;
	sub->distinctClause = NIL;
	if (sub->havingQual != NULL)
	{
		pgt_qtree_add_target(sub, sub->havingQual, "pgt_having");
		d->having = list_length(sub->targetList);
	}
	pgt_qtree_add_target(sub, makeBoolConst(true, false), "pgt_matched");
	d->matched = list_length(sub->targetList);
	sub->havingQual = NULL;
}

/* ---- the join ---- */

static Node *
null_test(Var *var)
{
	NullTest   *test = makeNode(NullTest);

	test->arg = (Expr *) copyObject(var);
	test->nulltesttype = IS_NULL;
	test->location = -1;
	return (Node *) test;
}

static Node *
same_value(Var *left, int rtindex, int attno, bool nonnull)
{
	Var		   *right = makeVar(rtindex, attno, left->vartype, left->vartypmod,
								left->varcollid, 0);
	OpExpr	   *op;
	Oid			eqop;

	get_sort_group_operators(left->vartype, false, true, false, NULL, &eqop, NULL, NULL);
	op = (OpExpr *) make_opclause(eqop, BOOLOID, false, (Expr *) copyObject(left),
								  (Expr *) right, InvalidOid, left->varcollid);
	set_opfuncid(op);
	if (nonnull)
		return (Node *) op;
	return (Node *) make_orclause(list_make2(op,
											 make_andclause(list_make2(null_test(left),
																	   null_test(right)))));
}

static bool
all_of_one_entry(List *vars)
{
	ListCell   *lc;

	foreach(lc, vars)
		if (lfirst_node(Var, lc)->varno != linitial_node(Var, vars)->varno)
			return false;
	return vars != NIL;
}

bool
pgt_domain_make(PgtUnnest *u, const Query *level, Query *sub, int rtindex,
				PgtDomain *d)
{
	Extend		e = {u, NULL, columns_referred_to(sub)};
	Bitmapset  *nonnull = NULL;
	List	   *attnos;
	ListCell   *lc;

	memset(d, 0, sizeof(PgtDomain));
	if (!all_of_one_entry(e.vars))
	{
		pgt_unnest_refuse(u, "a correlated subquery of this kind", NULL);
		return false;
	}
	foreach(lc, e.vars)
		if (!is_fit(u, sub, lfirst_node(Var, lc)))
			return false;
	e.domain = make_domain(level, e.vars);
	d->sub = sub;
	d->aggregate = makes_row_of_nothing(sub) && !pgt_level_is_ordered(sub);
	if (makes_row_of_nothing(sub) && !d->aggregate)
		pgt_unnest_refuse(u, "a correlated aggregate below a window or LIMIT", NULL);
	if (d->aggregate)
	{
		note_values_of_nothing(d, sub);
		add_aggregate_columns(d, sub);
	}
	attnos = extend(&e, sub, 1, &nonnull);
	if (u->construct != NULL)
		return false;
	foreach(lc, e.vars)
		d->quals = lappend(d->quals,
						   same_value(lfirst_node(Var, lc), rtindex,
									  list_nth_int(attnos, foreach_current_index(lc)),
									  bms_is_member(foreach_current_index(lc) + 1, nonnull)));
	return true;
}

/* ---- the value of an aggregate ---- */

static Node *
make_case(Node *cond, Node *yes, Node *no)
{
	CaseExpr   *expr = makeNode(CaseExpr);
	CaseWhen   *when = makeNode(CaseWhen);

	when->expr = (Expr *) cond;
	when->result = (Expr *) yes;
	when->location = -1;
	expr->casetype = exprType(yes);
	expr->casecollid = exprCollation(yes);
	expr->args = list_make1(when);
	expr->defresult = (Expr *) no;
	expr->location = -1;
	return (Node *) expr;
}

static Node *
is_there(Node *col)
{
	NullTest   *test = makeNode(NullTest);

	test->arg = (Expr *) col;
	test->nulltesttype = IS_NOT_NULL;
	test->location = -1;
	return (Node *) test;
}

static Node *
typed_null(Node *like)
{
	return (Node *) makeNullConst(exprType(like), exprTypmod(like), exprCollation(like));
}


static Node *
entry_column(const PgtDomain *d, int rtindex, int col)
{
	Node	   *expr = (Node *) list_nth_node(TargetEntry, d->sub->targetList, col - 1)->expr;

	return (Node *) makeVar(rtindex, col, exprType(expr), exprTypmod(expr),
							exprCollation(expr), 0);
}

Node *
pgt_domain_exists(const PgtDomain *d, int rtindex)
{
	if (d->having == 0)
		return makeBoolConst(true, false);
	return make_case(is_there(entry_column(d, rtindex, d->matched)),
					 entry_column(d, rtindex, d->having), copyObject(d->empty_having));
}

Node *
pgt_domain_value(const PgtDomain *d, int rtindex, int col)
{
	Node	   *value = entry_column(d, rtindex, col);
	Node	   *empty = copyObject(list_nth(d->empty_values, col - 1));

	if (d->having > 0)
	{
		value = make_case(entry_column(d, rtindex, d->having), value, typed_null(value));
		empty = make_case(copyObject(d->empty_having), empty, typed_null(empty));
	}
	return make_case(is_there(entry_column(d, rtindex, d->matched)), value, empty);
}
