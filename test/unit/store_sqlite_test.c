#include "unit.h"

#include "own.h"
#include "place.h"
#include "store_sqlite.h"

struct world {
	struct place *place;
	struct worker *worker;
	struct store_sqlite *sqlite;
	struct store *store;
	struct ota_why why;
	/* what poll() has told */
	uint64_t saved;
	enum ota_err last_err;
	struct store_row rows[STORE_PAGE_MAX];
	uint32_t row_count;
	bool answered, more;
	struct store_audit_state audit;
};

static void open_store(struct world *w)
{
	assert_ok(worker_new(&w->worker, &w->why), w->why);
	assert_ok(store_sqlite_open(w->place->directory, w->worker, &w->sqlite, &w->why),
		  w->why);
	w->store = store_sqlite_store(w->sqlite);
}

static void close_store(struct world *w)
{
	worker_free(w->worker);
	store_sqlite_close(w->sqlite);
	w->worker = NULL;
	w->sqlite = NULL;
}

static int set_up(void **state)
{
	struct world *w = calloc(1, sizeof(*w));

	if (place_make((void **)&w->place))
		return -1;
	open_store(w);
	assert_ok(worker_start(w->worker, &w->why), w->why);
	*state = w;
	return 0;
}

static void drop_rows(struct world *w)
{
	for (uint32_t i = 0; i < w->row_count; i++)
		store_row_done(&w->rows[i]);
	w->row_count = 0;
}

static int tear_down(void **state)
{
	struct world *w = *state;

	drop_rows(w);
	close_store(w);
	void *place = w->place;
	free(w);
	return place_remove(&place);
}

static void saved(void *ctx, uint64_t ticket, enum ota_err err, const struct ota_why *why)
{
	struct world *w = ctx;

	assert_true(ticket > w->saved);
	w->saved = ticket;
	w->last_err = err;
	if (err)
		w->why = *why;
}

static void answered(void *ctx, uint64_t ticket, const struct store_page *page,
		     enum ota_err err, const struct ota_why *why)
{
	struct world *w = ctx;

	(void)ticket;
	if (err)
		fail_msg("%s", why->text);
	drop_rows(w);
	for (uint32_t i = 0; i < page->count; i++)
		assert_ok(store_row_copy(&page->rows[i], &w->rows[i], &w->why), w->why);
	w->row_count = page->count;
	w->more = page->more;
	w->answered = true;
}

static struct store_poll poll_of(struct world *w)
{
	return (struct store_poll){.ctx = w, .saved = saved, .answered = answered};
}

static void wait_saved(struct world *w, uint64_t ticket)
{
	const struct store_poll to = poll_of(w);

	for (unsigned i = 0; i < 20000 && w->saved < ticket; i++) {
		w->store->poll(w->store->ctx, &to);
		usleep(1000);
	}
	assert_int_equal(w->saved, ticket);
}

static void write_rows(struct world *w, const struct store_row *rows, size_t count)
{
	uint64_t ticket;

	assert_ok(w->store->write(w->store->ctx, rows, count, &ticket, &w->why), w->why);
	wait_saved(w, ticket);
	assert_int_equal(w->last_err, OTA_OK);
}

static void ask(struct world *w, const struct store_query *query)
{
	const struct store_poll to = poll_of(w);
	uint64_t ticket;

	w->answered = false;
	assert_ok(w->store->ask(w->store->ctx, query, &ticket, &w->why), w->why);
	for (unsigned i = 0; i < 20000 && !w->answered; i++) {
		w->store->poll(w->store->ctx, &to);
		usleep(1000);
	}
	assert_true(w->answered);
}

static void restart(struct world *w)
{
	close_store(w);
	w->saved = 0;
	open_store(w);
}

static bool keep_row(void *ctx, const struct store_row *row)
{
	struct world *w = ctx;

	assert_ok(store_row_copy(row, &w->rows[w->row_count++], &w->why), w->why);
	return true;
}

