#include "unit.h"

#include "json.h"
#include "name.h"
#include "own.h"

enum colour {
	COLOUR_NONE = 0,
	COLOUR_RED,
	COLOUR_BLUE,
};

static const char *const colour_names[] = {"", "red", "blue", NULL};

struct point {
	uint32_t x;
	char *label;
};

struct pair {
	uint32_t *numbers;
	uint32_t count;
};

struct thing {
	uint64_t big;
	uint32_t small;
	bool yes;
	char name[NAME_SIZE];
	char *note;
	struct digest digest;
	uint8_t nonce[4];
	enum colour colour;
	bool has_point;
	struct point point;
	struct point *points;
	uint32_t point_count;
	struct pair *pairs;
	uint32_t pair_count;
	char **raws;
	uint32_t raw_count;
	char *args;
};

static const struct json_field point_fields[] = {
	{"x", JSON_U32, .offset = offsetof(struct point, x), .max = 9},
	{"label", JSON_TEXT, JSON_OPTIONAL, offsetof(struct point, label), .max = 8},
	{0},
};
static const struct json_shape point_shape = {"point", sizeof(struct point), point_fields};
static const struct json_field point_element = {.kind = JSON_OBJECT, .shape = &point_shape};
static const struct json_field number_element = {.kind = JSON_U32};
static const struct json_field pair_element = {
	.kind = JSON_ARRAY,
	.size = sizeof(uint32_t),
	.min = 2,
	.max = 2,
	.element = &number_element,
	.offset = offsetof(struct pair, numbers),
	.count_offset = offsetof(struct pair, count),
};
static const struct json_field raw_element = {.kind = JSON_RAW, .max = 16};

static const struct json_field thing_fields[] = {
	{"big", JSON_U64, .offset = offsetof(struct thing, big)},
	{"small", JSON_U32, JSON_OPTIONAL, offsetof(struct thing, small), .min = 1, .max = 5},
	{"yes", JSON_BOOL, JSON_OPTIONAL, offsetof(struct thing, yes)},
	{"name", JSON_STRING, JSON_OPTIONAL, offsetof(struct thing, name), NAME_SIZE,
	 .check = name_is_product, .allowed = NAME_LOWER_ALLOWED},
	{"note", JSON_TEXT, JSON_OPTIONAL, offsetof(struct thing, note), .max = 10},
	{"digest", JSON_DIGEST, JSON_OPTIONAL, offsetof(struct thing, digest)},
	{"nonce", JSON_BYTES, JSON_OPTIONAL, offsetof(struct thing, nonce), 4},
	{"colour", JSON_ENUM, JSON_OPTIONAL, offsetof(struct thing, colour),
	 .names = colour_names},
	{"point", JSON_OBJECT, JSON_OPTIONAL, offsetof(struct thing, point),
	 .shape = &point_shape, .has_offset = offsetof(struct thing, has_point)},
	{"points", JSON_ARRAY, JSON_OPTIONAL, offsetof(struct thing, points),
	 sizeof(struct point), .min = 1, .max = 3, .element = &point_element,
	 .count_offset = offsetof(struct thing, point_count)},
	{"pairs", JSON_ARRAY, JSON_OPTIONAL, offsetof(struct thing, pairs), sizeof(struct pair),
	 .max = 2, .element = &pair_element,
	 .count_offset = offsetof(struct thing, pair_count)},
	{"raws", JSON_ARRAY, JSON_OPTIONAL, offsetof(struct thing, raws), sizeof(char *),
	 .max = 2, .element = &raw_element, .count_offset = offsetof(struct thing, raw_count)},
	{"args", JSON_RAW, JSON_OPTIONAL, offsetof(struct thing, args), .max = 64},
	{0},
};
static const struct json_shape thing_shape = {"thing", sizeof(struct thing), thing_fields};
static const struct json_shape open_shape = {"thing", sizeof(struct thing), thing_fields,
					     .open = true};

