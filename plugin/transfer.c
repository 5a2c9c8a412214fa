/* Transfer: chunks for devices. A chunk whose bytes are in the page cache is read and published
 * within the callback; one that is not is read by the worker, together with what will be asked
 * next, and published when it comes back: the broker's thread never waits for a disk. */
#include "service.h"

#include "own.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/uio.h>

#define COLD_READS_MAX 64u
#define COLD_WAIT_MS   50u
#define READ_AHEAD     (4u << 20)

struct cold_read {
	struct worker_job job;
	struct service *service;
	char device[NAME_SIZE];
	void *frame; /* the broker's memory */
	uint64_t offset;
	size_t len;
	int fd; /* of its own: the blob's may be closed meanwhile */
};

struct transfer {
	struct service *service;
	const char *device;
	struct blob *blob;
	uint32_t id;
	int fd;
};

static void tell_wait(const struct transfer *transfer, uint32_t wait_ms)
{
	struct chunk chunk = {.kind = CHUNK_WAIT, .transfer = transfer->id, .number = wait_ms};

	transfer->service->figures.waits++;
	outbox_chunk(transfer->service, transfer->device, &chunk);
}

static void tell_refused(const struct transfer *transfer, uint32_t number, enum ota_err err)
{
	struct chunk chunk = {
		.kind = CHUNK_REFUSED, .err = err, .transfer = transfer->id, .number = number};

	transfer->service->figures.refused_chunks++;
	outbox_chunk(transfer->service, transfer->device, &chunk);
}

/* ---- reading on the worker ---- */

static enum worker_step cold_run(struct worker_job *job)
{
	struct cold_read *cold = (struct cold_read *)job;
	uint8_t *to = (uint8_t *)cold->frame + MESSAGE_CHUNK_HEADER;
	size_t done = 0;

	posix_fadvise(cold->fd, (off_t)cold->offset, READ_AHEAD, POSIX_FADV_WILLNEED);
	while (done < cold->len) {
		ssize_t got = pread(cold->fd, to + done, cold->len - done,
				    (off_t)(cold->offset + done));

		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0) {
			job->err = OTA_IO_ERROR;
			break;
		}
		done += (size_t)got;
	}
	return WORKER_FINISHED;
}

static void cold_done(struct worker_job *job)
{
	struct cold_read *cold = (struct cold_read *)job;
	struct service *service = cold->service;

	service->cold_reads--;
	if (job->err || service->closing) {
		service->broker.release(service->broker.ctx, cold->frame);
	} else {
		service->figures.chunks++;
		service->figures.bytes += cold->len;
		outbox_chunk_send(service, cold->device, cold->frame, cold->len);
	}
	own_close(&cold->fd);
	free(cold);
}

/* False when the worker cannot take it now; the frame is then still the caller's. */
static bool read_cold(const struct transfer *transfer, void *frame, uint64_t offset, size_t len)
{
	struct cold_read *cold;

	if (transfer->service->cold_reads >= COLD_READS_MAX)
		return false;
	cold = calloc(1, sizeof(*cold));
	if (!cold)
		return false;
	cold->fd = fcntl(transfer->fd, F_DUPFD_CLOEXEC, 0);
	if (cold->fd < 0) {
		free(cold);
		return false;
	}
	cold->job.run = cold_run;
	cold->job.done = cold_done;
	cold->service = transfer->service;
	text_copy(cold->device, sizeof(cold->device), transfer->device);
	cold->frame = frame;
	cold->offset = offset;
	cold->len = len;
	transfer->service->cold_reads++;
	worker_push(transfer->service->worker, &cold->job);
	return true;
}

/* ---- reading here ---- */

/* True when all of it was in the page cache. Where the file system cannot say (tmpfs), a plain
 * read is one from memory. */
static bool read_warm(int fd, uint8_t *to, size_t len, uint64_t offset)
{
	struct iovec place = {.iov_base = to, .iov_len = len};
	ssize_t got = preadv2(fd, &place, 1, (off_t)offset, RWF_NOWAIT);

	if (got < 0 && (errno == EOPNOTSUPP || errno == ENOSYS || errno == EINVAL))
		got = pread(fd, to, len, (off_t)offset);
	return got == (ssize_t)len;
}

