/*
 * applier/schedule/graph.c - the scheduler's picture of a database: stream
 * tables, their sources, due times.
 *
 * Nothing here waits or writes.  Loading reads the catalog in the caller's
 * transaction; everything else is arithmetic over memory.
 *
 * Due times.  A duration is due its interval after the last start,
 * `continuous` at once.  `calculated` follows the stream tables that read it:
 * it is due with the earliest of them, but not sooner after its own last
 * start than their shortest interval (an upstream whose result does not
 * change leaves its readers' clocks standing, and would run at every commit);
 * read by nobody, it has pg_trickle.default_schedule.
 *
 * Order.  A reader is held while a stream table that it reads runs or is
 * about to, unless that one has finished since the reader's last start:
 * then there is something new to read, and an upstream that never rests
 * does not starve its readers.
 */
#include "postgres.h"

#include "utils/builtins.h"
#include "utils/memutils.h"

#include "applier/catalog/catalog.h"
#include "applier/refresh/refresh.h"
#include "applier/schedule/graph.h"
#include "applier/settings.h"

#define PGT_FALLBACK_INTERVAL_MS 1000

/* ---- loading ---- */

PgtNodeStatus
pgt_graph_status(const PgtStreamTable *st)
{
	if (st->suspended || strcmp(st->status, "SUSPENDED") == 0)
		return PGT_NODE_SUSPENDED;
	if (strcmp(st->status, "ERROR") == 0)
		return PGT_NODE_ERROR;
	return PGT_NODE_ACTIVE;
}

static void
set_schedule(PgtNode *node, const char *text)
{
	if (pgt_schedule_try_parse(text, &node->schedule))
		return;
	ereport(WARNING,
			(errmsg("stream table %s has a schedule that this version does not know: \"%s\"",
					node->name, text),
			 errdetail("It is refreshed as a calculated one.")));
	node->schedule.kind = PGT_SCHEDULE_CALCULATED;
}

static void
load_node(PgtNode *node, const PgtStreamTable *st)
{
	PgtProgress *progress = pgt_progress_get(st->pgt_id);

	memset(node, 0, sizeof(*node));
	node->pgt_id = st->pgt_id;
	node->relid = st->relid;
	node->name = quote_qualified_identifier(st->schema, st->name);
	node->status = pgt_graph_status(st);
	node->immediate = strcmp(st->effective_mode, "IMMEDIATE") == 0;
	node->populated = progress != NULL && progress->is_populated;
	node->needs_reinit = st->needs_reinit;
	node->ages = pgt_refresh_ages_by_itself(st);
	node->consecutive_errors = progress != NULL ? progress->consecutive_errors : 0;
	set_schedule(node, st->schedule);
	node->changed = true;		/* for all we know; the refresh will tell */
	node->failures = node->consecutive_errors;
	node->slowdown = 1;
	node->last_worker = -1;
	if (progress != NULL)
		node->started_at = node->finished_at = progress->last_refresh_at;
}

static void
take_over_node(PgtNode *node, const PgtNode *old)
{
	node->changed = old->changed;
	node->running = old->running;
	node->hard_failed = old->hard_failed;
	node->failures = node->consecutive_errors == 0 ? 0 : old->failures;
	node->skips = old->skips;
	node->slowdown = old->slowdown;
	node->last_worker = old->last_worker;
	node->started_at = old->started_at;
	node->finished_at = old->finished_at;
	node->next_try = old->next_try;
	node->wanted_since = old->wanted_since;
	node->refreshes = old->refreshes;
	node->rows_inserted = old->rows_inserted;
	node->rows_deleted = old->rows_deleted;
}

static int
compare_oid(const void *a, const void *b)
{
	Oid			x = *(const Oid *) a;
	Oid			y = *(const Oid *) b;

	return x < y ? -1 : x > y;
}

static int
compare_node(const void *a, const void *b)
{
	int64		x = ((const PgtNode *) a)->pgt_id;
	int64		y = ((const PgtNode *) b)->pgt_id;

	return x < y ? -1 : x > y;
}

/* relid is the first member of a source */
static PgtGraphSource *
find_source(const PgtGraph *graph, Oid relid)
{
	if (graph->nsources == 0)
		return NULL;
	return bsearch(&relid, graph->sources, graph->nsources,
				   sizeof(PgtGraphSource), compare_oid);
}