static enum ota_err read_thing(const char *text, struct thing *ret, struct ota_why *why)
{
	return json_read(&thing_shape, text, strlen(text), 4096, OTA_BAD_REQUEST, ret, why);
}

/* Refused with a sentence that holds `part`, and nothing is left behind. */
static void assert_refused(const char *text, size_t len, const char *part)
{
	struct thing thing;
	static const struct thing zero;
	struct ota_why why = {0};
	enum ota_err err =
		json_read(&thing_shape, text, len, 4096, OTA_BAD_REQUEST, &thing, &why);

	if (err != OTA_BAD_REQUEST)
		fail_msg("'%s' gave %s %s", text, ota_err_name(err), why.text);
	if (!strstr(why.text, part))
		fail_msg("'%s' gave '%s', which lacks '%s'", text, why.text, part);
	assert_memory_equal(&thing, &zero, sizeof(thing));
}

static const char everything[] =
	"{\"big\":9007199254740992,\"small\":5,\"yes\":true,\"name\":\"a-b\",\"note\":\"\xc3\xbc\\n\","
	"\"digest\":\"00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff\","
	"\"nonce\":\"01020304\",\"colour\":\"blue\",\"point\":{\"x\":0},"
	"\"points\":[{\"x\":1,\"label\":\"l\"},{\"x\":2},{\"x\":3}],"
	"\"pairs\":[[1,2],[3,4294967295]],\"raws\":[{},{\"a\":[1]}],\"args\":{\"k\":{\"l\":[1,null]}}}";

static void what_was_read_is_written_again_byte_for_byte(void **state)
{
	(void)state;
	struct thing thing;
	struct ota_why why;
	AUTO(text_done) struct text text = {0};

	assert_ok(read_thing(everything, &thing, &why), why);
	assert_true(thing.big == JSON_INT_MAX);
	assert_string_equal(thing.note, "\xc3\xbc\n");
	assert_int_equal(thing.colour, COLOUR_BLUE);
	assert_true(thing.has_point);
	assert_int_equal(thing.point_count, 3);
	assert_string_equal(thing.points[0].label, "l");
	assert_true(thing.pairs[1].numbers[1] == UINT32_MAX);
	assert_string_equal(thing.args, "{\"k\":{\"l\":[1,null]}}");
	assert_ok(json_write(&thing_shape, &thing, &text, &why), why);
	assert_string_equal(text.data, everything);
	json_done(&thing_shape, &thing);
	assert_null(thing.args);
}

static void white_space_between_tokens_is_nothing(void **state)
{
	(void)state;
	struct thing thing;
	struct ota_why why;

	assert_ok(read_thing(" {\n\"big\"\t:\r1 , \"args\" : { \"a b\" : \" \\\" \" } }\n",
			     &thing, &why),
		  why);
	assert_string_equal(thing.args, "{\"a b\":\" \\\" \"}");
	json_done(&thing_shape, &thing);
}

static void optional_members_may_be_absent(void **state)
{
	(void)state;
	struct thing thing;
	struct ota_why why;
	AUTO(text_done) struct text text = {0};

	assert_ok(read_thing("{\"big\":0}", &thing, &why), why);
	assert_false(thing.has_point);
	assert_null(thing.points);
	assert_ok(json_write(&thing_shape, &thing, &text, &why), why);
	assert_string_equal(text.data, "{\"big\":0}");
	json_done(&thing_shape, &thing);
}

struct hostile {
	const char *text, *part;
};

