/*
 * applier/api/append_only.h - which stream tables may be append_only.
 */
#ifndef PGT_APPEND_ONLY_H
#define PGT_APPEND_ONLY_H

#include "nodes/parsenodes.h"

/* 0A000 unless the result of the (expanded) query only grows while its sources
 * do, and it is maintained differentially. */
extern void pgt_append_only_check(const Query *expanded, const char *effective_mode);

#endif							/* PGT_APPEND_ONLY_H */
