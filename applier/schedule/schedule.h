/*
 * applier/schedule/schedule.h - launcher, scheduler and pool, seen from outside.
 */
#ifndef PGT_SCHEDULE_H
#define PGT_SCHEDULE_H

#include "postgres.h"

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
} PgtSchedule;

/* Errors 22023 naming what is wrong and listing the forms; cron forms are
 * recognised and refused by name (0A000) until they are built. */
extern void pgt_schedule_parse(const char *text, PgtSchedule *out);
/* Milliseconds or -1 when text is no duration. */
extern double pgt_schedule_duration_ms(const char *text);

/* The catalog changed (create, alter, drop, resume ...): at commit the
 * scheduler of this database is told to look again. */
extern void pgt_schedule_notice_at_commit(void);

/* For monitoring. */
extern bool pgt_scheduler_running(Oid dboid);
extern int	pgt_pool_active(Oid dboid, int *idle, int *queued);

#endif							/* PGT_SCHEDULE_H */
