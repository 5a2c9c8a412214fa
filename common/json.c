#include "json.h"

#include "own.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static uint64_t max_of(const struct json_field *field)
{
	if (field->max)
		return field->max;
	return field->kind == JSON_U64 ? JSON_INT_MAX : UINT32_MAX;
}

static void describe_words(const struct json_field *field, char *to, size_t size)
{
	size_t len = (size_t)snprintf(to, size, "one of");

	for (const char *const *name = field->names; *name && len < size; name++) {
		if (**name)
			len += (size_t)snprintf(to + len, size - len, " %s", *name);
	}
}

/* What a field's value must be, for the error. */
static void describe(const struct json_field *field, char *to, size_t size)
{
	switch (field->kind) {
	case JSON_U64:
	case JSON_U32:
		snprintf(to, size, "an integer from %" PRIu64 " to %" PRIu64, field->min,
			 max_of(field));
		break;
	case JSON_BOOL:
		snprintf(to, size, "true or false");
		break;
	case JSON_STRING:
	case JSON_TEXT:
		if (field->allowed)
			snprintf(to, size, "text of %s", field->allowed);
		else
			snprintf(to, size, "text of %" PRIu64 " to %" PRIu64 " bytes",
				 field->min,
				 field->kind == JSON_STRING ? field->size - 1 : field->max);
		break;
	case JSON_DIGEST:
		snprintf(to, size, "64 lower-case hexadecimal digits");
		break;
	case JSON_BYTES:
		snprintf(to, size, "%zu lower-case hexadecimal digits", 2 * field->size);
		break;
	case JSON_ENUM:
		describe_words(field, to, size);
		break;
	case JSON_OBJECT:
		snprintf(to, size, "an object");
		break;
	case JSON_ARRAY:
		snprintf(to, size, "an array of %" PRIu64 " to %" PRIu64, field->min,
			 field->max);
		break;
	case JSON_RAW:
		snprintf(to, size, "an object of at most %" PRIu64 " bytes", field->max);
		break;
	}
}

static enum ota_err must_be(struct json_scan *scan, const struct json_field *field)
{
	char allowed[256];

	describe(field, allowed, sizeof(allowed));
	return json_scan_fail(scan, "must be %s", allowed);
}

static char first_of(enum json_kind kind)
{
	switch (kind) {
	case JSON_STRING:
	case JSON_TEXT:
	case JSON_DIGEST:
	case JSON_BYTES:
	case JSON_ENUM:
		return '"';
	case JSON_OBJECT:
	case JSON_RAW:
		return '{';
	case JSON_ARRAY:
		return '[';
	case JSON_U64:
	case JSON_U32:
	case JSON_BOOL:
		break;
	}
	return '\0';
}

static enum ota_err read_integer(struct json_scan *scan, const struct json_field *field,
				 void *place)
{
	uint64_t value;
	char next = json_scan_peek(scan);

	if (next < '0' || next > '9')
		return must_be(scan, field);
	enum ota_err err = json_scan_integer(scan, &value);

	if (err)
		return err;
	if (value < field->min || value > max_of(field))
		return must_be(scan, field);
	if (field->kind == JSON_U64)
		*(uint64_t *)place = value;
	else
		*(uint32_t *)place = (uint32_t)value;
	return OTA_OK;
}

static bool is_allowed(const struct json_field *field, const char *text, size_t len)
{
	uint64_t max = field->kind == JSON_STRING ? field->size - 1 : field->max;

	return len >= field->min && len <= max && (!field->check || field->check(text));
}

static enum ota_err read_string(struct json_scan *scan, const struct json_field *field,
				char *place)
{
	size_t len;
	enum ota_err err = json_scan_string(scan, place, field->size, &len);

	if (!err && !is_allowed(field, place, len))
		return must_be(scan, field);
	return err;
}

static enum ota_err read_text(struct json_scan *scan, const struct json_field *field,
			      char **place)
{
	const char *start = scan->at;
	size_t len;
	enum ota_err err = json_scan_string(scan, NULL, 0, &len);

	if (err)
		return err;
	if (len > field->max)
		return must_be(scan, field);
	*place = malloc(len + 1);
	if (!*place)
		return ota_fail(scan->why, OTA_OUT_OF_MEMORY, "no memory for %zu bytes", len);
	scan->at = start;
	err = json_scan_string(scan, *place, len + 1, &len);
	if (!err && !is_allowed(field, *place, len))
		return must_be(scan, field);
	return err;
}

