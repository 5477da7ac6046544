/*
 * decoder/moved.c - rows that DDL brings to a source or takes from it.
 *
 * ATTACH and DETACH PARTITION, INHERIT and NO INHERIT, DROP TABLE of a child,
 * and SET UNLOGGED change which rows a source has, or that its rows are in the
 * WAL, without a change of any row.  A transaction that alters relations says
 * so in its invalidation messages; for those relations the ancestors before it
 * and after it are compared, each under the historic snapshot of its time.
 *
 * A relation that the transaction itself made brings nothing of its own, except
 * what was written to it while it did not belong to the source yet.
 */
#include "postgres.h"

#include "access/transam.h"
#include "catalog/pg_class.h"
#include "miscadmin.h"
#include "nodes/pg_list.h"
#include "storage/sinval.h"
#include "utils/lsyscache.h"

#include "decoder/compat.h"
#include "decoder/moved.h"

typedef struct Standing
{
	Oid			relid;
	bool		exists;
	char		persistence;
	List	   *lineage;		/* itself and its ancestors */
} Standing;

static List *
altered_relations(const ReorderBufferTXN *txn)
{
	List	   *relids = NIL;

	for (uint32 i = 0; i < txn->ninvalidations; i++)
	{
		const SharedInvalidationMessage *msg = &txn->invalidations[i];

		if (msg->id == SHAREDINVALRELCACHE_ID && msg->rc.dbId == MyDatabaseId &&
			msg->rc.relId >= FirstNormalObjectId)
			relids = lappend_oid(relids, msg->rc.relId);
	}
	list_sort(relids, list_oid_cmp);
	list_deduplicate_oid(relids);
	return relids;
}

static Standing *
standing_of(Oid relid)
{
	Standing   *standing = palloc0(sizeof(Standing));
	char		relkind = get_rel_relkind(relid);

	standing->relid = relid;
	standing->exists = relkind != '\0';
	if (standing->exists)
		standing->persistence = get_rel_persistence(relid);
	standing->lineage = pgt_wanted_lineage(relid);
	return standing;
}

/* Does it, or may something below it, hold rows? */
static bool
holds_rows(Oid relid)
{
	char		relkind = get_rel_relkind(relid);

	return relkind == '\0' || relkind == RELKIND_RELATION ||
		relkind == RELKIND_PARTITIONED_TABLE || relkind == RELKIND_FOREIGN_TABLE;
}

List *
pgt_moved_begin(const ReorderBufferTXN *txn)
{
	List	   *relations = NIL;
	ListCell   *lc;

	foreach(lc, altered_relations(txn))
		if (holds_rows(lfirst_oid(lc)))
			relations = lappend(relations, standing_of(lfirst_oid(lc)));
	return relations;
}

static void
lose(PgtWanted *wanted, PgtBatches *batches, const List *sources,
	 const char *reason)
{
	ListCell   *lc;

	foreach(lc, sources)
	{
		Oid			relid = lfirst_oid(lc);

		/* one that went itself needs nothing */
		if (get_rel_relkind(relid) != '\0' && pgt_wanted_is_source(wanted, relid))
			pgt_batch_lost(batches, pgt_batch_of(batches, relid), reason);
	}
}

static void
compare(PgtWanted *wanted, PgtBatches *batches, const Standing *before)
{
	Standing   *after = standing_of(before->relid);
	bool		brings = before->exists ||
		pgt_wanted_was_skipped(wanted, before->relid, batches->xid);

	lose(wanted, batches, list_difference_oid(before->lineage, after->lineage),
		 "rows were taken away by DETACH, NO INHERIT or DROP TABLE");
	if (!after->exists)
		return;
	if (brings)
		lose(wanted, batches, list_difference_oid(after->lineage, before->lineage),
			 "rows were brought by ATTACH or INHERIT");
	if (before->persistence == RELPERSISTENCE_PERMANENT &&
		after->persistence != RELPERSISTENCE_PERMANENT)
		lose(wanted, batches, after->lineage,
			 "the table was made UNLOGGED: its changes are not in the WAL");
}

void
pgt_moved_end(const List *relations, PgtWanted *wanted, PgtBatches *batches)
{
	ListCell   *lc;

	foreach(lc, relations)
		compare(wanted, batches, lfirst(lc));
}
