/* The groups are spooled to the file behind the room that the longest table would take, since
 * the number of groups is known only at the end; then the table is written and the groups move
 * up. */
#include "pack_write_delta.h"

#include "file.h"
#include "own.h"

#include <errno.h>
#include <pthread.h>
#include <string.h>

#define LEVEL_DEFAULT 19
/* Bytes of image that a thread encodes by itself; never depends on the number of threads. A
 * delta's model learns from what comes before, so its pieces are larger. */
#define JOB_PLAIN (8u << 20)
#define JOB_DELTA (64u << 20)
/* One write of a whole group of 8 MiB was measured to cost the kernel more than twice as much
 * as the same bytes in such pieces. */
#define COPY_BYTES (256u << 10)

struct write {
	const struct pack_image *image;
	struct pack_write_options options;
	int fd;
	struct pack_header header;
	uint8_t *table;
	uint64_t spool, end; /* where spooled groups begin and end in the file */
	struct pack_result result;
	const struct pack_delta_source *delta; /* NULL without a base */
};

/* Segments that one thread encodes by itself. */
struct job {
	const struct write *write;
	uint32_t first, count;
	struct pack_part part;
	enum ota_err err;
	struct ota_why why;
};

static void *job_run(void *argument)
{
	struct job *job = argument;
	const struct write *write = job->write;
	job->err = write->delta
			   ? pack_part_delta(&job->part, write->delta, job->first, job->count,
					     &job->why)
			   : pack_part_plain(&job->part, write->image,
					     write->options.segment_size, write->options.level,
					     job->first, job->count, &job->why);
	return NULL;
}

static enum ota_err spool_part(struct write *write, const struct pack_part *part,
			       struct ota_why *why)
{
	for (size_t at = 0; at < part->size;) {
		size_t now = part->size - at < COPY_BYTES ? part->size - at : COPY_BYTES;
		enum ota_err err =
			file_pwrite_all(write->fd, part->bytes + at, now, write->end, why);
		if (err)
			return err;
		at += now;
		write->end += now;
	}
	for (uint32_t i = 0; i < part->group_count; i++) {
		const struct pack_group *group = &part->groups[i];
		uint32_t number = write->header.group_count++;
		pack_group_write(group, write->table + (size_t)number * PACK_GROUP_ENTRY_SIZE);
		write->result.segments[group->encoding] += group->count;
	}
	return OTA_OK;
}

static enum ota_err progress(const struct write *write, uint32_t segments, struct ota_why *why)
{
	struct pack_stage_progress now = {
		.done = (uint64_t)segments * write->options.segment_size,
		.total = write->image->size,
	};
	if (now.done > now.total)
		now.done = now.total;
	if (!write->options.progress || write->options.progress(write->options.ctx, now))
		return OTA_OK;
	return ota_fail(why, OTA_BUSY, "making the pack was stopped");
}

/* Runs two neighbouring jobs at a time where two threads are allowed. */
static enum ota_err run_jobs(struct write *write, struct job jobs[2], unsigned count,
			     struct ota_why *why)
{
	pthread_t thread;
	bool beside = count == 2 && write->options.threads > 1 &&
		      pthread_create(&thread, NULL, job_run, &jobs[1]) == 0;
	job_run(&jobs[0]);
	if (beside)
		pthread_join(thread, NULL);
	else if (count == 2)
		job_run(&jobs[1]);
	for (unsigned i = 0; i < count; i++) {
		enum ota_err err = jobs[i].err;
		if (err) {
			if (why)
				*why = jobs[i].why;
			return err;
		}
		err = spool_part(write, &jobs[i].part, why);
		if (err)
			return err;
	}
	return OTA_OK;
}

static enum ota_err encode(struct write *write, struct ota_why *why)
{
	uint32_t segments = pack_segment_count(write->image->size, write->options.segment_size);
	uint32_t step = (write->delta ? JOB_DELTA : JOB_PLAIN) / write->options.segment_size;
	enum ota_err err = progress(write, 0, why);
	for (uint32_t first = 0; first < segments && !err;) {
		struct job jobs[2] = {0};
		unsigned count = 0;
		while (count < 2 && first < segments) {
			uint32_t now = segments - first < step ? segments - first : step;
			jobs[count++] =
				(struct job){.write = write, .first = first, .count = now};
			first += now;
		}
		err = run_jobs(write, jobs, count, why);
		for (unsigned i = 0; i < count; i++)
			pack_part_done(&jobs[i].part);
		if (!err)
			err = progress(write, first, why);
	}
	return err;
}

