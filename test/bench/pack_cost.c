/* pack_cost BASE IMAGE PACK: makes a pack, or with BASE "-" one without a base, decodes it
 * again, and prints what that took: bytes, CPU-seconds to make, peak KiB resident to make,
 * CPU-seconds to decode, KiB to decode. */
#include "file.h"
#include "own.h"
#include "pack_read.h"
#include "pack_write.h"

#include <fcntl.h>
#include <malloc.h>
#include <string.h>
#include <sys/resource.h>

struct device {
	struct pack_image image, base;
	uint32_t segment_size, wrong;
};

static enum ota_err base_read(void *ctx, uint64_t offset, void *ret_bytes, size_t len,
			      struct ota_why *why)
{
	const struct device *device = ctx;
	(void)why;
	memcpy(ret_bytes, device->base.bytes + offset, len);
	return OTA_OK;
}

static enum ota_err segment(void *ctx, uint32_t number, const void *bytes, size_t len,
			    struct ota_why *why)
{
	struct device *device = ctx;
	(void)why;
	device->wrong += memcmp(device->image.bytes + (size_t)number * device->segment_size,
				bytes, len) != 0;
	return OTA_OK;
}

static double cpu_seconds(void)
{
	struct rusage use;
	getrusage(RUSAGE_SELF, &use);
	return (double)(use.ru_utime.tv_sec + use.ru_stime.tv_sec) +
	       (double)(use.ru_utime.tv_usec + use.ru_stime.tv_usec) / 1e6;
}

static enum ota_err decode(struct device *device, const struct pack_expected *expected, int fd,
			   size_t *ret_memory, struct ota_why *why)
{
	static uint8_t chunk[PACK_CHUNK_SIZE];
	struct pack_read_seam seam = {device, base_read, segment};
	struct pack_reader *reader;
	size_t before = mallinfo2().uordblks + mallinfo2().hblkhd, used = 0;
	enum ota_err err = pack_reader_new(expected, &seam, &reader, why);
	for (uint64_t at = 0; !err && !pack_reader_is_ready(reader); at += used) {
		uint64_t left = expected->pack_size - at;
		size_t len = left < sizeof chunk ? (size_t)left : sizeof chunk;
		err = file_pread_all(fd, chunk, len, at, why);
		if (!err)
			err = pack_reader_head(reader, chunk, len, &used, why);
	}
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
	if (!err && device->wrong)
		err = ota_fail(why, OTA_IMAGE_HASH_MISMATCH, "%u segments are wrong",
			       device->wrong);
	return err;
}

static enum ota_err measure(struct device *device, bool has_base, int fd, struct ota_why *why)
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
	expected.pack_size = result.size;
	expected.image_size = device->image.size;
	expected.image = index.image;
	expected.base_size = device->base.size;
	start = cpu_seconds();
	err = decode(device, &expected, fd, &memory, why);
	printf("%llu %.3f %ld %.3f %zu\n", (unsigned long long)result.size, made,
	       peak.ru_maxrss, cpu_seconds() - start, memory / 1024);
	return err;
}

int main(int argc, char **argv)
{
	struct device device = {0};
	struct ota_why why = {0};
	if (argc != 4) {
		fprintf(stderr, "usage: pack_cost BASE|- IMAGE PACK\n");
		return 2;
	}
	bool has_base = strcmp(argv[1], "-") != 0;
	AUTO_CLOSE int fd = open(argv[3], O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	enum ota_err err = pack_image_open(argv[2], &device.image, &why);
	if (!err && has_base)
		err = pack_image_open(argv[1], &device.base, &why);
	if (!err)
		err = measure(&device, has_base, fd, &why);
	if (err)
		fprintf(stderr, "pack_cost: %s\n", why.text);
	pack_image_close(&device.image);
	pack_image_close(&device.base);
	return err != OTA_OK;
}
