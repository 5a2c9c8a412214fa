/* Threads: the keeper dials, subscribes and gives up connections; the library's threads tell it
 * what happened. `lock` guards the state and is never held while the library is called, because
 * the library calls back under a lock of its own. `handle_lock` keeps the handle alive while
 * someone publishes with it: the keeper takes it for writing to exchange the handle. The
 * library's own reconnection is off: it is known to give up after long outages, so each try is
 * a new handle. */
#include "line.h"

#include "certificate.h"
#include "own.h"
#include "sign.h"
#include "topic.h"

#include <MQTTAsync.h>
#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <time.h>

#define TICK_MS	       200u
#define BACKOFF_MIN_MS 500u
#define BACKOFF_MAX_MS 30000u
#define GOODBYE_MS     1000u
#define INFLIGHT_MAX   16 /* below Mosquitto's default Receive Maximum of 20 */
#define KEEP_ALIVE_S   30
/* A connection that was made and lost again (another session of the same name) is tried anew
 * before a first attempt counts as failed. */
#define TRIES_ENOUGH 4
#define GRANTED_NOT  0x80

enum line_state {
	LINE_DOWN = 0,	  /* until retry_at_ms */
	LINE_DIALLING,	  /* CONNECT is on its way */
	LINE_CONNECTED,	  /* CONNACK is there; subscriptions are to be made */
	LINE_SUBSCRIBING, /* waiting for their SUBACK */
	LINE_UP,
};

struct line {
	struct line_options options;
	struct line_seam seam;
	pthread_t keeper;
	pthread_mutex_t lock;
	pthread_cond_t change;
	pthread_rwlock_t handle_lock;
	MQTTAsync handle;
	enum line_state state;
	bool stopping, was_up, said_up;
	unsigned tries, failures;
	uint64_t retry_at_ms, deadline_ms;
	struct ota_why why; /* of the last failure */
	struct line_topic {
		struct line *line;
		char topic[TOPIC_SIZE]; /* "": a free slot; it is the library's context, so it
					   does not move */
		int granted; /* -1: not answered yet, then as SUBACK says: < 0x80 granted */
	} topics[LINE_TOPICS_MAX];
};

uint64_t line_now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_BOOTTIME, &now);
	return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

static void wait_change(struct line *line, uint64_t wait_ms)
{
	struct timespec until;

	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_sec += (time_t)(wait_ms / 1000);
	until.tv_nsec += (long)(wait_ms % 1000) * 1000000;
	if (until.tv_nsec >= 1000000000) {
		until.tv_nsec -= 1000000000;
		until.tv_sec++;
	}
	pthread_cond_timedwait(&line->change, &line->lock, &until);
}

static uint64_t backoff_ms(unsigned failures)
{
	uint64_t most = (uint64_t)BACKOFF_MIN_MS << (failures < 7 ? failures : 7);
	uint32_t random = 0;

	if (most > BACKOFF_MAX_MS)
		most = BACKOFF_MAX_MS;
	if (sign_random(&random, sizeof(random), NULL))
		return most;
	return BACKOFF_MIN_MS / 2 + random % most;
}

/* The lock is held. */
static void fall(struct line *line, enum ota_err err, const char *text)
{
	enum ota_err kept;

	if (line->state == LINE_DOWN)
		return;
	kept = ota_fail(&line->why, err, "%s", text);
	(void)kept;
	line->state = LINE_DOWN;
	line->tries += err == OTA_CONNECTION_LOST ? 1 : TRIES_ENOUGH;
	line->retry_at_ms = line_now_ms() + backoff_ms(line->failures++);
	pthread_cond_broadcast(&line->change);
}

static void on_connected(void *context, MQTTAsync_successData5 *data)
{
	struct line *line = context;

	(void)data;
	pthread_mutex_lock(&line->lock);
	if (line->state == LINE_DIALLING)
		line->state = LINE_CONNECTED;
	pthread_cond_broadcast(&line->change);
	pthread_mutex_unlock(&line->lock);
}

