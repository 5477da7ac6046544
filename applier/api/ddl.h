/*
 * applier/api/ddl.h - DDL on stream tables and on what they read; see ddl.c.
 */
#ifndef PGT_DDL_H
#define PGT_DDL_H

#include "postgres.h"
#include "catalog/objectaccess.h"
#include "nodes/nodes.h"
#include "nodes/pg_list.h"

/* One utility command under way; lives on the stack of the hook. */
typedef struct PgtDdlFrame
{
	const Node *stmt;
	bool		is_rename;		/* RENAME, SET SCHEMA: only names change */
	bool		is_alter;		/* ALTER TABLE: has sub-commands of its own */
	List	   *retyped;		/* of char*: columns that get another type or expression */
	List	   *notes;			/* of DdlNote*, from the command's text */
	struct PgtDdlFrame *outer;
} PgtDdlFrame;

extern void pgt_ddl_init(void);

/* Around a utility command; exactly one of end, abandon follows begin. */
extern void pgt_ddl_begin(PgtDdlFrame *frame, const Node *stmt);
extern void pgt_ddl_end(PgtDdlFrame *frame);
extern void pgt_ddl_abandon(PgtDdlFrame *frame);

/* From the object access hook: remember what is dropped, altered, replaced. */
extern void pgt_ddl_object_access(ObjectAccessType access, Oid class_id,
								  Oid object_id, int sub_id);

/*
 * Act on what was remembered: forget dropped stream tables, stop capture of
 * what nobody reads, mark readers of what changed for rebuild, follow new
 * names.  Runs by itself after every utility command and before commit; code
 * that drops or alters without a utility command calls it after.
 */
extern void pgt_ddl_process(void);

#endif							/* PGT_DDL_H */
