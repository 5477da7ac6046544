/*
 * applier/refresh/decoded.c - refreshes from sources that are captured from
 * the WAL.
 *
 * A trigger's batch commits with its transaction.  The decoder's comes later:
 * under a snapshot S everything that S shows has been inserted into the WAL,
 * so the end of the WAL as it is *after* S was taken, once decoded, is enough;
 * the end before S is not (DESIGN.md section 3).  What is decoded and not in S
 * is left to the next refresh by the frontier.
 *
 * The locks of the refresh are held while it waits, which stands in nobody's
 * way: the decoder takes none on sources, and writers are not held up by
 * AccessShareLock.  A decoder that does not run, or makes no progress, ends
 * the wait with an error (a worker's refresh is skipped and tried again).
 *
 * Own writes: those of this transaction will be decoded after its commit, so
 * neither can they be absorbed now nor may they be in a result whose frontier
 * leaves them to later.  No trigger tells of them; that the transaction has an
 * xid and holds the lock that writing or truncating takes on the table does.
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/pg_inherits.h"
#include "storage/lmgr.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/relcache.h"
#include "utils/snapmgr.h"

#include "applier/capture/cdc.h"
#include "applier/capture/wal.h"
#include "applier/catalog/catalog.h"
#include "applier/refresh/decoded.h"

#define NEAR_BYTES			(1024 * 1024)
#define PATIENCE_MS			10000
#define WORKER_PATIENCE_MS	1000

static bool
is_decoded(const PgtDependency *d)
{
	PgtSource  *source;

	if (strcmp(d->source_type, "TABLE") != 0)
		return false;
	source = pgt_source_get(d->source_relid, true);
	return source != NULL && pgt_cdc_is_wal(source);
}

bool
pgt_decoded_any(List *dependencies)
{
	ListCell   *lc;

	foreach(lc, dependencies)
		if (is_decoded(lfirst(lc)))
			return true;
	return false;
}

/* ---- own writes ---- */

static bool
is_written(Oid relid)
{
	Relation	rel = RelationIdGetRelation(relid);
	bool		result;

	if (!RelationIsValid(rel))
		return false;
	result = CheckRelationLockedByMe(rel, RowExclusiveLock, false) ||
		CheckRelationLockedByMe(rel, AccessExclusiveLock, false);
	RelationClose(rel);
	return result;
}

static void
check_not_written(const char *st_name, Oid source)
{
	ListCell   *lc;

	foreach(lc, find_all_inheritors(source, NoLock, NULL))
		if (is_written(lfirst_oid(lc)))
			ereport(ERROR,
					(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
					 errmsg("cannot refresh stream table \"%s\" in a transaction that has written to \"%s\"",
							st_name, get_rel_name(lfirst_oid(lc))),
					 errdetail("Changes of that table are captured from the WAL, where they can be read after the commit."),
					 errhint("Commit first; or create the stream table with initialize => false.")));
}

void
pgt_decoded_check_not_written(const char *st_name, List *dependencies)
{
	ListCell   *lc;

	if (!TransactionIdIsValid(GetTopTransactionIdIfAny()))
		return;
	foreach(lc, dependencies)
		if (is_decoded(lfirst(lc)))
			check_not_written(st_name, ((PgtDependency *) lfirst(lc))->source_relid);
}

/* ---- waiting ---- */

static char *
wait_for(const char *st_name, XLogRecPtr lsn, bool wait)
{
	char	   *why;

	if (pgt_wal_wait(lsn, wait ? PATIENCE_MS : WORKER_PATIENCE_MS, &why))
		return NULL;
	if (wait)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("could not refresh stream table \"%s\": the WAL has not been decoded so far", st_name),
				 errdetail("%s", why),
				 errhint("See the server log and pgtrickle.check_cdc_health(); refresh with mode FULL needs no decoder.")));
	return why;
}

char *
pgt_decoded_come_near(const char *st_name, bool wait)
{
	if (pgt_wal_lag() <= NEAR_BYTES)
		return NULL;
	/* a worker must not hold back vacuum meanwhile */
	InvalidateCatalogSnapshot();
	return wait_for(st_name, pgt_wal_end(), wait);
}

char *
pgt_decoded_wait(const char *st_name, bool wait, XLogRecPtr *lsn)
{
	*lsn = pgt_wal_end();
	return wait_for(st_name, *lsn, wait);
}
