/*
 * applier/refresh/readers.c - per-backend cache of IMMEDIATE stream tables:
 * who reads a source, and which sources a relation's rows belong to.
 *
 * Everything cached falls together, with a relcache invalidation of pgt_state
 * (sent by whoever changes a stream table's definition or status) or of any
 * relation that was asked about (sent when a reader comes, triggers change or
 * the inheritance tree does).  That is rare; a statement looks up two or three
 * entries of hash tables.
 *
 * Memory: each generation has a context of its own below CacheMemoryContext.
 * The callback only counts; an outdated generation is replaced at the next
 * look-up and freed when nobody can hold anything of it (release).
 */
#include "postgres.h"

#include "utils/hsearch.h"
#include "utils/inval.h"
#include "utils/memutils.h"
#include "utils/rel.h"

#include "applier/capture/capture.h"
#include "applier/refresh/immediate.h"

typedef struct SourceEntry
{
	Oid			relid;			/* hash key */
	List	   *readers;		/* of PgtReader* */
} SourceEntry;

typedef struct ReaderEntry
{
	int64		pgt_id;			/* hash key */
	PgtReader  *reader;			/* NULL: no IMMEDIATE stream table */
} ReaderEntry;

typedef struct Generation
{
	MemoryContext context;
	uint64		number;
	Oid			catalog;		/* pgt_state */
	HTAB	   *watched;		/* oids whose change makes it outdated */
	HTAB	   *fired;			/* PgtFired */
	HTAB	   *sources;		/* SourceEntry */
	HTAB	   *readers;		/* ReaderEntry */
} Generation;

static Generation *current = NULL;
static List *outdated = NIL;	/* of MemoryContext, in TopMemoryContext */
static uint64 counter = 1;

static void
on_relcache_change(Datum arg, Oid relid)
{
	if (current == NULL || current->number != counter)
		return;
	if (!OidIsValid(relid) || relid == current->catalog ||
		hash_search(current->watched, &relid, HASH_FIND, NULL) != NULL)
		counter++;
}

