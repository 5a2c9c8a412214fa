#include "route.h"

#include "json.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define P "/v1/products/{product}"
#define D P "/devices/{device}"
#define X "/v1/products/{-product}/devices/{device}"
#define R P "/releases/{#number}"

static const char *const page[] = {"#limit", "after", NULL};
static const char *const devices_query[] = {"status", "group",	"version", "state", "?online",
					    "search", "#limit", "after",   NULL};
static const char *const updates_query[] = {"state", "#wave", "#limit", "after", NULL};
static const char *const release_query[] = {"?dry_run", "?override", NULL};
static const char *const verify_query[] = {"#entries", "tip", NULL};
static const char *const log_query[] = {"#attempt", "#limit", "after", NULL};
static const char *const delete_query[] = {"product", NULL};

static const struct route routes[] = {
	{"GET", "/v1/health", ROUTE_HEALTH, NULL, NULL, 200, false, true},
	{"GET", "/v1/openapi.yaml", ROUTE_DOCUMENT, NULL, NULL, 200, false, true},
	{"GET", "/metrics", ROUTE_METRICS, "status", NULL, 200, false, false},
	{"GET", "/v1/whoami", ROUTE_COMMAND, "whoami", NULL, 200, false, false},
	{"GET", "/v1/status", ROUTE_COMMAND, "status", NULL, 200, false, false},

	{"GET", "/v1/products", ROUTE_COMMAND, "product.list", page, 200, false, false},
	{"POST", "/v1/products", ROUTE_COMMAND, "product.create", NULL, 201, true, false},
	{"GET", "/v1/products/{name}", ROUTE_COMMAND, "product.show", NULL, 200, false, false},
	{"PUT", "/v1/products/{name}", ROUTE_COMMAND, "product.update", NULL, 200, true, false},
	{"GET", P "/events", ROUTE_EVENTS, "event.list", NULL, 200, false, false},
	{"GET", P "/bases", ROUTE_COMMAND, "firmware.bases", NULL, 200, false, false},

	{"GET", P "/devices", ROUTE_COMMAND, "device.list", devices_query, 200, false, false},
	{"POST", P "/devices", ROUTE_COMMAND, "device.import", NULL, 200, true, false},
	{"POST", P "/devices/approve", ROUTE_COMMAND, "device.approve", NULL, 200, true, false},
	{"POST", P "/devices/deny", ROUTE_COMMAND, "device.deny", NULL, 200, true, false},
	{"POST", P "/devices/remove", ROUTE_COMMAND, "device.remove", NULL, 200, true, false},
	{"GET", X, ROUTE_COMMAND, "device.show", NULL, 200, false, false},
	{"PUT", D, ROUTE_DEVICE_PUT, "device.set", NULL, 200, true, false},
	{"GET", X "/updates", ROUTE_COMMAND, "device.updates", page, 200, false, false},
	{"GET", X "/updates/{#release}/log", ROUTE_COMMAND, "device.log", log_query, 200, false,
	 false},
	{"GET", X "/why", ROUTE_COMMAND, "device.why", NULL, 200, false, false},
	{"POST", X "/retry", ROUTE_COMMAND, "device.retry", NULL, 200, true, false},
	{"POST", X "/ping", ROUTE_COMMAND, "device.ping", NULL, 200, false, false},

	{"GET", P "/groups", ROUTE_COMMAND, "group.list", page, 200, false, false},
	{"POST", P "/groups", ROUTE_COMMAND, "group.create", NULL, 201, true, false},
	{"DELETE", P "/groups/{group}", ROUTE_COMMAND, "group.delete", NULL, 200, false, false},
	{"POST", P "/groups/{group}/devices", ROUTE_COMMAND, "group.edit", NULL, 200, true,
	 false},

	{"PUT", P "/images/{sha256}", ROUTE_IMAGE_PUT, "firmware.bases", NULL, 202, false,
	 false},
	{"GET", P "/images/{sha256}", ROUTE_IMAGE_GET, "firmware.bases", NULL, 200, false,
	 false},
	{"GET", P "/firmware", ROUTE_COMMAND, "firmware.list", page, 200, false, false},
	{"POST", P "/firmware", ROUTE_FIRMWARE_ADD, "firmware.add", NULL, 201, true, false},
	{"PUT", P "/firmware/release", ROUTE_FIRMWARE_RELEASE, "release.create", NULL, 201,
	 true, false},
	{"GET", P "/firmware/{version}", ROUTE_COMMAND, "firmware.show", NULL, 200, false,
	 false},
	{"DELETE", P "/firmware/{version}", ROUTE_COMMAND, "firmware.delete", NULL, 200, false,
	 false},

	{"GET", P "/releases", ROUTE_COMMAND, "release.list", page, 200, false, false},
	{"POST", "/v1/products/{-product}/releases", ROUTE_COMMAND, "release.create",
	 release_query, 201, true, false},
	{"GET", R, ROUTE_COMMAND, "release.show", NULL, 200, false, false},
	{"GET", R "/devices", ROUTE_COMMAND, "release.devices", updates_query, 200, false,
	 false},
	{"GET", R "/report.csv", ROUTE_REPORT_CSV, "release.devices", NULL, 200, false, false},
	{"POST", R "/hold", ROUTE_COMMAND, "release.hold", NULL, 200, false, false},
	{"POST", R "/resume", ROUTE_COMMAND, "release.resume", NULL, 200, false, false},
	{"POST", R "/advance", ROUTE_COMMAND, "release.advance", NULL, 200, false, false},
	{"POST", R "/abort", ROUTE_COMMAND, "release.abort", NULL, 200, false, false},
	{"POST", R "/approve", ROUTE_COMMAND, "release.approve", NULL, 200, false, false},
	{"POST", R "/retry", ROUTE_COMMAND, "release.retry", NULL, 200, true, false},

	{"GET", "/v1/managers", ROUTE_COMMAND, "manager.list", page, 200, false, false},
	{"POST", "/v1/managers", ROUTE_COMMAND, "manager.set", NULL, 200, true, false},
	{"DELETE", "/v1/managers/{name}", ROUTE_COMMAND, "manager.revoke", delete_query, 200,
	 false, false},
	{"GET", "/v1/tokens", ROUTE_COMMAND, "token.list", page, 200, false, false},
	{"POST", "/v1/tokens", ROUTE_COMMAND, "token.create", NULL, 201, true, false},
	{"DELETE", "/v1/tokens/{id}", ROUTE_COMMAND, "token.revoke", NULL, 200, false, false},
	{"GET", "/v1/root", ROUTE_COMMAND, "root.show", NULL, 200, false, false},
	{"POST", "/v1/root", ROUTE_COMMAND, "root.update", NULL, 200, true, false},
	{"POST", "/v1/head", ROUTE_COMMAND, "head.update", NULL, 200, true, false},
	{"GET", "/v1/audit", ROUTE_COMMAND, "audit.list", page, 200, false, false},
	{"GET", "/v1/audit/verify", ROUTE_COMMAND, "audit.verify", verify_query, 200, false,
	 false},
};

