/* The inputs: what devices do, what time does. */
#include "engine_core.h"

#include <stdlib.h>
#include <string.h>

#define SEEN_STORED_MS (3600u * 1000u) /* last-seen is stored when it moved by so much */

void engine_limits_default(struct engine_limits *ret_limits)
{
	*ret_limits = (struct engine_limits){
		.shards = 256,
		.slice = 500,
		.max_concurrent = 1000,
		.fan_out_least = 64,
		.fan_settle_ms = 300,
		.retry_ms = {60000, 300000, 1800000},
		.penalty_ms = 86400000,
		.restart_ms = 600000,
		.gate_ms = 8 * UINT64_C(86400000),
		.grant_ms = 60000,
		.cancel_ms = 600000,
	};
}

enum ota_err engine_new(const struct engine_io *io, const struct engine_limits *limits,
			struct engine **ret_engine, struct ota_why *why)
{
	struct engine *engine = calloc(1, sizeof(*engine));

	if (!engine)
		return ota_fail(why, OTA_OUT_OF_MEMORY, "the engine");
	engine->io = *io;
	engine->limits = *limits;
	*ret_engine = engine;
	return OTA_OK;
}

void engine_free(struct engine *engine)
{
	if (!engine)
		return;
	roster_done(engine);
	timer_done(&engine->timers);
	save_done(engine);
	free(engine);
}

uint64_t engine_ticket(const struct engine *engine)
{
	return engine->ticket;
}

uint64_t engine_next_sequence(struct engine *engine)
{
	return ++engine->sequence;
}

uint64_t engine_last_sequence(const struct engine *engine)
{
	return engine->sequence;
}

void engine_connected(struct engine *engine, const char *id)
{
	struct device *device = roster_device(engine, id);

	if (!device)
		return;
	roster_set_online(device, true);
	device->greeted = false;
}

void engine_disconnected(struct engine *engine, const char *id)
{
	struct device *device = roster_device(engine, id);
	struct update *update;

	if (!device || !device->online)
		return;
	engine->now = engine->io.now_ms(engine->io.ctx);
	roster_set_online(device, false);
	device->seen_ms = engine->now;
	update = device_update_in_hand(device);
	if (update && update_state_is_busy((enum update_state)update->state) &&
	    !(update->flags & UPDATE_CANCELING))
		attempt_deadline(engine, update);
	save_device(engine, device);
	save_device_event(engine, device);
	save_end(engine);
}

/* Known, or new and in quarantine. */
static enum ota_err meet(struct engine *engine, const char *id, const struct hello *hello,
			 struct device **ret_device, struct ota_why *why)
{
	struct device *device = roster_device(engine, id);
	struct product *product = roster_product(engine, hello->product);
	enum ota_err err;

	if (!product)
		return ota_fail(why, OTA_NOT_FOUND,
				"device '%s' names the product '%s', which is "
				"not there",
				id, hello->product);
	if (!device) {
		err = roster_add_device(engine, product, id,
					product->import_only ? DEVICE_DENIED
							     : DEVICE_QUARANTINED,
					&device, why);
		if (err)
			return err;
		device->first_ms = engine->now;
	}
	if (device->product != product)
		return ota_fail(why, OTA_WRONG_PRODUCT,
				"device '%s' is of product '%s' but says '%s'", id,
				device->product->name, hello->product);
	if (device->status == DEVICE_DECOMMISSIONED)
		roster_set_status(device, DEVICE_DENIED);
	*ret_device = device;
	return OTA_OK;
}

static void set_consent(struct engine *engine, struct device *device,
			const struct consent_gates *gates, const char *reason, uint64_t lease_s,
			const char *window)
{
	bool closed = !gates->download || !gates->install || !gates->restart;

	device->gate_download = gates->download;
	device->gate_install = gates->install;
	device->gate_restart = gates->restart;
	device->lease_ms = closed && lease_s ? engine->now + lease_s * 1000 : 0;
	if (!device->texts && !reason[0] && !window[0])
		return;
	if (!roster_texts(device))
		return;
	text_copy(device->texts->reason, sizeof(device->texts->reason), reason);
	text_copy(device->texts->window, sizeof(device->texts->window), window);
}

/* Takes over what it says; true when something worth storing changed. */
static bool learn(struct engine *engine, struct device *device, const struct hello *hello)
{
	struct image *ran = device->runs;
	bool changed = !device->seen_ms || engine->now - device->stored_ms > SEEN_STORED_MS;

	if (strcmp(device_hardware(device), hello->hardware) != 0) {
		word_drop(&engine->words, device->hardware);
		device->hardware = word_take(&engine->words, hello->hardware);
		changed = true;
	}
	roster_set_runs(engine, device, hello->version, &hello->digest);
	changed |= ran != device->runs || device->number != hello->number ||
		   device->floor != hello->floor || device->root != hello->root ||
		   device->slot_size != hello->slot_size;
	device->security_version = hello->security_version;
	device->floor = hello->floor;
	device->root = (uint32_t)hello->root;
	device->number = hello->number;
	device->slot_size = hello->slot_size;
	if (device->texts || hello->has_trial || !digest_is_zero(&hello->previous)) {
		if (roster_texts(device)) {
			device->texts->previous = hello->previous;
			memcpy(device->texts->nonce, hello->nonce, sizeof(hello->nonce));
		}
	}
	set_consent(engine, device, &hello->consent, hello->reason, hello->lease_s,
		    hello->window);
	device->seen_ms = device->hello_ms = engine->now;
	if (!device->first_ms)
		device->first_ms = engine->now;
	return changed;
}

