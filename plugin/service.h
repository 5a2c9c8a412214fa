/* The service: everything of the plugin that is not Mosquitto. plugin.c translates the broker's
 * callbacks into these calls and gives it a struct broker; a test does the same without one.
 *
 * One thread calls all of it. Nothing here blocks: what may goes to the worker and comes back
 * by service_tick(). The members are for the plugin's own files (service.c, gate.c, inbox.c,
 * outbox.c, command*.c); plugin.c uses the functions. */
#pragma once

#include "access.h"
#include "broker.h"
#include "delivery.h"
#include "engine.h"
#include "manager.h"
#include "metric.h"
#include "session.h"
#include "settings.h"
#include "store_sqlite.h"
#include "summon.h"
#include "upload.h"

#define SERVICE_TICK_MS	       100u
#define SERVICE_FANS_MAX       32u /* releases whose fan-out may still be in the broker's queue */
#define SERVICE_FAN_PREFIX     512u /* two releases differ in their first bytes */
#define SERVICE_KICKS_MAX      4096u
#define SERVICE_PROGRESS_SLOTS 4096u
#define SERVICE_ROOTS_MAX      1024u
#define SERVICE_EVENTS_MAX     200u /* on devices and updates, in SERVICE_TICK_MS */

/* What went out on fleet topics lately, to know at each delivery whose turn it is. */
struct service_fan {
	uint64_t number;
	char product[NAME_SIZE];
	size_t len, prefix_len;
	char prefix[SERVICE_FAN_PREFIX];
};

/* The text of an offer: the same for every device of a release, and tens of kilobytes. */
struct service_offer {
	struct text text;
	char product[NAME_SIZE];
	uint64_t number;
	uint32_t attempt, pack_count;
};

/* Acknowledgements to one device that follow each other while the store's answers are handed
 * over: they become one message. */
struct service_acks {
	bool open; /* now is such a time */
	char device[NAME_SIZE];
	uint64_t seqs[MESSAGE_ACKS_MAX];
	uint32_t count;
};

/* How many events go out at a time: what a fleet does at once is not worth a message to each
 * watcher for each device, nor the broker's time. */
struct service_pace {
	uint64_t since_ms;
	uint32_t count;
	uint64_t left_out; /* sequence of the newest one; 0: none */
	char product[NAME_SIZE];
};

struct service_kick {
	enum identity_role role;
	char name[NAME_SIZE];
};

struct service_figures {
	uint64_t chunks, bytes, waits, refused_chunks;
	uint64_t malformed, rate_limited, forbidden, connects_refused;
	uint64_t reports, failed_writes, events_left_out, answers_lost;
};

struct service_root {
	uint64_t version;
	char *envelope;
};

struct service_connects { /* of one identity, on 2.0 and 2.1 alike */
	UT_hash_handle hh;
	struct guard_window window;
	char name[NAME_SIZE + 1];
};

struct command_call;
struct answer_table;

struct service {
	struct broker broker;
	struct settings settings;
	bool is_21, closing;
	bool asked_to_admit, told_identity; /* which of the identity settings there is */
	uint64_t started_ms, start_took_ms, next_tick_ms, next_sweep_ms, next_prune_ms;

	struct trust *trust;
	struct service_root *roots; /* ascending, one after another */
	uint32_t root_count;
	char *head;

	struct worker *worker;
	struct store_sqlite *sqlite;
	struct store *store;
	struct engine *engine;

	struct session_table sessions;
	struct manager_table managers;
	struct blob_table blobs;
	struct upload_table *uploads;
	struct delivery delivery;
	struct answer_table *answers;
	struct command_call *first_call, **last_call; /* waiting for the store, or at work */
	uint64_t saved_ticket; /* the newest that has come back from the store */
	struct service_connects *connects;

	struct service_kick *kicks;
	uint32_t kick_count;
	struct service_offer offer; /* the last one that was made */
	struct service_fan fans[SERVICE_FANS_MAX];
	uint32_t fan_next;
	uint64_t published, fanned; /* fanned: on fleet topics */
	const void *delivered;	    /* payload of the delivery that is being judged */
	size_t delivered_len;
	uint64_t
		progress[SERVICE_PROGRESS_SLOTS]; /* ms of the last progress event, by device */
	struct service_pace pace;
	struct service_acks acks;
	uint32_t cold_reads;
	struct summon summon;

	struct metric metrics[METRIC_KIND_COUNT];
	struct service_figures figures;
};

/* ---- for plugin.c ---- */

/* Opens the store, reads the trust root, loads everything. The sentence of a failure is for the
 * log and says what to do. */
enum ota_err service_new(const struct broker *broker, const struct settings_pair *options,
			 size_t option_count, bool is_21, struct service **ret_service,
			 struct ota_why *why) OTA_CHECKED;
/* Ends the worker (what is queued is committed first) and frees all. NULL is fine. */
void service_free(struct service *service);
const struct settings *service_settings(const struct service *service);

