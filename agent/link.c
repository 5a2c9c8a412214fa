/* MQTT 5 over mutual TLS with Eclipse Paho's MQTTAsync.
 *
 * Paho's callbacks run in its own threads: they only append to `queue` and write to the
 * eventfd. Everything else, the decision to connect again included, happens in the agent's
 * thread. Paho's own reconnection is not used (it is known to give up after long outages);
 * after FAILURES_UNTIL_RENEWAL attempts in a row the client is destroyed and made anew. Each
 * connection has a generation number, so that what an earlier one left in the queue is ignored.
 * Paho has been seen to lose a connection without saying so: a publish that it refuses as not
 * connected is a loss, too, and nothing waits for a callback without an end. */
#include "link.h"

#include "backoff.h"
#include "message.h"
#include "own.h"
#include "sign.h"
#include "text.h"
#include "tls.h"

#include <MQTTAsync.h>
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define FAILURES_UNTIL_RENEWAL 5
#define CONNECT_TIMEOUT_S      20
#define DIAGNOSE_TIMEOUT_MS    5000
#define CLOSE_PATIENCE_MS      1000u
#define ANSWER_PATIENCE_MS     (CONNECT_TIMEOUT_S * 1000u + 2 * DIAGNOSE_TIMEOUT_MS)
#define DIAGNOSE_EVERY	       10 /* of failures in a row, after the first */
#define RECEIVE_MAX	       16 /* QoS 1 messages that the broker may have under way to us */
#define BUFFERED_MAX	       64 /* messages that wait for the socket */
#define OWN_TOPICS	       3

enum link_phase {
	PHASE_STOPPED = 0,
	PHASE_PAUSE, /* until resume_ms */
	PHASE_CONNECTING,
	PHASE_SUBSCRIBING,
	PHASE_UP,
	PHASE_CLOSING, /* disconnecting on purpose, to connect again at once */
};

enum raw_kind {
	RAW_CONNECTED,
	RAW_CONNECT_FAILED,
	RAW_SUBSCRIBED,
	RAW_SUBSCRIBE_FAILED,
	RAW_LOST,
	RAW_CLOSED,
	RAW_MESSAGE,
};

/* What a callback leaves for the agent's thread. */
struct raw {
	struct raw *next;
	enum raw_kind kind;
	unsigned generation;
	struct ota_why why;
	char *topic;		    /* paho's */
	MQTTAsync_message *message; /* paho's */
};

struct link_mqtt;

/* The context that one paho client's callbacks get. */
struct link_client {
	struct link_mqtt *link;
	MQTTAsync handle;
	atomic_uint generation; /* of the connection: written in the agent's thread */
	char tls_error[256];	/* written and read in paho's connecting thread only */
};

struct link_mqtt {
	struct link_options options;
	char *uri;
	char own_topics[OWN_TOPICS][TOPIC_SIZE];
	struct link_client *client;
	unsigned generation;
	enum link_phase phase;
	bool was_up;
	uint64_t resume_ms;
	uint64_t since_ms; /* when this phase began */
	uint64_t now_ms;
	struct backoff backoff;
	unsigned failures; /* in a row, of this client */

	pthread_mutex_t lock; /* of everything below */
	struct raw *first, **last;
	size_t queued_bytes;
	unsigned failures_total; /* in a row; read by the callback to decide on a diagnosis */
	int wake;
};

static void put_raw(struct link_mqtt *link, struct raw *raw)
{
	const uint64_t one = 1;

	pthread_mutex_lock(&link->lock);
	*link->last = raw;
	link->last = &raw->next;
	if (raw->message)
		link->queued_bytes += (size_t)raw->message->payloadlen;
	pthread_mutex_unlock(&link->lock);
	if (write(link->wake, &one, sizeof(one)) < 0) {
		/* EAGAIN: the counter is full, so it is readable, which is all that counts */
	}
}

