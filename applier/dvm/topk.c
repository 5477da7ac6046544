/*
 * applier/dvm/topk.c - TOPK: ORDER BY with LIMIT, and DISTINCT ON, as an
 * operator.
 *
 * The state holds the first rows of the order, of each key: those that OFFSET
 * skips, those shown and some to spare, and whether there are more.  A row that
 * comes or goes behind the last one kept changes nothing, others are put in or
 * taken out in memory, and where fewer than LIMIT + OFFSET are left the first
 * ones are read from the input again (topk_run.c).  Cost: the rows kept of the
 * keys touched; the rows to spare are why deletions seldom read the input.
 *
 * The state table pgtrickle_state.s<pgt_id>_<op id>: pgt_hash int8, the hash of
 * the key; pgt_place int2, see topk.h; the output's columns c1 .. cn.
 *
 * A key comes from DISTINCT ON (limit 1) or from a level with DISTINCT ON and
 * LIMIT, which level.c makes for "the first n of each" and SQL does not have.
 */
#include "postgres.h"

#include "catalog/namespace.h"
#include "catalog/pg_type.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/optimizer.h"
#include "optimizer/tlist.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/fmgrprotos.h"
#include "utils/lsyscache.h"

#include "applier/dvm/block.h"
#include "applier/dvm/compiler.h"
#include "applier/dvm/explain.h"
#include "applier/dvm/level.h"
#include "applier/dvm/plan.h"
#include "applier/dvm/qtree.h"
#include "applier/dvm/state.h"
#include "applier/dvm/topk.h"
#include "applier/settings.h"
#include "decoder/compat.h"

/* Rows to spare: as many as are needed, but not fewer or more than this. */
#define SPARE_MIN_WHOLE 20
#define SPARE_MIN_KEYED 3
#define SPARE_MAX 1000

/* ---- compiling ---- */

bool
pgt_topk_serves(const Query *query)
{
	int64		limit = 1;
	int64		offset = 0;

	if (query->hasWindowFuncs)
		return false;
	if (pgt_level_is_limited(query) &&
		(!pgt_level_bounds(query, &limit, &offset) || limit < 0 || offset < 0))
		return false;
	return limit <= pgt_ivm_topk_max_limit && offset <= pgt_ivm_topk_max_limit;
}

static void
make_keys(PgtTopkOp *op, const Query *query)
{
	ListCell   *lc;

	op->keys = palloc0(sizeof(PgtKeySpec) * (list_length(query->distinctClause) + 1));
	if (!query->hasDistinctOn)
		return;
	foreach(lc, query->distinctClause)
	{
		SortGroupClause *clause = lfirst_node(SortGroupClause, lc);
		TargetEntry *tle = get_sortgroupclause_tle(clause, query->targetList);
		Var		   *var = castNode(Var, tle->expr);
		PgtKeySpec *key = &op->keys[op->nkeys++];

		key->in_col = var->varattno;
		key->type = var->vartype;
		key->typmod = var->vartypmod;
		key->collation = var->varcollid;
		key->eqop = clause->eqop;
		key->sortop = clause->sortop;
		key->state_attno = tle->resno + PGT_TOPK_FIRST_ATTNO - 1;
	}
}

static void
make_bounds(PgtTopkOp *op, const Query *query)
{
	int64		needed;
	int64		spare;

	op->limit = 1;
	op->offset = 0;
	if (pgt_level_is_limited(query))
	{
		pgt_level_bounds(query, &op->limit, &op->offset);
		op->with_ties = query->limitOption == LIMIT_OPTION_WITH_TIES;
	}
	needed = op->limit + op->offset;
	spare = Max(needed, op->nkeys > 0 ? SPARE_MIN_KEYED : SPARE_MIN_WHOLE);
	spare = Min(spare, SPARE_MAX);
	op->kept = needed + spare;
	op->most = op->kept + spare;
}

