/*
 * applier/capture/wal_shared.c - what decoders, committing backends and
 * refreshes share.
 *
 * One struct in shared memory with a place per database that has a decoder,
 * and one LWLock.  Nothing is allocated, no catalog is read and no other lock
 * is taken while it is held.
 *
 * A commit wakes the decoder of its database: the callback sets "commits" and,
 * when the decoder has said that it is asleep, its latch.  A decoder that is at
 * work costs a committing backend two reads of shared memory; one that sleeps
 * is woken by the first commit only.  Nobody is missed: the decoder says
 * "asleep" first and looks at "commits" then, backends do it the other way
 * round, with barriers between.
 *
 * A place outlives its decoder, with the error it ended by, until another
 * database needs it.
 */
#include "postgres.h"

#include <signal.h>

#include "access/xact.h"
#include "access/xlog.h"
#include "access/xlog_internal.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "postmaster/bgworker.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "storage/proc.h"
#include "storage/shmem.h"
#include "utils/timestamp.h"

#include "applier/capture/wal_internal.h"
#include "decoder/compat.h"

#define TRANCHE			"pg_trickle_wal"
#define ATTACH_MS		60000	/* for a start whose end nobody saw */
#define WAIT_SLICE_MS	100

typedef struct PgtWalShared
{
	LWLock	   *lock;
	pg_atomic_uint32 decoders;	/* that have a procno: 0, commits look no further */
	int			nplaces;		/* constant */
	PgtWalPlace places[FLEXIBLE_ARRAY_MEMBER];
} PgtWalShared;

static PgtWalShared *shared = NULL;
PgtWalPlace *pgt_wal_place = NULL;
bool		pgt_wal_quiet = false;

/* ---- set-up ---- */

static Size
shared_size(void)
{
	return add_size(offsetof(PgtWalShared, places),
					mul_size(max_worker_processes, sizeof(PgtWalPlace)));
}

void
pgt_wal_shared_request(void)
{
	RequestAddinShmemSpace(shared_size());
	RequestNamedLWLockTranche(TRANCHE, 1);
}

static void
init_place(PgtWalPlace *place)
{
	memset(place, 0, sizeof(*place));
	pg_atomic_init_u32(&place->dboid, InvalidOid);
	pg_atomic_init_u32(&place->procno, 0);
	pg_atomic_init_u32(&place->commits, PGT_WAL_CLEAN);
	pg_atomic_init_u32(&place->asleep, 0);
	pg_atomic_init_u32(&place->leave, 0);
	pg_atomic_init_u32(&place->look, 0);
	pg_atomic_init_u64(&place->reached, InvalidXLogRecPtr);
	pg_atomic_init_u64(&place->progress, 0);
	pg_atomic_init_u64(&place->changes, 0);
	pg_atomic_init_u64(&place->bytes, 0);
	pg_atomic_init_u64(&place->caught_up_at, 0);
	ConditionVariableInit(&place->moved);
}

void
pgt_wal_shared_startup(void)
{
	bool		found;

	LWLockAcquire(AddinShmemInitLock, LW_EXCLUSIVE);
	shared = ShmemInitStruct("pg_trickle decoders", shared_size(), &found);
	if (!found)
	{
		shared->lock = &GetNamedLWLockTranche(TRANCHE)[0].lock;
		pg_atomic_init_u32(&shared->decoders, 0);
		shared->nplaces = max_worker_processes;
		for (int i = 0; i < shared->nplaces; i++)
			init_place(&shared->places[i]);
	}
	LWLockRelease(AddinShmemInitLock);
}

/* The place of a database, without a lock; NULL if it has none. */
static PgtWalPlace *
find_place(Oid dboid)
{
	static int	last = 0;

	if (shared == NULL || shared->nplaces == 0)
		return NULL;
	if (pg_atomic_read_u32(&shared->places[last].dboid) == dboid)
		return &shared->places[last];
	for (int i = 0; i < shared->nplaces; i++)
	{
		if (pg_atomic_read_u32(&shared->places[i].dboid) != dboid)
			continue;
		last = i;
		return &shared->places[i];
	}
	return NULL;
}

/* ---- waking ---- */

static void
set_latch_of(PgtWalPlace *place)
{
	uint32		procno = pg_atomic_read_u32(&place->procno);

	if (procno != 0)
		SetLatch(&ProcGlobal->allProcs[procno - 1].procLatch);
}

