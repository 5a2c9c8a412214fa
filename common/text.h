/* Text that grows, and the few conversions that everything needs. */
#pragma once

#include "why.h"

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

/* No text of ours is longer: a runaway append fails instead of eating the machine. */
#define TEXT_LEN_MAX (256u << 20)

/* A growing byte string, always NUL-terminated at data[len] once it holds anything.
 * Zero-initialise; text_done() releases. A failed allocation sets `failed` and makes all
 * further appends do nothing, so callers check once at the end. */
struct text {
	char *data;
	size_t len, room;
	bool failed;
};

void text_done(struct text *text);
void text_add(struct text *text, const void *bytes, size_t len);
void text_put(struct text *text, const char *string);
void text_printf(struct text *text, const char *format, ...)
	__attribute__((format(printf, 2, 3)));
void text_vprintf(struct text *text, const char *format, va_list args)
	__attribute__((format(printf, 2, 0)));
/* Hands over the string (the caller frees), or OTA_OUT_OF_MEMORY if an append had failed. */
enum ota_err text_take(struct text *text, char **ret_string, struct ota_why *why) OTA_CHECKED;

/* Copies at most size - 1 bytes and terminates; true when all of it fitted. */
bool text_copy(char *to, size_t size, const char *from);

#define TEXT_HEX32_SIZE 65 /* 64 digits and a NUL: a SHA-256 in hexadecimal */
void text_from_digest(char to[TEXT_HEX32_SIZE], const uint8_t digest[32]);
/* Exactly 2 × len lower-case digits; false otherwise (`to` is then undefined). */
bool text_to_bytes(const char *hex, uint8_t *to, size_t len);
/* Base64 with padding, no line breaks. Decoding is strict (canonical padding, no white space).
 */
enum ota_err text_base64(const void *bytes, size_t len, char **ret_text,
			 struct ota_why *why) OTA_CHECKED;
enum ota_err text_unbase64(const char *text, size_t text_len, size_t max, uint8_t **ret_bytes,
			   size_t *ret_len, struct ota_why *why) OTA_CHECKED;

/* The length in bytes (1 to 4) of the character that starts at `bytes`, of which `len` are
 * there; 0 when it is not well-formed UTF-8 (RFC 3629: no overlong form, no surrogate, nothing
 * above U+10FFFF). */
size_t text_utf8_next(const char *bytes, size_t len, uint32_t *ret_code);

/* Makes hostile text displayable: valid UTF-8, no control characters (newline and tab kept when
 * `lines`), no bidirectional or zero-width formatting characters, at most size - 1 bytes. What
 * is not displayable becomes '?', formatting characters vanish. */
void text_sanitize(char *to, size_t size, const char *from, size_t len, bool lines);
/* Decimal digits only, no sign, no leading space; false when it is anything else or > max. */
bool text_to_u64(const char *text, uint64_t max, uint64_t *ret_value);
