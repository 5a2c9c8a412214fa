#include "config.h"

#include "consent.h"
#include "logbook.h"
#include "name.h"
#include "own.h"
#include "tls.h"

#include <stdio.h>
#include <string.h>

static const char *const slot_names[] = {"file", "block", "exec", NULL};
static const char *const boot_names[] = {"record", "uboot", "grub", NULL};
static const char *const watchdog_names[] = {"trial", "always", NULL};
static const char *const gate_names[] = {"allow", "deny", NULL};

#define AT(member) offsetof(struct config, member)
#define SECOND	   UINT64_C(1000)
#define DAY	   (24 * 3600 * SECOND)

/* clang-format off */
const struct option_row config_rows[] = {
	{ .key = "state_dir", .kind = OPTION_PATH, .offset = AT(state_dir), .fallback = "/var/lib/ota-agent",
	  .help = "Directory for what must survive a restart; both versions must see it." },
	{ .key = "broker", .kind = OPTION_STRING, .offset = AT(broker),
	  .help = "The Mosquitto to connect to, as host:port; the host must stand in its certificate." },
	{ .key = "ca_file", .kind = OPTION_PATH, .offset = AT(ca_file),
	  .help = "CA certificates (PEM) that the broker's certificate must descend from; besides these only the trust root's anchors are trusted." },
	{ .key = "cert_file", .kind = OPTION_PATH, .offset = AT(cert_file),
	  .help = "This device's certificate (PEM); its common name is the device's id." },
	{ .key = "key_file", .kind = OPTION_PATH, .offset = AT(key_file),
	  .help = "The private key of cert_file (PEM)." },
	{ .key = "trust_root", .kind = OPTION_PATH, .offset = AT(trust_root),
	  .help = "The trust root that the device was delivered with; without it the agent does not start." },
	{ .key = "product", .kind = OPTION_STRING, .offset = AT(product),
	  .help = "The product that this device is." },
	{ .key = "hardware", .kind = OPTION_STRING, .offset = AT(hardware),
	  .help = "The hardware that firmware must name to be installed here." },
	{ .key = "groups", .kind = OPTION_STRING, .offset = AT(groups), .fallback = "",
	  .help = "The only groups whose releases are taken, separated by blanks; without it the broker says which are this device's." },
	{ .key = "development", .kind = OPTION_BOOL, .offset = AT(development), .fallback = "false",
	  .help = "Also accept firmware that is signed for development devices only." },
	{ .key = "slot", .kind = OPTION_CHOICE, .offset = AT(slot), .fallback = "file", .names = slot_names,
	  .help = "Where versions live: two image files, two partitions, or behind a program of one's own." },
	{ .key = "slot_class", .kind = OPTION_STRING, .offset = AT(slot_class), .fallback = "main",
	  .help = "The slot class that a firmware's component must name; exec slots may have up to 8, separated by blanks." },
	{ .key = "slot_a", .kind = OPTION_PATH, .offset = AT(slot_a), .fallback = "",
	  .help = "First image file or partition; at the first start it holds the factory version." },
	{ .key = "slot_b", .kind = OPTION_PATH, .offset = AT(slot_b), .fallback = "",
	  .help = "Second image file or partition." },
	{ .key = "current_link", .kind = OPTION_PATH, .offset = AT(current_link), .fallback = "",
	  .help = "Symbolic link that is kept pointing at the image that runs (file slots)." },
	{ .key = "slot_program", .kind = OPTION_PATH, .offset = AT(slot_program), .fallback = "",
	  .help = "Program that is called with verbs (exec slots)." },
	{ .key = "slot_socket", .kind = OPTION_PATH, .offset = AT(slot_socket), .fallback = "",
	  .help = "Socket of ota-slot(8), which then writes the partitions, so that the agent needs no right to (block slots)." },
	{ .key = "slot_user", .kind = OPTION_STRING, .offset = AT(slot_user), .fallback = "ota-agent",
	  .help = "User whose requests ota-slot takes, beside root's." },
	{ .key = "slot_size", .kind = OPTION_NUMBER, .offset = AT(slot_size), .fallback = "0", .bytes = true,
	  .help = "Bytes that an image file may have; 0: what the file system has room for (file slots)." },
	{ .key = "slot_timeout", .kind = OPTION_DURATION, .offset = AT(slot_timeout), .fallback = "10m",
	  .min = SECOND, .max = DAY,
	  .help = "Time that one call of slot_program may take, or ota-slot be silent." },
	{ .key = "command", .kind = OPTION_STRING, .offset = AT(command), .fallback = "",
	  .help = "Application to run and supervise, {slot} being the image's path (file slots); no shell." },
	{ .key = "stop_timeout", .kind = OPTION_DURATION, .offset = AT(stop_timeout), .fallback = "10s",
	  .min = 100, .max = 3600 * SECOND,
	  .help = "Time that the application has to end after SIGTERM." },
	{ .key = "boot_state", .kind = OPTION_CHOICE, .offset = AT(boot_state), .fallback = "record", .names = boot_names,
	  .help = "Who keeps what boots next: our own record, U-Boot's environment or GRUB's." },
	{ .key = "boot_record", .kind = OPTION_PATH, .offset = AT(boot_record), .fallback = "",
	  .help = "File or partition of the boot state; default: boot-state in state_dir (with slot_socket in /var/lib/ota-slot), /etc/fw_env.config or /boot/grub/grubenv." },
	{ .key = "restart_command", .kind = OPTION_STRING, .offset = AT(restart_command), .fallback = "",
	  .help = "Restarts the machine (block; default: reboot), or what runs the slots after their switch (exec; file without command)." },
	{ .key = "health_command", .kind = OPTION_STRING, .offset = AT(health_command), .fallback = "",
	  .help = "Exits with 0 when a new version is healthy, {slot} being its image; none: running is enough." },
	{ .key = "health_timeout", .kind = OPTION_DURATION, .offset = AT(health_timeout), .fallback = "60s",
	  .min = 100, .max = DAY,
	  .help = "Time in which health_command must have succeeded once after the switch." },
	{ .key = "confirm_timeout", .kind = OPTION_DURATION, .offset = AT(confirm_timeout), .fallback = "300s",
	  .min = SECOND, .max = DAY,
	  .help = "Time in which a new version must be healthy, connected and granted, or the old one comes back." },
	{ .key = "probation", .kind = OPTION_DURATION, .offset = AT(probation), .fallback = "60s",
	  .max = DAY,
	  .help = "Time that a new version must run without a crash before it asks for its commit; less than confirm_timeout." },
	{ .key = "outage_check", .kind = OPTION_STRING, .offset = AT(outage_check), .fallback = "",
	  .help = "Exits with 0 when the network is down for others too; then a trial is extended once." },
	{ .key = "watchdog", .kind = OPTION_PATH, .offset = AT(watchdog), .fallback = "",
	  .help = "Watchdog device that resets a machine that hangs, usually /dev/watchdog; boot-select starts it, the agent feeds it." },
	{ .key = "watchdog_timeout", .kind = OPTION_DURATION, .offset = AT(watchdog_timeout), .fallback = "60s",
	  .min = SECOND, .max = 3600 * SECOND,
	  .help = "Time without food after which it resets the machine; a boot up to the agent's start must take less." },
	{ .key = "watchdog_when", .kind = OPTION_CHOICE, .offset = AT(watchdog_when), .fallback = "trial", .names = watchdog_names,
	  .help = "Whether it runs while a version is on trial only, or always." },
	{ .key = "factory_version", .kind = OPTION_STRING, .offset = AT(factory_version), .fallback = "0",
	  .help = "Version of the image that slot_a holds at the first start." },
	{ .key = "factory_security_version", .kind = OPTION_NUMBER, .offset = AT(factory_security_version), .fallback = "0",
	  .help = "Its security version." },
	{ .key = "download", .kind = OPTION_CHOICE, .offset = AT(download), .fallback = "allow", .names = gate_names,
	  .help = "Whether updates may be downloaded." },
	{ .key = "install", .kind = OPTION_CHOICE, .offset = AT(install), .fallback = "allow", .names = gate_names,
	  .help = "Whether a downloaded update may be installed." },
	{ .key = "restart", .kind = OPTION_CHOICE, .offset = AT(restart), .fallback = "allow", .names = gate_names,
	  .help = "Whether the switch to an installed update may be made." },
	{ .key = "window", .kind = OPTION_STRING, .offset = AT(window), .fallback = "",
	  .help = "Local time of day in which all of that may happen, as HH:MM-HH:MM." },
	{ .key = "socket", .kind = OPTION_PATH, .offset = AT(socket), .fallback = "",
	  .help = "Local control socket; default: control in state_dir." },
	{ .key = "rate_limit", .kind = OPTION_NUMBER, .offset = AT(rate_limit), .fallback = "0", .bytes = true,
	  .help = "Bytes a second that a download may take; 0: no limit." },
	{ .key = "https", .kind = OPTION_BOOL, .offset = AT(https), .fallback = "true",
	  .help = "Fetch large updates from the HTTPS servers that an offer names; whatever is wrong with them, the rest comes over MQTT." },
	{ .key = "https_threshold", .kind = OPTION_NUMBER, .offset = AT(https_threshold), .fallback = "4M", .bytes = true,
	  .help = "Bytes still to fetch below which they come over MQTT in any case." },
	{ .key = "https_timeout", .kind = OPTION_DURATION, .offset = AT(https_timeout), .fallback = "30s",
	  .min = SECOND, .max = 600 * SECOND,
	  .help = "Time in which an HTTPS server must accept the connection, and over which it must send at least 2 KiB a second, or it is given up." },
	{ .key = "keepalive", .kind = OPTION_DURATION, .offset = AT(keepalive), .fallback = "60s",
	  .min = 5 * SECOND, .max = 3600 * SECOND,
	  .help = "Time without traffic after which the connection is probed." },
	{ .key = "reconnect_min", .kind = OPTION_DURATION, .offset = AT(reconnect_min), .fallback = "1s",
	  .min = 10, .max = 3600 * SECOND,
	  .help = "Shortest pause before connecting again." },
	{ .key = "reconnect_max", .kind = OPTION_DURATION, .offset = AT(reconnect_max), .fallback = "120s",
	  .min = 10, .max = DAY,
	  .help = "Longest pause before connecting again; pauses are random and their ceiling doubles." },
	{ .key = "log_level", .kind = OPTION_CHOICE, .offset = AT(log_level), .fallback = "info", .names = log_level_names,
	  .help = "What is written to the standard error output." },
	{ .key = NULL },
};
/* clang-format on */

