/*
 * applier/schedule/notice.c - what sessions tell launcher and scheduler, at
 * commit, and how they make them leave a database.
 *
 * Owns this backend's pending notices: flags that a transaction sets and that
 * its end delivers (COMMIT) or forgets (ABORT).  Delivering uses atomics and
 * latches only.  A notice given in a sub-transaction that is rolled back is
 * delivered all the same: it costs one look.
 */
#include "postgres.h"

#include <signal.h>

#include "access/xact.h"
#include "catalog/objectaccess.h"
#include "catalog/pg_database.h"
#include "catalog/pg_extension.h"
#include "commands/extension.h"
#include "commands/trigger.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "storage/ipc.h"
#include "utils/timestamp.h"

#include "applier/capture/wal.h"
#include "applier/schedule/schedule.h"
#include "applier/schedule/shared.h"
#include "decoder/compat.h"

#define PGT_EVICT_MS	10000

static bool catalog_notice = false;
static bool launcher_notice = false;
static Oid	launcher_database = InvalidOid; /* of launcher_notice */
static bool holding = false;	/* pgt_shared->holds has entries of ours */

static object_access_hook_type previous_object_access_hook = NULL;

PG_FUNCTION_INFO_V1(pgt_schedule_wake);
PG_FUNCTION_INFO_V1(pgt_schedule_definitions_changed);

void
pgt_schedule_notice_at_commit(void)
{
	catalog_notice = true;
}

void
pgt_launcher_wake(Oid dboid)
{
	/* only the own database is ever probed, whatever else is to be told */
	if (OidIsValid(dboid))
		launcher_database = dboid;
	launcher_notice = true;
}

static void
deliver_catalog_notice(void)
{
	PgtDatabaseSlot *db = pgt_shared_database(MyDatabaseId);

	if (db == NULL)
		return;
	if (pgt_shared_own_process)
		pg_atomic_exchange_u32(&db->reload, 1);
	else
		pg_atomic_exchange_u32(&db->catalog_changed, 1);
	pgt_shared_wake(pg_atomic_read_u32(&db->procno));
}

static void
release_holds(void)
{
	LWLockAcquire(pgt_shared->lock, LW_EXCLUSIVE);
	for (int i = 0; i < PGT_HOLDS; i++)
	{
		PgtHold    *hold = &pgt_shared->holds[i];

		if (hold->pid != MyProcPid)
			continue;
		hold->pid = 0;
		pgt_shared_probe(hold->dboid);
	}
	LWLockRelease(pgt_shared->lock);
	holding = false;
}

static void
xact_callback(XactEvent event, void *arg)
{
	if (event != XACT_EVENT_COMMIT && event != XACT_EVENT_ABORT &&
		event != XACT_EVENT_PREPARE)
		return;
	if (event == XACT_EVENT_COMMIT && catalog_notice)
		deliver_catalog_notice();
	if (event == XACT_EVENT_COMMIT && launcher_notice)
		pgt_shared_probe(launcher_database);
	if (holding)
		release_holds();
	catalog_notice = false;
	launcher_notice = false;
	launcher_database = InvalidOid;
}

/* DROP EXTENSION by whatever command; CREATE, ALTER and DROP DATABASE. */
static void
object_access(ObjectAccessType access, Oid classid, Oid objid, int subid,
			  void *arg)
{
	if (previous_object_access_hook)
		previous_object_access_hook(access, classid, objid, subid, arg);
	if (classid == DatabaseRelationId &&
		(access == OAT_POST_CREATE || access == OAT_POST_ALTER ||
		 access == OAT_DROP))
		pgt_launcher_wake(InvalidOid);
	if (classid == ExtensionRelationId && access == OAT_DROP &&
		objid == get_extension_oid("pg_trickle", true))
		pgt_schedule_notice_at_commit();
}

void
pgt_notice_init(void)
{
	RegisterXactCallback(xact_callback, NULL);
	previous_object_access_hook = object_access_hook;
	object_access_hook = object_access;
}

/* ---- leaving a database ---- */

/* Under the exclusive lock.  When the table is full there is no hold: a
 * launcher or scheduler that is quick comes into the way, nothing worse. */
static bool
set_hold(PgtHold *holds, Oid dboid)
{
	for (int i = 0; i < PGT_HOLDS; i++)
	{
		if (holds[i].pid != 0)
			continue;
		holds[i].dboid = dboid;
		holds[i].pid = MyProcPid;
		return true;
	}
	return false;
}

/* Under the lock: pids of slots are cleared under it before a process ends,
 * so a signal cannot reach a stranger.  A scheduler that does not react is
 * refreshing by itself: it is terminated, as workers are. */
