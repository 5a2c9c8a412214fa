#include "slot_serve.h"

#include "own.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

struct serve_call {
	const struct slot_service *service;
	const struct slot_request *request;
	const struct slot_watch *watch;
	struct slot_answer *answer;
	uint8_t *room; /* for the answer's bytes */
};

#define SLOTS(call, verb, ...)                                                                 \
	(call)->service->slots->verb((call)->service->slots->ctx, __VA_ARGS__)

static enum ota_err serve_hello(const struct serve_call *call, struct ota_why *why)
{
	const struct slots *slots = call->service->slots;

	if (call->request->size != SLOT_WIRE_VERSION)
		return ota_fail(why, OTA_BAD_REQUEST,
				"ota-agent speaks version %llu of the protocol, ota-slot %u: "
				"install them together",
				(unsigned long long)call->request->size, SLOT_WIRE_VERSION);
	call->answer->first = slots->running(slots->ctx);
	call->answer->second = call->service->part_count;
	return OTA_OK;
}

static enum ota_err serve_capacity(const struct serve_call *call, struct ota_why *why)
{
	return SLOTS(call, capacity, call->request->part, &call->answer->first, why);
}

static enum ota_err serve_begin(const struct serve_call *call, struct ota_why *why)
{
	return SLOTS(call, begin, call->request->part, call->request->size, why);
}

static enum ota_err serve_write(const struct serve_call *call, struct ota_why *why)
{
	const struct slot_request *request = call->request;

	return SLOTS(call, write, request->part, request->offset, request->bytes, request->len,
		     why);
}

static enum ota_err serve_read(const struct serve_call *call, struct ota_why *why)
{
	const struct slot_request *request = call->request;
	enum ota_err err = SLOTS(call, read, request->which, request->part, request->offset,
				 call->room, (size_t)request->size, why);

	call->answer->bytes = call->room;
	call->answer->len = err ? 0 : (size_t)request->size;
	return err;
}

static enum ota_err serve_finish(const struct serve_call *call, struct ota_why *why)
{
	return SLOTS(call, finish, call->request->part, why);
}

static enum ota_err serve_verify(const struct serve_call *call, struct ota_why *why)
{
	const struct slot_request *request = call->request;

	return SLOTS(call, verify, request->which, request->part, request->size,
		     &request->digest, call->watch, why);
}

static enum ota_err serve_digest(const struct serve_call *call, struct ota_why *why)
{
	return SLOTS(call, digest, call->request->which, call->request->part,
		     &call->answer->digest, &call->answer->first, call->watch, why);
}

static enum ota_err serve_arm(const struct serve_call *call, struct ota_why *why)
{
	return SLOTS(call, arm, call->request->tries, why);
}

static enum ota_err serve_state(const struct serve_call *call, struct ota_why *why)
{
	struct boot_state state;
	enum ota_err err = SLOTS(call, state, &state, why);

	if (err)
		return err;
	bootstate_to_text(&state, (char *)call->room);
	call->answer->bytes = call->room;
	call->answer->len = strlen((const char *)call->room);
	return OTA_OK;
}

static enum ota_err serve_confirm(const struct serve_call *call, struct ota_why *why)
{
	return SLOTS(call, confirm, why);
}

static enum ota_err serve_revert(const struct serve_call *call, struct ota_why *why)
{
	return SLOTS(call, revert, why);
}

static enum ota_err serve_settle(const struct serve_call *call, struct ota_why *why)
{
	return SLOTS(call, settle, why);
}

/* A restart changes what runs only after an arm or a revert; the agent has no other reason to
 * ask for one. */
static enum ota_err serve_restart(const struct serve_call *call, struct ota_why *why)
{
	const struct slot_service *service = call->service;
	enum boot_slot running = service->slots->running(service->slots->ctx);
	struct boot_state state;
	enum ota_err err = SLOTS(call, state, &state, why);

	if (err)
		return err;
	if (state.phase == BOOT_SETTLED ||
	    (state.phase == BOOT_RETURNED && state.active == running))
		return ota_fail(why, OTA_FORBIDDEN,
				"the boot state is '%s' and slot %s runs: there is nothing to "
				"restart for",
				boot_phase_names[state.phase], boot_slot_names[running]);
	return service->restart(service->ctx, why);
}

static const struct {
	enum ota_err (*serve)(const struct serve_call *call, struct ota_why *why);
	bool noted;
} rows[SLOT_VERB_COUNT] = {
	[SLOT_VERB_HELLO] = {serve_hello, false},
	[SLOT_VERB_CAPACITY] = {serve_capacity, false},
	[SLOT_VERB_BEGIN] = {serve_begin, true},
	[SLOT_VERB_WRITE] = {serve_write, false},
	[SLOT_VERB_READ] = {serve_read, false},
	[SLOT_VERB_FINISH] = {serve_finish, false},
	[SLOT_VERB_VERIFY] = {serve_verify, false},
	[SLOT_VERB_DIGEST] = {serve_digest, false},
	[SLOT_VERB_ARM] = {serve_arm, true},
	[SLOT_VERB_STATE] = {serve_state, false},
	[SLOT_VERB_CONFIRM] = {serve_confirm, true},
	[SLOT_VERB_REVERT] = {serve_revert, true},
	[SLOT_VERB_SETTLE] = {serve_settle, false},
	[SLOT_VERB_RESTART] = {serve_restart, true},
};