static struct raw *take_raw(struct link_mqtt *link)
{
	pthread_mutex_lock(&link->lock);
	struct raw *raw = link->first;
	if (raw) {
		link->first = raw->next;
		if (!link->first)
			link->last = &link->first;
		if (raw->message)
			link->queued_bytes -= (size_t)raw->message->payloadlen;
	}
	pthread_mutex_unlock(&link->lock);
	return raw;
}

static void free_raw(struct raw *raw)
{
	if (!raw)
		return;
	if (raw->message)
		MQTTAsync_freeMessage(&raw->message);
	if (raw->topic)
		MQTTAsync_free(raw->topic);
	free(raw);
}

static struct raw *new_raw(struct link_client *client, enum raw_kind kind)
{
	struct raw *raw = calloc(1, sizeof(*raw));

	if (raw) {
		raw->kind = kind;
		raw->generation = client->generation;
	}
	return raw;
}

/* --- callbacks: paho's threads --- */

/* "thread:error:number:library:function:reason:file:line": what is for people is the reason. */
static int on_tls_error(const char *text, size_t len, void *context)
{
	struct link_client *client = context;
	char line[256];
	const char *at = line;

	text_sanitize(line, sizeof(line), text, len, false);
	for (int colons = 0; colons < 5 && at; colons++) {
		at = strchr(at, ':');
		at = at ? at + 1 : NULL;
	}
	at = at && *at ? at : line;
	text_sanitize(client->tls_error, sizeof(client->tls_error), at, strcspn(at, ":"),
		      false);
	return 1;
}

static void on_connected(void *context, MQTTAsync_successData5 *data)
{
	struct link_client *client = context;
	struct raw *raw = new_raw(client, RAW_CONNECTED);

	(void)data;
	if (raw)
		put_raw(client->link, raw);
}

static void explain_failure(struct link_client *client, const MQTTAsync_failureData5 *data,
			    struct ota_why *why)
{
	struct link_mqtt *link = client->link;
	const struct tls_files files = {link->options.ca_file, link->options.cert_file,
					link->options.key_file};
	enum ota_err err = OTA_OK;

	if (data->reasonCode >= MQTTREASONCODE_UNSPECIFIED_ERROR) {
		err = ota_fail(why, OTA_UNAUTHORIZED, "the broker refuses the connection: %s",
			       MQTTReasonCode_toString(data->reasonCode));
		why->detail = (int)data->reasonCode;
		return;
	}
	pthread_mutex_lock(&link->lock);
	unsigned failures = link->failures_total++;
	pthread_mutex_unlock(&link->lock);
	if (failures % DIAGNOSE_EVERY == 0)
		err = tls_diagnose(link->options.broker, &files, DIAGNOSE_TIMEOUT_MS, why);
	if (err)
		return;
	if (strstr(client->tls_error, "unexpected eof"))
		err = ota_fail(why, OTA_CONNECTION_LOST,
			       "the broker closed the connection during the TLS handshake");
	else if (client->tls_error[0])
		err = ota_fail(why, OTA_TLS_VERIFY_FAILED, "TLS: %s", client->tls_error);
	else
		err = ota_fail(why, OTA_CONNECTION_LOST, "connect to '%s': %s",
			       link->options.broker,
			       data->message ? data->message : "no answer");
	if (err)
		why->detail = data->code;
}

static void on_connect_failed(void *context, MQTTAsync_failureData5 *data)
{
	struct link_client *client = context;
	struct raw *raw = new_raw(client, RAW_CONNECT_FAILED);

	if (!raw)
		return;
	explain_failure(client, data, &raw->why);
	client->tls_error[0] = '\0';
	put_raw(client->link, raw);
}

