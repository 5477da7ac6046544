/*
 * applier/catalog/schema.c - where the extension's own objects are.
 *
 * Names are looked up through the system caches; that the schema found really
 * belongs to the extension (and was not made by somebody in a database
 * without it) is checked once per backend and relation oid.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "catalog/dependency.h"
#include "catalog/namespace.h"
#include "catalog/pg_class.h"
#include "catalog/pg_extension.h"
#include "commands/extension.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"

#include "applier/catalog/catalog.h"

static const char *const table_names[] = {
	[PGT_TABLE_DEFINITIONS] = "pgt_definitions",
	[PGT_TABLE_STATE] = "pgt_state",
	[PGT_TABLE_PROGRESS] = "pgt_progress",
	[PGT_TABLE_SOURCES] = "pgt_sources",
	[PGT_TABLE_DEPENDENCIES] = "pgt_dependencies",
	[PGT_TABLE_IMMEDIATE] = "pgt_immediate",
	[PGT_TABLE_HISTORY] = "pgt_refresh_history",
	[PGT_TABLE_GATES] = "pgt_source_gates",
	[PGT_TABLE_WATERMARKS] = "pgt_watermarks",
	[PGT_TABLE_WATERMARK_GROUPS] = "pgt_watermark_groups",
	[PGT_TABLE_REFRESH_GROUPS] = "pgt_refresh_groups",
	[PGT_TABLE_DECODER] = "pgt_decoder",
};

/* the pgt_state table that was verified to be the extension's, and by whom */
static Oid	verified_relid = InvalidOid;
static Oid	verified_extension = InvalidOid;

static Oid
lookup_schema(const char *name)
{
	Oid			nsp = get_namespace_oid(name, true);

	if (!OidIsValid(nsp))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("extension \"pg_trickle\" is not installed in this database"),
				 errhint("Run CREATE EXTENSION pg_trickle.")));
	return nsp;
}

bool
pgt_extension_installed(void)
{
	Oid			nsp = get_namespace_oid("pgtrickle", true);
	Oid			relid;

	if (!OidIsValid(nsp))
		return false;
	relid = get_relname_relid(table_names[PGT_TABLE_STATE], nsp);
	if (!OidIsValid(relid))
		return false;
	if (relid != verified_relid)
	{
		Oid			ext = getExtensionOfObject(RelationRelationId, relid);

		if (!OidIsValid(ext) || ext != get_extension_oid("pg_trickle", true))
			return false;
		verified_extension = ext;
		verified_relid = relid;
	}
	return !creating_extension || CurrentExtensionObject != verified_extension;
}

Oid
pgt_extension_oid(void)
{
	if (!pgt_extension_installed())
		lookup_schema("");
	return verified_extension;
}

Oid
pgt_extension_owner(void)
{
	Relation	rel = table_open(ExtensionRelationId, AccessShareLock);
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple	tuple;
	Oid			owner = InvalidOid;

	ScanKeyInit(&key, Anum_pg_extension_oid, BTEqualStrategyNumber, F_OIDEQ,
				ObjectIdGetDatum(pgt_extension_oid()));
	scan = systable_beginscan(rel, ExtensionOidIndexId, true, NULL, 1, &key);
	tuple = systable_getnext(scan);
	if (HeapTupleIsValid(tuple))
		owner = ((Form_pg_extension) GETSTRUCT(tuple))->extowner;
	systable_endscan(scan);
	table_close(rel, AccessShareLock);
	if (!OidIsValid(owner))
		elog(ERROR, "extension \"pg_trickle\" has no owner");
	return owner;
}

Oid
pgt_catalog_relid(PgtCatalogTable table)
{
	Oid			relid = get_relname_relid(table_names[table],
										  lookup_schema("pgtrickle"));

	if (!OidIsValid(relid))
		elog(ERROR, "catalog table pgtrickle.%s is missing", table_names[table]);
	return relid;
}

Oid
pgt_schema_oid(void)
{
	return lookup_schema("pgtrickle");
}

Oid
pgt_changes_schema_oid(void)
{
	return lookup_schema("pgtrickle_changes");
}

Oid
pgt_state_schema_oid(void)
{
	return lookup_schema("pgtrickle_state");
}
