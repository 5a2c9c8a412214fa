#include "sim_device_inside.h"

#include "own.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum device_state {
	DEVICE_IDLE = 0,
	DEVICE_OFFERED,
	DEVICE_DOWNLOADING,
	DEVICE_ARMING,
	DEVICE_WAITING,
	DEVICE_REVERTING,
};

static bool report(struct sim_device *device, enum keep_report_kind kind, char state,
		   uint64_t release)
{
	char payload[16];
	struct ota_why why;
	uint64_t seq;

	snprintf(payload, sizeof(payload), "%c %u", state, (unsigned)release);
	if (sim_failed(device, keep_report_seq(&device->keep, &seq, &why), &why))
		return false;
	if (sim_failed(
		    device,
		    keep_report_add(&device->keep, seq, kind, payload, strlen(payload), &why),
		    &why))
		return false;
	if (seq < SIM_SEQS_MAX)
		device->promised[seq / 64] |= UINT64_C(1) << (seq % 64);
	return true;
}

static bool final_waits(struct sim_device *device, uint64_t release)
{
	for (unsigned i = 0; i < device->keep.report_count; i++) {
		AUTO_FREE char *payload = NULL;
		size_t len;
		if (device->keep.reports[i].kind != KEEP_FINAL)
			continue;
		if (!keep_report_read(&device->keep, i, &payload, &len, NULL) && len >= 3 &&
		    payload[2] == (char)('0' + release))
			return true;
	}
	return false;
}

static bool send_reports(struct sim_device *device)
{
	uint64_t seqs[SIM_WINDOW];
	struct ota_why why;

	while (device->keep.report_count > 0) {
		unsigned count = device->keep.report_count;
		if (count > SIM_WINDOW)
			count = SIM_WINDOW;
		for (unsigned i = 0; i < count; i++) {
			AUTO_FREE char *payload = NULL;
			size_t len;
			if (sim_failed(device,
				       keep_report_read(&device->keep, i, &payload, &len, &why),
				       &why))
				return false;
			seqs[i] = device->keep.reports[i].seq;
			sim_plugin_receives(device, seqs[i], payload);
		}
		if (sim_failed(device, keep_report_ack(&device->keep, seqs, count, &why), &why))
			return false;
	}
	return true;
}

static bool enter(struct sim_device *device, enum device_state state, uint64_t release)
{
	struct journal_entry entry = {.state = state, .release = release, .attempt = 1};
	struct ota_why why;

	return !sim_failed(device, journal_write(&device->journal, &entry, &why), &why);
}

/* An attempt ends: its report first, then the journal, so that a cut between them cannot lose
 * the report; and not twice. */
static bool end(struct sim_device *device, uint64_t release, char state)
{
	if (!final_waits(device, release) && !report(device, KEEP_FINAL, state, release))
		return false;
	return enter(device, DEVICE_IDLE, 0);
}

/* The envelopes bind a release to an image; a pair that does not belong together is as none. */
static bool kept_release(struct sim_device *device, uint64_t number)
{
	AUTO_FREE char *release = NULL;
	AUTO_FREE char *firmware = NULL;
	char wanted[2][32];
	size_t release_len, firmware_len;

	if (keep_get(&device->keep, KEEP_RELEASE, &release, &release_len, NULL) ||
	    keep_get(&device->keep, KEEP_FIRMWARE, &firmware, &firmware_len, NULL))
		return false;
	snprintf(wanted[0], 32, "release %u", (unsigned)number);
	snprintf(wanted[1], 32, "firmware %u", sim_release_of(device, number)->image);
	return strcmp(release, wanted[0]) == 0 && strcmp(firmware, wanted[1]) == 0;
}

