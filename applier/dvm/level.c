/*
 * applier/dvm/level.c - a query level that does several things, as several
 * levels that do one thing each.
 *
 * SQL evaluates FROM, WHERE, GROUP BY and HAVING, then window functions, then
 * DISTINCT or DISTINCT ON, then ORDER BY with LIMIT.  A level with window
 * functions, DISTINCT ON or a limit is taken apart along these lines, each
 * part a subquery of the next:
 *
 *     base       the rest of the level; computes what the others need
 *     window     columns and window functions over columns; one such level for
 *                each set of PARTITION BY columns among the window clauses
 *     DISTINCT ON, LIMIT
 *                columns only
 *     output     expressions over all that, where it is not columns as they are
 *
 * A window, DISTINCT ON or limit level has one subquery in FROM, no conditions,
 * and only columns of it and (window) window functions over them in its target
 * list: partition.c and topk.c make operators of it.  What is sorted by comes
 * after the visible columns.  ORDER BY without a limit orders nothing that is
 * stored and is dropped.
 *
 * Windows of one level with the same PARTITION BY stay together, so those that
 * SQL says see the same order of peers still do.
 *
 * A level with a window function in the test of a subquery is left as it is;
 * check.c names it.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/optimizer.h"
#include "optimizer/tlist.h"
#include "parser/parse_clause.h"
#include "parser/parse_oper.h"
#include "rewrite/rewriteManip.h"
#include "utils/lsyscache.h"

#include "applier/dvm/level.h"
#include "applier/dvm/qtree.h"
#include "decoder/compat.h"

/* Vars of these numbers stand for what a level below will compute: for
 * column i of "columns", for function i of "funcs". */
#define COLUMN_VARNO 1
#define FUNC_VARNO 2

/* A level with window functions, being taken apart. */
typedef struct WindowLevel
{
	Query	   *query;
	List	   *columns;		/* of Node*: the base level's */
	List	   *funcs;			/* of WindowFunc*, over the columns */
} WindowLevel;

/* Window clauses with the same PARTITION BY. */
typedef struct WindowGroup
{
	List	   *partition;		/* of int: columns, ascending */
	List	   *clauses;		/* of WindowClause* of the query */
	Bitmapset  *uses;			/* what it reads: see column_id, func_id */
} WindowGroup;

/* One number for columns and functions. */
#define column_id(i) (i)
#define func_id(w, i) (list_length((w)->columns) + (i))

/* ---- helpers ---- */

static bool
is_given(const Node *limit)
{
	return limit != NULL &&
		!(IsA(limit, Const) && ((const Const *) limit)->constisnull);
}

bool
pgt_level_is_limited(const Query *query)
{
	return is_given(query->limitCount) || is_given(query->limitOffset);
}

/* Fold to a number; missing is what NULL means. */
static bool
fold_bound(const Node *bound, int64 missing, int64 *value)
{
	Node	   *folded;

	*value = missing;
	if (bound == NULL)
		return true;
	folded = eval_const_expressions(NULL, copyObject(unconstify(Node *, bound)));
	if (!IsA(folded, Const))
		return false;
	if (!((Const *) folded)->constisnull)
		*value = DatumGetInt64(((Const *) folded)->constvalue);
	return true;
}

bool
pgt_level_bounds(const Query *query, int64 *limit, int64 *offset)
{
	return fold_bound(query->limitCount, -1, limit) &&
		fold_bound(query->limitOffset, 0, offset);
}

bool
pgt_level_is_ordered(const Query *query)
{
	return query->hasWindowFuncs || query->hasDistinctOn ||
		pgt_level_is_limited(query);
}

