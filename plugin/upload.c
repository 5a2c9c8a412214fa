#include "upload.h"

#include "file.h"
#include "own.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <time.h>

#define HASH_PER_TURN (8u << 20)
#define ANSWER_FRAMES 16u

struct upload_table {
	struct upload *uploads;
	char *store_dir;
	struct worker *worker;
	struct upload_limits limits;
	struct upload_seam seam;
	uint32_t count;
	uint64_t next_id;
};

struct upload {
	UT_hash_handle hh;
	struct upload_table *table;
	uint64_t id, size, used_ms;
	struct digest sha256;
	char manager[NAME_SIZE], product[NAME_SIZE];
	uint64_t accepted; /* bytes that frames have brought */
	uint64_t written;  /* of them in the file */
	uint32_t frames;   /* written since the last answer */
	uint64_t answered;
	uint32_t jobs; /* in the worker's hands */
	bool begun, ended, removed;
	/* The worker's alone */
	int fd;
	uint64_t hashed;
	struct digest_stream *stream;
};

struct upload_job {
	struct worker_job job;
	struct upload *upload;
	void *asker;
	uint64_t offset, end;
	size_t len;
	uint8_t data[];
};

enum ota_err upload_table_new(const char *store_dir, struct worker *worker,
			      const struct upload_limits *limits,
			      const struct upload_seam *seam, struct upload_table **ret_table,
			      struct ota_why *why)
{
	struct upload_table *table = calloc(1, sizeof(*table));

	if (table)
		table->store_dir = strdup(store_dir);
	if (!table || !table->store_dir) {
		free(table);
		return ota_fail(why, OTA_OUT_OF_MEMORY, "no memory for uploads");
	}
	table->worker = worker;
	table->limits = *limits;
	table->seam = *seam;
	/* Ids of before a restart should not come again at once. */
	table->next_id = (uint64_t)time(NULL) << 20;
	*ret_table = table;
	return OTA_OK;
}

static void upload_free(struct upload *upload)
{
	digest_stream_free(upload->stream);
	own_close(&upload->fd);
	free(upload);
}

/* Out of the table now; out of memory when the worker has let go of it. */
static void upload_remove(struct upload *upload)
{
	if (!upload->removed) {
		HASH_DEL(upload->table->uploads, upload);
		upload->table->count--;
		upload->removed = true;
	}
	if (upload->jobs == 0)
		upload_free(upload);
}

void upload_table_free(struct upload_table *table)
{
	struct upload *upload, *next;

	if (!table)
		return;
	HASH_ITER (hh, table->uploads, upload, next)
		upload_remove(upload);
	free(table->store_dir);
	free(table);
}

uint32_t upload_count(const struct upload_table *table)
{
	return table->count;
}

static struct upload_state state_of(const struct upload *upload)
{
	return (struct upload_state){.id = upload->id,
				     .offset = upload->written,
				     .sha256 = upload->sha256,
				     .size = upload->size,
				     .product = upload->product,
				     .manager = upload->manager};
}

static struct upload_job *job_new(struct upload *upload, size_t len,
				  enum worker_step (*run)(struct worker_job *),
				  void (*done)(struct worker_job *))
{
	struct upload_job *job = malloc(sizeof(*job) + len);

	if (job) {
		*job = (struct upload_job){
			.job = {.run = run, .done = done}, .upload = upload, .len = len};
		upload->jobs++;
	}
	return job;
}

/* Frees the job; false when the upload went with it. */
static bool job_end(struct upload_job *job)
{
	struct upload *upload = job->upload;

	free(job);
	upload->jobs--;
	if (upload->removed && upload->jobs == 0) {
		upload_free(upload);
		return false;
	}
	return !upload->removed;
}

/* ---- the end: compare, sync, name ---- */

static enum ota_err name_it(struct upload *upload, struct ota_why *why)
{
	char from[BLOB_PATH_SIZE], to[BLOB_PATH_SIZE], *slash;
	enum ota_err err;

	err = blob_path(upload->table->store_dir, &upload->sha256, true, from, why);
	if (!err)
		err = blob_path(upload->table->store_dir, &upload->sha256, false, to, why);
	if (err)
		return err;
	slash = strrchr(to, '/');
	*slash = '\0';
	err = file_make_directory(to, 0755, why);
	*slash = '/';
	if (err)
		return err;
	if (fsync(upload->fd) || fchmod(upload->fd, 0644) || rename(from, to))
		return ota_fail_errno(why, OTA_IO_ERROR, errno, "cannot store '%s'", to);
	*slash = '\0';
	return file_sync_directory(to, why);
}

