/*
 * applier/schedule/scheduler.c - one process per database: what is due, and
 * who does it.
 *
 * The loop: reset the latch; reload the catalog if somebody changed it; collect
 * finished jobs; turn dirty bits into changed stream tables; give what is due
 * to workers; send events and clean up; sleep on the latch, with a timeout
 * only when something in memory has a due time.  A database in which nothing
 * changes is slept through.
 *
 * Owns: the graph (a context replaced at each load) and, between them, all
 * scheduling decisions of this database.  It writes no stream table itself
 * except when there is no worker to be had (run_alone).
 *
 * Errors: what a refresh does wrong is a job's result.  Side work (events,
 * clean-up, restoring) runs guarded: an error there is logged and does not
 * end the process.  Any other ERROR ends it, the launcher starts another one
 * after a pause, and that one first makes an earlier one's workers leave and
 * closes the history rows they left RUNNING.
 */
#include "postgres.h"

#include "access/xact.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "postmaster/bgworker.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "storage/lmgr.h"
#include "storage/proc.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "applier/capture/capture.h"
#include "applier/capture/wal.h"
#include "applier/catalog/catalog.h"
#include "applier/schedule/decoder.h"
#include "applier/schedule/alerts.h"
#include "applier/schedule/graph.h"
#include "applier/schedule/handover.h"
#include "applier/schedule/holds.h"
#include "applier/schedule/notify.h"
#include "applier/schedule/pool.h"
#include "applier/schedule/units.h"
#include "applier/schedule/unlogged.h"
#include "applier/settings.h"
#include "decoder/compat.h"

#define PGT_RETRY_FIRST_MS		1000
#define PGT_RETRY_LAST_MS		300000
#define PGT_SKIP_FIRST_MS		100
#define PGT_SKIP_LAST_MS		10000
#define PGT_SLOWDOWN_LAST		8
#define PGT_EVENTS_EVERY_MS		1000
#define PGT_CLEAN_EVERY_MS		10000
#define PGT_CLEAN_BUSY_MS		1000
#define PGT_CLEAN_BUSY_CHANGES	100000
#define PGT_PRUNE_EVERY_MS		60000
#define PGT_WATCH_EVERY_MS		60000
#define PGT_GROWTH_EVERY_MS		10000
#define PGT_PRUNE_BUSY_MS		1000
#define PGT_PRUNE_ROWS			1000

typedef struct Scheduler
{
	PgtDatabaseSlot *db;
	uint32		generation;
	PgtSchedulerEnd end;		/* told to the launcher at exit */
	Oid			extension;
	PgtGraph   *graph;
	bool		again;			/* do not sleep, there is more to do */
	bool		events_now;		/* an event that should not wait */
	TimestampTz events_sent_at;
	int			refreshes_since_prune;
	TimestampTz prune_at;
	TimestampTz watch_at;		/* look at idle readers' buffers; 0: at once */
	TimestampTz growth_at;		/* look at the size of buffers */
	TimestampTz decoder_at;		/* look at the decoder */
} Scheduler;

static Scheduler self;

/* ---- beginning and end ---- */

/* Workers hold results for this scheduler only: they end with it. */
static void
scheduler_exit(int code, Datum arg)
{
	LWLockAcquire(pgt_shared->lock, LW_EXCLUSIVE);
	pg_atomic_write_u32(&self.db->procno, 0);
	self.db->state = PGT_DATABASE_ENDED;
	self.db->end = self.end;
	self.db->pid = 0;
	self.db->queued = 0;
	LWLockRelease(pgt_shared->lock);
	pgt_pool_dismiss();
	pgt_shared_wake_launcher();
	ConditionVariableBroadcast(&pgt_shared->gone);
}

