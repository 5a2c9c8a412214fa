#include "why.h"

#include <errno.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

struct row {
	enum ota_err err;
	enum ota_err_class class;
	const char *name;
	const char *sentence;
};

/* The table of PROTOCOL.md section 8; a test compares the two. */
static const struct row rows[] = {
	{OTA_BUSY, OTA_CLASS_NETWORK, "busy",
	 "The other side has too much to do at the moment."},
	{OTA_SLOT_ERROR, OTA_CLASS_PERMANENT, "slot_error",
	 "The place where the new version is written cannot be used."},
	{OTA_OUT_OF_MEMORY, OTA_CLASS_NETWORK, "out_of_memory", "There is not enough memory."},
	{OTA_INSUFFICIENT_STORAGE, OTA_CLASS_DEVICE, "insufficient_storage",
	 "There is not enough free space."},
	{OTA_SEGMENT_HASH_MISMATCH, OTA_CLASS_NETWORK, "segment_hash_mismatch",
	 "A piece of the image is not the one that was signed."},
	{OTA_IMAGE_HASH_MISMATCH, OTA_CLASS_PERMANENT, "image_hash_mismatch",
	 "The image on the medium is not the one that was signed."},
	{OTA_SIZE_MISMATCH, OTA_CLASS_PERMANENT, "size_mismatch",
	 "Something has another size than was announced."},
	{OTA_RESUME_MISMATCH, OTA_CLASS_NETWORK, "resume_mismatch",
	 "What was kept of an interrupted download does not belong to this one."},
	{OTA_MANIFEST_INVALID, OTA_CLASS_PERMANENT, "manifest_invalid",
	 "A signed document is not well-formed."},
	{OTA_INCOMPATIBLE_HARDWARE, OTA_CLASS_PERMANENT, "incompatible_hardware",
	 "The firmware is not for this hardware."},
	{OTA_WRONG_PRODUCT, OTA_CLASS_PERMANENT, "wrong_product",
	 "The firmware or release is for another product."},
	{OTA_VERSION_NOT_ALLOWED, OTA_CLASS_PERMANENT, "version_not_allowed",
	 "The device may not go from its version to this one."},
	{OTA_RELEASE_STALE, OTA_CLASS_PERMANENT, "release_stale",
	 "The release is older than one that was already accepted."},
	{OTA_RELEASE_EXPIRED, OTA_CLASS_PERMANENT, "release_expired",
	 "The release or firmware may no longer be installed."},
	{OTA_SIGNATURE_INVALID, OTA_CLASS_PERMANENT, "signature_invalid",
	 "A signature does not fit what it stands under."},
	{OTA_SIGNATURE_THRESHOLD, OTA_CLASS_PERMANENT, "signature_threshold",
	 "Too few of the required people have signed."},
	{OTA_SIGNER_NOT_TRUSTED, OTA_CLASS_PERMANENT, "signer_not_trusted",
	 "The signer is unknown or may not sign this."},
	{OTA_ROOT_GAP, OTA_CLASS_PERMANENT, "root_gap",
	 "The trust root does not follow the one that is known."},
	{OTA_TLS_VERIFY_FAILED, OTA_CLASS_PERMANENT, "tls_verify_failed",
	 "The broker's certificate is not trusted."},
	{OTA_CONNECTION_LOST, OTA_CLASS_NETWORK, "connection_lost",
	 "The connection to the broker broke."},
	{OTA_DOWNLOAD_STALLED, OTA_CLASS_NETWORK, "download_stalled",
	 "The download made no progress for too long."},
	{OTA_CHUNK_REFUSED, OTA_CLASS_NETWORK, "chunk_refused",
	 "The broker would not send a part of the image."},
	{OTA_UPDATES_DISABLED, OTA_CLASS_DEVICE, "updates_disabled",
	 "Updates are switched off on the device."},
	{OTA_INSTALL_FAILED, OTA_CLASS_PERMANENT, "install_failed",
	 "The new version could not be installed."},
	{OTA_BOOTLOADER_ERROR, OTA_CLASS_PERMANENT, "bootloader_error",
	 "The boot state could not be read or written."},
	{OTA_HEALTH_CHECK_FAILED, OTA_CLASS_PERMANENT, "health_check_failed",
	 "The new version started, but its health check failed."},
	{OTA_NO_CONNECTIVITY_AFTER_UPDATE, OTA_CLASS_PERMANENT, "no_connectivity_after_update",
	 "The new version did not reach the broker and the old one was put back."},
	{OTA_CRASH_LOOP, OTA_CLASS_PERMANENT, "crash_loop",
	 "The new version kept crashing and the old one was put back."},
	{OTA_REVERTED_BY_MANAGER, OTA_CLASS_PERMANENT, "reverted_by_manager",
	 "A manager sent the device back to its previous version."},
	{OTA_LOST, OTA_CLASS_NETWORK, "lost",
	 "The device restarted and was not heard of again."},
	{OTA_INTERNAL, OTA_CLASS_PERMANENT, "internal", "The program has a defect."},
	{OTA_CRASHED_IN_TRIAL, OTA_CLASS_PERMANENT, "crashed_in_trial",
	 "The new version came up, but crashed before it had proved itself."},
	{OTA_NOT_RESPONDING, OTA_CLASS_PERMANENT, "not_responding",
	 "The new version runs, but its health check got no answer."},
	{OTA_MEMORY_EXHAUSTED, OTA_CLASS_PERMANENT, "memory_exhausted",
	 "The new version took more memory than there is."},
	{OTA_STORAGE_EXHAUSTED, OTA_CLASS_PERMANENT, "storage_exhausted",
	 "The new version filled the device's storage."},
	{OTA_NOT_EXECUTABLE, OTA_CLASS_PERMANENT, "not_executable",
	 "The new version is no program that this device can run."},
	{OTA_IMAGE_TRUNCATED, OTA_CLASS_PERMANENT, "image_truncated",
	 "The image ends before its own contents do: it was built or cut wrongly."},
	{OTA_AGENT_KILLED, OTA_CLASS_PERMANENT, "agent_killed",
	 "Something in the new version kept ending the update agent."},
	{OTA_NO_NETWORK_AFTER_UPDATE, OTA_CLASS_PERMANENT, "no_network_after_update",
	 "With the new version the device had no network at all."},
	{OTA_BAD_REQUEST, OTA_CLASS_COMMAND, "bad_request", "The request is not well-formed."},
	{OTA_UNAUTHORIZED, OTA_CLASS_COMMAND, "unauthorized",
	 "It is not known who is asking, or the proof has expired."},
	{OTA_FORBIDDEN, OTA_CLASS_COMMAND, "forbidden", "The role does not allow this."},
	{OTA_NOT_FOUND, OTA_CLASS_COMMAND, "not_found", "There is no such thing."},
	{OTA_CONFLICT, OTA_CLASS_COMMAND, "conflict",
	 "This contradicts what is there already."},
	{OTA_NOT_PROVEN, OTA_CLASS_COMMAND, "not_proven",
	 "The version has not yet succeeded on any device of the product."},
	{OTA_TOO_LARGE, OTA_CLASS_COMMAND, "too_large", "It is larger than what is allowed."},
	{OTA_RATE_LIMITED, OTA_CLASS_COMMAND, "rate_limited",
	 "Too many requests came in too short a time."},
	{OTA_QUOTA_EXCEEDED, OTA_CLASS_COMMAND, "quota_exceeded",
	 "The space that is set aside for this is used up."},
	{OTA_SIGNATURE_REQUIRED, OTA_CLASS_COMMAND, "signature_required",
	 "This must be signed with a release key."},
	{OTA_APPROVAL_REQUIRED, OTA_CLASS_COMMAND, "approval_required",
	 "A second manager must approve this."},
	{OTA_NO_TARGETS, OTA_CLASS_COMMAND, "no_targets",
	 "No device would receive this release."},
	{OTA_UNREACHABLE, OTA_CLASS_COMMAND, "unreachable",
	 "The other side cannot be reached."},
	{OTA_IO_ERROR, OTA_CLASS_COMMAND, "io_error", "Reading or writing a file failed."},
	{OTA_VERSION_EXISTS, OTA_CLASS_COMMAND, "version_exists",
	 "There is already another image with this version."},
};

