/* The search takes a longer exact match whenever it sees one, even for a few bytes, although
 * staying where the copy before or the copy behind is would often cost less: a word that has
 * changed there may be cheaper than saying where else to read. */
#include "pack_match.h"

#include <string.h>

#define OP_COST	 55   /* of one more op, in tenths of a byte */
#define SHORT_OP 2048 /* a longer one is left alone */

struct prune {
	const struct pack_image *image, *base;
};

/* What copying [from, to) at this shift saves. */
static int gain(const struct prune *prune, uint64_t from, uint64_t to, uint64_t shift)
{
	uint64_t source = from - shift;
	int sum = 0;
	if (source > prune->base->size || to - from > prune->base->size - source)
		return -1000000;
	while (from < to) {
		uint64_t unit = 4 - (from & 3);
		const uint8_t *now = prune->image->bytes + from;
		const uint8_t *old = prune->base->bytes + (from - shift);
		if (unit == 4 && to - from >= 4) {
			sum += pack_match_word_gain(now, old);
		} else {
			unit = 1;
			sum += *now == *old ? 6 : -5;
		}
		from += unit;
	}
	return sum;
}

static uint64_t shift_of(const struct pack_op *op)
{
	return op->image - op->source;
}

static uint64_t end_of(const struct pack_op *op)
{
	return op->image + op->copy + op->literal;
}

/* Whether `op` should rather go on where `before` is; then `before` covers it. */
static bool joins_before(const struct prune *prune, struct pack_op *before,
			 const struct pack_op *op)
{
	uint64_t begin = before->image + before->copy, end = op->image + op->copy;
	if (!before->copy || op->copy > SHORT_OP || end - begin > 2 * SHORT_OP)
		return false;
	if (gain(prune, begin, end, shift_of(before)) + OP_COST <
	    gain(prune, op->image, end, shift_of(op)))
		return false;
	before->copy = end - before->image;
	before->literal = op->literal;
	return true;
}

/* Whether it should rather begin where `behind` is; then `behind` covers it. */
static bool joins_behind(const struct prune *prune, const struct pack_op *op,
			 struct pack_op *behind)
{
	if (!behind->copy || op->copy > SHORT_OP || end_of(op) - op->image > 2 * SHORT_OP ||
	    behind->source < end_of(op) - op->image)
		return false;
	if (gain(prune, op->image, end_of(op), shift_of(behind)) + OP_COST <
	    gain(prune, op->image, op->image + op->copy, shift_of(op)))
		return false;
	uint64_t more = behind->image - op->image;
	behind->image -= more;
	behind->source -= more;
	behind->copy += more;
	return true;
}

void pack_ops_prune(struct pack_ops *ops, const struct pack_image *image,
		    const struct pack_image *base)
{
	struct prune prune = {image, base};
	size_t kept = 0;
	for (size_t i = ops->count; i-- > 1;)
		if (joins_behind(&prune, &ops->ops[i - 1], &ops->ops[i])) {
			/* the one that is gone is marked by its emptiness */
			ops->ops[i - 1] = ops->ops[i];
			ops->ops[i] = (struct pack_op){0};
		}
	for (size_t i = 0; i < ops->count; i++) {
		struct pack_op *op = &ops->ops[i];
		if (!op->copy && !op->literal)
			continue;
		if (kept && joins_before(&prune, &ops->ops[kept - 1], op))
			continue;
		ops->ops[kept++] = *op;
	}
	ops->count = kept;
}

/* The end of a copy behind its last multiple of 4, or all of it, is cut where it differs. */
static void trim_end(struct pack_op *op, const struct pack_image *image,
		     const struct pack_image *base)
{
	uint64_t end = op->image + op->copy, tail = end & 3;
	tail = tail < op->copy ? tail : op->copy;
	uint64_t same = pack_match_equal(image->bytes + end - tail,
					 base->bytes + op->source + op->copy - tail, tail);
	op->copy -= tail - same;
	op->literal += tail - same;
}

void pack_ops_trim(struct pack_ops *ops, const struct pack_image *image,
		   const struct pack_image *base)
{
	for (size_t i = 0; i < ops->count; i++) {
		struct pack_op *op = &ops->ops[i];
		uint64_t head = -op->image & 3, skip = 0;
		head = head < op->copy ? head : op->copy;
		for (uint64_t at = 0; at < head; at++)
			if (image->bytes[op->image + at] != base->bytes[op->source + at])
				skip = at + 1;
		/* The first op begins at 0, where there is no head. */
		if (skip)
			ops->ops[i - 1].literal += skip;
		op->image += skip;
		op->source += skip;
		op->copy -= skip;
		trim_end(op, image, base);
	}
}
