/*
 * applier/catalog/progress.c - pgt_progress: the hot row of a stream table.
 *
 * Written once by each refresh that changed something, under the refresh
 * lock.  Small, fillfactor 40, no index but the key: updates are HOT.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "utils/builtins.h"
#include "utils/pg_lsn.h"
#include "utils/xid8.h"

#include "applier/catalog/table.h"

enum
{
	P_ID = 1, P_POPULATED, P_FRONTIER, P_OWN_XID, P_OWN_BATCHES, P_LSN,
	P_DATA_TS, P_REFRESH_AT, P_ERRORS, P_LAST_ERROR, P_SQLSTATE, P_NDIFF,
	P_NFULL, P_NFAILED, P_INSERTED, P_DELETED, P_CONSUMED, P_TOTAL_MS,
	P_MAX_MS, P_ACTION, P_LAST_MS, P_FULL_MS, P_FIXED_MS, P_CHANGE_MS,
	P_STATE_ERROR
};

static void
set_timestamp(PgtRow *row, int attno, TimestampTz value)
{
	row->nulls[attno - 1] = value == 0;
	row->values[attno - 1] = TimestampTzGetDatum(value);
}

static TimestampTz
get_timestamp(const PgtRow *row, int attno)
{
	return row->nulls[attno - 1] ? 0 : DatumGetTimestampTz(row->values[attno - 1]);
}

/* costs that are not known yet are stored as NULL and are negative in C */
static void
set_cost(PgtRow *row, int attno, double value)
{
	row->nulls[attno - 1] = value < 0;
	row->values[attno - 1] = Float8GetDatum(value);
}

static double
get_cost(const PgtRow *row, int attno)
{
	return row->nulls[attno - 1] ? -1 : DatumGetFloat8(row->values[attno - 1]);
}

static void
frontier_to_row(const PgtProgress *p, PgtRow *row)
{
	row->nulls[P_FRONTIER - 1] = p->frontier == NULL;
	row->nulls[P_OWN_XID - 1] = p->frontier == NULL ||
		!FullTransactionIdIsValid(p->frontier->own_xid);
	if (p->frontier == NULL)
		return;
	row->values[P_FRONTIER - 1] = pgt_frontier_to_datum(p->frontier);
	row->values[P_OWN_XID - 1] = FullTransactionIdGetDatum(p->frontier->own_xid);
	row->values[P_OWN_BATCHES - 1] = Int32GetDatum(p->frontier->own_batches);
}

static void
to_row(const PgtProgress *p, PgtRow *row)
{
	memset(row, 0, sizeof(*row));
	row->values[P_ID - 1] = Int64GetDatum(p->pgt_id);
	row->values[P_POPULATED - 1] = BoolGetDatum(p->is_populated);
	frontier_to_row(p, row);
	row->nulls[P_LSN - 1] = XLogRecPtrIsInvalid(p->frontier_lsn);
	row->values[P_LSN - 1] = LSNGetDatum(p->frontier_lsn);
	set_timestamp(row, P_DATA_TS, p->data_timestamp);
	set_timestamp(row, P_REFRESH_AT, p->last_refresh_at);
	row->values[P_ERRORS - 1] = Int32GetDatum(p->consecutive_errors);
	pgt_row_set_text(row, P_LAST_ERROR, p->last_error);
	pgt_row_set_text(row, P_SQLSTATE, p->last_sqlstate);
	row->values[P_NDIFF - 1] = Int64GetDatum(p->n_differential);
	row->values[P_NFULL - 1] = Int64GetDatum(p->n_full);
	row->values[P_NFAILED - 1] = Int64GetDatum(p->n_failed);
	row->values[P_INSERTED - 1] = Int64GetDatum(p->rows_inserted);
	row->values[P_DELETED - 1] = Int64GetDatum(p->rows_deleted);
	row->values[P_CONSUMED - 1] = Int64GetDatum(p->changes_consumed);
	row->values[P_TOTAL_MS - 1] = Float8GetDatum(p->total_ms);
	row->values[P_MAX_MS - 1] = Float8GetDatum(p->max_ms);
	pgt_row_set_text(row, P_ACTION, p->last_action);
	row->values[P_LAST_MS - 1] = Float8GetDatum(p->last_ms);
	set_cost(row, P_FULL_MS, p->full_ms);
	set_cost(row, P_FIXED_MS, p->diff_fixed_ms);
	set_cost(row, P_CHANGE_MS, p->diff_change_ms);
	pgt_row_set_text(row, P_STATE_ERROR, p->state_error);
}

