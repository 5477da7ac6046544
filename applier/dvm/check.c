/*
 * applier/dvm/check.c - which queries a stream table can have, and how.
 *
 * The query is walked twice: as parsed, where error positions are known, and
 * expanded, where what hides in views is seen.  The first reason found is
 * kept; a reason to refuse in every mode outranks a reason for FULL only.
 * The expanded query also yields what is used: relations with their columns,
 * views, and the objects outside of pg_catalog that the query depends on.
 *
 * Catalog look-ups only; nothing is locked beyond what analysis locked.
 */
#include "postgres.h"

#include "access/sysattr.h"
#include "access/transam.h"
#include "catalog/catalog.h"
#include "catalog/dependency.h"
#include "catalog/namespace.h"
#include "catalog/pg_class.h"
#include "catalog/pg_collation.h"
#include "catalog/pg_inherits.h"
#include "catalog/pg_operator.h"
#include "catalog/pg_proc.h"
#include "catalog/pg_type.h"
#include "mb/pg_wchar.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/clauses.h"
#include "optimizer/optimizer.h"
#include "optimizer/tlist.h"
#include "parser/parse_agg.h"
#include "parser/parse_oper.h"
#include "parser/parsetree.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/regproc.h"

#include "applier/catalog/catalog.h"
#include "applier/dvm/compile.h"
#include "applier/dvm/dvm.h"
#include "applier/dvm/functions.h"
#include "applier/dvm/level.h"
#include "applier/dvm/items.h"
#include "applier/dvm/recursion.h"
#include "applier/settings.h"
#include "decoder/compat.h"

/* Aggregates of one level whose state surely fits a row: some 34 bytes each
 * when all that can be is stored out of line. */
#define PGT_MAX_AGGREGATES 150

typedef struct Check
{
	PgtQueryCheck *result;
	bool		expanded;		/* second walk: collect what is used */
	List	   *levels;			/* of Query*: innermost first */
	int			nrelations;		/* relations met */
	bool		pure;			/* inside of a subquery without relations */
} Check;

/* What check_functions_in_node's callback needs. */
typedef struct FunctionCheck
{
	Check	   *check;
	int			location;
} FunctionCheck;

static void check_level(Query *query, Check *c);

/* ---- reasons ---- */

static const char *const full_hint =
"Use refresh_mode 'AUTO' or 'FULL' for this query.";

static void
set_reason(Check *c, const char *construct, const char *detail,
		   const char *hint, int location)
{
	PgtQueryCheck *r = c->result;

	r->sqlstate = ERRCODE_FEATURE_NOT_SUPPORTED;
	r->construct = pstrdup(construct);
	r->detail = detail ? pstrdup(detail) : NULL;
	r->hint = hint ? pstrdup(hint) : NULL;
	r->location = c->expanded ? -1 : location;
}

static void
refuse(Check *c, const char *construct, const char *detail, const char *hint,
	   int location)
{
	if (c->result->refused)
		return;
	c->result->refused = true;
	set_reason(c, construct, detail, hint, location);
}

static void
full_only(Check *c, const char *construct, const char *detail, int location)
{
	if (c->result->refused || c->result->full_only)
		return;
	c->result->full_only = true;
	set_reason(c, construct, detail, full_hint, location);
}

/* Constructs that have no delta; where nothing is read they need none. */
static void
no_delta(Check *c, const char *construct, const char *detail, int location)
{
	if (!c->pure)
		full_only(c, construct, detail, location);
}

/* ---- what is used ---- */

static PgtSourceUse *
add_use(List **uses, Oid relid, const char *type)
{
	PgtSourceUse *use;
	ListCell   *lc;

	foreach(lc, *uses)
	{
		use = lfirst(lc);
		if (use->relid == relid)
			return use;
	}
	use = palloc0(sizeof(PgtSourceUse));
	use->relid = relid;
	use->source_type = pstrdup(type);
	use->only = true;
	*uses = lappend(*uses, use);
	return use;
}

static void
add_object(Check *c, Oid class, Oid object)
{
	ObjectAddress *address;
	ListCell   *lc;

	if (!c->expanded || object < FirstNormalObjectId)
		return;
	foreach(lc, c->result->object_deps)
	{
		address = lfirst(lc);
		if (address->classId == class && address->objectId == object)
			return;
	}
	address = palloc(sizeof(ObjectAddress));
	ObjectAddressSet(*address, class, object);
	c->result->object_deps = lappend(c->result->object_deps, address);
}

