#include "unit.h"

#include "settings.h"

static const struct settings_pair least[] = {{"store_dir", "/var/lib/ota"},
					     {"trust_root", "/etc/ota/root.json"}};

static enum ota_err read_with(const char *key, const char *value, struct settings *settings,
			      struct ota_why *why)
{
	struct settings_pair pairs[3] = {least[0], least[1], {key, value}};

	return settings_read(pairs, key ? 3 : 2, settings, why);
}

static void two_rows_are_enough(void **state)
{
	(void)state;
	struct settings settings = {0};
	struct ota_why why = {0};

	assert_ok(read_with(NULL, NULL, &settings, &why), why);
	assert_int_equal(settings.shards, 256);
	assert_int_equal(settings.chunk_budget, 50);
	assert_int_equal(settings.store_quota, UINT64_C(20) << 30);
	assert_int_equal(settings.other_topics, SETTINGS_DEFER);
	assert_int_equal(settings.retry_3_ms, 30 * 60 * 1000);
	settings_done(&settings);
}

static void a_wrong_row_is_named_with_its_range(void **state)
{
	(void)state;
	static const struct settings_pair wrong[] = {
		{"shards", "0"},	  {"shards", "4097"},	  {"shards", "x"},
		{"chunk_budget", "7"},	  {"other_topics", "no"}, {"history", "1h"},
		{"store_dir", "var/ota"}, {"chunkbudget", "8"},
	};

	for (size_t i = 0; i < sizeof(wrong) / sizeof(*wrong); i++) {
		struct settings settings = {0};
		struct ota_why why = {0};

		assert_int_equal(read_with(wrong[i].key, wrong[i].value, &settings, &why),
				 OTA_BAD_REQUEST);
		assert_contains(why.text, wrong[i].key);
		settings_done(&settings);
	}
}

static void what_is_required_is_missed_by_name(void **state)
{
	(void)state;
	struct settings settings = {0};
	struct ota_why why = {0};

	assert_int_not_equal(settings_read(least, 1, &settings, &why), OTA_OK);
	assert_contains(why.text, "trust_root");
	settings_done(&settings);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(two_rows_are_enough),
		cmocka_unit_test(a_wrong_row_is_named_with_its_range),
		cmocka_unit_test(what_is_required_is_missed_by_name),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
