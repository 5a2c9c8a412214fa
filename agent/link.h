/* The device's connection to its broker: a seam. link.c is the real one (MQTT 5 over mutual
 * TLS); tests have one in memory.
 *
 * Nothing here blocks and nothing calls back: the agent takes events with next(). A link that
 * was started keeps trying for ever, with full-jitter pauses; it is up once the broker accepted
 * the connection and granted the device's own three subscriptions. */
#pragma once

#include "topic.h"
#include "why.h"

#include <stddef.h>
#include <stdint.h>

/* Bytes of received messages that wait to be taken. Above it chunk frames are dropped (they are
 * asked for again) and any other message ends the connection: a broker that floods gains
 * nothing. Room for a welcome with eight roots and a full window of chunks. */
#define LINK_QUEUE_MAX (2u << 20)

enum link_event_kind {
	LINK_NONE = 0, /* nothing waits */
	LINK_UP,       /* connected and subscribed; whatever was published before is void */
	LINK_DOWN,     /* was up and is not any more: `why` */
	LINK_FAILED,   /* one attempt to connect failed: `why` */
	LINK_MESSAGE,
};

struct link_event {
	enum link_event_kind kind;
	struct ota_why why;
	struct topic topic;	/* LINK_MESSAGE */
	const uint8_t *payload; /* LINK_MESSAGE: valid until link->done() */
	size_t len;
	void *hold; /* the link's own */
};

struct link {
	void *ctx;
	/* Starts to connect and goes on until stop(). */
	void (*start)(void *ctx);
	void (*stop)(void *ctx);
	/* Ends this connection and makes a new one at once (the trial needs a fresh one). */
	void (*renew)(void *ctx);
	/* Fills *ret_event and returns true, or returns false when nothing waits. Every event
	 * that was taken is ended with done(). */
	bool (*next)(void *ctx, struct link_event *ret_event);
	void (*done)(void *ctx, struct link_event *event);
	/* OTA_CONNECTION_LOST when the link is not up, OTA_BUSY when its queue is full. Success
	 * means no more than that the message was queued. */
	enum ota_err (*publish)(void *ctx, const char *topic, const void *payload, size_t len,
				int qos, struct ota_why *why) OTA_CHECKED;
	/* One more exact topic, until the link goes down. A refusal comes as LINK_DOWN. */
	enum ota_err (*subscribe)(void *ctx, const char *topic,
				  struct ota_why *why) OTA_CHECKED;
	/* Does what is due (a pause is over) and returns the milliseconds until it wants to be
	 * called again; UINT64_MAX: only when its descriptor is readable. */
	uint64_t (*tick)(void *ctx, uint64_t now_ms);
	/* Readable when next() may have something; -1: no descriptor, ask. */
	int (*fd)(void *ctx);
};

struct link_options {
	const char *broker; /* host:port; an IPv6 address stands in brackets */
	const char *cert_file, *key_file;
	/* The file of CAs for the next connection: asked in tick(), before each; what it
	 * answers lives as long as the link. */
	const char *(*ca_file)(void *ctx);
	void *ca_ctx;
	const char *device; /* CN of cert_file: the client id and the topics */
	uint64_t keepalive_ms, reconnect_min_ms, reconnect_max_ms;
};

/* The real one. The options' texts must outlive it. One process may have several. */
enum ota_err link_new(const struct link_options *options, struct link *ret_link,
		      struct ota_why *why) OTA_CHECKED;
void link_free(struct link *link);
