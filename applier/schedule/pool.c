/*
 * applier/schedule/pool.c - the scheduler's side of its refresh workers.
 *
 * A worker is a dynamic background worker with a slot in shared memory.  It
 * stays while there is work, so that its plans stay warm, and leaves after a
 * minute without.  The scheduler reserves a worker and assigns (IDLE ->
 * RESERVED -> ASSIGNED), the worker runs and reports (RUNNING -> DONE), the
 * scheduler collects (DONE -> IDLE); each then sets the other's latch.
 *
 * Owns: the array "given", this scheduler's memory of what it gave to whom.  A
 * slot whose generation is no longer the one remembered, or that is not in use
 * without having said DONE, means that the worker died: the job is reported as
 * PGT_JOB_DIED and the caller decides about trying again.
 *
 * All slots are written under pgt_shared->lock; processes are registered with
 * the postmaster outside it.
 */
#include "postgres.h"

#include <signal.h>

#include "miscadmin.h"
#include "postmaster/bgworker.h"
#include "storage/latch.h"
#include "utils/memutils.h"

#include "applier/schedule/pool.h"
#include "applier/settings.h"
#include "decoder/compat.h"

#define PGT_STARVED_PAUSE_MS	10000
#define PGT_EXPEL_MS			10000

typedef struct GivenJob
{
	bool		given;
	uint32		generation;
	BackgroundWorkerHandle *handle; /* of the worker in the slot; may be NULL */
	PgtJob		job;
} GivenJob;

static PgtDatabaseSlot *own_db = NULL;
static GivenJob *given = NULL;
static int	ngiven = 0;

void
pgt_pool_init(PgtDatabaseSlot *db)
{
	own_db = db;
	given = MemoryContextAllocZero(TopMemoryContext,
								   sizeof(GivenJob) * pgt_shared->nslots);
	ngiven = 0;
}

int
pgt_pool_running(void)
{
	return ngiven;
}

/* ---- dispatch ---- */

/* What of the pool a new job finds; under the lock. */
typedef struct PoolState
{
	int			mine;			/* workers of this database */
	int			my_busy;		/* of them */
	int			all;
	int			all_busy;
	int			idle;			/* an idle one of mine, or -1 */
	int			free_slot;		/* or -1 */
	int			idle_elsewhere; /* an idle one of another database, or -1 */
} PoolState;

static void
look_at_pool(PoolState *pool, int preferred)
{
	*pool = (PoolState) {.idle = -1, .free_slot = -1, .idle_elsewhere = -1};
	for (int i = 0; i < pgt_shared->nslots; i++)
	{
		PgtWorkerSlot *slot = &pgt_shared->workers[i];
		bool		idle = slot->in_use && !slot->leave &&
			slot->state == PGT_JOB_IDLE;
		bool		busy = slot->state == PGT_JOB_RESERVED ||
			slot->state == PGT_JOB_ASSIGNED || slot->state == PGT_JOB_RUNNING;

		if (!slot->in_use)
		{
			pool->free_slot = i;
			continue;
		}
		pool->all++;
		pool->all_busy += busy;
		if (slot->dboid != MyDatabaseId)
		{
			if (idle)
				pool->idle_elsewhere = i;
			continue;
		}
		pool->mine++;
		pool->my_busy += busy;
		if (idle && (pool->idle < 0 || i == preferred))
			pool->idle = i;
	}
}

/* Another database's idle worker makes room; its end wakes who waits. */
static void
ask_for_room(int index)
{
	PgtWorkerSlot *slot = &pgt_shared->workers[index];

	slot->leave = true;
	pgt_shared_wake(slot->procno);
}

static bool
recently_starved(void)
{
	return own_db->starved_since != 0 &&
		GetCurrentTimestamp() <
		TimestampTzPlusMilliseconds(own_db->starved_since, PGT_STARVED_PAUSE_MS);
}

/* Under the lock.  *start: a slot was taken whose worker must be registered. */
static PgtDispatch
choose(int *worker, bool *start)
{
	PoolState	pool;
	PgtWorkerSlot *slot;

	*start = false;
	look_at_pool(&pool, *worker);
	/* the caps may have been lowered since the workers were started */
	if (pool.my_busy >= pgt_max_concurrent_refreshes)
		return PGT_DISPATCH_WAIT;
	if (pool.all_busy >= pgt_max_dynamic_refresh_workers)
		return pool.my_busy > 0 ? PGT_DISPATCH_WAIT : PGT_DISPATCH_ALONE;
	if (pool.idle >= 0)
	{
		*worker = pool.idle;
		pgt_shared->workers[pool.idle].state = PGT_JOB_RESERVED;
		return PGT_DISPATCH_WORKER;
	}
	if (pool.mine >= pgt_max_concurrent_refreshes)
		return PGT_DISPATCH_WAIT;
	if (pool.all >= pgt_max_dynamic_refresh_workers || pool.free_slot < 0)
	{
		if (pool.idle_elsewhere >= 0)
			ask_for_room(pool.idle_elsewhere);
		return pool.mine > 0 || pool.idle_elsewhere >= 0 ?
			PGT_DISPATCH_WAIT : PGT_DISPATCH_ALONE;
	}
	if (recently_starved())
		return pool.mine > 0 ? PGT_DISPATCH_WAIT : PGT_DISPATCH_ALONE;

	slot = &pgt_shared->workers[pool.free_slot];
	slot->in_use = true;
	slot->leave = false;
	slot->generation++;
	slot->dboid = MyDatabaseId;
	slot->pid = 0;
	slot->procno = 0;
	slot->state = PGT_JOB_RESERVED;
	*worker = pool.free_slot;
	*start = true;
	return PGT_DISPATCH_WORKER;
}

