/*
 * applier/dvm/deparse.h - the engine's queries as text for people.
 * Private to dvm/.
 */
#ifndef PGT_DEPARSE_H
#define PGT_DEPARSE_H

#include "nodes/parsenodes.h"

/* Text of a Query, names qualified; named tuplestores print as their names.
 * For display: not meant to be run. */
extern char *pgt_deparse_for_display(const Query *query);

/* spell.c: a copy in which every operator has a place for its schema. */
extern Query *pgt_spell_operators(const Query *query);

#endif							/* PGT_DEPARSE_H */