/* A level above "below", without columns yet. */
static Query *
level_over(Query *below)
{
	Query	   *query = pgt_qtree_select();
	List	   *names = NIL;
	ListCell   *lc;

	IncrementVarSublevelsUp((Node *) below, 1, 1);
	foreach(lc, below->targetList)
		if (!lfirst_node(TargetEntry, lc)->resjunk)
			names = lappend(names,
							makeString(pstrdup(lfirst_node(TargetEntry, lc)->resname ?
											   lfirst_node(TargetEntry, lc)->resname :
											   "?column?")));
	pgt_qtree_add_from(query, pgt_qtree_subquery(below, "below", names, false));
	query->hasSubLinks = false;
	return query;
}

static Var *
var_of(int varno, int attno, const Node *of)
{
	return makeVar(varno, attno, exprType(of), exprTypmod(of),
				   exprCollation(of), 0);
}

/* The entry's value where the level below computes it as column attno. */
static TargetEntry *
column_entry(const TargetEntry *tle, int attno)
{
	TargetEntry *entry = flatCopyTargetEntry(unconstify(TargetEntry *, tle));

	entry->expr = (Expr *) var_of(1, attno, (Node *) tle->expr);
	entry->resorigtbl = InvalidOid;
	entry->resorigcol = 0;
	return entry;
}

static List *
visible_first(List *targets)
{
	List	   *visible = NIL;
	List	   *junk = NIL;
	int			resno = 0;
	ListCell   *lc;

	foreach(lc, targets)
	{
		TargetEntry *tle = lfirst_node(TargetEntry, lc);

		if (tle->resjunk)
			junk = lappend(junk, tle);
		else
			visible = lappend(visible, tle);
	}
	visible = list_concat(visible, junk);
	foreach(lc, visible)
		lfirst_node(TargetEntry, lc)->resno = ++resno;
	return visible;
}

/* The level is to sort and limit as query does. */
static void
order_level(Query *level, const Query *query)
{
	level->sortClause = query->sortClause;
	level->limitCount = query->limitCount;
	level->limitOffset = query->limitOffset;
	level->limitOption = query->limitOption;
}

static void
unorder_level(Query *level)
{
	level->sortClause = NIL;
	level->limitCount = NULL;
	level->limitOffset = NULL;
	level->limitOption = LIMIT_OPTION_COUNT;
}

/* ---- window functions: what the base level computes ---- */

/* Something that only makes sense inside of an expression around it. */
static bool
has_stray_operand(Node *node, void *context)
{
	if (node == NULL)
		return false;
	if (IsA(node, CaseTestExpr))
		return true;
	if ((IsA(node, CaseExpr) && ((CaseExpr *) node)->arg != NULL) ||
		IsA(node, ArrayCoerceExpr))
		return false;
	return expression_tree_walker(node, has_stray_operand, context);
}

static bool
reads_rows(Node *node, void *context)
{
	if (node == NULL)
		return false;
	if (IsA(node, Var) || IsA(node, Aggref) || IsA(node, GroupingFunc) ||
		IsA(node, SubLink) || IsA(node, Param))
		return true;
	return expression_tree_walker(node, reads_rows, context);
}

static bool
tested_windows_walker(Node *node, void *context)
{
	if (node == NULL)
		return false;
	if (IsA(node, SubLink))
		return contain_windowfuncs(((SubLink *) node)->testexpr);
	return expression_tree_walker(node, tested_windows_walker, context);
}

bool
pgt_level_has_tested_windows(Node *node)
{
	return tested_windows_walker(node, NULL);
}

/* Position in the list, from 1; appended if it is new. */
static int
position_in(List **list, void *node)
{
	int			i = 0;
	ListCell   *lc;

	foreach(lc, *list)
	{
		i++;
		if (equal(lfirst(lc), node))
			return i;
	}
	*list = lappend(*list, node);
	return i + 1;
}

/*
 * Replace what reads rows by columns, and window functions by theirs.  Largest
 * parts first; constants stay where they are, and so do set-returning functions,
 * which multiply rows after the windows have seen them.
 */
