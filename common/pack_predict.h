/* What a copied word will have become: code and data are full of references, and when what they
 * refer to has moved, the word changes in a way that can be foreseen once one reference to that
 * place has been seen (PROTOCOL.md section 7). Knows AArch64's B, BL, ADRP and the ADD, LDR and
 * STR that complete an ADRP, and pointers; anything else is predicted to stay. Wrong
 * predictions cost bytes only. What has been learned is forgotten with each segment, so that a
 * damaged base spoils no segment but those that read it. Inside the pack reader and writer
 * only.
 */
#pragma once

#include "pack_coder.h"

#define PACK_PREDICT_PLACES_LOG 13 /* places whose movement is remembered */
#define PACK_PREDICT_NEAR_LOG	13
#define PACK_PREDICT_AHEAD	36u /* bytes of the base after a word that may be looked at */

enum pack_predict_kind {
	PACK_PREDICT_DATA = 0,
	PACK_PREDICT_CALL,    /* B, BL */
	PACK_PREDICT_PAGE,    /* ADRP */
	PACK_PREDICT_ADD,     /* the low 12 bits, added */
	PACK_PREDICT_ACCESS,  /* the low 12 bits, in a load or store */
	PACK_PREDICT_POINTER, /* the low half of an aligned 8-byte pointer */
};

struct pack_moved {
	uint32_t place, by;
};

/* Ways to foresee a reference; the one that has been right most is believed. */
enum pack_predict_way {
	PACK_PREDICT_STAYS = 0, /* the word stays as it is */
	PACK_PREDICT_EXACTLY,	/* the place has moved as when it was last referred to */
	PACK_PREDICT_WITHIN,	/* the place is in what is being copied, and moves along */
	PACK_PREDICT_NEARBY,	/* as a place within the same 256 bytes, 4 KiB, 128 KiB */
	PACK_PREDICT_WAY_COUNT = PACK_PREDICT_NEARBY + 3,
};

#define PACK_PREDICT_KINDS 6

struct pack_predict {
	/* Pointers: the high half they share, and what their low half is at image offset 0. */
	bool has_pointers;
	uint32_t pointer_high, pointer_origin;
	uint64_t base_size;
	/* what is being copied: places in the base, and by how much they move */
	uint32_t within_first, within_size, within_by;
	/* what has been learned in this segment; made afresh when it is first needed */
	bool is_fresh;
	uint32_t trust[PACK_PREDICT_KINDS][PACK_PREDICT_WAY_COUNT]; /* of 65536 */
	struct pack_moved exactly[1 << PACK_PREDICT_PLACES_LOG];
	struct pack_moved nearby[1 << PACK_PREDICT_NEAR_LOG];
	struct {
		bool known;
		uint32_t old, now; /* the page that an ADRP has put there */
	} registers[32];
};

struct pack_guess {
	enum pack_predict_kind kind;
	uint32_t old, word; /* in the base, and foreseen */
	bool has_target;
	uint32_t target; /* place in the base's terms that `old` refers to */
	unsigned ways;	 /* bits: which could say something, and what */
	uint32_t words[PACK_PREDICT_WAY_COUNT];
};

/* A group begins; the caller sets or has read the head. */
void pack_predict_group(struct pack_predict *predict, uint64_t base_size);
/* Codes what a group says about pointers: when writing, the fields that the caller has set. */
void pack_predict_head(struct pack_predict *predict, struct pack_coder *coder);
void pack_predict_segment(struct pack_predict *predict);
/* A copy begins; one that goes on where the last has ended counts as the same. A plain one is
 * not foreseen. */
void pack_predict_copy(struct pack_predict *predict, uint64_t source, uint64_t place,
		       uint32_t size, bool is_plain);
/* The word at base offset `source` goes to image offset `place`, a multiple of 4; with a source
 * that is none it is foreseen to stay. `base` points at it, and `ahead` bytes are there: at
 * least PACK_PREDICT_AHEAD, unless the base ends before. */
void pack_predict_word(struct pack_predict *predict, const uint8_t *base, size_t ahead,
		       uint64_t source, uint64_t place, struct pack_guess *ret_guess);
/* What it has become. */
void pack_predict_learn(struct pack_predict *predict, const struct pack_guess *guess,
			uint64_t place, uint32_t now);
