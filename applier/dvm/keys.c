/*
 * applier/dvm/keys.c - group keys: their hash, their equality, their images.
 *
 * Equality is the one the query groups by (operator and collation).  The hash
 * agrees with it and is stored (state.h), so it must not depend on the
 * session: the type's own hash function; for a type without one the bytes,
 * where equal values are the same bytes; else nothing, and the look-up
 * compares.
 *
 * Some types have values that are equal but not identical (numeric 1.0 and
 * 1.00, citext, -0).  For those a group counts the images of its rows' keys.
 * Stored form: per image int64 count, then the MinimalTuple.
 */
#include "postgres.h"
#include "access/htup_details.h"
#include "access/nbtree.h"
#include "common/hashfn.h"
#include "utils/datum.h"
#include "utils/lsyscache.h"
#include "utils/typcache.h"

#include "applier/dvm/keys.h"
#include "decoder/compat.h"

typedef struct KeyFunctions
{
	FmgrInfo	hash;
	FmgrInfo	equal;
	bool		hash_by_type;
	bool		hash_by_image;
	bool		bytes_decide;	/* by value, equal means identical */
	int16		typlen;
	bool		typbyval;
} KeyFunctions;

struct PgtKeySet
{
	int			n;
	const PgtKeySpec *specs;
	PgtImager  *imager;
	KeyFunctions keys[FLEXIBLE_ARRAY_MEMBER];
};

bool
pgt_keys_equal_means_identical(Oid keytype, Oid collation, Oid eqop)
{
	TypeCacheEntry *type = lookup_type_cache(keytype, TYPECACHE_BTREE_OPFAMILY);
	Oid			proc;

	if (!OidIsValid(type->btree_opf) ||
		get_opfamily_member(type->btree_opf, type->btree_opintype,
							type->btree_opintype,
							BTEqualStrategyNumber) != eqop)
		return false;
	proc = get_opfamily_proc(type->btree_opf, type->btree_opintype,
							 type->btree_opintype, BTEQUALIMAGE_PROC);
	return OidIsValid(proc) &&
		DatumGetBool(OidFunctionCall1Coll(proc, collation,
										  ObjectIdGetDatum(type->btree_opintype)));
}

static void
prepare_key(PgtKeySpec *key, KeyFunctions *fn)
{
	Oid			left;
	Oid			right;

	get_typlenbyval(key->type, &fn->typlen, &fn->typbyval);
	key->image_equal = pgt_keys_equal_means_identical(key->type, key->collation,
													 key->eqop);
	key->hashfn = get_op_hash_functions(key->eqop, &left, &right) ?
		left : InvalidOid;
	fmgr_info(get_opcode(key->eqop), &fn->equal);
	fn->bytes_decide = key->image_equal && fn->typbyval;
	fn->hash_by_type = OidIsValid(key->hashfn);
	fn->hash_by_image = !fn->hash_by_type && key->image_equal;
	if (fn->hash_by_type)
		fmgr_info(key->hashfn, &fn->hash);
}

PgtKeySet *
pgt_keys_prepare(PgtKeySpec *keys, int nkeys)
{
	PgtKeySet  *set = palloc0(offsetof(PgtKeySet, keys) +
							  sizeof(KeyFunctions) * nkeys);
	TupleDesc	desc = CreateTemplateTupleDesc(nkeys);

	set->n = nkeys;
	set->specs = keys;
	for (int i = 0; i < nkeys; i++)
	{
		PgtKeySpec *key = &keys[i];

		prepare_key(key, &set->keys[i]);
		TupleDescInitEntry(desc, i + 1, psprintf("k%d", i + 1), key->type,
						   key->typmod, 0);
		TupleDescInitEntryCollation(desc, i + 1, key->collation);
	}
	pgt_tupdesc_finish(desc);
	set->imager = pgt_imager_make(desc, nkeys);
	return set;
}

PgtImager *
pgt_keys_imager(const PgtKeySet *set)
{
	return set->imager;
}

uint64
pgt_keys_hash(const PgtKeySet *set, const Datum *values, const bool *isnull)
{
	uint64		hash = 0;

	for (int i = 0; i < set->n; i++)
	{
		KeyFunctions *fn = unconstify(KeyFunctions *, &set->keys[i]);
		uint32		h = 0;

		if (isnull[i])
			h = 1;
		else if (fn->hash_by_type)
			h = DatumGetUInt32(FunctionCall1Coll(&fn->hash,
												 set->specs[i].collation,
												 values[i]));
		else if (fn->hash_by_image)
			h = datum_image_hash(values[i], fn->typbyval, fn->typlen);
		hash = hash_combine64(hash, hash_bytes_uint32_extended(h, i));
	}
	return hash;
}