/* False: the launcher gave this start up in the meantime. */
static bool
attach(int index, Oid *dboid)
{
	bool		wanted;

	self.db = &pgt_shared->databases[index];
	self.end = PGT_END_ERROR;
	memcpy(&self.generation, MyBgworkerEntry->bgw_extra, sizeof(self.generation));
	LWLockAcquire(pgt_shared->lock, LW_EXCLUSIVE);
	wanted = self.db->state == PGT_DATABASE_STARTING &&
		self.db->generation == self.generation;
	if (wanted)
	{
		self.db->pid = MyProcPid;
		*dboid = pg_atomic_read_u32(&self.db->dboid);
		pg_atomic_write_u32(&self.db->procno, PGT_MY_PROCNO + 1);
	}
	LWLockRelease(pgt_shared->lock);
	if (wanted)
		before_shmem_exit(scheduler_exit, (Datum) 0);
	return wanted;
}

static void
end_with(PgtSchedulerEnd end)
{
	self.end = end;
	proc_exit(0);
}

static void
begin_transaction(void)
{
	SetCurrentStatementStartTimestamp();
	StartTransactionCommand();
	PushActiveSnapshot(GetTransactionSnapshot());
}

static void
commit_transaction(void)
{
	PopActiveSnapshot();
	CommitTransactionCommand();
}

/*
 * Notices are delivered before the committing backend sends its invalidations,
 * so caches may still show an extension that is gone.  Its locks are released
 * after both: wait for them, then look.
 */
static bool
extension_is_there(void)
{
	if (pgt_extension_installed())
		LockRelationOid(pgt_catalog_relid(PGT_TABLE_STATE), AccessShareLock);
	return pgt_extension_installed();
}

/* In a transaction.  The extension made anew has other relations: start anew. */
static void
check_extension(void)
{
	if (!extension_is_there())
	{
		AbortCurrentTransaction();
		pgt_decoder_dismiss();
		end_with(PGT_END_ABSENT);
	}
	if (OidIsValid(self.extension) && self.extension != pgt_extension_oid())
	{
		AbortCurrentTransaction();
		end_with(PGT_END_ASKED);
	}
	self.extension = pgt_extension_oid();
}

/*
 * Run work in a transaction of its own.  An error is logged as a warning and
 * rolled back; returns false then.
 */
typedef void (*GuardedWork) (void *arg);

static bool
run_guarded(GuardedWork work, void *arg, const char *what)
{
	MemoryContext before = CurrentMemoryContext;
	volatile bool ok = true;

	PG_TRY();
	{
		SetCurrentStatementStartTimestamp();
		StartTransactionCommand();
		work(arg);
		CommitTransactionCommand();
	}
	PG_CATCH();
	{
		ErrorData  *error;

		MemoryContextSwitchTo(before);
		error = CopyErrorData();
		FlushErrorState();
		AbortCurrentTransaction();
		ereport(WARNING,
				(errcode(error->sqlerrcode),
				 errmsg("pg_trickle could not %s: %s", what, error->message)));
		FreeErrorData(error);
		ok = false;
	}
	PG_END_TRY();
	MemoryContextSwitchTo(before);
	return ok;
}

/* ---- events ---- */

static void
keep_event(const char *event, const PgtNode *node, const PgtEventField *fields,
		   int nfields)
{
	pgt_notify_keep(event, node->name, fields, nfields);
	self.events_now = true;
}

static bool
completed_any(void)
{
	for (int i = 0; i < self.graph->nnodes; i++)
		if (self.graph->nodes[i].refreshes > 0)
			return true;
	return false;
}

/* One refresh_completed per stream table for all refreshes since the last. */
static void
keep_completed(void)
{
	for (int i = 0; i < self.graph->nnodes; i++)
	{
		PgtNode    *node = &self.graph->nodes[i];
		PgtEventField fields[] = {
			{"refreshes", NULL, node->refreshes},
			{"rows_inserted", NULL, (double) node->rows_inserted},
			{"rows_deleted", NULL, (double) node->rows_deleted},
		};

		if (node->refreshes == 0)
			continue;
		pgt_notify_keep("refresh_completed", node->name, fields, lengthof(fields));
		node->refreshes = 0;
		node->rows_inserted = node->rows_deleted = 0;
	}
}

