/*
 * applier/refresh/internal.h - between the files of refresh/.
 */
#ifndef PGT_REFRESH_INTERNAL_H
#define PGT_REFRESH_INTERNAL_H

#include "utils/rel.h"

#include "applier/capture/capture.h"
#include "applier/dvm/dvm.h"
#include "applier/refresh/refresh.h"

/* program_cache.c: both inside the owner's identity (identity.h) */
extern PgtProgram *pgt_refresh_get_program(const PgtStreamTable *st);
extern PgtProgram *pgt_refresh_compile(const PgtStreamTable *st);

/* reinit.c: analyse the query's text again and make everything that follows
 * from it anew; returns the program.  Before the snapshot, as the owner. */
extern PgtProgram *pgt_refresh_reinitialise(PgtStreamTable *st);

/* columns.c */

/* Position (from 0) of the first column in which the table differs from the
 * query's result, -1 when none does. */
extern int	pgt_refresh_first_mismatch(TupleDesc query_desc, Relation rel);
/* 42804 when the stream table's columns are not those of the query. */
extern void pgt_refresh_check_columns(const Query *query, Relation rel);

/* cost.c */

/* Should AUTO run this delta as FULL?  changes: rows in all deltas; stored:
 * estimate of the rows the sources hold.  Says why in *reason when true. */
extern bool pgt_cost_prefers_full(const PgtProgress *p, int64 changes,
								  double source_rows, const char **reason);
/* Learn from a refresh that ran. */
/* Has the setting's number of differential refreshes gone by since FULL? */
extern bool pgt_cost_state_is_due(const PgtProgress *p, const char **reason);
extern void pgt_cost_learn(PgtProgress *p, bool full, int64 changes, double ms);

/* refresh.c: one refresh in the current transaction.  wait: for the refresh
 * lock; wait_for_tables: for locks on tables; without them SKIPPED.
 * allow_full_retry: run a class 22 error of the differential program again as
 * FULL, inside an internal subtransaction. */
extern void pgt_refresh_run(int64 pgt_id, PgtRefreshMode mode, bool wait,
							bool wait_for_tables, bool allow_full_retry,
							PgtRefreshResult *result);

/* One of several that are refreshed together. */
typedef struct PgtGroupMember
{
	int64		pgt_id;
	PgtRefreshMode mode;
	const char *reason;			/* for the mode, or NULL */
	PgtRefreshResult result;
} PgtGroupMember;

typedef enum PgtGroupCaller
{
	PGT_GROUP_WORKER,			/* waits for nobody, is held by gates */
	PGT_GROUP_SESSION			/* waits, and passes gates */
} PgtGroupCaller;

/*
 * Refresh the members, in the order given (upstream first), under one
 * snapshot: all locks first, then the snapshot, then each.  Where it cannot
 * have a lock, or a gate holds a member, all are SKIPPED.  *current: the member
 * under way, for whoever catches an error.
 */
extern void pgt_refresh_run_group(PgtGroupMember *members, int n,
								  PgtGroupCaller caller, int *current);

#endif							/* PGT_REFRESH_INTERNAL_H */
