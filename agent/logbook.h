/* What the agent says: to stderr (the service manager's log) and into a ring that goes with an
 * error's report as evidence. */
#pragma once

#include "text.h"

#define LOGBOOK_SIZE	  (16u << 10) /* MESSAGE_LOG_MAX: the evidence of one attempt */
#define LOGBOOK_LINE_SIZE 640	      /* a line; OTA_WHY_TEXT_MAX and what is around it */

enum log_level {
	LOG_LEVEL_ERROR = 0,
	LOG_LEVEL_WARNING,
	LOG_LEVEL_INFO,
	LOG_LEVEL_DEBUG,
};
extern const char *const log_level_names[];

struct logbook {
	enum log_level level; /* what goes to stderr; the ring takes all but debug */
	bool quiet;	      /* tests: nothing to stderr */
	uint64_t now_ms;      /* for the stamps; set by the owner */
	char *ring;	      /* LOGBOOK_SIZE */
	size_t start, len;
};

enum ota_err logbook_init(struct logbook *book, enum log_level level,
			  struct ota_why *why) OTA_CHECKED;
void logbook_done(struct logbook *book);
void logbook_write(struct logbook *book, enum log_level level, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
/* A new attempt begins. */
void logbook_clear(struct logbook *book);
/* The newest whole lines, at most `max` bytes; the caller frees, NULL for want of memory. */
char *logbook_tail(const struct logbook *book, size_t max);