#define ROW_COUNT (sizeof(rows) / sizeof(rows[0]))

static const struct row *row_of(unsigned number)
{
	for (size_t i = 0; i < ROW_COUNT; i++) {
		if ((unsigned)rows[i].err == number)
			return &rows[i];
	}
	return NULL;
}

/* A text that filled its buffer may end inside a character: the incomplete tail goes. */
static void cut_at_border(char *text)
{
	size_t len = strlen(text), lead = len;

	while (lead > 0 && len - lead < 4 && ((uint8_t)text[lead - 1] & 0xc0) == 0x80)
		lead--;
	if (lead == 0)
		return;
	lead--;
	uint8_t byte = (uint8_t)text[lead];
	size_t need = byte >= 0xf0 ? 4 : byte >= 0xe0 ? 3 : byte >= 0xc0 ? 2 : 1;

	if (len - lead < need)
		text[lead] = '\0';
}

static void put(char text[OTA_WHY_TEXT_MAX], const char *format, va_list args)
	__attribute__((format(printf, 2, 0)));

static void put(char text[OTA_WHY_TEXT_MAX], const char *format, va_list args)
{
	if (vsnprintf(text, OTA_WHY_TEXT_MAX, format, args) >= OTA_WHY_TEXT_MAX)
		cut_at_border(text);
}

