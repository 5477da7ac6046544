/*
 * applier/schedule/graph.c - the scheduler's picture of a database: stream
 * tables, their sources, due times.
 *
 * Nothing here waits or writes.  Loading reads the catalog in the caller's
 * transaction; everything else is arithmetic over memory.
 *
 * Due times.  A duration is due at the first point of its grid after the last
 * start, `continuous` at once, a cron line at its next time.  Whatever is
 * connected, through sources or stream tables, shares one grid, so that it
 * comes due together; other parts of the graph have grids of other phases, so
 * that they spread.  `calculated` has the clocks of the stream tables that
 * read it, but waits for the earliest of them; read by nobody, it has
 * pg_trickle.default_schedule.
 *
 * A due time that passes without a change is made up for by the first change
 * after it where it was a duration's: the stream table is fresh sooner.  A
 * cron time is a time of day: it is over a second later, and the change waits
 * for the next one.  Only while it could not run (the server was down, a
 * refresh failed, something held it) is a cron time kept, and run once.
 *
 * Order.  A reader is held while a stream table that it reads runs or is
 * about to, unless that one has finished since the reader's last start:
 * then there is something new to read, and an upstream that never rests
 * does not starve its readers.
 */
#include "postgres.h"

#include "common/hashfn.h"
#include "utils/builtins.h"
#include "utils/memutils.h"

#include "applier/catalog/catalog.h"
#include "applier/refresh/refresh.h"
#include "applier/schedule/graph.h"
#include "applier/schedule/holds.h"
#include "applier/schedule/units.h"
#include "applier/settings.h"

