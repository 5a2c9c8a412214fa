#include "unit.h"

#include "access.h"

/* d1 is a member of thermo and of its group beta; alice is a viewer of thermo. */
static bool welcome, receiving;

static bool is_welcome(void *ctx, const struct identity *identity)
{
	(void)ctx;
	(void)identity;
	return welcome;
}

static bool is_member(void *ctx, const char *device, const char *product, const char *group)
{
	(void)ctx;
	return strcmp(device, "d1") == 0 && strcmp(product, "thermo") == 0 &&
	       (group[0] == '\0' || strcmp(group, "beta") == 0);
}

static bool receives(void *ctx, const char *device, const struct topic *topic)
{
	(void)ctx;
	(void)device;
	(void)topic;
	return receiving;
}

static bool is_viewer(void *ctx, const char *manager, const char *product)
{
	(void)ctx;
	return strcmp(manager, "alice") == 0 && strcmp(product, "thermo") == 0;
}

static const struct access_facts facts = {.is_welcome = is_welcome,
					  .is_member = is_member,
					  .receives = receives,
					  .is_viewer = is_viewer};

static const struct identity d1 = {IDENTITY_DEVICE, "d1"}, d2 = {IDENTITY_DEVICE, "d2"},
			     alice = {IDENTITY_MANAGER, "alice"},
			     bob = {IDENTITY_MANAGER, "bob"}, web = {IDENTITY_CONSOLE, "web"},
			     stranger = {IDENTITY_STRANGER, ""};

static enum access_answer ask(const struct identity *identity, enum access_action action,
			      const char *topic)
{
	struct access_question question = {.identity = identity,
					   .action = action,
					   .topic = topic,
					   .payload_len = 10,
					   .qos = 1};

	return access_decide(&facts, &question, NULL);
}

static int set_up(void **state)
{
	(void)state;
	welcome = receiving = true;
	return 0;
}

/* The whole table: who may publish, and who may subscribe and receive. */
static const struct {
	const char *topic;
	const char *publish, *receive; /* of d1 d2 alice bob web: a letter each */
} grid[] = {
	{"ota/v1/d/d1/hello", "1", ""},
	{"ota/v1/d/d1/report", "1", ""},
	{"ota/v1/d/d1/consent", "1", ""},
	{"ota/v1/d/d1/get", "1", ""},
	{"ota/v1/d/d1/offer", "", "1"},
	{"ota/v1/d/d1/chunk", "", "1"},
	{"ota/v1/d/d1/control", "", "1"},
	{"ota/v1/p/thermo/release/7", "", "1a"},
	{"ota/v1/p/thermo/g/beta/release/7", "", "1a"},
	{"ota/v1/p/thermo/g/other/release/7", "", "a"},
	{"ota/v1/p/other/release/7", "", ""},
	{"ota/v1/p/thermo/events", "", "a"},
	{"ota/v1/p/other/events", "", ""},
	{"$CONTROL/ota/v1", "abw", ""},
	{"ota/v1/m/alice/upload", "a", ""},
	{"ota/v1/m/alice/reply", "", "a"},
	{"ota/v1/m/web/reply", "", "w"},
	{"ota/v1/d/d1", "", ""},
	{"ota/v1/d/d1/hello/more", "", ""},
	{"ota/v1/anything", "", ""},
	{"ota/v2/d/d1/hello", "", ""},
	{"$CONTROL/ota/v1/response", "", ""},
	{"$CONTROL/ota/v2", "", ""},
};

static void each_cell_of_the_table_is_as_it_is_written(void **state)
{
	(void)state;
	static const struct {
		const struct identity *identity;
		char letter;
	} people[] = {{&d1, '1'},  {&d2, '2'},	     {&alice, 'a'}, {&bob, 'b'},
		      {&web, 'w'}, {&stranger, '-'}, {NULL, '-'}};

	for (size_t i = 0; i < sizeof(grid) / sizeof(*grid); i++)
		for (size_t p = 0; p < sizeof(people) / sizeof(*people); p++) {
			bool may_publish = strchr(grid[i].publish, people[p].letter),
			     may_receive = strchr(grid[i].receive, people[p].letter);
			const char *topic = grid[i].topic;

			if (ask(people[p].identity, ACCESS_PUBLISH, topic) !=
			    (may_publish ? ACCESS_ALLOWED : ACCESS_DENIED))
				fail_msg("'%s' publishes on %s", people[p].identity->name,
					 topic);
			if (ask(people[p].identity, ACCESS_SUBSCRIBE, topic) !=
			    (may_receive ? ACCESS_ALLOWED : ACCESS_DENIED))
				fail_msg("'%s' subscribes to %s", people[p].identity->name,
					 topic);
			if (ask(people[p].identity, ACCESS_RECEIVE, topic) !=
			    (may_receive ? ACCESS_ALLOWED : ACCESS_DENIED))
				fail_msg("'%s' receives %s", people[p].identity->name, topic);
		}
}

