/*
 * applier/refresh/hold.h - what keeps the scheduler from refreshing a stream
 * table: gates and watermarks.
 */
#ifndef PGT_HOLD_H
#define PGT_HOLD_H

#include "postgres.h"
#include "nodes/pg_list.h"
#include "utils/snapshot.h"

/*
 * Is a source of the stream table, direct or through others, gated, or are two
 * of them in a watermark group that is not aligned?  As of the snapshot, so
 * that the answer belongs to the rows a refresh reads under it.  The reason as
 * a clause, palloc'd; NULL: nothing holds it.
 */
extern char *pgt_hold_reason(int64 pgt_id, Snapshot snapshot);

/* The first of the dependencies whose capture a gate has stopped, as of the
 * snapshot; InvalidOid: none.  Its changes are not in its buffer. */
extern Oid	pgt_hold_uncaptured(List *dependencies, Snapshot snapshot);

#endif							/* PGT_HOLD_H */
