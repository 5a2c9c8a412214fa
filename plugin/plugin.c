/* The door to Mosquitto: the only file that includes its headers.
 *
 * Built with the headers of 2.0.11, it runs in 2.0 and in 2.1. What differs between them is
 * here and nowhere else (plugin/DESIGN.md has the table). Every callback comes on the broker's
 * main thread, except that 2.1's http_api asks for access on a thread of its own with a client
 * that is none: such a call is not answered for, and touches nothing. */
#include "service.h"

#include <mosquitto.h>
#include <mosquitto_broker.h>
#include <mosquitto_plugin.h>

#include <malloc.h>
#include <openssl/x509.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>

#define EXPORT __attribute__((visibility("default")))

/* Of Mosquitto 2.1; the headers of 2.0.11 do not have them. */
#define EVENT_CLIENT_OFFLINE 28
#define ANSWER_IGNORE	     32
#define TICK_AGAIN_MS	     100
#define TICK_SOON_MS	     5
#define OPTIONS_MAX	     256
#define FIRST_TICK_MS	     5000   /* it comes within a tenth of a second, or never */
#define WAKE_SIGNAL	     SIGURG /* nobody's, and ignored where it has no handler */

extern int mosquitto_plugin_set_info(mosquitto_plugin_id_t *identifier, const char *name,
				     const char *version) __attribute__((weak));

EXPORT int mosquitto_plugin_version(int supported_version_count, const int *supported_versions);
EXPORT int mosquitto_plugin_init(mosquitto_plugin_id_t *identifier, void **userdata,
				 struct mosquitto_opt *options, int option_count);
EXPORT int mosquitto_plugin_cleanup(void *userdata, struct mosquitto_opt *options,
				    int option_count);

static struct {
	mosquitto_plugin_id_t *id;
	struct service *service;
	pthread_t main_thread;
	bool is_21;
	bool has_ticked, told_no_tick;
	bool wakes; /* WAKE_SIGNAL has our handler */
	uint64_t started_ms;
	uint32_t registered;
} door;

/* ---- what the core sees of the broker ---- */

static void *broker_alloc(void *ctx, size_t size)
{
	(void)ctx;
	return mosquitto_malloc(size);
}

static void broker_release(void *ctx, void *memory)
{
	(void)ctx;
	mosquitto_free(memory);
}

static enum ota_err broker_publish(void *ctx, const char *topic, void *payload, size_t len,
				   unsigned qos, struct ota_why *why)
{
	int code =
		mosquitto_broker_publish(NULL, topic, (int)len, payload, (int)qos, false, NULL);

	(void)ctx;
	if (code == MOSQ_ERR_SUCCESS)
		return OTA_OK;
	mosquitto_free(payload);
	return ota_fail(why, OTA_INTERNAL, "the broker does not publish on '%s': %d", topic,
			code);
}

static void broker_kick(void *ctx, const char *client_id)
{
	(void)ctx;
	mosquitto_kick_client_by_clientid(client_id, false);
}

static void broker_log(void *ctx, enum broker_level level, const char *sentence)
{
	static const int levels[] = {[BROKER_INFO] = MOSQ_LOG_NOTICE,
				     [BROKER_WARNING] = MOSQ_LOG_WARNING,
				     [BROKER_ERROR] = MOSQ_LOG_ERR};

	(void)ctx;
	mosquitto_log_printf(levels[level], "mosquitto-ota: %s", sentence);
}

/* A signal ends epoll_wait(), which the brokers take as a round without events; everything else
 * that the main thread may be in goes on (SA_RESTART). */
static void broker_wake(void *ctx)
{
	(void)ctx;
	if (door.wakes)
		pthread_kill(door.main_thread, WAKE_SIGNAL);
}

static void on_wake_signal(int number)
{
	(void)number;
}

/* Unless somebody else in this process uses it: then results wait for the next timer. */
static void wake_install(void)
{
	struct sigaction before, ours = {.sa_handler = on_wake_signal, .sa_flags = SA_RESTART};

	sigemptyset(&ours.sa_mask);
	if (sigaction(WAKE_SIGNAL, NULL, &before) || (before.sa_flags & SA_SIGINFO) ||
	    before.sa_handler != SIG_DFL)
		return;
	door.wakes = sigaction(WAKE_SIGNAL, &ours, NULL) == 0;
}

