/* Settings that each have a test: the broker's certificate is verified (enableServerCertAuth),
 * for its host (verify), against our CA file and no other (disableDefaultTrustStore). */
#include "link_paho.h"

#include "message.h"
#include "own.h"
#include "text.h"
#include "tls.h"

#include <MQTTAsync.h>
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/eventfd.h>

#define CONNECT_TIMEOUT_S   20
#define DIAGNOSE_TIMEOUT_MS 5000
#define DIAGNOSE_EVERY	    10 /* of failures in a row, after the first */
#define RECEIVE_MAX	    16 /* QoS 1 messages that the broker may have under way to us */
#define BUFFERED_MAX	    64 /* messages that wait for the socket */
#define GRAVES		    8

struct paho_box {
	pthread_mutex_t lock; /* of everything below */
	struct paho_note *first, **last;
	size_t bytes;
	unsigned failures;	  /* to connect, in a row */
	struct ota_why diagnosis; /* why TLS failed, as last found out */
	int wake;
	atomic_bool lost;	     /* a note could not be made, for want of memory */
	struct paho *graves[GRAVES]; /* freed clients, the oldest first */
};

struct paho {
	struct link_options options;
	const char *ca_file; /* of the connection of now */
	struct paho_box *box;
	MQTTAsync handle;
	atomic_uint connection; /* written in the agent's thread */
	char tls_error[256];	/* written and read in paho's connecting thread only */
};

/* --- the box --- */

enum ota_err paho_box_new(struct paho_box **ret_box, struct ota_why *why)
{
	struct paho_box *box = calloc(1, sizeof(*box));

	if (!box)
		return ota_fail(why, OTA_OUT_OF_MEMORY, "link");
	box->last = &box->first;
	box->wake = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	if (box->wake < 0) {
		free(box);
		return ota_fail_errno(why, OTA_INTERNAL, errno, "eventfd");
	}
	pthread_mutex_init(&box->lock, NULL);
	*ret_box = box;
	return OTA_OK;
}

void paho_note_free(struct paho_note *note)
{
	if (!note)
		return;
	if (note->message) {
		MQTTAsync_message *message = note->message;

		MQTTAsync_freeMessage(&message);
		MQTTAsync_free((void *)(uintptr_t)note->topic);
	}
	free(note);
}

void paho_box_free(struct paho_box *box)
{
	struct paho_note *note;

	if (!box)
		return;
	while ((note = paho_box_take(box)))
		paho_note_free(note);
	for (unsigned i = 0; i < GRAVES; i++)
		free(box->graves[i]);
	close(box->wake);
	pthread_mutex_destroy(&box->lock);
	free(box);
}

int paho_box_fd(const struct paho_box *box)
{
	return box->wake;
}

static void wake(struct paho_box *box)
{
	const uint64_t one = 1;

	if (write(box->wake, &one, sizeof(one)) < 0) {
		/* EAGAIN: the counter is full, so it is readable, which is all that counts */
	}
}

bool paho_box_lost_one(struct paho_box *box)
{
	return atomic_exchange(&box->lost, false);
}

static void put_note(struct paho_box *box, struct paho_note *note)
{
	pthread_mutex_lock(&box->lock);
	*box->last = note;
	box->last = &note->next;
	box->bytes += note->len;
	pthread_mutex_unlock(&box->lock);
	wake(box);
}

struct paho_note *paho_box_take(struct paho_box *box)
{
	uint64_t count;

	if (read(box->wake, &count, sizeof(count)) < 0) {
		/* EAGAIN: nobody wrote since; the box is looked into all the same */
	}
	pthread_mutex_lock(&box->lock);
	struct paho_note *note = box->first;
	if (note) {
		box->first = note->next;
		if (!box->first)
			box->last = &box->first;
		box->bytes -= note->len;
	}
	pthread_mutex_unlock(&box->lock);
	return note;
}

void paho_box_forget_failures(struct paho_box *box)
{
	pthread_mutex_lock(&box->lock);
	box->failures = 0;
	box->diagnosis.err = OTA_OK;
	pthread_mutex_unlock(&box->lock);
}

/* --- callbacks: paho's threads --- */

static struct paho_note *new_note(struct paho *paho, enum paho_note_kind kind)
{
	struct paho_note *note = calloc(1, sizeof(*note));

