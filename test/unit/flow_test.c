#include "unit.h"

#include "flow.h"

#define CHUNKS 40u

/* A source that only notes what it is asked, and a taker that notes what it gets. */
struct fixture {
	struct flow flow;
	struct source source;
	uint32_t asked[512], asked_count;
	uint32_t got[CHUNKS + 1], got_count;
	unsigned gets;
	bool needed[CHUNKS];
	uint8_t data[MESSAGE_CHUNK_SIZE];
	enum ota_err refuse;
};

static enum ota_err ask(void *ctx, uint32_t transfer, const struct digest *blob, uint64_t size,
			const struct get_range *ranges, unsigned count, struct ota_why *why)
{
	struct fixture *fixture = ctx;

	(void)transfer;
	(void)blob;
	(void)size;
	(void)why;
	fixture->gets++;
	assert_in_range(count, 1, MESSAGE_RANGES_MAX);
	for (unsigned i = 0; i < count; i++) {
		for (uint32_t k = 0; k < ranges[i].count; k++)
			fixture->asked[fixture->asked_count++ % 512] = ranges[i].first + k;
	}
	return OTA_OK;
}

static uint32_t need(void *ctx, uint32_t from)
{
	const struct fixture *fixture = ctx;

	for (uint32_t i = from; i < CHUNKS; i++) {
		if (fixture->needed[i])
			return i;
	}
	return FLOW_NO_CHUNK;
}

static enum ota_err deliver(void *ctx, uint32_t number, const uint8_t *data, size_t len,
			    struct ota_why *why)
{
	struct fixture *fixture = ctx;

	assert_int_equal(len, MESSAGE_CHUNK_SIZE);
	assert_int_equal(data[0], (uint8_t)number);
	if (fixture->refuse)
		return ota_fail(why, fixture->refuse, "chunk %u is bad", number);
	fixture->got[fixture->got_count++] = number;
	return OTA_OK;
}

static int make(void **state)
{
	struct fixture *fixture = calloc(1, sizeof(*fixture));
	const struct flow_seam seam = {fixture, need, deliver};
	const struct digest blob = {{1}};

	fixture->source = (struct source){.ctx = fixture, .name = "test", .ask = ask};
	for (unsigned i = 0; i < CHUNKS; i++)
		fixture->needed[i] = true;
	flow_start(&fixture->flow, &seam, &fixture->source, &blob,
		   (uint64_t)CHUNKS * MESSAGE_CHUNK_SIZE, 7, false);
	*state = fixture;
	return 0;
}

static int end(void **state)
{
	struct fixture *fixture = *state;

	flow_done(&fixture->flow);
	free(fixture);
	return 0;
}

static uint64_t tick(struct fixture *fixture, uint64_t now)
{
	struct ota_why why;
	uint64_t next;

	assert_ok(flow_tick(&fixture->flow, now, &next, &why), why);
	return next;
}

static enum ota_err answer(struct fixture *fixture, uint64_t now, uint32_t number,
			   struct ota_why *why)
{
	fixture->data[0] = (uint8_t)number;
	const struct source_answer chunk = {.kind = CHUNK_DATA,
					    .transfer = 7,
					    .number = number,
					    .data = fixture->data,
					    .len = MESSAGE_CHUNK_SIZE};

	return flow_answer(&fixture->flow, now, &chunk, why);
}

static void give(struct fixture *fixture, uint64_t now, uint32_t number)
{
	struct ota_why why;

	assert_ok(answer(fixture, now, number, &why), why);
}

static void the_first_request_fills_the_window(void **state)
{
	struct fixture *fixture = *state;

	assert_int_equal(tick(fixture, 1000), FLOW_TIMEOUT_START);
	assert_int_equal(fixture->asked_count, FLOW_WINDOW_START);
	assert_int_equal(fixture->gets, 1);
	tick(fixture, 1001);
	assert_int_equal(fixture->asked_count, FLOW_WINDOW_START);
}

static void everything_comes_once_and_in_order(void **state)
{
	struct fixture *fixture = *state;
	uint32_t answered = 0;

	for (uint64_t now = 1; fixture->got_count < CHUNKS && now < 1000; now++) {
		tick(fixture, now);
		if (answered < fixture->asked_count)
			give(fixture, now, fixture->asked[answered++]);
	}
	assert_int_equal(fixture->got_count, CHUNKS);
	for (uint32_t i = 0; i < CHUNKS; i++)
		assert_int_equal(fixture->got[i], i);
	assert_int_equal(fixture->asked_count, CHUNKS);
	assert_true(flow_is_idle(&fixture->flow));
	/* Half a window at a time: fewer requests than chunks. */
	assert_in_range(fixture->gets, 1, CHUNKS / 2 + 1);
	assert_in_range(fixture->flow.window, FLOW_WINDOW_MAX - 1, FLOW_WINDOW_MAX);
}

