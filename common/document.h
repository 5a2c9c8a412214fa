/* The signed documents (PROTOCOL.md section 5): root, firmware, release, head. Plain data;
 * whether to believe a document is decided in trust.h. Each is read and written with its shape.
 */
#pragma once

#include "json.h"
#include "name.h"
#include "sign.h"

#define DOCUMENT_SIZE_MAX	(64u << 10)
#define DOCUMENT_KEYS_MAX	64
#define DOCUMENT_RELEASERS_MAX	64
#define DOCUMENT_THRESHOLD_MAX	16
#define DOCUMENT_HARDWARE_MAX	16
#define DOCUMENT_COMPONENTS_MAX 8
#define DOCUMENT_WAVES_MAX	16
#define DOCUMENT_SHARE_FULL	10000 /* a share is a part of ten thousand */

struct name_text {
	char text[NAME_SIZE];
};

struct root_key {
	struct digest id;
	enum sign_algorithm algorithm;
	char *public_base64; /* SPKI DER */
	char name[NAME_SIZE];
};

struct root_role {
	uint32_t threshold;
	struct digest *keys;
	uint32_t key_count;
};

enum root_action {
	ROOT_ACTION_RELEASE = 0,
	ROOT_ACTION_FORCE,
	ROOT_ACTION_DOWNGRADE,
	ROOT_ACTION_ROLLBACK,
	ROOT_ACTION_COUNT,
};

struct root_releaser {
	struct digest key;
	char manager[NAME_SIZE];
	struct name_text *products; /* "*" is every one */
	uint32_t product_count;
	struct name_text *groups;
	uint32_t group_count;
	enum root_action *actions;
	uint32_t action_count;
	uint64_t not_after;
};

struct root_floor {
	char product[NAME_SIZE];
	uint64_t security_version;
};

#define ROOT_ANCHORS_MAX 8

struct root_anchor {
	char *der_base64;
};

struct root_document {
	uint64_t version, created;
	struct root_key *keys;
	uint32_t key_count;
	struct root_role root, firmware, development, head;
	bool has_development, has_head;
	struct root_releaser *releasers;
	uint32_t releaser_count;
	struct root_floor *floors;
	uint32_t floor_count;
	struct root_anchor *anchors;
	uint32_t anchor_count;
};

struct firmware_component {
	char name[33], slot_class[33];
	uint64_t size;
	struct digest sha256;
	uint32_t segment_size;
	struct {
		struct digest sha256;
		uint64_t size;
	} index;
};

enum firmware_severity {
	FIRMWARE_SEVERITY_NONE = 0, /* not said */
	FIRMWARE_LOW,
	FIRMWARE_MEDIUM,
	FIRMWARE_HIGH,
	FIRMWARE_CRITICAL,
};

struct firmware_document {
	char product[NAME_SIZE], version[NAME_SIZE];
	uint64_t security_version, raise_floor_to;
	struct name_text *hardware;
	uint32_t hardware_count;
	struct firmware_component *components;
	uint32_t component_count;
	char requires_version[NAME_SIZE]; /* "": none */
	enum firmware_severity severity;
	char *advisory, *notes; /* NULL: none */
	uint64_t not_after;	/* 0: never */
	uint64_t created;
};

enum release_mode {
	RELEASE_STANDARD = 0,
	RELEASE_FAST,
};

enum release_target {
	RELEASE_TO_PRODUCT = 0,
	RELEASE_TO_GROUP,
	RELEASE_TO_DEVICE,
};

struct release_wave {
	uint32_t share; /* cumulative, of DOCUMENT_SHARE_FULL; 0 when it names a group */
	char group[NAME_SIZE];
};

struct release_thresholds {
	uint32_t success, errors, error_count, sample;
	uint64_t bake_s, silence_s;
};

struct release_document {
	char product[NAME_SIZE];
	uint64_t number;
	struct digest firmware; /* of the manifest's payload */
	enum release_mode mode;
	struct {
		enum release_target kind;
		char name[NAME_SIZE];
	} target;
	struct release_wave *waves;
	uint32_t wave_count;
	bool has_thresholds;
	struct release_thresholds thresholds; /* document_thresholds_default when not said */
	uint32_t max_concurrent;	      /* 0: the plugin's */
	uint64_t rate;			      /* bytes per second; 0: the plugin's */
	uint64_t not_before, deadline;	      /* 0: none */
	bool allow_downgrade, force, rollback_on_halt;
	uint64_t not_after, created;
};

struct head_number {
	char product[NAME_SIZE];
	uint64_t number;
};

struct head_document {
	uint64_t created, not_after, root;
	struct head_number *numbers;
	uint32_t number_count;
};

extern const struct json_shape root_shape, firmware_shape, release_shape, head_shape;
extern const char *const release_mode_names[], *const release_target_names[];
extern const char *const root_action_names[], *const firmware_severity_names[];
extern const struct release_thresholds document_thresholds_default;

/* Read a payload whose signature has been verified, and check the rules that no shape can say
 * (index sizes, ascending shares, thresholds that the keys can reach, one key one role, …).
 * OTA_MANIFEST_INVALID names the member. *_done frees what the document owns. */
enum ota_err root_read(const void *payload, size_t len, struct root_document *ret_root,
		       struct ota_why *why) OTA_CHECKED;
enum ota_err firmware_read(const void *payload, size_t len,
			   struct firmware_document *ret_firmware,
			   struct ota_why *why) OTA_CHECKED;
enum ota_err release_read(const void *payload, size_t len, struct release_document *ret_release,
			  struct ota_why *why) OTA_CHECKED;
enum ota_err head_read(const void *payload, size_t len, struct head_document *ret_head,
		       struct ota_why *why) OTA_CHECKED;
void root_done(struct root_document *root);
void firmware_done(struct firmware_document *firmware);
void release_done(struct release_document *release);
void head_done(struct head_document *head);

/* A key of a root, ready to verify with. OTA_MANIFEST_INVALID when the bytes are no key of the
 * named algorithm or do not have the named id. */
enum ota_err root_key_public(const struct root_key *key, struct sign_public *ret_public,
			     struct ota_why *why) OTA_CHECKED;

/* 32 × ⌈size / segment_size⌉ */
uint64_t firmware_index_size(uint64_t size, uint32_t segment_size);
