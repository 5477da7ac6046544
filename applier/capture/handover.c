/*
 * applier/capture/handover.c - a source's capture passes from triggers to the
 * WAL and back, without a change taken twice or missed (DESIGN.md I4).
 *
 *                  announce            to_wal
 *       TRIGGER ------------> TRANSITIONING ------------> WAL
 *          ^                       |                       |
 *          |        give_up        |     to_triggers       |
 *          +-----------------------+-----------------------+
 *
 * Both passages lock the whole tree AccessExclusive: dropping triggers needs
 * it, a lock on a partitioned table alone would not stop writers of its leaves,
 * and a refresh, which holds AccessShareLock on its sources, sees one state
 * from before its snapshot to its end.  Under the lock every earlier writer has
 * ended and is visible, and every later one finds the new state:
 *
 *   to_wal       The row of pgt_sources says WAL from our commit record on, and
 *                the output plugin reads it as of a change's place in the WAL.
 *                H, the snapshot taken under the lock, says the same in xids:
 *                what it shows came from triggers.
 *   to_triggers  The decoder is waited for until the buffers hold what earlier
 *                writers did; only then the triggers come.  Where the decoder does not get there, a LOST batch stands for
 *                what is missing: a refresh whose frontier reaches past our
 *                transaction rebuilds, and none before it misses anything.
 *
 * A transaction that has itself written the source and goes back to triggers
 * (ALTER TABLE ... REPLICA IDENTITY after an UPDATE) is decoded only when it has
 * ended: its changes are lost, too.
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/pg_inherits.h"
#include "storage/lmgr.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "applier/capture/capture.h"
#include "applier/capture/cdc.h"
#include "applier/capture/handover.h"
#include "applier/capture/install.h"
#include "applier/capture/target.h"
#include "applier/capture/wal.h"

/* under the locks of a user's DDL */
#define DDL_PATIENCE_MS 2000
#define DDL_LAG (64 * 1024 * 1024)

static PgtFrontier *
snapshot_now(void)
{
	Snapshot	snapshot = RegisterSnapshot(GetLatestSnapshot());
	PgtFrontier *frontier = pgt_frontier_from_snapshot(snapshot, 0);

	UnregisterSnapshot(snapshot);
	return frontier;
}

static void
store(PgtSource *source, const char *mode, const char *form, const char *reason)
{
	source->cdc_mode = pstrdup(mode);
	source->capture_form = pstrdup(form);
	source->blocked_reason = reason ? pstrdup(reason) : NULL;
	source->since = GetCurrentTimestamp();
	pgt_source_update(source);
	CommandCounterIncrement();
}

bool
pgt_handover_announce(Oid relid)
{
	PgtSource  *source;

	pgt_install_lock_row(relid);
	source = pgt_source_get(relid, true);
	if (source == NULL || strcmp(source->cdc_mode, "TRIGGER") != 0)
		return false;
	store(source, "TRANSITIONING", source->capture_form, NULL);
	return true;
}

bool
pgt_handover_give_up(Oid relid, const char *reason)
{
	PgtSource  *source;

	pgt_install_lock_row(relid);
	source = pgt_source_get(relid, true);
	if (source == NULL || !pgt_cdc_is_going(source))
		return false;
	store(source, "TRIGGER", source->capture_form, reason);
	return true;
}

bool
pgt_handover_to_wal(Oid relid)
{
	List	   *tree = pgt_install_lock_tree(relid, AccessExclusiveLock);
	PgtSource  *source;
	PgtCdcDecision d;

	pgt_install_lock_row(relid);
	source = pgt_source_get(relid, true);
	if (source == NULL || !pgt_cdc_is_going(source) || !pgt_wal_is_running())
		return false;
	pgt_cdc_decide(source, &d);
	if (!d.use_wal)
		return false;
	source->handover = snapshot_now();
	store(source, "WAL", "none", NULL);
	pgt_install_sync_tree(tree);
	return true;
}

/* A lock of writers on a table of the tree that this transaction holds. */
static bool
written_by_us(List *tree)
{
	ListCell   *lc;

	if (!TransactionIdIsValid(GetTopTransactionIdIfAny()))
		return false;
	foreach(lc, tree)
	{
		Relation	rel = RelationIdGetRelation(lfirst_oid(lc));
		bool		written;

		if (!RelationIsValid(rel))
			continue;
		written = CheckRelationLockedByMe(rel, RowExclusiveLock, false);
		RelationClose(rel);
		if (written)
			return true;
	}
	return false;
}

bool
pgt_handover_to_triggers(Oid relid, const char *reason, bool incomplete,
						 int patience_ms)
{
	List	   *tree = pgt_install_lock_tree(relid, AccessExclusiveLock);
	PgtSource  *source;
	char	   *why = NULL;

	pgt_install_lock_row(relid);
	source = pgt_source_get(relid, true);
	if (source == NULL || !pgt_cdc_is_wal(source))
		return false;
	incomplete = incomplete || written_by_us(tree) ||
		!pgt_wal_wait(pgt_wal_end(), patience_ms, &why);
	source->handover = NULL;
	store(source, "TRIGGER", pgt_install_form(relid, tree), reason);
	pgt_install_sync_tree(tree);
	if (incomplete)
		pgt_buffer_append_lost(relid, psprintf("capture went back from the WAL to triggers, and not all changes had arrived: %s",
											   why ? why : reason));
	return true;
}

/* ---- after DDL ---- */

static void
return_after_ddl(const PgtSource *source)
{
	PgtCdcDecision d;

	pgt_cdc_decide(source, &d);
	if (!d.use_wal)
		(void) pgt_handover_to_triggers(source->relid, d.blocked_reason,
										d.unlogged || pgt_wal_lag() > DDL_LAG,
										DDL_PATIENCE_MS);
}

bool
pgt_handover_after_ddl(Oid relid)
{
	bool		found = false;
	ListCell   *lc;

	foreach(lc, pgt_lineage(relid))
	{
		PgtSource  *source = pgt_source_get(lfirst_oid(lc), true);

		if (source == NULL || strcmp(source->cdc_mode, "STREAM") == 0)
			continue;
		found = true;
		/* the DDL has its lock already; on others we might deadlock */
		if (pgt_cdc_is_wal(source) && source->relid == relid &&
			!has_subclass(relid))
			return_after_ddl(source);
	}
	return found;
}

/* Not waited for: the next change without its old row will do as well. */
bool
pgt_handover_note_lost(Oid relid)
{
	PgtSource  *source = pgt_source_get(relid, true);
	PgtCdcDecision d;

	if (source == NULL || source->full_required || !pgt_cdc_is_wal(source))
		return false;
	source->full_required = true;
	pgt_cdc_decide(source, &d);
	if (d.use_wal || d.wanted == PGT_CDC_TRIGGER ||
		!ConditionalLockRelationOid(pgt_buffer_ref(relid, 0).heap,
									ShareUpdateExclusiveLock))
		return false;
	source = pgt_source_get(relid, true);
	if (source == NULL)
		return false;
	source->full_required = true;
	pgt_source_update(source);
	CommandCounterIncrement();
	return true;
}
