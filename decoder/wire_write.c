/*
 * decoder/wire_write.c - writes change batches; see wire.h.
 *
 * A writer owns one growing chunk in the context it was given and reuses it
 * for batch after batch.  On ERROR it is simply begun anew.  Tuples are
 * written with offsets counted from the start of their data, so the bytes do
 * not depend on where in the batch they land.
 */
#include "postgres.h"

#include "access/detoast.h"
#include "access/htup_details.h"
#include "access/tupmacs.h"
#include "common/hashfn.h"
#include "utils/datum.h"
#include "utils/memutils.h"

#include "decoder/compat.h"
#include "decoder/wire.h"

#define INITIAL_CAPACITY 8192

/* what the signature is taken over; no padding inside */
typedef struct SignedColumn
{
	int16		attnum;
	int16		len;
	uint32		type;
	uint8		byval;
	uint8		alignby;
	uint8		zero[2];
} SignedColumn;

uint8
pgt_wire_align_bytes(char typalign)
{
	switch (typalign)
	{
		case TYPALIGN_CHAR:
			return 1;
		case TYPALIGN_SHORT:
			return ALIGNOF_SHORT;
		case TYPALIGN_INT:
			return ALIGNOF_INT;
		case TYPALIGN_DOUBLE:
			return ALIGNOF_DOUBLE;
	}
	elog(ERROR, "unknown type alignment \"%c\"", typalign);
	return 0;
}

static uint64
sign_columns(const PgtWireShape *shape)
{
	SignedColumn *columns = palloc0(sizeof(SignedColumn) * (shape->ncolumns + 1));
	uint64		signature;

	for (int i = 0; i < shape->ncolumns; i++)
	{
		const PgtWireColumn *c = &shape->columns[i];

		columns[i].attnum = c->attnum;
		columns[i].len = c->len;
		columns[i].type = c->type;
		columns[i].byval = c->byval;
		columns[i].alignby = c->alignby;
	}
	signature = DatumGetUInt64(hash_any_extended((unsigned char *) columns,
												 sizeof(SignedColumn) * shape->ncolumns, 0));
	pfree(columns);
	return signature;
}

PgtWireShape *
pgt_wire_shape(Oid source, TupleDesc desc, const AttrNumber *attnums,
			   int ncolumns)
{
	PgtWireShape *shape = palloc0(offsetof(PgtWireShape, columns) +
								  sizeof(PgtWireColumn) * ncolumns);

	shape->source = source;
	shape->ncolumns = ncolumns;
	for (int i = 0; i < ncolumns; i++)
	{
		PgtWireColumn *c = &shape->columns[i];
		Form_pg_attribute att;

		if (attnums[i] < 1 || attnums[i] > desc->natts)
			return NULL;
		att = TupleDescAttr(desc, attnums[i] - 1);
		if (att->attisdropped)
			return NULL;
		c->attnum = attnums[i];
		c->type = att->atttypid;
		c->len = att->attlen;
		c->byval = att->attbyval;
		c->alignby = pgt_wire_align_bytes(att->attalign);
		c->packable = att->attlen == -1 && att->attstorage != TYPSTORAGE_PLAIN;
	}
	shape->signature = sign_columns(shape);
	return shape;
}

bool
pgt_wire_inline(const PgtWireShape *shape, PgtWireTuple *tuple)
{
	bool		fetched = false;

	for (int i = 0; i < shape->ncolumns; i++)
	{
		struct varlena *value;

		if (tuple->nulls[i] || shape->columns[i].len != -1)
			continue;
		value = (struct varlena *) DatumGetPointer(tuple->values[i]);
		if (!VARATT_IS_EXTERNAL(value))
			continue;
		tuple->values[i] = PointerGetDatum(detoast_external_attr(value));
		fetched = true;
	}
	return fetched;
}

/* Bits are set where there is a value; a bitmap without a null is none. */
static bool
has_null(const uint8 *bits, int n)
{
	for (int i = 0; i < n; i++)
		if (att_isnull(i, bits))
			return true;
	return false;
}

