/*
 * applier/schedule/notify.h - events kept until the scheduler sends them.
 */
#ifndef PGT_SCHEDULE_NOTIFY_H
#define PGT_SCHEDULE_NOTIFY_H

#include "postgres.h"
#include "utils/timestamp.h"

#include "applier/schedule/schedule.h"

/* Keep an event for the next pgt_notify_send. */
extern void pgt_notify_keep(const char *event, const char *stream_table,
							const PgtEventField *fields, int nfields);
extern bool pgt_notify_any_kept(void);
/* Send what was kept, in the current transaction; pgt_notify_forget after its
 * commit (or its failure, to try no more). */
extern void pgt_notify_send(void);
extern void pgt_notify_forget(void);

#endif							/* PGT_SCHEDULE_NOTIFY_H */
