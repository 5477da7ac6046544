/*
 * applier/schedule/handover.c - the scheduler moves sources between triggers
 * and the WAL, and watches the slot.
 *
 * A look reads pgt_sources, decides for each source what its next step is
 * (capture/cdc.c, capture/handover.c) and takes the steps one by one, each in a
 * transaction of its own.  It is made when the catalog or the settings changed,
 * when the decoder's state did, when a step is to be tried again, and every
 * PGT_SLOT_MS while some source is captured from the WAL, to see how much WAL
 * the slot holds.  A database without such sources is never looked at by time.
 *
 * The steps that lock a tree wait for PGT_LOCK_MS at most: writers queue behind
 * them no longer than that.  Where somebody holds the tables longer the step is
 * tried again, after pauses that double; past pg_trickle.wal_transition_timeout
 * the hand-over is given up and tried anew much later.
 *
 * A slot that holds more WAL than pg_trickle.slot_lag_critical_threshold
 * endangers the disk: under slot_wal_limit_action fall_back all sources go back
 * to triggers, upon which the decoder drops the slot.  A slot that was lost
 * has lost changes: the sources go back, or (warn) stay and the decoder begins
 * anew; their readers are rebuilt either way.
 *
 * Owns a context with what was tried when, by source; it starts empty with
 * each scheduler.
 */
#include "postgres.h"

#include "access/xact.h"
#include "access/xlog.h"
#include "catalog/pg_inherits.h"
#include "miscadmin.h"
#include "replication/slot.h"
#include "storage/lmgr.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/hsearch.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"

#include "applier/capture/cdc.h"
#include "applier/capture/handover.h"
#include "applier/capture/wal.h"
#include "applier/catalog/catalog.h"
#include "applier/schedule/decoder.h"
#include "applier/schedule/handover.h"
#include "applier/schedule/notify.h"
#include "applier/settings.h"
#include "decoder/compat.h"

#define PGT_LOCK_MS			100
#define PGT_PATIENCE_MS		1000	/* with the decoder, under the locks */
#define PGT_NEAR_BYTES		(4 * 1024 * 1024)	/* it has this much to read then */
#define PGT_COMING_MS		200		/* the decoder is on its way up */
#define PGT_AGAIN_FIRST_MS	200
#define PGT_AGAIN_LAST_MS	30000
#define PGT_HOLD_FIRST_MS	60000
#define PGT_HOLD_LAST_MS	3600000
#define PGT_SLOT_MS			10000

typedef enum Step
{
	STEP_NONE,
	STEP_ANNOUNCE,
	STEP_GIVE_UP,
	STEP_TO_WAL,
	STEP_TO_TRIGGERS
} Step;

/* What is remembered of a source between looks. */
typedef struct Tried
{
	Oid			relid;			/* hash key */
	int			tries;			/* of the step at hand, without success */
	TimestampTz first_try;
	TimestampTz next_try;
	int			failures;		/* hand-overs given up in a row */
	TimestampTz hold_until;		/* no new one before */
	bool		in_danger;		/* of the slot: users do not end the hold */
	bool		was_wal;		/* at the last look */
} Tried;

/* What is to be done about a source; of one look. */
typedef struct Move
{
	Oid			relid;
	char	   *name;
	List	   *readers;		/* of char *, names of stream tables */
	Step		step;
	const char *reason;			/* of GIVE_UP and TO_TRIGGERS */
	bool		failed;			/* GIVE_UP: is an event */
	bool		incomplete;		/* TO_TRIGGERS: changes are lost */
} Move;

typedef enum SlotState
{
	SLOT_FINE,
	SLOT_WARNING,
	SLOT_CRITICAL,
	SLOT_LOST
} SlotState;

static struct
{
	HTAB	   *tried;
	bool		look;
	TimestampTz look_at;
	PgtWalState decoder;		/* as last seen */
	TimestampTz decoder_since;
	TimestampTz down_since;		/* no decoder runs; or 0 */
	int			capturing;		/* sources in WAL mode, at the last look */
	SlotState	slot;			/* as last told */
	int64		losses;			/* that the decoder has counted, told; -1: none seen */
	uint64		retained;
	bool		events;
} self = {.look = true,.look_at = DT_NOEND,.losses = -1};

void
pgt_handover_look(bool by_user)
{
	HASH_SEQ_STATUS status;
	Tried	   *t;

	self.look = true;
	if (!by_user || self.tried == NULL)
		return;
	hash_seq_init(&status, self.tried);
	while ((t = hash_seq_search(&status)) != NULL)
	{
		t->next_try = 0;
		if (!t->in_danger)
			t->hold_until = 0;
	}
}

