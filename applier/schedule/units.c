/*
 * applier/schedule/units.c - which stream tables are refreshed together, in one
 * transaction under one snapshot.
 *
 * Three things bind: a refresh group that a user made, a diamond, and being on
 * a path between bound ones (it could neither come before nor after them).
 *
 * A diamond.  A stream table whose inputs have something in common, because two
 * of them read the same table or stream table, directly or through others,
 * would show the branches at different times if they were refreshed one by one.
 * It is bound to all stream tables of the branches: what its inputs read and
 * what itself reads the common part.  What is common is not a member: it is
 * one thing, whatever its age, as long as it is read under one snapshot.
 * IMMEDIATE stream tables are never behind and no members.
 *
 * All of it at once is a question of strongly connected components: edges from
 * reader to read, and a ring of edges through each group and each diamond.
 * What overlaps falls together by itself, and so does what lies between; the
 * numbers of the components are an order in which nothing waits for what
 * comes later.
 */
#include "postgres.h"

#include "nodes/bitmapset.h"
#include "utils/memutils.h"

#include "applier/catalog/coordination.h"
#include "applier/schedule/scc.h"
#include "applier/schedule/units.h"

typedef struct Finder
{
	PgtGraph   *graph;
	int		   *node_of_source; /* per source: the node stored there, or -1 */
	Bitmapset **reads;			/* per node: sources, directly or not */
	List	  **edges;			/* per node: integer list of nodes */
	Bitmapset  *fastest;		/* nodes of units that do not */
} Finder;

static void
link_sources(Finder *f)
{
	PgtGraph   *graph = f->graph;

	for (int s = 0; s < graph->nsources; s++)
		f->node_of_source[s] = -1;
	for (int i = 0; i < graph->nnodes; i++)
	{
		PgtGraphSource *source = pgt_graph_source(graph, graph->nodes[i].relid);

		if (source != NULL)
			f->node_of_source[source - graph->sources] = i;
	}
}

static void
collect_reads(Finder *f)
{
	for (int i = 0; i < f->graph->nnodes; i++)
	{
		int			index = f->graph->order[i];
		const PgtNode *node = &f->graph->nodes[index];

		for (int s = 0; s < node->nsources; s++)
			f->reads[index] = bms_add_member(f->reads[index], node->sources[s]);
		for (int u = 0; u < node->nupstream; u++)
		{
			f->reads[index] = bms_add_members(f->reads[index],
											  f->reads[node->upstream[u]]);
			f->edges[index] = lappend_int(f->edges[index], node->upstream[u]);
		}
	}
}

/* What a direct source stands for: itself and what it reads. */
static Bitmapset *
branch_of(const Finder *f, int source)
{
	int			node = f->node_of_source[source];

	return bms_add_member(node < 0 ? NULL : bms_copy(f->reads[node]), source);
}

/* What two or more branches have in common; *all: what any has. */
static Bitmapset *
common_part(const Finder *f, const PgtNode *node, Bitmapset **all)
{
	Bitmapset  *common = NULL;

	*all = NULL;
	for (int s = 0; s < node->nsources; s++)
	{
		Bitmapset  *branch = branch_of(f, node->sources[s]);

		common = bms_add_members(common, bms_intersect(*all, branch));
		*all = bms_add_members(*all, branch);
	}
	return common;
}

static void
add_ring(Finder *f, List *members)
{
	int			before = llast_int(members);
	ListCell   *lc;

	foreach(lc, members)
	{
		f->edges[before] = lappend_int(f->edges[before], lfirst_int(lc));
		before = lfirst_int(lc);
	}
}

/* The diamonds that close at a node. */
static void
find_diamond(Finder *f, int index)
{
	PgtNode    *node = &f->graph->nodes[index];
	List	   *members = list_make1_int(index);
	Bitmapset  *all;
	Bitmapset  *common;
	int			source = -1;

	if (!node->diamond_atomic || node->immediate || node->nupstream == 0 ||
		node->nsources < 2)
		return;
	common = common_part(f, node, &all);
	while ((source = bms_next_member(all, source)) >= 0)
	{
		int			member = f->node_of_source[source];

		if (member >= 0 && !bms_is_member(source, common) &&
			!f->graph->nodes[member].immediate &&
			bms_overlap(f->reads[member], common))
			members = lappend_int(members, member);
	}
	if (list_length(members) < 2)
		return;
	node->converges = true;
	add_ring(f, members);
	if (!node->diamond_slowest)
		f->fastest = bms_add_member(f->fastest, index);
}

