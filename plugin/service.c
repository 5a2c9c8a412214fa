#include "service.h"

#include "file.h"
#include "own.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#define SWEEP_MS       1000u
#define PRUNE_MS       3600000u
#define TICK_BUDGET_US 3000u /* the next comes 2 ms later while there is more to do */

static uint64_t clock_us(clockid_t id)
{
	struct timespec now;

	clock_gettime(id, &now);
	return (uint64_t)now.tv_sec * 1000000u + (uint64_t)now.tv_nsec / 1000u;
}

/* Milliseconds are read several times for each message: these clocks cost a tenth. */
uint64_t service_now_ms(void)
{
	return clock_us(CLOCK_REALTIME_COARSE) / 1000;
}

uint64_t service_mono_ms(void)
{
	return clock_us(CLOCK_MONOTONIC_COARSE) / 1000;
}

uint64_t service_mono_us(void)
{
	return clock_us(CLOCK_MONOTONIC);
}

void service_log(struct service *service, enum broker_level level, const char *format, ...)
{
	char sentence[1024];
	va_list args;

	va_start(args, format);
	vsnprintf(sentence, sizeof(sentence), format, args);
	va_end(args);
	service->broker.log(service->broker.ctx, level, sentence);
}

const struct settings *service_settings(const struct service *service)
{
	return &service->settings;
}

void service_kick(struct service *service, enum identity_role role, const char *name)
{
	if (service->kick_count == SERVICE_KICKS_MAX)
		return; /* the deny-list holds all the same; only the session lives on */
	service->kicks[service->kick_count].role = role;
	text_copy(service->kicks[service->kick_count].name, NAME_SIZE, name);
	service->kick_count++;
}

/* ---- audit ---- */

/* An audit row is lines: no member may hold a newline, whoever wrote it. */
static char *one_line(char *to, size_t size, const char *from)
{
	text_sanitize(to, size, from ? from : "", from ? strlen(from) : 0, false);
	return to[0] ? to : NULL;
}

uint64_t service_audit(struct service *service, const struct service_deed *deed)
{
	char who[128], from[64], what[64], product[NAME_SIZE], object[TOPIC_SIZE];
	char why_text[OTA_WHY_TEXT_MAX];
	struct store_row row = {
		.kind = STORE_AUDIT,
		.audit = {.time_ms = service_now_ms(),
			  .who = one_line(who, sizeof(who), deed->who),
			  .from = one_line(from, sizeof(from), deed->from),
			  .what = one_line(what, sizeof(what), deed->what),
			  .product = one_line(product, sizeof(product), deed->product),
			  .object = one_line(object, sizeof(object), deed->object),
			  .decision = (uint32_t)deed->decision,
			  .why = one_line(why_text, sizeof(why_text), deed->why)},
	};
	struct ota_why why = {0};
	uint64_t ticket = 0;

	row.audit.sequence = engine_next_sequence(service->engine);
	if (service->store->write(service->store->ctx, &row, 1, &ticket, &why)) {
		service->figures.failed_writes++;
		return 0;
	}
	return ticket;
}

void service_blame(struct service *service, struct session *session,
		   const struct service_deed *deed)
{
	static struct guard_window strangers;
	struct guard_window *window = session ? &session->errors : &strangers;
	uint64_t most = service->settings.errors_per_min * (session ? 1 : 10);

	if (!guard_count(window, service_mono_ms(), 60000, (uint32_t)most))
		return;
	service_audit(service, deed);
	service_log(service, BROKER_WARNING, "%s refused to '%s' from %s: %s%s%s%s",
		    deed->what ? deed->what : "", deed->who ? deed->who : "",
		    deed->from ? deed->from : "?", deed->why ? deed->why : "",
		    deed->object ? " (" : "", deed->object ? deed->object : "",
		    deed->object ? ")" : "");
}

/* ---- the store's answers ---- */

