/* The certificate authorities that the next connection is verified with: the configured file,
 * and the anchors of the trust root. So a fleet learns its next CA while the present one is
 * good, and no device is lost when that one ends.
 *
 * Never worse than without: what is no certificate is left out, and when the file cannot be
 * written the connections go on with what they had. */
#pragma once

#include "disk.h"
#include "document.h"

struct tls_anchors {
	const struct disk *disk;
	const char *configured; /* a PEM file; must outlive this */
	char path[DISK_PATH_SIZE];
};

/* `directory` is the agent's own; the file in it is made when there is something to add. */
enum ota_err tls_anchors_init(struct tls_anchors *anchors, const struct disk *disk,
			      const char *directory, const char *configured,
			      struct ota_why *why) OTA_CHECKED;
/* The file to verify with from now on; it lives as long as *anchors. Written anew, in one step,
 * when the configured file or the root has changed. */
const char *tls_anchors_file(const struct tls_anchors *anchors,
			     const struct root_document *root);
