/*
 * applier/capture/record.h - changes of one source into its buffer, batch by
 * batch; for the files of capture/ only.
 */
#ifndef PGT_RECORD_H
#define PGT_RECORD_H

#include "postgres.h"
#include "utils/palloc.h"

#include "applier/capture/buffer.h"
#include "decoder/wire.h"

typedef struct PgtRecorder
{
	Oid			source;
	PgtBufferRef buffer;
	const PgtWireShape *shape;	/* NULL: only marks are recorded */
	bool		open;			/* a batch is begun */
	bool		lost;			/* nothing more is recorded */
} PgtRecorder;

/* One recorder at a time: they share the backend's writer.  A recorder that an
 * ERROR left behind needs no clean-up. */
extern void pgt_record_begin(PgtRecorder *r, Oid source,
							 const PgtBufferRef *buffer,
							 const PgtWireShape *shape);

/* Record a change; one of the tuples may be NULL.  Values may be stored out of
 * line; they are fetched into the current memory context. */
extern void pgt_record_change(PgtRecorder *r, PgtWireTuple *old_tuple,
							  PgtWireTuple *new_tuple);
extern void pgt_record_truncate(PgtRecorder *r);
extern void pgt_record_lost(PgtRecorder *r, const char *reason);
extern void pgt_record_end(PgtRecorder *r);

/* A context for the values of one row; resets it. */
extern MemoryContext pgt_record_row_context(void);

#endif							/* PGT_RECORD_H */
