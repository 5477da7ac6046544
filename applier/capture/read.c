/*
 * applier/capture/read.c - from a buffer to a delta.
 *
 * Both segments are scanned by their index from the older frontier's xmin on,
 * under the latest snapshot: what the new frontier absorbs is visible in it,
 * and what else has been committed meanwhile is left to the next refresh by
 * the frontier rule (DESIGN.md I1).  Batches in pieces are put together.
 *
 * The relation's descriptor of now says how to take tuples apart; a batch
 * whose signature does not fit, or that lacks a wanted column, makes the
 * result "lost" and is never guessed at.  Bytes that contradict themselves
 * are ERRCODE_DATA_CORRUPTED or a protocol violation from the reader.
 *
 * Each batch is decoded in a context that is reset after it; the rows live in
 * the caller's tuplestore.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "miscadmin.h"
#include "storage/bufmgr.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"
#include "utils/xid8.h"

#include "applier/capture/buffer.h"
#include "applier/capture/capture.h"
#include "decoder/compat.h"

/* One row of a segment. */
typedef struct Piece
{
	FullTransactionId xid;
	int32		batch;
	int32		chunk;
	TimestampTz written_at;
	int32		nchanges;
	const char *data;			/* in the scan's current tuple */
	Size		len;
} Piece;

typedef struct SegmentScan
{
	Relation	heap;
	Relation	index;
	SysScanDesc scan;
	TupleDesc	desc;
} SegmentScan;

/* ---- scanning ---- */

static void
begin_scan(SegmentScan *s, Relation heap, Oid index, Snapshot snapshot,
		   const PgtFrontier *from)
{
	ScanKeyData key;

	if (from != NULL)
		ScanKeyInit(&key, PGT_BUF_XID, BTGreaterEqualStrategyNumber, F_XID8GE,
					FullTransactionIdGetDatum(from->xmin));
	s->heap = heap;
	s->desc = RelationGetDescr(heap);
	s->index = index_open(index, AccessShareLock);
	s->scan = systable_beginscan_ordered(heap, s->index, snapshot,
										 from != NULL ? 1 : 0, &key);
}

static void
end_scan(SegmentScan *s)
{
	systable_endscan_ordered(s->scan);
	index_close(s->index, AccessShareLock);
}

static bool
next_piece(SegmentScan *s, ScanDirection direction, Piece *p)
{
	HeapTuple	tuple = systable_getnext_ordered(s->scan, direction);
	Datum		values[PGT_BUF_COLUMNS];
	bool		nulls[PGT_BUF_COLUMNS];
	struct varlena *data;

	if (!HeapTupleIsValid(tuple))
		return false;
	heap_deform_tuple(tuple, s->desc, values, nulls);
	data = (struct varlena *) DatumGetPointer(values[PGT_BUF_DATA - 1]);
	p->xid = DatumGetFullTransactionId(values[PGT_BUF_XID - 1]);
	p->batch = DatumGetInt32(values[PGT_BUF_BATCH - 1]);
	p->chunk = DatumGetInt32(values[PGT_BUF_CHUNK - 1]);
	p->written_at = DatumGetTimestampTz(values[PGT_BUF_WRITTEN_AT - 1]);
	p->nchanges = DatumGetInt32(values[PGT_BUF_NCHANGES - 1]);
	p->data = VARDATA_ANY(data);
	p->len = VARSIZE_ANY_EXHDR(data);
	return true;
}

bool
pgt_segment_has_pending(Relation heap, Oid index, const PgtFrontier *f)
{
	Snapshot	snapshot = RegisterSnapshot(GetLatestSnapshot());
	SegmentScan s;
	Piece		p;
	bool		pending = false;

	begin_scan(&s, heap, index, snapshot, f);
	while (!pending && next_piece(&s, ForwardScanDirection, &p))
		pending = !pgt_frontier_absorbs(f, p.xid, p.batch);
	end_scan(&s);
	UnregisterSnapshot(snapshot);
	return pending;
}

bool
pgt_buffer_has_pending(Oid relid, const PgtFrontier *from)
{
	bool		pending = false;

	for (int i = 0; !pending && i < PGT_BUFFER_SEGMENTS; i++)
	{
		PgtBufferRef ref = pgt_buffer_ref(relid, i);
		Relation	heap;

		if (!OidIsValid(ref.heap))
			continue;
		heap = table_open(ref.heap, AccessShareLock);
		pending = pgt_segment_has_pending(heap, ref.index, from);
		table_close(heap, AccessShareLock);
	}
	return pending;
}

/* ---- decoding ---- */

/* A row of the delta: wanted columns, then room for the weight. */
typedef struct Row
{
	Datum	   *values;
	bool	   *nulls;
} Row;

