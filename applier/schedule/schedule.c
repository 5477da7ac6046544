/*
 * applier/schedule/schedule.c - schedules as texts, and the module's start.
 *
 * Pure parsing: no catalog, no state.  A text is tried as a keyword, as our
 * compact duration (`1h30m`), as a PostgreSQL interval and as a cron line
 * (cron.c), in that order; the first that fits decides.  No cron line is an
 * interval: either it has a * or it begins with two bare numbers.
 */
#include "postgres.h"

#include <ctype.h>
#include <math.h>

#include "fmgr.h"
#include "miscadmin.h"
#include "storage/ipc.h"
#include "utils/builtins.h"
#include "utils/datetime.h"

#include "applier/capture/capture.h"
#include "applier/capture/wal.h"
#include "applier/schedule/cron.h"
#include "applier/schedule/schedule.h"
#include "applier/schedule/shared.h"
#include "applier/settings.h"

#define PGT_MAX_SCHEDULE_MS (100.0 * 365.25 * 86400.0 * 1000.0)

PG_FUNCTION_INFO_V1(pgt_parse_duration_seconds);
PG_FUNCTION_INFO_V1(pgt_next_due);

static shmem_request_hook_type previous_shmem_request_hook = NULL;
static shmem_startup_hook_type previous_shmem_startup_hook = NULL;

typedef struct DurationUnit
{
	const char *name;
	double		ms;
} DurationUnit;

static const DurationUnit duration_units[] = {
	{"us", 0.001}, {"ms", 1.0}, {"s", 1000.0}, {"m", 60000.0},
	{"h", 3600000.0}, {"d", 86400000.0}, {"w", 604800000.0},
};

/* ---- durations ---- */

static const char *
skip_spaces(const char *p)
{
	while (isspace((unsigned char) *p))
		p++;
	return p;
}

/* An unsigned decimal number, by hand: strtod knows hex, infinity and the
 * locale's comma. */
static bool
read_number(const char **text, double *number)
{
	const char *p = *text;
	double		value = 0;
	double		scale = 1;
	int			digits = 0;

	for (; isdigit((unsigned char) *p); p++, digits++)
		value = value * 10 + (*p - '0');
	if (*p == '.')
	{
		p++;
		for (; isdigit((unsigned char) *p); p++, digits++)
		{
			value = value * 10 + (*p - '0');
			scale *= 10;
		}
	}
	if (digits == 0 || digits > 30)
		return false;
	*text = p;
	*number = value / scale;
	return true;
}

static bool
read_unit(const char **text, double *ms)
{
	const char *p = *text;

	for (int i = 0; i < lengthof(duration_units); i++)
	{
		size_t		len = strlen(duration_units[i].name);

		if (pg_strncasecmp(p, duration_units[i].name, len) != 0 ||
			isalpha((unsigned char) p[len]))
			continue;
		*text = p + len;
		*ms = duration_units[i].ms;
		return true;
	}
	return false;
}

/* `1h30m`, `500ms`, `1.5`; -1 when text is something else. */
static double
compact_duration_ms(const char *text)
{
	const char *p = skip_spaces(text);
	double		total = 0;
	double		number;
	double		unit;

	if (!read_number(&p, &number))
		return -1;
	if (*skip_spaces(p) == '\0')
		return number * 1000.0;
	for (;;)
	{
		if (!read_unit(&p, &unit))
			return -1;
		total += number * unit;
		p = skip_spaces(p);
		if (*p == '\0')
			return total;
		if (!read_number(&p, &number))
			return -1;
	}
}

/*
 * Any PostgreSQL interval, by the parts of interval_in, which itself raises
 * errors.  Months count 30 days and years 365.25, as extract(epoch) has it.
 */
