/*
 * applier/dvm/keys.h - keys of groups and partitions: their hash, their equality, their images.
 * Private to dvm/.
 */
#ifndef PGT_KEYS_H
#define PGT_KEYS_H

#include "postgres.h"

#include "applier/dvm/image.h"
#include "applier/dvm/op.h"

typedef struct PgtKeySet PgtKeySet;

/* Functions for these keys, whose hashfn and image_equal are filled in.  The
 * set refers to the array. */
extern PgtKeySet *pgt_keys_prepare(PgtKeySpec *keys, int nkeys);

/* Does the type's btree vouch that values equal by eqop are the same bytes? */
extern bool pgt_keys_equal_means_identical(Oid type, Oid collation, Oid eqop);

/* Hash under the keys' equality; values and isnull are the keys in order. */
extern uint64 pgt_keys_hash(const PgtKeySet *set, const Datum *values,
							const bool *isnull);
extern bool pgt_keys_equal(const PgtKeySet *set,
						   const Datum *a, const bool *anull,
						   const Datum *b, const bool *bnull);
/* The same bytes; meant for keys already known to be equal. */
extern bool pgt_keys_identical(const PgtKeySet *set,
							   const Datum *a, const bool *anull,
							   const Datum *b, const bool *bnull);
/* A copy without TOAST pointers, in the current context. */
extern void pgt_keys_copy(const PgtKeySet *set, Datum *to, bool *tonull,
						  const Datum *from, const bool *fromnull);
/* Columns k1 .. kn of the keys' types: the images of keys, the key sets. */
extern PgtImager *pgt_keys_imager(const PgtKeySet *set);

/* How often each image of one group's key occurs. */
typedef struct PgtKeyImages
{
	int			n;
	int			room;
	MinimalTuple *images;
	int64	   *counts;
} PgtKeyImages;

extern PgtKeyImages *pgt_key_images_make(void);
extern void pgt_key_images_add(PgtKeyImages *set, MinimalTuple image,
							   int64 weight);
extern PgtKeyImages *pgt_key_images_read(Datum bytes);
extern Datum pgt_key_images_write(const PgtKeyImages *set);

#endif							/* PGT_KEYS_H */
