#include "blob_send.h"

#include "file.h"
#include "message.h"
#include "own.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#define SIZE (10u << 20)

/* A plugin that stores what it gets: `cut_at` once drops the connection, `limit` refuses. */
struct fake {
	struct blob_send_table *table;
	uint8_t *stored;
	uint64_t offset, size, unanswered_max, sent, answered;
	uint64_t cut_at;
	unsigned begins, frames, waits, repeats;
	bool is_cut, silent, slow, there_already, refuses;
};

static void answer(struct fake *fake, const char *more)
{
	struct view_tree *tree = NULL;
	char text[256];

	snprintf(text, sizeof(text),
		 "{\"upload\":\"00000000000000aa\",\"offset\":%llu,\"done\":%s%s}",
		 (unsigned long long)fake->offset,
		 fake->offset == fake->size ? "true" : "false", more);
	assert_int_equal(view_read(text, strlen(text), 4096, &tree, NULL), OTA_OK);
	blob_send_answer(fake->table, view_root(tree));
	view_free(tree);
	fake->answered = fake->offset;
}

static enum ota_err begin(void *ctx, const char *args, const char *token,
			  struct view_tree **ret_result, struct ota_why *why)
{
	struct fake *fake = ctx;
	char text[256];

	assert_non_null(strstr(args, "\"product\":\"p\""));
	assert_null(token);
	fake->begins++;
	fake->is_cut = false;
	fake->answered = fake->sent = fake->offset;
	snprintf(text, sizeof(text),
		 "{\"upload\":\"00000000000000aa\",\"offset\":%llu,\"done\":%s}",
		 (unsigned long long)fake->offset, fake->there_already ? "true" : "false");
	return view_read(text, strlen(text), 4096, ret_result, why);
}

static enum ota_err send(void *ctx, const void *frame, size_t len, struct ota_why *why)
{
	struct upload_frame got;
	struct fake *fake = ctx;

	if (fake->is_cut)
		return ota_fail(why, OTA_UNREACHABLE, "cut");
	assert_int_equal(upload_read(frame, len, &got, why), OTA_OK);
	assert_int_equal(got.upload, 0xaa);
	if (got.offset + got.data_len == fake->offset) { /* asks how far we are */
		fake->repeats++;
		assert_memory_equal(fake->stored + got.offset, got.data, got.data_len);
		if (!fake->silent)
			answer(fake, "");
		return OTA_OK;
	}
	assert_int_equal(got.offset, fake->offset);
	fake->frames++;
	memcpy(fake->stored + got.offset, got.data, got.data_len);
	fake->offset += got.data_len;
	if (fake->offset - fake->answered > fake->unanswered_max)
		fake->unanswered_max = fake->offset - fake->answered;
	if (fake->cut_at && fake->offset >= fake->cut_at) {
		fake->cut_at = 0;
		fake->is_cut = true;
		blob_send_fail_all(fake->table);
		return OTA_OK;
	}
	if (fake->refuses)
		answer(fake, ",\"error\":{\"name\":\"quota_exceeded\",\"number\":108,"
			     "\"message\":\"full\"}");
	else if (!fake->silent && !fake->slow &&
		 (fake->offset == fake->size || fake->offset - fake->answered >= 1u << 20))
		answer(fake, "");
	return OTA_OK;
}

static enum ota_err wait_line(void *ctx, struct ota_why *why)
{
	struct fake *fake = ctx;

	(void)why;
	fake->waits++;
	return OTA_OK;
}

static FILE *file;
static uint8_t *bytes;

static int make_file(void **state)
{
	(void)state;
	bytes = malloc(SIZE);
	file = tmpfile();
	if (!bytes || !file)
		return -1;
	for (size_t i = 0; i < SIZE; i++)
		bytes[i] = (uint8_t)(i * 2654435761u >> 24);
	return file_write_all(fileno(file), bytes, SIZE, NULL) == OTA_OK ? 0 : -1;
}

static int drop_file(void **state)
{
	(void)state;
	fclose(file);
	free(bytes);
	return 0;
}

