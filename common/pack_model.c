/* A byte is coded bit by bit, most significant first. Eight contexts each have an opinion on
 * the next bit; a small mixer, trained as it goes, weighs them in the logistic domain (Mahoney,
 * "Adaptive weighing of context models for lossless data compression", 2005). All of it is
 * integer arithmetic: both ends must come to the same numbers. */
#include "pack_model.h"

#include <string.h>

#define LIMIT	     127 /* how slowly the odds of numbers and flags forget */
#define WEIGHT_LOG   13	 /* a weight of 1 is 1 << WEIGHT_LOG */
#define WEIGHT_FIRST (1 << (WEIGHT_LOG - 2))
#define MIXER_RATE   24

/* 65536 / (1 + e^(-x/256)) for x = -2048, -1920 ... 2048; linear between. */
static const int32_t logistic[33] = {
	22,    36,    60,    98,    162,   267,	  439,	 720,	1179,  1921,  3108,
	4971,  7812,  11955, 17625, 24743, 32768, 40793, 47911, 53581, 57724, 60565,
	62428, 63615, 64357, 64816, 65097, 65269, 65374, 65438, 65476, 65500, 65514,
};

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

/* How far the n-th observation moves a slot, of 65536. */
static const int32_t slot_rate[8] = {40000, 25000, 16000, 11000, 7300, 5000, 3700, 2700};

static int32_t squash(int32_t x)
{
	if (x < -2047)
		x = -2047;
	if (x > 2047)
		x = 2047;
	int32_t at = (x + 2048) >> 7, part = (x + 2048) & 127;
	return (logistic[at] * (128 - part) + logistic[at + 1] * part) >> 7;
}

/* Fills in the inverse of squash, for probabilities of 12 bits. */
void pack_model_init(struct pack_model *model)
{
	int32_t x = -2047;
	for (int32_t p = 0; p < 4096; p++) {
		while (x < 2047 && squash(x) < p * 16 + 8)
			x++;
		model->stretch[p] = (int16_t)x;
	}
}

static void odds_reset(void *odds, size_t size)
{
	pack_odds *at = odds;
	for (size_t i = 0; i < size / sizeof *at; i++)
		at[i] = PACK_ODDS_EVEN;
}

void pack_model_reset(struct pack_model *model)
{
	memset((uint8_t *)model + sizeof model->stretch, 0,
	       sizeof *model - sizeof model->stretch);
	odds_reset(&model->copy, sizeof model->copy);
	odds_reset(&model->literal, sizeof model->literal);
	odds_reset(&model->seek, sizeof model->seek);
	odds_reset(&model->seek_low, sizeof model->seek_low);
	odds_reset(model->run, sizeof model->run);
	odds_reset(&model->seek_sign, sizeof model->seek_sign);
	odds_reset(model->shift_is, sizeof model->shift_is);
	odds_reset(model->is_candidate, sizeof model->is_candidate);
	odds_reset(model->byte_is_kept, sizeof model->byte_is_kept);
	for (size_t i = 0; i < sizeof model->slots / sizeof(pack_slot); i++)
		((pack_slot *)model->slots)[i] = 4096 << 3;
	for (size_t i = 0; i < 4 * 256; i++)
		for (size_t k = 0; k < PACK_MODEL_INPUTS; k++) {
			model->literal_mixer[i].weight[k] = WEIGHT_FIRST;
			model->word_mixer[i].weight[k] = WEIGHT_FIRST;
		}
}

/* Elias gamma of value + 1: its length in unary, then its bits below the highest; the first
 * three of these depend on the length, the others on their place only. */
uint32_t pack_model_number(struct pack_coder *coder, struct pack_number *number, uint32_t value)
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

unsigned pack_model_run_class(uint32_t run)
{
	static const uint32_t from[7] = {1, 2, 4, 8, 16, 64, 256};
	unsigned class = 0;
	while (class < 7 && run >= from[class])
		class ++;
	return class;
}