/* Nobody else but root may be able to change what boots. */
static enum ota_err check_socket(const struct config *config, const char *where,
				 struct ota_why *why)
{
	size_t len = strlen(config->state_dir);

	if (!config->slot_socket)
		return OTA_OK;
	if (config->slot != CONFIG_SLOT_BLOCK)
		return ota_fail(why, OTA_BAD_REQUEST, "%s: slot_socket needs slot = block",
				where);
	if (config->boot_record && !strncmp(config->boot_record, config->state_dir, len) &&
	    config->boot_record[len] == '/')
		return ota_fail(why, OTA_BAD_REQUEST,
				"%s: with slot_socket, boot_record must not lie in state_dir, "
				"where the agent's user may write",
				where);
	return OTA_OK;
}

static enum ota_err check_slots(const struct config *config, const char *where,
				struct ota_why *why)
{
	char classes[SLOT_PARTS_MAX][33];
	unsigned count = config_classes(config, classes);

	if (count == 0 || (count > 1 && config->slot != CONFIG_SLOT_EXEC))
		return ota_fail(why, OTA_BAD_REQUEST,
				"%s: slot_class '%s' is not 1 to 32 of a-z 0-9 _ -%s", where,
				config->slot_class,
				count > 1 ? "; several need slot = exec" : "");
	if (config->slot == CONFIG_SLOT_EXEC) {
		if (!config->slot_program)
			return ota_fail(why, OTA_BAD_REQUEST,
					"%s: slot = exec needs slot_program", where);
		return check_socket(config, where, why);
	}
	if (!config->slot_a || !config->slot_b)
		return ota_fail(why, OTA_BAD_REQUEST, "%s: slot = %s needs slot_a and slot_b",
				where, slot_names[config->slot]);
	if (!strcmp(config->slot_a, config->slot_b))
		return ota_fail(why, OTA_BAD_REQUEST, "%s: slot_a and slot_b are the same",
				where);
	if (config->slot != CONFIG_SLOT_FILE && config->command)
		return ota_fail(why, OTA_BAD_REQUEST, "%s: command needs slot = file", where);
	return check_socket(config, where, why);
}

