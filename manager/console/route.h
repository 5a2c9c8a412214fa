/* Routes: one table says which command of PROTOCOL.md section 4 each REST operation is, and how
 * its arguments come from the path, the query and the body. The OpenAPI document has one
 * operation for each row, and a test holds the two together. */
#pragma once

#include "http.h"

#include "name.h"

#define ROUTE_PARAMS_MAX 4

enum route_kind {
	ROUTE_COMMAND = 0, /* the reply's result is the answer */
	ROUTE_IMAGE_PUT,   /* spool.h */
	ROUTE_IMAGE_GET,
	ROUTE_FIRMWARE_ADD,
	ROUTE_DEVICE_PUT, /* compat.h */
	ROUTE_FIRMWARE_RELEASE,
	ROUTE_REPORT_CSV,
	ROUTE_EVENTS, /* live.h */
	ROUTE_HEALTH,
	ROUTE_METRICS,
	ROUTE_DOCUMENT, /* the OpenAPI document itself */
};

struct route {
	const char *method, *path; /* "{name}" is an argument, "{#name}" an integer one,
				      "{-name}" is checked but not an argument of the command */
	enum route_kind kind;
	const char *verb;
	const char *const
		*query;	 /* "name" string, "#name" integer, "?name" boolean; ends with NULL */
	unsigned status; /* of success */
	bool body;	 /* a JSON object whose members are arguments too */
	bool open;	 /* needs no token */
};

struct route_params {
	struct {
		char name[32], value[NAME_SIZE + 64];
		bool integer, argument;
	} at[ROUTE_PARAMS_MAX];
	unsigned count;
};

/* OTA_NOT_FOUND when no row has the path; *ret_methods (a comma list for Allow) is set and
 * OTA_BAD_REQUEST returned when the path is there with other methods. Names in the path are
 * checked for their syntax (OTA_NOT_FOUND). */
enum ota_err route_find(const char *method, const char *path, const struct route **ret_route,
			struct route_params *ret_params, char ret_methods[64],
			struct ota_why *why) OTA_CHECKED;
/* The value of a path parameter, NULL when there is none of that name. */
const char *route_param(const struct route_params *params, const char *name);
/* The arguments of the command as a JSON object: path, query, then the body's members. A query
 * parameter that the route does not have, or of the wrong form, is refused by name. */
enum ota_err route_args(const struct route *route, const struct route_params *params,
			const struct http_request *request, struct text *to,
			struct ota_why *why) OTA_CHECKED;
/* Row i, NULL behind the last: for tests and the document's check. */
const struct route *route_at(size_t i);
