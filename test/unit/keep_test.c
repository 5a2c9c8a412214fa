#include "unit.h"

#include "keep.h"
#include "own.h"
#include "place.h"

static void open_keep(struct keep *keep, const struct place *place)
{
	struct ota_why why;

	assert_ok(keep_open(keep, disk_posix(), place_path(place, "state"), &why), why);
}

static uint64_t add(struct keep *keep, enum keep_report_kind kind, const char *payload)
{
	uint64_t seq;
	struct ota_why why;

	assert_ok(keep_report_seq(keep, &seq, &why), why);
	assert_ok(keep_report_add(keep, seq, kind, payload, strlen(payload), &why), why);
	return seq;
}

static void envelopes_come_back_in_their_exact_bytes(void **state)
{
	static const char bytes[] = "{\n  \"payload\": \"\\u0041\" }  \n";
	struct keep keep;
	struct ota_why why;
	size_t len;

	open_keep(&keep, *state);
	for (unsigned item = 0; item < KEEP_ITEM_COUNT; item++) {
		AUTO_FREE char *back = NULL;
		assert_int_equal(keep_get(&keep, item, &back, &len, &why), OTA_NOT_FOUND);
		assert_ok(keep_put(&keep, item, bytes, sizeof(bytes), &why), why);
		assert_ok(keep_get(&keep, item, &back, &len, &why), why);
		assert_int_equal(len, sizeof(bytes));
		assert_memory_equal(back, bytes, len);
	}
	assert_ok(keep_remove(&keep, KEEP_OFFER, &why), why);
	assert_ok(keep_remove(&keep, KEEP_OFFER, &why), why);
	AUTO_FREE char *none = NULL;
	assert_int_equal(keep_get(&keep, KEEP_OFFER, &none, &len, &why), OTA_NOT_FOUND);
	keep_done(&keep);
}

static void what_is_too_large_is_not_kept(void **state)
{
	struct keep keep;
	struct ota_why why;
	AUTO_FREE char *large = calloc(1, KEEP_OFFER_MAX + 1);

	open_keep(&keep, *state);
	assert_int_equal(keep_put(&keep, KEEP_ROOT, large, ENVELOPE_SIZE_MAX + 1, &why),
			 OTA_TOO_LARGE);
	assert_string_equal(why.text, "'root' has 65537 bytes, at most 65536 are kept");
	assert_int_equal(keep_put(&keep, KEEP_OFFER, large, KEEP_OFFER_MAX + 1, &why),
			 OTA_TOO_LARGE);
	keep_done(&keep);
}

static void the_floor_only_rises(void **state)
{
	struct keep keep;
	struct ota_why why;

	open_keep(&keep, *state);
	assert_ok(keep_floor_raise(&keep, &(struct keep_floor){5, 10, 1000}, &why), why);
	assert_ok(keep_floor_raise(&keep, &(struct keep_floor){3, 12, 0}, &why), why);
	assert_false(keep.floor_lost);
	keep_done(&keep);
	open_keep(&keep, *state);
	assert_int_equal(keep.floor.security_version, 5);
	assert_int_equal(keep.floor.number, 12);
	assert_int_equal(keep.floor.time, 1000);
	keep_done(&keep);
}

static void a_report_number_is_given_out_once(void **state)
{
	struct keep keep;
	struct ota_why why;
	uint64_t last = 0;

	for (unsigned life = 0; life < 5; life++) {
		open_keep(&keep, *state);
		for (unsigned i = 0; i < 100; i++) {
			uint64_t seq;
			assert_ok(keep_report_seq(&keep, &seq, &why), why);
			assert_true(seq > last);
			last = seq;
		}
		keep_done(&keep);
	}
}

static void reports_wait_in_order_until_acknowledged(void **state)
{
	struct keep keep;
	struct ota_why why;
	uint64_t seqs[3];
	size_t len;

	open_keep(&keep, *state);
	seqs[0] = add(&keep, KEEP_STEP, "one");
	seqs[1] = add(&keep, KEEP_PROGRESS, "two");
	seqs[2] = add(&keep, KEEP_FINAL, "three");
	keep_done(&keep);
	open_keep(&keep, *state);
	assert_int_equal(keep.report_count, 3);
	for (unsigned i = 0; i < 3; i++)
		assert_int_equal(keep.reports[i].seq, seqs[i]);
	assert_int_equal(keep.reports[1].kind, KEEP_PROGRESS);
	AUTO_FREE char *payload = NULL;
	assert_ok(keep_report_read(&keep, 2, &payload, &len, &why), why);
	assert_string_equal(payload, "three");
	const uint64_t acked[] = {seqs[1], 4711};
	assert_ok(keep_report_ack(&keep, acked, 2, &why), why);
	keep_done(&keep);
	open_keep(&keep, *state);
	assert_int_equal(keep.report_count, 2);
	assert_int_equal(keep.reports[0].seq, seqs[0]);
	assert_int_equal(keep.reports[1].seq, seqs[2]);
	keep_done(&keep);
}

