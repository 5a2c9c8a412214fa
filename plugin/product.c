#include "release.h"

#include <string.h>

struct group *product_group(const struct product *product, const char *name)
{
	struct group *group = NULL;

	HASH_FIND_STR(product->groups, name, group);
	return group;
}

struct firmware *product_firmware(const struct product *product, const char *version)
{
	for (uint32_t i = 0; i < product->firmware_count; i++) {
		if (strcmp(product->firmwares[i]->version, version) == 0)
			return product->firmwares[i];
	}
	return NULL;
}

struct firmware *product_firmware_by_digest(const struct product *product,
					    const struct digest *digest)
{
	for (uint32_t i = 0; i < product->firmware_count; i++) {
		if (digest_equal(&product->firmwares[i]->digest, digest))
			return product->firmwares[i];
	}
	return NULL;
}

struct release *product_release(const struct product *product, uint64_t number)
{
	uint32_t first = 0, end = product->release_count;

	while (first < end) {
		uint32_t middle = first + (end - first) / 2;
		uint64_t at = product->releases[middle]->document.number;
		if (at == number)
			return product->releases[middle];
		if (at < number)
			first = middle + 1;
		else
			end = middle;
	}
	return NULL;
}

uint64_t product_next_number(const struct product *product)
{
	if (!product->release_count)
		return 1;
	return product->releases[product->release_count - 1]->document.number + 1;
}
