/* The command line, taken apart by the verb's own table. */
#pragma once

#include "verb.h"

#include <stdint.h>

#define ARGUMENTS_MAX 2048 /* options and words of one command line */

struct arguments {
	const struct verb *verb;
	struct {
		const struct verb_option *option;
		const char *value;
	} given[ARGUMENTS_MAX];
	unsigned given_count;
	const char *words[ARGUMENTS_MAX];
	unsigned word_count;
	bool help;
};

/* OTA_BAD_REQUEST names the offender and what is allowed. `argv` outlives the result. */
enum ota_err arguments_read(int argc, char *const *argv, struct arguments *ret_arguments,
			    struct ota_why *why) OTA_CHECKED;

/* The value of an option, the last one if given several times; NULL when it was not given. */
const char *arguments_value(const struct arguments *arguments, const char *name);
/* The i-th value of an option that may be given several times; NULL beyond the last. */
const char *arguments_each(const struct arguments *arguments, const char *name, unsigned i);
bool arguments_has(const struct arguments *arguments, const char *name);
/* *ret_number is untouched when the option was not given. */
enum ota_err arguments_number(const struct arguments *arguments, const char *name, uint64_t min,
			      uint64_t max, uint64_t *ret_number,
			      struct ota_why *why) OTA_CHECKED;
/* "90s", "10m", "24h", "7d" → seconds. */
enum ota_err arguments_duration(const struct arguments *arguments, const char *name,
				uint64_t *ret_seconds, struct ota_why *why) OTA_CHECKED;
/* "90 %", "90", "0.5" → parts of ten thousand. */
enum ota_err arguments_share(const char *text, const char *what, uint32_t *ret_share,
			     struct ota_why *why) OTA_CHECKED;
