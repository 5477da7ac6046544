/*
 * decoder/decoder.c - the output plugin: WAL in, change batches out.
 *
 * Each message is one batch (wire.h): one source, one top-level transaction.
 * A transaction's batches come at its commit, in the order of its changes per
 * source; nothing marks where it begins and ends but the xid.  Rolled back
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

#include "decoder/batch.h"
#include "decoder/compat.h"
#include "decoder/moved.h"
#include "decoder/options.h"
#include "decoder/wanted.h"
#include "decoder/wire.h"

PG_MODULE_MAGIC;

extern PGDLLEXPORT void _PG_output_plugin_init(OutputPluginCallbacks *cb);

typedef struct State
{
	MemoryContext context;		/* lives as long as the decoding context */
	MemoryContext change_context;	/* reset after each change */
	PgtDecoderOptions *options;
	PgtWanted  *wanted;
	PgtBatches *batches;
	MemoryContext ddl_context;	/* reset with each transaction */
	List	   *altered;		/* relations that this one alters; see moved.h */
} State;

/* ---- begin and end of the decoding context ---- */

static void
decoder_startup(LogicalDecodingContext *ctx, OutputPluginOptions *opt,
				bool is_init)
{
	MemoryContext old;
	State	   *state;

	opt->output_type = OUTPUT_PLUGIN_BINARY_OUTPUT;
	opt->receive_rewrites = true;

	/* a slot is being created: nobody has given options yet */
	if (is_init)
		return;
	state = MemoryContextAllocZero(ctx->context, sizeof(State));
	state->context = AllocSetContextCreate(ctx->context, "pg_trickle decoder",
										   ALLOCSET_DEFAULT_SIZES);
	state->change_context = AllocSetContextCreate(state->context,
												  "pg_trickle decoder change",
												  ALLOCSET_DEFAULT_SIZES);
	state->ddl_context = AllocSetContextCreate(state->context,
											   "pg_trickle decoder DDL",
											   ALLOCSET_SMALL_SIZES);
	old = MemoryContextSwitchTo(state->context);
	state->options = pgt_options_parse(ctx->output_plugin_options);
	state->wanted = pgt_wanted_create(state->context, state->options);
	state->batches = pgt_batch_create(ctx, state->context);
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

/* ---- changes in ---- */

/* Open batches use the shapes of entries: they go out before one is freed. */
static PgtWantedEntry *
get_entry(State *state, Relation rel)
{
	PgtWantedEntry *entry = pgt_wanted_entry(state->wanted, RelationGetRelid(rel));

	if (!entry->valid)
	{
		if (entry->ntargets > 0)
			pgt_batch_flush(state->batches);
		pgt_wanted_build(state->wanted, entry, rel);
	}
	return entry;
}

static PgtBatch *
batch_of(State *state, PgtTarget *target)
{
	if (target->batch == NULL)
		target->batch = pgt_batch_of(state->batches, target->shape->source);
	return target->batch;
}

/* A change of one row; either tuple may be NULL: INSERT, DELETE; an UPDATE has
 * no old one when its identity did not change. */
typedef struct Change
{
	bool		is_insert;
	HeapTuple	old_tuple;
	HeapTuple	new_tuple;
	bool		taken_apart;	/* into the entry's rows */
} Change;

/* Tuples that lack the last attributes get them from the relation: its default
 * of the time when the column was added. */
static void
deform(const PgtWantedEntry *entry, Relation rel, HeapTuple tuple,
	   const PgtRowRoom *room)
{
	if (tuple == NULL)
		return;
	if (HeapTupleHeaderGetNatts(tuple->t_data) >= entry->layout->natts)
		pgt_layout_deform(entry->layout, tuple, room->values, room->nulls);
	else
		heap_deform_tuple(tuple, RelationGetDescr(rel), room->values, room->nulls);
}

static void
take_apart(const PgtWantedEntry *entry, Relation rel, Change *change)
{
	if (change->taken_apart)
		return;
	deform(entry, rel, change->old_tuple, &entry->old_row);
	deform(entry, rel, change->new_tuple, &entry->new_row);
	change->taken_apart = true;
}

static void
gather(const PgtTarget *target, const PgtRowRoom *row, PgtWireTuple *tuple)
{
	for (int i = 0; i < target->shape->ncolumns; i++)
	{
		tuple->values[i] = row->values[target->attnums[i] - 1];
		tuple->nulls[i] = row->nulls[target->attnums[i] - 1];
	}
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
same_values(const PgtTarget *target, const PgtWireTuple *a, const PgtWireTuple *b)
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

/* Where all columns are carried and none is out of line, the tuple's bytes are
 * the batch's. */
static bool
take_images(PgtTarget *target, const Change *change)
{
	return target->all_columns &&
		(change->old_tuple == NULL ||
		 pgt_wire_image(target->shape, change->old_tuple, &target->old_tuple)) &&
		(change->new_tuple == NULL ||
		 pgt_wire_image(target->shape, change->new_tuple, &target->new_tuple));
}

/*
 * What the change means to one source.  Returns why it cannot be told, or NULL.
 */
static const char *
decode_for_target(State *state, PgtWantedEntry *entry, PgtTarget *target,
				  Relation rel, Change *change)
{
	PgtWireTuple *old_tuple = change->old_tuple ? &target->old_tuple : NULL;
	PgtWireTuple *new_tuple = change->new_tuple ? &target->new_tuple : NULL;

	if (!change->is_insert && !target->old_is_whole)
		return "old rows are not in the WAL: the source needs REPLICA IDENTITY FULL";
	if (!change->is_insert && old_tuple == NULL)
	{
		/* the identity holds all that is carried, and it is the same */
		if (new_tuple != NULL)
			return NULL;
		if (target->shape->ncolumns > 0)
			return "a deleted row is not in the WAL";
		old_tuple = &target->old_tuple;
		pgt_wire_measure(target->shape, old_tuple);
	}
	else if (take_images(target, change))
	{
		if (old_tuple != NULL && new_tuple != NULL &&
			pgt_wire_same_image(target->shape, old_tuple, new_tuple))
			return NULL;
	}
	else
	{
		take_apart(entry, rel, change);
		gather(target, &entry->old_row, &target->old_tuple);
		gather(target, &entry->new_row, &target->new_tuple);
		if (new_tuple != NULL && !restore_unchanged(target, new_tuple, old_tuple))
			return "a value stored out of line is not in the WAL";
		if (old_tuple != NULL && new_tuple != NULL &&
			same_values(target, old_tuple, new_tuple))
			return NULL;
		prepare(target, old_tuple);
		prepare(target, new_tuple);
	}
	pgt_batch_change(state->batches, batch_of(state, target), target->shape,
					 old_tuple, new_tuple);
	return NULL;
}

static void
decode_change(State *state, PgtWantedEntry *entry, Relation rel,
			  const ReorderBufferChange *data)
{
	Change		change = {
		.is_insert = data->action == REORDER_BUFFER_CHANGE_INSERT,
		.old_tuple = pgt_decoded_tuple(data->data.tp.oldtuple),
		.new_tuple = pgt_decoded_tuple(data->data.tp.newtuple),
	};

	for (int i = 0; i < entry->ntargets; i++)
	{
		PgtTarget  *target = &entry->targets[i];
		PgtBatch   *batch = batch_of(state, target);
		const char *lost = target->mismatch;

		if (pgt_batch_is_lost(state->batches, batch))
			continue;
		if (lost == NULL)
			lost = decode_for_target(state, entry, target, rel, &change);
		if (lost != NULL)
			pgt_batch_lost(state->batches, batch, lost);
	}
}

static void
decoder_change(LogicalDecodingContext *ctx, ReorderBufferTXN *txn,
			   Relation relation, ReorderBufferChange *change)
{
	State	   *state = ctx->output_plugin_private;
	PgtWantedEntry *entry = get_entry(state, relation);
	MemoryContext old;

	if (entry->ntargets == 0)
	{
		entry->skipped_in = state->batches->xid;
		return;
	}
	Assert(entry->natts == RelationGetDescr(relation)->natts);
	old = MemoryContextSwitchTo(state->change_context);
	decode_change(state, entry, relation, change);
	MemoryContextSwitchTo(old);
	MemoryContextReset(state->change_context);
}

/* The WAL names a partitioned table and each partition: one mark is enough. */
static void
decoder_truncate(LogicalDecodingContext *ctx, ReorderBufferTXN *txn,
				 int nrelations, Relation relations[],
				 ReorderBufferChange *change)
{
	State	   *state = ctx->output_plugin_private;
	MemoryContext old = MemoryContextSwitchTo(state->change_context);
	List	   *done = NIL;

	for (int i = 0; i < nrelations; i++)
	{
		PgtWantedEntry *entry = get_entry(state, relations[i]);

		for (int j = 0; j < entry->ntargets; j++)
		{
			PgtBatch   *batch = batch_of(state, &entry->targets[j]);

			if (list_member_ptr(done, batch))
				continue;
			pgt_batch_truncate(state->batches, batch);
			done = lappend(done, batch);
		}
	}
	MemoryContextSwitchTo(old);
	MemoryContextReset(state->change_context);
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
	MemoryContext old;

	pgt_batch_begin(state->batches, full_xid(txn->xid));
	MemoryContextReset(state->ddl_context);
	old = MemoryContextSwitchTo(state->ddl_context);
	state->altered = pgt_moved_begin(txn);
	MemoryContextSwitchTo(old);
}

static void
decoder_commit(LogicalDecodingContext *ctx, ReorderBufferTXN *txn,
			   XLogRecPtr commit_lsn)
{
	State	   *state = ctx->output_plugin_private;
	MemoryContext old = MemoryContextSwitchTo(state->ddl_context);

	pgt_moved_end(state->altered, state->wanted, state->batches);
	MemoryContextSwitchTo(old);
	pgt_batch_flush(state->batches);
	pgt_wanted_trim(state->wanted);
	OutputPluginUpdateProgress(ctx, !state->batches->sent);
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