static bool
register_worker(int index, BackgroundWorkerHandle **handle)
{
	BackgroundWorker worker;
	uint32		generation = pgt_shared->workers[index].generation;

	memset(&worker, 0, sizeof(worker));
	worker.bgw_flags = BGWORKER_SHMEM_ACCESS |
		BGWORKER_BACKEND_DATABASE_CONNECTION;
	worker.bgw_start_time = BgWorkerStart_RecoveryFinished;
	worker.bgw_restart_time = BGW_NEVER_RESTART;
	strlcpy(worker.bgw_library_name, "pg_trickle", sizeof(worker.bgw_library_name));
	strlcpy(worker.bgw_function_name, "pgt_worker_main",
			sizeof(worker.bgw_function_name));
	snprintf(worker.bgw_name, BGW_MAXLEN,
			 "pg_trickle refresh worker of database %u", MyDatabaseId);
	strlcpy(worker.bgw_type, "pg_trickle refresh worker", BGW_MAXLEN);
	worker.bgw_main_arg = Int32GetDatum(index);
	memcpy(worker.bgw_extra, &generation, sizeof(generation));
	worker.bgw_notify_pid = MyProcPid;
	return RegisterDynamicBackgroundWorker(&worker, handle);
}

/* Said once each time the server runs out, not for each refresh. */
static void
note_starved(void)
{
	bool		first;

	LWLockAcquire(pgt_shared->lock, LW_EXCLUSIVE);
	first = own_db->starved_since == 0;
	own_db->starved_since = GetCurrentTimestamp();
	LWLockRelease(pgt_shared->lock);
	if (first)
		ereport(WARNING,
				(errcode(ERRCODE_INSUFFICIENT_RESOURCES),
				 errmsg("pg_trickle could not start a refresh worker: out of background worker slots"),
				 errdetail("Refreshes are made one after the other until a slot is free."),
				 errhint("Raise max_worker_processes (%d).", max_worker_processes)));
}

static void
free_slot(int index, uint32 generation)
{
	PgtWorkerSlot *slot = &pgt_shared->workers[index];

	LWLockAcquire(pgt_shared->lock, LW_EXCLUSIVE);
	if (slot->generation == generation && slot->pid == 0)
		slot->in_use = false;
	LWLockRelease(pgt_shared->lock);
}

static bool
start_worker(int index)
{
	uint32		generation = pgt_shared->workers[index].generation;
	BackgroundWorkerHandle *handle = NULL;
	MemoryContext before = MemoryContextSwitchTo(TopMemoryContext);
	bool		registered = register_worker(index, &handle);

	MemoryContextSwitchTo(before);
	if (!registered)
	{
		free_slot(index, generation);
		note_starved();
		return false;
	}
	if (given[index].handle != NULL)
		pfree(given[index].handle);
	given[index].handle = handle;
	if (own_db->starved_since != 0)
	{
		LWLockAcquire(pgt_shared->lock, LW_EXCLUSIVE);
		own_db->starved_since = 0;
		LWLockRelease(pgt_shared->lock);
	}
	return true;
}

PgtDispatch
pgt_pool_reserve(int *worker)
{
	int			index = *worker;
	bool		start;
	PgtDispatch outcome;

	LWLockAcquire(pgt_shared->lock, LW_EXCLUSIVE);
	outcome = choose(&index, &start);
	LWLockRelease(pgt_shared->lock);

	if (outcome != PGT_DISPATCH_WORKER)
		return outcome;
	if (start && !start_worker(index))
		return ngiven > 0 ? PGT_DISPATCH_WAIT : PGT_DISPATCH_ALONE;
	*worker = index;
	return PGT_DISPATCH_WORKER;
}

/* If the worker has ended since, the job is collected as one that died. */
void
pgt_pool_send(int index, const PgtJob *job)
{
	PgtWorkerSlot *slot = &pgt_shared->workers[index];
	GivenJob   *mine = &given[index];
	uint32		procno = 0;

	LWLockAcquire(pgt_shared->lock, LW_EXCLUSIVE);
	mine->job = *job;
	mine->job.job_id = ++pgt_shared->last_job_id;
	mine->job.worker_pid = slot->pid;
	mine->job.started_at = GetCurrentTimestamp();
	mine->generation = slot->generation;
	mine->given = true;
	if (slot->in_use && slot->state == PGT_JOB_RESERVED &&
		slot->dboid == MyDatabaseId)
	{
		slot->job = mine->job;
		slot->state = PGT_JOB_ASSIGNED;
		procno = slot->procno;
	}
	else
		mine->generation--;		/* a tenant that is no more */
	LWLockRelease(pgt_shared->lock);
	ngiven++;
	pgt_shared_wake(procno);
}