static void on_refused(void *context, MQTTAsync_failureData5 *data)
{
	struct line *line = context;
	char text[160];
	bool by_broker = data && data->reasonCode >= 0x80;

	if (by_broker)
		snprintf(text, sizeof(text), "the broker refused the connection: %s",
			 MQTTReasonCode_toString(data->reasonCode));
	else
		snprintf(text, sizeof(text), "no connection: %s",
			 data && data->message ? data->message : "no reason given");
	pthread_mutex_lock(&line->lock);
	if (line->state == LINE_DIALLING)
		fall(line, by_broker ? OTA_FORBIDDEN : OTA_UNREACHABLE, text);
	pthread_mutex_unlock(&line->lock);
}

static void on_lost(void *context, char *cause)
{
	struct line *line = context;

	pthread_mutex_lock(&line->lock);
	fall(line, OTA_CONNECTION_LOST, cause ? cause : "the broker closed the connection");
	pthread_mutex_unlock(&line->lock);
}

static void on_disconnected(void *context, MQTTProperties *properties,
			    enum MQTTReasonCodes reason)
{
	struct line *line = context;
	char text[160];

	(void)properties;
	snprintf(text, sizeof(text), "the broker ended the connection: %s",
		 MQTTReasonCode_toString(reason));
	pthread_mutex_lock(&line->lock);
	fall(line, OTA_CONNECTION_LOST, text);
	pthread_mutex_unlock(&line->lock);
}

static int on_message(void *context, char *topic, int topic_len, MQTTAsync_message *message)
{
	struct line *line = context;

	(void)topic_len;
	line->seam.message(line->seam.ctx, topic, message->payload,
			   (size_t)message->payloadlen);
	MQTTAsync_freeMessage(&message);
	MQTTAsync_free(topic);
	return 1;
}

static void answer_subscribe(struct line_topic *topic, int granted)
{
	pthread_mutex_lock(&topic->line->lock);
	topic->granted = granted;
	pthread_cond_broadcast(&topic->line->change);
	pthread_mutex_unlock(&topic->line->lock);
}

static void on_subscribed(void *context, MQTTAsync_successData5 *data)
{
	answer_subscribe(context, data ? (int)data->reasonCode : 0);
}

/* Without a reason from the broker it is the connection that failed, which is told elsewhere.
 */
static void on_subscribe_refused(void *context, MQTTAsync_failureData5 *data)
{
	if (data && data->reasonCode >= GRANTED_NOT)
		answer_subscribe(context, (int)data->reasonCode);
}

/* The lock is not held: the library takes its own, under which it calls back. */
static void subscribe(struct line *line, unsigned slot, int qos)
{
	MQTTAsync_responseOptions options = MQTTAsync_responseOptions_initializer;

	options.onSuccess5 = on_subscribed;
	options.onFailure5 = on_subscribe_refused;
	options.context = &line->topics[slot];
	pthread_rwlock_rdlock(&line->handle_lock);
	if (line->handle)
		MQTTAsync_subscribe(line->handle, line->topics[slot].topic, qos, &options);
	pthread_rwlock_unlock(&line->handle_lock);
}

static void drop_handle(struct line *line)
{
	pthread_rwlock_wrlock(&line->handle_lock);
	if (line->handle)
		MQTTAsync_destroy(&line->handle);
	line->handle = NULL;
	pthread_rwlock_unlock(&line->handle_lock);
}

static int make_handle(struct line *line)
{
	MQTTAsync_createOptions create = MQTTAsync_createOptions_initializer5;
	char uri[300];
	bool v6 = strchr(line->options.host, ':');
	int code;

	snprintf(uri, sizeof(uri), "ssl://%s%s%s:%s", v6 ? "[" : "", line->options.host,
		 v6 ? "]" : "", line->options.port);
	drop_handle(line);
	pthread_rwlock_wrlock(&line->handle_lock);
	code = MQTTAsync_createWithOptions(&line->handle, uri, line->options.client_id,
					   MQTTCLIENT_PERSISTENCE_NONE, NULL, &create);
	if (!code)
		code = MQTTAsync_setCallbacks(line->handle, line, on_lost, on_message, NULL);
	if (!code)
		code = MQTTAsync_setDisconnected(line->handle, line, on_disconnected);
	pthread_rwlock_unlock(&line->handle_lock);
	return code;
}