static void saved(void *ctx, uint64_t ticket, enum ota_err err, const struct ota_why *why)
{
	struct service *service = ctx;

	if (err) {
		service->figures.failed_writes++;
		service_log(service, BROKER_ERROR, "the store failed: %s", why->text);
	}
	if (engine_saved(service->engine, ticket, err))
		service->next_tick_ms = 0;
	command_saved(service, ticket, err, why);
}

static void answered(void *ctx, uint64_t ticket, const struct store_page *page,
		     enum ota_err err, const struct ota_why *why)
{
	command_answered(ctx, ticket, page, err, why);
}

void service_poll(struct service *service)
{
	const struct store_poll to = {.ctx = service, .saved = saved, .answered = answered};

	if (!worker_has_finished(service->worker))
		return;
	outbox_acks_gather(service);
	service->store->poll(service->store->ctx, &to);
	outbox_acks_send(service);
}

/* ---- uploads ---- */

static void upload_news(void *ctx, const struct upload_state *state)
{
	struct service *service = ctx;
	struct store_row row = {.kind = STORE_BLOB,
				.blob = {.sha256 = state->sha256,
					 .size = state->size,
					 .created_ms = service_now_ms()}};
	struct upload_state news = *state;
	struct ota_why why = {0};
	uint64_t ticket;

	if (service->closing)
		return;
	if (state->done) {
		/* The file's name is its truth; the row only spares a walk at start. */
		text_copy(row.blob.product, sizeof(row.blob.product), state->product);
		news.err = blob_add(&service->blobs, &state->sha256, state->size,
				    row.blob.created_ms, state->product, NULL, &why);
		if (!news.err)
			news.err = service->store->write(service->store->ctx, &row, 1, &ticket,
							 &why);
		news.done = !news.err;
		news.why = news.err ? &why : state->why;
	}
	outbox_upload_news(service, &news);
}

static void upload_begun(void *ctx, void *asker, const struct upload_state *state)
{
	command_begun(ctx, asker, state);
}

/* ---- start ---- */

static enum ota_err make_engine(struct service *service, struct ota_why *why)
{
	const struct settings *settings = &service->settings;
	struct engine_limits limits;
	struct engine_io io;

	engine_limits_default(&limits);
	limits.shards = (uint32_t)settings->shards;
	limits.max_concurrent = (uint32_t)settings->max_concurrent;
	limits.rate = settings->rate;
	limits.retry_ms[0] = settings->retry_1_ms;
	limits.retry_ms[1] = settings->retry_2_ms;
	limits.retry_ms[2] = settings->retry_3_ms;
	limits.penalty_ms = settings->penalty_ms;
	limits.grant_ms = settings->grant_ms;
	for (int state = 0; settings->silence_ms && state < UPDATE_STATE_COUNT; state++)
		limits.state_ms[state] = settings->silence_ms;
	outbox_engine_io(service, &io);
	return engine_new(&io, &limits, &service->engine, why);
}

static enum ota_err open_parts(struct service *service, struct ota_why *why)
{
	const struct settings *settings = &service->settings;
	struct upload_limits limits = {.quota_bytes = settings->store_quota,
				       .reserve_percent = settings->store_reserve};
	struct upload_seam seam = {.ctx = service, .news = upload_news, .begun = upload_begun};
	struct delivery_budget budget = {.young = (uint32_t)settings->chunk_budget,
					 .all = (uint32_t)settings->chunk_memory};
	enum ota_err err;

	delivery_init(&service->delivery, &budget);
	err = file_make_directory(settings->store_dir, 0750, why);
	if (err)
		return ota_context(why, err, "plugin_opt_store_dir");
	err = worker_new(&service->worker, why);
	if (!err)
		worker_set_wake(service->worker,
				&(struct worker_wake){.ctx = service->broker.ctx,
						      .call = service->broker.wake});
	if (!err)
		err = store_sqlite_open(settings->store_dir, service->worker, &service->sqlite,
					why);
	if (err)
		return ota_context(why, err, "plugin_opt_store_dir");
	service->store = store_sqlite_store(service->sqlite);
	err = blob_table_init(&service->blobs, settings->store_dir, why);
	if (!err)
		err = upload_table_new(settings->store_dir, service->worker, &limits, &seam,
				       &service->uploads, why);
	if (!err)
		err = manager_table_init(&service->managers, settings->admin, why);
	if (!err)
		err = answer_table_new(&service->answers, why);
	return err;
}

