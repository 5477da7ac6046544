/*
 * applier/refresh/decoded.h - refreshes from sources that are captured from
 * the WAL.
 */
#ifndef PGT_DECODED_H
#define PGT_DECODED_H

#include "postgres.h"
#include "access/xlogdefs.h"
#include "nodes/pg_list.h"

/* Is one of them captured so?  It stays so while the locks on it are held. */
extern bool pgt_decoded_any(List *dependencies);

/* 55000 when this transaction has written to one of them. */
extern void pgt_decoded_check_not_written(const char *st_name, List *dependencies);

/*
 * Before the snapshot: wait until the decoder is near, so that after it there
 * is little to wait for.  After the snapshot: wait until the buffers hold all
 * that it shows; *lsn is what they hold then.  NULL when that is so; else an
 * error, or with !wait a sentence that says why not.
 */
extern char *pgt_decoded_come_near(const char *st_name, bool wait);
extern char *pgt_decoded_wait(const char *st_name, bool wait, XLogRecPtr *lsn);

#endif							/* PGT_DECODED_H */
