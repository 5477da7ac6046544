/*
 * applier/dvm/query.c - defining queries: parse, expand, result columns.
 *
 * Nothing is kept; results live in the current memory context.  Parsing and
 * expanding lock the relations named, AccessShareLock until commit, as any
 * query does.
 */
#include "postgres.h"

#include "access/table.h"
#include "catalog/catalog.h"
#include "catalog/heap.h"
#include "catalog/pg_aggregate.h"
#include "catalog/pg_class.h"
#include "catalog/pg_type.h"
#include "nodes/nodeFuncs.h"
#include "parser/analyze.h"
#include "parser/parser.h"
#include "rewrite/rewriteHandler.h"
#include "tcop/tcopprot.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"

#include "applier/dvm/compile.h"
#include "applier/dvm/dvm.h"
#include "applier/dvm/exact_float.h"
#include "decoder/compat.h"

/* ---- parsing ---- */

/* An error's position is one in the defining query, not in the statement that
 * carries it as a string. */
static void
query_error_callback(void *arg)
{
	int			position = geterrposition();

	if (position <= 0)
		return;
	errposition(0);
	internalerrposition(position);
	internalerrquery((const char *) arg);
}

static RawStmt *
parse_single_statement(const char *text)
{
	List	   *statements = raw_parser(text, RAW_PARSE_DEFAULT);

	if (list_length(statements) != 1)
		ereport(ERROR,
				(errcode(ERRCODE_SYNTAX_ERROR),
				 errmsg("a stream table's query must be exactly one statement"),
				 errdetail("%d statements were given.", list_length(statements)),
				 errhint("Give one SELECT without a second statement after it.")));
	return linitial_node(RawStmt, statements);
}

static void
require_select(const RawStmt *raw)
{
	const SelectStmt *select = (const SelectStmt *) raw->stmt;

	if (!IsA(raw->stmt, SelectStmt))
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("a stream table's query must be a SELECT"),
				 errhint("Give a SELECT; WITH and VALUES may begin it.")));
	/* the leftmost branch of a set operation carries INTO */
	while (select->larg != NULL)
		select = select->larg;
	if (select->intoClause != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("SELECT INTO is not supported in a stream table's query"),
				 errhint("Leave INTO out.")));
}

Query *
pgt_query_parse(const char *text)
{
	ErrorContextCallback callback;
	RawStmt    *raw;
	Query	   *query;

	callback.callback = query_error_callback;
	callback.arg = unconstify(char *, text);
	callback.previous = error_context_stack;
	error_context_stack = &callback;

	raw = parse_single_statement(text);
	require_select(raw);
	query = parse_analyze_fixedparams(raw, text, NULL, 0, NULL);

	error_context_stack = callback.previous;
	return query;
}

/* ---- expanding ---- */

/* Sums and statistics over floats -> their exact aggregates, at all levels. */
static Node *
exact_aggregates_mutator(Node *node, void *context)
{
	if (node == NULL)
		return NULL;
	if (IsA(node, Query))
		return (Node *) query_tree_mutator((Query *) node,
										   exact_aggregates_mutator, context, 0);
	node = expression_tree_mutator(node, exact_aggregates_mutator, context);
	if (IsA(node, Aggref))
	{
		Aggref	   *agg = (Aggref *) node;
		Oid			exact = pgt_exact_aggregate_for(agg->aggfnoid);

		if (OidIsValid(exact))
			agg->aggfnoid = exact;
	}
	else if (IsA(node, WindowFunc) && ((WindowFunc *) node)->winagg)
	{
		WindowFunc *func = (WindowFunc *) node;
		Oid			exact = pgt_exact_aggregate_for(func->winfnoid);

		if (OidIsValid(exact))
			func->winfnoid = exact;
	}
	return node;
}

