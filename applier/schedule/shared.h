/*
 * applier/schedule/shared.h - what launcher, schedulers and workers share.
 *
 * One struct in shared memory, one LWLock.  A field is either an atomic that
 * anybody may touch at any time, or belongs to the lock: read under shared,
 * written under exclusive.  Nothing is allocated, no catalog is read and no
 * other lock is taken while it is held.  The commit path of writers uses the
 * atomics only.
 *
 * A slot is known by index and generation: whoever waits for a process
 * compares the generation it started with, so that "my worker ended" and "the
 * slot has a new tenant" are not confused.
 */
#ifndef PGT_SCHEDULE_SHARED_H
#define PGT_SCHEDULE_SHARED_H

#include "postgres.h"
#include "port/atomics.h"
#include "storage/condition_variable.h"
#include "storage/lwlock.h"
#include "utils/timestamp.h"

#include "applier/catalog/coordination.h"

#define PGT_DIRTY_WORDS		1024	/* x 32 bits, hashed by relation */
#define PGT_PROBES			16
#define PGT_HOLDS			64
#define PGT_QUEUE_SHOWN		64
#define PGT_JOBS_KEPT		256
#define PGT_JOB_NAME		264
#define PGT_JOB_MESSAGE		512
#define PGT_JOB_ACTION		24

/* STARTING -> RUNNING -> ENDED -> FREE; STARTING -> ENDED */
typedef enum PgtDatabaseState
{
	PGT_DATABASE_FREE,			/* by the launcher */
	PGT_DATABASE_STARTING,		/* by the launcher, before it registers */
	PGT_DATABASE_RUNNING,		/* by the scheduler: the extension is there */
	PGT_DATABASE_ENDED			/* by the scheduler as it exits */
} PgtDatabaseState;

typedef enum PgtSchedulerEnd
{
	PGT_END_ERROR,				/* what nobody announced: back-off */
	PGT_END_ABSENT,				/* no extension: not until told */
	PGT_END_TERMINATED,			/* SIGTERM: after a pause, for who did it had a reason */
	PGT_END_ASKED				/* evicted, extension made anew: at once */
} PgtSchedulerEnd;

typedef struct PgtQueuedJob
{
	int64		pgt_id;
	TimestampTz enqueued_at;
	int			attempt;
	char		name[PGT_JOB_NAME];
} PgtQueuedJob;

typedef struct PgtDatabaseSlot
{
	/* atomics */
	pg_atomic_uint32 dboid;		/* InvalidOid: free; written by the launcher */
	pg_atomic_uint32 procno;	/* of the scheduler + 1; 0: none */
	pg_atomic_uint32 leave;		/* the scheduler is asked to go */
	pg_atomic_uint32 catalog_changed;	/* by users: errors are tried again */
	pg_atomic_uint32 reload;	/* by our own workers */
	pg_atomic_uint32 all_dirty; /* unknown sources changed */
	pg_atomic_uint32 drain_asked;	/* tickets drawn: see drain.c */
	pg_atomic_uint32 drained;	/* up to this one answered; by the scheduler */
	pg_atomic_uint32 dirty[PGT_DIRTY_WORDS];

	/* under the lock */
	PgtDatabaseState state;
	PgtSchedulerEnd end;		/* in ENDED */
	uint32		generation;
	int			pid;
	TimestampTz starved_since;	/* 0: workers can be had */
	int			queued;			/* due, waiting for a worker */
	PgtQueuedJob queue[PGT_QUEUE_SHOWN];	/* the first of them */
} PgtDatabaseSlot;

/* IDLE -> RESERVED -> ASSIGNED (by the scheduler) -> RUNNING -> DONE (by the
 * worker) -> IDLE (by the scheduler) */
typedef enum PgtJobState
{
	PGT_JOB_IDLE,
	PGT_JOB_RESERVED,
	PGT_JOB_ASSIGNED,
	PGT_JOB_RUNNING,
	PGT_JOB_DONE
} PgtJobState;

typedef enum PgtJobEnd
{
	PGT_JOB_OK,
	PGT_JOB_FAILED,
	PGT_JOB_DIED				/* the worker went away */
} PgtJobEnd;

/* A refresh that a worker was given, of one stream table or of several in one
 * transaction, and what became of it. */
