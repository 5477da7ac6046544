/*
 * applier/refresh/changes.c - what the statements of a transaction changed
 * and has not been maintained yet.
 *
 * One list a backend, in order of the changes.  It fills while a statement
 * with its cascades and triggers runs, and is forgotten when that statement has
 * been maintained; normally it is one entry long.
 *
 * Memory: a context below TopMemoryContext, reset when the list is forgotten.
 * Transition tables die with their query, before an outer statement has ended:
 * then they are copied.  Stores that may spill are made with interXact, so that
 * no resource owner closes their files, and are ended here by hand: by
 * pgt_changes_forget and, for the part of a sub-transaction, by abort.
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/pg_attribute.h"
#include "executor/tuptable.h"
#include "miscadmin.h"
#include "utils/datum.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/resowner.h"

#include "applier/refresh/immediate.h"
#include "applier/settings.h"

static List *changes = NIL;		/* of PgtChange* */
static MemoryContext context = NULL;

int
pgt_changes_count(void)
{
	return list_length(changes);
}

PgtChange *
pgt_changes_get(int i)
{
	return list_nth(changes, i);
}

static void
enter_context(MemoryContext *old)
{
	if (context == NULL)
		context = AllocSetContextCreate(TopMemoryContext, "pg_trickle changes",
										ALLOCSET_DEFAULT_SIZES);
	*old = MemoryContextSwitchTo(context);
}

Tuplestorestate *
pgt_changes_new_store(void)
{
	ResourceOwner owner = CurrentResourceOwner;
	MemoryContext old;
	Tuplestorestate *store;

	enter_context(&old);
	CurrentResourceOwner = TopTransactionResourceOwner;
	store = tuplestore_begin_heap(true, true, pgt_refresh_work_mem);
	CurrentResourceOwner = owner;
	MemoryContextSwitchTo(old);
	return store;
}

/* ---- adding ---- */

static PgtChange *
add_change(Oid relid, TupleDesc desc, List *sources)
{
	PgtChange  *change;
	MemoryContext old;

	enter_context(&old);
	change = palloc0(sizeof(PgtChange));
	change->relid = relid;
	change->sources = list_copy(sources);
	change->desc = desc;
	change->subid = GetCurrentSubTransactionId();
	changes = lappend(changes, change);
	MemoryContextSwitchTo(old);
	return change;
}

/* With the values of columns that old rows lack. */
static TupleDesc
keep_desc(TupleDesc desc)
{
	MemoryContext old;
	TupleDesc	copy;

	enter_context(&old);
	copy = CreateTupleDescCopyConstr(desc);
	MemoryContextSwitchTo(old);
	return copy;
}

/* Read pointers of a transition table are shared with other triggers: take
 * one of our own. */
static void
rewind_store(Tuplestorestate *store)
{
	int			pointer = tuplestore_alloc_read_pointer(store, EXEC_FLAG_REWIND);

	tuplestore_select_read_pointer(store, pointer);
	tuplestore_rescan(store);
}

static Tuplestorestate *
keep_rows(Tuplestorestate *rows, TupleDesc desc)
{
	Tuplestorestate *copy;
	TupleTableSlot *slot;

	if (rows == NULL)
		return NULL;
	copy = pgt_changes_new_store();
	slot = MakeSingleTupleTableSlot(desc, &TTSOpsMinimalTuple);
	rewind_store(rows);
	while (tuplestore_gettupleslot(rows, true, false, slot))
		tuplestore_puttupleslot(copy, slot);
	ExecDropSingleTupleTableSlot(slot);
	return copy;
}

static bool
is_empty(Tuplestorestate *rows)
{
	return rows == NULL || tuplestore_tuple_count(rows) == 0;
}

void
pgt_changes_add_statement(const TriggerData *td, List *sources, bool keep)
{
	TupleDesc	desc = RelationGetDescr(td->tg_relation);
	PgtChange  *change;

	if (is_empty(td->tg_oldtable) && is_empty(td->tg_newtable))
		return;
	change = add_change(RelationGetRelid(td->tg_relation),
						keep ? keep_desc(desc) : desc, sources);
	change->owned = keep;
	change->old_rows = keep ? keep_rows(td->tg_oldtable, desc) : td->tg_oldtable;
	change->new_rows = keep ? keep_rows(td->tg_newtable, desc) : td->tg_newtable;
}