static void
wake(PgtWalPlace *place, uint32 commits)
{
	uint32		seen = pg_atomic_read_u32(&place->commits);

	while (seen < commits &&
		   !pg_atomic_compare_exchange_u32(&place->commits, &seen, commits))
		;
	pg_memory_barrier();
	if (pg_atomic_read_u32(&place->asleep) != 0 &&
		pg_atomic_exchange_u32(&place->asleep, 0) != 0)
		set_latch_of(place);
}

/* XactLastCommitEnd moves with every commit that wrote WAL, and only then. */
static void
at_transaction_end(XactEvent event, void *arg)
{
	static XLogRecPtr seen = InvalidXLogRecPtr;
	PgtWalPlace *place;

	if (event != XACT_EVENT_COMMIT || XactLastCommitEnd == seen)
		return;
	seen = XactLastCommitEnd;
	if (shared == NULL || pgt_wal_quiet ||
		pg_atomic_read_u32(&shared->decoders) == 0)
		return;
	place = find_place(MyDatabaseId);
	if (place != NULL)
		wake(place, synchronous_commit > SYNCHRONOUS_COMMIT_OFF ?
			 PGT_WAL_FLUSHED : PGT_WAL_UNFLUSHED);
}

void
pgt_wal_init(void)
{
	RegisterXactCallback(at_transaction_end, NULL);
}

void
pgt_wal_tell(void)
{
	PgtWalPlace *place = find_place(MyDatabaseId);

	if (place == NULL)
		return;
	pg_atomic_write_u32(&place->look, 1);
	wake(place, PGT_WAL_FLUSHED);
}

/* ---- positions and waiting ---- */

/*
 * Behind the last record: the insert position can lie past the header of a
 * page on which there is nothing yet, where no record ends.
 */
static XLogRecPtr
insert_end(void)
{
	XLogRecPtr	next = GetXLogInsertRecPtr();

	if (XLogSegmentOffset(next, wal_segment_size) == SizeOfXLogLongPHD)
		return next - SizeOfXLogLongPHD;
	if (next % XLOG_BLCKSZ == SizeOfXLogShortPHD)
		return next - SizeOfXLogShortPHD;
	return next;
}

XLogRecPtr
pgt_wal_end(void)
{
	XLogRecPtr	end = insert_end();

	XLogFlush(end);
	return end;
}

uint64
pgt_wal_lag(void)
{
	PgtWalPlace *place = find_place(MyDatabaseId);
	XLogRecPtr	end = insert_end();
	XLogRecPtr	reached = place ? pg_atomic_read_u64(&place->reached) : 0;

	return end > reached ? end - reached : 0;
}

void
pgt_wal_status(Oid dboid, PgtWalStatus *status)
{
	PgtWalPlace *place = find_place(dboid);

	memset(status, 0, sizeof(*status));
	if (place == NULL)
		return;
	LWLockAcquire(shared->lock, LW_SHARED);
	if (pg_atomic_read_u32(&place->dboid) == dboid)
	{
		status->state = place->state;
		status->pid = place->pid;
		status->since = place->since;
		status->reached = pg_atomic_read_u64(&place->reached);
		status->changes = pg_atomic_read_u64(&place->changes);
		status->bytes = pg_atomic_read_u64(&place->bytes);
		status->caught_up_at = pg_atomic_read_u64(&place->caught_up_at);
		status->sqlerrcode = place->sqlerrcode;
		strlcpy(status->message, place->message, PGT_WAL_MESSAGE);
	}
	LWLockRelease(shared->lock);
}

bool
pgt_wal_is_running(void)
{
	PgtWalStatus status;

	pgt_wal_status(MyDatabaseId, &status);
	return status.state == PGT_WAL_RUNNING;
}

static char *
why_not(int patience_ms)
{
	PgtWalStatus status;

	pgt_wal_status(MyDatabaseId, &status);
	switch (status.state)
	{
		case PGT_WAL_STARTING:
			return status.message[0] == '\0' ?
				pstrdup("The decoder of this database is starting.") :
				psprintf("The decoder of this database is starting after an error: %s",
						 status.message);
		case PGT_WAL_RUNNING:
			return psprintf("The decoder of this database (PID %d) has made no progress for %d ms.",
							status.pid, patience_ms);
		case PGT_WAL_ENDED:
			return psprintf("The decoder of this database has ended: %s",
							status.message[0] ? status.message : "it was terminated");
		case PGT_WAL_ABSENT:
			break;
	}
	return pstrdup("No decoder runs in this database.");
}

