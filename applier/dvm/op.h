/*
 * applier/dvm/op.h - the operator tree and what its parts owe each other.
 * Private to dvm/.
 *
 * The tree is read-only once compiled; what a run changes lives in PgtRun.
 * Operators are numbered in post-order from 1: that is the order of the steps
 * of a run.  One may be the input of several: a CTE referenced twice has one
 * delta.  Every operator has an output row (outdesc) and, during a run, a
 * delta: a tuplestore of outdesc's columns followed by an int8 weight column
 * named "pgt_w" (deltadesc).  An operator whose inputs did not change has a
 * NULL delta and is skipped.
 *
 *   SCAN       a source relation.  Delta handed in.
 *   BLOCK      select-project-join over its inputs, planned by PostgreSQL:
 *              one inclusion-exclusion term per non-empty set T of changed
 *              inputs,  (-1)^(|T|+1) * (product over T of deltas) joined with
 *              the NEW state of the others.  (Expansion of the telescoping
 *              rule with R = R' - dR: needs no old state, and each term is
 *              free to use indexes.)
 *   UNION_ALL  concatenation.
 *   OUTER      outer, semi-, anti- and marking joins: outer.h.
 *   REDUCE     GROUP BY / aggregates / DISTINCT: C code over a state table.
 *   PARTITION  window functions: touched partitions evaluated anew and compared
 *              with the rows emitted before (partition.h).
 *   TOPK       the first rows in an order, of all or of each key: LIMIT, DISTINCT
 *              ON (topk.h).
 *
 * Operators with state say by their methods what they do.
 *
 * Readable: the new state of SCAN and of an operator with state is a table
 * (source, state table); that of BLOCK and UNION_ALL is a subquery over the new
 * states below.
 */
#ifndef PGT_OP_H
#define PGT_OP_H

#include "postgres.h"
#include "executor/execdesc.h"
#include "fmgr.h"
#include "nodes/parsenodes.h"
#include "nodes/primnodes.h"
#include "utils/queryenvironment.h"
#include "utils/tuplestore.h"

#include "applier/dvm/dvm.h"

#define PGT_WEIGHT_NAME "pgt_w"
#define PGT_LEVEL_NAME "pgt_level"

typedef struct PgtPlan PgtPlan;
typedef struct PgtExplain PgtExplain;

typedef enum PgtOpKind
{
	PGT_OP_SCAN, PGT_OP_BLOCK, PGT_OP_UNION_ALL, PGT_OP_OUTER, PGT_OP_REDUCE,
	PGT_OP_PARTITION, PGT_OP_TOPK, PGT_OP_WORK, PGT_OP_RECURSE, PGT_OP_SNAPSHOT
} PgtOpKind;

typedef struct PgtOp
{
	PgtOpKind	kind;
	int			id;				/* post-order, from 1 */
	List	   *inputs;			/* of PgtOp*; an op may be the input of several */
	TupleDesc	outdesc;
	TupleDesc	deltadesc;		/* outdesc, then pgt_w int8 */
	char	   *label;			/* for explain_st: "join of a, b", "aggregate" */
	const struct PgtOpMethods *methods; /* of an operator with state, else NULL */
	Oid			state_relid;	/* set when the state table exists, else InvalidOid */
	bool		readable;		/* joined to above: indexes on its keys wanted */
	List	   *wanted;			/* of int lists: columns it is looked up by from above */
	bool		leveled;		/* of a recursive term: see recursion.h */
} PgtOp;

/*
 * What an operator with a state table does.  program.c knows no more of it.
 * The table is pgtrickle_state.s<pgt_id>_<op id>.
 */
