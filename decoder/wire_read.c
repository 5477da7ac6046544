/*
 * decoder/wire_read.c - reads change batches and believes nothing; see wire.h.
 *
 * Every byte may be wrong: a damaged buffer, an old format, a stranger's
 * message.  Positions only move forward through take(), which knows the end;
 * values are handed out only when they lie wholly inside their tuple.  What
 * is inside a varlena value is the type's business, as it is in the heap.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/tupmacs.h"

#include "decoder/compat.h"
#include "decoder/wire.h"

/* smallest compressed value: its header with the size before compression */
#define MIN_COMPRESSED 8

PGT_NORETURN static void
malformed(const char *what)
{
	ereport(ERROR,
			(errcode(ERRCODE_PROTOCOL_VIOLATION),
			 errmsg("malformed change batch: %s", what)));
}

static const char *
take(PgtWireReader *r, Size n)
{
	const char *at = r->data + r->pos;

	if (n > r->len - r->pos)
		malformed("it ends too early");
	r->pos += n;
	return at;
}

static void
check_magic(const char *data)
{
	uint32		magic;
	uint16		version;

	memcpy(&magic, data, sizeof(magic));
	memcpy(&version, data + 4, sizeof(version));
	if (magic != PGT_WIRE_MAGIC)
		malformed("it does not begin with the magic number");
	if (version != PGT_WIRE_VERSION)
		ereport(ERROR,
				(errcode(ERRCODE_PROTOCOL_VIOLATION),
				 errmsg("change batch has format version %u, this server reads version %u",
						version, PGT_WIRE_VERSION)));
}

void
pgt_wire_read_header(const char *data, Size len, PgtWireHeader *header)
{
	uint64		xid;
	uint16		reserved;

	if (len < PGT_WIRE_HEADER)
		malformed("it ends too early");
	check_magic(data);
	memcpy(&header->flags, data + 6, 2);
	memcpy(&xid, data + 8, 8);
	memcpy(&header->signature, data + 16, 8);
	memcpy(&header->length, data + 24, 4);
	memcpy(&header->source, data + 28, 4);
	memcpy(&header->nchanges, data + 32, 4);
	memcpy(&header->ncolumns, data + 36, 2);
	memcpy(&reserved, data + 38, 2);
	header->xid = FullTransactionIdFromU64(xid);

	if ((header->flags & ~PGT_WIRE_KNOWN_FLAGS) != 0 || reserved != 0)
		malformed("reserved bits are set");
	if (header->ncolumns > MaxTupleAttributeNumber)
		malformed("too many columns");
	if (header->length > PGT_WIRE_MAX_BATCH ||
		header->length < PGT_WIRE_HEADER + sizeof(int16) * header->ncolumns)
		malformed("impossible length");
}

void
pgt_wire_read_begin(PgtWireReader *r, const char *data, Size len)
{
	memset(r, 0, sizeof(*r));
	pgt_wire_read_header(data, len, &r->header);
	if (r->header.length != len)
		malformed("its length is not what the header says");
	r->data = data;
	r->len = len;
	r->pos = PGT_WIRE_HEADER;
	r->attnums = palloc(sizeof(AttrNumber) * (r->header.ncolumns + 1));
	memcpy(r->attnums, take(r, sizeof(int16) * r->header.ncolumns),
		   sizeof(int16) * r->header.ncolumns);
	for (int i = 0; i < r->header.ncolumns; i++)
		if (r->attnums[i] <= (i == 0 ? 0 : r->attnums[i - 1]))
			malformed("attribute numbers are not ascending");
}

static void
take_tuple(PgtWireReader *r, PgtWireTupleRef *ref)
{
	uint32		word;

	memcpy(&word, take(r, sizeof(word)), sizeof(word));
	ref->len = word >> 1;
	ref->bits = (word & 1) ? take(r, BITMAPLEN(r->header.ncolumns)) : NULL;
	ref->data = take(r, ref->len);
}

static void
take_reason(PgtWireReader *r, PgtWireChange *change)
{
	uint16		len;

	memcpy(&len, take(r, sizeof(len)), sizeof(len));
	change->reason = take(r, len);
	change->reason_len = len;
}

/* Changes must not bring what the header's flags deny: readers decide by the
 * flags alone whether to look. */
static void
require_flag(const PgtWireReader *r, uint16 flag)
{
	if ((r->header.flags & flag) == 0)
		malformed("a change contradicts the flags");
}

