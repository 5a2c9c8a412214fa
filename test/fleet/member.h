/* One simulated device: its connection, its hello, what it knows, and its passage through a
 * release (passage.h). */
#pragma once

#include "download.h"
#include "fleet.h"

#define MEMBER_REPORTS_MAX 24 /* unacknowledged; a passage makes at most 12 */

enum member_phase {
	MEMBER_OFF = 0,	  /* waits for its time, or in the queue, to connect */
	MEMBER_HANDSHAKE, /* TCP and TLS */
	MEMBER_CONNECT,	  /* waits for CONNACK */
	MEMBER_SUBSCRIBE, /* waits for SUBACK */
	MEMBER_GREET,	  /* waits for welcome */
	MEMBER_READY,
	MEMBER_GONE, /* will not come back */
};

struct member_report {
	uint64_t seq, release, at_ms, done, fetched;
	uint32_t attempt;
	enum update_state state;
	enum ota_err err;
};

struct passage {
	const struct offering *offering; /* NULL: none in hand */
	const struct offering *after;	 /* a newer one, for when this has ended */
	const struct offer_pack *pack;
	struct download download;
	enum update_state state;
	enum fate fate;
	uint64_t began_ms, due_ms, fetched;
	bool has_index, was_cut, trial, reverted;
};

struct bulk;

struct member {
	struct wire wire;
	struct bulk *haul; /* its HTTPS connection (haul.h); NULL: none */
	char name[NAME_SIZE];
	uint32_t number;
	enum member_phase phase;
	bool welcomed, ended, offered, queued, closed;
	uint8_t nonce[MESSAGE_NONCE_SIZE];
	uint16_t packet_id;
	uint32_t failures, events;
	uint64_t flood_sent, flood_acked;
	uint64_t retry_ms, ping_ms, phase_ms, echo_ms;
	uint64_t seq, highest; /* reports, release numbers */
	char version[NAME_SIZE], old_version[NAME_SIZE];
	struct digest digest, old_digest;
	struct member_report reports[MEMBER_REPORTS_MAX];
	uint32_t report_count;
	struct passage passage;
};

void member_init(struct fleet *fleet, struct member *member, uint32_t number);
void member_done(struct member *member);
/* Puts it into the queue of those that want to connect. */
void member_queue(struct fleet *fleet, struct member *member);
void member_connect(struct fleet *fleet, struct member *member);
void member_event(struct fleet *fleet, struct member *member, uint32_t events);
void member_due(struct fleet *fleet, struct member *member);
/* Ends the connection without a word and comes back after `pause_ms`; AGENDA_NEVER: never. */
void member_drop(struct fleet *fleet, struct member *member, uint64_t pause_ms);
/* Publishes under its own topic of this kind. */
void member_publish(struct fleet *fleet, struct member *member, enum topic_kind kind,
		    const void *payload, size_t len, unsigned qos);
/* Sends what is queued for it and sets when it is due again. */
void member_settle(struct fleet *fleet, struct member *member);
/* It has been welcomed. */
void member_ready(struct fleet *fleet, struct member *member);
uint16_t member_next_id(struct member *member);
/* Sends more of its flood, if it is to send one. */
void member_flood(struct fleet *fleet, struct member *member);
/* One of the flood has been acknowledged. */
void member_flood_acked(struct fleet *fleet, struct member *member);
/* A message that it sent to itself is back. */
void member_echoed(struct fleet *fleet, struct member *member,
		   const struct packet_message *message);
void member_open_gate(struct fleet *fleet, struct member *member, bool open);
