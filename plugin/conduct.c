/* A release's life: started, opened wave by wave, held, halted, ended. */
#include "engine_core.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define REASON_TEXT_MAX 256u

void conduct_set_reason(struct release *release, const char *reason)
{
	char *copy = reason && reason[0] ? strdup(reason) : NULL;

	free(release->reason);
	release->reason = copy;
}

void conduct_actives(struct product *product)
{
	product->active_count = 0;
	for (uint32_t i = 0; i < product->release_count; i++) {
		struct release *release = product->releases[i];
		if (!release_is_active(release))
			continue;
		if (!engine_grow(&product->actives, product->active_count,
				 &product->active_room, sizeof(*product->actives)))
			return;
		product->actives[product->active_count++] = release;
	}
}

enum ota_err conduct_new(struct product *product, struct release_document *document,
			 const char *envelope, struct release **ret_release,
			 struct ota_why *why)
{
	struct release *release = calloc(1, sizeof(*release));
	uint32_t waves = document->wave_count ? document->wave_count : 1;

	if (release) {
		release->tallies = calloc(waves, sizeof(*release->tallies));
		release->envelope = strdup(envelope);
	}
	if (!release || !release->tallies || !release->envelope) {
		conduct_free(release);
		return ota_fail(why, OTA_OUT_OF_MEMORY, "release %llu",
				(unsigned long long)document->number);
	}
	release->wave_count = waves;
	release->product = product;
	release->firmware = product_firmware_by_digest(product, &document->firmware);
	if (document->target.kind == RELEASE_TO_GROUP)
		release->group = product_group(product, document->target.name);
	release->document = *document;
	if (!document->has_thresholds)
		release->document.thresholds = document_thresholds_default;
	*ret_release = release;
	return OTA_OK;
}

enum ota_err conduct_add(struct product *product, struct release *release, struct ota_why *why)
{
	if (!engine_grow(&product->releases, product->release_count, &product->release_room,
			 sizeof(*product->releases)))
		return ota_fail(why, OTA_OUT_OF_MEMORY, "release %llu",
				(unsigned long long)release->document.number);
	product->releases[product->release_count++] = release;
	return OTA_OK;
}

void conduct_free(struct release *release)
{
	if (!release)
		return;
	release_done(&release->document);
	free(release->tallies);
	free(release->errors);
	free(release->envelope);
	free(release->reason);
	free(release);
}

static void open_wave(struct engine *engine, struct release *release, uint32_t wave)
{
	uint32_t waiting = release->tallies[wave].counts[UPDATE_TARGETED];

	release->wave = wave;
	release->wave_ms = engine->now;
	release->bake_ms = 0;
	release->fan_shard = 0;
	release->fan_ms = 0;
	release->fanning = release_is_fast(release) &&
			   release->document.target.kind != RELEASE_TO_DEVICE &&
			   waiting >= engine->limits.fan_out_least &&
			   rollout_place_limit(engine, release) >=
				   release->places + engine->limits.fan_out_least;
	rollout_walk(release);
}

static void end_fan(struct release *release)
{
	release->fanning = false;
	release->walk_left = 0;
}

/* The newer for the same target ends the older ones. */
static void supersede_older(struct engine *engine, const struct release *newer)
{
	struct product *product = newer->product;
	char reason[REASON_TEXT_MAX];

	snprintf(reason, sizeof(reason), "release %llu has the same target",
		 (unsigned long long)newer->document.number);
	for (uint32_t i = 0; i < product->release_count; i++) {
		struct release *older = product->releases[i];
		struct release_step step;
		if (older->document.number >= newer->document.number ||
		    !release_same_target(older, newer) ||
		    !release_next(older->state, RELEASE_EVENT_SUPERSEDE, &step))
			continue;
		older->state = step.next;
		conduct_set_reason(older, reason);
		end_fan(older);
		save_release(engine, older);
	}
}

static void say_whom_it_reaches(struct release *release)
{
	const struct product *product = release->product;
	char reason[REASON_TEXT_MAX];

	snprintf(reason, sizeof(reason),
		 "it reaches no device now: of the product's %u devices (%u approved, "
		 "%u quarantined, %u denied) none is targeted; the dry run names each reason",
		 product->device_count, product->status_counts[DEVICE_APPROVED],
		 product->status_counts[DEVICE_QUARANTINED],
		 product->status_counts[DEVICE_DENIED]);
	conduct_set_reason(release, reason);
	release->reaches_nobody = true;
}

