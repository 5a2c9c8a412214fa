#include "disk.h"

#include "own.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

/* A file of the seam that is closed when its variable leaves its scope. */
struct disk_file {
	const struct disk *disk;
	int file;
};

static void disk_file_done(const struct disk_file *open)
{
	if (open->file >= 0)
		open->disk->close(open->disk->ctx, open->file);
}

#define AUTO_DISK_FILE AUTO(disk_file_done)

enum ota_err disk_write(const struct disk *disk, int file, const void *bytes, size_t len,
			uint64_t offset, struct ota_why *why)
{
	const uint8_t *from = bytes;

	while (len > 0) {
		ssize_t n = disk->pwrite(disk->ctx, file, from, len, offset);
		if (n < 0)
			return ota_fail_errno(why, OTA_IO_ERROR, (int)-n,
					      "%zu bytes could not be written", len);
		if (n == 0)
			return ota_fail(why, OTA_IO_ERROR,
					"%zu bytes could not be written: the device takes "
					"no more",
					len);
		from += n;
		len -= (size_t)n;
		offset += (uint64_t)n;
	}
	return OTA_OK;
}

enum ota_err disk_read(const struct disk *disk, int file, void *ret_bytes, size_t len,
		       uint64_t offset, struct ota_why *why)
{
	uint8_t *to = ret_bytes;

	while (len > 0) {
		ssize_t n = disk->pread(disk->ctx, file, to, len, offset);
		if (n < 0)
			return ota_fail_errno(why, OTA_IO_ERROR, (int)-n,
					      "%zu bytes could not be read", len);
		if (n == 0)
			return ota_fail(why, OTA_SIZE_MISMATCH,
					"it ends %zu bytes before it should", len);
		to += n;
		len -= (size_t)n;
		offset += (uint64_t)n;
	}
	return OTA_OK;
}

enum ota_err disk_sync(const struct disk *disk, int file, struct ota_why *why)
{
	int err = disk->sync_data(disk->ctx, file);

	if (err < 0)
		return ota_fail_errno(why, OTA_IO_ERROR, -err, "it could not be synced");
	return OTA_OK;
}

enum ota_err disk_read_file(const struct disk *disk, const char *path, size_t max,
			    char **ret_bytes, size_t *ret_len, struct ota_why *why)
{
	AUTO_DISK_FILE struct disk_file in = {disk, disk->open(disk->ctx, path, O_RDONLY, 0)};
	if (in.file < 0)
		return ota_fail_errno(why, in.file == -ENOENT ? OTA_NOT_FOUND : OTA_IO_ERROR,
				      -in.file, "'%s'", path);
	uint64_t size;
	int got = disk->size(disk->ctx, in.file, &size);
	if (got < 0)
		return ota_fail_errno(why, OTA_IO_ERROR, -got, "'%s'", path);
	if (size > max)
		return ota_fail(why, OTA_TOO_LARGE, "'%s' has %llu bytes, at most %zu are read",
				path, (unsigned long long)size, max);

	AUTO_FREE char *bytes = malloc((size_t)size + 1);
	if (!bytes)
		return ota_fail(why, OTA_OUT_OF_MEMORY, "'%s'", path);
	enum ota_err err = disk_read(disk, in.file, bytes, (size_t)size, 0, why);
	if (err)
		return ota_context(why, err, "'%s'", path);
	bytes[size] = '\0';
	*ret_bytes = TAKE(bytes);
	*ret_len = (size_t)size;
	return OTA_OK;
}

enum ota_err disk_sync_parent(const struct disk *disk, const char *path, struct ota_why *why)
{
	char parent[DISK_PATH_SIZE];
	const char *slash = strrchr(path, '/');
	size_t len = slash ? (size_t)(slash - path) : 0;

	if (len >= sizeof(parent))
		return ota_fail(why, OTA_TOO_LARGE, "the path '%s' is too long", path);
	memcpy(parent, path, len);
	parent[len] = '\0';
	const char *name = slash ? (len ? parent : "/") : ".";
	int err = disk->sync_directory(disk->ctx, name);
	if (err < 0)
		return ota_fail_errno(why, OTA_IO_ERROR, -err,
				      "the directory '%s' could not be synced", name);
	return OTA_OK;
}

static enum ota_err disk_new_name(char ret_path[DISK_PATH_SIZE], const char *path,
				  struct ota_why *why)
{
	int len = snprintf(ret_path, DISK_PATH_SIZE, "%s.new", path);
	if (len < 0 || len >= DISK_PATH_SIZE)
		return ota_fail(why, OTA_TOO_LARGE, "the path '%s' is too long", path);
	return OTA_OK;
}

static enum ota_err disk_unlink_leftover(const struct disk *disk, const char *path,
					 struct ota_why *why)
{
	int err = disk->unlink(disk->ctx, path);
	if (err < 0 && err != -ENOENT)
		return ota_fail_errno(why, OTA_IO_ERROR, -err, "'%s' could not be removed",
				      path);
	return OTA_OK;
}

