/* The module: ranges of blobs by libcurl's multi interface.
 *
 * One request is one range of chunks of one blob, into memory of its size, so what a server
 * can make us hold is what flow.c asked for (FLOW_WINDOW_MAX chunks). Requests run side by
 * side, but their chunks are handed over in the order of the questions: flow.c takes a chunk
 * that is overtaken for lost. A request that breaks keeps the bytes it has and goes on behind
 * them after a pause; an answer that is a lie ends the server's service at once.
 *
 * libcurl says which sockets and which moment it waits for. Both are kept in one epoll, so that
 * the agent's loop has one descriptor to look at. */
#include "source_https_inside.h"

#include "own.h"
#include "text.h"

#include <assert.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <time.h>

#define EVENTS_MAX     8
#define REQUESTS_MAX   (2 * MESSAGE_WINDOW_MAX) /* those whose end is still to come, too */
#define PAUSE_FIRST_MS 250u			/* doubles with each failure */

uint64_t https_clock_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_BOOTTIME, &now);
	return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000 + 1;
}

/* The server is of no more use; next() says so. */
static void break_off(struct https *https, const struct ota_why *why)
{
	if (https->is_broken)
		return;
	https->is_broken = true;
	https->why = *why;
	enum ota_err err = ota_context(&https->why, why->err, "%s", https->asked->name);
	(void)err;
}

/* --- libcurl's callbacks --- */

size_t https_on_header(char *line, size_t size, size_t count, void *ctx)
{
	struct request *request = ctx;
	const size_t len = size * count;

	if (https_head_line(&request->head, &request->asked, line, len, &request->why))
		return len + 1; /* an error, for len may be 0 */
	return len;
}

size_t https_on_data(char *bytes, size_t size, size_t count, void *ctx)
{
	struct request *request = ctx;
	const size_t len = size * count;

	if (!request->head.is_over || !request->data || len > request->size - request->got) {
		enum ota_err err = ota_fail(&request->why, OTA_CHUNK_REFUSED,
					    "it sends more than the range that was asked for");
		(void)err;
		return len + 1;
	}
	memcpy(request->data + request->got, bytes, len);
	request->got += len;
	request->https->watch_bytes += len;
	return len;
}

/* --- handles --- */

static CURL *take_easy(struct https *https)
{
	return https->spare_count ? https->spares[--https->spare_count] : https_easy_new(https);
}

/* Ends what the request has under way; its bytes stay. */
static void stop_request(struct https *https, struct request *request)
{
	CURL *easy = TAKE(request->easy);

	if (!easy)
		return;
	curl_multi_remove_handle(https->multi, easy);
	curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, NULL); /* the request may go before it */
	if (https->spare_count < HTTPS_SPARES_MAX)
		https->spares[https->spare_count++] = easy;
	else
		curl_easy_cleanup(easy);
}

static bool start_request(struct https *https, struct request *request)
{
	char range[44];

	request->asked = (struct https_range){.first = request->from + request->got,
					      .last = request->from + request->size - 1,
					      .size = request->blob_size};
	request->head = (struct https_head){0};
	request->why = (struct ota_why){0};
	request->error[0] = '\0';
	snprintf(range, sizeof(range), "%llu-%llu", (unsigned long long)request->asked.first,
		 (unsigned long long)request->asked.last);
	request->easy = take_easy(https);
	if (!request->easy)
		return false;
	if (curl_easy_setopt(request->easy, CURLOPT_URL, request->url) ||
	    curl_easy_setopt(request->easy, CURLOPT_RANGE, range) ||
	    curl_easy_setopt(request->easy, CURLOPT_HEADERDATA, request) ||
	    curl_easy_setopt(request->easy, CURLOPT_WRITEDATA, request) ||
	    curl_easy_setopt(request->easy, CURLOPT_ERRORBUFFER, request->error) ||
	    curl_easy_setopt(request->easy, CURLOPT_PRIVATE, request) ||
	    curl_multi_add_handle(https->multi, request->easy)) {
		curl_easy_cleanup(TAKE(request->easy));
		return false;
	}
	return true;
}

