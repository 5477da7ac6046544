/*
 * applier/catalog/catalog.h - the pgtrickle.* tables as structs.
 *
 * Rows are read and written natively (index scan, CatalogTupleInsert /
 * Update), so the functions work for any current user: callers have checked
 * rights before.  Readers see the latest committed state plus their own
 * transaction's (a catalog-style snapshot).  Results are palloc'd in the
 * current memory context.  Writers take RowExclusiveLock on the table until
 * commit.  Relations of the extension are looked up by name once and cached
 * per backend until the extension is dropped.
 */
#ifndef PGT_CATALOG_H
#define PGT_CATALOG_H

#include "postgres.h"
#include "access/attnum.h"
#include "access/transam.h"
#include "access/xlogdefs.h"
#include "nodes/pg_list.h"
#include "utils/timestamp.h"

#include "applier/catalog/frontier.h"

typedef enum PgtCatalogTable
{
	PGT_TABLE_DEFINITIONS,
	PGT_TABLE_STATE,
	PGT_TABLE_PROGRESS,
	PGT_TABLE_SOURCES,
	PGT_TABLE_DEPENDENCIES,
	PGT_TABLE_IMMEDIATE,
	PGT_TABLE_HISTORY,
	PGT_TABLE_GATES,
	PGT_TABLE_WATERMARKS,
	PGT_TABLE_WATERMARK_GROUPS,
	PGT_TABLE_REFRESH_GROUPS,
	PGT_TABLE_DECODER
} PgtCatalogTable;

/* Is the extension installed in this database (and not being created)? */
extern bool pgt_extension_installed(void);
extern Oid	pgt_extension_oid(void);	/* errors if not installed */
extern Oid	pgt_extension_owner(void);
extern Oid	pgt_catalog_relid(PgtCatalogTable table);
extern Oid	pgt_schema_oid(void);			/* pgtrickle */
extern Oid	pgt_changes_schema_oid(void);
extern Oid	pgt_state_schema_oid(void);

/* ---- stream tables: definition + state in one struct ---- */
typedef struct PgtStreamTable
{
	int64		pgt_id;
	/* pgt_definitions */
	char	   *schema;
	char	   *name;
	char	   *original_query;
	char	   *defining_query;
	char	   *schedule;		/* NULL = calculated */
	char	   *refresh_mode;	/* AUTO, DIFFERENTIAL, FULL, IMMEDIATE */
	char	   *diamond_consistency;
	char	   *diamond_schedule_policy;
	char	   *requested_cdc_mode; /* or NULL */
	bool		append_only;
	bool		suspended;
	List	   *pinned_settings;	/* of char*, "name=value" */
	TimestampTz created_at;
	TimestampTz updated_at;
	/* pgt_state */
	Oid			relid;
	char	   *status;
	char	   *effective_mode;
	char	   *effective_mode_reason;	/* or NULL */
	char	   *query_tree;
	int32		tree_version;
	char	   *row_identity;	/* "key" or "hash" */
	Oid			identity_index;
	uint64		system_identifier;
	Oid			database_oid;
	bool		needs_reinit;
	char	   *reinit_reason;	/* or NULL */
	int64		topk_limit;		/* LIMIT of the whole query, -1: none */
	int64		topk_offset;	/* its OFFSET, -1: none */
} PgtStreamTable;

extern PgtStreamTable *pgt_stream_table_get(int64 pgt_id, bool missing_ok);
extern PgtStreamTable *pgt_stream_table_by_relid(Oid relid, bool missing_ok);
extern List *pgt_stream_table_all(void);	/* of PgtStreamTable*, by pgt_id */
/* Insert all three rows; pgt_id 0: a new one is drawn, else the definition
 * is there already (restore). */
extern int64 pgt_stream_table_insert(PgtStreamTable *st);
extern void pgt_stream_table_update(PgtStreamTable *st);	/* definition, state */
/* The refresh lock, to be held by whoever changes what is stored of a stream
 * table, until the transaction ends.  False: !wait, and another has it. */
extern bool pgt_stream_table_lock(int64 pgt_id, bool wait);
/* The same lock for writers of an IMMEDIATE stream table who lock its groups one
 * by one: they exclude those who hold it, not each other. */
extern void pgt_stream_table_lock_shared(int64 pgt_id);
extern bool pgt_stream_table_is_locked_shared(int64 pgt_id);
/* Wait for whoever is changing what the server knows of a stream table, and
 * keep others from changing it until the transaction ends.  For those who
 * cannot take the refresh lock, because they hold locks that come after it. */
extern void pgt_stream_table_await(int64 pgt_id);
/* Definitions without a state row: what a restore left (api/restore.c). */
extern List *pgt_stream_table_unrestored(void);
/* Only pgt_state's status and rebuild mark; other sessions' hooks unaffected. */
extern void pgt_stream_table_set_status(int64 pgt_id, const char *status,
										bool needs_reinit,
										const char *reinit_reason);
extern void pgt_stream_table_delete(int64 pgt_id);	/* all rows, dependencies, history */
/* Is its refresh mode IMMEDIATE?  Reads the definition's row only. */
extern bool pgt_stream_table_is_immediate(int64 pgt_id);

/* Cheap test for hooks: is relid a stream table / a table of the engine
 * (buffer, state)?  Answered from a per-backend set, kept by invalidation. */
