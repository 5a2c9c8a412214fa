#include "unit.h"

#include "logbook.h"

static int make(void **state)
{
	struct logbook *book = calloc(1, sizeof(*book));

	if (logbook_init(book, LOG_LEVEL_INFO, NULL))
		return -1;
	book->quiet = true;
	*state = book;
	return 0;
}

static int end(void **state)
{
	logbook_done(*state);
	free(*state);
	return 0;
}

static void lines_carry_their_time_and_level(void **state)
{
	struct logbook *book = *state;
	char *tail;

	book->now_ms = 12345;
	logbook_write(book, LOG_LEVEL_WARNING, "it is %s", "late");
	logbook_write(book, LOG_LEVEL_DEBUG, "not kept");
	tail = logbook_tail(book, LOGBOOK_SIZE);
	assert_string_equal(tail, "12.345 warning: it is late\n");
	free(tail);
}

static void the_newest_whole_lines_stay(void **state)
{
	struct logbook *book = *state;
	char *tail;

	for (int i = 0; i < 5000; i++)
		logbook_write(book, LOG_LEVEL_INFO, "line %d of many", i);
	tail = logbook_tail(book, LOGBOOK_SIZE);
	assert_in_range(strlen(tail), LOGBOOK_SIZE - 100, LOGBOOK_SIZE);
	assert_int_equal(strncmp(tail, "0.000 info: line ", 17), 0);
	assert_contains(tail, "line 4999 of many\n");
	free(tail);
	tail = logbook_tail(book, 100);
	assert_in_range(strlen(tail), 40, 100);
	assert_int_equal(strncmp(tail, "0.000 info: line ", 17), 0);
	assert_contains(tail, "line 4999 of many\n");
	free(tail);
}

static void hostile_text_cannot_forge_a_line(void **state)
{
	struct logbook *book = *state;
	char *tail;

	logbook_write(book, LOG_LEVEL_INFO, "%s", "a\n0.000 error: forged\r\033[2J");
	tail = logbook_tail(book, LOGBOOK_SIZE);
	assert_ptr_equal(strchr(tail, '\n'), tail + strlen(tail) - 1);
	assert_null(strchr(tail, '\033'));
	free(tail);
}

static void a_line_that_is_too_long_is_cut(void **state)
{
	struct logbook *book = *state;
	char longer[4 * LOGBOOK_LINE_SIZE];
	char *tail;

	memset(longer, 'x', sizeof(longer) - 1);
	longer[sizeof(longer) - 1] = '\0';
	logbook_write(book, LOG_LEVEL_INFO, "%s", longer);
	tail = logbook_tail(book, LOGBOOK_SIZE);
	assert_in_range(strlen(tail), LOGBOOK_LINE_SIZE / 2, LOGBOOK_LINE_SIZE + 32);
	free(tail);
	logbook_clear(book);
	tail = logbook_tail(book, LOGBOOK_SIZE);
	assert_string_equal(tail, "");
	free(tail);
}

#define FRESH(test) cmocka_unit_test_setup_teardown(test, make, end)

int main(void)
{
	const struct CMUnitTest tests[] = {
		FRESH(lines_carry_their_time_and_level),
		FRESH(the_newest_whole_lines_stay),
		FRESH(hostile_text_cannot_forge_a_line),
		FRESH(a_line_that_is_too_long_is_cut),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
