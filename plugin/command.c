#include "command.h"

#include "own.h"
#include "show.h"

#include <stdio.h>
#include <string.h>

/* Rows: a command that changes needs room for what follows it. */
#define QUEUE_ROOM_LEAST 4096u

const struct command_row *command_find(const char *verb)
{
	for (const struct command_row *row = command_rows; row->verb; row++)
		if (strcmp(row->verb, verb) == 0)
			return row;
	return NULL;
}

/* ---- rights ---- */

const char *command_manager(const struct command_call *call)
{
	return call->token ? call->token->name : call->identity.name;
}

bool command_may(const struct command_call *call, const char *product, enum manager_role role)
{
	if (call->token)
		return call->token->role >= (uint32_t)role &&
		       (strcmp(call->token->product, "*") == 0 ||
			strcmp(call->token->product, product) == 0);
	return manager_role(&call->service->managers, call->identity.name, product) >= role;
}

enum ota_err command_must(const struct command_call *call, const char *product,
			  enum manager_role role, struct ota_why *why)
{
	if (command_may(call, product, role))
		return OTA_OK;
	return ota_fail(why, OTA_FORBIDDEN, "'%s' needs the role %s of %s", call->row->verb,
			manager_role_names[role],
			strcmp(product, "*") == 0 ? "all products" : product);
}

static bool is_known(const struct command_call *call)
{
	return call->token || manager_is_known(&call->service->managers, call->identity.name);
}

static enum ota_err authorise_device(struct command_call *call, struct ota_why *why)
{
	const struct device *device = engine_device(call->service->engine, call->args.device);

	/* Whoever may see nothing learns nothing about which ids exist. */
	if (!device)
		return ota_fail(why, OTA_NOT_FOUND, "no device '%s'", call->args.device);
	text_copy(call->product, sizeof(call->product), device->product->name);
	if (!command_may(call, device->product->name, MANAGER_VIEWER))
		return ota_fail(why, OTA_NOT_FOUND, "no device '%s'", call->args.device);
	return command_must(call, device->product->name, call->row->role, why);
}

static enum ota_err authorise(struct command_call *call, struct ota_why *why)
{
	const struct command_row *row = call->row;

	if (!is_known(call))
		return ota_fail(why, OTA_FORBIDDEN, "'%s' has no role", call->who);
	switch (row->scope) {
	case SCOPE_ANY:
	case SCOPE_HANDLER:
		return OTA_OK;
	case SCOPE_ALL:
		return command_must(call, "*", row->role, why);
	case SCOPE_MAYBE:
		if (!call->args.product[0])
			return OTA_OK;
		return command_must(call, call->args.product, row->role, why);
	case SCOPE_PRODUCT:
		return command_must(call, call->args.product, row->role, why);
	case SCOPE_DEVICE:
		return authorise_device(call, why);
	}
	return OTA_INTERNAL;
}

/* ---- replies ---- */

static void call_free(struct command_call *call)
{
	json_done(&command_shape, &call->command);
	if (call->row)
		json_done(call->row->args, &call->args);
	text_done(&call->result);
	if (call->more)
		call->more_free(call->more);
	free(call);
}

static void reply(struct command_call *call, enum ota_err err, const struct ota_why *why)
{
	AUTO(text_done) struct text json = {0};

	show_open(&json, NULL);
	show_number(&json, "v", 1);
	show_text(&json, "id", call->command.id);
	show_bool(&json, "ok", !err);
	if (err) {
		show_open(&json, "error");
		show_text(&json, "name", ota_err_name(err));
		show_number(&json, "number", err);
		show_text(&json, "message", why ? why->text : "");
		show_close(&json, '}');
	} else {
		text_put(&json, ",\"result\":");
		text_add(&json, call->result.len ? call->result.data : "{}",
			 call->result.len ? call->result.len : 2);
		json.failed = json.failed || call->result.failed;
	}
	show_close(&json, '}');
	outbox_json(call->service, TOPIC_REPLY, call->identity.name, &json, 1);
}

/* ---- audit and idempotency ---- */

