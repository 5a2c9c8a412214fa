#include "flow.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

void flow_start(struct flow *flow, const struct flow_seam *seam, const struct source *source,
		const struct digest *blob, uint64_t size, uint32_t id, bool again)
{
	unsigned window = again ? flow->window : FLOW_WINDOW_START;
	uint64_t timeout_ms = again ? flow->timeout_ms : FLOW_TIMEOUT_START;
	uint64_t trip_ms = again ? flow->trip_ms : 0;
	uint64_t varies_ms = again ? flow->varies_ms : 0;
	uint64_t rate = flow->rate, budget = flow->budget;
	uint64_t budget_ms = flow->budget_ms, fetched = flow->fetched;

	memset(flow, 0, sizeof(*flow));
	flow->seam = *seam;
	flow->source = source;
	flow->blob = *blob;
	flow->size = size;
	flow->id = id;
	flow->window = window;
	flow->timeout_ms = timeout_ms;
	flow->trip_ms = trip_ms;
	flow->varies_ms = varies_ms;
	flow->rate = rate;
	flow->budget = budget;
	flow->budget_ms = budget_ms;
	flow->fetched = fetched;
}

void flow_done(struct flow *flow)
{
	for (unsigned i = 0; i < flow->slot_count; i++)
		free(flow->slots[i].data);
	flow->slot_count = 0;
	if (flow->source && flow->source->forget)
		flow->source->forget(flow->source->ctx);
	flow->source = NULL;
}

static size_t chunk_length(const struct flow *flow, uint32_t number)
{
	uint64_t at = (uint64_t)number * MESSAGE_CHUNK_SIZE;
	uint64_t left = at < flow->size ? flow->size - at : 0;

	return left < MESSAGE_CHUNK_SIZE ? (size_t)left : MESSAGE_CHUNK_SIZE;
}

/* Hands over what is there in order. */
static enum ota_err deliver(struct flow *flow, struct ota_why *why)
{
	while (flow->slot_count && flow->slots[0].data) {
		struct flow_slot slot = flow->slots[0];

		flow->slot_count--;
		memmove(flow->slots, flow->slots + 1,
			flow->slot_count * sizeof(flow->slots[0]));
		enum ota_err err = flow->seam.deliver(flow->seam.ctx, slot.number, slot.data,
						      slot.len, why);
		free(slot.data);
		if (err)
			return err;
	}
	return OTA_OK;
}

static uint64_t bounded(uint64_t timeout_ms)
{
	if (timeout_ms < FLOW_TIMEOUT_MIN)
		return FLOW_TIMEOUT_MIN;
	return timeout_ms < FLOW_TIMEOUT_MAX ? timeout_ms : FLOW_TIMEOUT_MAX;
}

/* Patience grows and shrinks with what answers take. Of a chunk that was asked for twice nobody
 * knows which question was answered (Karn). */
static void learn(struct flow *flow, const struct flow_slot *slot, uint64_t now_ms)
{
	if (slot->again || !slot->asked_ms || now_ms < slot->asked_ms)
		return;
	const uint64_t took_ms = now_ms - slot->asked_ms + 1;

	if (!flow->trip_ms) {
		flow->trip_ms = took_ms;
		flow->varies_ms = took_ms / 2;
	} else {
		const uint64_t off_ms = took_ms > flow->trip_ms ? took_ms - flow->trip_ms
								: flow->trip_ms - took_ms;

		flow->varies_ms = (3 * flow->varies_ms + off_ms) / 4;
		flow->trip_ms = (7 * flow->trip_ms + took_ms) / 8;
	}
	flow->timeout_ms = bounded(flow->trip_ms + 4 * flow->varies_ms);
}

static void grow(struct flow *flow)
{
	flow->timeouts = 0;
	if (++flow->in_row < 2 * flow->window)
		return;
	flow->in_row = 0;
	if (flow->window < FLOW_WINDOW_MAX)
		flow->window++;
}

static void shrink(struct flow *flow, unsigned by)
{
	flow->in_row = 0;
	flow->window -= by;
	if (flow->window < FLOW_WINDOW_MIN)
		flow->window = FLOW_WINDOW_MIN;
}

