/*
 * applier/capture/maintain.c - triggers on the sources of IMMEDIATE stream
 * tables.
 *
 * They call pgtrickle.maintain() (refresh/immediate.c) and are there whatever
 * cdc_mode says for deferred readers of the same source: changes decoded from
 * the WAL come after the commit.  A source with IMMEDIATE readers only has no
 * row in pgt_sources, no change buffer and no capture triggers.
 *
 * As with capture (install.c) a source is seen in one of two forms:
 *
 *   statement  AFTER STATEMENT triggers with transition tables on the source
 *              and every descendant;
 *   row        AFTER ROW triggers on the tables of the tree that hold rows.
 *
 * In both forms a BEFORE STATEMENT trigger says that a statement begins and an
 * AFTER STATEMENT trigger that it ended: what one statement does, with all its
 * cascades, is maintained together.  For the row form these stand on the
 * ancestors too, because DML that names one of them fires no statement trigger
 * of its descendants.
 *
 * Locks: the whole tree (and, in row form, the ancestors) ShareRowExclusive to
 * begin, AccessExclusive to end.
 */
#include "postgres.h"

#include "catalog/pg_class.h"
#include "catalog/pg_inherits.h"
#include "catalog/pg_trigger.h"
#include "storage/lmgr.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/syscache.h"

#include "applier/capture/capture.h"
#include "applier/capture/install.h"
#include "applier/catalog/catalog.h"

#define DML_EVENTS (TRIGGER_TYPE_INSERT | TRIGGER_TYPE_UPDATE | TRIGGER_TYPE_DELETE)

#define KIND_BEGIN		0x01
#define KIND_STATEMENT	0x0e
#define KIND_END		0x10
#define KIND_ROW		0x20
#define KIND_TRUNCATE	0x40

static const PgtTriggerKind kinds[] = {
	{"pgt_maintain_begin", TRIGGER_TYPE_BEFORE | DML_EVENTS | TRIGGER_TYPE_TRUNCATE,
	false, false},
	{"pgt_maintain_insert", TRIGGER_TYPE_INSERT, false, true},
	{"pgt_maintain_update", TRIGGER_TYPE_UPDATE, true, true},
	{"pgt_maintain_delete", TRIGGER_TYPE_DELETE, true, false},
	{"pgt_maintain_end", DML_EVENTS, false, false},
	{"pgt_maintain_row", TRIGGER_TYPE_ROW | DML_EVENTS, false, false},
	{"pgt_maintain_truncate", TRIGGER_TYPE_TRUNCATE, false, false},
};

PgtMaintainForm
pgt_maintain_form(Oid relid)
{
	if (get_rel_name(relid) == NULL || pgt_dependency_immediate(relid) == NIL)
		return PGT_MAINTAIN_NONE;
	if (strcmp(pgt_install_form(relid, find_all_inheritors(relid, NoLock, NULL)),
			   "row") == 0)
		return PGT_MAINTAIN_ROW;
	return PGT_MAINTAIN_STATEMENT;
}

/* ---- one relation's triggers ---- */

/* Does a descendant of relid have readers in row form? */
static bool
has_row_descendant(Oid relid)
{
	ListCell   *lc;

	foreach(lc, find_all_inheritors(relid, NoLock, NULL))
		if (lfirst_oid(lc) != relid &&
			pgt_maintain_form(lfirst_oid(lc)) == PGT_MAINTAIN_ROW)
			return true;
	return false;
}

static int
required_kinds(Oid relid)
{
	char		relkind = get_rel_relkind(relid);
	int			required = 0;
	ListCell   *lc;

	foreach(lc, pgt_lineage(relid))
	{
		PgtMaintainForm form = pgt_maintain_form(lfirst_oid(lc));

		if (form == PGT_MAINTAIN_NONE || relkind == RELKIND_FOREIGN_TABLE)
			continue;
		required |= KIND_BEGIN | KIND_TRUNCATE;
		if (form == PGT_MAINTAIN_STATEMENT)
			required |= KIND_STATEMENT;
		else
			required |= relkind == RELKIND_PARTITIONED_TABLE ? KIND_END :
				KIND_END | KIND_ROW;
	}
	if (has_row_descendant(relid))
		required |= KIND_BEGIN | KIND_END;
	/* those with transition tables tell the end as well */
	if (required & KIND_STATEMENT)
		required &= ~KIND_END;
	return required;
}

