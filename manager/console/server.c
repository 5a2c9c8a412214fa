#include "server.h"

#include "compat.h"
#include "live.h"
#include "metrics.h"
#include "own.h"
#include "page.h"
#include "problem.h"
#include "spool.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

extern const unsigned char openapi_yaml[], openapi_yaml_end[];

uint64_t server_now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

/* "Bearer <16 hex>.<64 hex>" */
static bool read_token(const char *header, struct exchange *exchange)
{
	static const char hex[] = "0123456789abcdef";

	if (!header || strncmp(header, "Bearer ", 7))
		return false;
	header += 7;
	if (strlen(header) != SERVER_TOKEN_SIZE - 1 || strspn(header, hex) != 16 ||
	    header[16] != '.' || strspn(header + 17, hex) != 64)
		return false;
	text_copy(exchange->token, sizeof exchange->token, header);
	memcpy(exchange->token_id, header, 16);
	exchange->token_id[16] = 0;
	return true;
}

void server_refuse(struct exchange *exchange, const struct ota_why *why)
{
	if (why->err == OTA_UNAUTHORIZED)
		limit_failed(exchange->server->limit, server_now_ms(), exchange->peer,
			     exchange->token_id);
	problem_answer_why(exchange->http, why);
}

void server_answer_json(struct exchange *exchange, unsigned status, const struct view *result)
{
	struct text body = {0};
	struct digest digest;
	char hex[TEXT_HEX32_SIZE], etag[24];
	const char *match = http_header(exchange->http, "If-None-Match");

	if (result)
		view_write(result, &body);
	else
		text_put(&body, "{}");
	if (body.failed || digest_of(body.data, body.len, &digest, NULL)) {
		problem_answer(exchange->http, OTA_OUT_OF_MEMORY, "no memory for the answer");
		text_done(&body);
		return;
	}
	text_from_digest(hex, digest.bytes);
	snprintf(etag, sizeof etag, "\"%.16s\"", hex);
	http_set_header(exchange->http, "Cache-Control", "no-store");
	if (!strcmp(exchange->route->method, "GET") && status == 200) {
		http_set_header(exchange->http, "ETag", etag);
		if (match && !strcmp(match, etag))
			status = 304;
	}
	if (status == 304)
		http_answer_static(exchange->http, 304, NULL, "", 0);
	else
		http_answer(exchange->http, status, "application/json", body.data, body.len);
	text_done(&body);
}

static void on_answer(void *ctx, enum ota_err err, const struct ota_why *why,
		      const struct view *result)
{
	struct exchange *exchange = ctx;

	if (err)
		server_refuse(exchange, why);
	else if (exchange->route->kind == ROUTE_METRICS)
		metrics_answer(exchange, result);
	else
		server_answer_json(exchange, exchange->route->status, result);
}

void server_command(struct exchange *exchange, const char *verb, const char *args)
{
	struct control_request request = {
		.verb = verb,
		.args = args,
		.token = exchange->token,
		.key = http_header(exchange->http, "Idempotency-Key"),
	};
	struct ota_why why = {0};

	if (request.key && (strlen(request.key) > 64 || !*request.key))
		(void)!ota_fail(&why, OTA_BAD_REQUEST,
				"Idempotency-Key must have 1 to 64 bytes");
	else if (!control_send(exchange->server->control, &request, on_answer, exchange, &why))
		return;
	server_refuse(exchange, &why);
}

enum ota_err server_ask(struct exchange *exchange, const char *verb, const char *args,
			struct view_tree **ret_result, struct ota_why *why)
{
	struct control_request request = {.verb = verb, .args = args, .token = exchange->token};

	return control_ask(exchange->server->control, &request, ret_result, why);
}

enum ota_err server_check_developer(struct exchange *exchange, struct ota_why *why)
{
	AUTO(view_free_place) struct view_tree *tree = NULL, *refused = NULL;
	const char *product = route_param(&exchange->params, "product");
	struct text args = {0};
	enum ota_err err = server_ask(exchange, "whoami", NULL, &tree, why);

