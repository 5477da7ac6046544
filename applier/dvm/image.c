/*
 * applier/dvm/image.c - rows as bytes; see image.h.
 *
 * Results are palloc'd in the current memory context; the imager lives where
 * it was made.  No locks, no catalog writes; type look-ups only when an imager
 * is made or a row inside a row is met.
 */
#include "postgres.h"
#include "access/detoast.h"
#include "access/htup_details.h"
#include "catalog/pg_type.h"
#include "common/hashfn.h"
#include "utils/datum.h"
#include "utils/lsyscache.h"
#include "utils/typcache.h"

#include "applier/dvm/image.h"
#include "decoder/compat.h"

bool
pgt_next_row(Tuplestorestate *store, TupleTableSlot *slot)
{
	MemoryContext old = MemoryContextSwitchTo(slot->tts_mcxt);
	bool		found = tuplestore_gettupleslot(store, true, false, slot);

	MemoryContextSwitchTo(old);
	return found;
}

/* A row or a domain over one. */
bool
pgt_type_holds_rows(Oid type)
{
	Oid			base = getBaseType(type);

	return base == RECORDOID || get_typtype(base) == TYPTYPE_COMPOSITE;
}

PgtImager *
pgt_imager_make(TupleDesc desc, int natts)
{
	PgtImager  *imager = palloc0(sizeof(PgtImager));

	imager->desc = CreateTemplateTupleDesc(natts);
	imager->varlena = palloc0(sizeof(bool) * natts);
	imager->composite = palloc0(sizeof(bool) * natts);
	imager->values = palloc(sizeof(Datum) * natts);
	for (int i = 0; i < natts; i++)
	{
		Form_pg_attribute att;

		TupleDescCopyEntry(imager->desc, i + 1, desc, i + 1);
		att = TupleDescAttr(imager->desc, i);
		if (att->attlen != -1)
			continue;
		/* a plain column would keep whatever header its value came with */
		att->attstorage = TYPSTORAGE_EXTENDED;
		pgt_attribute_changed(imager->desc, i);
		imager->varlena[i] = true;
		imager->composite[i] = pgt_type_holds_rows(att->atttypid);
		imager->any_composite |= imager->composite[i];
		imager->any_varlena = true;
	}
	pgt_tupdesc_finish(imager->desc);
	return imager;
}

Datum
pgt_value_detoast(Datum value)
{
	struct varlena *v = (struct varlena *) DatumGetPointer(value);

	if (VARATT_IS_EXTERNAL(v) || VARATT_IS_COMPRESSED(v))
		return PointerGetDatum(detoast_attr(v));
	return value;
}

/* A row value taken apart and formed again from canonical parts. */
static Datum
canonical_row(Datum value)
{
	HeapTupleHeader header = DatumGetHeapTupleHeader(value);
	TupleDesc	desc = lookup_rowtype_tupdesc(HeapTupleHeaderGetTypeId(header),
											  HeapTupleHeaderGetTypMod(header));
	Datum	   *values = palloc(sizeof(Datum) * desc->natts);
	bool	   *isnull = palloc(sizeof(bool) * desc->natts);
	HeapTupleData tuple;
	Datum		result;

	tuple.t_len = HeapTupleHeaderGetDatumLength(header);
	ItemPointerSetInvalid(&tuple.t_self);
	tuple.t_tableOid = InvalidOid;
	tuple.t_data = header;
	heap_deform_tuple(&tuple, desc, values, isnull);
	for (int i = 0; i < desc->natts; i++)
	{
		Form_pg_attribute att = TupleDescAttr(desc, i);

		if (att->attlen == -1 && !isnull[i])
			values[i] = pgt_value_canonical(values[i], att->atttypid);
	}
	result = heap_copy_tuple_as_datum(heap_form_tuple(desc, values, isnull),
									  desc);
	ReleaseTupleDesc(desc);
	return result;
}

Datum
pgt_value_canonical(Datum value, Oid type)
{
	if (pgt_type_holds_rows(type))
		return canonical_row(value);
	return pgt_value_detoast(value);
}

MinimalTuple
pgt_image_form(PgtImager *imager, const Datum *values, const bool *isnull)
{
	TupleDesc	desc = imager->desc;

	if (!imager->any_varlena)
		return pgt_form_minimal_tuple(desc, unconstify(Datum *, values),
									  unconstify(bool *, isnull));
	for (int i = 0; i < desc->natts; i++)
	{
		if (isnull[i] || !imager->varlena[i])
			imager->values[i] = values[i];
		else if (imager->composite[i])
			imager->values[i] = canonical_row(values[i]);
		else
			imager->values[i] = pgt_value_detoast(values[i]);
	}
	return pgt_form_minimal_tuple(desc, imager->values,
								  unconstify(bool *, isnull));
}

uint64
pgt_image_hash(MinimalTuple image)
{
	return hash_bytes_extended((const unsigned char *) image, image->t_len, 0);
}

bool
pgt_image_equal(MinimalTuple a, MinimalTuple b)
{
	return a->t_len == b->t_len && memcmp(a, b, a->t_len) == 0;
}

