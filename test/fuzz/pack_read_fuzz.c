/* A pack from anywhere against a small manifest and base. Property: reads of the base stay
 * inside it, segments come in ascending order with their exact lengths and inside the asked-for
 * group, and an error has a name. The first byte chooses: the bytes are a whole pack, or, with
 * header and table made right, one group of an encoding. */
#include "pack_read.h"

#include "fuzz.h"

#define SEGMENT	   65536u
#define IMAGE_SIZE (2 * SEGMENT + 1001)
#define BASE_SIZE  70001u

struct device {
	uint32_t next, end;
};

static enum ota_err base_read(void *ctx, uint64_t offset, void *ret_bytes, size_t len,
			      struct ota_why *why)
{
	uint8_t *to = ret_bytes;
	(void)ctx;
	(void)why;
	MUST(offset <= BASE_SIZE && len <= BASE_SIZE - offset);
	for (size_t i = 0; i < len; i++)
		to[i] = (uint8_t)((offset + i) * 0x9e3779b1u >> 24 &
				  ((offset + i) % 3 ? 0x17 : 0xff));
	return OTA_OK;
}

static enum ota_err segment(void *ctx, uint32_t number, const void *bytes, size_t len,
			    struct ota_why *why)
{
	struct device *device = ctx;
	volatile uint8_t sum = 0;
	(void)why;
	MUST(number == device->next && number < device->end);
	MUST(len == pack_segment_length(IMAGE_SIZE, SEGMENT, number));
	for (size_t i = 0; i < len; i++)
		sum = (uint8_t)(sum + ((const uint8_t *)bytes)[i]);
	device->next++;
	return OTA_OK;
}

static const struct pack_expected expected = {
	.image_size = IMAGE_SIZE,
	.segment_size = SEGMENT,
	.image = {{1}},
	.has_base = true,
	.base_size = BASE_SIZE,
	.base = {{2}},
};

static void read_groups(struct pack_reader *reader, struct device *device, const uint8_t *pack,
			size_t piece)
{
	for (uint32_t i = 0; i < pack_reader_group_count(reader); i++) {
		struct pack_group group = pack_reader_group(reader, i);
		struct ota_why why = {0};
		device->next = group.first;
		device->end = group.first + group.count;
		enum ota_err err = pack_reader_begin(reader, i, &why);
		for (uint32_t at = 0; at < group.length && !err; at += (uint32_t)piece) {
			size_t len = group.length - at < piece ? group.length - at : piece;
			err = pack_reader_feed(reader, pack + group.offset + at, len, &why);
		}
		MUST(err ? why.err == err && why.text[0]
			 : device->next == device->end && !pack_reader_wants(reader));
	}
}

static void read_pack(const uint8_t *pack, size_t size, size_t piece)
{
	struct device device = {0};
	struct pack_read_seam seam = {&device, base_read, segment};
	struct pack_expected now = expected;
	struct pack_reader *reader;
	struct ota_why why = {0};
	size_t used;
	now.pack_size = size;
	if (pack_reader_new(&now, &seam, &reader, &why))
		return;
	enum ota_err err = pack_reader_head(reader, pack, size, &used, &why);
	MUST(!err || (why.err == err && why.text[0]));
	if (!err && pack_reader_is_ready(reader))
		read_groups(reader, &device, pack, piece);
	pack_reader_free(reader);
}

static void read_group(enum pack_encoding encoding, const uint8_t *data, size_t size,
		       size_t piece)
{
	struct pack_header header = {
		.image_size = IMAGE_SIZE,
		.base_size = BASE_SIZE,
		.segment_size = SEGMENT,
		.group_count = 1,
		.image = expected.image,
		.base = expected.base,
	};
	struct pack_group group = {.encoding = encoding, .count = 3, .length = (uint32_t)size};
	uint8_t *pack = malloc(PACK_HEADER_SIZE + PACK_GROUP_ENTRY_SIZE + size);
	if (!pack)
		return;
	pack_header_write(&header, pack);
	pack_group_write(&group, pack + PACK_HEADER_SIZE);
	memcpy(pack + PACK_HEADER_SIZE + PACK_GROUP_ENTRY_SIZE, data, size);
	read_pack(pack, PACK_HEADER_SIZE + PACK_GROUP_ENTRY_SIZE + size, piece);
	free(pack);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size < 2 || size > 65536)
		return 0;
	size_t piece = data[0] & 4 ? 1 + data[0] / 8u : 4096;
	switch (data[0] & 3) {
	case 0:
		read_pack(data + 1, size - 1, piece);
		break;
	case 1:
		read_group(PACK_ZSTD, data + 1, size - 1, piece);
		break;
	default:
		read_group(PACK_DELTA, data + 1, size - 1, piece);
		break;
	}
	return 0;
}
