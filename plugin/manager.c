#include "manager.h"

#include "own.h"
#include "sign.h"
#include "text.h"

#include <string.h>

const char *const manager_role_names[] = {
	[MANAGER_NOBODY] = "",
	[MANAGER_VIEWER] = "viewer",
	[MANAGER_MAINTAINER] = "maintainer",
	[MANAGER_DEVELOPER] = "developer",
	[MANAGER_ADMIN] = "admin",
	NULL,
};

enum ota_err manager_table_init(struct manager_table *table, const char *first_admin,
				struct ota_why *why)
{
	*table = (struct manager_table){.first_admin = strdup(first_admin ? first_admin : "")};
	if (!table->first_admin)
		return ota_fail(why, OTA_OUT_OF_MEMORY, "no memory for managers");
	return OTA_OK;
}

void manager_table_done(struct manager_table *table)
{
	struct manager *manager, *next;
	struct manager_token *token, *next_token;

	HASH_ITER (hh, table->managers, manager, next) {
		HASH_DEL(table->managers, manager);
		free(manager->grants);
		free(manager);
	}
	HASH_ITER (hh, table->tokens, token, next_token) {
		HASH_DEL(table->tokens, token);
		free(token);
	}
	free(table->first_admin);
	*table = (struct manager_table){0};
}

const struct manager *manager_find(const struct manager_table *table, const char *name)
{
	struct manager *manager;

	HASH_FIND_STR(table->managers, name, manager);
	return manager;
}

enum ota_err manager_take(struct manager_table *table, const struct store_manager *row,
			  struct ota_why *why)
{
	struct manager_grant *more;
	struct manager *manager;

	HASH_FIND_STR(table->managers, row->name, manager);
	if (!manager) {
		manager = calloc(1, sizeof(*manager));
		if (!manager)
			return ota_fail(why, OTA_OUT_OF_MEMORY, "no memory for a manager");
		text_copy(manager->name, sizeof(manager->name), row->name);
		HASH_ADD_STR(table->managers, name, manager);
	}
	for (uint32_t i = 0; i < manager->grant_count; i++)
		if (strcmp(manager->grants[i].row.product, row->product) == 0) {
			manager->grants[i].row = *row;
			return OTA_OK;
		}
	more = realloc(manager->grants, (manager->grant_count + 1) * sizeof(*more));
	if (!more)
		return ota_fail(why, OTA_OUT_OF_MEMORY, "no memory for a manager's role");
	manager->grants = more;
	more[manager->grant_count++].row = *row;
	return OTA_OK;
}

/* The first admin stands in the configuration, until a row says something of him and all
 * products. */
static bool is_first_admin(const struct manager_table *table, const struct manager *manager,
			   const char *name)
{
	for (uint32_t i = 0; manager && i < manager->grant_count; i++)
		if (strcmp(manager->grants[i].row.product, "*") == 0)
			return false;
	return name[0] && strcmp(name, table->first_admin) == 0;
}

enum manager_role manager_role(const struct manager_table *table, const char *name,
			       const char *product)
{
	const struct manager *manager = manager_find(table, name);
	uint32_t best = MANAGER_NOBODY;

	if (is_first_admin(table, manager, name))
		return MANAGER_ADMIN;
	for (uint32_t i = 0; manager && i < manager->grant_count; i++) {
		const struct store_manager *row = &manager->grants[i].row;

		if (row->revoked_ms == 0 && row->role > best &&
		    (strcmp(row->product, "*") == 0 || strcmp(row->product, product) == 0))
			best = row->role;
	}
	return (enum manager_role)best;
}

bool manager_is_known(const struct manager_table *table, const char *name)
{
	const struct manager *manager = manager_find(table, name);

	if (is_first_admin(table, manager, name))
		return true;
	for (uint32_t i = 0; manager && i < manager->grant_count; i++)
		if (manager->grants[i].row.revoked_ms == 0)
			return true;
	return false;
}

