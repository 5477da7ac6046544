/*
 * applier/schedule/shared.c - shared memory of the schedule module, and what
 * every one of its processes does the same way.
 *
 * Owns the struct of shared.h.  pgt_shared_touched runs in the commit of every
 * writer of a source: two atomics and, when the scheduler may be asleep, one
 * SetLatch; it takes no lock and cannot fail.
 */
#include "postgres.h"

#include "common/hashfn.h"
#include "miscadmin.h"
#include "postmaster/bgworker.h"
#include "postmaster/interrupt.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "storage/proc.h"
#include "storage/procsignal.h"
#include "storage/shmem.h"
#include "tcop/tcopprot.h"
#include "utils/guc.h"

#include "applier/schedule/schedule.h"
#include "applier/schedule/shared.h"
#include "decoder/compat.h"

#define PGT_TRANCHE "pg_trickle_schedule"

PgtShared  *pgt_shared = NULL;
bool		pgt_shared_own_process = false;

/* Every scheduler and worker is a background worker, so more slots than
 * max_worker_processes can never be used. */
static Size
shared_size(void)
{
	Size		size = MAXALIGN(sizeof(PgtShared));

	size = add_size(size, mul_size(max_worker_processes,
								   MAXALIGN(sizeof(PgtDatabaseSlot))));
	return add_size(size, mul_size(max_worker_processes,
								   MAXALIGN(sizeof(PgtWorkerSlot))));
}

void
pgt_shared_request(void)
{
	RequestAddinShmemSpace(shared_size());
	RequestNamedLWLockTranche(PGT_TRANCHE, 1);
}

static void
init_database_slot(PgtDatabaseSlot *db)
{
	pg_atomic_init_u32(&db->dboid, InvalidOid);
	pg_atomic_init_u32(&db->procno, 0);
	pg_atomic_init_u32(&db->leave, 0);
	pg_atomic_init_u32(&db->catalog_changed, 0);
	pg_atomic_init_u32(&db->reload, 0);
	pg_atomic_init_u32(&db->all_dirty, 0);
	pg_atomic_init_u32(&db->drain_asked, 0);
	pg_atomic_init_u32(&db->drained, 0);
	for (int i = 0; i < PGT_DIRTY_WORDS; i++)
		pg_atomic_init_u32(&db->dirty[i], 0);
}

static void
init_shared(PgtShared *shared)
{
	memset(shared, 0, shared_size());
	shared->lock = &GetNamedLWLockTranche(PGT_TRANCHE)[0].lock;
	ConditionVariableInit(&shared->gone);
	ConditionVariableInit(&shared->drained);
	pg_atomic_init_u32(&shared->launcher_procno, 0);
	pg_atomic_init_u32(&shared->rescan, 0);
	pg_atomic_init_u32(&shared->probe_all, 0);
	for (int i = 0; i < PGT_PROBES; i++)
		pg_atomic_init_u32(&shared->probes[i], InvalidOid);

	shared->nslots = max_worker_processes;
	shared->databases = (PgtDatabaseSlot *)
		((char *) shared + MAXALIGN(sizeof(PgtShared)));
	shared->workers = (PgtWorkerSlot *)
		(shared->databases + shared->nslots);
	for (int i = 0; i < shared->nslots; i++)
		init_database_slot(&shared->databases[i]);
}

void
pgt_shared_startup(void)
{
	bool		found;

	LWLockAcquire(AddinShmemInitLock, LW_EXCLUSIVE);
	pgt_shared = ShmemInitStruct("pg_trickle schedule", shared_size(), &found);
	if (!found)
		init_shared(pgt_shared);
	LWLockRelease(AddinShmemInitLock);
}

/* A process that ended in the meantime means a stray wake-up of the next
 * owner of its PGPROC, which every latch user must expect anyway. */
void
pgt_shared_wake(uint32 procno_plus_one)
{
	if (procno_plus_one != 0)
		SetLatch(&ProcGlobal->allProcs[procno_plus_one - 1].procLatch);
}

void
pgt_shared_wake_launcher(void)
{
	if (pgt_shared != NULL)
		pgt_shared_wake(pg_atomic_read_u32(&pgt_shared->launcher_procno));
}

PgtDatabaseSlot *
pgt_shared_database(Oid dboid)
{
	static int	last = 0;

	if (pgt_shared == NULL || pgt_shared->nslots == 0)
		return NULL;
	if (pg_atomic_read_u32(&pgt_shared->databases[last].dboid) == dboid)
		return &pgt_shared->databases[last];
	for (int i = 0; i < pgt_shared->nslots; i++)
	{
		if (pg_atomic_read_u32(&pgt_shared->databases[i].dboid) != dboid)
			continue;
		last = i;
		return &pgt_shared->databases[i];
	}
	return NULL;
}

