/*
 * applier/dvm/outer.h - OUTER: joins that ask whether there is a match.
 * Private to dvm/.
 *
 * Two inputs, a left and a right one, and a condition over both.  What a left
 * row finds on the right is, besides the matching rows, one row more that is
 * there or not depending on the number of matches:
 *
 *   LEFT    the matches; a row of NULLs if there are none      columns: left, right
 *   SEMI    one row if there are matches                       columns: left
 *   ANTI    one row if there are none                          columns: left
 *   MARK    one row, true or false                             columns: left, bool
 *   SINGLE  as LEFT, one column of the right; two matches are
 *           an error, 21000                                    columns: left, value
 */
#ifndef PGT_OUTER_H
#define PGT_OUTER_H

#include "postgres.h"

#include "applier/dvm/op.h"
#include "applier/dvm/plan.h"

typedef enum PgtOuterKind
{
	PGT_OUTER_LEFT, PGT_OUTER_SEMI, PGT_OUTER_ANTI, PGT_OUTER_MARK,
	PGT_OUTER_SINGLE
} PgtOuterKind;

/* The queries of an operator; which is run when: outer_run.c. */
typedef enum PgtOuterStep
{
	PGT_OUTER_LEFT_DELTA,		/* rows of the left delta with what they find */
	PGT_OUTER_PAIRS,			/* left rows with the right delta's matching rows */
	PGT_OUTER_DELTA_PAIRS,		/* left delta with right delta, negated */
	PGT_OUTER_TOUCHED_KEYS,		/* keys in the right delta, and its sum of weights */
	PGT_OUTER_TOUCHED_ROWS,		/* left rows that match right delta rows */
	PGT_OUTER_TOUCHED_DELTA,	/* ... rows of the left delta, weights negated */
	PGT_OUTER_WEIGHED,			/* touched rows with their sum of weights */
	PGT_OUTER_TURNED,			/* those whose matches became or ceased to be none */
	PGT_OUTER_TURNED_MANY,		/* the same, for many */
	PGT_OUTER_DOUBLED,			/* those with two matches, before or now */
	PGT_OUTER_DOUBLED_MANY,
	PGT_OUTER_LEFT_TURNED,		/* left rows of turned keys */
	PGT_OUTER_DELTA_TURNED,		/* ... rows of the left delta, negated */
	PGT_OUTER_STEPS
} PgtOuterStep;

/* An equality of the condition: left expression = right expression. */
typedef struct PgtOuterKey
{
	Node	   *left;
	Node	   *right;
	Oid			eqop;			/* left = right */
	Oid			collation;
	Oid			right_eqop;		/* right = right, of the same family */
	Oid			right_ltop;
} PgtOuterKey;

typedef struct PgtOuterOp
{
	PgtOp		op;
	PgtOuterKind kind;
	Node	   *quals;			/* Var.varno 1: left, 2: right; NULL: true */
	int			value_col;		/* SINGLE: the right column */
	bool		fenced[2];		/* inputs that are security barrier views */
	/* parts of quals */
	int			nkeys;
	PgtOuterKey *keys;
	List	   *left_quals;		/* conditions on left rows alone */
	List	   *right_quals;
	bool		keyed;			/* quals are nothing but those */
	TupleDesc	entity;			/* what is touched: keys if keyed, else left rows */
	TupleDesc	touched;		/* entity, pgt_w, pgt_id */
	TupleDesc	weighed;		/* entity, pgt_w, pgt_m, pgt_id */
	TupleDesc	turned;			/* entity, pgt_w */
	PgtPlan    *plans[PGT_OUTER_STEPS]; /* made when first needed */
} PgtOuterOp;

#define PGT_OUTER_COUNT_NAME "pgt_m"
#define PGT_OUTER_ID_NAME "pgt_id"

/* A key's values in the right side, to be grouped as the operator compares. */
extern Node *pgt_outer_right_key(const PgtOuterKey *key);

/* Names of the stores that the steps hand to each other. */
extern const char *pgt_outer_touched_name(const PgtOuterOp *o);
extern const char *pgt_outer_weighed_name(const PgtOuterOp *o);
extern const char *pgt_outer_turned_name(const PgtOuterOp *o);

/* Take quals apart; inputs, kind and quals are set. */
extern void pgt_outer_prepare(PgtOuterOp *o);
/* Columns: left, and what the kind adds. */
extern TupleDesc pgt_outer_desc(PgtOuterKind kind, const PgtOp *left,
								const PgtOp *right, int value_col);
extern const char *pgt_outer_kind_name(PgtOuterKind kind);

/* ---- outer_query.c ---- */

/* New state: PostgreSQL's own join or sub-select over the new states below. */
extern Query *pgt_outer_new_state(const PgtOuterOp *o);
extern PgtPlan *pgt_outer_plan(PgtOuterOp *o, PgtOuterStep step,
							   MemoryContext context);

/* ---- outer_run.c ---- */

/* The delta for those of the inputs, NULL meaning no change. */
extern void pgt_outer_run(PgtOuterOp *o, QueryEnvironment *env,
						  Tuplestorestate *left, Tuplestorestate *right,
						  Tuplestorestate *out, MemoryContext plans);

/* Forget all plans: state tables below are others now. */
extern void pgt_outer_forget_plans(PgtOuterOp *o);

#endif							/* PGT_OUTER_H */
