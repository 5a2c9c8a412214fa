/* A binary arithmetic coder with adaptive probabilities, the bottom layer of delta groups
 * (PROTOCOL.md section 7). One set of functions serves both directions, so that the model above
 * is written once: when writing, a function codes the bit it is given; when reading, it ignores
 * that bit and returns the one it finds. Inside the pack reader and writer only. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct pack_coder {
	uint32_t low, high; /* the interval, both ends inclusive */
	uint32_t code;	    /* reading: where in it the input points */
	bool writing;
	bool starved; /* reading: asked for a byte beyond the end */
	const uint8_t *in, *in_end;
	uint8_t *out; /* the caller keeps PACK_CODER_STEP bytes of room behind it */
};

/* No step of the model (one number, one word, one byte) codes more bytes than this. */
#define PACK_CODER_STEP 512

/* An adaptive probability that the next bit is 1: 22 bits of it, and how often it was adapted.
 */
typedef uint32_t pack_odds;

#define PACK_ODDS_EVEN 0x80000000u

/* 65536 / (n + 1.6): how far the n-th observation moves a probability. */
extern const uint16_t pack_odds_rate[256];

static inline uint32_t pack_odds_of_one(pack_odds odds)
{
	uint32_t p = odds >> 16;
	return p < 32 ? 32 : p > 65503 ? 65503 : p;
}

/* `limit` < 256: the higher, the slower it forgets. */
static inline void pack_odds_learn(pack_odds *odds, unsigned bit, uint32_t limit)
{
	uint32_t count = *odds & 1023;
	int32_t p = (int32_t)(*odds >> 10);
	int32_t target = bit ? (1 << 22) - 1 : 0;
	p += (int32_t)(((int64_t)(target - p) * pack_odds_rate[count]) / 65536);
	if (count < limit)
		count++;
	*odds = (uint32_t)p << 10 | count;
}

static inline void pack_coder_write(struct pack_coder *coder, uint8_t *out)
{
	*coder = (struct pack_coder){.high = UINT32_MAX, .writing = true, .out = out};
}

static inline uint32_t pack_coder_byte(struct pack_coder *coder)
{
	if (coder->in < coder->in_end)
		return *coder->in++;
	coder->starved = true;
	return 0;
}

/* coder->in and in_end are set. */
static inline void pack_coder_read(struct pack_coder *coder)
{
	coder->low = 0;
	coder->high = UINT32_MAX;
	for (int i = 0; i < 4; i++)
		coder->code = coder->code << 8 | pack_coder_byte(coder);
}

/* A bit whose probability to be 1 is p of 65536, 0 < p < 65536. */
static inline unsigned pack_coder_bit(struct pack_coder *coder, uint32_t p, unsigned bit)
{
	uint32_t middle =
		coder->low + (uint32_t)((uint64_t)(coder->high - coder->low) * p >> 16);
	if (!coder->writing)
		bit = coder->code <= middle;
	if (bit)
		coder->high = middle;
	else
		coder->low = middle + 1;
	while (!((coder->low ^ coder->high) & 0xff000000)) {
		if (coder->writing)
			*coder->out++ = (uint8_t)(coder->high >> 24);
		else
			coder->code = coder->code << 8 | pack_coder_byte(coder);
		coder->low <<= 8;
		coder->high = coder->high << 8 | 255;
	}
	return bit;
}

/* The same with a probability that learns from it. */
static inline unsigned pack_coder_learn(struct pack_coder *coder, pack_odds *odds,
					uint32_t limit, unsigned bit)
{
	bit = pack_coder_bit(coder, pack_odds_of_one(*odds), bit);
	pack_odds_learn(odds, bit, limit);
	return bit;
}

/* Writes what the reader needs to see the last bit. */
static inline void pack_coder_end(struct pack_coder *coder)
{
	for (int i = 0; i < 4; i++) {
		*coder->out++ = (uint8_t)(coder->low >> 24);
		coder->low <<= 8;
	}
}
