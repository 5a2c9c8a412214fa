#include "sim_disk_inside.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

/* Counts an operation. 0: go on; else the negative errno; *ret_cut: the power goes in it. */
static int operate(struct sim_disk *disk, bool *ret_cut)
{
	*ret_cut = false;
	if (disk->dead)
		return -EIO;
	disk->operations++;
	*ret_cut = disk->cut_at && disk->operations == disk->cut_at;
	return 0;
}

static int die(struct sim_disk *disk)
{
	disk->dead = true;
	disk->killed = disk->kill;
	return -EIO;
}

static int sim_open(void *ctx, const char *path, int flags, mode_t mode)
{
	struct sim_disk *disk = ctx;
	struct sim_node *node = sim_node_named(disk, path);
	unsigned handle = 0;

	(void)mode;
	if (disk->dead)
		return -EIO;
	if (node && node->kind == SIM_DIRECTORY)
		return -EISDIR;
	if (node && (flags & O_CREAT) && (flags & O_EXCL))
		return -EEXIST;
	if (!node) {
		bool cut;
		if (!(flags & O_CREAT))
			return -ENOENT;
		if (operate(disk, &cut))
			return -EIO;
		node = sim_node_new(disk, SIM_FILE, path);
		if (!node)
			return -ENFILE;
		sim_change(disk, node, "", path);
		if (cut)
			return die(disk);
	}
	while (handle < SIM_HANDLES_MAX && disk->handles[handle].open)
		handle++;
	if (handle == SIM_HANDLES_MAX)
		return -EMFILE;
	disk->handles[handle] = (struct sim_handle){
		.open = true,
		.writable = (flags & O_ACCMODE) != O_RDONLY,
		.node = (unsigned)(node - disk->nodes),
	};
	return (int)handle;
}

static int sim_close(void *ctx, int file)
{
	struct sim_disk *disk = ctx;

	disk->handles[file].open = false;
	return 0;
}

static struct sim_node *node_of(struct sim_disk *disk, int file)
{
	return &disk->nodes[disk->handles[file].node];
}

static ssize_t sim_pread(void *ctx, int file, void *ret_bytes, size_t len, uint64_t offset)
{
	struct sim_disk *disk = ctx;
	const struct sim_node *node = node_of(disk, file);

	if (disk->dead)
		return -EIO;
	if (offset >= node->size_now)
		return 0;
	if (len > node->size_now - offset)
		len = node->size_now - (size_t)offset;
	memcpy(ret_bytes, node->now + offset, len);
	return (ssize_t)len;
}

static int may_change(struct sim_disk *disk, int file, bool *ret_cut)
{
	const struct sim_node *node = node_of(disk, file);

	*ret_cut = false;
	if (disk->dead)
		return -EIO;
	if (!disk->handles[file].writable)
		return -EBADF;
	if (disk->protect[0] && strcmp(node->path, disk->protect) == 0)
		disk->violations++;
	return operate(disk, ret_cut);
}

static ssize_t sim_pwrite(void *ctx, int file, const void *bytes, size_t len, uint64_t offset)
{
	struct sim_disk *disk = ctx;
	struct sim_node *node = node_of(disk, file);
	bool cut;
	int err = may_change(disk, file, &cut);

	if (err)
		return err;
	if (cut) {
		/* The kernel copies whole pages between two looks at signals; the power goes
		 * between sectors (what happens within one is the survival's business). */
		size_t unit = disk->kill ? SIM_PAGE : SIM_SECTOR;
		size_t part = (size_t)sim_random_below(&disk->random, len + unit);
		len = part >= len ? len : part - part % unit;
	}
	sim_node_write(node, bytes, len, (size_t)offset);
	return cut ? die(disk) : (ssize_t)len;
}

static int sim_sync(void *ctx, int file)
{
	struct sim_disk *disk = ctx;
	struct sim_node *node = node_of(disk, file);
	bool cut;
	int err = operate(disk, &cut);

	if (err)
		return err;
	if (cut) {
		for (size_t sector = 0; sector < node->room / SIM_SECTOR; sector++)
			if (node->dirty[sector] && sim_coin(disk))
				sim_sector_settle(node, sector);
		return die(disk);
	}
	if (disk->fail[0] && strcmp(node->path, disk->fail) == 0) {
		disk->fail[0] = '\0';
		memset(node->dirty, 0, node->room / SIM_SECTOR);
		return -EIO;
	}
	sim_node_settle(disk, node);
	return 0;
}

static int sim_drop_cache(void *ctx, int file)
{
	struct sim_disk *disk = ctx;
	struct sim_node *node = node_of(disk, file);

	if (disk->dead)
		return -EIO;
	for (size_t sector = 0; sector < node->room / SIM_SECTOR; sector++)
		if (!node->dirty[sector])
			memcpy(node->now + sector * SIM_SECTOR,
			       node->safe + sector * SIM_SECTOR, SIM_SECTOR);
	return 0;
}

static int sim_truncate(void *ctx, int file, uint64_t size)
{
	struct sim_disk *disk = ctx;
	struct sim_node *node = node_of(disk, file);
	bool cut;
	int err = may_change(disk, file, &cut);

	if (err)
		return err;
	sim_node_grow(node, (size_t)size);
	if (size < node->size_now) {
		memset(node->now + size, 0, node->size_now - (size_t)size);
		memset(node->dirty + size / SIM_SECTOR, 1,
		       (node->size_now - 1) / SIM_SECTOR - (size_t)size / SIM_SECTOR + 1);
	}
	node->size_now = (size_t)size;
	return cut ? die(disk) : 0;
}

