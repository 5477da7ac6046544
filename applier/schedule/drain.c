/*
 * applier/schedule/drain.c - waiting until the scheduler has nothing due.
 *
 * Who waits draws a ticket and wakes the scheduler.  A pass of the scheduler
 * that began after the ticket was drawn, and ends with nothing running and
 * nothing due, answers all tickets drawn before it began.  Changes committed
 * before the ticket are seen by that pass: their dirty bits were set first.
 */
#include "postgres.h"

#include "fmgr.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "applier/schedule/schedule.h"
#include "applier/schedule/shared.h"
#include "applier/settings.h"
#include "decoder/compat.h"

PG_FUNCTION_INFO_V1(pgt_drain);

static PgtDatabaseSlot *
running_scheduler(void)
{
	if (!pgt_scheduler_running(MyDatabaseId))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("no scheduler runs in this database"),
				 errhint("See pgtrickle.health_check().")));
	if (!pgt_enabled)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("background refreshes are switched off"),
				 errhint("pg_trickle.enabled is off.")));
	return pgt_shared_database(MyDatabaseId);
}

static bool
is_answered(PgtDatabaseSlot *db, uint32 ticket)
{
	return (int32) (pg_atomic_read_u32(&db->drained) - ticket) >= 0;
}

static TimestampTz
end_of_wait(Datum timeout)
{
	return DatumGetTimestampTz(DirectFunctionCall2(timestamptz_pl_interval,
												   TimestampTzGetDatum(GetCurrentTimestamp()),
												   timeout));
}

/* drain(timeout): false when the time was too short */
Datum
pgt_drain(PG_FUNCTION_ARGS)
{
	PgtDatabaseSlot *db = running_scheduler();
	TimestampTz until = end_of_wait(PG_GETARG_DATUM(0));
	uint32		ticket = pg_atomic_add_fetch_u32(&db->drain_asked, 1);
	uint32		wait_event = pgt_wait_event("PgTrickleDrain");
	bool		answered;

	pgt_shared_wake(pg_atomic_read_u32(&db->procno));
	ConditionVariablePrepareToSleep(&pgt_shared->drained);
	while (!(answered = is_answered(db, ticket)) && GetCurrentTimestamp() < until)
	{
		long		left = TimestampDifferenceMilliseconds(GetCurrentTimestamp(), until);

		/* the scheduler may end and come back: look every now and then */
		if (ConditionVariableTimedSleep(&pgt_shared->drained, Min(left + 1, 1000),
										wait_event))
			pgt_shared_wake(pg_atomic_read_u32(&running_scheduler()->procno));
	}
	ConditionVariableCancelSleep();
	PG_RETURN_BOOL(answered);
}
