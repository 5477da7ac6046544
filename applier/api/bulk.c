/*
 * applier/api/bulk.c - bulk_create: many stream tables in one call, in any
 * order of their dependencies, all or none.
 *
 * A definition that reads another of the same call cannot be analysed before
 * that one exists.  So the queries are parsed only, the relations they name are
 * compared with the names to be created, and the definitions are made in the
 * order that follows.  An edge too many (a name that means something else in
 * the end) does no harm unless it closes a cycle; names of CTEs are left out.
 *
 * Each is made by create_stream_table itself; an error says which definition
 * it was and undoes all, as any error does.
 */
#include "postgres.h"

#include "catalog/namespace.h"
#include "catalog/pg_type.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "nodes/nodeFuncs.h"
#include "parser/parser.h"
#include "utils/builtins.h"
#include "utils/jsonb.h"
#include "utils/lsyscache.h"
#include "utils/numeric.h"
#include "utils/tuplestore.h"

#include "applier/api/names.h"

PG_FUNCTION_INFO_V1(pgt_bulk_create);
extern Datum pgt_create(PG_FUNCTION_ARGS);	/* create_fn.c */

/* create_stream_table's arguments, in its order */
typedef struct Argument
{
	const char *name;
	bool		is_bool;
	const char *default_text;	/* NULL: null, or false */
	bool		default_bool;
} Argument;

static const Argument arguments[] = {
	{"name", false, NULL, false},
	{"query", false, NULL, false},
	{"schedule", false, "calculated", false},
	{"refresh_mode", false, "AUTO", false},
	{"initialize", true, NULL, true},
	{"diamond_consistency", false, NULL, false},
	{"diamond_schedule_policy", false, NULL, false},
	{"cdc_mode", false, NULL, false},
	{"append_only", true, NULL, false},
};

#define NARGS	lengthof(arguments)
#define ARG_NAME	0
#define ARG_QUERY	1

typedef struct Definition
{
	int			number;			/* from 1 */
	char	   *text[NARGS];	/* NULL: null */
	bool		flag[NARGS];
	Oid			schema;			/* where it goes */
	char	   *relname;
	List	   *relations;		/* of RangeVar*: what its query names */
	List	   *ctes;			/* of char* */
	List	   *reads;			/* integer list: indexes of definitions */
	bool		done;
	bool		under_way;
	Oid			relid;			/* when done */
} Definition;

/* ---- from jsonb ---- */

static void
refuse(const char *detail)
{
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("invalid definitions for bulk_create"),
			 errdetail_internal("%s", detail),
			 errhint("Give an array of objects with create_stream_table's arguments: "
					 "[{\"name\": \"totals\", \"query\": \"SELECT ...\", \"schedule\": \"1m\"}].")));
}

static int
find_argument(const JsonbValue *key)
{
	for (int i = 0; i < NARGS; i++)
		if (key->val.string.len == strlen(arguments[i].name) &&
			strncmp(key->val.string.val, arguments[i].name,
					key->val.string.len) == 0)
			return i;
	return -1;
}

static void
take_value(Definition *d, int arg, const JsonbValue *value)
{
	if (value->type == jbvNull)
		return;
	if (arguments[arg].is_bool && value->type == jbvBool)
		d->flag[arg] = value->val.boolean;
	else if (!arguments[arg].is_bool && value->type == jbvString)
		d->text[arg] = pnstrdup(value->val.string.val, value->val.string.len);
	else if (!arguments[arg].is_bool && value->type == jbvNumeric)
		d->text[arg] = DatumGetCString(DirectFunctionCall1(numeric_out,
														   NumericGetDatum(value->val.numeric)));
	else
		refuse(psprintf("In definition %d \"%s\" is no %s.", d->number,
						arguments[arg].name,
						arguments[arg].is_bool ? "boolean" : "text"));
}

static void
take_object(Definition *d, JsonbContainer *object)
{
	JsonbIterator *it = JsonbIteratorInit(object);
	JsonbIteratorToken token;
	JsonbValue	v;
	int			arg = -1;

	for (int i = 0; i < NARGS; i++)
	{
		d->text[i] = arguments[i].default_text ? pstrdup(arguments[i].default_text) : NULL;
		d->flag[i] = arguments[i].default_bool;
	}
	while ((token = JsonbIteratorNext(&it, &v, true)) != WJB_DONE)
	{
		if (token == WJB_KEY)
		{
			arg = find_argument(&v);
			if (arg < 0)
				refuse(psprintf("Definition %d has an unknown key \"%s\".", d->number,
								pnstrdup(v.val.string.val, v.val.string.len)));
		}
		else if (token == WJB_VALUE)
			take_value(d, arg, &v);
	}
	if (d->text[ARG_NAME] == NULL || d->text[ARG_QUERY] == NULL)
		refuse(psprintf("Definition %d has no \"%s\".", d->number,
						d->text[ARG_NAME] == NULL ? "name" : "query"));
}

static Definition *
take_definitions(Jsonb *jsonb, int *n)
{
	Definition *all;

	if (!JB_ROOT_IS_ARRAY(jsonb) || JB_ROOT_IS_SCALAR(jsonb))
		refuse("They are no array.");
	*n = JB_ROOT_COUNT(jsonb);
	all = palloc0(sizeof(Definition) * (*n + 1));
	for (int i = 0; i < *n; i++)
	{
		JsonbValue *v = getIthJsonbValueFromContainer(&jsonb->root, i);

		all[i].number = i + 1;
		if (v->type != jbvBinary || !JsonContainerIsObject(v->val.binary.data))
			refuse(psprintf("Definition %d is no object.", i + 1));
		take_object(&all[i], v->val.binary.data);
	}
	return all;
}

