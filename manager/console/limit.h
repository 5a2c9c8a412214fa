/* Who may ask how often: a bucket per token, and a lock-out after failed logins. One thread. */
#pragma once

#include "why.h"

#include <stdint.h>

#define LIMIT_ENTRIES_MAX 8192 /* the least recently seen is forgotten beyond */

struct limit;

struct limit_config {
	uint32_t rate; /* requests a second of one token */
	uint32_t burst;
	uint32_t failures;	/* failed logins of one peer and token id … */
	uint32_t peer_failures; /* … or of one peer, whatever it tried … */
	uint64_t lock_ms;	/* … within this time lock it out for this time */
};

enum ota_err limit_new(const struct limit_config *config, struct limit **ret_limit,
		       struct ota_why *why) OTA_CHECKED;
void limit_free(struct limit *limit);

/* OTA_RATE_LIMITED with the reason, and how long to wait, when it must be refused. `token_id`
 * is "" for a request without one. */
enum ota_err limit_request(struct limit *limit, uint64_t now_ms, const char *peer,
			   const char *token_id, uint32_t *ret_wait_s,
			   struct ota_why *why) OTA_CHECKED;
/* A token that the plugin refused, or text that is none. */
void limit_failed(struct limit *limit, uint64_t now_ms, const char *peer, const char *token_id);
