/* The next version of a trust root: what changes, as small steps on the document. Everything is
 * checked once more when it is read back before it is signed. */
#pragma once

#include "document.h"

/* Adds a key (unless it is there) and gives its id. */
enum ota_err root_edit_add_key(struct root_document *root, const struct sign_public *key,
			       const char *name, struct ota_why *why) OTA_CHECKED;
/* Takes the key out of every role, of the releasers and of the list. OTA_NOT_FOUND when no key
 * has this name or id (its first digits suffice, when they are unique). */
enum ota_err root_edit_revoke(struct root_document *root, const char *name_or_id,
			      struct ota_why *why) OTA_CHECKED;
/* Puts a key in the place of the one that a role has; OTA_CONFLICT when it has several. */
enum ota_err root_edit_replace(struct root_document *root, struct root_role *role,
			       const struct sign_public *key, const char *name,
			       struct ota_why *why) OTA_CHECKED;
/* OTA_MANIFEST_INVALID when a role that every root needs has no key, or fewer than its
 * threshold.
 */
enum ota_err root_edit_check(const struct root_document *root, struct ota_why *why) OTA_CHECKED;
/* Adds the key to the role and sets its threshold (0: as it is). */
enum ota_err root_edit_join(struct root_document *root, struct root_role *role,
			    const struct sign_public *key, const char *name, uint32_t threshold,
			    struct ota_why *why) OTA_CHECKED;
/* products, groups, actions: words joined by commas. */
struct root_edit_releaser {
	const char *manager, *products, *groups, *actions;
	uint64_t not_after;
};
enum ota_err root_edit_add_releaser(struct root_document *root, const struct sign_public *key,
				    const struct root_edit_releaser *releaser,
				    struct ota_why *why) OTA_CHECKED;
/* One more CA, base64 of its DER; OTA_TOO_LARGE beyond ROOT_ANCHORS_MAX. */
enum ota_err root_edit_add_anchor(struct root_document *root, const char *der_base64,
				  struct ota_why *why) OTA_CHECKED;
void root_edit_drop_anchors(struct root_document *root);
enum ota_err root_edit_set_floor(struct root_document *root, const char *product,
				 uint64_t security_version, struct ota_why *why) OTA_CHECKED;
