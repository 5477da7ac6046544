/*
 * applier/dvm/exact_sum.c - the superaccumulator of exact_sum.h.
 *
 * Owns the limbs of a sum, one chunk of the caller's memory context, widened
 * by repalloc.  A widened window never shrinks in memory: data that reached
 * an exponent once will do so again; written images are trimmed.
 */
#include "postgres.h"

#include "port/pg_bitutils.h"
#include "utils/memutils.h"

#include "applier/dvm/exact_sum.h"

#define LIMB_BITS 64

/*
 * A product spans 2^-2148 .. 2^2048 and there may be 2^64 of them: limbs -34
 * to 33, of which widening may add some at both ends.
 */
#define MAX_LIMBS 80
/* Bytes that an image may name lie from -MAX_BYTE_PLACE to MAX_BYTE_PLACE - 1. */
#define MAX_BYTE_PLACE (34 * 8)

#define MANTISSA_BITS 52
#define MANTISSA_MASK ((UINT64CONST(1) << MANTISSA_BITS) - 1)
#define EXPONENT_MASK 0x7FF
#define EXPONENT_BIAS 1075		/* of the mantissa's lowest bit */

/* Finite x = (-1)^negative * mantissa * 2^exponent. */
typedef struct FloatParts
{
	uint64		mantissa;		/* below 2^53 */
	int			exponent;
	bool		negative;
} FloatParts;

static inline FloatParts
split_float(float8 x)
{
	FloatParts	parts;
	uint64		bits;
	int			biased;

	memcpy(&bits, &x, sizeof(bits));
	biased = (bits >> MANTISSA_BITS) & EXPONENT_MASK;
	Assert(biased != EXPONENT_MASK);
	parts.mantissa = bits & MANTISSA_MASK;
	if (biased > 0)
		parts.mantissa |= UINT64CONST(1) << MANTISSA_BITS;
	parts.exponent = Max(biased, 1) - EXPONENT_BIAS;
	parts.negative = (bits >> 63) != 0;
	return parts;
}

/* Sign extension of the window: what lies above its top limb. */
static inline uint64
sign_limb(const PgtExactSum *sum)
{
	return sum->nlimbs > 0 && (int64) sum->limbs[sum->nlimbs - 1] < 0 ? ~UINT64CONST(0) : 0;
}

/* Make the window cover places low .. end - 1 at least. */
static pg_noinline void
widen(PgtExactSum *sum, MemoryContext cxt, int low, int end)
{
	int			old = sum->nlimbs;
	uint64		sign = sign_limb(sum);
	int			shift;

	if (old > 0)
	{
		low = Min(low, sum->low);
		end = Max(end, sum->low + old);
	}
	if (end - low > MAX_LIMBS)
		elog(ERROR, "exact sum of %d limbs", end - low);

	if (old == 0)
		sum->limbs = MemoryContextAlloc(cxt, (end - low) * sizeof(uint64));
	else
		sum->limbs = repalloc(sum->limbs, (end - low) * sizeof(uint64));
	shift = old > 0 ? sum->low - low : 0;
	memmove(sum->limbs + shift, sum->limbs, old * sizeof(uint64));
	memset(sum->limbs, 0, shift * sizeof(uint64));
	for (int i = shift + old; i < end - low; i++)
		sum->limbs[i] = sign;
	sum->low = low;
	sum->nlimbs = end - low;
}

/* The limb at "place", with room for "direct" limbs to be added to and the
 * one above them that takes the carries. */
static inline uint64 *
limb_at(PgtExactSum *sum, MemoryContext cxt, int place, int direct)
{
	if (unlikely(place < sum->low || place + direct >= sum->low + sum->nlimbs))
		widen(sum, cxt, place - 1, place + direct + 1);
	return sum->limbs + (place - sum->low);
}

static inline void
add_limbs(uint64 *limb, const uint64 *end, const uint64 *value, int n)
{
	uint64		carry = 0;

	for (int i = 0; i < n; i++)
	{
		uint64		partial = limb[i] + value[i];
		uint64		total = partial + carry;

		carry = (partial < value[i]) | (total < partial);
		limb[i] = total;
	}
	for (limb += n; carry && limb < end; limb++)
		carry = ++*limb == 0;
}

static inline void
subtract_limbs(uint64 *limb, const uint64 *end, const uint64 *value, int n)
{
	uint64		borrow = 0;

	for (int i = 0; i < n; i++)
	{
		uint64		partial = limb[i] - value[i];
		uint64		total = partial - borrow;

		borrow = (limb[i] < value[i]) | (partial < borrow);
		limb[i] = total;
	}
	for (limb += n; borrow && limb < end; limb++)
		borrow = (*limb)-- == 0;
}

