#include "unit.h"

#include "supply.h"

#include <string.h>

#define THRESHOLD 1000u

struct fixture {
	struct source own, servers[3];
	struct sources bulk;
	struct offer_source urls[3];
	struct supply supply;
	unsigned opened, closed, usable;
};

static unsigned open_bulk(void *ctx, const struct offer_source *urls, unsigned count,
			  const struct source *ret_sources[], struct ota_why *why)
{
	struct fixture *fixture = ctx;

	assert_ptr_equal(urls, fixture->urls);
	assert_int_equal(count, 3);
	fixture->opened++;
	for (unsigned i = 0; i < fixture->usable; i++)
		ret_sources[i] = &fixture->servers[i];
	if (!fixture->usable && ota_fail(why, OTA_NOT_FOUND, "no module"))
		return 0;
	return fixture->usable;
}

static void close_bulk(void *ctx)
{
	struct fixture *fixture = ctx;

	fixture->closed++;
}

static int make(void **state)
{
	struct fixture *fixture = calloc(1, sizeof(*fixture));

	fixture->usable = 3;
	fixture->bulk = (struct sources){fixture, open_bulk, close_bulk};
	fixture->supply.plan = (struct supply_plan){.own = &fixture->own,
						    .bulk = &fixture->bulk,
						    .urls = fixture->urls,
						    .url_count = 3,
						    .threshold = THRESHOLD};
	*state = fixture;
	return 0;
}

static int end(void **state)
{
	struct fixture *fixture = *state;

	supply_close(&fixture->supply);
	assert_int_equal(fixture->opened, fixture->closed);
	free(fixture);
	return 0;
}

static const struct source *choose(struct fixture *fixture, uint64_t bytes)
{
	struct ota_why why = {0};
	const struct source *source = supply_choose(&fixture->supply, bytes, &why);

	assert_ok(why.err, why);
	return source;
}

static void what_is_small_opens_no_server(void **state)
{
	struct fixture *fixture = *state;

	assert_ptr_equal(choose(fixture, THRESHOLD - 1), &fixture->own);
	assert_int_equal(fixture->opened, 0);
	assert_ptr_equal(choose(fixture, THRESHOLD), &fixture->servers[0]);
	/* What is small after it is small again. */
	assert_ptr_equal(choose(fixture, 1), &fixture->own);
	assert_ptr_equal(choose(fixture, UINT64_MAX), &fixture->servers[0]);
	assert_int_equal(fixture->opened, 1);
}

static void one_after_the_other_and_at_last_the_own_connection(void **state)
{
	struct fixture *fixture = *state;

	for (unsigned i = 0; i < 3; i++) {
		const struct source *source = choose(fixture, THRESHOLD);

		assert_ptr_equal(source, &fixture->servers[i]);
		assert_true(supply_drop(&fixture->supply, source));
	}
	assert_ptr_equal(choose(fixture, THRESHOLD), &fixture->own);
	/* It is the last one. */
	assert_false(supply_drop(&fixture->supply, &fixture->own));
	assert_ptr_equal(choose(fixture, 1), &fixture->own);
}

static void without_the_own_connection_a_server_takes_what_is_small(void **state)
{
	struct fixture *fixture = *state;

	fixture->usable = 1;
	assert_true(supply_drop(&fixture->supply, &fixture->own));
	assert_ptr_equal(choose(fixture, 1), &fixture->servers[0]);
	assert_false(supply_drop(&fixture->supply, &fixture->servers[0]));
	assert_ptr_equal(choose(fixture, 1), &fixture->servers[0]);
}

static void servers_that_cannot_be_opened_are_said_once(void **state)
{
	struct fixture *fixture = *state;
	struct ota_why why = {0};

	fixture->usable = 0;
	assert_ptr_equal(supply_choose(&fixture->supply, THRESHOLD, &why), &fixture->own);
	assert_int_equal(why.err, OTA_NOT_FOUND);
	assert_ptr_equal(choose(fixture, THRESHOLD), &fixture->own);
	assert_false(supply_drop(&fixture->supply, &fixture->own));
}

static void without_urls_or_https_there_is_the_own_connection(void **state)
{
	struct fixture *fixture = *state;

	fixture->supply.plan.url_count = 0;
	assert_ptr_equal(choose(fixture, UINT64_MAX), &fixture->own);
	fixture->supply.plan.url_count = 3;
	fixture->supply.plan.bulk = NULL;
	assert_ptr_equal(choose(fixture, UINT64_MAX), &fixture->own);
	assert_false(supply_drop(&fixture->supply, &fixture->own));
}

#define FRESH(test) cmocka_unit_test_setup_teardown(test, make, end)

int main(void)
{
	const struct CMUnitTest tests[] = {
		FRESH(what_is_small_opens_no_server),
		FRESH(one_after_the_other_and_at_last_the_own_connection),
		FRESH(without_the_own_connection_a_server_takes_what_is_small),
		FRESH(servers_that_cannot_be_opened_are_said_once),
		FRESH(without_urls_or_https_there_is_the_own_connection),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
