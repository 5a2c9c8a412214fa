/* The input arrives in pieces of any size, so decoding goes in steps, each of which needs no
 * more than PACK_CODER_STEP bytes: a step is taken when that many are there or nothing more
 * will come. What is left over waits in `hold`. */
#include "pack_delta_read.h"

#include "pack_predict.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define WINDOW (16u << 10) /* of the base, read ahead of a copy */

struct pack_delta {
	struct pack_coder coder;
	struct pack_sink *sink;
	uint32_t length, fed; /* encoded bytes: all, and seen */
	uint8_t hold[2 * PACK_CODER_STEP];
	size_t held;
	bool started;
	/* where the image is being written, where the base is read, where the last copy ended
	 */
	uint64_t place, source, follows;
	uint32_t copy, literal; /* left of the op */
	uint32_t run;		/* units left that are as foreseen */
	bool in_run;
	unsigned run_class;
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
	delta->sink = sink;
	delta->length = length;
	delta->fed = 0;
	delta->held = 0;
	delta->started = false;
	delta->place = (uint64_t)sink->segment * sink->segment_size;
	delta->source = delta->follows = 0;
	delta->copy = delta->literal = delta->run = 0;
	delta->in_run = false;
	delta->run_class = 0;
	delta->window_at = 0;
	delta->window_size = 0;
	pack_model_reset(&delta->model);
	pack_predict_reset(&delta->predict, base_size);
}

static enum ota_err fail(const struct pack_delta *delta, const char *what, struct ota_why *why)
{
	return ota_fail(why, OTA_SEGMENT_HASH_MISMATCH, "segment %u does not decode: %s",
			delta->sink->segment, what);
}

