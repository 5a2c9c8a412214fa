/* Commands on releases. */
#include "engine_core.h"

#include <stdio.h>
#include <string.h>

static enum ota_err check_number(const struct product *product,
				 const struct release_document *document, struct ota_why *why)
{
	uint64_t next = product_next_number(product);

	if (document->number == next)
		return OTA_OK;
	return ota_fail(why, OTA_CONFLICT, "the next release of '%s' is number %llu, not %llu",
			product->name, (unsigned long long)next,
			(unsigned long long)document->number);
}

static enum ota_err check_target(const struct engine *engine, const struct product *product,
				 const struct release_document *document, struct ota_why *why)
{
	const char *name = document->target.name;
	const struct device *device;

	switch (document->target.kind) {
	case RELEASE_TO_GROUP:
		if (!product_group(product, name))
			return ota_fail(why, OTA_NOT_FOUND, "no group '%s' of '%s'", name,
					product->name);
		break;
	case RELEASE_TO_DEVICE:
		device = roster_device(engine, name);
		if (!device || device->product != product)
			return ota_fail(why, OTA_NOT_FOUND, "no device '%s' of '%s'", name,
					product->name);
		break;
	case RELEASE_TO_PRODUCT:
		break;
	}
	for (uint32_t i = 0; i < document->wave_count; i++) {
		if (!document->waves[i].share &&
		    !product_group(product, document->waves[i].group))
			return ota_fail(why, OTA_NOT_FOUND, "wave %u: no group '%s' of '%s'",
					i + 1, document->waves[i].group, product->name);
	}
	return OTA_OK;
}

static enum ota_err check_firmware(const struct engine *engine, const struct product *product,
				   const struct release_document *document,
				   struct firmware **ret_firmware, struct ota_why *why)
{
	struct firmware *firmware = product_firmware_by_digest(product, &document->firmware);
	const struct device *device;

	if (!firmware)
		return ota_fail(
			why, OTA_NOT_FOUND,
			"the firmware that the release names is not on the shelf of '%s'",
			product->name);
	if (firmware->development) {
		device = document->target.kind == RELEASE_TO_DEVICE
				 ? roster_device(engine, document->target.name)
				 : NULL;
		if (!device || !device->development)
			return ota_fail(why, OTA_VERSION_NOT_ALLOWED,
					"version '%s' is signed for development devices only",
					firmware->version);
	}
	*ret_firmware = firmware;
	return OTA_OK;
}

static enum ota_err check_release(struct engine *engine, const struct trusted_release *trusted,
				  struct product **ret_product, struct firmware **ret_firmware,
				  struct ota_why *why)
{
	const struct release_document *document = &trusted->document;
	struct product *product = roster_product(engine, document->product);
	enum ota_err err;

	if (!product)
		return ota_fail(why, OTA_NOT_FOUND, "no product '%s'", document->product);
	err = check_number(product, document, why);
	if (!err)
		err = check_target(engine, product, document, why);
	if (!err)
		err = check_firmware(engine, product, document, ret_firmware, why);
	if (!err && engine->now / 1000 >= document->not_after)
		err = ota_fail(why, OTA_RELEASE_EXPIRED, "its not_after has passed");
	if (err)
		return err;
	*ret_product = product;
	return OTA_OK;
}

enum ota_err engine_release_create(struct engine *engine, struct trusted_release *trusted,
				   const char *envelope, const char *override_by,
				   const struct release **ret_release, struct ota_why *why)
{
	const struct release_document *document = &trusted->document;
	struct product *product = NULL;
	struct firmware *firmware = NULL;
	struct release *release;
	enum ota_err err = save_begin(engine, why);

	if (!err)
		err = check_release(engine, trusted, &product, &firmware, why);
	if (err)
		return err;
	if (document->target.kind != RELEASE_TO_DEVICE && !firmware->proven && !override_by)
		return ota_fail(
			why, OTA_NOT_PROVEN,
			"version '%s' has not succeeded on any device of '%s' yet: release "
			"it to one device first, or let an admin override",
			firmware->version, product->name);
	err = conduct_new(product, &trusted->document, envelope, &release, why);
	if (err)
		return err;
	err = conduct_add(product, release, why);
	if (err) {
		memset(&release->document, 0, sizeof(release->document));
		conduct_free(release);
		return err;
	}
	memset(&trusted->document, 0, sizeof(trusted->document)); /* it is the release's now */
	text_copy(release->manager, NAME_SIZE, trusted->manager);
	release->created_ms = engine->now;
	release->state = product->second_approval ? RELEASE_UNAPPROVED : RELEASE_SCHEDULED;
	save_release(engine, release);
	*ret_release = release;
	err = engine_flush(engine, why);
	release->ticket = engine->begins = engine->ticket;
	if (err)
		conduct_unstored(engine, release->ticket);
	return err; /* it begins at the first tick after it has been stored */
}

