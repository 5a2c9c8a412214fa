/* The bitmap `have` is the whole truth about progress: it says which segments are in the slot
 * with the right hash, and is made anew from the slot's content by every fetch. */
#include "fetch.h"

#include "bitmap.h"
#include "own.h"

#include <assert.h>
#include <string.h>

struct fetch {
	struct fetch_plan plan;
	enum fetch_phase phase;
	uint32_t segment_count, scanned;
	uint8_t *index; /* segment_count × DIGEST_SIZE, once verified or while it comes */
	size_t index_len;
	uint8_t *have, *failed; /* bitmaps: in the slot; not to be had from this pack */
	uint8_t *segment;	/* for hashing what is in the slot */
	uint64_t done;
	uint32_t missing;
	struct flow flow;
	uint32_t next_id;
	unsigned source; /* of plan.sources */
	unsigned pack;	 /* place in `order` */
	unsigned order[MESSAGE_PACKS_MAX], order_count;
	struct pack_reader *reader;
	uint64_t head_fed;
	uint32_t group, group_count;
	bool in_group;
	unsigned bad_in_row, dropped;
	struct ota_why last;
};

static bool segment_is_good(const struct fetch *fetch, uint32_t segment, const void *bytes,
			    size_t len)
{
	struct digest digest;

	if (digest_of(bytes, len, &digest, NULL))
		return false;
	return !memcmp(digest.bytes, fetch->index + (size_t)segment * DIGEST_SIZE, DIGEST_SIZE);
}

static uint32_t length_of(const struct fetch *fetch, uint32_t segment)
{
	return pack_segment_length(fetch->plan.component->size,
				   fetch->plan.component->segment_size, segment);
}

static void mark(struct fetch *fetch, uint32_t segment)
{
	if (bitmap_has(fetch->have, segment))
		return;
	bitmap_set(fetch->have, segment);
	fetch->done += length_of(fetch, segment);
	fetch->missing--;
}

static const struct source *source_of(const struct fetch *fetch)
{
	return fetch->source < fetch->plan.source_count ? fetch->plan.sources[fetch->source]
							: NULL;
}

/* --- the index --- */

static uint32_t chunks_of(uint64_t size)
{
	return (uint32_t)((size + MESSAGE_CHUNK_SIZE - 1) / MESSAGE_CHUNK_SIZE);
}

static uint32_t index_need(void *ctx, uint32_t from)
{
	const struct fetch *fetch = ctx;

	return from < chunks_of(fetch->plan.component->index.size) ? from : FLOW_NO_CHUNK;
}

static enum ota_err index_deliver(void *ctx, uint32_t number, const uint8_t *data, size_t len,
				  struct ota_why *why)
{
	struct fetch *fetch = ctx;
	size_t at = (size_t)number * MESSAGE_CHUNK_SIZE;
	struct digest digest;

	assert(at == fetch->index_len);
	memcpy(fetch->index + at, data, len);
	fetch->index_len += len;
	if (fetch->index_len < fetch->plan.component->index.size)
		return OTA_OK;
	enum ota_err err = digest_of(fetch->index, fetch->index_len, &digest, why);
	if (err)
		return err;
	if (!digest_equal(&digest, &fetch->plan.component->index.sha256))
		return ota_fail(why, OTA_SEGMENT_HASH_MISMATCH,
				"the index from %s is not the one that the firmware names",
				source_of(fetch)->name);
	fetch->phase = FETCH_SCAN;
	fetch->scanned = 0;
	return OTA_OK;
}

static void start_index(struct fetch *fetch)
{
	const struct flow_seam seam = {fetch, index_need, index_deliver};

	fetch->phase = FETCH_INDEX;
	fetch->index_len = 0;
	flow_start(&fetch->flow, &seam, source_of(fetch), &fetch->plan.component->index.sha256,
		   fetch->plan.component->index.size, fetch->next_id++, true);
}

/* --- packs --- */

static bool segment_is_wanted(const struct fetch *fetch, uint32_t segment)
{
	return !bitmap_has(fetch->have, segment) && !bitmap_has(fetch->failed, segment);
}

static bool group_is_wanted(const struct fetch *fetch, uint32_t group)
{
	const struct pack_group info = pack_reader_group(fetch->reader, group);

	for (uint32_t i = 0; i < info.count; i++) {
		if (segment_is_wanted(fetch, info.first + i))
			return true;
	}
	return false;
}

