#include "pack_fixture.h"

#include <stdio.h>
#include <zstd.h>

#define SEGMENT 65536u

static const struct bytes no_base = {NULL, 0};
static const struct pack_write_options quick = {.segment_size = SEGMENT, .level = 3};

/* A pack to be spoilt, and what a reader expects of it. */
struct spoilt {
	struct bytes base, image, good, pack;
	struct pack_expected expected;
	struct fixture_device device;
};

static void spoilt_begin(struct spoilt *spoilt)
{
	struct pack_result result;
	spoilt->base = fixture_image(300000, 1);
	spoilt->image = fixture_later(spoilt->base);
	memset(spoilt->image.at + 2 * SEGMENT, 0, SEGMENT);
	fixture_noise(spoilt->image, 3 * SEGMENT, SEGMENT, 8);
	spoilt->good = fixture_pack(spoilt->image, spoilt->base, &quick, &result);
	spoilt->pack = (struct bytes){malloc(spoilt->good.size), spoilt->good.size};
	assert_non_null(spoilt->pack.at);
	memcpy(spoilt->pack.at, spoilt->good.at, spoilt->good.size);
	spoilt->device =
		fixture_device(spoilt->image, spoilt->base, SEGMENT, &spoilt->expected);
}

static void spoilt_end(struct spoilt *spoilt)
{
	fixture_device_done(&spoilt->device);
	free(spoilt->pack.at);
	free(spoilt->good.at);
	free(spoilt->image.at);
	free(spoilt->base.at);
}

/* Reads it, then mends it; nothing wrong may have got into the slot. */
static enum ota_err spoilt_read(struct spoilt *spoilt, struct ota_why *why)
{
	memset(spoilt->device.slot.at, 0, spoilt->device.slot.size);
	spoilt->device.right = spoilt->device.wrong = 0;
	*why = (struct ota_why){0};
	enum ota_err err =
		fixture_read(&spoilt->device, &spoilt->expected, spoilt->pack, 65536, why);
	for (size_t i = 0; i < spoilt->image.size; i++)
		if (spoilt->device.slot.at[i] &&
		    spoilt->device.slot.at[i] != spoilt->image.at[i])
			fail_msg("byte %zu of the slot is wrong", i);
	if (err) {
		assert_true(err == OTA_SEGMENT_HASH_MISMATCH || err == OTA_SIZE_MISMATCH ||
			    err == OTA_IMAGE_HASH_MISMATCH || err == OTA_DOWNLOAD_STALLED);
		assert_int_equal(why->err, err);
		assert_true(why->text[0] != '\0');
	}
	memcpy(spoilt->pack.at, spoilt->good.at, spoilt->good.size);
	spoilt->pack.size = spoilt->good.size;
	return err;
}

static void put_be(uint8_t *at, uint64_t value, unsigned bytes)
{
	for (unsigned i = 0; i < bytes; i++)
		at[i] = (uint8_t)(value >> (8 * (bytes - 1 - i)));
}

