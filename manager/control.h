/* The one client of `$CONTROL/ota/v1` (PROTOCOL.md section 4), for otactl and for ota-console.
 *
 * A client is one MQTT 5 connection over mutual TLS, always fully verified: chain, names and
 * dates of the broker's certificate against the given CA file and nothing else. Its name is the
 * CN of its own certificate. A thread of the client keeps the connection: after a loss it comes
 * back by itself with full-jitter back-off, subscribed to what was watched; what was asked
 * meanwhile fails at once with OTA_UNREACHABLE, and what had been sent without an answer ends
 * with OTA_CONNECTION_LOST (ask again with the same `key` to be sure that it is done once).
 *
 * Every function may be called from any thread, but not from a callback of this module unless
 * its contract says so. Callbacks run on the client's threads: they must be quick. */
#pragma once

#include "digest.h"
#include "name.h"
#include "view.h"

#define CONTROL_PENDING_MAX                                                                    \
	512		       /* requests in flight: a console's busiest minute, ten times    \
				*/
#define CONTROL_WATCHES_MAX 64 /* products watched at a time */
#define CONTROL_TIMEOUT_MS  15000
#define CONTROL_PORT	    "8883"

struct control_options {
	const char *broker;		    /* host, host:port or [address]:port */
	const char *ca, *certificate, *key; /* PEM files */
	uint64_t timeout_ms; /* of the connection and of each request; 0: CONTROL_TIMEOUT_MS */
	/* False: control_open() waits for the connection, and its failure is final. True: it
	 * returns at once and the client goes on trying. */
	bool patient;
};

struct control_client; /* opaque */

/* OTA_UNREACHABLE when nobody answers in time, OTA_TLS_VERIFY_FAILED when the broker's
 * certificate is not to be trusted, OTA_FORBIDDEN when it refuses us; OTA_NOT_FOUND,
 * OTA_BAD_REQUEST for a bad file or address. */
enum ota_err control_open(const struct control_options *options,
			  struct control_client **ret_client, struct ota_why *why) OTA_CHECKED;
/* Pending requests end with OTA_UNREACHABLE before it returns. NULL is fine. */
void control_close(struct control_client *client);
void control_close_place(struct control_client **place); /* for AUTO() */
/* The CN of the client's certificate. */
const char *control_name(const struct control_client *client);
bool control_is_up(struct control_client *client);
/* Waits until the connection is up (again), at most the client's time limit. */
enum ota_err control_wait(struct control_client *client, struct ota_why *why) OTA_CHECKED;

/* "host", "host:port" or "[address]:port", taken apart. OTA_BAD_REQUEST says what is allowed.
 */
struct control_address {
	char host[256], port[6];
};
enum ota_err control_split_address(const char *broker, struct control_address *ret_address,
				   struct ota_why *why) OTA_CHECKED;

struct control_request {
	const char *verb;
	const char *args;    /* a JSON object; NULL: {} */
	const char *token;   /* NULL: none */
	const char *key;     /* idempotency; NULL: none */
	uint64_t timeout_ms; /* 0: the client's */
};

/* The answer of a request: `result` is the reply's result and lives until the callback
 * returns; NULL when err is not OTA_OK, and then `why` says what is wrong in the plugin's own
 * words. OTA_DOWNLOAD_STALLED: no answer in time. */
typedef void (*control_answer)(void *ctx, enum ota_err err, const struct ota_why *why,
			       const struct view *result);

/* Sends; `answer` is called exactly once if this returns OTA_OK, and never if it does not.
 * May be called from a callback. OTA_BUSY beyond CONTROL_PENDING_MAX, OTA_TOO_LARGE beyond what
 * a command may hold. */
enum ota_err control_send(struct control_client *client, const struct control_request *request,
			  control_answer answer, void *ctx, struct ota_why *why) OTA_CHECKED;
/* Sends and waits. The caller frees the tree; view_root() of it is the result. */
enum ota_err control_ask(struct control_client *client, const struct control_request *request,
			 struct view_tree **ret_result, struct ota_why *why) OTA_CHECKED;

/* Puts a blob into the plugin's store: asks where to go on, sends with at most
 * MESSAGE_UPLOAD_WINDOW unanswered, and goes on by itself after a lost connection as long as
 * there is progress. `progress` (NULL: none) is told the bytes that are safely there, from the
 * calling thread; when it returns false the upload stops with OTA_BUSY and can be resumed. */
struct control_upload {
	const char *product;
	const char *token; /* NULL: none */
	struct digest digest;
	uint64_t size;
	int fd; /* read with pread */
	bool (*progress)(void *ctx, uint64_t done);
	void *ctx;
};
enum ota_err control_upload(struct control_client *client, const struct control_upload *upload,
			    struct ota_why *why) OTA_CHECKED;

/* An event of the product, as its JSON object; NULL when some may have been missed (after a
 * reconnection): ask `event.list` after the last `seq` seen. */
typedef void (*control_event)(void *ctx, const struct view *event);
/* Subscribes to the product's events until control_unwatch() or control_close(). Waits for the
 * broker's consent: OTA_FORBIDDEN when it refuses. One watch per product. */
enum ota_err control_watch(struct control_client *client, const char *product,
			   control_event event, void *ctx, struct ota_why *why) OTA_CHECKED;
/* When it returns no callback of the watch is running nor will run. */
void control_unwatch(struct control_client *client, const char *product);

/* Asks the broker whether this client may subscribe to the topic, and takes it back at once:
 * for checks of an installation. OTA_UNREACHABLE when there is no answer. */
enum ota_err control_may_subscribe(struct control_client *client, const char *topic,
				   bool *ret_allowed, struct ota_why *why) OTA_CHECKED;
