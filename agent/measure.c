/* ELF: the end of the farthest segment and of the section table (gABI 4.1, "Object Files").
 * squashfs: bytes_used (Documentation/filesystems/squashfs.rst). ext: the block count of the
 * superblock at 1024 (Documentation/filesystems/ext4/super.rst). */
#include "measure.h"

#include <stdbool.h>
#include <string.h>

#define SQUASHFS_USED 40u
#define EXT_SUPER     1024u
#define EXT_BLOCKS    (EXT_SUPER + 4)
#define EXT_LOG_SIZE  (EXT_SUPER + 24)
#define EXT_MAGIC     (EXT_SUPER + 56)

struct head {
	const uint8_t *bytes;
	size_t len;
	bool big; /* endian */
};

/* An unsigned number of `size` bytes; 0 beyond the head. */
static uint64_t number_at(const struct head *head, uint64_t at, unsigned size)
{
	uint64_t value = 0;

	if (at > head->len || head->len - at < size)
		return 0;
	for (unsigned i = 0; i < size; i++)
		value = value << 8 | head->bytes[at + (head->big ? i : size - 1 - i)];
	return value;
}

static uint64_t greater_end(uint64_t end, uint64_t offset, uint64_t size)
{
	/* What is not sane is not believed. */
	if (offset > UINT64_MAX / 2 || size > UINT64_MAX / 2 || offset + size < end)
		return end;
	return offset + size;
}

static uint64_t measure_elf(struct head *head)
{
	const bool wide = number_at(head, 4, 1) == 2;
	const unsigned word = wide ? 8 : 4;

	head->big = number_at(head, 5, 1) == 2;
	const uint64_t segments = number_at(head, wide ? 32 : 28, word);
	const uint64_t sections = number_at(head, wide ? 40 : 32, word);
	const uint64_t segment_size = number_at(head, wide ? 54 : 42, 2);
	const uint64_t segment_count = number_at(head, wide ? 56 : 44, 2);
	const uint64_t section_size = number_at(head, wide ? 58 : 46, 2);
	const uint64_t section_count = number_at(head, wide ? 60 : 48, 2);
	uint64_t end = greater_end(0, sections, sections ? section_size * section_count : 0);

	for (uint64_t i = 0; i < segment_count; i++) {
		const uint64_t at = segments + i * segment_size;

		end = greater_end(end, number_at(head, at + (wide ? 8 : 4), word),
				  number_at(head, at + (wide ? 32 : 16), word));
	}
	return end;
}

uint64_t measure_image(const uint8_t *bytes, size_t len)
{
	struct head head = {.bytes = bytes, .len = len};

	if (len > 64 && !memcmp(bytes, "\177ELF", 4))
		return measure_elf(&head);
	if (len > SQUASHFS_USED + 8 && !memcmp(bytes, "hsqs", 4))
		return number_at(&head, SQUASHFS_USED, 8);
	if (number_at(&head, EXT_MAGIC, 2) == 0xef53 && number_at(&head, EXT_LOG_SIZE, 4) <= 6)
		return number_at(&head, EXT_BLOCKS, 4)
		       << (10 + number_at(&head, EXT_LOG_SIZE, 4));
	return 0;
}
