/*
 * decoder/layout.h - takes heap tuples apart, as far as anybody looks.
 */
#ifndef PGT_DECODER_LAYOUT_H
#define PGT_DECODER_LAYOUT_H

#include "postgres.h"
#include "access/htup.h"
#include "access/tupdesc.h"

typedef struct PgtLayoutAttribute
{
	int16		len;
	bool		byval;
	uint8		alignby;
	int			offset;			/* in tuples without nulls; -1: not fixed */
} PgtLayoutAttribute;

typedef struct PgtLayout
{
	int			natts;
	PgtLayoutAttribute atts[FLEXIBLE_ARRAY_MEMBER];
} PgtLayout;

/* Of the first natts attributes, dropped ones included; palloc'd. */
extern PgtLayout *pgt_layout_create(TupleDesc desc, int natts);

/* The tuple must have these attributes; values point into it. */
extern void pgt_layout_deform(const PgtLayout *layout, HeapTuple tuple,
							  Datum *values, bool *nulls);

#endif							/* PGT_DECODER_LAYOUT_H */
