#include "slot_exec.h"

#include "own.h"
#include "text.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <string.h>
#include <sys/wait.h>
#include <sysexits.h>
#include <time.h>

#define COMPLAINT_SIZE 512u

extern char **environ;

/* The parent's ends of the three pipes, and what went through them. */
struct exec_io {
	int in, out, complaint;
	size_t in_done, out_len;
	char text[COMPLAINT_SIZE]; /* the end of standard error */
	size_t text_len;
	bool too_much;
};

static void close_end(int *end)
{
	if (*end >= 0)
		close(*end);
	*end = -1;
}

static uint64_t monotonic_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

static int spawn_with(const struct exec_call *call, const int child[3], pid_t *ret_pid)
{
	char *words[EXEC_WORDS_MAX + 2] = {(char *)call->program};
	posix_spawn_file_actions_t actions;
	posix_spawnattr_t attributes;
	sigset_t none;

	for (unsigned i = 0; i < EXEC_WORDS_MAX && call->words[i]; i++)
		words[i + 1] = (char *)call->words[i];
	sigemptyset(&none);
	posix_spawn_file_actions_init(&actions);
	posix_spawnattr_init(&attributes);
	for (int i = 0; i < 3; i++)
		posix_spawn_file_actions_adddup2(&actions, child[i], i);
	/* A group of its own, so that its children end with it. */
	posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK);
	posix_spawnattr_setpgroup(&attributes, 0);
	posix_spawnattr_setsigmask(&attributes, &none);
	int err = posix_spawn(ret_pid, call->program, &actions, &attributes, words, environ);
	posix_spawn_file_actions_destroy(&actions);
	posix_spawnattr_destroy(&attributes);
	return err;
}

static enum ota_err exec_start(const struct exec_call *call, struct exec_io *io, pid_t *ret_pid,
			       struct ota_why *why)
{
	int pipes[3][2] = {{-1, -1}, {-1, -1}, {-1, -1}};
	int err = 0;

	for (int i = 0; !err && i < 3; i++)
		if (pipe2(pipes[i], O_CLOEXEC) < 0)
			err = errno;
	const int child[3] = {pipes[0][0], pipes[1][1], pipes[2][1]};
	if (!err)
		err = spawn_with(call, child, ret_pid);
	for (int i = 0; i < 3; i++)
		close_end(&pipes[i][i == 0 ? 0 : 1]);
	io->in = pipes[0][1];
	io->out = pipes[1][0];
	io->complaint = pipes[2][0];
	if (err) {
		close_end(&io->in);
		close_end(&io->out);
		close_end(&io->complaint);
		return ota_fail_errno(why, OTA_SLOT_ERROR, err, "'%s' could not be started",
				      call->program);
	}
	fcntl(io->in, F_SETFL, O_NONBLOCK);
	return OTA_OK;
}

static void feed(const struct exec_call *call, struct exec_io *io)
{
	ssize_t n = 0;

	if (io->in_done < call->in_len)
		n = write(io->in, (const uint8_t *)call->in + io->in_done,
			  call->in_len - io->in_done);
	if (n > 0)
		io->in_done += (size_t)n;
	if (io->in_done == call->in_len || (n < 0 && errno != EAGAIN && errno != EINTR))
		close_end(&io->in);
}

static void take_output(const struct exec_call *call, struct exec_io *io)
{
	uint8_t spill;
	bool full = io->out_len == call->out_room;
	ssize_t n = full ? read(io->out, &spill, 1)
			 : read(io->out, (uint8_t *)call->out + io->out_len,
				call->out_room - io->out_len);

	if (n > 0 && full)
		io->too_much = true;
	else if (n > 0)
		io->out_len += (size_t)n;
	if (n == 0 || (n < 0 && errno != EINTR) || io->too_much)
		close_end(&io->out);
}