PgtNode *
pgt_graph_find(PgtGraph *graph, int64 pgt_id)
{
	PgtNode		key = {.pgt_id = pgt_id};

	if (graph->nnodes == 0)
		return NULL;
	return bsearch(&key, graph->nodes, graph->nnodes, sizeof(PgtNode),
				   compare_node);
}

static void
collect_sources(PgtGraph *graph, List **dependencies)
{
	int			total = 0;
	Oid		   *oids;

	for (int i = 0; i < graph->nnodes; i++)
		total += list_length(dependencies[i]);
	oids = palloc(sizeof(Oid) * (total + 1));
	total = 0;
	for (int i = 0; i < graph->nnodes; i++)
	{
		ListCell   *lc;

		foreach(lc, dependencies[i])
			oids[total++] = ((PgtDependency *) lfirst(lc))->source_relid;
	}
	qsort(oids, total, sizeof(Oid), compare_oid);
	graph->sources = palloc0(sizeof(PgtGraphSource) * (total + 1));
	for (int i = 0, next; i < total; i = next)
	{
		PgtGraphSource *source = &graph->sources[graph->nsources++];

		for (next = i + 1; next < total && oids[next] == oids[i]; next++)
			 /* count its readers */ ;
		source->relid = oids[i];
		source->dirty_bit = pgt_shared_dirty_bit(oids[i]);
		source->readers = palloc(sizeof(int) * (next - i));
	}
}

/* A stream table has at most as many consumers as its relation is read. */
static void
make_room_for_consumers(PgtGraph *graph, List **dependencies)
{
	int		   *counts = palloc0(sizeof(int) * (graph->nsources + 1));

	for (int i = 0; i < graph->nnodes; i++)
	{
		ListCell   *lc;

		foreach(lc, dependencies[i])
		{
			PgtDependency *dependency = lfirst(lc);

			counts[find_source(graph, dependency->source_relid) - graph->sources]++;
		}
	}
	for (int i = 0; i < graph->nnodes; i++)
	{
		PgtGraphSource *source = find_source(graph, graph->nodes[i].relid);

		if (source != NULL)
			graph->nodes[i].consumers =
				palloc(sizeof(int) * counts[source - graph->sources]);
	}
}

/* Which node is stored in this relation?  -1: none. */
static int
node_of_relation(const PgtGraph *graph, Oid relid)
{
	for (int i = 0; i < graph->nnodes; i++)
		if (graph->nodes[i].relid == relid)
			return i;
	return -1;
}

static void
connect_node(PgtGraph *graph, int index, List *dependencies)
{
	PgtNode    *node = &graph->nodes[index];
	ListCell   *lc;

	node->sources = palloc(sizeof(int) * (list_length(dependencies) + 1));
	node->upstream = palloc(sizeof(int) * (list_length(dependencies) + 1));
	foreach(lc, dependencies)
	{
		PgtDependency *dependency = lfirst(lc);
		PgtGraphSource *source = find_source(graph, dependency->source_relid);
		int			upstream;

		node->sources[node->nsources++] = source - graph->sources;
		source->readers[source->nreaders++] = index;
		if (strcmp(dependency->source_type, "STREAM_TABLE") != 0)
			continue;
		upstream = node_of_relation(graph, dependency->source_relid);
		if (upstream < 0 || upstream == index)
			continue;
		node->upstream[node->nupstream++] = upstream;
		graph->nodes[upstream].consumers[graph->nodes[upstream].nconsumers++] = index;
	}
}

/* Upstream first.  A cycle, which creation refuses, would end up at the end in
 * catalog order. */
