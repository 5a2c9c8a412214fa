#include "haul.h"
#include "passage.h"
#include "speech.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>

#define RECEIVE_MAX	 64 /* QoS 1 messages that the broker may have in flight to one */
#define FLOOD_WINDOW	 16
#define MEMBER_ANSWER_MS 60000 /* CONNACK, SUBACK, welcome; then a new connection */

void member_init(struct fleet *fleet, struct member *member, uint32_t number)
{
	*member = (struct member){
		.number = number,
		.wire = {.fd = -1},
		.ping_ms = AGENDA_NEVER,
		.retry_ms = AGENDA_NEVER,
		.echo_ms = AGENDA_NEVER,
		.closed = fleet->options.closed,
		.passage = {.due_ms = AGENDA_NEVER},
		.digest = fleet->digest,
	};
	snprintf(member->name, sizeof(member->name), "%s%" PRIu64, fleet->options.prefix,
		 fleet->options.first + number);
	text_copy(member->version, NAME_SIZE, fleet->options.version);
}

void member_done(struct member *member)
{
	wire_close(&member->wire);
	haul_stop(member);
}

void member_queue(struct fleet *fleet, struct member *member)
{
	if (member->queued)
		return;
	member->queued = true;
	uint32_t at = (fleet->waiting_first + fleet->waiting_count++) % fleet->count;
	fleet->waiting[at] = member->number;
}

static void watch(struct fleet *fleet, struct member *member, int operation)
{
	uint32_t events = EPOLLIN | (member->wire.wants_write ? (uint32_t)EPOLLOUT : 0);
	if (operation == EPOLL_CTL_MOD && events == member->events)
		return;
	member->events = events;
	struct epoll_event event = {.events = events, .data.u32 = member->number};
	epoll_ctl(fleet->epoll, operation, member->wire.fd, &event);
}

static void set_due(struct fleet *fleet, struct member *member)
{
	uint64_t due = passage_next_due(fleet, member);
	if (member->retry_ms < due)
		due = member->retry_ms;
	if (member->ping_ms < due)
		due = member->ping_ms;
	if (member->phase_ms < due)
		due = member->phase_ms;
	if (member->echo_ms < due)
		due = member->echo_ms;
	agenda_set(&fleet->agenda, member->number, due);
}

static void set_phase(struct fleet *fleet, struct member *member, enum member_phase phase)
{
	if (member->phase == MEMBER_HANDSHAKE && phase != MEMBER_HANDSHAKE)
		fleet->handshakes--;
	if (member->phase != MEMBER_HANDSHAKE && phase == MEMBER_HANDSHAKE)
		fleet->handshakes++;
	member->phase = phase;
	bool waits = phase == MEMBER_CONNECT || phase == MEMBER_SUBSCRIBE ||
		     phase == MEMBER_GREET || phase == MEMBER_HANDSHAKE;
	member->phase_ms = waits ? fleet->now_ms + MEMBER_ANSWER_MS : AGENDA_NEVER;
}

/* Exponential, with full jitter. */
static uint64_t back_off(struct fleet *fleet, const struct member *member)
{
	unsigned shift = member->failures > 8 ? 8 : member->failures;
	uint64_t most = fleet->options.backoff_ms << shift;
	if (most > fleet->options.backoff_max_ms)
		most = fleet->options.backoff_max_ms;
	return fleet_random(fleet, most + 1);
}

void member_ready(struct fleet *fleet, struct member *member)
{
	set_phase(fleet, member, MEMBER_READY);
	member->failures = 0;
	if (!member->welcomed)
		fleet->joined++;
	member->welcomed = true;
}

void member_drop(struct fleet *fleet, struct member *member, uint64_t pause_ms)
{
	if (member->phase == MEMBER_READY || member->phase == MEMBER_GREET)
		fleet->connected--;
	wire_close(&member->wire);
	haul_stop(member);
	set_phase(fleet, member, pause_ms == AGENDA_NEVER ? MEMBER_GONE : MEMBER_OFF);
	member->ping_ms = member->echo_ms = AGENDA_NEVER;
	member->retry_ms = pause_ms == AGENDA_NEVER ? pause_ms : fleet->now_ms + pause_ms;
	if (member->phase == MEMBER_GONE) {
		member->passage.due_ms = AGENDA_NEVER;
		fleet->gone++;
		if (!member->ended)
			fleet->finished++;
		member->ended = true;
	}
	set_due(fleet, member);
}