/* Does this column come from a relation?  Through join aliases if need be. */
static void
note_column(Check *c, int level, int varno, AttrNumber attno, int location)
{
	Query	   *query = list_nth(c->levels, level);
	RangeTblEntry *rte = rt_fetch(varno, query->rtable);
	Oid			type;
	int32		typmod;
	Oid			collation;
	PgtSourceUse *use;

	if (rte->rtekind != RTE_RELATION)
		return;
	if (attno < 0)
	{
		full_only(c, psprintf("system column \"%s\"",
							  get_attname(rte->relid, attno, false)),
				  "Its value changes without a change of the row.", location);
		return;
	}
	if (!c->expanded || rte->relkind == RELKIND_VIEW)
		return;
	if (rte->relkind == RELKIND_PARTITIONED_TABLE &&
		get_attgenerated(rte->relid, attno) != '\0')
		full_only(c, psprintf("generated column \"%s\" of a partitioned table",
							  get_attname(rte->relid, attno, false)),
				  "Rows routed to a partition may be captured before it is computed.",
				  location);
	use = add_use(&c->result->sources, rte->relid, "TABLE");
	use->columns = bms_add_member(use->columns, attno);
	get_atttypetypmodcoll(rte->relid, attno, &type, &typmod, &collation);
	add_object(c, TypeRelationId, type);
}

/* A whole row is all of its columns. */
static void
note_row(Check *c, const Var *var)
{
	Query	   *query = list_nth(c->levels, var->varlevelsup);
	RangeTblEntry *rte = rt_fetch(var->varno, query->rtable);
	int			attno = 0;
	ListCell   *lc;

	if (rte->rtekind != RTE_RELATION)
		return;
	if (c->expanded && rte->relkind != RELKIND_VIEW)
	{
		PgtSourceUse *use = add_use(&c->result->sources, rte->relid, "TABLE");

		use->columns = bms_add_member(use->columns, InvalidAttrNumber);
	}
	foreach(lc, rte->eref->colnames)
	{
		attno++;
		if (strVal(lfirst(lc))[0] != '\0')	/* not dropped */
			note_column(c, var->varlevelsup, var->varno, attno, var->location);
	}
}

static void
note_var(Check *c, const Var *var)
{
	Query	   *query;
	RangeTblEntry *rte;
	List	   *saved = c->levels;

	query = list_nth(c->levels, var->varlevelsup);
	rte = rt_fetch(var->varno, query->rtable);
	if (rte->rtekind == RTE_JOIN && var->varattno > 0)
	{
		/* the alias stands for an expression of that level */
		ListCell   *lc;

		c->levels = list_copy_tail(c->levels, var->varlevelsup);
		foreach(lc, pull_vars_of_level(list_nth(rte->joinaliasvars,
												var->varattno - 1), 0))
			note_var(c, lfirst_node(Var, lc));
		c->levels = saved;
		return;
	}
	if (pgt_rte_is_grouping(rte))
		return;					/* its expressions are walked by themselves */
	if (var->varattno == InvalidAttrNumber)
		note_row(c, var);
	else
		note_column(c, var->varlevelsup, var->varno, var->varattno, var->location);
}

/* ---- functions ---- */

static bool
check_function(Oid funcid, void *context)
{
	FunctionCheck *f = context;
	Check	   *c = f->check;
	ListCell   *lc;

	add_object(c, ProcedureRelationId, funcid);
	if (c->expanded && funcid >= FirstNormalObjectId)
		foreach(lc, pgt_aggregate_functions(funcid))
			add_object(c, ProcedureRelationId, lfirst_oid(lc));
	switch (pgt_function_use(funcid))
	{
		case PGT_FUNCTION_IMMUTABLE:
			break;
		case PGT_FUNCTION_STABLE:
			c->result->uses_stable = true;
			break;
		case PGT_FUNCTION_AGES:
			full_only(c, psprintf("function %s", format_procedure(funcid)),
					  "Its result depends on time, user, transaction, storage or catalogs: rows would age without a change of their tables.",
					  f->location);
			break;
		case PGT_FUNCTION_OPAQUE:
			full_only(c, psprintf("STABLE function %s", format_procedure(funcid)),
					  "It may read tables whose changes would go unnoticed. Declare it IMMUTABLE if it does not.",
					  f->location);
			break;
		case PGT_FUNCTION_VOLATILE:
			full_only(c, psprintf("volatile function %s", format_procedure(funcid)),
					  NULL, f->location);
			break;
	}
	return false;
}

