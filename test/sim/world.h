/* A world for the engine: its store in memory, a virtual clock, and devices that behave as
 * ota-agent does on the wire. Verbs move it; nothing moves by itself. Messages to a device that
 * is not connected are lost, and so are those on their way when its link is cut. */
#pragma once

#include "engine.h"
#include "store_memory.h"

#define WORLD_DEVICES_MAX  512u
#define WORLD_OUTBOX_MAX   24u
#define WORLD_START_MS	   (UINT64_C(1700000000) * 1000)
#define WORLD_IMAGE_SIZE   (1u << 20)
#define WORLD_RELEASES_MAX 256u

struct sim_message {
	bool is_offer;
	uint64_t release;
	uint32_t attempt;
	struct control control; /* plain members only */
};

/* One device: what a real one keeps on disk, and its link. */
struct sim_device {
	char id[NAME_SIZE], product[NAME_SIZE], hardware[NAME_SIZE];
	char version[NAME_SIZE], previous[NAME_SIZE]; /* what runs; what the other slot holds */
	uint64_t number, seq;
	uint64_t security_version, floor, slot_size;
	struct {
		uint64_t release;
		uint32_t attempt;
		enum update_state state; /* UPDATE_NONE: nothing in hand */
	} hand;
	bool trial; /* the new version runs, not granted yet */
	struct report outbox[WORLD_OUTBOX_MAX];
	unsigned outbox_count;
	struct consent_gates gates;
	uint64_t lease_until_ms;
	/* the link */
	bool online;
	uint8_t nonce[MESSAGE_NONCE_SIZE];
	uint8_t nonce_count;
	struct sim_message *inbox;
	unsigned inbox_count, inbox_room;
	/* how it shall fare: the state whose step ends with this error, once or for ever */
	enum update_state fails_in;
	enum ota_err fails_with;
	bool fails_always;
	bool dies_at_restart; /* never comes back after the restart */
	bool reverts;	      /* the new version never gets through: old one comes back */
	/* what it saw */
	unsigned offers, granted, canceled, resumed, reverted, welcomed, downloads, rehellos;
	uint32_t last_attempt;
	uint64_t last_release;
	bool twice; /* the same attempt was offered again although it had it in hand */
};

struct release_spec {
	const char *product, *version; /* NULL: "lamp" */
	enum release_target kind;
	const char *name; /* of the group or device */
	enum release_mode mode;
	bool force, allow_downgrade, rollback_on_halt;
	const struct release_wave *waves;
	uint32_t wave_count;
	const struct release_thresholds *thresholds;
	uint32_t max_concurrent;
	uint64_t rate, not_before_s, deadline_s, not_after_s; /* from now; 0: none, 1 year */
	const char *manager;				      /* NULL: "ann" */
	bool unproven;					      /* without the override */
};

struct world {
	struct store_memory *memory;
	struct engine *engine;
	struct engine_limits limits;
	uint64_t now_ms, mono_ms, random;
	struct sign_key *key;
	struct sim_device *devices;
	unsigned device_count;
	struct digest firmware_digests[WORLD_RELEASES_MAX];
	struct {
		char product[NAME_SIZE], version[NAME_SIZE];
		uint64_t number;
		bool force, fast;
	} releases[WORLD_RELEASES_MAX];
	unsigned release_count;
	bool lazy_store; /* commit only when told */
	unsigned events, disconnects, fans, saved;
	uint64_t last_event;
	struct ota_why why;
};

void world_start(struct world *world);
void world_stop(struct world *world);
/* The broker dies and comes back: links are cut, what the store had is loaded. */
void world_restart_broker(struct world *world);

void world_product(struct world *world, const char *product);
/* Known, approved, offline, runs "1.0.0" on hardware "a". */
struct sim_device *world_device(struct world *world, const char *id);
struct sim_device *world_device_of(struct world *world, const char *id, const char *product);
/* `count` devices "<prefix>0000" … connected or not. */
/* Started, with the versions 1.1.0, 1.2.0, 1.3.0, 1.4.0 and 1.10.0 on the shelf. */
void world_begin(struct world *world);
/* Started, with the versions 2.0.0 and 3.0.0 and one device, connected. */
struct sim_device *world_begin_one(struct world *world, const char *id);
/* The devices from `first` to before `end` fail each download. */
void world_let_fail(struct world *world, unsigned first, unsigned end, enum ota_err err);
void world_fleet(struct world *world, const char *prefix, unsigned count, bool connected);
struct sim_device *world_find(struct world *world, const char *id);
void world_group(struct world *world, const char *group, const char *member);
/* Puts a version on the shelf; its image digest is that of "image <version>". */
void world_firmware(struct world *world, const char *version);
void world_firmware_of(struct world *world, const char *product, const char *version,
		       bool development, uint64_t security_version, const char *requires);
struct digest world_image(const char *version);
enum ota_err world_try_release(struct world *world, const struct release_spec *spec,
			       uint64_t *ret_number);
uint64_t world_release(struct world *world, struct release_spec spec);
/* A fast release to the whole product, or to somebody. */
uint64_t world_fast(struct world *world, const char *version);
uint64_t world_fast_to(struct world *world, const char *version, enum release_target kind,
		       const char *name);
enum ota_err world_plan(struct world *world, const struct release_spec *spec,
			struct plan *ret_plan);
enum ota_err world_act(struct world *world, uint64_t number, enum release_act act);
enum ota_err world_retry(struct world *world, uint64_t number);

void world_connect(struct world *world, struct sim_device *device); /* and hello */
void world_hello(struct world *world, struct sim_device *device);
void world_cut(struct world *world, struct sim_device *device);
void world_gates(struct world *world, struct sim_device *device, bool open, uint64_t lease_s);
/* Sends a report and forgets it; for tests that are the device themselves. */
enum ota_err world_report(struct world *world, struct sim_device *device,
			  const struct report *report);
/* Keeps it until it is acknowledged. */
void world_tell(struct world *world, struct sim_device *device, enum update_state state,
		enum ota_err err);

/* Commits, ticks and delivers until nothing moves; devices only take note. */
void world_settle(struct world *world);
/* One step of one device's work; false when it has nothing to do. */
bool world_step(struct world *world, struct sim_device *device);
/* All devices work until nobody has anything to do; at most `until` (UPDATE_NONE: to the end).
 */
void world_work(struct world *world, enum update_state until);
void world_advance(struct world *world, uint64_t ms);

const struct release *world_see(const struct world *world, uint64_t number);
const struct release *world_see_of(const struct world *world, const char *product,
				   uint64_t number);
/* The state of the device's update of release `number`; UPDATE_NONE when there is none. */
enum update_state world_state(const struct world *world, const struct sim_device *device,
			      uint64_t number);
const struct update *world_update(const struct world *world, const struct sim_device *device,
				  uint64_t number);
uint32_t world_count(const struct world *world, uint64_t number, enum update_state state);
const char *world_why(const struct world *world, const struct sim_device *device);
/* Asserts what holds at every instant: counts add up, places are within the limit, no device
 * was offered one attempt twice. */
void world_check(struct world *world);
uint32_t world_random(struct world *world, uint32_t below);
