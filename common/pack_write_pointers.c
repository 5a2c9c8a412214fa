#include "pack_write_delta.h"

#include <elf.h>
#include <string.h>

#define HIGH_SLOTS   1024u
#define BLOCK_LOG    21 /* images are laid out in blocks of 2 MiB */
#define POINTERS_MIN 256u

static uint32_t load(const uint8_t *at)
{
	uint32_t word;
	memcpy(&word, at, sizeof word);
	return word;
}

/* The executable segment of an ELF file: its address less its offset. */
static bool elf_origin(const struct pack_image *base, uint32_t *ret_origin)
{
	Elf64_Ehdr elf;
	if (base->size < sizeof elf)
		return false;
	memcpy(&elf, base->bytes, sizeof elf);
	if (memcmp(elf.e_ident, ELFMAG, SELFMAG) != 0 || elf.e_ident[EI_CLASS] != ELFCLASS64 ||
	    elf.e_phentsize != sizeof(Elf64_Phdr))
		return false;
	for (unsigned i = 0; i < elf.e_phnum; i++) {
		Elf64_Phdr segment;
		uint64_t at = elf.e_phoff + i * sizeof segment;
		if (at > base->size || base->size - at < sizeof segment)
			return false;
		memcpy(&segment, base->bytes + at, sizeof segment);
		if (segment.p_type == PT_LOAD && segment.p_flags & PF_X) {
			*ret_origin = (uint32_t)(segment.p_vaddr - segment.p_offset);
			return true;
		}
	}
	return false;
}

/* The high half of kernel addresses that is met most. */
static uint32_t common_high(const struct pack_image *base)
{
	uint32_t slots[HIGH_SLOTS] = {0}, highs[HIGH_SLOTS] = {0}, best = 0;
	for (uint64_t at = 0; at + 8 <= base->size; at += 8) {
		uint32_t high = load(base->bytes + at + 4);
		if (high >> 16 != 0xffff || high == UINT32_MAX)
			continue;
		uint32_t slot = (high * 0x9e3779b1u) >> 22;
		if (slots[slot] && highs[slot] != high) {
			slots[slot]--;
			continue;
		}
		highs[slot] = high;
		slots[slot]++;
		if (slots[slot] > slots[best])
			best = slot;
	}
	return slots[best] >= POINTERS_MIN && slots[best] > base->size / 8192 ? highs[best] : 0;
}

/* The first block of 2 MiB into which a fair number of them point. */
static uint32_t first_block(const struct pack_image *base, uint32_t high)
{
	uint32_t counts[1u << (32 - BLOCK_LOG)] = {0}, block = 0;
	for (uint64_t at = 0; at + 8 <= base->size; at += 8)
		if (load(base->bytes + at + 4) == high)
			counts[load(base->bytes + at) >> BLOCK_LOG]++;
	while (block + 1 < 1u << (32 - BLOCK_LOG) && counts[block] < POINTERS_MIN / 16)
		block++;
	return block << BLOCK_LOG;
}

struct pack_pointers pack_pointers_find(const struct pack_image *base)
{
	struct pack_pointers pointers = {0};
	if (elf_origin(base, &pointers.origin)) {
		pointers.known = true;
		return pointers;
	}
	pointers.high = common_high(base);
	if (pointers.high) {
		pointers.known = true;
		pointers.origin = first_block(base, pointers.high);
	}
	return pointers;
}
