/*
 * applier/dvm/outer_query.c - the queries of OUTER joins.
 *
 * Rule.  R+(l) is what the left row l finds: its matches in R, and the row that
 * depends on their number.  The join is multilinear in L and R+, so its delta is
 *     dL with R+'   +   L' with dR+   -   dL with dR+
 * where dR+(l) is the rows of dR that match l, and the change of the one row
 * more.  With c' the number of matches now and m the sum of the weights of the
 * rows of dR that match, there were c' - m before.  So "no matches" became true
 * where m < 0 and c' = 0, and became false where m > 0 and c' = m; in both cases
 * there is no match number m+1 (m taken as 0 if negative), which is all that is
 * asked of R': at most m+1 rows are looked at, by an index if there is one.
 *
 * Where the condition is nothing but equalities and conditions on one side, m
 * and c' depend on the key only, and are found once per key touched.  Else
 * they are found per touched left row: those that match rows of dR.
 *
 * "Many": where the deltas are large, or no index serves, matches are counted by
 * one join instead of one look-up each.
 */
#include "postgres.h"

#include "catalog/pg_aggregate.h"
#include "catalog/pg_operator.h"
#include "catalog/pg_type.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/optimizer.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"

#include "applier/dvm/block.h"
#include "applier/dvm/outer.h"
#include "applier/dvm/qtree.h"
#include "decoder/compat.h"

/* pg_operator has a symbol for int8 <, none for int8 = */
#define INT8_EQUAL 410

/* Where the columns of both inputs stand in a query. */
typedef struct Place
{
	const PgtOuterOp *o;
	int			varno[2];
	int			levelsup[2];
	bool		delta[2];		/* in a delta or store, not the new state */
	int			depth;			/* queries between the condition and a node */
} Place;

static const PgtOp *
left_of(const PgtOuterOp *o)
{
	return linitial(o->op.inputs);
}

static const PgtOp *
right_of(const PgtOuterOp *o)
{
	return lsecond(o->op.inputs);
}

/* ---- expressions ---- */

static Node *
place_mutator(Node *node, Place *p)
{
	if (node == NULL)
		return NULL;
	if (IsA(node, Query))
	{
		Node	   *query;

		p->depth++;
		query = (Node *) query_tree_mutator((Query *) node, place_mutator, p, 0);
		p->depth--;
		return query;
	}
	if (IsA(node, Var) && ((Var *) node)->varlevelsup == p->depth)
	{
		Var		   *var = (Var *) copyObject(node);
		int			side = var->varno - 1;
		const PgtOp *input = list_nth(p->o->op.inputs, side);

		if (!p->delta[side])
			var->varattno = pgt_op_state_attno(input, var->varattno);
		var->varno = p->varno[side];
		var->varlevelsup = p->levelsup[side] + p->depth;
		var->varnosyn = 0;
		var->varattnosyn = 0;
		return (Node *) var;
	}
	return expression_tree_mutator(node, place_mutator, p);
}

static Node *
place(const Place *p, void *node)
{
	return place_mutator((Node *) node, unconstify(Place *, p));
}

static Node *
operator(Oid opno, Oid collation, Node *left, Node *right)
{
	OpExpr	   *op = (OpExpr *) make_opclause(opno, BOOLOID, false,
											  (Expr *) left, (Expr *) right,
											  InvalidOid, collation);

	set_opfuncid(op);
	return (Node *) op;
}

static Node *
call(Oid funcid, Oid type, List *args)
{
	return (Node *) makeFuncExpr(funcid, type, args, InvalidOid, InvalidOid,
								 COERCE_EXPLICIT_CALL);
}

static Node *
int8_compare(Oid funcid, Node *a, int64 b)
{
	return call(funcid, BOOLOID, list_make2(a, pgt_qtree_int8(b)));
}

