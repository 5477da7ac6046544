/*
 * applier/capture/clean.c - throwing consumed batches away, the PgQ way.
 *
 * Deleting rows one by one would cost more than writing them.  So writers
 * append to one of two segments; when that has grown and the other is empty,
 * they are switched over, and a segment is emptied as a whole once every
 * reader's frontier absorbs all that is in it.
 *
 * Emptying needs AccessExclusiveLock, taken only where it is free: nobody
 * queues behind us.  Under it no writer of the segment is unfinished, and a
 * look with the latest snapshot sees all that is left.  A writer with a stale
 * cache may append to the segment that was switched from, even after it was
 * emptied; readers look into both, so nothing is lost, and the segment is
 * emptied again later.  Readers hold AccessShareLock on both from before
 * their snapshot until they are done; a stream table being created holds it,
 * too, since its dependency cannot be seen here yet.
 *
 * Emptying gives the segment a new file in our transaction: a crash or error
 * in the middle leaves all as it was.
 */
#include "postgres.h"

#include "access/table.h"
#include "access/xact.h"
#include "catalog/index.h"
#include "pgstat.h"
#include "storage/bufmgr.h"
#include "storage/lmgr.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"

#include "applier/capture/buffer.h"
#include "applier/capture/capture.h"
#include "applier/catalog/catalog.h"
#include "applier/settings.h"
#include "decoder/compat.h"

/* A segment of this many pages has grown enough to be worth the catalog
 * changes that emptying costs. */
#define GROWN_PAGES 128

/* what became of the attempt to empty a segment */
typedef enum Emptied
{
	EMPTY,						/* nothing is in it (any more) */
	IN_USE,						/* somebody has it locked */
	NEEDED						/* a reader has not absorbed all of it */
} Emptied;

static BlockNumber
segment_pages(PgtBufferRef ref)
{
	Relation	heap = table_open(ref.heap, AccessShareLock);
	BlockNumber pages = RelationGetNumberOfBlocks(heap);

	table_close(heap, AccessShareLock);
	return pages;
}

/* A reader without a frontier has yet to be filled, and may be filling now
 * under a snapshot that we do not know: all is needed.  One that is marked for
 * rebuild reads its sources anew: nothing is, and a rebuild under way holds a
 * lock on the segments (attach.c) until it is no longer marked. */
static bool
needs_segment(const PgtDependency *d, Relation heap, Oid index)
{
	PgtStreamTable *st = pgt_stream_table_get(d->pgt_id, true);

	if (st == NULL || st->needs_reinit)
		return false;
	return pgt_segment_has_pending(heap, index,
								   pgt_progress_get(d->pgt_id)->frontier);
}

static bool
is_needed(Oid relid, Relation heap, Oid index)
{
	ListCell   *lc;

	foreach(lc, pgt_dependency_deferred(relid))
		if (needs_segment(lfirst(lc), heap, index))
			return true;
	return false;
}

static void
empty_segment(Relation heap)
{
	ReindexParams params = {0};

	pgt_set_new_relfilenumber(heap, heap->rd_rel->relpersistence);
	pgt_reindex_relation(RelationGetRelid(heap), 0, &params);
	pgstat_count_truncate(heap);
}

static Emptied
try_empty(Oid relid, PgtBufferRef ref)
{
	Relation	heap;
	Emptied		result = EMPTY;

	if (!ConditionalLockRelationOid(ref.heap, AccessExclusiveLock))
		return IN_USE;
	heap = try_table_open(ref.heap, NoLock);
	if (heap == NULL)
		return EMPTY;
	if (RelationGetNumberOfBlocks(heap) > 0)
	{
		if (is_needed(relid, heap, ref.index))
			result = NEEDED;
		else
			empty_segment(heap);
	}
	table_close(heap, NoLock);
	/* writers must not wait for what else is done in this transaction */
	if (result == NEEDED)
		UnlockRelationOid(ref.heap, AccessExclusiveLock);
	return result;
}

static bool
is_idle(const PgtStreamTable *st)
{
	return st != NULL && !st->needs_reinit &&
		(st->suspended || strcmp(st->status, "ERROR") == 0);
}

/*
 * A reader that nobody refreshes (suspended, or given up after errors) must not
 * fill the disk: past pg_trickle.buffer_alert_threshold pending changes it
 * is marked for rebuild and loses its claim.  One that a session has in hand is
 * left for the next time: it may be about to resume it.
 */
static void
give_up_reader(Oid relid, const PgtDependency *d)
{
	PgtStreamTable *st;
	int64		pending;
	int64		bytes;
	TimestampTz oldest;
	TimestampTz last;

	if (!is_idle(pgt_stream_table_get(d->pgt_id, true)) ||
		!pgt_stream_table_lock(d->pgt_id, false))
		return;
	st = pgt_stream_table_get(d->pgt_id, true);
	if (!is_idle(st))
		return;
	pgt_buffer_stats(relid, pgt_progress_get(d->pgt_id)->frontier, &pending,
					 &bytes, &oldest, &last);
	if (pending <= pgt_buffer_alert_threshold)
		return;
	pgt_stream_table_set_status(d->pgt_id, st->status, true,
								psprintf("more than %d changes of \"%s\" were waiting while it was not refreshed",
										 pgt_buffer_alert_threshold,
										 get_rel_name(relid)));
}

static void
give_up_readers(Oid relid)
{
	ListCell   *lc;

	foreach(lc, pgt_dependency_deferred(relid))
		give_up_reader(relid, lfirst(lc));
}

/* Writers go to the other segment from their next transactions on. */
static bool
switch_writers(Oid relid, PgtBufferRef first)
{
	PgtSource  *source;

	if (!ConditionalLockRelationOid(first.heap, ShareUpdateExclusiveLock))
		return false;
	source = pgt_source_get(relid, true);
	if (source == NULL)
		return true;
	source->segment = 1 - source->segment;
	source->switched_at = GetTopFullTransactionId();
	pgt_source_update(source);
	return true;
}

static bool
clean(Oid relid)
{
	PgtSource  *source = pgt_source_get(relid, true);
	PgtBufferRef ref[PGT_BUFFER_SEGMENTS];
	Emptied		idle = EMPTY;

	if (source == NULL)
		return true;
	for (int i = 0; i < PGT_BUFFER_SEGMENTS; i++)
	{
		ref[i] = pgt_buffer_ref(relid, i);
		if (!OidIsValid(ref[i].heap))
			return true;
	}
	if (segment_pages(ref[1 - source->segment]) > 0)
		idle = try_empty(relid, ref[1 - source->segment]);
	if (idle == NEEDED)
		give_up_readers(relid);
	if (segment_pages(ref[source->segment]) < GROWN_PAGES)
		return idle != IN_USE;

	/* with no writer about, the grown one can be emptied where it is */
	if (try_empty(relid, ref[source->segment]) == EMPTY)
		return idle != IN_USE;
	if (idle != EMPTY)
		return false;
	give_up_readers(relid);
	return switch_writers(relid, ref[0]);
}

bool
pgt_buffer_clean(Oid relid)
{
	bool		own_transaction = !IsTransactionState();
	bool		done;

	if (own_transaction)
		StartTransactionCommand();
	done = clean(relid);
	if (own_transaction)
		CommitTransactionCommand();
	return done;
}
