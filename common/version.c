#include "version.h"

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

/* A run of dot-separated fields, of which the first is at `at`. */
struct fields {
	const char *at, *end;
};

struct field {
	const char *at;
	size_t len;
};

static bool next_field(struct fields *fields, struct field *ret_field)
{
	if (!fields->at)
		return false;
	const char *dot = memchr(fields->at, '.', (size_t)(fields->end - fields->at));

	ret_field->at = fields->at;
	ret_field->len = (size_t)((dot ? dot : fields->end) - fields->at);
	fields->at = dot ? dot + 1 : NULL;
	return true;
}

static bool is_number(const struct field *field)
{
	for (size_t i = 0; i < field->len; i++) {
		if (field->at[i] < '0' || field->at[i] > '9')
			return false;
	}
	return field->len > 0;
}

static int sign_of(ptrdiff_t difference)
{
	return (difference > 0) - (difference < 0);
}

/* Numbers of any length: without leading zeros the longer is the greater. */
static int compare_numbers(struct field a, struct field b)
{
	while (a.len > 1 && *a.at == '0')
		a.at++, a.len--;
	while (b.len > 1 && *b.at == '0')
		b.at++, b.len--;
	if (a.len != b.len)
		return a.len < b.len ? -1 : 1;
	return sign_of(memcmp(a.at, b.at, a.len));
}

static int compare_field(struct field a, struct field b)
{
	bool a_number = is_number(&a), b_number = is_number(&b);

	if (a_number && b_number)
		return compare_numbers(a, b);
	if (a_number != b_number)
		return a_number ? -1 : 1; /* digits before letters */
	size_t len = a.len < b.len ? a.len : b.len;
	int order = sign_of(memcmp(a.at, b.at, len));

	return order ? order : (a.len > b.len) - (a.len < b.len);
}

/* `missing_is_zero`: 1.4 equals 1.4.0; otherwise the list that ends first comes first. */
static int compare_fields(struct fields a, struct fields b, bool missing_is_zero)
{
	static const struct field zero = {"0", 1};

	for (;;) {
		struct field field_a = zero, field_b = zero;
		bool more_a = next_field(&a, &field_a), more_b = next_field(&b, &field_b);

		if (!more_a && !more_b)
			return 0;
		if (!missing_is_zero && more_a != more_b)
			return more_a ? 1 : -1;
		int order = compare_field(field_a, field_b);

		if (order)
			return order;
	}
}

static void split(const char *version, struct fields *ret_core, struct fields *ret_pre)
{
	const char *end = version + strcspn(version, "+");
	const char *dash = memchr(version, '-', (size_t)(end - version));

	*ret_core = (struct fields){version, dash ? dash : end};
	*ret_pre = (struct fields){dash ? dash + 1 : NULL, end};
}

int version_compare(const char *a, const char *b)
{
	struct fields core_a, core_b, pre_a, pre_b;

	split(a, &core_a, &pre_a);
	split(b, &core_b, &pre_b);
	int order = compare_fields(core_a, core_b, true);

	if (order || (!pre_a.at && !pre_b.at))
		return order;
	if (!pre_a.at || !pre_b.at)
		return pre_a.at ? -1 : 1;
	return compare_fields(pre_a, pre_b, false);
}