static bool
ask_to_leave(Oid dboid, bool insist)
{
	bool		someone = false;

	for (int i = 0; i < pgt_shared->nslots; i++)
	{
		PgtDatabaseSlot *db = &pgt_shared->databases[i];
		PgtWorkerSlot *worker = &pgt_shared->workers[i];

		if (pg_atomic_read_u32(&db->dboid) == dboid &&
			(db->state == PGT_DATABASE_STARTING ||
			 db->state == PGT_DATABASE_RUNNING))
		{
			someone = true;
			pg_atomic_write_u32(&db->leave, 1);
			pgt_shared_wake(pg_atomic_read_u32(&db->procno));
			if (insist && db->pid != 0)
				kill(db->pid, SIGTERM);
		}
		if (worker->in_use && worker->dboid == dboid)
		{
			someone = true;
			worker->leave = true;
			if (worker->pid != 0)
				kill(worker->pid, SIGTERM);
		}
	}
	return someone;
}

static bool
asked_and_still_there(Oid dboid, bool insist)
{
	bool		someone;

	LWLockAcquire(pgt_shared->lock, LW_EXCLUSIVE);
	someone = ask_to_leave(dboid, insist);
	LWLockRelease(pgt_shared->lock);
	return pgt_wal_ask_to_leave(dboid, insist) || someone;
}

void
pgt_schedule_evict_database(Oid dboid)
{
	TimestampTz until;
	bool		insist = false;

	if (pgt_shared == NULL || !OidIsValid(dboid))
		return;
	LWLockAcquire(pgt_shared->lock, LW_EXCLUSIVE);
	holding |= set_hold(pgt_shared->holds, dboid);
	LWLockRelease(pgt_shared->lock);

	until = TimestampTzPlusMilliseconds(GetCurrentTimestamp(), PGT_EVICT_MS);
	ConditionVariablePrepareToSleep(&pgt_shared->gone);
	while (asked_and_still_there(dboid, insist) && GetCurrentTimestamp() < until)
		insist = ConditionVariableTimedSleep(&pgt_shared->gone, 1000L,
											 pgt_wait_event("PgTrickleEvict"));
	ConditionVariableCancelSleep();
}

/* ---- restoring a dump ---- */

bool
pgt_notice_is_loading(Oid dboid)
{
	bool		loading = false;

	LWLockAcquire(pgt_shared->lock, LW_SHARED);
	for (int i = 0; i < PGT_HOLDS && !loading; i++)
		loading = pgt_shared->loaders[i].pid != 0 &&
			pgt_shared->loaders[i].dboid == dboid;
	LWLockRelease(pgt_shared->lock);
	return loading;
}

static void
end_loading(int code, Datum arg)
{
	LWLockAcquire(pgt_shared->lock, LW_EXCLUSIVE);
	for (int i = 0; i < PGT_HOLDS; i++)
		if (pgt_shared->loaders[i].pid == MyProcPid)
			pgt_shared->loaders[i].pid = 0;
	LWLockRelease(pgt_shared->lock);
	deliver_catalog_notice();
}

/*
 * The dump's other parts, indexes of the stream tables among them, come after
 * the definitions: nothing is built before the session that restores them has
 * ended, or it would find things in its way.
 */
static void
begin_loading(void)
{
	static bool loading = false;

	if (loading || pgt_shared == NULL)
		return;
	LWLockAcquire(pgt_shared->lock, LW_EXCLUSIVE);
	loading = set_hold(pgt_shared->loaders, MyDatabaseId);
	LWLockRelease(pgt_shared->lock);
	if (loading)
		before_shmem_exit(end_loading, (Datum) 0);
}

/* ---- SQL ---- */

/* The extension's script calls it: the launcher looks at this database when
 * CREATE EXTENSION (or ALTER EXTENSION UPDATE) commits. */
Datum
pgt_schedule_wake(PG_FUNCTION_ARGS)
{
	pgt_launcher_wake(MyDatabaseId);
	PG_RETURN_VOID();
}

/* Statement trigger on pgt_definitions: rows that arrive by COPY, as a
 * restored dump's do, have no state yet; the scheduler makes it when the
 * session has ended. */
Datum
pgt_schedule_definitions_changed(PG_FUNCTION_ARGS)
{
	if (!CALLED_AS_TRIGGER(fcinfo))
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("function \"%s\" was not called by a trigger",
						"pgt_schedule_definitions_changed")));
	begin_loading();
	pgt_schedule_notice_at_commit();
	PG_RETURN_POINTER(NULL);
}
