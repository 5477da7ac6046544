/*
 * decoder/moved.h - rows that DDL brings to a source or takes from it.
 */
#ifndef PGT_DECODER_MOVED_H
#define PGT_DECODER_MOVED_H

#include "postgres.h"
#include "replication/reorderbuffer.h"

#include "decoder/batch.h"
#include "decoder/wanted.h"

/* At a transaction's begin, under its first snapshot: how the relations stand
 * that it is going to alter; palloc'd, NIL for most transactions. */
extern List *pgt_moved_begin(const ReorderBufferTXN *txn);

/* At its end: LOST for every source that got or lost rows of them. */
extern void pgt_moved_end(const List *relations, PgtWanted *wanted,
						  PgtBatches *batches);

#endif							/* PGT_DECODER_MOVED_H */
