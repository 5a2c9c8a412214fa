/* A byte is coded most significant bit first. Eight contexts each have an opinion on the next
 * bit; a small mixer, trained as it goes, weighs them in the logistic domain (Mahoney,
 * "Adaptive weighing of context models for lossless data compression", 2005). All of it is
 * integer arithmetic: both ends must come to the same numbers. The loops over the contexts are
 * written so that a compiler makes vectors of them. */
#include "pack_mix.h"

#include <string.h>

#define WEIGHT_LOG   12 /* a weight of 1 is 1 << WEIGHT_LOG */
#define WEIGHT_FIRST (1 << (WEIGHT_LOG - 2))
#define MIXER_RATE   24

/* 65536 / (1 + e^(-x/256)) for x = -2048, -1920 ... 2048; linear between. */
static const int32_t logistic[33] = {
	22,    36,    60,    98,    162,   267,	  439,	 720,	1179,  1921,  3108,
	4971,  7812,  11955, 17625, 24743, 32768, 40793, 47911, 53581, 57724, 60565,
	62428, 63615, 64357, 64816, 65097, 65269, 65374, 65438, 65476, 65500, 65514,
};

/* How far the n-th observation moves a slot, of 65536. */
static const int32_t slot_rate[8] = {40000, 25000, 16000, 11000, 7300, 5000, 3700, 2700};

static int32_t squash(int32_t x)
{
	int32_t at = (x + 2048) >> 7, part = (x + 2048) & 127;
	return (logistic[at] * (128 - part) + logistic[at + 1] * part) >> 7;
}

void pack_mix_init(struct pack_mix *mix)
{
	int32_t x = -2047;
	for (int32_t i = -2048; i < 2048; i++)
		mix->squash[i + 2048] = (uint16_t)squash(i);
	for (int32_t p = 0; p < 4096; p++) {
		while (x < 2047 && squash(x) < p * 16 + 8)
			x++;
		mix->stretch[p] = (int16_t)(2 * x);
	}
}

void pack_mix_reset(struct pack_mix *mix)
{
	for (size_t i = 0; i < PACK_MIX_INPUTS; i++)
		for (size_t k = 0; k < 1 << PACK_MIX_SLOTS_LOG; k++)
			mix->slots[i][k] = 4096 << 3;
}

void pack_mixers_reset(struct pack_mixer *mixers, size_t count)
{
	for (size_t i = 0; i < count; i++)
		for (size_t k = 0; k < PACK_MIX_INPUTS; k++)
			mixers[i].weight[k] = WEIGHT_FIRST;
}

/* The sixteen slots of a context for one half of a byte. */
static pack_slot *slots_of(struct pack_mix *mix, unsigned input, uint32_t context)
{
	uint32_t place = pack_mix_hash(context) >> 3;
	return &mix->slots[input][(place << 4) & ((1 << PACK_MIX_SLOTS_LOG) - 1)];
}

/* The slot after a bit: the probability in its upper 13 bits and the count in its lower 3 move
 * in one sum. */
static inline pack_slot slot_after(uint32_t slot, int32_t target)
{
	unsigned count = slot & 7;
	int32_t by = (target - (int32_t)(slot >> 3)) * slot_rate[count] >> 16;
	return (pack_slot)(slot + (uint32_t)by * 8 + (count != 7));
}

static inline int32_t weighed(const int16_t x[PACK_MIX_INPUTS], const struct pack_mixer *mixer)
{
	int32_t sum = 0;
	for (unsigned i = 0; i < PACK_MIX_INPUTS; i++)
		sum += x[i] * mixer->weight[i];
	return sum;
}

/* Each weight moves by the input times the error. */
static void mixer_learn(struct pack_mixer *mixer, const int16_t x[PACK_MIX_INPUTS],
			int32_t miss)
{
	int16_t error = (int16_t)((miss * MIXER_RATE >> 10) * 8), weight[PACK_MIX_INPUTS];
	for (unsigned i = 0; i < PACK_MIX_INPUTS; i++)
		weight[i] = (int16_t)(mixer->weight[i] + (int16_t)((x[i] * error) >> 16));
	memcpy(mixer->weight, weight, sizeof weight);
}

static inline unsigned mix_bit(struct pack_mix *mix, struct pack_coder *coder,
			       struct pack_mixer *mixer,
			       pack_slot *const slots[PACK_MIX_INPUTS], unsigned node,
			       unsigned bit)
{
	int16_t x[PACK_MIX_INPUTS];
	uint32_t slot[PACK_MIX_INPUTS]; /* in registers, read once */
	for (unsigned i = 0; i < PACK_MIX_INPUTS; i++) {
		slot[i] = slots[i][node];
		x[i] = mix->stretch[slot[i] >> 4];
	}
	int32_t sum = weighed(x, mixer) >> (WEIGHT_LOG + 1);
	sum = sum < -2047 ? -2047 : sum > 2047 ? 2047 : sum;
	int32_t p = mix->squash[sum + 2048];
	bit = pack_coder_bit(coder, (uint32_t)p, bit);
	mixer_learn(mixer, x, (int32_t)(bit << 16) - p);
	int32_t target = bit ? 8191 : 0;
	for (unsigned i = 0; i < PACK_MIX_INPUTS; i++)
		slots[i][node] = slot_after(slot[i], target);
	return bit;
}

uint8_t pack_mix_byte(struct pack_mix *mix, struct pack_coder *coder, struct pack_mixer *mixers,
		      const uint32_t contexts[PACK_MIX_INPUTS], uint8_t byte)
{
	unsigned seen = 1;
	for (unsigned half = 0; half < 2; half++) {
		pack_slot *slots[PACK_MIX_INPUTS];
		for (unsigned i = 0; i < PACK_MIX_INPUTS; i++)
			slots[i] = slots_of(
				mix, i, half ? contexts[i] + seen * 0x3d4d51cb : contexts[i]);
		for (unsigned k = 0, node = 1; k < 4; k++) {
			unsigned bit = mix_bit(mix, coder, &mixers[seen], slots, node,
					       byte >> (7 - 4 * half - k) & 1);
			node = node * 2 + bit;
			seen = seen * 2 + bit;
		}
	}
	return (uint8_t)seen;
}