bool
pgt_wire_read_next(PgtWireReader *r, PgtWireChange *change)
{
	if (r->done == r->header.nchanges)
	{
		if (r->pos != r->len)
			malformed("bytes follow the last change");
		return false;
	}
	memset(change, 0, sizeof(*change));
	change->op = (PgtWireOp) (unsigned char) *take(r, 1);
	switch (change->op)
	{
		case PGT_WIRE_INSERT:
			take_tuple(r, &change->new_tuple);
			break;
		case PGT_WIRE_DELETE:
			require_flag(r, PGT_WIRE_HAS_OLD);
			take_tuple(r, &change->old_tuple);
			break;
		case PGT_WIRE_UPDATE:
			require_flag(r, PGT_WIRE_HAS_OLD);
			take_tuple(r, &change->old_tuple);
			take_tuple(r, &change->new_tuple);
			break;
		case PGT_WIRE_TRUNCATE:
			require_flag(r, PGT_WIRE_HAS_TRUNCATE);
			break;
		case PGT_WIRE_LOST:
			require_flag(r, PGT_WIRE_HAS_LOST);
			take_reason(r, change);
			break;
		default:
			malformed("unknown kind of change");
	}
	r->done++;
	return true;
}

/* Bits past the last column must be zero, and a bitmap has a reason to be. */
static void
check_bitmap(const PgtWireShape *shape, const char *bits)
{
	int			nset = 0;

	for (int i = 0; i < BITMAPLEN(shape->ncolumns) * 8; i++)
	{
		bool		set = (bits[i >> 3] & (1 << (i & 7))) != 0;

		if (set && i >= shape->ncolumns)
			malformed("null bitmap is too long");
		nset += set;
	}
	if (nset == shape->ncolumns)
		malformed("null bitmap without a null");
}

/* Size of the varlena at data, of which "left" bytes are there. */
static Size
varlena_size(const char *data, Size left)
{
	Size		size;

	if (left < 1)
		malformed("a value ends too early");
	if (VARATT_IS_1B_E(data))
		malformed("a value is stored out of line");
	if (VARATT_IS_1B(data))
		size = VARSIZE_1B(data);
	else
	{
		if (left < VARHDRSZ)
			malformed("a value ends too early");
		size = VARSIZE_4B(data);
		if (size < (VARATT_IS_4B_C(data) ? MIN_COMPRESSED : VARHDRSZ))
			malformed("a value is shorter than its header");
	}
	if (size > left)
		malformed("a value ends too early");
	return size;
}

static Size
cstring_size(const char *data, Size left)
{
	const char *end = memchr(data, '\0', left);

	if (end == NULL)
		malformed("a value ends too early");
	return end - data + 1;
}

static Size
aligned(Size off, int alignby, Size len)
{
	off = TYPEALIGN(alignby, off);
	if (off > len)
		malformed("a value ends too early");
	return off;
}

/* One value at *off; moves *off behind it.  data is aligned to MAXALIGN. */
static Datum
read_value(const PgtWireColumn *c, const char *data, Size len, Size *off)
{
	Datum		value;

	if (c->len > 0)
	{
		*off = aligned(*off, c->alignby, len);
		if (c->len > len - *off)
			malformed("a value ends too early");
		value = fetch_att(data + *off, c->byval, c->len);
		*off += c->len;
		return value;
	}
	if (c->len == -1)
	{
		/* padding is zero, a short header never is */
		if (*off < len && data[*off] == 0)
			*off = aligned(*off, c->alignby, len);
		if (*off < len && !VARATT_IS_1B(data + *off) && *off % c->alignby != 0)
			malformed("a value is not aligned");
		value = PointerGetDatum(data + *off);
		*off += varlena_size(data + *off, len - *off);
		return value;
	}
	value = PointerGetDatum(data + *off);
	*off += cstring_size(data + *off, len - *off);
	return value;
}

/* Values are read through pointers that their type's alignment holds for. */
static const char *
aligned_data(const PgtWireTupleRef *ref)
{
	char	   *copy;

	if ((uintptr_t) ref->data % MAXIMUM_ALIGNOF == 0)
		return ref->data;
	copy = palloc(ref->len + 1);
	memcpy(copy, ref->data, ref->len);
	return copy;
}

void
pgt_wire_read_tuple(const PgtWireShape *shape, const PgtWireTupleRef *ref,
					Datum *values, bool *nulls)
{
	const char *data = aligned_data(ref);
	Size		off = 0;

	if (ref->bits != NULL)
		check_bitmap(shape, ref->bits);
	for (int i = 0; i < shape->ncolumns; i++)
	{
		nulls[i] = ref->bits != NULL &&
			(ref->bits[i >> 3] & (1 << (i & 7))) == 0;
		values[i] = nulls[i] ? (Datum) 0 :
			read_value(&shape->columns[i], data, ref->len, &off);
	}
	if (off != ref->len)
		malformed("a tuple is longer than its values");
}
