/* The input arrives in pieces of any size, so decoding goes in steps, each of which needs no
 * more than PACK_CODER_STEP bytes: a step is taken when that many are there or nothing more
 * will come. What is left over waits in `hold`. */
#include "pack_delta_read.h"

#include "pack_model.h"
#include "pack_predict.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define WINDOW		 (16u << 10) /* of the base, read ahead of a copy */
#define LITERALS_AT_ONCE 16u	     /* a byte costs at most 16, so that a step holds them */

struct pack_delta {
	struct pack_coder coder;
	bool coding; /* the coder is in the middle of its stream */
	struct pack_sink *sink;
	uint32_t length, fed; /* encoded bytes: all, and seen */
	uint8_t hold[2 * PACK_CODER_STEP];
	size_t held;
	bool has_head;
	/* where the image is being written, where the base is read, where the last copy ended
	 */
	uint64_t place, source, follows;
	struct pack_model_op op; /* what is left of it */
	bool in_copy;		 /* its first run is over */
	uint64_t window_at;
	size_t window_size;
	uint8_t window[WINDOW + PACK_PREDICT_AHEAD];
	struct pack_model model;
	struct pack_predict predict;
};

enum ota_err pack_delta_new(struct pack_delta **ret_delta, struct ota_why *why)
{
	struct pack_delta *delta = malloc(sizeof *delta);
	if (!delta)
		return ota_fail(why, OTA_OUT_OF_MEMORY, "no memory for the delta's model");
	pack_model_init(&delta->model);
	*ret_delta = delta;
	return OTA_OK;
}

void pack_delta_free(struct pack_delta *delta)
{
	free(delta);
}

void pack_delta_begin(struct pack_delta *delta, struct pack_sink *sink, uint64_t base_size,
		      uint32_t length)
{
	delta->coder = (struct pack_coder){0};
	delta->coding = false;
	delta->sink = sink;
	delta->length = length;
	delta->fed = 0;
	delta->held = 0;
	delta->has_head = false;
	delta->place = (uint64_t)sink->segment * sink->segment_size;
	delta->source = delta->follows = 0;
	delta->op = (struct pack_model_op){0};
	delta->in_copy = false;
	delta->window_at = 0;
	delta->window_size = 0;
	pack_model_reset(&delta->model);
	pack_predict_group(&delta->predict, base_size);
}

static enum ota_err fail(const struct pack_delta *delta, const char *what, struct ota_why *why)
{
	return ota_fail(why, OTA_SEGMENT_HASH_MISMATCH, "segment %u does not decode: %s",
			delta->sink->segment, what);
}

/* Makes the window hold the base from the source on, as far as the next word needs it. */
static enum ota_err window_slide(struct pack_delta *delta, struct ota_why *why)
{
	uint64_t base_left = delta->predict.base_size - delta->source;
	uint64_t needed =
		base_left < 4 + PACK_PREDICT_AHEAD ? base_left : 4 + PACK_PREDICT_AHEAD;
	if (delta->source >= delta->window_at &&
	    delta->source + needed <= delta->window_at + delta->window_size)
		return OTA_OK;
	uint64_t wanted = (uint64_t)delta->op.copy + PACK_PREDICT_AHEAD;
	if (wanted < needed)
		wanted = needed;
	if (wanted > base_left)
		wanted = base_left;
	if (wanted > sizeof delta->window)
		wanted = sizeof delta->window;
	const struct pack_read_seam *seam = delta->sink->seam;
	delta->window_size = 0;
	enum ota_err err =
		seam->base_read(seam->ctx, delta->source, delta->window, (size_t)wanted, why);
	if (err)
		return err;
	delta->window_at = delta->source;
	delta->window_size = (size_t)wanted;
	return OTA_OK;
}

static enum ota_err advance(struct pack_delta *delta, uint32_t len, struct ota_why *why)
{
	delta->place += len;
	delta->source += len;
	delta->op.copy -= len;
	return pack_sink_filled(delta->sink, len, why);
}

/* Bytes of a copy that are as they are in the base. */
static enum ota_err copy_bytes(struct pack_delta *delta, uint32_t len, struct ota_why *why)
{
	const struct pack_read_seam *seam = delta->sink->seam;
	uint32_t room;
	uint8_t *to = pack_sink_room(delta->sink, &room);
	assert(len <= room && len <= delta->op.copy);
	enum ota_err err = seam->base_read(seam->ctx, delta->source, to, len, why);
	return err ? err : advance(delta, len, why);
}