/* The least chunk ≥ from that holds bytes of a wanted group after the one in hand. */
static uint32_t group_need(const struct fetch *fetch, uint32_t from)
{
	const uint64_t offset = (uint64_t)from * MESSAGE_CHUNK_SIZE;

	for (uint32_t i = fetch->group; i < fetch->group_count; i++) {
		const struct pack_group info = pack_reader_group(fetch->reader, i);

		if (!info.length || info.offset + info.length <= offset)
			continue;
		if (i == fetch->group && fetch->in_group) {
			if (!pack_reader_wants(fetch->reader))
				continue;
		} else if (!group_is_wanted(fetch, i)) {
			continue;
		}
		uint32_t first = (uint32_t)(info.offset / MESSAGE_CHUNK_SIZE);
		return first > from ? first : from;
	}
	return FLOW_NO_CHUNK;
}

static uint32_t pack_need(void *ctx, uint32_t from)
{
	const struct fetch *fetch = ctx;

	if (pack_reader_is_ready(fetch->reader))
		return group_need(fetch, from);
	return from < chunks_of(pack_reader_head_size(fetch->reader)) ? from : FLOW_NO_CHUNK;
}

static enum ota_err take_segment(void *ctx, uint32_t segment, const void *bytes, size_t len,
				 struct ota_why *why)
{
	struct fetch *fetch = ctx;
	const struct firmware_component *component = fetch->plan.component;

	if (bitmap_has(fetch->have, segment))
		return OTA_OK;
	if (segment_is_good(fetch, segment, bytes, len)) {
		enum ota_err err = fetch->plan.slots->write(
			fetch->plan.slots->ctx, fetch->plan.part,
			(uint64_t)segment * component->segment_size, bytes, len, why);
		if (err)
			return ota_context(why, err, "segment %u", segment);
		mark(fetch, segment);
		fetch->bad_in_row = 0;
		return OTA_OK;
	}
	bitmap_set(fetch->failed, segment);
	if (pack_reader_group(fetch->reader, fetch->group).encoding == PACK_DELTA)
		return OTA_OK; /* the base is damaged there: another pack has it */
	fetch->bad_in_row++;
	if (fetch->bad_in_row < FETCH_BAD_IN_ROW)
		return OTA_OK;
	return ota_fail(why, OTA_SEGMENT_HASH_MISMATCH, "%u bad segments in a row from %s",
			fetch->bad_in_row, source_of(fetch)->name);
}

/* Moves to the next wanted group; false when there is none. */
static enum ota_err next_group(struct fetch *fetch, bool *ret_found, struct ota_why *why)
{
	if (fetch->in_group && !pack_reader_wants(fetch->reader)) {
		fetch->in_group = false;
		fetch->group++;
	}
	while (!fetch->in_group && fetch->group < fetch->group_count) {
		if (!group_is_wanted(fetch, fetch->group)) {
			fetch->group++;
			continue;
		}
		enum ota_err err = pack_reader_begin(fetch->reader, fetch->group, why);
		if (err)
			return err;
		if (pack_reader_wants(fetch->reader))
			fetch->in_group = true;
		else
			fetch->group++;
	}
	*ret_found = fetch->in_group;
	return OTA_OK;
}

/* A delta that does not decode has most likely met a damaged base. The next groups do not
 * depend on it; what it owes comes from another pack. */
static void skip_group(struct fetch *fetch, const struct pack_group *info)
{
	for (uint32_t i = 0; i < info->count; i++) {
		if (segment_is_wanted(fetch, info->first + i))
			bitmap_set(fetch->failed, info->first + i);
	}
	fetch->in_group = false;
	fetch->group++;
}

static enum ota_err feed_groups(struct fetch *fetch, uint64_t offset, const uint8_t *data,
				size_t len, struct ota_why *why)
{
	const uint64_t end = offset + len;
	bool found;

	for (;;) {
		enum ota_err err = next_group(fetch, &found, why);
		if (err || !found)
			return err;
		const struct pack_group info = pack_reader_group(fetch->reader, fetch->group);
		const uint32_t wants = pack_reader_wants(fetch->reader);
		const uint64_t at = info.offset + info.length - wants;

		if (at >= end)
			return OTA_OK;
		/* Chunks come in order and none is left out, so what is wanted is never behind.
		 */
		assert(at >= offset);
		size_t take = end - at < wants ? (size_t)(end - at) : wants;
		err = pack_reader_feed(fetch->reader, data + (at - offset), take, why);
		if (err == OTA_SEGMENT_HASH_MISMATCH && info.encoding == PACK_DELTA)
			skip_group(fetch, &info);
		else if (err)
			return err;
	}
}