static bool send_chunk(const struct transfer *transfer, uint32_t number)
{
	struct service *service = transfer->service;
	struct chunk chunk = {.kind = CHUNK_DATA, .transfer = transfer->id, .number = number};
	uint64_t offset = (uint64_t)number * MESSAGE_CHUNK_SIZE;
	uint64_t left = transfer->blob->size - offset;
	size_t len = left < MESSAGE_CHUNK_SIZE ? (size_t)left : MESSAGE_CHUNK_SIZE;
	uint8_t *frame = outbox_chunk_alloc(service, &chunk, len);

	if (!frame)
		return false;
	if (read_warm(transfer->fd, frame + MESSAGE_CHUNK_HEADER, len, offset)) {
		service->figures.chunks++;
		service->figures.bytes += len;
		outbox_chunk_send(service, transfer->device, frame, len);
		return true;
	}
	if (read_cold(transfer, frame, offset, len))
		return true;
	service->broker.release(service->broker.ctx, frame);
	return false;
}

/* A device is served its product's firmware, and nothing while it may have none. */
static bool may_have(const struct device *device, const struct blob *blob)
{
	return device && blob && device->status == DEVICE_APPROVED &&
	       blob_is_of(blob, device->product->name);
}

static uint32_t count_chunks(const struct get *get)
{
	uint64_t count = 0;

	for (uint32_t i = 0; i < get->range_count; i++)
		count += get->ranges[i].count;
	return count < MESSAGE_WINDOW_MAX ? (uint32_t)count : MESSAGE_WINDOW_MAX;
}

static void send_ranges(const struct transfer *transfer, const struct get *get,
			uint32_t granted)
{
	uint64_t chunks = (transfer->blob->size + MESSAGE_CHUNK_SIZE - 1) / MESSAGE_CHUNK_SIZE;

	for (uint32_t i = 0; i < get->range_count; i++)
		for (uint32_t n = 0; n < get->ranges[i].count; n++) {
			uint64_t number = (uint64_t)get->ranges[i].first + n;

			if (granted-- == 0)
				return;
			if (number >= chunks) {
				tell_refused(transfer, (uint32_t)number, OTA_NOT_FOUND);
				return;
			}
			if (!send_chunk(transfer, (uint32_t)number)) {
				tell_wait(transfer, COLD_WAIT_MS);
				return;
			}
		}
}

void transfer_get(struct service *service, struct session *session, const struct get *get)
{
	struct transfer transfer = {.service = service,
				    .device = session->identity.name,
				    .id = get->transfer,
				    .blob = blob_find(&service->blobs, &get->blob)};
	const struct device *device = engine_device(service->engine, transfer.device);
	uint32_t wanted = count_chunks(get), granted, wait_ms = 0;
	struct ota_why why = {0};

	if (!may_have(device, transfer.blob)) {
		tell_refused(&transfer, get->ranges[0].first, OTA_NOT_FOUND);
		return;
	}
	if (blob_open(&service->blobs, transfer.blob, &transfer.fd, &why)) {
		service_log(service, BROKER_ERROR, "a blob that is offered is not there: %s",
			    why.text);
		tell_refused(&transfer, get->ranges[0].first, OTA_IO_ERROR);
		return;
	}
	wait_ms = engine_fetch(service->engine, transfer.device,
			       (uint64_t)wanted * MESSAGE_CHUNK_SIZE);
	if (wait_ms == ENGINE_FETCH_REFUSED) {
		tell_refused(&transfer, get->ranges[0].first, OTA_CHUNK_REFUSED);
		return;
	}
	if (wait_ms > 0) {
		tell_wait(&transfer, wait_ms);
		return;
	}
	granted = delivery_admit(&service->delivery, transfer.device, wanted, service_mono_ms(),
				 &wait_ms);
	if (granted == 0)
		tell_wait(&transfer, wait_ms);
	else
		send_ranges(&transfer, get, granted);
	if (granted > 0 && granted < wanted)
		tell_wait(&transfer, DELIVERY_YOUNG_MS);
}
