/*
 * applier/dvm/recursion.c - WITH RECURSIVE -> operators.
 *
 *     non-recursive term ----------------------------> RECURSE
 *     WORK -> BLOCK (-> BLOCK ...): recursive term --/
 *
 * where every operator from WORK on carries the level as a last column.  That
 * is how a recursive term is maintained that is linear in the CTE: filters,
 * expressions and inner joins with anything.  Otherwise (outer joins, windows,
 * DISTINCT or set operations over the CTE's own rows), and where rows cannot
 * be stored (SEARCH and CYCLE add columns of type record) or equal rows may
 * differ, the CTE is a SNAPSHOT: run anew at each change, then compared.
 *
 * Which of both it is is found out by trying; a failed try leaves nothing
 * behind.  Numbers of operators are places in the compiler's list, so they
 * stay dense.
 */
#include "postgres.h"

#include "catalog/pg_class.h"
#include "catalog/pg_type.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/optimizer.h"
#include "parser/parse_coerce.h"
#include "parser/parsetree.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"

#include "applier/dvm/keys.h"
#include "applier/dvm/level.h"
#include "applier/dvm/qtree.h"
#include "applier/dvm/recursion.h"
#include "decoder/compat.h"

/* A recursion whose recursive term is being compiled. */
typedef struct ActiveRecursion
{
	const char *name;
	PgtOp	   *work;
} ActiveRecursion;

/* ---- the compiler's form ---- */

CommonTableExpr *
pgt_recursion_of(const Query *query)
{
	CommonTableExpr *cte;

	if (!query->hasRecursive || list_length(query->cteList) != 1)
		return NULL;
	cte = linitial_node(CommonTableExpr, query->cteList);
	return cte->ctequery == NULL ? cte : NULL;
}

/* References from "depth" queries below the CTE's own. */
static bool
mark_walker(Node *node, int *depth)
{
	if (node == NULL)
		return false;
	if (IsA(node, RangeTblEntry))
	{
		RangeTblEntry *rte = (RangeTblEntry *) node;

		if (rte->rtekind == RTE_CTE && rte->self_reference &&
			rte->ctelevelsup == *depth + 1)
			rte->ctelevelsup = 0;
		return false;
	}
	if (IsA(node, Query))
	{
		(*depth)++;
		query_tree_walker((Query *) node, mark_walker, depth,
						  QTW_EXAMINE_RTES_BEFORE);
		(*depth)--;
		return false;
	}
	return expression_tree_walker(node, mark_walker, depth);
}

void
pgt_recursion_mark(Query *query)
{
	int			depth = 0;

	query_tree_walker(query, mark_walker, &depth, QTW_EXAMINE_RTES_BEFORE);
}

void
pgt_recursion_finish(Query *query, const CommonTableExpr *cte)
{
	CommonTableExpr *shell = makeNode(CommonTableExpr);

	*shell = *cte;
	shell->ctequery = NULL;
	query->cteList = list_make1(shell);
	query->hasRecursive = true;
}

/* ---- a recursive CTE as a query of its own ---- */

typedef struct Numbering
{
	int			n;				/* recursive CTEs met */
	int			wanted;			/* 0: number them all */
	List	   *levels;			/* of Query*, innermost first */
	Query	   *found;			/* the one wanted, by itself */
	const char *misfit;
} Numbering;

/* Does the CTE refer to columns of a query around it? */
static bool
is_correlated(const CommonTableExpr *cte, List *levels)
{
	for (int up = 1; up <= list_length(levels); up++)
		if (contain_vars_of_level(cte->ctequery, up))
			return true;
	return false;
}

static TupleDesc
target_desc(const Query *query)
{
	List	   *exprs;
	List	   *names;

	pgt_compile_output(query, &exprs, &names);
	return pgt_exprs_desc(exprs, names);
}

