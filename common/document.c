#include "document.h"

#include <string.h>

const char *const release_mode_names[] = {"standard", "fast", NULL};
const char *const release_target_names[] = {"product", "group", "device", NULL};
const char *const root_action_names[] = {"release", "force", "downgrade", "rollback", NULL};
const char *const firmware_severity_names[] = {"", "low", "medium", "high", "critical", NULL};
const struct release_thresholds document_thresholds_default = {
	.success = 9000,
	.errors = 500,
	.error_count = 3,
	.sample = 1,
	.bake_s = 600,
	.silence_s = 3600,
};

#define PUBLIC_BASE64_MAX 172  /* SIGN_PUBLIC_MAX bytes */
#define ANCHOR_BASE64_MAX 8192 /* a certificate of some 6 KB */
#define SCOPE_MAX	  64   /* products or groups of one release key */
#define FLOORS_MAX	  1024
#define NUMBERS_MAX	  1024
#define WORDS_MAX	  1024 /* advisory, notes */

#define AT(type, member) .offset = offsetof(struct type, member)
/* A member of a nested struct, counted from where that begins. */
#define WITHIN(type, outer, member)                                                            \
	.offset = offsetof(struct type, outer.member) - offsetof(struct type, outer)
#define PRODUCT(type, member)                                                                  \
	{                                                                                      \
#		member, JSON_STRING, AT(type, member), .size = NAME_SIZE,                     \
							.check = name_is_product,              \
							.allowed = NAME_LOWER_ALLOWED          \
	}
#define END                                                                                    \
	{                                                                                      \
		.name = NULL                                                                   \
	}

/* root */

static bool is_base64_text(const char *text)
{
	return strlen(text) % 4 == 0;
}

static const struct json_field key_fields[] = {
	{"id", JSON_DIGEST, AT(root_key, id)},
	{"algorithm", JSON_ENUM, AT(root_key, algorithm), .names = sign_algorithm_names},
	{"public", JSON_TEXT, AT(root_key, public_base64), .min = 4, .max = PUBLIC_BASE64_MAX,
	 .check = is_base64_text, .allowed = "base64"},
	{"name", JSON_STRING, AT(root_key, name), .size = NAME_SIZE},
	END,
};
static const struct json_shape key_shape = {"key", sizeof(struct root_key), key_fields};
static const struct json_field key_element = {.kind = JSON_OBJECT, .shape = &key_shape};
static const struct json_field id_element = {.kind = JSON_DIGEST};

static const struct json_field role_fields[] = {
	{"threshold", JSON_U32, AT(root_role, threshold), .min = 1,
	 .max = DOCUMENT_THRESHOLD_MAX},
	{"keys", JSON_ARRAY, AT(root_role, keys), .size = sizeof(struct digest), .min = 1,
	 .max = DOCUMENT_KEYS_MAX, .element = &id_element,
	 .count_offset = offsetof(struct root_role, key_count)},
	END,
};
static const struct json_shape role_shape = {"role", sizeof(struct root_role), role_fields};

static const struct json_field scope_element = {.kind = JSON_STRING,
						.size = NAME_SIZE,
						.check = name_is_product_or_all,
						.allowed = NAME_LOWER_ALLOWED ", or *"};
static const struct json_field action_element = {.kind = JSON_ENUM, .names = root_action_names};

static const struct json_field releaser_fields[] = {
	{"key", JSON_DIGEST, AT(root_releaser, key)},
	{"manager", JSON_STRING, AT(root_releaser, manager), .size = NAME_SIZE,
	 .check = name_is_id, .allowed = NAME_ALLOWED},
	{"products", JSON_ARRAY, AT(root_releaser, products), .size = sizeof(struct name_text),
	 .min = 1, .max = SCOPE_MAX, .element = &scope_element,
	 .count_offset = offsetof(struct root_releaser, product_count)},
	{"groups", JSON_ARRAY, AT(root_releaser, groups), .size = sizeof(struct name_text),
	 .max = SCOPE_MAX, .element = &scope_element,
	 .count_offset = offsetof(struct root_releaser, group_count)},
	{"actions", JSON_ARRAY, AT(root_releaser, actions), .size = sizeof(enum root_action),
	 .min = 1, .max = ROOT_ACTION_COUNT, .element = &action_element,
	 .count_offset = offsetof(struct root_releaser, action_count)},
	{"not_after", JSON_U64, AT(root_releaser, not_after)},
	END,
};
static const struct json_shape releaser_shape = {"releaser", sizeof(struct root_releaser),
						 releaser_fields};
static const struct json_field releaser_element = {.kind = JSON_OBJECT,
						   .shape = &releaser_shape};

static const struct json_field floor_fields[] = {
	PRODUCT(root_floor, product),
	{"security_version", JSON_U64, AT(root_floor, security_version)},
	END,
};
static const struct json_shape floor_shape = {"floor", sizeof(struct root_floor), floor_fields};
static const struct json_field floor_element = {.kind = JSON_OBJECT, .shape = &floor_shape};
static const struct json_field anchor_element = {.kind = JSON_TEXT,
						 .min = 4,
						 .max = ANCHOR_BASE64_MAX,
						 .check = is_base64_text,
						 .allowed = "base64"};

