/* Access: may this client do this with this topic? A pure function over the table of topics
 * (PROTOCOL.md section 2); what it must know of fleets and people it asks through a struct of
 * function pointers. Deny by default under `ota/` and `$CONTROL/ota/`, silent elsewhere. */
#pragma once

#include "identity.h"
#include "topic.h"

#include <stddef.h>

enum access_action {
	ACCESS_PUBLISH = 0,
	ACCESS_SUBSCRIBE,
	ACCESS_RECEIVE,
	ACCESS_ACTION_COUNT,
};

enum access_answer {
	ACCESS_NOT_OURS = 0,
	ACCESS_ALLOWED,
	ACCESS_DENIED,
};

struct access_question {
	const struct identity *identity; /* NULL: unknown, or not to be believed */
	enum access_action action;
	const char *topic; /* or filter */
	size_t payload_len;
	unsigned qos;
	bool retain;
};

/* What the answer depends on besides the table. All are called with valid names only and must
 * be quick: `receives` is asked once per delivery. */
struct access_facts {
	void *ctx;
	/* Not decommissioned or denied (device), not revoked and known (manager). */
	bool (*is_welcome)(void *ctx, const struct identity *identity);
	/* The approved device belongs to the product, and to the group if it is not "". */
	bool (*is_member)(void *ctx, const char *device, const char *product,
			  const char *group);
	/* The release that is being told on this fleet topic now is for this device. */
	bool (*receives)(void *ctx, const char *device, const struct topic *topic);
	/* The manager is at least a viewer of the product. */
	bool (*is_viewer)(void *ctx, const char *manager, const char *product);
};

/* `ret_reason` (may be NULL) gets a constant sentence when the answer is ACCESS_DENIED. */
enum access_answer access_decide(const struct access_facts *facts,
				 const struct access_question *question,
				 const char **ret_reason);
/* Quick look at the first bytes: can this topic or filter be ours? False is final; wildcards in
 * the first level are not ours to judge when subscribed, only when something is delivered. */
bool access_concerns(const char *topic);
