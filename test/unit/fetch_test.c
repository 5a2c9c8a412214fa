#include "unit.h"

#include "fetch.h"
#include "pack_fixture.h"

#define SEGMENT	   65536u
#define SEGMENTS   24u
#define IMAGE_SIZE (SEGMENTS * SEGMENT - 1000)
#define BLOBS_MAX  8
#define SOURCES	   2
#define STEPS_MAX  20000

/* A blob store that answers at once, and can lie. */
struct store {
	struct bytes blobs[BLOBS_MAX];
	struct digest names[BLOBS_MAX];
	unsigned count;
	uint64_t served;
	bool refuses, silent;
	/* Which bytes of which blob come damaged. */
	int spoilt_blob;
	uint64_t spoilt_from, spoilt_to;
	struct {
		uint32_t transfer, number;
		unsigned blob;
		bool missing;
	} asked[64];
	unsigned asked_count;
	uint8_t frame[MESSAGE_CHUNK_SIZE];
	struct source source;
};

struct fixture {
	struct store stores[SOURCES];
	struct bytes base, image, target;
	uint8_t *index;
	uint64_t unreadable; /* a byte of the base; 0: all can be read */
	unsigned writes;
	enum ota_err write_error;
	struct slots slots;
	struct sources bulk;
	bool bulk_is_open;
	struct firmware_component component;
	struct offer_pack packs[4];
	struct fetch_plan plan;
};

static enum ota_err store_ask(void *ctx, uint32_t transfer, const struct digest *blob,
			      uint64_t size, const struct get_range *ranges, unsigned count,
			      struct ota_why *why)
{
	struct store *store = ctx;
	unsigned which = 0;

	(void)size;
	(void)why;
	while (which < store->count && !digest_equal(&store->names[which], blob))
		which++;
	for (unsigned i = 0; i < count && !store->silent; i++) {
		for (uint32_t k = 0; k < ranges[i].count; k++) {
			assert_in_range(store->asked_count, 0, 63);
			store->asked[store->asked_count].transfer = transfer;
			store->asked[store->asked_count].number = ranges[i].first + k;
			store->asked[store->asked_count].blob = which;
			store->asked[store->asked_count].missing =
				which == store->count || store->refuses;
			store->asked_count++;
		}
	}
	return OTA_OK;
}

static bool store_next(void *ctx, struct source_answer *ret_answer)
{
	struct store *store = ctx;

	if (!store->asked_count)
		return false;
	const uint32_t number = store->asked[0].number;
	const unsigned which = store->asked[0].blob;
	*ret_answer = (struct source_answer){.kind = store->asked[0].missing ? CHUNK_REFUSED
									     : CHUNK_DATA,
					     .err = OTA_NOT_FOUND,
					     .transfer = store->asked[0].transfer,
					     .number = number,
					     .data = store->frame};
	const bool missing = store->asked[0].missing;
	store->asked_count--;
	memmove(store->asked, store->asked + 1, store->asked_count * sizeof(store->asked[0]));
	if (missing)
		return true;
	const size_t at = (size_t)number * MESSAGE_CHUNK_SIZE;
	const size_t left = store->blobs[which].size - at;
	ret_answer->len = left < MESSAGE_CHUNK_SIZE ? left : MESSAGE_CHUNK_SIZE;
	memcpy(store->frame, store->blobs[which].at + at, ret_answer->len);
	for (size_t i = 0; i < ret_answer->len; i++) {
		if ((int)which == store->spoilt_blob && at + i >= store->spoilt_from &&
		    at + i < store->spoilt_to)
			store->frame[i] ^= 0x55;
	}
	store->served += ret_answer->len;
	return true;
}

static struct digest add_blob(struct fixture *fixture, struct bytes blob)
{
	struct digest name = {{0}};

	assert_int_equal(digest_of(blob.at, blob.size, &name, NULL), OTA_OK);
	for (unsigned i = 0; i < SOURCES; i++) {
		struct store *store = &fixture->stores[i];

		store->blobs[store->count] = blob;
		store->names[store->count] = name;
		store->count++;
	}
	return name;
}

/* --- the slot --- */

static enum ota_err slot_read(void *ctx, enum slot_which which, unsigned part, uint64_t offset,
			      void *ret_bytes, size_t len, struct ota_why *why)
{
	struct fixture *fixture = ctx;
	const struct bytes *from = which == SLOT_RUNNING ? &fixture->base : &fixture->target;

	(void)part;
	if (which == SLOT_RUNNING && fixture->unreadable && offset <= fixture->unreadable &&
	    fixture->unreadable < offset + len)
		return ota_fail(why, OTA_SLOT_ERROR, "input/output error");
	if (offset + len > from->size)
		return ota_fail(why, OTA_SIZE_MISMATCH, "it ends before");
	memcpy(ret_bytes, from->at + offset, len);
	return OTA_OK;
}

