/* The worker: the one thread beside the broker's. It does all that may block (database, fsync,
 * hashing), in the order in which it was asked.
 *
 * A job's run() is called on the worker's thread, its done() later on the thread that calls
 * worker_poll(). Jobs that were queued together form a batch: before the first job of a batch
 * that is `stored`, the worker opens a transaction, after the last it closes it, and only then
 * is any job of the batch handed back. A job belongs to the worker from worker_push() until
 * done(), which must release it. */
#pragma once

#include "metric.h"
#include "why.h"

#include <stdint.h>

#define WORKER_BATCH_MAX 2000u /* jobs in one transaction */
/* After a batch of this many the next one is gathered for so long, or up to so many jobs. */
#define WORKER_CROWD	 16u
#define WORKER_GATHER_MS 2u
#define WORKER_GATHERED	 500u
#define WORKER_POLL_US	 2000u /* of the broker's time that handing over may take at once */

enum worker_step {
	WORKER_FINISHED = 0,
	WORKER_AGAIN, /* more to do: put me behind those who wait */
};

struct worker_job {
	struct worker_job *next; /* the worker's */
	bool stored;		 /* runs inside the batch's transaction */
	enum ota_err err;	 /* set by run(), or by a transaction that failed */
	struct ota_why why;
	enum worker_step (*run)(struct worker_job *job);
	void (*done)(struct worker_job *job);
};

/* The transaction around a batch; both are called on the worker's thread. */
struct worker_batch {
	void *ctx;
	enum ota_err (*open)(void *ctx, struct ota_why *why);
	/* Commits; when it fails, nothing of the batch is stored. */
	enum ota_err (*close)(void *ctx, struct ota_why *why);
};

/* Tells the thread that calls worker_poll() that it should. Called on the worker's thread, and
 * again every WORKER_WAKE_MS until worker_poll() has been called. */
struct worker_wake {
	void *ctx;
	void (*call)(void *ctx); /* NULL: nobody is told */
};
#define WORKER_WAKE_MS 2u

struct worker; /* opaque */

enum ota_err worker_new(struct worker **ret_worker, struct ota_why *why) OTA_CHECKED;
/* Sets the transaction; before worker_start(). */
void worker_set_batch(struct worker *worker, const struct worker_batch *batch);
void worker_set_wake(struct worker *worker, const struct worker_wake *wake); /* likewise */
enum ota_err worker_start(struct worker *worker, struct ota_why *why) OTA_CHECKED;
/* Does what is queued, ends the thread, hands back what is finished, and frees. NULL is fine.
 */
void worker_free(struct worker *worker);

void worker_push(struct worker *worker, struct worker_job *job);
/* Calls done() of what has finished, in the order of the queue; cheap when nothing has. Stops
 * after WORKER_POLL_US, the rest comes at the next call. done() may push. */
void worker_poll(struct worker *worker);
/* Has the wake called although nothing has finished: the caller wants to be called soon. */
void worker_nudge(struct worker *worker);
/* Whether worker_poll() would find something. */
bool worker_has_finished(const struct worker *worker);

struct worker_figures {
	uint64_t failed, jobs;
	struct metric commits; /* the time that each took */
	uint32_t waiting;
};
void worker_figures(struct worker *worker, struct worker_figures *ret_figures);
