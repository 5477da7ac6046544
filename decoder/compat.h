/*
 * decoder/compat.h - everything that differs between PostgreSQL 15 and 19.
 *
 * The only file of the project that looks at PG_VERSION_NUM (t/000_tree.pl
 * holds that).  Code elsewhere calls the macro or inline function named here
 * and reads the same on every version.  Add to it sorted by subject; say in
 * one line which version changed what.
 */
#ifndef PGT_COMPAT_H
#define PGT_COMPAT_H

#include "postgres.h"

#if PG_VERSION_NUM < 150000 || PG_VERSION_NUM >= 200000
#error "pg_trickle builds on PostgreSQL 15 to 19"
#endif

#endif							/* PGT_COMPAT_H */
