/*
 * applier/api/definition.c - export_definition and validate_query.
 */
#include "postgres.h"

#include "catalog/pg_class.h"
#include "fmgr.h"
#include "funcapi.h"
#include "lib/stringinfo.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/tuplestore.h"

#include "applier/api/create.h"
#include "applier/api/names.h"
#include "decoder/compat.h"

PG_FUNCTION_INFO_V1(pgt_export_definition);
PG_FUNCTION_INFO_V1(pgt_validate_query);

static void
append_argument(StringInfo buf, const char *name, const char *value)
{
	appendStringInfo(buf, ",\n    %s => %s", name, quote_literal_cstr(value));
}

Datum
pgt_export_definition(PG_FUNCTION_ARGS)
{
	PgtStreamTable *st = pgt_api_resolve(text_to_cstring(PG_GETARG_TEXT_PP(0)), false);
	StringInfoData buf;

	pgt_api_check_owner(st);
	initStringInfo(&buf);
	appendStringInfo(&buf, "SELECT pgtrickle.create_stream_table(\n    name => %s,\n    query => %s",
					 quote_literal_cstr(quote_qualified_identifier(st->schema, st->name)),
					 quote_literal_cstr(st->defining_query));
	append_argument(&buf, "schedule", st->schedule ? st->schedule : "calculated");
	append_argument(&buf, "refresh_mode", st->refresh_mode);
	append_argument(&buf, "diamond_consistency", st->diamond_consistency);
	append_argument(&buf, "diamond_schedule_policy", st->diamond_schedule_policy);
	if (st->requested_cdc_mode != NULL)
		append_argument(&buf, "cdc_mode", st->requested_cdc_mode);
	if (st->append_only)
		appendStringInfoString(&buf, ",\n    append_only => true");
	appendStringInfoString(&buf, ");");
	PG_RETURN_TEXT_P(cstring_to_text_with_len(buf.data, buf.len));
}

/* ---- validate_query ---- */

static void
put(ReturnSetInfo *rsinfo, const char *check, const char *result,
	const char *detail)
{
	Datum		values[3];
	bool		nulls[3] = {false, false, detail == NULL};

	values[0] = CStringGetTextDatum(check);
	values[1] = CStringGetTextDatum(result);
	values[2] = detail ? CStringGetTextDatum(detail) : (Datum) 0;
	tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
}

static void
put_sources(ReturnSetInfo *rsinfo, const char *check, List *uses)
{
	ListCell   *lc;

	foreach(lc, uses)
	{
		const PgtSourceUse *use = lfirst(lc);

		put(rsinfo, check, use->source_type,
			quote_qualified_identifier(get_namespace_name(get_rel_namespace(use->relid)),
									   get_rel_name(use->relid)));
	}
}

static void
put_verdict(ReturnSetInfo *rsinfo, const PgtQueryCheck *check)
{
	bool		plain = !check->refused && !check->full_only;
	const char *why = plain ? NULL :
		psprintf("%s%s%s", check->construct, check->detail ? ": " : "",
				 check->detail ? check->detail : "");

	put(rsinfo, "accepted", check->refused ? "no" : "yes", check->refused ? why : NULL);
	put(rsinfo, "effective_mode",
		check->refused ? "none" : check->full_only ? "FULL" : "DIFFERENTIAL", why);
	if (check->hint != NULL)
		put(rsinfo, "hint", check->construct, check->hint);
	put(rsinfo, "settings_dependent", check->uses_stable ? "yes" : "no",
		check->uses_stable ? "values of TimeZone, DateStyle and the like are kept from creation" : NULL);
}

Datum
pgt_validate_query(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	int			guc_level;
	Query	   *query;
	Query	   *expanded;
	PgtQueryCheck *check;

	InitMaterializedSRF(fcinfo, 0);
	guc_level = NewGUCNestLevel();
	(void) set_config_option("row_security", "off", PGC_USERSET, PGC_S_SESSION,
							 GUC_ACTION_SAVE, true, 0, false);
	query = pgt_query_parse(text_to_cstring(PG_GETARG_TEXT_PP(0)));
	expanded = pgt_query_expand(query);
	check = pgt_query_check(query, expanded);
	AtEOXact_GUC(false, guc_level);

	put_verdict(rsinfo, check);
	put_sources(rsinfo, "source", check->sources);
	put_sources(rsinfo, "view", check->views);
	return (Datum) 0;
}
