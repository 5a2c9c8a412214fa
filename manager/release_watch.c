#include "release_watch.h"

#include "line.h"
#include "own.h"

#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <time.h>

#define REFRESH_MS	 1000 /* at the latest, also without an event */
#define REFRESH_LEAST_MS 200  /* at the soonest, however many events come */
#define DEVICES_SHOWN	 20
#define BAR_WIDTH	 20

struct watching {
	struct tool *tool;
	const char *product;
	uint64_t number;
	pthread_mutex_t lock;
	pthread_cond_t change;
	bool news;
	unsigned lines; /* of the picture on the terminal */
	uint64_t first_ended, first_ms;
	uint64_t succeeded;
	char reason[256]; /* of the release's state, as last told */
	char *last;	  /* counts as last printed, where there is no terminal */
};

static volatile sig_atomic_t interrupted;

static void on_interrupt(int number)
{
	(void)number;
	interrupted = 1;
}

static void on_event(void *ctx, const struct view *event)
{
	struct watching *watching = ctx;

	(void)event;
	pthread_mutex_lock(&watching->lock);
	watching->news = true;
	pthread_cond_signal(&watching->change);
	pthread_mutex_unlock(&watching->lock);
}

static void wait_for_news(struct watching *watching)
{
	const struct timespec least = {.tv_nsec = REFRESH_LEAST_MS * 1000000L};
	struct timespec until;

	nanosleep(&least, NULL);
	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_sec += REFRESH_MS / 1000;
	pthread_mutex_lock(&watching->lock);
	while (!watching->news && !interrupted)
		if (pthread_cond_timedwait(&watching->change, &watching->lock, &until))
			break;
	watching->news = false;
	pthread_mutex_unlock(&watching->lock);
}

static bool is_one_of(const char *state, const char *const *states)
{
	for (; *states; states++)
		if (!strcmp(*states, state))
			return true;
	return false;
}

static const char *const final_states[] = {
	"succeeded", "already_installed", "failed",  "rolled_back", "rejected", "timed_out",
	"canceled",  "superseded",	  "removed", "expired",	    "lost",	NULL};
static const char *const ended_states[] = {"done", "superseded", "aborted", "expired", NULL};

static uint64_t count_ended(const struct view *release)
{
	const struct view *each;
	uint64_t ended = 0;

	for (each = view_first(view_at(release, "counts")); each; each = view_next(each))
		if (is_one_of(view_name(each), final_states))
			ended += view_number(each);
	return ended;
}

static void line_end(struct watching *watching)
{
	fputs(watching->tool->screen.terminal ? "\033[K\n" : "\n", watching->tool->screen.out);
	watching->lines++;
}

static void draw_bar(FILE *out, uint64_t done, uint64_t total)
{
	unsigned filled = total ? (unsigned)(done * BAR_WIDTH / total) : 0, i;

	for (i = 0; i < BAR_WIDTH; i++)
		fputs(i < filled ? "█" : "░", out);
}

static void draw_head(struct watching *watching, const struct view *release)
{
	struct screen *screen = &watching->tool->screen;
	uint64_t targeted = view_number(view_at(release, "targeted"));
	uint64_t ended = count_ended(release), took_ms = line_now_ms() - watching->first_ms;
	char left[SCREEN_FIGURE_SIZE], version[SCREEN_WORD_SIZE], mode[SCREEN_WORD_SIZE];

	fprintf(screen->out, "release %llu  %s version %s  %s  ",
		(unsigned long long)watching->number, watching->product,
		screen_word(view_at(release, "version"), version),
		screen_word(view_at(release, "mode"), mode));
	screen_state(screen, view_text(view_at(release, "state")), screen->out);
	line_end(watching);
	draw_bar(screen->out, ended, targeted);
	fprintf(screen->out, "  %llu of %llu ended", (unsigned long long)ended,
		(unsigned long long)targeted);
	if (view_count(view_at(release, "waves")) > 1)
		fprintf(screen->out, "  wave %llu of %zu",
			(unsigned long long)view_number(view_at(release, "wave")) + 1,
			view_count(view_at(release, "waves")));
	if (ended > watching->first_ended && ended < targeted && took_ms) {
		uint64_t rate = (ended - watching->first_ended) * 60000 / took_ms;

		screen_duration((targeted - ended) * took_ms / 1000 /
					(ended - watching->first_ended),
				left);
		fprintf(screen->out, "  %llu a minute, %s left", (unsigned long long)rate,
			left);
	}
	line_end(watching);
}