size_t slot_serve_one(const struct slot_service *service, const uint8_t *in, size_t in_len,
		      const struct slot_watch *watch, uint8_t *to)
{
	struct slot_answer answer = {.kind = SLOT_ANSWER_DONE};
	struct slot_request request;
	const struct serve_call call = {service, &request, watch, &answer,
					to + SLOT_WIRE_HEADER};
	const char *verb = "?";
	bool noted = false;
	enum ota_err err = slot_request_read(in, in_len, &request, &answer.why);

	if (!err && !rows[request.verb].serve)
		err = ota_fail(&answer.why, OTA_BAD_REQUEST, "nothing is read that could %s",
			       slot_verb_name(request.verb));
	if (!err) {
		verb = slot_verb_name(request.verb);
		noted = rows[request.verb].noted;
		err = rows[request.verb].serve(&call, &answer.why);
	}
	if (!err)
		answer.why.err = OTA_OK;
	if (service->note && (err || noted))
		service->note(service->ctx, verb, &answer.why);
	return slot_answer_write(&answer, to);
}

struct watched {
	int peer;
	uint64_t told;
	bool broken; /* the peer said something else than go or stop */
	uint8_t message[SLOT_WIRE_HEADER];
};

/* One message, 0 at the end. */
static ssize_t receive(int peer, uint8_t *to, size_t room)
{
	ssize_t len;

	do
		len = recv(peer, to, room, 0);
	while (len < 0 && errno == EINTR);
	return len;
}

/* Says how far a long read is, and hears whether it is to go on. */
static bool still_wanted(void *arg, uint64_t done, uint64_t total)
{
	struct watched *watched = arg;
	const struct slot_answer answer = {
		.kind = SLOT_ANSWER_PROGRESS, .first = done, .second = total};
	struct slot_request request;

	if (done < total && done - watched->told < SLOT_WIRE_PROGRESS)
		return true;
	watched->told = done;
	size_t len = slot_answer_write(&answer, watched->message);
	if (send(watched->peer, watched->message, len, MSG_NOSIGNAL) < 0)
		return false;
	ssize_t got = receive(watched->peer, watched->message, sizeof(watched->message));
	if (got <= 0)
		return false;
	watched->broken =
		slot_request_read(watched->message, (size_t)got, &request, NULL) != OTA_OK ||
		(request.verb != SLOT_VERB_GO && request.verb != SLOT_VERB_STOP);
	return !watched->broken && request.verb == SLOT_VERB_GO;
}

enum ota_err slot_serve(const struct slot_service *service, int peer, struct ota_why *why)
{
	AUTO_FREE uint8_t *in = malloc(SLOT_WIRE_MAX);
	AUTO_FREE uint8_t *out = malloc(SLOT_WIRE_MAX);

	if (!in || !out)
		return ota_fail(why, OTA_OUT_OF_MEMORY, "ota-slot");
	for (;;) {
		struct watched watched = {.peer = peer};
		const struct slot_watch watch = {still_wanted, &watched};
		ssize_t len = receive(peer, in, SLOT_WIRE_MAX);

		if (len == 0 || (len < 0 && errno == ECONNRESET))
			return OTA_OK;
		if (len < 0)
			return ota_fail_errno(why, OTA_IO_ERROR, errno, "the agent's request");
		size_t out_len = slot_serve_one(service, in, (size_t)len, &watch, out);
		if (watched.broken)
			return ota_fail(why, OTA_BAD_REQUEST,
					"the agent interrupts a read with another request");
		if (send(peer, out, out_len, MSG_NOSIGNAL) < 0)
			return errno == EPIPE || errno == ECONNRESET
				       ? OTA_OK
				       : ota_fail_errno(why, OTA_IO_ERROR, errno, "the answer");
	}
}

void slot_serve_refuse(int peer, const struct ota_why *reason)
{
	const struct slot_answer answer = {.kind = SLOT_ANSWER_DONE, .why = *reason};
	AUTO_FREE uint8_t *message = malloc(SLOT_WIRE_MAX);

	if (!message || receive(peer, message, SLOT_WIRE_MAX) <= 0)
		return;
	size_t len = slot_answer_write(&answer, message);
	if (send(peer, message, len, MSG_NOSIGNAL) < 0) {
		/* the agent went away */
	}
}