uint64_t pack_model_source(struct pack_model *model, struct pack_coder *coder, uint64_t image,
			   uint64_t follows, uint64_t base)
{
	unsigned hit = 0;
	uint64_t shift = image - base;
	while (hit < PACK_MODEL_SHIFTS && !pack_coder_learn(coder, &model->shift_is[hit], LIMIT,
							    model->shifts[hit] == shift))
		hit++;
	if (hit == PACK_MODEL_SHIFTS) {
		bool back = pack_coder_learn(coder, &model->seek_sign, LIMIT, base < follows);
		uint64_t far = back ? follows - base : base - follows;
		/* In two halves: a base may be larger than 4 GiB. */
		uint64_t high = pack_model_number(coder, &model->seek, (uint32_t)(far >> 28));
		uint64_t low =
			pack_model_number(coder, &model->seek_low, (uint32_t)(far & 0xfffffff));
		far = high << 28 | low;
		base = back ? follows - far : follows + far;
		shift = image - base;
		hit = PACK_MODEL_SHIFTS - 1;
	} else {
		shift = model->shifts[hit];
	}
	for (; hit > 0; hit--)
		model->shifts[hit] = model->shifts[hit - 1];
	model->shifts[0] = shift;
	return image - shift;
}

static uint32_t mix_hash(uint32_t x)
{
	x *= 0x9e3779b1;
	return x ^ x >> 15;
}

/* The sixteen slots of a context for one half of a byte. */
static pack_slot *slots_of(struct pack_model *model, unsigned input, uint32_t context)
{
	uint32_t place = mix_hash(context) >> 3;
	return &model->slots[input][(place << 4) & ((1 << PACK_MODEL_SLOTS_LOG) - 1)];
}

static void slot_learn(pack_slot *slot, unsigned bit)
{
	int32_t p = *slot >> 3;
	unsigned count = *slot & 7;
	p += (((bit ? 8191 : 0) - p) * slot_rate[count]) / 65536;
	*slot = (pack_slot)(p << 3 | (int32_t)(count < 7 ? count + 1 : 7));
}

static unsigned mix_bit(struct pack_model *model, struct pack_coder *coder,
			struct pack_mixer *mixer, pack_slot *const slots[PACK_MODEL_INPUTS],
			unsigned node, unsigned bit)
{
	int16_t x[PACK_MODEL_INPUTS];
	int32_t sum = 0;
	for (unsigned i = 0; i < PACK_MODEL_INPUTS; i++)
		x[i] = model->stretch[slots[i][node] >> 4];
	for (unsigned i = 0; i < PACK_MODEL_INPUTS; i++)
		sum += x[i] * mixer->weight[i];
	int32_t p = squash(sum >> WEIGHT_LOG);
	bit = pack_coder_bit(coder, (uint32_t)p, bit);
	int32_t miss = ((int32_t)(bit << 16) - p) * MIXER_RATE >> 10;
	for (unsigned i = 0; i < PACK_MODEL_INPUTS; i++) {
		int32_t weight = mixer->weight[i] + ((x[i] * miss + (1 << (23 - WEIGHT_LOG))) >>
						     (24 - WEIGHT_LOG));
		weight = weight > INT16_MAX ? INT16_MAX : weight;
		mixer->weight[i] = (int16_t)(weight < INT16_MIN ? INT16_MIN : weight);
	}
	for (unsigned i = 0; i < PACK_MODEL_INPUTS; i++)
		slot_learn(&slots[i][node], bit);
	return bit;
}

/* `mixers`: 256 of them. */
static uint8_t mix_byte(struct pack_model *model, struct pack_coder *coder,
			struct pack_mixer *mixers, const uint32_t contexts[PACK_MODEL_INPUTS],
			uint8_t byte)
{
	unsigned seen = 1;
	for (unsigned half = 0; half < 2; half++) {
		pack_slot *slots[PACK_MODEL_INPUTS];
		for (unsigned i = 0; i < PACK_MODEL_INPUTS; i++)
			slots[i] = slots_of(
				model, i, half ? contexts[i] + seen * 0x3d4d51cb : contexts[i]);
		for (unsigned k = 0, node = 1; k < 4; k++) {
			unsigned bit = mix_bit(model, coder, &mixers[seen], slots, node,
					       byte >> (7 - 4 * half - k) & 1);
			node = node * 2 + bit;
			seen = seen * 2 + bit;
		}
	}
	return (uint8_t)seen;
}

static uint32_t back(const struct pack_model *model, unsigned bytes)
{
	return (uint32_t)(model->history >> (64 - 8 * bytes)) & 255;
}

