/*
 * applier/dvm/program.h - what a compiled program is made of.
 * Private to dvm/.
 */
#ifndef PGT_PROGRAM_H
#define PGT_PROGRAM_H

#include "postgres.h"
#include "lib/ilist.h"

#include "applier/dvm/compile.h"

/* A relation the program was compiled against. */
typedef struct PgtWatchedRelation
{
	Oid			relid;
	bool		changed;		/* an invalidation came: shape to be compared */
	bool		view;			/* any change of it counts */
	uint64		shape;			/* of its columns when compiled */
} PgtWatchedRelation;

/* A function, type or operator the program was compiled against. */
typedef struct PgtWatchedObject
{
	int			cacheid;
	uint32		hashvalue;
} PgtWatchedObject;

struct PgtProgram
{
	dlist_node	node;			/* in the list of all programs */
	MemoryContext context;
	MemoryContext run_context;	/* reset at each run */
	MemoryContextCallback unlink;
	int64		pgt_id;
	Oid			st_relid;
	bool		differential;
	bool		running;
	bool		appends;		/* the result is expected to grow only */
	Query	   *expanded;
	TupleDesc	row_desc;		/* the stream table's columns */
	TupleDesc	output_desc;	/* and the weight */
	PgtPlan    *full;
	/* differential programs */
	PgtOp	   *top;
	List	   *ops;			/* of PgtOp*, post-order */
	List	   *sources;		/* of PgtScanOp*: one per distinct relation */
	bool		locks_groups;	/* see group_lock.c */
	bool		have_plans;		/* plans of operators with state are made */
	bool		state_changed;	/* an invalidation named a state table */
	/* validity, written by invalidation callbacks */
	int			nrelations;
	PgtWatchedRelation *relations;
	int			nobjects;
	PgtWatchedObject *objects;
	bool		recheck;		/* some relation's "changed" is set */
	bool		invalid;
};

/* group_lock.c: lock what a reduce is about to change, against other writers;
 * is that enough to run a program beside others? */
extern void pgt_group_lock_all(PgtReduceOp *op, Tuplestorestate *input);
extern bool pgt_group_lock_suffices(const PgtProgram *program);

/* wanted.c: fill in PgtOp.wanted of prepared operators. */
extern void pgt_wanted_mark(List *ops);

/* All state tables exist; make the plans that read them. */
extern void pgt_program_make_plans(PgtProgram *program);

#endif							/* PGT_PROGRAM_H */
