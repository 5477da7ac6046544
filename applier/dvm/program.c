/*
 * applier/dvm/program.c - compiled programs and their runs.
 *
 * Memory: program > run.  The program's context holds operators, Query trees
 * and (each in its own child) plans; the run's context holds deltas, executor
 * state and key sets, and is reset when the run ends or, after an ERROR, when
 * the next one begins.
 *
 * A run walks the operators in post-order.  An operator whose inputs have no
 * delta is skipped.  REDUCE writes its state table; the steps above must see
 * that, so a run works under a copy of the caller's active snapshot whose
 * command id is brought up to date after each write.  The caller's snapshot
 * itself is left as it is.
 *
 * Errors leave deltas and half-written state to the transaction's end; a
 * program is usable again afterwards (compiled structures are not touched by
 * a run, but for plans made on the way).
 */
#include "postgres.h"

#include "access/table.h"
#include "access/xact.h"
#include "executor/executor.h"
#include "miscadmin.h"
#include "nodes/nodeFuncs.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/resowner.h"
#include "utils/snapmgr.h"

#include "applier/catalog/catalog.h"
#include "applier/dvm/block.h"
#include "applier/dvm/outer.h"
#include "applier/dvm/plan.h"
#include "applier/dvm/program.h"
#include "applier/dvm/watch.h"
#include "applier/settings.h"
#include "decoder/compat.h"

/* One run. */
typedef struct PgtRun
{
	PgtProgram *program;
	bool		concurrent;		/* others may write the same state */
	QueryEnvironment *env;
	Tuplestorestate **deltas;	/* by operator id; NULL = no change */
	List	   *stores;			/* of Tuplestorestate*: ours, to be ended */
} PgtRun;

/* ---- compiling ---- */

/* One SCAN for each distinct relation. */
static List *
distinct_scans(List *ops)
{
	List	   *scans = NIL;
	ListCell   *lc;

	foreach(lc, ops)
	{
		PgtScanOp  *scan = lfirst(lc);
		ListCell   *known;

		if (scan->op.kind != PGT_OP_SCAN)
			continue;
		foreach(known, scans)
			if (((PgtScanOp *) lfirst(known))->relid == scan->relid)
				break;
		if (known == NULL)
			scans = lappend(scans, scan);
	}
	return scans;
}

/* The state tables as they are now; true if all exist. */
static bool
find_state(PgtProgram *program)
{
	bool		complete = true;
	bool		changed = false;
	ListCell   *lc;

	foreach(lc, program->ops)
	{
		PgtOp	   *op = lfirst(lc);
		Oid			relid;

		if (op->methods == NULL)
			continue;
		relid = pgt_state_lookup(program->pgt_id, op);
		if (relid != op->state_relid)
			changed = true;
		op->state_relid = relid;
		if (!OidIsValid(relid))
			complete = false;
	}
	if (changed)
		program->have_plans = false;
	return complete;
}

void
pgt_program_make_plans(PgtProgram *program)
{
	MemoryContext old = MemoryContextSwitchTo(program->context);
	ListCell   *lc;

	foreach(lc, program->ops)
	{
		PgtOp	   *op = lfirst(lc);

		if (op->kind == PGT_OP_BLOCK)
			((PgtBlockOp *) op)->terms = NIL;
		else if (op->kind == PGT_OP_OUTER)
			pgt_outer_forget_plans((PgtOuterOp *) op);
		else if (op->methods != NULL && op->methods->make_plans != NULL)
			op->methods->make_plans(op, program->context);
	}
	program->have_plans = true;
	MemoryContextSwitchTo(old);
}

static void
compile_differential(PgtProgram *program)
{
	List	   *sources;
	ListCell   *lc;

	program->top = pgt_compile_query(program->expanded, &program->ops, &sources);
	program->sources = distinct_scans(program->ops);
	foreach(lc, program->ops)
	{
		PgtOp	   *op = lfirst(lc);

		if (op->methods != NULL)
			op->methods->prepare(op);
	}
	program->locks_groups = pgt_group_lock_suffices(program);
	pgt_wanted_mark(program->ops);
	if (find_state(program))
		pgt_program_make_plans(program);
}