static void describe(const struct command_call *call, struct service_deed *deed)
{
	*deed = (struct service_deed){
		.who = call->who,
		.from = call->from,
		.what = call->row ? call->row->verb : call->command.verb,
		.product = call->product[0] ? call->product : call->args.product,
		.object = call->object,
	};
}

static void refuse(struct command_call *call, enum ota_err err, const struct ota_why *why)
{
	struct service_deed deed;

	describe(call, &deed);
	deed.decision = err;
	deed.why = why->text;
	service_audit(call->service, &deed);
	if (err == OTA_FORBIDDEN || err == OTA_UNAUTHORIZED)
		call->service->figures.forbidden++;
	reply(call, err, why);
}

static enum ota_err fingerprint(struct command_call *call, struct ota_why *why)
{
	AUTO(text_done) struct text text = {0};

	text_printf(&text, "%s\n%s", call->command.verb, call->command.args);
	if (text.failed)
		return ota_fail(why, OTA_OUT_OF_MEMORY, "no memory for a command");
	return digest_of(text.data, text.len, &call->fingerprint, why);
}

/* The stored form is the fingerprint in hex, a space, and the result. */
static enum ota_err keep_answer(struct command_call *call, struct ota_why *why)
{
	AUTO(text_done) struct text text = {0};
	char hex[TEXT_HEX32_SIZE];
	struct store_row row = {
		.kind = STORE_ANSWER,
		.answer = {.key = call->command.key, .time_ms = service_now_ms()}};
	enum ota_err err;

	text_from_digest(hex, call->fingerprint.bytes);
	text_printf(&text, "%s ", hex);
	text_add(&text, call->result.len ? call->result.data : "{}",
		 call->result.len ? call->result.len : 2);
	if (text.failed)
		return ota_fail(why, OTA_OUT_OF_MEMORY, "no memory for an answer");
	row.answer.reply = text.data;
	text_copy(row.answer.manager, sizeof(row.answer.manager), command_manager(call));
	err = answer_take(call->service->answers, &row.answer, why);
	return err ? err : command_write(call, &row, 1, why);
}

/* True when the key was used: then the reply has been made. */
static bool answer_again(struct command_call *call)
{
	const char *stored;
	char hex[TEXT_HEX32_SIZE];
	struct ota_why why = {0};

	stored = call->command.key[0] ? answer_find(call->service->answers,
						    command_manager(call), call->command.key)
				      : NULL;
	if (!stored)
		return false;
	text_from_digest(hex, call->fingerprint.bytes);
	if (strncmp(stored, hex, TEXT_HEX32_SIZE - 1) != 0) {
		reply(call,
		      ota_fail(&why, OTA_CONFLICT,
			       "the key was used for another command within the last day"),
		      &why);
		return true;
	}
	text_put(&call->result, stored + TEXT_HEX32_SIZE);
	reply(call, OTA_OK, NULL);
	return true;
}

/* ---- waiting for the store ---- */

void command_wait(struct command_call *call)
{
	struct service *service = call->service;

	call->next = NULL;
	*service->last_call = call;
	service->last_call = &call->next;
}

void command_take_out(struct service *service, struct command_call *call)
{
	for (struct command_call **place = &service->first_call; *place;
	     place = &(*place)->next)
		if (*place == call) {
			*place = call->next;
			if (!*place)
				service->last_call = place;
			return;
		}
}

enum ota_err command_write(struct command_call *call, const struct store_row *rows,
			   size_t count, struct ota_why *why)
{
	struct store *store = call->service->store;
	uint64_t ticket;
	enum ota_err err = store->write(store->ctx, rows, count, &ticket, why);

	if (err)
		return err;
	if (!call->first_ticket)
		call->first_ticket = ticket;
	call->ticket = ticket;
	return OTA_OK;
}

static void answer_changed(struct command_call *call)
{
	reply(call, call->failed ? call->failure.err : OTA_OK, &call->failure);
	call_free(call);
}

