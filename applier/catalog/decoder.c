/*
 * applier/catalog/decoder.c - pgt_decoder: how far the WAL is in the buffers.
 *
 * One row while the database has a slot.  The decoder writes it in the
 * transaction that writes batches, so that after a crash it knows what it has
 * already written.  Small, fillfactor 10, no index but the key: updates are HOT.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/indexing.h"
#include "utils/pg_lsn.h"

#include "applier/catalog/table.h"

enum
{
	D_DATABASE = 1, D_SYSTEM, D_POSITION, D_CREATED, D_LOST, D_LAST_LOST
};

static void
to_row(const PgtDecoder *d, PgtRow *row)
{
	memset(row, 0, sizeof(*row));
	row->values[D_DATABASE - 1] = ObjectIdGetDatum(d->database_oid);
	row->values[D_SYSTEM - 1] = Int64GetDatum((int64) d->system_identifier);
	row->values[D_POSITION - 1] = LSNGetDatum(d->position);
	row->values[D_CREATED - 1] = TimestampTzGetDatum(d->created_at);
	row->values[D_LOST - 1] = Int64GetDatum(d->n_lost);
	pgt_row_set_text(row, D_LAST_LOST, d->last_lost);
}

static PgtDecoder *
from_row(const PgtRow *row)
{
	PgtDecoder *d = palloc0(sizeof(PgtDecoder));

	d->database_oid = DatumGetObjectId(row->values[D_DATABASE - 1]);
	d->system_identifier = (uint64) DatumGetInt64(row->values[D_SYSTEM - 1]);
	d->position = DatumGetLSN(row->values[D_POSITION - 1]);
	d->created_at = DatumGetTimestampTz(row->values[D_CREATED - 1]);
	d->n_lost = DatumGetInt64(row->values[D_LOST - 1]);
	d->last_lost = pgt_row_get_text(row, D_LAST_LOST);
	return d;
}

PgtDecoder *
pgt_decoder_get(void)
{
	PgtTableScan scan;
	HeapTuple	tuple;
	PgtRow		row;
	PgtDecoder *d = NULL;

	pgt_table_begin(&scan, PGT_TABLE_DECODER, AccessShareLock, NULL, NULL, 0);
	tuple = pgt_table_next(&scan);
	if (HeapTupleIsValid(tuple))
	{
		pgt_table_deform(&scan, tuple, &row);
		d = from_row(&row);
	}
	pgt_table_end(&scan);
	return d;
}

void
pgt_decoder_put(const PgtDecoder *d)
{
	PgtTableScan scan;
	HeapTuple	tuple;
	PgtRow		row;

	to_row(d, &row);
	pgt_table_begin(&scan, PGT_TABLE_DECODER, RowExclusiveLock, NULL, NULL, 0);
	tuple = pgt_table_next(&scan);
	if (HeapTupleIsValid(tuple))
		pgt_table_replace(&scan, tuple, &row);
	else
		pgt_table_insert(PGT_TABLE_DECODER, &row);
	pgt_table_end(&scan);
}

void
pgt_decoder_delete(void)
{
	PgtTableScan scan;
	HeapTuple	tuple;

	pgt_table_begin(&scan, PGT_TABLE_DECODER, RowExclusiveLock, NULL, NULL, 0);
	while (HeapTupleIsValid(tuple = pgt_table_next(&scan)))
		CatalogTupleDelete(scan.rel, &tuple->t_self);
	pgt_table_end(&scan);
}
