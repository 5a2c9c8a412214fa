/* AArch64 encodings are from the Arm Architecture Reference Manual for A-profile (DDI 0487),
 * section C4.1. A place is an offset in the base, wherever it is in memory; what has moved is
 * remembered for the very place and for its surroundings of 256 bytes, 4 KiB and 128 KiB. */
#include "pack_predict.h"

#include <string.h>

#define NO_PLACE 0xffffffffu

static const unsigned surroundings[3] = {8, 12, 17};

static uint32_t load(const uint8_t *at)
{
	return (uint32_t)at[0] | (uint32_t)at[1] << 8 | (uint32_t)at[2] << 16 |
	       (uint32_t)at[3] << 24;
}

static uint32_t hash(uint32_t x, unsigned bits)
{
	return (x * 0x9e3779b1u) >> (32 - bits);
}

static struct pack_moved *near_entry(struct pack_predict *predict, uint32_t place, unsigned i,
				     uint32_t *ret_key)
{
	*ret_key = place >> surroundings[i] | (i + 1) << 28;
	return &predict->nearby[hash(*ret_key, PACK_PREDICT_NEAR_LOG)];
}

static bool moved_by(struct pack_predict *predict, uint32_t place, uint32_t *ret_by)
{
	struct pack_moved *entry = &predict->exactly[hash(place, PACK_PREDICT_PLACES_LOG)];
	if (entry->place == place) {
		*ret_by = entry->by;
		return true;
	}
	for (unsigned i = 0; i < 3; i++) {
		uint32_t key;
		entry = near_entry(predict, place, i, &key);
		if (entry->place == key) {
			*ret_by = entry->by;
			return true;
		}
	}
	return false;
}

static void remember(struct pack_predict *predict, uint32_t place, uint32_t by)
{
	predict->exactly[hash(place, PACK_PREDICT_PLACES_LOG)] = (struct pack_moved){place, by};
	for (unsigned i = 0; i < 3; i++) {
		uint32_t key;
		struct pack_moved *entry = near_entry(predict, place, i, &key);
		*entry = (struct pack_moved){key, by};
	}
}

void pack_predict_reset(struct pack_predict *predict, uint64_t base_size)
{
	memset(predict, 0, sizeof *predict);
	predict->base_size = base_size;
	memset(predict->exactly, 0xff, sizeof predict->exactly);
	memset(predict->nearby, 0xff, sizeof predict->nearby);
	memset(predict->same, 0xff, sizeof predict->same);
	memset(predict->near, 0xff, sizeof predict->near);
}

static uint32_t code_plain(struct pack_coder *coder, unsigned bits, uint32_t value)
{
	uint32_t found = 0;
	for (unsigned i = bits; i-- > 0;)
		found = found << 1 | pack_coder_bit(coder, 32768, value >> i & 1);
	return found;
}

void pack_predict_head(struct pack_predict *predict, struct pack_coder *coder)
{
	predict->has_pointers = code_plain(coder, 1, predict->has_pointers);
	if (!predict->has_pointers)
		return;
	predict->pointer_high = code_plain(coder, 32, predict->pointer_high);
	predict->pointer_origin = code_plain(coder, 32, predict->pointer_origin);
}

static enum pack_predict_kind kind_of(uint32_t word)
{
	if ((word & 0x7c000000) == 0x14000000)
		return PACK_PREDICT_CALL;
	if ((word & 0x9f000000) == 0x90000000)
		return PACK_PREDICT_PAGE;
	if ((word & 0xffc00000) == 0x91000000)
		return PACK_PREDICT_ADD;
	if ((word & 0x3b000000) == 0x39000000)
		return PACK_PREDICT_ACCESS;
	return PACK_PREDICT_DATA;
}

/* By how many bits the 12-bit field of an ADD, a load or a store is shifted. */
static unsigned low_shift(uint32_t word, enum pack_predict_kind kind)
{
	if (kind == PACK_PREDICT_ADD)
		return 0;
	return (word & 0x04800000) == 0x04800000 ? 4 : word >> 30;
}