static void
send_events(void *arg)
{
	pgt_notify_send();
}

static void
send_due_events(TimestampTz now)
{
	if (!pgt_notify_any_kept() && !completed_any())
		return;
	if (!self.events_now &&
		!TimestampDifferenceExceeds(self.events_sent_at, now, PGT_EVENTS_EVERY_MS))
		return;
	keep_completed();
	(void) run_guarded(send_events, NULL, "send events");
	pgt_notify_forget();
	self.events_now = false;
	self.events_sent_at = now;
}

/* ---- the catalog ---- */

static void
restore_one(void *arg)
{
	PushActiveSnapshot(GetTransactionSnapshot());
	pgt_restore_stream_table(*(int64 *) arg);
	PopActiveSnapshot();
}

/* Definitions without state, as a restored dump leaves them, by pgt_id: what
 * a stream table reads was created before it. */
static void
restore_stateless(void)
{
	List	   *unrestored;
	ListCell   *lc;
	int64	   *ids;
	int			count = 0;

	if (pgt_notice_is_loading(MyDatabaseId))
		return;					/* we are told when it has ended */
	begin_transaction();
	check_extension();
	unrestored = pgt_stream_table_unrestored();
	ids = MemoryContextAlloc(TopMemoryContext,
							 sizeof(int64) * (list_length(unrestored) + 1));
	foreach(lc, unrestored)
		ids[count++] = ((PgtStreamTable *) lfirst(lc))->pgt_id;
	commit_transaction();
	for (int i = 0; i < count; i++)
		(void) run_guarded(restore_one, &ids[i], "restore a stream table");
	pfree(ids);
}

static void
compare_with_old(PgtNode *node, const PgtNode *old, bool outside)
{
	if (outside)
	{
		node->hard_failed = false;
		node->next_try = 0;
		node->skips = 0;
	}
	if (old == NULL)
		return;
	if (old->status != PGT_NODE_ACTIVE && node->status == PGT_NODE_ACTIVE)
	{
		node->changed = true;
		node->failures = 0;
		node->next_try = 0;
		keep_event("resumed", node, NULL, 0);
	}
	if (node->needs_reinit && !old->needs_reinit)
		keep_event("reinitialize_needed", node, NULL, 0);
}

/* outside: somebody else than our workers changed the catalog, so that what
 * failed for good may succeed now. */
static void
reload(bool outside)
{
	PgtGraph   *old = self.graph;

	if (outside)
		restore_stateless();
	begin_transaction();
	check_extension();
	self.graph = pgt_graph_load(TopMemoryContext, old);
	pgt_decoder_look(outside);
	commit_transaction();
	self.watch_at = 0;
	pgt_handover_look(outside);
	for (int i = 0; i < self.graph->nnodes; i++)
	{
		PgtNode    *node = &self.graph->nodes[i];

		compare_with_old(node, old ? pgt_graph_find(old, node->pgt_id) : NULL,
						 outside);
	}
	if (old == NULL)
		return;
	pgt_holds_tell(self.graph, old);
	self.events_now |= pgt_notify_any_kept();
	MemoryContextDelete(old->context);
}

static void
reload_if_told(void)
{
	bool		outside;

	if (pg_atomic_read_u32(&self.db->catalog_changed) == 0 &&
		pg_atomic_read_u32(&self.db->reload) == 0)
		return;
	pg_atomic_exchange_u32(&self.db->reload, 0);
	outside = pg_atomic_exchange_u32(&self.db->catalog_changed, 0) != 0;
	reload(outside);
}

/* What a refresh may have changed of one stream table. */
static void
reread_node(PgtNode *node)
{
	PgtStreamTable *st;

	begin_transaction();
	check_extension();
	st = pgt_stream_table_get(node->pgt_id, true);
	if (st != NULL)
	{
		PgtProgress *progress = pgt_progress_get(node->pgt_id);

		node->status = pgt_graph_status(st);
		node->needs_reinit = st->needs_reinit;
		node->populated = progress != NULL && progress->is_populated;
		node->consecutive_errors =
			progress != NULL ? progress->consecutive_errors : 0;
	}
	commit_transaction();
}

