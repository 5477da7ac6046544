/*
 * applier/capture/target.h - what a write to a relation must be recorded for;
 * for the files of capture/ only.
 */
#ifndef PGT_TARGET_H
#define PGT_TARGET_H

#include "postgres.h"
#include "access/attnum.h"
#include "nodes/pg_list.h"
#include "utils/relcache.h"

#include "applier/capture/buffer.h"
#include "applier/capture/capture.h"
#include "decoder/wire.h"

/* A source that a relation's rows belong to: itself or an ancestor. */
typedef struct PgtTarget
{
	Oid			source;
	PgtBufferRef buffer;		/* segment to append to */
	PgtWireShape *shape;		/* NULL: see lost_reason */
	const char *lost_reason;	/* why its rows cannot be recorded */
	AttrNumber *attnums;		/* of the shape's columns in the relation */
	AttrNumber	max_attnum;
} PgtTarget;

typedef struct PgtTargetSet
{
	int			n;
	PgtTarget  *targets;
} PgtTargetSet;

typedef struct PgtTargets
{
	Oid			relid;			/* hash key */
	bool		valid;
	bool		changed;		/* invalidated while being built */
	MemoryContext context;		/* owns all below */
	List	   *lineage;		/* oids whose change makes this invalid */
	PgtTargetSet by_statement;	/* sources of form "statement" */
	PgtTargetSet by_row;		/* sources of form "row" */
} PgtTargets;

/* The relation's targets, from this backend's cache; valid until the next
 * invalidation is processed. */
extern PgtTargets *pgt_targets_get(Relation rel);

#endif							/* PGT_TARGET_H */