typedef struct PgtJob
{
	int64		job_id;
	int			nmembers;
	int64		members[PGT_GROUP_MAX]; /* pgt_ids, upstream first */
	int			attempt;		/* from 1 */
	int			worker_pid;
	TimestampTz enqueued_at;
	TimestampTz started_at;
	TimestampTz finished_at;
	char		name[PGT_JOB_NAME]; /* schema.name of the first, for display */
	/* result */
	int			culprit;		/* FAILED: the member that did */
	PgtJobEnd	end;
	bool		retry;			/* FAILED: trying again may help */
	int64		rows_inserted;
	int64		rows_deleted;
	int64		changes_consumed;
	double		duration_ms;
	char		action[PGT_JOB_ACTION];
	char		message[PGT_JOB_MESSAGE];	/* FAILED */
} PgtJob;

/* What a job did to one of its members. */
typedef struct PgtJobShare
{
	bool		no_data;
	bool		append_only_reverted;
	int64		rows_inserted;
	int64		rows_deleted;
	int64		changes_consumed;
	double		duration_ms;
} PgtJobShare;

typedef struct PgtWorkerSlot	/* all under the lock */
{
	bool		in_use;
	bool		leave;			/* asked to go when the job is done */
	uint32		generation;
	Oid			dboid;
	int			pid;			/* 0: not attached yet */
	int			procno;
	PgtJobState state;
	PgtJob		job;
	PgtJobShare shares[PGT_GROUP_MAX];	/* of the job's members, when OK */
} PgtWorkerSlot;

typedef struct PgtFinishedJob
{
	Oid			dboid;			/* InvalidOid: none */
	PgtJob		job;
} PgtFinishedJob;

/* What must not be done in a database while a backend works there. */
typedef struct PgtHold
{
	Oid			dboid;
	int			pid;
} PgtHold;

typedef struct PgtShared
{
	LWLock	   *lock;
	ConditionVariable gone;		/* a scheduler or worker ended */
	ConditionVariable drained;	/* a scheduler has nothing due */

	/* atomics */
	pg_atomic_uint32 launcher_procno;	/* + 1; 0: none */
	pg_atomic_uint32 rescan;	/* the set of databases may have changed */
	pg_atomic_uint32 probe_all; /* any database may have the extension now */
	pg_atomic_uint32 probes[PGT_PROBES];	/* these may; 0: free entry */

	/* under the lock */
	int			launcher_pid;
	TimestampTz starved_since;	/* no worker slot for a scheduler; 0: fine */
	int64		last_job_id;
	PgtHold		holds[PGT_HOLDS];	/* no scheduler is started */
	PgtHold		loaders[PGT_HOLDS]; /* a dump is being restored: nothing is built */
	int			next_finished;
	PgtFinishedJob finished[PGT_JOBS_KEPT];

	int			nslots;			/* of both kinds; constant */
	PgtDatabaseSlot *databases;
	PgtWorkerSlot *workers;
} PgtShared;

/* NULL when the library was not preloaded. */
extern PgtShared *pgt_shared;

/* This process is a scheduler or a refresh worker. */
extern bool pgt_shared_own_process;

extern void pgt_shared_request(void);	/* in shmem_request_hook */
extern void pgt_shared_startup(void);	/* in shmem_startup_hook */

extern void pgt_shared_wake(uint32 procno_plus_one);
extern void pgt_shared_wake_launcher(void);
/* The slot of a database, without a lock; NULL if it has none. */
extern PgtDatabaseSlot *pgt_shared_database(Oid dboid);

/* Dirty bits: touch at commit, test and take by the scheduler. */
extern uint32 pgt_shared_dirty_bit(Oid relid);
extern bool pgt_shared_dirty_test(PgtDatabaseSlot *db, uint32 bit);
extern bool pgt_shared_dirty_take(PgtDatabaseSlot *db, uint32 bit);
extern void pgt_shared_touched(Oid dboid, Oid relid);

/* Ask the launcher to look whether a database has the extension now
 * (InvalidOid: which databases there are). */
extern void pgt_shared_probe(Oid dboid);

/* Has somebody who filled pgt_definitions by SQL not yet disconnected? */
extern bool pgt_notice_is_loading(Oid dboid);

/* Common to the three kinds of process. */
extern void pgt_process_signals(void);
extern bool pgt_process_interrupts(void);	/* true: asked to end */
extern void pgt_process_settings(void);

/* Entry points, see launcher.c, scheduler.c, worker.c, notice.c. */
extern void pgt_launcher_register(void);
extern void pgt_notice_init(void);
extern PGDLLEXPORT void pgt_launcher_main(Datum arg);
extern PGDLLEXPORT void pgt_scheduler_main(Datum arg);
extern PGDLLEXPORT void pgt_worker_main(Datum arg);

#endif							/* PGT_SCHEDULE_SHARED_H */
