/*
 * applier/refresh/refresh.c - one refresh of one stream table in the current
 * transaction.
 *
 * The order of steps is that of DESIGN.md section 3 and none other: refresh
 * lock, catalog rows read again, locks on everything that will be read
 * (lock.c), then the snapshot S, then the buffers with the latest snapshot,
 * then the work under S, then progress and frontier.  All of it commits
 * together with what the work wrote, or not at all.
 *
 * Memory: a context "pg_trickle refresh" below the caller's holds everything
 * of one refresh and is deleted at its end; on ERROR the transaction's abort
 * takes it.  Programs live longer (program_cache.c).
 *
 * On ERROR nothing is stored here; who called decides what to record
 * (worker.c) or lets the user's statement fail.
 */
#include "postgres.h"

#include "access/table.h"
#include "access/xact.h"
#include "access/xlog.h"
#include "catalog/pg_class.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "optimizer/optimizer.h"
#include "optimizer/plancat.h"
#include "portability/instr_time.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/resowner.h"
#include "utils/snapmgr.h"

#include "applier/capture/handover.h"
#include "applier/refresh/decoded.h"
#include "applier/refresh/hold.h"
#include "applier/refresh/identity.h"
#include "applier/refresh/immediate.h"
#include "applier/refresh/internal.h"
#include "applier/refresh/lock.h"
#include "applier/schedule/schedule.h"
#include "applier/settings.h"

/* one refresh under way */
typedef struct Refresh
{
	PgtStreamTable *st;
	PgtProgress *progress;
	List	   *dependencies;	/* of PgtDependency* */
	PgtRefreshMode mode;
	bool		wait;			/* for what is in the way */
	bool		decoded;		/* a source is captured from the WAL */
	bool		unknown;		/* ... and not known so far */
	PgtProgram *program;
	PgtFrontier *frontier;		/* of S */
	TimestampTz snapshot_time;
	PgtSourceDelta *deltas;
	int			ndeltas;
	int64		changes;
	int64		recorded;		/* changes as recorded: an update is one */
	bool		by_scheduler;	/* gates and watermarks hold it */
	const int64 *group;			/* all that are refreshed together, or NULL */
	int			ngroup;
	bool		from_elsewhere; /* the stored frontier means nothing here */
	const char *full_reason;	/* why FULL, when it is */
	bool		not_only_inserted;	/* a source had an update or a deletion */
	Tuplestorestate *passed_on; /* the stream table's own delta, for readers */
	instr_time	start;
} Refresh;

static double
elapsed_ms(instr_time start)
{
	instr_time	now;

	INSTR_TIME_SET_CURRENT(now);
	INSTR_TIME_SUBTRACT(now, start);
	return INSTR_TIME_GET_MILLISEC(now);
}

static bool
is_full(const PgtStreamTable *st)
{
	return strcmp(st->effective_mode, "FULL") == 0;
}

static bool
is_immediate(const PgtStreamTable *st)
{
	return strcmp(st->refresh_mode, "IMMEDIATE") == 0;
}

static bool
is_captured(const PgtDependency *d)
{
	return strcmp(d->source_type, "TABLE") == 0 ||
		strcmp(d->source_type, "STREAM_TABLE") == 0;
}

static bool
is_view(const PgtDependency *d)
{
	return strcmp(d->source_type, "VIEW") == 0;
}

/* A frontier only means something in the database that made it. */
static bool
is_from_elsewhere(const PgtStreamTable *st)
{
	return st->system_identifier != GetSystemIdentifier() ||
		st->database_oid != MyDatabaseId;
}

/* Does the result age without any change of a source? */
static bool
ages_by_itself(const PgtStreamTable *st, List *dependencies)
{
	ListCell   *lc;

	/* also a differential one: such sources are polled */
	foreach(lc, dependencies)
		if (!is_captured(lfirst(lc)) && !is_view(lfirst(lc)))
			return true;
	if (!is_full(st))
		return false;
	return contain_mutable_functions((Node *) pgt_refresh_load_query(st));
}