/* CASE WHEN cond THEN a ELSE b END, of int8 */
static Node *
int8_case(Node *cond, Node *a, Node *b)
{
	CaseExpr   *expr = makeNode(CaseExpr);
	CaseWhen   *when = makeNode(CaseWhen);

	when->expr = (Expr *) cond;
	when->result = (Expr *) a;
	when->location = -1;
	expr->casetype = INT8OID;
	expr->args = list_make1(when);
	expr->defresult = (Expr *) b;
	expr->location = -1;
	return (Node *) expr;
}

static Aggref *
make_aggregate(Oid funcid, Oid type, Node *arg)
{
	Aggref	   *agg = makeNode(Aggref);

	agg->aggfnoid = funcid;
	agg->aggtype = type;
	agg->aggkind = AGGKIND_NORMAL;
	agg->aggsplit = AGGSPLIT_SIMPLE;
	agg->aggno = -1;
	agg->aggtransno = -1;
	agg->location = -1;
	agg->aggstar = arg == NULL;
	if (arg != NULL)
	{
		agg->aggargtypes = list_make1_oid(exprType(arg));
		agg->args = list_make1(makeTargetEntry((Expr *) arg, 1, NULL, false));
	}
	return agg;
}

/* The sum of weights, as int8: sum(int8) is numeric. */
static Node *
sum_of(Var *weight)
{
	return call(F_INT8_NUMERIC, INT8OID,
				list_make1(make_aggregate(F_SUM_INT8, NUMERICOID, (Node *) weight)));
}

static Node *
sub_select(Query *query, SubLinkType type)
{
	SubLink    *link = makeNode(SubLink);

	link->subLinkType = type;
	link->subselect = (Node *) query;
	link->location = -1;
	return (Node *) link;
}

static void
add_qual(Query *query, Node *qual)
{
	List	   *quals = make_ands_implicit((Expr *) query->jointree->quals);

	if (qual == NULL)
		return;
	quals = lappend(quals, qual);
	query->jointree->quals = (Node *) make_ands_explicit(quals);
}

static void
add_quals(Query *query, const Place *p, List *quals)
{
	ListCell   *lc;

	foreach(lc, quals)
		add_qual(query, place(p, lfirst(lc)));
}

static void
group_by(Query *query, Oid eqop, Oid ltop)
{
	SortGroupClause *clause = makeNode(SortGroupClause);
	TargetEntry *tle = llast_node(TargetEntry, query->targetList);

	tle->ressortgroupref = tle->resno;
	clause->tleSortGroupRef = tle->resno;
	clause->eqop = eqop;
	clause->sortop = ltop;
	clause->hashable = op_hashjoinable(eqop, exprType((Node *) tle->expr));
	query->groupClause = lappend(query->groupClause, clause);
}

static void
add_columns(Query *query, int varno, TupleDesc desc, int n)
{
	for (int i = 1; i <= n; i++)
		pgt_qtree_add_target(query, (Node *) pgt_qtree_var(varno, desc, i, i),
							 NameStr(TupleDescAttr(desc, i - 1)->attname));
}

/* ---- inputs in FROM ---- */

static int
add_input(Query *query, Place *p, int side, bool delta)
{
	const PgtOp *input = list_nth(p->o->op.inputs, side);
	RangeTblEntry *rte = delta ?
		pgt_qtree_store(pgt_delta_name(input), input->deltadesc) :
		pgt_op_state_entry(query, input, p->o->fenced[side]);

	p->delta[side] = delta;
	p->levelsup[side] = 0;
	p->varno[side] = pgt_qtree_add_from(query, rte);
	return p->varno[side];
}

static Var *
weight_of(const Place *p, int side)
{
	TupleDesc	desc = ((const PgtOp *) list_nth(p->o->op.inputs, side))->deltadesc;

	return pgt_qtree_var(p->varno[side], desc, desc->natts, desc->natts);
}

static Var *
column_of(const Place *p, int side, int col)
{
	const PgtOp *input = list_nth(p->o->op.inputs, side);

	return pgt_qtree_var(p->varno[side], input->outdesc, col,
						 p->delta[side] ? col : pgt_op_state_attno(input, col));
}

