/*
 * decoder/compat.h - everything that differs between PostgreSQL 15 and 19.
 *
 * The only file of the project that looks at PG_VERSION_NUM (t/000_tree.pl
 * holds that).  Code elsewhere calls the macro or inline function named here
 * and reads the same on every version.  Add to it sorted by subject; say in
 * one line which version changed what.
 */
#ifndef PGT_COMPAT_H
#define PGT_COMPAT_H

#include "postgres.h"
#include "nodes/plannodes.h"

#if PG_VERSION_NUM < 150000 || PG_VERSION_NUM >= 200000
#error "pg_trickle builds on PostgreSQL 15 to 19"
#endif

/* the major version that wrote a stored node tree */
#define PGT_MAJOR_VERSION (PG_VERSION_NUM / 10000)

/* 18 renamed pg_attribute_noreturn() and moved it before the declaration */
#if PG_VERSION_NUM >= 180000
#define PGT_NORETURN pg_noreturn
#else
#define PGT_NORETURN pg_attribute_noreturn()
#endif

/* 16 took the kind of a failed assertion away; for programs without a server */
#if PG_VERSION_NUM >= 160000
#define PGT_EXCEPTIONAL_CONDITION(condition, file, line) \
	ExceptionalCondition(const char *condition, const char *file, int line)
#else
#define PGT_EXCEPTIONAL_CONDITION(condition, file, line) \
	ExceptionalCondition(const char *condition, const char *kind, const char *file, int line)
#endif

/* 16 replaced pg_xxx_aclcheck and pg_xxx_ownercheck by object_*check */
#if PG_VERSION_NUM >= 160000
#define pgt_schema_aclcheck(nsp, role, mode) \
	object_aclcheck(NamespaceRelationId, nsp, role, mode)
#define pgt_relation_ownercheck(relid, role) \
	object_ownercheck(RelationRelationId, relid, role)
#else
#define pgt_schema_aclcheck(nsp, role, mode) \
	pg_namespace_aclcheck(nsp, role, mode)
#define pgt_relation_ownercheck(relid, role) \
	pg_class_ownercheck(relid, role)
#endif

/* the same for databases */
#if PG_VERSION_NUM >= 160000
#define pgt_database_ownercheck(dboid, role) \
	object_ownercheck(DatabaseRelationId, dboid, role)
#else
#define pgt_database_ownercheck(dboid, role) \
	pg_database_ownercheck(dboid, role)
#endif

/* 19 keeps a plan's result relations as a set, before: a list of RT indexes */
#if PG_VERSION_NUM >= 190000
#define pgt_result_relations(plannedstmt) ((plannedstmt)->resultRelationRelids)
#else
static inline Bitmapset *
pgt_result_relations(const PlannedStmt *plannedstmt)
{
	Bitmapset  *result = NULL;
	ListCell   *lc;

	foreach(lc, plannedstmt->resultRelations)
		result = bms_add_member(result, lfirst_int(lc));
	return result;
}
#endif

/* 17: ALTER COLUMN ... SET EXPRESSION recomputes a generated column */
#if PG_VERSION_NUM >= 170000
#define PGT_IS_SET_EXPRESSION(subtype) ((subtype) == AT_SetExpression)
#else
#define PGT_IS_SET_EXPRESSION(subtype) false
#endif

/* 16 moved the varlena macros out of postgres.h */
#if PG_VERSION_NUM >= 160000
#include "varatt.h"
#endif

/* 19 hands more than the signal's number to its handlers */
#if PG_VERSION_NUM >= 190000
#define PGT_SIGNAL_PASS postgres_signal_arg, pg_siginfo
#else
#define PGT_SIGNAL_PASS postgres_signal_arg
#endif

/* 17 replaced PGPROC's own number by MyProcNumber */
#if PG_VERSION_NUM >= 170000
#define PGT_MY_PROCNO MyProcNumber
#else
#define PGT_MY_PROCNO (MyProc->pgprocno)
#endif

