/*
 * applier/dvm/plan.c - plans over named tuplestores, kept between runs.
 *
 * A PgtPlan is a Query tree made by the engine plus up to two planned
 * statements: one for deltas of a handful of rows and one for large deltas,
 * because what is right for 10 rows is quadratic for 100 000.
 *
 * Ownership: each PgtPlan lives in a memory context of its own below the
 * program's; each planned statement in one below that.  All plans of a
 * backend hang in one list, from which a plan leaves by a callback of its
 * context, so freeing the program is enough.
 *
 * Validity: invalidation callbacks only set flags and may come at any time,
 * also while a plan runs.  A plan is looked at again after its locks have been
 * taken, as the plan cache does; a plan found stale is made anew from the
 * Query.  Whether the Query itself still means the same is program.c's
 * question.
 *
 * Sizes: PostgreSQL plans for the table sizes it finds.  A plan made while a
 * table was tiny reads it whole for ever, so a run that took long makes the
 * next one compare the sizes with those at planning time.
 *
 * Errors of the executor leave nothing behind here.
 */
#include "postgres.h"

#include "access/table.h"
#include "access/xact.h"
#include "catalog/pg_class.h"
#include "catalog/pg_type.h"
#include "executor/executor.h"
#include "executor/tstoreReceiver.h"
#include "lib/ilist.h"
#include "miscadmin.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/cost.h"
#include "portability/instr_time.h"
#include "storage/bufmgr.h"
#include "storage/lmgr.h"
#include "utils/guc.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"

#include "applier/dvm/plan.h"
#include "decoder/compat.h"

/* A run longer than this (ms) makes the next one look at table sizes. */
#define SLOW_RUN_MS 2.0
/* Tables may grow by this factor and this many pages before plans are redone. */
#define GROWTH_FACTOR 4.0
#define GROWTH_PAGES 32.0
/* Likewise large deltas against the size planned for. */
#define DELTA_FACTOR 8.0
/* Stands for random_page_cost while that is PostgreSQL's default. */
#define RANDOM_PAGE_COST_IN_MEMORY "1.1"

/* One planned statement. */
typedef struct PlannedQuery
{
	MemoryContext context;
	PlannedStmt *stmt;
	bool		valid;			/* cleared by the invalidation callbacks */
	bool		check_size;		/* the last run took long */
	double		tuples;			/* rows in the largest delta planned for */
	double		pages;			/* of all tables, at planning time */
	TransactionId transient_xmin;	/* of a plan that depends on it */
	Oid			role;			/* of a plan that depends on it */
} PlannedQuery;

struct PgtPlan
{
	dlist_node	node;
	MemoryContext context;
	MemoryContextCallback unlink;
	Query	   *query;
	char	   *text;
	bool		check_rights;
	TupleDesc	desc;
	List	   *stores;			/* of char*: named tuplestores read */
	PlannedQuery *planned[2];	/* small, large */
};

static dlist_head all_plans = DLIST_STATIC_INIT(all_plans);
static bool callbacks_registered = false;

/* ---- invalidation ---- */

static void
invalidate_by_relation(Datum arg, Oid relid)
{
	dlist_iter	iter;

	dlist_foreach(iter, &all_plans)
	{
		PgtPlan    *plan = dlist_container(PgtPlan, node, iter.cur);

		for (int i = 0; i < 2; i++)
		{
			PlannedQuery *p = plan->planned[i];

			if (p != NULL && p->valid &&
				(relid == InvalidOid || list_member_oid(p->stmt->relationOids, relid)))
				p->valid = false;
		}
	}
}

static bool
depends_on_item(const PlannedStmt *stmt, int cacheid, uint32 hashvalue)
{
	ListCell   *lc;

	foreach(lc, stmt->invalItems)
	{
		PlanInvalItem *item = lfirst_node(PlanInvalItem, lc);

		if (item->cacheId == cacheid &&
			(hashvalue == 0 || item->hashValue == hashvalue))
			return true;
	}
	return false;
}

/* A function or a domain type changed. */
static void
invalidate_by_object(Datum arg, PgtSyscacheId cacheid, uint32 hashvalue)
{
	dlist_iter	iter;

	dlist_foreach(iter, &all_plans)
	{
		PgtPlan    *plan = dlist_container(PgtPlan, node, iter.cur);

		for (int i = 0; i < 2; i++)
		{
			PlannedQuery *p = plan->planned[i];

			if (p != NULL && p->valid && depends_on_item(p->stmt, cacheid, hashvalue))
				p->valid = false;
		}
	}
}

