#include "view.h"

#include "json.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <string.h>

static struct view_tree *read(const char *text)
{
	struct view_tree *tree = NULL;
	struct ota_why why = {0};

	assert_int_equal(view_read(text, strlen(text), 4096, &tree, &why), OTA_OK);
	return tree;
}

static void a_member_is_found_by_its_path(void **state)
{
	struct view_tree *tree = read("{\"a\":{\"b\":{\"c\":7}},\"ab\":1}");

	(void)state;
	assert_int_equal(view_number(view_at(view_root(tree), "a.b.c")), 7);
	assert_int_equal(view_number(view_at(view_root(tree), "ab")), 1);
	assert_null(view_at(view_root(tree), "a.b.d"));
	assert_null(view_at(view_root(tree), "a.b.c.d"));
	assert_null(view_at(view_root(tree), "b"));
	view_free(tree);
}

static void what_is_absent_is_empty_and_never_crashes(void **state)
{
	(void)state;
	assert_string_equal(view_text(view_at(NULL, "x")), "");
	assert_int_equal(view_number(NULL), 0);
	assert_false(view_is_true(NULL));
	assert_null(view_first(NULL));
	assert_int_equal(view_count(NULL), 0);
	assert_int_equal(view_kind(NULL), VIEW_NOTHING);
}

static void elements_come_in_their_order(void **state)
{
	struct view_tree *tree = read(" [ 1 , \"two\" , null , true , {} , [] ] ");
	const struct view *each = view_first(view_root(tree));

	(void)state;
	assert_int_equal(view_count(view_root(tree)), 6);
	assert_int_equal(view_number(each), 1);
	each = view_next(each);
	assert_string_equal(view_text(each), "two");
	each = view_next(each);
	assert_int_equal(view_kind(each), VIEW_NOTHING);
	assert_string_equal(view_text(each), "");
	each = view_next(each);
	assert_true(view_is_true(each));
	each = view_next(each);
	assert_int_equal(view_kind(each), VIEW_OBJECT);
	each = view_next(each);
	assert_int_equal(view_kind(each), VIEW_ARRAY);
	assert_null(view_next(each));
	view_free(tree);
}

static void escapes_are_decoded(void **state)
{
	struct view_tree *tree = read("{\"q\":\"\\\\ \\/ \\b\\f\\n\\r\\t \\u00e8 \\u20ac "
				      "\\ud83d\\ude00\"}");
	const struct view *value = view_first(view_root(tree));

	(void)state;
	assert_string_equal(view_name(value), "q");
	assert_string_equal(view_text(value),
			    "\\ / \b\f\n\r\t \xc3\xa8 \xe2\x82\xac \xf0\x9f\x98\x80");
	view_free(tree);
}

static void a_value_is_written_compactly(void **state)
{
	struct view_tree *tree = read("{\"a\":[1, {\"b\" :\"\\u0041\"}],\"c\":2}");
	struct text text = {0};

	(void)state;
	view_write(view_at(view_root(tree), "a"), &text);
	assert_string_equal(text.data, "[1,{\"b\":\"A\"}]");
	text_done(&text);
	view_free(tree);
}

static void what_is_not_strict_json_is_refused(void **state)
{
	static const char *const bad[] = {"",	  "{",		 "[1,]", "{\"a\":1,\"a\":2}",
					  "{} x", "\"\\ud800\"", "nul",	 "[1 2]"};
	struct view_tree *tree = NULL;
	struct ota_why why;

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		assert_int_equal(view_read(bad[i], strlen(bad[i]), 4096, &tree, &why),
				 OTA_BAD_REQUEST);
		assert_null(tree);
	}
}

static void a_reply_above_its_limit_is_refused(void **state)
{
	struct view_tree *tree = NULL;
	struct ota_why why;

	(void)state;
	assert_int_not_equal(view_read("[1,2,3]", 7, 6, &tree, &why), OTA_OK);
	assert_null(tree);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_member_is_found_by_its_path),
		cmocka_unit_test(what_is_absent_is_empty_and_never_crashes),
		cmocka_unit_test(elements_come_in_their_order),
		cmocka_unit_test(escapes_are_decoded),
		cmocka_unit_test(a_value_is_written_compactly),
		cmocka_unit_test(what_is_not_strict_json_is_refused),
		cmocka_unit_test(a_reply_above_its_limit_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