static enum ota_err slot_write(void *ctx, unsigned part, uint64_t offset, const void *bytes,
			       size_t len, struct ota_why *why)
{
	struct fixture *fixture = ctx;

	(void)part;
	if (fixture->write_error)
		return ota_fail(why, fixture->write_error, "no room");
	assert_true(offset + len <= IMAGE_SIZE);
	memcpy(fixture->target.at + offset, bytes, len);
	fixture->writes++;
	return OTA_OK;
}

/* --- servers --- */

/* The first store is a server, the second the own connection. */
static unsigned bulk_open(void *ctx, const struct offer_source *urls, unsigned count,
			  const struct source *ret_sources[], struct ota_why *why)
{
	struct fixture *fixture = ctx;

	assert_false(fixture->bulk_is_open);
	(void)urls;
	(void)why;
	fixture->bulk_is_open = true;
	ret_sources[0] = &fixture->stores[0].source;
	return count;
}

static void bulk_close(void *ctx)
{
	struct fixture *fixture = ctx;

	fixture->bulk_is_open = false;
}

static struct offer_source url = {"https://first"};

static void use_bulk(struct fixture *fixture)
{
	fixture->plan.supply = (struct supply_plan){.own = &fixture->stores[1].source,
						    .bulk = &fixture->bulk,
						    .urls = &url,
						    .url_count = 1};
}

/* --- fixture --- */

static struct offer_pack make_pack(struct fixture *fixture, struct bytes base)
{
	const struct pack_write_options options = {.segment_size = SEGMENT, .level = 3};
	struct pack_result result;
	struct bytes pack = fixture_pack(fixture->image, base, &options, &result);
	struct offer_pack offer = {.size = pack.size};

	offer.sha256 = add_blob(fixture, pack);
	if (base.size)
		assert_int_equal(digest_of(base.at, base.size, &offer.base, NULL), OTA_OK);
	return offer;
}

static void make_index(struct fixture *fixture)
{
	struct firmware_component *component = &fixture->component;
	const size_t size = SEGMENTS * DIGEST_SIZE;

	fixture->index = malloc(size);
	for (uint32_t i = 0; i < SEGMENTS; i++) {
		const size_t at = (size_t)i * SEGMENT;
		const size_t len = IMAGE_SIZE - at < SEGMENT ? IMAGE_SIZE - at : SEGMENT;
		struct digest digest;

		assert_int_equal(digest_of(fixture->image.at + at, len, &digest, NULL), OTA_OK);
		memcpy(fixture->index + i * DIGEST_SIZE, digest.bytes, DIGEST_SIZE);
	}
	component->index.size = size;
	component->index.sha256 = add_blob(fixture, (struct bytes){fixture->index, size});
}

static int make(void **state)
{
	struct fixture *fixture = calloc(1, sizeof(*fixture));

	for (unsigned i = 0; i < SOURCES; i++) {
		struct store *store = &fixture->stores[i];

		store->spoilt_blob = -1;
		store->source = (struct source){.ctx = store,
						.name = i ? "second" : "first",
						.ask = store_ask,
						.next = store_next};
	}
	fixture->base = fixture_image(IMAGE_SIZE - 5000, 7);
	fixture_noise(fixture->base, 0, fixture->base.size, 9);
	fixture->image = fixture_image(IMAGE_SIZE, 7);
	memcpy(fixture->image.at, fixture->base.at, fixture->base.size);
	for (uint32_t i = 0; i < SEGMENTS; i += 3)
		fixture_noise(fixture->image, (size_t)i * SEGMENT + 777, 3000, i + 1);
	memset(fixture->image.at + 5 * SEGMENT, 0, SEGMENT);
	fixture->target = fixture_image(IMAGE_SIZE, 3);
	fixture->slots = (struct slots){.ctx = fixture, .read = slot_read, .write = slot_write};
	fixture->component = (struct firmware_component){
		.name = "main", .size = IMAGE_SIZE, .segment_size = SEGMENT};
	assert_int_equal(
		digest_of(fixture->image.at, IMAGE_SIZE, &fixture->component.sha256, NULL),
		OTA_OK);
	make_index(fixture);
	fixture->packs[0] = make_pack(fixture, (struct bytes){NULL, 0});
	fixture->packs[1] = make_pack(fixture, fixture->base);
	fixture->plan = (struct fetch_plan){
		.component = &fixture->component,
		.packs = fixture->packs,
		.pack_count = 2,
		.slots = &fixture->slots,
		.base = fixture->packs[1].base,
		.base_size = fixture->base.size,
		.supply = {.own = &fixture->stores[0].source},
	};
	fixture->bulk = (struct sources){fixture, bulk_open, bulk_close};
	*state = fixture;
	return 0;
}

