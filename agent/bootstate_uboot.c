/* The boot state in U-Boot's environment, through libubootenv. Seven variables:
 *
 *   ota_phase (settled armed trying returned), ota_active, ota_trying (a b), ota_tries (0 … 9),
 *   ota_bootable_a, ota_bootable_b, ota_exhausted (0 1)
 *
 * which U-Boot's script (doc/boot/uboot.cmd) reads and, to count a try, writes with one
 * saveenv. Storing the environment writes all of it into the copy that is not in use, with a
 * greater sequence, so seven variables change as one; that needs the redundant form, which is
 * checked. The library does not sync; it is done here. */
#include "bootstate.h"

#include "own.h"

#include <errno.h>
#include <fcntl.h>
#include <libuboot.h>
#include <string.h>

#define UBOOT_COPIES	2u
#define UBOOT_LINE_SIZE 512u

enum uboot_variable {
	UBOOT_PHASE = 0,
	UBOOT_ACTIVE,
	UBOOT_TRYING,
	UBOOT_TRIES,
	UBOOT_BOOTABLE_A,
	UBOOT_BOOTABLE_B,
	UBOOT_EXHAUSTED,
	UBOOT_VARIABLE_COUNT,
};

static const char *const no_yes[] = {"0", "1", NULL};
static const char *const digits[] = {"0", "1", "2", "3", "4", "5", "6", "7", "8", "9", NULL};
static const struct {
	const char *name;
	const char *const *words;
} variables[UBOOT_VARIABLE_COUNT] = {
	{"ota_phase", boot_phase_names}, {"ota_active", boot_slot_names},
	{"ota_trying", boot_slot_names}, {"ota_tries", digits},
	{"ota_bootable_a", no_yes},	 {"ota_bootable_b", no_yes},
	{"ota_exhausted", no_yes},
};

struct uboot_store {
	char config[DISK_PATH_SIZE];
	char device[UBOOT_COPIES][DISK_PATH_SIZE]; /* what the configuration names */
};

/* Closing also gives back the lock, which a failed opening keeps. */
static void uboot_close(struct uboot_ctx **env)
{
	if (!*env)
		return;
	libuboot_close(*env);
	libuboot_exit(*env);
}

/* fw_env.config: `device offset size [sector size [sectors]]` lines, one a copy. */
static enum ota_err uboot_read_config(struct uboot_store *uboot, struct ota_why *why)
{
	char line[UBOOT_LINE_SIZE];
	unsigned copies = 0;
	AUTO_FCLOSE FILE *config = fopen(uboot->config, "re");

	if (!config)
		return ota_fail_errno(why, OTA_BOOTLOADER_ERROR, errno, "'%s'", uboot->config);
	while (fgets(line, sizeof(line), config)) {
		size_t blank = strspn(line, " \t\r\n");
		size_t len = strcspn(line + blank, " \t\r\n");
		if (line[blank] == '#' || len == 0)
			continue;
		line[blank + len] = '\0';
		if (copies < UBOOT_COPIES &&
		    !text_copy(uboot->device[copies], DISK_PATH_SIZE, line + blank))
			return ota_fail(why, OTA_BOOTLOADER_ERROR, "'%s': a path is too long",
					uboot->config);
		copies++;
	}
	if (copies != UBOOT_COPIES)
		return ota_fail(why, OTA_BOOTLOADER_ERROR,
				"'%s' names %u copies of the environment; it takes 2 to "
				"survive a power cut",
				uboot->config, copies);
	return OTA_OK;
}

/* What the library wrote, or a killed process left in the cache, onto the medium. */
static enum ota_err uboot_sync(const struct uboot_store *uboot, struct ota_why *why)
{
	for (unsigned copy = 0; copy < UBOOT_COPIES; copy++) {
		AUTO_CLOSE int file = open(uboot->device[copy], O_RDWR | O_CLOEXEC);
		if (file < 0)
			return ota_fail_errno(why, OTA_BOOTLOADER_ERROR, errno, "'%s'",
					      uboot->device[copy]);
		/* A character device (raw flash) has no cache to sync. */
		if (fsync(file) < 0 && errno != EINVAL)
			return ota_fail_errno(why, OTA_BOOTLOADER_ERROR, errno, "'%s'",
					      uboot->device[copy]);
		posix_fadvise(file, 0, 0, POSIX_FADV_DONTNEED);
	}
	return OTA_OK;
}

static enum ota_err uboot_load(const struct uboot_store *uboot, struct uboot_ctx **ret_env,
			       struct ota_why *why)
{
	AUTO(uboot_close) struct uboot_ctx *env = NULL;
	enum ota_err err = uboot_sync(uboot, why);