static void store(uint8_t *to, uint32_t word)
{
	for (int i = 0; i < 4; i++)
		to[i] = (uint8_t)(word >> (8 * i));
}

/* Some of the `words` that are as foreseen, as far as the window goes; how many. */
static enum ota_err run_words(struct pack_delta *delta, uint32_t words, uint32_t *ret_done,
			      struct ota_why *why)
{
	enum ota_err err = window_slide(delta, why);
	if (err)
		return err;
	uint32_t room, done = 0;
	uint8_t *to = pack_sink_room(delta->sink, &room);
	const uint8_t *from = delta->window + (delta->source - delta->window_at);
	size_t ahead = delta->window_size - (size_t)(delta->source - delta->window_at);
	bool at_end = delta->window_at + delta->window_size == delta->predict.base_size;
	size_t spare = at_end ? 4 : 4 + PACK_PREDICT_AHEAD;
	for (; done < words && ahead >= spare; done++, ahead -= 4) {
		struct pack_guess guess;
		uint64_t at = (uint64_t)done * 4;
		pack_predict_word(&delta->predict, from + at, ahead, delta->source + at,
				  delta->place + at, &guess);
		pack_predict_learn(&delta->predict, &guess, delta->place + at, guess.word);
		store(to + at, guess.word);
	}
	*ret_done = done;
	return advance(delta, done * 4, why);
}

/* A word that is not as foreseen. */
static enum ota_err change_word(struct pack_delta *delta, struct ota_why *why)
{
	struct pack_guess guess;
	uint32_t room, change = pack_model_change(&delta->model, &delta->coder, 0);
	enum ota_err err = window_slide(delta, why);
	if (err)
		return err;
	if (!change)
		return fail(delta, "a change to the same", why);
	size_t offset = (size_t)(delta->source - delta->window_at);
	pack_predict_word(&delta->predict, delta->window + offset, delta->window_size - offset,
			  delta->source, delta->place, &guess);
	pack_predict_learn(&delta->predict, &guess, delta->place, guess.word + change);
	store(pack_sink_room(delta->sink, &room), guess.word + change);
	return advance(delta, 4, why);
}

/* A run and the word that ends it, or the run that ends the copy. */
static enum ota_err step_words(struct pack_delta *delta, struct ota_why *why)
{
	uint32_t words = delta->op.copy / 4;
	uint32_t run = pack_model_run(&delta->model, &delta->coder, !delta->in_copy, 0);
	enum ota_err err = OTA_OK;
	delta->in_copy = true;
	if (run > words)
		return fail(delta, "a run is longer than its copy", why);
	bool ends = run == words;
	while (run && !err) {
		uint32_t done = 0;
		err = run_words(delta, run, &done, why);
		run -= done;
	}
	return err || ends ? err : change_word(delta, why);
}

static enum ota_err step_copy(struct pack_delta *delta, struct ota_why *why)
{
	uint32_t copy = delta->op.copy, odd = (uint32_t)(-delta->place & 3);
	if (delta->op.is_plain || copy < 4)
		return copy_bytes(delta, copy, why);
	if (odd)
		return copy_bytes(delta, odd, why);
	return step_words(delta, why);
}

static enum ota_err step_op(struct pack_delta *delta, struct ota_why *why)
{
	struct pack_model_op *op = &delta->op;
	uint32_t room;
	pack_sink_room(delta->sink, &room);
	if (!delta->sink->filled)
		pack_predict_segment(&delta->predict);
	*op = (struct pack_model_op){0};
	pack_model_op(&delta->model, &delta->coder, delta->place, delta->follows, op);
	if ((!op->copy && !op->literal) || (uint64_t)op->copy + op->literal > room)
		return fail(delta, "an op of a wrong length", why);
	delta->in_copy = false;
	if (!op->copy)
		return OTA_OK;
	if (op->source > delta->predict.base_size ||
	    op->copy > delta->predict.base_size - op->source)
		return fail(delta, "a copy from outside the base", why);
	delta->source = op->source;
	delta->follows = op->source + op->copy;
	pack_predict_copy(&delta->predict, op->source, delta->place, op->copy, op->is_plain);
	return OTA_OK;
}

