/*
 * applier/refresh/reinit.c - a stream table made ready for rebuild after DDL
 * on what it reads, a change of its mode, or a restore.
 *
 * The text of the query is analysed again: it may now mean other columns,
 * tables and types, another mode, another key.  All of this comes before the
 * refresh takes its snapshot, because capture of a source must have begun
 * before (DESIGN: capture, then snapshot).  Runs as the stream table's owner.
 */
#include "postgres.h"

#include "access/table.h"
#include "access/xact.h"
#include "access/xlog.h"
#include "miscadmin.h"
#include "utils/rel.h"

#include "applier/refresh/attach.h"
#include "applier/refresh/internal.h"
#include "decoder/compat.h"

static void
refuse_old_snapshot(const PgtStreamTable *st)
{
	if (!IsolationUsesXactSnapshot())
		return;
	ereport(ERROR,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errmsg("cannot rebuild stream table \"%s\" at this isolation level", st->name),
			 errdetail("What it reads was changed, and the transaction's snapshot may be older than that."),
			 errhint("Refresh it at READ COMMITTED, or leave it to the scheduler.")));
}

static void
check_columns(const PgtStreamTable *st, const Query *query)
{
	Relation	rel = table_open(st->relid, NoLock);

	pgt_refresh_check_columns(query, rel);
	table_close(rel, NoLock);
}

static PgtProgram *
renew_program(PgtStreamTable *st)
{
	PgtProgram *program;

	pgt_refresh_forget_program(st->pgt_id);
	pgt_state_drop_all(st->pgt_id);
	CommandCounterIncrement();
	program = pgt_refresh_get_program(st);
	if (strcmp(st->effective_mode, "FULL") == 0)
		return program;
	pgt_program_create_state(program);
	CommandCounterIncrement();
	/* the new tables' invalidations reach us; compile against them now */
	pgt_refresh_forget_program(st->pgt_id);
	return pgt_refresh_get_program(st);
}

PgtProgram *
pgt_refresh_reinitialise(PgtStreamTable *st)
{
	Query	   *query;
	Query	   *expanded;
	PgtQueryCheck *check;

	refuse_old_snapshot(st);
	query = pgt_query_parse(st->defining_query);
	query->stmt_location = -1;
	query->stmt_len = 0;
	expanded = pgt_query_expand(query);
	check = pgt_query_check(query, expanded);
	st->effective_mode = pstrdup(pgt_attach_choose_mode(check, st->refresh_mode,
														st->defining_query,
														&st->effective_mode_reason));
	pgt_attach_check_rights(check, strcmp(st->refresh_mode, "IMMEDIATE") == 0);
	check_columns(st, query);
	pgt_attach_check_identity(st, expanded);

	st->query_tree = nodeToString(query);
	st->tree_version = PGT_MAJOR_VERSION;
	st->system_identifier = GetSystemIdentifier();
	st->database_oid = MyDatabaseId;
	pgt_stream_table_update(st);
	CommandCounterIncrement();
	pgt_attach_sources(st, check);
	return renew_program(st);
}