/* 17 gave extensions wait events of their own; before, they share one */
#include "utils/wait_event.h"
#if PG_VERSION_NUM >= 170000
#define pgt_wait_event(name) WaitEventExtensionNew(name)
#else
#define pgt_wait_event(name) PG_WAIT_EXTENSION
#endif

/* 19 switches logical decoding on by itself with the first logical slot; a
 * macro, the decoder has no use for it */
#if PG_VERSION_NUM >= 190000
#define pgt_logical_wal_possible() (wal_level >= WAL_LEVEL_REPLICA)
#else
#define pgt_logical_wal_possible() (wal_level >= WAL_LEVEL_LOGICAL)
#endif

/* 17 added failover slots: ours is one, so that a promoted standby that
 * synchronises slots goes on where the primary was */
#if PG_VERSION_NUM >= 170000
#define pgt_create_logical_slot(name, plugin) \
	OidFunctionCall5(F_PG_CREATE_LOGICAL_REPLICATION_SLOT, name, plugin, \
					 BoolGetDatum(false), BoolGetDatum(false), BoolGetDatum(true))
#else
#define pgt_create_logical_slot(name, plugin) \
	OidFunctionCall4(F_PG_CREATE_LOGICAL_REPLICATION_SLOT, name, plugin, \
					 BoolGetDatum(false), BoolGetDatum(false))
#endif

/* 16 tells why a slot was invalidated, before there was one cause */
#if PG_VERSION_NUM >= 160000
#define pgt_slot_is_invalidated(slot) ((slot)->data.invalidated != RS_INVAL_NONE)
#else
#define pgt_slot_is_invalidated(slot) \
	(XLogRecPtrIsInvalid((slot)->data.restart_lsn) && \
	 !XLogRecPtrIsInvalid((slot)->data.invalidated_at))
#endif

/* 18 can let pass a slot that was invalidated */
#if PG_VERSION_NUM >= 180000
#define pgt_slot_acquire(name) ReplicationSlotAcquire(name, true, true)
#else
#define pgt_slot_acquire(name) ReplicationSlotAcquire(name, true)
#endif

/* 19 keeps the holder's process number instead of its pid */
#if PG_VERSION_NUM >= 190000
#define pgt_slot_is_held(slot) ((slot)->active_proc != INVALID_PROC_NUMBER)
#else
#define pgt_slot_is_held(slot) ((slot)->active_pid != 0)
#endif

/* 16 renamed relfilenode to relfilenumber where it means the number */
#if PG_VERSION_NUM >= 160000
#define pgt_set_new_relfilenumber(rel, persistence) \
	RelationSetNewRelfilenumber(rel, persistence)
#else
#define pgt_set_new_relfilenumber(rel, persistence) \
	RelationSetNewRelfilenode(rel, persistence)
#endif

/* 17 lets reindex_relation know the statement it works for */
#if PG_VERSION_NUM >= 170000
#define pgt_reindex_relation(relid, flags, params) \
	reindex_relation(NULL, relid, flags, params)
#else
#define pgt_reindex_relation(relid, flags, params) \
	reindex_relation(relid, flags, params)
#endif

/* 16 counts a partitioned index's parts, 19 wants a ParseState; rights are not
 * checked and an existing index of the name is an error */
#if PG_VERSION_NUM >= 190000
#define pgt_define_index(relid, stmt) \
	DefineIndex(NULL, relid, stmt, InvalidOid, InvalidOid, InvalidOid, -1, \
				false, false, false, false, true)
#elif PG_VERSION_NUM >= 160000
#define pgt_define_index(relid, stmt) \
	DefineIndex(relid, stmt, InvalidOid, InvalidOid, InvalidOid, -1, \
				false, false, false, false, true)
#else
#define pgt_define_index(relid, stmt) \
	DefineIndex(relid, stmt, InvalidOid, InvalidOid, InvalidOid, \
				false, false, false, false, true)
#endif

/* ---- queries and plans ---- */

#include "access/tupdesc.h"
#include "executor/executor.h"
#include "nodes/parsenodes.h"
#include "nodes/plannodes.h"
#include "optimizer/optimizer.h"
#include "parser/parse_relation.h"
#include "rewrite/rewriteHandler.h"
#include "tcop/tcopprot.h"
#include "utils/inval.h"
#include "utils/rel.h"
#include "utils/syscache.h"

