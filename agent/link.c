/* When to connect, when to wait, when to begin anew.
 *
 * Paho's own reconnection is not used (it is known to give up after long outages); after
 * FAILURES_UNTIL_RENEWAL attempts in a row the client is destroyed and made anew. Each
 * connection has a number, so that notes of an earlier one are ignored. Paho has been seen to
 * lose a connection without saying so: a publish that it refuses as not connected is a loss,
 * too, and nothing waits for a callback without an end. */
#include "link_paho.h"

#include "backoff.h"
#include "own.h"
#include "sign.h"
#include "text.h"
#include "tls.h"

#include <string.h>
#include <time.h>

#define FAILURES_UNTIL_RENEWAL 5
#define CLOSE_PATIENCE_MS      1000u
#define ANSWER_PATIENCE_MS     30000u /* more than paho and a diagnosis take */
#define CLOSE_TIMEOUT_MS       200
#define OWN_TOPICS	       3

enum link_phase {
	PHASE_STOPPED = 0,
	PHASE_PAUSE, /* until resume_ms */
	PHASE_CONNECTING,
	PHASE_SUBSCRIBING,
	PHASE_UP,
	PHASE_CLOSING, /* disconnecting on purpose, to connect again at once */
};

struct link_mqtt {
	struct link_options options;
	char *uri;
	char own_topics[OWN_TOPICS][TOPIC_SIZE];
	struct paho_box *box;
	struct paho *paho; /* NULL: to be made with the next attempt */
	unsigned connection;
	enum link_phase phase;
	uint64_t resume_ms;
	uint64_t since_ms; /* when this phase began */
	uint64_t now_ms;
	struct backoff backoff;
	unsigned failures; /* in a row, of this client */
};

static void enter(struct link_mqtt *link, enum link_phase phase)
{
	link->phase = phase;
	link->since_ms = link->now_ms;
}

static void drop_client(struct link_mqtt *link)
{
	paho_free(TAKE(link->paho));
}

/* Waits before the next attempt; after several failures with a new client. */
static void pause_link(struct link_mqtt *link)
{
	uint64_t random = 0;

	if (sign_random(&random, sizeof(random), NULL))
		random = link->now_ms * 2654435761u;
	if (++link->failures >= FAILURES_UNTIL_RENEWAL) {
		drop_client(link);
		link->failures = 0;
	}
	link->resume_ms = link->now_ms + backoff_next(&link->backoff, random);
	enter(link, PHASE_PAUSE);
}

/* Connects with the next tick. */
static void go_again(struct link_mqtt *link)
{
	link->resume_ms = 0;
	enter(link, PHASE_PAUSE);
}

/* With a client of its own: one that was disconnected has been seen to connect again and then
 * neither to send nor to receive. */
static void begin_anew(struct link_mqtt *link)
{
	drop_client(link);
	go_again(link);
}

static void try_connect(struct link_mqtt *link)
{
	enum ota_err err = OTA_OK;

	if (!link->paho)
		err = paho_new(&link->options, link->uri, link->box, &link->paho, NULL);
	if (!err)
		err = paho_connect(link->paho, ++link->connection, NULL);
	if (err)
		pause_link(link);
	else
		enter(link, PHASE_CONNECTING);
}

/* The connection is gone or is no good: LINK_DOWN if it was up, else LINK_FAILED. */
static bool fall(struct link_mqtt *link, const struct ota_why *why,
		 struct link_event *ret_event)
{
	ret_event->kind = link->phase == PHASE_UP ? LINK_DOWN : LINK_FAILED;
	ret_event->why = *why;
	/* A client that failed half-way is not to be trusted with the next connection. */
	if (link->phase == PHASE_SUBSCRIBING)
		drop_client(link);
	pause_link(link);
	return true;
}

/* The client is in an unknown state and goes. */
static bool fall_for_good(struct link_mqtt *link, const struct ota_why *why,
			  struct link_event *ret_event)
{
	drop_client(link);
	return fall(link, why, ret_event);
}

static bool subscribe_own(struct link_mqtt *link, struct link_event *ret_event)
{
	char *topics[OWN_TOPICS] = {link->own_topics[0], link->own_topics[1],
				    link->own_topics[2]};
	const int qos[OWN_TOPICS] = {1, 1, 0};
	struct ota_why why = {0};

	enter(link, PHASE_SUBSCRIBING);
	if (paho_subscribe(link->paho, topics, qos, OWN_TOPICS, &why))
		return fall(link, &why, ret_event);
	return false;
}

