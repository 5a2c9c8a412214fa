/* Bytes, coded bit by bit by what eight contexts say (PROTOCOL.md section 7). A context is any
 * number; equal numbers share what they have seen. It starts afresh with each group. Inside the
 * pack reader and writer only. */
#pragma once

#include "pack_coder.h"

#define PACK_MIX_INPUTS	   8
#define PACK_MIX_SLOTS_LOG 15

/* How much each context is believed. */
struct pack_mixer {
	int16_t weight[PACK_MIX_INPUTS];
};

/* Who has coded which bits: 13 bits of probability, 3 of how often it was adapted. */
typedef uint16_t pack_slot;

struct pack_mix {
	/* constants */
	int16_t stretch[4096]; /* twice the logistic function's inverse */
	uint16_t squash[4096];
	pack_slot slots[PACK_MIX_INPUTS][1 << PACK_MIX_SLOTS_LOG];
};

void pack_mix_init(struct pack_mix *mix);
void pack_mix_reset(struct pack_mix *mix);
void pack_mixers_reset(struct pack_mixer *mixers, size_t count);
/* Spreads a number over 32 bits, for contexts made of several things. */
static inline uint32_t pack_mix_hash(uint32_t x)
{
	x *= 0x9e3779b1;
	return x ^ x >> 15;
}
/* `mixers`: 256 of them. Codes the byte when the coder writes, returns the one found. */
uint8_t pack_mix_byte(struct pack_mix *mix, struct pack_coder *coder, struct pack_mixer *mixers,
		      const uint32_t contexts[PACK_MIX_INPUTS], uint8_t byte);
