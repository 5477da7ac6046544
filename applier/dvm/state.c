/*
 * applier/dvm/state.c - the tables in which operators remember their rows.
 *
 * Owns the tables pgtrickle_state.s<pgt_id>_<op id> (layout: state.h) and
 * their indexes.  They belong to the extension's owner and are members of the
 * extension: no privileges for anyone, left out of dumps, gone with DROP
 * EXTENSION.  REPLICA IDENTITY FULL, so that a publication for all tables
 * does not stop refreshes.
 *
 * Look-ups read with the latest snapshot: whoever runs a program holds what
 * keeps others from writing the same groups.  Locks: RowExclusiveLock until
 * commit for reading and writing, AccessExclusiveLock to truncate and drop.
 * Everything is transactional; nothing outlives an ERROR.
 */
#include "postgres.h"
#include "access/genam.h"
#include "access/htup_details.h"
#include "access/nbtree.h"
#include "access/reloptions.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "catalog/dependency.h"
#include "catalog/heap.h"
#include "catalog/index.h"
#include "catalog/indexing.h"
#include "catalog/pg_am.h"
#include "catalog/pg_class.h"
#include "catalog/pg_extension.h"
#include "catalog/pg_type.h"
#include "catalog/toasting.h"
#include "commands/defrem.h"
#include "commands/tablecmds.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "nodes/makefuncs.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"
#include "utils/typcache.h"

#include "applier/catalog/catalog.h"
#include "applier/dvm/aggregate.h"
#include "applier/dvm/state.h"
#include "decoder/compat.h"

/* ---- the shape ---- */

bool
pgt_reduce_has_images(const PgtReduceOp *op)
{
	for (int i = 0; i < op->nkeys; i++)
		if (!op->keys[i].image_equal)
			return true;
	return false;
}

AttrNumber
pgt_state_reduce_attno(const PgtOp *reduce, int outcol)
{
	const PgtReduceOp *op = (const PgtReduceOp *) reduce;

	if (outcol < 1 || outcol > op->nkeys + op->naggs)
		elog(ERROR, "a reduce of %d columns has no column %d",
			 op->nkeys + op->naggs, outcol);
	if (outcol <= op->nkeys)
		return op->keys[outcol - 1].state_attno;
	return op->aggs[outcol - 1 - op->nkeys].out_attno;
}

static int
state_natts(const PgtReduceOp *op)
{
	int			natts = op->nkeys + 2 + (pgt_reduce_has_images(op) ? 1 : 0);

	for (int i = 0; i < op->naggs; i++)
	{
		natts++;
		if (op->aggs[i].state_attno != 0)
			natts += pgt_agg_plan(&op->aggs[i])->has_count ? 2 : 1;
	}
	return natts;
}

void
pgt_state_column(TupleDesc desc, AttrNumber attno, const char *name, Oid type,
		   int32 typmod, Oid collation)
{
	TupleDescInitEntry(desc, attno, name, type, typmod, 0);
	TupleDescInitEntryCollation(desc, attno, collation);
}

TupleDesc
pgt_state_reduce_desc(const PgtOp *reduce)
{
	const PgtReduceOp *op = (const PgtReduceOp *) reduce;
	TupleDesc	desc = CreateTemplateTupleDesc(state_natts(op));
	TupleDesc	out = op->op.outdesc;

	pgt_state_column(desc, PGT_STATE_HASH_ATTNO, "pgt_hash", INT8OID, -1, InvalidOid);
	for (int i = 0; i < op->nkeys; i++)
		pgt_state_column(desc, op->keys[i].state_attno, psprintf("k%d", i + 1),
				   op->keys[i].type, op->keys[i].typmod, op->keys[i].collation);
	pgt_state_column(desc, pgt_state_count_attno(op), "n", INT8OID, -1, InvalidOid);
	if (pgt_reduce_has_images(op))
		pgt_state_column(desc, pgt_state_images_attno(op), "images", BYTEAOID, -1,
				   InvalidOid);
	for (int i = 0; i < op->naggs; i++)
	{
		PgtAggSpec *agg = &op->aggs[i];
		Form_pg_attribute att = TupleDescAttr(out, op->nkeys + i);

		pgt_state_column(desc, agg->out_attno, psprintf("o%d", i + 1),
				   att->atttypid, att->atttypmod, att->attcollation);
		if (agg->state_attno == 0)
			continue;
		pgt_state_column(desc, agg->state_attno, psprintf("s%d", i + 1),
				   pgt_agg_plan(agg)->state_type, -1,
				   pgt_agg_plan(agg)->state_collation);
		if (pgt_agg_plan(agg)->has_count)
			pgt_state_column(desc, agg->state_attno + 1, psprintf("c%d", i + 1),
					   INT8OID, -1, InvalidOid);
	}
	pgt_tupdesc_finish(desc);
	return desc;
}

