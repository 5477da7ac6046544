/*
 * applier/schedule/handover.h - the scheduler moves sources between triggers
 * and the WAL, and watches the slot.
 */
#ifndef PGT_SCHEDULE_HANDOVER_H
#define PGT_SCHEDULE_HANDOVER_H

#include "postgres.h"
#include "utils/timestamp.h"

/* Something that decides about capture may have changed.  by_user: what failed
 * before may succeed now. */
extern void pgt_handover_look(bool by_user);

/* Do what there is to do, outside of a transaction; true: events were kept. */
extern bool pgt_handover_run(TimestampTz now);

/* When there is something to do if nobody says so; DT_NOEND: never. */
extern TimestampTz pgt_handover_time(void);

#endif							/* PGT_SCHEDULE_HANDOVER_H */