static bool rise(struct link_mqtt *link, struct link_event *ret_event)
{
	if (link->phase != PHASE_SUBSCRIBING)
		return false; /* a fleet topic was granted */
	enter(link, PHASE_UP);
	link->failures = 0;
	backoff_reset(&link->backoff);
	paho_box_forget_failures(link->box);
	ret_event->kind = LINK_UP;
	return true;
}

static bool deliver(struct link_mqtt *link, struct paho_note *note,
		    struct link_event *ret_event)
{
	if (link->phase != PHASE_UP && link->phase != PHASE_SUBSCRIBING)
		return false;
	ret_event->kind = LINK_MESSAGE;
	topic_parse(note->topic, &ret_event->topic);
	ret_event->payload = note->payload;
	ret_event->len = note->len;
	ret_event->hold = note;
	return true;
}

/* True when the note makes an event for the agent. */
static bool translate(struct link_mqtt *link, struct paho_note *note,
		      struct link_event *ret_event)
{
	if (!link->paho || note->connection != link->connection || link->phase == PHASE_STOPPED)
		return false;
	switch (note->kind) {
	case PAHO_CONNECTED:
		return link->phase == PHASE_CONNECTING && subscribe_own(link, ret_event);
	case PAHO_CONNECT_FAILED:
		return link->phase == PHASE_CONNECTING && fall(link, &note->why, ret_event);
	case PAHO_SUBSCRIBED:
		return rise(link, ret_event);
	case PAHO_SUBSCRIBE_FAILED:
	case PAHO_LOST:
		return link->phase != PHASE_PAUSE && link->phase != PHASE_CLOSING &&
		       fall(link, &note->why, ret_event);
	case PAHO_DROPPED:
		return link->phase >= PHASE_CONNECTING && link->phase != PHASE_CLOSING &&
		       fall_for_good(link, &note->why, ret_event);
	case PAHO_CLOSED:
		if (link->phase == PHASE_CLOSING)
			begin_anew(link);
		return false;
	case PAHO_MESSAGE:
		return deliver(link, note, ret_event);
	}
	return false;
}

/* --- the seam --- */

static bool mqtt_next(void *ctx, struct link_event *ret_event)
{
	struct link_mqtt *link = ctx;
	struct paho_note *note;

	if (paho_box_lost_one(link->box) && link->phase >= PHASE_CONNECTING) {
		struct ota_why why;
		enum ota_err err = ota_fail(&why, OTA_OUT_OF_MEMORY, "the connection");

		(void)err;
		memset(ret_event, 0, sizeof(*ret_event));
		return fall_for_good(link, &why, ret_event);
	}
	while ((note = paho_box_take(link->box))) {
		memset(ret_event, 0, sizeof(*ret_event));
		bool mine = translate(link, note, ret_event);
		if (!ret_event->hold)
			paho_note_free(note);
		if (mine)
			return true;
	}
	return false;
}

static void mqtt_done(void *ctx, struct link_event *event)
{
	(void)ctx;
	paho_note_free(event->hold);
	memset(event, 0, sizeof(*event));
}

static void mqtt_start(void *ctx)
{
	struct link_mqtt *link = ctx;

	if (link->phase == PHASE_STOPPED)
		go_again(link);
}

static void mqtt_stop(void *ctx)
{
	const struct timespec pause = {.tv_nsec = 10 * 1000000};
	struct link_mqtt *link = ctx;
	struct link_event event;

	/* A polite DISCONNECT, but not at the price of a slow end. */
	if (link->phase == PHASE_UP && !paho_disconnect(link->paho, CLOSE_TIMEOUT_MS, NULL)) {
		enter(link, PHASE_CLOSING);
		for (int i = 0; i < 20 && link->phase == PHASE_CLOSING; i++) {
			nanosleep(&pause, NULL);
			while (mqtt_next(link, &event))
				mqtt_done(link, &event);
		}
	}
	drop_client(link);
	enter(link, PHASE_STOPPED);
}

static void mqtt_renew(void *ctx)
{
	struct link_mqtt *link = ctx;

	if (link->phase == PHASE_STOPPED)
		return;
	backoff_reset(&link->backoff);
	if (link->phase == PHASE_UP && !paho_disconnect(link->paho, CLOSE_TIMEOUT_MS, NULL)) {
		enter(link, PHASE_CLOSING);
		return;
	}
	begin_anew(link);
}

