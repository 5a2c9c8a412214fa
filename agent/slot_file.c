/* Two image files a part, and a link to the one that runs. The boot state is the truth; the
 * link is what systemd or a script starts through, and shows what was started last. */
#include "slot_image.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

static enum ota_err file_directory(const char *path, char ret_directory[DISK_PATH_SIZE],
				   struct ota_why *why)
{
	const char *slash = strrchr(path, '/');

	if (path[0] != '/' || !slash[1])
		return ota_fail(why, OTA_SLOT_ERROR, "'%s' is not the whole path of a file",
				path);
	size_t len = slash == path ? 1 : (size_t)(slash - path);
	memcpy(ret_directory, path, len);
	ret_directory[len] = '\0';
	return OTA_OK;
}

static uint64_t size_of(struct slot_image *image, const char *path)
{
	const struct disk *disk = &image->disk;
	uint64_t size = 0;
	int file = disk->open(disk->ctx, path, O_RDONLY, 0);

	if (file < 0)
		return 0;
	if (disk->size(disk->ctx, file, &size) < 0)
		size = 0;
	disk->close(disk->ctx, file);
	return size;
}

static enum ota_err file_space(struct slot_image *image, const char *path, uint64_t *ret_free,
			       struct ota_why *why)
{
	char directory[DISK_PATH_SIZE];
	enum ota_err err = file_directory(path, directory, why);

	if (err)
		return err;
	int got = image->disk.space(image->disk.ctx, directory, ret_free);
	if (got < 0)
		return ota_fail_errno(why, OTA_SLOT_ERROR, -got, "the free space in '%s'",
				      directory);
	return OTA_OK;
}

static const char *file_target(const struct slot_image *image, unsigned part)
{
	return image->parts[part]
		.path[image->running == BOOT_SLOT_A ? BOOT_SLOT_B : BOOT_SLOT_A];
}

static enum ota_err file_capacity(struct slot_image *image, unsigned part, uint64_t *ret_bytes,
				  struct ota_why *why)
{
	uint64_t space;
	enum ota_err err = file_space(image, file_target(image, part), &space, why);

	if (err)
		return err;
	*ret_bytes = space + size_of(image, file_target(image, part));
	return OTA_OK;
}

static enum ota_err file_missing(struct slot_image *image, unsigned part, uint64_t need,
				 struct ota_why *why)
{
	uint64_t space;
	enum ota_err err = file_space(image, file_target(image, part), &space, why);

	if (err)
		return err;
	uint64_t missing = need > space ? need - space : 1;
	return ota_fail_errno(why, OTA_INSUFFICIENT_STORAGE, ENOSPC,
			      "%llu bytes are missing: %llu more are needed, %llu are free",
			      (unsigned long long)missing, (unsigned long long)need,
			      (unsigned long long)space);
}

static enum ota_err file_room(struct slot_image *image, unsigned part, int file, uint64_t size,
			      struct ota_why *why)
{
	const struct disk *disk = &image->disk;
	uint64_t have, space;
	int got = disk->size(disk->ctx, file, &have);

	if (got < 0)
		return ota_fail_errno(why, OTA_SLOT_ERROR, -got, "its size");
	uint64_t need = size > have ? size - have : 0;
	enum ota_err err = file_space(image, file_target(image, part), &space, why);
	if (err)
		return err;
	if (need > space)
		return file_missing(image, part, need, why);
	got = disk->allocate(disk->ctx, file, size);
	if (got == -EOPNOTSUPP || got == -ENOSYS)
		got = need ? disk->truncate(disk->ctx, file, size) : 0;
	if (got == -ENOSPC || got == -EDQUOT)
		return file_missing(image, part, need, why);
	if (got < 0)
		return ota_fail_errno(why, OTA_SLOT_ERROR, -got, "making room for %llu bytes",
				      (unsigned long long)size);
	return OTA_OK;
}

