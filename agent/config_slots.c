/* The slots and the boot state that the configuration names. */
#include "config.h"

#include "name.h"

#include <string.h>

unsigned config_classes(const struct config *config, char ret_classes[SLOT_PARTS_MAX][33])
{
	const char *at = config->slot_class;
	unsigned count = 0;
	size_t len;

	for (; (at = name_next_word(at, &len)); at += len) {
		if (count == SLOT_PARTS_MAX || len >= sizeof(ret_classes[0]))
			return 0;
		memcpy(ret_classes[count], at, len);
		ret_classes[count][len] = '\0';
		if (!name_is_component(ret_classes[count++]))
			return 0;
	}
	return count;
}

enum ota_err config_make_record_place(const struct config *config, struct ota_why *why)
{
	char directory[DISK_PATH_SIZE];

	if (config->boot_state != CONFIG_BOOT_RECORD)
		return OTA_OK;
	if (!text_copy(directory, sizeof(directory), config->boot_record))
		return ota_fail(why, OTA_BAD_REQUEST, "boot_record: the path is too long");
	*strrchr(directory, '/') = '\0';
	return directory[0] ? disk_make_directory(disk_posix(), directory, 0700, why) : OTA_OK;
}

enum ota_err config_boot_store(const struct config *config, struct boot_store *ret_store,
			       struct ota_why *why)
{
	switch ((enum config_boot_state)config->boot_state) {
	case CONFIG_BOOT_UBOOT:
		return bootstate_uboot_open(config->boot_record, ret_store, why);
	case CONFIG_BOOT_GRUB:
		return bootstate_grub_open(disk_posix(), config->boot_record, ret_store, why);
	case CONFIG_BOOT_RECORD:
		break;
	}
	return bootstate_record_open(disk_posix(), config->boot_record, 0, ret_store, why);
}

static enum ota_err image_part(const struct config *config, struct slot_part *ret_part,
			       struct ota_why *why)
{
	struct slot_part part = {0};

	if (!text_copy(part.slot_class, sizeof(part.slot_class), config->slot_class) ||
	    !text_copy(part.path[BOOT_SLOT_A], DISK_PATH_SIZE, config->slot_a) ||
	    !text_copy(part.path[BOOT_SLOT_B], DISK_PATH_SIZE, config->slot_b) ||
	    !text_copy(part.link, DISK_PATH_SIZE,
		       config->current_link ? config->current_link : ""))
		return ota_fail(why, OTA_BAD_REQUEST, "a slot's path is too long");
	*ret_part = part;
	return OTA_OK;
}

static enum ota_err exec_slots(const struct config *config, struct slots *ret_slots,
			       struct ota_why *why)
{
	char classes[SLOT_PARTS_MAX][33];
	const char *names[SLOT_PARTS_MAX];
	unsigned count = config_classes(config, classes);

	for (unsigned i = 0; i < count; i++)
		names[i] = classes[i];
	return slot_exec_open(config->slot_program, names, count,
			      (uint32_t)config->slot_timeout, ret_slots, why);
}

enum ota_err config_slots(const struct config *config, struct slots *ret_slots,
			  struct ota_why *why)
{
	struct slot_part part;
	struct boot_store store;
	enum ota_err err;

	if (config->slot == CONFIG_SLOT_EXEC)
		return exec_slots(config, ret_slots, why);
	err = image_part(config, &part, why);
	if (!err)
		err = config_boot_store(config, &store, why);
	if (err)
		return ota_context(why, err, "boot state");
	if (config->slot == CONFIG_SLOT_BLOCK)
		return slot_block_open(disk_posix(), &part, 1, NULL, &store, ret_slots, why);
	return slot_file_open(disk_posix(), &part, 1, config->slot_size, &store, ret_slots,
			      why);
}

enum ota_err config_agent_slots(const struct config *config, struct slots *ret_slots,
				struct ota_why *why)
{
	struct slot_part part;
	enum ota_err err;

	if (!config->slot_socket)
		return config_slots(config, ret_slots, why);
	err = image_part(config, &part, why);
	if (err)
		return err;
	return slot_remote_open(config->slot_socket, &part, 1, (uint32_t)config->slot_timeout,
				ret_slots, why);
}
