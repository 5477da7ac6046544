/*
 * applier/dvm/exact_wide.c - correct rounding to float8 and float4.
 *
 * Pure functions, no memory, no state.
 */
#include "postgres.h"

#include <math.h>

#include "utils/float.h"

#include "applier/dvm/exact_wide.h"

/* A binary floating-point format: bits of precision, least and greatest
 * exponent of the leading bit of a normal number. */
typedef struct FloatFormat
{
	int			precision;
	int			min_exponent;
	int			max_exponent;
} FloatFormat;

static const FloatFormat float8_format = {53, -1022, 1023};
static const FloatFormat float4_format = {24, -126, 127};

/*
 * Keep "keep" (0 .. 63) leading bits of w->m, round half to even; the result
 * may have one bit more.
 */
static uint64
round_mantissa(const PgtWide *w, int keep)
{
	uint64		kept = keep > 0 ? w->m >> (64 - keep) : 0;
	uint64		rest = keep > 0 ? w->m << keep : w->m;
	uint64		half = UINT64CONST(1) << 63;

	if (rest > half || (rest == half && (w->sticky || (kept & 1))))
		kept++;
	return kept;
}

/* |w| rounded to a format; every float4 is a float8, so float8 carries both. */
static float8
round_to_format(const PgtWide *w, const FloatFormat *format)
{
	int			leading = w->exponent + 63;
	int			keep = format->precision;
	float8		result;

	if (w->m == 0)
		return 0.0;
	if (leading > format->max_exponent)
		float_overflow_error();
	/* denormals keep fewer bits */
	if (leading < format->min_exponent)
		keep -= format->min_exponent - leading;
	if (keep < 0)
		return 0.0;

	result = ldexp((float8) round_mantissa(w, keep), w->exponent + 64 - keep);
	if (result >= ldexp(1.0, format->max_exponent) * 2.0)
		float_overflow_error();
	return result;
}

float8
pgt_exact_wide_float8(const PgtWide *w)
{
	float8		result = round_to_format(w, &float8_format);

	return w->negative ? -result : result;
}

float4
pgt_exact_wide_float4(const PgtWide *w)
{
	float4		result = (float4) round_to_format(w, &float4_format);

	return w->negative ? -result : result;
}

float8
pgt_exact_wide_sqrt(const PgtWide *w)
{
	PgtWide		scaled = *w;
	int			half;

	Assert(!w->negative || w->m == 0);
	if (w->m == 0)
		return 0.0;
	/* bring the leading bit to weight 1 or 2, by an even power of two */
	half = (w->exponent + 63) >> 1;
	scaled.exponent -= 2 * half;
	return ldexp(sqrt(pgt_exact_wide_float8(&scaled)), half);
}
