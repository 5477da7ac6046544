/*
 * applier/api/ddl_internal.h - between ddl.c, which notes what DDL touched, and
 * ddl_effects.c, which acts on it.
 */
#ifndef PGT_DDL_INTERNAL_H
#define PGT_DDL_INTERNAL_H

#include "postgres.h"
#include "access/attnum.h"
#include "nodes/pg_list.h"

/* in the order in which notes are acted upon */
typedef enum PgtDdlKind
{
	PGT_DDL_DROPPED_STREAM_TABLE,	/* pgt_id, object_id its relid */
	PGT_DDL_DROPPED_SOURCE,		/* object_id */
	PGT_DDL_RENAMED_SCHEMA,
	PGT_DDL_RENAMED,			/* class_id, object_id: relation, function, type, operator */
	PGT_DDL_FAMILY,				/* object_id got or lost parents or children */
	PGT_DDL_IDENTITY,			/* the WAL tells other things of object_id */
	PGT_DDL_TRIGGERS_SWITCHED,	/* object_id */
	PGT_DDL_KEY_DROPPED,		/* object_id the table */
	PGT_DDL_CHANGED_RELATION,	/* object_id, attnum or 0: any use of it */
	PGT_DDL_CHANGED_OBJECT		/* class_id, object_id: function, type */
} PgtDdlKind;

/* As an attnum: rows of the relation, as values. */
#define PGT_DDL_WHOLE_ROW (-1)

typedef struct PgtDdlNote
{
	PgtDdlKind	kind;
	Oid			class_id;
	Oid			object_id;
	AttrNumber	attnum;
	int64		pgt_id;
	char	   *reason;			/* for the readers' reinit_reason, or NULL */
	int			nest_level;		/* transaction that made it */
} PgtDdlNote;

#define PGT_DDL_NAMED	20

/* Readers marked by the notes of one command, to be told in one message. */
typedef struct PgtDdlMarks
{
	List	   *ids;			/* of int64 *: each once */
	StringInfo	names;			/* of the first PGT_DDL_NAMED */
	const char *reason;			/* of the first */
} PgtDdlMarks;

extern void pgt_ddl_apply(const PgtDdlNote *note, PgtDdlMarks *marks);

/* relid and everything it inherits from, directly or not: Oid list */
extern List *pgt_ddl_ancestors(Oid relid);

#endif							/* PGT_DDL_INTERNAL_H */
