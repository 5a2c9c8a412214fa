#include "pack_model.h"

#include <string.h>

#define LIMIT 127 /* how slowly the odds of numbers and flags forget */

const uint16_t pack_odds_rate[256] = {
	40960, 25206, 18204, 14246, 11702, 9929, 8623, 7620, 6826, 6182, 5649, 5201, 4818, 4488,
	4201,  3947,  3723,  3523,  3343,  3181, 3034, 2899, 2776, 2664, 2560, 2463, 2374, 2291,
	2214,  2141,  2073,  2010,  1950,  1894, 1840, 1790, 1742, 1697, 1654, 1614, 1575, 1538,
	1503,  1469,  1437,  1406,  1376,  1348, 1321, 1295, 1270, 1245, 1222, 1200, 1178, 1157,
	1137,  1118,  1099,  1081,  1063,  1046, 1030, 1014, 999,  984,	 969,  955,  941,  928,
	915,   902,   890,   878,   866,   855,	 844,  833,  823,  813,	 803,  793,  783,  774,
	765,   756,   748,   739,   731,   723,	 715,  707,  700,  692,	 685,  678,  671,  664,
	657,   651,   645,   638,   632,   626,	 620,  614,  609,  603,	 597,  592,  587,  582,
	576,   571,   566,   562,   557,   552,	 547,  543,  538,  534,	 530,  525,  521,  517,
	513,   509,   505,   501,   497,   494,	 490,  486,  483,  479,	 476,  472,  469,  466,
	462,   459,   456,   453,   450,   447,	 444,  441,  438,  435,	 432,  429,  426,  423,
	421,   418,   415,   413,   410,   408,	 405,  403,  400,  398,	 395,  393,  391,  388,
	386,   384,   381,   379,   377,   375,	 373,  371,  369,  366,	 364,  362,  360,  358,
	356,   355,   353,   351,   349,   347,	 345,  343,  342,  340,	 338,  336,  335,  333,
	331,   329,   328,   326,   325,   323,	 321,  320,  318,  317,	 315,  314,  312,  311,
	309,   308,   306,   305,   303,   302,	 301,  299,  298,  297,	 295,  294,  293,  291,
	290,   289,   287,   286,   285,   284,	 282,  281,  280,  279,	 278,  276,  275,  274,
	273,   272,   271,   270,   269,   267,	 266,  265,  264,  263,	 262,  261,  260,  259,
	258,   257,   256,   255,
};

void pack_model_init(struct pack_model *model)
{
	pack_mix_init(&model->mix);
}

void pack_model_reset(struct pack_model *model)
{
	pack_odds *odds = (pack_odds *)&model->odds;
	memset((uint8_t *)model + sizeof model->mix, 0, sizeof *model - sizeof model->mix);
	pack_mix_reset(&model->mix);
	for (size_t i = 0; i < sizeof model->odds / sizeof *odds; i++)
		odds[i] = PACK_ODDS_EVEN;
	pack_mixers_reset(model->literal_mixer, 4 * 256);
	pack_mixers_reset(model->change_mixer, 4 * 256);
}

/* Elias gamma of value + 1: its length in unary, then its bits below the highest; the first
 * three of these depend on the length, the others on their place only. */
static uint32_t code_number(struct pack_coder *coder, struct pack_number *number,
			    uint32_t value)
{
	uint64_t given = (uint64_t)value + 1, found = 1;
	unsigned bits = 0, length = 0;
	while (given >> (bits + 1))
		bits++;
	while (length < 32 &&
	       pack_coder_learn(coder, &number->length[length], LIMIT, length < bits))
		length++;
	for (unsigned i = length, node = 1; i-- > 0;) {
		pack_odds *odds = node < 8 ? &number->top[length][node] : &number->low[i];
		unsigned bit = pack_coder_learn(coder, odds, LIMIT, given >> i & 1);
		node = node < 8 ? node * 2 + bit : node;
		found = found * 2 + bit;
	}
	return (uint32_t)(found - 1);
}

static uint64_t code_seek(struct pack_model *model, struct pack_coder *coder, uint64_t follows,
			  uint64_t base)
{
	struct pack_model_odds *odds = &model->odds;
	bool back = pack_coder_learn(coder, &odds->seek_sign, LIMIT, base < follows);
	uint64_t far = back ? follows - base : base - follows;
	/* In two halves: a base may be larger than 4 GiB. */
	uint64_t high = code_number(coder, &odds->seek, (uint32_t)(far >> 28));
	uint64_t low = code_number(coder, &odds->seek_low, (uint32_t)(far & 0xfffffff));
	far = high << 28 | low;
	return back ? follows - far : follows + far;
}

static uint64_t code_source(struct pack_model *model, struct pack_coder *coder, uint64_t image,
			    uint64_t follows, uint64_t base)
{
	unsigned hit = 0;
	uint64_t shift = image - base;
	while (hit < PACK_MODEL_SHIFTS && !pack_coder_learn(coder, &model->odds.shift_is[hit],
							    LIMIT, model->shifts[hit] == shift))
		hit++;
	if (hit == PACK_MODEL_SHIFTS) {
		shift = image - code_seek(model, coder, follows, base);
		hit = PACK_MODEL_SHIFTS - 1;
	} else {
		shift = model->shifts[hit];
	}
	for (; hit > 0; hit--)
		model->shifts[hit] = model->shifts[hit - 1];
	model->shifts[0] = shift;
	return image - shift;
}

static unsigned log2_of(uint32_t value)
{
	return 31u - (unsigned)__builtin_clz(value);
}