static void load(struct world *w, enum store_kind kind)
{
	drop_rows(w);
	assert_ok(w->store->load(w->store->ctx, kind, keep_row, w, &w->why), w->why);
}

/* Something in every member, so that a column that is lost or mixed up is seen. */
static struct store_row full_row(enum store_kind kind)
{
	static const struct offer_pack packs[2] = {
		{.sha256 = {{1}}, .size = UINT64_C(1) << 40, .base = {{0}}},
		{.sha256 = {{2}}, .size = 2, .base = {{3}}},
	};
	struct store_row row = {.kind = kind};

	if (kind == STORE_DEVICE)
		row.device = (struct store_device){.id = "d1",
						   .product = "thermo",
						   .status = DEVICE_APPROVED,
						   .development = true,
						   .updates_disabled = true,
						   .pin = "2.0",
						   .notes = "a 'quoted' note",
						   .hardware = "h",
						   .version = "1.0",
						   .digest = {{7}},
						   .security_version = 1,
						   .floor = 2,
						   .root = 3,
						   .number = 4,
						   .slot_size = UINT64_C(1) << 52,
						   .previous = {{8}},
						   .first_ms = 5,
						   .seen_ms = 6};
	else if (kind == STORE_FIRMWARE)
		row.firmware = (struct store_firmware){.product = "thermo",
						       .version = "2.0",
						       .digest = {{9}},
						       .development = true,
						       .envelope = "{\"x\":1}",
						       .packs = packs,
						       .pack_count = 2,
						       .created_ms = 10,
						       .proven = true};
	else
		row.update = (struct store_update){.device = "d1",
						   .product = "thermo",
						   .release = 1,
						   .attempt = 2,
						   .seq = 3,
						   .state = UPDATE_FAILED,
						   .wave = 4,
						   .failures = 5,
						   .round = 6,
						   .flags = 7,
						   .done = 8,
						   .total = 9,
						   .error = 10,
						   .error_state = UPDATE_TRIAL,
						   .error_detail = 11,
						   .error_message = "why",
						   .created_ms = 12,
						   .changed_ms = 13,
						   .due_ms = 14};
	return row;
}

static void rows_come_back_as_they_were_written(void **state)
{
	struct world *w = *state;
	struct store_row device = full_row(STORE_DEVICE), firmware = full_row(STORE_FIRMWARE),
			 update = full_row(STORE_UPDATE);
	struct store_row rows[] = {device, firmware, update};

	write_rows(w, rows, 3);
	restart(w);
	load(w, STORE_DEVICE);
	assert_int_equal(w->row_count, 1);
	assert_string_equal(w->rows[0].device.notes, device.device.notes);
	free((void *)(uintptr_t)w->rows[0].device.notes);
	device.device.notes = w->rows[0].device.notes = NULL;
	assert_memory_equal(&w->rows[0].device, &device.device, sizeof(device.device));
	load(w, STORE_FIRMWARE);
	assert_string_equal(w->rows[0].firmware.envelope, "{\"x\":1}");
	assert_int_equal(w->rows[0].firmware.pack_count, 2);
	assert_memory_equal(w->rows[0].firmware.packs, firmware.firmware.packs,
			    2 * sizeof(struct offer_pack));
	assert_true(w->rows[0].firmware.proven && w->rows[0].firmware.development);
	load(w, STORE_UPDATE);
	assert_string_equal(w->rows[0].update.error_message, "why");
	assert_int_equal(w->rows[0].update.due_ms, 14);
	assert_int_equal(w->rows[0].update.error_state, UPDATE_TRIAL);
}

static void a_row_of_the_same_key_replaces_and_a_gone_one_deletes(void **state)
{
	struct world *w = *state;
	struct store_row row = full_row(STORE_DEVICE);

	write_rows(w, &row, 1);
	row.device.notes = NULL;
	row.device.status = DEVICE_DENIED;
	write_rows(w, &row, 1);
	row.gone = true;
	restart(w);
	load(w, STORE_DEVICE);
	assert_int_equal(w->row_count, 1);
	assert_int_equal(w->rows[0].device.status, DEVICE_DENIED);
	assert_null(w->rows[0].device.notes);
	assert_ok(worker_start(w->worker, &w->why), w->why);
	write_rows(w, &row, 1);
	restart(w);
	load(w, STORE_DEVICE);
	assert_int_equal(w->row_count, 0);
}

