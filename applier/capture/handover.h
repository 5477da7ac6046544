/*
 * applier/capture/handover.h - a source's capture passes from triggers to the
 * WAL and back.
 */
#ifndef PGT_HANDOVER_H
#define PGT_HANDOVER_H

#include "postgres.h"

/*
 * Each of these is one step in the caller's transaction, which should end soon
 * after: the tree is locked against everybody.  lock_timeout is the caller's.
 * False: nothing was changed, the source is not in the state it was taken for.
 */

/* TRIGGER -> TRANSITIONING: a decoder is asked for, triggers go on. */
extern bool pgt_handover_announce(Oid relid);
/* TRANSITIONING -> TRIGGER: it did not come, and why. */
extern bool pgt_handover_give_up(Oid relid, const char *reason);
/* TRANSITIONING -> WAL: false also where the decoder does not run. */
extern bool pgt_handover_to_wal(Oid relid);

/*
 * WAL -> TRIGGER.  What writers have done so far is waited for, patience_ms
 * without any progress of the decoder; what it does not deliver by then, or
 * what is not in the WAL (incomplete), becomes a LOST batch: readers rebuild.
 */
extern bool pgt_handover_to_triggers(Oid relid, const char *reason,
									 bool incomplete, int patience_ms);

/*
 * After DDL on a table, in its transaction: can its sources still be captured
 * from the WAL?  A source without descendants goes back to triggers here, so
 * that nothing is written in between; others are left to the scheduler, to
 * which true says that there is something to look at.
 */
extern bool pgt_handover_after_ddl(Oid relid);

/*
 * A reader found changes of a source lost.  Where they come from the WAL and
 * the replica identity was taken for the word that rows are only inserted, that
 * is over: true, and the scheduler has something to look at.
 */
extern bool pgt_handover_note_lost(Oid relid);

#endif							/* PGT_HANDOVER_H */
