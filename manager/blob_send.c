#include "blob_send.h"

#include "file.h"
#include "line.h"
#include "message.h"
#include "own.h"
#include "pending.h"

#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <time.h>

#define IDLE_ROUNDS_MAX 5 /* beginnings in a row without a byte of progress */
#define FRAME_MAX	(MESSAGE_UPLOAD_HEADER + MESSAGE_UPLOAD_DATA_MAX)
/* A plugin hands over what its worker has written when a message comes, or at the broker's next
 * tick, 100 ms later: so it is asked again, first after so long, then each time twice as long.
 */
#define NUDGE_MIN_MS 2u
#define NUDGE_MAX_MS 64u

struct running {
	struct running *next;
	char name[17]; /* 16 hexadecimal digits */
	uint64_t id, stored;
	bool done, cut;
	enum ota_err err;
	struct ota_why why;
};

struct blob_send_table {
	pthread_mutex_t lock;
	pthread_cond_t change;
	struct running *first;
};

enum ota_err blob_send_table_new(struct blob_send_table **ret_table, struct ota_why *why)
{
	struct blob_send_table *table = calloc(1, sizeof(*table));
	pthread_condattr_t monotonic;

	if (!table)
		return ota_fail(why, OTA_OUT_OF_MEMORY, "no memory for uploads");
	pthread_condattr_init(&monotonic);
	pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
	pthread_mutex_init(&table->lock, NULL);
	pthread_cond_init(&table->change, &monotonic);
	pthread_condattr_destroy(&monotonic);
	*ret_table = table;
	return OTA_OK;
}

void blob_send_table_free(struct blob_send_table *table)
{
	if (!table)
		return;
	pthread_cond_destroy(&table->change);
	pthread_mutex_destroy(&table->lock);
	free(table);
}

static void enlist(struct blob_send_table *table, struct running *running)
{
	pthread_mutex_lock(&table->lock);
	running->next = table->first;
	table->first = running;
	pthread_mutex_unlock(&table->lock);
}

static void delist(struct blob_send_table *table, struct running *running)
{
	struct running **place;

	pthread_mutex_lock(&table->lock);
	for (place = &table->first; *place; place = &(*place)->next) {
		if (*place != running)
			continue;
		*place = running->next;
		break;
	}
	pthread_mutex_unlock(&table->lock);
}

void blob_send_answer(struct blob_send_table *table, const struct view *answer)
{
	const char *name = view_text(view_at(answer, "upload"));
	const struct view *error = view_at(answer, "error");
	struct running *each;

	pthread_mutex_lock(&table->lock);
	for (each = table->first; each; each = each->next) {
		if (each->done || strcmp(each->name, name) != 0)
			continue; /* an answer to what was repeated after the end says nothing
				   */
		each->stored = view_number(view_at(answer, "offset"));
		each->done = view_is_true(view_at(answer, "done"));
		if (view_kind(error) == VIEW_OBJECT)
			each->err = pending_error(error, &each->why);
	}
	pthread_cond_broadcast(&table->change);
	pthread_mutex_unlock(&table->lock);
}

void blob_send_fail_all(struct blob_send_table *table)
{
	struct running *each;

	pthread_mutex_lock(&table->lock);
	for (each = table->first; each; each = each->next)
		each->cut = true;
	pthread_cond_broadcast(&table->change);
	pthread_mutex_unlock(&table->lock);
}

static enum ota_err begin(const struct blob_send_seam *seam,
			  const struct control_upload *upload, struct running *running,
			  struct ota_why *why)
{
	AUTO(view_free_place) struct view_tree *tree = NULL;
	char args[256], hex[TEXT_HEX32_SIZE];
	uint8_t id[8];
	const struct view *result;
	enum ota_err err;
	unsigned i;

	text_from_digest(hex, upload->digest.bytes);
	snprintf(args, sizeof(args), "{\"product\":\"%s\",\"sha256\":\"%s\",\"size\":%llu}",
		 upload->product, hex, (unsigned long long)upload->size);
	err = seam->begin(seam->ctx, args, upload->token, &tree, why);
	if (err)
		return err;
	result = view_root(tree);
	memset(running, 0, sizeof(*running));
	running->stored = view_number(view_at(result, "offset"));
	running->done = view_is_true(view_at(result, "done"));
	if (running->done)
		return OTA_OK;
	if (!text_copy(running->name, sizeof(running->name),
		       view_text(view_at(result, "upload"))) ||
	    !text_to_bytes(running->name, id, sizeof(id)) || running->stored > upload->size)
		return ota_fail(why, OTA_INTERNAL,
				"the plugin's answer to blob.begin is broken");
	for (i = 0; i < sizeof(id); i++)
		running->id = running->id << 8 | id[i];
	return OTA_OK;
}

/* The bytes from `at` on, at most `most` of them, for which `frame` has room; *ret_end is where
 * they end. */
static enum ota_err send_frame(const struct blob_send_seam *seam,
			       const struct control_upload *upload, uint64_t id, uint64_t at,
			       size_t most, uint8_t *frame, uint64_t *ret_end,
			       struct ota_why *why)
{
	const uint64_t left = upload->size - at;
	const size_t len = left < most ? (size_t)left : most;
	const struct upload_frame header = {.upload = id, .offset = at};
	enum ota_err err;

	upload_write_header(&header, frame);
	err = file_pread_all(upload->fd, frame + MESSAGE_UPLOAD_HEADER, len, at, why);
	if (!err)
		err = seam->send(seam->ctx, frame, MESSAGE_UPLOAD_HEADER + len, why);
	if (!err)
		*ret_end = at + len;
	return err;
}