/* ---- results ---- */

static int64
doubled(int64 first, int64 last, int times)
{
	int64		value = first;

	while (times-- > 0 && value < last)
		value *= 2;
	return Min(value, last);
}

static void
wait_before_retry(PgtNode *node, int64 ms)
{
	node->changed = true;
	node->next_try = TimestampTzPlusMilliseconds(GetCurrentTimestamp(), ms);
}

/* A refresh that takes longer than its interval would run without pause and
 * take what others need: its interval is stretched until it fits. */
static void
adapt_interval(PgtNode *node, double duration_ms)
{
	double		interval = (double) node->interval_ms * node->slowdown;
	PgtEventField fields[] = {
		{"duration_ms", NULL, duration_ms},
		{"interval_ms", NULL, interval},
	};

	if (node->interval_ms <= 0 || !pgt_auto_backoff)
	{
		node->slowdown = 1;
		return;
	}
	if (duration_ms > interval)
	{
		keep_event("scheduler_falling_behind", node, fields, lengthof(fields));
		node->slowdown = Min(node->slowdown * 2, PGT_SLOWDOWN_LAST);
	}
	else if (node->slowdown > 1 && duration_ms < interval / 4)
		node->slowdown /= 2;
}

static void
note_consumed(const PgtNode *node, const PgtJobShare *share)
{
	for (int i = 0; i < node->nsources; i++)
	{
		PgtGraphSource *source = &self.graph->sources[node->sources[i]];

		source->clean_wanted = true;
		source->consumed += share->changes_consumed;
	}
}

/* Somebody refreshes it by hand, or has what it needs locked. */
static void
finish_skipped(PgtNode *node)
{
	wait_before_retry(node, doubled(PGT_SKIP_FIRST_MS, PGT_SKIP_LAST_MS,
									node->skips++));
}

/* duration_ms: of the whole job, which is what its interval must have room for */
static void
finish_ok(PgtNode *node, const PgtJobShare *share, double duration_ms)
{
	node->skips = 0;
	node->failures = 0;
	node->next_try = 0;
	if (!share->no_data)
	{
		self.refreshes_since_prune++;
		note_consumed(node, share);
		adapt_interval(node, duration_ms);
	}
	if (share->append_only_reverted)
		keep_event("append_only_reverted", node, NULL, 0);
	if (share->rows_inserted > 0 || share->rows_deleted > 0)
	{
		node->refreshes++;
		node->rows_inserted += share->rows_inserted;
		node->rows_deleted += share->rows_deleted;
	}
	if (node->populated && !node->needs_reinit)
		return;
	reread_node(node);
	/* it says there is nothing to do: do not ask at once again */
	if (pgt_graph_wants(node) && !node->changed)
		wait_before_retry(node, PGT_RETRY_FIRST_MS);
}

static void
finish_failed(PgtNode *node, const PgtJob *job)
{
	PgtEventField fields[] = {
		{"error", job->message},
		{"attempt", NULL, job->attempt},
		{"rolled_back", NULL, job->nmembers},
	};

	wait_before_retry(node, doubled(PGT_RETRY_FIRST_MS, PGT_RETRY_LAST_MS,
									node->failures));
	node->failures++;
	node->hard_failed = job->end == PGT_JOB_FAILED && !job->retry;
	self.refreshes_since_prune++;
	keep_event("refresh_failed", node, fields, 2);
	if (job->nmembers > 1)
		keep_event("diamond_partial_failure", node, fields, lengthof(fields));
	reread_node(node);
	if (node->status == PGT_NODE_ERROR)
		keep_event("auto_suspended", node, fields, 1);
}

