/*
 * applier/dvm/explain.h - what an operator says of itself in explain_st.
 * Private to dvm/.
 */
#ifndef PGT_EXPLAIN_H
#define PGT_EXPLAIN_H

#include "postgres.h"

#include "applier/dvm/op.h"

/* One line "step N: what" | value. */
extern void pgt_explain_say(PgtExplain *e, const PgtOp *op, const char *what,
							const char *value);
/* SQL of a plan and, if asked for, its plans; nothing if it is NULL. */
extern void pgt_explain_plan(PgtExplain *e, const PgtOp *op, const char *what,
							 PgtPlan *plan);
/* Name the index that would serve look-ups by column "col" of an input: of the
 * table it comes from, if no index of that begins with it. */
extern void pgt_explain_advise(PgtExplain *e, const PgtOp *op,
							   const PgtOp *input, int col);

/* What a column of an operator is to people: the table's column it comes from
 * unchanged, else its own name. */
extern const char *pgt_explain_column(const PgtOp *op, int col);

extern void pgt_reduce_explain(const PgtOp *op, PgtExplain *e);

#endif							/* PGT_EXPLAIN_H */
