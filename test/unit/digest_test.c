#include "unit.h"

#include "digest.h"
#include "own.h"
#include "text.h"

#include <fcntl.h>

static void stream_free(struct digest_stream **stream)
{
	digest_stream_free(*stream);
}

static void the_standards_examples_hold(void **state)
{
	(void)state;
	struct digest digest;
	char hex[TEXT_HEX32_SIZE];

	assert_int_equal(digest_of("abc", 3, &digest, NULL), OTA_OK);
	text_from_digest(hex, digest.bytes);
	assert_string_equal(hex,
			    "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
	assert_int_equal(digest_of("", 0, &digest, NULL), OTA_OK);
	text_from_digest(hex, digest.bytes);
	assert_string_equal(hex,
			    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
}

static void pieces_give_the_same_as_the_whole(void **state)
{
	(void)state;
	AUTO(stream_free) struct digest_stream *stream = NULL;
	struct digest whole, pieces;

	assert_int_equal(digest_of("hello world", 11, &whole, NULL), OTA_OK);
	assert_int_equal(digest_stream_new(&stream, NULL), OTA_OK);
	for (int round = 0; round < 2; round++) {
		assert_int_equal(digest_stream_add(stream, "hello ", 6, NULL), OTA_OK);
		assert_int_equal(digest_stream_add(stream, "", 0, NULL), OTA_OK);
		assert_int_equal(digest_stream_add(stream, "world", 5, NULL), OTA_OK);
		assert_int_equal(digest_stream_end(stream, &pieces, NULL), OTA_OK);
		assert_true(digest_equal(&whole, &pieces));
	}
}

static void a_file_is_read_from_its_offset_to_its_end(void **state)
{
	(void)state;
	char path[] = "/tmp/digest_test.XXXXXX";
	AUTO_CLOSE int fd = mkstemp(path);
	struct digest digest, expected;
	uint64_t size = 0;

	assert_true(fd >= 0);
	unlink(path);
	assert_int_equal(write(fd, "xxabc", 5), 5);
	assert_int_equal(lseek(fd, 2, SEEK_SET), 2);
	assert_int_equal(digest_of_fd(fd, &digest, &size, NULL), OTA_OK);
	assert_int_equal(size, 3);
	assert_int_equal(digest_of("abc", 3, &expected, NULL), OTA_OK);
	assert_true(digest_equal(&digest, &expected));
}

static void an_unreadable_file_is_an_error(void **state)
{
	(void)state;
	AUTO_CLOSE int fd = open("/", O_RDONLY | O_DIRECTORY);
	struct digest digest;
	struct ota_why why;
	uint64_t size = 77;

	assert_int_equal(digest_of_fd(fd, &digest, &size, &why), OTA_IO_ERROR);
	assert_int_equal(size, 77);
	assert_contains(why.text, "Is a directory");
}

static void zero_is_told_from_every_other(void **state)
{
	(void)state;
	struct digest digest = {{0}};

	assert_true(digest_is_zero(&digest));
	for (size_t i = 0; i < DIGEST_SIZE; i++) {
		digest = (struct digest){{0}};
		digest.bytes[i] = 1;
		assert_false(digest_is_zero(&digest));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_standards_examples_hold),
		cmocka_unit_test(pieces_give_the_same_as_the_whole),
		cmocka_unit_test(a_file_is_read_from_its_offset_to_its_end),
		cmocka_unit_test(an_unreadable_file_is_an_error),
		cmocka_unit_test(zero_is_told_from_every_other),
	};

	return cmocka_run_group_tests_name("digest", tests, NULL, NULL);
}
