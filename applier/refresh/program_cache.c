/*
 * applier/refresh/program_cache.c - compiled programs of this backend.
 *
 * One program a stream table, in a context below TopMemoryContext, kept until
 * it is invalid, the definition's updated_at differs, or somebody forgets it.
 * An entry is only looked at and replaced between refreshes (under the refresh
 * lock), so a program in use is never freed.
 */
#include "postgres.h"

#include "utils/hsearch.h"
#include "utils/memutils.h"

#include "applier/refresh/internal.h"
#include "decoder/compat.h"

typedef struct CacheEntry
{
	int64		pgt_id;			/* hash key */
	PgtProgram *program;		/* NULL after an error while compiling */
	TimestampTz updated_at;
	bool		differential;
} CacheEntry;

static HTAB *cache = NULL;

static void
create_cache(void)
{
	HASHCTL		ctl = {.keysize = sizeof(int64), .entrysize = sizeof(CacheEntry)};

	cache = hash_create("pg_trickle programs", 64, &ctl, HASH_ELEM | HASH_BLOBS);
}

static void
drop_entry(CacheEntry *entry)
{
	if (entry->program != NULL)
		pgt_program_free(entry->program);
	entry->program = NULL;
}

void
pgt_refresh_forget_program(int64 pgt_id)
{
	HASH_SEQ_STATUS seq;
	CacheEntry *entry;

	if (cache == NULL)
		return;
	hash_seq_init(&seq, cache);
	while ((entry = hash_seq_search(&seq)) != NULL)
	{
		if (pgt_id != 0 && entry->pgt_id != pgt_id)
			continue;
		drop_entry(entry);
		hash_search(cache, &entry->pgt_id, HASH_REMOVE, NULL);
	}
}

Query *
pgt_refresh_load_query(const PgtStreamTable *st)
{
	if (st->tree_version == PGT_MAJOR_VERSION)
		return castNode(Query, stringToNode(st->query_tree));
	return pgt_query_parse(st->defining_query);
}

PgtProgram *
pgt_refresh_compile(const PgtStreamTable *st)
{
	bool		differential = strcmp(st->effective_mode, "FULL") != 0;
	Query	   *expanded = pgt_query_expand(pgt_refresh_load_query(st));

	return pgt_program_compile(st->pgt_id, st->relid, expanded, differential,
							   TopMemoryContext);
}

static bool
entry_fits(const CacheEntry *entry, const PgtStreamTable *st)
{
	return entry->program != NULL &&
		entry->updated_at == st->updated_at &&
		entry->differential == (strcmp(st->effective_mode, "FULL") != 0) &&
		pgt_program_valid(entry->program);
}

PgtProgram *
pgt_refresh_get_program(const PgtStreamTable *st)
{
	CacheEntry *entry;
	bool		found;

	if (cache == NULL)
		create_cache();
	entry = hash_search(cache, &st->pgt_id, HASH_ENTER, &found);
	if (!found)
		entry->program = NULL;
	if (entry_fits(entry, st))
		return entry->program;

	drop_entry(entry);
	entry->updated_at = st->updated_at;
	entry->differential = strcmp(st->effective_mode, "FULL") != 0;
	entry->program = pgt_refresh_compile(st);
	return entry->program;
}
