#include "sim_device.h"

#include "own.h"

#include <stdarg.h>
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

/* The bytes of image `id`, part `part`: made once, the same in every run. */
#define IMAGE_ROOM (4u << 20)
static uint8_t *image_bytes[SIM_IMAGES][SIM_PARTS];

static size_t image_size(const struct sim_scenario *scenario, unsigned image, unsigned part)
{
	static const int extra[SIM_IMAGES] = {0, 0, 1300, -900};

	return (size_t)((int)scenario->image_size + extra[image]) + part * 700;
}

static const uint8_t *image_of(unsigned image, unsigned part)
{
	if (!image_bytes[image][part]) {
		uint8_t *bytes = malloc(IMAGE_ROOM);
		struct sim_random random = {image * 7919 + part + 1};
		if (!bytes)
			abort();
		for (size_t i = 0; i < IMAGE_ROOM; i += 8) {
			uint64_t word = sim_random_next(&random);
			memcpy(bytes + i, &word, 8);
		}
		image_bytes[image][part] = bytes;
	}
	return image_bytes[image][part];
}

static const struct digest *image_digest(const struct sim_scenario *scenario, unsigned image,
					 unsigned part)
{
	static struct {
		const struct sim_scenario *of;
		struct digest digest;
	} known[SIM_IMAGES][SIM_PARTS];

	if (known[image][part].of != scenario) {
		if (digest_of(image_of(image, part), image_size(scenario, image, part),
			      &known[image][part].digest, NULL))
			abort();
		known[image][part].of = scenario;
	}
	return &known[image][part].digest;
}

static void broken(struct sim_device *device, const char *format, ...)
	__attribute__((format(printf, 2, 3)));
static void broken(struct sim_device *device, const char *format, ...)
{
	va_list args;

	if (device->broken[0])
		return;
	va_start(args, format);
	vsnprintf(device->broken, sizeof(device->broken), format, args);
	va_end(args);
}

/* An error of the storage is a matter of course while the power is gone, and a defect else. */
static bool failed(struct sim_device *device, enum ota_err err, const struct ota_why *why)
{
	if (!err)
		return false;
	if (!sim_disk_is_dead(device->disk))
		broken(device, "%s: %s", ota_err_name(err), why->text);
	return true;
}

static const char *slot_path(enum boot_slot slot, unsigned part)
{
	static const char *const paths[BOOT_SLOT_COUNT][SIM_PARTS] = {
		{"/slots/a/app", "/slots/a/kernel"},
		{"/slots/b/app", "/slots/b/kernel"},
	};

	return paths[slot][part];
}

/* The image that a slot holds whole; 0: none. */
static unsigned slot_holds(const struct sim_device *device, enum boot_slot slot)
{
	const struct sim_scenario *scenario = device->scenario;

	for (unsigned image = 1; image < SIM_IMAGES; image++) {
		bool whole = true;
		for (unsigned part = 0; part < scenario->parts; part++) {
			const uint8_t *bytes;
			size_t len, size = image_size(scenario, image, part);
			whole = whole &&
				sim_disk_peek(device->disk, slot_path(slot, part), &bytes,
					      &len) &&
				(scenario->backend == SIM_SLOT_FILE ? len == size
								    : len >= size) &&
				memcmp(bytes, image_of(image, part), size) == 0;
		}
		if (whole)
			return image;
	}
	return 0;
}

static enum ota_err open_slots(struct sim_device *device, struct ota_why *why)
{
	const struct disk *disk = sim_disk_seam(device->disk);
	static const char *const classes[SIM_PARTS] = {"app", "kernel"};
	struct slot_part parts[SIM_PARTS];
	struct boot_store store;
	enum ota_err err = device->scenario->backend == SIM_SLOT_BLOCK_GRUB
				   ? bootstate_grub_open(disk, "/boot/grubenv", &store, why)
				   : bootstate_record_open(disk, "/boot/state", 0, &store, why);

