/* The table of verbs, and how the arguments of each read. */
#include "command.h"

#define AT(member)   offsetof(struct command_args, member)
#define SIZE(member) sizeof(((struct command_args *)0)->member)

#define END                                                                                    \
	{                                                                                      \
		.name = NULL                                                                   \
	}
#define NAMED(key, member, syntax, says, want)                                                 \
	{                                                                                      \
		.name = key, .kind = JSON_STRING, .flag = want, .offset = AT(member),          \
		.size = SIZE(member), .min = 1, .check = syntax, .allowed = says               \
	}
#define PRODUCT(key, want) NAMED(key, product, name_is_product, NAME_LOWER_ALLOWED, want)
#define SCOPED(key)	   NAMED(key, product, name_is_product_or_all, "a product or *", JSON_REQUIRED)
#define DEVICE		   NAMED("device", device, name_is_id, NAME_ALLOWED, JSON_REQUIRED)
#define GROUP(want)	   NAMED("group", group, name_is_product, NAME_LOWER_ALLOWED, want)
#define VERSION(want)	   NAMED("version", version, name_is_version, NAME_VERSION_ALLOWED, want)
#define PERSON		   NAMED("name", name, name_is_id, NAME_ALLOWED, JSON_REQUIRED)
/* Free text, and whether it was there. */
#define TEXT(key, member, has)                                                                 \
	{                                                                                      \
		.name = key, .kind = JSON_STRING, .flag = JSON_OPTIONAL, .offset = AT(member), \
		.size = SIZE(member), .has_offset = AT(has)                                    \
	}
#define FLAG(key, member, has)                                                                 \
	{                                                                                      \
		.name = key, .kind = JSON_BOOL, .flag = JSON_OPTIONAL, .offset = AT(member),   \
		.size = SIZE(member), .has_offset = AT(has)                                    \
	}
#define SWITCH(key, member)                                                                    \
	{                                                                                      \
		.name = key, .kind = JSON_BOOL, .flag = JSON_OPTIONAL, .offset = AT(member),   \
		.size = SIZE(member)                                                           \
	}
#define NUMBER(key, member, least, want)                                                       \
	{                                                                                      \
		.name = key, .kind = JSON_U64, .flag = want, .offset = AT(member),             \
		.size = SIZE(member), .min = least                                             \
	}
#define SMALL(key, member, least, most, want)                                                  \
	{                                                                                      \
		.name = key, .kind = JSON_U32, .flag = want, .offset = AT(member),             \
		.size = SIZE(member), .min = least, .max = most                                \
	}
#define ONE_OF(key, member, words, want, has)                                                  \
	{                                                                                      \
		.name = key, .kind = JSON_ENUM, .flag = want, .offset = AT(member),            \
		.size = SIZE(member), .names = words, .has_offset = has                        \
	}
#define LIST(key, member, count, of, least, most, want)                                        \
	{                                                                                      \
		.name = key, .kind = JSON_ARRAY, .flag = want, .offset = AT(member),           \
		.size = sizeof(*((struct command_args *)0)->member), .min = least,             \
		.max = most, .element = &of, .count_offset = AT(count)                         \
	}
#define DIGEST(key, member, want, has)                                                         \
	{                                                                                      \
		.name = key, .kind = JSON_DIGEST, .flag = want, .offset = AT(member),          \
		.size = SIZE(member), .has_offset = has                                        \
	}
#define ENVELOPE(key)                                                                          \
	{                                                                                      \
		.name = key, .kind = JSON_TEXT, .flag = JSON_REQUIRED, .offset = AT(envelope), \
		.size = SIZE(envelope), .min = 1, .max = ENVELOPE_SIZE_MAX                     \
	}
#define LIMIT SMALL("limit", limit, 1, STORE_PAGE_MAX, JSON_OPTIONAL)
#define AFTER                                                                                  \
	{                                                                                      \
		.name = "after", .kind = JSON_STRING, .flag = JSON_OPTIONAL,                   \
		.offset = AT(after), .size = SIZE(after)                                       \
	}
#define PAGE LIMIT, AFTER

