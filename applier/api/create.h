/*
 * applier/api/create.h - making stream tables; shared by create, alter, restore.
 */
#ifndef PGT_CREATE_H
#define PGT_CREATE_H

#include "postgres.h"
#include "nodes/parsenodes.h"

#include "applier/api/options.h"
#include "applier/catalog/catalog.h"
#include "applier/dvm/dvm.h"

/* A defining query, analysed and judged. */
typedef struct PgtPlannedQuery
{
	char	   *text;
	Query	   *query;
	Query	   *expanded;
	PgtQueryCheck *check;
	const char *effective_mode; /* DIFFERENTIAL or FULL */
	char	   *reason;			/* why not what was asked for, or NULL */
} PgtPlannedQuery;

/*
 * Analyse under the current user and search_path, with row_security off;
 * refuse what cannot be (in "refresh_mode"); check SELECT on what is read and
 * TRIGGER or ownership on what will be captured.
 */
extern PgtPlannedQuery *pgt_plan_query_for(const char *text,
										   const char *refresh_mode);

/* Output columns -> a new table owned by the current user. */
extern Oid	pgt_create_storage(const PgtPlannedQuery *q, Oid schema,
							   const char *name);

/*
 * The columns that tell its rows apart, NIL: a hash of the row does.  A refresh
 * that meets a key too long for a btree exchanges the index for one on the hash;
 * a writer, who holds locks others wait for, cannot: IMMEDIATE stream tables have
 * no keys of unbounded text.
 */
extern List *pgt_create_row_key(const PgtPlannedQuery *q, Oid relid);

/* Fill in what the server knows of a stream table: st->relid etc. */
extern void pgt_fill_state(PgtStreamTable *st, const PgtPlannedQuery *q);

/* create_stream_table's work; checked options; returns the relation. */
extern Oid	pgt_create_stream_table(const char *name, const char *query,
									PgtOptions *options, bool initialize);

/* after the catalog rows exist: state tables */
extern void pgt_create_state(const PgtStreamTable *st);

/* Rebuild what a restore left of a stream table: for the scheduler. */
extern void pgt_restore_stream_table(int64 pgt_id);

#endif							/* PGT_CREATE_H */
