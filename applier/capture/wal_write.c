/*
 * applier/capture/wal_write.c - decoded batches into the buffers.
 *
 * Batches and the position they reach are written in one transaction, so after
 * a crash both are there or neither (DESIGN.md I3).  A transaction of the
 * source's writers is always written as a whole: readers never see a part.
 *
 * What a batch is for is decided here by pgt_sources as it is now: a source
 * that is gone, or not captured from the WAL, wants nothing, and what the
 * hand-over's H absorbs came from triggers.
 *
 * A commit is decoded before it is visible: mostly for microseconds, with a
 * synchronous standby for as long as that is away.  Its source is reported to
 * the scheduler when its batches are written, as any, and again once the
 * transaction has become visible, for the refresh in between did not take it.
 *
 * Memory: what is opened for a transaction goes with it; the watched
 * transactions live in a context of their own.
 */
#include "postgres.h"

#include "access/xact.h"
#include "access/xlog.h"
#include "miscadmin.h"
#include "storage/procarray.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "applier/capture/buffer.h"
#include "applier/capture/capture.h"
#include "applier/capture/cdc.h"
#include "applier/capture/wal_internal.h"
#include "applier/settings.h"
#include "decoder/wire.h"

/* Where a source's batches go. */
typedef struct Destination
{
	Oid			source;
	PgtFrontier *handover;		/* H */
	PgtBufferAppender *appender;	/* NULL: nowhere */
} Destination;

/* A source to report once xid is visible; InvalidOid: any. */
typedef struct Watched
{
	TransactionId xid;
	Oid			source;
} Watched;

static MemoryContext watch_context = NULL;
static Watched *watched = NULL;
static int	nwatched = 0;
static int	watched_size = 0;

/* ---- transactions that are not visible yet ---- */

/* Asked before the source is reported: what is visible now, whoever is told
 * will see. */
static void
watch(TransactionId xid, Oid source)
{
	if (!TransactionIdIsInProgress(xid))
		return;
	if (watch_context == NULL)
		watch_context = AllocSetContextCreate(TopMemoryContext,
											  "pg_trickle watched transactions",
											  ALLOCSET_DEFAULT_SIZES);
	if (nwatched == watched_size)
	{
		int			size = Max(64, watched_size * 2);

		watched = watched ? repalloc(watched, sizeof(Watched) * size) :
			MemoryContextAlloc(watch_context, sizeof(Watched) * size);
		watched_size = size;
	}
	watched[nwatched++] = (Watched) {xid, source};
}

bool
pgt_wal_watch(void)
{
	int			left = 0;

	for (int i = 0; i < nwatched; i++)
	{
		if (TransactionIdIsInProgress(watched[i].xid))
			watched[left++] = watched[i];
		else if (pgt_capture_touched_hook)
			pgt_capture_touched_hook(MyDatabaseId, watched[i].source);
	}
	nwatched = left;
	return left > 0;
}

/* A decoder before us may have written batches of these. */
void
pgt_wal_watch_running(void)
{
	Snapshot	snapshot;

	StartTransactionCommand();
	snapshot = GetLatestSnapshot();
	for (uint32 i = 0; i < snapshot->xcnt; i++)
		watch(snapshot->xip[i], InvalidOid);
	CommitTransactionCommand();
}

/* ---- writing ---- */

static Destination *
open_destination(Oid relid)
{
	Destination *d = palloc0(sizeof(Destination));
	PgtSource  *source = pgt_source_get(relid, true);
	PgtBufferRef ref;

	d->source = relid;
	if (source == NULL || !pgt_cdc_is_wal(source))
		return d;
	ref = pgt_buffer_ref(relid, source->segment);
	if (!OidIsValid(ref.heap) || !OidIsValid(ref.index))
		return d;
	d->appender = pgt_buffer_open(&ref);
	/* it may have been dropped while we waited for the lock */
	source = pgt_source_get(relid, true);
	if (d->appender != NULL && source == NULL)
	{
		pgt_buffer_close(d->appender);
		d->appender = NULL;
	}
	else if (source != NULL)
		d->handover = source->handover;
	return d;
}

