/*
 * applier/capture/wal.h - capture from the WAL, seen from outside: the contract
 * between the decoder worker, the hand-over, refreshes and the scheduler.
 *
 * One decoder process per database pulls change batches from one slot,
 * pg_trickle_<database oid>, and puts them into the same buffers that triggers
 * fill, tagged with the writer's top-level xid.
 *
 * States of a source (pgt_sources.cdc_mode).  The hand-over writes them, in
 * transactions that hold AccessExclusiveLock on the source's tree; whoever
 * holds any lock on the source can rely on the state he read.
 *
 *   TRIGGER        triggers capture.
 *   TRANSITIONING  triggers capture; a decoder is wanted.  While any source is
 *                  TRANSITIONING or WAL the scheduler keeps one running, and
 *                  the decoder makes the slot.
 *   WAL            the decoder captures.  Only from TRANSITIONING, when
 *                  pgt_wal_is_running() says so under the lock.  The same
 *                  transaction sets capture_form to "none", which takes the
 *                  triggers off, and handover to H, the frontier of a snapshot
 *                  taken under the lock.  Batches of transactions that H
 *                  absorbs came from triggers: the decoder drops them.
 *   (back)         under the lock, pgt_wal_wait(pgt_wal_end()) first, so that
 *                  all that earlier writers did is in the buffer; then mode
 *                  TRIGGER, capture_form as the tree needs it, handover NULL,
 *                  triggers.  Where the decoder cannot get there, a
 *                  pgt_buffer_append_lost() in its place.
 *
 * The decoder drops the slot when no source wants it any more.  When the slot
 * was lost it makes another one, waits until every transaction that ran then
 * has ended, and writes "lost" to the buffers of all WAL sources.
 *
 * Batches of the decoder are numbered from PGT_WAL_FIRST_BATCH: a frontier
 * counts its own transaction's batches from 1 (triggers), and those of the
 * decoder, which come after the commit, must never look absorbed by it.
 */
#ifndef PGT_WAL_H
#define PGT_WAL_H

#include "postgres.h"
#include "access/xlogdefs.h"
#include "datatype/timestamp.h"

#include "applier/catalog/catalog.h"

#define PGT_WAL_PLUGIN		"pg_trickle_decoder"
#define PGT_WAL_FIRST_BATCH	0x40000000
#define PGT_WAL_MESSAGE		512

/* ABSENT -> STARTING -> RUNNING -> ENDED -> STARTING ...  */
typedef enum PgtWalState
{
	PGT_WAL_ABSENT,				/* nobody wants a decoder here */
	PGT_WAL_STARTING,			/* on its way up, or making the slot */
	PGT_WAL_RUNNING,
	PGT_WAL_ENDED				/* to be started again, see the error */
} PgtWalState;

typedef struct PgtWalStatus
{
	PgtWalState state;
	int			pid;			/* 0: none */
	XLogRecPtr	reached;		/* buffers hold all commits before it */
	TimestampTz since;			/* of state */
	int64		changes;		/* written to buffers since it came up */
	int64		bytes;			/* of their batches */
	TimestampTz caught_up_at;	/* when it last had read all flushed WAL; or 0 */
	int			sqlerrcode;		/* why it ended last; 0: no error */
	char		message[PGT_WAL_MESSAGE];
} PgtWalStatus;

/* State of a database's decoder; works in every process. */
extern void pgt_wal_status(Oid dboid, PgtWalStatus *status);
extern bool pgt_wal_is_running(void);	/* of this database */

/* The end of all WAL inserted so far, flushed: what every transaction visible
 * now has written lies before it. */
extern XLogRecPtr pgt_wal_end(void);

/*
 * Wait until the buffers hold everything before lsn, or somebody gives up:
 * decoder not running for patience_ms, or no sign of progress for so long.
 * No lock of the lock manager is taken.  False: *why says it in a sentence.
 */
extern bool pgt_wal_wait(XLogRecPtr lsn, int patience_ms, char **why);
/* How many bytes the decoder has still to read; of WAL inserted so far. */
extern uint64 pgt_wal_lag(void);

/* Does any source of this database want one, or is there something of one to
 * be cleared away?  Needs a transaction. */
extern bool pgt_wal_decoder_wanted(void);

/* ---- the slot (its name: cdc.h) ---- */
/* Drop this database's slot if it is there, is ours and nobody holds it; false:
 * somebody does.  Outside of transactions that have written. */
extern bool pgt_wal_drop_slot(void);

/* ---- for the library's start and for the processes of schedule/ ---- */
extern void pgt_wal_shared_request(void);
extern void pgt_wal_shared_startup(void);
extern void pgt_wal_init(void);
/* This process writes nothing that sources hold: its commits wake nobody. */
extern bool pgt_wal_quiet;

/* The scheduler: a place for a decoder to be started (-1: there is one, or no
 * room); what became of it; take the place back when it could not start. */
extern int	pgt_wal_reserve(uint32 *generation);
extern void pgt_wal_unreserve(int slot, uint32 generation);
extern void pgt_wal_forget(void);	/* no decoder is wanted here */
/* Its sources may have changed: look. */
extern void pgt_wal_tell(void);
/* Ask a database's decoder to leave; false: there is none. */
extern bool pgt_wal_ask_to_leave(Oid dboid, bool insist);

/* The process: false, the scheduler gave this start up in the meantime. */
extern bool pgt_wal_attach(int slot, uint32 generation, Oid *dboid);
extern void pgt_wal_note_error(int sqlerrcode, const char *message);

typedef enum PgtWalStep
{
	PGT_WAL_SLEPT,				/* go on */
	PGT_WAL_LOOK,				/* the catalog may say something else now */
	PGT_WAL_LEAVE
} PgtWalStep;

/* The decoder's work; all outside of transactions, interrupts are the caller's
 * and ERRORs end the process. */

/* Take or make the slot, and say "lost" where changes were missed.  False: no
 * source wants a decoder; slot and row are gone. */
extern bool pgt_wal_begin(void);
/* Decode and write out what there is, then sleep until there is more. */
extern PgtWalStep pgt_wal_step(uint32 wait_event);
extern bool pgt_wal_is_still_wanted(void);
/* Let go of the slot; for good: drop it. */
extern void pgt_wal_close(bool for_good);

#endif							/* PGT_WAL_H */
