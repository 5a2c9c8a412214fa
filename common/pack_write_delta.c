#include "pack_write_delta.h"

#include "own.h"
#include "pack_model.h"
#include "pack_predict.h"

#include <string.h>

#define LITERALS_AT_ONCE 16u
/* A shorter exact stretch is not worth an op of its own, were it only for the decoder's speed.
 */
#define PLAIN_MIN   8192u
#define QUICK_LEVEL 3 /* of zstd, to see whether it might be shorter */
/* A shorter literal is never stored; a longer one is judged in pieces of so many bytes. */
#define STORED_MIN   1024u
#define STORED_PIECE 32768u

struct encoder {
	const struct pack_delta_source *source;
	struct pack_part *part; /* room is used behind part->size */
	struct pack_coder coder;
	bool coding;	  /* the coder is in the middle of its stream */
	uint64_t follows; /* where the last copy's source ended */
	struct pack_model model;
	struct pack_predict predict;
};

static size_t length_of(const struct encoder *encoder)
{
	return (size_t)(encoder->coder.out - encoder->part->bytes) - encoder->part->size;
}

/* Room for `len` more bytes and one more step. */
static enum ota_err make_room(struct encoder *encoder, size_t len, struct ota_why *why)
{
	struct pack_part *part = encoder->part;
	size_t used = (size_t)(encoder->coder.out - part->bytes);
	if (part->room - used >= len + 2 * PACK_CODER_STEP)
		return OTA_OK;
	enum ota_err err = pack_part_reserve(part, used - part->size + len + (64u << 10), why);
	if (!err)
		encoder->coder.out = part->bytes + used;
	return err;
}

static uint32_t load(const uint8_t *at)
{
	return (uint32_t)at[0] | (uint32_t)at[1] << 8 | (uint32_t)at[2] << 16 |
	       (uint32_t)at[3] << 24;
}

static enum ota_err put_literal(struct encoder *encoder, uint64_t at, uint64_t len,
				bool is_stored, struct ota_why *why)
{
	const uint8_t *image = encoder->source->image->bytes;
	enum ota_err err = make_room(encoder, is_stored ? len : 0, why);
	if (!err && is_stored) {
		pack_coder_end(&encoder->coder);
		memcpy(encoder->coder.out, image + at, (size_t)len);
		encoder->coder.out += len;
		encoder->coding = false;
		return OTA_OK;
	}
	for (uint64_t i = 0; i < len && !err; i++) {
		if (i % LITERALS_AT_ONCE == 0)
			err = make_room(encoder, 0, why);
		pack_model_literal(&encoder->model, &encoder->coder, (uint32_t)(at + i),
				   image[at + i]);
	}
	return err;
}

struct place {
	uint64_t image, source, words; /* words: left of the copy */
};

/* Goes over words that are as foreseen; the guess is for the one that is not. */
static uint32_t run_over(struct encoder *encoder, struct place *place, struct pack_guess *guess)
{
	const struct pack_image *base = encoder->source->base;
	const uint8_t *image = encoder->source->image->bytes;
	uint32_t run = 0;
	for (; place->words; run++, place->words--, place->image += 4, place->source += 4) {
		pack_predict_word(&encoder->predict, base->bytes + place->source,
				  (size_t)(base->size - place->source), place->source,
				  place->image, guess);
		if (guess->word != load(image + place->image))
			break;
		pack_predict_learn(&encoder->predict, guess, place->image, guess->word);
	}
	return run;
}

static enum ota_err put_words(struct encoder *encoder, uint64_t image, uint64_t source,
			      uint64_t copy, struct ota_why *why)
{
	uint64_t odd = -image & 3;
	struct place place = {image + odd, source + odd, copy > odd ? (copy - odd) / 4 : 0};
	for (bool first = true; place.words; first = false) {
		struct pack_guess guess;
		enum ota_err err = make_room(encoder, 0, why);
		if (err)
			return err;
		uint32_t run = run_over(encoder, &place, &guess);
		pack_model_run(&encoder->model, &encoder->coder, first, run);
		if (!place.words)
			break;
		uint32_t now = load(encoder->source->image->bytes + place.image);
		pack_model_change(&encoder->model, &encoder->coder, now - guess.word);
		pack_predict_learn(&encoder->predict, &guess, place.image, now);
		place.words--;
		place.image += 4;
		place.source += 4;
	}
	return OTA_OK;
}

