/* A request walks: on_request (first call: headers, begin) → on_request (body pieces) →
 * on_request (end of body: serve) → suspended until answered → resumed → on_request queues the
 * response → on_completed frees. All of it runs on the one thread of the daemon but the answer.
 */
#include "http.h"

#include "own.h"

#include <arpa/inet.h>
#include <microhttpd.h>
#include <pthread.h>
#include <string.h>
#include <sys/socket.h>

#define IDLE_TIMEOUT_S	 30u
#define CONNECTION_BYTES (64u << 10) /* headers and buffers of one connection */
#define STREAM_BLOCK	 4096u

struct header {
	char *name, *value;
};

struct http {
	struct MHD_Daemon *daemon;
	struct http_calls calls;
	pthread_mutex_t lock; /* answers come from other threads */
	struct http_request *requests;
	bool stopping;
};

struct http_request {
	struct http *http;
	struct http_request *next, **at;
	struct MHD_Connection *connection;
	char *method, *path;
	char peer[INET6_ADDRSTRLEN];
	struct text body;
	size_t body_max;
	bool served, suspended;
	void *note;
	void (*note_release)(void *note);
	struct header headers[HTTP_HEADERS_MAX];
	unsigned header_count;
	struct MHD_Response *response; /* set under the lock: answered */
	unsigned status;
	struct http_stream *stream;
};

struct http_stream {
	struct http_request *request;
	void *owner;
	struct text pending; /* under http->lock */
	size_t sent;
	bool ended, suspended;
};

static void request_free(struct http_request *request)
{
	if (request->note_release)
		request->note_release(request->note);
	for (unsigned i = 0; i < request->header_count; i++) {
		free(request->headers[i].name);
		free(request->headers[i].value);
	}
	if (request->response)
		MHD_destroy_response(request->response);
	if (request->stream) {
		text_done(&request->stream->pending);
		free(request->stream);
	}
	text_done(&request->body);
	free(request->method);
	free(request->path);
	free(request);
}

static void peer_text(struct MHD_Connection *connection, char to[INET6_ADDRSTRLEN])
{
	const union MHD_ConnectionInfo *info =
		MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CLIENT_ADDRESS);

	text_copy(to, INET6_ADDRSTRLEN, "unknown");
	if (!info || !info->client_addr)
		return;
	if (info->client_addr->sa_family == AF_INET) {
		const void *in = &((const struct sockaddr_in *)(const void *)info->client_addr)
					  ->sin_addr;
		inet_ntop(AF_INET, in, to, INET6_ADDRSTRLEN);
	} else if (info->client_addr->sa_family == AF_INET6) {
		const void *in = &((const struct sockaddr_in6 *)(const void *)info->client_addr)
					  ->sin6_addr;
		inet_ntop(AF_INET6, in, to, INET6_ADDRSTRLEN);
	}
}

static struct http_request *request_new(struct http *http, struct MHD_Connection *connection,
					const char *url, const char *method)
{
	struct http_request *request = calloc(1, sizeof *request);

	if (!request)
		return NULL;
	request->http = http;
	request->connection = connection;
	request->body_max = HTTP_BODY_MAX;
	request->method = strdup(method);
	request->path = strdup(url);
	if (!request->method || !request->path) {
		request_free(request);
		return NULL;
	}
	peer_text(connection, request->peer);
	pthread_mutex_lock(&http->lock);
	request->next = http->requests;
	if (request->next)
		request->next->at = &request->next;
	request->at = &http->requests;
	http->requests = request;
	pthread_mutex_unlock(&http->lock);
	return request;
}

static enum MHD_Result queue_response(struct http_request *request)
{
	for (unsigned i = 0; i < request->header_count; i++)
		MHD_add_response_header(request->response, request->headers[i].name,
					request->headers[i].value);
	return MHD_queue_response(request->connection, request->status, request->response);
}

/* Under the lock. */
static void answer_locked(struct http_request *request, unsigned status,
			  struct MHD_Response *response)
{
	if (!response || request->response) {
		if (response)
			MHD_destroy_response(response);
		return;
	}
	request->response = response;
	request->status = status;
	if (request->suspended) {
		request->suspended = false;
		MHD_resume_connection(request->connection);
	}
}

