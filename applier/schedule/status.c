/*
 * applier/schedule/status.c - what the schedule module shows of itself.
 *
 * Reads shared memory under the lock, copies, and builds rows after.  Without
 * preloading there is nothing to show.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/pg_type.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"
#include "utils/tuplestore.h"

#include "applier/catalog/catalog.h"
#include "applier/schedule/graph.h"
#include "applier/schedule/schedule.h"
#include "applier/schedule/shared.h"
#include "applier/settings.h"

PG_FUNCTION_INFO_V1(pgt_worker_pool_status);
PG_FUNCTION_INFO_V1(pgt_parallel_job_status);
PG_FUNCTION_INFO_V1(pgt_units_status);

#define POOL_COLUMNS	6
#define JOB_COLUMNS		12
#define UNIT_COLUMNS	4

/* ---- for monitoring ---- */

bool
pgt_scheduler_running(Oid dboid)
{
	PgtDatabaseSlot *db = pgt_shared_database(dboid);
	bool		running;

	if (db == NULL)
		return false;
	LWLockAcquire(pgt_shared->lock, LW_SHARED);
	running = db->state == PGT_DATABASE_RUNNING &&
		pg_atomic_read_u32(&db->dboid) == dboid;
	LWLockRelease(pgt_shared->lock);
	return running;
}

/* dboid InvalidOid: of the whole server.  Under the lock. */
static int
count_workers(Oid dboid, int *idle)
{
	int			active = 0;

	*idle = 0;
	for (int i = 0; i < pgt_shared->nslots; i++)
	{
		PgtWorkerSlot *slot = &pgt_shared->workers[i];

		if (!slot->in_use || (OidIsValid(dboid) && slot->dboid != dboid))
			continue;
		if (slot->state == PGT_JOB_ASSIGNED || slot->state == PGT_JOB_RUNNING)
			active++;
		else
			(*idle)++;
	}
	return active;
}

static int
count_queued(Oid dboid)
{
	int			queued = 0;

	for (int i = 0; i < pgt_shared->nslots; i++)
	{
		PgtDatabaseSlot *db = &pgt_shared->databases[i];

		if (!OidIsValid(dboid) || pg_atomic_read_u32(&db->dboid) == dboid)
			queued += db->queued;
	}
	return queued;
}

int
pgt_pool_active(Oid dboid, int *idle, int *queued)
{
	int			active;

	*idle = *queued = 0;
	if (pgt_shared == NULL)
		return 0;
	LWLockAcquire(pgt_shared->lock, LW_SHARED);
	active = count_workers(dboid, idle);
	*queued = count_queued(dboid);
	LWLockRelease(pgt_shared->lock);
	return active;
}

int64
pgt_pool_starved_since(Oid dboid)
{
	int64		since = 0;
	PgtDatabaseSlot *db;

	if (pgt_shared == NULL)
		return 0;
	db = OidIsValid(dboid) ? pgt_shared_database(dboid) : NULL;
	LWLockAcquire(pgt_shared->lock, LW_SHARED);
	if (!OidIsValid(dboid))
		since = pgt_shared->starved_since;
	else if (db != NULL)
		since = db->starved_since;
	LWLockRelease(pgt_shared->lock);
	return since;
}

/* ---- worker_pool_status ---- */

static const char *
parallel_mode_name(void)
{
	switch (pgt_parallel_refresh_mode)
	{
		case PGT_PARALLEL_ON:
			return "on";
		case PGT_PARALLEL_DRY_RUN:
			return "dry_run";
		default:
			return "off";
	}
}