static void
finish_member(PgtNode *node, const PgtJob *job, int member,
			  const PgtJobShare *share)
{
	bool		skipped = job->end == PGT_JOB_OK && strcmp(job->action, "SKIPPED") == 0;

	node->running = false;
	node->finished_at = job->finished_at;
	if (skipped)
		finish_skipped(node);
	else if (job->end == PGT_JOB_OK)
		finish_ok(node, share, job->duration_ms);
	else if (member == job->culprit)
		finish_failed(node, job);
	else
		node->changed = true;	/* undone with the culprit */
}

static void
fail_running(void *arg)
{
	PushActiveSnapshot(GetTransactionSnapshot());
	(void) pgt_history_fail_running(*(int64 *) arg,
									"the process that refreshed it ended");
	PopActiveSnapshot();
}

static void
check_unlogged(void *arg)
{
	PushActiveSnapshot(GetTransactionSnapshot());
	pgt_unlogged_check();
	PopActiveSnapshot();
}

static void
handle_result(const PgtJob *job, const PgtJobShare *shares)
{
	for (int i = 0; i < job->nmembers; i++)
	{
		int64		pgt_id = job->members[i];
		PgtNode    *node = pgt_graph_find(self.graph, pgt_id);

		if (job->end == PGT_JOB_DIED)
			(void) run_guarded(fail_running, &pgt_id, "close the history of a refresh");
		if (node != NULL)		/* else dropped meanwhile */
			finish_member(node, job, i, &shares[i]);
	}
}

static void
collect_results(void)
{
	static PgtJob job;
	static PgtJobShare shares[PGT_GROUP_MAX];

	while (pgt_pool_collect(&job, shares))
		handle_result(&job, shares);
}

/* ---- dispatch ---- */

/* A unit may have been put together while one of its members ran. */
static bool
is_running(const PgtNode *node)
{
	int			n;
	const int  *members = pgt_units_members(self.graph, node, &n);

	for (int i = 0; i < n; i++)
		if (self.graph->nodes[members[i]].running)
			return true;
	return false;
}

static bool
is_ready(const PgtNode *node, TimestampTz now)
{
	return pgt_units_is_leader(self.graph, node) && !is_running(node) &&
		node->due <= now && node->next_try <= now &&
		pgt_graph_unit_wants(self.graph, node) &&
		!pgt_graph_is_held(self.graph, node);
}

static int
compare_waiting(const void *a, const void *b)
{
	TimestampTz x = (*(PgtNode *const *) a)->wanted_since;
	TimestampTz y = (*(PgtNode *const *) b)->wanted_since;

	return x < y ? -1 : x > y;
}

/* What can run now, who waits longest first. */
static int
ready_nodes(PgtNode **ready, TimestampTz now)
{
	int			count = 0;

	for (int i = 0; i < self.graph->nnodes; i++)
	{
		PgtNode    *node = &self.graph->nodes[self.graph->order[i]];

		if (!is_ready(node, now))
		{
			node->wanted_since = 0;
			continue;
		}
		if (node->wanted_since == 0)
			node->wanted_since = now;
		ready[count++] = node;
	}
	if (count > 1)
		qsort(ready, count, sizeof(PgtNode *), compare_waiting);
	return count;
}

static void
fill_job(PgtJob *job, const PgtNode *node)
{
	const int  *members;

	memset(job, 0, sizeof(*job));
	members = pgt_units_members(self.graph, node, &job->nmembers);
	for (int i = 0; i < job->nmembers; i++)
	{
		const PgtNode *member = &self.graph->nodes[members[i]];

		job->members[i] = member->pgt_id;
		job->attempt = Max(job->attempt, member->failures + 1);
	}
	job->enqueued_at = node->wanted_since;
	strlcpy(job->name, node->name, PGT_JOB_NAME);
}

static void
start_node(PgtNode *node, PgtJob *job)
{
	TimestampTz now = GetCurrentTimestamp();
	int			n;
	const int  *members = pgt_units_members(self.graph, node, &n);

	fill_job(job, node);
	for (int i = 0; i < n; i++)
	{
		PgtNode    *member = &self.graph->nodes[members[i]];

		pgt_graph_take_changes(self.graph, self.db, member);
		member->running = true;
		member->started_at = now;
		member->wanted_since = 0;
	}
	/* what they read of each other is read in the same transaction */
	for (int i = 0; i < n; i++)
		self.graph->nodes[members[i]].changed = false;
}

