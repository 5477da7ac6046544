/*
 * applier/dvm/qtree.h - Query trees made by hand.  Private to dvm/.
 */
#ifndef PGT_QTREE_H
#define PGT_QTREE_H

#include "postgres.h"
#include "access/tupdesc.h"
#include "nodes/parsenodes.h"
#include "nodes/primnodes.h"

/* An empty SELECT: no FROM, no columns. */
extern Query *pgt_qtree_select(void);

/* What can stand in FROM. */
extern RangeTblEntry *pgt_qtree_relation(Query *query, Oid relid, bool inh);
extern RangeTblEntry *pgt_qtree_subquery(Query *subquery, const char *name,
										 List *colnames, bool fenced);
extern RangeTblEntry *pgt_qtree_store(const char *name, TupleDesc desc);
/* Put it there; returns its number. */
extern int	pgt_qtree_add_from(Query *query, RangeTblEntry *rte);

/* Names of a descriptor's columns, as an alias wants them. */
extern List *pgt_qtree_names(TupleDesc desc);
/* Column "col" of desc, found as attribute attno of FROM's number varno. */
extern Var *pgt_qtree_var(int varno, TupleDesc desc, int col, AttrNumber attno);
extern void pgt_qtree_add_target(Query *query, Node *expr, const char *name);

/* Weights: int8 expressions. */
extern Node *pgt_qtree_int8(int64 value);
extern Node *pgt_qtree_multiply(Node *a, Node *b);	/* a may be NULL: one */
extern Node *pgt_qtree_negate(Node *a);

/* UNION ALL of queries whose columns are desc's. */
extern Query *pgt_qtree_union_all(List *queries, TupleDesc desc);

#endif							/* PGT_QTREE_H */
