/* Finding where in the base the pieces of an image come from. Inside the pack writer only. */
#pragma once

#include "pack_write.h"

/* `copy` bytes resemble the base at `source`, then `literal` bytes do not resemble anything. */
struct pack_op {
	uint64_t image, source, copy, literal;
};

struct pack_ops {
	struct pack_op *ops; /* in the order of the image, without gaps */
	size_t count, room;
};

enum ota_err pack_match(const struct pack_image *image, const struct pack_image *base,
			struct pack_ops *ret_ops, struct ota_why *why) OTA_CHECKED;
void pack_ops_done(struct pack_ops *ops);
enum ota_err pack_ops_add(struct pack_ops *ops, const struct pack_op *op,
			  struct ota_why *why) OTA_CHECKED;
/* Drops the ops that do not pay. */
void pack_ops_prune(struct pack_ops *ops, const struct pack_image *image,
		    const struct pack_image *base);
/* Makes literals of what costs more copied. */
enum ota_err pack_ops_cut(struct pack_ops *ops, const struct pack_image *image,
			  const struct pack_image *base, struct ota_why *why) OTA_CHECKED;
/* Makes each copy exact before its first and behind its last multiple of 4 in the image. */
void pack_ops_trim(struct pack_ops *ops, const struct pack_image *image,
		   const struct pack_image *base);
/* How many of at most `max` bytes are equal. */
uint64_t pack_match_equal(const uint8_t *a, const uint8_t *b, uint64_t max);
/* What copying a word instead of saying it saves, in tenths of a byte. */
int pack_match_word_gain(const uint8_t *image, const uint8_t *base);
