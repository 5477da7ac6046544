/*
 * applier/refresh/maintenance.c - changes of a statement become changes of the
 * IMMEDIATE stream tables that read what was changed.
 *
 * Order: locks on all tables that may be read or written, then stream tables
 * one by one, those that read others after them.  For each: its lock, a
 * snapshot, the deltas of its sources, its program.  Its own delta is a change
 * like any other, for stream tables that read it.
 *
 * Locks: a writer holds RowExclusiveLock on the source it wrote before it asks
 * for a stream table's lock, so every other path (refresh, alter, drop) takes
 * its locks on tables first, too.  Stream tables are locked in order of level
 * and id: two statements cannot block each other here.
 *
 * Each stream table has absorbed the changes up to a number; what a user's trigger
 * on one of them writes to a source comes after and is seen by the next round.
 *
 * The work is done as the stream table's owner.  Errors abort the writer's
 * statement and say which stream table they come from.
 */
#include "postgres.h"

#include "access/table.h"
#include "access/xact.h"
#include "catalog/pg_authid.h"
#include "catalog/pg_inherits.h"
#include "miscadmin.h"
#include "storage/lmgr.h"
#include "utils/acl.h"
#include "utils/inval.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/resowner.h"
#include "utils/snapmgr.h"

#include "applier/capture/capture.h"
#include "applier/refresh/identity.h"
#include "applier/refresh/immediate.h"
#include "applier/refresh/internal.h"
#include "applier/refresh/lock.h"

/* Statements that change more rows take the whole stream table. */
#define MANY_CHANGES 5000

typedef struct Task
{
	PgtReader  *reader;			/* NULL: nothing to maintain any more */
	int64		pgt_id;
	int			absorbed;		/* changes before this number */
} Task;

typedef struct Work
{
	List	   *tasks;			/* of Task* */
	uint64		generation;		/* of the readers in them */
} Work;

/* ---- which stream tables ---- */

static Task *
find_task(const Work *work, int64 pgt_id)
{
	ListCell   *lc;

	foreach(lc, work->tasks)
		if (((Task *) lfirst(lc))->pgt_id == pgt_id)
			return lfirst(lc);
	return NULL;
}

/* The readers of a source, and theirs. */
static void
add_readers(Work *work, Oid source)
{
	ListCell   *lc;

	foreach(lc, pgt_readers_of(source))
	{
		PgtReader  *reader = lfirst(lc);
		Task	   *task = find_task(work, reader->pgt_id);

		if (task != NULL || !reader->active)
			continue;
		task = palloc0(sizeof(Task));
		task->pgt_id = reader->pgt_id;
		task->reader = reader;
		work->tasks = lappend(work->tasks, task);
		add_readers(work, reader->st->relid);
	}
}

static void
find_tasks(Work *work)
{
	ListCell   *lc;

	work->generation = pgt_readers_generation();
	foreach(lc, work->tasks)
	{
		Task	   *task = lfirst(lc);

		task->reader = pgt_readers_get(task->pgt_id);
		if (task->reader != NULL && !task->reader->active)
			task->reader = NULL;
	}
	for (int i = 0; i < pgt_changes_count(); i++)
		foreach(lc, pgt_changes_get(i)->sources)
			add_readers(work, lfirst_oid(lc));
}

/* ---- locks on tables ---- */

static void
lock_source(const PgtDependency *d)
{
	LockRelationOid(d->source_relid, AccessShareLock);
	if (strcmp(d->source_type, "TABLE") == 0 && has_subclass(d->source_relid))
		(void) find_all_inheritors(d->source_relid, AccessShareLock, NULL);
}

static void
lock_tables(const PgtReader *reader)
{
	ListCell   *lc;

	LockRelationOid(reader->st->relid, RowExclusiveLock);
	foreach(lc, reader->dependencies)
		lock_source(lfirst(lc));
}

/* Taking locks may bring news of who reads what: look again. */
static void
find_and_lock(Work *work)
{
	do
	{
		ListCell   *lc;

		find_tasks(work);
		foreach(lc, work->tasks)
		{
			Task	   *task = lfirst(lc);

			if (task->reader != NULL)
				lock_tables(task->reader);
		}
	} while (work->generation != pgt_readers_generation());
}

/* ---- one stream table ---- */

typedef struct Run
{
	PgtReader  *reader;
	PgtProgram *program;
	PgtSourceDelta *deltas;
	int			ndeltas;
	bool		truncated;
	bool		full;
	bool		concurrent;		/* groups are locked, not the stream table */
	bool		show_query;		/* to the writer, in an error's context */
	Tuplestorestate *out;
} Run;

