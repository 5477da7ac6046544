/*
 * applier/capture/target.c - per-backend cache: relation -> sources to record.
 *
 * A row written to a relation belongs to that relation and, if it is a
 * partition or an inheritance child, to its ancestors.  Each of those may be
 * a source with columns of its own; the cache keeps, per relation that fired
 * a trigger, the sources, the buffer segment and the attribute map of each.
 *
 * An entry falls with a relcache invalidation of the relation or of anything
 * it inherits from: writers of pgt_sources send one for the source, DDL sends
 * them for relations.  The segment may be stale while a writer's transaction
 * goes on; readers look into both (see clean.c).  Entries are built in a
 * context of their own and freed when they are built again, never in the
 * callback, which may come in the middle of anything.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "catalog/indexing.h"
#include "catalog/pg_inherits.h"
#include "utils/fmgroids.h"
#include "utils/hsearch.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/syscache.h"

#include "applier/capture/target.h"
#include "applier/catalog/catalog.h"
#include "decoder/compat.h"

static HTAB *cache = NULL;

static List *
parents_of(Oid relid)
{
	Relation	inherits = table_open(InheritsRelationId, AccessShareLock);
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple	tuple;
	List	   *parents = NIL;

	ScanKeyInit(&key, Anum_pg_inherits_inhrelid, BTEqualStrategyNumber,
				F_OIDEQ, ObjectIdGetDatum(relid));
	scan = systable_beginscan(inherits, InheritsRelidSeqnoIndexId, true, NULL,
							  1, &key);
	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
		parents = lappend_oid(parents,
							  ((Form_pg_inherits) GETSTRUCT(tuple))->inhparent);
	systable_endscan(scan);
	table_close(inherits, AccessShareLock);
	return parents;
}

List *
pgt_lineage(Oid relid)
{
	List	   *lineage = list_make1_oid(relid);

	/* the list grows while it is walked */
	for (int i = 0; i < list_length(lineage); i++)
		lineage = list_concat_unique_oid(lineage,
										 parents_of(list_nth_oid(lineage, i)));
	return lineage;
}

static void
on_relcache_change(Datum arg, Oid relid)
{
	HASH_SEQ_STATUS status;
	PgtTargets *t;

	hash_seq_init(&status, cache);
	while ((t = hash_seq_search(&status)) != NULL)
		if (!OidIsValid(relid) || list_member_oid(t->lineage, relid))
		{
			t->valid = false;
			t->changed = true;
		}
}

static void
init_cache(void)
{
	HASHCTL		ctl = {.keysize = sizeof(Oid),.entrysize = sizeof(PgtTargets)};

	cache = hash_create("pg_trickle capture targets", 64, &ctl,
						HASH_ELEM | HASH_BLOBS);
	CacheRegisterRelcacheCallback(on_relcache_change, (Datum) 0);
}

/* Where the shape's columns are in the relation that the rows come from.
 * Descendants may have them elsewhere, by name they agree. */
static bool
map_columns(PgtTarget *t, Relation rel)
{
	t->attnums = palloc(sizeof(AttrNumber) * (t->shape->ncolumns + 1));
	t->max_attnum = 0;
	for (int i = 0; i < t->shape->ncolumns; i++)
	{
		const PgtWireColumn *c = &t->shape->columns[i];
		AttrNumber	attnum = c->attnum;

		if (t->source != RelationGetRelid(rel))
		{
			char	   *name = get_attname(t->source, c->attnum, true);

			attnum = name ? get_attnum(RelationGetRelid(rel), name) : 0;
			if (attnum <= 0 ||
				TupleDescAttr(RelationGetDescr(rel), attnum - 1)->atttypid != c->type)
				return false;
		}
		t->attnums[i] = attnum;
		t->max_attnum = Max(t->max_attnum, attnum);
	}
	return true;
}