static enum ota_err take_data(struct flow *flow, uint64_t now_ms,
			      const struct source_answer *answer, struct ota_why *why)
{
	unsigned i;

	flow->fetched += answer->len;
	for (i = 0; i < flow->slot_count; i++) {
		if (flow->slots[i].number == answer->number)
			break;
	}
	if (i == flow->slot_count || flow->slots[i].data)
		return OTA_OK; /* not asked, or there already */
	if (answer->len != chunk_length(flow, answer->number))
		return OTA_OK; /* of the wrong length: as good as lost, asked again */
	learn(flow, &flow->slots[i], now_ms);
	grow(flow);
	if (i == 0) {
		flow->slot_count--;
		memmove(flow->slots, flow->slots + 1,
			flow->slot_count * sizeof(flow->slots[0]));
		enum ota_err err = flow->seam.deliver(flow->seam.ctx, answer->number,
						      answer->data, answer->len, why);
		return err ? err : deliver(flow, why);
	}
	flow->slots[i].data = malloc(answer->len);
	if (!flow->slots[i].data)
		return OTA_OK; /* no room to keep it: asked again when its turn comes */
	memcpy(flow->slots[i].data, answer->data, answer->len);
	flow->slots[i].len = answer->len;
	/* Answers come in the order of the questions, so what was asked before and is not here
	 * was lost; it is asked again at once. */
	for (unsigned before = 0; before < i; before++) {
		if (!flow->slots[before].data &&
		    flow->slots[before].order < flow->slots[i].order)
			flow->slots[before].asked_ms = 0;
	}
	return OTA_OK;
}

enum ota_err flow_answer(struct flow *flow, uint64_t now_ms, const struct source_answer *answer,
			 struct ota_why *why)
{
	if (!flow->source || answer->transfer != flow->id)
		return OTA_OK;
	if (answer->kind == CHUNK_DATA)
		return take_data(flow, now_ms, answer, why);
	if (answer->kind == CHUNK_REFUSED && answer->why) {
		if (why)
			*why = *answer->why;
		return answer->why->err;
	}
	if (answer->kind == CHUNK_REFUSED)
		return ota_fail(why, OTA_CHUNK_REFUSED, "%s refuses chunk %u: %s",
				flow->source->name, answer->number, ota_err_name(answer->err));
	uint64_t pause_ms = answer->number;
	if (pause_ms > FLOW_TIMEOUT_MAX)
		pause_ms = FLOW_TIMEOUT_MAX;
	flow->wait_until_ms = now_ms + pause_ms;
	flow->timeouts = 0; /* it lives, it only has no time */
	shrink(flow, flow->window / 2);
	for (unsigned i = 0; i < flow->slot_count; i++) {
		if (!flow->slots[i].data)
			flow->slots[i].asked_ms = 0;
	}
	return OTA_OK;
}

void flow_again(struct flow *flow)
{
	for (unsigned i = 0; i < flow->slot_count; i++) {
		if (!flow->slots[i].data)
			flow->slots[i].asked_ms = 0;
	}
	flow->timeouts = 0;
	flow->wait_until_ms = 0;
}

bool flow_is_idle(const struct flow *flow)
{
	return flow->slot_count == 0 &&
	       flow->seam.need(flow->seam.ctx, flow->from) == FLOW_NO_CHUNK;
}

/* Time-outs are found; they narrow the window and double the patience, once per round. */
static enum ota_err expire(struct flow *flow, uint64_t now_ms, uint64_t *ret_next_ms,
			   struct ota_why *why)
{
	bool late = false;
	uint64_t timeout_ms = flow->timeout_ms;

