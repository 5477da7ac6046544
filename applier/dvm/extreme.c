/*
 * applier/dvm/extreme.c - min, max and the like: the best values of a group.
 *
 * State: up to EXTREME_VALUES distinct images with their counts, best first,
 * and the number of all non-null inputs.  Where the counts add up to that
 * number the list is complete; else every value left out is no better than
 * the last one kept, and stays so:
 *   - a new value goes into an incomplete list only if it is no worse than
 *     the last one kept;
 *   - taking away a value that is not in the list touches nothing but the
 *     number of inputs;
 *   - a list that is used up while inputs remain means: read the group's rows
 *     again (one rescan pays for many deletions).
 * Values that are equal but not identical (1.0 and 1.00) are counted apart,
 * so that what is shown is always a value that is there.
 *
 * Stored as a bytea: per entry int64 count, uint32 length, the value's bytes,
 * nothing aligned.  NULL is the empty list.
 */
#include "postgres.h"
#include "access/htup_details.h"
#include "access/nbtree.h"
#include "access/stratnum.h"
#include "catalog/pg_aggregate.h"
#include "catalog/pg_type.h"
#include "utils/datum.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/syscache.h"

#include "applier/dvm/aggregate.h"
#include "applier/dvm/image.h"
#include "decoder/compat.h"

#define EXTREME_VALUES	16
/* Long values: fewer of them, so that the state stays in its page. */
#define EXTREME_BYTES	1200

typedef struct ExtremePlan
{
	PgtAggPlan	plan;			/* first: see aggregate.h */
	FmgrInfo	compare;
	bool		greatest;		/* max: best is the greatest */
	Oid			collation;
	Oid			type;
	int16		typlen;
	bool		typbyval;
	bool		holds_rows;
} ExtremePlan;

typedef struct ExtremeEntry
{
	Datum		value;
	Size		size;
	int64		count;
} ExtremeEntry;

typedef struct ExtremeList
{
	int			n;
	int64		held;			/* sum of the counts */
	Size		bytes;
	ExtremeEntry entries[EXTREME_VALUES + 1];
} ExtremeList;

#define extreme_plan(agg) ((ExtremePlan *) (agg)->plan)

static void
extreme_init(const PgtAggSpec *agg, PgtAggRun *run, PgtAggValue *v)
{
	v->list = MemoryContextAllocZero(run->batch, sizeof(ExtremeList));
	v->count = 0;
	v->isnull = false;
}

static Size
value_size(const ExtremePlan *plan, Datum value)
{
	return plan->typbyval ? sizeof(Datum) :
		datumGetSize(value, false, plan->typlen);
}

/* A value of the list, from len bytes at no particular alignment. */
static Datum
value_from_bytes(const ExtremePlan *plan, const char *bytes, Size len)
{
	Datum		value;
	char	   *copy;

	if (plan->typbyval)
	{
		memcpy(&value, bytes, sizeof(Datum));
		return value;
	}
	copy = palloc(len);
	memcpy(copy, bytes, len);
	return PointerGetDatum(copy);
}

static void
extreme_thaw(const PgtAggSpec *agg, PgtAggRun *run, PgtAggValue *v)
{
	ExtremePlan *plan = extreme_plan(agg);
	MemoryContext old = MemoryContextSwitchTo(run->batch);
	ExtremeList *list = palloc0(sizeof(ExtremeList));
	const char *at;
	const char *end;
	struct varlena *bytes;

	v->list = list;
	if (v->isnull)
	{
		MemoryContextSwitchTo(old);
		return;
	}
	bytes = PG_DETOAST_DATUM_PACKED(v->state);
	at = VARDATA_ANY(bytes);
	end = at + VARSIZE_ANY_EXHDR(bytes);
	while (at < end && list->n < EXTREME_VALUES)
	{
		ExtremeEntry *entry = &list->entries[list->n++];
		uint32		len;

		memcpy(&entry->count, at, sizeof(int64));
		memcpy(&len, at + sizeof(int64), sizeof(uint32));
		at += sizeof(int64) + sizeof(uint32);
		entry->size = len;
		entry->value = value_from_bytes(plan, at, len);
		at += len;
		list->held += entry->count;
		list->bytes += len;
	}
	MemoryContextSwitchTo(old);
}

