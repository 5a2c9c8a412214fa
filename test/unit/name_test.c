#include "unit.h"

#include "name.h"

static const char sixty_four[] =
	"abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyzabcdefghijkl";
static const char sixty_five[] =
	"abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyzabcdefghijklm";

struct sample {
	const char *text;
	bool id, product, product_or_all, version, component;
};

static const struct sample samples[] = {
	/* text          id     product  or all  version component */
	{"gw1", true, true, true, true, true},
	{"a_b-c", true, true, true, false, true},
	{"Gw.1", true, false, false, true, false},
	{"1.4.0-rc.1+b7", false, false, false, true, false},
	{"1~rc1", false, false, false, true, false},
	{sixty_four, true, true, true, true, false},
	{sixty_five, false, false, false, false, false},
	{"abcdefghijklmnopqrstuvwxyzabcdef", true, true, true, true, true},
	{"abcdefghijklmnopqrstuvwxyzabcdefg", true, true, true, true, false},
	{"", false, false, false, false, false},
	{"*", false, false, true, false, false},
	{"**", false, false, false, false, false},
	{".", false, false, false, true, false},
	{"..", false, false, false, true, false},
	{"...", true, false, false, true, false},
	{"#", false, false, false, false, false},
	{"+", false, false, false, true, false},
	{"a/b", false, false, false, false, false},
	{"../etc", false, false, false, false, false},
	{"a b", false, false, false, false, false},
	{"a\n", false, false, false, false, false},
	{"$x", false, false, false, false, false},
	{"%s", false, false, false, false, false},
	{"\xc3\xbc", false, false, false, false, false},
};

static void each_syntax_allows_its_characters_only(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(samples) / sizeof(samples[0]); i++) {
		const struct sample *sample = &samples[i];

		if (name_is_id(sample->text) != sample->id ||
		    name_is_product(sample->text) != sample->product ||
		    name_is_product_or_all(sample->text) != sample->product_or_all ||
		    name_is_version(sample->text) != sample->version ||
		    name_is_component(sample->text) != sample->component)
			fail_msg("'%s' is judged otherwise", sample->text);
	}
}

static void a_shard_is_the_first_four_bytes_of_the_digest(void **state)
{
	(void)state;
	/* SHA-256("abc") = ba7816bf… */
	assert_int_equal(name_shard("abc", 1), 0);
	assert_int_equal(name_shard("abc", 4294967295u), 0xba7816bfu);
	assert_int_equal(name_shard("abc", 1000), 0xba7816bfu % 1000);
}

static void a_bucket_depends_on_device_and_release(void **state)
{
	(void)state;
	unsigned counts[10] = {0}, moved = 0;

	/* SHA-256("gw1/1") = ede34cd4…, by sha256sum */
	assert_int_equal(name_bucket("gw1", 1), 0xede34cd4u % 10000);
	for (unsigned i = 0; i < 2000; i++) {
		char device[16];

		snprintf(device, sizeof(device), "dev%u", i);
		uint32_t bucket = name_bucket(device, 1);

		assert_true(bucket < 10000);
		counts[bucket / 1000]++;
		moved += bucket != name_bucket(device, 2);
	}
	for (size_t i = 0; i < 10; i++)
		assert_in_range(counts[i], 140, 260);
	assert_true(moved > 1990);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_syntax_allows_its_characters_only),
		cmocka_unit_test(a_shard_is_the_first_four_bytes_of_the_digest),
		cmocka_unit_test(a_bucket_depends_on_device_and_release),
	};

	return cmocka_run_group_tests_name("name", tests, NULL, NULL);
}
