/*
 * applier/capture/stream.c - deltas of stream tables that others read.
 *
 * No trigger captures a stream table: the refresh that changes it hands over
 * the delta it has applied, in its own transaction, and the batches look like
 * any other source's.  A weight of n is n insertions.
 */
#include "postgres.h"

#include "access/table.h"
#include "catalog/pg_attribute.h"
#include "executor/tuptable.h"
#include "miscadmin.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"

#include "applier/capture/capture.h"
#include "applier/capture/record.h"
#include "applier/catalog/catalog.h"

/* Where column "attnum" of the relation is in a delta of its live columns;
 * -1 when the delta does not have it with this type. */
static int
place_in_delta(TupleDesc rel_desc, AttrNumber attnum, TupleDesc delta_desc)
{
	int			place = 0;

	for (int i = 0; i < attnum - 1; i++)
		if (!TupleDescAttr(rel_desc, i)->attisdropped)
			place++;
	if (place >= delta_desc->natts - 1 ||
		TupleDescAttr(delta_desc, place)->atttypid !=
		TupleDescAttr(rel_desc, attnum - 1)->atttypid)
		return -1;
	return place;
}

/* NULL when the delta does not fit what is captured. */
static int *
map_columns(const PgtWireShape *shape, TupleDesc rel_desc, TupleDesc delta_desc)
{
	int		   *map = palloc(sizeof(int) * (shape->ncolumns + 1));

	for (int i = 0; i < shape->ncolumns; i++)
	{
		map[i] = place_in_delta(rel_desc, shape->columns[i].attnum, delta_desc);
		if (map[i] < 0)
			return NULL;
	}
	return map;
}

static void
record_weighted(PgtRecorder *r, TupleTableSlot *slot, const int *map,
				PgtWireTuple *tuple)
{
	int			natts = slot->tts_tupleDescriptor->natts;
	int64		weight;

	slot_getallattrs(slot);
	weight = DatumGetInt64(slot->tts_values[natts - 1]);
	for (int i = 0; i < r->shape->ncolumns; i++)
	{
		tuple->values[i] = slot->tts_values[map[i]];
		tuple->nulls[i] = slot->tts_isnull[map[i]];
	}
	for (; weight > 0; weight--)
		pgt_record_change(r, NULL, tuple);
	for (; weight < 0; weight++)
		pgt_record_change(r, tuple, NULL);
}

static void
record_delta(PgtRecorder *r, Tuplestorestate *delta, TupleDesc desc,
			 const int *map)
{
	TupleTableSlot *slot = MakeSingleTupleTableSlot(desc, &TTSOpsMinimalTuple);
	int			n = r->shape->ncolumns + 1;
	PgtWireTuple tuple = {.values = palloc(sizeof(Datum) * n),
	.nulls = palloc(sizeof(bool) * n)};

	tuplestore_rescan(delta);
	while (tuplestore_gettupleslot(delta, true, false, slot))
	{
		MemoryContext old = MemoryContextSwitchTo(pgt_record_row_context());

		CHECK_FOR_INTERRUPTS();
		record_weighted(r, slot, map, &tuple);
		MemoryContextSwitchTo(old);
	}
	ExecDropSingleTupleTableSlot(slot);
}

void
pgt_buffer_append_delta(Oid relid, Tuplestorestate *delta, TupleDesc desc)
{
	PgtSource  *source = pgt_source_get(relid, true);
	PgtBufferRef buffer;
	PgtRecorder r;
	Relation	rel;
	PgtWireShape *shape;
	int		   *map = NULL;

	if (source == NULL)
		return;
	buffer = pgt_buffer_ref(relid, source->segment);
	rel = table_open(relid, AccessShareLock);
	shape = pgt_wire_shape(relid, RelationGetDescr(rel), source->columns,
						   source->ncolumns);
	if (shape != NULL)
		map = map_columns(shape, RelationGetDescr(rel), desc);
	pgt_record_begin(&r, relid, &buffer, shape);
	if (map == NULL || (int64) shape->signature != source->signature)
		pgt_record_lost(&r, "columns of the stream table were altered");
	else
		record_delta(&r, delta, desc, map);
	pgt_record_end(&r);
	table_close(rel, NoLock);
}

void
pgt_buffer_append_lost(Oid relid, const char *reason)
{
	PgtSource  *source = pgt_source_get(relid, true);
	PgtBufferRef buffer;
	PgtRecorder r;

	if (source == NULL)
		return;
	buffer = pgt_buffer_ref(relid, source->segment);
	pgt_record_begin(&r, relid, &buffer, NULL);
	pgt_record_lost(&r, reason);
}