static void
extreme_freeze(const PgtAggSpec *agg, PgtAggRun *run, PgtAggValue *v,
			   Datum *state, bool *isnull)
{
	ExtremePlan *plan = extreme_plan(agg);
	ExtremeList *list = v->list;
	Size		size;
	struct varlena *bytes;
	char	   *at;

	*isnull = list->n == 0;
	if (list->n == 0)
		return;
	size = VARHDRSZ + list->bytes +
		list->n * (sizeof(int64) + sizeof(uint32));
	bytes = palloc(size);
	SET_VARSIZE(bytes, size);
	at = VARDATA(bytes);
	for (int i = 0; i < list->n; i++)
	{
		ExtremeEntry *entry = &list->entries[i];
		uint32		len = entry->size;

		memcpy(at, &entry->count, sizeof(int64));
		memcpy(at + sizeof(int64), &len, sizeof(uint32));
		at += sizeof(int64) + sizeof(uint32);
		if (plan->typbyval)
			memcpy(at, &entry->value, sizeof(Datum));
		else
			memcpy(at, DatumGetPointer(entry->value), len);
		at += len;
	}
	*state = PointerGetDatum(bytes);
}

/* Negative: a is better than b. */
static int
compare(ExtremePlan *plan, Datum a, Datum b)
{
	int32		c = DatumGetInt32(FunctionCall2Coll(&plan->compare,
													plan->collation, a, b));

	return plan->greatest ? (c < 0) - (c > 0) : (c > 0) - (c < 0);
}

/*
 * Where in the list is value: true and its entry; false and the place where
 * it belongs, behind those equal to it.  *order is how it compares to the
 * entry before that place (0: equal, positive: worse), if there is one.
 */
static bool
find_value(ExtremePlan *plan, ExtremeList *list, Datum value, int *at,
		   int *order)
{
	int			i;

	*order = 1;
	for (i = 0; i < list->n; i++)
	{
		int			c = compare(plan, value, list->entries[i].value);

		if (c < 0)
			break;
		*order = c;
		*at = i;
		if (c == 0 && pgt_value_same(value, list->entries[i].value,
									 plan->typlen, plan->typbyval))
			return true;
	}
	*at = i;
	return false;
}

static void
remove_entry(ExtremeList *list, int at)
{
	list->held -= list->entries[at].count;
	list->bytes -= list->entries[at].size;
	list->n--;
	memmove(&list->entries[at], &list->entries[at + 1],
			sizeof(ExtremeEntry) * (list->n - at));
}

static void
insert_entry(ExtremePlan *plan, PgtAggRun *run, ExtremeList *list, int at,
			 Datum value, int64 count)
{
	MemoryContext old = MemoryContextSwitchTo(run->batch);
	ExtremeEntry *entry = &list->entries[at];

	memmove(entry + 1, entry, sizeof(ExtremeEntry) * (list->n - at));
	if (plan->typbyval)
		entry->value = value;
	else if (plan->typlen == -1)
		entry->value = datumCopy(plan->holds_rows ?
								 pgt_value_canonical(value, plan->type) :
								 pgt_value_detoast(value), false, -1);
	else
		entry->value = datumCopy(value, false, plan->typlen);
	entry->size = value_size(plan, entry->value);
	entry->count = count;
	list->n++;
	list->held += count;
	list->bytes += entry->size;
	while (list->n > EXTREME_VALUES ||
		   (list->n > 1 && list->bytes > EXTREME_BYTES))
		remove_entry(list, list->n - 1);
	MemoryContextSwitchTo(old);
}

static void
add_value(ExtremePlan *plan, PgtAggRun *run, PgtAggValue *v, Datum value,
		  int64 weight)
{
	ExtremeList *list = v->list;
	bool		complete = list->held == v->count;
	int			at;
	int			order;

	v->count += weight;
	if (find_value(plan, list, value, &at, &order))
	{
		list->entries[at].count += weight;
		list->held += weight;
		return;
	}
	/* worse than all kept, and others left out may lie in between */
	if (!complete && at == list->n && order > 0)
		return;
	insert_entry(plan, run, list, at, value, weight);
}

