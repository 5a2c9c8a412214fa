/* The gate: who may connect, and what the table of access.c must know of fleets and people. */
#include "service.h"

#include "own.h"

#include <stdio.h>
#include <string.h>

#define CONNECT_WINDOW_MS 60000u

static bool device_is_welcome(const struct service *service, const char *name)
{
	const struct device *device = engine_device(service->engine, name);

	return !device ||
	       (device->status != DEVICE_DENIED && device->status != DEVICE_DECOMMISSIONED);
}

static bool is_welcome(void *ctx, const struct identity *identity)
{
	const struct service *service = ctx;

	switch (identity->role) {
	case IDENTITY_DEVICE:
		return device_is_welcome(service, identity->name);
	case IDENTITY_MANAGER:
		return manager_is_known(&service->managers, identity->name);
	case IDENTITY_CONSOLE:
		/* It speaks for holders of tokens, who are checked at each command. */
		return !manager_is_revoked(&service->managers, identity->name);
	case IDENTITY_STRANGER:
	case IDENTITY_ROLE_COUNT:
		break;
	}
	return false;
}

static bool is_member(void *ctx, const char *device, const char *product, const char *group)
{
	const struct service *service = ctx;

	return engine_may_subscribe(service->engine, device, product, group[0] ? group : NULL);
}

/* Which release this delivery is of: the fan-out is found again by its first bytes. */
static const struct service_fan *fan_of(const struct service *service, const char *product)
{
	for (uint32_t i = 0; i < SERVICE_FANS_MAX; i++) {
		const struct service_fan *fan = &service->fans[i];

		if (fan->number && fan->len == service->delivered_len &&
		    strcmp(fan->product, product) == 0 &&
		    memcmp(fan->prefix, service->delivered, fan->prefix_len) == 0)
			return fan;
	}
	return NULL;
}

static bool receives(void *ctx, const char *device, const struct topic *topic)
{
	struct service *service = ctx;
	const struct service_fan *fan =
		service->delivered ? fan_of(service, topic->name) : NULL;

	return fan && engine_may_deliver(service->engine, device, fan->number);
}

static bool is_viewer(void *ctx, const char *manager, const char *product)
{
	const struct service *service = ctx;

	return manager_role(&service->managers, manager, product) >= MANAGER_VIEWER;
}

void gate_facts(struct service *service, struct access_facts *ret_facts)
{
	*ret_facts = (struct access_facts){.ctx = service,
					   .is_welcome = is_welcome,
					   .is_member = is_member,
					   .receives = receives,
					   .is_viewer = is_viewer};
}

/* Each new window looks at the two that were not looked at for longest: a large fleet that
 * comes back must not make anybody walk over all of them. */
static void connects_trim(struct service *service, uint64_t now_ms)
{
	for (unsigned i = 0; i < 2 && service->connects; i++) {
		struct service_connects *oldest = service->connects;

		HASH_DEL(service->connects, oldest);
		if (now_ms - oldest->window.start_ms >= CONNECT_WINDOW_MS)
			free(oldest);
		else
			HASH_ADD_STR(service->connects, name, oldest);
	}
}

static bool connect_is_paced(struct service *service, const struct identity *identity)
{
	struct service_connects *connects;
	uint64_t now_ms = service_mono_ms();
	char key[NAME_SIZE + 1];

	/* Managers' tools connect once per invocation. */
	if (identity->role != IDENTITY_DEVICE)
		return true;
	snprintf(key, sizeof(key), "d%s", identity->name);
	HASH_FIND_STR(service->connects, key, connects);
	if (!connects) {
		connects_trim(service, now_ms);
		connects = calloc(1, sizeof(*connects));
		if (!connects)
			return true;
		memcpy(connects->name, key, sizeof(key));
		HASH_ADD_STR(service->connects, name, connects);
	}
	return guard_count(&connects->window, now_ms, CONNECT_WINDOW_MS,
			   (uint32_t)service->settings.connects_per_min);
}

static void refuse(struct service *service, const struct session_client *client,
		   const char *name, enum ota_err err, const char *sentence)
{
	struct service_deed deed = {.who = name[0] ? name : client->client_id,
				    .from = client->address,
				    .what = "connect",
				    .object = client->client_id,
				    .why = sentence,
				    .decision = err};

	service->figures.forbidden++;
	service_blame(service, NULL, &deed);
}

