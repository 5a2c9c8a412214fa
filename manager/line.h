/* The line to the broker: one MQTT 5 connection over mutual TLS that comes back by itself. The
 * only file of the manager's side that knows the MQTT library.
 *
 * A thread of the line owns the connection. Callbacks come from the line's threads, one at a
 * time per kind; they must be quick and may call line_publish() only. */
#pragma once

#include "name.h"
#include "why.h"

#include <stdint.h>

#define LINE_TOPICS_MAX 66 /* the reply topic and CONTROL_WATCHES_MAX */

struct line_options {
	char host[256], port[6];
	const char *ca, *certificate, *key; /* PEM files; live as long as the line */
	char client_id[NAME_SIZE + 17];
	const char *reply_topic; /* subscribed before the line counts as up */
	uint64_t timeout_ms;
};

struct line_seam {
	void *ctx;
	void (*up)(void *ctx, bool again); /* again: not for the first time */
	void (*down)(void *ctx);
	void (*message)(void *ctx, const char *topic, const void *payload, size_t len);
	void (*tick)(void *ctx); /* a few times a second */
};

struct line; /* opaque */

/* Starts the thread and returns; *options is copied, but for what it points to. */
enum ota_err line_open(const struct line_options *options, const struct line_seam *seam,
		       struct line **ret_line, struct ota_why *why) OTA_CHECKED;
/* Says good-bye if it can, joins the thread. No callback runs afterwards. NULL is fine. */
void line_close(struct line *line);
/* Waits until the line is up, at most timeout_ms and, when `once`, at most until a first try
 * has failed. The error names the cause as far as it can be found out. */
enum ota_err line_wait(struct line *line, uint64_t timeout_ms, bool once,
		       struct ota_why *why) OTA_CHECKED;
bool line_is_up(struct line *line);
/* QoS 1. OTA_UNREACHABLE while the line is down. */
enum ota_err line_publish(struct line *line, const char *topic, const void *payload, size_t len,
			  struct ota_why *why) OTA_CHECKED;
/* Subscribes (QoS 0), now and after each reconnection, and waits for the broker's word:
 * OTA_FORBIDDEN when it refuses. OTA_OK at once for a topic that is there. */
enum ota_err line_subscribe(struct line *line, const char *topic,
			    struct ota_why *why) OTA_CHECKED;
void line_unsubscribe(struct line *line, const char *topic);

uint64_t line_now_ms(void); /* of the boot clock */
