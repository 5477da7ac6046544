/*
 * applier/capture/cdc.c - how a source's changes should be captured, and why
 * not from the WAL.
 *
 * A source is captured in one way for all who read it.  Each reader asks for
 * trigger, wal or auto (pgt_definitions.requested_cdc_mode, or the setting):
 * one that asks for trigger has it; else one that asks for wal makes the source
 * wanted from the WAL; else auto picks the WAL where it can.  Where the WAL is
 * not possible both stay on triggers and the reason is shown; "wal" was told so
 * when it was asked for (pgt_options_require_wal in api/).
 *
 * The WAL holds the old row of an UPDATE or DELETE only as far as the replica
 * identity says.  FULL holds it; an identity index that has all captured
 * columns holds enough; REPLICA IDENTITY NOTHING is taken as the owner's word
 * that rows are only inserted, until a change without its old row breaks it
 * (pgt_sources.full_required).  The default identity of a table that is
 * updated would make its readers rebuild at each update: it is not used.
 *
 * Nothing here takes a lock: the answer may be old by the time it is used, and
 * is asked for again under the lock of the hand-over.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/xlog.h"
#include "catalog/indexing.h"
#include "catalog/pg_class.h"
#include "catalog/pg_index.h"
#include "catalog/pg_inherits.h"
#include "miscadmin.h"
#include "replication/slot.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/syscache.h"

#include "applier/capture/cdc.h"
#include "decoder/compat.h"

bool
pgt_cdc_is_wal(const PgtSource *s)
{
	return strcmp(s->cdc_mode, "WAL") == 0;
}

bool
pgt_cdc_is_going(const PgtSource *s)
{
	return strcmp(s->cdc_mode, "TRANSITIONING") == 0;
}

char *
pgt_cdc_slot_name(void)
{
	return psprintf("pg_trickle_%u", MyDatabaseId);
}

PgtCdcMode
pgt_cdc_requested(const char *requested)
{
	if (requested == NULL)
		return pgt_cdc_mode;
	if (strcmp(requested, "wal") == 0)
		return PGT_CDC_WAL;
	return strcmp(requested, "trigger") == 0 ? PGT_CDC_TRIGGER : PGT_CDC_AUTO;
}

/* ---- what the users want ---- */

static void
resolve_users(Oid relid, PgtCdcDecision *d)
{
	ListCell   *lc;

	d->wanted = PGT_CDC_AUTO;
	foreach(lc, pgt_dependency_deferred(relid))
	{
		PgtStreamTable *st = pgt_stream_table_get(((PgtDependency *) lfirst(lc))->pgt_id, true);
		PgtCdcMode	mode;

		if (st == NULL)
			continue;
		mode = pgt_cdc_requested(st->requested_cdc_mode);
		if (mode == PGT_CDC_WAL)
			d->wanted = PGT_CDC_WAL;
		if (mode != PGT_CDC_TRIGGER)
			continue;
		d->wanted = PGT_CDC_TRIGGER;
		d->blocked_reason = st->requested_cdc_mode == NULL ?
			pstrdup("pg_trickle.cdc_mode is \"trigger\"") :
			psprintf("stream table %s asks for cdc_mode \"trigger\"",
					 quote_qualified_identifier(st->schema, st->name));
		return;
	}
}

/* ---- what the server can ---- */

/* A free slot, or ours. */
static bool
slot_can_be_had(void)
{
	char	   *name = pgt_cdc_slot_name();
	bool		found = false;

	LWLockAcquire(ReplicationSlotControlLock, LW_SHARED);
	for (int i = 0; i < max_replication_slots && !found; i++)
	{
		const ReplicationSlot *slot = &ReplicationSlotCtl->replication_slots[i];

		found = !slot->in_use || strcmp(NameStr(slot->data.name), name) == 0;
	}
	LWLockRelease(ReplicationSlotControlLock);
	return found;
}

static bool
server_blocks(PgtCdcDecision *d)
{
	if (!pgt_logical_wal_possible())
	{
		d->blocked_reason = psprintf("wal_level is \"%s\"",
									 GetConfigOption("wal_level", false, false));
		d->hint = pstrdup("Set wal_level to logical and restart the server.");
	}
	else if (!slot_can_be_had())
	{
		d->blocked_reason = psprintf("all %d replication slots are in use",
									 max_replication_slots);
		d->hint = pstrdup("Raise max_replication_slots, or drop a slot that nobody needs.");
	}
	return d->blocked_reason != NULL;
}

