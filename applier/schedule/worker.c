/*
 * applier/schedule/worker.c - the main function of a refresh worker.
 *
 * The worker owns its slot's fields between attaching and detaching, under
 * pgt_shared->lock.  It runs one job at a time in a context that is reset
 * after it; compiled programs live in the refresh module's own contexts and
 * stay.  On an ERROR or FATAL that the refresh did not handle the process
 * ends, its exit callback frees the slot and the scheduler sees the job died;
 * the refresh's transaction is rolled back like any backend's.
 */
#include "postgres.h"

#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "postmaster/bgworker.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "storage/proc.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "applier/capture/wal.h"
#include "applier/refresh/refresh.h"
#include "applier/schedule/pool.h"
#include "decoder/compat.h"

#define PGT_WORKER_IDLE_MS	60000

static PgtWorkerSlot *own_slot = NULL;
static uint32 own_generation;

/* ---- one job ---- */

static void
report_activity(const PgtJob *job)
{
	char		activity[PGT_JOB_NAME + 64];

	if (job->nmembers > 1)
		snprintf(activity, sizeof(activity), "refreshing %s and %d more",
				 job->name, job->nmembers - 1);
	else
		snprintf(activity, sizeof(activity), "refreshing %s", job->name);
	pgstat_report_activity(STATE_RUNNING, activity);
}

static void
copy_clipped(char *target, Size size, const char *text)
{
	int			len = pg_mbcliplen(text, strlen(text), size - 1);

	memcpy(target, text, len);
	target[len] = '\0';
}

static void
store_failure(PgtJob *job, const PgtRefreshFailure *failure)
{
	job->end = PGT_JOB_FAILED;
	job->retry = failure->retry;
	job->culprit = failure->member;
	copy_clipped(job->message, PGT_JOB_MESSAGE, failure->message);
}

/* The job's action is that of the first member that did something. */
static void
store_results(PgtJob *job, PgtJobShare *shares, const PgtRefreshResult *results)
{
	job->end = PGT_JOB_OK;
	copy_clipped(job->action, PGT_JOB_ACTION, results[0].action);
	for (int i = 0; i < job->nmembers; i++)
	{
		const PgtRefreshResult *r = &results[i];

		shares[i].no_data = strcmp(r->action, "NO_DATA") == 0;
		shares[i].append_only_reverted = r->append_only_reverted;
		shares[i].rows_inserted = r->rows_inserted;
		shares[i].rows_deleted = r->rows_deleted;
		shares[i].changes_consumed = r->changes_consumed;
		shares[i].duration_ms = r->duration_ms;
		job->rows_inserted += r->rows_inserted;
		job->rows_deleted += r->rows_deleted;
		job->changes_consumed += r->changes_consumed;
		if (strcmp(job->action, "NO_DATA") == 0)
			copy_clipped(job->action, PGT_JOB_ACTION, r->action);
	}
}

void
pgt_worker_run(PgtJob *job, PgtJobShare *shares)
{
	static MemoryContext context = NULL;
	MemoryContext before;
	PgtRefreshResult *results;
	PgtRefreshFailure failure;

	if (context == NULL)
		context = AllocSetContextCreate(TopMemoryContext, "pg_trickle job",
										ALLOCSET_DEFAULT_SIZES);
	before = MemoryContextSwitchTo(context);
	results = palloc0(sizeof(PgtRefreshResult) * job->nmembers);
	report_activity(job);
	if (pgt_refresh_by_worker(job->members, job->nmembers, results, &failure))
		store_results(job, shares, results);
	else
		store_failure(job, &failure);
	job->finished_at = GetCurrentTimestamp();
	job->duration_ms = (job->finished_at - job->started_at) / 1000.0;
	pgstat_report_activity(STATE_IDLE, NULL);
	MemoryContextSwitchTo(before);
	MemoryContextReset(context);
}

/* ---- the slot ---- */

/* Our scheduler, and those that wait for room under the cluster's cap, look
 * again.  "queued" is read without the lock: a stale one costs a wake-up, and
 * who starts to wait afterwards finds the slot free. */
static void
wake_schedulers(void)
{
	for (int i = 0; i < pgt_shared->nslots; i++)
	{
		PgtDatabaseSlot *db = &pgt_shared->databases[i];

		if (pg_atomic_read_u32(&db->dboid) == MyDatabaseId || db->queued > 0)
			pgt_shared_wake(pg_atomic_read_u32(&db->procno));
	}
}

/* A finished job's result stays readable until the slot's next tenant. */
static void
detach(int code, Datum arg)
{
	LWLockAcquire(pgt_shared->lock, LW_EXCLUSIVE);
	if (own_slot->generation == own_generation)
	{
		own_slot->in_use = false;
		own_slot->pid = 0;
		own_slot->procno = 0;
	}
	LWLockRelease(pgt_shared->lock);
	wake_schedulers();
	ConditionVariableBroadcast(&pgt_shared->gone);
}

