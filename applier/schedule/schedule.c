/*
 * applier/schedule/schedule.c - schedules as texts, and the module's start.
 *
 * Pure parsing: no catalog, no state.  A text is tried as a keyword, as our
 * compact duration (`1h30m`), as a PostgreSQL interval and as a cron form, in
 * that order; the first that fits decides.  No cron line is an interval:
 * either it has a * or it is five numbers.
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
#include "applier/schedule/schedule.h"
#include "applier/schedule/shared.h"
#include "applier/settings.h"

#define PGT_MAX_SCHEDULE_MS (100.0 * 365.25 * 86400.0 * 1000.0)

PG_FUNCTION_INFO_V1(pgt_parse_duration_seconds);

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

static const char *const cron_aliases[] = {
	"@yearly", "@annually", "@monthly", "@weekly", "@daily", "@midnight",
	"@hourly", "@reboot"
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

/* ---- cron, by looks ---- */

static const char *const cron_names =
"sun mon tue wed thu fri sat jan feb mar apr may jun jul aug sep oct nov dec";

static bool
is_cron_name(const char *word)
{
	char		lower[4];

	for (int i = 0; i < 3; i++)
		lower[i] = pg_tolower((unsigned char) word[i]);
	lower[3] = '\0';
	return strstr(cron_names, lower) != NULL;
}

/* A field of a cron line: numbers, days, months, L, W and * / , - ? #. */
static bool
looks_like_cron_field(const char *field, size_t len)
{
	for (size_t i = 0; i < len; i++)
	{
		unsigned char c = (unsigned char) field[i];
		size_t		letters = 0;

		if (isdigit(c) || strchr("*/,-?#LW", c) != NULL)
			continue;
		while (i + letters < len && isalpha((unsigned char) field[i + letters]))
			letters++;
		if (letters != 3 || !is_cron_name(field + i))
			return false;
		i += 2;
	}
	return true;
}

static bool
looks_like_cron(const char *text)
{
	const char *p = skip_spaces(text);
	int			fields = 0;

	while (*p != '\0')
	{
		const char *start = p;

		while (*p != '\0' && !isspace((unsigned char) *p))
			p++;
		if (!looks_like_cron_field(start, p - start))
			return false;
		fields++;
		p = skip_spaces(p);
	}
	return fields == 5 || fields == 6;
}

static bool
is_cron_alias(const char *text)
{
	for (int i = 0; i < lengthof(cron_aliases); i++)
		if (pg_strcasecmp(text, cron_aliases[i]) == 0)
			return true;
	return false;
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

/* False: none of the forms.  A duration may still be out of range. */
static bool
classify(const char *text, PgtSchedule *out, double *ms)
{
	char	   *word;

	*ms = 0;
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
	return is_cron_alias(word) || looks_like_cron(word);
}

static void
refuse_cron(const char *text)
{
	ereport(ERROR,
			(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
			 errmsg("cron schedules are not supported yet: \"%s\"", text),
			 errhint("Use a duration such as '5m' or '1 day', 'continuous' or 'calculated'.")));
}

static void
refuse_unknown(const char *text)
{
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("invalid schedule: \"%s\"", text),
			 errdetail("It is neither a duration nor one of the words \"continuous\" and \"calculated\"."),
			 errhint("A schedule is a duration ('500ms', '30s', '5m', '1h30m', '1d', '1w', seconds as in '2.5', or any interval as in '1 hour 30 minutes'), "
					 "'continuous', 'calculated', or a cron line of 5 or 6 fields or alias such as '@hourly'.")));
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

	if (!classify(text, out, &ms))
		refuse_unknown(text);
	if (out->kind == PGT_SCHEDULE_CRON)
		refuse_cron(text);
	if (out->kind == PGT_SCHEDULE_DURATION)
		check_duration(text, ms);
}

bool
pgt_schedule_try_parse(const char *text, PgtSchedule *out)
{
	double		ms;

	return classify(text, out, &ms) && out->kind != PGT_SCHEDULE_CRON &&
		(out->kind != PGT_SCHEDULE_DURATION ||
		 (ms > 0 && ms <= PGT_MAX_SCHEDULE_MS));
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
}

static void
shmem_startup(void)
{
	if (previous_shmem_startup_hook)
		previous_shmem_startup_hook();
	pgt_shared_startup();
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
	pgt_launcher_register();
}
