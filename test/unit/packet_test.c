#include "unit.h"

#include "packet.h"

static struct packet whole(const struct text *text)
{
	struct packet packet = {0};
	size_t used = 0;

	assert_int_equal(packet_next((const uint8_t *)text->data, text->len, &packet, &used),
			 PACKET_WHOLE);
	assert_int_equal(used, text->len);
	return packet;
}

static void a_publish_comes_back_as_it_was_sent(void **state)
{
	(void)state;
	static const size_t sizes[] = {0, 1, 100, 127, 128, 16383, 16384, 70000};
	uint8_t *payload = test_calloc(70000, 1);

	for (size_t i = 0; i < sizeof(sizes) / sizeof(*sizes); i++) {
		struct text text = {0};
		struct packet_message message;

		packet_publish(&text, "ota/v1/d/d1/get", payload, sizes[i], i % 2, 77);
		struct packet packet = whole(&text);
		assert_int_equal(packet.type, PACKET_PUBLISH);
		assert_true(packet_read_publish(&packet, &message));
		assert_int_equal(message.len, sizes[i]);
		assert_int_equal(message.qos, i % 2);
		assert_int_equal(message.id, i % 2 ? 77 : 0);
		assert_int_equal(message.topic_len, strlen("ota/v1/d/d1/get"));
		assert_memory_equal(message.topic, "ota/v1/d/d1/get", message.topic_len);
		text_done(&text);
	}
	test_free(payload);
}

static void a_packet_that_is_not_all_there_waits_for_more(void **state)
{
	(void)state;
	struct text text = {0};
	struct packet packet;
	size_t used;

	packet_publish(&text, "a/b", "0123456789", 10, 1, 1);
	for (size_t len = 0; len < text.len; len++) {
		uint8_t *part = test_malloc(len + 1); /* a sanitizer sees a read beyond it */

		memcpy(part, text.data, len);
		assert_int_equal(packet_next(part, len, &packet, &used), PACKET_PART);
		test_free(part);
	}
	text_done(&text);
}

static void nonsense_is_no_packet(void **state)
{
	(void)state;
	static const uint8_t endless[] = {0x30, 0xff, 0xff, 0xff, 0xff, 0x01};
	static const uint8_t huge[] = {0x30, 0xff, 0xff, 0xff, 0x7f};
	struct packet packet;
	size_t used;

	assert_int_equal(packet_next(endless, sizeof(endless), &packet, &used), PACKET_BROKEN);
	assert_int_equal(packet_next(huge, sizeof(huge), &packet, &used), PACKET_BROKEN);
}

static void a_malformed_body_is_refused(void **state)
{
	(void)state;
	static const uint8_t topic_too_long[] = {0, 9, 'a'};
	static const uint8_t properties_too_long[] = {0, 1, 'a', 5, 0};
	struct packet_message message;
	struct packet packet = {
		.type = PACKET_PUBLISH, .body = topic_too_long, .len = sizeof(topic_too_long)};
	unsigned id, code;

	assert_false(packet_read_publish(&packet, &message));
	packet.body = properties_too_long;
	packet.len = sizeof(properties_too_long);
	assert_false(packet_read_publish(&packet, &message));
	packet.len = 1;
	assert_false(packet_read_suback(&packet, &id, &code));
	assert_false(packet_read_connack(&packet, &code));
	assert_false(packet_read_puback(&packet, &id, &code));
}

static void a_subscribe_carries_every_filter(void **state)
{
	(void)state;
	static const char *const topics[] = {"one", "two/2"};
	static const uint8_t expected[] = {0x82, 17, 0, 5,   0,	  0,   3,   'o', 'n', 'e',
					   1,	 0,  5, 't', 'w', 'o', '/', '2', 1};
	struct text text = {0};

	packet_subscribe(&text, 5, topics, 2, 1);
	assert_int_equal(text.len, sizeof(expected));
	assert_memory_equal(text.data, expected, sizeof(expected));
	text_done(&text);
}

static void the_worst_code_of_a_suback_counts(void **state)
{
	(void)state;
	static const uint8_t body[] = {0, 9, 0, 1, 0x87, 1};
	struct packet packet = {.type = PACKET_SUBACK, .body = body, .len = sizeof(body)};
	unsigned id, code;

	assert_true(packet_read_suback(&packet, &id, &code));
	assert_int_equal(id, 9);
	assert_int_equal(code, 0x87);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_publish_comes_back_as_it_was_sent),
		cmocka_unit_test(a_packet_that_is_not_all_there_waits_for_more),
		cmocka_unit_test(nonsense_is_no_packet),
		cmocka_unit_test(a_malformed_body_is_refused),
		cmocka_unit_test(a_subscribe_carries_every_filter),
		cmocka_unit_test(the_worst_code_of_a_suback_counts),
	};

	return cmocka_run_group_tests_name("packet", tests, NULL, NULL);
}
