#include "limit.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <cmocka.h>

static const struct limit_config config = {
	.rate = 10, .burst = 20, .failures = 5, .peer_failures = 8, .lock_ms = 900000};

static enum ota_err ask(struct limit *limit, uint64_t now_ms, const char *peer, const char *id)
{
	uint32_t wait_s = 0;
	struct ota_why why = {0};
	enum ota_err err = limit_request(limit, now_ms, peer, id, &wait_s, &why);

	if (err)
		assert_true(wait_s > 0 && why.text[0]);
	return err;
}

static struct limit *make(void)
{
	struct limit *limit = NULL;

	assert_int_equal(limit_new(&config, &limit, NULL), OTA_OK);
	return limit;
}

static void a_token_may_ask_in_bursts_and_then_at_its_rate(void **state)
{
	struct limit *limit = make();

	(void)state;
	for (int i = 0; i < 20; i++)
		assert_int_equal(ask(limit, 1000, "10.0.0.1", "a"), OTA_OK);
	assert_int_equal(ask(limit, 1000, "10.0.0.1", "a"), OTA_RATE_LIMITED);
	assert_int_equal(ask(limit, 1000, "10.0.0.1", "b"), OTA_OK);
	assert_int_equal(ask(limit, 1099, "10.0.0.1", "a"), OTA_RATE_LIMITED);
	assert_int_equal(ask(limit, 1201, "10.0.0.1", "a"), OTA_OK);
	limit_free(limit);
}

static void
five_failures_lock_the_token_of_that_address_out_for_a_quarter_of_an_hour(void **state)
{
	struct limit *limit = make();

	(void)state;
	for (int i = 0; i < 4; i++)
		limit_failed(limit, 1000, "10.0.0.1", "a");
	assert_int_equal(ask(limit, 1000, "10.0.0.1", "a"), OTA_OK);
	limit_failed(limit, 1000, "10.0.0.1", "a");
	assert_int_equal(ask(limit, 1000, "10.0.0.1", "a"), OTA_RATE_LIMITED);
	assert_int_equal(ask(limit, 1000, "10.0.0.1", "b"), OTA_OK);
	assert_int_equal(ask(limit, 1000, "10.0.0.2", "a"), OTA_OK);
	assert_int_equal(ask(limit, 1000 + 899999, "10.0.0.1", "a"), OTA_RATE_LIMITED);
	assert_int_equal(ask(limit, 1000 + 900000, "10.0.0.1", "a"), OTA_OK);
	limit_free(limit);
}

static void guessing_with_many_tokens_locks_the_address_out(void **state)
{
	struct limit *limit = make();
	char id[8];

	(void)state;
	for (int i = 0; i < 8; i++) {
		snprintf(id, sizeof id, "t%d", i);
		limit_failed(limit, 1000, "10.0.0.1", id);
	}
	assert_int_equal(ask(limit, 1000, "10.0.0.1", "good"), OTA_RATE_LIMITED);
	assert_int_equal(ask(limit, 1000, "10.0.0.2", "good"), OTA_OK);
	limit_free(limit);
}

static void an_attacker_cannot_make_it_grow_without_end(void **state)
{
	struct limit *limit = make();
	char id[20];

	(void)state;
	for (int i = 0; i < 3 * LIMIT_ENTRIES_MAX; i++) {
		snprintf(id, sizeof id, "x%d", i);
		assert_int_equal(ask(limit, 1000, "10.0.0.1", id), OTA_OK);
	}
	limit_free(limit);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_token_may_ask_in_bursts_and_then_at_its_rate),
		cmocka_unit_test(
			five_failures_lock_the_token_of_that_address_out_for_a_quarter_of_an_hour),
		cmocka_unit_test(guessing_with_many_tokens_locks_the_address_out),
		cmocka_unit_test(an_attacker_cannot_make_it_grow_without_end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
