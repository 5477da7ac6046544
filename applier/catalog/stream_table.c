/*
 * applier/catalog/stream_table.c - pgt_definitions and pgt_state as one struct.
 *
 * A stream table has one row in each of pgt_definitions, pgt_state and
 * pgt_progress.  After a restore the definition stands alone until
 * api/restore.c has made the rest; functions that return a struct skip those.
 *
 * The set of stream table relids (for hooks that ask at every statement) is
 * kept per backend and thrown away on a relcache invalidation of pgt_state,
 * which every writer here sends.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/table.h"
#include "access/xlog.h"
#include "catalog/indexing.h"
#include "commands/sequence.h"
#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "storage/lock.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/hsearch.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

#include "applier/catalog/table.h"
#include "decoder/compat.h"

/* columns of pgt_definitions */
enum
{
	D_ID = 1, D_SCHEMA, D_NAME, D_ORIGINAL, D_DEFINING, D_SCHEDULE, D_MODE,
	D_DIAMOND, D_DIAMOND_POLICY, D_CDC, D_APPEND_ONLY, D_SUSPENDED, D_PINNED,
	D_CREATED, D_UPDATED
};

/* columns of pgt_state */
enum
{
	S_ID = 1, S_RELID, S_STATUS, S_EFFECTIVE, S_REASON, S_TREE, S_TREE_VERSION,
	S_IDENTITY, S_IDENTITY_INDEX, S_SYSTEM, S_DATABASE, S_REINIT,
	S_REINIT_REASON, S_TOPK_LIMIT, S_TOPK_OFFSET, S_SCC
};

static HTAB *relid_set = NULL;
static bool relid_set_valid = false;
static Oid	relid_set_source = InvalidOid;	/* pgt_state's oid it was read from */

static ArrayType *
strings_to_array(List *strings)
{
	Datum	   *datums = palloc(sizeof(Datum) * (list_length(strings) + 1));
	int			n = 0;
	ListCell   *lc;

	foreach(lc, strings)
		datums[n++] = CStringGetTextDatum((char *) lfirst(lc));
	return construct_array(datums, n, TEXTOID, -1, false, TYPALIGN_INT);
}

static List *
array_to_strings(Datum array)
{
	Datum	   *datums;
	int			n;
	List	   *result = NIL;

	deconstruct_array(DatumGetArrayTypeP(array), TEXTOID, -1, false,
					  TYPALIGN_INT, &datums, NULL, &n);
	for (int i = 0; i < n; i++)
		result = lappend(result, TextDatumGetCString(datums[i]));
	return result;
}

static void
definition_to_row(const PgtStreamTable *st, PgtRow *row)
{
	NameData   *schema = palloc(sizeof(NameData));
	NameData   *name = palloc(sizeof(NameData));

	memset(row, 0, sizeof(*row));
	namestrcpy(schema, st->schema);
	namestrcpy(name, st->name);
	row->values[D_ID - 1] = Int64GetDatum(st->pgt_id);
	row->values[D_SCHEMA - 1] = NameGetDatum(schema);
	row->values[D_NAME - 1] = NameGetDatum(name);
	pgt_row_set_text(row, D_ORIGINAL, st->original_query);
	pgt_row_set_text(row, D_DEFINING, st->defining_query);
	pgt_row_set_text(row, D_SCHEDULE, st->schedule);
	pgt_row_set_text(row, D_MODE, st->refresh_mode);
	pgt_row_set_text(row, D_DIAMOND, st->diamond_consistency);
	pgt_row_set_text(row, D_DIAMOND_POLICY, st->diamond_schedule_policy);
	pgt_row_set_text(row, D_CDC, st->requested_cdc_mode);
	row->values[D_APPEND_ONLY - 1] = BoolGetDatum(st->append_only);
	row->values[D_SUSPENDED - 1] = BoolGetDatum(st->suspended);
	row->nulls[D_PINNED - 1] = st->pinned_settings == NIL;
	if (st->pinned_settings != NIL)
		row->values[D_PINNED - 1] = PointerGetDatum(strings_to_array(st->pinned_settings));
	row->values[D_CREATED - 1] = TimestampTzGetDatum(st->created_at);
	row->values[D_UPDATED - 1] = TimestampTzGetDatum(st->updated_at);
}

