/*
 * applier/capture/record.c - changes of one source into its buffer.
 *
 * Changes collect in one writer and are appended as a batch whenever they have
 * filled a buffer row, so that a statement of any size needs a page of memory.
 * A change that does not fit a row alone is a batch of its own, which the
 * buffer cuts into pieces; an UPDATE too large for that is recorded as a
 * deletion and an insertion, and what is too large even then as lost.  After
 * "lost" the rest of the statement is of no use to readers and left out.
 *
 * The writer and the row context are the backend's, made on first use.
 */
#include "postgres.h"

#include "utils/memutils.h"

#include "applier/capture/capture.h"
#include "applier/capture/record.h"

static MemoryContext record_context = NULL;
static MemoryContext row_context = NULL;
static PgtWireWriter writer;

static void
init_backend(void)
{
	if (record_context != NULL)
		return;
	record_context = AllocSetContextCreate(TopMemoryContext,
										   "pg_trickle capture",
										   ALLOCSET_DEFAULT_SIZES);
	pgt_wire_write_init(&writer, record_context);
	row_context = AllocSetContextCreate(record_context,
										"pg_trickle capture row",
										ALLOCSET_DEFAULT_SIZES);
}

MemoryContext
pgt_record_row_context(void)
{
	init_backend();
	MemoryContextReset(row_context);
	return row_context;
}

void
pgt_record_begin(PgtRecorder *r, Oid source, const PgtBufferRef *buffer,
				 const PgtWireShape *shape)
{
	init_backend();
	r->source = source;
	r->buffer = *buffer;
	r->shape = shape;
	r->open = false;
	r->lost = false;
}

static void
flush(PgtRecorder *r)
{
	if (!r->open)
		return;
	pgt_buffer_append(&r->buffer, &writer);
	pgt_capture_touch(r->source);
	r->open = false;
}

/* A batch with a LOST or a TRUNCATE alone; it carries no columns. */
static void
append_mark(PgtRecorder *r, PgtWireOp op, const char *reason)
{
	PgtWireShape shape = {.source = r->source};

	flush(r);
	pgt_wire_write_begin(&writer, &shape);
	if (op == PGT_WIRE_TRUNCATE)
		pgt_wire_write_truncate(&writer);
	else
		pgt_wire_write_lost(&writer, reason);
	pgt_buffer_append(&r->buffer, &writer);
	pgt_capture_touch(r->source);
}

void
pgt_record_truncate(PgtRecorder *r)
{
	append_mark(r, PGT_WIRE_TRUNCATE, NULL);
}

void
pgt_record_lost(PgtRecorder *r, const char *reason)
{
	if (r->lost)
		return;
	append_mark(r, PGT_WIRE_LOST, reason);
	r->lost = true;
}

static void
write_change(PgtRecorder *r, Size size, const PgtWireTuple *old_tuple,
			 const PgtWireTuple *new_tuple)
{
	if (r->open && writer.len + size > PGT_BUFFER_PIECE)
		flush(r);
	if (!r->open)
	{
		pgt_wire_write_begin(&writer, r->shape);
		r->open = true;
	}
	if (old_tuple == NULL)
		pgt_wire_write_insert(&writer, new_tuple);
	else if (new_tuple == NULL)
		pgt_wire_write_delete(&writer, old_tuple);
	else
		pgt_wire_write_update(&writer, old_tuple, new_tuple);
}

static void
make_writable(const PgtWireShape *shape, PgtWireTuple *tuple)
{
	if (tuple == NULL)
		return;
	pgt_wire_inline(shape, tuple);
	pgt_wire_measure(shape, tuple);
}

void
pgt_record_change(PgtRecorder *r, PgtWireTuple *old_tuple,
				  PgtWireTuple *new_tuple)
{
	Size		room = PGT_WIRE_MAX_BATCH - pgt_wire_header_size(r->shape);
	Size		size;

	if (r->lost)
		return;
	make_writable(r->shape, old_tuple);
	make_writable(r->shape, new_tuple);
	size = pgt_wire_change_size(r->shape, old_tuple, new_tuple);
	if (size <= room)
		write_change(r, size, old_tuple, new_tuple);
	else if (old_tuple == NULL || new_tuple == NULL)
		pgt_record_lost(r, "a row is too large to be recorded");
	else
	{
		pgt_record_change(r, old_tuple, NULL);
		pgt_record_change(r, NULL, new_tuple);
	}
}

void
pgt_record_end(PgtRecorder *r)
{
	flush(r);
}
