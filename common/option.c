#include "option.h"

#include "file.h"
#include "own.h"

#include <assert.h>
#include <inttypes.h>
#include <string.h>

static const struct {
	const char *suffix;
	uint64_t factor;
} duration_units[] =
	{
		{"ms", 1}, {"s", 1000}, {"m", 60000}, {"h", 3600000}, {"d", 86400000},
},
  byte_units[] = {
	  {"", 1},
	  {"k", 1u << 10},
	  {"M", 1u << 20},
	  {"G", 1u << 30},
};

static void *place_of(const struct option_row *row, void *options)
{
	return (char *)options + row->offset;
}

static uint64_t max_of(const struct option_row *row)
{
	return row->max ? row->max : UINT64_MAX;
}

/* The greatest unit that divides the number: 300000 is "5m", 65536 is "64k". */
static void show_number(const struct option_row *row, uint64_t value, char *to, size_t size)
{
	const char *suffix = "";
	uint64_t factor = 1;

	if (row->kind == OPTION_DURATION)
		suffix = value ? "ms" : "";
	for (size_t i = 0; row->kind == OPTION_DURATION && value && i < 5; i++) {
		if (value % duration_units[i].factor == 0) {
			suffix = duration_units[i].suffix;
			factor = duration_units[i].factor;
		}
	}
	for (size_t i = 0; row->bytes && value && i < 4; i++) {
		if (value % byte_units[i].factor == 0) {
			suffix = byte_units[i].suffix;
			factor = byte_units[i].factor;
		}
	}
	snprintf(to, size, "%" PRIu64 "%s", value / factor, suffix);
}

/* What the option takes, as `min … max` or its words. */
static void describe(const struct option_row *row, struct text *to)
{
	char min[32], max[32];

	switch (row->kind) {
	case OPTION_STRING:
		text_put(to, "text");
		break;
	case OPTION_NUMBER:
	case OPTION_DURATION:
		show_number(row, row->min, min, sizeof(min));
		show_number(row, max_of(row), max, sizeof(max));
		text_printf(to, "%s %s to %s",
			    row->kind == OPTION_DURATION ? "duration"
			    : row->bytes		 ? "bytes"
							 : "number",
			    min, row->max ? max : "any");
		break;
	case OPTION_BOOL:
		text_put(to, "true or false");
		break;
	case OPTION_CHOICE:
		for (const char *const *name = row->names; *name; name++)
			text_printf(to, "%s%s", name == row->names ? "" : " | ", *name);
		break;
	case OPTION_PATH:
		text_put(to, "absolute path");
		break;
	case OPTION_LIST:
		text_put(to, "text, may stand several times");
		break;
	}
}

static enum ota_err refuse(const struct option_row *row, const char *value, const char *where,
			   struct ota_why *why)
{
	AUTO(text_done) struct text allowed = {0};
	char shown[80];

	describe(row, &allowed);
	text_sanitize(shown, sizeof(shown), value, strlen(value), false);
	return ota_fail(why, OTA_BAD_REQUEST, "%s: '%s' is '%s', but must be %s", where,
			row->key, shown, allowed.data ? allowed.data : "something else");
}

/* Digits and a suffix; false when it is of another form or too great for 64 bits. */
static bool parse_number(const struct option_row *row, const char *value, uint64_t *ret_number)
{
	char digits[24];
	size_t len = strspn(value, "0123456789");
	uint64_t number, factor = 0;

	if (len == 0 || len >= sizeof(digits))
		return false;
	memcpy(digits, value, len);
	digits[len] = '\0';
	if (!text_to_u64(digits, UINT64_MAX, &number))
		return false;
	const char *suffix = value + len;

	if (row->kind == OPTION_DURATION) {
		for (size_t i = 0; i < 5; i++) {
			if (strcmp(suffix, duration_units[i].suffix) == 0)
				factor = duration_units[i].factor;
		}
		if (!*suffix && number == 0)
			factor = 1;
	} else {
		for (size_t i = 0; i < (row->bytes ? 4 : 1); i++) {
			if (strcmp(suffix, byte_units[i].suffix) == 0)
				factor = byte_units[i].factor;
		}
	}
	if (factor == 0 || number > UINT64_MAX / factor)
		return false;
	*ret_number = number * factor;
	return true;
}

static enum ota_err set_string(char **place, const char *value, struct ota_why *why)
{
	char *copy = strdup(value);

	if (!copy)
		return ota_fail(why, OTA_OUT_OF_MEMORY, "no memory for an option");
	free(*place);
	*place = copy;
	return OTA_OK;
}

