#include "unit.h"

#include "topic.h"

static const char long_id[] =
	"abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyzabcdefghijkl";

static const struct {
	const char *text;
	struct topic topic;
} pairs[] = {
	{"ota/v1/d/gw1/hello", {TOPIC_HELLO, "gw1"}},
	{"ota/v1/d/gw1/report", {TOPIC_REPORT, "gw1"}},
	{"ota/v1/d/gw1/consent", {TOPIC_CONSENT, "gw1"}},
	{"ota/v1/d/Gw.1_-/get", {TOPIC_GET, "Gw.1_-"}},
	{"ota/v1/d/gw1/offer", {TOPIC_OFFER, "gw1"}},
	{"ota/v1/d/gw1/control", {TOPIC_CONTROL_DEVICE, "gw1"}},
	{"ota/v1/d/gw1/chunk", {TOPIC_CHUNK, "gw1"}},
	{"ota/v1/p/lamp/release/0", {TOPIC_RELEASE, "lamp", .shard = 0}},
	{"ota/v1/p/lamp/release/4294967295", {TOPIC_RELEASE, "lamp", .shard = 4294967295u}},
	{"ota/v1/p/lamp/g/beta/release/7", {TOPIC_RELEASE_GROUP, "lamp", "beta", 7}},
	{"ota/v1/p/lamp/events", {TOPIC_EVENTS, "lamp"}},
	{"$CONTROL/ota/v1", {TOPIC_COMMAND}},
	{"ota/v1/m/Ann/upload", {TOPIC_UPLOAD, "Ann"}},
	{"ota/v1/m/Ann/reply", {TOPIC_REPLY, "Ann"}},
};

#define PAIR_COUNT (sizeof(pairs) / sizeof(pairs[0]))

static void each_topic_is_taken_apart_and_built_again(void **state)
{
	(void)state;
	for (size_t i = 0; i < PAIR_COUNT; i++) {
		struct topic topic;
		char text[TOPIC_SIZE];

		memset(&topic, 0xaa, sizeof(topic));
		topic_parse(pairs[i].text, &topic);
		assert_int_equal(topic.kind, pairs[i].topic.kind);
		assert_string_equal(topic.name, pairs[i].topic.name);
		assert_string_equal(topic.group, pairs[i].topic.group);
		assert_int_equal(topic.shard, pairs[i].topic.shard);
		topic_format(&topic, text);
		assert_string_equal(text, pairs[i].text);
		assert_true(topic_is_ours(pairs[i].text));
		assert_true(topic_filter_is_ours(pairs[i].text));
	}
}

static void every_kind_has_a_topic(void **state)
{
	(void)state;
	unsigned seen = 0;

	for (size_t i = 0; i < PAIR_COUNT; i++)
		seen |= 1u << pairs[i].topic.kind;
	assert_int_equal(seen, (1u << TOPIC_KIND_COUNT) - 1 - 3);
}

static void the_longest_topic_has_room(void **state)
{
	(void)state;
	struct topic topic = {.kind = TOPIC_RELEASE_GROUP, .shard = 4294967295u}, back;
	char text[TOPIC_SIZE];

	memcpy(topic.name, long_id, sizeof(long_id));
	memcpy(topic.group, long_id, sizeof(long_id));
	topic_format(&topic, text);
	topic_parse(text, &back);
	assert_int_equal(back.kind, TOPIC_RELEASE_GROUP);
	assert_string_equal(back.group, long_id);
	topic_of(TOPIC_HELLO, "gw1", text);
	assert_string_equal(text, "ota/v1/d/gw1/hello");
}

static void a_topic_that_is_nearly_ours_is_unknown(void **state)
{
	(void)state;
	static const char *const unknown[] = {
		"ota/",
		"ota//",
		"ota/v1",
		"ota/v1/",
		"ota/v2/d/gw1/hello",
		"ota/V1/d/gw1/hello",
		"ota/v1/d/gw1",
		"ota/v1/d/gw1/",
		"ota/v1/d/gw1/hello/",
		"ota/v1/d/gw1/hello/x",
		"ota/v1/d//hello",
		"ota/v1/d/./hello",
		"ota/v1/d/../hello",
		"ota/v1/d/gw 1/hello",
		"ota/v1/d/g\xc3\xbc/hello",
		"ota/v1/d/gw1/Hello",
		"ota/v1/d/gw1/HELLO",
		"ota/v1/d/gw1/hell",
		"ota/v1/d/gw1/hellox",
		"ota/v1/d/abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyzabcdefghijklm/hello",
		"ota/v1/p/Lamp/events",
		"ota/v1/p/lamp.x/events",
		"ota/v1/p/lamp/release",
		"ota/v1/p/lamp/release/",
		"ota/v1/p/lamp/release/00",
		"ota/v1/p/lamp/release/01",
		"ota/v1/p/lamp/release/-1",
		"ota/v1/p/lamp/release/+1",
		"ota/v1/p/lamp/release/1a",
		"ota/v1/p/lamp/release/0x1",
		"ota/v1/p/lamp/release/4294967296",
		"ota/v1/p/lamp/release/42949672950",
		"ota/v1/p/lamp/g/Beta/release/0",
		"ota/v1/p/lamp/g//release/0",
		"ota/v1/p/*/events",
		"ota/v1/p/lamp/g/beta/release",
		"ota/v1/m/Ann",
		"ota/v1/m/Ann/upload/1",
		"$CONTROL/ota/",
		"$CONTROL/ota/v1/",
		"$CONTROL/ota/v1/response",
		"$CONTROL/ota/v2",
	};

	for (size_t i = 0; i < sizeof(unknown) / sizeof(unknown[0]); i++) {
		struct topic topic;

		topic_parse(unknown[i], &topic);
		if (topic.kind != TOPIC_UNKNOWN || topic.name[0] || topic.group[0] ||
		    !topic_is_ours(unknown[i]) || !topic_filter_is_ours(unknown[i]))
			fail_msg("'%s' is kind %d", unknown[i], topic.kind);
	}
}

