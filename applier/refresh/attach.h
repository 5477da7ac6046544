/*
 * applier/refresh/attach.h - tying a stream table to what its query reads.
 */
#ifndef PGT_ATTACH_H
#define PGT_ATTACH_H

#include "applier/catalog/catalog.h"
#include "applier/dvm/dvm.h"

/* DIFFERENTIAL, FULL or IMMEDIATE; *reason says why it is not what was asked for.  Raises
 * where the query is refused in refresh_mode. */
extern const char *pgt_attach_choose_mode(const PgtQueryCheck *check,
										  const char *refresh_mode,
										  const char *query_text,
										  char **reason);

/* 42501 unless the current user may have triggers on every table read. */
extern void pgt_attach_check_rights(const PgtQueryCheck *check,
									bool immediate);

/* A key that no longer holds would refuse right rows: then the rows are told
 * apart by their hash.  Changes st, not its catalog row. */
extern void pgt_attach_check_identity(PgtStreamTable *st, const Query *expanded);

/* pg_depend entries and pgt_dependencies of a stream table, capture of its
 * sources.  Used for a new query too: what is no longer used is given up.
 * Locks sources that were not captured yet against writers until commit: take
 * the snapshot that will read them after. */
extern void pgt_attach_sources(PgtStreamTable *st, const PgtQueryCheck *check);

#endif							/* PGT_ATTACH_H */
