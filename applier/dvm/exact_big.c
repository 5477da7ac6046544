/*
 * applier/dvm/exact_big.c - arithmetic for exact_big.h.
 *
 * Schoolbook algorithms (Knuth, The Art of Computer Programming, vol. 2,
 * section 4.3.1): operands of ordinary data have a handful of words, the
 * widest possible ones some hundred.
 */
#include "postgres.h"

#include "port/pg_bitutils.h"

#include "applier/dvm/exact_big.h"

#define WORD_BITS 32
#define WORD_BASE (UINT64CONST(1) << WORD_BITS)

/* A quotient of at least this many bits holds m of a PgtWide. */
#define QUOTIENT_BITS 66

PgtBig *
pgt_exact_big_make(int nwords, int scale, bool negative)
{
	PgtBig	   *a = palloc0(offsetof(PgtBig, words) + nwords * sizeof(uint32));

	a->nwords = nwords;
	a->scale = scale;
	a->negative = negative;
	return a;
}

PgtBig *
pgt_exact_big_trim(PgtBig *a)
{
	int			low = 0;

	while (a->nwords > 0 && a->words[a->nwords - 1] == 0)
		a->nwords--;
	while (low < a->nwords && a->words[low] == 0)
		low++;
	if (low > 0)
	{
		a->nwords -= low;
		a->scale += low;
		memmove(a->words, a->words + low, a->nwords * sizeof(uint32));
	}
	if (a->nwords == 0)
	{
		a->scale = 0;
		a->negative = false;
	}
	return a;
}

PgtBig *
pgt_exact_big_int(int64 value)
{
	PgtBig	   *a = pgt_exact_big_make(2, 0, false);

	Assert(value >= 0);
	a->words[0] = (uint32) value;
	a->words[1] = (uint32) (value >> WORD_BITS);
	return pgt_exact_big_trim(a);
}

PgtBig *
pgt_exact_big_multiply(const PgtBig *a, const PgtBig *b)
{
	PgtBig	   *product = pgt_exact_big_make(a->nwords + b->nwords,
											 a->scale + b->scale,
											 a->negative != b->negative);

	for (int i = 0; i < a->nwords; i++)
	{
		uint64		carry = 0;

		for (int j = 0; j < b->nwords; j++)
		{
			carry += product->words[i + j] + (uint64) a->words[i] * b->words[j];
			product->words[i + j] = (uint32) carry;
			carry >>= WORD_BITS;
		}
		product->words[i + b->nwords] = (uint32) carry;
	}
	return pgt_exact_big_trim(product);
}

/* Word of a at place "place" of the common scale. */
static inline uint32
word_at(const PgtBig *a, int place)
{
	int			i = place - a->scale;

	return i >= 0 && i < a->nwords ? a->words[i] : 0;
}

/* Sign of |a| - |b|. */
static int
compare_magnitudes(const PgtBig *a, const PgtBig *b)
{
	int			top = Max(a->scale + a->nwords, b->scale + b->nwords);
	int			bottom = Min(a->scale, b->scale);

	for (int place = top - 1; place >= bottom; place--)
	{
		uint32		wa = word_at(a, place);
		uint32		wb = word_at(b, place);

		if (wa != wb)
			return wa < wb ? -1 : 1;
	}
	return 0;
}

/* |a| + |b|, or |a| - |b| where |a| >= |b|. */
static PgtBig *
combine_magnitudes(const PgtBig *a, const PgtBig *b, bool add, bool negative)
{
	int			bottom = Min(a->scale, b->scale);
	int			top = Max(a->scale + a->nwords, b->scale + b->nwords) + 1;
	PgtBig	   *result = pgt_exact_big_make(top - bottom, bottom, negative);
	int64		carry = 0;

	for (int place = bottom; place < top; place++)
	{
		int64		wb = word_at(b, place);

		carry += (int64) word_at(a, place) + (add ? wb : -wb);
		result->words[place - bottom] = (uint32) carry;
		carry >>= WORD_BITS;	/* arithmetic: a borrow is -1 */
	}
	Assert(carry == 0);
	return pgt_exact_big_trim(result);
}

PgtBig *
pgt_exact_big_subtract(const PgtBig *a, const PgtBig *b)
{
	if (a->negative != b->negative)
		return combine_magnitudes(a, b, true,
								  a->nwords > 0 ? a->negative : !b->negative);
	if (compare_magnitudes(a, b) >= 0)
		return combine_magnitudes(a, b, false, a->negative);
	return combine_magnitudes(b, a, false, !a->negative);
}