static enum ota_err disk_write_new(const struct disk *disk, const char *path, const void *bytes,
				   size_t len, mode_t mode, struct ota_why *why)
{
	AUTO_DISK_FILE struct disk_file out = {
		disk, disk->open(disk->ctx, path, O_WRONLY | O_CREAT | O_EXCL, mode)};
	if (out.file < 0)
		return ota_fail_errno(why, OTA_IO_ERROR, -out.file, "'%s' could not be made",
				      path);
	enum ota_err err = disk_write(disk, out.file, bytes, len, 0, why);
	if (err)
		return ota_context(why, err, "'%s'", path);
	int synced = disk->sync(disk->ctx, out.file);
	if (synced < 0)
		return ota_fail_errno(why, OTA_IO_ERROR, -synced, "'%s' could not be synced",
				      path);
	return OTA_OK;
}

static enum ota_err disk_rename(const struct disk *disk, const char *from, const char *to,
				struct ota_why *why)
{
	int err = disk->rename(disk->ctx, from, to);
	if (err < 0)
		return ota_fail_errno(why, OTA_IO_ERROR, -err, "'%s' could not be replaced",
				      to);
	return disk_sync_parent(disk, to, why);
}

enum ota_err disk_replace(const struct disk *disk, const char *path, const void *bytes,
			  size_t len, mode_t mode, struct ota_why *why)
{
	char fresh[DISK_PATH_SIZE];
	enum ota_err err = disk_new_name(fresh, path, why);

	if (!err)
		err = disk_unlink_leftover(disk, fresh, why);
	if (err)
		return err;
	err = disk_write_new(disk, fresh, bytes, len, mode, why);
	if (err) {
		/* On a full disk the half-written file would be in the way of everything. */
		disk->unlink(disk->ctx, fresh);
		return err;
	}
	return disk_rename(disk, fresh, path, why);
}

enum ota_err disk_remove(const struct disk *disk, const char *path, struct ota_why *why)
{
	int err = disk->unlink(disk->ctx, path);
	if (err == -ENOENT)
		return OTA_OK;
	if (err < 0)
		return ota_fail_errno(why, OTA_IO_ERROR, -err, "'%s' could not be removed",
				      path);
	return disk_sync_parent(disk, path, why);
}

/* Makes `<path>.new` a link to the target, unless it is one. */
static enum ota_err make_fresh_link(const struct disk *disk, const char *fresh,
				    const char *target, struct ota_why *why)
{
	char now[DISK_PATH_SIZE];

	if (disk->readlink(disk->ctx, fresh, now, sizeof(now)) >= 0 && !strcmp(now, target))
		return OTA_OK;
	enum ota_err err = disk_unlink_leftover(disk, fresh, why);
	if (err)
		return err;
	int made = disk->symlink(disk->ctx, target, fresh);
	if (made < 0)
		return ota_fail_errno(why, OTA_IO_ERROR, -made, "the link '%s'", fresh);
	return OTA_OK;
}

enum ota_err disk_replace_link(const struct disk *disk, const char *path, const char *target,
			       struct ota_why *why)
{
	char fresh[DISK_PATH_SIZE];
	enum ota_err err = disk_new_name(fresh, path, why);

	if (!err)
		err = make_fresh_link(disk, fresh, target, why);
	return err ? err : disk_rename(disk, fresh, path, why);
}

void disk_spare_link(const struct disk *disk, const char *path, const char *target)
{
	char fresh[DISK_PATH_SIZE];

	if (disk_new_name(fresh, path, NULL))
		return;
	enum ota_err err = make_fresh_link(disk, fresh, target, NULL);
	(void)err;
}

enum ota_err disk_make_directory(const struct disk *disk, const char *path, mode_t mode,
				 struct ota_why *why)
{
	char part[DISK_PATH_SIZE];
	size_t len = strlen(path);

	if (len == 0 || len >= sizeof(part))
		return ota_fail(why, OTA_TOO_LARGE, "the path '%s' is empty or too long", path);
	for (size_t i = 1; i <= len; i++) {
		if (path[i] != '/' && path[i] != '\0')
			continue;
		memcpy(part, path, i);
		part[i] = '\0';
		int made = disk->make_directory(disk->ctx, part, path[i] ? 0755 : mode);
		if (made < 0 && made != -EEXIST)
			return ota_fail_errno(why, OTA_IO_ERROR, -made,
					      "the directory '%s' could not be made", part);
		/* One that is there may have been made by a process that was killed before it
		 * synced the name. What belongs to others may not be synced by us. */
		enum ota_err err = disk_sync_parent(disk, part, made ? NULL : why);
		if (err && !made)
			return err;
	}
	return OTA_OK;
}

enum ota_err disk_join(char ret_path[DISK_PATH_SIZE], const char *directory, const char *name,
		       struct ota_why *why)
{
	char path[DISK_PATH_SIZE];
	int len = snprintf(path, sizeof(path), "%s/%s", directory, name);

	if (len < 0 || (size_t)len >= sizeof(path))
		return ota_fail(why, OTA_TOO_LARGE, "the path '%s/%s' is too long", directory,
				name);
	memcpy(ret_path, path, (size_t)len + 1);
	return OTA_OK;
}
