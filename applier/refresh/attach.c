/*
 * applier/refresh/attach.c - tying a stream table to what its query reads:
 * the mode it can have, rights, dependencies, capture.
 *
 * Done when a stream table is created, restored or given another query, and
 * when it is rebuilt after DDL (reinit.c): a view replaced, or a column dropped
 * and made again, may read other columns and tables under the same text.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/xact.h"
#include "catalog/dependency.h"
#include "catalog/indexing.h"
#include "catalog/objectaddress.h"
#include "catalog/pg_am.h"
#include "catalog/pg_class.h"
#include "catalog/pg_depend.h"
#include "catalog/pg_namespace.h"
#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"

#include "applier/capture/capture.h"
#include "applier/dvm/op.h"
#include "applier/refresh/attach.h"
#include "applier/refresh/immediate.h"

/* ---- mode and rights ---- */

const char *
pgt_attach_choose_mode(const PgtQueryCheck *check, const char *refresh_mode,
					   const char *query_text, char **reason)
{
	*reason = NULL;
	if (check->refused ||
		(check->full_only && (strcmp(refresh_mode, "DIFFERENTIAL") == 0 ||
							  strcmp(refresh_mode, "IMMEDIATE") == 0)))
		pgt_query_refuse(check, refresh_mode, query_text);
	if (strcmp(refresh_mode, "FULL") == 0)
		return "FULL";
	if (strcmp(refresh_mode, "IMMEDIATE") == 0)
		return "IMMEDIATE";
	if (!check->full_only)
		return "DIFFERENTIAL";
	*reason = psprintf("%s is not maintained differentially", check->construct);
	return "FULL";
}

/*
 * Triggers on another's table are that owner's business.  An IMMEDIATE stream
 * table puts its expressions into the statements that change its sources, also
 * where the source is a stream table itself.
 */
void
pgt_attach_check_rights(const PgtQueryCheck *check, bool immediate)
{
	ListCell   *lc;

	foreach(lc, check->sources)
	{
		const PgtSourceUse *use = lfirst(lc);

		if (strcmp(use->source_type, "TABLE") != 0 &&
			!(immediate && strcmp(use->source_type, "STREAM_TABLE") == 0))
			continue;
		if (pg_class_aclcheck(use->relid, GetUserId(), ACL_TRIGGER) != ACLCHECK_OK)
			ereport(ERROR,
					(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
					 errmsg("permission denied to capture changes of table %s",
							get_rel_name(use->relid)),
					 errhint("The table's owner can GRANT TRIGGER on it.")));
	}
}

/* ---- row identity ---- */

void
pgt_attach_check_identity(PgtStreamTable *st, const Query *expanded)
{
	List	   *key = pgt_query_output_key(expanded);
	PgtRowIdentity identity;
	bool		same;

	pgt_rowid_get(st->relid, &identity);
	if (!identity.by_key)
		return;
	same = identity.nkeys == list_length(key) &&
		!(strcmp(st->refresh_mode, "IMMEDIATE") == 0 &&
		  pgt_rowid_may_overflow(st->relid, key));
	for (int i = 0; same && i < identity.nkeys; i++)
		same = identity.key_attnos[i] == list_nth_int(key, i);
	if (same)
		return;
	st->identity_index = pgt_rowid_switch_to_hash(st->relid);
	st->row_identity = "hash";
	CommandCounterIncrement();
}

/* ---- pg_depend ---- */

/* What the query needed so far; that the table is in a schema stays. */
static void
delete_dependencies(Oid relid)
{
	Relation	rel = table_open(DependRelationId, RowExclusiveLock);
	ScanKeyData key[3];
	SysScanDesc scan;
	HeapTuple	tuple;

	ScanKeyInit(&key[0], Anum_pg_depend_classid, BTEqualStrategyNumber, F_OIDEQ,
				ObjectIdGetDatum(RelationRelationId));
	ScanKeyInit(&key[1], Anum_pg_depend_objid, BTEqualStrategyNumber, F_OIDEQ,
				ObjectIdGetDatum(relid));
	ScanKeyInit(&key[2], Anum_pg_depend_objsubid, BTEqualStrategyNumber, F_INT4EQ,
				Int32GetDatum(0));
	scan = systable_beginscan(rel, DependDependerIndexId, true, NULL, 3, key);
	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		Form_pg_depend d = (Form_pg_depend) GETSTRUCT(tuple);

		if (d->deptype == DEPENDENCY_NORMAL &&
			d->refclassid != NamespaceRelationId &&
			d->refclassid != AccessMethodRelationId)
			CatalogTupleDelete(rel, &tuple->t_self);
	}
	systable_endscan(scan);
	table_close(rel, RowExclusiveLock);
}

