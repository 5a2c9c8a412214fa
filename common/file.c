#include "file.h"

#include "own.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>

enum ota_err file_write_all(int fd, const void *bytes, size_t len, struct ota_why *why)
{
	const uint8_t *from = bytes;

	while (len > 0) {
		ssize_t put = write(fd, from, len);

		if (put < 0 && errno == EINTR)
			continue;
		if (put < 0)
			return ota_fail_errno(why, OTA_IO_ERROR, errno, "writing %zu bytes",
					      len);
		from += put;
		len -= (size_t)put;
	}
	return OTA_OK;
}

enum ota_err file_pwrite_all(int fd, const void *bytes, size_t len, uint64_t offset,
			     struct ota_why *why)
{
	const uint8_t *from = bytes;

	if (offset > INT64_MAX - len)
		return ota_fail(why, OTA_TOO_LARGE, "offset %llu is beyond every file",
				(unsigned long long)offset);
	while (len > 0) {
		ssize_t put = pwrite(fd, from, len, (off_t)offset);

		if (put < 0 && errno == EINTR)
			continue;
		if (put < 0)
			return ota_fail_errno(why, OTA_IO_ERROR, errno,
					      "writing %zu bytes at %llu", len,
					      (unsigned long long)offset);
		from += put;
		len -= (size_t)put;
		offset += (uint64_t)put;
	}
	return OTA_OK;
}

enum ota_err file_pread_all(int fd, void *ret_bytes, size_t len, uint64_t offset,
			    struct ota_why *why)
{
	uint8_t *to = ret_bytes;

	if (offset > INT64_MAX - len)
		return ota_fail(why, OTA_TOO_LARGE, "offset %llu is beyond every file",
				(unsigned long long)offset);
	while (len > 0) {
		ssize_t got = pread(fd, to, len, (off_t)offset);

		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return ota_fail_errno(why, OTA_IO_ERROR, errno,
					      "reading %zu bytes at %llu", len,
					      (unsigned long long)offset);
		if (got == 0)
			return ota_fail(why, OTA_SIZE_MISMATCH,
					"the file ends at %llu, %zu bytes too early",
					(unsigned long long)offset, len);
		to += got;
		len -= (size_t)got;
		offset += (uint64_t)got;
	}
	return OTA_OK;
}

/* The directory that holds `path`. */
static enum ota_err parent_of(const char *path, char ret_parent[PATH_MAX], struct ota_why *why)
{
	const char *slash = strrchr(path, '/');

	if (strlen(path) >= PATH_MAX)
		return ota_fail(why, OTA_IO_ERROR, "a path of %zu bytes is too long",
				strlen(path));
	if (!slash)
		memcpy(ret_parent, ".", 2);
	else if (slash == path)
		memcpy(ret_parent, "/", 2);
	else
		text_copy(ret_parent, (size_t)(slash - path) + 1, path);
	return OTA_OK;
}

enum ota_err file_sync_directory(const char *path, struct ota_why *why)
{
	AUTO_CLOSE int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0)
		return ota_fail_errno(why, OTA_IO_ERROR, errno, "opening directory '%s'", path);
	if (fsync(fd))
		return ota_fail_errno(why, OTA_IO_ERROR, errno, "syncing directory '%s'", path);
	return OTA_OK;
}

static enum ota_err write_new(const char *path, const void *bytes, size_t len, mode_t mode,
			      struct ota_why *why)
{
	AUTO_CLOSE int fd =
		open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, mode);

	if (fd < 0)
		return ota_fail_errno(why, OTA_IO_ERROR, errno, "creating '%s'", path);
	enum ota_err err = file_write_all(fd, bytes, len, why);

	if (err)
		return ota_context(why, err, "'%s'", path);
	if (fchmod(fd, mode)) /* whatever the umask */
		return ota_fail_errno(why, OTA_IO_ERROR, errno, "mode of '%s'", path);
	if (fsync(fd))
		return ota_fail_errno(why, OTA_IO_ERROR, errno, "syncing '%s'", path);
	return OTA_OK;
}