/* Operators, operator families, schemas: rare, and not tracked by plans. */
static void
invalidate_all(Datum arg, PgtSyscacheId cacheid, uint32 hashvalue)
{
	invalidate_by_relation(arg, InvalidOid);
}

static void
register_callbacks(void)
{
	if (callbacks_registered)
		return;
	CacheRegisterRelcacheCallback(invalidate_by_relation, (Datum) 0);
	CacheRegisterSyscacheCallback(PROCOID, invalidate_by_object, (Datum) 0);
	CacheRegisterSyscacheCallback(TYPEOID, invalidate_by_object, (Datum) 0);
	CacheRegisterSyscacheCallback(NAMESPACEOID, invalidate_all, (Datum) 0);
	CacheRegisterSyscacheCallback(OPEROID, invalidate_all, (Datum) 0);
	CacheRegisterSyscacheCallback(AMOPOPID, invalidate_all, (Datum) 0);
	callbacks_registered = true;
}

/* ---- making ---- */

static void
unlink_plan(void *arg)
{
	dlist_delete(&((PgtPlan *) arg)->node);
}

static bool
collect_stores_walker(Node *node, List **stores)
{
	if (node == NULL)
		return false;
	if (IsA(node, RangeTblEntry))
	{
		RangeTblEntry *rte = (RangeTblEntry *) node;
		ListCell   *lc;

		if (rte->rtekind != RTE_NAMEDTUPLESTORE)
			return false;
		foreach(lc, *stores)
			if (strcmp(lfirst(lc), rte->enrname) == 0)
				return false;
		*stores = lappend(*stores, rte->enrname);
		return false;
	}
	if (IsA(node, Query))
		return query_tree_walker((Query *) node, collect_stores_walker, stores,
								 QTW_EXAMINE_RTES_BEFORE);
	return expression_tree_walker(node, collect_stores_walker, stores);
}

/* Say of every level whether there are subqueries in its expressions. */
static bool
note_sublinks_walker(Node *node, Query *level)
{
	if (node == NULL)
		return false;
	if (IsA(node, SubLink) && level != NULL)
		level->hasSubLinks = true;
	if (IsA(node, Query))
		return query_tree_walker((Query *) node, note_sublinks_walker, node, 0);
	return expression_tree_walker(node, note_sublinks_walker, level);
}

PgtPlan *
pgt_plan_make(MemoryContext parent, const Query *query, const char *text,
			  bool check_rights)
{
	MemoryContext context;
	MemoryContext old;
	PgtPlan    *plan;

	register_callbacks();
	context = AllocSetContextCreate(parent, "pg_trickle plan",
									ALLOCSET_SMALL_SIZES);
	old = MemoryContextSwitchTo(context);
	plan = palloc0(sizeof(PgtPlan));
	plan->context = context;
	plan->query = copyObject(unconstify(Query *, query));
	note_sublinks_walker((Node *) plan->query, NULL);
	plan->text = pstrdup(text);
	plan->check_rights = check_rights;
	plan->desc = ExecCleanTypeFromTL(plan->query->targetList);
	collect_stores_walker((Node *) plan->query, &plan->stores);
	MemoryContextSwitchTo(old);

	dlist_push_tail(&all_plans, &plan->node);
	plan->unlink.func = unlink_plan;
	plan->unlink.arg = plan;
	MemoryContextRegisterResetCallback(context, &plan->unlink);
	return plan;
}

TupleDesc
pgt_plan_desc(const PgtPlan *plan)
{
	return plan->desc;
}

const Query *
pgt_plan_query_tree(const PgtPlan *plan)
{
	return plan->query;
}

List *
pgt_plan_store_names(const PgtPlan *plan)
{
	return plan->stores;
}

/* ---- planning ---- */

/* Take the locks that planning relies on, at every level of the query. */
static bool
lock_query_walker(Node *node, void *context)
{
	if (node == NULL)
		return false;
	if (IsA(node, RangeTblEntry))
	{
		RangeTblEntry *rte = (RangeTblEntry *) node;

		if (rte->rtekind == RTE_RELATION)
			LockRelationOid(rte->relid, rte->rellockmode);
		return false;
	}
	if (IsA(node, Query))
		return query_tree_walker((Query *) node, lock_query_walker, context,
								 QTW_EXAMINE_RTES_BEFORE);
	return expression_tree_walker(node, lock_query_walker, context);
}