static Destination *
destination_of(List **destinations, Oid relid)
{
	ListCell   *lc;
	Destination *d;

	foreach(lc, *destinations)
		if (((Destination *) lfirst(lc))->source == relid)
			return lfirst(lc);
	d = open_destination(relid);
	*destinations = lappend(*destinations, d);
	return d;
}

static void
close_destinations(List *destinations)
{
	ListCell   *lc;

	foreach(lc, destinations)
	{
		Destination *d = lfirst(lc);

		if (d->appender != NULL)
			pgt_buffer_close(d->appender);
	}
}

static void
write_batches(PgtSpool *spool)
{
	List	   *destinations = NIL;
	TimestampTz now = GetCurrentTimestamp();
	FullTransactionId xid = InvalidFullTransactionId;
	Destination *last = NULL;
	int32		batch = 0;
	const char *data;
	Size		len;

	pgt_spool_rewind(spool);
	while (pgt_spool_next(spool, &data, &len))
	{
		PgtWireHeader header;
		Destination *d;

		CHECK_FOR_INTERRUPTS();
		pg_atomic_fetch_add_u64(&pgt_wal_place->progress, 1);
		pgt_wire_read_header(data, len, &header);
		if (!FullTransactionIdEquals(header.xid, xid))
		{
			xid = header.xid;
			batch = PGT_WAL_FIRST_BATCH;
			last = NULL;
		}
		d = destination_of(&destinations, header.source);
		if (d->appender == NULL || pgt_frontier_absorbs(d->handover, xid, 1))
			continue;
		pgt_buffer_add(d->appender, &header, batch++, now, data);
		pg_atomic_fetch_add_u64(&pgt_wal_place->changes, header.nchanges);
		pg_atomic_fetch_add_u64(&pgt_wal_place->bytes, len);
		pgt_capture_touch(d->source);
		if (d != last)
			watch(XidFromFullTransactionId(xid), d->source);
		last = d;
	}
	close_destinations(destinations);
}

static void
store_position(XLogRecPtr position, bool fresh, const char *lost_reason)
{
	PgtDecoder *row = pgt_decoder_get();

	if (row == NULL && !fresh)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("the position of the decoder has been removed")));
	if (row == NULL)
		row = palloc0(sizeof(PgtDecoder));
	row->position = position;
	if (fresh)
	{
		row->system_identifier = GetSystemIdentifier();
		row->database_oid = MyDatabaseId;
		row->created_at = GetCurrentTimestamp();
	}
	if (lost_reason != NULL)
	{
		row->n_lost++;
		row->last_lost = pstrdup(lost_reason);
	}
	pgt_decoder_put(row);
}

void
pgt_wal_write(PgtSpool *spool, XLogRecPtr position)
{
	SetCurrentStatementStartTimestamp();
	StartTransactionCommand();
	write_batches(spool);
	PGT_CRASH_POINT("written");
	store_position(position, false, NULL);
	PGT_CRASH_POINT("stored");
	CommitTransactionCommand();
}

void
pgt_wal_write_start(XLogRecPtr position, const char *reason)
{
	ListCell   *lc;

	SetCurrentStatementStartTimestamp();
	StartTransactionCommand();
	if (reason != NULL)
	{
		ereport(WARNING,
				(errmsg("pg_trickle missed changes: %s", reason),
				 errdetail("Stream tables that read from the WAL are rebuilt.")));
		foreach(lc, pgt_source_all())
		{
			PgtSource  *source = lfirst(lc);

			if (pgt_cdc_is_wal(source))
				pgt_buffer_append_lost(source->relid, reason);
		}
	}
	store_position(position, true, reason);
	CommitTransactionCommand();
}