	for (unsigned i = 0; i < flow->slot_count; i++) {
		struct flow_slot *slot = &flow->slots[i];

		if (slot->data || !slot->asked_ms)
			continue;
		if (now_ms >= slot->asked_ms + timeout_ms) {
			slot->asked_ms = 0;
			late = true;
		} else if (slot->asked_ms + timeout_ms - now_ms < *ret_next_ms) {
			*ret_next_ms = slot->asked_ms + timeout_ms - now_ms;
		}
	}
	if (!late)
		return OTA_OK;
	/* TCP looks after the network; what gets lost, a broker with full queues has dropped.
	 */
	shrink(flow, 1);
	flow->timeout_ms = bounded(2 * flow->timeout_ms);
	if (++flow->timeouts < FLOW_STALL_TIMEOUTS)
		return OTA_OK;
	return ota_fail(why, OTA_DOWNLOAD_STALLED, "%s: %u requests in a row got no answer",
			flow->source->name, flow->timeouts);
}

/* Tops the window up, half of it at a time: one `get` for several chunks. */
static void fill_window(struct flow *flow)
{
	if (flow->slot_count > flow->window - flow->window / 2)
		return;
	while (flow->slot_count < flow->window) {
		uint32_t number = flow->seam.need(flow->seam.ctx, flow->from);

		if (number == FLOW_NO_CHUNK)
			return;
		assert(number >= flow->from);
		flow->slots[flow->slot_count++] = (struct flow_slot){.number = number};
		flow->from = number + 1;
	}
}

/* Room in the byte rate for one more chunk; else the milliseconds until there is. */
static uint64_t take_budget(struct flow *flow, uint64_t now_ms, size_t len)
{
	const uint64_t burst =
		flow->rate > 2 * MESSAGE_CHUNK_SIZE ? flow->rate : 2 * MESSAGE_CHUNK_SIZE;

	if (!flow->rate)
		return 0;
	uint64_t passed_ms = now_ms - flow->budget_ms;
	if (!flow->budget_ms || passed_ms > 60000)
		flow->budget = burst;
	else
		flow->budget += passed_ms * flow->rate / 1000;
	flow->budget_ms = now_ms;
	if (flow->budget > burst)
		flow->budget = burst;
	if (flow->budget < len)
		return (len - flow->budget) * 1000 / flow->rate + 1;
	flow->budget -= len;
	return 0;
}

/* Collects the chunks to ask for into ranges. */
static unsigned collect(struct flow *flow, uint64_t now_ms,
			struct get_range ranges[MESSAGE_RANGES_MAX], uint64_t *ret_next_ms)
{
	unsigned count = 0;

	for (unsigned i = 0; i < flow->slot_count && i < flow->window; i++) {
		struct flow_slot *slot = &flow->slots[i];

		if (slot->data || slot->asked_ms)
			continue;
		uint64_t delay_ms = take_budget(flow, now_ms, chunk_length(flow, slot->number));
		if (delay_ms) {
			if (delay_ms < *ret_next_ms)
				*ret_next_ms = delay_ms;
			break;
		}
		slot->asked_ms = now_ms ? now_ms : 1;
		slot->again = slot->order != 0;
		slot->order = ++flow->questions;
		if (count && ranges[count - 1].first + ranges[count - 1].count == slot->number)
			ranges[count - 1].count++;
		else
			ranges[count++] = (struct get_range){.first = slot->number, .count = 1};
	}
	return count;
}

enum ota_err flow_tick(struct flow *flow, uint64_t now_ms, uint64_t *ret_next_ms,
		       struct ota_why *why)
{
	struct get_range ranges[MESSAGE_RANGES_MAX];
	uint64_t next_ms = UINT64_MAX;

	*ret_next_ms = next_ms;
	if (!flow->source)
		return OTA_OK;
	enum ota_err err = expire(flow, now_ms, &next_ms, why);
	if (err)
		return err;
	if (now_ms < flow->wait_until_ms) {
		*ret_next_ms = flow->wait_until_ms - now_ms;
		return OTA_OK;
	}
	fill_window(flow);
	unsigned count = collect(flow, now_ms, ranges, &next_ms);
	if (count) {
		err = flow->source->ask(flow->source->ctx, flow->id, &flow->blob, flow->size,
					ranges, count, why);
		if (err)
			return err;
		if (flow->timeout_ms < next_ms)
			next_ms = flow->timeout_ms;
	}
	*ret_next_ms = next_ms;
	return OTA_OK;
}
