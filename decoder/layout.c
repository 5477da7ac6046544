/*
 * decoder/layout.c - takes heap tuples apart, as far as anybody looks.
 *
 * Core's heap_deform_tuple goes through all attributes, and some releases
 * refuse a shorter descriptor.  A decoder that carries two columns out of the
 * first five of a wide table needs five.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/tupmacs.h"

#include "decoder/compat.h"
#include "decoder/layout.h"
#include "decoder/wire.h"

PgtLayout *
pgt_layout_create(TupleDesc desc, int natts)
{
	PgtLayout  *layout = palloc(offsetof(PgtLayout, atts) +
								sizeof(PgtLayoutAttribute) * (natts + 1));
	int			offset = 0;

	layout->natts = natts;
	for (int i = 0; i < natts; i++)
	{
		Form_pg_attribute att = TupleDescAttr(desc, i);
		PgtLayoutAttribute *a = &layout->atts[i];

		a->len = att->attlen;
		a->byval = att->attbyval;
		a->alignby = pgt_wire_align_bytes(att->attalign);
		/* behind a value of any length, or one that may be padded, all is open */
		if (offset >= 0 && a->len > 0)
			offset = TYPEALIGN(a->alignby, offset);
		else if (offset >= 0 && a->len == -1 && offset % a->alignby != 0)
			offset = -1;
		a->offset = offset;
		offset = offset >= 0 && a->len > 0 ? offset + a->len : -1;
	}
	return layout;
}

static int
size_of(const PgtLayoutAttribute *a, const char *at)
{
	if (a->len > 0)
		return a->len;
	return a->len == -1 ? VARSIZE_ANY(at) : strlen(at) + 1;
}

void
pgt_layout_deform(const PgtLayout *layout, HeapTuple tuple, Datum *values,
				  bool *nulls)
{
	HeapTupleHeader header = tuple->t_data;
	const uint8 *bits = HeapTupleHasNulls(tuple) ? header->t_bits : NULL;
	const char *data = (char *) header + header->t_hoff;
	bool		fixed = true;	/* no null so far */
	int			off = 0;

	Assert(HeapTupleHeaderGetNatts(header) >= layout->natts);
	for (int i = 0; i < layout->natts; i++)
	{
		const PgtLayoutAttribute *a = &layout->atts[i];

		nulls[i] = bits != NULL && att_isnull(i, bits);
		if (nulls[i])
		{
			values[i] = (Datum) 0;
			fixed = false;
			continue;
		}
		if (fixed && a->offset >= 0)
			off = a->offset;
		else if (a->len > 0 || (a->len == -1 && data[off] == 0))
			off = TYPEALIGN(a->alignby, off);
		values[i] = fetch_att(data + off, a->byval, a->len);
		off += size_of(a, data + off);
	}
}