static void
check_domain(Check *c, const CoerceToDomain *node)
{
	add_object(c, TypeRelationId, node->resulttype);
	if (pgt_domain_use(node->resulttype) >= PGT_FUNCTION_AGES)
		full_only(c, psprintf("domain %s", format_type_be(node->resulttype)),
				  "A constraint of it uses a function that is not immutable.",
				  node->location);
}

static const char *
value_function_name(SQLValueFunctionOp op)
{
	switch (op)
	{
		case SVFOP_CURRENT_DATE:
			return "CURRENT_DATE";
		case SVFOP_CURRENT_TIME:
		case SVFOP_CURRENT_TIME_N:
			return "CURRENT_TIME";
		case SVFOP_CURRENT_TIMESTAMP:
		case SVFOP_CURRENT_TIMESTAMP_N:
			return "CURRENT_TIMESTAMP";
		case SVFOP_LOCALTIME:
		case SVFOP_LOCALTIME_N:
			return "LOCALTIME";
		case SVFOP_LOCALTIMESTAMP:
		case SVFOP_LOCALTIMESTAMP_N:
			return "LOCALTIMESTAMP";
		case SVFOP_CURRENT_ROLE:
			return "CURRENT_ROLE";
		case SVFOP_CURRENT_USER:
			return "CURRENT_USER";
		case SVFOP_USER:
			return "USER";
		case SVFOP_SESSION_USER:
			return "SESSION_USER";
		case SVFOP_CURRENT_CATALOG:
			return "CURRENT_CATALOG";
		case SVFOP_CURRENT_SCHEMA:
			return "CURRENT_SCHEMA";
	}
	return "a value function";
}

/* ---- expressions ---- */

static void
note_operator(Check *c, Node *node)
{
	if (IsA(node, OpExpr) || IsA(node, DistinctExpr) || IsA(node, NullIfExpr))
		add_object(c, OperatorRelationId, ((OpExpr *) node)->opno);
	else if (IsA(node, ScalarArrayOpExpr))
		add_object(c, OperatorRelationId, ((ScalarArrayOpExpr *) node)->opno);
	else if (IsA(node, RowCompareExpr))
	{
		ListCell   *lc;

		foreach(lc, ((RowCompareExpr *) node)->opnos)
			add_object(c, OperatorRelationId, lfirst_oid(lc));
	}
	else if (IsA(node, SortGroupClause))
	{
		add_object(c, OperatorRelationId, ((SortGroupClause *) node)->eqop);
		add_object(c, OperatorRelationId, ((SortGroupClause *) node)->sortop);
	}
}

/* Kinds of expressions that are not differential by themselves. */
static void
check_kind(Check *c, Node *node)
{
	switch (nodeTag(node))
	{
		case T_SQLValueFunction:
			full_only(c, value_function_name(((SQLValueFunction *) node)->op),
					  "Its result depends on time, user or transaction: rows would age without a change of their tables.",
					  exprLocation(node));
			break;
		case T_NextValueExpr:
			full_only(c, "volatile function nextval", NULL, -1);
			break;
		case T_Param:
			if (((Param *) node)->paramkind != PARAM_SUBLINK)
				full_only(c, "a parameter", NULL, exprLocation(node));
			break;
		case T_CoerceToDomain:
			check_domain(c, (CoerceToDomain *) node);
			break;
		case T_Const:
			add_object(c, TypeRelationId, ((Const *) node)->consttype);
			add_object(c, CollationRelationId, ((Const *) node)->constcollid);
			break;
		case T_CollateExpr:
			add_object(c, CollationRelationId, ((CollateExpr *) node)->collOid);
			break;
		case T_RelabelType:
		case T_CoerceViaIO:
		case T_ArrayCoerceExpr:
		case T_RowExpr:
		case T_ConvertRowtypeExpr:
		case T_FieldSelect:
			add_object(c, TypeRelationId, exprType(node));
			break;
		default:
			break;
	}
}

