/*
 * applier/catalog/dependency.c - pgt_dependencies: who reads what.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/indexing.h"
#include "utils/builtins.h"

#include "applier/catalog/table.h"

enum
{
	E_ID = 1, E_SOURCE, E_TYPE, E_COLUMNS
};

static List *
load(ScanKey key, const char *index_name)
{
	PgtTableScan scan;
	HeapTuple	tuple;
	PgtRow		row;
	List	   *result = NIL;

	pgt_table_begin(&scan, PGT_TABLE_DEPENDENCIES, AccessShareLock, index_name,
					key, 1);
	while (HeapTupleIsValid(tuple = pgt_table_next(&scan)))
	{
		PgtDependency *d = palloc0(sizeof(PgtDependency));

		pgt_table_deform(&scan, tuple, &row);
		d->pgt_id = DatumGetInt64(row.values[E_ID - 1]);
		d->source_relid = DatumGetObjectId(row.values[E_SOURCE - 1]);
		d->source_type = pgt_row_get_text(&row, E_TYPE);
		d->columns = pgt_row_get_int2s(&row, E_COLUMNS, &d->ncolumns);
		result = lappend(result, d);
	}
	pgt_table_end(&scan);
	return result;
}

List *
pgt_dependency_of(int64 pgt_id)
{
	ScanKeyData key;

	pgt_table_key_int8(&key, E_ID, pgt_id);
	return load(&key, NULL);
}

List *
pgt_dependency_readers(Oid source_relid)
{
	ScanKeyData key;

	pgt_table_key_oid(&key, E_SOURCE, source_relid);
	return load(&key, "pgt_dependencies_source");
}

static List *
readers_by_mode(Oid source_relid, bool immediate)
{
	List	   *result = NIL;
	ListCell   *lc;

	foreach(lc, pgt_dependency_readers(source_relid))
	{
		PgtDependency *d = lfirst(lc);

		if (pgt_stream_table_is_immediate(d->pgt_id) == immediate)
			result = lappend(result, d);
	}
	return result;
}

List *
pgt_dependency_deferred(Oid source_relid)
{
	return readers_by_mode(source_relid, false);
}

List *
pgt_dependency_immediate(Oid source_relid)
{
	return readers_by_mode(source_relid, true);
}

void
pgt_dependency_replace(int64 pgt_id, List *dependencies)
{
	PgtTableScan scan;
	ScanKeyData key;
	HeapTuple	tuple;
	ListCell   *lc;

	pgt_table_key_int8(&key, E_ID, pgt_id);
	pgt_table_begin(&scan, PGT_TABLE_DEPENDENCIES, RowExclusiveLock, NULL, &key, 1);
	while (HeapTupleIsValid(tuple = pgt_table_next(&scan)))
		CatalogTupleDelete(scan.rel, &tuple->t_self);
	pgt_table_end(&scan);

	foreach(lc, dependencies)
	{
		const PgtDependency *d = lfirst(lc);
		PgtRow		row = {0};

		row.values[E_ID - 1] = Int64GetDatum(pgt_id);
		row.values[E_SOURCE - 1] = ObjectIdGetDatum(d->source_relid);
		pgt_row_set_text(&row, E_TYPE, d->source_type);
		pgt_row_set_int2s(&row, E_COLUMNS, d->columns, d->ncolumns);
		pgt_table_insert(PGT_TABLE_DEPENDENCIES, &row);
	}
}