/* The entry that rows of this statement are added to. */
static PgtChange *
row_change(Relation rel, List *sources)
{
	PgtChange  *last = changes == NIL ? NULL : llast(changes);

	if (last != NULL && last->by_row &&
		last->relid == RelationGetRelid(rel) &&
		last->subid == GetCurrentSubTransactionId())
		return last;
	last = add_change(RelationGetRelid(rel), keep_desc(RelationGetDescr(rel)),
					  sources);
	last->by_row = true;
	last->owned = true;
	last->old_rows = pgt_changes_new_store();
	last->new_rows = pgt_changes_new_store();
	return last;
}

void
pgt_changes_add_row(const TriggerData *td, List *sources)
{
	PgtChange  *change = row_change(td->tg_relation, sources);

	if (TRIGGER_FIRED_BY_INSERT(td->tg_event))
		tuplestore_puttupleslot(change->new_rows, td->tg_trigslot);
	else
		tuplestore_puttupleslot(change->old_rows, td->tg_trigslot);
	if (TRIGGER_FIRED_BY_UPDATE(td->tg_event))
		tuplestore_puttupleslot(change->new_rows, td->tg_newslot);
}

void
pgt_changes_add_truncate(Relation rel, List *sources)
{
	add_change(RelationGetRelid(rel), NULL, sources)->truncated = true;
}

void
pgt_changes_add_delta(Oid relid, TupleDesc desc, Tuplestorestate *delta)
{
	PgtChange  *change = add_change(relid, keep_desc(desc), list_make1_oid(relid));

	change->delta = delta;
	change->owned = true;
}

/* ---- deltas ---- */

/* Where a source's column is in the rows of a change, from 1. */
static AttrNumber
column_in(const PgtChange *change, Oid source, AttrNumber attnum)
{
	char	   *name;
	AttrNumber	result = 0;

	if (change->delta != NULL)
	{
		/* a stream table's delta has its live columns, in order */
		for (AttrNumber a = 1; a <= attnum; a++)
			if (OidIsValid(get_atttype(source, a)))
				result++;
		return result;
	}
	if (change->relid == source)
		return attnum;
	name = get_attname(source, attnum, false);
	result = get_attnum(change->relid, name);
	if (result <= 0)
		elog(ERROR, "\"%s\" has no column \"%s\"", get_rel_name(change->relid), name);
	return result;
}

/* One pass over the rows of a change. */
typedef struct Collector
{
	PgtSourceDelta *d;
	AttrNumber *attnos;			/* of d's columns in the rows */
	AttrNumber	last;
	Datum	   *values[2];		/* old, new */
	bool	   *nulls[2];
} Collector;

static void
begin_collecting(Collector *c, const PgtChange *change, PgtSourceDelta *d)
{
	int			n = d->ncolumns;

	c->d = d;
	c->last = 0;
	c->attnos = palloc(sizeof(AttrNumber) * (n + 1));
	for (int i = 0; i < n; i++)
	{
		c->attnos[i] = column_in(change, d->relid, d->columns[i]);
		c->last = Max(c->last, c->attnos[i]);
	}
	for (int i = 0; i < 2; i++)
	{
		c->values[i] = palloc(sizeof(Datum) * (n + 1));
		c->nulls[i] = palloc(sizeof(bool) * (n + 1));
	}
}

static void
gather(Collector *c, TupleTableSlot *slot, int which)
{
	slot_getsomeattrs(slot, c->last);
	for (int i = 0; i < c->d->ncolumns; i++)
	{
		c->values[which][i] = slot->tts_values[c->attnos[i] - 1];
		c->nulls[which][i] = slot->tts_isnull[c->attnos[i] - 1];
	}
}

static void
emit(Collector *c, int which, int64 weight)
{
	PgtSourceDelta *d = c->d;

	c->values[which][d->ncolumns] = Int64GetDatum(weight);
	c->nulls[which][d->ncolumns] = false;
	if (d->delta == NULL)
		d->delta = pgt_changes_new_store();
	tuplestore_putvalues(d->delta, d->desc, c->values[which], c->nulls[which]);
	d->changes++;
}