static bool
check_walker(Node *node, Check *c)
{
	FunctionCheck f;

	if (node == NULL)
		return false;
	if (IsA(node, Query))
	{
		check_level((Query *) node, c);
		return false;
	}
	if (IsA(node, Var))
	{
		note_var(c, (Var *) node);
		return false;
	}
	check_kind(c, node);
	note_operator(c, node);
	f.check = c;
	f.location = exprLocation(node);
	check_functions_in_node(node, check_function, &f);
	return expression_tree_walker(node, check_walker, c);
}

/* ---- relations ---- */

static bool
has_foreign_child(Oid relid)
{
	ListCell   *lc;

	foreach(lc, find_all_inheritors(relid, AccessShareLock, NULL))
		if (get_rel_relkind(lfirst_oid(lc)) == RELKIND_FOREIGN_TABLE)
			return true;
	return false;
}

static bool
is_own_table(Oid relid)
{
	Oid			schema = get_rel_namespace(relid);

	return !pgt_is_stream_table(relid) &&
		(schema == pgt_schema_oid() || schema == pgt_changes_schema_oid() ||
		 schema == pgt_state_schema_oid());
}

static char *
qualified_name(Oid relid)
{
	return quote_qualified_identifier(get_namespace_name(get_rel_namespace(relid)),
									  get_rel_name(relid));
}

static void
check_relation_kind(Check *c, const RangeTblEntry *rte)
{
	char	   *name = qualified_name(rte->relid);

	if (rte->relkind == RELKIND_FOREIGN_TABLE)
	{
		if (!pgt_foreign_table_polling)
			full_only(c, psprintf("foreign table %s", name),
					  "Its changes cannot be seen, only compared: see pg_trickle.foreign_table_polling.",
					  -1);
	}
	else if (rte->relkind == RELKIND_MATVIEW)
	{
		if (!pgt_matview_polling)
			full_only(c, psprintf("materialized view %s", name),
					  "Its changes cannot be captured, only compared: see pg_trickle.matview_polling.",
					  -1);
	}
	else if (rte->relkind != RELKIND_RELATION &&
			 rte->relkind != RELKIND_PARTITIONED_TABLE)
		full_only(c, psprintf("relation %s", name),
				  "Only tables can be captured.", -1);
	else if (IsCatalogRelationOid(rte->relid))
		full_only(c, psprintf("system catalog %s", name),
				  "Its changes cannot be captured.", -1);
	else if (is_own_table(rte->relid))
		full_only(c, psprintf("internal table %s", name),
				  "Its changes are not captured.", -1);
	else if (!rte->inh && has_subclass(rte->relid))
		full_only(c, psprintf("ONLY %s", name),
				  "The table has children, whose changes would count too.", -1);
	else if (rte->inh && has_subclass(rte->relid) &&
			 has_foreign_child(rte->relid))
		full_only(c, psprintf("table %s", name),
				  "A child or partition of it is a foreign table.", -1);
}

static const char *
source_type(const RangeTblEntry *rte)
{
	if (rte->relkind == RELKIND_FOREIGN_TABLE)
		return "FOREIGN_TABLE";
	if (rte->relkind == RELKIND_MATVIEW)
		return "MATVIEW";
	return pgt_is_stream_table(rte->relid) ? "STREAM_TABLE" : "TABLE";
}

static void
check_relation(Check *c, const RangeTblEntry *rte)
{
	PgtSourceUse *use;

	if (get_rel_persistence(rte->relid) == RELPERSISTENCE_TEMP)
		refuse(c, psprintf("temporary relation %s",
						   quote_identifier(get_rel_name(rte->relid))),
			   NULL, "Use a permanent or an unlogged table.", -1);
	if (rte->tablesample != NULL)
		refuse(c, "TABLESAMPLE", NULL,
			   "Filter by a hash of a key to take a stable sample.", -1);
	if (rte->relkind == RELKIND_VIEW)
		return;
	c->nrelations++;
	check_relation_kind(c, rte);
	if (rte->securityQuals != NIL)
		refuse(c, psprintf("row security on %s", qualified_name(rte->relid)),
			   "A stream table would show rows by the rights of its owner.",
			   NULL, -1);
	if (!c->expanded)
		return;
	use = add_use(&c->result->sources, rte->relid, source_type(rte));
	use->source_type = pstrdup(source_type(rte));
	use->only = use->only && !rte->inh;
}

