/*
 * applier/dvm/level.h - query levels that do one thing each.  Private to dvm/.
 */
#ifndef PGT_LEVEL_H
#define PGT_LEVEL_H

#include "postgres.h"
#include "nodes/parsenodes.h"

/* Is LIMIT or OFFSET given, not just NULL? */
extern bool pgt_level_is_limited(const Query *query);

/* LIMIT (-1: none) and OFFSET as numbers; false if they are no constants. */
extern bool pgt_level_bounds(const Query *query, int64 *limit, int64 *offset);

/* Does the level have window functions, DISTINCT ON or a limit?  After
 * splitting: is it the level that does just one of these? */
extern bool pgt_level_is_ordered(const Query *query);

/* A window function compared with the rows of a subquery: w IN (SELECT ...). */
extern bool pgt_level_has_tested_windows(Node *node);

/*
 * Take such a level apart, in place; see level.c.  The level is otherwise in
 * the compiler's form (normalise.c).  What cannot be taken apart stays.
 */
extern void pgt_level_split(Query *query);

/* distinct_agg.c: put aggregates of distinct values over a DISTINCT, in place. */
extern void pgt_distinct_agg_split(Query *query);

#endif							/* PGT_LEVEL_H */