/* Everyone's target is known: the first wave opens. */
static void open_first(struct engine *engine, struct release *release)
{
	open_wave(engine, release, 0);
	if (release_total(release) == 0)
		say_whom_it_reaches(release);
}

static void begin(struct engine *engine, struct release *release)
{
	uint32_t reach =
		release->group ? release->group->member_count : release->product->device_count;

	release->started_ms = engine->now;
	supersede_older(engine, release);
	conduct_actives(release->product);
	/* While targets are recomputed nobody starts alone if the fleet topic will do. */
	release->fanning = release_is_fast(release) &&
			   release->document.target.kind != RELEASE_TO_DEVICE &&
			   reach >= engine->limits.fan_out_least;
	fleet_sweep(engine, release->product);
	if (!release->product->sweep_left)
		open_first(engine, release);
}

static void forgive(struct release *release)
{
	for (uint32_t i = 0; i < release->wave_count; i++) {
		struct release_tally *tally = &release->tallies[i];
		tally->forgiven = 0;
		tally->forgiven = wave_sum(tally).bad;
	}
}

static void act(struct engine *engine, struct release *release, enum release_action action)
{
	struct device *device;

	switch (action) {
	case RELEASE_DO_START:
		begin(engine, release);
		break;
	case RELEASE_DO_FORGIVE:
		forgive(release);
		release->reverting = false;
		rollout_walk(release);
		break;
	case RELEASE_DO_WALK:
		rollout_walk(release);
		break;
	case RELEASE_DO_OPEN:
		open_wave(engine, release, release->wave + 1);
		break;
	case RELEASE_DO_ROLLBACK:
		end_fan(release);
		if (release->document.rollback_on_halt) {
			release->reverting = true;
			fleet_sweep(engine, release->product);
		}
		break;
	case RELEASE_DO_YIELD:
		device = release->document.target.kind == RELEASE_TO_DEVICE
				 ? roster_device(engine, release->document.target.name)
				 : NULL;
		if (device)
			fleet_recompute(engine, device);
		break;
	case RELEASE_DO_SWEEP:
		end_fan(release);
		conduct_actives(release->product);
		fleet_sweep(engine, release->product);
		break;
	case RELEASE_DO_NOTHING:
	case RELEASE_DO_RETRY: /* engine_release_retry() knows for whom */
	case RELEASE_DO_COUNT:
		break;
	}
}

enum ota_err conduct_event(struct engine *engine, struct release *release,
			   enum release_event event, const char *reason, struct ota_why *why)
{
	struct release_step step;
	bool was_active = release_is_active(release);

	if (!release_next(release->state, event, &step))
		return ota_fail(why, OTA_CONFLICT, "release %llu is %s",
				(unsigned long long)release->document.number,
				release_state_names[release->state]);
	if (step.action == RELEASE_DO_OPEN && release->wave + 1 >= release->wave_count)
		return ota_fail(why, OTA_CONFLICT, "the last wave of release %llu is open",
				(unsigned long long)release->document.number);
	release->state = step.next;
	conduct_set_reason(release, reason);
	if (release_is_active(release) != was_active)
		conduct_actives(release->product);
	act(engine, release, step.action);
	save_release(engine, release);
	return OTA_OK;
}

static void try_event(struct engine *engine, struct release *release, enum release_event event,
		      const char *reason)
{
	struct ota_why why;

	if (conduct_event(engine, release, event, reason, &why) != OTA_OK)
		return; /* the callers look at the state first */
}

static void halt(struct engine *engine, struct release *release, uint32_t wave)
{
	struct wave_sums sums = wave_sum(&release->tallies[wave]);
	char reason[REASON_TEXT_MAX];

	snprintf(
		reason, sizeof(reason),
		"wave %u: %u of %u ended updates failed (%u restarting for too long), more than "
		"%u and %u.%02u %%",
		wave + 1, sums.bad, sums.good + sums.bad, release->tallies[wave].overdue,
		release->document.thresholds.error_count - 1,
		release->document.thresholds.errors / 100,
		release->document.thresholds.errors % 100);
	try_event(engine, release, RELEASE_EVENT_HALT, reason);
}

