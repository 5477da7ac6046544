/*
 * applier/schedule/launcher.c - one process per server that sees to it that
 * every database with the extension has a scheduler.
 *
 * It is connected to the shared catalogs only, so it cannot see extensions:
 * it starts a scheduler, which looks, says so in its slot and leaves when
 * there is none.  Such a database is not tried again before somebody says
 * that it may have the extension now (pgt_shared_probe).  One scheduler at a
 * time is in that state of looking, so that a server with many databases
 * starts with few processes.
 *
 * Owns: the list "known" of databases (its own memory), allocation of database
 * slots in shared memory.  A launcher that died and was started again adopts
 * the schedulers it finds there.
 *
 * It sleeps on its latch, with a timeout only while a scheduler that failed
 * waits to be started again or one is on its way up.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/heapam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "catalog/pg_database.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "postmaster/bgworker.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "storage/proc.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "applier/schedule/shared.h"
#include "decoder/compat.h"

#define PGT_RESTART_FIRST_MS	1000
#define PGT_RESTART_LAST_MS		60000
#define PGT_RESTART_FORGET_MS	60000	/* ran so long: the failures are old */
#define PGT_STARVED_RETRY_MS	10000
#define PGT_ATTACH_MS			60000	/* for a start nobody has a handle of */

#ifndef DATCONNLIMIT_INVALID_DB
#define DATCONNLIMIT_INVALID_DB (-2)	/* a DROP DATABASE that was interrupted */
#endif

typedef enum KnownState
{
	KNOWN_WANTED,				/* start one, not before next_try */
	KNOWN_STARTED,				/* has a slot */
	KNOWN_ABSENT				/* has no extension as far as we know */
} KnownState;

typedef struct KnownDatabase
{
	Oid			dboid;
	KnownState	state;
	int			slot;			/* STARTED */
	uint32		generation;		/* of the slot */
	BackgroundWorkerHandle *handle; /* NULL: adopted */
	int			failures;
	TimestampTz next_try;
	TimestampTz started_at;
	bool		seen;			/* in the scan under way */
	bool		probed;			/* said to have the extension since the start */
} KnownDatabase;

static List *known = NIL;		/* of KnownDatabase*, in TopMemoryContext */

/* ---- the set of databases ---- */

static KnownDatabase *
find_known(Oid dboid)
{
	ListCell   *lc;

	foreach(lc, known)
		if (((KnownDatabase *) lfirst(lc))->dboid == dboid)
			return lfirst(lc);
	return NULL;
}

static KnownDatabase *
add_known(Oid dboid)
{
	MemoryContext before = MemoryContextSwitchTo(TopMemoryContext);
	KnownDatabase *entry = palloc0(sizeof(KnownDatabase));

	entry->dboid = dboid;
	entry->state = KNOWN_WANTED;
	known = lappend(known, entry);
	MemoryContextSwitchTo(before);
	return entry;
}

static void
see_database(Form_pg_database db)
{
	KnownDatabase *entry;

	if (!db->datallowconn || db->datconnlimit == DATCONNLIMIT_INVALID_DB)
		return;
	entry = find_known(db->oid);
	if (entry == NULL)
		entry = add_known(db->oid);
	entry->seen = true;
}

/* A database that is gone keeps its entry while a scheduler holds its slot. */
static void
forget_unseen(void)
{
	ListCell   *lc;

	foreach(lc, known)
	{
		KnownDatabase *entry = lfirst(lc);

		if (entry->seen || entry->state == KNOWN_STARTED)
		{
			entry->seen = false;
			continue;
		}
		known = foreach_delete_current(known, lc);
		pfree(entry);
	}
}

static void
scan_databases(void)
{
	Relation	rel;
	TableScanDesc scan;
	HeapTuple	tuple;

	SetCurrentStatementStartTimestamp();
	StartTransactionCommand();
	(void) GetTransactionSnapshot();
	rel = table_open(DatabaseRelationId, AccessShareLock);
	scan = table_beginscan_catalog(rel, 0, NULL);
	while ((tuple = heap_getnext(scan, ForwardScanDirection)) != NULL)
		see_database((Form_pg_database) GETSTRUCT(tuple));
	table_endscan(scan);
	table_close(rel, AccessShareLock);
	CommitTransactionCommand();
	forget_unseen();
}

/* ---- starting ---- */

