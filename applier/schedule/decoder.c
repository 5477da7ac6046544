/*
 * applier/schedule/decoder.c - the decoder as a process: started by the
 * scheduler of its database where a source wants it, and its main function.
 *
 * What a decoder does is capture/wal_decode.c's; its place in shared memory is
 * capture/wal_shared.c's.  It ends by itself when no source wants it any more,
 * at a signal, and on every ERROR, which it leaves in its place for others to
 * see; the scheduler starts another one after a pause that grows while they
 * fail.  It outlives the scheduler: a new one finds it in its place.
 *
 * Owns, in the scheduler: the times of starts and failures.
 */
#include "postgres.h"

#include "access/xact.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "postmaster/bgworker.h"
#include "storage/condition_variable.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "utils/guc.h"
#include "utils/memutils.h"

#include "applier/capture/wal.h"
#include "applier/schedule/decoder.h"
#include "applier/schedule/shared.h"
#include "decoder/compat.h"

#define RESTART_FIRST_MS	500
#define RESTART_LAST_MS		30000
#define FORGET_MS			60000	/* ran so long: the failures are old */
#define STARTING_MS			1000	/* look how a start goes on */
#define DISMISS_MS			10000

static bool wanted = false;
static bool started = false;	/* one by us, whose end was not seen yet */
static TimestampTz started_at = 0;
static TimestampTz next_try = 0;
static int	failures = 0;

/* ---- the scheduler's side ---- */

void
pgt_decoder_look(bool by_user)
{
	wanted = pgt_wal_decoder_wanted();
	if (by_user)
	{
		failures = 0;
		next_try = 0;
	}
	pgt_wal_tell();
}

static bool
register_decoder(int slot, uint32 generation)
{
	BackgroundWorker worker;

	memset(&worker, 0, sizeof(worker));
	worker.bgw_flags = BGWORKER_SHMEM_ACCESS |
		BGWORKER_BACKEND_DATABASE_CONNECTION;
	worker.bgw_start_time = BgWorkerStart_RecoveryFinished;
	worker.bgw_restart_time = BGW_NEVER_RESTART;
	strlcpy(worker.bgw_library_name, "pg_trickle", sizeof(worker.bgw_library_name));
	strlcpy(worker.bgw_function_name, "pgt_decoder_main",
			sizeof(worker.bgw_function_name));
	snprintf(worker.bgw_name, BGW_MAXLEN, "pg_trickle decoder of database %u",
			 MyDatabaseId);
	strlcpy(worker.bgw_type, "pg_trickle decoder", BGW_MAXLEN);
	worker.bgw_main_arg = Int32GetDatum(slot);
	memcpy(worker.bgw_extra, &generation, sizeof(generation));
	worker.bgw_notify_pid = MyProcPid;
	return RegisterDynamicBackgroundWorker(&worker, NULL);
}

/* The last start has come to an end: when may the next one be made? */
static void
note_end(TimestampTz now)
{
	int64		delay = RESTART_FIRST_MS;

	started = false;
	if (TimestampDifferenceExceeds(started_at, now, FORGET_MS))
		failures = 0;
	for (int i = 0; i < failures && delay < RESTART_LAST_MS; i++)
		delay *= 2;
	failures++;
	next_try = TimestampTzPlusMilliseconds(now, Min(delay, RESTART_LAST_MS));
	/* it may have ended because nobody wants it any more */
	SetCurrentStatementStartTimestamp();
	StartTransactionCommand();
	wanted = pgt_extension_installed() && pgt_wal_decoder_wanted();
	CommitTransactionCommand();
}

static void
start_decoder(TimestampTz now)
{
	uint32		generation;
	int			slot = pgt_wal_reserve(&generation);

	started_at = now;
	next_try = TimestampTzPlusMilliseconds(now, RESTART_LAST_MS);
	if (slot < 0)
		return;
	started = register_decoder(slot, generation);
	if (started)
		return;
	pgt_wal_unreserve(slot, generation);
	ereport(WARNING,
			(errcode(ERRCODE_INSUFFICIENT_RESOURCES),
			 errmsg("pg_trickle could not start a decoder: out of background worker slots"),
			 errdetail("Sources that are captured from the WAL are not followed."),
			 errhint("Raise max_worker_processes (%d).", max_worker_processes)));
}

