#include "program.h"

#include "own.h"
#include "text.h"

#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <string.h>
#include <sys/wait.h>
#include <signal.h>

extern char **environ;

void program_done(struct program_line *line)
{
	for (unsigned i = 0; line->args[i]; i++)
		free(line->args[i]);
	memset(line, 0, sizeof(*line));
}

/* One argument; *at ends behind it. False for an open quote. */
static bool take_word(const char **at, const char *slot, struct text *word)
{
	char quote = '\0';

	for (; **at; (*at)++) {
		if (quote && **at == quote) {
			quote = '\0';
		} else if (!quote && (**at == '\'' || **at == '"')) {
			quote = **at;
		} else if (!quote && (**at == ' ' || **at == '\t')) {
			return true;
		} else if (quote != '\'' && **at == '\\' && (*at)[1]) {
			(*at)++;
			text_add(word, *at, 1);
		} else if (!strncmp(*at, "{slot}", 6)) {
			text_put(word, slot);
			*at += 5;
		} else {
			text_add(word, *at, 1);
		}
	}
	return !quote;
}

enum ota_err program_parse(const char *text, const char *slot, struct program_line *ret_line,
			   struct ota_why *why)
{
	AUTO(program_done) struct program_line line = {0};
	unsigned count = 0;

	for (const char *at = text;;) {
		struct text word = {0};

		while (*at == ' ' || *at == '\t')
			at++;
		if (!*at)
			break;
		if (count == PROGRAM_ARGS_MAX)
			return ota_fail(why, OTA_BAD_REQUEST, "'%s' has more than %u words",
					text, PROGRAM_ARGS_MAX);
		text_put(&word, "");
		if (!take_word(&at, slot, &word)) {
			text_done(&word);
			return ota_fail(why, OTA_BAD_REQUEST, "'%s' has an open quote", text);
		}
		enum ota_err err = text_take(&word, &line.args[count], why);
		if (err)
			return err;
		count++;
	}
	if (!count)
		return ota_fail(why, OTA_BAD_REQUEST, "an empty command");
	*ret_line = line;
	memset(&line, 0, sizeof(line));
	return OTA_OK;
}

enum ota_err program_start(const struct program_line *line, pid_t *ret_pid, struct ota_why *why)
{
	posix_spawn_file_actions_t files;
	posix_spawnattr_t attributes;
	sigset_t none, usual;
	pid_t pid;

	sigemptyset(&none);
	sigfillset(&usual);
	posix_spawn_file_actions_init(&files);
	posix_spawn_file_actions_addopen(&files, 0, "/dev/null", O_RDONLY, 0);
	posix_spawnattr_init(&attributes);
	posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK |
						      POSIX_SPAWN_SETSIGDEF);
	posix_spawnattr_setsigmask(&attributes, &none);
	posix_spawnattr_setsigdefault(&attributes, &usual);
	int error = posix_spawnp(&pid, line->args[0], &files, &attributes, line->args, environ);
	posix_spawnattr_destroy(&attributes);
	posix_spawn_file_actions_destroy(&files);
	if (error)
		return ota_fail_errno(why, OTA_INSTALL_FAILED, error, "'%s'", line->args[0]);
	*ret_pid = pid;
	return OTA_OK;
}

void program_explain(int status, char *ret_text, size_t size)
{
	if (WIFEXITED(status))
		snprintf(ret_text, size, "exited with code %d", WEXITSTATUS(status));
	else if (WIFSIGNALED(status))
		snprintf(ret_text, size, "was killed by signal %d (%s)", WTERMSIG(status),
			 strsignal(WTERMSIG(status)));
	else
		snprintf(ret_text, size, "ended");
}