static void
add_context(void *arg)
{
	const Run  *run = arg;
	const PgtStreamTable *st = run->reader->st;

	if (run->show_query)
		errcontext("maintenance of IMMEDIATE stream table \"%s.%s\", query: %s",
				   st->schema, st->name, st->defining_query);
	else
		errcontext("maintenance of IMMEDIATE stream table \"%s.%s\"",
				   st->schema, st->name);
}

/* As the catalog's views: others' queries are not for everybody to read. */
static bool
may_see_query(Oid user, Oid owner)
{
	return user == owner || has_privs_of_role(user, owner) ||
		has_privs_of_role(user, ROLE_PG_MONITOR);
}

/* False: nothing that the stream table reads has changed. */
static bool
collect_deltas(Run *run, int from)
{
	bool		changed = false;

	run->deltas = pgt_program_sources(run->program, &run->ndeltas);
	for (int i = 0; i < run->ndeltas; i++)
	{
		if (!pgt_changes_collect(from, &run->deltas[i]))
			run->truncated = true;
		if (run->deltas[i].delta != NULL)
			changed = true;
	}
	return changed || run->truncated;
}

static void
end_deltas(Run *run)
{
	for (int i = 0; i < run->ndeltas; i++)
		if (run->deltas[i].delta != NULL)
			tuplestore_end(run->deltas[i].delta);
	run->ndeltas = 0;
}

/*
 * State may be impossible to build where the query is lucky not to evaluate
 * something: as long as it is so, each statement computes the rows anew.
 */
static void
rebuild(Run *run)
{
	PgtReader  *reader = run->reader;
	PgtRunResult result;
	char	   *state_error = pgt_program_rebuild(run->program, true, run->out,
												  &result);
	PgtProgress *p;

	if ((state_error != NULL) == reader->stateless)
		return;
	p = pgt_progress_get(reader->pgt_id);
	p->state_error = state_error;
	pgt_progress_update(p);
	/* writers are told */
	pgt_stream_table_set_status(reader->pgt_id, reader->st->status, false, NULL);
}

static void
run_program(Run *run)
{
	PgtRunResult result;

	if (run->full)
		rebuild(run);
	else if (run->concurrent)
		pgt_program_run_concurrently(run->program, run->deltas, run->ndeltas,
									 run->out, &result);
	else
		pgt_program_run(run->program, run->deltas, run->ndeltas, run->out, &result);
}

/*
 * Where several inputs have changed at once the delta pairs rows that never
 * existed together, and state is kept of rows that the query may never ask for:
 * both may raise what the query does not.  Then what was done is undone and the
 * stream table rebuilt, which raises what the query raises.
 */
static void
run_guarded(Run *run)
{
	MemoryContext context = CurrentMemoryContext;
	ResourceOwner owner = CurrentResourceOwner;

	BeginInternalSubTransaction(NULL);
	MemoryContextSwitchTo(context);
	PG_TRY();
	{
		run_program(run);
		ReleaseCurrentSubTransaction();
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
		if (ERRCODE_TO_CATEGORY(error->sqlerrcode) != ERRCODE_DATA_EXCEPTION &&
			error->sqlerrcode != ERRCODE_CARDINALITY_VIOLATION)
			ReThrowError(error);
		run->full = true;
	}
	PG_END_TRY();
	MemoryContextSwitchTo(context);
	CurrentResourceOwner = owner;
	if (!run->full)
		return;
	if (run->out != NULL)
		tuplestore_clear(run->out);
	run_program(run);
}

/* Its own delta, to those that read it. */
static void
pass_on(Run *run)
{
	PgtReader  *reader = run->reader;
	Oid			relid = reader->st->relid;
	TupleDesc	desc = pgt_program_output_desc(run->program);

	if (run->out == NULL)
		return;
	if (tuplestore_tuple_count(run->out) == 0)
	{
		tuplestore_end(run->out);
		return;
	}
	if (reader->has_deferred)
	{
		pgt_buffer_append_delta(relid, run->out, desc);
		pgt_capture_touch(relid);
	}
	pgt_changes_add_delta(relid, desc, run->out);
}

/* The stream table's lock is held, its program and deltas are there. */
static void
maintain_locked(Run *run)
{
	PgtReader  *reader = run->reader;

	run->full = run->truncated || reader->stateless;
	if (!run->concurrent && (run->full || !pgt_program_locks_groups(run->program)))
		pgt_marker_bump(reader->st);
	CommandCounterIncrement();
	PushActiveSnapshot(GetTransactionSnapshot());
	if (reader->read_on)
		run->out = pgt_changes_new_store();
	if (!run->full &&
		(pgt_program_is_eager(run->program) ||
		 pgt_program_changed_inputs(run->program, run->deltas, run->ndeltas) > 1))
		run_guarded(run);
	else
		run_program(run);
	PopActiveSnapshot();
	pass_on(run);
}

