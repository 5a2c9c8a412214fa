/* The agent's configuration: one table of rows for the file, --help, --sample-config and the
 * man page (common/option.h). */
#pragma once

#include "option.h"
#include "slot.h"

enum config_slot {
	CONFIG_SLOT_FILE = 0,
	CONFIG_SLOT_BLOCK,
	CONFIG_SLOT_EXEC,
};

enum config_boot_state {
	CONFIG_BOOT_RECORD = 0,
	CONFIG_BOOT_UBOOT,
	CONFIG_BOOT_GRUB,
};

enum config_watchdog {
	CONFIG_WATCHDOG_TRIAL = 0,
	CONFIG_WATCHDOG_ALWAYS,
};

enum config_gate {
	CONFIG_ALLOW = 0,
	CONFIG_DENY,
};

struct config {
	char *state_dir, *broker, *ca_file, *cert_file, *key_file, *trust_root;
	char *product, *hardware, *groups;
	bool development;
	int slot;
	char *slot_class, *slot_a, *slot_b, *current_link, *slot_program;
	char *slot_socket, *slot_user;
	uint64_t slot_size, slot_timeout;
	char *command;
	uint64_t stop_timeout;
	int boot_state;
	char *boot_record;
	char *restart_command, *health_command, *outage_check;
	uint64_t health_timeout, confirm_timeout, probation;
	char *watchdog;
	uint64_t watchdog_timeout;
	int watchdog_when;
	char *boot_file; /* not a row: boot-id in state_dir */
	char *factory_version;
	uint64_t factory_security_version;
	int download, install, restart;
	char *window, *socket;
	uint64_t rate_limit;
	bool https;
	uint64_t https_threshold, https_timeout;
	uint64_t keepalive, reconnect_min, reconnect_max;
	int log_level;
};

extern const struct option_row config_rows[];

/* Reads the file and checks what no single row can say (a file slot needs slot_a and slot_b,
 * …). `config` must be zeroed; end it with config_done(). */
enum ota_err config_read(struct config *config, const char *path,
			 struct ota_why *why) OTA_CHECKED;
/* The checks alone, for a configuration that was set key by key. */
enum ota_err config_check(struct config *config, const char *where,
			  struct ota_why *why) OTA_CHECKED;
void config_done(struct config *config);

/* slot_class taken apart; how many there are, 0 when one is malformed or there are too many. */
unsigned config_classes(const struct config *config, char ret_classes[SLOT_PARTS_MAX][33]);
/* Makes the directory of a boot_record that is a file. */
enum ota_err config_make_record_place(const struct config *config,
				      struct ota_why *why) OTA_CHECKED;
/* Where the boot state is kept, opened. */
enum ota_err config_boot_store(const struct config *config, struct boot_store *ret_store,
			       struct ota_why *why) OTA_CHECKED;
/* The slots, written by this process: slot_socket is not looked at. */
enum ota_err config_slots(const struct config *config, struct slots *ret_slots,
			  struct ota_why *why) OTA_CHECKED;
/* The same, or those of ota-slot where slot_socket names it. */
enum ota_err config_agent_slots(const struct config *config, struct slots *ret_slots,
				struct ota_why *why) OTA_CHECKED;
