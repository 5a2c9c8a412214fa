#include "json.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

void json_put_string(struct text *to, const char *string)
{
	static const char plain[] = "\"\\\b\f\n\r\t", letters[] = "\"\\bfnrt";
	size_t len = strlen(string), run = 0;

	text_put(to, "\"");
	for (size_t at = 0; at < len;) {
		uint32_t code = 0;
		size_t step = text_utf8_next(string + at, len - at, &code);
		const char *escape = step == 1 ? strchr(plain, (int)code) : NULL;

		if (step > 0 && !escape && code >= 0x20) {
			at += step;
			continue;
		}
		text_add(to, string + run, at - run);
		if (step == 0)
			text_put(to, "?"); /* not UTF-8 */
		else if (escape)
			text_printf(to, "\\%c", letters[escape - plain]);
		else
			text_printf(to, "\\u%04x", (unsigned)code);
		at += step ? step : 1;
		run = at;
	}
	text_add(to, string + run, len - run);
	text_put(to, "\"");
}

static enum ota_err broken(const struct json_field *field, struct ota_why *why)
{
	return ota_fail(why, OTA_INTERNAL, "'%s' breaks its own shape",
			field->name ? field->name : "element");
}

static bool is_utf8(const char *text)
{
	size_t len = strlen(text);
	uint32_t code;

	for (size_t at = 0; at < len;) {
		size_t step = text_utf8_next(text + at, len - at, &code);

		if (!step)
			return false;
		at += step;
	}
	return true;
}

static enum ota_err write_integer(const struct json_field *field, uint64_t value,
				  struct text *to, struct ota_why *why)
{
	uint64_t max = field->max		 ? field->max
		       : field->kind == JSON_U64 ? JSON_INT_MAX
						 : UINT32_MAX;

	if (value < field->min || value > max)
		return broken(field, why);
	text_printf(to, "%" PRIu64, value);
	return OTA_OK;
}

static enum ota_err write_string(const struct json_field *field, const char *string,
				 struct text *to, struct ota_why *why)
{
	size_t max = field->kind == JSON_STRING ? field->size - 1 : field->max;

	if (!string || strnlen(string, max + 1) > max || strlen(string) < field->min ||
	    (field->check && !field->check(string)) || !is_utf8(string))
		return broken(field, why);
	json_put_string(to, string);
	return OTA_OK;
}

static enum ota_err write_word(const struct json_field *field, int value, struct text *to,
			       struct ota_why *why)
{
	int count = 0;

	while (field->names[count])
		count++;
	if (value < 0 || value >= count || !*field->names[value])
		return broken(field, why);
	json_put_string(to, field->names[value]);
	return OTA_OK;
}

static enum ota_err write_raw(const struct json_field *field, const char *raw, struct text *to,
			      struct ota_why *why)
{
	size_t len = raw ? strlen(raw) : 0;

	if (!raw || raw[0] != '{' || json_check(raw, len, field->max, OTA_INTERNAL, NULL))
		return broken(field, why);
	text_add(to, raw, len);
	return OTA_OK;
}

static void write_bytes(const uint8_t *bytes, size_t size, struct text *to)
{
	text_put(to, "\"");
	for (size_t i = 0; i < size; i++)
		text_printf(to, "%02x", bytes[i]);
	text_put(to, "\"");
}

static enum ota_err write_object(const struct json_shape *shape, const void *from,
				 struct text *to, struct ota_why *why);
static enum ota_err write_value(const struct json_field *field, const void *place,
				struct text *to, struct ota_why *why);

static enum ota_err write_array(const struct json_field *field, const void *elements,
				uint32_t count, struct text *to, struct ota_why *why)
{
	if (count < field->min || count > field->max)
		return broken(field, why);
	text_put(to, "[");
	for (uint32_t i = 0; i < count; i++) {
		if (i)
			text_put(to, ",");
		enum ota_err err = write_value(
			field->element, (const char *)elements + i * field->size, to, why);

		if (err)
			return ota_context(why, err, "%s[%u]", field->name, i);
	}
	text_put(to, "]");
	return OTA_OK;
}

static enum ota_err write_value(const struct json_field *field, const void *place,
				struct text *to, struct ota_why *why)
{
	switch (field->kind) {
	case JSON_U64:
		return write_integer(field, *(const uint64_t *)place, to, why);
	case JSON_U32:
		return write_integer(field, *(const uint32_t *)place, to, why);
	case JSON_BOOL:
		text_put(to, *(const bool *)place ? "true" : "false");
		return OTA_OK;
	case JSON_STRING:
		return write_string(field, place, to, why);
	case JSON_TEXT:
		return write_string(field, *(char *const *)place, to, why);
	case JSON_DIGEST:
		write_bytes(place, DIGEST_SIZE, to);
		return OTA_OK;
	case JSON_BYTES:
		write_bytes(place, field->size, to);
		return OTA_OK;
	case JSON_ENUM:
		return write_word(field, *(const int *)place, to, why);
	case JSON_OBJECT:
		return write_object(field->shape, place, to, why);
	case JSON_ARRAY:
		return write_array(
			field, *(void *const *)place,
			*(const uint32_t *)((const char *)place + field->count_offset), to,
			why);
	case JSON_RAW:
		return write_raw(field, *(char *const *)place, to, why);
	}
	return broken(field, why);
}

static size_t size_of(const struct json_field *field)
{
	switch (field->kind) {
	case JSON_U64:
		return sizeof(uint64_t);
	case JSON_U32:
		return sizeof(uint32_t);
	case JSON_BOOL:
		return sizeof(bool);
	case JSON_STRING:
		return 1; /* empty or not */
	case JSON_TEXT:
	case JSON_RAW:
		return sizeof(char *);
	case JSON_DIGEST:
		return DIGEST_SIZE;
	case JSON_BYTES:
		return field->size;
	case JSON_ENUM:
		return sizeof(int);
	case JSON_OBJECT:
		return field->shape->size;
	case JSON_ARRAY:
		break; /* by its count */
	}
	return 0;
}

static bool is_present(const struct json_field *field, const char *object)
{
	if (field->flag == JSON_REQUIRED)
		return true;
	if (field->has_offset)
		return *(const bool *)(object + field->has_offset);
	if (field->kind == JSON_ARRAY)
		return *(const uint32_t *)(object + field->count_offset) > 0;
	for (size_t i = 0; i < size_of(field); i++) {
		if (object[field->offset + i])
			return true;
	}
	return false;
}

static enum ota_err write_object(const struct json_shape *shape, const void *from,
				 struct text *to, struct ota_why *why)
{
	const char *object = from;
	const char *separator = "";

	text_put(to, "{");
	for (const struct json_field *field = shape->fields; field->name; field++) {
		if (!is_present(field, object))
			continue;
		text_printf(to, "%s\"%s\":", separator, field->name);
		separator = ",";
		enum ota_err err =
			field->kind == JSON_ARRAY
				? write_array(field, *(void *const *)(object + field->offset),
					      *(const uint32_t *)(object + field->count_offset),
					      to, why)
				: write_value(field, object + field->offset, to, why);

		if (err)
			return ota_context(why, err, "%s", shape->what);
	}
	text_put(to, "}");
	return OTA_OK;
}

enum ota_err json_write(const struct json_shape *shape, const void *from, struct text *to,
			struct ota_why *why)
{
	enum ota_err err = write_object(shape, from, to, why);

	if (!err && to->failed)
		return ota_fail(why, OTA_OUT_OF_MEMORY, "%s: no memory", shape->what);
	return err;
}