static uint32_t low_of(uint32_t word, enum pack_predict_kind kind)
{
	return (word >> 10 & 0xfff) << low_shift(word, kind);
}

static uint32_t call_target(uint32_t word, uint64_t place)
{
	return (uint32_t)place + (uint32_t)((int32_t)(word << 6) >> 4);
}

static uint32_t page_of(uint32_t word, uint64_t place)
{
	uint32_t pages = (word >> 3 & 0x1ffffc) | (word >> 29 & 3);
	return ((uint32_t)place & ~0xfffu) + (pages << 12);
}

/* The page and, from the instruction that completes it, the rest. */
static uint32_t page_target(uint32_t word, const uint8_t *base, size_t ahead, uint32_t page)
{
	for (size_t at = 4; at <= 32 && at + 4 <= ahead; at += 4) {
		uint32_t next = load(base + at);
		enum pack_predict_kind kind = kind_of(next);
		if ((kind == PACK_PREDICT_ADD || kind == PACK_PREDICT_ACCESS) &&
		    (next >> 5 & 31) == (word & 31))
			return page + low_of(next, kind);
	}
	return page;
}

static bool is_pointer(const struct pack_predict *predict, const uint8_t *base, size_t ahead,
		       uint64_t source, uint64_t place, uint32_t word)
{
	if (!predict->has_pointers || ((source | place) & 7) || ahead < 8 ||
	    load(base + 4) != predict->pointer_high)
		return false;
	/* With a high half of 0 most small numbers would look like one. */
	return predict->pointer_high ||
	       (word >= 4096 &&
		word - predict->pointer_origin < predict->base_size + (8u << 20));
}

static void guess_call(struct pack_predict *predict, uint64_t source, uint64_t place,
		       struct pack_guess *guess)
{
	uint32_t by;
	guess->has_target = true;
	guess->target = call_target(guess->old, source);
	if (!moved_by(predict, guess->target, &by))
		return; /* most likely a jump within the same function */
	uint32_t distance = guess->target + by - (uint32_t)place;
	guess->word = (guess->old & 0xfc000000) | (distance >> 2 & 0x3ffffff);
}

static void guess_page(struct pack_predict *predict, const uint8_t *base, size_t ahead,
		       uint64_t source, uint64_t place, struct pack_guess *guess)
{
	uint32_t by, page = page_of(guess->old, source), into = guess->old & 31;
	guess->has_target = true;
	guess->target = page_target(guess->old, base, ahead, page);
	predict->registers[into].known = true;
	predict->registers[into].old = page;
	predict->registers[into].now = page;
	if (!moved_by(predict, guess->target, &by))
		return;
	uint32_t pages = ((guess->target + by) >> 12) - ((uint32_t)place >> 12);
	guess->word =
		(guess->old & 0x9f00001f) | (pages & 3) << 29 | (pages >> 2 & 0x7ffff) << 5;
}

static void guess_low(struct pack_predict *predict, struct pack_guess *guess)
{
	uint32_t by, from = guess->old >> 5 & 31;
	if (!predict->registers[from].known)
		return;
	guess->has_target = true;
	guess->target = predict->registers[from].old + low_of(guess->old, guess->kind);
	if (!moved_by(predict, guess->target, &by))
		return;
	uint32_t low = (guess->target + by) & 0xfff;
	unsigned shift = low_shift(guess->old, guess->kind);
	if (low & ((1u << shift) - 1))
		return;
	guess->word = (guess->old & ~(0xfffu << 10)) | (low >> shift) << 10;
}