static void
add_input_columns(Query *query, const Place *p, int side)
{
	const PgtOp *input = list_nth(p->o->op.inputs, side);

	for (int i = 1; i <= input->outdesc->natts; i++)
		pgt_qtree_add_target(query, (Node *) column_of(p, side, i),
							 NameStr(TupleDescAttr(input->outdesc, i - 1)->attname));
}

/* ---- the native form, and the left delta ---- */

/* Columns that a join's range table entry speaks for. */
static void
join_columns(const RangeTblEntry *rte, int varno, TupleDesc desc,
			 const PgtOp *op, bool delta, List **names, List **vars,
			 List **attnos)
{
	AttrNumber	attno = 0;
	ListCell   *lc;

	foreach(lc, rte->eref->colnames)
	{
		Var		   *var = NULL;

		attno++;
		if (strVal(lfirst(lc))[0] == '\0')
			continue;
		for (int i = 1; i <= desc->natts && var == NULL; i++)
			if ((delta ? i : pgt_op_state_attno(op, i)) == attno)
				var = pgt_qtree_var(varno, desc, i, attno);
		if (var == NULL)
		{
			Oid			type = INT4OID;
			int32		typmod = -1;
			Oid			collation = InvalidOid;

			if (rte->rtekind == RTE_RELATION)
				get_atttypetypmodcoll(rte->relid, attno, &type, &typmod, &collation);
			else if (rte->rtekind == RTE_NAMEDTUPLESTORE)
			{
				type = list_nth_oid(rte->coltypes, attno - 1);
				typmod = list_nth_int(rte->coltypmods, attno - 1);
				collation = list_nth_oid(rte->colcollations, attno - 1);
			}
			var = makeVar(varno, attno, type, typmod, collation, 0);
		}
		*names = lappend(*names, copyObject(lfirst(lc)));
		*vars = lappend(*vars, var);
		*attnos = lappend_int(*attnos, attno);
	}
}

/* The two entries in FROM become one LEFT JOIN; returns the join's number. */
static int
make_left_join(Query *query, const Place *p, Node *quals)
{
	RangeTblEntry *rte = makeNode(RangeTblEntry);
	JoinExpr   *join = makeNode(JoinExpr);
	List	   *names = NIL;

	for (int side = 0; side < 2; side++)
	{
		const PgtOp *op = list_nth(p->o->op.inputs, side);

		join_columns(list_nth(query->rtable, p->varno[side] - 1), p->varno[side],
					 op->outdesc, op, p->delta[side], &names, &rte->joinaliasvars,
					 side == 0 ? &rte->joinleftcols : &rte->joinrightcols);
	}
	rte->rtekind = RTE_JOIN;
	rte->jointype = JOIN_LEFT;
	rte->eref = makeAlias("unnamed_join", names);
	rte->inFromCl = true;
	query->rtable = lappend(query->rtable, rte);
	join->jointype = JOIN_LEFT;
	join->larg = linitial(query->jointree->fromlist);
	join->rarg = lsecond(query->jointree->fromlist);
	join->quals = quals != NULL ? quals : makeBoolConst(true, false);
	join->rtindex = list_length(query->rtable);
	query->jointree->fromlist = list_make1(join);
	return join->rtindex;
}

/* SELECT what FROM right WHERE the condition holds with the left entry above. */
static Query *
matching_rows(const Place *outer)
{
	const PgtOuterOp *o = outer->o;
	Query	   *query = pgt_qtree_select();
	Place		p = *outer;

	p.levelsup[0] = 1;
	add_input(query, &p, 1, false);
	query->jointree->quals = place(&p, o->quals);
	if (o->kind == PGT_OUTER_SINGLE)
		pgt_qtree_add_target(query, (Node *) column_of(&p, 1, o->value_col), "value");
	else
		pgt_qtree_add_target(query, pgt_qtree_int8(1), "one");
	return query;
}

