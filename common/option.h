/* Configuration: one table of rows is the parser, the help text, the man page's table and the
 * sample file. Unknown key, value out of range or of the wrong form, missing required key:
 * refused, naming where (file and line, or "plugin_opt_x"), the key and what is allowed. */
#pragma once

#include "text.h"

enum option_kind {
	OPTION_STRING, /* char *, allocated */
	OPTION_NUMBER, /* uint64_t, min … max; suffixes k, M, G (1024) allowed where `bytes` */
	OPTION_DURATION, /* uint64_t milliseconds, min … max; "250ms", "30s", "5m", "24h", "7d";
			    a unit is required but for 0 */
	OPTION_BOOL,	 /* bool: true or false */
	OPTION_CHOICE,	 /* int: index into names */
	OPTION_PATH,	 /* char *, allocated; must be absolute */
	OPTION_LIST,	 /* char **, NULL-terminated: the key may stand several times */
};

#define OPTION_VALUE_MAX 4096 /* a path's length */
#define OPTION_FILE_MAX	 (256u << 10)
#define OPTION_ROWS_MAX	 128
#define OPTION_LIST_MAX	 64 /* values of one OPTION_LIST */

struct option_row {
	const char *key; /* NULL ends the table */
	enum option_kind kind;
	size_t offset;
	uint64_t min, max; /* numbers and durations; max 0: no limit */
	/* Default as text. NULL: required (strings, paths and lists only). "": none (NULL, an
	 * empty list, 0, false, the first choice). */
	const char *fallback;
	const char *const *names; /* choices; ends with NULL */
	const char *help;	  /* one sentence */
	bool bytes;		  /* OPTION_NUMBER: k, M, G may follow */
};

/* Puts the defaults; the struct must be zeroed or hold an earlier option_defaults(). */
enum ota_err option_defaults(const struct option_row *rows, void *ret,
			     struct ota_why *why) OTA_CHECKED;
/* One key; `where` names the place for the error. */
enum ota_err option_set(const struct option_row *rows, void *ret, const char *key,
			const char *value, const char *where, struct ota_why *why) OTA_CHECKED;
/* `key = value` lines, `#` comments, blank lines; a key but a list's at most once. The defaults
 * must be there already; option_complete() is the caller's. */
enum ota_err option_read_file(const struct option_row *rows, void *ret, const char *path,
			      struct ota_why *why) OTA_CHECKED;
/* Every required key has a value. */
enum ota_err option_complete(const struct option_row *rows, const void *ret, const char *where,
			     struct ota_why *why) OTA_CHECKED;
void option_done(const struct option_row *rows, void *options);
/* "key  kind, range, default — help" lines; and a commented sample file. */
void option_help(const struct option_row *rows, struct text *to);
void option_sample(const struct option_row *rows, struct text *to);
