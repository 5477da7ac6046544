/*
 * applier/api/create_fn.c - create_stream_table and its variants, as SQL calls
 * them: arguments are taken apart here, the work is in create.c and alter.c.
 */
#include "postgres.h"

#include "fmgr.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"

#include "applier/api/alter.h"
#include "applier/api/create.h"
#include "applier/api/names.h"
#include "applier/refresh/lock.h"
#include "applier/schedule/schedule.h"
#include "applier/settings.h"

PG_FUNCTION_INFO_V1(pgt_version);
PG_FUNCTION_INFO_V1(pgt_create);
PG_FUNCTION_INFO_V1(pgt_create_if_not_exists);
PG_FUNCTION_INFO_V1(pgt_create_or_replace);

/* positions of create_stream_table's arguments */
enum
{
	ARG_NAME, ARG_QUERY, ARG_SCHEDULE, ARG_MODE, ARG_INITIALIZE, ARG_DIAMOND,
	ARG_DIAMOND_POLICY, ARG_CDC, ARG_APPEND_ONLY
};

static char *
text_arg(FunctionCallInfo fcinfo, int n)
{
	return PG_ARGISNULL(n) ? NULL : text_to_cstring(PG_GETARG_TEXT_PP(n));
}

static char *
required_text_arg(FunctionCallInfo fcinfo, int n, const char *name)
{
	char	   *value = text_arg(fcinfo, n);

	if (value == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("argument \"%s\" must not be null", name)));
	return value;
}

/* "calculated" is the default and is stored as no schedule at all */
static char *
schedule_arg(FunctionCallInfo fcinfo)
{
	char	   *schedule = text_arg(fcinfo, ARG_SCHEDULE);

	if (schedule != NULL && pg_strcasecmp(schedule, "calculated") == 0)
		return NULL;
	return schedule;
}

static void
take_options(FunctionCallInfo fcinfo, PgtOptions *o)
{
	PreventCommandIfReadOnly("pgtrickle.create_stream_table()");
	memset(o, 0, sizeof(*o));
	o->schedule = schedule_arg(fcinfo);
	o->refresh_mode = text_arg(fcinfo, ARG_MODE);
	if (o->refresh_mode == NULL)
		o->refresh_mode = pstrdup("AUTO");
	o->diamond_consistency = text_arg(fcinfo, ARG_DIAMOND);
	o->diamond_schedule_policy = text_arg(fcinfo, ARG_DIAMOND_POLICY);
	o->cdc_mode = text_arg(fcinfo, ARG_CDC);
	o->append_only = !PG_ARGISNULL(ARG_APPEND_ONLY) && PG_GETARG_BOOL(ARG_APPEND_ONLY);
	o->has_append_only = o->append_only;	/* false is the default: resets nothing */
	pgt_options_check(o);
}

static Oid
create_from_args(FunctionCallInfo fcinfo)
{
	char	   *name = required_text_arg(fcinfo, ARG_NAME, "name");
	char	   *query = required_text_arg(fcinfo, ARG_QUERY, "query");
	PgtOptions	options;

	take_options(fcinfo, &options);
	return pgt_create_stream_table(name, query, &options,
								   PG_ARGISNULL(ARG_INITIALIZE) || PG_GETARG_BOOL(ARG_INITIALIZE));
}

Datum
pgt_version(PG_FUNCTION_ARGS)
{
	PG_RETURN_TEXT_P(cstring_to_text(PGT_VERSION));
}

Datum
pgt_create(PG_FUNCTION_ARGS)
{
	PG_RETURN_OID(create_from_args(fcinfo));
}

Datum
pgt_create_if_not_exists(PG_FUNCTION_ARGS)
{
	char	   *name = required_text_arg(fcinfo, ARG_NAME, "name");
	PgtOptions	options;
	Oid			schema;
	char	   *relname;
	Oid			relid;

	take_options(fcinfo, &options);
	pgt_name_for_create(name, true, &schema, &relname);
	relid = get_relname_relid(relname, schema);
	if (!OidIsValid(relid))
		PG_RETURN_OID(create_from_args(fcinfo));
	if (!pgt_is_stream_table(relid))
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE),
				 errmsg("relation \"%s\" already exists and is not a stream table", relname)));
	ereport(NOTICE,
			(errcode(ERRCODE_DUPLICATE_TABLE),
			 errmsg("stream table \"%s\" already exists, skipping", relname)));
	PG_RETURN_OID(relid);
}

/*
 * What differs from the default and from what is stored is altered; a
 * default never resets what was altered before.
 */
Datum
pgt_create_or_replace(PG_FUNCTION_ARGS)
{
	char	   *name = required_text_arg(fcinfo, ARG_NAME, "name");
	char	   *query = required_text_arg(fcinfo, ARG_QUERY, "query");
	PgtOptions	options;
	Oid			schema;
	char	   *relname;
	PgtStreamTable *st;

	take_options(fcinfo, &options);
	pgt_name_for_create(name, true, &schema, &relname);
	if (!OidIsValid(get_relname_relid(relname, schema)))
		PG_RETURN_OID(create_from_args(fcinfo));
	st = pgt_stream_table_by_relid(get_relname_relid(relname, schema), false);
	pgt_api_check_owner(st);
	pgt_alter_lock(st->pgt_id, options.refresh_mode);
	st = pgt_stream_table_get(st->pgt_id, false);
	if (strcmp(options.refresh_mode, "AUTO") == 0)
		options.refresh_mode = NULL;
	pgt_alter_settings(st, &options);
	if (pgt_alter_query(st, query))
		pgt_alter_refill(st);
	pgt_schedule_notice_at_commit();
	PG_RETURN_OID(st->relid);
}