static bool
has_pending(List *dependencies, const PgtFrontier *frontier)
{
	ListCell   *lc;

	foreach(lc, dependencies)
	{
		const PgtDependency *d = lfirst(lc);

		if (is_captured(d) && pgt_buffer_has_pending(d->source_relid, frontier))
			return true;
	}
	return false;
}

bool
pgt_refresh_ages_by_itself(const PgtStreamTable *st)
{
	return ages_by_itself(st, pgt_dependency_of(st->pgt_id));
}

bool
pgt_refresh_is_needed(const PgtStreamTable *st)
{
	PgtProgress *p = pgt_progress_get(st->pgt_id);
	List	   *dependencies;

	if (!p->is_populated || p->frontier == NULL || st->needs_reinit ||
		is_from_elsewhere(st))
		return true;
	if (is_immediate(st))
		return !pgt_immediate_is_active(st);
	dependencies = pgt_dependency_of(st->pgt_id);
	return ages_by_itself(st, dependencies) ||
		has_pending(dependencies, p->frontier);
}

/* Rows the sources hold, by the planner's estimate. */
static double
estimate_source_rows(List *dependencies)
{
	double		total = 0;
	ListCell   *lc;

	foreach(lc, dependencies)
	{
		const PgtDependency *d = lfirst(lc);
		Relation	rel;
		BlockNumber pages;
		double		tuples = 0;
		double		allvisfrac;

		if (!is_captured(d))
			continue;
		rel = table_open(d->source_relid, NoLock);
		if (RELKIND_HAS_TABLE_AM(rel->rd_rel->relkind))
			estimate_rel_size(rel, NULL, &pages, &tuples, &allvisfrac);
		table_close(rel, NoLock);
		total += tuples;
	}
	return total;
}

/* ---- the steps ---- */

static void
begin_result(PgtRefreshResult *result, const char *action)
{
	memset(result, 0, sizeof(*result));
	result->action = action;
}

/*
 * Writers of an IMMEDIATE stream table lock tables first, so do we.  It starts
 * to be maintained by them at this transaction's commit: they must all have
 * ended, and the snapshot be taken after.
 */
static bool
lock_immediate(int64 pgt_id, bool wait)
{
	PgtStreamTable *st = pgt_stream_table_get(pgt_id, true);
	bool		active;

	if (st == NULL || !is_immediate(st))
		return true;
	active = pgt_immediate_is_active(st);
	if (IsolationUsesXactSnapshot())
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("cannot rebuild stream table \"%s\" at this isolation level", st->name),
				 errdetail("It is IMMEDIATE, and the transaction's snapshot may be older than what its writers committed."),
				 errhint("Refresh it at READ COMMITTED, or leave it to the scheduler.")));
	return pgt_immediate_lock_sources(st, !active, wait);
}

/* The frontier of S, which is active; be sure that it lies after the stored
 * one. */
static void
set_frontier(Refresh *r)
{
	r->frontier = pgt_frontier_from_snapshot(GetActiveSnapshot(),
											 pgt_capture_own_batches());
	if (!pgt_frontier_covers(r->frontier, r->progress->frontier))
		ereport(ERROR,
				(errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
				 errmsg("could not refresh stream table \"%s\"", r->st->name),
				 errdetail("It was refreshed after this transaction's snapshot was taken."),
				 errhint("Retry the transaction, or refresh at READ COMMITTED.")));
}

/* Take S. */
static void
take_snapshot(Refresh *r)
{
	if (is_immediate(r->st))
	{
		pgt_marker_bump(r->st);
		CommandCounterIncrement();
	}
	PushCopiedSnapshot(GetTransactionSnapshot());
	r->snapshot_time = GetCurrentTimestamp();
	set_frontier(r);
}

/* S of the group's first member. */
static void
share_snapshot(Refresh *r, const Refresh *first)
{
	r->snapshot_time = first->snapshot_time;
	set_frontier(r);
}