static size_t list_count(char *const *list)
{
	size_t count = 0;

	while (list && list[count])
		count++;
	return count;
}

static enum ota_err add_to_list(const struct option_row *row, char ***place, const char *value,
				const char *where, struct ota_why *why)
{
	size_t count = list_count(*place);

	if (count == OPTION_LIST_MAX)
		return ota_fail(why, OTA_BAD_REQUEST,
				"%s: '%s' stands there more than %d times", where, row->key,
				OPTION_LIST_MAX);
	char **more = reallocarray(*place, count + 2, sizeof(*more));

	if (!more)
		return ota_fail(why, OTA_OUT_OF_MEMORY, "no memory for an option");
	*place = more;
	more[count] = more[count + 1] = NULL;
	return set_string(&more[count], value, why);
}

static void list_free(char ***place)
{
	for (size_t i = 0; *place && (*place)[i]; i++)
		free((*place)[i]);
	free(*place);
	*place = NULL;
}

static enum ota_err set_choice(const struct option_row *row, int *place, const char *value,
			       const char *where, struct ota_why *why)
{
	for (int i = 0; row->names[i]; i++) {
		if (strcmp(row->names[i], value) == 0) {
			*place = i;
			return OTA_OK;
		}
	}
	return refuse(row, value, where, why);
}

static enum ota_err set_row(const struct option_row *row, void *options, const char *value,
			    const char *where, struct ota_why *why)
{
	void *place = place_of(row, options);
	uint64_t number;

	switch (row->kind) {
	case OPTION_STRING:
		return *value ? set_string(place, value, why) : refuse(row, value, where, why);
	case OPTION_PATH:
		return *value == '/' ? set_string(place, value, why)
				     : refuse(row, value, where, why);
	case OPTION_LIST:
		return *value ? add_to_list(row, place, value, where, why)
			      : refuse(row, value, where, why);
	case OPTION_NUMBER:
	case OPTION_DURATION:
		if (!parse_number(row, value, &number) || number < row->min ||
		    number > max_of(row))
			return refuse(row, value, where, why);
		*(uint64_t *)place = number;
		return OTA_OK;
	case OPTION_BOOL:
		if (strcmp(value, "true") != 0 && strcmp(value, "false") != 0)
			return refuse(row, value, where, why);
		*(bool *)place = *value == 't';
		return OTA_OK;
	case OPTION_CHOICE:
		return set_choice(row, place, value, where, why);
	}
	return ota_fail(why, OTA_INTERNAL, "option '%s' has no kind", row->key);
}

/* NULL, 0, false or the first choice; frees what was there. */
static void clear_row(const struct option_row *row, void *options)
{
	void *place = place_of(row, options);

	switch (row->kind) {
	case OPTION_STRING:
	case OPTION_PATH:
		free(*(char **)place);
		*(char **)place = NULL;
		break;
	case OPTION_LIST:
		list_free(place);
		break;
	case OPTION_NUMBER:
	case OPTION_DURATION:
		*(uint64_t *)place = 0;
		break;
	case OPTION_BOOL:
		*(bool *)place = false;
		break;
	case OPTION_CHOICE:
		*(int *)place = 0;
		break;
	}
}

enum ota_err option_defaults(const struct option_row *rows, void *ret, struct ota_why *why)
{
	for (const struct option_row *row = rows; row->key; row++) {
		clear_row(row, ret);
		if (!row->fallback || !*row->fallback)
			continue;
		enum ota_err err = set_row(row, ret, row->fallback, "default", why);

		if (err)
			return err;
	}
	return OTA_OK;
}

static const struct option_row *find_row(const struct option_row *rows, const char *key)
{
	for (const struct option_row *row = rows; row->key; row++) {
		if (strcmp(row->key, key) == 0)
			return row;
	}
	return NULL;
}

/* The key that a person may have meant: the most of its letters in the same places. */
static const char *nearest(const struct option_row *rows, const char *key)
{
	const char *best = NULL;
	size_t best_score = 2; /* less alike is no help */

	for (const struct option_row *row = rows; row->key; row++) {
		size_t front = 0, back = 0, len = strlen(row->key), key_len = strlen(key);

		while (front < len && front < key_len && row->key[front] == key[front])
			front++;
		while (back < len - front && front + back < key_len &&
		       row->key[len - 1 - back] == key[key_len - 1 - back])
			back++;
		if (front + back > best_score && 2 * (front + back) >= len) {
			best_score = front + back;
			best = row->key;
		}
	}
	return best;
}