static void each_header_field_has_its_own_refusal(void **state)
{
	static const struct {
		size_t at;
		unsigned bytes;
		uint64_t value;
		enum ota_err err;
		const char *text;
	} rows[] = {
		{0, 4, 0x4f544151, OTA_SEGMENT_HASH_MISMATCH, "pack header: not a pack"},
		{4, 1, 2, OTA_SEGMENT_HASH_MISMATCH, "pack header: version 2 is not known"},
		{5, 1, 1, OTA_SEGMENT_HASH_MISMATCH,
		 "pack header: reserved bytes are not zero"},
		{8, 8, 0, OTA_SEGMENT_HASH_MISMATCH,
		 "pack header: 0 bytes in segments of 65536"},
		{8, 8, 1ull << 31, OTA_SIZE_MISMATCH,
		 "the pack is of 2147483648 bytes in segments of 65536, the manifest of 302998 "
		 "in segments of 65536"},
		{8, 8, 1ull << 32, OTA_SEGMENT_HASH_MISMATCH | OTA_SIZE_MISMATCH, NULL},
		{8, 8, UINT64_MAX, OTA_SEGMENT_HASH_MISMATCH,
		 "pack header: 18446744073709551615 bytes in segments of 65536"},
		{16, 8, 0, OTA_SEGMENT_HASH_MISMATCH,
		 "pack header: size and digest of the base do not agree"},
		{16, 8, 1ull << 32, OTA_SIZE_MISMATCH,
		 "the pack is against a base of 4294967296 bytes, here are 300000"},
		{24, 4, 65537, OTA_SEGMENT_HASH_MISMATCH,
		 "pack header: 302998 bytes in segments of 65537"},
		{24, 4, 1u << 31, OTA_SEGMENT_HASH_MISMATCH,
		 "pack header: 302998 bytes in segments of 2147483648"},
		{24, 4, 131072, OTA_SIZE_MISMATCH, NULL},
		{28, 4, 0, OTA_SEGMENT_HASH_MISMATCH, "pack header: 0 groups of 5 segments"},
		{28, 4, 7, OTA_SEGMENT_HASH_MISMATCH, "pack header: 7 groups of 5 segments"},
		{28, 4, UINT32_MAX, OTA_SEGMENT_HASH_MISMATCH,
		 "pack header: 4294967295 groups of 5 segments"},
		{32, 4, 1, OTA_IMAGE_HASH_MISMATCH, "the pack is of another image"},
		{64, 4, 1, OTA_IMAGE_HASH_MISMATCH,
		 "the pack is against a base that is not here"},
	};
	struct spoilt spoilt;
	struct ota_why why;
	(void)state;
	spoilt_begin(&spoilt);
	assert_int_equal(spoilt.image.size, 302998);
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		put_be(spoilt.pack.at + rows[i].at, rows[i].value, rows[i].bytes);
		enum ota_err err = spoilt_read(&spoilt, &why);
		assert_int_not_equal(err, OTA_OK);
		if (rows[i].text) {
			assert_int_equal(err, rows[i].err);
			assert_string_equal(why.text, rows[i].text);
		}
	}
	spoilt_end(&spoilt);
}

static void a_pack_against_a_base_is_no_use_without_one(void **state)
{
	struct spoilt spoilt;
	struct ota_why why;
	(void)state;
	spoilt_begin(&spoilt);
	spoilt.expected.has_base = false;
	assert_int_equal(spoilt_read(&spoilt, &why), OTA_IMAGE_HASH_MISMATCH);
	spoilt_end(&spoilt);
}

/* Of each group in turn: encoding, count and length. */
static void each_table_field_is_checked(void **state)
{
	struct spoilt spoilt;
	struct ota_why why;
	(void)state;
	spoilt_begin(&spoilt);
	uint32_t groups = (uint32_t)spoilt.good.at[31];
	for (uint32_t i = 0; i < groups; i++) {
		static const uint32_t lengths[] = {
			0, 1, 1u << 20, (1u << 20) + 1, 1u << 31, UINT32_MAX};
		uint8_t *entry = spoilt.pack.at + PACK_HEADER_SIZE + (size_t)i * 8;
		uint8_t encoding = entry[0];
		for (uint8_t other = 0; other < 8; other++) {
			entry[0] = other;
			if (other != encoding)
				assert_int_not_equal(spoilt_read(&spoilt, &why), OTA_OK);
		}
		for (uint32_t count = 0; count < 9; count++) {
			uint8_t was = entry[3];
			entry[3] = (uint8_t)count;
			if (was != count)
				assert_int_not_equal(spoilt_read(&spoilt, &why), OTA_OK);
		}
		entry[1] = 0xff;
		assert_int_not_equal(spoilt_read(&spoilt, &why), OTA_OK);
		for (size_t k = 0; k < sizeof lengths / sizeof *lengths; k++) {
			if (lengths[k] == 0 && encoding == PACK_ZERO)
				continue;
			put_be(entry + 4, lengths[k], 4);
			assert_int_not_equal(spoilt_read(&spoilt, &why), OTA_OK);
		}
	}
	spoilt_end(&spoilt);
}

