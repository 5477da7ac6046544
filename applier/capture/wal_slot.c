/*
 * applier/capture/wal_slot.c - the database's replication slot: made, taken,
 * compared with what has been written, dropped.
 *
 * pgt_decoder.position says how far the WAL is in the buffers.  The slot is
 * never confirmed further than that row, so a slot that stands further was
 * moved by somebody else, and a row without a valid slot means that the slot
 * was lost: changes are missing then, and the start says so.
 *
 * A slot cannot be made in a transaction that has written, and making it waits
 * for every transaction that is running.  It happens in a transaction of its
 * own, through the function that users call, so that core's checks are all
 * made.  On ERROR the half-made slot goes with the process.
 */
#include "postgres.h"

#include "access/xact.h"
#include "access/xlog.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "replication/slot.h"
#include "storage/lmgr.h"
#include "storage/proc.h"
#include "storage/procarray.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/guc.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "applier/capture/cdc.h"
#include "applier/capture/wal_internal.h"
#include "decoder/compat.h"

/* What matters of a slot, copied under its lock. */
typedef struct SlotLook
{
	bool		there;
	bool		ours;			/* made for this database and our plugin */
	bool		held;
	bool		invalidated;
	XLogRecPtr	confirmed;
} SlotLook;

static void
look_at_slot(const char *name, SlotLook *look)
{
	ReplicationSlot *slot;

	memset(look, 0, sizeof(*look));
	LWLockAcquire(ReplicationSlotControlLock, LW_SHARED);
	slot = SearchNamedReplicationSlot(name, false);
	if (slot != NULL)
	{
		SpinLockAcquire(&slot->mutex);
		look->there = true;
		look->ours = slot->data.database == MyDatabaseId &&
			strcmp(NameStr(slot->data.plugin), PGT_WAL_PLUGIN) == 0;
		look->held = pgt_slot_is_held(slot);
		look->invalidated = pgt_slot_is_invalidated(slot);
		look->confirmed = slot->data.confirmed_flush;
		SpinLockRelease(&slot->mutex);
	}
	LWLockRelease(ReplicationSlotControlLock);
}

bool
pgt_wal_slot_is_held(Oid dboid)
{
	SlotLook	look;

	look_at_slot(psprintf("pg_trickle_%u", dboid), &look);
	return look.held;
}

bool
pgt_wal_drop_slot(void)
{
	char	   *name = pgt_cdc_slot_name();
	SlotLook	look;

	look_at_slot(name, &look);
	if (!look.there || !look.ours)
		return true;
	if (look.held)
		return false;
	ReplicationSlotDrop(name, true);
	ereport(LOG, (errmsg("pg_trickle dropped replication slot \"%s\"", name)));
	return true;
}

/* ---- who wants it ---- */

static bool
is_wanted(bool (*test) (const PgtSource *s))
{
	ListCell   *lc;

	foreach(lc, pgt_source_all())
		if (test(lfirst(lc)))
			return true;
	return false;
}

static bool
wants_decoder(const PgtSource *s)
{
	return pgt_cdc_is_wal(s) || pgt_cdc_is_going(s);
}

bool
pgt_wal_any_source(void)
{
	return is_wanted(wants_decoder);
}

bool
pgt_wal_decoder_wanted(void)
{
	SlotLook	look;

	if (pgt_wal_any_source() || pgt_decoder_get() != NULL)
		return true;
	look_at_slot(pgt_cdc_slot_name(), &look);
	return look.there && look.ours;
}

/* ---- making it ---- */

/* The minor releases that know output_plugin_libraries refuse a plugin that is
 * not listed there.  Ours is as trusted as this library, which is preloaded;
 * it is listed for this process only. */
static void
list_plugin(void)
{
	const char *name = "output_plugin_libraries";
	const char *listed = GetConfigOption(name, true, false);

	if (listed == NULL)
		return;
	SetConfigOption(name,
					listed[0] ? psprintf("%s, " PGT_WAL_PLUGIN, listed) : PGT_WAL_PLUGIN,
					PGC_SUSET, PGC_S_OVERRIDE);
}