static void
sync_triggers(Oid relid)
{
	Oid			function = pgt_install_function("maintain");
	Oid			oids[lengthof(kinds)];
	int			required = required_kinds(relid);
	int			present = pgt_install_present(relid, function, kinds,
											  lengthof(kinds), oids);

	for (int i = 0; i < lengthof(kinds); i++)
	{
		int			bit = 1 << i;

		if ((required & bit) && !(present & bit))
			pgt_install_create(relid, &kinds[i], function);
		else if (!(required & bit) && (present & bit))
			pgt_install_drop(oids[i]);
	}
}

static bool
is_synced(Oid relid)
{
	Oid			oids[lengthof(kinds)];

	return required_kinds(relid) ==
		pgt_install_present(relid, pgt_install_function("maintain"), kinds,
							lengthof(kinds), oids);
}

/* ---- a source's family ---- */

/* Whose triggers follow from the source: its tree, and its ancestors. */
static List *
family(Oid relid)
{
	return list_concat_unique_oid(find_all_inheritors(relid, NoLock, NULL),
								  pgt_lineage(relid));
}

static void
sync_family(Oid relid, LOCKMODE lockmode)
{
	ListCell   *lc;

	foreach(lc, family(relid))
	{
		if (get_rel_name(lfirst_oid(lc)) == NULL || is_synced(lfirst_oid(lc)))
			continue;
		LockRelationOid(lfirst_oid(lc), lockmode);
		sync_triggers(lfirst_oid(lc));
	}
}

void
pgt_maintain_start(Oid relid, bool is_stream_table)
{
	List	   *tree = pgt_install_lock_tree(relid, ShareRowExclusiveLock);

	/* writers keep in mind who reads what */
	CacheInvalidateRelcacheByRelid(relid);
	if (is_stream_table)
		return;
	pgt_install_check(relid, tree);
	sync_family(relid, ShareRowExclusiveLock);
}

bool
pgt_maintain_lock(Oid relid, LOCKMODE lockmode, bool wait)
{
	ListCell   *lc;

	if (wait)
	{
		(void) pgt_install_lock_tree(relid, lockmode);
		return true;
	}
	if (!ConditionalLockRelationOid(relid, lockmode))
		return false;
	foreach(lc, find_all_inheritors(relid, NoLock, NULL))
		if (!ConditionalLockRelationOid(lfirst_oid(lc), lockmode))
			return false;
	return true;
}

static bool
is_family_synced(Oid relid)
{
	ListCell   *lc;

	foreach(lc, family(relid))
		if (get_rel_name(lfirst_oid(lc)) != NULL && !is_synced(lfirst_oid(lc)))
			return false;
	return true;
}

void
pgt_maintain_stop_if_unused(Oid relid)
{
	if (get_rel_name(relid) == NULL)
		return;
	if (pgt_dependency_immediate(relid) != NIL || is_family_synced(relid))
		return;
	(void) pgt_install_lock_tree(relid, AccessExclusiveLock);
	sync_family(relid, AccessExclusiveLock);
}

void
pgt_maintain_repair(Oid relid)
{
	sync_family(relid, ShareRowExclusiveLock);
}

/* Sources that have readers, found through what is read. */
void
pgt_maintain_repair_all(void)
{
	ListCell   *st;
	ListCell   *lc;

	foreach(st, pgt_stream_table_all())
	{
		const PgtStreamTable *table = lfirst(st);

		if (strcmp(table->refresh_mode, "IMMEDIATE") != 0)
			continue;
		foreach(lc, pgt_dependency_of(table->pgt_id))
		{
			const PgtDependency *d = lfirst(lc);

			if (strcmp(d->source_type, "TABLE") == 0)
				pgt_maintain_repair(d->source_relid);
		}
	}
}
