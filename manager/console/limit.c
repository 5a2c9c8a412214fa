#include "limit.h"

#include "text.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <uthash.h>

#define KEY_SIZE 72 /* an address, a blank, a token id */

struct entry {
	char key[KEY_SIZE];
	double tokens;
	uint64_t filled_ms;
	uint32_t failures;
	uint64_t failed_ms;
	UT_hash_handle hh;
};

struct limit {
	struct limit_config config;
	struct entry *entries; /* in the order of last use */
	pthread_mutex_t lock;
};

enum ota_err limit_new(const struct limit_config *config, struct limit **ret_limit,
		       struct ota_why *why)
{
	struct limit *limit = calloc(1, sizeof *limit);

	if (!limit)
		return ota_fail(why, OTA_OUT_OF_MEMORY, "no memory for the limits");
	limit->config = *config;
	pthread_mutex_init(&limit->lock, NULL);
	*ret_limit = limit;
	return OTA_OK;
}

void limit_free(struct limit *limit)
{
	struct entry *entry, *next;

	if (!limit)
		return;
	HASH_ITER (hh, limit->entries, entry, next) {
		HASH_DEL(limit->entries, entry);
		free(entry);
	}
	pthread_mutex_destroy(&limit->lock);
	free(limit);
}

/* Finds or makes the entry and puts it at the end of the order; NULL without memory. */
static struct entry *use(struct limit *limit, const char *peer, const char *token_id)
{
	char key[KEY_SIZE];
	struct entry *entry;

	snprintf(key, sizeof key, "%s %s", peer, token_id);
	HASH_FIND_STR(limit->entries, key, entry);
	if (entry) {
		HASH_DEL(limit->entries, entry);
	} else {
		entry = calloc(1, sizeof *entry);
		if (!entry)
			return NULL;
		text_copy(entry->key, sizeof entry->key, key);
		entry->tokens = limit->config.burst;
	}
	HASH_ADD_STR(limit->entries, key, entry);
	if (HASH_COUNT(limit->entries) > LIMIT_ENTRIES_MAX) {
		struct entry *oldest = limit->entries;
		HASH_DEL(limit->entries, oldest);
		free(oldest);
	}
	return entry;
}

static bool is_locked(const struct limit *limit, const struct entry *entry, uint64_t now_ms,
		      uint32_t failures, uint32_t *ret_wait_s)
{
	if (!entry || entry->failures < failures ||
	    now_ms >= entry->failed_ms + limit->config.lock_ms)
		return false;
	*ret_wait_s =
		(uint32_t)((entry->failed_ms + limit->config.lock_ms - now_ms) / 1000 + 1);
	return true;
}

static bool take_token(struct limit *limit, struct entry *entry, uint64_t now_ms)
{
	if (entry->filled_ms && now_ms > entry->filled_ms)
		entry->tokens +=
			(double)(now_ms - entry->filled_ms) / 1000 * limit->config.rate;
	if (entry->tokens > limit->config.burst)
		entry->tokens = limit->config.burst;
	entry->filled_ms = now_ms;
	if (entry->tokens < 1)
		return false;
	entry->tokens -= 1;
	return true;
}

enum ota_err limit_request(struct limit *limit, uint64_t now_ms, const char *peer,
			   const char *token_id, uint32_t *ret_wait_s, struct ota_why *why)
{
	enum ota_err err = OTA_OK;

	pthread_mutex_lock(&limit->lock);
	struct entry *pair = use(limit, peer, token_id);
	char key[KEY_SIZE];
	struct entry *alone;
	snprintf(key, sizeof key, "%s ", peer);
	HASH_FIND_STR(limit->entries, key, alone);
	if (is_locked(limit, pair, now_ms, limit->config.failures, ret_wait_s) ||
	    is_locked(limit, alone, now_ms, limit->config.peer_failures, ret_wait_s)) {
		err = ota_fail(why, OTA_RATE_LIMITED,
			       "too many failed logins from here: try again in %u s",
			       *ret_wait_s);
	} else if (pair && !take_token(limit, pair, now_ms)) {
		*ret_wait_s = 1;
		err = ota_fail(why, OTA_RATE_LIMITED,
			       "more than %u requests a second with one token",
			       limit->config.rate);
	}
	pthread_mutex_unlock(&limit->lock);
	return err;
}

static void count_failure(struct limit *limit, struct entry *entry, uint64_t now_ms)
{
	if (!entry)
		return;
	if (now_ms >= entry->failed_ms + limit->config.lock_ms)
		entry->failures = 0;
	entry->failures++;
	entry->failed_ms = now_ms;
}

void limit_failed(struct limit *limit, uint64_t now_ms, const char *peer, const char *token_id)
{
	pthread_mutex_lock(&limit->lock);
	count_failure(limit, use(limit, peer, ""), now_ms);
	if (*token_id)
		count_failure(limit, use(limit, peer, token_id), now_ms);
	pthread_mutex_unlock(&limit->lock);
}
