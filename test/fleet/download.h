/* One device's download of one blob: which chunks it asks for next, and what it does about
 * those that do not come. A window of chunks is outstanding; half a window is asked for at a
 * time. Nothing is remembered of a chunk but whether it is outstanding: all before `next` that
 * are not have arrived. */
#pragma once

#include "blob.h"

struct download {
	struct blob *blob; /* NULL: no download */
	uint32_t id, next, got;
	struct {
		uint32_t chunk;
		uint64_t asked_ms; /* 0: must be asked for again */
	} outstanding[MESSAGE_WINDOW_MAX];
	unsigned outstanding_count;
	uint64_t paused_until_ms;
	uint32_t timeouts; /* in a row */
};

void download_start(struct download *download, struct blob *blob, uint32_t id);
/* After a reconnection: what was outstanding is asked for again. */
void download_resume(struct download *download, uint32_t id);
bool download_is_done(const struct download *download);
/* True when a get should be sent now, and what it says. */
bool download_ask(struct download *download, unsigned window, uint64_t now_ms,
		  struct get *ret_get);
/* *ret_new: false for a chunk that was not asked for, or came twice. */
enum ota_err download_chunk(struct download *download, const struct chunk *chunk, bool *ret_new,
			    struct ota_why *why) OTA_CHECKED;
/* The plugin asks to wait. */
void download_wait(struct download *download, uint64_t until_ms);
/* Chunks that have been waited for too long are marked; returns how many. */
unsigned download_expire(struct download *download, uint64_t now_ms, uint64_t timeout_ms);
/* When to call download_expire or download_ask next. */
uint64_t download_due(const struct download *download, uint64_t timeout_ms);
