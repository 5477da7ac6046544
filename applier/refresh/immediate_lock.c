/*
 * applier/refresh/immediate_lock.c - what sets an IMMEDIATE stream table apart
 * from the others, for those who refresh, alter and drop it.
 *
 * Its writers take locks in this order: RowExclusive on the source, then on
 * the stream table, AccessShare on all other sources, then the stream table's
 * refresh lock, held until commit.  Who begins the other way round would meet
 * them in a deadlock.
 */
#include "postgres.h"

#include "access/xlog.h"
#include "miscadmin.h"
#include "utils/lsyscache.h"

#include "applier/capture/capture.h"
#include "applier/refresh/immediate.h"
#include "applier/refresh/lock.h"

bool
pgt_immediate_is_active(const PgtStreamTable *st)
{
	return strcmp(st->refresh_mode, "IMMEDIATE") == 0 &&
		strcmp(st->status, "ACTIVE") == 0 &&
		!st->suspended && !st->needs_reinit &&
		st->system_identifier == GetSystemIdentifier() &&
		st->database_oid == MyDatabaseId;
}

bool
pgt_immediate_lock_sources(const PgtStreamTable *st, bool begin, bool wait)
{
	List	   *dependencies = pgt_dependency_of(st->pgt_id);
	ListCell   *lc;

	if (!begin)
		return pgt_lock_relations(st->relid, dependencies, wait);
	foreach(lc, dependencies)
	{
		const PgtDependency *d = lfirst(lc);

		if (strcmp(d->source_type, "VIEW") != 0 &&
			!pgt_maintain_lock(d->source_relid, ShareRowExclusiveLock, wait))
			return false;
	}
	return true;
}

void
pgt_immediate_check_sources(const PgtStreamTable *st, List *dependencies)
{
	ListCell   *lc;

	if (strcmp(st->refresh_mode, "IMMEDIATE") != 0)
		return;
	foreach(lc, dependencies)
	{
		const PgtDependency *d = lfirst(lc);
		PgtStreamTable *source;

		if (strcmp(d->source_type, "FOREIGN_TABLE") == 0 ||
			strcmp(d->source_type, "MATVIEW") == 0)
			ereport(ERROR,
					(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
					 errmsg("stream table \"%s\" cannot be maintained in refresh mode IMMEDIATE",
							st->name),
					 errdetail("No statement here tells of the changes of \"%s\", which it reads.",
							   get_rel_name(d->source_relid)),
					 errhint("Use another refresh mode.")));
		if (strcmp(d->source_type, "STREAM_TABLE") != 0)
			continue;
		source = pgt_stream_table_by_relid(d->source_relid, false);
		if (strcmp(source->refresh_mode, "IMMEDIATE") == 0)
			continue;
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("stream table \"%s\" cannot be maintained in refresh mode IMMEDIATE",
						st->name),
				 errdetail("It reads stream table \"%s\", which follows its own sources later (refresh mode %s).",
						   source->name, source->refresh_mode),
				 errhint("Make \"%s\" IMMEDIATE first, or read its sources instead.",
						 source->name)));
	}
}

void
pgt_immediate_check_readers(const PgtStreamTable *st)
{
	List	   *readers = pgt_dependency_immediate(st->relid);
	PgtStreamTable *reader;

	if (readers == NIL)
		return;
	reader = pgt_stream_table_get(((PgtDependency *) linitial(readers))->pgt_id, false);
	ereport(ERROR,
			(errcode(ERRCODE_DEPENDENT_OBJECTS_STILL_EXIST),
			 errmsg("cannot stop the maintenance of stream table \"%s\"", st->name),
			 errdetail("Stream table \"%s\" reads it and is IMMEDIATE.", reader->name),
			 errhint("Change the refresh mode of \"%s\", or drop it, first.", reader->name)));
}
