/* Everything that is checked before the first chunk of an offer is asked for (TRUST.md), in the
 * order of TRUST.md, and once more after each restart. Absence is failure. */
#pragma once

#include "message.h"
#include "slot.h"
#include "trust.h"

struct check_facts {
	const struct trust *trust;
	const struct slots *slots;
	const char *device, *product, *hardware;
	/* the only groups whose releases are for this device, separated by blanks; NULL or "":
	 * the broker says */
	const char *groups;
	bool development; /* a development device */
	/* what runs */
	const char *version;
	struct digest image;
	uint64_t security_version;
	/* what is on record */
	uint64_t floor, number;
	uint64_t time; /* the greatest signed time known, and that of the build */
};

struct checked {
	struct trusted_firmware firmware;
	struct trusted_release release;
	unsigned parts[DOCUMENT_COMPONENTS_MAX]; /* of the slots, for each component */
};

/* OTA_OK and *ret_checked (end it with check_done()), or the name of what is wrong; then
 * *ret_number (may be NULL) is the release number that the offer claims, unverified, 0 when it
 * cannot be read: for the report and nothing else. */
enum ota_err check_offer(const struct check_facts *facts, const char *release,
			 const char *firmware, struct checked *ret_checked,
			 uint64_t *ret_number, struct ota_why *why) OTA_CHECKED;
/* After a restart: signatures, product and hardware again, of what is on record. Number,
 * version and expiry were decided when the update was accepted. */
enum ota_err check_again(const struct check_facts *facts, const char *release,
			 const char *firmware, struct checked *ret_checked,
			 struct ota_why *why) OTA_CHECKED;
void check_done(struct checked *checked);
/* True when the checked firmware is what runs already: version and image. */
bool check_is_installed(const struct check_facts *facts, const struct checked *checked);
