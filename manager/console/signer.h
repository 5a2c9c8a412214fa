/* The signer configured beside the console: a program that reads a release document on its
 * standard input and writes its envelope to its standard output. The key is the program's, not
 * ours. */
#pragma once

#include "why.h"

#define SIGNER_TIMEOUT_MS 20000

/* `command` is words separated by blanks, run without a shell. OTA_SIGNATURE_REQUIRED with the
 * program's own words (its standard error) when it does not sign. The caller frees. */
enum ota_err signer_run(const char *command, const void *document, size_t len,
			char **ret_envelope, struct ota_why *why) OTA_CHECKED;