/* 19 gave the cache numbers a type of their own */
#if PG_VERSION_NUM >= 190000
typedef SysCacheIdentifier PgtSyscacheId;
#else
typedef int PgtSyscacheId;
#endif

/* 19: a descriptor filled by hand must be finished before use */
static inline void
pgt_tupdesc_finish(TupleDesc desc)
{
#if PG_VERSION_NUM >= 190000
	TupleDescFinalize(desc);
#else
	(void) desc;
#endif
}

/* 16 added the planner's root (NULL outside of it) */
static inline Node *
pgt_flatten_join_aliases(Query *query, Node *node)
{
#if PG_VERSION_NUM >= 160000
	return flatten_join_alias_vars(NULL, query, node);
#else
	return flatten_join_alias_vars(query, node);
#endif
}

/* 18 renamed what says how btrees use an operator (or its negator) */
#include "utils/lsyscache.h"
static inline bool
pgt_op_is_comparison(Oid opno)
{
#if PG_VERSION_NUM >= 180000
	return get_op_index_interpretation(opno) != NIL;
#else
	return get_op_btree_interpretation(opno) != NIL;
#endif
}

/* 18 knows columns of OLD and NEW */
static inline void
pgt_expand_rte(RangeTblEntry *rte, int rtindex, List **names, List **vars)
{
#if PG_VERSION_NUM >= 180000
	expandRTE(rte, rtindex, 0, VAR_RETURNING_DEFAULT, -1, false, names, vars);
#else
	expandRTE(rte, rtindex, 0, -1, false, names, vars);
#endif
}

/* Columns of the row that a Var names whole, as a ROW of the row's type has them
 * (named: with those dropped since). */
static inline void
pgt_expand_whole_row(RangeTblEntry *rte, const Var *var, bool named,
					 List **names, List **vars)
{
#if PG_VERSION_NUM >= 180000
	expandRTE(rte, var->varno, var->varlevelsup, VAR_RETURNING_DEFAULT, -1,
			  named, names, vars);
#else
	expandRTE(rte, var->varno, var->varlevelsup, -1, named, names, vars);
#endif
}

/* 16 lets a column say which outer joins may have made it null */
static inline void
pgt_set_nulling_join(Var *var, int rtindex)
{
#if PG_VERSION_NUM >= 160000
	var->varnullingrels = bms_make_singleton(rtindex);
#else
	(void) var;
	(void) rtindex;
#endif
}

static inline void
pgt_clear_nulling(Var *var)
{
#if PG_VERSION_NUM >= 160000
	var->varnullingrels = NULL;
#else
	(void) var;
#endif
}

/* 18 added a range table entry for the grouping step: take it out again */
static inline void
pgt_flatten_grouping(Query *query)
{
#if PG_VERSION_NUM >= 180000
	if (!query->hasGroupRTE)
		return;
	query->targetList = (List *)
		flatten_group_exprs(NULL, query, (Node *) query->targetList);
	query->havingQual = flatten_group_exprs(NULL, query, query->havingQual);
	query->hasGroupRTE = false;
#else
	(void) query;
#endif
}

static inline bool
pgt_rte_is_grouping(const RangeTblEntry *rte)
{
#if PG_VERSION_NUM >= 180000
	return rte->rtekind == RTE_GROUP;
#else
	(void) rte;
	return false;
#endif
}

/* expressions that a grouping entry's columns stand for */
static inline List *
pgt_rte_group_exprs(const RangeTblEntry *rte)
{
#if PG_VERSION_NUM >= 180000
	return rte->groupexprs;
#else
	(void) rte;
	return NIL;
#endif
}

/* 16 added SQL/JSON constructors: the aggregate inside of JSON_ARRAYAGG or
 * JSON_OBJECTAGG, and what its result goes through (or NULL) */