static Tried *
tried_of(Oid relid)
{
	Tried	   *t;
	bool		found;

	if (self.tried == NULL)
	{
		HASHCTL		ctl = {.keysize = sizeof(Oid),.entrysize = sizeof(Tried)};

		self.tried = hash_create("pg_trickle hand-overs", 16, &ctl,
								 HASH_ELEM | HASH_BLOBS);
	}
	t = hash_search(self.tried, &relid, HASH_ENTER, &found);
	if (!found)
	{
		memset(t, 0, sizeof(*t));
		t->relid = relid;
	}
	return t;
}

static void
look_again_at(TimestampTz when)
{
	self.look_at = Min(self.look_at, when);
}

static int64
doubled(int64 first, int64 last, int times)
{
	int64		value = first;

	while (times-- > 0 && value < last)
		value *= 2;
	return Min(value, last);
}

/* ---- the slot ---- */

/* Missing before the decoder has written a position, it was never there. */
static SlotState
judge_slot(void)
{
	XLogRecPtr	restart = InvalidXLogRecPtr;
	bool		lost = true;
	ReplicationSlot *slot;

	LWLockAcquire(ReplicationSlotControlLock, LW_SHARED);
	slot = SearchNamedReplicationSlot(pgt_cdc_slot_name(), false);
	if (slot != NULL)
	{
		SpinLockAcquire(&slot->mutex);
		lost = pgt_slot_is_invalidated(slot);
		restart = slot->data.restart_lsn;
		SpinLockRelease(&slot->mutex);
	}
	LWLockRelease(ReplicationSlotControlLock);

	self.retained = 0;
	if (lost)
		return pgt_decoder_get() != NULL ? SLOT_LOST : SLOT_FINE;
	if (XLogRecPtrIsInvalid(restart))
		return SLOT_FINE;
	self.retained = GetXLogInsertRecPtr() - restart;
	if (self.retained > (uint64) pgt_slot_lag_critical_threshold * 1024 * 1024)
		return SLOT_CRITICAL;
	if (self.retained > (uint64) pgt_slot_lag_warning_threshold * 1024 * 1024)
		return SLOT_WARNING;
	return SLOT_FINE;
}

static void
tell_lost(const char *reason)
{
	PgtEventField fields[] = {
		{"slot_name", pgt_cdc_slot_name()},
		{"reason", reason},
	};

	pgt_notify_keep("slot_lost", NULL, fields, lengthof(fields));
	self.events = true;
}

/* Told once, when it gets worse. */
static void
tell_slot(SlotState state)
{
	PgtEventField fields[] = {
		{"slot_name", pgt_cdc_slot_name()},
		{"retained_bytes", NULL, (double) self.retained},
		{"level", state == SLOT_CRITICAL ? "critical" : "warning"},
	};

	if (state > self.slot && state != SLOT_LOST)
	{
		pgt_notify_keep("slot_lag_warning", NULL, fields, lengthof(fields));
		self.events = true;
		ereport(LOG,
				(errmsg("pg_trickle: replication slot \"%s\" retains too much WAL", pgt_cdc_slot_name()),
				 errdetail("It retains %llu bytes.", (unsigned long long) self.retained)));
	}
	if (state > self.slot && state == SLOT_LOST)
		tell_lost("the slot is missing or was invalidated");
	self.slot = state;
}

/* The decoder finds a lost slot often before we do, and makes another. */
static void
tell_losses(void)
{
	PgtDecoder *row = pgt_decoder_get();
	int64		losses = row ? row->n_lost : 0;

	if (self.losses >= 0 && losses > self.losses && self.slot != SLOT_LOST)
		tell_lost(row->last_lost);
	self.losses = losses;
}

/* ---- what is to be done ---- */

static char *
timeout_reason(const Tried *t)
{
	PgtWalStatus status;

	pgt_wal_status(MyDatabaseId, &status);
	if (status.state == PGT_WAL_RUNNING)
		return psprintf("its tables could not be locked within pg_trickle.wal_transition_timeout (%d tries)",
						t->tries);
	return psprintf("the decoder did not come up within pg_trickle.wal_transition_timeout%s%s",
					status.message[0] ? ": " : "", status.message);
}

