/*
 * applier/dvm/watch.h - does a compiled program still mean the same?
 * Private to dvm/.
 */
#ifndef PGT_WATCH_H
#define PGT_WATCH_H

#include "applier/dvm/program.h"

/* Note what program->expanded and the stream table depend on, and put the
 * program into the list that invalidations are checked against.  It leaves
 * the list when its context is reset. */
extern void pgt_watch_program(PgtProgram *program);

#endif							/* PGT_WATCH_H */
