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
/* ERRCODE_OBJECT_IN_USE when this session is in the middle of a statement that
 * writes to one of them; one that reads what was written before counts, too. */
extern void pgt_lock_check_not_written(const char *st_name, List *dependencies);

#endif							/* PGT_LOCK_H */
