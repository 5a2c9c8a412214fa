#include "unit.h"

#include "why.h"

#include <errno.h>
#include <string.h>

static void a_failure_carries_its_sentence(void **state)
{
	(void)state;
	struct ota_why why = {0};

	assert_int_equal(ota_fail(&why, OTA_NOT_FOUND, "no device '%s'", "gw1"), OTA_NOT_FOUND);
	assert_int_equal(why.err, OTA_NOT_FOUND);
	assert_int_equal(why.detail, 0);
	assert_string_equal(why.text, "no device 'gw1'");
}

static void nobody_needs_to_ask_why(void **state)
{
	(void)state;
	assert_int_equal(ota_fail(NULL, OTA_BUSY, "x"), OTA_BUSY);
	assert_int_equal(ota_fail_errno(NULL, OTA_IO_ERROR, EIO, "x"), OTA_IO_ERROR);
	assert_int_equal(ota_context(NULL, OTA_BUSY, "x"), OTA_BUSY);
}

static void context_goes_in_front(void **state)
{
	(void)state;
	struct ota_why why = {0};

	assert_int_equal(ota_fail(&why, OTA_BUSY, "queue full"), OTA_BUSY);
	assert_int_equal(ota_context(&why, OTA_BUSY, "chunk %u to '%s'", 12u, "gw1"), OTA_BUSY);
	assert_string_equal(why.text, "chunk 12 to 'gw1': queue full");
}

static void context_may_quote_the_text_itself(void **state)
{
	(void)state;
	struct ota_why why = {0};

	assert_int_equal(ota_fail(&why, OTA_BUSY, "a"), OTA_BUSY);
	assert_int_equal(ota_fail(&why, OTA_BUSY, "<%s>", why.text), OTA_BUSY);
	assert_string_equal(why.text, "<a>");
}

static void errno_is_kept_and_named(void **state)
{
	(void)state;
	struct ota_why why = {0};

	assert_int_equal(ota_fail_errno(&why, OTA_IO_ERROR, EACCES, "opening '%s'", "x"),
			 OTA_IO_ERROR);
	assert_int_equal(why.detail, EACCES);
	assert_string_equal(why.text, "opening 'x': Permission denied");
}

static void a_full_disk_is_insufficient_storage_whatever_it_was_called(void **state)
{
	(void)state;
	struct ota_why why = {0};

	assert_int_equal(ota_fail_errno(&why, OTA_SLOT_ERROR, ENOSPC, "x"),
			 OTA_INSUFFICIENT_STORAGE);
	assert_int_equal(why.err, OTA_INSUFFICIENT_STORAGE);
	assert_int_equal(ota_fail_errno(&why, OTA_SLOT_ERROR, EDQUOT, "x"),
			 OTA_INSUFFICIENT_STORAGE);
	assert_int_equal(ota_fail_errno(NULL, OTA_SLOT_ERROR, ENOSPC, "x"),
			 OTA_INSUFFICIENT_STORAGE);
	assert_int_equal(ota_fail_errno(&why, OTA_SLOT_ERROR, ENOMEM, "x"), OTA_OUT_OF_MEMORY);
}

static void a_long_text_is_cut_at_a_characters_border(void **state)
{
	(void)state;
	struct ota_why why = {0};

	for (size_t shift = 0; shift < 4; shift++) {
		char text[1024] = "aaa";

		for (size_t at = shift; at + 4 < sizeof(text); at += 4)
			memcpy(text + at, "\xf0\x9f\x98\x80", 5);
		assert_int_equal(ota_fail(&why, OTA_BUSY, "%s", text), OTA_BUSY);
		size_t len = strlen(why.text);

		assert_true(len >= OTA_WHY_TEXT_MAX - 5 && len < OTA_WHY_TEXT_MAX);
		assert_int_equal((len - shift) % 4, 0);
	}
}

static void a_short_text_loses_nothing(void **state)
{
	(void)state;
	struct ota_why why = {0};

	assert_int_equal(ota_fail(&why, OTA_BUSY, "%s", "Zürich €"), OTA_BUSY);
	assert_string_equal(why.text, "Zürich €");
}

static void every_error_is_found_by_name_and_number(void **state)
{
	(void)state;
	enum ota_err err = OTA_OK, found = OTA_OK;
	size_t count = 0;

	for (; ota_err_at(count, &err); count++) {
		assert_true(ota_err_from_name(ota_err_name(err), &found));
		assert_int_equal(found, err);
		assert_true(ota_err_from_number((unsigned)err, &found));
		assert_int_equal(found, err);
		assert_int_not_equal(ota_err_class(err), OTA_CLASS_NONE);
		size_t len = strlen(ota_err_sentence(err));

		assert_true(len > 10 && ota_err_sentence(err)[len - 1] == '.');
	}
	assert_int_equal(count, 54);
}

static void an_unknown_number_has_no_name_and_changes_nothing(void **state)
{
	(void)state;
	enum ota_err found = OTA_BUSY;

	assert_false(ota_err_from_number(0, &found));
	assert_false(ota_err_from_number(99, &found));
	assert_false(ota_err_from_number(4294967295u, &found));
	assert_false(ota_err_from_name("ok", &found));
	assert_false(ota_err_from_name("Busy", &found));
	assert_false(ota_err_from_name("", &found));
	assert_int_equal(found, OTA_BUSY);
	assert_string_equal(ota_err_name(OTA_OK), "ok");
	assert_string_equal(ota_err_name((enum ota_err)77), "unknown");
	assert_int_equal(ota_err_class((enum ota_err)77), OTA_CLASS_NONE);
	assert_non_null(ota_err_sentence((enum ota_err)77));
}

static const char *class_name(enum ota_err_class class)
{
	static const char *const names[] = {"none", "network", "device", "permanent",
					    "command"};

	return names[class];
}

static void the_table_in_the_protocol_is_this_one(void **state)
{
	(void)state;
	char *protocol = unit_read(PROTOCOL, NULL);
	char *section = strstr(protocol, "\n## 8. Errors");
	enum ota_err err = OTA_OK;
	size_t rows = 0;

	assert_non_null(section);
	*strstr(section + 1, "\n## ") = '\0';
	for (char *row = section; (row = strstr(row, "\n| ")) != NULL; row++)
		rows += row[3] >= '0' && row[3] <= '9';
	for (size_t i = 0; ota_err_at(i, &err); i++, rows--) {
		char row[128];

		snprintf(row, sizeof(row), "\n| %u | %s | %s |\n", (unsigned)err,
			 ota_err_name(err), class_name(ota_err_class(err)));
		if (!strstr(section, row))
			fail_msg("PROTOCOL.md lacks the row %s", row);
	}
	assert_int_equal(rows, 0);
	test_free(protocol);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_failure_carries_its_sentence),
		cmocka_unit_test(nobody_needs_to_ask_why),
		cmocka_unit_test(context_goes_in_front),
		cmocka_unit_test(context_may_quote_the_text_itself),
		cmocka_unit_test(errno_is_kept_and_named),
		cmocka_unit_test(a_full_disk_is_insufficient_storage_whatever_it_was_called),
		cmocka_unit_test(a_long_text_is_cut_at_a_characters_border),
		cmocka_unit_test(a_short_text_loses_nothing),
		cmocka_unit_test(every_error_is_found_by_name_and_number),
		cmocka_unit_test(an_unknown_number_has_no_name_and_changes_nothing),
		cmocka_unit_test(the_table_in_the_protocol_is_this_one),
	};

	return cmocka_run_group_tests_name("why", tests, NULL, NULL);
}