static enum ota_err read_bytes(struct json_scan *scan, const struct json_field *field,
			       uint8_t *place, size_t size)
{
	char hex[2 * 64 + 1] = "";
	size_t len;

	assert(size <= 64);
	enum ota_err err = json_scan_string(scan, hex, sizeof(hex), &len);

	if (!err && (len != 2 * size || !text_to_bytes(hex, place, size)))
		return must_be(scan, field);
	return err;
}

static enum ota_err read_word(struct json_scan *scan, const struct json_field *field,
			      int *place)
{
	char word[65];
	size_t len;
	enum ota_err err = json_scan_string(scan, word, sizeof(word), &len);

	if (err)
		return err;
	for (int i = 0; len > 0 && len < sizeof(word) && field->names[i]; i++) {
		if (strcmp(field->names[i], word) == 0) {
			*place = i;
			return OTA_OK;
		}
	}
	return must_be(scan, field);
}

/* Copies one JSON value without the white space between its tokens. */
static void compact(char *to, const char *from, const char *end)
{
	bool inside = false;

	for (; from < end; from++) {
		if (inside && *from == '\\')
			*to++ = *from++;
		else if (*from == '"')
			inside = !inside;
		else if (!inside &&
			 (*from == ' ' || *from == '\t' || *from == '\n' || *from == '\r'))
			continue;
		*to++ = *from;
	}
	*to = '\0';
}

static enum ota_err read_raw(struct json_scan *scan, const struct json_field *field,
			     char **place)
{
	const char *start = scan->at;
	enum ota_err err = json_scan_skip(scan);

	if (err)
		return err;
	*place = malloc((size_t)(scan->at - start) + 1);
	if (!*place)
		return ota_fail(scan->why, OTA_OUT_OF_MEMORY, "no memory for '%s'", scan->path);
	compact(*place, start, scan->at);
	return strlen(*place) > field->max ? must_be(scan, field) : OTA_OK;
}

static enum ota_err read_value(struct json_scan *scan, const struct json_field *field,
			       void *place);

/* Room for one more element, zeroed. It is counted at once, so that a failure frees what the
 * element had got so far. */
static enum ota_err add_element(struct json_scan *scan, const struct json_field *field,
				void **place, uint32_t *count)
{
	if (*count == field->max)
		return must_be(scan, field);
	if ((*count & (*count - 1)) == 0) { /* 0 and the powers of two: full */
		size_t room = *count ? 2 * (size_t)*count : 1;
		void *more = reallocarray(*place, room, field->size);

		if (!more)
			return ota_fail(scan->why, OTA_OUT_OF_MEMORY, "no memory for '%s'",
					scan->path);
		*place = more;
	}
	memset((char *)*place + *count * field->size, 0, field->size);
	(*count)++;
	return OTA_OK;
}

static enum ota_err read_array(struct json_scan *scan, const struct json_field *field,
			       void **place, uint32_t *count)
{
	bool more = true;
	enum ota_err err = json_scan_open(scan, '[');

	for (bool first = true; !err; first = false) {
		err = json_scan_more(scan, '[', first, &more);
		if (err || !more)
			break;
		err = add_element(scan, field, place, count);
		if (err)
			break;
		size_t path = json_scan_enter_index(scan, *count - 1);

		err = read_value(scan, field->element,
				 (char *)*place + (*count - 1) * field->size);
		if (!err)
			json_scan_leave(scan, path);
	}
	if (!err && *count < field->min)
		return must_be(scan, field);
	return err;
}

static enum ota_err read_member(struct json_scan *scan, const struct json_shape *shape,
				struct json_name name, void *object, uint64_t *seen)
{
	for (size_t i = 0; shape->fields[i].name; i++) {
		const struct json_field *field = &shape->fields[i];

		if (strlen(field->name) != name.len ||
		    memcmp(field->name, name.at, name.len) != 0)
			continue;
		*seen |= UINT64_C(1) << i;
		if (field->has_offset)
			*(bool *)((char *)object + field->has_offset) = true;
		if (field->kind == JSON_ARRAY)
			return json_scan_peek(scan) != '['
				       ? must_be(scan, field)
				       : read_array(scan, field,
						    (void **)((char *)object + field->offset),
						    (uint32_t *)((char *)object +
								 field->count_offset));
		return read_value(scan, field, (char *)object + field->offset);
	}
	if (shape->open)
		return json_scan_skip(scan);
	return json_scan_fail(scan, "is no member of it");
}

