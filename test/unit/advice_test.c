#include "advice.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <string.h>

static void every_error_says_what_it_means_and_what_to_do(void **state)
{
	enum ota_err err;

	(void)state;
	for (size_t i = 0; ota_err_at(i, &err); i++) {
		if (err == OTA_OK)
			continue;
		if (strlen(advice_meaning(err)) < 20 || strlen(advice_remedy(err)) < 10)
			fail_msg("no advice on '%s'", ota_err_name(err));
	}
	assert_string_equal(advice_meaning(OTA_OK), "");
	assert_string_equal(advice_remedy((enum ota_err)9999), "");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_error_says_what_it_means_and_what_to_do),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