static enum ota_err mqtt_publish(void *ctx, const char *topic, const void *payload, size_t len,
				 int qos, struct ota_why *why)
{
	struct link_mqtt *link = ctx;

	if (link->phase != PHASE_UP)
		return ota_fail(why, OTA_CONNECTION_LOST, "not connected to the broker");
	return paho_publish(link->paho, topic, payload, len, qos, why);
}

static enum ota_err mqtt_subscribe(void *ctx, const char *topic, struct ota_why *why)
{
	struct link_mqtt *link = ctx;
	char copy[TOPIC_SIZE];
	char *topics[1] = {copy};
	const int qos[1] = {1};

	if (link->phase != PHASE_UP)
		return ota_fail(why, OTA_CONNECTION_LOST, "not connected to the broker");
	text_copy(copy, sizeof(copy), topic);
	return paho_subscribe(link->paho, topics, qos, 1, why);
}

/* Paho does not always call back; nothing may wait for it for ever. */
static uint64_t watch_phase(struct link_mqtt *link)
{
	const uint64_t patience_ms =
		link->phase == PHASE_CLOSING ? CLOSE_PATIENCE_MS : ANSWER_PATIENCE_MS;
	const uint64_t passed_ms = link->now_ms - link->since_ms;

	if (link->phase == PHASE_STOPPED || link->phase == PHASE_UP)
		return UINT64_MAX;
	if (passed_ms < patience_ms)
		return patience_ms - passed_ms;
	if (link->phase == PHASE_CLOSING) {
		begin_anew(link);
	} else {
		drop_client(link);
		pause_link(link);
	}
	return 0;
}

static uint64_t mqtt_tick(void *ctx, uint64_t now_ms)
{
	struct link_mqtt *link = ctx;

	link->now_ms = now_ms;
	if (link->phase != PHASE_PAUSE)
		return watch_phase(link);
	if (now_ms < link->resume_ms)
		return link->resume_ms - now_ms;
	try_connect(link);
	return link->phase == PHASE_PAUSE ? link->resume_ms - now_ms : watch_phase(link);
}

static int mqtt_fd(void *ctx)
{
	const struct link_mqtt *link = ctx;

	return paho_box_fd(link->box);
}

static void free_mqtt(struct link_mqtt **place)
{
	struct link_mqtt *link = *place;

	if (!link)
		return;
	if (link->box)
		mqtt_stop(link);
	paho_box_free(link->box);
	free(link->uri);
	free(link);
}

enum ota_err link_new(const struct link_options *options, struct link *ret_link,
		      struct ota_why *why)
{
	static const enum topic_kind kinds[OWN_TOPICS] = {TOPIC_OFFER, TOPIC_CONTROL_DEVICE,
							  TOPIC_CHUNK};
	AUTO(free_mqtt) struct link_mqtt *link = calloc(1, sizeof(*link));
	char host[256], port[6];

	if (!link)
		return ota_fail(why, OTA_OUT_OF_MEMORY, "link");
	link->options = *options;
	link->backoff.min_ms = options->reconnect_min_ms;
	link->backoff.max_ms = options->reconnect_max_ms;
	if (!tls_split(options->broker, host, sizeof(host), port, sizeof(port)))
		return ota_fail(why, OTA_BAD_REQUEST, "broker '%s' is not host:port",
				options->broker);
	if (asprintf(&link->uri, "ssl://%s", options->broker) < 0) {
		link->uri = NULL;
		return ota_fail(why, OTA_OUT_OF_MEMORY, "link");
	}
	enum ota_err err = paho_box_new(&link->box, why);
	if (err)
		return err;
	for (unsigned i = 0; i < OWN_TOPICS; i++)
		topic_of(kinds[i], options->device, link->own_topics[i]);
	*ret_link = (struct link){
		.ctx = TAKE(link),
		.start = mqtt_start,
		.stop = mqtt_stop,
		.renew = mqtt_renew,
		.next = mqtt_next,
		.done = mqtt_done,
		.publish = mqtt_publish,
		.subscribe = mqtt_subscribe,
		.tick = mqtt_tick,
		.fd = mqtt_fd,
	};
	return OTA_OK;
}

void link_free(struct link *link)
{
	struct link_mqtt *mqtt = link->ctx;

	free_mqtt(&mqtt);
	memset(link, 0, sizeof(*link));
}
