/*
 * applier/dvm/key.c - a key of a query's output, where one can be derived.
 *
 * A key is a set of output columns that no two rows of the result share, NULLs
 * counting as equal:
 *   DISTINCT            all output columns
 *   DISTINCT ON         its expressions, if all of them are output columns
 *   GROUP BY            the grouping keys, if all of them are output columns
 *   select, join        of every source a primary key or a unique, not
 *                       deferrable index over NOT NULL columns, all of which
 *                       are output columns.  A source whose key is equated
 *                       with columns of the others needs none: its row is
 *                       determined by theirs.  In outer joins the columns
 *                       of a side that is missing are NULL, which is as good
 *                       as any value; a semi-join adds no rows.
 *   subquery in FROM    its own output key takes the place of an index
 *   set operation       all output columns, unless it keeps duplicates
 * A UNION ALL has none.  Without a key rows are told apart by their images.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/stratnum.h"
#include "access/table.h"
#include "catalog/pg_am.h"
#include "catalog/pg_class.h"
#include "catalog/pg_index.h"
#include "catalog/pg_inherits.h"
#include "catalog/pg_opfamily.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/optimizer.h"
#include "optimizer/tlist.h"
#include "parser/parsetree.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/typcache.h"

#include "applier/dvm/compile.h"
#include "decoder/compat.h"

/* A key of one source: attribute numbers of its range table entry. */
typedef struct SourceKey
{
	int			rtindex;
	List	   *attnos;			/* int list */
	List	   *opfamilies;		/* Oid list: equality by these */
} SourceKey;

static List *level_key(const Query *query);

/* ---- keys of sources ---- */

static Oid
default_opfamily(Oid type)
{
	return lookup_type_cache(type, TYPECACHE_BTREE_OPFAMILY)->btree_opf;
}

/* Are values that the index tells apart different in an output column, too? */
static bool
compares_as_column(Form_pg_attribute att, Relation index, int nth)
{
	return index->rd_opfamily[nth] == default_opfamily(att->atttypid) &&
		(!OidIsValid(att->attcollation) ||
		 att->attcollation == index->rd_indcollation[nth] ||
		 get_collation_isdeterministic(att->attcollation));
}

static bool
is_usable_key(Relation rel, Relation index)
{
	Form_pg_index form = index->rd_index;

	if (!form->indisunique || !form->indisvalid || !form->indimmediate ||
		index->rd_rel->relam != BTREE_AM_OID ||
		RelationGetIndexPredicate(index) != NIL ||
		RelationGetIndexExpressions(index) != NIL)
		return false;
	for (int i = 0; i < form->indnkeyatts; i++)
	{
		AttrNumber	attno = form->indkey.values[i];

		if (attno <= 0 ||
			!pgt_is_never_null(RelationGetDescr(rel), attno - 1) ||
			!compares_as_column(TupleDescAttr(RelationGetDescr(rel), attno - 1),
								index, i))
			return false;
	}
	return true;
}

static SourceKey *
index_key(int rtindex, Relation index)
{
	SourceKey  *key = palloc0(sizeof(SourceKey));

	key->rtindex = rtindex;
	for (int i = 0; i < index->rd_index->indnkeyatts; i++)
	{
		key->attnos = lappend_int(key->attnos, index->rd_index->indkey.values[i]);
		key->opfamilies = lappend_oid(key->opfamilies, index->rd_opfamily[i]);
	}
	return key;
}

/* Keys of a table, primary key first. */
static List *
relation_keys(int rtindex, const RangeTblEntry *rte)
{
	Relation	rel;
	List	   *keys = NIL;
	ListCell   *lc;

	/* rows of inheritance children are not in the parent's indexes */
	if (rte->inh && rte->relkind == RELKIND_RELATION && has_subclass(rte->relid))
		return NIL;
	rel = table_open(rte->relid, AccessShareLock);
	foreach(lc, RelationGetIndexList(rel))
	{
		Relation	index = index_open(lfirst_oid(lc), AccessShareLock);

		if (is_usable_key(rel, index))
			keys = index->rd_index->indisprimary ?
				lcons(index_key(rtindex, index), keys) :
				lappend(keys, index_key(rtindex, index));
		index_close(index, NoLock);
	}
	table_close(rel, NoLock);
	return keys;
}

