/* Sessions: the connections that have proved one of our identities and used a topic of ours.
 *
 * A session is found by the broker's client pointer and believed only while the certificate
 * object is the one that was seen first: it is held, so its address cannot come again, even if
 * the pointer's does. After the disconnect it stays for a moment as `gone`, so that the Will,
 * which is checked later, is known for what it is. A device has one current session: the
 * newest. */
#pragma once

#include "guard.h"
#include "identity.h"

#include <uthash.h>

#define SESSION_GONE_MS	      1000u
#define SESSION_CLIENT_ID_MAX 96 /* name, colon, suffix */

struct session {
	UT_hash_handle hh; /* by client */
	struct session *next_gone;
	const void *client;
	void *certificate; /* X509, held */
	struct identity identity;
	char client_id[SESSION_CLIENT_ID_MAX];
	char address[64];
	uint64_t since_ms, gone_ms;
	bool gone, current;
	struct guard_bucket messages, reports, gets;
	struct guard_window errors;
};

struct session_name; /* the sessions of one name; opaque */

struct session_table {
	struct session *sessions;
	struct session_name *names;
	struct session *first_gone, **last_gone;
	uint32_t count;
};

void session_table_init(struct session_table *table);
void session_table_done(struct session_table *table);

/* What the broker knows of the client that stands before us. */
struct session_client {
	const void *client;
	void *certificate;		 /* X509, the caller's; NULL: none */
	const char *client_id, *address; /* may be NULL */
};

/* Finds or makes the session. NULL with OTA_OK: a stranger. OTA_UNAUTHORIZED: the certificate's
 * name or the client id is wrong, or (a gone one) the connection has ended: this is its Will.
 * *ret_new: made by this call; a device's becomes its current one. */
enum ota_err session_of(struct session_table *table, const struct session_client *client,
			uint64_t now_ms, struct session **ret_session, bool *ret_new,
			struct ota_why *why) OTA_CHECKED;
/* The connection has ended. Returns the session if it was the current one of its device or is a
 * manager's, else NULL. It lives until session_sweep(). */
struct session *session_end(struct session_table *table, const struct session_client *client,
			    uint64_t now_ms);
/* Forgets those that have been gone for SESSION_GONE_MS. */
void session_sweep(struct session_table *table, uint64_t now_ms);
/* Calls each live session of the name, newest first. `each` must not change the table. */
void session_each(const struct session_table *table, enum identity_role role, const char *name,
		  void (*each)(void *ctx, const struct session *session), void *ctx);
