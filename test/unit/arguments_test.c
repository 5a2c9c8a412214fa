#include "arguments.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <string.h>

static struct arguments arguments;
static struct ota_why why;

/* Reads a command line of at most 15 words; `words` ends with NULL. */
static enum ota_err read_line(const char *const *words)
{
	char *argv[17] = {(char *)(uintptr_t) "otactl"};
	int argc = 1;

	for (; *words; words++)
		argv[argc++] = (char *)(uintptr_t)*words;
	why.text[0] = '\0';
	return arguments_read(argc, argv, &arguments, &why);
}
#define READ(...) read_line((const char *const[]){__VA_ARGS__, NULL})

static void options_and_words_may_be_mixed(void **state)
{
	(void)state;
	assert_int_equal(READ("--product", "p", "device", "pin", "gw1", "--json", "2.0"),
			 OTA_OK);
	assert_string_equal(arguments.verb->noun, "device");
	assert_string_equal(arguments.verb->action, "pin");
	assert_int_equal(arguments.word_count, 2);
	assert_string_equal(arguments.words[0], "gw1");
	assert_string_equal(arguments.words[1], "2.0");
	assert_string_equal(arguments_value(&arguments, "product"), "p");
	assert_true(arguments_has(&arguments, "json"));
	assert_false(arguments_has(&arguments, "plain"));
}

static void a_value_may_follow_an_equals_sign(void **state)
{
	(void)state;
	assert_int_equal(READ("device", "list", "--search=--x"), OTA_OK);
	assert_string_equal(arguments_value(&arguments, "search"), "--x");
}

static void after_two_dashes_everything_is_a_word(void **state)
{
	(void)state;
	assert_int_equal(READ("device", "show", "--", "--json"), OTA_OK);
	assert_string_equal(arguments.words[0], "--json");
	assert_false(arguments_has(&arguments, "json"));
}

static void an_unknown_option_is_named_with_what_is_allowed(void **state)
{
	(void)state;
	assert_int_equal(READ("device", "list", "--sttus", "x"), OTA_BAD_REQUEST);
	assert_non_null(strstr(why.text, "'--sttus'"));
	assert_non_null(strstr(why.text, "--status"));
}

static void an_unknown_verb_is_named_with_what_is_allowed(void **state)
{
	(void)state;
	assert_int_equal(READ("devcie", "list"), OTA_BAD_REQUEST);
	assert_non_null(strstr(why.text, "'devcie'"));
	assert_non_null(strstr(why.text, "device"));
	assert_int_equal(READ("device", "lsit"), OTA_BAD_REQUEST);
	assert_non_null(strstr(why.text, "'lsit'"));
	assert_non_null(strstr(why.text, "list"));
}

static void a_choice_takes_only_its_words(void **state)
{
	(void)state;
	assert_int_equal(READ("device", "list", "--status", "approved"), OTA_OK);
	assert_int_equal(READ("device", "list", "--status", "approve"), OTA_BAD_REQUEST);
	assert_non_null(strstr(why.text, "'approve'"));
	assert_non_null(strstr(why.text, "quarantined"));
	assert_int_equal(READ("firmware", "push", "image", "--delta-from", "none"), OTA_OK);
	assert_int_equal(READ("firmware", "push", "image", "--delta-from", "1.0,1.1"), OTA_OK);
}

static void what_is_missing_or_too_much_is_said(void **state)
{
	(void)state;
	assert_int_equal(READ("device", "show"), OTA_BAD_REQUEST);
	assert_int_equal(READ("device", "show", "a", "b"), OTA_BAD_REQUEST);
	assert_non_null(strstr(why.text, "'b'"));
	assert_int_equal(READ("device", "retry", "a"), OTA_BAD_REQUEST);
	assert_non_null(strstr(why.text, "--release"));
	assert_int_equal(READ("device", "list", "--search"), OTA_BAD_REQUEST);
	assert_int_equal(READ("device", "list", "--json=yes"), OTA_BAD_REQUEST);
	assert_int_equal(READ("device", "list", "--search", "a", "--search", "b"),
			 OTA_BAD_REQUEST);
	assert_int_equal(READ("device", "list", "-v"), OTA_BAD_REQUEST);
}