static List *
subquery_keys(int rtindex, const RangeTblEntry *rte)
{
	List	   *attnos = level_key(rte->subquery);
	SourceKey  *key;
	ListCell   *lc;

	if (attnos == NIL)
		return NIL;
	key = palloc0(sizeof(SourceKey));
	key->rtindex = rtindex;
	key->attnos = attnos;
	foreach(lc, attnos)
	{
		TargetEntry *tle = get_tle_by_resno(rte->subquery->targetList,
											lfirst_int(lc));

		key->opfamilies = lappend_oid(key->opfamilies,
									  default_opfamily(exprType((Node *) tle->expr)));
	}
	return list_make1(key);
}

/* ---- joins ---- */

static Node *
strip_relabel(Node *node)
{
	while (node != NULL && IsA(node, RelabelType))
		node = (Node *) ((RelabelType *) node)->arg;
	return node;
}

/* Is expr made of columns of the sources in "known" only (or of none)? */
static bool
is_known(Node *expr, List *known)
{
	ListCell   *lc;

	foreach(lc, pull_vars_of_level(expr, 0))
		if (!list_member_int(known, lfirst_node(Var, lc)->varno))
			return false;
	return true;
}

/*
 * Does the operator compare as the key's index does?  One between types may
 * not: two timestamps can be the same timestamptz.  And neither does one under
 * a collation that finds different strings equal.
 */
static bool
equates_like_key(const OpExpr *op, Oid opfamily)
{
	int			strategy;
	Oid			left;
	Oid			right;

	if (get_op_opfamily_strategy(op->opno, opfamily) != BTEqualStrategyNumber)
		return false;
	get_op_opfamily_properties(op->opno, opfamily, false, &strategy, &left,
							   &right);
	if (left != right && opfamily != INTEGER_BTREE_FAM_OID)
		return false;
	return !OidIsValid(op->inputcollid) ||
		get_collation_isdeterministic(op->inputcollid);
}

/* Is the column equated with something that the other sources determine? */
static bool
is_equated(const SourceKey *key, int nth, List *quals, List *others)
{
	AttrNumber	attno = list_nth_int(key->attnos, nth);
	Oid			opfamily = list_nth_oid(key->opfamilies, nth);
	ListCell   *lc;

	foreach(lc, quals)
	{
		OpExpr	   *op = lfirst(lc);

		if (!IsA(op, OpExpr) || list_length(op->args) != 2 ||
			!equates_like_key(op, opfamily))
			continue;
		for (int side = 0; side < 2; side++)
		{
			Var		   *var = (Var *) strip_relabel(list_nth(op->args, side));

			if (IsA(var, Var) && var->varno == key->rtindex &&
				var->varattno == attno &&
				is_known(list_nth(op->args, 1 - side), others))
				return true;
		}
	}
	return false;
}

static bool
is_determined(const SourceKey *key, List *quals, List *others)
{
	for (int i = 0; i < list_length(key->attnos); i++)
		if (!is_equated(key, i, quals, others))
			return false;
	return true;
}

/* Output column that is this column of a source; 0 if none. */
static int
output_of(const Query *query, int rtindex, AttrNumber attno)
{
	ListCell   *lc;

	foreach(lc, query->targetList)
	{
		TargetEntry *tle = lfirst_node(TargetEntry, lc);
		Var		   *var = (Var *) tle->expr;

		if (!tle->resjunk && IsA(var, Var) && var->varno == rtindex &&
			var->varattno == attno)
			return tle->resno;
	}
	return 0;
}

