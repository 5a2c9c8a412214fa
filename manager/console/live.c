/* One thread looks at all streams every LIVE_PERIOD_MS / 4 and asks for those that are due; the
 * answers come on the control client's thread. A stream is freed by whoever sees last that its
 * peer has gone and that no answer is outstanding. */
#include "live.h"

#include "problem.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define PAGE 200

struct stream {
	struct stream *next;
	struct live *live;
	struct http_stream *out; /* NULL once the peer is gone */
	char product[NAME_SIZE], token[SERVER_TOKEN_SIZE];
	uint64_t seq;
	bool seq_known, asking, ending, away, ready;
	uint64_t due_ms, beat_ms;
};

struct live {
	struct control_client *control;
	pthread_mutex_t lock;
	pthread_cond_t wake;
	pthread_t thread;
	struct stream *streams;
	unsigned count;
	bool stopping, running;
};

/* stream_put() to take_events() run under the lock. */

static void stream_put(struct stream *stream, const char *text, size_t len)
{
	if (stream->out && !stream->ending && !http_stream_put(stream->out, text, len)) {
		stream->ending = true;
		http_stream_end(stream->out);
	}
}

static void stream_event(struct stream *stream, const char *name, const char *data)
{
	struct text line = {0};

	text_printf(&line, "event: %s\n", name);
	if (stream->seq_known)
		text_printf(&line, "id: %" PRIu64 "\n", stream->seq);
	text_printf(&line, "data: %s\n\n", data);
	if (!line.failed)
		stream_put(stream, line.data, line.len);
	text_done(&line);
}

static void stream_end(struct stream *stream, const char *reason)
{
	struct text data = {0};

	text_put(&data, "{\"reason\":");
	json_put_string(&data, reason);
	text_put(&data, "}");
	if (!data.failed)
		stream_event(stream, "end", data.data);
	text_done(&data);
	if (stream->out && !stream->ending) {
		stream->ending = true;
		http_stream_end(stream->out);
	}
}

static void take_events(struct stream *stream, const struct view *result)
{
	for (const struct view *event = view_first(view_at(result, "items")); event;
	     event = view_next(event)) {
		uint64_t seq = view_number(view_at(event, "seq"));
		struct text data = {0};

		if (seq <= stream->seq)
			continue;
		stream->seq = seq;
		view_write(event, &data);
		if (!data.failed && data.data)
			stream_event(stream, view_text(view_at(event, "type")), data.data);
		text_done(&data);
	}
	if (view_at(result, "next"))
		stream->due_ms = 0;
}

static void on_events(void *ctx, enum ota_err err, const struct ota_why *why,
		      const struct view *result)
{
	struct stream *stream = ctx;
	struct live *live = stream->live;

	pthread_mutex_lock(&live->lock);
	stream->asking = false;
	stream->due_ms = server_now_ms() + LIVE_PERIOD_MS;
	if (err == OTA_UNAUTHORIZED || err == OTA_FORBIDDEN || err == OTA_NOT_FOUND) {
		stream_end(stream, ota_err_name(err));
	} else if (err) {
		if (!stream->away)
			stream_event(stream, "away", "{}");
		stream->away = true;
		stream->due_ms += LIVE_PERIOD_MS;
	} else {
		if (stream->away)
			stream_event(stream, "back", "{}");
		stream->away = false;
		bool from_now = !stream->seq_known;
		if (from_now)
			stream->seq = view_number(view_at(result, "stored.seq"));
		stream->seq_known = true;
		if (!stream->ready)
			stream_event(stream, "ready", "{}");
		stream->ready = true;
		if (!from_now)
			take_events(stream, result);
	}
	(void)why;
	pthread_cond_signal(&live->wake);
	pthread_mutex_unlock(&live->lock);
}

/* What is asked for a stream. Sent without the lock: the control client may hold its own while
 * it calls on_events(), which wants ours. A stream that is being asked for is not freed. */
struct question {
	struct stream *stream;
	char args[NAME_SIZE + 64], token[SERVER_TOKEN_SIZE];
	bool list;
};

static void question_make(struct stream *stream, struct question *question)
{
	question->stream = stream;
	question->list = stream->seq_known;
	text_copy(question->token, sizeof question->token, stream->token);
	snprintf(question->args, sizeof question->args,
		 "{\"product\":\"%s\",\"after\":\"%" PRIu64 "\",\"limit\":%d}", stream->product,
		 stream->seq, PAGE);
	stream->asking = true;
}

static void question_send(struct live *live, const struct question *question)
{
	struct control_request request = {.verb = question->list ? "event.list" : "status",
					  .args = question->list ? question->args : NULL,
					  .token = question->token};
	struct stream *stream = question->stream;

	if (!control_send(live->control, &request, on_events, stream, NULL))
		return;
	pthread_mutex_lock(&live->lock);
	stream->asking = false;
	stream->due_ms = server_now_ms() + 2 * LIVE_PERIOD_MS;
	if (!stream->away)
		stream_event(stream, "away", "{}");
	stream->away = true;
	pthread_mutex_unlock(&live->lock);
}

/* Frees the streams that nobody needs any more and says which are due, at most `max`. */
static unsigned look(struct live *live, uint64_t now, struct question *ret, unsigned max)
{
	unsigned count = 0;

	for (struct stream **at = &live->streams; *at;) {
		struct stream *stream = *at;
		if (!stream->out && !stream->asking) {
			*at = stream->next;
			live->count--;
			free(stream);
			continue;
		}
		if (stream->out && !stream->asking && !stream->ending &&
		    now >= stream->due_ms && count < max)
			question_make(stream, &ret[count++]);
		if (now >= stream->beat_ms) {
			stream->beat_ms = now + LIVE_BEAT_MS;
			stream_put(stream, ":\n\n", 3);
		}
		at = &stream->next;
	}
	return count;
}