static double
interval_duration_ms(const char *text)
{
	char		work[MAXDATELEN + MAXDATEFIELDS];
	char	   *field[MAXDATEFIELDS];
	int			ftype[MAXDATEFIELDS];
	int			nf;
	int			dtype = DTK_DELTA;
	struct pg_itm_in itm;

	memset(&itm, 0, sizeof(itm));
	/* the date parser takes any other character for a space */
	if (text[strspn(text, "0123456789abcdefghijklmnopqrstuvwxyz"
					"ABCDEFGHIJKLMNOPQRSTUVWXYZ .:+-")] != '\0')
		return -1;
	if (ParseDateTime(text, work, sizeof(work), field, ftype, MAXDATEFIELDS,
					  &nf) != 0 ||
		DecodeInterval(field, ftype, nf, INTERVAL_FULL_RANGE, &dtype, &itm) != 0)
	{
		memset(&itm, 0, sizeof(itm));
		dtype = DTK_DELTA;
		if (DecodeISO8601Interval(pstrdup(text), &dtype, &itm) != 0)
			return -1;
	}
	if (dtype != DTK_DELTA)
		return -1;				/* infinity */
	return (double) itm.tm_usec / 1000.0 +
		((double) itm.tm_mday + (double) itm.tm_mon * 30.0 +
		 (double) itm.tm_year * 365.25) * 86400000.0;
}

double
pgt_schedule_duration_ms(const char *text)
{
	double		ms = compact_duration_ms(text);

	if (ms < 0)
		ms = interval_duration_ms(text);
	return (ms < 0 || isnan(ms)) ? -1 : ms;
}

/* ---- schedules ---- */

static char *
trimmed(const char *text)
{
	char	   *copy = pstrdup(skip_spaces(text));
	size_t		len = strlen(copy);

	while (len > 0 && isspace((unsigned char) copy[len - 1]))
		copy[--len] = '\0';
	return copy;
}

/* False: none of the forms.  A duration may still be out of range, and a cron
 * line still be wrong: *wrong says how, or is NULL. */
static bool
classify(const char *text, PgtSchedule *out, double *ms, char **wrong)
{
	char	   *word;

	*ms = 0;
	*wrong = NULL;
	memset(&out->cron, 0, sizeof(out->cron));
	out->kind = PGT_SCHEDULE_CALCULATED;
	out->interval_ms = 0;
	if (text == NULL)
		return true;
	word = trimmed(text);
	if (pg_strcasecmp(word, "calculated") == 0)
		return true;
	if (pg_strcasecmp(word, "continuous") == 0)
	{
		out->kind = PGT_SCHEDULE_CONTINUOUS;
		return true;
	}
	*ms = pgt_schedule_duration_ms(word);
	if (*ms >= 0)
	{
		out->kind = PGT_SCHEDULE_DURATION;
		if (*ms <= PGT_MAX_SCHEDULE_MS)
			out->interval_ms = (int64) ceil(*ms);
		return true;
	}
	out->kind = PGT_SCHEDULE_CRON;
	if (!pgt_cron_looks_like(word))
		return false;
	*wrong = pgt_cron_parse(word, &out->cron);
	return true;
}

static void
refuse(const char *text, const char *detail)
{
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("invalid schedule: \"%s\"", text),
			 errdetail_internal("%s", detail),
			 errhint("A schedule is a duration ('500ms', '30s', '5m', '1h30m', '1d', '1w', seconds as in '2.5', or any interval as in '1 hour 30 minutes'), "
					 "'continuous', 'calculated', a cron line of 5 fields (minute, hour, day of the month, month, day of the week: '*/5 8-18 * * mon-fri') "
					 "or 6 (seconds first), or an alias such as '@hourly'.")));
}

/* min_schedule is checked here, when a schedule is set: a stored one below a
 * minimum that was raised later runs at that minimum. */
static void
check_duration(const char *text, double ms)
{
	if (ms <= 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("invalid schedule: \"%s\"", text),
				 errdetail("A schedule must be longer than zero."),
				 errhint("Use 'continuous' to refresh as soon as changes commit.")));
	if (ms > PGT_MAX_SCHEDULE_MS)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("invalid schedule: \"%s\"", text),
				 errdetail("A schedule must not be longer than 100 years.")));
	if (ms < pgt_min_schedule)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("invalid schedule: \"%s\"", text),
				 errdetail("It is shorter than the minimum of %d ms.",
						   pgt_min_schedule),
				 errhint("The minimum is the setting pg_trickle.min_schedule; 'continuous' is allowed below it.")));
}

void
pgt_schedule_parse(const char *text, PgtSchedule *out)
{
	double		ms;
	char	   *wrong;

	if (!classify(text, out, &ms, &wrong))
		refuse(text, "It is neither a duration nor a cron line nor one of the words \"continuous\" and \"calculated\".");
	if (wrong != NULL)
		refuse(text, wrong);
	if (out->kind == PGT_SCHEDULE_DURATION)
		check_duration(text, ms);
}

