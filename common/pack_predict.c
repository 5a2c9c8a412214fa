/* AArch64 encodings are from the Arm Architecture Reference Manual for A-profile (DDI 0487),
 * section C4.1. A place is an offset in the base, wherever it is in memory; what has moved is
 * remembered for the very place and for its surroundings of 256 bytes, 4 KiB and 128 KiB. */
#include "pack_predict.h"

#include <string.h>

static const unsigned surroundings[3] = {8, 12, 17};
static const uint32_t first_trust[PACK_PREDICT_WAY_COUNT] = {34000, 50000, 46000,
							     42000, 38000, 35000};

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

/* Finds what each way says about a place; *ret_ways has a bit for each that knows it. */
static void moved_by(struct pack_predict *predict, uint32_t place, unsigned *ret_ways,
		     uint32_t by[PACK_PREDICT_WAY_COUNT])
{
	struct pack_moved *entry = &predict->exactly[hash(place, PACK_PREDICT_PLACES_LOG)];
	unsigned ways = 0;
	if (entry->place == place) {
		by[PACK_PREDICT_EXACTLY] = entry->by;
		ways |= 1u << PACK_PREDICT_EXACTLY;
	}
	if (place - predict->within_first < predict->within_size) {
		by[PACK_PREDICT_WITHIN] = predict->within_by;
		ways |= 1u << PACK_PREDICT_WITHIN;
	}
	for (unsigned i = 0; i < 3; i++) {
		uint32_t key;
		entry = near_entry(predict, place, i, &key);
		if (entry->place == key) {
			by[PACK_PREDICT_NEARBY + i] = entry->by;
			ways |= 1u << (PACK_PREDICT_NEARBY + i);
		}
	}
	*ret_ways = ways;
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

void pack_predict_group(struct pack_predict *predict, uint64_t base_size)
{
	predict->base_size = base_size;
	predict->has_pointers = false;
	predict->pointer_high = predict->pointer_origin = 0;
	pack_predict_segment(predict);
}

void pack_predict_segment(struct pack_predict *predict)
{
	predict->within_first = predict->within_size = predict->within_by = 0;
	predict->is_fresh = false;
}

static void forget(struct pack_predict *predict)
{
	for (unsigned kind = 0; kind < PACK_PREDICT_KINDS; kind++)
		memcpy(predict->trust[kind], first_trust, sizeof first_trust);
	memset(predict->exactly, 0xff, sizeof predict->exactly);
	memset(predict->nearby, 0xff, sizeof predict->nearby);
	memset(predict->registers, 0, sizeof predict->registers);
	predict->is_fresh = true;
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

/* The word if its target moves by so much. */
static uint32_t moved_word(const struct pack_guess *guess, uint64_t place, uint32_t by)
{
	uint32_t old = guess->old, to = guess->target + by;
	unsigned shift = low_shift(old, guess->kind);
	uint32_t pages = (to >> 12) - ((uint32_t)place >> 12);
	switch (guess->kind) {
	case PACK_PREDICT_CALL:
		return (old & 0xfc000000) | ((to - (uint32_t)place) >> 2 & 0x3ffffff);
	case PACK_PREDICT_PAGE:
		return (old & 0x9f00001f) | (pages & 3) << 29 | (pages >> 2 & 0x7ffff) << 5;
	case PACK_PREDICT_ADD:
	case PACK_PREDICT_ACCESS:
		if (to & ((1u << shift) - 1))
			return old;
		return (old & ~(0xfffu << 10)) | (to & 0xfff) >> shift << 10;
	case PACK_PREDICT_POINTER:
		return old + by;
	case PACK_PREDICT_DATA:
		break;
	}
	return old;
}

static bool find_target(struct pack_predict *predict, const uint8_t *base, size_t ahead,
			uint64_t source, struct pack_guess *guess)
{
	uint32_t page, into = guess->old & 31, from = guess->old >> 5 & 31;
	switch (guess->kind) {
	case PACK_PREDICT_CALL:
		guess->target = call_target(guess->old, source);
		return true;
	case PACK_PREDICT_PAGE:
		page = page_of(guess->old, source);
		guess->target = page_target(guess->old, base, ahead, page);
		predict->registers[into].known = true;
		predict->registers[into].old = page;
		predict->registers[into].now = page;
		return true;
	case PACK_PREDICT_ADD:
	case PACK_PREDICT_ACCESS:
		guess->target = predict->registers[from].old + low_of(guess->old, guess->kind);
		return predict->registers[from].known;
	case PACK_PREDICT_POINTER:
		guess->target = guess->old - predict->pointer_origin;
		return true;
	case PACK_PREDICT_DATA:
		break;
	}
	return false;
}

void pack_predict_copy(struct pack_predict *predict, uint64_t source, uint64_t place,
		       uint32_t size, bool is_plain)
{
	uint32_t by = (uint32_t)place - (uint32_t)source, first = (uint32_t)source;
	if (!is_plain && !predict->is_fresh)
		forget(predict);
	if (by == predict->within_by && first == predict->within_first + predict->within_size) {
		predict->within_size += size;
		return;
	}
	predict->within_by = by;
	predict->within_first = first;
	predict->within_size = size;
}

void pack_predict_word(struct pack_predict *predict, const uint8_t *base, size_t ahead,
		       uint64_t source, uint64_t place, struct pack_guess *ret_guess)
{
	uint32_t by[PACK_PREDICT_WAY_COUNT] = {0}, old = load(base);
	ret_guess->old = ret_guess->word = old;
	ret_guess->kind = kind_of(old);
	ret_guess->has_target = false;
	if (source & 3)
		return;
	if (is_pointer(predict, base, ahead, source, place, old))
		ret_guess->kind = PACK_PREDICT_POINTER;
	if (ret_guess->kind == PACK_PREDICT_DATA ||
	    !find_target(predict, base, ahead, source, ret_guess))
		return;
	const uint32_t *trust = predict->trust[ret_guess->kind];
	uint32_t best = trust[PACK_PREDICT_STAYS];
	ret_guess->has_target = true;
	moved_by(predict, ret_guess->target, &ret_guess->ways, by);
	for (unsigned left = ret_guess->ways; left; left &= left - 1) {
		unsigned way = (unsigned)__builtin_ctz(left);
		ret_guess->words[way] = moved_word(ret_guess, place, by[way]);
		if (trust[way] > best) {
			best = trust[way];
			ret_guess->word = ret_guess->words[way];
		}
	}
	ret_guess->ways |= 1u << PACK_PREDICT_STAYS;
	ret_guess->words[PACK_PREDICT_STAYS] = old;
}

static void learn_trust(struct pack_predict *predict, const struct pack_guess *guess,
			uint32_t now)
{
	for (unsigned left = guess->ways; left; left &= left - 1) {
		unsigned way = (unsigned)__builtin_ctz(left);
		uint32_t *trust = &predict->trust[guess->kind][way];
		if (guess->words[way] == now)
			*trust += (65535 - *trust) >> 5;
		else
			*trust -= *trust >> 5;
	}
}

void pack_predict_learn(struct pack_predict *predict, const struct pack_guess *guess,
			uint64_t place, uint32_t now)
{
	uint32_t from = guess->old >> 5 & 31;
	if (!guess->has_target)
		return;
	learn_trust(predict, guess, now);
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