enum ota_err engine_release_plan(struct engine *engine, const struct trusted_release *trusted,
				 struct plan *plan, bool *ret_more, struct ota_why *why)
{
	struct release preview = {.document = trusted->document};
	struct product *product = NULL;
	struct firmware *firmware = NULL;
	enum ota_err err;

	engine->now = engine->io.now_ms(engine->io.ctx);
	err = check_release(engine, trusted, &product, &firmware, why);
	if (err)
		return err;
	preview.product = product;
	preview.firmware = firmware;
	preview.state = RELEASE_RUNNING;
	preview.wave_count = trusted->document.wave_count ? trusted->document.wave_count : 1;
	if (trusted->document.target.kind == RELEASE_TO_GROUP)
		preview.group = product_group(product, trusted->document.target.name);
	*ret_more = plan_go_on(plan, &preview, engine->limits.slice);
	return OTA_OK;
}

/* What a resume has accepted and is now tried again is not accepted twice. */
static void unforgive(struct release *release)
{
	for (uint32_t i = 0; i < release->wave_count; i++) {
		struct release_tally *tally = &release->tallies[i];
		uint32_t forgiven = tally->forgiven, bad;
		tally->forgiven = 0;
		bad = wave_sum(tally).bad;
		tally->forgiven = forgiven < bad ? forgiven : bad;
	}
}

static bool retry_one(struct engine *engine, struct update *update)
{
	if (!update_state_is_bad((enum update_state)update->state) ||
	    !attempt_again(engine, update, UPDATE_EVENT_RETRY))
		return false; /* the last: the release is not its target any more */
	update->failures = 0;
	if (update->round < UINT8_MAX)
		update->round++;
	return true;
}

static enum ota_err retry_begin(struct engine *engine, const struct product *product,
				uint64_t number, struct release **ret_release,
				struct release_step *ret_step, struct ota_why *why)
{
	struct release *release = product ? product_release(product, number) : NULL;
	enum ota_err err = save_begin(engine, why);

	if (err)
		return err;
	if (!release)
		return ota_fail(why, OTA_NOT_FOUND, "no release %llu",
				(unsigned long long)number);
	if (!release_next(release->state, RELEASE_EVENT_RETRY, ret_step))
		return ota_fail(why, OTA_CONFLICT, "release %llu is %s",
				(unsigned long long)number,
				release_state_names[release->state]);
	*ret_release = release;
	return OTA_OK;
}

static enum ota_err retry_end(struct engine *engine, struct release *release,
			      const struct release_step *step, struct ota_why *why)
{
	unforgive(release);
	release->state = step->next;
	conduct_actives(release->product);
	rollout_walk(release);
	save_release(engine, release);
	return engine_flush(engine, why);
}

enum ota_err engine_release_retry(struct engine *engine, const char *product_name,
				  uint64_t number, char after[NAME_SIZE], uint32_t *retried,
				  bool *ret_more, struct ota_why *why)
{
	const struct product *product = roster_product(engine, product_name);
	struct release *release = NULL;
	struct release_step step;
	uint32_t at, left = engine->limits.slice, before = *retried;
	enum ota_err err = retry_begin(engine, product, number, &release, &step, why);

	if (err)
		return err;
	for (at = roster_find(product, after, false); at < product->device_count && left;
	     at++, left--) {
		const struct device *device = product->devices[at];
		struct update *update = device_update(device, release);
		text_copy(after, NAME_SIZE, device->id);
		*retried += update && retry_one(engine, update);
	}
	*ret_more = at < product->device_count;
	if (*retried > before)
		return retry_end(engine, release, &step, why);
	if (*retried || *ret_more)
		return engine_flush(engine, why);
	return ota_fail(why, OTA_NO_TARGETS,
			"no update of release %llu has failed and is still its target",
			(unsigned long long)number);
}

