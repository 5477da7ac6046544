/*
 * applier/dvm/compiler.h - what the files of the compiler share: compile.c
 * (levels, blocks), from.c (joins), grouping.c (GROUP BY, aggregates, DISTINCT) and
 * setop.c (set operations).
 * Private to them.
 */
#ifndef PGT_COMPILER_H
#define PGT_COMPILER_H

#include "postgres.h"

#include "applier/dvm/compile.h"

/* State of one compilation. */
typedef struct PgtCompiler
{
	List	   *sources;		/* of PgtSourceColumns* */
	List	   *ops;			/* of PgtOp*, post-order */
	List	   *levels;			/* of PgtLevel*: subqueries already compiled */
	List	   *recursions;		/* those being compiled, innermost first */
	const Query *expanded;		/* the query as it was given */
} PgtCompiler;

/* A query that occurs again is the same operator. */
typedef struct PgtLevel
{
	Query	   *query;
	PgtOp	   *op;
} PgtLevel;

/* One level's FROM while its block is made. */
typedef struct PgtLevelInputs
{
	List	   *ops;			/* of PgtOp* */
	List	   *fences;			/* of int: security barrier? */
	List	   *items;			/* of RangeTblEntry*: the pure ones, see items.h */
	int		   *number;			/* range table index -> input or item, from 1 */
	int		   *base;			/* ... -> columns before it in that input */
	PgtOp	  **leaf;			/* ... -> its own operator, below joins; NULL: an item */
	List	   *quals;			/* of Node*, in terms of the inputs */
} PgtLevelInputs;

/* ---- compile.c ---- */

/* The operator of a query at any level. */
extern PgtOp *pgt_compile_level(PgtCompiler *c, Query *query);

/* ... of a subquery that refers to nothing outside; the same one again where
 * the same was compiled before, as for each reference to a CTE. */
extern PgtOp *pgt_compile_shared_level(PgtCompiler *c, Query *query);

/* Fill in what all operators have, append to the list: inputs come first. */
extern void pgt_compile_finish_op(PgtCompiler *c, PgtOp *op, PgtOpKind kind,
								  List *inputs, TupleDesc desc, char *label);

/* FROM and WHERE of a level; then expressions of the level in its terms. */
extern PgtLevelInputs *pgt_compile_from(PgtCompiler *c, const Query *query);
extern Expr *pgt_compile_to_inputs(PgtLevelInputs *in, void *expr);

/* Those pure entries are the level's items, numbered after its inputs. */
extern void pgt_compile_items(const Query *query, List *rtindexes,
							  PgtLevelInputs *in);

/* What one entry of FROM is. */
extern PgtOp *pgt_compile_rte(PgtCompiler *c, const RangeTblEntry *rte);

/* A block over all inputs of a level; names may be NIL. */
extern PgtOp *pgt_compile_block(PgtCompiler *c, PgtLevelInputs *in,
								List *exprs, List *names);
/* A block of expressions over one operator, whose columns are Vars of 1. */
extern PgtOp *pgt_compile_project(PgtCompiler *c, PgtOp *input, List *quals,
								  List *exprs, List *names);
/* ... that repeats its rows "copies" times, see PgtBlockOp */
extern PgtOp *pgt_compile_repeat(PgtCompiler *c, PgtOp *input, Expr *copies,
								 List *exprs, List *names);

/* Output columns of a level: expressions and names. */
extern void pgt_compile_output(const Query *query, List **exprs, List **names);

/* ---- from.c ---- */

/*
 * Add what a node of FROM stands for to the inputs of a level; conditions of
 * WHERE and inner joins are added to "quals", in the level's terms.
 */
extern void pgt_from_add(PgtCompiler *c, const Query *query, Node *node,
						 PgtLevelInputs *in, List **quals);

/* ---- grouping.c ---- */

/* A level with GROUP BY, aggregates or HAVING. */
extern PgtOp *pgt_grouping_compile(PgtCompiler *c, const Query *query);
/* DISTINCT over the level's operator: every output column is a key. */
extern PgtOp *pgt_grouping_distinct(PgtCompiler *c, const Query *query,
									PgtOp *input);

/* Keys that are all columns of input, under the operators of the clauses
 * (SortGroupClause*), and no aggregates: input must be finished. */
extern PgtReduceOp *pgt_grouping_by_columns(PgtOp *input, int nkeys,
											List *clauses);

extern Aggref *pgt_grouping_count_star(void);

/* ---- partition.c, topk.c ---- */

/* A level of window functions, DISTINCT ON or a limit, as level.c makes them. */
extern PgtOp *pgt_partition_compile(PgtCompiler *c, const Query *query);
/* Is it one that only wants the first few rows?  Then rather this: */
extern bool pgt_topk_serves(const Query *query);
extern PgtOp *pgt_topk_compile(PgtCompiler *c, const Query *query);

/* ---- setop.c ---- */

/* A level that is a set operation. */
extern PgtOp *pgt_setop_compile(PgtCompiler *c, const Query *query,
								SetOperationStmt *setop);
/* A branch of it with the types of the result; the columns of that. */
extern PgtOp *pgt_setop_branch(PgtCompiler *c, const Query *query,
							   Node *branch, const SetOperationStmt *setop);
extern TupleDesc pgt_setop_desc(const Query *query,
								const SetOperationStmt *setop);
/* Inputs of the same columns, those of desc. */
extern PgtOp *pgt_setop_union_all(PgtCompiler *c, List *inputs, TupleDesc desc);

#endif							/* PGT_COMPILER_H */