/* Has the decoder gone on since *seen? */
static bool
has_moved(PgtWalPlace *place, uint64 *seen)
{
	uint64		now = pg_atomic_read_u64(&place->progress) +
		pg_atomic_read_u64(&place->reached);
	bool		moved = now != *seen;

	*seen = now;
	return moved;
}

bool
pgt_wal_wait(XLogRecPtr lsn, int patience_ms, char **why)
{
	PgtWalPlace *place = find_place(MyDatabaseId);
	TimestampTz until;
	uint64		seen = 0;
	uint32		wait_event = pgt_wait_event("PgTrickleDecoder");
	bool		there = false;

	*why = NULL;
	until = TimestampTzPlusMilliseconds(GetCurrentTimestamp(), patience_ms);
	for (;;)
	{
		if (place == NULL)
			place = find_place(MyDatabaseId);
		if (place == NULL)
		{
			/* a scheduler on its way up will make it one */
			if (GetCurrentTimestamp() >= until)
				break;
			(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH,
							 Min(WAIT_SLICE_MS, patience_ms), wait_event);
			ResetLatch(MyLatch);
			CHECK_FOR_INTERRUPTS();
			continue;
		}
		ConditionVariablePrepareToSleep(&place->moved);
		there = pg_atomic_read_u64(&place->reached) >= lsn;
		if (there)
			break;
		wake(place, PGT_WAL_FLUSHED);
		if (has_moved(place, &seen))
			until = TimestampTzPlusMilliseconds(GetCurrentTimestamp(), patience_ms);
		if (GetCurrentTimestamp() >= until)
			break;
		(void) ConditionVariableTimedSleep(&place->moved, WAIT_SLICE_MS, wait_event);
	}
	ConditionVariableCancelSleep();
	if (!there)
		*why = why_not(patience_ms);
	return there;
}

/* ---- the scheduler's side ---- */

/* Under the lock: one that never came up does not keep its place for ever. */
static bool
is_taken(const PgtWalPlace *place)
{
	if (place->pid != 0)
		return true;
	return place->state == PGT_WAL_STARTING &&
		!TimestampDifferenceExceeds(place->since, GetCurrentTimestamp(), ATTACH_MS);
}

/* Under the lock: ours, or a free one, or one that nobody uses. */
static PgtWalPlace *
choose_place(void)
{
	PgtWalPlace *unused = NULL;

	for (int i = 0; i < shared->nplaces; i++)
	{
		PgtWalPlace *place = &shared->places[i];
		Oid			dboid = pg_atomic_read_u32(&place->dboid);

		if (dboid == MyDatabaseId)
			return place;
		if (is_taken(place))
			continue;
		if (unused == NULL || !OidIsValid(dboid))
			unused = place;
	}
	return unused;
}

static void
set_state(PgtWalPlace *place, PgtWalState state)
{
	place->state = state;
	place->since = GetCurrentTimestamp();
}

int
pgt_wal_reserve(uint32 *generation)
{
	PgtWalPlace *place;
	int			index = -1;

	if (shared == NULL)
		return -1;
	LWLockAcquire(shared->lock, LW_EXCLUSIVE);
	place = choose_place();
	if (place != NULL && !is_taken(place))
	{
		index = place - shared->places;
		if (pg_atomic_read_u32(&place->dboid) != MyDatabaseId)
		{
			pg_atomic_write_u64(&place->reached, InvalidXLogRecPtr);
			place->sqlerrcode = 0;
			place->message[0] = '\0';
		}
		pg_atomic_write_u32(&place->procno, 0);
		pg_atomic_write_u32(&place->leave, 0);
		pg_atomic_write_u32(&place->look, 0);
		pg_atomic_write_u32(&place->asleep, 0);
		set_state(place, PGT_WAL_STARTING);
		*generation = ++place->generation;
		pg_memory_barrier();
		pg_atomic_write_u32(&place->dboid, MyDatabaseId);
	}
	LWLockRelease(shared->lock);
	return index;
}

void
pgt_wal_unreserve(int slot, uint32 generation)
{
	PgtWalPlace *place = &shared->places[slot];

	LWLockAcquire(shared->lock, LW_EXCLUSIVE);
	if (place->generation == generation && place->pid == 0)
		set_state(place, PGT_WAL_ENDED);
	LWLockRelease(shared->lock);
}