extern bool pgt_is_stream_table(Oid relid);
extern bool pgt_is_engine_table(Oid relid);
extern bool pgt_is_source(Oid relid);

/* ---- progress: the hot row ---- */
typedef struct PgtProgress
{
	int64		pgt_id;
	bool		is_populated;
	PgtFrontier *frontier;		/* NULL: never filled */
	XLogRecPtr	frontier_lsn;	/* WAL it was read up to; invalid: not from the WAL */
	TimestampTz data_timestamp; /* 0: none */
	TimestampTz last_refresh_at;	/* 0: none */
	int32		consecutive_errors;
	char	   *last_error;		/* or NULL */
	char	   *last_sqlstate;	/* or NULL */
	int64		n_differential;
	int64		n_full;
	int64		n_failed;
	int64		rows_inserted;
	int64		rows_deleted;
	int64		changes_consumed;
	double		total_ms;
	double		max_ms;
	char	   *last_action;	/* or NULL */
	double		last_ms;
	double		full_ms;		/* negative: unknown */
	double		diff_fixed_ms;	/* negative: unknown */
	double		diff_change_ms; /* negative: unknown */
	char	   *state_error;	/* why there is no operator state, or NULL */
} PgtProgress;

extern void pgt_progress_insert(int64 pgt_id);
extern PgtProgress *pgt_progress_get(int64 pgt_id);
extern void pgt_progress_update(const PgtProgress *p);

/* ---- sources ---- */
typedef struct PgtSource
{
	Oid			relid;
	char	   *cdc_mode;		/* TRIGGER, TRANSITIONING, WAL, STREAM */
	char	   *capture_form;	/* statement, row, none */
	int			ncolumns;
	AttrNumber *columns;		/* ascending */
	int64		signature;
	int16		segment;
	FullTransactionId switched_at;	/* invalid: never */
	PgtFrontier *handover;		/* H of the last hand-over, or NULL */
	char	   *blocked_reason; /* or NULL */
	bool		full_required;	/* an old row was missing from the WAL */
	TimestampTz since;
} PgtSource;

extern PgtSource *pgt_source_get(Oid relid, bool missing_ok);
extern List *pgt_source_all(void);
/* Writers of a source's row invalidate the source's relcache entry, so that
 * capture triggers in other sessions read it anew. */
extern void pgt_source_insert(const PgtSource *s);
extern void pgt_source_update(const PgtSource *s);
extern void pgt_source_delete(Oid relid);

/* ---- decoder: how far the WAL is in the buffers; one row, or none ---- */
typedef struct PgtDecoder
{
	XLogRecPtr	position;		/* written together with what lies before it */
	uint64		system_identifier;
	Oid			database_oid;	/* whose slot it is about */
	TimestampTz created_at;		/* of the slot */
	int64		n_lost;			/* times that changes were missed */
	char	   *last_lost;		/* why the last time; or NULL */
} PgtDecoder;

extern PgtDecoder *pgt_decoder_get(void);	/* NULL: no row */
extern void pgt_decoder_put(const PgtDecoder *d);	/* insert or update */
extern void pgt_decoder_delete(void);

/* ---- dependencies ---- */
typedef struct PgtDependency
{
	int64		pgt_id;
	Oid			source_relid;
	char	   *source_type;	/* TABLE, STREAM_TABLE, VIEW, MATVIEW, FOREIGN_TABLE */
	int			ncolumns;
	AttrNumber *columns;		/* ascending */
} PgtDependency;

extern List *pgt_dependency_of(int64 pgt_id);	/* of PgtDependency* */
extern List *pgt_dependency_readers(Oid source_relid);	/* of PgtDependency* */
/* Those that are refreshed from its change buffer, and those that its writers
 * maintain (refresh_mode IMMEDIATE). */
extern List *pgt_dependency_deferred(Oid source_relid);
extern List *pgt_dependency_immediate(Oid source_relid);
extern void pgt_dependency_replace(int64 pgt_id, List *dependencies);

/* ---- markers of IMMEDIATE stream tables; see marker.c ---- */
extern void pgt_marker_insert(int64 pgt_id);
extern void pgt_marker_bump(const PgtStreamTable *st);

/* ---- history ---- */
typedef struct PgtRefreshRecord
{
	int64		refresh_id;		/* 0 before insert */
	int64		pgt_id;
	TimestampTz start_time;
	TimestampTz end_time;		/* 0: running */
	const char *action;
	const char *status;
	const char *initiated_by;
	int64		rows_inserted;
	int64		rows_deleted;
	int64		changes_consumed;
	double		duration_ms;
	const char *reason;			/* or NULL */
	const char *sqlstate;		/* or NULL */
	const char *error_message;	/* or NULL */
} PgtRefreshRecord;

extern int64 pgt_history_insert(PgtRefreshRecord *r);	/* sets and returns refresh_id */
extern void pgt_history_update(const PgtRefreshRecord *r);
/* RUNNING rows of a dead server or worker become FAILED; returns how many */
extern int	pgt_history_fail_running(int64 pgt_id_or_0, const char *message);
extern int64 pgt_history_prune(TimestampTz older_than, int64 max_rows);

#endif							/* PGT_CATALOG_H */
