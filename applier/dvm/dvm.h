/*
 * applier/dvm/dvm.h - the engine's face: defining query in, program out;
 * deltas in, rows of the stream table changed.
 *
 * dvm/ knows nothing of workers, buffers or schedules: whoever calls hands in
 * the snapshot (pushed as the active snapshot) and the source deltas.
 *
 * Life of a query here:
 *   pgt_query_parse      text -> analysed Query (not rewritten)
 *   pgt_query_expand     views expanded, exact float aggregates put in
 *   pgt_query_check      what may not be, what is only FULL, what is used
 *   pgt_program_compile  expanded Query -> operator tree with state tables
 *   pgt_program_run      deltas -> stream table (one refresh)
 *   pgt_program_rebuild  everything anew from the base tables, by difference
 */
#ifndef PGT_DVM_H
#define PGT_DVM_H

#include "postgres.h"
#include "access/attnum.h"
#include "nodes/parsenodes.h"
#include "utils/snapshot.h"
#include "utils/tuplestore.h"

#include "decoder/compat.h"

/* ---- query.c: parse and expand ---- */

/* Parse and analyse one SELECT under the caller's search_path and rights.
 * Errors: 42601 not exactly one statement, 0A000 not a SELECT. */
extern Query *pgt_query_parse(const char *text);

/* Rewritten copy: views become subqueries (security barriers kept), SELECT
 * privileges noted for their owners, row security of the current user raises
 * (row_security = off must be set by the caller), sums and statistics over
 * float4/float8 replaced by their exact aggregates. */
extern Query *pgt_query_expand(const Query *query);

/* Deparse with every name qualified: text that means the same under
 * search_path = pg_catalog, pg_temp; re-analysed and compared, error
 * if it cannot be said in SQL. */
extern char *pgt_query_deparse(const Query *query);

typedef struct PgtSourceUse
{
	Oid			relid;
	char	   *source_type;	/* as in pgt_dependencies */
	Bitmapset  *columns;		/* attribute numbers used (plain, not offset);
								 * 0: rows as values, besides all columns */
	bool		only;			/* FROM ONLY */
} PgtSourceUse;

typedef struct PgtQueryCheck
{
	/* refused in every mode */
	bool		refused;
	/* not differential: FULL under AUTO, refused for DIFFERENTIAL, IMMEDIATE */
	bool		full_only;
	/* of the first refusal or full_only reason found: */
	int			sqlstate;
	char	   *construct;		/* "LIMIT without ORDER BY" */
	char	   *detail;			/* or NULL */
	char	   *hint;			/* or NULL */
	int			location;		/* byte offset in the text, -1 unknown */
	bool		uses_stable;	/* settings must be pinned */
	List	   *sources;		/* of PgtSourceUse*: tables, stream tables, matviews, foreign tables */
	List	   *views;			/* of PgtSourceUse*: views passed through */
	int64		topk_limit;		/* LIMIT and OFFSET of the whole query, -1: none */
	int64		topk_offset;
	List	   *object_deps;	/* of ObjectAddress*: functions, types, operators, collations the query needs */
} PgtQueryCheck;

/* Both the query as parsed and its expansion are looked at. */
extern PgtQueryCheck *pgt_query_check(const Query *query, const Query *expanded);
/* Raise the refusal in check (ereport ERROR), naming the construct. */
PGT_NORETURN extern void pgt_query_refuse(const PgtQueryCheck *check,
										  const char *mode,
										  const char *query_text);

/* Output columns as CREATE TABLE would see them (names, types, typmods,
 * collations); errors on unusable ones (pseudo-types, duplicate names). */
extern TupleDesc pgt_query_result_desc(const Query *query);

/* ---- program.c ---- */

typedef struct PgtProgram PgtProgram;	/* read-only after compile */

/*
 * Compile for the stream table pgt_id.  differential == false compiles only
 * the FULL plan.  Lives in its own memory context below "parent"; plans are
 * made on first use.  pgt_program_valid turns false when anything it was
 * compiled against changed (relation, function, type, operator): the caller
 * frees it and compiles again.
 */
extern PgtProgram *pgt_program_compile(int64 pgt_id, Oid st_relid,
									   const Query *expanded,
									   bool differential,
									   MemoryContext parent);
extern bool pgt_program_valid(const PgtProgram *program);
extern void pgt_program_free(PgtProgram *program);

