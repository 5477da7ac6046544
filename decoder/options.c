/*
 * decoder/options.c - the output plugin's options.
 *
 *   format_version  '1' (default): see wire.h
 *   sources         required: relations to decode, separated by commas; each
 *                   an oid or schema.name, parts quoted where SQL wants quotes
 *   columns         column names, separated by commas, quoted as in SQL: a
 *                   source carries those that it has.  Default: all
 *
 * No catalog is read here: a walsender starts the plugin outside of any
 * transaction.  Names are compared when a relation first turns up.
 */
#include "postgres.h"

#include <ctype.h>
#include <limits.h>

#include "lib/stringinfo.h"
#include "nodes/parsenodes.h"
#include "nodes/value.h"
#include "parser/scansup.h"
#include "utils/builtins.h"

#include "decoder/compat.h"
#include "decoder/options.h"
#include "decoder/wire.h"

PGT_NORETURN static void
bad_list(const char *option, const char *value, const char *hint)
{
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("invalid value for option \"%s\": \"%s\"", option, value),
			 errhint("%s", hint)));
}

static const char *
skip_space(const char *p)
{
	while (scanner_isspace(*p))
		p++;
	return p;
}

/* A quoted identifier, p behind the opening quote; NULL if it does not end. */
static const char *
scan_quoted(const char *p, StringInfo name)
{
	for (; *p != '\0'; p++)
	{
		if (*p == '"' && p[1] != '"')
			return p + 1;
		if (*p == '"')
			p++;
		appendStringInfoChar(name, *p);
	}
	return NULL;
}

/* One identifier, as SQL reads it; *p moves behind it.  NULL if there is none. */
static char *
scan_identifier(const char **p)
{
	StringInfoData name;
	const char *start = skip_space(*p);
	const char *end = start;

	initStringInfo(&name);
	if (*start == '"')
		end = scan_quoted(start + 1, &name);
	else
		while (isalnum((unsigned char) *end) || *end == '_' || *end == '$' ||
			   IS_HIGHBIT_SET(*end))
			end++;
	if (end == NULL || end == start)
		return NULL;
	if (*start != '"')
		appendStringInfoString(&name, downcase_identifier(start, end - start, false, false));
	truncate_identifier(name.data, strlen(name.data), false);
	*p = skip_space(end);
	return name.data[0] ? name.data : NULL;
}

static bool
scan_oid(const char **p, Oid *oid)
{
	const char *start = skip_space(*p);
	char	   *end;
	unsigned long value;

	if (!isdigit((unsigned char) *start))
		return false;
	errno = 0;
	value = strtoul(start, &end, 10);
	if (errno != 0 || value == 0 || value > OID_MAX)
		return false;
	*oid = (Oid) value;
	*p = skip_space(end);
	return true;
}

static bool
scan_source(const char **p, PgtSourceName *source)
{
	if (scan_oid(p, &source->oid))
		return true;
	source->schema = scan_identifier(p);
	if (source->schema == NULL || **p != '.')
		return false;
	(*p)++;
	source->name = scan_identifier(p);
	return source->name != NULL;
}

/* Behind an element: true to go on with the next, false at the end. */
static bool
next_element(const char **p, bool *valid)
{
	*valid = **p == ',' || **p == '\0';
	if (**p != ',')
		return false;
	(*p)++;
	return true;
}

static List *
parse_sources(const char *value)
{
	const char *p = value;
	List	   *sources = NIL;
	bool		valid;

	do
	{
		PgtSourceName *source = palloc0(sizeof(PgtSourceName));

		valid = scan_source(&p, source);
		sources = lappend(sources, source);
	} while (valid && next_element(&p, &valid));
	if (!valid)
		bad_list("sources", value,
				 "Give oids or schema-qualified names, separated by commas.");
	return sources;
}

static List *
parse_columns(const char *value)
{
	const char *p = value;
	List	   *columns = NIL;
	bool		valid;

	do
	{
		char	   *name = scan_identifier(&p);

		valid = name != NULL;
		columns = lappend(columns, name);
	} while (valid && next_element(&p, &valid));
	if (!valid)
		bad_list("columns", value, "Give column names, separated by commas.");
	return columns;
}

static void
check_version(const char *value)
{
	if (strcmp(value, CppAsString2(PGT_WIRE_VERSION)) != 0)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("format version \"%s\" is not supported", value),
				 errhint("This library writes version %d.", PGT_WIRE_VERSION)));
}

static const char *
option_value(const DefElem *element)
{
	if (element->arg == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("option \"%s\" needs a value", element->defname)));
	return strVal(element->arg);
}

PgtDecoderOptions *
pgt_options_parse(List *elements)
{
	PgtDecoderOptions *options = palloc0(sizeof(PgtDecoderOptions));
	List	   *seen = NIL;
	ListCell   *lc;

	foreach(lc, elements)
	{
		DefElem    *element = lfirst_node(DefElem, lc);
		const char *value = option_value(element);

		if (list_member(seen, makeString(element->defname)))
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("option \"%s\" is given more than once", element->defname)));
		seen = lappend(seen, makeString(element->defname));
		if (strcmp(element->defname, "format_version") == 0)
			check_version(value);
		else if (strcmp(element->defname, "sources") == 0)
			options->sources = parse_sources(value);
		else if (strcmp(element->defname, "columns") == 0)
			options->columns = parse_columns(value);
		else
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("option \"%s\" is not known to this output plugin", element->defname),
					 errhint("Known options are format_version, sources and columns.")));
	}
	if (options->sources == NIL)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("option \"sources\" is missing"),
				 errhint("Give oids or schema-qualified names, separated by commas.")));
	return options;
}
