#include "pack_write.h"

#include "own.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

enum ota_err pack_image_open(const char *path, struct pack_image *ret_image,
			     struct ota_why *why)
{
	AUTO_CLOSE int fd = open(path, O_RDONLY | O_CLOEXEC);
	struct stat status;
	if (fd < 0 || fstat(fd, &status) < 0)
		return ota_fail_errno(why, errno == ENOENT ? OTA_NOT_FOUND : OTA_IO_ERROR,
				      errno, "'%s'", path);
	if (!S_ISREG(status.st_mode))
		return ota_fail(why, OTA_IO_ERROR, "'%s' is not a regular file", path);
	if (status.st_size == 0)
		return ota_fail(why, OTA_SIZE_MISMATCH, "'%s' is empty", path);
	void *bytes = mmap(NULL, (size_t)status.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
	if (bytes == MAP_FAILED)
		return ota_fail_errno(why, OTA_IO_ERROR, errno, "'%s'", path);
	*ret_image = (struct pack_image){bytes, (uint64_t)status.st_size};
	return OTA_OK;
}

void pack_image_close(struct pack_image *image)
{
	if (image->bytes)
		munmap((void *)(uintptr_t)image->bytes, (size_t)image->size);
	*image = (struct pack_image){0};
}

enum ota_err pack_index_make(const struct pack_image *image, uint32_t segment_size,
			     const struct digest *image_digest, struct pack_index *ret_index,
			     struct ota_why *why)
{
	if (!segment_size)
		segment_size = PACK_SEGMENT_SIZE_DEFAULT;
	if (!pack_sizes_are_valid(image->size, segment_size))
		return ota_fail(why, OTA_SIZE_MISMATCH,
				"%llu bytes in segments of %u: 1 to %u segments are allowed",
				(unsigned long long)image->size, segment_size,
				PACK_SEGMENTS_MAX);
	uint32_t count = pack_segment_count(image->size, segment_size);
	AUTO_FREE uint8_t *bytes = malloc((size_t)count * DIGEST_SIZE);
	if (!bytes)
		return ota_fail(why, OTA_OUT_OF_MEMORY, "no memory for an index of %u segments",
				count);
	struct pack_index index = {.size = (size_t)count * DIGEST_SIZE,
				   .segment_size = segment_size};
	for (uint32_t i = 0; i < count; i++) {
		struct digest digest;
		enum ota_err err = digest_of(image->bytes + (uint64_t)i * segment_size,
					     pack_segment_length(image->size, segment_size, i),
					     &digest, why);
		if (err)
			return err;
		memcpy(bytes + (size_t)i * DIGEST_SIZE, digest.bytes, DIGEST_SIZE);
	}
	enum ota_err err = digest_of(bytes, index.size, &index.digest, why);
	if (image_digest)
		index.image = *image_digest;
	else if (!err)
		err = digest_of(image->bytes, (size_t)image->size, &index.image, why);
	if (err)
		return err;
	index.bytes = TAKE(bytes);
	*ret_index = index;
	return OTA_OK;
}

void pack_index_done(struct pack_index *index)
{
	free(index->bytes);
	*index = (struct pack_index){0};
}
