/*
 * applier/api/guard.h - hooks that keep stream tables, state and buffers from
 * direct writes and watch utility commands.
 */
#ifndef PGT_GUARD_H
#define PGT_GUARD_H

extern void pgt_guard_init(void);	/* from _PG_init: installs the hooks */

#endif							/* PGT_GUARD_H */
