/* A copy goes on over what does not match wherever something behind it does. Where what does
 * not match is long, it costs less said than corrected: those stretches are cut out. */
#include "own.h"
#include "pack_match.h"

/* A stretch has begun when copying has lost so much since its best, and has ended when it has
 * won so much since its worst; tenths of a byte. */
#define CUT_COST 120

struct cut {
	const struct pack_image *image, *base;
	struct pack_ops ops;
};

/* What copying the unit at both places saves: a word, or a byte where there is none. */
static int unit_gain(const struct cut *cut, uint64_t image, uint64_t source, uint64_t left,
		     uint64_t *ret_unit)
{
	const uint8_t *now = cut->image->bytes + image, *old = cut->base->bytes + source;
	*ret_unit = (image & 3) || left < 4 ? 1 : 4;
	if (*ret_unit == 4)
		return pack_match_word_gain(now, old);
	return *now == *old ? 6 : -5;
}

/* Adds the copy of `op` in as many pieces as there are stretches to cut. */
static enum ota_err cut_op(struct cut *cut, const struct pack_op *op, struct ota_why *why)
{
	int64_t sum = 0, turn = 0; /* the best since the copy began, or the worst since not */
	uint64_t begin = 0, best = 0, turn_at = 0, unit;
	bool copying = true;
	for (uint64_t at = 0; at < op->copy; at += unit) {
		sum += unit_gain(cut, op->image + at, op->source + at, op->copy - at, &unit);
		if (copying ? sum > turn : sum < turn) {
			turn = sum;
			turn_at = at + unit;
		}
		if (copying ? sum > turn - CUT_COST : sum < turn + CUT_COST)
			continue;
		if (!copying) {
			struct pack_op piece = {op->image + begin, op->source + begin,
						best - begin, turn_at - best};
			enum ota_err err = pack_ops_add(&cut->ops, &piece, why);
			if (err)
				return err;
			begin = turn_at;
		}
		best = turn_at;
		copying = !copying;
		turn = sum;
		turn_at = at + unit;
	}
	if (copying)
		best = op->copy;
	struct pack_op last = {op->image + begin, op->source + begin, best - begin,
			       op->copy - best + op->literal};
	return pack_ops_add(&cut->ops, &last, why);
}

enum ota_err pack_ops_cut(struct pack_ops *ops, const struct pack_image *image,
			  const struct pack_image *base, struct ota_why *why)
{
	struct cut cut = {.image = image, .base = base};
	enum ota_err err = OTA_OK;
	for (size_t i = 0; i < ops->count && !err; i++)
		err = cut_op(&cut, &ops->ops[i], why);
	if (err) {
		pack_ops_done(&cut.ops);
		return err;
	}
	pack_ops_done(ops);
	*ops = cut.ops;
	return OTA_OK;
}
