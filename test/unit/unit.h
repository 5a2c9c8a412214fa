/* What every unit test includes first: cmocka and what it forgets to include, and reading a
 * test's own input. */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* Reads a file whole, NUL-terminated; test_free() it. A file that is not there fails the test.
 */
static inline char *unit_read(const char *path, size_t *ret_len)
{
	FILE *file = fopen(path, "rb");

	if (!file)
		fail_msg("no file '%s'", path);
	enum { ROOM = 4 << 20 };
	char *bytes = test_malloc(ROOM);
	size_t len = fread(bytes, 1, ROOM - 1, file);

	fclose(file);
	bytes[len] = '\0';
	if (ret_len)
		*ret_len = len;
	return bytes;
}

/* Fails with the error's sentence. */
#define assert_ok(expression, why)                                                             \
	do {                                                                                   \
		enum ota_err unit_err = (expression);                                          \
		if (unit_err)                                                                  \
			fail_msg("%s: %s", ota_err_name(unit_err), (why).text);                \
	} while (0)

#define assert_contains(text, part)                                                            \
	do {                                                                                   \
		if (!strstr((text), (part)))                                                   \
			fail_msg("'%s' does not contain '%s'", (text), (part));                \
	} while (0)