static enum worker_step end_run(struct worker_job *worker_job)
{
	struct upload *upload = ((struct upload_job *)worker_job)->upload;
	char path[BLOB_PATH_SIZE];
	struct digest digest;

	worker_job->err = digest_stream_end(upload->stream, &digest, &worker_job->why);
	if (!worker_job->err && !digest_equal(&digest, &upload->sha256)) {
		if (!blob_path(upload->table->store_dir, &upload->sha256, true, path, NULL))
			unlink(path);
		worker_job->err = ota_fail(&worker_job->why, OTA_IMAGE_HASH_MISMATCH,
					   "the bytes are not those of the digest; all of "
					   "them must be sent again");
	}
	if (!worker_job->err)
		worker_job->err = name_it(upload, &worker_job->why);
	return WORKER_FINISHED;
}

static void end_done(struct worker_job *worker_job)
{
	struct upload_job *job = (struct upload_job *)worker_job;
	struct upload *upload = job->upload;
	struct upload_state state = state_of(upload);

	state.err = worker_job->err;
	state.why = &worker_job->why;
	state.done = !worker_job->err;
	upload->table->seam.news(upload->table->seam.ctx, &state);
	if (job_end(job))
		upload_remove(upload);
}

static enum ota_err push_end(struct upload *upload, struct ota_why *why)
{
	struct upload_job *job = job_new(upload, 0, end_run, end_done);

	if (!job)
		return ota_fail(why, OTA_OUT_OF_MEMORY, "no memory for an upload");
	upload->ended = true;
	worker_push(upload->table->worker, &job->job);
	return OTA_OK;
}

/* ---- beginning: find what is there and hash it ---- */

static enum ota_err check_disk(const struct upload *upload, struct ota_why *why)
{
	struct statvfs disk;
	uint64_t all, left, reserve, need = upload->size - upload->hashed;

	if (statvfs(upload->table->store_dir, &disk))
		return ota_fail_errno(why, OTA_IO_ERROR, errno, "cannot ask for free space");
	all = (uint64_t)disk.f_blocks * disk.f_frsize;
	left = (uint64_t)disk.f_bavail * disk.f_frsize;
	reserve = all / 100 * upload->table->limits.reserve_percent;
	if (left < reserve || left - reserve < need)
		return ota_fail(why, OTA_INSUFFICIENT_STORAGE,
				"%" PRIu64 " bytes are needed, %" PRIu64
				" are free beside the %" PRIu64 " %% that stay so",
				need, left < reserve ? 0 : left - reserve,
				upload->table->limits.reserve_percent);
	return OTA_OK;
}

static enum ota_err open_partial(struct upload *upload, struct ota_why *why)
{
	char path[BLOB_PATH_SIZE];
	enum ota_err err;

	err = blob_path(upload->table->store_dir, &upload->sha256, true, path, why);
	if (err)
		return err;
	upload->fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0640);
	if (upload->fd < 0)
		return ota_fail_errno(why, OTA_IO_ERROR, errno, "cannot open '%s'", path);
	return digest_stream_new(&upload->stream, why);
}

static enum ota_err hash_some(struct upload *upload, uint64_t end, struct ota_why *why)
{
	AUTO_FREE uint8_t *buffer = malloc(1u << 20);
	uint64_t stop = upload->hashed + HASH_PER_TURN;
	enum ota_err err;

	if (!buffer)
		return ota_fail(why, OTA_OUT_OF_MEMORY, "no memory to hash a blob");
	while (upload->hashed < end && upload->hashed < stop) {
		size_t len = end - upload->hashed < (1u << 20) ? (size_t)(end - upload->hashed)
							       : 1u << 20;

		err = file_pread_all(upload->fd, buffer, len, upload->hashed, why);
		if (!err)
			err = digest_stream_add(upload->stream, buffer, len, why);
		if (err)
			return err;
		upload->hashed += len;
	}
	return OTA_OK;
}

static enum worker_step begin_run(struct worker_job *worker_job)
{
	struct upload_job *job = (struct upload_job *)worker_job;
	struct upload *upload = job->upload;
	struct stat file;

	if (upload->fd < 0) {
		worker_job->err = open_partial(upload, &worker_job->why);
		if (!worker_job->err && fstat(upload->fd, &file))
			worker_job->err = ota_fail_errno(&worker_job->why, OTA_IO_ERROR, errno,
							 "cannot look at a blob");
		if (!worker_job->err && (uint64_t)file.st_size > upload->size)
			file.st_size = ftruncate(upload->fd, 0) ? file.st_size : 0;
		if (worker_job->err)
			return WORKER_FINISHED;
		job->end = (uint64_t)file.st_size;
	}
	worker_job->err = hash_some(upload, job->end, &worker_job->why);
	if (!worker_job->err && upload->hashed < job->end)
		return WORKER_AGAIN;
	if (!worker_job->err)
		worker_job->err = check_disk(upload, &worker_job->why);
	return WORKER_FINISHED;
}