/* Read the buffers; NULL or the reason why the delta cannot be used. */
static const char *
read_deltas(Refresh *r)
{
	const char *reason = NULL;

	r->deltas = pgt_program_sources(r->program, &r->ndeltas);
	for (int i = 0; i < r->ndeltas; i++)
	{
		PgtSourceDelta *d = &r->deltas[i];
		PgtBufferRead read;

		d->delta = tuplestore_begin_heap(true, false, pgt_refresh_work_mem);
		pgt_buffer_read(d->relid, r->progress->frontier, r->frontier,
						d->columns, d->ncolumns, d->desc, d->delta, &read);
		d->changes = read.changes;
		r->changes += read.changes;
		r->recorded += read.recorded;
		r->not_only_inserted |= read.updates_or_deletes || read.truncated;
		if (read.lost && pgt_handover_note_lost(d->relid))
			pgt_schedule_notice_at_commit();
		if (read.lost)
			reason = read.lost_reason ? read.lost_reason : "changes of a source could not be captured";
		else if (read.truncated && reason == NULL)
			reason = psprintf("source \"%s\" was truncated", get_rel_name(d->relid));
		if (read.changes == 0)
		{
			tuplestore_end(d->delta);
			d->delta = NULL;
		}
	}
	return reason;
}

static bool
is_auto(const Refresh *r)
{
	return r->mode == PGT_REFRESH_DEFAULT &&
		strcmp(r->st->refresh_mode, "AUTO") == 0;
}

static bool
prefers_full(Refresh *r, int64 recorded)
{
	return pgt_cost_prefers_full(r->progress, recorded,
								 recorded < 1000 ? 0 : estimate_source_rows(r->dependencies),
								 &r->full_reason);
}

/* So much has changed that the delta need not even be read?  A TRUNCATE, or
 * something lost, among it leads to FULL as well. */
static bool
too_much_to_read(Refresh *r)
{
	int64		recorded = 0;
	ListCell   *lc;

	if (!is_auto(r))
		return false;
	foreach(lc, r->dependencies)
	{
		const PgtDependency *d = lfirst(lc);

		if (is_captured(d))
			recorded += pgt_buffer_count_many(d->source_relid,
											  r->progress->frontier,
											  r->frontier);
	}
	if (!prefers_full(r, recorded))
		return false;
	r->changes = r->recorded = recorded;
	return true;
}

/* Behind a gate changes are not in the buffer: all is read. */
static bool
capture_is_stopped(Refresh *r)
{
	Oid			source = pgt_hold_uncaptured(r->dependencies, GetActiveSnapshot());

	if (!OidIsValid(source))
		return false;
	r->full_reason = psprintf("capture of source \"%s\" is stopped by a gate",
							  get_rel_name(source));
	return true;
}

/* What shall this refresh do? */
static const char *
choose_action(Refresh *r)
{
	if (!r->progress->is_populated || r->progress->frontier == NULL)
		return "INITIALIZE";
	if (r->st->needs_reinit)
	{
		r->full_reason = r->st->reinit_reason;
		return "REINITIALIZE";
	}
	if (r->from_elsewhere)
	{
		r->full_reason = "the stored frontier belongs to another server or database";
		return "REINITIALIZE";
	}
	if (capture_is_stopped(r) || r->mode == PGT_REFRESH_FULL ||
		is_immediate(r->st))
		return "FULL";
	if (is_full(r->st))
	{
		r->full_reason = r->st->effective_mode_reason;
		if (!r->unknown && !ages_by_itself(r->st, r->dependencies) &&
			!has_pending(r->dependencies, r->progress->frontier))
			return "NO_DATA";
		return "FULL";
	}
	if (too_much_to_read(r))
		return "FULL";
	r->full_reason = read_deltas(r);
	if (r->full_reason == NULL && r->changes == 0 &&
		!ages_by_itself(r->st, r->dependencies))
		return "NO_DATA";
	if (r->full_reason == NULL && r->mode == PGT_REFRESH_DEFAULT)
		(void) pgt_cost_state_is_due(r->progress, &r->full_reason);
	if (r->progress->state_error != NULL)
		r->full_reason = psprintf("operator state could not be built: %s",
								  r->progress->state_error);
	if (r->full_reason != NULL)
		return "FULL";
	return is_auto(r) && prefers_full(r, r->recorded) ? "FULL" : "DIFFERENTIAL";
}