static int end(void **state)
{
	struct fixture *fixture = *state;

	for (unsigned i = 0; i < fixture->stores[0].count; i++)
		free(fixture->stores[0].blobs[i].at);
	free(fixture->base.at);
	free(fixture->image.at);
	free(fixture->target.at);
	free(fixture);
	return 0;
}

/* Runs a fetch to its end. */
static enum ota_err run(struct fixture *fixture, struct fetch_progress *ret_progress,
			struct ota_why *why)
{
	struct fetch *fetch;
	uint64_t now = 1, next;
	enum ota_err err = fetch_new(&fixture->plan, &fetch, why);

	if (err)
		return err;
	for (int i = 0; i < STEPS_MAX && !err; i++) {
		fetch_progress(fetch, ret_progress);
		if (ret_progress->phase == FETCH_COMPLETE)
			break;
		err = fetch_step(fetch, now, true, &next, why);
		/* Answers come at once; only silence takes time. */
		if (!fixture->stores[0].asked_count && !fixture->stores[1].asked_count)
			now += next < 100000 ? next : 0;
	}
	fetch_progress(fetch, ret_progress);
	fetch_free(fetch);
	assert_false(fixture->bulk_is_open);
	return err;
}

static void assert_fetched(struct fixture *fixture, struct fetch_progress *ret_progress)
{
	struct ota_why why = {0};

	assert_ok(run(fixture, ret_progress, &why), why);
	assert_int_equal(ret_progress->phase, FETCH_COMPLETE);
	assert_int_equal(ret_progress->done, IMAGE_SIZE);
	assert_memory_equal(fixture->target.at, fixture->image.at, IMAGE_SIZE);
}

static void the_pack_against_the_running_image_is_taken(void **state)
{
	struct fixture *fixture = *state;
	struct fetch_progress progress;

	assert_fetched(fixture, &progress);
	assert_true(fixture->packs[1].size < fixture->packs[0].size / 4);
	assert_in_range(progress.fetched, 1, fixture->packs[1].size + SEGMENTS * DIGEST_SIZE);
	assert_int_equal(progress.dropped, 0);
}

static void without_a_verified_base_the_whole_is_fetched(void **state)
{
	struct fixture *fixture = *state;
	struct fetch_progress progress;

	fixture->plan.base_size = 0;
	assert_fetched(fixture, &progress);
	assert_in_range(progress.fetched, fixture->packs[0].size,
			fixture->packs[0].size + SEGMENTS * DIGEST_SIZE);
}

static void what_is_in_the_slot_already_is_not_fetched(void **state)
{
	struct fixture *fixture = *state;
	struct fetch_progress progress;

	fixture->plan.base_size = 0;
	memcpy(fixture->target.at, fixture->image.at, IMAGE_SIZE);
	memset(fixture->target.at + 10 * SEGMENT + 5, 1, 100);
	assert_fetched(fixture, &progress);
	assert_int_equal(fixture->writes, 1);
	/* The index, the pack's head and the group that holds the one segment. */
	assert_in_range(progress.fetched, SEGMENT, fixture->packs[0].size / 2);
	fixture->writes = 0;
	assert_fetched(fixture, &progress);
	assert_int_equal(fixture->writes, 0);
	assert_int_equal(progress.fetched, SEGMENTS * DIGEST_SIZE);
}

static void a_damaged_base_costs_bytes_and_no_more(void **state)
{
	struct fixture *fixture = *state;
	struct fetch_progress progress;

	fixture->base.at[3 * SEGMENT + 9] ^= 1;
	fixture->base.at[9 * SEGMENT + 9] ^= 1;
	assert_fetched(fixture, &progress);
	assert_int_equal(progress.dropped, 1);
	/* The delta, and of the whole pack the groups that hold the two. */
	assert_in_range(progress.fetched, fixture->packs[1].size,
			fixture->packs[1].size + fixture->packs[0].size * 3 / 4);
}

