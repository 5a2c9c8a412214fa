/* Delivery: chunks of blobs, answered in the callback out of the page cache.
 *
 * What is on its way is not known exactly (the broker tells nobody), so it is estimated: a
 * device has outstanding what it asked for last, or its window, until it asks again or
 * DELIVERY_LOST_MS have passed. Two budgets hold for all devices together: what was sent
 * lately (it competes for the broker's time) and what was sent at all (slow devices keep it in
 * the broker's memory). Beyond them a device is told to wait, and while some wait, one that has
 * had DELIVERY_TURN chunks in a row steps back. It gets all that it asks for, or has to wait:
 * with a chunk for each of many, all of them would wait between any two. */
#pragma once

#include "message.h"

#include <uthash.h>

#define DELIVERY_YOUNG_MS 100u	 /* sent lately */
#define DELIVERY_LOST_MS  30000u /* not asked again for so long: received, or gone */
#define DELIVERY_FAST_MS  1000u	 /* asked again within it: what was under way is there soon */
#define DELIVERY_TURN	  64u	 /* 4 MiB */
#define DELIVERY_PATIENCE 4u	 /* refused so often it takes less than it asks for */

struct delivery_budget {
	uint32_t young, all; /* chunks */
};

struct delivery_device {
	UT_hash_handle hh;
	struct delivery_device *older, *newer; /* in the order of last_ms */
	uint64_t last_ms;
	uint32_t outstanding, window, turn, refused;
	bool young;
	char id[NAME_SIZE];
};

struct delivery {
	struct delivery_budget budget;
	struct delivery_device *devices, *oldest, *newest, *first_young;
	uint32_t young, all; /* outstanding chunks */
	uint64_t waited_ms;  /* when somebody was last told to wait; 0: never */
	uint32_t waiters;    /* rough: told to wait in the present young period */
};

void delivery_init(struct delivery *delivery, const struct delivery_budget *budget);
void delivery_done(struct delivery *delivery);
/* How many of `wanted` (≤ MESSAGE_WINDOW_MAX) chunks may go to the device now; they then count
 * as on their way. 0: *ret_wait_ms says when to ask again. OTA_OUT_OF_MEMORY gives 0 as well.
 */
uint32_t delivery_admit(struct delivery *delivery, const char *device, uint32_t wanted,
			uint64_t now_ms, uint32_t *ret_wait_ms);
/* The device has gone. */
void delivery_forget(struct delivery *delivery, const char *device);
