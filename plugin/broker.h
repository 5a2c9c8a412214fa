/* The broker as the plugin's core sees it; plugin.c is the real one, tests bring their own.
 * Everything here is called on the broker's main thread only, but wake(). */
#pragma once

#include "why.h"

#include <stddef.h>

enum broker_level {
	BROKER_INFO = 0,
	BROKER_WARNING,
	BROKER_ERROR,
};

struct broker {
	void *ctx;
	/* Memory that publish() may take over; NULL when there is none. */
	void *(*alloc)(void *ctx, size_t size);
	void (*release)(void *ctx, void *memory);
	/* Publishes to all who are subscribed and may receive; takes the payload over in any
	 * case. The message goes out after the callback that is running has returned. */
	enum ota_err (*publish)(void *ctx, const char *topic, void *payload, size_t len,
				unsigned qos, struct ota_why *why);
	/* Ends the session of this client id. From service_tick() only. */
	void (*kick)(void *ctx, const char *client_id);
	void (*log)(void *ctx, enum broker_level level, const char *sentence);
	/* From any thread: ends the broker's present wait for events, if it waits, so that
	 * service_tick() comes at once. May do nothing: then it comes when it comes. */
	void (*wake)(void *ctx);
};