PgtOp *
pgt_topk_compile(PgtCompiler *c, const Query *query)
{
	PgtTopkOp  *op = palloc0(sizeof(PgtTopkOp));
	PgtLevelInputs *in = pgt_compile_from(c, query);
	List	   *exprs;
	List	   *names;

	if (list_length(in->ops) != 1 || in->quals != NIL)
		elog(ERROR, "a level with a limit has more than columns of one subquery");
	op->eval = copyObject(unconstify(Query *, query));
	op->eval->targetList = (List *) pgt_compile_to_inputs(in, op->eval->targetList);
	op->eval->rtable = NIL;
	op->eval->jointree = NULL;
	make_keys(op, op->eval);
	make_bounds(op, query);
	pgt_compile_output(query, &exprs, &names);
	op->op.methods = &pgt_topk_methods;
	pgt_compile_finish_op(c, &op->op, PGT_OP_TOPK, in->ops,
						  pgt_exprs_desc(exprs, names),
						  op->nkeys == 0 ? "first rows" : "first rows of each key");
	return &op->op;
}

static void
prepare(PgtOp *topk)
{
	PgtTopkOp  *op = (PgtTopkOp *) topk;

	op->keyset = pgt_keys_prepare(op->keys, op->nkeys);
	op->imager = pgt_imager_make(topk->outdesc, topk->outdesc->natts);
}

/* ---- the state table ---- */

static TupleDesc
state_desc(const PgtOp *op)
{
	TupleDesc	out = op->outdesc;
	TupleDesc	desc = CreateTemplateTupleDesc(out->natts + PGT_TOPK_FIRST_ATTNO - 1);

	pgt_state_column(desc, PGT_STATE_HASH_ATTNO, "pgt_hash", INT8OID, -1,
					 InvalidOid);
	pgt_state_column(desc, PGT_TOPK_PLACE_ATTNO, "pgt_place", INT2OID, -1,
					 InvalidOid);
	for (int i = 0; i < out->natts; i++)
	{
		Form_pg_attribute att = TupleDescAttr(out, i);

		pgt_state_column(desc, i + PGT_TOPK_FIRST_ATTNO, psprintf("c%d", i + 1),
						 att->atttypid, att->atttypmod, att->attcollation);
	}
	pgt_tupdesc_finish(desc);
	return desc;
}

static void
state_indexes(const PgtOp *topk, const char *table)
{
	const PgtTopkOp *op = (const PgtTopkOp *) topk;
	AttrNumber *attnos = palloc(sizeof(AttrNumber) * (op->nkeys + 1));

	pgt_state_hash_index(table);
	if (!topk->readable)
		return;
	for (int i = 0; i < op->nkeys; i++)
		attnos[i] = op->keys[i].state_attno;
	pgt_state_key_indexes(topk, table, op->keys, op->nkeys, attnos);
}

/* A comparison by an operator of pg_catalog. */
static Node *
compare(const char *name, Oid type, Node *left, Node *right)
{
	List	   *qualified = list_make2(makeString("pg_catalog"),
									   makeString(pstrdup(name)));
	OpExpr	   *op = (OpExpr *) make_opclause(OpernameGetOprid(qualified, type, type),
											  BOOLOID, false, (Expr *) left,
											  (Expr *) right, InvalidOid,
											  InvalidOid);

	set_opfuncid(op);
	return (Node *) op;
}

/* The rows shown. */
static Query *
new_state(const PgtOp *op)
{
	Query	   *query = pgt_qtree_select();
	int			varno = pgt_qtree_add_from(query, pgt_qtree_relation(query, op->state_relid,
																	 false));
	Var		   *place = makeVar(varno, PGT_TOPK_PLACE_ATTNO, INT2OID, -1,
								InvalidOid, 0);

	for (int i = 1; i <= op->outdesc->natts; i++)
		pgt_qtree_add_target(query,
							 (Node *) pgt_qtree_var(varno, op->outdesc, i,
													i + PGT_TOPK_FIRST_ATTNO - 1),
							 NameStr(TupleDescAttr(op->outdesc, i - 1)->attname));
	query->jointree->quals =
		compare("=", INT2OID, (Node *) place,
				(Node *) makeConst(INT2OID, -1, InvalidOid, sizeof(int16),
								   Int16GetDatum(PGT_TOPK_SHOWN), false, true));
	return query;
}