static Node *
take_apart_mutator(Node *node, WindowLevel *w)
{
	if (node == NULL)
		return NULL;
	if (IsA(node, WindowFunc))
	{
		WindowFunc *func = (WindowFunc *) copyObject(node);

		func->args = (List *) take_apart_mutator((Node *) func->args, w);
		func->aggfilter = (Expr *) take_apart_mutator((Node *) func->aggfilter, w);
		func->location = -1;
		return (Node *) var_of(FUNC_VARNO, position_in(&w->funcs, func), node);
	}
	if (!IsA(node, List) && !IsA(node, CaseWhen) && !contain_windowfuncs(node) &&
		!expression_returns_set(node) && !has_stray_operand(node, NULL))
	{
		if (!reads_rows(node, NULL))
			return (Node *) copyObject(node);
		return (Node *) var_of(COLUMN_VARNO, position_in(&w->columns, node), node);
	}
	return expression_tree_mutator(node, take_apart_mutator, w);
}

/* Column that an ORDER BY or PARTITION BY item means. */
static int
clause_column(WindowLevel *w, const SortGroupClause *clause)
{
	return position_in(&w->columns,
					   get_sortgroupclause_expr(unconstify(SortGroupClause *, clause),
												w->query->targetList));
}

static List *
partition_columns(WindowLevel *w, const WindowClause *clause)
{
	List	   *columns = NIL;
	ListCell   *lc;

	foreach(lc, clause->partitionClause)
		columns = list_append_unique_int(columns,
										 clause_column(w, lfirst(lc)));
	list_sort(columns, list_int_cmp);
	return columns;
}

static bool
collect_ids_walker(Node *node, WindowGroup *group)
{
	if (node == NULL)
		return false;
	if (IsA(node, Var) && ((Var *) node)->varno == COLUMN_VARNO)
		group->uses = bms_add_member(group->uses,
									 column_id(((Var *) node)->varattno));
	return expression_tree_walker(node, collect_ids_walker, group);
}

/* Functions of one clause. */
static List *
functions_of(const WindowLevel *w, const WindowClause *clause)
{
	List	   *funcs = NIL;
	int			i = 0;
	ListCell   *lc;

	foreach(lc, w->funcs)
	{
		i++;
		if (lfirst_node(WindowFunc, lc)->winref == clause->winref)
			funcs = lappend_int(funcs, i);
	}
	return funcs;
}

static void
note_uses(WindowLevel *w, WindowGroup *group, const WindowClause *clause)
{
	ListCell   *lc;

	foreach(lc, functions_of(w, clause))
		collect_ids_walker(list_nth(w->funcs, lfirst_int(lc) - 1), group);
	foreach(lc, clause->partitionClause)
		group->uses = bms_add_member(group->uses,
									 column_id(clause_column(w, lfirst(lc))));
	foreach(lc, clause->orderClause)
		group->uses = bms_add_member(group->uses,
									 column_id(clause_column(w, lfirst(lc))));
}

/* Used clauses by their PARTITION BY; that without one, which reads
 * everything at each change, comes last. */
static List *
group_windows(WindowLevel *w)
{
	List	   *groups = NIL;
	WindowGroup *whole = NULL;
	ListCell   *lc;

	foreach(lc, w->query->windowClause)
	{
		WindowClause *clause = lfirst_node(WindowClause, lc);
		List	   *partition = partition_columns(w, clause);
		WindowGroup *group = NULL;
		ListCell   *lg;

		if (functions_of(w, clause) == NIL)
			continue;
		foreach(lg, groups)
			if (equal(((WindowGroup *) lfirst(lg))->partition, partition))
				group = lfirst(lg);
		if (group == NULL)
		{
			group = palloc0(sizeof(WindowGroup));
			group->partition = partition;
			groups = lappend(groups, group);
		}
		group->clauses = lappend(group->clauses, clause);
		note_uses(w, group, clause);
		if (partition == NIL)
			whole = group;
	}
	if (whole != NULL)
		groups = lappend(list_delete_ptr(groups, whole), whole);
	return groups;
}

