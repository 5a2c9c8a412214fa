#include "unit.h"

#include "option.h"
#include "own.h"

struct options {
	char *broker;
	char *state;
	char *note;
	char **hosts;
	uint64_t window, quota, timeout;
	bool keep;
	int slot;
};

static const char *const slot_names[] = {"file", "block", NULL};

static const struct option_row rows[] = {
	{"broker", OPTION_STRING, offsetof(struct options, broker), .help = "The broker."},
	{"state", OPTION_PATH, offsetof(struct options, state), .fallback = "/var/lib/x",
	 .help = "Where state is."},
	{"note", OPTION_STRING, offsetof(struct options, note), .fallback = "",
	 .help = "A note."},
	{"host", OPTION_LIST, offsetof(struct options, hosts), .fallback = "",
	 .help = "A host."},
	{"window", OPTION_NUMBER, offsetof(struct options, window), 1, 8, "4",
	 .help = "Chunks at a time."},
	{"quota", OPTION_NUMBER, offsetof(struct options, quota), 0, UINT64_C(1) << 40, "20G",
	 .help = "Bytes.", .bytes = true},
	{"timeout", OPTION_DURATION, offsetof(struct options, timeout), 1000, 3600000, "5m",
	 .help = "How long."},
	{"keep", OPTION_BOOL, offsetof(struct options, keep), .fallback = "false",
	 .help = "Whether."},
	{"slot", OPTION_CHOICE, offsetof(struct options, slot), .fallback = "file",
	 .names = slot_names, .help = "Kind of slot."},
	{0},
};

static struct options options;

static int begin(void **state)
{
	(void)state;
	memset(&options, 0, sizeof(options));
	return option_defaults(rows, &options, NULL) ? -1 : 0;
}

static int end(void **state)
{
	(void)state;
	option_done(rows, &options);
	static const struct options zero;

	return memcmp(&options, &zero, sizeof(zero));
}

static void defaults_are_put(void **state)
{
	(void)state;
	assert_null(options.broker);
	assert_string_equal(options.state, "/var/lib/x");
	assert_null(options.note);
	assert_null(options.hosts);
	assert_int_equal(options.window, 4);
	assert_true(options.quota == UINT64_C(20) << 30);
	assert_int_equal(options.timeout, 300000);
	assert_false(options.keep);
	assert_int_equal(options.slot, 0);
	assert_int_equal(option_defaults(rows, &options, NULL), OTA_OK);
}

static void each_kind_is_set(void **state)
{
	(void)state;
	static const char *const pairs[][2] = {
		{"broker", "b.example"}, {"state", "/x"},	{"note", "a = b"},
		{"host", "h1"},		 {"host", "h2"},	{"window", "8"},
		{"quota", "64k"},	 {"timeout", "1500ms"}, {"keep", "true"},
		{"slot", "block"},	 {"broker", "second"},
	};
	struct ota_why why;

	for (size_t i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++)
		assert_ok(option_set(rows, &options, pairs[i][0], pairs[i][1], "here", &why),
			  why);
	assert_string_equal(options.broker, "second");
	assert_string_equal(options.state, "/x");
	assert_string_equal(options.note, "a = b");
	assert_string_equal(options.hosts[0], "h1");
	assert_string_equal(options.hosts[1], "h2");
	assert_null(options.hosts[2]);
	assert_int_equal(options.window, 8);
	assert_int_equal(options.quota, 65536);
	assert_int_equal(options.timeout, 1500);
	assert_true(options.keep);
	assert_int_equal(options.slot, 1);
}

static void a_wrong_value_names_place_key_and_range(void **state)
{
	(void)state;
	static const struct {
		const char *key, *value, *sentence;
	} cases[] = {
		{"window", "9", "conf:3: 'window' is '9', but must be number 1 to 8"},
		{"window", "0", "number 1 to 8"},
		{"window", "", "number 1 to 8"},
		{"window", "-1", "number 1 to 8"},
		{"window", "4k", "number 1 to 8"},
		{"window", "4 ", "number 1 to 8"},
		{"window", "0x4", "number 1 to 8"},
		{"window", "18446744073709551620", "number 1 to 8"},
		{"window", "99999999999999999999999999999", "number 1 to 8"},
		{"quota", "2000G", "bytes 0 to 1024G"},
		{"quota", "99999999999G", "bytes 0 to 1024G"},
		{"quota", "1T", "bytes"},
		{"quota", "1K", "bytes"},
		{"quota", "k", "bytes"},
		{"timeout", "5", "duration 1s to 1h"},
		{"timeout", "0", "duration 1s to 1h"},
		{"timeout", "2h", "duration 1s to 1h"},
		{"timeout", "5 m", "duration 1s to 1h"},
		{"timeout", "5M", "duration 1s to 1h"},
		{"timeout", "213503982334602d", "duration 1s to 1h"},
		{"keep", "yes", "true or false"},
		{"keep", "TRUE", "true or false"},
		{"keep", "1", "true or false"},
		{"slot", "raw", "file | block"},
		{"slot", "", "file | block"},
		{"state", "relative/path", "absolute path"},
		{"state", "", "absolute path"},
		{"broker", "", "text"},
		{"windw", "4", "there is no option 'windw', is 'window' meant?"},
		{"zzz", "4", "conf:3: there is no option 'zzz'"},
		{"", "4", "there is no option ''"},
		{"Window", "4", "there is no option 'Window'"},
		{"a\x1b[31m", "4", "there is no option 'a?[31m'"},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct options before = options;
		struct ota_why why;

		if (option_set(rows, &options, cases[i].key, cases[i].value, "conf:3", &why) !=
		    OTA_BAD_REQUEST)
			fail_msg("%s = '%s' was accepted", cases[i].key, cases[i].value);
		assert_contains(why.text, cases[i].sentence);
		assert_memory_equal(&before, &options, sizeof(before));
	}
}

