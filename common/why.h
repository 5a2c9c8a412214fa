/* Errors: one enum whose numbers are on the wire (PROTOCOL.md section 8), and the sentence that
 * tells a person what went wrong.
 *
 * A function that can fail returns enum ota_err, takes `struct ota_why *why` last (NULL is
 * allowed: nobody asks), leaves its outputs untouched on failure, and fills `why` where the
 * failure is first seen. Callers that know more put it in front with ota_context(). */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#define OTA_WHY_TEXT_MAX 512 /* the `message` member of an error record */

#define OTA_CHECKED __attribute__((warn_unused_result))

enum ota_err {
	OTA_OK = 0,
	OTA_BUSY = 1,
	OTA_SLOT_ERROR = 2,
	OTA_OUT_OF_MEMORY = 3,
	OTA_INSUFFICIENT_STORAGE = 4,
	OTA_SEGMENT_HASH_MISMATCH = 5,
	OTA_IMAGE_HASH_MISMATCH = 6,
	OTA_SIZE_MISMATCH = 7,
	OTA_RESUME_MISMATCH = 8,
	OTA_MANIFEST_INVALID = 9,
	OTA_INCOMPATIBLE_HARDWARE = 10,
	OTA_WRONG_PRODUCT = 11,
	OTA_VERSION_NOT_ALLOWED = 12,
	OTA_RELEASE_STALE = 13,
	OTA_RELEASE_EXPIRED = 14,
	OTA_SIGNATURE_INVALID = 15,
	OTA_SIGNATURE_THRESHOLD = 16,
	OTA_SIGNER_NOT_TRUSTED = 17,
	OTA_ROOT_GAP = 18,
	OTA_TLS_VERIFY_FAILED = 19,
	OTA_CONNECTION_LOST = 20,
	OTA_DOWNLOAD_STALLED = 21,
	OTA_CHUNK_REFUSED = 22,
	OTA_UPDATES_DISABLED = 23,
	OTA_INSTALL_FAILED = 24,
	OTA_BOOTLOADER_ERROR = 25,
	OTA_HEALTH_CHECK_FAILED = 26,
	OTA_NO_CONNECTIVITY_AFTER_UPDATE = 27,
	OTA_CRASH_LOOP = 28,
	OTA_REVERTED_BY_MANAGER = 29,
	OTA_LOST = 30,
	OTA_INTERNAL = 31,
	OTA_CRASHED_IN_TRIAL = 32,
	OTA_NOT_RESPONDING = 33,
	OTA_MEMORY_EXHAUSTED = 34,
	OTA_STORAGE_EXHAUSTED = 35,
	OTA_NOT_EXECUTABLE = 36,
	OTA_IMAGE_TRUNCATED = 37,
	OTA_AGENT_KILLED = 38,
	OTA_NO_NETWORK_AFTER_UPDATE = 39,
	OTA_BAD_REQUEST = 100,
	OTA_UNAUTHORIZED = 101,
	OTA_FORBIDDEN = 102,
	OTA_NOT_FOUND = 103,
	OTA_CONFLICT = 104,
	OTA_NOT_PROVEN = 105,
	OTA_TOO_LARGE = 106,
	OTA_RATE_LIMITED = 107,
	OTA_QUOTA_EXCEEDED = 108,
	OTA_SIGNATURE_REQUIRED = 109,
	OTA_APPROVAL_REQUIRED = 110,
	OTA_NO_TARGETS = 111,
	OTA_UNREACHABLE = 112,
	OTA_IO_ERROR = 113,
	OTA_VERSION_EXISTS = 114,
};

enum ota_err_class {
	OTA_CLASS_NONE = 0, /* OTA_OK or an unknown number */
	OTA_CLASS_NETWORK,  /* tried again by itself */
	OTA_CLASS_DEVICE,   /* again once the device's condition changed */
	OTA_CLASS_PERMANENT,
	OTA_CLASS_COMMAND,
};

struct ota_why {
	enum ota_err err;
	int detail; /* errno, OpenSSL reason or MQTT reason code; 0 when there is none */
	char text[OTA_WHY_TEXT_MAX];
};

/* Fills `why` (text cut at a character's border when too long) and returns `err`. */
enum ota_err ota_fail(struct ota_why *why, enum ota_err err, const char *format, ...)
	__attribute__((format(printf, 3, 4))) OTA_CHECKED;

/* As ota_fail, appending ": " and the text of `number`, kept in why->detail. ENOSPC and EDQUOT
 * turn any `err` into OTA_INSUFFICIENT_STORAGE, ENOMEM into OTA_OUT_OF_MEMORY. */
enum ota_err ota_fail_errno(struct ota_why *why, enum ota_err err, int number,
			    const char *format, ...)
	__attribute__((format(printf, 4, 5))) OTA_CHECKED;

/* Puts "<format>: " before the text that is there and returns `err`. */
enum ota_err ota_context(struct ota_why *why, enum ota_err err, const char *format, ...)
	__attribute__((format(printf, 3, 4))) OTA_CHECKED;

/* "busy", …; "ok" for OTA_OK; "unknown" for a number that is not in the table. Never NULL. */
const char *ota_err_name(enum ota_err err);
enum ota_err_class ota_err_class(enum ota_err err);
/* One English sentence for a person who has never seen the error. Never NULL. */
const char *ota_err_sentence(enum ota_err err);
/* False when there is no such name or number; *ret_err is then untouched. */
bool ota_err_from_name(const char *name, enum ota_err *ret_err);
bool ota_err_from_number(unsigned number, enum ota_err *ret_err);
/* Walks the table: i = 0, 1, … until it returns false. */
bool ota_err_at(size_t i, enum ota_err *ret_err);