PgtProgram *
pgt_program_compile(int64 pgt_id, Oid st_relid, const Query *expanded,
					bool differential, MemoryContext parent)
{
	/* below the caller's context until complete: an ERROR frees it */
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext,
												  "pg_trickle program",
												  ALLOCSET_DEFAULT_SIZES);
	MemoryContext old = MemoryContextSwitchTo(context);
	PgtProgram *program = palloc0(sizeof(PgtProgram));

	program->context = context;
	program->run_context = AllocSetContextCreate(context, "pg_trickle run",
												 ALLOCSET_DEFAULT_SIZES);
	program->pgt_id = pgt_id;
	program->st_relid = st_relid;
	program->differential = differential;
	program->expanded = copyObject(unconstify(Query *, expanded));
	program->row_desc = pgt_query_result_desc(program->expanded);
	program->output_desc = pgt_delta_desc(program->row_desc);
	pgt_watch_program(program);
	program->full = pgt_plan_make(context, program->expanded,
								  "pg_trickle defining query", true);
	if (differential)
		compile_differential(program);
	MemoryContextSwitchTo(old);
	MemoryContextSetParent(context, parent);
	return program;
}

void
pgt_program_free(PgtProgram *program)
{
	if (program->running)
		elog(ERROR, "program %lld is running", (long long) program->pgt_id);
	MemoryContextDelete(program->context);
}

void
pgt_program_create_state(PgtProgram *program)
{
	ListCell   *lc;

	if (!program->differential || find_state(program))
	{
		if (program->differential && !program->have_plans)
			pgt_program_make_plans(program);
		return;
	}
	pgt_engine_begin_write();
	foreach(lc, program->ops)
	{
		PgtOp	   *op = lfirst(lc);

		if (op->methods != NULL && !OidIsValid(op->state_relid))
			op->state_relid = pgt_state_create(program->pgt_id, op);
	}
	pgt_engine_end_write();
	CommandCounterIncrement();
	pgt_program_make_plans(program);
}

/* ---- what callers ask ---- */

PgtSourceDelta *
pgt_program_sources(const PgtProgram *program, int *nsources)
{
	PgtSourceDelta *deltas;
	int			n = 0;
	ListCell   *lc;

	deltas = palloc0(sizeof(PgtSourceDelta) * (list_length(program->sources) + 1));
	foreach(lc, program->sources)
	{
		const PgtScanOp *scan = lfirst(lc);

		deltas[n].relid = scan->relid;
		deltas[n].ncolumns = scan->ncolumns;
		deltas[n].columns = scan->columns;
		deltas[n].desc = scan->op.deltadesc;
		n++;
	}
	*nsources = n;
	return deltas;
}

int
pgt_program_changed_inputs(const PgtProgram *program,
						   const PgtSourceDelta *deltas, int ndeltas)
{
	int			n = 0;
	ListCell   *lc;

	for (int i = 0; i < ndeltas; i++)
		foreach(lc, program->ops)
		{
			const PgtScanOp *scan = lfirst(lc);

			if (deltas[i].delta != NULL && scan->op.kind == PGT_OP_SCAN &&
				scan->relid == deltas[i].relid)
				n++;
		}
	return n;
}

static bool
is_stateful(const PgtOp *op)
{
	ListCell   *lc;

	if (op->methods != NULL)
		return true;
	foreach(lc, op->inputs)
		if (is_stateful(lfirst(lc)))
			return true;
	return false;
}

bool
pgt_program_is_eager(const PgtProgram *program)
{
	ListCell   *lc;
	ListCell   *in;

	foreach(lc, program->ops)
	{
		const PgtOp *op = lfirst(lc);

		if (list_length(op->inputs) > 1)
			foreach(in, op->inputs)
				if (is_stateful(lfirst(in)))
					return true;
	}
	return false;
}

