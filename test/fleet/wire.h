/* One non-blocking TLS connection of a simulated device: bytes are queued to go out, packets
 * come in. Nothing is allocated while it is idle but what OpenSSL needs. */
#pragma once

#include "issuer.h"
#include "packet.h"

#include <netinet/in.h>

enum wire_state {
	WIRE_CLOSED = 0,
	WIRE_CONNECTING, /* TCP, then TLS */
	WIRE_OPEN,
};

struct wire {
	enum wire_state state;
	int fd;
	SSL *ssl;
	struct text in, out;
	size_t out_at; /* bytes of out that are sent */
	bool wants_write;
};

/* Where to connect, and the name that the broker's certificate must carry. */
struct wire_peer {
	struct sockaddr_in address;
	char host[256];
};

enum ota_err wire_peer_find(const char *host, const char *port, struct wire_peer *ret_peer,
			    struct ota_why *why) OTA_CHECKED;

/* Starts to connect. On loopback connections are spread over 127.0.1.1 … 127.0.250.250 by
 * `number`, so that ports do not run out. */
enum ota_err wire_open(struct wire *wire, const struct wire_peer *peer, struct issuer *issuer,
		       const char *name, unsigned number, struct ota_why *why) OTA_CHECKED;
void wire_close(struct wire *wire);

/* Goes on with the handshake; *ret_open once it is over. */
enum ota_err wire_connect(struct wire *wire, bool *ret_open, struct ota_why *why) OTA_CHECKED;
/* Reads what has come, up to a bound that is fair to the others. OTA_CONNECTION_LOST at the
 * end. */
enum ota_err wire_read(struct wire *wire, struct ota_why *why) OTA_CHECKED;
/* Takes the next whole packet from what was read; its body is valid until the next call here.
 * PACKET_PART: there is none. */
enum packet_found wire_next(struct wire *wire, size_t *place, struct packet *ret_packet);
/* Forgets the bytes before `place`. */
void wire_forget(struct wire *wire, size_t place);
/* Sends what is queued in wire->out as far as the socket takes it. */
enum ota_err wire_flush(struct wire *wire, struct ota_why *why) OTA_CHECKED;
