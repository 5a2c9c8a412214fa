/* Settings: the plugin_opt_… rows of mosquitto.conf. */
#pragma once

#include "option.h"

enum settings_others {
	SETTINGS_DEFER = 0,
	SETTINGS_ALLOW,
};

struct settings {
	char *store_dir, *trust_root, *admin;
	int other_topics, other_clients; /* enum settings_others */
	char **sources;	  /* NULL-terminated */
	uint64_t shards;
	uint64_t chunk_budget, chunk_memory; /* chunks */
	uint64_t messages_per_s, messages_burst;
	uint64_t connects_per_min, errors_per_min;
	uint64_t store_quota, store_reserve; /* bytes; percent of the disk */
	uint64_t history_ms, evidence_ms;
	uint64_t max_concurrent, rate;
	uint64_t retry_1_ms, retry_2_ms, retry_3_ms, penalty_ms, grant_ms, silence_ms;
};

extern const struct option_row settings_rows[];

struct settings_pair {
	const char *key, *value;
};

/* Defaults, then the pairs; OTA_BAD_REQUEST names the plugin_opt_ and what is allowed. End with
 * settings_done(), also after a failure. */
enum ota_err settings_read(const struct settings_pair *pairs, size_t count,
			   struct settings *ret_settings, struct ota_why *why) OTA_CHECKED;
void settings_done(struct settings *settings);
