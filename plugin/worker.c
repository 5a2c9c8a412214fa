#include "worker.h"

#include "own.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <time.h>

struct job_list {
	struct worker_job *first, **last;
	uint32_t count;
};

struct worker {
	pthread_t thread;
	pthread_mutex_t lock;
	pthread_cond_t wake;
	bool started, stopping, nudged;
	bool idle; /* its thread waits for work: who brings some has to signal */
	struct job_list waiting, finished;
	struct job_list handing; /* the polling thread's: finished, done() still to be called */
	atomic_bool has_finished;
	struct worker_batch batch;
	struct worker_wake wake_other;
	struct worker_figures figures;
};

static void list_init(struct job_list *list)
{
	list->first = NULL;
	list->last = &list->first;
	list->count = 0;
}

static void list_add(struct job_list *list, struct worker_job *job)
{
	job->next = NULL;
	*list->last = job;
	list->last = &job->next;
	list->count++;
}

static struct worker_job *list_take(struct job_list *list)
{
	struct worker_job *job = list->first;

	if (!job)
		return NULL;
	list->first = job->next;
	if (!list->first)
		list->last = &list->first;
	list->count--;
	return job;
}

static uint64_t now_us(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000u + (uint64_t)now.tv_nsec / 1000u;
}

/* Runs the batch; what wants another turn goes to *again. */
static void run_batch(struct worker *worker, struct job_list *batch, struct job_list *done,
		      struct job_list *again)
{
	bool open = false;
	enum ota_err err = OTA_OK;
	struct ota_why why = {0};
	struct worker_job *job;
	uint64_t start, took;

	while ((job = list_take(batch))) {
		if (job->stored && !open && !err) {
			err = worker->batch.open(worker->batch.ctx, &why);
			open = !err;
		}
		if (job->stored && err) {
			job->err = err;
			job->why = why;
			list_add(done, job);
			continue;
		}
		list_add(job->run(job) == WORKER_AGAIN ? again : done, job);
	}
	if (!open)
		return;
	start = now_us();
	err = worker->batch.close(worker->batch.ctx, &why);
	took = now_us() - start;
	pthread_mutex_lock(&worker->lock);
	worker->figures.failed += err ? 1 : 0;
	metric_add(&worker->figures.commits, took);
	pthread_mutex_unlock(&worker->lock);
	for (job = done->first; err && job; job = job->next)
		if (job->stored && !job->err) {
			job->err = err;
			job->why = why;
		}
}

static void hand_back(struct worker *worker, struct job_list *done, struct job_list *again)
{
	struct worker_job *job;

	while ((job = list_take(done))) {
		list_add(&worker->finished, job);
		worker->figures.jobs++;
		atomic_store(&worker->has_finished, true);
	}
	while ((job = list_take(again)))
		list_add(&worker->waiting, job);
}

static void wake_other(const struct worker *worker)
{
	if (worker->wake_other.call)
		worker->wake_other.call(worker->wake_other.ctx);
}

/* Waits to be signalled, at most so long; false when that time has passed. */
static bool sleep_ms(struct worker *worker, unsigned ms)
{
	struct timespec until;

	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_nsec += ms * 1000000l;
	if (until.tv_nsec >= 1000000000) {
		until.tv_nsec -= 1000000000;
		until.tv_sec++;
	}
	return pthread_cond_timedwait(&worker->wake, &worker->lock, &until) == 0;
}

/* Until there is work; meanwhile the other thread is woken until it has come. A signal that
 * finds it awake, on its way to sleep, is lost: hence again and again. */
static void rest(struct worker *worker)
{
	worker->idle = true;
	if (!worker->wake_other.call || (!worker->finished.first && !worker->nudged)) {
		pthread_cond_wait(&worker->wake, &worker->lock);
	} else {
		sleep_ms(worker, WORKER_WAKE_MS);
		if (worker->finished.first || worker->nudged)
			wake_other(worker);
	}
	worker->idle = false;
}

/* When jobs come faster than transactions end, a short wait makes the next one larger and each
 * job cheaper: a transaction costs as much as some twenty rows. The other thread has its hands
 * full then, and is left alone unless it does not come. */
static void gather(struct worker *worker)
{
	while (!worker->stopping && worker->waiting.count < WORKER_GATHERED &&
	       sleep_ms(worker, WORKER_GATHER_MS))
		;
	if (worker->finished.first)
		wake_other(worker);
}