static void take_complaint(struct exec_io *io)
{
	char bytes[128];
	ssize_t n = read(io->complaint, bytes, sizeof(bytes));

	if (n == 0 || (n < 0 && errno != EINTR)) {
		close_end(&io->complaint);
		return;
	}
	if (n < 0)
		return;
	size_t len = (size_t)n;
	if (io->text_len + len > sizeof(io->text)) {
		size_t drop = io->text_len + len - sizeof(io->text);
		memmove(io->text, io->text + drop, io->text_len - drop);
		io->text_len -= drop;
	}
	memcpy(io->text + io->text_len, bytes, len);
	io->text_len += len;
}

/* Moves bytes until the program closed both its outputs; false when the time is over. */
static bool exec_talk(const struct exec_call *call, struct exec_io *io, uint64_t until_ms)
{
	while (io->out >= 0 || io->complaint >= 0) {
		struct pollfd ends[3] = {{.fd = io->in, .events = POLLOUT},
					 {.fd = io->out, .events = POLLIN},
					 {.fd = io->complaint, .events = POLLIN}};
		uint64_t now_ms = monotonic_ms();
		if (now_ms >= until_ms)
			return false;
		if (poll(ends, 3, (int)(until_ms - now_ms)) < 0)
			continue;
		if (io->in >= 0 && ends[0].revents)
			feed(call, io);
		if (io->out >= 0 && ends[1].revents)
			take_output(call, io);
		if (io->complaint >= 0 && ends[2].revents)
			take_complaint(io);
	}
	return true;
}

/* Waits for the exit, which follows the closing of the outputs at once as a rule. */
static bool exec_reap(pid_t pid, uint64_t until_ms, int *ret_status)
{
	const struct timespec pause = {.tv_nsec = 2000000};

	for (;;) {
		pid_t got = waitpid(pid, ret_status, WNOHANG);
		if (got == pid)
			return true;
		if ((got < 0 && errno != EINTR) || monotonic_ms() >= until_ms)
			return false;
		nanosleep(&pause, NULL);
	}
}

static enum ota_err exec_judge(const struct exec_call *call, const struct exec_io *io,
			       int status, struct ota_why *why)
{
	char line[COMPLAINT_SIZE];
	size_t end = io->text_len, begin;
	int code = WIFEXITED(status) ? WEXITSTATUS(status) : -1;

	if (io->too_much)
		return ota_fail(why, OTA_SLOT_ERROR, "'%s %s' answers more than %zu bytes",
				call->program, call->words[0], call->out_room);
	if (code == 0)
		return OTA_OK;
	while (end > 0 && (io->text[end - 1] == '\n' || io->text[end - 1] == ' '))
		end--;
	for (begin = end; begin > 0 && io->text[begin - 1] != '\n'; begin--)
		;
	text_sanitize(line, sizeof(line), io->text + begin, end - begin, false);
	enum ota_err err = code == ENOSPC	 ? OTA_INSUFFICIENT_STORAGE
			   : code == EX_TEMPFAIL ? OTA_BUSY
						 : OTA_SLOT_ERROR;
	if (code < 0)
		return ota_fail(why, err, "'%s %s' was killed by signal %d", call->program,
				call->words[0], WIFSIGNALED(status) ? WTERMSIG(status) : 0);
	return ota_fail(why, err, "'%s %s' ended with %d: %s", call->program, call->words[0],
			code, line[0] ? line : "it gave no reason");
}

enum ota_err exec_run(const struct exec_call *call, size_t *ret_out_len, struct ota_why *why)
{
	struct exec_io io = {.in = -1, .out = -1, .complaint = -1};
	uint64_t until_ms = monotonic_ms() + call->timeout_ms;
	int status = 0;
	pid_t pid;
	enum ota_err err = exec_start(call, &io, &pid, why);

	if (err)
		return err;
	bool ended = exec_talk(call, &io, until_ms) && exec_reap(pid, until_ms, &status);
	if (!ended) {
		kill(-pid, SIGKILL);
		waitpid(pid, &status, 0);
	}
	close_end(&io.in);
	close_end(&io.out);
	close_end(&io.complaint);
	if (!ended)
		return ota_fail(why, OTA_SLOT_ERROR, "'%s %s' did not end within %u ms",
				call->program, call->words[0], call->timeout_ms);
	err = exec_judge(call, &io, status, why);
	if (!err)
		*ret_out_len = io.out_len;
	return err;
}
