#include "supervise.h"

#include "ending.h"
#include "file.h"
#include "own.h"
#include "program.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/file.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>

#define EVENTS_MAX	4
#define RECORD_SIZE	64u /* three numbers of at most 20 digits */
#define POLL_MS		500 /* where the kernel has no pidfd */
#define ADOPT_TRIES	50  /* × 20 ms: the application writes its record before it starts */
#define STEADY_MS	60000u /* it ran so long: the next crash is the first one again */
#define PAUSE_FIRST_MS	500u
#define PAUSE_LAST_MS	30000u
#define START_FAILED_MS 5000u

enum phase {
	PHASE_PAUSE = 0, /* until due_ms */
	PHASE_RUNNING,
	PHASE_STOPPING, /* asked to end; killed at due_ms */
};

struct supervise {
	struct supervise_options options;
	char lock_path[DISK_PATH_SIZE], record_path[DISK_PATH_SIZE];
	enum phase phase;
	uint64_t now_ms, due_ms, started_ms;
	unsigned crashes;
	pid_t pid;
	bool child; /* ours to wait for; false: adopted */
	uint64_t start_time;
	int pidfd;
	enum boot_slot slot;
	int load_error; /* why the program could not be loaded; 0: it was */
	char program[96];
	uint64_t memory_kills; /* when it was started */
	struct runner_event events[EVENTS_MAX];
	unsigned event_count;
};

static void put_event(struct supervise *supervise, const struct runner_event *event)
{
	if (supervise->event_count == EVENTS_MAX) {
		/* The newest says it all. */
		memmove(supervise->events, supervise->events + 1,
			(EVENTS_MAX - 1) * sizeof(supervise->events[0]));
		supervise->event_count--;
	}
	supervise->events[supervise->event_count++] = *event;
}

static void put_started(struct supervise *supervise, bool adopted)
{
	put_event(supervise, &(struct runner_event){.kind = RUNNER_STARTED,
						    .slot = supervise->slot,
						    .adopted = adopted,
						    .certain = true});
}

/* --- processes --- */

/* Field 22 of /proc/<pid>/stat: start time in ticks since boot; 0 when there is no process. */
static uint64_t parse_start_time(char *stat)
{
	char *at = strrchr(stat, ')');
	uint64_t value = 0;

	if (!at)
		return 0;
	for (int field = 2; field < 22; field++) {
		at = strchr(at + 1, ' ');
		if (!at)
			return 0;
	}
	for (at++; *at >= '0' && *at <= '9'; at++)
		value = value * 10 + (uint64_t)(*at - '0');
	return value;
}

static uint64_t start_time_of(const char *path)
{
	char stat[1024];
	AUTO_CLOSE int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t len;

	if (fd < 0)
		return 0;
	len = read(fd, stat, sizeof(stat) - 1);
	if (len <= 0)
		return 0;
	stat[len] = '\0';
	return parse_start_time(stat);
}

static uint64_t start_time_of_pid(pid_t pid)
{
	char path[32];

	snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
	return start_time_of(path);
}

static int open_pidfd(pid_t pid)
{
#ifdef SYS_pidfd_open
	return (int)syscall(SYS_pidfd_open, pid, 0);
#else
	(void)pid;
	return -1;
#endif
}

static void watch(struct supervise *supervise, pid_t pid, bool child, uint64_t start_time)
{
	if (supervise->pidfd >= 0)
		close(supervise->pidfd);
	supervise->pid = pid;
	supervise->child = child;
	supervise->start_time = start_time;
	supervise->pidfd = open_pidfd(pid);
	supervise->phase = PHASE_RUNNING;
	supervise->started_ms = supervise->now_ms;
}

static void forget(struct supervise *supervise)
{
	if (supervise->pidfd >= 0)
		close(supervise->pidfd);
	supervise->pidfd = -1;
	supervise->pid = 0;
}

/* A zombie still has its start time; its pidfd is readable. */
static bool is_gone(const struct supervise *supervise)
{
	struct pollfd one = {.fd = supervise->pidfd, .events = POLLIN};

	return start_time_of_pid(supervise->pid) != supervise->start_time ||
	       (supervise->pidfd >= 0 && poll(&one, 1, 0) > 0);
}