static const struct json_field some_text = {.name = "", /* an id, or something else */
					    .kind = JSON_STRING,
					    .size = COMMAND_TEXT_SIZE};
static const struct json_field group_name = {.name = "",
					     .kind = JSON_STRING,
					     .size = NAME_SIZE,
					     .min = 1,
					     .check = name_is_product,
					     .allowed = NAME_LOWER_ALLOWED};
static const struct json_field pack_digest = {
	.name = "", .kind = JSON_DIGEST, .size = sizeof(struct digest)};

#define SHAPE(noun, ...)                                                                       \
	static const struct json_field noun##_fields[] = {__VA_ARGS__};                        \
	static const struct json_shape noun = {                                                \
		.what = "args", .size = sizeof(struct command_args), .fields = noun##_fields}

SHAPE(no_args, END);
SHAPE(page_args, PAGE, END);
SHAPE(product_args, PRODUCT("product", JSON_REQUIRED), END);
SHAPE(product_page_args, PRODUCT("product", JSON_REQUIRED), PAGE, END);
SHAPE(any_product_page_args, PRODUCT("product", JSON_OPTIONAL), PAGE, END);
SHAPE(product_name_args, PRODUCT("name", JSON_REQUIRED), END);
SHAPE(product_change_args, PRODUCT("name", JSON_REQUIRED), TEXT("title", title, has_title),
      FLAG("import_only", import_only, has_import_only),
      FLAG("second_approval", second_approval, has_second_approval),
      {.name = "default_hardware",
       .kind = JSON_STRING,
       .flag = JSON_OPTIONAL,
       .offset = AT(default_hardware),
       .size = SIZE(default_hardware),
       .has_offset = AT(has_default_hardware)},
      END);
SHAPE(device_list_args, PRODUCT("product", JSON_OPTIONAL),
      ONE_OF("status", status, device_status_names, JSON_OPTIONAL, AT(has_status)),
      GROUP(JSON_OPTIONAL), VERSION(JSON_OPTIONAL),
      ONE_OF("state", state, update_state_names, JSON_OPTIONAL, 0),
      FLAG("online", online, has_online),
      {.name = "search",
       .kind = JSON_STRING,
       .flag = JSON_OPTIONAL,
       .offset = AT(search),
       .size = SIZE(search)},
      PAGE, END);
SHAPE(device_args, DEVICE, END);
SHAPE(device_page_args, DEVICE, PAGE, END);
SHAPE(device_import_args, PRODUCT("product", JSON_REQUIRED),
      LIST("devices", devices, device_count, some_text, 1, COMMAND_IDS_MAX, JSON_REQUIRED),
      END);
SHAPE(devices_args, PRODUCT("product", JSON_OPTIONAL),
      LIST("devices", devices, device_count, some_text, 1, COMMAND_IDS_MAX, JSON_REQUIRED),
      END);
SHAPE(device_set_args, DEVICE,
      {.name = "groups",
       .kind = JSON_ARRAY,
       .flag = JSON_OPTIONAL,
       .offset = AT(groups),
       .size = sizeof(struct name_text),
       .min = 0,
       .max = MESSAGE_GROUPS_MAX,
       .element = &group_name,
       .count_offset = AT(group_count),
       .has_offset = AT(has_groups)},
      TEXT("notes", notes, has_notes), FLAG("development", development, has_development),
      TEXT("pin", pin, has_pin),
      FLAG("updates_disabled", updates_disabled, has_updates_disabled), END);
SHAPE(device_log_args, DEVICE, NUMBER("release", release, 1, JSON_REQUIRED),
      SMALL("attempt", attempt, 1, UINT32_MAX, JSON_OPTIONAL), PAGE, END);
SHAPE(device_release_args, DEVICE, NUMBER("release", release, 1, JSON_REQUIRED), END);
SHAPE(group_args, PRODUCT("product", JSON_REQUIRED), GROUP(JSON_REQUIRED), END);
SHAPE(group_edit_args, PRODUCT("product", JSON_REQUIRED), GROUP(JSON_REQUIRED),
      LIST("add", add, add_count, some_text, 0, COMMAND_IDS_MAX, JSON_OPTIONAL),
      LIST("remove", remove, remove_count, some_text, 0, COMMAND_IDS_MAX, JSON_OPTIONAL), END);
SHAPE(blob_args, PRODUCT("product", JSON_REQUIRED), DIGEST("sha256", sha256, JSON_REQUIRED, 0),
      NUMBER("size", size, 1, JSON_REQUIRED), END);
SHAPE(firmware_add_args, ENVELOPE("firmware"),
      LIST("packs", packs, pack_count, pack_digest, 1, MESSAGE_PACKS_MAX, JSON_REQUIRED), END);
SHAPE(firmware_packs_args, PRODUCT("product", JSON_REQUIRED), VERSION(JSON_REQUIRED),
      LIST("packs", packs, pack_count, pack_digest, 1, MESSAGE_PACKS_MAX, JSON_REQUIRED), END);
SHAPE(firmware_args, PRODUCT("product", JSON_REQUIRED), VERSION(JSON_REQUIRED), END);
SHAPE(release_create_args, ENVELOPE("release"), SWITCH("dry_run", dry_run),
      SWITCH("override", override), END);
SHAPE(release_args, PRODUCT("product", JSON_REQUIRED),
      NUMBER("number", number, 1, JSON_REQUIRED), END);
SHAPE(release_devices_args, PRODUCT("product", JSON_REQUIRED),
      NUMBER("number", number, 1, JSON_REQUIRED),
      ONE_OF("state", state, update_state_names, JSON_OPTIONAL, 0),
      {.name = "wave",
       .kind = JSON_U32,
       .flag = JSON_OPTIONAL,
       .offset = AT(wave),
       .size = SIZE(wave),
       .has_offset = AT(has_wave)},
      PAGE, END);
SHAPE(release_retry_args, PRODUCT("product", JSON_REQUIRED),
      NUMBER("number", number, 1, JSON_REQUIRED),
      LIST("devices", devices, device_count, some_text, 0, COMMAND_IDS_MAX, JSON_OPTIONAL),
      END);
SHAPE(root_args, ENVELOPE("root"), END);
SHAPE(head_args, ENVELOPE("head"), END);
SHAPE(manager_set_args, PERSON, SCOPED("product"),
      ONE_OF("role", role, manager_role_names, JSON_REQUIRED, 0), END);
SHAPE(manager_revoke_args, PERSON,
      NAMED("product", product, name_is_product_or_all, "a product or *", JSON_OPTIONAL), END);
SHAPE(token_create_args, PERSON, SCOPED("product"),
      ONE_OF("role", role, manager_role_names, JSON_REQUIRED, 0),
      SMALL("days", days, 1, 3650, JSON_REQUIRED), END);
SHAPE(token_args, NAMED("id", id, name_is_id, NAME_ALLOWED, JSON_REQUIRED), END);
SHAPE(audit_verify_args, NUMBER("entries", entries, 1, JSON_OPTIONAL),
      DIGEST("tip", tip, JSON_OPTIONAL, AT(has_tip)), END);

#define READS(verb, role, scope, shape, handle)                                                \
	{                                                                                      \
		verb, MANAGER_##role, SCOPE_##scope, false, &shape, command_##handle           \
	}
#define CHANGES(verb, role, scope, shape, handle)                                              \
	{                                                                                      \
		verb, MANAGER_##role, SCOPE_##scope, true, &shape, command_##handle            \
	}

/* clang-format off */
const struct command_row command_rows[] = {
	READS("whoami", NOBODY, ANY, no_args, whoami),
	READS("status", NOBODY, ANY, no_args, status),
	READS("product.list", VIEWER, HANDLER, page_args, product_list),
	CHANGES("product.create", ADMIN, ALL, product_change_args, product_create),
	CHANGES("product.update", ADMIN, PRODUCT, product_change_args, product_update),
	READS("product.show", VIEWER, PRODUCT, product_name_args, product_show),
	READS("device.list", VIEWER, MAYBE, device_list_args, device_list),
	READS("device.show", VIEWER, DEVICE, device_args, device_show),
	CHANGES("device.import", DEVELOPER, PRODUCT, device_import_args, device_import),
	CHANGES("device.approve", DEVELOPER, HANDLER, devices_args, device_approve),
	CHANGES("device.deny", DEVELOPER, HANDLER, devices_args, device_deny),
	CHANGES("device.remove", DEVELOPER, HANDLER, devices_args, device_remove),
	CHANGES("device.set", DEVELOPER, DEVICE, device_set_args, device_set),
	READS("device.updates", VIEWER, DEVICE, device_page_args, device_updates),
	READS("device.log", MAINTAINER, DEVICE, device_log_args, device_log),
	READS("device.why", VIEWER, DEVICE, device_args, device_why),
	CHANGES("device.retry", DEVELOPER, DEVICE, device_release_args, device_retry),
	CHANGES("device.revert", DEVELOPER, DEVICE, device_release_args, device_revert),
	CHANGES("device.ping", MAINTAINER, DEVICE, device_args, device_ping),
	READS("group.list", VIEWER, PRODUCT, product_page_args, group_list),
	CHANGES("group.create", DEVELOPER, PRODUCT, group_args, group_create),
	CHANGES("group.delete", DEVELOPER, PRODUCT, group_args, group_delete),
	CHANGES("group.edit", DEVELOPER, PRODUCT, group_edit_args, group_edit),
	CHANGES("blob.begin", DEVELOPER, PRODUCT, blob_args, blob_begin),
	CHANGES("firmware.add", DEVELOPER, HANDLER, firmware_add_args, firmware_add),
	CHANGES("firmware.packs", DEVELOPER, PRODUCT, firmware_packs_args, firmware_packs),
	READS("firmware.list", VIEWER, PRODUCT, product_page_args, firmware_list),
	READS("firmware.show", VIEWER, PRODUCT, firmware_args, firmware_show),
	READS("firmware.bases", VIEWER, PRODUCT, product_args, firmware_bases),
	CHANGES("firmware.delete", DEVELOPER, PRODUCT, firmware_args, firmware_delete),
	CHANGES("release.create", DEVELOPER, HANDLER, release_create_args, release_create),
	READS("release.list", VIEWER, PRODUCT, product_page_args, release_list),
	READS("release.show", VIEWER, PRODUCT, release_args, release_show),
	READS("release.devices", VIEWER, PRODUCT, release_devices_args, release_devices),
	CHANGES("release.hold", DEVELOPER, PRODUCT, release_args, release_hold),
	CHANGES("release.resume", DEVELOPER, PRODUCT, release_args, release_resume),
	CHANGES("release.advance", DEVELOPER, PRODUCT, release_args, release_advance),
	CHANGES("release.abort", DEVELOPER, PRODUCT, release_args, release_abort),
	CHANGES("release.approve", DEVELOPER, PRODUCT, release_args, release_approve),
	CHANGES("release.retry", DEVELOPER, PRODUCT, release_retry_args, release_retry),
	READS("root.show", VIEWER, ANY, no_args, root_show),
	CHANGES("root.update", ADMIN, ALL, root_args, root_update),
	CHANGES("head.update", DEVELOPER, HANDLER, head_args, head_update),
	READS("manager.list", ADMIN, HANDLER, any_product_page_args, manager_list),
	CHANGES("manager.set", ADMIN, PRODUCT, manager_set_args, manager_set),
	CHANGES("manager.revoke", ADMIN, HANDLER, manager_revoke_args, manager_revoke),
	READS("token.list", ADMIN, HANDLER, page_args, token_list),
	CHANGES("token.create", ADMIN, PRODUCT, token_create_args, token_create),
	CHANGES("token.revoke", ADMIN, HANDLER, token_args, token_revoke),
	READS("audit.list", ADMIN, ALL, page_args, audit_list),
	READS("audit.verify", ADMIN, ALL, audit_verify_args, audit_verify),
	READS("event.list", VIEWER, PRODUCT, product_page_args, event_list),
	{ .verb = NULL },
};
/* clang-format on */
