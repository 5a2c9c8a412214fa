/* The inside of the simulated disk, shared by sim_disk.c (what is stored, and what survives)
 * and sim_disk_seam.c (the operations). Nobody else includes it. */
#pragma once

#include "sim_disk.h"

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

bool sim_coin(struct sim_disk *disk);
struct sim_node *sim_node_named(const struct sim_disk *disk, const char *path);
struct sim_node *sim_node_new(struct sim_disk *disk, enum sim_kind kind, const char *path);
void sim_node_grow(struct sim_node *node, size_t size);
void sim_node_write(struct sim_node *node, const void *bytes, size_t len, size_t offset);
/* Makes a sector, or all of a file, durable. */
void sim_sector_settle(struct sim_node *node, size_t sector);
void sim_node_settle(struct sim_disk *disk, struct sim_node *node);
/* Notes a change of names, and makes one durable. */
void sim_change(struct sim_disk *disk, const struct sim_node *node, const char *from,
		const char *to);
void sim_change_settle(struct sim_disk *disk, const struct sim_change *made);
bool sim_is_in(const char *path, const char *directory);
/* Fills in the seam. */
void sim_disk_connect(struct sim_disk *disk);