static char *
state_name(int64 pgt_id, int op_id)
{
	return psprintf("s" INT64_FORMAT "_%d", pgt_id, op_id);
}

/* ---- creating ---- */

static Oid
create_table(const char *name, TupleDesc desc)
{
	List	   *options;
	Datum		reloptions;
	Oid			relid;
	ObjectAddress table;
	ObjectAddress extension;

	options = list_make1(makeDefElem("fillfactor",
									 (Node *) makeInteger(PGT_FILLFACTOR), -1));
	reloptions = transformRelOptions((Datum) 0, options, NULL, NULL, false,
									 false);
	relid = heap_create_with_catalog(name, pgt_state_schema_oid(), InvalidOid,
									 InvalidOid, InvalidOid, InvalidOid,
									 pgt_extension_owner(),
									 HEAP_TABLE_AM_OID, desc, NIL,
									 RELKIND_RELATION, RELPERSISTENCE_PERMANENT,
									 false, false, ONCOMMIT_NOOP, reloptions,
									 false, false, true, InvalidOid, NULL);
	CommandCounterIncrement();
	NewRelationCreateToastTable(relid, (Datum) 0);
	ObjectAddressSet(table, RelationRelationId, relid);
	ObjectAddressSet(extension, ExtensionRelationId, pgt_extension_oid());
	recordDependencyOn(&table, &extension, DEPENDENCY_EXTENSION);
	CommandCounterIncrement();
	return relid;
}

static void
run_ddl(const char *sql)
{
	if (SPI_execute(sql, false, 0) != SPI_OK_UTILITY)
		elog(ERROR, "could not run \"%s\"", sql);
}

/* Can a btree hold this key whatever its value? */
static bool
short_key(const PgtKeySpec *key)
{
	TypeCacheEntry *type = lookup_type_cache(key->type, TYPECACHE_BTREE_OPFAMILY);

	if (!OidIsValid(type->btree_opf))
		return false;
	if (type->typlen != -1)
		return true;
	switch (getBaseType(key->type))
	{
		case NUMERICOID:
		case INETOID:
		case CIDROID:
			return true;
		default:
			return false;
	}
}

static bool
hashable_key(const PgtKeySpec *key)
{
	return OidIsValid(key->hashfn) &&
		OidIsValid(lookup_type_cache(key->type, TYPECACHE_HASH_OPFAMILY)->hash_opf);
}

/*
 * Indexes for those who join to the rows: a btree on the keys that are always
 * short enough for one, a hash index on the first other key.
 */
