/*
 * applier/dvm/from.c - FROM of a level: its inputs, and the joins among them
 * that are no part of a block.
 *
 * Tables, subqueries and inner joins of them are inputs of the level's block.
 * An outer join is one input, an OUTER operator over its two sides; a side that
 * is itself an inner join is a block of its own, with all columns of its parts.
 *     L RIGHT JOIN R   the same with the sides exchanged
 *     L FULL JOIN R    L LEFT JOIN R  UNION ALL  NULLs, R anti-joined with L:
 *                      the operators of L and R have two readers each
 * Where the columns of a range table entry are afterwards: in->number the input,
 * in->base the columns before them in it.  Kinds of joins: unnest.h.
 */
#include "postgres.h"

#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/optimizer.h"
#include "parser/parsetree.h"

#include "applier/dvm/compiler.h"
#include "applier/dvm/items.h"
#include "applier/dvm/outer.h"
#include "applier/dvm/unnest.h"
#include "decoder/compat.h"

/* One side of a join. */
typedef struct Side
{
	PgtOp	   *op;
	bool		fenced;
	List	   *rtindexes;		/* whose columns it has */
} Side;

static Side outer_join(PgtCompiler *c, const Query *query, JoinExpr *join,
					   PgtLevelInputs *in);

static bool
is_outer(Node *node)
{
	return IsA(node, JoinExpr) && ((JoinExpr *) node)->jointype != JOIN_INNER;
}

static bool
is_item(const Query *query, Node *node)
{
	return IsA(node, RangeTblRef) &&
		pgt_item_is_pure(rt_fetch(((RangeTblRef *) node)->rtindex, query->rtable));
}

static Side
entry_side(PgtCompiler *c, const Query *query, int rtindex, PgtLevelInputs *in)
{
	RangeTblEntry *rte = rt_fetch(rtindex, query->rtable);
	Side		side;

	side.op = pgt_compile_rte(c, rte);
	side.fenced = rte->rtekind == RTE_SUBQUERY && rte->security_barrier;
	side.rtindexes = list_make1_int(rtindex);
	in->base[rtindex] = 0;
	in->leaf[rtindex] = side.op;
	return side;
}

/* ---- a level's inputs ---- */

static void
add_side(PgtLevelInputs *in, const Side *side, List **rtindexes)
{
	ListCell   *lc;

	in->ops = lappend(in->ops, side->op);
	in->fences = lappend_int(in->fences, side->fenced);
	foreach(lc, side->rtindexes)
		in->number[lfirst_int(lc)] = list_length(in->ops);
	*rtindexes = list_concat(*rtindexes, side->rtindexes);
}

static void
add_node(PgtCompiler *c, const Query *query, Node *node, PgtLevelInputs *in,
		 List **quals, List **rtindexes, List **items)
{
	ListCell   *lc;

	if (is_item(query, node))
		*items = lappend_int(*items, ((RangeTblRef *) node)->rtindex);
	else if (IsA(node, RangeTblRef) || is_outer(node))
	{
		Side		side = IsA(node, RangeTblRef) ?
			entry_side(c, query, ((RangeTblRef *) node)->rtindex, in) :
			outer_join(c, query, (JoinExpr *) node, in);

		add_side(in, &side, rtindexes);
	}
	else if (IsA(node, JoinExpr))
	{
		JoinExpr   *join = (JoinExpr *) node;

		add_node(c, query, join->larg, in, quals, rtindexes, items);
		add_node(c, query, join->rarg, in, quals, rtindexes, items);
		*quals = list_concat(*quals, make_ands_implicit((Expr *) join->quals));
	}
	else
	{
		FromExpr   *from = castNode(FromExpr, node);

		foreach(lc, from->fromlist)
			add_node(c, query, lfirst(lc), in, quals, rtindexes, items);
		*quals = list_concat(*quals, make_ands_implicit((Expr *) from->quals));
	}
}

void
pgt_from_add(PgtCompiler *c, const Query *query, Node *node,
			 PgtLevelInputs *in, List **quals)
{
	List	   *rtindexes = NIL;
	List	   *items = NIL;

	add_node(c, query, node, in, quals, &rtindexes, &items);
	pgt_compile_items(query, items, in);
}

/* ---- sides of outer joins ---- */

/* All columns of all inputs. */
static List *
all_columns(List *ops)
{
	List	   *exprs = NIL;
	int			number = 0;
	ListCell   *lc;

	foreach(lc, ops)
	{
		TupleDesc	desc = ((PgtOp *) lfirst(lc))->outdesc;

		number++;
		for (int i = 1; i <= desc->natts; i++)
		{
			Form_pg_attribute att = TupleDescAttr(desc, i - 1);

			exprs = lappend(exprs, makeVar(number, i, att->atttypid, att->atttypmod,
										   att->attcollation, 0));
		}
	}
	return exprs;
}

