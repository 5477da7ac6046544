/*
 * applier/refresh/lock.c - the locks of one refresh, in their order.
 *
 * Order, for every path that takes more than one of them:
 *   1. the refresh lock of the stream table (advisory, held to commit);
 *   2. RowExclusiveLock on the stream table;
 *   3. AccessShareLock on every source and its whole partition tree, by oid;
 * and only then the snapshot (DESIGN.md section 3): a TRUNCATE or rewrite
 * that commits between snapshot and lock would show an empty table.
 *
 * Workers do not wait for 2 and 3: a session that drops or alters several
 * tables takes its locks in another order, and would meet a waiting worker in
 * a deadlock.
 *
 * A statement's changes are captured when it ends.  A refresh out of the middle
 * of it, by a trigger or a function, would see rows whose changes come later
 * and count them twice: it is refused.
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/pg_inherits.h"
#include "storage/lmgr.h"
#include "tcop/pquery.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/relcache.h"

#include "applier/refresh/lock.h"

bool
pgt_lock_refresh(int64 pgt_id, bool wait)
{
	return pgt_stream_table_lock(pgt_id, wait);
}

static void
lock_tree(Oid relid)
{
	if (has_subclass(relid))
		(void) find_all_inheritors(relid, AccessShareLock, NULL);
}

static bool
lock_now(Oid relid, LOCKMODE mode)
{
	ListCell   *lc;

	if (!ConditionalLockRelationOid(relid, mode))
		return false;
	if (!has_subclass(relid))
		return true;
	foreach(lc, find_all_inheritors(relid, NoLock, NULL))
		if (!ConditionalLockRelationOid(lfirst_oid(lc), mode))
			return false;
	return true;
}

static int
cmp_source(const ListCell *a, const ListCell *b)
{
	Oid			x = ((const PgtDependency *) lfirst(a))->source_relid;
	Oid			y = ((const PgtDependency *) lfirst(b))->source_relid;

	return x < y ? -1 : x > y;
}

bool
pgt_lock_relations(Oid st_relid, List *dependencies, bool wait)
{
	List	   *sorted = list_copy(dependencies);
	ListCell   *lc;

	if (wait)
		LockRelationOid(st_relid, RowExclusiveLock);
	else if (!ConditionalLockRelationOid(st_relid, RowExclusiveLock))
		return false;
	if (get_rel_relkind(st_relid) == '\0')
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_TABLE),
				 errmsg("stream table with OID %u was dropped concurrently", st_relid)));
	list_sort(sorted, cmp_source);
	foreach(lc, sorted)
	{
		const PgtDependency *d = lfirst(lc);

		if (!wait && !lock_now(d->source_relid, AccessShareLock))
			return false;
		if (!wait)
			continue;
		LockRelationOid(d->source_relid, AccessShareLock);
		lock_tree(d->source_relid);
	}
	return true;
}

/*
 * Whoever runs a statement holds a reference.  So does core while it fires the
 * deferred triggers of a commit, when no portal runs and all is captured.
 */
static bool
is_being_written(Oid relid)
{
	Relation	rel = RelationIdGetRelation(relid);
	int			harmless = ActivePortal == NULL ? 2 : 1;
	bool		result;

	if (!RelationIsValid(rel))
		return false;
	result = rel->rd_refcnt > harmless &&
		CheckRelationLockedByMe(rel, RowExclusiveLock, false);
	RelationClose(rel);
	return result;
}

void
pgt_lock_check_not_written(const char *st_name, List *dependencies)
{
	ListCell   *lc;
	ListCell   *member;

	if (!TransactionIdIsValid(GetTopTransactionIdIfAny()))
		return;
	foreach(lc, dependencies)
	{
		Oid			source = ((const PgtDependency *) lfirst(lc))->source_relid;

		foreach(member, find_all_inheritors(source, NoLock, NULL))
			if (is_being_written(lfirst_oid(member)))
				ereport(ERROR,
						(errcode(ERRCODE_OBJECT_IN_USE),
						 errmsg("cannot refresh stream table \"%s\" because \"%s\" is being used by active queries in this session",
								st_name, get_rel_name(lfirst_oid(member))),
						 errdetail("The changes of a statement are complete when it has ended."),
						 errhint("Refresh after the statement, or from a constraint trigger that is INITIALLY DEFERRED.")));
	}
}
