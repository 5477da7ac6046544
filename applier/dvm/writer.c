/*
 * applier/dvm/writer.c - native writes of one table: table access method plus
 * the executor's routines for indexes, constraints and triggers.
 *
 * Owned by a run: the executor state lives below the context that was current
 * at begin and goes with end (or with that context on ERROR; relations opened
 * by it are released by the resource owner).  Rows written become visible to
 * later commands at end, not before.
 *
 * A BEFORE trigger of a user that changes or suppresses a row of a stream
 * table would make it differ from its query; that is refused.
 */
#include "postgres.h"
#include "access/sysattr.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "nodes/makefuncs.h"
#include "parser/parse_relation.h"
#include "storage/bufmgr.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

#include "applier/dvm/op.h"
#include "applier/dvm/writer.h"
#include "decoder/compat.h"

/* As UPDATE ... OF triggers and index maintenance want to know it. */
static Bitmapset *
all_columns(Relation rel)
{
	Bitmapset  *columns = NULL;

	for (int i = 1; i <= RelationGetDescr(rel)->natts; i++)
		columns = bms_add_member(columns,
								 i - FirstLowInvalidHeapAttributeNumber);
	return columns;
}

static ResultRelInfo *
make_result_relation(EState *estate, Relation rel)
{
	RangeTblEntry *rte = makeNode(RangeTblEntry);
	ResultRelInfo *rri = makeNode(ResultRelInfo);

	rte->rtekind = RTE_RELATION;
	rte->relid = RelationGetRelid(rel);
	rte->relkind = rel->rd_rel->relkind;
	rte->rellockmode = RowExclusiveLock;
	pgt_exec_init_range_table(estate, rte, all_columns(rel));
	InitResultRelInfo(rri, rel, 1, NULL, 0);
	estate->es_opened_result_relations =
		lappend(estate->es_opened_result_relations, rri);
	return rri;
}

static void
begin_triggers(PgtWriter *writer)
{
	TriggerDesc *desc = writer->rel->trigdesc;
	Oid			relid = RelationGetRelid(writer->rel);

	AfterTriggerBeginQuery();
	pgt_eval_plan_qual_init(&writer->epq, writer->estate);
	writer->capture_insert = MakeTransitionCaptureState(desc, relid, CMD_INSERT);
	writer->capture_update = MakeTransitionCaptureState(desc, relid, CMD_UPDATE);
	writer->capture_delete = MakeTransitionCaptureState(desc, relid, CMD_DELETE);
}

/*
 * The first fill leaves more room in the pages than the table's fillfactor
 * asks for.  The heap prunes a page whenever less than (100 - fillfactor) % of
 * it is free, so with one number for both a page that has seen its first HOT
 * update is pruned at every later look-up: 25 % of a refresh of scattered rows.
 * Only the relcache entry's copy is changed, until end (or, after an ERROR,
 * until the entry is built anew: pages are a little emptier then, no more).
 */
static void
leave_room(PgtWriter *writer)
{
	StdRdOptions *options = (StdRdOptions *) writer->rel->rd_options;

	if (options == NULL || options->fillfactor != PGT_FILLFACTOR ||
		RelationGetNumberOfBlocks(writer->rel) > 0)
		return;
	writer->fillfactor = options->fillfactor;
	options->fillfactor = PGT_FIRST_FILLFACTOR;
}

static void
put_fillfactor_back(PgtWriter *writer)
{
	if (writer->fillfactor > 0 && writer->rel->rd_options != NULL)
		((StdRdOptions *) writer->rel->rd_options)->fillfactor = writer->fillfactor;
}

PgtWriter *
pgt_writer_begin(Relation rel, bool triggers)
{
	PgtWriter  *writer = palloc0(sizeof(PgtWriter));
	MemoryContext old;

	writer->rel = rel;
	writer->estate = CreateExecutorState();
	old = MemoryContextSwitchTo(writer->estate->es_query_cxt);
	writer->rri = make_result_relation(writer->estate, rel);
	ExecOpenIndices(writer->rri, false);
	writer->estate->es_output_cid = GetCurrentCommandId(true);
	writer->estate->es_snapshot = GetActiveSnapshot();
	writer->triggers = triggers && rel->trigdesc != NULL;
	writer->checked = triggers && rel->rd_att->constr != NULL;
	if (writer->triggers)
		begin_triggers(writer);
	leave_room(writer);
	MemoryContextSwitchTo(old);
	return writer;
}

static void
refuse_trigger(PgtWriter *writer)
{
	ereport(ERROR,
			(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
			 errmsg("a BEFORE trigger of stream table \"%s\" suppressed a row",
					RelationGetRelationName(writer->rel)),
			 errdetail("A stream table holds exactly the rows of its query."),
			 errhint("Use an AFTER trigger, or make the trigger return the row.")));
}