#define ROUTE_COUNT (sizeof routes / sizeof routes[0])

const struct route *route_at(size_t i)
{
	return i < ROUTE_COUNT ? &routes[i] : NULL;
}

static bool is_hex(const char *text, size_t len)
{
	return strlen(text) == len && strspn(text, "0123456789abcdef") == len;
}

/* The value's syntax follows from the parameter's name. */
static bool value_is_allowed(const char *name, const char *value, bool integer)
{
	uint64_t number;

	if (integer)
		return text_to_u64(value, JSON_INT_MAX, &number);
	if (!strcmp(name, "product") || !strcmp(name, "group"))
		return name_is_product(value);
	if (!strcmp(name, "version"))
		return name_is_version(value);
	if (!strcmp(name, "sha256"))
		return is_hex(value, 64);
	if (!strcmp(name, "id"))
		return is_hex(value, 16);
	return name_is_id(value);
}

/* One "{…}" of the pattern against the path up to the next '/'. */
static bool match_param(const char **pattern, const char **path, struct route_params *params)
{
	const char *end = strchr(*pattern, '}');
	const char *name = *pattern + 1;
	size_t len = strcspn(*path, "/");
	bool integer = *name == '#', skip = *name == '-';

	if (integer || skip)
		name++;
	if (params->count == ROUTE_PARAMS_MAX || len == 0 ||
	    len >= sizeof params->at[0].value ||
	    (size_t)(end - name) >= sizeof params->at[0].name)
		return false;
	__auto_type at = &params->at[params->count];
	memcpy(at->name, name, (size_t)(end - name));
	at->name[end - name] = 0;
	memcpy(at->value, *path, len);
	at->value[len] = 0;
	at->integer = integer;
	at->argument = !skip;
	if (!value_is_allowed(at->name, at->value, integer))
		return false;
	params->count++;
	*pattern = end + 1;
	*path += len;
	return true;
}

