/* The steps of one update: the fold of its reports, what the plugin knows besides (silence,
 * cancel, trial), its deadlines, and what follows a failure. Each change of state goes through
 * attempt_set_state(), so that the counts always add up. */
#include "engine_core.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void count_error(struct release *release, const struct update *update, int sign)
{
	struct release_error *of;
	uint32_t at = 0;

	while (at < release->error_count && release->errors[at].err != update->error->err)
		at++;
	if (at == release->error_count) {
		if (!engine_grow(&release->errors, at, &release->error_room,
				 sizeof(*release->errors)))
			return; /* it is shown a little less often than it happened */
		release->errors[release->error_count++] =
			(struct release_error){.err = update->error->err};
	}
	of = &release->errors[at];
	if (sign < 0 && of->count == 0)
		return;
	of->count += (uint32_t)sign;
	of->sample = update->device;
}

void attempt_count(struct update *update, int sign)
{
	struct release_tally *tally = &update->release->tallies[update->wave];
	uint32_t by = (uint32_t)sign;

	update->release->counts[update->state] += by;
	tally->counts[update->state] += by;
	if (update->flags & UPDATE_OVERDUE)
		tally->overdue += by;
	if (update->state >= UPDATE_OFFERED && update->state <= UPDATE_INSTALLED &&
	    update->state != UPDATE_DEFERRED && !update->device->online)
		tally->away += by;
	if (update->state == UPDATE_ROLLED_BACK && update->error &&
	    update->error->err == OTA_REVERTED_BY_MANAGER)
		tally->reverted += by;
	if (update->error)
		count_error(update->release, update, sign);
}

struct update *attempt_new(struct engine *engine, struct device *device,
			   struct release *release)
{
	struct update *update = calloc(1, sizeof(*update)), **at = &device->updates;
	unsigned kept = 0;

	if (!update)
		return NULL;
	update->device = device;
	update->release = release;
	update->state = UPDATE_TARGETED;
	update->created_ms = update->changed_ms = engine->now;
	update->wave = (uint8_t)release_wave_of(release, device);
	while (*at && (*at)->release->document.number > release->document.number)
		at = &(*at)->older;
	update->older = *at;
	*at = update;
	engine->update_count++;
	attempt_count(update, 1);
	for (struct update *old = device->updates, *next; old; old = next) {
		next = old->older;
		if (++kept > DEVICE_UPDATES_MAX && old != update && old->timer == 0 &&
		    update_state_is_final((enum update_state)old->state))
			attempt_free(engine, old);
	}
	return update;
}

/* Leaves the counts as they are: it goes on counting in its release, the store has its row. */
void attempt_free(struct engine *engine, struct update *update)
{
	struct update **at = &update->device->updates;

	if (update->flags & UPDATE_DIRTY)
		save_end(engine);
	timer_set(&engine->timers, update, 0);
	while (*at != update)
		at = &(*at)->older;
	*at = update->older;
	engine->update_count--;
	free(update->error);
	free(update);
}

void attempt_set_error(struct update *update, enum ota_err err, enum update_state state,
		       uint32_t detail, const char *message)
{
	size_t len = strlen(message);
	struct update_error *error = malloc(sizeof(*error) + len + 1);

	if (!error)
		return;
	error->err = err;
	error->state = state;
	error->detail = detail;
	memcpy(error->message, message, len + 1);
	free(update->error);
	update->error = error;
}

static uint64_t silence_ms(const struct engine *engine, const struct update *update)
{
	uint64_t own = engine->limits.state_ms[update->state];

	return own ? own : update->release->document.thresholds.silence_s * 1000;
}