static const struct json_field root_fields[] = {
	{"version", JSON_U64, AT(root_document, version), .min = 1},
	{"created", JSON_U64, AT(root_document, created)},
	{"keys", JSON_ARRAY, AT(root_document, keys), .size = sizeof(struct root_key), .min = 1,
	 .max = DOCUMENT_KEYS_MAX, .element = &key_element,
	 .count_offset = offsetof(struct root_document, key_count)},
	{"root", JSON_OBJECT, AT(root_document, root), .shape = &role_shape},
	{"firmware", JSON_OBJECT, AT(root_document, firmware), .shape = &role_shape},
	{"development", JSON_OBJECT, JSON_OPTIONAL, AT(root_document, development),
	 .shape = &role_shape, .has_offset = offsetof(struct root_document, has_development)},
	{"head", JSON_OBJECT, JSON_OPTIONAL, AT(root_document, head), .shape = &role_shape,
	 .has_offset = offsetof(struct root_document, has_head)},
	{"releasers", JSON_ARRAY, AT(root_document, releasers),
	 .size = sizeof(struct root_releaser), .max = DOCUMENT_RELEASERS_MAX,
	 .element = &releaser_element,
	 .count_offset = offsetof(struct root_document, releaser_count)},
	{"floors", JSON_ARRAY, AT(root_document, floors), .size = sizeof(struct root_floor),
	 .max = FLOORS_MAX, .element = &floor_element,
	 .count_offset = offsetof(struct root_document, floor_count)},
	{"anchors", JSON_ARRAY, JSON_OPTIONAL, AT(root_document, anchors),
	 .size = sizeof(struct root_anchor), .max = ROOT_ANCHORS_MAX,
	 .element = &anchor_element,
	 .count_offset = offsetof(struct root_document, anchor_count)},
	END,
};
const struct json_shape root_shape = {"root", sizeof(struct root_document), root_fields};

/* firmware */

static const struct json_field index_fields[] = {
	{"sha256", JSON_DIGEST, WITHIN(firmware_component, index, sha256)},
	{"size", JSON_U64, WITHIN(firmware_component, index, size), .min = 1},
	END,
};
static const struct json_shape index_shape = {
	"index", sizeof(((struct firmware_component *)NULL)->index), index_fields};

static const struct json_field component_fields[] = {
	{"name", JSON_STRING, AT(firmware_component, name), .size = 33,
	 .check = name_is_component, .allowed = "1 to 32 of a-z 0-9 _ -"},
	{"slot_class", JSON_STRING, AT(firmware_component, slot_class), .size = 33,
	 .check = name_is_component, .allowed = "1 to 32 of a-z 0-9 _ -"},
	{"size", JSON_U64, AT(firmware_component, size), .min = 1},
	{"sha256", JSON_DIGEST, AT(firmware_component, sha256)},
	{"segment_size", JSON_U32, AT(firmware_component, segment_size), .min = 65536,
	 .max = 1048576},
	{"index", JSON_OBJECT, AT(firmware_component, index), .shape = &index_shape},
	END,
};
static const struct json_shape component_shape = {
	"component", sizeof(struct firmware_component), component_fields};
static const struct json_field component_element = {.kind = JSON_OBJECT,
						    .shape = &component_shape};
static const struct json_field hardware_element = {
	.kind = JSON_STRING, .size = NAME_SIZE, .check = name_is_id, .allowed = NAME_ALLOWED};

static const struct json_field firmware_fields[] = {
	PRODUCT(firmware_document, product),
	{"version", JSON_STRING, AT(firmware_document, version), .size = NAME_SIZE,
	 .check = name_is_version, .allowed = NAME_VERSION_ALLOWED},
	{"security_version", JSON_U64, AT(firmware_document, security_version)},
	{"raise_floor_to", JSON_U64, JSON_OPTIONAL, AT(firmware_document, raise_floor_to)},
	{"hardware", JSON_ARRAY, AT(firmware_document, hardware),
	 .size = sizeof(struct name_text), .min = 1, .max = DOCUMENT_HARDWARE_MAX,
	 .element = &hardware_element,
	 .count_offset = offsetof(struct firmware_document, hardware_count)},
	{"components", JSON_ARRAY, AT(firmware_document, components),
	 .size = sizeof(struct firmware_component), .min = 1, .max = DOCUMENT_COMPONENTS_MAX,
	 .element = &component_element,
	 .count_offset = offsetof(struct firmware_document, component_count)},
	{"requires_version", JSON_STRING, JSON_OPTIONAL,
	 AT(firmware_document, requires_version), .size = NAME_SIZE, .check = name_is_version,
	 .allowed = NAME_VERSION_ALLOWED},
	{"severity", JSON_ENUM, JSON_OPTIONAL, AT(firmware_document, severity),
	 .names = firmware_severity_names},
	{"advisory", JSON_TEXT, JSON_OPTIONAL, AT(firmware_document, advisory),
	 .max = WORDS_MAX},
	{"notes", JSON_TEXT, JSON_OPTIONAL, AT(firmware_document, notes), .max = WORDS_MAX},
	{"not_after", JSON_U64, JSON_OPTIONAL, AT(firmware_document, not_after)},
	{"created", JSON_U64, AT(firmware_document, created)},
	END,
};
const struct json_shape firmware_shape = {"firmware", sizeof(struct firmware_document),
					  firmware_fields};

