/*
 * applier/api/options.c - the arguments of create and alter.
 */
#include "postgres.h"

#include "utils/builtins.h"

#include "applier/api/options.h"
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
	if (strcmp(o->refresh_mode, "IMMEDIATE") == 0)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("refresh mode IMMEDIATE is not supported yet"),
				 errhint("Use DIFFERENTIAL with the schedule 'continuous' to follow within milliseconds.")));
}

static void
check_cdc_mode(PgtOptions *o)
{
	static const char *const modes[] = {"auto", "trigger", "wal", NULL};

	if (o->cdc_mode != NULL)
		o->cdc_mode = check_keyword("cdc_mode", o->cdc_mode, modes,
									"auto, trigger and wal");
	if (o->cdc_mode ? strcmp(o->cdc_mode, "wal") == 0 : pgt_cdc_mode == PGT_CDC_WAL)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("change capture from the WAL (cdc_mode \"wal\") is not supported yet"),
				 errhint("Use cdc_mode \"auto\" or \"trigger\".")));
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

static void
check_schedule(PgtOptions *o)
{
	PgtSchedule schedule;

	if (o->schedule == NULL)
		return;
	pgt_schedule_parse(o->schedule, &schedule);
}

void
pgt_options_check(PgtOptions *o)
{
	check_mode(o);
	check_cdc_mode(o);
	check_diamond(o);
	check_schedule(o);
	if (o->append_only)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("append_only is not supported yet"),
				 errhint("Leave append_only at false: insertions are cheap without it.")));
}