static void help_needs_nothing_else(void **state)
{
	(void)state;
	assert_int_equal(READ("device", "show", "--help"), OTA_OK);
	assert_true(arguments.help);
}

static void numbers_have_bounds(void **state)
{
	uint64_t number = 77;

	(void)state;
	assert_int_equal(READ("device", "list", "--limit", "12"), OTA_OK);
	assert_int_equal(arguments_number(&arguments, "limit", 1, 100, &number, &why), OTA_OK);
	assert_int_equal(number, 12);
	assert_int_equal(arguments_number(&arguments, "limit", 13, 100, &number, &why),
			 OTA_BAD_REQUEST);
	assert_int_equal(arguments_number(&arguments, "limit", 1, 11, &number, &why),
			 OTA_BAD_REQUEST);
	assert_int_equal(number, 12);
	assert_int_equal(READ("device", "list", "--limit", "1x"), OTA_OK);
	assert_int_equal(arguments_number(&arguments, "limit", 1, 100, &number, &why),
			 OTA_BAD_REQUEST);
	assert_non_null(strstr(why.text, "'1x'"));
}

static void durations_have_units(void **state)
{
	uint64_t seconds = 5;

	(void)state;
	assert_int_equal(READ("release", "create", "1", "--bake", "2h"), OTA_OK);
	assert_int_equal(arguments_duration(&arguments, "bake", &seconds, &why), OTA_OK);
	assert_int_equal(seconds, 7200);
	assert_int_equal(arguments_duration(&arguments, "silence", &seconds, &why), OTA_OK);
	assert_int_equal(seconds, 7200);
	assert_int_equal(READ("release", "create", "1", "--bake", "2 hours"), OTA_OK);
	assert_int_equal(arguments_duration(&arguments, "bake", &seconds, &why),
			 OTA_BAD_REQUEST);
}

static void shares_are_percentages(void **state)
{
	static const struct {
		const char *text;
		uint32_t share;
	} good[] = {{"0", 0},	   {"1", 100},	  {"100", 10000}, {"0.5", 50},
		    {"1.25", 125}, {"90%", 9000}, {"12.5%", 1250}};
	static const char *const bad[] = {"",	"x",	 "101", "100.01", "1.",
					  ".5", "1.234", "-1",	"1 %%",	  "99999999"};
	uint32_t share = 0;

	(void)state;
	for (size_t i = 0; i < sizeof(good) / sizeof(*good); i++) {
		assert_int_equal(arguments_share(good[i].text, "--x", &share, &why), OTA_OK);
		assert_int_equal(share, good[i].share);
	}
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
		assert_int_equal(arguments_share(bad[i], "--x", &share, &why), OTA_BAD_REQUEST);
}

/* The table is data: whatever is added to it must still be usable. */
static void every_verb_has_a_sentence_and_finds_itself(void **state)
{
	unsigned used;

	(void)state;
	for (unsigned f = 0; verb_families[f]; f++)
		for (const struct verb *verb = verb_families[f]; verb->noun; verb++) {
			const char *const words[] = {verb->noun, verb->action};

			assert_non_null(verb->run);
			assert_true(strlen(verb->help) > 10);
			assert_true(verb->word_min <= verb->word_max);
			assert_ptr_equal(verb_find(words, verb->action ? 2 : 1, &used, &why),
					 verb);
		}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(options_and_words_may_be_mixed),
		cmocka_unit_test(a_value_may_follow_an_equals_sign),
		cmocka_unit_test(after_two_dashes_everything_is_a_word),
		cmocka_unit_test(an_unknown_option_is_named_with_what_is_allowed),
		cmocka_unit_test(an_unknown_verb_is_named_with_what_is_allowed),
		cmocka_unit_test(a_choice_takes_only_its_words),
		cmocka_unit_test(what_is_missing_or_too_much_is_said),
		cmocka_unit_test(help_needs_nothing_else),
		cmocka_unit_test(numbers_have_bounds),
		cmocka_unit_test(durations_have_units),
		cmocka_unit_test(shares_are_percentages),
		cmocka_unit_test(every_verb_has_a_sentence_and_finds_itself),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