/* ---- FROM ---- */

/* A subquery that reads no relation runs as it is, whatever it does. */
static void
check_subquery(Check *c, const RangeTblEntry *rte)
{
	bool		outer = c->pure;

	c->pure = outer || pgt_item_is_pure(rte);
	check_level(rte->subquery, c);
	c->pure = outer;
}

static void
check_rte(Check *c, const RangeTblEntry *rte)
{
	switch (rte->rtekind)
	{
		case RTE_RELATION:
			check_relation(c, rte);
			break;
		case RTE_SUBQUERY:
			check_subquery(c, rte);
			break;
		case RTE_CTE:
			break;				/* check_ctes looks at its query */
		case RTE_FUNCTION:
			check_walker((Node *) rte->functions, c);
			break;
		case RTE_TABLEFUNC:
			check_walker((Node *) rte->tablefunc, c);
			break;
		case RTE_VALUES:
			check_walker((Node *) rte->values_lists, c);
			break;
		case RTE_JOIN:
			break;
		default:
			full_only(c, "a row source of this kind", NULL, -1);
			break;
	}
}

static void
check_from(Check *c, const Query *query, Node *node)
{
	if (node == NULL)
		return;
	if (IsA(node, RangeTblRef))
		check_rte(c, rt_fetch(((RangeTblRef *) node)->rtindex, query->rtable));
	else if (IsA(node, JoinExpr))
	{
		JoinExpr   *join = (JoinExpr *) node;

		check_from(c, query, join->larg);
		check_from(c, query, join->rarg);
		check_walker(join->quals, c);
	}
	else if (IsA(node, FromExpr))
	{
		ListCell   *lc;

		foreach(lc, ((FromExpr *) node)->fromlist)
			check_from(c, query, lfirst(lc));
		check_walker(((FromExpr *) node)->quals, c);
	}
	else if (IsA(node, SetOperationStmt))
	{
		check_from(c, query, ((SetOperationStmt *) node)->larg);
		check_from(c, query, ((SetOperationStmt *) node)->rarg);
	}
}

/* ---- levels ---- */

static bool
is_given(const Node *limit)
{
	return limit != NULL &&
		!(IsA(limit, Const) && ((const Const *) limit)->constisnull);
}

/* A frame that is not the same at each refresh. */
static void
check_frame(Check *c, Node *bound)
{
	bool		varies = contain_subplans(bound);

	for (int up = 1; up < list_length(c->levels); up++)
		varies = varies || contain_vars_of_level(bound, up);
	if (varies)
		no_delta(c, "a window frame that is not constant", "It is computed by a subquery or from a column.",
				 exprLocation(bound));
}

/* What the catalog shows of a limit of the whole query. */
static void
note_bounds(PgtQueryCheck *result, const Query *query)
{
	result->topk_limit = result->topk_offset = -1;
	if (pgt_level_is_limited(query) &&
		!pgt_level_bounds(query, &result->topk_limit, &result->topk_offset))
		result->topk_limit = result->topk_offset = -1;
}

/* Window functions, DISTINCT ON and limits that have no delta. */
static void
check_ordering(Check *c, const Query *query)
{
	int64		limit;
	int64		offset;
	ListCell   *lc;

	if (pgt_level_is_limited(query) && !pgt_level_bounds(query, &limit, &offset))
		no_delta(c, "a LIMIT or OFFSET that is not constant", NULL,
				 exprLocation(is_given(query->limitCount) ? query->limitCount :
							  query->limitOffset));
	foreach(lc, query->windowClause)
	{
		WindowClause *wc = lfirst_node(WindowClause, lc);

		check_frame(c, wc->startOffset);
		check_frame(c, wc->endOffset);
	}
	if (query->hasWindowFuncs &&
		pgt_level_has_tested_windows((Node *) query->targetList))
		no_delta(c, "a window function compared with a subquery",
				 "Compute it in a subquery in FROM.", -1);
}

