/*
 * applier/dvm/exact_float.c - transition functions of the pgtrickle.exact_*
 * aggregates, and the map from PostgreSQL's own to them.
 *
 * A state is made in the aggregate's memory context at the first row (a NULL
 * counts as a row, as in PostgreSQL's numeric aggregates) and lives as long;
 * its limbs live beside it.  The same functions serve as moving transition:
 * the inverse function of a value is exact, so it never refuses.
 *
 * Serialised states are canonical: the same rows in any order, with any rows
 * added and taken away in between, give the same bytes.  They are stored in
 * state tables, so the format below is fixed:
 *   head byte (kind, +4 if x has special values, +8 if y has), n, for each
 *   column with specials four counts (NaN, +Infinity, -Infinity, -0), then
 *   the sums: x, x squared, y, y squared, products, as far as the kind goes.
 * Counts are variable-length integers; for sums see exact_sum.h.
 */
#include "postgres.h"

#include <math.h>

#include "catalog/pg_proc.h"
#include "catalog/pg_type.h"
#include "fmgr.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/syscache.h"

#include "applier/catalog/catalog.h"
#include "applier/dvm/exact_float.h"
#include "applier/dvm/exact_state.h"
#include "decoder/compat.h"

#define HEAD_KIND 3
#define HEAD_X_SPECIAL 4
#define HEAD_Y_SPECIAL 8
#define MAX_SUMS 5

PG_FUNCTION_INFO_V1(pgt_exact_sum_accum_float4);
PG_FUNCTION_INFO_V1(pgt_exact_sum_accum_float8);
PG_FUNCTION_INFO_V1(pgt_exact_sum_inverse_float4);
PG_FUNCTION_INFO_V1(pgt_exact_sum_inverse_float8);
PG_FUNCTION_INFO_V1(pgt_exact_variance_accum_float4);
PG_FUNCTION_INFO_V1(pgt_exact_variance_accum_float8);
PG_FUNCTION_INFO_V1(pgt_exact_variance_inverse_float4);
PG_FUNCTION_INFO_V1(pgt_exact_variance_inverse_float8);
PG_FUNCTION_INFO_V1(pgt_exact_regression_accum);
PG_FUNCTION_INFO_V1(pgt_exact_regression_inverse);
PG_FUNCTION_INFO_V1(pgt_exact_combine);
PG_FUNCTION_INFO_V1(pgt_exact_serialize);
PG_FUNCTION_INFO_V1(pgt_exact_deserialize);

/* ---- states ---- */

static PgtExactState *
make_state(PgtExactKind kind, MemoryContext cxt)
{
	Size		size = sizeof(PgtExactState);
	PgtExactState *state;

	if (kind == PGT_EXACT_SUM)
		size = offsetof(PgtExactState, x.squares);
	else if (kind == PGT_EXACT_VARIANCE)
		size = offsetof(PgtExactState, y);
	state = MemoryContextAllocZero(cxt, size);
	state->kind = kind;
	state->cxt = cxt;
	return state;
}

/* First argument of a transition function; made when there is none yet. */
static inline PgtExactState *
state_argument(FunctionCallInfo fcinfo, PgtExactKind kind)
{
	MemoryContext cxt;

	if (likely(!PG_ARGISNULL(0)))
		return (PgtExactState *) PG_GETARG_POINTER(0);
	if (!AggCheckCallContext(fcinfo, &cxt))
		elog(ERROR, "aggregate function called in non-aggregate context");
	return make_state(kind, cxt);
}

/* First argument of an inverse transition function. */
static inline PgtExactState *
inverse_argument(FunctionCallInfo fcinfo)
{
	if (PG_ARGISNULL(0))
		elog(ERROR, "inverse transition function called without a state");
	return (PgtExactState *) PG_GETARG_POINTER(0);
}

/* The state's sums in the order of their images; returns how many. */
static int
list_sums(PgtExactState *state, PgtExactSum **sums)
{
	int			n = 0;

	sums[n++] = &state->x.sum;
	if (state->kind == PGT_EXACT_SUM)
		return n;
	sums[n++] = &state->x.squares;
	if (state->kind == PGT_EXACT_VARIANCE)
		return n;
	sums[n++] = &state->y.sum;
	sums[n++] = &state->y.squares;
	sums[n++] = &state->products;
	return n;
}

/* ---- rows in and out ---- */

/* Count x if it is NaN or infinite. */
static inline bool
count_special(PgtExactColumn *column, float8 x, int sign)
{
	if (likely(isfinite(x)))
		return false;
	if (isnan(x))
		column->nan += sign;
	else if (x > 0)
		column->infinite += sign;
	else
		column->neg_infinite += sign;
	return true;
}

