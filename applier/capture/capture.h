/*
 * applier/capture/capture.h - what other modules ask of capture.
 *
 * Sources are captured by C triggers into change buffers
 * pgtrickle_changes.changes_<source oid>_<segment>; stream tables that others
 * read get their delta appended by the refresh that made it.
 */
#ifndef PGT_CAPTURE_H
#define PGT_CAPTURE_H

#include "postgres.h"
#include "access/attnum.h"
#include "access/tupdesc.h"
#include "datatype/timestamp.h"
#include "nodes/pg_list.h"
#include "storage/lockdefs.h"
#include "utils/tuplestore.h"

#include "applier/catalog/frontier.h"

/*
 * Begin to capture a source, or widen what is captured, so that at least
 * columns[] (ascending attribute numbers, may be empty: multiplicities only)
 * are recorded from now on.  Takes ShareRowExclusiveLock on the relation and
 * its whole inheritance tree until commit, so that on return every earlier
 * writer has ended and every later one is captured; take the fill's snapshot
 * after.  is_stream_table: no triggers, only a buffer.
 */
extern void pgt_capture_start(Oid relid, const AttrNumber *columns,
							  int ncolumns, bool is_stream_table);

/* The last reader is gone (pgt_dependencies has none): drop triggers, buffer,
 * catalog row.  No-op when readers are left or the relation is not captured. */
extern void pgt_capture_stop_if_unused(Oid relid);

/* A gate that stops capture was shut (opened) in this transaction: triggers go
 * (come back, and the buffer says that changes were lost).  Takes
 * AccessExclusiveLock (ShareRowExclusiveLock) on the tree until commit. */
extern void pgt_capture_gate(Oid relid);
extern void pgt_capture_ungate(Oid relid);

/* New leaves, children or sub-partitions: put triggers where they are missing. */
extern void pgt_capture_repair(Oid relid);

/* The same for every source: subscriptions may write to others than before. */
extern void pgt_capture_repair_all(void);

/* ---- IMMEDIATE stream tables: maintain.c ---- */

/* Form in which a relation's changes reach its IMMEDIATE readers. */
typedef enum PgtMaintainForm
{
	PGT_MAINTAIN_NONE, PGT_MAINTAIN_STATEMENT, PGT_MAINTAIN_ROW
} PgtMaintainForm;
extern PgtMaintainForm pgt_maintain_form(Oid relid);

/*
 * Put the triggers on a source that an IMMEDIATE stream table reads; a stream
 * table as source needs none.  Takes ShareRowExclusiveLock on the source and its whole
 * tree until commit, whatever is there already: on return every earlier writer
 * has ended and every later one knows the new reader.
 */
extern void pgt_maintain_start(Oid relid, bool is_stream_table);
/* That lock alone.  False: !wait, and somebody is in the way. */
extern bool pgt_maintain_lock(Oid relid, LOCKMODE lockmode, bool wait);
/* relid, then everything it inherits from, nearest first, each once */
extern List *pgt_lineage(Oid relid);

typedef struct PgtBufferRead
{
	int64		changes;		/* tuples put into the tuplestore */
	int64		recorded;		/* changes in the batches: an update is one */
	int64		bytes;			/* of buffer data read */
	bool		truncated;		/* a TRUNCATE was among them */
	bool		lost;			/* capture could not record something */
	bool		updates_or_deletes; /* anything but inserts */
	char	   *lost_reason;
} PgtBufferRead;

/*
 * Put the changes of a source that "to" absorbs and "from" does not into a
 * tuplestore of the given descriptor: the source's columns[] in that order,
 * then the weight (int8, +1 inserted, -1 deleted; an UPDATE is both, the
 * deletion first).  Reads with the latest snapshot (DESIGN.md section 3).
 * Own transaction's batches are found too, by frontier rule.
 */
extern void pgt_buffer_read(Oid relid, const PgtFrontier *from,
							const PgtFrontier *to,
							const AttrNumber *columns, int ncolumns,
							TupleDesc desc, Tuplestorestate *into,
							PgtBufferRead *result);

/* Changes (an update is one) that "to" absorbs and "from" does not, from the
 * batches' headers alone; 0 when the buffer holds too little for that to be
 * worth a look. */
extern int64 pgt_buffer_count_many(Oid relid, const PgtFrontier *from,
								   const PgtFrontier *to);

/* Is there any batch "from" does not absorb?  Stops at the first. */
extern bool pgt_buffer_has_pending(Oid relid, const PgtFrontier *from);

/* Append a delta (columns in "columns" order of the relation, then weight
 * int8) to the buffer of a stream table that others read; no-op when none
 * does.  truncate: readers must rebuild by difference. */
extern void pgt_buffer_append_delta(Oid relid, Tuplestorestate *delta,
									TupleDesc desc);
extern void pgt_buffer_append_lost(Oid relid, const char *reason);

/* Pending changes over all consumers: for monitoring; reads the buffer's headers. */
extern void pgt_buffer_stats(Oid relid, const PgtFrontier *from, int64 *pending,
							 int64 *bytes, TimestampTz *oldest_pending,
							 TimestampTz *last_change);

/*
 * PgQ-style clean-up: when all consumers have absorbed a segment, empty it;
 * switch writers to the other one when the current has grown.  Conditional
 * locks only: returns false when somebody was in the way (try again later).
 * Runs in its own short transaction of a worker, no snapshot held on entry.
 */
extern bool pgt_buffer_clean(Oid relid);

/* Number of change batches the current transaction has written so far, over
 * all sources (batches are numbered per transaction from 1). */
extern int32 pgt_capture_own_batches(void);

/* ---- who is told that a source changed (shared memory; see touched.c) ---- */
typedef void (*PgtTouchedHook) (Oid dboid, Oid relid);

/* Called by triggers and by refreshes: at this transaction's commit, relid is
 * reported changed through pgt_capture_touched_hook (once per relation). */
extern void pgt_capture_touch(Oid relid);
/* Set by schedule/: called in XACT_EVENT_COMMIT, must not fail or block.
 * relid InvalidOid: unknown sources (COMMIT PREPARED). */
extern PgtTouchedHook pgt_capture_touched_hook;
extern void pgt_capture_init(void); /* from _PG_init: transaction callbacks */

#endif							/* PGT_CAPTURE_H */