bool
pgt_wire_image(const PgtWireShape *shape, HeapTuple heap, PgtWireTuple *tuple)
{
	HeapTupleHeader header = heap->t_data;

	if (HeapTupleHasExternal(heap) ||
		HeapTupleHeaderGetNatts(header) != shape->ncolumns)
		return false;
	tuple->image = (char *) header + header->t_hoff;
	tuple->size = heap->t_len - header->t_hoff;
	tuple->hasnull = HeapTupleHasNulls(heap) &&
		has_null(header->t_bits, shape->ncolumns);
	tuple->bits = tuple->hasnull ? (char *) header->t_bits : NULL;
	return true;
}

bool
pgt_wire_same_image(const PgtWireShape *shape, const PgtWireTuple *a,
					const PgtWireTuple *b)
{
	return a->size == b->size && a->hasnull == b->hasnull &&
		memcmp(a->image, b->image, a->size) == 0 &&
		(!a->hasnull ||
		 memcmp(a->bits, b->bits, BITMAPLEN(shape->ncolumns)) == 0);
}

static bool
same_varlena(Datum a, Datum b)
{
	struct varlena *va = (struct varlena *) DatumGetPointer(a);
	struct varlena *vb = (struct varlena *) DatumGetPointer(b);

	/* equal TOAST pointers are equal values, never fetched */
	if (VARSIZE_ANY(va) == VARSIZE_ANY(vb) &&
		memcmp(va, vb, VARSIZE_ANY(va)) == 0)
		return true;
	if (toast_raw_datum_size(a) != toast_raw_datum_size(b))
		return false;
	return datum_image_eq(a, b, false, -1);
}

bool
pgt_wire_same_value(const PgtWireColumn *c, Datum a, Datum b)
{
	if (c->byval)
		return a == b;
	if (c->len == -1)
		return same_varlena(a, b);
	if (c->len == -2)
		return strcmp(DatumGetCString(a), DatumGetCString(b)) == 0;
	return memcmp(DatumGetPointer(a), DatumGetPointer(b), c->len) == 0;
}

static inline bool
takes_short_header(const PgtWireColumn *c, const void *value)
{
	return c->packable && VARATT_CAN_MAKE_SHORT(value);
}

void
pgt_wire_measure(const PgtWireShape *shape, PgtWireTuple *tuple)
{
	Size		off = 0;

	tuple->image = NULL;
	tuple->bits = NULL;
	tuple->hasnull = false;
	for (int i = 0; i < shape->ncolumns; i++)
	{
		const PgtWireColumn *c = &shape->columns[i];
		void	   *value;

		if (tuple->nulls[i])
		{
			tuple->hasnull = true;
			continue;
		}
		if (c->len > 0)
		{
			off = TYPEALIGN(c->alignby, off) + c->len;
			continue;
		}
		value = DatumGetPointer(tuple->values[i]);
		if (c->len == -2)
			off += strlen(value) + 1;
		else if (VARATT_IS_SHORT(value))
			off += VARSIZE_SHORT(value);
		else if (takes_short_header(c, value))
			off += VARATT_CONVERTED_SHORT_SIZE(value);
		else
			off = TYPEALIGN(c->alignby, off) + VARSIZE_ANY(value);
	}
	tuple->size = off;
}

static Size
tuple_bytes(const PgtWireShape *shape, const PgtWireTuple *tuple)
{
	return sizeof(uint32) + tuple->size +
		(tuple->hasnull ? BITMAPLEN(shape->ncolumns) : 0);
}

Size
pgt_wire_change_size(const PgtWireShape *shape, const PgtWireTuple *old_tuple,
					 const PgtWireTuple *new_tuple)
{
	return 1 + (old_tuple ? tuple_bytes(shape, old_tuple) : 0) +
		(new_tuple ? tuple_bytes(shape, new_tuple) : 0);
}

Size
pgt_wire_header_size(const PgtWireShape *shape)
{
	return PGT_WIRE_HEADER + sizeof(int16) * shape->ncolumns;
}

