#define HASH_NONFATAL_OOM 1
#include "word.h"

#include <stdlib.h>
#include <string.h>

struct word *word_take(struct word_table *table, const char *text)
{
	struct word *word = NULL;
	size_t len = strlen(text);

	if (!len)
		return NULL;
	HASH_FIND(hh, table->words, text, len, word);
	if (word) {
		word->users++;
		return word;
	}
	word = calloc(1, sizeof(*word) + len + 1);
	if (!word)
		return NULL;
	word->users = 1;
	memcpy(word->text, text, len + 1);
	HASH_ADD_KEYPTR(hh, table->words, word->text, len, word);
	if (!word->hh.tbl) {
		free(word);
		return NULL;
	}
	return word;
}

void word_drop(struct word_table *table, struct word *word)
{
	if (!word || --word->users)
		return;
	HASH_DEL(table->words, word);
	free(word);
}

struct image *image_take(struct word_table *table, const void *product, const char *version,
			 const struct digest *digest)
{
	struct image *image = NULL;
	uint8_t key[sizeof(product) + DIGEST_SIZE + 64];
	size_t head = sizeof(product) + DIGEST_SIZE, len = strlen(version),
	       key_len = head + len;

	if (len > sizeof(key) - head)
		return NULL;
	memcpy(key, &product, sizeof(product));
	memcpy(key + sizeof(product), digest->bytes, DIGEST_SIZE);
	memcpy(key + head, version, len);
	HASH_FIND(hh, table->images, key, key_len, image);
	if (image) {
		image->users++;
		return image;
	}
	image = calloc(1, sizeof(*image) + len + 1);
	if (!image)
		return NULL;
	image->users = 1;
	image->product = product;
	image->digest = *digest;
	memcpy(image->version, version, len + 1);
	HASH_ADD_KEYPTR(hh, table->images, &image->product, key_len, image);
	if (!image->hh.tbl) {
		free(image);
		return NULL;
	}
	return image;
}

void image_drop(struct word_table *table, struct image *image)
{
	if (!image || --image->users)
		return;
	HASH_DEL(table->images, image);
	free(image);
}

void word_table_done(struct word_table *table)
{
	struct word *word, *next_word;
	struct image *image, *next_image;

	HASH_ITER (hh, table->words, word, next_word) {
		HASH_DEL(table->words, word);
		free(word);
	}
	HASH_ITER (hh, table->images, image, next_image) {
		HASH_DEL(table->images, image);
		free(image);
	}
}