static void
select_left_join(Query *query, Place *p)
{
	const PgtOuterOp *o = p->o;
	int			join;
	int			first = left_of(o)->outdesc->natts;
	int			natts = right_of(o)->outdesc->natts;

	add_input(query, p, 1, false);
	join = make_left_join(query, p, place(p, o->quals));
	add_input_columns(query, p, 0);
	for (int i = 1; i <= natts; i++)
	{
		Var		   *var;

		if (o->kind == PGT_OUTER_SINGLE && i != o->value_col)
			continue;
		var = column_of(p, 1, i);
		pgt_set_nulling_join(var, join);
		pgt_qtree_add_target(query, (Node *) var,
							 NameStr(TupleDescAttr(o->op.outdesc,
												   o->kind == PGT_OUTER_SINGLE ? first : first + i - 1)->attname));
	}
}

/*
 * Is there a match?  A condition on the left row alone is asked first where
 * nothing else ties the sides: else PostgreSQL would go through the right side
 * for every left row to find out.
 */
static Node *
has_match(const PgtOuterOp *o, const Place *p)
{
	PgtOuterOp	right_only = *o;
	Place		q = *p;
	BooleanTest *test = makeNode(BooleanTest);
	List	   *all = NIL;
	ListCell   *lc;

	if (!o->keyed || o->nkeys > 0 || o->left_quals == NIL)
		return sub_select(matching_rows(p), EXISTS_SUBLINK);
	right_only.quals = o->right_quals == NIL ? NULL :
		(Node *) make_ands_explicit(o->right_quals);
	q.o = &right_only;
	foreach(lc, o->left_quals)
		all = lappend(all, place(p, lfirst(lc)));
	all = lappend(all, sub_select(matching_rows(&q), EXISTS_SUBLINK));
	test->arg = (Expr *) make_andclause(all);
	test->booltesttype = IS_TRUE;
	test->location = -1;
	return (Node *) test;
}

/* Left rows with what they find: of the new state, or of the delta. */
static Query *
left_with_matches(const PgtOuterOp *o, bool delta)
{
	Query	   *query = pgt_qtree_select();
	Place		p = {o};
	Node	   *exists;

	add_input(query, &p, 0, delta);
	if (o->kind == PGT_OUTER_LEFT || (o->kind == PGT_OUTER_SINGLE && delta))
		select_left_join(query, &p);
	else
	{
		add_input_columns(query, &p, 0);
		exists = o->kind == PGT_OUTER_SINGLE ?
			sub_select(matching_rows(&p), EXPR_SUBLINK) : has_match(o, &p);
		if (o->kind == PGT_OUTER_MARK || o->kind == PGT_OUTER_SINGLE)
			pgt_qtree_add_target(query, exists,
								 NameStr(TupleDescAttr(o->op.outdesc,
													   o->op.outdesc->natts - 1)->attname));
		else
			add_qual(query, o->kind == PGT_OUTER_SEMI ? exists :
					 (Node *) makeBoolExpr(NOT_EXPR, list_make1(exists), -1));
	}
	if (delta)
		pgt_qtree_add_target(query, (Node *) weight_of(&p, 0), PGT_WEIGHT_NAME);
	return query;
}

Query *
pgt_outer_new_state(const PgtOuterOp *o)
{
	return left_with_matches(o, false);
}

/* ---- the right delta ---- */

/* Matching rows come and go with the right delta. */
static Query *
pairs(const PgtOuterOp *o, bool left_delta)
{
	Query	   *query = pgt_qtree_select();
	Place		p = {o};
	Node	   *weight;

	add_input(query, &p, 0, left_delta);
	add_input(query, &p, 1, true);
	query->jointree->quals = place(&p, o->quals);
	add_input_columns(query, &p, 0);
	if (o->kind == PGT_OUTER_SINGLE)
		pgt_qtree_add_target(query, (Node *) column_of(&p, 1, o->value_col), "value");
	else
		add_input_columns(query, &p, 1);
	weight = (Node *) weight_of(&p, 1);
	if (left_delta)
		weight = pgt_qtree_negate(pgt_qtree_multiply((Node *) weight_of(&p, 0), weight));
	pgt_qtree_add_target(query, weight, PGT_WEIGHT_NAME);
	return query;
}

