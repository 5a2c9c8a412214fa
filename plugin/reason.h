/* Reasons: why a device does not update now. One table gives each its stable name and its
 * sentence; the engine's gates, the dry run and `device.why` all speak with it. */
#pragma once

#include "text.h"

enum reason {
	REASON_NONE = 0, /* nothing is in the way */
	/* it will not be reached */
	REASON_QUARANTINED,
	REASON_DENIED,
	REASON_DECOMMISSIONED,
	REASON_DEVELOPMENT,
	REASON_PINNED,
	REASON_OTHER_GROUP,	/* the release is for a group it is not in */
	REASON_OTHER_DEVICE,	/* the release is for another device */
	REASON_HIGHER_VERSION,	/* another of its groups has a release of a higher version */
	REASON_GROUP_FIRST,	/* its group's release comes before the product's */
	REASON_HARDWARE,	/* the firmware is not for its hardware */
	REASON_TOO_LARGE,	/* the image does not fit its slot */
	REASON_DOWNGRADE,	/* it runs a higher version and the release does not allow it */
	REASON_FLOOR,		/* below its security floor */
	REASON_REQUIRES,	/* it runs less than the firmware's requires_version */
	REASON_DEVELOPMENT_KEY, /* firmware signed for development devices only */
	REASON_STALE,		/* it has accepted a release with a higher number */
	REASON_ON_TARGET,	/* it runs that version and digest */
	REASON_PIN_WAITS,	/* pinned, and no release carries that version */
	REASON_NO_RELEASE,
	/* it waits */
	REASON_UNAPPROVED,
	REASON_SCHEDULED,
	REASON_HELD,
	REASON_HALTED,
	REASON_WAVE, /* its wave is not open */
	REASON_OFFLINE,
	REASON_NEXT_HELLO, /* standard: at its next hello */
	REASON_BUSY_OLDER, /* finishes an older release first */
	REASON_PLACE,	   /* max_concurrent is reached */
	REASON_DISABLED,   /* updates are disabled by a manager */
	REASON_CONSENT,	   /* the device's gate is closed */
	REASON_RETRY,	   /* failed, is tried again later */
	REASON_PENALTY,	   /* failed three times, sits out */
	REASON_GIVEN_UP,   /* ended, and will not be tried again by itself */
	REASON_IN_HAND,	   /* it is being updated */
	REASON_COUNT,
};

const char *reason_name(enum reason reason);	 /* stable: "quarantined", …; never NULL */
const char *reason_sentence(enum reason reason); /* for a person; never NULL */