/* A BEFORE trigger has put another row into the slot than was to be written. */
static void
check_unchanged(PgtWriter *writer, TupleTableSlot *slot, HeapTuple before)
{
	bool		shouldfree;
	HeapTuple	after = ExecFetchSlotHeapTuple(slot, true, &shouldfree);

	if (after->t_len != before->t_len ||
		memcmp((char *) after->t_data + after->t_data->t_hoff,
			   (char *) before->t_data + before->t_data->t_hoff,
			   Min(after->t_len - after->t_data->t_hoff,
				   before->t_len - before->t_data->t_hoff)) != 0)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("a BEFORE trigger of stream table \"%s\" changed a row",
						RelationGetRelationName(writer->rel)),
				 errdetail("A stream table holds exactly the rows of its query."),
				 errhint("Use an AFTER trigger, or make the trigger return the row as it is.")));
}

static void
before_insert(PgtWriter *writer, TupleTableSlot *slot)
{
	HeapTuple	wanted = ExecCopySlotHeapTuple(slot);

	if (!ExecBRInsertTriggers(writer->estate, writer->rri, slot))
		refuse_trigger(writer);
	check_unchanged(writer, slot, wanted);
	heap_freetuple(wanted);
}

static void
before_update(PgtWriter *writer, ItemPointer tid, TupleTableSlot *slot)
{
	HeapTuple	wanted = ExecCopySlotHeapTuple(slot);

	if (!pgt_before_row_update(writer->estate, &writer->epq, writer->rri, tid,
							   slot))
		refuse_trigger(writer);
	check_unchanged(writer, slot, wanted);
	heap_freetuple(wanted);
}

void
pgt_writer_insert(PgtWriter *writer, TupleTableSlot *slot)
{
	List	   *recheck = NIL;

	if (writer->triggers && writer->rel->trigdesc->trig_insert_before_row)
		before_insert(writer, slot);
	if (writer->checked)
		ExecConstraints(writer->rri, slot, writer->estate);
	simple_table_tuple_insert(writer->rel, slot);
	if (writer->rri->ri_NumIndices > 0)
		recheck = pgt_index_insert_new(writer->rri, slot, writer->estate);
	if (writer->triggers)
		ExecARInsertTriggers(writer->estate, writer->rri, slot, recheck,
							 writer->capture_insert);
	ResetPerTupleExprContext(writer->estate);
}

void
pgt_writer_update(PgtWriter *writer, ItemPointer tid, TupleTableSlot *slot)
{
	PGT_UPDATE_INDEXES indexes;
	List	   *recheck = NIL;
	ItemPointerData old = *tid;

	if (writer->triggers && writer->rel->trigdesc->trig_update_before_row)
		before_update(writer, &old, slot);
	if (writer->checked)
		ExecConstraints(writer->rri, slot, writer->estate);
	simple_table_tuple_update(writer->rel, &old, slot,
							  writer->estate->es_snapshot, &indexes);
	if (writer->rri->ri_NumIndices > 0 && indexes != PGT_UPDATE_INDEXES_NONE)
		recheck = pgt_index_insert_updated(writer->rri, slot, writer->estate,
										   indexes);
	if (writer->triggers)
		ExecARUpdateTriggers(writer->estate, writer->rri, NULL, NULL, &old,
							 NULL, slot, recheck, writer->capture_update,
							 false);
	ResetPerTupleExprContext(writer->estate);
}

void
pgt_writer_delete(PgtWriter *writer, ItemPointer tid)
{
	ItemPointerData old = *tid;

	if (writer->triggers && writer->rel->trigdesc->trig_delete_before_row &&
		!pgt_before_row_delete(writer->estate, &writer->epq, writer->rri, &old))
		refuse_trigger(writer);
	simple_table_tuple_delete(writer->rel, &old, writer->estate->es_snapshot);
	if (writer->triggers)
		ExecARDeleteTriggers(writer->estate, writer->rri, &old, NULL,
							 writer->capture_delete, false);
	ResetPerTupleExprContext(writer->estate);
}

void
pgt_writer_before(PgtWriter *writer, CmdType kind)
{
	if (!writer->triggers)
		return;
	if (kind == CMD_DELETE)
		ExecBSDeleteTriggers(writer->estate, writer->rri);
	else if (kind == CMD_UPDATE)
		ExecBSUpdateTriggers(writer->estate, writer->rri);
	else
		ExecBSInsertTriggers(writer->estate, writer->rri);
}

void
pgt_writer_after(PgtWriter *writer, CmdType kind)
{
	if (!writer->triggers)
		return;
	if (kind == CMD_DELETE)
		ExecASDeleteTriggers(writer->estate, writer->rri,
							 writer->capture_delete);
	else if (kind == CMD_UPDATE)
		ExecASUpdateTriggers(writer->estate, writer->rri,
							 writer->capture_update);
	else
		ExecASInsertTriggers(writer->estate, writer->rri,
							 writer->capture_insert);
}

void
pgt_writer_end(PgtWriter *writer)
{
	EState	   *estate = writer->estate;

	put_fillfactor_back(writer);
	if (writer->triggers)
	{
		AfterTriggerEndQuery(estate);
		EvalPlanQualEnd(&writer->epq);
	}
	ExecResetTupleTable(estate->es_tupleTable, false);
	/* closes the indexes too, and what triggers' targets had opened */
	ExecCloseResultRelations(estate);
	FreeExecutorState(estate);
	CommandCounterIncrement();
}
