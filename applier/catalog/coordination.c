/*
 * applier/catalog/coordination.c - pgt_source_gates, pgt_watermarks,
 * pgt_watermark_groups, pgt_refresh_groups; see coordination.h.
 *
 * Small tables, read as a whole.  Relations are stored as regclass, so that a
 * dump names them.  Locks of writers stay until commit.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/xact.h"
#include "catalog/indexing.h"
#include "catalog/pg_type.h"
#include "storage/lmgr.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/pg_lsn.h"
#include "utils/syscache.h"

#include "applier/catalog/coordination.h"
#include "applier/catalog/table.h"

enum
{
	G_RELID = 1, G_STOP, G_AT, G_BY
};
enum
{
	W_RELID = 1, W_WATERMARK, W_AT, W_BY, W_LSN
};
/* of both kinds of groups */
enum
{
	U_NAME = 1, U_RELIDS, U_OPTION, U_AT
};

static bool
exists(Oid relid)
{
	return SearchSysCacheExists1(RELOID, ObjectIdGetDatum(relid));
}

static Oid
relid_of(const PgtRow *row)
{
	return DatumGetObjectId(row->values[0]);
}

static Datum
relids_to_datum(List *relids)
{
	Datum	   *datums = palloc(sizeof(Datum) * (list_length(relids) + 1));
	ListCell   *lc;
	int			n = 0;

	foreach(lc, relids)
		datums[n++] = ObjectIdGetDatum(lfirst_oid(lc));
	return PointerGetDatum(construct_array(datums, n, REGCLASSOID, sizeof(Oid),
										   true, TYPALIGN_INT));
}

/* Those that are still there. */
static List *
relids_from_datum(Datum datum)
{
	Datum	   *datums;
	int			n;
	List	   *result = NIL;

	deconstruct_array(DatumGetArrayTypeP(datum), REGCLASSOID, sizeof(Oid), true,
					  TYPALIGN_INT, &datums, NULL, &n);
	for (int i = 0; i < n; i++)
		if (exists(DatumGetObjectId(datums[i])))
			result = lappend_oid(result, DatumGetObjectId(datums[i]));
	return result;
}

/* ---- reading ---- */

typedef void *(*FromRow) (const PgtRow *row);

static List *
read_all(PgtCatalogTable table, Snapshot snapshot, bool by_relid,
		 FromRow from_row)
{
	PgtTableScan scan;
	HeapTuple	tuple;
	PgtRow		row;
	List	   *result = NIL;

	pgt_table_begin_at(&scan, table, snapshot);
	while (HeapTupleIsValid(tuple = pgt_table_next(&scan)))
	{
		pgt_table_deform(&scan, tuple, &row);
		if (!by_relid || exists(relid_of(&row)))
			result = lappend(result, from_row(&row));
	}
	pgt_table_end(&scan);
	return result;
}

static void *
gate_from_row(const PgtRow *row)
{
	PgtGate    *g = palloc0(sizeof(PgtGate));

	g->relid = relid_of(row);
	g->stop_capture = DatumGetBool(row->values[G_STOP - 1]);
	g->gated_at = DatumGetTimestampTz(row->values[G_AT - 1]);
	g->gated_by = pgt_row_get_text(row, G_BY);
	return g;
}

static void *
watermark_from_row(const PgtRow *row)
{
	PgtWatermark *w = palloc0(sizeof(PgtWatermark));

	w->relid = relid_of(row);
	w->watermark = DatumGetTimestampTz(row->values[W_WATERMARK - 1]);
	w->updated_at = DatumGetTimestampTz(row->values[W_AT - 1]);
	w->advanced_by = pgt_row_get_text(row, W_BY);
	w->lsn = DatumGetLSN(row->values[W_LSN - 1]);
	return w;
}

static void *
watermark_group_from_row(const PgtRow *row)
{
	PgtWatermarkGroup *g = palloc0(sizeof(PgtWatermarkGroup));

	g->name = pgt_row_get_text(row, U_NAME);
	g->sources = relids_from_datum(row->values[U_RELIDS - 1]);
	g->tolerance_secs = DatumGetFloat8(row->values[U_OPTION - 1]);
	g->created_at = DatumGetTimestampTz(row->values[U_AT - 1]);
	return g;
}

