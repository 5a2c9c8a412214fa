/* A device as the engine knows it, whether connected or not. At most 400 bytes with its newest
 * update, ids and table places included: there may be 100,000 of them. */
#pragma once

#include "message.h"
#include "word.h"

struct product;
struct group;
struct release;
struct update;

#define DEVICE_UPDATES_MAX 4u /* updates kept in memory; older ones are in the store */

/* Rare and long: only while there is something to say. */
struct device_texts {
	char *notes;	  /* NULL: none */
	char reason[129]; /* why a gate is closed */
	char window[65];
	struct digest previous;		   /* image in the other slot */
	uint8_t nonce[MESSAGE_NONCE_SIZE]; /* of the hello whose trial waits for its grant */
};

struct device {
	UT_hash_handle hh;
	struct product *product;
	struct image *runs;    /* NULL: never said */
	struct word *hardware; /* NULL: never said */
	struct word *pin;      /* version; NULL: not pinned */
	struct device_texts *texts;
	struct group **groups;	/* group_count of them */
	struct update *updates; /* newest release first */
	struct release *target; /* the one computed answer; NULL: none */
	uint64_t number;	/* highest release number it said it accepted */
	uint64_t slot_size;
	uint64_t security_version, floor;
	uint64_t first_ms, seen_ms, hello_ms; /* broker's clock; 0: never */
	uint64_t lease_ms;		      /* gates open by themselves at; 0: no lease */
	uint64_t stored_ms;		      /* seen_ms as last stored */
	uint32_t root;
	uint8_t group_count;
	uint8_t status; /* enum device_status */
	bool online : 1;
	bool greeted : 1; /* hello received on this connection */
	bool development : 1;
	bool updates_disabled : 1; /* by a manager */
	bool gate_download : 1, gate_install : 1, gate_restart : 1;
	char id[];
};

const char *device_version(const struct device *device);  /* "" when unknown */
const char *device_hardware(const struct device *device); /* "" when unknown */
bool device_is_member(const struct device *device, const struct group *group);
/* The update of this release, or NULL when there is none in memory. */
struct update *device_update(const struct device *device, const struct release *release);
/* The update that the device works on or waits for: the newest that is not final, else NULL. */
struct update *device_update_in_hand(const struct device *device);
