/* Ownership: what a local variable owns is released when it leaves its scope; TAKE moves it
 * out. */
#pragma once

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static inline void own_free(void *place)
{
	free(*(void **)place);
}

static inline void own_close(const int *fd)
{
	if (*fd >= 0)
		close(*fd);
}

static inline void own_fclose(FILE **file)
{
	if (*file)
		fclose(*file);
}

#define AUTO(function) __attribute__((cleanup(function)))
#define AUTO_FREE      AUTO(own_free)
#define AUTO_CLOSE     AUTO(own_close)
#define AUTO_FCLOSE    AUTO(own_fclose)

/* Evaluates to the value and leaves NULL behind, so that the cleanup finds nothing. */
#define TAKE(place)                                                                            \
	__extension__({                                                                        \
		__auto_type take_value = (place);                                              \
		(place) = NULL;                                                                \
		take_value;                                                                    \
	})
/* The same for a file descriptor, which is left as -1. */
#define TAKE_FD(place)                                                                         \
	__extension__({                                                                        \
		int take_value = (place);                                                      \
		(place) = -1;                                                                  \
		take_value;                                                                    \
	})
