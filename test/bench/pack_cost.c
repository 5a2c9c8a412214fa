/* pack_cost BASE IMAGE PACK: makes a pack, or with BASE "-" one without a base, decodes it
 * again, and prints what that took: bytes, CPU-seconds to make, peak KiB resident to make
 * beyond the two images, CPU-seconds to decode (the median of three), KiB to decode. With a
 * fourth argument then, for the first 300 blocks of the base damaged and for 300 anywhere: how
 * many segments come out wrong, and how many bytes of a pack without a base (zstd level 3)
 * replace them. */
#include "file.h"
#include "own.h"
#include "pack_read.h"
#include "pack_write.h"

#include <fcntl.h>
#include <malloc.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>

#define BLOCK	4096u
#define DAMAGED 300u

struct device {
	struct pack_image image, base;
	uint32_t segment_size, wrong;
	uint8_t *damaged; /* one for each block of the base; NULL: none is */
	uint8_t *spoilt;  /* one for each segment */
};

static enum ota_err base_read(void *ctx, uint64_t offset, void *ret_bytes, size_t len,
			      struct ota_why *why)
{
	const struct device *device = ctx;
	(void)why;
	uint8_t *to = ret_bytes;
	memcpy(to, device->base.bytes + offset, len);
	for (size_t i = 0; device->damaged && i < len; i++)
		to[i] ^= device->damaged[(offset + i) / BLOCK];
	return OTA_OK;
}

static enum ota_err segment(void *ctx, uint32_t number, const void *bytes, size_t len,
			    struct ota_why *why)
{
	struct device *device = ctx;
	(void)why;
	const uint8_t *right = device->image.bytes + (size_t)number * device->segment_size;
	device->spoilt[number] = memcmp(right, bytes, len) != 0;
	device->wrong += device->spoilt[number];
	return OTA_OK;
}

static double cpu_seconds(void)
{
	struct rusage use;
	getrusage(RUSAGE_SELF, &use);
	return (double)(use.ru_utime.tv_sec + use.ru_stime.tv_sec) +
	       (double)(use.ru_utime.tv_usec + use.ru_stime.tv_usec) / 1e6;
}

static uint8_t chunk[PACK_CHUNK_SIZE];

static enum ota_err open_pack(struct device *device, const struct pack_expected *expected,
			      int fd, struct pack_reader **ret_reader, struct ota_why *why)
{
	struct pack_read_seam seam = {device, base_read, segment};
	size_t used = 0;
	enum ota_err err = pack_reader_new(expected, &seam, ret_reader, why);
	for (uint64_t at = 0; !err && !pack_reader_is_ready(*ret_reader); at += used) {
		uint64_t left = expected->pack_size - at;
		size_t len = left < sizeof chunk ? (size_t)left : sizeof chunk;
		err = file_pread_all(fd, chunk, len, at, why);
		if (!err)
			err = pack_reader_head(*ret_reader, chunk, len, &used, why);
	}
	return err;
}

static enum ota_err decode(struct device *device, const struct pack_expected *expected, int fd,
			   size_t *ret_memory, struct ota_why *why)
{
	struct pack_reader *reader;
	size_t before = mallinfo2().uordblks + mallinfo2().hblkhd;
	enum ota_err err = open_pack(device, expected, fd, &reader, why);
	device->wrong = 0;
	for (uint32_t i = 0; !err && i < pack_reader_group_count(reader); i++) {
		struct pack_group group = pack_reader_group(reader, i);
		err = pack_reader_begin(reader, i, why);
		for (uint32_t at = 0; !err && at < group.length; at += PACK_CHUNK_SIZE) {
			uint32_t left = group.length - at;
			size_t len = left < PACK_CHUNK_SIZE ? left : PACK_CHUNK_SIZE;
			err = file_pread_all(fd, chunk, len, group.offset + at, why);
			if (!err)
				err = pack_reader_feed(reader, chunk, len, why);
		}
	}
	*ret_memory = mallinfo2().uordblks + mallinfo2().hblkhd - before;
	pack_reader_free(reader);
	if (!err && device->wrong && !device->damaged)
		err = ota_fail(why, OTA_IMAGE_HASH_MISMATCH, "%u segments are wrong",
			       device->wrong);
	return err;
}

/* The CPU-seconds of the second fastest of three. */
static enum ota_err decode_thrice(struct device *device, const struct pack_expected *expected,
				  int fd, double *ret_seconds, size_t *ret_memory,
				  struct ota_why *why)
{
	double taken[3];
	enum ota_err err = OTA_OK;
	for (unsigned i = 0; i < 3 && !err; i++) {
		double start = cpu_seconds(), before;
		err = decode(device, expected, fd, ret_memory, why);
		taken[i] = cpu_seconds() - start;
		for (unsigned k = i; k && taken[k - 1] > taken[k]; k--) {
			before = taken[k];
			taken[k] = taken[k - 1];
			taken[k - 1] = before;
		}
	}
	if (!err)
		*ret_seconds = taken[1];
	return err;
}