/*
 * Locking many groups one by one costs more than it gives; but whoever already
 * shares the stream table with others must not ask for more: two of them would
 * wait for each other.  At REPEATABLE READ the groups' locks tell what is too
 * new for the snapshot.
 */
static bool
prefers_groups(const Run *run)
{
	int64		changes = 0;

	if (!pgt_program_locks_groups(run->program) || run->truncated ||
		run->reader->stateless)
		return false;
	for (int i = 0; i < run->ndeltas; i++)
		changes += run->deltas[i].changes;
	return changes <= MANY_CHANGES || IsolationUsesXactSnapshot() ||
		pgt_stream_table_is_locked_shared(run->reader->pgt_id);
}

/* False: meanwhile another session changed what there is to maintain. */
static bool
lock_and_maintain(Work *work, Run *run)
{
	run->concurrent = prefers_groups(run);
	if (run->concurrent)
		pgt_stream_table_lock_shared(run->reader->pgt_id);
	else
		(void) pgt_lock_refresh(run->reader->pgt_id, true);
	AcceptInvalidationMessages();
	if (work->generation != pgt_readers_generation())
		return false;
	maintain_locked(run);
	return true;
}

/* False: look again at what there is to do. */
static bool
maintain_as_owner(Work *work, Task *task, Run *run)
{
	PgtIdentity identity;
	bool		done = true;
	int			upto = pgt_changes_count();
	Oid			owner = pgt_relation_owner(run->reader->st->relid);

	run->show_query = may_see_query(GetUserId(), owner);
	pgt_identity_enter(&identity, owner, run->reader->st->pinned_settings);
	run->program = pgt_refresh_get_program(run->reader->st);
	if (collect_deltas(run, task->absorbed))
		done = lock_and_maintain(work, run);
	end_deltas(run);
	pgt_identity_leave(&identity);
	if (done)
		task->absorbed = upto;
	return done;
}

static void
add_hint(const Run *run, ErrorData *error)
{
	if (error->hint != NULL ||
		ERRCODE_TO_CATEGORY(error->sqlerrcode) == ERRCODE_TRANSACTION_ROLLBACK ||
		ERRCODE_TO_CATEGORY(error->sqlerrcode) == ERRCODE_OPERATOR_INTERVENTION)
		return;
	error->hint = psprintf("The statement is refused because stream table \"%s\" could not follow it; "
						   "pgtrickle.alter_stream_table('%s', enabled => false) lets writers pass.",
						   run->reader->st->name, run->reader->st->name);
}

static bool
maintain(Work *work, Task *task)
{
	Run			run = {.reader = task->reader};
	MemoryContext context = CurrentMemoryContext;
	ErrorContextCallback callback = {
		.previous = error_context_stack,
		.callback = add_context,
		.arg = &run,
	};
	volatile bool done = false;

	error_context_stack = &callback;
	PG_TRY();
	{
		done = maintain_as_owner(work, task, &run);
	}
	PG_CATCH();
	{
		ErrorData  *error;

		MemoryContextSwitchTo(context);
		error = CopyErrorData();
		FlushErrorState();
		add_hint(&run, error);
		ReThrowError(error);
	}
	PG_END_TRY();
	error_context_stack = callback.previous;
	return done;
}

/* ---- all of them ---- */

static bool
has_news(const Task *task)
{
	ListCell   *lc;

	if (task->reader == NULL)
		return false;
	for (int i = task->absorbed; i < pgt_changes_count(); i++)
		foreach(lc, pgt_changes_get(i)->sources)
			if (list_member_oid(task->reader->sources, lfirst_oid(lc)))
				return true;
	return false;
}

static Task *
next_task(const Work *work)
{
	Task	   *best = NULL;
	ListCell   *lc;

	foreach(lc, work->tasks)
	{
		Task	   *task = lfirst(lc);

		if (!has_news(task))
			continue;
		if (best == NULL || task->reader->level < best->reader->level ||
			(task->reader->level == best->reader->level &&
			 task->pgt_id < best->pgt_id))
			best = task;
	}
	return best;
}

void
pgt_maintenance_run(void)
{
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext,
												  "pg_trickle maintenance",
												  ALLOCSET_DEFAULT_SIZES);
	MemoryContext caller = MemoryContextSwitchTo(context);
	Work		work = {0};
	int			known = 0;
	Task	   *task;

	find_and_lock(&work);
	known = pgt_changes_count();
	while ((task = next_task(&work)) != NULL)
	{
		CHECK_FOR_INTERRUPTS();
		/* changes of a trigger may concern others than those known so far */
		if (!maintain(&work, task) || known != pgt_changes_count())
			find_and_lock(&work);
		known = pgt_changes_count();
	}
	MemoryContextSwitchTo(caller);
	MemoryContextDelete(context);
}
