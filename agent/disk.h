/* Storage: everything durable of the agent goes through this seam, so that the simulated disk
 * of the tests can cut the power after each operation. disk_posix() is the real one.
 *
 * The operations are those of the kernel, with its weak promises: a write may be short, what
 * was written is durable only after a sync that succeeded, a name only after the sync of its
 * directory. They answer 0 or a count, or -errno. The disk_… functions below them add what
 * every caller needs: all of it or an error, and the sentence for a person. */
#pragma once

#include "text.h"

#include <sys/types.h>

#define DISK_PATH_SIZE 512 /* the longest path the agent handles, with its NUL */

struct disk {
	void *ctx;
	/* O_* flags of open(2) (O_CLOEXEC is added); a handle ≥ 0. */
	int (*open)(void *ctx, const char *path, int flags, mode_t mode);
	int (*close)(void *ctx, int file);
	ssize_t (*pread)(void *ctx, int file, void *ret_bytes, size_t len, uint64_t offset);
	ssize_t (*pwrite)(void *ctx, int file, const void *bytes, size_t len, uint64_t offset);
	/* fdatasync(2): the bytes, and the size when it grew. */
	int (*sync_data)(void *ctx, int file);
	/* fsync(2) */
	int (*sync)(void *ctx, int file);
	/* Forgets cached pages: the reads that follow come from the medium. Written data must
	 * have been synced before. */
	int (*drop_cache)(void *ctx, int file);
	int (*truncate)(void *ctx, int file, uint64_t size);
	/* Reserves room for [0, size) and grows the file to it; -EOPNOTSUPP where the file
	 * system cannot. */
	int (*allocate)(void *ctx, int file, uint64_t size);
	/* Of a regular file or of a block device. */
	int (*size)(void *ctx, int file, uint64_t *ret_size);
	int (*set_mode)(void *ctx, int file, mode_t mode);
	int (*rename)(void *ctx, const char *from, const char *to);
	int (*unlink)(void *ctx, const char *path);
	int (*symlink)(void *ctx, const char *target, const char *path);
	/* NUL-terminates; -ENAMETOOLONG when it does not fit. */
	int (*readlink)(void *ctx, const char *path, char *ret_target, size_t size);
	int (*make_directory)(void *ctx, const char *path, mode_t mode);
	int (*sync_directory)(void *ctx, const char *path);
	/* Calls `each` with every name in the directory but . and .., in any order; stops when
	 * it returns false. The directory must not be changed meanwhile. */
	int (*list)(void *ctx, const char *path, bool (*each)(void *arg, const char *name),
		    void *arg);
	/* Bytes that an ordinary process may still write in the file system that holds path. */
	int (*space)(void *ctx, const char *path, uint64_t *ret_free);
	/* 1 when something uses the file or device so that writing to it would pull the ground
	 * from under it: mounted, swap, held by another device, being executed, opened
	 * exclusively; *ret_how says what. 0 when nothing does. */
	int (*in_use)(void *ctx, const char *path, char *ret_how, size_t size);
};

/* The real one; static storage, needs no release. */
const struct disk *disk_posix(void);

/* Writes all of it, through EINTR and short writes. ENOSPC is OTA_INSUFFICIENT_STORAGE; a write
 * that makes no progress is OTA_IO_ERROR. */
enum ota_err disk_write(const struct disk *disk, int file, const void *bytes, size_t len,
			uint64_t offset, struct ota_why *why) OTA_CHECKED;
/* Reads exactly len bytes; OTA_SIZE_MISMATCH when the file ends before. */
enum ota_err disk_read(const struct disk *disk, int file, void *ret_bytes, size_t len,
		       uint64_t offset, struct ota_why *why) OTA_CHECKED;
/* The bytes are on the medium when it returns OTA_OK. After an error nothing is known about
 * what was written since the last sync: it must be written again, elsewhere or from the start.
 */
enum ota_err disk_sync(const struct disk *disk, int file, struct ota_why *why) OTA_CHECKED;
/* The whole of a small file, NUL-terminated (not counted); the caller frees. OTA_NOT_FOUND when
 * there is none, OTA_TOO_LARGE beyond max. */
enum ota_err disk_read_file(const struct disk *disk, const char *path, size_t max,
			    char **ret_bytes, size_t *ret_len, struct ota_why *why) OTA_CHECKED;
/* Replaces `path` by these bytes: after a power cut at any instant the old or the new content
 * is there, whole. A leftover of an earlier try (`path`.new) is unlinked; O_EXCL, write, fsync,
 * rename, fsync of the directory. On an error the old content is in place, or, when only the
 * last sync failed, the new. */
enum ota_err disk_replace(const struct disk *disk, const char *path, const void *bytes,
			  size_t len, mode_t mode, struct ota_why *why) OTA_CHECKED;
/* Makes the name durable: syncs the directory that `path` lies in. */
enum ota_err disk_sync_parent(const struct disk *disk, const char *path,
			      struct ota_why *why) OTA_CHECKED;
/* Removes a name durably; fine when there is none. */
enum ota_err disk_remove(const struct disk *disk, const char *path,
			 struct ota_why *why) OTA_CHECKED;
/* Makes `path` a symbolic link to `target` in one step (new link, rename, directory sync). */
enum ota_err disk_replace_link(const struct disk *disk, const char *path, const char *target,
			       struct ota_why *why) OTA_CHECKED;
/* Makes `<path>.new` in advance, so that disk_replace_link() to this target needs no inode; not
 * being able to is no error. */
void disk_spare_link(const struct disk *disk, const char *path, const char *target);
/* Makes the directory (and its parents, 0755), where they are not there, and makes the names
 * durable, also of those that are there. */
enum ota_err disk_make_directory(const struct disk *disk, const char *path, mode_t mode,
				 struct ota_why *why) OTA_CHECKED;
/* "<directory>/<name>"; OTA_TOO_LARGE when it does not fit. */
enum ota_err disk_join(char ret_path[DISK_PATH_SIZE], const char *directory, const char *name,
		       struct ota_why *why) OTA_CHECKED;
