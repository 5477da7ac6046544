/*
 * decoder/options.c - the output plugin's options.
 *
 *   format_version  '1' (default): see wire.h
 *   sources         relations to decode, separated by commas; each an oid or
 *                   schema.name, parts quoted where SQL wants quotes, and
 *                   perhaps the columns to carry, in parentheses
 *   columns         column names, separated by commas, quoted as in SQL: a
 *                   source without columns of its own carries those of these
 *                   that it has.  Default: all
 *   catalog         'on': relations and columns that pgtrickle.pgt_sources
 *                   says are captured from the WAL, at each place in the WAL
 *   origin          'any' (default), 'none': not what came by replication
 *
 * One of sources and catalog is required.
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
bad_value(const char *option, const char *value, const char *hint)
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
scan_relation(const char **p, PgtSourceName *source)
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

/* Names separated by commas, at least one. */
static bool
scan_names(const char **p, List **names)
{
	do
	{
		char	   *name = scan_identifier(p);

		if (name == NULL)
			return false;
		*names = lappend(*names, name);
	} while (**p == ',' && (*p)++);
	return true;
}

static bool
scan_source(const char **p, PgtSourceName *source)
{
	if (!scan_relation(p, source))
		return false;
	if (**p != '(')
		return true;
	(*p)++;
	if (!scan_names(p, &source->columns) || **p != ')')
		return false;
	*p = skip_space(*p + 1);
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
	} while (valid && *p == ',' && p++);
	if (!valid || *p != '\0')
		bad_value("sources", value,
				  "Give oids or schema-qualified names, separated by commas, columns of a relation in parentheses behind it.");
	return sources;
}

static List *
parse_columns(const char *value)
{
	const char *p = value;
	List	   *columns = NIL;

	if (!scan_names(&p, &columns) || *p != '\0')
		bad_value("columns", value, "Give column names, separated by commas.");
	return columns;
}

static bool
parse_switch(const char *option, const char *value)
{
	bool		result;

	if (!parse_bool(value, &result))
		bad_value(option, value, "Give \"on\" or \"off\".");
	return result;
}

static bool
parse_origin(const char *value)
{
	if (strcmp(value, "any") != 0 && strcmp(value, "none") != 0)
		bad_value("origin", value, "Give \"any\" or \"none\".");
	return strcmp(value, "none") == 0;
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

static void
parse_option(PgtDecoderOptions *options, const char *name, const char *value)
{
	if (strcmp(name, "format_version") == 0)
		check_version(value);
	else if (strcmp(name, "sources") == 0)
		options->sources = parse_sources(value);
	else if (strcmp(name, "columns") == 0)
		options->columns = parse_columns(value);
	else if (strcmp(name, "catalog") == 0)
		options->catalog = parse_switch(name, value);
	else if (strcmp(name, "origin") == 0)
		options->local_only = parse_origin(value);
	else
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("option \"%s\" is not known to this output plugin", name),
				 errhint("Known options are format_version, sources, columns, catalog and origin.")));
}

static void
check_together(const PgtDecoderOptions *options)
{
	if (options->catalog && (options->sources != NIL || options->columns != NIL))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("option \"catalog\" excludes \"sources\" and \"columns\""),
				 errdetail("It takes both from pgtrickle.pgt_sources.")));
	if (!options->catalog && options->sources == NIL)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("option \"sources\" is missing"),
				 errhint("Give oids or schema-qualified names, separated by commas.")));
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
		parse_option(options, element->defname, value);
	}
	check_together(options);
	return options;
}
