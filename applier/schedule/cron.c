/*
 * applier/schedule/cron.c - cron lines: what they say, and when they are next
 * due.
 *
 * Pure functions of a text, an instant and a time zone: no state, no catalog.
 *
 * A line has five fields (minute, hour, day of the month, month, weekday) or
 * six, with seconds before them.  A field is *, a value, a range, either with
 * a step, or a list of those.  When both kinds of day are restricted one of
 * them suffices, as in every cron; a day field that begins with * restricts
 * (by its step), but does not stand for itself.
 *
 * Daylight saving.  A line whose hour field does not begin with * names times
 * of the clock on the wall: one that the clock skips is due at the instant of
 * the jump, one that it shows twice is due the first time only.  So a nightly
 * run happens each night, once.  A line with * for the hour follows elapsed
 * time: it is due in both passes of a repeated hour and never in a skipped
 * one.  Nothing else is special: offsets come from the zone's own table of
 * changes, so zones that move by half an hour or a day work as well.
 *
 * The search goes by days, not by seconds: a line that is due once in four
 * years costs some thousand steps, and one that never is ends after a century.
 */
#include "postgres.h"

#include <ctype.h>

#include "datatype/timestamp.h"
#include "utils/datetime.h"

#include "applier/schedule/cron.h"
#include "applier/settings.h"

#define FIELDS			6
#define SEARCH_DAYS		(100 * 366)
#define EPOCH_SHIFT		((int64) (POSTGRES_EPOCH_JDATE - UNIX_EPOCH_JDATE) * SECS_PER_DAY)

typedef struct FieldKind
{
	const char *name;
	int			min;
	int			max;			/* as written; weekday 7 is Sunday again */
	const char *names;			/* three letters each, for min and on, or NULL */
} FieldKind;

static const FieldKind kinds[FIELDS] = {
	{"second", 0, 59, NULL},
	{"minute", 0, 59, NULL},
	{"hour", 0, 23, NULL},
	{"day of the month", 1, 31, NULL},
	{"month", 1, 12, "janfebmaraprmayjunjulaugsepoctnovdec"},
	{"day of the week", 0, 7, "sunmontuewedthufrisat"},
};

static const struct
{
	const char *alias;
	const char *line;
}			aliases[] = {
	{"@yearly", "0 0 1 1 *"},
	{"@annually", "0 0 1 1 *"},
	{"@monthly", "0 0 1 * *"},
	{"@weekly", "0 0 * * 0"},
	{"@daily", "0 0 * * *"},
	{"@midnight", "0 0 * * *"},
	{"@hourly", "0 * * * *"},
};

/* ---- parsing ---- */

/* A number or a name; -1 when there is neither. */
static int
read_value(const char **text, const FieldKind *kind)
{
	const char *p = *text;
	int			value = 0;
	int			digits = 0;

	if (kind->names != NULL && isalpha((unsigned char) p[0]))
	{
		for (int i = 0; kind->names[i * 3] != '\0'; i++)
		{
			if (pg_strncasecmp(p, kind->names + i * 3, 3) != 0 ||
				isalpha((unsigned char) p[3]))
				continue;
			*text = p + 3;
			return kind->min + i;
		}
		return -1;
	}
	for (; isdigit((unsigned char) *p) && digits < 9; p++, digits++)
		value = value * 10 + (*p - '0');
	if (digits == 0)
		return -1;
	*text = p;
	return value;
}

static char *
out_of_range(const FieldKind *kind, int value)
{
	return psprintf("The %s is from %d to %d, not %d.", kind->name, kind->min,
					kind->max, value);
}

static char *
not_understood(const FieldKind *kind, const char *part, const char *end)
{
	return psprintf("\"%.*s\" is no %s.", (int) (end - part), part, kind->name);
}

static int
last_of(const FieldKind *kind)
{
	return kind->max == 7 ? 6 : kind->max;
}

/* A value, or a range of two; one with a step and no end goes to the last. */
static char *
read_bounds(const char **text, const char *end, const FieldKind *kind,
			int *first, int *last)
{
	const char *part = *text;

	*first = *last = read_value(text, kind);
	if (*first < 0)
		return not_understood(kind, part, end);
	if (*first < kind->min || *first > kind->max)
		return out_of_range(kind, *first);
	if (**text == '/')
		*last = last_of(kind);
	if (**text != '-')
		return NULL;
	(*text)++;
	*last = read_value(text, kind);
	if (*last < 0)
		return not_understood(kind, part, end);
	/* fri-sun: the week may end on its first day */
	if (kind->max == 7 && *last == 0 && *first > 0)
		*last = 7;
	if (*last < kind->min || *last > kind->max)
		return out_of_range(kind, *last);
	if (*last < *first)
		return psprintf("The range \"%.*s\" of the %s runs backwards.",
						(int) (end - part), part, kind->name);
	return NULL;
}