static void on_subscribed(void *context, MQTTAsync_successData5 *data)
{
	struct link_client *client = context;
	struct raw *raw = new_raw(client, RAW_SUBSCRIBED);
	enum MQTTReasonCodes worst = data->reasonCode;

	if (!raw)
		return;
	/* The array is there only when several topics were asked for. */
	for (int i = 0; data->alt.sub.reasonCodeCount > 1 && i < data->alt.sub.reasonCodeCount;
	     i++) {
		if (data->alt.sub.reasonCodes[i] > worst)
			worst = data->alt.sub.reasonCodes[i];
	}
	if (worst >= MQTTREASONCODE_UNSPECIFIED_ERROR) {
		raw->kind = RAW_SUBSCRIBE_FAILED;
		enum ota_err err = ota_fail(&raw->why, OTA_UNAUTHORIZED,
					    "the broker refuses a subscription: %s",
					    MQTTReasonCode_toString(worst));
		(void)err;
		raw->why.detail = (int)worst;
	}
	put_raw(client->link, raw);
}

static void on_subscribe_failed(void *context, MQTTAsync_failureData5 *data)
{
	struct link_client *client = context;
	struct raw *raw = new_raw(client, RAW_SUBSCRIBE_FAILED);

	if (!raw)
		return;
	bool refused = data->reasonCode >= MQTTREASONCODE_UNSPECIFIED_ERROR;
	const char *text = refused	   ? MQTTReasonCode_toString(data->reasonCode)
			   : data->message ? data->message
					   : "no answer";
	enum ota_err err = ota_fail(&raw->why, refused ? OTA_UNAUTHORIZED : OTA_CONNECTION_LOST,
				    "the broker refuses a subscription: %s", text);
	(void)err;
	raw->why.detail = refused ? (int)data->reasonCode : data->code;
	put_raw(client->link, raw);
}

static void put_lost(struct link_client *client, const char *what, int detail)
{
	struct raw *raw = new_raw(client, RAW_LOST);

	if (!raw)
		return;
	enum ota_err err = ota_fail(&raw->why, OTA_CONNECTION_LOST, "%s", what);
	(void)err;
	raw->why.detail = detail;
	put_raw(client->link, raw);
}

static void on_lost(void *context, char *cause)
{
	put_lost(context, cause ? cause : "the connection to the broker was lost", 0);
}

static void on_disconnected(void *context, MQTTProperties *properties,
			    enum MQTTReasonCodes reason)
{
	char text[128];
	const char *name = MQTTReasonCode_toString(reason);

	(void)properties;
	snprintf(text, sizeof(text), "the broker ended the connection: %s",
		 name ? name : "no reason");
	put_lost(context, text, (int)reason);
}

static void on_closed(void *context, MQTTAsync_successData5 *data)
{
	struct link_client *client = context;
	struct raw *raw = new_raw(client, RAW_CLOSED);

	(void)data;
	if (raw)
		put_raw(client->link, raw);
}

static void on_close_failed(void *context, MQTTAsync_failureData5 *data)
{
	(void)data;
	on_closed(context, NULL);
}

static int on_message(void *context, char *topic, int topic_len, MQTTAsync_message *message)
{
	struct link_client *client = context;
	struct link_mqtt *link = client->link;
	struct raw *raw = new_raw(client, RAW_MESSAGE);

	(void)topic_len; /* > 0 only when the topic holds a NUL; then it matches no topic of
			    ours */
	pthread_mutex_lock(&link->lock);
	bool full = link->queued_bytes + (size_t)message->payloadlen > LINK_QUEUE_MAX;
	pthread_mutex_unlock(&link->lock);
	if (!raw || full) {
		if (message->qos > 0)
			put_lost(client, "more messages than there is room for", ENOBUFS);
		MQTTAsync_freeMessage(&message);
		MQTTAsync_free(topic);
		free(raw);
		return 1;
	}
	raw->topic = topic;
	raw->message = message;
	put_raw(link, raw);
	return 1;
}

/* --- the agent's thread --- */

