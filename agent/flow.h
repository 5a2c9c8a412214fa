/* One blob, chunk by chunk, in order, through a window.
 *
 * Asks a source for the chunks that the caller needs, keeps a few outstanding (DELIVERY.md: 4,
 * adaptive 2 to 8), asks again for what is lost, and hands the chunks over in ascending order.
 * Chunks that come early wait here, so at most FLOW_WINDOW_MAX × 64 KiB. Time is the
 * caller's. */
#pragma once

#include "source.h"

#define FLOW_WINDOW_MIN	  2u
#define FLOW_WINDOW_START 4u
#define FLOW_WINDOW_MAX	  MESSAGE_WINDOW_MAX
/* The first patience; then as long as answers take, and what that varies by (RFC 6298). */
#define FLOW_TIMEOUT_START 5000u
#define FLOW_TIMEOUT_MIN   1000u
#define FLOW_TIMEOUT_MAX   60000u
/* Time-outs in a row, without a single chunk between, until the transfer counts as stalled:
 * seven to nine minutes. */
#define FLOW_STALL_TIMEOUTS 12u
#define FLOW_NO_CHUNK	    UINT32_MAX

struct flow_seam {
	void *ctx;
	/* The least needed chunk ≥ `from`, or FLOW_NO_CHUNK. */
	uint32_t (*need)(void *ctx, uint32_t from);
	/* The next needed chunk, in order. An error ends the transfer and is handed on. */
	enum ota_err (*deliver)(void *ctx, uint32_t number, const uint8_t *data, size_t len,
				struct ota_why *why);
};

struct flow_slot {
	uint32_t number;
	uint64_t asked_ms; /* 0: to be asked (again) */
	uint64_t order;	   /* of the question, among all */
	bool again;	   /* asked more than once: its answer tells no time */
	uint8_t *data;	   /* arrived early */
	size_t len;
};

struct flow {
	struct flow_seam seam;
	const struct source *source;
	struct digest blob;
	uint64_t size;
	uint32_t id;
	uint32_t from;				 /* chunks below are in `slots` or done */
	struct flow_slot slots[FLOW_WINDOW_MAX]; /* ascending by number */
	unsigned slot_count;
	unsigned window, in_row; /* chunks that came without a loss since the last change */
	uint64_t timeout_ms;
	uint64_t trip_ms, varies_ms; /* from question to answer, smoothed; 0: not known yet */
	uint64_t wait_until_ms;
	unsigned timeouts;
	uint64_t questions; /* chunks asked for so far */
	uint64_t fetched;   /* bytes received, early and double ones too */
	uint64_t rate;	    /* bytes a second; 0: no limit */
	uint64_t budget, budget_ms;
};

/* `rate` limits the bytes asked for per second (0: none); window and timeout are kept from a
 * transfer that this storage held before, when `again`. */
void flow_start(struct flow *flow, const struct flow_seam *seam, const struct source *source,
		const struct digest *blob, uint64_t size, uint32_t id, bool again);
void flow_done(struct flow *flow);

/* Takes an answer of the source; another transfer's is ignored. When the source will not give
 * it OTA_CHUNK_REFUSED, or the error that the source names. */
enum ota_err flow_answer(struct flow *flow, uint64_t now_ms, const struct source_answer *answer,
			 struct ota_why *why) OTA_CHECKED;
/* Asks for what may be asked now. *ret_next_ms: from now until it is to be called again
 * (UINT64_MAX: only after an answer). OTA_DOWNLOAD_STALLED after too many time-outs. */
enum ota_err flow_tick(struct flow *flow, uint64_t now_ms, uint64_t *ret_next_ms,
		       struct ota_why *why) OTA_CHECKED;
/* The connection was made anew: everything outstanding is asked again. */
void flow_again(struct flow *flow);
bool flow_is_idle(const struct flow *flow); /* nothing outstanding, nothing needed */