/* ---- window levels ---- */

/* Where columns and functions stand in the output of a level: 0 = nowhere. */
typedef struct Placement
{
	int			ncolumns;
	int		   *attnos;			/* by id */
} Placement;

static Node *
place_mutator(Node *node, Placement *p)
{
	if (node == NULL)
		return NULL;
	if (IsA(node, Var) && ((Var *) node)->varlevelsup == 0)
	{
		Var		   *var = (Var *) copyObject(node);
		int			id = var->varno == COLUMN_VARNO ?
			column_id(var->varattno) : p->ncolumns + var->varattno;

		Assert(p->attnos[id] > 0);
		var->varno = 1;
		var->varattno = p->attnos[id];
		var->varnosyn = 0;
		var->varattnosyn = 0;
		return (Node *) var;
	}
	return expression_tree_mutator(node, place_mutator, p);
}

static Node *
node_of_id(const WindowLevel *w, int id)
{
	int			ncolumns = list_length(w->columns);

	return id <= ncolumns ? list_nth(w->columns, id - 1) :
		list_nth(w->funcs, id - ncolumns - 1);
}

/* One window level being made. */
typedef struct WindowOutput
{
	WindowLevel *w;
	Query	   *level;
	Placement  *below;
	Placement  *here;
} WindowOutput;

/* The target entry that is this column or function; made if it is new. */
static TargetEntry *
output_entry(WindowOutput *o, int id, bool junk)
{
	Node	   *expr;
	TargetEntry *tle;

	if (o->here->attnos[id] > 0)
		return list_nth(o->level->targetList, o->here->attnos[id] - 1);
	if (o->below->attnos[id] > 0)
		expr = (Node *) var_of(1, o->below->attnos[id], node_of_id(o->w, id));
	else
		expr = place_mutator(node_of_id(o->w, id), o->below);
	tle = makeTargetEntry((Expr *) expr, list_length(o->level->targetList) + 1,
						  psprintf("c%d", id), junk);
	o->level->targetList = lappend(o->level->targetList, tle);
	o->here->attnos[id] = tle->resno;
	return tle;
}

/* Clause items in terms of the level made. */
static List *
output_clauses(WindowOutput *o, List *clauses)
{
	List	   *result = NIL;
	ListCell   *lc;

	foreach(lc, clauses)
	{
		SortGroupClause *clause = copyObject(lfirst_node(SortGroupClause, lc));
		TargetEntry *tle = output_entry(o, column_id(clause_column(o->w, clause)),
										true);

		if (tle->ressortgroupref == 0)
			tle->ressortgroupref = tle->resno;
		clause->tleSortGroupRef = tle->ressortgroupref;
		result = lappend(result, clause);
	}
	return result;
}

static void
output_window(WindowOutput *o, const WindowClause *clause)
{
	WindowClause *wc = copyObject(unconstify(WindowClause *, clause));
	ListCell   *lc;

	wc->name = NULL;
	wc->refname = NULL;
	wc->winref = list_length(o->level->windowClause) + 1;
	wc->partitionClause = output_clauses(o, clause->partitionClause);
	wc->orderClause = output_clauses(o, clause->orderClause);
	o->level->windowClause = lappend(o->level->windowClause, wc);
	foreach(lc, functions_of(o->w, clause))
	{
		TargetEntry *tle = output_entry(o, func_id(o->w, lfirst_int(lc)), false);

		castNode(WindowFunc, tle->expr)->winref = wc->winref;
	}
}