enum ota_err option_set(const struct option_row *rows, void *ret, const char *key,
			const char *value, const char *where, struct ota_why *why)
{
	const struct option_row *row = find_row(rows, key);

	if (row && strlen(value) <= OPTION_VALUE_MAX)
		return set_row(row, ret, value, where, why);
	if (row)
		return ota_fail(why, OTA_BAD_REQUEST, "%s: '%s' has more than %d bytes", where,
				key, OPTION_VALUE_MAX);
	char shown[80];
	const char *near = nearest(rows, key);

	text_sanitize(shown, sizeof(shown), key, strlen(key), false);
	return ota_fail(why, OTA_BAD_REQUEST, "%s: there is no option '%s'%s%s%s", where, shown,
			near ? ", is '" : "", near ? near : "", near ? "' meant?" : "");
}

static char *trim(char *text)
{
	static const char white[] = " \t\r";
	char *first = text + strspn(text, white);
	size_t len = strlen(first);

	while (len > 0 && strchr(white, first[len - 1]))
		len--;
	first[len] = '\0';
	return first;
}

static enum ota_err read_line(const struct option_row *rows, void *ret, char *line,
			      const char *where, bool *seen, struct ota_why *why)
{
	char *key = trim(line);

	if (!*key || *key == '#')
		return OTA_OK;
	char *equals = strchr(key, '=');

	if (!equals)
		return ota_fail(why, OTA_BAD_REQUEST, "%s: 'key = value' expected", where);
	*equals = '\0';
	key = trim(key);
	const struct option_row *row = find_row(rows, key);

	if (row && row->kind != OPTION_LIST && seen[row - rows])
		return ota_fail(why, OTA_BAD_REQUEST, "%s: '%s' stands there a second time",
				where, key);
	if (row)
		seen[row - rows] = true;
	return option_set(rows, ret, key, trim(equals + 1), where, why);
}

enum ota_err option_read_file(const struct option_row *rows, void *ret, const char *path,
			      struct ota_why *why)
{
	bool seen[OPTION_ROWS_MAX] = {false};
	AUTO_FREE char *bytes = NULL;
	size_t len = 0, count = 0;
	enum ota_err err = file_read(path, OPTION_FILE_MAX, &bytes, &len, why);

	while (rows[count].key)
		count++;
	assert(count <= OPTION_ROWS_MAX);
	if (err)
		return err;
	if (strlen(bytes) != len)
		return ota_fail(why, OTA_BAD_REQUEST, "'%s' holds a NUL: not a text file",
				path);
	unsigned number = 0;

	for (char *line = bytes, *next; line; line = next) {
		char where[OTA_WHY_TEXT_MAX / 2];

		next = strchr(line, '\n');
		if (next)
			*next++ = '\0';
		snprintf(where, sizeof(where), "%s:%u", path, ++number);
		err = read_line(rows, ret, line, where, seen, why);
		if (err)
			return err;
	}
	return OTA_OK;
}

enum ota_err option_complete(const struct option_row *rows, const void *ret, const char *where,
			     struct ota_why *why)
{
	for (const struct option_row *row = rows; row->key; row++) {
		bool pointer = row->kind == OPTION_STRING || row->kind == OPTION_PATH ||
			       row->kind == OPTION_LIST;

		if (row->fallback || !pointer ||
		    *(void *const *)((const char *)ret + row->offset))
			continue;
		return ota_fail(why, OTA_BAD_REQUEST, "%s: '%s' is missing: %s", where,
				row->key, row->help);
	}
	return OTA_OK;
}

void option_done(const struct option_row *rows, void *options)
{
	for (const struct option_row *row = rows; row->key; row++)
		clear_row(row, options);
}

void option_help(const struct option_row *rows, struct text *to)
{
	for (const struct option_row *row = rows; row->key; row++) {
		text_printf(to, "%s  ", row->key);
		describe(row, to);
		if (!row->fallback)
			text_put(to, ", required");
		else if (*row->fallback)
			text_printf(to, ", default %s", row->fallback);
		text_printf(to, " — %s\n", row->help);
	}
}

void option_sample(const struct option_row *rows, struct text *to)
{
	for (const struct option_row *row = rows; row->key; row++) {
		text_printf(to, "# %s\n# ", row->help);
		describe(row, to);
		text_printf(to, "%s\n%s%s = %s\n\n", row->fallback ? "" : ", required",
			    row->fallback ? "#" : "", row->key,
			    row->fallback ? row->fallback : "");
	}
}
