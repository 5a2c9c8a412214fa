/* Who starts now: the mode table, the waves, the places and the byte rate. A place is held from
 * the offer to the end of the download; the chunk service asks engine_fetch(), so the limit
 * holds whatever a device believes. */
#include "engine_core.h"

#include <string.h>

#define RATE_BURST_MS 1000u /* what may be saved up, of the byte rate */
#define PLACE_WAIT_MS 2000u /* a device without a place asks again after 2 to 4 s */
#define FAN_REACH     100u  /* devices that one slice of the fan-out reaches, about */

uint32_t rollout_place_limit(const struct engine *engine, const struct release *release)
{
	return release->document.max_concurrent ? release->document.max_concurrent
						: engine->limits.max_concurrent;
}

bool rollout_take_place(struct engine *engine, struct update *update)
{
	struct release *release = update->release;

	if (update->flags & UPDATE_PLACE)
		return true;
	if (release->places >= rollout_place_limit(engine, release)) {
		release->starved = true;
		return false;
	}
	release->places++;
	update->flags |= UPDATE_PLACE;
	save_update(engine, update);
	return true;
}

void rollout_free_place(struct engine *engine, struct update *update)
{
	struct release *release = update->release;

	if (!(update->flags & UPDATE_PLACE))
		return;
	update->flags &= (uint16_t)~UPDATE_PLACE;
	release->places--;
	save_update(engine, update);
	if (release->starved && !release->walk_left)
		rollout_walk(release);
}

void rollout_walk(struct release *release)
{
	release->walk_left = release->product->device_count;
	release->starved = false;
}

static enum reason release_reason(const struct update *update)
{
	const struct release *release = update->release;

	switch (release->state) {
	case RELEASE_UNAPPROVED:
		return REASON_UNAPPROVED;
	case RELEASE_SCHEDULED:
		return REASON_SCHEDULED;
	case RELEASE_HELD:
		return REASON_HELD;
	case RELEASE_HALTED:
		return REASON_HALTED;
	case RELEASE_RUNNING:
	case RELEASE_DONE:
		return update->wave > release->wave ? REASON_WAVE : REASON_NONE;
	case RELEASE_SUPERSEDED:
		return update->device->pin ? REASON_NONE : REASON_NO_RELEASE;
	case RELEASE_ABORTED:
	case RELEASE_EXPIRED:
	case RELEASE_STATE_COUNT:
		break;
	}
	return REASON_NO_RELEASE;
}

bool rollout_finishes_older(const struct update *update)
{
	for (const struct update *other = update->device->updates; other;
	     other = other->older) {
		if (other != update &&
		    update_state_is_committed((enum update_state)other->state))
			return true;
	}
	return false;
}

/* The device's own gates and the places, in this order. */
static enum reason moment_reason(const struct engine *engine, const struct update *update)
{
	const struct device *device = update->device;
	const struct release *release = update->release;

	if (!device->online || !device->greeted)
		return REASON_OFFLINE;
	if (!(update->flags & UPDATE_TOLD))
		return REASON_NEXT_HELLO;
	if (!release->document.force) {
		if (device->updates_disabled)
			return REASON_DISABLED;
		if (!device->gate_download)
			return REASON_CONSENT;
	}
	if (!(update->flags & UPDATE_PLACE) &&
	    release->places >= rollout_place_limit(engine, release))
		return REASON_PLACE;
	return REASON_NONE;
}

enum reason rollout_blocked(const struct engine *engine, const struct update *update)
{
	enum update_state state = (enum update_state)update->state;
	enum reason reason;

	if (state == UPDATE_SUCCEEDED || state == UPDATE_ALREADY_INSTALLED)
		return REASON_ON_TARGET;
	if (update->flags & UPDATE_PENALTY)
		return REASON_PENALTY;
	if (update->flags & (UPDATE_WAITING | UPDATE_FRESH))
		return REASON_RETRY;
	if (update_state_is_final(state))
		return REASON_GIVEN_UP;
	if (state > UPDATE_DEFERRED)
		return REASON_IN_HAND;
	reason = release_reason(update);
	if (!reason && rollout_finishes_older(update))
		reason = REASON_BUSY_OLDER;
	return reason ? reason : moment_reason(engine, update);
}

