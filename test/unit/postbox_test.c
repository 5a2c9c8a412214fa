#include "unit.h"

#include "postbox.h"
#include "place.h"

struct fixture {
	struct place *place;
	struct keep keep;
	struct link link;
	struct postbox postbox;
	uint64_t sent[256];
	unsigned sent_count;
	enum ota_err refuse;
};

static enum ota_err publish(void *ctx, const char *topic, const void *payload, size_t len,
			    int qos, struct ota_why *why)
{
	struct fixture *fixture = ctx;
	struct report report;

	assert_string_equal(topic, "ota/v1/d/d1/report");
	assert_int_equal(qos, 1);
	if (fixture->refuse)
		return ota_fail(why, fixture->refuse, "no");
	assert_ok(report_read(payload, len, &report, why), *why);
	fixture->sent[fixture->sent_count++ % 256] = report.seq;
	json_done(&report_shape, &report);
	return OTA_OK;
}

static int make(void **state)
{
	struct fixture *fixture = calloc(1, sizeof(*fixture));
	void *place;

	if (place_make(&place) ||
	    keep_open(&fixture->keep, disk_posix(), ((struct place *)place)->directory, NULL))
		return -1;
	fixture->place = place;
	fixture->link = (struct link){.ctx = fixture, .publish = publish};
	postbox_init(&fixture->postbox, &fixture->keep, &fixture->link, "d1");
	*state = fixture;
	return 0;
}

static int end(void **state)
{
	struct fixture *fixture = *state;
	void *place = fixture->place;

	keep_done(&fixture->keep);
	free(fixture);
	return place_remove(&place);
}

static uint64_t add(struct fixture *fixture, enum update_state at, enum keep_report_kind kind)
{
	struct report report = {
		.release = 3, .attempt = 2, .state = at, .version = "1.0", .digest = {{1}}};
	struct ota_why why;

	assert_ok(postbox_add(&fixture->postbox, &report, kind, &why), why);
	return report.seq;
}

static uint64_t tick(struct fixture *fixture, uint64_t now)
{
	struct ota_why why;
	uint64_t next;

	assert_ok(postbox_tick(&fixture->postbox, now, &next, &why), why);
	return next;
}

static void reports_wait_for_a_connection_and_go_out_in_order(void **state)
{
	struct fixture *fixture = *state;

	for (int i = 0; i < 5; i++)
		add(fixture, UPDATE_DOWNLOADED, KEEP_STEP);
	assert_int_equal(tick(fixture, 1), UINT64_MAX);
	assert_int_equal(fixture->sent_count, 0);
	postbox_online(&fixture->postbox, true);
	tick(fixture, 2);
	assert_int_equal(fixture->sent_count, 5);
	for (unsigned i = 1; i < 5; i++)
		assert_true(fixture->sent[i] > fixture->sent[i - 1]);
	tick(fixture, 3);
	assert_int_equal(fixture->sent_count, 5);
}

static void they_are_sent_again_until_they_are_acknowledged(void **state)
{
	struct fixture *fixture = *state;
	const uint64_t seq = add(fixture, UPDATE_SUCCEEDED, KEEP_FINAL);
	struct ota_why why;

	postbox_online(&fixture->postbox, true);
	assert_int_equal(tick(fixture, 1000), POSTBOX_RESEND_MS);
	tick(fixture, 1000 + POSTBOX_RESEND_MS);
	assert_int_equal(fixture->sent_count, 2);
	postbox_online(&fixture->postbox, false);
	postbox_online(&fixture->postbox, true); /* a new connection */
	tick(fixture, 1001 + POSTBOX_RESEND_MS);
	assert_int_equal(fixture->sent_count, 3);
	assert_ok(postbox_ack(&fixture->postbox, &seq, 1, 90000, &why), why);
	assert_int_equal(tick(fixture, 900000), UINT64_MAX);
	assert_int_equal(fixture->sent_count, 3);
}

static void only_a_window_of_them_is_under_way(void **state)
{
	struct fixture *fixture = *state;
	struct ota_why why;

	for (int i = 0; i < 40; i++)
		add(fixture, UPDATE_DOWNLOADED, KEEP_STEP);
	postbox_online(&fixture->postbox, true);
	tick(fixture, 1);
	assert_int_equal(fixture->sent_count, POSTBOX_WINDOW);
	assert_ok(postbox_ack(&fixture->postbox, fixture->sent, 10, 2, &why), why);
	tick(fixture, 2);
	assert_int_equal(fixture->sent_count, POSTBOX_WINDOW + 10);
}

static void a_link_that_is_full_is_tried_again(void **state)
{
	struct fixture *fixture = *state;
	struct ota_why why;
	uint64_t next;

	add(fixture, UPDATE_DOWNLOADED, KEEP_STEP);
	postbox_online(&fixture->postbox, true);
	fixture->refuse = OTA_BUSY;
	assert_int_equal(postbox_tick(&fixture->postbox, 1, &next, &why), OTA_BUSY);
	fixture->refuse = OTA_OK;
	tick(fixture, 2);
	assert_int_equal(fixture->sent_count, 1);
}

static void progress_is_sent_at_once_or_not_at_all(void **state)
{
	struct fixture *fixture = *state;

	add(fixture, UPDATE_DOWNLOADING, KEEP_PROGRESS);
	assert_int_equal(fixture->sent_count, 0);
	postbox_online(&fixture->postbox, true);
	add(fixture, UPDATE_DOWNLOADING, KEEP_PROGRESS);
	assert_int_equal(fixture->sent_count, 1);
	assert_int_equal(fixture->keep.report_count, 0);
}

static void numbers_go_on_after_a_restart(void **state)
{
	struct fixture *fixture = *state;
	const uint64_t before = add(fixture, UPDATE_DOWNLOADED, KEEP_STEP);

	keep_done(&fixture->keep);
	assert_int_equal(
		keep_open(&fixture->keep, disk_posix(), fixture->place->directory, NULL),
		OTA_OK);
	postbox_init(&fixture->postbox, &fixture->keep, &fixture->link, "d1");
	assert_true(add(fixture, UPDATE_VERIFIED, KEEP_STEP) > before);
	postbox_online(&fixture->postbox, true);
	tick(fixture, 1);
	assert_int_equal(fixture->sent_count, 2);
	assert_int_equal(fixture->sent[0], before);
}

static void a_final_report_of_an_attempt_is_remembered(void **state)
{
	struct fixture *fixture = *state;

	add(fixture, UPDATE_DOWNLOADED, KEEP_STEP);
	assert_false(postbox_has_final(&fixture->postbox, 3, 2));
	add(fixture, UPDATE_FAILED, KEEP_FINAL);
	assert_true(postbox_has_final(&fixture->postbox, 3, 2));
	assert_false(postbox_has_final(&fixture->postbox, 3, 3));
	assert_false(postbox_has_final(&fixture->postbox, 4, 2));
}

#define FRESH(test) cmocka_unit_test_setup_teardown(test, make, end)

int main(void)
{
	const struct CMUnitTest tests[] = {
		FRESH(reports_wait_for_a_connection_and_go_out_in_order),
		FRESH(they_are_sent_again_until_they_are_acknowledged),
		FRESH(only_a_window_of_them_is_under_way),
		FRESH(a_link_that_is_full_is_tried_again),
		FRESH(progress_is_sent_at_once_or_not_at_all),
		FRESH(numbers_go_on_after_a_restart),
		FRESH(a_final_report_of_an_attempt_is_remembered),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
