/* A simulated disk behind the agent's storage seam: sectors and names with a volatile and a
 * durable copy, a power cut at any operation, and five ways in which what was not synced can
 * come back.
 *
 * An operation is everything that changes the disk. The cut happens inside operation `cut_at`:
 * a write may have reached the cache in part. From then on every call fails with EIO until
 * sim_disk_restart(), so the code under test runs off its end as if it were dead. */
#pragma once

#include "disk.h"

#define SIM_SECTOR	512u
#define SIM_FILES_MAX	96u
#define SIM_HANDLES_MAX 32u
#define SIM_PENDING_MAX 256u

/* What survives of what was written and not synced. */
enum sim_survival {
	SIM_NOTHING = 0,
	SIM_ALL,
	SIM_SUBSET,  /* each sector, size and name by itself, or not */
	SIM_TORN,    /* the same, and one sector is half the new and half the old */
	SIM_GARBAGE, /* the same, and one sector holds neither */
	SIM_SURVIVAL_COUNT,
};
extern const char *const sim_survival_names[];

struct sim_random {
	uint64_t state;
};
uint64_t sim_random_next(struct sim_random *random);
uint64_t sim_random_below(struct sim_random *random, uint64_t bound);

/* While it is not 0 the simulation's own allocations are under way, which do not fail. */
extern int sim_memory_is_ours;

struct sim_disk;

struct sim_disk *sim_disk_new(uint64_t seed);
void sim_disk_free(struct sim_disk *disk);
/* The seam to hand to the code under test. */
const struct disk *sim_disk_seam(struct sim_disk *disk);

/* Makes a durable file, as delivered. */
void sim_disk_put(struct sim_disk *disk, const char *path, const void *bytes, size_t len);
/* What is in a file now, whatever its state; false when there is none. The bytes stay the
 * disk's. */
bool sim_disk_peek(const struct sim_disk *disk, const char *path, const uint8_t **ret_bytes,
		   size_t *ret_len);

/* The power goes (or the process is killed: `kill`) inside the operation with this number,
 * counted from now; 0: never. */
void sim_disk_cut_at(struct sim_disk *disk, uint64_t operation, bool kill);
bool sim_disk_is_dead(const struct sim_disk *disk);
uint64_t sim_disk_operations(const struct sim_disk *disk); /* since sim_disk_cut_at() */
/* The next life. After a power cut (also one that is made now, by calling this on a living
 * disk) what was not synced survives as said; after a kill everything does, still unsynced. */
void sim_disk_restart(struct sim_disk *disk, enum sim_survival survival);
/* The process ends by itself and starts again: nothing is lost, handles are closed. */
void sim_disk_reopen(struct sim_disk *disk);

/* The file that must not be written now: "" none. Writing it is counted as a violation. */
void sim_disk_protect(struct sim_disk *disk, const char *path);
uint64_t sim_disk_violations(const struct sim_disk *disk);
/* The medium turns a bit of one sector of this path at its next sync; the cache keeps what was
 * written. */
void sim_disk_flip(struct sim_disk *disk, const char *path);
/* The next sync of this path fails, and the kernel forgets what it was to write: the cache
 * keeps it and calls it clean. */
void sim_disk_fail_sync(struct sim_disk *disk, const char *path);
/* Bytes that may still be allocated; the default is plenty. */
void sim_disk_space(struct sim_disk *disk, uint64_t bytes);
