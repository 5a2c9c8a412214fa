/* Messages (PROTOCOL.md sections 3 and 4): the only place that reads or makes a payload.
 *
 * JSON messages are a struct and a shape: json_read(&hello_shape, …), json_write(&…),
 * json_done(). message_read() checks the size limit of its kind and calls a malformed one
 * OTA_BAD_REQUEST. */
#pragma once

#include "document.h"

#define MESSAGE_PAYLOAD_MAX	(8u << 10)  /* hello, consent, get */
#define MESSAGE_REPORT_MAX	(32u << 10) /* carries a log of ≤ 16 KiB, escaped */
#define MESSAGE_LOG_MAX		(16u << 10)
#define MESSAGE_OFFER_MAX	(160u << 10) /* two envelopes of ≤ 64 KiB, escaped */
#define MESSAGE_CONTROL_MAX	(640u << 10) /* welcome with eight roots */
#define MESSAGE_COMMAND_MAX	(256u << 10)
#define MESSAGE_REPLY_MAX	(256u << 10)
#define MESSAGE_CHUNK_SIZE	65536u
#define MESSAGE_CHUNK_HEADER	12u
#define MESSAGE_UPLOAD_HEADER	16u
#define MESSAGE_UPLOAD_DATA_MAX 65536u
#define MESSAGE_UPLOAD_WINDOW	(4u << 20) /* unanswered bytes of an upload */
#define MESSAGE_WINDOW_MAX	8u	   /* chunks outstanding per device */
#define MESSAGE_RANGES_MAX	8u
#define MESSAGE_PACKS_MAX	16u
#define MESSAGE_SOURCES_MAX	4u
#define MESSAGE_GROUPS_MAX	32u
#define MESSAGE_ROOTS_MAX	8u
#define MESSAGE_ACKS_MAX	64u
#define MESSAGE_NONCE_SIZE	16u

enum update_state {
	UPDATE_NONE = 0,
	UPDATE_TARGETED,
	UPDATE_OFFERED,
	UPDATE_DEFERRED,
	UPDATE_DOWNLOADING,
	UPDATE_DOWNLOADED,
	UPDATE_VERIFIED,
	UPDATE_INSTALLING,
	UPDATE_INSTALLED,
	UPDATE_RESTARTING,
	UPDATE_TRIAL,
	UPDATE_SUCCEEDED,
	UPDATE_ALREADY_INSTALLED,
	UPDATE_FAILED,
	UPDATE_ROLLED_BACK,
	UPDATE_REJECTED,
	UPDATE_TIMED_OUT,
	UPDATE_CANCELED,
	UPDATE_SUPERSEDED,
	UPDATE_REMOVED,
	UPDATE_EXPIRED,
	UPDATE_LOST,
	UPDATE_STATE_COUNT,
};
extern const char *const update_state_names[]; /* [UPDATE_NONE] is "" */
bool update_state_is_final(enum update_state state);

enum boot_kind {
	BOOT_NORMAL = 0,
	BOOT_TRIAL,
	BOOT_REVERTED,
};

struct consent_gates {
	bool download, install, restart;
};

struct hello {
	uint32_t v;
	uint8_t nonce[MESSAGE_NONCE_SIZE];
	char agent[33];
	char product[NAME_SIZE], hardware[NAME_SIZE], version[NAME_SIZE];
	struct digest digest;
	uint64_t security_version, floor, root, number, slot_size;
	enum boot_kind boot;
	bool has_trial;
	struct {
		uint64_t release;
		uint32_t attempt;
	} trial;
	bool has_update;
	struct {
		uint64_t release;
		uint32_t attempt;
		enum update_state state;
	} update;
	struct consent_gates consent;
	char reason[129];
	uint64_t lease_s;
	char window[65];
	struct digest previous; /* all zero: none */
};

struct report_error {
	char name[49];
	uint32_t number;
	char message[OTA_WHY_TEXT_MAX + 1];
	uint32_t detail;
	enum update_state state;
	char *log; /* NULL: none */
};

struct report {
	uint32_t v;
	uint64_t seq, release;
	uint32_t attempt;
	enum update_state state;
	uint64_t at_ms;
	char version[NAME_SIZE];
	struct digest digest;
	uint64_t done, total, fetched;
	char reason[129];
	bool has_error;
	struct report_error error;
};

struct consent {
	uint32_t v;
	struct consent_gates consent;
	char reason[129];
	uint64_t lease_s;
	char window[65];
};

struct offer_pack {
	struct digest sha256;
	uint64_t size;
	struct digest base; /* all zero: needs none */
};

struct offer_source {
	char url[257];
};

struct offer {
	uint32_t v;
	char *release, *firmware; /* envelopes, exact bytes */
	uint32_t attempt;
	struct offer_pack *packs;
	uint32_t pack_count;
	struct offer_source *sources;
	uint32_t source_count;
};

enum device_status {
	DEVICE_QUARANTINED = 0,
	DEVICE_APPROVED,
	DEVICE_DENIED,
	DEVICE_DECOMMISSIONED,
	DEVICE_STATUS_COUNT,
};
extern const char *const device_status_names[];

