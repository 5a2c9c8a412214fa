/* One simulated device's connection to an HTTPS server: ranges of one blob, one request after
 * another on it (RFC 9110 section 14, RFC 9112). An answer that is not 206 with the length that
 * was asked for is an error, and the device goes on over MQTT. */
#pragma once

#include "digest.h"
#include "wire.h"

#define BULK_HEAD_MAX 4096u

/* Where blobs are, from an offer's base URL. */
struct bulk_peer {
	struct wire_peer peer;
	char host[256], base[256]; /* host with its port, for the Host field; base without / */
};

struct bulk {
	struct wire wire;
	uint32_t events;    /* that epoll waits for; the fleet's */
	bool asked;	    /* an answer is owed */
	bool in_body;	    /* its head has been read */
	uint64_t body_left; /* of this answer */
	size_t place;	    /* how far wire.in has been taken */
};

/* OTA_BAD_REQUEST for what is not https://host[:port]/path; OTA_UNREACHABLE. */
enum ota_err bulk_peer_find(const char *url, struct bulk_peer *ret_peer,
			    struct ota_why *why) OTA_CHECKED;
/* Queues one request; sent by wire_flush() once the wire is open. */
void bulk_ask(struct bulk *bulk, const struct bulk_peer *peer, const struct digest *blob,
	      uint64_t offset, uint64_t len);
/* The next `want` bytes of the body, if they have come: else *ret_bytes is NULL. They are valid
 * until bulk_forget(). */
enum ota_err bulk_next(struct bulk *bulk, size_t want, const uint8_t **ret_bytes,
		       struct ota_why *why) OTA_CHECKED;
void bulk_forget(struct bulk *bulk);
