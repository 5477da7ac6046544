/*
 * applier/dvm/wanted.c - by which columns operators look up the states below.
 *
 * An operator that evaluates groups or partitions anew reads the new state of
 * its input by key.  Where that state is a state table, or blocks and unions of
 * such, the table needs an index on those columns, or each look-up would read
 * all of it.  Noted in PgtOp.wanted once all operators are prepared; state.c
 * makes the indexes with the table.
 */
#include "postgres.h"

#include "applier/dvm/compile.h"
#include "applier/dvm/partition.h"
#include "applier/dvm/program.h"
#include "applier/dvm/topk.h"

/* Columns of a block's input that these of its output are, or NIL. */
static List *
through_block(const PgtBlockOp *block, List *cols, int *input)
{
	List	   *below = NIL;
	ListCell   *lc;

	*input = 0;
	foreach(lc, cols)
	{
		Var		   *var = list_nth(block->exprs, lfirst_int(lc) - 1);

		if (!IsA(var, Var) || var->varno > list_length(block->op.inputs) ||
			(*input != 0 && var->varno != *input))
			return NIL;
		*input = var->varno;
		below = lappend_int(below, var->varattno);
	}
	return below;
}

/* Look-ups by these columns of the operator's new state are to come. */
static void
want(PgtOp *op, List *cols)
{
	ListCell   *lc;

	if (cols == NIL)
		return;
	if (op->kind == PGT_OP_BLOCK)
	{
		int			input;
		List	   *below = through_block((PgtBlockOp *) op, cols, &input);

		if (below != NIL)
			want(list_nth(op->inputs, input - 1), below);
	}
	else if (op->kind == PGT_OP_UNION_ALL)
	{
		foreach(lc, op->inputs)
			want(lfirst(lc), cols);
	}
	else if (op->methods != NULL && !list_member(op->wanted, cols))
		op->wanted = lappend(op->wanted, cols);
}

static List *
key_columns(const PgtKeySpec *keys, int nkeys)
{
	List	   *cols = NIL;

	for (int i = 0; i < nkeys; i++)
		cols = lappend_int(cols, keys[i].in_col);
	return cols;
}

void
pgt_wanted_mark(List *ops)
{
	ListCell   *lc;

	foreach(lc, ops)
	{
		PgtOp	   *op = lfirst(lc);
		List	   *cols = NIL;

		if (op->kind == PGT_OP_PARTITION)
			cols = key_columns(((PgtPartitionOp *) op)->keys,
							   ((PgtPartitionOp *) op)->nkeys);
		else if (op->kind == PGT_OP_TOPK)
			cols = key_columns(((PgtTopkOp *) op)->keys, ((PgtTopkOp *) op)->nkeys);
		else if (op->kind == PGT_OP_REDUCE &&
				 (((PgtReduceOp *) op)->any_recompute || ((PgtReduceOp *) op)->any_rescan))
			cols = key_columns(((PgtReduceOp *) op)->keys,
							   ((PgtReduceOp *) op)->nkeys);
		if (cols != NIL)
			want(linitial(op->inputs), cols);
	}
}