static bool judge_errors(struct engine *engine, struct release *release)
{
	char reason[REASON_TEXT_MAX];

	for (uint32_t i = 0; i <= release->wave; i++) {
		struct wave_sums sums = wave_sum(&release->tallies[i]);
		if (wave_is_failing(&release->document.thresholds, &sums)) {
			halt(engine, release, i);
			return true;
		}
	}
	if (release->grants && engine->now - release->grant_ms >= engine->limits.grant_ms) {
		snprintf(reason, sizeof(reason),
			 "%u trials have waited %llu s for the store: no grant can be given",
			 release->grants,
			 (unsigned long long)((engine->now - release->grant_ms) / 1000));
		try_event(engine, release, RELEASE_EVENT_HALT, reason);
		return true;
	}
	return false;
}

static void judge_waves(struct engine *engine, struct release *release)
{
	while (release->state == RELEASE_RUNNING && release->wave + 1 < release->wave_count) {
		enum wave_verdict verdict = wave_judge(
			&release->document.thresholds, &release->tallies[release->wave],
			engine->now, release->bake_ms, &release->bake_ms);
		if (verdict != WAVE_ADVANCE)
			return;
		try_event(engine, release, RELEASE_EVENT_ADVANCE, release->reason);
	}
}

static void judge_end(struct engine *engine, struct release *release)
{
	bool ended = release->wave + 1 == release->wave_count && release_open(release) == 0 &&
		     release_total(release) > 0;

	if (release->state == RELEASE_RUNNING && ended)
		try_event(engine, release, RELEASE_EVENT_FINISH, NULL);
	else if (release->state == RELEASE_DONE && !ended)
		try_event(engine, release, RELEASE_EVENT_REOPEN, NULL);
}

static void judge(struct engine *engine, struct release *release)
{
	if (release->product->sweep_left || !release_is_active(release))
		return; /* the counts are not complete */
	if (release->reaches_nobody && release_total(release)) {
		release->reaches_nobody = false;
		conduct_set_reason(release, NULL);
		save_release(engine, release);
	}
	if ((release->state == RELEASE_RUNNING || release->state == RELEASE_HELD) &&
	    judge_errors(engine, release))
		return;
	if (release_total(release))
		judge_waves(engine, release);
	judge_end(engine, release);
}

void conduct_unstored(struct engine *engine, uint64_t ticket)
{
	for (struct product *product = engine->products; product; product = product->hh.next) {
		for (uint32_t i = 0; i < product->release_count; i++) {
			struct release *release = product->releases[i];
			if (!release->stored && release->ticket == ticket)
				try_event(engine, release, RELEASE_EVENT_ABORT,
					  "it could not be stored");
		}
	}
}

static void turn_fast(struct engine *engine, struct release *release)
{
	release->fast_now = true;
	fleet_sweep(engine, release->product);
	rollout_walk(release);
	save_release(engine, release);
}

bool conduct_tick(struct engine *engine, struct release *release)
{
	const struct release_document *document = &release->document;
	uint64_t now_s = engine->now / 1000;
	bool more = false;

	if (release_is_final(release->state))
		return false;
	if (now_s >= document->not_after) {
		try_event(engine, release, RELEASE_EVENT_EXPIRE, "its not_after has passed");
		return true;
	}
	if (engine->durable >= release->ticket)
		release->stored = true;
	if (release->state == RELEASE_SCHEDULED && release->stored &&
	    now_s >= document->not_before)
		try_event(engine, release, RELEASE_EVENT_START, NULL);
	if (!release_is_active(release))
		return false;
	if (!release->wave_ms && !release->product->sweep_left) {
		open_first(engine, release);
		save_release(engine, release);
	}
	if (!release_is_fast(release) && document->deadline && now_s >= document->deadline)
		turn_fast(engine, release);
	judge(engine, release);
	more |= rollout_fan_slice(engine, release);
	more |= rollout_walk_slice(engine, release);
	return more;
}