/* Makes the window hold the base from the source on, as far as the next unit needs it. */
static enum ota_err window_slide(struct pack_delta *delta, struct ota_why *why)
{
	uint64_t base_left = delta->predict.base_size - delta->source;
	uint64_t needed =
		base_left < 4 + PACK_PREDICT_AHEAD ? base_left : 4 + PACK_PREDICT_AHEAD;
	if (delta->source >= delta->window_at &&
	    delta->source + needed <= delta->window_at + delta->window_size)
		return OTA_OK;
	uint64_t wanted = (uint64_t)delta->copy + PACK_PREDICT_AHEAD;
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

/* A unit is what is left to the next multiple of 4 in the image. */
static uint32_t unit_of(const struct pack_delta *delta)
{
	uint32_t unit = 4 - (uint32_t)(delta->place & 3);
	return unit < delta->copy ? unit : delta->copy;
}

static void advance(struct pack_delta *delta, uint32_t len)
{
	delta->place += len;
	delta->source += len;
	delta->copy -= len;
}

static void store(uint8_t *to, uint32_t word)
{
	for (int i = 0; i < 4; i++)
		to[i] = (uint8_t)(word >> (8 * i));
}

/* Whole words of a run, as many as window and segment have room for. */
static enum ota_err run_words(struct pack_delta *delta, struct ota_why *why)
{
	uint32_t room, done = 0;
	uint8_t *to = pack_sink_room(delta->sink, &room);
	const uint8_t *from = delta->window + (delta->source - delta->window_at);
	size_t ahead = delta->window_size - (size_t)(delta->source - delta->window_at);
	bool at_end = delta->window_at + delta->window_size == delta->predict.base_size;
	size_t spare = at_end ? 4 : 4 + PACK_PREDICT_AHEAD;
	uint32_t words = delta->run < delta->copy / 4 ? delta->run : delta->copy / 4;
	if (words > room / 4)
		words = room / 4;
	for (; done < words && ahead >= spare; done++) {
		struct pack_guess guess;
		uint64_t at = (uint64_t)done * 4;
		pack_predict_word(&delta->predict, from + at, ahead, delta->source + at,
				  delta->place + at, &guess);
		pack_predict_learn(&delta->predict, &guess, delta->place + at, guess.word);
		pack_model_pass(&delta->model, guess.word);
		store(to + at, guess.word);
		ahead -= 4;
	}
	delta->run -= done;
	advance(delta, done * 4);
	return pack_sink_filled(delta->sink, done * 4, why);
}

static enum ota_err run_unit(struct pack_delta *delta, struct ota_why *why)
{
	enum ota_err err = window_slide(delta, why);
	uint32_t unit = unit_of(delta);
	if (err)
		return err;
	if (unit == 4)
		return run_words(delta, why);
	const uint8_t *from = delta->window + (delta->source - delta->window_at);
	for (uint32_t i = 0; i < unit; i++)
		pack_model_pass_byte(&delta->model, from[i]);
	delta->run--;
	advance(delta, unit);
	return pack_sink_put(delta->sink, from, unit, why);
}

/* A unit that is not as foreseen. */
static enum ota_err miss_unit(struct pack_delta *delta, struct ota_why *why)
{
	uint8_t bytes[4];
	uint32_t unit = unit_of(delta);
	enum ota_err err = window_slide(delta, why);
	if (err)
		return err;
	if (unit == 4) {
		struct pack_guess guess;
		size_t offset = (size_t)(delta->source - delta->window_at);
		pack_predict_word(&delta->predict, delta->window + offset,
				  delta->window_size - offset, delta->source, delta->place,
				  &guess);
		store(bytes, pack_predict_miss(&delta->predict, &delta->model, &delta->coder,
					       &guess, delta->source, delta->place, 0));
	} else {
		for (uint32_t i = 0; i < unit; i++)
			bytes[i] = pack_model_literal(&delta->model, &delta->coder,
						      (uint32_t)delta->place + i, 0);
	}
	advance(delta, unit);
	return pack_sink_put(delta->sink, bytes, unit, why);
}

/* A run and the unit that ends it, or the run that ends the copy. */
static enum ota_err step_copy(struct pack_delta *delta, struct ota_why *why)
{
	if (!delta->in_run) {
		delta->run = pack_model_number(&delta->coder,
					       &delta->model.run[delta->run_class], 0);
		delta->run_class = pack_model_run_class(delta->run);
		delta->in_run = true;
	}
	while (delta->run && delta->copy) {
		enum ota_err err = run_unit(delta, why);
		if (err)
			return err;
	}
	if (delta->run)
		return fail(delta, "a run is longer than its copy", why);
	delta->in_run = false;
	return delta->copy ? miss_unit(delta, why) : OTA_OK;
}

static enum ota_err step_op(struct pack_delta *delta, struct ota_why *why)
{
	uint64_t left = pack_sink_left(delta->sink);
	uint32_t copy = pack_model_number(&delta->coder, &delta->model.copy, 0);
	uint32_t literal = pack_model_number(&delta->coder, &delta->model.literal, 0);
	if ((!copy && !literal) || (uint64_t)copy + literal > left)
		return fail(delta, "an op of a wrong length", why);
	if (copy) {
		uint64_t source = pack_model_source(&delta->model, &delta->coder, delta->place,
						    delta->follows, 0);
		if (source > delta->predict.base_size ||
		    copy > delta->predict.base_size - source)
			return fail(delta, "a copy from outside the base", why);
		delta->source = source;
		delta->follows = source + copy;
		delta->run_class = 0;
		pack_predict_copy(&delta->predict, source, delta->place, copy);
	}
	delta->copy = copy;
	delta->literal = literal;
	return OTA_OK;
}

static enum ota_err step(struct pack_delta *delta, struct ota_why *why)
{
	if (!delta->started) {
		pack_coder_read(&delta->coder);
		pack_predict_head(&delta->predict, &delta->coder);
		delta->started = true;
		return OTA_OK;
	}
	if (delta->copy)
		return step_copy(delta, why);
	if (!delta->literal)
		return step_op(delta, why);
	uint8_t byte =
		pack_model_literal(&delta->model, &delta->coder, (uint32_t)delta->place, 0);
	delta->place++;
	delta->literal--;
	return pack_sink_put(delta->sink, &byte, 1, why);
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
