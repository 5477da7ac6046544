/*
 * applier/dvm/state.h - an operator's state table, open.  Private to dvm/.
 *
 * Every state table begins with pgt_hash int8, the hash of a key under its
 * equality, and is looked up by that.  Columns of a reduce's, by attribute
 * number:
 *   1                 pgt_hash int8: hash of the key under its equality
 *   2 ..              k1 .. kn: the key as last emitted
 *   nkeys + 2         n int8: rows of the group
 *   nkeys + 3         images bytea: only where equal keys can differ in image;
 *                     NULL while all rows have the image in k1 .. kn
 *   then              per aggregate with a state: its state, its input count
 *                     (see aggregate.h)
 *   then              per aggregate: the result last emitted
 */
#ifndef PGT_STATE_H
#define PGT_STATE_H

#include "postgres.h"
#include "access/genam.h"
#include "access/skey.h"
#include "executor/tuptable.h"
#include "utils/relcache.h"
#include "utils/snapshot.h"

#include "applier/dvm/op.h"
#include "applier/dvm/writer.h"

#define PGT_STATE_HASH_ATTNO 1

extern bool pgt_reduce_has_images(const PgtReduceOp *op);
#define pgt_state_count_attno(op) ((AttrNumber) ((op)->nkeys + 2))
#define pgt_state_images_attno(op) ((AttrNumber) ((op)->nkeys + 3))

/* Methods of a reduce for its table. */
extern TupleDesc pgt_state_reduce_desc(const PgtOp *op);
extern void pgt_state_reduce_indexes(const PgtOp *op, const char *name);
extern AttrNumber pgt_state_reduce_attno(const PgtOp *op, int outcol);

/* The index that every look-up uses, and indexes on some key columns for those
 * who join to the state.  keys[i] is about column attnos[i]. */
extern void pgt_state_hash_index(const char *name);
extern void pgt_state_key_indexes(const PgtOp *op, const char *name,
								  const PgtKeySpec *keys, int nkeys,
								  const AttrNumber *attnos);

/* An index on one column, where its type can have one. */
extern void pgt_state_column_index(const PgtOp *op, const char *name,
								   AttrNumber attno);

/* A column of a table to be made. */
extern void pgt_state_column(TupleDesc desc, AttrNumber attno,
							 const char *name, Oid type, int32 typmod,
							 Oid collation);

typedef struct PgtStateTable
{
	Relation	rel;
	Relation	index;			/* on pgt_hash */
	IndexScanDesc scan;			/* begun at the first look-up */
	ScanKeyData key;
	TupleTableSlot *found;		/* row of the last look-up */
	TupleTableSlot *row;		/* to write */
	PgtWriter  *writer;
} PgtStateTable;

extern PgtStateTable *pgt_state_open(const PgtOp *op);
/* Next row with that hash in state->found, or false. */
extern void pgt_state_seek(PgtStateTable *state, uint64 hash);
extern bool pgt_state_next(PgtStateTable *state);
extern void pgt_state_close(PgtStateTable *state);

#endif							/* PGT_STATE_H */