/* True when the application has ended; says how. */
static bool has_ended(struct supervise *supervise, struct ending *ret_ending)
{
	int status = 0;

	*ret_ending = (struct ending){.lived_ms = supervise->now_ms - supervise->started_ms};
	if (supervise->child) {
		pid_t pid = waitpid(supervise->pid, &status, WNOHANG);

		ret_ending->status = status;
		ret_ending->known = pid == supervise->pid;
		return pid != 0;
	}
	return is_gone(supervise);
}

/* --- starting --- */

/* Writes "<pid> <start time> <slot>" as the application, before it is one. Runs between fork
 * and exec of a process with threads: async-signal-safe calls only. */
static void put_number(char **at, uint64_t value)
{
	char digits[24];
	int count = 0;

	do {
		digits[count++] = (char)('0' + value % 10);
		value /= 10;
	} while (value);
	while (count)
		*(*at)++ = digits[--count];
	*(*at)++ = ' ';
}

/* In place and always of the same length, so that a full disk takes it too. A device whose disk
 * takes nothing at all runs its application all the same. */
static void write_record(const char *path, enum boot_slot slot)
{
	char line[RECORD_SIZE], *at = line;

	memset(line, ' ', sizeof(line));
	put_number(&at, (uint64_t)getpid());
	put_number(&at, start_time_of("/proc/self/stat"));
	put_number(&at, (uint64_t)slot);
	line[sizeof(line) - 1] = '\n';
	int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	if (fd < 0)
		return;
	if (write(fd, line, sizeof(line)) < 0) {
		/* it cannot be adopted; everything else works */
	}
	close(fd);
}

static _Noreturn void become(const struct program_line *line, const char *record,
			     enum boot_slot slot, int failure)
{
	sigset_t none;
	int error, null;

	setsid();
	sigemptyset(&none);
	for (int i = 1; i < NSIG; i++)
		signal(i, SIG_DFL);
	sigprocmask(SIG_SETMASK, &none, NULL);
	null = open("/dev/null", O_RDONLY);
	if (null > 0) {
		dup2(null, 0);
		close(null);
	}
	write_record(record, slot);
	/* execvp(3) would hand what is no program to a shell. */
	if (strchr(line->args[0], '/'))
		execv(line->args[0], line->args);
	else
		execvp(line->args[0], line->args);
	error = errno;
	if (write(failure, &error, sizeof(error)) < 0) {
		/* the parent sees the exit code */
	}
	_exit(127);
}

static enum ota_err spawn(struct supervise *supervise, const struct program_line *line,
			  int lock, struct ota_why *why)
{
	int failure[2], error = 0;

	supervise->memory_kills = ending_memory_kills();
	if (pipe2(failure, O_CLOEXEC) < 0)
		return ota_fail_errno(why, OTA_INTERNAL, errno, "pipe");
	pid_t pid = fork();
	if (pid == 0) {
		fcntl(lock, F_SETFD, 0); /* the application keeps the lock */
		become(line, supervise->record_path, supervise->slot, failure[1]);
	}
	error = errno;
	close(failure[1]);
	if (pid < 0) {
		close(failure[0]);
		return ota_fail_errno(why, OTA_INSTALL_FAILED, error, "fork");
	}
	/* Ends when the program has been loaded, or has not. */
	if (read(failure[0], &error, sizeof(error)) != sizeof(error))
		error = 0;
	close(failure[0]);
	watch(supervise, pid, true, start_time_of_pid(pid));
	supervise->load_error = error;
	text_copy(supervise->program, sizeof(supervise->program), line->args[0]);
	return OTA_OK;
}

static enum ota_err open_lock(const struct supervise *supervise, int *ret_fd,
			      struct ota_why *why)
{
	int fd = file_open_lock(supervise->lock_path);

	if (fd < 0)
		return ota_fail_errno(why, OTA_IO_ERROR, errno, "'%s'", supervise->lock_path);
	*ret_fd = fd;
	return OTA_OK;
}

/* Counts the try, then starts what the boot state says. */
static enum ota_err start(struct supervise *supervise, struct ota_why *why)
{
	const struct slots *slots = supervise->options.slots;
	AUTO(program_done) struct program_line line = {0};
	struct runner_event unnoted = {.kind = RUNNER_EXITED}; /* what boot() could not do */
	AUTO_CLOSE int lock = -1;
	char path[DISK_PATH_SIZE];
	enum ota_err err = open_lock(supervise, &lock, why);