static void lost(struct fleet *fleet, struct member *member, const struct ota_why *why)
{
	fleet->tally.losses++;
	fleet->tally.last_loss = *why;
	member->failures++;
	member_drop(fleet, member, back_off(fleet, member));
}

void member_connect(struct fleet *fleet, struct member *member)
{
	struct ota_why why = {0};
	member->queued = false;
	if (member->phase != MEMBER_OFF)
		return;
	member->retry_ms = AGENDA_NEVER;
	if (wire_open(&member->wire, &fleet->peer, fleet->issuer, member->name, member->number,
		      &why)) {
		lost(fleet, member, &why);
		return;
	}
	set_phase(fleet, member, MEMBER_HANDSHAKE);
	watch(fleet, member, EPOLL_CTL_ADD);
	set_due(fleet, member);
}

uint16_t member_next_id(struct member *member)
{
	if (++member->packet_id == 0)
		member->packet_id = 1;
	return member->packet_id;
}

void member_publish(struct fleet *fleet, struct member *member, enum topic_kind kind,
		    const void *payload, size_t len, unsigned qos)
{
	char topic[TOPIC_SIZE];
	if (member->wire.state != WIRE_OPEN)
		return;
	topic_of(kind, member->name, topic);
	packet_publish(&member->wire.out, topic, payload, len, qos, member_next_id(member));
	member->ping_ms = fleet->now_ms + fleet->options.keepalive_s * 800;
}

static void send_raw(struct fleet *fleet, struct member *member)
{
	static const char payload[65536];
	char topic[TOPIC_SIZE];
	snprintf(topic, sizeof(topic), "%s/up/%s", fleet->options.raw, member->name);
	packet_publish(&member->wire.out, topic, payload, fleet->options.flood_size, 1,
		       member_next_id(member));
}

void member_flood(struct fleet *fleet, struct member *member)
{
	while (member->phase == MEMBER_READY && member->flood_sent < fleet->options.flood &&
	       member->flood_sent - member->flood_acked < FLOOD_WINDOW) {
		member->flood_sent++;
		if (fleet->options.raw)
			send_raw(fleet, member);
		else
			speech_report(fleet, member, UPDATE_DOWNLOADING, OTA_OK);
	}
}

void member_flood_acked(struct fleet *fleet, struct member *member)
{
	if (!fleet->options.flood)
		return;
	member->flood_acked++;
	fleet_mark(fleet);
	if (member->flood_acked == fleet->options.flood && !member->ended) {
		member->ended = true;
		fleet->finished++;
	}
	member_flood(fleet, member);
}

/* To its own topic, with the time in it. */
static void send_echo(struct fleet *fleet, struct member *member)
{
	char topic[TOPIC_SIZE];
	uint64_t now_us = fleet_clock_us();
	snprintf(topic, sizeof(topic), "%s/%s", fleet->options.raw, member->name);
	packet_publish(&member->wire.out, topic, &now_us, sizeof(now_us), 0, 0);
	member->echo_ms = AGENDA_NEVER;
}

void member_echoed(struct fleet *fleet, struct member *member,
		   const struct packet_message *message)
{
	uint64_t sent_us;
	if (!fleet->options.echo_ms || message->len != sizeof(sent_us))
		return;
	memcpy(&sent_us, message->payload, sizeof(sent_us));
	echo_add(&fleet->echo, fleet_clock_us() - sent_us);
	member->echo_ms = fleet->now_ms + fleet->options.echo_ms;
}

static void say_connect(struct fleet *fleet, struct member *member)
{
	packet_connect(&member->wire.out, member->name, (unsigned)fleet->options.keepalive_s,
		       RECEIVE_MAX);
	set_phase(fleet, member, MEMBER_CONNECT);
	member->ping_ms = fleet->now_ms + fleet->options.keepalive_s * 800;
}