typedef struct PgtOpMethods
{
	/* fill in what depends on types and catalogs; once, after compiling */
	void		(*prepare) (PgtOp *op);
	/* the table's columns; another shape found means: no state */
	TupleDesc	(*state_desc) (const PgtOp *op);
	/* make its indexes; runs connected to SPI */
	void		(*state_indexes) (const PgtOp *op, const char *table);
	/* the new state: where column col (from 1) stands in the table ... */
	AttrNumber	(*state_attno) (const PgtOp *op, int col);
	/* ... or, if that is NULL, a query with outdesc's columns */
	Query	   *(*new_state) (const PgtOp *op);
	/* plans that read the state tables below, which exist now; or NULL */
	void		(*make_plans) (PgtOp *op, MemoryContext context);
	/* deltas of the inputs (NULL: no change; not all are) -> state and out */
	void		(*run) (PgtOp *op, QueryEnvironment *env,
						Tuplestorestate **inputs, Tuplestorestate *out);
	/* fill the empty table.  inputs: all rows with weight 1 */
	void		(*build) (PgtOp *op, QueryEnvironment *env,
						  Tuplestorestate **inputs);
	bool		builds_alone;	/* build needs no inputs */
	/* true: run whether inputs changed or not; or NULL */
	bool		(*runs_always) (const PgtOp *op);
	/* tell explain_st more than label, inputs and state table: explain.h */
	void		(*explain) (const PgtOp *op, PgtExplain *e);
} PgtOpMethods;

typedef struct PgtScanOp
{
	PgtOp		op;
	Oid			relid;
	bool		inh;			/* not FROM ONLY */
	int			ncolumns;
	AttrNumber *columns;		/* ascending: outdesc column i is columns[i] */
} PgtScanOp;

/* ---- one prepared plan; made by block.c, run by anyone in dvm/ ---- */

/*
 * Run a plan under the active snapshot, rows to dest; params may be NULL.
 * Deltas and key sets it reads are looked up in "env" by name.
 * The receiver's tuple descriptor is checked against what was compiled.
 */
extern void pgt_plan_run(PgtPlan *plan, QueryEnvironment *env,
						 ParamListInfo params, DestReceiver *dest);
extern int64 pgt_plan_run_into(PgtPlan *plan, QueryEnvironment *env,
							   Tuplestorestate *into);

/* ---- REDUCE ---- */

/* How one aggregate is kept (docs/operators.md has the table). */
typedef enum PgtAggMethod
{
	PGT_AGG_MOVING,				/* forward / inverse transition functions of pg_aggregate */
	PGT_AGG_BOOL,				/* bool_and, bool_or, every: two counts */
	PGT_AGG_EXTREME,			/* min, max: bounded list of the best values */
	PGT_AGG_RECOMPUTE			/* touched groups evaluated by the executor */
} PgtAggMethod;

typedef struct PgtAggSpec
{
	Aggref	   *aggref;			/* over the columns of the block below; args as in the query */
	int			nargs;			/* direct transition inputs, without ORDER BY extras */
	int		   *arg_cols;		/* 1-based columns of the input delta */
	int			filter_col;		/* 1-based bool column of the input delta, 0 = none */
	PgtAggMethod method;		/* set by aggregate.c */
	void	   *plan;			/* method's private read-only plan (fmgr infos, types) */
	AttrNumber	state_attno;	/* column of the state table, 0 = none (RECOMPUTE) */
	AttrNumber	out_attno;		/* column of the state table holding the last emitted result */
} PgtAggSpec;

typedef struct PgtKeySpec
{
	int			in_col;			/* 1-based column of the input delta */
	Oid			type;
	int32		typmod;
	Oid			collation;
	Oid			eqop;			/* grouping equality */
	Oid			sortop;			/* or InvalidOid */
	Oid			hashfn;			/* type's hash function for eqop, or InvalidOid: see state.c */
	bool		image_equal;	/* equal values are always identical images */
	AttrNumber	state_attno;
} PgtKeySpec;

typedef struct PgtReduceOp
{
	PgtOp		op;				/* outdesc: keys, then aggregate results */
	int			nkeys;			/* 0: one group that always exists */
	PgtKeySpec *keys;
	int			naggs;			/* 0: DISTINCT */
	PgtAggSpec *aggs;
	bool		any_recompute;
	bool		any_rescan;		/* some aggregate may need the rows of a group again */
	int			image_col;		/* bool column of the input: only its true rows lend
								 * their image to the key shown; 0: all rows do */
	/*
	 * Both read the NEW state of the input, restricted to the groups in the
	 * named tuplestore PGT_KEYS_NAME (columns k1..kn, distinct, of the keys'
	 * types), which the caller registers in env.  nonnull: plan that joins by
	 * plain equality (indexes usable; no key in the set is NULL); the other
	 * one is right for NULLs too.  nkeys == 0: no restriction, no tuplestore.
	 */
	PgtPlan    *rescan[2];		/* [nonnull]: input rows: keys, args ..., as the input delta without weight */
	PgtPlan    *recompute[2];	/* [nonnull]: keys, then results of the RECOMPUTE aggregates in order */
	struct PgtKeySet *keyset;	/* of keys.c, set by prepare */
} PgtReduceOp;