bool
pgt_schedule_try_parse(const char *text, PgtSchedule *out)
{
	double		ms;
	char	   *wrong;

	return classify(text, out, &ms, &wrong) && wrong == NULL &&
		(out->kind != PGT_SCHEDULE_DURATION ||
		 (ms > 0 && ms <= PGT_MAX_SCHEDULE_MS));
}

/* ---- due times ---- */

TimestampTz
pgt_schedule_on_grid(int64 interval_ms, int64 phase_ms, TimestampTz after)
{
	int64		interval = interval_ms * 1000;
	int64		since = after - phase_ms * 1000;
	int64		steps = since >= 0 ? since / interval :
		-((interval - 1 - since) / interval);

	return (steps + 1) * interval + phase_ms * 1000;
}

static int64
cron_period_ms(const PgtCron *cron)
{
	TimestampTz next = pgt_cron_next(cron, GetCurrentTimestamp(), pgt_cron_zone());
	TimestampTz after = pgt_cron_next(cron, next, pgt_cron_zone());

	return after == DT_NOEND ? (int64) PGT_MAX_SCHEDULE_MS : (after - next) / 1000;
}

int64
pgt_schedule_period_ms(const PgtSchedule *schedule)
{
	switch (schedule->kind)
	{
		case PGT_SCHEDULE_CALCULATED:
			return (int64) pgt_schedule_duration_ms(pgt_default_schedule);
		case PGT_SCHEDULE_DURATION:
			return schedule->interval_ms;
		case PGT_SCHEDULE_CONTINUOUS:
			break;
		case PGT_SCHEDULE_CRON:
			return cron_period_ms(&schedule->cron);
	}
	return 0;
}

/* _next_due(schedule, after, timezone): as the scheduler would have it; NULL
 * for schedules that follow commits or other stream tables. */
Datum
pgt_next_due(PG_FUNCTION_ARGS)
{
	TimestampTz after = PG_GETARG_TIMESTAMPTZ(1);
	char	   *name = text_to_cstring(PG_GETARG_TEXT_PP(2));
	pg_tz	   *zone = pg_tzset(name);
	PgtSchedule schedule;
	TimestampTz next;

	if (zone == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("time zone \"%s\" not recognized", name)));
	pgt_schedule_parse(text_to_cstring(PG_GETARG_TEXT_PP(0)), &schedule);
	if (TIMESTAMP_NOT_FINITE(after))
		PG_RETURN_NULL();
	if (schedule.kind == PGT_SCHEDULE_DURATION)
		PG_RETURN_TIMESTAMPTZ(pgt_schedule_on_grid(schedule.interval_ms, 0, after));
	if (schedule.kind != PGT_SCHEDULE_CRON)
		PG_RETURN_NULL();
	next = pgt_cron_next(&schedule.cron, after, zone);
	if (next == DT_NOEND)
		PG_RETURN_NULL();
	PG_RETURN_TIMESTAMPTZ(next);
}

Datum
pgt_parse_duration_seconds(PG_FUNCTION_ARGS)
{
	char	   *input = text_to_cstring(PG_GETARG_TEXT_PP(0));
	double		ms = pgt_schedule_duration_ms(input);

	if (ms < 0)
		PG_RETURN_NULL();
	PG_RETURN_FLOAT8(ms / 1000.0);
}

/* ---- start of the module ---- */

static void
shmem_request(void)
{
	if (previous_shmem_request_hook)
		previous_shmem_request_hook();
	pgt_shared_request();
	pgt_wal_shared_request();
}

static void
shmem_startup(void)
{
	if (previous_shmem_startup_hook)
		previous_shmem_startup_hook();
	pgt_shared_startup();
	pgt_wal_shared_startup();
}

/* pg_upgrade starts the new server to load a schema: nothing runs there. */
void
pgt_schedule_init(void)
{
	if (!process_shared_preload_libraries_in_progress || IsBinaryUpgrade)
		return;
	previous_shmem_request_hook = shmem_request_hook;
	shmem_request_hook = shmem_request;
	previous_shmem_startup_hook = shmem_startup_hook;
	shmem_startup_hook = shmem_startup;
	pgt_capture_touched_hook = pgt_shared_touched;
	pgt_notice_init();
	pgt_wal_init();
	pgt_launcher_register();
}
