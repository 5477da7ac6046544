/*
 * applier/refresh/worker.c - a refresh as a background worker runs it.
 *
 * Up to three transactions: (1) the history row RUNNING, committed first, so
 * that a crash leaves a trace; (2) the refresh, which completes the row; (3)
 * only after an error: the failure recorded, the error counter raised.  A class 22 error
 * of a differential run is tried once more as FULL: a delta may pair rows that
 * the query never pairs (DESIGN.md section 5).
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

/* Transaction 1.  False: nothing to do (or the stream table is gone). */
static bool
begin_record(int64 pgt_id, PgtRefreshRecord *record)
{
	PgtStreamTable *st;
	bool		needed;

	StartTransactionCommand();
	PushActiveSnapshot(GetTransactionSnapshot());
	st = pgt_stream_table_get(pgt_id, true);
	needed = st != NULL && !st->suspended && pgt_refresh_is_needed(st);
	if (needed)
	{
		record->pgt_id = pgt_id;
		record->start_time = GetCurrentTimestamp();
		record->action = "REFRESH";
		record->status = "RUNNING";
		record->initiated_by = "SCHEDULER";
		pgt_history_insert(record);
	}
	PopActiveSnapshot();
	CommitTransactionCommand();
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

/* Transaction 2.  NULL, or the error, copied into "context". */
static ErrorData *
try_refresh(PgtRefreshRecord *record, PgtRefreshMode mode, const char *reason,
			MemoryContext context, PgtRefreshResult *result)
{
	ErrorData  *volatile error = NULL;

	PG_TRY();
	{
		StartTransactionCommand();
		/* a manual refresh in an open transaction must not hold a worker:
		 * SKIPPED, and the scheduler tries again */
		pgt_refresh_run(record->pgt_id, mode, false, false, false, result);
		if (reason != NULL && result->reason == NULL)
			result->reason = reason;
		complete_record(record, result);
		/* the reason lives in the transaction's memory, the caller's must not */
		if (result->reason != NULL)
			result->reason = MemoryContextStrdup(context, result->reason);
		CommitTransactionCommand();
	}
	PG_CATCH();
	{
		MemoryContextSwitchTo(context);
		error = CopyErrorData();
		FlushErrorState();
		AbortCurrentTransaction();
	}
	PG_END_TRY();
	MemoryContextSwitchTo(context);
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

/* Transaction 3. */
static void
record_failure(PgtRefreshRecord *record, const ErrorData *error,
			   bool schema_error)
{
	StartTransactionCommand();
	PushActiveSnapshot(GetTransactionSnapshot());
	if (pgt_stream_table_get(record->pgt_id, true) != NULL)
	{
		record->end_time = GetCurrentTimestamp();
		record->status = "FAILED";
		record->error_message = error->message;
		record->sqlstate = unpack_sql_state(error->sqlerrcode);
		record->duration_ms = (record->end_time - record->start_time) / 1000.0;
		pgt_history_update(record);
		raise_counter(record->pgt_id, error, schema_error);
	}
	PopActiveSnapshot();
	CommitTransactionCommand();
}

/* A second way to the same rows, or NULL when the error is what it is. */
static ErrorData *
second_try(PgtRefreshRecord *record, ErrorData *error, MemoryContext context,
		   PgtRefreshResult *result)
{
	/* likewise keys too long for the identity index: FULL takes a hash */
	if (ERRCODE_TO_CATEGORY(error->sqlerrcode) != ERRCODE_DATA_EXCEPTION &&
		error->sqlerrcode != ERRCODE_CARDINALITY_VIOLATION &&
		error->sqlerrcode != ERRCODE_PROGRAM_LIMIT_EXCEEDED)
		return error;
	return try_refresh(record, PGT_REFRESH_FULL,
					   psprintf("the delta raised: %s", error->message),
					   context, result);
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

bool
pgt_refresh_by_worker(int64 pgt_id, PgtRefreshResult *result, bool *retry,
					  char **error_message)
{
	MemoryContext context = CurrentMemoryContext;
	PgtRefreshRecord record = {0};
	ErrorData  *error;

	memset(result, 0, sizeof(*result));
	result->action = "NO_DATA";
	*retry = true;
	*error_message = NULL;

	SetCurrentStatementStartTimestamp();
	if (!begin_record(pgt_id, &record))
	{
		MemoryContextSwitchTo(context);
		return true;
	}
	error = try_refresh(&record, PGT_REFRESH_DEFAULT, NULL, context, result);
	if (error != NULL)
		error = second_try(&record, error, context, result);
	if (error == NULL)
	{
		log_result(&record, result);
		return true;
	}
	*retry = !is_schema_error(error->sqlerrcode);
	*error_message = error->message;
	record_failure(&record, error, !*retry);
	MemoryContextSwitchTo(context);
	return false;
}