	if (note) {
		note->kind = kind;
		note->connection = paho->connection;
	} else if (kind != PAHO_MESSAGE) {
		paho->box->lost = true;
		wake(paho->box);
	}
	return note;
}

static int on_tls_error(const char *text, size_t len, void *context)
{
	struct paho *paho = context;
	char line[256];
	const char *at = line;

	text_sanitize(line, sizeof(line), text, len, false);
	for (int colons = 0; colons < 5 && at; colons++) {
		at = strchr(at, ':');
		at = at ? at + 1 : NULL;
	}
	at = at && *at ? at : line;
	text_sanitize(paho->tls_error, sizeof(paho->tls_error), at, strcspn(at, ":"), false);
	return 1;
}

static void on_connected(void *context, MQTTAsync_successData5 *data)
{
	struct paho *paho = context;
	struct paho_note *note = new_note(paho, PAHO_CONNECTED);

	(void)data;
	if (note)
		put_note(paho->box, note);
}

/* Finding out takes a connection of its own, so it is not done each time. */
static void keep_diagnosis(struct paho_box *box, const struct ota_why *why)
{
	pthread_mutex_lock(&box->lock);
	box->diagnosis = why ? *why : (struct ota_why){0};
	pthread_mutex_unlock(&box->lock);
}

static enum ota_err last_diagnosis(struct paho_box *box, struct ota_why *ret_why)
{
	pthread_mutex_lock(&box->lock);
	const enum ota_err err = box->diagnosis.err;
	if (err)
		*ret_why = box->diagnosis;
	pthread_mutex_unlock(&box->lock);
	return err;
}

static void explain_failure(struct paho *paho, const MQTTAsync_failureData5 *data,
			    struct ota_why *why)
{
	const struct link_options *options = &paho->options;
	const struct tls_files files = {paho->ca_file, options->cert_file, options->key_file};
	enum ota_err err = OTA_OK;

	if (data->reasonCode >= MQTTREASONCODE_UNSPECIFIED_ERROR) {
		err = ota_fail(why, OTA_UNAUTHORIZED, "the broker refuses the connection: %s",
			       MQTTReasonCode_toString(data->reasonCode));
		why->detail = (int)data->reasonCode;
		return;
	}
	pthread_mutex_lock(&paho->box->lock);
	unsigned failures = paho->box->failures++;
	pthread_mutex_unlock(&paho->box->lock);
	if (failures % DIAGNOSE_EVERY == 0) {
		err = tls_diagnose(options->broker, &files, DIAGNOSE_TIMEOUT_MS, why);
		keep_diagnosis(paho->box, err ? why : NULL);
	} else if (paho->tls_error[0]) {
		err = last_diagnosis(paho->box, why);
	}
	if (err)
		return;
	if (strstr(paho->tls_error, "unexpected eof"))
		err = ota_fail(why, OTA_CONNECTION_LOST,
			       "the broker closed the connection during the TLS handshake");
	else if (paho->tls_error[0])
		err = ota_fail(why, OTA_TLS_VERIFY_FAILED, "TLS: %s", paho->tls_error);
	else
		err = ota_fail(why, OTA_CONNECTION_LOST, "connect to '%s': %s", options->broker,
			       data->message ? data->message : "no answer");
	if (err)
		why->detail = data->code;
}

static void on_connect_failed(void *context, MQTTAsync_failureData5 *data)
{
	struct paho *paho = context;
	struct paho_note *note = new_note(paho, PAHO_CONNECT_FAILED);
	const MQTTAsync_failureData5 unknown = MQTTAsync_failureData5_initializer;

	if (!note)
		return;
	explain_failure(paho, data ? data : &unknown, &note->why);
	paho->tls_error[0] = '\0';
	put_note(paho->box, note);
}

static void on_subscribed(void *context, MQTTAsync_successData5 *data)
{
	struct paho *paho = context;
	struct paho_note *note = new_note(paho, PAHO_SUBSCRIBED);
	enum MQTTReasonCodes worst = data->reasonCode;

	if (!note)
		return;
	/* The array is there only when several topics were asked for. */
	for (int i = 0; data->alt.sub.reasonCodeCount > 1 && i < data->alt.sub.reasonCodeCount;
	     i++) {
		if (data->alt.sub.reasonCodes[i] > worst)
			worst = data->alt.sub.reasonCodes[i];
	}
	if (worst >= MQTTREASONCODE_UNSPECIFIED_ERROR) {
		note->kind = PAHO_SUBSCRIBE_FAILED;
		enum ota_err err = ota_fail(&note->why, OTA_UNAUTHORIZED,
					    "the broker refuses a subscription: %s",
					    MQTTReasonCode_toString(worst));
		(void)err;
		note->why.detail = (int)worst;
	}
	put_note(paho->box, note);
}