/* Whoever reads it within the group does so in this transaction. */
static bool
is_read_outside(const Refresh *r, List *readers)
{
	ListCell   *lc;

	foreach(lc, readers)
	{
		bool		inside = false;

		for (int i = 0; i < r->ngroup && !inside; i++)
			inside = r->group[i] == ((PgtDependency *) lfirst(lc))->pgt_id;
		if (!inside)
			return true;
	}
	return false;
}

static void
run_action(Refresh *r, const char *action, PgtRefreshResult *result)
{
	List	   *readers = pgt_dependency_readers(r->st->relid);
	bool		has_readers = readers != NIL;
	TupleDesc	desc = pgt_program_output_desc(r->program);
	Tuplestorestate *out = has_readers ? tuplestore_begin_heap(true, false, pgt_refresh_work_mem) : NULL;
	PgtRunResult run = {0};

	if (strcmp(action, "DIFFERENTIAL") == 0)
		pgt_program_run(r->program, r->deltas, r->ndeltas, out, &run);
	else
		r->progress->state_error = pgt_program_rebuild(r->program,
													   !is_full(r->st), out,
													   &run);

	result->rows_inserted = run.rows_inserted;
	result->rows_deleted = run.rows_deleted;
	if (has_readers && (run.rows_inserted > 0 || run.rows_deleted > 0))
	{
		if (!is_immediate(r->st) || pgt_dependency_deferred(r->st->relid) != NIL)
		{
			pgt_buffer_append_delta(r->st->relid, out, desc);
			if (is_read_outside(r, readers))
				pgt_capture_touch(r->st->relid);
		}
		r->passed_on = out;
	}
	if (out != NULL && r->passed_on == NULL)
		tuplestore_end(out);
}

/* IMMEDIATE stream tables on an IMMEDIATE one follow in this transaction, as
 * their own owners; after this one's progress has been stored. */
static void
pass_on(Refresh *r)
{
	if (r->passed_on == NULL)
		return;
	if (is_immediate(r->st))
		pgt_immediate_pass_on(r->st->relid, pgt_program_output_desc(r->program),
							  r->passed_on);
	tuplestore_end(r->passed_on);
	r->passed_on = NULL;
}

/* They may have spilled to files, which do not go with the memory. */
static void
end_deltas(Refresh *r)
{
	for (int i = 0; i < r->ndeltas; i++)
		if (r->deltas[i].delta != NULL)
			tuplestore_end(r->deltas[i].delta);
	r->ndeltas = 0;
}

static void
count_refresh(PgtProgress *p, const char *action, const PgtRefreshResult *result)
{
	if (strcmp(action, "DIFFERENTIAL") == 0)
		p->n_differential++;
	else
		p->n_full++;
	p->rows_inserted += result->rows_inserted;
	p->rows_deleted += result->rows_deleted;
	p->changes_consumed += result->changes_consumed;
	p->total_ms += result->duration_ms;
	p->max_ms = Max(p->max_ms, result->duration_ms);
	p->last_ms = result->duration_ms;
	p->last_action = pstrdup(action);
}

static void
store_progress(Refresh *r, const char *action, PgtRefreshResult *result)
{
	PgtProgress *p = r->progress;

	result->duration_ms = elapsed_ms(r->start);
	pgt_cost_learn(p, strcmp(action, "DIFFERENTIAL") != 0, r->recorded,
				   result->duration_ms);
	count_refresh(p, action, result);
	p->is_populated = true;
	p->frontier = r->frontier;
	p->data_timestamp = r->snapshot_time;
	p->last_refresh_at = GetCurrentTimestamp();
	p->consecutive_errors = 0;
	p->last_error = NULL;
	p->last_sqlstate = NULL;
	pgt_progress_update(p);
	if (r->st->needs_reinit || strcmp(r->st->status, "INITIALIZING") == 0 ||
		strcmp(r->st->status, "ERROR") == 0 || is_immediate(r->st))
		pgt_stream_table_set_status(r->st->pgt_id,
									r->st->suspended ? "SUSPENDED" : "ACTIVE",
									false, NULL);
}

