/* A reply of the plugin, to be looked at: a read-only tree (cJSON's) of JSON that json_check()
 * accepted.
 *
 * Lookups of what is not there give NULL, and every function here takes NULL for "not there",
 * so a caller asks view_text(view_at(reply, "last_error.name")) without checks between. A newer
 * plugin may send members that this program does not know; they are simply not asked for. */
#pragma once

#include "text.h"

#include <stdbool.h>
#include <stdint.h>

struct view; /* one value; lives as long as its tree */
struct view_tree;

enum view_kind {
	VIEW_NOTHING = 0, /* absent, or null */
	VIEW_BOOL,
	VIEW_NUMBER,
	VIEW_STRING,
	VIEW_ARRAY,
	VIEW_OBJECT,
};

/* Reads one JSON value of at most `max` bytes. OTA_BAD_REQUEST when it is not strict JSON. */
enum ota_err view_read(const char *text, size_t len, size_t max, struct view_tree **ret_tree,
		       struct ota_why *why) OTA_CHECKED;
void view_free(struct view_tree *tree);		/* NULL is fine */
void view_free_place(struct view_tree **place); /* for AUTO() */
const struct view *view_root(const struct view_tree *tree);

/* The member at a path of names joined by dots, or NULL. In an array, "last" is its last
 * element.
 */
const struct view *view_at(const struct view *object, const char *path);
/* The elements of an array or the members of an object, in order. */
const struct view *view_first(const struct view *parent);
const struct view *view_next(const struct view *element);
size_t view_count(const struct view *parent);

enum view_kind view_kind(const struct view *value);
/* The name under which an object holds the value; "" for others. */
const char *view_name(const struct view *value);
/* A string's text, a number's or a boolean's word; "" for all else. Never NULL. Hostile: what a
 * device sent is in it as it came (print it through table.h or text_sanitize). */
const char *view_text(const struct view *value);
/* 0 for what is not a non-negative integer. */
uint64_t view_number(const struct view *value);
bool view_is_true(const struct view *value);
/* Appends the value as compact JSON; "null" for what is not there. */
void view_write(const struct view *value, struct text *to);
/* The value as a tree of its own, which outlives the one it stands in. */
enum ota_err view_copy(const struct view *value, struct view_tree **ret_tree,
		       struct ota_why *why) OTA_CHECKED;
