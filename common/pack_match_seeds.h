/* Finding where in the base some bytes of the image are: a table of places by the hash of the
 * bytes there, whose memory is bounded whatever the base's size. Inside the pack writer only.
 */
#pragma once

#include "pack_write.h"

#define PACK_SEEDS_BYTES_MAX   (40u << 20)
#define PACK_SEEDS_CLOSE_BYTES (8u << 20)

struct pack_seeds; /* opaque */

/* What the table leaves out: units of PACK_SEEDS_UNIT bytes of the base whose byte is not 0. */
#define PACK_SEEDS_UNIT 256u

/* `used` may be NULL. The base must outlive the seeds. */
enum ota_err pack_seeds_new(const struct pack_image *base, const uint8_t *used,
			    struct pack_seeds **ret_seeds, struct ota_why *why) OTA_CHECKED;
void pack_seeds_free(struct pack_seeds *seeds); /* NULL is fine */
/* The image will be compared around this place of the base. */
void pack_seeds_approach(struct pack_seeds *seeds, uint64_t place);
/* The longest of the matches that are known for the image's bytes from `at` on, and of equal
 * ones the one nearest to `near`; 0: none. */
uint64_t pack_seeds_longest(const struct pack_seeds *seeds, const struct pack_image *image,
			    uint64_t at, uint64_t near, uint64_t *ret_source);
