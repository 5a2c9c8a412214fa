#include "json_scan.h"

#include <stdio.h>
#include <string.h>

enum ota_err json_scan_begin(struct json_scan *scan, const char *text, size_t len, size_t max,
			     struct ota_why *why)
{
	scan->start = scan->at = text;
	scan->end = text + len;
	scan->depth = 0;
	scan->path[0] = '\0';
	scan->why = why;
	if (len > max)
		return ota_fail(why, scan->err, "%s: %zu bytes, at most %zu are allowed",
				scan->what, len, max);
	return OTA_OK;
}

enum ota_err json_scan_fail(struct json_scan *scan, const char *format, ...)
{
	char sentence[OTA_WHY_TEXT_MAX];
	va_list args;

	va_start(args, format);
	vsnprintf(sentence, sizeof(sentence), format, args);
	va_end(args);
	if (!scan->path[0])
		return ota_fail(scan->why, scan->err, "%s: %s", scan->what, sentence);
	return ota_fail(scan->why, scan->err, "%s: '%s' %s", scan->what, scan->path, sentence);
}

static enum ota_err fail_here(struct json_scan *scan, const char *expected)
{
	return json_scan_fail(scan, "is not JSON at byte %zu: %s expected",
			      (size_t)(scan->at - scan->start), expected);
}

size_t json_scan_enter_name(struct json_scan *scan, struct json_name name)
{
	size_t len = strlen(scan->path), room = sizeof(scan->path) - len;
	char shown[65];

	text_sanitize(shown, sizeof(shown), name.at, name.len, false);
	if (snprintf(scan->path + len, room, "%s%s", len ? "." : "", shown) >= (int)room)
		text_sanitize(scan->path, sizeof(scan->path), scan->path, strlen(scan->path),
			      false); /* no half character at the end */
	return len;
}

size_t json_scan_enter_index(struct json_scan *scan, uint32_t index)
{
	size_t len = strlen(scan->path);

	snprintf(scan->path + len, sizeof(scan->path) - len, "[%u]", index);
	return len;
}

void json_scan_leave(struct json_scan *scan, size_t path_len)
{
	scan->path[path_len] = '\0';
}

char json_scan_peek(struct json_scan *scan)
{
	while (scan->at < scan->end && (*scan->at == ' ' || *scan->at == '\t' ||
					*scan->at == '\n' || *scan->at == '\r'))
		scan->at++;
	return scan->at < scan->end ? *scan->at : '\0';
}

enum ota_err json_scan_end(struct json_scan *scan)
{
	json_scan_peek(scan);
	if (scan->at == scan->end)
		return OTA_OK;
	return fail_here(scan, "the end");
}

enum ota_err json_scan_open(struct json_scan *scan, char bracket)
{
	if (json_scan_peek(scan) != bracket)
		return fail_here(scan, bracket == '{' ? "'{'" : "'['");
	if (scan->depth == JSON_DEPTH_MAX)
		return json_scan_fail(scan, "is nested deeper than %d", JSON_DEPTH_MAX);
	scan->depth++;
	scan->at++;
	return OTA_OK;
}

enum ota_err json_scan_more(struct json_scan *scan, char bracket, bool first, bool *ret_more)
{
	char next = json_scan_peek(scan), close = bracket == '{' ? '}' : ']';

	if (next == close) {
		scan->at++;
		scan->depth--;
		*ret_more = false;
		return OTA_OK;
	}
	if (!first) {
		if (next != ',')
			return fail_here(scan, bracket == '{' ? "',' or '}'" : "',' or ']'");
		scan->at++;
	}
	*ret_more = true;
	return OTA_OK;
}

enum ota_err json_scan_name(struct json_scan *scan, struct json_names *names,
			    struct json_name *ret_name)
{
	struct json_name name;
	size_t len;

	if (json_scan_peek(scan) != '"')
		return fail_here(scan, "a member's name");
	name.at = scan->at + 1;
	enum ota_err err = json_scan_string(scan, NULL, 0, &len);

	if (err)
		return err;
	name.len = (size_t)(scan->at - name.at) - 1;
	if (name.len != len)
		return json_scan_fail(scan, "has an escape in a member's name");
	for (size_t i = 0; i < names->count; i++) {
		if (names->list[i].len != len || memcmp(names->list[i].at, name.at, len) != 0)
			continue;
		json_scan_enter_name(scan, name);
		return json_scan_fail(scan, "stands there twice");
	}
	if (names->count == JSON_MEMBERS_MAX)
		return json_scan_fail(scan, "has more than %d members", JSON_MEMBERS_MAX);
	names->list[names->count++] = name;
	if (json_scan_peek(scan) != ':')
		return fail_here(scan, "':'");
	scan->at++;
	*ret_name = name;
	return OTA_OK;
}

static bool read_hex4(struct json_scan *scan, uint32_t *ret_code)
{
	uint32_t code = 0;

	if (scan->end - scan->at < 4)
		return false;
	for (int i = 0; i < 4; i++) {
		char c = *scan->at++;
		uint32_t digit;

		if (c >= '0' && c <= '9')
			digit = (uint32_t)(c - '0');
		else if (c >= 'a' && c <= 'f')
			digit = (uint32_t)(c - 'a') + 10;
		else if (c >= 'A' && c <= 'F')
			digit = (uint32_t)(c - 'A') + 10;
		else
			return false;
		code = code << 4 | digit;
	}
	*ret_code = code;
	return true;
}

