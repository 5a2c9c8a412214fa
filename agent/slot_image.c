/* Order of an update, and why each step may be repeated after a cut:
 *
 *   begin   boot state: target not bootable (synced) → only then is the target opened for
 * writing write   any order, any number of times; synced every SLOT_SYNC_BYTES finish  sync,
 * exact size, sync verify  cache dropped, whole image read and hashed arm     one write of the
 * boot state, only when every part begun was verified after its last write
 *
 * Before arm the boot state says that the target does not boot, so whatever the cut left in it
 * is harmless; after arm nothing writes to it. */
#include "slot_image.h"

#include "own.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

#define DIRECT_ALIGN 4096u /* of buffers and offsets: no medium's sectors are larger */

static enum boot_slot image_running(void *ctx)
{
	const struct slot_image *image = ctx;

	return image->running;
}

static enum boot_slot image_slot(const struct slot_image *image, enum slot_which which)
{
	if (which == SLOT_RUNNING)
		return image->running;
	return image->running == BOOT_SLOT_A ? BOOT_SLOT_B : BOOT_SLOT_A;
}

static enum ota_err image_state(void *ctx, struct boot_state *ret_state, struct ota_why *why)
{
	struct slot_image *image = ctx;
	struct boot_state state;
	enum ota_err err = image->store.read(image->store.ctx, &state, why);

	if (err)
		return err;
	if (!bootstate_is_sound(&state))
		return ota_fail(why, OTA_BOOTLOADER_ERROR, "the boot state contradicts itself");
	if (state.phase == BOOT_TRYING && image->running != state.trying)
		state.phase = BOOT_ARMED;
	*ret_state = state;
	return OTA_OK;
}

static enum ota_err image_part(const struct slot_image *image, unsigned part,
			       struct ota_why *why)
{
	if (part >= image->part_count)
		return ota_fail(why, OTA_SLOT_ERROR, "there is no part %u", part);
	return OTA_OK;
}

static void image_close(struct slot_image *image, unsigned part)
{
	if (image->work[part].file >= 0)
		image->disk.close(image->disk.ctx, image->work[part].file);
	image->work[part].file = -1;
}

static bool image_find(void *ctx, const char *slot_class, unsigned *ret_part)
{
	const struct slot_image *image = ctx;

	for (unsigned i = 0; i < image->part_count; i++) {
		if (strcmp(image->parts[i].slot_class, slot_class) != 0)
			continue;
		*ret_part = i;
		return true;
	}
	return false;
}

static enum ota_err image_capacity(void *ctx, unsigned part, uint64_t *ret_bytes,
				   struct ota_why *why)
{
	struct slot_image *image = ctx;
	enum ota_err err = image_part(image, part, why);

	if (err)
		return err;
	if (!image->limit)
		return image->capacity(image, part, ret_bytes, why);
	*ret_bytes = image->limit;
	return OTA_OK;
}

/* Three checks that do not rest on one another: the boot state, the system's own view of what
 * runs, and the kernel's of what is in use. */
static enum ota_err image_refuse_running(struct slot_image *image, unsigned part,
					 enum boot_slot target, struct ota_why *why)
{
	const struct disk *disk = &image->disk;
	const char *path = image->parts[part].path[target];
	enum boot_slot seen;
	char how[128];
	enum ota_err err = bootstate_begin(&image->store, target, why);

	if (err)
		return err;
	if (image->look && image->look(image, &seen) && seen == target)
		return ota_fail(why, OTA_SLOT_ERROR, "the slot '%s' is the running one", path);
	int used = disk->in_use(disk->ctx, path, how, sizeof(how));
	if (used > 0)
		return ota_fail(why, OTA_SLOT_ERROR, "the slot '%s' is in use: %s", path, how);
	if (used < 0)
		return ota_fail_errno(why, OTA_SLOT_ERROR, -used, "the slot '%s'", path);
	return OTA_OK;
}

/* Room for the image, and nothing in the cache that a failed sync left there: what is read to
 * find out how much is right already must be what the medium has. */
static enum ota_err image_prepare(struct slot_image *image, unsigned part, int file,
				  uint64_t size, struct ota_why *why)
{
	const struct disk *disk = &image->disk;
	enum ota_err err = image->room(image, part, file, size, why);

	if (!err)
		err = disk_sync(disk, file, why);
	if (err)
		return err;
	int dropped = disk->drop_cache(disk->ctx, file);
	if (dropped < 0)
		return ota_fail_errno(why, OTA_IO_ERROR, -dropped, "dropping the cache");
	return OTA_OK;
}