enum ota_err engine_device_retry(struct engine *engine, const char *id, uint64_t number,
				 enum engine_answer *ret_answer, struct ota_why *why)
{
	const struct device *device = roster_device(engine, id);
	struct release *release = NULL;
	struct release_step step;
	struct update *update;
	enum ota_err err = retry_begin(engine, device ? device->product : NULL, number,
				       &release, &step, why);

	if (err)
		return err;
	update = device_update(device, release);
	*ret_answer = update ? ENGINE_UNCHANGED : ENGINE_UNKNOWN;
	if (!update || !retry_one(engine, update))
		return engine_flush(engine, why);
	*ret_answer = ENGINE_CHANGED;
	return retry_end(engine, release, &step, why);
}

static enum ota_err approve(struct engine *engine, struct release *release, const char *manager,
			    struct ota_why *why)
{
	enum ota_err err;

	if (strcmp(release->manager, manager) == 0)
		return ota_fail(why, OTA_FORBIDDEN,
				"'%s' released it: another person has to approve", manager);
	err = conduct_event(engine, release, RELEASE_EVENT_APPROVE, NULL, why);
	if (err)
		return err;
	text_copy(release->approver, NAME_SIZE, manager);
	save_release(engine, release);
	conduct_tick(engine, release);
	return OTA_OK;
}

static enum ota_err perform(struct engine *engine, struct release *release,
			    enum release_act act, const char *manager, struct ota_why *why)
{
	char reason[NAME_SIZE + 32];

	switch (act) {
	case RELEASE_ACT_HOLD:
		snprintf(reason, sizeof(reason), "held by '%s'", manager);
		return conduct_event(engine, release, RELEASE_EVENT_HOLD, reason, why);
	case RELEASE_ACT_RESUME:
		return conduct_event(engine, release, RELEASE_EVENT_RESUME, NULL, why);
	case RELEASE_ACT_ADVANCE:
		return conduct_event(engine, release, RELEASE_EVENT_ADVANCE, NULL, why);
	case RELEASE_ACT_ABORT:
		snprintf(reason, sizeof(reason), "aborted by '%s'", manager);
		return conduct_event(engine, release, RELEASE_EVENT_ABORT, reason, why);
	case RELEASE_ACT_APPROVE:
		return approve(engine, release, manager, why);
	case RELEASE_ACT_COUNT:
		break;
	}
	return ota_fail(why, OTA_BAD_REQUEST, "no such act");
}

enum ota_err engine_release_act(struct engine *engine, const char *product_name,
				uint64_t number, enum release_act act, const char *manager,
				const struct release **ret_release, struct ota_why *why)
{
	struct product *product = roster_product(engine, product_name);
	struct release *release = product ? product_release(product, number) : NULL;
	enum ota_err err = save_begin(engine, why);

	if (err)
		return err;
	if (!release)
		return ota_fail(why, OTA_NOT_FOUND, "no release %llu of '%s'",
				(unsigned long long)number, product_name);
	err = perform(engine, release, act, manager, why);
	if (err) {
		save_end(engine);
		return err;
	}
	*ret_release = release;
	return engine_flush(engine, why);
}

enum ota_err engine_device_revert(struct engine *engine, const char *device_id, uint64_t number,
				  const struct update **ret_update, struct ota_why *why)
{
	struct device *device = roster_device(engine, device_id);
	struct release *release = device ? product_release(device->product, number) : NULL;
	struct update *update = release ? device_update(device, release) : NULL;
	enum ota_err err = save_begin(engine, why);

	if (err)
		return err;
	if (!update)
		err = ota_fail(why, OTA_NOT_FOUND, "'%s' has no update of release %llu",
			       device_id, (unsigned long long)number);
	else if (!release->document.rollback_on_halt)
		err = ota_fail(why, OTA_CONFLICT,
			       "release %llu was not signed with rollback_on_halt: the device "
			       "would not obey",
			       (unsigned long long)number);
	else if (update->state != UPDATE_SUCCEEDED || !device->runs ||
		 !digest_equal(&device->runs->digest, &release->firmware->image))
		err = ota_fail(why, OTA_CONFLICT, "'%s' does not run what release %llu brought",
			       device_id, (unsigned long long)number);
	if (err) {
		save_end(engine);
		return err;
	}
	attempt_event(engine, update, UPDATE_EVENT_REVERT);
	*ret_update = update;
	return engine_flush(engine, why);
}