	if (err)
		return err;
	memset(parts, 0, sizeof(parts));
	for (unsigned part = 0; part < device->scenario->parts; part++) {
		text_copy(parts[part].slot_class, sizeof(parts[part].slot_class),
			  classes[part]);
		for (unsigned slot = 0; slot < BOOT_SLOT_COUNT; slot++)
			text_copy(parts[part].path[slot], DISK_PATH_SIZE,
				  slot_path((enum boot_slot)slot, part));
		if (part == 0)
			text_copy(parts[part].link, DISK_PATH_SIZE, "/slots/current");
	}
	if (device->scenario->backend == SIM_SLOT_FILE)
		return slot_file_open(disk, parts, device->scenario->parts, 0, &store,
				      &device->slots, why);
	return slot_block_open(disk, parts, device->scenario->parts, NULL, &store,
			       &device->slots, why);
}

void sim_device_init(struct sim_device *device, const struct sim_scenario *scenario,
		     uint64_t seed)
{
	static const char empty_block[] = "# GRUB Environment Block\n";
	static uint8_t room[IMAGE_ROOM];
	char grubenv[1024];

	memset(device, 0, sizeof(*device));
	device->scenario = scenario;
	device->disk = sim_disk_new(seed);
	for (unsigned part = 0; part < scenario->parts; part++) {
		size_t size = image_size(scenario, 1, part);
		if (scenario->backend == SIM_SLOT_FILE) {
			sim_disk_put(device->disk, slot_path(BOOT_SLOT_A, part),
				     image_of(1, part), size);
			continue;
		}
		size_t partition = (scenario->image_size + 4096) & ~(size_t)511;
		memset(room, 0, partition);
		sim_disk_put(device->disk, slot_path(BOOT_SLOT_B, part), room, partition);
		memcpy(room, image_of(1, part), size);
		sim_disk_put(device->disk, slot_path(BOOT_SLOT_A, part), room, partition);
	}
	memset(grubenv, '#', sizeof(grubenv));
	memcpy(grubenv, empty_block, sizeof(empty_block) - 1);
	sim_disk_put(device->disk, "/boot/grubenv", grubenv, sizeof(grubenv));
}

void sim_device_done(struct sim_device *device)
{
	sim_disk_free(device->disk);
}

static const struct sim_release *release_of(const struct sim_device *device, uint64_t number)
{
	return &device->scenario->releases[number - 1];
}

/* The plugin takes a report: its number must be new, or its bytes the same as before. */
static void plugin_receives(struct sim_device *device, uint64_t seq, const char *payload)
{
	unsigned long long release;
	char state;

	if (seq >= SIM_SEQS_MAX) {
		broken(device, "report number %llu", (unsigned long long)seq);
		return;
	}
	uint64_t bit = UINT64_C(1) << (seq % 64);
	if ((device->received[seq / 64] & bit) && device->content[seq] != payload[0])
		broken(device, "report number %llu came with two contents",
		       (unsigned long long)seq);
	device->received[seq / 64] |= bit;
	device->content[seq] = payload[0];
	if (payload[0] == '-')
		return;
	if (payload[1] != ' ') {
		broken(device, "a report that cannot be read");
		return;
	}
	release = (unsigned long long)(payload[2] - '0');
	state = payload[0];
	if (release < 1 || release > SIM_RELEASES) {
		broken(device, "a report of release %llu", release);
		return;
	}
	if (state != 's' && state != 'r' && state != 'c')
		return;
	if (device->final[release - 1] && device->final_state[release - 1] != state)
		broken(device, "release %llu ended as '%c' and as '%c'", release,
		       device->final_state[release - 1], state);
	device->final[release - 1] = true;
	device->final_state[release - 1] = state;
}