static void
definition_from_row(PgtStreamTable *st, const PgtRow *row)
{
	st->pgt_id = DatumGetInt64(row->values[D_ID - 1]);
	st->schema = pstrdup(NameStr(*DatumGetName(row->values[D_SCHEMA - 1])));
	st->name = pstrdup(NameStr(*DatumGetName(row->values[D_NAME - 1])));
	st->original_query = pgt_row_get_text(row, D_ORIGINAL);
	st->defining_query = pgt_row_get_text(row, D_DEFINING);
	st->schedule = pgt_row_get_text(row, D_SCHEDULE);
	st->refresh_mode = pgt_row_get_text(row, D_MODE);
	st->diamond_consistency = pgt_row_get_text(row, D_DIAMOND);
	st->diamond_schedule_policy = pgt_row_get_text(row, D_DIAMOND_POLICY);
	st->requested_cdc_mode = pgt_row_get_text(row, D_CDC);
	st->append_only = DatumGetBool(row->values[D_APPEND_ONLY - 1]);
	st->suspended = DatumGetBool(row->values[D_SUSPENDED - 1]);
	st->pinned_settings = row->nulls[D_PINNED - 1] ? NIL :
		array_to_strings(row->values[D_PINNED - 1]);
	st->created_at = DatumGetTimestampTz(row->values[D_CREATED - 1]);
	st->updated_at = DatumGetTimestampTz(row->values[D_UPDATED - 1]);
}

static void
state_to_row(const PgtStreamTable *st, PgtRow *row)
{
	memset(row, 0, sizeof(*row));
	row->values[S_ID - 1] = Int64GetDatum(st->pgt_id);
	row->values[S_RELID - 1] = ObjectIdGetDatum(st->relid);
	pgt_row_set_text(row, S_STATUS, st->status);
	pgt_row_set_text(row, S_EFFECTIVE, st->effective_mode);
	pgt_row_set_text(row, S_REASON, st->effective_mode_reason);
	pgt_row_set_text(row, S_TREE, st->query_tree);
	row->values[S_TREE_VERSION - 1] = Int32GetDatum(st->tree_version);
	pgt_row_set_text(row, S_IDENTITY, st->row_identity);
	row->values[S_IDENTITY_INDEX - 1] = ObjectIdGetDatum(st->identity_index);
	row->values[S_SYSTEM - 1] = Int64GetDatum((int64) st->system_identifier);
	row->values[S_DATABASE - 1] = ObjectIdGetDatum(st->database_oid);
	row->values[S_REINIT - 1] = BoolGetDatum(st->needs_reinit);
	pgt_row_set_text(row, S_REINIT_REASON, st->reinit_reason);
	row->values[S_TOPK_LIMIT - 1] = Int64GetDatum(st->topk_limit);
	row->nulls[S_TOPK_LIMIT - 1] = st->topk_limit < 0;
	row->values[S_TOPK_OFFSET - 1] = Int64GetDatum(st->topk_offset);
	row->nulls[S_TOPK_OFFSET - 1] = st->topk_offset < 0;
	/* what later versions fill: no cycles yet */
	row->nulls[S_SCC - 1] = true;
}

static void
state_from_row(PgtStreamTable *st, const PgtRow *row)
{
	st->pgt_id = DatumGetInt64(row->values[S_ID - 1]);
	st->relid = DatumGetObjectId(row->values[S_RELID - 1]);
	st->status = pgt_row_get_text(row, S_STATUS);
	st->effective_mode = pgt_row_get_text(row, S_EFFECTIVE);
	st->effective_mode_reason = pgt_row_get_text(row, S_REASON);
	st->query_tree = pgt_row_get_text(row, S_TREE);
	st->tree_version = DatumGetInt32(row->values[S_TREE_VERSION - 1]);
	st->row_identity = pgt_row_get_text(row, S_IDENTITY);
	st->identity_index = DatumGetObjectId(row->values[S_IDENTITY_INDEX - 1]);
	st->system_identifier = (uint64) DatumGetInt64(row->values[S_SYSTEM - 1]);
	st->database_oid = DatumGetObjectId(row->values[S_DATABASE - 1]);
	st->needs_reinit = DatumGetBool(row->values[S_REINIT - 1]);
	st->reinit_reason = pgt_row_get_text(row, S_REINIT_REASON);
	st->topk_limit = row->nulls[S_TOPK_LIMIT - 1] ? -1 :
		DatumGetInt64(row->values[S_TOPK_LIMIT - 1]);
	st->topk_offset = row->nulls[S_TOPK_OFFSET - 1] ? -1 :
		DatumGetInt64(row->values[S_TOPK_OFFSET - 1]);
}