/* Defaults that follow from other keys. */
static enum ota_err fill(char **place, const char *directory, const char *name,
			 struct ota_why *why)
{
	if (*place)
		return OTA_OK;
	if (asprintf(place, "%s/%s", directory, name) < 0) {
		*place = NULL;
		return ota_fail(why, OTA_OUT_OF_MEMORY, "configuration");
	}
	return OTA_OK;
}

static enum ota_err fill_all(struct config *config, struct ota_why *why)
{
	enum ota_err err = fill(&config->socket, config->state_dir, "control", why);

	if (!err)
		err = fill(&config->boot_file, config->state_dir, "boot-id", why);
	if (err)
		return err;
	switch (config->boot_state) {
	case CONFIG_BOOT_UBOOT:
		return fill(&config->boot_record, "/etc", "fw_env.config", why);
	case CONFIG_BOOT_GRUB:
		return fill(&config->boot_record, "/boot/grub", "grubenv", why);
	default:
		return fill(&config->boot_record,
			    config->slot_socket ? "/var/lib/ota-slot" : config->state_dir,
			    "boot-state", why);
	}
}

static bool are_groups(const char *groups)
{
	char name[NAME_SIZE];
	size_t len;

	for (; groups && (groups = name_next_word(groups, &len)); groups += len) {
		if (len >= sizeof(name))
			return false;
		memcpy(name, groups, len);
		name[len] = '\0';
		if (!name_is_product(name))
			return false;
	}
	return true;
}

