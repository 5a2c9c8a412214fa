/* Commands: `$CONTROL/ota/v1` (PROTOCOL.md section 4). One table says for each verb which role
 * it needs, of which product, how its arguments read, and who carries it out; command.c does
 * the rest (authorise, idempotency, audit, reply after the commit). */
#pragma once

#include "service.h"

#define COMMAND_PAGE_BYTES (200u << 10) /* of a reply's items: its limit less the rest */
#define COMMAND_IDS_MAX	   1000u
#define COMMAND_TEXT_SIZE  257 /* what may turn out to be no valid id */

struct command_text {
	char text[COMMAND_TEXT_SIZE];
};

/* The arguments of all verbs; each reads those that its row names. */
struct command_args {
	char product[NAME_SIZE], device[NAME_SIZE], group[NAME_SIZE], version[NAME_SIZE];
	char name[NAME_SIZE], id[NAME_SIZE], default_hardware[NAME_SIZE], pin[NAME_SIZE];
	char search[NAME_SIZE], title[129], notes[1025], after[161];
	bool has_title, has_default_hardware, has_notes, has_pin, has_groups;
	bool import_only, has_import_only, second_approval, has_second_approval;
	bool development, has_development, updates_disabled, has_updates_disabled;
	bool online, has_online, has_status, has_wave, has_tip, dry_run, override;
	struct command_text *devices, *add, *remove;
	uint32_t device_count, add_count, remove_count;
	struct name_text *groups;
	uint32_t group_count;
	enum device_status status;
	enum update_state state;
	enum manager_role role;
	uint64_t number, release, size, entries;
	uint32_t attempt, wave, days, limit;
	struct digest sha256, tip;
	char *envelope; /* of firmware, release, root, head */
	struct digest *packs;
	uint32_t pack_count;
};

enum command_scope {
	SCOPE_ANY = 0, /* any known manager */
	SCOPE_ALL,     /* the role in "*" */
	SCOPE_PRODUCT, /* in args.product */
	SCOPE_MAYBE,   /* in args.product if there is one, else the handler looks at each */
	SCOPE_DEVICE,  /* in the product of args.device */
	SCOPE_HANDLER, /* the handler asks command_may() */
};

struct command_call;

/* One piece of a long work: at most a millisecond. *ret_more: there are more. */
typedef enum ota_err (*command_step)(struct command_call *call, bool *ret_more,
				     struct ota_why *why);

struct command_row {
	const char *verb;
	enum manager_role role;
	enum command_scope scope;
	bool changes; /* something: audited, answered after the commit, idempotent */
	const struct json_shape *args;
	enum ota_err (*handle)(struct command_call *call, struct ota_why *why);
};
extern const struct command_row command_rows[]; /* ends with a NULL verb */
const struct command_row *command_find(const char *verb);

struct command_call {
	struct command_call *next; /* of those that wait for the store */
	struct service *service;
	const struct command_row *row;
	struct command command;
	struct command_args args;
	struct identity identity; /* whose reply topic it is */
	char from[64];
	char who[NAME_SIZE + 24]; /* for the audit; a token's name behind the console's */
	const struct store_token *token; /* NULL: the identity's own rights */
	struct store_token token_copy;
	struct text result;		      /* of the reply */
	char product[NAME_SIZE], object[160]; /* of the audit row */
	struct digest fingerprint;	      /* of verb and args, for idempotency */
	bool later;			      /* the handler will call command_finish() */
	command_step step;		      /* what is still to be done, piece by piece */
	uint64_t first_ticket, ticket;	      /* what it wrote; 0: nothing to wait for */
	uint64_t question;		      /* ticket of store->ask(); 0: none */
	void (*answered)(struct command_call *call, const struct store_page *page);
	void *more; /* the handler's */
	void (*more_free)(void *more);
	bool failed;
	struct ota_why failure;
};

/* Whether the caller has the role in the product ("*": in all). */
bool command_may(const struct command_call *call, const char *product, enum manager_role role);
/* The same as an error that says what is missing. */
enum ota_err command_must(const struct command_call *call, const char *product,
			  enum manager_role role, struct ota_why *why) OTA_CHECKED;
/* The caller's name, for the engine. */
const char *command_manager(const struct command_call *call);
/* Asks the store; `answered` fills the result, command.c replies. */
enum ota_err command_ask(struct command_call *call, const struct store_query *query,
			 void (*answered)(struct command_call *call,
					  const struct store_page *page),
			 struct ota_why *why) OTA_CHECKED;
/* Work over many devices. The first pieces run within the callback, so that a small fleet has
 * its answer at once, the others at the broker's ticks, in turn with those of other calls. An
 * error ends the work and the call. */
void command_work(struct command_call *call, command_step step);
/* The handler's memory, which the call releases: zeroed, in call->more. */
enum ota_err command_keep(struct command_call *call, size_t size, void (*more_free)(void *more),
			  struct ota_why *why) OTA_CHECKED;
/* The same for a list: `one` is called with 0 … count - 1, then `end` with what came of all. */
struct command_tally {
	uint32_t counts[ENGINE_UNKNOWN + 1];
};
typedef enum ota_err (*command_one)(struct command_call *call, uint32_t index,
				    enum engine_answer *ret_answer, struct ota_why *why);