static void
make_slot(const char *name)
{
	NameData	slot;
	NameData	plugin;

	pgt_wal_note_error(0, "it makes the replication slot, which waits for all transactions that are running");
	namestrcpy(&slot, name);
	namestrcpy(&plugin, PGT_WAL_PLUGIN);
	StartTransactionCommand();
	PushActiveSnapshot(GetTransactionSnapshot());
	(void) pgt_create_logical_slot(NameGetDatum(&slot), NameGetDatum(&plugin));
	PopActiveSnapshot();
	CommitTransactionCommand();
	ereport(LOG, (errmsg("pg_trickle made replication slot \"%s\"", name)));
}

/*
 * A transaction whose commit lies before the slot's begin is not decoded, yet
 * it may not be visible for a while (a commit that waits for its standby).
 * When all that run now have ended, whatever is not decoded is visible to
 * everybody, and a rebuild sees it.
 */
static void
wait_for_running(void)
{
	TransactionId *xids;
	Snapshot	snapshot;
	int			n;

	StartTransactionCommand();
	snapshot = GetLatestSnapshot();
	n = snapshot->xcnt;
	xids = palloc(sizeof(TransactionId) * (n + 1));
	memcpy(xids, snapshot->xip, sizeof(TransactionId) * n);
	for (int i = 0; i < n; i++)
	{
		if (!TransactionIdIsInProgress(xids[i]))
			continue;
		pgt_wal_note_error(0, psprintf("after the slot was lost it waits for transaction %u to end",
									   xids[i]));
		XactLockTableWait(xids[i], NULL, NULL, XLTW_None);
	}
	CommitTransactionCommand();
}

/* ---- comparing it with what has been written ---- */

static bool
is_captured(const PgtSource *s)
{
	return pgt_cdc_is_wal(s);
}

/* NULL: nothing is missing between the row's position and the slot's. */
static const char *
compare(const PgtDecoder *row, const SlotLook *look)
{
	if (row == NULL)
		return is_wanted(is_captured) ? "the position of the decoder was lost" : NULL;
	if (row->system_identifier != GetSystemIdentifier() ||
		row->database_oid != MyDatabaseId)
		return "the position of the decoder belongs to another server or database";
	if (!look->there)
		return "the replication slot was missing";
	if (look->invalidated)
		return "the replication slot was invalidated: the WAL it needed was removed or is of no use";
	if (look->confirmed > row->position)
		return "the replication slot was moved by somebody else";
	return NULL;
}

static void
refuse_stranger(const char *name)
{
	ereport(ERROR,
			(errcode(ERRCODE_OBJECT_IN_USE),
			 errmsg("replication slot \"%s\" is not one of pg_trickle's", name),
			 errdetail("It belongs to another plugin or database."),
			 errhint("Drop it with pg_drop_replication_slot('%s').", name)));
}

void
pgt_wal_open_slot(PgtWalStart *start)
{
	char	   *name = MemoryContextStrdup(TopMemoryContext, pgt_cdc_slot_name());
	PgtDecoder *row;
	SlotLook	look;

	list_plugin();
	look_at_slot(name, &look);
	if (look.there && !look.ours)
		refuse_stranger(name);
	StartTransactionCommand();
	row = pgt_decoder_get();
	start->lost_reason = compare(row, &look);
	start->position = row ? row->position : InvalidXLogRecPtr;
	CommitTransactionCommand();

	if (look.there && look.invalidated)
		ReplicationSlotDrop(name, true);
	if (!look.there || look.invalidated)
		make_slot(name);
	pgt_slot_acquire(name);
	if (start->lost_reason != NULL)
		wait_for_running();
	if (start->lost_reason != NULL || XLogRecPtrIsInvalid(start->position) ||
		!look.there)
	{
		start->position = MyReplicationSlot->data.confirmed_flush;
		start->fresh = true;
	}
}
