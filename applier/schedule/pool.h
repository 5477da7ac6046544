/*
 * applier/schedule/pool.h - refresh workers, as their scheduler uses them.
 */
#ifndef PGT_SCHEDULE_POOL_H
#define PGT_SCHEDULE_POOL_H

#include "postgres.h"

#include "applier/schedule/shared.h"

typedef enum PgtDispatch
{
	PGT_DISPATCH_WORKER,
	PGT_DISPATCH_WAIT,			/* all are busy: the latch is set when one is free */
	PGT_DISPATCH_ALONE			/* no worker can be had: refresh it yourself */
} PgtDispatch;

/* The scheduler starts: db is its slot. */
extern void pgt_pool_init(PgtDatabaseSlot *db);
/* Terminate workers that an earlier scheduler left and wait for their end. */
extern void pgt_pool_expel_strangers(void);
/* The scheduler ends: so do its workers.  Does not wait. */
extern void pgt_pool_dismiss(void);

/*
 * Reserve a worker, preferably *worker (a slot, or -1), which is set to the
 * slot taken; starts one when none is idle and the caps allow.  In two steps
 * because the sources' dirty bits are taken in between: before the refresh
 * can take its snapshot, but not while the job would only wait.
 */
extern PgtDispatch pgt_pool_reserve(int *worker);
extern void pgt_pool_send(int worker, const PgtJob *job);
/* The next job that ended since the last call, and what it did to each of its
 * members (room for PGT_GROUP_MAX); false: none. */
extern bool pgt_pool_collect(PgtJob *job, PgtJobShare *shares);
extern int	pgt_pool_running(void);
/* Show a job that the scheduler ran itself. */
extern void pgt_pool_record(const PgtJob *job);

/* What waits for a worker, for the monitoring functions. */
extern void pgt_pool_show_queue(const PgtQueuedJob *queue, int shown, int queued);

/* Run a job in this process, filling in its result; worker.c. */
extern void pgt_worker_run(PgtJob *job, PgtJobShare *shares);

#endif							/* PGT_SCHEDULE_POOL_H */