TupleDesc
pgt_program_output_desc(const PgtProgram *program)
{
	return program->output_desc;
}

static bool
check_rights_walker(Node *node, void *context)
{
	if (node == NULL)
		return false;
	if (IsA(node, Query))
	{
		pgt_check_level_permissions((Query *) node);
		return query_tree_walker((Query *) node, check_rights_walker, context, 0);
	}
	return expression_tree_walker(node, check_rights_walker, context);
}

void
pgt_program_check_rights(const PgtProgram *program)
{
	check_rights_walker((Node *) program->expanded, NULL);
}

/* ---- a run's beginnings ---- */

static Tuplestorestate *
new_store(PgtRun *run)
{
	Tuplestorestate *store = tuplestore_begin_heap(false, false,
												   pgt_refresh_work_mem);

	run->stores = lappend(run->stores, store);
	return store;
}

static void
begin_run(PgtProgram *program, PgtRun *run)
{
	if (program->running)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_IN_USE),
				 errmsg("stream table \"%s\" is being refreshed by this session already",
						get_rel_name(program->st_relid)),
				 errhint("A function in its query must not refresh the stream table.")));
	MemoryContextReset(program->run_context);
	MemoryContextSwitchTo(program->run_context);
	PushCopiedSnapshot(GetActiveSnapshot());
	memset(run, 0, sizeof(PgtRun));
	run->program = program;
	run->env = create_queryEnv();
	run->deltas = palloc0(sizeof(Tuplestorestate *) *
						  (list_length(program->ops) + 1));
	program->running = true;
}

static void
end_run(PgtRun *run, MemoryContext caller)
{
	ListCell   *lc;

	foreach(lc, run->stores)
		tuplestore_end(lfirst(lc));
	PopActiveSnapshot();
	MemoryContextSwitchTo(caller);
	MemoryContextReset(run->program->run_context);
}

/* Let the following steps see what this one wrote. */
static void
show_writes(void)
{
	CommandCounterIncrement();
	UpdateActiveSnapshotCommandId();
}

/* ---- deltas of operators ---- */

static void
register_delta(PgtRun *run, PgtOp *op, Tuplestorestate *store)
{
	EphemeralNamedRelation enr = palloc0(sizeof(EphemeralNamedRelationData));

	enr->md.name = unconstify(char *, pgt_delta_name(op));
	enr->md.reliddesc = InvalidOid;
	enr->md.tupdesc = op->deltadesc;
	enr->md.enrtype = ENR_NAMED_TUPLESTORE;
	enr->md.enrtuples = tuplestore_tuple_count(store);
	enr->reldata = store;
	register_ENR(run->env, enr);
}

/* An operator's delta is known; empty ones count as no change. */
static void
set_delta(PgtRun *run, PgtOp *op, Tuplestorestate *store)
{
	if (store != NULL && tuplestore_tuple_count(store) == 0)
		store = NULL;
	run->deltas[op->id] = store;
	if (store != NULL && op->kind != PGT_OP_SCAN)
		register_delta(run, op, store);
}

static Tuplestorestate *
delta_of(PgtRun *run, const PgtOp *op)
{
	return run->deltas[op->id];
}

/* Copy columns of a delta, and its weight, to another store. */
static void
copy_columns(const PgtOp *from, Tuplestorestate *source, const PgtOp *to,
			 const int *columns, Tuplestorestate *target)
{
	TupleTableSlot *slot = MakeSingleTupleTableSlot(from->deltadesc,
													&TTSOpsMinimalTuple);
	int			natts = to->deltadesc->natts;
	Datum	   *values = palloc(sizeof(Datum) * natts);
	bool	   *isnull = palloc(sizeof(bool) * natts);

	tuplestore_rescan(source);
	while (tuplestore_gettupleslot(source, true, false, slot))
	{
		slot_getallattrs(slot);
		for (int i = 0; i < natts; i++)
		{
			int			col = i == natts - 1 ? from->deltadesc->natts :
				columns != NULL ? columns[i] : i + 1;

			values[i] = slot->tts_values[col - 1];
			isnull[i] = slot->tts_isnull[col - 1];
		}
		tuplestore_putvalues(target, to->deltadesc, values, isnull);
	}
	ExecDropSingleTupleTableSlot(slot);
}