static enum ota_err pack_deliver(void *ctx, uint32_t number, const uint8_t *data, size_t len,
				 struct ota_why *why)
{
	struct fetch *fetch = ctx;
	uint64_t offset = (uint64_t)number * MESSAGE_CHUNK_SIZE;

	if (!pack_reader_is_ready(fetch->reader)) {
		size_t used = 0;
		enum ota_err err = pack_reader_head(fetch->reader, data, len, &used, why);

		if (err)
			return err;
		if (!pack_reader_is_ready(fetch->reader))
			return OTA_OK;
		fetch->group = 0;
		fetch->group_count = pack_reader_group_count(fetch->reader);
		fetch->in_group = false;
		return feed_groups(fetch, offset + used, data + used, len - used, why);
	}
	return feed_groups(fetch, offset, data, len, why);
}

static enum ota_err base_read(void *ctx, uint64_t offset, void *ret_bytes, size_t len,
			      struct ota_why *why)
{
	const struct fetch *fetch = ctx;

	return fetch->plan.slots->read(fetch->plan.slots->ctx, SLOT_RUNNING, fetch->plan.part,
				       offset, ret_bytes, len, why);
}

static void stop_pack(struct fetch *fetch)
{
	pack_reader_free(fetch->reader);
	fetch->reader = NULL;
	fetch->in_group = false;
	flow_done(&fetch->flow);
}

static enum ota_err start_pack(struct fetch *fetch, struct ota_why *why)
{
	const struct fetch_plan *plan = &fetch->plan;
	const struct offer_pack *pack = &plan->packs[fetch->order[fetch->pack]];
	const bool has_base = !digest_is_zero(&pack->base);
	const struct pack_expected expected = {
		.pack_size = pack->size,
		.image_size = plan->component->size,
		.segment_size = plan->component->segment_size,
		.image = plan->component->sha256,
		.has_base = has_base,
		.base_size = has_base ? plan->base_size : 0,
		.base = pack->base,
	};
	const struct pack_read_seam reader = {fetch, has_base ? base_read : NULL, take_segment};
	const struct flow_seam seam = {fetch, pack_need, pack_deliver};

	fetch->phase = FETCH_PACK;
	fetch->bad_in_row = 0;
	memset(fetch->failed, 0, fetch->segment_count / 8 + 1);
	enum ota_err err = pack_reader_new(&expected, &reader, &fetch->reader, why);
	if (err)
		return err;
	fetch->group_count = 0;
	flow_start(&fetch->flow, &seam, source_of(fetch), &pack->sha256, pack->size,
		   fetch->next_id++, true);
	return OTA_OK;
}

/* --- packs and sources are given up --- */

/* An error that says nothing about the pack or its source: the slot is full, memory is short.
 */
static bool is_fatal(enum ota_err err)
{
	return err == OTA_SLOT_ERROR || err == OTA_INSUFFICIENT_STORAGE ||
	       err == OTA_OUT_OF_MEMORY || err == OTA_IO_ERROR || err == OTA_CONNECTION_LOST ||
	       err == OTA_BUSY || err == OTA_INTERNAL;
}

static bool blames_source(const struct fetch *fetch, enum ota_err err)
{
	return err == OTA_DOWNLOAD_STALLED || err == OTA_CHUNK_REFUSED ||
	       fetch->bad_in_row >= FETCH_BAD_IN_ROW || fetch->phase == FETCH_INDEX;
}

/* Goes on with the next source or pack; the error when there is none. */
static enum ota_err give_up(struct fetch *fetch, enum ota_err err, struct ota_why *why)
{
	struct ota_why because = {.err = err};