static void drop_first(struct https *https)
{
	struct request *request = https->requests;

	https->requests = request->next;
	https->request_count--;
	stop_request(https, request);
	free(request->data);
	free(request);
}

void https_drop_all(struct https *https)
{
	while (https->requests)
		drop_first(https);
	https->is_broken = false;
	https->failures = 0;
	https->pause_until_ms = 0;
	https->watch_ms = 0;
}

void https_forget(void *ctx)
{
	https_drop_all(((struct server *)ctx)->https);
}

/* --- the moment that is waited for --- */

static void set_earlier(uint64_t *due_ms, uint64_t ms)
{
	if (ms && (!*due_ms || ms < *due_ms))
		*due_ms = ms;
}

static void arm_timer(struct https *https)
{
	struct itimerspec when = {0};
	uint64_t due_ms = https->curl_due_ms;

	set_earlier(&due_ms, https->pause_until_ms);
	set_earlier(&due_ms, https->watch_ms ? https->watch_ms + https->options.timeout_ms : 0);
	if (due_ms) { /* https_clock_ms() is one ahead; at 0 the timer would stand still */
		when.it_value.tv_sec = (time_t)(due_ms / 1000);
		when.it_value.tv_nsec = (long)(due_ms % 1000) * 1000000 + 1;
	}
	timerfd_settime(https->timer, TFD_TIMER_ABSTIME, &when, NULL);
}

/* --- asking --- */

static bool is_asked(const struct https *https, uint32_t transfer, uint32_t chunk)
{
	for (const struct request *one = https->requests; one; one = one->next) {
		if (one->transfer == transfer && chunk >= one->first + one->taken &&
		    chunk < one->first + one->count)
			return true;
	}
	return false;
}

static struct request *add_request(struct https *https, uint64_t blob_size,
				   const struct get_range *range)
{
	const uint64_t from = (uint64_t)range->first * MESSAGE_CHUNK_SIZE;
	const uint64_t most = (uint64_t)range->count * MESSAGE_CHUNK_SIZE;
	struct request **place = &https->requests;
	struct request *request = calloc(1, sizeof(*request));

	assert(from < blob_size);
	if (!request)
		return NULL;
	request->https = https;
	request->first = range->first;
	request->count = range->count;
	request->from = from;
	request->size = most < blob_size - from ? most : blob_size - from;
	request->blob_size = blob_size;
	request->data = malloc(request->size);
	if (!request->data) {
		free(request);
		return NULL;
	}
	while (*place)
		place = &(*place)->next;
	*place = request;
	https->request_count++;
	return request;
}

/* What does not fit into memory may yet come from a source that needs less. */
static void say_no_memory(struct https *https)
{
	struct ota_why why;
	enum ota_err err = ota_fail(&why, OTA_OUT_OF_MEMORY, "no memory for a request");

	(void)err;
	break_off(https, &why);
}

/* Asks for a run of chunks, of which none is on its way. */
static void ask_run(const struct server *server, uint32_t transfer, const struct digest *blob,
		    uint64_t size, const struct get_range *run)
{
	struct https *https = server->https;
	struct request *request = add_request(https, size, run);

	if (request) {
		request->transfer = transfer;
		https_url_of(server->base, blob, request->url);
	}
	/* In a pause it is begun with the others. */
	if (!request || (!https->pause_until_ms && !start_request(https, request)))
		say_no_memory(https);
}

enum ota_err https_ask(void *ctx, uint32_t transfer, const struct digest *blob, uint64_t size,
		       const struct get_range *ranges, unsigned count, struct ota_why *why)
{
	const struct server *server = ctx;
	struct https *https = server->https;

	(void)why;
	https->asked = server;
	https->transfer = transfer;
	https->chunk = ranges[0].first;
	for (unsigned i = 0; i < count; i++) {
		const uint32_t end = ranges[i].first + ranges[i].count;
		struct get_range run = {.first = ranges[i].first};

		/* What is on its way, however slowly, is not asked for twice. */
		for (; run.first < end; run.first += run.count + 1, run.count = 0) {
			while (run.first + run.count < end &&
			       !is_asked(https, transfer, run.first + run.count))
				run.count++;
			if (run.count && !https->is_broken)
				ask_run(server, transfer, blob, size, &run);
		}
	}
	arm_timer(https);
	return OTA_OK;
}

