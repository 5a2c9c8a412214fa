#include "unit.h"

#include "worker.h"

#include <time.h>

#define JOBS 10u

struct job {
	struct worker_job job;
	unsigned number;
	unsigned *handed; /* how many have been handed over; each in its turn */
};

static void pause_ms(long ms)
{
	const struct timespec pause = {.tv_nsec = ms * 1000000};

	assert_int_equal(nanosleep(&pause, NULL), 0);
}

static enum worker_step run(struct worker_job *job)
{
	(void)job;
	return WORKER_FINISHED;
}

static void slow_done(struct worker_job *worker_job)
{
	struct job *job = (struct job *)worker_job;

	assert_int_equal(job->number, *job->handed);
	(*job->handed)++;
	pause_ms(1);
}

static void handing_over_takes_little_time_at_once_and_keeps_the_order(void **state)
{
	(void)state;
	struct worker *worker = NULL;
	struct job jobs[JOBS] = {0};
	unsigned handed = 0, polls = 0;

	assert_int_equal(worker_new(&worker, NULL), OTA_OK);
	for (unsigned i = 0; i < JOBS; i++) {
		jobs[i] = (struct job){
			.job = {.run = run, .done = slow_done}, .number = i, .handed = &handed};
		worker_push(worker, &jobs[i].job);
	}
	assert_int_equal(worker_start(worker, NULL), OTA_OK);
	while (handed < JOBS) {
		unsigned before = handed;

		if (!worker_has_finished(worker))
			pause_ms(1);
		worker_poll(worker);
		assert_true(handed - before <= WORKER_POLL_US / 1000 + 1);
		polls++;
	}
	assert_true(polls > 2);
	worker_poll(worker);
	assert_false(worker_has_finished(worker));
	worker_free(worker);
}

static void what_was_not_handed_over_is_at_the_end(void **state)
{
	(void)state;
	struct worker *worker = NULL;
	struct job jobs[JOBS] = {0};
	unsigned handed = 0;

	assert_int_equal(worker_new(&worker, NULL), OTA_OK);
	assert_int_equal(worker_start(worker, NULL), OTA_OK);
	for (unsigned i = 0; i < JOBS; i++) {
		jobs[i] = (struct job){
			.job = {.run = run, .done = slow_done}, .number = i, .handed = &handed};
		worker_push(worker, &jobs[i].job);
	}
	while (!worker_has_finished(worker))
		pause_ms(1);
	worker_poll(worker);
	worker_free(worker);
	assert_int_equal(handed, JOBS);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(handing_over_takes_little_time_at_once_and_keeps_the_order),
		cmocka_unit_test(what_was_not_handed_over_is_at_the_end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