/* A client that never connects. When paho's last client is destroyed it ends its threads, which
 * takes it seconds in which nothing else of us moves; so one is always there. */
static void hold_library(void)
{
	static MQTTAsync anchor;
	static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

	pthread_mutex_lock(&lock);
	if (!anchor && MQTTAsync_create(&anchor, "tcp://localhost:1", "anchor",
					MQTTCLIENT_PERSISTENCE_NONE, NULL) != MQTTASYNC_SUCCESS)
		anchor = NULL;
	pthread_mutex_unlock(&lock);
}

static void destroy_client(struct link_mqtt *link)
{
	struct link_client *client = link->client;

	if (!client)
		return;
	link->client = NULL;
	MQTTAsync_setCallbacks(client->handle, NULL, NULL, NULL, NULL);
	MQTTAsync_destroy(&client->handle);
	free(client);
}

static enum ota_err create_client(struct link_mqtt *link, struct ota_why *why)
{
	MQTTAsync_createOptions options = MQTTAsync_createOptions_initializer5;
	AUTO_FREE struct link_client *client = calloc(1, sizeof(*client));

	if (!client)
		return ota_fail(why, OTA_OUT_OF_MEMORY, "MQTT client");
	client->link = link;
	options.sendWhileDisconnected = 0;
	options.maxBufferedMessages = BUFFERED_MAX;
	int rc = MQTTAsync_createWithOptions(&client->handle, link->uri, link->options.device,
					     MQTTCLIENT_PERSISTENCE_NONE, NULL, &options);
	if (rc != MQTTASYNC_SUCCESS)
		return ota_fail(why, OTA_INTERNAL, "MQTT client for '%s': code %d", link->uri,
				rc);
	MQTTAsync_setCallbacks(client->handle, client, on_lost, on_message, NULL);
	MQTTAsync_setDisconnected(client->handle, client, on_disconnected);
	link->client = TAKE(client);
	return OTA_OK;
}

static enum ota_err begin_connect(struct link_mqtt *link, struct ota_why *why)
{
	struct link_client *client = link->client;
	MQTTAsync_connectOptions connect = MQTTAsync_connectOptions_initializer5;
	MQTTAsync_SSLOptions tls = MQTTAsync_SSLOptions_initializer;
	MQTTProperties properties = MQTTProperties_initializer;
	MQTTProperty packet = {.identifier = MQTTPROPERTY_CODE_MAXIMUM_PACKET_SIZE,
			       .value.integer4 = MESSAGE_CONTROL_MAX + 1024};
	MQTTProperty receive = {.identifier = MQTTPROPERTY_CODE_RECEIVE_MAXIMUM,
				.value.integer2 = RECEIVE_MAX};

	MQTTProperties_add(&properties, &packet);
	MQTTProperties_add(&properties, &receive);
	tls.enableServerCertAuth = 1;
	tls.verify = 1;
	tls.disableDefaultTrustStore = 1;
	tls.trustStore = link->options.ca_file;
	tls.keyStore = link->options.cert_file;
	tls.privateKey = link->options.key_file;
	tls.sslVersion = MQTT_SSL_VERSION_TLS_1_2;
	tls.ssl_error_cb = on_tls_error;
	tls.ssl_error_context = client;
	connect.ssl = &tls;
	connect.cleanstart = 1;
	connect.keepAliveInterval = (int)(link->options.keepalive_ms / 1000);
	connect.connectTimeout = CONNECT_TIMEOUT_S;
	connect.automaticReconnect = 0;
	connect.connectProperties = &properties;
	connect.context = client;
	connect.onSuccess5 = on_connected;
	connect.onFailure5 = on_connect_failed;
	client->generation = ++link->generation;
	int rc = MQTTAsync_connect(client->handle, &connect);
	MQTTProperties_free(&properties);
	if (rc != MQTTASYNC_SUCCESS)
		return ota_fail(why, OTA_CONNECTION_LOST, "connect to '%s': code %d",
				link->options.broker, rc);
	return OTA_OK;
}

