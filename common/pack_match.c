/* After bsdiff (Percival, "Matching with mismatches and assorted applications", 2006): an exact
 * match starts a copy, which then goes on over mismatches for as long as that pays. What pays
 * is told by words rather than bytes, because a mismatch costs least where a whole word has
 * changed a little. */
#include "pack_match_anchor.h"
#include "pack_match_seeds.h"

#include "own.h"

#include <string.h>

#define WHOLE_MAX   (16u << 20) /* a larger base is searched where it has no equal only */
#define FOLLOWS_MIN 16u		/* so many bytes as in the copy so far need no search */
#define SETTLE_MIN  4096u	/* so many end the gap before them, whose gains take memory */
#define CLOSE_MIN   128u /* a shorter copy may be chance, and is no place to look around */
#define BETTER_BY   6u	 /* bytes that another place must match more */

struct match {
	const struct pack_image *whole;
	const uint8_t *image, *base;
	uint64_t image_size, base_size;
	struct pack_seeds *seeds;
	struct pack_ops *ops;
};

void pack_ops_done(struct pack_ops *ops)
{
	free(ops->ops);
	*ops = (struct pack_ops){0};
}

enum ota_err pack_ops_add(struct pack_ops *ops, const struct pack_op *op, struct ota_why *why)
{
	if (ops->count == ops->room) {
		size_t room = ops->room ? ops->room * 2 : 1024;
		struct pack_op *more = realloc(ops->ops, room * sizeof *more);
		if (!more)
			return ota_fail(why, OTA_OUT_OF_MEMORY, "no memory for %zu ops", room);
		ops->ops = more;
		ops->room = room;
	}
	ops->ops[ops->count++] = *op;
	return OTA_OK;
}

uint64_t pack_match_equal(const uint8_t *a, const uint8_t *b, uint64_t max)
{
	uint64_t at = 0;
	for (; at + 8 <= max; at += 8) {
		uint64_t x, y;
		memcpy(&x, a + at, 8);
		memcpy(&y, b + at, 8);
		if (x != y)
			return at + (uint64_t)(__builtin_ctzll(x ^ y) / 8);
	}
	while (at < max && a[at] == b[at])
		at++;
	return at;
}

static unsigned equal_in(uint32_t a, uint32_t b)
{
	unsigned equal = 0;
	for (int i = 0; i < 32; i += 8)
		equal += (a >> i & 255) == (b >> i & 255);
	return equal;
}

int pack_match_word_gain(const uint8_t *image, const uint8_t *base)
{
	uint32_t now, old;
	memcpy(&now, image, 4);
	memcpy(&old, base, 4);
	if (now == old)
		return 26;
	uint32_t change = now - old;
	if (change + (1u << 16) < 1u << 17)
		return 12;
	if (!((now ^ old) & 0xff000000))
		return 4;
	return (int)equal_in(now, old) * 5 - 9;
}

/* gains[i]: what the best copy of at most i bytes forward from both places saves. */
static uint64_t gain_forward(const struct match *match, uint64_t image, uint64_t source,
			     uint64_t max, int *gains)
{
	int sum = 0, best = 0;
	uint64_t at = 0;
	if (max > match->base_size - source)
		max = match->base_size - source;
	gains[0] = 0;
	while (at < max) {
		uint64_t unit = 4 - ((image + at) & 3);
		if (unit == 4 && at + 4 <= max) {
			sum += pack_match_word_gain(match->image + image + at,
						    match->base + source + at);
		} else {
			unit = 1;
			sum += match->image[image + at] == match->base[source + at] ? 6 : -5;
		}
		for (uint64_t i = 1; i <= unit; i++)
			gains[at + i] = i < unit ? best : (sum > best ? sum : best);
		best = sum > best ? sum : best;
		at += unit;
	}
	return at;
}

