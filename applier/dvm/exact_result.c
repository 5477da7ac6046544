/*
 * applier/dvm/exact_result.c - final functions of the pgtrickle.exact_*
 * aggregates.
 *
 * Each result is the exact value of its formula over the exact sums, rounded
 * once (square roots: of the rounded value; corr: from r squared).  NULL, NaN
 * and infinities follow PostgreSQL's float aggregates (utils/adt/float.c);
 * an error for an overflow is raised only when the result itself does not fit,
 * not for intermediate values.  Final functions leave the state as it was.
 *
 * With N rows and sums Sx, Sxx0 = sum(x * x), ...: the centred sum that
 * PostgreSQL calls Sxx is (N * Sxx0 - Sx * Sx) / N.  What the functions below
 * call "centred" is N times that, an exact integer scaled by a power of two.
 */
#include "postgres.h"

#include <math.h>

#include "fmgr.h"
#include "utils/float.h"

#include "applier/dvm/exact_state.h"

PG_FUNCTION_INFO_V1(pgt_exact_sum_final_float4);
PG_FUNCTION_INFO_V1(pgt_exact_sum_final_float8);
PG_FUNCTION_INFO_V1(pgt_exact_avg_final);
PG_FUNCTION_INFO_V1(pgt_exact_var_samp_final);
PG_FUNCTION_INFO_V1(pgt_exact_var_pop_final);
PG_FUNCTION_INFO_V1(pgt_exact_stddev_samp_final);
PG_FUNCTION_INFO_V1(pgt_exact_stddev_pop_final);
PG_FUNCTION_INFO_V1(pgt_exact_corr_final);
PG_FUNCTION_INFO_V1(pgt_exact_covar_pop_final);
PG_FUNCTION_INFO_V1(pgt_exact_covar_samp_final);
PG_FUNCTION_INFO_V1(pgt_exact_regr_avgx_final);
PG_FUNCTION_INFO_V1(pgt_exact_regr_avgy_final);
PG_FUNCTION_INFO_V1(pgt_exact_regr_count_final);
PG_FUNCTION_INFO_V1(pgt_exact_regr_intercept_final);
PG_FUNCTION_INFO_V1(pgt_exact_regr_r2_final);
PG_FUNCTION_INFO_V1(pgt_exact_regr_slope_final);
PG_FUNCTION_INFO_V1(pgt_exact_regr_sxx_final);
PG_FUNCTION_INFO_V1(pgt_exact_regr_sxy_final);
PG_FUNCTION_INFO_V1(pgt_exact_regr_syy_final);

/* ---- parts ---- */

/* The state, or NULL when it holds fewer than "least" rows. */
static PgtExactState *
state_with_rows(FunctionCallInfo fcinfo, int64 least)
{
	PgtExactState *state = PG_ARGISNULL(0) ? NULL : (PgtExactState *) PG_GETARG_POINTER(0);

	return state != NULL && state->n >= least ? state : NULL;
}

/* Sum of a column that holds NaN or infinities. */
static float8
special_sum(const PgtExactColumn *column)
{
	if (column->nan > 0 || (column->infinite > 0 && column->neg_infinite > 0))
		return get_float8_nan();
	return column->infinite > 0 ? get_float8_infinity() : -get_float8_infinity();
}

static float8
column_average(const PgtExactColumn *column, int64 n)
{
	PgtWide		average;

	if (pgt_exact_special(column))
		return special_sum(column);
	average = pgt_exact_big_divide(pgt_exact_sum_big(&column->sum),
								   pgt_exact_big_int(n));
	return pgt_exact_wide_float8(&average);
}

/* n * products - a * b: the centred sum, times n. */
static PgtBig *
centred(int64 n, const PgtExactSum *products, const PgtBig *a, const PgtBig *b)
{
	PgtBig	   *total = pgt_exact_big_multiply(pgt_exact_big_int(n),
											   pgt_exact_sum_big(products));

	return pgt_exact_big_subtract(total, pgt_exact_big_multiply(a, b));
}

static PgtBig *
centred_squares(int64 n, const PgtExactColumn *column)
{
	PgtBig	   *sum = pgt_exact_sum_big(&column->sum);

	return centred(n, &column->squares, sum, sum);
}

static PgtBig *
centred_products(const PgtExactState *state)
{
	return centred(state->n, &state->products,
				   pgt_exact_sum_big(&state->x.sum),
				   pgt_exact_sum_big(&state->y.sum));
}

static float8
divide(const PgtBig *num, const PgtBig *den)
{
	PgtWide		quotient = pgt_exact_big_divide(num, den);

	return pgt_exact_wide_float8(&quotient);
}

static PgtBig *
product_of_counts(int64 a, int64 b)
{
	return pgt_exact_big_multiply(pgt_exact_big_int(a), pgt_exact_big_int(b));
}

/* ---- sum, avg ---- */

