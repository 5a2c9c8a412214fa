#include "unit.h"

#include "local.h"
#include "place.h"

#include <pthread.h>
#include <sys/stat.h>
#include <time.h>

struct fixture {
	struct place *place;
	struct local *local;
	pthread_t server;
	volatile bool ended;
	char asked[LOCAL_LINE_MAX];
};

static enum ota_err answer(void *ctx, const char *request, struct text *to, struct ota_why *why)
{
	struct fixture *fixture = ctx;

	text_copy(fixture->asked, sizeof(fixture->asked), request);
	if (!strcmp(request, "bad"))
		return ota_fail(why, OTA_BAD_REQUEST, "that was bad");
	text_printf(to, "you said %s\n", request);
	return OTA_OK;
}

static void *serve(void *arg)
{
	const struct timespec pause = {.tv_nsec = 2000000};
	struct fixture *fixture = arg;
	uint64_t now = 0;

	while (!fixture->ended) {
		local_step(fixture->local, now += 2);
		nanosleep(&pause, NULL);
	}
	return NULL;
}

static int make(void **state)
{
	struct fixture *fixture = calloc(1, sizeof(*fixture));
	void *place;

	if (place_make(&place))
		return -1;
	fixture->place = place;
	if (local_open(place_path(place, "control"), answer, fixture, &fixture->local, NULL) ||
	    pthread_create(&fixture->server, NULL, serve, fixture))
		return -1;
	*state = fixture;
	return 0;
}

static int end(void **state)
{
	struct fixture *fixture = *state;
	void *place = fixture->place;

	fixture->ended = true;
	pthread_join(fixture->server, NULL);
	local_free(fixture->local);
	free(fixture);
	return place_remove(&place);
}

static void a_question_gets_its_answer(void **state)
{
	struct fixture *fixture = *state;
	const char *path = place_path(fixture->place, "control");
	char *text = NULL;
	struct ota_why why;

	assert_ok(local_ask(path, "status", &text, &why), why);
	assert_string_equal(text, "you said status\n");
	free(text);
}

static void an_error_comes_back_with_name_and_sentence(void **state)
{
	struct fixture *fixture = *state;
	char *text = NULL;
	struct ota_why why;

	assert_int_equal(local_ask(place_path(fixture->place, "control"), "bad", &text, &why),
			 OTA_BAD_REQUEST);
	assert_string_equal(why.text, "that was bad");
}

static void nobody_else_may_open_the_socket(void **state)
{
	struct fixture *fixture = *state;
	struct stat st;

	assert_int_equal(stat(place_path(fixture->place, "control"), &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
}

static void without_an_agent_the_answer_is_unreachable(void **state)
{
	struct fixture *fixture = *state;
	char *text = NULL;
	struct ota_why why;

	assert_int_equal(local_ask(place_path(fixture->place, "nobody"), "status", &text, &why),
			 OTA_UNREACHABLE);
	assert_contains(why.text, "nobody");
}

static void a_line_that_is_too_long_is_not_answered(void **state)
{
	struct fixture *fixture = *state;
	char line[2 * LOCAL_LINE_MAX];
	char *text = NULL;
	struct ota_why why;

	memset(line, 'x', sizeof(line) - 1);
	line[sizeof(line) - 1] = '\0';
	assert_int_equal(local_ask(place_path(fixture->place, "control"), line, &text, &why),
			 OTA_UNREACHABLE);
	assert_string_equal(fixture->asked, "");
	assert_ok(local_ask(place_path(fixture->place, "control"), "log", &text, &why), why);
	free(text);
}

static void a_leftover_of_a_killed_agent_is_replaced(void **state)
{
	struct fixture *fixture = *state;
	struct local *second = NULL;
	struct ota_why why;

	place_write(fixture->place, "old", "", 0);
	assert_ok(local_open(place_path(fixture->place, "old"), answer, fixture, &second, &why),
		  why);
	local_free(second);
	assert_int_not_equal(access(place_path(fixture->place, "old"), F_OK), 0);
}

#define FRESH(test) cmocka_unit_test_setup_teardown(test, make, end)

int main(void)
{
	const struct CMUnitTest tests[] = {
		FRESH(a_question_gets_its_answer),
		FRESH(an_error_comes_back_with_name_and_sentence),
		FRESH(nobody_else_may_open_the_socket),
		FRESH(without_an_agent_the_answer_is_unreachable),
		FRESH(a_line_that_is_too_long_is_not_answered),
		FRESH(a_leftover_of_a_killed_agent_is_replaced),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