static PgtFrontier *
frontier_from_row(const PgtRow *row)
{
	FullTransactionId own = InvalidFullTransactionId;

	if (row->nulls[P_FRONTIER - 1])
		return NULL;
	if (!row->nulls[P_OWN_XID - 1])
		own = DatumGetFullTransactionId(row->values[P_OWN_XID - 1]);
	return pgt_frontier_from_datum(row->values[P_FRONTIER - 1], own,
								   DatumGetInt32(row->values[P_OWN_BATCHES - 1]));
}

static PgtProgress *
from_row(const PgtRow *row)
{
	PgtProgress *p = palloc0(sizeof(PgtProgress));

	p->pgt_id = DatumGetInt64(row->values[P_ID - 1]);
	p->is_populated = DatumGetBool(row->values[P_POPULATED - 1]);
	p->frontier = frontier_from_row(row);
	if (!row->nulls[P_LSN - 1])
		p->frontier_lsn = DatumGetLSN(row->values[P_LSN - 1]);
	p->data_timestamp = get_timestamp(row, P_DATA_TS);
	p->last_refresh_at = get_timestamp(row, P_REFRESH_AT);
	p->consecutive_errors = DatumGetInt32(row->values[P_ERRORS - 1]);
	p->last_error = pgt_row_get_text(row, P_LAST_ERROR);
	p->last_sqlstate = pgt_row_get_text(row, P_SQLSTATE);
	p->n_differential = DatumGetInt64(row->values[P_NDIFF - 1]);
	p->n_full = DatumGetInt64(row->values[P_NFULL - 1]);
	p->n_failed = DatumGetInt64(row->values[P_NFAILED - 1]);
	p->rows_inserted = DatumGetInt64(row->values[P_INSERTED - 1]);
	p->rows_deleted = DatumGetInt64(row->values[P_DELETED - 1]);
	p->changes_consumed = DatumGetInt64(row->values[P_CONSUMED - 1]);
	p->total_ms = DatumGetFloat8(row->values[P_TOTAL_MS - 1]);
	p->max_ms = DatumGetFloat8(row->values[P_MAX_MS - 1]);
	p->last_action = pgt_row_get_text(row, P_ACTION);
	p->last_ms = row->nulls[P_LAST_MS - 1] ? 0 : DatumGetFloat8(row->values[P_LAST_MS - 1]);
	p->full_ms = get_cost(row, P_FULL_MS);
	p->diff_fixed_ms = get_cost(row, P_FIXED_MS);
	p->diff_change_ms = get_cost(row, P_CHANGE_MS);
	p->state_error = pgt_row_get_text(row, P_STATE_ERROR);
	return p;
}

void
pgt_progress_insert(int64 pgt_id)
{
	PgtProgress p = {.pgt_id = pgt_id, .full_ms = -1, .diff_fixed_ms = -1,
	.diff_change_ms = -1};
	PgtRow		row;

	to_row(&p, &row);
	pgt_table_insert(PGT_TABLE_PROGRESS, &row);
}

PgtProgress *
pgt_progress_get(int64 pgt_id)
{
	PgtTableScan scan;
	ScanKeyData key;
	HeapTuple	tuple;
	PgtRow		row;
	PgtProgress *p;

	pgt_table_key_int8(&key, P_ID, pgt_id);
	pgt_table_begin(&scan, PGT_TABLE_PROGRESS, AccessShareLock, NULL, &key, 1);
	tuple = pgt_table_next(&scan);
	if (!HeapTupleIsValid(tuple))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("stream table with id " INT64_FORMAT " does not exist", pgt_id)));
	pgt_table_deform(&scan, tuple, &row);
	p = from_row(&row);
	pgt_table_end(&scan);
	return p;
}

void
pgt_progress_update(const PgtProgress *p)
{
	PgtTableScan scan;
	ScanKeyData key;
	HeapTuple	tuple;
	PgtRow		row;

	to_row(p, &row);
	pgt_table_key_int8(&key, P_ID, p->pgt_id);
	pgt_table_begin(&scan, PGT_TABLE_PROGRESS, RowExclusiveLock, NULL, &key, 1);
	tuple = pgt_table_next(&scan);
	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "no progress row for stream table " INT64_FORMAT, p->pgt_id);
	pgt_table_replace(&scan, tuple, &row);
	pgt_table_end(&scan);
}
