/*
 * applier/dvm/setop.c - set operations -> operators.
 *
 *     UNION ALL                  branches -> UNION_ALL
 *     UNION                      branches -> UNION_ALL -> REDUCE
 *     INTERSECT, EXCEPT [ALL]    two branches, each with a column "is left"
 *                                -> UNION_ALL -> REDUCE -> BLOCK
 *
 * Unions of any nesting become one, as long as the nested ones have the types
 * of the whole (and, below UNION ALL, keep their duplicates).  The REDUCE of
 * an INTERSECT or EXCEPT counts, per row, how often the left side and how
 * often both have it; the BLOCK above lets pass what belongs to the result,
 * or, with ALL, repeats it as often as it occurs there.  Equal rows that are
 * not identical show the image of one of the left side.
 */
#include "postgres.h"

#include "catalog/pg_operator.h"
#include "catalog/pg_type.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/optimizer.h"
#include "parser/parse_coerce.h"
#include "parser/parsetree.h"
#include "utils/fmgroids.h"

#include "applier/dvm/compiler.h"
#include "decoder/compat.h"

static PgtOp *compile_branch(PgtCompiler *c, const Query *query, Node *branch);

/* ---- branches ---- */

/* May a set operation below "whole", a union, be part of it? */
static bool
is_part(const SetOperationStmt *setop, const SetOperationStmt *whole)
{
	return setop->op == SETOP_UNION && (setop->all || !whole->all) &&
		equal(setop->colTypes, whole->colTypes) &&
		(setop->all || equal(setop->colCollations, whole->colCollations));
}

/*
 * Subqueries and nested set operations.  A union whose columns have the types
 * of the whole is taken apart; others convert values on the way, as in
 * (numeric UNION ALL real) UNION ALL double precision.
 */
static void
collect_branches(const Query *query, Node *node, const SetOperationStmt *whole,
				 List **branches)
{
	SetOperationStmt *setop = (SetOperationStmt *) node;

	if (IsA(node, RangeTblRef) || !is_part(setop, whole))
	{
		*branches = lappend(*branches, node);
		return;
	}
	collect_branches(query, setop->larg, whole, branches);
	collect_branches(query, setop->rarg, whole, branches);
}

/* A branch whose column types are not yet those of the result. */
static PgtOp *
coerce_branch(PgtCompiler *c, PgtOp *op, const SetOperationStmt *setop)
{
	List	   *exprs = NIL;
	bool		same = true;

	for (int i = 0; i < op->outdesc->natts; i++)
	{
		Form_pg_attribute att = TupleDescAttr(op->outdesc, i);
		Oid			type = list_nth_oid(setop->colTypes, i);
		Var		   *var = makeVar(1, i + 1, att->atttypid, att->atttypmod,
								  att->attcollation, 0);

		same = same && att->atttypid == type;
		exprs = lappend(exprs, coerce_to_common_type(NULL, (Node *) var, type,
													 "UNION"));
	}
	return same ? op : pgt_compile_project(c, op, NIL, exprs, NIL);
}

/* Type, typmod and collation of the columns; their names from the query. */
TupleDesc
pgt_setop_desc(const Query *query, const SetOperationStmt *setop)
{
	List	   *exprs;
	List	   *names;
	TupleDesc	desc;

	pgt_compile_output(query, &exprs, &names);
	desc = CreateTemplateTupleDesc(list_length(names));
	for (int i = 0; i < list_length(names); i++)
	{
		TupleDescInitEntry(desc, i + 1, list_nth(names, i),
						   list_nth_oid(setop->colTypes, i),
						   list_nth_int(setop->colTypmods, i), 0);
		TupleDescInitEntryCollation(desc, i + 1,
									list_nth_oid(setop->colCollations, i));
	}
	pgt_tupdesc_finish(desc);
	return desc;
}

PgtOp *
pgt_setop_branch(PgtCompiler *c, const Query *query, Node *branch,
				 const SetOperationStmt *setop)
{
	return coerce_branch(c, compile_branch(c, query, branch), setop);
}

PgtOp *
pgt_setop_union_all(PgtCompiler *c, List *inputs, TupleDesc desc)
{
	PgtUnionOp *un = palloc0(sizeof(PgtUnionOp));

	pgt_compile_finish_op(c, &un->op, PGT_OP_UNION_ALL, inputs, desc,
						  psprintf("union all of %d", list_length(inputs)));
	return &un->op;
}

/* ---- UNION ---- */

static PgtOp *
compile_union(PgtCompiler *c, const Query *query, SetOperationStmt *setop)
{
	List	   *branches = NIL;
	List	   *inputs = NIL;
	PgtOp	   *all;
	PgtReduceOp *reduce;
	ListCell   *lc;

	collect_branches(query, (Node *) setop, setop, &branches);
	foreach(lc, branches)
		inputs = lappend(inputs, pgt_setop_branch(c, query, lfirst(lc), setop));
	all = pgt_setop_union_all(c, inputs, pgt_setop_desc(query, setop));
	if (setop->all)
		return all;
	reduce = pgt_grouping_by_columns(all, all->outdesc->natts,
									 setop->groupClauses);
	pgt_compile_finish_op(c, &reduce->op, PGT_OP_REDUCE, list_make1(all),
						  CreateTupleDescCopy(all->outdesc), "union: distinct");
	return &reduce->op;
}

/* ---- INTERSECT, EXCEPT ---- */

static Var *
column_of(const PgtOp *op, int col)
{
	Form_pg_attribute att = TupleDescAttr(op->outdesc, col - 1);

	return makeVar(1, col, att->atttypid, att->atttypmod, att->attcollation, 0);
}

