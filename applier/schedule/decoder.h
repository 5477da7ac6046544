/*
 * applier/schedule/decoder.h - the scheduler's side of its database's decoder.
 */
#ifndef PGT_SCHEDULE_DECODER_H
#define PGT_SCHEDULE_DECODER_H

#include "postgres.h"
#include "utils/timestamp.h"

/* In a transaction, when the catalog may have changed: is a decoder wanted?
 * by_user: what kept it from starting may be gone, it is tried at once. */
extern void pgt_decoder_look(bool by_user);
/* Outside of one: start it where it is wanted and does not run.  Returns when
 * to call again, DT_NOEND: when the latch is set. */
extern TimestampTz pgt_decoder_supervise(TimestampTz now);
/* The extension is gone: make the decoder leave and drop the slot. */
extern void pgt_decoder_dismiss(void);

extern PGDLLEXPORT void pgt_decoder_main(Datum arg);

#endif							/* PGT_SCHEDULE_DECODER_H */