static bool
is_held(Oid dboid)
{
	for (int i = 0; i < PGT_HOLDS; i++)
		if (pgt_shared->holds[i].pid != 0 && pgt_shared->holds[i].dboid == dboid)
			return true;
	return false;
}

static void
clear_slot(PgtDatabaseSlot *db)
{
	pg_atomic_write_u32(&db->procno, 0);
	pg_atomic_write_u32(&db->leave, 0);
	pg_atomic_write_u32(&db->catalog_changed, 0);
	pg_atomic_write_u32(&db->reload, 0);
	pg_atomic_write_u32(&db->all_dirty, 0);
	for (int i = 0; i < PGT_DIRTY_WORDS; i++)
		pg_atomic_write_u32(&db->dirty[i], 0);
	db->pid = 0;
	db->queued = 0;
	db->starved_since = 0;
	db->end = PGT_END_ERROR;
}

/* The slot is published (dboid) only when it is clean: from then on writers
 * mark it, and the scheduler looks at everything once when it starts. */
static int
allocate_slot(Oid dboid, uint32 *generation)
{
	int			found = -1;

	LWLockAcquire(pgt_shared->lock, LW_EXCLUSIVE);
	for (int i = 0; i < pgt_shared->nslots && !is_held(dboid); i++)
	{
		PgtDatabaseSlot *db = &pgt_shared->databases[i];

		if (db->state != PGT_DATABASE_FREE)
			continue;
		clear_slot(db);
		db->state = PGT_DATABASE_STARTING;
		*generation = ++db->generation;
		pg_memory_barrier();
		pg_atomic_write_u32(&db->dboid, dboid);
		found = i;
		break;
	}
	LWLockRelease(pgt_shared->lock);
	return found;
}

static void
release_slot(int index)
{
	PgtDatabaseSlot *db = &pgt_shared->databases[index];

	LWLockAcquire(pgt_shared->lock, LW_EXCLUSIVE);
	pg_atomic_write_u32(&db->dboid, InvalidOid);
	db->state = PGT_DATABASE_FREE;
	LWLockRelease(pgt_shared->lock);
}

static bool
register_scheduler(KnownDatabase *entry)
{
	BackgroundWorker worker;
	MemoryContext before = MemoryContextSwitchTo(TopMemoryContext);
	bool		ok;

	memset(&worker, 0, sizeof(worker));
	worker.bgw_flags = BGWORKER_SHMEM_ACCESS |
		BGWORKER_BACKEND_DATABASE_CONNECTION;
	worker.bgw_start_time = BgWorkerStart_RecoveryFinished;
	worker.bgw_restart_time = BGW_NEVER_RESTART;
	strlcpy(worker.bgw_library_name, "pg_trickle", sizeof(worker.bgw_library_name));
	strlcpy(worker.bgw_function_name, "pgt_scheduler_main",
			sizeof(worker.bgw_function_name));
	snprintf(worker.bgw_name, BGW_MAXLEN, "pg_trickle scheduler of database %u",
			 entry->dboid);
	strlcpy(worker.bgw_type, "pg_trickle scheduler", BGW_MAXLEN);
	worker.bgw_main_arg = Int32GetDatum(entry->slot);
	memcpy(worker.bgw_extra, &entry->generation, sizeof(entry->generation));
	worker.bgw_notify_pid = MyProcPid;
	ok = RegisterDynamicBackgroundWorker(&worker, &entry->handle);
	MemoryContextSwitchTo(before);
	return ok;
}

static void
set_starved(bool starved)
{
	bool		was = pgt_shared->starved_since != 0;

	if (was == starved)
		return;
	LWLockAcquire(pgt_shared->lock, LW_EXCLUSIVE);
	pgt_shared->starved_since = starved ? GetCurrentTimestamp() : 0;
	LWLockRelease(pgt_shared->lock);
	if (starved)
		ereport(WARNING,
				(errcode(ERRCODE_INSUFFICIENT_RESOURCES),
				 errmsg("pg_trickle could not start a scheduler: out of background worker slots"),
				 errdetail("Stream tables of at least one database are not refreshed in the background."),
				 errhint("Raise max_worker_processes (%d).", max_worker_processes)));
}

