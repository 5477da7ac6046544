/*
 * applier/dvm/functions.c - volatility as stream tables need it.
 *
 * PostgreSQL's STABLE means "the same within one statement", which covers two
 * very different things: results that depend on settings such as TimeZone,
 * which a refresh pins, and results that change by themselves, such as now()
 * or current_user, with which rows would age although no table changed.
 * Built-in functions of the second kind are known by name here, all of them
 * that are STABLE in PostgreSQL 15 to 19.  A user's STABLE function in SQL or
 * a procedural language may read tables, whose changes would go unnoticed.
 * IMMUTABLE is believed.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/transam.h"
#include "catalog/pg_aggregate.h"
#include "catalog/pg_language.h"
#include "catalog/pg_proc.h"
#include "nodes/execnodes.h"
#include "nodes/nodeFuncs.h"
#include "utils/lsyscache.h"
#include "utils/syscache.h"
#include "utils/typcache.h"

#include "applier/dvm/functions.h"

/* Built-in STABLE functions that do not depend on settings and arguments only. */
static const char *const aging_names[] = {
	"age", "col_description", "current_database", "current_schema",
	"current_schemas", "current_setting", "current_user", "enum_first",
	"enum_last", "enum_range", "format_type", "getpgusername", "now",
	"mxid_age", "obj_description", "oidvectortypes", "row_security_active",
	"session_user", "shobj_description", "statement_timestamp", "timetz",
	"timezone", "transaction_timestamp", "user", "version"
};

/* Families of them. */
static const char *const aging_prefixes[] = {
	"database_to_xml", "has_", "inet_", "pg_", "reg", "schema_to_xml",
	"table_to_xml", "to_reg", "txid_"
};

/* Members of those families that are harmless. */
static const char *const harmless_names[] = {
	"pg_client_encoding", "pg_collation_for", "pg_typeof",
	"regexp_count", "regexp_instr", "regexp_like", "regexp_match",
	"regexp_matches", "regexp_replace", "regexp_split_to_array",
	"regexp_split_to_table", "regexp_substr"
};

static bool
is_listed(const char *name, const char *const *list, int n)
{
	for (int i = 0; i < n; i++)
		if (strcmp(name, list[i]) == 0)
			return true;
	return false;
}

static bool
ages_by_name(const char *name)
{
	if (is_listed(name, harmless_names, lengthof(harmless_names)))
		return false;
	if (is_listed(name, aging_names, lengthof(aging_names)))
		return true;
	for (int i = 0; i < (int) lengthof(aging_prefixes); i++)
		if (strncmp(name, aging_prefixes[i], strlen(aging_prefixes[i])) == 0)
			return true;
	return false;
}

static PgtFunctionUse
stable_use(Oid funcid, Form_pg_proc proc)
{
	if (funcid < FirstNormalObjectId)
		return ages_by_name(NameStr(proc->proname)) ?
			PGT_FUNCTION_AGES : PGT_FUNCTION_STABLE;
	if (proc->prolang == INTERNALlanguageId || proc->prolang == ClanguageId)
		return PGT_FUNCTION_STABLE;
	return PGT_FUNCTION_OPAQUE;
}

static PgtFunctionUse
plain_use(Oid funcid, bool *is_aggregate)
{
	HeapTuple	tuple = SearchSysCache1(PROCOID, ObjectIdGetDatum(funcid));
	Form_pg_proc proc;
	PgtFunctionUse use;

	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for function %u", funcid);
	proc = (Form_pg_proc) GETSTRUCT(tuple);
	*is_aggregate = proc->prokind == PROKIND_AGGREGATE;
	if (proc->provolatile == PROVOLATILE_IMMUTABLE)
		use = PGT_FUNCTION_IMMUTABLE;
	else if (proc->provolatile == PROVOLATILE_STABLE)
		use = stable_use(funcid, proc);
	else
		use = PGT_FUNCTION_VOLATILE;
	/* pg_column_size and the like see how a value is stored, not the value */
	if (use == PGT_FUNCTION_IMMUTABLE && funcid < FirstNormalObjectId &&
		strncmp(NameStr(proc->proname), "pg_column_", 10) == 0)
		use = PGT_FUNCTION_AGES;
	ReleaseSysCache(tuple);
	return use;
}

List *
pgt_aggregate_functions(Oid funcid)
{
	HeapTuple	tuple = SearchSysCache1(AGGFNOID, ObjectIdGetDatum(funcid));
	Form_pg_aggregate agg;
	List	   *parts = NIL;

	if (!HeapTupleIsValid(tuple))
		return NIL;
	agg = (Form_pg_aggregate) GETSTRUCT(tuple);
	parts = list_make1_oid(agg->aggtransfn);
	if (OidIsValid(agg->aggfinalfn))
		parts = lappend_oid(parts, agg->aggfinalfn);
	if (OidIsValid(agg->aggmtransfn))
		parts = lappend_oid(parts, agg->aggmtransfn);
	if (OidIsValid(agg->aggminvtransfn))
		parts = lappend_oid(parts, agg->aggminvtransfn);
	if (OidIsValid(agg->aggmfinalfn))
		parts = lappend_oid(parts, agg->aggmfinalfn);
	ReleaseSysCache(tuple);
	return parts;
}

PgtFunctionUse
pgt_function_use(Oid funcid)
{
	bool		is_aggregate;
	bool		ignored;
	PgtFunctionUse use = plain_use(funcid, &is_aggregate);
	ListCell   *lc;

	/* an aggregate is marked immutable whatever its parts are */
	if (!is_aggregate || funcid < FirstNormalObjectId)
		return use;
	foreach(lc, pgt_aggregate_functions(funcid))
		use = Max(use, plain_use(lfirst_oid(lc), &ignored));
	return use;
}

static bool
worst_function(Oid funcid, void *worst)
{
	*(PgtFunctionUse *) worst = Max(*(PgtFunctionUse *) worst,
									pgt_function_use(funcid));
	return false;
}

static bool
worst_walker(Node *node, PgtFunctionUse *worst)
{
	if (node == NULL)
		return false;
	if (IsA(node, SQLValueFunction))
		*worst = Max(*worst, PGT_FUNCTION_AGES);
	if (IsA(node, NextValueExpr))
		*worst = PGT_FUNCTION_VOLATILE;
	check_functions_in_node(node, worst_function, worst);
	return expression_tree_walker(node, worst_walker, worst);
}

PgtFunctionUse
pgt_domain_use(Oid domain)
{
	PgtFunctionUse worst = PGT_FUNCTION_IMMUTABLE;
	DomainConstraintRef *ref;
	ListCell   *lc;

	if (get_typtype(domain) != TYPTYPE_DOMAIN)
		return worst;
	ref = palloc0(sizeof(DomainConstraintRef));
	InitDomainConstraintRef(domain, ref, CurrentMemoryContext, false);
	foreach(lc, ref->constraints)
	{
		DomainConstraintState *con = lfirst(lc);

		worst_walker((Node *) con->check_expr, &worst);
	}
	return worst;
}