static enum ota_err run(struct fake *fake, uint64_t patience_ms, struct ota_why *why)
{
	const struct blob_send_seam seam = {fake, begin, send, wait_line};
	const struct control_upload upload = {.product = "p", .size = SIZE, .fd = fileno(file)};
	enum ota_err err;

	fake->size = SIZE;
	fake->stored = calloc(1, SIZE);
	assert_int_equal(blob_send_table_new(&fake->table, why), OTA_OK);
	err = blob_send_run(fake->table, &seam, &upload, patience_ms, why);
	blob_send_table_free(fake->table);
	return err;
}

static void every_byte_arrives_within_the_window(void **state)
{
	struct fake fake = {0};
	struct ota_why why;

	(void)state;
	assert_int_equal(run(&fake, 1000, &why), OTA_OK);
	assert_memory_equal(fake.stored, bytes, SIZE);
	assert_int_equal(fake.begins, 1);
	assert_int_equal(fake.frames, SIZE / MESSAGE_UPLOAD_DATA_MAX);
	assert_true(fake.unanswered_max <= MESSAGE_UPLOAD_WINDOW);
	free(fake.stored);
}

static void a_cut_connection_goes_on_where_the_plugin_says(void **state)
{
	struct fake fake = {.cut_at = 3u << 20};
	struct ota_why why;

	(void)state;
	assert_int_equal(run(&fake, 1000, &why), OTA_OK);
	assert_memory_equal(fake.stored, bytes, SIZE);
	assert_int_equal(fake.begins, 2);
	assert_int_equal(fake.waits, 1);
	assert_int_equal(fake.frames, SIZE / MESSAGE_UPLOAD_DATA_MAX);
	free(fake.stored);
}

static void a_blob_that_is_there_is_not_sent(void **state)
{
	struct fake fake = {.there_already = true};
	struct ota_why why;

	(void)state;
	assert_int_equal(run(&fake, 1000, &why), OTA_OK);
	assert_int_equal(fake.frames, 0);
	free(fake.stored);
}

static void a_refusal_is_told_in_the_plugins_words(void **state)
{
	struct fake fake = {.refuses = true};
	struct ota_why why;

	(void)state;
	assert_int_equal(run(&fake, 1000, &why), OTA_QUOTA_EXCEEDED);
	assert_string_equal(why.text, "full");
	assert_int_equal(fake.begins, 1);
	free(fake.stored);
}

static void a_plugin_that_waits_for_its_tick_is_asked_how_far_it_is(void **state)
{
	struct fake fake = {.slow = true};
	struct ota_why why;

	(void)state;
	assert_int_equal(run(&fake, 1000, &why), OTA_OK);
	assert_memory_equal(fake.stored, bytes, SIZE);
	assert_int_equal(fake.begins, 1);
	assert_int_equal(fake.frames, SIZE / MESSAGE_UPLOAD_DATA_MAX);
	assert_int_equal(fake.repeats,
			 (SIZE + MESSAGE_UPLOAD_WINDOW - 1) / MESSAGE_UPLOAD_WINDOW);
	free(fake.stored);
}

static void a_silent_plugin_is_not_waited_for_for_ever(void **state)
{
	struct fake fake = {.silent = true, .offset = 0};
	struct ota_why why;

	(void)state;
	assert_int_equal(run(&fake, 20, &why), OTA_DOWNLOAD_STALLED);
	assert_true(fake.begins >= 2);
	free(fake.stored);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_byte_arrives_within_the_window),
		cmocka_unit_test(a_cut_connection_goes_on_where_the_plugin_says),
		cmocka_unit_test(a_blob_that_is_there_is_not_sent),
		cmocka_unit_test(a_refusal_is_told_in_the_plugins_words),
		cmocka_unit_test(a_plugin_that_waits_for_its_tick_is_asked_how_far_it_is),
		cmocka_unit_test(a_silent_plugin_is_not_waited_for_for_ever),
	};

	return cmocka_run_group_tests(tests, make_file, drop_file);
}
