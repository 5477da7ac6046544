/*
 * applier/catalog/frontier.h - a frontier: which transactions a stream table
 * has absorbed (DESIGN.md section 3, invariant I1).
 *
 * A frontier is a snapshot in 64-bit xids plus, where the refreshing
 * transaction had written itself, that transaction's xid and how many of its
 * own change batches were absorbed.  Pure data: no locks, no catalog access.
 * All of it is one palloc'd chunk in the caller's context.
 */
#ifndef PGT_FRONTIER_H
#define PGT_FRONTIER_H

#include "postgres.h"
#include "access/transam.h"
#include "utils/snapshot.h"

typedef struct PgtFrontier
{
	FullTransactionId xmin;		/* every xid before is absorbed */
	FullTransactionId xmax;		/* no xid from here on is absorbed */
	FullTransactionId own_xid;	/* refreshing transaction, or invalid */
	int32		own_batches;	/* batches 1..n of own_xid are absorbed */
	uint32		nxip;
	FullTransactionId xip[FLEXIBLE_ARRAY_MEMBER];	/* sorted, in progress */
} PgtFrontier;

/* The frontier that snapshot S describes; the current transaction's own xid,
 * if it has one, counts as in progress, with own_batches of its batches
 * absorbed.  S must be an MVCC snapshot. */
extern PgtFrontier *pgt_frontier_from_snapshot(Snapshot s, int32 own_batches);

/* Is a batch (top-level xid, per-transaction number from 1) absorbed by f?
 * f == NULL (never filled) absorbs nothing. */
extern bool pgt_frontier_absorbs(const PgtFrontier *f, FullTransactionId xid,
								 int32 batch);

/* Does every transaction absorbed by "older" stand absorbed in "newer"? */
extern bool pgt_frontier_covers(const PgtFrontier *newer,
								const PgtFrontier *older);

/* pg_snapshot datums, as the catalog stores them (own_xid apart). */
extern Datum pgt_frontier_to_datum(const PgtFrontier *f);
extern PgtFrontier *pgt_frontier_from_datum(Datum snap,
											FullTransactionId own_xid,
											int32 own_batches);
#endif							/* PGT_FRONTIER_H */