static char *
read_step(const char **text, const char *end, const FieldKind *kind, int *step)
{
	const char *part = *text;

	*step = 1;
	if (**text != '/')
		return NULL;
	(*text)++;
	*step = isdigit((unsigned char) **text) ? read_value(text, &kinds[0]) : 0;
	if (*step <= 0)
		return psprintf("\"%.*s\" is no step of the %s: it has no number above zero.",
						(int) (end - part), part, kind->name);
	if (*step > kind->max)
		return psprintf("The step %d is longer than the %s has values.",
						*step, kind->name);
	return NULL;
}

/* One element of a list: from, to, step; the text is left after it. */
static char *
read_range(const char **text, const char *end, const FieldKind *kind,
		   int *first, int *last, int *step)
{
	char	   *wrong = NULL;

	*first = kind->min;
	*last = last_of(kind);
	if (**text == '*')
		(*text)++;
	else
		wrong = read_bounds(text, end, kind, first, last);
	return wrong != NULL ? wrong : read_step(text, end, kind, step);
}

static char *
read_field(const char *text, const char *end, const FieldKind *kind,
		   uint64 *bits)
{
	const char *p = text;

	*bits = 0;
	for (;;)
	{
		int			first;
		int			last;
		int			step;
		char	   *wrong = read_range(&p, end, kind, &first, &last, &step);

		if (wrong != NULL)
			return wrong;
		for (int value = first; value <= last; value += step)
			*bits |= UINT64CONST(1) << (kind->max == 7 ? value % 7 : value);
		if (p == end)
			return NULL;
		if (*p++ != ',')
			return not_understood(kind, text, end);
	}
}

/* Cuts the text at white space; returns how many words there are. */
static int
split(const char *text, const char **start, const char **end)
{
	int			n = 0;

	for (;;)
	{
		while (isspace((unsigned char) *text))
			text++;
		if (*text == '\0')
			return n;
		if (n < FIELDS)
			start[n] = text;
		while (*text != '\0' && !isspace((unsigned char) *text))
			text++;
		if (n < FIELDS)
			end[n] = text;
		n++;
	}
}

static const char *
line_of_alias(const char *text)
{
	for (int i = 0; i < lengthof(aliases); i++)
		if (pg_strcasecmp(text, aliases[i].alias) == 0)
			return aliases[i].line;
	return NULL;
}

static char *
unknown_alias(const char *text)
{
	if (pg_strcasecmp(text, "@reboot") == 0)
		return pstrdup("\"@reboot\" names no time. Refreshes that the server missed while it was down are made up for anyway.");
	return psprintf("There is no alias \"%s\"; there are @yearly, @annually, @monthly, @weekly, @daily, @midnight and @hourly.",
					text);
}

char *
pgt_cron_parse(const char *text, PgtCron *cron)
{
	const char *start[FIELDS];
	const char *end[FIELDS];
	uint64		bits[FIELDS] = {1};	/* without a field for them: second 0 */
	bool		star[FIELDS] = {false};
	int			n;

	memset(cron, 0, sizeof(*cron));
	if (text[0] == '@')
	{
		if (line_of_alias(text) == NULL)
			return unknown_alias(text);
		text = line_of_alias(text);
	}
	n = split(text, start, end);
	if (n != FIELDS && n != FIELDS - 1)
		return psprintf("A cron line has 5 fields, or 6 with seconds, not %d.", n);
	for (int i = 0; i < n; i++)
	{
		int			field = i + FIELDS - n;
		char	   *wrong = read_field(start[i], end[i], &kinds[field], &bits[field]);

		if (wrong != NULL)
			return wrong;
		star[field] = *start[i] == '*';
	}
	cron->seconds = bits[0];
	cron->minutes = bits[1];
	cron->hours = (uint32) bits[2];
	cron->days = (uint32) bits[3];
	cron->months = (uint32) bits[4];
	cron->weekdays = (uint32) bits[5];
	cron->any_hour = star[2];
	cron->either_day = !star[3] && !star[5];
	if (pgt_cron_next(cron, 0, pg_tzset("GMT")) == DT_NOEND)
		return pstrdup("There is no such day: it is never due.");
	return NULL;
}

/* Starts with @, has a *, or has as many words as a line, the first of which
 * begin with digits; an interval has neither * nor five numbers in a row. */
bool
pgt_cron_looks_like(const char *text)
{
	const char *start[FIELDS];
	const char *end[FIELDS];
	int			n;

	if (text[0] == '@' || strchr(text, '*') != NULL)
		return true;
	n = split(text, start, end);
	if (n != FIELDS && n != FIELDS - 1)
		return false;
	return isdigit((unsigned char) *start[0]) && isdigit((unsigned char) *start[1]);
}

/* ---- the next time by the clock on the wall ---- */

static bool
day_matches(const PgtCron *cron, int jday)
{
	int			year;
	int			month;
	int			day;
	bool		by_day;
	bool		by_weekday;

	j2date(jday, &year, &month, &day);
	if ((cron->months & (1U << month)) == 0)
		return false;
	by_day = (cron->days & (1U << day)) != 0;
	by_weekday = (cron->weekdays & (1U << j2day(jday))) != 0;
	return cron->either_day ? by_day || by_weekday : by_day && by_weekday;
}