/* --- what comes of it --- */

static bool is_about_trust(CURLcode code)
{
	return code == CURLE_PEER_FAILED_VERIFICATION || code == CURLE_SSL_CACERT_BADFILE ||
	       code == CURLE_SSL_CERTPROBLEM || code == CURLE_SSL_ISSUER_ERROR ||
	       code == CURLE_SSL_INVALIDCERTSTATUS;
}

/* In the words of OpenSSL: "tlsv13 alert certificate required", "tlsv1 alert unknown ca". */
static bool refuses_us(const char *text)
{
	const char *alert = strstr(text, " alert ");

	return alert && (strstr(alert, "certificate") || strstr(alert, "unknown ca"));
}

static bool is_about_url(CURLcode code)
{
	return code == CURLE_URL_MALFORMAT || code == CURLE_UNSUPPORTED_PROTOCOL ||
	       code == CURLE_LOGIN_DENIED;
}

/* Why a request ended; true when the server is not to be asked again. */
static bool explain(const struct request *request, CURLcode code, struct ota_why *ret_why)
{
	char text[CURL_ERROR_SIZE];
	enum ota_err err;

	if (request->why.err) {
		*ret_why = request->why;
		return !https_head_is_temporary(&request->head);
	}
	/* Some of it are the server's words. */
	text_sanitize(text, sizeof(text), request->error, strlen(request->error), false);
	if (is_about_trust(code) || refuses_us(text))
		err = OTA_TLS_VERIFY_FAILED;
	else if (is_about_url(code))
		err = OTA_CHUNK_REFUSED;
	else
		err = OTA_CONNECTION_LOST;
	err = ota_fail(ret_why, err, "%s%s",
		       refuses_us(text) ? "it refuses this device's certificate: " : "",
		       text[0] ? text : curl_easy_strerror(code));
	ret_why->detail = (int)code;
	return err != OTA_CONNECTION_LOST;
}

/* Several requests of one connection break together: that is one failure. */
static void note_failure(struct https *https, const struct ota_why *why, uint64_t now_ms)
{
	if (https->pause_until_ms)
		return;
	https->pause_until_ms = now_ms + ((uint64_t)PAUSE_FIRST_MS << https->failures);
	if (++https->failures >= HTTPS_FAILURES_MAX)
		break_off(https, why);
}

static void take_messages(struct https *https, uint64_t now_ms)
{
	CURLMsg *message;
	int left;

	while ((message = curl_multi_info_read(https->multi, &left))) {
		struct request *request = NULL;
		struct ota_why why = {0};

		if (message->msg != CURLMSG_DONE)
			continue;
		const CURLcode code = message->data.result;
		curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, (char **)&request);
		stop_request(https, request);
		if (request->got == request->size)
			continue; /* whatever the end was like */
		const CURLcode told = code ? code : CURLE_PARTIAL_FILE;
		if (explain(request, told, &why))
			break_off(https, &why);
		else
			note_failure(https, &why, now_ms);
	}
}

static void go_on(struct https *https, uint64_t now_ms)
{
	if (!https->pause_until_ms || now_ms < https->pause_until_ms)
		return;
	https->pause_until_ms = 0;
	for (struct request *one = https->requests; one; one = one->next) {
		if (!one->easy && one->got < one->size && !start_request(https, one)) {
			say_no_memory(https);
			return;
		}
	}
}

static bool anything_is_missing(const struct https *https)
{
	for (const struct request *one = https->requests; one; one = one->next) {
		if (one->got < one->size)
			return true;
	}
	return false;
}