/* ---- results ---- */

static void
keep_finished(const PgtJob *job)
{
	PgtFinishedJob *entry = &pgt_shared->finished[pgt_shared->next_finished];

	entry->dboid = MyDatabaseId;
	entry->job = *job;
	pgt_shared->next_finished = (pgt_shared->next_finished + 1) % PGT_JOBS_KEPT;
}

void
pgt_pool_record(const PgtJob *job)
{
	PgtJob		numbered = *job;

	LWLockAcquire(pgt_shared->lock, LW_EXCLUSIVE);
	numbered.job_id = ++pgt_shared->last_job_id;
	keep_finished(&numbered);
	LWLockRelease(pgt_shared->lock);
}

/* A registered worker that never attached: did the postmaster give it up? */
static void
check_start(int index)
{
	GivenJob   *mine = &given[index];
	pid_t		pid;

	if (mine->handle == NULL || pgt_shared->workers[index].pid != 0)
		return;
	if (GetBackgroundWorkerPid(mine->handle, &pid) == BGWH_STOPPED)
		free_slot(index, mine->generation);
}

/* Under the lock: has this job ended? */
static bool
take_result(int index, PgtJob *job, PgtJobShare *shares)
{
	GivenJob   *mine = &given[index];
	PgtWorkerSlot *slot = &pgt_shared->workers[index];

	if (slot->generation == mine->generation && slot->state == PGT_JOB_DONE)
	{
		*job = slot->job;
		memcpy(shares, slot->shares, sizeof(PgtJobShare) * job->nmembers);
		slot->state = PGT_JOB_IDLE;
	}
	else if (slot->generation != mine->generation || !slot->in_use)
	{
		*job = mine->job;
		job->end = PGT_JOB_DIED;
		job->retry = true;
		job->finished_at = GetCurrentTimestamp();
		strlcpy(job->message, "the refresh worker ended", PGT_JOB_MESSAGE);
	}
	else
		return false;
	keep_finished(job);
	return true;
}

bool
pgt_pool_collect(PgtJob *job, PgtJobShare *shares)
{
	bool		found = false;

	for (int i = 0; i < pgt_shared->nslots && !found && ngiven > 0; i++)
	{
		if (!given[i].given)
			continue;
		check_start(i);
		LWLockAcquire(pgt_shared->lock, LW_EXCLUSIVE);
		found = take_result(i, job, shares);
		LWLockRelease(pgt_shared->lock);
		if (!found)
			continue;
		given[i].given = false;
		ngiven--;
	}
	return found;
}

void
pgt_pool_show_queue(const PgtQueuedJob *queue, int shown, int queued)
{
	if (queued == 0 && own_db->queued == 0)
		return;
	LWLockAcquire(pgt_shared->lock, LW_EXCLUSIVE);
	own_db->queued = queued;
	memcpy(own_db->queue, queue, sizeof(PgtQueuedJob) * shown);
	LWLockRelease(pgt_shared->lock);
}

/* ---- an earlier scheduler's workers ---- */

static bool
terminate_workers(void)
{
	bool		someone = false;

	LWLockAcquire(pgt_shared->lock, LW_EXCLUSIVE);
	for (int i = 0; i < pgt_shared->nslots; i++)
	{
		PgtWorkerSlot *slot = &pgt_shared->workers[i];

		if (!slot->in_use || slot->dboid != MyDatabaseId)
			continue;
		someone = true;
		slot->leave = true;
		if (slot->pid != 0)
			kill(slot->pid, SIGTERM);
	}
	LWLockRelease(pgt_shared->lock);
	return someone;
}

void
pgt_pool_dismiss(void)
{
	(void) terminate_workers();
}

/* Workers that were registered and never came up are given up after the wait:
 * they find another generation in their slot should they come after all. */
void
pgt_pool_expel_strangers(void)
{
	TimestampTz until = TimestampTzPlusMilliseconds(GetCurrentTimestamp(),
													PGT_EXPEL_MS);

	ConditionVariablePrepareToSleep(&pgt_shared->gone);
	while (terminate_workers() && GetCurrentTimestamp() < until)
		ConditionVariableTimedSleep(&pgt_shared->gone, 1000L,
									pgt_wait_event("PgTrickleEvict"));
	ConditionVariableCancelSleep();
	LWLockAcquire(pgt_shared->lock, LW_EXCLUSIVE);
	for (int i = 0; i < pgt_shared->nslots; i++)
	{
		PgtWorkerSlot *slot = &pgt_shared->workers[i];

		if (slot->in_use && slot->dboid == MyDatabaseId && slot->pid == 0)
		{
			slot->generation++;
			slot->in_use = false;
		}
	}
	LWLockRelease(pgt_shared->lock);
}
