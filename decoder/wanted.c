/*
 * decoder/wanted.c - which relations are wanted; see wanted.h.
 *
 * A relation is wanted when it, or a table it inherits from, is a source.
 * Sources come from the option "sources" or, with "catalog", from the rows of
 * pgtrickle.pgt_sources that are captured from the WAL.  That table is a user
 * catalog table: read under the historic snapshot it says what was wanted at
 * the change's place in the WAL, so what another session adds, widens or hands
 * back takes effect exactly where its transaction committed.
 *
 * Whoever changes a row of pgt_sources invalidates the source's relcache
 * entry, which comes to us as DDL does.  Any invalidation forgets everything:
 * a change of an ancestor matters to relations that do not know it yet, and a
 * name may mean another relation.
 *
 * Only pgt_sources is locked, AccessShare, against those who move its storage;
 * all else is read as core's decoding does, without.  The lock ends with the
 * transaction that core decodes in.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "catalog/catalog.h"
#include "catalog/dependency.h"
#include "catalog/indexing.h"
#include "catalog/namespace.h"
#include "catalog/pg_class.h"
#include "catalog/pg_inherits.h"
#include "catalog/pg_type.h"
#include "commands/extension.h"
#include "storage/lmgr.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"

#include "decoder/compat.h"
#include "decoder/wanted.h"

/* Relations remembered before those that are gone are looked for. */
#define FIRST_TRIM		1024

/* What is wanted of a source. */
typedef struct Source
{
	Oid			relid;
	List	   *names;			/* columns of the option, NIL: not given */
	AttrNumber *attnums;		/* columns of pgt_sources, or NULL */
	int			nattnums;
} Source;

/* for the invalidation callbacks, which cannot be taken back */
static PgtWanted *live = NULL;

static void
forget_live(void *arg)
{
	live = NULL;
}

static void
forget_entries(void)
{
	HASH_SEQ_STATUS status;
	PgtWantedEntry *entry;

	if (live == NULL)
		return;
	live->catalog_known = false;
	hash_seq_init(&status, live->entries);
	while ((entry = hash_seq_search(&status)) != NULL)
		entry->valid = false;
}

static void
on_relcache_change(Datum arg, Oid relid)
{
	forget_entries();
}

static void
on_namespace_change(Datum arg, PgtSyscacheId cacheid, uint32 hashvalue)
{
	forget_entries();
}

static void
register_callbacks(void)
{
	static bool registered = false;

	if (registered)
		return;
	CacheRegisterRelcacheCallback(on_relcache_change, (Datum) 0);
	CacheRegisterSyscacheCallback(NAMESPACEOID, on_namespace_change, (Datum) 0);
	registered = true;
}

PgtWanted *
pgt_wanted_create(MemoryContext context, const PgtDecoderOptions *options)
{
	HASHCTL		ctl = {.keysize = sizeof(Oid),.entrysize = sizeof(PgtWantedEntry),
	.hcxt = context};
	PgtWanted  *wanted = MemoryContextAllocZero(context, sizeof(PgtWanted));
	MemoryContextCallback *callback =
		MemoryContextAllocZero(context, sizeof(MemoryContextCallback));

	wanted->context = context;
	wanted->scratch = AllocSetContextCreate(context, "pg_trickle decoder scratch",
											ALLOCSET_SMALL_SIZES);
	wanted->options = options;
	wanted->trim_at = FIRST_TRIM;
	wanted->entries = hash_create("pg_trickle decoder relations", 64, &ctl,
								  HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
	callback->func = forget_live;
	MemoryContextRegisterResetCallback(context, callback);
	register_callbacks();
	live = wanted;
	return wanted;
}

/* ---- sources that the option lists ---- */

static const PgtSourceName *
listed(const PgtWanted *wanted, Oid relid)
{
	char	   *name = get_rel_name(relid);
	char	   *schema = get_namespace_name(get_rel_namespace(relid));
	ListCell   *lc;

	foreach(lc, wanted->options->sources)
	{
		const PgtSourceName *source = lfirst(lc);

		if (OidIsValid(source->oid) ? source->oid == relid :
			name != NULL && schema != NULL &&
			strcmp(source->name, name) == 0 &&
			strcmp(source->schema, schema) == 0)
			return source;
	}
	return NULL;
}

/* Buffers and state change with every refresh; decoding them would feed on
 * itself, and mean nothing to anybody. */
static void
refuse_own(Oid relid)
{
	char	   *schema = get_namespace_name(get_rel_namespace(relid));

	if (schema != NULL &&
		(strcmp(schema, "pgtrickle_changes") == 0 ||
		 strcmp(schema, "pgtrickle_state") == 0))
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("relation \"%s.%s\" is not decoded", schema, get_rel_name(relid)),
				 errdetail("It is an internal table of pg_trickle."),
				 errhint("Take it out of the option \"sources\".")));
}