/* The same backward from the ends of both. */
static uint64_t gain_backward(const struct match *match, uint64_t image, uint64_t source,
			      uint64_t max, int *gains)
{
	int sum = 0, best = 0;
	uint64_t at = 0;
	if (max > source)
		max = source;
	gains[0] = 0;
	while (at < max) {
		uint64_t unit = 4;
		const uint8_t *now = match->image + image - at,
			      *old = match->base + source - at;
		if (((image - at) & 3) == 0 && at + 4 <= max) {
			sum += pack_match_word_gain(now - 4, old - 4);
		} else {
			unit = 1;
			sum += now[-1] == old[-1] ? 6 : -5;
		}
		for (uint64_t i = 1; i <= unit; i++)
			gains[at + i] = i < unit ? best : (sum > best ? sum : best);
		best = sum > best ? sum : best;
		at += unit;
	}
	return at;
}

/* Shares the bytes between two exact matches out to the copy before, a literal, and the copy
 * behind, so that the most is saved. */
static void share_out(const int *forward, uint64_t forward_max, const int *backward,
		      uint64_t backward_max, uint64_t gap, uint64_t *ret_forward,
		      uint64_t *ret_backward)
{
	int best = -1;
	for (uint64_t ahead = 0; ahead <= forward_max; ahead++) {
		if (ahead && forward[ahead] == forward[ahead - 1])
			continue; /* longer for the same gain */
		uint64_t back = gap - ahead < backward_max ? gap - ahead : backward_max;
		int gain = forward[ahead] + backward[back];
		if (gain <= best)
			continue;
		best = gain;
		*ret_forward = ahead;
		*ret_backward = back;
	}
	while (*ret_backward && backward[*ret_backward] == backward[*ret_backward - 1])
		--*ret_backward;
}

/* The copy in hand: image [image, image + copy) from source. */
struct copy {
	uint64_t image, source, copy;
};

/* Ends the copy in hand where the next begins to pay, which moves to its true beginning. */
static enum ota_err settle(const struct match *match, const struct copy *copy,
			   struct copy *next, struct ota_why *why)
{
	uint64_t begin = copy->image + copy->copy, gap = next->image - begin;
	AUTO_FREE int *gains = malloc((gap + 1) * 2 * sizeof *gains);
	if (!gains)
		return ota_fail(why, OTA_OUT_OF_MEMORY, "no memory for a gap of %llu bytes",
				(unsigned long long)gap);
	int *forward = gains, *backward = gains + gap + 1;
	uint64_t ahead = 0, back = 0;
	uint64_t forward_max =
		gain_forward(match, begin, copy->source + copy->copy, gap, forward);
	uint64_t backward_max = gain_backward(match, next->image, next->source, gap, backward);
	if (!next->copy)
		backward_max = 0; /* the end of the image */
	share_out(forward, forward_max, backward, backward_max, gap, &ahead, &back);
	next->image -= back;
	next->source -= back;
	next->copy += back;
	if (ahead + back == gap && next->copy &&
	    next->image - next->source == copy->image - copy->source) {
		next->image = copy->image;
		next->source = copy->source;
		next->copy += copy->copy + ahead;
		return OTA_OK;
	}
	struct pack_op op = {
		.image = copy->image,
		.source = copy->source,
		.copy = copy->copy + ahead,
		.literal = gap - ahead - back,
	};
	return op.copy + op.literal ? pack_ops_add(match->ops, &op, why) : OTA_OK;
}

/* How many of the `len` bytes from `at` on agree with the copy in hand, were it to go on. */
static uint64_t agreeing(const struct match *match, const struct copy *copy, uint64_t at,
			 uint64_t len)
{
	uint64_t source = copy->source + (at - copy->image), agree = 0;
	for (uint64_t i = 0; i < len && source + i < match->base_size; i++)
		agree += match->image[at + i] == match->base[source + i];
	return agree;
}

static uint64_t following(const struct match *match, const struct copy *copy, uint64_t at)
{
	uint64_t source = copy->source + (at - copy->image);
	if (source >= match->base_size)
		return 0;
	uint64_t max = match->image_size - at < match->base_size - source
			       ? match->image_size - at
			       : match->base_size - source;
	return pack_match_equal(match->image + at, match->base + source, max);
}

/* Looks for a copy to begin at `at`; ret_next->copy is 0 when there is none that is better than
 * the one in hand. */