/* Output columns of the first of the keys that reaches the output whole. */
static List *
key_in_output(const Query *query, List *keys)
{
	ListCell   *lc;

	foreach(lc, keys)
	{
		SourceKey  *key = lfirst(lc);
		List	   *outputs = NIL;
		ListCell   *att;

		foreach(att, key->attnos)
		{
			int			output = output_of(query, key->rtindex, lfirst_int(att));

			if (output == 0)
				break;
			outputs = lappend_int(outputs, output);
		}
		if (att == NULL)
			return outputs;
	}
	return NIL;
}

static List *
keys_of_source(const Query *query, int rtindex)
{
	RangeTblEntry *rte = rt_fetch(rtindex, query->rtable);

	if (rte->rtekind == RTE_RELATION)
		return relation_keys(rtindex, rte);
	if (rte->rtekind == RTE_SUBQUERY)
		return subquery_keys(rtindex, rte);
	return NIL;
}

/* A condition, and the sources whose rows it can determine. */
typedef struct KeyQual
{
	Node	   *qual;
	List	   *rtindexes;
} KeyQual;

/* The sources of a level, whose rows the output's are made of. */
typedef struct KeySources
{
	List	   *rtindexes;
	List	   *quals;			/* of KeyQual* */
	List	   *maybe_missing;	/* either side of a full join */
} KeySources;

static void
note_quals(KeySources *k, Node *quals, List *rtindexes)
{
	ListCell   *lc;

	foreach(lc, make_ands_implicit((Expr *) quals))
	{
		KeyQual    *q = palloc(sizeof(KeyQual));

		q->qual = lfirst(lc);
		q->rtindexes = rtindexes;
		k->quals = lappend(k->quals, q);
	}
}

/* What the condition of an outer join says holds of the side that may be
 * missing; semi-joins only choose rows of their left side. */
static List *
collect_sources(KeySources *k, Node *node)
{
	List	   *all = NIL;
	ListCell   *lc;

	if (IsA(node, RangeTblRef))
	{
		k->rtindexes = lappend_int(k->rtindexes, ((RangeTblRef *) node)->rtindex);
		return list_make1_int(((RangeTblRef *) node)->rtindex);
	}
	if (IsA(node, JoinExpr))
	{
		JoinExpr   *join = (JoinExpr *) node;
		List	   *left = collect_sources(k, join->larg);
		List	   *right;

		if (join->jointype == JOIN_SEMI || join->jointype == JOIN_ANTI)
			return left;
		right = collect_sources(k, join->rarg);
		all = list_concat(list_copy(left), right);
		if (join->jointype == JOIN_FULL)
			k->maybe_missing = list_concat(k->maybe_missing, all);
		else
			note_quals(k, join->quals, join->jointype == JOIN_LEFT ? right :
					   join->jointype == JOIN_RIGHT ? left : all);
		return all;
	}
	foreach(lc, castNode(FromExpr, node)->fromlist)
		all = list_concat(all, collect_sources(k, lfirst(lc)));
	note_quals(k, ((FromExpr *) node)->quals, all);
	return all;
}

static List *
quals_about(const KeySources *k, int rtindex)
{
	List	   *quals = NIL;
	ListCell   *lc;

	foreach(lc, k->quals)
		if (list_member_int(((KeyQual *) lfirst(lc))->rtindexes, rtindex))
			quals = lappend(quals, ((KeyQual *) lfirst(lc))->qual);
	return quals;
}

/* Leave out, one after the other, the sources that the rest determines. */
static List *
determining_sources(const KeySources *k, List *keys)
{
	List	   *needed = list_copy(k->rtindexes);

	for (int i = list_length(k->rtindexes) - 1; i >= 0; i--)
	{
		int			rtindex = list_nth_int(k->rtindexes, i);
		List	   *others = list_delete_int(list_copy(needed), rtindex);
		List	   *quals = quals_about(k, rtindex);
		ListCell   *lc;

		if (others == NIL)
			break;
		foreach(lc, (List *) list_nth(keys, i))
		{
			if (!is_determined(lfirst(lc), quals, others))
				continue;
			needed = others;
			break;
		}
	}
	return needed;
}

