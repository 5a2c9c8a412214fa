#include "work.h"

#include <pthread.h>
#include <stdlib.h>

struct job {
	void (*run)(void *job);
	void *arg;
};

struct work {
	pthread_mutex_t lock;
	pthread_cond_t wake;
	struct job queue[WORK_QUEUE_MAX];
	unsigned first, count, thread_count;
	bool ending;
	pthread_t threads[];
};

static void *work_loop(void *arg)
{
	struct work *work = arg;

	pthread_mutex_lock(&work->lock);
	for (;;) {
		while (!work->count && !work->ending)
			pthread_cond_wait(&work->wake, &work->lock);
		if (!work->count)
			break;
		struct job job = work->queue[work->first];
		work->first = (work->first + 1) % WORK_QUEUE_MAX;
		work->count--;
		pthread_mutex_unlock(&work->lock);
		job.run(job.arg);
		pthread_mutex_lock(&work->lock);
	}
	pthread_mutex_unlock(&work->lock);
	return NULL;
}

enum ota_err work_new(unsigned threads, struct work **ret_work, struct ota_why *why)
{
	struct work *work = calloc(1, sizeof *work + threads * sizeof work->threads[0]);

	if (!work)
		return ota_fail(why, OTA_OUT_OF_MEMORY, "no memory for %u threads", threads);
	pthread_mutex_init(&work->lock, NULL);
	pthread_cond_init(&work->wake, NULL);
	for (; work->thread_count < threads; work->thread_count++) {
		int error = pthread_create(&work->threads[work->thread_count], NULL, work_loop,
					   work);
		if (error) {
			work_free(work);
			return ota_fail_errno(why, OTA_INTERNAL, error,
					      "cannot start a thread");
		}
	}
	*ret_work = work;
	return OTA_OK;
}

void work_free(struct work *work)
{
	if (!work)
		return;
	pthread_mutex_lock(&work->lock);
	work->ending = true;
	pthread_cond_broadcast(&work->wake);
	pthread_mutex_unlock(&work->lock);
	for (unsigned i = 0; i < work->thread_count; i++)
		pthread_join(work->threads[i], NULL);
	pthread_cond_destroy(&work->wake);
	pthread_mutex_destroy(&work->lock);
	free(work);
}

enum ota_err work_add(struct work *work, void (*run)(void *job), void *job, struct ota_why *why)
{
	enum ota_err err = OTA_OK;

	pthread_mutex_lock(&work->lock);
	if (work->count == WORK_QUEUE_MAX || work->ending) {
		err = ota_fail(why, OTA_BUSY, "%u jobs wait already", work->count);
	} else {
		work->queue[(work->first + work->count++) % WORK_QUEUE_MAX] =
			(struct job){run, job};
		pthread_cond_signal(&work->wake);
	}
	pthread_mutex_unlock(&work->lock);
	return err;
}
