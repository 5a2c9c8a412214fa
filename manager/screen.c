#include "screen.h"

#include "own.h"

#include <stdarg.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>

#define PLAIN  "\033[0m"
#define BOLD   "\033[1m"
#define RED    "\033[31m"
#define GREEN  "\033[32m"
#define YELLOW "\033[33m"
#define BLUE   "\033[36m"
#define GREY   "\033[90m"

void screen_init(struct screen *screen, FILE *out, bool json, bool plain)
{
	const char *term = getenv("TERM");
	struct winsize size = {0};

	memset(screen, 0, sizeof(*screen));
	screen->out = out;
	screen->json = json;
	screen->now = (uint64_t)time(NULL);
	screen->terminal =
		!json && !plain && isatty(fileno(out)) && term && strcmp(term, "dumb");
	screen->colour = screen->terminal && !getenv("NO_COLOR");
	if (isatty(fileno(out)) && !ioctl(fileno(out), TIOCGWINSZ, &size))
		screen->width = size.ws_col;
}

void screen_bytes(uint64_t bytes, char ret_text[SCREEN_FIGURE_SIZE])
{
	static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB"};
	unsigned unit = 0;
	uint64_t tenths = bytes * 10;

	if (bytes > UINT64_MAX / 10)
		tenths = UINT64_MAX;
	for (; tenths >= 10240 && unit + 1 < sizeof(units) / sizeof(*units); unit++)
		tenths /= 1024;
	if (unit == 0 || tenths >= 1000)
		snprintf(ret_text, SCREEN_FIGURE_SIZE, "%llu %s",
			 (unsigned long long)(tenths / 10), units[unit]);
	else
		snprintf(ret_text, SCREEN_FIGURE_SIZE, "%llu.%llu %s",
			 (unsigned long long)(tenths / 10), (unsigned long long)(tenths % 10),
			 units[unit]);
}

void screen_duration(uint64_t seconds, char ret_text[SCREEN_FIGURE_SIZE])
{
	unsigned long long s = seconds;

	if (s < 60)
		snprintf(ret_text, SCREEN_FIGURE_SIZE, "%llu s", s);
	else if (s < 3600)
		snprintf(ret_text, SCREEN_FIGURE_SIZE, "%llu min %02llu s", s / 60, s % 60);
	else if (s < 86400)
		snprintf(ret_text, SCREEN_FIGURE_SIZE, "%llu h %02llu min", s / 3600,
			 s / 60 % 60);
	else
		snprintf(ret_text, SCREEN_FIGURE_SIZE, "%llu d %02llu h", s / 86400,
			 s / 3600 % 24);
}

static void format_age(const struct screen *screen, uint64_t at, char *text, size_t size)
{
	uint64_t age = screen->now > at ? screen->now - at : 0;

	if (!at)
		text_copy(text, size, "never");
	else if (at > screen->now + 60)
		text_copy(text, size, "in the future");
	else if (age < 60)
		snprintf(text, size, "%llu s ago", (unsigned long long)age);
	else if (age < 3600)
		snprintf(text, size, "%llu min ago", (unsigned long long)(age / 60));
	else if (age < 172800)
		snprintf(text, size, "%llu h ago", (unsigned long long)(age / 3600));
	else
		snprintf(text, size, "%llu d ago", (unsigned long long)(age / 86400));
}

static void format_when(const struct screen *screen, uint64_t at, char *text, size_t size)
{
	char left[SCREEN_FIGURE_SIZE];

	*text = '\0';
	if (!at)
		return;
	screen_duration(at > screen->now ? at - screen->now : 0, left);
	snprintf(text, size, "in %s", left);
}

static void format_time(uint64_t at, char *text, size_t size)
{
	time_t seconds = (time_t)at;
	struct tm tm;

	if (!at || at > (uint64_t)1 << 40 || !gmtime_r(&seconds, &tm) ||
	    !strftime(text, size, "%Y-%m-%d %H:%M:%SZ", &tm))
		text_copy(text, size, "-");
}

static void format_list(const struct view *value, char *text, size_t size)
{
	struct text all = {0};
	const struct view *each;

	for (each = view_first(value); each; each = view_next(each)) {
		if (all.len)
			text_put(&all, view_kind(value) == VIEW_OBJECT ? ", " : " ");
		if (view_kind(value) == VIEW_OBJECT)
			text_printf(&all, "%s ", view_name(each));
		text_put(&all, view_text(each));
	}
	text_sanitize(text, size, all.data ? all.data : "", all.len, false);
	text_done(&all);
}

static void format_share(const struct view *value, char *text, size_t size)
{
	unsigned long long share = view_number(value);

	if (!value)
		text_copy(text, size, "");
	else if (share % 100)
		snprintf(text, size, "%llu.%02llu %%", share / 100, share % 100);
	else
		snprintf(text, size, "%llu %%", share / 100);
}

