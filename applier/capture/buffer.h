/*
 * applier/capture/buffer.h - change buffers, for the files of capture/ only.
 */
#ifndef PGT_BUFFER_H
#define PGT_BUFFER_H

#include "postgres.h"
#include "access/htup_details.h"
#include "datatype/timestamp.h"
#include "utils/relcache.h"

#include "applier/catalog/frontier.h"
#include "decoder/wire.h"

#define PGT_BUFFER_SEGMENTS 2

/* columns of a buffer segment */
enum
{
	PGT_BUF_XID = 1, PGT_BUF_BATCH, PGT_BUF_CHUNK, PGT_BUF_WRITTEN_AT,
	PGT_BUF_NCHANGES, PGT_BUF_FLAGS, PGT_BUF_DATA
};
#define PGT_BUF_COLUMNS 7

/* Batch bytes that fit a row which fills one page: 24 bytes of tuple header,
 * 32 of fixed columns, 4 of length word. */
#define PGT_BUFFER_PIECE	(MaxHeapTupleSize - 24 - 32 - 4)

/* A segment: the table and its one index. */
typedef struct PgtBufferRef
{
	Oid			heap;
	Oid			index;
} PgtBufferRef;

extern void pgt_buffer_create(Oid source);
extern void pgt_buffer_drop(Oid source);
/* heap is InvalidOid when there is no such segment */
extern PgtBufferRef pgt_buffer_ref(Oid source, int segment);

/* Finish the writer's batch and insert it into a segment, as a batch of its
 * own of the current top-level transaction.  RowExclusiveLock until commit. */
extern void pgt_buffer_append(const PgtBufferRef *buffer, PgtWireWriter *w);

/* A segment opened to put whole batches of other transactions into; the lock
 * is kept until commit.  NULL: the buffer has been dropped. */
typedef struct PgtBufferAppender PgtBufferAppender;

extern PgtBufferAppender *pgt_buffer_open(const PgtBufferRef *buffer);
extern void pgt_buffer_add(PgtBufferAppender *a, const PgtWireHeader *header,
						   int32 batch, TimestampTz written_at, const char *data);
extern void pgt_buffer_close(PgtBufferAppender *a);

/* Does a segment hold a batch that f does not absorb?  Latest snapshot. */
extern bool pgt_segment_has_pending(Relation heap, Oid index,
									const PgtFrontier *f);

#endif							/* PGT_BUFFER_H */
