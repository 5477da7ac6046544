/*
 * applier/catalog/frontier.c - snapshots as frontiers; see frontier.h.
 *
 * The stored form is PostgreSQL's own pg_snapshot.  Its struct is private to
 * core's xid8funcs.c, so the datum is laid out here field by field as that
 * file documents it (varlena header, nxip, xmin, xmax, sorted xip);
 * sql/frontier.sql compares it with the text form.
 */
#include "postgres.h"

#include "access/xact.h"
#include "fmgr.h"
#include "utils/builtins.h"

#include "applier/catalog/frontier.h"
#include "decoder/compat.h"

/* core's pg_snapshot, see the file comment */
typedef struct SnapshotDatum
{
	int32		varsz;
	uint32		nxip;
	FullTransactionId xmin;
	FullTransactionId xmax;
	FullTransactionId xip[FLEXIBLE_ARRAY_MEMBER];
} SnapshotDatum;

#define FRONTIER_SIZE(n) \
	(offsetof(PgtFrontier, xip) + (n) * sizeof(FullTransactionId))

static int
cmp_fxid(const void *a, const void *b)
{
	FullTransactionId x = *(const FullTransactionId *) a;
	FullTransactionId y = *(const FullTransactionId *) b;

	if (FullTransactionIdPrecedes(x, y))
		return -1;
	return FullTransactionIdEquals(x, y) ? 0 : 1;
}

/* Widen a 32-bit xid that is no older than 2^31 before next_fxid. */
static FullTransactionId
widen_xid(TransactionId xid, FullTransactionId next_fxid)
{
	uint32		epoch = EpochFromFullTransactionId(next_fxid);

	if (!TransactionIdIsNormal(xid))
		return FullTransactionIdFromEpochAndXid(0, xid);
	if (xid > XidFromFullTransactionId(next_fxid))
		epoch--;
	return FullTransactionIdFromEpochAndXid(epoch, xid);
}

static bool
in_xip(const PgtFrontier *f, FullTransactionId xid)
{
	return bsearch(&xid, f->xip, f->nxip, sizeof(FullTransactionId),
				   cmp_fxid) != NULL;
}

/* sort xip and drop duplicates (two-phase transactions can appear twice) */
static void
normalise_xip(PgtFrontier *f)
{
	uint32		n = 0;

	qsort(f->xip, f->nxip, sizeof(FullTransactionId), cmp_fxid);
	for (uint32 i = 0; i < f->nxip; i++)
		if (n == 0 || !FullTransactionIdEquals(f->xip[n - 1], f->xip[i]))
			f->xip[n++] = f->xip[i];
	f->nxip = n;
}

PgtFrontier *
pgt_frontier_from_snapshot(Snapshot s, int32 own_batches)
{
	FullTransactionId next_fxid = ReadNextFullTransactionId();
	FullTransactionId own = GetTopFullTransactionIdIfAny();
	PgtFrontier *f = palloc0(FRONTIER_SIZE(s->xcnt + 1));

	Assert(s->snapshot_type == SNAPSHOT_MVCC);
	f->xmin = widen_xid(s->xmin, next_fxid);
	f->xmax = widen_xid(s->xmax, next_fxid);
	for (uint32 i = 0; i < s->xcnt; i++)
		f->xip[f->nxip++] = widen_xid(s->xip[i], next_fxid);

	/* a snapshot leaves out its own transaction; name it in progress */
	if (FullTransactionIdIsValid(own))
	{
		f->own_xid = own;
		f->own_batches = own_batches;
		if (FullTransactionIdPrecedes(own, f->xmax))
			f->xip[f->nxip++] = own;
		if (FullTransactionIdPrecedes(own, f->xmin))
			f->xmin = own;
	}
	normalise_xip(f);
	return f;
}

bool
pgt_frontier_absorbs(const PgtFrontier *f, FullTransactionId xid, int32 batch)
{
	if (f == NULL)
		return false;
	if (FullTransactionIdIsValid(f->own_xid) &&
		FullTransactionIdEquals(f->own_xid, xid))
		return batch <= f->own_batches;
	if (FullTransactionIdPrecedes(xid, f->xmin))
		return true;
	if (!FullTransactionIdPrecedes(xid, f->xmax))
		return false;
	return !in_xip(f, xid);
}

bool
pgt_frontier_covers(const PgtFrontier *newer, const PgtFrontier *older)
{
	if (older == NULL)
		return true;
	if (newer == NULL || FullTransactionIdPrecedes(newer->xmax, older->xmax))
		return false;

	/* whatever is in progress in the newer must not be absorbed in the older;
	 * our own transaction is told apart by batch numbers, not by its xid */
	for (uint32 i = 0; i < newer->nxip; i++)
	{
		FullTransactionId xid = newer->xip[i];

		if (FullTransactionIdIsValid(newer->own_xid) &&
			FullTransactionIdEquals(xid, newer->own_xid))
			continue;
		if (pgt_frontier_absorbs(older, xid, 1))
			return false;
	}
	return true;
}

Datum
pgt_frontier_to_datum(const PgtFrontier *f)
{
	Size		size = offsetof(SnapshotDatum, xip) +
		f->nxip * sizeof(FullTransactionId);
	SnapshotDatum *d = palloc0(size);

	SET_VARSIZE(d, size);
	d->nxip = f->nxip;
	d->xmin = f->xmin;
	d->xmax = f->xmax;
	memcpy(d->xip, f->xip, f->nxip * sizeof(FullTransactionId));
	return PointerGetDatum(d);
}

PgtFrontier *
pgt_frontier_from_datum(Datum snap, FullTransactionId own_xid,
						int32 own_batches)
{
	SnapshotDatum *d = (SnapshotDatum *) PG_DETOAST_DATUM(snap);
	PgtFrontier *f = palloc0(FRONTIER_SIZE(d->nxip));

	f->xmin = d->xmin;
	f->xmax = d->xmax;
	f->own_xid = own_xid;
	f->own_batches = own_batches;
	f->nxip = d->nxip;
	memcpy(f->xip, d->xip, d->nxip * sizeof(FullTransactionId));
	return f;
}
