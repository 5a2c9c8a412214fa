#include "fetch.h"

#include "bitmap.h"
#include "choice.h"
#include "own.h"

#include <assert.h>
#include <string.h>

struct fetch {
	struct fetch_plan plan;
	enum fetch_phase phase;
	struct holding holding;
	uint8_t *failed; /* bitmap: segments that are not to be had from this pack */
	struct flow flow;
	uint32_t next_id;
	struct supply supply;
	const struct source *source; /* the one that is asked */
	unsigned pack;		     /* place in `order` */
	unsigned order[MESSAGE_PACKS_MAX], order_count;
	struct pack_reader *reader;
	uint32_t group, group_count;
	bool in_group;
	bool is_spoilt; /* bad segments came that need no base */
	unsigned bad_in_row, dropped;
	struct ota_why last;
};

/* --- sources --- */

static bool is_own(const struct fetch *fetch)
{
	return fetch->source == fetch->plan.supply.own;
}

static void choose_source(struct fetch *fetch, uint64_t bytes)
{
	struct ota_why why = {0};

	fetch->source = supply_choose(&fetch->supply, bytes, &why);
	if (why.err) {
		fetch->dropped++;
		fetch->last = why;
	}
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
	bool is_whole;
	enum ota_err err = holding_take_index(&fetch->holding, data, len, &is_whole, why);

	(void)number; /* they come in order, all of them */
	if (!err && is_whole)
		fetch->phase = FETCH_SCAN;
	return err;
}

static void start_index(struct fetch *fetch)
{
	const struct flow_seam seam = {fetch, index_need, index_deliver};

	fetch->phase = FETCH_INDEX;
	fetch->holding.index_len = 0;
	choose_source(fetch, fetch->plan.component->index.size);
	flow_start(&fetch->flow, &seam, fetch->source, &fetch->plan.component->index.sha256,
		   fetch->plan.component->index.size, fetch->next_id++, true);
}

/* --- packs --- */

static bool segment_is_wanted(const struct fetch *fetch, uint32_t segment)
{
	return !holding_has(&fetch->holding, segment) && !bitmap_has(fetch->failed, segment);
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
		if (!group_is_wanted(fetch, i))
			continue;
		if (i == fetch->group && fetch->in_group && !pack_reader_wants(fetch->reader))
			continue;
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

	if (holding_has(&fetch->holding, segment))
		return OTA_OK;
	if (holding_is_good(&fetch->holding, segment, bytes, len)) {
		enum ota_err err = fetch->plan.slots->write(
			fetch->plan.slots->ctx, fetch->plan.part,
			(uint64_t)segment * component->segment_size, bytes, len, why);
		if (err)
			return ota_context(why, err, "segment %u", segment);
		holding_mark(&fetch->holding, segment);
		fetch->bad_in_row = 0;
		return OTA_OK;
	}
	bitmap_set(fetch->failed, segment);
	if (pack_reader_group(fetch->reader, fetch->group).encoding == PACK_DELTA)
		return OTA_OK; /* the base is damaged there: another pack has it */
	fetch->is_spoilt = true;
	fetch->bad_in_row++;
	if (fetch->bad_in_row < FETCH_BAD_IN_ROW)
		return OTA_OK;
	return ota_fail(why, OTA_SEGMENT_HASH_MISMATCH, "%u bad segments in a row",
			fetch->bad_in_row);
}