uint8_t pack_model_literal(struct pack_model *model, struct pack_coder *coder, uint32_t image,
			   uint8_t byte)
{
	uint64_t history = model->history;
	uint32_t place = image & 3;
	const uint32_t contexts[PACK_MODEL_INPUTS] = {
		place,
		(uint32_t)(history >> 56),
		(uint32_t)(history >> 48) + (1u << 24),
		(uint32_t)(history >> 40) + (2u << 24),
		mix_hash((uint32_t)(history >> 32)) + 3,
		place << 8 | back(model, 4),
		mix_hash(place << 16 | back(model, 4) << 8 | back(model, 8)) + 4,
		mix_hash((uint32_t)(history >> 32)) * 31 + (uint32_t)(history >> 16 & 0xffff),
	};
	byte = mix_byte(model, coder, &model->literal_mixer[place * 256], contexts, byte);
	pack_model_pass_byte(model, byte);
	return byte;
}

/* One byte of a word: what was predicted there, or else by the mixer. */
static uint8_t word_byte(struct pack_model *model, struct pack_coder *coder,
			 const struct pack_word *word, unsigned place, unsigned changed,
			 uint8_t byte)
{
	uint32_t class = word->is_data ? 0 : word->predicted >> 24;
	uint32_t predicted = word->predicted >> (8 * place) & 255;
	if (place < 3 || changed) {
		pack_odds *kept = &model->byte_is_kept[(place * 4 + changed) * 256 + class];
		if (pack_coder_learn(coder, kept, LIMIT, byte == predicted))
			return (uint8_t)predicted;
	}
	uint8_t *change = &model->last_change[place * 256 + class];
	uint32_t expected = (predicted + *change) & 255;
	uint64_t history = model->history;
	const uint32_t contexts[PACK_MODEL_INPUTS] = {
		mix_hash(place << 8 | predicted) + 11,
		(uint32_t)(history >> 56),
		(uint32_t)(history >> 48) + (1u << 24),
		(uint32_t)(history >> 40) + (2u << 24),
		mix_hash(class << 16 | predicted << 8 | place << 2 | changed) + 12,
		mix_hash(changed << 10 | place << 8 | expected) + 13,
		mix_hash(place << 16 | back(model, 4) << 8 | predicted) + 14,
		mix_hash(place << 16 | back(model, 1) << 8 | predicted) + 15,
	};
	byte = mix_byte(model, coder, &model->word_mixer[place * 256], contexts, byte);
	*change = (uint8_t)(byte - predicted);
	return byte;
}

static bool find_candidate(struct pack_model *model, struct pack_coder *coder,
			   const struct pack_word *word, uint32_t *value)
{
	unsigned *last = &model->last_candidate[word->is_data];
	uint32_t class = word->is_data ? 0 : word->predicted >> 24;
	for (unsigned i = 0; i < PACK_MODEL_CANDIDATES; i++) {
		uint32_t candidate = word->candidates[i];
		bool seen = candidate == word->predicted;
		for (unsigned k = 0; k < i && !seen; k++)
			seen = candidate == word->candidates[k];
		if (seen)
			continue;
		pack_odds *odds = &model->is_candidate[(i * 16 + *last) * 64 + class / 4];
		if (pack_coder_learn(coder, odds, LIMIT, candidate == *value)) {
			*last = i + 1;
			*value = candidate;
			return true;
		}
	}
	*last = 0;
	return false;
}

uint32_t pack_model_word(struct pack_model *model, struct pack_coder *coder,
			 const struct pack_word *word, uint32_t value)
{
	if (find_candidate(model, coder, word, &value)) {
		pack_model_pass(model, value);
		return value;
	}
	uint32_t found = 0;
	unsigned changed = 0;
	for (unsigned place = 0; place < 4; place++) {
		uint32_t predicted = word->predicted >> (8 * place) & 255;
		uint8_t byte = word_byte(model, coder, word, place, changed,
					 (uint8_t)(value >> (8 * place)));
		changed = changed * 2 + (byte != predicted);
		changed = changed > 3 ? 3 : changed;
		pack_model_pass_byte(model, byte);
		found |= (uint32_t)byte << (8 * place);
	}
	model->words[model->word_count++ % PACK_MODEL_WORDS] = found;
	return found;
}