static enum ota_err image_begin(void *ctx, unsigned part, uint64_t size, struct ota_why *why)
{
	struct slot_image *image = ctx;
	const struct disk *disk = &image->disk;
	enum boot_slot target = image_slot(image, SLOT_TARGET);
	enum ota_err err = image_part(image, part, why);

	if (err)
		return err;
	if (size == 0 || (image->limit && size > image->limit))
		return ota_fail(why, OTA_INSUFFICIENT_STORAGE,
				"the image has %llu bytes, 1 to %llu are allowed",
				(unsigned long long)size, (unsigned long long)image->limit);
	image_close(image, part);
	image->work[part].verified = false;
	err = image_refuse_running(image, part, target, why);
	if (err)
		return err;

	const char *path = image->parts[part].path[target];
	int file = disk->open(disk->ctx, path, O_RDWR | image->open_flags, 0755);
	if (file < 0)
		return ota_fail_errno(why, OTA_SLOT_ERROR, -file, "the slot '%s'", path);
	err = image_prepare(image, part, file, size, why);
	if (err) {
		disk->close(disk->ctx, file);
		return ota_context(why, err, "the slot '%s'", path);
	}
	image->work[part].file = file;
	image->work[part].to = target;
	image->work[part].size = size;
	image->work[part].unsynced = 0;
	return OTA_OK;
}

static enum ota_err image_working(struct slot_image *image, unsigned part, struct ota_why *why)
{
	enum ota_err err = image_part(image, part, why);

	if (err)
		return err;
	if (image->work[part].file < 0)
		return ota_fail(why, OTA_SLOT_ERROR, "part %u was not begun", part);
	return OTA_OK;
}

static enum ota_err image_sync(struct slot_image *image, unsigned part, struct ota_why *why)
{
	enum ota_err err = disk_sync(&image->disk, image->work[part].file, why);

	if (err)
		return ota_context(why, err, "slot %s", boot_slot_names[image->work[part].to]);
	image->work[part].unsynced = 0;
	return OTA_OK;
}

static enum ota_err image_write(void *ctx, unsigned part, uint64_t offset, const void *bytes,
				size_t len, struct ota_why *why)
{
	struct slot_image *image = ctx;
	enum ota_err err = image_working(image, part, why);

	if (err)
		return err;
	if (offset > image->work[part].size || len > image->work[part].size - offset)
		return ota_fail(why, OTA_SIZE_MISMATCH,
				"%zu bytes at %llu reach beyond the image of %llu", len,
				(unsigned long long)offset,
				(unsigned long long)image->work[part].size);
	image->work[part].verified = false;
	if (image->work[part].unsynced + len > SLOT_SYNC_BYTES) {
		err = image_sync(image, part, why);
		if (err)
			return err;
	}
	err = disk_write(&image->disk, image->work[part].file, bytes, len, offset, why);
	if (err)
		return ota_context(why, err, "slot %s, byte %llu",
				   boot_slot_names[image->work[part].to],
				   (unsigned long long)offset);
	image->work[part].unsynced += len;
	return OTA_OK;
}

static enum ota_err image_read(void *ctx, enum slot_which which, unsigned part, uint64_t offset,
			       void *ret_bytes, size_t len, struct ota_why *why)
{
	struct slot_image *image = ctx;
	const struct disk *disk = &image->disk;
	enum ota_err err = image_part(image, part, why);

	if (err)
		return err;
	const char *path = image->parts[part].path[image_slot(image, which)];
	int file = disk->open(disk->ctx, path, O_RDONLY, 0);
	if (file < 0)
		return ota_fail_errno(why, OTA_SLOT_ERROR, -file, "the slot '%s'", path);
	err = disk_read(disk, file, ret_bytes, len, offset, why);
	disk->close(disk->ctx, file);
	return err ? ota_context(why, err, "the slot '%s'", path) : OTA_OK;
}

static enum ota_err image_finish(void *ctx, unsigned part, struct ota_why *why)
{
	struct slot_image *image = ctx;
	enum ota_err err = image_working(image, part, why);

	if (!err)
		err = image_sync(image, part, why);
	if (err)
		return err;
	if (image->trim)
		err = image->trim(image, part, image->work[part].file, image->work[part].size,
				  why);
	if (err)
		return ota_context(why, err, "slot %s", boot_slot_names[image->work[part].to]);
	image_close(image, part);
	return OTA_OK;
}

