/*
 * applier/schedule/alerts.c - events about what does not get on.
 *
 * Each is told once when it begins, and again only after it has ended.  What
 * is held by a gate or a watermark, suspended or in status ERROR is late by
 * somebody's decision, or has had its event: nothing is told of it here.
 */
#include "postgres.h"

#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/snapmgr.h"

#include "applier/capture/capture.h"
#include "applier/catalog/catalog.h"
#include "applier/schedule/alerts.h"
#include "applier/schedule/notify.h"
#include "applier/settings.h"

/* Late is who has been due or running for this long, or for two intervals. */
#define PGT_LATE_MS 10000

/* ---- stream tables ---- */

static int64
patience_ms(const PgtNode *node)
{
	return Max(PGT_LATE_MS, 2 * node->interval_ms * node->slowdown);
}

static bool
is_behind(const PgtGraph *graph, const PgtNode *node, TimestampTz now)
{
	return node->running ||
		(node->due <= now && pgt_graph_wants(node) &&
		 pgt_graph_unit_wants(graph, node));
}

static void
tell_late(const PgtNode *node, TimestampTz now)
{
	PgtEventField fields[] = {
		{"state", node->running ? "running" : node->failures > 0 ? "failing" : "waiting"},
		{"seconds", NULL, (double) ((now - node->late_since) / USECS_PER_SEC)},
	};

	pgt_notify_keep("stale_data", node->name, fields, lengthof(fields));
}

void
pgt_alerts_late(PgtGraph *graph, TimestampTz now)
{
	for (int i = 0; i < graph->nnodes; i++)
	{
		PgtNode    *node = &graph->nodes[i];

		if (!is_behind(graph, node, now))
			node->late_since = 0;
		else if (node->late_since == 0 || node->late_since > now ||
				 (node->failures == 0 && node->finished_at > node->late_since))
			node->late_since = now;
		if (node->late_since == 0 || node->late_since == now)
			node->told_late = false;
		else if (!node->told_late && now >=
				 TimestampTzPlusMilliseconds(node->late_since, patience_ms(node)))
		{
			tell_late(node, now);
			node->told_late = true;
		}
	}
}

TimestampTz
pgt_alerts_late_time(const PgtGraph *graph)
{
	TimestampTz when = DT_NOEND;

	for (int i = 0; i < graph->nnodes; i++)
	{
		const PgtNode *node = &graph->nodes[i];

		if (node->late_since != 0 && !node->told_late)
			when = Min(when, TimestampTzPlusMilliseconds(node->late_since,
														 patience_ms(node)));
	}
	return when;
}

/* ---- sources ---- */

/* Of the reader that is furthest behind. */
static int64
pending_changes(const PgtGraph *graph, const PgtGraphSource *source)
{
	int64		most = 0;

	for (int r = 0; r < source->nreaders; r++)
	{
		const PgtNode *reader = &graph->nodes[source->readers[r]];
		PgtProgress *progress;
		int64		pending;
		int64		bytes;
		TimestampTz oldest;
		TimestampTz last;

		if (pgt_stream_table_get(reader->pgt_id, true) == NULL)
			continue;
		progress = pgt_progress_get(reader->pgt_id);
		if (progress->frontier == NULL)
			continue;
		pgt_buffer_stats(source->relid, progress->frontier, &pending, &bytes,
						 &oldest, &last);
		most = Max(most, pending);
	}
	return most;
}

static void
tell_growth(const PgtGraphSource *source, int64 pending)
{
	char	   *name = get_rel_name(source->relid);
	PgtEventField fields[] = {
		{"source", NULL},
		{"pending_changes", NULL, (double) pending},
		{"threshold", NULL, pgt_buffer_alert_threshold},
	};

	if (name == NULL)
		return;
	fields[0].text = quote_qualified_identifier(get_namespace_name(get_rel_namespace(source->relid)),
												name);
	pgt_notify_keep("buffer_growth_warning", NULL, fields, lengthof(fields));
}

/* Over when half of it is gone. */
void
pgt_alerts_growth(PgtGraph *graph)
{
	for (int i = 0; i < graph->nsources; i++)
	{
		PgtGraphSource *source = &graph->sources[i];
		int64		pending;

		if (!pgt_is_source(source->relid))
			continue;
		pending = pending_changes(graph, source);
		if (pending > pgt_buffer_alert_threshold && !source->told_growth)
			tell_growth(source, pending);
		if (pending > pgt_buffer_alert_threshold)
			source->told_growth = true;
		else if (pending <= pgt_buffer_alert_threshold / 2)
			source->told_growth = false;
	}
}

bool
pgt_alerts_any_pending(const PgtGraph *graph)
{
	for (int i = 0; i < graph->nnodes; i++)
		if (graph->nodes[i].changed)
			return true;
	for (int i = 0; i < graph->nsources; i++)
		if (graph->sources[i].told_growth)
			return true;
	return false;
}
