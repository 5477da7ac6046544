/*
 * applier/capture/wal_spool.c - batches on their way from decoding to writing.
 *
 * Decoding runs in transactions that core rolls back, so nothing can be
 * written to a table there; and a transaction of any size is decoded in one
 * go, at its commit.  So batches are put here: in memory up to
 * pg_trickle.decoder_work_mem, what goes beyond into a temporary file.  Both
 * are outside of transactions; the file goes with reset or with the process.
 *
 * A batch is stored as its length and its bytes.  Added in order, read in
 * order, thrown away as a whole.
 */
#include "postgres.h"

#include "storage/buffile.h"
#include "utils/memutils.h"

#include "applier/capture/wal_internal.h"
#include "applier/settings.h"
#include "decoder/compat.h"

struct PgtSpool
{
	MemoryContext context;		/* owns all */
	MemoryContext batches;		/* chunks of the memory part; reset */
	List	   *chunks;			/* of StringInfo, in batches */
	BufFile    *file;			/* what came when memory was full; or NULL */
	Size		bytes;
	/* reading */
	int			chunk;			/* of the memory part */
	Size		pos;			/* in it */
	StringInfoData from_file;
};

#define CHUNK_BYTES		(256 * 1024)

PgtSpool *
pgt_spool_create(MemoryContext context)
{
	MemoryContext old = MemoryContextSwitchTo(context);
	PgtSpool   *spool = palloc0(sizeof(PgtSpool));

	spool->context = context;
	spool->batches = AllocSetContextCreate(context, "pg_trickle decoded batches",
										   ALLOCSET_DEFAULT_SIZES);
	initStringInfo(&spool->from_file);
	MemoryContextSwitchTo(old);
	return spool;
}

Size
pgt_spool_bytes(const PgtSpool *spool)
{
	return spool->bytes;
}

static void
write_file(PgtSpool *spool, const char *data, Size len)
{
	if (spool->file == NULL)
		spool->file = BufFileCreateTemp(true);
	BufFileWrite(spool->file, (void *) &len, sizeof(len));
	BufFileWrite(spool->file, (void *) data, len);
}

static StringInfo
new_chunk(PgtSpool *spool, Size len)
{
	StringInfo	chunk = palloc(sizeof(StringInfoData));

	chunk->maxlen = Max(CHUNK_BYTES, len + sizeof(len) + 1);
	chunk->data = palloc(chunk->maxlen);
	resetStringInfo(chunk);
	spool->chunks = lappend(spool->chunks, chunk);
	return chunk;
}

static void
write_memory(PgtSpool *spool, const char *data, Size len)
{
	StringInfo	chunk = spool->chunks ? llast(spool->chunks) : NULL;

	if (chunk == NULL || chunk->len + len + sizeof(len) >= chunk->maxlen)
		chunk = new_chunk(spool, len);
	appendBinaryStringInfo(chunk, (char *) &len, sizeof(len));
	appendBinaryStringInfo(chunk, data, len);
}

void
pgt_spool_add(PgtSpool *spool, const char *data, Size len)
{
	MemoryContext old;
	bool		full = spool->bytes + len > (Size) pgt_decoder_work_mem * 1024;

	old = MemoryContextSwitchTo(spool->file || full ? spool->context : spool->batches);
	if (spool->file != NULL || full)
		write_file(spool, data, len);
	else
		write_memory(spool, data, len);
	MemoryContextSwitchTo(old);
	spool->bytes += len;
}

void
pgt_spool_rewind(PgtSpool *spool)
{
	spool->chunk = 0;
	spool->pos = 0;
	if (spool->file != NULL && BufFileSeek(spool->file, 0, 0, SEEK_SET) != 0)
		ereport(ERROR,
				(errcode_for_file_access(),
				 errmsg("could not seek in temporary file of decoded changes")));
}

static bool
next_in_memory(PgtSpool *spool, const char **data, Size *len)
{
	StringInfo	chunk;

	if (spool->chunk == list_length(spool->chunks))
		return false;
	chunk = list_nth(spool->chunks, spool->chunk);
	memcpy(len, chunk->data + spool->pos, sizeof(*len));
	*data = chunk->data + spool->pos + sizeof(*len);
	spool->pos += sizeof(*len) + *len;
	if (spool->pos == chunk->len)
	{
		spool->chunk++;
		spool->pos = 0;
	}
	return true;
}

PGT_NORETURN static void
file_is_short(void)
{
	ereport(ERROR,
			(errcode_for_file_access(),
			 errmsg("could not read from temporary file of decoded changes")));
}

static bool
next_in_file(PgtSpool *spool, const char **data, Size *len)
{
	size_t		got = BufFileRead(spool->file, len, sizeof(*len));

	if (got == 0)
		return false;
	if (got != sizeof(*len))
		file_is_short();
	resetStringInfo(&spool->from_file);
	enlargeStringInfo(&spool->from_file, *len);
	if (BufFileRead(spool->file, spool->from_file.data, *len) != *len)
		file_is_short();
	*data = spool->from_file.data;
	return true;
}

bool
pgt_spool_next(PgtSpool *spool, const char **data, Size *len)
{
	MemoryContext old;
	bool		found;

	if (next_in_memory(spool, data, len))
		return true;
	if (spool->file == NULL)
		return false;
	old = MemoryContextSwitchTo(spool->context);
	found = next_in_file(spool, data, len);
	MemoryContextSwitchTo(old);
	return found;
}

void
pgt_spool_reset(PgtSpool *spool)
{
	if (spool->file != NULL)
		BufFileClose(spool->file);
	spool->file = NULL;
	spool->chunks = NIL;
	spool->bytes = 0;
	MemoryContextReset(spool->batches);
}
