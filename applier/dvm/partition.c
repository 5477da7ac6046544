/*
 * applier/dvm/partition.c - PARTITION: a window, DISTINCT ON or limit level as
 * an operator.
 *
 * Rule: a change of the input touches the partitions that its rows belong to.
 * These are evaluated anew by PostgreSQL, over the input's new state restricted
 * to them; the result is compared with the rows last emitted, which are the
 * operator's state, and the difference is the delta (partition_run.c).  So
 * what is retracted is what was emitted, also where peers may come in any
 * order.
 *
 * The state table pgtrickle_state.s<pgt_id>_<op id>: pgt_hash int8, the hash of
 * the partition's key, then the output's columns c1 .. cn, the key among them;
 * one row per row of the output.  It is the operator's new state.
 *
 * Cost: the rows of the touched partitions.  An index of the input's table on
 * the PARTITION BY columns finds them; without such columns it is the input.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "nodes/makefuncs.h"
#include "optimizer/tlist.h"
#include "parser/parsetree.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"

#include "applier/dvm/block.h"
#include "applier/dvm/compiler.h"
#include "applier/dvm/explain.h"
#include "applier/dvm/level.h"
#include "applier/dvm/partition.h"
#include "applier/dvm/plan.h"
#include "applier/dvm/qtree.h"
#include "applier/dvm/state.h"
#include "decoder/compat.h"

/* ---- compiling ---- */

/* PARTITION BY of the level's windows, or what DISTINCT ON names. */
static List *
key_clauses(const Query *query)
{
	if (query->hasWindowFuncs)
		return linitial_node(WindowClause, query->windowClause)->partitionClause;
	if (query->hasDistinctOn)
		return query->distinctClause;
	return NIL;
}

static void
make_keys(PgtPartitionOp *op)
{
	List	   *clauses = key_clauses(op->eval);
	ListCell   *lc;

	op->keys = palloc0(sizeof(PgtKeySpec) * (list_length(clauses) + 1));
	foreach(lc, clauses)
	{
		SortGroupClause *clause = lfirst_node(SortGroupClause, lc);
		TargetEntry *tle = get_sortgroupclause_tle(clause, op->eval->targetList);
		Var		   *var = castNode(Var, tle->expr);
		PgtKeySpec *key = &op->keys[op->nkeys++];

		Assert(!tle->resjunk);
		key->in_col = var->varattno;
		key->type = var->vartype;
		key->typmod = var->vartypmod;
		key->collation = var->varcollid;
		key->eqop = clause->eqop;
		key->sortop = clause->sortop;
		key->state_attno = tle->resno + 1;
	}
}

static TupleDesc
output_desc(const Query *query)
{
	List	   *exprs;
	List	   *names;

	pgt_compile_output(query, &exprs, &names);
	return pgt_exprs_desc(exprs, names);
}

static char *
make_label(const Query *query)
{
	if (query->hasWindowFuncs)
		return "window functions";
	return query->hasDistinctOn ? "distinct on" : "limit";
}

PgtOp *
pgt_partition_compile(PgtCompiler *c, const Query *query)
{
	PgtPartitionOp *op = palloc0(sizeof(PgtPartitionOp));
	PgtLevelInputs *in = pgt_compile_from(c, query);

	if (list_length(in->ops) != 1 || in->quals != NIL)
		elog(ERROR, "a level of window functions has more than columns of one subquery");
	op->eval = copyObject(unconstify(Query *, query));
	op->eval->targetList = (List *) pgt_compile_to_inputs(in, op->eval->targetList);
	op->eval->rtable = NIL;
	op->eval->jointree = NULL;
	make_keys(op);
	op->op.methods = &pgt_partition_methods;
	pgt_compile_finish_op(c, &op->op, PGT_OP_PARTITION, in->ops,
						  output_desc(query), make_label(query));
	return &op->op;
}

static void
prepare(PgtOp *partition)
{
	PgtPartitionOp *op = (PgtPartitionOp *) partition;

	op->keyset = pgt_keys_prepare(op->keys, op->nkeys);
	op->imager = pgt_imager_make(op->op.outdesc, op->op.outdesc->natts);
}

/* ---- the state table ---- */

