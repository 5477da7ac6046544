/*
 * applier/api/restore.c - after pg_restore: definitions stand in the catalog,
 * the tables are there with the rows of the dump, everything else is not.
 *
 * Called by the scheduler for each definition without a state row, inside a
 * transaction with an active snapshot, as a superuser.  The table keeps its
 * rows until the first refresh replaces them by difference.
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/namespace.h"
#include "catalog/objectaddress.h"
#include "catalog/pg_class.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"

#include "applier/api/create.h"
#include "applier/dvm/op.h"
#include "applier/refresh/attach.h"
#include "applier/refresh/identity.h"

static PgtStreamTable *
find_unrestored(int64 pgt_id)
{
	ListCell   *lc;

	foreach(lc, pgt_stream_table_unrestored())
	{
		PgtStreamTable *st = lfirst(lc);

		if (st->pgt_id == pgt_id)
			return st;
	}
	return NULL;
}

static Oid
table_of(const PgtStreamTable *st)
{
	Oid			nsp = get_namespace_oid(st->schema, true);
	Oid			relid = OidIsValid(nsp) ? get_relname_relid(st->name, nsp) : InvalidOid;

	if (!OidIsValid(relid))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_TABLE),
				 errmsg("table of stream table %s was not restored",
						quote_qualified_identifier(st->schema, st->name)),
				 errhint("Delete the row from pgtrickle.pgt_definitions, or restore the table.")));
	return relid;
}

/* The identity index came with the dump, as an ordinary index. */
static void
adopt_identity(PgtStreamTable *st, const PgtPlannedQuery *q)
{
	PgtRowIdentity identity;

	st->identity_index = pgt_rowid_find(st->relid);
	if (!OidIsValid(st->identity_index))
		st->identity_index = pgt_rowid_create(st->relid, pgt_query_output_key(q->expanded));
	CommandCounterIncrement();
	pgt_rowid_get(st->relid, &identity);
	st->row_identity = identity.by_key ? "key" : "hash";
}

void
pgt_restore_stream_table(int64 pgt_id)
{
	PgtStreamTable *st = find_unrestored(pgt_id);
	char	   *original;
	PgtIdentity identity;
	PgtPlannedQuery *q;

	if (st == NULL)
		return;
	original = st->original_query;
	st->relid = table_of(st);
	pgt_identity_enter(&identity, pgt_relation_owner(st->relid), st->pinned_settings);
	q = pgt_plan_query_for(st->defining_query, st->refresh_mode);
	pgt_fill_state(st, q);
	pgt_identity_leave(&identity);

	st->original_query = original;
	st->status = st->suspended ? "SUSPENDED" : "INITIALIZING";
	st->needs_reinit = true;
	st->reinit_reason = "restored from a dump";
	adopt_identity(st, q);
	pgt_stream_table_insert(st);
	CommandCounterIncrement();
	pgt_attach_sources(st, q->check);
	pgt_create_state(st);
}