static void look(const struct match *match, const struct copy *copy, uint64_t at,
		 uint64_t until, struct copy *ret_next)
{
	uint64_t near = copy->source + (at - copy->image), source = 0;
	if (copy->copy >= CLOSE_MIN)
		pack_seeds_approach(match->seeds, near);
	uint64_t len = pack_seeds_longest(match->seeds, match->whole, at, near, &source);
	if (len > until - at)
		len = until - at;
	bool is_better = len >= agreeing(match, copy, at, len) + BETTER_BY;
	*ret_next = (struct copy){at, source, is_better ? len : 0};
}

/* From the end of the copy in hand to `until`. */
static enum ota_err scan(const struct match *match, struct copy *copy, uint64_t until,
			 struct ota_why *why)
{
	uint64_t at = copy->image + copy->copy;
	while (at < until) {
		struct copy next = {at, copy->source + (at - copy->image), 0};
		uint64_t follows = following(match, copy, at);
		if (follows >= SETTLE_MIN) {
			next.copy = follows < until - at ? follows : until - at;
		} else if (follows >= FOLLOWS_MIN || at + follows == match->image_size) {
			at += follows;
			continue;
		} else {
			look(match, copy, at, until, &next);
		}
		if (!next.copy) {
			at++;
			continue;
		}
		enum ota_err err = settle(match, copy, &next, why);
		if (err)
			return err;
		*copy = next;
		at = copy->image + copy->copy;
	}
	return OTA_OK;
}

/* Between and beside the anchors, which are there only when the base is large. */
static enum ota_err scan_all(struct match *match, const struct pack_ops *anchors,
			     struct ota_why *why)
{
	struct copy copy = {0}, end = {.image = match->image_size};
	for (size_t i = 0; i < anchors->count; i++) {
		const struct pack_op *anchor = &anchors->ops[i];
		struct copy next = {anchor->image, anchor->source, anchor->copy};
		if (copy.image + copy.copy < anchor->image)
			pack_seeds_approach(match->seeds, anchor->source);
		enum ota_err err = scan(match, &copy, anchor->image, why);
		if (err)
			return err;
		/* A match may have gone on into the anchor. */
		uint64_t begin = copy.image + copy.copy;
		uint64_t over = begin > next.image ? begin - next.image : 0;
		if (over >= next.copy)
			continue;
		next = (struct copy){next.image + over, next.source + over, next.copy - over};
		err = settle(match, &copy, &next, why);
		if (err)
			return err;
		copy = next;
	}
	enum ota_err err = scan(match, &copy, match->image_size, why);
	return err ? err : settle(match, &copy, &end, why);
}

static void free_seeds(struct pack_seeds **seeds)
{
	pack_seeds_free(*seeds);
}

enum ota_err pack_match(const struct pack_image *image, const struct pack_image *base,
			struct pack_ops *ret_ops, struct ota_why *why)
{
	AUTO(pack_ops_done) struct pack_ops ops = {0}, anchors = {0};
	AUTO(free_seeds) struct pack_seeds *seeds = NULL;
	AUTO_FREE uint8_t *used = NULL;
	enum ota_err err = OTA_OK;
	if (base->size > WHOLE_MAX) {
		err = pack_anchors_find(image, base, &anchors, why);
		if (!err)
			err = pack_anchors_mark(&anchors, base, &used, why);
	}
	if (!err)
		err = pack_seeds_new(base, used, &seeds, why);
	if (err)
		return err;
	struct match match = {
		.whole = image,
		.image = image->bytes,
		.base = base->bytes,
		.image_size = image->size,
		.base_size = base->size,
		.seeds = seeds,
		.ops = &ops,
	};
	err = scan_all(&match, &anchors, why);
	if (err)
		return err;
	pack_ops_prune(&ops, image, base);
	err = pack_ops_cut(&ops, image, base, why);
	if (err)
		return err;
	pack_ops_trim(&ops, image, base);
	*ret_ops = ops;
	ops = (struct pack_ops){0};
	return OTA_OK;
}