static void *live_loop(void *arg)
{
	struct live *live = arg;

	pthread_mutex_lock(&live->lock);
	while (!live->stopping || live->streams) {
		struct question questions[16];
		struct timespec until;
		unsigned count = look(live, server_now_ms(), questions, 16);
		pthread_mutex_unlock(&live->lock);
		for (unsigned i = 0; i < count; i++)
			question_send(live, &questions[i]);
		pthread_mutex_lock(&live->lock);
		if (count == 16)
			continue; /* there may be more */
		clock_gettime(CLOCK_REALTIME, &until);
		until.tv_nsec += LIVE_PERIOD_MS / 4 * 1000000L;
		until.tv_sec += until.tv_nsec / 1000000000L;
		until.tv_nsec %= 1000000000L;
		pthread_cond_timedwait(&live->wake, &live->lock, &until);
	}
	pthread_mutex_unlock(&live->lock);
	return NULL;
}

enum ota_err live_new(struct control_client *control, struct live **ret_live,
		      struct ota_why *why)
{
	struct live *live = calloc(1, sizeof *live);

	if (!live)
		return ota_fail(why, OTA_OUT_OF_MEMORY, "no memory for live events");
	live->control = control;
	pthread_mutex_init(&live->lock, NULL);
	pthread_cond_init(&live->wake, NULL);
	int error = pthread_create(&live->thread, NULL, live_loop, live);
	if (error) {
		free(live);
		return ota_fail_errno(why, OTA_INTERNAL, error, "cannot start a thread");
	}
	live->running = true;
	*ret_live = live;
	return OTA_OK;
}

void live_stop(struct live *live)
{
	pthread_mutex_lock(&live->lock);
	live->stopping = true;
	for (struct stream *stream = live->streams; stream; stream = stream->next)
		stream_end(stream, "stopping");
	pthread_mutex_unlock(&live->lock);
}

void live_free(struct live *live)
{
	if (!live)
		return;
	pthread_mutex_lock(&live->lock);
	live->stopping = true;
	pthread_cond_signal(&live->wake);
	pthread_mutex_unlock(&live->lock);
	if (live->running)
		pthread_join(live->thread, NULL);
	pthread_cond_destroy(&live->wake);
	pthread_mutex_destroy(&live->lock);
	free(live);
}

static void stream_start(struct stream *stream, struct exchange *exchange)
{
	struct live *live = stream->live;

	http_set_header(exchange->http, "Cache-Control", "no-store");
	pthread_mutex_lock(&live->lock);
	if (live->count < LIVE_STREAMS_MAX && !live->stopping)
		stream->out = http_stream_begin(exchange->http, "text/event-stream", stream);
	if (stream->out) {
		stream->beat_ms = server_now_ms() + LIVE_BEAT_MS;
		stream->next = live->streams;
		live->streams = stream;
		live->count++;
		stream_put(stream, ":\n\n", 3);
		pthread_cond_signal(&live->wake);
	}
	pthread_mutex_unlock(&live->lock);
	if (!stream->out) {
		free(stream);
		problem_answer(exchange->http, OTA_BUSY, "too many live streams are open");
	}
}

struct opening {
	struct exchange *exchange;
	struct stream *stream;
};

static void on_opened(void *ctx, enum ota_err err, const struct ota_why *why,
		      const struct view *result)
{
	struct opening opening = *(struct opening *)ctx;

	(void)result;
	free(ctx);
	if (err) {
		free(opening.stream);
		server_refuse(opening.exchange, why);
	} else {
		stream_start(opening.stream, opening.exchange);
	}
}

/* Asks the plugin first whether this token may read this product's events at all. */
void live_open(struct live *live, struct exchange *exchange)
{
	const char *last = http_header(exchange->http, "Last-Event-ID");
	struct stream *stream = calloc(1, sizeof *stream);
	struct opening *opening = calloc(1, sizeof *opening);
	struct control_request request = {.verb = "event.list", .token = exchange->token};
	struct text args = {0};
	struct ota_why why = {0};

	if (!stream || !opening) {
		free(stream);
		free(opening);
		problem_answer(exchange->http, OTA_OUT_OF_MEMORY, "no memory for the stream");
		return;
	}
	stream->live = live;
	text_copy(stream->product, sizeof stream->product,
		  route_param(&exchange->params, "product"));
	text_copy(stream->token, sizeof stream->token, exchange->token);
	if (last)
		stream->seq_known = text_to_u64(last, JSON_INT_MAX, &stream->seq);
	*opening = (struct opening){exchange, stream};
	text_printf(&args, "{\"product\":\"%s\",\"after\":\"%" PRIu64 "\",\"limit\":1}",
		    stream->product, JSON_INT_MAX - 1);
	request.args = args.data;
	if (control_send(live->control, &request, on_opened, opening, &why)) {
		free(stream);
		free(opening);
		server_refuse(exchange, &why);
	}
	text_done(&args);
}

void live_closed(struct live *live, void *closed)
{
	struct stream *stream = closed;

	pthread_mutex_lock(&live->lock);
	stream->out = NULL;
	pthread_cond_signal(&live->wake);
	pthread_mutex_unlock(&live->lock);
}