/* The level of one group over "below"; wanted: what is read above it. */
static Query *
window_level(WindowLevel *w, const WindowGroup *group, Query *below,
			 Placement *placement, const Bitmapset *wanted)
{
	int			nids = list_length(w->columns) + list_length(w->funcs) + 1;
	Placement	here = {placement->ncolumns, palloc0(sizeof(int) * nids)};
	WindowOutput o = {w, level_over(below), placement, &here};
	int			id = -1;
	ListCell   *lc;

	o.level->hasWindowFuncs = true;
	while ((id = bms_next_member(wanted, id)) >= 0)
		if (placement->attnos[id] > 0)
			output_entry(&o, id, false);
	/* the state is looked up by these */
	foreach(lc, group->partition)
		output_entry(&o, column_id(lfirst_int(lc)), false);
	foreach(lc, group->clauses)
		output_window(&o, lfirst(lc));
	o.level->targetList = visible_first(o.level->targetList);
	memset(here.attnos, 0, sizeof(int) * nids);
	foreach(lc, o.level->targetList)
	{
		TargetEntry *tle = lfirst_node(TargetEntry, lc);

		if (!tle->resjunk)
			here.attnos[atoi(tle->resname + 1)] = tle->resno;
	}
	memcpy(placement->attnos, here.attnos, sizeof(int) * nids);
	return o.level;
}

/* What the output and the groups after "group" read. */
static Bitmapset *
wanted_after(const WindowLevel *w, List *groups, int group, List *output)
{
	Bitmapset  *wanted = NULL;
	ListCell   *lc;

	for (int i = group + 1; i < list_length(groups); i++)
		wanted = bms_add_members(wanted,
								 ((WindowGroup *) list_nth(groups, i))->uses);
	foreach(lc, pull_vars_of_level((Node *) output, 0))
	{
		Var		   *var = lfirst_node(Var, lc);

		wanted = bms_add_member(wanted, var->varno == COLUMN_VARNO ?
								column_id(var->varattno) :
								func_id(w, var->varattno));
	}
	return wanted;
}

/* The level without what comes after HAVING, computing the columns. */
static Query *
window_base(WindowLevel *w)
{
	Query	   *base = makeNode(Query);
	int			i = 0;
	ListCell   *lc;

	*base = *w->query;
	base->targetList = NIL;
	foreach(lc, w->columns)
	{
		i++;
		base->targetList = lappend(base->targetList,
								   makeTargetEntry(copyObject(lfirst(lc)), i,
												   psprintf("c%d", i), false));
	}
	base->windowClause = NIL;
	base->hasWindowFuncs = false;
	base->hasTargetSRFs = false;	/* they come after the windows */
	base->distinctClause = NIL;
	base->hasDistinctOn = false;
	unorder_level(base);
	return base;
}

/* GROUP BY items name target entries: give the base level's columns their
 * numbers, or entries of their own where they are no columns. */
static void
keep_group_references(Query *base, const Query *query)
{
	ListCell   *lc;

	foreach(lc, query->groupClause)
	{
		SortGroupClause *clause = lfirst_node(SortGroupClause, lc);
		TargetEntry *key = get_sortgroupclause_tle(clause, query->targetList);
		TargetEntry *tle = NULL;
		ListCell   *lt;

		foreach(lt, base->targetList)
			if (lfirst_node(TargetEntry, lt)->ressortgroupref == 0 &&
				equal(lfirst_node(TargetEntry, lt)->expr, key->expr))
			{
				tle = lfirst_node(TargetEntry, lt);
				break;
			}
		if (tle == NULL)
		{
			tle = makeTargetEntry(copyObject(key->expr),
								  list_length(base->targetList) + 1, NULL, true);
			base->targetList = lappend(base->targetList, tle);
		}
		tle->ressortgroupref = clause->tleSortGroupRef;
	}
}

/* Does what is left of the level above its windows depend on ORDER BY? */
static bool
needs_order(const Query *query)
{
	return query->hasDistinctOn || pgt_level_is_limited(query);
}

/* ... and read this entry? */
static bool
is_output(const Query *query, TargetEntry *tle)
{
	if (!tle->resjunk)
		return true;
	if (tle->ressortgroupref == 0 || !needs_order(query))
		return false;
	return get_sortgroupref_clause_noerr(tle->ressortgroupref,
										 query->distinctClause) != NULL ||
		get_sortgroupref_clause_noerr(tle->ressortgroupref,
									  query->sortClause) != NULL;
}

