/*
 * applier/api/alter.h - changing a stream table; st is read and written back.
 */
#ifndef PGT_ALTER_H
#define PGT_ALTER_H

#include "applier/api/options.h"
#include "applier/catalog/catalog.h"

/* The refresh lock, and before it, where the stream table is IMMEDIATE or is to
 * become so, locks that keep its writers out. */
extern void pgt_alter_lock(int64 pgt_id, const char *new_mode);

/* Store what is given (not NULL) and differs. */
extern void pgt_alter_settings(PgtStreamTable *st, const PgtOptions *o);

/* Take a new defining query; false when it is the same after analysis.
 * Columns that differ are altered, which fails while something depends on
 * them.  Fill it anew after (pgt_alter_refill). */
extern bool pgt_alter_query(PgtStreamTable *st, const char *query);

/* Bring the rows up to the new query in this transaction (or, where its
 * snapshot is too old for that, mark it for the scheduler). */
extern void pgt_alter_refill(PgtStreamTable *st);

#endif							/* PGT_ALTER_H */