/* In this process: no parallel mode, or no worker to be had. */
static void
run_alone(PgtNode *node)
{
	static PgtJob job;
	static PgtJobShare shares[PGT_GROUP_MAX];

	start_node(node, &job);
	job.started_at = node->started_at;
	job.worker_pid = MyProcPid;
	if (pgt_parallel_refresh_mode == PGT_PARALLEL_DRY_RUN)
		ereport(LOG,
				(errmsg("pg_trickle would give the refresh of %s to a worker",
						job.name)));
	pgt_worker_run(&job, shares);
	pgt_pool_record(&job);
	handle_result(&job, shares);
	self.again = true;
}

static PgtDispatch
dispatch(PgtNode *node)
{
	static PgtJob job;
	PgtDispatch outcome = PGT_DISPATCH_ALONE;
	int			worker = node->last_worker;

	if (pgt_parallel_refresh_mode == PGT_PARALLEL_ON)
		outcome = pgt_pool_reserve(&worker);
	if (outcome == PGT_DISPATCH_ALONE)
		run_alone(node);
	if (outcome != PGT_DISPATCH_WORKER)
		return outcome;
	start_node(node, &job);
	node->last_worker = worker;
	pgt_pool_send(worker, &job);
	return outcome;
}

static void
show_queue(PgtNode **waiting, int count)
{
	static PgtQueuedJob queue[PGT_QUEUE_SHOWN];
	int			shown = Min(count, PGT_QUEUE_SHOWN);

	for (int i = 0; i < shown; i++)
	{
		queue[i].pgt_id = waiting[i]->pgt_id;
		queue[i].enqueued_at = waiting[i]->wanted_since;
		queue[i].attempt = waiting[i]->failures + 1;
		strlcpy(queue[i].name, waiting[i]->name, PGT_JOB_NAME);
	}
	pgt_pool_show_queue(queue, shown, count);
}

/* After a refresh in this process times have moved: the rest is looked at
 * anew.  Returns whether something due could not be started. */
static bool
dispatch_due(TimestampTz now)
{
	PgtNode   **ready;
	int			count;
	int			next = 0;

	pgt_graph_compute_due(self.graph, now);
	if (!pgt_enabled || self.graph->nnodes == 0)
	{
		show_queue(NULL, 0);
		return false;
	}
	ready = palloc(sizeof(PgtNode *) * self.graph->nnodes);
	count = ready_nodes(ready, now);
	while (next < count && !self.again &&
		   dispatch(ready[next]) == PGT_DISPATCH_WORKER)
		next++;
	if (!self.again)
		show_queue(ready + next, count - next);
	pfree(ready);
	return next < count;
}

/* Nothing runs and nothing is due: who waits for that is told. */
static void
answer_drains(uint32 asked)
{
	if (pg_atomic_read_u32(&self.db->drained) == asked)
		return;
	for (int i = 0; i < self.graph->nnodes; i++)
		if (self.graph->nodes[i].running || self.graph->nodes[i].will_run)
			return;
	pg_atomic_write_u32(&self.db->drained, asked);
	ConditionVariableBroadcast(&pgt_shared->drained);
}

/* ---- house-keeping ---- */

static TimestampTz
clean_time(const PgtGraphSource *source)
{
	int			every = source->consumed >= PGT_CLEAN_BUSY_CHANGES ?
		PGT_CLEAN_BUSY_MS : PGT_CLEAN_EVERY_MS;

	return TimestampTzPlusMilliseconds(source->cleaned_at, every);
}

static bool
is_idle(const PgtNode *node)
{
	return node->status != PGT_NODE_ACTIVE && !node->needs_reinit;
}

static bool
any_idle(void)
{
	for (int i = 0; i < self.graph->nnodes; i++)
		if (is_idle(&self.graph->nodes[i]))
			return true;
	return false;
}

