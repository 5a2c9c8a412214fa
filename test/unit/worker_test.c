#include "unit.h"

#include "own.h"
#include "worker.h"

#include <stdatomic.h>
#include <time.h>

struct world {
	struct worker *worker;
	atomic_uint wakes;
	unsigned done;
};

struct counted_job {
	struct worker_job job;
	struct world *world;
};

static void woken(void *ctx)
{
	struct world *w = ctx;

	atomic_fetch_add(&w->wakes, 1);
}

static int set_up(void **state)
{
	struct world *w = calloc(1, sizeof(*w));
	struct ota_why why = {0};

	assert_ok(worker_new(&w->worker, &why), why);
	worker_set_wake(w->worker, &(struct worker_wake){.ctx = w, .call = woken});
	assert_ok(worker_start(w->worker, &why), why);
	*state = w;
	return 0;
}

static int tear_down(void **state)
{
	struct world *w = *state;

	worker_free(w->worker);
	free(w);
	return 0;
}

static enum worker_step nothing(struct worker_job *job)
{
	(void)job;
	return WORKER_FINISHED;
}

static void count(struct worker_job *job)
{
	struct counted_job *counted = (struct counted_job *)job;

	counted->world->done++;
	free(counted);
}

static void push(struct world *w)
{
	struct counted_job *counted = calloc(1, sizeof(*counted));

	assert_non_null(counted);
	counted->job = (struct worker_job){.run = nothing, .done = count};
	counted->world = w;
	worker_push(w->worker, &counted->job);
}

static void sleep_ms(unsigned ms)
{
	nanosleep(&(struct timespec){.tv_nsec = (long)ms * 1000000}, NULL);
}

/* So long as it takes on the slowest machine; a promise that is broken fails there too. */
static void wait_wakes(struct world *w, unsigned least)
{
	for (unsigned i = 0; i < 10000 && atomic_load(&w->wakes) < least; i++)
		sleep_ms(1);
	assert_true(atomic_load(&w->wakes) >= least);
}

static void who_waits_is_woken_until_he_comes(void **state)
{
	struct world *w = *state;
	unsigned after;

	push(w);
	wait_wakes(w, 5);
	worker_poll(w->worker);
	assert_int_equal(w->done, 1);
	sleep_ms(20); /* one that was under way */
	after = atomic_load(&w->wakes);
	sleep_ms(50);
	assert_int_equal(atomic_load(&w->wakes), after);
}

static void a_nudge_wakes_without_any_work(void **state)
{
	struct world *w = *state;

	sleep_ms(20);
	assert_int_equal(atomic_load(&w->wakes), 0);
	worker_nudge(w->worker);
	assert_true(worker_has_finished(w->worker));
	wait_wakes(w, 3);
	worker_poll(w->worker);
	assert_false(worker_has_finished(w->worker));
	assert_int_equal(w->done, 0);
}

static void all_jobs_come_back(void **state)
{
	struct world *w = *state;

	for (unsigned i = 0; i < 3 * WORKER_BATCH_MAX; i++)
		push(w);
	for (unsigned i = 0; i < 10000 && w->done < 3 * WORKER_BATCH_MAX; i++) {
		worker_poll(w->worker);
		sleep_ms(1);
	}
	assert_int_equal(w->done, 3 * WORKER_BATCH_MAX);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(who_waits_is_woken_until_he_comes, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(a_nudge_wakes_without_any_work, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(all_jobs_come_back, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