/* ---- what the WAL would tell of a table ---- */

static bool
index_has_columns(Form_pg_index index, Oid relid, const PgtSource *source)
{
	for (int i = 0; i < source->ncolumns; i++)
	{
		char	   *name = get_attname(source->relid, source->columns[i], true);
		AttrNumber	attnum = name ? get_attnum(relid, name) : InvalidAttrNumber;
		bool		found = false;

		for (int j = 0; j < index->indnkeyatts && !found; j++)
			found = index->indkey.values[j] == attnum;
		if (!found)
			return false;
	}
	return true;
}

/* Does the identity index, if there is one, have all columns captured? */
static bool
identity_index_covers(Oid relid, char replident, const PgtSource *source)
{
	Relation	rel = table_open(IndexRelationId, AccessShareLock);
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple	tuple;
	bool		covers = false;

	ScanKeyInit(&key, Anum_pg_index_indrelid, BTEqualStrategyNumber, F_OIDEQ,
				ObjectIdGetDatum(relid));
	scan = systable_beginscan(rel, IndexIndrelidIndexId, true, NULL, 1, &key);
	while (!covers && HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		Form_pg_index index = (Form_pg_index) GETSTRUCT(tuple);
		bool		is_identity = replident == REPLICA_IDENTITY_INDEX ?
			index->indisreplident : index->indisprimary;

		covers = is_identity && index->indisvalid && index->indimmediate &&
			index_has_columns(index, relid, source);
	}
	systable_endscan(scan);
	table_close(rel, AccessShareLock);
	return covers;
}

static void
block_identity(Oid relid, char replident, const PgtSource *source,
			   PgtCdcDecision *d)
{
	const char *kind = replident == REPLICA_IDENTITY_NOTHING ? "NOTHING" :
		replident == REPLICA_IDENTITY_INDEX ? "USING INDEX" : "DEFAULT";
	char	   *name = quote_qualified_identifier(get_namespace_name(get_rel_namespace(relid)),
												  get_rel_name(relid));

	d->blocked_reason = psprintf("the WAL lacks old rows of %s: its replica identity is %s",
								 name, kind);
	d->hint = psprintf("ALTER TABLE %s REPLICA IDENTITY FULL%s.", name,
					   source->full_required ? "" :
					   "; or, where rows are only ever inserted, REPLICA IDENTITY NOTHING");
}

static void
check_identity(Oid relid, char replident, const PgtSource *source,
			   PgtCdcDecision *d)
{
	if (replident == REPLICA_IDENTITY_FULL)
		return;
	if (replident == REPLICA_IDENTITY_NOTHING && !source->full_required)
		return;
	if (replident != REPLICA_IDENTITY_NOTHING &&
		identity_index_covers(relid, replident, source))
		return;
	block_identity(relid, replident, source, d);
}

/* A table of the source's tree that stores rows. */
static void
check_table(Oid relid, const PgtSource *source, PgtCdcDecision *d)
{
	HeapTuple	tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(relid));
	Form_pg_class form;

	if (!HeapTupleIsValid(tuple))
		return;
	form = (Form_pg_class) GETSTRUCT(tuple);
	if (form->relkind == RELKIND_PARTITIONED_TABLE)
		;						/* stores none */
	else if (form->relpersistence != RELPERSISTENCE_PERMANENT)
	{
		d->unlogged = true;
		d->blocked_reason = psprintf("table \"%s\" is unlogged: its changes are not in the WAL",
									 NameStr(form->relname));
		d->hint = pstrdup("ALTER TABLE ... SET LOGGED.");
	}
	else
		check_identity(relid, form->relreplident, source, d);
	ReleaseSysCache(tuple);
}

static void
check_tree(const PgtSource *source, PgtCdcDecision *d)
{
	ListCell   *lc;

	foreach(lc, find_all_inheritors(source->relid, NoLock, NULL))
	{
		check_table(lfirst_oid(lc), source, d);
		if (d->blocked_reason != NULL)
			return;
	}
}

void
pgt_cdc_decide(const PgtSource *source, PgtCdcDecision *d)
{
	memset(d, 0, sizeof(*d));
	resolve_users(source->relid, d);
	if (d->blocked_reason == NULL && !server_blocks(d))
		check_tree(source, d);
	d->use_wal = d->blocked_reason == NULL;
}