static void answer(struct http_request *request, unsigned status, const char *content_type,
		   struct MHD_Response *response)
{
	struct http *http = request->http;

	if (!response)
		response = MHD_create_response_from_buffer(0, NULL, MHD_RESPMEM_PERSISTENT);
	else if (content_type)
		MHD_add_response_header(response, "Content-Type", content_type);
	pthread_mutex_lock(&http->lock);
	answer_locked(request, status, response);
	pthread_mutex_unlock(&http->lock);
}

void http_answer(struct http_request *request, unsigned status, const char *content_type,
		 const void *body, size_t len)
{
	answer(request, status, content_type,
	       MHD_create_response_from_buffer(len, (void *)(uintptr_t)body,
					       MHD_RESPMEM_MUST_COPY));
}

void http_answer_static(struct http_request *request, unsigned status, const char *content_type,
			const void *body, size_t len)
{
	answer(request, status, content_type,
	       MHD_create_response_from_buffer(len, (void *)(uintptr_t)body,
					       MHD_RESPMEM_PERSISTENT));
}

void http_answer_file(struct http_request *request, unsigned status, const char *content_type,
		      int fd, uint64_t offset, uint64_t len)
{
	struct MHD_Response *response =
		MHD_create_response_from_fd_at_offset64(len, fd, offset);

	if (!response)
		close(fd);
	answer(request, response ? status : MHD_HTTP_INTERNAL_SERVER_ERROR, content_type,
	       response);
}

static void take_body(struct http_request *request, const char *bytes, size_t len)
{
	if (request->response)
		return; /* refused already: the rest is read and forgotten */
	if (request->body.len + len > request->body_max) {
		static const char text[] =
			"{\"type\":\"/errors/too_large\",\"title\":\"too large\","
			"\"status\":413,\"name\":\"too_large\",\"number\":106,"
			"\"detail\":\"the body is larger than allowed here\"}";
		http_answer_static(request, 413, "application/problem+json", text,
				   strlen(text));
		return;
	}
	text_add(&request->body, bytes, len);
}

static enum MHD_Result on_request(void *cls, struct MHD_Connection *connection, const char *url,
				  const char *method, const char *version, const char *data,
				  size_t *data_size, void **place)
{
	struct http *http = cls;
	struct http_request *request = *place;
	enum MHD_Result result = MHD_YES;

	(void)version;
	if (!request) {
		if (http->stopping)
			return MHD_NO;
		request = request_new(http, connection, url, method);
		if (!request)
			return MHD_NO;
		*place = request;
		http->calls.begin(http->calls.ctx, request);
		return MHD_YES;
	}
	if (*data_size) {
		take_body(request, data, *data_size);
		*data_size = 0;
		return MHD_YES;
	}
	if (!request->served) {
		request->served = true;
		if (!request->response)
			http->calls.serve(http->calls.ctx, request);
	}
	pthread_mutex_lock(&http->lock);
	if (request->response) {
		result = queue_response(request);
	} else {
		request->suspended = true;
		MHD_suspend_connection(connection);
	}
	pthread_mutex_unlock(&http->lock);
	return result;
}

static void on_completed(void *cls, struct MHD_Connection *connection, void **place,
			 enum MHD_RequestTerminationCode code)
{
	struct http *http = cls;
	struct http_request *request = *place;

	(void)connection;
	(void)code;
	if (!request)
		return;
	*place = NULL;
	if (request->stream)
		http->calls.stream_closed(http->calls.ctx, request->stream->owner);
	pthread_mutex_lock(&http->lock);
	*request->at = request->next;
	if (request->next)
		request->next->at = request->at;
	pthread_mutex_unlock(&http->lock);
	request_free(request);
}

enum ota_err http_new(const struct http_config *config, const struct http_calls *calls,
		      struct http **ret_http, struct ota_why *why)
{
	struct http *http = calloc(1, sizeof *http);
	struct sockaddr_in v4 = {.sin_family = AF_INET, .sin_port = htons(config->port)};
	struct sockaddr_in6 v6 = {.sin6_family = AF_INET6, .sin6_port = htons(config->port)};
	const struct sockaddr *address = (const void *)&v4;
	unsigned flags = MHD_USE_EPOLL_INTERNAL_THREAD | MHD_ALLOW_SUSPEND_RESUME;