/* Of two sides of which either may be missing, NULLs in a key would be mixed up
 * with those of a row that is not there. */
static List *
usable_keys(const Query *query, const KeySources *k, int rtindex)
{
	if (list_member_int(k->maybe_missing, rtindex) &&
		rt_fetch(rtindex, query->rtable)->rtekind != RTE_RELATION)
		return NIL;
	return keys_of_source(query, rtindex);
}

static List *
join_key(const Query *query)
{
	KeySources	k = {0};
	List	   *keys = NIL;		/* of lists of SourceKey*, as k.rtindexes */
	List	   *needed;
	List	   *output = NIL;
	ListCell   *lc;
	ListCell   *lk;

	collect_sources(&k, (Node *) query->jointree);
	foreach(lc, k.rtindexes)
		keys = lappend(keys, usable_keys(query, &k, lfirst_int(lc)));
	needed = determining_sources(&k, keys);
	forboth(lc, k.rtindexes, lk, keys)
	{
		List	   *columns;

		if (!list_member_int(needed, lfirst_int(lc)))
			continue;
		columns = key_in_output(query, lfirst(lk));
		if (columns == NIL)
			return NIL;
		output = list_concat_unique_int(output, columns);
	}
	return output;
}

/* ---- levels ---- */

static bool
has_recursion(Node *node, void *context)
{
	if (node == NULL)
		return false;
	if (IsA(node, Query))
		return ((Query *) node)->hasRecursive ||
			query_tree_walker((Query *) node, has_recursion, context, 0);
	return expression_tree_walker(node, has_recursion, context);
}

static List *
all_output(const Query *query)
{
	List	   *output = NIL;
	ListCell   *lc;

	foreach(lc, query->targetList)
		if (!lfirst_node(TargetEntry, lc)->resjunk)
			output = lappend_int(output, lfirst_node(TargetEntry, lc)->resno);
	return output;
}

static List *
group_key(const Query *query)
{
	List	   *output = NIL;
	ListCell   *lc;

	foreach(lc, query->groupClause)
	{
		Node	   *expr = get_sortgroupclause_expr(lfirst(lc), query->targetList);
		ListCell   *lt;

		foreach(lt, query->targetList)
		{
			TargetEntry *tle = lfirst_node(TargetEntry, lt);

			if (!tle->resjunk && equal(tle->expr, expr))
				break;
		}
		if (lt == NULL)
			return NIL;
		output = lappend_int(output, lfirst_node(TargetEntry, lt)->resno);
	}
	return output;
}

/* One row for each value of these; those that level.c made are columns. */
static List *
distinct_on_key(const Query *query)
{
	List	   *output = NIL;
	ListCell   *lc;

	foreach(lc, query->distinctClause)
	{
		TargetEntry *tle = get_sortgroupclause_tle(lfirst(lc), query->targetList);

		if (tle->resjunk)
			return NIL;
		output = lappend_int(output, tle->resno);
	}
	return output;
}

static List *
level_key(const Query *query)
{
	if (query->setOperations != NULL)
		return castNode(SetOperationStmt, query->setOperations)->all ? NIL :
			all_output(query);
	if (query->groupingSets != NIL || query->hasTargetSRFs)
		return NIL;
	if (query->groupClause != NIL)
	{
		List	   *key = group_key(query);

		if (key != NIL || query->distinctClause == NIL)
			return key;
	}
	if (query->hasDistinctOn)
		return distinct_on_key(query);
	if (query->distinctClause != NIL)
		return all_output(query);
	if (query->hasAggs || query->havingQual != NULL)
		return NIL;
	return join_key(query);
}

List *
pgt_query_output_key(const Query *expanded)
{
	const char *construct;
	const char *detail;
	Query	   *query;

	/* queries maintained in FULL mode only may be anything */
	if (has_recursion((Node *) expanded, NULL))
		return NIL;
	query = pgt_compile_try_normalise(expanded, &construct, &detail);
	return query == NULL ? NIL : level_key(query);
}
