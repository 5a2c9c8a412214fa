#include "download.h"

void download_start(struct download *download, struct blob *blob, uint32_t id)
{
	*download = (struct download){.blob = blob, .id = id};
}

void download_resume(struct download *download, uint32_t id)
{
	download->id = id;
	download->paused_until_ms = 0;
	for (unsigned i = 0; i < download->outstanding_count; i++)
		download->outstanding[i].asked_ms = 0;
}

bool download_is_done(const struct download *download)
{
	return download->blob && download->got == download->blob->chunk_count;
}

static void add_chunk(struct get *get, uint32_t chunk)
{
	struct get_range *last = get->range_count ? &get->ranges[get->range_count - 1] : NULL;
	if (last && last->first + last->count == chunk)
		last->count++;
	else
		get->ranges[get->range_count++] = (struct get_range){chunk, 1};
}

bool download_ask(struct download *download, unsigned window, uint64_t now_ms,
		  struct get *ret_get)
{
	if (!download->blob || now_ms < download->paused_until_ms)
		return false;
	struct get get = {.v = 1, .transfer = download->id, .blob = download->blob->digest};
	for (unsigned i = 0; i < download->outstanding_count; i++) {
		if (download->outstanding[i].asked_ms)
			continue;
		download->outstanding[i].asked_ms = now_ms;
		add_chunk(&get, download->outstanding[i].chunk);
	}
	if (download->outstanding_count <= window / 2) {
		while (download->outstanding_count < window &&
		       download->next < download->blob->chunk_count) {
			unsigned at = download->outstanding_count++;
			download->outstanding[at].chunk = download->next;
			download->outstanding[at].asked_ms = now_ms;
			add_chunk(&get, download->next++);
		}
	}
	if (!get.range_count)
		return false;
	*ret_get = get;
	return true;
}

enum ota_err download_chunk(struct download *download, const struct chunk *chunk, bool *ret_new,
			    struct ota_why *why)
{
	*ret_new = false;
	if (!download->blob || chunk->transfer != download->id)
		return OTA_OK;
	unsigned at = 0;
	while (at < download->outstanding_count &&
	       download->outstanding[at].chunk != chunk->number)
		at++;
	if (at == download->outstanding_count)
		return OTA_OK;
	enum ota_err err =
		blob_take(download->blob, chunk->number, chunk->data, chunk->data_len, why);
	if (err)
		return err;
	download->outstanding[at] = download->outstanding[--download->outstanding_count];
	download->got++;
	download->timeouts = 0;
	*ret_new = true;
	return OTA_OK;
}

void download_wait(struct download *download, uint64_t until_ms)
{
	download_resume(download, download->id);
	download->paused_until_ms = until_ms;
}

unsigned download_expire(struct download *download, uint64_t now_ms, uint64_t timeout_ms)
{
	unsigned expired = 0;
	for (unsigned i = 0; i < download->outstanding_count; i++) {
		uint64_t asked = download->outstanding[i].asked_ms;
		if (asked && now_ms >= asked + timeout_ms) {
			download->outstanding[i].asked_ms = 0;
			expired++;
		}
	}
	if (expired)
		download->timeouts++;
	return expired;
}

uint64_t download_due(const struct download *download, uint64_t timeout_ms)
{
	uint64_t due = UINT64_MAX;
	if (!download->blob || download_is_done(download))
		return due;
	for (unsigned i = 0; i < download->outstanding_count; i++) {
		uint64_t asked = download->outstanding[i].asked_ms;
		uint64_t then = asked ? asked + timeout_ms : download->paused_until_ms;
		if (then < due)
			due = then;
	}
	return due;
}
