/* The engine: every rule of who gets what, when, and what became of it.
 *
 * Pure logic over memory. It is told what happened (connected, hello, report, a command, a
 * tick) and acts through struct engine_io; it opens no file, reads no clock of its own, and is
 * called from one thread only. Each call does a bounded amount of work: what concerns many
 * devices goes on in slices at engine_tick(). Whatever must survive a power loss goes to the
 * store, and what a device may only hear afterwards (ack, grant) waits for engine_saved().
 *
 * Structs that queries hand out belong to the engine and are read-only for the caller. */
#pragma once

#include "plan.h"
#include "release.h"
#include "store.h"
#include "trust.h"
#include "update.h"

struct engine; /* opaque */

struct engine_io {
	void *ctx;
	uint64_t (*now_ms)(void *ctx); /* wall clock, Unix time; for what is shown and stored */
	uint64_t (*mono_ms)(void *ctx); /* never 0, never goes back; rates */
	uint32_t (*random)(void *ctx);
	struct store *store;

	/* Publishing; a failure is the caller's to log, the engine's deadlines repair it. */
	void (*send_offer)(void *ctx, const struct device *device,
			   const struct release *release, uint32_t attempt);
	/* grant, ack, cancel, revert, resume, rehello */
	void (*send_control)(void *ctx, const char *device, const struct control *control);
	/* The answer to hello: status, product, groups, shards, roots after hello's. */
	void (*send_welcome)(void *ctx, const struct device *device, const struct hello *hello);
	/* Publishes the offer (attempt 1) on one shard of the release's fleet topic: that of
	 * its group, else of its product. Who receives is decided by engine_may_deliver(). */
	void (*fan_out)(void *ctx, const struct release *release, uint32_t shard);
	/* For the events topic. The row is stored by the engine itself. */
	void (*event)(void *ctx, const struct store_report *event);
	/* A device was denied or removed: deny-list and kick. */
	void (*disconnect)(void *ctx, const char *device);
};

struct engine_limits {
	uint32_t shards;	 /* 256 */
	uint32_t slice;		 /* devices looked at in one call, at most: 500 */
	uint32_t max_concurrent; /* of a release that names none: 1000 */
	uint64_t rate;		 /* bytes a second of a release that names none; 0: no limit */
	uint32_t fan_out_least;	 /* fewer devices than this are told one by one: 64 */
	uint64_t fan_settle_ms;	 /* for the broker to deliver a fan-out, before those it did not
				    reach are told one by one: 300 */
	uint64_t state_ms[UPDATE_STATE_COUNT]; /* silence deadline of each state; 0: the default
						*/
	uint64_t retry_ms[3];		       /* 1, 5, 30 min */
	uint64_t penalty_ms;		       /* 24 h */
	uint64_t restart_ms;		       /* restarting for longer is overdue: 10 min */
	uint64_t gate_ms;		       /* a device may put off at most: 8 d */
	uint64_t grant_ms;  /* trials ungranted for so long hold the release: 60 s */
	uint64_t cancel_ms; /* unanswered cancel of a told device: 10 min */
};
void engine_limits_default(struct engine_limits *ret_limits);

enum ota_err engine_new(const struct engine_io *io, const struct engine_limits *limits,
			struct engine **ret_engine, struct ota_why *why) OTA_CHECKED;
void engine_free(struct engine *engine);
/* Reads everything from the store, recomputes targets. Before any other call. */
enum ota_err engine_load(struct engine *engine, struct ota_why *why) OTA_CHECKED;

/* ---- what devices do; `device` is the certificate's CN ---- */

void engine_connected(struct engine *engine, const char *device);
void engine_disconnected(struct engine *engine, const char *device);
/* Registers an unknown device (quarantined, or denied when the product is import_only), answers
 * welcome, then whatever is due. OTA_NOT_FOUND: no such product; OTA_WRONG_PRODUCT: known in
 * another one; OTA_BUSY: the store's queue is full, the device asks again. */
enum ota_err engine_hello(struct engine *engine, const char *device, const struct hello *hello,
			  struct ota_why *why) OTA_CHECKED;
/* Folds, stores, and acknowledges once stored. OTA_NOT_FOUND: unknown device, or a release that
 * the product never had (acknowledged, not stored). */
enum ota_err engine_report(struct engine *engine, const char *device,
			   const struct report *report, struct ota_why *why) OTA_CHECKED;
enum ota_err engine_consent(struct engine *engine, const char *device,
			    const struct consent *consent, struct ota_why *why) OTA_CHECKED;

/* READ check of one delivery of release `number` on a fleet topic to a subscribed device: O(1).
 * True at most once per attempt, and that marks the update offered. */
bool engine_may_deliver(struct engine *engine, const char *device, uint64_t number);
#define ENGINE_FETCH_REFUSED UINT32_MAX /* no update of the device wants chunks (any more) */
/* Before chunks are sent: 0 when `bytes` may go to the device now, else the milliseconds to
 * wait. Keeps max_concurrent and the byte rate, also when all come back at once after a
 * restart. */
