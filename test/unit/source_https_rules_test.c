#include "unit.h"

#include "source_https_rules.h"

#include <string.h>

static const struct https_range wanted = {.first = 65536, .last = 131071, .size = 1000000};

/* Feeds a whole header, line by line. */
static enum ota_err answer(const char *text, struct https_head *ret_head, struct ota_why *why)
{
	*ret_head = (struct https_head){0};
	while (*text) {
		const size_t len = strcspn(text, "\n") + 1;
		enum ota_err err = https_head_line(ret_head, &wanted, text, len, why);

		if (err)
			return err;
		text += len;
	}
	return OTA_OK;
}

static void the_range_that_was_asked_for_is_taken(void **state)
{
	const char *const good[] = {
		"HTTP/1.1 206 Partial Content\r\nContent-Range: bytes 65536-131071/1000000\r\n"
		"Content-Length: 65536\r\n\r\n",
		"HTTP/2 206 \r\ncontent-range: Bytes 65536-131071/*\r\n\r\n",
		"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 206 OK\r\n"
		"CONTENT-RANGE:\tbytes 65536-131071/1000000\r\nETag: \"x\"\r\n\r\n",
	};

	(void)state;
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		struct https_head head;
		struct ota_why why = {0};

		assert_ok(answer(good[i], &head, &why), why);
		assert_true(head.is_over);
	}
}

