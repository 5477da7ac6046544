/*
 * decoder/options.h - the output plugin's options.
 */
#ifndef PGT_DECODER_OPTIONS_H
#define PGT_DECODER_OPTIONS_H

#include "postgres.h"
#include "nodes/pg_list.h"

/* One entry of "sources": an oid, or a name when oid is InvalidOid. */
typedef struct PgtSourceName
{
	Oid			oid;
	char	   *schema;
	char	   *name;
	List	   *columns;		/* of char*; NIL: as the option "columns" says */
} PgtSourceName;

typedef struct PgtDecoderOptions
{
	bool		catalog;		/* wanted is what pgtrickle.pgt_sources says */
	List	   *sources;		/* else: of PgtSourceName* */
	List	   *columns;		/* of char*; NIL: all */
	bool		local_only;		/* not what came by replication */
} PgtDecoderOptions;

/* From the list of DefElem that the slot's user gave; palloc'd.  Errors:
 * 22023 unknown, missing, repeated, contradicting or unreadable option; 0A000
 * a format version this library does not write. */
extern PgtDecoderOptions *pgt_options_parse(List *elements);

#endif							/* PGT_DECODER_OPTIONS_H */