/* Behind "\u": one character, from two escapes when it is a surrogate pair. */
static bool read_unicode(struct json_scan *scan, uint32_t *ret_code)
{
	uint32_t code, low;

	if (!read_hex4(scan, &code) || code == 0 || (code >= 0xdc00 && code <= 0xdfff))
		return false;
	if (code >= 0xd800 && code <= 0xdbff) {
		if (scan->end - scan->at < 2 || memcmp(scan->at, "\\u", 2) != 0)
			return false;
		scan->at += 2;
		if (!read_hex4(scan, &low) || low < 0xdc00 || low > 0xdfff)
			return false;
		code = 0x10000 + ((code - 0xd800) << 10) + (low - 0xdc00);
	}
	*ret_code = code;
	return true;
}

static size_t encode_utf8(uint32_t code, char to[4])
{
	if (code < 0x80) {
		to[0] = (char)code;
		return 1;
	}
	size_t size = code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;
	static const uint8_t lead[] = {0, 0, 0xc0, 0xe0, 0xf0};

	for (size_t i = size - 1; i > 0; i--, code >>= 6)
		to[i] = (char)(0x80 | (code & 0x3f));
	to[0] = (char)(lead[size] | code);
	return size;
}

/* Behind a backslash. */
static bool read_escape(struct json_scan *scan, char to[4], size_t *ret_size)
{
	static const char from_letters[] = "\"\\/bfnrt", to_bytes[] = "\"\\/\b\f\n\r\t";
	uint32_t code;

	if (scan->at == scan->end)
		return false;
	char letter = *scan->at++;
	const char *place = letter ? strchr(from_letters, letter) : NULL;

	if (place) {
		to[0] = to_bytes[place - from_letters];
		*ret_size = 1;
		return true;
	}
	if (letter != 'u' || !read_unicode(scan, &code))
		return false;
	*ret_size = encode_utf8(code, to);
	return true;
}

enum ota_err json_scan_string(struct json_scan *scan, char *to, size_t room, size_t *ret_len)
{
	size_t len = 0;

	if (json_scan_peek(scan) != '"')
		return fail_here(scan, "'\"'");
	for (scan->at++;;) {
		char bytes[4];
		const char *from = scan->at;
		uint32_t code = 0;
		size_t left = (size_t)(scan->end - scan->at);
		size_t size = text_utf8_next(from, left, &code);

		if (left == 0 || code == '"')
			break;
		if (size == 0)
			return fail_here(scan, "UTF-8");
		if (code < 0x20)
			return fail_here(scan, "no control character");
		scan->at += size;
		if (code == '\\') {
			if (!read_escape(scan, bytes, &size))
				return fail_here(scan, "a proper escape");
			from = bytes;
		}
		if (len + size < room)
			memcpy(to + len, from, size);
		else if (len < room)
			room = len + 1; /* what does not fit whole ends it */
		len += size;
	}
	if (scan->at == scan->end)
		return fail_here(scan, "'\"'");
	scan->at++;
	if (room)
		to[len < room ? len : room - 1] = '\0';
	*ret_len = len;
	return OTA_OK;
}

enum ota_err json_scan_integer(struct json_scan *scan, uint64_t *ret_value)
{
	json_scan_peek(scan);
	const char *first = scan->at;
	uint64_t value = 0;

	for (; scan->at < scan->end && *scan->at >= '0' && *scan->at <= '9'; scan->at++) {
		value = value * 10 + (uint64_t)(*scan->at - '0');
		if (value > JSON_INT_MAX)
			return json_scan_fail(scan, "is an integer beyond 2^53");
	}
	size_t digits = (size_t)(scan->at - first);
	char next = scan->at < scan->end ? *scan->at : '\0';

	if (digits == 0 || (digits > 1 && *first == '0') || next == '.' || next == 'e' ||
	    next == 'E')
		return fail_here(scan, "a plain integer");
	*ret_value = value;
	return OTA_OK;
}

static bool read_word(struct json_scan *scan, const char *word)
{
	size_t len = strlen(word);

	json_scan_peek(scan);
	if ((size_t)(scan->end - scan->at) < len || memcmp(scan->at, word, len) != 0)
		return false;
	scan->at += len;
	return true;
}

enum ota_err json_scan_bool(struct json_scan *scan, bool *ret_value)
{
	bool value = read_word(scan, "true");

	if (!value && !read_word(scan, "false"))
		return fail_here(scan, "true or false");
	*ret_value = value;
	return OTA_OK;
}

static enum ota_err skip_object(struct json_scan *scan)
{
	struct json_names names = {.count = 0};
	bool more = true;
	enum ota_err err = json_scan_open(scan, '{');

	for (bool first = true; !err; first = false) {
		struct json_name name;

		err = json_scan_more(scan, '{', first, &more);
		if (err || !more)
			break;
		err = json_scan_name(scan, &names, &name);
		if (err)
			break;
		size_t path = json_scan_enter_name(scan, name);

		err = json_scan_skip(scan);
		if (!err)
			json_scan_leave(scan, path);
	}
	return err;
}

static enum ota_err skip_array(struct json_scan *scan)
{
	bool more = true;
	enum ota_err err = json_scan_open(scan, '[');

	for (bool first = true; !err; first = false) {
		err = json_scan_more(scan, '[', first, &more);
		if (err || !more)
			break;
		err = json_scan_skip(scan);
	}
	return err;
}

enum ota_err json_scan_skip(struct json_scan *scan)
{
	uint64_t integer;
	size_t len;
	bool boolean;

	switch (json_scan_peek(scan)) {
	case '{':
		return skip_object(scan);
	case '[':
		return skip_array(scan);
	case '"':
		return json_scan_string(scan, NULL, 0, &len);
	case 't':
	case 'f':
		return json_scan_bool(scan, &boolean);
	case 'n':
		return read_word(scan, "null") ? OTA_OK : fail_here(scan, "null");
	default:
		return json_scan_integer(scan, &integer);
	}
}
