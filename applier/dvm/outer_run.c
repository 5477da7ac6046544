/*
 * applier/dvm/outer_run.c - the delta of an OUTER join: which of its queries
 * run, and what becomes of their rows.
 *
 *   left delta    LEFT_DELTA: what each of its rows finds now
 *   right delta   PAIRS, DELTA_PAIRS (LEFT, SINGLE): matches that came and went
 *                 touched -> weighed -> turned: who has no matches any more, or
 *                 no longer none; each step a store that the next one reads,
 *                 and the end of it where one is empty
 *
 * SINGLE is exact only as long as no left row that is touched has, or had, two
 * matches: then the answer is error 21000, and the refresh is tried as FULL,
 * which raises what the query itself raises, or does not where the query never
 * asks for the value.
 *
 * Stores live in the run's context and are ended here; an ERROR leaves them to
 * the transaction's end.
 */
#include "postgres.h"

#include "executor/executor.h"

#include "applier/dvm/outer.h"
#include "applier/settings.h"
#include "decoder/compat.h"

/* A look-up per row is taken where it costs this much less than one join. */
#define LOOKUP_ADVANTAGE 5.0

typedef struct OuterRun
{
	PgtOuterOp *o;
	QueryEnvironment *env;
	MemoryContext plans;
	Tuplestorestate *out;
	bool		many;			/* a delta is large */
} OuterRun;

static Tuplestorestate *
new_store(void)
{
	return tuplestore_begin_heap(false, false, pgt_refresh_work_mem);
}

static int64
run_into(OuterRun *r, PgtOuterStep step, Tuplestorestate *into)
{
	return pgt_plan_run_into(pgt_outer_plan(r->o, step, r->plans), r->env, into);
}

static void
show(OuterRun *r, const char *name, TupleDesc desc, Tuplestorestate *store)
{
	EphemeralNamedRelation enr = palloc0(sizeof(EphemeralNamedRelationData));

	enr->md.name = pstrdup(name);
	enr->md.reliddesc = InvalidOid;
	enr->md.tupdesc = desc;
	enr->md.enrtype = ENR_NAMED_TUPLESTORE;
	enr->md.enrtuples = tuplestore_tuple_count(store);
	enr->reldata = store;
	register_ENR(r->env, enr);
}

static void
hide(OuterRun *r, const char *name, Tuplestorestate *store)
{
	unregister_ENR(r->env, name);
	tuplestore_end(store);
}

/* The rows with a number as one column more. */
static Tuplestorestate *
numbered(Tuplestorestate *rows, TupleDesc from, TupleDesc to)
{
	Tuplestorestate *result = new_store();
	TupleTableSlot *slot = MakeSingleTupleTableSlot(from, &TTSOpsMinimalTuple);
	Datum	   *values = palloc(sizeof(Datum) * to->natts);
	bool	   *nulls = palloc(sizeof(bool) * to->natts);
	int64		number = 0;

	tuplestore_rescan(rows);
	while (tuplestore_gettupleslot(rows, true, false, slot))
	{
		slot_getallattrs(slot);
		memcpy(values, slot->tts_values, sizeof(Datum) * from->natts);
		memcpy(nulls, slot->tts_isnull, sizeof(bool) * from->natts);
		values[from->natts] = Int64GetDatum(++number);
		nulls[from->natts] = false;
		tuplestore_putvalues(result, to, values, nulls);
	}
	ExecDropSingleTupleTableSlot(slot);
	tuplestore_end(rows);
	return result;
}

/* ---- touched and weighed ---- */

/* weighed without its number */
static TupleDesc
weighed_unnumbered(const PgtOuterOp *o)
{
	TupleDesc	desc = CreateTemplateTupleDesc(o->weighed->natts - 1);

	for (int i = 1; i <= desc->natts; i++)
		TupleDescCopyEntry(desc, i, o->weighed, i);
	pgt_tupdesc_finish(desc);
	return desc;
}

static Tuplestorestate *
weigh_keys(OuterRun *r)
{
	Tuplestorestate *keys = new_store();

	run_into(r, PGT_OUTER_TOUCHED_KEYS, keys);
	return numbered(keys, weighed_unnumbered(r->o), r->o->weighed);
}

static Tuplestorestate *
weigh_rows(OuterRun *r, bool left_changed)
{
	Tuplestorestate *rows = new_store();
	Tuplestorestate *result = new_store();

	run_into(r, PGT_OUTER_TOUCHED_ROWS, rows);
	if (left_changed)
		run_into(r, PGT_OUTER_TOUCHED_DELTA, rows);
	rows = numbered(rows, r->o->turned, r->o->touched);
	show(r, pgt_outer_touched_name(r->o), r->o->touched, rows);
	if (tuplestore_tuple_count(rows) > 0)
		run_into(r, PGT_OUTER_WEIGHED, result);
	hide(r, pgt_outer_touched_name(r->o), rows);
	return result;
}

/* ---- turned ---- */

/* One look-up per touched, or one join for all? */
static PgtOuterStep
choose(OuterRun *r, PgtOuterStep lookups, PgtOuterStep join, int64 ntouched)
{
	PlannedStmt *one;
	PlannedStmt *other;

	/* without keys there is one question only, and it ends with a few rows */
	if (r->o->keyed && r->o->nkeys == 0)
		return lookups;
	if (ntouched > PGT_SMALL_DELTA || r->many)
		return join;
	one = pgt_plan_statement(pgt_outer_plan(r->o, lookups, r->plans), ntouched);
	other = pgt_plan_statement(pgt_outer_plan(r->o, join, r->plans), ntouched);
	return one->planTree->total_cost * LOOKUP_ADVANTAGE <= other->planTree->total_cost ?
		lookups : join;
}