static void an_unreadable_base_costs_bytes_and_no_more(void **state)
{
	struct fixture *fixture = *state;
	struct fetch_progress progress;

	fixture->unreadable = 3 * SEGMENT + 9;
	assert_fetched(fixture, &progress);
	assert_int_equal(progress.dropped, 1);
	assert_in_range(progress.fetched, fixture->packs[1].size,
			fixture->packs[1].size + fixture->packs[0].size * 3 / 4);
}

static void a_pack_that_is_none_is_passed_over(void **state)
{
	struct fixture *fixture = *state;
	struct fetch_progress progress;

	fixture->stores[0].spoilt_blob = 2; /* the delta's header */
	fixture->stores[0].spoilt_to = 8;
	assert_fetched(fixture, &progress);
	assert_int_equal(progress.dropped, 1);
	assert_int_equal(progress.last.err, OTA_SEGMENT_HASH_MISMATCH);
}

static void three_bad_segments_in_a_row_drop_their_source(void **state)
{
	struct fixture *fixture = *state;
	struct fetch_progress progress;

	fixture->plan.base_size = 0;
	use_bulk(fixture);
	fixture->stores[0].spoilt_blob = 1;
	fixture->stores[0].spoilt_from = fixture->packs[0].size / 2;
	fixture->stores[0].spoilt_to = UINT64_MAX;
	assert_fetched(fixture, &progress);
	assert_string_equal(progress.source, "second");
	assert_int_equal(progress.dropped, 1);
	/* What the first one gave well is kept. */
	assert_in_range(fixture->stores[1].served, 1, fixture->packs[0].size - SEGMENT);
}

static void with_no_source_left_the_fetch_fails_by_name(void **state)
{
	struct fixture *fixture = *state;
	struct fetch_progress progress;
	struct ota_why why = {0};

	fixture->plan.base_size = 0;
	fixture->stores[0].spoilt_blob = 1;
	fixture->stores[0].spoilt_from = PACK_HEADER_SIZE + SEGMENTS * PACK_GROUP_ENTRY_SIZE;
	fixture->stores[0].spoilt_to = UINT64_MAX;
	assert_int_equal(run(fixture, &progress, &why), OTA_SEGMENT_HASH_MISMATCH);
	assert_in_range(fixture->writes, 0, 1); /* a zero segment needs no bytes */
}

static void an_index_that_is_not_the_signed_one_is_refused(void **state)
{
	struct fixture *fixture = *state;
	struct fetch_progress progress;
	struct ota_why why = {0};

	fixture->stores[0].spoilt_blob = 0;
	fixture->stores[0].spoilt_to = 1;
	assert_int_equal(run(fixture, &progress, &why), OTA_SEGMENT_HASH_MISMATCH);
	assert_contains(why.text, "first: the index is not the one");
	assert_int_equal(fixture->writes, 0);
	use_bulk(fixture);
	assert_fetched(fixture, &progress);
}

static void a_refusal_goes_on_with_the_next_source(void **state)
{
	struct fixture *fixture = *state;
	struct fetch_progress progress;
	struct ota_why why = {0};

	fixture->stores[0].refuses = true;
	assert_int_equal(run(fixture, &progress, &why), OTA_CHUNK_REFUSED);
	use_bulk(fixture);
	assert_fetched(fixture, &progress);
	assert_string_equal(progress.source, "second");
}

static void silence_goes_on_with_the_next_source(void **state)
{
	struct fixture *fixture = *state;
	struct fetch_progress progress;

	fixture->stores[0].silent = true;
	use_bulk(fixture);
	assert_fetched(fixture, &progress);
	assert_int_equal(progress.last.err, OTA_DOWNLOAD_STALLED);
}

static void what_is_small_comes_over_the_own_connection(void **state)
{
	struct fixture *fixture = *state;
	struct fetch_progress progress;

	use_bulk(fixture);
	fixture->plan.base_size = 0;
	fixture->plan.supply.threshold = fixture->packs[0].size + 1;
	assert_fetched(fixture, &progress);
	assert_string_equal(progress.source, "second");
	assert_int_equal(fixture->stores[0].served, 0);
	memset(fixture->target.at, 3, IMAGE_SIZE);
	fixture->stores[1].served = 0;
	fixture->plan.supply.threshold = fixture->packs[0].size;
	assert_fetched(fixture, &progress);
	assert_string_equal(progress.source, "first");
	/* The index is small, whatever the image is. */
	assert_int_equal(fixture->stores[1].served, SEGMENTS * DIGEST_SIZE);
}

