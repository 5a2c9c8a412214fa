/* Which firmware is a device's target: one computed answer, never a queue (PRODUCT.md). A
 * release to the device itself comes first, then the groups' highest version, then the
 * product's; a pin only takes what carries the pinned version. A release to one device that is
 * done gives way to any newer one, so that a canary goes on with its fleet. */
#include "engine_core.h"
#include "version.h"

#include <string.h>

bool fleet_runs(const struct device *device, const struct firmware *firmware)
{
	return device->runs && digest_equal(&device->runs->digest, &firmware->image) &&
	       strcmp(device->runs->version, firmware->version) == 0;
}

static bool fits_hardware(const struct firmware *firmware, const struct device *device)
{
	if (!device->hardware)
		return true; /* it has never said; it will be asked at its hello */
	for (uint32_t i = 0; i < firmware->document.hardware_count; i++) {
		if (strcmp(firmware->document.hardware[i].text, device->hardware->text) == 0)
			return true;
	}
	return false;
}

enum reason fleet_suits(const struct release *release, const struct device *device)
{
	const struct firmware *firmware = release->firmware;
	const struct firmware_document *document = &firmware->document;

	if (firmware->development && !device->development)
		return REASON_DEVELOPMENT_KEY;
	if (!fits_hardware(firmware, device))
		return REASON_HARDWARE;
	if (fleet_runs(device, firmware))
		return REASON_NONE;
	if (device->slot_size && document->components[0].size > device->slot_size)
		return REASON_TOO_LARGE;
	if (document->security_version < device->floor)
		return REASON_FLOOR;
	if (device->runs) {
		const char *runs = device->runs->version;
		if (version_compare(firmware->version, runs) < 0 &&
		    !release->document.allow_downgrade)
			return REASON_DOWNGRADE;
		if (document->requires_version[0] &&
		    version_compare(runs, document->requires_version) < 0)
			return REASON_REQUIRES;
	}
	if (device->number > release->document.number)
		return REASON_STALE;
	return REASON_NONE;
}

static enum reason status_reason(const struct device *device)
{
	switch ((enum device_status)device->status) {
	case DEVICE_APPROVED:
		return REASON_NONE;
	case DEVICE_DENIED:
		return REASON_DENIED;
	case DEVICE_DECOMMISSIONED:
		return REASON_DECOMMISSIONED;
	case DEVICE_QUARANTINED:
	case DEVICE_STATUS_COUNT:
		return REASON_QUARANTINED;
	}
	return REASON_QUARANTINED;
}

/* True when b, which is the newer, takes precedence over a; both reach the device. */
static bool comes_before(const struct release *a, const struct release *b)
{
	enum release_target old = a->document.target.kind, new = b->document.target.kind;
	int order = (int)new - (int)old;

	if (old == RELEASE_TO_DEVICE && a->state == RELEASE_DONE)
		return true;
	if (!order && new == RELEASE_TO_GROUP)
		order = version_compare(b->firmware->version, a->firmware->version);
	return order >= 0;
}

/* May this release be the device's at all, whatever takes precedence? */
static enum reason is_open_to(const struct release *release, const struct device *device)
{
	enum release_target kind = release->document.target.kind;

	if (device->pin) {
		if (strcmp(release->firmware->version, device->pin->text) != 0)
			return REASON_PINNED;
	} else if (device->development && kind != RELEASE_TO_DEVICE) {
		return REASON_DEVELOPMENT;
	}
	if (!release_reaches(release, device))
		return kind == RELEASE_TO_GROUP ? REASON_OTHER_GROUP : REASON_OTHER_DEVICE;
	return REASON_NONE;
}

static struct release *choose(const struct device *device, struct release *const *releases,
			      uint32_t count, const struct release *extra)
{
	struct release *best = NULL;

	for (uint32_t i = 0; i < count; i++) {
		struct release *release = releases[i];
		bool usable = release_is_active(release) ||
			      (device->pin && release->state == RELEASE_SUPERSEDED);
		if (!usable || is_open_to(release, device) != REASON_NONE)
			continue;
		if (extra && release_same_target(release, extra))
			continue;
		if (!best || comes_before(best, release))
			best = release;
	}
	return best;
}

struct release *fleet_choose(const struct device *device, const struct release *extra,
			     enum reason *ret_reason)
{
	const struct product *product = device->product;
	struct release *best;