/* What a client without OTA subscribes to: one topic, or four in the shape of a device's. */
static unsigned raw_topics(const struct fleet *fleet, const struct member *member,
			   char topics[4][TOPIC_SIZE])
{
	const char *raw = fleet->options.raw, *name = member->name;
	uint64_t shards = fleet->options.raw_shards;
	if (fleet->options.raw_full) {
		snprintf(topics[0], TOPIC_SIZE, "%s/v1/d/%s/offer", raw, name);
		snprintf(topics[1], TOPIC_SIZE, "%s/v1/d/%s/control", raw, name);
		snprintf(topics[2], TOPIC_SIZE, "%s/v1/d/%s/chunk", raw, name);
		snprintf(topics[3], TOPIC_SIZE, "%s/v1/p/%s/release/%u", raw,
			 fleet->options.product, name_shard(name, 256));
		return 4;
	}
	if (shards)
		snprintf(topics[0], TOPIC_SIZE, "%s/%u", raw,
			 name_shard(name, (uint32_t)shards));
	else
		snprintf(topics[0], TOPIC_SIZE, "%s/%s", raw, name);
	return 1;
}

static void say_subscribe(struct fleet *fleet, struct member *member)
{
	static const enum topic_kind kinds[] = {TOPIC_OFFER, TOPIC_CONTROL_DEVICE, TOPIC_CHUNK};
	char topics[4][TOPIC_SIZE];
	const char *list[4] = {topics[0], topics[1], topics[2], topics[3]};
	unsigned count = 3;
	if (fleet->options.raw)
		count = raw_topics(fleet, member, topics);
	for (unsigned i = 0; i < count && !fleet->options.raw; i++)
		topic_of(kinds[i], member->name, topics[i]);
	packet_subscribe(&member->wire.out, member_next_id(member), list, count, 1);
	set_phase(fleet, member, MEMBER_SUBSCRIBE);
}

static enum ota_err subscribed(struct fleet *fleet, struct member *member, unsigned code,
			       struct ota_why *why)
{
	if (code >= 0x80) {
		fleet->tally.refusals++;
		return ota_fail(why, OTA_FORBIDDEN, "a subscription was refused: %#x", code);
	}
	if (member->phase != MEMBER_SUBSCRIBE)
		return OTA_OK;
	fleet->connected++;
	if (fleet->options.raw) {
		member_ready(fleet, member);
		member_flood(fleet, member);
		if (fleet->options.echo_ms)
			send_echo(fleet, member);
		return OTA_OK;
	}
	set_phase(fleet, member, MEMBER_GREET);
	speech_hello(fleet, member);
	return OTA_OK;
}

static enum ota_err take_publish(struct fleet *fleet, struct member *member,
				 const struct packet *packet, struct ota_why *why)
{
	struct packet_message message;
	if (!packet_read_publish(packet, &message))
		return ota_fail(why, OTA_CONNECTION_LOST, "a malformed PUBLISH");
	if (message.qos)
		packet_puback(&member->wire.out, message.id);
	speech_take(fleet, member, &message);
	return OTA_OK;
}

static enum ota_err take_packet(struct fleet *fleet, struct member *member,
				const struct packet *packet, struct ota_why *why)
{
	unsigned id, code;
	switch (packet->type) {
	case PACKET_CONNACK:
		if (!packet_read_connack(packet, &code) || code) {
			fleet->tally.refusals++;
			return ota_fail(why, OTA_CONNECTION_LOST, "CONNECT was refused");
		}
		fleet->tally.connects++;
		say_subscribe(fleet, member);
		return OTA_OK;
	case PACKET_SUBACK:
		if (!packet_read_suback(packet, &id, &code))
			return ota_fail(why, OTA_CONNECTION_LOST, "a malformed SUBACK");
		return subscribed(fleet, member, code, why);
	case PACKET_PUBLISH:
		return take_publish(fleet, member, packet, why);
	case PACKET_PUBACK:
		if (fleet->options.raw)
			member_flood_acked(fleet, member);
		return OTA_OK;
	case PACKET_PINGRESP:
		return OTA_OK;
	case PACKET_DISCONNECT:
		return ota_fail(why, OTA_CONNECTION_LOST, "the broker said DISCONNECT %#x",
				packet->len ? packet->body[0] : 0u);
	default:
		return ota_fail(why, OTA_CONNECTION_LOST, "a packet of type %u", packet->type);
	}
}

