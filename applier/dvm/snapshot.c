/*
 * applier/dvm/snapshot.c - SNAPSHOT: a query run anew and compared.
 *
 * For what has no delta of its own.  When an input changes the query is run
 * as it is, its rows are counted by image and compared with those stored; the
 * difference is the delta.  So operators above, and the stream table, see
 * small changes; this step itself costs the query and its result each time,
 * and explain_st says so.
 *
 * A relation whose changes cannot be captured is such a query as well, without
 * inputs: it is read and compared at each run.  Columns of the relation that are
 * not used are NULL, so that all stand where they stand in the relation.
 *
 * State table, by attribute number: 1 pgt_hash, of the row's image; then the
 * row's columns c1 ..; n int8, how often the row occurs.
 *
 * Memory: the distinct rows are held in memory while they are compared.
 */
#include "postgres.h"

#include "access/table.h"
#include "access/tableam.h"
#include "catalog/pg_type.h"
#include "executor/executor.h"
#include "miscadmin.h"
#include "nodes/makefuncs.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

#include "applier/dvm/explain.h"
#include "applier/dvm/items.h"
#include "applier/dvm/plan.h"
#include "applier/dvm/qtree.h"
#include "applier/dvm/recursion.h"
#include "applier/dvm/state.h"
#include "applier/dvm/target.h"
#include "applier/settings.h"
#include "decoder/compat.h"

typedef struct Row
{
	PgtRowChange change;		/* image, hash, tid if stored; weight: rows now */
	struct Row *next;			/* in order of arrival */
	int64		stored;			/* rows stored */
} Row;

typedef struct Comparison
{
	PgtSnapshotOp *op;
	PgtStateTable *state;
	PgtRowBag  *rows;
	Row		   *first;
	Row		   *last;
	Datum	   *values;
	bool	   *nulls;
	MemoryContext cxt;
	MemoryContext scratch;		/* one row */
} Comparison;

#define natts_of(snapshot) ((snapshot)->op.outdesc->natts)
#define count_attno(snapshot) (natts_of(snapshot) + 2)

/* ---- relations ---- */

static Query *
used_columns(const RangeTblEntry *rte, const Bitmapset *columns)
{
	Relation	rel = table_open(rte->relid, AccessShareLock);
	TupleDesc	desc = RelationGetDescr(rel);
	Query	   *query = pgt_qtree_select();

	pgt_qtree_add_from(query, pgt_qtree_relation(query, rte->relid, rte->inh));
	for (int attno = 1; attno <= desc->natts; attno++)
		pgt_qtree_add_target(query, bms_is_member(attno, columns) ?
							 (Node *) pgt_qtree_var(1, desc, attno, attno) :
							 (Node *) makeNullConst(INT4OID, -1, InvalidOid),
							 psprintf("c%d", attno));
	table_close(rel, NoLock);
	return query;
}

PgtOp *
pgt_snapshot_of_relation(PgtCompiler *c, const RangeTblEntry *rte,
						 const Bitmapset *columns)
{
	PgtSnapshotOp *snapshot;
	List	   *exprs;
	List	   *names;
	ListCell   *lc;

	foreach(lc, c->ops)
	{
		snapshot = lfirst(lc);
		if (snapshot->op.kind == PGT_OP_SNAPSHOT && snapshot->polled == rte->relid)
			return &snapshot->op;
	}
	snapshot = palloc0(sizeof(PgtSnapshotOp));
	snapshot->op.methods = &pgt_snapshot_methods;
	snapshot->polled = rte->relid;
	snapshot->query = used_columns(rte, columns);
	snapshot->reason = "its changes cannot be captured";
	pgt_compile_output(snapshot->query, &exprs, &names);
	pgt_compile_finish_op(c, &snapshot->op, PGT_OP_SNAPSHOT, NIL,
						  pgt_exprs_desc(exprs, names),
						  psprintf("rows of %s, compared", get_rel_name(rte->relid)));
	return &snapshot->op;
}

/* ---- the table ---- */

static void
prepare(PgtOp *op)
{
	((PgtSnapshotOp *) op)->imager = pgt_imager_make(op->outdesc,
													 op->outdesc->natts);
}

