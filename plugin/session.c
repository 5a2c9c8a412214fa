#include "session.h"

#include "own.h"
#include "text.h"

#include <openssl/x509.h>
#include <string.h>

/* Keyed by role and name together: a device and a manager may share a name. */
struct session_name {
	UT_hash_handle hh;
	struct session **sessions;
	uint32_t count, room;
	char key[NAME_SIZE + 1];
};

static void name_key(enum identity_role role, const char *name, char key[NAME_SIZE + 1])
{
	snprintf(key, NAME_SIZE + 1, "%d%s", role == IDENTITY_DEVICE ? 1 : 2, name);
}

static struct session_name *name_find(const struct session_table *table,
				      enum identity_role role, const char *name)
{
	char key[NAME_SIZE + 1];
	struct session_name *found;

	name_key(role, name, key);
	HASH_FIND_STR(table->names, key, found);
	return found;
}

static bool name_add(struct session_table *table, struct session *session)
{
	struct session_name *name =
		name_find(table, session->identity.role, session->identity.name);

	if (!name) {
		name = calloc(1, sizeof(*name));
		if (!name)
			return false;
		name_key(session->identity.role, session->identity.name, name->key);
		HASH_ADD_STR(table->names, key, name);
	}
	if (name->count == name->room) {
		uint32_t room = name->room ? name->room * 2 : 1;
		struct session **more = realloc(name->sessions, room * sizeof(*more));

		if (!more)
			return false;
		name->sessions = more;
		name->room = room;
	}
	for (uint32_t i = 0; i < name->count; i++)
		name->sessions[i]->current = false;
	session->current = true;
	name->sessions[name->count++] = session;
	return true;
}

static void name_remove(struct session_table *table, const struct session *session)
{
	struct session_name *name =
		name_find(table, session->identity.role, session->identity.name);

	for (uint32_t i = 0; name && i < name->count; i++)
		if (name->sessions[i] == session) {
			memmove(&name->sessions[i], &name->sessions[i + 1],
				(name->count - i - 1) * sizeof(*name->sessions));
			name->count--;
			break;
		}
	if (name && name->count == 0) {
		HASH_DEL(table->names, name);
		free(name->sessions);
		free(name);
	}
}

void session_table_init(struct session_table *table)
{
	*table = (struct session_table){0};
	table->last_gone = &table->first_gone;
}

static void session_free(struct session_table *table, struct session *session)
{
	HASH_DEL(table->sessions, session);
	X509_free(session->certificate);
	free(session);
	table->count--;
}

/* From the list of the gone, wherever it stands in it. */
static void gone_forget(struct session_table *table, struct session *session)
{
	for (struct session **place = &table->first_gone; *place; place = &(*place)->next_gone)
		if (*place == session) {
			*place = session->next_gone;
			if (!*place)
				table->last_gone = place;
			return;
		}
}

void session_table_done(struct session_table *table)
{
	struct session *session, *next;

	HASH_ITER (hh, table->sessions, session, next) {
		if (!session->gone)
			name_remove(table, session);
		session_free(table, session);
	}
	session_table_init(table);
}

static enum ota_err session_make(struct session_table *table,
				 const struct session_client *client,
				 const struct identity *identity, uint64_t now_ms,
				 struct session **ret_session, struct ota_why *why)
{
	struct session *session = calloc(1, sizeof(*session));

	if (!session)
		return ota_fail(why, OTA_OUT_OF_MEMORY, "no memory for a session");
	session->client = client->client;
	session->identity = *identity;
	session->since_ms = now_ms;
	text_copy(session->client_id, sizeof(session->client_id), client->client_id);
	text_copy(session->address, sizeof(session->address),
		  client->address ? client->address : "");
	if (!name_add(table, session)) {
		free(session);
		return ota_fail(why, OTA_OUT_OF_MEMORY, "no memory for a session");
	}
	X509_up_ref(client->certificate);
	session->certificate = client->certificate;
	HASH_ADD_PTR(table->sessions, client, session);
	table->count++;
	*ret_session = session;
	return OTA_OK;
}

enum ota_err session_of(struct session_table *table, const struct session_client *client,
			uint64_t now_ms, struct session **ret_session, bool *ret_new,
			struct ota_why *why)
{
	struct session *session;
	struct identity identity;
	enum ota_err err;

	*ret_new = false;
	HASH_FIND_PTR(table->sessions, &client->client, session);
	if (session && client->certificate == session->certificate) {
		if (session->gone)
			return ota_fail(why, OTA_UNAUTHORIZED, "Wills are refused");
		*ret_session = session;
		return OTA_OK;
	}
	err = identity_read(client->certificate, &identity, why);
	if (err)
		return err;
	if (identity.role == IDENTITY_STRANGER) {
		*ret_session = NULL;
		return OTA_OK;
	}
	if (!identity_fits(&identity, client->client_id))
		return ota_fail(why, OTA_UNAUTHORIZED,
				"client id '%.96s' does not belong to certificate '%s'",
				client->client_id ? client->client_id : "", identity.name);
	if (session) { /* the address of one whose end was never told */
		if (session->gone)
			gone_forget(table, session);
		else
			name_remove(table, session);
		session_free(table, session);
	}
	err = session_make(table, client, &identity, now_ms, ret_session, why);
	*ret_new = !err;
	return err;
}

static void put_gone(struct session_table *table, struct session *session, uint64_t now_ms)
{
	session->gone = true;
	session->gone_ms = now_ms;
	session->next_gone = NULL;
	*table->last_gone = session;
	table->last_gone = &session->next_gone;
}

/* One that never used a topic of ours may have left a Will all the same. */
static void remember_unknown(struct session_table *table, const struct session_client *client,
			     uint64_t now_ms)
{
	struct session *session = client->certificate ? calloc(1, sizeof(*session)) : NULL;

	if (!session)
		return;
	session->client = client->client;
	X509_up_ref(client->certificate);
	session->certificate = client->certificate;
	HASH_ADD_PTR(table->sessions, client, session);
	table->count++;
	put_gone(table, session, now_ms);
}

struct session *session_end(struct session_table *table, const struct session_client *client,
			    uint64_t now_ms)
{
	struct session *session;

	HASH_FIND_PTR(table->sessions, &client->client, session);
	if (!session)
		remember_unknown(table, client, now_ms);
	if (!session || session->gone)
		return NULL;
	name_remove(table, session);
	put_gone(table, session, now_ms);
	return session->current || session->identity.role != IDENTITY_DEVICE ? session : NULL;
}

void session_sweep(struct session_table *table, uint64_t now_ms)
{
	while (table->first_gone && now_ms - table->first_gone->gone_ms >= SESSION_GONE_MS) {
		struct session *session = table->first_gone;

		table->first_gone = session->next_gone;
		if (!table->first_gone)
			table->last_gone = &table->first_gone;
		session_free(table, session);
	}
}

void session_each(const struct session_table *table, enum identity_role role, const char *name,
		  void (*each)(void *ctx, const struct session *session), void *ctx)
{
	const struct session_name *found = name_find(table, role, name);

	for (uint32_t i = found ? found->count : 0; i > 0; i--)
		each(ctx, found->sessions[i - 1]);
}
