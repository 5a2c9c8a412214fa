/* The real machine. */
#pragma once

#include "host.h"

struct host_options {
	const char *health_command; /* NULL: running is enough */
	const char *outage_check;   /* NULL: the rule below */
	const char *broker;	    /* host:port */
	const char *directory;	    /* of the state: its file system must not be full */
	/* Written anew by every run of our boot selector: a start of the machine where the
	 * kernel's boot id does not tell (containers). May be missing. */
	const char *boot_file;
	void (*alive)(void *ctx); /* may be NULL */
	void *alive_ctx;
};

/* The texts must outlive it. Without `outage_check` the outage counts as another's when the
 * broker's host answers and refuses the connection (and is not this machine itself), or when
 * the default gateway does not answer. */
enum ota_err host_new(const struct host_options *options, struct host *ret_host,
		      struct ota_why *why) OTA_CHECKED;
void host_free(struct host *host);