void rollout_send(struct engine *engine, const struct device *device, enum control_type type,
		  const struct release *release)
{
	struct control control = {.v = 1, .type = type};

	if (!device->online)
		return;
	control.release = release ? release->document.number : 0;
	engine->io.send_control(engine->io.ctx, device->id, &control);
}

void rollout_cancel(struct engine *engine, const struct device *device,
		    const struct release *release, enum cancel_reason reason)
{
	struct control control = {.v = 1, .type = CONTROL_CANCEL, .reason = reason};

	if (!device->online)
		return;
	control.release = release->document.number;
	engine->io.send_control(engine->io.ctx, device->id, &control);
}

/* It runs the target: nothing is sent. */
static bool is_already_there(const struct update *update)
{
	return (update->state == UPDATE_TARGETED || update->state == UPDATE_OFFERED) &&
	       (update->flags & UPDATE_TOLD) &&
	       fleet_runs(update->device, update->release->firmware);
}

void rollout_consider(struct engine *engine, struct device *device)
{
	struct update *update = device->target ? device_update(device, device->target) : NULL;
	enum reason reason;

	if (!update)
		return;
	if (is_already_there(update)) {
		attempt_event(engine, update, UPDATE_EVENT_ALREADY);
		save_step(engine, update);
		return;
	}
	reason = rollout_blocked(engine, update);
	if (reason != REASON_NONE && reason != REASON_CONSENT && reason != REASON_PLACE)
		return;
	if (update->state == UPDATE_TARGETED && update->release->fanning &&
	    update->attempt == 0)
		return; /* its fleet topic is about to reach it */
	if (reason == REASON_CONSENT) {
		/* It may know, and choose its moment; it holds no place until its gate opens.
		 */
		if (update->state == UPDATE_TARGETED)
			attempt_event(engine, update, UPDATE_EVENT_OFFER);
		return;
	}
	if (update->state != UPDATE_TARGETED && (update->flags & UPDATE_PLACE))
		return; /* it has been told, and may */
	if (!rollout_take_place(engine, update))
		return; /* it is looked for again when one is free */
	if (update->state == UPDATE_TARGETED)
		attempt_event(engine, update, UPDATE_EVENT_OFFER);
	else
		rollout_send(engine, device, CONTROL_RESUME, update->release);
}

bool rollout_walk_slice(struct engine *engine, struct release *release)
{
	struct product *product = release->product;
	const struct store *store = engine->io.store;
	size_t room = store->room(store->ctx);

	if (release->fanning)
		return false; /* rollout_fan_slice() says when there is more to do */
	for (uint32_t most = engine->limits.slice; most && release->walk_left; most--) {
		struct device *device;
		if (engine->row_count + 2 * engine->dirty_count + 32 >= room)
			return false; /* the store is behind; at the next tick */
		if (release->places >= rollout_place_limit(engine, release)) {
			release->starved = true; /* goes on when a place is free */
			release->walk_left = 0;
			return false;
		}
		if (release->walk_at >= product->device_count)
			release->walk_at = 0;
		device = product->devices[release->walk_at++];
		release->walk_left--;
		if (device->target == release)
			rollout_consider(engine, device);
	}
	return release->walk_left > 0;
}

/* The broker delivers a slice in one go, and serves nobody else meanwhile: so many fleet topics
 * as reach FAN_REACH devices. */
static uint32_t fan_slice(const struct engine *engine, const struct release *release)
{
	uint64_t reach = release->product->online_count ? release->product->online_count : 1;
	uint64_t shards = (uint64_t)engine->limits.shards * FAN_REACH / reach;

	return shards < 1			? 1
	       : shards > engine->limits.shards ? engine->limits.shards
						: (uint32_t)shards;
}