static void *
refresh_group_from_row(const PgtRow *row)
{
	PgtRefreshGroup *g = palloc0(sizeof(PgtRefreshGroup));

	g->name = pgt_row_get_text(row, U_NAME);
	g->members = relids_from_datum(row->values[U_RELIDS - 1]);
	g->isolation = pgt_row_get_text(row, U_OPTION);
	g->created_at = DatumGetTimestampTz(row->values[U_AT - 1]);
	return g;
}

List *
pgt_gate_all(Snapshot snapshot)
{
	return read_all(PGT_TABLE_GATES, snapshot, true, gate_from_row);
}

List *
pgt_watermark_all(Snapshot snapshot)
{
	return read_all(PGT_TABLE_WATERMARKS, snapshot, true, watermark_from_row);
}

List *
pgt_watermark_group_all(Snapshot snapshot)
{
	return read_all(PGT_TABLE_WATERMARK_GROUPS, snapshot, false,
					watermark_group_from_row);
}

List *
pgt_refresh_group_all(Snapshot snapshot)
{
	return read_all(PGT_TABLE_REFRESH_GROUPS, snapshot, false,
					refresh_group_from_row);
}

PgtGate *
pgt_gate_get(Oid relid, Snapshot snapshot)
{
	ListCell   *lc;

	foreach(lc, pgt_gate_all(snapshot))
		if (((PgtGate *) lfirst(lc))->relid == relid)
			return lfirst(lc);
	return NULL;
}

PgtWatermark *
pgt_watermark_get(Oid relid)
{
	ListCell   *lc;

	foreach(lc, pgt_watermark_all(NULL))
		if (((PgtWatermark *) lfirst(lc))->relid == relid)
			return lfirst(lc);
	return NULL;
}

/* ---- writing ---- */

static void
lock_writers(PgtCatalogTable table)
{
	LockRelationOid(pgt_catalog_relid(table), ShareRowExclusiveLock);
}

/* Rows of this relation, and of those that are gone. */
static void
delete_relid(PgtCatalogTable table, Oid relid)
{
	PgtTableScan scan;
	HeapTuple	tuple;
	PgtRow		row;

	pgt_table_begin(&scan, table, RowExclusiveLock, NULL, NULL, 0);
	while (HeapTupleIsValid(tuple = pgt_table_next(&scan)))
	{
		pgt_table_deform(&scan, tuple, &row);
		if (relid_of(&row) == relid || !exists(relid_of(&row)))
			CatalogTupleDelete(scan.rel, &tuple->t_self);
	}
	pgt_table_end(&scan);
	CommandCounterIncrement();
}

static bool
delete_group(PgtCatalogTable table, const char *name)
{
	PgtTableScan scan;
	HeapTuple	tuple;
	PgtRow		row;
	bool		found = false;

	lock_writers(table);
	pgt_table_begin(&scan, table, RowExclusiveLock, NULL, NULL, 0);
	while (HeapTupleIsValid(tuple = pgt_table_next(&scan)))
	{
		pgt_table_deform(&scan, tuple, &row);
		if (strcmp(pgt_row_get_text(&row, U_NAME), name) != 0)
			continue;
		CatalogTupleDelete(scan.rel, &tuple->t_self);
		found = true;
	}
	pgt_table_end(&scan);
	CommandCounterIncrement();
	return found;
}

static void
insert_group(PgtCatalogTable table, const char *name, List *relids,
			 Datum option, TimestampTz created_at)
{
	PgtRow		row = {0};

	pgt_row_set_text(&row, U_NAME, name);
	row.values[U_RELIDS - 1] = relids_to_datum(relids);
	row.values[U_OPTION - 1] = option;
	row.values[U_AT - 1] = TimestampTzGetDatum(created_at);
	pgt_table_insert(table, &row);
	CommandCounterIncrement();
}

static void
refuse_duplicate(const char *kind, const char *name)
{
	ereport(ERROR,
			(errcode(ERRCODE_DUPLICATE_OBJECT),
			 errmsg("%s group \"%s\" already exists", kind, name)));
}

void
pgt_gate_lock(void)
{
	lock_writers(PGT_TABLE_GATES);
}