/* No refresh leads to a clean-up for a stream table that is suspended, while
 * its sources' buffers grow: they are looked at now and then. */
static void
watch_idle_readers(TimestampTz now)
{
	if (!any_idle() || self.watch_at > now)
		return;
	self.watch_at = TimestampTzPlusMilliseconds(now, PGT_WATCH_EVERY_MS);
	for (int i = 0; i < self.graph->nnodes; i++)
	{
		const PgtNode *node = &self.graph->nodes[i];

		for (int j = 0; is_idle(node) && j < node->nsources; j++)
			self.graph->sources[node->sources[j]].clean_wanted = true;
	}
}

static void
look_at_growth(void *arg)
{
	PushActiveSnapshot(GetTransactionSnapshot());
	pgt_alerts_growth(self.graph);
	PopActiveSnapshot();
}

static void
send_alerts(TimestampTz now)
{
	bool		any = pgt_notify_any_kept();

	pgt_alerts_late(self.graph, now);
	if (self.growth_at <= now && pgt_alerts_any_pending(self.graph))
	{
		self.growth_at = TimestampTzPlusMilliseconds(now, PGT_GROWTH_EVERY_MS);
		(void) run_guarded(look_at_growth, NULL, "look at the size of change buffers");
	}
	self.events_now |= !any && pgt_notify_any_kept();
}

typedef struct CleanWork
{
	Oid			relid;
	bool		done;
} CleanWork;

static void
clean_one(void *arg)
{
	CleanWork  *work = arg;

	work->done = pgt_buffer_clean(work->relid);
}

/* A source whose buffer was in use stays wanted and is tried again later. */
static void
clean_buffers(TimestampTz now)
{
	for (int i = 0; i < self.graph->nsources; i++)
	{
		PgtGraphSource *source = &self.graph->sources[i];
		CleanWork	work = {source->relid, false};

		if (!source->clean_wanted || clean_time(source) > now)
			continue;
		source->cleaned_at = now;
		source->consumed = 0;
		if (!run_guarded(clean_one, &work, "clean a change buffer") || work.done)
			source->clean_wanted = false;
	}
}

static void
prune(void *arg)
{
	TimestampTz older_than = GetCurrentTimestamp() -
		(int64) pgt_history_retention * USECS_PER_MINUTE;

	PushActiveSnapshot(GetTransactionSnapshot());
	*(int64 *) arg = pgt_history_prune(older_than, PGT_PRUNE_ROWS);
	PopActiveSnapshot();
}

static void
prune_history(TimestampTz now)
{
	int64		pruned = 0;
	bool		more;

	if (self.refreshes_since_prune == 0 || self.prune_at > now)
		return;
	more = run_guarded(prune, &pruned, "prune the refresh history") &&
		pruned >= PGT_PRUNE_ROWS;
	if (!more)
		self.refreshes_since_prune = 0;
	self.prune_at = TimestampTzPlusMilliseconds(now, more ? PGT_PRUNE_BUSY_MS :
												PGT_PRUNE_EVERY_MS);
}

/* ---- sleeping ---- */

static void
earlier(TimestampTz *when, TimestampTz candidate)
{
	*when = Min(*when, candidate);
}

/* When is there something to do if nobody sets the latch?  DT_NOEND: never. */
static TimestampTz
next_time(void)
{
	TimestampTz when = DT_NOEND;

	for (int i = 0; pgt_enabled && i < self.graph->nnodes; i++)
	{
		PgtNode    *node = &self.graph->nodes[i];
		TimestampTz start = Max(node->due, node->next_try);

		/* what is due and did not start waits for a latch, not for a time */
		if (!node->running && pgt_graph_unit_wants(self.graph, node) &&
			start > GetCurrentTimestamp())
			earlier(&when, start);
	}
	for (int i = 0; i < self.graph->nsources; i++)
		if (self.graph->sources[i].clean_wanted)
			earlier(&when, clean_time(&self.graph->sources[i]));
	if (completed_any() || pgt_notify_any_kept())
		earlier(&when, TimestampTzPlusMilliseconds(self.events_sent_at,
												   PGT_EVENTS_EVERY_MS));
	if (self.refreshes_since_prune > 0)
		earlier(&when, self.prune_at);
	if (any_idle())
		earlier(&when, self.watch_at);
	if (pgt_alerts_any_pending(self.graph))
		earlier(&when, self.growth_at);
	earlier(&when, pgt_alerts_late_time(self.graph));
	earlier(&when, self.decoder_at);
	earlier(&when, pgt_handover_time());
	return when;
}

