/* Strict JSON, read and written from one table.
 *
 * A struct json_shape describes a C struct member by member; json_read() fills the struct from
 * a text and json_write() makes the text again. Reading is strict (PROTOCOL.md section 3):
 * nothing after the end, no member twice or unknown, names case-sensitive and without escapes,
 * integers exact and within their range, valid UTF-8, no NUL, bounded size and depth. Every
 * member is required unless it is marked optional. The error names the member by its path
 * ("packs[2].sha256") and what is allowed. */
#pragma once

#include "digest.h"
#include "json_scan.h"
#include "text.h"

#define JSON_SIZE_MAX (64u << 10) /* documents; messages give their own limit */

enum json_kind {
	JSON_U64,    /* uint64_t, min … max (max 0 means JSON_INT_MAX) */
	JSON_U32,    /* uint32_t, min … max (max 0 means UINT32_MAX) */
	JSON_BOOL,   /* bool */
	JSON_STRING, /* char[size]: at least `min` and at most size - 1 bytes of UTF-8, matching
			`check` */
	JSON_TEXT,   /* char *, allocated: `min` to `max` bytes, matching `check` */
	JSON_DIGEST, /* struct digest, 64 lower-case hexadecimal digits */
	JSON_BYTES,  /* uint8_t[size], 2 × size lower-case hexadecimal digits */
	JSON_ENUM,   /* an int-sized enum; `names` lists the words from value 0, ends with NULL;
			a "" entry stands for a value that has no word and is refused */
	JSON_OBJECT, /* a nested struct of `shape` */
	JSON_ARRAY,  /* an allocated array of elements of `size` bytes: pointer at `offset`,
			uint32_t count at `count_offset`, min … max elements, each read as
			`element` says (whose offset is 0) */
	JSON_RAW, /* char *, allocated: any JSON object, kept as compact text of ≤ max bytes */
};

enum json_flag {
	JSON_REQUIRED = 0,
	/* Absent: the field keeps all-zero bytes, and `has` (if given) false. Written only when
	 * `has` is true or, without one, when it is not zero, NULL, empty or false. */
	JSON_OPTIONAL = 1,
};

struct json_shape;

struct json_field {
	const char *name; /* NULL ends the table */
	enum json_kind kind;
	enum json_flag flag;
	size_t offset, size;
	uint64_t min, max;
	/* Strings: NULL, or says whether the text is of the right syntax; `allowed` is quoted
	 * in the error ("1 to 64 of A-Z a-z 0-9 . _ -"). */
	bool (*check)(const char *text);
	const char *allowed;
	const char *const *names;
	const struct json_shape *shape;	  /* JSON_OBJECT */
	const struct json_field *element; /* JSON_ARRAY */
	size_t count_offset;		  /* JSON_ARRAY */
	size_t has_offset; /* optional members: a bool set when present; 0: none */
};

struct json_shape {
	const char *what;		 /* "hello", for messages */
	size_t size;			 /* of the struct */
	const struct json_field *fields; /* at most JSON_MEMBERS_MAX */
	bool open; /* members that are not in the table are checked and passed over */
};

/* Fills *ret, which is zeroed first. On failure nothing is allocated and *ret is all zero.
 * `max` bounds len; `err` is what a malformed text is called (OTA_BAD_REQUEST,
 * OTA_MANIFEST_INVALID, …). */
enum ota_err json_read(const struct json_shape *shape, const char *text, size_t len, size_t max,
		       enum ota_err err, void *ret, struct ota_why *why) OTA_CHECKED;
/* Appends compact JSON, members in table order. Fails only for want of memory or when a value
 * breaks its own shape (a programming error, reported as OTA_INTERNAL). */
enum ota_err json_write(const struct json_shape *shape, const void *from, struct text *to,
			struct ota_why *why) OTA_CHECKED;
/* Frees what json_read allocated inside *object, and zeroes it. */
void json_done(const struct json_shape *shape, void *object);

/* For answers made by hand: appends a JSON string with its quotes, escaping what must be. */
void json_put_string(struct text *to, const char *string);
/* Checks that `text` is one strict JSON value of any shape. */
enum ota_err json_check(const char *text, size_t len, size_t max, enum ota_err err,
			struct ota_why *why) OTA_CHECKED;