/* ---- order ---- */

static bool
collect_names(Node *node, void *context)
{
	Definition *d = context;

	if (node == NULL)
		return false;
	if (IsA(node, RangeVar))
		d->relations = lappend(d->relations, node);
	else if (IsA(node, CommonTableExpr))
		d->ctes = lappend(d->ctes, ((CommonTableExpr *) node)->ctename);
	return raw_expression_tree_walker(node, collect_names, context);
}

static bool
is_cte(const Definition *d, const RangeVar *relation)
{
	ListCell   *lc;

	if (relation->schemaname != NULL)
		return false;
	foreach(lc, d->ctes)
		if (strcmp(lfirst(lc), relation->relname) == 0)
			return true;
	return false;
}

static bool
names(const Definition *d, const RangeVar *relation)
{
	return strcmp(relation->relname, d->relname) == 0 &&
		(relation->schemaname == NULL ||
		 strcmp(relation->schemaname, get_namespace_name(d->schema)) == 0);
}

static void
connect_one(Definition *all, int n, Definition *d)
{
	ListCell   *lc;

	foreach(lc, raw_parser(d->text[ARG_QUERY], RAW_PARSE_DEFAULT))
		(void) collect_names(((RawStmt *) lfirst(lc))->stmt, d);
	foreach(lc, d->relations)
		for (int i = 0; i < n; i++)
			if (&all[i] != d && !is_cte(d, lfirst(lc)) && names(&all[i], lfirst(lc)))
				d->reads = list_append_unique_int(d->reads, i);
}

static void
refuse_twice(const Definition *all, int i)
{
	for (int j = 0; j < i; j++)
		if (all[i].schema == all[j].schema && strcmp(all[i].relname, all[j].relname) == 0)
			refuse(psprintf("Definitions %d and %d have the same name \"%s\".",
							j + 1, i + 1, all[i].relname));
}

static void
say_which(void *arg)
{
	const Definition *d = arg;

	errcontext("definition %d of bulk_create, \"%s\"", d->number, d->text[ARG_NAME]);
}

/* A position in the query is none in the caller's statement. */
static void
say_where(void *arg)
{
	const Definition *d = arg;
	int			position = geterrposition();

	if (position > 0)
	{
		errposition(0);
		internalerrposition(position);
		internalerrquery(d->text[ARG_QUERY]);
	}
	say_which(arg);
}

static void
connect_all(Definition *all, int n)
{
	ErrorContextCallback callback = {.callback = say_which, .previous = error_context_stack};

	error_context_stack = &callback;
	for (int i = 0; i < n; i++)
	{
		callback.arg = &all[i];
		pgt_name_for_create(all[i].text[ARG_NAME], false, &all[i].schema,
							&all[i].relname);
		refuse_twice(all, i);
	}
	callback.callback = say_where;
	for (int i = 0; i < n; i++)
	{
		callback.arg = &all[i];
		connect_one(all, n, &all[i]);
	}
	error_context_stack = callback.previous;
}

/* ---- creating ---- */

static void
create_one(Definition *d)
{
	LOCAL_FCINFO(fcinfo, NARGS);
	ErrorContextCallback callback = {.callback = say_which, .arg = d,
	.previous = error_context_stack};

	error_context_stack = &callback;
	InitFunctionCallInfoData(*fcinfo, NULL, NARGS, InvalidOid, NULL, NULL);
	for (int i = 0; i < NARGS; i++)
	{
		fcinfo->args[i].isnull = !arguments[i].is_bool && d->text[i] == NULL;
		if (arguments[i].is_bool)
			fcinfo->args[i].value = BoolGetDatum(d->flag[i]);
		else if (d->text[i] != NULL)
			fcinfo->args[i].value = CStringGetTextDatum(d->text[i]);
	}
	d->relid = DatumGetObjectId(pgt_create(fcinfo));
	error_context_stack = callback.previous;
}

static void
refuse_cycle(const Definition *all, List *path, int again)
{
	StringInfoData names;
	ListCell   *lc;
	bool		inside = false;

	initStringInfo(&names);
	foreach(lc, path)
	{
		inside |= lfirst_int(lc) == again;
		if (inside)
			appendStringInfo(&names, "\"%s\" reads ", all[lfirst_int(lc)].text[ARG_NAME]);
	}
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_OBJECT_DEFINITION),
			 errmsg("the definitions depend on each other in a cycle"),
			 errdetail_internal("%s\"%s\".", names.data, all[again].text[ARG_NAME])));
}

/* What it reads first. */
static void
create_in_order(Definition *all, int i, List *path)
{
	Definition *d = &all[i];
	ListCell   *lc;

	check_stack_depth();
	if (d->done)
		return;
	if (d->under_way)
		refuse_cycle(all, path, i);
	d->under_way = true;
	path = lappend_int(list_copy(path), i);
	foreach(lc, d->reads)
		create_in_order(all, lfirst_int(lc), path);
	create_one(d);
	d->under_way = false;
	d->done = true;
}

Datum
pgt_bulk_create(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	Definition *all;
	int			n;

	PreventCommandIfReadOnly("pgtrickle.bulk_create()");
	InitMaterializedSRF(fcinfo, MAT_SRF_USE_EXPECTED_DESC);
	all = take_definitions(PG_GETARG_JSONB_P(0), &n);
	connect_all(all, n);
	for (int i = 0; i < n; i++)
		create_in_order(all, i, NIL);
	for (int i = 0; i < n; i++)
	{
		Datum		value = ObjectIdGetDatum(all[i].relid);
		bool		isnull = false;

		tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, &value, &isnull);
	}
	return (Datum) 0;
}
