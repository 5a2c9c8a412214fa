#include "sim_disk.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

const char *const sim_survival_names[] = {"nothing", "all", "subset", "torn", "garbage", NULL};

#define SIM_PAGE 4096u
#define SIM_PATH 80 /* the device's paths are short */

enum sim_kind {
	SIM_FREE = 0,
	SIM_FILE,
	SIM_LINK,
	SIM_DIRECTORY,
};

struct sim_node {
	enum sim_kind kind;
	uint8_t *now, *safe; /* room bytes each */
	size_t room;
	size_t size_now, size_safe;
	uint8_t *dirty; /* a flag per sector: now may differ from safe */
	char path[SIM_PATH], safe_path[SIM_PATH]; /* "": no name */
	char target[SIM_PATH];
};

/* A change of names that no directory sync has made durable. */
struct sim_change {
	unsigned node;
	char from[SIM_PATH]; /* "": it is made; else renamed or removed from there */
	char to[SIM_PATH];   /* "": it is removed */
};

struct sim_handle {
	bool open, writable;
	unsigned node;
};

struct sim_disk {
	struct disk seam;
	struct sim_random random;
	struct sim_node nodes[SIM_FILES_MAX];
	struct sim_change changes[SIM_PENDING_MAX];
	unsigned change_count;
	struct sim_handle handles[SIM_HANDLES_MAX];
	uint64_t operations, cut_at;
	bool kill, dead, killed;
	uint64_t violations, space;
	char protect[SIM_PATH], flip[SIM_PATH], fail[SIM_PATH];
};

uint64_t sim_random_next(struct sim_random *random)
{
	/* splitmix64 */
	uint64_t z = (random->state += UINT64_C(0x9e3779b97f4a7c15));

	z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
	return z ^ (z >> 31);
}

uint64_t sim_random_below(struct sim_random *random, uint64_t bound)
{
	return sim_random_next(random) % bound;
}

static bool coin(struct sim_disk *disk)
{
	return sim_random_next(&disk->random) & 1;
}

static struct sim_node *node_named(const struct sim_disk *disk, const char *path)
{
	for (unsigned i = 0; i < SIM_FILES_MAX; i++)
		if (disk->nodes[i].kind && strcmp(disk->nodes[i].path, path) == 0)
			return (struct sim_node *)&disk->nodes[i];
	return NULL;
}

static void node_release(struct sim_node *node)
{
	free(node->now);
	free(node->safe);
	free(node->dirty);
	memset(node, 0, sizeof(*node));
}

static bool node_is_open(const struct sim_disk *disk, unsigned node)
{
	for (unsigned i = 0; i < SIM_HANDLES_MAX; i++)
		if (disk->handles[i].open && disk->handles[i].node == node)
			return true;
	return false;
}

/* Nodes that no name, handle or pending change leads to. */
static void sweep(struct sim_disk *disk)
{
	for (unsigned i = 0; i < SIM_FILES_MAX; i++) {
		struct sim_node *node = &disk->nodes[i];
		bool wanted = node->path[0] || node->safe_path[0] || node_is_open(disk, i);
		for (unsigned c = 0; c < disk->change_count; c++)
			wanted = wanted || disk->changes[c].node == i;
		if (node->kind && !wanted)
			node_release(node);
	}
}

static struct sim_node *node_new(struct sim_disk *disk, enum sim_kind kind, const char *path)
{
	for (unsigned round = 0; round < 2; round++) {
		for (unsigned i = 0; i < SIM_FILES_MAX; i++) {
			struct sim_node *node = &disk->nodes[i];
			if (node->kind)
				continue;
			node->kind = kind;
			text_copy(node->path, sizeof(node->path), path);
			return node;
		}
		sweep(disk);
	}
	return NULL;
}