static void draw_counts(struct watching *watching, const struct view *release)
{
	struct screen *screen = &watching->tool->screen;
	const struct view *each;

	for (each = view_first(view_at(release, "counts")); each; each = view_next(each)) {
		fprintf(screen->out, "%s%llu ",
			each == view_first(view_at(release, "counts")) ? "" : "  ",
			(unsigned long long)view_number(each));
		screen_state(screen, view_name(each), screen->out);
	}
	line_end(watching);
	if (*view_text(view_at(release, "reason"))) {
		char reason[256];

		screen_format(screen, SCREEN_TEXT, view_at(release, "reason"), reason,
			      sizeof(reason));
		fprintf(screen->out, "because: %s", reason);
		line_end(watching);
	}
}

static void draw_device(struct watching *watching, const struct view *update)
{
	struct screen *screen = &watching->tool->screen;
	uint64_t done = view_number(view_at(update, "done"));
	uint64_t total = view_number(view_at(update, "total"));
	const char *state = view_text(view_at(update, "state"));
	char device[NAME_SIZE], error[64], size[SCREEN_FIGURE_SIZE];
	bool good = !strcmp(state, "succeeded") || !strcmp(state, "already_installed");

	screen_format(screen, SCREEN_TEXT, view_at(update, "device"), device, sizeof(device));
	screen_format(screen, SCREEN_TEXT, view_at(update, "error.name"), error, sizeof(error));
	screen_bytes(total, size);
	fprintf(screen->out, "  %-16s ", device);
	draw_bar(screen->out, good ? 1 : done, good ? 1 : total);
	fprintf(screen->out, " %9s  ", total ? size : "");
	screen_state(screen, state, screen->out);
	if (error[0])
		fprintf(screen->out, "  %s", error);
	line_end(watching);
}

static void draw_errors(struct watching *watching, const struct view *release)
{
	struct screen *screen = &watching->tool->screen;
	const struct view *each;
	char name[64], device[NAME_SIZE];

	for (each = view_first(view_at(release, "errors")); each; each = view_next(each)) {
		screen_format(screen, SCREEN_TEXT, view_at(each, "name"), name, sizeof(name));
		screen_format(screen, SCREEN_TEXT, view_at(each, "device"), device,
			      sizeof(device));
		fprintf(screen->out, "  %llu × %s, for example %s",
			(unsigned long long)view_number(view_at(each, "count")), name, device);
		line_end(watching);
	}
}

static void draw_devices(struct watching *watching)
{
	AUTO(view_free_place) struct view_tree *tree = NULL;
	AUTO(tool_args_done) struct tool_args args = {0};
	const struct view *each;

	tool_args_string(&args, "product", watching->product);
	tool_args_number(&args, "number", watching->number);
	tool_args_number(&args, "limit", DEVICES_SHOWN);
	if (tool_ask(watching->tool, "release.devices", &args, &tree, NULL))
		return;
	for (each = view_first(view_at(view_root(tree), "items")); each; each = view_next(each))
		draw_device(watching, each);
}

/* Moves back to the first line of the picture before and draws over it. */
static void draw(struct watching *watching, const struct view *release)
{
	struct screen *screen = &watching->tool->screen;
	unsigned before = watching->lines;

	if (before)
		fprintf(screen->out, "\033[%uA", before);
	watching->lines = 0;
	draw_head(watching, release);
	draw_counts(watching, release);
	if (view_number(view_at(release, "targeted")) <= DEVICES_SHOWN)
		draw_devices(watching);
	draw_errors(watching, release);
	fputs("\033[J", screen->out);
	fflush(screen->out);
}

static enum ota_err print_change(struct watching *watching, const struct view *release,
				 struct ota_why *why)
{
	char counts[512], state[32];
	AUTO_FREE char *now = NULL;