/* Stored bytes interrupt the coder's stream, which begins anew behind them. */
static enum ota_err step_stored(struct pack_delta *delta, struct ota_why *why)
{
	size_t there = (size_t)(delta->coder.in_end - delta->coder.in);
	uint32_t len = delta->op.literal < there ? delta->op.literal : (uint32_t)there;
	if (!len)
		return fail(delta, "the group ends early", why);
	const uint8_t *from = delta->coder.in;
	delta->coding = false;
	delta->coder.in += len;
	delta->op.literal -= len;
	delta->place += len;
	return pack_sink_put(delta->sink, from, len, why);
}

static enum ota_err step_literal(struct pack_delta *delta, struct ota_why *why)
{
	uint8_t bytes[LITERALS_AT_ONCE];
	uint32_t len = delta->op.literal < sizeof bytes ? delta->op.literal : sizeof bytes;
	for (uint32_t i = 0; i < len; i++)
		bytes[i] = pack_model_literal(&delta->model, &delta->coder,
					      (uint32_t)delta->place + i, 0);
	delta->op.literal -= len;
	delta->place += len;
	return pack_sink_put(delta->sink, bytes, len, why);
}

static enum ota_err step(struct pack_delta *delta, struct ota_why *why)
{
	if (delta->op.copy)
		return step_copy(delta, why);
	if (delta->op.literal)
		return delta->op.is_stored ? step_stored(delta, why) : step_literal(delta, why);
	if (!delta->coding) {
		pack_coder_read(&delta->coder);
		delta->coding = true;
	}
	if (!delta->has_head) {
		pack_predict_head(&delta->predict, &delta->coder);
		delta->has_head = true;
		return OTA_OK;
	}
	return step_op(delta, why);
}

/* Steps through what the coder's input has; `last`: nothing will follow it. */
static enum ota_err steps(struct pack_delta *delta, bool last, struct ota_why *why)
{
	while (pack_sink_left(delta->sink)) {
		if (!last && delta->coder.in_end - delta->coder.in < PACK_CODER_STEP)
			return OTA_OK;
		enum ota_err err = step(delta, why);
		if (err)
			return err;
		if (delta->coder.starved)
			return fail(delta, "the group ends early", why);
	}
	if (delta->coder.in != delta->coder.in_end || !last)
		return fail(delta, "the group has bytes after its end", why);
	return OTA_OK;
}

/* Joins what waits with the first of the new bytes, until it is used up. */
static enum ota_err feed_held(struct pack_delta *delta, const uint8_t **bytes, size_t *len,
			      struct ota_why *why)
{
	size_t room = sizeof delta->hold - delta->held;
	size_t added = *len < room ? *len : room;
	memcpy(delta->hold + delta->held, *bytes, added);
	delta->coder.in = delta->hold;
	delta->coder.in_end = delta->hold + delta->held + added;
	bool last = added == *len && delta->fed == delta->length;
	enum ota_err err = steps(delta, last, why);
	if (err)
		return err;
	size_t used = (size_t)(delta->coder.in - delta->hold);
	if (used < delta->held) {
		assert(added == *len);
		delta->held += added - used;
		memmove(delta->hold, delta->hold + used, delta->held);
		*len = 0;
		return OTA_OK;
	}
	*bytes += used - delta->held;
	*len -= used - delta->held;
	delta->held = 0;
	return OTA_OK;
}

enum ota_err pack_delta_feed(struct pack_delta *delta, const uint8_t *bytes, size_t len,
			     struct ota_why *why)
{
	enum ota_err err = OTA_OK;
	delta->fed += (uint32_t)len;
	if (delta->held)
		err = feed_held(delta, &bytes, &len, why);
	if (err || !len)
		return err;
	delta->coder.in = bytes;
	delta->coder.in_end = bytes + len;
	err = steps(delta, delta->fed == delta->length, why);
	if (err)
		return err;
	delta->held = (size_t)(delta->coder.in_end - delta->coder.in);
	assert(delta->held < sizeof delta->hold);
	memcpy(delta->hold, delta->coder.in, delta->held);
	return OTA_OK;
}