	if (err)
		return err;
	if (flock(lock, LOCK_EX | LOCK_NB) < 0)
		return ota_fail_errno(why, OTA_BUSY, errno, "the application still runs: '%s'",
				      supervise->lock_path);
	err = slots->boot(slots->ctx, &supervise->slot, why);
	if (err)
		return err;
	unnoted.why = *why;
	if (!slots->path(slots->ctx, supervise->slot, 0, path, sizeof(path)))
		return ota_fail(why, OTA_SLOT_ERROR, "the slot has no path to start from");
	err = program_parse(supervise->options.command, path, &line, why);
	if (!err)
		err = spawn(supervise, &line, lock, why);
	if (err)
		return err;
	if (unnoted.why.err)
		put_event(supervise, &unnoted);
	put_started(supervise, false);
	return OTA_OK;
}

static void try_start(struct supervise *supervise)
{
	struct runner_event event = {.kind = RUNNER_EXITED, .slot = supervise->slot};

	if (!start(supervise, &event.why))
		return;
	put_event(supervise, &event);
	supervise->phase = PHASE_PAUSE;
	supervise->due_ms = supervise->now_ms + START_FAILED_MS;
}

/* --- adopting --- */

static bool read_record(struct supervise *supervise)
{
	char line[96];
	unsigned slot;
	unsigned long long start_time;
	int pid;
	AUTO_CLOSE int fd = open(supervise->record_path, O_RDONLY | O_CLOEXEC);
	ssize_t len;

	if (fd < 0)
		return false;
	len = read(fd, line, sizeof(line) - 1);
	if (len <= 0)
		return false;
	line[len] = '\0';
	char *at = line;
	pid = (int)strtol(at, &at, 10);
	start_time = strtoull(at, &at, 10);
	slot = (unsigned)strtoul(at, &at, 10);
	if (pid <= 1 || slot >= BOOT_SLOT_COUNT || !start_time ||
	    start_time_of_pid(pid) != start_time)
		return false;
	supervise->slot = (enum boot_slot)slot;
	watch(supervise, pid, false, start_time);
	if (!is_gone(supervise))
		return true;
	/* Nobody has waited for it yet. */
	forget(supervise);
	supervise->phase = PHASE_PAUSE;
	return false;
}

/* True when an application runs already. Its lock says that there is one (or that one is just
 * being started), its record which. */
static bool adopt(struct supervise *supervise)
{
	const struct timespec pause = {.tv_nsec = 20 * 1000000};
	AUTO_CLOSE int lock = -1;

	if (open_lock(supervise, &lock, NULL))
		return false;
	for (int i = 0; i < ADOPT_TRIES; i++) {
		bool held = flock(lock, LOCK_EX | LOCK_NB) < 0;

		if (!held) {
			/* An application that closed what it inherited has no lock, but is
			 * still the one in the record. */
			flock(lock, LOCK_UN);
			return read_record(supervise);
		}
		if (read_record(supervise))
			return true;
		nanosleep(&pause, NULL);
	}
	return false;
}

/* --- the seam --- */

static enum ota_err supervise_begin(void *ctx, struct ota_why *why)
{
	struct supervise *supervise = ctx;

	(void)why;
	if (adopt(supervise)) {
		put_started(supervise, true);
		return OTA_OK;
	}
	supervise->phase = PHASE_PAUSE;
	supervise->due_ms = 0;
	return OTA_OK;
}

static enum ota_err supervise_restart(void *ctx, struct ota_why *why)
{
	struct supervise *supervise = ctx;

	(void)why;
	if (supervise->phase == PHASE_STOPPING)
		return OTA_OK;
	if (supervise->phase == PHASE_PAUSE) {
		supervise->due_ms = 0;
		return OTA_OK;
	}
	kill(-supervise->pid, SIGTERM);
	kill(supervise->pid, SIGTERM);
	supervise->phase = PHASE_STOPPING;
	supervise->due_ms = supervise->now_ms + supervise->options.stop_timeout_ms;
	return OTA_OK;
}

static enum ota_err explain_end(const struct supervise *supervise, struct ending *ending,
				struct ota_why *why)
{
	if (supervise->child && supervise->load_error)
		return ota_fail_errno(why, OTA_NOT_EXECUTABLE, supervise->load_error,
				      "'%s' cannot be started", supervise->program);
	ending->out_of_memory = ending_memory_kills() > supervise->memory_kills;
	return ending_name(ending, why);
}