/* Reads past the page cache where the file system can: what a cache still holds is no evidence,
 * and what the application has there stays. The end, and what cannot be read so, is read
 * through `file`, whose cache was dropped. *direct is -1 where there is no such handle, or no
 * longer. */
static enum ota_err image_read_medium(const struct disk *disk, int *direct, int file,
				      uint8_t *block, uint64_t at, size_t *len,
				      struct ota_why *why)
{
	if (*direct >= 0 && *len >= DIRECT_ALIGN) {
		size_t whole = *len - *len % DIRECT_ALIGN;

		if (!disk_read(disk, *direct, block, whole, at, NULL)) {
			*len = whole;
			return OTA_OK;
		}
		disk->close(disk->ctx, *direct);
		*direct = -1;
	}
	return disk_read(disk, file, block, *len, at, why);
}

/* Hashes [0, size) of an open file as it stands on the medium. */
static enum ota_err image_hash(const struct disk *disk, int *direct, int file, uint64_t size,
			       const struct slot_watch *watch, struct digest *ret_digest,
			       struct ota_why *why)
{
	struct digest_stream *stream = NULL;
	AUTO_FREE uint8_t *block = aligned_alloc(DIRECT_ALIGN, SLOT_READ_SIZE);

	if (!block)
		return ota_fail(why, OTA_OUT_OF_MEMORY, "reading a slot");
	int dropped = disk->drop_cache(disk->ctx, file);
	if (dropped < 0)
		return ota_fail_errno(why, OTA_IO_ERROR, -dropped, "dropping the cache");
	enum ota_err err = digest_stream_new(&stream, why);
	for (uint64_t at = 0; !err && at < size;) {
		size_t len = size - at < SLOT_READ_SIZE ? (size_t)(size - at) : SLOT_READ_SIZE;
		err = image_read_medium(disk, direct, file, block, at, &len, why);
		if (!err)
			err = digest_stream_add(stream, block, len, why);
		at += len;
		if (!err && watch && watch->go_on && !watch->go_on(watch->arg, at, size))
			err = ota_fail(why, OTA_BUSY, "reading the slot was stopped");
	}
	if (!err)
		err = digest_stream_end(stream, ret_digest, why);
	digest_stream_free(stream);
	return err;
}

/* Of the first *size bytes, or of all there are when it is 0, which it then is set to. */
static enum ota_err image_hash_slot(struct slot_image *image, enum slot_which which,
				    unsigned part, uint64_t *size,
				    const struct slot_watch *watch, struct digest *ret_digest,
				    struct ota_why *why)
{
	const struct disk *disk = &image->disk;
	uint64_t there;
	enum ota_err err = image_part(image, part, why);

	if (err)
		return err;
	const char *path = image->parts[part].path[image_slot(image, which)];
	int file = disk->open(disk->ctx, path, O_RDONLY, 0);
	if (file < 0)
		return ota_fail_errno(why, OTA_SLOT_ERROR, -file, "the slot '%s'", path);
	int got = disk->size(disk->ctx, file, &there);
	if (got < 0)
		err = ota_fail_errno(why, OTA_SLOT_ERROR, -got, "its size");
	else if (there < *size)
		err = ota_fail(why, OTA_SIZE_MISMATCH,
			       "it has %llu bytes, the image should have %llu",
			       (unsigned long long)there, (unsigned long long)*size);
	if (!err && *size == 0)
		*size = there;
	int direct = err ? -1 : disk->open(disk->ctx, path, O_RDONLY | O_DIRECT, 0);
	if (!err)
		err = image_hash(disk, &direct, file, *size, watch, ret_digest, why);
	if (direct >= 0)
		disk->close(disk->ctx, direct);
	disk->close(disk->ctx, file);
	return err ? ota_context(why, err, "the slot '%s'", path) : OTA_OK;
}

static enum ota_err image_digest(void *ctx, enum slot_which which, unsigned part,
				 struct digest *ret_digest, uint64_t *ret_size,
				 const struct slot_watch *watch, struct ota_why *why)
{
	uint64_t size = 0;
	enum ota_err err = image_hash_slot(ctx, which, part, &size, watch, ret_digest, why);

	if (err)
		return err;
	*ret_size = size;
	return OTA_OK;
}

static enum ota_err image_verify(void *ctx, enum slot_which which, unsigned part, uint64_t size,
				 const struct digest *digest, const struct slot_watch *watch,
				 struct ota_why *why)
{
	struct slot_image *image = ctx;
	struct digest seen;