void
pgt_state_key_indexes(const PgtOp *op, const char *name,
					  const PgtKeySpec *keys, int nkeys,
					  const AttrNumber *attnos)
{
	TupleDesc	desc = op->methods->state_desc(op);
	StringInfoData columns;
	int			n = 0;
	AttrNumber	other = 0;

	initStringInfo(&columns);
	for (int i = 0; i < nkeys; i++)
	{
		if (short_key(&keys[i]) && n < INDEX_MAX_KEYS)
			appendStringInfo(&columns, "%s%s", n++ > 0 ? ", " : "",
							 NameStr(TupleDescAttr(desc, attnos[i] - 1)->attname));
		else if (other == 0 && hashable_key(&keys[i]))
			other = attnos[i];
	}
	if (n > 0)
		run_ddl(psprintf("CREATE INDEX %s_key ON pgtrickle_state.%s USING btree (%s)",
						 name, name, columns.data));
	if (other > 0)
		run_ddl(psprintf("CREATE INDEX %s_key_hash ON pgtrickle_state.%s USING hash (%s)",
						 name, name,
						 NameStr(TupleDescAttr(desc, other - 1)->attname)));
}

void
pgt_state_column_index(const PgtOp *op, const char *name, AttrNumber attno)
{
	TupleDesc	desc = op->methods->state_desc(op);
	Form_pg_attribute att = TupleDescAttr(desc, attno - 1);
	PgtKeySpec	key = {.type = att->atttypid};
	bool		hash = OidIsValid(lookup_type_cache(att->atttypid,
													TYPECACHE_HASH_OPFAMILY)->hash_opf);

	if (!short_key(&key) && !hash)
		return;
	run_ddl(psprintf("CREATE INDEX %s_%d ON pgtrickle_state.%s USING %s (%s)",
					 name, attno, name, short_key(&key) ? "btree" : "hash",
					 NameStr(att->attname)));
}

void
pgt_state_hash_index(const char *name)
{
	run_ddl(psprintf("CREATE INDEX %s_hash ON pgtrickle_state.%s USING btree (pgt_hash)",
					 name, name));
}

void
pgt_state_reduce_indexes(const PgtOp *reduce, const char *name)
{
	const PgtReduceOp *op = (const PgtReduceOp *) reduce;
	AttrNumber *attnos = palloc(sizeof(AttrNumber) * (op->nkeys + 1));

	pgt_state_hash_index(name);
	if (!reduce->readable)
		return;
	for (int i = 0; i < op->nkeys; i++)
		attnos[i] = op->keys[i].state_attno;
	pgt_state_key_indexes(reduce, name, op->keys, op->nkeys, attnos);
}

/* An index for those above who look rows up by these output columns. */
static void
create_wanted_index(const PgtOp *op, const char *name, List *cols, int nth)
{
	TupleDesc	desc = op->methods->state_desc(op);
	StringInfoData columns;
	const char *other = NULL;
	ListCell   *lc;

	initStringInfo(&columns);
	foreach(lc, cols)
	{
		AttrNumber	attno = op->methods->state_attno(op, lfirst_int(lc));
		Form_pg_attribute att = TupleDescAttr(desc, attno - 1);
		PgtKeySpec	key = {.type = att->atttypid};

		if (short_key(&key))
			appendStringInfo(&columns, "%s%s", columns.len > 0 ? ", " : "",
							 NameStr(att->attname));
		else if (other == NULL &&
				 OidIsValid(lookup_type_cache(att->atttypid,
											  TYPECACHE_HASH_OPFAMILY)->hash_opf))
			other = NameStr(att->attname);
	}
	if (columns.len > 0)
		run_ddl(psprintf("CREATE INDEX %s_by%d ON pgtrickle_state.%s USING btree (%s)",
						 name, nth, name, columns.data));
	else if (other != NULL)
		run_ddl(psprintf("CREATE INDEX %s_by%d ON pgtrickle_state.%s USING hash (%s)",
						 name, nth, name, other));
}

static void
create_indexes(const PgtOp *op, const char *name)
{
	int			nth = 0;
	ListCell   *lc;

	SPI_connect();
	op->methods->state_indexes(op, name);
	if (op->methods->state_attno != NULL)
		foreach(lc, op->wanted)
			create_wanted_index(op, name, lfirst(lc), ++nth);
	run_ddl(psprintf("ALTER TABLE pgtrickle_state.%s REPLICA IDENTITY FULL",
					 name));
	SPI_finish();
}