static void
start_scheduler(KnownDatabase *entry)
{
	TimestampTz now = GetCurrentTimestamp();

	entry->slot = allocate_slot(entry->dboid, &entry->generation);
	if (entry->slot >= 0 && register_scheduler(entry))
	{
		entry->state = KNOWN_STARTED;
		entry->started_at = now;
		entry->probed = false;
		set_starved(false);
		return;
	}
	if (entry->slot >= 0)
		release_slot(entry->slot);
	LWLockAcquire(pgt_shared->lock, LW_SHARED);
	/* the holder wakes us when it is done */
	entry->next_try = is_held(entry->dboid) ? DT_NOEND :
		TimestampTzPlusMilliseconds(now, PGT_STARVED_RETRY_MS);
	LWLockRelease(pgt_shared->lock);
	if (entry->next_try != DT_NOEND)
		set_starved(true);
}

/* ---- watching ---- */

static void
plan_restart(KnownDatabase *entry, PgtSchedulerEnd end)
{
	TimestampTz now = GetCurrentTimestamp();
	int			delay = PGT_RESTART_FIRST_MS;

	/* it may have looked just before CREATE EXTENSION committed */
	entry->state = end == PGT_END_ABSENT && !entry->probed ?
		KNOWN_ABSENT : KNOWN_WANTED;
	entry->next_try = now;
	if (end == PGT_END_ABSENT || end == PGT_END_ASKED)
	{
		entry->failures = 0;
		return;
	}
	if (end == PGT_END_TERMINATED ||
		TimestampDifferenceExceeds(entry->started_at, now, PGT_RESTART_FORGET_MS))
		entry->failures = 0;
	for (int i = 0; i < entry->failures && delay < PGT_RESTART_LAST_MS; i++)
		delay *= 2;
	entry->failures++;
	entry->next_try =
		TimestampTzPlusMilliseconds(now, Min(delay, PGT_RESTART_LAST_MS));
	/* it may have failed because the database is gone */
	pg_atomic_write_u32(&pgt_shared->rescan, 1);
}

/* Did the postmaster give up a scheduler that never attached to its slot? */
static bool
start_failed(const KnownDatabase *entry)
{
	pid_t		pid;

	if (entry->handle == NULL)
		return TimestampDifferenceExceeds(entry->started_at,
										  GetCurrentTimestamp(), PGT_ATTACH_MS);
	return GetBackgroundWorkerPid(entry->handle, &pid) == BGWH_STOPPED;
}

static void
watch_scheduler(KnownDatabase *entry)
{
	PgtDatabaseSlot *db = &pgt_shared->databases[entry->slot];
	PgtDatabaseState state;
	PgtSchedulerEnd end;
	int			pid;

	LWLockAcquire(pgt_shared->lock, LW_SHARED);
	state = db->state;
	end = db->end;
	pid = db->pid;
	LWLockRelease(pgt_shared->lock);

	if (state == PGT_DATABASE_RUNNING ||
		(state == PGT_DATABASE_STARTING && (pid != 0 || !start_failed(entry))))
		return;
	release_slot(entry->slot);
	if (entry->handle != NULL)
		pfree(entry->handle);
	entry->handle = NULL;
	plan_restart(entry, state == PGT_DATABASE_ENDED ? end : PGT_END_ERROR);
}

/* Schedulers of a launcher that was before us. */
static void
adopt_schedulers(void)
{
	LWLockAcquire(pgt_shared->lock, LW_SHARED);
	for (int i = 0; i < pgt_shared->nslots; i++)
	{
		PgtDatabaseSlot *db = &pgt_shared->databases[i];
		KnownDatabase *entry;

		if (db->state == PGT_DATABASE_FREE)
			continue;
		entry = add_known(pg_atomic_read_u32(&db->dboid));
		entry->state = KNOWN_STARTED;
		entry->slot = i;
		entry->generation = db->generation;
		entry->started_at = GetCurrentTimestamp();
	}
	LWLockRelease(pgt_shared->lock);
}

static void
want_again(Oid dboid)
{
	ListCell   *lc;

	foreach(lc, known)
	{
		KnownDatabase *entry = lfirst(lc);

		if (OidIsValid(dboid) && entry->dboid != dboid)
			continue;
		entry->probed = true;
		if (entry->state == KNOWN_ABSENT)
			entry->state = KNOWN_WANTED;
		if (entry->next_try == DT_NOEND)
			entry->next_try = 0;	/* its hold may be over */
	}
}

