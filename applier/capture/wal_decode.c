/*
 * applier/capture/wal_decode.c - the decoder: WAL in, batches out to the
 * buffers, in one process per database.
 *
 * One decoding context lives as long as the process.  The WAL is read and
 * replayed outside of transactions, as a walsender does: core opens one for
 * each transaction that it replays and rolls it back.  What the plugin says is
 * caught in a spool that belongs to none of them, and written afterwards in a
 * transaction of our own (wal_write.c).  No SQL is run.
 *
 * Replaying looks into the catalogs of the past, writing into those of today,
 * and both fill the same caches.  They are emptied between the two, unless
 * both are known to see the same: no invalidation has come since a point in
 * the WAL that everything still to be decoded lies behind.
 *
 * The slot is confirmed only up to a position whose commit is flushed, and
 * positions move when batches are written or when much WAL has passed that
 * concerns nobody here, so that a quiet database holds back neither WAL nor the
 * removal of dead catalog rows.
 *
 * Commits are asynchronous: a position, and the batches it stands for, are
 * lost together in a crash and decoded again; who has read them has committed
 * later, and is lost as well.
 *
 * An ERROR anywhere ends the process; the next one goes on at the position.
 */
#include "postgres.h"

#include "access/xact.h"
#include "access/xlog.h"
#include "access/xlog_internal.h"
#include "access/xlogreader.h"
#include "access/xlogutils.h"
#include "miscadmin.h"
#include "nodes/makefuncs.h"
#include "pgstat.h"
#include "replication/decode.h"
#include "replication/logical.h"
#include "replication/reorderbuffer.h"
#include "replication/slot.h"
#include "storage/latch.h"
#include "storage/sinval.h"
#include "utils/inval.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "applier/capture/cdc.h"
#include "applier/capture/wal_internal.h"
#include "applier/settings.h"
#include "decoder/compat.h"

/* Batches are written when so many bytes have come together ... */
#define WRITE_BYTES			(4 * 1024 * 1024)
/* ... and a position alone when so much WAL has passed, at a timeout: */
#define IDLE_ADVANCE		(64 * 1024)
#define IDLE_MS				10000
#define UNSETTLED_MS		1000
/* between flushes for unflushed commits: at least so long, and twice as long
 * as the last one took, so that they keep the disk busy a third of the time */
#define FLUSH_PAUSE_US		1000
#define RECORDS_PER_LOOK	1024

typedef struct Decoder
{
	LogicalDecodingContext *ctx;
	PgtSpool   *spool;
	XLogRecPtr	begin;			/* nothing before it comes out */
	XLogRecPtr	saved;			/* position in pgt_decoder */
	/* a position whose commit is not known to be flushed; or invalid */
	XLogRecPtr	unconfirmed;
	XLogRecPtr	unconfirmed_commit;
	/* caches: invalidations received, catalogs did not change after ... */
	uint64		invalidations;
	XLogRecPtr	changed_before;
	bool		mixed;			/* ... and past and present may differ */
	bool		unflushed;		/* commits wait to be flushed for */
	MemoryContext pass;			/* reset at each step */
	TimestampTz next_flush;		/* not before */
} Decoder;

static Decoder self;

/* ---- reading the WAL ---- */

/* Flushed WAL only, never waiting: -1 at its end. */
static int
read_page(XLogReaderState *state, XLogRecPtr page, int wanted,
		  XLogRecPtr record, char *buffer)
{
	TimeLineID	current;
	TimeLineID	tli;
	XLogRecPtr	end = GetFlushRecPtr(&current);
	WALReadError error;
	int			count;

	XLogReadDetermineTimeline(state, page, wanted, current);
	tli = state->currTLI;
	/* a time line that was left: its WAL ends where the next one begins */
	if (tli != current)
		end = state->currTLIValidUntil;
	if (page + wanted > end)
		return -1;
	count = Min(XLOG_BLCKSZ, end - page);
	if (!WALRead(state, buffer, page, count, tli, &error))
		WALReadRaiseError(&error);
	return count;
}

static void
prepare_write(LogicalDecodingContext *ctx, XLogRecPtr lsn, TransactionId xid,
			  bool last_write)
{
	resetStringInfo(ctx->out);
}

/* In core's transaction: only memory that is not its, and files. */
static void
catch_batch(LogicalDecodingContext *ctx, XLogRecPtr lsn, TransactionId xid,
			bool last_write)
{
	pgt_spool_add(self.spool, ctx->out->data, ctx->out->len);
	pg_atomic_fetch_add_u64(&pgt_wal_place->progress, 1);
}

/* The context is made in a transaction, or core would mark this process as one
 * whose snapshots hold back nothing: those of its writing transactions must. */
