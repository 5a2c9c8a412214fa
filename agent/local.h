/* The local control socket: one line in, some lines out, closed. `ota-agent status`, `hold`,
 * `release` and `log` speak it; scripts may, too (socat - UNIX-CONNECT:…).
 *
 *	status                          the state, as "key value" lines
 *	hold GATE SECONDS REASON…       closes a gate (download, install, restart, all)
 *	release GATE                    opens it
 *	log                             the newest log lines
 *
 * The first line of the answer is "ok" or "error <name>: <sentence>". Only root and the agent's
 * own user are served. */
#pragma once

#include "text.h"

#define LOCAL_LINE_MAX	  256 /* a request */
#define LOCAL_ANSWER_MAX  (20u << 10)
#define LOCAL_CLIENTS_MAX 4
#define LOCAL_PATIENCE_MS 2000

struct local;

/* Answers a request (without its newline). The first line is put by the server from err. */
typedef enum ota_err local_answer(void *ctx, const char *request, struct text *to,
				  struct ota_why *why);

/* Makes the socket (0600; a leftover of the same name is replaced). On a read-only file system
 * there is none, and nobody is served. */
enum ota_err local_open(const char *path, local_answer *answer, void *ctx,
			struct local **ret_local, struct ota_why *why) OTA_CHECKED;
void local_free(struct local *local); /* NULL is fine; removes the socket */
/* Readable when local_step() has something to do. */
int local_fd(const struct local *local);
/* Serves what waits; never blocks. True when it answered someone. */
bool local_step(struct local *local, uint64_t now_ms);

/* The client's side: sends the line and returns the answer, its first line judged: anything but
 * "ok" is an error with that text. The caller frees. OTA_UNREACHABLE when no agent is there. */
enum ota_err local_ask(const char *path, const char *request, char **ret_answer,
		       struct ota_why *why) OTA_CHECKED;
