/*
 * applier/capture/touched.c - which sources this transaction has changed.
 *
 * Triggers and refreshes note a relation here; when the transaction commits,
 * each is reported once to schedule/'s hook, which wakes the scheduler through
 * shared memory.  A rolled back savepoint leaves its relations noted: a
 * wake-up too many does no harm.  PREPARE TRANSACTION forgets them (COMMIT
 * PREPARED happens elsewhere, and whoever sees that command reports "unknown
 * sources").  The array lives as long as the backend; nothing is allocated at
 * commit.
 */
#include "postgres.h"

#include "access/xact.h"
#include "miscadmin.h"
#include "utils/memutils.h"

#include "applier/capture/capture.h"

PgtTouchedHook pgt_capture_touched_hook = NULL;

static Oid *touched = NULL;
static int	ntouched = 0;
static int	touched_size = 0;

void
pgt_capture_touch(Oid relid)
{
	/* the last one first: a session mostly goes on with the same table */
	for (int i = ntouched - 1; i >= 0; i--)
		if (touched[i] == relid)
			return;
	if (ntouched == touched_size)
	{
		int			size = Max(16, touched_size * 2);

		touched = touched ? repalloc(touched, size * sizeof(Oid)) :
			MemoryContextAlloc(TopMemoryContext, size * sizeof(Oid));
		touched_size = size;
	}
	touched[ntouched++] = relid;
}

static void
report_touched(void)
{
	if (pgt_capture_touched_hook == NULL)
		return;
	for (int i = 0; i < ntouched; i++)
		pgt_capture_touched_hook(MyDatabaseId, touched[i]);
}

static void
at_transaction_end(XactEvent event, void *arg)
{
	switch (event)
	{
		case XACT_EVENT_COMMIT:
			report_touched();
			ntouched = 0;
			break;
		case XACT_EVENT_ABORT:
		case XACT_EVENT_PREPARE:
			ntouched = 0;
			break;
		default:
			break;
	}
}

void
pgt_capture_init(void)
{
	RegisterXactCallback(at_transaction_end, NULL);
}
