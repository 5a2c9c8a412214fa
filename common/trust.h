/* Trust: the current root and what follows from it. The plugin, the agent and the manager's
 * tools decide with these same functions, so what a signer may do is what a device will accept.
 */
#pragma once

#include "document.h"
#include "envelope.h"

struct trust; /* the verified root; opaque */

/* Starts from a root that the caller got by a trusted way (a file it was installed with). It
 * must be signed by its own root threshold. An empty or missing root is an error: no key is
 * never "verified". */
enum ota_err trust_new(const char *root_envelope, size_t len, struct trust **ret_trust,
		       struct ota_why *why) OTA_CHECKED;
void trust_free(struct trust *trust);
/* Walks to version N+1, signed by the thresholds of N and of N+1; OTA_ROOT_GAP when it is any
 * other version. On failure the trust is as it was. */
enum ota_err trust_advance(struct trust *trust, const char *root_envelope, size_t len,
			   struct ota_why *why) OTA_CHECKED;
const struct root_document *trust_root(const struct trust *trust);

/* What was signed and is believed. The caller ends it with firmware_done(&…->document). */
struct trusted_firmware {
	struct firmware_document document;
	struct digest digest; /* of the payload */
	bool development;     /* signed by the development class only */
};

struct trusted_release {
	struct release_document document;
	struct digest signer;	 /* key id */
	char manager[NAME_SIZE]; /* whose key, as the root says */
};

/* Verifies the firmware threshold, or that of the development class, then reads. */
enum ota_err trust_firmware(const struct trust *trust, const char *envelope, size_t len,
			    struct trusted_firmware *ret_firmware,
			    struct ota_why *why) OTA_CHECKED;
/* Verifies that one release key signed whose scope (product, group, actions the document needs,
 * not_after against the document's `created`) covers it. A release to one device needs a scope
 * of all groups ("*") or of none named. */
enum ota_err trust_release(const struct trust *trust, const char *envelope, size_t len,
			   struct trusted_release *ret_release,
			   struct ota_why *why) OTA_CHECKED;
enum ota_err trust_head(const struct trust *trust, const char *envelope, size_t len,
			struct head_document *ret_head, struct ota_why *why) OTA_CHECKED;
uint64_t trust_floor(const struct trust *trust, const char *product);
