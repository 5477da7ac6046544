/*
 * applier/capture/install.h - what capture's two kinds of triggers share:
 * those that record changes (install.c) and those that maintain IMMEDIATE
 * stream tables (maintain.c).  Private to capture/.
 */
#ifndef PGT_INSTALL_H
#define PGT_INSTALL_H

#include "postgres.h"
#include "nodes/pg_list.h"
#include "storage/lockdefs.h"

/* A trigger that a relation may carry. */
typedef struct PgtTriggerKind
{
	const char *name;
	int16		tgtype;			/* AFTER is zero */
	bool		old_table;
	bool		new_table;
} PgtTriggerKind;

/* pgtrickle.<name>(), a trigger function */
extern Oid	pgt_install_function(const char *name);
/* Which kinds are there, as bits; oids[] gets the trigger of each. */
extern int	pgt_install_present(Oid relid, Oid function,
								const PgtTriggerKind *among, int namong,
								Oid *oids);
/* Internal, ENABLE ALWAYS, going with the extension. */
extern void pgt_install_create(Oid relid, const PgtTriggerKind *kind,
							   Oid function);
extern void pgt_install_drop(Oid oid);

/* "statement" or "row": see install.c */
extern char *pgt_install_form(Oid relid, List *tree);
/* 0A000 where no trigger can see all changes. */
extern void pgt_install_check(Oid relid, List *tree);
/* The relation and its descendants, locked, parents first. */
extern List *pgt_install_lock_tree(Oid relid, LOCKMODE lockmode);
/* A lock on the first segment, the right to change the source's row. */
extern void pgt_install_lock_row(Oid relid);
/* Make the triggers of all tables of the tree what pgt_sources says. */
extern void pgt_install_sync_tree(List *tree);

/* maintain.c */
extern void pgt_maintain_repair(Oid relid);
extern void pgt_maintain_repair_all(void);
extern void pgt_maintain_stop_if_unused(Oid relid);

#endif							/* PGT_INSTALL_H */
