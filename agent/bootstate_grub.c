/* GRUB's environment block: a file of exactly 1024 bytes that begins with the signature line,
 * then `name=value` lines (backslash escapes backslash and newline), then '#' up to the end;
 * format of grub-core/lib/envblk.c. GRUB reads it with its own file system code and writes it
 * in place, sector by sector, so it must stay where it is: it is overwritten, never replaced.
 *
 * The state is one variable, which GRUB's script (doc/boot/grub.cfg) takes apart with regexp:
 *
 *   ota_state=<the state as bootstate_to_text() has it>
 *
 * and stands first, inside the first sector together with the signature. A sector is written
 * whole or not at all by any disk with power-loss protection of single sectors; where even that
 * is not given, use the two-copy record with `ota-agent boot-select` instead. */
#include "bootstate.h"

#include "own.h"

#include <fcntl.h>
#include <string.h>

#define GRUB_SIZE      1024u
#define GRUB_SIGNATURE "# GRUB Environment Block\n"
#define GRUB_SIGNED    (sizeof(GRUB_SIGNATURE) - 1)
#define GRUB_VARIABLE  "ota_state="

struct grub_store {
	const struct disk *disk;
	char path[DISK_PATH_SIZE];
};

static enum ota_err grub_read_block(const struct grub_store *grub, char ret_block[GRUB_SIZE],
				    struct ota_why *why)
{
	const struct disk *disk = grub->disk;
	uint64_t size = 0;
	int file = disk->open(disk->ctx, grub->path, O_RDWR, 0);

	if (file < 0)
		file = disk->open(disk->ctx, grub->path, O_RDONLY, 0);
	if (file < 0)
		return ota_fail_errno(why, OTA_BOOTLOADER_ERROR, -file, "'%s'", grub->path);
	/* What only the page cache holds must not be built upon; on a read-only file there is
	 * nothing of that kind. */
	if (disk->sync_data(disk->ctx, file) == 0)
		disk->drop_cache(disk->ctx, file);
	enum ota_err err = OTA_OK;
	int got = disk->size(disk->ctx, file, &size);
	if (got < 0)
		err = ota_fail_errno(why, OTA_BOOTLOADER_ERROR, -got, "its size");
	else if (size != GRUB_SIZE)
		err = ota_fail(why, OTA_BOOTLOADER_ERROR,
			       "it has %llu bytes, an environment block has %u",
			       (unsigned long long)size, GRUB_SIZE);
	if (!err)
		err = disk_read(disk, file, ret_block, GRUB_SIZE, 0, why);
	disk->close(disk->ctx, file);
	if (!err && memcmp(ret_block, GRUB_SIGNATURE, GRUB_SIGNED) != 0)
		err = ota_fail(why, OTA_BOOTLOADER_ERROR,
			       "it does not begin with '# GRUB Environment Block'");
	return err ? ota_context(why, err, "'%s'", grub->path) : OTA_OK;
}

/* The bytes that variables take: up to the first '#' that begins a line. */
static size_t grub_used(const char block[GRUB_SIZE])
{
	size_t at = GRUB_SIGNED;

	while (at < GRUB_SIZE && block[at] != '#') {
		while (at < GRUB_SIZE && block[at] != '\n')
			at += block[at] == '\\' ? 2 : 1;
		at++;
	}
	return at < GRUB_SIZE ? at : GRUB_SIZE;
}

/* The next line of variables, its newline counted; 0 at the end. */
static size_t grub_line(const char *block, size_t at, size_t used)
{
	size_t end = at;

	while (end < used && block[end] != '\n')
		end += block[end] == '\\' ? 2 : 1;
	return end < used ? end + 1 - at : used - at;
}

static bool grub_is_ours(const char *line, size_t len)
{
	return len > sizeof(GRUB_VARIABLE) - 1 &&
	       memcmp(line, GRUB_VARIABLE, sizeof(GRUB_VARIABLE) - 1) == 0;
}

static enum ota_err grub_read(void *ctx, struct boot_state *ret_state, struct ota_why *why)
{
	const struct grub_store *grub = ctx;
	char block[GRUB_SIZE], value[BOOT_TEXT_SIZE];
	enum ota_err err = grub_read_block(grub, block, why);

	if (err)
		return err;
	size_t used = grub_used(block);
	for (size_t at = GRUB_SIGNED, len; (len = grub_line(block, at, used)) > 0; at += len) {
		size_t prefix = sizeof(GRUB_VARIABLE) - 1;
		if (!grub_is_ours(block + at, len))
			continue;
		if (len - prefix > sizeof(value))
			break;
		memcpy(value, block + at + prefix, len - prefix - 1);
		value[len - prefix - 1] = '\0';
		if (bootstate_from_text(value, ret_state))
			return OTA_OK;
		return ota_fail(why, OTA_BOOTLOADER_ERROR,
				"'%s': the variable ota_state cannot be read", grub->path);
	}
	*ret_state = bootstate_factory;
	return OTA_OK;
}

static enum ota_err grub_write(void *ctx, const struct boot_state *state, struct ota_why *why)
{
	const struct grub_store *grub = ctx;
	const struct disk *disk = grub->disk;
	char block[GRUB_SIZE], fresh[GRUB_SIZE], value[BOOT_TEXT_SIZE];
	enum ota_err err = grub_read_block(grub, block, why);

	if (err)
		return err;
	size_t used = grub_used(block);
	bootstate_to_text(state, value);
	int len = snprintf(fresh, sizeof(fresh), "%s%s%s\n", GRUB_SIGNATURE, GRUB_VARIABLE,
			   value);
	size_t to = (size_t)len;
	for (size_t at = GRUB_SIGNED, line; (line = grub_line(block, at, used)) > 0;
	     at += line) {
		if (grub_is_ours(block + at, line))
			continue;
		if (to + line > GRUB_SIZE)
			return ota_fail(why, OTA_BOOTLOADER_ERROR,
					"'%s' has no room for ota_state", grub->path);
		memcpy(fresh + to, block + at, line);
		to += line;
	}
	memset(fresh + to, '#', GRUB_SIZE - to);
	int file = disk->open(disk->ctx, grub->path, O_RDWR, 0);
	if (file < 0)
		return ota_fail_errno(why, OTA_BOOTLOADER_ERROR, -file, "'%s'", grub->path);
	err = disk_write(disk, file, fresh, GRUB_SIZE, 0, why);
	if (!err)
		err = disk_sync(disk, file, why);
	disk->close(disk->ctx, file);
	return err ? ota_context(why, err, "'%s'", grub->path) : OTA_OK;
}

enum ota_err bootstate_grub_open(const struct disk *disk, const char *path,
				 struct boot_store *ret_store, struct ota_why *why)
{
	char block[GRUB_SIZE];
	AUTO_FREE struct grub_store *grub = calloc(1, sizeof(*grub));

	if (!grub)
		return ota_fail(why, OTA_OUT_OF_MEMORY, "the boot state");
	grub->disk = disk;
	if (!text_copy(grub->path, sizeof(grub->path), path))
		return ota_fail(why, OTA_BOOTLOADER_ERROR, "the path '%s' is too long", path);
	enum ota_err err = grub_read_block(grub, block, why);
	if (err)
		return err;
	*ret_store = (struct boot_store){
		.ctx = TAKE(grub), .read = grub_read, .write = grub_write, .done = free};
	return OTA_OK;
}