bool rollout_fan_slice(struct engine *engine, struct release *release)
{
	if (!release->fanning || release->product->sweep_left)
		return false;
	for (uint32_t most = fan_slice(engine, release);
	     most && release->fan_shard < engine->limits.shards; most--)
		engine->io.fan_out(engine->io.ctx, release, release->fan_shard++);
	if (release->fan_shard < engine->limits.shards)
		return true;
	/* The broker delivers what it was given only after this call. Who asks too early finds
	 * everyone untold, tells all one by one, and the fan-out reaches nobody. */
	if (!release->fan_ms)
		release->fan_ms = engine->now;
	if (engine->now - release->fan_ms < engine->limits.fan_settle_ms)
		return false;
	release->fanning = false;
	rollout_walk(release); /* those whom the fleet topic did not reach */
	return true;
}

bool engine_may_deliver(struct engine *engine, const char *id, uint64_t number)
{
	struct device *device = roster_device(engine, id);
	struct update *update;

	if (!device || !device->target || device->target->document.number != number)
		return false;
	update = device_update(device, device->target);
	if (!update || update->state != UPDATE_TARGETED || update->attempt != 0)
		return false;
	engine->now = engine->io.now_ms(engine->io.ctx);
	if (is_already_there(update) || rollout_blocked(engine, update) != REASON_NONE)
		return false;
	if (!rollout_take_place(engine, update))
		return false;
	update->attempt = 1;
	attempt_set_state(engine, update, UPDATE_OFFERED);
	save_step(engine, update);
	return true;
}

/* The update that chunks are asked for: the newest that has been offered and is not past it. */
static struct update *fetching(const struct device *device)
{
	for (struct update *update = device->updates; update; update = update->older) {
		if (update->state >= UPDATE_OFFERED && update->state <= UPDATE_INSTALLED &&
		    !(update->flags & UPDATE_CANCELING))
			return update;
	}
	return NULL;
}

static uint32_t rate_wait(struct engine *engine, struct release *release, uint64_t bytes)
{
	uint64_t rate = release->document.rate ? release->document.rate : engine->limits.rate;
	uint64_t now = engine->io.mono_ms(engine->io.ctx), passed, burst;

	if (!rate)
		return 0;
	burst = rate * RATE_BURST_MS / 1000;
	if (burst < bytes)
		burst = bytes;
	passed = release->rate_ms ? now - release->rate_ms : RATE_BURST_MS;
	if (passed > RATE_BURST_MS * 60)
		passed = RATE_BURST_MS * 60;
	release->rate_bytes += rate * passed / 1000;
	if (release->rate_bytes > burst)
		release->rate_bytes = burst;
	if (rate * passed / 1000 || !release->rate_ms)
		release->rate_ms = now;
	if (release->rate_bytes < bytes) {
		uint64_t wait = (bytes - release->rate_bytes) * 1000 / rate + 1;
		return wait > 60000 ? 60000 : (uint32_t)wait;
	}
	release->rate_bytes -= bytes;
	return 0;
}

uint32_t engine_fetch(struct engine *engine, const char *id, uint64_t bytes)
{
	struct device *device = roster_device(engine, id);
	struct update *update = device ? fetching(device) : NULL;
	uint64_t silence;
	uint32_t wait;

	if (!update)
		return ENGINE_FETCH_REFUSED;
	engine->now = engine->io.now_ms(engine->io.ctx);
	if (!rollout_take_place(engine, update))
		return PLACE_WAIT_MS + engine->io.random(engine->io.ctx) % PLACE_WAIT_MS;
	wait = rate_wait(engine, update->release, bytes);
	/* A device that asks is not silent, however slow its link; the heap is not moved for
	 * every chunk. */
	silence = update->release->document.thresholds.silence_s * 1000;
	if (update->due_ms && update->due_ms < engine->now + silence / 2)
		attempt_deadline(engine, update);
	return wait;
}