static struct store_row report(uint64_t sequence, const char *device, uint64_t seq,
			       uint64_t time_ms)
{
	struct store_row row = {.kind = STORE_REPORT,
				.report = {.sequence = sequence,
					   .time_ms = time_ms,
					   .product = "thermo",
					   .release = 1,
					   .attempt = 1,
					   .seq = seq,
					   .state = UPDATE_DOWNLOADING,
					   .error_log = "log"}};

	text_copy(row.report.device, sizeof(row.report.device), device);
	return row;
}

static void a_report_sent_twice_is_stored_once(void **state)
{
	struct world *w = *state;
	struct store_row rows[] = {report(1, "d1", 1, 1), report(2, "d1", 1, 2),
				   report(3, "d2", 1, 3), report(4, "d1", 0, 4),
				   report(5, "d1", 0, 5)};

	write_rows(w, rows, 5);
	restart(w);
	load(w, STORE_REPORT);
	assert_int_equal(w->row_count, 4);
	assert_int_equal(w->rows[1].report.sequence, 3);
}

static void history_is_read_a_page_at_a_time_in_both_directions(void **state)
{
	struct world *w = *state;
	struct store_row rows[10];
	struct store_query query = {.kind = STORE_REPORT, .device = "d1", .limit = 4};

	for (unsigned i = 0; i < 10; i++)
		rows[i] = report(i + 1, i % 5 == 4 ? "d2" : "d1", i + 1, i);
	write_rows(w, rows, 10);
	ask(w, &query);
	assert_int_equal(w->row_count, 4);
	assert_true(w->more);
	assert_int_equal(w->rows[3].report.sequence, 4);
	assert_null(w->rows[0].report.error_log);
	query.after = 4;
	query.logs = true;
	ask(w, &query);
	assert_int_equal(w->row_count, 4);
	assert_false(w->more);
	assert_int_equal(w->rows[0].report.sequence, 6);
	assert_string_equal(w->rows[0].report.error_log, "log");
	query = (struct store_query){.kind = STORE_REPORT, .newest_first = true, .limit = 3};
	ask(w, &query);
	assert_int_equal(w->rows[0].report.sequence, 10);
	query.after = 8;
	ask(w, &query);
	assert_int_equal(w->rows[0].report.sequence, 7);
}

static void pruning_keeps_the_last_report_of_each_device(void **state)
{
	struct world *w = *state;
	struct store_row rows[] = {report(1, "d1", 1, 100), report(2, "d1", 2, 200),
				   report(3, "d2", 1, 300), report(4, "d1", 3, 1000)};
	uint64_t ticket;

	write_rows(w, rows, 4);
	assert_ok(w->store->prune(w->store->ctx, 900, 2000, &ticket, &w->why), w->why);
	wait_saved(w, ticket);
	restart(w);
	load(w, STORE_REPORT);
	assert_int_equal(w->row_count, 2);
	assert_int_equal(w->rows[0].report.sequence, 3);
	assert_null(w->rows[0].report.error_log);
	assert_int_equal(w->rows[1].report.sequence, 4);
}

static struct store_row audit(uint64_t sequence, const char *who)
{
	return (struct store_row){
		.kind = STORE_AUDIT,
		.audit = {.sequence = sequence, .time_ms = 1, .who = who, .what = "x"}};
}

static void verified(void *ctx, const struct store_audit_state *state, enum ota_err err,
		     const struct ota_why *why)
{
	struct world *w = ctx;

	if (err)
		fail_msg("%s", why->text);
	w->audit = *state;
	w->answered = true;
}