static bool accept_offer(struct sim_device *device, uint64_t number)
{
	const struct keep_floor seen = {.number = number};
	char text[32];
	struct ota_why why;

	snprintf(text, sizeof(text), "release %u", (unsigned)number);
	if (sim_failed(device, keep_put(&device->keep, KEEP_RELEASE, text, strlen(text), &why),
		       &why))
		return false;
	snprintf(text, sizeof(text), "firmware %u", sim_release_of(device, number)->image);
	if (sim_failed(device, keep_put(&device->keep, KEEP_FIRMWARE, text, strlen(text), &why),
		       &why) ||
	    sim_failed(device, keep_floor_raise(&device->keep, &seen, &why), &why))
		return false;
	if (device->floor.number < number)
		device->floor.number = number;
	return enter(device, DEVICE_OFFERED, number);
}

static const char *target_path(struct sim_device *device)
{
	bool a_runs = device->slots.running(device->slots.ctx) == BOOT_SLOT_A;

	return sim_slot_path(a_runs ? BOOT_SLOT_B : BOOT_SLOT_A, 0);
}

enum fetched {
	FETCHED_ALL,
	FETCHED_STOPPED, /* by the plugin */
	FETCHED_AGAIN,	 /* the storage failed and may be tried once more */
	FETCHED_FAILED,
};

static bool segment_is_there(struct sim_device *device, unsigned part, size_t at, size_t len,
			     const uint8_t *wanted)
{
	AUTO_FREE uint8_t *bytes = malloc(len);

	return bytes &&
	       !device->slots.read(device->slots.ctx, SLOT_TARGET, part, at, bytes, len,
				   NULL) &&
	       memcmp(bytes, wanted, len) == 0;
}

static enum fetched fetch_part(struct sim_device *device, uint64_t number, unsigned part)
{
	const struct sim_release *release = sim_release_of(device, number);
	const uint8_t *image = sim_image_of(release->image, part);
	size_t size = sim_image_size(device->scenario, release->image, part);
	size_t segment = device->scenario->segment;
	struct slots *slots = &device->slots;
	struct ota_why why;

	if (sim_failed(device, slots->begin(slots->ctx, part, size, &why), &why))
		return FETCHED_FAILED;
	for (size_t at = 0; at < size; at += segment) {
		size_t len = size - at < segment ? size - at : segment;
		bool stop = at >= size / 2 && (release->event == SIM_SUPERSEDED ||
					       release->event == SIM_CANCELED);
		if (stop && !device->final[number - 1])
			return FETCHED_STOPPED;
		if (segment_is_there(device, part, at, len, image + at))
			continue;
		device->fetched += len;
		if (sim_failed(device,
			       slots->write(slots->ctx, part, at, image + at, len, &why), &why))
			return FETCHED_FAILED;
	}
	if (release->event == SIM_SYNC_FAILED && !device->sync_failed) {
		device->sync_failed = true;
		sim_disk_fail_sync(device->disk, target_path(device));
	}
	enum ota_err err = slots->finish(slots->ctx, part, &why);
	if (err == OTA_IO_ERROR && device->sync_failed && !sim_disk_is_dead(device->disk))
		return FETCHED_AGAIN;
	return sim_failed(device, err, &why) ? FETCHED_FAILED : FETCHED_ALL;
}

/* True when all parts came back from the medium as they should. */
static bool verify(struct sim_device *device, uint64_t number, bool *ret_failed)
{
	unsigned image = sim_release_of(device, number)->image;
	struct slots *slots = &device->slots;

	*ret_failed = false;
	for (unsigned part = 0; part < device->scenario->parts; part++) {
		struct ota_why why;
		enum ota_err err = slots->verify(
			slots->ctx, SLOT_TARGET, part,
			sim_image_size(device->scenario, image, part),
			sim_image_digest(device->scenario, image, part), NULL, &why);
		if (err == OTA_IMAGE_HASH_MISMATCH && device->flipped)
			return false;
		*ret_failed = sim_failed(device, err, &why);
		if (err)
			return false;
	}
	return true;
}

/* Fills and verifies the target; a damaged medium is written once more. */
static enum fetched fetch(struct sim_device *device, uint64_t number)
{
	const struct sim_release *release = sim_release_of(device, number);