typedef struct Reader
{
	Oid			relid;
	Relation	source;
	const PgtFrontier *from;
	const PgtFrontier *to;
	FullTransactionId end;		/* nothing from here on is absorbed by "to" */
	const AttrNumber *columns;	/* wanted */
	int			ncolumns;
	TupleDesc	desc;			/* of the delta */
	Tuplestorestate *into;
	PgtBufferRead *result;

	MemoryContext context;		/* of the whole read */
	MemoryContext batch_context;	/* reset after each batch */

	/* how batches of the last seen column set are decoded */
	PgtWireShape *shape;
	int		   *map;			/* per wanted column: its place in the batch */

	Datum	   *in_values;		/* a tuple of the batch */
	bool	   *in_nulls;
	Row			old_row;
	Row			new_row;
} Reader;

static void
set_lost(Reader *r, const char *reason)
{
	if (r->result->lost)
		return;
	r->result->lost = true;
	r->result->lost_reason = MemoryContextStrdup(r->context, reason);
}

static bool
same_columns(const PgtWireShape *shape, const PgtWireReader *batch)
{
	if (shape == NULL || shape->ncolumns != batch->header.ncolumns)
		return false;
	for (int i = 0; i < shape->ncolumns; i++)
		if (shape->columns[i].attnum != batch->attnums[i])
			return false;
	return true;
}

static int
place_of(const PgtWireShape *shape, AttrNumber attnum)
{
	for (int i = 0; i < shape->ncolumns; i++)
		if (shape->columns[i].attnum == attnum)
			return i;
	return -1;
}

/* Prepare for batches with this one's columns; false: cannot be decoded. */
static bool
fit_shape(Reader *r, const PgtWireReader *batch)
{
	MemoryContext old;

	if (!same_columns(r->shape, batch))
	{
		int			n = batch->header.ncolumns;

		old = MemoryContextSwitchTo(r->context);
		r->shape = pgt_wire_shape(r->relid, RelationGetDescr(r->source),
								  batch->attnums, n);
		r->in_values = palloc(sizeof(Datum) * (n + 1));
		r->in_nulls = palloc(sizeof(bool) * (n + 1));
		MemoryContextSwitchTo(old);
		for (int i = 0; r->shape && i < r->ncolumns; i++)
			r->map[i] = place_of(r->shape, r->columns[i]);
	}
	if (r->shape == NULL || r->shape->signature != batch->header.signature)
	{
		set_lost(r, "columns of the source were altered since changes were recorded");
		return false;
	}
	for (int i = 0; i < r->ncolumns; i++)
		if (r->map[i] < 0)
		{
			set_lost(r, psprintf("changes were recorded without column \"%s\"",
								 get_attname(r->relid, r->columns[i], true)));
			return false;
		}
	return true;
}

static void
take_apart(Reader *r, const PgtWireTupleRef *ref, Row *row)
{
	pgt_wire_read_tuple(r->shape, ref, r->in_values, r->in_nulls);
	for (int i = 0; i < r->ncolumns; i++)
	{
		row->values[i] = r->in_values[r->map[i]];
		row->nulls[i] = r->in_nulls[r->map[i]];
	}
}

static void
put_row(Reader *r, Row *row, int64 weight)
{
	row->values[r->ncolumns] = Int64GetDatum(weight);
	row->nulls[r->ncolumns] = false;
	tuplestore_putvalues(r->into, r->desc, row->values, row->nulls);
	r->result->changes++;
}

static bool
same_row(const Reader *r, const Row *a, const Row *b)
{
	for (int i = 0; i < r->ncolumns; i++)
	{
		if (a->nulls[i] || b->nulls[i])
		{
			if (a->nulls[i] != b->nulls[i])
				return false;
		}
		else if (!pgt_wire_same_value(&r->shape->columns[r->map[i]],
									  a->values[i], b->values[i]))
			return false;
	}
	return true;
}

static void
put_update(Reader *r, const PgtWireChange *change)
{
	take_apart(r, &change->old_tuple, &r->old_row);
	take_apart(r, &change->new_tuple, &r->new_row);

	/* recorded for the sake of columns that others read */
	if (same_row(r, &r->old_row, &r->new_row))
		return;
	put_row(r, &r->old_row, -1);
	put_row(r, &r->new_row, 1);
	r->result->updates_or_deletes = true;
}

static void
put_change(Reader *r, const PgtWireChange *change)
{
	switch (change->op)
	{
		case PGT_WIRE_INSERT:
			take_apart(r, &change->new_tuple, &r->new_row);
			put_row(r, &r->new_row, 1);
			break;
		case PGT_WIRE_DELETE:
			take_apart(r, &change->old_tuple, &r->old_row);
			put_row(r, &r->old_row, -1);
			r->result->updates_or_deletes = true;
			break;
		case PGT_WIRE_UPDATE:
			put_update(r, change);
			break;
		case PGT_WIRE_TRUNCATE:
			r->result->truncated = true;
			r->result->updates_or_deletes = true;
			break;
		case PGT_WIRE_LOST:
			set_lost(r, pnstrdup(change->reason, change->reason_len));
			break;
	}
}