static enum ota_err start(struct service *service, const struct settings_pair *options,
			  size_t option_count, struct ota_why *why)
{
	uint64_t start_us = service_mono_us();
	enum ota_err err;

	service->kicks = calloc(SERVICE_KICKS_MAX, sizeof(*service->kicks));
	if (!service->kicks)
		return ota_fail(why, OTA_OUT_OF_MEMORY, "no memory for the plugin");
	err = settings_read(options, option_count, &service->settings, why);
	if (!err)
		err = open_parts(service, why);
	if (!err)
		err = make_engine(service, why);
	if (!err)
		err = service_load(service, why);
	if (!err)
		err = worker_start(service->worker, why);
	service->started_ms = service_now_ms();
	service->start_took_ms = (service_mono_us() - start_us) / 1000;
	return err;
}

enum ota_err service_new(const struct broker *broker, const struct settings_pair *options,
			 size_t option_count, bool is_21, struct service **ret_service,
			 struct ota_why *why)
{
	struct service *service = calloc(1, sizeof(*service));
	enum ota_err err;

	if (!service)
		return ota_fail(why, OTA_OUT_OF_MEMORY, "no memory for the plugin");
	service->broker = *broker;
	service->is_21 = is_21;
	service->last_call = &service->first_call;
	session_table_init(&service->sessions);
	err = start(service, options, option_count, why);
	if (err) {
		service_free(service);
		return err;
	}
	*ret_service = service;
	return OTA_OK;
}

void service_free(struct service *service)
{
	struct service_connects *connects, *next;

	if (!service)
		return;
	service->closing = true;
	worker_free(service->worker);
	command_drop_all(service);
	upload_table_free(service->uploads);
	engine_free(service->engine);
	store_sqlite_close(service->sqlite);
	trust_free(service->trust);
	session_table_done(&service->sessions);
	manager_table_done(&service->managers);
	blob_table_done(&service->blobs);
	delivery_done(&service->delivery);
	answer_table_free(service->answers);
	HASH_ITER (hh, service->connects, connects, next) {
		HASH_DEL(service->connects, connects);
		free(connects);
	}
	for (uint32_t i = 0; i < service->root_count; i++)
		free(service->roots[i].envelope);
	free(service->roots);
	text_done(&service->offer.text);
	free(service->head);
	free(service->kicks);
	settings_done(&service->settings);
	free(service);
}

/* ---- messages ---- */

static void take_message(struct service *service, const struct session_client *client,
			 const struct topic *topic, const void *payload, size_t len)
{
	struct session *session = NULL;
	bool is_new;

	/* Access was decided a moment ago; this only finds the session, and stops what comes
	 * past access control (a bridge). */
	if (session_of(&service->sessions, client, service_mono_ms(), &session, &is_new,
		       NULL) ||
	    !session)
		return;
	if (session->identity.role == IDENTITY_DEVICE) {
		if (strcmp(topic->name, session->identity.name) == 0)
			inbox_device(service, session, topic, payload, len);
	} else if (topic->kind == TOPIC_COMMAND) {
		command_message(service, session, payload, len);
	} else if (topic->kind == TOPIC_UPLOAD &&
		   strcmp(topic->name, session->identity.name) == 0) {
		inbox_upload(service, session, payload, len);
	}
}

static const struct {
	enum topic_kind topic;
	enum metric_kind metric;
} message_metrics[] = {
	{TOPIC_HELLO, METRIC_HELLO},	 {TOPIC_REPORT, METRIC_REPORT},
	{TOPIC_CONSENT, METRIC_CONSENT}, {TOPIC_GET, METRIC_GET},
	{TOPIC_COMMAND, METRIC_COMMAND}, {TOPIC_UPLOAD, METRIC_UPLOAD},
};