	for (unsigned round = 0; round < 3; round++) {
		bool storage_failed;
		if (release->event == SIM_FLIPPED && !device->flipped) {
			device->flipped = true;
			sim_disk_flip(device->disk, target_path(device));
		}
		for (unsigned part = 0; part < device->scenario->parts; part++) {
			if (release->event == SIM_WITHOUT_DOWNLOAD)
				break;
			enum fetched got = fetch_part(device, number, part);
			if (got == FETCHED_AGAIN)
				got = fetch_part(device, number, part);
			if (got != FETCHED_ALL)
				return got;
		}
		if (verify(device, number, &storage_failed))
			return FETCHED_ALL;
		if (storage_failed)
			return FETCHED_FAILED;
	}
	sim_broken(device, "the image was not right after three rounds");
	return FETCHED_FAILED;
}

/* Runs an update from wherever it stands up to the restart. True: restart now. */
static bool install(struct sim_device *device, uint64_t number)
{
	struct slots *slots = &device->slots;
	struct ota_why why;

	if (!kept_release(device, number) && !accept_offer(device, number))
		return false;
	if (!enter(device, DEVICE_DOWNLOADING, number) ||
	    !report(device, KEEP_STEP, 'd', number))
		return false;
	enum fetched got = fetch(device, number);
	if (got == FETCHED_STOPPED)
		end(device, number, 'c');
	if (got != FETCHED_ALL)
		return false;
	if (!enter(device, DEVICE_ARMING, number) ||
	    sim_failed(device, slots->arm(slots->ctx, SIM_TRIES, &why), &why) ||
	    !enter(device, DEVICE_WAITING, number) || !report(device, KEEP_STEP, 'w', number))
		return false;
	if (sim_release_of(device, number)->event != SIM_CANCELED_ARMED)
		return true;
	if (!sim_failed(device, slots->revert(slots->ctx, &why), &why) &&
	    !sim_failed(device, slots->settle(slots->ctx, &why), &why))
		end(device, number, 'c');
	return false;
}

static void confirmed(struct sim_device *device, uint64_t number)
{
	const struct keep_floor floor = {.security_version =
						 sim_release_of(device, number)->image};
	struct ota_why why;

	if (sim_failed(device, keep_floor_raise(&device->keep, &floor, &why), &why))
		return;
	if (device->floor.security_version < floor.security_version)
		device->floor.security_version = floor.security_version;
	end(device, number, 's');
}

/* The new version runs. True: restart now. */
static bool trial(struct sim_device *device, uint64_t number)
{
	struct slots *slots = &device->slots;
	struct ota_why why;

	if (sim_release_of(device, number)->behaviour == SIM_SICK) {
		if (sim_failed(device,
			       keep_put(&device->keep, KEEP_EVIDENCE, "it was sick", 11, &why),
			       &why) ||
		    !enter(device, DEVICE_REVERTING, number) ||
		    sim_failed(device, slots->revert(slots->ctx, &why), &why))
			return false;
		return true;
	}
	if (!sim_failed(device, slots->confirm(slots->ctx, &why), &why))
		confirmed(device, number);
	return false;
}

static void forget_evidence(struct sim_device *device)
{
	struct ota_why why;

	sim_failed(device, keep_remove(&device->keep, KEEP_EVIDENCE, &why), &why);
}

static void returned(struct sim_device *device, uint64_t number)
{
	struct slots *slots = &device->slots;
	AUTO_FREE char *evidence = NULL;
	struct ota_why why;
	size_t len;

	if (sim_release_of(device, number)->behaviour == SIM_SICK &&
	    sim_failed(device, keep_get(&device->keep, KEEP_EVIDENCE, &evidence, &len, &why),
		       &why))
		return;
	/* The report before the state that makes it: repeated, not lost. */
	if (!final_waits(device, number) && !report(device, KEEP_FINAL, 'r', number))
		return;
	if (!sim_failed(device, slots->settle(slots->ctx, &why), &why) &&
	    enter(device, DEVICE_IDLE, 0))
		forget_evidence(device);
}