static bool
has_tuples(const PgtWireChange *change)
{
	return change->op != PGT_WIRE_TRUNCATE && change->op != PGT_WIRE_LOST;
}

static void
read_batch(Reader *r, FullTransactionId xid, const char *data, Size len)
{
	PgtWireReader batch;
	PgtWireChange change;
	bool		fits = false;

	pgt_wire_read_begin(&batch, data, len);
	if (batch.header.source != r->relid ||
		!FullTransactionIdEquals(batch.header.xid, xid))
		ereport(ERROR,
				(errcode(ERRCODE_DATA_CORRUPTED),
				 errmsg("a change batch is in the wrong place")));
	r->result->bytes += len;
	while (!r->result->lost && pgt_wire_read_next(&batch, &change))
	{
		if (!fits && has_tuples(&change) && !(fits = fit_shape(r, &batch)))
			return;
		put_change(r, &change);
	}
}

PGT_NORETURN static void
missing_piece(void)
{
	ereport(ERROR,
			(errcode(ERRCODE_DATA_CORRUPTED),
			 errmsg("a piece of a change batch is missing")));
}

/* Read on until the batch that begins with p is complete. */
static char *
assemble(SegmentScan *s, Piece *p, Size length)
{
	FullTransactionId xid = p->xid;
	int32		batch = p->batch;
	int32		chunk = 0;
	char	   *whole = palloc(length);
	Size		have = 0;

	for (;;)
	{
		if (p->len > length - have || p->len == 0)
			missing_piece();
		memcpy(whole + have, p->data, p->len);
		have += p->len;
		if (have == length)
			return whole;
		CHECK_FOR_INTERRUPTS();
		if (!next_piece(s, ForwardScanDirection, p) || p->chunk != ++chunk ||
			p->batch != batch || !FullTransactionIdEquals(p->xid, xid))
			missing_piece();
	}
}

static bool
is_wanted(const Reader *r, const Piece *p)
{
	return pgt_frontier_absorbs(r->to, p->xid, p->batch) &&
		!pgt_frontier_absorbs(r->from, p->xid, p->batch);
}

/* p is the first piece of a wanted batch */
static void
read_pieces(Reader *r, SegmentScan *s, Piece *p)
{
	MemoryContext old = MemoryContextSwitchTo(r->batch_context);
	FullTransactionId xid = p->xid;
	PgtWireHeader header;

	pgt_wire_read_header(p->data, p->len, &header);
	if (header.length <= p->len)
		read_batch(r, xid, p->data, p->len);
	else
		read_batch(r, xid, assemble(s, p, header.length), header.length);
	MemoryContextSwitchTo(old);
	MemoryContextReset(r->batch_context);
}

static void
read_segment(Reader *r, PgtBufferRef ref, Snapshot snapshot)
{
	Relation	heap = table_open(ref.heap, AccessShareLock);
	SegmentScan s;
	Piece		p;

	begin_scan(&s, heap, ref.index, snapshot, r->from);
	while (!r->result->lost && !r->result->truncated &&
		   next_piece(&s, ForwardScanDirection, &p))
	{
		CHECK_FOR_INTERRUPTS();
		if (!FullTransactionIdPrecedes(p.xid, r->end))
			break;
		if (p.chunk != 0 || !is_wanted(r, &p))
			continue;
		r->result->recorded += p.nchanges;
		read_pieces(r, &s, &p);
	}
	end_scan(&s);
	table_close(heap, AccessShareLock);
}

/* The refreshing transaction's own batches may lie past the snapshot's xmax. */
static FullTransactionId
end_of(const PgtFrontier *f)
{
	FullTransactionId end = f->xmax;

	if (FullTransactionIdIsValid(f->own_xid) &&
		!FullTransactionIdPrecedes(f->own_xid, end))
	{
		end = f->own_xid;
		FullTransactionIdAdvance(&end);
	}
	return end;
}

static void
init_row(Reader *r, Row *row)
{
	row->values = MemoryContextAlloc(r->context,
									 sizeof(Datum) * (r->ncolumns + 1));
	row->nulls = MemoryContextAlloc(r->context,
									sizeof(bool) * (r->ncolumns + 1));
}

static void
init_reader(Reader *r)
{
	r->context = AllocSetContextCreate(CurrentMemoryContext,
									   "pg_trickle buffer read",
									   ALLOCSET_DEFAULT_SIZES);
	r->batch_context = AllocSetContextCreate(r->context,
											 "pg_trickle buffer batch",
											 ALLOCSET_DEFAULT_SIZES);
	r->map = MemoryContextAlloc(r->context, sizeof(int) * (r->ncolumns + 1));
	init_row(r, &r->old_row);
	init_row(r, &r->new_row);
	r->end = end_of(r->to);
}

