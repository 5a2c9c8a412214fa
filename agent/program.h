/* Programs that the agent starts: a line of the configuration becomes an argument vector. No
 * shell: whoever wants one writes `sh -c '…'`. */
#pragma once

#include "why.h"

#include <sys/types.h>

#define PROGRAM_ARGS_MAX 64

struct program_line {
	char *args[PROGRAM_ARGS_MAX + 1]; /* NULL-terminated; owned */
};

/* Splits at blanks; '…' and "…" hold together, \ takes the next character as it is; {slot} is
 * replaced by `slot` in every argument. OTA_BAD_REQUEST for an open quote, no word or too many.
 */
enum ota_err program_parse(const char *text, const char *slot, struct program_line *ret_line,
			   struct ota_why *why) OTA_CHECKED;
void program_done(struct program_line *line);

/* Starts it in a process group of its own, standard input from /dev/null. The caller waits for
 * it (waitpid). OTA_INSTALL_FAILED with errno when it cannot be started. */
enum ota_err program_start(const struct program_line *line, pid_t *ret_pid,
			   struct ota_why *why) OTA_CHECKED;
/* "exited with code 1", "was killed by signal 11 (Segmentation fault)" */
void program_explain(int status, char *ret_text, size_t size);
