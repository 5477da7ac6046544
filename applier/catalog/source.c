/*
 * applier/catalog/source.c - pgt_sources: one row per captured source.
 *
 * Every write invalidates the source's relcache entry, at commit for other
 * sessions and at the next command for this one: capture triggers keep what
 * they read here in a cache that hangs on that.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/indexing.h"
#include "utils/builtins.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/syscache.h"
#include "utils/xid8.h"

#include "applier/catalog/table.h"

enum
{
	C_RELID = 1, C_MODE, C_FORM, C_COLUMNS, C_SIGNATURE, C_SEGMENT, C_SWITCHED,
	C_HANDOVER, C_BLOCKED, C_FULL_REQUIRED, C_SINCE
};

static void
to_row(const PgtSource *s, PgtRow *row)
{
	memset(row, 0, sizeof(*row));
	row->values[C_RELID - 1] = ObjectIdGetDatum(s->relid);
	pgt_row_set_text(row, C_MODE, s->cdc_mode);
	pgt_row_set_text(row, C_FORM, s->capture_form);
	pgt_row_set_int2s(row, C_COLUMNS, s->columns, s->ncolumns);
	row->values[C_SIGNATURE - 1] = Int64GetDatum(s->signature);
	row->values[C_SEGMENT - 1] = Int16GetDatum(s->segment);
	row->nulls[C_SWITCHED - 1] = !FullTransactionIdIsValid(s->switched_at);
	row->values[C_SWITCHED - 1] = FullTransactionIdGetDatum(s->switched_at);
	row->nulls[C_HANDOVER - 1] = s->handover == NULL;
	if (s->handover != NULL)
		row->values[C_HANDOVER - 1] = pgt_frontier_to_datum(s->handover);
	pgt_row_set_text(row, C_BLOCKED, s->blocked_reason);
	row->values[C_FULL_REQUIRED - 1] = BoolGetDatum(s->full_required);
	row->values[C_SINCE - 1] = TimestampTzGetDatum(s->since);
}

static PgtSource *
from_row(const PgtRow *row)
{
	PgtSource  *s = palloc0(sizeof(PgtSource));

	s->relid = DatumGetObjectId(row->values[C_RELID - 1]);
	s->cdc_mode = pgt_row_get_text(row, C_MODE);
	s->capture_form = pgt_row_get_text(row, C_FORM);
	s->columns = pgt_row_get_int2s(row, C_COLUMNS, &s->ncolumns);
	s->signature = DatumGetInt64(row->values[C_SIGNATURE - 1]);
	s->segment = DatumGetInt16(row->values[C_SEGMENT - 1]);
	s->switched_at = row->nulls[C_SWITCHED - 1] ? InvalidFullTransactionId :
		DatumGetFullTransactionId(row->values[C_SWITCHED - 1]);
	if (!row->nulls[C_HANDOVER - 1])
		s->handover = pgt_frontier_from_datum(row->values[C_HANDOVER - 1],
											  InvalidFullTransactionId, 0);
	s->blocked_reason = pgt_row_get_text(row, C_BLOCKED);
	s->full_required = DatumGetBool(row->values[C_FULL_REQUIRED - 1]);
	s->since = DatumGetTimestampTz(row->values[C_SINCE - 1]);
	return s;
}

PgtSource *
pgt_source_get(Oid relid, bool missing_ok)
{
	PgtTableScan scan;
	ScanKeyData key;
	HeapTuple	tuple;
	PgtRow		row;
	PgtSource  *s = NULL;

	pgt_table_key_oid(&key, C_RELID, relid);
	pgt_table_begin(&scan, PGT_TABLE_SOURCES, AccessShareLock, NULL, &key, 1);
	tuple = pgt_table_next(&scan);
	if (HeapTupleIsValid(tuple))
	{
		pgt_table_deform(&scan, tuple, &row);
		s = from_row(&row);
	}
	pgt_table_end(&scan);
	if (s == NULL && !missing_ok)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("relation with OID %u is not a captured source", relid)));
	return s;
}

List *
pgt_source_all(void)
{
	PgtTableScan scan;
	HeapTuple	tuple;
	PgtRow		row;
	List	   *result = NIL;

	pgt_table_begin(&scan, PGT_TABLE_SOURCES, AccessShareLock, NULL, NULL, 0);
	while (HeapTupleIsValid(tuple = pgt_table_next(&scan)))
	{
		pgt_table_deform(&scan, tuple, &row);
		result = lappend(result, from_row(&row));
	}
	pgt_table_end(&scan);
	return result;
}

bool
pgt_is_source(Oid relid)
{
	return pgt_extension_installed() && pgt_source_get(relid, true) != NULL;
}

/* a dropped relation has no relcache entry left to invalidate */
static void
invalidate_source(Oid relid)
{
	if (SearchSysCacheExists1(RELOID, ObjectIdGetDatum(relid)))
		CacheInvalidateRelcacheByRelid(relid);
}

void
pgt_source_insert(const PgtSource *s)
{
	PgtRow		row;

	to_row(s, &row);
	pgt_table_insert(PGT_TABLE_SOURCES, &row);
	invalidate_source(s->relid);
}

void
pgt_source_update(const PgtSource *s)
{
	PgtTableScan scan;
	ScanKeyData key;
	HeapTuple	tuple;
	PgtRow		row;

	to_row(s, &row);
	pgt_table_key_oid(&key, C_RELID, s->relid);
	pgt_table_begin(&scan, PGT_TABLE_SOURCES, RowExclusiveLock, NULL, &key, 1);
	tuple = pgt_table_next(&scan);
	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "relation with OID %u is not a captured source", s->relid);
	pgt_table_replace(&scan, tuple, &row);
	pgt_table_end(&scan);
	invalidate_source(s->relid);
}

void
pgt_source_delete(Oid relid)
{
	PgtTableScan scan;
	ScanKeyData key;
	HeapTuple	tuple;

	pgt_table_key_oid(&key, C_RELID, relid);
	pgt_table_begin(&scan, PGT_TABLE_SOURCES, RowExclusiveLock, NULL, &key, 1);
	while (HeapTupleIsValid(tuple = pgt_table_next(&scan)))
		CatalogTupleDelete(scan.rel, &tuple->t_self);
	pgt_table_end(&scan);
	invalidate_source(relid);
}