static void
take_probes(void)
{
	if (pg_atomic_exchange_u32(&pgt_shared->probe_all, 0) != 0)
		want_again(InvalidOid);
	for (int i = 0; i < PGT_PROBES; i++)
	{
		Oid			dboid = pg_atomic_exchange_u32(&pgt_shared->probes[i],
												   InvalidOid);

		if (OidIsValid(dboid))
			want_again(dboid);
	}
}

static bool
is_looking(const KnownDatabase *entry)
{
	return entry->state == KNOWN_STARTED &&
		pgt_shared->databases[entry->slot].state == PGT_DATABASE_STARTING;
}

/* Returns milliseconds until something is to be done, -1: nothing is. */
static long
look_after_databases(void)
{
	TimestampTz now = GetCurrentTimestamp();
	long		timeout = -1;
	bool		looking = false;
	ListCell   *lc;

	foreach(lc, known)
	{
		KnownDatabase *entry = lfirst(lc);

		if (entry->state == KNOWN_STARTED)
			watch_scheduler(entry);
		looking |= is_looking(entry);
	}
	foreach(lc, known)
	{
		KnownDatabase *entry = lfirst(lc);

		if (entry->state == KNOWN_WANTED && entry->next_try <= now && !looking)
		{
			start_scheduler(entry);
			looking = is_looking(entry);
		}
		if (entry->state == KNOWN_WANTED && entry->next_try > now &&
			entry->next_try != DT_NOEND)
		{
			long		wait = TimestampDifferenceMilliseconds(now, entry->next_try);

			timeout = timeout < 0 ? wait : Min(timeout, wait);
		}
	}
	if (looking)
		timeout = timeout < 0 ? 10000 : Min(timeout, 10000);
	return timeout;
}

/* ---- main ---- */

static void
launcher_exit(int code, Datum arg)
{
	pg_atomic_write_u32(&pgt_shared->launcher_procno, 0);
	LWLockAcquire(pgt_shared->lock, LW_EXCLUSIVE);
	pgt_shared->launcher_pid = 0;
	LWLockRelease(pgt_shared->lock);
}

static void
launcher_attach(void)
{
	LWLockAcquire(pgt_shared->lock, LW_EXCLUSIVE);
	pgt_shared->launcher_pid = MyProcPid;
	LWLockRelease(pgt_shared->lock);
	before_shmem_exit(launcher_exit, (Datum) 0);
	pg_atomic_write_u32(&pgt_shared->launcher_procno, PGT_MY_PROCNO + 1);
}

void
pgt_launcher_main(Datum arg)
{
	uint32		wait_event;
	bool		rescan = true;

	pgt_process_signals();
	BackgroundWorkerInitializeConnection(NULL, NULL, 0);
	pgt_process_settings();
	pgstat_report_appname("pg_trickle launcher");
	wait_event = pgt_wait_event("PgTrickleLauncherMain");
	launcher_attach();
	adopt_schedulers();
	ereport(LOG, (errmsg("pg_trickle launcher started")));

	for (;;)
	{
		long		timeout;

		ResetLatch(MyLatch);
		/* exit code 1: the postmaster starts another one, unless it is
		 * shutting down; 0 would mean never again */
		if (pgt_process_interrupts())
			proc_exit(1);
		take_probes();
		if (pg_atomic_exchange_u32(&pgt_shared->rescan, 0) != 0 || rescan)
			scan_databases();
		rescan = false;
		timeout = look_after_databases();
		(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_EXIT_ON_PM_DEATH |
						 (timeout >= 0 ? WL_TIMEOUT : 0), timeout, wait_event);
	}
}

void
pgt_launcher_register(void)
{
	BackgroundWorker worker;

	memset(&worker, 0, sizeof(worker));
	worker.bgw_flags = BGWORKER_SHMEM_ACCESS |
		BGWORKER_BACKEND_DATABASE_CONNECTION;
	worker.bgw_start_time = BgWorkerStart_RecoveryFinished;
	worker.bgw_restart_time = 1;
	strlcpy(worker.bgw_library_name, "pg_trickle", sizeof(worker.bgw_library_name));
	strlcpy(worker.bgw_function_name, "pgt_launcher_main",
			sizeof(worker.bgw_function_name));
	strlcpy(worker.bgw_name, "pg_trickle launcher", BGW_MAXLEN);
	strlcpy(worker.bgw_type, "pg_trickle launcher", BGW_MAXLEN);
	RegisterBackgroundWorker(&worker);
}