static uint64_t earlier(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

/* When an update that nobody touches any more stops to be "in progress": each state has one. */
void attempt_deadline(struct engine *engine, struct update *update)
{
	const struct device *device = update->device;
	uint64_t silence = silence_ms(engine, update), due = engine->now + silence;
	bool gated = device->online &&
		     !(device->gate_download && device->gate_install && device->gate_restart);

	if (update->flags & (UPDATE_WAITING | UPDATE_PENALTY | UPDATE_CANCELING))
		return; /* its time is set already */
	switch ((enum update_state)update->state) {
	case UPDATE_OFFERED:
	case UPDATE_DOWNLOADED:
	case UPDATE_VERIFIED:
	case UPDATE_INSTALLED:
		if (gated)
			due = update->changed_ms + engine->limits.gate_ms;
		break;
	case UPDATE_DEFERRED:
		due = update->changed_ms + engine->limits.gate_ms;
		break;
	case UPDATE_RESTARTING:
		due = update->changed_ms +
		      (update->flags & UPDATE_OVERDUE
			       ? silence
			       : earlier(engine->limits.restart_ms, silence));
		break;
	case UPDATE_DOWNLOADING:
	case UPDATE_INSTALLING:
	case UPDATE_TRIAL:
		break;
	case UPDATE_NONE:
	case UPDATE_TARGETED:
	case UPDATE_SUCCEEDED:
	case UPDATE_ALREADY_INSTALLED:
	case UPDATE_FAILED:
	case UPDATE_ROLLED_BACK:
	case UPDATE_REJECTED:
	case UPDATE_TIMED_OUT:
	case UPDATE_CANCELED:
	case UPDATE_SUPERSEDED:
	case UPDATE_REMOVED:
	case UPDATE_EXPIRED:
	case UPDATE_LOST:
	case UPDATE_STATE_COUNT:
		due = 0;
		break;
	}
	if ((update->state == UPDATE_OFFERED || update->state == UPDATE_DEFERRED) &&
	    device->lease_ms)
		due = earlier(device->lease_ms, due);
	timer_set(&engine->timers, update, due);
}

void attempt_set_state(struct engine *engine, struct update *update, enum update_state state)
{
	attempt_count(update, -1);
	update->flags &=
		(uint16_t) ~(UPDATE_OVERDUE | UPDATE_WAITING | UPDATE_PENALTY | UPDATE_FRESH);
	if (update_state_is_final(state) || update_state_is_committed(state))
		update->flags &= (uint16_t)~UPDATE_CANCELING; /* answered, or too late */
	if (state != update->state)
		update->changed_ms = engine->now;
	update->state = (uint8_t)state;
	attempt_count(update, 1);
	if (state != UPDATE_OFFERED && state != UPDATE_DOWNLOADING)
		rollout_free_place(engine, update);
	attempt_deadline(engine, update);
	save_update(engine, update);
}

/* Every offer has its own number, so that what comes back tells which one it answers. */
static void next_attempt(struct update *update)
{
	update->attempt++;
	update->seq = 0;
	update->done = update->total = 0;
	update->flags &= (1u << UPDATE_RANK_SHIFT) - 1;
}

static void begin_again(struct engine *engine, struct update *update)
{
	if (update->attempt)
		next_attempt(update);
	update->flags &= UPDATE_TOLD | UPDATE_DIRTY;
	attempt_set_state(engine, update, UPDATE_TARGETED);
}

static void grant(struct engine *engine, struct update *update)
{
	struct release *release = update->release;
	struct pending pending = {
		.device = update->device, .release = release, .attempt = update->attempt};
	struct ota_why why;

	if (update->device->texts)
		memcpy(pending.nonce, update->device->texts->nonce, sizeof(pending.nonce));
	save_step(engine, update);
	save_update(engine, update);
	if (engine_flush(engine, &why) != OTA_OK)
		return; /* the device asks again, and reverts if it never gets an answer */
	pending.ticket = engine->ticket;
	if (save_pending(engine, &pending, &why) != OTA_OK)
		return;
	if (release->grants++ == 0)
		release->grant_ms = engine->now;
}

static enum cancel_reason cancel_reason(enum update_event event)
{
	switch (event) {
	case UPDATE_EVENT_CANCEL:
		return CANCEL_ABORTED;
	case UPDATE_EVENT_SUPERSEDE:
		return CANCEL_SUPERSEDED;
	case UPDATE_EVENT_EXPIRE:
		return CANCEL_EXPIRED;
	case UPDATE_EVENT_OFFER:
	case UPDATE_EVENT_ALREADY:
	case UPDATE_EVENT_TRIAL:
	case UPDATE_EVENT_SILENCE:
	case UPDATE_EVENT_VANISH:
	case UPDATE_EVENT_REMOVE:
	case UPDATE_EVENT_LEAVE:
	case UPDATE_EVENT_RETRY:
	case UPDATE_EVENT_REOPEN:
	case UPDATE_EVENT_REVERT:
	case UPDATE_EVENT_COUNT:
		break;
	}
	return CANCEL_REMOVED;
}

static void act(struct engine *engine, struct update *update, enum update_event event,
		enum update_action action)
{
	switch (action) {
	case UPDATE_ACT_OFFER:
		engine->io.send_offer(engine->io.ctx, update->device, update->release,
				      update->attempt);
		break;
	case UPDATE_ACT_GRANT:
		grant(engine, update);
		break;
	case UPDATE_ACT_ASK:
		update->flags |= UPDATE_CANCELING;
		timer_set(&engine->timers, update, engine->now + engine->limits.cancel_ms);
		rollout_cancel(engine, update->device, update->release, cancel_reason(event));
		break;
	case UPDATE_ACT_TELL:
		rollout_cancel(engine, update->device, update->release, cancel_reason(event));
		break;
	case UPDATE_ACT_REVERT:
		update->flags |= UPDATE_REVERTING;
		save_update(engine, update);
		rollout_send(engine, update->device, CONTROL_REVERT, update->release);
		break;
	case UPDATE_ACT_NONE:
	case UPDATE_ACT_AGAIN:
	case UPDATE_ACT_COUNT:
		break;
	}
}

bool attempt_event(struct engine *engine, struct update *update, enum update_event event)
{
	struct update_step step;
	enum update_state before = (enum update_state)update->state;
	bool told = update->attempt > 0;

	if (!update_next(before, event, &step))
		return false;
	if (step.action == UPDATE_ACT_AGAIN) {
		begin_again(engine, update);
	} else if (step.next != before || event == UPDATE_EVENT_OFFER) {
		if (event == UPDATE_EVENT_OFFER &&
		    (update->attempt == 0 || step.next == before))
			next_attempt(update);
		attempt_set_state(engine, update, step.next);
	}
	if (told || event == UPDATE_EVENT_OFFER)
		if (step.next != before && step.action != UPDATE_ACT_GRANT)
			save_step(engine, update);
	act(engine, update, event, step.action);
	return true;
}

bool attempt_again(struct engine *engine, struct update *update, enum update_event event)
{
	if (update->device->target != update->release)
		return false;
	return attempt_event(engine, update, event);
}

/* The new attempt that a failure leads to, or the rest before it. */
void attempt_failed(struct engine *engine, struct update *update)
{
	enum ota_err err = update->error ? update->error->err : OTA_INTERNAL;
	uint64_t delay;

	if (update->failures < UINT8_MAX)
		update->failures++;
	if (update->device->target != update->release || !release_is_active(update->release))
		return;
	switch (retry_decide((enum update_state)update->state, err, update->failures)) {
	case RETRY_LATER:
		delay = retry_delay(engine->limits.retry_ms, update->failures,
				    engine->io.random(engine->io.ctx));
		if (!attempt_event(engine, update, UPDATE_EVENT_RETRY))
			return;
		update->flags |= UPDATE_WAITING;
		timer_set(&engine->timers, update, engine->now + delay);
		break;
	case RETRY_CHANGED:
		update->flags |= UPDATE_FRESH;
		break;
	case RETRY_PENALTY:
		update->flags |= UPDATE_PENALTY;
		timer_set(&engine->timers, update, engine->now + engine->limits.penalty_ms);
		break;
	case RETRY_NEVER:
		break;
	}
	save_update(engine, update);
}

static unsigned reported_rank(const struct update *update)
{
	return update->flags >> UPDATE_RANK_SHIFT;
}

static void set_reported_rank(struct update *update, unsigned rank)
{
	update->flags = (uint16_t)((update->flags & ((1u << UPDATE_RANK_SHIFT) - 1)) |
				   rank << UPDATE_RANK_SHIFT);
}

/* What the plugin has ended (cancel, supersede, removal, expiry) is only taken up again by a
 * device that had got past the point of no return; silence is taken back by any word. */
static bool is_believed(const struct update *update, enum update_state reported)
{
	switch ((enum update_state)update->state) {
	case UPDATE_CANCELED:
	case UPDATE_SUPERSEDED:
	case UPDATE_REMOVED:
	case UPDATE_EXPIRED:
		return update_rank(reported) >= update_rank(UPDATE_INSTALLING) &&
		       reported != UPDATE_CANCELED && reported != UPDATE_SUPERSEDED;
	case UPDATE_NONE:
	case UPDATE_TARGETED:
	case UPDATE_OFFERED:
	case UPDATE_DEFERRED:
	case UPDATE_DOWNLOADING:
	case UPDATE_DOWNLOADED:
	case UPDATE_VERIFIED:
	case UPDATE_INSTALLING:
	case UPDATE_INSTALLED:
	case UPDATE_RESTARTING:
	case UPDATE_TRIAL:
	case UPDATE_SUCCEEDED:
	case UPDATE_ALREADY_INSTALLED:
	case UPDATE_FAILED:
	case UPDATE_ROLLED_BACK:
	case UPDATE_REJECTED:
	case UPDATE_TIMED_OUT:
	case UPDATE_LOST:
	case UPDATE_STATE_COUNT:
		break;
	}
	return true;
}

static bool take_key(struct update *update, uint32_t attempt, unsigned rank, uint64_t seq)
{
	struct update_key new = {attempt, rank, seq};
	struct update_key old = {update->attempt, reported_rank(update), update->seq};

	if (!update_key_is_greater(&new, &old))
		return false;
	if (attempt > update->attempt)
		update->flags &= UPDATE_TOLD | UPDATE_DIRTY | UPDATE_PLACE | UPDATE_OVERDUE;
	update->attempt = attempt;
	update->seq = seq;
	set_reported_rank(update, rank);
	return true;
}

static enum update_state judge_report(const struct update *update, const struct report *report,
				      char *message, size_t size)
{
	const struct firmware *firmware = update->release->firmware;

	if (report->state != UPDATE_SUCCEEDED ||
	    (digest_equal(&report->digest, &firmware->image) &&
	     strcmp(report->version, firmware->version) == 0))
		return report->state;
	snprintf(message, size, "reports success but runs version '%s' with another image",
		 report->version);
	return UPDATE_FAILED;
}

static void fold_evidence(struct update *update, const struct report *report,
			  const char *contradiction)
{
	if (contradiction[0])
		attempt_set_error(update, OTA_INTERNAL, UPDATE_TRIAL, 0, contradiction);
	else if (report->has_error)
		attempt_set_error(update, (enum ota_err)report->error.number,
				  report->error.state, report->error.detail,
				  report->error.message);
	if (report->total) {
		update->done = report->done;
		update->total = report->total;
	}
}

static void succeed(struct engine *engine, struct update *update)
{
	struct firmware *firmware = update->release->firmware;

	update->failures = 0;
	attempt_count(update, -1);
	free(update->error);
	update->error = NULL;
	attempt_count(update, 1);
	if (!firmware->proven) {
		firmware->proven = true;
		save_firmware(engine, firmware);
	}
}

/* More of the same download: its row is stored once a second, as its last place is worth; the
 * reports themselves all are. */
static bool is_progress(const struct update *update, const struct report *report)
{
	return update->state == UPDATE_DOWNLOADING && report->state == UPDATE_DOWNLOADING &&
	       report->attempt == update->attempt && !report->has_error;
}

static void fold_progress(struct engine *engine, struct update *update,
			  const struct report *report)
{
	uint32_t second = (uint32_t)(engine->now / 1000);

	fold_evidence(update, report, "");
	attempt_deadline(engine, update);
	if (update->saved_s == second)
		return;
	update->saved_s = second;
	save_update(engine, update);
}

bool attempt_fold(struct engine *engine, struct update *update, const struct report *report)
{
	char contradiction[128] = "";
	enum update_state before = (enum update_state)update->state;
	enum update_state state =
		judge_report(update, report, contradiction, sizeof(contradiction));

	bool progress = is_progress(update, report);

	if (!take_key(update, report->attempt, update_rank(state), report->seq))
		return false;
	roster_set_runs(engine, update->device, report->version, &report->digest);
	if (progress) {
		fold_progress(engine, update, report);
		return true;
	}
	save_update(engine, update);
	if (!is_believed(update, state))
		return true;
	/* The evidence decides how a roll-back counts, so it changes out of the counts. */
	attempt_count(update, -1);
	fold_evidence(update, report, contradiction);
	attempt_count(update, 1);
	if (state == before && update_state_is_final(state))
		return true;
	attempt_set_state(engine, update, state);
	if (state == UPDATE_SUCCEEDED || state == UPDATE_ALREADY_INSTALLED)
		succeed(engine, update);
	else if (update_state_is_bad(state) && !update_state_is_bad(before))
		attempt_failed(engine, update);
	return true;
}

void attempt_seen(struct engine *engine, struct update *update, uint32_t attempt,
		  enum update_state state)
{
	bool silent = update->state == UPDATE_TIMED_OUT || update->state == UPDATE_LOST;
	bool further;

	if (attempt < update->attempt || state < UPDATE_OFFERED || update_state_is_final(state))
		return;
	further = take_key(update, attempt, update_rank(state), update->seq);
	if ((further || silent) && is_believed(update, state))
		attempt_set_state(engine, update, state);
}

static void fall_silent(struct engine *engine, struct update *update)
{
	char message[OTA_WHY_TEXT_MAX];
	enum update_state before = (enum update_state)update->state;
	bool restarted = before == UPDATE_RESTARTING || before == UPDATE_TRIAL ||
			 (update_state_is_committed(before) && !update->device->online);
	enum ota_err err = restarted			  ? OTA_LOST
			   : before == UPDATE_DOWNLOADING ? OTA_DOWNLOAD_STALLED
							  : OTA_CONNECTION_LOST;

	snprintf(message, sizeof(message), "no word for %llu s in state %s, %s",
		 (unsigned long long)((engine->now - update->changed_ms) / 1000),
		 update_state_names[before],
		 update->device->online ? "connected" : "not connected");
	attempt_count(update, -1);
	attempt_set_error(update, err, before, 0, message);
	attempt_count(update, 1);
	if (attempt_event(engine, update,
			  update->device->online ? UPDATE_EVENT_SILENCE : UPDATE_EVENT_VANISH))
		attempt_failed(engine, update);
}

static void end_penalty(struct engine *engine, struct update *update)
{
	update->failures = 0;
	if (update->round < UINT8_MAX)
		update->round++;
	attempt_again(engine, update, UPDATE_EVENT_RETRY);
}

/* Its due_ms has come. */
void attempt_timer(struct engine *engine, struct update *update)
{
	struct device *device = update->device;

	if (update->flags & UPDATE_CANCELING) {
		attempt_set_state(engine, update, UPDATE_CANCELED);
		save_step(engine, update);
	} else if (update->flags & UPDATE_PENALTY) {
		update->flags &= (uint16_t)~UPDATE_PENALTY;
		end_penalty(engine, update);
	} else if (update->flags & UPDATE_WAITING) {
		update->flags &= (uint16_t)~UPDATE_WAITING;
		save_update(engine, update);
	} else if (device->lease_ms && device->lease_ms <= engine->now &&
		   (update->state == UPDATE_OFFERED || update->state == UPDATE_DEFERRED)) {
		device->lease_ms = 0;
		device->gate_download = device->gate_install = device->gate_restart = true;
		attempt_deadline(engine, update);
	} else if (update->state == UPDATE_RESTARTING && !(update->flags & UPDATE_OVERDUE)) {
		attempt_count(update, -1);
		update->flags |= UPDATE_OVERDUE;
		attempt_count(update, 1);
		attempt_deadline(engine, update);
		save_update(engine, update);
	} else {
		fall_silent(engine, update);
	}
	rollout_consider(engine, device);
}
