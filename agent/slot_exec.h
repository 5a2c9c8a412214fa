/* Calling the program of an exec slot; only slot_exec.c uses it. */
#pragma once

#include "why.h"

#include <stdint.h>

#define EXEC_WORDS_MAX 8

struct exec_call {
	const char *program;
	const char *words[EXEC_WORDS_MAX]; /* verb and arguments, NULL after the last */
	const void *in;			   /* its standard input; NULL: none */
	size_t in_len;
	void *out; /* room for its standard output */
	size_t out_room;
	uint32_t timeout_ms;
};

/* Runs it to its end, or kills it with all its children after the timeout (OTA_SLOT_ERROR).
 * Exit 0 is OTA_OK; 28 (ENOSPC) OTA_INSUFFICIENT_STORAGE, 75 (EX_TEMPFAIL) OTA_BUSY, anything
 * else OTA_SLOT_ERROR; the sentence is the last line that it wrote to its standard error. More
 * output than there is room for is an error. */
enum ota_err exec_run(const struct exec_call *call, size_t *ret_out_len,
		      struct ota_why *why) OTA_CHECKED;