static inline bool
pgt_json_aggregate(Node *node, Expr **func, Expr **coercion)
{
#if PG_VERSION_NUM >= 160000
	JsonConstructorExpr *json = (JsonConstructorExpr *) node;

	if (!IsA(node, JsonConstructorExpr) ||
		(json->type != JSCTOR_JSON_OBJECTAGG && json->type != JSCTOR_JSON_ARRAYAGG))
		return false;
	*func = json->func;
	*coercion = json->coercion;
	return true;
#else
	(void) node;
	(void) func;
	(void) coercion;
	return false;
#endif
}

/* 18 says of a sort clause itself which way it goes */
#if PG_VERSION_NUM >= 180000
#define pgt_set_reverse_sort(clause, reverse) ((clause)->reverse_sort = (reverse))
#else
#define pgt_set_reverse_sort(clause, reverse) ((void) 0)
#endif

/* 18: virtual generated columns of a relation become their expressions */
static inline Query *
pgt_expand_virtual_columns(Query *query, Relation rel, int rtindex)
{
#if PG_VERSION_NUM >= 180000
	if (rel->rd_att->constr != NULL && rel->rd_att->constr->has_generated_virtual)
		return (Query *) expand_generated_columns_in_expr((Node *) query, rel,
														  rtindex);
#else
	(void) rel;
	(void) rtindex;
#endif
	return query;
}

/* 16 moved permissions out of the range table */
static inline void
pgt_check_level_permissions(Query *query)
{
#if PG_VERSION_NUM >= 160000
	ExecCheckPermissions(query->rtable, query->rteperminfos, true);
#else
	ExecCheckRTPerms(query->rtable, true);
#endif
}

/* An entry made by hand: the planner of 16+ wants a permission entry for a
 * partitioned table even where nothing is to be checked. */
static inline void
pgt_add_permission_entry(Query *query, RangeTblEntry *rte)
{
#if PG_VERSION_NUM >= 160000
	addRTEPermissionInfo(&query->rteperminfos, rte);
#else
	rte->requiredPerms = 0;
	(void) query;
#endif
}

/* An entry that leaves its query: nothing is to be checked for it any more. */
static inline void
pgt_forget_permissions(RangeTblEntry *rte)
{
#if PG_VERSION_NUM >= 160000
	rte->perminfoindex = 0;
#else
	rte->requiredPerms = 0;
#endif
}

/* ... and the executor wants none that checks nothing */
static inline void
pgt_strip_permissions(PlannedStmt *stmt)
{
#if PG_VERSION_NUM >= 160000
	ListCell   *lc;

	stmt->permInfos = NIL;
	foreach(lc, stmt->rtable)
		lfirst_node(RangeTblEntry, lc)->perminfoindex = 0;
#else
	(void) stmt;
#endif
}

/* 19 added the state of an EXPLAIN */
static inline PlannedStmt *
pgt_plan_query(Query *query, const char *text, int options)
{
#if PG_VERSION_NUM >= 190000
	return pg_plan_query(query, text, options, NULL, NULL);
#else
	return pg_plan_query(query, text, options, NULL);
#endif
}

/* 18 dropped execute_once */
static inline void
pgt_executor_run(QueryDesc *desc)
{
#if PG_VERSION_NUM >= 180000
	ExecutorRun(desc, ForwardScanDirection, 0);
#else
	ExecutorRun(desc, ForwardScanDirection, 0, true);
#endif
}

/* 18 moved ExplainState and its output to headers of their own */
#if PG_VERSION_NUM >= 180000
#include "commands/explain_format.h"
#include "commands/explain_state.h"
#endif

/* 18 keeps a compact copy of each attribute that follows only when told */
#if PG_VERSION_NUM >= 180000
#define pgt_attribute_changed(desc, i) populate_compact_attribute(desc, i)
#else
#define pgt_attribute_changed(desc, i) ((void) 0)
#endif

/* ---- executor and table access, as macros: the decoder needs none ---- */

/* 18 added instrumentation, 19 flags */
#if PG_VERSION_NUM >= 190000
#define pgt_index_beginscan(heap, index, snapshot, nkeys) \
	index_beginscan(heap, index, snapshot, NULL, nkeys, 0, 0)
#define pgt_table_beginscan(rel, snapshot) \
	table_beginscan(rel, snapshot, 0, NULL, 0)