/* The definition of a state row just read; false when it is missing. */
static bool
load_definition(PgtStreamTable *st)
{
	PgtTableScan scan;
	ScanKeyData key;
	HeapTuple	tuple;
	PgtRow		row;

	pgt_table_key_int8(&key, D_ID, st->pgt_id);
	pgt_table_begin(&scan, PGT_TABLE_DEFINITIONS, AccessShareLock, NULL, &key, 1);
	tuple = pgt_table_next(&scan);
	if (HeapTupleIsValid(tuple))
	{
		pgt_table_deform(&scan, tuple, &row);
		definition_from_row(st, &row);
	}
	pgt_table_end(&scan);
	return HeapTupleIsValid(tuple);
}

bool
pgt_stream_table_is_immediate(int64 pgt_id)
{
	PgtTableScan scan;
	ScanKeyData key;
	HeapTuple	tuple;
	PgtRow		row;
	bool		result = false;

	pgt_table_key_int8(&key, D_ID, pgt_id);
	pgt_table_begin(&scan, PGT_TABLE_DEFINITIONS, AccessShareLock, NULL, &key, 1);
	tuple = pgt_table_next(&scan);
	if (HeapTupleIsValid(tuple))
	{
		pgt_table_deform(&scan, tuple, &row);
		result = strcmp(pgt_row_get_text(&row, D_MODE), "IMMEDIATE") == 0;
	}
	pgt_table_end(&scan);
	return result;
}

static PgtStreamTable *
load_by_key(ScanKey key, const char *index_name)
{
	PgtTableScan scan;
	HeapTuple	tuple;
	PgtRow		row;
	PgtStreamTable *st = NULL;

	pgt_table_begin(&scan, PGT_TABLE_STATE, AccessShareLock, index_name, key, 1);
	tuple = pgt_table_next(&scan);
	if (HeapTupleIsValid(tuple))
	{
		st = palloc0(sizeof(PgtStreamTable));
		pgt_table_deform(&scan, tuple, &row);
		state_from_row(st, &row);
	}
	pgt_table_end(&scan);
	return st != NULL && load_definition(st) ? st : NULL;
}

PgtStreamTable *
pgt_stream_table_get(int64 pgt_id, bool missing_ok)
{
	ScanKeyData key;
	PgtStreamTable *st;

	pgt_table_key_int8(&key, S_ID, pgt_id);
	st = load_by_key(&key, NULL);
	if (st == NULL && !missing_ok)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("stream table with id " INT64_FORMAT " does not exist", pgt_id)));
	return st;
}

PgtStreamTable *
pgt_stream_table_by_relid(Oid relid, bool missing_ok)
{
	ScanKeyData key;
	PgtStreamTable *st;

	pgt_table_key_oid(&key, S_RELID, relid);
	st = load_by_key(&key, "pgt_state_relid_key");
	if (st == NULL && !missing_ok)
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE),
				 errmsg("\"%s\" is not a stream table", get_rel_name(relid))));
	return st;
}

/*
 * An advisory lock of a class that the SQL functions cannot name (they use 1
 * and 2), so that no user can hold it.
 */
#define REFRESH_LOCK_CLASS 8

static void
set_tag(LOCKTAG *tag, int64 pgt_id)
{
	SET_LOCKTAG_ADVISORY(*tag, MyDatabaseId, (uint32) (pgt_id >> 32),
						 (uint32) pgt_id, REFRESH_LOCK_CLASS);
}

bool
pgt_stream_table_lock(int64 pgt_id, bool wait)
{
	LOCKTAG		tag;

	set_tag(&tag, pgt_id);
	return LockAcquire(&tag, ExclusiveLock, false, !wait) != LOCKACQUIRE_NOT_AVAIL;
}

void
pgt_stream_table_lock_shared(int64 pgt_id)
{
	LOCKTAG		tag;

	set_tag(&tag, pgt_id);
	(void) LockAcquire(&tag, RowExclusiveLock, false, false);
}

bool
pgt_stream_table_is_locked_shared(int64 pgt_id)
{
	LOCKTAG		tag;

	set_tag(&tag, pgt_id);
	return PGT_LOCK_HELD_BY_ME(&tag, RowExclusiveLock);
}

