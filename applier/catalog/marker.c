/*
 * applier/catalog/marker.c - pgt_immediate: who maintained it last.
 *
 * Where the delta of an IMMEDIATE stream table reads more than the changed
 * rows, its writers are serialised by the stream table's lock, and each of
 * them must see what the ones before it did.  At READ COMMITTED a snapshot
 * taken after the lock does.  Above, the transaction's snapshot may be older:
 * then the marker's row was written by a transaction that the snapshot does
 * not see, and what follows would be computed from old rows.  That is a
 * serialization failure.
 *
 * The row is written once a transaction, also where nothing of the stream table
 * changed: the next writer reads the sources as well.  Called under the
 * exclusive lock, so nobody else has an uncommitted version.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/xact.h"
#include "catalog/indexing.h"
#include "utils/snapmgr.h"

#include "applier/catalog/table.h"

enum
{
	M_ID = 1, M_VERSION
};

void
pgt_marker_insert(int64 pgt_id)
{
	PgtRow		row = {0};

	row.values[M_ID - 1] = Int64GetDatum(pgt_id);
	row.values[M_VERSION - 1] = Int64GetDatum(0);
	pgt_table_insert(PGT_TABLE_IMMEDIATE, &row);
}

static void
check_seen(const PgtStreamTable *st, HeapTuple tuple)
{
	if (!IsolationUsesXactSnapshot() ||
		HeapTupleHeaderXminFrozen(tuple->t_data) ||
		!XidInMVCCSnapshot(HeapTupleHeaderGetRawXmin(tuple->t_data),
						   GetTransactionSnapshot()))
		return;
	ereport(ERROR,
			(errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
			 errmsg("could not serialize access to stream table \"%s\" due to concurrent update",
					st->name),
			 errhint("Retry the transaction.")));
}

void
pgt_marker_bump(const PgtStreamTable *st)
{
	PgtTableScan scan;
	ScanKeyData key;
	HeapTuple	tuple;
	PgtRow		row;

	pgt_table_key_int8(&key, M_ID, st->pgt_id);
	pgt_table_begin(&scan, PGT_TABLE_IMMEDIATE, RowExclusiveLock, NULL, &key, 1);
	tuple = pgt_table_next(&scan);
	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "no marker for stream table " INT64_FORMAT, st->pgt_id);
	if (!TransactionIdIsCurrentTransactionId(HeapTupleHeaderGetRawXmin(tuple->t_data)))
	{
		check_seen(st, tuple);
		pgt_table_deform(&scan, tuple, &row);
		row.values[M_VERSION - 1] =
			Int64GetDatum(DatumGetInt64(row.values[M_VERSION - 1]) + 1);
		pgt_table_replace(&scan, tuple, &row);
	}
	pgt_table_end(&scan);
}