	if (err)
		return err;
	const struct view *roles = view_at(view_root(tree), "roles");
	for (const struct view *role = view_first(roles); role; role = view_next(role)) {
		const char *name = view_text(view_at(role, "role"));
		const char *of = view_text(view_at(role, "product"));
		if ((!strcmp(of, "*") || !strcmp(of, product)) &&
		    (!strcmp(name, "admin") || !strcmp(name, "developer")))
			return OTA_OK;
	}
	/* The plugin says no in its own words, and records who tried. */
	text_printf(&args, "{\"product\":\"%s\",\"sha256\":\"%064d\",\"size\":1}", product, 0);
	err = args.failed ? OTA_OK
			  : server_ask(exchange, "blob.begin", args.data, &refused, why);
	text_done(&args);
	return err ? err
		   : ota_fail(why, OTA_FORBIDDEN, "acting in '%s' needs the role developer",
			      product);
}

enum ota_err server_check_token(struct exchange *exchange, struct ota_why *why)
{
	AUTO(view_free_place) struct view_tree *tree = NULL;

	return server_ask(exchange, "whoami", NULL, &tree, why);
}

void server_work(struct exchange *exchange, void (*job)(void *exchange))
{
	struct ota_why why = {0};

	if (work_add(exchange->server->work, job, exchange, &why))
		server_refuse(exchange, &why);
}

static void serve_health(struct exchange *exchange)
{
	bool up = control_is_up(exchange->server->control);
	char body[96];

	snprintf(body, sizeof body, "{\"status\":\"%s\",\"broker\":%s,\"version\":\"%s\"}",
		 up ? "ok" : "degraded", up ? "true" : "false", OTA_VERSION);
	http_set_header(exchange->http, "Cache-Control", "no-store");
	http_answer(exchange->http, up ? 200 : 503, "application/json", body, strlen(body));
}

static bool route_takes_image(const struct route *route)
{
	return route->kind == ROUTE_IMAGE_PUT;
}

/* If-Match: the object is read first and must still be what the caller saw. */
static void job_if_match(void *ctx)
{
	struct exchange *exchange = ctx;
	AUTO(view_free_place) struct view_tree *tree = NULL;
	struct text args = {0}, body = {0};
	struct ota_why why = {0};
	struct digest digest;
	char hex[TEXT_HEX32_SIZE], etag[24] = "";
	enum ota_err err;

	text_put(&args, "{\"name\":");
	json_put_string(&args, route_param(&exchange->params, "name"));
	text_put(&args, "}");
	err = server_ask(exchange, "product.show", args.data, &tree, &why);
	if (!err) {
		view_write(view_root(tree), &body);
		err = digest_of(body.data, body.len, &digest, &why);
	}
	if (!err) {
		text_from_digest(hex, digest.bytes);
		snprintf(etag, sizeof etag, "\"%.16s\"", hex);
	}
	args.len = 0;
	if (err) {
		server_refuse(exchange, &why);
	} else if (strcmp(etag, http_header(exchange->http, "If-Match"))) {
		problem_answer_status(exchange->http, 412, OTA_CONFLICT,
				      "it has changed since you read it (If-Match)");
	} else if (route_args(exchange->route, &exchange->params, exchange->http, &args,
			      &why)) {
		server_refuse(exchange, &why);
	} else {
		server_command(exchange, exchange->route->verb, args.data);
	}
	text_done(&args);
	text_done(&body);
}

static void serve_command(struct exchange *exchange)
{
	struct text args = {0};
	struct ota_why why = {0};

	if (!strcmp(exchange->route->method, "PUT") && http_header(exchange->http, "If-Match"))
		server_work(exchange, job_if_match);
	else if (route_args(exchange->route, &exchange->params, exchange->http, &args, &why))
		server_refuse(exchange, &why);
	else
		server_command(exchange, exchange->route->verb, args.data);
	text_done(&args);
}