enum ota_err ota_fail(struct ota_why *why, enum ota_err err, const char *format, ...)
{
	if (!why)
		return err;
	char text[OTA_WHY_TEXT_MAX]; /* the arguments may point into why->text */
	va_list args;

	va_start(args, format);
	put(text, format, args);
	va_end(args);
	why->err = err;
	why->detail = 0;
	memcpy(why->text, text, sizeof(text));
	return err;
}

static void append(char *text, const char *separator, const char *more)
{
	size_t len = strlen(text);
	int written = snprintf(text + len, OTA_WHY_TEXT_MAX - len, "%s%s", separator, more);

	if (written < 0 || (size_t)written >= OTA_WHY_TEXT_MAX - len)
		cut_at_border(text);
}

enum ota_err ota_fail_errno(struct ota_why *why, enum ota_err err, int number,
			    const char *format, ...)
{
	if (number == ENOSPC || number == EDQUOT)
		err = OTA_INSUFFICIENT_STORAGE;
	else if (number == ENOMEM)
		err = OTA_OUT_OF_MEMORY;
	if (!why)
		return err;
	char text[OTA_WHY_TEXT_MAX];
	va_list args;

	va_start(args, format);
	put(text, format, args);
	va_end(args);
	/* of the calling thread alone, in glibc (2.32) and musl */
	append(text, ": ", strerror(number));
	why->err = err;
	why->detail = number;
	memcpy(why->text, text, sizeof(text));
	return err;
}

enum ota_err ota_context(struct ota_why *why, enum ota_err err, const char *format, ...)
{
	if (!why)
		return err;
	char text[OTA_WHY_TEXT_MAX];
	va_list args;

	va_start(args, format);
	put(text, format, args);
	va_end(args);
	append(text, ": ", why->text);
	why->err = err;
	memcpy(why->text, text, sizeof(text));
	return err;
}

const char *ota_err_name(enum ota_err err)
{
	const struct row *row = row_of((unsigned)err);

	return row ? row->name : err == OTA_OK ? "ok" : "unknown";
}

enum ota_err_class ota_err_class(enum ota_err err)
{
	const struct row *row = row_of((unsigned)err);

	return row ? row->class : OTA_CLASS_NONE;
}

const char *ota_err_sentence(enum ota_err err)
{
	const struct row *row = row_of((unsigned)err);

	if (row)
		return row->sentence;
	return err == OTA_OK ? "All is well."
			     : "The error is of a kind that is not known here.";
}

bool ota_err_from_name(const char *name, enum ota_err *ret_err)
{
	for (size_t i = 0; i < ROW_COUNT; i++) {
		if (strcmp(rows[i].name, name) == 0) {
			*ret_err = rows[i].err;
			return true;
		}
	}
	return false;
}

bool ota_err_from_number(unsigned number, enum ota_err *ret_err)
{
	const struct row *row = row_of(number);

	if (!row)
		return false;
	*ret_err = row->err;
	return true;
}

bool ota_err_at(size_t i, enum ota_err *ret_err)
{
	if (i >= ROW_COUNT)
		return false;
	*ret_err = rows[i].err;
	return true;
}