#elif PG_VERSION_NUM >= 180000
#define pgt_index_beginscan(heap, index, snapshot, nkeys) \
	index_beginscan(heap, index, snapshot, NULL, nkeys, 0)
#define pgt_table_beginscan(rel, snapshot) \
	table_beginscan(rel, snapshot, 0, NULL)
#else
#define pgt_index_beginscan(heap, index, snapshot, nkeys) \
	index_beginscan(heap, index, snapshot, nkeys, 0)
#define pgt_table_beginscan(rel, snapshot) \
	table_beginscan(rel, snapshot, 0, NULL)
#endif

/* 16: which indexes an update needs became an enum instead of a bool */
#if PG_VERSION_NUM >= 160000
#define PGT_UPDATE_INDEXES TU_UpdateIndexes
#define PGT_UPDATE_INDEXES_NONE TU_None
#else
#define PGT_UPDATE_INDEXES bool
#define PGT_UPDATE_INDEXES_NONE false
#endif

/* 16 added onlySummarizing, 19 made it flags in another order */
#if PG_VERSION_NUM >= 190000
#define pgt_index_insert_new(rri, slot, estate) \
	ExecInsertIndexTuples(rri, estate, 0, slot, NIL, NULL)
#define pgt_index_insert_updated(rri, slot, estate, update_indexes) \
	ExecInsertIndexTuples(rri, estate, EIIT_IS_UPDATE | \
						  ((update_indexes) == TU_Summarizing ? EIIT_ONLY_SUMMARIZING : 0), \
						  slot, NIL, NULL)
#elif PG_VERSION_NUM >= 160000
#define pgt_index_insert_new(rri, slot, estate) \
	ExecInsertIndexTuples(rri, slot, estate, false, false, NULL, NIL, false)
#define pgt_index_insert_updated(rri, slot, estate, update_indexes) \
	ExecInsertIndexTuples(rri, slot, estate, true, false, NULL, NIL, \
						  (update_indexes) == TU_Summarizing)
#else
#define pgt_index_insert_new(rri, slot, estate) \
	ExecInsertIndexTuples(rri, slot, estate, false, false, NULL, NIL)
#define pgt_index_insert_updated(rri, slot, estate, update_indexes) \
	ExecInsertIndexTuples(rri, slot, estate, true, false, NULL, NIL)
#endif

/* One result relation, all of whose columns count as updated.  16 split
 * permissions off the range table, 18 added pruning. */
#if PG_VERSION_NUM >= 180000
#define pgt_exec_init_range_table(estate, rte, updated) \
	do { \
		List	   *perminfos_ = NIL; \
		addRTEPermissionInfo(&perminfos_, rte)->updatedCols = (updated); \
		ExecInitRangeTable(estate, list_make1(rte), perminfos_, \
						   bms_make_singleton(1)); \
	} while (0)
#elif PG_VERSION_NUM >= 160000
#define pgt_exec_init_range_table(estate, rte, updated) \
	do { \
		List	   *perminfos_ = NIL; \
		addRTEPermissionInfo(&perminfos_, rte)->updatedCols = (updated); \
		ExecInitRangeTable(estate, list_make1(rte), perminfos_); \
	} while (0)
#else
#define pgt_exec_init_range_table(estate, rte, updated) \
	do { \
		(rte)->updatedCols = (updated); \
		ExecInitRangeTable(estate, list_make1(rte)); \
	} while (0)
#endif

/* 16 gave EvalPlanQualInit the result relations, row triggers their outcome;
 * 18 asks them whether it is a MERGE */
#if PG_VERSION_NUM >= 160000
#define pgt_eval_plan_qual_init(epq, estate) \
	EvalPlanQualInit(epq, estate, NULL, NIL, -1, NIL)
#else
#define pgt_eval_plan_qual_init(epq, estate) \
	EvalPlanQualInit(epq, estate, NULL, NIL, -1)
#endif
#if PG_VERSION_NUM >= 180000
#define pgt_before_row_delete(estate, epq, rri, tid) \
	ExecBRDeleteTriggers(estate, epq, rri, tid, NULL, NULL, NULL, NULL, false)