static void succeed(struct command_call *call)
{
	struct service_deed deed;
	struct ota_why why = {0};
	uint64_t ticket;

	if (!call->row->changes || call->args.dry_run) {
		reply(call, OTA_OK, NULL);
		call_free(call);
		return;
	}
	/* It has happened; if the queue is full now, only the key or the row is lost. */
	if (call->command.key[0] && keep_answer(call, &why))
		service_log(call->service, BROKER_WARNING, "an answer is not kept: %s",
			    why.text);
	describe(call, &deed);
	ticket = service_audit(call->service, &deed);
	if (ticket > call->ticket)
		call->ticket = ticket;
	if (call->ticket <= call->service->saved_ticket)
		answer_changed(call);
	else
		command_wait(call);
}

bool command_has_room(const struct command_call *call)
{
	const struct store *store = call->service->store;

	return !call->row->changes || store->room(store->ctx) >= QUEUE_ROOM_LEAST;
}

void command_note_tickets(struct command_call *call, uint64_t before)
{
	uint64_t now = engine_ticket(call->service->engine);

	if (now == before)
		return;
	if (!call->first_ticket || before + 1 < call->first_ticket)
		call->first_ticket = before + 1;
	if (now > call->ticket)
		call->ticket = now;
}

void command_finish(struct command_call *call, enum ota_err err, const struct ota_why *why)
{
	if (call->service->closing) {
		call_free(call);
	} else if (err) {
		refuse(call, err, why);
		call_free(call);
	} else {
		succeed(call);
	}
}

void command_saved(struct service *service, uint64_t ticket, enum ota_err err,
		   const struct ota_why *why)
{
	struct command_call *call, *next;

	service->saved_ticket = ticket;
	for (call = service->first_call; call; call = next) {
		next = call->next;
		if (call->question)
			continue;
		if (err && ticket >= call->first_ticket && ticket <= call->ticket &&
		    call->first_ticket) {
			call->failed = true;
			call->failure = *why;
		}
		if (call->step || ticket < call->ticket)
			continue;
		command_take_out(service, call);
		answer_changed(call);
	}
}

enum ota_err command_ask(struct command_call *call, const struct store_query *query,
			 void (*answered)(struct command_call *call,
					  const struct store_page *page),
			 struct ota_why *why)
{
	struct store *store = call->service->store;
	enum ota_err err = store->ask(store->ctx, query, &call->question, why);

	if (err)
		return err;
	call->answered = answered;
	call->later = true;
	command_wait(call);
	return OTA_OK;
}

void command_answered(struct service *service, uint64_t ticket, const struct store_page *page,
		      enum ota_err err, const struct ota_why *why)
{
	struct command_call *call = service->first_call;

	while (call && call->question != ticket)
		call = call->next;
	if (!call)
		return;
	command_take_out(service, call);
	call->question = 0;
	if (!err)
		call->answered(call, page);
	if (call->question) /* it has asked again */
		return;
	command_finish(call, err, why);
}

void command_drop_all(struct service *service)
{
	struct command_call *call;

	while ((call = service->first_call)) {
		command_take_out(service, call);
		call_free(call);
	}
}

/* ---- the way of a command ---- */

static enum ota_err read_token(struct command_call *call, struct ota_why *why)
{
	enum ota_err err;

	if (!call->command.token[0])
		return OTA_OK;
	if (call->identity.role != IDENTITY_CONSOLE)
		return ota_fail(why, OTA_FORBIDDEN, "only a console may use tokens");
	err = manager_token_check(&call->service->managers, call->command.token,
				  service_now_ms(), &call->token, why);
	if (err)
		return err;
	/* A row of the table may move while the call waits. */
	call->token_copy = *call->token;
	call->token = &call->token_copy;
	snprintf(call->who, sizeof(call->who), "%s/%.16s", call->token->name, call->token->id);
	return OTA_OK;
}

static enum ota_err prepare(struct command_call *call, struct ota_why *why)
{
	enum ota_err err = read_token(call, why);

	if (err)
		return err;
	call->row = command_find(call->command.verb);
	if (!call->row)
		return ota_fail(why, OTA_BAD_REQUEST, "no verb '%.32s'", call->command.verb);
	err = json_read(call->row->args, call->command.args, strlen(call->command.args),
			MESSAGE_COMMAND_MAX, OTA_BAD_REQUEST, &call->args, why);
	if (err)
		return err;
	err = authorise(call, why);
	if (!err && call->row->changes)
		err = fingerprint(call, why);
	return err;
}