static void
sort_topologically(PgtGraph *graph)
{
	int		   *missing = palloc(sizeof(int) * (graph->nnodes + 1));
	bool	   *placed = palloc0(sizeof(bool) * (graph->nnodes + 1));
	int			count = 0;

	graph->order = palloc(sizeof(int) * (graph->nnodes + 1));
	for (int i = 0; i < graph->nnodes; i++)
		missing[i] = graph->nodes[i].nupstream;
	for (int i = 0; i < graph->nnodes; i++)
	{
		if (missing[i] == 0)
		{
			graph->order[count++] = i;
			placed[i] = true;
		}
	}
	for (int next = 0; next < count; next++)
	{
		PgtNode    *node = &graph->nodes[graph->order[next]];

		for (int c = 0; c < node->nconsumers; c++)
		{
			if (--missing[node->consumers[c]] > 0)
				continue;
			graph->order[count++] = node->consumers[c];
			placed[node->consumers[c]] = true;
		}
	}
	for (int i = 0; i < graph->nnodes; i++)
		if (!placed[i])
			graph->order[count++] = i;
}

static int64
default_interval_ms(void)
{
	double		ms = pgt_default_schedule != NULL ?
		pgt_schedule_duration_ms(pgt_default_schedule) : -1;

	return ms > 0 ? (int64) ms : PGT_FALLBACK_INTERVAL_MS;
}

static int64
calculated_interval_ms(const PgtGraph *graph, const PgtNode *node)
{
	int64		shortest = -1;

	for (int c = 0; c < node->nconsumers; c++)
	{
		const PgtNode *consumer = &graph->nodes[node->consumers[c]];

		if (consumer->status != PGT_NODE_ACTIVE)
			continue;
		if (shortest < 0 || consumer->interval_ms < shortest)
			shortest = consumer->interval_ms;
	}
	return shortest >= 0 ? shortest : default_interval_ms();
}

/* Consumers first, so that calculated ones can look up. */
static void
compute_intervals(PgtGraph *graph)
{
	for (int i = graph->nnodes - 1; i >= 0; i--)
	{
		PgtNode    *node = &graph->nodes[graph->order[i]];

		if (node->immediate || node->schedule.kind == PGT_SCHEDULE_CONTINUOUS)
			node->interval_ms = 0;
		else if (node->schedule.kind == PGT_SCHEDULE_DURATION)
			node->interval_ms = Max(node->schedule.interval_ms, pgt_min_schedule);
		else
			node->interval_ms = calculated_interval_ms(graph, node);
	}
}

static void
take_over(PgtGraph *graph, const PgtGraph *old)
{
	for (int i = 0; i < graph->nnodes; i++)
	{
		PgtNode    *known = pgt_graph_find(unconstify(PgtGraph *, old),
										   graph->nodes[i].pgt_id);

		if (known != NULL)
			take_over_node(&graph->nodes[i], known);
	}
	for (int i = 0; i < graph->nsources; i++)
	{
		PgtGraphSource *source = &graph->sources[i];
		PgtGraphSource *known = find_source(old, source->relid);

		if (known == NULL)
			continue;
		source->clean_wanted = known->clean_wanted;
		source->consumed = known->consumed;
		source->cleaned_at = known->cleaned_at;
	}
}

PgtGraph *
pgt_graph_load(MemoryContext parent, const PgtGraph *old)
{
	MemoryContext context = AllocSetContextCreate(parent, "pg_trickle graph",
												  ALLOCSET_DEFAULT_SIZES);
	MemoryContext before = MemoryContextSwitchTo(context);
	PgtGraph   *graph = palloc0(sizeof(PgtGraph));
	List	   *all = pgt_stream_table_all();
	List	  **dependencies;
	ListCell   *lc;

	graph->context = context;
	graph->nodes = palloc0(sizeof(PgtNode) * (list_length(all) + 1));
	dependencies = palloc0(sizeof(List *) * (list_length(all) + 1));
	foreach(lc, all)
		load_node(&graph->nodes[graph->nnodes++], lfirst(lc));
	qsort(graph->nodes, graph->nnodes, sizeof(PgtNode), compare_node);
	for (int i = 0; i < graph->nnodes; i++)
		dependencies[i] = pgt_dependency_of(graph->nodes[i].pgt_id);
	collect_sources(graph, dependencies);
	make_room_for_consumers(graph, dependencies);
	for (int i = 0; i < graph->nnodes; i++)
		connect_node(graph, i, dependencies[i]);
	sort_topologically(graph);
	compute_intervals(graph);
	if (old != NULL)
		take_over(graph, old);
	MemoryContextSwitchTo(before);
	return graph;
}

/* ---- changes ---- */

