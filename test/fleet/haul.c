#include "haul.h"

#include "bulk.h"
#include "own.h"
#include "passage.h"

#include <string.h>
#include <sys/epoll.h>

#define RANGE_CHUNKS 16u    /* 1 MiB a request */
#define PATIENCE_MS  60000u /* without a byte */

static void watch(struct fleet *fleet, struct member *member, int operation)
{
	struct bulk *bulk = member->haul;
	uint32_t events = EPOLLIN | (bulk->wire.wants_write ? (uint32_t)EPOLLOUT : 0);
	struct epoll_event event = {.events = events, .data.u32 = member->number | HAUL_KEY};

	if (operation == EPOLL_CTL_MOD && events == bulk->events)
		return;
	bulk->events = events;
	epoll_ctl(fleet->epoll, operation, bulk->wire.fd, &event);
}

/* Every device is offered the same: the address is looked up once. */
static bool peer_of(struct fleet *fleet, const struct offer *offer)
{
	struct ota_why why = {0};

	if (fleet->source)
		return true;
	if (!offer->source_count)
		return false;
	fleet->source = calloc(1, sizeof(*fleet->source));
	if (fleet->source &&
	    bulk_peer_find(offer->sources[0].url, fleet->source, &why) != OTA_OK) {
		fleet_broken(fleet, "the offer's source", &why);
		free(fleet->source);
		fleet->source = NULL;
	}
	return fleet->source != NULL;
}

bool haul_start(struct fleet *fleet, struct member *member)
{
	struct passage *passage = &member->passage;
	struct download *download = &passage->download;
	struct ota_why why = {0};

	if (!fleet->options.https || download->blob->size < fleet->options.https_least ||
	    !peer_of(fleet, &passage->offering->offer))
		return false;
	member->haul = calloc(1, sizeof(*member->haul));
	if (!member->haul)
		return false;
	if (wire_open(&member->haul->wire, &fleet->source->peer, fleet->issuer, member->name,
		      member->number, &why)) {
		fleet->tally.https_failures++;
		fleet->tally.last_loss = why;
		haul_stop(member);
		return false;
	}
	download->next = download->blob->chunk_count; /* nothing is asked for over MQTT */
	passage->due_ms = fleet->now_ms + PATIENCE_MS;
	watch(fleet, member, EPOLL_CTL_ADD);
	return true;
}

void haul_stop(struct member *member)
{
	if (!member->haul)
		return;
	wire_close(&member->haul->wire);
	free(member->haul);
	member->haul = NULL;
	member->passage.download.next = member->passage.download.got;
	member->passage.due_ms = AGENDA_NEVER;
}

void haul_fail(struct fleet *fleet, struct member *member, const struct ota_why *why)
{
	fleet->tally.https_failures++;
	fleet->tally.last_loss = *why;
	haul_stop(member);
	passage_go_on(fleet, member);
}

static void ask(struct fleet *fleet, struct member *member)
{
	const struct download *download = &member->passage.download;
	const struct blob *blob = download->blob;
	uint64_t at = (uint64_t)download->got * MESSAGE_CHUNK_SIZE;
	uint64_t len = blob->size - at;

	if (len > RANGE_CHUNKS * MESSAGE_CHUNK_SIZE)
		len = RANGE_CHUNKS * MESSAGE_CHUNK_SIZE;
	bulk_ask(member->haul, fleet->source, &blob->digest, at, len);
}

/* All whole chunks that have come. */
static enum ota_err take(struct fleet *fleet, struct member *member, struct ota_why *why)
{
	struct passage *passage = &member->passage;
	struct download *download = &passage->download;

	while (!download_is_done(download)) {
		uint32_t len = blob_chunk_length(download->blob, download->got);
		const uint8_t *bytes;
		enum ota_err err = bulk_next(member->haul, len, &bytes, why);
		if (err)
			return err;
		if (!bytes)
			break;
		err = blob_take(download->blob, download->got, bytes, len, why);
		if (err)
			return err;
		download->got++;
		passage->fetched += len;
		fleet->tally.https_bytes += len;
		passage->due_ms = fleet->now_ms + PATIENCE_MS;
		if (!member->haul->asked && !download_is_done(download))
			ask(fleet, member);
	}
	bulk_forget(member->haul);
	return OTA_OK;
}

static enum ota_err serve(struct fleet *fleet, struct member *member, struct ota_why *why)
{
	struct wire *wire = &member->haul->wire;
	struct ota_why cause = {0};
	enum ota_err err, end;

	if (wire->state == WIRE_CONNECTING) {
		bool open;
		err = wire_connect(wire, &open, why);
		if (err || !open)
			return err;
		ask(fleet, member);
	}
	end = wire_read(wire, &cause);
	err = take(fleet, member, why);
	if (err || download_is_done(&member->passage.download))
		return err;
	if (end) {
		*why = cause;
		return end;
	}
	return wire_flush(wire, why);
}

void haul_event(struct fleet *fleet, struct member *member)
{
	struct ota_why why = {0};

	if (!member->haul)
		return;
	if (serve(fleet, member, &why)) {
		haul_fail(fleet, member, &why);
	} else if (download_is_done(&member->passage.download)) {
		haul_stop(member);
		passage_downloaded(fleet, member);
	} else {
		watch(fleet, member, EPOLL_CTL_MOD);
	}
	member_settle(fleet, member);
}
