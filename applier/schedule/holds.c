/*
 * applier/schedule/holds.c - gates and watermarks in the scheduler's picture.
 *
 * Read anew with the catalog: whoever changes them tells the scheduler at
 * commit.  What each stream table reads, through whatever others, is collected
 * along the order of the graph; one that is held is not started, and keeps its
 * changes and its due time.
 */
#include "postgres.h"

#include "nodes/bitmapset.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"

#include "applier/catalog/coordination.h"
#include "applier/schedule/holds.h"
#include "applier/schedule/notify.h"

/* A gate or watermark, to be compared with the next picture. */
typedef struct PgtSeen
{
	Oid			relid;
	char	   *name;
	TimestampTz value;			/* gated_at, or the watermark */
} PgtSeen;

static PgtSeen *
seen(Oid relid, TimestampTz value)
{
	PgtSeen    *s = palloc(sizeof(PgtSeen));

	s->relid = relid;
	s->name = quote_qualified_identifier(get_namespace_name(get_rel_namespace(relid)),
										 get_rel_name(relid));
	s->value = value;
	return s;
}

/* Per node: indexes of the sources it reads, directly or not. */
static Bitmapset **
all_sources(const PgtGraph *graph)
{
	Bitmapset **sets = palloc0(sizeof(Bitmapset *) * (graph->nnodes + 1));

	for (int i = 0; i < graph->nnodes; i++)
	{
		int			index = graph->order[i];
		const PgtNode *node = &graph->nodes[index];

		for (int s = 0; s < node->nsources; s++)
			sets[index] = bms_add_member(sets[index], node->sources[s]);
		for (int u = 0; u < node->nupstream; u++)
			sets[index] = bms_add_members(sets[index], sets[node->upstream[u]]);
	}
	return sets;
}

static Bitmapset *
source_set(const PgtGraph *graph, List *relids)
{
	Bitmapset  *result = NULL;

	for (int i = 0; i < graph->nsources; i++)
		if (list_member_oid(relids, graph->sources[i].relid))
			result = bms_add_member(result, i);
	return result;
}

/* Whoever reads "enough" of the relations is held. */
static void
hold_readers(PgtGraph *graph, Bitmapset **sets, List *relids, int enough)
{
	Bitmapset  *sources = source_set(graph, relids);

	for (int i = 0; i < graph->nnodes; i++)
		if (bms_num_members(bms_intersect(sets[i], sources)) >= enough)
			graph->nodes[i].held = true;
}

void
pgt_holds_load(PgtGraph *graph)
{
	List	   *gates = pgt_gate_all(NULL);
	List	   *watermarks = pgt_watermark_all(NULL);
	List	   *groups = pgt_watermark_group_all(NULL);
	Bitmapset **sets;
	ListCell   *lc;

	foreach(lc, gates)
	{
		const PgtGate *gate = lfirst(lc);

		graph->gates = lappend(graph->gates, seen(gate->relid, gate->gated_at));
	}
	foreach(lc, watermarks)
	{
		const PgtWatermark *w = lfirst(lc);

		graph->watermarks = lappend(graph->watermarks, seen(w->relid, w->watermark));
	}
	if (gates == NIL && groups == NIL)
		return;
	sets = all_sources(graph);
	foreach(lc, gates)
		hold_readers(graph, sets, list_make1_oid(((PgtGate *) lfirst(lc))->relid), 1);
	foreach(lc, groups)
	{
		const PgtWatermarkGroup *group = lfirst(lc);

		if (!pgt_watermark_group_aligned(group, watermarks))
			hold_readers(graph, sets, group->sources, 2);
	}
}

/* ---- events ---- */

static const PgtSeen *
find_seen(List *list, Oid relid)
{
	ListCell   *lc;

	foreach(lc, list)
		if (((const PgtSeen *) lfirst(lc))->relid == relid)
			return lfirst(lc);
	return NULL;
}

static void
tell(const char *event, const PgtSeen *s, bool with_value)
{
	PgtEventField fields[] = {
		{"source", s->name},
		{"watermark", with_value ? timestamptz_to_str(s->value) : ""},
	};

	pgt_notify_keep(event, NULL, fields, with_value ? 2 : 1);
}

void
pgt_holds_tell(const PgtGraph *graph, const PgtGraph *old)
{
	ListCell   *lc;

	foreach(lc, graph->gates)
		if (find_seen(old->gates, ((PgtSeen *) lfirst(lc))->relid) == NULL)
			tell("source_gated", lfirst(lc), false);
	foreach(lc, old->gates)
		if (find_seen(graph->gates, ((PgtSeen *) lfirst(lc))->relid) == NULL)
			tell("source_ungated", lfirst(lc), false);
	foreach(lc, graph->watermarks)
	{
		const PgtSeen *now = lfirst(lc);
		const PgtSeen *before = find_seen(old->watermarks, now->relid);

		if (before == NULL || before->value != now->value)
			tell("watermark_advanced", now, true);
	}
}
