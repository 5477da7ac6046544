/*
 * applier/refresh/identity.c - who a refresh runs as.
 *
 * Maintenance runs a user's expressions, so it runs with that user's rights:
 * those of the stream table's owner, in a security-restricted operation, with
 * a search_path that finds nothing but the system's objects.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/pg_class.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/syscache.h"

#include "applier/refresh/identity.h"

static const char *const pinned_names[] = {
	"TimeZone", "DateStyle", "IntervalStyle", "extra_float_digits",
	"bytea_output", "xmlbinary", "xmloption", "lc_monetary", "lc_numeric",
	"lc_time", "default_text_search_config"
};

static void
set_local(const char *name, const char *value)
{
	(void) set_config_option(name, value, PGC_USERSET, PGC_S_SESSION,
							 GUC_ACTION_SAVE, true, 0, false);
}

/* Only what differs from the session is set: most of the time nothing. */
static void
set_pinned(List *pinned_settings)
{
	ListCell   *lc;

	foreach(lc, pinned_settings)
	{
		char	   *name = pstrdup(lfirst(lc));
		char	   *value = strchr(name, '=');
		const char *current;

		if (value == NULL)
			elog(ERROR, "malformed pinned setting \"%s\"", name);
		*value++ = '\0';
		current = GetConfigOption(name, true, false);
		if (current != NULL && strcmp(current, value) != 0)
			set_local(name, value);
	}
}

void
pgt_identity_enter(PgtIdentity *id, Oid owner, List *pinned_settings)
{
	GetUserIdAndSecContext(&id->saved_user, &id->saved_context);
	id->guc_level = NewGUCNestLevel();
	SetUserIdAndSecContext(owner,
						   id->saved_context | SECURITY_RESTRICTED_OPERATION);
	set_local("search_path", "pg_catalog, pg_temp");
	set_local("row_security", "off");
	set_pinned(pinned_settings);
}

void
pgt_identity_leave(PgtIdentity *id)
{
	AtEOXact_GUC(false, id->guc_level);
	SetUserIdAndSecContext(id->saved_user, id->saved_context);
}

List *
pgt_identity_pin_settings(void)
{
	List	   *result = NIL;

	for (int i = 0; i < lengthof(pinned_names); i++)
	{
		const char *value = GetConfigOption(pinned_names[i], true, false);

		if (value != NULL)
			result = lappend(result, psprintf("%s=%s", pinned_names[i], value));
	}
	return result;
}

Oid
pgt_relation_owner(Oid relid)
{
	HeapTuple	tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(relid));
	Oid			owner;

	if (!HeapTupleIsValid(tuple))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_TABLE),
				 errmsg("relation with OID %u does not exist", relid)));
	owner = ((Form_pg_class) GETSTRUCT(tuple))->relowner;
	ReleaseSysCache(tuple);
	return owner;
}