/* Of the whole server: that is what the cap is about. */
Datum
pgt_worker_pool_status(PG_FUNCTION_ARGS)
{
	TupleDesc	desc;
	Datum		values[POOL_COLUMNS];
	bool		nulls[POOL_COLUMNS] = {0};
	int			idle;
	int			queued;
	int			active = pgt_pool_active(InvalidOid, &idle, &queued);

	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");
	values[0] = Int32GetDatum(active);
	values[1] = Int32GetDatum(idle);
	values[2] = Int32GetDatum(pgt_max_dynamic_refresh_workers);
	values[3] = Int32GetDatum(pgt_max_concurrent_refreshes);
	values[4] = Int32GetDatum(queued);
	values[5] = CStringGetTextDatum(parallel_mode_name());
	PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(desc),
													  values, nulls)));
}

/* ---- parallel_job_status ---- */

typedef struct ShownJob
{
	PgtJob		job;
	const char *status;
} ShownJob;

typedef struct JobList
{
	int			count;
	int			room;
	ShownJob   *jobs;
} JobList;

static ShownJob *
next_shown(JobList *list, const PgtJob *job, const char *status)
{
	ShownJob   *shown;

	if (list->count == list->room)
		return NULL;
	shown = &list->jobs[list->count++];
	shown->job = *job;
	shown->status = status;
	return shown;
}

static const char *
end_name(PgtJobEnd end)
{
	switch (end)
	{
		case PGT_JOB_OK:
			return "SUCCEEDED";
		case PGT_JOB_FAILED:
			return "FAILED";
		default:
			return "WORKER_ENDED";
	}
}

static void
copy_queue(JobList *list)
{
	PgtDatabaseSlot *db = pgt_shared_database(MyDatabaseId);

	for (int i = 0; db != NULL && i < Min(db->queued, PGT_QUEUE_SHOWN); i++)
	{
		PgtJob		job = {0};

		job.nmembers = 1;
		job.members[0] = db->queue[i].pgt_id;
		job.attempt = db->queue[i].attempt;
		job.enqueued_at = db->queue[i].enqueued_at;
		strlcpy(job.name, db->queue[i].name, PGT_JOB_NAME);
		next_shown(list, &job, "QUEUED");
	}
}

static void
copy_running(JobList *list)
{
	for (int i = 0; i < pgt_shared->nslots; i++)
	{
		PgtWorkerSlot *slot = &pgt_shared->workers[i];

		if (!slot->in_use || slot->dboid != MyDatabaseId)
			continue;
		if (slot->state == PGT_JOB_ASSIGNED || slot->state == PGT_JOB_RUNNING)
			next_shown(list, &slot->job, "RUNNING");
	}
}

static void
copy_finished(JobList *list, TimestampTz since)
{
	for (int i = 1; i <= PGT_JOBS_KEPT; i++)
	{
		/* the newest first */
		PgtFinishedJob *entry =
			&pgt_shared->finished[(pgt_shared->next_finished + PGT_JOBS_KEPT - i) %
								  PGT_JOBS_KEPT];

		if (entry->dboid == MyDatabaseId && entry->job.finished_at >= since)
			next_shown(list, &entry->job, end_name(entry->job.end));
	}
}

static Datum
time_or_null(TimestampTz when, bool *isnull)
{
	*isnull = when == 0;
	return TimestampTzGetDatum(when);
}

/* Names of today; of one that was dropped since, none. */
static Datum
members_of(const PgtJob *job)
{
	Datum	   *names = palloc(sizeof(Datum) * (job->nmembers + 1));
	int			n = 0;

	if (job->nmembers == 1)
		names[n++] = CStringGetTextDatum(job->name);
	for (int i = 0; job->nmembers > 1 && i < job->nmembers; i++)
	{
		PgtStreamTable *st = pgt_stream_table_get(job->members[i], true);

		if (st != NULL)
			names[n++] = CStringGetTextDatum(quote_qualified_identifier(st->schema, st->name));
	}
	return PointerGetDatum(construct_array(names, n, TEXTOID, -1, false,
										   TYPALIGN_INT));
}

/* What the refresh did, or what becomes of it; error messages are for those
 * who may read the history. */