static void a_pack_cut_anywhere_is_refused(void **state)
{
	struct spoilt spoilt;
	struct ota_why why;
	(void)state;
	spoilt_begin(&spoilt);
	for (size_t size = 0; size < spoilt.good.size; size += size < 300 ? 7 : 14099) {
		spoilt.pack.size = size;
		assert_int_not_equal(spoilt_read(&spoilt, &why), OTA_OK);
	}
	spoilt_end(&spoilt);
}

static void bytes_after_the_last_group_are_refused(void **state)
{
	struct spoilt spoilt;
	struct ota_why why;
	(void)state;
	spoilt_begin(&spoilt);
	spoilt.good.at = realloc(spoilt.good.at, spoilt.good.size + 1);
	spoilt.pack.at = realloc(spoilt.pack.at, spoilt.good.size + 1);
	spoilt.good.at[spoilt.good.size] = 0;
	spoilt.pack.at[spoilt.good.size++] = 0;
	spoilt.pack.size++;
	assert_int_equal(spoilt_read(&spoilt, &why), OTA_SEGMENT_HASH_MISMATCH);
	assert_non_null(strstr(why.text, "pack table: ends at byte"));
	spoilt_end(&spoilt);
}

static void flipped_bits_never_give_a_wrong_segment(void **state)
{
	struct spoilt spoilt;
	struct ota_why why;
	uint32_t random = 4711;
	(void)state;
	spoilt_begin(&spoilt);
	for (int i = 0; i < 60; i++) {
		size_t at = fixture_random(&random) % spoilt.good.size;
		if (i % 3) /* most of the pack is noise, which is the dullest part */
			at = fixture_random(&random) % 4000;
		spoilt.pack.at[at] ^= (uint8_t)(1u << fixture_random(&random) % 8);
		enum ota_err err = spoilt_read(&spoilt, &why);
		assert_true(err || spoilt.device.wrong);
	}
	spoilt_end(&spoilt);
}

/* A pack of one group, made by hand. */
static struct bytes one_group(const struct pack_expected *expected, enum pack_encoding encoding,
			      uint32_t count, const void *bytes, uint32_t len)
{
	struct bytes pack = {calloc(1, PACK_HEADER_SIZE + 8 + len + 1),
			     PACK_HEADER_SIZE + 8 + len};
	struct pack_header header = {
		.image_size = expected->image_size,
		.segment_size = expected->segment_size,
		.base_size = encoding == PACK_DELTA ? expected->base_size : 0,
		.group_count = 1,
		.image = expected->image,
	};
	struct pack_group group = {.encoding = encoding, .count = count, .length = len};
	if (encoding == PACK_DELTA)
		header.base = expected->base;
	assert_non_null(pack.at);
	pack_header_write(&header, pack.at);
	pack_group_write(&group, pack.at + PACK_HEADER_SIZE);
	if (len)
		memcpy(pack.at + PACK_HEADER_SIZE + 8, bytes, len);
	return pack;
}

static void check_frame(const char *wanted, const void *frame, size_t len)
{
	struct bytes image = fixture_image(2 * SEGMENT, 1);
	struct pack_expected expected;
	struct ota_why why = {0};
	struct fixture_device device = fixture_device(image, no_base, SEGMENT, &expected);
	struct bytes pack = one_group(&expected, PACK_ZSTD, 2, frame, (uint32_t)len);
	enum ota_err err = fixture_read(&device, &expected, pack, 4096, &why);
	if (wanted) {
		assert_int_equal(err, OTA_SEGMENT_HASH_MISMATCH);
		assert_string_equal(why.text, wanted);
	} else {
		assert_int_equal(err, OTA_OK);
		assert_int_equal(device.right, 2);
	}
	fixture_device_done(&device);
	free(pack.at);
	free(image.at);
}