Datum
pgt_exact_sum_final_float4(PG_FUNCTION_ARGS)
{
	PgtExactState *state = state_with_rows(fcinfo, 1);
	PgtWide		sum;

	if (state == NULL)
		PG_RETURN_NULL();
	if (pgt_exact_special(&state->x))
		PG_RETURN_FLOAT4((float4) special_sum(&state->x));
	if (state->x.neg_zero == state->n)
		PG_RETURN_FLOAT4(-0.0);
	sum = pgt_exact_sum_wide(&state->x.sum);
	PG_RETURN_FLOAT4(pgt_exact_wide_float4(&sum));
}

Datum
pgt_exact_sum_final_float8(PG_FUNCTION_ARGS)
{
	PgtExactState *state = state_with_rows(fcinfo, 1);
	PgtWide		sum;

	if (state == NULL)
		PG_RETURN_NULL();
	if (pgt_exact_special(&state->x))
		PG_RETURN_FLOAT8(special_sum(&state->x));
	if (state->x.neg_zero == state->n)
		PG_RETURN_FLOAT8(-0.0);
	sum = pgt_exact_sum_wide(&state->x.sum);
	PG_RETURN_FLOAT8(pgt_exact_wide_float8(&sum));
}

Datum
pgt_exact_avg_final(PG_FUNCTION_ARGS)
{
	PgtExactState *state = state_with_rows(fcinfo, 1);

	if (state == NULL)
		PG_RETURN_NULL();
	PG_RETURN_FLOAT8(column_average(&state->x, state->n));
}

/* ---- variance, stddev ---- */

/* With divisor n - delta; delta is 1 for samples, 0 for populations. */
static PgtWide
variance(const PgtExactState *state, int delta)
{
	return pgt_exact_big_divide(centred_squares(state->n, &state->x),
								product_of_counts(state->n, state->n - delta));
}

static Datum
variance_result(FunctionCallInfo fcinfo, int delta)
{
	PgtExactState *state = state_with_rows(fcinfo, 1 + delta);
	PgtWide		result;

	if (state == NULL)
		PG_RETURN_NULL();
	if (pgt_exact_special(&state->x))
		PG_RETURN_FLOAT8(get_float8_nan());
	result = variance(state, delta);
	PG_RETURN_FLOAT8(pgt_exact_wide_float8(&result));
}

static Datum
stddev_result(FunctionCallInfo fcinfo, int delta)
{
	PgtExactState *state = state_with_rows(fcinfo, 1 + delta);
	PgtWide		result;

	if (state == NULL)
		PG_RETURN_NULL();
	if (pgt_exact_special(&state->x))
		PG_RETURN_FLOAT8(get_float8_nan());
	result = variance(state, delta);
	PG_RETURN_FLOAT8(pgt_exact_wide_sqrt(&result));
}

Datum
pgt_exact_var_samp_final(PG_FUNCTION_ARGS)
{
	return variance_result(fcinfo, 1);
}

Datum
pgt_exact_var_pop_final(PG_FUNCTION_ARGS)
{
	return variance_result(fcinfo, 0);
}

Datum
pgt_exact_stddev_samp_final(PG_FUNCTION_ARGS)
{
	return stddev_result(fcinfo, 1);
}

Datum
pgt_exact_stddev_pop_final(PG_FUNCTION_ARGS)
{
	return stddev_result(fcinfo, 0);
}

/* ---- two columns ---- */

static Datum
squares_result(FunctionCallInfo fcinfo, bool of_y)
{
	PgtExactState *state = state_with_rows(fcinfo, 1);
	PgtExactColumn *column;

	if (state == NULL)
		PG_RETURN_NULL();
	column = of_y ? &state->y : &state->x;
	if (pgt_exact_special(column))
		PG_RETURN_FLOAT8(get_float8_nan());
	PG_RETURN_FLOAT8(divide(centred_squares(state->n, column),
							pgt_exact_big_int(state->n)));
}

static bool
any_special(const PgtExactState *state)
{
	return pgt_exact_special(&state->x) || pgt_exact_special(&state->y);
}

/* Centred products over N * divisor, of at least "least" rows; the divisor is
 * 1 for sxy, N for covar_pop, N - 1 for covar_samp. */
static Datum
products_result(PgtExactState *state, int64 divisor)
{
	if (any_special(state))
		return Float8GetDatum(get_float8_nan());
	return Float8GetDatum(divide(centred_products(state),
								 product_of_counts(state->n, divisor)));
}

Datum
pgt_exact_regr_count_final(PG_FUNCTION_ARGS)
{
	PgtExactState *state = state_with_rows(fcinfo, 1);

	PG_RETURN_INT64(state == NULL ? 0 : state->n);
}

Datum
pgt_exact_regr_avgx_final(PG_FUNCTION_ARGS)
{
	PgtExactState *state = state_with_rows(fcinfo, 1);

	if (state == NULL)
		PG_RETURN_NULL();
	PG_RETURN_FLOAT8(column_average(&state->x, state->n));
}