static void
remove_value(ExtremePlan *plan, PgtAggValue *v, Datum value, int64 weight)
{
	ExtremeList *list = v->list;
	int			at;
	int			order;
	int64		hidden = v->count - list->held;

	v->count -= weight;
	if (find_value(plan, list, value, &at, &order))
	{
		ExtremeEntry *entry = &list->entries[at];
		int64		here = Min(entry->count, weight);

		weight -= here;
		list->held -= here;
		entry->count -= here;
		if (entry->count == 0)
			remove_entry(list, at);
	}
	/* the rest must be among those left out, which are no better than the last */
	else if (at < list->n)
		hidden = 0;
	if (weight > hidden)
		ereport(ERROR,
				(errcode(ERRCODE_DATA_CORRUPTED),
				 errmsg("an aggregate would forget a value that it does not hold"),
				 errhint("Rebuild the stream table with refresh_stream_table(name, 'FULL').")));
	if (list->n == 0 && v->count > 0)
		v->rescan = true;
}

static void
extreme_add(const PgtAggSpec *agg, PgtAggRun *run, PgtAggValue *v,
			const Datum *args, const bool *nulls, int64 weight)
{
	ExtremePlan *plan = extreme_plan(agg);
	MemoryContext old;

	if (nulls[0])
		return;
	v->changed = true;
	old = MemoryContextSwitchTo(run->scratch);
	if (weight > 0)
		add_value(plan, run, v, args[0], weight);
	else
		remove_value(plan, v, args[0], -weight);
	MemoryContextSwitchTo(old);
}

static void
extreme_result(const PgtAggSpec *agg, PgtAggRun *run, PgtAggValue *v,
			   Datum *result, bool *isnull)
{
	ExtremeList *list = v->list;

	*isnull = list->n == 0;
	*result = *isnull ? (Datum) 0 : list->entries[0].value;
}

static const PgtAggMethods extreme_methods = {
	.name = "the best values",
	.init = extreme_init,
	.thaw = extreme_thaw,
	.add = extreme_add,
	.freeze = extreme_freeze,
	.result = extreme_result,
};

/* The btree comparison behind a sort operator. */
static Oid
sort_comparison(Oid sortop, Oid *opcintype, bool *greatest)
{
	Oid			family;
	PGT_COMPARISON direction;

	if (!get_ordering_op_properties(sortop, &family, opcintype, &direction))
		return InvalidOid;
	*greatest = direction == PGT_COMPARES_GREATER;
	return get_opfamily_proc(family, *opcintype, *opcintype, BTORDER_PROC);
}

/* Its sort operator, if the aggregate is one that returns one of its inputs. */
static Oid
extreme_sort_operator(const PgtAggSpec *agg)
{
	HeapTuple	tuple;
	Form_pg_aggregate form;
	Oid			sortop = InvalidOid;

	if (agg->nargs != 1 || agg->aggref->aggkind != AGGKIND_NORMAL)
		return InvalidOid;
	tuple = SearchSysCache1(AGGFNOID, ObjectIdGetDatum(agg->aggref->aggfnoid));
	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for aggregate %u",
			 agg->aggref->aggfnoid);
	form = (Form_pg_aggregate) GETSTRUCT(tuple);
	if (!OidIsValid(form->aggfinalfn) && func_strict(form->aggtransfn))
		sortop = form->aggsortop;
	ReleaseSysCache(tuple);
	return sortop;
}

bool
pgt_extreme_classify(PgtAggSpec *agg, Oid *state_type)
{
	Oid			sortop = extreme_sort_operator(agg);
	Oid			opcintype;
	Oid			proc;
	bool		greatest;
	ExtremePlan *plan;

	if (!OidIsValid(sortop))
		return false;
	proc = sort_comparison(sortop, &opcintype, &greatest);
	if (!OidIsValid(proc))
		return false;

	plan = palloc0(sizeof(ExtremePlan));
	plan->plan.methods = &extreme_methods;
	plan->plan.has_count = true;
	fmgr_info(proc, &plan->compare);
	plan->greatest = greatest;
	plan->collation = agg->aggref->inputcollid;
	plan->type = agg->aggref->aggtype;
	plan->holds_rows = pgt_type_holds_rows(plan->type);
	get_typlenbyval(plan->type, &plan->typlen, &plan->typbyval);
	agg->plan = plan;
	*state_type = BYTEAOID;
	return true;
}
