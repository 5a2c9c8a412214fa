/* A hundred thousand devices: what each costs in memory, and how long the answers over all of
 * them take. Times are printed, not judged; bytes are judged. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "null_io.h"

#include <malloc.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#define DEVICES	       100000u
#define BYTES_EACH_MAX 400u

static double ms_since(const struct timespec *start)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)(now.tv_sec - start->tv_sec) * 1e3 +
	       (double)(now.tv_nsec - start->tv_nsec) / 1e6;
}

static void say_hello(struct engine *engine, unsigned i)
{
	struct hello hello = {.v = 1,
			      .agent = "sim",
			      .product = "lamp",
			      .hardware = "a",
			      .security_version = 1,
			      .slot_size = 1u << 28,
			      .consent = {true, true, true}};
	char id[NAME_SIZE];
	struct ota_why why;

	snprintf(id, sizeof(id), "gateway-%06u", i);
	snprintf(hello.version, sizeof(hello.version), "1.%u.0", i % 7);
	hello.digest.bytes[0] = (uint8_t)(i % 7);
	assert_int_equal(engine_hello(engine, id, &hello, &why), OTA_OK);
}

static void hundred_thousand_devices_stay_small_and_are_answered_soon(void **unused)
{
	unsigned offers = 0, ticks = 0;
	struct engine *engine = null_engine(&offers);
	const struct product_change change = {.default_hardware = "a"};
	struct trusted_release trusted;
	const struct release *release;
	const struct device *page[100];
	struct device_filter filter = {.product = "lamp"};
	struct plan plan = {0};
	char after[NAME_SIZE] = "gateway-050000";
	struct timespec start;
	struct ota_why why;
	enum engine_answer answer;
	size_t before, each;
	double slowest = 0, hello_us, plan_ms;
	bool more;

	(void)unused;
	assert_int_equal(engine_product_create(engine, "lamp", &change, &why), OTA_OK);
	assert_true(null_firmware(engine, &trusted, &why));
	before = mallinfo2().uordblks + mallinfo2().hblkhd;
	clock_gettime(CLOCK_MONOTONIC, &start);
	for (unsigned i = 0; i < DEVICES; i++) {
		char id[NAME_SIZE];
		snprintf(id, sizeof(id), "gateway-%06u", i);
		assert_int_equal(engine_device_import(engine, "lamp", id, &answer, &why),
				 OTA_OK);
		say_hello(engine, i);
		engine_disconnected(engine, id);
	}
	hello_us = ms_since(&start) * 1e3 / DEVICES;
	clock_gettime(CLOCK_MONOTONIC, &start);
	for (more = true; more;)
		assert_int_equal(engine_release_plan(engine, &trusted, &plan, &more, &why),
				 OTA_OK);
	plan_ms = ms_since(&start);
	assert_int_equal(plan.targeted, DEVICES);
	assert_int_equal(engine_release_create(engine, &trusted, "{}", "root", &release, &why),
			 OTA_OK);
	null_saved(engine);
	do {
		clock_gettime(CLOCK_MONOTONIC, &start);
		more = engine_tick(engine);
		if (ms_since(&start) > slowest)
			slowest = ms_since(&start);
	} while (more && ticks++ < 10000);
	assert_int_equal(release->counts[UPDATE_TARGETED], DEVICES);
	each = (mallinfo2().uordblks + mallinfo2().hblkhd - before) / DEVICES;
	clock_gettime(CLOCK_MONOTONIC, &start);
	assert_int_equal(engine_devices(engine, &filter, after, page, 100, &more), 100);
	assert_string_equal(page[0]->id, "gateway-050001");
	print_message("%u devices, each with an update: %zu bytes each; import, hello and "
		      "disconnect %.1f us; dry run %.1f ms; page of 100 %.3f ms; "
		      "targets of all in %u ticks, the slowest %.2f ms\n",
		      DEVICES, each, hello_us, plan_ms, ms_since(&start), ticks + 1, slowest);
	assert_true(each <= BYTES_EACH_MAX);
	engine_free(engine);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(hundred_thousand_devices_stay_small_and_are_answered_soon),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