static void
absorb_value(PgtExactState *state, float8 x, bool subtract)
{
	MemoryContext cxt = state->cxt;
	int			sign = subtract ? -1 : 1;

	state->n += sign;
	if (count_special(&state->x, x, sign))
		return;
	pgt_exact_sum_add(&state->x.sum, cxt, x, subtract);
	if (state->kind == PGT_EXACT_VARIANCE)
		pgt_exact_sum_add_product(&state->x.squares, cxt, x, x, subtract);
	else if (x == 0 && signbit(x))
		state->x.neg_zero += sign;
}

static void
absorb_pair(PgtExactState *state, float8 y, float8 x, bool subtract)
{
	MemoryContext cxt = state->cxt;
	int			sign = subtract ? -1 : 1;
	bool		x_special = count_special(&state->x, x, sign);
	bool		y_special = count_special(&state->y, y, sign);

	state->n += sign;
	if (!x_special)
	{
		pgt_exact_sum_add(&state->x.sum, cxt, x, subtract);
		pgt_exact_sum_add_product(&state->x.squares, cxt, x, x, subtract);
	}
	if (!y_special)
	{
		pgt_exact_sum_add(&state->y.sum, cxt, y, subtract);
		pgt_exact_sum_add_product(&state->y.squares, cxt, y, y, subtract);
	}
	if (!x_special && !y_special)
		pgt_exact_sum_add_product(&state->products, cxt, x, y, subtract);
}

Datum
pgt_exact_sum_accum_float4(PG_FUNCTION_ARGS)
{
	PgtExactState *state = state_argument(fcinfo, PGT_EXACT_SUM);

	if (!PG_ARGISNULL(1))
		absorb_value(state, PG_GETARG_FLOAT4(1), false);
	PG_RETURN_POINTER(state);
}

Datum
pgt_exact_sum_accum_float8(PG_FUNCTION_ARGS)
{
	PgtExactState *state = state_argument(fcinfo, PGT_EXACT_SUM);

	if (!PG_ARGISNULL(1))
		absorb_value(state, PG_GETARG_FLOAT8(1), false);
	PG_RETURN_POINTER(state);
}

Datum
pgt_exact_sum_inverse_float4(PG_FUNCTION_ARGS)
{
	PgtExactState *state = inverse_argument(fcinfo);

	if (!PG_ARGISNULL(1))
		absorb_value(state, PG_GETARG_FLOAT4(1), true);
	PG_RETURN_POINTER(state);
}

Datum
pgt_exact_sum_inverse_float8(PG_FUNCTION_ARGS)
{
	PgtExactState *state = inverse_argument(fcinfo);

	if (!PG_ARGISNULL(1))
		absorb_value(state, PG_GETARG_FLOAT8(1), true);
	PG_RETURN_POINTER(state);
}

Datum
pgt_exact_variance_accum_float4(PG_FUNCTION_ARGS)
{
	PgtExactState *state = state_argument(fcinfo, PGT_EXACT_VARIANCE);

	if (!PG_ARGISNULL(1))
		absorb_value(state, PG_GETARG_FLOAT4(1), false);
	PG_RETURN_POINTER(state);
}

Datum
pgt_exact_variance_accum_float8(PG_FUNCTION_ARGS)
{
	PgtExactState *state = state_argument(fcinfo, PGT_EXACT_VARIANCE);

	if (!PG_ARGISNULL(1))
		absorb_value(state, PG_GETARG_FLOAT8(1), false);
	PG_RETURN_POINTER(state);
}

Datum
pgt_exact_variance_inverse_float4(PG_FUNCTION_ARGS)
{
	return pgt_exact_sum_inverse_float4(fcinfo);
}

Datum
pgt_exact_variance_inverse_float8(PG_FUNCTION_ARGS)
{
	return pgt_exact_sum_inverse_float8(fcinfo);
}

Datum
pgt_exact_regression_accum(PG_FUNCTION_ARGS)
{
	PgtExactState *state = state_argument(fcinfo, PGT_EXACT_REGRESSION);

	if (!PG_ARGISNULL(1) && !PG_ARGISNULL(2))
		absorb_pair(state, PG_GETARG_FLOAT8(1), PG_GETARG_FLOAT8(2), false);
	PG_RETURN_POINTER(state);
}

Datum
pgt_exact_regression_inverse(PG_FUNCTION_ARGS)
{
	PgtExactState *state = inverse_argument(fcinfo);

	if (!PG_ARGISNULL(1) && !PG_ARGISNULL(2))
		absorb_pair(state, PG_GETARG_FLOAT8(1), PG_GETARG_FLOAT8(2), true);
	PG_RETURN_POINTER(state);
}

