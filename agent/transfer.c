#include "transfer.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

void transfer_start(struct transfer *transfer, const struct transfer_seam *seam,
		    const struct source *source, const struct digest *blob, uint64_t size,
		    uint32_t id, bool again)
{
	unsigned window = again ? transfer->window : TRANSFER_WINDOW_START;
	uint64_t timeout_ms = again ? transfer->timeout_ms : TRANSFER_TIMEOUT_MIN;
	uint64_t rate = transfer->rate, budget = transfer->budget;
	uint64_t budget_ms = transfer->budget_ms, fetched = transfer->fetched;

	memset(transfer, 0, sizeof(*transfer));
	transfer->seam = *seam;
	transfer->source = source;
	transfer->blob = *blob;
	transfer->size = size;
	transfer->id = id;
	transfer->window = window;
	transfer->timeout_ms = timeout_ms;
	transfer->rate = rate;
	transfer->budget = budget;
	transfer->budget_ms = budget_ms;
	transfer->fetched = fetched;
}

void transfer_done(struct transfer *transfer)
{
	for (unsigned i = 0; i < transfer->slot_count; i++)
		free(transfer->slots[i].data);
	transfer->slot_count = 0;
	if (transfer->source && transfer->source->forget)
		transfer->source->forget(transfer->source->ctx);
	transfer->source = NULL;
}

static size_t chunk_length(const struct transfer *transfer, uint32_t number)
{
	uint64_t at = (uint64_t)number * MESSAGE_CHUNK_SIZE;
	uint64_t left = at < transfer->size ? transfer->size - at : 0;

	return left < MESSAGE_CHUNK_SIZE ? (size_t)left : MESSAGE_CHUNK_SIZE;
}

/* Hands over what is there in order. */
static enum ota_err deliver(struct transfer *transfer, struct ota_why *why)
{
	while (transfer->slot_count && transfer->slots[0].data) {
		struct transfer_slot slot = transfer->slots[0];

		transfer->slot_count--;
		memmove(transfer->slots, transfer->slots + 1,
			transfer->slot_count * sizeof(transfer->slots[0]));
		enum ota_err err = transfer->seam.deliver(transfer->seam.ctx, slot.number,
							  slot.data, slot.len, why);
		free(slot.data);
		if (err)
			return err;
	}
	return OTA_OK;
}

static void grow(struct transfer *transfer)
{
	transfer->timeouts = 0;
	transfer->timeout_ms -= transfer->timeout_ms / 8;
	if (transfer->timeout_ms < TRANSFER_TIMEOUT_MIN)
		transfer->timeout_ms = TRANSFER_TIMEOUT_MIN;
	if (++transfer->in_row < 2 * transfer->window)
		return;
	transfer->in_row = 0;
	if (transfer->window < TRANSFER_WINDOW_MAX)
		transfer->window++;
}

static void shrink(struct transfer *transfer)
{
	transfer->in_row = 0;
	transfer->window /= 2;
	if (transfer->window < TRANSFER_WINDOW_MIN)
		transfer->window = TRANSFER_WINDOW_MIN;
}

static enum ota_err take_data(struct transfer *transfer, const struct source_answer *answer,
			      struct ota_why *why)
{
	unsigned i;

	transfer->fetched += answer->len;
	for (i = 0; i < transfer->slot_count; i++) {
		if (transfer->slots[i].number == answer->number)
			break;
	}
	if (i == transfer->slot_count || transfer->slots[i].data)
		return OTA_OK; /* not asked, or there already */
	if (answer->len != chunk_length(transfer, answer->number))
		return OTA_OK; /* of the wrong length: as good as lost, asked again */
	grow(transfer);
	if (i == 0) {
		transfer->slot_count--;
		memmove(transfer->slots, transfer->slots + 1,
			transfer->slot_count * sizeof(transfer->slots[0]));
		enum ota_err err = transfer->seam.deliver(transfer->seam.ctx, answer->number,
							  answer->data, answer->len, why);
		return err ? err : deliver(transfer, why);
	}
	transfer->slots[i].data = malloc(answer->len);
	if (!transfer->slots[i].data)
		return OTA_OK; /* no room to keep it: asked again when its turn comes */
	memcpy(transfer->slots[i].data, answer->data, answer->len);
	transfer->slots[i].len = answer->len;
	/* Answers come in the order of the questions, so what was asked before and is not here
	 * was lost; it is asked again at once. */
	for (unsigned before = 0; before < i; before++) {
		if (!transfer->slots[before].data &&
		    transfer->slots[before].asked_ms <= transfer->slots[i].asked_ms)
			transfer->slots[before].asked_ms = 0;
	}
	return OTA_OK;
}

enum ota_err transfer_answer(struct transfer *transfer, uint64_t now_ms,
			     const struct source_answer *answer, struct ota_why *why)
{
	if (!transfer->source || answer->transfer != transfer->id)
		return OTA_OK;
	if (answer->kind == CHUNK_DATA)
		return take_data(transfer, answer, why);
	if (answer->kind == CHUNK_REFUSED)
		return ota_fail(why, OTA_CHUNK_REFUSED, "%s refuses chunk %u: %s",
				transfer->source->name, answer->number,
				ota_err_name(answer->err));
	uint64_t pause_ms = answer->number;
	if (pause_ms > TRANSFER_TIMEOUT_MAX)
		pause_ms = TRANSFER_TIMEOUT_MAX;
	transfer->wait_until_ms = now_ms + pause_ms;
	transfer->timeouts = 0; /* it lives, it only has no time */
	shrink(transfer);
	for (unsigned i = 0; i < transfer->slot_count; i++) {
		if (!transfer->slots[i].data)
			transfer->slots[i].asked_ms = 0;
	}
	return OTA_OK;
}