static enum ota_err encode_delta(struct write *write, const struct pack_image *base,
				 struct ota_why *why)
{
	AUTO(pack_ops_done) struct pack_ops ops = {0};
	enum ota_err err = pack_match(write->image, base, &ops, why);
	if (err)
		return err;
	struct pack_delta_source delta = {
		.image = write->image,
		.base = base,
		.ops = &ops,
		.pointers = pack_pointers_find(base),
		.segment_size = write->options.segment_size,
		.level = write->options.level,
	};
	write->delta = &delta;
	err = encode(write, why);
	write->delta = NULL;
	return err;
}

static void free_stream(struct digest_stream **stream)
{
	digest_stream_free(*stream);
}

/* Moves the groups to behind the table, hashing as they pass. */
static enum ota_err close_gap(struct write *write, struct digest_stream *hash,
			      struct ota_why *why)
{
	AUTO_FREE uint8_t *buffer = malloc(COPY_BYTES);
	if (!buffer)
		return ota_fail(why, OTA_OUT_OF_MEMORY, "no memory for the pack's bytes");
	uint64_t to =
		PACK_HEADER_SIZE + (uint64_t)write->header.group_count * PACK_GROUP_ENTRY_SIZE;
	for (uint64_t from = write->spool; from < write->end;) {
		uint64_t left = write->end - from;
		size_t now = left < COPY_BYTES ? (size_t)left : COPY_BYTES;
		enum ota_err err = file_pread_all(write->fd, buffer, now, from, why);
		if (!err && to != from) /* a pack of single segments is in place already */
			err = file_pwrite_all(write->fd, buffer, now, to, why);
		if (!err)
			err = digest_stream_add(hash, buffer, now, why);
		if (err)
			return err;
		from += now;
		to += now;
	}
	if (ftruncate(write->fd, (off_t)to) < 0)
		return ota_fail_errno(why, OTA_IO_ERROR, errno, "cannot shorten the pack");
	write->result.size = to;
	return OTA_OK;
}

static enum ota_err finish(struct write *write, struct ota_why *why)
{
	AUTO(free_stream) struct digest_stream *hash = NULL;
	uint8_t header[PACK_HEADER_SIZE];
	size_t table_size = (size_t)write->header.group_count * PACK_GROUP_ENTRY_SIZE;
	pack_header_write(&write->header, header);
	enum ota_err err = digest_stream_new(&hash, why);
	if (!err)
		err = digest_stream_add(hash, header, sizeof header, why);
	if (!err)
		err = digest_stream_add(hash, write->table, table_size, why);
	if (!err)
		err = close_gap(write, hash, why);
	if (!err)
		err = file_pwrite_all(write->fd, header, sizeof header, 0, why);
	if (!err)
		err = file_pwrite_all(write->fd, write->table, table_size, sizeof header, why);
	if (!err)
		err = digest_stream_end(hash, &write->result.digest, why);
	write->result.groups = write->header.group_count;
	return err;
}

static struct pack_write_options with_defaults(const struct pack_write_options *options)
{
	struct pack_write_options full = options ? *options : (struct pack_write_options){0};
	if (!full.segment_size)
		full.segment_size = PACK_SEGMENT_SIZE_DEFAULT;
	if (!full.level)
		full.level = LEVEL_DEFAULT;
	return full;
}

enum ota_err pack_write(const struct pack_image *image, const struct pack_image *base,
			const struct pack_write_options *options, int fd,
			struct pack_result *ret_result, struct ota_why *why)
{
	struct write write = {.image = image, .options = with_defaults(options), .fd = fd};
	if (!pack_sizes_are_valid(image->size, write.options.segment_size))
		return ota_fail(why, OTA_SIZE_MISMATCH,
				"%llu bytes in segments of %u: 1 to %u segments are allowed",
				(unsigned long long)image->size, write.options.segment_size,
				PACK_SEGMENTS_MAX);
	write.header = (struct pack_header){
		.image_size = image->size,
		.segment_size = write.options.segment_size,
	};
	size_t table_max = (size_t)pack_segment_count(image->size, write.options.segment_size) *
			   PACK_GROUP_ENTRY_SIZE;
	AUTO_FREE uint8_t *table = malloc(table_max);
	if (!table)
		return ota_fail(why, OTA_OUT_OF_MEMORY, "no memory for the pack's table");
	write.table = table;
	write.spool = write.end = PACK_HEADER_SIZE + table_max;
	enum ota_err err = OTA_OK;
	if (write.options.image_digest)
		write.header.image = *write.options.image_digest;
	else
		err = digest_of(image->bytes, (size_t)image->size, &write.header.image, why);
	if (!err && base) {
		write.header.base_size = base->size;
		err = digest_of(base->bytes, (size_t)base->size, &write.header.base, why);
	}
	if (!err)
		err = base ? encode_delta(&write, base, why) : encode(&write, why);
	if (!err)
		err = finish(&write, why);
	if (!err)
		*ret_result = write.result;
	return err;
}
