#include "unit.h"

#include "program.h"
#include "own.h"

#include <errno.h>
#include <sys/wait.h>

static void words_are_split_and_quotes_hold_together(void **state)
{
	(void)state;
	struct program_line line;
	struct ota_why why;

	assert_ok(
		program_parse("  sh -c 'a  b' \"c 'd'\" e\\ f \"\" x'y'z\t", "/s", &line, &why),
		why);
	const char *const expected[] = {"sh", "-c", "a  b", "c 'd'", "e f", "", "xyz"};
	for (unsigned i = 0; i < 7; i++)
		assert_string_equal(line.args[i], expected[i]);
	assert_null(line.args[7]);
	program_done(&line);
}

static void the_slot_is_put_in_wherever_it_is_named(void **state)
{
	(void)state;
	struct program_line line;
	struct ota_why why;

	assert_ok(program_parse("{slot} --image={slot}:ro '{slot}'", "/data/a", &line, &why),
		  why);
	assert_string_equal(line.args[0], "/data/a");
	assert_string_equal(line.args[1], "--image=/data/a:ro");
	assert_string_equal(line.args[2], "/data/a");
	program_done(&line);
}

static void a_path_with_blanks_and_quotes_stays_one_word(void **state)
{
	(void)state;
	struct program_line line;
	struct ota_why why;

	assert_ok(program_parse("run {slot}", "/a b/'c'; rm -rf x", &line, &why), why);
	assert_string_equal(line.args[1], "/a b/'c'; rm -rf x");
	assert_null(line.args[2]);
	program_done(&line);
}

static void what_is_no_command_is_refused(void **state)
{
	(void)state;
	struct program_line line;
	struct ota_why why;
	char many[4 * PROGRAM_ARGS_MAX] = "";

	assert_int_equal(program_parse("   ", "", &line, &why), OTA_BAD_REQUEST);
	assert_int_equal(program_parse("sh -c 'open", "", &line, &why), OTA_BAD_REQUEST);
	assert_contains(why.text, "open quote");
	for (int i = 0; i <= PROGRAM_ARGS_MAX; i++)
		memcpy(many + 2 * i, "x ", 3);
	assert_int_equal(program_parse(many, "", &line, &why), OTA_BAD_REQUEST);
}

static void a_program_runs_and_its_end_is_explained(void **state)
{
	(void)state;
	struct program_line line;
	struct ota_why why;
	char text[128];
	int status;
	pid_t pid;

	assert_ok(program_parse("sh -c 'exit 7'", "", &line, &why), why);
	assert_ok(program_start(&line, &pid, &why), why);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	program_explain(status, text, sizeof(text));
	assert_string_equal(text, "exited with code 7");
	program_done(&line);
	assert_ok(program_parse("sh -c 'kill -9 $$'", "", &line, &why), why);
	assert_ok(program_start(&line, &pid, &why), why);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	program_explain(status, text, sizeof(text));
	assert_string_equal(text, "was killed by signal 9 (Killed)");
	program_done(&line);
}

static void a_program_that_is_not_there_is_named(void **state)
{
	(void)state;
	struct program_line line;
	struct ota_why why;
	pid_t pid;

	assert_ok(program_parse("/nowhere/at/all", "", &line, &why), why);
	assert_int_equal(program_start(&line, &pid, &why), OTA_INSTALL_FAILED);
	assert_int_equal(why.detail, ENOENT);
	assert_contains(why.text, "/nowhere/at/all");
	program_done(&line);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(words_are_split_and_quotes_hold_together),
		cmocka_unit_test(the_slot_is_put_in_wherever_it_is_named),
		cmocka_unit_test(a_path_with_blanks_and_quotes_stays_one_word),
		cmocka_unit_test(what_is_no_command_is_refused),
		cmocka_unit_test(a_program_runs_and_its_end_is_explained),
		cmocka_unit_test(a_program_that_is_not_there_is_named),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
