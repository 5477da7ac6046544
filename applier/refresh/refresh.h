/*
 * applier/refresh/refresh.h - one refresh of one stream table.
 */
#ifndef PGT_REFRESH_H
#define PGT_REFRESH_H

#include "postgres.h"

#include "applier/catalog/catalog.h"

typedef enum PgtRefreshMode
{
	PGT_REFRESH_DEFAULT,		/* as the stream table's effective mode says */
	PGT_REFRESH_DIFFERENTIAL,
	PGT_REFRESH_FULL
} PgtRefreshMode;

typedef struct PgtRefreshResult
{
	const char *action;			/* NO_DATA, DIFFERENTIAL, FULL, INITIALIZE, REINITIALIZE, SKIPPED */
	int64		rows_inserted;
	int64		rows_deleted;
	int64		changes_consumed;
	double		duration_ms;
	const char *reason;			/* why this action, or NULL */
	bool		append_only_reverted;	/* it is append_only no more */
} PgtRefreshResult;

/*
 * Refresh inside the caller's transaction (refresh_stream_table, create).
 * Rights have been checked.  wait: for the refresh lock, else SKIPPED.
 * Raises what goes wrong; nothing is changed then.
 */
extern void pgt_refresh_in_transaction(int64 pgt_id, PgtRefreshMode mode,
									   bool wait, const char *initiated_by,
									   PgtRefreshResult *result);

/* The same for several, upstream first, under one snapshot: all or none. */
extern void pgt_refresh_group_in_transaction(const int64 *pgt_ids, int n,
											 const char *initiated_by,
											 PgtRefreshResult *results);

typedef struct PgtRefreshFailure
{
	int			member;			/* which of them failed */
	bool		retry;			/* may trying again help? not for schema-level errors */
	char	   *message;
} PgtRefreshFailure;

/*
 * For workers: called outside a transaction.  Refreshes one stream table, or
 * several, upstream first, in one transaction under one snapshot.  Runs the
 * history rows' transaction, the refresh's transaction, and on error records
 * the failure (error counter and, after max_consecutive_errors, status ERROR of
 * the one that failed; history of all).  A class 22 error of a differential run
 * is tried once as FULL.  Never raises for a stream table's sake; returns false
 * on failure.  results: n of them.
 */
extern bool pgt_refresh_by_worker(const int64 *pgt_ids, int n,
								  PgtRefreshResult *results,
								  PgtRefreshFailure *failure);

/* Does the stream table have anything to absorb (pending batches, never
 * filled, marked for rebuild)?  Needs a transaction. */
extern bool pgt_refresh_is_needed(const PgtStreamTable *st);

/* FULL stream tables whose result changes without any captured change (volatile
 * or time-dependent functions, foreign tables, materialized views): due at
 * every tick of their schedule, changed or not.  Needs a transaction. */
extern bool pgt_refresh_ages_by_itself(const PgtStreamTable *st);

/* The analysed query of a stream table: the stored tree, or, when another
 * major version wrote it, the text parsed again. */
extern struct Query *pgt_refresh_load_query(const PgtStreamTable *st);

/* A compiled program to look at (explain_st); call pgt_program_free after. */
extern struct PgtProgram *pgt_refresh_program_for(int64 pgt_id);

/* Forget compiled programs of this backend (all if 0). */
extern void pgt_refresh_forget_program(int64 pgt_id);

#endif							/* PGT_REFRESH_H */
