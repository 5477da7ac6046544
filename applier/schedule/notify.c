/*
 * applier/schedule/notify.c - events for whoever listens.
 *
 * NOTIFY takes one cluster-wide lock until its transaction has ended, so no
 * refresh and no writer ever sends: the scheduler collects events and sends
 * them in a small transaction of its own.
 *
 * Owns a context with the payloads kept, alive until they are forgotten.
 */
#include "postgres.h"

#include <math.h>

#include "catalog/pg_type.h"
#include "commands/async.h"
#include "lib/stringinfo.h"
#include "mb/pg_wchar.h"
#include "utils/builtins.h"
#include "utils/datetime.h"
#include "utils/json.h"
#include "utils/memutils.h"

#include "applier/schedule/notify.h"

#define PGT_CHANNEL		"pgtrickle_refresh"
/* a payload has less than 8000 bytes, an escaped byte takes up to six */
#define PGT_EVENT_TEXT	1000

static MemoryContext kept_context = NULL;
static List *kept = NIL;		/* of char* */

static void
append_text(StringInfo payload, const char *text)
{
	int			len = pg_mbcliplen(text, strlen(text), PGT_EVENT_TEXT);

	escape_json(payload, pnstrdup(text, len));
}

static void
append_number(StringInfo payload, double number)
{
	if (number == rint(number) && fabs(number) < 1e15)
		appendStringInfo(payload, INT64_FORMAT, (int64) number);
	else if (isfinite(number))
		appendStringInfo(payload, "%.3f", number);
	else
		appendStringInfoString(payload, "null");
}

static void
append_now(StringInfo payload)
{
	char		buffer[MAXDATELEN + 1];

	JsonEncodeDateTime(buffer, TimestampTzGetDatum(GetCurrentTimestamp()),
					   TIMESTAMPTZOID, NULL);
	escape_json(payload, buffer);
}

static char *
build_payload(const char *event, const char *stream_table,
			  const PgtEventField *fields, int nfields)
{
	StringInfoData payload;

	initStringInfo(&payload);
	appendStringInfoString(&payload, "{\"event\": ");
	append_text(&payload, event);
	appendStringInfoString(&payload, ", \"stream_table\": ");
	if (stream_table != NULL)
		append_text(&payload, stream_table);
	else
		appendStringInfoString(&payload, "null");
	appendStringInfoString(&payload, ", \"at\": ");
	append_now(&payload);
	for (int i = 0; i < nfields; i++)
	{
		appendStringInfoString(&payload, ", ");
		escape_json(&payload, fields[i].key);
		appendStringInfoString(&payload, ": ");
		if (fields[i].text != NULL)
			append_text(&payload, fields[i].text);
		else
			append_number(&payload, fields[i].number);
	}
	appendStringInfoChar(&payload, '}');
	return payload.data;
}

void
pgt_notify(const char *event, const char *stream_table,
		   const PgtEventField *fields, int nfields)
{
	char	   *payload = build_payload(event, stream_table, fields, nfields);

	Async_Notify(PGT_CHANNEL, payload);
}

void
pgt_notify_keep(const char *event, const char *stream_table,
				const PgtEventField *fields, int nfields)
{
	MemoryContext before;

	if (kept_context == NULL)
		kept_context = AllocSetContextCreate(TopMemoryContext,
											 "pg_trickle events",
											 ALLOCSET_DEFAULT_SIZES);
	before = MemoryContextSwitchTo(kept_context);
	kept = lappend(kept, build_payload(event, stream_table, fields, nfields));
	MemoryContextSwitchTo(before);
}

bool
pgt_notify_any_kept(void)
{
	return kept != NIL;
}

void
pgt_notify_send(void)
{
	ListCell   *lc;

	foreach(lc, kept)
		Async_Notify(PGT_CHANNEL, lfirst(lc));
}

void
pgt_notify_forget(void)
{
	kept = NIL;
	if (kept_context != NULL)
		MemoryContextReset(kept_context);
}
