/*
 * applier/refresh/lock.h - the locks of one refresh; see lock.c for the order.
 */
#ifndef PGT_LOCK_H
#define PGT_LOCK_H

#include "applier/catalog/catalog.h"

/* Held until the transaction ends.  False: not to be had without waiting. */
extern bool pgt_lock_refresh(int64 pgt_id, bool wait);
/* dependencies: of PgtDependency*, as pgt_dependency_of returns them.  False:
 * !wait, and somebody holds or wants a lock that is in the way. */
extern bool pgt_lock_relations(Oid st_relid, List *dependencies, bool wait);

#endif							/* PGT_LOCK_H */