static int start_connect(struct line *line)
{
	MQTTAsync_connectOptions connect = MQTTAsync_connectOptions_initializer5;
	MQTTAsync_SSLOptions tls = MQTTAsync_SSLOptions_initializer;
	int code;

	tls.trustStore = line->options.ca;
	tls.keyStore = line->options.certificate;
	tls.privateKey = line->options.key;
	tls.enableServerCertAuth = 1;
	tls.verify = 1; /* the certificate's names too */
	tls.disableDefaultTrustStore = 1;
	tls.sslVersion = MQTT_SSL_VERSION_TLS_1_2; /* at least */
	connect.ssl = &tls;
	connect.cleanstart = 1;
	connect.keepAliveInterval = KEEP_ALIVE_S;
	connect.maxInflight = INFLIGHT_MAX;
	connect.connectTimeout = (int)(line->options.timeout_ms / 1000) + 1;
	connect.onSuccess5 = on_connected;
	connect.onFailure5 = on_refused;
	connect.context = line;
	pthread_rwlock_rdlock(&line->handle_lock);
	code = MQTTAsync_connect(line->handle, &connect);
	pthread_rwlock_unlock(&line->handle_lock);
	return code;
}

/* The lock is held on entry and on return. */
static void dial(struct line *line)
{
	int code;

	line->state = LINE_DIALLING;
	line->deadline_ms = line_now_ms() + line->options.timeout_ms;
	pthread_mutex_unlock(&line->lock);
	code = make_handle(line);
	if (!code)
		code = start_connect(line);
	pthread_mutex_lock(&line->lock);
	if (code && line->state == LINE_DIALLING)
		fall(line, OTA_UNREACHABLE, MQTTAsync_strerror(code));
}

/* The lock is held on entry and on return. */
static void subscribe_all(struct line *line)
{
	bool used[LINE_TOPICS_MAX];
	unsigned i;

	line->state = LINE_SUBSCRIBING;
	for (i = 0; i < LINE_TOPICS_MAX; i++) {
		line->topics[i].granted = -1;
		used[i] = line->topics[i].topic[0];
	}
	pthread_mutex_unlock(&line->lock);
	for (i = 0; i < LINE_TOPICS_MAX; i++)
		if (used[i])
			subscribe(line, i, i == 0);
	pthread_mutex_lock(&line->lock);
}

static void check_subscribed(struct line *line)
{
	if (line->topics[0].granted >= GRANTED_NOT) {
		fall(line, OTA_FORBIDDEN,
		     "the broker refuses our reply topic: is the plugin loaded, and is this a "
		     "manager's certificate?");
		line->retry_at_ms = line_now_ms() + BACKOFF_MAX_MS;
	} else if (line->topics[0].granted >= 0) {
		line->state = LINE_UP;
		line->failures = 0;
	}
}

/* Tells the seam what changed; the lock is held on entry and on return. */
static void tell(struct line *line)
{
	bool up = line->state == LINE_UP, again = line->was_up;

	if (up == line->said_up)
		return;
	line->said_up = up;
	line->was_up |= up;
	pthread_mutex_unlock(&line->lock);
	if (up)
		line->seam.up(line->seam.ctx, again);
	else
		line->seam.down(line->seam.ctx);
	pthread_mutex_lock(&line->lock);
	pthread_cond_broadcast(&line->change);
}

static void step(struct line *line)
{
	uint64_t now = line_now_ms();

	switch (line->state) {
	case LINE_DOWN:
		if (now >= line->retry_at_ms)
			dial(line);
		break;
	case LINE_CONNECTED:
		subscribe_all(line);
		break;
	case LINE_SUBSCRIBING:
		check_subscribed(line);
		if (line->state == LINE_SUBSCRIBING && now >= line->deadline_ms)
			fall(line, OTA_UNREACHABLE, "the broker does not answer");
		break;
	case LINE_DIALLING:
		if (now >= line->deadline_ms)
			fall(line, OTA_UNREACHABLE, "the broker does not answer");
		break;
	case LINE_UP:
		break;
	}
}

