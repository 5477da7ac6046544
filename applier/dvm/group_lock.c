/*
 * applier/dvm/group_lock.c - several writers in one state table.
 *
 * A refresh holds the stream table's lock and writes alone.  Writers of an
 * IMMEDIATE stream table over one source do not wait for each other as long as
 * they touch different groups: before a reduce looks at its groups, it locks
 * those that the delta names.
 *
 *   a group that exists   its state row, as UPDATE would lock it;
 *   a group that does not a heavyweight lock of its hash, folded to few values:
 *                         a bulk insertion of new groups fits the lock table.
 *
 * All in order of the folded hash, then the hash, so that two statements never
 * wait for each other.  Who got a group's lock sees all that its earlier holders
 * did: they have committed, and the snapshots for looking up state and for
 * reading a group's rows anew are taken after.  A row of the group that the
 * snapshot shows was therefore absorbed by the state, and one that it does not
 * show was not: whoever wrote it waits for us.
 *
 * At REPEATABLE READ and above a group that was changed after the transaction's
 * snapshot is a serialization failure, as it would be for an UPDATE.
 *
 * The stream table's own row of a group is written by the holder of the group
 * only.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/nbtree.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "catalog/pg_am.h"
#include "miscadmin.h"
#include "storage/lock.h"
#include "utils/fmgroids.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

#include "applier/dvm/groups.h"
#include "applier/dvm/program.h"
#include "decoder/compat.h"

/* Not a class that SQL functions can name; 8 is the refresh lock's. */
#define GROUP_LOCK_CLASS 9
#define GROUP_LOCK_FOLD 256

typedef struct GroupLocker
{
	PgtReduceOp *op;
	Relation	rel;
	Relation	index;
	TupleTableSlot *found;
	TupleTableSlot *locked;
} GroupLocker;

static uint32
fold(uint64 hash)
{
	return (uint32) ((hash ^ (hash >> 32)) % GROUP_LOCK_FOLD);
}

static int
cmp_hash(const void *a, const void *b)
{
	uint64		x = *(const uint64 *) a;
	uint64		y = *(const uint64 *) b;

	if (fold(x) != fold(y))
		return fold(x) < fold(y) ? -1 : 1;
	return x < y ? -1 : x > y;
}

/* Hashes of all keys in the delta, each once, in order of locking. */
static uint64 *
collect_hashes(PgtReduceOp *op, Tuplestorestate *input, int64 *nhashes)
{
	TupleDesc	desc = ((PgtOp *) linitial(op->op.inputs))->deltadesc;
	TupleTableSlot *slot = MakeSingleTupleTableSlot(desc, &TTSOpsMinimalTuple);
	int64		room = tuplestore_tuple_count(input) + 1;
	uint64	   *hashes = MemoryContextAllocHuge(CurrentMemoryContext,
												sizeof(uint64) * room);
	Datum	   *keys = palloc(sizeof(Datum) * (op->nkeys + 1));
	bool	   *nulls = palloc(sizeof(bool) * (op->nkeys + 1));
	int64		n = 0;
	int64		distinct = 0;

	tuplestore_select_read_pointer(input, 0);
	tuplestore_rescan(input);
	while (tuplestore_gettupleslot(input, true, false, slot))
	{
		slot_getallattrs(slot);
		for (int i = 0; i < op->nkeys; i++)
		{
			keys[i] = slot->tts_values[op->keys[i].in_col - 1];
			nulls[i] = slot->tts_isnull[op->keys[i].in_col - 1];
		}
		hashes[n++] = pgt_keys_hash(op->keyset, keys, nulls);
	}
	ExecDropSingleTupleTableSlot(slot);
	qsort(hashes, n, sizeof(uint64), cmp_hash);
	for (int64 i = 0; i < n; i++)
		if (i == 0 || hashes[i] != hashes[distinct - 1])
			hashes[distinct++] = hashes[i];
	*nhashes = distinct;
	return hashes;
}

PGT_NORETURN static void
refuse_old_snapshot(void)
{
	ereport(ERROR,
			(errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
			 errmsg("could not serialize access due to concurrent update"),
			 errdetail("A group of the stream table was changed after this transaction's snapshot was taken."),
			 errhint("Retry the transaction.")));
}

/* ---- rows ---- */

static IndexScanDesc
begin_scan(GroupLocker *l, uint64 hash, Snapshot snapshot)
{
	IndexScanDesc scan = pgt_index_beginscan(l->rel, l->index, snapshot, 1);
	ScanKeyData key;

	ScanKeyInit(&key, 1, BTEqualStrategyNumber, F_INT8EQ,
				Int64GetDatum((int64) hash));
	index_rescan(scan, &key, 1, NULL, 0);
	return scan;
}

static void
check_seen(TupleTableSlot *slot)
{
	bool		should_free;
	HeapTuple	tuple = ExecFetchSlotHeapTuple(slot, false, &should_free);
	TransactionId xmin = HeapTupleHeaderGetRawXmin(tuple->t_data);

	if (!HeapTupleHeaderXminFrozen(tuple->t_data) &&
		!TransactionIdIsCurrentTransactionId(xmin) &&
		XidInMVCCSnapshot(xmin, GetTransactionSnapshot()))
		refuse_old_snapshot();
}