static TupleDesc
state_desc(const PgtOp *of)
{
	const PgtSnapshotOp *op = (const PgtSnapshotOp *) of;
	TupleDesc	desc = CreateTemplateTupleDesc(count_attno(op));

	pgt_state_column(desc, PGT_STATE_HASH_ATTNO, "pgt_hash", INT8OID, -1,
					 InvalidOid);
	for (int i = 1; i <= natts_of(op); i++)
	{
		Form_pg_attribute att = TupleDescAttr(of->outdesc, i - 1);

		pgt_state_column(desc, i + 1, psprintf("c%d", i), att->atttypid,
						 att->atttypmod, att->attcollation);
	}
	pgt_state_column(desc, count_attno(op), "n", INT8OID, -1, InvalidOid);
	pgt_tupdesc_finish(desc);
	return desc;
}

static void
state_indexes(const PgtOp *op, const char *table)
{
	pgt_state_hash_index(table);
	if (op->readable)
		pgt_state_column_index(op, table, PGT_STATE_HASH_ATTNO + 1);
}

static Query *
new_state(const PgtOp *of)
{
	const PgtSnapshotOp *op = (const PgtSnapshotOp *) of;
	Query	   *query = pgt_qtree_select();

	pgt_qtree_add_from(query, pgt_qtree_relation(query, of->state_relid, false));
	for (int i = 1; i <= natts_of(op); i++)
		pgt_qtree_add_target(query,
							 (Node *) pgt_qtree_var(1, of->outdesc, i, i + 1),
							 NameStr(TupleDescAttr(of->outdesc, i - 1)->attname));
	pgt_qtree_add_from(query,
					   pgt_item_repeat((Expr *) makeVar(1, count_attno(op),
														INT8OID, -1,
														InvalidOid, 0)));
	return query;
}

static void
make_plans(PgtOp *of, MemoryContext context)
{
	PgtSnapshotOp *op = (PgtSnapshotOp *) of;

	op->plan = pgt_plan_make(context, op->query,
							 psprintf("pg_trickle snapshot of operator %d", of->id),
							 false);
}

/* ---- comparing ---- */

static Row *
get_row(Comparison *k, const Datum *values, const bool *isnull)
{
	MemoryContext old = MemoryContextSwitchTo(k->cxt);
	MinimalTuple image = pgt_image_form(k->op->imager, values, isnull);
	uint64		hash = pgt_image_hash(image);
	Row		   *row = (Row *) pgt_row_bag_find(k->rows, image, hash);

	if (row != NULL)
		pfree(image);
	else
	{
		row = palloc0(sizeof(Row));
		row->change.image = image;
		row->change.hash = hash;
		pgt_row_bag_put(k->rows, &row->change);
		if (k->last == NULL)
			k->first = row;
		else
			k->last->next = row;
		k->last = row;
	}
	MemoryContextSwitchTo(old);
	return row;
}

static void
count_rows_now(Comparison *k, QueryEnvironment *env)
{
	Tuplestorestate *rows = tuplestore_begin_heap(false, false,
												  pgt_refresh_work_mem);
	TupleTableSlot *slot = MakeSingleTupleTableSlot(k->op->op.outdesc,
													&TTSOpsMinimalTuple);

	pgt_plan_run_into(k->op->plan, env, rows);
	while (pgt_next_row(rows, slot))
	{
		CHECK_FOR_INTERRUPTS();
		slot_getallattrs(slot);
		get_row(k, slot->tts_values, slot->tts_isnull)->change.weight++;
	}
	ExecDropSingleTupleTableSlot(slot);
	tuplestore_end(rows);
}

static void
read_stored_rows(Comparison *k)
{
	TupleTableSlot *slot = k->state->found;
	Snapshot	snapshot = RegisterSnapshot(GetLatestSnapshot());
	TableScanDesc scan = pgt_table_beginscan(k->state->rel, snapshot);

	while (table_scan_getnextslot(scan, ForwardScanDirection, slot))
	{
		Row		   *row;

		CHECK_FOR_INTERRUPTS();
		slot_getallattrs(slot);
		row = get_row(k, &slot->tts_values[PGT_STATE_HASH_ATTNO],
					  &slot->tts_isnull[PGT_STATE_HASH_ATTNO]);
		row->stored = DatumGetInt64(slot->tts_values[count_attno(k->op) - 1]);
		row->change.tid = slot->tts_tid;
	}
	ExecClearTuple(slot);
	table_endscan(scan);
	UnregisterSnapshot(snapshot);
}