	if (why)
		because = *why;
	if (is_fatal(err))
		return err;
	fetch->dropped++;
	fetch->last = because;
	if (blames_source(fetch, err) && fetch->source + 1 < fetch->plan.source_count) {
		flow_done(&fetch->flow);
		fetch->source++;
		if (fetch->phase == FETCH_INDEX) {
			start_index(fetch);
			return OTA_OK;
		}
		stop_pack(fetch);
		return start_pack(fetch, why);
	}
	if (fetch->phase == FETCH_INDEX)
		return err;
	stop_pack(fetch);
	while (++fetch->pack < fetch->order_count) {
		err = start_pack(fetch, why);
		if (!err || is_fatal(err))
			return err;
		fetch->last = why ? *why : fetch->last;
	}
	if (why)
		*why = because;
	return because.err;
}

/* --- the whole --- */

/* Packs against the running image first, the smaller before the larger. */
static bool comes_before(const struct offer_pack *a, const struct offer_pack *b)
{
	const bool a_delta = !digest_is_zero(&a->base), b_delta = !digest_is_zero(&b->base);

	return a_delta != b_delta ? a_delta : a->size < b->size;
}

static void choose_packs(struct fetch *fetch)
{
	const struct fetch_plan *plan = &fetch->plan;

	for (unsigned i = 0; i < plan->pack_count && i < MESSAGE_PACKS_MAX; i++) {
		const struct offer_pack *pack = &plan->packs[i];
		unsigned at = fetch->order_count;

		if (!pack->size)
			continue;
		if (!digest_is_zero(&pack->base) &&
		    (!plan->base_size || !digest_equal(&pack->base, &plan->base)))
			continue;
		while (at > 0 && comes_before(pack, &plan->packs[fetch->order[at - 1]])) {
			fetch->order[at] = fetch->order[at - 1];
			at--;
		}
		fetch->order[at] = i;
		fetch->order_count++;
	}
}

static void free_fetch(struct fetch **place)
{
	fetch_free(*place);
}

void fetch_free(struct fetch *fetch)
{
	if (!fetch)
		return;
	stop_pack(fetch);
	free(fetch->index);
	free(fetch->have);
	free(fetch->failed);
	free(fetch->segment);
	free(fetch);
}

enum ota_err fetch_new(const struct fetch_plan *plan, struct fetch **ret_fetch,
		       struct ota_why *why)
{
	const struct firmware_component *component = plan->component;
	AUTO(free_fetch) struct fetch *fetch = calloc(1, sizeof(*fetch));

	if (!fetch)
		return ota_fail(why, OTA_OUT_OF_MEMORY, "fetch");
	if (!pack_sizes_are_valid(component->size, component->segment_size) ||
	    component->index.size !=
		    firmware_index_size(component->size, component->segment_size))
		return ota_fail(why, OTA_SIZE_MISMATCH, "component '%s' has impossible sizes",
				component->name);
	fetch->plan = *plan;
	fetch->segment_count = pack_segment_count(component->size, component->segment_size);
	fetch->missing = fetch->segment_count;
	fetch->index = malloc(component->index.size);
	fetch->have = calloc(1, fetch->segment_count / 8 + 1);
	fetch->failed = calloc(1, fetch->segment_count / 8 + 1);
	if (!fetch->index || !fetch->have || !fetch->failed)
		return ota_fail(why, OTA_OUT_OF_MEMORY, "fetch of %u segments",
				fetch->segment_count);
	choose_packs(fetch);
	if (!fetch->order_count)
		return ota_fail(why, OTA_CHUNK_REFUSED,
				"the offer names no pack that this device can apply");
	if (!plan->source_count)
		return ota_fail(why, OTA_CHUNK_REFUSED, "no source to fetch from");
	fetch->flow.rate = plan->rate;
	fetch->flow.window = FLOW_WINDOW_START;
	fetch->flow.timeout_ms = FLOW_TIMEOUT_MIN;
	fetch->next_id = 1;
	start_index(fetch);
	*ret_fetch = TAKE(fetch);
	return OTA_OK;
}

enum ota_err fetch_answer(struct fetch *fetch, uint64_t now_ms,
			  const struct source_answer *answer, struct ota_why *why)
{
	enum ota_err err = flow_answer(&fetch->flow, now_ms, answer, why);

	return err ? give_up(fetch, err, why) : OTA_OK;
}

/* Hashes one segment of what the slot holds. What cannot be read is missing. */
static enum ota_err scan_one(struct fetch *fetch, struct ota_why *why)
{
	const struct fetch_plan *plan = &fetch->plan;
	const uint32_t segment = fetch->scanned;
	const uint32_t len = length_of(fetch, segment);

