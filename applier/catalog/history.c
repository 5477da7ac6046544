/*
 * applier/catalog/history.c - pgt_refresh_history.
 *
 * A worker commits a RUNNING row before it starts a refresh; the refresh's own
 * transaction turns it into COMPLETED.  What a crash leaves RUNNING is turned
 * into FAILED by the scheduler when it starts again.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/indexing.h"
#include "commands/sequence.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"

#include "applier/catalog/table.h"

enum
{
	H_ID = 1, H_PGT, H_START, H_END, H_ACTION, H_STATUS, H_BY, H_INSERTED,
	H_DELETED, H_CONSUMED, H_MS, H_REASON, H_SQLSTATE, H_ERROR
};

static void
to_row(const PgtRefreshRecord *r, PgtRow *row)
{
	bool		running = r->end_time == 0;

	memset(row, 0, sizeof(*row));
	row->values[H_ID - 1] = Int64GetDatum(r->refresh_id);
	row->values[H_PGT - 1] = Int64GetDatum(r->pgt_id);
	row->values[H_START - 1] = TimestampTzGetDatum(r->start_time);
	row->values[H_END - 1] = TimestampTzGetDatum(r->end_time);
	pgt_row_set_text(row, H_ACTION, r->action);
	pgt_row_set_text(row, H_STATUS, r->status);
	pgt_row_set_text(row, H_BY, r->initiated_by);
	row->values[H_INSERTED - 1] = Int64GetDatum(r->rows_inserted);
	row->values[H_DELETED - 1] = Int64GetDatum(r->rows_deleted);
	row->values[H_CONSUMED - 1] = Int64GetDatum(r->changes_consumed);
	row->values[H_MS - 1] = Float8GetDatum(r->duration_ms);
	pgt_row_set_text(row, H_REASON, r->reason);
	pgt_row_set_text(row, H_SQLSTATE, r->sqlstate);
	pgt_row_set_text(row, H_ERROR, r->error_message);
	row->nulls[H_END - 1] = row->nulls[H_INSERTED - 1] =
		row->nulls[H_DELETED - 1] = row->nulls[H_CONSUMED - 1] =
		row->nulls[H_MS - 1] = running;
}

int64
pgt_history_insert(PgtRefreshRecord *r)
{
	PgtRow		row;

	r->refresh_id = nextval_internal(get_relname_relid("pgt_refresh_id_seq",
													   pgt_schema_oid()), false);
	to_row(r, &row);
	pgt_table_insert(PGT_TABLE_HISTORY, &row);
	return r->refresh_id;
}

void
pgt_history_update(const PgtRefreshRecord *r)
{
	PgtTableScan scan;
	ScanKeyData key;
	HeapTuple	tuple;
	PgtRow		row;

	to_row(r, &row);
	pgt_table_key_int8(&key, H_ID, r->refresh_id);
	pgt_table_begin(&scan, PGT_TABLE_HISTORY, RowExclusiveLock, NULL, &key, 1);
	tuple = pgt_table_next(&scan);
	/* the stream table may have been dropped, its history with it */
	if (HeapTupleIsValid(tuple))
		pgt_table_replace(&scan, tuple, &row);
	pgt_table_end(&scan);
}

static void
fail_row(PgtTableScan *scan, HeapTuple tuple, PgtRow *row, const char *message)
{
	row->values[H_END - 1] = TimestampTzGetDatum(GetCurrentTimestamp());
	row->nulls[H_END - 1] = false;
	pgt_row_set_text(row, H_STATUS, "FAILED");
	pgt_row_set_text(row, H_ERROR, message);
	pgt_table_replace(scan, tuple, row);
}

int
pgt_history_fail_running(int64 pgt_id, const char *message)
{
	PgtTableScan scan;
	ScanKeyData key;
	HeapTuple	tuple;
	PgtRow		row;
	int			n = 0;

	pgt_table_key_int8(&key, H_PGT, pgt_id);
	pgt_table_begin(&scan, PGT_TABLE_HISTORY, RowExclusiveLock,
					"pgt_refresh_history_st", &key, pgt_id == 0 ? 0 : 1);
	while (HeapTupleIsValid(tuple = pgt_table_next(&scan)))
	{
		pgt_table_deform(&scan, tuple, &row);
		if (strcmp(pgt_row_get_text(&row, H_STATUS), "RUNNING") != 0)
			continue;
		fail_row(&scan, tuple, &row, message);
		n++;
	}
	pgt_table_end(&scan);
	return n;
}

/* Rows are numbered in order of time, so the scan ends at the first young one. */
int64
pgt_history_prune(TimestampTz older_than, int64 max_rows)
{
	PgtTableScan scan;
	ScanKeyData key;
	HeapTuple	tuple;
	PgtRow		row;
	int64		n = 0;

	ScanKeyInit(&key, H_ID, BTGreaterEqualStrategyNumber, F_INT8GE, Int64GetDatum(0));
	pgt_table_begin(&scan, PGT_TABLE_HISTORY, RowExclusiveLock, NULL, &key, 1);
	while (n < max_rows && HeapTupleIsValid(tuple = pgt_table_next(&scan)))
	{
		pgt_table_deform(&scan, tuple, &row);
		if (DatumGetTimestampTz(row.values[H_START - 1]) >= older_than)
			break;
		CatalogTupleDelete(scan.rel, &tuple->t_self);
		n++;
	}
	pgt_table_end(&scan);
	return n;
}