static void early_chunks_wait_for_the_one_that_was_lost(void **state)
{
	struct fixture *fixture = *state;

	tick(fixture, 1);
	give(fixture, 2, 1);
	give(fixture, 2, 2);
	assert_int_equal(fixture->got_count, 0);
	/* Answers come in order, so chunk 0 is lost: it is asked for again at once. */
	tick(fixture, 3);
	assert_int_equal(fixture->asked[FLOW_WINDOW_START], 0);
	give(fixture, 4, 0);
	assert_int_equal(fixture->got_count, 3);
}

static void a_chunk_that_comes_twice_counts_once(void **state)
{
	struct fixture *fixture = *state;

	tick(fixture, 1);
	give(fixture, 2, 0);
	give(fixture, 2, 0);
	give(fixture, 2, 2);
	give(fixture, 2, 2);
	give(fixture, 2, 30); /* never asked */
	assert_int_equal(fixture->got_count, 1);
	give(fixture, 2, 1);
	assert_int_equal(fixture->got_count, 3);
}

static void only_what_is_needed_is_asked_for(void **state)
{
	struct fixture *fixture = *state;

	memset(fixture->needed, 0, sizeof(fixture->needed));
	fixture->needed[3] = fixture->needed[4] = fixture->needed[20] = true;
	tick(fixture, 1);
	assert_int_equal(fixture->asked_count, 3);
	give(fixture, 2, 3);
	give(fixture, 2, 4);
	give(fixture, 2, 20);
	assert_int_equal(fixture->got_count, 3);
	assert_true(flow_is_idle(&fixture->flow));
}

static void silence_makes_it_patient_and_then_gives_up(void **state)
{
	struct fixture *fixture = *state;
	uint64_t now = 1, next = 0, longest = 0;
	struct ota_why why;
	enum ota_err err = OTA_OK;

	for (int i = 0; i < 100 && !err; i++) {
		err = flow_tick(&fixture->flow, now, &next, &why);
		if (!err) {
			assert_in_range(next, 1, FLOW_TIMEOUT_MAX);
			longest = next > longest ? next : longest;
			now += next;
		}
	}
	assert_int_equal(err, OTA_DOWNLOAD_STALLED);
	assert_int_equal(longest, FLOW_TIMEOUT_MAX);
	assert_int_equal(fixture->flow.window, FLOW_WINDOW_MIN);
	assert_in_range(now, 5 * 60000, 15 * 60000);
}

/* Gives the next chunk after so long, and tops the window up. */
static void give_after(struct fixture *fixture, uint64_t *now, uint64_t ms)
{
	*now += ms;
	give(fixture, *now, fixture->got_count);
	tick(fixture, *now);
}

static void patience_is_as_long_as_answers_take(void **state)
{
	struct fixture *fixture = *state;
	uint64_t now = 1000;

	tick(fixture, now);
	for (int i = 0; i < 12; i++)
		give_after(fixture, &now, 1);
	assert_int_equal(fixture->flow.timeout_ms, FLOW_TIMEOUT_MIN);
	/* A chunk every three seconds, several outstanding: each takes six or more. */
	for (int i = 0; i < 16; i++)
		give_after(fixture, &now, 3000);
	assert_in_range(fixture->flow.timeout_ms, 6001, FLOW_TIMEOUT_MAX);
}

static void an_answer_to_one_of_two_questions_tells_no_time(void **state)
{
	struct fixture *fixture = *state;
	uint64_t now = 1000;

	tick(fixture, now);
	for (int i = 0; i < 6; i++)
		give_after(fixture, &now, 1);
	const uint64_t trip_ms = fixture->flow.trip_ms;
	now += 50000; /* everything outstanding is asked for again */
	tick(fixture, now);
	const uint64_t timeout_ms = fixture->flow.timeout_ms;
	assert_int_equal(timeout_ms, 2 * FLOW_TIMEOUT_MIN);
	give(fixture, now + 1, fixture->got_count);
	assert_int_equal(fixture->flow.trip_ms, trip_ms);
	assert_int_equal(fixture->flow.timeout_ms, timeout_ms);
}

/* Within one millisecond everything happens at once, and only the order of the questions
 * counts.
 */
static void what_is_asked_again_is_not_taken_for_lost_at_once(void **state)
{
	struct fixture *fixture = *state;

	tick(fixture, 1);
	give(fixture, 1, 1); /* 0 is lost */
	tick(fixture, 1);    /* and asked for again, behind 2 and 3 */
	const uint32_t asked = fixture->asked_count;
	give(fixture, 1, 2);
	give(fixture, 1, 3);
	tick(fixture, 1);
	assert_int_equal(fixture->asked_count, asked);
	give(fixture, 1, 0);
	assert_int_equal(fixture->got_count, 4);
}

static void an_answer_ends_the_count_of_silences(void **state)
{
	struct fixture *fixture = *state;
	uint64_t now = 1;

	for (uint32_t i = 0; i < 3 * FLOW_STALL_TIMEOUTS; i++) {
		now += FLOW_TIMEOUT_MAX;
		tick(fixture, now);
		if (i % (FLOW_STALL_TIMEOUTS - 2) == 0)
			give(fixture, now, fixture->got_count);
	}
	assert_in_range(fixture->got_count, 3, CHUNKS);
}

