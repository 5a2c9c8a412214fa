#include "pack_write_delta.h"

#include "own.h"
#include "pack_predict.h"

#include <string.h>

#define LITERALS_AT_ONCE 64u

struct encoder {
	const struct pack_delta_source *source;
	struct pack_part *part; /* room is used behind part->size */
	struct pack_coder coder;
	uint64_t follows; /* where the last copy's source ended */
	struct pack_model model;
	struct pack_predict predict;
};

/* Room for one more step. */
static enum ota_err make_room(struct encoder *encoder, struct ota_why *why)
{
	struct pack_part *part = encoder->part;
	size_t used = (size_t)(encoder->coder.out - part->bytes);
	if (part->room - used >= 2 * PACK_CODER_STEP)
		return OTA_OK;
	enum ota_err err = pack_part_reserve(part, used - part->size + (64u << 10), why);
	if (!err)
		encoder->coder.out = part->bytes + used;
	return err;
}

static enum ota_err put_literal(struct encoder *encoder, uint64_t at, uint64_t len,
				struct ota_why *why)
{
	const uint8_t *image = encoder->source->image->bytes;
	for (uint64_t i = 0; i < len; i++) {
		if (i % LITERALS_AT_ONCE == 0) {
			enum ota_err err = make_room(encoder, why);
			if (err)
				return err;
		}
		pack_model_literal(&encoder->model, &encoder->coder, (uint32_t)(at + i),
				   image[at + i]);
	}
	return OTA_OK;
}

static uint32_t load(const uint8_t *at)
{
	return (uint32_t)at[0] | (uint32_t)at[1] << 8 | (uint32_t)at[2] << 16 |
	       (uint32_t)at[3] << 24;
}

struct place {
	uint64_t image, source, left; /* of the copy */
};

static uint64_t unit_of(const struct place *place)
{
	uint64_t unit = 4 - (place->image & 3);
	return unit < place->left ? unit : place->left;
}

static void advance(struct place *place, uint64_t len)
{
	place->image += len;
	place->source += len;
	place->left -= len;
}

/* Goes over units that are as foreseen; the guess is for the one that is not, if it is a word.
 */
static uint32_t run_over(struct encoder *encoder, struct place *place, struct pack_guess *guess)
{
	const struct pack_image *base = encoder->source->base;
	const uint8_t *image = encoder->source->image->bytes;
	uint32_t run = 0;
	for (; place->left; run++) {
		uint64_t unit = unit_of(place);
		const uint8_t *now = image + place->image, *old = base->bytes + place->source;
		if (unit == 4) {
			pack_predict_word(&encoder->predict, old,
					  (size_t)(base->size - place->source), place->source,
					  place->image, guess);
			if (guess->word != load(now))
				break;
			pack_predict_learn(&encoder->predict, guess, place->image, guess->word);
			pack_model_pass(&encoder->model, guess->word);
		} else {
			if (memcmp(now, old, (size_t)unit) != 0)
				break;
			for (uint64_t i = 0; i < unit; i++)
				pack_model_pass_byte(&encoder->model, now[i]);
		}
		advance(place, unit);
	}
	return run;
}

static enum ota_err put_copy(struct encoder *encoder, struct place place, struct ota_why *why)
{
	unsigned class = 0;
	while (place.left) {
		struct pack_guess guess;
		enum ota_err err = make_room(encoder, why);
		if (err)
			return err;
		uint32_t run = run_over(encoder, &place, &guess);
		pack_model_number(&encoder->coder, &encoder->model.run[class], run);
		class = pack_model_run_class(run);
		if (!place.left)
			return OTA_OK;
		uint64_t unit = unit_of(&place);
		const uint8_t *now = encoder->source->image->bytes + place.image;
		if (unit == 4)
			pack_predict_miss(&encoder->predict, &encoder->model, &encoder->coder,
					  &guess, place.source, place.image, load(now));
		for (uint64_t i = 0; unit < 4 && i < unit; i++)
			pack_model_literal(&encoder->model, &encoder->coder,
					   (uint32_t)(place.image + i), now[i]);
		advance(&place, unit);
	}
	return OTA_OK;
}

/* The part of an op that lies in [begin, end). */
static enum ota_err put_op(struct encoder *encoder, const struct pack_op *op, uint64_t begin,
			   uint64_t end, struct ota_why *why)
{
	uint64_t from = op->image > begin ? op->image : begin;
	uint64_t copy_end = op->image + op->copy, op_end = copy_end + op->literal;
	uint64_t to = op_end < end ? op_end : end;
	uint64_t copy_to = copy_end < to ? copy_end : to;
	uint64_t copy = copy_to > from ? copy_to - from : 0;
	enum ota_err err = make_room(encoder, why);
	if (err || to <= from)
		return err;
	pack_model_number(&encoder->coder, &encoder->model.copy, (uint32_t)copy);
	pack_model_number(&encoder->coder, &encoder->model.literal,
			  (uint32_t)(to - from - copy));
	if (copy) {
		struct place place = {from, op->source + (from - op->image), copy};
		pack_model_source(&encoder->model, &encoder->coder, place.image,
				  encoder->follows, place.source);
		encoder->follows = place.source + copy;
		pack_predict_copy(&encoder->predict, place.source, place.image, (uint32_t)copy);
		err = put_copy(encoder, place, why);
	}
	return err ? err : put_literal(encoder, from + copy, to - from - copy, why);
}

