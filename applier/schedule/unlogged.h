/*
 * applier/schedule/unlogged.h - unlogged sources after a crash.
 */
#ifndef PGT_UNLOGGED_H
#define PGT_UNLOGGED_H

/* In a transaction of the scheduler, when it starts: mark for rebuild what
 * reads a source that a crash has emptied. */
extern void pgt_unlogged_check(void);

#endif							/* PGT_UNLOGGED_H */