static Source *
source_by_option(const PgtWanted *wanted, Oid relid)
{
	const PgtSourceName *entry = listed(wanted, relid);
	Source	   *source;

	if (entry == NULL)
		return NULL;
	refuse_own(relid);
	source = palloc0(sizeof(Source));
	source->relid = relid;
	source->names = entry->columns;
	return source;
}

/* ---- sources that pgtrickle.pgt_sources lists ---- */

/* Has the relation storage today?  One that was dropped after the WAL at hand
 * was written is still in the catalogs of the historic snapshot. */
static bool
exists_today(Oid relid)
{
	Relation	classes = table_open(RelationRelationId, AccessShareLock);
	Snapshot	snapshot = RegisterSnapshot(GetNonHistoricCatalogSnapshot(RelationRelationId));
	ScanKeyData key;
	SysScanDesc scan;
	bool		found;

	ScanKeyInit(&key, Anum_pg_class_oid, BTEqualStrategyNumber, F_OIDEQ,
				ObjectIdGetDatum(relid));
	scan = systable_beginscan(classes, ClassOidIndexId, true, snapshot, 1, &key);
	found = HeapTupleIsValid(systable_getnext(scan));
	systable_endscan(scan);
	UnregisterSnapshot(snapshot);
	table_close(classes, AccessShareLock);
	return found;
}

/* The extension's own table: anybody may call a schema pgtrickle where the
 * extension is not. */
static Oid
find_catalog(void)
{
	Oid			schema = get_namespace_oid("pgtrickle", true);
	Oid			extension;
	Oid			relid;

	if (!OidIsValid(schema))
		return InvalidOid;
	relid = get_relname_relid("pgt_sources", schema);
	extension = get_extension_oid("pg_trickle", true);
	if (!OidIsValid(relid) || !OidIsValid(extension) ||
		getExtensionOfObject(RelationRelationId, relid) != extension)
		return InvalidOid;
	return relid;
}

/*
 * Open it, locked until the transaction ends, or NULL: the extension was not
 * there at that place in the WAL, or it has been dropped since, and with it
 * all that its sources were captured for.
 */
static Relation
open_catalog(PgtWanted *wanted)
{
	Relation	rel;

	if (!wanted->catalog_known)
	{
		wanted->catalog = find_catalog();
		wanted->catalog_known = true;
	}
	if (!OidIsValid(wanted->catalog))
		return NULL;
	LockRelationOid(wanted->catalog, AccessShareLock);
	if (!exists_today(wanted->catalog))
		return NULL;
	rel = table_open(wanted->catalog, NoLock);
	if (!RelationIsAccessibleInLogicalDecoding(rel))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("\"pgtrickle.pgt_sources\" is not a user catalog table"),
				 errhint("Set its storage parameter user_catalog_table, as CREATE EXTENSION pg_trickle does.")));
	return rel;
}

static Datum
catalog_value(Relation catalog, HeapTuple tuple, const char *column)
{
	AttrNumber	attnum = InvalidAttrNumber;
	bool		isnull = true;
	Datum		value = (Datum) 0;

	for (int i = 0; i < RelationGetDescr(catalog)->natts; i++)
		if (namestrcmp(&TupleDescAttr(RelationGetDescr(catalog), i)->attname, column) == 0)
			attnum = i + 1;
	if (attnum != InvalidAttrNumber)
		value = heap_getattr(tuple, attnum, RelationGetDescr(catalog), &isnull);
	if (isnull)
		elog(ERROR, "pgtrickle.pgt_sources has no \"%s\"", column);
	return value;
}