TimestampTz
pgt_decoder_supervise(TimestampTz now)
{
	PgtWalStatus status;

	pgt_wal_status(MyDatabaseId, &status);
	if (status.pid != 0)
		return DT_NOEND;
	if (started && status.state == PGT_WAL_STARTING &&
		!TimestampDifferenceExceeds(started_at, now, RESTART_LAST_MS))
		return TimestampTzPlusMilliseconds(now, STARTING_MS);
	if (started)
		note_end(now);
	if (!wanted)
	{
		failures = 0;
		next_try = 0;
		pgt_wal_forget();
		return DT_NOEND;
	}
	if (next_try <= now)
		start_decoder(now);
	return started ? TimestampTzPlusMilliseconds(now, STARTING_MS) : next_try;
}

void
pgt_decoder_dismiss(void)
{
	TimestampTz until = TimestampTzPlusMilliseconds(GetCurrentTimestamp(), DISMISS_MS);
	bool		insist = false;

	ConditionVariablePrepareToSleep(&pgt_shared->gone);
	while (pgt_wal_ask_to_leave(MyDatabaseId, insist) && GetCurrentTimestamp() < until)
		insist = ConditionVariableTimedSleep(&pgt_shared->gone, 1000L,
											 pgt_wait_event("PgTrickleDecoder"));
	ConditionVariableCancelSleep();
	if (!pgt_wal_drop_slot())
		ereport(WARNING,
				(errcode(ERRCODE_OBJECT_IN_USE),
				 errmsg("pg_trickle could not drop its replication slot: it is in use")));
	pgt_wal_forget();
}

/* ---- the process ---- */

static void
broadcast_end(int code, Datum arg)
{
	ConditionVariableBroadcast(&pgt_shared->gone);
}

/* Of its own, beside those common to our processes: what is decoded must find
 * room whatever the limit for users' queries is. */
static void
decoder_settings(void)
{
	SetConfigOption("temp_file_limit", "-1", PGC_SUSET, PGC_S_OVERRIDE);
	SetConfigOption("temp_tablespaces", "", PGC_SUSET, PGC_S_OVERRIDE);
	SetConfigOption("application_name", "pg_trickle decoder", PGC_USERSET,
					PGC_S_SESSION);
}

static void
wake_scheduler(void)
{
	PgtDatabaseSlot *db = pgt_shared_database(MyDatabaseId);

	if (db != NULL)
		pgt_shared_wake(pg_atomic_read_u32(&db->procno));
}

static void
decode(void)
{
	uint32		wait_event = pgt_wait_event("PgTrickleDecoderMain");
	PgtWalStep	step = PGT_WAL_SLEPT;

	if (!pgt_wal_begin())
		return;
	wake_scheduler();			/* what waits for a decoder can go on */
	while (step != PGT_WAL_LEAVE && !pgt_process_interrupts())
	{
		step = pgt_wal_step(wait_event);
		if (step == PGT_WAL_LOOK && !pgt_wal_is_still_wanted())
		{
			pgt_wal_close(true);
			return;
		}
	}
	pgt_wal_close(false);
}

void
pgt_decoder_main(Datum arg)
{
	uint32		generation;
	Oid			dboid;
	MemoryContext context = CurrentMemoryContext;

	memcpy(&generation, MyBgworkerEntry->bgw_extra, sizeof(generation));
	before_shmem_exit(broadcast_end, (Datum) 0);
	if (!pgt_wal_attach(DatumGetInt32(arg), generation, &dboid))
		proc_exit(0);
	pgt_shared_own_process = true;
	pgt_wal_quiet = true;
	pgt_process_signals();
	BackgroundWorkerInitializeConnectionByOid(dboid, InvalidOid, 0);
	pgt_process_settings();
	decoder_settings();
	pgstat_report_activity(STATE_IDLE, NULL);
	PG_TRY();
	{
		decode();
	}
	PG_CATCH();
	{
		ErrorData  *error;

		MemoryContextSwitchTo(context);
		error = CopyErrorData();
		pgt_wal_note_error(error->sqlerrcode, error->message);
		PG_RE_THROW();
	}
	PG_END_TRY();
	proc_exit(0);
}