static int sim_allocate(void *ctx, int file, uint64_t size)
{
	struct sim_disk *disk = ctx;
	struct sim_node *node = node_of(disk, file);
	bool cut;
	int err;

	if (disk->dead)
		return -EIO;
	if (size <= node->size_now)
		return 0;
	if (size - node->size_now > disk->space)
		return -ENOSPC;
	err = may_change(disk, file, &cut);
	if (err)
		return err;
	sim_node_grow(node, (size_t)size);
	node->size_now = (size_t)size;
	return cut ? die(disk) : 0;
}

static int sim_size(void *ctx, int file, uint64_t *ret_size)
{
	struct sim_disk *disk = ctx;

	if (disk->dead)
		return -EIO;
	*ret_size = node_of(disk, file)->size_now;
	return 0;
}

static int sim_set_mode(void *ctx, int file, mode_t mode)
{
	struct sim_disk *disk = ctx;

	(void)file;
	(void)mode;
	return disk->dead ? -EIO : 0;
}

static int sim_rename(void *ctx, const char *from, const char *to)
{
	struct sim_disk *disk = ctx;
	struct sim_node *node = sim_node_named(disk, from), *old = sim_node_named(disk, to);
	bool cut;

	if (disk->dead)
		return -EIO;
	if (!node)
		return -ENOENT;
	if (operate(disk, &cut))
		return -EIO;
	if (old)
		old->path[0] = '\0';
	text_copy(node->path, sizeof(node->path), to);
	sim_change(disk, node, from, to);
	return cut ? die(disk) : 0;
}

static int sim_unlink(void *ctx, const char *path)
{
	struct sim_disk *disk = ctx;
	struct sim_node *node = sim_node_named(disk, path);
	bool cut;

	if (disk->dead)
		return -EIO;
	if (!node)
		return -ENOENT;
	if (operate(disk, &cut))
		return -EIO;
	node->path[0] = '\0';
	sim_change(disk, node, path, "");
	return cut ? die(disk) : 0;
}

static int sim_make(struct sim_disk *disk, enum sim_kind kind, const char *path,
		    const char *target)
{
	bool cut;

	if (disk->dead)
		return -EIO;
	if (sim_node_named(disk, path))
		return -EEXIST;
	if (operate(disk, &cut))
		return -EIO;
	struct sim_node *node = sim_node_new(disk, kind, path);
	if (!node)
		return -ENFILE;
	text_copy(node->target, sizeof(node->target), target);
	sim_change(disk, node, "", path);
	return cut ? die(disk) : 0;
}

static int sim_symlink(void *ctx, const char *target, const char *path)
{
	return sim_make(ctx, SIM_LINK, path, target);
}

static int sim_readlink(void *ctx, const char *path, char *ret_target, size_t size)
{
	struct sim_disk *disk = ctx;
	const struct sim_node *node = sim_node_named(disk, path);

	if (disk->dead)
		return -EIO;
	if (!node)
		return -ENOENT;
	if (node->kind != SIM_LINK)
		return -EINVAL;
	return text_copy(ret_target, size, node->target) ? 0 : -ENAMETOOLONG;
}

static int sim_make_directory(void *ctx, const char *path, mode_t mode)
{
	(void)mode;
	return strcmp(path, "/") == 0 ? -EEXIST : sim_make(ctx, SIM_DIRECTORY, path, "");
}

static int sim_sync_directory(void *ctx, const char *path)
{
	struct sim_disk *disk = ctx;
	unsigned kept = 0;
	bool cut;

	if (disk->dead)
		return -EIO;
	if (operate(disk, &cut))
		return -EIO;
	for (unsigned i = 0; i < disk->change_count; i++) {
		struct sim_change *made = &disk->changes[i];
		if (!cut && (sim_is_in(made->from, path) || sim_is_in(made->to, path)))
			sim_change_settle(disk, made);
		else
			disk->changes[kept++] = *made;
	}
	disk->change_count = kept;
	return cut ? die(disk) : 0;
}

static int sim_list(void *ctx, const char *path, bool (*each)(void *arg, const char *name),
		    void *arg)
{
	struct sim_disk *disk = ctx;

	if (disk->dead)
		return -EIO;
	for (unsigned i = 0; i < SIM_FILES_MAX; i++)
		if (disk->nodes[i].kind && sim_is_in(disk->nodes[i].path, path))
			if (!each(arg, strrchr(disk->nodes[i].path, '/') + 1))
				return 0;
	return 0;
}

static int sim_space(void *ctx, const char *path, uint64_t *ret_free)
{
	struct sim_disk *disk = ctx;

	(void)path;
	*ret_free = disk->space;
	return disk->dead ? -EIO : 0;
}

static int sim_in_use(void *ctx, const char *path, char *ret_how, size_t size)
{
	struct sim_disk *disk = ctx;

	(void)path;
	(void)ret_how;
	(void)size;
	/* Blind on purpose: what protects the running slot must not be this check alone. */
	return disk->dead ? -EIO : 0;
}

void sim_disk_connect(struct sim_disk *disk)
{
	disk->seam = (struct disk){
		.ctx = disk,
		.open = sim_open,
		.close = sim_close,
		.pread = sim_pread,
		.pwrite = sim_pwrite,
		.sync_data = sim_sync,
		.sync = sim_sync,
		.drop_cache = sim_drop_cache,
		.truncate = sim_truncate,
		.allocate = sim_allocate,
		.size = sim_size,
		.set_mode = sim_set_mode,
		.rename = sim_rename,
		.unlink = sim_unlink,
		.symlink = sim_symlink,
		.readlink = sim_readlink,
		.make_directory = sim_make_directory,
		.sync_directory = sim_sync_directory,
		.list = sim_list,
		.space = sim_space,
		.in_use = sim_in_use,
	};
}