/* The new version asks for its grant: only if it is the one that the release names. */
static void hear_trial(struct engine *engine, struct device *device, const struct hello *hello)
{
	struct release *release = product_release(device->product, hello->trial.release);
	struct update *update;

	if (!release || !fleet_runs(device, release->firmware))
		return;
	update = device_update(device, release);
	if (!update) /* long past, or the store was set back: it is believed all the same */
		update = attempt_new(engine, device, release);
	if (!update)
		return;
	if (update->attempt != hello->trial.attempt) {
		update->attempt = hello->trial.attempt;
		update->seq = 0;
	}
	if (update->state == UPDATE_TRIAL || update->state == UPDATE_SUCCEEDED)
		attempt_deadline(engine, update);
	attempt_event(engine, update, UPDATE_EVENT_TRIAL);
}

static void hear_update(struct engine *engine, struct device *device, const struct hello *hello)
{
	struct release *release;
	struct update *update;

	if (!hello->has_update)
		return;
	release = product_release(device->product, hello->update.release);
	update = release ? device_update(device, release) : NULL;
	if (!update)
		return;
	attempt_seen(engine, update, hello->update.attempt, hello->update.state);
	if (update_state_is_busy((enum update_state)update->state))
		attempt_deadline(engine, update);
	/* It was away when it was asked to stop, or took a cancelled one up again. */
	if (release_is_final(release->state) && hello->update.state < UPDATE_INSTALLING &&
	    device->target != release)
		rollout_cancel(engine, device, release,
			       release->state == RELEASE_ABORTED   ? CANCEL_ABORTED
			       : release->state == RELEASE_EXPIRED ? CANCEL_EXPIRED
								   : CANCEL_SUPERSEDED);
}

/* The release's offer was lost, or what failed may be tried again now that the device is back.
 */
static void greet_target(struct engine *engine, struct device *device,
			 const struct hello *hello, bool first)
{
	struct release *release = device->target;
	struct update *update = release ? device_update(device, release) : NULL;
	bool in_hand = hello->has_update && release &&
		       hello->update.release == release->document.number;

	if (!update)
		return;
	if (first)
		update->flags |= UPDATE_TOLD;
	if (update->state == UPDATE_SUCCEEDED && !hello->has_trial &&
	    hello->boot == BOOT_NORMAL && hello->number < release->document.number &&
	    !fleet_runs(device, release->firmware))
		attempt_again(engine, update, UPDATE_EVENT_REOPEN); /* it was made new */
	if ((update->flags & UPDATE_FRESH) && !in_hand && !hello->has_trial)
		attempt_again(engine, update, UPDATE_EVENT_RETRY);
	if (update->flags & UPDATE_REVERTING && update->state == UPDATE_SUCCEEDED &&
	    fleet_runs(device, release->firmware))
		rollout_send(engine, device, CONTROL_REVERT, release);
	/* Nothing shows that the offer survived the last connection: once more; but not while
	 * it finishes an older one. */
	if (first && !rollout_finishes_older(update) && update->state == UPDATE_OFFERED &&
	    !in_hand && !hello->has_trial && !fleet_runs(device, release->firmware))
		attempt_event(engine, update, UPDATE_EVENT_OFFER);
	else if ((update->state == UPDATE_OFFERED || update->state == UPDATE_DEFERRED) &&
		 in_hand && (update->flags & UPDATE_PLACE))
		rollout_send(engine, device, CONTROL_RESUME, release);
}

enum ota_err engine_hello(struct engine *engine, const char *id, const struct hello *hello,
			  struct ota_why *why)
{
	struct device *device = NULL;
	bool first, changed, was_online;
	enum ota_err err = save_begin(engine, why);

	if (!err)
		err = meet(engine, id, hello, &device, why);
	if (err)
		return err;
	first = !device->greeted;
	was_online = device->online;
	if (!was_online)
		roster_set_online(device, true);
	changed = learn(engine, device, hello);
	device->greeted = true;
	engine->io.send_welcome(engine->io.ctx, device, hello);
	if (changed)
		save_device(engine, device);
	if (changed || first)
		save_device_event(engine, device);
	if (hello->has_trial)
		hear_trial(engine, device, hello);
	if (device->status == DEVICE_APPROVED) {
		hear_update(engine, device, hello);
		device->target = fleet_target(device).release;
		if (device->target && first && !device_update(device, device->target))
			attempt_new(engine, device, device->target);
		greet_target(engine, device, hello, first);
	}
	fleet_recompute(engine, device);
	save_end(engine);
	return OTA_OK;
}