/* release */

static const struct json_field target_fields[] = {
	{"kind", JSON_ENUM, WITHIN(release_document, target, kind),
	 .names = release_target_names},
	{"name", JSON_STRING, WITHIN(release_document, target, name), .size = NAME_SIZE,
	 .check = name_is_id, .allowed = NAME_ALLOWED},
	END,
};
static const struct json_shape target_shape = {
	"target", sizeof(((struct release_document *)NULL)->target), target_fields};

static const struct json_field wave_fields[] = {
	{"share", JSON_U32, JSON_OPTIONAL, AT(release_wave, share), .min = 1,
	 .max = DOCUMENT_SHARE_FULL},
	{"group", JSON_STRING, JSON_OPTIONAL, AT(release_wave, group), .size = NAME_SIZE,
	 .check = name_is_product, .allowed = NAME_LOWER_ALLOWED},
	END,
};
static const struct json_shape wave_shape = {"wave", sizeof(struct release_wave), wave_fields};
static const struct json_field wave_element = {.kind = JSON_OBJECT, .shape = &wave_shape};

static const struct json_field thresholds_fields[] = {
	{"success", JSON_U32, AT(release_thresholds, success), .max = DOCUMENT_SHARE_FULL},
	{"errors", JSON_U32, AT(release_thresholds, errors), .max = DOCUMENT_SHARE_FULL},
	{"error_count", JSON_U32, AT(release_thresholds, error_count)},
	{"sample", JSON_U32, AT(release_thresholds, sample)},
	{"bake_s", JSON_U64, AT(release_thresholds, bake_s)},
	{"silence_s", JSON_U64, AT(release_thresholds, silence_s)},
	END,
};
static const struct json_shape thresholds_shape = {
	"thresholds", sizeof(struct release_thresholds), thresholds_fields};

static const struct json_field release_fields[] = {
	PRODUCT(release_document, product),
	{"number", JSON_U64, AT(release_document, number), .min = 1},
	{"firmware", JSON_DIGEST, AT(release_document, firmware)},
	{"mode", JSON_ENUM, AT(release_document, mode), .names = release_mode_names},
	{"target", JSON_OBJECT, AT(release_document, target), .shape = &target_shape},
	{"waves", JSON_ARRAY, JSON_OPTIONAL, AT(release_document, waves),
	 .size = sizeof(struct release_wave), .min = 1, .max = DOCUMENT_WAVES_MAX,
	 .element = &wave_element,
	 .count_offset = offsetof(struct release_document, wave_count)},
	{"thresholds", JSON_OBJECT, JSON_OPTIONAL, AT(release_document, thresholds),
	 .shape = &thresholds_shape,
	 .has_offset = offsetof(struct release_document, has_thresholds)},
	{"max_concurrent", JSON_U32, JSON_OPTIONAL, AT(release_document, max_concurrent),
	 .min = 1, .max = 1000000},
	{"rate", JSON_U64, JSON_OPTIONAL, AT(release_document, rate)},
	{"not_before", JSON_U64, JSON_OPTIONAL, AT(release_document, not_before)},
	{"deadline", JSON_U64, JSON_OPTIONAL, AT(release_document, deadline)},
	{"allow_downgrade", JSON_BOOL, JSON_OPTIONAL, AT(release_document, allow_downgrade)},
	{"force", JSON_BOOL, JSON_OPTIONAL, AT(release_document, force)},
	{"rollback_on_halt", JSON_BOOL, JSON_OPTIONAL, AT(release_document, rollback_on_halt)},
	{"not_after", JSON_U64, AT(release_document, not_after)},
	{"created", JSON_U64, AT(release_document, created)},
	END,
};
const struct json_shape release_shape = {"release", sizeof(struct release_document),
					 release_fields};

/* head */

static const struct json_field number_fields[] = {
	PRODUCT(head_number, product),
	{"number", JSON_U64, AT(head_number, number)},
	END,
};
static const struct json_shape number_shape = {"number", sizeof(struct head_number),
					       number_fields};
static const struct json_field number_element = {.kind = JSON_OBJECT, .shape = &number_shape};

static const struct json_field head_fields[] = {
	{"created", JSON_U64, AT(head_document, created)},
	{"not_after", JSON_U64, AT(head_document, not_after)},
	{"root", JSON_U64, AT(head_document, root), .min = 1},
	{"numbers", JSON_ARRAY, AT(head_document, numbers), .size = sizeof(struct head_number),
	 .max = NUMBERS_MAX, .element = &number_element,
	 .count_offset = offsetof(struct head_document, number_count)},
	END,
};
const struct json_shape head_shape = {"head", sizeof(struct head_document), head_fields};
