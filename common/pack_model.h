/* The statistical model of delta groups (PROTOCOL.md section 7): numbers, literal bytes, and
 * the words of a copy that are not what was predicted. It starts afresh with each group. Each
 * function codes what it is given when the coder writes and returns what it finds when the
 * coder reads. Inside the pack reader and writer only. */
#pragma once

#include "pack_coder.h"

#define PACK_MODEL_INPUTS     8
#define PACK_MODEL_SLOTS_LOG  15
#define PACK_MODEL_SHIFTS     8
#define PACK_MODEL_CANDIDATES 11
#define PACK_MODEL_WORDS      16

struct pack_number {
	pack_odds length[33];
	pack_odds top[33][8];
	pack_odds low[32];
};

struct pack_mixer {
	int16_t weight[PACK_MODEL_INPUTS];
};

/* Who has coded which bits: 13 bits of probability, 3 of how often it was adapted. */
typedef uint16_t pack_slot;

struct pack_model {
	int16_t stretch[4096]; /* constant, and first: the rest starts afresh with a group */
	/* the op's header */
	struct pack_number copy, literal, seek, seek_low, run[8];
	pack_odds seek_sign, shift_is[PACK_MODEL_SHIFTS];
	uint64_t shifts[PACK_MODEL_SHIFTS]; /* image minus base position, last used first */
	/* bytes */
	pack_slot slots[PACK_MODEL_INPUTS][1 << PACK_MODEL_SLOTS_LOG];
	struct pack_mixer literal_mixer[4 * 256], word_mixer[4 * 256];
	uint64_t history;		  /* the last 8 bytes of the image, the newest on top */
	uint32_t words[PACK_MODEL_WORDS]; /* the last words of copies */
	unsigned word_count;
	/* words */
	pack_odds is_candidate[PACK_MODEL_CANDIDATES * 16 * 64], byte_is_kept[4 * 4 * 256];
	unsigned last_candidate[2];
	uint8_t last_change[4 * 256];
};

void pack_model_init(struct pack_model *model);
void pack_model_reset(struct pack_model *model);

uint32_t pack_model_number(struct pack_coder *coder, struct pack_number *number,
			   uint32_t value);
/* Which of model->run codes the run after one of this length. */
unsigned pack_model_run_class(uint32_t run);
/* Where the copy at `image` comes from; `follows` is where the last copy's source ended. */
uint64_t pack_model_source(struct pack_model *model, struct pack_coder *coder, uint64_t image,
			   uint64_t follows, uint64_t base);
/* A byte of the image without a counterpart in the base, at a place of which `image` are the
 * low bits. Enters the history. */
uint8_t pack_model_literal(struct pack_model *model, struct pack_coder *coder, uint32_t image,
			   uint8_t byte);

struct pack_word {
	uint32_t old;	    /* in the base */
	uint32_t predicted; /* and this it is not */
	bool is_data;	    /* no instruction that is known to refer to a place */
	uint32_t candidates[PACK_MODEL_CANDIDATES]; /* those equal to predicted count as absent
						     */
};

/* The word that the image has instead. Enters the history. */
uint32_t pack_model_word(struct pack_model *model, struct pack_coder *coder,
			 const struct pack_word *word, uint32_t value);

static inline void pack_model_pass(struct pack_model *model, uint32_t word)
{
	model->history = model->history >> 32 | (uint64_t)word << 32;
	model->words[model->word_count++ % PACK_MODEL_WORDS] = word;
}

/* The word `back` words ago, 1 … PACK_MODEL_WORDS. */
static inline uint32_t pack_model_back(const struct pack_model *model, unsigned back)
{
	return model->words[(model->word_count - back) % PACK_MODEL_WORDS];
}

static inline void pack_model_pass_byte(struct pack_model *model, uint8_t byte)
{
	model->history = model->history >> 8 | (uint64_t)byte << 56;
}
