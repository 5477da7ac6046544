/*
 * decoder/decoder.c - the output plugin: WAL in, change batches out.
 *
 * Each message is one batch (wire.h): one source, one top-level transaction.
 * A transaction's batches come at its commit, in the order of its changes per
 * relation; nothing marks where it begins and ends but the xid.  Rolled back
 * savepoints do not come, prepared transactions come with COMMIT PREPARED.
 *
 * A relation is wanted when it, or a table that it inherits from, is among the
 * option "sources"; a change is written once for each source it belongs to.
 * Whether a relation is wanted is kept in a hash by oid, built under the
 * historic snapshot and dropped by relcache invalidation, so the first thing a
 * change meets is a look-up that says no.
 *
 * What the WAL cannot tell is never guessed: an UPDATE or DELETE without a
 * whole old row (REPLICA IDENTITY FULL, or the identity covers the columns
 * carried) becomes a LOST change, and the reader rebuilds.  Values stored out
 * of line that an UPDATE left alone are taken from the old row.
 *
 * Callbacks run in a transaction that core rolls back: they read catalogs and
 * write to memory of the decoding context only.  On ERROR the decoding context
 * goes, and all of this with it; the relcache callback finds no state then.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "catalog/indexing.h"
#include "catalog/pg_class.h"
#include "catalog/pg_inherits.h"
#include "replication/logical.h"
#include "replication/output_plugin.h"
#include "utils/fmgroids.h"
#include "utils/hsearch.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/relcache.h"

#include "decoder/compat.h"
#include "decoder/options.h"
#include "decoder/wire.h"

PG_MODULE_MAGIC;

extern PGDLLEXPORT void _PG_output_plugin_init(OutputPluginCallbacks *cb);

/* A batch is written out when it has grown to this many bytes ... */
#define BATCH_TARGET	(32 * 1024)
/* ... and all are when this many are open, to bound memory. */
#define MAX_OPEN		64

/* A source that a relation's changes are written for. */
typedef struct Target
{
	PgtWireShape *shape;
	AttrNumber *attnums;		/* of the shape's columns in the relation */
	const char *mismatch;		/* or why changes cannot be written */
	bool		old_is_whole;	/* old rows have all columns carried */
	bool		open;			/* is in State.open */
	FullTransactionId lost_in;	/* transaction that LOST was written in */
	PgtWireWriter writer;
} Target;

typedef struct Entry
{
	Oid			relid;			/* hash key */
	bool		valid;
	MemoryContext context;		/* owns targets */
	int			ntargets;
	Target	   *targets;
} Entry;

typedef struct State
{
	MemoryContext context;		/* lives as long as the decoding context */
	MemoryContext change_context;	/* reset after each change */
	PgtDecoderOptions *options;
	HTAB	   *entries;
	List	   *open;			/* of Target*, batches begun */
	FullTransactionId xid;		/* of the transaction at hand */
} State;

/* for the relcache callback, which cannot be taken back */
static HTAB *live_entries = NULL;

static void
forget_live_entries(void *arg)
{
	live_entries = NULL;
}

static void
on_relcache_change(Datum arg, Oid relid)
{
	HASH_SEQ_STATUS status;
	Entry	   *entry;

	if (live_entries == NULL)
		return;

	/* a change of an ancestor matters, too, and is rare: forget all */
	hash_seq_init(&status, live_entries);
	while ((entry = hash_seq_search(&status)) != NULL)
		entry->valid = false;
}

/* ---- begin and end of the decoding context ---- */

