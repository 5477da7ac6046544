/*
 * applier/refresh/immediate.h - refresh_mode IMMEDIATE: between the files that
 * maintain stream tables inside their writers' transactions, and what api/ asks
 * of them.
 *
 *   immediate.c    the trigger function; statements counted, so that what one
 *                  does is maintained at its end
 *   changes.c      what statements changed, as lists of rows; deltas from it
 *   readers.c      per-backend cache: who reads a source, who is maintained
 *   maintenance.c  changes -> deltas -> programs, in topological order
 */
#ifndef PGT_IMMEDIATE_H
#define PGT_IMMEDIATE_H

#include "postgres.h"
#include "commands/trigger.h"
#include "nodes/pg_list.h"
#include "utils/relcache.h"
#include "utils/tuplestore.h"

#include "applier/catalog/catalog.h"
#include "applier/dvm/dvm.h"

/* ---- readers.c ---- */

/* An IMMEDIATE stream table, as cached.  Valid until pgt_readers_release. */
typedef struct PgtReader
{
	int64		pgt_id;
	PgtStreamTable *st;
	bool		active;			/* its writers maintain it */
	bool		stateless;		/* its operators' state could not be built */
	int			level;			/* 0: reads tables only; else above its sources' */
	List	   *dependencies;	/* of PgtDependency* */
	List	   *sources;		/* oids: tables and stream tables it reads */
	bool		read_on;		/* has readers of either mode ... */
	bool		has_deferred;	/* ... and some that wait for its buffer */
} PgtReader;

/* Sources that rows of a relation belong to, if those are being read. */
typedef struct PgtFired
{
	Oid			relid;			/* hash key */
	List	   *by_statement;	/* oids: their changes come in transition tables */
	List	   *by_row;			/* oids: in row triggers */
} PgtFired;

extern PgtFired *pgt_readers_fired(Relation rel);
/* of PgtReader*, active ones and others */
extern List *pgt_readers_of(Oid source);
/* NULL: it is no IMMEDIATE stream table (any more) */
extern PgtReader *pgt_readers_get(int64 pgt_id);
/* Changes whenever what was cached is no longer true. */
extern uint64 pgt_readers_generation(void);
/* Nobody holds anything that this module gave. */
extern void pgt_readers_release(void);

/* ---- changes.c ---- */

/* What a statement did to a relation, or a maintained stream table's delta. */
typedef struct PgtChange
{
	Oid			relid;			/* whose columns the rows have */
	List	   *sources;		/* oids of sources that the rows belong to */
	bool		truncated;
	TupleDesc	desc;
	Tuplestorestate *old_rows;
	Tuplestorestate *new_rows;
	Tuplestorestate *delta;		/* instead: rows of desc, the last column a weight */
	bool		owned;			/* the stores are ours to end */
	bool		by_row;			/* rows still come */
	SubTransactionId subid;
} PgtChange;

extern int	pgt_changes_count(void);
extern PgtChange *pgt_changes_get(int i);
/* The transition tables of a trigger; "keep": they are copied. */
extern void pgt_changes_add_statement(const TriggerData *td, List *sources,
									  bool keep);
extern void pgt_changes_add_row(const TriggerData *td, List *sources);
extern void pgt_changes_add_truncate(Relation rel, List *sources);
/* A stream table's own delta; the store changes hands. */
extern void pgt_changes_add_delta(Oid relid, TupleDesc desc,
								  Tuplestorestate *delta);
/* Append what changes from number "from" on did to d's relation to d->delta.
 * False: it was truncated. */
extern bool pgt_changes_collect(int from, PgtSourceDelta *d);
extern Tuplestorestate *pgt_changes_new_store(void);
extern void pgt_changes_forget(void);
extern void pgt_changes_abort(SubTransactionId subid);
extern void pgt_changes_commit(SubTransactionId subid, SubTransactionId parent);

/* ---- maintenance.c ---- */

/* Bring every stream table up to date with the changes noted, until there are
 * none that it has not seen. */
extern void pgt_maintenance_run(void);

/* ---- immediate.c ---- */
extern void pgt_immediate_init(void);	/* from _PG_init */
/* After a refresh of a stream table: maintain those that read it. */
extern void pgt_immediate_pass_on(Oid relid, TupleDesc desc,
								  Tuplestorestate *delta);

/* ---- immediate_lock.c ---- */

/*
 * Before a stream table's refresh lock: the locks that its writers take before
 * it, in their order.  begin: nobody may be writing the sources (it starts or
 * ceases to be maintained by them).  False: !wait, and somebody is in the way.
 */
extern bool pgt_immediate_lock_sources(const PgtStreamTable *st, bool begin,
									   bool wait);
/* Is it maintained by its writers now? */
extern bool pgt_immediate_is_active(const PgtStreamTable *st);
/* 0A000 when a source of an IMMEDIATE stream table is a deferred one. */
extern void pgt_immediate_check_sources(const PgtStreamTable *st,
										List *dependencies);
/* 2BP01 when IMMEDIATE stream tables read st, which is to be deferred or emptied. */
extern void pgt_immediate_check_readers(const PgtStreamTable *st);

#endif							/* PGT_IMMEDIATE_H */