static void
emit(OuterRun *r, Datum *values, bool *nulls, int64 weight)
{
	TupleDesc	desc = r->o->op.deltadesc;

	values[desc->natts - 1] = Int64GetDatum(weight);
	nulls[desc->natts - 1] = false;
	tuplestore_putvalues(r->out, desc, values, nulls);
}

/*
 * Left rows that have no matches any more (their weight) or no longer none
 * (their negated weight): what that means for the kind of join.
 */
static void
emit_turned(OuterRun *r, Tuplestorestate *rows)
{
	TupleDesc	left = ((PgtOp *) linitial(r->o->op.inputs))->deltadesc;
	TupleTableSlot *slot = MakeSingleTupleTableSlot(left, &TTSOpsMinimalTuple);
	int			nleft = left->natts - 1;
	int			natts = r->o->op.deltadesc->natts;
	Datum	   *values = palloc0(sizeof(Datum) * natts);
	bool	   *nulls = palloc(sizeof(bool) * natts);

	memset(nulls, true, sizeof(bool) * natts);
	tuplestore_rescan(rows);
	while (tuplestore_gettupleslot(rows, true, false, slot))
	{
		int64		weight;

		slot_getallattrs(slot);
		memcpy(values, slot->tts_values, sizeof(Datum) * nleft);
		memcpy(nulls, slot->tts_isnull, sizeof(bool) * nleft);
		weight = DatumGetInt64(slot->tts_values[nleft]);
		if (r->o->kind == PGT_OUTER_MARK)
		{
			nulls[nleft] = false;
			values[nleft] = BoolGetDatum(false);
			emit(r, values, nulls, weight);
			values[nleft] = BoolGetDatum(true);
		}
		if (r->o->kind == PGT_OUTER_MARK || r->o->kind == PGT_OUTER_SEMI)
			weight = -weight;
		emit(r, values, nulls, weight);
	}
	ExecDropSingleTupleTableSlot(slot);
}

static void
raise_if_doubled(OuterRun *r, int64 ntouched)
{
	Tuplestorestate *rows = new_store();

	run_into(r, choose(r, PGT_OUTER_DOUBLED, PGT_OUTER_DOUBLED_MANY, ntouched), rows);
	if (tuplestore_tuple_count(rows) > 0)
		ereport(ERROR,
				(errcode(ERRCODE_CARDINALITY_VIOLATION),
				 errmsg("more than one row returned by a subquery used as an expression")));
	tuplestore_end(rows);
}

/* Left rows of the keys that turned. */
static Tuplestorestate *
rows_of_keys(OuterRun *r, Tuplestorestate *keys, bool left_changed)
{
	Tuplestorestate *rows = new_store();

	show(r, pgt_outer_turned_name(r->o), r->o->turned, keys);
	if (tuplestore_tuple_count(keys) > 0)
	{
		run_into(r, PGT_OUTER_LEFT_TURNED, rows);
		if (left_changed)
			run_into(r, PGT_OUTER_DELTA_TURNED, rows);
	}
	hide(r, pgt_outer_turned_name(r->o), keys);
	return rows;
}

static void
turn(OuterRun *r, bool left_changed)
{
	PgtOuterOp *o = r->o;
	Tuplestorestate *weighed = o->keyed ? weigh_keys(r) : weigh_rows(r, left_changed);
	Tuplestorestate *turned = new_store();
	int64		n = tuplestore_tuple_count(weighed);

	show(r, pgt_outer_weighed_name(o), o->weighed, weighed);
	if (n > 0)
	{
		run_into(r, choose(r, PGT_OUTER_TURNED, PGT_OUTER_TURNED_MANY, n), turned);
		if (o->kind == PGT_OUTER_SINGLE)
			raise_if_doubled(r, n);
	}
	hide(r, pgt_outer_weighed_name(o), weighed);
	if (o->keyed)
		turned = rows_of_keys(r, turned, left_changed);
	emit_turned(r, turned);
	tuplestore_end(turned);
}

/* ---- the run ---- */

static void
left_delta(OuterRun *r, Tuplestorestate *left)
{
	int64		n = run_into(r, PGT_OUTER_LEFT_DELTA, r->out);

	if (r->o->kind == PGT_OUTER_SINGLE && n != tuplestore_tuple_count(left))
		ereport(ERROR,
				(errcode(ERRCODE_CARDINALITY_VIOLATION),
				 errmsg("more than one row returned by a subquery used as an expression")));
}

void
pgt_outer_run(PgtOuterOp *o, QueryEnvironment *env, Tuplestorestate *left,
			  Tuplestorestate *right, Tuplestorestate *out,
			  MemoryContext plans)
{
	OuterRun	r = {o, env, plans, out};

	r.many = right != NULL && tuplestore_tuple_count(right) > PGT_SMALL_DELTA;
	if (left != NULL)
		left_delta(&r, left);
	if (right == NULL)
		return;
	if (o->kind == PGT_OUTER_LEFT || o->kind == PGT_OUTER_SINGLE)
	{
		run_into(&r, PGT_OUTER_PAIRS, out);
		if (left != NULL)
			run_into(&r, PGT_OUTER_DELTA_PAIRS, out);
	}
	turn(&r, left != NULL);
}