/* Keys in the right delta with the sum of their weights. */
static Query *
touched_keys(const PgtOuterOp *o)
{
	Query	   *query = pgt_qtree_select();
	Place		p = {o};
	Node	   *sum;

	add_input(query, &p, 1, true);
	add_quals(query, &p, o->right_quals);
	for (int i = 0; i < o->nkeys; i++)
	{
		NullTest   *test = makeNode(NullTest);
		Node	   *key = place(&p, pgt_outer_right_key(&o->keys[i]));

		test->arg = copyObject((Expr *) key);
		test->nulltesttype = IS_NOT_NULL;
		test->location = -1;
		add_qual(query, (Node *) test);
		pgt_qtree_add_target(query, key, psprintf("k%d", i + 1));
		group_by(query, o->keys[i].right_eqop, o->keys[i].right_ltop);
	}
	sum = sum_of(weight_of(&p, 1));
	pgt_qtree_add_target(query, pgt_qtree_int8(1), PGT_WEIGHT_NAME);
	pgt_qtree_add_target(query, sum, PGT_OUTER_COUNT_NAME);
	query->hasAggs = true;
	query->havingQual = int8_compare(F_INT8NE, copyObject(sum), 0);
	return query;
}

/*
 * Left rows that match a row of the right delta.  The equalities stand in a
 * sub-select of their own, which PostgreSQL can turn round: from the few keys
 * of the delta to the left rows, by an index.
 */
static Query *
touched_rows(const PgtOuterOp *o, bool left_delta)
{
	Query	   *query = pgt_qtree_select();
	Place		p = {o};

	add_input(query, &p, 0, left_delta);
	for (int keys_only = o->nkeys > 0 ? 1 : 0; keys_only >= 0; keys_only--)
	{
		Query	   *sub = pgt_qtree_select();
		Place		q = p;

		q.levelsup[0] = 1;
		add_input(sub, &q, 1, true);
		if (keys_only)
			for (int i = 0; i < o->nkeys; i++)
				add_qual(sub, operator(o->keys[i].eqop, o->keys[i].collation,
									   place(&q, o->keys[i].left),
									   place(&q, o->keys[i].right)));
		else
			sub->jointree->quals = place(&q, o->quals);
		pgt_qtree_add_target(sub, pgt_qtree_int8(1), "one");
		add_qual(query, sub_select(sub, EXISTS_SUBLINK));
	}
	add_input_columns(query, &p, 0);
	pgt_qtree_add_target(query, left_delta ?
						 pgt_qtree_negate((Node *) weight_of(&p, 0)) : pgt_qtree_int8(1),
						 PGT_WEIGHT_NAME);
	return query;
}

/* SELECT id, what FROM touched rows and the right's delta or new state, GROUP BY id */
static Query *
grouped_by_id(const PgtOuterOp *o, const char *store, TupleDesc desc, bool delta)
{
	Query	   *query = pgt_qtree_select();
	Place		p = {o};
	int			n = desc->natts;

	p.varno[0] = pgt_qtree_add_from(query, pgt_qtree_store(store, desc));
	p.delta[0] = true;
	add_input(query, &p, 1, delta);
	if (o->keyed)
	{
		for (int i = 0; i < o->nkeys; i++)
			add_qual(query, operator(o->keys[i].right_eqop, o->keys[i].collation,
									 place(&p, pgt_outer_right_key(&o->keys[i])),
									 (Node *) pgt_qtree_var(p.varno[0], desc, i + 1, i + 1)));
		add_quals(query, &p, o->right_quals);
	}
	else
		query->jointree->quals = place(&p, o->quals);
	pgt_qtree_add_target(query, (Node *) pgt_qtree_var(p.varno[0], desc, n, n), PGT_OUTER_ID_NAME);
	group_by(query, INT8_EQUAL, Int8LessOperator);
	pgt_qtree_add_target(query, delta ? sum_of(weight_of(&p, 1)) :
						 (Node *) make_aggregate(F_COUNT_, INT8OID, NULL), PGT_OUTER_COUNT_NAME);
	query->hasAggs = true;
	return query;
}

