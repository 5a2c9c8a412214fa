#include "sim_disk_inside.h"

#include <stdlib.h>
#include <string.h>

const char *const sim_survival_names[] = {"nothing", "all", "subset", "torn", "garbage", NULL};

int sim_memory_is_ours;

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

bool sim_coin(struct sim_disk *disk)
{
	return sim_random_next(&disk->random) & 1;
}

struct sim_node *sim_node_named(const struct sim_disk *disk, const char *path)
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

struct sim_node *sim_node_new(struct sim_disk *disk, enum sim_kind kind, const char *path)
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

void sim_node_grow(struct sim_node *node, size_t size)
{
	size_t room = node->room ? node->room : SIM_SECTOR;

	while (room < size)
		room *= 2;
	if (room == node->room)
		return;
	sim_memory_is_ours++;
	node->now = realloc(node->now, room);
	node->safe = realloc(node->safe, room);
	node->dirty = realloc(node->dirty, room / SIM_SECTOR);
	sim_memory_is_ours--;
	if (!node->now || !node->safe || !node->dirty)
		abort();
	memset(node->now + node->room, 0, room - node->room);
	memset(node->safe + node->room, 0, room - node->room);
	memset(node->dirty + node->room / SIM_SECTOR, 0, (room - node->room) / SIM_SECTOR);
	node->room = room;
}

void sim_change(struct sim_disk *disk, const struct sim_node *node, const char *from,
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
void sim_change_settle(struct sim_disk *disk, const struct sim_change *made)
{
	for (unsigned i = 0; made->to[0] && i < SIM_FILES_MAX; i++)
		if (strcmp(disk->nodes[i].safe_path, made->to) == 0)
			disk->nodes[i].safe_path[0] = '\0';
	struct sim_node *node = &disk->nodes[made->node];
	if (made->to[0] || strcmp(node->safe_path, made->from) == 0)
		text_copy(node->safe_path, sizeof(node->safe_path), made->to);
}

bool sim_is_in(const char *path, const char *directory)
{
	const char *slash = strrchr(path, '/');
	size_t len = slash ? (size_t)(slash - path) : 0;

	if (!path[0])
		return false;
	if (len == 0)
		return strcmp(directory, "/") == 0;
	return strlen(directory) == len && strncmp(path, directory, len) == 0;
}

void sim_node_write(struct sim_node *node, const void *bytes, size_t len, size_t offset)
{
	if (len == 0)
		return;
	sim_node_grow(node, offset + len);
	memcpy(node->now + offset, bytes, len);
	memset(node->dirty + offset / SIM_SECTOR, 1,
	       (offset + len - 1) / SIM_SECTOR - offset / SIM_SECTOR + 1);
	if (offset + len > node->size_now)
		node->size_now = offset + len;
}

void sim_sector_settle(struct sim_node *node, size_t sector)
{
	memcpy(node->safe + sector * SIM_SECTOR, node->now + sector * SIM_SECTOR, SIM_SECTOR);
	node->dirty[sector] = 0;
}

void sim_node_settle(struct sim_disk *disk, struct sim_node *node)
{
	bool flip = disk->flip[0] && strcmp(node->path, disk->flip) == 0;

	for (size_t sector = 0; sector < node->room / SIM_SECTOR; sector++) {
		if (!node->dirty[sector])
			continue;
		sim_sector_settle(node, sector);
		if (!flip || sector * SIM_SECTOR >= node->size_now)
			continue;
		node->safe[sector * SIM_SECTOR] ^= 1;
		disk->flip[0] = '\0';
		flip = false;
	}
	node->size_safe = node->size_now;
}

struct sim_disk *sim_disk_new(uint64_t seed)
{
	struct sim_disk *disk = calloc(1, sizeof(*disk));

	if (!disk)
		abort();
	disk->random.state = seed;
	disk->space = UINT64_C(1) << 40;
	sim_disk_connect(disk);
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
		if (sim_node_named(disk, part))
			continue;
		struct sim_node *node = sim_node_new(disk, SIM_DIRECTORY, part);
		if (!node)
			abort();
		text_copy(node->safe_path, sizeof(node->safe_path), part);
	}
}

void sim_disk_put(struct sim_disk *disk, const char *path, const void *bytes, size_t len)
{
	put_directories(disk, path);
	struct sim_node *node = sim_node_new(disk, SIM_FILE, path);

	if (!node)
		abort();
	text_copy(node->safe_path, sizeof(node->safe_path), path);
	sim_node_write(node, bytes, len, 0);
	sim_node_settle(disk, node);
}

bool sim_disk_peek(const struct sim_disk *disk, const char *path, const uint8_t **ret_bytes,
		   size_t *ret_len)
{
	const struct sim_node *node = sim_node_named(disk, path);

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
		if (survival == SIM_ALL || (survival != SIM_NOTHING && sim_coin(disk)))
			sim_change_settle(disk, &disk->changes[i]);
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
		if (sim_coin(disk))
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
		} else if (survival == SIM_ALL || (survival != SIM_NOTHING && sim_coin(disk))) {
			sim_sector_settle(node, sector);
		}
		node->dirty[sector] = 0;
	}
	if (survival == SIM_ALL || (survival != SIM_NOTHING && sim_coin(disk)))
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
