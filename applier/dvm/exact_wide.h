/*
 * applier/dvm/exact_wide.h - a real number on its way to becoming a float.
 *
 * A PgtWide is (-1)^negative * m * 2^exponent with m either 0 or normalised
 * (top bit set), and "sticky" set when a non-zero tail was cut off below m's
 * last bit.  That is enough to round the exact value correctly, once, to
 * float8 or float4 (IEEE round half to even, denormals included).  Its
 * exponent does not overflow, so intermediate results may lie far outside of
 * what a float8 holds.
 */
#ifndef PGT_EXACT_WIDE_H
#define PGT_EXACT_WIDE_H

#include "postgres.h"

typedef struct PgtWide
{
	uint64		m;				/* 0, or top bit set */
	int			exponent;		/* weight of m's lowest bit */
	bool		negative;
	bool		sticky;			/* the exact value lies beyond m */
} PgtWide;

/* Nearest float8 / float4.  Error 22003 when it is out of range. */
extern float8 pgt_exact_wide_float8(const PgtWide *w);
extern float4 pgt_exact_wide_float4(const PgtWide *w);

/* Square root of w >= 0 rounded to float8: what sqrt() makes of w rounded to
 * 53 bits, but never out of range where w itself would be. */
extern float8 pgt_exact_wide_sqrt(const PgtWide *w);

#endif							/* PGT_EXACT_WIDE_H */
