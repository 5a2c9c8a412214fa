/* Identity: who a client is. It comes from the certificate that its TLS session proved, and
 * from nothing else (PROTOCOL.md section 1): the CN is the name, the OU the role. */
#pragma once

#include "name.h"
#include "why.h"

enum identity_role {
	IDENTITY_STRANGER = 0, /* no certificate, or one whose OU is none of ours */
	IDENTITY_DEVICE,
	IDENTITY_MANAGER,
	IDENTITY_CONSOLE,
	IDENTITY_ROLE_COUNT,
};

struct identity {
	enum identity_role role;
	char name[NAME_SIZE]; /* "" for a stranger */
};

#define IDENTITY_SUFFIX_MAX 16 /* of a manager's client id, after the colon */

/* Reads an X509 (NULL: a stranger). A certificate that says one of our OUs but whose name is
 * not a valid id, has a NUL in it, or names two of our roles, is OTA_UNAUTHORIZED: such a
 * client is refused, not treated as a stranger. */
enum ota_err identity_read(void *x509, struct identity *ret_identity,
			   struct ota_why *why) OTA_CHECKED;
/* Whether this identity may use this client id; a stranger may use any. A device's is exactly
 * its name, a manager's its name or its name, ':' and 1 to 16 of A-Z a-z 0-9. */
bool identity_fits(const struct identity *identity, const char *client_id);
