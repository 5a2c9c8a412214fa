#include "unit.h"

#include "bulk.h"

static const char answer[] =
	"HTTP/1.1 206 Partial Content\r\nServer: x\r\ncontent-length: 10\r\n"
	"Content-Range: bytes 0-9/40\r\n\r\n0123456789";

static int set_up(void **state)
{
	static const struct bulk_peer peer = {.host = "cdn:8443", .base = "/blobs"};
	static struct bulk bulk;
	struct digest digest;

	memset(digest.bytes, 0xab, sizeof(digest.bytes));
	bulk = (struct bulk){0};
	bulk_ask(&bulk, &peer, &digest, 65536, 10);
	*state = &bulk;
	return 0;
}

static int tear_down(void **state)
{
	struct bulk *bulk = *state;

	text_done(&bulk->wire.in);
	text_done(&bulk->wire.out);
	return 0;
}

static void a_request_names_the_blob_by_its_digest_and_the_range(void **state)
{
	struct bulk *bulk = *state;
	const char *text = bulk->wire.out.data;

	assert_non_null(strstr(text, "GET /blobs/ab/abababab"));
	assert_non_null(strstr(text, "\r\nHost: cdn:8443\r\n"));
	assert_non_null(strstr(text, "\r\nRange: bytes=65536-65545\r\n\r\n"));
}

static void an_answer_that_comes_byte_by_byte_is_read(void **state)
{
	struct bulk *bulk = *state;
	const uint8_t *bytes = NULL;
	struct ota_why why;

	for (size_t i = 0; i < strlen(answer); i++) {
		assert_null(bytes);
		text_add(&bulk->wire.in, &answer[i], 1);
		assert_ok(bulk_next(bulk, 10, &bytes, &why), why);
	}
	assert_memory_equal(bytes, "0123456789", 10);
	assert_false(bulk->asked);
}

static void a_body_is_taken_in_pieces(void **state)
{
	struct bulk *bulk = *state;
	const uint8_t *bytes;
	struct ota_why why;

	text_put(&bulk->wire.in, answer);
	assert_ok(bulk_next(bulk, 4, &bytes, &why), why);
	assert_memory_equal(bytes, "0123", 4);
	assert_true(bulk->asked);
	bulk_forget(bulk);
	assert_ok(bulk_next(bulk, 6, &bytes, &why), why);
	assert_memory_equal(bytes, "456789", 6);
	assert_false(bulk->asked);
}

static void refused(struct bulk *bulk, const char *text, enum ota_err expected)
{
	const uint8_t *bytes;
	struct ota_why why;

	text_done(&bulk->wire.in);
	text_put(&bulk->wire.in, text);
	assert_int_equal(bulk_next(bulk, 10, &bytes, &why), expected);
}

static void what_is_no_range_of_that_length_is_refused(void **state)
{
	static char endless[2 * BULK_HEAD_MAX];
	struct bulk *bulk = *state;

	refused(bulk, "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n", OTA_CHUNK_REFUSED);
	refused(bulk, "HTTP/1.1 404 Not Found\r\nContent-Length: 10\r\n\r\n",
		OTA_CHUNK_REFUSED);
	refused(bulk, "HTTP/1.1 206 OK\r\nContent-Length: 11\r\n\r\n", OTA_SIZE_MISMATCH);
	refused(bulk, "HTTP/1.1 206 OK\r\nContent-Length: -1\r\n\r\n", OTA_SIZE_MISMATCH);
	refused(bulk, "HTTP/1.1 206 OK\r\n\r\n", OTA_SIZE_MISMATCH);
	memset(endless, 'a', sizeof(endless) - 1);
	refused(bulk, endless, OTA_CONNECTION_LOST);
}

static void an_address_that_is_not_https_is_refused(void **state)
{
	struct bulk_peer peer;
	struct ota_why why;

	(void)state;
	assert_int_equal(bulk_peer_find("http://localhost/blobs", &peer, &why),
			 OTA_BAD_REQUEST);
	assert_ok(bulk_peer_find("https://127.0.0.1:8443/b/", &peer, &why), why);
	assert_string_equal(peer.host, "127.0.0.1:8443");
	assert_string_equal(peer.base, "/b");
	assert_string_equal(peer.peer.host, "127.0.0.1");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(
			a_request_names_the_blob_by_its_digest_and_the_range, set_up,
			tear_down),
		cmocka_unit_test_setup_teardown(an_answer_that_comes_byte_by_byte_is_read,
						set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_body_is_taken_in_pieces, set_up, tear_down),
		cmocka_unit_test_setup_teardown(what_is_no_range_of_that_length_is_refused,
						set_up, tear_down),
		cmocka_unit_test_setup_teardown(an_address_that_is_not_https_is_refused, set_up,
						tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