static void *keep(void *context)
{
	struct line *line = context;
	enum line_state before;

	pthread_mutex_lock(&line->lock);
	while (!line->stopping) {
		before = line->state;
		step(line);
		tell(line);
		if (line->state != before || line->stopping)
			continue;
		wait_change(line, TICK_MS);
		pthread_mutex_unlock(&line->lock);
		line->seam.tick(line->seam.ctx);
		pthread_mutex_lock(&line->lock);
	}
	pthread_mutex_unlock(&line->lock);
	return NULL;
}

static void init_locks(struct line *line)
{
	pthread_condattr_t monotonic;

	pthread_condattr_init(&monotonic);
	pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
	pthread_mutex_init(&line->lock, NULL);
	pthread_cond_init(&line->change, &monotonic);
	pthread_rwlock_init(&line->handle_lock, NULL);
	pthread_condattr_destroy(&monotonic);
}

static void free_line(struct line *line)
{
	pthread_mutex_destroy(&line->lock);
	pthread_cond_destroy(&line->change);
	pthread_rwlock_destroy(&line->handle_lock);
	free(line);
}

enum ota_err line_open(const struct line_options *options, const struct line_seam *seam,
		       struct line **ret_line, struct ota_why *why)
{
	MQTTAsync_init_options global = MQTTAsync_init_options_initializer;
	struct line *line = calloc(1, sizeof(*line));
	unsigned i;
	int code;

	if (!line)
		return ota_fail(why, OTA_OUT_OF_MEMORY, "no memory for a connection");
	global.do_openssl_init = 1;
	MQTTAsync_global_init(&global);
	line->options = *options;
	line->seam = *seam;
	for (i = 0; i < LINE_TOPICS_MAX; i++)
		line->topics[i].line = line;
	text_copy(line->topics[0].topic, sizeof(line->topics[0].topic), options->reply_topic);
	init_locks(line);
	code = pthread_create(&line->keeper, NULL, keep, line);
	if (code) {
		free_line(line);
		return ota_fail_errno(why, OTA_OUT_OF_MEMORY, code, "no thread");
	}
	*ret_line = line;
	return OTA_OK;
}

static void say_goodbye(struct line *line)
{
	MQTTAsync_disconnectOptions options = MQTTAsync_disconnectOptions_initializer5;
	uint64_t until = line_now_ms() + GOODBYE_MS;
	const struct timespec nap = {.tv_nsec = 2000000};

	options.timeout = (int)GOODBYE_MS;
	if (!line->handle || MQTTAsync_disconnect(line->handle, &options))
		return;
	while (MQTTAsync_isConnected(line->handle) && line_now_ms() < until)
		nanosleep(&nap, NULL);
}

void line_close(struct line *line)
{
	if (!line)
		return;
	pthread_mutex_lock(&line->lock);
	line->stopping = true;
	pthread_cond_broadcast(&line->change);
	pthread_mutex_unlock(&line->lock);
	pthread_join(line->keeper, NULL);
	say_goodbye(line);
	drop_handle(line);
	free_line(line);
}

/* A second look at the peer says more than the MQTT library does. */
static enum ota_err explain(struct line *line, const struct ota_why *seen, struct ota_why *why)
{
	const struct certificate_peer peer = {
		.host = line->options.host,
		.port = line->options.port,
		.ca = line->options.ca,
		.certificate = line->options.certificate,
		.key = line->options.key,
		.timeout_ms = 3000,
	};
	enum ota_err err = OTA_OK;

	if (seen->err != OTA_FORBIDDEN)
		err = certificate_probe(&peer, NULL, why);
	return err ? err
		   : ota_fail(why, seen->err ? seen->err : OTA_UNREACHABLE, "%s port %s: %s",
			      peer.host, peer.port,
			      seen->text[0] ? seen->text : "no answer in time");
}

enum ota_err line_wait(struct line *line, uint64_t timeout_ms, bool once, struct ota_why *why)
{
	uint64_t now = line_now_ms(), until = now + timeout_ms;
	struct ota_why seen;
	bool up;