/* Before the snapshot: after DDL capture may have to begin first. */
static void
get_program(Refresh *r)
{
	if (!r->st->needs_reinit && !is_from_elsewhere(r->st))
	{
		r->program = pgt_refresh_get_program(r->st);
		return;
	}
	r->from_elsewhere = is_from_elsewhere(r->st);
	/* a worker has no snapshot yet, and the DDL on state tables wants one */
	PushActiveSnapshot(GetTransactionSnapshot());
	r->program = pgt_refresh_reinitialise(r->st);
	PopActiveSnapshot();
	r->dependencies = pgt_dependency_of(r->st->pgt_id);
	(void) pgt_lock_relations(r->st->relid, r->dependencies, true);
}

/* What the snapshot shows may have come after the scheduler's decision. */
static bool
is_held(Refresh *r, PgtRefreshResult *result)
{
	char	   *reason = r->by_scheduler ?
		pgt_hold_reason(r->st->pgt_id, GetActiveSnapshot()) : NULL;

	if (reason != NULL)
		result->reason = reason;
	return reason != NULL;
}

/* Does the refresh go by what the buffers hold? */
static bool
reads_buffers(const Refresh *r)
{
	return r->progress->is_populated && r->progress->frontier != NULL &&
		!r->st->needs_reinit && !r->from_elsewhere && r->mode != PGT_REFRESH_FULL;
}

/* FULL only asks whether there is anything to do. */
static bool
waits_for_decoder(const Refresh *r)
{
	return r->wait && !is_full(r->st);
}

/* Before the snapshot: why the decoder is too far behind, or NULL. */
static char *
come_near(Refresh *r)
{
	r->decoded = r->decoded && reads_buffers(r);
	if (!r->decoded)
		return NULL;
	return pgt_decoded_come_near(r->st->name, waits_for_decoder(r));
}

/* After it: do the buffers hold all that it shows?  why: what come_near said. */
static bool
is_known(Refresh *r, char *why, PgtRefreshResult *result)
{
	if (r->decoded && why == NULL)
		why = pgt_decoded_wait(r->st->name, waits_for_decoder(r),
							   &r->progress->frontier_lsn);
	r->unknown = why != NULL;
	if (!r->unknown || is_full(r->st))
		return true;
	result->reason = why;
	return false;
}

/* Its program is compiled anew next time, without the expectation. */
static void
end_append_only(Refresh *r, PgtRefreshResult *result)
{
	r->st->append_only = false;
	pgt_stream_table_update(r->st);
	CommandCounterIncrement();
	UpdateActiveSnapshotCommandId();
	pgt_program_expect_appends(r->program, false);
	result->append_only_reverted = true;
	ereport(r->by_scheduler ? LOG : NOTICE,
			(errmsg("stream table \"%s\" is not append_only any more", r->st->name),
			 errdetail("Rows of a source were updated or deleted."),
			 errhint("pgtrickle.alter_stream_table(..., append_only => true) makes it so again.")));
}

/* What there is to do under the snapshot; locks and identity are held. */
static void
refresh_under_snapshot(Refresh *r, PgtRefreshResult *result)
{
	const char *action;

	pgt_program_check_rights(r->program);
	action = choose_action(r);
	result->action = action;
	result->changes_consumed = r->changes;
	if (r->st->append_only && r->not_only_inserted)
		end_append_only(r, result);
	if (r->st->append_only)
		pgt_program_expect_appends(r->program, true);
	if (strcmp(action, "NO_DATA") != 0)
	{
		run_action(r, action, result);
		result->reason = r->full_reason;
		store_progress(r, action, result);
	}
	else
		result->duration_ms = elapsed_ms(r->start);
	end_deltas(r);
}

/* From the catalog rows to the stored frontier; locks and identity are held. */
static void
refresh_locked(Refresh *r, PgtRefreshResult *result)
{
	char	   *why;

	get_program(r);
	why = come_near(r);
	take_snapshot(r);
	if (is_known(r, why, result) && !is_held(r, result))
		refresh_under_snapshot(r, result);
	PopActiveSnapshot();
}