/* WITH as owner has it, SELECT all columns FROM the CTE. */
static Query *
select_cte(const Query *owner, const CommonTableExpr *cte)
{
	Query	   *query = pgt_qtree_select();
	RangeTblEntry *rte = makeNode(RangeTblEntry);
	int			i = 0;
	ListCell   *lc;

	query->cteList = copyObject(owner->cteList);
	query->hasRecursive = true;
	rte->rtekind = RTE_CTE;
	rte->ctename = pstrdup(cte->ctename);
	rte->inFromCl = true;
	rte->coltypes = copyObject(cte->ctecoltypes);
	rte->coltypmods = copyObject(cte->ctecoltypmods);
	rte->colcollations = copyObject(cte->ctecolcollations);
	rte->eref = makeAlias(cte->ctename, copyObject(cte->ctecolnames));
	pgt_qtree_add_from(query, rte);
	foreach(lc, cte->ctecolnames)
	{
		Oid			type = list_nth_oid(cte->ctecoltypes, i);

		/* rows of no declared type can be neither stored nor read above */
		pgt_qtree_add_target(query, get_typtype(type) == TYPTYPE_PSEUDO ?
							 (Node *) makeNullConst(INT4OID, -1, InvalidOid) :
							 (Node *) makeVar(1, i + 1, type,
											  list_nth_int(cte->ctecoltypmods, i),
											  list_nth_oid(cte->ctecolcollations, i), 0),
							 strVal(lfirst(lc)));
		i++;
	}
	return query;
}

/* WITH as owner has it, SELECT all columns FROM a query one level below. */
static Query *
wrap(const Query *owner, Query *below)
{
	Query	   *query = pgt_qtree_select();
	TupleDesc	desc = target_desc(below);

	query->cteList = copyObject(owner->cteList);
	query->hasRecursive = owner->hasRecursive;
	pgt_qtree_add_from(query, pgt_qtree_subquery(below, "below",
												 pgt_qtree_names(desc), false));
	for (int i = 1; i <= desc->natts; i++)
		pgt_qtree_add_target(query, (Node *) pgt_qtree_var(1, desc, i, i),
							 NameStr(TupleDescAttr(desc, i - 1)->attname));
	return query;
}

/* The CTE within all the WITH that it may refer to, each as far away as it is. */
static Query *
alone(List *levels, const CommonTableExpr *cte)
{
	Query	   *query = select_cte(linitial(levels), cte);
	ListCell   *lc;

	for_each_from(lc, levels, 1)
		query = wrap(lfirst(lc), query);
	return query;
}

static void
number_ctes(Query *query, Numbering *n)
{
	ListCell   *lc;

	foreach(lc, query->cteList)
	{
		CommonTableExpr *cte = lfirst_node(CommonTableExpr, lc);

		if (!cte->cterecursive)
			continue;
		n->n++;
		if (n->wanted == 0)
			cte->location = n->n;
		if (n->wanted != 0 && n->wanted != n->n)
			continue;
		n->found = alone(n->levels, cte);
		if (n->misfit == NULL && is_correlated(cte, n->levels))
			n->misfit = cte->ctename;
	}
}

static bool
number_walker(Node *node, Numbering *n)
{
	if (node == NULL)
		return false;
	if (!IsA(node, Query))
		return expression_tree_walker(node, number_walker, n);
	n->levels = lcons(node, n->levels);
	number_ctes((Query *) node, n);
	query_tree_walker((Query *) node, number_walker, n, 0);
	n->levels = list_delete_first(n->levels);
	return false;
}

void
pgt_recursion_number(Query *query)
{
	Numbering	n = {0};

	number_walker((Node *) query, &n);
}

const char *
pgt_recursion_misfit(const Query *expanded)
{
	Numbering	n = {0};

	number_walker((Node *) copyObject(unconstify(Query *, expanded)), &n);
	return n.misfit;
}

/* The CTE as the query has it, planner's marks and all. */
static Query *
query_alone(PgtCompiler *c, const CommonTableExpr *cte)
{
	Numbering	n = {0};

	n.wanted = cte->location;
	number_walker((Node *) c->expanded, &n);
	if (n.found == NULL)
		elog(ERROR, "could not find recursive CTE \"%s\"", cte->ctename);
	return n.found;
}

/* ---- SNAPSHOT ---- */

static bool
find_relations_walker(Node *node, List **found)
{
	ListCell   *lc;

	if (node == NULL)
		return false;
	if (!IsA(node, Query))
		return expression_tree_walker(node, find_relations_walker, found);
	foreach(lc, ((Query *) node)->rtable)
	{
		RangeTblEntry *rte = lfirst_node(RangeTblEntry, lc);
		ListCell   *known;

		if (rte->rtekind != RTE_RELATION || rte->relkind == RELKIND_VIEW)
			continue;
		foreach(known, *found)
			if (((RangeTblEntry *) lfirst(known))->relid == rte->relid)
				break;
		if (known == NULL)
			*found = lappend(*found, rte);
	}
	return query_tree_walker((Query *) node, find_relations_walker, found, 0);
}