/* The newer offer that is out while an older update is still at work, if there is one. */
static struct update *offered_meanwhile(const struct device *device, const struct update *older)
{
	struct update *update = device->target ? device_update(device, device->target) : NULL;

	if (!update || update == older || update->state != UPDATE_OFFERED)
		return NULL;
	return update->flags >> UPDATE_RANK_SHIFT ? NULL
						  : update; /* it has shown that it knows */
}

static void fold(struct engine *engine, struct device *device, struct update *update,
		 const struct report *report)
{
	const struct image *ran = device->runs;

	if (!attempt_fold(engine, update, report)) {
		if (update_state_is_busy((enum update_state)update->state) &&
		    !(update->flags & UPDATE_CANCELING))
			attempt_deadline(engine, update);
	} else if (device->runs != ran || engine->now - device->stored_ms > SEEN_STORED_MS) {
		save_device(engine, device);
	}
}

enum ota_err engine_report(struct engine *engine, const char *id, const struct report *report,
			   struct ota_why *why)
{
	struct device *device = roster_device(engine, id);
	struct pending pending = {.device = device, .seq = report->seq};
	struct release *release;
	struct update *update;
	enum ota_err err = save_begin(engine, why);

	if (err)
		return err;
	if (!device)
		return ota_fail(why, OTA_NOT_FOUND, "a report of an unknown device '%s'", id);
	release = product_release(device->product, report->release);
	update = release ? device_update(device, release) : NULL;
	if (!release) {
		struct control control = {
			.v = 1, .type = CONTROL_ACK, .seqs = &pending.seq, .seq_count = 1};
		engine->io.send_control(engine->io.ctx, id, &control);
		return ota_fail(why, OTA_NOT_FOUND,
				"device '%s' reports on release %llu, which is not there", id,
				(unsigned long long)report->release);
	}
	device->seen_ms = engine->now;
	save_report(engine, device, update, device->product, report);
	if (update) {
		bool committed = update_state_is_committed((enum update_state)update->state);
		struct update *newer = offered_meanwhile(device, update);

		fold(engine, device, update, report);
		fleet_recompute(engine, device);
		/* It let that offer pass, having an installation to finish. */
		if (committed && newer && newer->state == UPDATE_OFFERED &&
		    update_state_is_final((enum update_state)update->state))
			attempt_event(engine, newer, UPDATE_EVENT_OFFER);
	}
	err = engine_flush(engine, why);
	if (err)
		return err;
	pending.ticket = engine->ticket;
	return save_pending(engine, &pending, why);
}

enum ota_err engine_consent(struct engine *engine, const char *id,
			    const struct consent *consent, struct ota_why *why)
{
	struct device *device = roster_device(engine, id);
	struct update *update;
	enum ota_err err = save_begin(engine, why);

	if (err)
		return err;
	if (!device)
		return ota_fail(why, OTA_NOT_FOUND, "consent of an unknown device '%s'", id);
	set_consent(engine, device, &consent->consent, consent->reason, consent->lease_s,
		    consent->window);
	device->seen_ms = engine->now;
	update = device->target ? device_update(device, device->target) : NULL;
	if (update) {
		if (!device->gate_download && update->state == UPDATE_OFFERED)
			rollout_free_place(engine, update);
		attempt_deadline(engine, update);
	}
	fleet_recompute(engine, device);
	save_device_event(engine, device);
	save_end(engine);
	return OTA_OK;
}

bool engine_may_subscribe(const struct engine *engine, const char *id, const char *product,
			  const char *group_name)
{
	const struct device *device = roster_device(engine, id);
	const struct group *group;

	if (!device || device->status != DEVICE_APPROVED ||
	    strcmp(device->product->name, product) != 0)
		return false;
	if (!group_name)
		return true;
	group = product_group(device->product, group_name);
	return group && device_is_member(device, group);
}

bool engine_tick(struct engine *engine)
{
	struct product *product, *next;
	struct update *update;
	struct ota_why why;
	bool more = false;

	if (save_begin(engine, &why) != OTA_OK)
		return false; /* the store is behind: whoever comes again at once finds it so */
	for (uint32_t most = engine->limits.slice; most; most--) {
		if (engine->row_count + 2 * engine->dirty_count + 32 >=
		    engine->io.store->room(engine->io.store->ctx))
			break;
		update = timer_take(&engine->timers, engine->now);
		if (!update)
			break;
		attempt_timer(engine, update);
	}
	HASH_ITER (hh, engine->products, product, next) {
		bool swept = product->sweep_left > 0;
		more |= fleet_sweep_slice(engine, product);
		for (uint32_t i = 0; i < product->release_count; i++)
			more |= conduct_tick(engine, product->releases[i]);
		more |= product->sweep_left > 0 && !swept; /* a release has just begun one */
	}
	save_end(engine);
	return more;
}