/* ---- states joined, written and read ---- */

static void
merge_specials(PgtExactColumn *into, const PgtExactColumn *from)
{
	into->nan += from->nan;
	into->infinite += from->infinite;
	into->neg_infinite += from->neg_infinite;
	into->neg_zero += from->neg_zero;
}

/* Not strict: the result always lives in the aggregate's context, so that
 * combine(NULL, deserialised) makes a state that rows can be added to. */
Datum
pgt_exact_combine(PG_FUNCTION_ARGS)
{
	PgtExactState *from = PG_ARGISNULL(1) ? NULL : (PgtExactState *) PG_GETARG_POINTER(1);
	PgtExactState *into;
	PgtExactSum *into_sums[MAX_SUMS];
	PgtExactSum *from_sums[MAX_SUMS];
	int			nsums;

	if (from == NULL)
	{
		if (PG_ARGISNULL(0))
			PG_RETURN_NULL();
		PG_RETURN_DATUM(PG_GETARG_DATUM(0));
	}
	into = state_argument(fcinfo, from->kind);
	Assert(into->kind == from->kind);
	into->n += from->n;
	merge_specials(&into->x, &from->x);
	if (into->kind == PGT_EXACT_REGRESSION)
		merge_specials(&into->y, &from->y);
	nsums = list_sums(from, from_sums);
	list_sums(into, into_sums);
	for (int i = 0; i < nsums; i++)
		pgt_exact_sum_merge(into_sums[i], into->cxt, from_sums[i]);
	PG_RETURN_POINTER(into);
}

static inline bool
has_specials(const PgtExactColumn *column)
{
	return pgt_exact_special(column) || column->neg_zero > 0;
}

static uint8 *
write_specials(const PgtExactColumn *column, uint8 *at)
{
	at = pgt_exact_varint_write(column->nan, at);
	at = pgt_exact_varint_write(column->infinite, at);
	at = pgt_exact_varint_write(column->neg_infinite, at);
	return pgt_exact_varint_write(column->neg_zero, at);
}

static const uint8 *
read_count(int64 *count, const uint8 *at, const uint8 *end)
{
	uint64		value;

	at = pgt_exact_varint_read(&value, at, end);
	*count = (int64) value;
	return at;
}

static const uint8 *
read_specials(PgtExactColumn *column, const uint8 *at, const uint8 *end)
{
	at = read_count(&column->nan, at, end);
	at = read_count(&column->infinite, at, end);
	at = read_count(&column->neg_infinite, at, end);
	return read_count(&column->neg_zero, at, end);
}

Datum
pgt_exact_serialize(PG_FUNCTION_ARGS)
{
	PgtExactState *state = (PgtExactState *) PG_GETARG_POINTER(0);
	bool		x_special = has_specials(&state->x);
	bool		y_special = state->kind == PGT_EXACT_REGRESSION && has_specials(&state->y);
	PgtExactSum *sums[MAX_SUMS];
	int			nsums = list_sums(state, sums);
	Size		limit = VARHDRSZ + 1 + 9 * PGT_EXACT_VARINT_LIMIT;
	bytea	   *image;
	uint8	   *at;

	for (int i = 0; i < nsums; i++)
		limit += pgt_exact_sum_image_limit(sums[i]);
	image = palloc(limit);
	at = (uint8 *) VARDATA(image);
	*at++ = state->kind | (x_special ? HEAD_X_SPECIAL : 0) | (y_special ? HEAD_Y_SPECIAL : 0);
	at = pgt_exact_varint_write(state->n, at);
	if (x_special)
		at = write_specials(&state->x, at);
	if (y_special)
		at = write_specials(&state->y, at);
	for (int i = 0; i < nsums; i++)
		at = pgt_exact_sum_write(sums[i], at);
	SET_VARSIZE(image, at - (uint8 *) image);
	PG_RETURN_BYTEA_P(image);
}

/* The state lives in the current memory context; combine copies it. */
Datum
pgt_exact_deserialize(PG_FUNCTION_ARGS)
{
	bytea	   *image = PG_GETARG_BYTEA_PP(0);
	const uint8 *at = (const uint8 *) VARDATA_ANY(image);
	const uint8 *end = at + VARSIZE_ANY_EXHDR(image);
	PgtExactState *state;
	PgtExactSum *sums[MAX_SUMS];
	int			nsums;
	int			head = at < end ? *at++ : 0;

	if ((head & HEAD_KIND) == 0)
		ereport(ERROR,
				(errcode(ERRCODE_DATA_CORRUPTED),
				 errmsg("invalid state of an exact float aggregate")));
	state = make_state((PgtExactKind) (head & HEAD_KIND), CurrentMemoryContext);
	at = read_count(&state->n, at, end);
	if (head & HEAD_X_SPECIAL)
		at = read_specials(&state->x, at, end);
	if ((head & HEAD_Y_SPECIAL) && state->kind == PGT_EXACT_REGRESSION)
		at = read_specials(&state->y, at, end);
	nsums = list_sums(state, sums);
	for (int i = 0; i < nsums; i++)
		at = pgt_exact_sum_read(sums[i], CurrentMemoryContext, at, end);
	PG_RETURN_POINTER(state);
}