static void
check_clauses(Check *c, const Query *query)
{
	bool		limited = is_given(query->limitCount) || is_given(query->limitOffset);

	if (query->commandType != CMD_SELECT || query->hasModifyingCTE)
		refuse(c, "a data-modifying statement", NULL,
			   "Use SELECT, also inside WITH.", -1);
	if (query->rowMarks != NIL || query->hasForUpdate)
		refuse(c, "FOR UPDATE or FOR SHARE", NULL, "Leave it out.", -1);
	if (limited && query->sortClause == NIL)
		refuse(c, is_given(query->limitCount) ? "LIMIT without ORDER BY" :
			   "OFFSET without ORDER BY",
			   "Which rows it returns is not determined.", "Add ORDER BY.",
			   exprLocation(is_given(query->limitCount) ? query->limitCount :
							query->limitOffset));
	check_ordering(c, query);
}

/* Each grouping set is an aggregation of its own. */
static void
check_grouping_sets(Check *c, const Query *query)
{
	int			limit = pgt_max_grouping_set_branches;
	int			n;

	if (query->groupingSets == NIL || c->pure)
		return;
	n = list_length(expand_grouping_sets(query->groupingSets,
										 query->groupDistinct, -1));
	if (n > limit)
		full_only(c, psprintf("a SELECT of %d grouping sets", n),
				  psprintf("The setting pg_trickle.max_grouping_set_branches allows %d.",
						   limit),
				  exprLocation((Node *) query->groupingSets));
}

static void
check_ctes(Check *c, const Query *query)
{
	ListCell   *lc;

	foreach(lc, query->cteList)
	{
		CommonTableExpr *cte = lfirst_node(CommonTableExpr, lc);

		if (cte->cterefcount > 0)
			check_walker(cte->ctequery, c);
	}
}

/* Views show as entries with a relation that FROM may not name. */
static void
note_views(Check *c, const Query *query)
{
	ListCell   *lc;

	foreach(lc, query->rtable)
	{
		RangeTblEntry *rte = lfirst_node(RangeTblEntry, lc);

		if (!OidIsValid(rte->relid) || rte->relkind != RELKIND_VIEW)
			continue;
		add_use(&c->result->views, rte->relid, "VIEW");
		if (get_rel_persistence(rte->relid) == RELPERSISTENCE_TEMP)
			refuse(c, psprintf("temporary view %s",
							   quote_identifier(get_rel_name(rte->relid))),
				   NULL, "Use a permanent view.", -1);
	}
}

static void
check_group_entries(Check *c, const Query *query)
{
	ListCell   *lc;

	foreach(lc, query->rtable)
		if (pgt_rte_is_grouping(lfirst_node(RangeTblEntry, lc)))
			check_walker((Node *) pgt_rte_group_exprs(lfirst(lc)), c);
}

static void
check_level(Query *query, Check *c)
{
	List	   *outer = c->levels;

	c->levels = lcons(query, list_copy(outer));
	check_clauses(c, query);
	check_grouping_sets(c, query);
	note_views(c, query);
	check_ctes(c, query);
	check_group_entries(c, query);
	check_from(c, query, (Node *) query->jointree);
	check_from(c, query, query->setOperations);
	check_walker((Node *) query->targetList, c);
	check_walker(query->havingQual, c);
	check_walker((Node *) query->groupClause, c);
	check_walker((Node *) query->distinctClause, c);
	check_walker((Node *) query->sortClause, c);
	check_walker((Node *) query->windowClause, c);
	check_walker(query->limitCount, c);
	check_walker(query->limitOffset, c);
	c->levels = outer;
}

/* ---- what only the compiler's form shows ---- */

static bool
has_equality(Oid type)
{
	Oid			eqop;

	get_sort_group_operators(type, false, false, false, NULL, &eqop, NULL, NULL);
	return OidIsValid(eqop);
}

typedef struct DependentCheck
{
	Check	   *check;
	const Query *query;
	List	   *keys;
} DependentCheck;

/* The primary key of a parent says nothing about the rows of its children. */
static bool
may_not_depend(const Query *query, const Var *var)
{
	RangeTblEntry *rte = rt_fetch(var->varno, query->rtable);

	return rte->rtekind == RTE_RELATION && rte->relkind == RELKIND_RELATION &&
		rte->inh && has_subclass(rte->relid);
}

