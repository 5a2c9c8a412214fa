#include "packet.h"

#include <string.h>

enum {
	PROPERTY_RECEIVE_MAXIMUM = 0x21,
	CONNECT_CLEAN_START = 0x02,
	SUBSCRIBE_FLAGS = 0x02, /* fixed by the standard */
};

/* A cursor over a body; `bad` once something was read beyond the end. */
struct reader {
	const uint8_t *at;
	size_t left;
	bool bad;
};

static const uint8_t *reader_take(struct reader *reader, size_t len)
{
	if (reader->bad || len > reader->left) {
		reader->bad = true;
		return NULL;
	}
	const uint8_t *at = reader->at;
	reader->at += len;
	reader->left -= len;
	return at;
}

static unsigned reader_u8(struct reader *reader)
{
	const uint8_t *at = reader_take(reader, 1);
	return at ? *at : 0;
}

static unsigned reader_u16(struct reader *reader)
{
	const uint8_t *at = reader_take(reader, 2);
	return at ? (unsigned)at[0] << 8 | at[1] : 0;
}

/* Variable Byte Integer, section 1.5.5: at most four bytes of seven bits. */
static size_t reader_length(struct reader *reader)
{
	size_t value = 0;
	for (unsigned shift = 0; shift < 28; shift += 7) {
		unsigned byte = reader_u8(reader);
		value |= (size_t)(byte & 0x7f) << shift;
		if (!(byte & 0x80))
			return value;
	}
	reader->bad = true;
	return 0;
}

static void reader_skip_properties(struct reader *reader)
{
	reader_take(reader, reader_length(reader));
}

static struct reader reader_of(const struct packet *packet)
{
	return (struct reader){.at = packet->body, .left = packet->len};
}

enum packet_found packet_next(const uint8_t *bytes, size_t len, struct packet *ret_packet,
			      size_t *ret_used)
{
	struct reader reader = {.at = bytes, .left = len};
	unsigned first = reader_u8(&reader);
	size_t have = reader.left;
	size_t body = reader_length(&reader);
	if (reader.bad)
		return have >= 4 ? PACKET_BROKEN : PACKET_PART;
	if (body > PACKET_SIZE_MAX)
		return PACKET_BROKEN;
	const uint8_t *at = reader_take(&reader, body);
	if (reader.bad)
		return PACKET_PART;
	*ret_packet = (struct packet){
		.type = first >> 4, .flags = first & 0x0f, .body = at, .len = body};
	*ret_used = (size_t)(reader.at - bytes);
	return PACKET_WHOLE;
}

bool packet_read_publish(const struct packet *packet, struct packet_message *ret_message)
{
	struct reader reader = reader_of(packet);
	struct packet_message message = {.qos = packet->flags >> 1 & 3};
	message.topic_len = reader_u16(&reader);
	message.topic = (const char *)reader_take(&reader, message.topic_len);
	if (message.qos)
		message.id = reader_u16(&reader);
	reader_skip_properties(&reader);
	if (reader.bad || message.qos > 2)
		return false;
	message.payload = reader.at;
	message.len = reader.left;
	*ret_message = message;
	return true;
}

bool packet_read_connack(const struct packet *packet, unsigned *ret_code)
{
	struct reader reader = reader_of(packet);
	reader_u8(&reader);
	*ret_code = reader_u8(&reader);
	return !reader.bad;
}

bool packet_read_suback(const struct packet *packet, unsigned *ret_id, unsigned *ret_code)
{
	struct reader reader = reader_of(packet);
	*ret_id = reader_u16(&reader);
	reader_skip_properties(&reader);
	if (reader.bad || !reader.left)
		return false;
	*ret_code = 0;
	while (reader.left) {
		unsigned code = reader_u8(&reader);
		if (code > *ret_code)
			*ret_code = code;
	}
	return true;
}

bool packet_read_puback(const struct packet *packet, unsigned *ret_id, unsigned *ret_code)
{
	struct reader reader = reader_of(packet);
	*ret_id = reader_u16(&reader);
	*ret_code = reader.left ? reader_u8(&reader) : 0;
	return !reader.bad;
}

static void put_u8(struct text *to, unsigned value)
{
	uint8_t byte = (uint8_t)value;
	text_add(to, &byte, 1);
}

static void put_u16(struct text *to, unsigned value)
{
	uint8_t bytes[] = {(uint8_t)(value >> 8), (uint8_t)value};
	text_add(to, bytes, sizeof(bytes));
}

static void put_string(struct text *to, const char *string)
{
	size_t len = strlen(string);
	put_u16(to, (unsigned)len);
	text_add(to, string, len);
}

static void put_header(struct text *to, enum packet_type type, unsigned flags, size_t len)
{
	put_u8(to, (unsigned)type << 4 | flags);
	do {
		unsigned byte = (unsigned)(len & 0x7f);
		len >>= 7;
		put_u8(to, byte | (len ? 0x80u : 0));
	} while (len);
}

void packet_connect(struct text *to, const char *client_id, unsigned keepalive_s,
		    unsigned receive_max)
{
	put_header(to, PACKET_CONNECT, 0, 6 + 1 + 1 + 2 + 1 + 3 + 2 + strlen(client_id));
	put_string(to, "MQTT");
	put_u8(to, 5);
	put_u8(to, CONNECT_CLEAN_START);
	put_u16(to, keepalive_s);
	put_u8(to, 3); /* length of the properties */
	put_u8(to, PROPERTY_RECEIVE_MAXIMUM);
	put_u16(to, receive_max);
	put_string(to, client_id);
}

void packet_subscribe(struct text *to, unsigned id, const char *const *topics, unsigned count,
		      unsigned qos)
{
	size_t len = 2 + 1;
	for (unsigned i = 0; i < count; i++)
		len += 2 + strlen(topics[i]) + 1;
	put_header(to, PACKET_SUBSCRIBE, SUBSCRIBE_FLAGS, len);
	put_u16(to, id);
	put_u8(to, 0);
	for (unsigned i = 0; i < count; i++) {
		put_string(to, topics[i]);
		put_u8(to, qos);
	}
}

void packet_publish(struct text *to, const char *topic, const void *payload, size_t len,
		    unsigned qos, unsigned id)
{
	put_header(to, PACKET_PUBLISH, qos << 1, 2 + strlen(topic) + (qos ? 2u : 0) + 1 + len);
	put_string(to, topic);
	if (qos)
		put_u16(to, id);
	put_u8(to, 0);
	text_add(to, payload, len);
}

void packet_puback(struct text *to, unsigned id)
{
	put_header(to, PACKET_PUBACK, 0, 2);
	put_u16(to, id);
}

void packet_pingreq(struct text *to)
{
	put_header(to, PACKET_PINGREQ, 0, 0);
}

void packet_disconnect(struct text *to)
{
	put_header(to, PACKET_DISCONNECT, 0, 0);
}