static void
sleep_until_needed(bool waiting, uint32 wait_event)
{
	long		flush_in = pgstat_report_stat(false);
	TimestampTz when = next_time();
	TimestampTz now = GetCurrentTimestamp();
	long		timeout = -1;

	if (when != DT_NOEND)
		timeout = TimestampDifferenceMilliseconds(now, when);
	if (waiting)
		timeout = timeout < 0 ? pgt_scheduler_interval :
			Min(timeout, pgt_scheduler_interval);
	if (flush_in > 0)
		timeout = timeout < 0 ? flush_in : Min(timeout, flush_in);
	(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_EXIT_ON_PM_DEATH |
					 (timeout >= 0 ? WL_TIMEOUT : 0), timeout, wait_event);
}

/* ---- main ---- */

static void
end_if_asked(void)
{
	if (pgt_process_interrupts())
		end_with(PGT_END_TERMINATED);
	if (pg_atomic_read_u32(&self.db->leave) != 0)
		end_with(PGT_END_ASKED);
}

static void
schedule(void)
{
	uint32		wait_event = pgt_wait_event("PgTrickleSchedulerMain");
	MemoryContext context = AllocSetContextCreate(TopMemoryContext,
												  "pg_trickle scheduler pass",
												  ALLOCSET_SMALL_SIZES);

	for (;;)
	{
		TimestampTz now;
		bool		waiting;
		uint32		drain_asked;

		MemoryContextReset(context);
		MemoryContextSwitchTo(context);
		ResetLatch(MyLatch);
		end_if_asked();
		self.again = false;
		drain_asked = pg_atomic_read_u32(&self.db->drain_asked);
		reload_if_told();
		collect_results();
		now = GetCurrentTimestamp();
		pgt_graph_see_changes(self.graph, self.db, now);
		self.decoder_at = pgt_decoder_supervise(now);
		waiting = dispatch_due(now);
		if (pgt_handover_run(now))
			self.events_now = true;
		send_alerts(now);
		send_due_events(now);
		if (self.again)
			continue;
		answer_drains(drain_asked);
		watch_idle_readers(now);
		clean_buffers(now);
		prune_history(now);
		sleep_until_needed(waiting, wait_event);
	}
}

static void
set_running(void)
{
	LWLockAcquire(pgt_shared->lock, LW_EXCLUSIVE);
	self.db->state = PGT_DATABASE_RUNNING;
	LWLockRelease(pgt_shared->lock);
	pgt_shared_wake_launcher();
}

void
pgt_scheduler_main(Datum arg)
{
	Oid			dboid;
	int64		everyone = 0;

	if (!attach(DatumGetInt32(arg), &dboid))
		proc_exit(0);
	pgt_shared_own_process = true;
	pgt_wal_quiet = true;
	pgt_process_signals();
	BackgroundWorkerInitializeConnectionByOid(dboid, InvalidOid, 0);
	pgt_process_settings();
	SetConfigOption("application_name", "pg_trickle scheduler", PGC_USERSET,
					PGC_S_SESSION);

	begin_transaction();
	check_extension();
	commit_transaction();
	set_running();
	pgt_pool_init(self.db);
	pgt_pool_expel_strangers();
	(void) run_guarded(fail_running, &everyone, "close the refresh history");
	(void) run_guarded(check_unlogged, NULL, "look for unlogged tables emptied by a crash");
	pgstat_report_activity(STATE_IDLE, NULL);
	reload(true);
	schedule();
}