void pack_predict_word(struct pack_predict *predict, const uint8_t *base, size_t ahead,
		       uint64_t source, uint64_t place, struct pack_guess *ret_guess)
{
	uint32_t by, old = load(base);
	*ret_guess = (struct pack_guess){.kind = kind_of(old), .old = old, .word = old};
	if ((source | place) & 3)
		return;
	if (is_pointer(predict, base, ahead, source, place, old)) {
		ret_guess->kind = PACK_PREDICT_POINTER;
		ret_guess->has_target = true;
		ret_guess->target = old - predict->pointer_origin;
		if (moved_by(predict, ret_guess->target, &by))
			ret_guess->word = old + by;
		return;
	}
	switch (ret_guess->kind) {
	case PACK_PREDICT_CALL:
		guess_call(predict, source, place, ret_guess);
		break;
	case PACK_PREDICT_PAGE:
		guess_page(predict, base, ahead, source, place, ret_guess);
		break;
	case PACK_PREDICT_ADD:
	case PACK_PREDICT_ACCESS:
		guess_low(predict, ret_guess);
		break;
	case PACK_PREDICT_DATA:
	case PACK_PREDICT_POINTER:
		break;
	}
}

void pack_predict_learn(struct pack_predict *predict, const struct pack_guess *guess,
			uint64_t place, uint32_t now)
{
	uint32_t from = guess->old >> 5 & 31;
	if (!guess->has_target)
		return;
	if (guess->kind == PACK_PREDICT_POINTER) {
		remember(predict, guess->target, now - guess->old);
		return;
	}
	if (kind_of(now) != guess->kind)
		return;
	switch (guess->kind) {
	case PACK_PREDICT_CALL:
		remember(predict, guess->target, call_target(now, place) - guess->target);
		break;
	case PACK_PREDICT_PAGE:
		predict->registers[now & 31].now = page_of(now, place);
		break;
	case PACK_PREDICT_ADD:
	case PACK_PREDICT_ACCESS:
		if ((now >> 5 & 31) != from)
			break;
		remember(predict, guess->target,
			 predict->registers[from].now + low_of(now, guess->kind) -
				 guess->target);
		if (guess->kind == PACK_PREDICT_ADD && (guess->old & 31) == from)
			predict->registers[from].known = false;
		break;
	case PACK_PREDICT_DATA:
	case PACK_PREDICT_POINTER:
		break;
	}
}

uint32_t pack_predict_miss(struct pack_predict *predict, struct pack_model *model,
			   struct pack_coder *coder, const struct pack_guess *guess,
			   uint64_t source, uint64_t place, uint32_t now)
{
	uint32_t by, old = guess->old, near = old >> 5;
	bool is_data = guess->kind == PACK_PREDICT_DATA;
	uint32_t class = is_data ? 0 : guess->word >> 24;
	struct pack_moved *same = &predict->same[hash(old, PACK_PREDICT_CHANGE_LOG)];
	struct pack_moved *around = &predict->near[hash(near, PACK_PREDICT_CHANGE_LOG)];
	struct pack_word word = {.old = old, .predicted = guess->word, .is_data = is_data};
	for (unsigned i = 0; i < PACK_MODEL_CANDIDATES; i++)
		word.candidates[i] = guess->word;
	if (same->place == old)
		word.candidates[0] = old + same->by;
	word.candidates[1] = old + predict->last_change[class];
	word.candidates[2] = old;
	if (around->place == near)
		word.candidates[3] = old + around->by;
	/* Data may hold a place as it is, or how far away it is. */
	if (is_data && moved_by(predict, old - predict->pointer_origin, &by))
		word.candidates[4] = old + by;
	uint32_t away = (uint32_t)source + old;
	if (is_data && moved_by(predict, away, &by))
		word.candidates[5] = away + by - (uint32_t)place;
	now = pack_model_word(model, coder, &word, now);
	*same = (struct pack_moved){old, now - old};
	*around = (struct pack_moved){near, now - old};
	predict->last_change[class] = now - old;
	if (is_data && word.candidates[5] != guess->word && now == word.candidates[5])
		remember(predict, away, by);
	pack_predict_learn(predict, guess, place, now);
	return now;
}
