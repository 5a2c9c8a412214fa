#include "sim_device_inside.h"

#include "own.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

/* The bytes of image `id`, part `part`: made once, the same in every run. */
#define IMAGE_ROOM (4u << 20)
static uint8_t *image_bytes[SIM_IMAGES][SIM_PARTS];

size_t sim_image_size(const struct sim_scenario *scenario, unsigned image, unsigned part)
{
	static const int extra[SIM_IMAGES] = {0, 0, 1300, -900};

	return (size_t)((int)scenario->image_size + extra[image]) + part * 700;
}

const uint8_t *sim_image_of(unsigned image, unsigned part)
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

const struct digest *sim_image_digest(const struct sim_scenario *scenario, unsigned image,
				      unsigned part)
{
	static struct {
		const struct sim_scenario *of;
		struct digest digest;
	} known[SIM_IMAGES][SIM_PARTS];

	if (known[image][part].of != scenario) {
		if (digest_of(sim_image_of(image, part), sim_image_size(scenario, image, part),
			      &known[image][part].digest, NULL))
			abort();
		known[image][part].of = scenario;
	}
	return &known[image][part].digest;
}

void sim_broken(struct sim_device *device, const char *format, ...)
{
	va_list args;

	if (device->broken[0])
		return;
	va_start(args, format);
	vsnprintf(device->broken, sizeof(device->broken), format, args);
	va_end(args);
}

bool sim_failed(struct sim_device *device, enum ota_err err, const struct ota_why *why)
{
	if (!err)
		return false;
	if (!sim_disk_is_dead(device->disk))
		sim_broken(device, "%s: %s", ota_err_name(err), why->text);
	return true;
}

const char *sim_slot_path(enum boot_slot slot, unsigned part)
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
			size_t len, size = sim_image_size(scenario, image, part);
			whole = whole &&
				sim_disk_peek(device->disk, sim_slot_path(slot, part), &bytes,
					      &len) &&
				(scenario->backend == SIM_SLOT_FILE ? len == size
								    : len >= size) &&
				memcmp(bytes, sim_image_of(image, part), size) == 0;
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
				  sim_slot_path((enum boot_slot)slot, part));
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
		size_t size = sim_image_size(scenario, 1, part);
		if (scenario->backend == SIM_SLOT_FILE) {
			sim_disk_put(device->disk, sim_slot_path(BOOT_SLOT_A, part),
				     sim_image_of(1, part), size);
			continue;
		}
		size_t partition = (scenario->image_size + 4096) & ~(size_t)511;
		memset(room, 0, partition);
		sim_disk_put(device->disk, sim_slot_path(BOOT_SLOT_B, part), room, partition);
		memcpy(room, sim_image_of(1, part), size);
		sim_disk_put(device->disk, sim_slot_path(BOOT_SLOT_A, part), room, partition);
	}
	memset(grubenv, '#', sizeof(grubenv));
	memcpy(grubenv, empty_block, sizeof(empty_block) - 1);
	sim_disk_put(device->disk, "/boot/grubenv", grubenv, sizeof(grubenv));
}

void sim_device_done(struct sim_device *device)
{
	sim_disk_free(device->disk);
}

const struct sim_release *sim_release_of(const struct sim_device *device, uint64_t number)
{
	return &device->scenario->releases[number - 1];
}

void sim_plugin_receives(struct sim_device *device, uint64_t seq, const char *payload)
{
	unsigned long long release;
	char state;

	if (seq >= SIM_SEQS_MAX) {
		sim_broken(device, "report number %llu", (unsigned long long)seq);
		return;
	}
	uint64_t bit = UINT64_C(1) << (seq % 64);
	if ((device->received[seq / 64] & bit) && device->content[seq] != payload[0])
		sim_broken(device, "report number %llu came with two contents",
			   (unsigned long long)seq);
	device->received[seq / 64] |= bit;
	device->content[seq] = payload[0];
	if (payload[0] == '-')
		return;
	if (payload[1] != ' ') {
		sim_broken(device, "a report that cannot be read");
		return;
	}
	release = (unsigned long long)(payload[2] - '0');
	state = payload[0];
	if (release < 1 || release > SIM_RELEASES) {
		sim_broken(device, "a report of release %llu", release);
		return;
	}
	if (state != 's' && state != 'r' && state != 'c')
		return;
	if (device->final[release - 1] && device->final_state[release - 1] != state)
		sim_broken(device, "release %llu ended as '%c' and as '%c'", release,
			   device->final_state[release - 1], state);
	device->final[release - 1] = true;
	device->final_state[release - 1] = state;
}

/* What the boot selector chose is what runs; it must be whole. */
static void check_started(struct sim_device *device, enum boot_slot slot)
{
	struct boot_state state;

	device->running = slot_holds(device, slot);
	if (!device->running)
		sim_broken(device, "slot %s was started and holds no whole image",
			   boot_slot_names[slot]);
	if (device->slots.state(device->slots.ctx, &state, NULL))
		return;
	for (unsigned s = 0; s < BOOT_SLOT_COUNT; s++)
		if (state.bootable[s] && !slot_holds(device, (enum boot_slot)s))
			sim_broken(device, "slot %s is bootable and holds no whole image",
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

	if (sim_failed(device, open_slots(device, &why), &why))
		return false;
	if (!sim_failed(device, device->slots.boot(device->slots.ctx, &slot, &why), &why) &&
	    !sim_failed(device, why.err, &why) && !sim_disk_is_dead(device->disk)) {
		check_started(device, slot);
		sim_disk_protect(device->disk, sim_slot_path(slot, 0));
		if (!device->broken[0] && !crashes(device))
			done = sim_agent_runs(device);
		sim_disk_protect(device->disk, "");
	}
	slots_done(&device->slots);
	if (sim_disk_violations(device->disk))
		sim_broken(device, "the running slot was written");
	return done;
}

void sim_device_check_end(struct sim_device *device)
{
	const struct sim_scenario *scenario = device->scenario;
	uint64_t allowed = 0;

	if (device->running != scenario->ends_with)
		sim_broken(device, "image %u runs in the end, not %u", device->running,
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
			sim_broken(device, "release %u has no final report", i + 1);
		else if (device->final_state[i] != wanted)
			sim_broken(device, "release %u ended as '%c', not '%c'", i + 1,
				   device->final_state[i], wanted);
		for (unsigned part = 0; part < scenario->parts; part++)
			allowed += sim_image_size(scenario, release->image, part) *
				   (release->event == SIM_FLIPPED ||
						    release->event == SIM_SYNC_FAILED
					    ? 2
					    : 1);
	}
	for (unsigned i = 0; i < SIM_SEQS_MAX / 64; i++)
		if (device->promised[i] & ~device->received[i])
			sim_broken(device, "a stored report was lost");
	allowed += device->cuts * (SLOT_SYNC_BYTES + scenario->segment);
	if (device->fetched > allowed)
		sim_broken(device, "%llu bytes were fetched, at most %llu are allowed",
			   (unsigned long long)device->fetched, (unsigned long long)allowed);
}