#define PGT_KEYS_NAME "pgt_keys"

/* Of stream and state tables as they are made, in percent (ALTER TABLE ... SET
 * changes a stream table's); and how far the first fill goes: see writer.c. */
#define PGT_FILLFACTOR 90
#define PGT_FIRST_FILLFACTOR 75

/* aggregate.c: choose the method, fill plan, say what the state column is
 * (type and collation; InvalidOid: none). */
extern void pgt_agg_classify(PgtAggSpec *agg, Oid *state_type,
							 Oid *state_collation);
extern const char *pgt_agg_method_name(const PgtAggSpec *agg);	/* for explain_st */

/*
 * reduce.c: its run absorbs the input delta into the state table and appends
 * what changed (old result -1, new result +1; nothing where the images are the
 * same) to "out".  The input store is read twice (positive, then negative
 * weights), groups are held in memory up to refresh_work_mem and then written
 * out.  Deltas below must already be absorbed by the state tables below.
 * Building with nkeys == 0 makes the one row even for empty input.
 */
extern const PgtOpMethods pgt_reduce_methods;

/* state.c: the table pgtrickle_state.s<pgt_id>_<op id>. */
extern Oid	pgt_state_create(int64 pgt_id, PgtOp *op);
extern Oid	pgt_state_lookup(int64 pgt_id, const PgtOp *op);	/* InvalidOid if missing or of another shape */
extern void pgt_state_truncate(Oid state_relid);

/* ---- apply.c ---- */
/* Apply a delta (deltadesc of the stream table's columns) to a stream table:
 * consolidated first; deletions, updates, insertions; native.  Error XX001
 * when a row to delete is not there. */
extern void pgt_apply_delta(Oid st_relid, Tuplestorestate *delta,
							TupleDesc deltadesc, Tuplestorestate *out,
							PgtRunResult *result);
/* The same for a delta of insertions, row by row as they come; false, and
 * nothing done, when there is a deletion among them. */
extern bool pgt_apply_appends(Oid st_relid, Tuplestorestate *delta,
							  TupleDesc deltadesc, Tuplestorestate *out,
							  PgtRunResult *result);
/* difference.c: make the stored rows equal the rows in "rows" (no weight
 * column), touching only what differs by image. */
extern void pgt_apply_difference(Oid st_relid, Tuplestorestate *rows,
								 TupleDesc rowdesc, Tuplestorestate *out,
								 PgtRunResult *result);

/* rowid.c: identity of a stream table's rows. */
typedef struct PgtRowIdentity
{
	bool		by_key;
	Oid			index;
	int			nkeys;
	AttrNumber *key_attnos;
} PgtRowIdentity;
/* Create the identity index on a new stream table: unique on the key's
 * columns (NULLS NOT DISTINCT) or on pgtrickle.row_hash(...); sets REPLICA
 * IDENTITY so that publications do not break writes.  Returns the index. */
extern Oid	pgt_rowid_create(Oid st_relid, List *key_attnos);
/* May a value of the key be too long for a btree? */
extern bool pgt_rowid_may_overflow(Oid st_relid, List *key_attnos);
/* The index that pgt_rowid_create made, by its form, or InvalidOid: for a
 * table that came back from a dump. */
extern Oid	pgt_rowid_find(Oid st_relid);
extern void pgt_rowid_get(Oid st_relid, PgtRowIdentity *id);	/* from the index itself */
/* Keys too long for a btree (a write failed with 54000): identify by hash. */
extern Oid	pgt_rowid_switch_to_hash(Oid st_relid);

#endif							/* PGT_OP_H */
