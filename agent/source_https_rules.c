#include "source_https_rules.h"

#include "text.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#define SCHEME	   "https://"
#define SCHEME_LEN (sizeof(SCHEME) - 1)
#define NUMBER_MAX 20 /* digits of 2^64 */

bool https_url_is_usable(const char *base)
{
	const size_t len = strlen(base);

	if (len > HTTPS_URL_MAX || strncmp(base, SCHEME, SCHEME_LEN) != 0)
		return false;
	if (!base[SCHEME_LEN] || base[SCHEME_LEN] == '/' || base[SCHEME_LEN] == ':')
		return false;
	for (const char *at = base; *at; at++) {
		if (*at <= ' ' || *at > '~' || strchr("?#@\\\"<>^`{|}", *at))
			return false;
	}
	return true;
}

void https_url_origin(const char *base, char *ret_origin, size_t size)
{
	const size_t len = SCHEME_LEN + strcspn(base + SCHEME_LEN, "/");

	snprintf(ret_origin, size, "%.*s", (int)len, base);
}

void https_url_of(const char *base, const struct digest *blob, char ret_url[HTTPS_URL_SIZE])
{
	char hex[TEXT_HEX32_SIZE];
	size_t len = strlen(base);

	while (len && base[len - 1] == '/')
		len--;
	text_from_digest(hex, blob->bytes);
	snprintf(ret_url, HTTPS_URL_SIZE, "%.*s/%.2s/%s", (int)len, base, hex, hex);
}

/* Digits at the beginning of [*at, end); moves *at behind them. */
static bool take_number(const char **at, const char *end, uint64_t *ret_value)
{
	char digits[NUMBER_MAX + 1];
	size_t len = 0;

	while (*at + len < end && len < NUMBER_MAX && (*at)[len] >= '0' && (*at)[len] <= '9')
		len++;
	memcpy(digits, *at, len);
	digits[len] = '\0';
	*at += len;
	return text_to_u64(digits, UINT64_MAX, ret_value);
}

static bool take_char(const char **at, const char *end, char c)
{
	if (*at == end || **at != c)
		return false;
	(*at)++;
	return true;
}

/* `bytes first-last/size`, where the size may be `*`. */
static bool is_range(const char *at, const char *end, const struct https_range *wanted)
{
	const char unit[] = "bytes ";
	uint64_t first, last, size = wanted->size;

	if ((size_t)(end - at) < sizeof(unit) - 1 ||
	    strncasecmp(at, unit, sizeof(unit) - 1) != 0)
		return false;
	at += sizeof(unit) - 1;
	if (!take_number(&at, end, &first) || !take_char(&at, end, '-') ||
	    !take_number(&at, end, &last) || !take_char(&at, end, '/'))
		return false;
	if (!take_char(&at, end, '*') && !take_number(&at, end, &size))
		return false;
	return at == end && first == wanted->first && last == wanted->last &&
	       size == wanted->size;
}

/* The value of the header field, when the line is of that name. */
static bool is_field(const char *line, const char *end, const char *name, const char **ret_at)
{
	const size_t len = strlen(name);

	if ((size_t)(end - line) <= len || strncasecmp(line, name, len) != 0 ||
	    line[len] != ':')
		return false;
	line += len + 1;
	while (line < end && (*line == ' ' || *line == '\t'))
		line++;
	*ret_at = line;
	return true;
}

static void take_field(struct https_head *head, const struct https_range *wanted,
		       const char *line, const char *end)
{
	const char *at;

	if (is_field(line, end, "content-range", &at)) {
		head->has_range = true;
		head->range_is_wrong |= !is_range(at, end, wanted);
	} else if (is_field(line, end, "content-length", &at)) {
		head->has_length = true;
		if (!take_number(&at, end, &head->length) || at != end)
			head->length = UINT64_MAX;
	}
}

/* The three digits behind "HTTP/<version> ". */
static unsigned status_of(const char *line, const char *end)
{
	const char *at = memchr(line, ' ', (size_t)(end - line));
	uint64_t status;

	if (!at || end - at < 4)
		return 0;
	at++;
	return take_number(&at, at + 3, &status) && status <= 999 ? (unsigned)status : 0;
}

static enum ota_err judge(const struct https_head *head, const struct https_range *wanted,
			  struct ota_why *why)
{
	const uint64_t length = wanted->last - wanted->first + 1;

	if (head->status >= 300 && head->status < 400)
		return ota_fail(why, OTA_CHUNK_REFUSED,
				"it redirects (%u), and redirects are not followed",
				head->status);
	if (head->status == 200)
		return ota_fail(why, OTA_CHUNK_REFUSED,
				"it answers with the whole file (200) instead of the range");
	if (head->status != 206)
		return ota_fail(why, OTA_CHUNK_REFUSED, "it answers with status %u",
				head->status);
	if (!head->has_range || head->range_is_wrong)
		return ota_fail(why, OTA_CHUNK_REFUSED,
				"it answers with another range than %llu-%llu/%llu",
				(unsigned long long)wanted->first,
				(unsigned long long)wanted->last,
				(unsigned long long)wanted->size);
	if (head->has_length && head->length != length)
		return ota_fail(why, OTA_CHUNK_REFUSED,
				"it announces %llu bytes for a range of %llu",
				(unsigned long long)head->length, (unsigned long long)length);
	return OTA_OK;
}

enum ota_err https_head_line(struct https_head *head, const struct https_range *wanted,
			     const char *line, size_t len, struct ota_why *why)
{
	const char *end = line + len;

	head->bytes += len;
	if (head->bytes > HTTPS_HEAD_MAX)
		return ota_fail(why, OTA_CHUNK_REFUSED,
				"the header of its answer is longer than %u bytes",
				HTTPS_HEAD_MAX);
	if (head->is_over)
		return OTA_OK; /* trailers */
	while (end > line && (end[-1] == '\n' || end[-1] == '\r' || end[-1] == ' '))
		end--;
	if (end - line >= 5 && !strncasecmp(line, "HTTP/", 5)) {
		const size_t bytes = head->bytes;

		*head = (struct https_head){.bytes = bytes, .status = status_of(line, end)};
		return OTA_OK;
	}
	if (line < end) {
		take_field(head, wanted, line, end);
		return OTA_OK;
	}
	if (head->status >= 100 && head->status < 200)
		return OTA_OK; /* the real answer follows */
	head->is_over = true;
	return judge(head, wanted, why);
}

bool https_head_is_temporary(const struct https_head *head)
{
	return head->status == 408 || head->status == 429 || head->status == 500 ||
	       (head->status >= 502 && head->status <= 504);
}
