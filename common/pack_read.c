#include "pack_delta_read.h"
#include "own.h"

#include <assert.h>
#include <string.h>

#define ZSTD_STATIC_LINKING_ONLY
#include <zstd.h>

struct pack_reader {
	struct pack_expected expected;
	struct pack_read_seam seam;
	struct pack_sink sink;
	uint8_t head[PACK_HEADER_SIZE];
	struct pack_header header;
	uint64_t head_at; /* bytes of header and table seen */
	struct pack_group *groups;
	uint32_t groups_known;
	uint8_t entry[PACK_GROUP_ENTRY_SIZE]; /* one that arrives in two pieces */
	/* the group being decoded */
	const struct pack_group *group;
	uint32_t wants;
	bool ended; /* the zstd frame is */
	ZSTD_DCtx *zstd;
	struct pack_delta *delta;
};

enum ota_err pack_reader_new(const struct pack_expected *expected,
			     const struct pack_read_seam *seam, struct pack_reader **ret_reader,
			     struct ota_why *why)
{
	if (!pack_sizes_are_valid(expected->image_size, expected->segment_size))
		return ota_fail(
			why, OTA_SIZE_MISMATCH, "no image has %llu bytes in segments of %u",
			(unsigned long long)expected->image_size, expected->segment_size);
	AUTO_FREE struct pack_reader *reader = calloc(1, sizeof *reader);
	if (!reader)
		return ota_fail(why, OTA_OUT_OF_MEMORY, "no memory for a pack's reader");
	reader->expected = *expected;
	reader->seam = *seam;
	enum ota_err err = pack_sink_init(&reader->sink, expected, &reader->seam, why);
	if (err)
		return err;
	*ret_reader = TAKE(reader);
	return OTA_OK;
}

void pack_reader_free(struct pack_reader *reader)
{
	if (!reader)
		return;
	pack_sink_done(&reader->sink);
	ZSTD_freeDCtx(reader->zstd);
	pack_delta_free(reader->delta);
	free(reader->groups);
	free(reader);
}

static enum ota_err header_matches(const struct pack_header *header,
				   const struct pack_expected *expected, struct ota_why *why)
{
	if (header->image_size != expected->image_size ||
	    header->segment_size != expected->segment_size)
		return ota_fail(why, OTA_SIZE_MISMATCH,
				"the pack is of %llu bytes in segments of %u, the manifest of "
				"%llu in segments of %u",
				(unsigned long long)header->image_size, header->segment_size,
				(unsigned long long)expected->image_size,
				expected->segment_size);
	if (!digest_equal(&header->image, &expected->image))
		return ota_fail(why, OTA_IMAGE_HASH_MISMATCH, "the pack is of another image");
	if (!pack_has_base(header))
		return OTA_OK;
	if (!expected->has_base || !digest_equal(&header->base, &expected->base))
		return ota_fail(why, OTA_IMAGE_HASH_MISMATCH,
				"the pack is against a base that is not here");
	if (header->base_size != expected->base_size)
		return ota_fail(why, OTA_SIZE_MISMATCH,
				"the pack is against a base of %llu bytes, here are %llu",
				(unsigned long long)header->base_size,
				(unsigned long long)expected->base_size);
	return OTA_OK;
}

static enum ota_err head_header(struct pack_reader *reader, struct ota_why *why)
{
	struct pack_header header;
	enum ota_err err = pack_header_read(reader->head, sizeof reader->head, &header, why);
	if (err)
		return err;
	err = header_matches(&header, &reader->expected, why);
	if (err)
		return err;
	reader->groups = calloc(header.group_count, sizeof *reader->groups);
	if (!reader->groups)
		return ota_fail(why, OTA_OUT_OF_MEMORY, "no memory for the table of %u groups",
				header.group_count);
	reader->header = header;
	return OTA_OK;
}

/* The rules of one table entry; `before` is the one in front of it or NULL. */
static enum ota_err group_check(const struct pack_reader *reader, uint8_t encoding,
				const struct pack_group *group, struct ota_why *why)
{
	uint32_t segments =
		pack_segment_count(reader->header.image_size, reader->header.segment_size);
	uint32_t number = reader->groups_known;
	if (encoding >= PACK_ENCODING_COUNT)
		return ota_fail(why, OTA_SEGMENT_HASH_MISMATCH,
				"pack table: group %u has the unknown encoding %u", number,
				encoding);
	if (encoding == PACK_DELTA && !pack_has_base(&reader->header))
		return ota_fail(why, OTA_SEGMENT_HASH_MISMATCH,
				"pack table: group %u is a delta without a base", number);
	if (!group->count || group->count > segments - group->first)
		return ota_fail(why, OTA_SEGMENT_HASH_MISMATCH,
				"pack table: group %u has %u segments", number, group->count);
	if (group->length > PACK_GROUP_BYTES_MAX ||
	    (group->length == 0) != (encoding == PACK_ZERO) ||
	    group->offset + group->length > reader->expected.pack_size)
		return ota_fail(why, OTA_SEGMENT_HASH_MISMATCH,
				"pack table: group %u of %u bytes", number, group->length);
	uint64_t begin = (uint64_t)group->first * reader->header.segment_size;
	uint64_t end = begin + (uint64_t)group->count * reader->header.segment_size;
	if (end > reader->header.image_size)
		end = reader->header.image_size;
	if (encoding == PACK_RAW && group->length != end - begin)
		return ota_fail(why, OTA_SEGMENT_HASH_MISMATCH,
				"pack table: raw group %u of %u bytes", number, group->length);
	return OTA_OK;
}