/* Waits before the next attempt; after several failures with a new client. */
static void pause_link(struct link_mqtt *link)
{
	uint64_t random = 0;

	if (sign_random(&random, sizeof(random), NULL))
		random = link->now_ms * 2654435761u;
	if (++link->failures >= FAILURES_UNTIL_RENEWAL) {
		destroy_client(link);
		link->failures = 0;
	}
	link->resume_ms = link->now_ms + backoff_next(&link->backoff, random);
	link->phase = PHASE_PAUSE;
}

static void try_connect(struct link_mqtt *link, struct raw *ret_failure)
{
	enum ota_err err = OTA_OK;

	if (!link->client)
		err = create_client(link, &ret_failure->why);
	if (!err)
		err = begin_connect(link, &ret_failure->why);
	if (err) {
		ret_failure->kind = RAW_CONNECT_FAILED;
		pause_link(link);
		return;
	}
	link->phase = PHASE_CONNECTING;
	link->since_ms = link->now_ms;
}

static void subscribe_own(struct link_mqtt *link, struct ota_why *why)
{
	MQTTAsync_responseOptions response = MQTTAsync_responseOptions_initializer;
	char *topics[OWN_TOPICS];
	int qos[OWN_TOPICS] = {1, 1, 0};

	for (unsigned i = 0; i < OWN_TOPICS; i++)
		topics[i] = link->own_topics[i];
	response.context = link->client;
	response.onSuccess5 = on_subscribed;
	response.onFailure5 = on_subscribe_failed;
	int rc = MQTTAsync_subscribeMany(link->client->handle, OWN_TOPICS, topics, qos,
					 &response);
	if (rc != MQTTASYNC_SUCCESS) {
		enum ota_err err = ota_fail(why, OTA_CONNECTION_LOST, "subscribe: code %d", rc);
		(void)err;
		destroy_client(link);
		pause_link(link);
		return;
	}
	link->phase = PHASE_SUBSCRIBING;
	link->since_ms = link->now_ms;
}

/* The connection is gone or is no good: LINK_DOWN if it was up, else LINK_FAILED. */
static bool fall(struct link_mqtt *link, const struct ota_why *why,
		 struct link_event *ret_event)
{
	ret_event->kind = link->phase == PHASE_UP ? LINK_DOWN : LINK_FAILED;
	ret_event->why = *why;
	/* A client that failed half-way is not to be trusted with the next connection. */
	if (link->phase == PHASE_SUBSCRIBING)
		destroy_client(link);
	pause_link(link);
	return true;
}

static bool rise(struct link_mqtt *link, struct link_event *ret_event)
{
	if (link->phase == PHASE_UP)
		return false; /* a fleet topic was granted */
	link->phase = PHASE_UP;
	link->failures = 0;
	backoff_reset(&link->backoff);
	pthread_mutex_lock(&link->lock);
	link->failures_total = 0;
	pthread_mutex_unlock(&link->lock);
	ret_event->kind = LINK_UP;
	return true;
}

static bool deliver(struct link_mqtt *link, struct raw *raw, struct link_event *ret_event)
{
	if (link->phase != PHASE_UP && link->phase != PHASE_SUBSCRIBING)
		return false;
	ret_event->kind = LINK_MESSAGE;
	topic_parse(raw->topic, &ret_event->topic);
	ret_event->payload = raw->message->payload;
	ret_event->len = (size_t)raw->message->payloadlen;
	ret_event->hold = raw;
	return true;
}

