/*
 * applier/dvm/emit.c - a group's outcome: its state row and its output delta.
 *
 * What is retracted is what the state row says was emitted, byte for byte,
 * never something computed anew.  A group that ends as it began leaves no
 * trace: no write, no delta.
 */
#include "postgres.h"
#include "access/htup_details.h"
#include "executor/executor.h"
#include "utils/memutils.h"
#include "utils/rel.h"

#include "applier/dvm/groups.h"
#include "applier/dvm/image.h"

/* One output row from a state row's columns. */
static void
emit_row(PgtReduction *r, const Datum *values, const bool *nulls, int64 weight)
{
	PgtReduceOp *op = r->op;
	int			n = op->nkeys + op->naggs;

	for (int i = 0; i < n; i++)
	{
		AttrNumber	attno = i < op->nkeys ? op->keys[i].state_attno :
			op->aggs[i - op->nkeys].out_attno;

		r->outvalues[i] = values[attno - 1];
		r->outnulls[i] = nulls[attno - 1];
	}
	r->outvalues[n] = Int64GetDatum(weight);
	r->outnulls[n] = false;
	if (r->out != NULL)
		tuplestore_putvalues(r->out, op->op.deltadesc, r->outvalues, r->outnulls);
}

static void
set_value(PgtReduction *r, AttrNumber attno, Datum value, bool isnull)
{
	r->newvalues[attno - 1] = isnull ? (Datum) 0 : value;
	r->newnulls[attno - 1] = isnull;
}

static void
keep_value(PgtReduction *r, AttrNumber attno)
{
	set_value(r, attno, r->values[attno - 1], r->nulls[attno - 1]);
}

static void
set_aggregate(PgtReduction *r, PgtGroup *group, int i)
{
	const PgtAggSpec *agg = &r->op->aggs[i];
	PgtAggValue *v = &group->aggs[i];
	const PgtAggMethods *methods = pgt_agg_plan(agg)->methods;
	Form_pg_attribute att;
	Datum		value = (Datum) 0;
	bool		isnull = true;

	if (!v->changed)
	{
		keep_value(r, agg->state_attno);
		if (pgt_agg_plan(agg)->has_count)
			keep_value(r, agg->state_attno + 1);
		keep_value(r, agg->out_attno);
		return;
	}
	methods->freeze(agg, &r->agg, v, &value, &isnull);
	set_value(r, agg->state_attno, value, isnull);
	if (pgt_agg_plan(agg)->has_count)
		set_value(r, agg->state_attno + 1, Int64GetDatum(v->count), false);
	methods->result(agg, &r->agg, v, &value, &isnull);
	att = TupleDescAttr(RelationGetDescr(r->state->rel), agg->out_attno - 1);
	if (!isnull && att->attlen == -1)
		value = pgt_value_canonical(value, att->atttypid);
	set_value(r, agg->out_attno, value, isnull);
}

static void
set_recomputed(PgtReduction *r, PgtGroup *group, int i)
{
	AttrNumber	attno = r->op->aggs[i].out_attno;
	Form_pg_attribute att = TupleDescAttr(RelationGetDescr(r->state->rel),
										  attno - 1);
	Datum		value;

	if (group->fresh == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_DATA_CORRUPTED),
				 errmsg("a group has " INT64_FORMAT " rows by its state, but none in its input",
						group->n),
				 errhint("Rebuild the stream table with refresh_stream_table(name, 'FULL').")));
	value = group->fresh[i];
	if (!group->freshnull[i] && att->attlen == -1)
		value = pgt_value_canonical(value, att->atttypid);
	set_value(r, attno, value, group->freshnull[i]);
}

/* The state row as it is to be stored, into r->newvalues. */
static void
form_row(PgtReduction *r, PgtGroup *group)
{
	PgtReduceOp *op = r->op;

	set_value(r, PGT_STATE_HASH_ATTNO, Int64GetDatum((int64) group->hash),
			  false);
	for (int i = 0; i < op->nkeys; i++)
		set_value(r, op->keys[i].state_attno, group->keys[i],
				  group->keynulls[i]);
	set_value(r, pgt_state_count_attno(op), Int64GetDatum(group->n), false);
	if (pgt_reduce_has_images(op))
		set_value(r, pgt_state_images_attno(op),
				  group->images == NULL ? (Datum) 0 :
				  pgt_key_images_write(group->images), group->images == NULL);
	for (int i = 0; i < op->naggs; i++)
	{
		if (op->aggs[i].state_attno != 0)
			set_aggregate(r, group, i);
		else
			set_recomputed(r, group, i);
	}
}

static bool
same_column(PgtReduction *r, AttrNumber attno)
{
	Form_pg_attribute att = TupleDescAttr(RelationGetDescr(r->state->rel),
										  attno - 1);

	if (r->nulls[attno - 1] || r->newnulls[attno - 1])
		return r->nulls[attno - 1] == r->newnulls[attno - 1];
	return pgt_value_same(r->values[attno - 1], r->newvalues[attno - 1],
						  att->attlen, att->attbyval);
}

static bool
same_output(PgtReduction *r)
{
	for (int i = 1; i <= r->op->nkeys + r->op->naggs; i++)
		if (!same_column(r, pgt_state_reduce_attno(&r->op->op, i)))
			return false;
	return true;
}

static bool
same_row(PgtReduction *r)
{
	for (int i = 1; i <= RelationGetDescr(r->state->rel)->natts; i++)
		if (!same_column(r, i))
			return false;
	return true;
}

static TupleTableSlot *
fill_slot(PgtReduction *r)
{
	TupleTableSlot *slot = r->state->row;
	int			natts = slot->tts_tupleDescriptor->natts;

	ExecClearTuple(slot);
	memcpy(slot->tts_values, r->newvalues, sizeof(Datum) * natts);
	memcpy(slot->tts_isnull, r->newnulls, sizeof(bool) * natts);
	slot->tts_tableOid = RelationGetRelid(r->state->rel);
	return ExecStoreVirtualTuple(slot);
}

static void
remove_group(PgtReduction *r, PgtGroup *group)
{
	if (!group->stored)
		return;
	emit_row(r, r->values, r->nulls, -1);
	pgt_writer_delete(r->state->writer, &group->tid);
}

static void
add_group(PgtReduction *r, PgtGroup *group)
{
	form_row(r, group);
	emit_row(r, r->newvalues, r->newnulls, 1);
	pgt_writer_insert(r->state->writer, fill_slot(r));
}

static void
change_group(PgtReduction *r, PgtGroup *group)
{
	form_row(r, group);
	if (same_row(r))
		return;
	if (!same_output(r))
	{
		emit_row(r, r->values, r->nulls, -1);
		emit_row(r, r->newvalues, r->newnulls, 1);
	}
	pgt_writer_update(r->state->writer, &group->tid, fill_slot(r));
}

/* Write the group's state row and append to the output what changed. */
void
pgt_group_emit(PgtReduction *r, PgtGroup *group)
{
	MemoryContext old;

	MemoryContextReset(r->agg.scratch);
	old = MemoryContextSwitchTo(r->agg.scratch);
	if (group->stored)
		heap_deform_tuple(group->old, RelationGetDescr(r->state->rel),
						  r->values, r->nulls);
	if (group->n == 0 && r->op->nkeys > 0)
		remove_group(r, group);
	else if (group->stored)
		change_group(r, group);
	else
		add_group(r, group);
	MemoryContextSwitchTo(old);
}