void
pgt_wal_forget(void)
{
	PgtWalPlace *place = find_place(MyDatabaseId);

	if (place == NULL)
		return;
	LWLockAcquire(shared->lock, LW_EXCLUSIVE);
	if (!is_taken(place))
	{
		set_state(place, PGT_WAL_ABSENT);
		place->sqlerrcode = 0;
		place->message[0] = '\0';
		pg_atomic_write_u64(&place->reached, InvalidXLogRecPtr);
		pg_atomic_write_u32(&place->dboid, InvalidOid);
	}
	LWLockRelease(shared->lock);
}

/* Pids of places are cleared under the lock before a process ends, so a signal
 * cannot reach a stranger. */
bool
pgt_wal_ask_to_leave(Oid dboid, bool insist)
{
	PgtWalPlace *place = find_place(dboid);
	bool		there;

	if (place == NULL)
		return pgt_wal_slot_is_held(dboid);
	LWLockAcquire(shared->lock, LW_EXCLUSIVE);
	there = pg_atomic_read_u32(&place->dboid) == dboid && is_taken(place);
	if (there)
	{
		pg_atomic_write_u32(&place->leave, 1);
		set_latch_of(place);
		if (insist && place->pid != 0)
			kill(place->pid, SIGTERM);
	}
	LWLockRelease(shared->lock);
	/* it lets go of the slot after its place */
	return there || pgt_wal_slot_is_held(dboid);
}

/* ---- the decoder's side ---- */

static void
detach(int code, Datum arg)
{
	LWLockAcquire(shared->lock, LW_EXCLUSIVE);
	pg_atomic_write_u32(&pgt_wal_place->procno, 0);
	pg_atomic_write_u32(&pgt_wal_place->asleep, 0);
	pg_atomic_fetch_sub_u32(&shared->decoders, 1);
	pgt_wal_place->pid = 0;
	set_state(pgt_wal_place, PGT_WAL_ENDED);
	LWLockRelease(shared->lock);
	ConditionVariableBroadcast(&pgt_wal_place->moved);
}

bool
pgt_wal_attach(int slot, uint32 generation, Oid *dboid)
{
	PgtWalPlace *place = &shared->places[slot];
	bool		wanted;

	LWLockAcquire(shared->lock, LW_EXCLUSIVE);
	wanted = place->state == PGT_WAL_STARTING && place->pid == 0 &&
		place->generation == generation;
	if (wanted)
	{
		place->pid = MyProcPid;
		*dboid = pg_atomic_read_u32(&place->dboid);
		pg_atomic_write_u32(&place->commits, PGT_WAL_UNFLUSHED);
		pg_atomic_write_u64(&place->changes, 0);
		pg_atomic_write_u64(&place->bytes, 0);
		pg_atomic_write_u64(&place->caught_up_at, 0);
		pg_atomic_write_u32(&place->procno, PGT_MY_PROCNO + 1);
		pg_atomic_fetch_add_u32(&shared->decoders, 1);
	}
	LWLockRelease(shared->lock);
	if (!wanted)
		return false;
	pgt_wal_place = place;
	before_shmem_exit(detach, (Datum) 0);
	return true;
}

void
pgt_wal_set_state(PgtWalState state)
{
	LWLockAcquire(shared->lock, LW_EXCLUSIVE);
	if (pgt_wal_place->state != state)
		set_state(pgt_wal_place, state);
	if (state == PGT_WAL_RUNNING)
	{
		pgt_wal_place->sqlerrcode = 0;
		pgt_wal_place->message[0] = '\0';
	}
	LWLockRelease(shared->lock);
	ConditionVariableBroadcast(&pgt_wal_place->moved);
}

void
pgt_wal_note_error(int sqlerrcode, const char *message)
{
	int			len = pg_mbcliplen(message, strlen(message), PGT_WAL_MESSAGE - 1);

	LWLockAcquire(shared->lock, LW_EXCLUSIVE);
	pgt_wal_place->sqlerrcode = sqlerrcode;
	memcpy(pgt_wal_place->message, message, len);
	pgt_wal_place->message[len] = '\0';
	LWLockRelease(shared->lock);
}

void
pgt_wal_publish(XLogRecPtr reached)
{
	pg_atomic_write_u64(&pgt_wal_place->reached, reached);
	ConditionVariableBroadcast(&pgt_wal_place->moved);
}
