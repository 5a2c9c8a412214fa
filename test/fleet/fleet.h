/* What the simulated devices share: where they connect, what they are, who is due when, and
 * what has been counted. One thread. */
#pragma once

#include "agenda.h"
#include "echo.h"
#include "fate.h"
#include "offering.h"
#include "topic.h"
#include "wire.h"

struct member;
struct bulk_peer;

/* The command line, see fleetsim.c for what each means. Texts that were not given are NULL. */
struct fleet_options {
	char *broker, *port, *ca, *ca_key, *root, *prefix, *product, *hardware, *version,
		*image_digest, *raw, *bad_version;
	char **fates;
	uint64_t count, first, connect_rate, window, seed, raw_shards, keepalive_s;
	uint64_t share[FATE_COUNT];
	uint64_t install_ms, restart_ms, defer_ms, confirm_ms, timeout_ms, backoff_ms,
		backoff_max_ms, every_ms, for_ms, linger_ms;
	uint64_t flood, flood_size, https_least, echo_ms;
	bool https, raw_full;
	bool closed; /* the download gate */
	bool mute;
	bool commands;
	int until;
};

enum fleet_until {
	FLEET_UNTIL_STOPPED = 0,
	FLEET_UNTIL_JOINED,   /* every device was welcomed once */
	FLEET_UNTIL_FINISHED, /* every device ended an update, or its flood */
};

struct fleet_tally {
	uint64_t connects, refusals, losses, welcomes, offers, offered_devices, stale_offers,
		repeated_offers, chunks, chunk_bytes, chunk_repeats, chunk_timeouts, waits,
		chunk_refusals, https_bytes, https_failures, reports, acks, messages,
		message_bytes, grants, broken;
	uint64_t finals[UPDATE_STATE_COUNT];
	/* CLOCK_MONOTONIC: of the offers, or raw messages, that came since the last mark. */
	uint64_t first_us, last_us, marked;
	struct ota_why last_loss;
	char last_broken[OTA_WHY_TEXT_MAX + 128];
};

struct fleet {
	struct fleet_options options;
	struct fate_plan fates;
	struct wire_peer peer;
	struct bulk_peer *source; /* the offers' HTTPS source; NULL: none was needed yet */
	struct issuer *issuer;
	struct trust *trust;
	struct blob_shelf blobs;
	struct offering_book offerings;
	struct agenda agenda;
	struct member *members;
	uint32_t count;
	uint32_t *waiting; /* members that want to connect, a ring */
	uint32_t waiting_first, waiting_count, handshakes;
	uint64_t connect_credit_us; /* when the next connect is allowed */
	uint32_t joined, connected, finished, gone;
	struct fleet_tally tally;
	struct echo echo;
	struct digest digest; /* what all run at first */
	uint64_t random_state;
	uint64_t now_ms;
	int epoll;
};

uint64_t fleet_clock_ms(void);
uint64_t fleet_clock_us(void);
/* Uniform in 0 … below - 1, the same sequence for the same seed; below ≥ 1. */
uint64_t fleet_random(struct fleet *fleet, uint64_t below);
/* A time around `mean`, half to one and a half. */
uint64_t fleet_about(struct fleet *fleet, uint64_t mean_ms);
/* Something came that no honest broker sends: counted, and the process will exit 1. */
void fleet_broken(struct fleet *fleet, const char *device, const struct ota_why *why);
/* A message that is measured: an offer, or a raw one. */
void fleet_mark(struct fleet *fleet);
