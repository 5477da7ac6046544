/*
 * applier/dvm/writer.h - native inserts, updates and deletes of one table.
 * Private to dvm/: state tables and stream tables are written through it.
 */
#ifndef PGT_WRITER_H
#define PGT_WRITER_H

#include "postgres.h"
#include "commands/trigger.h"
#include "executor/executor.h"
#include "nodes/execnodes.h"
#include "storage/itemptr.h"
#include "utils/relcache.h"

typedef struct PgtWriter
{
	Relation	rel;
	EState	   *estate;
	ResultRelInfo *rri;
	EPQState	epq;
	bool		triggers;		/* the table's triggers are fired */
	bool		checked;		/* constraints to check */
	int			fillfactor;		/* to be put back at end, 0 = was left alone */
	TransitionCaptureState *capture_insert;
	TransitionCaptureState *capture_update;
	TransitionCaptureState *capture_delete;
} PgtWriter;

/*
 * Start writing rel, which stays open and locked RowExclusiveLock by the
 * caller.  triggers: fire its triggers and check its constraints, as SQL
 * statements would; without, only its indexes are maintained.
 */
extern PgtWriter *pgt_writer_begin(Relation rel, bool triggers);
extern void pgt_writer_insert(PgtWriter *writer, TupleTableSlot *slot);
extern void pgt_writer_update(PgtWriter *writer, ItemPointer tid,
							  TupleTableSlot *slot);
extern void pgt_writer_delete(PgtWriter *writer, ItemPointer tid);

/* Statement triggers, before the first and after the last row of a kind. */
extern void pgt_writer_before(PgtWriter *writer, CmdType kind);
extern void pgt_writer_after(PgtWriter *writer, CmdType kind);

/* Fires queued triggers, makes the writes visible to the commands after. */
extern void pgt_writer_end(PgtWriter *writer);

#endif							/* PGT_WRITER_H */