/* A packet may end the connection (a restart, a planned cut): then nothing is left to read. */
static enum ota_err take_packets(struct fleet *fleet, struct member *member,
				 struct ota_why *why)
{
	size_t place = 0;
	struct packet packet;
	enum packet_found found;
	while ((found = wire_next(&member->wire, &place, &packet)) == PACKET_WHOLE) {
		enum ota_err err = take_packet(fleet, member, &packet, why);
		if (err)
			return err;
		if (member->wire.state != WIRE_OPEN)
			return OTA_OK;
	}
	if (found == PACKET_BROKEN)
		return ota_fail(why, OTA_CONNECTION_LOST, "what came is not MQTT");
	wire_forget(&member->wire, place);
	return OTA_OK;
}

static enum ota_err flush(struct fleet *fleet, struct member *member, struct ota_why *why)
{
	if (member->wire.state != WIRE_OPEN)
		return OTA_OK;
	enum ota_err err = wire_flush(&member->wire, why);
	if (!err)
		watch(fleet, member, EPOLL_CTL_MOD);
	return err;
}

static enum ota_err serve(struct fleet *fleet, struct member *member, struct ota_why *why)
{
	enum ota_err err;
	if (member->wire.state == WIRE_CONNECTING) {
		bool open;
		err = wire_connect(&member->wire, &open, why);
		if (err)
			return err;
		if (!open) {
			watch(fleet, member, EPOLL_CTL_MOD);
			return OTA_OK;
		}
		say_connect(fleet, member);
	}
	enum ota_err end = wire_read(&member->wire, why);
	struct ota_why cause = why ? *why : (struct ota_why){0};
	err = take_packets(fleet, member, why);
	if (err || member->wire.state != WIRE_OPEN)
		return err;
	if (end) {
		*why = cause;
		return end;
	}
	return flush(fleet, member, why);
}

void member_event(struct fleet *fleet, struct member *member, uint32_t events)
{
	struct ota_why why = {0};
	(void)events; /* whatever it was, both directions are tried */
	if (member->wire.state == WIRE_CLOSED)
		return;
	if (serve(fleet, member, &why))
		lost(fleet, member, &why);
	else
		set_due(fleet, member);
}

void member_settle(struct fleet *fleet, struct member *member)
{
	struct ota_why why = {0};
	if (flush(fleet, member, &why))
		lost(fleet, member, &why);
	else
		set_due(fleet, member);
}

void member_due(struct fleet *fleet, struct member *member)
{
	struct ota_why why = {0};
	if (member->retry_ms <= fleet->now_ms) {
		member->retry_ms = AGENDA_NEVER;
		member_queue(fleet, member);
	}
	if (member->phase_ms <= fleet->now_ms) {
		why.err = OTA_CONNECTION_LOST;
		snprintf(why.text, sizeof(why.text), "no answer in phase %d", member->phase);
		lost(fleet, member, &why);
		return;
	}
	if (member->ping_ms <= fleet->now_ms) {
		packet_pingreq(&member->wire.out);
		member->ping_ms = fleet->now_ms + fleet->options.keepalive_s * 800;
	}
	if (member->echo_ms <= fleet->now_ms)
		send_echo(fleet, member);
	passage_due(fleet, member);
	member_settle(fleet, member);
}

void member_open_gate(struct fleet *fleet, struct member *member, bool open)
{
	struct consent consent = {.v = 1, .consent = {open, true, true}};
	struct text text = {0};
	struct ota_why why = {0};
	member->closed = !open;
	if (json_write(&consent_shape, &consent, &text, &why))
		fleet_broken(fleet, member->name, &why);
	else
		member_publish(fleet, member, TOPIC_CONSENT, text.data, text.len, 1);
	text_done(&text);
	if (open)
		passage_gate_opened(fleet, member);
	member_settle(fleet, member);
}
