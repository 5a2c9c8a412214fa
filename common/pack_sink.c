#include "pack_sink.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

enum ota_err pack_sink_init(struct pack_sink *sink, const struct pack_expected *expected,
			    const struct pack_read_seam *seam, struct ota_why *why)
{
	uint8_t *buffer = malloc(expected->segment_size);
	if (!buffer)
		return ota_fail(why, OTA_OUT_OF_MEMORY, "no memory for a segment of %u bytes",
				expected->segment_size);
	*sink = (struct pack_sink){
		.seam = seam,
		.image_size = expected->image_size,
		.segment_size = expected->segment_size,
		.buffer = buffer,
	};
	return OTA_OK;
}

void pack_sink_done(struct pack_sink *sink)
{
	free(sink->buffer);
	sink->buffer = NULL;
}

void pack_sink_begin(struct pack_sink *sink, const struct pack_group *group)
{
	sink->segment = group->first;
	sink->end = group->first + group->count;
	sink->filled = 0;
}

uint64_t pack_sink_left(const struct pack_sink *sink)
{
	uint64_t end = (uint64_t)sink->end * sink->segment_size;
	if (end > sink->image_size)
		end = sink->image_size;
	uint64_t at = (uint64_t)sink->segment * sink->segment_size + sink->filled;
	return at < end ? end - at : 0;
}

uint8_t *pack_sink_room(struct pack_sink *sink, uint32_t *ret_room)
{
	if (sink->segment == sink->end) {
		*ret_room = 0;
		return NULL;
	}
	*ret_room = pack_segment_length(sink->image_size, sink->segment_size, sink->segment) -
		    sink->filled;
	return sink->buffer + sink->filled;
}

enum ota_err pack_sink_filled(struct pack_sink *sink, uint32_t len, struct ota_why *why)
{
	uint32_t room;
	pack_sink_room(sink, &room);
	assert(len <= room);
	sink->filled += len;
	if (len < room || !room)
		return OTA_OK;
	uint32_t length = sink->filled;
	sink->filled = 0;
	sink->segment++;
	return sink->seam->segment(sink->seam->ctx, sink->segment - 1, sink->buffer, length,
				   why);
}

enum ota_err pack_sink_put(struct pack_sink *sink, const void *bytes, size_t len,
			   struct ota_why *why)
{
	const uint8_t *from = bytes;
	assert(len <= pack_sink_left(sink));
	while (len) {
		uint32_t room;
		uint8_t *to = pack_sink_room(sink, &room);
		uint32_t now = len < room ? (uint32_t)len : room;
		/* A caller that goes on after an error must not spin here. */
		if (!now)
			return ota_fail(why, OTA_INTERNAL, "%zu bytes more than the group has",
					len);
		memcpy(to, from, now);
		enum ota_err err = pack_sink_filled(sink, now, why);
		if (err)
			return err;
		from += now;
		len -= now;
	}
	return OTA_OK;
}