static enum ota_err head_entry(struct pack_reader *reader, struct ota_why *why)
{
	struct pack_group group = {.offset = pack_reader_head_size(reader)};
	uint8_t encoding;
	if (reader->groups_known) {
		const struct pack_group *before = &reader->groups[reader->groups_known - 1];
		group.first = before->first + before->count;
		group.offset = before->offset + before->length;
	}
	pack_group_read(reader->entry, &encoding, &group.count, &group.length);
	enum ota_err err = group_check(reader, encoding, &group, why);
	if (err)
		return err;
	group.encoding = (enum pack_encoding)encoding;
	reader->groups[reader->groups_known++] = group;
	if (reader->groups_known < reader->header.group_count)
		return OTA_OK;
	uint32_t segments =
		pack_segment_count(reader->header.image_size, reader->header.segment_size);
	if (group.first + group.count != segments)
		return ota_fail(why, OTA_SEGMENT_HASH_MISMATCH,
				"pack table: ends at segment %u of %u",
				group.first + group.count, segments);
	if (group.offset + group.length != reader->expected.pack_size)
		return ota_fail(why, OTA_SEGMENT_HASH_MISMATCH,
				"pack table: ends at byte %llu of %llu",
				(unsigned long long)(group.offset + group.length),
				(unsigned long long)reader->expected.pack_size);
	return OTA_OK;
}

/* Moves up to `size - at` bytes behind the `at` that are in `to`. */
static size_t gather(uint8_t *to, size_t at, size_t size, const uint8_t *bytes, size_t len)
{
	size_t now = len < size - at ? len : size - at;
	memcpy(to + at, bytes, now);
	return now;
}

enum ota_err pack_reader_head(struct pack_reader *reader, const void *bytes, size_t len,
			      size_t *ret_used, struct ota_why *why)
{
	const uint8_t *from = bytes;
	size_t used = 0;
	while (used < len && !pack_reader_is_ready(reader)) {
		enum ota_err err = OTA_OK;
		size_t now;
		if (reader->head_at < PACK_HEADER_SIZE) {
			now = gather(reader->head, (size_t)reader->head_at, PACK_HEADER_SIZE,
				     from + used, len - used);
			reader->head_at += now;
			if (reader->head_at == PACK_HEADER_SIZE)
				err = head_header(reader, why);
		} else {
			size_t at = (size_t)((reader->head_at - PACK_HEADER_SIZE) %
					     PACK_GROUP_ENTRY_SIZE);
			now = gather(reader->entry, at, PACK_GROUP_ENTRY_SIZE, from + used,
				     len - used);
			reader->head_at += now;
			if (at + now == PACK_GROUP_ENTRY_SIZE)
				err = head_entry(reader, why);
		}
		if (err)
			return err;
		used += now;
	}
	*ret_used = used;
	return OTA_OK;
}

bool pack_reader_is_ready(const struct pack_reader *reader)
{
	return reader->groups && reader->groups_known == reader->header.group_count;
}

uint64_t pack_reader_head_size(const struct pack_reader *reader)
{
	return PACK_HEADER_SIZE + (uint64_t)reader->header.group_count * PACK_GROUP_ENTRY_SIZE;
}

uint32_t pack_reader_group_count(const struct pack_reader *reader)
{
	assert(pack_reader_is_ready(reader));
	return reader->header.group_count;
}

struct pack_group pack_reader_group(const struct pack_reader *reader, uint32_t group)
{
	assert(pack_reader_is_ready(reader) && group < reader->header.group_count);
	return reader->groups[group];
}

uint32_t pack_reader_group_of(const struct pack_reader *reader, uint32_t segment)
{
	assert(pack_reader_is_ready(reader));
	assert(segment <
	       pack_segment_count(reader->header.image_size, reader->header.segment_size));
	uint32_t low = 0, high = reader->header.group_count - 1;
	while (low < high) {
		uint32_t middle = high - (high - low) / 2;
		if (reader->groups[middle].first <= segment)
			low = middle;
		else
			high = middle - 1;
	}
	return low;
}