static void
make_context(XLogRecPtr position)
{
	MemoryContext context = AllocSetContextCreate(TopMemoryContext,
												  "pg_trickle decoder",
												  ALLOCSET_DEFAULT_SIZES);
	List	   *options;

	StartTransactionCommand();
	MemoryContextSwitchTo(context);
	options = list_make1(makeDefElem("catalog", (Node *) makeString("on"), -1));
	self.ctx = CreateDecodingContext(position, options, false,
									 XL_ROUTINE(.page_read = read_page,
												.segment_open = wal_segment_open,
												.segment_close = wal_segment_close),
									 prepare_write, catch_batch, NULL);
	self.spool = pgt_spool_create(context);
	CommitTransactionCommand();
	MemoryContextSwitchTo(context);
	XLogBeginRead(self.ctx->reader, MyReplicationSlot->data.restart_lsn);
}

/* ---- beginning ---- */

static bool
is_wanted(void)
{
	bool		wanted;

	StartTransactionCommand();
	wanted = pgt_extension_installed() && pgt_wal_any_source();
	CommitTransactionCommand();
	return wanted;
}

/* Nobody wants a decoder: the slot goes, and what is written about it. */
static bool
clear_away(void)
{
	if (is_wanted())
		return false;
	if (MyReplicationSlot != NULL)
		ReplicationSlotRelease();
	if (!pgt_wal_drop_slot())
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_IN_USE),
				 errmsg("replication slot \"%s\" is in use", pgt_cdc_slot_name()),
				 errdetail("No source is captured from the WAL any more; the slot is to be dropped.")));
	StartTransactionCommand();
	if (pgt_extension_installed())
		pgt_decoder_delete();
	CommitTransactionCommand();
	return true;
}

bool
pgt_wal_begin(void)
{
	PgtWalStart start = {0};

	if (clear_away())
		return false;
	pgt_wal_open_slot(&start);
	PGT_CRASH_POINT("slot");
	make_context(start.position);
	if (start.fresh)
		pgt_wal_write_start(start.position, start.lost_reason);
	pgt_wal_watch_running();
	self.begin = start.position;
	self.saved = start.position;
	/* what a decoder before us had written and not confirmed */
	if (MyReplicationSlot->data.confirmed_flush < start.position)
	{
		self.unconfirmed = start.position;
		self.unconfirmed_commit = pgt_wal_end();
	}
	self.pass = AllocSetContextCreate(TopMemoryContext, "pg_trickle decoder pass",
									  ALLOCSET_DEFAULT_SIZES);
	self.mixed = true;
	self.invalidations = SharedInvalidMessageCounter;
	self.changed_before = GetXLogInsertRecPtr();
	InvalidateSystemCaches();
	pgt_wal_set_state(PGT_WAL_RUNNING);
	ereport(LOG,
			(errmsg("pg_trickle decodes from %X/%X for database %u",
					LSN_FORMAT_ARGS(start.position), MyDatabaseId)));
	return true;
}

bool
pgt_wal_is_still_wanted(void)
{
	bool		wanted;

	/* today's catalogs */
	InvalidateSystemCaches();
	wanted = is_wanted();
	InvalidateSystemCaches();
	return wanted;
}

void
pgt_wal_close(bool for_good)
{
	if (self.ctx != NULL)
		FreeDecodingContext(self.ctx);
	self.ctx = NULL;
	if (MyReplicationSlot != NULL)
		ReplicationSlotRelease();
	InvalidateSystemCaches();
	if (for_good)
		(void) clear_away();
}

/* ---- caches ---- */

/* A transaction that began earlier is replayed with the catalogs of then. */
static bool
decodes_behind(XLogRecPtr lsn)
{
	ReorderBufferTXN *oldest = ReorderBufferGetOldestTXN(self.ctx->reorder);

	return self.ctx->reader->EndRecPtr >= lsn &&
		(oldest == NULL || oldest->first_lsn >= lsn);
}

/* Between decoding and writing, in either direction. */
static void
change_time(void)
{
	bool		behind;

	AcceptInvalidationMessages();
	if (SharedInvalidMessageCounter != self.invalidations)
	{
		self.invalidations = SharedInvalidMessageCounter;
		self.changed_before = GetXLogInsertRecPtr();
		self.mixed = true;
	}
	if (!self.mixed)
		return;
	behind = decodes_behind(self.changed_before);
	InvalidateSystemCaches();
	self.mixed = !behind;
}

/* ---- working ---- */

static void
confirm(void)
{
	if (XLogRecPtrIsInvalid(self.unconfirmed) ||
		self.unconfirmed_commit > GetFlushRecPtr(NULL))
		return;
	PGT_CRASH_POINT("flushed");
	LogicalConfirmReceivedLocation(self.unconfirmed);
	PGT_CRASH_POINT("confirmed");
	self.unconfirmed = InvalidXLogRecPtr;
}

/* A position that waits for its commit's flush is not replaced by a later one,
 * or none would ever be confirmed. */