	if (!fetch->segment)
		fetch->segment = malloc(plan->component->segment_size);
	if (!fetch->segment)
		return ota_fail(why, OTA_OUT_OF_MEMORY, "a segment");
	if (!plan->slots->read(plan->slots->ctx, SLOT_TARGET, plan->part,
			       (uint64_t)segment * plan->component->segment_size,
			       fetch->segment, len, NULL) &&
	    segment_is_good(fetch, segment, fetch->segment, len))
		mark(fetch, segment);
	fetch->scanned++;
	return OTA_OK;
}

static enum ota_err end_scan(struct fetch *fetch, struct ota_why *why)
{
	free(TAKE(fetch->segment));
	flow_done(&fetch->flow);
	if (!fetch->missing) {
		fetch->phase = FETCH_COMPLETE;
		return OTA_OK;
	}
	fetch->pack = 0;
	enum ota_err err = start_pack(fetch, why);
	return err ? give_up(fetch, err, why) : OTA_OK;
}

static enum ota_err end_pack(struct fetch *fetch, struct ota_why *why)
{
	bool found = false;

	if (!fetch->missing) {
		stop_pack(fetch);
		fetch->phase = FETCH_COMPLETE;
		return OTA_OK;
	}
	enum ota_err err = OTA_OK;
	/* Groups without bytes that come last are nobody's chunk. */
	if (pack_reader_is_ready(fetch->reader))
		err = next_group(fetch, &found, why);
	if (!err && !fetch->missing)
		return end_pack(fetch, why);
	if (!err)
		err = ota_fail(why, OTA_SEGMENT_HASH_MISMATCH,
			       "%u segments are still missing after the whole pack",
			       fetch->missing);
	return give_up(fetch, err, why);
}

static enum ota_err poll_source(struct fetch *fetch, uint64_t now_ms, struct ota_why *why)
{
	const struct source *source = fetch->flow.source;
	struct source_answer answer;

	/* One at a time: the loop has other things to do between. */
	if (source && source->next && source->next(source->ctx, &answer))
		return fetch_answer(fetch, now_ms, &answer, why);
	return OTA_OK;
}

enum ota_err fetch_step(struct fetch *fetch, uint64_t now_ms, bool online,
			uint64_t *ret_next_ms, struct ota_why *why)
{
	enum ota_err err;

	*ret_next_ms = 0;
	if (fetch->phase == FETCH_SCAN) {
		if (fetch->scanned < fetch->segment_count)
			return scan_one(fetch, why);
		return end_scan(fetch, why);
	}
	if (fetch->phase == FETCH_COMPLETE)
		return OTA_OK;
	*ret_next_ms = UINT64_MAX;
	if (!online)
		return OTA_OK;
	err = poll_source(fetch, now_ms, why);
	if (err)
		return err;
	if (fetch->phase == FETCH_PACK && flow_is_idle(&fetch->flow)) {
		*ret_next_ms = 0;
		return end_pack(fetch, why);
	}
	if (fetch->phase != FETCH_INDEX && fetch->phase != FETCH_PACK)
		return OTA_OK;
	err = flow_tick(&fetch->flow, now_ms, ret_next_ms, why);
	if (err == OTA_CONNECTION_LOST || err == OTA_BUSY) {
		/* The link says so itself when it is gone; asked again when it is back. */
		flow_again(&fetch->flow);
		*ret_next_ms = 1000;
		return OTA_OK;
	}
	if (err) {
		*ret_next_ms = 0;
		return give_up(fetch, err, why);
	}
	return OTA_OK;
}

void fetch_again(struct fetch *fetch)
{
	flow_again(&fetch->flow);
}

void fetch_progress(const struct fetch *fetch, struct fetch_progress *ret_progress)
{
	const struct source *source = source_of(fetch);

	*ret_progress = (struct fetch_progress){
		.phase = fetch->phase,
		.done = fetch->done,
		.total = fetch->plan.component->size,
		.fetched = fetch->flow.fetched,
		.dropped = fetch->dropped,
		.source = source ? source->name : "",
		.last = fetch->last,
	};
}

const struct source *fetch_source(const struct fetch *fetch)
{
	return source_of(fetch);
}
