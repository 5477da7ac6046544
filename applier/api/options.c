/*
 * applier/api/options.c - the arguments of create and alter.
 */
#include "postgres.h"

#include "utils/builtins.h"
#include "utils/lsyscache.h"

#include "applier/api/options.h"
#include "applier/capture/cdc.h"
#include "applier/schedule/schedule.h"
#include "applier/settings.h"

/* Keyword in "words" that equals text, case folded; error when none does. */
static char *
check_keyword(const char *argument, const char *text, const char *const *words,
			  const char *listed)
{
	for (int i = 0; words[i] != NULL; i++)
		if (pg_strcasecmp(text, words[i]) == 0)
			return pstrdup(words[i]);
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("invalid %s: \"%s\"", argument, text),
			 errhint("Valid values are %s.", listed)));
}

static void
check_mode(PgtOptions *o)
{
	static const char *const modes[] = {"AUTO", "DIFFERENTIAL", "INCREMENTAL",
	"FULL", "IMMEDIATE", NULL};

	if (o->refresh_mode == NULL)
		return;
	o->refresh_mode = check_keyword("refresh_mode", o->refresh_mode, modes,
									"AUTO, DIFFERENTIAL (or INCREMENTAL), FULL and IMMEDIATE");
	if (strcmp(o->refresh_mode, "INCREMENTAL") == 0)
		o->refresh_mode = pstrdup("DIFFERENTIAL");
}

static void
check_cdc_mode(PgtOptions *o)
{
	static const char *const modes[] = {"auto", "trigger", "wal", NULL};

	if (o->cdc_mode != NULL)
		o->cdc_mode = check_keyword("cdc_mode", o->cdc_mode, modes,
									"auto, trigger and wal");
}

static void
check_diamond(PgtOptions *o)
{
	static const char *const consistencies[] = {"atomic", "none", NULL};
	static const char *const policies[] = {"fastest", "slowest", NULL};

	if (o->diamond_consistency != NULL)
		o->diamond_consistency = check_keyword("diamond_consistency",
											   o->diamond_consistency,
											   consistencies, "atomic and none");
	if (o->diamond_schedule_policy != NULL)
		o->diamond_schedule_policy = check_keyword("diamond_schedule_policy",
												   o->diamond_schedule_policy,
												   policies, "fastest and slowest");
}

void
pgt_options_check_schedule(const char *refresh_mode, const char *schedule)
{
	if (refresh_mode == NULL || strcmp(refresh_mode, "IMMEDIATE") != 0 ||
		schedule == NULL || pg_strcasecmp(schedule, "calculated") == 0)
		return;
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("an IMMEDIATE stream table has no schedule"),
			 errdetail("The statements that change its sources maintain it."),
			 errhint("Leave the argument \"schedule\" out.")));
}

static void
check_schedule(PgtOptions *o)
{
	PgtSchedule schedule;

	if (o->schedule == NULL)
		return;
	pgt_schedule_parse(o->schedule, &schedule);
	pgt_options_check_schedule(o->refresh_mode, o->schedule);
}

void
pgt_options_check(PgtOptions *o)
{
	check_mode(o);
	check_cdc_mode(o);
	check_diamond(o);
	check_schedule(o);
}

static void
require_wal_of(Oid relid)
{
	PgtSource  *source = pgt_source_get(relid, true);
	PgtCdcDecision d;

	if (source == NULL)
		return;
	pgt_cdc_decide(source, &d);
	if (d.use_wal)
		return;
	if (d.wanted == PGT_CDC_TRIGGER)
		ereport(NOTICE,
				(errmsg("changes of \"%s\" are captured by triggers", get_rel_name(relid)),
				 errdetail("A source is captured in one way for all its readers: %s.",
						   d.blocked_reason)));
	else
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("changes of \"%s\" cannot be captured from the WAL: %s",
						get_rel_name(relid), d.blocked_reason),
				 d.hint ? errhint("%s", d.hint) : 0));
}

void
pgt_options_require_wal(const PgtStreamTable *st)
{
	ListCell   *lc;

	if (pgt_cdc_requested(st->requested_cdc_mode) != PGT_CDC_WAL)
		return;
	foreach(lc, pgt_dependency_of(st->pgt_id))
	{
		const PgtDependency *d = lfirst(lc);

		if (strcmp(d->source_type, "TABLE") == 0)
			require_wal_of(d->source_relid);
	}
}
