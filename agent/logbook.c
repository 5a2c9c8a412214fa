#include "logbook.h"

#include "own.h"

#include <string.h>

const char *const log_level_names[] = {"error", "warning", "info", "debug", NULL};

enum ota_err logbook_init(struct logbook *book, enum log_level level, struct ota_why *why)
{
	memset(book, 0, sizeof(*book));
	book->level = level;
	book->ring = malloc(LOGBOOK_SIZE);
	if (!book->ring)
		return ota_fail(why, OTA_OUT_OF_MEMORY, "log");
	return OTA_OK;
}

void logbook_done(struct logbook *book)
{
	free(book->ring);
	memset(book, 0, sizeof(*book));
}

void logbook_clear(struct logbook *book)
{
	book->start = book->len = 0;
}

static char at(const struct logbook *book, size_t i)
{
	return book->ring[(book->start + i) % LOGBOOK_SIZE];
}

/* Makes room by forgetting whole lines from the front. */
static void make_room(struct logbook *book, size_t len)
{
	while (book->len && LOGBOOK_SIZE - book->len < len) {
		size_t i = 0;

		while (i < book->len && at(book, i) != '\n')
			i++;
		i = i < book->len ? i + 1 : book->len;
		book->start = (book->start + i) % LOGBOOK_SIZE;
		book->len -= i;
	}
}

void logbook_write(struct logbook *book, enum log_level level, const char *format, ...)
{
	char message[LOGBOOK_LINE_SIZE], clean[LOGBOOK_LINE_SIZE];
	char line[LOGBOOK_LINE_SIZE + 32];
	va_list args;

	va_start(args, format);
	int len = vsnprintf(message, sizeof(message), format, args);
	va_end(args);
	if (len < 0)
		return;
	/* Peers' words are in it: nothing in it may move a terminal's cursor. */
	text_sanitize(clean, sizeof(clean), message, strlen(message), false);
	if (!book->quiet && level <= book->level)
		fprintf(stderr, "ota-agent: %s: %s\n", log_level_names[level], clean);
	if (level == LOG_LEVEL_DEBUG || !book->ring)
		return;
	len = snprintf(line, sizeof(line), "%llu.%03u %s: %s\n",
		       (unsigned long long)(book->now_ms / 1000),
		       (unsigned)(book->now_ms % 1000), log_level_names[level], clean);
	if (len <= 0)
		return;
	make_room(book, (size_t)len);
	for (size_t i = 0; i < (size_t)len; i++)
		book->ring[(book->start + book->len + i) % LOGBOOK_SIZE] = line[i];
	book->len += (size_t)len;
}

char *logbook_tail(const struct logbook *book, size_t max)
{
	size_t first = book->len > max ? book->len - max : 0;
	char *tail;

	if (first) {
		while (first < book->len && at(book, first - 1) != '\n')
			first++;
	}
	tail = malloc(book->len - first + 1);
	if (!tail)
		return NULL;
	for (size_t i = first; i < book->len; i++)
		tail[i - first] = at(book, i);
	tail[book->len - first] = '\0';
	return tail;
}
