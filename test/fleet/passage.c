#include "passage.h"

#include "haul.h"
#include "speech.h"

#include <string.h>

static void begin(struct fleet *fleet, struct member *member, const struct offering *offering);

static void end(struct fleet *fleet, struct member *member, enum update_state state,
		enum ota_err err)
{
	struct passage *passage = &member->passage;
	speech_report(fleet, member, state, err);
	fleet->tally.finals[state]++;
	if (!member->ended) {
		member->ended = true;
		fleet->finished++;
	}
	const struct offering *after = passage->after;
	haul_stop(member);
	*passage = (struct passage){.due_ms = AGENDA_NEVER};
	if (after)
		begin(fleet, member, after);
}

static void install(struct fleet *fleet, struct member *member)
{
	struct passage *passage = &member->passage;
	speech_report(fleet, member, UPDATE_DOWNLOADED, OTA_OK);
	speech_report(fleet, member, UPDATE_VERIFIED, OTA_OK);
	speech_report(fleet, member, UPDATE_INSTALLING, OTA_OK);
	passage->state = UPDATE_INSTALLING;
	passage->due_ms = fleet->now_ms + fleet_about(fleet, fleet->options.install_ms);
}

static void ask(struct fleet *fleet, struct member *member)
{
	struct get get;
	if (member->phase != MEMBER_READY ||
	    !download_ask(&member->passage.download, (unsigned)fleet->options.window,
			  fleet->now_ms, &get))
		return;
	struct text text = {0};
	struct ota_why why = {0};
	if (get_write(&get, &text, &why))
		fleet_broken(fleet, member->name, &why);
	else
		member_publish(fleet, member, TOPIC_GET, text.data, text.len, 0);
	text_done(&text);
}

static void fetch(struct fleet *fleet, struct member *member, const struct digest *digest,
		  uint64_t size)
{
	struct ota_why why = {0};
	struct blob *blob;
	if (blob_get(&fleet->blobs, digest, size, &blob, &why)) {
		fleet_broken(fleet, member->name, &why);
		end(fleet, member, UPDATE_FAILED, why.err);
		return;
	}
	download_start(&member->passage.download, blob,
		       (uint32_t)fleet_random(fleet, UINT32_MAX) + 1);
	if (!haul_start(fleet, member))
		ask(fleet, member);
}

void passage_go_on(struct fleet *fleet, struct member *member)
{
	ask(fleet, member);
}

static void begin_download(struct fleet *fleet, struct member *member)
{
	struct passage *passage = &member->passage;
	const struct offering *offering = passage->offering;
	passage->pack = offering_pack(offering, &member->digest);
	if (!passage->pack) {
		end(fleet, member, UPDATE_FAILED, OTA_CHUNK_REFUSED);
		return;
	}
	passage->state = UPDATE_DOWNLOADING;
	passage->due_ms = AGENDA_NEVER;
	speech_report(fleet, member, UPDATE_DOWNLOADING, OTA_OK);
	fetch(fleet, member, &offering->index, offering->index_size);
}

static void begin(struct fleet *fleet, struct member *member, const struct offering *offering)
{
	struct passage *passage = &member->passage;
	haul_stop(member);
	*passage = (struct passage){
		.offering = offering,
		.state = UPDATE_OFFERED,
		.fate = fate_of(&fleet->fates, member->name, offering->number,
				offering->version),
		.began_ms = fleet->now_ms,
		.due_ms = AGENDA_NEVER,
	};
	member->highest = offering->number;
	if (!offering_fits(offering, fleet->options.product, fleet->options.hardware)) {
		end(fleet, member, UPDATE_REJECTED, OTA_INCOMPATIBLE_HARDWARE);
	} else if (passage->fate == FATE_REJECT) {
		end(fleet, member, UPDATE_REJECTED, OTA_INCOMPATIBLE_HARDWARE);
	} else if (digest_equal(&offering->image, &member->digest)) {
		end(fleet, member, UPDATE_ALREADY_INSTALLED, OTA_OK);
	} else if (member->closed || passage->fate == FATE_DEFER) {
		passage->state = UPDATE_DEFERRED;
		speech_report(fleet, member, UPDATE_DEFERRED, OTA_OK);
		if (!member->closed)
			passage->due_ms =
				fleet->now_ms + fleet_about(fleet, fleet->options.defer_ms);
	} else {
		begin_download(fleet, member);
	}
}

static bool is_too_late_to_stop(const struct passage *passage)
{
	return passage->offering && passage->state >= UPDATE_INSTALLING;
}

