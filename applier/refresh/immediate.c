/*
 * applier/refresh/immediate.c - pgtrickle.maintain(), the trigger function of
 * refresh_mode IMMEDIATE.
 *
 * What one statement does to several tables (a cascade, writable CTEs, user
 * triggers that write to other sources) is maintained together, at its last
 * AFTER trigger: then all tables show their new states, and the engine, which
 * reads new states only, pairs each change with each once.  The last is known
 * by counting: each BEFORE STATEMENT trigger opens, each AFTER STATEMENT trigger
 * closes.  A cascade fires BEFORE parent, BEFORE child, AFTER parent, AFTER
 * child; PostgreSQL fires both once per statement, table and kind of event.
 *
 * A rolled back sub-transaction takes what it opened and changed with it.
 *
 * Changes that come while the rest is being maintained (user triggers on a
 * stream table write to a source) are only noted; maintenance.c goes on until
 * none is left.
 *
 * The apply worker of logical replication fires row triggers only: there each
 * row is a statement of its own.
 */
#include "postgres.h"

#include "access/xact.h"
#include "fmgr.h"
#include "replication/logicalworker.h"
#include "utils/memutils.h"
#include "utils/rel.h"

#include "applier/refresh/immediate.h"

PG_FUNCTION_INFO_V1(pgt_maintain);

/* Statements that have begun and not ended: the sub-transaction of each. */
static SubTransactionId *opens = NULL;
static int	nopens = 0;
static int	maxopens = 0;
static bool maintaining = false;

/* ---- counting ---- */

static void
open_statement(void)
{
	if (nopens == maxopens)
	{
		int			wanted = Max(16, maxopens * 2);

		opens = opens == NULL ?
			MemoryContextAlloc(TopMemoryContext, sizeof(SubTransactionId) * wanted) :
			repalloc(opens, sizeof(SubTransactionId) * wanted);
		maxopens = wanted;
	}
	opens[nopens++] = GetCurrentSubTransactionId();
}

static void
close_statement(void)
{
	if (nopens > 0)
		nopens--;
}

static void
run_maintenance(void)
{
	maintaining = true;
	PG_TRY();
	{
		pgt_maintenance_run();
	}
	PG_CATCH();
	{
		maintaining = false;
		PG_RE_THROW();
	}
	PG_END_TRY();
	maintaining = false;
	pgt_changes_forget();
	pgt_readers_release();
}

/* ---- the trigger ---- */

static void
check_caller(FunctionCallInfo fcinfo)
{
	TriggerData *td = (TriggerData *) fcinfo->context;

	if (!CALLED_AS_TRIGGER(fcinfo))
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("function \"pgtrickle.maintain\" must be called by a trigger")));
	if (!td->tg_trigger->tgisinternal)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("relation \"%s\" is not maintained through trigger \"%s\"",
						RelationGetRelationName(td->tg_relation),
						td->tg_trigger->tgname),
				 errhint("These triggers are made by pgtrickle.create_stream_table(); drop this one.")));
}

/* The transition tables need no copy where nothing comes after them. */
static void
end_statement(const TriggerData *td)
{
	PgtFired   *fired = pgt_readers_fired(td->tg_relation);

	close_statement();
	if (TRIGGER_FIRED_BY_TRUNCATE(td->tg_event))
	{
		List	   *sources = list_concat_copy(fired->by_statement, fired->by_row);

		if (sources != NIL)
			pgt_changes_add_truncate(td->tg_relation, sources);
	}
	else if (fired->by_statement != NIL)
		pgt_changes_add_statement(td, fired->by_statement,
								  nopens > 0 || maintaining);
	if (nopens == 0 && !maintaining && pgt_changes_count() > 0)
		run_maintenance();
}

static void
note_row(const TriggerData *td)
{
	PgtFired   *fired = pgt_readers_fired(td->tg_relation);

	if (fired->by_row == NIL)
		return;
	pgt_changes_add_row(td, fired->by_row);
	if (nopens == 0 && !maintaining && IsLogicalWorker())
		run_maintenance();
}

Datum
pgt_maintain(PG_FUNCTION_ARGS)
{
	TriggerData *td = (TriggerData *) fcinfo->context;

	check_caller(fcinfo);
	if (TRIGGER_FIRED_BEFORE(td->tg_event))
		open_statement();
	else if (TRIGGER_FIRED_FOR_ROW(td->tg_event))
		note_row(td);
	else
		end_statement(td);
	return PointerGetDatum(NULL);
}

/* ---- from a refresh ---- */

void
pgt_immediate_pass_on(Oid relid, TupleDesc desc, Tuplestorestate *delta)
{
	Tuplestorestate *copy;
	TupleTableSlot *slot;

	if (tuplestore_tuple_count(delta) == 0 || pgt_readers_of(relid) == NIL)
		return;
	copy = pgt_changes_new_store();
	slot = MakeSingleTupleTableSlot(desc, &TTSOpsMinimalTuple);
	tuplestore_select_read_pointer(delta, 0);
	tuplestore_rescan(delta);
	while (tuplestore_gettupleslot(delta, true, false, slot))
		tuplestore_puttupleslot(copy, slot);
	ExecDropSingleTupleTableSlot(slot);
	pgt_changes_add_delta(relid, desc, copy);
	if (nopens == 0 && !maintaining)
		run_maintenance();
}

/* ---- ends of transactions ---- */

static void
at_transaction_end(XactEvent event, void *arg)
{
	switch (event)
	{
		case XACT_EVENT_COMMIT:
		case XACT_EVENT_ABORT:
		case XACT_EVENT_PREPARE:
			nopens = 0;
			maintaining = false;
			pgt_changes_forget();
			pgt_readers_release();
			break;
		default:
			break;
	}
}

static void
at_subtransaction_end(SubXactEvent event, SubTransactionId self,
					  SubTransactionId parent, void *arg)
{
	if (event == SUBXACT_EVENT_ABORT_SUB)
	{
		while (nopens > 0 && opens[nopens - 1] == self)
			nopens--;
		pgt_changes_abort(self);
	}
	else if (event == SUBXACT_EVENT_COMMIT_SUB)
	{
		for (int i = nopens - 1; i >= 0 && opens[i] == self; i--)
			opens[i] = parent;
		pgt_changes_commit(self, parent);
	}
}

void
pgt_immediate_init(void)
{
	RegisterXactCallback(at_transaction_end, NULL);
	RegisterSubXactCallback(at_subtransaction_end, NULL);
}
