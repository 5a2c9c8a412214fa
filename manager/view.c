#include "view.h"

#include "json.h"
#include "own.h"

#include <assert.h>
#include <string.h>

struct view {
	enum view_kind kind;
	const char *name, *text;
	const char *raw;
	size_t raw_len;
	struct view *first, *next;
};

struct view_tree {
	char *source; /* the JSON, NUL-terminated */
	char *words;  /* names and texts, decoded, each NUL-terminated */
	size_t word_at;
	struct view *nodes; /* as many as there can be values in the text */
	size_t node_at;
	struct view *root;
};

static const char *skip_space(const char *at)
{
	return at + strspn(at, " \t\r\n");
}

static unsigned hex_value(char c)
{
	return c <= '9' ? (unsigned)(c - '0') : (unsigned)((c | 0x20) - 'a' + 10);
}

static unsigned read_hex4(const char *at)
{
	return hex_value(at[0]) << 12 | hex_value(at[1]) << 8 | hex_value(at[2]) << 4 |
	       hex_value(at[3]);
}

static void put_byte(struct view_tree *tree, unsigned byte)
{
	tree->words[tree->word_at++] = (char)byte;
}

static void put_code_point(struct view_tree *tree, unsigned code)
{
	if (code < 0x80) {
		put_byte(tree, code);
	} else if (code < 0x800) {
		put_byte(tree, 0xc0 | code >> 6);
		put_byte(tree, 0x80 | (code & 0x3f));
	} else if (code < 0x10000) {
		put_byte(tree, 0xe0 | code >> 12);
		put_byte(tree, 0x80 | (code >> 6 & 0x3f));
		put_byte(tree, 0x80 | (code & 0x3f));
	} else {
		put_byte(tree, 0xf0 | code >> 18);
		put_byte(tree, 0x80 | (code >> 12 & 0x3f));
		put_byte(tree, 0x80 | (code >> 6 & 0x3f));
		put_byte(tree, 0x80 | (code & 0x3f));
	}
}

/* Decodes the escape after a backslash; json_check() has seen that it is whole. */
static const char *read_escape(struct view_tree *tree, const char *at)
{
	static const char from[] = "bfnrt", to[] = "\b\f\n\r\t";
	const char *plain;
	unsigned code;

	if (*at != 'u') {
		plain = strchr(from, *at);
		put_byte(tree, (unsigned char)(plain ? to[plain - from] : *at));
		return at + 1;
	}
	code = read_hex4(at + 1);
	at += 5;
	if (code >= 0xd800 && code < 0xdc00 && at[0] == '\\' && at[1] == 'u') {
		code = 0x10000 + ((code - 0xd800) << 10) + (read_hex4(at + 2) - 0xdc00);
		at += 6;
	}
	put_code_point(tree, code);
	return at;
}

static const char *read_string(struct view_tree *tree, const char *at, const char **ret_text)
{
	*ret_text = tree->words + tree->word_at;
	for (at++; *at != '"';) {
		if (*at == '\\')
			at = read_escape(tree, at + 1);
		else
			put_byte(tree, (unsigned char)*at++);
	}
	put_byte(tree, 0);
	return at + 1;
}

static const char *read_value(struct view_tree *tree, const char *at, struct view *node);

static struct view *new_node(struct view_tree *tree)
{
	return &tree->nodes[tree->node_at++];
}

/* `at` is behind the opening bracket. */
static const char *read_children(struct view_tree *tree, const char *at, struct view *parent,
				 char close)
{
	struct view **place = &parent->first;

	for (at = skip_space(at); *at != close; at = skip_space(at)) {
		struct view *child = new_node(tree);

		child->name = "";
		if (parent->kind == VIEW_OBJECT) {
			at = skip_space(read_string(tree, at, &child->name));
			at = skip_space(at + 1); /* the colon */
		}
		at = skip_space(read_value(tree, at, child));
		*place = child;
		place = &child->next;
		if (*at == ',')
			at++;
	}
	return at + 1;
}

static const char *read_word(struct view_tree *tree, const char *at, struct view *node)
{
	size_t len = strcspn(at, ",]} \t\r\n");

	node->kind = *at == 'n'			? VIEW_NOTHING
		     : *at == 't' || *at == 'f' ? VIEW_BOOL
						: VIEW_NUMBER;
	node->text = tree->words + tree->word_at;
	memcpy(tree->words + tree->word_at, at, len);
	tree->word_at += len;
	put_byte(tree, 0);
	return at + len;
}