static HTAB *
new_table(Generation *g, const char *name, Size keysize, Size entrysize)
{
	HASHCTL		ctl = {.keysize = keysize,.entrysize = entrysize,.hcxt = g->context};

	return hash_create(name, 32, &ctl, HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
}

static Generation *
new_generation(void)
{
	MemoryContext context = AllocSetContextCreate(CacheMemoryContext,
												  "pg_trickle readers",
												  ALLOCSET_DEFAULT_SIZES);
	Generation *g = MemoryContextAllocZero(context, sizeof(Generation));

	g->context = context;
	g->catalog = pgt_catalog_relid(PGT_TABLE_STATE);
	g->watched = new_table(g, "watched relations", sizeof(Oid), sizeof(Oid));
	g->fired = new_table(g, "fired relations", sizeof(Oid), sizeof(PgtFired));
	g->sources = new_table(g, "sources", sizeof(Oid), sizeof(SourceEntry));
	g->readers = new_table(g, "readers", sizeof(int64), sizeof(ReaderEntry));
	return g;
}

static Generation *
get_current(void)
{
	static bool registered = false;

	if (!registered)
	{
		CacheRegisterRelcacheCallback(on_relcache_change, (Datum) 0);
		registered = true;
	}
	if (current != NULL && current->number == counter)
		return current;
	if (current != NULL)
	{
		MemoryContext old = MemoryContextSwitchTo(TopMemoryContext);

		outdated = lappend(outdated, current->context);
		MemoryContextSwitchTo(old);
	}
	current = NULL;
	current = new_generation();
	/* what comes while it is filled makes it outdated again */
	current->number = counter;
	return current;
}

uint64
pgt_readers_generation(void)
{
	return counter;
}

void
pgt_readers_release(void)
{
	ListCell   *lc;

	foreach(lc, outdated)
		MemoryContextDelete(lfirst(lc));
	list_free(outdated);
	outdated = NIL;
}

static void
watch(Generation *g, Oid relid)
{
	hash_search(g->watched, &relid, HASH_ENTER, NULL);
}

/* ---- readers ---- */

static PgtReader *
load_reader(Generation *g, int64 pgt_id)
{
	PgtStreamTable *st = pgt_stream_table_get(pgt_id, true);
	PgtReader  *reader;
	ListCell   *lc;

	if (st == NULL || strcmp(st->refresh_mode, "IMMEDIATE") != 0)
		return NULL;
	reader = palloc0(sizeof(PgtReader));
	reader->pgt_id = pgt_id;
	reader->st = st;
	reader->active = pgt_immediate_is_active(st);
	reader->stateless = pgt_progress_get(pgt_id)->state_error != NULL;
	reader->dependencies = pgt_dependency_of(pgt_id);
	reader->has_deferred = pgt_dependency_deferred(st->relid) != NIL;
	reader->read_on = reader->has_deferred ||
		pgt_dependency_immediate(st->relid) != NIL;
	watch(g, st->relid);
	foreach(lc, reader->dependencies)
	{
		const PgtDependency *d = lfirst(lc);

		if (strcmp(d->source_type, "VIEW") == 0)
			continue;
		reader->sources = lappend_oid(reader->sources, d->source_relid);
		watch(g, d->source_relid);
	}
	return reader;
}

/* Above all stream tables that it reads. */
static int
level_of(const PgtReader *reader)
{
	int			level = 0;
	ListCell   *lc;

	foreach(lc, reader->dependencies)
	{
		const PgtDependency *d = lfirst(lc);
		PgtStreamTable *source;
		PgtReader  *below;

		if (strcmp(d->source_type, "STREAM_TABLE") != 0)
			continue;
		source = pgt_stream_table_by_relid(d->source_relid, true);
		below = source ? pgt_readers_get(source->pgt_id) : NULL;
		if (below != NULL)
			level = Max(level, below->level + 1);
	}
	return level;
}

PgtReader *
pgt_readers_get(int64 pgt_id)
{
	Generation *g = get_current();
	ReaderEntry *entry = hash_search(g->readers, &pgt_id, HASH_FIND, NULL);
	MemoryContext old;
	PgtReader  *reader;

	if (entry != NULL)
		return entry->reader;
	old = MemoryContextSwitchTo(g->context);
	reader = load_reader(g, pgt_id);
	if (reader != NULL)
		reader->level = level_of(reader);
	MemoryContextSwitchTo(old);
	/* not entered before it is complete: an ERROR leaves nothing half done */
	entry = hash_search(g->readers, &pgt_id, HASH_ENTER, NULL);
	entry->reader = reader;
	return reader;
}

List *
pgt_readers_of(Oid source)
{
	Generation *g = get_current();
	SourceEntry *entry = hash_search(g->sources, &source, HASH_FIND, NULL);
	MemoryContext old;
	List	   *readers = NIL;
	ListCell   *lc;

	if (entry != NULL)
		return entry->readers;
	old = MemoryContextSwitchTo(g->context);
	watch(g, source);
	foreach(lc, pgt_dependency_immediate(source))
	{
		PgtReader  *reader = pgt_readers_get(((PgtDependency *) lfirst(lc))->pgt_id);

		if (reader != NULL)
			readers = lappend(readers, reader);
	}
	MemoryContextSwitchTo(old);
	entry = hash_search(g->sources, &source, HASH_ENTER, NULL);
	entry->readers = readers;
	return readers;
}

/* ---- relations that fire ---- */

static bool
has_active(Oid source)
{
	ListCell   *lc;

	foreach(lc, pgt_readers_of(source))
		if (((PgtReader *) lfirst(lc))->active)
			return true;
	return false;
}

PgtFired *
pgt_readers_fired(Relation rel)
{
	Generation *g = get_current();
	Oid			relid = RelationGetRelid(rel);
	PgtFired   *entry = hash_search(g->fired, &relid, HASH_FIND, NULL);
	PgtFired	fired = {.relid = relid};
	MemoryContext old;
	ListCell   *lc;

	if (entry != NULL)
		return entry;
	old = MemoryContextSwitchTo(g->context);
	foreach(lc, pgt_lineage(relid))
	{
		Oid			source = lfirst_oid(lc);

		watch(g, source);
		if (!has_active(source))
			continue;
		if (pgt_maintain_form(source) == PGT_MAINTAIN_ROW)
			fired.by_row = lappend_oid(fired.by_row, source);
		else
			fired.by_statement = lappend_oid(fired.by_statement, source);
	}
	MemoryContextSwitchTo(old);
	entry = hash_search(g->fired, &relid, HASH_ENTER, NULL);
	*entry = fired;
	return entry;
}