void
pgt_image_deform(const PgtImager *imager, MinimalTuple image,
				 Datum *values, bool *isnull)
{
	HeapTupleData tuple;

	tuple.t_len = image->t_len + MINIMAL_TUPLE_OFFSET;
	ItemPointerSetInvalid(&tuple.t_self);
	tuple.t_tableOid = InvalidOid;
	tuple.t_data = (HeapTupleHeader) ((char *) image - MINIMAL_TUPLE_OFFSET);
	heap_deform_tuple(&tuple, imager->desc, values, isnull);
}

/* ---- the hash that identity indexes store ---- */

/* Narrow by-value types come sign- or zero-extended: keep their own bytes. */
Datum
pgt_byval_canonical(Datum value, int16 typlen)
{
	switch (typlen)
	{
		case 1:
			return (Datum) (uint8) value;
		case 2:
			return (Datum) (uint16) value;
		case 4:
			return (Datum) (uint32) value;
		default:
			return value;
	}
}

/* Are the two non-null values the same bytes, wherever they are stored? */
bool
pgt_value_same(Datum a, Datum b, int16 typlen, bool typbyval)
{
	if (typbyval)
		return pgt_byval_canonical(a, typlen) == pgt_byval_canonical(b, typlen);
	return datum_image_eq(a, b, false, typlen);
}

uint64
pgt_row_hash_step(uint64 hash, uint64 value_hash)
{
	return hash_combine64(hash, value_hash);
}

static uint64
row_value_hash(Datum value)
{
	HeapTupleHeader header = DatumGetHeapTupleHeader(value);
	TupleDesc	desc = lookup_rowtype_tupdesc(HeapTupleHeaderGetTypeId(header),
											  HeapTupleHeaderGetTypMod(header));
	Datum	   *values = palloc(sizeof(Datum) * desc->natts);
	bool	   *isnull = palloc(sizeof(bool) * desc->natts);
	HeapTupleData tuple;
	uint64		hash = PGT_ROW_HASH_SEED;

	tuple.t_len = HeapTupleHeaderGetDatumLength(header);
	ItemPointerSetInvalid(&tuple.t_self);
	tuple.t_tableOid = InvalidOid;
	tuple.t_data = header;
	heap_deform_tuple(&tuple, desc, values, isnull);
	for (int i = 0; i < desc->natts; i++)
	{
		Form_pg_attribute att = TupleDescAttr(desc, i);

		if (!att->attisdropped)
			hash = pgt_row_hash_step(hash,
									 pgt_value_hash(values[i], isnull[i],
													att->attlen, att->attbyval,
													att->attlen == -1 &&
													pgt_type_holds_rows(att->atttypid)));
	}
	ReleaseTupleDesc(desc);
	pfree(values);
	pfree(isnull);
	return hash;
}

uint64
pgt_value_hash(Datum value, bool isnull, int16 typlen, bool typbyval,
			   bool holds_rows)
{
	uint64		hash;

	if (isnull)
		return 1;
	if (typbyval)
	{
		value = pgt_byval_canonical(value, typlen);
		return hash_bytes_extended((unsigned char *) &value, sizeof(Datum), 0);
	}
	if (typlen == -1)
	{
		struct varlena *v;

		if (holds_rows)
			return row_value_hash(value);
		v = PG_DETOAST_DATUM_PACKED(value);
		hash = hash_bytes_extended((unsigned char *) VARDATA_ANY(v),
								   VARSIZE_ANY_EXHDR(v), 0);
		if ((Pointer) v != DatumGetPointer(value))
			pfree(v);
		return hash;
	}
	if (typlen == -2)
		typlen = strlen(DatumGetCString(value));
	return hash_bytes_extended((unsigned char *) DatumGetPointer(value),
							   typlen, 0);
}

/*
 * Hash of a whole row as the identity index of a stream table computes it:
 * flat for up to PGT_ROW_HASH_ARGS columns, else rows of that many; of its
 * first PGT_ROW_HASH_COLUMNS columns.
 */
uint64
pgt_row_hash_values(const PgtImager *imager, const Datum *values,
					const bool *isnull)
{
	TupleDesc	desc = imager->desc;
	uint64		hash = PGT_ROW_HASH_SEED;
	uint64		part = PGT_ROW_HASH_SEED;
	int			ncolumns = Min(desc->natts, PGT_ROW_HASH_COLUMNS);
	bool		nested = ncolumns > PGT_ROW_HASH_ARGS;

	for (int i = 0; i < ncolumns; i++)
	{
		Form_pg_attribute att = TupleDescAttr(desc, i);
		uint64		h = pgt_value_hash(values[i], isnull[i], att->attlen,
									   att->attbyval, imager->composite[i]);

		if (!nested)
			hash = pgt_row_hash_step(hash, h);
		else
			part = pgt_row_hash_step(part, h);
		if (nested && ((i + 1) % PGT_ROW_HASH_ARGS == 0 || i + 1 == ncolumns))
		{
			hash = pgt_row_hash_step(hash, part);
			part = PGT_ROW_HASH_SEED;
		}
	}
	return hash;
}