/* A lie now and then is no row of three, and the only pack must still come whole. */
static void every_other_segment_a_lie_costs_the_server_its_place(void **state)
{
	struct fixture *fixture = *state;
	struct fetch_progress progress;

	use_bulk(fixture);
	fixture->plan.pack_count = 1;
	fixture->plan.base_size = 0;
	fixture->stores[0].spoilt_blob = 1;
	fixture->stores[0].spoilt_from = fixture->packs[0].size / 2;
	fixture->stores[0].spoilt_to = fixture->stores[0].spoilt_from + 1;
	assert_fetched(fixture, &progress);
	assert_string_equal(progress.source, "second");
	assert_int_equal(progress.dropped, 1);
}

static void a_lie_in_a_delta_is_not_taken_for_a_damaged_base(void **state)
{
	struct fixture *fixture = *state;
	struct fetch_progress progress;

	use_bulk(fixture);
	fixture->stores[0].spoilt_blob = 2;
	fixture->stores[0].spoilt_from = fixture->packs[1].size / 2;
	fixture->stores[0].spoilt_to = fixture->stores[0].spoilt_from + 8;
	assert_fetched(fixture, &progress);
	assert_string_equal(progress.source, "second");
	/* The delta's few groups again, and nothing of the large pack. */
	assert_in_range(fixture->stores[1].served, 1, fixture->packs[1].size);
}

/* The base is what it is, from whichever source the delta comes. */
static void a_damaged_base_costs_a_server_nothing(void **state)
{
	struct fixture *fixture = *state;
	struct fetch_progress progress;

	use_bulk(fixture);
	fixture->base.at[3 * SEGMENT + 9] ^= 1;
	fixture->base.at[9 * SEGMENT + 9] ^= 1;
	assert_fetched(fixture, &progress);
	assert_string_equal(progress.source, "first");
}

static void a_full_slot_ends_it_with_its_own_name(void **state)
{
	struct fixture *fixture = *state;
	struct fetch_progress progress;
	struct ota_why why = {0};

	use_bulk(fixture);
	fixture->write_error = OTA_INSUFFICIENT_STORAGE;
	assert_int_equal(run(fixture, &progress, &why), OTA_INSUFFICIENT_STORAGE);
	assert_int_equal(fixture->stores[1].served, 0);
}

static void an_offer_without_a_usable_pack_is_refused(void **state)
{
	struct fixture *fixture = *state;
	struct fetch *fetch;
	struct ota_why why = {0};

	fixture->plan.packs = &fixture->packs[1]; /* only the delta, and no base */
	fixture->plan.pack_count = 1;
	fixture->plan.base_size = 0;
	assert_int_equal(fetch_new(&fixture->plan, &fetch, &why), OTA_CHUNK_REFUSED);
}

static void impossible_sizes_are_refused(void **state)
{
	struct fixture *fixture = *state;
	struct fetch *fetch;
	struct ota_why why = {0};

	fixture->component.index.size++;
	assert_int_equal(fetch_new(&fixture->plan, &fetch, &why), OTA_SIZE_MISMATCH);
	fixture->component.index.size--;
	fixture->component.segment_size = 12345;
	assert_int_equal(fetch_new(&fixture->plan, &fetch, &why), OTA_SIZE_MISMATCH);
}

#define FRESH(test) cmocka_unit_test_setup_teardown(test, make, end)

int main(void)
{
	const struct CMUnitTest tests[] = {
		FRESH(the_pack_against_the_running_image_is_taken),
		FRESH(without_a_verified_base_the_whole_is_fetched),
		FRESH(what_is_in_the_slot_already_is_not_fetched),
		FRESH(a_damaged_base_costs_bytes_and_no_more),
		FRESH(an_unreadable_base_costs_bytes_and_no_more),
		FRESH(a_pack_that_is_none_is_passed_over),
		FRESH(three_bad_segments_in_a_row_drop_their_source),
		FRESH(with_no_source_left_the_fetch_fails_by_name),
		FRESH(an_index_that_is_not_the_signed_one_is_refused),
		FRESH(a_refusal_goes_on_with_the_next_source),
		FRESH(silence_goes_on_with_the_next_source),
		FRESH(what_is_small_comes_over_the_own_connection),
		FRESH(every_other_segment_a_lie_costs_the_server_its_place),
		FRESH(a_lie_in_a_delta_is_not_taken_for_a_damaged_base),
		FRESH(a_damaged_base_costs_a_server_nothing),
		FRESH(a_full_slot_ends_it_with_its_own_name),
		FRESH(an_offer_without_a_usable_pack_is_refused),
		FRESH(impossible_sizes_are_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
