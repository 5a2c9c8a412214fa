/* Live events (server-sent events): each stream is the product's event log from where the
 * reader was, asked for with the reader's own token. So a reader that comes back misses
 * nothing, and one whose token was revoked gets nothing more, within LIVE_PERIOD_MS. */
#pragma once

#include "server.h"

#define LIVE_PERIOD_MS	 400
#define LIVE_BEAT_MS	 10000 /* a comment line, so that a dead peer is noticed */
#define LIVE_STREAMS_MAX 256

enum ota_err live_new(struct control_client *control, struct live **ret_live,
		      struct ota_why *why) OTA_CHECKED;
/* Before http_free(): ends all streams. live_free() after it. */
void live_stop(struct live *live);
void live_free(struct live *live);
/* Answers the request with the stream: from `Last-Event-ID` (or `after` in the query) on, or
 * from now on, which the first event, "ready", says by its id. */
void live_open(struct live *live, struct exchange *exchange);
void live_closed(struct live *live, void *stream);
