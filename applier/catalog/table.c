/*
 * applier/catalog/table.c - native row access for the catalog's own tables.
 *
 * Scans use systable_beginscan under the catalog snapshot (the latest
 * committed state plus what this transaction did), writes go through
 * CatalogTupleInsert / Update.  That works for tables of an extension as long
 * as their indexes are plain ones, which ours are.  Rights are not checked
 * here: callers have done that.  Locks taken for writing stay until commit.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "catalog/indexing.h"
#include "catalog/pg_type.h"
#include "executor/tuptable.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/snapmgr.h"

#include "applier/catalog/table.h"

static Oid
scan_index(Relation rel, const char *index_name)
{
	Oid			index;

	if (index_name == NULL)
	{
		RelationGetIndexList(rel);
		index = rel->rd_pkindex;
	}
	else
		index = get_relname_relid(index_name, RelationGetNamespace(rel));
	if (!OidIsValid(index))
		elog(ERROR, "an index of catalog table \"%s\" is missing",
			 RelationGetRelationName(rel));
	return index;
}

void
pgt_table_begin(PgtTableScan *s, PgtCatalogTable table, LOCKMODE lockmode,
				const char *index_name, ScanKey keys, int nkeys)
{
	s->lockmode = lockmode;
	s->rel = table_open(pgt_catalog_relid(table), lockmode);
	s->scan = systable_beginscan(s->rel,
								 nkeys > 0 ? scan_index(s->rel, index_name) : InvalidOid,
								 nkeys > 0, NULL, nkeys, keys);
}

void
pgt_table_begin_at(PgtTableScan *s, PgtCatalogTable table, Snapshot snapshot)
{
	s->lockmode = AccessShareLock;
	s->rel = table_open(pgt_catalog_relid(table), AccessShareLock);
	s->scan = systable_beginscan(s->rel, InvalidOid, false, snapshot, 0, NULL);
}

HeapTuple
pgt_table_next(PgtTableScan *s)
{
	return systable_getnext(s->scan);
}

/* a reader lets go of its lock, a writer keeps it until commit */
void
pgt_table_end(PgtTableScan *s)
{
	systable_endscan(s->scan);
	table_close(s->rel, s->lockmode == AccessShareLock ? AccessShareLock : NoLock);
}

void
pgt_table_deform(PgtTableScan *s, HeapTuple tuple, PgtRow *row)
{
	heap_deform_tuple(tuple, RelationGetDescr(s->rel), row->values, row->nulls);
}

void
pgt_table_insert(PgtCatalogTable table, PgtRow *row)
{
	Relation	rel = table_open(pgt_catalog_relid(table), RowExclusiveLock);
	HeapTuple	tuple = heap_form_tuple(RelationGetDescr(rel), row->values,
										row->nulls);

	CatalogTupleInsert(rel, tuple);
	table_close(rel, NoLock);
}

void
pgt_table_replace(PgtTableScan *s, HeapTuple old, PgtRow *row)
{
	HeapTuple	tuple = heap_form_tuple(RelationGetDescr(s->rel), row->values,
										row->nulls);

	tuple->t_self = old->t_self;
	CatalogTupleUpdate(s->rel, &old->t_self, tuple);
}

bool
pgt_table_lock_row(PgtTableScan *s, HeapTuple tuple, bool latest)
{
	TupleTableSlot *slot = table_slot_create(s->rel, NULL);
	ItemPointerData tid = tuple->t_self;
	TM_FailureData failure;
	TM_Result	result;

	result = table_tuple_lock(s->rel, &tid, GetLatestSnapshot(), slot,
							  GetCurrentCommandId(true), LockTupleNoKeyExclusive,
							  LockWaitBlock,
							  latest ? TUPLE_LOCK_FLAG_FIND_LAST_VERSION : 0,
							  &failure);
	ExecDropSingleTupleTableSlot(slot);
	return result == TM_Ok || result == TM_SelfModified;
}

void
pgt_table_key_int8(ScanKey key, AttrNumber attno, int64 value)
{
	ScanKeyInit(key, attno, BTEqualStrategyNumber, F_INT8EQ, Int64GetDatum(value));
}

void
pgt_table_key_oid(ScanKey key, AttrNumber attno, Oid value)
{
	ScanKeyInit(key, attno, BTEqualStrategyNumber, F_OIDEQ, ObjectIdGetDatum(value));
}

void
pgt_row_set_text(PgtRow *row, int attno, const char *value)
{
	row->nulls[attno - 1] = value == NULL;
	row->values[attno - 1] = value ? CStringGetTextDatum(value) : (Datum) 0;
}

char *
pgt_row_get_text(const PgtRow *row, int attno)
{
	return row->nulls[attno - 1] ? NULL : TextDatumGetCString(row->values[attno - 1]);
}

void
pgt_row_set_int2s(PgtRow *row, int attno, const AttrNumber *values, int n)
{
	Datum	   *datums = palloc(sizeof(Datum) * (n + 1));

	for (int i = 0; i < n; i++)
		datums[i] = Int16GetDatum(values[i]);
	row->nulls[attno - 1] = false;
	row->values[attno - 1] =
		PointerGetDatum(construct_array(datums, n, INT2OID, sizeof(int16), true, TYPALIGN_SHORT));
}

AttrNumber *
pgt_row_get_int2s(const PgtRow *row, int attno, int *n)
{
	Datum	   *datums;
	AttrNumber *result;

	deconstruct_array(DatumGetArrayTypeP(row->values[attno - 1]), INT2OID,
					  sizeof(int16), true, TYPALIGN_SHORT, &datums, NULL, n);
	result = palloc(sizeof(AttrNumber) * (*n + 1));
	for (int i = 0; i < *n; i++)
		result[i] = DatumGetInt16(datums[i]);
	return result;
}