static void
move_going(Move *move, const PgtSource *source, const PgtCdcDecision *d,
		   TimestampTz now)
{
	Tried	   *t = tried_of(source->relid);
	TimestampTz deadline = TimestampTzPlusMilliseconds(source->since,
													   pgt_wal_transition_timeout);

	if (!d->use_wal)
	{
		move->step = STEP_GIVE_UP;
		move->reason = d->blocked_reason;
	}
	else if (deadline <= now)
	{
		move->step = STEP_GIVE_UP;
		move->reason = timeout_reason(t);
		move->failed = true;
	}
	else if (pgt_wal_is_running() && pgt_enabled && t->next_try <= now)
		move->step = STEP_TO_WAL;
	else
	{
		look_again_at(deadline);
		if (t->next_try > now)
			look_again_at(t->next_try);
		else
			look_again_at(TimestampTzPlusMilliseconds(now, PGT_COMING_MS));
	}
}

/* A decoder that does not come (back) serves nobody: triggers do. */
static bool
is_down_for_long(TimestampTz now)
{
	return self.down_since != 0 &&
		TimestampDifferenceExceeds(self.down_since, now, pgt_wal_transition_timeout);
}

static char *
down_reason(void)
{
	PgtWalStatus status;

	pgt_wal_status(MyDatabaseId, &status);
	return psprintf("no decoder has run for longer than pg_trickle.wal_transition_timeout%s%s",
					status.message[0] ? ": " : "", status.message);
}

static void
move_captured(Move *move, const PgtSource *source, const PgtCdcDecision *d,
			  SlotState slot, TimestampTz now)
{
	Tried	   *t = tried_of(source->relid);

	if (!d->use_wal && pgt_enabled)
	{
		move->reason = d->blocked_reason;
		move->incomplete = d->unlogged;
	}
	else if (pgt_slot_wal_limit_action == PGT_SLOT_FALL_BACK && slot == SLOT_LOST)
	{
		move->reason = "the replication slot was lost";
		move->incomplete = true;
	}
	else if (pgt_slot_wal_limit_action == PGT_SLOT_FALL_BACK && slot == SLOT_CRITICAL)
		move->reason = "the replication slot retained more WAL than pg_trickle.slot_lag_critical_threshold";
	else if (pgt_slot_wal_limit_action == PGT_SLOT_FALL_BACK && is_down_for_long(now))
	{
		move->reason = down_reason();
		move->incomplete = true;
	}
	if (move->reason == NULL)
		return;
	if (t->next_try <= now)
		move->step = STEP_TO_TRIGGERS;
	else
		look_again_at(t->next_try);
}

static void
choose_step(Move *move, const PgtSource *source, SlotState slot, TimestampTz now)
{
	Tried	   *t = tried_of(source->relid);
	PgtCdcDecision d;

	pgt_cdc_decide(source, &d);
	if (pgt_cdc_is_wal(source))
		move_captured(move, source, &d, slot, now);
	else if (pgt_cdc_is_going(source))
		move_going(move, source, &d, now);
	else if (!d.use_wal || !pgt_enabled)
		return;
	else if (t->hold_until > now)
		look_again_at(t->hold_until);
	else
		move->step = STEP_ANNOUNCE;
}

static List *
reader_names(Oid relid)
{
	List	   *names = NIL;
	ListCell   *lc;

	foreach(lc, pgt_dependency_deferred(relid))
	{
		PgtStreamTable *st = pgt_stream_table_get(((PgtDependency *) lfirst(lc))->pgt_id, true);

		if (st != NULL)
			names = lappend(names, quote_qualified_identifier(st->schema, st->name));
	}
	return names;
}

/* One event for each stream table that reads the source. */
static void
tell_readers(const Move *move, const char *event, const char *mode)
{
	PgtEventField fields[] = {
		{"source", move->name},
		{"cdc_mode", mode},
		{"reason", move->reason},
	};
	ListCell   *lc;

	foreach(lc, move->readers)
		pgt_notify_keep(event, lfirst(lc), fields, move->reason ? 3 : 2);
	self.events = true;
}

/* DDL has sent it back to triggers, in a session that notifies nobody. */
static void
tell_return(Move *move, const PgtSource *source)
{
	Tried	   *t = tried_of(source->relid);

	if (t->was_wal && !pgt_cdc_is_wal(source))
	{
		move->reason = source->blocked_reason;
		tell_readers(move, "cdc_transition_complete", "TRIGGER");
		move->reason = NULL;
	}
	t->was_wal = pgt_cdc_is_wal(source);
}

/*
 * Word of DDL comes before its invalidations: what it changed is seen when its
 * locks are gone.  Nobody is waited for.
 */
static bool
can_be_judged(Oid relid, TimestampTz now)
{
	ListCell   *lc;

	foreach(lc, find_all_inheritors(relid, NoLock, NULL))
		if (!ConditionalLockRelationOid(lfirst_oid(lc), AccessShareLock))
		{
			look_again_at(TimestampTzPlusMilliseconds(now, PGT_AGAIN_FIRST_MS));
			return false;
		}
	return true;
}

