/*
 * decoder/batch.c - change batches on their way out; see batch.h.
 *
 * Each message of the output plugin is one batch.  Nothing is kept from one
 * transaction to the next but memory, and of that only a few sources' worth.
 */
#include "postgres.h"

#include "nodes/pg_list.h"
#include "replication/output_plugin.h"
#include "utils/memutils.h"

#include "decoder/batch.h"

/* A batch is sent when it has grown to this many bytes ... */
#define BATCH_TARGET	(32 * 1024)
/* ... and all are when this many are open, to bound memory. */
#define MAX_OPEN		64

PgtBatches *
pgt_batch_create(LogicalDecodingContext *ctx, MemoryContext context)
{
	HASHCTL		ctl = {.keysize = sizeof(Oid),.entrysize = sizeof(PgtBatch),
	.hcxt = context};
	PgtBatches *batches = MemoryContextAllocZero(context, sizeof(PgtBatches));

	batches->ctx = ctx;
	batches->context = context;
	batches->all = hash_create("pg_trickle decoder batches", 64, &ctl,
							   HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
	return batches;
}

PgtBatch *
pgt_batch_of(PgtBatches *batches, Oid source)
{
	bool		found;
	PgtBatch   *batch = hash_search(batches->all, &source, HASH_ENTER, &found);

	if (!found)
	{
		batch->open = false;
		batch->lost_in = InvalidFullTransactionId;
		pgt_wire_write_init(&batch->writer, batches->context);
	}
	return batch;
}

void
pgt_batch_begin(PgtBatches *batches, FullTransactionId xid)
{
	Assert(batches->open == NIL);
	batches->xid = xid;
	batches->sent = false;
}

static void
send_batch(PgtBatches *batches, PgtBatch *batch)
{
	LogicalDecodingContext *ctx = batches->ctx;

	pgt_wire_write_end(&batch->writer, batches->xid);
	OutputPluginPrepareWrite(ctx, true);
	appendBinaryStringInfo(ctx->out, batch->writer.data, batch->writer.len);
	OutputPluginWrite(ctx, true);
	batch->open = false;
	batches->sent = true;
}

void
pgt_batch_flush(PgtBatches *batches)
{
	bool		many = list_length(batches->open) >= MAX_OPEN;
	ListCell   *lc;

	foreach(lc, batches->open)
	{
		PgtBatch   *batch = lfirst(lc);

		if (batch->open)
			send_batch(batches, batch);
		if (many)
			pgt_wire_write_free(&batch->writer);
	}
	list_free(batches->open);
	batches->open = NIL;
}

static void
open_batch(PgtBatches *batches, PgtBatch *batch, const PgtWireShape *shape)
{
	MemoryContext old;

	if (list_length(batches->open) >= MAX_OPEN)
		pgt_batch_flush(batches);
	pgt_wire_write_begin(&batch->writer, shape);
	old = MemoryContextSwitchTo(batches->context);
	batches->open = list_append_unique_ptr(batches->open, batch);
	MemoryContextSwitchTo(old);
	batch->open = true;
}

/* Is the open batch, if there is one, another's? */
static bool
has_other_shape(const PgtBatch *batch, const PgtWireShape *shape)
{
	return batch->writer.shape != shape &&
		(batch->writer.shape->ncolumns != shape->ncolumns ||
		 batch->writer.shape->signature != shape->signature);
}

void
pgt_batch_change(PgtBatches *batches, PgtBatch *batch,
				 const PgtWireShape *shape, const PgtWireTuple *old_tuple,
				 const PgtWireTuple *new_tuple)
{
	Size		room = PGT_WIRE_MAX_BATCH - pgt_wire_header_size(shape);
	Size		size = pgt_wire_change_size(shape, old_tuple, new_tuple);

	if (size > room)
	{
		if (old_tuple == NULL || new_tuple == NULL)
			pgt_batch_lost(batches, batch, "a row is too large to be recorded");
		else
		{
			pgt_batch_change(batches, batch, shape, old_tuple, NULL);
			pgt_batch_change(batches, batch, shape, NULL, new_tuple);
		}
		return;
	}
	if (batch->open && (batch->writer.len + size > BATCH_TARGET ||
						has_other_shape(batch, shape)))
		send_batch(batches, batch);
	if (!batch->open)
		open_batch(batches, batch, shape);
	if (old_tuple == NULL)
		pgt_wire_write_insert(&batch->writer, new_tuple);
	else if (new_tuple == NULL)
		pgt_wire_write_delete(&batch->writer, old_tuple);
	else
		pgt_wire_write_update(&batch->writer, old_tuple, new_tuple);
}

/* A LOST or a TRUNCATE comes in a batch of its own, which carries no columns. */
static void
begin_mark(PgtBatches *batches, PgtBatch *batch, PgtWireShape *shape)
{
	if (batch->open)
		send_batch(batches, batch);
	memset(shape, 0, sizeof(*shape));
	shape->source = batch->source;
	open_batch(batches, batch, shape);
}

void
pgt_batch_truncate(PgtBatches *batches, PgtBatch *batch)
{
	PgtWireShape shape;

	begin_mark(batches, batch, &shape);
	pgt_wire_write_truncate(&batch->writer);
	send_batch(batches, batch);
}

void
pgt_batch_lost(PgtBatches *batches, PgtBatch *batch, const char *reason)
{
	PgtWireShape shape;

	if (pgt_batch_is_lost(batches, batch))
		return;
	begin_mark(batches, batch, &shape);
	pgt_wire_write_lost(&batch->writer, reason);
	send_batch(batches, batch);
	batch->lost_in = batches->xid;
}

bool
pgt_batch_is_lost(const PgtBatches *batches, const PgtBatch *batch)
{
	return FullTransactionIdEquals(batch->lost_in, batches->xid);
}