void
pgt_exact_sum_add(PgtExactSum *sum, MemoryContext cxt, float8 x, bool subtract)
{
	FloatParts	p = split_float(x);
	int			shift = p.exponent & (LIMB_BITS - 1);
	uint64		value[2];
	uint64	   *limb;

	if (p.mantissa == 0)
		return;
	value[0] = p.mantissa << shift;
	value[1] = (p.mantissa >> 1) >> (LIMB_BITS - 1 - shift);
	limb = limb_at(sum, cxt, p.exponent >> 6, 2);
	if (p.negative != subtract)
		subtract_limbs(limb, sum->limbs + sum->nlimbs, value, 2);
	else
		add_limbs(limb, sum->limbs + sum->nlimbs, value, 2);
}

/* 128-bit product of two values below 2^53, by halves: plain C everywhere. */
static inline void
multiply_mantissas(uint64 a, uint64 b, uint64 *high, uint64 *low)
{
	uint64		a1 = a >> 32,
				a0 = (uint32) a;
	uint64		b1 = b >> 32,
				b0 = (uint32) b;
	uint64		cross = a1 * b0 + a0 * b1;	/* below 2^54 */
	uint64		bottom = a0 * b0;

	*low = bottom + (cross << 32);
	*high = a1 * b1 + (cross >> 32) + (*low < bottom);
}

void
pgt_exact_sum_add_product(PgtExactSum *sum, MemoryContext cxt,
						  float8 x, float8 y, bool subtract)
{
	FloatParts	px = split_float(x);
	FloatParts	py = split_float(y);
	int			exponent = px.exponent + py.exponent;
	int			shift = exponent & (LIMB_BITS - 1);
	uint64		high;
	uint64		low;
	uint64		value[3];
	uint64	   *limb;

	if (px.mantissa == 0 || py.mantissa == 0)
		return;
	multiply_mantissas(px.mantissa, py.mantissa, &high, &low);
	value[0] = low << shift;
	value[1] = (high << shift) | ((low >> 1) >> (LIMB_BITS - 1 - shift));
	value[2] = (high >> 1) >> (LIMB_BITS - 1 - shift);
	limb = limb_at(sum, cxt, exponent >> 6, 3);
	if ((px.negative != py.negative) != subtract)
		subtract_limbs(limb, sum->limbs + sum->nlimbs, value, 3);
	else
		add_limbs(limb, sum->limbs + sum->nlimbs, value, 3);
}

void
pgt_exact_sum_merge(PgtExactSum *sum, MemoryContext cxt,
					const PgtExactSum *other)
{
	uint64		sign = sign_limb(other);
	int			first = 0;
	int			n = other->nlimbs;
	uint64	   *limb;

	/* only what says something, or windows would grow with every merge */
	while (first < n && other->limbs[first] == 0)
		first++;
	while (n > first && other->limbs[n - 1] == sign)
		n--;
	if (n == first && sign == 0)
		return;

	limb = limb_at(sum, cxt, other->low + first, n - first);
	add_limbs(limb, sum->limbs + sum->nlimbs, other->limbs + first, n - first);
	/* a negative number goes on with ones above its last limb */
	if (sign != 0)
	{
		uint64		one = 1;

		subtract_limbs(limb + (n - first), sum->limbs + sum->nlimbs, &one, 1);
	}
}

/*
 * Copy the magnitude into out (room for MAX_LIMBS), without zero limbs at its
 * ends; *low is the place of out[0].  Returns the number of limbs, 0 for zero.
 */
static int
copy_magnitude(const PgtExactSum *sum, uint64 *out, int *low, bool *negative)
{
	int			first = 0;
	int			n = sum->nlimbs;
	uint64		carry = 1;

	*negative = sign_limb(sum) != 0;
	*low = 0;
	while (first < n && sum->limbs[first] == 0)
		first++;
	if (first >= n)
		return 0;
	n -= first;
	*low = sum->low + first;
	memcpy(out, sum->limbs + first, n * sizeof(uint64));
	for (int i = 0; *negative && i < n; i++)
	{
		out[i] = ~out[i] + carry;
		carry = carry && out[i] == 0;
	}
	while (n > 0 && out[n - 1] == 0)
		n--;
	return n;
}