static void verify(struct world *w)
{
	const struct store_poll to = poll_of(w);

	w->answered = false;
	assert_ok(store_sqlite_verify(w->sqlite, 0, NULL, verified, w, &w->why), w->why);
	for (unsigned i = 0; i < 20000 && !w->answered; i++) {
		w->store->poll(w->store->ctx, &to);
		usleep(1000);
	}
	assert_true(w->answered);
}

static void a_batch_that_fails_leaves_the_others_and_the_chain_whole(void **state)
{
	struct world *w = *state;
	struct store_row good = audit(1, "alice"), next = audit(7, "bob");
	/* The second row of this batch has the first one's key: none of it may stay. */
	struct store_row twice[] = {audit(5, "eve"), audit(1, "eve")};
	uint64_t first, failed, last;

	assert_ok(w->store->write(w->store->ctx, &good, 1, &first, &w->why), w->why);
	assert_ok(w->store->write(w->store->ctx, twice, 2, &failed, &w->why), w->why);
	wait_saved(w, failed);
	assert_int_not_equal(w->last_err, OTA_OK);
	assert_ok(w->store->write(w->store->ctx, &next, 1, &last, &w->why), w->why);
	wait_saved(w, last);
	assert_int_equal(w->last_err, OTA_OK);
	verify(w);
	assert_int_equal(w->audit.entries, 2);
	assert_null(w->audit.fault);
	restart(w);
	load(w, STORE_AUDIT);
	assert_int_equal(w->row_count, 2);
	assert_string_equal(w->rows[1].audit.who, "bob");
}

static void the_sequence_goes_on_after_a_restart(void **state)
{
	struct world *w = *state;
	struct store_row rows[] = {report(5, "d1", 1, 1), audit(9, "alice")};
	uint64_t sequence;

	write_rows(w, rows, 2);
	restart(w);
	assert_ok(w->store->last_sequence(w->store->ctx, &sequence, &w->why), w->why);
	assert_int_equal(sequence, 9);
}

static void a_full_queue_is_busy_and_takes_nothing(void **state)
{
	struct world *w = *state;
	static struct store_row rows[1000];
	uint64_t ticket = 0, refused = 0;
	enum ota_err err = OTA_OK;

	restart(w); /* with the worker not started, nothing leaves the queue */
	for (unsigned i = 0; i < 1000; i++)
		rows[i] = audit(i + 1, "alice");
	while (!(err = w->store->write(w->store->ctx, rows, 1000, &ticket, &w->why)))
		assert_in_range(ticket, 1, 100);
	assert_int_equal(err, OTA_BUSY);
	refused = ticket;
	assert_true(w->store->room(w->store->ctx) < 1000);
	assert_int_equal(refused, STORE_SQLITE_ROWS_MAX / 1000);
}

static void a_second_process_may_not_have_it_and_a_newer_store_is_refused(void **state)
{
	struct world *w = *state;
	struct worker *worker;
	struct store_sqlite *second;
	struct ota_why why = {0};

	assert_ok(worker_new(&worker, &why), why);
	assert_int_equal(store_sqlite_open(w->place->directory, worker, &second, &why),
			 OTA_CONFLICT);
	assert_contains(why.text, "in use");
	worker_free(worker);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(rows_come_back_as_they_were_written, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(
			a_row_of_the_same_key_replaces_and_a_gone_one_deletes, set_up,
			tear_down),
		cmocka_unit_test_setup_teardown(a_report_sent_twice_is_stored_once, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(
			history_is_read_a_page_at_a_time_in_both_directions, set_up, tear_down),
		cmocka_unit_test_setup_teardown(pruning_keeps_the_last_report_of_each_device,
						set_up, tear_down),
		cmocka_unit_test_setup_teardown(
			a_batch_that_fails_leaves_the_others_and_the_chain_whole, set_up,
			tear_down),
		cmocka_unit_test_setup_teardown(the_sequence_goes_on_after_a_restart, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(a_full_queue_is_busy_and_takes_nothing, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(
			a_second_process_may_not_have_it_and_a_newer_store_is_refused, set_up,
			tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