static size_t compress(uint8_t *frame, size_t room, struct bytes image, int window)
{
	ZSTD_CCtx *zstd = ZSTD_createCCtx();
	ZSTD_inBuffer in = {image.at, image.size, 0};
	ZSTD_outBuffer out = {frame, room, 0};
	ZSTD_CCtx_setParameter(zstd, ZSTD_c_windowLog, window);
	/* in two steps, so that the frame does not say its size */
	ZSTD_compressStream2(zstd, &out, &in, ZSTD_e_continue);
	assert_int_equal(ZSTD_compressStream2(zstd, &out, &in, ZSTD_e_end), 0);
	ZSTD_freeCCtx(zstd);
	return out.pos;
}

static void zstd_frames_are_taken_as_they_should_be_only(void **state)
{
	static uint8_t frame[6 * SEGMENT];
	struct bytes image = fixture_image(3 * SEGMENT, 1), right = {image.at, 2 * SEGMENT},
		     one = {image.at, SEGMENT};
	(void)state;
	size_t len = compress(frame, sizeof frame, right, 20);
	check_frame(NULL, frame, len);
	frame[len] = 0;
	check_frame("the group of segment 0 has bytes after its frame", frame, len + 1);
	check_frame("the group of segment 0 ends early", frame, len - 1);
	len = compress(frame, sizeof frame, one, 20);
	check_frame("the group of segment 0 ends early", frame, len);
	size_t more = compress(frame + len, sizeof frame - len, one, 20);
	check_frame("the group of segment 0 has bytes after its frame", frame, len + more);
	len = compress(frame, sizeof frame, image, 20);
	check_frame("the group of segment 0 is too long", frame, len);
	len = compress(frame, sizeof frame, right, 21);
	check_frame("segment 0 does not decode: Frame requires too much memory for decoding",
		    frame, len);
	memcpy(frame, "\x50\x2a\x4d\x18\x01\x00\x00\x00!", 9); /* skippable */
	check_frame("the group of segment 0 ends early", frame, 9);
	free(image.at);
}

static void the_group_of_each_segment_is_found(void **state)
{
	struct bytes image = fixture_image(40 * SEGMENT, 1);
	struct pack_expected expected;
	struct pack_result result;
	size_t used;
	(void)state;
	for (uint32_t i = 0; i < 40; i += 3)
		memset(image.at + i * SEGMENT, 0, SEGMENT);
	struct bytes pack = fixture_pack(image, no_base, &quick, &result);
	struct fixture_device device = fixture_device(image, no_base, SEGMENT, &expected);
	struct pack_read_seam seam = {&device, NULL, fixture_segment};
	struct pack_reader *reader;
	expected.pack_size = pack.size;
	assert_int_equal(pack_reader_new(&expected, &seam, &reader, NULL), OTA_OK);
	assert_int_equal(pack_reader_head_size(reader), PACK_HEADER_SIZE);
	assert_int_equal(pack_reader_head(reader, pack.at, pack.size, &used, NULL), OTA_OK);
	assert_int_equal(used, pack_reader_head_size(reader));
	assert_int_equal(pack_reader_group_count(reader), result.groups);
	for (uint32_t i = 0; i < 40; i++) {
		struct pack_group group =
			pack_reader_group(reader, pack_reader_group_of(reader, i));
		assert_in_range(i, group.first, group.first + group.count - 1);
		assert_int_equal(group.encoding == PACK_ZERO, i % 3 == 0);
	}
	pack_reader_free(reader);
	fixture_device_done(&device);
	free(pack.at);
	free(image.at);
}