static void wake_remove(void)
{
	if (door.wakes)
		signal(WAKE_SIGNAL, SIG_DFL);
	door.wakes = false;
}

static const struct broker broker = {
	.alloc = broker_alloc,
	.release = broker_release,
	.publish = broker_publish,
	.kick = broker_kick,
	.log = broker_log,
	.wake = broker_wake,
};

/* ---- callbacks ---- */

static bool is_main_thread(void)
{
	return pthread_equal(pthread_self(), door.main_thread);
}

/* With per_listener_settings some versions never tick, and nothing that takes time would ever
 * be answered: then the plugin refuses to work, and says why. */
static bool is_working(void)
{
	if (!is_main_thread())
		return false;
	if (door.has_ticked || service_mono_ms() - door.started_ms < FIRST_TICK_MS)
		return true;
	if (!door.told_no_tick)
		mosquitto_log_printf(MOSQ_LOG_ERR,
				     "mosquitto-ota: the broker never calls the plugin's "
				     "timer, so it refuses to work: set per_listener_settings "
				     "false and name the plugin outside any listener");
	door.told_no_tick = true;
	return false;
}

static void client_take(struct mosquitto *client, struct session_client *ret_client)
{
	*ret_client = (struct session_client){
		.client = client,
		.certificate = mosquitto_client_certificate(client),
		.client_id = mosquitto_client_id(client),
		.address = mosquitto_client_address(client),
	};
}

static void client_drop(struct session_client *client)
{
	X509_free(client->certificate);
}

/* "Not ours" must be one of two wrong things when there is nobody else to ask, and which one is
 * the administrator's choice (other_topics): to defer is to refuse, to allow is to outvote. 2.1
 * has a word for it, but counts only the last plugin's: where dynamic-security was asked before
 * us and deferred, which is how it refuses, that word would let everything in. */
static int not_ours(void)
{
	if (service_settings(door.service)->other_topics != SETTINGS_ALLOW)
		return MOSQ_ERR_PLUGIN_DEFER;
	return door.is_21 ? ANSWER_IGNORE : MOSQ_ERR_SUCCESS;
}

static int on_acl_check(int event, void *data, void *userdata)
{
	struct mosquitto_evt_acl_check *asked = data;
	struct service_question question = {.topic = asked->topic,
					    .payload = asked->payload,
					    .payload_len = asked->payloadlen,
					    .qos = asked->qos,
					    .retain = asked->retain};
	struct session_client client;
	enum access_answer answer;

	(void)event;
	(void)userdata;
	if (!access_concerns(asked->topic))
		return not_ours();
	if (!is_working())
		return MOSQ_ERR_ACL_DENIED;
	if (asked->access == MOSQ_ACL_UNSUBSCRIBE)
		return MOSQ_ERR_SUCCESS;
	question.action = asked->access == MOSQ_ACL_READ    ? ACCESS_RECEIVE
			  : asked->access == MOSQ_ACL_WRITE ? ACCESS_PUBLISH
							    : ACCESS_SUBSCRIBE;
	client_take(asked->client, &client);
	answer = service_access(door.service, &client, &question);
	client_drop(&client);
	return answer == ACCESS_ALLOWED ? MOSQ_ERR_SUCCESS : MOSQ_ERR_ACL_DENIED;
}

/* Success only for who names no other user: a certificate of ours must not lend the rights that
 * other plugins or an acl_file give to some username. */
static int on_basic_auth(int event, void *data, void *userdata)
{
	struct mosquitto_evt_basic_auth *asked = data;
	enum service_admission admission;
	struct session_client client;

	(void)event;
	(void)userdata;
	if (!is_main_thread())
		return door.is_21 ? ANSWER_IGNORE : MOSQ_ERR_PLUGIN_DEFER;
	client_take(asked->client, &client);
	admission = service_admit(door.service, &client);
	client_drop(&client);
	if (admission == SERVICE_REFUSED)
		return MOSQ_ERR_AUTH;
	if (admission == SERVICE_ADMITTED && !asked->username)
		return MOSQ_ERR_SUCCESS;
	/* 2.0 refuses who sends a username once every plugin has deferred; without us, and
	 * without a password file, it would ask nobody and let him in. */
	if (admission != SERVICE_ADMITTED &&
	    service_settings(door.service)->other_clients == SETTINGS_ALLOW)
		return MOSQ_ERR_SUCCESS;
	return door.is_21 ? ANSWER_IGNORE : MOSQ_ERR_PLUGIN_DEFER;
}