static int
cmp_pgt_id(const ListCell *a, const ListCell *b)
{
	const PgtStreamTable *x = lfirst(a);
	const PgtStreamTable *y = lfirst(b);

	return x->pgt_id < y->pgt_id ? -1 : x->pgt_id > y->pgt_id;
}

List *
pgt_stream_table_all(void)
{
	PgtTableScan scan;
	HeapTuple	tuple;
	PgtRow		row;
	List	   *result = NIL;

	pgt_table_begin(&scan, PGT_TABLE_STATE, AccessShareLock, NULL, NULL, 0);
	while (HeapTupleIsValid(tuple = pgt_table_next(&scan)))
	{
		PgtStreamTable *st = palloc0(sizeof(PgtStreamTable));

		pgt_table_deform(&scan, tuple, &row);
		state_from_row(st, &row);
		if (load_definition(st))
			result = lappend(result, st);
	}
	pgt_table_end(&scan);
	list_sort(result, cmp_pgt_id);
	return result;
}

List *
pgt_stream_table_unrestored(void)
{
	PgtTableScan scan;
	HeapTuple	tuple;
	PgtRow		row;
	List	   *result = NIL;

	pgt_table_begin(&scan, PGT_TABLE_DEFINITIONS, AccessShareLock, NULL, NULL, 0);
	while (HeapTupleIsValid(tuple = pgt_table_next(&scan)))
	{
		PgtStreamTable *st = palloc0(sizeof(PgtStreamTable));
		ScanKeyData key;

		pgt_table_deform(&scan, tuple, &row);
		definition_from_row(st, &row);
		pgt_table_key_int8(&key, S_ID, st->pgt_id);
		if (load_by_key(&key, NULL) == NULL)
			result = lappend(result, st);
	}
	pgt_table_end(&scan);
	list_sort(result, cmp_pgt_id);
	return result;
}

static void
invalidate_relid_set(void)
{
	CacheInvalidateRelcacheByRelid(pgt_catalog_relid(PGT_TABLE_STATE));
}

static int64
next_pgt_id(void)
{
	Oid			seq = get_relname_relid("pgt_id_seq", pgt_schema_oid());

	return nextval_internal(seq, false);
}

int64
pgt_stream_table_insert(PgtStreamTable *st)
{
	PgtRow		row;

	if (st->pgt_id == 0)
	{
		st->pgt_id = next_pgt_id();
		definition_to_row(st, &row);
		pgt_table_insert(PGT_TABLE_DEFINITIONS, &row);
	}
	state_to_row(st, &row);
	pgt_table_insert(PGT_TABLE_STATE, &row);
	pgt_progress_insert(st->pgt_id);
	pgt_marker_insert(st->pgt_id);
	invalidate_relid_set();
	return st->pgt_id;
}

static void
update_row(PgtCatalogTable table, int64 pgt_id, PgtRow *row)
{
	PgtTableScan scan;
	ScanKeyData key;
	HeapTuple	tuple;

	pgt_table_key_int8(&key, 1, pgt_id);
	pgt_table_begin(&scan, table, RowExclusiveLock, NULL, &key, 1);
	tuple = pgt_table_next(&scan);
	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "no catalog row for stream table " INT64_FORMAT, pgt_id);
	if (!pgt_table_lock_row(&scan, tuple, false))
		ereport(ERROR,
				(errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
				 errmsg("a stream table's definition was changed by another session meanwhile"),
				 errhint("Try again.")));
	pgt_table_replace(&scan, tuple, row);
	pgt_table_end(&scan);
}

void
pgt_stream_table_await(int64 pgt_id)
{
	PgtTableScan scan;
	ScanKeyData key;
	HeapTuple	tuple;

	pgt_table_key_int8(&key, 1, pgt_id);
	pgt_table_begin(&scan, PGT_TABLE_STATE, RowExclusiveLock, NULL, &key, 1);
	tuple = pgt_table_next(&scan);
	if (HeapTupleIsValid(tuple))
		(void) pgt_table_lock_row(&scan, tuple, true);
	pgt_table_end(&scan);
	/* the next look is to see what was waited for */
	InvalidateCatalogSnapshot();
}