static void filters_that_could_match_ours_are_ours(void **state)
{
	(void)state;
	static const char *const ours[] = {
		"#",
		"+/#",
		"+/v1/#",
		"+/+/#",
		"+/+/+/+/+",
		"+/+/+/+/+/+",
		"+/+/+/+/+/+/+/+",
		"+/v1/d/gw1/hello",
		"+/v1/d/gw1/hello/#",
		"+/v1/+/gw1/chunk",
		"+/+/d/#",
		"+/+/+/+/hello",
		"+/v1/p/lamp/release/#",
		"ota/#",
		"ota/+",
		"ota/+/#",
		"ota/v1/d/#",
		"ota/v1/d/+/hello",
		"ota/v1/d/gw1/#",
		"ota/v1/d/gw1/+",
		"ota/v1/d/gw1/hello/#",
		"ota/v1/p/lamp/release/+",
		"$CONTROL/#",
		"$CONTROL/+/v1",
		"$CONTROL/+/+",
		"$CONTROL/+/#",
		"$CONTROL/ota/#",
		"$CONTROL/ota/+",
		"$share/x/ota/v1/d/gw1/hello",
		"$share/x/ota/#",
		"$share/x/#",
		"$share/x/+/v1/d/+/chunk",
		"$share//ota/v1/d/gw1/hello",
		"$share/x/$CONTROL/ota/v1",
		"$share/x/$CONTROL/#",
		"$share/x/$share/y/ota/#",
	};

	for (size_t i = 0; i < sizeof(ours) / sizeof(ours[0]); i++) {
		struct topic topic;

		topic_parse(ours[i], &topic);
		if (!topic_filter_is_ours(ours[i]) || topic.kind != TOPIC_UNKNOWN)
			fail_msg("'%s' is kind %d", ours[i], topic.kind);
	}
}

static void everything_else_is_not_ours(void **state)
{
	(void)state;
	static const char *const other[] = {
		"",
		"/",
		"ota",
		"otax",
		"otax/v1",
		"OTA/v1/d/gw1/hello",
		"Ota/#",
		"/ota/v1/d/gw1/hello",
		"/#",
		"x/ota/v1/d/gw1/hello",
		"x/#",
		"+",
		"+/status",
		"+/+",
		"+/v2/#",
		"+/v1/x/#",
		"+/v1/d/gw1/other",
		"+/+/+",
		"+/+/+/+",
		"$CONTROL",
		"$CONTROL/+",
		"$CONTROL/dynamic-security/v1",
		"$CONTROL/dynamic-security/#",
		"$control/ota/v1",
		"$SYS/#",
		"$SYS/broker/uptime",
		"$share/ota/v1",
		"$share/ota/x/#",
		"$share/x/home/#",
		"$share/x",
		"$share",
		"$SHARE/x/ota/#",
		"home/ota/#",
	};

	for (size_t i = 0; i < sizeof(other) / sizeof(other[0]); i++) {
		struct topic topic;

		topic_parse(other[i], &topic);
		if (topic_filter_is_ours(other[i]) || topic_is_ours(other[i]) ||
		    topic.kind != TOPIC_OTHER)
			fail_msg("'%s' is kind %d", other[i], topic.kind);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_topic_is_taken_apart_and_built_again),
		cmocka_unit_test(every_kind_has_a_topic),
		cmocka_unit_test(the_longest_topic_has_room),
		cmocka_unit_test(a_topic_that_is_nearly_ours_is_unknown),
		cmocka_unit_test(filters_that_could_match_ours_are_ours),
		cmocka_unit_test(everything_else_is_not_ours),
	};

	return cmocka_run_group_tests_name("topic", tests, NULL, NULL);
}
