/*
 * applier/refresh/worker.c - a refresh as a background worker runs it.
 *
 * Up to three transactions: (1) the history row RUNNING, committed first, so
 * that a crash leaves a trace; (2) the refresh, which completes the row; (3)
 * only after an error: the failure recorded, the error counter raised.  A class 22 error
 * of a differential run is tried once more as FULL: a delta may pair rows that
 * the query never pairs (DESIGN.md section 5).
 *
 * Several stream tables that belong together go through the same steps as one:
 * what fails one of them undoes all, and their history says which it was.
 *
 * Errors that trying again cannot mend (missing columns, lost rights) are told
 * apart by SQLSTATE class, never by their text.
 */
#include "postgres.h"

#include "access/xact.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "applier/refresh/internal.h"
#include "applier/settings.h"

static bool
is_schema_error(int sqlerrcode)
{
	int			category = ERRCODE_TO_CATEGORY(sqlerrcode);

	return category == ERRCODE_SYNTAX_ERROR_OR_ACCESS_RULE_VIOLATION ||
		category == ERRCODE_FEATURE_NOT_SUPPORTED ||
		category == ERRCODE_INVALID_SCHEMA_NAME;
}

/* A refresh under way: one stream table, or several in one transaction. */
typedef struct Work
{
	int			n;
	PgtGroupMember *members;
	PgtRefreshRecord *records;
	MemoryContext context;		/* the caller's: outlives transactions */
	int			current;		/* the member under way */
} Work;

static bool
anything_to_do(const Work *w)
{
	for (int i = 0; i < w->n; i++)
	{
		PgtStreamTable *st = pgt_stream_table_get(w->members[i].pgt_id, true);

		if (st != NULL && !st->suspended && pgt_refresh_is_needed(st))
			return true;
	}
	return false;
}

static void
insert_record(PgtRefreshRecord *record, int64 pgt_id)
{
	record->pgt_id = pgt_id;
	record->start_time = GetCurrentTimestamp();
	record->action = "REFRESH";
	record->status = "RUNNING";
	record->initiated_by = "SCHEDULER";
	pgt_history_insert(record);
}

/* Transaction 1.  False: nothing to do (or the stream table is gone). */
static bool
begin_records(Work *w)
{
	bool		needed;

	StartTransactionCommand();
	PushActiveSnapshot(GetTransactionSnapshot());
	needed = anything_to_do(w);
	for (int i = 0; needed && i < w->n; i++)
		insert_record(&w->records[i], w->members[i].pgt_id);
	PopActiveSnapshot();
	CommitTransactionCommand();
	MemoryContextSwitchTo(w->context);
	return needed;
}

static void
complete_record(PgtRefreshRecord *record, const PgtRefreshResult *result)
{
	record->end_time = GetCurrentTimestamp();
	record->action = result->action;
	record->status = strcmp(result->action, "SKIPPED") == 0 ? "SKIPPED" : "COMPLETED";
	record->rows_inserted = result->rows_inserted;
	record->rows_deleted = result->rows_deleted;
	record->changes_consumed = result->changes_consumed;
	record->duration_ms = result->duration_ms;
	record->reason = result->reason;
	pgt_history_update(record);
}

/* A manual refresh in an open transaction must not hold a worker: SKIPPED, and
 * the scheduler tries again. */
static void
run_members(Work *w)
{
	PgtGroupMember *only = &w->members[0];

	w->current = 0;
	if (w->n > 1)
		pgt_refresh_run_group(w->members, w->n, PGT_GROUP_WORKER, &w->current);
	else
	{
		pgt_refresh_run(only->pgt_id, only->mode, false, false, false, &only->result);
		if (only->result.reason == NULL)
			only->result.reason = only->reason;
	}
}

/* The reason lives in the transaction's memory, the caller's must not. */
static void
complete_records(Work *w)
{
	for (int i = 0; i < w->n; i++)
	{
		PgtRefreshResult *result = &w->members[i].result;

		complete_record(&w->records[i], result);
		if (result->reason != NULL)
			result->reason = MemoryContextStrdup(w->context, result->reason);
	}
}

/* Transaction 2.  NULL, or the error, copied into the caller's context. */
static ErrorData *
try_refresh(Work *w)
{
	ErrorData  *volatile error = NULL;

	PG_TRY();
	{
		StartTransactionCommand();
		run_members(w);
		complete_records(w);
		CommitTransactionCommand();
	}
	PG_CATCH();
	{
		MemoryContextSwitchTo(w->context);
		error = CopyErrorData();
		FlushErrorState();
		AbortCurrentTransaction();
		w->current = Min(w->current, w->n - 1); /* at commit: nobody's */
	}
	PG_END_TRY();
	MemoryContextSwitchTo(w->context);
	return error;
}

