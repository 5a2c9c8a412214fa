/* People: who am I, roles, tokens. */
#include "command.h"
#include "show.h"

#include "own.h"

#include <stdio.h>
#include <string.h>

enum ota_err command_whoami(struct command_call *call, struct ota_why *why)
{
	static const char *const kinds[IDENTITY_ROLE_COUNT] = {
		[IDENTITY_MANAGER] = "manager",
		[IDENTITY_CONSOLE] = "console",
	};
	const struct manager_table *table = &call->service->managers;
	const struct manager *manager = manager_find(table, call->identity.name);
	struct text *to = &call->result;
	bool first_admin =
		!call->token && manager_role(table, call->identity.name, "*") == MANAGER_ADMIN;

	(void)why;
	show_open(to, NULL);
	show_text(to, "name", command_manager(call));
	show_text(to, "kind", call->token ? "token" : kinds[call->identity.role]);
	show_array(to, "roles");
	if (call->token || first_admin) {
		show_open(to, NULL);
		show_text(to, "product", call->token ? call->token->product : "*");
		show_text(to, "role",
			  manager_role_names[call->token ? call->token->role
							 : (uint32_t)MANAGER_ADMIN]);
		show_close(to, '}');
	}
	for (uint32_t i = 0; !call->token && manager && i < manager->grant_count; i++) {
		const struct store_manager *row = &manager->grants[i].row;

		if (row->revoked_ms || (first_admin && strcmp(row->product, "*") == 0))
			continue;
		show_open(to, NULL);
		show_text(to, "product", row->product);
		show_text(to, "role", manager_role_names[row->role]);
		show_close(to, '}');
	}
	show_close(to, ']');
	show_number(to, "time", service_now_ms() / 1000);
	show_text(to, "plugin", OTA_VERSION);
	show_text(to, "broker", call->service->is_21 ? "2.1" : "2.0");
	show_close(to, '}');
	return OTA_OK;
}

/* ---- managers; the cursor is name/product ---- */

struct grant_place {
	const struct store_manager *row;
	char key[2 * NAME_SIZE];
};

static void grant_key(char key[2 * NAME_SIZE], const struct store_manager *row)
{
	snprintf(key, 2 * NAME_SIZE, "%s/%s", row->name, row->product);
}

static bool grant_shows(const struct command_call *call, const struct store_manager *row)
{
	if (row->revoked_ms)
		return false;
	if (call->args.product[0] && strcmp(row->product, call->args.product) != 0 &&
	    strcmp(row->product, "*") != 0)
		return false;
	return command_may(call, row->product, MANAGER_ADMIN) ||
	       (call->args.product[0] && command_may(call, call->args.product, MANAGER_ADMIN));
}

/* People are few: the next in order is looked for each time. */
static const struct store_manager *grant_after(const struct command_call *call,
					       const char *after)
{
	const struct store_manager *best = NULL;
	char best_key[2 * NAME_SIZE], key[2 * NAME_SIZE];

	for (const struct manager *manager = call->service->managers.managers; manager;
	     manager = manager->hh.next)
		for (uint32_t i = 0; i < manager->grant_count; i++) {
			const struct store_manager *row = &manager->grants[i].row;

			grant_key(key, row);
			if (!grant_shows(call, row) || strcmp(key, after) <= 0 ||
			    (best && strcmp(key, best_key) >= 0))
				continue;
			best = row;
			memcpy(best_key, key, sizeof(key));
		}
	return best;
}

enum ota_err command_manager_list(struct command_call *call, struct ota_why *why)
{
	const struct store_manager *row;
	struct command_page page;
	char last[sizeof(call->args.after)];

	(void)why;
	text_copy(last, sizeof(last), call->args.after);
	command_page_open(&page, call);
	while ((row = grant_after(call, last))) {
		if (!command_page_next(&page))
			break;
		show_manager(&call->result, row);
		grant_key(last, row);
	}
	command_page_close(&page, page.full ? last : NULL);
	return OTA_OK;
}

static enum ota_err save_grant(struct command_call *call, struct store_manager *grant,
			       struct ota_why *why)
{
	struct store_row row = {.kind = STORE_MANAGER, .manager = *grant};
	enum ota_err err = command_write(call, &row, 1, why);

	return err ? err : manager_take(&call->service->managers, grant, why);
}

enum ota_err command_manager_set(struct command_call *call, struct ota_why *why)
{
	struct store_manager grant = {.role = (uint32_t)call->args.role,
				      .created_ms = service_now_ms()};
	enum ota_err err;

	text_copy(grant.name, sizeof(grant.name), call->args.name);
	text_copy(grant.product, sizeof(grant.product), call->args.product);
	snprintf(call->object, sizeof(call->object), "%s %s", grant.name,
		 manager_role_names[call->args.role]);
	if (strcmp(grant.product, "*") != 0 &&
	    !engine_product(call->service->engine, grant.product))
		return ota_fail(why, OTA_NOT_FOUND, "no product '%s'", grant.product);
	err = save_grant(call, &grant, why);
	if (!err)
		show_manager(&call->result, &grant);
	return err;
}