/*
 * Make the empty table for op and its indexes; returns its OID.  A table of
 * the same name is dropped.
 */
Oid
pgt_state_create(int64 pgt_id, PgtOp *op)
{
	char	   *name = state_name(pgt_id, op->id);
	Oid			old = get_relname_relid(name, pgt_state_schema_oid());
	Oid			userid;
	int			context;
	Oid			relid;

	if (OidIsValid(old))
	{
		ObjectAddress object;

		ObjectAddressSet(object, RelationRelationId, old);
		performDeletion(&object, DROP_RESTRICT,
						PERFORM_DELETION_INTERNAL | PERFORM_DELETION_QUIETLY |
						PERFORM_DELETION_SKIP_EXTENSIONS);
		CommandCounterIncrement();
	}
	GetUserIdAndSecContext(&userid, &context);
	SetUserIdAndSecContext(pgt_extension_owner(),
						   context | SECURITY_LOCAL_USERID_CHANGE);
	pgt_engine_begin_write();
	relid = create_table(name, op->methods->state_desc(op));
	create_indexes(op, name);
	pgt_engine_end_write();
	SetUserIdAndSecContext(userid, context);
	op->state_relid = relid;
	return relid;
}

static bool
fits(Relation rel, const PgtOp *op)
{
	TupleDesc	wanted = op->methods->state_desc(op);
	TupleDesc	desc = RelationGetDescr(rel);

	if (wanted->natts != desc->natts)
		return false;
	for (int i = 0; i < desc->natts; i++)
	{
		Form_pg_attribute a = TupleDescAttr(wanted, i);
		Form_pg_attribute b = TupleDescAttr(desc, i);

		if (b->attisdropped || a->atttypid != b->atttypid ||
			a->attcollation != b->attcollation ||
			strcmp(NameStr(a->attname), NameStr(b->attname)) != 0)
			return false;
	}
	return true;
}

/* The table of op, if it is there and has the columns op needs. */
Oid
pgt_state_lookup(int64 pgt_id, const PgtOp *op)
{
	Oid			relid = get_relname_relid(state_name(pgt_id, op->id),
										  pgt_state_schema_oid());
	Relation	rel;
	bool		ok;

	if (!OidIsValid(relid))
		return InvalidOid;
	rel = table_open(relid, AccessShareLock);
	ok = fits(rel, op);
	table_close(rel, NoLock);
	return ok ? relid : InvalidOid;
}

/* Empty the table for this transaction on; readers of the old contents keep
 * them (new storage, as TRUNCATE). */
void
pgt_state_truncate(Oid state_relid)
{
	Relation	rel = table_open(state_relid, AccessExclusiveLock);
	Oid			toast = rel->rd_rel->reltoastrelid;
	ReindexParams params = {0};

	CheckTableNotInUse(rel, "rebuild of state");
	pgt_set_new_relfilenumber(rel, RELPERSISTENCE_PERMANENT);
	if (OidIsValid(toast))
	{
		Relation	toastrel = table_open(toast, AccessExclusiveLock);

		pgt_set_new_relfilenumber(toastrel, RELPERSISTENCE_PERMANENT);
		table_close(toastrel, NoLock);
	}
	pgt_reindex_relation(state_relid, REINDEX_REL_PROCESS_TOAST, &params);
	table_close(rel, NoLock);
	CommandCounterIncrement();
}

/* ---- dropping ---- */

static bool
belongs_to(const char *name, int64 pgt_id)
{
	char	   *prefix = psprintf("s" INT64_FORMAT "_", pgt_id);
	Size		len = strlen(prefix);

	return strncmp(name, prefix, len) == 0 &&
		strspn(name + len, "0123456789") == strlen(name + len);
}