static Tuplestorestate *
run_permutation(PgtRun *run, PgtBlockOp *block, Tuplestorestate *input)
{
	Tuplestorestate *out;

	if (block->identity)
		return input;
	out = new_store(run);
	copy_columns(linitial(block->op.inputs), input, &block->op,
				 block->source_cols, out);
	return out;
}

static Tuplestorestate *
run_block(PgtRun *run, PgtBlockOp *block)
{
	uint64		changed = 0;
	int			i = 0;
	Tuplestorestate *out;
	ListCell   *lc;

	foreach(lc, block->op.inputs)
	{
		if (delta_of(run, lfirst(lc)) != NULL)
			changed |= UINT64CONST(1) << i;
		i++;
	}
	if (changed == 0)
		return NULL;
	if (block->permutation)
		return run_permutation(run, block,
							   delta_of(run, linitial(block->op.inputs)));
	out = new_store(run);
	foreach(lc, pgt_block_terms(block, changed, run->program->context))
		pgt_plan_run_into(((PgtBlockTerm *) lfirst(lc))->plan, run->env, out);
	return out;
}

static Tuplestorestate *
run_union(PgtRun *run, PgtOp *op)
{
	Tuplestorestate *only = NULL;
	Tuplestorestate *out;
	int			changed = 0;
	ListCell   *lc;

	foreach(lc, op->inputs)
	{
		if (delta_of(run, lfirst(lc)) == NULL)
			continue;
		only = delta_of(run, lfirst(lc));
		changed++;
	}
	if (changed <= 1)
		return only;
	out = new_store(run);
	foreach(lc, op->inputs)
		if (delta_of(run, lfirst(lc)) != NULL)
			copy_columns(lfirst(lc), delta_of(run, lfirst(lc)), op, NULL, out);
	return out;
}

static Tuplestorestate *
run_stateful(PgtRun *run, PgtOp *op)
{
	Tuplestorestate **inputs = palloc(sizeof(Tuplestorestate *) *
									  list_length(op->inputs));
	bool		changed = op->methods->runs_always != NULL &&
		op->methods->runs_always(op);
	int			i = 0;
	Tuplestorestate *out;
	ListCell   *lc;

	foreach(lc, op->inputs)
	{
		inputs[i] = delta_of(run, lfirst(lc));
		changed = changed || inputs[i] != NULL;
		i++;
	}
	if (!changed)
		return NULL;
	if (run->concurrent)
		pgt_group_lock_all((PgtReduceOp *) op, inputs[0]);
	out = new_store(run);
	pgt_engine_begin_write();
	op->methods->run(op, run->env, inputs, out);
	pgt_engine_end_write();
	show_writes();
	return out;
}

static Tuplestorestate *
run_outer(PgtRun *run, PgtOuterOp *outer)
{
	Tuplestorestate *left = delta_of(run, linitial(outer->op.inputs));
	Tuplestorestate *right = delta_of(run, lsecond(outer->op.inputs));
	Tuplestorestate *out;

	if (left == NULL && right == NULL)
		return NULL;
	out = new_store(run);
	pgt_outer_run(outer, run->env, left, right, out, run->program->context);
	return out;
}

