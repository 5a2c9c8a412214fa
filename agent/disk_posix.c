#include "disk.h"

#include "own.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/sysmacros.h>

/* A call that a signal interrupted is made again. */
#define AGAIN(call)                                                                            \
	__extension__({                                                                        \
		__typeof__(call) again_result;                                                 \
		do                                                                             \
			again_result = (call);                                                 \
		while (again_result < 0 && errno == EINTR);                                    \
		again_result;                                                                  \
	})

static int posix_open(void *ctx, const char *path, int flags, mode_t mode)
{
	(void)ctx;
	int file = AGAIN(open(path, flags | O_CLOEXEC, mode));
	return file < 0 ? -errno : file;
}

static int posix_close_file(void *ctx, int file)
{
	(void)ctx;
	return close(file) < 0 ? -errno : 0;
}

static ssize_t posix_pread(void *ctx, int file, void *ret_bytes, size_t len, uint64_t offset)
{
	(void)ctx;
	ssize_t n = AGAIN(pread(file, ret_bytes, len, (off_t)offset));
	return n < 0 ? -errno : n;
}

static ssize_t posix_pwrite(void *ctx, int file, const void *bytes, size_t len, uint64_t offset)
{
	(void)ctx;
	ssize_t n = AGAIN(pwrite(file, bytes, len, (off_t)offset));
	return n < 0 ? -errno : n;
}

static int posix_sync_data(void *ctx, int file)
{
	(void)ctx;
	return AGAIN(fdatasync(file)) < 0 ? -errno : 0;
}

static int posix_sync(void *ctx, int file)
{
	(void)ctx;
	return AGAIN(fsync(file)) < 0 ? -errno : 0;
}

static int posix_drop_cache(void *ctx, int file)
{
	struct stat st;

	(void)ctx;
	if (fstat(file, &st) < 0)
		return -errno;
	int err = posix_fadvise(file, 0, 0, POSIX_FADV_DONTNEED);
	/* The advice spares pages that another handle of a block device still holds; this
	 * drops those too, and needs a privilege that a test or a container may lack. */
	if (S_ISBLK(st.st_mode) && ioctl(file, BLKFLSBUF, 0) < 0 && errno != EACCES &&
	    errno != EPERM)
		return -errno;
	return -err;
}

static int posix_truncate(void *ctx, int file, uint64_t size)
{
	(void)ctx;
	return AGAIN(ftruncate(file, (off_t)size)) < 0 ? -errno : 0;
}

static int posix_allocate(void *ctx, int file, uint64_t size)
{
	(void)ctx;
	return AGAIN(fallocate(file, 0, 0, (off_t)size)) < 0 ? -errno : 0;
}

static int posix_size(void *ctx, int file, uint64_t *ret_size)
{
	struct stat st;

	(void)ctx;
	if (fstat(file, &st) < 0)
		return -errno;
	if (S_ISBLK(st.st_mode))
		return ioctl(file, BLKGETSIZE64, ret_size) < 0 ? -errno : 0;
	if (!S_ISREG(st.st_mode))
		return -EINVAL;
	*ret_size = (uint64_t)st.st_size;
	return 0;
}

static int posix_set_mode(void *ctx, int file, mode_t mode)
{
	(void)ctx;
	return AGAIN(fchmod(file, mode)) < 0 ? -errno : 0;
}

static int posix_rename(void *ctx, const char *from, const char *to)
{
	(void)ctx;
	return AGAIN(rename(from, to)) < 0 ? -errno : 0;
}

static int posix_unlink(void *ctx, const char *path)
{
	(void)ctx;
	return AGAIN(unlink(path)) < 0 ? -errno : 0;
}

static int posix_symlink(void *ctx, const char *target, const char *path)
{
	(void)ctx;
	return AGAIN(symlink(target, path)) < 0 ? -errno : 0;
}

static int posix_readlink(void *ctx, const char *path, char *ret_target, size_t size)
{
	(void)ctx;
	ssize_t n = readlink(path, ret_target, size);
	if (n < 0)
		return -errno;
	if ((size_t)n >= size)
		return -ENAMETOOLONG;
	ret_target[n] = '\0';
	return 0;
}

static int posix_make_directory(void *ctx, const char *path, mode_t mode)
{
	(void)ctx;
	return AGAIN(mkdir(path, mode)) < 0 ? -errno : 0;
}

static int posix_sync_directory(void *ctx, const char *path)
{
	(void)ctx;
	AUTO_CLOSE int directory = AGAIN(open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC));
	if (directory < 0)
		return -errno;
	/* Some file systems (9p, some FUSE) cannot sync a directory; there a rename is as
	 * durable as they make it. */
	if (AGAIN(fsync(directory)) < 0 && errno != EINVAL)
		return -errno;
	return 0;
}

static void posix_closedir(DIR **directory)
{
	if (*directory)
		closedir(*directory);
}

static int posix_list(void *ctx, const char *path, bool (*each)(void *arg, const char *name),
		      void *arg)
{
	(void)ctx;
	AUTO(posix_closedir) DIR *directory = opendir(path);
	if (!directory)
		return -errno;
	for (;;) {
		errno = 0;
		const struct dirent *entry = readdir(directory);
		if (!entry)
			return -errno;
		if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
			continue;
		if (!each(arg, entry->d_name))
			return 0;
	}
}

static int posix_space(void *ctx, const char *path, uint64_t *ret_free)
{
	struct statvfs fs;

	(void)ctx;
	if (statvfs(path, &fs) < 0)
		return -errno;
	*ret_free = (uint64_t)fs.f_bavail * fs.f_frsize;
	return 0;
}

