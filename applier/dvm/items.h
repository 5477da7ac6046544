/*
 * applier/dvm/items.h - what a level's FROM computes instead of reading it:
 * functions, VALUES, XMLTABLE, JSON_TABLE, subqueries without a relation.
 * Private to dvm/.
 */
#ifndef PGT_ITEMS_H
#define PGT_ITEMS_H

#include "postgres.h"
#include "nodes/parsenodes.h"
#include "nodes/primnodes.h"

/*
 * Does the entry, of a query in any form, read no relation?  Then its rows
 * follow from the rows beside it in FROM alone (LATERAL) or never change.
 */
extern bool pgt_item_is_pure(const RangeTblEntry *rte);
/* The same of a whole query: it returns the same rows for ever. */
extern bool pgt_query_is_pure(const Query *query);

/*
 * Copy of an expression or of an item in which map(var, arg), of one level's
 * Vars, is in place of each; those of inner levels are left as they are.  Vars
 * come and go with varlevelsup 0, whatever the depth at which they stand.
 */
typedef Var *(*PgtVarMap) (const Var *var, void *arg);
extern Node *pgt_map_vars(Node *node, PgtVarMap map, void *arg);
extern RangeTblEntry *pgt_item_map_vars(const RangeTblEntry *item,
										PgtVarMap map, void *arg);

/* Vars of the level (those with varlevelsup 0) that an item refers to. */
extern List *pgt_item_vars(const RangeTblEntry *item);

/* LEFT JOINs of a level with pure items that refer to their left side become
 * inner joins with other items (left_item.c). */
extern void pgt_item_left_joins(Query *query);

/* An item that repeats the rows beside it: count times, none below one. */
extern RangeTblEntry *pgt_item_repeat(Expr *count);

#endif							/* PGT_ITEMS_H */