/* Touched rows with the sum of the weights of the delta rows they match. */
static Query *
weighed(const PgtOuterOp *o)
{
	Query	   *query = pgt_qtree_select();
	Query	   *sums = grouped_by_id(o, pgt_outer_touched_name(o), o->touched, true);
	int			n = o->touched->natts;
	int			rows = pgt_qtree_add_from(query,
										  pgt_qtree_store(pgt_outer_touched_name(o), o->touched));
	int			sub = pgt_qtree_add_from(query,
										 pgt_qtree_subquery(sums, "sums",
															list_make2(makeString(PGT_OUTER_ID_NAME),
																	   makeString(PGT_OUTER_COUNT_NAME)),
															false));
	Var		   *m = makeVar(sub, 2, INT8OID, -1, InvalidOid, 0);

	add_qual(query, operator(INT8_EQUAL, InvalidOid,
							 (Node *) pgt_qtree_var(rows, o->touched, n, n),
							 (Node *) makeVar(sub, 1, INT8OID, -1, InvalidOid, 0)));
	add_qual(query, int8_compare(F_INT8NE, (Node *) m, 0));
	add_columns(query, rows, o->touched, n - 1);
	pgt_qtree_add_target(query, copyObject((Node *) m), PGT_OUTER_COUNT_NAME);
	pgt_qtree_add_target(query, (Node *) pgt_qtree_var(rows, o->touched, n, n), PGT_OUTER_ID_NAME);
	return query;
}

/* ---- the number of matches now ---- */

static Var *
weighed_var(const PgtOuterOp *o, int varno, int from_end, int levelsup)
{
	int			col = o->weighed->natts - from_end;
	Var		   *var = pgt_qtree_var(varno, o->weighed, col, col);

	var->varlevelsup = levelsup;
	return var;
}

#define WEIGHED_ID 0
#define WEIGHED_M 1
#define WEIGHED_W 2

/* EXISTS (match number skip + 1 of the right's new state) */
static Node *
match_beyond(const PgtOuterOp *o, int varno, Node *skip)
{
	Query	   *sub = pgt_qtree_select();
	Place		p = {o};

	p.varno[0] = varno;
	p.levelsup[0] = 1;
	p.delta[0] = true;
	add_input(sub, &p, 1, false);
	if (o->keyed)
	{
		for (int i = 0; i < o->nkeys; i++)
		{
			Var		   *key = pgt_qtree_var(varno, o->weighed, i + 1, i + 1);

			key->varlevelsup = 1;
			add_qual(sub, operator(o->keys[i].right_eqop, o->keys[i].collation,
								   place(&p, pgt_outer_right_key(&o->keys[i])), (Node *) key));
		}
		add_quals(sub, &p, o->right_quals);
	}
	else
		sub->jointree->quals = place(&p, o->quals);
	pgt_qtree_add_target(sub, pgt_qtree_int8(1), "one");
	sub->limitOffset = skip;
	return sub_select(sub, EXISTS_SUBLINK);
}

