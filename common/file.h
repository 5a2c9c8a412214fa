/* Files that survive a power loss. */
#pragma once

#include "text.h"

#include <sys/types.h>

/* Replaces `path` by these bytes so that after a crash at any instant either the old or the new
 * content is there, whole: a leftover of an earlier try is unlinked, then O_EXCL, write, fsync,
 * rename, fsync of the directory. */
enum ota_err file_replace(const char *path, const void *bytes, size_t len, mode_t mode,
			  struct ota_why *why) OTA_CHECKED;
/* Reads all of it, NUL-terminated (not counted). OTA_TOO_LARGE beyond max, OTA_NOT_FOUND when
 * it is not there, else OTA_IO_ERROR. */
enum ota_err file_read(const char *path, size_t max, char **ret_bytes, size_t *ret_len,
		       struct ota_why *why) OTA_CHECKED;
enum ota_err file_write_all(int fd, const void *bytes, size_t len,
			    struct ota_why *why) OTA_CHECKED;
enum ota_err file_pwrite_all(int fd, const void *bytes, size_t len, uint64_t offset,
			     struct ota_why *why) OTA_CHECKED;
/* OTA_SIZE_MISMATCH when the file ends before. */
enum ota_err file_pread_all(int fd, void *ret_bytes, size_t len, uint64_t offset,
			    struct ota_why *why) OTA_CHECKED;
/* Opens a file that is there to be locked, and makes it; read-only where the file system is.
 * Close-on-exec. -1 with errno. */
int file_open_lock(const char *path);
enum ota_err file_sync_directory(const char *path, struct ota_why *why) OTA_CHECKED;
/* Makes the directory and its parents (0755 for parents, `mode` for the last). */
enum ota_err file_make_directory(const char *path, mode_t mode,
				 struct ota_why *why) OTA_CHECKED;
