/* Words that many share: a text is kept once, however many devices name it. Counted, because a
 * device may name what it likes. */
#pragma once

#include "digest.h"

#include <uthash.h>

struct word {
	UT_hash_handle hh;
	uint32_t users;
	char text[];
};

/* One image that runs in a product's fleet: its version and its digest. Its users are the
 * devices that run it, so what runs how often is known without looking at any device. */
struct image {
	UT_hash_handle hh;
	uint32_t users;
	const void *product; /* the key begins here; only compared */
	struct digest digest;
	char version[];
};

struct word_table {
	struct word *words;
	struct image *images;
};

/* NULL when there is no memory; "" gives NULL as well, for "nothing". */
struct word *word_take(struct word_table *table, const char *text);
void word_drop(struct word_table *table, struct word *word);
static inline const char *word_text(const struct word *word)
{
	return word ? word->text : "";
}
struct image *image_take(struct word_table *table, const void *product, const char *version,
			 const struct digest *digest);
void image_drop(struct word_table *table, struct image *image);
void word_table_done(struct word_table *table);