static void a_full_queue_drops_the_oldest_progress_and_never_a_final(void **state)
{
	struct keep keep;
	struct ota_why why;
	uint64_t seq;

	open_keep(&keep, *state);
	uint64_t first = add(&keep, KEEP_FINAL, "f");
	uint64_t step = add(&keep, KEEP_STEP, "s");
	uint64_t progress = add(&keep, KEEP_PROGRESS, "p");
	while (keep.report_count < KEEP_REPORTS_MAX)
		add(&keep, KEEP_FINAL, "f");
	add(&keep, KEEP_FINAL, "f");
	for (unsigned i = 0; i < keep.report_count; i++)
		assert_true(keep.reports[i].seq != progress);
	add(&keep, KEEP_PROGRESS, "its own victim");
	assert_int_equal(keep.reports[1].seq, step);
	add(&keep, KEEP_FINAL, "f");
	assert_int_equal(keep.reports[0].seq, first);
	assert_true(keep.reports[1].seq != step);
	assert_int_equal(keep.dropped, 3);
	assert_ok(keep_report_seq(&keep, &seq, &why), why);
	assert_int_equal(keep_report_add(&keep, seq, KEEP_FINAL, "f", 1, &why),
			 OTA_INSUFFICIENT_STORAGE);
	assert_int_equal(keep.report_count, KEEP_REPORTS_MAX);
	keep_done(&keep);
}

static void a_number_that_was_not_given_out_is_refused(void **state)
{
	struct keep keep;
	struct ota_why why;

	open_keep(&keep, *state);
	uint64_t seq = add(&keep, KEEP_STEP, "x");
	assert_int_equal(keep_report_add(&keep, seq, KEEP_STEP, "x", 1, &why), OTA_INTERNAL);
	assert_int_equal(keep_report_add(&keep, seq + 1, KEEP_STEP, "x", 1, &why),
			 OTA_INTERNAL);
	assert_int_equal(keep_report_add(&keep, 0, KEEP_STEP, "x", 1, &why), OTA_INTERNAL);
	keep_done(&keep);
}

static void a_half_made_report_is_swept(void **state)
{
	struct keep keep;

	open_keep(&keep, *state);
	add(&keep, KEEP_STEP, "x");
	keep_done(&keep);
	place_write(*state, "state/reports/00000000000000000007-s.new", "x", 1);
	open_keep(&keep, *state);
	assert_int_equal(keep.report_count, 1);
	assert_int_not_equal(
		access(place_path(*state, "state/reports/00000000000000000007-s.new"), F_OK),
		0);
	keep_done(&keep);
}

static void numbers_go_on_behind_the_reports_when_the_record_is_lost(void **state)
{
	static const char garbage[8192] = "garbage";
	struct keep keep;
	struct ota_why why;
	uint64_t last = 0, seq;

	open_keep(&keep, *state);
	for (unsigned i = 0; i < 70; i++)
		last = add(&keep, KEEP_STEP, "x");
	keep_done(&keep);
	place_write(*state, "state/seq", garbage, sizeof(garbage));
	open_keep(&keep, *state);
	assert_ok(keep_report_seq(&keep, &seq, &why), why);
	assert_true(seq > last);
	keep_done(&keep);
}

#define IN_PLACE(test) cmocka_unit_test_setup_teardown(test, place_make, place_remove)

int main(void)
{
	const struct CMUnitTest tests[] = {
		IN_PLACE(envelopes_come_back_in_their_exact_bytes),
		IN_PLACE(what_is_too_large_is_not_kept),
		IN_PLACE(the_floor_only_rises),
		IN_PLACE(a_report_number_is_given_out_once),
		IN_PLACE(reports_wait_in_order_until_acknowledged),
		IN_PLACE(a_full_queue_drops_the_oldest_progress_and_never_a_final),
		IN_PLACE(a_number_that_was_not_given_out_is_refused),
		IN_PLACE(a_half_made_report_is_swept),
		IN_PLACE(numbers_go_on_behind_the_reports_when_the_record_is_lost),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