bool manager_is_revoked(const struct manager_table *table, const char *name)
{
	return manager_find(table, name) && !manager_is_known(table, name);
}

enum ota_err manager_take_token(struct manager_table *table, const struct store_token *row,
				struct ota_why *why)
{
	struct manager_token *token;

	HASH_FIND_STR(table->tokens, row->id, token);
	if (token) {
		token->row = *row;
		return OTA_OK;
	}
	token = calloc(1, sizeof(*token));
	if (!token)
		return ota_fail(why, OTA_OUT_OF_MEMORY, "no memory for a token");
	token->row = *row;
	HASH_ADD_STR(table->tokens, row.id, token);
	return OTA_OK;
}

const struct manager_token *manager_token_find(const struct manager_table *table,
					       const char *id)
{
	struct manager_token *token;

	HASH_FIND_STR(table->tokens, id, token);
	return token;
}

static void to_hex(char *to, const uint8_t *bytes, size_t len)
{
	static const char digits[] = "0123456789abcdef";

	for (size_t i = 0; i < len; i++) {
		to[2 * i] = digits[bytes[i] >> 4];
		to[2 * i + 1] = digits[bytes[i] & 15];
	}
	to[2 * len] = '\0';
}

enum ota_err manager_token_make(struct store_token *row, char ret_secret[MANAGER_TOKEN_TEXT],
				struct ota_why *why)
{
	uint8_t bytes[MANAGER_TOKEN_ID + MANAGER_TOKEN_SECRET];
	enum ota_err err = sign_random(bytes, sizeof(bytes), why);
	struct digest secret;

	if (!err)
		err = digest_of(bytes + MANAGER_TOKEN_ID, MANAGER_TOKEN_SECRET, &secret, why);
	if (err)
		return err;
	to_hex(row->id, bytes, MANAGER_TOKEN_ID);
	row->secret = secret;
	to_hex(ret_secret, bytes, MANAGER_TOKEN_ID);
	ret_secret[2 * MANAGER_TOKEN_ID] = '.';
	to_hex(ret_secret + 2 * MANAGER_TOKEN_ID + 1, bytes + MANAGER_TOKEN_ID,
	       MANAGER_TOKEN_SECRET);
	return OTA_OK;
}

enum ota_err manager_token_check(const struct manager_table *table, const char *text,
				 uint64_t now_ms, const struct store_token **ret_token,
				 struct ota_why *why)
{
	char id[2 * MANAGER_TOKEN_ID + 1];
	uint8_t secret[MANAGER_TOKEN_SECRET];
	const struct manager_token *token;
	struct digest digest;
	uint8_t differs = 0;
	enum ota_err err;

	if (strlen(text) != MANAGER_TOKEN_TEXT - 1 || text[2 * MANAGER_TOKEN_ID] != '.' ||
	    !text_to_bytes(text + 2 * MANAGER_TOKEN_ID + 1, secret, sizeof(secret)))
		return ota_fail(why, OTA_UNAUTHORIZED, "that is not a token");
	memcpy(id, text, sizeof(id) - 1);
	id[sizeof(id) - 1] = '\0';
	err = digest_of(secret, sizeof(secret), &digest, why);
	if (err)
		return err;
	token = manager_token_find(table, id);
	for (size_t i = 0; token && i < DIGEST_SIZE; i++)
		differs |= (uint8_t)(digest.bytes[i] ^ token->row.secret.bytes[i]);
	if (!token || differs)
		return ota_fail(why, OTA_UNAUTHORIZED, "the token is not known");
	if (token->row.revoked_ms)
		return ota_fail(why, OTA_UNAUTHORIZED, "the token was revoked");
	if (now_ms >= token->row.expires_ms)
		return ota_fail(why, OTA_UNAUTHORIZED, "the token has expired");
	*ret_token = &token->row;
	return OTA_OK;
}
