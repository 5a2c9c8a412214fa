#include "bootstate.h"

enum ota_err bootstate_uboot_open(const char *config, struct boot_store *ret_store,
				  struct ota_why *why)
{
	(void)ret_store;
	return ota_fail(why, OTA_BOOTLOADER_ERROR, "built without libubootenv ('%s')", config);
}