static int
columns_before(List *ops, int number)
{
	int			n = 0;

	for (int i = 0; i < number - 1; i++)
		n += ((PgtOp *) list_nth(ops, i))->outdesc->natts;
	return n;
}

/* The columns of an item, which is the block's FROM entry "number". */
static List *
item_columns(RangeTblEntry *item, int number)
{
	List	   *names;
	List	   *vars;

	pgt_expand_rte(item, number, &names, &vars);
	return vars;
}

/* An inner join, as a block: all columns of its inputs and items. */
static Side
block_side(PgtCompiler *c, const Query *query, Node *node, PgtLevelInputs *in)
{
	PgtLevelInputs parts = *in;
	List	   *quals = NIL;
	List	   *items = NIL;
	List	   *exprs;
	Side		side = {0};
	ListCell   *lc;

	parts.ops = NIL;
	parts.fences = NIL;
	parts.items = NIL;
	add_node(c, query, node, &parts, &quals, &side.rtindexes, &items);
	pgt_compile_items(query, items, &parts);
	parts.quals = (List *) pgt_compile_to_inputs(&parts, quals);
	exprs = all_columns(parts.ops);
	foreach(lc, side.rtindexes)
		in->base[lfirst_int(lc)] += columns_before(parts.ops,
												   parts.number[lfirst_int(lc)]);
	foreach(lc, items)
	{
		int			number = parts.number[lfirst_int(lc)];

		in->base[lfirst_int(lc)] = list_length(exprs);
		exprs = list_concat(exprs, item_columns(list_nth(parts.items,
														 number - list_length(parts.ops) - 1),
												number));
	}
	side.op = pgt_compile_block(c, &parts, exprs, NIL);
	side.rtindexes = list_concat(side.rtindexes, items);
	return side;
}

static Side
make_side(PgtCompiler *c, const Query *query, Node *node, PgtLevelInputs *in)
{
	if (IsA(node, RangeTblRef) && !is_item(query, node))
		return entry_side(c, query, ((RangeTblRef *) node)->rtindex, in);
	if (is_outer(node))
		return outer_join(c, query, (JoinExpr *) node, in);
	return block_side(c, query, node, in);
}

/* ---- the operator ---- */

static PgtOp *
make_outer(PgtCompiler *c, PgtOuterKind kind, const Side *left,
		   const Side *right, Node *quals)
{
	PgtOuterOp *o = palloc0(sizeof(PgtOuterOp));

	o->kind = kind;
	o->quals = quals;
	o->fenced[0] = left->fenced;
	o->fenced[1] = right->fenced;
	o->value_col = 1;
	pgt_compile_finish_op(c, &o->op, PGT_OP_OUTER,
						  list_make2(left->op, right->op),
						  pgt_outer_desc(kind, left->op, right->op, o->value_col),
						  pstrdup(pgt_outer_kind_name(kind)));
	pgt_outer_prepare(o);
	return &o->op;
}

static Var *
exchange_sides(const Var *of, void *arg)
{
	Var		   *var = copyObject(unconstify(Var *, of));

	var->varno = 3 - var->varno;
	return var;
}

/* Right rows without a partner, NULLs before their columns. */
static PgtOp *
right_only(PgtCompiler *c, const Side *left, const Side *right, Node *quals)
{
	PgtOp	   *op = make_outer(c, PGT_OUTER_ANTI, right, left,
								pgt_map_vars(quals, exchange_sides, NULL));
	List	   *exprs = NIL;

	for (int i = 0; i < left->op->outdesc->natts; i++)
	{
		Form_pg_attribute att = TupleDescAttr(left->op->outdesc, i);

		exprs = lappend(exprs, makeNullConst(att->atttypid, att->atttypmod,
											 att->attcollation));
	}
	return pgt_compile_project(c, op, NIL,
							   list_concat(exprs, all_columns(list_make1(op))), NIL);
}

static PgtOp *
full_join(PgtCompiler *c, const Side *left, const Side *right, Node *quals)
{
	PgtUnionOp *un = palloc0(sizeof(PgtUnionOp));
	PgtOp	   *op = make_outer(c, PGT_OUTER_LEFT, left, right, quals);
	PgtOp	   *rest = right_only(c, left, right, quals);

	pgt_compile_finish_op(c, &un->op, PGT_OP_UNION_ALL, list_make2(op, rest),
						  CreateTupleDescCopy(op->outdesc), pstrdup("full join"));
	return &un->op;
}

