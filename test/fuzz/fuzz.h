/* What every fuzz target includes. A property that does not hold ends the program, whatever the
 * kind of build. */
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

#define MUST(property)                                                                         \
	do {                                                                                   \
		if (!(property)) {                                                             \
			fprintf(stderr, "%s:%d: does not hold: %s\n", __FILE__, __LINE__,      \
				#property);                                                    \
			abort();                                                               \
		}                                                                              \
	} while (0)