static void
run_op(PgtRun *run, PgtOp *op)
{
	CHECK_FOR_INTERRUPTS();
	switch (op->kind)
	{
		case PGT_OP_SCAN:
			break;				/* handed in */
		case PGT_OP_WORK:
			break;				/* its RECURSE runs it */
		case PGT_OP_BLOCK:
			set_delta(run, op, run_block(run, (PgtBlockOp *) op));
			break;
		case PGT_OP_UNION_ALL:
			set_delta(run, op, run_union(run, op));
			break;
		case PGT_OP_OUTER:
			set_delta(run, op, run_outer(run, (PgtOuterOp *) op));
			break;
		default:
			set_delta(run, op, run_stateful(run, op));
			break;
	}
}

/* Hand the sources' deltas to every scan of them. */
static void
take_source_deltas(PgtRun *run, PgtSourceDelta *deltas, int ndeltas)
{
	ListCell   *lc;

	for (int i = 0; i < ndeltas; i++)
	{
		bool		registered = false;

		if (deltas[i].delta == NULL)
			continue;
		foreach(lc, run->program->ops)
		{
			PgtScanOp  *scan = lfirst(lc);

			if (scan->op.kind != PGT_OP_SCAN || scan->relid != deltas[i].relid)
				continue;
			set_delta(run, &scan->op, deltas[i].delta);
			if (registered || delta_of(run, &scan->op) == NULL)
				continue;
			register_delta(run, &scan->op, deltas[i].delta);
			registered = true;
		}
	}
}

static void
require_state(PgtProgram *program)
{
	if (!program->differential)
		elog(ERROR, "program %lld is not differential",
			 (long long) program->pgt_id);
	if (program->have_plans && !program->state_changed)
		return;
	program->state_changed = false;
	if (!find_state(program))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("operator state of stream table \"%s\" is missing",
						get_rel_name(program->st_relid)),
				 errhint("Refresh it in FULL mode to build it again.")));
	if (!program->have_plans)
		pgt_program_make_plans(program);
}

static void
run_steps(PgtRun *run, Tuplestorestate *out, PgtRunResult *result)
{
	PgtProgram *program = run->program;
	ListCell   *lc;

	foreach(lc, program->ops)
		run_op(run, lfirst(lc));
	if (delta_of(run, program->top) == NULL)
		return;
	pgt_engine_begin_write();
	if (!program->appends ||
		!pgt_apply_appends(program->st_relid, delta_of(run, program->top),
						   program->output_desc, out, result))
		pgt_apply_delta(program->st_relid, delta_of(run, program->top),
						program->output_desc, out, result);
	pgt_engine_end_write();
}

void
pgt_program_expect_appends(PgtProgram *program, bool appends)
{
	program->appends = appends;
}

static void
run_deltas(PgtProgram *program, bool concurrent, PgtSourceDelta *deltas,
		   int ndeltas, Tuplestorestate *out, PgtRunResult *result)
{
	MemoryContext old = CurrentMemoryContext;
	PgtRun		run;

	memset(result, 0, sizeof(PgtRunResult));
	require_state(program);
	begin_run(program, &run);
	run.concurrent = concurrent;
	PG_TRY();
	{
		take_source_deltas(&run, deltas, ndeltas);
		run_steps(&run, out, result);
	}
	PG_FINALLY();
	{
		program->running = false;
	}
	PG_END_TRY();
	end_run(&run, old);
}

void
pgt_program_run(PgtProgram *program, PgtSourceDelta *deltas, int ndeltas,
				Tuplestorestate *out, PgtRunResult *result)
{
	run_deltas(program, false, deltas, ndeltas, out, result);
}

void
pgt_program_run_concurrently(PgtProgram *program, PgtSourceDelta *deltas,
							 int ndeltas, Tuplestorestate *out,
							 PgtRunResult *result)
{
	Assert(program->locks_groups);
	run_deltas(program, true, deltas, ndeltas, out, result);
}

bool
pgt_program_locks_groups(const PgtProgram *program)
{
	return program->locks_groups;
}

/* ---- rebuilding ---- */

