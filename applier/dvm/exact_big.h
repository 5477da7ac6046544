/*
 * applier/dvm/exact_big.h - exact integers of any size, scaled by a power of two.
 *
 * The values that statistics are made of: products and differences of exact
 * sums, and the one division at the end.  Every value is palloc'd in the
 * current memory context and never changed; the caller's context ends them.
 */
#ifndef PGT_EXACT_BIG_H
#define PGT_EXACT_BIG_H

#include "postgres.h"

#include "applier/dvm/exact_wide.h"

/* (-1)^negative * words * 2^(32 * scale); words are little-endian, without
 * zero words at either end; zero has no words. */
typedef struct PgtBig
{
	int			nwords;
	int			scale;
	bool		negative;
	uint32		words[FLEXIBLE_ARRAY_MEMBER];
} PgtBig;

/* A value with room for nwords zero words, to be filled and then trimmed. */
extern PgtBig *pgt_exact_big_make(int nwords, int scale, bool negative);
extern PgtBig *pgt_exact_big_trim(PgtBig *a);

extern PgtBig *pgt_exact_big_int(int64 value);	/* value >= 0 */
extern PgtBig *pgt_exact_big_multiply(const PgtBig *a, const PgtBig *b);
extern PgtBig *pgt_exact_big_subtract(const PgtBig *a, const PgtBig *b);

/* num / den with 64 significant bits and the truth about the rest; den is
 * not zero. */
extern PgtWide pgt_exact_big_divide(const PgtBig *num, const PgtBig *den);

#define pgt_exact_big_is_zero(a) ((a)->nwords == 0)

#endif							/* PGT_EXACT_BIG_H */
