/* Decoding one delta group (PROTOCOL.md section 7). Inside the pack reader only. */
#pragma once

#include "pack_sink.h"

struct pack_delta; /* opaque; reused from group to group */

enum ota_err pack_delta_new(struct pack_delta **ret_delta, struct ota_why *why) OTA_CHECKED;
void pack_delta_free(struct pack_delta *delta); /* NULL is fine */
/* A group of `length` encoded bytes whose output goes to the sink, which has begun it. */
void pack_delta_begin(struct pack_delta *delta, struct pack_sink *sink, uint64_t base_size,
		      uint32_t length);
/* After the last of the `length` bytes the sink is full or it is an error. */
enum ota_err pack_delta_feed(struct pack_delta *delta, const uint8_t *bytes, size_t len,
			     struct ota_why *why) OTA_CHECKED;