typedef enum ota_err (*command_end)(struct command_call *call,
				    const struct command_tally *tally, struct ota_why *why);
enum ota_err command_each(struct command_call *call, uint32_t count, command_one one,
			  command_end end, struct ota_why *why) OTA_CHECKED;
/* {changed, unchanged, unknown}: a command_end. */
enum ota_err command_show_tally(struct command_call *call, const struct command_tally *tally,
				struct ota_why *why) OTA_CHECKED;
/* Ends a call whose handler said `later`. */
void command_finish(struct command_call *call, enum ota_err err, const struct ota_why *why);
/* Between command.c and command_work.c: the list of calls that wait for the store or are at
 * work; what the engine has written since `before` is the call's; whether the store's queue has
 * room for what a command may write; the first pieces. */
void command_wait(struct command_call *call);
void command_take_out(struct service *service, struct command_call *call);
void command_note_tickets(struct command_call *call, uint64_t before);
bool command_has_room(const struct command_call *call);
void command_begin(struct command_call *call);
/* Writes rows with the call: its answer waits for them. */
enum ota_err command_write(struct command_call *call, const struct store_row *rows,
			   size_t count, struct ota_why *why) OTA_CHECKED;

/* A page: items are appended to the result until it is full; `next` names the last one. */
struct command_page {
	struct command_call *call;
	uint32_t count, limit;
	bool full; /* do not add; there is more */
};
void command_page_open(struct command_page *page, struct command_call *call);
/* True when another item may be added; counts it. */
bool command_page_next(struct command_page *page);
void command_page_close(struct command_page *page, const char *next); /* NULL: no more */
/* `after` of a list that is ordered by numbers. */
enum ota_err command_after(const struct command_call *call, uint64_t *ret_after,
			   struct ota_why *why) OTA_CHECKED;
/* Asks the store for a page of rows after `after`, each shown as `show` does. */
enum ota_err command_list_rows(struct command_call *call, struct store_query *query,
			       void (*show)(struct text *to, const struct store_row *row),
			       struct ota_why *why) OTA_CHECKED;
/* A page of the devices that pass and that the caller may see, each as `show` shows it. The
 * filter's texts stay the caller's until the call ends. */
enum ota_err command_list_devices(struct command_call *call, const struct device_filter *filter,
				  void (*show)(struct command_call *call,
					       const struct device_filter *filter,
					       const struct device *device),
				  struct ota_why *why) OTA_CHECKED;

/* The handlers, by noun. */
#define COMMAND_HANDLER(name)                                                                  \
	enum ota_err name(struct command_call *call, struct ota_why *why) OTA_CHECKED
COMMAND_HANDLER(command_whoami);
COMMAND_HANDLER(command_status);
COMMAND_HANDLER(command_product_list);
COMMAND_HANDLER(command_product_create);
COMMAND_HANDLER(command_product_update);
COMMAND_HANDLER(command_product_show);
COMMAND_HANDLER(command_device_list);
COMMAND_HANDLER(command_device_show);
COMMAND_HANDLER(command_device_import);
COMMAND_HANDLER(command_device_approve);
COMMAND_HANDLER(command_device_deny);
COMMAND_HANDLER(command_device_remove);
COMMAND_HANDLER(command_device_set);
COMMAND_HANDLER(command_device_updates);
COMMAND_HANDLER(command_device_log);
COMMAND_HANDLER(command_device_why);
COMMAND_HANDLER(command_device_retry);
COMMAND_HANDLER(command_device_revert);
COMMAND_HANDLER(command_device_ping);
COMMAND_HANDLER(command_group_list);
COMMAND_HANDLER(command_group_create);
COMMAND_HANDLER(command_group_delete);
COMMAND_HANDLER(command_group_edit);
COMMAND_HANDLER(command_blob_begin);
COMMAND_HANDLER(command_firmware_add);
COMMAND_HANDLER(command_firmware_packs);
COMMAND_HANDLER(command_firmware_list);
COMMAND_HANDLER(command_firmware_show);
COMMAND_HANDLER(command_firmware_bases);
COMMAND_HANDLER(command_firmware_delete);
COMMAND_HANDLER(command_release_create);
COMMAND_HANDLER(command_release_list);
COMMAND_HANDLER(command_release_show);
COMMAND_HANDLER(command_release_devices);
COMMAND_HANDLER(command_release_hold);
COMMAND_HANDLER(command_release_resume);
COMMAND_HANDLER(command_release_advance);
COMMAND_HANDLER(command_release_abort);
COMMAND_HANDLER(command_release_approve);
COMMAND_HANDLER(command_release_retry);
COMMAND_HANDLER(command_root_show);
COMMAND_HANDLER(command_root_update);
COMMAND_HANDLER(command_head_update);
COMMAND_HANDLER(command_manager_list);
COMMAND_HANDLER(command_manager_set);
COMMAND_HANDLER(command_manager_revoke);
COMMAND_HANDLER(command_token_list);
COMMAND_HANDLER(command_token_create);
COMMAND_HANDLER(command_token_revoke);
COMMAND_HANDLER(command_audit_list);
COMMAND_HANDLER(command_audit_verify);
COMMAND_HANDLER(command_event_list);