/* Run a query once under the active snapshot. */
static Tuplestorestate *
run_once(PgtRun *run, const Query *query, const char *text)
{
	Tuplestorestate *rows = new_store(run);
	PgtPlan    *plan = pgt_plan_make(run->program->run_context, query, text,
									 false);

	pgt_plan_run_into(plan, run->env, rows);
	return rows;
}

static void
build_state(PgtRun *run, PgtOp *op)
{
	Tuplestorestate **inputs = palloc0(sizeof(Tuplestorestate *) *
									   list_length(op->inputs));
	int			i = 0;
	ListCell   *lc;

	pgt_engine_begin_write();
	pgt_state_truncate(op->state_relid);
	show_writes();
	foreach(lc, op->inputs)
		if (!op->methods->builds_alone)
			inputs[i++] = run_once(run, pgt_op_new_state_weighted(lfirst(lc)),
								   "pg_trickle input of a state");
	op->methods->build(op, run->env, inputs);
	pgt_engine_end_write();
	show_writes();
}

/* Every state anew, lowest first; the query's rows from them go to "rows". */
static void
rebuild_state(PgtRun *run, Tuplestorestate *rows)
{
	PgtPlan    *plan;
	ListCell   *lc;

	foreach(lc, run->program->ops)
		if (((PgtOp *) lfirst(lc))->methods != NULL)
			build_state(run, lfirst(lc));
	plan = pgt_plan_make(run->program->run_context,
						 pgt_op_new_state(run->program->top),
						 "pg_trickle rows from state", false);
	pgt_plan_run_into(plan, run->env, rows);
}

/* May the query itself be free of this error?  Not of cancellation, lack of
 * resources, conflicts with other sessions, or what cannot happen. */
static bool
is_from_an_expression(int sqlerrcode)
{
	switch (ERRCODE_TO_CATEGORY(sqlerrcode))
	{
		case ERRCODE_DATA_EXCEPTION:
		case ERRCODE_CARDINALITY_VIOLATION:
		case ERRCODE_RAISE_EXCEPTION:
		case ERRCODE_SQL_ROUTINE_EXCEPTION:
		case ERRCODE_EXTERNAL_ROUTINE_EXCEPTION:
		case ERRCODE_EXTERNAL_ROUTINE_INVOCATION_EXCEPTION:
		case ERRCODE_INTEGRITY_CONSTRAINT_VIOLATION:
			return true;
		default:
			return false;
	}
}

/* The stores made since there were "n"; their files go with the subtransaction. */
static void
end_stores_from(PgtRun *run, int n, bool aborted)
{
	while (list_length(run->stores) > n)
	{
		if (!aborted)
			tuplestore_end(llast(run->stores));
		run->stores = list_delete_last(run->stores);
	}
}

/*
 * rebuild_state in a subtransaction.  State holds every group of an inner
 * aggregate, also those that the query's own plan never reaches, so an
 * expression may fail here that the query is free of.  Then everything is
 * undone and the error's message returned: the rows come from the query
 * itself, and there is no state until a later rebuild succeeds.
 */
static char *
try_rebuild_state(PgtRun *run, Tuplestorestate *rows)
{
	MemoryContext context = CurrentMemoryContext;
	ResourceOwner owner = CurrentResourceOwner;
	int			nstores = list_length(run->stores);
	char	   *volatile failure = NULL;

	BeginInternalSubTransaction(NULL);
	MemoryContextSwitchTo(context);
	PG_TRY();
	{
		rebuild_state(run, rows);
		end_stores_from(run, nstores, false);
		ReleaseCurrentSubTransaction();
	}
	PG_CATCH();
	{
		ErrorData  *error;

		MemoryContextSwitchTo(context);
		error = CopyErrorData();
		FlushErrorState();
		RollbackAndReleaseCurrentSubTransaction();
		MemoryContextSwitchTo(context);
		CurrentResourceOwner = owner;
		if (!is_from_an_expression(error->sqlerrcode))
			ReThrowError(error);
		end_stores_from(run, nstores, true);
		failure = error->message;
	}
	PG_END_TRY();
	MemoryContextSwitchTo(context);
	CurrentResourceOwner = owner;
	return failure;
}