	if (!http)
		return ota_fail(why, OTA_OUT_OF_MEMORY, "no memory for the HTTP server");
	pthread_mutex_init(&http->lock, NULL);
	http->calls = *calls;
	if (inet_pton(AF_INET6, config->address, &v6.sin6_addr) == 1) {
		address = (const void *)&v6;
		flags |= MHD_USE_IPv6;
	} else if (inet_pton(AF_INET, config->address, &v4.sin_addr) != 1) {
		http_free(http);
		return ota_fail(why, OTA_BAD_REQUEST,
				"listen: '%s' is not a numeric IPv4 or IPv6 address",
				config->address);
	}
	struct MHD_OptionItem tls[] = {
		{MHD_OPTION_HTTPS_MEM_CERT, 0, (void *)(uintptr_t)config->certificate_pem},
		{MHD_OPTION_HTTPS_MEM_KEY, 0, (void *)(uintptr_t)config->key_pem},
		{MHD_OPTION_HTTPS_PRIORITIES, 0,
		 (void *)(uintptr_t) "SECURE128:-VERS-ALL:+VERS-TLS1.3:+VERS-TLS1.2"},
		{MHD_OPTION_END, 0, NULL},
	};
	struct MHD_OptionItem none[] = {{MHD_OPTION_END, 0, NULL}};

	if (config->certificate_pem)
		flags |= MHD_USE_TLS;
	http->daemon = MHD_start_daemon(
		flags, config->port, NULL, NULL, on_request, http, MHD_OPTION_SOCK_ADDR,
		address, MHD_OPTION_NOTIFY_COMPLETED, on_completed, http,
		MHD_OPTION_CONNECTION_LIMIT, config->connections_max,
		MHD_OPTION_CONNECTION_TIMEOUT, IDLE_TIMEOUT_S,
		MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)CONNECTION_BYTES,
		MHD_OPTION_LISTENING_ADDRESS_REUSE, 1u, MHD_OPTION_ARRAY,
		config->certificate_pem ? tls : none, MHD_OPTION_END);
	if (!http->daemon) {
		http_free(http);
		return ota_fail(why, OTA_IO_ERROR,
				"cannot listen on %s port %u (is it in use? is the certificate "
				"with its key readable PEM?)",
				config->address, config->port);
	}
	*ret_http = http;
	return OTA_OK;
}

uint16_t http_port(const struct http *http)
{
	const union MHD_DaemonInfo *info =
		MHD_get_daemon_info(http->daemon, MHD_DAEMON_INFO_BIND_PORT);

	return info ? info->port : 0;
}

void http_free(struct http *http)
{
	if (!http)
		return;
	pthread_mutex_lock(&http->lock);
	http->stopping = true;
	for (struct http_request *r = http->requests; r; r = r->next) {
		if (r->stream) {
			r->stream->ended = true;
			if (r->stream->suspended) {
				r->stream->suspended = false;
				MHD_resume_connection(r->connection);
			}
		}
		answer_locked(r, MHD_HTTP_SERVICE_UNAVAILABLE,
			      MHD_create_response_from_buffer(0, NULL, MHD_RESPMEM_PERSISTENT));
	}
	pthread_mutex_unlock(&http->lock);
	if (http->daemon)
		MHD_stop_daemon(http->daemon);
	pthread_mutex_destroy(&http->lock);
	free(http);
}

const char *http_method(const struct http_request *request)
{
	return request->method;
}

const char *http_path(const struct http_request *request)
{
	return request->path;
}

const char *http_peer(const struct http_request *request)
{
	return request->peer;
}

const char *http_header(const struct http_request *request, const char *name)
{
	return MHD_lookup_connection_value(request->connection, MHD_HEADER_KIND, name);
}

const char *http_query(const struct http_request *request, const char *name)
{
	return MHD_lookup_connection_value(request->connection, MHD_GET_ARGUMENT_KIND, name);
}

struct each {
	bool (*call)(void *ctx, const char *name, const char *value);
	void *ctx;
};