/* ---- the map ---- */

static const struct
{
	Oid			builtin;
	const char *exact;
	int			nargs;
	Oid			argtype;
}			exact_aggregates[] =
{
	{F_SUM_FLOAT4, "exact_sum", 1, FLOAT4OID},
	{F_SUM_FLOAT8, "exact_sum", 1, FLOAT8OID},
	{F_AVG_FLOAT4, "exact_avg", 1, FLOAT4OID},
	{F_AVG_FLOAT8, "exact_avg", 1, FLOAT8OID},
	{F_VARIANCE_FLOAT4, "exact_variance", 1, FLOAT4OID},
	{F_VARIANCE_FLOAT8, "exact_variance", 1, FLOAT8OID},
	{F_VAR_SAMP_FLOAT4, "exact_var_samp", 1, FLOAT4OID},
	{F_VAR_SAMP_FLOAT8, "exact_var_samp", 1, FLOAT8OID},
	{F_VAR_POP_FLOAT4, "exact_var_pop", 1, FLOAT4OID},
	{F_VAR_POP_FLOAT8, "exact_var_pop", 1, FLOAT8OID},
	{F_STDDEV_FLOAT4, "exact_stddev", 1, FLOAT4OID},
	{F_STDDEV_FLOAT8, "exact_stddev", 1, FLOAT8OID},
	{F_STDDEV_SAMP_FLOAT4, "exact_stddev_samp", 1, FLOAT4OID},
	{F_STDDEV_SAMP_FLOAT8, "exact_stddev_samp", 1, FLOAT8OID},
	{F_STDDEV_POP_FLOAT4, "exact_stddev_pop", 1, FLOAT4OID},
	{F_STDDEV_POP_FLOAT8, "exact_stddev_pop", 1, FLOAT8OID},
	{F_CORR, "exact_corr", 2, FLOAT8OID},
	{F_COVAR_POP, "exact_covar_pop", 2, FLOAT8OID},
	{F_COVAR_SAMP, "exact_covar_samp", 2, FLOAT8OID},
	{F_REGR_AVGX, "exact_regr_avgx", 2, FLOAT8OID},
	{F_REGR_AVGY, "exact_regr_avgy", 2, FLOAT8OID},
	{F_REGR_COUNT, "exact_regr_count", 2, FLOAT8OID},
	{F_REGR_INTERCEPT, "exact_regr_intercept", 2, FLOAT8OID},
	{F_REGR_R2, "exact_regr_r2", 2, FLOAT8OID},
	{F_REGR_SLOPE, "exact_regr_slope", 2, FLOAT8OID},
	{F_REGR_SXX, "exact_regr_sxx", 2, FLOAT8OID},
	{F_REGR_SXY, "exact_regr_sxy", 2, FLOAT8OID},
	{F_REGR_SYY, "exact_regr_syy", 2, FLOAT8OID},
};

/* The catalog cache remembers the answer for the backend and hears of DDL. */
static Oid
lookup_aggregate(const char *name, int nargs, Oid argtype)
{
	Oid			argtypes[2] = {argtype, argtype};
	Oid			result;

	result = GetSysCacheOid3(PROCNAMEARGSNSP, Anum_pg_proc_oid,
							 CStringGetDatum(name),
							 PointerGetDatum(buildoidvector(argtypes, nargs)),
							 ObjectIdGetDatum(pgt_schema_oid()));
	if (!OidIsValid(result))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_FUNCTION),
				 errmsg("aggregate function \"pgtrickle.%s\" does not exist", name),
				 errhint("Create the extension pg_trickle anew, or update it.")));
	return result;
}

Oid
pgt_exact_aggregate_for(Oid aggfnoid)
{
	for (int i = 0; i < lengthof(exact_aggregates); i++)
		if (exact_aggregates[i].builtin == aggfnoid)
			return lookup_aggregate(exact_aggregates[i].exact,
									exact_aggregates[i].nargs,
									exact_aggregates[i].argtype);
	return InvalidOid;
}