/* ---- plans ---- */

/* Columns of the output, from a FROM whose first entry is the input. */
static void
set_columns(const PgtTopkOp *op, Query *query)
{
	query->targetList = (List *)
		pgt_op_place_vars(copyObject((Node *) op->eval->targetList),
						  linitial(op->op.inputs));
}

static void
keep_first(const PgtTopkOp *op, Query *query)
{
	query->sortClause = copyObject(op->eval->sortClause);
	query->limitCount = pgt_qtree_int8(op->kept);
	query->limitOption = op->with_ties && query->sortClause != NIL ?
		LIMIT_OPTION_WITH_TIES : LIMIT_OPTION_COUNT;
}

/* The set of keys, number 2 in FROM, moves one level up to be number 1. */
static Node *
raise_keys_mutator(Node *node, void *context)
{
	if (node == NULL)
		return NULL;
	if (IsA(node, Var) && ((Var *) node)->varno == 2)
	{
		Var		   *var = (Var *) copyObject(node);

		var->varno = 1;
		var->varnosyn = 1;
		var->varlevelsup = 1;
		return (Node *) var;
	}
	return expression_tree_mutator(node, raise_keys_mutator, context);
}

/*
 * FROM pgt_keys, LATERAL (the first rows of that key): an index on key and
 * order serves each key by itself.
 */
static Query *
first_of_keys(const PgtTopkOp *op, bool nonnull)
{
	PgtOp	   *input = linitial(op->op.inputs);
	Query	   *restricted = pgt_op_restricted_state(input, op->keys, op->nkeys,
													 nonnull);
	RangeTblEntry *store = lsecond(restricted->rtable);
	Query	   *query = pgt_qtree_select();
	RangeTblEntry *lateral;
	TupleDesc	out = op->op.outdesc;

	restricted->rtable = list_make1(linitial(restricted->rtable));
	restricted->jointree->fromlist = list_make1(linitial(restricted->jointree->fromlist));
	restricted->jointree->quals =
		raise_keys_mutator(restricted->jointree->quals, NULL);
	set_columns(op, restricted);
	keep_first(op, restricted);
	pgt_qtree_add_from(query, store);
	lateral = pgt_qtree_subquery(restricted, "first", pgt_qtree_names(out), false);
	lateral->lateral = true;
	pgt_qtree_add_from(query, lateral);
	for (int i = 1; i <= out->natts; i++)
		pgt_qtree_add_target(query, (Node *) pgt_qtree_var(2, out, i, i),
							 NameStr(TupleDescAttr(out, i - 1)->attname));
	return query;
}

static Query *
first_of_all(const PgtTopkOp *op)
{
	Query	   *query = pgt_op_restricted_state(linitial(op->op.inputs), NULL, 0,
												true);

	set_columns(op, query);
	keep_first(op, query);
	return query;
}

/* row_number() or, where ties count as one, rank() over the key's order. */
static WindowFunc *
add_position(const PgtTopkOp *op, Query *query)
{
	WindowFunc *func = makeNode(WindowFunc);
	WindowClause *wc = makeNode(WindowClause);

	func->winfnoid = op->with_ties ? F_RANK_ : F_ROW_NUMBER;
	func->wintype = INT8OID;
	func->winref = 1;
	func->location = -1;
	wc->partitionClause = copyObject(op->eval->distinctClause);
	wc->orderClause = copyObject(op->eval->sortClause);
	wc->frameOptions = FRAMEOPTION_DEFAULTS;
	wc->winref = 1;
	query->windowClause = list_make1(wc);
	query->hasWindowFuncs = true;
	return func;
}

