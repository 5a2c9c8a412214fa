/* A topic that is taken apart is built again as it was; what is ours is never "other"; a filter
 * is ours whenever it matches (by the rules of MQTT, written here once more) one of ours. */
#include "fuzz.h"

#include "own.h"
#include "topic.h"

#include <stdbool.h>

/* MQTT 5, 4.7, without $share. */
static bool matches(const char *filter, const char *topic)
{
	if (*topic == '$' && *filter != '$')
		return false;
	for (;;) {
		if (strcmp(filter, "#") == 0)
			return true;
		size_t want = strcspn(filter, "/"), have = strcspn(topic, "/");
		bool plus = want == 1 && *filter == '+';

		if (!plus && (want != have || memcmp(filter, topic, want) != 0))
			return false;
		filter += want;
		topic += have;
		if (!*topic)
			return !*filter || strcmp(filter, "/#") == 0;
		if (!*filter)
			return false;
		filter++;
		topic++;
	}
}

static void check_filter(const char *filter)
{
	static const char *const ours[] = {
		"ota/v1/d/gw1/hello",	      "ota/v1/d/a/report",   "ota/v1/d/gw1/consent",
		"ota/v1/d/gw1/get",	      "ota/v1/d/gw1/offer",  "ota/v1/d/gw1/control",
		"ota/v1/d/gw1/chunk",	      "ota/v1/m/ann/upload", "ota/v1/m/ann/reply",
		"ota/v1/p/lamp/release/0",    "ota/v1/p/a/events",   "$CONTROL/ota/v1",
		"ota/v1/p/lamp/g/b/release/7"};
	const char *plain = filter;

	while (strncmp(plain, "$share/", 7) == 0) {
		const char *slash = strchr(plain + 7, '/');

		plain = slash ? slash + 1 : "";
	}
	for (size_t i = 0; i < sizeof(ours) / sizeof(ours[0]); i++) {
		if (matches(plain, ours[i]))
			MUST(topic_filter_is_ours(filter));
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
	AUTO_FREE char *text = strndup((const char *)bytes, len);
	struct topic topic;

	topic_parse(text, &topic);
	MUST((unsigned)topic.kind < TOPIC_KIND_COUNT);
	if (topic_is_ours(text)) {
		MUST(topic.kind != TOPIC_OTHER);
		MUST(topic_filter_is_ours(text));
	}
	MUST((topic.kind == TOPIC_OTHER) == !topic_filter_is_ours(text));
	check_filter(text);
	if (topic.kind > TOPIC_UNKNOWN) {
		char again[TOPIC_SIZE];

		topic_format(&topic, again);
		MUST(strcmp(again, text) == 0);
		MUST(!strpbrk(text, "+#") && strncmp(text, "$share", 6) != 0);
	}
	return 0;
}