static int on_message(int event, void *data, void *userdata)
{
	struct mosquitto_evt_message *message = data;
	struct session_client client;

	(void)event;
	(void)userdata;
	if (!access_concerns(message->topic) || !is_working())
		return MOSQ_ERR_SUCCESS;
	client_take(message->client, &client);
	service_message(door.service, &client, message->topic, message->payload,
			message->payloadlen);
	client_drop(&client);
	/* Nobody may receive it, so letting it pass ends it; to swallow it would tell an MQTT 5
	 * publisher "not authorised" in the PUBACK. */
	return message->qos == 0 ? MOSQ_ERR_ACL_DENIED : MOSQ_ERR_SUCCESS;
}

static int on_control(int event, void *data, void *userdata)
{
	struct mosquitto_evt_control *control = data;
	struct session_client client;

	(void)event;
	(void)userdata;
	if (!is_working())
		return MOSQ_ERR_SUCCESS;
	client_take(control->client, &client);
	service_message(door.service, &client, control->topic, control->payload,
			control->payloadlen);
	client_drop(&client);
	return MOSQ_ERR_SUCCESS;
}

static int on_disconnect(int event, void *data, void *userdata)
{
	const struct mosquitto_evt_disconnect *gone = data;
	struct session_client client;

	(void)event;
	(void)userdata;
	if (!is_main_thread())
		return MOSQ_ERR_SUCCESS;
	client_take(gone->client, &client);
	service_gone(door.service, &client);
	client_drop(&client);
	return MOSQ_ERR_SUCCESS;
}

static int on_tick(int event, void *data, void *userdata)
{
	struct mosquitto_evt_tick *tick = data;
	bool soon = service_tick(door.service);

	(void)event;
	(void)userdata;
	door.has_ticked = true;
	/* The slot that 2.0 calls next_ns is 2.1's next_ms; 2.0 does not look at it. */
	if (door.is_21)
		tick->next_ns = soon ? TICK_SOON_MS : TICK_AGAIN_MS;
	return MOSQ_ERR_SUCCESS;
}

static int on_reload(int event, void *data, void *userdata)
{
	(void)event;
	(void)data;
	(void)userdata;
	/* 2.0: anything else keeps acl_file from being read again. 2.1: anything else ends the
	 * broker. */
	return door.is_21 ? MOSQ_ERR_SUCCESS : MOSQ_ERR_PLUGIN_DEFER;
}

static const struct {
	int event;
	MOSQ_FUNC_generic_callback callback;
	const char *data;
} callbacks[] = {
	{MOSQ_EVT_RELOAD, on_reload, NULL},
	{MOSQ_EVT_ACL_CHECK, on_acl_check, NULL},
	{MOSQ_EVT_BASIC_AUTH, on_basic_auth, NULL},
	{MOSQ_EVT_CONTROL, on_control, TOPIC_CONTROL},
	{MOSQ_EVT_MESSAGE, on_message, NULL},
	{MOSQ_EVT_TICK, on_tick, NULL},
	{MOSQ_EVT_DISCONNECT, on_disconnect, NULL},
	{EVENT_CLIENT_OFFLINE, on_disconnect, NULL},
};
#define CALLBACKS (sizeof(callbacks) / sizeof(*callbacks))

static void unregister_all(void)
{
	for (size_t i = 0; i < CALLBACKS; i++)
		if (door.registered & (1u << i))
			mosquitto_callback_unregister(door.id, callbacks[i].event,
						      callbacks[i].callback, callbacks[i].data);
	door.registered = 0;
}