/* Drop all state tables of a stream table. */
void
pgt_state_drop_all(int64 pgt_id)
{
	Relation	pg_class = table_open(RelationRelationId, AccessShareLock);
	ObjectAddresses *objects = new_object_addresses();
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple	tuple;

	ScanKeyInit(&key, Anum_pg_class_relnamespace, BTEqualStrategyNumber,
				F_OIDEQ, ObjectIdGetDatum(pgt_state_schema_oid()));
	scan = systable_beginscan(pg_class, InvalidOid, false, NULL, 1, &key);
	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		Form_pg_class form = (Form_pg_class) GETSTRUCT(tuple);
		ObjectAddress object;

		if (form->relkind != RELKIND_RELATION ||
			!belongs_to(NameStr(form->relname), pgt_id))
			continue;
		ObjectAddressSet(object, RelationRelationId, form->oid);
		add_exact_object_address(&object, objects);
	}
	systable_endscan(scan);
	table_close(pg_class, NoLock);
	performMultipleDeletions(objects, DROP_RESTRICT,
							 PERFORM_DELETION_INTERNAL |
							 PERFORM_DELETION_QUIETLY |
							 PERFORM_DELETION_SKIP_EXTENSIONS);
	free_object_addresses(objects);
	CommandCounterIncrement();
}

/* ---- reading ---- */

static Relation
open_hash_index(Relation rel)
{
	List	   *indexes = RelationGetIndexList(rel);
	ListCell   *lc;

	foreach(lc, indexes)
	{
		Relation	index = index_open(lfirst_oid(lc), AccessShareLock);

		if (index->rd_rel->relam == BTREE_AM_OID &&
			index->rd_index->indkey.values[0] == PGT_STATE_HASH_ATTNO)
			return index;
		index_close(index, NoLock);
	}
	ereport(ERROR,
			(errcode(ERRCODE_DATA_CORRUPTED),
			 errmsg("state table \"%s\" has no index on its hash",
					RelationGetRelationName(rel)),
			 errhint("Rebuild the stream table with refresh_stream_table(name, 'FULL').")));
}

PgtStateTable *
pgt_state_open(const PgtOp *op)
{
	PgtStateTable *state = palloc0(sizeof(PgtStateTable));

	if (!OidIsValid(op->state_relid))
		elog(ERROR, "operator %d has no state table", op->id);
	state->rel = table_open(op->state_relid, RowExclusiveLock);
	state->index = open_hash_index(state->rel);
	state->found = table_slot_create(state->rel, NULL);
	state->row = MakeSingleTupleTableSlot(RelationGetDescr(state->rel),
										  &TTSOpsVirtual);
	state->writer = pgt_writer_begin(state->rel, false);
	return state;
}

/* What an index scan allocates on its way must live as long as the scan. */
void
pgt_state_seek(PgtStateTable *state, uint64 hash)
{
	MemoryContext old = MemoryContextSwitchTo(GetMemoryChunkContext(state));

	ScanKeyInit(&state->key, 1, BTEqualStrategyNumber, F_INT8EQ,
				Int64GetDatum((int64) hash));
	if (state->scan == NULL)
		state->scan = pgt_index_beginscan(state->rel, state->index,
										  RegisterSnapshot(GetLatestSnapshot()),
										  1);
	index_rescan(state->scan, &state->key, 1, NULL, 0);
	MemoryContextSwitchTo(old);
}

bool
pgt_state_next(PgtStateTable *state)
{
	MemoryContext old = MemoryContextSwitchTo(GetMemoryChunkContext(state));
	bool		found = index_getnext_slot(state->scan, ForwardScanDirection,
										   state->found);

	MemoryContextSwitchTo(old);
	return found;
}

void
pgt_state_close(PgtStateTable *state)
{
	if (state->scan != NULL)
	{
		Snapshot	snapshot = state->scan->xs_snapshot;

		index_endscan(state->scan);
		UnregisterSnapshot(snapshot);
	}
	pgt_writer_end(state->writer);
	ExecDropSingleTupleTableSlot(state->found);
	ExecDropSingleTupleTableSlot(state->row);
	index_close(state->index, NoLock);
	table_close(state->rel, NoLock);
}