static enum ota_err put_piece(struct encoder *encoder, uint64_t at,
			      const struct pack_model_op *piece, struct ota_why *why)
{
	struct pack_model_op op = *piece;
	enum ota_err err = make_room(encoder, 0, why);
	if (err)
		return err;
	if (!encoder->coding)
		pack_coder_write(&encoder->coder, encoder->coder.out);
	encoder->coding = true;
	pack_model_op(&encoder->model, &encoder->coder, at, encoder->follows, &op);
	if (op.copy) {
		encoder->follows = op.source + op.copy;
		pack_predict_copy(&encoder->predict, op.source, at, op.copy, op.is_plain);
		if (!op.is_plain)
			err = put_words(encoder, at, op.source, op.copy, why);
	}
	return err || !op.literal
		       ? err
		       : put_literal(encoder, at + op.copy, op.literal, op.is_stored, why);
}

/* The first part of a copy that is exact as a whole or not. */
static uint32_t piece_of_copy(const struct encoder *encoder, uint64_t image, uint64_t source,
			      uint32_t copy, bool *ret_is_plain)
{
	const uint8_t *now = encoder->source->image->bytes + image;
	const uint8_t *old = encoder->source->base->bytes + source;
	uint32_t same = (uint32_t)pack_match_equal(now, old, copy);
	*ret_is_plain = same >= PLAIN_MIN || same == copy;
	if (same == copy)
		return copy;
	if (*ret_is_plain)
		return same - (uint32_t)((image + same) & 3);
	while (same < copy) {
		uint32_t begin = same + 4 - (uint32_t)((image + same) & 3);
		if (begin >= copy)
			break;
		same = (uint32_t)pack_match_equal(now + begin, old + begin, copy - begin);
		if (same >= PLAIN_MIN)
			return begin;
		same += begin;
	}
	return copy;
}

/* Whether bytes look as if nothing could be saved: about as often each. */
static bool looks_random(const uint8_t *bytes, uint32_t len)
{
	uint32_t counts[256] = {0};
	uint64_t squares = 0, n = len;
	for (uint32_t i = 0; i < len; i++)
		counts[bytes[i]]++;
	for (unsigned i = 0; i < 256; i++)
		squares += (uint64_t)counts[i] * counts[i];
	/* n²/256 + n is what chance gives. */
	return squares * 256 < n * n + n * n / 16 + 280 * n;
}

/* The first part of a literal that is stored as a whole or not. */
static uint32_t piece_of_literal(const struct encoder *encoder, uint64_t image,
				 uint32_t literal, bool *ret_is_stored)
{
	const uint8_t *bytes = encoder->source->image->bytes + image;
	uint32_t piece = 0;
	*ret_is_stored = false;
	while (piece < literal) {
		uint32_t left = literal - piece,
			 now = left < 2 * STORED_PIECE ? left : STORED_PIECE;
		bool random = now >= STORED_MIN && looks_random(bytes + piece, now);
		if (piece && random != *ret_is_stored)
			break;
		*ret_is_stored = random;
		piece += now;
	}
	return piece;
}

/* The part of an op that lies in [begin, end). */
static enum ota_err put_op(struct encoder *encoder, const struct pack_op *op, uint64_t begin,
			   uint64_t end, struct ota_why *why)
{
	uint64_t at = op->image > begin ? op->image : begin;
	uint64_t copy_end = op->image + op->copy, op_end = copy_end + op->literal;
	uint64_t to = op_end < end ? op_end : end, copy_to = copy_end < to ? copy_end : to;
	enum ota_err err = OTA_OK;
	while (at < to && !err) {
		struct pack_model_op piece = {0};
		uint64_t after = at;
		if (at < copy_to) {
			piece.source = op->source + (at - op->image);
			piece.copy = piece_of_copy(encoder, at, piece.source,
						   (uint32_t)(copy_to - at), &piece.is_plain);
			after += piece.copy;
		}
		if (after >= copy_to)
			piece.literal = piece_of_literal(encoder, after, (uint32_t)(to - after),
							 &piece.is_stored);
		err = put_piece(encoder, at, &piece, why);
		at = after + piece.literal;
	}
	return err;
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
	encoder->coding = true;
	pack_coder_write(&encoder->coder, part->bytes + part->size);
	pack_model_reset(&encoder->model);
	pack_predict_group(&encoder->predict, source->base->size);
	encoder->predict.has_pointers = source->pointers.known;
	encoder->predict.pointer_high = source->pointers.high;
	encoder->predict.pointer_origin = source->pointers.origin;
	pack_predict_head(&encoder->predict, &encoder->coder);
}