static void *worker_main(void *place)
{
	struct worker *worker = place;
	struct job_list batch, done, again;
	bool crowded = false;

	list_init(&batch);
	list_init(&done);
	list_init(&again);
	pthread_mutex_lock(&worker->lock);
	for (;;) {
		if (crowded)
			gather(worker);
		while (!worker->waiting.first && !worker->stopping)
			rest(worker);
		if (!worker->waiting.first)
			break;
		while (worker->waiting.first && batch.count < WORKER_BATCH_MAX)
			list_add(&batch, list_take(&worker->waiting));
		crowded = batch.count >= WORKER_CROWD;
		pthread_mutex_unlock(&worker->lock);
		run_batch(worker, &batch, &done, &again);
		pthread_mutex_lock(&worker->lock);
		hand_back(worker, &done, &again);
		if (!crowded)
			wake_other(worker);
	}
	pthread_mutex_unlock(&worker->lock);
	return NULL;
}

enum ota_err worker_new(struct worker **ret_worker, struct ota_why *why)
{
	struct worker *worker = calloc(1, sizeof(*worker));
	pthread_condattr_t monotonic;

	if (!worker)
		return ota_fail(why, OTA_OUT_OF_MEMORY, "no memory for the worker");
	pthread_mutex_init(&worker->lock, NULL);
	pthread_condattr_init(&monotonic);
	pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
	pthread_cond_init(&worker->wake, &monotonic);
	pthread_condattr_destroy(&monotonic);
	list_init(&worker->waiting);
	list_init(&worker->finished);
	list_init(&worker->handing);
	*ret_worker = worker;
	return OTA_OK;
}

void worker_set_batch(struct worker *worker, const struct worker_batch *batch)
{
	worker->batch = *batch;
}

void worker_set_wake(struct worker *worker, const struct worker_wake *wake)
{
	worker->wake_other = *wake;
}

enum ota_err worker_start(struct worker *worker, struct ota_why *why)
{
	sigset_t all, before;
	int number;

	/* The broker's signals are the broker's: the thread inherits a full mask. */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	number = pthread_create(&worker->thread, NULL, worker_main, worker);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (number)
		return ota_fail_errno(why, OTA_INTERNAL, number, "cannot start the worker");
	worker->started = true;
	return OTA_OK;
}

void worker_free(struct worker *worker)
{
	if (!worker)
		return;
	if (worker->started) {
		pthread_mutex_lock(&worker->lock);
		worker->stopping = true;
		pthread_cond_signal(&worker->wake);
		pthread_mutex_unlock(&worker->lock);
		pthread_join(worker->thread, NULL);
	}
	for (struct worker_job *job = worker->waiting.first, *next; job; job = next) {
		next = job->next;
		job->err = OTA_INTERNAL;
		list_add(&worker->finished, job);
	}
	for (struct worker_job *job; (job = list_take(&worker->handing));)
		job->done(job);
	for (struct worker_job *job; (job = list_take(&worker->finished));)
		job->done(job);
	pthread_cond_destroy(&worker->wake);
	pthread_mutex_destroy(&worker->lock);
	free(worker);
}

void worker_push(struct worker *worker, struct worker_job *job)
{
	job->err = OTA_OK;
	pthread_mutex_lock(&worker->lock);
	list_add(&worker->waiting, job);
	if (worker->idle)
		pthread_cond_signal(&worker->wake);
	pthread_mutex_unlock(&worker->lock);
}

void worker_nudge(struct worker *worker)
{
	pthread_mutex_lock(&worker->lock);
	worker->nudged = true;
	pthread_cond_signal(&worker->wake);
	pthread_mutex_unlock(&worker->lock);
	atomic_store(&worker->has_finished, true);
}

bool worker_has_finished(const struct worker *worker)
{
	return worker->handing.first || atomic_load(&worker->has_finished);
}

static void take_finished(struct worker *worker)
{
	pthread_mutex_lock(&worker->lock);
	for (struct worker_job *job; (job = list_take(&worker->finished));)
		list_add(&worker->handing, job);
	worker->nudged = false;
	atomic_store(&worker->has_finished, false);
	pthread_mutex_unlock(&worker->lock);
}

void worker_poll(struct worker *worker)
{
	struct worker_job *job;
	uint64_t start;

	if (!worker_has_finished(worker))
		return;
	start = now_us();
	do {
		job = list_take(&worker->handing);
		if (!job) {
			take_finished(worker);
			job = list_take(&worker->handing);
		}
		if (!job)
			return;
		job->done(job);
	} while (now_us() - start < WORKER_POLL_US);
	if (worker->handing.first)
		worker_nudge(worker);
}

void worker_figures(struct worker *worker, struct worker_figures *ret_figures)
{
	pthread_mutex_lock(&worker->lock);
	*ret_figures = worker->figures;
	ret_figures->waiting = worker->waiting.count;
	pthread_mutex_unlock(&worker->lock);
}