static bool
has_state(const PgtProgram *program)
{
	ListCell   *lc;

	foreach(lc, program->ops)
		if (((PgtOp *) lfirst(lc))->methods != NULL)
			return true;
	return false;
}

/*
 * Make the stored rows those of "rows".  Keys of text are indexed by their
 * values until one turns up that no btree holds (SQLSTATE 54000): then what
 * was written is undone and the answer is false.
 */
static bool
apply_rows(PgtRun *run, Tuplestorestate *rows, Tuplestorestate *out,
		   PgtRunResult *result)
{
	PgtProgram *program = run->program;
	MemoryContext context = CurrentMemoryContext;
	ResourceOwner owner = CurrentResourceOwner;
	PgtRowIdentity identity;
	volatile bool done = false;

	pgt_rowid_get(program->st_relid, &identity);
	BeginInternalSubTransaction(NULL);
	MemoryContextSwitchTo(context);
	PG_TRY();
	{
		pgt_engine_begin_write();
		pgt_apply_difference(program->st_relid, rows, program->row_desc, out,
							 result);
		pgt_engine_end_write();
		ReleaseCurrentSubTransaction();
		done = true;
	}
	PG_CATCH();
	{
		ErrorData  *error;

		MemoryContextSwitchTo(context);
		error = CopyErrorData();
		FlushErrorState();
		RollbackAndReleaseCurrentSubTransaction();
		MemoryContextSwitchTo(context);
		CurrentResourceOwner = owner;
		if (!identity.by_key || error->sqlerrcode != ERRCODE_PROGRAM_LIMIT_EXCEEDED)
			ReThrowError(error);
	}
	PG_END_TRY();
	MemoryContextSwitchTo(context);
	CurrentResourceOwner = owner;
	return done;
}

/* Rows are told apart by a hash from now on; the catalog is told. */
static void
identify_by_hash(PgtProgram *program)
{
	PgtStreamTable *st = pgt_stream_table_get(program->pgt_id, true);
	Oid			index = pgt_rowid_switch_to_hash(program->st_relid);

	CommandCounterIncrement();
	if (st == NULL)
		return;
	st->row_identity = pstrdup("hash");
	st->identity_index = index;
	pgt_stream_table_update(st);
}

static char *
rebuild_steps(PgtRun *run, bool with_state, Tuplestorestate *out,
			  PgtRunResult *result)
{
	PgtProgram *program = run->program;
	Tuplestorestate *rows = new_store(run);
	char	   *failure = NULL;

	with_state = with_state && has_state(program);
	if (with_state)
		failure = try_rebuild_state(run, rows);
	if (failure != NULL)
		tuplestore_clear(rows);
	if (failure != NULL || !with_state)
		pgt_plan_run_into(program->full, run->env, rows);
	if (!apply_rows(run, rows, out, result))
	{
		identify_by_hash(program);
		show_writes();
		memset(result, 0, sizeof(PgtRunResult));
		if (out != NULL)
			tuplestore_clear(out);
		apply_rows(run, rows, out, result);
	}
	return failure;
}

char *
pgt_program_rebuild(PgtProgram *program, bool with_state, Tuplestorestate *out,
					PgtRunResult *result)
{
	MemoryContext old = CurrentMemoryContext;
	char	   *volatile failure = NULL;
	PgtRun		run;

	memset(result, 0, sizeof(PgtRunResult));
	if (with_state)
		pgt_program_create_state(program);
	begin_run(program, &run);
	PG_TRY();
	{
		if (with_state)
			UpdateActiveSnapshotCommandId();
		failure = rebuild_steps(&run, with_state, out, result);
		if (failure != NULL)
			failure = MemoryContextStrdup(old, failure);
	}
	PG_FINALLY();
	{
		program->running = false;
	}
	PG_END_TRY();
	end_run(&run, old);
	return failure;
}