void screen_format(const struct screen *screen, enum screen_kind kind, const struct view *value,
		   char *ret_text, size_t size)
{
	const uint64_t number = view_number(value);
	const char *raw = view_text(value);
	char bytes[SCREEN_FIGURE_SIZE];

	switch (kind) {
	case SCREEN_BYTES:
		screen_bytes(number, bytes);
		text_copy(ret_text, size, value ? bytes : "");
		break;
	case SCREEN_AGE:
		format_age(screen, number, ret_text, size);
		break;
	case SCREEN_AGE_MS:
		format_age(screen, number / 1000, ret_text, size);
		break;
	case SCREEN_TIME:
		format_time(number, ret_text, size);
		break;
	case SCREEN_TIME_MS:
		format_time(number / 1000, ret_text, size);
		break;
	case SCREEN_YES:
		text_copy(ret_text, size, view_is_true(value) ? "yes" : "-");
		break;
	case SCREEN_LIST:
		format_list(value, ret_text, size);
		break;
	case SCREEN_SHORT:
		text_sanitize(ret_text, size < 13 ? size : 13, raw, strlen(raw), false);
		break;
	case SCREEN_ERROR:
		text_copy(ret_text, size,
			  number ? ota_err_name((enum ota_err)number) : "allowed");
		break;
	case SCREEN_WHEN:
		format_when(screen, number, ret_text, size);
		break;
	case SCREEN_SHARE:
		format_share(value, ret_text, size);
		break;
	case SCREEN_TEXT:
	case SCREEN_NUMBER:
	case SCREEN_CODE:
	case SCREEN_STATE:
		text_sanitize(ret_text, size, raw, strlen(raw), false);
		break;
	}
}

const char *screen_word(const struct view *value, char scratch[SCREEN_WORD_SIZE])
{
	const char *raw = view_text(value);

	text_sanitize(scratch, SCREEN_WORD_SIZE, raw, strlen(raw), false);
	return scratch;
}

static const char *state_colour(const char *state)
{
	static const char *const good[] = {
		"succeeded", "already_installed", "approved", "done", "running",
		"yes",	     "allowed",		  NULL};
	static const char *const bad[] = {"failed",   "rolled_back", "rejected", "timed_out",
					  "lost",     "denied",	     "halted",	 "refused",
					  "reverted", NULL};
	static const char *const care[] = {"deferred", "quarantined", "held",  "unapproved",
					   "canceled", "superseded",  "trial", "expired",
					   "aborted",  "removed",     NULL};
	static const char *const moving[] = {"offered",	   "downloading", "downloaded",
					     "verified",   "installing",  "installed",
					     "restarting", NULL};
	const struct {
		const char *const *states;
		const char *colour;
	} groups[] = {{good, GREEN}, {bad, RED}, {care, YELLOW}, {moving, BLUE}};

	for (unsigned i = 0; i < sizeof(groups) / sizeof(*groups); i++)
		for (const char *const *each = groups[i].states; *each; each++)
			if (!strcmp(*each, state))
				return groups[i].colour;
	return "";
}

void screen_state(const struct screen *screen, const char *state, FILE *out)
{
	const char *colour = screen->colour ? state_colour(state) : "";
	char clean[64];

	text_sanitize(clean, sizeof(clean), state, strlen(state), false);
	fprintf(out, "%s%s%s", colour, clean, *colour ? PLAIN : "");
}

void screen_heading(const struct screen *screen, const char *text)
{
	fprintf(screen->out, "%s%s%s\n", screen->colour ? BOLD : "", text,
		screen->colour ? PLAIN : "");
}

void screen_line(const struct screen *screen, enum screen_mark mark, const char *format, ...)
{
	static const char *const colours[] = {GREEN, YELLOW, RED};
	static const char *const signs[] = {"✓", "!", "✗"};
	struct text text = {0};
	char clean[1024];
	va_list args;

	if (screen->json)
		return;
	va_start(args, format);
	text_vprintf(&text, format, args);
	va_end(args);
	text_sanitize(clean, sizeof(clean), text.data ? text.data : "", text.len, true);
	fprintf(screen->out, "%s%s%s %s\n", screen->colour ? colours[mark] : "", signs[mark],
		screen->colour ? PLAIN : "", clean);
	text_done(&text);
}

static bool is_blank(enum screen_kind kind, const struct view *value)
{
	if (!value)
		return true;
	if (kind == SCREEN_LIST)
		return !view_first(value);
	if (kind == SCREEN_CODE || kind == SCREEN_AGE || kind == SCREEN_TIME ||
	    kind == SCREEN_AGE_MS || kind == SCREEN_TIME_MS)
		return !view_number(value);
	return !*view_text(value) && view_kind(value) != VIEW_NUMBER;
}

void screen_record(struct screen *screen, const struct screen_column *columns,
		   const struct view *element)
{
	const struct screen_column *each;
	char text[1100];
	int width = 0;

	for (each = columns; each->title; each++)
		if ((int)strlen(each->title) > width)
			width = (int)strlen(each->title);
	for (each = columns; each->title; each++) {
		const struct view *value = view_at(element, each->path);

		if (is_blank(each->kind, value))
			continue;
		screen_format(screen, each->kind, value, text, sizeof(text));
		fprintf(screen->out, "%s%-*s%s  ", screen->colour ? GREY : "", width,
			each->title, screen->colour ? PLAIN : "");
		if (each->kind == SCREEN_STATE)
			screen_state(screen, text, screen->out);
		else
			fputs(text, screen->out);
		fputc('\n', screen->out);
	}
}