static void serve(void *ctx, struct http_request *http)
{
	struct exchange *exchange = http_note(http);

	(void)ctx;
	switch (exchange->route->kind) {
	case ROUTE_COMMAND:
	case ROUTE_METRICS:
		serve_command(exchange);
		break;
	case ROUTE_IMAGE_PUT:
		server_work(exchange, spool_put);
		break;
	case ROUTE_IMAGE_GET:
		server_work(exchange, spool_get);
		break;
	case ROUTE_FIRMWARE_ADD:
		server_work(exchange, spool_add_firmware);
		break;
	case ROUTE_DEVICE_PUT:
		server_work(exchange, compat_put_device);
		break;
	case ROUTE_FIRMWARE_RELEASE:
		server_work(exchange, compat_release_firmware);
		break;
	case ROUTE_REPORT_CSV:
		server_work(exchange, compat_report_csv);
		break;
	case ROUTE_EVENTS:
		live_open(exchange->server->live, exchange);
		break;
	case ROUTE_HEALTH:
		serve_health(exchange);
		break;
	case ROUTE_DOCUMENT:
		http_answer_static(http, 200, "application/yaml", openapi_yaml,
				   (size_t)(openapi_yaml_end - openapi_yaml));
		break;
	}
}

/* A body must say that it is JSON: a form sent from another site cannot. */
static bool body_type_is_right(const struct exchange *exchange)
{
	const char *type = http_header(exchange->http, "Content-Type");

	if (route_takes_image(exchange->route))
		return !type || !strcmp(type, "application/octet-stream");
	if (!exchange->route->body)
		return true;
	return type && !strncmp(type, "application/json", 16) && (!type[16] || type[16] == ';');
}

static void begin_route(struct server *server, struct exchange *exchange)
{
	struct http_request *http = exchange->http;
	char methods[64];
	struct ota_why why = {0};
	uint32_t wait_s = 1;
	enum ota_err err = route_find(http_method(http), http_path(http), &exchange->route,
				      &exchange->params, methods, &why);

	if (err && methods[0]) {
		http_set_header(http, "Allow", methods);
		problem_answer_status(http, 405, OTA_BAD_REQUEST, why.text);
		return;
	}
	if (err) {
		problem_answer_why(http, &why);
		return;
	}
	bool token = read_token(http_header(http, "Authorization"), exchange);
	if (limit_request(server->limit, server_now_ms(), exchange->peer, exchange->token_id,
			  &wait_s, &why)) {
		char seconds[16];
		snprintf(seconds, sizeof seconds, "%u", wait_s);
		http_set_header(http, "Retry-After", seconds);
		problem_answer_why(http, &why);
	} else if (!token && !exchange->route->open) {
		if (http_header(http, "Authorization"))
			limit_failed(server->limit, server_now_ms(), exchange->peer, "");
		problem_answer(http, OTA_UNAUTHORIZED,
			       "an 'Authorization: Bearer <token>' header is needed");
	} else if (!body_type_is_right(exchange)) {
		problem_answer_status(http, 415, OTA_BAD_REQUEST,
				      "the body must be application/json here");
	} else if (route_takes_image(exchange->route)) {
		http_body_limit(http, SPOOL_PIECE_MAX);
	}
}

static void begin(void *ctx, struct http_request *http)
{
	struct server *server = ctx;
	const char *path = http_path(http);

	if (strlen(path) > HTTP_PATH_MAX) {
		problem_answer_status(http, 414, OTA_TOO_LARGE,
				      "the path may have at most 1024 bytes");
		return;
	}
	if (strncmp(path, "/v1/", 4) && strcmp(path, "/metrics")) {
		page_answer(http);
		return;
	}
	struct exchange *exchange = calloc(1, sizeof *exchange);
	page_security_headers(http);
	if (!exchange) {
		problem_answer(http, OTA_OUT_OF_MEMORY, "no memory for the request");
		return;
	}
	exchange->server = server;
	exchange->http = http;
	text_copy(exchange->peer, sizeof exchange->peer, http_peer(http));
	http_set_note(http, exchange, free);
	begin_route(server, exchange);
}

static void stream_closed(void *ctx, void *stream)
{
	struct server *server = ctx;

	live_closed(server->live, stream);
}

const struct http_calls server_calls = {NULL, begin, serve, stream_closed};