void transfer_again(struct transfer *transfer)
{
	for (unsigned i = 0; i < transfer->slot_count; i++) {
		if (!transfer->slots[i].data)
			transfer->slots[i].asked_ms = 0;
	}
	transfer->timeouts = 0;
	transfer->wait_until_ms = 0;
}

bool transfer_is_idle(const struct transfer *transfer)
{
	return transfer->slot_count == 0 &&
	       transfer->seam.need(transfer->seam.ctx, transfer->from) == TRANSFER_NO_CHUNK;
}

/* Time-outs are found; each halves the window and doubles the patience, once per round. */
static enum ota_err expire(struct transfer *transfer, uint64_t now_ms, uint64_t *ret_next_ms,
			   struct ota_why *why)
{
	bool late = false;
	uint64_t timeout_ms = transfer->timeout_ms;

	for (unsigned i = 0; i < transfer->slot_count; i++) {
		struct transfer_slot *slot = &transfer->slots[i];

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
	shrink(transfer);
	transfer->timeout_ms *= 2;
	if (transfer->timeout_ms > TRANSFER_TIMEOUT_MAX)
		transfer->timeout_ms = TRANSFER_TIMEOUT_MAX;
	if (++transfer->timeouts < TRANSFER_STALL_TIMEOUTS)
		return OTA_OK;
	return ota_fail(why, OTA_DOWNLOAD_STALLED, "%s: %u requests in a row got no answer",
			transfer->source->name, transfer->timeouts);
}

/* Tops the window up, half of it at a time: one `get` for several chunks. */
static void fill_window(struct transfer *transfer)
{
	if (transfer->slot_count > transfer->window - transfer->window / 2)
		return;
	while (transfer->slot_count < transfer->window) {
		uint32_t number = transfer->seam.need(transfer->seam.ctx, transfer->from);

		if (number == TRANSFER_NO_CHUNK)
			return;
		assert(number >= transfer->from);
		transfer->slots[transfer->slot_count++] =
			(struct transfer_slot){.number = number};
		transfer->from = number + 1;
	}
}

/* Room in the byte rate for one more chunk; else the milliseconds until there is. */
static uint64_t take_budget(struct transfer *transfer, uint64_t now_ms, size_t len)
{
	const uint64_t burst = transfer->rate > 2 * MESSAGE_CHUNK_SIZE ? transfer->rate
								       : 2 * MESSAGE_CHUNK_SIZE;

	if (!transfer->rate)
		return 0;
	uint64_t passed_ms = now_ms - transfer->budget_ms;
	if (!transfer->budget_ms || passed_ms > 60000)
		transfer->budget = burst;
	else
		transfer->budget += passed_ms * transfer->rate / 1000;
	transfer->budget_ms = now_ms;
	if (transfer->budget > burst)
		transfer->budget = burst;
	if (transfer->budget < len)
		return (len - transfer->budget) * 1000 / transfer->rate + 1;
	transfer->budget -= len;
	return 0;
}

/* Collects the chunks to ask for into ranges. */
static unsigned collect(struct transfer *transfer, uint64_t now_ms,
			struct get_range ranges[MESSAGE_RANGES_MAX], uint64_t *ret_next_ms)
{
	unsigned count = 0;

	for (unsigned i = 0; i < transfer->slot_count && i < transfer->window; i++) {
		struct transfer_slot *slot = &transfer->slots[i];

		if (slot->data || slot->asked_ms)
			continue;
		uint64_t delay_ms =
			take_budget(transfer, now_ms, chunk_length(transfer, slot->number));
		if (delay_ms) {
			if (delay_ms < *ret_next_ms)
				*ret_next_ms = delay_ms;
			break;
		}
		slot->asked_ms = now_ms ? now_ms : 1;
		if (count && ranges[count - 1].first + ranges[count - 1].count == slot->number)
			ranges[count - 1].count++;
		else
			ranges[count++] = (struct get_range){.first = slot->number, .count = 1};
	}
	return count;
}

enum ota_err transfer_tick(struct transfer *transfer, uint64_t now_ms, uint64_t *ret_next_ms,
			   struct ota_why *why)
{
	struct get_range ranges[MESSAGE_RANGES_MAX];
	uint64_t next_ms = UINT64_MAX;

	*ret_next_ms = next_ms;
	if (!transfer->source)
		return OTA_OK;
	enum ota_err err = expire(transfer, now_ms, &next_ms, why);
	if (err)
		return err;
	if (now_ms < transfer->wait_until_ms) {
		*ret_next_ms = transfer->wait_until_ms - now_ms;
		return OTA_OK;
	}
	fill_window(transfer);
	unsigned count = collect(transfer, now_ms, ranges, &next_ms);
	if (count) {
		err = transfer->source->ask(transfer->source->ctx, transfer->id,
					    &transfer->blob, transfer->size, ranges, count,
					    why);
		if (err)
			return err;
		if (transfer->timeout_ms < next_ms)
			next_ms = transfer->timeout_ms;
	}
	*ret_next_ms = next_ms;
	return OTA_OK;
}
