/* What a request goes through: limits, token, route, command, answer. The console decides
 * nothing by itself: every command carries its caller's token and the plugin decides. */
#pragma once

#include "control.h"
#include "http.h"
#include "json.h"
#include "limit.h"
#include "route.h"
#include "work.h"

#define SERVER_TOKEN_SIZE 82 /* 16 hex digits, a dot, 64 hex digits, NUL */

struct live;
struct spool;

struct server_options {
	const char
		*signer_command; /* "" none: signs releases that the field's scripts ask for */
};

struct server {
	struct control_client *control;
	struct limit *limit;
	struct work *work;
	struct live *live;
	struct spool *spool;
	struct server_options options;
};

/* One request on its way; kept as the http request's note. */
struct exchange {
	struct server *server;
	struct http_request *http;
	const struct route *route;
	struct route_params params;
	char token[SERVER_TOKEN_SIZE]; /* "" on open routes */
	char token_id[17];
	char peer[64];
};

/* Milliseconds of the monotonic clock. */
uint64_t server_now_ms(void);

/* The callbacks for http_new(); ctx is the server. */
extern const struct http_calls server_calls;

/* Sends the command with the caller's token and answers the request from its reply. */
void server_command(struct exchange *exchange, const char *verb, const char *args);
/* Asks one command with the caller's token and waits; only from a work thread. */
enum ota_err server_ask(struct exchange *exchange, const char *verb, const char *args,
			struct view_tree **ret_result, struct ota_why *why) OTA_CHECKED;
/* OTA_FORBIDDEN unless the token may act in the product of the path. It spares work that the
 * plugin would refuse at its end; what counts is still the plugin's own check. Only from a work
 * thread. */
enum ota_err server_check_developer(struct exchange *exchange, struct ota_why *why) OTA_CHECKED;
/* OTA_UNAUTHORIZED unless the token is good for anything. Only from a work thread. */
enum ota_err server_check_token(struct exchange *exchange, struct ota_why *why) OTA_CHECKED;
/* Answers with the error; a refused token counts as a failed login. */
void server_refuse(struct exchange *exchange, const struct ota_why *why);
/* Answers with JSON, an ETag, and 304 where the caller has it already. */
void server_answer_json(struct exchange *exchange, unsigned status, const struct view *result);
/* Runs `job` with the exchange on a work thread; answers "busy" itself when it cannot. */
void server_work(struct exchange *exchange, void (*job)(void *exchange));