static bool match(const char *pattern, const char *path, struct route_params *params)
{
	memset(params, 0, sizeof *params);
	while (*pattern) {
		if (*pattern == '{') {
			if (!match_param(&pattern, &path, params))
				return false;
		} else if (*pattern++ != *path++) {
			return false;
		}
	}
	return !*path;
}

enum ota_err route_find(const char *method, const char *path, const struct route **ret_route,
			struct route_params *ret_params, char ret_methods[64],
			struct ota_why *why)
{
	struct route_params params;

	ret_methods[0] = 0;
	for (size_t i = 0; i < ROUTE_COUNT; i++) {
		if (!match(routes[i].path, path, &params))
			continue;
		if (!strcmp(routes[i].method, method)) {
			*ret_route = &routes[i];
			*ret_params = params;
			return OTA_OK;
		}
		size_t used = strlen(ret_methods);
		if (used + strlen(routes[i].method) + 3 < 64)
			snprintf(ret_methods + used, 64 - used, "%s%s", used ? ", " : "",
				 routes[i].method);
	}
	if (ret_methods[0])
		return ota_fail(why, OTA_BAD_REQUEST, "%s is not allowed here, but %s is",
				method, ret_methods);
	return ota_fail(why, OTA_NOT_FOUND, "there is nothing at this path");
}

const char *route_param(const struct route_params *params, const char *name)
{
	for (unsigned i = 0; i < params->count; i++)
		if (!strcmp(params->at[i].name, name))
			return params->at[i].value;
	return NULL;
}

struct query {
	const struct route *route;
	struct text *to;
	struct ota_why *why;
	enum ota_err err;
	bool first;
};

/* A value whose form has been checked. */
static void put_member(struct query *query, const char *name, const char *value, char form)
{
	uint64_t number = 0;

	text_printf(query->to, "%s\"%s\":", query->first ? "" : ",", name);
	query->first = false;
	if (form == '#' && text_to_u64(value, JSON_INT_MAX, &number))
		text_printf(query->to, "%" PRIu64, number); /* JSON has no leading zeros */
	else if (form == '?')
		text_put(query->to, value);
	else
		json_put_string(query->to, value);
}

static bool take_query(void *ctx, const char *name, const char *value)
{
	struct query *query = ctx;
	uint64_t number;

	for (const char *const *row = query->route->query; row && *row; row++) {
		char form = **row == '#' || **row == '?' ? **row : 0;
		if (strcmp(*row + (form != 0), name))
			continue;
		if (form == '#' && !text_to_u64(value, JSON_INT_MAX, &number))
			query->err = ota_fail(query->why, OTA_BAD_REQUEST,
					      "query parameter '%s' must be an integer", name);
		else if (form == '?' && strcmp(value, "true") && strcmp(value, "false"))
			query->err =
				ota_fail(query->why, OTA_BAD_REQUEST,
					 "query parameter '%s' must be true or false", name);
		else
			put_member(query, name, value, form);
		return !query->err;
	}
	query->err = ota_fail(query->why, OTA_BAD_REQUEST,
			      "there is no query parameter '%s' here", name);
	return false;
}

/* Appends the body's members: the text between its outer braces. */
static enum ota_err put_body(struct query *query, const struct http_request *request)
{
	size_t len;
	const char *body = http_body(request, &len);
	enum ota_err err = json_check(body, len, HTTP_BODY_MAX, OTA_BAD_REQUEST, query->why);

	if (err)
		return ota_context(query->why, err, "body");
	const char *open = strchr(body, '{'), *close = strrchr(body, '}');
	if (!open || strspn(body, " \t\r\n") != (size_t)(open - body) || !close)
		return ota_fail(query->why, OTA_BAD_REQUEST, "body: must be a JSON object");
	open++;
	if (strspn(open, " \t\r\n") == (size_t)(close - open))
		return OTA_OK; /* an empty object */
	if (!query->first)
		text_put(query->to, ",");
	text_add(query->to, open, (size_t)(close - open));
	return OTA_OK;
}

enum ota_err route_args(const struct route *route, const struct route_params *params,
			const struct http_request *request, struct text *to,
			struct ota_why *why)
{
	struct query query = {route, to, why, OTA_OK, true};

	text_put(to, "{");
	for (unsigned i = 0; i < params->count; i++)
		if (params->at[i].argument)
			put_member(&query, params->at[i].name, params->at[i].value,
				   params->at[i].integer ? '#' : 0);
	http_query_each(request, take_query, &query);
	if (!query.err && route->body)
		query.err = put_body(&query, request);
	text_put(to, "}");
	if (!query.err && to->failed)
		query.err = ota_fail(why, OTA_OUT_OF_MEMORY, "no memory for the arguments");
	return query.err;
}