static Source *
source_from_row(Relation catalog, HeapTuple tuple, Oid relid)
{
	ArrayType  *columns;
	Source	   *source;

	/* while a hand-over is only being prepared triggers write these rows */
	if (strcmp(TextDatumGetCString(catalog_value(catalog, tuple, "cdc_mode")), "WAL") != 0)
		return NULL;
	columns = DatumGetArrayTypePCopy(catalog_value(catalog, tuple, "columns"));
	if (ARR_NDIM(columns) > 1 || ARR_HASNULL(columns) || ARR_ELEMTYPE(columns) != INT2OID)
		elog(ERROR, "pgtrickle.pgt_sources.columns is no list of attribute numbers");
	source = palloc0(sizeof(Source));
	source->relid = relid;
	source->nattnums = ArrayGetNItems(ARR_NDIM(columns), ARR_DIMS(columns));
	source->attnums = palloc(sizeof(AttrNumber) * (source->nattnums + 1));
	memcpy(source->attnums, ARR_DATA_PTR(columns),
		   sizeof(AttrNumber) * source->nattnums);
	return source;
}

static Source *
source_by_catalog(PgtWanted *wanted, Oid relid)
{
	Relation	catalog = open_catalog(wanted);
	Source	   *source = NULL;
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple	tuple;

	if (catalog == NULL)
		return NULL;
	/* source_relid is the first column, and the primary key */
	ScanKeyInit(&key, 1, BTEqualStrategyNumber, F_OIDEQ, ObjectIdGetDatum(relid));
	scan = systable_beginscan(catalog, pgt_primary_key_index(catalog), true, NULL,
							  1, &key);
	tuple = systable_getnext(scan);
	if (HeapTupleIsValid(tuple))
		source = source_from_row(catalog, tuple, relid);
	systable_endscan(scan);
	table_close(catalog, NoLock);
	return source;
}

/* ---- which sources a relation belongs to ---- */

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
pgt_wanted_lineage(Oid relid)
{
	List	   *lineage = list_make1_oid(relid);

	/* the list grows while it is walked */
	for (int i = 0; i < list_length(lineage); i++)
		lineage = list_concat_unique_oid(lineage,
										 parents_of(list_nth_oid(lineage, i)));
	return lineage;
}

static Source *
source_of(PgtWanted *wanted, Oid relid)
{
	return wanted->options->catalog ? source_by_catalog(wanted, relid) :
		source_by_option(wanted, relid);
}

bool
pgt_wanted_is_source(PgtWanted *wanted, Oid relid)
{
	return source_of(wanted, relid) != NULL;
}

/* The relation and its ancestors, as far as they are sources: of Source*. */
static List *
sources_of(PgtWanted *wanted, Oid relid)
{
	List	   *sources = NIL;
	ListCell   *lc;

	foreach(lc, pgt_wanted_lineage(relid))
	{
		Source	   *source = source_of(wanted, lfirst_oid(lc));

		if (source != NULL)
			sources = lappend(sources, source);
	}
	return sources;
}

/* ---- columns ---- */

static AttrNumber
attnum_by_name(TupleDesc desc, const char *name)
{
	for (int i = 0; i < desc->natts; i++)
	{
		Form_pg_attribute att = TupleDescAttr(desc, i);

		if (!att->attisdropped && strcmp(NameStr(att->attname), name) == 0)
			return i + 1;
	}
	return InvalidAttrNumber;
}

static bool
has_name(const List *names, const char *name)
{
	ListCell   *lc;

	foreach(lc, names)
		if (strcmp(lfirst(lc), name) == 0)
			return true;
	return false;
}

/* Attribute numbers by the option "columns", which means all sources and is
 * read as "those of them that it has"; NIL: all that are stored. */
static int
columns_by_option(const PgtWanted *wanted, TupleDesc desc, AttrNumber *attnums)
{
	const List *names = wanted->options->columns;
	int			n = 0;

	for (int i = 0; i < desc->natts; i++)
	{
		Form_pg_attribute att = TupleDescAttr(desc, i);

		if (!att->attisdropped && !pgt_is_virtual(att) &&
			(names == NIL || has_name(names, NameStr(att->attname))))
			attnums[n++] = i + 1;
	}
	return n;
}

