/* The strict reading of JSON text, token by token (RFC 8259, and less). json.h is built on it;
 * nobody else needs it.
 *
 * There is no parser of another's underneath: what the strict rules must see (duplicates, exact
 * integers, escapes, where a value begins and ends) a tree of doubles no longer shows. A text
 * that passes is also read alike by every other JSON parser. */
#pragma once

#include "text.h"

#define JSON_DEPTH_MAX	 8
#define JSON_INT_MAX	 (UINT64_C(1) << 53) /* the largest that every reader keeps exact */
#define JSON_MEMBERS_MAX 64 /* of one object: telling duplicates apart stays cheap */
#define JSON_PATH_SIZE	 128

struct json_scan {
	const char *start, *at, *end;
	unsigned depth;
	enum ota_err err; /* what a malformed text is called */
	const char *what; /* for messages */
	char path[JSON_PATH_SIZE];
	struct ota_why *why;
};

struct json_name {
	const char *at;
	size_t len;
};

/* The members seen of one object. */
struct json_names {
	struct json_name list[JSON_MEMBERS_MAX];
	size_t count;
};

enum ota_err json_scan_begin(struct json_scan *scan, const char *text, size_t len, size_t max,
			     struct ota_why *why) OTA_CHECKED;
/* Nothing but white space may be left. */
enum ota_err json_scan_end(struct json_scan *scan) OTA_CHECKED;

/* Fails with "<what>: '<path>' <sentence>". */
enum ota_err json_scan_fail(struct json_scan *scan, const char *format, ...)
	__attribute__((format(printf, 2, 3))) OTA_CHECKED;
/* The path of what is being read: ".name" or "[i]" is put behind it; returns the length to give
 * to json_scan_leave(). */
size_t json_scan_enter_name(struct json_scan *scan, struct json_name name);
size_t json_scan_enter_index(struct json_scan *scan, uint32_t index);
void json_scan_leave(struct json_scan *scan, size_t path_len);

/* The next token's first character, behind white space; 0 at the end. */
char json_scan_peek(struct json_scan *scan);
/* Reads '{' or '['. */
enum ota_err json_scan_open(struct json_scan *scan, char bracket) OTA_CHECKED;
/* Reads the comma before the next element, or the closing bracket; *ret_more says which.
 * `first`: no comma yet. */
enum ota_err json_scan_more(struct json_scan *scan, char bracket, bool first,
			    bool *ret_more) OTA_CHECKED;
/* Reads a member's name and the colon. A name that was there before is refused, and so is an
 * escape in a name: each name has one form. */
enum ota_err json_scan_name(struct json_scan *scan, struct json_names *names,
			    struct json_name *ret_name) OTA_CHECKED;
/* Puts at most room - 1 bytes and a NUL (to may be NULL when room is 0); *ret_len is the length
 * of all. */
enum ota_err json_scan_string(struct json_scan *scan, char *to, size_t room,
			      size_t *ret_len) OTA_CHECKED;
enum ota_err json_scan_integer(struct json_scan *scan, uint64_t *ret_value) OTA_CHECKED;
enum ota_err json_scan_bool(struct json_scan *scan, bool *ret_value) OTA_CHECKED;
/* Reads any value. */
enum ota_err json_scan_skip(struct json_scan *scan) OTA_CHECKED;