enum ota_err file_replace(const char *path, const void *bytes, size_t len, mode_t mode,
			  struct ota_why *why)
{
	char parent[PATH_MAX], new[PATH_MAX];
	enum ota_err err = parent_of(path, parent, why);

	if (err)
		return err;
	if (snprintf(new, sizeof(new), "%s.new", path) >= (int)sizeof(new))
		return ota_fail(why, OTA_IO_ERROR, "the path '%s' is too long", path);
	if (unlink(new) && errno != ENOENT)
		return ota_fail_errno(why, OTA_IO_ERROR, errno, "removing the leftover '%s'",
				      new);
	err = write_new(new, bytes, len, mode, why);
	if (!err && rename(new, path))
		err = ota_fail_errno(why, OTA_IO_ERROR, errno, "renaming '%s'", new);
	if (err) {
		unlink(new);
		return err;
	}
	return file_sync_directory(parent, why);
}

static enum ota_err read_up_to(int fd, char *bytes, size_t max, size_t *ret_len,
			       struct ota_why *why)
{
	size_t len = 0;

	while (len < max) {
		ssize_t got = read(fd, bytes + len, max - len);

		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return ota_fail_errno(why, OTA_IO_ERROR, errno, "reading");
		if (got == 0)
			break;
		len += (size_t)got;
	}
	*ret_len = len;
	return OTA_OK;
}

enum ota_err file_read(const char *path, size_t max, char **ret_bytes, size_t *ret_len,
		       struct ota_why *why)
{
	AUTO_CLOSE int fd = open(path, O_RDONLY | O_CLOEXEC);
	struct stat stat;

	if (fd < 0)
		return ota_fail_errno(why, errno == ENOENT ? OTA_NOT_FOUND : OTA_IO_ERROR,
				      errno, "opening '%s'", path);
	if (fstat(fd, &stat))
		return ota_fail_errno(why, OTA_IO_ERROR, errno, "size of '%s'", path);
	if (stat.st_size > 0 && (uint64_t)stat.st_size > max)
		return ota_fail(why, OTA_TOO_LARGE, "'%s' has %lld bytes, at most %zu are read",
				path, (long long)stat.st_size, max);
	/* Files under /proc say 0: room for all that is allowed, then. */
	size_t room = stat.st_size > 0 ? (size_t)stat.st_size : max;
	AUTO_FREE char *bytes = malloc(room + 2);
	size_t len = 0;

	if (!bytes)
		return ota_fail(why, OTA_OUT_OF_MEMORY, "no memory for '%s'", path);
	enum ota_err err = read_up_to(fd, bytes, room + 1, &len, why);

	if (err)
		return ota_context(why, err, "'%s'", path);
	if (len > room)
		return ota_fail(why, OTA_TOO_LARGE, "'%s' has more than %zu bytes", path, room);
	bytes[len] = '\0';
	*ret_bytes = TAKE(bytes);
	*ret_len = len;
	return OTA_OK;
}

static enum ota_err make_one(const char *path, mode_t mode, struct ota_why *why)
{
	struct stat there;

	if (mkdir(path, mode) == 0)
		return OTA_OK;
	int number = errno;

	/* It may be there although mkdir said something else (EROFS, EACCES of a parent). */
	if (stat(path, &there) == 0 && S_ISDIR(there.st_mode))
		return OTA_OK;
	return ota_fail_errno(why, OTA_IO_ERROR, number, "making directory '%s'", path);
}

enum ota_err file_make_directory(const char *path, mode_t mode, struct ota_why *why)
{
	char part[PATH_MAX];

	if (!text_copy(part, sizeof(part), path) || !*path)
		return ota_fail(why, OTA_IO_ERROR, "'%.64s' is no path", path);
	for (char *slash = strchr(part + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
		*slash = '\0';
		enum ota_err err = make_one(part, 0755, why);

		if (err)
			return err;
		*slash = '/';
	}
	return make_one(path, mode, why);
}

int file_open_lock(const char *path)
{
	int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);

	return fd < 0 && errno == EROFS ? open(path, O_RDONLY | O_CLOEXEC) : fd;
}