static void lists_and_values_are_bounded(void **state)
{
	(void)state;
	struct ota_why why;
	char *huge = test_malloc(OPTION_VALUE_MAX + 2);

	memset(huge, '/', OPTION_VALUE_MAX + 1);
	huge[OPTION_VALUE_MAX + 1] = '\0';
	assert_int_equal(option_set(rows, &options, "state", huge, "x", &why), OTA_BAD_REQUEST);
	test_free(huge);
	for (int i = 0; i < OPTION_LIST_MAX; i++)
		assert_ok(option_set(rows, &options, "host", "h", "x", &why), why);
	assert_int_equal(option_set(rows, &options, "host", "h", "x", &why), OTA_BAD_REQUEST);
	assert_contains(why.text, "more than 64 times");
}

static enum ota_err read_text(const char *text, size_t len, struct ota_why *why)
{
	char path[] = "/tmp/option_test.XXXXXX";
	AUTO_CLOSE int fd = mkstemp(path);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, len), len);
	enum ota_err err = option_read_file(rows, &options, path, why);

	unlink(path);
	return err;
}

static void a_file_is_read_line_by_line(void **state)
{
	(void)state;
	static const char text[] =
		"# comment = x\n\n  broker = b \t\r\nhost=h1\nhost =h2\n\t# c\n"
		"note = a = b # no comment\nwindow=2";
	struct ota_why why;

	assert_ok(read_text(text, sizeof(text) - 1, &why), why);
	assert_string_equal(options.broker, "b");
	assert_string_equal(options.note, "a = b # no comment");
	assert_string_equal(options.hosts[1], "h2");
	assert_int_equal(options.window, 2);
	assert_int_equal(option_complete(rows, &options, "x", &why), OTA_OK);
}

static void a_wrong_line_is_named_by_its_number(void **state)
{
	(void)state;
	static const struct {
		const char *text, *sentence;
	} cases[] = {
		{"\n\nwindow 4\n", ":3: 'key = value' expected"},
		{"window = 2\nwindow = 2\n", ":2: 'window' stands there a second time"},
		{"window = 9", ":1: 'window' is '9', but must be number 1 to 8"},
		{"a\n", ":1: 'key = value'"},
		{"= 4\n", ":1: there is no option ''"},
		{"[section]\n", ":1: 'key = value'"},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct ota_why why;

		assert_int_equal(read_text(cases[i].text, strlen(cases[i].text), &why),
				 OTA_BAD_REQUEST);
		assert_contains(why.text, cases[i].sentence);
	}
	struct ota_why why;

	assert_int_equal(read_text("window = 2\0\n", 12, &why), OTA_BAD_REQUEST);
	assert_contains(why.text, "NUL");
	assert_int_equal(option_read_file(rows, &options, "/nowhere/conf", &why),
			 OTA_NOT_FOUND);
	assert_contains(why.text, "/nowhere/conf");
}

static void a_missing_key_is_named(void **state)
{
	(void)state;
	struct ota_why why;

	assert_int_equal(option_complete(rows, &options, "agent.conf", &why), OTA_BAD_REQUEST);
	assert_string_equal(why.text, "agent.conf: 'broker' is missing: The broker.");
}

static void help_has_a_line_for_each_option(void **state)
{
	(void)state;
	AUTO(text_done) struct text text = {0};

	option_help(rows, &text);
	assert_contains(text.data, "broker  text, required — The broker.\n");
	assert_contains(text.data, "quota  bytes 0 to 1024G, default 20G — Bytes.\n");
	assert_contains(text.data, "timeout  duration 1s to 1h, default 5m — How long.\n");
	assert_contains(text.data, "slot  file | block, default file — Kind of slot.\n");
	assert_contains(text.data, "note  text — A note.\n");
}

static void the_sample_is_a_file_that_can_be_read(void **state)
{
	(void)state;
	AUTO(text_done) struct text text = {0};
	struct ota_why why;

	option_sample(rows, &text);
	assert_contains(text.data, "\nbroker = \n");
	assert_contains(text.data, "#window = 4\n");
	char *broker = strstr(text.data, "\nbroker = \n");

	memcpy(broker, "\nbroker= b", 10); /* as a person fills it in */
	assert_ok(read_text(text.data, text.len, &why), why);
	assert_string_equal(options.broker, "b");
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, begin, end)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(defaults_are_put),
		TEST(each_kind_is_set),
		TEST(a_wrong_value_names_place_key_and_range),
		TEST(lists_and_values_are_bounded),
		TEST(a_file_is_read_line_by_line),
		TEST(a_wrong_line_is_named_by_its_number),
		TEST(a_missing_key_is_named),
		TEST(help_has_a_line_for_each_option),
		TEST(the_sample_is_a_file_that_can_be_read),
	};

	return cmocka_run_group_tests_name("option", tests, NULL, NULL);
}
