/*
 * applier/refresh/identity.h - who a refresh runs as.
 */
#ifndef PGT_IDENTITY_H
#define PGT_IDENTITY_H

#include "postgres.h"
#include "nodes/pg_list.h"

typedef struct PgtIdentity
{
	Oid			saved_user;
	int			saved_context;
	int			guc_level;
} PgtIdentity;

/*
 * Become "owner" inside a security-restricted operation with search_path
 * pg_catalog, pg_temp, row_security off and the pinned settings ("name=value"
 * strings).  pgt_identity_leave undoes it; an abort of the (sub)transaction
 * does so too.
 */
extern void pgt_identity_enter(PgtIdentity *id, Oid owner,
							   List *pinned_settings);
extern void pgt_identity_leave(PgtIdentity *id);

/* The session's values of the settings that stable functions may depend on. */
extern List *pgt_identity_pin_settings(void);

extern Oid	pgt_relation_owner(Oid relid);

#endif							/* PGT_IDENTITY_H */
