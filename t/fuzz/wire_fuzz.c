/*
 * t/fuzz/wire_fuzz.c - throws damaged change batches at their reader.
 *
 *   wire_fuzz SEED COUNT     make, damage and read COUNT batches
 *   wire_fuzz -f FILE ...    read each file as a batch of a fixed shape
 *
 * A program of its own, without a server: decoder/wire_read.c and wire_write.c
 * are linked with stand-ins for what they ask of one.  Built with sanitizers
 * (tools/fuzz.sh, make fuzz), which see a read one byte too far, because every
 * batch and every palloc is a malloc of its own.
 *
 * Batches of random columns and rows are written with the writer.  Undamaged,
 * the reader must give back what was written.  Damaged, it may read something
 * else or raise a protocol error; anything else (another error, an assertion,
 * a report of the sanitizers) ends the program with a message that names seed
 * and round.
 */
#include "postgres.h"

#include <setjmp.h>
#include <signal.h>

#include "access/detoast.h"
#include "common/hashfn.h"
#include "utils/datum.h"
#include "utils/memutils.h"

#include "decoder/compat.h"
#include "decoder/wire.h"

#define MAX_COLUMNS 40

/* the program uses its own main, stdio and exit; the server's are not linked */
#undef printf
#undef fprintf

static uint64 round_seed;
static uint64 round_number;

PGT_NORETURN static void
give_up(const char *what)
{
	fprintf(stderr, "wire_fuzz: %s (seed " UINT64_FORMAT ", round " UINT64_FORMAT ")\n",
			what, round_seed, round_number);
	abort();
}

/* ---- stand-ins for the server ---- */

/* what was allocated in this round, freed at its end */
static void **chunks;
static size_t nchunks,
			capacity;

MemoryContext CurrentMemoryContext = NULL;

static size_t
chunk_index(void *pointer)
{
	for (size_t i = nchunks; i-- > 0;)
		if (chunks[i] == pointer)
			return i;
	give_up("an unknown chunk of memory");
	return 0;
}

void *
palloc(Size size)
{
	if (size > MaxAllocSize)
		give_up("palloc of more than a palloc can");
	if (nchunks == capacity)
	{
		capacity = capacity ? 2 * capacity : 64;
		chunks = realloc(chunks, capacity * sizeof(void *));
	}
	return chunks[nchunks++] = malloc(size ? size : 1);
}

void *
palloc0(Size size)
{
	return memset(palloc(size), 0, size);
}

void *
MemoryContextAlloc(MemoryContext context, Size size)
{
	return palloc(size);
}

void
pfree(void *pointer)
{
	size_t		i = chunk_index(pointer);

	free(pointer);
	chunks[i] = chunks[--nchunks];
}

void *
repalloc(void *pointer, Size size)
{
	size_t		i = chunk_index(pointer);

	return chunks[i] = realloc(pointer, size);
}

static void
free_all(void)
{
	while (nchunks > 0)
		free(chunks[--nchunks]);
}

static jmp_buf error_target;
static int	error_code;

bool
errstart(int elevel, const char *domain)
{
	if (elevel < ERROR)
		give_up("a message that is no error");
	error_code = ERRCODE_INTERNAL_ERROR;
	return true;
}

bool
errstart_cold(int elevel, const char *domain)
{
	return errstart(elevel, domain);
}

int
errcode(int sqlerrcode)
{
	error_code = sqlerrcode;
	return 0;
}

int
errmsg(const char *fmt,...)
{
	return 0;
}

int
errmsg_internal(const char *fmt,...)
{
	return 0;
}

void
errfinish(const char *filename, int lineno, const char *funcname)
{
	longjmp(error_target, 1);
}

void
PGT_EXCEPTIONAL_CONDITION(condition, file, line)
{
	give_up(condition);
}

uint64
hash_bytes_extended(const unsigned char *k, int keylen, uint64 seed)
{
	for (int i = 0; i < keylen; i++)
		seed = (seed ^ k[i]) * UINT64CONST(1099511628211);
	return seed;
}

/* values out of line: the reader refuses them, the writer is given none */
struct varlena *
detoast_external_attr(struct varlena *attr)
{
	give_up("a value is fetched");
	return attr;
}

Size
toast_raw_datum_size(Datum value)
{
	return VARSIZE_ANY(DatumGetPointer(value));
}

bool
datum_image_eq(Datum value1, Datum value2, bool typByVal, int typLen)
{
	return false;
}

