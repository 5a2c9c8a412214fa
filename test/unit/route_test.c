#include "route.h"

#include "file.h"
#include "own.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

static enum ota_err find(const char *method, const char *path, const struct route **ret_route,
			 struct route_params *ret_params, char methods[64])
{
	struct ota_why why = {0};

	return route_find(method, path, ret_route, ret_params, methods, &why);
}

static void a_path_gives_its_arguments(void **state)
{
	const struct route *route = NULL;
	struct route_params params;
	char methods[64];

	(void)state;
	assert_int_equal(
		find("POST", "/v1/products/gw/releases/17/hold", &route, &params, methods),
		OTA_OK);
	assert_string_equal(route->verb, "release.hold");
	assert_string_equal(route_param(&params, "product"), "gw");
	assert_string_equal(route_param(&params, "number"), "17");
	assert_null(route_param(&params, "device"));
}

static void a_fixed_word_is_found_before_a_name(void **state)
{
	const struct route *route = NULL;
	struct route_params params;
	char methods[64];

	(void)state;
	assert_int_equal(
		find("PUT", "/v1/products/gw/firmware/release", &route, &params, methods),
		OTA_OK);
	assert_int_equal(route->kind, ROUTE_FIRMWARE_RELEASE);
	assert_int_equal(find("GET", "/v1/products/gw/firmware/1.2", &route, &params, methods),
			 OTA_OK);
	assert_string_equal(route->verb, "firmware.show");
}

static void another_method_is_told_which_are_allowed(void **state)
{
	const struct route *route = NULL;
	struct route_params params;
	char methods[64];

	(void)state;
	assert_int_equal(find("PATCH", "/v1/products/gw", &route, &params, methods),
			 OTA_BAD_REQUEST);
	assert_string_equal(methods, "GET, PUT");
	assert_null(route);
}

static void names_of_the_wrong_syntax_lead_nowhere(void **state)
{
	static const char *const paths[] = {
		"/v1/products/",
		"/v1/products/a/b",
		"/v1/products/gw/",
		"/v1/products/gw/devices/..",
		"/v1/products/gw/releases/-1",
		"/v1/products/gw/releases/1e3",
		"/v1/products/g\"w",
		"/v1/products/gw/releases/99999999999999999999",
		"/v1/tokens/xyz",
		"/v1/nothing",
		"/v1/products/gw/images/abc",
	};
	const struct route *route = NULL;
	struct route_params params;
	char methods[64];

	(void)state;
	for (size_t i = 0; i < sizeof paths / sizeof *paths; i++)
		if (find("GET", paths[i], &route, &params, methods) != OTA_NOT_FOUND)
			fail_msg("'%s' led somewhere", paths[i]);
	assert_null(route);
}

/* Turns "{-name}" and "{#name}" into the document's "{name}". */
static void document_path(const char *path, char *to)
{
	for (; *path; path++)
		if (!((*path == '#' || *path == '-') && path[-1] == '{'))
			*to++ = *path;
	*to = 0;
}

static void every_route_is_in_the_document_and_no_other(void **state)
{
	AUTO_FREE char *document = NULL;
	size_t len, rows = 0, operations = 0;

	(void)state;
	assert_int_equal(file_read(DOCUMENT, 1 << 20, &document, &len, NULL), OTA_OK);
	for (const struct route *route; (route = route_at(rows)); rows++) {
		char path[128], line[160], method[16];
		document_path(route->path, path);
		snprintf(line, sizeof line, "\n  %s:\n", path);
		char *at = strstr(document, line);
		if (!at)
			fail_msg("%s is not in the document", path);
		char *end = strstr(at + 3, "\n  /");
		char kept = 0;
		if (end) {
			kept = *end;
			*end = 0;
		}
		snprintf(method, sizeof method, "\n    %s:\n", route->method);
		for (char *c = method; *c; c++)
			if (*c >= 'A' && *c <= 'Z')
				*c = (char)(*c - 'A' + 'a');
		if (!strstr(at, method))
			fail_msg("%s %s is not in the document", route->method, path);
		if (end)
			*end = kept;
	}
	for (char *at = document; (at = strstr(at, "operationId:")); at++)
		operations++;
	assert_int_equal(operations, rows);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_path_gives_its_arguments),
		cmocka_unit_test(a_fixed_word_is_found_before_a_name),
		cmocka_unit_test(another_method_is_told_which_are_allowed),
		cmocka_unit_test(names_of_the_wrong_syntax_lead_nowhere),
		cmocka_unit_test(every_route_is_in_the_document_and_no_other),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
