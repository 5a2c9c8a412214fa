#include "name.h"

#include "digest.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static bool is_lower_or_digit(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
}

static bool is_alphanumeric(char c)
{
	return is_lower_or_digit(c) || (c >= 'A' && c <= 'Z');
}

/* 1 to `max` characters: letters (capitals too, or not), digits and `others`. */
static bool consists_of(const char *text, size_t max, bool capitals, const char *others)
{
	size_t len = 0;

	for (; text[len]; len++) {
		char c = text[len];
		bool plain = capitals ? is_alphanumeric(c) : is_lower_or_digit(c);

		if (len == max || (!plain && !strchr(others, c)))
			return false;
	}
	return len > 0;
}

bool name_is_id(const char *text)
{
	return consists_of(text, 64, true, "._-") && strcmp(text, ".") != 0 &&
	       strcmp(text, "..") != 0;
}

const char *name_next_word(const char *at, size_t *ret_len)
{
	at += strspn(at, " \t");
	*ret_len = strcspn(at, " \t");
	return *ret_len ? at : NULL;
}

bool name_is_product(const char *text)
{
	return consists_of(text, 64, false, "_-");
}

bool name_is_product_or_all(const char *text)
{
	return strcmp(text, "*") == 0 || name_is_product(text);
}

bool name_is_version(const char *text)
{
	return consists_of(text, 64, true, ".+~-");
}

bool name_is_component(const char *text)
{
	return consists_of(text, 32, false, "_-");
}

static uint32_t first_four(const char *text)
{
	struct digest digest;

	if (digest_of(text, strlen(text), &digest, NULL))
		return 0; /* no SHA-256: nothing can be verified either */
	return (uint32_t)digest.bytes[0] << 24 | (uint32_t)digest.bytes[1] << 16 |
	       (uint32_t)digest.bytes[2] << 8 | digest.bytes[3];
}

uint32_t name_shard(const char *device, uint32_t shards)
{
	assert(shards > 0);
	return first_four(device) % shards;
}

uint32_t name_bucket(const char *device, uint64_t release_number)
{
	char text[NAME_SIZE + 24];

	snprintf(text, sizeof(text), "%s/%" PRIu64, device, release_number);
	return first_four(text) % 10000;
}
