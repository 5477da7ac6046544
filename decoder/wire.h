/*
 * decoder/wire.h - THE FORMAT of change batches, with its writer and reader.
 *
 * One batch holds changes of one source made by one top-level transaction.
 * Triggers, the decoder, buffers and outside readers of the output plugin all
 * speak it; docs/wire-format.md says it byte by byte.  Inside one server no
 * value is converted: tuple data has the heap's own layout, integers have the
 * server's byte order, and the magic tells when that is another one.
 *
 * A batch is only readable with the *shape* of the columns it carries.  Its
 * header holds their attribute numbers and a signature over their types'
 * physical properties; a reader makes the shape from the relation as it is
 * now and must not decode where the signatures differ.
 *
 * Nothing here knows of relations, locks or transactions.  The writer trusts
 * its caller; the reader trusts nobody: every length and flag is checked, and
 * malformed bytes raise ERRCODE_PROTOCOL_VIOLATION.
 */
#ifndef PGT_WIRE_H
#define PGT_WIRE_H

#include "postgres.h"
#include "access/attnum.h"
#include "access/htup.h"
#include "access/transam.h"
#include "access/tupdesc.h"
#include "utils/memutils.h"

#define PGT_WIRE_MAGIC		0x42544750	/* "PGTB" on a little-endian server */
#define PGT_WIRE_VERSION	1
#define PGT_WIRE_HEADER		40			/* bytes before the attribute numbers */

/* No batch is larger: it must fit one palloc, with room for its reader. */
#define PGT_WIRE_MAX_BATCH	((Size) (MaxAllocSize - 64 * 1024))

/* header flags; all other bits must be zero */
#define PGT_WIRE_HAS_OLD		0x0001	/* a DELETE or an UPDATE is in it */
#define PGT_WIRE_HAS_TRUNCATE	0x0002
#define PGT_WIRE_HAS_LOST		0x0004
#define PGT_WIRE_KNOWN_FLAGS	0x0007

typedef enum PgtWireOp
{
	PGT_WIRE_INSERT = 'I',		/* new tuple */
	PGT_WIRE_DELETE = 'D',		/* old tuple */
	PGT_WIRE_UPDATE = 'U',		/* old tuple, new tuple */
	PGT_WIRE_TRUNCATE = 'T',	/* nothing */
	PGT_WIRE_LOST = 'L'			/* reason: changes are missing from here */
} PgtWireOp;

/* What of a column's type decides how its values lie in a tuple. */
typedef struct PgtWireColumn
{
	AttrNumber	attnum;
	Oid			type;
	int16		len;
	bool		byval;
	uint8		alignby;		/* 1, 2, 4 or 8 */
	bool		packable;		/* varlena that may take a short header */
} PgtWireColumn;

typedef struct PgtWireShape
{
	Oid			source;
	int			ncolumns;
	uint64		signature;
	PgtWireColumn columns[FLEXIBLE_ARRAY_MEMBER];
} PgtWireShape;

/* Shape of the given columns of a relation, palloc'd; NULL when one of them
 * does not exist (any more) in desc. */
extern PgtWireShape *pgt_wire_shape(Oid source, TupleDesc desc,
									const AttrNumber *attnums, int ncolumns);

/* pg_type.typalign in bytes. */
extern uint8 pgt_wire_align_bytes(char typalign);

/* ---- writing ---- */

/* A tuple on its way in: one value per column of the shape, or the image that
 * a heap tuple of just these columns has, none of them out of line. */
typedef struct PgtWireTuple
{
	Datum	   *values;
	bool	   *nulls;
	Size		size;			/* of the data area; set by measure */
	bool		hasnull;
	const char *image;			/* NULL: go by values */
	const char *bits;			/* of the image; NULL: no null in it */
} PgtWireTuple;

typedef struct PgtWireWriter
{
	MemoryContext context;		/* owns data */
	const PgtWireShape *shape;
	char	   *data;
	Size		len;
	Size		capacity;
	uint32		nchanges;
	uint16		flags;
} PgtWireWriter;

/* Fetch values stored out of line, and flatten expanded ones, into the current
 * memory context.  Compressed values stay compressed.  True if any was. */
extern bool pgt_wire_inline(const PgtWireShape *shape, PgtWireTuple *tuple);

