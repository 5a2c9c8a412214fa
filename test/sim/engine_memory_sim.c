/* Every allocation of the engine fails once: each input then does its work or says that it
 * could not, the counts still add up, and the same inputs succeed afterwards. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "null_io.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DEVICES 12u

static unsigned long countdown; /* 0: nothing fails */
static bool failed;

static bool fails_now(void)
{
	if (!countdown || --countdown)
		return false;
	failed = true;
	return true;
}

void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__real_realloc(void *old, size_t size);
char *__real_strdup(const char *text);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_realloc(void *old, size_t size);
char *__wrap_strdup(const char *text);

void *__wrap_malloc(size_t size)
{
	return fails_now() ? NULL : __real_malloc(size);
}

void *__wrap_calloc(size_t count, size_t size)
{
	return fails_now() ? NULL : __real_calloc(count, size);
}

void *__wrap_realloc(void *old, size_t size)
{
	return fails_now() ? NULL : __real_realloc(old, size);
}

char *__wrap_strdup(const char *text)
{
	return fails_now() ? NULL : __real_strdup(text);
}

static void name_of(unsigned i, char id[NAME_SIZE])
{
	snprintf(id, NAME_SIZE, "gw%02u", i);
}

static void say_hello(struct engine *engine, unsigned i)
{
	struct hello hello = {.v = 1,
			      .agent = "sim",
			      .product = "lamp",
			      .hardware = "a",
			      .version = "1.0.0",
			      .security_version = 1,
			      .slot_size = 1u << 28,
			      .reason = "the pump runs",
			      .consent = {true, true, true}};
	char id[NAME_SIZE];
	struct ota_why why;

	name_of(i, id);
	snprintf(hello.version, sizeof(hello.version), "1.%u.0", i % 3);
	hello.digest.bytes[0] = (uint8_t)(i % 3);
	(void)!engine_hello(engine, id, &hello, &why);
}

static void report(struct engine *engine, unsigned i, uint64_t seq, enum update_state state)
{
	struct report report = {.v = 1,
				.seq = seq,
				.release = 1,
				.attempt = 1,
				.state = state,
				.version = "1.0.0"};
	char id[NAME_SIZE];
	struct ota_why why;

	name_of(i, id);
	report.has_error = state == UPDATE_FAILED;
	report.error.number = OTA_INSTALL_FAILED;
	(void)!engine_report(engine, id, &report, &why);
}

static void manage(struct engine *engine, unsigned i)
{
	const char *const groups[] = {"alpha", "beta"};
	const struct device_change change = {
		.groups = groups, .group_count = 2, .notes = "roof", .pin = "2.0.0"};
	const struct device_change back = {.groups = groups, .pin = ""};
	char id[NAME_SIZE];
	struct ota_why why;

	name_of(i, id);
	(void)!engine_device_set(engine, id, &change, &why);
	(void)!engine_device_set(engine, id, &back, &why);
}

/* One of each input. */
static void live(struct engine *engine, unsigned *offers)
{
	struct trusted_release trusted;
	const struct release *release;
	enum engine_answer answer;
	struct ota_why why;
	const struct product_change change = {.title = "Lamps", .default_hardware = "a"};

	(void)offers;
	(void)!engine_product_create(engine, "lamp", &change, &why);
	(void)!engine_group_create(engine, "lamp", "alpha", &why);
	(void)!engine_group_create(engine, "lamp", "beta", &why);
	for (unsigned i = 0; i < DEVICES; i++) {
		char id[NAME_SIZE];
		name_of(i, id);
		(void)!engine_device_import(engine, "lamp", id, &answer, &why);
		say_hello(engine, i);
	}
	if (null_firmware(engine, &trusted, &why)) {
		if (engine_release_create(engine, &trusted, "{}", "root", &release, &why))
			release_done(&trusted.document);
	}
	null_saved(engine);
	engine_tick(engine);
	for (unsigned i = 0; i < DEVICES; i++) {
		report(engine, i, 1, UPDATE_DOWNLOADING);
		report(engine, i, 2, i % 4 ? UPDATE_VERIFIED : UPDATE_FAILED);
		manage(engine, i);
	}
	null_saved(engine);
	engine_tick(engine);
	null_saved(engine);
}

static void check_counts(const struct engine *engine)
{
	const struct product *product = engine_product(engine, "lamp");

	for (uint32_t r = 0; product && r < product->release_count; r++) {
		const struct release *release = product->releases[r];
		uint32_t counts[UPDATE_STATE_COUNT] = {0};
		for (uint32_t i = 0; i < product->device_count; i++) {
			const struct update *update =
				device_update(product->devices[i], release);
			if (update)
				counts[update->state]++;
		}
		assert_memory_equal(counts, release->counts, sizeof(counts));
	}
}

static void any_allocation_may_fail_and_nothing_breaks(void **unused)
{
	unsigned long at = 1, sites = 0;

	(void)unused;
	do {
		unsigned offers = 0;
		struct engine *engine = null_engine(&offers);
		countdown = at++;
		failed = false;
		live(engine, &offers);
		countdown = 0;
		sites += failed;
		check_counts(engine);
		live(engine, &offers);
		check_counts(engine);
		assert_non_null(engine_product(engine, "lamp"));
		assert_int_equal(engine_product(engine, "lamp")->device_count, DEVICES);
		assert_int_equal(engine_product(engine, "lamp")->release_count, 1);
		engine_free(engine);
	} while (failed);
	print_message("%lu allocations failed, one at a time\n", sites);
	assert_true(sites > 100);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(any_allocation_may_fail_and_nothing_breaks),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