static int says(char *ret_how, size_t size, const char *how, const char *what)
{
	snprintf(ret_how, size, "%s%s", how, what);
	return 1;
}

/* Is the device in the mount table, by its number: names of devices are many. */
static int device_is_mounted(dev_t device, char *ret_how, size_t size)
{
	AUTO_FCLOSE FILE *table = fopen("/proc/self/mountinfo", "re");
	AUTO_FREE char *line = NULL;
	size_t room = 0;
	char number[32];

	if (!table)
		return 0;
	snprintf(number, sizeof(number), "%u:%u", major(device), minor(device));
	while (getline(&line, &room, table) > 0) {
		/* id parent major:minor root mount-point … */
		char *rest = line, *field[5] = {NULL};
		for (unsigned i = 0; i < 5; i++)
			field[i] = strsep(&rest, " ");
		if (field[4] && strcmp(field[2], number) == 0)
			return says(ret_how, size, "it is mounted on ", field[4]);
	}
	return 0;
}

/* Swap areas: "path type size used priority", one a line after the heading. */
static int is_swap(const struct stat *file, char *ret_how, size_t size)
{
	AUTO_FCLOSE FILE *table = fopen("/proc/swaps", "re");
	AUTO_FREE char *line = NULL;
	size_t room = 0;

	if (!table)
		return 0;
	while (getline(&line, &room, table) > 0) {
		struct stat st;
		char *rest = line;
		const char *path = strsep(&rest, " \t");
		if (!path || path[0] != '/' || stat(path, &st) < 0)
			continue;
		if (S_ISBLK(st.st_mode) && S_ISBLK(file->st_mode) &&
		    st.st_rdev == file->st_rdev)
			return says(ret_how, size, "it is the swap area ", path);
		if (st.st_dev == file->st_dev && st.st_ino == file->st_ino)
			return says(ret_how, size, "it is the swap file ", path);
	}
	return 0;
}

/* A file that a loop device shows as a disk: "/sys/block/loop0/loop/backing_file". */
static int is_loop_file(const struct stat *file, char *ret_how, size_t size)
{
	AUTO(posix_closedir) DIR *blocks = opendir("/sys/block");
	const struct dirent *entry;

	while (blocks && (entry = readdir(blocks))) {
		char path[512], backing[DISK_PATH_SIZE] = "";
		struct stat st;
		if (strncmp(entry->d_name, "loop", 4) != 0)
			continue;
		snprintf(path, sizeof(path), "/sys/block/%s/loop/backing_file", entry->d_name);
		AUTO_FCLOSE FILE *in = fopen(path, "re");
		if (!in || !fgets(backing, sizeof(backing), in))
			continue;
		backing[strcspn(backing, "\n")] = '\0';
		if (stat(backing, &st) == 0 && st.st_dev == file->st_dev &&
		    st.st_ino == file->st_ino)
			return says(ret_how, size, "it is behind the device ", entry->d_name);
	}
	return 0;
}

/* Device-mapper, md and the like keep a link to themselves here. */
static int device_is_held(dev_t device, char *ret_how, size_t size)
{
	char path[96];

	snprintf(path, sizeof(path), "/sys/dev/block/%u:%u/holders", major(device),
		 minor(device));
	AUTO(posix_closedir) DIR *holders = opendir(path);
	const struct dirent *entry;
	while (holders && (entry = readdir(holders)))
		if (entry->d_name[0] != '.')
			return says(ret_how, size, "it is a part of the device ",
				    entry->d_name);
	return 0;
}

static int posix_in_use(void *ctx, const char *path, char *ret_how, size_t size)
{
	struct stat st;
	int used;

	(void)ctx;
	if (stat(path, &st) < 0)
		return errno == ENOENT ? 0 : -errno;
	used = is_swap(&st, ret_how, size);
	if (!used && S_ISREG(st.st_mode))
		used = is_loop_file(&st, ret_how, size);
	if (!used && S_ISBLK(st.st_mode)) {
		used = device_is_mounted(st.st_rdev, ret_how, size);
		if (!used)
			used = device_is_held(st.st_rdev, ret_how, size);
	}
	if (used)
		return used;
	/* The kernel's own answer: EBUSY for a device that anybody holds exclusively (a mount
	 * does), ETXTBSY for a program that is being executed. */
	AUTO_CLOSE int file =
		AGAIN(open(path, O_WRONLY | O_CLOEXEC | (S_ISBLK(st.st_mode) ? O_EXCL : 0)));
	if (file < 0 && errno == EBUSY)
		return says(ret_how, size, "the kernel holds it exclusively", "");
	if (file < 0 && errno == ETXTBSY)
		return says(ret_how, size, "it is being executed", "");
	return file < 0 ? -errno : 0;
}

const struct disk *disk_posix(void)
{
	static const struct disk disk = {
		.open = posix_open,
		.close = posix_close_file,
		.pread = posix_pread,
		.pwrite = posix_pwrite,
		.sync_data = posix_sync_data,
		.sync = posix_sync,
		.drop_cache = posix_drop_cache,
		.truncate = posix_truncate,
		.allocate = posix_allocate,
		.size = posix_size,
		.set_mode = posix_set_mode,
		.rename = posix_rename,
		.unlink = posix_unlink,
		.symlink = posix_symlink,
		.readlink = posix_readlink,
		.make_directory = posix_make_directory,
		.sync_directory = posix_sync_directory,
		.list = posix_list,
		.space = posix_space,
		.in_use = posix_in_use,
	};
	return &disk;
}