static void note_end(struct supervise *supervise, struct ending *ending)
{
	struct runner_event event = {.kind = RUNNER_EXITED, .slot = supervise->slot};
	uint64_t pause_ms = PAUSE_FIRST_MS;

	/* Its process group goes with it: the next start must find ports and files free. */
	kill(-supervise->pid, SIGKILL);
	forget(supervise);
	if (supervise->phase == PHASE_STOPPING) {
		supervise->phase = PHASE_PAUSE;
		supervise->due_ms = supervise->now_ms;
		supervise->crashes = 0;
		return;
	}
	enum ota_err err = explain_end(supervise, ending, &event.why);
	(void)err;
	put_event(supervise, &event);
	if (ending->lived_ms > STEADY_MS)
		supervise->crashes = 0;
	for (unsigned i = 0; i < supervise->crashes && pause_ms < PAUSE_LAST_MS; i++)
		pause_ms *= 2;
	supervise->crashes++;
	supervise->phase = PHASE_PAUSE;
	supervise->due_ms = supervise->now_ms + pause_ms;
}

static uint64_t supervise_tick(void *ctx, uint64_t now_ms)
{
	struct supervise *supervise = ctx;
	struct ending ending;

	supervise->now_ms = now_ms;
	if (supervise->phase != PHASE_PAUSE && has_ended(supervise, &ending))
		note_end(supervise, &ending);
	if (supervise->phase == PHASE_STOPPING && now_ms >= supervise->due_ms) {
		kill(-supervise->pid, SIGKILL);
		kill(supervise->pid, SIGKILL);
		supervise->due_ms = now_ms + supervise->options.stop_timeout_ms;
	}
	if (supervise->phase == PHASE_PAUSE && now_ms >= supervise->due_ms)
		try_start(supervise);
	if (supervise->event_count)
		return 0;
	if (supervise->phase != PHASE_RUNNING)
		return supervise->due_ms - now_ms < POLL_MS ? supervise->due_ms - now_ms
							    : POLL_MS;
	return supervise->pidfd >= 0 ? UINT64_MAX : POLL_MS;
}

static bool supervise_next(void *ctx, struct runner_event *ret_event)
{
	struct supervise *supervise = ctx;

	if (!supervise->event_count)
		return false;
	*ret_event = supervise->events[0];
	supervise->event_count--;
	memmove(supervise->events, supervise->events + 1,
		supervise->event_count * sizeof(supervise->events[0]));
	return true;
}

static int supervise_fd(void *ctx)
{
	struct supervise *supervise = ctx;

	return supervise->pidfd;
}

enum ota_err supervise_new(const struct supervise_options *options, struct runner *ret_runner,
			   struct ota_why *why)
{
	AUTO(program_done) struct program_line line = {0};
	AUTO_FREE struct supervise *supervise = calloc(1, sizeof(*supervise));
	enum ota_err err = program_parse(options->command, "", &line, why);

	if (err)
		return ota_context(why, err, "command");
	if (!supervise)
		return ota_fail(why, OTA_OUT_OF_MEMORY, "supervisor");
	supervise->options = *options;
	supervise->pidfd = -1;
	err = disk_join(supervise->lock_path, options->directory, "application.lock", why);
	if (!err)
		err = disk_join(supervise->record_path, options->directory, "application.run",
				why);
	if (err)
		return err;
	*ret_runner = (struct runner){
		.begin = supervise_begin,
		.restart = supervise_restart,
		.tick = supervise_tick,
		.next = supervise_next,
		.fd = supervise_fd,
	};
	ret_runner->ctx = TAKE(supervise);
	return OTA_OK;
}

static void stop(struct supervise *supervise)
{
	const struct timespec pause = {.tv_nsec = 20 * 1000000};
	const uint64_t tries = supervise->options.stop_timeout_ms / 20 + 1;
	struct ending ending;

	if (supervise->phase == PHASE_PAUSE)
		return;
	kill(-supervise->pid, SIGTERM);
	kill(supervise->pid, SIGTERM);
	for (uint64_t i = 0; i < tries && !has_ended(supervise, &ending); i++)
		nanosleep(&pause, NULL);
	kill(-supervise->pid, SIGKILL);
	kill(supervise->pid, SIGKILL);
}

void supervise_free(struct runner *runner, bool stopped)
{
	struct supervise *supervise = runner->ctx;

	if (!supervise)
		return;
	if (stopped)
		stop(supervise);
	forget(supervise);
	free(supervise);
	memset(runner, 0, sizeof(*runner));
}