static List *
columns_of(const PgtOp *op, int n)
{
	List	   *columns = NIL;

	for (int i = 1; i <= n; i++)
		columns = lappend(columns, column_of(op, i));
	return columns;
}

static List *
names_of(TupleDesc desc)
{
	List	   *names = NIL;

	for (int i = 0; i < desc->natts; i++)
		names = lappend(names, pstrdup(NameStr(TupleDescAttr(desc, i)->attname)));
	return names;
}

/* The branch and a last column that says whether it is the left one. */
static PgtOp *
with_side(PgtCompiler *c, PgtOp *op, bool left)
{
	return pgt_compile_project(c, op, NIL,
							   lappend(columns_of(op, op->outdesc->natts),
									   makeBoolConst(left, false)), NIL);
}

static void
count_rows(PgtAggSpec *spec, const PgtOp *input, int filter_col)
{
	Aggref	   *agg = pgt_grouping_count_star();

	if (filter_col > 0)
		agg->aggfilter = (Expr *) column_of(input, filter_col);
	spec->arg_cols = palloc0(sizeof(int));
	spec->filter_col = filter_col;
	spec->aggref = agg;
}

/* Per row: how often it is in the left branch, how often in both together. */
static PgtOp *
count_sides(PgtCompiler *c, const Query *query, SetOperationStmt *setop)
{
	PgtOp	   *left = pgt_setop_branch(c, query, setop->larg, setop);
	PgtOp	   *right = pgt_setop_branch(c, query, setop->rarg, setop);
	PgtOp	   *sides[2];
	TupleDesc	desc = pgt_setop_desc(query, setop);
	List	   *counted;
	PgtOp	   *all;
	PgtReduceOp *reduce;

	sides[0] = with_side(c, left, true);
	sides[1] = with_side(c, right, false);
	all = pgt_setop_union_all(c, list_make2(sides[0], sides[1]),
					   CreateTupleDescCopy(sides[0]->outdesc));
	reduce = pgt_grouping_by_columns(all, desc->natts, setop->groupClauses);
	reduce->image_col = all->outdesc->natts;
	reduce->naggs = 2;
	reduce->aggs = palloc0(sizeof(PgtAggSpec) * 2);
	count_rows(&reduce->aggs[0], all, all->outdesc->natts);
	count_rows(&reduce->aggs[1], all, 0);
	counted = columns_of(all, desc->natts);
	counted = lappend(counted, reduce->aggs[0].aggref);
	counted = lappend(counted, reduce->aggs[1].aggref);
	pgt_compile_finish_op(c, &reduce->op, PGT_OP_REDUCE, list_make1(all),
						  pgt_exprs_desc(counted, NIL), "count of both sides");
	return &reduce->op;
}

static Expr *
less(Expr *a, Expr *b)
{
	OpExpr	   *op = (OpExpr *) make_opclause(Int8LessOperator, BOOLOID, false,
											  a, b, InvalidOid, InvalidOid);

	set_opfuncid(op);
	return (Expr *) op;
}

static Expr *
minus(Expr *a, Expr *b)
{
	return (Expr *) makeFuncExpr(F_INT8MI, INT8OID, list_make2(a, b),
								 InvalidOid, InvalidOid, COERCE_EXPLICIT_CALL);
}

static Expr *
least(Expr *a, Expr *b)
{
	MinMaxExpr *expr = makeNode(MinMaxExpr);

	expr->minmaxtype = INT8OID;
	expr->op = IS_LEAST;
	expr->args = list_make2(a, b);
	expr->location = -1;
	return (Expr *) expr;
}

/* Is the row in the result of the set form? */
static List *
membership(const SetOperationStmt *setop, Expr *left, Expr *both)
{
	Expr	   *zero = (Expr *) makeConst(INT8OID, -1, InvalidOid, sizeof(int64),
										  Int64GetDatum(0), false, FLOAT8PASSBYVAL);
	Expr	   *in_right = less(left, both);

	return list_make2(less(zero, left), setop->op == SETOP_INTERSECT ?
					  in_right : make_notclause(in_right));
}

/* How often it is in the result of the ALL form; negative for never. */
static Expr *
multiplicity(const SetOperationStmt *setop, Expr *left, Expr *both)
{
	Expr	   *right = minus(both, left);

	return setop->op == SETOP_INTERSECT ? least(left, right) :
		minus(copyObject(left), right);
}

static PgtOp *
compile_difference(PgtCompiler *c, const Query *query, SetOperationStmt *setop)
{
	PgtOp	   *counts = count_sides(c, query, setop);
	int			n = counts->outdesc->natts - 2;
	Expr	   *left = (Expr *) column_of(counts, n + 1);
	Expr	   *both = (Expr *) column_of(counts, n + 2);
	List	   *columns = columns_of(counts, n);
	List	   *names = names_of(pgt_setop_desc(query, setop));

	if (!setop->all)
		return pgt_compile_project(c, counts, membership(setop, left, both),
								   columns, names);
	return pgt_compile_repeat(c, counts, multiplicity(setop, left, both),
							  columns, names);
}

/* ---- levels ---- */

PgtOp *
pgt_setop_compile(PgtCompiler *c, const Query *query, SetOperationStmt *setop)
{
	if (setop->op == SETOP_UNION)
		return compile_union(c, query, setop);
	return compile_difference(c, query, setop);
}

static PgtOp *
compile_branch(PgtCompiler *c, const Query *query, Node *branch)
{
	if (IsA(branch, SetOperationStmt))
		return pgt_setop_compile(c, query, (SetOperationStmt *) branch);
	return pgt_compile_shared_level(c, rt_fetch(castNode(RangeTblRef, branch)->rtindex,
												query->rtable)->subquery);
}
