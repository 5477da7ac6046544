/*
 * applier/capture/trigger.c - pgtrickle.capture(), the trigger function.
 *
 * Fires after each statement and reads its transition tables, or after each
 * row where statement triggers would miss some (install.c tells which), and
 * records them (record.c) for the sources that the relation belongs to
 * (target.c).
 *
 * A writer never fails for a stream table's sake: what cannot be recorded
 * (columns altered, a row of a gigabyte) becomes a LOST batch in the same
 * transaction, and readers rebuild.  Errors that come from the writer's own
 * data or from the disk (a damaged TOAST value, no space) are raised.
 *
 * The old and the new transition table are walked in step.  Where a row was
 * moved to another partition or suppressed by a trigger the pairs may be out
 * of step; as sets of deletions and insertions they are right all the same.
 *
 * Nothing in here can run SQL, so there is no recursion.
 */
#include "postgres.h"

#include "commands/trigger.h"
#include "executor/executor.h"
#include "executor/tuptable.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/tuplestore.h"

#include "applier/capture/record.h"
#include "applier/capture/target.h"
#include "decoder/compat.h"

PG_FUNCTION_INFO_V1(pgt_capture);

static void
gather(const PgtTarget *t, TupleTableSlot *slot, PgtWireTuple *tuple)
{
	slot_getsomeattrs(slot, t->max_attnum);
	for (int i = 0; i < t->shape->ncolumns; i++)
	{
		tuple->values[i] = slot->tts_values[t->attnums[i] - 1];
		tuple->nulls[i] = slot->tts_isnull[t->attnums[i] - 1];
	}
}

static bool
same_image(const PgtWireShape *shape, const PgtWireTuple *a,
		   const PgtWireTuple *b)
{
	bool		same = true;

	for (int i = 0; same && i < shape->ncolumns; i++)
	{
		if (a->nulls[i] || b->nulls[i])
			same = a->nulls[i] && b->nulls[i];
		else
			same = pgt_wire_same_value(&shape->columns[i], a->values[i], b->values[i]);
	}
	return same;
}

/* What one trigger call records for one target. */
typedef struct Share
{
	const PgtTarget *target;
	PgtRecorder recorder;
	PgtWireTuple old_tuple;
	PgtWireTuple new_tuple;
} Share;

static void
begin_share(Share *s, const PgtTarget *target)
{
	int			n = target->shape ? target->shape->ncolumns + 1 : 0;

	s->target = target;
	pgt_record_begin(&s->recorder, target->source, &target->buffer, target->shape);
	s->old_tuple.values = palloc(sizeof(Datum) * n);
	s->old_tuple.nulls = palloc(sizeof(bool) * n);
	s->new_tuple.values = palloc(sizeof(Datum) * n);
	s->new_tuple.nulls = palloc(sizeof(bool) * n);
}

/* Record what one row had before and has after; NULL: was not, is not. */
static void
record_row(Share *s, TupleTableSlot *old_slot, TupleTableSlot *new_slot)
{
	const PgtTarget *t = s->target;
	PgtWireTuple *old_tuple = old_slot ? &s->old_tuple : NULL;
	PgtWireTuple *new_tuple = new_slot ? &s->new_tuple : NULL;
	MemoryContext old = MemoryContextSwitchTo(pgt_record_row_context());

	if (old_tuple)
		gather(t, old_slot, old_tuple);
	if (new_tuple)
		gather(t, new_slot, new_tuple);
	if (old_tuple == NULL || new_tuple == NULL ||
		!same_image(t->shape, old_tuple, new_tuple))
		pgt_record_change(&s->recorder, old_tuple, new_tuple);
	MemoryContextSwitchTo(old);
}

/* Read pointers of a transition table are shared with other triggers: take
 * one of our own. */
static void
rewind_table(Tuplestorestate *table)
{
	int			pointer = tuplestore_alloc_read_pointer(table, EXEC_FLAG_REWIND);

	tuplestore_select_read_pointer(table, pointer);
	tuplestore_rescan(table);
}

static bool
next_row(Tuplestorestate *table, TupleTableSlot *slot)
{
	return table != NULL && tuplestore_gettupleslot(table, true, false, slot);
}

