#include "text.h"

#include "own.h"

#include <assert.h>
#include <string.h>

void text_done(struct text *text)
{
	free(text->data);
	*text = (struct text){0};
}

/* Room for `more` bytes and the NUL. */
static bool text_grow(struct text *text, size_t more)
{
	if (text->failed)
		return false;
	if (text->data && more < text->room - text->len)
		return true;
	if (more > TEXT_LEN_MAX || text->len + more > TEXT_LEN_MAX) {
		text->failed = true;
		return false;
	}
	size_t room = text->room ? text->room : 64;

	while (room <= text->len + more)
		room *= 2;
	char *data = realloc(text->data, room);

	if (!data) {
		text->failed = true;
		return false;
	}
	text->data = data;
	text->room = room;
	return true;
}

void text_add(struct text *text, const void *bytes, size_t len)
{
	if (!text_grow(text, len))
		return;
	if (len)
		memcpy(text->data + text->len, bytes, len);
	text->len += len;
	text->data[text->len] = '\0';
}

void text_put(struct text *text, const char *string)
{
	text_add(text, string, strlen(string));
}

void text_printf(struct text *text, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	text_vprintf(text, format, args);
	va_end(args);
}

void text_vprintf(struct text *text, const char *format, va_list args)
{
	va_list again;

	va_copy(again, args);
	int len = vsnprintf(NULL, 0, format, again);

	va_end(again);
	if (len < 0) {
		text->failed = true;
		return;
	}
	if (!text_grow(text, (size_t)len))
		return;
	vsnprintf(text->data + text->len, (size_t)len + 1, format, args);
	text->len += (size_t)len;
}

enum ota_err text_take(struct text *text, char **ret_string, struct ota_why *why)
{
	text_add(text, "", 0); /* an empty text is a string too */
	if (text->failed) {
		text_done(text);
		return ota_fail(why, OTA_OUT_OF_MEMORY, "no memory for a text");
	}
	*ret_string = TAKE(text->data);
	text_done(text);
	return OTA_OK;
}

bool text_copy(char *to, size_t size, const char *from)
{
	size_t len = strnlen(from, size);

	assert(size > 0);
	if (len < size) {
		memcpy(to, from, len + 1);
		return true;
	}
	memcpy(to, from, size - 1);
	to[size - 1] = '\0';
	return false;
}

void text_from_digest(char to[TEXT_HEX32_SIZE], const uint8_t digest[32])
{
	static const char digits[] = "0123456789abcdef";

	for (size_t i = 0; i < 32; i++) {
		to[2 * i] = digits[digest[i] >> 4];
		to[2 * i + 1] = digits[digest[i] & 15];
	}
	to[64] = '\0';
}

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	return -1;
}

bool text_to_bytes(const char *hex, uint8_t *to, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		int high = hex_digit(hex[2 * i]);
		int low = high < 0 ? -1 : hex_digit(hex[2 * i + 1]);

		if (low < 0)
			return false;
		to[i] = (uint8_t)(high << 4 | low);
	}
	return hex[2 * len] == '\0';
}

static const char base64_digits[] =
	"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

enum ota_err text_base64(const void *bytes, size_t len, char **ret_text, struct ota_why *why)
{
	const uint8_t *from = bytes;
	size_t groups = (len + 2) / 3, at = 0;
	char *to = len > TEXT_LEN_MAX ? NULL : malloc(groups * 4 + 1);

	if (!to)
		return ota_fail(why, OTA_OUT_OF_MEMORY, "no memory for %zu bytes of base64",
				len);
	for (size_t i = 0; i < len; i += 3) {
		size_t rest = len - i;
		uint32_t bits = (uint32_t)from[i] << 16;

		if (rest > 1)
			bits |= (uint32_t)from[i + 1] << 8;
		if (rest > 2)
			bits |= from[i + 2];
		to[at++] = base64_digits[bits >> 18];
		to[at++] = base64_digits[bits >> 12 & 63];
		to[at++] = rest > 1 ? base64_digits[bits >> 6 & 63] : '=';
		to[at++] = rest > 2 ? base64_digits[bits & 63] : '=';
	}
	to[at] = '\0';
	*ret_text = to;
	return OTA_OK;
}

static int base64_digit(char c)
{
	if (c >= 'A' && c <= 'Z')
		return c - 'A';
	if (c >= 'a' && c <= 'z')
		return c - 'a' + 26;
	if (c >= '0' && c <= '9')
		return c - '0' + 52;
	return c == '+' ? 62 : c == '/' ? 63 : -1;
}

/* Four digits to three bytes; `digits` of them are not padding. False when the unused bits of
 * the last digit are set: each byte string has one text only. */