static enum ota_err read_object(struct json_scan *scan, const struct json_shape *shape,
				void *object)
{
	struct json_names names = {.count = 0};
	uint64_t seen = 0;
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

		err = read_member(scan, shape, name, object, &seen);
		if (!err)
			json_scan_leave(scan, path);
	}
	for (size_t i = 0; !err && shape->fields[i].name; i++) {
		const struct json_field *field = &shape->fields[i];

		if (field->flag == JSON_OPTIONAL || seen & UINT64_C(1) << i)
			continue;
		json_scan_enter_name(scan,
				     (struct json_name){field->name, strlen(field->name)});
		err = json_scan_fail(scan, "is missing");
	}
	return err;
}

static enum ota_err read_value(struct json_scan *scan, const struct json_field *field,
			       void *place)
{
	char next = json_scan_peek(scan), first = first_of(field->kind);

	if (first && next != first)
		return must_be(scan, field);
	switch (field->kind) {
	case JSON_U64:
	case JSON_U32:
		return read_integer(scan, field, place);
	case JSON_BOOL:
		return next == 't' || next == 'f' ? json_scan_bool(scan, place)
						  : must_be(scan, field);
	case JSON_STRING:
		return read_string(scan, field, place);
	case JSON_TEXT:
		return read_text(scan, field, place);
	case JSON_DIGEST:
		return read_bytes(scan, field, place, DIGEST_SIZE);
	case JSON_BYTES:
		return read_bytes(scan, field, place, field->size);
	case JSON_ENUM:
		return read_word(scan, field, place);
	case JSON_OBJECT:
		return read_object(scan, field->shape, place);
	case JSON_ARRAY: /* of arrays: the element is a struct of pointer and count */
		return read_array(scan, field, place,
				  (uint32_t *)((char *)place + field->count_offset));
	case JSON_RAW:
		return read_raw(scan, field, place);
	}
	return must_be(scan, field);
}

enum ota_err json_read(const struct json_shape *shape, const char *text, size_t len, size_t max,
		       enum ota_err err, void *ret, struct ota_why *why)
{
	struct json_scan scan = {.err = err, .what = shape->what};

	memset(ret, 0, shape->size);
	enum ota_err failed = json_scan_begin(&scan, text, len, max, why);

	if (!failed && json_scan_peek(&scan) != '{')
		failed = json_scan_fail(&scan, "is not a JSON object");
	if (!failed)
		failed = read_object(&scan, shape, ret);
	if (!failed)
		failed = json_scan_end(&scan);
	if (failed)
		json_done(shape, ret);
	return failed;
}

enum ota_err json_check(const char *text, size_t len, size_t max, enum ota_err err,
			struct ota_why *why)
{
	struct json_scan scan = {.err = err, .what = "text"};
	enum ota_err failed = json_scan_begin(&scan, text, len, max, why);

	if (!failed)
		failed = json_scan_skip(&scan);
	return failed ? failed : json_scan_end(&scan);
}

static void free_members(const struct json_shape *shape, void *object);
static void free_array(const struct json_field *field, void *elements, uint32_t count);

static void free_value(const struct json_field *field, void *place)
{
	if (field->kind == JSON_TEXT || field->kind == JSON_RAW)
		free(*(char **)place);
	else if (field->kind == JSON_OBJECT)
		free_members(field->shape, place);
	else if (field->kind == JSON_ARRAY)
		free_array(field, *(void **)place,
			   *(uint32_t *)((char *)place + field->count_offset));
}

static void free_array(const struct json_field *field, void *elements, uint32_t count)
{
	for (uint32_t i = 0; i < count; i++)
		free_value(field->element, (char *)elements + i * field->size);
	free(elements);
}

static void free_members(const struct json_shape *shape, void *object)
{
	for (const struct json_field *field = shape->fields; field->name; field++) {
		char *place = (char *)object + field->offset;

		if (field->kind == JSON_ARRAY)
			free_array(field, *(void **)place,
				   *(uint32_t *)((char *)object + field->count_offset));
		else
			free_value(field, place);
	}
}

void json_done(const struct json_shape *shape, void *object)
{
	free_members(shape, object);
	memset(object, 0, shape->size);
}