/* Take a heap tuple's image: its attributes must be the shape's columns, in
 * order.  False where that cannot be done, and values are needed. */
extern bool pgt_wire_image(const PgtWireShape *shape, HeapTuple heap,
						   PgtWireTuple *tuple);

/* Are two images the same bytes? */
extern bool pgt_wire_same_image(const PgtWireShape *shape,
								const PgtWireTuple *a, const PgtWireTuple *b);

/* Do two values that are not null have the same image?  Values out of line are
 * fetched only where their pointers differ and their sizes do not. */
extern bool pgt_wire_same_value(const PgtWireColumn *c, Datum a, Datum b);

/* Sizes the tuple (values must be inline); the bytes a change takes with it. */
extern void pgt_wire_measure(const PgtWireShape *shape, PgtWireTuple *tuple);
extern Size pgt_wire_change_size(const PgtWireShape *shape,
								 const PgtWireTuple *old_tuple,
								 const PgtWireTuple *new_tuple);
extern Size pgt_wire_header_size(const PgtWireShape *shape);

/* A writer is initialised once and used for batch after batch: begin, changes,
 * end; then data and len hold the batch until the next begin, or until free
 * gives the memory back, which init'ed writers may do at any time.  The caller
 * keeps len + the change's size at or below PGT_WIRE_MAX_BATCH. */
extern void pgt_wire_write_init(PgtWireWriter *w, MemoryContext context);
extern void pgt_wire_write_free(PgtWireWriter *w);
extern void pgt_wire_write_begin(PgtWireWriter *w, const PgtWireShape *shape);
extern void pgt_wire_write_insert(PgtWireWriter *w, const PgtWireTuple *tuple);
extern void pgt_wire_write_delete(PgtWireWriter *w, const PgtWireTuple *tuple);
extern void pgt_wire_write_update(PgtWireWriter *w,
								  const PgtWireTuple *old_tuple,
								  const PgtWireTuple *new_tuple);
extern void pgt_wire_write_truncate(PgtWireWriter *w);
extern void pgt_wire_write_lost(PgtWireWriter *w, const char *reason);
extern void pgt_wire_write_end(PgtWireWriter *w, FullTransactionId xid);

/* ---- reading ---- */

/* The header, as read and checked. */
typedef struct PgtWireHeader
{
	uint16		flags;
	FullTransactionId xid;
	uint64		signature;
	uint32		length;			/* of the whole batch */
	Oid			source;
	uint32		nchanges;
	uint16		ncolumns;
} PgtWireHeader;

/* Where a tuple lies in the batch; valid as long as the batch's bytes. */
typedef struct PgtWireTupleRef
{
	const char *bits;			/* null bitmap, or NULL */
	const char *data;
	Size		len;
} PgtWireTupleRef;

typedef struct PgtWireChange
{
	PgtWireOp	op;
	PgtWireTupleRef old_tuple;	/* DELETE, UPDATE */
	PgtWireTupleRef new_tuple;	/* INSERT, UPDATE */
	const char *reason;			/* LOST; not terminated */
	int			reason_len;
} PgtWireChange;

typedef struct PgtWireReader
{
	const char *data;
	Size		len;
	Size		pos;
	uint32		done;			/* changes read */
	PgtWireHeader header;
	AttrNumber *attnums;		/* palloc'd, header.ncolumns of them */
} PgtWireReader;

/* Only the fixed part of a header, of which at least PGT_WIRE_HEADER bytes are
 * there: to learn the length of a batch that comes in pieces. */
extern void pgt_wire_read_header(const char *data, Size len, PgtWireHeader *header);

/* Begin on a whole batch; palloc's the attribute numbers. */
extern void pgt_wire_read_begin(PgtWireReader *r, const char *data, Size len);

/* The next change; false after the last one. */
extern bool pgt_wire_read_next(PgtWireReader *r, PgtWireChange *change);

/*
 * Take a tuple apart.  The shape must have the batch's signature.  By-reference
 * values point into the batch where it is aligned for them, else into a copy
 * palloc'd in the current context.
 */
extern void pgt_wire_read_tuple(const PgtWireShape *shape,
								const PgtWireTupleRef *ref,
								Datum *values, bool *nulls);

#endif							/* PGT_WIRE_H */