void
pgt_stream_table_update(PgtStreamTable *st)
{
	PgtRow		row;

	st->updated_at = GetCurrentTimestamp();
	definition_to_row(st, &row);
	update_row(PGT_TABLE_DEFINITIONS, st->pgt_id, &row);
	state_to_row(st, &row);
	update_row(PGT_TABLE_STATE, st->pgt_id, &row);
	invalidate_relid_set();
}

void
pgt_stream_table_set_status(int64 pgt_id, const char *status,
							bool needs_reinit, const char *reinit_reason)
{
	PgtStreamTable *st = pgt_stream_table_get(pgt_id, false);
	PgtRow		row;

	st->status = pstrdup(status);
	st->needs_reinit = needs_reinit;
	st->reinit_reason = reinit_reason ? pstrdup(reinit_reason) : NULL;
	state_to_row(st, &row);
	update_row(PGT_TABLE_STATE, pgt_id, &row);
	/* writers of an IMMEDIATE one keep in mind whether it is maintained */
	if (strcmp(st->refresh_mode, "IMMEDIATE") == 0)
		invalidate_relid_set();
}

static void
delete_rows(PgtCatalogTable table, AttrNumber attno, const char *index_name,
			int64 pgt_id)
{
	PgtTableScan scan;
	ScanKeyData key;
	HeapTuple	tuple;

	pgt_table_key_int8(&key, attno, pgt_id);
	pgt_table_begin(&scan, table, RowExclusiveLock, index_name, &key, 1);
	while (HeapTupleIsValid(tuple = pgt_table_next(&scan)))
		CatalogTupleDelete(scan.rel, &tuple->t_self);
	pgt_table_end(&scan);
}

void
pgt_stream_table_delete(int64 pgt_id)
{
	delete_rows(PGT_TABLE_STATE, 1, NULL, pgt_id);
	delete_rows(PGT_TABLE_PROGRESS, 1, NULL, pgt_id);
	delete_rows(PGT_TABLE_IMMEDIATE, 1, NULL, pgt_id);
	delete_rows(PGT_TABLE_DEPENDENCIES, 1, NULL, pgt_id);
	delete_rows(PGT_TABLE_HISTORY, 2, "pgt_refresh_history_st", pgt_id);
	delete_rows(PGT_TABLE_DEFINITIONS, 1, NULL, pgt_id);
	invalidate_relid_set();
}

static void
relid_set_callback(Datum arg, Oid relid)
{
	if (relid == InvalidOid || relid == relid_set_source)
		relid_set_valid = false;
}

static void
load_relid_set(void)
{
	static bool registered = false;
	HASHCTL		ctl = {.keysize = sizeof(Oid), .entrysize = sizeof(Oid)};
	PgtTableScan scan;
	HeapTuple	tuple;
	PgtRow		row;

	if (!registered)
	{
		CacheRegisterRelcacheCallback(relid_set_callback, (Datum) 0);
		registered = true;
	}
	if (relid_set != NULL)
		hash_destroy(relid_set);
	relid_set = hash_create("pg_trickle stream tables", 64, &ctl,
							HASH_ELEM | HASH_BLOBS);
	relid_set_source = pgt_catalog_relid(PGT_TABLE_STATE);
	relid_set_valid = true;		/* before the scan: it may be invalidated in it */
	pgt_table_begin(&scan, PGT_TABLE_STATE, AccessShareLock, NULL, NULL, 0);
	while (HeapTupleIsValid(tuple = pgt_table_next(&scan)))
	{
		Oid			relid;

		pgt_table_deform(&scan, tuple, &row);
		relid = DatumGetObjectId(row.values[S_RELID - 1]);
		hash_search(relid_set, &relid, HASH_ENTER, NULL);
	}
	pgt_table_end(&scan);
}

bool
pgt_is_stream_table(Oid relid)
{
	if (!pgt_extension_installed())
		return false;
	if (!relid_set_valid || relid_set_source != pgt_catalog_relid(PGT_TABLE_STATE))
		load_relid_set();
	return hash_search(relid_set, &relid, HASH_FIND, NULL) != NULL;
}

bool
pgt_is_engine_table(Oid relid)
{
	Oid			nsp;

	if (!pgt_extension_installed())
		return false;
	nsp = get_rel_namespace(relid);
	return OidIsValid(nsp) &&
		(nsp == pgt_changes_schema_oid() || nsp == pgt_state_schema_oid());
}
