/* Managers: who may do what to which product, and tokens that stand for them. What is here is
 * what the store holds; whoever changes it writes the row. */
#pragma once

#include "store.h"

#include <uthash.h>

enum manager_role {
	MANAGER_NOBODY = 0,
	MANAGER_VIEWER,
	MANAGER_MAINTAINER,
	MANAGER_DEVELOPER,
	MANAGER_ADMIN,
	MANAGER_ROLE_COUNT,
};
extern const char *const manager_role_names[]; /* "" first; ends with NULL */

#define MANAGER_TOKEN_SECRET 32 /* bytes */
#define MANAGER_TOKEN_ID     8

struct manager_grant { /* a role in one product or all */
	struct store_manager row;
};

struct manager {
	UT_hash_handle hh;
	char name[NAME_SIZE];
	struct manager_grant *grants;
	uint32_t grant_count;
};

struct manager_token {
	UT_hash_handle hh;
	struct store_token row;
};

struct manager_table {
	struct manager *managers;
	struct manager_token *tokens;
	char *first_admin; /* "": none */
};

enum ota_err manager_table_init(struct manager_table *table, const char *first_admin,
				struct ota_why *why) OTA_CHECKED;
void manager_table_done(struct manager_table *table);
/* Takes a row in, over one of the same key. */
enum ota_err manager_take(struct manager_table *table, const struct store_manager *row,
			  struct ota_why *why) OTA_CHECKED;
enum ota_err manager_take_token(struct manager_table *table, const struct store_token *row,
				struct ota_why *why) OTA_CHECKED;

/* The role in a product; with product "*" the role in all of them. */
enum manager_role manager_role(const struct manager_table *table, const char *name,
			       const char *product);
/* Has any role that is in force. */
bool manager_is_known(const struct manager_table *table, const char *name);
/* Had a role, and none is in force any more. */
bool manager_is_revoked(const struct manager_table *table, const char *name);
const struct manager *manager_find(const struct manager_table *table, const char *name);

/* Makes a token: its row (to be stored and taken) and the text for its owner, once. */
#define MANAGER_TOKEN_TEXT (2 * MANAGER_TOKEN_ID + 1 + 2 * MANAGER_TOKEN_SECRET + 1)
enum ota_err manager_token_make(struct store_token *row, char ret_secret[MANAGER_TOKEN_TEXT],
				struct ota_why *why) OTA_CHECKED;
/* Finds the token that `<id>.<secret>` names. OTA_UNAUTHORIZED when it is unknown, wrong,
 * revoked or expired; the time this takes does not depend on the secret. */
enum ota_err manager_token_check(const struct manager_table *table, const char *text,
				 uint64_t now_ms, const struct store_token **ret_token,
				 struct ota_why *why) OTA_CHECKED;
const struct manager_token *manager_token_find(const struct manager_table *table,
					       const char *id);
