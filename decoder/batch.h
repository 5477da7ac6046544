/*
 * decoder/batch.h - change batches on their way out of the decoder.
 *
 * One batch per source is open at a time: changes of a source are written in
 * the order they are given, whichever of its partitions they come from.  A
 * batch goes out when it is large, when too many are open, when one of another
 * shape is begun, and at the end of the transaction.
 */
#ifndef PGT_DECODER_BATCH_H
#define PGT_DECODER_BATCH_H

#include "postgres.h"
#include "replication/logical.h"
#include "utils/hsearch.h"

#include "decoder/wire.h"

/* What is being written for a source; lives as long as PgtBatches. */
typedef struct PgtBatch
{
	Oid			source;			/* hash key */
	bool		open;
	FullTransactionId lost_in;	/* transaction that LOST was written in */
	PgtWireWriter writer;		/* its shape is the opener's */
} PgtBatch;

typedef struct PgtBatches
{
	LogicalDecodingContext *ctx;
	MemoryContext context;
	HTAB	   *all;			/* of PgtBatch, by source */
	List	   *open;			/* of PgtBatch*; some may be closed again */
	FullTransactionId xid;		/* of the transaction at hand */
	bool		sent;			/* it has sent something */
} PgtBatches;

extern PgtBatches *pgt_batch_create(LogicalDecodingContext *ctx,
									MemoryContext context);
extern PgtBatch *pgt_batch_of(PgtBatches *batches, Oid source);

/* A transaction begins; none may be open. */
extern void pgt_batch_begin(PgtBatches *batches, FullTransactionId xid);

/* INSERT without an old tuple, DELETE without a new one, else UPDATE; tuples
 * are inline and measured.  The shape must live until the batch is out. */
extern void pgt_batch_change(PgtBatches *batches, PgtBatch *batch,
							 const PgtWireShape *shape,
							 const PgtWireTuple *old_tuple,
							 const PgtWireTuple *new_tuple);
extern void pgt_batch_truncate(PgtBatches *batches, PgtBatch *batch);

/* At most one LOST per source and transaction: after it nothing else of the
 * source in this transaction is of use. */
extern void pgt_batch_lost(PgtBatches *batches, PgtBatch *batch,
						   const char *reason);
extern bool pgt_batch_is_lost(const PgtBatches *batches, const PgtBatch *batch);

/* Send what is open: before shapes go away, and at the end. */
extern void pgt_batch_flush(PgtBatches *batches);

#endif							/* PGT_DECODER_BATCH_H */