/* What the start finds: the boot state decides, the journal says which update it was about.
 * True: restart now. */
static bool go_on(struct sim_device *device, bool *ret_stop)
{
	uint64_t number = device->journal.entry.release;
	struct slots *slots = &device->slots;
	struct boot_state state;
	struct ota_why why;

	*ret_stop = true;
	if (sim_failed(device, slots->state(slots->ctx, &state, &why), &why))
		return false;
	if (state.phase != BOOT_SETTLED && state.phase != BOOT_RETURNED && number == 0) {
		sim_broken(device, "%s without an update in the journal",
			   boot_phase_names[state.phase]);
		return false;
	}
	*ret_stop = false;
	if (state.phase == BOOT_TRYING)
		return trial(device, number);
	if (state.phase == BOOT_RETURNED && number) {
		if (sim_release_of(device, number)->event == SIM_CANCELED_ARMED) {
			if (!sim_failed(device, slots->settle(slots->ctx, &why), &why))
				end(device, number, 'c');
			return false;
		}
		returned(device, number);
		return false;
	}
	if (state.phase == BOOT_RETURNED) {
		if (!sim_failed(device, slots->settle(slots->ctx, &why), &why))
			forget_evidence(device);
		return false;
	}
	if (number == 0)
		return false;
	if (device->running == sim_release_of(device, number)->image)
		confirmed(device, number);
	else if (final_waits(device, number))
		enter(device, DEVICE_IDLE, 0);
	else
		return install(device, number);
	return false;
}

static void check_promises(struct sim_device *device)
{
	if (device->keep.floor_lost)
		sim_broken(device, "the floor was lost");
	if (device->keep.floor.security_version < device->floor.security_version ||
	    device->keep.floor.number < device->floor.number)
		sim_broken(device, "the floor fell");
}

static bool many_reports(struct sim_device *device)
{
	struct ota_why why;

	if (device->keep.report_count >= 70)
		return true;
	for (unsigned i = device->keep.report_count; i < 70; i++) {
		uint64_t seq;
		if (sim_failed(device, keep_report_seq(&device->keep, &seq, &why), &why) ||
		    sim_failed(device,
			       keep_report_add(&device->keep, seq, KEEP_STEP, "-", 1, &why),
			       &why))
			return false;
		device->promised[seq / 64] |= UINT64_C(1) << (seq % 64);
	}
	return true;
}

/* True when the plugin has nothing more for the device. */
static bool work(struct sim_device *device)
{
	for (unsigned turn = 0; turn < 8; turn++) {
		bool stop;
		if (go_on(device, &stop) || stop || sim_disk_is_dead(device->disk) ||
		    device->broken[0])
			return false;
		if (device->journal.entry.release)
			continue;
		unsigned next = 0;
		while (next < SIM_RELEASES && device->final[next])
			next++;
		if (next < SIM_RELEASES &&
		    device->scenario->releases[next].event == SIM_AFTER_MANY_REPORTS &&
		    !device->received[1] && !many_reports(device))
			return false;
		if (!send_reports(device))
			return false;
		while (next < SIM_RELEASES && device->final[next])
			next++;
		if (next == SIM_RELEASES || !device->scenario->releases[next].image)
			return true;
		if (!accept_offer(device, next + 1))
			return false;
	}
	return false;
}

bool sim_agent_runs(struct sim_device *device)
{
	const struct disk *disk = sim_disk_seam(device->disk);
	bool lost, done = false;
	struct ota_why why;

	if (sim_failed(device, keep_open(&device->keep, disk, "/state", &why), &why))
		return false;
	if (sim_failed(device, journal_open(&device->journal, disk, "/state", &lost, &why),
		       &why)) {
		keep_done(&device->keep);
		return false;
	}
	if (lost)
		sim_broken(device, "the journal was lost");
	check_promises(device);
	if (!device->broken[0])
		done = work(device);
	journal_done(&device->journal);
	keep_done(&device->keep);
	return done;
}
