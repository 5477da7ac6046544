/*
 * applier/api/guard.h - hooks that keep stream tables, state and buffers from
 * direct writes and watch utility commands.
 */
#ifndef PGT_GUARD_H
#define PGT_GUARD_H

#include "postgres.h"
#include "nodes/nodes.h"

extern void pgt_guard_init(void);	/* from _PG_init: installs the hooks */

/* ---- guard_utility.c: called by the hooks of guard.c ---- */

/* Would the guards look at this kind of statement at all? */
extern bool pgt_guard_watches(const Node *stmt);
/* Raise if the statement would change what only the engine may change. */
extern void pgt_guard_check_utility(const Node *stmt);
/* 42809 if relid is a stream table, 42501 if it is a table of the engine. */
extern void pgt_guard_refuse_write(Oid relid);

#endif							/* PGT_GUARD_H */
