#include "settings.h"

#include "file.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define EXAMPLE VECTORS "/../../plugin/ota.conf.example"

static char *example;

static int read_example(void **state)
{
	size_t len;

	(void)state;
	return file_read(EXAMPLE, 64u << 10, &example, &len, NULL) == OTA_OK ? 0 : -1;
}

static int drop_example(void **state)
{
	(void)state;
	free(example);
	return 0;
}

static const struct option_row *find(const char *key, size_t len)
{
	for (const struct option_row *row = settings_rows; row->key; row++)
		if (strlen(row->key) == len && !memcmp(row->key, key, len))
			return row;
	return NULL;
}

static void the_example_shows_every_option_with_its_default(void **state)
{
	char line[256];

	(void)state;
	for (const struct option_row *row = settings_rows; row->key; row++) {
		bool is_path = row->kind == OPTION_PATH || !strcmp(row->key, "admin");

		snprintf(line, sizeof(line), "\n#plugin_opt_%s%s%s%s", row->key,
			 is_path || (row->fallback && *row->fallback) ? " " : "",
			 is_path ? "" : row->fallback, is_path ? "" : "\n");
		if (!strstr(example, line))
			fail_msg("ota.conf.example lacks '%s'", line + 1);
	}
}

static void the_example_has_no_option_that_is_unknown(void **state)
{
	const char *at = example;
	unsigned seen = 0;

	(void)state;
	while ((at = strstr(at, "plugin_opt_"))) {
		at += strlen("plugin_opt_");
		if (!find(at, strcspn(at, " \n")))
			fail_msg("no option '%.*s'", (int)strcspn(at, " \n"), at);
		seen++;
	}
	assert_true(seen > 20);
}

static void defaults_need_only_store_and_root(void **state)
{
	const struct settings_pair pairs[] = {{"store_dir", "/s"}, {"trust_root", "/r"}};
	struct settings settings = {0};
	struct ota_why why;

	(void)state;
	assert_int_equal(settings_read(pairs, 2, &settings, &why), OTA_OK);
	assert_string_equal(settings.store_dir, "/s");
	assert_int_equal(settings.store_quota, UINT64_C(20) << 30);
	settings_done(&settings);
	assert_int_equal(settings_read(pairs, 1, &settings, &why), OTA_BAD_REQUEST);
	assert_non_null(strstr(why.text, "trust_root"));
	settings_done(&settings);
}

static void an_unknown_option_is_refused_by_name(void **state)
{
	const struct settings_pair pairs[] = {
		{"store_dir", "/s"}, {"trust_root", "/r"}, {"stor_quota", "1G"}};
	struct settings settings = {0};
	struct ota_why why;

	(void)state;
	assert_int_equal(settings_read(pairs, 3, &settings, &why), OTA_BAD_REQUEST);
	assert_non_null(strstr(why.text, "stor_quota"));
	settings_done(&settings);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_example_shows_every_option_with_its_default),
		cmocka_unit_test(the_example_has_no_option_that_is_unknown),
		cmocka_unit_test(defaults_need_only_store_and_root),
		cmocka_unit_test(an_unknown_option_is_refused_by_name),
	};

	return cmocka_run_group_tests(tests, read_example, drop_example);
}