static bool unbase64_group(const char *text, size_t digits, uint8_t *to)
{
	uint32_t bits = 0;

	for (size_t i = 0; i < 4; i++) {
		int digit = i < digits ? base64_digit(text[i]) : 0;

		if (digit < 0)
			return false;
		bits = bits << 6 | (uint32_t)digit;
	}
	if ((digits == 2 && (bits & 0xffff)) || (digits == 3 && (bits & 0xff)))
		return false;
	for (size_t i = 0; i + 1 < digits; i++)
		to[i] = (uint8_t)(bits >> (16 - 8 * i));
	return true;
}

enum ota_err text_unbase64(const char *text, size_t text_len, size_t max, uint8_t **ret_bytes,
			   size_t *ret_len, struct ota_why *why)
{
	if (text_len % 4 != 0)
		return ota_fail(why, OTA_BAD_REQUEST, "base64 of %zu digits is not whole",
				text_len);
	size_t pad = 0;

	while (pad < 2 && pad < text_len && text[text_len - 1 - pad] == '=')
		pad++;
	size_t len = text_len / 4 * 3 - pad;

	if (len > max)
		return ota_fail(why, OTA_TOO_LARGE,
				"base64 of %zu bytes, at most %zu are allowed", len, max);
	AUTO_FREE uint8_t *bytes = malloc(len + 1);

	if (!bytes)
		return ota_fail(why, OTA_OUT_OF_MEMORY, "no memory for %zu bytes", len);
	for (size_t i = 0; i < text_len; i += 4) {
		bool last = i + 4 == text_len;

		if (!unbase64_group(text + i, last ? 4 - pad : 4, bytes + i / 4 * 3))
			return ota_fail(why, OTA_BAD_REQUEST, "not base64 at digit %zu", i);
	}
	bytes[len] = 0;
	*ret_bytes = TAKE(bytes);
	*ret_len = len;
	return OTA_OK;
}

size_t text_utf8_next(const char *bytes, size_t len, uint32_t *ret_code)
{
	if (len == 0)
		return 0;
	uint8_t lead = (uint8_t)bytes[0];

	if (lead < 0x80) {
		*ret_code = lead;
		return 1;
	}
	size_t size = lead >= 0xf0 ? 4 : lead >= 0xe0 ? 3 : 2;

	if (lead < 0xc2 || lead > 0xf4 || len < size)
		return 0;
	uint32_t code = lead & (0x7fu >> size);

	for (size_t i = 1; i < size; i++) {
		uint8_t byte = (uint8_t)bytes[i];

		if ((byte & 0xc0) != 0x80)
			return 0;
		code = code << 6 | (byte & 0x3fu);
	}
	static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};

	if (code < least[size] || code > 0x10ffff || (code >= 0xd800 && code <= 0xdfff))
		return 0;
	*ret_code = code;
	return size;
}

/* Characters that are seen only by what they do to others: a name could be made to look like
 * another one. */
static bool is_formatting(uint32_t code)
{
	static const struct {
		uint32_t first, last;
	} ranges[] = {
		{0xad, 0xad},	  {0x34f, 0x34f},   {0x61c, 0x61c},	{0x115f, 0x1160},
		{0x17b4, 0x17b5}, {0x180b, 0x180f}, {0x200b, 0x200f},	{0x202a, 0x202e},
		{0x2060, 0x206f}, {0x3164, 0x3164}, {0xfe00, 0xfe0f},	{0xfeff, 0xfeff},
		{0xffa0, 0xffa0}, {0xfff9, 0xfffb}, {0xe0000, 0xe0fff},
	};

	for (size_t i = 0; i < sizeof(ranges) / sizeof(ranges[0]); i++) {
		if (code >= ranges[i].first && code <= ranges[i].last)
			return true;
	}
	return false;
}

static bool is_control(uint32_t code, bool lines)
{
	if (lines && (code == '\n' || code == '\t'))
		return false;
	return code < 0x20 || (code >= 0x7f && code < 0xa0) || code == 0x2028 || code == 0x2029;
}

void text_sanitize(char *to, size_t size, const char *from, size_t len, bool lines)
{
	size_t at = 0, used = 0;

	assert(size > 0);
	while (at < len) {
		uint32_t code = 0;
		size_t step = text_utf8_next(from + at, len - at, &code);
		bool shown = step > 0 && !is_control(code, lines);

		if (step > 0 && is_formatting(code)) {
			at += step;
			continue;
		}
		if (used + (shown ? step : 1) >= size)
			break;
		if (shown) {
			memcpy(to + used, from + at, step);
			used += step;
		} else {
			to[used++] = '?';
		}
		at += step ? step : 1;
	}
	to[used] = '\0';
}

bool text_to_u64(const char *text, uint64_t max, uint64_t *ret_value)
{
	uint64_t value = 0;

	if (!*text)
		return false;
	for (; *text; text++) {
		if (*text < '0' || *text > '9')
			return false;
		uint64_t digit = (uint64_t)(*text - '0');

		if (digit > max || value > (max - digit) / 10)
			return false;
		value = value * 10 + digit;
	}
	*ret_value = value;
	return true;
}
