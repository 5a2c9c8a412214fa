#include "signer.h"

#include "envelope.h"
#include "own.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define WORDS_MAX 32

extern char **environ;

/* Splits in place; false with no or too many words. */
static bool split(char *command, char *words[WORDS_MAX + 1])
{
	unsigned count = 0;

	for (char *at = command + strspn(command, " "); *at; at += strspn(at, " ")) {
		if (count == WORDS_MAX)
			return false;
		words[count++] = at;
		at += strcspn(at, " ");
		if (*at)
			*at++ = 0;
	}
	words[count] = NULL;
	return count > 0;
}

static enum ota_err start(char **words, int in, int out, int errors, pid_t *ret_pid,
			  struct ota_why *why)
{
	posix_spawn_file_actions_t actions;
	int error;

	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_adddup2(&actions, in, 0);
	posix_spawn_file_actions_adddup2(&actions, out, 1);
	posix_spawn_file_actions_adddup2(&actions, errors, 2);
	error = posix_spawnp(ret_pid, words[0], &actions, NULL, words, environ);
	posix_spawn_file_actions_destroy(&actions);
	if (error)
		return ota_fail_errno(why, OTA_SIGNATURE_REQUIRED, error, "signer '%s'",
				      words[0]);
	return OTA_OK;
}

/* Reads both ends until they close; false when time is up. */
static bool collect(int out, int errors, struct text *ret_out, struct text *ret_errors)
{
	struct pollfd fds[2] = {{out, POLLIN, 0}, {errors, POLLIN, 0}};
	struct text *to[2] = {ret_out, ret_errors};
	int open_count = 2;
	char block[4096];

	while (open_count) {
		if (poll(fds, 2, SIGNER_TIMEOUT_MS) <= 0)
			return false;
		for (int i = 0; i < 2; i++) {
			if (fds[i].fd < 0 || !fds[i].revents)
				continue;
			ssize_t n = read(fds[i].fd, block, sizeof block);
			if (n > 0 && to[i]->len + (size_t)n <= ENVELOPE_SIZE_MAX) {
				text_add(to[i], block, (size_t)n);
			} else if (n <= 0) {
				fds[i].fd = -1;
				open_count--;
			}
		}
	}
	return true;
}

enum ota_err signer_run(const char *command, const void *document, size_t len,
			char **ret_envelope, struct ota_why *why)
{
	AUTO_FREE char *copy = strdup(command);
	char *words[WORDS_MAX + 1];
	int in[2], out[2], errors[2], status = 0;
	struct text text = {0}, complaint = {0};
	enum ota_err err;
	pid_t pid;

	if (!copy || !split(copy, words))
		return ota_fail(why, OTA_SIGNATURE_REQUIRED, "no signer is configured");
	if (pipe2(in, O_CLOEXEC) || pipe2(out, O_CLOEXEC) || pipe2(errors, O_CLOEXEC))
		return ota_fail_errno(why, OTA_BUSY, errno, "signer: no pipe");
	err = start(words, in[0], out[1], errors[1], &pid, why);
	close(in[0]);
	close(out[1]);
	close(errors[1]);
	if (!err) {
		/* A document is at most 64 KiB, as is a pipe's room; SIGPIPE is ignored. */
		if (write(in[1], document, len) != (ssize_t)len)
			err = ota_fail(why, OTA_SIGNATURE_REQUIRED,
				       "the signer does not read its input");
		close(in[1]);
		if (!collect(out[0], errors[0], &text, &complaint))
			kill(pid, SIGKILL);
		waitpid(pid, &status, 0);
		if (!err && (status || !text.len))
			err = ota_fail(why, OTA_SIGNATURE_REQUIRED,
				       "the signer did not sign: %.200s",
				       complaint.data ? complaint.data : "it said nothing");
	} else {
		close(in[1]);
	}
	close(out[0]);
	close(errors[0]);
	if (!err)
		err = text_take(&text, ret_envelope, why);
	text_done(&text);
	text_done(&complaint);
	return err;
}
