/* What becomes of a simulated device in a release: drawn from shares with a seed, so that the
 * same seed, device and release always end the same way. */
#pragma once

#include "name.h"
#include "why.h"

#define FATE_NAMED_MAX 1024

enum fate {
	FATE_SUCCEED = 0,
	FATE_FAIL,	/* cannot install what it fetched */
	FATE_VANISH,	/* restarts and is never heard of again */
	FATE_ROLL_BACK, /* the new version does not reach the broker; the old one comes back */
	FATE_UNHEALTHY, /* the new version fails its health check; the old one comes back */
	FATE_CRASH,	/* the new version crashes until the old one comes back */
	FATE_RECONNECT, /* loses its connection in the middle of the download, and goes on */
	FATE_REJECT,	/* refuses the offer: other hardware */
	FATE_DEFER,	/* not now; some time later */
	FATE_COUNT,
};
extern const char *const fate_names[]; /* "succeed", …, NULL */

struct fate_plan {
	uint64_t seed;
	uint64_t share[FATE_COUNT]; /* of 10000; FATE_SUCCEED has what is left */
	const char *version;	    /* only updates to this one have a fate; "" every one */
	struct {
		char device[NAME_SIZE];
		enum fate fate;
	} named[FATE_NAMED_MAX];
	unsigned named_count;
};

/* "d17=vanish": this device has this fate, whatever the shares say. */
enum ota_err fate_name(struct fate_plan *plan, const char *text,
		       struct ota_why *why) OTA_CHECKED;
enum fate fate_of(const struct fate_plan *plan, const char *device, uint64_t release,
		  const char *version);
