/*
 * applier/schedule/alerts.h - events about what does not get on.
 */
#ifndef PGT_ALERTS_H
#define PGT_ALERTS_H

#include "applier/schedule/graph.h"

/* Once a pass: stale_data for what has been due, or running, for too long. */
extern void pgt_alerts_late(PgtGraph *graph, TimestampTz now);
/* When the next of them would be; DT_NOEND: nothing is late. */
extern TimestampTz pgt_alerts_late_time(const PgtGraph *graph);

/* buffer_growth_warning for sources of which more changes are pending than
 * pg_trickle.buffer_alert_threshold.  Reads buffers, in a transaction. */
extern void pgt_alerts_growth(PgtGraph *graph);
/* Has anything been captured that a stream table has not taken up yet? */
extern bool pgt_alerts_any_pending(const PgtGraph *graph);

#endif							/* PGT_ALERTS_H */