/* Waits for the plugin's next word; true when there is one, false when it kept silent. */
static bool wait_word(struct blob_send_table *table, const struct running *running,
		      uint64_t seen, uint64_t patience_ms)
{
	struct timespec until;
	bool word;

	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_sec += (time_t)(patience_ms / 1000);
	until.tv_nsec += (long)(patience_ms % 1000) * 1000000;
	until.tv_sec += until.tv_nsec / 1000000000;
	until.tv_nsec %= 1000000000;
	pthread_mutex_lock(&table->lock);
	while (!(word = running->done || running->cut || running->err ||
			running->stored != seen))
		if (pthread_cond_timedwait(&table->change, &table->lock, &until) == ETIMEDOUT)
			break;
	pthread_mutex_unlock(&table->lock);
	return word;
}

static void look(struct blob_send_table *table, struct running *running,
		 struct running *ret_seen)
{
	pthread_mutex_lock(&table->lock);
	*ret_seen = *running;
	pthread_mutex_unlock(&table->lock);
}

/* Waits for a word; while there is none the last byte is sent again, which is answered at once.
 * OTA_UNREACHABLE: `patience_ms` have passed, or the connection. */
static enum ota_err await(struct blob_send_table *table, const struct blob_send_seam *seam,
			  const struct control_upload *upload, const struct running *running,
			  uint64_t stored, uint64_t at, uint64_t patience_ms,
			  struct ota_why *why)
{
	uint8_t frame[MESSAGE_UPLOAD_HEADER + 1];
	uint64_t pause_ms = NUDGE_MIN_MS, waited_ms = 0, end;
	enum ota_err err = OTA_OK;

	while (!err && !wait_word(table, running, stored, pause_ms)) {
		waited_ms += pause_ms;
		if (waited_ms >= patience_ms)
			return OTA_UNREACHABLE;
		pause_ms = pause_ms < NUDGE_MAX_MS ? 2 * pause_ms : pause_ms;
		err = send_frame(seam, upload, running->id, at - 1, 1, frame, &end, why);
	}
	return err;
}

/* Sends from where `running` stands until all is stored, or the connection is cut (OTA_OK and
 * *ret_done false). */
static enum ota_err push(struct blob_send_table *table, const struct blob_send_seam *seam,
			 const struct control_upload *upload, struct running *running,
			 uint64_t patience_ms, bool *ret_done, struct ota_why *why)
{
	AUTO_FREE uint8_t *frame = malloc(FRAME_MAX);
	uint64_t at = running->stored;
	struct running seen;
	enum ota_err err = OTA_OK;

	if (!frame)
		return ota_fail(why, OTA_OUT_OF_MEMORY, "no memory for an upload");
	for (look(table, running, &seen); !seen.done && !seen.cut && !seen.err;
	     look(table, running, &seen)) {
		if (upload->progress && !upload->progress(upload->ctx, seen.stored))
			return ota_fail(why, OTA_BUSY, "the upload was stopped; it can go on");
		while (at < upload->size && at - seen.stored < MESSAGE_UPLOAD_WINDOW && !err)
			err = send_frame(seam, upload, running->id, at, MESSAGE_UPLOAD_DATA_MAX,
					 frame, &at, why);
		if (!err)
			err = await(table, seam, upload, running, seen.stored, at, patience_ms,
				    why);
		if (err)
			return err == OTA_UNREACHABLE ? OTA_OK : err;
	}
	*ret_done = seen.done;
	return seen.err && !seen.cut && !seen.done
		       ? ota_fail(why, seen.err, "%s", seen.why.text)
		       : OTA_OK;
}

static enum ota_err run_once(struct blob_send_table *table, const struct blob_send_seam *seam,
			     const struct control_upload *upload, uint64_t patience_ms,
			     bool *ret_done, uint64_t *ret_stored, struct ota_why *why)
{
	struct running running;
	enum ota_err err = begin(seam, upload, &running, why);

	if (err)
		return err;
	if (running.done) {
		*ret_done = true;
		return OTA_OK;
	}
	enlist(table, &running);
	err = push(table, seam, upload, &running, patience_ms, ret_done, why);
	delist(table, &running);
	*ret_stored = running.stored;
	return err;
}

static bool is_connection_matter(enum ota_err err)
{
	return err == OTA_UNREACHABLE || err == OTA_CONNECTION_LOST ||
	       err == OTA_DOWNLOAD_STALLED || err == OTA_RESUME_MISMATCH;
}

enum ota_err blob_send_run(struct blob_send_table *table, const struct blob_send_seam *seam,
			   const struct control_upload *upload, uint64_t patience_ms,
			   struct ota_why *why)
{
	uint64_t stored = 0, best = 0;
	unsigned idle = 0;
	bool done = false;
	enum ota_err err = OTA_OK;

	while (!done && idle < IDLE_ROUNDS_MAX) {
		err = run_once(table, seam, upload, patience_ms, &done, &stored, why);
		if (err && !is_connection_matter(err))
			return err;
		idle = stored > best ? 0 : idle + 1;
		best = stored > best ? stored : best;
		if (done)
			break;
		if (seam->wait(seam->ctx, why))
			return OTA_UNREACHABLE;
	}
	if (!done)
		return err ? err
			   : ota_fail(
				     why, OTA_DOWNLOAD_STALLED,
				     "the upload does not get on: %llu of %llu bytes are stored",
				     (unsigned long long)best,
				     (unsigned long long)upload->size);
	if (upload->progress)
		upload->progress(upload->ctx, upload->size);
	return OTA_OK;
}