#define PGT_FALLBACK_INTERVAL_MS 1000
#define PGT_PHASES_MS	(7 * INT64CONST(86400000))
/* a change seen this late may have been made in time for a cron time */
#define PGT_TICK_GRACE_MS 1000

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

	memset(node, 0, sizeof(*node));	/* padding too: schedules are compared */
	node->pgt_id = st->pgt_id;
	node->relid = st->relid;
	node->name = quote_qualified_identifier(st->schema, st->name);
	node->status = pgt_graph_status(st);
	node->diamond_atomic = strcmp(st->diamond_consistency, "atomic") == 0;
	node->diamond_slowest = strcmp(st->diamond_schedule_policy, "slowest") == 0;
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
take_over_node(PgtNode *node, const PgtNode *old, TimestampTz now)
{
	/* a new cron line begins now, not at the last refresh */
	node->ticked_at = memcmp(&node->schedule, &old->schedule,
							 sizeof(PgtSchedule)) == 0 ? old->ticked_at : now;
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
	node->cron_due = old->cron_due; /* of the last pass, as will_run: pass_ticks */
	node->will_run = old->will_run;
	node->wanted_since = old->wanted_since;
	node->late_since = old->late_since;
	node->told_late = old->told_late;
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
PgtGraphSource *
pgt_graph_source(const PgtGraph *graph, Oid relid)
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

			counts[pgt_graph_source(graph, dependency->source_relid) - graph->sources]++;
		}
	}
	for (int i = 0; i < graph->nnodes; i++)
	{
		PgtGraphSource *source = pgt_graph_source(graph, graph->nodes[i].relid);

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
		PgtGraphSource *source = pgt_graph_source(graph, dependency->source_relid);
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

static void
add_cron(PgtNode *node, const PgtCron *cron)
{
	for (int i = 0; i < node->ncrons; i++)
		if (memcmp(node->crons[i], cron, sizeof(PgtCron)) == 0)
			return;
	node->crons[node->ncrons++] = cron;
}

static void
add_interval(PgtNode *node, int64 interval_ms)
{
	if (node->interval_ms < 0 || interval_ms < node->interval_ms)
		node->interval_ms = interval_ms;
}

/* The clocks of those that read it, which have theirs already. */
static void
follow_consumers(const PgtGraph *graph, PgtNode *node)
{
	bool		any = false;
	int			ncrons = 0;

	for (int c = 0; c < node->nconsumers; c++)
		ncrons += graph->nodes[node->consumers[c]].ncrons;
	node->crons = palloc(sizeof(PgtCron *) * (ncrons + 1));
	for (int c = 0; c < node->nconsumers; c++)
	{
		const PgtNode *consumer = &graph->nodes[node->consumers[c]];

		if (consumer->status != PGT_NODE_ACTIVE)
			continue;
		any = true;
		if (consumer->interval_ms >= 0)
			add_interval(node, consumer->interval_ms);
		for (int i = 0; i < consumer->ncrons; i++)
			add_cron(node, consumer->crons[i]);
	}
	if (!any)
		node->interval_ms = default_interval_ms();
}

static void
compute_clocks(PgtGraph *graph, PgtNode *node)
{
	node->interval_ms = -1;
	node->ncrons = 0;
	switch (node->schedule.kind)
	{
		case PGT_SCHEDULE_CONTINUOUS:
			node->interval_ms = 0;
			break;
		case PGT_SCHEDULE_DURATION:
			node->interval_ms = Max(node->schedule.interval_ms, pgt_min_schedule);
			break;
		case PGT_SCHEDULE_CRON:
			node->crons = palloc(sizeof(PgtCron *));
			add_cron(node, &node->schedule.cron);
			break;
		case PGT_SCHEDULE_CALCULATED:
			follow_consumers(graph, node);
			break;
	}
	if (node->immediate)
	{
		node->interval_ms = 0;
		node->ncrons = 0;
	}
}

/* Consumers first, so that calculated ones can look up. */
static void
compute_intervals(PgtGraph *graph)
{
	for (int i = graph->nnodes - 1; i >= 0; i--)
		compute_clocks(graph, &graph->nodes[graph->order[i]]);
}

/* ---- phases ---- */

static int
root_of(int *parent, int node)
{
	while (parent[node] != node)
		node = parent[node] = parent[parent[node]];
	return node;
}

/* The smaller index, which has the smaller pgt_id, becomes the root. */
static void
unite(int *parent, int a, int b)
{
	a = root_of(parent, a);
	b = root_of(parent, b);
	parent[Max(a, b)] = Min(a, b);
}

static void
compute_phases(PgtGraph *graph)
{
	int		   *parent = palloc(sizeof(int) * (graph->nnodes + 1));

	for (int i = 0; i < graph->nnodes; i++)
		parent[i] = i;
	for (int i = 0; i < graph->nsources; i++)
		for (int r = 1; r < graph->sources[i].nreaders; r++)
			unite(parent, graph->sources[i].readers[0], graph->sources[i].readers[r]);
	for (int i = 0; i < graph->nnodes; i++)
		for (int u = 0; u < graph->nodes[i].nupstream; u++)
			unite(parent, i, graph->nodes[i].upstream[u]);
	for (int i = 0; i < graph->nnodes; i++)
	{
		int64		first = graph->nodes[root_of(parent, i)].pgt_id;

		graph->nodes[i].phase_ms =
			DatumGetUInt64(hash_any_extended((unsigned char *) &first,
											 sizeof(first), 0)) % PGT_PHASES_MS;
	}
	pfree(parent);
}

static void
take_over(PgtGraph *graph, const PgtGraph *old)
{
	TimestampTz now = GetCurrentTimestamp();

	for (int i = 0; i < graph->nnodes; i++)
	{
		PgtNode    *known = pgt_graph_find(unconstify(PgtGraph *, old),
										   graph->nodes[i].pgt_id);

		if (known != NULL)
			take_over_node(&graph->nodes[i], known, now);
	}
	for (int i = 0; i < graph->nsources; i++)
	{
		PgtGraphSource *source = &graph->sources[i];
		PgtGraphSource *known = pgt_graph_source(old, source->relid);

		if (known == NULL)
			continue;
		source->clean_wanted = known->clean_wanted;
		source->consumed = known->consumed;
		source->cleaned_at = known->cleaned_at;
		source->told_growth = known->told_growth;
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
	pgt_units_load(graph);
	compute_intervals(graph);
	compute_phases(graph);
	pgt_holds_load(graph);
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

/* will_run is the last pass's: what it reads may be on its way. */
static void
pass_ticks(PgtGraph *graph, TimestampTz now)
{
	TimestampTz over = TimestampTzPlusMilliseconds(now, -PGT_TICK_GRACE_MS);

	for (int i = 0; i < graph->nnodes; i++)
	{
		PgtNode    *node = &graph->nodes[i];

		if (node->ncrons > 0 && node->cron_due <= over && !node->running &&
			!node->held && !node->will_run &&
			!pgt_graph_unit_wants(graph, node))
			node->ticked_at = over;
	}
}

/*
 * Bits stay set here: while they stand, writers wake nobody.  They are taken
 * when a refresh starts.
 */
void
pgt_graph_see_changes(PgtGraph *graph, PgtDatabaseSlot *db, TimestampTz now)
{
	bool		all = pg_atomic_read_u32(&db->all_dirty) != 0 &&
		pg_atomic_exchange_u32(&db->all_dirty, 0) != 0;

	pass_ticks(graph, now);
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

	if (node->status != PGT_NODE_ACTIVE || node->hard_failed || node->held)
		return false;
	if (build)
		return true;
	/* one that ages and is continuous follows commits: it has no other clock */
	return !node->immediate &&
		(node->changed || (node->ages && node->interval_ms != 0));
}

/* Nobody of it may be unable: all or nothing. */
bool
pgt_graph_unit_wants(const PgtGraph *graph, const PgtNode *node)
{
	int			n;
	const int  *members = pgt_units_members(graph, node, &n);
	bool		wants = false;

	for (int i = 0; i < n; i++)
	{
		const PgtNode *member = &graph->nodes[members[i]];

		if (member->status != PGT_NODE_ACTIVE || member->hard_failed || member->held)
			return false;
		wants |= pgt_graph_wants(member);
	}
	return wants;
}

static TimestampTz
next_cron_time(PgtNode *node, pg_tz *zone)
{
	TimestampTz base = Max(node->started_at, node->ticked_at);

	if (node->cron_zone == zone && node->cron_base == base)
		return node->cron_due;
	node->cron_zone = zone;
	node->cron_base = base;
	node->cron_due = DT_NOEND;
	for (int i = 0; i < node->ncrons; i++)
		node->cron_due = Min(node->cron_due,
							 pgt_cron_next(node->crons[i], base, zone));
	return node->cron_due;
}

/* By its clocks, whether or not anything changed. */
static TimestampTz
own_time(PgtNode *node, pg_tz *zone)
{
	TimestampTz due = DT_NOEND;

	if (node->interval_ms == 0)
		return node->started_at;
	if (node->interval_ms > 0)
		due = pgt_schedule_on_grid(node->interval_ms * node->slowdown,
								   node->phase_ms, node->started_at);
	if (node->ncrons > 0)
		due = Min(due, next_cron_time(node, zone));
	return due;
}

static TimestampTz
scheduled_time(const PgtGraph *graph, PgtNode *node, pg_tz *zone)
{
	TimestampTz own = own_time(node, zone);
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

/* One clock for all members, when the last of them in the order has its due
 * time: the earliest's or, where all agreed to wait, the latest's. */
static void
share_due_time(PgtGraph *graph, const PgtUnit *unit)
{
	TimestampTz due = graph->nodes[unit->members[0]].due;
	TimestampTz next_try = 0;

	for (int i = 0; i < unit->nmembers; i++)
	{
		const PgtNode *member = &graph->nodes[unit->members[i]];

		due = unit->slowest ? Max(due, member->due) : Min(due, member->due);
		next_try = Max(next_try, member->next_try);
	}
	for (int i = 0; i < unit->nmembers; i++)
	{
		graph->nodes[unit->members[i]].due = due;
		graph->nodes[unit->members[i]].next_try = next_try;
	}
}

static bool
reads_one_that_runs(const PgtGraph *graph, const PgtNode *node)
{
	for (int u = 0; u < node->nupstream; u++)
		if (graph->nodes[node->upstream[u]].will_run)
			return true;
	return false;
}

/* Would its unit run now if it could, or does it already? */
static bool
will_run(const PgtGraph *graph, const PgtNode *node, TimestampTz now)
{
	int			n;
	const int  *members = pgt_units_members(graph, node, &n);
	bool		due = node->due <= now && node->next_try <= now;
	bool		any = false;

	for (int i = 0; i < n; i++)
	{
		const PgtNode *member = &graph->nodes[members[i]];

		if (member->running)
			return true;
		if (member->status != PGT_NODE_ACTIVE || member->hard_failed || member->held)
			due = false;
		any |= pgt_graph_wants(member) ||
			(!member->immediate && reads_one_that_runs(graph, member));
	}
	return due && any;
}

static void
set_due_time(PgtGraph *graph, PgtNode *node, TimestampTz now, pg_tz *zone)
{
	/* a clock that was set back must not stop anything */
	node->started_at = Min(node->started_at, now);
	node->finished_at = Min(node->finished_at, now);
	node->ticked_at = Min(node->ticked_at, now);
	node->will_run = false;
	node->due = scheduled_time(graph, node, zone);
	if (!node->populated || node->needs_reinit)
		node->due = Min(node->due, now);
}

void
pgt_graph_compute_due(PgtGraph *graph, TimestampTz now)
{
	pg_tz	   *zone = pgt_cron_zone();

	for (int i = graph->nnodes - 1; i >= 0; i--)
	{
		PgtNode    *node = &graph->nodes[graph->order[i]];

		set_due_time(graph, node, now, zone);
		if (node->unit >= 0 && pgt_units_is_leader(graph, node))
			share_due_time(graph, &graph->units[node->unit]);
	}
	for (int i = 0; i < graph->nnodes; i++)
	{
		PgtNode    *node = &graph->nodes[graph->order[i]];
		int			n;
		const int  *members = pgt_units_members(graph, node, &n);
		bool		runs = pgt_units_is_leader(graph, node) &&
			will_run(graph, node, now);

		for (int m = 0; runs && m < n; m++)
			graph->nodes[members[m]].will_run = true;
	}
}

static bool
waits_for(const PgtNode *node, const PgtNode *upstream)
{
	return upstream->will_run && upstream->finished_at <= node->started_at &&
		(node->unit < 0 || upstream->unit != node->unit);
}

bool
pgt_graph_is_held(const PgtGraph *graph, const PgtNode *node)
{
	int			n;
	const int  *members = pgt_units_members(graph, node, &n);

	for (int m = 0; m < n; m++)
	{
		const PgtNode *member = &graph->nodes[members[m]];

		for (int u = 0; u < member->nupstream; u++)
			if (waits_for(member, &graph->nodes[member->upstream[u]]))
				return true;
	}
	return false;
}