/* Columns outside of aggregates and keys become keys themselves. */
static bool
dependent_walker(Node *node, DependentCheck *d)
{
	if (node == NULL || list_member(d->keys, node) || IsA(node, Aggref))
		return false;
	if (IsA(node, Var) && !has_equality(((Var *) node)->vartype))
		full_only(d->check,
				  psprintf("an ungrouped column of type %s",
						   format_type_be(((Var *) node)->vartype)),
				  "The type has no equality operator.", -1);
	else if (IsA(node, Var) && may_not_depend(d->query, (Var *) node))
		full_only(d->check, "an ungrouped column of a table with children",
				  "The primary key by which it may stay ungrouped does not hold for the rows of the children.",
				  -1);
	return expression_tree_walker(node, dependent_walker, d);
}

/* All aggregates of a level share one row of state. */
static void
check_aggregates(Check *c, const Query *query)
{
	List	   *all = list_make2(query->targetList, query->havingQual);
	List	   *aggrefs;
	ListCell   *lc;

	if (!query->hasAggs)
		return;
	aggrefs = pull_var_clause((Node *) all, PVC_INCLUDE_AGGREGATES |
							  PVC_RECURSE_WINDOWFUNCS | PVC_RECURSE_PLACEHOLDERS);
	foreach(lc, aggrefs)
	{
		Oid			type = exprType(lfirst(lc));

		if (IsA(lfirst(lc), Aggref) && get_typtype(type) == TYPTYPE_PSEUDO)
			full_only(c, psprintf("an aggregate of type %s", format_type_be(type)),
					  "Its result would have to be stored with the group.", -1);
	}
	if (list_length(aggrefs) > PGT_MAX_AGGREGATES)
		full_only(c, psprintf("a SELECT with more than %d columns and aggregates", PGT_MAX_AGGREGATES),
				  "The state of its groups would not fit a row.", -1);
}

/* Columns of type record, made by SEARCH and CYCLE, are not kept. */
static void
check_record_columns(Check *c, const Query *query, Node *expr)
{
	ListCell   *lc;

	foreach(lc, pull_vars_of_level(expr, 0))
	{
		Var		   *var = lfirst_node(Var, lc);
		RangeTblEntry *rte = rt_fetch(var->varno, query->rtable);

		if (rte->rtekind == RTE_SUBQUERY && pgt_recursion_of(rte->subquery) != NULL &&
			get_typtype(var->vartype) == TYPTYPE_PSEUDO)
			full_only(c, psprintf("column \"%s\" of a recursive query outside of it",
								  strVal(list_nth(rte->eref->colnames, var->varattno - 1))),
					  "It is made by SEARCH or CYCLE and of a type that cannot be stored.",
					  -1);
	}
}

static bool
keeps_rows(const Node *node)
{
	const SetOperationStmt *setop = (const SetOperationStmt *) node;

	return node != NULL && IsA(node, SetOperationStmt) &&
		(setop->op != SETOP_UNION || !setop->all ||
		 keeps_rows(setop->larg) || keeps_rows(setop->rarg));
}

/* State is kept per key: rows of no declared type cannot be. */
static void
check_key_types(Check *c, const Query *query)
{
	ListCell   *lc;

	foreach(lc, list_concat(list_copy(query->groupClause), query->distinctClause))
		if (get_typtype(exprType(get_sortgroupclause_expr(lfirst(lc),
														  query->targetList))) == TYPTYPE_PSEUDO)
			full_only(c, "GROUP BY or DISTINCT of rows of no declared type",
					  "What they are grouped by could not be stored.", -1);
	if (pgt_recursion_of(query) == NULL && keeps_rows(query->setOperations))
		foreach(lc, castNode(SetOperationStmt, query->setOperations)->colTypes)
			if (get_typtype(lfirst_oid(lc)) == TYPTYPE_PSEUDO)
				full_only(c, "a set operation on rows of no declared type",
						  "They could not be stored.", -1);
}

static void
check_recursions(Check *c, const Query *expanded)
{
	const char *misfit = pgt_recursion_misfit(expanded);

	if (misfit != NULL)
		full_only(c, psprintf("the recursive query \"%s\"", misfit),
				  "It refers to columns of a query that contains it.", -1);
}

