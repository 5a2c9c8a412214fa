#include "reason.h"

static const struct {
	const char *name, *sentence;
} reasons[REASON_COUNT] = {
	[REASON_NONE] = {"ready", "nothing is in the way"},
	[REASON_QUARANTINED] = {"quarantined", "the device is new and nobody has approved it"},
	[REASON_DENIED] = {"denied", "the device has been denied"},
	[REASON_DECOMMISSIONED] = {"decommissioned", "the device has been removed"},
	[REASON_DEVELOPMENT] = {"development",
				"development devices are never touched by fleet releases"},
	[REASON_PINNED] = {"pinned", "the device is pinned to another version"},
	[REASON_PIN_WAITS] = {"pin_waits",
			      "the device is pinned, and no release that reaches it carries "
			      "that version: make one for it"},
	[REASON_OTHER_GROUP] = {"other_group", "the release is for a group it is not in"},
	[REASON_OTHER_DEVICE] = {"other_device", "the release is for another device"},
	[REASON_HIGHER_VERSION] = {"higher_version",
				   "another release of higher precedence or version has it"},
	[REASON_GROUP_FIRST] = {"group_first",
				"a release to one of its groups, or to itself, comes before "
				"the product's"},
	[REASON_HARDWARE] = {"hardware", "the firmware is not for its hardware"},
	[REASON_TOO_LARGE] = {"too_large", "the image does not fit into its slot"},
	[REASON_DOWNGRADE] = {"downgrade", "it runs a higher version and the release does not "
					   "allow a downgrade"},
	[REASON_FLOOR] = {"floor", "the firmware is below the device's security floor"},
	[REASON_REQUIRES] = {"requires", "it runs less than the version that the firmware "
					 "requires to be installed from"},
	[REASON_DEVELOPMENT_KEY] = {"development_key",
				    "the firmware is signed for development devices only"},
	[REASON_STALE] = {"stale", "it has already accepted a release with a higher number and "
				   "would refuse this one: sign a new release"},
	[REASON_ON_TARGET] = {"on_target", "it runs the version and digest it should"},
	[REASON_NO_RELEASE] = {"no_release", "no release targets the device"},
	[REASON_UNAPPROVED] = {"unapproved", "the release waits for a second person"},
	[REASON_SCHEDULED] = {"scheduled", "the release has not begun yet"},
	[REASON_HELD] = {"held", "a manager holds the release"},
	[REASON_HALTED] = {"halted", "the release has halted"},
	[REASON_WAVE] = {"wave", "its wave is not open yet"},
	[REASON_OFFLINE] = {"offline", "the device is not connected"},
	[REASON_NEXT_HELLO] = {"next_hello", "the release is standard: it is offered at the "
					     "device's next reconnection"},
	[REASON_BUSY_OLDER] = {"busy_older", "it finishes an older release first"},
	[REASON_PLACE] = {"place", "as many devices as the release allows download already"},
	[REASON_DISABLED] = {"disabled", "a manager has disabled updates on the device"},
	[REASON_CONSENT] = {"consent", "the device does not permit it now"},
	[REASON_RETRY] = {"retry", "it failed and is tried again later"},
	[REASON_PENALTY] = {"penalty", "it failed three times and sits out for a day"},
	[REASON_GIVEN_UP] = {"given_up", "it ended without success and is not tried again by "
					 "itself: retry it once the cause is removed"},
	[REASON_IN_HAND] = {"in_hand", "it is being updated"},
};

const char *reason_name(enum reason reason)
{
	return (unsigned)reason < REASON_COUNT && reasons[reason].name ? reasons[reason].name
								       : "unknown";
}

const char *reason_sentence(enum reason reason)
{
	return (unsigned)reason < REASON_COUNT && reasons[reason].sentence
		       ? reasons[reason].sentence
		       : "unknown";
}