static TupleTableSlot *
state_row(Comparison *k, const Row *row)
{
	TupleTableSlot *slot = k->state->row;
	AttrNumber	count = count_attno(k->op);

	ExecClearTuple(slot);
	slot->tts_values[0] = Int64GetDatum((int64) row->change.hash);
	slot->tts_isnull[0] = false;
	pgt_image_deform(k->op->imager, row->change.image,
					 &slot->tts_values[PGT_STATE_HASH_ATTNO],
					 &slot->tts_isnull[PGT_STATE_HASH_ATTNO]);
	slot->tts_values[count - 1] = Int64GetDatum(row->change.weight);
	slot->tts_isnull[count - 1] = false;
	slot->tts_tableOid = RelationGetRelid(k->state->rel);
	return ExecStoreVirtualTuple(slot);
}

static void
write_row(Comparison *k, Row *row)
{
	if (row->change.weight == 0)
		pgt_writer_delete(k->state->writer, &row->change.tid);
	else if (row->stored > 0)
		pgt_writer_update(k->state->writer, &row->change.tid, state_row(k, row));
	else
		pgt_writer_insert(k->state->writer, state_row(k, row));
}

static void
emit_row(Comparison *k, const Row *row, Tuplestorestate *out)
{
	int			natts = natts_of(k->op);

	pgt_image_deform(k->op->imager, row->change.image, k->values, k->nulls);
	k->values[natts] = Int64GetDatum(row->change.weight - row->stored);
	k->nulls[natts] = false;
	tuplestore_putvalues(out, k->op->op.deltadesc, k->values, k->nulls);
}

static void
compare(PgtSnapshotOp *op, QueryEnvironment *env, bool building,
		Tuplestorestate *out)
{
	MemoryContext cxt = AllocSetContextCreate(CurrentMemoryContext, "snapshot",
											  ALLOCSET_DEFAULT_SIZES);
	MemoryContext old = MemoryContextSwitchTo(cxt);
	Comparison	k = {.op = op, .cxt = cxt};

	k.scratch = AllocSetContextCreate(cxt, "snapshot row", ALLOCSET_DEFAULT_SIZES);
	k.state = pgt_state_open(&op->op);
	k.rows = pgt_row_bag_make(1024);
	k.values = palloc(sizeof(Datum) * (natts_of(op) + 1));
	k.nulls = palloc(sizeof(bool) * (natts_of(op) + 1));
	count_rows_now(&k, env);
	if (!building)
		read_stored_rows(&k);
	for (Row *row = k.first; row != NULL; row = row->next)
	{
		if (row->change.weight == row->stored)
			continue;
		MemoryContextReset(k.scratch);
		MemoryContextSwitchTo(k.scratch);
		write_row(&k, row);
		if (out != NULL)
			emit_row(&k, row, out);
		MemoryContextSwitchTo(cxt);
	}
	pgt_state_close(k.state);
	MemoryContextSwitchTo(old);
	MemoryContextDelete(cxt);
}

static void
run_snapshot(PgtOp *op, QueryEnvironment *env, Tuplestorestate **inputs,
			 Tuplestorestate *out)
{
	compare((PgtSnapshotOp *) op, env, false, out);
}

static bool
runs_always(const PgtOp *op)
{
	return OidIsValid(((const PgtSnapshotOp *) op)->polled);
}

static void
build_snapshot(PgtOp *op, QueryEnvironment *env, Tuplestorestate **inputs)
{
	compare((PgtSnapshotOp *) op, env, true, NULL);
}

static void
explain(const PgtOp *of, PgtExplain *e)
{
	const PgtSnapshotOp *op = (const PgtSnapshotOp *) of;

	pgt_explain_say(e, of, "method",
					psprintf("run anew at each %s and compared with the rows stored: %s",
							 OidIsValid(op->polled) ? "refresh" : "change", op->reason));
	pgt_explain_plan(e, of, "run anew", op->plan);
}

const PgtOpMethods pgt_snapshot_methods = {
	.prepare = prepare,
	.state_desc = state_desc,
	.state_indexes = state_indexes,
	.new_state = new_state,
	.make_plans = make_plans,
	.run = run_snapshot,
	.build = build_snapshot,
	.builds_alone = true,
	.runs_always = runs_always,
	.explain = explain,
};
