/* Where blobs come from: the device's own MQTT connection, or an HTTPS server. A seam. */
#pragma once

#include "message.h"

struct source_answer {
	enum chunk_kind kind;
	enum ota_err err;    /* CHUNK_REFUSED */
	uint32_t transfer;   /* as asked */
	uint32_t number;     /* data and refused: chunk; wait: milliseconds */
	const uint8_t *data; /* valid until the next call */
	size_t len;
};

struct source {
	void *ctx;
	const char *name; /* for messages: "mqtt", "https" */
	/* Asks for these chunks of a blob; success means no more than that it was sent. */
	enum ota_err (*ask)(void *ctx, uint32_t transfer, const struct digest *blob,
			    uint64_t size, const struct get_range *ranges, unsigned count,
			    struct ota_why *why);
	/* Takes an answer, when the source brings its own; NULL: answers come from outside. */
	bool (*next)(void *ctx, struct source_answer *ret_answer);
	/* A descriptor to wait on, with the poll events; -1: none. May be NULL with next. */
	int (*fd)(void *ctx, short *ret_events);
	/* What was asked is not wanted any more. May be NULL. */
	void (*forget)(void *ctx);
};