static void
create_entries(State *state)
{
	static bool registered = false;
	HASHCTL		ctl = {.keysize = sizeof(Oid),.entrysize = sizeof(Entry),
	.hcxt = state->context};
	MemoryContextCallback *callback =
		MemoryContextAllocZero(state->context, sizeof(MemoryContextCallback));

	state->entries = hash_create("pg_trickle decoder relations", 64, &ctl,
								 HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
	live_entries = state->entries;
	callback->func = forget_live_entries;
	MemoryContextRegisterResetCallback(state->context, callback);
	if (!registered)
		CacheRegisterRelcacheCallback(on_relcache_change, (Datum) 0);
	registered = true;
}

static void
decoder_startup(LogicalDecodingContext *ctx, OutputPluginOptions *opt,
				bool is_init)
{
	MemoryContext old;
	State	   *state;

	opt->output_type = OUTPUT_PLUGIN_BINARY_OUTPUT;
	opt->receive_rewrites = false;

	/* a slot is being created: nobody has given options yet */
	if (is_init)
		return;
	state = MemoryContextAllocZero(ctx->context, sizeof(State));
	state->context = AllocSetContextCreate(ctx->context, "pg_trickle decoder",
										   ALLOCSET_DEFAULT_SIZES);
	state->change_context = AllocSetContextCreate(state->context,
												  "pg_trickle decoder change",
												  ALLOCSET_DEFAULT_SIZES);
	old = MemoryContextSwitchTo(state->context);
	state->options = pgt_options_parse(ctx->output_plugin_options);
	create_entries(state);
	MemoryContextSwitchTo(old);
	ctx->output_plugin_private = state;
}

static void
decoder_shutdown(LogicalDecodingContext *ctx)
{
	State	   *state = ctx->output_plugin_private;

	if (state != NULL)
		MemoryContextDelete(state->context);
	ctx->output_plugin_private = NULL;
}

/* ---- batches out ---- */

static void
write_batch(LogicalDecodingContext *ctx, State *state, Target *target)
{
	pgt_wire_write_end(&target->writer, state->xid);
	OutputPluginPrepareWrite(ctx, true);
	appendBinaryStringInfo(ctx->out, target->writer.data, target->writer.len);
	OutputPluginWrite(ctx, true);
	target->open = false;
}

static void
write_all(LogicalDecodingContext *ctx, State *state)
{
	ListCell   *lc;

	foreach(lc, state->open)
	{
		Target	   *target = lfirst(lc);

		if (target->open)
			write_batch(ctx, state, target);
	}
	list_free(state->open);
	state->open = NIL;
}

static void
open_batch(LogicalDecodingContext *ctx, State *state, Target *target,
		   const PgtWireShape *shape)
{
	MemoryContext old;

	if (list_length(state->open) >= MAX_OPEN)
		write_all(ctx, state);
	pgt_wire_write_begin(&target->writer, shape);
	old = MemoryContextSwitchTo(state->context);
	state->open = list_append_unique_ptr(state->open, target);
	MemoryContextSwitchTo(old);
	target->open = true;
}

/* A batch with a LOST or a TRUNCATE alone, which carries no columns. */
static void
write_mark(LogicalDecodingContext *ctx, State *state, Target *target,
		   PgtWireOp op, const char *reason)
{
	PgtWireShape shape = {.source = target->shape->source};

	if (target->open)
		write_batch(ctx, state, target);
	open_batch(ctx, state, target, &shape);
	if (op == PGT_WIRE_TRUNCATE)
		pgt_wire_write_truncate(&target->writer);
	else
		pgt_wire_write_lost(&target->writer, reason);
	write_batch(ctx, state, target);
}

/* One LOST per transaction: after it nothing else of it is of use. */
static void
write_lost(LogicalDecodingContext *ctx, State *state, Target *target,
		   const char *reason)
{
	write_mark(ctx, state, target, PGT_WIRE_LOST, reason);
	target->lost_in = state->xid;
}

static void
write_change(LogicalDecodingContext *ctx, State *state, Target *target,
			 PgtWireTuple *old_tuple, PgtWireTuple *new_tuple)
{
	const PgtWireShape *shape = target->shape;
	Size		room = PGT_WIRE_MAX_BATCH - pgt_wire_header_size(shape);
	Size		size = pgt_wire_change_size(shape, old_tuple, new_tuple);

	if (size > room)
	{
		if (old_tuple != NULL && new_tuple != NULL)
		{
			write_change(ctx, state, target, old_tuple, NULL);
			write_change(ctx, state, target, NULL, new_tuple);
		}
		else
			write_lost(ctx, state, target, "a row is too large to be recorded");
		return;
	}
	if (target->open && target->writer.len + size > BATCH_TARGET)
		write_batch(ctx, state, target);
	if (!target->open)
		open_batch(ctx, state, target, shape);
	if (old_tuple == NULL)
		pgt_wire_write_insert(&target->writer, new_tuple);
	else if (new_tuple == NULL)
		pgt_wire_write_delete(&target->writer, old_tuple);
	else
		pgt_wire_write_update(&target->writer, old_tuple, new_tuple);
}

/* ---- which sources a relation belongs to ---- */

static bool
is_listed(const State *state, Oid relid)
{
	ListCell   *lc;

	foreach(lc, state->options->sources)
	{
		const PgtSourceName *source = lfirst(lc);
		char	   *name,
				   *schema;

		if (source->oid == relid)
			return true;
		if (OidIsValid(source->oid))
			continue;
		name = get_rel_name(relid);
		schema = get_namespace_name(get_rel_namespace(relid));
		if (name != NULL && schema != NULL &&
			strcmp(source->name, name) == 0 &&
			strcmp(source->schema, schema) == 0)
			return true;
	}
	return false;
}

static List *
parents_of(Oid relid)
{
	Relation	inherits = table_open(InheritsRelationId, AccessShareLock);
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple	tuple;
	List	   *parents = NIL;

	ScanKeyInit(&key, Anum_pg_inherits_inhrelid, BTEqualStrategyNumber,
				F_OIDEQ, ObjectIdGetDatum(relid));
	scan = systable_beginscan(inherits, InheritsRelidSeqnoIndexId, true, NULL,
							  1, &key);
	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
		parents = lappend_oid(parents,
							  ((Form_pg_inherits) GETSTRUCT(tuple))->inhparent);
	systable_endscan(scan);
	table_close(inherits, AccessShareLock);
	return parents;
}

/* The relation and its ancestors, as far as they are listed. */
static List *
listed_sources(const State *state, Oid relid)
{
	List	   *lineage = list_make1_oid(relid);
	List	   *sources = NIL;

	/* the list grows while it is walked */
	for (int i = 0; i < list_length(lineage); i++)
	{
		Oid			candidate = list_nth_oid(lineage, i);

		if (is_listed(state, candidate))
			sources = lappend_oid(sources, candidate);
		lineage = list_concat_unique_oid(lineage, parents_of(candidate));
	}
	return sources;
}

static bool
is_carried(const State *state, Form_pg_attribute att)
{
	ListCell   *lc;

	if (att->attisdropped || pgt_is_virtual(att))
		return false;
	if (state->options->columns == NIL)
		return true;
	foreach(lc, state->options->columns)
		if (strcmp(lfirst(lc), NameStr(att->attname)) == 0)
			return true;
	return false;
}

static PgtWireShape *
carried_shape(const State *state, Oid source, TupleDesc desc)
{
	AttrNumber *attnums = palloc(sizeof(AttrNumber) * (desc->natts + 1));
	int			n = 0;

	for (int i = 0; i < desc->natts; i++)
		if (is_carried(state, TupleDescAttr(desc, i)))
			attnums[n++] = i + 1;
	return pgt_wire_shape(source, desc, attnums, n);
}

static AttrNumber
attnum_by_name(TupleDesc desc, const char *name)
{
	for (int i = 0; i < desc->natts; i++)
	{
		Form_pg_attribute att = TupleDescAttr(desc, i);

		if (!att->attisdropped && strcmp(NameStr(att->attname), name) == 0)
			return i + 1;
	}
	return InvalidAttrNumber;
}

/* Find the source's columns in the relation, by name. */
static void
map_columns(Target *target, TupleDesc source_desc, TupleDesc desc)
{
	target->attnums = palloc(sizeof(AttrNumber) * (target->shape->ncolumns + 1));
	for (int i = 0; i < target->shape->ncolumns; i++)
	{
		const PgtWireColumn *c = &target->shape->columns[i];
		Form_pg_attribute att = TupleDescAttr(source_desc, c->attnum - 1);
		AttrNumber	attnum = attnum_by_name(desc, NameStr(att->attname));

		target->attnums[i] = attnum;
		if (attnum == InvalidAttrNumber ||
			TupleDescAttr(desc, attnum - 1)->atttypid != c->type)
			target->mismatch = "columns of a partition do not match those of the source";
	}
}

static bool
identity_has_columns(Relation rel, const Target *target)
{
	Bitmapset  *identity;

	if (rel->rd_rel->relreplident == REPLICA_IDENTITY_FULL)
		return true;
	identity = RelationGetIndexAttrBitmap(rel, INDEX_ATTR_BITMAP_IDENTITY_KEY);
	for (int i = 0; i < target->shape->ncolumns; i++)
		if (!bms_is_member(target->attnums[i] - FirstLowInvalidHeapAttributeNumber,
						   identity))
			return false;
	return true;
}

static void
init_target(State *state, Target *target, Oid source, Relation rel)
{
	Relation	root = source == RelationGetRelid(rel) ? rel :
		RelationIdGetRelation(source);

	if (!RelationIsValid(root))
		elog(ERROR, "could not open relation with OID %u", source);
	target->shape = carried_shape(state, source, RelationGetDescr(root));
	map_columns(target, RelationGetDescr(root), RelationGetDescr(rel));
	if (target->mismatch == NULL)
		target->old_is_whole = identity_has_columns(rel, target);
	pgt_wire_write_init(&target->writer, CurrentMemoryContext);
	if (root != rel)
		RelationClose(root);
}

static void
build_entry(State *state, Entry *entry, Relation rel)
{
	MemoryContext old;
	List	   *sources;
	ListCell   *lc;

	if (entry->context == NULL)
		entry->context = AllocSetContextCreate(state->context,
											   "pg_trickle decoder relation",
											   ALLOCSET_SMALL_SIZES);
	MemoryContextReset(entry->context);
	old = MemoryContextSwitchTo(entry->context);
	entry->ntargets = 0;
	sources = listed_sources(state, RelationGetRelid(rel));
	entry->targets = palloc0(sizeof(Target) * (list_length(sources) + 1));
	foreach(lc, sources)
		init_target(state, &entry->targets[entry->ntargets++], lfirst_oid(lc),
					rel);
	MemoryContextSwitchTo(old);
	entry->valid = true;
}

/* Open batches point into entries, so all go out before one is built anew. */
static Entry *
get_entry(LogicalDecodingContext *ctx, State *state, Relation rel)
{
	Oid			relid = RelationGetRelid(rel);
	Entry	   *entry;
	bool		found;

	entry = hash_search(state->entries, &relid, HASH_ENTER, &found);
	if (!found)
	{
		entry->valid = false;
		entry->context = NULL;
	}
	if (!entry->valid)
	{
		write_all(ctx, state);
		build_entry(state, entry, rel);
	}
	return entry;
}

/* ---- changes in ---- */

typedef struct Row
{
	Datum	   *values;
	bool	   *nulls;
} Row;

static Row *
deform(Relation rel, HeapTuple tuple)
{
	int			natts = RelationGetDescr(rel)->natts;
	Row		   *row;

	if (tuple == NULL)
		return NULL;
	row = palloc(sizeof(Row));
	row->values = palloc(sizeof(Datum) * natts);
	row->nulls = palloc(sizeof(bool) * natts);
	heap_deform_tuple(tuple, RelationGetDescr(rel), row->values, row->nulls);
	return row;
}

static PgtWireTuple *
gather(const Target *target, const Row *row)
{
	int			n = target->shape->ncolumns;
	PgtWireTuple *tuple;

	if (row == NULL)
		return NULL;
	tuple = palloc0(sizeof(PgtWireTuple));
	tuple->values = palloc(sizeof(Datum) * (n + 1));
	tuple->nulls = palloc(sizeof(bool) * (n + 1));
	for (int i = 0; i < n; i++)
	{
		tuple->values[i] = row->values[target->attnums[i] - 1];
		tuple->nulls[i] = row->nulls[target->attnums[i] - 1];
	}
	return tuple;
}

/* An out of line value that an UPDATE left alone is only a pointer, into a
 * TOAST table that has moved on; the whole old row has the value. */
static bool
restore_unchanged(const Target *target, PgtWireTuple *tuple,
				  const PgtWireTuple *old_tuple)
{
	for (int i = 0; i < target->shape->ncolumns; i++)
	{
		if (tuple->nulls[i] || target->shape->columns[i].len != -1 ||
			!VARATT_IS_EXTERNAL_ONDISK(DatumGetPointer(tuple->values[i])))
			continue;
		if (old_tuple == NULL || old_tuple->nulls[i] ||
			VARATT_IS_EXTERNAL_ONDISK(DatumGetPointer(old_tuple->values[i])))
			return false;
		tuple->values[i] = old_tuple->values[i];
	}
	return true;
}

static bool
same_image(const Target *target, const PgtWireTuple *a, const PgtWireTuple *b)
{
	for (int i = 0; i < target->shape->ncolumns; i++)
	{
		if (a->nulls[i] || b->nulls[i])
		{
			if (a->nulls[i] != b->nulls[i])
				return false;
		}
		else if (!pgt_wire_same_value(&target->shape->columns[i],
									  a->values[i], b->values[i]))
			return false;
	}
	return true;
}

static void
prepare(const Target *target, PgtWireTuple *tuple)
{
	if (tuple == NULL)
		return;
	pgt_wire_inline(target->shape, tuple);
	pgt_wire_measure(target->shape, tuple);
}

/* Either row may be NULL: INSERT, DELETE; an UPDATE has no old row when its
 * identity did not change. */
static void
decode_for_target(LogicalDecodingContext *ctx, State *state, Target *target,
				  bool is_insert, const Row *old_row, const Row *new_row)
{
	PgtWireTuple *old_tuple = gather(target, old_row);
	PgtWireTuple *new_tuple = gather(target, new_row);

	if (!is_insert && !target->old_is_whole)
	{
		write_lost(ctx, state, target,
				   "old rows are not in the WAL: the source needs REPLICA IDENTITY FULL");
		return;
	}
	if (!is_insert && old_tuple == NULL)
	{
		/* the identity holds all that is carried, and it is the same */
		if (new_tuple != NULL)
			return;
		write_lost(ctx, state, target,
				   "a deleted row is not in the WAL");
		return;
	}
	if (new_tuple != NULL && !restore_unchanged(target, new_tuple, old_tuple))
	{
		write_lost(ctx, state, target,
				   "a value stored out of line is not in the WAL");
		return;
	}
	if (old_tuple != NULL && new_tuple != NULL &&
		same_image(target, old_tuple, new_tuple))
		return;
	prepare(target, old_tuple);
	prepare(target, new_tuple);
	write_change(ctx, state, target, old_tuple, new_tuple);
}

static void
decoder_change(LogicalDecodingContext *ctx, ReorderBufferTXN *txn,
			   Relation relation, ReorderBufferChange *change)
{
	State	   *state = ctx->output_plugin_private;
	Entry	   *entry = get_entry(ctx, state, relation);
	MemoryContext old;
	Row		   *old_row,
			   *new_row;

	if (entry->ntargets == 0)
		return;
	old = MemoryContextSwitchTo(state->change_context);
	old_row = deform(relation, pgt_decoded_tuple(change->data.tp.oldtuple));
	new_row = deform(relation, pgt_decoded_tuple(change->data.tp.newtuple));
	for (int i = 0; i < entry->ntargets; i++)
	{
		Target	   *target = &entry->targets[i];

		if (FullTransactionIdEquals(target->lost_in, state->xid))
			continue;
		if (target->mismatch)
			write_lost(ctx, state, target, target->mismatch);
		else
			decode_for_target(ctx, state, target,
							  change->action == REORDER_BUFFER_CHANGE_INSERT,
							  old_row, new_row);
	}
	MemoryContextSwitchTo(old);
	MemoryContextReset(state->change_context);
}

static void
decoder_truncate(LogicalDecodingContext *ctx, ReorderBufferTXN *txn,
				 int nrelations, Relation relations[],
				 ReorderBufferChange *change)
{
	State	   *state = ctx->output_plugin_private;

	for (int i = 0; i < nrelations; i++)
	{
		Entry	   *entry = get_entry(ctx, state, relations[i]);

		for (int j = 0; j < entry->ntargets; j++)
			write_mark(ctx, state, &entry->targets[j], PGT_WIRE_TRUNCATE, NULL);
	}
}

/* Widen a 32-bit xid that is not in the future. */
static FullTransactionId
full_xid(TransactionId xid)
{
	FullTransactionId next = ReadNextFullTransactionId();
	uint32		epoch = EpochFromFullTransactionId(next);

	if (xid > XidFromFullTransactionId(next))
		epoch--;
	return FullTransactionIdFromEpochAndXid(epoch, xid);
}

static void
decoder_begin(LogicalDecodingContext *ctx, ReorderBufferTXN *txn)
{
	State	   *state = ctx->output_plugin_private;

	Assert(state->open == NIL);
	state->xid = full_xid(txn->xid);
}

static void
decoder_commit(LogicalDecodingContext *ctx, ReorderBufferTXN *txn,
			   XLogRecPtr commit_lsn)
{
	write_all(ctx, ctx->output_plugin_private);
}

void
_PG_output_plugin_init(OutputPluginCallbacks *cb)
{
	cb->startup_cb = decoder_startup;
	cb->begin_cb = decoder_begin;
	cb->change_cb = decoder_change;
	cb->truncate_cb = decoder_truncate;
	cb->commit_cb = decoder_commit;
	cb->shutdown_cb = decoder_shutdown;
}