static void
raise_counter(int64 pgt_id, const ErrorData *error, bool schema_error)
{
	PgtProgress *p = pgt_progress_get(pgt_id);
	PgtStreamTable *st = pgt_stream_table_get(pgt_id, false);

	p->consecutive_errors++;
	p->n_failed++;
	p->last_error = error->message;
	p->last_sqlstate = unpack_sql_state(error->sqlerrcode);
	pgt_progress_update(p);
	if (schema_error || p->consecutive_errors >= pgt_max_consecutive_errors)
		pgt_stream_table_set_status(pgt_id, "ERROR", st->needs_reinit,
									st->reinit_reason);
}

static void
fail_record(PgtRefreshRecord *record, const ErrorData *error, const char *message)
{
	record->end_time = GetCurrentTimestamp();
	record->status = "FAILED";
	record->error_message = message;
	record->sqlstate = unpack_sql_state(error->sqlerrcode);
	record->duration_ms = (record->end_time - record->start_time) / 1000.0;
	pgt_history_update(record);
}

/* Why a member's refresh is undone that did nothing wrong. */
static char *
message_for_others(const PgtStreamTable *culprit, const ErrorData *error)
{
	return psprintf("rolled back with its group, because the refresh of %s failed: %s",
					quote_qualified_identifier(culprit->schema, culprit->name),
					error->message);
}

/* Transaction 3.  The error counts for the member that raised it. */
static void
record_failure(Work *w, const ErrorData *error, bool schema_error)
{
	PgtStreamTable *culprit;

	StartTransactionCommand();
	PushActiveSnapshot(GetTransactionSnapshot());
	culprit = pgt_stream_table_get(w->members[w->current].pgt_id, true);
	for (int i = 0; i < w->n; i++)
	{
		if (pgt_stream_table_get(w->members[i].pgt_id, true) == NULL)
			continue;
		fail_record(&w->records[i], error, i == w->current || culprit == NULL ?
					error->message : message_for_others(culprit, error));
	}
	if (culprit != NULL)
		raise_counter(culprit->pgt_id, error, schema_error);
	PopActiveSnapshot();
	CommitTransactionCommand();
	MemoryContextSwitchTo(w->context);
}

/* Is there a second way to the same rows?  A delta may raise what the query
 * does not; keys too long for the identity index get a hash from FULL. */
static bool
take_second_way(Work *w, const ErrorData *error)
{
	PgtGroupMember *member = &w->members[w->current];

	if (member->mode == PGT_REFRESH_FULL ||
		(ERRCODE_TO_CATEGORY(error->sqlerrcode) != ERRCODE_DATA_EXCEPTION &&
		 error->sqlerrcode != ERRCODE_CARDINALITY_VIOLATION &&
		 error->sqlerrcode != ERRCODE_PROGRAM_LIMIT_EXCEEDED))
		return false;
	member->mode = PGT_REFRESH_FULL;
	member->reason = psprintf("the delta raised: %s", error->message);
	return true;
}

static void
log_result(const PgtRefreshRecord *record, const PgtRefreshResult *result)
{
	bool		slow = result->duration_ms >= 1000;

	if (pgt_log_refresh == PGT_LOG_REFRESH_ALL ||
		(pgt_log_refresh == PGT_LOG_REFRESH_SLOW && slow))
		ereport(LOG,
				(errmsg("pg_trickle refreshed stream table " INT64_FORMAT " by %s in %.3f ms",
						record->pgt_id, result->action, result->duration_ms),
				 errdetail(INT64_FORMAT " changes gave " INT64_FORMAT " insertions and " INT64_FORMAT " deletions.",
						   result->changes_consumed, result->rows_inserted,
						   result->rows_deleted)));
}

static ErrorData *
refresh(Work *w)
{
	ErrorData  *error = try_refresh(w);

	while (error != NULL && take_second_way(w, error))
		error = try_refresh(w);
	return error;
}

bool
pgt_refresh_by_worker(const int64 *pgt_ids, int n, PgtRefreshResult *results,
					  PgtRefreshFailure *failure)
{
	Work		w = {.n = n, .context = CurrentMemoryContext};
	ErrorData  *error;

	memset(failure, 0, sizeof(*failure));
	w.members = palloc0(sizeof(PgtGroupMember) * n);
	w.records = palloc0(sizeof(PgtRefreshRecord) * n);
	for (int i = 0; i < n; i++)
	{
		w.members[i].pgt_id = pgt_ids[i];
		results[i] = (PgtRefreshResult) {.action = "NO_DATA"};
	}
	SetCurrentStatementStartTimestamp();
	if (!begin_records(&w))
		return true;
	error = refresh(&w);
	if (error != NULL)
	{
		failure->member = w.current;
		failure->retry = !is_schema_error(error->sqlerrcode);
		failure->message = error->message;
		record_failure(&w, error, !failure->retry);
		return false;
	}
	for (int i = 0; i < n; i++)
	{
		results[i] = w.members[i].result;
		log_result(&w.records[i], &results[i]);
	}
	return true;
}