/* Did the row keep all that the stream table reads of it? */
static bool
is_same(Collector *c)
{
	for (int i = 0; i < c->d->ncolumns; i++)
	{
		Form_pg_attribute att = TupleDescAttr(c->d->desc, i);

		if (c->nulls[0][i] != c->nulls[1][i])
			return false;
		if (!c->nulls[0][i] &&
			!datum_image_eq(c->values[0][i], c->values[1][i], att->attbyval,
							att->attlen))
			return false;
	}
	return true;
}

/* Old and new rows of an UPDATE come in the same order: they are walked in
 * step.  Where a trigger upset that, a pair is two changes all the same. */
static void
collect_rows(Collector *c, const PgtChange *change)
{
	TupleTableSlot *old_slot = MakeSingleTupleTableSlot(change->desc, &TTSOpsMinimalTuple);
	TupleTableSlot *new_slot = MakeSingleTupleTableSlot(change->desc, &TTSOpsMinimalTuple);

	if (change->old_rows)
		rewind_store(change->old_rows);
	if (change->new_rows)
		rewind_store(change->new_rows);
	for (;;)
	{
		bool		has_old = change->old_rows != NULL &&
			tuplestore_gettupleslot(change->old_rows, true, false, old_slot);
		bool		has_new = change->new_rows != NULL &&
			tuplestore_gettupleslot(change->new_rows, true, false, new_slot);

		if (!has_old && !has_new)
			break;
		CHECK_FOR_INTERRUPTS();
		if (has_old)
			gather(c, old_slot, 0);
		if (has_new)
			gather(c, new_slot, 1);
		if (has_old && has_new && is_same(c))
			continue;
		if (has_old)
			emit(c, 0, -1);
		if (has_new)
			emit(c, 1, 1);
	}
	ExecDropSingleTupleTableSlot(old_slot);
	ExecDropSingleTupleTableSlot(new_slot);
}

static void
collect_delta(Collector *c, const PgtChange *change)
{
	TupleTableSlot *slot = MakeSingleTupleTableSlot(change->desc, &TTSOpsMinimalTuple);
	int			weight = change->desc->natts - 1;

	rewind_store(change->delta);
	while (tuplestore_gettupleslot(change->delta, true, false, slot))
	{
		CHECK_FOR_INTERRUPTS();
		slot_getallattrs(slot);
		gather(c, slot, 1);
		emit(c, 1, DatumGetInt64(slot->tts_values[weight]));
	}
	ExecDropSingleTupleTableSlot(slot);
}

bool
pgt_changes_collect(int from, PgtSourceDelta *d)
{
	for (int i = from; i < pgt_changes_count(); i++)
	{
		PgtChange  *change = pgt_changes_get(i);
		Collector	c;

		if (!list_member_oid(change->sources, d->relid))
			continue;
		if (change->truncated)
			return false;
		begin_collecting(&c, change, d);
		if (change->delta != NULL)
			collect_delta(&c, change);
		else
			collect_rows(&c, change);
	}
	return true;
}

/* ---- forgetting ---- */

static void
end_stores(PgtChange *change)
{
	Tuplestorestate *stores[] = {change->old_rows, change->new_rows, change->delta};

	for (int i = 0; change->owned && i < lengthof(stores); i++)
		if (stores[i] != NULL)
			tuplestore_end(stores[i]);
}

void
pgt_changes_forget(void)
{
	ListCell   *lc;

	if (changes == NIL)
		return;
	foreach(lc, changes)
		end_stores(lfirst(lc));
	changes = NIL;
	MemoryContextReset(context);
}

void
pgt_changes_abort(SubTransactionId subid)
{
	ListCell   *lc;

	foreach(lc, changes)
	{
		PgtChange  *change = lfirst(lc);

		if (change->subid != subid)
			continue;
		end_stores(change);
		changes = foreach_delete_current(changes, lc);
	}
}

void
pgt_changes_commit(SubTransactionId subid, SubTransactionId parent)
{
	ListCell   *lc;

	foreach(lc, changes)
	{
		PgtChange  *change = lfirst(lc);

		if (change->subid == subid)
			change->subid = parent;
	}
}
