/* ota-slot's half of slot_wire.h: does a request's verb with slots of its own.
 *
 * The peer is the agent, which talks to the network and is not trusted here. Every rule of
 * slot.h is checked on this side, by the slots themselves: the running or mounted slot is
 * refused, offsets lie within the image that was begun, which lies within the partition, and
 * only what was verified by this process since its last write is armed. */
#pragma once

#include "slot_wire.h"

struct slot_service {
	const struct slots *slots;
	unsigned part_count;
	void *ctx; /* of the two below */
	enum ota_err (*restart)(void *ctx, struct ota_why *why);
	/* Every refusal, and every verb that changes what boots. May be NULL. */
	void (*note)(void *ctx, const char *verb, const struct ota_why *why);
};

/* Does one request and writes its answer, of at most SLOT_WIRE_MAX bytes; how many they are.
 * `watch` is for long reads and may be NULL. `in` and `to` do not overlap. */
size_t slot_serve_one(const struct slot_service *service, const uint8_t *in, size_t in_len,
		      const struct slot_watch *watch, uint8_t *to);
/* Serves the peer of a connected socket until it closes its end. */
enum ota_err slot_serve(const struct slot_service *service, int peer,
			struct ota_why *why) OTA_CHECKED;
/* Tells the peer why it cannot be served: the answer to its first request. */
void slot_serve_refuse(int peer, const struct ota_why *reason);
