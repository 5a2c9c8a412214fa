#include "unit.h"

#include "certificate.h"
#include "session.h"

struct world {
	struct session_table table;
	X509 *d1, *other_d1, *alice;
};

static int set_up(void **state)
{
	struct world *w = calloc(1, sizeof(*w));

	session_table_init(&w->table);
	w->d1 = certificate_of("d1", -1, "ota-device", NULL);
	w->other_d1 = certificate_of("d1", -1, "ota-device", NULL);
	w->alice = certificate_of("alice", -1, "ota-manager", NULL);
	*state = w;
	return 0;
}

static int tear_down(void **state)
{
	struct world *w = *state;

	session_table_done(&w->table);
	X509_free(w->d1);
	X509_free(w->other_d1);
	X509_free(w->alice);
	free(w);
	return 0;
}

static struct session *find(struct world *w, const void *client, X509 *certificate,
			    const char *id, enum ota_err expected)
{
	struct session_client asked = {.client = client,
				       .certificate = certificate,
				       .client_id = id,
				       .address = "::1"};
	struct session *session = NULL;
	struct ota_why why = {0};
	bool is_new;

	assert_int_equal(session_of(&w->table, &asked, 1000, &session, &is_new, &why),
			 expected);
	return session;
}

static struct session *end(struct world *w, const void *client, X509 *certificate)
{
	return session_end(
		&w->table,
		&(struct session_client){.client = client, .certificate = certificate}, 2000);
}

static void a_connection_is_one_session(void **state)
{
	struct world *w = *state;
	struct session *first = find(w, "A", w->d1, "d1", OTA_OK);

	assert_non_null(first);
	assert_ptr_equal(find(w, "A", w->d1, "d1", OTA_OK), first);
	assert_int_equal(w->table.count, 1);
}

static void a_client_id_that_is_not_the_certificates_is_refused(void **state)
{
	struct world *w = *state;

	assert_null(find(w, "A", w->d1, "d7", OTA_UNAUTHORIZED));
	assert_int_equal(w->table.count, 0);
}

static void a_stranger_has_no_session(void **state)
{
	struct world *w = *state;

	assert_null(find(w, "A", NULL, "lamp", OTA_OK));
}

static void what_comes_after_the_end_is_a_will(void **state)
{
	struct world *w = *state;

	find(w, "A", w->d1, "d1", OTA_OK);
	assert_non_null(end(w, "A", NULL));
	assert_null(find(w, "A", w->d1, "d1", OTA_UNAUTHORIZED));
	session_sweep(&w->table, 2000 + SESSION_GONE_MS);
	assert_int_equal(w->table.count, 0);
}

static void a_will_of_one_who_never_spoke_is_known_too(void **state)
{
	struct world *w = *state;

	assert_null(end(w, "A", w->d1));
	assert_null(find(w, "A", w->d1, "d1", OTA_UNAUTHORIZED));
	assert_non_null(find(w, "A", w->other_d1, "d1", OTA_OK));
	assert_null(end(w, "B", NULL));
	session_sweep(&w->table, 1000000);
	assert_int_equal(w->table.count, 1);
}

static void an_address_that_comes_again_is_another_session(void **state)
{
	struct world *w = *state;
	struct session *first = find(w, "A", w->d1, "d1", OTA_OK), *second;
	uint64_t since = first->since_ms;

	end(w, "A", NULL);
	second = find(w, "A", w->alice, "alice", OTA_OK);
	assert_int_equal(second->identity.role, IDENTITY_MANAGER);
	assert_int_equal(w->table.count, 1);
	session_sweep(&w->table, 1000000);
	assert_ptr_equal(find(w, "A", w->alice, "alice", OTA_OK), second);
	assert_int_equal(since, 1000);
}

static void an_address_reused_without_an_end_is_not_the_old_one(void **state)
{
	struct world *w = *state;

	find(w, "A", w->d1, "d1", OTA_OK);
	assert_string_equal(find(w, "A", w->alice, "alice", OTA_OK)->identity.name, "alice");
	assert_int_equal(w->table.count, 1);
}

static void the_end_of_an_old_connection_is_not_the_devices_end(void **state)
{
	struct world *w = *state;

	find(w, "A", w->d1, "d1", OTA_OK);
	find(w, "B", w->other_d1, "d1", OTA_OK);
	assert_null(end(w, "A", NULL));
	assert_non_null(end(w, "B", NULL));
}

static void count_one(void *ctx, const struct session *session)
{
	(void)session;
	++*(unsigned *)ctx;
}

static void all_live_sessions_of_a_manager_are_found_by_name(void **state)
{
	struct world *w = *state;
	unsigned count = 0;

	find(w, "A", w->alice, "alice", OTA_OK);
	find(w, "B", w->alice, "alice:cli", OTA_OK);
	find(w, "C", w->d1, "d1", OTA_OK);
	end(w, "A", NULL);
	session_each(&w->table, IDENTITY_MANAGER, "alice", count_one, &count);
	assert_int_equal(count, 1);
	session_each(&w->table, IDENTITY_DEVICE, "alice", count_one, &count);
	assert_int_equal(count, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_connection_is_one_session, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
			a_client_id_that_is_not_the_certificates_is_refused, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_stranger_has_no_session, set_up, tear_down),
		cmocka_unit_test_setup_teardown(what_comes_after_the_end_is_a_will, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(a_will_of_one_who_never_spoke_is_known_too,
						set_up, tear_down),
		cmocka_unit_test_setup_teardown(an_address_that_comes_again_is_another_session,
						set_up, tear_down),
		cmocka_unit_test_setup_teardown(
			an_address_reused_without_an_end_is_not_the_old_one, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
			the_end_of_an_old_connection_is_not_the_devices_end, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
			all_live_sessions_of_a_manager_are_found_by_name, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