void
pgt_buffer_read(Oid relid, const PgtFrontier *from, const PgtFrontier *to,
				const AttrNumber *columns, int ncolumns, TupleDesc desc,
				Tuplestorestate *into, PgtBufferRead *result)
{
	Reader		r = {.relid = relid,.from = from,.to = to,.columns = columns,
		.ncolumns = ncolumns,.desc = desc,.into = into,.result = result};
	Snapshot	snapshot;

	Assert(desc->natts == ncolumns + 1);
	memset(result, 0, sizeof(*result));
	init_reader(&r);
	r.source = table_open(relid, AccessShareLock);
	snapshot = RegisterSnapshot(GetLatestSnapshot());
	for (int i = 0; i < PGT_BUFFER_SEGMENTS; i++)
	{
		PgtBufferRef ref = pgt_buffer_ref(relid, i);

		if (OidIsValid(ref.heap))
			read_segment(&r, ref, snapshot);
	}
	UnregisterSnapshot(snapshot);
	table_close(r.source, NoLock);
	if (result->lost_reason)
		result->lost_reason = pstrdup(result->lost_reason);
	MemoryContextDelete(r.context);
}

/* ---- counting ---- */

/* A buffer of fewer pages is read as fast as counted. */
#define COUNT_MIN_BLOCKS 32

static int64
count_segment(PgtBufferRef ref, const PgtFrontier *from, const PgtFrontier *to)
{
	Relation	heap = table_open(ref.heap, AccessShareLock);
	Snapshot	snapshot;
	SegmentScan s;
	Piece		p;
	int64		n = 0;

	if (RelationGetNumberOfBlocks(heap) >= COUNT_MIN_BLOCKS)
	{
		snapshot = RegisterSnapshot(GetLatestSnapshot());
		begin_scan(&s, heap, ref.index, snapshot, from);
		while (next_piece(&s, ForwardScanDirection, &p))
		{
			CHECK_FOR_INTERRUPTS();
			if (p.chunk == 0 && pgt_frontier_absorbs(to, p.xid, p.batch) &&
				!pgt_frontier_absorbs(from, p.xid, p.batch))
				n += p.nchanges;
		}
		end_scan(&s);
		UnregisterSnapshot(snapshot);
	}
	table_close(heap, AccessShareLock);
	return n;
}

int64
pgt_buffer_count_many(Oid relid, const PgtFrontier *from, const PgtFrontier *to)
{
	int64		n = 0;

	for (int i = 0; i < PGT_BUFFER_SEGMENTS; i++)
	{
		PgtBufferRef ref = pgt_buffer_ref(relid, i);

		if (OidIsValid(ref.heap))
			n += count_segment(ref, from, to);
	}
	return n;
}

/* ---- figures for monitoring ---- */

static void
add_segment_stats(PgtBufferRef ref, const PgtFrontier *from, int64 *pending,
				  int64 *bytes, TimestampTz *oldest, TimestampTz *last)
{
	Relation	heap = table_open(ref.heap, AccessShareLock);
	Snapshot	snapshot = RegisterSnapshot(GetLatestSnapshot());
	SegmentScan s;
	Piece		p;

	*bytes += (int64) RelationGetNumberOfBlocks(heap) * BLCKSZ;
	begin_scan(&s, heap, ref.index, snapshot, NULL);
	if (next_piece(&s, BackwardScanDirection, &p))
		*last = Max(*last, p.written_at);
	end_scan(&s);

	begin_scan(&s, heap, ref.index, snapshot, from);
	while (next_piece(&s, ForwardScanDirection, &p))
	{
		CHECK_FOR_INTERRUPTS();
		if (p.chunk != 0 || pgt_frontier_absorbs(from, p.xid, p.batch))
			continue;
		*pending += p.nchanges;
		if (*oldest == 0 || p.written_at < *oldest)
			*oldest = p.written_at;
	}
	end_scan(&s);
	UnregisterSnapshot(snapshot);
	table_close(heap, AccessShareLock);
}

/* Zero timestamps: none.  A relation without a buffer has zeros. */
void
pgt_buffer_stats(Oid relid, const PgtFrontier *from, int64 *pending,
				 int64 *bytes, TimestampTz *oldest_pending,
				 TimestampTz *last_change)
{
	*pending = 0;
	*bytes = 0;
	*oldest_pending = 0;
	*last_change = 0;
	for (int i = 0; i < PGT_BUFFER_SEGMENTS; i++)
	{
		PgtBufferRef ref = pgt_buffer_ref(relid, i);

		if (OidIsValid(ref.heap))
			add_segment_stats(ref, from, pending, bytes, oldest_pending,
							  last_change);
	}
}