static void
refresh_as_owner(Refresh *r, PgtRefreshResult *result)
{
	PgtIdentity identity;

	pgt_identity_enter(&identity, pgt_relation_owner(r->st->relid),
					   r->st->pinned_settings);
	refresh_locked(r, result);
	pgt_identity_leave(&identity);
	pass_on(r);
}

/* Errors that a delta can raise where the query does not (DESIGN.md 5), and
 * keys too long for the identity index, which FULL exchanges for a hash. */
static bool
is_data_exception(int sqlerrcode)
{
	return ERRCODE_TO_CATEGORY(sqlerrcode) == ERRCODE_DATA_EXCEPTION ||
		sqlerrcode == ERRCODE_CARDINALITY_VIOLATION ||
		sqlerrcode == ERRCODE_PROGRAM_LIMIT_EXCEEDED;
}

/*
 * Run in an internal subtransaction; on a class 22 error undo it and return
 * the error's message, so that the caller can run FULL instead.
 */
static char *
refresh_guarded(Refresh *r, PgtRefreshResult *result)
{
	MemoryContext context = CurrentMemoryContext;
	ResourceOwner owner = CurrentResourceOwner;
	char	   *volatile failure = NULL;

	BeginInternalSubTransaction(NULL);
	MemoryContextSwitchTo(context);
	PG_TRY();
	{
		refresh_as_owner(r, result);
		ReleaseCurrentSubTransaction();
		MemoryContextSwitchTo(context);
		CurrentResourceOwner = owner;
	}
	PG_CATCH();
	{
		ErrorData  *error;

		MemoryContextSwitchTo(context);
		error = CopyErrorData();
		FlushErrorState();
		RollbackAndReleaseCurrentSubTransaction();
		MemoryContextSwitchTo(context);
		CurrentResourceOwner = owner;
		if (!is_data_exception(error->sqlerrcode) || r->deltas == NULL)
			ReThrowError(error);
		failure = error->message;
	}
	PG_END_TRY();
	return failure;
}

static bool
load(Refresh *r, int64 pgt_id, PgtRefreshMode mode, bool wait)
{
	r->st = pgt_stream_table_get(pgt_id, true);
	if (r->st == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("the stream table was dropped while its refresh waited")));
	r->progress = pgt_progress_get(pgt_id);
	r->dependencies = pgt_dependency_of(pgt_id);
	r->mode = mode;
	r->wait = wait;
	if (!pgt_lock_relations(r->st->relid, r->dependencies, wait))
		return false;
	/* another session may have stopped its maintenance meanwhile */
	if (is_immediate(r->st) && !pgt_immediate_is_active(r->st) &&
		!pgt_immediate_lock_sources(r->st, true, wait))
		return false;
	r->decoded = !is_immediate(r->st) && pgt_decoded_any(r->dependencies);
	if (r->decoded)
		pgt_decoded_check_not_written(r->st->name, r->dependencies);
	if (!is_full(r->st))
		pgt_lock_check_not_written(r->st->name, r->dependencies);
	return true;
}

void
pgt_refresh_run(int64 pgt_id, PgtRefreshMode mode, bool wait,
				bool wait_for_tables, bool allow_full_retry, PgtRefreshResult *result)
{
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext,
												  "pg_trickle refresh",
												  ALLOCSET_DEFAULT_SIZES);
	MemoryContext caller = MemoryContextSwitchTo(context);
	Refresh		r = {0};
	char	   *failure = NULL;
	const char *reason;

	INSTR_TIME_SET_CURRENT(r.start);
	r.by_scheduler = !wait_for_tables;	/* who waits for nothing */
	begin_result(result, "SKIPPED");
	if (pgt_stream_table_is_immediate(pgt_id) &&
		!lock_immediate(pgt_id, wait_for_tables))
		result->reason = "a source of the stream table is being written by another session";
	else if (!pgt_lock_refresh(pgt_id, wait))
		result->reason = "another refresh is running";
	else if (!load(&r, pgt_id, mode, wait_for_tables))
		result->reason = "a table it reads or writes is locked by another session";
	else
	{
		if (allow_full_retry && mode != PGT_REFRESH_FULL && !is_full(r.st) &&
			!is_immediate(r.st))
			failure = refresh_guarded(&r, result);
		else
			refresh_as_owner(&r, result);
		if (failure != NULL)
		{
			instr_time	start = r.start;

			memset(&r, 0, sizeof(r));
			r.start = start;
			(void) load(&r, pgt_id, PGT_REFRESH_FULL, true);
			r.full_reason = psprintf("the delta raised: %s", failure);
			begin_result(result, "SKIPPED");
			refresh_as_owner(&r, result);
		}
	}

	reason = result->reason;
	MemoryContextSwitchTo(caller);
	result->reason = reason ? pstrdup(reason) : NULL;
	MemoryContextDelete(context);
}