static enum MHD_Result on_query(void *cls, enum MHD_ValueKind kind, const char *name,
				const char *value)
{
	const struct each *each = cls;

	(void)kind;
	return each->call(each->ctx, name, value ? value : "") ? MHD_YES : MHD_NO;
}

void http_query_each(const struct http_request *request,
		     bool (*call)(void *ctx, const char *name, const char *value), void *ctx)
{
	struct each each = {call, ctx};

	MHD_get_connection_values(request->connection, MHD_GET_ARGUMENT_KIND, on_query, &each);
}

const char *http_body(const struct http_request *request, size_t *ret_len)
{
	*ret_len = request->body.len;
	return request->body.data ? request->body.data : "";
}

void *http_note(const struct http_request *request)
{
	return request->note;
}

void http_set_note(struct http_request *request, void *note, void (*release)(void *note))
{
	request->note = note;
	request->note_release = release;
}

void http_body_limit(struct http_request *request, size_t max)
{
	request->body_max = max;
}

void http_set_header(struct http_request *request, const char *name, const char *value)
{
	for (const char *c = value; *c; c++)
		if ((unsigned char)*c < ' ' || *c == 127)
			return;
	if (request->header_count == HTTP_HEADERS_MAX)
		return;
	struct header *header = &request->headers[request->header_count];
	header->name = strdup(name);
	header->value = strdup(value);
	if (header->name && header->value) {
		request->header_count++;
	} else {
		free(header->name);
		free(header->value);
	}
}

static ssize_t stream_read(void *cls, uint64_t position, char *buffer, size_t max)
{
	struct http_stream *stream = cls;
	struct http *http = stream->request->http;
	ssize_t result = 0;

	(void)position;
	pthread_mutex_lock(&http->lock);
	size_t left = stream->pending.len - stream->sent;
	if (left) {
		size_t n = left < max ? left : max;
		memcpy(buffer, stream->pending.data + stream->sent, n);
		stream->sent += n;
		if (stream->sent == stream->pending.len)
			stream->sent = stream->pending.len = 0;
		result = (ssize_t)n;
	} else if (stream->ended) {
		result = MHD_CONTENT_READER_END_OF_STREAM;
	} else {
		stream->suspended = true;
		MHD_suspend_connection(stream->request->connection);
	}
	pthread_mutex_unlock(&http->lock);
	return result;
}

struct http_stream *http_stream_begin(struct http_request *request, const char *content_type,
				      void *owner)
{
	struct http_stream *stream = calloc(1, sizeof *stream);
	struct MHD_Response *response;

	if (!stream)
		return NULL;
	stream->request = request;
	stream->owner = owner;
	response = MHD_create_response_from_callback(MHD_SIZE_UNKNOWN, STREAM_BLOCK,
						     stream_read, stream, NULL);
	if (!response) {
		free(stream);
		return NULL;
	}
	request->stream = stream;
	MHD_set_connection_option(request->connection, MHD_CONNECTION_OPTION_TIMEOUT, 0u);
	answer(request, MHD_HTTP_OK, content_type, response);
	return stream;
}

static void stream_wake(struct http_stream *stream)
{
	if (stream->suspended) {
		stream->suspended = false;
		MHD_resume_connection(stream->request->connection);
	}
}

bool http_stream_put(struct http_stream *stream, const void *bytes, size_t len)
{
	struct http *http = stream->request->http;
	bool fits;

	pthread_mutex_lock(&http->lock);
	if (stream->sent > STREAM_BLOCK) {
		memmove(stream->pending.data, stream->pending.data + stream->sent,
			stream->pending.len - stream->sent);
		stream->pending.len -= stream->sent;
		stream->sent = 0;
	}
	fits = !stream->ended && stream->pending.len + len <= HTTP_STREAM_MAX;
	if (fits) {
		text_add(&stream->pending, bytes, len);
		fits = !stream->pending.failed;
		stream_wake(stream);
	}
	pthread_mutex_unlock(&http->lock);
	return fits;
}

void http_stream_end(struct http_stream *stream)
{
	struct http *http = stream->request->http;

	pthread_mutex_lock(&http->lock);
	stream->ended = true;
	stream_wake(stream);
	pthread_mutex_unlock(&http->lock);
}