static enum service_admission admit(struct service *service,
				    const struct session_client *client)
{
	struct session *known;
	struct identity identity;
	struct ota_why why = {0};
	enum ota_err err;

	HASH_FIND_PTR(service->sessions.sessions, &client->client, known);
	if (known && !known->gone && known->certificate == client->certificate)
		return SERVICE_ADMITTED; /* asked again, after SIGHUP */
	err = identity_read(client->certificate, &identity, &why);
	if (err) {
		refuse(service, client, "", err, why.text);
		return SERVICE_REFUSED;
	}
	if (identity.role == IDENTITY_STRANGER)
		return SERVICE_NOT_OURS;
	if (!identity_fits(&identity, client->client_id)) {
		refuse(service, client, identity.name, OTA_UNAUTHORIZED,
		       "the client id does not belong to the certificate");
		return SERVICE_REFUSED;
	}
	if (!is_welcome(service, &identity)) {
		refuse(service, client, identity.name, OTA_FORBIDDEN,
		       "denied, revoked or unknown");
		return SERVICE_REFUSED;
	}
	if (!connect_is_paced(service, &identity)) {
		service->figures.connects_refused++;
		refuse(service, client, identity.name, OTA_RATE_LIMITED, "connects too often");
		return SERVICE_REFUSED;
	}
	return SERVICE_ADMITTED;
}

enum service_admission service_admit(struct service *service,
				     const struct session_client *client)
{
	struct metric_span span = metric_begin(true);
	enum service_admission admission = admit(service, client);

	service->asked_to_admit = true;
	metric_end(&service->metrics[METRIC_CONNECT], &span);
	return admission;
}

/* Said once, when the first of ours is there: only then it can be known. */
static void tell_identity(struct service *service)
{
	service->told_identity = true;
	service_log(
		service, BROKER_INFO,
		service->asked_to_admit
			? "the plugin compares certificate names with client ids itself, as "
			  "use_identity_as_username is not set"
			: "use_identity_as_username is set: Mosquitto takes names from "
			  "certificates; set use_username_as_clientid true with it, else a "
			  "device can throw another off");
}

static const char *const action_names[ACCESS_ACTION_COUNT] = {
	[ACCESS_PUBLISH] = "publish",
	[ACCESS_SUBSCRIBE] = "subscribe",
	[ACCESS_RECEIVE] = "receive",
};

static void deny(struct service *service, const struct session_client *client,
		 struct session *session, const struct service_question *question,
		 const char *reason)
{
	struct service_deed deed = {
		.who = session ? session->identity.name : client->client_id,
		.from = client->address,
		.what = action_names[question->action],
		.object = question->topic,
		.why = reason,
		.decision = OTA_FORBIDDEN,
	};

	service->figures.forbidden++;
	/* A delivery that is not for somebody is no mistake of his: wildcards do that. */
	if (question->action != ACCESS_RECEIVE)
		service_blame(service, session, &deed);
}

enum access_answer service_access(struct service *service, const struct session_client *client,
				  const struct service_question *question)
{
	struct access_question asked = {.action = question->action,
					.topic = question->topic,
					.payload_len = question->payload_len,
					.qos = question->qos,
					.retain = question->retain};
	struct access_facts facts;
	struct session *session = NULL;
	struct ota_why why = {0};
	enum access_answer answer;
	const char *reason = NULL;
	/* A delivery costs little and there are many: the wall clock must do. */
	struct metric_span span = metric_begin(question->action != ACCESS_RECEIVE);
	bool is_new;

	if (session_of(&service->sessions, client, service_mono_ms(), &session, &is_new, &why))
		reason = why.text;
	if (is_new && !service->told_identity)
		tell_identity(service);
	if (session) {
		asked.identity = &session->identity;
		if (is_new && session->identity.role == IDENTITY_DEVICE &&
		    device_is_welcome(service, session->identity.name))
			engine_connected(service->engine, session->identity.name);
	}
	gate_facts(service, &facts);
	service->delivered = question->payload;
	service->delivered_len = question->payload_len;
	answer = access_decide(&facts, &asked, reason ? NULL : &reason);
	service->delivered = NULL;
	if (answer == ACCESS_DENIED)
		deny(service, client, session, question, reason);
	metric_end(&service->metrics[METRIC_ACL], &span);
	return answer;
}

void service_gone(struct service *service, const struct session_client *client)
{
	struct metric_span span = metric_begin(true);
	struct session *session = session_end(&service->sessions, client, service_mono_ms());

	if (session && session->identity.role == IDENTITY_DEVICE) {
		delivery_forget(&service->delivery, session->identity.name);
		engine_disconnected(service->engine, session->identity.name);
	}
	metric_end(&service->metrics[METRIC_DISCONNECT], &span);
}