static void on_subscribe_failed(void *context, MQTTAsync_failureData5 *data)
{
	struct paho *paho = context;
	struct paho_note *note = new_note(paho, PAHO_SUBSCRIBE_FAILED);

	if (!note)
		return;
	bool refused = data->reasonCode >= MQTTREASONCODE_UNSPECIFIED_ERROR;
	const char *text = refused	   ? MQTTReasonCode_toString(data->reasonCode)
			   : data->message ? data->message
					   : "no answer";
	enum ota_err err =
		ota_fail(&note->why, refused ? OTA_UNAUTHORIZED : OTA_CONNECTION_LOST,
			 "the broker refuses a subscription: %s", text);
	(void)err;
	note->why.detail = refused ? (int)data->reasonCode : data->code;
	put_note(paho->box, note);
}

static void put_loss(struct paho *paho, enum paho_note_kind kind, const char *what, int detail)
{
	struct paho_note *note = new_note(paho, kind);

	if (!note)
		return;
	enum ota_err err = ota_fail(&note->why, OTA_CONNECTION_LOST, "%s", what);
	(void)err;
	note->why.detail = detail;
	put_note(paho->box, note);
}

static void on_lost(void *context, char *cause)
{
	put_loss(context, PAHO_LOST, cause ? cause : "the connection to the broker was lost",
		 0);
}

static void on_disconnected(void *context, MQTTProperties *properties,
			    enum MQTTReasonCodes reason)
{
	char text[128];
	const char *name = MQTTReasonCode_toString(reason);

	(void)properties;
	snprintf(text, sizeof(text), "the broker ended the connection: %s",
		 name ? name : "no reason");
	put_loss(context, PAHO_LOST, text, (int)reason);
}

static void on_closed(void *context, MQTTAsync_successData5 *data)
{
	struct paho *paho = context;
	struct paho_note *note = new_note(paho, PAHO_CLOSED);

	(void)data;
	if (note)
		put_note(paho->box, note);
}

static void on_close_failed(void *context, MQTTAsync_failureData5 *data)
{
	(void)data;
	on_closed(context, NULL);
}

