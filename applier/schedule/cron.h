/*
 * applier/schedule/cron.h - cron lines: parsed, and the next time one is due.
 */
#ifndef PGT_CRON_H
#define PGT_CRON_H

#include "postgres.h"
#include "pgtime.h"
#include "utils/timestamp.h"

/* Which values of each field are meant, as bits.  Plain data: two lines that
 * mean the same compare equal with memcmp. */
typedef struct PgtCron
{
	uint64		seconds;
	uint64		minutes;
	uint32		hours;
	uint32		days;			/* bits 1 .. 31 */
	uint32		months;			/* bits 1 .. 12 */
	uint32		weekdays;		/* bits 0 (Sunday) .. 6 */
	uint32		any_hour;		/* the hour field begins with *: see cron.c */
	uint32		either_day;		/* day and weekday are both given: one suffices */
} PgtCron;

/*
 * Parse a line of 5 or 6 fields or an alias.  NULL when it is one, else what
 * is wrong with it, as a sentence (palloc'd).
 */
extern char *pgt_cron_parse(const char *text, PgtCron *cron);

/* Does the text mean to be a cron line?  Decides which error it gets. */
extern bool pgt_cron_looks_like(const char *text);

/* The first time after "after" at which the line is due in the zone; DT_NOEND
 * when there is none within a hundred years. */
extern TimestampTz pgt_cron_next(const PgtCron *cron, TimestampTz after,
								 pg_tz *zone);

/* The zone that pg_trickle.cron_timezone names, or the session's. */
extern pg_tz *pgt_cron_zone(void);

#endif							/* PGT_CRON_H */