static PgtOp *
compile_snapshot(PgtCompiler *c, Query *query, const char *reason)
{
	PgtSnapshotOp *snapshot = palloc0(sizeof(PgtSnapshotOp));
	List	   *relations = NIL;
	List	   *inputs = NIL;
	ListCell   *lc;

	snapshot->op.methods = &pgt_snapshot_methods;
	snapshot->query = query;
	snapshot->reason = reason;
	find_relations_walker((Node *) query, &relations);
	foreach(lc, relations)
		inputs = lappend(inputs, pgt_compile_rte(c, lfirst(lc)));
	pgt_compile_finish_op(c, &snapshot->op, PGT_OP_SNAPSHOT, inputs,
						  target_desc(query), "recursion, run anew");
	return &snapshot->op;
}

/* ---- RECURSE ---- */

static PgtOp *
make_work(PgtCompiler *c, PgtRecurseOp *recurse, const CommonTableExpr *cte)
{
	PgtWorkOp  *work = palloc0(sizeof(PgtWorkOp));
	TupleDesc	columns = recurse->op.outdesc;
	TupleDesc	desc = CreateTemplateTupleDesc(columns->natts + 1);

	for (int i = 1; i <= columns->natts; i++)
		TupleDescCopyEntry(desc, i, columns, i);
	TupleDescInitEntry(desc, columns->natts + 1, PGT_LEVEL_NAME, INT4OID, -1, 0);
	pgt_tupdesc_finish(desc);
	work->recurse = recurse;
	work->op.leveled = true;
	pgt_compile_finish_op(c, &work->op, PGT_OP_WORK, NIL, desc,
						  psprintf("rows of %s so far", quote_identifier(cte->ctename)));
	return &work->op;
}

static bool
refers_walker(Node *node, const char *name)
{
	ListCell   *lc;

	if (node == NULL)
		return false;
	if (!IsA(node, Query))
		return expression_tree_walker(node, refers_walker, (void *) name);
	foreach(lc, ((Query *) node)->rtable)
	{
		RangeTblEntry *rte = lfirst_node(RangeTblEntry, lc);

		if (rte->rtekind == RTE_CTE && rte->self_reference &&
			strcmp(rte->ctename, name) == 0)
			return true;
	}
	return query_tree_walker((Query *) node, refers_walker, (void *) name, 0);
}

/* Do only selects, joins and expressions lie between a query and the CTE? */
static bool
is_plain(Query *query, const char *name)
{
	ListCell   *lc;

	if (query->setOperations != NULL || query->distinctClause != NIL ||
		query->hasAggs || query->groupClause != NIL ||
		query->groupingSets != NIL || query->havingQual != NULL ||
		pgt_recursion_of(query) != NULL || pgt_level_is_ordered(query))
		return false;
	foreach(lc, query->rtable)
	{
		RangeTblEntry *rte = lfirst_node(RangeTblEntry, lc);

		if (rte->rtekind == RTE_SUBQUERY &&
			refers_walker((Node *) rte->subquery, name) &&
			!is_plain(rte->subquery, name))
			return false;
	}
	return true;
}

/* The recursive term with the types of the CTE; NULL: not linear. */
static PgtOp *
compile_step(PgtCompiler *c, const Query *query, const SetOperationStmt *setop)
{
	PgtOp	   *op;
	PgtOp	   *step;
	Query	   *term;
	List	   *exprs = NIL;
	bool		same = true;

	if (!IsA(setop->rarg, RangeTblRef))
		return NULL;
	term = rt_fetch(((RangeTblRef *) setop->rarg)->rtindex, query->rtable)->subquery;
	if (!is_plain(term, pgt_recursion_of(query)->ctename))
		return NULL;
	op = pgt_compile_level(c, term);
	if (!op->leveled)
		return NULL;
	for (int i = 0; i < op->outdesc->natts; i++)
	{
		Var		   *var = pgt_qtree_var(1, op->outdesc, i + 1, i + 1);
		Oid			type = i < list_length(setop->colTypes) ?
			list_nth_oid(setop->colTypes, i) : INT4OID;

		same = same && var->vartype == type;
		exprs = lappend(exprs, coerce_to_common_type(NULL, (Node *) var, type,
													 "UNION"));
	}
	if (same)
		return op;
	step = pgt_compile_project(c, op, NIL, exprs, NIL);
	step->leveled = true;
	return step;
}