#define pgt_before_row_update(estate, epq, rri, tid, slot) \
	ExecBRUpdateTriggers(estate, epq, rri, tid, NULL, slot, NULL, NULL, false)
#elif PG_VERSION_NUM >= 160000
#define pgt_before_row_delete(estate, epq, rri, tid) \
	ExecBRDeleteTriggers(estate, epq, rri, tid, NULL, NULL, NULL, NULL)
#define pgt_before_row_update(estate, epq, rri, tid, slot) \
	ExecBRUpdateTriggers(estate, epq, rri, tid, NULL, slot, NULL, NULL)
#else
#define pgt_before_row_delete(estate, epq, rri, tid) \
	ExecBRDeleteTriggers(estate, epq, rri, tid, NULL, NULL)
#define pgt_before_row_update(estate, epq, rri, tid, slot) \
	ExecBRUpdateTriggers(estate, epq, rri, tid, NULL, slot, NULL)
#endif

/* 18 lets a caller reserve room before the tuple */
#if PG_VERSION_NUM >= 180000
#define pgt_form_minimal_tuple(desc, values, nulls) \
	heap_form_minimal_tuple(desc, values, nulls, 0)
#else
#define pgt_form_minimal_tuple(desc, values, nulls) \
	heap_form_minimal_tuple(desc, values, nulls)
#endif

/* 17 dropped the wrapper around a decoded tuple */
#if PG_VERSION_NUM >= 170000
#define pgt_decoded_tuple(t) (t)
#else
#define pgt_decoded_tuple(t) ((t) ? &(t)->tuple : NULL)
#endif

/* 18 has deferrable primary keys in it when asked */
#if PG_VERSION_NUM >= 180000
#define pgt_primary_key_index(rel) RelationGetPrimaryKeyIndex(rel, false)
#else
#define pgt_primary_key_index(rel) RelationGetPrimaryKeyIndex(rel)
#endif

/* 19 renamed the number of a replication origin */
#if PG_VERSION_NUM >= 190000
#define PGT_ORIGIN_ID ReplOriginId
#define PGT_NO_ORIGIN InvalidReplOriginId
#else
#define PGT_ORIGIN_ID RepOriginId
#define PGT_NO_ORIGIN InvalidRepOriginId
#endif

/* 18 has generated columns that are not stored */
#if PG_VERSION_NUM >= 180000
#define pgt_is_virtual(att) ((att)->attgenerated == ATTRIBUTE_GENERATED_VIRTUAL)
#else
#define pgt_is_virtual(att) false
#endif

/* 18 has NOT NULL constraints that old rows may violate */
#if PG_VERSION_NUM >= 180000
#define pgt_is_never_null(desc, i) \
	(TupleDescCompactAttr(desc, i)->attnullability == ATTNULLABLE_VALID)
#else
#define pgt_is_never_null(desc, i) (TupleDescAttr(desc, i)->attnotnull)
#endif

/* 18 names comparisons independently of the access method */
#if PG_VERSION_NUM >= 180000
#define PGT_COMPARISON CompareType
#define PGT_COMPARES_GREATER COMPARE_GT
#else
#define PGT_COMPARISON int16
#define PGT_COMPARES_GREATER BTGreaterStrategyNumber
#endif

/* 18 asks for the direction instead of the strategy; needs access/nbtree.h */
#if PG_VERSION_NUM >= 180000
#define pgt_sort_support_from_index(index, ssup) \
	PrepareSortSupportFromIndexRel(index, false, ssup)
#else
#define pgt_sort_support_from_index(index, ssup) \
	PrepareSortSupportFromIndexRel(index, BTLessStrategyNumber, ssup)
#endif

/* 17 can be asked about stronger locks, too; needs storage/lock.h */
#if PG_VERSION_NUM >= 170000
#define PGT_LOCK_HELD_BY_ME(tag, mode) LockHeldByMe(tag, mode, false)
#else
#define PGT_LOCK_HELD_BY_ME(tag, mode) LockHeldByMe(tag, mode)
#endif

#endif							/* PGT_COMPAT_H */