/* ---- a group ---- */

static int
compare_ids(const void *a, const void *b)
{
	int64		x = *(const int64 *) a;
	int64		y = *(const int64 *) b;

	return x < y ? -1 : x > y;
}

/* Refresh locks in order of id, then those on tables. */
static const char *
lock_group(Refresh *r, PgtGroupMember *members, int n, PgtGroupCaller caller,
		   int *current)
{
	int64	   *ids = palloc(sizeof(int64) * n);
	bool		patient = caller == PGT_GROUP_SESSION;

	for (int i = 0; i < n; i++)
		ids[i] = members[i].pgt_id;
	qsort(ids, n, sizeof(int64), compare_ids);
	for (int i = 0; i < n; i++)
		if (!pgt_lock_refresh(ids[i], patient))
			return "another refresh of a member is running";
	for (*current = 0; *current < n; (*current)++)
	{
		Refresh    *one = &r[*current];

		if (!load(one, members[*current].pgt_id, members[*current].mode, patient))
			return "a table that a member reads or writes is locked by another session";
		if (is_immediate(one->st))
			return "a member is maintained by its writers now";
		one->full_reason = members[*current].reason;
		one->by_scheduler = !patient;
	}
	return NULL;
}

static char *
prepare_member(Refresh *r)
{
	PgtIdentity identity;
	char	   *why;

	INSTR_TIME_SET_CURRENT(r->start);
	pgt_identity_enter(&identity, pgt_relation_owner(r->st->relid),
					   r->st->pinned_settings);
	get_program(r);
	why = come_near(r);
	pgt_identity_leave(&identity);
	return why;
}

/* The members before have written: what they wrote is to be seen under the
 * same snapshot, and their batches are among those this one absorbs. */
static void
run_member(Refresh *r, const Refresh *first, PgtRefreshResult *result)
{
	PgtIdentity identity;

	INSTR_TIME_SET_CURRENT(r->start);
	CommandCounterIncrement();
	UpdateActiveSnapshotCommandId();
	if (r != first)
		share_snapshot(r, first);
	pgt_identity_enter(&identity, pgt_relation_owner(r->st->relid),
					   r->st->pinned_settings);
	refresh_under_snapshot(r, result);
	pgt_identity_leave(&identity);
	pass_on(r);
}

/* Those that had nothing to do stand at the snapshot as well. */
static void
advance_idle_members(Refresh *r, const PgtGroupMember *members, int n)
{
	bool		any = false;

	for (int i = 0; i < n; i++)
		any |= strcmp(members[i].result.action, "NO_DATA") != 0;
	for (int i = 0; any && i < n; i++)
	{
		if (strcmp(members[i].result.action, "NO_DATA") != 0)
			continue;
		r[i].progress->frontier = r[i].frontier;
		r[i].progress->data_timestamp = r[i].snapshot_time;
		pgt_progress_update(r[i].progress);
	}
}

/* why: of each, what came of going near the decoder */
static const char *
held_member(Refresh *r, PgtGroupMember *members, char **why, int n)
{
	for (int i = 0; i < n; i++)
		if (!is_known(&r[i], why[i], &members[i].result) ||
			is_held(&r[i], &members[i].result))
			return members[i].result.reason;
	return NULL;
}