static void malformed_text_is_refused(void **state)
{
	(void)state;
	static const struct hostile cases[] = {
		{"", "not a JSON object"},
		{" ", "not a JSON object"},
		{"[]", "not a JSON object"},
		{"1", "not a JSON object"},
		{"null", "not a JSON object"},
		{"\xef\xbb\xbf{\"big\":1}", "not a JSON object"},
		{"{", "a member's name expected"},
		{"{}", "'big' is missing"},
		{"{\"big\"}", "':' expected"},
		{"{\"big\":}", "must be an integer"},
		{"{\"big\":1", "',' or '}' expected"},
		{"{\"big\":1,}", "a member's name expected"},
		{"{,\"big\":1}", "a member's name expected"},
		{"{\"big\":1}x", "the end expected"},
		{"{\"big\":1}{}", "the end expected"},
		{"{\"big\":1} 1", "the end expected"},
		{"{\"big\":1}//", "the end expected"},
		{"{/**/\"big\":1}", "a member's name expected"},
		{"{'big':1}", "a member's name expected"},
		{"{big:1}", "a member's name expected"},
		{"{\"big\":1,\"points\":[{\"x\":1},]}", "must be an object"},
		{"{\"big\":1,\"points\":[{\"x\":1}", "',' or ']' expected"},
		{"{\"big\":1,\"points\":[{\"x\":1}}", "',' or ']' expected"},
		{"{\"big\":1,\"yes\":True}", "must be true or false"},
		{"{\"big\":1,\"yes\":tru}", "true or false expected"},
		{"{\"big\":1,\"yes\":truey}", "',' or '}' expected"},
		{"{\"big\":1,\"args\":{\"a\":nul}}", "null expected"},
		{"{\"big\":1,\"args\":{\"a\":NaN}}", "a plain integer expected"},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		assert_refused(cases[i].text, strlen(cases[i].text), cases[i].part);
}

static void every_beginning_of_a_text_is_refused(void **state)
{
	(void)state;
	for (size_t len = 0; len + 1 < sizeof(everything); len++) {
		/* a copy of just that size, so that a sanitizer sees reading beyond it */
		char *text = test_malloc(len + 1);
		struct thing thing;

		memcpy(text, everything, len);
		if (json_read(&thing_shape, text, len, 4096, OTA_BAD_REQUEST, &thing, NULL) !=
		    OTA_BAD_REQUEST)
			fail_msg("the first %zu bytes were accepted", len);
		test_free(text);
	}
}

static void names_are_exact_and_stand_there_once(void **state)
{
	(void)state;
	static const struct hostile cases[] = {
		{"{\"big\":1,\"big\":1}", "'big' stands there twice"},
		{"{\"big\":1,\"big\":2}", "'big' stands there twice"},
		{"{\"Big\":1}", "'Big' is no member of it"},
		{"{\"big\":1,\"BIG\":1}", "'BIG' is no member"},
		{"{\"big \":1}", "'big ' is no member"},
		{"{\"bi\\u0067\":1}", "an escape in a member's name"},
		{"{\"\\big\":1}", "an escape in a member's name"},
		{"{\"big\":1,\"\":1}", "is no member"},
		{"{\"big\":1,\"more\":1}", "'more' is no member"},
		{"{\"big\":1,\"e\xe2\x80\xaevil\":1}", "'evil' is no member"},
		{"{\"big\":1,\"point\":{\"x\":1,\"x\":1}}", "'point.x' stands there twice"},
		{"{\"big\":1,\"point\":{\"y\":1}}", "'point.y' is no member"},
		{"{\"big\":1,\"point\":{}}", "'point.x' is missing"},
		{"{\"big\":1,\"points\":[{\"x\":1},{\"z\":1}]}", "'points[1].z' is no member"},
		{"{\"big\":1,\"args\":{\"a\":1,\"b\":2,\"a\":1}}",
		 "'args.a' stands there twice"},
		{"{\"big\":1,\"args\":{\"a\":{\"b\":1,\"b\":1}}}",
		 "'args.a.b' stands there twice"},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		assert_refused(cases[i].text, strlen(cases[i].text), cases[i].part);
}

static void integers_are_exact_and_in_range(void **state)
{
	(void)state;
	static const struct hostile cases[] = {
		{"{\"big\":9007199254740993}", "'big' is an integer beyond 2^53"},
		{"{\"big\":18446744073709551616}", "beyond 2^53"},
		{"{\"big\":36893488147419103232}", "beyond 2^53"},
		{"{\"big\":99999999999999999999999999999999}", "beyond 2^53"},
		{"{\"big\":-1}", "must be an integer"},
		{"{\"big\":-0}", "must be an integer"},
		{"{\"big\":+1}", "must be an integer"},
		{"{\"big\":1.0}", "a plain integer"},
		{"{\"big\":1e3}", "a plain integer"},
		{"{\"big\":1E3}", "a plain integer"},
		{"{\"big\":01}", "a plain integer"},
		{"{\"big\":00}", "a plain integer"},
		{"{\"big\":0x1}", "',' or '}'"},
		{"{\"big\":.5}", "must be an integer"},
		{"{\"big\":\"1\"}", "must be an integer"},
		{"{\"big\":true}", "must be an integer"},
		{"{\"big\":null}", "must be an integer"},
		{"{\"big\":[1]}", "must be an integer"},
		{"{\"big\":1,\"small\":0}", "must be an integer from 1 to 5"},
		{"{\"big\":1,\"small\":6}", "'small' must be an integer from 1 to 5"},
		{"{\"big\":1,\"pairs\":[[1,4294967296]]}", "'pairs[0][1]' must be an integer"},
		{"{\"big\":1,\"args\":{\"a\":9007199254740993}}", "beyond 2^53"},
		{"{\"big\":1,\"args\":{\"a\":-1}}", "a plain integer"},
		{"{\"big\":1,\"args\":{\"a\":1.5}}", "a plain integer"},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		assert_refused(cases[i].text, strlen(cases[i].text), cases[i].part);
}

static void strings_are_utf8_without_controls(void **state)
{
	(void)state;
	static const struct hostile cases[] = {
		{"{\"big\":1,\"note\":\"a\nb\"}", "no control character"},
		{"{\"big\":1,\"note\":\"\x01\"}", "no control character"},
		{"{\"big\":1,\"note\":\"\\u0000\"}", "a proper escape"},
		{"{\"big\":1,\"note\":\"a\\u0000b\"}", "a proper escape"},
		{"{\"big\":1,\"note\":\"\xff\"}", "UTF-8"},
		{"{\"big\":1,\"note\":\"\xc0\x80\"}", "UTF-8"},
		{"{\"big\":1,\"note\":\"\xed\xa0\x80\"}", "UTF-8"},
		{"{\"big\":1,\"note\":\"\xc3\"}", "UTF-8"},
		{"{\"big\":1,\"note\":\"\\ud800\"}", "a proper escape"},
		{"{\"big\":1,\"note\":\"\\ud800x\"}", "a proper escape"},
		{"{\"big\":1,\"note\":\"\\ud800\\u0041\"}", "a proper escape"},
		{"{\"big\":1,\"note\":\"\\udc00\"}", "a proper escape"},
		{"{\"big\":1,\"note\":\"\\u12g4\"}", "a proper escape"},
		{"{\"big\":1,\"note\":\"\\u12\"}", "a proper escape"},
		{"{\"big\":1,\"note\":\"\\x41\"}", "a proper escape"},
		{"{\"big\":1,\"note\":\"\\a\"}", "a proper escape"},
		{"{\"big\":1,\"note\":\"\\", "a proper escape"},
		{"{\"big\":1,\"note\":\"abc", "'\"' expected"},
		{"{\"big\":1,\"note\":\"12345678901\"}", "must be text of 0 to 10 bytes"},
		{"{\"big\":1,\"note\":7}", "must be text"},
		{"{\"big\":1,\"note\":null}", "must be text"},
		{"{\"big\":1,\"name\":\"\"}", "must be text of 1 to 64 of a-z"},
		{"{\"big\":1,\"name\":\"A\"}", "'name' must be text of 1 to 64 of a-z"},
		{"{\"big\":1,\"args\":{\"a\":\"\\u0000\"}}", "a proper escape"},
		{"{\"big\":1,\"args\":{\"a\":\"\xff\"}}", "UTF-8"},
		{"{\"big\":1,\"args\":{\"\xff\":1}}", "UTF-8"},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		assert_refused(cases[i].text, strlen(cases[i].text), cases[i].part);
	static const char nul[] = "{\"big\":1,\"note\":\"a\0b\"}", outside[] = "{\"big\":1}\0";

	assert_refused(nul, sizeof(nul) - 1, "no control character");
	assert_refused(outside, sizeof(outside) - 1, "the end expected");
}

static void escapes_are_decoded(void **state)
{
	(void)state;
	static const char *const pairs[][2] = {
		{"\\\"\\\\\\/\\b\\f\\n\\r\\t", "\"\\/\b\f\n\r\t"},
		{"\\u0041\\u00FC", "A\xc3\xbc"},
		{"\\u20ac", "\xe2\x82\xac"},
		{"\\ud83d\\ude00", "\xf0\x9f\x98\x80"},
		{"\\udbff\\udfff", "\xf4\x8f\xbf\xbf"},
		{"\\u001f\x7f", "\x1f\x7f"},
	};

	for (size_t i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++) {
		struct thing thing;
		struct ota_why why;
		char text[128];

		snprintf(text, sizeof(text), "{\"big\":1,\"note\":\"%s\"}", pairs[i][0]);
		assert_ok(read_thing(text, &thing, &why), why);
		assert_string_equal(thing.note, pairs[i][1]);
		json_done(&thing_shape, &thing);
	}
}

static void bytes_words_and_arrays_have_their_size(void **state)
{
	(void)state;
	static const struct hostile cases[] = {
		{"{\"big\":1,\"nonce\":\"0102030\"}", "must be 8 lower-case"},
		{"{\"big\":1,\"nonce\":\"010203041\"}", "must be 8 lower-case"},
		{"{\"big\":1,\"nonce\":\"0102030G\"}", "must be 8 lower-case"},
		{"{\"big\":1,\"nonce\":\"0102030A\"}", "must be 8 lower-case"},
		{"{\"big\":1,\"digest\":\"00\"}", "must be 64 lower-case"},
		{"{\"big\":1,\"digest\":\"00112233445566778899aabbccddeeff00112233445566778899aabb"
		 "ccddeeff00\"}",
		 "must be 64 lower-case"},
		{"{\"big\":1,\"colour\":\"\"}", "must be one of red blue"},
		{"{\"big\":1,\"colour\":\"Red\"}", "must be one of red blue"},
		{"{\"big\":1,\"colour\":\"redd\"}", "must be one of red blue"},
		{"{\"big\":1,\"colour\":1}", "must be one of red blue"},
		{"{\"big\":1,\"points\":[]}", "must be an array of 1 to 3"},
		{"{\"big\":1,\"points\":{}}", "must be an array of 1 to 3"},
		{"{\"big\":1,\"points\":[{\"x\":1},{\"x\":1},{\"x\":1},{\"x\":1}]}",
		 "must be an array of 1 to 3"},
		{"{\"big\":1,\"points\":[{\"x\":1,\"label\":\"a\"},{\"x\":10}]}",
		 "'points[1].x' must be an integer from 0 to 9"},
		{"{\"big\":1,\"points\":[{\"label\":\"123456789\",\"x\":1}]}",
		 "'points[0].label' must be text of 0 to 8"},
		{"{\"big\":1,\"pairs\":[[1]]}", "'pairs[0]' must be an array of 2 to 2"},
		{"{\"big\":1,\"pairs\":[[1,2,3]]}", "'pairs[0]' must be an array of 2 to 2"},
		{"{\"big\":1,\"pairs\":[1,2]}", "'pairs[0]' must be an array of 2 to 2"},
		{"{\"big\":1,\"raws\":[[]]}", "'raws[0]' must be an object of at most 16"},
		{"{\"big\":1,\"raws\":[{\"a\":\"1234567890\"}]}",
		 "'raws[0]' must be an object"},
		{"{\"big\":1,\"args\":[]}", "'args' must be an object of at most 64"},
		{"{\"big\":1,\"args\":\"{}\"}", "'args' must be an object"},
		{"{\"big\":1,\"point\":[1]}", "'point' must be an object"},
		{"{\"big\":1,\"point\":null}", "'point' must be an object"},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		assert_refused(cases[i].text, strlen(cases[i].text), cases[i].part);
}

static void depth_ends_at_eight(void **state)
{
	(void)state;
	struct thing thing;
	struct ota_why why;

	assert_ok(read_thing("{\"big\":1,\"args\":{\"a\":[[[[[[1]]]]]]}}", &thing, &why), why);
	json_done(&thing_shape, &thing);
	static const char deeper[] = "{\"big\":1,\"args\":{\"a\":[[[[[[[1]]]]]]]}}";

	assert_refused(deeper, sizeof(deeper) - 1, "is nested deeper than 8");
	static char deep[4000];

	memset(deep, '[', sizeof(deep));
	assert_int_equal(json_check(deep, sizeof(deep), sizeof(deep), OTA_BAD_REQUEST, &why),
			 OTA_BAD_REQUEST);
	assert_contains(why.text, "nested deeper than 8");
}

static void sizes_and_member_counts_are_bounded(void **state)
{
	(void)state;
	struct thing thing;
	struct ota_why why;
	AUTO(text_done) struct text text = {0};

	assert_int_equal(json_read(&thing_shape, "{\"big\":1}", 9, 8, OTA_MANIFEST_INVALID,
				   &thing, &why),
			 OTA_MANIFEST_INVALID);
	assert_contains(why.text, "at most 8 are allowed");
	text_put(&text, "{\"m0\":1");
	for (unsigned i = 1; i < 64; i++)
		text_printf(&text, ",\"m%u\":1", i);
	text_put(&text, "}");
	assert_ok(json_check(text.data, text.len, 4096, OTA_BAD_REQUEST, &why), why);
	text.data[text.len - 1] = ',';
	text_put(&text, "\"m64\":1}");
	assert_int_equal(json_check(text.data, text.len, 4096, OTA_BAD_REQUEST, &why),
			 OTA_BAD_REQUEST);
	assert_contains(why.text, "more than 64 members");
}

static void an_open_shape_passes_over_what_it_does_not_know(void **state)
{
	(void)state;
	static const char good[] = "{\"zzz\":{\"big\":[2]},\"big\":1}";
	static const char bad[] = "{\"zzz\":{\"a\":1,\"a\":1},\"big\":1}";
	static const char twice[] = "{\"zzz\":1,\"big\":1,\"zzz\":1}";
	struct thing thing;
	struct ota_why why;

	assert_ok(json_read(&open_shape, good, sizeof(good) - 1, 99, OTA_BAD_REQUEST, &thing,
			    &why),
		  why);
	assert_int_equal(thing.big, 1);
	json_done(&open_shape, &thing);
	assert_int_equal(
		json_read(&open_shape, bad, sizeof(bad) - 1, 99, OTA_BAD_REQUEST, &thing, &why),
		OTA_BAD_REQUEST);
	assert_int_equal(json_read(&open_shape, twice, sizeof(twice) - 1, 99, OTA_BAD_REQUEST,
				   &thing, &why),
			 OTA_BAD_REQUEST);
}

static void a_value_that_breaks_its_shape_is_not_written(void **state)
{
	(void)state;
	struct thing thing = {.big = JSON_INT_MAX + 1};
	struct ota_why why;
	AUTO(text_done) struct text text = {0};

	assert_int_equal(json_write(&thing_shape, &thing, &text, &why), OTA_INTERNAL);
	assert_contains(why.text, "'big' breaks its own shape");
	thing = (struct thing){.small = 6};
	assert_int_equal(json_write(&thing_shape, &thing, &text, &why), OTA_INTERNAL);
	thing = (struct thing){.note = (char[]){"\xff"}};
	assert_int_equal(json_write(&thing_shape, &thing, &text, &why), OTA_INTERNAL);
	thing = (struct thing){.note = (char[]){"12345678901"}};
	assert_int_equal(json_write(&thing_shape, &thing, &text, &why), OTA_INTERNAL);
	thing = (struct thing){.name = "UPPER"};
	assert_int_equal(json_write(&thing_shape, &thing, &text, &why), OTA_INTERNAL);
	thing = (struct thing){.colour = (enum colour)3};
	assert_int_equal(json_write(&thing_shape, &thing, &text, &why), OTA_INTERNAL);
	thing = (struct thing){.args = (char[]){"{\"a\":1} "
						"x"}};
	assert_int_equal(json_write(&thing_shape, &thing, &text, &why), OTA_INTERNAL);
	thing = (struct thing){.has_point = true, .point = {.x = 10}};
	assert_int_equal(json_write(&thing_shape, &thing, &text, &why), OTA_INTERNAL);
	struct point points[4] = {{0}};

	thing = (struct thing){.points = points, .point_count = 4};
	assert_int_equal(json_write(&thing_shape, &thing, &text, &why), OTA_INTERNAL);
}

static void strings_made_by_hand_are_always_json(void **state)
{
	(void)state;
	static const char *const pairs[][2] = {
		{"", "\"\""},
		{"a\"b\\c/", "\"a\\\"b\\\\c/\""},
		{"\n\x01\x1f", "\"\\n\\u0001\\u001f\""},
		{"\xff\xc3", "\"??\""},
		{"\xc3\xbc", "\"\xc3\xbc\""},
	};

	for (size_t i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++) {
		AUTO(text_done) struct text text = {0};
		struct ota_why why;

		json_put_string(&text, pairs[i][0]);
		assert_string_equal(text.data, pairs[i][1]);
		assert_ok(json_check(text.data, text.len, 99, OTA_BAD_REQUEST, &why), why);
	}
}

static void any_value_can_be_checked(void **state)
{
	(void)state;
	static const char *const good[] = {"{}", "[]", "0", "\"\"", "true", "null", " [1,{}] "};
	static const char *const bad[] = {"",	 "{",	  "]",	"-",  "nul",
					  "tru", "[1 2]", "\"", "1 2"};

	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
		assert_int_equal(
			json_check(good[i], strlen(good[i]), 99, OTA_BAD_REQUEST, NULL),
			OTA_OK);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_equal(json_check(bad[i], strlen(bad[i]), 99, OTA_BAD_REQUEST, NULL),
				 OTA_BAD_REQUEST);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_was_read_is_written_again_byte_for_byte),
		cmocka_unit_test(white_space_between_tokens_is_nothing),
		cmocka_unit_test(optional_members_may_be_absent),
		cmocka_unit_test(malformed_text_is_refused),
		cmocka_unit_test(every_beginning_of_a_text_is_refused),
		cmocka_unit_test(names_are_exact_and_stand_there_once),
		cmocka_unit_test(integers_are_exact_and_in_range),
		cmocka_unit_test(strings_are_utf8_without_controls),
		cmocka_unit_test(escapes_are_decoded),
		cmocka_unit_test(bytes_words_and_arrays_have_their_size),
		cmocka_unit_test(depth_ends_at_eight),
		cmocka_unit_test(sizes_and_member_counts_are_bounded),
		cmocka_unit_test(an_open_shape_passes_over_what_it_does_not_know),
		cmocka_unit_test(a_value_that_breaks_its_shape_is_not_written),
		cmocka_unit_test(strings_made_by_hand_are_always_json),
		cmocka_unit_test(any_value_can_be_checked),
	};

	return cmocka_run_group_tests_name("json", tests, NULL, NULL);
}