static bool register_all(void)
{
	for (size_t i = 0; i < CALLBACKS; i++) {
		int code = mosquitto_callback_register(door.id, callbacks[i].event,
						       callbacks[i].callback, callbacks[i].data,
						       NULL);

		if (code == MOSQ_ERR_SUCCESS) {
			door.registered |= 1u << i;
		} else if (callbacks[i].event != EVENT_CLIENT_OFFLINE) {
			mosquitto_log_printf(MOSQ_LOG_ERR,
					     "mosquitto-ota: the broker refuses callback %d "
					     "(%d); the plugin is not loaded",
					     callbacks[i].event, code);
			return false;
		}
	}
	return true;
}

/* ---- the three exported functions ---- */

int mosquitto_plugin_version(int supported_version_count, const int *supported_versions)
{
	for (int i = 0; i < supported_version_count; i++)
		if (supported_versions[i] == MOSQ_PLUGIN_VERSION)
			return MOSQ_PLUGIN_VERSION;
	return -1;
}

static void say_what_is(void)
{
	const struct settings *settings = service_settings(door.service);

	mosquitto_log_printf(MOSQ_LOG_NOTICE,
			     "mosquitto-ota %s: ready in Mosquitto %s, store '%s', %u ms to "
			     "load",
			     OTA_VERSION, door.is_21 ? "2.1" : "2.0", settings->store_dir,
			     (unsigned)door.service->start_took_ms);
	mosquitto_log_printf(
		MOSQ_LOG_NOTICE,
		settings->other_topics == SETTINGS_ALLOW
			? "mosquitto-ota: topics outside ota/ are allowed to "
			  "everybody (plugin_opt_other_topics allow)"
			: "mosquitto-ota: topics outside ota/ are left to acl_file "
			  "and other plugins; where there are none they are "
			  "refused (plugin_opt_other_topics defer)");
}

static int start(struct mosquitto_opt *options, int option_count)
{
	struct settings_pair pairs[OPTIONS_MAX];
	struct ota_why why = {0};
	enum ota_err err;

	if (option_count > OPTIONS_MAX)
		option_count = OPTIONS_MAX;
	for (int i = 0; i < option_count; i++)
		pairs[i] = (struct settings_pair){options[i].key, options[i].value};
	err = service_new(&broker, pairs, (size_t)option_count, door.is_21, &door.service,
			  &why);
	if (err) {
		mosquitto_log_printf(MOSQ_LOG_ERR, "mosquitto-ota: cannot start: %s (%s)",
				     why.text, ota_err_name(err));
		return MOSQ_ERR_UNKNOWN;
	}
	if (!register_all()) {
		unregister_all();
		service_free(door.service);
		door.service = NULL;
		return MOSQ_ERR_UNKNOWN;
	}
	say_what_is();
	return MOSQ_ERR_SUCCESS;
}

int mosquitto_plugin_init(mosquitto_plugin_id_t *identifier, void **userdata,
			  struct mosquitto_opt *options, int option_count)
{
	int code;

	if (door.service) {
		mosquitto_log_printf(MOSQ_LOG_ERR,
				     "mosquitto-ota: is loaded already; name it once, outside "
				     "any listener, and set per_listener_settings false");
		return MOSQ_ERR_ALREADY_EXISTS;
	}
	door.id = identifier;
	door.main_thread = pthread_self();
	door.is_21 = mosquitto_plugin_set_info != NULL;
	if (door.is_21)
		mosquitto_plugin_set_info(identifier, "mosquitto-ota", OTA_VERSION);
	/* Chunks come and go by the thousand: without these glibc maps and trims each time. */
	mallopt(M_MMAP_THRESHOLD, 4 << 20);
	mallopt(M_TRIM_THRESHOLD, 64 << 20);
	mallopt(M_TOP_PAD, 1 << 20);
	door.has_ticked = door.told_no_tick = false;
	door.started_ms = service_mono_ms();
	wake_install();
	code = start(options, option_count);
	if (code != MOSQ_ERR_SUCCESS) {
		wake_remove();
		return code;
	}
	*userdata = door.service;
	return MOSQ_ERR_SUCCESS;
}

int mosquitto_plugin_cleanup(void *userdata, struct mosquitto_opt *options, int option_count)
{
	(void)userdata;
	(void)options;
	(void)option_count;
	unregister_all();
	service_free(door.service);
	door.service = NULL;
	wake_remove();
	return MOSQ_ERR_SUCCESS;
}