static void node_grow(struct sim_node *node, size_t size)
{
	size_t room = node->room ? node->room : SIM_SECTOR;

	while (room < size)
		room *= 2;
	if (room == node->room)
		return;
	node->now = realloc(node->now, room);
	node->safe = realloc(node->safe, room);
	node->dirty = realloc(node->dirty, room / SIM_SECTOR);
	if (!node->now || !node->safe || !node->dirty)
		abort();
	memset(node->now + node->room, 0, room - node->room);
	memset(node->safe + node->room, 0, room - node->room);
	memset(node->dirty + node->room / SIM_SECTOR, 0, (room - node->room) / SIM_SECTOR);
	node->room = room;
}

static void change(struct sim_disk *disk, const struct sim_node *node, const char *from,
		   const char *to)
{
	if (disk->change_count == SIM_PENDING_MAX)
		abort();
	struct sim_change *made = &disk->changes[disk->change_count++];
	made->node = (unsigned)(node - disk->nodes);
	text_copy(made->from, sizeof(made->from), from);
	text_copy(made->to, sizeof(made->to), to);
}

/* Makes one change of names durable. */
static void change_settle(struct sim_disk *disk, const struct sim_change *made)
{
	for (unsigned i = 0; made->to[0] && i < SIM_FILES_MAX; i++)
		if (strcmp(disk->nodes[i].safe_path, made->to) == 0)
			disk->nodes[i].safe_path[0] = '\0';
	struct sim_node *node = &disk->nodes[made->node];
	if (made->to[0] || strcmp(node->safe_path, made->from) == 0)
		text_copy(node->safe_path, sizeof(node->safe_path), made->to);
}

static bool is_in(const char *path, const char *directory)
{
	const char *slash = strrchr(path, '/');
	size_t len = slash ? (size_t)(slash - path) : 0;

	if (!path[0])
		return false;
	if (len == 0)
		return strcmp(directory, "/") == 0;
	return strlen(directory) == len && strncmp(path, directory, len) == 0;
}

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
	struct sim_node *node = node_named(disk, path);
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
		node = node_new(disk, SIM_FILE, path);
		if (!node)
			return -ENFILE;
		change(disk, node, "", path);
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

static void node_write(struct sim_node *node, const void *bytes, size_t len, size_t offset)
{
	if (len == 0)
		return;
	node_grow(node, offset + len);
	memcpy(node->now + offset, bytes, len);
	memset(node->dirty + offset / SIM_SECTOR, 1,
	       (offset + len - 1) / SIM_SECTOR - offset / SIM_SECTOR + 1);
	if (offset + len > node->size_now)
		node->size_now = offset + len;
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
	node_write(node, bytes, len, (size_t)offset);
	return cut ? die(disk) : (ssize_t)len;
}

static void sector_settle(struct sim_node *node, size_t sector)
{
	memcpy(node->safe + sector * SIM_SECTOR, node->now + sector * SIM_SECTOR, SIM_SECTOR);
	node->dirty[sector] = 0;
}

static void node_settle(struct sim_disk *disk, struct sim_node *node)
{
	bool flip = disk->flip[0] && strcmp(node->path, disk->flip) == 0;

	for (size_t sector = 0; sector < node->room / SIM_SECTOR; sector++) {
		if (!node->dirty[sector])
			continue;
		sector_settle(node, sector);
		if (!flip || sector * SIM_SECTOR >= node->size_now)
			continue;
		node->safe[sector * SIM_SECTOR] ^= 1;
		disk->flip[0] = '\0';
		flip = false;
	}
	node->size_safe = node->size_now;
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
			if (node->dirty[sector] && coin(disk))
				sector_settle(node, sector);
		return die(disk);
	}
	if (disk->fail[0] && strcmp(node->path, disk->fail) == 0) {
		disk->fail[0] = '\0';
		memset(node->dirty, 0, node->room / SIM_SECTOR);
		return -EIO;
	}
	node_settle(disk, node);
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
	node_grow(node, (size_t)size);
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
	node_grow(node, (size_t)size);
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
	struct sim_node *node = node_named(disk, from), *old = node_named(disk, to);
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
	change(disk, node, from, to);
	return cut ? die(disk) : 0;
}