uint32
pgt_shared_dirty_bit(Oid relid)
{
	return murmurhash32((uint32) relid) % (PGT_DIRTY_WORDS * 32);
}

bool
pgt_shared_dirty_test(PgtDatabaseSlot *db, uint32 bit)
{
	return (pg_atomic_read_u32(&db->dirty[bit / 32]) &
			((uint32) 1 << (bit % 32))) != 0;
}

/* Clear a bit and tell whether it was set. */
bool
pgt_shared_dirty_take(PgtDatabaseSlot *db, uint32 bit)
{
	uint32		mask = (uint32) 1 << (bit % 32);

	return (pg_atomic_fetch_and_u32(&db->dirty[bit / 32], ~mask) & mask) != 0;
}

/*
 * A transaction that changed relid has committed.  The latch is set only when
 * the bit was clear: while it stands, the scheduler knows already, or whoever
 * set it is about to wake it.
 */
void
pgt_shared_touched(Oid dboid, Oid relid)
{
	PgtDatabaseSlot *db = pgt_shared_database(dboid);
	uint32		bit;
	uint32		mask;

	if (db == NULL)
		return;
	if (!OidIsValid(relid))
	{
		/* a prepared transaction: it may have changed the catalog as well */
		pg_atomic_write_u32(&db->catalog_changed, 1);
		if (pg_atomic_exchange_u32(&db->all_dirty, 1) == 0)
			pgt_shared_wake(pg_atomic_read_u32(&db->procno));
		return;
	}
	bit = pgt_shared_dirty_bit(relid);
	mask = (uint32) 1 << (bit % 32);
	if ((pg_atomic_fetch_or_u32(&db->dirty[bit / 32], mask) & mask) == 0)
		pgt_shared_wake(pg_atomic_read_u32(&db->procno));
}

void
pgt_shared_probe(Oid dboid)
{
	bool		noted = false;

	if (pgt_shared == NULL)
		return;
	for (int i = 0; i < PGT_PROBES && OidIsValid(dboid) && !noted; i++)
	{
		uint32		expected = InvalidOid;

		noted = pg_atomic_compare_exchange_u32(&pgt_shared->probes[i],
											   &expected, dboid) ||
			expected == dboid;
	}
	if (OidIsValid(dboid) && !noted)
		pg_atomic_write_u32(&pgt_shared->probe_all, 1);
	pg_atomic_exchange_u32(&pgt_shared->rescan, 1);
	pgt_shared_wake_launcher();
}

/* SIGTERM ends idle processes silently (the flag), busy ones at their next
 * CHECK_FOR_INTERRUPTS (die). */
static void
handle_sigterm(SIGNAL_ARGS)
{
	ShutdownRequestPending = true;
	die(PGT_SIGNAL_PASS);
}

void
pgt_process_signals(void)
{
	pqsignal(SIGHUP, SignalHandlerForConfigReload);
	pqsignal(SIGTERM, handle_sigterm);
	BackgroundWorkerUnblockSignals();
}

bool
pgt_process_interrupts(void)
{
	if (ShutdownRequestPending)
		return true;
	CHECK_FOR_INTERRUPTS();
	if (ConfigReloadPending)
	{
		ConfigReloadPending = false;
		ProcessConfigFile(PGC_SIGHUP);
	}
	return false;
}

/*
 * ALTER DATABASE ... SET reaches background workers too; what would make them
 * fail, hang or compute under other rules is set for the process.
 * synchronous_commit is off: a result and its frontier are lost together in a
 * crash and made again, and a missing synchronous standby hangs nothing.
 */
void
pgt_process_settings(void)
{
	static const char *const settings[][2] = {
		{"synchronous_commit", "off"},
		{"default_transaction_read_only", "off"},
		{"default_transaction_isolation", "read committed"},
		{"default_transaction_deferrable", "off"},
		{"statement_timeout", "0"},
		{"lock_timeout", "0"},
		{"idle_in_transaction_session_timeout", "0"},
		{"deadlock_timeout", "100ms"},	/* ours is the one to give way */
		{"transaction_timeout", "0"},	/* 17+ */
		{"row_security", "off"},
		{"session_replication_role", "origin"},
		{"search_path", "pg_catalog, pg_temp"},
	};

	for (int i = 0; i < lengthof(settings); i++)
	{
		if (GetConfigOption(settings[i][0], true, false) != NULL)
			SetConfigOption(settings[i][0], settings[i][1],
							PGC_SUSET, PGC_S_OVERRIDE);
	}
}
