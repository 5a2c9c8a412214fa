#include "unit.h"

#include "ending.h"

#include <signal.h>

/* What waitpid() says of an exit code, and of a signal. */
#define EXITED(code)   ((code) << 8)
#define KILLED(signal) (signal)

static enum ota_err name_of(struct ending ending, struct ota_why *why)
{
	ending.known = true;
	return ending_name(&ending, why);
}

static void who_ends_at_once_crashes_in_a_loop(void **state)
{
	struct ota_why why;

	(void)state;
	assert_int_equal(name_of((struct ending){.status = EXITED(7), .lived_ms = 120}, &why),
			 OTA_CRASH_LOOP);
	assert_string_equal(why.text, "it exited with code 7 after 120 ms");
	assert_int_equal(why.detail, 7);
}

static void who_ends_later_crashed_in_its_trial(void **state)
{
	struct ota_why why;

	(void)state;
	assert_int_equal(name_of((struct ending){.status = KILLED(SIGSEGV),
						 .lived_ms = ENDING_AT_ONCE_MS},
				 &why),
			 OTA_CRASHED_IN_TRIAL);
	assert_contains(why.text, "signal 11");
	assert_int_equal(why.detail, 128 + SIGSEGV);
}

static void only_the_kernels_own_kill_is_want_of_memory(void **state)
{
	struct ending ending = {
		.status = KILLED(SIGKILL), .lived_ms = 500, .out_of_memory = true};
	struct ota_why why;

	(void)state;
	assert_int_equal(name_of(ending, &why), OTA_MEMORY_EXHAUSTED);
	ending.out_of_memory = false;
	assert_int_equal(name_of(ending, &why), OTA_CRASH_LOOP);
	ending.out_of_memory = true;
	ending.status = KILLED(SIGSEGV);
	assert_int_equal(name_of(ending, &why), OTA_CRASH_LOOP);
}

static void an_end_that_was_not_seen_is_said_to_be_so(void **state)
{
	const struct ending ending = {.lived_ms = 10};
	struct ota_why why;

	(void)state;
	assert_int_equal(ending_name(&ending, &why), OTA_CRASH_LOOP);
	assert_contains(why.text, "not ours to wait for");
	assert_int_equal(why.detail, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(who_ends_at_once_crashes_in_a_loop),
		cmocka_unit_test(who_ends_later_crashed_in_its_trial),
		cmocka_unit_test(only_the_kernels_own_kill_is_want_of_memory),
		cmocka_unit_test(an_end_that_was_not_seen_is_said_to_be_so),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