static uint64_t segment_end(const struct pack_delta_source *source, uint32_t segment)
{
	uint64_t end = (uint64_t)(segment + 1) * source->segment_size;
	return end < source->image->size ? end : source->image->size;
}

/* The op that holds this byte of the image. */
static size_t op_at(const struct pack_ops *ops, uint64_t image)
{
	size_t low = 0, high = ops->count - 1;
	while (low < high) {
		size_t middle = high - (high - low) / 2;
		if (ops->ops[middle].image <= image)
			low = middle;
		else
			high = middle - 1;
	}
	return low;
}

static void begin_group(struct encoder *encoder, struct pack_part *part)
{
	const struct pack_delta_source *source = encoder->source;
	encoder->part = part;
	encoder->follows = 0;
	pack_coder_write(&encoder->coder, part->bytes + part->size);
	pack_model_reset(&encoder->model);
	pack_predict_reset(&encoder->predict, source->base->size);
	encoder->predict.has_pointers = source->pointers.known;
	encoder->predict.pointer_high = source->pointers.high;
	encoder->predict.pointer_origin = source->pointers.origin;
	pack_predict_head(&encoder->predict, &encoder->coder);
}

/* The ops of [begin, end), of which *op is the first and becomes the first after it. */
static enum ota_err put_ops(struct encoder *encoder, size_t *op, uint64_t begin, uint64_t end,
			    struct ota_why *why)
{
	const struct pack_ops *ops = encoder->source->ops;
	for (; *op < ops->count && ops->ops[*op].image < end; ++*op) {
		const struct pack_op *now = &ops->ops[*op];
		enum ota_err err = put_op(encoder, now, begin, end, why);
		if (err)
			return err;
		if (now->image + now->copy + now->literal > end)
			break;
	}
	return OTA_OK;
}

/* Encodes at most `max` segments behind part->size, fewer when they get long. */
static enum ota_err encode_group(struct encoder *encoder, struct pack_part *part,
				 uint32_t first, uint32_t max, uint32_t *ret_count,
				 size_t *ret_length, struct ota_why *why)
{
	const struct pack_delta_source *source = encoder->source;
	uint32_t count = 0;
	enum ota_err err = pack_part_reserve(part, 64u << 10, why);
	if (err)
		return err;
	begin_group(encoder, part);
	uint64_t begin = (uint64_t)first * source->segment_size;
	size_t op = op_at(source->ops, begin);
	while (count < max && (size_t)(encoder->coder.out - part->bytes) - part->size <=
				      PACK_PART_GROUP_BYTES) {
		uint64_t end = segment_end(source, first + count);
		err = put_ops(encoder, &op, begin, end, why);
		if (err)
			return err;
		begin = end;
		count++;
	}
	err = make_room(encoder, why);
	if (err)
		return err;
	pack_coder_end(&encoder->coder);
	*ret_count = count;
	*ret_length = (size_t)(encoder->coder.out - part->bytes) - part->size;
	return OTA_OK;
}

static void done_part(struct pack_part *part)
{
	pack_part_done(part);
}

/* Keeps the delta group of `length` bytes behind part->size, or what a plain encoding of the
 * same segments gives when that is shorter. */
static enum ota_err keep_smaller(struct pack_part *part, const struct pack_delta_source *source,
				 uint32_t first, uint32_t count, size_t length,
				 struct ota_why *why)
{
	uint64_t raw =
		segment_end(source, first + count - 1) - (uint64_t)first * source->segment_size;
	AUTO(done_part) struct pack_part plain = {0};
	bool fits = length <= PACK_GROUP_BYTES_MAX;
	if (fits && length < raw / 4) {
		part->size += length;
		return pack_part_add(part, PACK_DELTA, first, count, (uint32_t)length, why);
	}
	enum ota_err err = pack_part_plain(&plain, source->image, source->segment_size,
					   source->level, first, count, why);
	if (err)
		return err;
	size_t table = (size_t)plain.group_count * PACK_GROUP_ENTRY_SIZE;
	if (fits && length <= plain.size + table) {
		part->size += length;
		return pack_part_add(part, PACK_DELTA, first, count, (uint32_t)length, why);
	}
	err = pack_part_reserve(part, plain.size, why);
	for (uint32_t i = 0; i < plain.group_count && !err; i++) {
		const struct pack_group *group = &plain.groups[i];
		memcpy(part->bytes + part->size, plain.bytes + group->offset, group->length);
		part->size += group->length;
		err = pack_part_add(part, group->encoding, group->first, group->count,
				    group->length, why);
	}
	return err;
}

enum ota_err pack_part_delta(struct pack_part *part, const struct pack_delta_source *source,
			     uint32_t first, uint32_t count, struct ota_why *why)
{
	AUTO_FREE struct encoder *encoder = calloc(1, sizeof *encoder);
	if (!encoder)
		return ota_fail(why, OTA_OUT_OF_MEMORY, "no memory for the delta's model");
	encoder->source = source;
	pack_model_init(&encoder->model);
	enum ota_err err = OTA_OK;
	while (count && !err) {
		uint32_t done = 0;
		size_t length = 0;
		err = encode_group(encoder, part, first, count, &done, &length, why);
		if (!err && length > PACK_GROUP_BYTES_MAX && done > 1)
			err = encode_group(encoder, part, first, done - 1, &done, &length, why);
		if (!err)
			err = keep_smaller(part, source, first, done, length, why);
		first += done;
		count -= done;
	}
	return err;
}
