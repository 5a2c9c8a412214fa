/* A plugin in memory, for one device of the whole-agent simulation: it makes and signs
 * firmwares and releases once, answers hello, get and report over a link of its own, and writes
 * down what reached it. It lives outside the power's reach. */
#pragma once

#include "link.h"
#include "message.h"
#include "sim_disk.h"
#include "trust.h"

#define SIM_DEVICE   "gw1"
#define SIM_PRODUCT  "gateway"
#define SIM_HARDWARE "rev-a"
#define SIM_IMAGES   4 /* 1 is the factory's */
#define SIM_ORDERS   3
#define SIM_SEQS_MAX 8192

enum sim_order_event {
	SIM_ORDER_UNDISTURBED = 0,
	SIM_ORDER_SUPERSEDED,  /* by the next, after the second chunk */
	SIM_ORDER_CANCELED,    /* after the second chunk */
	SIM_ORDER_BROKER_GONE, /* while it downloads; it comes back */
	SIM_ORDER_MUTE /* in the trial nothing comes through any more, until it connects anew */
};

struct sim_order {
	unsigned image; /* 0 ends the list */
	enum sim_order_event event;
};

struct sim_plugin {
	const struct sim_order *orders;
	struct sim_random *random;
	char broken[OTA_WHY_TEXT_MAX + 32];

	/* by release number - 1 */
	enum update_state final[SIM_ORDERS];
	unsigned finals[SIM_ORDERS]; /* reports with a final state, by distinct number */
	bool stopped[SIM_ORDERS];    /* cancel was sent */
	bool granted[SIM_ORDERS];

	uint8_t received[SIM_SEQS_MAX / 8];
	struct digest content[SIM_SEQS_MAX]; /* of the payload with this number */
	uint64_t fetched;		     /* bytes of packs that were sent */
	unsigned chunks;		     /* of the current order */

	struct link link;
	bool started, up, reachable;
	bool mute, was_mute; /* what the device says is lost */
	unsigned gone_for;   /* ticks until the broker is back */
	struct sim_mail *first, **last;
};

void sim_plugin_init(struct sim_plugin *plugin, const struct sim_order *orders,
		     struct sim_random *random);
void sim_plugin_done(struct sim_plugin *plugin);
/* The device's process is gone, and what was on the way to it. */
void sim_plugin_forget(struct sim_plugin *plugin);
/* The number of the order in hand, 1 …; 0 when there is nothing more to do. */
unsigned sim_plugin_wants(const struct sim_plugin *plugin);

/* The same in every run. */
const char *sim_plugin_root(void);
const uint8_t *sim_image(unsigned image, size_t *ret_size);
const struct digest *sim_image_digest(unsigned image);
uint64_t sim_pack_size(unsigned image);