static void consider(struct fleet *fleet, struct member *member,
		     const struct offering *offering)
{
	struct passage *passage = &member->passage;
	const struct offering *in_hand = passage->offering;
	uint64_t number = offering->number;
	if (in_hand && in_hand->number == number &&
	    offering->offer.attempt <= in_hand->offer.attempt) {
		fleet->tally.repeated_offers++;
	} else if (number < member->highest) {
		fleet->tally.stale_offers++;
	} else if (is_too_late_to_stop(passage)) {
		passage->after = offering;
	} else {
		if (in_hand && in_hand->number < number)
			end(fleet, member, UPDATE_SUPERSEDED, OTA_OK);
		begin(fleet, member, offering);
	}
}

void passage_offer(struct fleet *fleet, struct member *member, const void *payload, size_t len)
{
	const struct offering *offering;
	struct ota_why why = {0};
	fleet->tally.offers++;
	fleet_mark(fleet);
	if (!member->offered) {
		member->offered = true;
		fleet->tally.offered_devices++;
	}
	if (offering_read(&fleet->offerings, payload, len, &offering, &why))
		fleet_broken(fleet, member->name, &why);
	else if (fleet->options.mute)
		member->passage = (struct passage){
			.offering = offering, .state = UPDATE_OFFERED, .due_ms = AGENDA_NEVER};
	else
		consider(fleet, member, offering);
}

void passage_downloaded(struct fleet *fleet, struct member *member)
{
	struct passage *passage = &member->passage;
	if (!passage->has_index) {
		passage->has_index = true;
		fetch(fleet, member, &passage->pack->sha256, passage->pack->size);
		return;
	}
	passage->download = (struct download){0};
	install(fleet, member);
}

static void take_data(struct fleet *fleet, struct member *member, const struct chunk *chunk)
{
	struct passage *passage = &member->passage;
	struct ota_why why = {0};
	bool is_new;
	if (download_chunk(&passage->download, chunk, &is_new, &why)) {
		fleet_broken(fleet, member->name, &why);
		end(fleet, member, UPDATE_FAILED, why.err);
		return;
	}
	fleet->tally.chunks++;
	fleet->tally.chunk_bytes += chunk->data_len;
	if (!is_new) {
		fleet->tally.chunk_repeats++;
		return;
	}
	passage->fetched += chunk->data_len;
	if (passage->fate == FATE_RECONNECT && !passage->was_cut && passage->has_index &&
	    passage->download.got * 2 >= passage->download.blob->chunk_count) {
		passage->was_cut = true;
		member_drop(fleet, member, fleet_about(fleet, fleet->options.backoff_ms));
	} else if (download_is_done(&passage->download)) {
		passage_downloaded(fleet, member);
	} else {
		ask(fleet, member);
	}
}

void passage_chunk(struct fleet *fleet, struct member *member, const void *payload, size_t len)
{
	struct chunk chunk;
	struct ota_why why = {0};
	struct download *download = &member->passage.download;
	if (chunk_read(payload, len, &chunk, &why)) {
		fleet_broken(fleet, member->name, &why);
		return;
	}
	if (!download->blob || chunk.transfer != download->id) {
		fleet->tally.chunk_repeats++;
		return;
	}
	if (chunk.kind == CHUNK_DATA) {
		take_data(fleet, member, &chunk);
	} else if (chunk.kind == CHUNK_WAIT) {
		fleet->tally.waits++;
		download_wait(download, fleet->now_ms + chunk.number);
	} else {
		fleet->tally.chunk_refusals++;
		end(fleet, member, UPDATE_FAILED, OTA_CHUNK_REFUSED);
	}
}

static void take_new_version(struct member *member)
{
	memcpy(member->old_version, member->version, NAME_SIZE);
	member->old_digest = member->digest;
	memcpy(member->version, member->passage.offering->version, NAME_SIZE);
	member->digest = member->passage.offering->image;
}

static void take_old_version(struct member *member)
{
	memcpy(member->version, member->old_version, NAME_SIZE);
	member->digest = member->old_digest;
}

static void restart(struct fleet *fleet, struct member *member)
{
	struct passage *passage = &member->passage;
	passage->state = UPDATE_RESTARTING;
	passage->due_ms = AGENDA_NEVER;
	uint64_t pause = fleet_about(fleet, fleet->options.restart_ms);
	take_new_version(member);
	switch (passage->fate) {
	case FATE_VANISH:
		pause = AGENDA_NEVER;
		break;
	case FATE_ROLL_BACK:
	case FATE_UNHEALTHY:
	case FATE_CRASH:
		take_old_version(member);
		passage->reverted = true;
		pause *= 2;
		break;
	case FATE_SUCCEED:
	case FATE_FAIL:
	case FATE_RECONNECT:
	case FATE_REJECT:
	case FATE_DEFER:
	case FATE_COUNT:
	default:
		passage->trial = true;
		break;
	}
	member_drop(fleet, member, pause);
}