static void
add_refresh_groups(Finder *f)
{
	ListCell   *lc;
	ListCell   *mc;

	foreach(lc, pgt_refresh_group_all(NULL))
	{
		List	   *members = NIL;

		foreach(mc, ((PgtRefreshGroup *) lfirst(lc))->members)
			for (int i = 0; i < f->graph->nnodes; i++)
				if (f->graph->nodes[i].relid == lfirst_oid(mc) &&
					!f->graph->nodes[i].immediate)
					members = lappend_int(members, i);
		if (list_length(members) < 2)
			continue;
		add_ring(f, members);
		f->fastest = bms_add_member(f->fastest, linitial_int(members));
	}
}

/* ---- from components to units ---- */

static const int *sorting_components = NULL;
static const int *sorting_positions = NULL;

/* By component, and within one in the order that there was. */
static int
compare_position(const void *a, const void *b)
{
	int			x = *(const int *) a;
	int			y = *(const int *) b;

	if (sorting_components[x] != sorting_components[y])
		return sorting_components[x] < sorting_components[y] ? -1 : 1;
	return sorting_positions[x] < sorting_positions[y] ? -1 : 1;
}

static void
put_in_order(PgtGraph *graph, const int *components)
{
	int		   *positions = palloc(sizeof(int) * (graph->nnodes + 1));

	for (int i = 0; i < graph->nnodes; i++)
		positions[graph->order[i]] = i;
	sorting_components = components;
	sorting_positions = positions;
	qsort(graph->order, graph->nnodes, sizeof(int), compare_position);
}

static void
make_unit(Finder *f, int first, int n)
{
	PgtGraph   *graph = f->graph;
	PgtUnit    *unit = &graph->units[graph->nunits];

	if (n > PGT_GROUP_MAX)
	{
		ereport(WARNING,
				(errmsg("pg_trickle found a group of %d stream tables that belong together, and refreshes them one by one",
						n),
				 errdetail("%s is one of them. At most %d can be refreshed in one transaction.",
						   graph->nodes[graph->order[first]].name, PGT_GROUP_MAX),
				 errhint("Set diamond_consistency => 'none' where branches need not be consistent.")));
		return;
	}
	unit->members = &graph->order[first];
	unit->nmembers = n;
	unit->slowest = true;
	for (int i = first; i < first + n; i++)
	{
		graph->nodes[graph->order[i]].unit = graph->nunits;
		if (bms_is_member(graph->order[i], f->fastest))
			unit->slowest = false;
	}
	graph->nunits++;
}

static void
make_units(Finder *f, const int *components)
{
	PgtGraph   *graph = f->graph;

	graph->units = palloc0(sizeof(PgtUnit) * (graph->nnodes + 1));
	for (int i = 0, n; i < graph->nnodes; i += n)
	{
		for (n = 1; i + n < graph->nnodes; n++)
			if (components[graph->order[i + n]] != components[graph->order[i]])
				break;
		if (n > 1)
			make_unit(f, i, n);
	}
}

void
pgt_units_load(PgtGraph *graph)
{
	int			n = graph->nnodes;
	Finder		f = {.graph = graph};
	int		   *components = palloc(sizeof(int) * (n + 1));

	f.node_of_source = palloc(sizeof(int) * (graph->nsources + 1));
	f.reads = palloc0(sizeof(Bitmapset *) * (n + 1));
	f.edges = palloc0(sizeof(List *) * (n + 1));
	for (int i = 0; i < n; i++)
		graph->nodes[i].unit = -1;
	link_sources(&f);
	collect_reads(&f);
	for (int i = 0; i < n; i++)
		find_diamond(&f, i);
	add_refresh_groups(&f);
	(void) pgt_scc_find(n, f.edges, components);
	put_in_order(graph, components);
	make_units(&f, components);
}

const int *
pgt_units_members(const PgtGraph *graph, const PgtNode *node, int *n)
{
	static int	alone;

	if (node->unit >= 0)
	{
		*n = graph->units[node->unit].nmembers;
		return graph->units[node->unit].members;
	}
	alone = (int) (node - graph->nodes);
	*n = 1;
	return &alone;
}

bool
pgt_units_is_leader(const PgtGraph *graph, const PgtNode *node)
{
	return node->unit < 0 ||
		&graph->nodes[graph->units[node->unit].members[0]] == node;
}