static void begin_done(struct worker_job *worker_job)
{
	struct upload_job *job = (struct upload_job *)worker_job;
	struct upload *upload = job->upload;
	enum ota_err err = worker_job->err;
	struct upload_state state;

	upload->accepted = upload->written = upload->answered = job->end;
	upload->begun = !err;
	if (!err && upload->written == upload->size)
		err = push_end(upload, &worker_job->why);
	state = state_of(upload);
	state.err = err;
	state.why = &worker_job->why;
	upload->table->seam.begun(upload->table->seam.ctx, job->asker, &state);
	if (job_end(job) && err)
		upload_remove(upload);
}

static struct upload *upload_for(const struct upload_table *table, const struct digest *sha256)
{
	struct upload *upload, *next;

	HASH_ITER (hh, table->uploads, upload, next)
		if (digest_equal(&upload->sha256, sha256))
			return upload;
	return NULL;
}

static enum ota_err upload_make(struct upload_table *table, const char *manager,
				const char *product, const struct digest *sha256, uint64_t size,
				void *asker, struct upload **ret_upload, struct ota_why *why)
{
	struct upload *upload = calloc(1, sizeof(*upload));
	struct upload_job *job;

	if (!upload)
		return ota_fail(why, OTA_OUT_OF_MEMORY, "no memory for an upload");
	upload->table = table;
	upload->id = ++table->next_id;
	upload->size = size;
	upload->sha256 = *sha256;
	upload->fd = -1;
	text_copy(upload->manager, sizeof(upload->manager), manager);
	text_copy(upload->product, sizeof(upload->product), product);
	job = job_new(upload, 0, begin_run, begin_done);
	if (!job) {
		upload_free(upload);
		return ota_fail(why, OTA_OUT_OF_MEMORY, "no memory for an upload");
	}
	job->asker = asker;
	HASH_ADD(hh, table->uploads, id, sizeof(upload->id), upload);
	table->count++;
	*ret_upload = upload;
	worker_push(table->worker, &job->job);
	return OTA_OK;
}

enum ota_err upload_begin(struct upload_table *table, const char *manager, const char *product,
			  const struct digest *sha256, uint64_t size, uint64_t stored_bytes,
			  uint64_t now_ms, void *asker, struct ota_why *why)
{
	struct upload *upload = upload_for(table, sha256), *other, *next;
	uint64_t coming = stored_bytes;
	enum ota_err err;

	if (size < 1 || size > UPLOAD_SIZE_MAX)
		return ota_fail(why, OTA_TOO_LARGE, "a blob has 1 to %" PRIu64 " bytes",
				(uint64_t)UPLOAD_SIZE_MAX);
	if (upload && (upload->jobs || upload->accepted != upload->written))
		return ota_fail(why, OTA_BUSY, "this blob is being uploaded right now");
	if (upload) /* the same again, after a lost connection: as from the file */
		upload_remove(upload);
	HASH_ITER (hh, table->uploads, other, next)
		coming += other->size;
	if (coming > table->limits.quota_bytes || table->limits.quota_bytes - coming < size)
		return ota_fail(why, OTA_QUOTA_EXCEEDED,
				"blobs may take %" PRIu64 " bytes and %" PRIu64 " are taken",
				table->limits.quota_bytes, coming);
	if (table->count >= UPLOAD_MAX)
		return ota_fail(why, OTA_BUSY, "%u uploads are under way", table->count);
	err = upload_make(table, manager, product, sha256, size, asker, &upload, why);
	if (!err)
		upload->used_ms = now_ms;
	return err;
}

/* ---- frames ---- */

static enum worker_step frame_run(struct worker_job *worker_job)
{
	struct upload_job *job = (struct upload_job *)worker_job;
	struct upload *upload = job->upload;

	/* After a frame that failed, those behind it have a gap before them. */
	if (upload->hashed != job->offset)
		worker_job->err = ota_fail(&worker_job->why, OTA_RESUME_MISMATCH,
					   "a frame before this one was not written");
	else
		worker_job->err = file_pwrite_all(upload->fd, job->data, job->len, job->offset,
						  &worker_job->why);
	if (!worker_job->err)
		worker_job->err = digest_stream_add(upload->stream, job->data, job->len,
						    &worker_job->why);
	if (!worker_job->err)
		upload->hashed += job->len;
	return WORKER_FINISHED;
}