static void
record_dependencies(Oid relid, const PgtQueryCheck *check)
{
	ObjectAddress self;
	ObjectAddress other;
	ListCell   *lc;

	ObjectAddressSet(self, RelationRelationId, relid);
	foreach(lc, list_concat_copy(check->sources, check->views))
	{
		ObjectAddressSet(other, RelationRelationId,
						 ((PgtSourceUse *) lfirst(lc))->relid);
		recordDependencyOn(&self, &other, DEPENDENCY_NORMAL);
	}
	foreach(lc, check->object_deps)
		recordDependencyOn(&self, (ObjectAddress *) lfirst(lc), DEPENDENCY_NORMAL);
}

/* ---- pgt_dependencies ---- */

static PgtDependency *
dependency_for(int64 pgt_id, const PgtSourceUse *use)
{
	PgtDependency *d = palloc0(sizeof(PgtDependency));
	int			attno = -1;

	d->pgt_id = pgt_id;
	d->source_relid = use->relid;
	d->source_type = use->source_type;
	d->columns = palloc(sizeof(AttrNumber) * (bms_num_members(use->columns) + 1));
	while ((attno = bms_next_member(use->columns, attno)) >= 0)
		d->columns[d->ncolumns++] = attno;
	return d;
}

static int
cmp_dependency(const ListCell *a, const ListCell *b)
{
	Oid			x = ((const PgtDependency *) lfirst(a))->source_relid;
	Oid			y = ((const PgtDependency *) lfirst(b))->source_relid;

	return x < y ? -1 : x > y;
}

/* In order of oid: the order in which everybody locks them. */
static List *
dependencies_for(int64 pgt_id, const PgtQueryCheck *check)
{
	List	   *result = NIL;
	ListCell   *lc;

	foreach(lc, check->sources)
		result = lappend(result, dependency_for(pgt_id, lfirst(lc)));
	foreach(lc, check->views)
		result = lappend(result, dependency_for(pgt_id, lfirst(lc)));
	list_sort(result, cmp_dependency);
	return result;
}

/* How "relid" reads "target", directly or through other stream tables: the
 * relations on the way, relid first; NIL when it does not. */
static List *
way_to(Oid relid, Oid target)
{
	PgtStreamTable *st;
	ListCell   *lc;

	if (relid == target)
		return list_make1_oid(relid);
	st = pgt_stream_table_by_relid(relid, true);
	if (st == NULL)
		return NIL;
	foreach(lc, pgt_dependency_of(st->pgt_id))
	{
		List	   *way = way_to(((PgtDependency *) lfirst(lc))->source_relid, target);

		if (way != NIL)
			return lcons_oid(relid, way);
	}
	return NIL;
}

static char *
describe_way(const char *name, List *way)
{
	StringInfoData text;
	ListCell   *lc;

	initStringInfo(&text);
	appendStringInfo(&text, "\"%s\"", name);
	foreach(lc, way)
		appendStringInfo(&text, " reads \"%s\"", get_rel_name(lfirst_oid(lc)));
	return text.data;
}

static void
refuse_cycle(const PgtStreamTable *st, List *dependencies)
{
	ListCell   *lc;

	foreach(lc, dependencies)
	{
		Oid			source = ((PgtDependency *) lfirst(lc))->source_relid;
		List	   *way = way_to(source, st->relid);

		if (way != NIL)
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_OBJECT_DEFINITION),
					 errmsg("stream table \"%s\" would depend on itself", st->name),
					 errdetail("%s.", describe_way(st->name, way)),
					 errhint("Cycles of stream tables are not supported.")));
	}
}

/* ---- all of it ---- */

static void
start_capture(List *dependencies, bool immediate)
{
	ListCell   *lc;

	foreach(lc, dependencies)
	{
		const PgtDependency *d = lfirst(lc);
		/* 0 stands for rows as values; their columns follow */
		int			first = d->ncolumns > 0 && d->columns[0] == 0 ? 1 : 0;

		if (strcmp(d->source_type, "TABLE") != 0 &&
			strcmp(d->source_type, "STREAM_TABLE") != 0)
			continue;
		if (immediate)
			pgt_maintain_start(d->source_relid,
							   strcmp(d->source_type, "STREAM_TABLE") == 0);
		else
			pgt_capture_start(d->source_relid, d->columns + first,
							  d->ncolumns - first,
							  strcmp(d->source_type, "STREAM_TABLE") == 0);
	}
	CommandCounterIncrement();
}

void
pgt_attach_sources(PgtStreamTable *st, const PgtQueryCheck *check)
{
	List	   *old = pgt_dependency_of(st->pgt_id);
	List	   *dependencies = dependencies_for(st->pgt_id, check);
	ListCell   *lc;

	refuse_cycle(st, dependencies);
	pgt_immediate_check_sources(st, dependencies);
	delete_dependencies(st->relid);
	CommandCounterIncrement();
	record_dependencies(st->relid, check);
	pgt_dependency_replace(st->pgt_id, dependencies);
	CommandCounterIncrement();

	start_capture(dependencies, strcmp(st->refresh_mode, "IMMEDIATE") == 0);
	foreach(lc, old)
		pgt_capture_stop_if_unused(((PgtDependency *) lfirst(lc))->source_relid);
	CommandCounterIncrement();
}