/* True when the raw event is one for the agent. */
static bool translate(struct link_mqtt *link, struct raw *raw, struct link_event *ret_event)
{
	if (!link->client || raw->generation != link->client->generation ||
	    link->phase == PHASE_STOPPED)
		return false;
	switch (raw->kind) {
	case RAW_CONNECTED: {
		struct ota_why why = {0};

		if (link->phase != PHASE_CONNECTING)
			return false;
		subscribe_own(link, &why);
		if (link->phase == PHASE_SUBSCRIBING)
			return false;
		ret_event->kind = LINK_FAILED;
		ret_event->why = why;
		return true;
	}
	case RAW_CONNECT_FAILED:
		return link->phase == PHASE_CONNECTING && fall(link, &raw->why, ret_event);
	case RAW_SUBSCRIBED:
		return rise(link, ret_event);
	case RAW_SUBSCRIBE_FAILED:
	case RAW_LOST:
		return link->phase != PHASE_PAUSE && link->phase != PHASE_CLOSING &&
		       fall(link, &raw->why, ret_event);
	case RAW_CLOSED:
		if (link->phase == PHASE_CLOSING) {
			link->phase = PHASE_PAUSE;
			link->resume_ms = 0;
		}
		return false;
	case RAW_MESSAGE:
		return deliver(link, raw, ret_event);
	}
	return false;
}

static bool mqtt_next(void *ctx, struct link_event *ret_event)
{
	struct link_mqtt *link = ctx;
	uint64_t count;
	struct raw *raw;

	if (read(link->wake, &count, sizeof(count)) < 0) {
		/* EAGAIN: nobody wrote since; the queue is looked at all the same */
	}
	while ((raw = take_raw(link))) {
		memset(ret_event, 0, sizeof(*ret_event));
		bool mine = translate(link, raw, ret_event);
		if (!ret_event->hold)
			free_raw(raw);
		if (mine)
			return true;
	}
	return false;
}

static void mqtt_done(void *ctx, struct link_event *event)
{
	(void)ctx;
	free_raw(event->hold);
	memset(event, 0, sizeof(*event));
}

static void mqtt_start(void *ctx)
{
	struct link_mqtt *link = ctx;

	if (link->phase != PHASE_STOPPED)
		return;
	link->phase = PHASE_PAUSE;
	link->resume_ms = 0;
}

static void close_client(struct link_mqtt *link, int timeout_ms)
{
	MQTTAsync_disconnectOptions options = MQTTAsync_disconnectOptions_initializer5;

	options.timeout = timeout_ms;
	options.context = link->client;
	options.onSuccess5 = on_closed;
	options.onFailure5 = on_close_failed;
	if (MQTTAsync_disconnect(link->client->handle, &options) == MQTTASYNC_SUCCESS) {
		link->phase = PHASE_CLOSING;
		link->since_ms = link->now_ms;
		return;
	}
	destroy_client(link);
	link->phase = PHASE_PAUSE;
	link->resume_ms = 0;
}

static void mqtt_stop(void *ctx)
{
	struct link_mqtt *link = ctx;

	if (link->client && link->phase == PHASE_UP) {
		/* A polite DISCONNECT, but not at the price of a slow end. */
		close_client(link, 200);
		for (int i = 0; i < 20 && link->phase == PHASE_CLOSING; i++) {
			struct link_event event;

			usleep(10000);
			while (mqtt_next(link, &event))
				mqtt_done(link, &event);
		}
	}
	destroy_client(link);
	link->phase = PHASE_STOPPED;
}

static void mqtt_renew(void *ctx)
{
	struct link_mqtt *link = ctx;

	backoff_reset(&link->backoff);
	if (link->phase == PHASE_UP) {
		close_client(link, 200);
		return;
	}
	destroy_client(link);
	link->phase = PHASE_PAUSE;
	link->resume_ms = 0;
}