static void
number_side(PgtLevelInputs *in, const Side *side, int number)
{
	ListCell   *lc;

	foreach(lc, side->rtindexes)
		in->number[lfirst_int(lc)] = number;
}

static PgtOuterKind
kind_of(const JoinExpr *join)
{
	if (pgt_join_is_named(join, PGT_MARK_JOIN))
		return PGT_OUTER_MARK;
	if (pgt_join_is_named(join, PGT_SINGLE_JOIN))
		return PGT_OUTER_SINGLE;
	return join->jointype == JOIN_SEMI ? PGT_OUTER_SEMI :
		join->jointype == JOIN_ANTI ? PGT_OUTER_ANTI : PGT_OUTER_LEFT;
}

/* Where the columns of the right side are, or the one that the join adds. */
static void
place_right(PgtLevelInputs *in, const JoinExpr *join, PgtOuterKind kind,
			const Side *left, const Side *right, Side *result)
{
	int			before = left->op->outdesc->natts;
	ListCell   *lc;

	result->rtindexes = list_copy(left->rtindexes);
	if (kind == PGT_OUTER_LEFT)
	{
		foreach(lc, right->rtindexes)
			in->base[lfirst_int(lc)] += before;
		result->rtindexes = list_concat(result->rtindexes, right->rtindexes);
	}
	else if (kind == PGT_OUTER_MARK || kind == PGT_OUTER_SINGLE)
	{
		in->base[join->rtindex] = before;
		in->leaf[join->rtindex] = NULL;
		result->rtindexes = lappend_int(result->rtindexes, join->rtindex);
	}
}

static Side
outer_join(PgtCompiler *c, const Query *query, JoinExpr *join,
		   PgtLevelInputs *in)
{
	PgtOuterKind kind = kind_of(join);
	Side		left = make_side(c, query, join->larg, in);
	Side		right = make_side(c, query, join->rarg, in);
	Side		result = {0};
	Node	   *quals;

	if (join->jointype == JOIN_RIGHT)
	{
		Side		swap = left;

		left = right;
		right = swap;
	}
	number_side(in, &left, 1);
	number_side(in, &right, 2);
	quals = (Node *) pgt_compile_to_inputs(in, join->quals);
	result.op = join->jointype == JOIN_FULL ? full_join(c, &left, &right, quals) :
		make_outer(c, kind, &left, &right, quals);
	place_right(in, join, kind, &left, &right, &result);
	return result;
}

/* ---- what cannot be taken apart like this ---- */

static bool fits(const Query *query, Node *node, List **rtindexes, List **items);

/* An inner join, or one side of an outer one: a block of its own. */
static bool
block_fits(const Query *query, Node *node, List **rtindexes)
{
	List	   *items = NIL;
	ListCell   *lc;

	*rtindexes = NIL;
	if (!fits(query, node, rtindexes, &items))
		return false;
	*rtindexes = list_concat(*rtindexes, items);
	foreach(lc, items)
	{
		ListCell   *lv;

		foreach(lv, pgt_item_vars(rt_fetch(lfirst_int(lc), query->rtable)))
			if (!list_member_int(*rtindexes, lfirst_node(Var, lv)->varno))
				return false;
	}
	return true;
}

static bool
fits(const Query *query, Node *node, List **rtindexes, List **items)
{
	ListCell   *lc;

	if (is_item(query, node))
		*items = lappend_int(*items, ((RangeTblRef *) node)->rtindex);
	else if (IsA(node, RangeTblRef))
		*rtindexes = lappend_int(*rtindexes, ((RangeTblRef *) node)->rtindex);
	else if (is_outer(node))
	{
		List	   *left;
		List	   *right;

		if (!block_fits(query, ((JoinExpr *) node)->larg, &left) ||
			!block_fits(query, ((JoinExpr *) node)->rarg, &right))
			return false;
		if (((JoinExpr *) node)->jointype == JOIN_SEMI)
			left = lappend_int(left, ((JoinExpr *) node)->rtindex);
		left = list_concat(left, right);
		foreach(lc, pull_vars_of_level(((JoinExpr *) node)->quals, 0))
			if (!list_member_int(left, lfirst_node(Var, lc)->varno))
				return false;
		*rtindexes = list_concat(*rtindexes, left);
	}
	else if (IsA(node, JoinExpr))
		return fits(query, ((JoinExpr *) node)->larg, rtindexes, items) &&
			fits(query, ((JoinExpr *) node)->rarg, rtindexes, items);
	else
		foreach(lc, castNode(FromExpr, node)->fromlist)
			if (!fits(query, lfirst(lc), rtindexes, items))
				return false;
	return true;
}

bool
pgt_from_fits(const Query *query)
{
	List	   *rtindexes;

	return block_fits(query, (Node *) query->jointree, &rtindexes);
}