static void
split_windows(Query *query)
{
	WindowLevel w = {query};
	List	   *output = NIL;
	List	   *groups;
	Query	   *below;
	Query	   *above;
	Placement	placement;
	int			nids;
	ListCell   *lc;

	foreach(lc, query->targetList)
	{
		TargetEntry *tle = lfirst_node(TargetEntry, lc);

		if (!is_output(query, tle))
			continue;
		tle = flatCopyTargetEntry(tle);
		tle->expr = (Expr *) take_apart_mutator((Node *) tle->expr, &w);
		output = lappend(output, tle);
	}
	foreach(lc, query->windowClause)
	{
		/* all columns must be known before functions are numbered after them */
		WindowGroup unused = {NIL};

		note_uses(&w, &unused, lfirst(lc));
	}
	groups = group_windows(&w);
	nids = list_length(w.columns) + list_length(w.funcs) + 1;
	placement.ncolumns = list_length(w.columns);
	placement.attnos = palloc0(sizeof(int) * nids);
	for (int i = 1; i <= placement.ncolumns; i++)
		placement.attnos[column_id(i)] = i;
	below = window_base(&w);
	keep_group_references(below, query);
	for (int i = 0; i < list_length(groups); i++)
		below = window_level(&w, list_nth(groups, i), below, &placement,
							 wanted_after(&w, groups, i, output));
	above = level_over(below);
	above->targetList = visible_first((List *) place_mutator((Node *) output,
															  &placement));
	above->hasTargetSRFs = query->hasTargetSRFs;
	above->distinctClause = query->distinctClause;
	above->hasDistinctOn = query->hasDistinctOn;
	if (needs_order(query))
		order_level(above, query);
	*query = *above;
}

/* ---- DISTINCT ON and LIMIT ---- */

/* All entries become columns that a level above can read. */
static void
show_all(List *targets)
{
	ListCell   *lc;

	foreach(lc, targets)
	{
		TargetEntry *tle = lfirst_node(TargetEntry, lc);

		tle->resjunk = false;
		if (tle->resname == NULL)
			tle->resname = psprintf("c%d", tle->resno);
	}
}

/* A level of the columns of "below", all of which become visible there; here
 * those that were not stay hidden. */
static Query *
columns_over(Query *below)
{
	List	   *columns = NIL;
	Query	   *level;
	ListCell   *lc;

	foreach(lc, below->targetList)
	{
		TargetEntry *tle = lfirst_node(TargetEntry, lc);

		columns = lappend(columns, column_entry(tle, tle->resno));
	}
	show_all(below->targetList);
	level = level_over(below);
	level->targetList = columns;
	return level;
}

/* The level without DISTINCT ON and LIMIT; its entries are those that the
 * levels for these read, hidden ones last. */
static Query *
unordered_base(const Query *query)
{
	Query	   *base = makeNode(Query);
	Query	   *level;
	List	   *hidden = NIL;
	ListCell   *lc;

	*base = *query;
	base->targetList = NIL;
	foreach(lc, query->targetList)
	{
		TargetEntry *tle = flatCopyTargetEntry(lfirst(lc));

		if (is_output(query, tle))
			base->targetList = lappend(base->targetList, tle);
		else
			hidden = lappend(hidden, tle);
	}
	base->targetList = visible_first(base->targetList);
	unorder_level(base);
	if (base->hasDistinctOn)
		base->distinctClause = NIL;
	base->hasDistinctOn = false;
	if (hidden == NIL)
		return columns_over(base);
	/* what GROUP BY alone names stays behind, after the rest */
	level = columns_over(base);
	base->targetList = list_concat(base->targetList, hidden);
	base->targetList = visible_first(base->targetList);
	return level;
}