/* The number of matches, of all touched at once: 0 where the join finds none. */
static Node *
add_counts(const PgtOuterOp *o, Query *query, int varno)
{
	Query	   *counts = grouped_by_id(o, pgt_outer_weighed_name(o), o->weighed, false);
	RangeTblEntry *rte = makeNode(RangeTblEntry);
	JoinExpr   *join = makeNode(JoinExpr);
	CoalesceExpr *zero = makeNode(CoalesceExpr);
	Var		   *count;
	List	   *names;

	int			sub = pgt_qtree_add_from(query,
										 pgt_qtree_subquery(counts, "counts",
															list_make2(makeString(PGT_OUTER_ID_NAME),
																	   makeString(PGT_OUTER_COUNT_NAME)),
															false));

	names = list_concat(pgt_qtree_names(o->weighed),
						list_make2(makeString("counted_id"), makeString("counted")));
	for (int i = 1; i <= o->weighed->natts; i++)
	{
		rte->joinaliasvars = lappend(rte->joinaliasvars,
									 pgt_qtree_var(varno, o->weighed, i, i));
		rte->joinleftcols = lappend_int(rte->joinleftcols, i);
	}
	for (int i = 1; i <= 2; i++)
	{
		rte->joinaliasvars = lappend(rte->joinaliasvars,
									 makeVar(sub, i, INT8OID, -1, InvalidOid, 0));
		rte->joinrightcols = lappend_int(rte->joinrightcols, i);
	}
	rte->rtekind = RTE_JOIN;
	rte->jointype = JOIN_LEFT;
	rte->eref = makeAlias("unnamed_join", names);
	rte->inFromCl = true;
	query->rtable = lappend(query->rtable, rte);
	join->jointype = JOIN_LEFT;
	join->larg = linitial(query->jointree->fromlist);
	join->rarg = lsecond(query->jointree->fromlist);
	join->quals = operator(INT8_EQUAL, InvalidOid,
						   (Node *) weighed_var(o, varno, WEIGHED_ID, 0),
						   (Node *) makeVar(sub, 1, INT8OID, -1, InvalidOid, 0));
	join->rtindex = list_length(query->rtable);
	query->jointree->fromlist = list_make1(join);

	count = makeVar(sub, 2, INT8OID, -1, InvalidOid, 0);
	pgt_set_nulling_join(count, join->rtindex);
	zero->coalescetype = INT8OID;
	zero->args = list_make2(count, pgt_qtree_int8(0));
	zero->location = -1;
	return (Node *) zero;
}

static Query *
select_weighed(const PgtOuterOp *o, int *varno)
{
	Query	   *query = pgt_qtree_select();

	*varno = pgt_qtree_add_from(query, pgt_qtree_store(pgt_outer_weighed_name(o),
													   o->weighed));
	return query;
}

/* Of the touched, those whose matches were or are none, and no longer or newly so. */
static Query *
turned(const PgtOuterOp *o, bool many)
{
	int			varno;
	Query	   *query = select_weighed(o, &varno);
	Node	   *count = many ? add_counts(o, query, varno) : NULL;
	Var		   *w = weighed_var(o, varno, WEIGHED_W, 0);
	Var		   *m = weighed_var(o, varno, WEIGHED_M, 0);
	Var		   *up = weighed_var(o, varno, WEIGHED_M, many ? 0 : 1);
	Node	   *expected = int8_case(int8_compare(F_INT8GT, (Node *) up, 0),
									 copyObject((Node *) up), pgt_qtree_int8(0));

	if (many)
		add_qual(query, operator(INT8_EQUAL, InvalidOid, count, expected));
	else
	{
		Node	   *more = match_beyond(o, varno, expected);

		add_qual(query, (Node *) makeBoolExpr(NOT_EXPR, list_make1(more), -1));
	}
	add_columns(query, varno, o->weighed, o->entity->natts);
	pgt_qtree_add_target(query, int8_case(int8_compare(F_INT8LT, (Node *) m, 0),
										  (Node *) w,
										  pgt_qtree_negate(copyObject((Node *) w))),
						 PGT_WEIGHT_NAME);
	return query;
}