/*
 * Attributes are read through the system cache: locking an ancestor here, after
 * the descendant, could deadlock with DDL that goes the other way.  What
 * matters of them cannot change without a lock on the descendant, too.
 */
static PgtWireShape *
source_shape(const PgtSource *source)
{
	int			natts = source->ncolumns == 0 ? 0 :
		source->columns[source->ncolumns - 1];
	TupleDesc	desc = CreateTemplateTupleDesc(natts);
	PgtWireShape *shape;

	for (int i = 0; i < source->ncolumns; i++)
	{
		AttrNumber	attnum = source->columns[i];
		HeapTuple	tuple = SearchSysCache2(ATTNUM,
											ObjectIdGetDatum(source->relid),
											Int16GetDatum(attnum));

		if (!HeapTupleIsValid(tuple))
			return NULL;
		memcpy(TupleDescAttr(desc, attnum - 1), GETSTRUCT(tuple),
			   ATTRIBUTE_FIXED_PART_SIZE);
		ReleaseSysCache(tuple);
	}
	shape = pgt_wire_shape(source->relid, desc, source->columns,
						   source->ncolumns);
	if (shape == NULL || (int64) shape->signature != source->signature)
		return NULL;
	return shape;
}

static void
fill_target(PgtTarget *t, const PgtSource *source, Relation rel)
{
	t->source = source->relid;
	t->buffer = pgt_buffer_ref(source->relid, source->segment);
	if (!OidIsValid(t->buffer.heap) || !OidIsValid(t->buffer.index))
		elog(ERROR, "change buffer of relation with OID %u is missing",
			 source->relid);
	t->shape = source_shape(source);
	if (t->shape == NULL)
		t->lost_reason = "captured columns of the source were altered";
	else if (!map_columns(t, rel))
	{
		t->shape = NULL;
		t->lost_reason = psprintf("columns of \"%s\" do not match those of the source",
								  RelationGetRelationName(rel));
	}
}

static void
add_target(PgtTargetSet *set, const PgtSource *source, Relation rel, int max)
{
	if (set->targets == NULL)
		set->targets = palloc0(sizeof(PgtTarget) * max);
	fill_target(&set->targets[set->n++], source, rel);
}

static void
build(PgtTargets *t, Relation rel)
{
	MemoryContext old;
	ListCell   *lc;
	int			max;

	if (t->context != NULL)
		MemoryContextReset(t->context);
	else
		t->context = AllocSetContextCreate(CacheMemoryContext,
										   "pg_trickle capture target",
										   ALLOCSET_SMALL_SIZES);
	old = MemoryContextSwitchTo(t->context);
	t->lineage = NIL;
	t->changed = false;
	memset(&t->by_statement, 0, sizeof(PgtTargetSet));
	memset(&t->by_row, 0, sizeof(PgtTargetSet));
	t->lineage = pgt_lineage(t->relid);

	max = list_length(t->lineage);
	foreach(lc, t->lineage)
	{
		PgtSource  *source = pgt_source_get(lfirst_oid(lc), true);

		if (source == NULL)
			continue;
		if (strcmp(source->capture_form, "statement") == 0)
			add_target(&t->by_statement, source, rel, max);
		else if (strcmp(source->capture_form, "row") == 0)
			add_target(&t->by_row, source, rel, max);
	}
	MemoryContextSwitchTo(old);

	/* changed meanwhile: good for this call (the relation is locked, only the
	 * segment can be another one), not for the next */
	t->valid = !t->changed;
}

PgtTargets *
pgt_targets_get(Relation rel)
{
	Oid			relid = RelationGetRelid(rel);
	PgtTargets *t;
	bool		found;

	if (cache == NULL)
		init_cache();
	t = hash_search(cache, &relid, HASH_ENTER, &found);
	if (!found)
	{
		t->valid = false;
		t->context = NULL;
		t->lineage = NIL;
	}
	/* on ERROR in here the entry stays, not valid */
	if (!t->valid)
		build(t, rel);
	return t;
}