static bool report(struct sim_device *device, enum keep_report_kind kind, char state,
		   uint64_t release)
{
	char payload[16];
	struct ota_why why;
	uint64_t seq;

	snprintf(payload, sizeof(payload), "%c %u", state, (unsigned)release);
	if (failed(device, keep_report_seq(&device->keep, &seq, &why), &why))
		return false;
	if (failed(device,
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
			if (failed(device,
				   keep_report_read(&device->keep, i, &payload, &len, &why),
				   &why))
				return false;
			seqs[i] = device->keep.reports[i].seq;
			plugin_receives(device, seqs[i], payload);
		}
		if (failed(device, keep_report_ack(&device->keep, seqs, count, &why), &why))
			return false;
	}
	return true;
}

static bool enter(struct sim_device *device, enum device_state state, uint64_t release)
{
	struct journal_entry entry = {.state = state, .release = release, .attempt = 1};
	struct ota_why why;

	return !failed(device, journal_write(&device->journal, &entry, &why), &why);
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
	snprintf(wanted[1], 32, "firmware %u", release_of(device, number)->image);
	return strcmp(release, wanted[0]) == 0 && strcmp(firmware, wanted[1]) == 0;
}

static bool accept_offer(struct sim_device *device, uint64_t number)
{
	const struct keep_floor seen = {.number = number};
	char text[32];
	struct ota_why why;

	snprintf(text, sizeof(text), "release %u", (unsigned)number);
	if (failed(device, keep_put(&device->keep, KEEP_RELEASE, text, strlen(text), &why),
		   &why))
		return false;
	snprintf(text, sizeof(text), "firmware %u", release_of(device, number)->image);
	if (failed(device, keep_put(&device->keep, KEEP_FIRMWARE, text, strlen(text), &why),
		   &why) ||
	    failed(device, keep_floor_raise(&device->keep, &seen, &why), &why))
		return false;
	if (device->floor.number < number)
		device->floor.number = number;
	return enter(device, DEVICE_OFFERED, number);
}

static const char *target_path(struct sim_device *device)
{
	bool a_runs = device->slots.running(device->slots.ctx) == BOOT_SLOT_A;

	return slot_path(a_runs ? BOOT_SLOT_B : BOOT_SLOT_A, 0);
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
	const struct sim_release *release = release_of(device, number);
	const uint8_t *image = image_of(release->image, part);
	size_t size = image_size(device->scenario, release->image, part);
	size_t segment = device->scenario->segment;
	struct slots *slots = &device->slots;
	struct ota_why why;

	if (failed(device, slots->begin(slots->ctx, part, size, &why), &why))
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
		if (failed(device, slots->write(slots->ctx, part, at, image + at, len, &why),
			   &why))
			return FETCHED_FAILED;
	}
	if (release->event == SIM_SYNC_FAILED && !device->sync_failed) {
		device->sync_failed = true;
		sim_disk_fail_sync(device->disk, target_path(device));
	}
	enum ota_err err = slots->finish(slots->ctx, part, &why);
	if (err == OTA_IO_ERROR && device->sync_failed && !sim_disk_is_dead(device->disk))
		return FETCHED_AGAIN;
	return failed(device, err, &why) ? FETCHED_FAILED : FETCHED_ALL;
}

/* True when all parts came back from the medium as they should. */
static bool verify(struct sim_device *device, uint64_t number, bool *ret_failed)
{
	unsigned image = release_of(device, number)->image;
	struct slots *slots = &device->slots;

	*ret_failed = false;
	for (unsigned part = 0; part < device->scenario->parts; part++) {
		struct ota_why why;
		enum ota_err err =
			slots->verify(slots->ctx, SLOT_TARGET, part,
				      image_size(device->scenario, image, part),
				      image_digest(device->scenario, image, part), NULL, &why);
		if (err == OTA_IMAGE_HASH_MISMATCH && device->flipped)
			return false;
		*ret_failed = failed(device, err, &why);
		if (err)
			return false;
	}
	return true;
}

