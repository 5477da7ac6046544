/*
 * applier/schedule/unlogged.c - unlogged sources after a crash.
 *
 * Crash recovery empties unlogged tables without a trace in any change
 * buffer.  The extension keeps an unlogged table of one row for that: when the
 * scheduler starts and finds it empty, everything unlogged has been emptied,
 * and the stream tables that read such a table, or a tree with such a member,
 * are marked for rebuild.  Then the row is put back.  Both happen in one
 * transaction: a crash in between is found by the next scheduler.
 */
#include "postgres.h"

#include "catalog/pg_class.h"
#include "catalog/pg_inherits.h"
#include "executor/spi.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"

#include "applier/catalog/catalog.h"
#include "applier/schedule/unlogged.h"

static bool
marker_is_there(void)
{
	if (SPI_execute("SELECT FROM pgtrickle.pgt_unlogged_marker", true, 1) != SPI_OK_SELECT)
		elog(ERROR, "could not read pgtrickle.pgt_unlogged_marker");
	return SPI_processed > 0;
}

static void
restore_marker(void)
{
	if (SPI_execute("INSERT INTO pgtrickle.pgt_unlogged_marker VALUES (true)", false, 0) != SPI_OK_INSERT)
		elog(ERROR, "could not write pgtrickle.pgt_unlogged_marker");
}

static bool
has_unlogged_member(Oid relid)
{
	ListCell   *lc;

	if (get_rel_relkind(relid) == '\0')
		return false;
	foreach(lc, find_all_inheritors(relid, AccessShareLock, NULL))
		if (get_rel_persistence(lfirst_oid(lc)) == RELPERSISTENCE_UNLOGGED)
			return true;
	return false;
}

static void
mark_readers(const PgtStreamTable *st)
{
	ListCell   *lc;

	foreach(lc, pgt_dependency_of(st->pgt_id))
	{
		const PgtDependency *d = lfirst(lc);

		if (strcmp(d->source_type, "TABLE") != 0 || !has_unlogged_member(d->source_relid))
			continue;
		pgt_stream_table_set_status(st->pgt_id, st->status, true,
									psprintf("unlogged source \"%s\" was emptied by a crash",
											 get_rel_name(d->source_relid)));
		return;
	}
}

void
pgt_unlogged_check(void)
{
	ListCell   *lc;

	SPI_connect();
	if (!marker_is_there())
	{
		foreach(lc, pgt_stream_table_all())
			mark_readers(lfirst(lc));
		restore_marker();
	}
	SPI_finish();
}