void
pgt_gate_insert(const PgtGate *gate)
{
	PgtRow		row = {0};

	row.values[G_RELID - 1] = ObjectIdGetDatum(gate->relid);
	row.values[G_STOP - 1] = BoolGetDatum(gate->stop_capture);
	row.values[G_AT - 1] = TimestampTzGetDatum(gate->gated_at);
	pgt_row_set_text(&row, G_BY, gate->gated_by);
	pgt_table_insert(PGT_TABLE_GATES, &row);
	CommandCounterIncrement();
}

void
pgt_gate_delete(Oid relid)
{
	delete_relid(PGT_TABLE_GATES, relid);
}

void
pgt_watermark_lock(Oid relid)
{
	LockDatabaseObject(pgt_catalog_relid(PGT_TABLE_WATERMARKS), relid, 0,
					   ExclusiveLock);
}

/* Others may be deleting rows of dropped relations just now: only our own. */
static void
delete_watermark(Oid relid)
{
	PgtTableScan scan;
	ScanKeyData key;
	HeapTuple	tuple;

	pgt_table_key_oid(&key, W_RELID, relid);
	pgt_table_begin(&scan, PGT_TABLE_WATERMARKS, RowExclusiveLock, NULL, &key, 1);
	while (HeapTupleIsValid(tuple = pgt_table_next(&scan)))
		CatalogTupleDelete(scan.rel, &tuple->t_self);
	pgt_table_end(&scan);
	CommandCounterIncrement();
}

void
pgt_watermark_set(const PgtWatermark *w)
{
	PgtRow		row = {0};

	delete_watermark(w->relid);
	row.values[W_RELID - 1] = ObjectIdGetDatum(w->relid);
	row.values[W_WATERMARK - 1] = TimestampTzGetDatum(w->watermark);
	row.values[W_AT - 1] = TimestampTzGetDatum(w->updated_at);
	pgt_row_set_text(&row, W_BY, w->advanced_by);
	row.values[W_LSN - 1] = LSNGetDatum(w->lsn);
	pgt_table_insert(PGT_TABLE_WATERMARKS, &row);
	CommandCounterIncrement();
}

void
pgt_watermark_group_insert(const PgtWatermarkGroup *g)
{
	ListCell   *lc;

	lock_writers(PGT_TABLE_WATERMARK_GROUPS);
	foreach(lc, pgt_watermark_group_all(NULL))
		if (strcmp(((PgtWatermarkGroup *) lfirst(lc))->name, g->name) == 0)
			refuse_duplicate("watermark", g->name);
	insert_group(PGT_TABLE_WATERMARK_GROUPS, g->name, g->sources,
				 Float8GetDatum(g->tolerance_secs), g->created_at);
}

void
pgt_refresh_group_insert(const PgtRefreshGroup *g)
{
	ListCell   *lc;

	lock_writers(PGT_TABLE_REFRESH_GROUPS);
	foreach(lc, pgt_refresh_group_all(NULL))
		if (strcmp(((PgtRefreshGroup *) lfirst(lc))->name, g->name) == 0)
			refuse_duplicate("refresh", g->name);
	insert_group(PGT_TABLE_REFRESH_GROUPS, g->name, g->members,
				 CStringGetTextDatum(g->isolation), g->created_at);
}

bool
pgt_watermark_group_delete(const char *name)
{
	return delete_group(PGT_TABLE_WATERMARK_GROUPS, name);
}

bool
pgt_refresh_group_delete(const char *name)
{
	return delete_group(PGT_TABLE_REFRESH_GROUPS, name);
}

/* ---- alignment ---- */

bool
pgt_watermark_group_aligned(const PgtWatermarkGroup *group, List *watermarks)
{
	TimestampTz least = 0;
	TimestampTz most = 0;
	int			found = 0;
	ListCell   *lc;

	foreach(lc, watermarks)
	{
		const PgtWatermark *w = lfirst(lc);

		if (!list_member_oid(group->sources, w->relid))
			continue;
		least = found == 0 ? w->watermark : Min(least, w->watermark);
		most = found == 0 ? w->watermark : Max(most, w->watermark);
		found++;
	}
	if (found == 0)
		return true;
	return found == list_length(group->sources) &&
		(double) (most - least) / USECS_PER_SEC <= group->tolerance_secs;
}