PgtWide
pgt_exact_sum_wide(const PgtExactSum *sum)
{
	uint64		limbs[MAX_LIMBS];
	PgtWide		w = {0};
	int			low;
	int			n = copy_magnitude(sum, limbs, &low, &w.negative);
	int			shift;

	if (n == 0)
		return w;
	shift = LIMB_BITS - 1 - pg_leftmost_one_pos64(limbs[n - 1]);
	w.m = limbs[n - 1] << shift;
	w.exponent = (low + n - 1) * LIMB_BITS - shift;
	if (n == 1)
		return w;
	w.m |= (limbs[n - 2] >> 1) >> (LIMB_BITS - 1 - shift);
	/* the lowest limb of a magnitude is not zero, so three limbs always leave a tail */
	w.sticky = n > 2 || (limbs[n - 2] << shift) != 0;
	return w;
}

PgtBig *
pgt_exact_sum_big(const PgtExactSum *sum)
{
	uint64		limbs[MAX_LIMBS];
	bool		negative;
	int			low;
	int			n = copy_magnitude(sum, limbs, &low, &negative);
	PgtBig	   *big = pgt_exact_big_make(2 * n, 2 * low, negative);

	for (int i = 0; i < n; i++)
	{
		big->words[2 * i] = (uint32) limbs[i];
		big->words[2 * i + 1] = (uint32) (limbs[i] >> 32);
	}
	return pgt_exact_big_trim(big);
}

uint8 *
pgt_exact_varint_write(uint64 value, uint8 *at)
{
	while (value >= 0x80)
	{
		*at++ = (uint8) (value | 0x80);
		value >>= 7;
	}
	*at++ = (uint8) value;
	return at;
}

static void
refuse_image(void)
{
	ereport(ERROR,
			(errcode(ERRCODE_DATA_CORRUPTED),
			 errmsg("invalid state of an exact float aggregate")));
}

const uint8 *
pgt_exact_varint_read(uint64 *value, const uint8 *at, const uint8 *end)
{
	*value = 0;
	for (int shift = 0; shift < 64; shift += 7)
	{
		if (at >= end)
			refuse_image();
		*value |= (uint64) (*at & 0x7F) << shift;
		if (!(*at++ & 0x80))
			return at;
	}
	refuse_image();
	return at;
}

Size
pgt_exact_sum_image_limit(const PgtExactSum *sum)
{
	return PGT_EXACT_VARINT_LIMIT + sizeof(int16) + sum->nlimbs * sizeof(uint64);
}

uint8 *
pgt_exact_sum_write(const PgtExactSum *sum, uint8 *at)
{
	uint64		limbs[MAX_LIMBS];
	bool		negative;
	int			low;
	int			n = copy_magnitude(sum, limbs, &low, &negative);
	int			first;
	int			last;
	int			place;

	if (n == 0)
		return pgt_exact_varint_write(0, at);
	first = pg_rightmost_one_pos64(limbs[0]) / 8;
	last = (n - 1) * 8 + pg_leftmost_one_pos64(limbs[n - 1]) / 8;
	place = low * 8 + first;
	at = pgt_exact_varint_write((uint64) (last - first + 1) * 2 + negative, at);
	*at++ = (uint8) place;
	*at++ = (uint8) (place >> 8);
	for (int i = first; i <= last; i++)
		*at++ = (uint8) (limbs[i / 8] >> (i % 8 * 8));
	return at;
}

/* Two's complement of the whole window. */
static void
negate(PgtExactSum *sum)
{
	uint64		carry = 1;

	for (int i = 0; i < sum->nlimbs; i++)
	{
		sum->limbs[i] = ~sum->limbs[i] + carry;
		carry = carry && sum->limbs[i] == 0;
	}
}

const uint8 *
pgt_exact_sum_read(PgtExactSum *sum, MemoryContext cxt,
				   const uint8 *at, const uint8 *end)
{
	uint64		head;
	int			nbytes;
	int			place;
	int			low;

	at = pgt_exact_varint_read(&head, at, end);
	if (head == 0)
		return at;
	if (end - at < 2 || head / 2 > (uint64) (end - at - 2))
		refuse_image();
	nbytes = head / 2;
	place = (int16) (at[0] | (at[1] << 8));
	at += 2;
	if (place < -MAX_BYTE_PLACE || place + nbytes > MAX_BYTE_PLACE || nbytes == 0)
		refuse_image();

	/* a limb to spare below, one and the sign above, as limb_at would ask for */
	low = place >> 3;
	widen(sum, cxt, low - 1, ((place + nbytes - 1) >> 3) + 3);
	memset(sum->limbs, 0, sum->nlimbs * sizeof(uint64));
	for (int i = 0; i < nbytes; i++)
	{
		int			byte = place + i - sum->low * 8;

		sum->limbs[byte / 8] |= (uint64) at[i] << (byte % 8 * 8);
	}
	if (head & 1)
		negate(sum);
	return at + nbytes;
}