/* ---- random numbers: the same everywhere for the same seed ---- */

static uint64 state;

static uint64
next_random(void)
{
	uint64		z = (state += UINT64CONST(0x9E3779B97F4A7C15));

	z = (z ^ (z >> 30)) * UINT64CONST(0xBF58476D1CE4E5B9);
	z = (z ^ (z >> 27)) * UINT64CONST(0x94D049BB133111EB);
	return z ^ (z >> 31);
}

static int
below(int n)
{
	return (int) (next_random() % (uint64) n);
}

/* ---- batches ---- */

static PgtWireShape *
make_shape(int ncolumns)
{
	static const struct
	{
		int16		len;
		bool		byval;
		uint8		alignby;
	}			types[] = {
		{1, true, 1}, {2, true, 2}, {4, true, 4}, {8, true, 8}, {6, false, 2},
		{12, false, 4}, {16, false, 8}, {16, false, 1}, {64, false, 1},
		{-1, false, 4}, {-1, false, 8}, {-2, false, 1}
	};
	PgtWireShape *shape = palloc0(offsetof(PgtWireShape, columns) +
								  sizeof(PgtWireColumn) * (ncolumns + 1));
	AttrNumber	attnum = 0;

	shape->source = 16384;
	shape->ncolumns = ncolumns;
	for (int i = 0; i < ncolumns; i++)
	{
		PgtWireColumn *c = &shape->columns[i];
		int			t = below(lengthof(types));

		c->attnum = attnum += 1 + below(3);
		c->type = 20 + t;
		c->len = types[t].len;
		c->byval = types[t].byval;
		c->alignby = types[t].alignby;
		c->packable = c->len == -1 && below(4) > 0;
	}
	shape->signature = next_random();
	return shape;
}

static Datum
make_value(const PgtWireColumn *c)
{
	int			n = below(10) ? below(40) : below(3000);
	char	   *value;

	if (c->byval)
	{
		/* as fetch_att makes it of the value's bytes */
		switch (c->len)
		{
			case 1:
				return CharGetDatum((char) next_random());
			case 2:
				return Int16GetDatum((int16) next_random());
			case 4:
				return Int32GetDatum((int32) next_random());
			default:
				return Int64GetDatum((int64) next_random());
		}
	}
	if (c->len > 0)
		n = c->len;
	value = palloc(VARHDRSZ + n + 1);
	for (int i = 0; i < VARHDRSZ + n; i++)
		value[i] = 1 + below(255);
	value[c->len == -2 ? n : VARHDRSZ + n] = '\0';
	if (c->len == -1 && c->packable && n < 100 && below(2))
		SET_VARSIZE_SHORT(value, n + VARHDRSZ_SHORT);
	else if (c->len == -1 && n >= 8 && below(4) == 0)
		SET_VARSIZE_COMPRESSED(value, n + VARHDRSZ);
	else if (c->len == -1)
		SET_VARSIZE(value, n + VARHDRSZ);
	return PointerGetDatum(value);
}

static PgtWireTuple *
make_tuple(const PgtWireShape *shape)
{
	PgtWireTuple *tuple = palloc0(sizeof(PgtWireTuple));

	tuple->values = palloc0(sizeof(Datum) * (shape->ncolumns + 1));
	tuple->nulls = palloc0(sizeof(bool) * (shape->ncolumns + 1));
	for (int i = 0; i < shape->ncolumns; i++)
	{
		tuple->nulls[i] = below(5) == 0;
		if (!tuple->nulls[i])
			tuple->values[i] = make_value(&shape->columns[i]);
	}
	pgt_wire_measure(shape, tuple);
	return tuple;
}

typedef struct Written
{
	PgtWireOp	op;
	PgtWireTuple *old_tuple;
	PgtWireTuple *new_tuple;
} Written;

static void
write_change(PgtWireWriter *w, const PgtWireShape *shape, Written *change)
{
	static const PgtWireOp ops[] = {PGT_WIRE_INSERT, PGT_WIRE_DELETE,
	PGT_WIRE_UPDATE, PGT_WIRE_TRUNCATE, PGT_WIRE_LOST};

	change->op = ops[below(below(4) ? 3 : 5)];
	switch (change->op)
	{
		case PGT_WIRE_INSERT:
			change->new_tuple = make_tuple(shape);
			pgt_wire_write_insert(w, change->new_tuple);
			break;
		case PGT_WIRE_DELETE:
			change->old_tuple = make_tuple(shape);
			pgt_wire_write_delete(w, change->old_tuple);
			break;
		case PGT_WIRE_UPDATE:
			change->old_tuple = make_tuple(shape);
			change->new_tuple = make_tuple(shape);
			pgt_wire_write_update(w, change->old_tuple, change->new_tuple);
			break;
		case PGT_WIRE_TRUNCATE:
			pgt_wire_write_truncate(w);
			break;
		case PGT_WIRE_LOST:
			pgt_wire_write_lost(w, "a reason");
			break;
	}
}

