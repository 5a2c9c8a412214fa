/* The two binary messages: chunk frames and upload frames (PROTOCOL.md section 3). */
#include "message.h"

static void put_be(uint8_t *to, size_t size, uint64_t value)
{
	for (size_t i = size; i-- > 0; value >>= 8)
		to[i] = (uint8_t)value;
}

static uint64_t take_be(const uint8_t *from, size_t size)
{
	uint64_t value = 0;

	for (size_t i = 0; i < size; i++)
		value = value << 8 | from[i];
	return value;
}

void chunk_write_header(const struct chunk *chunk, uint8_t ret_header[MESSAGE_CHUNK_HEADER])
{
	ret_header[0] = (uint8_t)chunk->kind;
	ret_header[1] = 0;
	put_be(ret_header + 2, 2, chunk->kind == CHUNK_REFUSED ? (uint64_t)chunk->err : 0);
	put_be(ret_header + 4, 4, chunk->transfer);
	put_be(ret_header + 8, 4, chunk->number);
}

enum ota_err chunk_read(const void *payload, size_t len, struct chunk *ret, struct ota_why *why)
{
	const uint8_t *bytes = payload;

	if (len < MESSAGE_CHUNK_HEADER)
		return ota_fail(why, OTA_BAD_REQUEST, "chunk: %zu bytes, the header has %u",
				len, MESSAGE_CHUNK_HEADER);
	struct chunk chunk = {
		.kind = (enum chunk_kind)bytes[0],
		.transfer = (uint32_t)take_be(bytes + 4, 4),
		.number = (uint32_t)take_be(bytes + 8, 4),
		.data = bytes + MESSAGE_CHUNK_HEADER,
		.data_len = len - MESSAGE_CHUNK_HEADER,
	};
	unsigned error = (unsigned)take_be(bytes + 2, 2);

	if (bytes[0] < CHUNK_DATA || bytes[0] > CHUNK_REFUSED || bytes[1] != 0)
		return ota_fail(why, OTA_BAD_REQUEST, "chunk: of kind %u, %u", bytes[0],
				bytes[1]);
	if (chunk.transfer == 0)
		return ota_fail(why, OTA_BAD_REQUEST, "chunk: of transfer 0");
	if (chunk.kind == CHUNK_REFUSED ? !ota_err_from_number(error, &chunk.err) : error != 0)
		return ota_fail(why, OTA_BAD_REQUEST, "chunk: kind %u with error %u", bytes[0],
				error);
	if (chunk.kind == CHUNK_DATA ? chunk.data_len < 1 || chunk.data_len > MESSAGE_CHUNK_SIZE
				     : chunk.data_len != 0)
		return ota_fail(why, OTA_BAD_REQUEST, "chunk: kind %u with %zu bytes", bytes[0],
				chunk.data_len);
	*ret = chunk;
	return OTA_OK;
}

void upload_write_header(const struct upload_frame *frame,
			 uint8_t ret_header[MESSAGE_UPLOAD_HEADER])
{
	put_be(ret_header, 8, frame->upload);
	put_be(ret_header + 8, 8, frame->offset);
}

enum ota_err upload_read(const void *payload, size_t len, struct upload_frame *ret,
			 struct ota_why *why)
{
	const uint8_t *bytes = payload;

	if (len <= MESSAGE_UPLOAD_HEADER ||
	    len > MESSAGE_UPLOAD_HEADER + MESSAGE_UPLOAD_DATA_MAX)
		return ota_fail(why, OTA_BAD_REQUEST, "upload: a frame of %zu bytes", len);
	*ret = (struct upload_frame){
		.upload = take_be(bytes, 8),
		.offset = take_be(bytes + 8, 8),
		.data = bytes + MESSAGE_UPLOAD_HEADER,
		.data_len = len - MESSAGE_UPLOAD_HEADER,
	};
	return OTA_OK;
}