/* Tell the planner how many rows the named tuplestores hold. */
static bool
set_store_size_walker(Node *node, double *tuples)
{
	if (node == NULL)
		return false;
	if (IsA(node, RangeTblEntry))
	{
		RangeTblEntry *rte = (RangeTblEntry *) node;

		if (rte->rtekind == RTE_NAMEDTUPLESTORE)
			rte->enrtuples = *tuples;
		return false;
	}
	if (IsA(node, Query))
		return query_tree_walker((Query *) node, set_store_size_walker, tuples,
								 QTW_EXAMINE_RTES_BEFORE);
	return expression_tree_walker(node, set_store_size_walker, tuples);
}

/* Pages of all tables that a statement reads, as they are now. */
static double
statement_pages(const PlannedStmt *stmt)
{
	double		pages = 0;
	ListCell   *lc;

	foreach(lc, stmt->rtable)
	{
		RangeTblEntry *rte = lfirst_node(RangeTblEntry, lc);
		Relation	rel;

		if (rte->rtekind != RTE_RELATION || !RELKIND_HAS_TABLE_AM(rte->relkind))
			continue;
		rel = table_open(rte->relid, NoLock);
		pages += RelationGetNumberOfBlocks(rel);
		table_close(rel, NoLock);
	}
	return pages;
}

/*
 * Plan a query over deltas.  Refreshes come back to the same pages all the
 * time, so while nobody has said what a random page costs, index pages and
 * rows are taken to be in memory: PostgreSQL's default of 4 would have a delta
 * of a thousand rows read whole tables (12 ms against 2 on 50 000 rows).
 */
static PlannedStmt *
plan_delta(Query *query, const char *text)
{
	PlannedStmt *stmt;
	int			level;

	if (random_page_cost != DEFAULT_RANDOM_PAGE_COST)
		return pgt_plan_query(query, text, 0);
	level = NewGUCNestLevel();
	(void) set_config_option("random_page_cost", RANDOM_PAGE_COST_IN_MEMORY,
							 PGC_USERSET, PGC_S_SESSION, GUC_ACTION_SAVE,
							 true, 0, false);
	stmt = pgt_plan_query(query, text, 0);
	AtEOXact_GUC(true, level);
	return stmt;
}

static PlannedQuery *
make_planned(PgtPlan *plan, bool large, double tuples)
{
	MemoryContext work = AllocSetContextCreate(CurrentMemoryContext,
											   "pg_trickle planning",
											   ALLOCSET_DEFAULT_SIZES);
	MemoryContext old = MemoryContextSwitchTo(work);
	Query	   *query = copyObject(plan->query);
	double		guess = large ? tuples : PGT_SMALL_DELTA_GUESS;
	PlannedStmt *stmt;
	PlannedQuery *p;
	MemoryContext context;

	lock_query_walker((Node *) query, NULL);
	set_store_size_walker((Node *) query, &guess);
	if (plan->stores == NIL)
		stmt = pgt_plan_query(query, plan->text, CURSOR_OPT_PARALLEL_OK);
	else
		stmt = plan_delta(query, plan->text);
	if (!plan->check_rights)
		pgt_strip_permissions(stmt);
	if (plan->stores != NIL)
		stmt->jitFlags = 0;		/* compiling costs more than a delta does */

	context = AllocSetContextCreate(work, "pg_trickle planned statement",
									ALLOCSET_SMALL_SIZES);
	MemoryContextSwitchTo(context);
	p = palloc0(sizeof(PlannedQuery));
	p->context = context;
	p->stmt = copyObject(stmt);
	p->valid = true;
	p->tuples = guess;
	p->pages = statement_pages(stmt);
	p->transient_xmin = stmt->transientPlan ? TransactionXmin : InvalidTransactionId;
	p->role = stmt->dependsOnRole ? GetUserId() : InvalidOid;
	MemoryContextSetParent(context, plan->context);
	MemoryContextSwitchTo(old);
	MemoryContextDelete(work);
	return p;
}

/* ---- choosing ---- */

