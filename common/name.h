/* The syntax of names (PROTOCOL.md, Words). Each check is true when the text is allowed. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define NAME_SIZE	     65 /* 64 bytes and the NUL: ids, products, groups, versions, hardware */
#define NAME_ALLOWED	     "1 to 64 of A-Z a-z 0-9 . _ - and not . or .."
#define NAME_LOWER_ALLOWED   "1 to 64 of a-z 0-9 _ -"
#define NAME_VERSION_ALLOWED "1 to 64 of A-Z a-z 0-9 . + ~ -"

bool name_is_id(const char *text);	       /* device, manager, hardware */
bool name_is_product(const char *text);	       /* product and group */
bool name_is_product_or_all(const char *text); /* the same, or "*" */
bool name_is_version(const char *text);
bool name_is_component(const char *text); /* 1 to 32 of a-z 0-9 _ - */

/* Lists in configurations are words between blanks. The next one at or behind `at`, of *ret_len
 * bytes; NULL when there is none. */
const char *name_next_word(const char *at, size_t *ret_len);

/* A device's shard and its place in the waves of a release (PROTOCOL.md sections 2 and 5). */
uint32_t name_shard(const char *device, uint32_t shards);
uint32_t name_bucket(const char *device, uint64_t release_number); /* 0 … 9999 */
