/* What the engine's files share; nobody else includes it. */
#pragma once

#include "engine.h"
#include "own.h"
#include "retry.h"
#include "timer.h"
#include "wave.h"

#define ENGINE_ROOM_MIN	   256u	  /* rows that an input may write at most */
#define ENGINE_PENDING_MAX 65536u /* acks and grants that wait for the store */

/* What may be said to a device only when a ticket is durable. */
struct pending {
	uint64_t ticket;
	struct device *device;
	uint64_t seq;		 /* of the report; 0: a grant */
	struct release *release; /* grant */
	uint32_t attempt;
	uint8_t nonce[MESSAGE_NONCE_SIZE];
};

struct engine {
	struct engine_io io;
	struct engine_limits limits;
	struct word_table words;
	struct product *products;
	struct device *devices;
	struct timer_heap timers;
	uint64_t now; /* wall clock of the input in hand */
	uint64_t ticket, sequence;
	uint64_t durable; /* newest ticket that is stored */
	uint64_t begins;  /* newest ticket of a release that waits to be stored; 0: none */
	uint64_t update_count;

	/* What this input wants stored; texts stay valid until engine_flush(). */
	struct store_row *rows;
	size_t row_count, row_room;
	bool row_lost; /* there was no memory for one */
	struct update **dirty;
	size_t dirty_count, dirty_room;
	struct store_row *left; /* owned copies that an earlier flush could not hand over */
	size_t left_count;

	struct pending *pending; /* ring */
	uint32_t pending_first, pending_count, pending_room;
};

/* ---- save.c: rows, acks and grants ---- */

/* OTA_BUSY when the store cannot take what an input may write. Every input begins with it; it
 * also reads the clock. */
enum ota_err save_begin(struct engine *engine, struct ota_why *why) OTA_CHECKED;
/* A zeroed row to fill, or NULL when there is no memory. */
struct store_row *save_row(struct engine *engine, enum store_kind kind);
void save_product(struct engine *engine, const struct product *product);
void save_device(struct engine *engine, struct device *device);
void save_firmware(struct engine *engine, const struct firmware *firmware);
void save_release(struct engine *engine, struct release *release); /* and its event */
void save_update(struct engine *engine, struct update *update);	   /* at the next flush */
void save_device_event(struct engine *engine, const struct device *device);
/* A step of an update that the plugin set: history and event. */
void save_step(struct engine *engine, const struct update *update);
void save_report(struct engine *engine, const struct device *device, struct update *update,
		 const struct product *product, const struct report *report);
/* Hands all over; the ticket is engine->ticket. */
enum ota_err engine_flush(struct engine *engine, struct ota_why *why) OTA_CHECKED;
/* For inputs that have nobody to tell; what is left is tried again at the next flush. */
void save_end(struct engine *engine);
enum ota_err save_pending(struct engine *engine, const struct pending *pending,
			  struct ota_why *why) OTA_CHECKED;
void save_done(struct engine *engine);

/* ---- fleet.c: targets ---- */

struct fleet_answer {
	struct release *release; /* NULL: none */
	enum reason reason;	 /* why none */
};
struct fleet_answer fleet_target(const struct device *device);
/* Would this release suit the device, were it its target? REASON_NONE or why not. */
enum reason fleet_suits(const struct release *release, const struct device *device);
bool fleet_runs(const struct device *device, const struct firmware *firmware);
/* The release that is the device's by precedence, suited or not; `extra` (NULL: none) is taken
 * as if it ran. *ret_reason tells why there is none, or why not `extra`. */
struct release *fleet_choose(const struct device *device, const struct release *extra,
			     enum reason *ret_reason);
/* Recomputes the target, ends what does not fit it, begins what does. */
void fleet_recompute(struct engine *engine, struct device *device);
void fleet_sweep(struct engine *engine, struct product *product);
/* A slice of the sweep; true when the next may come soon. */
bool fleet_sweep_slice(struct engine *engine, struct product *product);

/* ---- roster.c: devices and products as tables ---- */

struct product *roster_product(const struct engine *engine, const char *name);
struct device *roster_device(const struct engine *engine, const char *id);
enum ota_err roster_add_product(struct engine *engine, const char *name,
				struct product **ret_product, struct ota_why *why) OTA_CHECKED;
enum ota_err roster_add_device(struct engine *engine, struct product *product, const char *id,
			       enum device_status status, struct device **ret_device,
			       struct ota_why *why) OTA_CHECKED;
