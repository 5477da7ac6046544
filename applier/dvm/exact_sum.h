/*
 * applier/dvm/exact_sum.h - a sum of float8 values, or of products of two,
 * that is exact and therefore independent of the order of its terms.
 *
 * A PgtExactSum is one long fixed-point number (a superaccumulator: Kulisch;
 * Neal, "Fast exact summation using small and large superaccumulators",
 * 2015), of which only the window of 64-bit limbs that was ever touched is
 * kept.  Bit b of limb i weighs 2^(64 i + b), i may be negative; the limbs
 * are one integer in two's complement.
 *
 * Invariant: the top limb is never added to directly, it only receives
 * carries and borrows, one per operation; so the sign cannot be lost before
 * 2^63 operations.
 *
 * Taking a term away again leaves exactly the number that was there before;
 * the written image is canonical: equal sums have equal bytes.
 */
#ifndef PGT_EXACT_SUM_H
#define PGT_EXACT_SUM_H

#include "postgres.h"

#include "applier/dvm/exact_big.h"
#include "applier/dvm/exact_wide.h"

typedef struct PgtExactSum
{
	int			low;			/* place of limbs[0] */
	int			nlimbs;			/* 0: nothing but zeros so far */
	uint64	   *limbs;			/* in the memory context given to each call */
} PgtExactSum;

/* sum += x, or -= x when subtract; x is finite.  Limbs are allocated in cxt,
 * the same one in every call for this sum. */
extern void pgt_exact_sum_add(PgtExactSum *sum, MemoryContext cxt,
							  float8 x, bool subtract);
/* The same for x * y, without rounding the product. */
extern void pgt_exact_sum_add_product(PgtExactSum *sum, MemoryContext cxt,
									  float8 x, float8 y, bool subtract);
/* sum += other; other may live anywhere. */
extern void pgt_exact_sum_merge(PgtExactSum *sum, MemoryContext cxt,
								const PgtExactSum *other);

extern PgtWide pgt_exact_sum_wide(const PgtExactSum *sum);
extern PgtBig *pgt_exact_sum_big(const PgtExactSum *sum);

/* Image: variable-length integer (bytes of the magnitude * 2 + negative),
 * then, unless zero, the place of the lowest byte (int16) and the bytes,
 * lowest first, neither end zero. */
extern Size pgt_exact_sum_image_limit(const PgtExactSum *sum);
extern uint8 *pgt_exact_sum_write(const PgtExactSum *sum, uint8 *at);
/* Fills an empty sum; error XX001 when the bytes are no image. */
extern const uint8 *pgt_exact_sum_read(PgtExactSum *sum, MemoryContext cxt,
									   const uint8 *at, const uint8 *end);

/* Unsigned variable-length integers, seven bits a byte, lowest first. */
#define PGT_EXACT_VARINT_LIMIT 10
extern uint8 *pgt_exact_varint_write(uint64 value, uint8 *at);
extern const uint8 *pgt_exact_varint_read(uint64 *value, const uint8 *at,
										  const uint8 *end);

#endif							/* PGT_EXACT_SUM_H */