/* In a transaction; what is returned lives in the context given. */
static List *
choose_moves(MemoryContext context, TimestampTz now)
{
	MemoryContext before = MemoryContextSwitchTo(context);
	List	   *sources = pgt_source_all();
	List	   *moves = NIL;
	SlotState	slot = SLOT_FINE;
	ListCell   *lc;

	self.capturing = 0;
	foreach(lc, sources)
		if (pgt_cdc_is_wal(lfirst(lc)))
			self.capturing++;
	if (self.capturing > 0)
		slot = judge_slot();
	tell_losses();
	tell_slot(slot);
	foreach(lc, sources)
	{
		const PgtSource *source = lfirst(lc);
		Move	   *move = palloc0(sizeof(Move));
		char	   *name;

		if (strcmp(source->cdc_mode, "STREAM") == 0 ||
			!can_be_judged(source->relid, now))
			continue;
		name = get_rel_name(source->relid);
		if (name == NULL)
			continue;			/* dropped */
		move->relid = source->relid;
		move->name = quote_qualified_identifier(get_namespace_name(get_rel_namespace(source->relid)), name);
		move->readers = reader_names(source->relid);
		tell_return(move, source);
		choose_step(move, source, slot, now);
		if (move->step != STEP_NONE)
			moves = lappend(moves, move);
	}
	MemoryContextSwitchTo(before);
	return moves;
}

/* ---- doing it ---- */

static void
set_lock_timeout(void)
{
	char		value[16];

	snprintf(value, sizeof(value), "%d", PGT_LOCK_MS);
	/* an override, as what pgt_process_settings has set */
	(void) set_config_option("lock_timeout", value, PGC_SUSET, PGC_S_OVERRIDE,
							 GUC_ACTION_LOCAL, true, 0, false);
}

static bool
take_step(const Move *move)
{
	switch (move->step)
	{
		case STEP_NONE:
			break;
		case STEP_ANNOUNCE:
			return pgt_handover_announce(move->relid);
		case STEP_GIVE_UP:
			return pgt_handover_give_up(move->relid, move->reason);
		case STEP_TO_WAL:
			return pgt_handover_to_wal(move->relid);
		case STEP_TO_TRIGGERS:
			return pgt_handover_to_triggers(move->relid, move->reason,
											move->incomplete, PGT_PATIENCE_MS);
	}
	return false;
}

static bool
is_busy(int sqlerrcode)
{
	return sqlerrcode == ERRCODE_LOCK_NOT_AVAILABLE ||
		sqlerrcode == ERRCODE_T_R_DEADLOCK_DETECTED;
}

/* Step in a transaction of its own; false: it was not taken.  That somebody
 * holds the tables is no news, another error is. */
static bool
run_step(const Move *move)
{
	MemoryContext before = CurrentMemoryContext;
	volatile bool done = false;

	PG_TRY();
	{
		SetCurrentStatementStartTimestamp();
		StartTransactionCommand();
		PushActiveSnapshot(GetTransactionSnapshot());
		set_lock_timeout();
		done = take_step(move);
		if (done)
			pgt_decoder_look(false);
		PopActiveSnapshot();
		CommitTransactionCommand();
	}
	PG_CATCH();
	{
		ErrorData  *error;

		MemoryContextSwitchTo(before);
		error = CopyErrorData();
		FlushErrorState();
		AbortCurrentTransaction();
		done = false;
		ereport(is_busy(error->sqlerrcode) ? DEBUG1 : WARNING,
				(errcode(error->sqlerrcode),
				 errmsg("pg_trickle could not change the capture of %s: %s",
						move->name, error->message)));
		FreeErrorData(error);
	}
	PG_END_TRY();
	MemoryContextSwitchTo(before);
	return done;
}

static void
hold(Tried *t, TimestampTz now, bool in_danger)
{
	t->hold_until = TimestampTzPlusMilliseconds(now, doubled(PGT_HOLD_FIRST_MS, PGT_HOLD_LAST_MS, t->failures));
	t->failures++;
	t->in_danger = in_danger;
	look_again_at(t->hold_until);
}