void
pgt_wire_write_init(PgtWireWriter *w, MemoryContext context)
{
	memset(w, 0, sizeof(*w));
	w->context = context;
}

void
pgt_wire_write_free(PgtWireWriter *w)
{
	if (w->data != NULL)
		pfree(w->data);
	w->data = NULL;
	w->capacity = 0;
}

/* Make room for n more bytes and return where they go. */
static char *
reserve(PgtWireWriter *w, Size n)
{
	Size		need = w->len + n;
	char	   *at;

	if (need > PGT_WIRE_MAX_BATCH)
		elog(ERROR, "change batch would exceed its largest size");
	if (need > w->capacity)
	{
		Size		capacity = Max(need, Min(2 * w->capacity, PGT_WIRE_MAX_BATCH));

		capacity = Max(capacity, INITIAL_CAPACITY);
		w->data = w->data ? repalloc(w->data, capacity) :
			MemoryContextAlloc(w->context, capacity);
		w->capacity = capacity;
	}
	at = w->data + w->len;
	w->len = need;
	return at;
}

void
pgt_wire_write_begin(PgtWireWriter *w, const PgtWireShape *shape)
{
	char	   *at;

	/* one huge value must not stay allocated for ever */
	if (w->capacity > 16 * INITIAL_CAPACITY)
		pgt_wire_write_free(w);
	w->shape = shape;
	w->len = 0;
	w->nchanges = 0;
	w->flags = 0;
	at = reserve(w, pgt_wire_header_size(shape));
	memset(at, 0, PGT_WIRE_HEADER);
	at += PGT_WIRE_HEADER;
	for (int i = 0; i < shape->ncolumns; i++, at += sizeof(int16))
	{
		int16		attnum = shape->columns[i].attnum;

		memcpy(at, &attnum, sizeof(attnum));
	}
}

static char *
put_fixed(char *at, const PgtWireColumn *c, Datum value)
{
	if (!c->byval)
		memcpy(at, DatumGetPointer(value), c->len);
	else if (c->len == 1)
		*at = DatumGetChar(value);
	else if (c->len == 2)
	{
		int16		v = DatumGetInt16(value);

		memcpy(at, &v, sizeof(v));
	}
	else if (c->len == 4)
	{
		int32		v = DatumGetInt32(value);

		memcpy(at, &v, sizeof(v));
	}
	else
	{
		int64		v = DatumGetInt64(value);

		Assert(c->len == 8);
		memcpy(at, &v, sizeof(v));
	}
	return at + c->len;
}

static char *
put_zeros_to(char *start, char *at, int alignby)
{
	Size		off = at - start;
	Size		pad = TYPEALIGN(alignby, off) - off;

	memset(at, 0, pad);
	return at + pad;
}

static char *
put_varlena(char *start, char *at, const PgtWireColumn *c, const void *value)
{
	Size		len;

	Assert(!VARATT_IS_EXTERNAL(value));
	if (takes_short_header(c, value))
	{
		len = VARATT_CONVERTED_SHORT_SIZE(value);
		SET_VARSIZE_SHORT(at, len);
		memcpy(at + 1, VARDATA(value), len - 1);
		return at + len;
	}
	if (!VARATT_IS_SHORT(value))
		at = put_zeros_to(start, at, c->alignby);
	len = VARSIZE_ANY(value);
	memcpy(at, value, len);
	return at + len;
}

static char *
put_bitmap(char *at, const PgtWireShape *shape, const PgtWireTuple *tuple)
{
	Size		len = BITMAPLEN(shape->ncolumns);

	if (tuple->bits != NULL)
	{
		memcpy(at, tuple->bits, len);
		return at + len;
	}
	memset(at, 0, len);
	for (int i = 0; i < shape->ncolumns; i++)
		if (!tuple->nulls[i])
			at[i >> 3] |= 1 << (i & 7);
	return at + len;
}

