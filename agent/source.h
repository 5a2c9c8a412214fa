/* Where blobs come from: the device's own MQTT connection, or an HTTPS server. Two seams. */
#pragma once

#include "message.h"

struct source_answer {
	enum chunk_kind kind;
	enum ota_err err;    /* CHUNK_REFUSED */
	uint32_t transfer;   /* as asked */
	uint32_t number;     /* data and refused: chunk; wait: milliseconds */
	const uint8_t *data; /* valid until the next call */
	size_t len;
	/* CHUNK_REFUSED: why, where the source knows more than a number; else NULL. */
	const struct ota_why *why;
};

struct source {
	void *ctx;
	const char *name; /* for messages: "mqtt", "https://updates.example.com" */
	/* Asks for these chunks of a blob; success means no more than that it was sent. */
	enum ota_err (*ask)(void *ctx, uint32_t transfer, const struct digest *blob,
			    uint64_t size, const struct get_range *ranges, unsigned count,
			    struct ota_why *why);
	/* Takes an answer, when the source brings its own, in the order of the questions; NULL:
	 * answers come from outside. */
	bool (*next)(void *ctx, struct source_answer *ret_answer);
	/* A descriptor that is readable when next() has something to do; -1: none. May be NULL
	 * with next. */
	int (*fd)(void *ctx);
	/* What was asked is not wanted any more. May be NULL. */
	void (*forget)(void *ctx);
};

/* Makes sources of the URLs that an offer names (source_https.h). */
struct sources {
	void *ctx;
	/* Fills ret_sources with the URLs that are of use, in their order, and returns their
	 * number, at most `count`; 0 with a `why` when there is none. They live until close().
	 * Nothing is connected yet. */
	unsigned (*open)(void *ctx, const struct offer_source *urls, unsigned count,
			 const struct source *ret_sources[], struct ota_why *why);
	void (*close)(void *ctx);
};
