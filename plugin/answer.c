/* Answers: what was said to commands that came with an idempotency key, so that the same key
 * again does nothing and hears the same. At most ANSWERS_MAX, for a day. */
#include "service.h"

#include "own.h"

#include <string.h>

#define ANSWERS_MAX   20000u
#define ANSWER_MS     UINT64_C(86400000)
#define ANSWER_KEY    160
#define KEY_SEPARATOR '\x1f'

struct answer {
	UT_hash_handle hh;
	char *reply;
	uint64_t time_ms;
	char manager[NAME_SIZE];
	char key[ANSWER_KEY]; /* manager, separator, key */
};

struct answer_table {
	struct answer *answers; /* in the order in which they came */
};

enum ota_err answer_table_new(struct answer_table **ret_table, struct ota_why *why)
{
	struct answer_table *table = calloc(1, sizeof(*table));

	if (!table)
		return ota_fail(why, OTA_OUT_OF_MEMORY, "no memory for answers");
	*ret_table = table;
	return OTA_OK;
}

static void forget(struct answer_table *table, struct answer *answer)
{
	HASH_DEL(table->answers, answer);
	free(answer->reply);
	free(answer);
}

void answer_table_free(struct answer_table *table)
{
	if (!table)
		return;
	while (table->answers)
		forget(table, table->answers);
	free(table);
}

static void key_of(char to[ANSWER_KEY], const char *manager, const char *key)
{
	snprintf(to, ANSWER_KEY, "%s%c%s", manager, KEY_SEPARATOR, key);
}

enum ota_err answer_take(struct answer_table *table, const struct store_answer *row,
			 struct ota_why *why)
{
	struct answer *answer = calloc(1, sizeof(*answer));

	if (answer)
		answer->reply = strdup(row->reply ? row->reply : "");
	if (!answer || !answer->reply) {
		free(answer);
		return ota_fail(why, OTA_OUT_OF_MEMORY, "no memory for an answer");
	}
	answer->time_ms = row->time_ms;
	text_copy(answer->manager, sizeof(answer->manager), row->manager);
	key_of(answer->key, row->manager, row->key ? row->key : "");
	if (HASH_COUNT(table->answers) >= ANSWERS_MAX)
		forget(table, table->answers);
	HASH_ADD_STR(table->answers, key, answer);
	return OTA_OK;
}

const char *answer_find(const struct answer_table *table, const char *manager, const char *key)
{
	struct answer *answer;
	char text[ANSWER_KEY];

	key_of(text, manager, key);
	HASH_FIND_STR(table->answers, text, answer);
	return answer ? answer->reply : NULL;
}

void answer_sweep(struct answer_table *table, struct store *store, uint64_t now_ms)
{
	struct answer *answer, *next;

	HASH_ITER (hh, table->answers, answer, next) {
		struct store_row row = {.kind = STORE_ANSWER, .gone = true};
		uint64_t ticket;

		if (now_ms < answer->time_ms + ANSWER_MS)
			continue;
		text_copy(row.answer.manager, sizeof(row.answer.manager), answer->manager);
		row.answer.key = strchr(answer->key, KEY_SEPARATOR) + 1;
		if (store->write(store->ctx, &row, 1, &ticket, NULL))
			return; /* the queue is full: at the next sweep */
		forget(table, answer);
	}
}