Datum
pgt_exact_regr_avgy_final(PG_FUNCTION_ARGS)
{
	PgtExactState *state = state_with_rows(fcinfo, 1);

	if (state == NULL)
		PG_RETURN_NULL();
	PG_RETURN_FLOAT8(column_average(&state->y, state->n));
}

Datum
pgt_exact_regr_sxx_final(PG_FUNCTION_ARGS)
{
	return squares_result(fcinfo, false);
}

Datum
pgt_exact_regr_syy_final(PG_FUNCTION_ARGS)
{
	return squares_result(fcinfo, true);
}

Datum
pgt_exact_regr_sxy_final(PG_FUNCTION_ARGS)
{
	PgtExactState *state = state_with_rows(fcinfo, 1);

	if (state == NULL)
		PG_RETURN_NULL();
	return products_result(state, 1);
}

Datum
pgt_exact_covar_pop_final(PG_FUNCTION_ARGS)
{
	PgtExactState *state = state_with_rows(fcinfo, 1);

	if (state == NULL)
		PG_RETURN_NULL();
	return products_result(state, state->n);
}

Datum
pgt_exact_covar_samp_final(PG_FUNCTION_ARGS)
{
	PgtExactState *state = state_with_rows(fcinfo, 2);

	if (state == NULL)
		PG_RETURN_NULL();
	return products_result(state, state->n - 1);
}

/* Is the column constant and finite: nothing to regress on? */
static bool
is_constant(const PgtExactState *state, const PgtExactColumn *column)
{
	return !pgt_exact_special(column) &&
		pgt_exact_big_is_zero(centred_squares(state->n, column));
}

/* Square of the correlation, where neither column is constant or special. */
static PgtWide
r_squared(const PgtExactState *state, const PgtBig *cxy)
{
	PgtBig	   *cxx = centred_squares(state->n, &state->x);
	PgtBig	   *cyy = centred_squares(state->n, &state->y);

	return pgt_exact_big_divide(pgt_exact_big_multiply(cxy, cxy),
								pgt_exact_big_multiply(cxx, cyy));
}

Datum
pgt_exact_corr_final(PG_FUNCTION_ARGS)
{
	PgtExactState *state = state_with_rows(fcinfo, 1);
	PgtBig	   *cxy;
	PgtWide		r2;
	float8		r;

	if (state == NULL || is_constant(state, &state->x) ||
		is_constant(state, &state->y))
		PG_RETURN_NULL();
	if (any_special(state))
		PG_RETURN_FLOAT8(get_float8_nan());
	cxy = centred_products(state);
	r2 = r_squared(state, cxy);
	r = pgt_exact_wide_sqrt(&r2);
	PG_RETURN_FLOAT8(cxy->negative ? -r : r);
}

Datum
pgt_exact_regr_r2_final(PG_FUNCTION_ARGS)
{
	PgtExactState *state = state_with_rows(fcinfo, 1);
	PgtWide		r2;

	if (state == NULL || is_constant(state, &state->x))
		PG_RETURN_NULL();
	/* a horizontal line is met exactly, as SQL:2003 has it */
	if (is_constant(state, &state->y))
		PG_RETURN_FLOAT8(1.0);
	if (any_special(state))
		PG_RETURN_FLOAT8(get_float8_nan());
	r2 = r_squared(state, centred_products(state));
	PG_RETURN_FLOAT8(pgt_exact_wide_float8(&r2));
}

Datum
pgt_exact_regr_slope_final(PG_FUNCTION_ARGS)
{
	PgtExactState *state = state_with_rows(fcinfo, 1);

	if (state == NULL || is_constant(state, &state->x))
		PG_RETURN_NULL();
	if (any_special(state))
		PG_RETURN_FLOAT8(get_float8_nan());
	PG_RETURN_FLOAT8(divide(centred_products(state),
							centred_squares(state->n, &state->x)));
}

/* (Sy - slope * Sx) / N = (Sy * cxx - Sx * cxy) / (N * cxx) */
Datum
pgt_exact_regr_intercept_final(PG_FUNCTION_ARGS)
{
	PgtExactState *state = state_with_rows(fcinfo, 1);
	PgtBig	   *cxx;
	PgtBig	   *num;

	if (state == NULL || is_constant(state, &state->x))
		PG_RETURN_NULL();
	if (any_special(state))
		PG_RETURN_FLOAT8(get_float8_nan());
	cxx = centred_squares(state->n, &state->x);
	num = pgt_exact_big_subtract(pgt_exact_big_multiply(pgt_exact_sum_big(&state->y.sum), cxx),
								 pgt_exact_big_multiply(pgt_exact_sum_big(&state->x.sum),
														centred_products(state)));
	PG_RETURN_FLOAT8(divide(num, pgt_exact_big_multiply(pgt_exact_big_int(state->n), cxx)));
}