bool
pgt_keys_equal(const PgtKeySet *set, const Datum *a, const bool *anull,
			   const Datum *b, const bool *bnull)
{
	for (int i = 0; i < set->n; i++)
	{
		KeyFunctions *fn = unconstify(KeyFunctions *, &set->keys[i]);

		if (anull[i] || bnull[i])
		{
			if (anull[i] != bnull[i])
				return false;
		}
		else if (fn->bytes_decide)
		{
			if (pgt_byval_canonical(a[i], fn->typlen) !=
				pgt_byval_canonical(b[i], fn->typlen))
				return false;
		}
		else if (!DatumGetBool(FunctionCall2Coll(&fn->equal,
												 set->specs[i].collation,
												 a[i], b[i])))
			return false;
	}
	return true;
}

bool
pgt_keys_identical(const PgtKeySet *set, const Datum *a, const bool *anull,
				   const Datum *b, const bool *bnull)
{
	for (int i = 0; i < set->n; i++)
	{
		KeyFunctions *fn = unconstify(KeyFunctions *, &set->keys[i]);

		if (set->specs[i].image_equal || anull[i])
			continue;
		if (!pgt_value_same(a[i], b[i], fn->typlen, fn->typbyval))
			return false;
	}
	return true;
}

void
pgt_keys_copy(const PgtKeySet *set, Datum *to, bool *tonull,
			  const Datum *from, const bool *fromnull)
{
	PgtImager  *imager = set->imager;

	for (int i = 0; i < set->n; i++)
	{
		KeyFunctions *fn = unconstify(KeyFunctions *, &set->keys[i]);
		Datum		value = from[i];

		tonull[i] = fromnull[i];
		to[i] = (Datum) 0;
		if (fromnull[i])
			continue;
		if (imager->composite[i])
			value = pgt_value_canonical(value, set->specs[i].type);
		else if (imager->varlena[i])
			value = pgt_value_detoast(value);
		to[i] = datumCopy(value, fn->typbyval, fn->typlen);
	}
}

/* ---- images of equal keys ---- */

PgtKeyImages *
pgt_key_images_make(void)
{
	PgtKeyImages *set = palloc0(sizeof(PgtKeyImages));

	set->room = 4;
	set->images = palloc(sizeof(MinimalTuple) * set->room);
	set->counts = palloc(sizeof(int64) * set->room);
	return set;
}

/* image must stay where it is as long as the set. */
void
pgt_key_images_add(PgtKeyImages *set, MinimalTuple image, int64 weight)
{
	for (int i = 0; i < set->n; i++)
	{
		if (pgt_image_equal(set->images[i], image))
		{
			set->counts[i] += weight;
			return;
		}
	}
	if (set->n == set->room)
	{
		set->room *= 2;
		set->images = repalloc(set->images, sizeof(MinimalTuple) * set->room);
		set->counts = repalloc(set->counts, sizeof(int64) * set->room);
	}
	set->images[set->n] = image;
	set->counts[set->n++] = weight;
}

PgtKeyImages *
pgt_key_images_read(Datum bytes)
{
	struct varlena *stored = PG_DETOAST_DATUM_PACKED(bytes);
	const char *at = VARDATA_ANY(stored);
	const char *end = at + VARSIZE_ANY_EXHDR(stored);
	PgtKeyImages *set = pgt_key_images_make();

	while (at < end)
	{
		int64		count;
		uint32		len;
		MinimalTuple image;

		memcpy(&count, at, sizeof(count));
		memcpy(&len, at + sizeof(count), sizeof(len));
		image = palloc(len);
		memcpy(image, at + sizeof(count), len);
		at += sizeof(count) + len;
		pgt_key_images_add(set, image, count);
	}
	return set;
}

Datum
pgt_key_images_write(const PgtKeyImages *set)
{
	Size		size = VARHDRSZ;
	struct varlena *bytes;
	char	   *at;

	for (int i = 0; i < set->n; i++)
		size += sizeof(int64) + set->images[i]->t_len;
	bytes = palloc(size);
	SET_VARSIZE(bytes, size);
	at = VARDATA(bytes);
	for (int i = 0; i < set->n; i++)
	{
		memcpy(at, &set->counts[i], sizeof(int64));
		memcpy(at + sizeof(int64), set->images[i], set->images[i]->t_len);
		at += sizeof(int64) + set->images[i]->t_len;
	}
	return PointerGetDatum(bytes);
}