static int sim_unlink(void *ctx, const char *path)
{
	struct sim_disk *disk = ctx;
	struct sim_node *node = node_named(disk, path);
	bool cut;

	if (disk->dead)
		return -EIO;
	if (!node)
		return -ENOENT;
	if (operate(disk, &cut))
		return -EIO;
	node->path[0] = '\0';
	change(disk, node, path, "");
	return cut ? die(disk) : 0;
}

static int sim_make(struct sim_disk *disk, enum sim_kind kind, const char *path,
		    const char *target)
{
	bool cut;

	if (disk->dead)
		return -EIO;
	if (node_named(disk, path))
		return -EEXIST;
	if (operate(disk, &cut))
		return -EIO;
	struct sim_node *node = node_new(disk, kind, path);
	if (!node)
		return -ENFILE;
	text_copy(node->target, sizeof(node->target), target);
	change(disk, node, "", path);
	return cut ? die(disk) : 0;
}

static int sim_symlink(void *ctx, const char *target, const char *path)
{
	return sim_make(ctx, SIM_LINK, path, target);
}

static int sim_readlink(void *ctx, const char *path, char *ret_target, size_t size)
{
	struct sim_disk *disk = ctx;
	const struct sim_node *node = node_named(disk, path);

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
		if (!cut && (is_in(made->from, path) || is_in(made->to, path)))
			change_settle(disk, made);
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
		if (disk->nodes[i].kind && is_in(disk->nodes[i].path, path))
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

struct sim_disk *sim_disk_new(uint64_t seed)
{
	struct sim_disk *disk = calloc(1, sizeof(*disk));

	if (!disk)
		abort();
	disk->random.state = seed;
	disk->space = UINT64_C(1) << 40;
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
	return disk;
}

void sim_disk_free(struct sim_disk *disk)
{
	for (unsigned i = 0; i < SIM_FILES_MAX; i++)
		node_release(&disk->nodes[i]);
	free(disk);
}

const struct disk *sim_disk_seam(struct sim_disk *disk)
{
	return &disk->seam;
}

/* The directories that a delivered file lies in are delivered with it. */
static void put_directories(struct sim_disk *disk, const char *path)
{
	char part[SIM_PATH];

	for (size_t i = 1; path[i]; i++) {
		if (path[i] != '/')
			continue;
		memcpy(part, path, i);
		part[i] = '\0';
		if (node_named(disk, part))
			continue;
		struct sim_node *node = node_new(disk, SIM_DIRECTORY, part);
		if (!node)
			abort();
		text_copy(node->safe_path, sizeof(node->safe_path), part);
	}
}

void sim_disk_put(struct sim_disk *disk, const char *path, const void *bytes, size_t len)
{
	put_directories(disk, path);
	struct sim_node *node = node_new(disk, SIM_FILE, path);

	if (!node)
		abort();
	text_copy(node->safe_path, sizeof(node->safe_path), path);
	node_write(node, bytes, len, 0);
	node_settle(disk, node);
}

bool sim_disk_peek(const struct sim_disk *disk, const char *path, const uint8_t **ret_bytes,
		   size_t *ret_len)
{
	const struct sim_node *node = node_named(disk, path);

	if (!node || node->kind != SIM_FILE)
		return false;
	*ret_bytes = node->now;
	*ret_len = node->size_now;
	return true;
}

void sim_disk_cut_at(struct sim_disk *disk, uint64_t operation, bool kill)
{
	disk->operations = 0;
	disk->cut_at = operation;
	disk->kill = kill;
}

bool sim_disk_is_dead(const struct sim_disk *disk)
{
	return disk->dead;
}

uint64_t sim_disk_operations(const struct sim_disk *disk)
{
	return disk->operations;
}

/* A directory that is lost takes what is in it along. */
static void forget_below(struct sim_disk *disk, const char *directory)
{
	size_t len = strlen(directory);

	for (unsigned i = 0; len > 0 && i < SIM_FILES_MAX; i++)
		if (strncmp(disk->nodes[i].safe_path, directory, len) == 0 &&
		    disk->nodes[i].safe_path[len] == '/')
			disk->nodes[i].safe_path[0] = '\0';
}

/* Names after a cut: in the order they were made, each change made durable or forgotten. */
static void names_survive(struct sim_disk *disk, enum sim_survival survival)
{
	for (unsigned i = 0; i < disk->change_count; i++)
		if (survival == SIM_ALL || (survival != SIM_NOTHING && coin(disk)))
			change_settle(disk, &disk->changes[i]);
	disk->change_count = 0;
	for (unsigned i = 0; i < SIM_FILES_MAX; i++)
		if (disk->nodes[i].kind == SIM_DIRECTORY && !disk->nodes[i].safe_path[0])
			forget_below(disk, disk->nodes[i].path);
	for (unsigned i = 0; i < SIM_FILES_MAX; i++)
		text_copy(disk->nodes[i].path, sizeof(disk->nodes[i].path),
			  disk->nodes[i].safe_path);
}

/* Of the unsynced sectors of a node one may be spoiled; which, is drawn with odds. */
static void sector_spoil(struct sim_disk *disk, struct sim_node *node, size_t sector,
			 enum sim_survival survival)
{
	uint8_t *safe = node->safe + sector * SIM_SECTOR;
	const uint8_t *now = node->now + sector * SIM_SECTOR;
	size_t part = 1 + (size_t)sim_random_below(&disk->random, SIM_SECTOR - 1);

	if (survival == SIM_TORN) {
		if (coin(disk))
			memcpy(safe, now, part);
		else
			memcpy(safe + part, now + part, SIM_SECTOR - part);
		return;
	}
	for (size_t i = 0; i < SIM_SECTOR; i++)
		safe[i] = (uint8_t)sim_random_next(&disk->random);
}

static void node_survives(struct sim_disk *disk, struct sim_node *node,
			  enum sim_survival survival, bool *spoiled)
{
	for (size_t sector = 0; sector < node->room / SIM_SECTOR; sector++) {
		if (!node->dirty[sector])
			continue;
		if (survival >= SIM_TORN && !*spoiled &&
		    sim_random_below(&disk->random, 4) == 0) {
			sector_spoil(disk, node, sector, survival);
			*spoiled = true;
		} else if (survival == SIM_ALL || (survival != SIM_NOTHING && coin(disk))) {
			sector_settle(node, sector);
		}
		node->dirty[sector] = 0;
	}
	if (survival == SIM_ALL || (survival != SIM_NOTHING && coin(disk)))
		node->size_safe = node->size_now;
	memcpy(node->now, node->safe, node->room);
	if (node->room > node->size_safe) {
		memset(node->now + node->size_safe, 0, node->room - node->size_safe);
		memset(node->safe + node->size_safe, 0, node->room - node->size_safe);
	}
	node->size_now = node->size_safe;
}

void sim_disk_reopen(struct sim_disk *disk)
{
	memset(disk->handles, 0, sizeof(disk->handles));
	disk->dead = disk->killed = false;
}

void sim_disk_restart(struct sim_disk *disk, enum sim_survival survival)
{
	bool spoiled = false, killed = disk->killed;

	sim_disk_reopen(disk);
	disk->cut_at = 0;
	disk->fail[0] = '\0';
	if (killed)
		return;
	for (unsigned i = 0; i < SIM_FILES_MAX; i++)
		if (disk->nodes[i].kind == SIM_FILE && disk->nodes[i].room)
			node_survives(disk, &disk->nodes[i], survival, &spoiled);
	names_survive(disk, survival);
	sweep(disk);
}

void sim_disk_protect(struct sim_disk *disk, const char *path)
{
	text_copy(disk->protect, sizeof(disk->protect), path);
}

uint64_t sim_disk_violations(const struct sim_disk *disk)
{
	return disk->violations;
}

void sim_disk_flip(struct sim_disk *disk, const char *path)
{
	text_copy(disk->flip, sizeof(disk->flip), path);
}

void sim_disk_fail_sync(struct sim_disk *disk, const char *path)
{
	text_copy(disk->fail, sizeof(disk->fail), path);
}

void sim_disk_space(struct sim_disk *disk, uint64_t bytes)
{
	disk->space = bytes;
}