uint32_t engine_fetch(struct engine *engine, const char *device, uint64_t bytes);
/* May this device receive the group's or (group NULL) the product's fleet topic at all? */
bool engine_may_subscribe(const struct engine *engine, const char *device, const char *product,
			  const char *group);

/* ---- time and the store ---- */

/* Slices, timers, waves. True when more work waits and the next tick should come soon. */
bool engine_tick(struct engine *engine);
/* To be called for every ticket that store->poll() hands back, whoever wrote it. True when a
 * release may begin now: engine_tick() should come soon. */
bool engine_saved(struct engine *engine, uint64_t ticket, enum ota_err err);
/* Ticket of the newest batch the engine has written; 0: none. A command's answer waits for it.
 */
uint64_t engine_ticket(const struct engine *engine);
/* The one sequence of reports, events and audit rows: counts up, never repeats. */
uint64_t engine_next_sequence(struct engine *engine);
/* The last number given out. */
uint64_t engine_last_sequence(const struct engine *engine);

/* ---- commands; the caller has authorised them. Each leaves all as it was when it fails. ----
 */

struct product_change {
	const char *title, *default_hardware; /* NULL: leave */
	const bool *import_only, *second_approval;
};
enum ota_err engine_product_create(struct engine *engine, const char *name,
				   const struct product_change *change,
				   struct ota_why *why) OTA_CHECKED;
enum ota_err engine_product_update(struct engine *engine, const char *name,
				   const struct product_change *change,
				   struct ota_why *why) OTA_CHECKED;

/* For commands over lists the caller counts these. */
enum engine_answer {
	ENGINE_CHANGED = 0, /* import: added */
	ENGINE_UNCHANGED,   /* import: existing */
	ENGINE_UNKNOWN,	    /* import: invalid */
};
enum ota_err engine_device_import(struct engine *engine, const char *product,
				  const char *device, enum engine_answer *ret_answer,
				  struct ota_why *why) OTA_CHECKED;
/* A `product` other than NULL moves the device there. */
enum ota_err engine_device_approve(struct engine *engine, const char *device,
				   const char *product, enum engine_answer *ret_answer,
				   struct ota_why *why) OTA_CHECKED;
enum ota_err engine_device_deny(struct engine *engine, const char *device,
				enum engine_answer *ret_answer,
				struct ota_why *why) OTA_CHECKED;
/* Decommissions: its updates become `removed`; should it come back it is denied. */
enum ota_err engine_device_remove(struct engine *engine, const char *device,
				  enum engine_answer *ret_answer,
				  struct ota_why *why) OTA_CHECKED;

struct device_change {
	const char *const *groups; /* NULL: leave; else all groups it shall be in */
	uint32_t group_count;
	const char *notes; /* NULL: leave */
	const char *pin; /* NULL: leave; "": unpin; else a version of the product's firmware */
	const bool *development, *updates_disabled;
};
enum ota_err engine_device_set(struct engine *engine, const char *device,
			       const struct device_change *change,
			       struct ota_why *why) OTA_CHECKED;

enum ota_err engine_group_create(struct engine *engine, const char *product, const char *group,
				 struct ota_why *why) OTA_CHECKED;
/* OTA_CONFLICT while an active release names it. Works through the product's devices a slice a
 * call: `after` begins as "" and is kept by the caller while *ret_more. */
enum ota_err engine_group_delete(struct engine *engine, const char *product, const char *group,
				 char after[NAME_SIZE], bool *ret_more,
				 struct ota_why *why) OTA_CHECKED;
enum ota_err engine_group_edit(struct engine *engine, const char *product, const char *group,
			       const char *device, bool member, enum engine_answer *ret_answer,
			       struct ota_why *why) OTA_CHECKED;

/* Takes *firmware over (zeroed) when it succeeds. OTA_VERSION_EXISTS: the version is there with
 * other bytes; the same bytes again only add packs. */
enum ota_err engine_firmware_add(struct engine *engine, struct trusted_firmware *firmware,
				 const char *envelope, const struct offer_pack *packs,
				 uint32_t pack_count, struct ota_why *why) OTA_CHECKED;
/* Adds packs to a version; at most MESSAGE_PACKS_MAX in all. */
enum ota_err engine_firmware_packs(struct engine *engine, const char *product,
				   const char *version, const struct offer_pack *packs,
				   uint32_t pack_count, struct ota_why *why) OTA_CHECKED;
/* OTA_CONFLICT while a release or a pin names it. */
enum ota_err engine_firmware_delete(struct engine *engine, const char *product,
				    const char *version, struct ota_why *why) OTA_CHECKED;

/* Takes *release over when it succeeds. `override_by` (NULL: nobody) is the admin who lets an
 * unproven version go to a fleet. OTA_NOT_FOUND: no such firmware or group; OTA_CONFLICT: not
 * the next number; OTA_NOT_PROVEN, OTA_RELEASE_EXPIRED, OTA_VERSION_NOT_ALLOWED (downgrade). A
 * release that reaches nobody is made, and its state's reason says so. */