/* Into another product, out of all groups. */
enum ota_err roster_move(struct engine *engine, struct device *device, struct product *product,
			 struct ota_why *why) OTA_CHECKED;
enum ota_err roster_add_group(struct product *product, const char *name,
			      struct group **ret_group, struct ota_why *why) OTA_CHECKED;
enum ota_err roster_join(struct device *device, struct group *group,
			 struct ota_why *why) OTA_CHECKED;
void roster_leave(struct device *device, struct group *group);
void roster_set_status(struct device *device, enum device_status status);
void roster_set_online(struct device *device, bool online);
void roster_set_runs(struct engine *engine, struct device *device, const char *version,
		     const struct digest *digest);
struct device_texts *roster_texts(struct device *device); /* NULL: no memory */
/* First index whose id is greater than `id` (or equal, with `or_equal`). */
uint32_t roster_find(const struct product *product, const char *id, bool or_equal);
void roster_done(struct engine *engine);

/* ---- attempt.c: one update's steps ---- */

struct update *attempt_new(struct engine *engine, struct device *device,
			   struct release *release);
void attempt_count(struct update *update, int sign);
/* Applies an event of the table and does what it says; false when it means nothing now. */
bool attempt_event(struct engine *engine, struct update *update, enum update_event event);
void attempt_set_state(struct engine *engine, struct update *update, enum update_state state);
/* Folds a report; true when the state or the evidence changed. */
bool attempt_fold(struct engine *engine, struct update *update, const struct report *report);
/* What hello says about the update in hand. */
void attempt_seen(struct engine *engine, struct update *update, uint32_t attempt,
		  enum update_state state);
void attempt_deadline(struct engine *engine, struct update *update);
void attempt_timer(struct engine *engine, struct update *update);
/* What follows a bad end: counted, and again by the rules of retry.h. */
void attempt_failed(struct engine *engine, struct update *update);
void attempt_set_error(struct update *update, enum ota_err err, enum update_state state,
		       uint32_t detail, const char *message);
bool attempt_again(struct engine *engine, struct update *update, enum update_event event);
void attempt_free(struct engine *engine, struct update *update);

/* ---- rollout.c: who starts now ---- */

/* REASON_NONE: it may start now. */
enum reason rollout_blocked(const struct engine *engine, const struct update *update);
/* Another update of the device is being installed or on trial. */
bool rollout_finishes_older(const struct update *update);
/* Starts the device's target, or resumes it, when it may. */
void rollout_consider(struct engine *engine, struct device *device);
uint32_t rollout_place_limit(const struct engine *engine, const struct release *release);
bool rollout_take_place(struct engine *engine, struct update *update);
void rollout_free_place(struct engine *engine, struct update *update);
void rollout_walk(struct release *release);
bool rollout_walk_slice(struct engine *engine, struct release *release);
bool rollout_fan_slice(struct engine *engine, struct release *release);
void rollout_cancel(struct engine *engine, const struct device *device,
		    const struct release *release, enum cancel_reason reason);
void rollout_send(struct engine *engine, const struct device *device, enum control_type type,
		  const struct release *release);

/* ---- conduct.c: a release's life ---- */

enum ota_err conduct_event(struct engine *engine, struct release *release,
			   enum release_event event, const char *reason,
			   struct ota_why *why) OTA_CHECKED;
/* The rows of this ticket could not be stored: a release among them never was. */
void conduct_unstored(struct engine *engine, uint64_t ticket);
void conduct_actives(struct product *product);
/* Time, waves, halts; true when more work waits. */
bool conduct_tick(struct engine *engine, struct release *release);
void conduct_set_reason(struct release *release, const char *reason);
enum ota_err conduct_add(struct product *product, struct release *release,
			 struct ota_why *why) OTA_CHECKED;
enum ota_err conduct_new(struct product *product, struct release_document *document,
			 const char *envelope, struct release **ret_release,
			 struct ota_why *why) OTA_CHECKED;
void conduct_free(struct release *release);

/* ---- shelf.c: firmware ---- */

enum ota_err shelf_add(struct product *product, struct firmware_document *document,
		       const struct digest *digest, bool development, const char *envelope,
		       const struct offer_pack *packs, uint32_t pack_count,
		       struct firmware **ret_firmware, struct ota_why *why) OTA_CHECKED;
void shelf_free(struct firmware *firmware);

/* Grows an array of pointers; false when there is no memory. */
bool engine_grow(void *place, uint32_t count, uint32_t *room, size_t size);
