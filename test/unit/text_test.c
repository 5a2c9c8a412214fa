#include "unit.h"

#include "own.h"
#include "text.h"

static void a_text_grows_and_stays_terminated(void **state)
{
	(void)state;
	AUTO(text_done) struct text text = {0};

	for (unsigned i = 0; i < 1000; i++) {
		text_put(&text, "ab");
		text_printf(&text, "%u", i % 10);
		assert_int_equal(text.len, 3 * (i + 1));
		assert_int_equal(text.data[text.len], 0);
	}
	text_add(&text, "\0x", 2);
	assert_int_equal(text.len, 3002);
	assert_int_equal(text.data[3001], 'x');
	assert_false(text.failed);
}

static void an_empty_text_can_be_taken(void **state)
{
	(void)state;
	struct text text = {0};
	AUTO_FREE char *string = NULL;

	assert_int_equal(text_take(&text, &string, NULL), OTA_OK);
	assert_string_equal(string, "");
	assert_null(text.data);
}

static void a_failed_append_is_seen_at_the_end(void **state)
{
	(void)state;
	struct text text = {0};
	char *string = NULL;

	text_put(&text, "a");
	text_add(&text, "b", (size_t)TEXT_LEN_MAX + 1);
	text_put(&text, "c");
	assert_true(text.failed);
	assert_int_equal(text_take(&text, &string, NULL), OTA_OUT_OF_MEMORY);
	assert_null(string);
	assert_null(text.data);
}

static void a_copy_says_whether_it_fitted(void **state)
{
	(void)state;
	char to[4];

	assert_true(text_copy(to, sizeof(to), "abc"));
	assert_string_equal(to, "abc");
	assert_false(text_copy(to, sizeof(to), "abcd"));
	assert_string_equal(to, "abc");
	assert_false(text_copy(to, 1, "a"));
	assert_string_equal(to, "");
}

static void hexadecimal_is_exact(void **state)
{
	(void)state;
	uint8_t bytes[2] = {0}, digest[32];
	char hex[TEXT_HEX32_SIZE];

	assert_true(text_to_bytes("0aff", bytes, 2));
	assert_int_equal(bytes[0], 0x0a);
	assert_int_equal(bytes[1], 0xff);
	assert_false(text_to_bytes("0aFF", bytes, 2));
	assert_false(text_to_bytes("0af", bytes, 2));
	assert_false(text_to_bytes("0aff0", bytes, 2));
	assert_false(text_to_bytes("0aff00", bytes, 2));
	assert_false(text_to_bytes("", bytes, 2));
	assert_false(text_to_bytes("0 ff", bytes, 2));
	for (uint8_t i = 0; i < 32; i++)
		digest[i] = (uint8_t)(i * 8);
	text_from_digest(hex, digest);
	assert_string_equal(hex,
			    "0008101820283038404850586068707880889098a0a8b0b8c0c8d0d8e0e8f0f8");
}

static void base64_goes_there_and_back(void **state)
{
	(void)state;
	/* RFC 4648 section 10 */
	static const char *const pairs[][2] = {
		{"", ""},
		{"f", "Zg=="},
		{"fo", "Zm8="},
		{"foo", "Zm9v"},
		{"foob", "Zm9vYg=="},
		{"fooba", "Zm9vYmE="},
		{"foobar", "Zm9vYmFy"},
	};

	for (size_t i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++) {
		AUTO_FREE char *text = NULL;
		AUTO_FREE uint8_t *bytes = NULL;
		size_t len = 99;

		assert_int_equal(text_base64(pairs[i][0], strlen(pairs[i][0]), &text, NULL),
				 OTA_OK);
		assert_string_equal(text, pairs[i][1]);
		assert_int_equal(text_unbase64(text, strlen(text), 6, &bytes, &len, NULL),
				 OTA_OK);
		assert_int_equal(len, strlen(pairs[i][0]));
		assert_string_equal((char *)bytes, pairs[i][0]);
	}
}

static void base64_has_one_text_for_each_byte_string(void **state)
{
	(void)state;
	static const char *const bad[] = {
		"Z",	  "Zg",		"Zg=",	"Zg===", "=",	 "==",
		"===",	  "====",	"Zh==", "Zm9=",	 "Zm=v", "Zg==Zg==",
		"Zg==\n", "Zm9v\nZm9v", " Zm9", "Zm-_",	 "Z===", "Zm\0v",
	};

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		uint8_t *bytes = NULL;
		size_t len = i == 17 ? 4 : strlen(bad[i]);

		if (text_unbase64(bad[i], len, 100, &bytes, &len, NULL) != OTA_BAD_REQUEST)
			fail_msg("'%s' was accepted", bad[i]);
		assert_null(bytes);
	}
	uint8_t *bytes = NULL;
	size_t len = 0;

	assert_int_equal(text_unbase64("Zm9v", 4, 2, &bytes, &len, NULL), OTA_TOO_LARGE);
	assert_null(bytes);
}