static int on_message(void *context, char *topic, int topic_len, MQTTAsync_message *message)
{
	struct paho *paho = context;
	struct paho_note *note = new_note(paho, PAHO_MESSAGE);

	(void)topic_len; /* > 0 only when the topic holds a NUL; then it matches no topic of
			    ours */
	pthread_mutex_lock(&paho->box->lock);
	bool full = paho->box->bytes + (size_t)message->payloadlen > LINK_QUEUE_MAX;
	pthread_mutex_unlock(&paho->box->lock);
	if (!note || full) {
		if (message->qos > 0)
			put_loss(paho, PAHO_DROPPED, "more messages than there is room for",
				 ENOBUFS);
		MQTTAsync_freeMessage(&message);
		MQTTAsync_free(topic);
		free(note);
		return 1;
	}
	note->topic = topic;
	note->payload = message->payload;
	note->len = (size_t)message->payloadlen;
	note->message = message;
	put_note(paho->box, note);
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

enum ota_err paho_new(const struct link_options *options, const char *uri, struct paho_box *box,
		      struct paho **ret_paho, struct ota_why *why)
{
	MQTTAsync_createOptions create = MQTTAsync_createOptions_initializer5;
	AUTO_FREE struct paho *paho = calloc(1, sizeof(*paho));

	if (!paho)
		return ota_fail(why, OTA_OUT_OF_MEMORY, "MQTT client");
	hold_library();
	paho->options = *options;
	paho->box = box;
	create.sendWhileDisconnected = 0;
	create.maxBufferedMessages = BUFFERED_MAX;
	int rc = MQTTAsync_createWithOptions(&paho->handle, uri, options->device,
					     MQTTCLIENT_PERSISTENCE_NONE, NULL, &create);
	if (rc != MQTTASYNC_SUCCESS)
		return ota_fail(why, OTA_INTERNAL, "MQTT client for '%s': code %d", uri, rc);
	MQTTAsync_setCallbacks(paho->handle, paho, on_lost, on_message, NULL);
	MQTTAsync_setDisconnected(paho->handle, paho, on_disconnected);
	*ret_paho = TAKE(paho);
	return OTA_OK;
}

void paho_free(struct paho *paho)
{
	if (!paho)
		return;
	struct paho_box *box = paho->box;

	MQTTAsync_setCallbacks(paho->handle, NULL, NULL, NULL, NULL);
	MQTTAsync_destroy(&paho->handle);
	free(box->graves[0]);
	memmove(box->graves, box->graves + 1, (GRAVES - 1) * sizeof(box->graves[0]));
	box->graves[GRAVES - 1] = paho;
}

enum ota_err paho_connect(struct paho *paho, unsigned connection, struct ota_why *why)
{
	const struct link_options *options = &paho->options;
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
	paho->ca_file = options->ca_file(options->ca_ctx);
	tls.trustStore = paho->ca_file;
	tls.keyStore = options->cert_file;
	tls.privateKey = options->key_file;
	tls.sslVersion = MQTT_SSL_VERSION_TLS_1_2;
	tls.ssl_error_cb = on_tls_error;
	tls.ssl_error_context = paho;
	connect.ssl = &tls;
	connect.cleanstart = 1;
	connect.keepAliveInterval = (int)(options->keepalive_ms / 1000);
	connect.connectTimeout = CONNECT_TIMEOUT_S;
	connect.automaticReconnect = 0;
	connect.connectProperties = &properties;
	connect.context = paho;
	connect.onSuccess5 = on_connected;
	connect.onFailure5 = on_connect_failed;
	paho->connection = connection;
	int rc = MQTTAsync_connect(paho->handle, &connect);
	MQTTProperties_free(&properties);
	if (rc != MQTTASYNC_SUCCESS)
		return ota_fail(why, OTA_CONNECTION_LOST, "connect to '%s': code %d",
				options->broker, rc);
	return OTA_OK;
}

enum ota_err paho_disconnect(struct paho *paho, int timeout_ms, struct ota_why *why)
{
	MQTTAsync_disconnectOptions options = MQTTAsync_disconnectOptions_initializer5;

	options.timeout = timeout_ms;
	options.context = paho;
	options.onSuccess5 = on_closed;
	options.onFailure5 = on_close_failed;
	int rc = MQTTAsync_disconnect(paho->handle, &options);
	if (rc != MQTTASYNC_SUCCESS)
		return ota_fail(why, OTA_CONNECTION_LOST, "disconnect: code %d", rc);
	return OTA_OK;
}

enum ota_err paho_subscribe(struct paho *paho, char *const *topics, const int *qos, int count,
			    struct ota_why *why)
{
	MQTTAsync_responseOptions response = MQTTAsync_responseOptions_initializer;

	response.context = paho;
	response.onSuccess5 = on_subscribed;
	response.onFailure5 = on_subscribe_failed;
	int rc = MQTTAsync_subscribeMany(paho->handle, count, topics, qos, &response);
	if (rc != MQTTASYNC_SUCCESS)
		return ota_fail(why, OTA_CONNECTION_LOST, "subscribe to '%s': code %d",
				topics[0], rc);
	return OTA_OK;
}

enum ota_err paho_publish(struct paho *paho, const char *topic, const void *payload, size_t len,
			  int qos, struct ota_why *why)
{
	int rc = MQTTAsync_send(paho->handle, topic, (int)len, payload, qos, 0, NULL);

	if (rc == MQTTASYNC_SUCCESS)
		return OTA_OK;
	if (rc == MQTTASYNC_DISCONNECTED)
		put_loss(paho, PAHO_LOST, "the connection to the broker was lost unnoticed",
			 rc);
	enum ota_err err =
		rc == MQTTASYNC_MAX_BUFFERED_MESSAGES || rc == MQTTASYNC_NO_MORE_MSGIDS
			? OTA_BUSY
			: OTA_CONNECTION_LOST;
	return ota_fail(why, err, "publish on '%s': code %d", topic, rc);
}