/* The first rows of every key, in order. */
static Query *
first_of_each(const PgtTopkOp *op)
{
	Query	   *inner = pgt_op_restricted_state(linitial(op->op.inputs), NULL, 0,
												true);
	Query	   *query = pgt_qtree_select();
	TupleDesc	out = op->op.outdesc;
	Var		   *position = makeVar(1, out->natts + 1, INT8OID, -1, InvalidOid, 0);
	List	   *names = pgt_qtree_names(out);
	ListCell   *lc;

	set_columns(op, inner);
	pgt_qtree_add_target(inner, (Node *) add_position(op, inner), "pgt_position");
	names = lappend(names, makeString("pgt_position"));
	pgt_qtree_add_from(query, pgt_qtree_subquery(inner, "each", names, false));
	for (int i = 1; i <= out->natts; i++)
	{
		TargetEntry *below = list_nth(inner->targetList, i - 1);

		pgt_qtree_add_target(query, (Node *) pgt_qtree_var(1, out, i, i),
							 NameStr(TupleDescAttr(out, i - 1)->attname));
		llast_node(TargetEntry, query->targetList)->ressortgroupref =
			below->ressortgroupref;
	}
	query->jointree->quals = compare("<=", INT8OID, (Node *) position,
									 pgt_qtree_int8(op->kept));
	query->sortClause = copyObject(op->eval->distinctClause);
	foreach(lc, op->eval->sortClause)
	{
		SortGroupClause *clause = lfirst_node(SortGroupClause, lc);

		if (!list_member(query->sortClause, clause))
			query->sortClause = lappend(query->sortClause, copyObject(clause));
	}
	return query;
}

static void
make_plans(PgtOp *topk, MemoryContext context)
{
	PgtTopkOp  *op = (PgtTopkOp *) topk;
	char	   *text = psprintf("pg_trickle first rows of operator %d", topk->id);

	op->all = pgt_plan_make(context,
							op->nkeys > 0 ? first_of_each(op) : first_of_all(op),
							text, false);
	for (int nonnull = 0; nonnull <= 1 && op->nkeys > 0; nonnull++)
		op->first[nonnull] = pgt_plan_make(context, first_of_keys(op, nonnull),
										   text, false);
}

/* ---- explain_st ---- */

/* What the rows are ordered by first, among what is no key. */
static int
leading_column(const PgtTopkOp *op)
{
	ListCell   *lc;

	foreach(lc, op->eval->sortClause)
	{
		TargetEntry *tle = get_sortgroupclause_tle(lfirst(lc),
												   op->eval->targetList);
		bool		key = false;

		for (int i = 0; i < op->nkeys; i++)
			key = key || op->keys[i].in_col == castNode(Var, tle->expr)->varattno;
		if (!key)
			return castNode(Var, tle->expr)->varattno;
	}
	return 0;
}

static void
explain(const PgtOp *topk, PgtExplain *e)
{
	const PgtTopkOp *op = (const PgtTopkOp *) topk;
	StringInfoData keys;

	initStringInfo(&keys);
	for (int i = 0; i < op->nkeys; i++)
		appendStringInfo(&keys, "%s%s", i > 0 ? ", " : "",
						 pgt_explain_column(linitial(topk->inputs), op->keys[i].in_col));
	if (op->nkeys > 0)
		pgt_explain_say(e, topk, "key", keys.data);
	pgt_explain_say(e, topk, "kept",
					psprintf("%lld rows shown, %lld skipped, up to %lld to spare",
							 (long long) op->limit, (long long) op->offset,
							 (long long) (op->most - op->limit - op->offset)));
	pgt_explain_say(e, topk, "cost",
					"the rows kept; where deletions use up those to spare, one query for the first rows");
	pgt_explain_plan(e, topk, "read first rows",
					 op->nkeys > 0 ? op->first[1] : op->all);
	if (op->nkeys > 0)
		pgt_explain_advise(e, topk, linitial(topk->inputs), op->keys[0].in_col);
	else if (leading_column(op) > 0)
		pgt_explain_advise(e, topk, linitial(topk->inputs), leading_column(op));
}

const PgtOpMethods pgt_topk_methods = {
	.prepare = prepare,
	.state_desc = state_desc,
	.state_indexes = state_indexes,
	.new_state = new_state,
	.make_plans = make_plans,
	.run = pgt_topk_run,
	.build = pgt_topk_build,
	.builds_alone = true,
	.explain = explain,
};