/* ---- reading ---- */

static volatile uint64 sink;

/* Look at every byte of a value, as its user would. */
static void
touch(const PgtWireColumn *c, Datum value)
{
	const char *p = DatumGetPointer(value);
	size_t		n;

	if (c->byval)
		return;
	n = c->len > 0 ? (size_t) c->len : c->len == -1 ? VARSIZE_ANY(p) : strlen(p);
	for (size_t i = 0; i < n; i++)
		sink += (unsigned char) p[i];
}

static bool
same_value(const PgtWireColumn *c, Datum a, Datum b)
{
	const char *pa = DatumGetPointer(a);
	const char *pb = DatumGetPointer(b);

	if (c->len != -1)
		return pgt_wire_same_value(c, a, b);
	if (VARATT_IS_COMPRESSED(pa) || VARATT_IS_COMPRESSED(pb))
		return VARSIZE_ANY(pa) == VARSIZE_ANY(pb) && memcmp(pa, pb, VARSIZE_ANY(pa)) == 0;
	return VARSIZE_ANY_EXHDR(pa) == VARSIZE_ANY_EXHDR(pb) &&
		memcmp(VARDATA_ANY(pa), VARDATA_ANY(pb), VARSIZE_ANY_EXHDR(pa)) == 0;
}

static void
read_tuple(const PgtWireShape *shape, const PgtWireTupleRef *ref,
		   const PgtWireTuple *expected)
{
	Datum		values[MAX_COLUMNS + 1];
	bool		nulls[MAX_COLUMNS + 1];

	pgt_wire_read_tuple(shape, ref, values, nulls);
	for (int i = 0; i < shape->ncolumns; i++)
	{
		if (!nulls[i])
			touch(&shape->columns[i], values[i]);
		if (expected == NULL)
			continue;
		if (nulls[i] != expected->nulls[i] ||
			(!nulls[i] && !same_value(&shape->columns[i], values[i], expected->values[i])))
			give_up("a value is not what was written");
	}
}

/* Read all; a batch of other columns than the shape's is not taken apart. */
static int
read_all(const PgtWireShape *shape, const char *data, size_t len,
		 const Written *expected, int nexpected)
{
	PgtWireReader reader;
	PgtWireChange change;
	int			n = 0;

	pgt_wire_read_begin(&reader, data, len);
	while (pgt_wire_read_next(&reader, &change))
	{
		if (expected && (n >= nexpected || expected[n].op != change.op))
			give_up("a change is not what was written");
		for (int i = 0; i < change.reason_len; i++)
			sink += (unsigned char) change.reason[i];
		if (reader.header.ncolumns == shape->ncolumns)
		{
			if (change.op == PGT_WIRE_DELETE || change.op == PGT_WIRE_UPDATE)
				read_tuple(shape, &change.old_tuple, expected ? expected[n].old_tuple : NULL);
			if (change.op == PGT_WIRE_INSERT || change.op == PGT_WIRE_UPDATE)
				read_tuple(shape, &change.new_tuple, expected ? expected[n].new_tuple : NULL);
		}
		n++;
	}
	if (expected && n != nexpected)
		give_up("changes are missing");
	return n;
}

/* True when it was read, false when refused as malformed. */
static bool
try_read(const PgtWireShape *shape, const char *data, size_t len)
{
	if (setjmp(error_target) == 0)
	{
		read_all(shape, data, len, NULL, 0);
		return true;
	}
	if (error_code != ERRCODE_PROTOCOL_VIOLATION)
		give_up("an error that is no protocol violation");
	return false;
}

/* ---- damage ---- */

static void
put_length(char *data, size_t len)
{
	uint32		length = (uint32) len;

	if (len >= 28)
		memcpy(data + 24, &length, sizeof(length));
}