/* A server that drips is as good as none. */
static void watch_speed(struct https *https, uint64_t now_ms)
{
	const uint64_t timeout_ms = https->options.timeout_ms;
	struct ota_why why;

	if (https->pause_until_ms || !anything_is_missing(https)) {
		https->watch_ms = 0;
		return;
	}
	if (!https->watch_ms || now_ms < https->watch_ms + timeout_ms) {
		if (!https->watch_ms) {
			https->watch_ms = now_ms;
			https->watch_bytes = 0;
		}
		return;
	}
	const uint64_t passed_ms = now_ms - https->watch_ms;
	if (https->watch_bytes * 1000 < HTTPS_SPEED_MIN * passed_ms) {
		enum ota_err err = ota_fail(&why, OTA_DOWNLOAD_STALLED,
					    "%llu bytes in %llu ms, less than %u a second",
					    (unsigned long long)https->watch_bytes,
					    (unsigned long long)passed_ms, HTTPS_SPEED_MIN);
		(void)err;
		break_off(https, &why);
	}
	https->watch_ms = now_ms;
	https->watch_bytes = 0;
}

static int mask_of(uint32_t events)
{
	return (events & EPOLLIN ? CURL_CSELECT_IN : 0) |
	       (events & EPOLLOUT ? CURL_CSELECT_OUT : 0) |
	       (events & (EPOLLERR | EPOLLHUP) ? CURL_CSELECT_ERR : 0);
}

/* Does what can be done without waiting. */
static void pump(struct https *https)
{
	struct epoll_event events[EVENTS_MAX];
	const int count = epoll_wait(https->epoll, events, EVENTS_MAX, 0);
	int running;

	for (int i = 0; i < count; i++) {
		if (events[i].data.fd != https->timer)
			curl_multi_socket_action(https->multi, events[i].data.fd,
						 mask_of(events[i].events), &running);
	}
	const uint64_t now_ms = https_clock_ms();
	if (https->curl_due_ms && now_ms >= https->curl_due_ms) {
		https->curl_due_ms = 0;
		curl_multi_socket_action(https->multi, CURL_SOCKET_TIMEOUT, 0, &running);
	}
	take_messages(https, now_ms);
	go_on(https, now_ms);
	watch_speed(https, now_ms);
	arm_timer(https);
}

/* Those that were handed over whole go; what they pointed to was valid until now. */
static void clear_taken(struct https *https)
{
	while (https->requests && https->requests->taken == https->requests->count &&
	       (!https->requests->easy || https->request_count > REQUESTS_MAX))
		drop_first(https);
	for (struct request *one = https->requests; one; one = one->next) {
		if (one->taken == one->count)
			free(TAKE(one->data));
	}
}

static bool hand_over(struct https *https, struct request *request,
		      struct source_answer *ret_answer)
{
	const size_t at = (size_t)request->taken * MESSAGE_CHUNK_SIZE;
	const size_t left = request->size - at;
	const size_t len = left < MESSAGE_CHUNK_SIZE ? left : MESSAGE_CHUNK_SIZE;

	if (request->got < at + len)
		return false;
	https->failures = 0;
	*ret_answer = (struct source_answer){
		.kind = CHUNK_DATA,
		.transfer = request->transfer,
		.number = request->first + request->taken,
		.data = request->data + at,
		.len = len,
	};
	request->taken++;
	return true;
}

bool https_next(void *ctx, struct source_answer *ret_answer)
{
	struct https *https = ((struct server *)ctx)->https;
	struct request *request;

	clear_taken(https);
	if (!https->is_broken)
		pump(https);
	for (request = https->requests; request; request = request->next) {
		if (request->taken == request->count)
			continue;
		if (hand_over(https, request, ret_answer))
			return true;
		break;
	}
	if (!https->is_broken)
		return false;
	*ret_answer = (struct source_answer){
		.kind = CHUNK_REFUSED,
		.err = https->why.err,
		.transfer = https->transfer,
		.number = https->chunk,
		.why = &https->why,
	};
	return true;
}
