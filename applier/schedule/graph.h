/*
 * applier/schedule/graph.h - the stream tables of a database and who reads
 * whom, as the scheduler holds them in memory.
 */
#ifndef PGT_SCHEDULE_GRAPH_H
#define PGT_SCHEDULE_GRAPH_H

#include "postgres.h"
#include "nodes/pg_list.h"
#include "utils/timestamp.h"

#include "applier/catalog/catalog.h"
#include "applier/schedule/schedule.h"
#include "applier/schedule/shared.h"

typedef enum PgtNodeStatus
{
	PGT_NODE_ACTIVE,			/* INITIALIZING or ACTIVE */
	PGT_NODE_SUSPENDED,
	PGT_NODE_ERROR
} PgtNodeStatus;

typedef struct PgtNode
{
	/* from the catalog, anew at each load */
	int64		pgt_id;
	Oid			relid;
	char	   *name;			/* schema.name, quoted where needed */
	PgtSchedule schedule;
	PgtNodeStatus status;
	bool		immediate;		/* maintained by its writers */
	bool		populated;
	bool		needs_reinit;
	bool		diamond_atomic;
	bool		diamond_slowest;
	bool		converges;		/* two branches meet here: see units.c */
	int			unit;			/* index, or -1: refreshed alone */
	bool		held;			/* by a gate or a watermark: see holds.c */
	bool		ages;			/* goes out of date without any change */
	int			consecutive_errors;

	/* edges, as indexes into the graph's arrays */
	int			nsources;
	int		   *sources;
	int			nupstream;
	int		   *upstream;		/* stream tables it reads */
	int			nconsumers;
	int		   *consumers;		/* stream tables that read it */
	/* effective clocks: its own, or those of the stream tables that read it */
	int64		interval_ms;	/* shortest; 0: continuous, -1: cron lines only */
	int			ncrons;
	const PgtCron **crons;
	int64		phase_ms;		/* of the grid; one for all that are connected */

	/* the scheduler's own, kept over loads */
	bool		changed;		/* a source changed since the last start */
	bool		running;
	bool		hard_failed;	/* not before the catalog changes */
	int			failures;		/* in a row, of this scheduler's watch */
	int			skips;			/* in a row: somebody else was refreshing */
	int			slowdown;		/* factor on the interval, 1 .. 8 */
	int			last_worker;	/* slot that keeps its plans, or -1 */
	TimestampTz started_at;
	TimestampTz finished_at;
	TimestampTz ticked_at;		/* cron times up to here are of no concern */
	TimestampTz cron_base;		/* of cron_due, computed in cron_zone */
	TimestampTz cron_due;
	pg_tz	   *cron_zone;
	TimestampTz next_try;		/* not before, after an error */
	TimestampTz late_since;		/* due or running without an end, 0: not */
	bool		told_late;
	TimestampTz wanted_since;	/* due since, 0: not waiting */
	int			refreshes;		/* that changed rows, not announced yet */
	int64		rows_inserted;	/* by them */
	int64		rows_deleted;

	/* of one pass */
	TimestampTz due;
	bool		will_run;
} PgtNode;

typedef struct PgtGraphSource
{
	Oid			relid;
	uint32		dirty_bit;
	int			nreaders;
	int		   *readers;
	/* kept over loads */
	bool		clean_wanted;	/* its buffer was read since the last clean-up */
	int64		consumed;		/* changes since then */
	TimestampTz cleaned_at;
	bool		told_growth;	/* that its buffer has grown too large */
} PgtGraphSource;

/* Refreshed in one transaction, or not at all. */
typedef struct PgtUnit
{
	int			nmembers;
	const int  *members;		/* node indexes, upstream first */
	bool		slowest;		/* due when all are, not when one is */
} PgtUnit;

typedef struct PgtGraph
{
	MemoryContext context;		/* holds all of it */
	int			nnodes;
	PgtNode    *nodes;			/* by pgt_id */
	int		   *order;			/* node indexes, upstream first */
	int			nsources;
	PgtGraphSource *sources;	/* by relid */
	int			nunits;
	PgtUnit    *units;
	List	   *gates;			/* of what holds.c has seen */
	List	   *watermarks;
} PgtGraph;

/*
 * Read the catalog, in the caller's transaction, into a new context under
 * "parent".  What the scheduler knows of nodes and sources is taken over from
 * "old" (may be NULL), which stays as it is: the caller frees it.
 */
extern PgtGraph *pgt_graph_load(MemoryContext parent, const PgtGraph *old);
extern PgtNodeStatus pgt_graph_status(const PgtStreamTable *st);
extern PgtNode *pgt_graph_find(PgtGraph *graph, int64 pgt_id);
extern PgtGraphSource *pgt_graph_source(const PgtGraph *graph, Oid relid);

/* Dirty bits -> changed flags.  Cron times that passed before are over for
 * stream tables that had nothing to do. */
extern void pgt_graph_see_changes(PgtGraph *graph, PgtDatabaseSlot *db,
								  TimestampTz now);
/* A refresh of the node starts: what commits from now on is news. */
extern void pgt_graph_take_changes(PgtGraph *graph, PgtDatabaseSlot *db,
								   PgtNode *node);

/* Fill due and will_run of all nodes. */
extern void pgt_graph_compute_due(PgtGraph *graph, TimestampTz now);
/* Would the node be refreshed if it were due, for its own sake? */
extern bool pgt_graph_wants(const PgtNode *node);
/* The same for all that is refreshed with it: one wants, all can. */
extern bool pgt_graph_unit_wants(const PgtGraph *graph, const PgtNode *node);
/* Must one of its unit wait for a stream table it reads? */
extern bool pgt_graph_is_held(const PgtGraph *graph, const PgtNode *node);

#endif							/* PGT_SCHEDULE_GRAPH_H */
