/*
 * applier/schedule/scc.h - strongly connected components of a small graph.
 */
#ifndef PGT_SCC_H
#define PGT_SCC_H

#include "postgres.h"
#include "nodes/pg_list.h"

/*
 * components[i] becomes the component of node i, numbered from 0 so that every
 * component has a higher number than those its nodes lead to.  edges: per node
 * an integer list of the nodes it leads to.  Returns how many there are.
 */
extern int	pgt_scc_find(int n, List *const *edges, int *components);

#endif							/* PGT_SCC_H */
