/*
 * applier/dvm/functions.h - may a function be used in a maintained query?
 * Private to dvm/.
 */
#ifndef PGT_FUNCTIONS_H
#define PGT_FUNCTIONS_H

#include "postgres.h"

#include "nodes/pg_list.h"

typedef enum PgtFunctionUse
{
	PGT_FUNCTION_IMMUTABLE,
	PGT_FUNCTION_STABLE,		/* of settings only, which are pinned */
	PGT_FUNCTION_AGES,			/* of time, user, transaction or catalogs */
	PGT_FUNCTION_OPAQUE,		/* user-defined and stable: may read tables */
	PGT_FUNCTION_VOLATILE
} PgtFunctionUse;

/* Functions (of Oid) that an aggregate is made of; NIL for other functions. */
extern List *pgt_aggregate_functions(Oid funcid);

/* The worst of the function and, for an aggregate, of its parts. */
extern PgtFunctionUse pgt_function_use(Oid funcid);

/* The worst of the functions in a domain's CHECK constraints. */
extern PgtFunctionUse pgt_domain_use(Oid domain);

#endif							/* PGT_FUNCTIONS_H */