static void utf8_is_rfc_3629(void **state)
{
	(void)state;
	static const struct {
		const char *bytes;
		size_t length;
		uint32_t code;
	} cases[] = {
		{"a", 1, 'a'},
		{"\xc3\xbc", 2, 0xfc},
		{"\xe2\x82\xac", 3, 0x20ac},
		{"\xf0\x9f\x98\x80", 4, 0x1f600},
		{"\xf4\x8f\xbf\xbf", 4, 0x10ffff},
		{"\xc0\x80", 0, 0}, /* overlong NUL */
		{"\xc1\xbf", 0, 0},
		{"\xe0\x80\x80", 0, 0},
		{"\xf0\x80\x80\x80", 0, 0},
		{"\xed\xa0\x80", 0, 0}, /* surrogate */
		{"\xf4\x90\x80\x80", 0, 0},
		{"\xf5\x80\x80\x80", 0, 0},
		{"\x80", 0, 0},
		{"\xff", 0, 0},
		{"\xc3", 0, 0},
		{"\xc3"
		 "a",
		 0, 0},
		{"\xe2\x82", 0, 0},
		{"\xe2\x82"
		 "a",
		 0, 0},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		uint32_t code = 0;
		size_t length = text_utf8_next(cases[i].bytes, strlen(cases[i].bytes), &code);

		if (length != cases[i].length || code != cases[i].code)
			fail_msg("case %zu: %zu bytes, U+%X", i, length, code);
	}
}

static void hostile_text_becomes_displayable(void **state)
{
	(void)state;
	static const struct {
		const char *from, *to;
		bool lines;
	} cases[] = {
		{"plain", "plain", false},
		{"Zürich €", "Zürich €", false},
		{"a\nb\tc", "a?b?c", false},
		{"a\nb\tc\rd", "a\nb\tc?d", true},
		{"\x1b[31mred", "?[31mred", true},
		{"\xff\xfe", "??", true},
		{"a\xe2\x80\xae"
		 "b",
		 "ab", true}, /* right-to-left override */
		{"a\xe2\x80\x8b"
		 "b",
		 "ab", true}, /* zero-width space */
		{"a\xc2\x85"
		 "b",
		 "a?b", true}, /* next line, C1 */
		{"a\xe2\x80\xa8"
		 "b",
		 "a?b", true}, /* line separator */
		{"a\xf3\xa0\x81\x81"
		 "b",
		 "ab", true}, /* tag letter */
		{"\xef\xbb\xbf"
		 "x",
		 "x", true},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char to[64];

		text_sanitize(to, sizeof(to), cases[i].from, strlen(cases[i].from),
			      cases[i].lines);
		assert_string_equal(to, cases[i].to);
	}
	char to[4];

	text_sanitize(to, sizeof(to), "€€", 6, false);
	assert_string_equal(to, "€");
	text_sanitize(to, sizeof(to), "ab€", 5, false);
	assert_string_equal(to, "ab");
	text_sanitize(to, sizeof(to), "a\0b", 3, false);
	assert_string_equal(to, "a?b");
	text_sanitize(to, 1, "abc", 3, false);
	assert_string_equal(to, "");
}

static void numbers_are_decimal_digits_only(void **state)
{
	(void)state;
	static const char *const bad[] = {"",
					  "-1",
					  "+1",
					  " 1",
					  "1 ",
					  "0x1",
					  "1.0",
					  "1e3",
					  "a",
					  "18446744073709551616",
					  "99999999999999999999999"};
	uint64_t value = 7;

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_false(text_to_u64(bad[i], UINT64_MAX, &value));
	assert_false(text_to_u64("256", 255, &value));
	assert_int_equal(value, 7);
	assert_true(text_to_u64("255", 255, &value));
	assert_int_equal(value, 255);
	assert_true(text_to_u64("18446744073709551615", UINT64_MAX, &value));
	assert_true(value == UINT64_MAX);
	assert_true(text_to_u64("0", 0, &value));
	assert_int_equal(value, 0);
	assert_false(text_to_u64("1", 0, &value));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_text_grows_and_stays_terminated),
		cmocka_unit_test(an_empty_text_can_be_taken),
		cmocka_unit_test(a_failed_append_is_seen_at_the_end),
		cmocka_unit_test(a_copy_says_whether_it_fitted),
		cmocka_unit_test(hexadecimal_is_exact),
		cmocka_unit_test(base64_goes_there_and_back),
		cmocka_unit_test(base64_has_one_text_for_each_byte_string),
		cmocka_unit_test(utf8_is_rfc_3629),
		cmocka_unit_test(hostile_text_becomes_displayable),
		cmocka_unit_test(numbers_are_decimal_digits_only),
	};

	return cmocka_run_group_tests_name("text", tests, NULL, NULL);
}