/* Columns asked for by name of this very source must be there. */
static const char *
check_names(const List *names, TupleDesc desc)
{
	ListCell   *lc;

	foreach(lc, names)
	{
		AttrNumber	attnum = attnum_by_name(desc, lfirst(lc));

		if (attnum == InvalidAttrNumber)
			return psprintf("the source has no column \"%s\"", (char *) lfirst(lc));
		if (pgt_is_virtual(TupleDescAttr(desc, attnum - 1)))
			return psprintf("column \"%s\" of the source is not stored", (char *) lfirst(lc));
	}
	return NULL;
}

static int
columns_by_name(const List *names, TupleDesc desc, AttrNumber *attnums)
{
	int			n = 0;

	for (int i = 0; i < desc->natts; i++)
		if (!TupleDescAttr(desc, i)->attisdropped &&
			has_name(names, NameStr(TupleDescAttr(desc, i)->attname)))
			attnums[n++] = i + 1;
	return n;
}

static void
choose_columns(const PgtWanted *wanted, const Source *source, TupleDesc desc,
			   PgtTarget *target)
{
	AttrNumber *attnums = palloc(sizeof(AttrNumber) * (desc->natts + 1));
	int			n;

	if (source->attnums != NULL)
		target->shape = pgt_wire_shape(source->relid, desc, source->attnums,
									   source->nattnums);
	else if (source->names == NIL)
	{
		n = columns_by_option(wanted, desc, attnums);
		target->shape = pgt_wire_shape(source->relid, desc, attnums, n);
	}
	else if ((target->mismatch = check_names(source->names, desc)) == NULL)
	{
		n = columns_by_name(source->names, desc, attnums);
		target->shape = pgt_wire_shape(source->relid, desc, attnums, n);
	}
	if (target->shape == NULL)
	{
		if (target->mismatch == NULL)
			target->mismatch = "a column of the source was dropped";
		target->shape = pgt_wire_shape(source->relid, desc, NULL, 0);
	}
}

/* Find the source's columns in the relation, by name. */
static void
map_columns(PgtTarget *target, TupleDesc source_desc, TupleDesc desc)
{
	target->attnums = palloc(sizeof(AttrNumber) * (target->shape->ncolumns + 1));
	for (int i = 0; i < target->shape->ncolumns; i++)
	{
		const PgtWireColumn *c = &target->shape->columns[i];
		Form_pg_attribute att = TupleDescAttr(source_desc, c->attnum - 1);
		AttrNumber	attnum = attnum_by_name(desc, NameStr(att->attname));

		target->attnums[i] = attnum;
		if (attnum == InvalidAttrNumber ||
			TupleDescAttr(desc, attnum - 1)->atttypid != c->type)
			target->mismatch = "columns of a partition do not match those of the source";
	}
}

static bool
carries_all(const PgtTarget *target, TupleDesc desc)
{
	if (target->shape->ncolumns != desc->natts)
		return false;
	for (int i = 0; i < desc->natts; i++)
		if (target->attnums[i] != i + 1)
			return false;
	return true;
}

static bool
identity_has_columns(Relation rel, const PgtTarget *target)
{
	Bitmapset  *identity;

	if (rel->rd_rel->relreplident == REPLICA_IDENTITY_FULL)
		return true;
	identity = RelationGetIndexAttrBitmap(rel, INDEX_ATTR_BITMAP_IDENTITY_KEY);
	for (int i = 0; i < target->shape->ncolumns; i++)
		if (!bms_is_member(target->attnums[i] - FirstLowInvalidHeapAttributeNumber,
						   identity))
			return false;
	return true;
}

/* ---- entries ---- */

/* The relation whose rows these are: ALTER TABLE writes them to a new heap. */
static Oid
owner_of_rows(Relation rel)
{
	return OidIsValid(rel->rd_rel->relrewrite) ? rel->rd_rel->relrewrite :
		RelationGetRelid(rel);
}

static void
make_room(int natts, Datum **values, bool **nulls)
{
	*values = palloc(sizeof(Datum) * (natts + 1));
	*nulls = palloc(sizeof(bool) * (natts + 1));
}