/* Windows and limits keep their columns in a table. */
static void
check_kept_columns(Check *c, const Query *query)
{
	ListCell   *lc;

	if (!pgt_level_is_ordered(query))
		return;
	foreach(lc, query->targetList)
	{
		TargetEntry *tle = lfirst_node(TargetEntry, lc);
		Oid			type = exprType((Node *) tle->expr);

		if (!tle->resjunk && get_typtype(getBaseType(type)) == TYPTYPE_PSEUDO)
			full_only(c, psprintf("a column of type %s under a window function, DISTINCT ON or LIMIT",
								  format_type_be(type)),
					  "It would have to be stored.", -1);
	}
}

static void
check_normalised_level(Check *c, const Query *query)
{
	DependentCheck d = {c, query, NIL};
	List	   *rtindexes;
	List	   *quals;
	ListCell   *lc;

	pgt_compile_flatten_from(query, &rtindexes, &quals);
	if (list_length(rtindexes) > PGT_MAX_INPUTS)
		full_only(c, psprintf("a join of more than %d relations", PGT_MAX_INPUTS),
				  NULL, -1);
	foreach(lc, query->rtable)
		if (lfirst_node(RangeTblEntry, lc)->rtekind == RTE_SUBQUERY)
			check_normalised_level(c, lfirst_node(RangeTblEntry, lc)->subquery);
	if (!pgt_from_fits(query))
		full_only(c, "LATERAL on one side of an outer join", NULL, -1);
	check_aggregates(c, query);
	check_key_types(c, query);
	check_record_columns(c, query, (Node *) quals);
	check_record_columns(c, query, query->havingQual);
	foreach(lc, query->targetList)
		if (!lfirst_node(TargetEntry, lc)->resjunk)
			check_record_columns(c, query, (Node *) lfirst_node(TargetEntry, lc)->expr);
	check_kept_columns(c, query);
	if (query->groupClause == NIL)
		return;
	foreach(lc, query->groupClause)
		d.keys = lappend(d.keys,
						 get_sortgroupclause_expr(lfirst(lc), query->targetList));
	foreach(lc, query->targetList)
		if (!lfirst_node(TargetEntry, lc)->resjunk)
			dependent_walker((Node *) lfirst_node(TargetEntry, lc)->expr, &d);
	dependent_walker(query->havingQual, &d);
}

static void
check_normalised(Check *c, const Query *expanded)
{
	const char *construct;
	const char *detail;
	Query	   *query = pgt_compile_try_normalise(expanded, &construct, &detail);

	if (query == NULL)
		full_only(c, construct, detail, -1);
	else if (pgt_has_whole_rows(query))
		full_only(c, "a whole row of an optional side of an outer join",
				  "It is NULL where the row is absent, which its columns do not tell.",
				  -1);
	else
		check_normalised_level(c, query);
}

PgtQueryCheck *
pgt_query_check(const Query *query, const Query *expanded)
{
	Check		c = {0};

	c.result = palloc0(sizeof(PgtQueryCheck));
	c.result->location = -1;
	note_bounds(c.result, query);
	check_level(unconstify(Query *, query), &c);
	c.expanded = true;
	c.nrelations = 0;
	check_level(unconstify(Query *, expanded), &c);
	if (c.nrelations == 0)
		refuse(&c, "a query without a table", NULL,
			   "Use an ordinary table or view for constant rows.", -1);
	check_recursions(&c, expanded);
	if (!c.result->refused && !c.result->full_only)
		check_normalised(&c, expanded);
	return c.result;
}

void
pgt_query_refuse(const PgtQueryCheck *check, const char *mode,
				 const char *query_text)
{
	int			position = 0;

	if (check->location >= 0 && query_text != NULL &&
		check->location <= (int) strlen(query_text))
		position = pg_mbstrlen_with_len(query_text, check->location) + 1;
	ereport(ERROR,
			(errcode(check->sqlstate),
			 check->refused ?
			 errmsg("%s is not supported in a stream table's query",
					check->construct) :
			 errmsg("%s is not supported in %s mode", check->construct, mode),
			 check->detail ? errdetail("%s", check->detail) : 0,
			 check->hint ? errhint("%s", check->hint) : 0,
			 position > 0 ? internalerrposition(position) : 0,
			 position > 0 ? internalerrquery(query_text) : 0));
}
