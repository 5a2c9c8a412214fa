/* Decoding a pack as it arrives. Pure: no I/O of its own, at most PACK_READ_MEMORY_MAX bytes
 * beside the table whatever the image's size, no trust in the pack.
 *
 * Use: pack_reader_new with what the signed manifest says; pack_reader_head with the bytes of
 * the pack from offset 0 on until pack_reader_is_ready; then for each group wanted
 * pack_reader_begin, and pack_reader_feed with its encoded bytes, in order, in pieces of any
 * size. Every segment that is decoded is handed to `segment`, in ascending order within the
 * group, and is worth nothing until its SHA-256 has been found in the signed index: that is the
 * callee's duty.
 *
 * Errors: OTA_SEGMENT_HASH_MISMATCH: not a well-formed pack, or data that does not decode.
 * OTA_SIZE_MISMATCH: well-formed but not of the sizes that the manifest or the base has.
 * OTA_IMAGE_HASH_MISMATCH: of another image, or against another base. Each means: this pack is
 * of no use, take another. What a callback returns is passed on as it is. */
#pragma once

#include "pack.h"

#define PACK_READ_MEMORY_MAX (2u << 20)

/* What the pack must be, from the signed manifest and the offer. */
struct pack_expected {
	uint64_t pack_size; /* of the blob */
	uint64_t image_size;
	uint32_t segment_size;
	struct digest image;
	bool has_base; /* a verified base can be read; without one only packs without a base fit
			*/
	uint64_t base_size;
	struct digest base;
};

struct pack_read_seam {
	void *ctx;
	/* Reads base bytes; only ever asked for offset + len <= base_size. NULL without a base.
	 */
	enum ota_err (*base_read)(void *ctx, uint64_t offset, void *ret_bytes, size_t len,
				  struct ota_why *why);
	/* A decoded segment; `bytes` is the reader's and lives until the callee returns. An
	 * error stops the feed and is returned from it; to go on with the group's other
	 * segments after one that has the wrong hash (a damaged base), note it and return
	 * OTA_OK. */
	enum ota_err (*segment)(void *ctx, uint32_t segment, const void *bytes, size_t len,
				struct ota_why *why);
};

struct pack_reader; /* opaque */

/* Copies both. OTA_SIZE_MISMATCH when pack_sizes_are_valid says no. */
enum ota_err pack_reader_new(const struct pack_expected *expected,
			     const struct pack_read_seam *seam, struct pack_reader **ret_reader,
			     struct ota_why *why) OTA_CHECKED;
void pack_reader_free(struct pack_reader *reader); /* NULL is fine */

/* The pack's bytes from offset 0 on. *ret_used: how many of these belonged to header and table;
 * fewer than len once it is ready. */
enum ota_err pack_reader_head(struct pack_reader *reader, const void *bytes, size_t len,
			      size_t *ret_used, struct ota_why *why) OTA_CHECKED;
bool pack_reader_is_ready(const struct pack_reader *reader);
/* Bytes that header and table take, known after the first PACK_HEADER_SIZE bytes; until then
 * PACK_HEADER_SIZE. */
uint64_t pack_reader_head_size(const struct pack_reader *reader);

/* These three once it is ready; group and segment are asserted to exist. */
uint32_t pack_reader_group_count(const struct pack_reader *reader);
struct pack_group pack_reader_group(const struct pack_reader *reader, uint32_t group);
/* The group that holds this segment. */
uint32_t pack_reader_group_of(const struct pack_reader *reader, uint32_t segment);

/* Starts a group, forgetting one that was not fed to its end or failed. A group of length 0 is
 * decoded by this call. */
enum ota_err pack_reader_begin(struct pack_reader *reader, uint32_t group,
			       struct ota_why *why) OTA_CHECKED;
/* The next encoded bytes of the group; more than are left of it is an assertion. After an error
 * only pack_reader_begin or pack_reader_free may follow. */
enum ota_err pack_reader_feed(struct pack_reader *reader, const void *bytes, size_t len,
			      struct ota_why *why) OTA_CHECKED;
/* Encoded bytes that the group still wants; 0: all its segments have been handed over. */
uint32_t pack_reader_wants(const struct pack_reader *reader);