/* Can rows be told apart by their bytes, and stored? */
static const char *
why_not_stored(const SetOperationStmt *setop, TupleDesc desc)
{
	ListCell   *lc;

	for (int i = 0; i < desc->natts; i++)
		if (get_typtype(TupleDescAttr(desc, i)->atttypid) == TYPTYPE_PSEUDO)
			return "SEARCH or CYCLE keeps rows of no declared type, which cannot be stored";
	if (setop->all)
		return NULL;
	foreach(lc, setop->groupClauses)
	{
		Form_pg_attribute att = TupleDescAttr(desc, foreach_current_index(lc));
		PgtKeySpec	key = {0};

		key.type = att->atttypid;
		key.typmod = att->atttypmod;
		key.collation = att->attcollation;
		key.eqop = lfirst_node(SortGroupClause, lc)->eqop;
		pgt_keys_prepare(&key, 1);
		if (!key.image_equal)
			return psprintf("values of type %s can be equal without being the same",
							format_type_be(att->atttypid));
	}
	return NULL;
}

static PgtRecurseOp *
compile_fixpoint(PgtCompiler *c, const Query *query,
				 const CommonTableExpr *cte)
{
	SetOperationStmt *setop = castNode(SetOperationStmt, query->setOperations);
	PgtRecurseOp *recurse = palloc0(sizeof(PgtRecurseOp));
	ActiveRecursion *active = palloc0(sizeof(ActiveRecursion));
	PgtOp	   *base;
	PgtOp	   *step;
	List	   *levels;

	recurse->op.methods = &pgt_recurse_methods;
	recurse->op.outdesc = pgt_setop_desc(query, setop);
	recurse->distinct = !setop->all;
	base = pgt_setop_branch(c, query, setop->larg, setop);
	recurse->work = make_work(c, recurse, cte);
	active->name = cte->ctename;
	active->work = recurse->work;
	c->recursions = lcons(active, c->recursions);
	levels = c->levels;
	c->levels = NIL;			/* "SELECT ... FROM r" is another in each recursion r */
	step = compile_step(c, query, setop);
	c->levels = levels;
	c->recursions = list_delete_first(c->recursions);
	if (step == NULL)
		return NULL;
	for (int id = recurse->work->id + 1; id <= step->id; id++)
	{
		PgtOp	   *op = list_nth(c->ops, id - 1);

		if (op->leveled)
			recurse->steps = lappend(recurse->steps, op);
	}
	pgt_compile_finish_op(c, &recurse->op, PGT_OP_RECURSE,
						  list_make2(base, step), recurse->op.outdesc,
						  recurse->distinct ? "recursion: distinct" : "recursion");
	return recurse;
}

PgtOp *
pgt_recursion_compile(PgtCompiler *c, Query *query)
{
	CommonTableExpr *cte = pgt_recursion_of(query);
	SetOperationStmt *setop = castNode(SetOperationStmt, query->setOperations);
	int			nops = list_length(c->ops);
	int			nlevels = list_length(c->levels);
	const char *reason = why_not_stored(setop, pgt_setop_desc(query, setop));
	PgtRecurseOp *recurse = reason == NULL ? compile_fixpoint(c, query, cte) : NULL;

	if (recurse != NULL)
		return &recurse->op;
	if (reason == NULL)
		reason = "the recursive term does more than join and filter its own rows";
	c->ops = list_truncate(c->ops, nops);
	c->levels = list_truncate(c->levels, nlevels);
	return compile_snapshot(c, query_alone(c, cte), reason);
}

PgtOp *
pgt_recursion_self(PgtCompiler *c, const RangeTblEntry *rte)
{
	ListCell   *lc;

	foreach(lc, c->recursions)
	{
		ActiveRecursion *active = lfirst(lc);

		if (strcmp(active->name, rte->ctename) == 0)
			return active->work;
	}
	elog(ERROR, "reference to \"%s\" outside of its recursive term", rte->ctename);
	return NULL;
}