static double
largest_store(const PgtPlan *plan, QueryEnvironment *env)
{
	double		most = 0;
	ListCell   *lc;

	foreach(lc, plan->stores)
	{
		EphemeralNamedRelation enr = get_ENR(env, lfirst(lc));
		double		n;

		if (enr == NULL)
			elog(ERROR, "delta \"%s\" is not registered", (char *) lfirst(lc));
		n = (double) tuplestore_tuple_count((Tuplestorestate *) enr->reldata);
		if (n > most)
			most = n;
	}
	return most;
}

static void
lock_statement(const PlannedStmt *stmt)
{
	ListCell   *lc;

	foreach(lc, stmt->rtable)
	{
		RangeTblEntry *rte = lfirst_node(RangeTblEntry, lc);

		if (OidIsValid(rte->relid) && rte->rellockmode != NoLock &&
			(rte->rtekind == RTE_RELATION || rte->rtekind == RTE_SUBQUERY))
			LockRelationOid(rte->relid, rte->rellockmode);
	}
}

/* Does the size it was planned for still fit?  Locks are held. */
static bool
fits_size(PlannedQuery *p, bool large, double tuples)
{
	double		pages;

	if (large && (tuples > p->tuples * DELTA_FACTOR ||
				  tuples * DELTA_FACTOR < p->tuples))
		return false;
	if (!p->check_size)
		return true;
	p->check_size = false;
	pages = statement_pages(p->stmt);
	return pages <= p->pages * GROWTH_FACTOR + GROWTH_PAGES;
}

static bool
still_valid(const PlannedQuery *p)
{
	if (!p->valid)
		return false;
	if (TransactionIdIsValid(p->transient_xmin) &&
		!TransactionIdEquals(p->transient_xmin, TransactionXmin))
		return false;
	return !OidIsValid(p->role) || p->role == GetUserId();
}

/* The statement to run for deltas of that size: valid, its locks taken. */
static PlannedQuery *
choose_planned(PgtPlan *plan, double tuples)
{
	bool		large = tuples > PGT_SMALL_DELTA;

	for (;;)
	{
		PlannedQuery *p = plan->planned[large];

		if (p != NULL && still_valid(p))
		{
			lock_statement(p->stmt);
			if (still_valid(p) && fits_size(p, large, tuples))
				return p;
		}
		plan->planned[large] = NULL;
		if (p != NULL)
			MemoryContextDelete(p->context);
		plan->planned[large] = make_planned(plan, large, tuples);
	}
}

PlannedStmt *
pgt_plan_statement(PgtPlan *plan, double tuples)
{
	return choose_planned(plan, tuples)->stmt;
}

/* ---- running ---- */

static void
check_result(const PgtPlan *plan, TupleDesc got)
{
	bool		same = got->natts == plan->desc->natts;

	for (int i = 0; same && i < got->natts; i++)
		same = TupleDescAttr(got, i)->atttypid == TupleDescAttr(plan->desc, i)->atttypid;
	if (!same)
		elog(ERROR, "plan \"%s\" returns another row type than it was compiled for",
			 plan->text);
}

void
pgt_plan_run(PgtPlan *plan, QueryEnvironment *env, ParamListInfo params,
			 DestReceiver *dest)
{
	PlannedQuery *p = choose_planned(plan, largest_store(plan, env));
	QueryDesc  *desc;
	instr_time	start;
	instr_time	duration;

	INSTR_TIME_SET_CURRENT(start);
	desc = CreateQueryDesc(p->stmt, plan->text, GetActiveSnapshot(),
						   InvalidSnapshot, dest, params, env, 0);
	ExecutorStart(desc, 0);
	check_result(plan, desc->tupDesc);
	pgt_executor_run(desc);
	ExecutorFinish(desc);
	ExecutorEnd(desc);
	FreeQueryDesc(desc);
	INSTR_TIME_SET_CURRENT(duration);
	INSTR_TIME_SUBTRACT(duration, start);
	if (INSTR_TIME_GET_MILLISEC(duration) > SLOW_RUN_MS)
		p->check_size = true;
}

int64
pgt_plan_run_into(PgtPlan *plan, QueryEnvironment *env, Tuplestorestate *into)
{
	DestReceiver *dest = CreateTuplestoreDestReceiver();
	int64		before = tuplestore_tuple_count(into);

	SetTuplestoreDestReceiverParams(dest, into, CurrentMemoryContext, false,
									NULL, NULL);
	pgt_plan_run(plan, env, NULL, dest);
	dest->rDestroy(dest);
	return tuplestore_tuple_count(into) - before;
}
