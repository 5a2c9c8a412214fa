#include "settings.h"

#include "message.h"

#include <stdio.h>

#define DAY_MS UINT64_C(86400000)

static const char *const others_names[] = {
	[SETTINGS_DEFER] = "defer",
	[SETTINGS_ALLOW] = "allow",
	NULL,
};

#define ROW(name, type, member, least, most, preset, sentence)                                 \
	{                                                                                      \
		.key = name, .kind = type, .offset = offsetof(struct settings, member),        \
		.min = least, .max = most, .fallback = preset, .help = sentence                \
	}
#define BYTES(name, member, least, most, preset, sentence)                                     \
	{                                                                                      \
		.key = name, .kind = OPTION_NUMBER, .bytes = true,                             \
		.offset = offsetof(struct settings, member), .min = least, .max = most,        \
		.fallback = preset, .help = sentence                                           \
	}

const struct option_row settings_rows[] = {
	ROW("store_dir", OPTION_PATH, store_dir, 0, 0, NULL,
	    "Directory of the store: database and blobs; the broker's user must be able to write."),
	ROW("trust_root", OPTION_PATH, trust_root, 0, 0, NULL,
	    "File with the first trust root, as made by otactl init."),
	ROW("admin", OPTION_STRING, admin, 0, 0, "",
	    "Certificate name of a manager who is admin of all products, to begin with."),
	{.key = "other_topics",
	 .kind = OPTION_CHOICE,
	 .offset = offsetof(struct settings, other_topics),
	 .fallback = "defer",
	 .names = others_names,
	 .help = "What Mosquitto is told of topics outside ota/: defer to its other rules, or allow "
		 "(only where there are none)."},
	{.key = "other_clients",
	 .kind = OPTION_CHOICE,
	 .offset = offsetof(struct settings, other_clients),
	 .fallback = "defer",
	 .names = others_names,
	 .help = "What Mosquitto is told of clients that are not ours: defer to its password files and "
		 "plugins, or allow (only where there are none, and clients send a username)."},
	ROW("source", OPTION_LIST, sources, 0, MESSAGE_SOURCES_MAX, "",
	    "HTTPS base URL that serves the blob directory (doc/nginx.conf); named in offers. Agents "
	    "fetch what is large from there, or over MQTT when it fails."),
	ROW("shards", OPTION_NUMBER, shards, 1, 4096, "256",
	    "Number of topics over which the devices of a product are spread."),
	ROW("chunk_budget", OPTION_NUMBER, chunk_budget, 8, 4096, "50",
	    "Chunks of 64 KiB on their way to all devices together; less is kinder to others."),
	ROW("chunk_memory", OPTION_NUMBER, chunk_memory, 8, 65536, "512",
	    "The same, counting also what slow devices have not drained: memory of the broker."),
	ROW("messages_per_second", OPTION_NUMBER, messages_per_s, 1, 1000, "20",
	    "Messages a second that one client may send to the plugin, chunk requests apart."),
	ROW("messages_burst", OPTION_NUMBER, messages_burst, 1, 10000, "40",
	    "How many of them at once."),
	ROW("connects_per_minute", OPTION_NUMBER, connects_per_min, 1, 1000, "6",
	    "Connects a minute of one identity."),
	ROW("errors_per_minute", OPTION_NUMBER, errors_per_min, 1, 1000, "10",
	    "Audit rows and log lines a minute that one client's mistakes may cost."),
	BYTES("store_quota", store_quota, UINT64_C(1) << 20, UINT64_C(1) << 50, "20G",
	      "Bytes that blobs may take; suffixes k, M, G."),
	ROW("store_reserve", OPTION_NUMBER, store_reserve, 0, 90, "10",
	    "Per cent of the disk that uploads leave free."),
	ROW("history", OPTION_DURATION, history_ms, DAY_MS, 3650 * DAY_MS, "365d",
	    "How long reports and events are kept; the last of each device always is."),
	ROW("evidence", OPTION_DURATION, evidence_ms, DAY_MS, 3650 * DAY_MS, "90d",
	    "How long the logs that come with errors are kept."),
	ROW("max_concurrent", OPTION_NUMBER, max_concurrent, 1, 1000000, "1000",
	    "Downloads at a time of a release that names no number."),
	BYTES("rate", rate, 0, UINT64_C(1) << 40, "0",
	      "Bytes a second of a release that names no number; 0: no limit."),
	ROW("retry_1", OPTION_DURATION, retry_1_ms, 100, DAY_MS, "1m",
	    "Back-off before the first retry."),
	ROW("retry_2", OPTION_DURATION, retry_2_ms, 100, DAY_MS, "5m",
	    "Back-off before the second retry."),
	ROW("retry_3", OPTION_DURATION, retry_3_ms, 100, DAY_MS, "30m",
	    "Back-off before the third retry."),
	ROW("penalty", OPTION_DURATION, penalty_ms, 100, 30 * DAY_MS, "24h",
	    "How long a device that failed three times sits out."),
	ROW("grant_timeout", OPTION_DURATION, grant_ms, 100, DAY_MS, "60s",
	    "Trials that wait so long for their grant hold the release."),
	ROW("silence", OPTION_DURATION, silence_ms, 0, 30 * DAY_MS, "0ms",
	    "Silence after which a device in any state of an update counts as lost; 0: each "
	    "state's own."),
	{.key = NULL},
};

enum ota_err settings_read(const struct settings_pair *pairs, size_t count,
			   struct settings *ret_settings, struct ota_why *why)
{
	enum ota_err err = option_defaults(settings_rows, ret_settings, why);

	for (size_t i = 0; i < count && !err; i++) {
		char where[80];

		snprintf(where, sizeof(where), "plugin_opt_%.60s", pairs[i].key);
		err = option_set(settings_rows, ret_settings, pairs[i].key, pairs[i].value,
				 where, why);
	}
	return err ? err : option_complete(settings_rows, ret_settings, "mosquitto.conf", why);
}

void settings_done(struct settings *settings)
{
	option_done(settings_rows, settings);
}