static inline int
bit_length(const PgtBig *a)
{
	return a->nwords * WORD_BITS - WORD_BITS + 1 +
		pg_leftmost_one_pos32(a->words[a->nwords - 1]);
}

/*
 * |a| * 2^shift, cut off below 1 (then *lost), as nwords plain words; the
 * caller has made sure that they hold it.
 */
static uint32 *
shifted_words(const PgtBig *a, int shift, int nwords, bool *lost)
{
	uint32	   *out = palloc0(nwords * sizeof(uint32));
	int			word_shift = shift >> 5;	/* floor */
	int			bit_shift = shift & 31;

	for (int i = 0; i < a->nwords; i++)
	{
		uint64		wide = (uint64) a->words[i] << bit_shift;
		int			at = i + word_shift;
		uint32		low = (uint32) wide;
		uint32		high = (uint32) (wide >> WORD_BITS);

		if (at >= 0)
			out[at] |= low;
		else if (low != 0)
			*lost = true;
		if (high == 0)
			continue;
		if (at + 1 >= 0)
			out[at + 1] |= high;
		else
			*lost = true;
	}
	return out;
}

/* u[0..n] -= q * v[0..n-1]; returns true if that went below zero. */
static bool
subtract_multiple(uint32 *u, const uint32 *v, int n, uint64 q)
{
	uint64		carry = 0;
	int64		borrow = 0;

	for (int i = 0; i < n; i++)
	{
		carry += q * v[i];
		borrow += (int64) u[i] - (int64) (uint32) carry;
		u[i] = (uint32) borrow;
		borrow >>= WORD_BITS;
		carry >>= WORD_BITS;
	}
	borrow += (int64) u[n] - (int64) carry;
	u[n] = (uint32) borrow;
	return (borrow >> WORD_BITS) != 0;
}

static void
add_back(uint32 *u, const uint32 *v, int n)
{
	uint64		carry = 0;

	for (int i = 0; i < n; i++)
	{
		carry += (uint64) u[i] + v[i];
		u[i] = (uint32) carry;
		carry >>= WORD_BITS;
	}
	u[n] += (uint32) carry;
}

/*
 * One quotient word of u[0..n] / v[0..n-1], v's top bit set and
 * u / 2^32 < v; u becomes the remainder.  Knuth's algorithm D, step D3 to D6.
 */
static uint32
divide_step(uint32 *u, const uint32 *v, int n)
{
	uint64		top = ((uint64) u[n] << WORD_BITS) | u[n - 1];
	uint64		q = top / v[n - 1];
	uint64		rest = top % v[n - 1];

	if (q >= WORD_BASE)
	{
		q = WORD_BASE - 1;
		rest = top - q * v[n - 1];
	}
	while (n > 1 && rest < WORD_BASE &&
		   q * v[n - 2] > ((rest << WORD_BITS) | u[n - 2]))
	{
		q--;
		rest += v[n - 1];
	}
	if (subtract_multiple(u, v, n, q))
	{
		q--;
		add_back(u, v, n);
	}
	return (uint32) q;
}

/* Leading 64 bits of q[0..2] (not zero), the rest folded into sticky. */
static void
set_mantissa(PgtWide *w, const uint32 *q)
{
	uint64		high = ((uint64) q[2] << WORD_BITS) | q[1];
	int			shift = 63 - pg_leftmost_one_pos64(high);

	w->m = (high << shift) | (((uint64) q[0] << shift) >> WORD_BITS);
	if ((uint32) ((uint64) q[0] << shift) != 0)
		w->sticky = true;
	w->exponent += WORD_BITS - shift;
}

PgtWide
pgt_exact_big_divide(const PgtBig *num, const PgtBig *den)
{
	PgtWide		result = {0};
	int			shift;
	int			normalise;
	int			n = den->nwords;
	uint32	   *u;
	uint32	   *v;
	uint32		q[3];

	Assert(!pgt_exact_big_is_zero(den));
	if (pgt_exact_big_is_zero(num))
		return result;

	/* scale num so that the quotient has 66 or 67 bits: three words */
	shift = QUOTIENT_BITS + bit_length(den) - bit_length(num);
	normalise = n * WORD_BITS - bit_length(den);
	v = shifted_words(den, normalise, n, &result.sticky);
	u = shifted_words(num, shift + normalise, n + 4, &result.sticky);
	for (int i = 2; i >= 0; i--)
		q[i] = divide_step(u + i, v, n);
	for (int i = 0; i < n; i++)
		if (u[i] != 0)
			result.sticky = true;

	result.negative = num->negative != den->negative;
	result.exponent = (num->scale - den->scale) * WORD_BITS - shift;
	set_mantissa(&result, q);
	return result;
}