/* Fills and verifies the target; a damaged medium is written once more. */
static enum fetched fetch(struct sim_device *device, uint64_t number)
{
	const struct sim_release *release = release_of(device, number);

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
	broken(device, "the image was not right after three rounds");
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
	    failed(device, slots->arm(slots->ctx, SIM_TRIES, &why), &why) ||
	    !enter(device, DEVICE_WAITING, number) || !report(device, KEEP_STEP, 'w', number))
		return false;
	if (release_of(device, number)->event != SIM_CANCELED_ARMED)
		return true;
	if (!failed(device, slots->revert(slots->ctx, &why), &why) &&
	    !failed(device, slots->settle(slots->ctx, &why), &why))
		end(device, number, 'c');
	return false;
}

static void confirmed(struct sim_device *device, uint64_t number)
{
	const struct keep_floor floor = {.security_version = release_of(device, number)->image};
	struct ota_why why;

	if (failed(device, keep_floor_raise(&device->keep, &floor, &why), &why))
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

	if (release_of(device, number)->behaviour == SIM_SICK) {
		if (failed(device,
			   keep_put(&device->keep, KEEP_EVIDENCE, "it was sick", 11, &why),
			   &why) ||
		    !enter(device, DEVICE_REVERTING, number) ||
		    failed(device, slots->revert(slots->ctx, &why), &why))
			return false;
		return true;
	}
	if (!failed(device, slots->confirm(slots->ctx, &why), &why))
		confirmed(device, number);
	return false;
}

static void forget_evidence(struct sim_device *device)
{
	struct ota_why why;

	failed(device, keep_remove(&device->keep, KEEP_EVIDENCE, &why), &why);
}