/* The ops of [begin, end), a segment, of which *op is the first and becomes the first after it.
 */
static enum ota_err put_segment(struct encoder *encoder, size_t *op, uint64_t begin,
				uint64_t end, struct ota_why *why)
{
	const struct pack_ops *ops = encoder->source->ops;
	pack_predict_segment(&encoder->predict);
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

/* Encodes at most `max` segments behind part->size, fewer when they get long: the one that
 * makes the group too long is left to the next. */
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
	while (count < max) {
		struct pack_coder coder = encoder->coder;
		bool coding = encoder->coding;
		size_t length = length_of(encoder);
		uint64_t end = segment_end(source, first + count);
		err = put_segment(encoder, &op, begin, end, why);
		if (!err)
			err = make_room(encoder, 0, why);
		if (err)
			return err;
		if (count && length_of(encoder) > PACK_PART_GROUP_BYTES) {
			encoder->coder.low = coder.low;
			encoder->coder.out = part->bytes + part->size + length;
			encoder->coding = coding;
			break;
		}
		begin = end;
		count++;
	}
	if (encoder->coding)
		pack_coder_end(&encoder->coder);
	*ret_count = count;
	*ret_length = length_of(encoder);
	return OTA_OK;
}

static void done_part(struct pack_part *part)
{
	pack_part_done(part);
}

static enum ota_err plain_bytes(const struct pack_delta_source *source, int level,
				uint32_t first, uint32_t count, struct pack_part *ret_plain,
				size_t *ret_bytes, struct ota_why *why)
{
	enum ota_err err = pack_part_plain(ret_plain, source->image, source->segment_size,
					   level, first, count, why);
	*ret_bytes = ret_plain->size + (size_t)ret_plain->group_count * PACK_GROUP_ENTRY_SIZE;
	return err;
}

/* Whether a plain encoding of the same segments is shorter, which is then in *ret_plain. The
 * best is tried only when a quick one comes near. */
static enum ota_err plain_is_shorter(const struct pack_delta_source *source, uint32_t first,
				     uint32_t count, size_t length, struct pack_part *ret_plain,
				     bool *ret_is, struct ota_why *why)
{
	AUTO(done_part) struct pack_part quick = {0};
	uint64_t raw =
		segment_end(source, first + count - 1) - (uint64_t)first * source->segment_size;
	size_t bytes = SIZE_MAX;
	enum ota_err err = OTA_OK;
	*ret_is = false;
	if (length <= PACK_GROUP_BYTES_MAX && length < raw / 4)
		return OTA_OK;
	if (length <= PACK_GROUP_BYTES_MAX) {
		err = plain_bytes(source, QUICK_LEVEL, first, count, &quick, &bytes, why);
		if (err || bytes / 4 * 3 > length)
			return err;
	}
	err = plain_bytes(source, source->level, first, count, ret_plain, &bytes, why);
	*ret_is = length > PACK_GROUP_BYTES_MAX || bytes < length;
	return err;
}

/* Keeps the delta group of `length` bytes behind part->size, or what is shorter. */
static enum ota_err keep_smaller(struct pack_part *part, const struct pack_delta_source *source,
				 uint32_t first, uint32_t count, size_t length,
				 struct ota_why *why)
{
	AUTO(done_part) struct pack_part plain = {0};
	bool is_plain = false;
	enum ota_err err =
		plain_is_shorter(source, first, count, length, &plain, &is_plain, why);
	if (err)
		return err;
	if (!is_plain) {
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
		if (!err)
			err = keep_smaller(part, source, first, done, length, why);
		first += done;
		count -= done;
	}
	return err;
}