	if (size == 0 || digest_is_zero(digest))
		return ota_fail(why, OTA_INTERNAL, "an image without a size or a digest");
	enum ota_err err = image_hash_slot(image, which, part, &size, watch, &seen, why);
	if (err)
		return err;
	if (!digest_equal(&seen, digest))
		return ota_fail(why, OTA_IMAGE_HASH_MISMATCH,
				"the image read back from the medium is not the signed one");
	if (which == SLOT_TARGET && image->work[part].file < 0) {
		image->work[part].verified = true;
		image->work[part].to = image_slot(image, SLOT_TARGET);
	}
	return OTA_OK;
}

static enum ota_err image_arm(void *ctx, uint32_t tries, struct ota_why *why)
{
	struct slot_image *image = ctx;
	enum boot_slot target = image_slot(image, SLOT_TARGET);

	for (unsigned part = 0; part < image->part_count; part++)
		if (!image->work[part].verified || image->work[part].to != target)
			return ota_fail(why, OTA_SLOT_ERROR,
					"the part '%s' of slot %s was not verified since its "
					"last write",
					image->parts[part].slot_class, boot_slot_names[target]);
	return bootstate_arm(&image->store, target, tries, why);
}

static enum ota_err image_boot(void *ctx, enum boot_slot *ret_slot, struct ota_why *why)
{
	struct slot_image *image = ctx;
	struct ota_why wrong = {.err = OTA_OK};
	enum boot_slot slot = image->running;
	enum ota_err err = bootstate_select(&image->store, &slot, &wrong);

	if (!err && image->point)
		err = image->point(image, slot, &wrong);
	if (!err || !image->look || !image->look(image, &image->running))
		image->running = slot;
	if (why)
		*why = wrong;
	*ret_slot = image->running;
	return OTA_OK;
}

static enum ota_err image_confirm(void *ctx, struct ota_why *why)
{
	struct slot_image *image = ctx;
	return bootstate_confirm(&image->store, image->running, why);
}

static enum ota_err image_revert(void *ctx, struct ota_why *why)
{
	struct slot_image *image = ctx;

	return bootstate_revert(&image->store, why);
}

static enum ota_err image_settle(void *ctx, struct ota_why *why)
{
	struct slot_image *image = ctx;

	return bootstate_settle(&image->store, why);
}

static bool image_path(void *ctx, enum boot_slot slot, unsigned part, char *ret_path,
		       size_t size)
{
	const struct slot_image *image = ctx;

	return part < image->part_count &&
	       text_copy(ret_path, size, image->parts[part].path[slot]);
}

void slot_image_free(struct slot_image *image)
{
	if (!image)
		return;
	for (unsigned part = 0; part < SLOT_PARTS_MAX; part++)
		image_close(image, part);
	bootstate_done(&image->store);
	free(image);
}

static void image_done(void *ctx)
{
	slot_image_free(ctx);
}

enum ota_err slot_image_new(const struct disk *disk, size_t size,
			    const struct boot_store *store, struct slot_image **ret_image,
			    struct ota_why *why)
{
	struct slot_image *image = calloc(1, size);

	if (!image) {
		struct boot_store unused = *store;
		bootstate_done(&unused);
		return ota_fail(why, OTA_OUT_OF_MEMORY, "the slots");
	}
	image->disk = *disk;
	image->store = *store;
	for (unsigned part = 0; part < SLOT_PARTS_MAX; part++)
		image->work[part].file = -1;
	*ret_image = image;
	return OTA_OK;
}

enum ota_err slot_image_slots(struct slot_image *image, struct slots *ret_slots,
			      struct ota_why *why)
{
	struct boot_state state;

	if (!image->look || !image->look(image, &image->running)) {
		enum ota_err err = image->store.read(image->store.ctx, &state, why);
		if (err)
			return ota_context(why, err, "the boot state");
		image->running = bootstate_running(&state);
	}
	*ret_slots = (struct slots){
		.ctx = image,
		.find = image_find,
		.capacity = image_capacity,
		.begin = image_begin,
		.write = image_write,
		.read = image_read,
		.finish = image_finish,
		.verify = image_verify,
		.digest = image_digest,
		.arm = image_arm,
		.state = image_state,
		.running = image_running,
		.boot = image_boot,
		.confirm = image_confirm,
		.revert = image_revert,
		.settle = image_settle,
		.path = image_path,
		.done = image_done,
	};
	return OTA_OK;
}

void slots_done(struct slots *slots)
{
	if (slots->done)
		slots->done(slots->ctx);
	memset(slots, 0, sizeof(*slots));
}
