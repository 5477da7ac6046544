/*
 * applier/capture/buffer.c - change buffers: tables, and appending to them.
 *
 * A source has two segments, pgtrickle_changes.changes_<oid>_0 and _1:
 *
 *   xid xid8, batch int4, chunk int4    top-level transaction, number of the
 *                                       batch in it, piece of the batch
 *   written_at timestamptz, nchanges int4, flags int4   of the whole batch, in
 *                                       each piece
 *   data bytea                          the batch (decoder/wire.h) or a piece
 *
 * with a primary key on the first three.  A row fills at most one page and
 * data has storage PLAIN: there is no TOAST table, nothing is compressed, and
 * a batch larger than a page is cut into pieces.
 *
 * Writers append with heap and index routines as whatever user they are; no
 * rights are needed on the buffer, and none are given to anyone.  Inserts are
 * marked as of no interest to logical decoding: a publication FOR ALL TABLES
 * does not carry buffers, and our own decoder does not see them.
 *
 * On ERROR or crash a batch disappears with its transaction.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/heapam.h"
#include "access/htup_details.h"
#include "access/reloptions.h"
#include "access/table.h"
#include "access/xact.h"
#include "catalog/dependency.h"
#include "catalog/heap.h"
#include "catalog/index.h"
#include "catalog/pg_am.h"
#include "catalog/pg_class.h"
#include "catalog/pg_extension.h"
#include "catalog/pg_type.h"
#include "commands/defrem.h"
#include "nodes/execnodes.h"
#include "nodes/makefuncs.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/xid8.h"

#include "applier/capture/buffer.h"
#include "applier/capture/capture.h"
#include "applier/catalog/catalog.h"
#include "decoder/compat.h"

/* batches are numbered per top-level transaction, over all sources */
static FullTransactionId numbered_xid;
static int32 last_batch = 0;

static char *
segment_name(Oid source, int segment)
{
	return psprintf("changes_%u_%d", source, segment);
}

PgtBufferRef
pgt_buffer_ref(Oid source, int segment)
{
	char	   *name = segment_name(source, segment);
	Oid			schema = pgt_changes_schema_oid();
	PgtBufferRef ref;

	ref.heap = get_relname_relid(name, schema);
	ref.index = get_relname_relid(psprintf("%s_pkey", name), schema);
	return ref;
}

/* ---- making and dropping ---- */

static void
add_column(TupleDesc desc, AttrNumber attnum, const char *name, Oid type)
{
	TupleDescInitEntry(desc, attnum, name, type, -1, 0);
	TupleDescAttr(desc, attnum - 1)->attnotnull = true;
	pgt_attribute_changed(desc, attnum - 1);
}

static TupleDesc
segment_desc(void)
{
	TupleDesc	desc = CreateTemplateTupleDesc(PGT_BUF_COLUMNS);

	add_column(desc, PGT_BUF_XID, "xid", XID8OID);
	add_column(desc, PGT_BUF_BATCH, "batch", INT4OID);
	add_column(desc, PGT_BUF_CHUNK, "chunk", INT4OID);
	add_column(desc, PGT_BUF_WRITTEN_AT, "written_at", TIMESTAMPTZOID);
	add_column(desc, PGT_BUF_NCHANGES, "nchanges", INT4OID);
	add_column(desc, PGT_BUF_FLAGS, "flags", INT4OID);
	add_column(desc, PGT_BUF_DATA, "data", BYTEAOID);
	TupleDescAttr(desc, PGT_BUF_DATA - 1)->attstorage = TYPSTORAGE_PLAIN;
	pgt_attribute_changed(desc, PGT_BUF_DATA - 1);
	pgt_tupdesc_finish(desc);
	return desc;
}

static DefElem *
option(const char *name, const char *value)
{
	return makeDefElem(pstrdup(name), (Node *) makeString(pstrdup(value)), -1);
}

/* Rows are only added and a segment is emptied as a whole: vacuum has nothing
 * to gain but freezing, and no planner reads the statistics. */
static Datum
segment_options(void)
{
	List	   *options = list_make2(option("autovacuum_vacuum_insert_threshold", "-1"),
									option("autovacuum_analyze_threshold", "2147483647"));

	return transformRelOptions((Datum) 0, options, NULL, NULL, false, false);
}

static void
create_index(Oid heap, const char *segment)
{
	IndexStmt  *stmt = makeNode(IndexStmt);
	static const char *const keys[] = {"xid", "batch", "chunk"};

	stmt->idxname = psprintf("%s_pkey", segment);
	stmt->accessMethod = pstrdup("btree");
	for (int i = 0; i < lengthof(keys); i++)
	{
		IndexElem  *elem = makeNode(IndexElem);

		elem->name = pstrdup(keys[i]);
		elem->ordering = SORTBY_DEFAULT;
		elem->nulls_ordering = SORTBY_NULLS_DEFAULT;
		stmt->indexParams = lappend(stmt->indexParams, elem);
	}
	stmt->unique = true;
	stmt->primary = true;
	stmt->isconstraint = true;
	stmt->transformed = true;
	pgt_define_index(heap, stmt);
	CommandCounterIncrement();
}

static void
create_segment(Oid source, int segment)
{
	char	   *name = segment_name(source, segment);
	ObjectAddress table,
				extension;
	Oid			relid;

	relid = heap_create_with_catalog(name, pgt_changes_schema_oid(), InvalidOid,
									 InvalidOid, InvalidOid, InvalidOid,
									 pgt_extension_owner(),
									 HEAP_TABLE_AM_OID, segment_desc(), NIL,
									 RELKIND_RELATION,
									 RELPERSISTENCE_PERMANENT, false, false,
									 ONCOMMIT_NOOP, segment_options(), false,
									 false, true, InvalidOid, NULL);
	CommandCounterIncrement();
	ObjectAddressSet(table, RelationRelationId, relid);
	ObjectAddressSet(extension, ExtensionRelationId, pgt_extension_oid());
	recordDependencyOn(&table, &extension, DEPENDENCY_EXTENSION);
	create_index(relid, name);
}