/* The same again while the first is still being carried out. */
static bool is_under_way(const struct command_call *call)
{
	const struct command_call *other = call->service->first_call;

	while (other && !(other->step && strcmp(other->command.key, call->command.key) == 0 &&
			  strcmp(command_manager(other), command_manager(call)) == 0))
		other = other->next;
	return other && call->command.key[0];
}

static enum ota_err check_turn(const struct command_call *call, struct ota_why *why)
{
	if (!command_has_room(call))
		return ota_fail(why, OTA_BUSY, "the store is behind; try again in a moment");
	if (is_under_way(call))
		return ota_fail(why, OTA_BUSY,
				"the command with this key is being carried out");
	return OTA_OK;
}

static void carry_out(struct command_call *call)
{
	uint64_t before = engine_ticket(call->service->engine);
	struct ota_why why = {0};
	enum ota_err err = prepare(call, &why);

	if (!err && call->row->changes && answer_again(call)) {
		call_free(call);
		return;
	}
	if (!err)
		err = check_turn(call, &why);
	if (!err)
		err = call->row->handle(call, &why);
	if (!err)
		command_note_tickets(call, before);
	if (err || !call->later)
		command_finish(call, err, &why);
	else if (call->step)
		command_begin(call);
}

/* The id of a request that cannot be read, so that its sender hears why and does not wait: the
 * first that looks like one. It goes only back to where it came from. */
static void guess_id(struct command *command, const char *payload, size_t len)
{
	static const char key[] = "\"id\":";
	const char *at = memmem(payload, len, key, sizeof(key) - 1), *end = payload + len;
	size_t used = 0;

	if (!at)
		return;
	at += sizeof(key) - 1;
	while (at < end && *at == ' ')
		at++;
	if (at == end || *at++ != '"')
		return;
	while (at < end && used + 1 < sizeof(command->id) && *at != '"' && *at != '\\' &&
	       (unsigned char)*at >= ' ' && (unsigned char)*at < 0x7f)
		command->id[used++] = *at++;
	command->id[used] = '\0';
}

/* A person's client gets ten times what a device gets; a console speaks for many people. */
static bool take_turn(struct session *session, const struct service *service)
{
	uint32_t times = session->identity.role == IDENTITY_CONSOLE ? 100 : 10;

	return guard_take(&session->messages, service_mono_ms(),
			  service->settings.messages_per_s * times,
			  service->settings.messages_burst * times, 1);
}

/* Nothing was done and nothing is recorded, but the sender need not wait in vain. */
static void refuse_turn(struct command_call *call, const void *payload, size_t len)
{
	struct ota_why why = {0};
	enum ota_err err = ota_fail(&why, OTA_RATE_LIMITED,
				    "too many commands at once; try again in a moment");

	call->service->figures.rate_limited++;
	guess_id(&call->command, payload, len);
	if (call->command.id[0])
		reply(call, err, &why);
	call_free(call);
}

void command_message(struct service *service, struct session *session, const void *payload,
		     size_t len)
{
	struct command_call *call;
	struct ota_why why = {0};
	enum ota_err err;

	call = calloc(1, sizeof(*call));
	if (!call)
		return;
	call->service = service;
	call->identity = session->identity;
	text_copy(call->who, sizeof(call->who), session->identity.name);
	text_copy(call->from, sizeof(call->from), session->address);
	if (!take_turn(session, service)) {
		refuse_turn(call, payload, len);
		return;
	}
	err = command_read(payload, len, &call->command, &why);
	if (err) {
		struct service_deed deed;

		service->figures.malformed++;
		describe(call, &deed);
		deed.what = "command";
		deed.decision = err;
		deed.why = why.text;
		service_blame(service, session, &deed);
		guess_id(&call->command, payload, len);
		if (call->command.id[0])
			reply(call, err, &why);
		call_free(call);
	} else {
		carry_out(call);
	}
}