static void
mark_readers(PgtGraph *graph, const PgtGraphSource *source)
{
	for (int r = 0; r < source->nreaders; r++)
		graph->nodes[source->readers[r]].changed = true;
}

/*
 * Bits stay set here: while they stand, writers wake nobody.  They are taken
 * when a refresh starts.
 */
void
pgt_graph_see_changes(PgtGraph *graph, PgtDatabaseSlot *db)
{
	bool		all = pg_atomic_read_u32(&db->all_dirty) != 0 &&
		pg_atomic_exchange_u32(&db->all_dirty, 0) != 0;

	for (int i = 0; i < graph->nsources; i++)
		if (all || pgt_shared_dirty_test(db, graph->sources[i].dirty_bit))
			mark_readers(graph, &graph->sources[i]);
}

/* Other readers of the source, and of sources that share its bit, have not
 * absorbed what the bit stood for. */
static void
take_bit(PgtGraph *graph, PgtDatabaseSlot *db, uint32 bit)
{
	if (!pgt_shared_dirty_test(db, bit) || !pgt_shared_dirty_take(db, bit))
		return;
	for (int i = 0; i < graph->nsources; i++)
		if (graph->sources[i].dirty_bit == bit)
			mark_readers(graph, &graph->sources[i]);
}

void
pgt_graph_take_changes(PgtGraph *graph, PgtDatabaseSlot *db, PgtNode *node)
{
	for (int i = 0; i < node->nsources; i++)
		take_bit(graph, db, graph->sources[node->sources[i]].dirty_bit);
	node->changed = false;
}

/* ---- due times ---- */

bool
pgt_graph_wants(const PgtNode *node)
{
	bool		build = !node->populated || node->needs_reinit;

	if (node->status != PGT_NODE_ACTIVE || node->hard_failed)
		return false;
	if (build)
		return true;
	/* one that ages and is continuous follows commits: it has no other clock */
	return !node->immediate &&
		(node->changed || (node->ages && node->interval_ms > 0));
}

/* When its schedule has it run, whether or not anything changed. */
static TimestampTz
scheduled_time(const PgtGraph *graph, const PgtNode *node)
{
	TimestampTz own = TimestampTzPlusMilliseconds(node->started_at,
												  node->interval_ms * node->slowdown);
	TimestampTz earliest = 0;

	if (node->schedule.kind != PGT_SCHEDULE_CALCULATED)
		return own;
	for (int c = 0; c < node->nconsumers; c++)
	{
		const PgtNode *consumer = &graph->nodes[node->consumers[c]];

		if (consumer->status != PGT_NODE_ACTIVE)
			continue;
		if (earliest == 0 || consumer->due < earliest)
			earliest = consumer->due;
	}
	return Max(own, earliest);
}

/* Would it run now if it could, or does it already? */
static bool
will_run(const PgtGraph *graph, const PgtNode *node, TimestampTz now)
{
	if (node->running)
		return true;
	if (node->due > now || node->next_try > now ||
		node->status != PGT_NODE_ACTIVE || node->hard_failed)
		return false;
	if (pgt_graph_wants(node))
		return true;
	for (int u = 0; u < node->nupstream; u++)
		if (graph->nodes[node->upstream[u]].will_run)
			return !node->immediate;
	return false;
}

void
pgt_graph_compute_due(PgtGraph *graph, TimestampTz now)
{
	for (int i = graph->nnodes - 1; i >= 0; i--)
	{
		PgtNode    *node = &graph->nodes[graph->order[i]];

		/* a clock that was set back must not stop anything */
		node->started_at = Min(node->started_at, now);
		node->finished_at = Min(node->finished_at, now);
		node->due = scheduled_time(graph, node);
		if (!node->populated || node->needs_reinit)
			node->due = Min(node->due, now);
	}
	for (int i = 0; i < graph->nnodes; i++)
	{
		PgtNode    *node = &graph->nodes[graph->order[i]];

		node->will_run = will_run(graph, node, now);
	}
}

bool
pgt_graph_is_held(const PgtGraph *graph, const PgtNode *node)
{
	for (int u = 0; u < node->nupstream; u++)
	{
		const PgtNode *upstream = &graph->nodes[node->upstream[u]];

		if (upstream->will_run && upstream->finished_at <= node->started_at)
			return true;
	}
	return false;
}