enum control_type {
	CONTROL_WELCOME = 0,
	CONTROL_ACK,
	CONTROL_GRANT,
	CONTROL_CANCEL,
	CONTROL_REVERT,
	CONTROL_RESUME,
	CONTROL_REHELLO,
	CONTROL_TYPE_COUNT,
};

enum cancel_reason {
	CANCEL_ABORTED = 0,
	CANCEL_SUPERSEDED,
	CANCEL_REMOVED,
	CANCEL_EXPIRED,
};

struct root_text {
	char *envelope;
};

/* One struct for all types; members that a type does not have stay zero. */
struct control {
	uint32_t v;
	enum control_type type;
	uint8_t nonce[MESSAGE_NONCE_SIZE]; /* welcome, grant */
	uint64_t time;			   /* welcome */
	enum device_status status;
	char product[NAME_SIZE];
	struct name_text *groups;
	uint32_t group_count;
	uint32_t shards;
	struct root_text *roots;
	uint32_t root_count;
	char *head;	/* NULL: none */
	uint64_t *seqs; /* ack */
	uint32_t seq_count;
	uint64_t release;	   /* grant, cancel, revert, resume */
	uint32_t attempt;	   /* grant */
	enum cancel_reason reason; /* cancel */
};

struct get_range {
	uint32_t first, count;
};

/* Ranges are arrays of two numbers on the wire. */
struct get {
	uint32_t v;
	uint32_t transfer;
	struct digest blob;
	struct get_range ranges[MESSAGE_RANGES_MAX];
	uint32_t range_count;
};

struct command {
	uint32_t v;
	char id[65], verb[33];
	char *args; /* JSON object, compact */
	char token[97], key[65];
};

struct reply_error {
	char name[49];
	uint32_t number;
	char message[OTA_WHY_TEXT_MAX + 1];
};

struct reply {
	uint32_t v;
	char id[65];
	bool ok;
	char *result; /* JSON object, compact; NULL when refused */
	bool has_error;
	struct reply_error error;
};

/* The answer to upload frames. */
struct uploaded {
	char upload[17]; /* 16 hexadecimal digits */
	uint64_t offset;
	bool done;
	bool has_error;
	struct reply_error error;
};

extern const struct json_shape hello_shape, report_shape, consent_shape, offer_shape,
	command_shape, reply_shape, uploaded_shape;

/* As json_read with the limit of the kind. End each with json_done(&…_shape, …), control with
 * control_done(). */
enum ota_err hello_read(const void *payload, size_t len, struct hello *ret,
			struct ota_why *why) OTA_CHECKED;
enum ota_err report_read(const void *payload, size_t len, struct report *ret,
			 struct ota_why *why) OTA_CHECKED;
enum ota_err consent_read(const void *payload, size_t len, struct consent *ret,
			  struct ota_why *why) OTA_CHECKED;
enum ota_err offer_read(const void *payload, size_t len, struct offer *ret,
			struct ota_why *why) OTA_CHECKED;
enum ota_err command_read(const void *payload, size_t len, struct command *ret,
			  struct ota_why *why) OTA_CHECKED;
/* Either a result or an error, as `ok` says. */
enum ota_err reply_read(const void *payload, size_t len, struct reply *ret,
			struct ota_why *why) OTA_CHECKED;
enum ota_err uploaded_read(const void *payload, size_t len, struct uploaded *ret,
			   struct ota_why *why) OTA_CHECKED;
enum ota_err get_read(const void *payload, size_t len, struct get *ret,
		      struct ota_why *why) OTA_CHECKED;
enum ota_err get_write(const struct get *get, struct text *to, struct ota_why *why) OTA_CHECKED;
enum ota_err control_read(const void *payload, size_t len, struct control *ret,
			  struct ota_why *why) OTA_CHECKED;
enum ota_err control_write(const struct control *control, struct text *to,
			   struct ota_why *why) OTA_CHECKED;
void control_done(struct control *control);

enum chunk_kind {
	CHUNK_DATA = 1,
	CHUNK_WAIT = 2,
	CHUNK_REFUSED = 3,
};

struct chunk {
	enum chunk_kind kind;
	enum ota_err err; /* refused */
	uint32_t transfer;
	uint32_t number;     /* data and refused: chunk; wait: milliseconds */
	const uint8_t *data; /* into the payload that was read */
	size_t data_len;
};

void chunk_write_header(const struct chunk *chunk, uint8_t ret_header[MESSAGE_CHUNK_HEADER]);
enum ota_err chunk_read(const void *payload, size_t len, struct chunk *ret,
			struct ota_why *why) OTA_CHECKED;

struct upload_frame {
	uint64_t upload, offset;
	const uint8_t *data;
	size_t data_len;
};
void upload_write_header(const struct upload_frame *frame,
			 uint8_t ret_header[MESSAGE_UPLOAD_HEADER]);
enum ota_err upload_read(const void *payload, size_t len, struct upload_frame *ret,
			 struct ota_why *why) OTA_CHECKED;
