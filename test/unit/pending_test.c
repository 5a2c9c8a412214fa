#include "pending.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <stdio.h>
#include <string.h>

struct heard {
	unsigned times;
	enum ota_err err;
	char text[128];
	uint64_t value;
};

static void hear(void *ctx, enum ota_err err, const struct ota_why *why,
		 const struct view *result)
{
	struct heard *heard = ctx;

	heard->times++;
	heard->err = err;
	heard->value = view_number(view_at(result, "x"));
	if (err)
		text_copy(heard->text, sizeof(heard->text), why->text);
}

static struct pending *open_table(void)
{
	struct pending *pending = NULL;

	assert_int_equal(pending_new("aa", &pending, NULL), OTA_OK);
	return pending;
}

static void reply(struct pending *pending, const char *format, const char *id)
{
	struct view_tree *tree = NULL;
	char text[256];

	assert_true(strlen(format) < 150);
	snprintf(text, sizeof(text), "{\"id\":\"%s\",%s}", id, format);
	assert_int_equal(view_read(text, strlen(text), 4096, &tree, NULL), OTA_OK);
	pending_answer(pending, view_root(tree));
	view_free(tree);
}

static void a_reply_finds_its_request_once(void **state)
{
	struct pending *pending = open_table();
	struct heard first = {0}, second = {0};
	char a[PENDING_ID_SIZE], b[PENDING_ID_SIZE];

	(void)state;
	assert_int_equal(pending_add(pending, 100, hear, &first, a, NULL), OTA_OK);
	assert_int_equal(pending_add(pending, 100, hear, &second, b, NULL), OTA_OK);
	assert_string_not_equal(a, b);
	reply(pending, "\"ok\":true,\"result\":{\"x\":7}", b);
	reply(pending, "\"ok\":true,\"result\":{\"x\":8}", b);
	reply(pending, "\"ok\":true,\"result\":{\"x\":9}", "bb-1");
	assert_int_equal(second.times, 1);
	assert_int_equal(second.value, 7);
	assert_int_equal(first.times, 0);
	assert_true(pending_drop(pending, a));
	assert_false(pending_drop(pending, a));
	assert_false(pending_drop(pending, b));
	pending_free(pending);
}

static void a_refusal_is_told_by_its_name_in_harmless_words(void **state)
{
	struct pending *pending = open_table();
	struct heard heard = {0};
	char id[PENDING_ID_SIZE];

	(void)state;
	assert_int_equal(pending_add(pending, 100, hear, &heard, id, NULL), OTA_OK);
	reply(pending,
	      "\"ok\":false,\"error\":{\"name\":\"not_found\",\"number\":103,"
	      "\"message\":\"no \\u001b[2Jsuch\"}",
	      id);
	assert_int_equal(heard.err, OTA_NOT_FOUND);
	assert_null(strchr(heard.text, '\033'));
	assert_non_null(strstr(heard.text, "such"));
	pending_free(pending);
}

static void an_error_that_nobody_knows_is_still_an_error(void **state)
{
	struct pending *pending = open_table();
	struct heard heard = {0};
	char id[PENDING_ID_SIZE];

	(void)state;
	assert_int_equal(pending_add(pending, 100, hear, &heard, id, NULL), OTA_OK);
	reply(pending, "\"ok\":false,\"error\":{\"number\":0}", id);
	assert_int_equal(heard.err, OTA_INTERNAL);
	assert_int_equal(pending_add(pending, 100, hear, &heard, id, NULL), OTA_OK);
	reply(pending, "\"ok\":\"yes\"", id);
	assert_int_equal(heard.err, OTA_INTERNAL);
	pending_free(pending);
}

static void what_is_overdue_ends_and_the_rest_waits(void **state)
{
	struct pending *pending = open_table();
	struct heard early = {0}, late = {0};
	char id[PENDING_ID_SIZE];

	(void)state;
	assert_int_equal(pending_add(pending, 100, hear, &early, id, NULL), OTA_OK);
	assert_int_equal(pending_add(pending, 200, hear, &late, id, NULL), OTA_OK);
	pending_expire(pending, 99);
	assert_int_equal(early.times, 0);
	pending_expire(pending, 100);
	assert_int_equal(early.times, 1);
	assert_int_equal(early.err, OTA_DOWNLOAD_STALLED);
	assert_int_equal(late.times, 0);
	pending_fail_all(pending, OTA_CONNECTION_LOST, "gone");
	assert_int_equal(late.err, OTA_CONNECTION_LOST);
	assert_string_equal(late.text, "gone");
	pending_free(pending);
}

static void a_full_table_is_busy_and_has_room_again_later(void **state)
{
	struct pending *pending = open_table();
	struct heard heard = {0};
	char id[PENDING_ID_SIZE];

	(void)state;
	for (unsigned i = 0; i < CONTROL_PENDING_MAX; i++)
		assert_int_equal(pending_add(pending, 100, hear, &heard, id, NULL), OTA_OK);
	assert_int_equal(pending_add(pending, 100, hear, &heard, id, NULL), OTA_BUSY);
	pending_expire(pending, 100);
	assert_int_equal(heard.times, CONTROL_PENDING_MAX);
	assert_int_equal(pending_add(pending, 100, hear, &heard, id, NULL), OTA_OK);
	assert_true(pending_drop(pending, id));
	pending_free(pending);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_reply_finds_its_request_once),
		cmocka_unit_test(a_refusal_is_told_by_its_name_in_harmless_words),
		cmocka_unit_test(an_error_that_nobody_knows_is_still_an_error),
		cmocka_unit_test(what_is_overdue_ends_and_the_rest_waits),
		cmocka_unit_test(a_full_table_is_busy_and_has_room_again_later),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
