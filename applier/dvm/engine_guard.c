/*
 * applier/dvm/engine_guard.c - "the engine itself is writing".
 *
 * Guards elsewhere refuse direct DML on stream tables, state tables and
 * buffers; they let pass what happens between begin_write and end_write.
 * The two nest.  An ERROR leaves the counter to the transaction's end, which
 * resets it; a sub-transaction that aborts puts back the depth it began with,
 * so that code which catches the error is not left with the guard open.
 */
#include "postgres.h"
#include "access/xact.h"
#include "utils/memutils.h"

#include "applier/dvm/dvm.h"

typedef struct WriteLevel
{
	SubTransactionId subid;
	int			depth;			/* when that sub-transaction began */
	struct WriteLevel *outer;
} WriteLevel;

static int	write_depth = 0;
static WriteLevel *levels = NULL;
static bool callbacks_registered = false;

static void
transaction_ended(XactEvent event, void *arg)
{
	switch (event)
	{
		case XACT_EVENT_COMMIT:
		case XACT_EVENT_ABORT:
		case XACT_EVENT_PREPARE:
		case XACT_EVENT_PARALLEL_COMMIT:
		case XACT_EVENT_PARALLEL_ABORT:
			write_depth = 0;
			levels = NULL;
			break;
		default:
			break;
	}
}

static void
subtransaction_began(SubTransactionId subid)
{
	WriteLevel *level = MemoryContextAlloc(TopTransactionContext,
										   sizeof(WriteLevel));

	level->subid = subid;
	level->depth = write_depth;
	level->outer = levels;
	levels = level;
}

static void
subtransaction_changed(SubXactEvent event, SubTransactionId subid,
					   SubTransactionId parent, void *arg)
{
	switch (event)
	{
		case SUBXACT_EVENT_START_SUB:
			/* a sub-transaction begun outside any write aborts to depth 0 */
			if (write_depth > 0)
				subtransaction_began(subid);
			return;
		case SUBXACT_EVENT_ABORT_SUB:
			if (levels != NULL && levels->subid == subid)
				write_depth = levels->depth;
			else
				write_depth = 0;
			break;
		case SUBXACT_EVENT_COMMIT_SUB:
			break;
		default:
			return;
	}
	if (levels != NULL && levels->subid == subid)
		levels = levels->outer;
}

bool
pgt_engine_is_writing(void)
{
	return write_depth > 0;
}

void
pgt_engine_begin_write(void)
{
	if (!callbacks_registered)
	{
		RegisterXactCallback(transaction_ended, NULL);
		RegisterSubXactCallback(subtransaction_changed, NULL);
		callbacks_registered = true;
	}
	write_depth++;
}

void
pgt_engine_end_write(void)
{
	if (write_depth <= 0)
		elog(ERROR, "engine write ended without begin");
	write_depth--;
}