	if (err)
		return err;
	if (libuboot_initialize(&env, NULL) < 0)
		return ota_fail(why, OTA_OUT_OF_MEMORY, "U-Boot's environment");
	if (libuboot_read_config(env, uboot->config) < 0)
		return ota_fail(why, OTA_BOOTLOADER_ERROR, "'%s' cannot be read",
				uboot->config);
	if (libuboot_open(env) < 0)
		return ota_fail(why, OTA_BOOTLOADER_ERROR,
				"neither copy of U-Boot's environment in '%s' is whole",
				uboot->config);
	*ret_env = TAKE(env);
	return OTA_OK;
}

static enum ota_err uboot_get(struct uboot_ctx *env, unsigned variable, unsigned *ret_value,
			      bool *ret_there, struct ota_why *why)
{
	AUTO_FREE char *text = libuboot_get_env(env, variables[variable].name);

	*ret_there = text != NULL;
	if (!text)
		return OTA_OK;
	for (unsigned i = 0; variables[variable].words[i]; i++) {
		if (strcmp(text, variables[variable].words[i]) != 0)
			continue;
		*ret_value = i;
		return OTA_OK;
	}
	return ota_fail(why, OTA_BOOTLOADER_ERROR, "the variable %s is '%s'",
			variables[variable].name, text);
}

static enum ota_err uboot_read(void *ctx, struct boot_state *ret_state, struct ota_why *why)
{
	unsigned value[UBOOT_VARIABLE_COUNT] = {0}, there_count = 0;
	AUTO(uboot_close) struct uboot_ctx *env = NULL;
	enum ota_err err = uboot_load(ctx, &env, why);

	if (err)
		return err;
	for (unsigned i = 0; !err && i < UBOOT_VARIABLE_COUNT; i++) {
		bool there;
		err = uboot_get(env, i, &value[i], &there, why);
		there_count += there;
	}
	if (err)
		return err;
	if (there_count == 0) {
		*ret_state = bootstate_factory;
		return OTA_OK;
	}
	if (there_count != UBOOT_VARIABLE_COUNT)
		return ota_fail(why, OTA_BOOTLOADER_ERROR,
				"%u of the %u ota_ variables are in U-Boot's environment",
				there_count, UBOOT_VARIABLE_COUNT);
	*ret_state = (struct boot_state){
		.phase = (enum boot_phase)value[UBOOT_PHASE],
		.active = (enum boot_slot)value[UBOOT_ACTIVE],
		.trying = (enum boot_slot)value[UBOOT_TRYING],
		.tries = value[UBOOT_TRIES],
		.bootable = {value[UBOOT_BOOTABLE_A] != 0, value[UBOOT_BOOTABLE_B] != 0},
		.exhausted = value[UBOOT_EXHAUSTED] != 0,
	};
	return OTA_OK;
}

static enum ota_err uboot_write(void *ctx, const struct boot_state *state, struct ota_why *why)
{
	const unsigned value[UBOOT_VARIABLE_COUNT] = {
		[UBOOT_PHASE] = state->phase,
		[UBOOT_ACTIVE] = state->active,
		[UBOOT_TRYING] = state->trying,
		[UBOOT_TRIES] = state->tries,
		[UBOOT_BOOTABLE_A] = state->bootable[BOOT_SLOT_A],
		[UBOOT_BOOTABLE_B] = state->bootable[BOOT_SLOT_B],
		[UBOOT_EXHAUSTED] = state->exhausted,
	};
	AUTO(uboot_close) struct uboot_ctx *env = NULL;
	int failed = 0;
	enum ota_err err = uboot_load(ctx, &env, why);

	if (err)
		return err;
	for (unsigned i = 0; !failed && i < UBOOT_VARIABLE_COUNT; i++)
		failed = libuboot_set_env(env, variables[i].name, variables[i].words[value[i]]);
	if (!failed)
		failed = libuboot_env_store(env);
	if (failed)
		return ota_fail(why, OTA_BOOTLOADER_ERROR,
				"U-Boot's environment could not be stored (%d)", failed);
	return uboot_sync(ctx, why);
}

enum ota_err bootstate_uboot_open(const char *config, struct boot_store *ret_store,
				  struct ota_why *why)
{
	AUTO_FREE struct uboot_store *uboot = calloc(1, sizeof(*uboot));
	struct boot_state state;

	if (!uboot)
		return ota_fail(why, OTA_OUT_OF_MEMORY, "the boot state");
	if (!text_copy(uboot->config, sizeof(uboot->config), config))
		return ota_fail(why, OTA_BOOTLOADER_ERROR, "the path '%s' is too long", config);
	enum ota_err err = uboot_read_config(uboot, why);
	if (!err)
		err = uboot_read(uboot, &state, why);
	if (err)
		return err;
	*ret_store = (struct boot_store){
		.ctx = TAKE(uboot), .read = uboot_read, .write = uboot_write, .done = free};
	return OTA_OK;
}