/* A changed copy, in memory of exactly its size. */
static char *
damage(const char *data, size_t *len)
{
	size_t		n = *len;
	char	   *work = malloc(n + 64);
	char	   *result;

	memcpy(work, data, n);
	for (int k = 1 + below(4); k > 0 && n > 0; k--)
	{
		bool		anywhere = below(3) > 0;
		size_t		at = below(anywhere || n < 48 ? (int) n : 48);
		size_t		some = 1 + below(32);
		uint32		word;

		switch (below(7))
		{
			case 0:				/* one bit */
				work[at] ^= 1 << below(8);
				break;
			case 1:				/* one byte */
				work[at] = (char) next_random();
				break;
			case 2:				/* a word: small, huge, off by little */
				word = below(3) == 0 ? (uint32) next_random() : below(2) ? below(64) : 0u - below(64);
				memcpy(work + at, &word, Min(sizeof(word), n - at));
				break;
			case 3:				/* cut short */
				n = at;
				break;
			case 4:				/* bytes too many */
				for (int i = below(16); i > 0; i--)
					if (n < *len + 64)
						work[n++] = (char) next_random();
				break;
			case 5:				/* bytes missing inside */
				{
					size_t		gone = Min(some, n - at);

					memmove(work + at, work + at + gone, n - at - gone);
					n -= gone;
				}
				break;
			case 6:				/* something twice */
				memmove(work + at, work + at / 2, Min(some, n - at));
				break;
		}
	}
	/* most readers stop at a wrong length: look behind it as well */
	if (below(4))
		put_length(work, n);
	result = malloc(n ? n : 1);
	memcpy(result, work, n);
	free(work);
	*len = n;
	return result;
}

/* ---- rounds ---- */

static void
one_round(uint64 *nread, uint64 *nrefused)
{
	PgtWireShape *shape = make_shape(below(5) ? below(8) : below(MAX_COLUMNS));
	Written		changes[12] = {{0}};
	int			nchanges = below(lengthof(changes));
	PgtWireWriter writer;
	char	   *batch;

	pgt_wire_write_init(&writer, NULL);
	pgt_wire_write_begin(&writer, shape);
	for (int i = 0; i < nchanges; i++)
		write_change(&writer, shape, &changes[i]);
	pgt_wire_write_end(&writer, FullTransactionIdFromU64(next_random()));

	batch = malloc(writer.len);
	memcpy(batch, writer.data, writer.len);
	if (setjmp(error_target) != 0)
		give_up("an undamaged batch is refused");
	read_all(shape, batch, writer.len, changes, nchanges);
	for (int i = 0; i < 20; i++)
	{
		size_t		len = writer.len;
		char	   *damaged = damage(batch, &len);

		if (try_read(shape, damaged, len))
			(*nread)++;
		else
			(*nrefused)++;
		free(damaged);
	}
	free(batch);
	free_all();
}

static int
read_file(const char *name)
{
	FILE	   *file = fopen(name, "rb");
	char	   *data = malloc(1 << 20);
	size_t		len;

	if (file == NULL)
	{
		perror(name);
		return 1;
	}
	len = fread(data, 1, 1 << 20, file);
	fclose(file);
	data = realloc(data, len ? len : 1);
	state = 1;
	printf("%s: %s\n", name,
		   try_read(make_shape(5), data, len) ? "read" : "refused");
	free(data);
	free_all();
	return 0;
}

int
main(int argc, char **argv)
{
	uint64		count,
				nread = 0,
				nrefused = 0;
	int			failed = 0;

	if (argc > 2 && strcmp(argv[1], "-f") == 0)
	{
		for (int i = 2; i < argc; i++)
			failed |= read_file(argv[i]);
		return failed;
	}
	if (argc != 3)
	{
		fprintf(stderr, "usage: wire_fuzz SEED COUNT | -f FILE ...\n");
		return 2;
	}
	round_seed = strtoull(argv[1], NULL, 10);
	count = strtoull(argv[2], NULL, 10);
	for (round_number = 0; round_number * 20 < count; round_number++)
	{
		state = round_seed * UINT64CONST(1000003) + round_number;
		one_round(&nread, &nrefused);
	}
	free(chunks);
	printf("seed " UINT64_FORMAT ": " UINT64_FORMAT " batches read back, " UINT64_FORMAT
		   " damaged ones read, " UINT64_FORMAT " refused\n",
		   round_seed, round_number, nread, nrefused);
	return nrefused > 0 && nread > 0 ? 0 : 1;
}
