#include "view.h"

#include "json.h"

#include <cjson/cJSON.h>
#include <string.h>

/* A tree is its root. The words of numbers and booleans stand in `valuestring`, which the
 * library leaves empty for them and frees with the rest. */
static const cJSON *node(const struct view *value)
{
	return (const cJSON *)(const void *)value;
}

static const struct view *view(const cJSON *node)
{
	return (const struct view *)(const void *)node;
}

/* Recursion is bounded: json_check() refuses more than JSON_DEPTH_MAX levels. */
static bool add_words(cJSON *value)
{
	cJSON *each;

	if (cJSON_IsNumber(value) || cJSON_IsBool(value)) {
		value->valuestring = cJSON_PrintUnformatted(value);
		return value->valuestring;
	}
	cJSON_ArrayForEach(each, value)
	{
		if (!add_words(each))
			return false;
	}
	return true;
}

/* What is strict, json_check() sees: the library alone takes a member twice, text behind the
 * end and more. */
enum ota_err view_read(const char *text, size_t len, size_t max, struct view_tree **ret_tree,
		       struct ota_why *why)
{
	enum ota_err err = json_check(text, len, max, OTA_BAD_REQUEST, why);
	cJSON *root;

	if (err)
		return err;
	root = cJSON_ParseWithLength(text, len);
	if (!root || !add_words(root)) {
		cJSON_Delete(root);
		return ota_fail(why, OTA_OUT_OF_MEMORY, "no memory for a reply");
	}
	*ret_tree = (struct view_tree *)(void *)root;
	return OTA_OK;
}

void view_free(struct view_tree *tree)
{
	cJSON_Delete((cJSON *)(void *)tree);
}

void view_free_place(struct view_tree **place)
{
	view_free(*place);
}

const struct view *view_root(const struct view_tree *tree)
{
	return view((const cJSON *)(const void *)tree);
}

static const cJSON *last_element(const cJSON *array)
{
	return cJSON_GetArrayItem(array, cJSON_GetArraySize(array) - 1);
}

static const cJSON *member(const cJSON *object, const char *name, size_t len)
{
	const cJSON *each;

	cJSON_ArrayForEach(each, object)
	{
		if (each->string && strlen(each->string) == len &&
		    !memcmp(each->string, name, len))
			return each;
	}
	return NULL;
}

const struct view *view_at(const struct view *object, const char *path)
{
	const cJSON *at = node(object);

	while (at && *path) {
		size_t len = strcspn(path, ".");

		if (cJSON_IsArray(at))
			at = len == 4 && !memcmp(path, "last", len) ? last_element(at) : NULL;
		else
			at = member(at, path, len);
		path += len;
		path += *path == '.';
	}
	return view(at);
}

const struct view *view_first(const struct view *parent)
{
	return parent ? view(node(parent)->child) : NULL;
}

const struct view *view_next(const struct view *element)
{
	return element ? view(node(element)->next) : NULL;
}

size_t view_count(const struct view *parent)
{
	return (size_t)cJSON_GetArraySize(node(parent));
}

enum view_kind view_kind(const struct view *value)
{
	const cJSON *of = node(value);

	return cJSON_IsObject(of)   ? VIEW_OBJECT
	       : cJSON_IsArray(of)  ? VIEW_ARRAY
	       : cJSON_IsString(of) ? VIEW_STRING
	       : cJSON_IsNumber(of) ? VIEW_NUMBER
	       : cJSON_IsBool(of)   ? VIEW_BOOL
				    : VIEW_NOTHING;
}

const char *view_name(const struct view *value)
{
	return value && node(value)->string ? node(value)->string : "";
}

const char *view_text(const struct view *value)
{
	return value && node(value)->valuestring ? node(value)->valuestring : "";
}

uint64_t view_number(const struct view *value)
{
	uint64_t number = 0;

	if (view_kind(value) == VIEW_NUMBER &&
	    !text_to_u64(view_text(value), UINT64_MAX, &number))
		number = 0;
	return number;
}

bool view_is_true(const struct view *value)
{
	return cJSON_IsTrue(node(value));
}

/* The library takes a number's words from its value, so those in `valuestring` do no harm. */
void view_write(const struct view *value, struct text *to)
{
	char *json = value ? cJSON_PrintUnformatted(node(value)) : NULL;

	if (value && !json)
		to->failed = true;
	else
		text_put(to, json ? json : "null");
	cJSON_free(json);
}

enum ota_err view_copy(const struct view *value, struct view_tree **ret_tree,
		       struct ota_why *why)
{
	cJSON *copy = value ? cJSON_Duplicate(node(value), true) : cJSON_CreateNull();

	if (!copy)
		return ota_fail(why, OTA_OUT_OF_MEMORY, "no memory for a reply");
	*ret_tree = (struct view_tree *)(void *)copy;
	return OTA_OK;
}