static void any_group_decodes_by_itself_and_again(void **state)
{
	struct bytes image = fixture_image(30 * SEGMENT, 1), base = fixture_later(image);
	struct pack_expected expected;
	struct pack_result result;
	struct ota_why why;
	size_t used;
	(void)state;
	fixture_noise(base, 0, 20 * SEGMENT, 9);
	struct bytes pack = fixture_pack(image, base, &quick, &result);
	struct fixture_device device = fixture_device(image, base, SEGMENT, &expected);
	struct pack_read_seam seam = {&device, fixture_base_read, fixture_segment};
	struct pack_reader *reader;
	expected.pack_size = pack.size;
	assert_int_equal(pack_reader_new(&expected, &seam, &reader, &why), OTA_OK);
	assert_int_equal(pack_reader_head(reader, pack.at, pack.size, &used, &why), OTA_OK);
	assert_true(result.groups > 1);
	for (uint32_t i = 2 * result.groups; i-- > 0;) {
		struct pack_group group = pack_reader_group(reader, i / 2);
		/* the first time around it is given up half-way */
		uint32_t len = i % 2 ? group.length / 2 : group.length;
		assert_int_equal(pack_reader_begin(reader, i / 2, &why), OTA_OK);
		assert_int_equal(pack_reader_feed(reader, pack.at + group.offset, len, &why),
				 OTA_OK);
	}
	assert_int_equal(device.wrong, 0);
	assert_memory_equal(device.slot.at, image.at, image.size);
	pack_reader_free(reader);
	fixture_device_done(&device);
	free(pack.at);
	free(image.at);
	free(base.at);
}

static struct bytes vector(const char *name)
{
	char path[512];
	struct bytes bytes = {NULL, 0};
	size_t len, digits = 0;
	AUTO_FREE char *text = NULL;
	snprintf(path, sizeof path, "%s/%s", VECTORS, name);
	assert_int_equal(file_read(path, 1 << 20, &text, &len, NULL), OTA_OK);
	bytes.at = calloc(1, len / 2 + 1);
	assert_non_null(bytes.at);
	for (size_t i = 0; i < len; i++) {
		const char *all = "0123456789abcdef";
		const char *digit = text[i] ? strchr(all, text[i]) : NULL;
		if (digit) {
			unsigned value = (unsigned)(digit - all);
			bytes.at[digits / 2] =
				(uint8_t)((unsigned)bytes.at[digits / 2] << 4 | value);
			digits++;
		}
	}
	bytes.size = digits / 2;
	return bytes;
}

/* The vector decodes to the image; a writer may find other bytes for it. */
static void check_vector(const char *name, struct bytes image, struct bytes base)
{
	struct pack_expected expected;
	struct ota_why why = {0};
	struct bytes pack = vector(name);
	struct fixture_device device = fixture_device(image, base, SEGMENT, &expected);
	if (fixture_read(&device, &expected, pack, 100, &why))
		fail_msg("%s: %s", name, why.text);
	assert_memory_equal(device.slot.at, image.at, image.size);
	fixture_device_done(&device);
	free(pack.at);
}

static void the_vectors_decode(void **state)
{
	struct bytes base = fixture_code(700, 0x1000), image = fixture_code(900, 0x1a40);
	struct bytes zeros = {calloc(1, 5 * SEGMENT + 1), 5 * SEGMENT + 1};
	(void)state;
	assert_non_null(zeros.at);
	for (size_t i = 2 * SEGMENT; i < 4 * SEGMENT; i++)
		zeros.at[i] = (uint8_t)(i >> 8);
	fixture_noise(image, 20000, 3000, 3);
	check_vector("pack.hex", zeros, no_base);
	check_vector("pack_delta.hex", image, base);
	free(zeros.at);
	free(image.at);
	free(base.at);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_header_field_has_its_own_refusal),
		cmocka_unit_test(a_pack_against_a_base_is_no_use_without_one),
		cmocka_unit_test(each_table_field_is_checked),
		cmocka_unit_test(a_pack_cut_anywhere_is_refused),
		cmocka_unit_test(bytes_after_the_last_group_are_refused),
		cmocka_unit_test(flipped_bits_never_give_a_wrong_segment),
		cmocka_unit_test(zstd_frames_are_taken_as_they_should_be_only),
		cmocka_unit_test(the_group_of_each_segment_is_found),
		cmocka_unit_test(any_group_decodes_by_itself_and_again),
		cmocka_unit_test(the_vectors_decode),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
