/*
 * applier/monitor/explain.c - explain_st: what the engine does for a stream
 * table, line by line.
 *
 * The query's text and plans are shown to members of the owner's role and of
 * pg_monitor.  Compiling and planning may call functions of the query, so all
 * of it happens as the owner, as a refresh does.
 */
#include "postgres.h"

#include "catalog/pg_authid.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/tuplestore.h"

#include "applier/catalog/catalog.h"
#include "applier/dvm/dvm.h"
#include "applier/refresh/identity.h"
#include "applier/refresh/refresh.h"

PG_FUNCTION_INFO_V1(pgt_monitor_explain);

static void
emit(void *arg, const char *property, const char *value)
{
	ReturnSetInfo *rsinfo = arg;
	Datum		values[2];
	bool		nulls[2] = {false, value == NULL};

	values[0] = CStringGetTextDatum(property);
	values[1] = value ? CStringGetTextDatum(value) : (Datum) 0;
	tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
}

static void
check_rights(const PgtStreamTable *st)
{
	if (has_privs_of_role(GetUserId(), pgt_relation_owner(st->relid)) ||
		has_privs_of_role(GetUserId(), ROLE_PG_MONITOR))
		return;
	ereport(ERROR,
			(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
			 errmsg("permission denied to explain stream table \"%s\"", st->name),
			 errdetail("Only members of the owner's role or of pg_monitor may see its query.")));
}

static void
emit_definition(const PgtStreamTable *st, ReturnSetInfo *rsinfo)
{
	emit(rsinfo, "stream table", quote_qualified_identifier(st->schema, st->name));
	emit(rsinfo, "status", st->status);
	emit(rsinfo, "requested mode", st->refresh_mode);
	emit(rsinfo, "effective mode", st->effective_mode);
	if (st->effective_mode_reason != NULL)
		emit(rsinfo, "why this mode", st->effective_mode_reason);
	if (st->needs_reinit)
		emit(rsinfo, "to be rebuilt", st->reinit_reason);
	emit(rsinfo, "defining query", st->defining_query);
	emit(rsinfo, "identity index", get_rel_name(st->identity_index));
}

/* _explain(pgt_id, plans): explain_st after the name was resolved */
Datum
pgt_monitor_explain(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	PgtStreamTable *st = pgt_stream_table_get(PG_GETARG_INT64(0), false);
	bool		plans = PG_GETARG_BOOL(1);
	PgtIdentity identity;
	PgtProgram *program;

	check_rights(st);
	InitMaterializedSRF(fcinfo, 0);
	emit_definition(st, rsinfo);

	pgt_identity_enter(&identity, pgt_relation_owner(st->relid), st->pinned_settings);
	program = pgt_refresh_program_for(st->pgt_id);
	PG_TRY();
	{
		pgt_program_explain(program, plans, emit, rsinfo);
	}
	PG_FINALLY();
	{
		pgt_program_free(program);
	}
	PG_END_TRY();
	pgt_identity_leave(&identity);
	return (Datum) 0;
}