static void
init_target(PgtWanted *wanted, PgtTarget *target, const Source *source,
			Relation rel)
{
	Relation	root = source->relid == RelationGetRelid(rel) ? rel :
		RelationIdGetRelation(source->relid);

	if (!RelationIsValid(root))
		elog(ERROR, "could not open relation with OID %u", source->relid);
	choose_columns(wanted, source, RelationGetDescr(root), target);
	map_columns(target, RelationGetDescr(root), RelationGetDescr(rel));
	if (OidIsValid(rel->rd_rel->relrewrite))
		target->mismatch = "the rows were written anew by ALTER TABLE";
	if (target->mismatch == NULL)
	{
		target->old_is_whole = identity_has_columns(rel, target);
		target->all_columns = carries_all(target, RelationGetDescr(rel));
	}
	make_room(target->shape->ncolumns, &target->old_tuple.values,
			  &target->old_tuple.nulls);
	make_room(target->shape->ncolumns, &target->new_tuple.values,
			  &target->new_tuple.nulls);
	if (root != rel)
		RelationClose(root);
}

PgtWantedEntry *
pgt_wanted_entry(PgtWanted *wanted, Oid relid)
{
	PgtWantedEntry *entry = wanted->last;
	bool		found;

	if (entry != NULL && entry->relid == relid)
		return entry;
	entry = hash_search(wanted->entries, &relid, HASH_ENTER, &found);
	wanted->last = entry;
	if (!found)
	{
		entry->valid = false;
		entry->context = NULL;
		entry->ntargets = 0;
		entry->skipped_in = InvalidFullTransactionId;
	}
	return entry;
}

static int
last_carried(const PgtWantedEntry *entry)
{
	int			n = 0;

	for (int i = 0; i < entry->ntargets; i++)
		for (int j = 0; j < entry->targets[i].shape->ncolumns; j++)
			n = Max(n, entry->targets[i].attnums[j]);
	return n;
}

static void
init_targets(PgtWanted *wanted, PgtWantedEntry *entry, const List *sources,
			 Relation rel)
{
	MemoryContext old;
	ListCell   *lc;

	if (entry->context == NULL)
		entry->context = AllocSetContextCreate(wanted->context,
											   "pg_trickle decoder relation",
											   ALLOCSET_SMALL_SIZES);
	old = MemoryContextSwitchTo(entry->context);
	make_room(entry->natts, &entry->old_row.values, &entry->old_row.nulls);
	make_room(entry->natts, &entry->new_row.values, &entry->new_row.nulls);
	entry->targets = palloc0(sizeof(PgtTarget) * list_length(sources));
	foreach(lc, sources)
		init_target(wanted, &entry->targets[entry->ntargets++], lfirst(lc), rel);
	entry->layout = pgt_layout_create(RelationGetDescr(rel), last_carried(entry));
	MemoryContextSwitchTo(old);
}

/*
 * Valid before it is built: opening relations may take in invalidations, and
 * those must stick.  On ERROR the Wanted goes with the decoding context.
 */
void
pgt_wanted_build(PgtWanted *wanted, PgtWantedEntry *entry, Relation rel)
{
	MemoryContext old = MemoryContextSwitchTo(wanted->scratch);
	List	   *sources;

	if (entry->context != NULL)
		MemoryContextReset(entry->context);
	entry->valid = true;
	entry->natts = RelationGetDescr(rel)->natts;
	entry->ntargets = 0;
	entry->targets = NULL;
	sources = sources_of(wanted, owner_of_rows(rel));
	if (sources != NIL)
		init_targets(wanted, entry, sources, rel);
	MemoryContextSwitchTo(old);
	MemoryContextReset(wanted->scratch);
}

bool
pgt_wanted_was_skipped(const PgtWanted *wanted, Oid relid, FullTransactionId xid)
{
	const PgtWantedEntry *entry = hash_search(wanted->entries, &relid, HASH_FIND, NULL);

	return entry != NULL && FullTransactionIdEquals(entry->skipped_in, xid);
}

void
pgt_wanted_trim(PgtWanted *wanted)
{
	HASH_SEQ_STATUS status;
	PgtWantedEntry *entry;

	if (hash_get_num_entries(wanted->entries) < wanted->trim_at)
		return;
	wanted->last = NULL;
	hash_seq_init(&status, wanted->entries);
	while ((entry = hash_seq_search(&status)) != NULL)
	{
		if (entry->valid)
			continue;
		if (entry->context != NULL)
			MemoryContextDelete(entry->context);
		hash_search(wanted->entries, &entry->relid, HASH_REMOVE, NULL);
	}
	wanted->trim_at = Max(FIRST_TRIM, 2 * hash_get_num_entries(wanted->entries));
}