	pthread_mutex_lock(&line->lock);
	while (!(up = line->said_up && line->state == LINE_UP) && now < until &&
	       !(once && line->tries >= TRIES_ENOUGH)) {
		wait_change(line, until - now);
		now = line_now_ms();
	}
	seen = line->why;
	pthread_mutex_unlock(&line->lock);
	return up ? OTA_OK : explain(line, &seen, why);
}

bool line_is_up(struct line *line)
{
	bool up;

	pthread_mutex_lock(&line->lock);
	up = line->state == LINE_UP;
	pthread_mutex_unlock(&line->lock);
	return up;
}

/* The library refuses to send some time before it tells that the connection is lost; whoever
 * then waits for the line must not find it up. */
static void notice_loss(struct line *line)
{
	pthread_mutex_lock(&line->lock);
	if (line->state == LINE_UP)
		fall(line, OTA_CONNECTION_LOST, "the connection was lost");
	pthread_mutex_unlock(&line->lock);
}

enum ota_err line_publish(struct line *line, const char *topic, const void *payload, size_t len,
			  struct ota_why *why)
{
	int code = MQTTASYNC_DISCONNECTED;

	pthread_rwlock_rdlock(&line->handle_lock);
	if (line->handle)
		code = MQTTAsync_send(line->handle, topic, (int)len, payload, 1, 0, NULL);
	pthread_rwlock_unlock(&line->handle_lock);
	if (code == MQTTASYNC_SUCCESS)
		return OTA_OK;
	if (code == MQTTASYNC_DISCONNECTED)
		notice_loss(line);
	return ota_fail(why, OTA_UNREACHABLE, "no connection to the broker (%s)",
			MQTTAsync_strerror(code));
}

/* The lock is held. The slot of the topic, or of "" a free one; -1 when there is none. */
static int find_topic(const struct line *line, const char *topic)
{
	int i;

	for (i = 0; i < LINE_TOPICS_MAX; i++)
		if (!strcmp(line->topics[i].topic, topic))
			return i;
	return -1;
}

static enum ota_err add_topic(struct line *line, const char *topic, int *ret_slot,
			      struct ota_why *why)
{
	int slot = find_topic(line, "");

	if (slot < 0)
		return ota_fail(why, OTA_BUSY, "more than %d subscriptions", LINE_TOPICS_MAX);
	text_copy(line->topics[slot].topic, sizeof(line->topics[slot].topic), topic);
	line->topics[slot].granted = -1;
	*ret_slot = slot;
	return OTA_OK;
}

enum ota_err line_subscribe(struct line *line, const char *topic, struct ota_why *why)
{
	uint64_t until = line_now_ms() + line->options.timeout_ms;
	bool is_up;
	int slot = -1, granted;
	enum ota_err err = OTA_OK;

	pthread_mutex_lock(&line->lock);
	if (find_topic(line, topic) < 0)
		err = add_topic(line, topic, &slot, why);
	is_up = line->state == LINE_UP;
	pthread_mutex_unlock(&line->lock);
	if (err || slot < 0)
		return err;
	if (is_up)
		subscribe(line, (unsigned)slot, 0);
	pthread_mutex_lock(&line->lock);
	while (line->topics[slot].granted < 0 && line_now_ms() < until)
		wait_change(line, TICK_MS);
	granted = line->topics[slot].granted;
	pthread_mutex_unlock(&line->lock);
	if (granted >= 0 && granted < GRANTED_NOT)
		return OTA_OK;
	line_unsubscribe(line, topic);
	if (granted < 0)
		return ota_fail(why, OTA_UNREACHABLE, "no answer to the subscription of '%s'",
				topic);
	return ota_fail(why, OTA_FORBIDDEN, "the broker refuses the subscription of '%s'",
			topic);
}

void line_unsubscribe(struct line *line, const char *topic)
{
	int slot;

	pthread_mutex_lock(&line->lock);
	slot = find_topic(line, topic);
	if (slot > 0)
		line->topics[slot].topic[0] = '\0';
	pthread_mutex_unlock(&line->lock);
	if (slot <= 0)
		return;
	pthread_rwlock_rdlock(&line->handle_lock);
	if (line->handle)
		MQTTAsync_unsubscribe(line->handle, topic, NULL);
	pthread_rwlock_unlock(&line->handle_lock);
}