/* Make (empty) state tables, named pgtrickle_state.s<pgt_id>_<op id>, members
 * of the extension; drop them.  Called by create, alter and rebuild after DDL,
 * before/after compile as the order says: create works on a compiled program. */
extern void pgt_program_create_state(PgtProgram *program);
extern void pgt_state_drop_all(int64 pgt_id);

/* Row identity for a new stream table: derives the key of the query's output
 * (attribute numbers of the output; NIL = no key: hash of the row image).
 * See dvm/rowid.h. */
extern List *pgt_query_output_key(const Query *expanded);

/* What the program wants as deltas: one entry per distinct source relation. */
typedef struct PgtSourceDelta
{
	Oid			relid;
	int			ncolumns;
	AttrNumber *columns;		/* ascending; order of the delta's columns */
	TupleDesc	desc;			/* those columns, then pgt_w int8 */
	Tuplestorestate *delta;		/* filled by the caller, NULL = no change */
	int64		changes;		/* rows in it */
} PgtSourceDelta;

/* Fresh array of the program's sources, in the current context. */
extern PgtSourceDelta *pgt_program_sources(const PgtProgram *program,
										   int *nsources);

/* How many inputs of the program have a delta: a source that is read twice
 * counts twice. */
extern int	pgt_program_changed_inputs(const PgtProgram *program,
									   const PgtSourceDelta *deltas,
									   int ndeltas);

/* Does it combine what operators with state keep?  Then state is kept for rows
 * that the query may never ask for, and evaluating them may fail where the
 * query does not. */
extern bool pgt_program_is_eager(const PgtProgram *program);

typedef struct PgtRunResult
{
	int64		rows_inserted;	/* an UPDATE of a stored row counts in both */
	int64		rows_deleted;
} PgtRunResult;

/*
 * One differential refresh: deltas of all sources between two frontiers, the
 * active snapshot being the new one (with its command id brought up to date
 * by the engine itself after its own writes).  Runs with the caller's user id.
 * "out", when not NULL, receives the stream table's own delta (its columns, then
 * weight), for the buffer of stream tables that read it; the descriptor is
 * pgt_program_output_desc.  Errors leave it to the transaction to undo.
 */
/* From the next run on: take the result's delta for insertions, if it is so. */
extern void pgt_program_expect_appends(PgtProgram *program, bool appends);

extern void pgt_program_run(PgtProgram *program, PgtSourceDelta *deltas,
							int ndeltas, Tuplestorestate *out,
							PgtRunResult *result);

/*
 * Can several transactions run the program at once, each holding no more than
 * the rows of the groups it changes?  Then they may, with this.  The active
 * snapshot is exchanged for later ones at READ COMMITTED.
 */
extern bool pgt_program_locks_groups(const PgtProgram *program);
extern void pgt_program_run_concurrently(PgtProgram *program,
										 PgtSourceDelta *deltas, int ndeltas,
										 Tuplestorestate *out,
										 PgtRunResult *result);

/*
 * FULL: run the query under the active snapshot and apply the difference to
 * the stored rows.  with_state: rebuild the state tables too (differential
 * programs).  An expression may fail for a row of state that the query itself
 * never reaches: then the rows come from the query alone, the error's message
 * is returned, and the caller must not run the program differentially before a
 * rebuild has returned NULL.
 */
extern char *pgt_program_rebuild(PgtProgram *program, bool with_state,
								Tuplestorestate *out, PgtRunResult *result);

extern TupleDesc pgt_program_output_desc(const PgtProgram *program);

/* Check SELECT privileges of the original query, for the current user and the
 * views' owners: ereport 42501 when one is gone. */
extern void pgt_program_check_rights(const PgtProgram *program);

/* explain_st: calls emit(arg, property, value) per line. */
typedef void (*PgtExplainEmit) (void *arg, const char *property,
								const char *value);
extern void pgt_program_explain(PgtProgram *program, bool analyze,
								PgtExplainEmit emit, void *arg);

/* The FULL query as text (with exact aggregates): the tests' oracle. */
extern char *pgt_program_full_query(const PgtProgram *program);

/* True while the engine itself writes stream tables, state or buffers: the
 * guards against direct DML let it pass.  Reset by transaction abort. */
extern bool pgt_engine_is_writing(void);
extern void pgt_engine_begin_write(void);
extern void pgt_engine_end_write(void);

#endif							/* PGT_DVM_H */