static void frame_done(struct worker_job *worker_job)
{
	struct upload_job *job = (struct upload_job *)worker_job;
	struct upload *upload = job->upload;
	struct upload_table *table = upload->table;
	struct upload_state state;
	enum ota_err err = worker_job->err;

	if (!err && !upload->removed) {
		upload->written += job->len;
		upload->frames++;
		if (upload->written == upload->size)
			err = push_end(upload, &worker_job->why);
	}
	state = state_of(upload);
	state.err = err;
	state.why = &worker_job->why;
	if (!upload->removed && (err || upload->frames >= ANSWER_FRAMES ||
				 upload->written - upload->answered >= UPLOAD_ANSWER_MAX)) {
		upload->frames = 0;
		upload->answered = upload->written;
		table->seam.news(table->seam.ctx, &state);
	}
	if (job_end(job) && err)
		upload_remove(upload);
}

enum ota_err upload_frame(struct upload_table *table, const char *manager,
			  const struct upload_frame *frame, uint64_t now_ms,
			  uint64_t *ret_offset, bool *ret_repeated, struct ota_why *why)
{
	struct upload *upload;
	struct upload_job *job;

	*ret_repeated = false;
	HASH_FIND(hh, table->uploads, &frame->upload, sizeof(frame->upload), upload);
	if (!upload || strcmp(upload->manager, manager) != 0 || !upload->begun)
		return ota_fail(why, OTA_NOT_FOUND, "no such upload; begin it again");
	*ret_offset = upload->written;
	upload->used_ms = now_ms;
	if (frame->offset < upload->accepted) {
		*ret_repeated = true;
		return OTA_OK;
	}
	if (frame->offset != upload->accepted)
		return ota_fail(why, OTA_RESUME_MISMATCH,
				"the next byte is %" PRIu64 ", not %" PRIu64, upload->accepted,
				frame->offset);
	if (frame->data_len > upload->size - upload->accepted)
		return ota_fail(why, OTA_SIZE_MISMATCH,
				"more bytes than the %" PRIu64 " that were announced",
				upload->size);
	if (upload->accepted + frame->data_len - upload->written > MESSAGE_UPLOAD_WINDOW)
		return ota_fail(why, OTA_BUSY, "more than %u bytes are unanswered",
				MESSAGE_UPLOAD_WINDOW);
	job = job_new(upload, frame->data_len, frame_run, frame_done);
	if (!job)
		return ota_fail(why, OTA_OUT_OF_MEMORY, "no memory for a frame");
	memcpy(job->data, frame->data, frame->data_len);
	job->offset = frame->offset;
	upload->accepted += frame->data_len;
	worker_push(table->worker, &job->job);
	return OTA_OK;
}

void upload_sweep(struct upload_table *table, uint64_t now_ms)
{
	struct upload *upload, *next;

	HASH_ITER (hh, table->uploads, upload, next)
		if (upload->jobs == 0 && now_ms - upload->used_ms >= UPLOAD_IDLE_MS)
			upload_remove(upload);
}

/* ---- what nobody goes on with ---- */

struct prune_job {
	struct worker_job job;
	char path[BLOB_PATH_SIZE];
};

static void shut_directory(DIR *const *directory)
{
	if (*directory)
		closedir(*directory);
}

static enum worker_step prune_run(struct worker_job *job)
{
	AUTO(shut_directory) DIR *directory = opendir(((struct prune_job *)job)->path);
	time_t before = time(NULL) - UPLOAD_KEPT_S;
	const struct dirent *entry;
	struct stat file;

	while (directory && (entry = readdir(directory)))
		if (strlen(entry->d_name) == 2 * DIGEST_SIZE &&
		    fstatat(dirfd(directory), entry->d_name, &file, AT_SYMLINK_NOFOLLOW) == 0 &&
		    S_ISREG(file.st_mode) && file.st_mtime < before)
			unlinkat(dirfd(directory), entry->d_name, 0);
	return WORKER_FINISHED;
}

static void prune_done(struct worker_job *job)
{
	free(job);
}

void upload_prune(struct upload_table *table)
{
	struct prune_job *job = calloc(1, sizeof(*job));

	if (!job)
		return;
	snprintf(job->path, sizeof(job->path), "%s/partial", table->store_dir);
	job->job.run = prune_run;
	job->job.done = prune_done;
	worker_push(table->worker, &job->job);
}