/* Recursion is bounded: json_check() refuses more than JSON_DEPTH_MAX levels. */
static const char *read_value(struct view_tree *tree, const char *at, struct view *node)
{
	node->raw = at;
	node->text = "";
	switch (*at) {
	case '{':
		node->kind = VIEW_OBJECT;
		at = read_children(tree, at + 1, node, '}');
		break;
	case '[':
		node->kind = VIEW_ARRAY;
		at = read_children(tree, at + 1, node, ']');
		break;
	case '"':
		node->kind = VIEW_STRING;
		at = read_string(tree, at, &node->text);
		break;
	default:
		at = read_word(tree, at, node);
		break;
	}
	node->raw_len = (size_t)(at - node->raw);
	return at;
}

static size_t value_count_at_most(const char *text)
{
	size_t count = 2;

	for (; *text; text++)
		count += *text == ',' || *text == '[' || *text == '{';
	return count;
}

enum ota_err view_read(const char *text, size_t len, size_t max, struct view_tree **ret_tree,
		       struct ota_why *why)
{
	AUTO(view_free_place) struct view_tree *tree = NULL;
	enum ota_err err = json_check(text, len, max, OTA_BAD_REQUEST, why);

	if (err)
		return err;
	tree = calloc(1, sizeof(*tree));
	if (!tree)
		return ota_fail(why, OTA_OUT_OF_MEMORY, "no memory for a reply");
	tree->source = strndup(text, len);
	/* A decoded text is never longer than its JSON; each value adds at most one NUL. */
	tree->words = malloc(2 * len + 2);
	if (tree->source)
		tree->nodes = calloc(value_count_at_most(tree->source), sizeof(*tree->nodes));
	if (!tree->source || !tree->words || !tree->nodes)
		return ota_fail(why, OTA_OUT_OF_MEMORY, "no memory for a reply");
	tree->root = new_node(tree);
	tree->root->name = "";
	read_value(tree, skip_space(tree->source), tree->root);
	*ret_tree = TAKE(tree);
	return OTA_OK;
}

void view_free(struct view_tree *tree)
{
	if (!tree)
		return;
	free(tree->source);
	free(tree->words);
	free(tree->nodes);
	free(tree);
}

void view_free_place(struct view_tree **place)
{
	view_free(*place);
}

const struct view *view_root(const struct view_tree *tree)
{
	return tree ? tree->root : NULL;
}

static const struct view *member(const struct view *object, const char *name, size_t len)
{
	const struct view *each;

	if (view_kind(object) != VIEW_OBJECT)
		return NULL;
	for (each = object->first; each; each = each->next)
		if (strlen(each->name) == len && !memcmp(each->name, name, len))
			return each;
	return NULL;
}

static const struct view *last_element(const struct view *array)
{
	const struct view *each = array->first;

	while (each && each->next)
		each = each->next;
	return each;
}

const struct view *view_at(const struct view *object, const char *path)
{
	while (object && *path) {
		size_t len = strcspn(path, ".");

		object = object->kind == VIEW_ARRAY && len == 4 && !memcmp(path, "last", len)
				 ? last_element(object)
				 : member(object, path, len);
		path += len;
		path += *path == '.';
	}
	return object;
}

const struct view *view_first(const struct view *parent)
{
	return parent ? parent->first : NULL;
}

const struct view *view_next(const struct view *element)
{
	return element ? element->next : NULL;
}

size_t view_count(const struct view *parent)
{
	size_t count = 0;
	const struct view *each;

	for (each = view_first(parent); each; each = each->next)
		count++;
	return count;
}

enum view_kind view_kind(const struct view *value)
{
	return value ? value->kind : VIEW_NOTHING;
}

const char *view_name(const struct view *value)
{
	return value ? value->name : "";
}

const char *view_text(const struct view *value)
{
	return view_kind(value) == VIEW_NOTHING ? "" : value->text;
}

uint64_t view_number(const struct view *value)
{
	uint64_t number = 0;

	if (view_kind(value) == VIEW_NUMBER && !text_to_u64(value->text, UINT64_MAX, &number))
		number = 0;
	return number;
}

bool view_is_true(const struct view *value)
{
	return view_kind(value) == VIEW_BOOL && *value->text == 't';
}

void view_write(const struct view *value, struct text *to)
{
	if (value)
		text_add(to, value->raw, value->raw_len);
	else
		text_put(to, "null");
}