/* False: given up by the scheduler before we came. */
static bool
attach(int index, Oid *dboid)
{
	bool		wanted;

	memcpy(&own_generation, MyBgworkerEntry->bgw_extra, sizeof(own_generation));
	own_slot = &pgt_shared->workers[index];
	LWLockAcquire(pgt_shared->lock, LW_EXCLUSIVE);
	wanted = own_slot->in_use && own_slot->generation == own_generation;
	if (wanted)
	{
		own_slot->pid = MyProcPid;
		own_slot->procno = PGT_MY_PROCNO + 1;
		*dboid = own_slot->dboid;
	}
	LWLockRelease(pgt_shared->lock);
	if (wanted)
		before_shmem_exit(detach, (Datum) 0);
	return wanted;
}

typedef enum NextStep
{
	STEP_RUN, STEP_WAIT, STEP_LEAVE
} NextStep;

/* Under the lock, so that no job is assigned to a worker that has decided to
 * leave. */
static NextStep
next_step(PgtJob *job, TimestampTz idle_since)
{
	NextStep	step = STEP_WAIT;

	LWLockAcquire(pgt_shared->lock, LW_EXCLUSIVE);
	if (own_slot->state == PGT_JOB_ASSIGNED)
	{
		own_slot->state = PGT_JOB_RUNNING;
		own_slot->job.started_at = GetCurrentTimestamp();
		own_slot->job.worker_pid = MyProcPid;
		*job = own_slot->job;
		step = STEP_RUN;
	}
	else if (own_slot->leave ||
			 (own_slot->state == PGT_JOB_IDLE &&
			  TimestampDifferenceExceeds(idle_since, GetCurrentTimestamp(),
										 PGT_WORKER_IDLE_MS)))
	{
		own_slot->leave = true; /* nothing is assigned from here on */
		step = STEP_LEAVE;
	}
	LWLockRelease(pgt_shared->lock);
	return step;
}

static void
report_result(const PgtJob *job, const PgtJobShare *shares)
{
	PgtDatabaseSlot *db = pgt_shared_database(MyDatabaseId);

	LWLockAcquire(pgt_shared->lock, LW_EXCLUSIVE);
	own_slot->job = *job;
	memcpy(own_slot->shares, shares, sizeof(PgtJobShare) * job->nmembers);
	own_slot->state = PGT_JOB_DONE;
	LWLockRelease(pgt_shared->lock);
	if (db != NULL)
		pgt_shared_wake(pg_atomic_read_u32(&db->procno));
}

static void
set_application_name(const PgtJob *job)
{
	char		name[PGT_JOB_NAME + 32];

	snprintf(name, sizeof(name), "pg_trickle refresh worker: %s", job->name);
	if (strcmp(application_name, name) != 0)
		SetConfigOption("application_name", name, PGC_USERSET, PGC_S_SESSION);
}

/* ---- main ---- */

/* Statistics are sent at most once a second; what is held back gets a timer. */
static void
wait_for_work(uint32 wait_event)
{
	long		flush_in = pgstat_report_stat(false);
	long		timeout = PGT_WORKER_IDLE_MS + 10;

	if (flush_in > 0)
		timeout = Min(timeout, flush_in);
	(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH,
					 timeout, wait_event);
}

static void
work(void)
{
	uint32		wait_event = pgt_wait_event("PgTrickleWorkerMain");
	TimestampTz idle_since = GetCurrentTimestamp();
	static PgtJob job;
	static PgtJobShare shares[PGT_GROUP_MAX];

	for (;;)
	{
		NextStep	step;

		ResetLatch(MyLatch);
		if (pgt_process_interrupts())
			return;
		step = next_step(&job, idle_since);
		if (step == STEP_LEAVE)
			return;
		if (step == STEP_WAIT)
		{
			wait_for_work(wait_event);
			continue;
		}
		set_application_name(&job);
		pgt_worker_run(&job, shares);
		report_result(&job, shares);
		idle_since = GetCurrentTimestamp();
	}
}

void
pgt_worker_main(Datum arg)
{
	Oid			dboid;

	if (!attach(DatumGetInt32(arg), &dboid))
		proc_exit(0);
	pgt_shared_own_process = true;
	pgt_wal_quiet = true;
	pgt_process_signals();
	BackgroundWorkerInitializeConnectionByOid(dboid, InvalidOid, 0);
	pgt_process_settings();
	pgstat_report_appname("pg_trickle refresh worker");
	work();
	proc_exit(0);
}