void passage_granted(struct fleet *fleet, struct member *member, uint64_t release)
{
	struct passage *passage = &member->passage;
	if (!passage->trial || !passage->offering || passage->offering->number != release)
		return;
	fleet->tally.grants++;
	end(fleet, member, UPDATE_SUCCEEDED, OTA_OK);
}

void passage_canceled(struct fleet *fleet, struct member *member, uint64_t release,
		      enum cancel_reason reason)
{
	struct passage *passage = &member->passage;
	if (!passage->offering || passage->offering->number != release ||
	    is_too_late_to_stop(passage))
		return;
	end(fleet, member, reason == CANCEL_SUPERSEDED ? UPDATE_SUPERSEDED : UPDATE_CANCELED,
	    OTA_OK);
}

void passage_revert(struct fleet *fleet, struct member *member, uint64_t release)
{
	if (!*member->old_version || member->passage.offering || member->highest != release)
		return;
	take_old_version(member);
	*member->old_version = '\0';
	fleet->tally.finals[UPDATE_ROLLED_BACK]++;
	speech_report(fleet, member, UPDATE_ROLLED_BACK, OTA_REVERTED_BY_MANAGER);
	member->passage.reverted = true;
	member_drop(fleet, member, fleet_about(fleet, fleet->options.restart_ms));
}

static enum ota_err cause_of(enum fate fate)
{
	if (fate == FATE_UNHEALTHY)
		return OTA_HEALTH_CHECK_FAILED;
	return fate == FATE_CRASH ? OTA_CRASH_LOOP : OTA_NO_CONNECTIVITY_AFTER_UPDATE;
}

void passage_resume(struct fleet *fleet, struct member *member)
{
	struct passage *passage = &member->passage;
	if (!passage->offering) {
		passage->reverted = false;
	} else if (passage->reverted) {
		end(fleet, member, UPDATE_ROLLED_BACK, cause_of(passage->fate));
	} else if (passage->trial && passage->state != UPDATE_TRIAL) {
		passage->state = UPDATE_TRIAL;
		passage->due_ms = fleet->now_ms + fleet->options.confirm_ms;
		speech_report(fleet, member, UPDATE_TRIAL, OTA_OK);
	} else if (passage->download.blob) {
		download_resume(&passage->download,
				(uint32_t)fleet_random(fleet, UINT32_MAX) + 1);
		ask(fleet, member);
	}
}

void passage_gate_opened(struct fleet *fleet, struct member *member)
{
	if (member->passage.offering && member->passage.state == UPDATE_DEFERRED)
		begin_download(fleet, member);
}

static void step(struct fleet *fleet, struct member *member)
{
	struct passage *passage = &member->passage;
	passage->due_ms = AGENDA_NEVER;
	if (passage->state == UPDATE_DEFERRED) {
		begin_download(fleet, member);
	} else if (passage->state == UPDATE_DOWNLOADING) {
		struct ota_why why = {.err = OTA_DOWNLOAD_STALLED, .text = "HTTPS stalls"};
		haul_fail(fleet, member, &why);
	} else if (passage->state == UPDATE_INSTALLING && passage->fate == FATE_FAIL) {
		end(fleet, member, UPDATE_FAILED, OTA_INSTALL_FAILED);
	} else if (passage->state == UPDATE_INSTALLING) {
		passage->state = UPDATE_INSTALLED;
		speech_report(fleet, member, UPDATE_INSTALLED, OTA_OK);
		speech_report(fleet, member, UPDATE_RESTARTING, OTA_OK);
		passage->due_ms = fleet->now_ms + fleet_about(fleet, fleet->options.install_ms);
	} else if (passage->state == UPDATE_INSTALLED) {
		restart(fleet, member);
	} else if (passage->state == UPDATE_TRIAL) {
		take_old_version(member);
		passage->trial = false;
		passage->reverted = true;
		passage->fate = FATE_ROLL_BACK;
		member_drop(fleet, member, fleet_about(fleet, fleet->options.restart_ms));
	}
}

void passage_due(struct fleet *fleet, struct member *member)
{
	struct passage *passage = &member->passage;
	if (passage->due_ms <= fleet->now_ms)
		step(fleet, member);
	if (!passage->download.blob || member->phase != MEMBER_READY)
		return;
	fleet->tally.chunk_timeouts +=
		download_expire(&passage->download, fleet->now_ms, fleet->options.timeout_ms);
	ask(fleet, member);
}

uint64_t passage_next_due(const struct fleet *fleet, const struct member *member)
{
	uint64_t due = member->passage.offering ? member->passage.due_ms : AGENDA_NEVER;
	if (member->phase != MEMBER_READY)
		return due;
	uint64_t chunks = download_due(&member->passage.download, fleet->options.timeout_ms);
	return chunks < due ? chunks : due;
}
