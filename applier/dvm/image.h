/*
 * applier/dvm/image.h - rows as bytes: what "the same row" means here.
 *
 * The image of a row is a MinimalTuple in canonical form: values fetched from
 * TOAST, decompressed, short headers wherever they fit, padding zero.  Two
 * rows are the same exactly if their images are the same bytes.  Types need
 * neither equality nor hash support for that (json, xml, point).
 */
#ifndef PGT_IMAGE_H
#define PGT_IMAGE_H

#include "postgres.h"
#include "access/htup.h"
#include "access/tupdesc.h"
#include "executor/tuptable.h"
#include "utils/tuplestore.h"

typedef struct PgtImager
{
	TupleDesc	desc;			/* columns of the image, storage made uniform */
	bool	   *varlena;		/* column may need detoasting */
	bool	   *composite;		/* column holds rows: made canonical inside too */
	bool		any_varlena;
	bool		any_composite;
	Datum	   *values;			/* work space of form */
} PgtImager;

/* The store's next row into slot, which keeps it until the one after,
 * whatever is reset meanwhile. */
extern bool pgt_next_row(Tuplestorestate *store, TupleTableSlot *slot);

extern PgtImager *pgt_imager_make(TupleDesc desc, int natts);
extern MinimalTuple pgt_image_form(PgtImager *imager, const Datum *values,
								   const bool *isnull);
extern uint64 pgt_image_hash(MinimalTuple image);
extern bool pgt_image_equal(MinimalTuple a, MinimalTuple b);
extern void pgt_image_deform(const PgtImager *imager, MinimalTuple image,
							 Datum *values, bool *isnull);

/* One value in canonical form: plain varlena, rows inside rows too. */
extern Datum pgt_value_canonical(Datum value, Oid type);
extern bool pgt_type_holds_rows(Oid type);

/* The value without TOAST pointer or compression, for a column that is kept. */
extern Datum pgt_value_detoast(Datum value);

extern Datum pgt_byval_canonical(Datum value, int16 typlen);
extern bool pgt_value_same(Datum a, Datum b, int16 typlen, bool typbyval);

/* Hash of one value's bytes, the same wherever and whenever it is computed:
 * what index expressions over pgtrickle.row_hash store. */
extern uint64 pgt_value_hash(Datum value, bool isnull, int16 typlen,
							 bool typbyval, bool holds_rows);
extern uint64 pgt_row_hash_values(const PgtImager *imager, const Datum *values,
								  const bool *isnull);

#define PGT_ROW_HASH_SEED UINT64CONST(0x9e3779b97f4a7c15)
/* Arguments of one row_hash call; more columns are nested in rows of so many. */
#define PGT_ROW_HASH_ARGS 100

/* Columns that go into it: the index expression of more does not fit a row of
 * pg_index before 16, and the row found is compared whole in any case. */
#define PGT_ROW_HASH_COLUMNS 400

extern uint64 pgt_row_hash_step(uint64 hash, uint64 value_hash);

#endif							/* PGT_IMAGE_H */