static void
record_tables(Share *s, Relation rel, Tuplestorestate *old_table,
			  Tuplestorestate *new_table)
{
	TupleTableSlot *old_slot = NULL;
	TupleTableSlot *new_slot = NULL;

	if (old_table)
	{
		rewind_table(old_table);
		old_slot = MakeSingleTupleTableSlot(RelationGetDescr(rel), &TTSOpsMinimalTuple);
	}
	if (new_table)
	{
		rewind_table(new_table);
		new_slot = MakeSingleTupleTableSlot(RelationGetDescr(rel), &TTSOpsMinimalTuple);
	}
	for (;;)
	{
		bool		has_old = next_row(old_table, old_slot);
		bool		has_new = next_row(new_table, new_slot);

		if (!has_old && !has_new)
			break;
		CHECK_FOR_INTERRUPTS();
		record_row(s, has_old ? old_slot : NULL, has_new ? new_slot : NULL);
	}
	if (old_slot)
		ExecDropSingleTupleTableSlot(old_slot);
	if (new_slot)
		ExecDropSingleTupleTableSlot(new_slot);
}

static bool
is_empty(Tuplestorestate *table)
{
	return table == NULL || tuplestore_tuple_count(table) == 0;
}

static void
capture_statement(TriggerData *td, const PgtTargetSet *set)
{
	if (is_empty(td->tg_oldtable) && is_empty(td->tg_newtable))
		return;
	for (int i = 0; i < set->n; i++)
	{
		Share		s;

		begin_share(&s, &set->targets[i]);
		if (s.target->shape == NULL)
			pgt_record_lost(&s.recorder, s.target->lost_reason);
		else
			record_tables(&s, td->tg_relation, td->tg_oldtable, td->tg_newtable);
		pgt_record_end(&s.recorder);
	}
}

static void
capture_row(TriggerData *td, const PgtTargetSet *set)
{
	TupleTableSlot *old_slot = td->tg_trigslot;
	TupleTableSlot *new_slot = NULL;

	if (TRIGGER_FIRED_BY_INSERT(td->tg_event))
	{
		old_slot = NULL;
		new_slot = td->tg_trigslot;
	}
	else if (TRIGGER_FIRED_BY_UPDATE(td->tg_event))
		new_slot = td->tg_newslot;

	for (int i = 0; i < set->n; i++)
	{
		Share		s;

		begin_share(&s, &set->targets[i]);
		if (s.target->shape == NULL)
			pgt_record_lost(&s.recorder, s.target->lost_reason);
		else
			record_row(&s, old_slot, new_slot);
		pgt_record_end(&s.recorder);
	}
}

static void
capture_truncate(const PgtTargetSet *set)
{
	for (int i = 0; i < set->n; i++)
	{
		const PgtTarget *t = &set->targets[i];
		PgtRecorder recorder;

		pgt_record_begin(&recorder, t->source, &t->buffer, NULL);
		pgt_record_truncate(&recorder);
	}
}

/* Only the triggers that install.c made may call; theirs are internal. */
static void
check_caller(FunctionCallInfo fcinfo)
{
	TriggerData *td = (TriggerData *) fcinfo->context;

	if (!CALLED_AS_TRIGGER(fcinfo) || !TRIGGER_FIRED_AFTER(td->tg_event))
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("function \"pgtrickle.capture\" must be called by a capture trigger")));
	if (!td->tg_trigger->tgisinternal)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("relation \"%s\" is not captured through trigger \"%s\"",
						RelationGetRelationName(td->tg_relation),
						td->tg_trigger->tgname),
				 errhint("Capture triggers are made by pgtrickle.create_stream_table(); drop this one.")));
}

/*
 * pgtrickle.capture() RETURNS trigger.  A relation that belongs to no source
 * (any more), as a detached partition, is left alone.
 */
Datum
pgt_capture(PG_FUNCTION_ARGS)
{
	TriggerData *td = (TriggerData *) fcinfo->context;
	PgtTargets *targets;

	check_caller(fcinfo);
	targets = pgt_targets_get(td->tg_relation);
	if (TRIGGER_FIRED_BY_TRUNCATE(td->tg_event))
	{
		capture_truncate(&targets->by_statement);
		capture_truncate(&targets->by_row);
	}
	else if (TRIGGER_FIRED_FOR_STATEMENT(td->tg_event))
		capture_statement(td, &targets->by_statement);
	else
		capture_row(td, &targets->by_row);
	return PointerGetDatum(NULL);
}