/* Of the touched, those with more than one match now or before. */
static Query *
doubled(const PgtOuterOp *o, bool many)
{
	int			varno;
	Query	   *query = select_weighed(o, &varno);
	Node	   *count = many ? add_counts(o, query, varno) : NULL;
	Node	   *m = (Node *) weighed_var(o, varno, WEIGHED_M, 0);
	Node	   *up = (Node *) weighed_var(o, varno, WEIGHED_M, many ? 0 : 1);
	Node	   *skip = int8_case(int8_compare(F_INT8EQ, up, -1),
								 pgt_qtree_int8(0), pgt_qtree_int8(1));
	Node	   *enough;

	if (many)
		enough = call(F_INT8GT, BOOLOID, list_make2(count, skip));
	else
	{
		enough = match_beyond(o, varno, skip);
	}
	add_qual(query, (Node *) make_orclause(list_make2(int8_compare(F_INT8LT, m, -1),
													  enough)));
	add_columns(query, varno, o->weighed, o->entity->natts);
	pgt_qtree_add_target(query, pgt_qtree_int8(1), PGT_WEIGHT_NAME);
	return query;
}

/* Left rows of keys that turned. */
static Query *
left_turned(const PgtOuterOp *o, bool left_delta)
{
	Query	   *query = pgt_qtree_select();
	Place		p = {o};
	int			keys = pgt_qtree_add_from(query, pgt_qtree_store(pgt_outer_turned_name(o),
																 o->turned));
	Node	   *weight = (Node *) pgt_qtree_var(keys, o->turned, o->turned->natts,
												o->turned->natts);

	add_input(query, &p, 0, left_delta);
	for (int i = 0; i < o->nkeys; i++)
		add_qual(query, operator(o->keys[i].eqop, o->keys[i].collation,
								 place(&p, o->keys[i].left),
								 (Node *) pgt_qtree_var(keys, o->turned, i + 1, i + 1)));
	add_quals(query, &p, o->left_quals);
	add_input_columns(query, &p, 0);
	if (left_delta)
		weight = pgt_qtree_negate(pgt_qtree_multiply((Node *) weight_of(&p, 0), weight));
	pgt_qtree_add_target(query, weight, PGT_WEIGHT_NAME);
	return query;
}

/* ---- plans ---- */

static Query *
step_query(const PgtOuterOp *o, PgtOuterStep step)
{
	switch (step)
	{
		case PGT_OUTER_LEFT_DELTA:
			return left_with_matches(o, true);
		case PGT_OUTER_PAIRS:
			return pairs(o, false);
		case PGT_OUTER_DELTA_PAIRS:
			return pairs(o, true);
		case PGT_OUTER_TOUCHED_KEYS:
			return touched_keys(o);
		case PGT_OUTER_TOUCHED_ROWS:
			return touched_rows(o, false);
		case PGT_OUTER_TOUCHED_DELTA:
			return touched_rows(o, true);
		case PGT_OUTER_WEIGHED:
			return weighed(o);
		case PGT_OUTER_TURNED:
			return turned(o, false);
		case PGT_OUTER_TURNED_MANY:
			return turned(o, true);
		case PGT_OUTER_DOUBLED:
			return doubled(o, false);
		case PGT_OUTER_DOUBLED_MANY:
			return doubled(o, true);
		case PGT_OUTER_LEFT_TURNED:
			return left_turned(o, false);
		case PGT_OUTER_DELTA_TURNED:
			return left_turned(o, true);
		case PGT_OUTER_STEPS:
			break;
	}
	elog(ERROR, "unknown step %d of an outer join", (int) step);
	return NULL;
}

PgtPlan *
pgt_outer_plan(PgtOuterOp *o, PgtOuterStep step, MemoryContext context)
{
	if (o->plans[step] == NULL)
		o->plans[step] = pgt_plan_make(context, step_query(o, step),
									   psprintf("pg_trickle delta of operator %d", o->op.id),
									   false);
	return o->plans[step];
}

void
pgt_outer_forget_plans(PgtOuterOp *o)
{
	memset(o->plans, 0, sizeof(o->plans));
}