enum service_admission {
	SERVICE_NOT_OURS = 0, /* no identity of ours */
	SERVICE_ADMITTED,
	SERVICE_REFUSED,
};
/* A CONNECT. May be asked again for a session that exists (SIGHUP): `connecting` says whether
 * it is a new one. */
enum service_admission service_admit(struct service *service,
				     const struct session_client *client);
struct service_question {
	enum access_action action;
	const char *topic;
	const void *payload;
	size_t payload_len;
	unsigned qos;
	bool retain;
};
enum access_answer service_access(struct service *service, const struct session_client *client,
				  const struct service_question *question);
/* A message on one of our topics that service_access() has allowed. */
void service_message(struct service *service, const struct session_client *client,
		     const char *topic, const void *payload, size_t len);
void service_gone(struct service *service, const struct session_client *client);
/* To be called often; costs nothing when there is nothing to do. Returns true when it wants to
 * be called again soon. */
bool service_tick(struct service *service);

/* ---- between the plugin's files ---- */

uint64_t service_now_ms(void);	/* wall clock; both to the kernel's tick (4 ms) */
uint64_t service_mono_ms(void); /* monotonic */
uint64_t service_mono_us(void);
void service_log(struct service *service, enum broker_level level, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
/* Ends the sessions of this name at the next tick. */
void service_kick(struct service *service, enum identity_role role, const char *name);
/* Hands over what the worker has finished. */
void service_poll(struct service *service);
/* One audit row; `decision` OTA_OK: allowed. Returns the store's ticket, 0 when it could not be
 * queued. Texts may be NULL. */
struct service_deed {
	const char *who, *from, *what, *product, *object, *why;
	enum ota_err decision;
};
uint64_t service_audit(struct service *service, const struct service_deed *deed);
/* The same for a client's mistake, at most errors_per_minute. */
void service_blame(struct service *service, struct session *session,
		   const struct service_deed *deed);

/* gate.c */
void gate_facts(struct service *service, struct access_facts *ret_facts);
/* inbox.c: messages of devices, upload frames. */
void inbox_device(struct service *service, struct session *session, const struct topic *topic,
		  const void *payload, size_t len);
void inbox_upload(struct service *service, struct session *session, const void *payload,
		  size_t len);
/* outbox.c: everything that is published. */
void outbox_engine_io(struct service *service, struct engine_io *io);
void outbox_json(struct service *service, enum topic_kind kind, const char *name,
		 const struct text *json, unsigned qos);
/* Chunk frames: `data_len` bytes follow the header, written by `fill` (NULL: none). */
void outbox_chunk(struct service *service, const char *device, const struct chunk *chunk);
void *outbox_chunk_alloc(struct service *service, const struct chunk *chunk, size_t data_len);
void outbox_chunk_send(struct service *service, const char *device, void *frame,
		       size_t data_len);
/* Between the two, acknowledgements are gathered. */
void outbox_acks_gather(struct service *service);
void outbox_acks_send(struct service *service);
/* Says that events were left out, once their time has passed. */
void outbox_gap(struct service *service, uint64_t now_ms);
void outbox_upload_news(struct service *service, const struct upload_state *state);
/* transfer.c: get requests. */
void transfer_get(struct service *service, struct session *session, const struct get *get);
/* command.c */
void command_message(struct service *service, struct session *session, const void *payload,
		     size_t len);
void command_saved(struct service *service, uint64_t ticket, enum ota_err err,
		   const struct ota_why *why);
void command_answered(struct service *service, uint64_t ticket, const struct store_page *page,
		      enum ota_err err, const struct ota_why *why);
void command_begun(struct service *service, void *asker, const struct upload_state *state);
/* Goes on with commands that are too long for one callback; true when some still have pieces.
 */
bool command_tick(struct service *service);
/* Forgets all that still wait, without an answer. */
void command_drop_all(struct service *service);
/* answer.c: what was answered to commands with a key. */
enum ota_err answer_table_new(struct answer_table **ret_table, struct ota_why *why) OTA_CHECKED;
void answer_table_free(struct answer_table *table);
enum ota_err answer_take(struct answer_table *table, const struct store_answer *row,
			 struct ota_why *why) OTA_CHECKED;
/* The stored reply of this manager's key, or NULL. */
const char *answer_find(const struct answer_table *table, const char *manager, const char *key);
/* Forgets what is older than a day, here and in the store. */
void answer_sweep(struct answer_table *table, struct store *store, uint64_t now_ms);
/* service_load.c: everything from the store; a root that trust_advance() has accepted; the
 * blobs that a firmware names. */
enum ota_err service_load(struct service *service, struct ota_why *why) OTA_CHECKED;
enum ota_err service_add_root(struct service *service, uint64_t version, const char *envelope,
			      struct ota_why *why) OTA_CHECKED;
enum ota_err service_use_blobs(struct service *service, const struct firmware *firmware,
			       struct ota_why *why) OTA_CHECKED;
