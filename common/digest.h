/* SHA-256 (FIPS 180-4), whole and in pieces. */
#pragma once

#include "why.h"

#include <stdint.h>

#define DIGEST_SIZE 32

struct digest {
	uint8_t bytes[DIGEST_SIZE];
};

struct digest_stream; /* opaque */

enum ota_err digest_of(const void *bytes, size_t len, struct digest *ret_digest,
		       struct ota_why *why) OTA_CHECKED;
bool digest_equal(const struct digest *a, const struct digest *b);
bool digest_is_zero(const struct digest *digest);

enum ota_err digest_stream_new(struct digest_stream **ret_stream,
			       struct ota_why *why) OTA_CHECKED;
void digest_stream_free(struct digest_stream *stream); /* NULL is fine */
enum ota_err digest_stream_add(struct digest_stream *stream, const void *bytes, size_t len,
			       struct ota_why *why) OTA_CHECKED;
/* Ends the computation; the stream starts afresh and may be used again. */
enum ota_err digest_stream_end(struct digest_stream *stream, struct digest *ret_digest,
			       struct ota_why *why) OTA_CHECKED;
/* Reads from the file's current offset to its end. */
enum ota_err digest_of_fd(int fd, struct digest *ret_digest, uint64_t *ret_size,
			  struct ota_why *why) OTA_CHECKED;