static enum ota_err file_trim(struct slot_image *image, unsigned part, int file, uint64_t size,
			      struct ota_why *why)
{
	const struct disk *disk = &image->disk;
	char directory[DISK_PATH_SIZE];
	enum ota_err err = file_directory(file_target(image, part), directory, why);

	if (err)
		return err;
	int done = disk->truncate(disk->ctx, file, size);
	if (!done)
		done = disk->set_mode(disk->ctx, file, 0755);
	if (!done)
		done = disk->sync(disk->ctx, file);
	if (!done)
		done = disk->sync_directory(disk->ctx, directory);
	if (done < 0)
		return ota_fail_errno(why, OTA_SLOT_ERROR, -done, "completing the image");
	return OTA_OK;
}

static bool link_shows(struct slot_image *image, unsigned part, enum boot_slot *ret_slot)
{
	const struct slot_part *of = &image->parts[part];
	char target[DISK_PATH_SIZE];

	if (!of->link[0] ||
	    image->disk.readlink(image->disk.ctx, of->link, target, sizeof(target)) < 0)
		return false;
	for (unsigned slot = 0; slot < BOOT_SLOT_COUNT; slot++) {
		if (strcmp(target, of->path[slot]) != 0)
			continue;
		*ret_slot = (enum boot_slot)slot;
		return true;
	}
	return false;
}

static bool file_look(struct slot_image *image, enum boot_slot *ret_slot)
{
	return link_shows(image, 0, ret_slot);
}

/* The first part's link last: it is the one that is looked at. */
static enum ota_err file_point(struct slot_image *image, enum boot_slot slot,
			       struct ota_why *why)
{
	for (unsigned part = image->part_count; part-- > 0;) {
		const struct slot_part *of = &image->parts[part];
		enum boot_slot now;
		if (!of->link[0] || (link_shows(image, part, &now) && now == slot))
			continue;
		enum ota_err err =
			disk_replace_link(&image->disk, of->link, of->path[slot], why);
		if (err)
			return err;
		/* The way back must not hang on a free inode. */
		disk_spare_link(&image->disk, of->link,
				of->path[slot == BOOT_SLOT_A ? BOOT_SLOT_B : BOOT_SLOT_A]);
	}
	return OTA_OK;
}

static enum ota_err file_add_part(struct slot_image *image, const struct slot_part *part,
				  struct ota_why *why)
{
	const char *paths[] = {part->path[BOOT_SLOT_A], part->path[BOOT_SLOT_B], part->link};
	char directory[DISK_PATH_SIZE];

	for (unsigned i = 0; i < 3; i++) {
		if (i == 2 && !paths[i][0])
			break;
		enum ota_err err = file_directory(paths[i], directory, why);
		if (!err)
			err = disk_make_directory(&image->disk, directory, 0755, why);
		if (err)
			return err;
	}
	image->parts[image->part_count++] = *part;
	return OTA_OK;
}

enum ota_err slot_file_open(const struct disk *disk, const struct slot_part *parts,
			    unsigned part_count, uint64_t limit, const struct boot_store *store,
			    struct slots *ret_slots, struct ota_why *why)
{
	struct slot_image *image;
	enum ota_err err = slot_image_new(disk, sizeof(*image), store, &image, why);

	if (err)
		return err;
	image->limit = limit;
	image->open_flags = O_CREAT;
	image->capacity = file_capacity;
	image->room = file_room;
	image->trim = file_trim;
	image->look = file_look;
	image->point = file_point;
	if (part_count < 1 || part_count > SLOT_PARTS_MAX)
		err = ota_fail(why, OTA_SLOT_ERROR, "%u parts, 1 to %u are allowed", part_count,
			       SLOT_PARTS_MAX);
	for (unsigned part = 0; !err && part < part_count; part++)
		err = file_add_part(image, &parts[part], why);
	if (!err)
		err = slot_image_slots(image, ret_slots, why);
	if (err)
		slot_image_free(image);
	return err;
}