static TupleDesc
state_desc(const PgtOp *op)
{
	TupleDesc	out = op->outdesc;
	TupleDesc	desc = CreateTemplateTupleDesc(out->natts + 1);

	pgt_state_column(desc, PGT_STATE_HASH_ATTNO, "pgt_hash", INT8OID, -1,
					 InvalidOid);
	for (int i = 1; i <= out->natts; i++)
	{
		Form_pg_attribute att = TupleDescAttr(out, i - 1);

		pgt_state_column(desc, i + 1, psprintf("c%d", i), att->atttypid,
						 att->atttypmod, att->attcollation);
	}
	pgt_tupdesc_finish(desc);
	return desc;
}

static AttrNumber
state_attno(const PgtOp *op, int col)
{
	return col + 1;
}

static void
state_indexes(const PgtOp *partition, const char *table)
{
	const PgtPartitionOp *op = (const PgtPartitionOp *) partition;
	AttrNumber *attnos = palloc(sizeof(AttrNumber) * (op->nkeys + 1));

	pgt_state_hash_index(table);
	if (!partition->readable)
		return;
	for (int i = 0; i < op->nkeys; i++)
		attnos[i] = op->keys[i].state_attno;
	pgt_state_key_indexes(partition, table, op->keys, op->nkeys, attnos);
}

/* ---- plans ---- */

/* The level over "query", which selects from the input's new state. */
static Query *
evaluate(const PgtPartitionOp *op, Query *query)
{
	PgtOp	   *input = linitial(op->op.inputs);
	Query	   *eval = copyObject(op->eval);

	query->targetList = (List *)
		pgt_op_place_vars((Node *) eval->targetList, input);
	query->windowClause = eval->windowClause;
	query->hasWindowFuncs = eval->hasWindowFuncs;
	query->distinctClause = eval->distinctClause;
	query->hasDistinctOn = eval->hasDistinctOn;
	query->sortClause = eval->sortClause;
	query->limitCount = eval->limitCount;
	query->limitOffset = eval->limitOffset;
	query->limitOption = eval->limitOption;
	return query;
}

static void
make_plans(PgtOp *partition, MemoryContext context)
{
	PgtPartitionOp *op = (PgtPartitionOp *) partition;
	PgtOp	   *input = linitial(partition->inputs);
	Query	   *query;

	query = evaluate(op, pgt_op_restricted_state(input, NULL, 0, true));
	op->all = pgt_plan_make(context, query,
							psprintf("pg_trickle evaluation of operator %d", partition->id),
							false);
	for (int nonnull = 0; nonnull <= 1 && op->nkeys > 0; nonnull++)
	{
		query = evaluate(op, pgt_op_restricted_state(input, op->keys, op->nkeys,
													 nonnull));
		op->touched[nonnull] =
			pgt_plan_make(context, query,
						  psprintf("pg_trickle partitions of operator %d", partition->id),
						  false);
	}
}

/* ---- explain_st ---- */

static void
explain(const PgtOp *partition, PgtExplain *e)
{
	const PgtPartitionOp *op = (const PgtPartitionOp *) partition;
	StringInfoData keys;

	if (op->nkeys == 0)
	{
		pgt_explain_say(e, partition, "cost",
						"the whole input at each change of it: there is no PARTITION BY");
		pgt_explain_plan(e, partition, "evaluate", op->all);
		return;
	}
	initStringInfo(&keys);
	for (int i = 0; i < op->nkeys; i++)
		appendStringInfo(&keys, "%s%s", i > 0 ? ", " : "",
						 pgt_explain_column(linitial(partition->inputs),
											op->keys[i].in_col));
	pgt_explain_say(e, partition, "partition key", keys.data);
	pgt_explain_say(e, partition, "cost", "the rows of the partitions that a change touches");
	pgt_explain_plan(e, partition, "evaluate touched partitions", op->touched[1]);
	pgt_explain_advise(e, partition, linitial(partition->inputs),
					   op->keys[0].in_col);
}

const PgtOpMethods pgt_partition_methods = {
	.prepare = prepare,
	.state_desc = state_desc,
	.state_indexes = state_indexes,
	.state_attno = state_attno,
	.make_plans = make_plans,
	.run = pgt_partition_run,
	.build = pgt_partition_build,
	.builds_alone = true,
	.explain = explain,
};