static void a_busy_plugin_is_waited_for_as_long_as_it_says(void **state)
{
	struct fixture *fixture = *state;
	const struct source_answer wait = {.kind = CHUNK_WAIT, .transfer = 7, .number = 2500};
	struct ota_why why;

	tick(fixture, 1);
	assert_ok(flow_answer(&fixture->flow, 100, &wait, &why), why);
	assert_int_equal(tick(fixture, 100), 2500);
	assert_int_equal(tick(fixture, 2599), 1);
	assert_int_equal(fixture->asked_count, FLOW_WINDOW_START);
	tick(fixture, 2600);
	assert_in_range(fixture->asked_count, FLOW_WINDOW_START + 1, 2 * FLOW_WINDOW_START);
}

static void a_refusal_is_an_error_with_its_name(void **state)
{
	struct fixture *fixture = *state;
	const struct source_answer refused = {
		.kind = CHUNK_REFUSED, .transfer = 7, .number = 3, .err = OTA_NOT_FOUND};
	struct ota_why why;

	tick(fixture, 1);
	assert_int_equal(flow_answer(&fixture->flow, 1, &refused, &why), OTA_CHUNK_REFUSED);
	assert_string_equal(why.text, "test refuses chunk 3: not_found");
}

static void answers_to_another_transfer_are_nothing(void **state)
{
	struct fixture *fixture = *state;
	const struct source_answer other = {.kind = CHUNK_REFUSED, .transfer = 8};
	struct ota_why why;

	tick(fixture, 1);
	assert_ok(flow_answer(&fixture->flow, 1, &other, &why), why);
}

static void a_chunk_of_the_wrong_length_is_as_good_as_lost(void **state)
{
	struct fixture *fixture = *state;
	const struct source_answer shorter = {.kind = CHUNK_DATA,
					      .transfer = 7,
					      .number = 0,
					      .data = fixture->data,
					      .len = 100};
	struct ota_why why;

	tick(fixture, 1);
	assert_ok(flow_answer(&fixture->flow, 2, &shorter, &why), why);
	assert_int_equal(fixture->got_count, 0);
	give(fixture, 3, 0);
	assert_int_equal(fixture->got_count, 1);
}

static void after_a_new_connection_everything_is_asked_again(void **state)
{
	struct fixture *fixture = *state;

	tick(fixture, 1);
	give(fixture, 2, 2);
	flow_again(&fixture->flow);
	tick(fixture, 3);
	assert_int_equal(fixture->asked_count, FLOW_WINDOW_START + 3); /* all but 2 */
}

static void the_byte_rate_is_kept(void **state)
{
	struct fixture *fixture = *state;
	uint32_t answered = 0;
	uint64_t now = 1, ended = 0;

	fixture->flow.rate = 4 * MESSAGE_CHUNK_SIZE;
	while (fixture->got_count < CHUNKS && now < 100000) {
		uint64_t next = tick(fixture, now);

		if (answered < fixture->asked_count) {
			give(fixture, now, fixture->asked[answered++]);
			ended = now;
		} else {
			assert_in_range(next, 1, FLOW_TIMEOUT_MAX);
			now += next;
		}
	}
	/* 40 chunks at 4 a second, one second's worth of them at once. */
	assert_in_range(ended, 8500, 10500);
}

static void what_the_taker_refuses_ends_the_transfer(void **state)
{
	struct fixture *fixture = *state;
	struct ota_why why;

	tick(fixture, 1);
	fixture->refuse = OTA_SEGMENT_HASH_MISMATCH;
	assert_int_equal(answer(fixture, 2, 0, &why), OTA_SEGMENT_HASH_MISMATCH);
	assert_string_equal(why.text, "chunk 0 is bad");
}

#define FRESH(test) cmocka_unit_test_setup_teardown(test, make, end)

int main(void)
{
	const struct CMUnitTest tests[] = {
		FRESH(the_first_request_fills_the_window),
		FRESH(everything_comes_once_and_in_order),
		FRESH(early_chunks_wait_for_the_one_that_was_lost),
		FRESH(a_chunk_that_comes_twice_counts_once),
		FRESH(only_what_is_needed_is_asked_for),
		FRESH(silence_makes_it_patient_and_then_gives_up),
		FRESH(patience_is_as_long_as_answers_take),
		FRESH(an_answer_to_one_of_two_questions_tells_no_time),
		FRESH(what_is_asked_again_is_not_taken_for_lost_at_once),
		FRESH(an_answer_ends_the_count_of_silences),
		FRESH(a_busy_plugin_is_waited_for_as_long_as_it_says),
		FRESH(a_refusal_is_an_error_with_its_name),
		FRESH(answers_to_another_transfer_are_nothing),
		FRESH(a_chunk_of_the_wrong_length_is_as_good_as_lost),
		FRESH(after_a_new_connection_everything_is_asked_again),
		FRESH(the_byte_rate_is_kept),
		FRESH(what_the_taker_refuses_ends_the_transfer),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