static void wildcards_and_shared_subscriptions_of_ours_are_refused(void **state)
{
	(void)state;
	static const char *const filters[] = {
		"ota/#",
		"ota/v1/d/+/offer",
		"ota/v1/d/d1/#",
		"ota/v1/p/+/events",
		"$share/x/ota/v1/d/d1/offer",
		"$CONTROL/ota/#",
		"$share/x/ota/#",
	};

	for (size_t i = 0; i < sizeof(filters) / sizeof(*filters); i++) {
		assert_int_equal(ask(&d1, ACCESS_SUBSCRIBE, filters[i]), ACCESS_DENIED);
		assert_int_equal(ask(&alice, ACCESS_SUBSCRIBE, filters[i]), ACCESS_DENIED);
	}
}

static void what_is_not_ours_is_left_alone(void **state)
{
	(void)state;
	static const char *const topics[] = {
		"#",
		"+/v1/d/d1/offer",
		"house/lamp",
		"ota",
		"otaku/v1",
		"$SYS/#",
		"$CONTROL/#",
		"$CONTROL/dynamic-security/v1",
		"$share/g/house/#",
		"",
		"$CONTROL/otap/v1",
	};

	for (size_t i = 0; i < sizeof(topics) / sizeof(*topics); i++) {
		assert_int_equal(ask(&d1, ACCESS_SUBSCRIBE, topics[i]), ACCESS_NOT_OURS);
		assert_int_equal(ask(NULL, ACCESS_PUBLISH, topics[i]), ACCESS_NOT_OURS);
	}
}

static void a_fleet_topic_delivers_only_what_is_for_the_device(void **state)
{
	(void)state;
	receiving = false;
	assert_int_equal(ask(&d1, ACCESS_SUBSCRIBE, "ota/v1/p/thermo/release/7"),
			 ACCESS_ALLOWED);
	assert_int_equal(ask(&d1, ACCESS_RECEIVE, "ota/v1/p/thermo/release/7"), ACCESS_DENIED);
	assert_int_equal(ask(&alice, ACCESS_RECEIVE, "ota/v1/p/thermo/release/7"),
			 ACCESS_ALLOWED);
}

static void who_is_not_welcome_may_nothing(void **state)
{
	(void)state;
	welcome = false;
	for (size_t i = 0; i < sizeof(grid) / sizeof(*grid); i++) {
		assert_int_equal(ask(&d1, ACCESS_PUBLISH, grid[i].topic), ACCESS_DENIED);
		assert_int_equal(ask(&d1, ACCESS_RECEIVE, grid[i].topic), ACCESS_DENIED);
		assert_int_equal(ask(&alice, ACCESS_PUBLISH, grid[i].topic), ACCESS_DENIED);
	}
}

static void retain_qos_2_and_large_payloads_are_refused(void **state)
{
	(void)state;
	struct access_question question = {.identity = &d1,
					   .action = ACCESS_PUBLISH,
					   .topic = "ota/v1/d/d1/hello",
					   .payload_len = 8192,
					   .qos = 1};
	const char *reason = NULL;

	assert_int_equal(access_decide(&facts, &question, &reason), ACCESS_ALLOWED);
	assert_null(reason);
	question.payload_len++;
	assert_int_equal(access_decide(&facts, &question, &reason), ACCESS_DENIED);
	assert_string_equal(reason, "the payload is too large");
	question.payload_len = 10;
	question.qos = 2;
	assert_int_equal(access_decide(&facts, &question, &reason), ACCESS_DENIED);
	question.qos = 0;
	question.retain = true;
	assert_int_equal(access_decide(&facts, &question, &reason), ACCESS_DENIED);
	assert_string_equal(reason, "the retain flag is refused");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(each_cell_of_the_table_is_as_it_is_written, set_up),
		cmocka_unit_test_setup(wildcards_and_shared_subscriptions_of_ours_are_refused,
				       set_up),
		cmocka_unit_test_setup(what_is_not_ours_is_left_alone, set_up),
		cmocka_unit_test_setup(a_fleet_topic_delivers_only_what_is_for_the_device,
				       set_up),
		cmocka_unit_test_setup(who_is_not_welcome_may_nothing, set_up),
		cmocka_unit_test_setup(retain_qos_2_and_large_payloads_are_refused, set_up),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