static enum ota_err begin_zero(struct pack_reader *reader, struct ota_why *why)
{
	enum ota_err err = OTA_OK;
	uint32_t room;
	memset(reader->sink.buffer, 0, reader->sink.segment_size);
	for (pack_sink_room(&reader->sink, &room); room && !err;
	     pack_sink_room(&reader->sink, &room))
		err = pack_sink_filled(&reader->sink, room, why);
	return err;
}

/* One decoder at a time: together they would take more memory than a reader should. */
static enum ota_err begin_zstd(struct pack_reader *reader, struct ota_why *why)
{
	pack_delta_free(reader->delta);
	reader->delta = NULL;
	if (!reader->zstd) {
		unsigned window = pack_window_log_max(reader->header.segment_size);
		reader->zstd = ZSTD_createDCtx();
		if (!reader->zstd || ZSTD_isError(ZSTD_DCtx_setParameter(
					     reader->zstd, ZSTD_d_windowLogMax, (int)window)))
			return ota_fail(why, OTA_OUT_OF_MEMORY, "no memory for zstd's decoder");
	}
	ZSTD_DCtx_reset(reader->zstd, ZSTD_reset_session_only);
	reader->ended = false;
	return OTA_OK;
}

enum ota_err pack_reader_begin(struct pack_reader *reader, uint32_t group, struct ota_why *why)
{
	assert(pack_reader_is_ready(reader) && group < reader->header.group_count);
	reader->group = &reader->groups[group];
	reader->wants = reader->group->length;
	pack_sink_begin(&reader->sink, reader->group);
	switch (reader->group->encoding) {
	case PACK_ZERO:
		return begin_zero(reader, why);
	case PACK_ZSTD:
		return begin_zstd(reader, why);
	case PACK_DELTA:
		ZSTD_freeDCtx(reader->zstd);
		reader->zstd = NULL;
		if (!reader->delta) {
			enum ota_err err = pack_delta_new(&reader->delta, why);
			if (err)
				return err;
		}
		pack_delta_begin(reader->delta, &reader->sink, reader->header.base_size,
				 reader->wants);
		return OTA_OK;
	case PACK_RAW:
	case PACK_ENCODING_COUNT:
		break;
	}
	return OTA_OK;
}

static enum ota_err feed_zstd(struct pack_reader *reader, const void *bytes, size_t len,
			      struct ota_why *why)
{
	ZSTD_inBuffer in = {bytes, len, 0};
	/* Once more after the last input: the decoder may hold output back. */
	for (bool full = true; !reader->ended && (in.pos < in.size || full);) {
		uint8_t spare[1]; /* a frame that is too long must overflow somewhere */
		uint32_t room;
		uint8_t *to = pack_sink_room(&reader->sink, &room);
		ZSTD_outBuffer out = {room ? to : spare, room ? room : sizeof spare, 0};
		size_t result = ZSTD_decompressStream(reader->zstd, &out, &in);
		if (ZSTD_isError(result))
			return ota_fail(why, OTA_SEGMENT_HASH_MISMATCH,
					"segment %u does not decode: %s", reader->sink.segment,
					ZSTD_getErrorName(result));
		if (!room && out.pos)
			return ota_fail(why, OTA_SEGMENT_HASH_MISMATCH,
					"the group of segment %u is too long",
					reader->group->first);
		full = room && out.pos == out.size;
		reader->ended = result == 0;
		enum ota_err err = pack_sink_filled(&reader->sink, (uint32_t)out.pos, why);
		if (err)
			return err;
	}
	if (in.pos < in.size)
		return ota_fail(why, OTA_SEGMENT_HASH_MISMATCH,
				"the group of segment %u has bytes after its frame",
				reader->group->first);
	return OTA_OK;
}

enum ota_err pack_reader_feed(struct pack_reader *reader, const void *bytes, size_t len,
			      struct ota_why *why)
{
	enum ota_err err = OTA_OK;
	assert(reader->group && len <= reader->wants);
	if (!len)
		return OTA_OK;
	switch (reader->group->encoding) {
	case PACK_RAW:
		err = pack_sink_put(&reader->sink, bytes, len, why);
		break;
	case PACK_ZSTD:
		err = feed_zstd(reader, bytes, len, why);
		break;
	case PACK_DELTA:
		err = pack_delta_feed(reader->delta, bytes, len, why);
		break;
	case PACK_ZERO: /* has no bytes to feed */
	case PACK_ENCODING_COUNT:
		assert(false);
	}
	if (err)
		return err;
	reader->wants -= (uint32_t)len;
	if (!reader->wants && (pack_sink_left(&reader->sink) ||
			       (reader->group->encoding == PACK_ZSTD && !reader->ended)))
		return ota_fail(why, OTA_SEGMENT_HASH_MISMATCH,
				"the group of segment %u ends early", reader->group->first);
	return OTA_OK;
}

uint32_t pack_reader_wants(const struct pack_reader *reader)
{
	return reader->wants;
}
