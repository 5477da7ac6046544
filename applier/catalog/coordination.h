/*
 * applier/catalog/coordination.h - gates, watermarks, groups: what holds
 * stream tables back or binds them together.
 *
 * Rows as structs, palloc'd in the current context.  Reading takes a
 * snapshot, NULL for the latest committed state: a refresh asks what held it
 * under the very snapshot it reads its sources with.  Rows of relations that
 * were dropped are left out, and deleted by the next writer.
 */
#ifndef PGT_COORDINATION_H
#define PGT_COORDINATION_H

#include "postgres.h"
#include "nodes/pg_list.h"
#include "utils/snapshot.h"
#include "utils/timestamp.h"

/* Members of a unit that is refreshed in one transaction, at most. */
#define PGT_GROUP_MAX	128

typedef struct PgtGate
{
	Oid			relid;
	bool		stop_capture;
	TimestampTz gated_at;
	char	   *gated_by;
} PgtGate;

typedef struct PgtWatermark
{
	Oid			relid;
	TimestampTz watermark;
	TimestampTz updated_at;
	char	   *advanced_by;
	uint64		lsn;
} PgtWatermark;

typedef struct PgtWatermarkGroup
{
	char	   *name;
	List	   *sources;		/* Oid list */
	double		tolerance_secs;
	TimestampTz created_at;
} PgtWatermarkGroup;

typedef struct PgtRefreshGroup
{
	char	   *name;
	List	   *members;		/* Oid list of their relations */
	char	   *isolation;
	TimestampTz created_at;
} PgtRefreshGroup;

/* Lists of pointers to the above. */
extern List *pgt_gate_all(Snapshot snapshot);
extern List *pgt_watermark_all(Snapshot snapshot);
extern List *pgt_watermark_group_all(Snapshot snapshot);
extern List *pgt_refresh_group_all(Snapshot snapshot);

/* Of one relation; NULL when there is none. */
extern PgtGate *pgt_gate_get(Oid relid, Snapshot snapshot);
extern PgtWatermark *pgt_watermark_get(Oid relid);

/* Writers: each waits for the others of its kind, of the same source for
 * watermarks, until they have committed. */
extern void pgt_gate_lock(void);
extern void pgt_gate_insert(const PgtGate *gate);
extern void pgt_gate_delete(Oid relid);
extern void pgt_watermark_lock(Oid relid);
extern void pgt_watermark_set(const PgtWatermark *watermark);
/* errors 42710 when the name is taken */
extern void pgt_watermark_group_insert(const PgtWatermarkGroup *group);
extern void pgt_refresh_group_insert(const PgtRefreshGroup *group);
/* false: no such group */
extern bool pgt_watermark_group_delete(const char *name);
extern bool pgt_refresh_group_delete(const char *name);

/* Are the sources of a group within its tolerance?  A source without a
 * watermark is behind every one that has one. */
extern bool pgt_watermark_group_aligned(const PgtWatermarkGroup *group,
										List *watermarks);

#endif							/* PGT_COORDINATION_H */
