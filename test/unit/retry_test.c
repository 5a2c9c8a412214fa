/* After a failure: the agreed grid of classes, and the back-off. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "retry.h"

static void network_is_tried_again_and_sits_out_after_the_third(void **unused)
{
	(void)unused;
	assert_int_equal(retry_decide(UPDATE_FAILED, OTA_DOWNLOAD_STALLED, 1), RETRY_LATER);
	assert_int_equal(retry_decide(UPDATE_FAILED, OTA_DOWNLOAD_STALLED, 2), RETRY_LATER);
	assert_int_equal(retry_decide(UPDATE_FAILED, OTA_DOWNLOAD_STALLED, 3), RETRY_PENALTY);
	assert_int_equal(retry_decide(UPDATE_FAILED, OTA_DOWNLOAD_STALLED, 9), RETRY_PENALTY);
}

static void condition_of_the_device_is_waited_for(void **unused)
{
	(void)unused;
	assert_int_equal(retry_decide(UPDATE_FAILED, OTA_INSUFFICIENT_STORAGE, 1),
			 RETRY_CHANGED);
	assert_int_equal(retry_decide(UPDATE_REJECTED, OTA_UPDATES_DISABLED, 2), RETRY_CHANGED);
	assert_int_equal(retry_decide(UPDATE_FAILED, OTA_INSUFFICIENT_STORAGE, 3),
			 RETRY_PENALTY);
}

static void permanent_errors_are_never_tried_again_by_themselves(void **unused)
{
	enum ota_err err;

	(void)unused;
	for (size_t i = 0; ota_err_at(i, &err); i++) {
		if (ota_err_class(err) != OTA_CLASS_PERMANENT)
			continue;
		for (uint32_t failures = 1; failures < 5; failures++) {
			assert_int_equal(retry_decide(UPDATE_FAILED, err, failures),
					 RETRY_NEVER);
			assert_int_equal(retry_decide(UPDATE_ROLLED_BACK, err, failures),
					 RETRY_NEVER);
		}
	}
}

static void silence_waits_for_the_device_whatever_the_error(void **unused)
{
	(void)unused;
	assert_int_equal(retry_decide(UPDATE_TIMED_OUT, OTA_INTERNAL, 1), RETRY_CHANGED);
	assert_int_equal(retry_decide(UPDATE_LOST, OTA_LOST, 2), RETRY_CHANGED);
	assert_int_equal(retry_decide(UPDATE_LOST, OTA_INTERNAL, 3), RETRY_PENALTY);
}

static void back_off_has_full_jitter_up_to_its_step(void **unused)
{
	static const uint64_t delays[3] = {60000, 300000, 1800000};
	uint64_t most[3] = {0};

	(void)unused;
	for (uint32_t random = 0; random < 4000000; random += 7) {
		for (uint32_t failures = 1; failures <= 3; failures++) {
			uint64_t delay = retry_delay(delays, failures, random);
			assert_true(delay >= 1 && delay <= delays[failures - 1]);
			if (delay > most[failures - 1])
				most[failures - 1] = delay;
		}
	}
	for (unsigned i = 0; i < 3; i++)
		assert_true(most[i] > delays[i] * 99 / 100);
	assert_int_equal(retry_delay(delays, 9, 1799999), 1800000);
	assert_int_equal(retry_delay(delays, 0, 59999), 60000);
	assert_int_equal(retry_delay((const uint64_t[3]){0}, 1, 5), 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(network_is_tried_again_and_sits_out_after_the_third),
		cmocka_unit_test(condition_of_the_device_is_waited_for),
		cmocka_unit_test(permanent_errors_are_never_tried_again_by_themselves),
		cmocka_unit_test(silence_waits_for_the_device_whatever_the_error),
		cmocka_unit_test(back_off_has_full_jitter_up_to_its_step),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