static void returned(struct sim_device *device, uint64_t number)
{
	struct slots *slots = &device->slots;
	AUTO_FREE char *evidence = NULL;
	struct ota_why why;
	size_t len;

	if (release_of(device, number)->behaviour == SIM_SICK &&
	    failed(device, keep_get(&device->keep, KEEP_EVIDENCE, &evidence, &len, &why), &why))
		return;
	/* The report before the state that makes it: repeated, not lost. */
	if (!final_waits(device, number) && !report(device, KEEP_FINAL, 'r', number))
		return;
	if (!failed(device, slots->settle(slots->ctx, &why), &why) &&
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
	if (failed(device, slots->state(slots->ctx, &state, &why), &why))
		return false;
	if (state.phase != BOOT_SETTLED && state.phase != BOOT_RETURNED && number == 0) {
		broken(device, "%s without an update in the journal",
		       boot_phase_names[state.phase]);
		return false;
	}
	*ret_stop = false;
	if (state.phase == BOOT_TRYING)
		return trial(device, number);
	if (state.phase == BOOT_RETURNED && number) {
		if (release_of(device, number)->event == SIM_CANCELED_ARMED) {
			if (!failed(device, slots->settle(slots->ctx, &why), &why))
				end(device, number, 'c');
			return false;
		}
		returned(device, number);
		return false;
	}
	if (state.phase == BOOT_RETURNED) {
		if (!failed(device, slots->settle(slots->ctx, &why), &why))
			forget_evidence(device);
		return false;
	}
	if (number == 0)
		return false;
	if (device->running == release_of(device, number)->image)
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
		broken(device, "the floor was lost");
	if (device->keep.floor.security_version < device->floor.security_version ||
	    device->keep.floor.number < device->floor.number)
		broken(device, "the floor fell");
}

static bool many_reports(struct sim_device *device)
{
	struct ota_why why;

	if (device->keep.report_count >= 70)
		return true;
	for (unsigned i = device->keep.report_count; i < 70; i++) {
		uint64_t seq;
		if (failed(device, keep_report_seq(&device->keep, &seq, &why), &why) ||
		    failed(device, keep_report_add(&device->keep, seq, KEEP_STEP, "-", 1, &why),
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

static bool agent_runs(struct sim_device *device)
{
	const struct disk *disk = sim_disk_seam(device->disk);
	bool lost, done = false;
	struct ota_why why;

	if (failed(device, keep_open(&device->keep, disk, "/state", &why), &why))
		return false;
	if (failed(device, journal_open(&device->journal, disk, "/state", &lost, &why), &why)) {
		keep_done(&device->keep);
		return false;
	}
	if (lost)
		broken(device, "the journal was lost");
	check_promises(device);
	if (!device->broken[0])
		done = work(device);
	journal_done(&device->journal);
	keep_done(&device->keep);
	return done;
}

/* What the boot selector chose is what runs; it must be whole. */
static void check_started(struct sim_device *device, enum boot_slot slot)
{
	struct boot_state state;

	device->running = slot_holds(device, slot);
	if (!device->running)
		broken(device, "slot %s was started and holds no whole image",
		       boot_slot_names[slot]);
	if (device->slots.state(device->slots.ctx, &state, NULL))
		return;
	for (unsigned s = 0; s < BOOT_SLOT_COUNT; s++)
		if (state.bootable[s] && !slot_holds(device, (enum boot_slot)s))
			broken(device, "slot %s is bootable and holds no whole image",
			       boot_slot_names[s]);
}

static bool crashes(struct sim_device *device)
{
	for (unsigned i = 0; i < SIM_RELEASES; i++) {
		const struct sim_release *release = &device->scenario->releases[i];
		if (release->image != device->running)
			continue;
		if (release->behaviour == SIM_CRASHES)
			return true;
		if (release->behaviour == SIM_CRASHES_FIRST)
			return device->crashes++ == 0;
	}
	return false;
}

bool sim_device_live(struct sim_device *device)
{
	enum boot_slot slot;
	struct ota_why why;
	bool done = false;

	if (failed(device, open_slots(device, &why), &why))
		return false;
	if (!failed(device, device->slots.boot(device->slots.ctx, &slot, &why), &why) &&
	    !failed(device, why.err, &why) && !sim_disk_is_dead(device->disk)) {
		check_started(device, slot);
		sim_disk_protect(device->disk, slot_path(slot, 0));
		if (!device->broken[0] && !crashes(device))
			done = agent_runs(device);
		sim_disk_protect(device->disk, "");
	}
	slots_done(&device->slots);
	if (sim_disk_violations(device->disk))
		broken(device, "the running slot was written");
	return done;
}

void sim_device_check_end(struct sim_device *device)
{
	const struct sim_scenario *scenario = device->scenario;
	uint64_t allowed = 0;

	if (device->running != scenario->ends_with)
		broken(device, "image %u runs in the end, not %u", device->running,
		       scenario->ends_with);
	for (unsigned i = 0; i < SIM_RELEASES && scenario->releases[i].image; i++) {
		const struct sim_release *release = &scenario->releases[i];
		bool bad = release->behaviour == SIM_SICK || release->behaviour == SIM_CRASHES;
		bool stopped = release->event == SIM_SUPERSEDED ||
			       release->event == SIM_CANCELED ||
			       release->event == SIM_CANCELED_ARMED;
		char wanted = stopped ? 'c' : bad ? 'r' : 's';
		if (release->event == SIM_CANCELED_ARMED && device->final_state[i] == 's')
			wanted = 's'; /* the cut was the restart that it waited for */
		if (!device->final[i])
			broken(device, "release %u has no final report", i + 1);
		else if (device->final_state[i] != wanted)
			broken(device, "release %u ended as '%c', not '%c'", i + 1,
			       device->final_state[i], wanted);
		for (unsigned part = 0; part < scenario->parts; part++)
			allowed += image_size(scenario, release->image, part) *
				   (release->event == SIM_FLIPPED ||
						    release->event == SIM_SYNC_FAILED
					    ? 2
					    : 1);
	}
	for (unsigned i = 0; i < SIM_SEQS_MAX / 64; i++)
		if (device->promised[i] & ~device->received[i])
			broken(device, "a stored report was lost");
	allowed += device->cuts * (SLOT_SYNC_BYTES + scenario->segment);
	if (device->fetched > allowed)
		broken(device, "%llu bytes were fetched, at most %llu are allowed",
		       (unsigned long long)device->fetched, (unsigned long long)allowed);
}
