/* HTTPS servers as sources of blobs (PROTOCOL.md section 6).
 *
 * libcurl does the work, in the agent's own loop: no thread for a download, several ranges on
 * one connection where the server speaks HTTP/2, TLS sessions resumed. It brings a dozen
 * libraries along, so it is in a module of its own, libotaagent-https.so, that is loaded when
 * a download first wants it (CMake: OTA_HTTPS = MODULE, LINKED or OFF).
 *
 * A server is believed nothing. It must hold a certificate of the agent's own CA for its name,
 * and is shown the device's; proxies of the environment, redirects, cookies and passwords are
 * not used. What it sends is bounded by what was asked, header and time too, and every segment
 * is checked against the signed index by fetch.c. */
#pragma once

#include "source.h"

/* Below so many bytes a second a server is given up: MQTT will not be slower. */
#define HTTPS_SPEED_MIN 2048u
/* Connections in a row that broke, or were refused, without a single chunk. */
#define HTTPS_FAILURES_MAX 5u

struct source_https_options {
	const char *(*ca_file)(void *ctx); /* asked for each new handle; link.h has the same */
	void *ca_ctx;
	const char *cert_file, *key_file; /* must outlive it */
	/* Within it a connection must be there, and is watched for HTTPS_SPEED_MIN. */
	uint64_t timeout_ms;
};

/* Loads nothing yet. */
enum ota_err source_https_new(const struct source_https_options *options,
			      struct sources *ret_sources, struct ota_why *why) OTA_CHECKED;
void source_https_free(struct sources *sources); /* one that is all zero is fine */

/* What the module exports. Agent and module are of one build, which `version` says. */
struct source_https_module {
	const char *version;
	enum ota_err (*open)(const struct source_https_options *options,
			     const struct offer_source *urls, unsigned count, void **ret_https,
			     struct ota_why *why);
	/* The i-th of them; NULL behind the last. */
	const struct source *(*source)(void *https, unsigned i);
	void (*close)(void *https);
};
extern const struct source_https_module source_https_module;
#define SOURCE_HTTPS_LIBRARY "libotaagent-https.so"
#define SOURCE_HTTPS_SYMBOL  "source_https_module"
