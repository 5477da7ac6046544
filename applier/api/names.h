/*
 * applier/api/names.h - names of stream tables as users write them (API.md
 * section 1), and the rights that API functions ask for.
 */
#ifndef PGT_NAMES_H
#define PGT_NAMES_H

#include "postgres.h"

#include "applier/catalog/catalog.h"

/* Split into schema (or NULL) and name, case folded as SQL does; 42602 when
 * it is no name of one or two parts. */
extern void pgt_name_split(const char *text, char **schema, char **name);

/* Where a new stream table of this name goes.  Checks CREATE on the schema
 * (42501), the name's syntax (42602) and that it is free (42P07, unless
 * allow_existing).  Results palloc'd. */
extern void pgt_name_for_create(const char *text, bool allow_existing,
								Oid *schema, char **name);

/* Find a stream table: qualified, or on search_path, or in
 * pg_trickle.stream_table_schema.  NULL when missing_ok and not there. */
extern PgtStreamTable *pgt_api_resolve(const char *text, bool missing_ok);

/* The caller must own it (42501), as for ALTER TABLE. */
extern void pgt_api_check_owner(const PgtStreamTable *st);

#endif							/* PGT_NAMES_H */