enum ota_err engine_release_create(struct engine *engine, struct trusted_release *release,
				   const char *envelope, const char *override_by,
				   const struct release **ret_release,
				   struct ota_why *why) OTA_CHECKED;
/* Whom it would reach, and for everyone else why not. The same checks, nothing changed. Looks
 * at a slice of devices a call: *plan begins zeroed and is kept by the caller while *ret_more.
 */
enum ota_err engine_release_plan(struct engine *engine, const struct trusted_release *release,
				 struct plan *plan, bool *ret_more,
				 struct ota_why *why) OTA_CHECKED;

enum release_act {
	RELEASE_ACT_HOLD = 0,
	RELEASE_ACT_RESUME,
	RELEASE_ACT_ADVANCE, /* opens the next wave now */
	RELEASE_ACT_ABORT,
	RELEASE_ACT_APPROVE,
	RELEASE_ACT_COUNT,
};
/* OTA_CONFLICT when the release is not in a state for it, OTA_FORBIDDEN when an approver is the
 * one who released. */
enum ota_err engine_release_act(struct engine *engine, const char *product, uint64_t number,
				enum release_act act, const char *manager,
				const struct release **ret_release,
				struct ota_why *why) OTA_CHECKED;
/* A new round for those that failed, a slice of the product's devices a call: `after` begins as
 * "" and is kept by the caller while *ret_more. *retried counts up. */
enum ota_err engine_release_retry(struct engine *engine, const char *product, uint64_t number,
				  char after[NAME_SIZE], uint32_t *retried, bool *ret_more,
				  struct ota_why *why) OTA_CHECKED;
/* The same for one device. ENGINE_UNCHANGED: its update has not failed, or the release is not
 * its target any more; ENGINE_UNKNOWN: it has none. */
enum ota_err engine_device_retry(struct engine *engine, const char *device, uint64_t number,
				 enum engine_answer *ret_answer,
				 struct ota_why *why) OTA_CHECKED;

/* Sends one device back to its previous slot, as a release that was signed so allows.
 * OTA_CONFLICT when it was not, or when the device does not run what the release brought. */
enum ota_err engine_device_revert(struct engine *engine, const char *device, uint64_t number,
				  const struct update **ret_update,
				  struct ota_why *why) OTA_CHECKED;

/* ---- questions ---- */

const struct product *engine_product(const struct engine *engine, const char *name);
/* In order of names, after `after` (NULL: from the first); NULL at the end. */
const struct product *engine_product_after(const struct engine *engine, const char *after);
const struct device *engine_device(const struct engine *engine, const char *id);
const struct release *engine_release(const struct engine *engine, const char *product,
				     uint64_t number);

struct device_filter {
	const char *product, *group, *version, *search; /* NULL: any; search: part of the id */
	const enum device_status *status;
	const bool *online;
	enum update_state state; /* of the update in hand or the newest; UPDATE_NONE: any */
	const struct release *release; /* NULL: any; else it has an update of it, in `state` */
	const uint32_t *wave;	       /* NULL: any; else the wave of that update */
};
/* Devices that pass, ordered by product and id, after `after` ("": from the first), at most
 * `room`; with a product the order is that of ids. Looks at a slice of devices only: `after`
 * becomes the last that it has looked at, and *ret_more says that there are devices behind it,
 * also when it returns none. */
uint32_t engine_devices(const struct engine *engine, const struct device_filter *filter,
			char after[NAME_SIZE], const struct device **ret_devices, uint32_t room,
			bool *ret_more);

struct engine_version {
	char version[NAME_SIZE];
	struct digest digest;
	uint32_t devices;
};
/* What runs in a product's fleet, most frequent first; returns how many of `room` it filled. */
uint32_t engine_versions(const struct engine *engine, const char *product,
			 struct engine_version *ret_versions, uint32_t room);

/* How many devices of its product run this image. */
uint32_t engine_running(const struct engine *engine, const struct firmware *firmware);

struct engine_error {
	enum ota_err err;
	uint32_t count;
	const struct device *sample; /* one that has it; NULL: none in memory */
};
/* The errors of a release's updates that did not succeed, most frequent first. */
uint32_t engine_release_errors(const struct release *release, struct engine_error *ret_errors,
			       uint32_t room);

struct engine_totals {
	uint64_t products, devices, online, releases, updates, memory_bytes;
	uint64_t acks_waiting, grants_waiting, timers, sweeps;
};
void engine_totals(const struct engine *engine, struct engine_totals *ret_totals);

/* Why a device is or is not being updated: the rule's stable name and a sentence. */
struct engine_why {
	const char *rule;
	char sentence[256];
	const struct release *release;	 /* that targets it; NULL: none */
	const struct firmware *firmware; /* its target; NULL: none */
};
enum ota_err engine_why(const struct engine *engine, const char *device,
			struct engine_why *ret_answer, struct ota_why *why) OTA_CHECKED;