/* Virtual generated columns are no columns of a change: use what they are. */
static bool
virtual_columns_walker(Node *node, void *context)
{
	if (node == NULL)
		return false;
	if (IsA(node, Query))
	{
		Query	   *query = (Query *) node;
		int			rtindex = 0;
		ListCell   *lc;

		foreach(lc, query->rtable)
		{
			RangeTblEntry *rte = lfirst_node(RangeTblEntry, lc);
			Relation	rel;
			Query	   *changed;

			rtindex++;
			if (rte->rtekind != RTE_RELATION || rte->relkind == RELKIND_VIEW)
				continue;
			rel = table_open(rte->relid, NoLock);
			changed = pgt_expand_virtual_columns(query, rel, rtindex);
			if (changed != query)
				*query = *changed;
			table_close(rel, NoLock);
		}
		return query_tree_walker(query, virtual_columns_walker, context, 0);
	}
	return expression_tree_walker(node, virtual_columns_walker, context);
}

/* SEARCH and CYCLE have become columns: said once more they would be another. */
static bool
forget_clauses_walker(Node *node, void *context)
{
	if (node == NULL)
		return false;
	if (IsA(node, CommonTableExpr))
	{
		((CommonTableExpr *) node)->search_clause = NULL;
		((CommonTableExpr *) node)->cycle_clause = NULL;
	}
	if (IsA(node, Query))
		return query_tree_walker((Query *) node, forget_clauses_walker, context, 0);
	return expression_tree_walker(node, forget_clauses_walker, context);
}

Query *
pgt_query_expand(const Query *query)
{
	Query	   *copy = copyObject(unconstify(Query *, query));
	List	   *rewritten;

	AcquireRewriteLocks(copy, true, false);
	rewritten = pg_rewrite_query(copy);
	if (list_length(rewritten) != 1)
		elog(ERROR, "rewriting a SELECT gave %d queries", list_length(rewritten));
	copy = linitial_node(Query, rewritten);
	virtual_columns_walker((Node *) copy, NULL);
	forget_clauses_walker((Node *) copy, NULL);
	return (Query *) exact_aggregates_mutator((Node *) copy, NULL);
}

/* ---- result columns ---- */

static void
check_result_name(TupleDesc desc, int col)
{
	char	   *name = NameStr(TupleDescAttr(desc, col)->attname);

	if (SystemAttributeByName(name) != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_DUPLICATE_COLUMN),
				 errmsg("column name \"%s\" conflicts with a system column name",
						name),
				 errhint("Give the column another name with AS.")));
	for (int i = 0; i < col; i++)
		if (strcmp(NameStr(TupleDescAttr(desc, i)->attname), name) == 0)
			ereport(ERROR,
					(errcode(ERRCODE_DUPLICATE_COLUMN),
					 errmsg("column \"%s\" specified more than once", name),
					 errhint("Give the columns different names with AS.")));
}

static void
check_result_type(TupleDesc desc, int col)
{
	Form_pg_attribute att = TupleDescAttr(desc, col);

	if (get_typtype(att->atttypid) == TYPTYPE_PSEUDO)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_TABLE_DEFINITION),
				 errmsg("column \"%s\" has pseudo-type %s",
						NameStr(att->attname), format_type_be(att->atttypid)),
				 errhint("Cast the column to a type that can be stored.")));
	if (!OidIsValid(att->attcollation) && type_is_collatable(att->atttypid))
		ereport(ERROR,
				(errcode(ERRCODE_INDETERMINATE_COLLATION),
				 errmsg("no collation was derived for column \"%s\" with collatable type %s",
						NameStr(att->attname), format_type_be(att->atttypid)),
				 errhint("Use the COLLATE clause to set the collation explicitly.")));
}

TupleDesc
pgt_query_result_desc(const Query *query)
{
	List	   *exprs = NIL;
	List	   *names = NIL;
	TupleDesc	desc;
	ListCell   *lc;

	foreach(lc, query->targetList)
	{
		TargetEntry *tle = lfirst_node(TargetEntry, lc);

		if (tle->resjunk)
			continue;
		exprs = lappend(exprs, tle->expr);
		names = lappend(names, tle->resname ? tle->resname : "?column?");
	}
	if (exprs == NIL)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_TABLE_DEFINITION),
				 errmsg("a stream table's query must return at least one column")));
	desc = pgt_exprs_desc(exprs, names);
	for (int i = 0; i < desc->natts; i++)
	{
		check_result_name(desc, i);
		check_result_type(desc, i);
	}
	return desc;
}
