/*
 * applier/dvm/deparse.c - Query trees as text.
 *
 * Deparsing runs under search_path = pg_catalog, pg_temp, so that every name
 * outside of pg_catalog comes out qualified.  It is not lossless: JOIN USING,
 * IS DISTINCT FROM, NULLIF and simple CASE have no place for an operator's
 * schema.  The text of a defining query is therefore analysed again and what
 * it refers to outside of pg_catalog is compared with the original: the same
 * functions, operators and aggregates, as often, and the same result types.
 * Where they differ the query is spelled out (spell.c) and tried once more.
 *
 * The setting is put back on return; on ERROR the transaction does it.
 */
#include "postgres.h"

#include "access/transam.h"
#include "nodes/nodeFuncs.h"
#include "utils/guc.h"
#include "utils/ruleutils.h"

#include "applier/dvm/deparse.h"
#include "applier/dvm/dvm.h"

static int
pin_search_path(void)
{
	int			level = NewGUCNestLevel();

	(void) set_config_option("search_path", "pg_catalog, pg_temp",
							 PGC_USERSET, PGC_S_SESSION, GUC_ACTION_SAVE,
							 true, 0, false);
	return level;
}

/* ---- comparing ---- */

static void
note_oid(Oid oid, List **oids)
{
	if (oid >= FirstNormalObjectId)
		*oids = lappend_oid(*oids, oid);
}

static bool
note_function(Oid funcid, void *oids)
{
	note_oid(funcid, (List **) oids);
	return false;
}

/* Everything outside of pg_catalog that decides what a query computes. */
static bool
references_walker(Node *node, List **oids)
{
	if (node == NULL)
		return false;
	if (IsA(node, Query))
		return query_tree_walker((Query *) node, references_walker, oids,
								 QTW_EXAMINE_SORTGROUP | QTW_IGNORE_JOINALIASES);
	if (IsA(node, SortGroupClause))
	{
		note_oid(((SortGroupClause *) node)->eqop, oids);
		note_oid(((SortGroupClause *) node)->sortop, oids);
		return false;
	}
	check_functions_in_node(node, note_function, oids);
	return expression_tree_walker(node, references_walker, oids);
}

static bool
same_references(const Query *a, const Query *b)
{
	List	   *oids_a = NIL;
	List	   *oids_b = NIL;

	references_walker((Node *) a, &oids_a);
	references_walker((Node *) b, &oids_b);
	list_sort(oids_a, list_oid_cmp);
	list_sort(oids_b, list_oid_cmp);
	return equal(oids_a, oids_b);
}

static bool
same_result(const Query *a, const Query *b)
{
	TupleDesc	desc_a = pgt_query_result_desc(a);
	TupleDesc	desc_b = pgt_query_result_desc(b);

	if (desc_a->natts != desc_b->natts)
		return false;
	for (int i = 0; i < desc_a->natts; i++)
	{
		Form_pg_attribute att_a = TupleDescAttr(desc_a, i);
		Form_pg_attribute att_b = TupleDescAttr(desc_b, i);

		if (att_a->atttypid != att_b->atttypid ||
			att_a->atttypmod != att_b->atttypmod ||
			att_a->attcollation != att_b->attcollation)
			return false;
	}
	return true;
}

/* Text of a query, or NULL where the text would mean something else.  The
 * search path is pinned. */
static char *
faithful_text(const Query *query)
{
	char	   *text = pg_get_querydef(copyObject(unconstify(Query *, query)), false);
	Query	   *again = pgt_query_parse(text);

	return same_references(query, again) && same_result(query, again) ? text : NULL;
}

char *
pgt_query_deparse(const Query *query)
{
	int			level = pin_search_path();
	char	   *text = faithful_text(query);

	if (text == NULL)
		text = faithful_text(pgt_spell_operators(query));
	AtEOXact_GUC(true, level);
	if (text == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("the query cannot be written with qualified names"),
				 errdetail("It uses an operator outside of pg_catalog where SQL cannot name its schema, such as a comparison of rows or an outer join with USING."),
				 errhint("Write the comparison as a OPERATOR(schema.=) b, or cast the operands to a type of pg_catalog.")));
	return text;
}

/* ---- display ---- */

static bool
stand_in_walker(Node *node, void *context)
{
	if (node == NULL)
		return false;
	if (IsA(node, RangeTblEntry))
	{
		RangeTblEntry *rte = (RangeTblEntry *) node;

		if (rte->rtekind != RTE_NAMEDTUPLESTORE)
			return false;
		/* ruleutils cannot print a named tuplestore; a CTE's name it can */
		rte->rtekind = RTE_CTE;
		rte->ctename = rte->enrname;
		rte->ctelevelsup = 0;
		return false;
	}
	if (IsA(node, Query))
		return query_tree_walker((Query *) node, stand_in_walker, context,
								 QTW_EXAMINE_RTES_BEFORE);
	return expression_tree_walker(node, stand_in_walker, context);
}

char *
pgt_deparse_for_display(const Query *query)
{
	Query	   *copy = copyObject(unconstify(Query *, query));
	int			level = pin_search_path();
	char	   *text;

	stand_in_walker((Node *) copy, NULL);
	text = pg_get_querydef(copy, false);
	AtEOXact_GUC(true, level);
	return text;
}
