#include "pending.h"

#include "own.h"

#include <pthread.h>
#include <string.h>

struct waiting {
	bool used;
	char id[PENDING_ID_SIZE];
	uint64_t deadline_ms;
	control_answer answer;
	void *ctx;
};

struct pending {
	pthread_mutex_t lock;
	char prefix[17];
	uint64_t serial;
	struct waiting table[CONTROL_PENDING_MAX];
};

enum ota_err pending_new(const char *prefix, struct pending **ret_pending, struct ota_why *why)
{
	struct pending *pending = calloc(1, sizeof(*pending));

	if (!pending)
		return ota_fail(why, OTA_OUT_OF_MEMORY, "no memory for requests");
	pthread_mutex_init(&pending->lock, NULL);
	text_copy(pending->prefix, sizeof(pending->prefix), prefix);
	*ret_pending = pending;
	return OTA_OK;
}

void pending_free(struct pending *pending)
{
	if (!pending)
		return;
	pthread_mutex_destroy(&pending->lock);
	free(pending);
}

enum ota_err pending_add(struct pending *pending, uint64_t deadline_ms, control_answer answer,
			 void *ctx, char ret_id[PENDING_ID_SIZE], struct ota_why *why)
{
	unsigned i;

	pthread_mutex_lock(&pending->lock);
	for (i = 0; i < CONTROL_PENDING_MAX && pending->table[i].used; i++)
		;
	if (i < CONTROL_PENDING_MAX) {
		struct waiting *place = &pending->table[i];

		snprintf(place->id, sizeof(place->id), "%s-%llu", pending->prefix,
			 (unsigned long long)++pending->serial);
		place->used = true;
		place->deadline_ms = deadline_ms;
		place->answer = answer;
		place->ctx = ctx;
		memcpy(ret_id, place->id, PENDING_ID_SIZE);
	}
	pthread_mutex_unlock(&pending->lock);
	if (i == CONTROL_PENDING_MAX)
		return ota_fail(why, OTA_BUSY, "%d requests are waiting for their answers",
				CONTROL_PENDING_MAX);
	return OTA_OK;
}

/* Takes the entry out of the table; false when there is none. */
static bool take_id(struct pending *pending, const char *id, struct waiting *ret)
{
	bool found = false;
	unsigned i;

	pthread_mutex_lock(&pending->lock);
	for (i = 0; i < CONTROL_PENDING_MAX && !found; i++) {
		if (!pending->table[i].used || strcmp(pending->table[i].id, id) != 0)
			continue;
		*ret = pending->table[i];
		pending->table[i].used = false;
		found = true;
	}
	pthread_mutex_unlock(&pending->lock);
	return found;
}

static bool take_overdue(struct pending *pending, uint64_t now_ms, struct waiting *ret)
{
	bool found = false;
	unsigned i;

	pthread_mutex_lock(&pending->lock);
	for (i = 0; i < CONTROL_PENDING_MAX && !found; i++) {
		if (!pending->table[i].used || pending->table[i].deadline_ms > now_ms)
			continue;
		*ret = pending->table[i];
		pending->table[i].used = false;
		found = true;
	}
	pthread_mutex_unlock(&pending->lock);
	return found;
}

bool pending_drop(struct pending *pending, const char *id)
{
	struct waiting dropped;

	return take_id(pending, id, &dropped);
}

enum ota_err pending_error(const struct view *error, struct ota_why *why)
{
	enum ota_err err = OTA_INTERNAL;
	char text[OTA_WHY_TEXT_MAX];
	const char *message = view_text(view_at(error, "message"));

	if (!ota_err_from_number((unsigned)view_number(view_at(error, "number")), &err) ||
	    err == OTA_OK)
		err = OTA_INTERNAL;
	text_sanitize(text, sizeof(text), message, strlen(message), false);
	return ota_fail(why, err, "%s", text[0] ? text : ota_err_sentence(err));
}

void pending_answer(struct pending *pending, const struct view *reply)
{
	struct waiting waiting;
	struct ota_why why = {0};
	enum ota_err err = OTA_OK;

	if (!take_id(pending, view_text(view_at(reply, "id")), &waiting))
		return;
	if (!view_is_true(view_at(reply, "ok")))
		err = pending_error(view_at(reply, "error"), &why);
	waiting.answer(waiting.ctx, err, &why, err ? NULL : view_at(reply, "result"));
}

void pending_expire(struct pending *pending, uint64_t now_ms)
{
	struct waiting waiting;
	struct ota_why why;

	while (take_overdue(pending, now_ms, &waiting)) {
		enum ota_err err = ota_fail(
			&why, OTA_DOWNLOAD_STALLED,
			"no answer in time: is the plugin loaded, and is this a manager's "
			"certificate?");

		waiting.answer(waiting.ctx, err, &why, NULL);
	}
}

void pending_fail_all(struct pending *pending, enum ota_err err, const char *text)
{
	struct waiting waiting;
	struct ota_why why;

	while (take_overdue(pending, UINT64_MAX, &waiting))
		waiting.answer(waiting.ctx, ota_fail(&why, err, "%s", text), &why, NULL);
}