static void
after_step(const Move *move, TimestampTz now)
{
	Tried	   *t = tried_of(move->relid);

	t->tries = 0;
	t->next_try = 0;
	if (move->step == STEP_TO_WAL)
	{
		t->failures = 0;
		t->in_danger = false;
		t->was_wal = true;
		tell_readers(move, "cdc_transition_complete", "WAL");
	}
	else if (move->step == STEP_TO_TRIGGERS)
	{
		t->was_wal = false;
		if (self.slot >= SLOT_CRITICAL || is_down_for_long(now))
			hold(t, now, true);
		tell_readers(move, "cdc_transition_complete", "TRIGGER");
	}
	else if (move->step == STEP_GIVE_UP && move->failed)
	{
		hold(t, now, false);
		tell_readers(move, "cdc_transition_failed", "TRIGGER");
	}
	pgt_wal_tell();
	self.look = true;
}

/*
 * The way back waits for the decoder while writers wait for us: not before it
 * is near.  One that does not come near is waited for no longer than a hand-over
 * may take, and not at all when the disk is in danger.
 */
static bool
decoder_is_near(Move *move, const Tried *t, TimestampTz now)
{
	if (move->incomplete || pgt_wal_lag() <= PGT_NEAR_BYTES)
		return true;
	move->incomplete = self.slot >= SLOT_CRITICAL ||
		TimestampDifferenceExceeds(t->first_try, now, pgt_wal_transition_timeout);
	return move->incomplete;
}

static void
run_move(Move *move, TimestampTz now)
{
	Tried	   *t = tried_of(move->relid);

	if (t->tries == 0)
		t->first_try = now;
	if ((move->step != STEP_TO_TRIGGERS || decoder_is_near(move, t, now)) &&
		run_step(move))
	{
		after_step(move, now);
		return;
	}
	t->next_try = TimestampTzPlusMilliseconds(now, doubled(PGT_AGAIN_FIRST_MS, PGT_AGAIN_LAST_MS, t->tries));
	t->tries++;
	look_again_at(t->next_try);
}

/* ---- the look ---- */

/* Of the settings that decide; a reload tells nobody. */
static bool
settings_changed(void)
{
	static int	seen[6];
	int			now[6] = {pgt_cdc_mode, pgt_enabled, pgt_wal_transition_timeout,
		pgt_slot_lag_warning_threshold, pgt_slot_lag_critical_threshold,
	pgt_slot_wal_limit_action};

	if (memcmp(seen, now, sizeof(now)) == 0)
		return false;
	memcpy(seen, now, sizeof(now));
	return true;
}

static bool
decoder_changed(void)
{
	PgtWalStatus status;

	pgt_wal_status(MyDatabaseId, &status);
	if (status.state == self.decoder && status.since == self.decoder_since)
		return false;
	self.decoder = status.state;
	self.decoder_since = status.since;
	if (status.state == PGT_WAL_RUNNING)
		self.down_since = 0;
	else if (self.down_since == 0)
		self.down_since = GetCurrentTimestamp();
	return true;
}

/* Plans, or NIL after an error, which is tried again later. */
static List *
guarded_moves(MemoryContext context, TimestampTz now)
{
	List	   *volatile moves = NIL;

	PG_TRY();
	{
		SetCurrentStatementStartTimestamp();
		StartTransactionCommand();
		PushActiveSnapshot(GetTransactionSnapshot());
		moves = choose_moves(context, now);
		PopActiveSnapshot();
		CommitTransactionCommand();
	}
	PG_CATCH();
	{
		ErrorData  *error;

		MemoryContextSwitchTo(context);
		error = CopyErrorData();
		FlushErrorState();
		AbortCurrentTransaction();
		ereport(WARNING,
				(errcode(error->sqlerrcode),
				 errmsg("pg_trickle could not look at its sources: %s", error->message)));
		moves = NIL;
		look_again_at(TimestampTzPlusMilliseconds(now, PGT_SLOT_MS));
	}
	PG_END_TRY();
	MemoryContextSwitchTo(context);
	return moves;
}

static void
look(TimestampTz now)
{
	MemoryContext before = CurrentMemoryContext;
	MemoryContext context = AllocSetContextCreate(before, "pg_trickle hand-over",
												  ALLOCSET_SMALL_SIZES);
	ListCell   *lc;

	self.look = false;
	self.look_at = DT_NOEND;
	foreach(lc, guarded_moves(context, now))
		run_move(lfirst(lc), now);
	if (self.capturing > 0)
		look_again_at(TimestampTzPlusMilliseconds(now, PGT_SLOT_MS));
	MemoryContextSwitchTo(before);
	MemoryContextDelete(context);
}

bool
pgt_handover_run(TimestampTz now)
{
	if (settings_changed())
		pgt_handover_look(true);
	if (decoder_changed())
		self.look = true;
	if (!self.look && self.look_at > now)
		return false;
	self.events = false;
	look(now);
	return self.events;
}

TimestampTz
pgt_handover_time(void)
{
	return self.look ? 0 : self.look_at;
}
