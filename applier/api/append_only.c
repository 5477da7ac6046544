/*
 * applier/api/append_only.c - which stream tables may be append_only: those
 * whose rows stay once they are there, as long as rows are only inserted into
 * their sources.  Filters, expressions, inner joins and UNION ALL are so; a
 * group, a window, a limit or an outer join takes rows back that it showed.
 */
#include "postgres.h"

#include "nodes/nodeFuncs.h"

#include "applier/api/append_only.h"

static const char *
taking_back(const Query *q)
{
	if (q->hasAggs || q->groupClause != NIL || q->groupingSets != NIL || q->havingQual != NULL)
		return "GROUP BY or an aggregate";
	if (q->distinctClause != NIL)
		return "DISTINCT";
	if (q->hasWindowFuncs)
		return "a window function";
	if (q->limitCount != NULL || q->limitOffset != NULL)
		return "LIMIT";
	if (q->hasSubLinks)
		return "a subquery in an expression";
	if (q->hasRecursive)
		return "WITH RECURSIVE";
	return NULL;
}

static bool
find_taking_back(Node *node, const char **what)
{
	if (node == NULL || *what != NULL)
		return *what != NULL;
	if (IsA(node, Query))
	{
		*what = taking_back((Query *) node);
		return *what != NULL ||
			query_tree_walker((Query *) node, find_taking_back, (void *) what, 0);
	}
	if (IsA(node, JoinExpr) && ((JoinExpr *) node)->jointype != JOIN_INNER)
		*what = "an outer join";
	if (IsA(node, SetOperationStmt) &&
		(((SetOperationStmt *) node)->op != SETOP_UNION || !((SetOperationStmt *) node)->all))
		*what = "a set operation other than UNION ALL";
	return *what != NULL || expression_tree_walker(node, find_taking_back, (void *) what);
}

void
pgt_append_only_check(const Query *expanded, const char *effective_mode)
{
	const char *what = NULL;

	if (strcmp(effective_mode, "DIFFERENTIAL") != 0)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("append_only needs refresh mode DIFFERENTIAL"),
				 errdetail("The effective mode is %s.", effective_mode)));
	(void) find_taking_back((Node *) unconstify(Query *, expanded), &what);
	if (what != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("append_only is not possible with %s", what),
				 errdetail("It takes rows back although rows are only inserted into the sources.")));
}
