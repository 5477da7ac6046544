/*
 * decoder/decoder.c - the output plugin: WAL in, change batches out.
 *
 * Each message is one batch (wire.h): one source, one top-level transaction.
 * A transaction's batches come at its commit, in the order of its changes per
 * relation; nothing marks where it begins and ends but the xid.  Rolled back
 * savepoints do not come, prepared transactions come with COMMIT PREPARED.
 *
 * A change is written once for each source it belongs to (wanted.h); the first
 * thing it meets is a look-up in a hash that for most relations says no.
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

#include "access/htup_details.h"
#include "replication/logical.h"
#include "replication/origin.h"
#include "replication/output_plugin.h"
#include "utils/memutils.h"
#include "utils/rel.h"

#include "decoder/compat.h"
#include "decoder/options.h"
#include "decoder/wanted.h"
#include "decoder/wire.h"

PG_MODULE_MAGIC;

extern PGDLLEXPORT void _PG_output_plugin_init(OutputPluginCallbacks *cb);

/* A batch is written out when it has grown to this many bytes ... */
#define BATCH_TARGET	(32 * 1024)
/* ... and all are when this many are open, to bound memory. */
#define MAX_OPEN		64

typedef struct State
{
	MemoryContext context;		/* lives as long as the decoding context */
	MemoryContext change_context;	/* reset after each change */
	PgtDecoderOptions *options;
	PgtWanted  *wanted;
	List	   *open;			/* of PgtTarget*, batches begun */
	FullTransactionId xid;		/* of the transaction at hand */
} State;

/* ---- begin and end of the decoding context ---- */

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
	state->wanted = pgt_wanted_create(state->context, state->options);
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
write_batch(LogicalDecodingContext *ctx, State *state, PgtTarget *target)
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
		PgtTarget  *target = lfirst(lc);

		if (target->open)
			write_batch(ctx, state, target);
	}
	list_free(state->open);
	state->open = NIL;
}

static void
open_batch(LogicalDecodingContext *ctx, State *state, PgtTarget *target,
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
write_mark(LogicalDecodingContext *ctx, State *state, PgtTarget *target,
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
write_lost(LogicalDecodingContext *ctx, State *state, PgtTarget *target,
		   const char *reason)
{
	write_mark(ctx, state, target, PGT_WIRE_LOST, reason);
	target->lost_in = state->xid;
}

static void
write_change(LogicalDecodingContext *ctx, State *state, PgtTarget *target,
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

/* Open batches point into entries, so all go out before one is built anew. */
static PgtWantedEntry *
get_entry(LogicalDecodingContext *ctx, State *state, Relation rel)
{
	PgtWantedEntry *entry = pgt_wanted_entry(state->wanted, RelationGetRelid(rel));

	if (!entry->valid)
	{
		write_all(ctx, state);
		pgt_wanted_build(state->wanted, entry, rel);
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
gather(const PgtTarget *target, const Row *row)
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
restore_unchanged(const PgtTarget *target, PgtWireTuple *tuple,
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
same_image(const PgtTarget *target, const PgtWireTuple *a, const PgtWireTuple *b)
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
prepare(const PgtTarget *target, PgtWireTuple *tuple)
{
	if (tuple == NULL)
		return;
	pgt_wire_inline(target->shape, tuple);
	pgt_wire_measure(target->shape, tuple);
}

/* Either row may be NULL: INSERT, DELETE; an UPDATE has no old row when its
 * identity did not change. */
static void
decode_for_target(LogicalDecodingContext *ctx, State *state, PgtTarget *target,
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
		if (target->shape->ncolumns > 0)
		{
			write_lost(ctx, state, target, "a deleted row is not in the WAL");
			return;
		}
		old_tuple = palloc0(sizeof(PgtWireTuple));
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
	PgtWantedEntry *entry = get_entry(ctx, state, relation);
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
		PgtTarget  *target = &entry->targets[i];

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
		PgtWantedEntry *entry = get_entry(ctx, state, relations[i]);

		for (int j = 0; j < entry->ntargets; j++)
			write_mark(ctx, state, &entry->targets[j], PGT_WIRE_TRUNCATE, NULL);
	}
}

/* Asked for every record, before it is queued. */
static bool
decoder_filter_by_origin(LogicalDecodingContext *ctx, PGT_ORIGIN_ID origin)
{
	State	   *state = ctx->output_plugin_private;

	return state != NULL && state->options->local_only &&
		origin != PGT_NO_ORIGIN;
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
	cb->filter_by_origin_cb = decoder_filter_by_origin;
	cb->shutdown_cb = decoder_shutdown;
}
