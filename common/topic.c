#include "topic.h"

#include "text.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum name_kind {
	NAME_NONE = 0,
	NAME_ID,
	NAME_PRODUCT,
};

/* Each row is a topic: `%` stands for the name, `&` for the group, `#` for the shard. */
static const struct {
	enum topic_kind kind;
	enum name_kind name;
	const char *pattern;
} rows[] = {
	{TOPIC_HELLO, NAME_ID, "ota/v1/d/%/hello"},
	{TOPIC_REPORT, NAME_ID, "ota/v1/d/%/report"},
	{TOPIC_CONSENT, NAME_ID, "ota/v1/d/%/consent"},
	{TOPIC_GET, NAME_ID, "ota/v1/d/%/get"},
	{TOPIC_OFFER, NAME_ID, "ota/v1/d/%/offer"},
	{TOPIC_CONTROL_DEVICE, NAME_ID, "ota/v1/d/%/control"},
	{TOPIC_CHUNK, NAME_ID, "ota/v1/d/%/chunk"},
	{TOPIC_RELEASE, NAME_PRODUCT, "ota/v1/p/%/release/#"},
	{TOPIC_RELEASE_GROUP, NAME_PRODUCT, "ota/v1/p/%/g/&/release/#"},
	{TOPIC_EVENTS, NAME_PRODUCT, "ota/v1/p/%/events"},
	{TOPIC_COMMAND, NAME_NONE, TOPIC_CONTROL},
	{TOPIC_UPLOAD, NAME_ID, "ota/v1/m/%/upload"},
	{TOPIC_REPLY, NAME_ID, "ota/v1/m/%/reply"},
};

#define ROW_COUNT (sizeof(rows) / sizeof(rows[0]))

/* The length of the level that begins here. */
static size_t level_of(const char *at)
{
	return strcspn(at, "/");
}

static bool take_name(const char *at, size_t len, bool (*check)(const char *text),
		      char to[NAME_SIZE])
{
	if (len >= NAME_SIZE)
		return false;
	memcpy(to, at, len);
	to[len] = '\0';
	return check(to);
}

static bool take_shard(const char *at, size_t len, uint32_t *ret_shard)
{
	char digits[11];
	uint64_t shard;

	if (len == 0 || len >= sizeof(digits) || (len > 1 && *at == '0'))
		return false;
	memcpy(digits, at, len);
	digits[len] = '\0';
	if (!text_to_u64(digits, UINT32_MAX, &shard))
		return false;
	*ret_shard = (uint32_t)shard;
	return true;
}

static bool matches(const char *topic, size_t row, struct topic *ret)
{
	const char *pattern = rows[row].pattern;

	for (;;) {
		size_t want = level_of(pattern), have = level_of(topic);
		bool fits;

		if (*pattern == '%')
			fits = take_name(topic, have,
					 rows[row].name == NAME_ID ? name_is_id
								   : name_is_product,
					 ret->name);
		else if (*pattern == '&')
			fits = take_name(topic, have, name_is_product, ret->group);
		else if (*pattern == '#')
			fits = take_shard(topic, have, &ret->shard);
		else
			fits = want == have && memcmp(pattern, topic, want) == 0;
		if (!fits || pattern[want] != topic[have])
			return false;
		if (!pattern[want])
			return true;
		pattern += want + 1;
		topic += have + 1;
	}
}

/* The filter behind "$share/<name>/", however often that is put before it. */
static const char *behind_share(const char *filter)
{
	static const char share[] = "$share/";

	while (strncmp(filter, share, sizeof(share) - 1) == 0) {
		const char *name = filter + sizeof(share) - 1;
		const char *slash = strchr(name, '/');

		if (!slash)
			return name + strlen(name);
		filter = slash + 1;
	}
	return filter;
}

/* Could this filter, with its wildcards, match a topic of this pattern? */
static bool could_match(const char *filter, const char *pattern)
{
	for (;;) {
		size_t have = level_of(filter), want = level_of(pattern);
		bool any = (have == 1 && *filter == '+') || strchr("%&#", *pattern);

		if (have == 1 && *filter == '#')
			return true;
		if (!any && (have != want || memcmp(filter, pattern, want) != 0))
			return false;
		if (!filter[have] || !pattern[want])
			return !pattern[want] &&
			       (!filter[have] || strcmp(filter + have, "/#") == 0);
		filter += have + 1;
		pattern += want + 1;
	}
}

bool topic_filter_is_ours(const char *filter)
{
	filter = behind_share(filter);
	if (topic_is_ours(filter))
		return true;
	for (size_t row = 0; row < ROW_COUNT; row++) {
		/* Wildcards do not match a first level with '$' (MQTT 5, 4.7.2). */
		if (rows[row].pattern[0] == '$' && *filter != '$')
			continue;
		if (could_match(filter, rows[row].pattern))
			return true;
	}
	return false;
}

bool topic_is_ours(const char *topic)
{
	return strncmp(topic, "ota/", 4) == 0 || strncmp(topic, "$CONTROL/ota/", 13) == 0;
}

void topic_parse(const char *topic, struct topic *ret_topic)
{
	*ret_topic = (struct topic){.kind = TOPIC_OTHER};
	if (topic_is_ours(topic)) {
		for (size_t row = 0; row < ROW_COUNT; row++) {
			struct topic parsed = {.kind = rows[row].kind};

			if (matches(topic, row, &parsed)) {
				*ret_topic = parsed;
				return;
			}
		}
		ret_topic->kind = TOPIC_UNKNOWN;
	} else if (topic_filter_is_ours(topic)) {
		ret_topic->kind = TOPIC_UNKNOWN;
	}
}

void topic_format(const struct topic *topic, char ret_text[TOPIC_SIZE])
{
	size_t len = 0, row = 0;

	while (row < ROW_COUNT && rows[row].kind != topic->kind)
		row++;
	assert(row < ROW_COUNT);
	ret_text[0] = '\0';
	if (row == ROW_COUNT)
		return;
	for (const char *at = rows[row].pattern; *at && len < TOPIC_SIZE - 1; at++) {
		char *to = ret_text + len;
		size_t room = TOPIC_SIZE - len;

		if (*at == '%')
			len += (size_t)snprintf(to, room, "%s", topic->name);
		else if (*at == '&')
			len += (size_t)snprintf(to, room, "%s", topic->group);
		else if (*at == '#')
			len += (size_t)snprintf(to, room, "%" PRIu32, topic->shard);
		else
			to[0] = *at, to[1] = '\0', len++;
	}
}

void topic_of(enum topic_kind kind, const char *name, char ret_text[TOPIC_SIZE])
{
	struct topic topic = {.kind = kind};

	text_copy(topic.name, sizeof(topic.name), name);
	topic_format(&topic, ret_text);
}