/* Bytes of the groups that hold a spoilt segment in a pack without a base. */
static enum ota_err replacement(struct device *device, const struct pack_expected *delta,
				uint64_t *ret_bytes, struct ota_why *why)
{
	struct pack_write_options quick = {.level = 3};
	struct pack_expected expected = *delta;
	struct pack_reader *reader;
	struct pack_result result;
	AUTO_CLOSE int fd = memfd_create("full", MFD_CLOEXEC);
	enum ota_err err = pack_write(&device->image, NULL, &quick, fd, &result, why);
	if (err)
		return err;
	expected.has_base = false;
	expected.pack_size = result.size;
	err = open_pack(device, &expected, fd, &reader, why);
	if (err)
		return err;
	*ret_bytes = 0;
	for (uint32_t i = 0; i < pack_reader_group_count(reader); i++) {
		struct pack_group group = pack_reader_group(reader, i);
		if (memchr(device->spoilt + group.first, 1, group.count))
			*ret_bytes += group.length;
	}
	pack_reader_free(reader);
	return OTA_OK;
}

static enum ota_err damage(struct device *device, const struct pack_expected *expected, int fd,
			   bool anywhere, struct ota_why *why)
{
	size_t blocks = (size_t)(device->base.size / BLOCK) + 1, memory;
	AUTO_FREE uint8_t *damaged = calloc(blocks, 1);
	uint32_t random = 1;
	uint64_t bytes = 0;
	if (!damaged)
		return ota_fail(why, OTA_OUT_OF_MEMORY, "no memory for %zu blocks", blocks);
	for (uint32_t i = 0; i < DAMAGED; i++) {
		random = random * 1664525 + 1013904223;
		damaged[anywhere ? (size_t)((uint64_t)random * blocks >> 32) : i] = 0x55;
	}
	device->damaged = damaged;
	enum ota_err err = decode(device, expected, fd, &memory, why);
	device->damaged = NULL;
	if (!err)
		err = replacement(device, expected, &bytes, why);
	printf(" %u %llu", device->wrong, (unsigned long long)bytes);
	return err;
}

static enum ota_err measure(struct device *device, bool has_base, int fd, bool with_damage,
			    struct ota_why *why)
{
	AUTO(pack_index_done) struct pack_index index = {0};
	struct pack_expected expected = {.has_base = has_base};
	struct pack_result result;
	struct rusage peak;
	size_t memory = 0;
	double start = cpu_seconds();
	enum ota_err err = pack_write(&device->image, has_base ? &device->base : NULL, NULL, fd,
				      &result, why);
	double made = cpu_seconds() - start;
	getrusage(RUSAGE_SELF, &peak);
	if (!err)
		err = pack_index_make(&device->image, 0, NULL, &index, why);
	if (!err && has_base)
		err = digest_of(device->base.bytes, (size_t)device->base.size, &expected.base,
				why);
	if (err)
		return err;
	device->segment_size = expected.segment_size = index.segment_size;
	AUTO_FREE uint8_t *spoilt = calloc(index.size / DIGEST_SIZE, 1);
	if (!spoilt)
		return ota_fail(why, OTA_OUT_OF_MEMORY, "no memory for the segments' marks");
	device->spoilt = spoilt;
	expected.pack_size = result.size;
	expected.image_size = device->image.size;
	expected.image = index.image;
	expected.base_size = device->base.size;
	double decoded = 0;
	err = decode_thrice(device, &expected, fd, &decoded, &memory, why);
	uint64_t mapped = (device->image.size + device->base.size) / 1024;
	printf("%llu %.3f %lld %.3f %zu", (unsigned long long)result.size, made,
	       (long long)peak.ru_maxrss - (long long)mapped, decoded, memory / 1024);
	if (!err && with_damage)
		err = damage(device, &expected, fd, false, why);
	if (!err && with_damage)
		err = damage(device, &expected, fd, true, why);
	printf("\n");
	return err;
}

int main(int argc, char **argv)
{
	struct device device = {0};
	struct ota_why why = {0};
	if (argc != 4 && argc != 5) {
		fprintf(stderr, "usage: pack_cost BASE|- IMAGE PACK [damage]\n");
		return 2;
	}
	bool has_base = strcmp(argv[1], "-") != 0;
	AUTO_CLOSE int fd = open(argv[3], O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	enum ota_err err = pack_image_open(argv[2], &device.image, &why);
	if (!err && has_base)
		err = pack_image_open(argv[1], &device.base, &why);
	if (!err)
		err = measure(&device, has_base, fd, argc == 5, &why);
	if (err)
		fprintf(stderr, "pack_cost: %s\n", why.text);
	pack_image_close(&device.image);
	pack_image_close(&device.base);
	return err != OTA_OK;
}
