/*
 * applier/schedule/units.h - which stream tables are refreshed together.
 */
#ifndef PGT_UNITS_H
#define PGT_UNITS_H

#include "applier/schedule/graph.h"

/* Find the units and put the graph's order right; at each load, when nodes
 * are connected and sorted. */
extern void pgt_units_load(PgtGraph *graph);

/* All of its unit, or the node alone: *n node indexes, upstream first. */
extern const int *pgt_units_members(const PgtGraph *graph, const PgtNode *node,
									int *n);
/* Is this the one that stands for its unit? */
extern bool pgt_units_is_leader(const PgtGraph *graph, const PgtNode *node);

#endif							/* PGT_UNITS_H */