enum ota_err config_check(struct config *config, const char *where, struct ota_why *why)
{
	struct consent_rules rules = {0};
	char host[256], port[6];
	enum ota_err err = option_complete(config_rows, config, where, why);

	if (!err)
		err = check_slots(config, where, why);
	if (!err)
		err = consent_window(&rules, config->window ? config->window : "", why);
	if (err)
		return err;
	if (!tls_split(config->broker, host, sizeof(host), port, sizeof(port)))
		return ota_fail(why, OTA_BAD_REQUEST, "%s: broker '%s' is not host:port", where,
				config->broker);
	if (!name_is_product(config->product))
		return ota_fail(why, OTA_BAD_REQUEST,
				"%s: product '%s' is not " NAME_LOWER_ALLOWED, where,
				config->product);
	if (!name_is_id(config->hardware))
		return ota_fail(why, OTA_BAD_REQUEST, "%s: hardware '%s' is not " NAME_ALLOWED,
				where, config->hardware);
	if (!are_groups(config->groups))
		return ota_fail(why, OTA_BAD_REQUEST,
				"%s: groups '%s' are not names of " NAME_LOWER_ALLOWED
				", separated by blanks",
				where, config->groups);
	if (!name_is_version(config->factory_version))
		return ota_fail(why, OTA_BAD_REQUEST,
				"%s: factory_version '%s' is not " NAME_VERSION_ALLOWED, where,
				config->factory_version);
	if (config->probation >= config->confirm_timeout)
		return ota_fail(why, OTA_BAD_REQUEST,
				"%s: probation is %llu s, it must be less than confirm_timeout "
				"(%llu s)",
				where, (unsigned long long)config->probation / 1000,
				(unsigned long long)config->confirm_timeout / 1000);
	if (config->reconnect_min > config->reconnect_max)
		return ota_fail(why, OTA_BAD_REQUEST,
				"%s: reconnect_min is greater than reconnect_max", where);
	return fill_all(config, why);
}

enum ota_err config_read(struct config *config, const char *path, struct ota_why *why)
{
	enum ota_err err = option_defaults(config_rows, config, why);

	if (!err)
		err = option_read_file(config_rows, config, path, why);
	return err ? err : config_check(config, path, why);
}

void config_done(struct config *config)
{
	free(config->boot_file);
	config->boot_file = NULL;
	option_done(config_rows, config);
}