	screen_format(&watching->tool->screen, SCREEN_LIST, view_at(release, "counts"), counts,
		      sizeof(counts));
	screen_format(&watching->tool->screen, SCREEN_TEXT, view_at(release, "state"), state,
		      sizeof(state));
	if (asprintf(&now, "release %llu %s: %s", (unsigned long long)watching->number, state,
		     counts) < 0)
		return ota_fail(why, OTA_OUT_OF_MEMORY, "no memory for a line");
	if (watching->last && !strcmp(watching->last, now))
		return OTA_OK;
	free(watching->last);
	watching->last = TAKE(now);
	if (!tool_json(watching->tool, release))
		fprintf(watching->tool->screen.out, "%s\n", watching->last);
	fflush(watching->tool->screen.out);
	return OTA_OK;
}

static enum ota_err show(struct watching *watching, const struct view *release,
			 struct ota_why *why)
{
	if (!watching->first_ms) {
		watching->first_ms = line_now_ms();
		watching->first_ended = count_ended(release);
	}
	watching->succeeded = view_number(view_at(release, "counts.succeeded")) +
			      view_number(view_at(release, "counts.already_installed"));
	if (!watching->tool->screen.terminal)
		return print_change(watching, release, why);
	draw(watching, release);
	return OTA_OK;
}

static enum ota_err follow(struct watching *watching, char ret_state[32], struct ota_why *why)
{
	enum ota_err err = OTA_OK;
	bool ended = false;

	while (!ended && !interrupted && !err) {
		AUTO(view_free_place) struct view_tree *tree = NULL;
		AUTO(tool_args_done) struct tool_args args = {0};
		const char *state;

		tool_args_string(&args, "product", watching->product);
		tool_args_number(&args, "number", watching->number);
		err = tool_ask(watching->tool, "release.show", &args, &tree, why);
		if (!err)
			err = show(watching, view_root(tree), why);
		if (err)
			break;
		state = view_text(view_at(view_root(tree), "state"));
		text_copy(ret_state, 32, state);
		text_copy(watching->reason, sizeof(watching->reason),
			  view_text(view_at(view_root(tree), "reason")));
		/* A halted release ends for the watcher once nobody is under way any more. */
		ended = is_one_of(state, ended_states) ||
			(!strcmp(state, "halted") &&
			 count_ended(view_root(tree)) +
					 view_number(
						 view_at(view_root(tree), "counts.targeted")) >=
				 view_number(view_at(view_root(tree), "targeted")));
		if (!ended)
			wait_for_news(watching);
	}
	return err;
}

static void init_locks(struct watching *watching)
{
	pthread_condattr_t monotonic;

	pthread_condattr_init(&monotonic);
	pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
	pthread_mutex_init(&watching->lock, NULL);
	pthread_cond_init(&watching->change, &monotonic);
	pthread_condattr_destroy(&monotonic);
}

enum ota_err release_watch(struct tool *tool, const char *product, uint64_t number,
			   struct ota_why *why)
{
	struct watching watching = {.tool = tool, .product = product, .number = number};
	struct sigaction action = {.sa_handler = on_interrupt}, before;
	char state[32] = "";
	enum ota_err err = tool_connect(tool, why);

	if (err)
		return err;
	init_locks(&watching);
	sigaction(SIGINT, &action, &before);
	err = control_watch(tool->client, product, on_event, &watching, why);
	if (!err) {
		err = follow(&watching, state, why);
		control_unwatch(tool->client, product);
	}
	sigaction(SIGINT, &before, NULL);
	pthread_cond_destroy(&watching.change);
	pthread_mutex_destroy(&watching.lock);
	free(watching.last);
	if (!err && !watching.succeeded && !strcmp(state, "done"))
		return ota_fail(why, OTA_CONFLICT, "release %llu ended without a success",
				(unsigned long long)number);
	if (!err && (!strcmp(state, "halted") || !strcmp(state, "aborted") ||
		     !strcmp(state, "expired")))
		return ota_fail(why, OTA_CONFLICT, "release %llu is %s%s%s",
				(unsigned long long)number, state,
				watching.reason[0] ? ": " : "", watching.reason);
	return err;
}
