#include "screen.h"

#include "line.h"

#include <string.h>

#define BAR_WIDTH 30
#define REDRAW_MS 100

void screen_bar_start(struct screen_bar *bar, struct screen *screen, const char *what,
		      uint64_t total, bool bytes)
{
	memset(bar, 0, sizeof(*bar));
	bar->screen = screen;
	bar->what = what;
	bar->total = total;
	bar->bytes = bytes;
	bar->first = UINT64_MAX;
	bar->started_ms = line_now_ms();
}

static void rate_and_left(const struct screen_bar *bar, uint64_t done, char *text, size_t size)
{
	uint64_t took_ms = line_now_ms() - bar->started_ms;
	uint64_t moved = done > bar->first ? done - bar->first : 0;
	uint64_t rate = took_ms ? moved * 1000 / took_ms : 0;
	char speed[SCREEN_FIGURE_SIZE], left[SCREEN_FIGURE_SIZE];

	*text = '\0';
	if (!rate)
		return;
	if (bar->bytes) {
		screen_bytes(rate, speed);
		snprintf(text, size, "  %s/s", speed);
	}
	if (done < bar->total) {
		screen_duration((bar->total - done) / rate, left);
		snprintf(text + strlen(text), size - strlen(text), "  %s left", left);
	}
}

static void draw(struct screen_bar *bar, uint64_t done)
{
	FILE *out = bar->screen->out;
	uint64_t percent = bar->total ? done * 100 / bar->total : 100;
	unsigned filled = (unsigned)(percent * BAR_WIDTH / 100), i;
	char tail[96], size[SCREEN_FIGURE_SIZE];

	rate_and_left(bar, done, tail, sizeof(tail));
	screen_bytes(bar->total, size);
	fprintf(out, "\r%-10s ", bar->what);
	for (i = 0; i < BAR_WIDTH; i++)
		fputs(i < filled ? "█" : "░", out);
	fprintf(out, " %3llu %%%s%s%s\033[K", (unsigned long long)percent,
		bar->bytes ? " of " : "", bar->bytes ? size : "", tail);
	fflush(out);
}

void screen_bar_show(struct screen_bar *bar, uint64_t done)
{
	uint64_t now = line_now_ms();

	if (bar->first == UINT64_MAX)
		bar->first = done;
	if (!bar->screen->terminal || now - bar->drawn_ms < REDRAW_MS)
		return;
	bar->drawn_ms = now;
	draw(bar, done < bar->total ? done : bar->total);
}

void screen_bar_end(struct screen_bar *bar, uint64_t done)
{
	uint64_t took_ms = line_now_ms() - bar->started_ms;
	char size[SCREEN_FIGURE_SIZE], text[64] = "";

	if (bar->screen->json)
		return;
	if (bar->bytes) {
		screen_bytes(bar->total, size);
		snprintf(text, sizeof(text), "%s", size);
	}
	if (bar->screen->terminal)
		fputs("\r\033[K", bar->screen->out);
	screen_line(bar->screen, done >= bar->total ? SCREEN_GOOD : SCREEN_BAD,
		    "%s %s in %llu.%llu s%s", bar->what, text,
		    (unsigned long long)took_ms / 1000,
		    (unsigned long long)took_ms % 1000 / 100,
		    bar->first && bar->first != UINT64_MAX && bar->first < bar->total
			    ? " (went on where it had stopped)"
			    : "");
}
