/* The statistical model of delta groups (PROTOCOL.md section 7): the ops, literal bytes, and
 * how words of a copy differ from what was foreseen. What it expects follows from what has been
 * coded and from nothing else, so that a damaged base cannot lead it astray. It starts afresh
 * with each group. Each function codes what it is given when the coder writes and returns what
 * it finds when the coder reads. Inside the pack reader and writer only. */
#pragma once

#include "pack_mix.h"

#define PACK_MODEL_SHIFTS  8
#define PACK_MODEL_RECENT  8
#define PACK_MODEL_RUNS	   8 /* classes of the length of a run */
#define PACK_MODEL_LENGTHS 32

struct pack_number {
	pack_odds length[33];
	pack_odds top[33][8];
	pack_odds low[32];
};

/* Nothing but odds, all of them even at first. */
struct pack_model_odds {
	struct pack_number copy, literal, seek, seek_low, run[PACK_MODEL_RUNS];
	pack_odds seek_sign, shift_is[PACK_MODEL_SHIFTS];
	pack_odds is_plain[2][PACK_MODEL_LENGTHS], is_stored[PACK_MODEL_LENGTHS];
	pack_odds is_recent[PACK_MODEL_RECENT][PACK_MODEL_RECENT + 1][PACK_MODEL_RUNS];
	pack_odds size[5][PACK_MODEL_RUNS][4];
};

struct pack_model {
	struct pack_mix mix; /* first, since its constants stay */
	struct pack_model_odds odds;
	struct pack_mixer literal_mixer[4 * 256], change_mixer[4 * 256];
	uint64_t shifts[PACK_MODEL_SHIFTS]; /* image minus base position, last used first */
	bool was_plain;
	uint64_t history;    /* the last 8 literal bytes, the newest on top */
	unsigned last_class; /* of the last run */
	/* changes: the last different ones, the last first; the last two; at which place of
	 * the former they were found, counted from 1 */
	uint32_t recent[PACK_MODEL_RECENT], before[2];
	unsigned found_at, last_size;
};

/* What an op does: `copy` bytes like those at `source` of the base, then `literal` bytes. */
struct pack_model_op {
	uint32_t copy, literal;
	uint64_t source;
	bool is_plain;	/* the copy is exact */
	bool is_stored; /* the literal bytes are not coded */
};

void pack_model_init(struct pack_model *model);
void pack_model_reset(struct pack_model *model);

/* The op at `image`; `follows` is where the last copy's source ended. When reading, nothing is
 * checked. */
void pack_model_op(struct pack_model *model, struct pack_coder *coder, uint64_t image,
		   uint64_t follows, struct pack_model_op *op);
/* How many words of a copy are as foreseen; `first`: it is the copy's first run. */
uint32_t pack_model_run(struct pack_model *model, struct pack_coder *coder, bool first,
			uint32_t run);
/* A word less the one foreseen, after the last run; not 0. */
uint32_t pack_model_change(struct pack_model *model, struct pack_coder *coder, uint32_t change);
/* A byte of the image without a counterpart in the base, at a place of which `image` are the
 * low bits. */
uint8_t pack_model_literal(struct pack_model *model, struct pack_coder *coder, uint32_t image,
			   uint8_t byte);