static char *
put_values(char *start, const PgtWireShape *shape, const PgtWireTuple *tuple)
{
	char	   *at = start;

	for (int i = 0; i < shape->ncolumns; i++)
	{
		const PgtWireColumn *c = &shape->columns[i];

		if (tuple->nulls[i])
			continue;
		if (c->len > 0)
		{
			at = put_zeros_to(start, at, c->alignby);
			at = put_fixed(at, c, tuple->values[i]);
		}
		else if (c->len == -1)
			at = put_varlena(start, at, c, DatumGetPointer(tuple->values[i]));
		else
		{
			Size		len = strlen(DatumGetCString(tuple->values[i])) + 1;

			memcpy(at, DatumGetCString(tuple->values[i]), len);
			at += len;
		}
	}
	return at;
}

static void
put_tuple(PgtWireWriter *w, const PgtWireTuple *tuple)
{
	char	   *at = reserve(w, tuple_bytes(w->shape, tuple));
	uint32		word = ((uint32) tuple->size << 1) | (tuple->hasnull ? 1 : 0);

	memcpy(at, &word, sizeof(word));
	at += sizeof(word);
	if (tuple->hasnull)
		at = put_bitmap(at, w->shape, tuple);
	if (tuple->image != NULL)
		memcpy(at, tuple->image, tuple->size);
	else
		at = put_values(at, w->shape, tuple);
	Assert(tuple->image != NULL || at == w->data + w->len);
}

static void
put_op(PgtWireWriter *w, PgtWireOp op)
{
	*reserve(w, 1) = (char) op;
	w->nchanges++;
}

void
pgt_wire_write_insert(PgtWireWriter *w, const PgtWireTuple *tuple)
{
	put_op(w, PGT_WIRE_INSERT);
	put_tuple(w, tuple);
}

void
pgt_wire_write_delete(PgtWireWriter *w, const PgtWireTuple *tuple)
{
	put_op(w, PGT_WIRE_DELETE);
	put_tuple(w, tuple);
	w->flags |= PGT_WIRE_HAS_OLD;
}

void
pgt_wire_write_update(PgtWireWriter *w, const PgtWireTuple *old_tuple,
					  const PgtWireTuple *new_tuple)
{
	put_op(w, PGT_WIRE_UPDATE);
	put_tuple(w, old_tuple);
	put_tuple(w, new_tuple);
	w->flags |= PGT_WIRE_HAS_OLD;
}

void
pgt_wire_write_truncate(PgtWireWriter *w)
{
	put_op(w, PGT_WIRE_TRUNCATE);
	w->flags |= PGT_WIRE_HAS_TRUNCATE;
}

void
pgt_wire_write_lost(PgtWireWriter *w, const char *reason)
{
	uint16		len = Min(strlen(reason), PG_UINT16_MAX);

	put_op(w, PGT_WIRE_LOST);
	memcpy(reserve(w, sizeof(len)), &len, sizeof(len));
	memcpy(reserve(w, len), reason, len);
	w->flags |= PGT_WIRE_HAS_LOST;
}

/* The header's fields at the offsets of docs/wire-format.md. */
void
pgt_wire_write_end(PgtWireWriter *w, FullTransactionId xid)
{
	uint32		magic = PGT_WIRE_MAGIC;
	uint16		version = PGT_WIRE_VERSION;
	uint64		xid64 = U64FromFullTransactionId(xid);
	uint32		length = w->len;
	uint32		source = w->shape->source;
	uint16		ncolumns = w->shape->ncolumns;

	memcpy(w->data, &magic, 4);
	memcpy(w->data + 4, &version, 2);
	memcpy(w->data + 6, &w->flags, 2);
	memcpy(w->data + 8, &xid64, 8);
	memcpy(w->data + 16, &w->shape->signature, 8);
	memcpy(w->data + 24, &length, 4);
	memcpy(w->data + 28, &source, 4);
	memcpy(w->data + 32, &w->nchanges, 4);
	memcpy(w->data + 36, &ncolumns, 2);
}