/* Both segments, where they are missing. */
void
pgt_buffer_create(Oid source)
{
	for (int i = 0; i < PGT_BUFFER_SEGMENTS; i++)
		if (!OidIsValid(pgt_buffer_ref(source, i).heap))
			create_segment(source, i);
}

void
pgt_buffer_drop(Oid source)
{
	ObjectAddresses *objects = new_object_addresses();

	for (int i = 0; i < PGT_BUFFER_SEGMENTS; i++)
	{
		PgtBufferRef ref = pgt_buffer_ref(source, i);
		ObjectAddress table;

		if (!OidIsValid(ref.heap))
			continue;
		ObjectAddressSet(table, RelationRelationId, ref.heap);
		add_exact_object_address(&table, objects);
	}
	performMultipleDeletions(objects, DROP_RESTRICT,
							 PERFORM_DELETION_INTERNAL |
							 PERFORM_DELETION_SKIP_EXTENSIONS);
	free_object_addresses(objects);
}

/* ---- appending ---- */

static int32
next_batch(FullTransactionId xid)
{
	if (!FullTransactionIdEquals(xid, numbered_xid))
	{
		numbered_xid = xid;
		last_batch = 0;
	}
	return ++last_batch;
}

int32
pgt_capture_own_batches(void)
{
	FullTransactionId xid = GetTopFullTransactionIdIfAny();

	if (!FullTransactionIdIsValid(xid) ||
		!FullTransactionIdEquals(xid, numbered_xid))
		return 0;
	return last_batch;
}

/* What is needed for row after row. */
struct PgtBufferAppender
{
	Relation	heap;
	Relation	index;
	IndexInfo  *index_info;
	Datum		values[PGT_BUF_COLUMNS];
};

static void
insert_piece(PgtBufferAppender *a, int32 chunk, const char *data, Size len)
{
	bool		nulls[PGT_BUF_COLUMNS] = {false};
	union
	{
		struct varlena head;
		char		bytes[VARHDRSZ + PGT_BUFFER_PIECE];
	}			piece;
	HeapTuple	tuple;

	Assert(len <= PGT_BUFFER_PIECE);
	SET_VARSIZE(&piece, VARHDRSZ + len);
	memcpy(piece.bytes + VARHDRSZ, data, len);
	a->values[PGT_BUF_CHUNK - 1] = Int32GetDatum(chunk);
	a->values[PGT_BUF_DATA - 1] = PointerGetDatum(&piece);

	tuple = heap_form_tuple(RelationGetDescr(a->heap), a->values, nulls);
	heap_insert(a->heap, tuple, GetCurrentCommandId(true),
				HEAP_INSERT_NO_LOGICAL, NULL);
	index_insert(a->index, a->values, nulls, &tuple->t_self, a->heap,
				 UNIQUE_CHECK_YES, false, a->index_info);
	heap_freetuple(tuple);
}

static void
insert_batch(PgtBufferAppender *a, FullTransactionId xid, int32 batch,
			 TimestampTz written_at, uint32 nchanges, uint16 flags,
			 const char *data, Size len)
{
	int32		chunk = 0;

	a->values[PGT_BUF_XID - 1] = FullTransactionIdGetDatum(xid);
	a->values[PGT_BUF_BATCH - 1] = Int32GetDatum(batch);
	a->values[PGT_BUF_WRITTEN_AT - 1] = TimestampTzGetDatum(written_at);
	a->values[PGT_BUF_NCHANGES - 1] = Int32GetDatum(nchanges);
	a->values[PGT_BUF_FLAGS - 1] = Int32GetDatum(flags);

	for (Size pos = 0; pos < len; pos += PGT_BUFFER_PIECE)
		insert_piece(a, chunk++, data + pos, Min(len - pos, PGT_BUFFER_PIECE));
}

static void
open_index(PgtBufferAppender *a, const PgtBufferRef *buffer)
{
	a->index = index_open(buffer->index, RowExclusiveLock);
	a->index_info = BuildIndexInfo(a->index);
}

void
pgt_buffer_append(const PgtBufferRef *buffer, PgtWireWriter *w)
{
	FullTransactionId xid = GetTopFullTransactionId();
	PgtBufferAppender a;

	pgt_wire_write_end(w, xid);
	a.heap = table_open(buffer->heap, RowExclusiveLock);
	open_index(&a, buffer);
	insert_batch(&a, xid, next_batch(xid), GetCurrentStatementStartTimestamp(),
				 w->nchanges, w->flags, w->data, w->len);
	index_close(a.index, NoLock);
	table_close(a.heap, NoLock);
}

PgtBufferAppender *
pgt_buffer_open(const PgtBufferRef *buffer)
{
	PgtBufferAppender *a = palloc0(sizeof(PgtBufferAppender));

	a->heap = try_table_open(buffer->heap, RowExclusiveLock);
	if (a->heap == NULL)
		return NULL;
	open_index(a, buffer);
	return a;
}

void
pgt_buffer_add(PgtBufferAppender *a, const PgtWireHeader *header, int32 batch,
			   TimestampTz written_at, const char *data)
{
	insert_batch(a, header->xid, batch, written_at, header->nchanges,
				 header->flags, data, header->length);
}

void
pgt_buffer_close(PgtBufferAppender *a)
{
	index_close(a->index, NoLock);
	table_close(a->heap, NoLock);
	pfree(a);
}
