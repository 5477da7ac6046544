/*
 * applier/schedule/schedule.h - launcher, scheduler and pool, seen from outside.
 *
 * Every function here is harmless in a server that did not preload the
 * library: there is no shared memory then, nothing runs and nothing is told.
 */
#ifndef PGT_SCHEDULE_H
#define PGT_SCHEDULE_H

#include "postgres.h"
#include "utils/timestamp.h"

#include "applier/schedule/cron.h"

/* From _PG_init under shared_preload_libraries: shared memory, the launcher. */
extern void pgt_schedule_init(void);

/* Text -> checked schedule.  NULL and "calculated" give PGT_SCHEDULE_CALCULATED. */
typedef enum PgtScheduleKind
{
	PGT_SCHEDULE_CALCULATED, PGT_SCHEDULE_DURATION, PGT_SCHEDULE_CONTINUOUS,
	PGT_SCHEDULE_CRON
} PgtScheduleKind;

typedef struct PgtSchedule
{
	PgtScheduleKind kind;
	int64		interval_ms;	/* DURATION */
	PgtCron		cron;			/* CRON */
} PgtSchedule;

/* Errors 22023 naming what is wrong and listing the forms. */
extern void pgt_schedule_parse(const char *text, PgtSchedule *out);
/* The same without errors, for texts that were checked once: false when
 * pgt_schedule_parse would raise one for another reason than min_schedule. */
extern bool pgt_schedule_try_parse(const char *text, PgtSchedule *out);
/* Milliseconds or -1 when text is no duration. */
extern double pgt_schedule_duration_ms(const char *text);

/*
 * Due times of a duration lie on a grid: multiples of the interval since 2000,
 * moved by "phase".  Whatever has the same phase comes due together wherever
 * one interval is a multiple of the other.  The first after "after".
 */
extern TimestampTz pgt_schedule_on_grid(int64 interval_ms, int64 phase_ms,
										TimestampTz after);

/* How far apart two refreshes are, in milliseconds: of a cron line, its next
 * two; 0 for continuous, default_schedule's for calculated. */
extern int64 pgt_schedule_period_ms(const PgtSchedule *schedule);

/* The catalog changed (create, alter, drop, resume ...): at commit the
 * scheduler of this database is told to look again. */
extern void pgt_schedule_notice_at_commit(void);

/* At commit the launcher is told to look whether this database needs a
 * scheduler now (CREATE EXTENSION does it), or, InvalidOid, which databases
 * there are and may be connected to. */
extern void pgt_launcher_wake(Oid dboid);

/*
 * Ask the scheduler and the refresh workers of a database to leave, and wait
 * until they have or ten seconds have passed.  None is started again before
 * the current transaction ends.  For DROP DATABASE, ALTER DATABASE ... RENAME
 * / SET TABLESPACE and CREATE DATABASE ... TEMPLATE, which fail while somebody
 * is connected.  The caller has checked the user's rights on the database.
 */
extern void pgt_schedule_evict_database(Oid dboid);

/* For monitoring. */
extern bool pgt_scheduler_running(Oid dboid);
extern int	pgt_pool_active(Oid dboid, int *idle, int *queued);
/* Since when no worker slot could be had (max_worker_processes) for refreshes
 * of this database or, InvalidOid, for a scheduler of any; 0: none is missing. */
extern int64 pgt_pool_starved_since(Oid dboid);

/*
 * Send an event to NOTIFY channel pgtrickle_refresh, in the current
 * transaction: valid JSON with "event", "stream_table", "at" and the fields
 * given.  For workers' transactions only: sending takes a cluster-wide lock
 * until the transaction has ended.
 */
typedef struct PgtEventField
{
	const char *key;
	const char *text;			/* NULL: the value is number */
	double		number;
} PgtEventField;

extern void pgt_notify(const char *event, const char *stream_table,
					   const PgtEventField *fields, int nfields);

/*
 * Provided by the api module, called by the scheduler in a transaction of its
 * own: a definition without state (a restored dump) becomes a stream table
 * again.
 */
extern void pgt_restore_stream_table(int64 pgt_id);

#endif							/* PGT_SCHEDULE_H */