static enum ota_err mqtt_publish(void *ctx, const char *topic, const void *payload, size_t len,
				 int qos, struct ota_why *why)
{
	struct link_mqtt *link = ctx;

	if (link->phase != PHASE_UP)
		return ota_fail(why, OTA_CONNECTION_LOST, "not connected to the broker");
	int rc = MQTTAsync_send(link->client->handle, topic, (int)len, payload, qos, 0, NULL);
	if (rc == MQTTASYNC_SUCCESS)
		return OTA_OK;
	if (rc == MQTTASYNC_DISCONNECTED)
		put_lost(link->client, "the connection to the broker was lost unnoticed", rc);
	enum ota_err err =
		rc == MQTTASYNC_MAX_BUFFERED_MESSAGES || rc == MQTTASYNC_NO_MORE_MSGIDS
			? OTA_BUSY
			: OTA_CONNECTION_LOST;
	return ota_fail(why, err, "publish on '%s': code %d", topic, rc);
}

static enum ota_err mqtt_subscribe(void *ctx, const char *topic, struct ota_why *why)
{
	struct link_mqtt *link = ctx;
	MQTTAsync_responseOptions response = MQTTAsync_responseOptions_initializer;

	if (link->phase != PHASE_UP)
		return ota_fail(why, OTA_CONNECTION_LOST, "not connected to the broker");
	response.context = link->client;
	response.onSuccess5 = on_subscribed;
	response.onFailure5 = on_subscribe_failed;
	int rc = MQTTAsync_subscribe(link->client->handle, topic, 1, &response);
	if (rc != MQTTASYNC_SUCCESS)
		return ota_fail(why, OTA_CONNECTION_LOST, "subscribe to '%s': code %d", topic,
				rc);
	return OTA_OK;
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
	destroy_client(link);
	if (link->phase != PHASE_CLOSING) {
		pause_link(link);
		return link->resume_ms - link->now_ms;
	}
	link->phase = PHASE_PAUSE;
	link->resume_ms = link->now_ms;
	return 0;
}

static uint64_t mqtt_tick(void *ctx, uint64_t now_ms)
{
	struct link_mqtt *link = ctx;
	struct raw failure = {0};

	link->now_ms = now_ms;
	if (link->phase != PHASE_PAUSE)
		return watch_phase(link);
	if (now_ms < link->resume_ms)
		return link->resume_ms - now_ms;
	try_connect(link, &failure);
	return link->phase == PHASE_PAUSE ? link->resume_ms - now_ms : UINT64_MAX;
}

static int mqtt_fd(void *ctx)
{
	struct link_mqtt *link = ctx;

	return link->wake;
}

static void free_mqtt(struct link_mqtt **place)
{
	struct link_mqtt *link = *place;
	struct raw *raw;

	if (!link)
		return;
	mqtt_stop(link);
	while ((raw = take_raw(link)))
		free_raw(raw);
	if (link->wake >= 0)
		close(link->wake);
	pthread_mutex_destroy(&link->lock);
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
	hold_library();
	link->last = &link->first;
	link->options = *options;
	link->backoff.min_ms = options->reconnect_min_ms;
	link->backoff.max_ms = options->reconnect_max_ms;
	pthread_mutex_init(&link->lock, NULL);
	link->wake = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	if (link->wake < 0)
		return ota_fail_errno(why, OTA_INTERNAL, errno, "eventfd");
	if (!tls_split(options->broker, host, sizeof(host), port, sizeof(port)))
		return ota_fail(why, OTA_BAD_REQUEST, "broker '%s' is not host:port",
				options->broker);
	if (asprintf(&link->uri, "ssl://%s", options->broker) < 0) {
		link->uri = NULL;
		return ota_fail(why, OTA_OUT_OF_MEMORY, "link");
	}
	for (unsigned i = 0; i < OWN_TOPICS; i++)
		topic_of(kinds[i], options->device, link->own_topics[i]);
	*ret_link = (struct link){
		.ctx = link,
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
	link = NULL;
	return OTA_OK;
}

void link_free(struct link *link)
{
	struct link_mqtt *mqtt = link->ctx;

	free_mqtt(&mqtt);
	memset(link, 0, sizeof(*link));
}
