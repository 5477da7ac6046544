/*
 * applier/dvm/compile.h - operators as the compiler makes them.
 * Private to dvm/.
 */
#ifndef PGT_COMPILE_H
#define PGT_COMPILE_H

#include "postgres.h"
#include "nodes/parsenodes.h"

#include "applier/dvm/op.h"

/* More inputs than this in one block: FULL only. */
#define PGT_MAX_INPUTS 60

/*
 * A block's expressions speak of its inputs: Var.varno is the number of an
 * input (from 1), Var.varattno a column of that input's outdesc.  Numbers
 * after the inputs' are those of its items (items.h), and there varattno is a
 * column of the item.  A block without inputs is a constant.
 */
typedef struct PgtBlockOp
{
	PgtOp		op;
	List	   *exprs;			/* of Expr*: the output columns */
	Node	   *quals;			/* or NULL */
	bool	   *fenced;			/* per input: a security barrier view */
	List	   *items;			/* of RangeTblEntry*, their Vars as in exprs */
	Expr	   *copies;			/* int8: how often to emit each row, none below
								 * one; NULL: once */
	/* all columns are plain columns of the one input, nothing is filtered */
	bool		permutation;
	int		   *source_cols;	/* if so: input column per output column */
	bool		identity;		/* if so: the input's columns as they are */
	List	   *terms;			/* of PgtBlockTerm*, grows as masks turn up */
} PgtBlockOp;

typedef struct PgtUnionOp
{
	PgtOp		op;
} PgtUnionOp;

/* What a program reads of one relation. */
typedef struct PgtSourceColumns
{
	Oid			relid;
	Bitmapset  *columns;		/* plain attribute numbers */
} PgtSourceColumns;

/*
 * The operator tree of an expanded query that pgt_query_check found fit.
 * The query given is not changed.  Allocates in the current context.  State
 * tables are neither looked up nor made: REDUCE operators have no plans yet.
 */
extern PgtOp *pgt_compile_query(const Query *expanded, List **ops,
								List **sources);

/*
 * A copy of an expanded query in the compiler's form, at every level: CTEs are
 * subqueries, grouping entries and join aliases are replaced by what they
 * stand for.
 */
extern Query *pgt_compile_normalise(const Query *expanded);
/* ... or NULL, and the name of what stands in the way. */
extern Query *pgt_compile_try_normalise(const Query *expanded,
										const char **construct,
										const char **detail);

/* A copy of an expanded query in which rows of relations and subqueries are
 * ROW(columns); and: is one left, in a query in any form? */
extern Query *pgt_expand_whole_rows(Query *query);
extern bool pgt_has_whole_rows(const Query *query);

/* FROM of a normalised level, flattened: range table indexes in order, and the
 * conditions of WHERE and of all joins, whatever their kind, as one list. */
extern void pgt_compile_flatten_from(const Query *query, List **rtindexes,
									 List **quals);

/*
 * Can a normalised level's FROM be compiled?  Not if a function on one side of
 * an outer join takes columns of the other.
 */
extern bool pgt_from_fits(const Query *query);

/* A copy of node with "operand" in place of every CaseTestExpr. */
extern Node *pgt_replace_case_test(Node *node, Node *operand);

/* Descriptor of a row of these expressions; names may be NULL. */
extern TupleDesc pgt_exprs_desc(List *exprs, List *names);
/* desc plus the weight column */
extern TupleDesc pgt_delta_desc(TupleDesc desc);

#endif							/* PGT_COMPILE_H */
