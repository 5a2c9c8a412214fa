#include "screen.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

static const struct screen_column columns[] = {
	{"NAME", "name", SCREEN_TEXT},
	{"SIZE", "size", SCREEN_BYTES},
	{"STATE", "state", SCREEN_STATE},
	{NULL},
};

static struct view_tree *read(const char *text)
{
	struct view_tree *tree = NULL;

	assert_int_equal(view_read(text, strlen(text), 4096, &tree, NULL), OTA_OK);
	return tree;
}

/* The rows as they are printed on something of this width; the caller frees. */
static char *print(const char *rows, unsigned width, bool colour)
{
	struct view_tree *tree = read(rows);
	struct screen_table *table = NULL;
	struct screen screen = {.width = width, .colour = colour, .now = 1000000};
	const struct view *each;
	char *text = NULL;
	size_t len = 0;

	screen.out = open_memstream(&text, &len);
	assert_int_equal(screen_table_new(columns, &table, NULL), OTA_OK);
	for (each = view_first(view_root(tree)); each; each = view_next(each))
		assert_int_equal(screen_table_add(&screen, table, each, NULL), OTA_OK);
	screen_table_print(&screen, table, "nothing here");
	fclose(screen.out);
	screen_table_free(table);
	view_free(tree);
	return text;
}

static void columns_are_aligned_numbers_to_the_right(void **state)
{
	char *text = print("[{\"name\":\"a\",\"size\":1,\"state\":\"lost\"},"
			   "{\"name\":\"long\",\"size\":2097152,\"state\":\"done\"}]",
			   0, false);

	(void)state;
	assert_string_equal(text, "NAME     SIZE  STATE\n"
				  "a         1 B  lost\n"
				  "long  2.0 MiB  done\n");
	free(text);
}

static void no_line_ends_with_blanks(void **state)
{
	char *text = print("[{\"name\":\"a\"},{\"name\":\"abcdef\",\"size\":1}]", 0, false);

	(void)state;
	assert_null(strstr(text, " \n"));
	assert_non_null(strstr(text, "\na\n"));
	free(text);
}

static void no_rows_say_so(void **state)
{
	char *text = print("[]", 0, false);

	(void)state;
	assert_string_equal(text, "nothing here\n");
	free(text);
}

static void characters_outside_ascii_are_counted_once(void **state)
{
	char *text = print("[{\"name\":\"\xc3\xa8\xc3\xa8\xc3\xa8\xc3\xa8\",\"state\":\"x\"},"
			   "{\"name\":\"abcd\",\"state\":\"y\"}]",
			   0, false);

	(void)state;
	assert_non_null(
		strstr(text, "\xc3\xa8\xc3\xa8\xc3\xa8\xc3\xa8        x\nabcd        y\n"));
	free(text);
}

static void a_table_too_wide_is_cut_where_there_is_text(void **state)
{
	char *text = print("[{\"name\":\"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\",\"size\":1,"
			   "\"state\":\"done\"}]",
			   30, false);

	(void)state;
	for (const char *line = text; *line; line += strcspn(line, "\n") + 1)
		assert_true(strcspn(line, "\n") <= 30 + 2); /* the ellipsis is three bytes */
	assert_non_null(strstr(text, "\xe2\x80\xa6"));
	assert_non_null(strstr(text, "done"));
	free(text);
}

/* A broker in wrong hands must not drive the terminal of who looks at it. */
static void hostile_text_cannot_move_the_cursor(void **state)
{
	char *text =
		print("[{\"name\":\"\\u001b[2Jowned\\u009b1A\\r\",\"state\":\"\\u001b[31m\"}]",
		      0, false);

	(void)state;
	assert_null(strchr(text, '\033'));
	assert_null(strchr(text, '\r'));
	assert_null(strstr(text, "\xc2\x9b"));
	assert_non_null(strstr(text, "owned"));
	free(text);
}

static void colours_are_for_terminals_that_have_them(void **state)
{
	char *plain = print("[{\"name\":\"a\",\"state\":\"failed\"}]", 0, false);
	char *coloured = print("[{\"name\":\"a\",\"state\":\"failed\"}]", 0, true);

	(void)state;
	assert_null(strchr(plain, '\033'));
	assert_non_null(strstr(coloured, "\033[31mfailed\033[0m"));
	free(plain);
	free(coloured);
}

static void figures_have_units(void **state)
{
	static const struct {
		uint64_t bytes;
		const char *text;
	} sizes[] = {{0, "0 B"},	  {1023, "1023 B"},	 {1024, "1.0 KiB"},
		     {102400, "100 KiB"}, {1u << 20, "1.0 MiB"}, {UINT64_MAX, "1638 PiB"}};
	static const struct {
		uint64_t seconds;
		const char *text;
	} durations[] = {{0, "0 s"},
			 {59, "59 s"},
			 {61, "1 min 01 s"},
			 {3661, "1 h 01 min"},
			 {90000, "1 d 01 h"}};
	char text[SCREEN_FIGURE_SIZE];

	(void)state;
	for (size_t i = 0; i < sizeof(sizes) / sizeof(*sizes); i++) {
		screen_bytes(sizes[i].bytes, text);
		assert_string_equal(text, sizes[i].text);
	}
	for (size_t i = 0; i < sizeof(durations) / sizeof(*durations); i++) {
		screen_duration(durations[i].seconds, text);
		assert_string_equal(text, durations[i].text);
	}
}

static void values_are_shown_by_their_kind(void **state)
{
	static const struct {
		enum screen_kind kind;
		const char *json, *text;
	} cases[] = {
		{SCREEN_YES, "true", "yes"},
		{SCREEN_YES, "false", "-"},
		{SCREEN_SHARE, "1250", "12.50 %"},
		{SCREEN_SHARE, "10000", "100 %"},
		{SCREEN_ERROR, "0", "allowed"},
		{SCREEN_ERROR, "102", "forbidden"},
		{SCREEN_LIST, "[\"a\",\"b\"]", "a b"},
		{SCREEN_LIST, "{\"x\":1,\"y\":2}", "x 1, y 2"},
		{SCREEN_SHORT, "\"0123456789abcdef\"", "0123456789ab"},
		{SCREEN_AGE, "0", "never"},
		{SCREEN_AGE, "999400", "10 min ago"},
		{SCREEN_AGE, "2000000", "in the future"},
		{SCREEN_TIME, "0", "-"},
		{SCREEN_TIME, "1000000", "1970-01-12 13:46:40Z"},
		{SCREEN_WHEN, "1000090", "in 1 min 30 s"},
	};
	const struct screen screen = {.now = 1000000};
	char text[64];

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct view_tree *tree = read(cases[i].json);

		screen_format(&screen, cases[i].kind, view_root(tree), text, sizeof(text));
		assert_string_equal(text, cases[i].text);
		view_free(tree);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(columns_are_aligned_numbers_to_the_right),
		cmocka_unit_test(no_line_ends_with_blanks),
		cmocka_unit_test(no_rows_say_so),
		cmocka_unit_test(characters_outside_ascii_are_counted_once),
		cmocka_unit_test(a_table_too_wide_is_cut_where_there_is_text),
		cmocka_unit_test(hostile_text_cannot_move_the_cursor),
		cmocka_unit_test(colours_are_for_terminals_that_have_them),
		cmocka_unit_test(figures_have_units),
		cmocka_unit_test(values_are_shown_by_their_kind),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
