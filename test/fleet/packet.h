/* MQTT 5 packets (OASIS MQTT 5.0, section 3), as far as a device of ours sends or gets them.
 * Pure: bytes in, bytes out. */
#pragma once

#include "text.h"

#include <stdbool.h>

/* More than the longest that the plugin sends (a control message). */
#define PACKET_SIZE_MAX (1u << 20)

enum packet_type {
	PACKET_CONNECT = 1,
	PACKET_CONNACK = 2,
	PACKET_PUBLISH = 3,
	PACKET_PUBACK = 4,
	PACKET_SUBSCRIBE = 8,
	PACKET_SUBACK = 9,
	PACKET_PINGREQ = 12,
	PACKET_PINGRESP = 13,
	PACKET_DISCONNECT = 14,
};

struct packet {
	unsigned type, flags; /* type as it came: may be none of enum packet_type */
	const uint8_t *body;
	size_t len;
};

enum packet_found {
	PACKET_PART = 0, /* more bytes are needed */
	PACKET_WHOLE,
	PACKET_BROKEN, /* no packet, or one longer than PACKET_SIZE_MAX */
};

/* Finds the packet at the start of the bytes; *ret_used is its length with its header. The
 * body points into the bytes. */
enum packet_found packet_next(const uint8_t *bytes, size_t len, struct packet *ret_packet,
			      size_t *ret_used);

struct packet_message {
	const char *topic; /* not terminated */
	size_t topic_len;
	const uint8_t *payload;
	size_t len;
	unsigned qos, id; /* id: of QoS 1 and 2 */
};

/* False when the packet is malformed. */
bool packet_read_publish(const struct packet *packet, struct packet_message *ret_message);
/* The reason code: 0 is success. */
bool packet_read_connack(const struct packet *packet, unsigned *ret_code);
/* Packet id, and the greatest code: 0x80 and more means that a filter was refused. */
bool packet_read_suback(const struct packet *packet, unsigned *ret_id, unsigned *ret_code);
bool packet_read_puback(const struct packet *packet, unsigned *ret_id, unsigned *ret_code);

/* Append a packet. */
void packet_connect(struct text *to, const char *client_id, unsigned keepalive_s,
		    unsigned receive_max);
void packet_subscribe(struct text *to, unsigned id, const char *const *topics, unsigned count,
		      unsigned qos);
void packet_publish(struct text *to, const char *topic, const void *payload, size_t len,
		    unsigned qos, unsigned id);
void packet_puback(struct text *to, unsigned id);
void packet_pingreq(struct text *to);
void packet_disconnect(struct text *to);
