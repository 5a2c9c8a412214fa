/* A hundred thousand devices: what each costs in memory, and how long the answers over all of
 * them take. Times are printed, not judged; bytes are judged. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "world.h"

#include <malloc.h>
#include <stdlib.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#define DEVICES	       100000u
#define BYTES_EACH_MAX 400u

/* Stores nothing: it is the engine's memory that is measured. */
static uint64_t tickets;

static enum ota_err write_nothing(void *ctx, const struct store_row *rows, size_t count,
				  uint64_t *ret_ticket, struct ota_why *why)
{
	(void)ctx;
	(void)rows;
	(void)count;
	(void)why;
	*ret_ticket = ++tickets;
	return OTA_OK;
}

static size_t room_enough(void *ctx)
{
	(void)ctx;
	return 65536;
}

static enum ota_err load_nothing(void *ctx, enum store_kind kind, store_row_fn each,
				 void *each_ctx, struct ota_why *why)
{
	(void)ctx;
	(void)kind;
	(void)each;
	(void)each_ctx;
	(void)why;
	return OTA_OK;
}

static enum ota_err no_sequence(void *ctx, uint64_t *ret_sequence, struct ota_why *why)
{
	(void)ctx;
	(void)why;
	*ret_sequence = 0;
	return OTA_OK;
}

static uint64_t wall(void *ctx)
{
	(void)ctx;
	return WORLD_START_MS;
}

static uint32_t no_random(void *ctx)
{
	(void)ctx;
	return 4;
}

static void no_offer(void *ctx, const struct device *device, const struct release *release,
		     uint32_t attempt)
{
	(void)device;
	(void)release;
	(void)attempt;
	++*(unsigned *)ctx;
}

static void no_control(void *ctx, const char *device, const struct control *control)
{
	(void)ctx;
	(void)device;
	(void)control;
}

static void no_welcome(void *ctx, const struct device *device, const struct hello *hello)
{
	(void)ctx;
	(void)device;
	(void)hello;
}

static void no_fan(void *ctx, const struct release *release, uint32_t shard)
{
	(void)ctx;
	(void)release;
	(void)shard;
}

static void no_event(void *ctx, const struct store_report *event)
{
	(void)ctx;
	(void)event;
}

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

static struct engine *make(struct store *store, unsigned *offers)
{
	const struct product_change change = {.default_hardware = "a"};
	struct engine_io io = {.ctx = offers,
			       .now_ms = wall,
			       .mono_ms = wall,
			       .random = no_random,
			       .store = store,
			       .send_offer = no_offer,
			       .send_control = no_control,
			       .send_welcome = no_welcome,
			       .fan_out = no_fan,
			       .event = no_event};
	struct engine_limits limits;
	struct engine *engine;
	struct ota_why why;

	engine_limits_default(&limits);
	assert_int_equal(engine_new(&io, &limits, &engine, &why), OTA_OK);
	assert_int_equal(engine_load(engine, &why), OTA_OK);
	assert_int_equal(engine_product_create(engine, "lamp", &change, &why), OTA_OK);
	return engine;
}

static struct trusted_release target(struct engine *engine)
{
	struct name_text *hardware = calloc(1, sizeof(*hardware));
	struct firmware_component *component = calloc(1, sizeof(*component));
	struct trusted_firmware firmware = {.document = {.product = "lamp",
							 .version = "2.0.0",
							 .security_version = 1,
							 .hardware = hardware,
							 .hardware_count = 1,
							 .components = component,
							 .component_count = 1}};
	struct trusted_release release = {
		.document = {.product = "lamp", .number = 1, .not_after = UINT64_C(1) << 40}};
	struct ota_why why;

	assert_non_null(hardware);
	assert_non_null(component);
	text_copy(hardware->text, NAME_SIZE, "a");
	component->size = 1u << 20;
	component->sha256.bytes[0] = 200;
	firmware.digest.bytes[0] = release.document.firmware.bytes[0] = 99;
	assert_int_equal(engine_firmware_add(engine, &firmware, "{}", NULL, 0, &why), OTA_OK);
	return release;
}

static void hundred_thousand_devices_stay_small_and_are_answered_soon(void **unused)
{
	struct store store = {.write = write_nothing,
			      .room = room_enough,
			      .load = load_nothing,
			      .last_sequence = no_sequence};
	unsigned offers = 0, ticks = 0;
	struct engine *engine = make(&store, &offers);
	struct trusted_release trusted = target(engine);
	const struct release *release;
	const struct device *page[100];
	struct device_filter filter = {.product = "lamp"};
	struct plan plan;
	struct timespec start;
	struct ota_why why;
	enum engine_answer answer;
	size_t before = mallinfo2().uordblks + mallinfo2().hblkhd, each;
	double slowest = 0, hello_us, plan_ms;
	bool more;

	(void)unused;
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
	assert_int_equal(engine_release_plan(engine, &trusted, &plan, &why), OTA_OK);
	plan_ms = ms_since(&start);
	assert_int_equal(plan.targeted, DEVICES);
	assert_int_equal(engine_release_create(engine, &trusted, "{}", "root", &release, &why),
			 OTA_OK);
	engine_saved(engine, tickets, OTA_OK);
	do {
		clock_gettime(CLOCK_MONOTONIC, &start);
		more = engine_tick(engine);
		if (ms_since(&start) > slowest)
			slowest = ms_since(&start);
	} while (more && ticks++ < 10000);
	assert_int_equal(release->counts[UPDATE_TARGETED], DEVICES);
	each = (mallinfo2().uordblks + mallinfo2().hblkhd - before) / DEVICES;
	clock_gettime(CLOCK_MONOTONIC, &start);
	assert_int_equal(engine_devices(engine, &filter, "gateway-050000", page, 100, &more),
			 100);
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
