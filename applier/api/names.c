/*
 * applier/api/names.c - names of stream tables as users write them.
 *
 * A name is text in identifier syntax, one or two parts, quoted or not.
 * Looking up an unqualified name considers stream tables only, so that a view
 * of the same name on search_path does not hide one.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/namespace.h"
#include "catalog/pg_class.h"
#include "catalog/pg_namespace.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/varlena.h"

#include "applier/api/names.h"
#include "applier/settings.h"
#include "decoder/compat.h"

PG_FUNCTION_INFO_V1(pgt_resolve);

void
pgt_name_split(const char *text, char **schema, char **name)
{
	List	   *parts = NIL;
	int			n;

	if (SplitIdentifierString(pstrdup(text), '.', &parts))
		n = list_length(parts);
	else
		n = 0;
	if (n < 1 || n > 2 || ((char *) llast(parts))[0] == '\0' ||
		((char *) linitial(parts))[0] == '\0')
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_NAME),
				 errmsg("invalid stream table name: \"%s\"", text),
				 errhint("Write name, schema.name or, with capitals or special characters, \"Schema\".\"name\".")));
	*schema = n == 2 ? linitial(parts) : NULL;
	*name = llast(parts);
}

/* First schema of search_path that the caller may create in. */
static Oid
first_creatable_schema(void)
{
	List	   *path = fetch_search_path(false);
	ListCell   *lc;

	foreach(lc, path)
	{
		Oid			nsp = lfirst_oid(lc);

		if (pgt_schema_aclcheck(nsp, GetUserId(), ACL_CREATE) == ACLCHECK_OK)
			return nsp;
	}
	ereport(ERROR,
			(errcode(ERRCODE_UNDEFINED_SCHEMA),
			 errmsg("no schema has been selected to create the stream table in"),
			 errhint("Qualify the name with a schema, or set pg_trickle.stream_table_schema.")));
}

static Oid
default_schema(void)
{
	if (pgt_stream_table_schema == NULL || pgt_stream_table_schema[0] == '\0')
		return first_creatable_schema();
	return get_namespace_oid(pgt_stream_table_schema, false);
}

void
pgt_name_for_create(const char *text, bool allow_existing, Oid *schema,
					char **name)
{
	char	   *nspname;

	pgt_name_split(text, &nspname, name);
	*schema = nspname ? get_namespace_oid(nspname, false) : default_schema();
	if (isTempNamespace(*schema) || isOtherTempNamespace(*schema))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_SCHEMA_NAME),
				 errmsg("cannot create a stream table in a temporary schema")));
	if (*schema == pgt_changes_schema_oid() || *schema == pgt_state_schema_oid())
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_SCHEMA_NAME),
				 errmsg("cannot create a stream table in schema \"%s\"", get_namespace_name(*schema)),
				 errdetail("The schema is reserved for pg_trickle's own tables.")));
	if (pgt_schema_aclcheck(*schema, GetUserId(), ACL_CREATE) != ACLCHECK_OK)
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("permission denied for schema %s", get_namespace_name(*schema)),
				 errhint("Grant CREATE on the schema, or name a schema of your own: schema.name.")));
	if (!allow_existing && OidIsValid(get_relname_relid(*name, *schema)))
		ereport(ERROR,
				(errcode(ERRCODE_DUPLICATE_TABLE),
				 errmsg("relation \"%s\" already exists", *name)));
}

static PgtStreamTable *
stream_table_in(Oid nsp, const char *name)
{
	Oid			relid = OidIsValid(nsp) ? get_relname_relid(name, nsp) : InvalidOid;

	return OidIsValid(relid) ? pgt_stream_table_by_relid(relid, true) : NULL;
}

static PgtStreamTable *
find_unqualified(const char *name)
{
	List	   *path = fetch_search_path(true);
	PgtStreamTable *st;
	ListCell   *lc;

	foreach(lc, path)
	{
		st = stream_table_in(lfirst_oid(lc), name);
		if (st != NULL)
			return st;
	}
	if (pgt_stream_table_schema == NULL || pgt_stream_table_schema[0] == '\0')
		return NULL;
	return stream_table_in(get_namespace_oid(pgt_stream_table_schema, true), name);
}

PGT_NORETURN static void
raise_not_found(const char *text, const char *schema, const char *name)
{
	Oid			nsp = schema ? get_namespace_oid(schema, true) : InvalidOid;
	Oid			relid = schema ? (OidIsValid(nsp) ? get_relname_relid(name, nsp) : InvalidOid)
		: RelnameGetRelid(name);

	if (OidIsValid(relid))
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE),
				 errmsg("\"%s\" is not a stream table", text)));
	ereport(ERROR,
			(errcode(ERRCODE_UNDEFINED_TABLE),
			 errmsg("stream table \"%s\" does not exist", text),
			 errhint("SELECT * FROM pgtrickle.pgt_status() lists the stream tables.")));
}

PgtStreamTable *
pgt_api_resolve(const char *text, bool missing_ok)
{
	char	   *schema;
	char	   *name;
	PgtStreamTable *st;

	pgt_name_split(text, &schema, &name);
	if (schema != NULL)
		st = stream_table_in(get_namespace_oid(schema, true), name);
	else
		st = find_unqualified(name);
	if (st == NULL && !missing_ok)
		raise_not_found(text, schema, name);
	return st;
}

void
pgt_api_check_owner(const PgtStreamTable *st)
{
	if (!pgt_relation_ownercheck(st->relid, GetUserId()))
		aclcheck_error(ACLCHECK_NOT_OWNER, OBJECT_TABLE, st->name);
}

/* pgtrickle._resolve(text) returns bigint: the stream table's id. */
Datum
pgt_resolve(PG_FUNCTION_ARGS)
{
	PgtStreamTable *st = pgt_api_resolve(text_to_cstring(PG_GETARG_TEXT_PP(0)), false);

	PG_RETURN_INT64(st->pgt_id);
}
