/*
 * applier/refresh/hold.c - gates and watermarks, as a refresh sees them.
 *
 * The scheduler asks the same of its graph and does not start what is held
 * (schedule/holds.c).  But it may have started a refresh just before a gate was
 * shut, and that refresh's snapshot may show what was loaded behind the gate:
 * so the refresh asks again, under its snapshot.
 *
 * The tables are empty where nobody uses them; then nothing else is read.
 */
#include "postgres.h"

#include "utils/builtins.h"
#include "utils/lsyscache.h"

#include "applier/catalog/catalog.h"
#include "applier/catalog/coordination.h"
#include "applier/refresh/hold.h"

/* What a stream table reads, and what the stream tables among that read. */
static List *
all_sources(int64 pgt_id)
{
	List	   *result = NIL;
	List	   *stack = pgt_dependency_of(pgt_id);

	while (stack != NIL)
	{
		PgtDependency *d = llast(stack);

		stack = list_delete_last(stack);
		if (list_member_oid(result, d->source_relid))
			continue;
		result = lappend_oid(result, d->source_relid);
		if (strcmp(d->source_type, "STREAM_TABLE") == 0)
		{
			PgtStreamTable *st = pgt_stream_table_by_relid(d->source_relid, true);

			if (st != NULL)
				stack = list_concat(stack, pgt_dependency_of(st->pgt_id));
		}
	}
	return result;
}

static char *
display_name(Oid relid)
{
	return quote_qualified_identifier(get_namespace_name(get_rel_namespace(relid)),
									  get_rel_name(relid));
}

static char *
gate_among(List *gates, List *sources)
{
	ListCell   *lc;

	foreach(lc, gates)
	{
		const PgtGate *gate = lfirst(lc);

		if (list_member_oid(sources, gate->relid))
			return psprintf("source %s is gated", display_name(gate->relid));
	}
	return NULL;
}

static int
count_among(List *relids, List *sources)
{
	int			count = 0;
	ListCell   *lc;

	foreach(lc, relids)
		count += list_member_oid(sources, lfirst_oid(lc));
	return count;
}

static char *
group_among(List *groups, List *sources, Snapshot snapshot)
{
	List	   *watermarks = pgt_watermark_all(snapshot);
	ListCell   *lc;

	foreach(lc, groups)
	{
		const PgtWatermarkGroup *group = lfirst(lc);

		if (count_among(group->sources, sources) >= 2 &&
			!pgt_watermark_group_aligned(group, watermarks))
			return psprintf("the watermarks of group \"%s\" are not aligned",
							group->name);
	}
	return NULL;
}

char *
pgt_hold_reason(int64 pgt_id, Snapshot snapshot)
{
	List	   *gates = pgt_gate_all(snapshot);
	List	   *groups = pgt_watermark_group_all(snapshot);
	List	   *sources;
	char	   *reason;

	if (gates == NIL && groups == NIL)
		return NULL;
	sources = all_sources(pgt_id);
	reason = gate_among(gates, sources);
	if (reason == NULL)
		reason = group_among(groups, sources, snapshot);
	return reason;
}

Oid
pgt_hold_uncaptured(List *dependencies, Snapshot snapshot)
{
	ListCell   *lc;
	ListCell   *dc;

	foreach(lc, pgt_gate_all(snapshot))
	{
		const PgtGate *gate = lfirst(lc);

		foreach(dc, dependencies)
			if (gate->stop_capture &&
				((PgtDependency *) lfirst(dc))->source_relid == gate->relid)
				return gate->relid;
	}
	return InvalidOid;
}
