/*
 * applier/schedule/holds.h - what is held back, in the scheduler's picture.
 */
#ifndef PGT_HOLDS_H
#define PGT_HOLDS_H

#include "applier/schedule/graph.h"

/* Set "held" of all nodes; at each load, in its transaction and context. */
extern void pgt_holds_load(PgtGraph *graph);

/* Events for what is gated, ungated and advanced since the old picture. */
extern void pgt_holds_tell(const PgtGraph *graph, const PgtGraph *old);

#endif							/* PGT_HOLDS_H */