static const char *
outcome_of(const PgtJob *job)
{
	if (job->end == PGT_JOB_OK)
		return job->action;
	return job->retry ? "RETRY" : "GIVEN_UP";
}

static void
put_job(ReturnSetInfo *rsinfo, const ShownJob *shown)
{
	const PgtJob *job = &shown->job;
	Datum		values[JOB_COLUMNS] = {0};
	bool		nulls[JOB_COLUMNS] = {0};
	bool		ended = job->finished_at != 0;

	values[0] = Int64GetDatum(job->job_id);
	nulls[0] = job->job_id == 0;
	values[1] = CStringGetTextDatum(job->name);
	values[2] = CStringGetTextDatum(job->nmembers > 1 ? "group" : "stream_table");
	values[3] = CStringGetTextDatum(shown->status);
	values[4] = members_of(job);
	values[5] = Int32GetDatum(job->attempt);
	values[6] = Int32GetDatum(job->worker_pid);
	nulls[6] = job->worker_pid == 0;
	values[7] = time_or_null(job->enqueued_at, &nulls[7]);
	values[8] = time_or_null(job->started_at, &nulls[8]);
	values[9] = time_or_null(job->finished_at, &nulls[9]);
	values[10] = Float8GetDatum((job->finished_at - job->started_at) / 1000.0);
	nulls[10] = !ended || job->started_at == 0;
	values[11] = CStringGetTextDatum(outcome_of(job));
	nulls[11] = !ended;
	tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
}

static void
copy_jobs(JobList *list, TimestampTz since)
{
	LWLockAcquire(pgt_shared->lock, LW_SHARED);
	copy_queue(list);
	copy_running(list);
	copy_finished(list, since);
	LWLockRelease(pgt_shared->lock);
}

/* Jobs of this database: queued, running, and of the finished ones those that
 * are still remembered (the last 256 of the server) and not older than the
 * argument. */
Datum
pgt_parallel_job_status(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	TimestampTz since;
	JobList		list = {0};

	since = DatumGetTimestampTz(DirectFunctionCall2(timestamptz_mi_interval,
													TimestampTzGetDatum(GetCurrentTimestamp()),
													PG_GETARG_DATUM(0)));
	InitMaterializedSRF(fcinfo, 0);
	if (pgt_shared == NULL)
		return (Datum) 0;
	list.room = PGT_QUEUE_SHOWN + pgt_shared->nslots + PGT_JOBS_KEPT;
	list.jobs = palloc(sizeof(ShownJob) * list.room);
	copy_jobs(&list, since);
	for (int i = 0; i < list.count; i++)
		put_job(rsinfo, &list.jobs[i]);
	return (Datum) 0;
}

/* ---- units ---- */

static void
put_unit(ReturnSetInfo *rsinfo, const PgtGraph *graph, const PgtUnit *unit)
{
	int64		first = PG_INT64_MAX;

	for (int i = 0; i < unit->nmembers; i++)
		first = Min(first, graph->nodes[unit->members[i]].pgt_id);
	for (int i = 0; i < unit->nmembers; i++)
	{
		const PgtNode *member = &graph->nodes[unit->members[i]];
		Datum		values[UNIT_COLUMNS];
		bool		nulls[UNIT_COLUMNS] = {0};

		values[0] = Int64GetDatum(first);
		values[1] = Int64GetDatum(member->pgt_id);
		values[2] = BoolGetDatum(member->converges);
		values[3] = CStringGetTextDatum(unit->slowest ? "slowest" : "fastest");
		tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
	}
}

/* _units(): what is refreshed together, as a scheduler that looks now has it. */
Datum
pgt_units_status(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	PgtGraph   *graph;

	InitMaterializedSRF(fcinfo, 0);
	graph = pgt_graph_load(CurrentMemoryContext, NULL);
	for (int i = 0; i < graph->nunits; i++)
		put_unit(rsinfo, graph, &graph->units[i]);
	MemoryContextDelete(graph->context);
	return (Datum) 0;
}
