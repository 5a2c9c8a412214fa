/* Errors as a client of REST sees them: RFC 9457 problem+json with the stable name and number.
 */
#pragma once

#include "http.h"

/* The HTTP status of an error: 409 a broken rule, 422 bad content, 401 and 403 apart, 404, 413,
 * 429, 503 when the broker or the plugin cannot be asked. */
unsigned problem_status(enum ota_err err);
/* Answers with {type, title, status, name, number, detail}. */
void problem_answer(struct http_request *request, enum ota_err err, const char *detail);
void problem_answer_why(struct http_request *request, const struct ota_why *why);
/* Another status than the error's own (404 for a path that is no route, 405, 412, 415). */
void problem_answer_status(struct http_request *request, unsigned status, enum ota_err err,
			   const char *detail);