void pack_model_op(struct pack_model *model, struct pack_coder *coder, uint64_t image,
		   uint64_t follows, struct pack_model_op *op)
{
	struct pack_model_odds *odds = &model->odds;
	op->copy = code_number(coder, &odds->copy, op->copy);
	op->literal = code_number(coder, &odds->literal, op->literal);
	if (op->copy) {
		pack_odds *plain = &odds->is_plain[model->was_plain][log2_of(op->copy)];
		op->is_plain = pack_coder_learn(coder, plain, LIMIT, op->is_plain);
		op->source = code_source(model, coder, image, follows, op->source);
		model->was_plain = op->is_plain;
	}
	if (op->literal) {
		pack_odds *stored = &odds->is_stored[log2_of(op->literal)];
		op->is_stored = pack_coder_learn(coder, stored, LIMIT, op->is_stored);
	}
}

static unsigned run_class(uint32_t run)
{
	static const uint32_t from[PACK_MODEL_RUNS - 1] = {1, 2, 4, 8, 16, 64, 256};
	unsigned class = 0;
	while (class < PACK_MODEL_RUNS - 1 && run >= from[class])
		class ++;
	return class;
}

uint32_t pack_model_run(struct pack_model *model, struct pack_coder *coder, bool first,
			uint32_t run)
{
	unsigned class = first ? 0 : model->last_class;
	run = code_number(coder, &model->odds.run[class], run);
	model->last_class = run_class(run);
	return run;
}

/* The fewest bytes that say it, as a number with a sign. */
static unsigned size_of(uint32_t change)
{
	unsigned size = 1;
	while (size < 4 && (change + (1u << (8 * size - 1))) >> (8 * size))
		size++;
	return size;
}

static unsigned code_size(struct pack_model *model, struct pack_coder *coder, unsigned size)
{
	pack_odds *odds = model->odds.size[model->last_size][model->last_class];
	unsigned high = pack_coder_learn(coder, &odds[1], LIMIT, size > 2);
	unsigned low = pack_coder_learn(coder, &odds[2 + high], LIMIT, !(size & 1));
	return 1 + 2 * high + low;
}

/* The byte at `place` of a change of `size` bytes of which those below are in `found`. */
static uint8_t change_byte(struct pack_model *model, struct pack_coder *coder, unsigned size,
			   unsigned place, uint32_t found, uint8_t byte)
{
	uint32_t below = place > 0 ? found >> (8 * place - 8) & 255 : 0;
	uint32_t below2 = place > 1 ? found >> (8 * place - 16) & 255 : 0;
	uint32_t last = model->before[0] >> (8 * place) & 255;
	uint32_t last2 = model->before[1] >> (8 * place) & 255;
	uint32_t at = place | size << 2;
	const uint32_t contexts[PACK_MIX_INPUTS] = {
		pack_mix_hash(at) + 11,
		pack_mix_hash(at | below << 8) + 12,
		pack_mix_hash(at | below << 8 | below2 << 16) + 13,
		pack_mix_hash(at | last << 8) + 14,
		pack_mix_hash(at | below << 8 | last << 16) + 15,
		pack_mix_hash(at | last2 << 8 | last << 16) + 16,
		pack_mix_hash(at | model->last_class << 8 | below << 16) + 17,
		pack_mix_hash(at | model->found_at << 8 | below << 16 |
			      model->last_class << 24) +
			18,
	};
	return pack_mix_byte(&model->mix, coder, &model->change_mixer[place * 256], contexts,
			     byte);
}

static uint32_t new_change(struct pack_model *model, struct pack_coder *coder, uint32_t change)
{
	unsigned size = code_size(model, coder, size_of(change));
	uint32_t found = 0, sign = 1u << (8 * size - 1);
	for (unsigned place = 0; place < size; place++) {
		uint8_t byte = (uint8_t)(change >> (8 * place));
		byte = change_byte(model, coder, size, place, found, byte);
		found |= (uint32_t)byte << (8 * place);
	}
	model->last_size = size;
	return (found ^ sign) - sign;
}

uint32_t pack_model_change(struct pack_model *model, struct pack_coder *coder, uint32_t change)
{
	unsigned at = 0, last = model->found_at;
	while (at < PACK_MODEL_RECENT && model->recent[at] &&
	       !pack_coder_learn(coder, &model->odds.is_recent[at][last][model->last_class],
				 LIMIT, model->recent[at] == change))
		at++;
	if (at < PACK_MODEL_RECENT && model->recent[at]) {
		change = model->recent[at];
		model->found_at = at + 1;
		model->last_size = 0;
	} else {
		change = new_change(model, coder, change);
		model->found_at = 0;
		at = PACK_MODEL_RECENT - 1;
	}
	for (; at > 0; at--)
		model->recent[at] = model->recent[at - 1];
	model->recent[0] = change;
	model->before[1] = model->before[0];
	model->before[0] = change;
	return change;
}

uint8_t pack_model_literal(struct pack_model *model, struct pack_coder *coder, uint32_t image,
			   uint8_t byte)
{
	uint64_t history = model->history;
	uint32_t place = image & 3, fourth = history >> 32 & 255, eighth = history & 255;
	uint32_t last4 = pack_mix_hash((uint32_t)(history >> 32));
	const uint32_t contexts[PACK_MIX_INPUTS] = {
		place,
		(uint32_t)(history >> 56),
		(uint32_t)(history >> 48) + (1u << 24),
		(uint32_t)(history >> 40) + (2u << 24),
		last4 + 3,
		place << 8 | fourth,
		pack_mix_hash(place << 16 | fourth << 8 | eighth) + 4,
		last4 * 31 + (uint32_t)(history >> 16 & 0xffff),
	};
	byte = pack_mix_byte(&model->mix, coder, &model->literal_mixer[place * 256], contexts,
			     byte);
	model->history = history >> 8 | (uint64_t)byte << 56;
	return byte;
}