/* The lowest bit from "from" on; -1: none. */
static int
next_bit(uint64 bits, int from)
{
	for (int i = from; i < 64; i++)
		if (bits & (UINT64CONST(1) << i))
			return i;
	return -1;
}

/* The first second of the day, from "from" on, that matches; -1: none. */
static int
next_second_of_day(const PgtCron *cron, int from)
{
	int			hour = from / SECS_PER_HOUR;
	int			minute = from / SECS_PER_MINUTE % MINS_PER_HOUR;
	int			second = from % SECS_PER_MINUTE;

	for (int h = hour; (h = next_bit(cron->hours, h)) >= 0; h++)
	{
		if (h > hour)
			minute = second = 0;
		hour = h;
		for (int m = minute; (m = next_bit(cron->minutes, m)) >= 0; m++)
		{
			int			s;

			if (m > minute)
				second = 0;
			minute = m;
			s = next_bit(cron->seconds, second);
			if (s >= 0)
				return (h * MINS_PER_HOUR + m) * SECS_PER_MINUTE + s;
		}
	}
	return -1;
}

/*
 * Times on the wall are seconds since 1970 as if the wall were in Greenwich.
 * The first match at or after "wall"; PG_INT64_MAX: none.
 */
static int64
next_on_the_wall(const PgtCron *cron, int64 wall)
{
	int64		day = wall >= 0 ? wall / SECS_PER_DAY :
		-((SECS_PER_DAY - 1 - wall) / SECS_PER_DAY);
	int			from = (int) (wall - day * SECS_PER_DAY);

	for (int i = 0; i < SEARCH_DAYS; i++, day++, from = 0)
	{
		int			second;

		if (!day_matches(cron, (int) (day + UNIX_EPOCH_JDATE)))
			continue;
		second = next_second_of_day(cron, from);
		if (second >= 0)
			return day * SECS_PER_DAY + second;
	}
	return PG_INT64_MAX;
}

/* ---- and by the sun ---- */

/* A stretch of time in which the zone's offset is one. */
typedef struct Stretch
{
	long		offset;			/* seconds east of Greenwich */
	long		next_offset;
	int64		end;			/* exclusive; PG_INT64_MAX: for ever */
} Stretch;

static Stretch
stretch_at(int64 instant, const pg_tz *zone)
{
	pg_time_t	at = instant;
	pg_time_t	boundary;
	int			is_dst;
	int			next_is_dst;
	Stretch		result;
	int			found = pg_next_dst_boundary(&at, &result.offset, &is_dst, &boundary,
											 &result.next_offset, &next_is_dst, zone);

	if (found < 0)
		result.offset = 0;
	result.end = found > 0 ? (int64) boundary : PG_INT64_MAX;
	return result;
}

/* When the wall first shows this time, or jumps over it. */
static int64
first_instant(int64 wall, const pg_tz *zone)
{
	int64		at = wall - 2 * SECS_PER_DAY;

	for (;;)
	{
		Stretch		stretch = stretch_at(at, zone);

		if (wall - stretch.offset < stretch.end)
			return wall - stretch.offset;
		if (wall - stretch.next_offset < stretch.end)
			return stretch.end;
		at = stretch.end;
	}
}

static int64
next_by_wall(const PgtCron *cron, int64 from, const pg_tz *zone)
{
	int64		wall = from + stretch_at(from, zone).offset;

	for (;;)
	{
		int64		instant;

		wall = next_on_the_wall(cron, wall);
		if (wall == PG_INT64_MAX)
			return PG_INT64_MAX;
		instant = first_instant(wall, zone);
		/* shown for the second time: it was due the first time */
		if (instant >= from)
			return instant;
		wall++;
	}
}

static int64
next_by_elapsed_time(const PgtCron *cron, int64 from, const pg_tz *zone)
{
	for (;;)
	{
		Stretch		stretch = stretch_at(from, zone);
		int64		wall = next_on_the_wall(cron, from + stretch.offset);

		if (wall == PG_INT64_MAX || wall - stretch.offset < stretch.end)
			return wall == PG_INT64_MAX ? wall : wall - stretch.offset;
		from = stretch.end;
	}
}

TimestampTz
pgt_cron_next(const PgtCron *cron, TimestampTz after, pg_tz *zone)
{
	int64		seconds;
	int64		next;

	if (TIMESTAMP_NOT_FINITE(after))
		return DT_NOEND;
	seconds = after >= 0 ? after / USECS_PER_SEC :
		-((USECS_PER_SEC - 1 - after) / USECS_PER_SEC);
	next = seconds + 1 + EPOCH_SHIFT;
	next = cron->any_hour ? next_by_elapsed_time(cron, next, zone) :
		next_by_wall(cron, next, zone);
	if (next == PG_INT64_MAX)
		return DT_NOEND;
	return (next - EPOCH_SHIFT) * USECS_PER_SEC;
}

pg_tz *
pgt_cron_zone(void)
{
	pg_tz	   *zone = NULL;

	if (pgt_cron_timezone != NULL && pgt_cron_timezone[0] != '\0')
		zone = pg_tzset(pgt_cron_timezone);
	return zone != NULL ? zone : session_timezone;
}
