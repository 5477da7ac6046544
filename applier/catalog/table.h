/*
 * applier/catalog/table.h - native row access for the catalog's own tables.
 * Private to catalog/.
 */
#ifndef PGT_TABLE_H
#define PGT_TABLE_H

#include "postgres.h"
#include "access/genam.h"
#include "access/htup.h"
#include "access/skey.h"
#include "utils/rel.h"
#include "utils/snapshot.h"

#include "applier/catalog/catalog.h"

#define PGT_MAX_COLUMNS 32

/* A row as arrays; index by attribute number - 1. */
typedef struct PgtRow
{
	Datum		values[PGT_MAX_COLUMNS];
	bool		nulls[PGT_MAX_COLUMNS];
} PgtRow;

/* A scan by equality on leading columns of an index, or of the whole table
 * (index_name NULL and nkeys 0).  index_name NULL and nkeys > 0: primary key. */
typedef struct PgtTableScan
{
	Relation	rel;
	SysScanDesc scan;
	LOCKMODE	lockmode;
} PgtTableScan;

extern void pgt_table_begin(PgtTableScan *s, PgtCatalogTable table,
							LOCKMODE lockmode, const char *index_name,
							ScanKey keys, int nkeys);
/* All rows that a snapshot shows; NULL: the latest committed ones. */
extern void pgt_table_begin_at(PgtTableScan *s, PgtCatalogTable table,
							   Snapshot snapshot);
extern HeapTuple pgt_table_next(PgtTableScan *s);
extern void pgt_table_end(PgtTableScan *s);

extern void pgt_table_deform(PgtTableScan *s, HeapTuple tuple, PgtRow *row);
extern void pgt_table_insert(PgtCatalogTable table, PgtRow *row);
extern void pgt_table_replace(PgtTableScan *s, HeapTuple old, PgtRow *row);

/* Lock a row that the scan has returned, until commit; waits for whoever
 * changes it just now.  latest: follow it to the version that is current then;
 * else false when it is no longer current. */
extern bool pgt_table_lock_row(PgtTableScan *s, HeapTuple tuple, bool latest);

extern void pgt_table_key_int8(ScanKey key, AttrNumber attno, int64 value);
extern void pgt_table_key_oid(ScanKey key, AttrNumber attno, Oid value);

/* setters and getters of nullable text; results are palloc'd */
extern void pgt_row_set_text(PgtRow *row, int attno, const char *value);
extern char *pgt_row_get_text(const PgtRow *row, int attno);
extern void pgt_row_set_int2s(PgtRow *row, int attno, const AttrNumber *values,
							  int n);
extern AttrNumber *pgt_row_get_int2s(const PgtRow *row, int attno, int *n);

#endif							/* PGT_TABLE_H */
