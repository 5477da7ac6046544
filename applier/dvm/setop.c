/*
 * applier/dvm/setop.c - set operations -> operators.
 *
 * UNION ALL of any nesting is one UNION_ALL over its branches, as long as the
 * nested ones have the types of the whole.
 */
#include "postgres.h"

#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "parser/parse_coerce.h"
#include "parser/parsetree.h"

#include "applier/dvm/compiler.h"
#include "decoder/compat.h"

static PgtOp *compile_branch(PgtCompiler *c, const Query *query, Node *branch);

/*
 * Subqueries and nested set operations.  One whose columns have the types of
 * the whole is taken apart; others convert values on the way, as in
 * (numeric UNION ALL real) UNION ALL double precision.
 */
static void
collect_branches(const Query *query, Node *node, const SetOperationStmt *whole,
				 List **branches)
{
	SetOperationStmt *setop = (SetOperationStmt *) node;

	if (IsA(node, RangeTblRef) || !equal(setop->colTypes, whole->colTypes))
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
static TupleDesc
union_desc(const Query *query, const SetOperationStmt *setop)
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
pgt_setop_compile(PgtCompiler *c, const Query *query, SetOperationStmt *setop)
{
	PgtUnionOp *un = palloc0(sizeof(PgtUnionOp));
	List	   *branches = NIL;
	List	   *inputs = NIL;
	ListCell   *lc;

	collect_branches(query, (Node *) setop, setop, &branches);
	foreach(lc, branches)
		inputs = lappend(inputs,
						 coerce_branch(c, compile_branch(c, query, lfirst(lc)),
									   setop));
	pgt_compile_finish_op(c, &un->op, PGT_OP_UNION_ALL, inputs, union_desc(query, setop),
			  psprintf("union all of %d", list_length(inputs)));
	return &un->op;
}

static PgtOp *
compile_branch(PgtCompiler *c, const Query *query, Node *branch)
{
	if (IsA(branch, SetOperationStmt))
		return pgt_setop_compile(c, query, (SetOperationStmt *) branch);
	return pgt_compile_level(c, rt_fetch(castNode(RangeTblRef, branch)->rtindex,
									 query->rtable)->subquery);
}