static void
save(void)
{
	XLogRecPtr	position = self.ctx->reader->EndRecPtr;

	PGT_CRASH_POINT("decoded");
	change_time();
	pgt_wal_write(self.spool, position);
	PGT_CRASH_POINT("committed");
	pgt_spool_reset(self.spool);
	change_time();
	self.saved = position;
	confirm();
	if (!XLogRecPtrIsInvalid(self.unconfirmed))
		return;
	self.unconfirmed = position;
	self.unconfirmed_commit = XactLastCommitEnd;
}

static void
publish(void)
{
	XLogRecPtr	end = self.ctx->reader->EndRecPtr;

	if (end >= self.begin)
		pgt_wal_publish(end);
}

static bool
is_interrupted(void)
{
	CHECK_FOR_INTERRUPTS();
	pg_atomic_fetch_add_u64(&pgt_wal_place->progress, 1);
	return pg_atomic_read_u32(&pgt_wal_place->leave) != 0;
}

/* Next record, replayed; false at the end of the flushed WAL. */
static bool
decode_record(void)
{
	/* a large record is kept in memory until the next one is read */
	MemoryContext old = MemoryContextSwitchTo(self.ctx->context);
	char	   *error = NULL;
	XLogRecord *record = XLogReadRecord(self.ctx->reader, &error);

	MemoryContextSwitchTo(old);
	if (error != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_DATA_CORRUPTED),
				 errmsg("could not read WAL at %X/%X: %s",
						LSN_FORMAT_ARGS(self.ctx->reader->EndRecPtr), error)));
	if (record == NULL)
		return false;
	LogicalDecodingProcessRecord(self.ctx, self.ctx->reader);
	return true;
}

/* All WAL before end; false: asked to leave. */
static bool
decode_until(XLogRecPtr end)
{
	int			records = 0;

	while (self.ctx->reader->EndRecPtr < end && decode_record())
	{
		if (pgt_spool_bytes(self.spool) >= WRITE_BYTES)
		{
			save();
			publish();
		}
		if (++records % RECORDS_PER_LOOK == 0 && is_interrupted())
			return false;
	}
	if (pgt_spool_bytes(self.spool) > 0 ||
		self.ctx->reader->EndRecPtr >= self.saved + wal_segment_size)
		save();
	publish();
	return true;
}

/* ---- sleeping ---- */

/* Unflushed commits: flush for them, but not for each one. */
static void
flush_if_due(void)
{
	TimestampTz start = GetCurrentTimestamp();
	TimestampTz end;

	if (start < self.next_flush)
		return;
	(void) pgt_wal_end();
	end = GetCurrentTimestamp();
	self.next_flush = end + Max(FLUSH_PAUSE_US, 2 * (end - start));
	self.unflushed = false;
}

static long
sleep_for(bool watching)
{
	if (self.unflushed)
		return TimestampDifferenceMilliseconds(GetCurrentTimestamp(),
											   self.next_flush);
	if (watching || !XLogRecPtrIsInvalid(self.unconfirmed))
		return UNSETTLED_MS;
	return IDLE_MS;
}

static bool
has_work(void)
{
	return pg_atomic_read_u32(&pgt_wal_place->commits) != PGT_WAL_CLEAN ||
		pg_atomic_read_u32(&pgt_wal_place->look) != 0 ||
		pg_atomic_read_u32(&pgt_wal_place->leave) != 0;
}

static void
sleep_until_woken(bool watching, uint32 wait_event)
{
	int			why = 0;

	pg_atomic_exchange_u32(&pgt_wal_place->asleep, 1);
	if (!has_work())
		why = WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH,
						sleep_for(watching), wait_event);
	pg_atomic_exchange_u32(&pgt_wal_place->asleep, 0);
	if ((why & WL_TIMEOUT) &&
		self.ctx->reader->EndRecPtr >= self.saved + IDLE_ADVANCE)
		save();
}

PgtWalStep
pgt_wal_step(uint32 wait_event)
{
	bool		watching;

	MemoryContextReset(self.pass);
	MemoryContextSwitchTo(self.pass);
	ResetLatch(MyLatch);
	if (pg_atomic_read_u32(&pgt_wal_place->leave) != 0)
		return PGT_WAL_LEAVE;
	if (pg_atomic_exchange_u32(&pgt_wal_place->look, 0) != 0)
		return PGT_WAL_LOOK;
	if (pg_atomic_exchange_u32(&pgt_wal_place->commits, PGT_WAL_CLEAN) == PGT_WAL_UNFLUSHED)
		self.unflushed = true;
	if (self.unflushed)
		flush_if_due();
	if (!decode_until(GetFlushRecPtr(NULL)))
		return PGT_WAL_LEAVE;
	pg_atomic_write_u64(&pgt_wal_place->caught_up_at, GetCurrentTimestamp());
	confirm();
	watching = pgt_wal_watch();
	(void) pgstat_report_stat(false);
	sleep_until_woken(watching, wait_event);
	return PGT_WAL_SLEPT;
}