/* Moves to the next wanted group; false when there is none. */
static enum ota_err next_group(struct fetch *fetch, bool *ret_found, struct ota_why *why)
{
	if (fetch->in_group &&
	    (!pack_reader_wants(fetch->reader) || !group_is_wanted(fetch, fetch->group))) {
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

/* A delta that does not decode is not what was made, for a damaged base only makes segments
 * wrong. The next groups do not depend on it; what it owes is asked for elsewhere. */
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
	const struct slots *slots = fetch->plan.slots;

	/* What cannot be read is as good as damaged: the segments that need it come out wrong.
	 */
	if (slots->read(slots->ctx, SLOT_RUNNING, fetch->plan.part, offset, ret_bytes, len,
			why))
		memset(ret_bytes, 0, len);
	return OTA_OK;
}

static void stop_pack(struct fetch *fetch)
{
	pack_reader_free(fetch->reader);
	fetch->reader = NULL;
	fetch->in_group = false;
	flow_done(&fetch->flow);
}

/* What is missing may lie anywhere in the pack: its share of it is a guess. */
static uint64_t bytes_left(const struct fetch *fetch, uint64_t pack_size)
{
	return fetch->holding.missing == fetch->holding.count
		       ? pack_size
		       : pack_size / fetch->holding.count * fetch->holding.missing;
}

static enum ota_err start_pack(struct fetch *fetch, bool from_own, struct ota_why *why)
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
	fetch->is_spoilt = false;
	if (from_own)
		fetch->source = plan->supply.own;
	else
		choose_source(fetch, bytes_left(fetch, pack->size));
	memset(fetch->failed, 0, fetch->holding.count / 8 + 1);
	enum ota_err err = pack_reader_new(&expected, &reader, &fetch->reader, why);
	if (err)
		return err;
	fetch->group_count = 0;
	flow_start(&fetch->flow, &seam, fetch->source, &pack->sha256, pack->size,
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

/* Is it the source that is to be given up, and not the pack? A server of others' is: that the
 * pack itself is at fault is only known once the own connection brought the same. */
static bool blames_source(const struct fetch *fetch, enum ota_err err)
{
	if (!is_own(fetch))
		return true;
	return err == OTA_DOWNLOAD_STALLED || fetch->bad_in_row >= FETCH_BAD_IN_ROW ||
	       fetch->phase == FETCH_INDEX;
}

/* The next pack that can be begun with; the first error when there is none. */
static enum ota_err start_next_pack(struct fetch *fetch, const struct ota_why *because,
				    struct ota_why *why)
{
	while (++fetch->pack < fetch->order_count) {
		enum ota_err err = start_pack(fetch, false, why);

		if (!err || is_fatal(err))
			return err;
		fetch->last = why ? *why : fetch->last;
	}
	if (why)
		*why = *because;
	return because->err;
}

static struct ota_why note_dropped(struct fetch *fetch, enum ota_err err,
				   const struct ota_why *why)
{
	fetch->dropped++;
	fetch->last = why ? *why : (struct ota_why){.err = err};
	return fetch->last;
}

/* Goes on with the next source or pack; the error when there is none. `refused`: the source's
 * own words, so nothing that it says is the device's. */
static enum ota_err give_up(struct fetch *fetch, enum ota_err err, bool refused,
			    struct ota_why *why)
{
	if (!refused && is_fatal(err))
		return err;
	if (!refused)
		err = ota_context(why, err, "%s", fetch->source->name);
	const struct ota_why because = note_dropped(fetch, err, why);
	const bool goes_on =
		blames_source(fetch, err) && supply_drop(&fetch->supply, fetch->source);
	if (fetch->phase == FETCH_INDEX) {
		if (!goes_on)
			return err;
		flow_done(&fetch->flow);
		start_index(fetch);
		return OTA_OK;
	}
	stop_pack(fetch);
	if (goes_on) {
		err = start_pack(fetch, false, why);
		if (!err || is_fatal(err))
			return err;
	}
	return start_next_pack(fetch, &because, why);
}

/* --- the whole --- */

static void free_fetch(struct fetch **place)
{
	fetch_free(*place);
}

void fetch_free(struct fetch *fetch)
{
	if (!fetch)
		return;
	stop_pack(fetch);
	holding_done(&fetch->holding);
	free(fetch->failed);
	supply_close(&fetch->supply);
	free(fetch);
}

enum ota_err fetch_new(const struct fetch_plan *plan, struct fetch **ret_fetch,
		       struct ota_why *why)
{
	AUTO(free_fetch) struct fetch *fetch = calloc(1, sizeof(*fetch));

	if (!fetch)
		return ota_fail(why, OTA_OUT_OF_MEMORY, "fetch");
	enum ota_err err = holding_init(&fetch->holding, plan->component, why);
	if (err)
		return err;
	fetch->plan = *plan;
	fetch->supply.plan = plan->supply;
	fetch->failed = calloc(1, fetch->holding.count / 8 + 1);
	if (!fetch->failed)
		return ota_fail(why, OTA_OUT_OF_MEMORY, "fetch");
	fetch->order_count =
		choice_of_packs(plan->packs, plan->pack_count,
				plan->base_size ? &plan->base : NULL, fetch->order);
	if (!fetch->order_count)
		return ota_fail(why, OTA_CHUNK_REFUSED,
				"the offer names no pack that this device can apply");
	fetch->flow.rate = plan->rate;
	fetch->flow.window = FLOW_WINDOW_START;
	fetch->flow.timeout_ms = FLOW_TIMEOUT_START;
	fetch->next_id = 1;
	start_index(fetch);
	*ret_fetch = TAKE(fetch);
	return OTA_OK;
}

static enum ota_err take_answer(struct fetch *fetch, uint64_t now_ms,
				const struct source_answer *answer, struct ota_why *why)
{
	enum ota_err err = flow_answer(&fetch->flow, now_ms, answer, why);

	return err ? give_up(fetch, err, answer->kind == CHUNK_REFUSED, why) : OTA_OK;
}

enum ota_err fetch_answer(struct fetch *fetch, uint64_t now_ms,
			  const struct source_answer *answer, struct ota_why *why)
{
	return is_own(fetch) ? take_answer(fetch, now_ms, answer, why) : OTA_OK;
}

static enum ota_err end_scan(struct fetch *fetch, struct ota_why *why)
{
	flow_done(&fetch->flow);
	if (!fetch->holding.missing) {
		fetch->phase = FETCH_COMPLETE;
		return OTA_OK;
	}
	fetch->pack = 0;
	enum ota_err err = start_pack(fetch, false, why);
	return err ? give_up(fetch, err, false, why) : OTA_OK;
}

/* A delta left segments missing. Either the base is damaged there, or a server sent something
 * else: the own connection's word on these few decides, and if they fail again the next pack
 * has them. */
static enum ota_err end_delta(struct fetch *fetch, enum ota_err err, struct ota_why *why)
{
	const bool ask_own = !is_own(fetch) && !fetch->supply.own_is_dropped;

	err = ota_context(why, err, "%s", fetch->source->name);
	const struct ota_why because = note_dropped(fetch, err, why);
	stop_pack(fetch);
	if (ask_own) {
		err = start_pack(fetch, true, why);
		if (!err || is_fatal(err))
			return err;
	}
	return start_next_pack(fetch, &because, why);
}

static enum ota_err end_pack(struct fetch *fetch, struct ota_why *why)
{
	bool found = false;

	if (!fetch->holding.missing) {
		stop_pack(fetch);
		fetch->phase = FETCH_COMPLETE;
		return OTA_OK;
	}
	enum ota_err err = OTA_OK;
	/* Groups without bytes that come last are nobody's chunk. */
	if (pack_reader_is_ready(fetch->reader))
		err = next_group(fetch, &found, why);
	if (!err && !fetch->holding.missing)
		return end_pack(fetch, why);
	if (!err)
		err = ota_fail(why, OTA_SEGMENT_HASH_MISMATCH,
			       "%u segments are still missing after the whole pack",
			       fetch->holding.missing);
	if (err == OTA_SEGMENT_HASH_MISMATCH && !fetch->is_spoilt)
		return end_delta(fetch, err, why);
	return give_up(fetch, err, false, why);
}

/* Takes one answer of a source that brings its own: the loop has other things to do between.
 * True when there was one, and may be another. */
static enum ota_err poll_source(struct fetch *fetch, uint64_t now_ms, bool *ret_came,
				struct ota_why *why)
{
	const struct source *source = fetch->flow.source;
	struct source_answer answer;

	*ret_came = source && source->next && source->next(source->ctx, &answer);
	return *ret_came ? take_answer(fetch, now_ms, &answer, why) : OTA_OK;
}

static enum ota_err step_flow(struct fetch *fetch, uint64_t now_ms, uint64_t *ret_next_ms,
			      struct ota_why *why)
{
	enum ota_err err = flow_tick(&fetch->flow, now_ms, ret_next_ms, why);

	if (is_own(fetch) && (err == OTA_CONNECTION_LOST || err == OTA_BUSY)) {
		/* The link says so itself when it is gone; asked again when it is back. */
		flow_again(&fetch->flow);
		*ret_next_ms = 1000;
		return OTA_OK;
	}
	if (err) {
		*ret_next_ms = 0;
		return give_up(fetch, err, !is_own(fetch), why);
	}
	return OTA_OK;
}

enum ota_err fetch_step(struct fetch *fetch, uint64_t now_ms, bool online,
			uint64_t *ret_next_ms, struct ota_why *why)
{
	bool came;

	*ret_next_ms = 0;
	if (fetch->phase == FETCH_SCAN) {
		if (holding_is_scanned(&fetch->holding))
			return end_scan(fetch, why);
		return holding_scan(&fetch->holding, fetch->plan.slots, fetch->plan.part, why);
	}
	if (fetch->phase == FETCH_COMPLETE)
		return OTA_OK;
	*ret_next_ms = UINT64_MAX;
	if (!online && is_own(fetch))
		return OTA_OK;
	enum ota_err err = poll_source(fetch, now_ms, &came, why);
	if (err)
		return err;
	if (fetch->phase == FETCH_PACK && flow_is_idle(&fetch->flow)) {
		*ret_next_ms = 0;
		return end_pack(fetch, why);
	}
	if (fetch->phase == FETCH_INDEX || fetch->phase == FETCH_PACK)
		err = step_flow(fetch, now_ms, ret_next_ms, why);
	if (came)
		*ret_next_ms = 0;
	return err;
}

void fetch_again(struct fetch *fetch)
{
	if (is_own(fetch))
		flow_again(&fetch->flow);
}

void fetch_progress(const struct fetch *fetch, struct fetch_progress *ret_progress)
{
	*ret_progress = (struct fetch_progress){
		.phase = fetch->phase,
		.done = fetch->holding.done,
		.total = fetch->plan.component->size,
		.fetched = fetch->flow.fetched,
		.dropped = fetch->dropped,
		.source = fetch->source->name,
		.last = fetch->last,
	};
}

int fetch_fd(const struct fetch *fetch)
{
	const struct source *source = fetch->flow.source;

	return source && source->fd ? source->fd(source->ctx) : -1;
}
