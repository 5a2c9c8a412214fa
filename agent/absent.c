/* Back-ends that are not part of this build say so. */
#include "slot.h"

#ifdef OTA_ABSENT_EXEC
enum ota_err slot_exec_open(const char *program, const char *const *slot_classes,
			    unsigned part_count, uint32_t timeout_ms, struct slots *ret_slots,
			    struct ota_why *why)
{
	(void)slot_classes;
	(void)part_count;
	(void)timeout_ms;
	(void)ret_slots;
	return ota_fail(why, OTA_SLOT_ERROR, "built without exec slots ('%s')", program);
}
#endif

#ifdef OTA_ABSENT_UBOOT
enum ota_err bootstate_uboot_open(const char *config, struct boot_store *ret_store,
				  struct ota_why *why)
{
	(void)ret_store;
	return ota_fail(why, OTA_BOOTLOADER_ERROR, "built without libubootenv ('%s')", config);
}
#endif

#ifdef OTA_ABSENT_GRUB
enum ota_err bootstate_grub_open(const struct disk *disk, const char *path,
				 struct boot_store *ret_store, struct ota_why *why)
{
	(void)disk;
	(void)ret_store;
	return ota_fail(why, OTA_BOOTLOADER_ERROR, "built without GRUB's environment ('%s')",
			path);
}
#endif
