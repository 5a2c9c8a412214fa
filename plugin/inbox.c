/* The inbox: what devices say, and the frames of uploads. */
#include "service.h"

#include "own.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* A device may bring at once all that it kept while away (agent: at most 256 reports). */
#define REPORTS_BURST 300u
/* Chunk requests are paced by the window; this stops only nonsense. */
#define GETS_PER_S    4000u
#define GETS_BURST    8000u
#define UPLOADS_PER_S 20000u

static void blame(struct service *service, struct session *session, const char *what,
		  const struct ota_why *why, enum ota_err err)
{
	struct service_deed deed = {.who = session->identity.name,
				    .from = session->address,
				    .what = what,
				    .object = session->identity.name,
				    .why = why->text,
				    .decision = err};

	service_blame(service, session, &deed);
}

static void malformed(struct service *service, struct session *session, const char *what,
		      const struct ota_why *why, enum ota_err err)
{
	service->figures.malformed++;
	blame(service, session, what, why, err);
}

static bool may_speak(struct service *service, struct session *session, enum topic_kind kind)
{
	const struct settings *settings = &service->settings;
	uint64_t now_ms = service_mono_ms();
	bool ok;

	if (kind == TOPIC_GET)
		ok = guard_take(&session->gets, now_ms, GETS_PER_S, GETS_BURST, 1);
	else if (kind == TOPIC_REPORT)
		ok = guard_take(&session->reports, now_ms, settings->messages_per_s,
				settings->messages_burst > REPORTS_BURST
					? settings->messages_burst
					: REPORTS_BURST,
				1);
	else
		ok = guard_take(&session->messages, now_ms, settings->messages_per_s,
				settings->messages_burst, 1);
	if (!ok) {
		struct ota_why why = {.text = "too many messages; this one was dropped"};

		service->figures.rate_limited++;
		blame(service, session, "message", &why, OTA_RATE_LIMITED);
	}
	return ok;
}

/* What a device says is shown to people: it is stored without what hides or reorders text. */
static void make_inert(char *text, bool lines)
{
	size_t size = text ? strlen(text) + 1 : 0;
	AUTO_FREE char *copy = text ? strdup(text) : NULL;

	if (copy)
		text_sanitize(text, size, copy, size - 1, lines);
	else if (text)
		*text = 0;
}

static void take_hello(struct service *service, struct session *session, const void *payload,
		       size_t len)
{
	struct hello hello;
	struct ota_why why = {0};
	enum ota_err err = hello_read(payload, len, &hello, &why);

	if (err) {
		malformed(service, session, "hello", &why, err);
		return;
	}
	make_inert(hello.agent, false);
	make_inert(hello.reason, false);
	make_inert(hello.window, false);
	err = engine_hello(service->engine, session->identity.name, &hello, &why);
	if (err)
		blame(service, session, "hello", &why, err);
	json_done(&hello_shape, &hello);
}

static void take_report(struct service *service, struct session *session, const void *payload,
			size_t len)
{
	struct report report;
	struct ota_why why = {0};
	enum ota_err err = report_read(payload, len, &report, &why);

	if (err) {
		malformed(service, session, "report", &why, err);
		return;
	}
	make_inert(report.reason, false);
	make_inert(report.error.message, false);
	make_inert(report.error.log, true);
	service->figures.reports++;
	/* Who is past the download has received all that was on its way. */
	if (report.state != UPDATE_DEFERRED && report.state != UPDATE_DOWNLOADING)
		delivery_forget(&service->delivery, session->identity.name);
	err = engine_report(service->engine, session->identity.name, &report, &why);
	if (err)
		blame(service, session, "report", &why, err);
	json_done(&report_shape, &report);
}

static void take_consent(struct service *service, struct session *session, const void *payload,
			 size_t len)
{
	struct consent consent;
	struct ota_why why = {0};
	enum ota_err err = consent_read(payload, len, &consent, &why);

	if (err) {
		malformed(service, session, "consent", &why, err);
		return;
	}
	make_inert(consent.reason, false);
	make_inert(consent.window, false);
	err = engine_consent(service->engine, session->identity.name, &consent, &why);
	if (err)
		blame(service, session, "consent", &why, err);
	json_done(&consent_shape, &consent);
}

static void take_get(struct service *service, struct session *session, const void *payload,
		     size_t len)
{
	struct get get;
	struct ota_why why = {0};
	enum ota_err err = get_read(payload, len, &get, &why);

	if (err)
		malformed(service, session, "get", &why, err);
	else
		transfer_get(service, session, &get);
}

static const struct {
	enum topic_kind kind;
	void (*take)(struct service *service, struct session *session, const void *payload,
		     size_t len);
} doors[] = {
	{TOPIC_HELLO, take_hello},
	{TOPIC_REPORT, take_report},
	{TOPIC_CONSENT, take_consent},
	{TOPIC_GET, take_get},
};

void inbox_device(struct service *service, struct session *session, const struct topic *topic,
		  const void *payload, size_t len)
{
	for (size_t i = 0; i < sizeof(doors) / sizeof(*doors); i++)
		if (doors[i].kind == topic->kind && may_speak(service, session, topic->kind))
			doors[i].take(service, session, payload, len);
}

void inbox_upload(struct service *service, struct session *session, const void *payload,
		  size_t len)
{
	struct upload_frame frame;
	struct ota_why why = {0};
	struct upload_state state = {.manager = session->identity.name, .why = &why};
	bool repeated;
	enum ota_err err;

	if (!guard_take(&session->gets, service_mono_ms(), UPLOADS_PER_S, UPLOADS_PER_S, 1))
		return;
	err = upload_read(payload, len, &frame, &why);
	if (err) {
		malformed(service, session, "upload", &why, err);
		return;
	}
	err = upload_frame(service->uploads, session->identity.name, &frame, service_mono_ms(),
			   &state.offset, &repeated, &why);
	if (err || repeated) {
		state.id = frame.upload;
		state.err = err;
		outbox_upload_news(service, &state);
	}
}
