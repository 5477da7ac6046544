/*
 * applier/capture/wal_internal.h - between the files capture/wal_*.c.
 */
#ifndef PGT_WAL_INTERNAL_H
#define PGT_WAL_INTERNAL_H

#include "postgres.h"
#include "access/transam.h"
#include "port/atomics.h"
#include "storage/condition_variable.h"
#include "storage/lwlock.h"

#include "applier/capture/wal.h"

/* what committing backends have to tell the decoder */
enum
{
	PGT_WAL_CLEAN = 0,
	PGT_WAL_FLUSHED = 1,		/* there are commits, in flushed WAL */
	PGT_WAL_UNFLUSHED = 2		/* and some that are not flushed */
};

/* A database's decoder.  Atomics are touched by anybody at any time; the rest
 * belongs to PgtWalShared.lock. */
typedef struct PgtWalPlace
{
	pg_atomic_uint32 dboid;		/* InvalidOid: free */
	pg_atomic_uint32 procno;	/* of the decoder + 1; 0: none */
	pg_atomic_uint32 commits;	/* see above; taken by the decoder */
	pg_atomic_uint32 asleep;	/* whoever clears it sets the latch */
	pg_atomic_uint32 leave;
	pg_atomic_uint32 look;		/* sources may have changed */
	pg_atomic_uint64 reached;	/* buffers hold all commits before it */
	pg_atomic_uint64 progress;	/* grows while the decoder works */
	pg_atomic_uint64 changes;	/* written to buffers since it came up */
	pg_atomic_uint64 bytes;		/* of their batches */
	pg_atomic_uint64 caught_up_at;	/* when it last had read all; or 0 */
	ConditionVariable moved;	/* reached or state changed */

	/* under the lock */
	PgtWalState state;
	uint32		generation;
	int			pid;
	TimestampTz since;
	int			sqlerrcode;
	char		message[PGT_WAL_MESSAGE];
} PgtWalPlace;

/* of this process when it is a decoder */
extern PgtWalPlace *pgt_wal_place;

extern void pgt_wal_set_state(PgtWalState state);
extern void pgt_wal_publish(XLogRecPtr reached);

/* wal_spool.c: batches between decoding and writing, in memory up to
 * decoder_work_mem, then in a temporary file. */
typedef struct PgtSpool PgtSpool;

extern PgtSpool *pgt_spool_create(MemoryContext context);
extern void pgt_spool_add(PgtSpool *spool, const char *data, Size len);
extern Size pgt_spool_bytes(const PgtSpool *spool);
extern void pgt_spool_rewind(PgtSpool *spool);
/* The next batch; valid until the next call.  False after the last. */
extern bool pgt_spool_next(PgtSpool *spool, const char **data, Size *len);
extern void pgt_spool_reset(PgtSpool *spool);

/* wal_slot.c */
extern bool pgt_wal_any_source(void);	/* that wants a decoder */
extern bool pgt_wal_slot_is_held(Oid dboid);

/* Acquire the slot, or make it: where decoding begins, and whether something
 * was lost before that, with the reason. */
typedef struct PgtWalStart
{
	XLogRecPtr	position;
	bool		fresh;			/* it is not in pgt_decoder yet */
	const char *lost_reason;	/* NULL: nothing was */
} PgtWalStart;

extern void pgt_wal_open_slot(PgtWalStart *start);

/* wal_write.c: everything in the spool into the buffers, and the position with
 * it, in one transaction. */
extern void pgt_wal_write(PgtSpool *spool, XLogRecPtr position);
/* The first position of a slot; reason: "lost" to all sources captured. */
extern void pgt_wal_write_start(XLogRecPtr position, const char *reason);
/* Transactions whose batches are written and that were not visible yet: report
 * their sources again when they are.  True while there are any. */
extern bool pgt_wal_watch(void);
extern void pgt_wal_watch_running(void);

#endif							/* PGT_WAL_INTERNAL_H */
