/*
 * applier/dvm/domain.c - subqueries that refer to the level otherwise than in
 * plain conditions.
 */
#include "postgres.h"

#include "applier/dvm/unnest.h"

bool
pgt_domain_attach(PgtUnnestLevel *v, Query *sub, PgtDomain *domain)
{
	pgt_unnest_refuse(v->u, "a correlated subquery of this kind", NULL);
	return false;
}