void service_message(struct service *service, const struct session_client *client,
		     const char *topic_text, const void *payload, size_t len)
{
	struct metric_span span = metric_begin(true);
	struct topic topic;

	topic_parse(topic_text, &topic);
	service_poll(service);
	take_message(service, client, &topic, payload, len);
	for (size_t i = 0; i < sizeof(message_metrics) / sizeof(*message_metrics); i++)
		if (message_metrics[i].topic == topic.kind)
			metric_end(&service->metrics[message_metrics[i].metric], &span);
}

/* ---- time ---- */

static void kick_one(void *ctx, const struct session *session)
{
	struct text *ids = ctx;

	text_add(ids, session->client_id, strlen(session->client_id) + 1);
}

/* Ending a session calls back into the plugin: so first the list, then the deed. */
static void kick_all(struct service *service)
{
	AUTO(text_done) struct text ids = {0};
	size_t at = 0;

	for (uint32_t i = 0; i < service->kick_count; i++)
		session_each(&service->sessions, service->kicks[i].role, service->kicks[i].name,
			     kick_one, &ids);
	service->kick_count = 0;
	while (!ids.failed && at < ids.len) {
		service->broker.kick(service->broker.ctx, ids.data + at);
		at += strlen(ids.data + at) + 1;
	}
}

static void prune(struct service *service)
{
	const struct settings *settings = &service->settings;
	uint64_t now_ms = service_now_ms(), ticket;
	struct ota_why why = {0};

	if (service->store->prune(
		    service->store->ctx,
		    now_ms > settings->history_ms ? now_ms - settings->history_ms : 0,
		    now_ms > settings->evidence_ms ? now_ms - settings->evidence_ms : 0,
		    &ticket, &why))
		service_log(service, BROKER_WARNING, "history is not pruned: %s", why.text);
	upload_prune(service->uploads);
	answer_sweep(service->answers, service->store, now_ms);
}

static bool run_tick(struct service *service, uint64_t now_ms)
{
	uint64_t start_us = service_mono_us();
	uint64_t fanned = service->fanned;
	bool more;

	/* What was fanned out costs the broker its time after this call, not within it. */
	do {
		more = engine_tick(service->engine);
	} while (more && fanned == service->fanned &&
		 service_mono_us() - start_us < TICK_BUDGET_US);
	service->next_tick_ms = now_ms + (more ? 0 : SERVICE_TICK_MS / 2);
	summon_tick(&service->summon, service, now_ms);
	outbox_gap(service, now_ms);
	if (now_ms >= service->next_sweep_ms) {
		service->next_sweep_ms = now_ms + SWEEP_MS;
		session_sweep(&service->sessions, now_ms);
		upload_sweep(service->uploads, now_ms);
	}
	if (now_ms >= service->next_prune_ms) {
		service->next_prune_ms = now_ms + PRUNE_MS;
		prune(service);
	}
	return more;
}

bool service_tick(struct service *service)
{
	uint64_t now_ms = service_mono_ms();
	uint64_t published = service->published;
	struct metric_span span;
	bool more = false;

	if (now_ms < service->next_tick_ms && !service->kick_count &&
	    !worker_has_finished(service->worker))
		return false; /* a busy broker ticks tens of thousands of times a second */
	span = metric_begin(true);
	service_poll(service);
	if (now_ms >= service->next_tick_ms)
		more = run_tick(service, now_ms);
	more |= command_tick(service);
	if (service->kick_count > 0)
		kick_all(service);
	more |= worker_has_finished(service->worker);
	/* 2.1 sends what was published here only after its next wait for events. */
	if (more || (service->is_21 && published != service->published))
		worker_nudge(service->worker);
	metric_end(&service->metrics[METRIC_TICK], &span);
	return more;
}