static void every_other_answer_is_refused_by_name(void **state)
{
	static const struct {
		const char *text, *sentence;
	} bad[] = {
		{"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n", "the whole file (200)"},
		{"HTTP/1.1 302 Found\r\nLocation: https://other/\r\n\r\n", "redirects (302)"},
		{"HTTP/1.1 304 Not Modified\r\n\r\n", "redirects (304)"},
		{"HTTP/1.1 404 Not Found\r\n\r\n", "status 404"},
		{"HTTP/1.1 500 No\r\n\r\n", "status 500"},
		{"HTTP/1.1 20 6\r\n\r\n", "status 20"},
		{"HTTP/1.1\r\n\r\n", "status 0"},
		{"\r\n", "status 0"},
		{"HTTP/1.1 206 OK\r\n\r\n", "another range than 65536-131071/1000000"},
		{"HTTP/1.1 206 OK\r\nContent-Range: bytes 0-65535/1000000\r\n\r\n",
		 "another range"},
		{"HTTP/1.1 206 OK\r\nContent-Range: bytes 65536-131070/1000000\r\n\r\n",
		 "another range"},
		{"HTTP/1.1 206 OK\r\nContent-Range: bytes 65536-131071/1000001\r\n\r\n",
		 "another range"},
		{"HTTP/1.1 206 OK\r\nContent-Range: bytes 65536-131071/1000000x\r\n\r\n",
		 "another range"},
		{"HTTP/1.1 206 OK\r\nContent-Range: bytes */1000000\r\n\r\n", "another range"},
		{"HTTP/1.1 206 OK\r\nContent-Range: bytes 65536-131071/1000000\r\n"
		 "Content-Range: bytes 0-1/2\r\n\r\n",
		 "another range"},
		{"HTTP/1.1 206 OK\r\nContent-Range: bytes "
		 "18446744073709617152-131071/1000000\r\n\r\n",
		 "another range"},
		{"HTTP/1.1 206 OK\r\nContent-Range: bytes 65536-131071/1000000\r\n"
		 "Content-Length: 65535\r\n\r\n",
		 "announces 65535 bytes for a range of 65536"},
		{"HTTP/1.1 206 OK\r\nContent-Range: bytes 65536-131071/1000000\r\n"
		 "Content-Length: -1\r\n\r\n",
		 "announces"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct https_head head;
		struct ota_why why = {0};

		assert_int_equal(answer(bad[i].text, &head, &why), OTA_CHUNK_REFUSED);
		assert_contains(why.text, bad[i].sentence);
	}
}

static void a_header_has_an_end(void **state)
{
	struct https_head head = {0};
	struct ota_why why = {0};
	enum ota_err err = OTA_OK;
	unsigned lines = 0;

	(void)state;
	while (!err && lines++ < 100000)
		err = https_head_line(&head, &wanted, "X: yyyyyyyyyyyyyy\r\n", 19, &why);
	assert_int_equal(err, OTA_CHUNK_REFUSED);
	assert_in_range(lines, 1, HTTPS_HEAD_MAX / 19 + 1);
	assert_contains(why.text, "longer than");
}

/* Preliminary answers count, too. */
static void a_header_of_a_hundred_answers_has_an_end(void **state)
{
	struct https_head head = {0};
	struct ota_why why = {0};
	enum ota_err err = OTA_OK;
	unsigned rounds = 0;

	(void)state;
	while (!err && rounds++ < 100000) {
		err = https_head_line(&head, &wanted, "HTTP/1.1 103 Hints\r\n", 20, &why);
		if (!err)
			err = https_head_line(&head, &wanted, "\r\n", 2, &why);
	}
	assert_int_equal(err, OTA_CHUNK_REFUSED);
	assert_in_range(rounds, 1, HTTPS_HEAD_MAX / 22 + 1);
}

static void overload_is_no_lie(void **state)
{
	const unsigned temporary[] = {408, 429, 500, 502, 503, 504};
	const unsigned final[] = {0, 200, 206, 302, 400, 401, 403, 404, 410, 416, 501, 505};

	(void)state;
	for (size_t i = 0; i < sizeof(temporary) / sizeof(temporary[0]); i++) {
		const struct https_head head = {.status = temporary[i]};

		assert_true(https_head_is_temporary(&head));
	}
	for (size_t i = 0; i < sizeof(final) / sizeof(final[0]); i++) {
		const struct https_head head = {.status = final[i]};

		assert_false(https_head_is_temporary(&head));
	}
}

static void a_blob_has_its_place_under_the_base(void **state)
{
	const struct digest blob = {{0xab, 0xcd}};
	const char *const bases[] = {"https://host:8443/ota", "https://host:8443/ota///"};
	char url[HTTPS_URL_SIZE];

	(void)state;
	for (size_t i = 0; i < 2; i++) {
		https_url_of(bases[i], &blob, url);
		assert_string_equal(url, "https://host:8443/ota/ab/abcd"
					 "000000000000000000000000000000"
					 "000000000000000000000000000000");
	}
}

static void a_message_does_not_tell_the_path(void **state)
{
	char origin[HTTPS_URL_MAX + 1];

	(void)state;
	https_url_origin("https://cdn.example.com:444/signed-secret/x", origin, sizeof(origin));
	assert_string_equal(origin, "https://cdn.example.com:444");
	https_url_origin("https://[::1]", origin, sizeof(origin));
	assert_string_equal(origin, "https://[::1]");
}

static void a_base_that_is_none_is_not_used(void **state)
{
	const char *const good[] = {"https://h", "https://h/", "https://[::1]:8443/a/b~c%20d",
				    "https://a.b-c:1/signed;x=1&y=2/z"};
	const char *const bad[] = {"",
				   "http://h",
				   "https://",
				   "https:///x",
				   "https://:443/",
				   "https://u:p@h/",
				   "https://h/?q",
				   "https://h/#f",
				   "https://h/a b",
				   "https://h\r\n",
				   "https://h/\x7f",
				   "https://h/\xc3\xa9",
				   "HTTPS://h",
				   "https://h/\\..\\",
				   "https://h/{a,b}"};
	char longest[HTTPS_URL_MAX + 2];

	(void)state;
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
		assert_true(https_url_is_usable(good[i]));
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_false(https_url_is_usable(bad[i]));
	memset(longest, 'a', sizeof(longest));
	memcpy(longest, "https://", 8);
	longest[HTTPS_URL_MAX + 1] = '\0';
	assert_false(https_url_is_usable(longest));
	longest[HTTPS_URL_MAX] = '\0';
	assert_true(https_url_is_usable(longest));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_range_that_was_asked_for_is_taken),
		cmocka_unit_test(every_other_answer_is_refused_by_name),
		cmocka_unit_test(a_header_has_an_end),
		cmocka_unit_test(a_header_of_a_hundred_answers_has_an_end),
		cmocka_unit_test(overload_is_no_lie),
		cmocka_unit_test(a_blob_has_its_place_under_the_base),
		cmocka_unit_test(a_message_does_not_tell_the_path),
		cmocka_unit_test(a_base_that_is_none_is_not_used),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
