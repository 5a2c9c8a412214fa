/* A device on a simulated disk, and the plugin it talks to.
 *
 * The device is the shortest agent that follows the state table of the design with the real
 * journal, kept files, boot state and slots; the plugin lives outside the power's reach, and
 * checks what the device promises: it is what an observer at the door would see. */
#pragma once

#include "journal.h"
#include "keep.h"
#include "sim_disk.h"
#include "slot.h"

#define SIM_IMAGES   4
#define SIM_RELEASES 3
#define SIM_PARTS    2
#define SIM_TRIES    6 /* more than the cuts of any run, so that a good version stays */
#define SIM_WINDOW   8 /* reports sent before their acknowledgement */
#define SIM_SEQS_MAX 4096

enum sim_backend {
	SIM_SLOT_FILE = 0,
	SIM_SLOT_BLOCK,
	SIM_SLOT_BLOCK_GRUB,
};

enum sim_behaviour {
	SIM_GOOD = 0,
	SIM_CRASHES,	   /* at every start, before the agent in it runs */
	SIM_CRASHES_FIRST, /* at its first start */
	SIM_SICK,	   /* its health check fails */
};

enum sim_event {
	SIM_UNDISTURBED = 0,
	SIM_SUPERSEDED,	       /* the next release comes half way through the download */
	SIM_CANCELED,	       /* half way through the download */
	SIM_CANCELED_ARMED,    /* when it waits for the restart */
	SIM_FLIPPED,	       /* the medium turns a bit of the image when it is synced */
	SIM_SYNC_FAILED,       /* once, and the kernel forgets what it was to write */
	SIM_WITHOUT_DOWNLOAD,  /* back to what the other slot still holds */
	SIM_AFTER_MANY_REPORTS /* while the device was offline */
};

struct sim_release {
	unsigned image; /* 1 … SIM_IMAGES - 1; 0 ends the list */
	enum sim_behaviour behaviour;
	enum sim_event event;
};

struct sim_scenario {
	const char *name;
	enum sim_backend backend;
	unsigned parts;
	size_t image_size, segment; /* of version 1; later ones differ a little */
	struct sim_release releases[SIM_RELEASES];
	unsigned ends_with; /* the image that runs in the end */
	/* The sectors of its disk are written whole or not at all: for a single-copy format,
	 * which nothing can save else. */
	bool whole_sectors;
};

struct sim_device {
	const struct sim_scenario *scenario;
	struct sim_disk *disk;
	char broken[256]; /* the first violation; "" none */

	/* The plugin's side. */
	unsigned offered;		/* index of the release on offer */
	bool final[SIM_RELEASES];	/* its final report was stored */
	char final_state[SIM_RELEASES]; /* 's'ucceeded, 'r'olled back, 'c'anceled */
	uint64_t received[SIM_SEQS_MAX / 64];
	uint64_t promised[SIM_SEQS_MAX / 64]; /* reports whose storing succeeded */
	char content[SIM_SEQS_MAX];	      /* first letter of each received one */

	/* What must hold across lives. */
	struct keep_floor floor;
	unsigned crashes;
	bool flipped, sync_failed;
	uint64_t fetched; /* bytes */
	unsigned cuts;

	/* One life of the agent. */
	struct boot_store *selector;
	struct slots slots;
	struct journal journal;
	struct keep keep;
	unsigned running; /* image */
};

extern const struct sim_scenario sim_scenarios[];
extern const unsigned sim_scenario_count;

void sim_device_init(struct sim_device *device, const struct sim_scenario *scenario,
		     uint64_t seed);
void sim_device_done(struct sim_device *device);

/* From power-on until the power goes, the device restarts, or (true) it has nothing more to do.
 */
bool sim_device_live(struct sim_device *device);
/* What must be true once nothing disturbs the device any more. */
void sim_device_check_end(struct sim_device *device);