/* The rows that this revocation ends, each of which the caller must be admin of. */
static enum ota_err revoke_grants(struct command_call *call, struct ota_why *why)
{
	const struct manager_table *table = &call->service->managers;
	const struct manager *manager = manager_find(table, call->args.name);
	uint64_t now_ms = service_now_ms();
	enum ota_err err = OTA_OK;

	for (uint32_t i = 0; manager && i < manager->grant_count && !err; i++)
		if (!manager->grants[i].row.revoked_ms &&
		    (!call->args.product[0] ||
		     strcmp(manager->grants[i].row.product, call->args.product) == 0))
			err = command_must(call, manager->grants[i].row.product, MANAGER_ADMIN,
					   why);
	for (uint32_t i = 0; manager && i < manager->grant_count && !err; i++) {
		struct store_manager grant = manager->grants[i].row;

		if (grant.revoked_ms ||
		    (call->args.product[0] && strcmp(grant.product, call->args.product) != 0))
			continue;
		grant.revoked_ms = now_ms;
		err = save_grant(call, &grant, why);
	}
	return err;
}

enum ota_err command_manager_revoke(struct command_call *call, struct ota_why *why)
{
	struct manager_table *table = &call->service->managers;
	const char *name = call->args.name;
	enum ota_err err;

	text_copy(call->object, sizeof(call->object), name);
	if (!manager_is_known(table, name))
		return ota_fail(why, OTA_NOT_FOUND, "'%s' has no role", name);
	if (strcmp(name, command_manager(call)) == 0 && !call->args.product[0])
		return ota_fail(why, OTA_CONFLICT,
				"nobody revokes himself: let another admin do it");
	err = revoke_grants(call, why);
	/* The first admin has no row that could be revoked: this is it. */
	if (!err && !call->args.product[0] && manager_is_known(table, name)) {
		struct store_manager grant = {.product = "*",
					      .role = MANAGER_ADMIN,
					      .created_ms = service_now_ms(),
					      .revoked_ms = service_now_ms()};

		text_copy(grant.name, sizeof(grant.name), name);
		err = command_must(call, "*", MANAGER_ADMIN, why);
		if (!err)
			err = save_grant(call, &grant, why);
	}
	if (err)
		return err;
	if (!manager_is_known(table, name)) {
		service_kick(call->service, IDENTITY_MANAGER, name);
	}
	show_open(&call->result, NULL);
	show_text(&call->result, "name", name);
	show_close(&call->result, '}');
	return OTA_OK;
}

/* ---- tokens; the cursor is the id ---- */

static const struct store_token *token_after(const struct command_call *call, const char *after)
{
	const struct store_token *best = NULL;

	for (const struct manager_token *token = call->service->managers.tokens; token;
	     token = token->hh.next)
		if (command_may(call, token->row.product, MANAGER_ADMIN) &&
		    strcmp(token->row.id, after) > 0 &&
		    (!best || strcmp(token->row.id, best->id) < 0))
			best = &token->row;
	return best;
}

enum ota_err command_token_list(struct command_call *call, struct ota_why *why)
{
	const struct store_token *row;
	const char *last = call->args.after;
	struct command_page page;

	(void)why;
	command_page_open(&page, call);
	while ((row = token_after(call, last))) {
		if (!command_page_next(&page))
			break;
		show_token(&call->result, row, NULL);
		last = row->id;
	}
	command_page_close(&page, page.full ? last : NULL);
	return OTA_OK;
}

static enum ota_err save_token(struct command_call *call, const struct store_token *token,
			       struct ota_why *why)
{
	struct store_row row = {.kind = STORE_TOKEN, .token = *token};
	enum ota_err err = command_write(call, &row, 1, why);

	return err ? err : manager_take_token(&call->service->managers, token, why);
}

enum ota_err command_token_create(struct command_call *call, struct ota_why *why)
{
	uint64_t now_ms = service_now_ms();
	struct store_token token = {.role = (uint32_t)call->args.role,
				    .created_ms = now_ms,
				    .expires_ms =
					    now_ms + call->args.days * UINT64_C(86400000)};
	char secret[MANAGER_TOKEN_TEXT];
	enum ota_err err = manager_token_make(&token, secret, why);

	text_copy(token.name, sizeof(token.name), call->args.name);
	text_copy(token.product, sizeof(token.product), call->args.product);
	snprintf(call->object, sizeof(call->object), "%s %s %s", token.id, token.name,
		 manager_role_names[call->args.role]);
	if (!err)
		err = save_token(call, &token, why);
	if (!err)
		show_token(&call->result, &token, secret);
	/* The secret is told once: no answer with it is kept for a key. */
	call->command.key[0] = '\0';
	explicit_bzero(secret, sizeof(secret));
	return err;
}

enum ota_err command_token_revoke(struct command_call *call, struct ota_why *why)
{
	const struct manager_token *found =
		manager_token_find(&call->service->managers, call->args.id);
	struct store_token token;
	enum ota_err err;

	text_copy(call->object, sizeof(call->object), call->args.id);
	if (!found)
		return ota_fail(why, OTA_NOT_FOUND, "no token '%s'", call->args.id);
	token = found->row;
	err = command_must(call, token.product, MANAGER_ADMIN, why);
	if (!err && !token.revoked_ms) {
		token.revoked_ms = service_now_ms();
		err = save_token(call, &token, why);
	}
	if (!err)
		show_token(&call->result, &token, NULL);
	return err;
}