	*ret_reason = status_reason(device);
	if (*ret_reason)
		return NULL;
	if (extra) {
		*ret_reason = is_open_to(extra, device);
		if (*ret_reason)
			return NULL;
	}
	best = choose(device, product->actives, product->active_count, extra);
	if (!best && device->pin && !extra)
		best = choose(device, product->releases, product->release_count, NULL);
	if (extra && best && !comes_before(best, extra)) {
		*ret_reason = best->document.target.kind > extra->document.target.kind
				      ? REASON_GROUP_FIRST
				      : REASON_HIGHER_VERSION;
		return best;
	}
	if (!best && !extra)
		*ret_reason = device->pin	    ? REASON_PIN_WAITS
			      : device->development ? REASON_DEVELOPMENT
						    : REASON_NO_RELEASE;
	return best;
}

/* Ended by the plugin, not by what the device made of it: if it is targeted again, it begins
 * again. */
static bool may_reopen(const struct update *update)
{
	return update->state == UPDATE_REMOVED || update->state == UPDATE_SUPERSEDED ||
	       update->state == UPDATE_CANCELED;
}

struct fleet_answer fleet_target(const struct device *device)
{
	struct fleet_answer answer = {.reason = REASON_NONE};
	struct update *update;

	answer.release = fleet_choose(device, NULL, &answer.reason);
	if (!answer.release)
		return answer;
	update = device_update(device, answer.release);
	if (update && update->state != UPDATE_TARGETED && !may_reopen(update))
		return answer; /* what has begun is not questioned again */
	answer.reason = fleet_suits(answer.release, device);
	if (answer.reason)
		answer.release = NULL;
	return answer;
}

/* Ends an update of a release that is not the device's target (any more). */
static void end_other(struct engine *engine, struct device *device, struct update *update)
{
	enum update_event event = UPDATE_EVENT_REMOVE;

	if (device->status != DEVICE_APPROVED || device->product != update->release->product)
		event = UPDATE_EVENT_LEAVE;
	else if (update->release->state == RELEASE_ABORTED)
		event = UPDATE_EVENT_CANCEL;
	else if (update->release->state == RELEASE_EXPIRED)
		event = UPDATE_EVENT_EXPIRE;
	else if (update->release->state == RELEASE_SUPERSEDED ||
		 (device->target &&
		  device->target->document.number > update->release->document.number))
		event = UPDATE_EVENT_SUPERSEDE;
	if (event == UPDATE_EVENT_CANCEL && (update->flags & UPDATE_CANCELING))
		return;
	attempt_event(engine, update, event);
}

static void begin_target(struct engine *engine, struct device *device)
{
	struct release *release = device->target;
	struct update *update = device_update(device, release);

	if (!update)
		update = attempt_new(engine, device, release);
	if (!update)
		return;
	if (may_reopen(update))
		attempt_again(engine, update, UPDATE_EVENT_REOPEN);
	if (release_is_fast(release))
		update->flags |= UPDATE_TOLD;
	if (release->reverting && update->state == UPDATE_SUCCEEDED &&
	    !(update->flags & UPDATE_REVERTING))
		attempt_event(engine, update, UPDATE_EVENT_REVERT);
}

void fleet_recompute(struct engine *engine, struct device *device)
{
	struct update *update, *older;

	device->target = fleet_target(device).release;
	for (update = device->updates; update; update = older) {
		older = update->older;
		if (update->release == device->target)
			continue;
		if (!update_state_is_final((enum update_state)update->state))
			end_other(engine, device, update);
	}
	if (device->target)
		begin_target(engine, device);
	rollout_consider(engine, device);
}

void fleet_sweep(struct engine *engine, struct product *product)
{
	product->sweep_left = product->device_count;
	(void)fleet_sweep_slice(engine, product);
}

bool fleet_sweep_slice(struct engine *engine, struct product *product)
{
	const struct store *store = engine->io.store;
	size_t room = store->room(store->ctx);
	uint32_t most = engine->limits.slice;

	for (; product->sweep_left && most; most--, product->sweep_left--) {
		if (engine->row_count + 2 * engine->dirty_count + 32 >= room)
			return false; /* the store is behind; at the next tick */
		if (product->sweep_at >= product->device_count)
			product->sweep_at = 0;
		fleet_recompute(engine, product->devices[product->sweep_at++]);
	}
	return product->sweep_left > 0;
}