static const char *
refresh_members(Refresh *r, PgtGroupMember *members, int n, int *current)
{
	int64	   *ids = palloc(sizeof(int64) * n);
	char	  **why = palloc0(sizeof(char *) * n);
	const char *held;

	for (int i = 0; i < n; i++)
		ids[i] = members[i].pgt_id;
	for (*current = 0; *current < n; (*current)++)
	{
		r[*current].group = ids;
		r[*current].ngroup = n;
		why[*current] = prepare_member(&r[*current]);
	}
	*current = 0;
	take_snapshot(&r[0]);
	held = held_member(r, members, why, n);
	for (; held == NULL && *current < n; (*current)++)
		run_member(&r[*current], &r[0], &members[*current].result);
	if (held == NULL)
		advance_idle_members(r, members, n);
	PopActiveSnapshot();
	return held;
}

void
pgt_refresh_run_group(PgtGroupMember *members, int n, PgtGroupCaller caller_kind,
					  int *current)
{
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext,
												  "pg_trickle group refresh",
												  ALLOCSET_DEFAULT_SIZES);
	MemoryContext caller = MemoryContextSwitchTo(context);
	Refresh    *r = palloc0(sizeof(Refresh) * n);
	const char *skipped;

	*current = 0;
	for (int i = 0; i < n; i++)
		begin_result(&members[i].result, "SKIPPED");
	skipped = lock_group(r, members, n, caller_kind, current);
	if (skipped == NULL)
		skipped = refresh_members(r, members, n, current);
	MemoryContextSwitchTo(caller);
	for (int i = 0; i < n; i++)
	{
		const char *reason = skipped ? skipped : members[i].result.reason;

		members[i].result.reason = reason ? pstrdup(reason) : NULL;
	}
	MemoryContextDelete(context);
}

/* ---- in a session ---- */

static void
record_history(int64 pgt_id, const char *initiated_by, TimestampTz start,
			   const PgtRefreshResult *result)
{
	PgtRefreshRecord record = {
		.pgt_id = pgt_id,
		.start_time = start,
		.end_time = GetCurrentTimestamp(),
		.action = result->action,
		.status = strcmp(result->action, "SKIPPED") == 0 ? "SKIPPED" : "COMPLETED",
		.initiated_by = initiated_by,
		.rows_inserted = result->rows_inserted,
		.rows_deleted = result->rows_deleted,
		.changes_consumed = result->changes_consumed,
		.duration_ms = result->duration_ms,
		.reason = result->reason,
	};

	pgt_history_insert(&record);
}

void
pgt_refresh_in_transaction(int64 pgt_id, PgtRefreshMode mode, bool wait,
						   const char *initiated_by, PgtRefreshResult *result)
{
	TimestampTz start = GetCurrentTimestamp();

	pgt_refresh_run(pgt_id, mode, wait, true, true, result);
	/* where nothing happened nothing is written: the transaction stays read-only */
	if (strcmp(result->action, "NO_DATA") == 0)
		return;
	record_history(pgt_id, initiated_by, start, result);
	CommandCounterIncrement();
}

void
pgt_refresh_group_in_transaction(const int64 *pgt_ids, int n,
								 const char *initiated_by,
								 PgtRefreshResult *results)
{
	TimestampTz start = GetCurrentTimestamp();
	PgtGroupMember *members = palloc0(sizeof(PgtGroupMember) * n);
	int			current;

	for (int i = 0; i < n; i++)
		members[i].pgt_id = pgt_ids[i];
	pgt_refresh_run_group(members, n, PGT_GROUP_SESSION, &current);
	for (int i = 0; i < n; i++)
	{
		results[i] = members[i].result;
		if (strcmp(results[i].action, "NO_DATA") != 0)
			record_history(pgt_ids[i], initiated_by, start, &results[i]);
	}
	CommandCounterIncrement();
}

PgtProgram *
pgt_refresh_program_for(int64 pgt_id)
{
	PgtStreamTable *st = pgt_stream_table_get(pgt_id, false);
	PgtIdentity identity;
	PgtProgram *program;

	pgt_identity_enter(&identity, pgt_relation_owner(st->relid), st->pinned_settings);
	program = pgt_refresh_compile(st);
	pgt_identity_leave(&identity);
	return program;
}
