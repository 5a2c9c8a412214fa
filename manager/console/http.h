/* HTTP: the only file that knows libmicrohttpd. A request is served by one callback, which
 * answers at once or later from any thread; a stream is an answer that goes on. One internal
 * thread. */
#pragma once

#include "text.h"

#include <stdint.h>

#define HTTP_BODY_MAX	 (256u << 10) /* as large as a command; begin() may allow more */
#define HTTP_PATH_MAX	 1024u
#define HTTP_HEADERS_MAX 12u
#define HTTP_STREAM_MAX	 (1u << 20) /* bytes that a slow reader of a stream may be behind */

struct http;
struct http_request;

struct http_config {
	const char *address;		       /* numeric, "127.0.0.1" */
	uint16_t port;			       /* 0: any; http_port() says which */
	const char *certificate_pem, *key_pem; /* NULL: plain HTTP */
	unsigned connections_max;
};

struct http_calls {
	void *ctx;
	/* Headers are here, the body is not: may call http_body_limit() or answer (a refusal).
	 */
	void (*begin)(void *ctx, struct http_request *request);
	/* The body is here. Must answer exactly once, now or later, unless begin() did. */
	void (*serve)(void *ctx, struct http_request *request);
	/* The peer of a stream went away; `stream` is what http_stream() was given. */
	void (*stream_closed)(void *ctx, void *stream);
};

/* OTA_IO_ERROR when the port cannot be had or the certificate not be read. */
enum ota_err http_new(const struct http_config *config, const struct http_calls *calls,
		      struct http **ret_http, struct ota_why *why) OTA_CHECKED;
uint16_t http_port(const struct http *http);
/* Answers what is pending with 503 and stops. */
void http_free(struct http *http);

const char *http_method(const struct http_request *request);
const char *http_path(const struct http_request *request); /* decoded once, without the query */
const char *http_peer(const struct http_request *request); /* numeric address */
/* NULL when absent. Valid until the answer. */
const char *http_header(const struct http_request *request, const char *name);
const char *http_query(const struct http_request *request, const char *name);
/* Calls back for each query parameter; stops when it returns false. */
void http_query_each(const struct http_request *request,
		     bool (*each)(void *ctx, const char *name, const char *value), void *ctx);
const char *http_body(const struct http_request *request, size_t *ret_len); /* NUL-terminated */
void *http_note(const struct http_request *request); /* what the server keeps with a request */
void http_set_note(struct http_request *request, void *note, void (*release)(void *note));

/* Allows a body of so many bytes instead of HTTP_BODY_MAX. Only from begin(). */
void http_body_limit(struct http_request *request, size_t max);

/* Adds a header to the answer to come. Values with control characters are dropped. */
void http_set_header(struct http_request *request, const char *name, const char *value);
/* The body is copied. After this the request must not be touched. */
void http_answer(struct http_request *request, unsigned status, const char *content_type,
		 const void *body, size_t len);
/* The same for bytes that live for ever (embedded files). */
void http_answer_static(struct http_request *request, unsigned status, const char *content_type,
			const void *body, size_t len);
/* Answers with bytes of an open file, which it closes. */
void http_answer_file(struct http_request *request, unsigned status, const char *content_type,
		      int fd, uint64_t offset, uint64_t len);

struct http_stream;
/* Answers 200 with a body that goes on until http_stream_end(). */
struct http_stream *http_stream_begin(struct http_request *request, const char *content_type,
				      void *stream);
/* False when the reader is too far behind: end it, it will come back with Last-Event-ID. */
bool http_stream_put(struct http_stream *stream, const void *bytes, size_t len);
/* The peer sees the end; stream_closed() is still called. */
void http_stream_end(struct http_stream *stream);