/* Lock the row in l->found, or a version that came after; false: it is gone. */
static bool
lock_row(GroupLocker *l, Snapshot snapshot)
{
	TM_FailureData failure;
	TM_Result	result;
	int			flags = IsolationUsesXactSnapshot() ? 0 :
		TUPLE_LOCK_FLAG_FIND_LAST_VERSION;
	ItemPointerData tid = l->found->tts_tid;

	result = table_tuple_lock(l->rel, &tid, snapshot, l->locked,
							  GetCurrentCommandId(false), LockTupleExclusive,
							  LockWaitBlock, flags, &failure);
	switch (result)
	{
		case TM_Ok:
			if (IsolationUsesXactSnapshot())
				check_seen(l->locked);
			return true;
		case TM_Updated:
		case TM_Deleted:
			if (IsolationUsesXactSnapshot())
				refuse_old_snapshot();
			return false;
		default:
			elog(ERROR, "unexpected result %d of locking a group of state table \"%s\"",
				 (int) result, RelationGetRelationName(l->rel));
	}
}

/* All rows of that hash; false: there is none. */
static bool
lock_rows(GroupLocker *l, uint64 hash)
{
	Snapshot	snapshot = RegisterSnapshot(GetLatestSnapshot());
	IndexScanDesc scan = begin_scan(l, hash, snapshot);
	bool		locked = false;

	while (index_getnext_slot(scan, ForwardScanDirection, l->found))
		if (lock_row(l, snapshot))
			locked = true;
	index_endscan(scan);
	UnregisterSnapshot(snapshot);
	return locked;
}

/* Does the transaction's own snapshot show a row that is gone by now? */
static void
check_not_deleted(GroupLocker *l, uint64 hash)
{
	IndexScanDesc scan;
	bool		found;

	if (!IsolationUsesXactSnapshot())
		return;
	scan = begin_scan(l, hash, GetActiveSnapshot());
	found = index_getnext_slot(scan, ForwardScanDirection, l->found);
	index_endscan(scan);
	if (found)
		refuse_old_snapshot();
}

static void
lock_new_group(GroupLocker *l, uint64 hash)
{
	LOCKTAG		tag;

	SET_LOCKTAG_ADVISORY(tag, MyDatabaseId, RelationGetRelid(l->rel), fold(hash),
						 GROUP_LOCK_CLASS);
	(void) LockAcquire(&tag, ExclusiveLock, false, false);
}

static void
lock_group(GroupLocker *l, uint64 hash)
{
	if (lock_rows(l, hash))
		return;
	lock_new_group(l, hash);
	/* who held that lock before may have made the group */
	if (!lock_rows(l, hash))
		check_not_deleted(l, hash);
}

/* ---- all of them ---- */

static Relation
open_hash_index(Relation rel)
{
	ListCell   *lc;

	foreach(lc, RelationGetIndexList(rel))
	{
		Relation	index = index_open(lfirst_oid(lc), AccessShareLock);

		if (index->rd_rel->relam == BTREE_AM_OID &&
			index->rd_index->indkey.values[0] == PGT_STATE_HASH_ATTNO)
			return index;
		index_close(index, NoLock);
	}
	elog(ERROR, "state table \"%s\" has no index on its hash",
		 RelationGetRelationName(rel));
}

void
pgt_group_lock_all(PgtReduceOp *op, Tuplestorestate *input)
{
	int64		n;
	uint64	   *hashes = collect_hashes(op, input, &n);
	GroupLocker l = {.op = op};

	l.rel = table_open(op->op.state_relid, RowExclusiveLock);
	l.index = open_hash_index(l.rel);
	l.found = table_slot_create(l.rel, NULL);
	l.locked = table_slot_create(l.rel, NULL);
	for (int64 i = 0; i < n; i++)
	{
		CHECK_FOR_INTERRUPTS();
		lock_group(&l, hashes[i]);
	}
	ExecDropSingleTupleTableSlot(l.found);
	ExecDropSingleTupleTableSlot(l.locked);
	index_close(l.index, NoLock);
	table_close(l.rel, NoLock);
	pfree(hashes);

	/* rows of groups may have to be read again: as they are under the locks */
	if (!IsolationUsesXactSnapshot() && (op->any_rescan || op->any_recompute))
	{
		PopActiveSnapshot();
		PushCopiedSnapshot(GetLatestSnapshot());
		UpdateActiveSnapshotCommandId();
	}
}

bool
pgt_group_lock_suffices(const PgtProgram *program)
{
	int			nscans = 0;
	ListCell   *lc;

	foreach(lc, program->ops)
	{
		const PgtOp *op = lfirst(lc);

		if (op->kind == PGT_OP_SCAN)
			nscans++;
		else if ((op->kind != PGT_OP_BLOCK && op->kind != PGT_OP_REDUCE) ||
				 list_length(op->inputs) != 1)
			return false;
	}
	/* without a key rows of different groups may look alike, and two writers
	 * take the same one for theirs */
	return nscans == 1 && pgt_query_output_key(program->expanded) != NIL;
}
