/* Topics (PROTOCOL.md section 2): the only place that builds or takes apart one. */
#pragma once

#include "name.h"
#include "why.h"

#define TOPIC_SIZE    256 /* the longest: ota/v1/p/<64>/g/<64>/release/<10> */
#define TOPIC_CONTROL "$CONTROL/ota/v1"

enum topic_kind {
	TOPIC_OTHER = 0, /* not under ota/ nor $CONTROL/ota/ : not ours */
	TOPIC_UNKNOWN,	 /* under ours, but none of the table: always refused */
	TOPIC_HELLO,
	TOPIC_REPORT,
	TOPIC_CONSENT,
	TOPIC_GET,
	TOPIC_OFFER,
	TOPIC_CONTROL_DEVICE,
	TOPIC_CHUNK,
	TOPIC_RELEASE,	     /* product-wide, sharded */
	TOPIC_RELEASE_GROUP, /* of a group, sharded */
	TOPIC_EVENTS,
	TOPIC_COMMAND,
	TOPIC_UPLOAD,
	TOPIC_REPLY,
	TOPIC_KIND_COUNT,
};

struct topic {
	enum topic_kind kind;
	char name[NAME_SIZE];  /* device, product or manager */
	char group[NAME_SIZE]; /* TOPIC_RELEASE_GROUP */
	uint32_t shard;
};

/* Takes a topic or a filter apart. A filter that names or could match anything of ours, but is
 * not exactly one topic of the table ("#", "+/v1/…", "ota/#", "$share/x/ota/…", "$CONTROL/#"),
 * is TOPIC_UNKNOWN. */
void topic_parse(const char *topic, struct topic *ret_topic);
/* True when a SUBSCRIBE filter lies under ota/ or $CONTROL/ota/, or with wildcards could match
 * a topic of the table, behind any $share. "#" does ("$CONTROL" apart, which it never matches);
 * "+/status" does not. */
bool topic_filter_is_ours(const char *filter);
/* True for a topic name under ota/ or $CONTROL/ota/. */
bool topic_is_ours(const char *topic);

/* Builds the text; parts that the kind does not use are ignored. */
void topic_format(const struct topic *topic, char ret_text[TOPIC_SIZE]);
/* The usual short form for topics of a device or manager. */
void topic_of(enum topic_kind kind, const char *name, char ret_text[TOPIC_SIZE]);