/* Drop the columns that were only needed to get here. */
static void
output_over(Query *query, Query *level)
{
	int			nvisible = 0;
	Query	   *above;
	ListCell   *lc;

	foreach(lc, level->targetList)
		if (!lfirst_node(TargetEntry, lc)->resjunk)
			nvisible++;
	if (nvisible == list_length(level->targetList))
	{
		*query = *level;
		return;
	}
	above = columns_over(level);
	above->targetList = list_truncate(above->targetList, nvisible);
	foreach(lc, above->targetList)
		lfirst_node(TargetEntry, lc)->ressortgroupref = 0;
	*query = *above;
}

static void
split_order(Query *query)
{
	Query	   *level = unordered_base(query);

	if (query->hasDistinctOn)
	{
		level->distinctClause = query->distinctClause;
		level->hasDistinctOn = true;
		level->sortClause = query->sortClause;
	}
	if (pgt_level_is_limited(query))
	{
		if (query->hasDistinctOn)
			level = columns_over(level);
		order_level(level, query);
	}
	output_over(query, level);
}

/* ---- rows in PARTITION BY and ORDER BY ---- */

/* The clause's row is compared column by column instead; false if it cannot. */
static bool
expand_row(Query *query, const SortGroupClause *clause, RowExpr *row,
		   List **clauses)
{
	List	   *items = NIL;
	bool		reverse = false;
	ListCell   *lc;

	if (OidIsValid(clause->sortop))
		get_equality_op_for_ordering_op(clause->sortop, &reverse);
	foreach(lc, row->args)
	{
		SortGroupClause *item = makeNode(SortGroupClause);
		TargetEntry *tle;
		Oid			less;
		Oid			greater;
		bool		hashable;

		get_sort_group_operators(exprType(lfirst(lc)), false, false, false,
								 &less, &item->eqop, &greater, &hashable);
		item->sortop = reverse ? greater : less;
		item->nulls_first = reverse;
		pgt_set_reverse_sort(item, reverse);
		item->hashable = hashable;
		if (!OidIsValid(item->eqop) || !OidIsValid(item->sortop))
			return false;
		tle = makeTargetEntry(copyObject(lfirst(lc)),
							  list_length(query->targetList) + 1, NULL, true);
		query->targetList = lappend(query->targetList, tle);
		item->tleSortGroupRef = assignSortGroupRef(tle, query->targetList);
		items = lappend(items, item);
	}
	*clauses = list_concat(*clauses, items);
	return true;
}

/* A row without a named type can be compared, but not stored. */
static List *
expand_rows(Query *query, List *clauses)
{
	List	   *expanded = NIL;
	ListCell   *lc;

	foreach(lc, clauses)
	{
		SortGroupClause *clause = lfirst_node(SortGroupClause, lc);
		Node	   *expr = get_sortgroupclause_expr(clause, query->targetList);

		if (!IsA(expr, RowExpr) || ((RowExpr *) expr)->row_typeid != RECORDOID ||
			!expand_row(query, clause, (RowExpr *) expr, &expanded))
			expanded = lappend(expanded, clause);
	}
	return expanded;
}

static void
expand_all_rows(Query *query)
{
	ListCell   *lc;

	foreach(lc, query->windowClause)
	{
		WindowClause *wc = lfirst_node(WindowClause, lc);

		wc->partitionClause = expand_rows(query, wc->partitionClause);
		wc->orderClause = expand_rows(query, wc->orderClause);
	}
	if (query->hasDistinctOn)
		query->distinctClause = expand_rows(query, query->distinctClause);
	if (needs_order(query))
		query->sortClause = expand_rows(query, query->sortClause);
}

void
pgt_level_split(Query *query)
{
	if (!pgt_level_is_ordered(query))
		return;
	if (pgt_level_has_tested_windows((Node *) query->targetList))
		return;
	expand_all_rows(query);
	if (query->hasWindowFuncs)
		split_windows(query);
	if (needs_order(query))
		split_order(query);
}
