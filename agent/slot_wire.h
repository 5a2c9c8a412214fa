/* What ota-agent and ota-slot say to one another: one message each way on a local
 *SOCK_SEQPACKET socket, which keeps the messages apart. A request names a verb, a part by its
 *number and offsets inside the configured slot; never a path, never a program.
 *
 *	request  verb, which, part, tries (32 bits each), offset, size (64), digest; then, of a
 *	         write only, the bytes
 *	answer   kind, error, detail, length of the sentence (32), first, second (64), digest;
 *	         then the sentence, then the bytes of a read
 *
 * Integers are little-endian. A verb's unused fields are zero; anything else is refused. While
 * verify or digest read, an answer PROGRESS (first of second bytes are read) comes every
 * SLOT_WIRE_PROGRESS bytes and at the end; the peer says `go` or `stop`, which are no requests
 * anywhere else. */
#pragma once

#include "slot.h"

#define SLOT_WIRE_VERSION  1
#define SLOT_WIRE_HEADER   64u
#define SLOT_WIRE_PROGRESS (4u << 20)
/* A message must fit into a socket's default buffer (208 KiB) with room to spare. */
#define SLOT_WIRE_DATA_MAX (64u << 10)
#define SLOT_WIRE_MAX	   (SLOT_WIRE_HEADER + SLOT_WIRE_DATA_MAX + OTA_WHY_TEXT_MAX)

enum slot_verb {
	SLOT_VERB_HELLO = 1, /* size: the version; answers the running slot and the parts */
	SLOT_VERB_CAPACITY,
	SLOT_VERB_BEGIN,
	SLOT_VERB_WRITE,
	SLOT_VERB_READ, /* size: bytes, at most SLOT_WIRE_DATA_MAX */
	SLOT_VERB_FINISH,
	SLOT_VERB_VERIFY,
	SLOT_VERB_DIGEST,
	SLOT_VERB_ARM,
	SLOT_VERB_STATE, /* answers bootstate_to_text() as its bytes */
	SLOT_VERB_CONFIRM,
	SLOT_VERB_REVERT,
	SLOT_VERB_SETTLE,
	SLOT_VERB_RESTART, /* the machine; only while the boot state gives a reason to */
	SLOT_VERB_GO,
	SLOT_VERB_STOP,
	SLOT_VERB_COUNT,
};

struct slot_request {
	enum slot_verb verb;
	enum slot_which which;
	uint32_t part, tries;
	uint64_t offset, size;
	struct digest digest;
	const uint8_t *bytes; /* into the message */
	size_t len;
};

enum slot_answer_kind {
	SLOT_ANSWER_DONE = 0,
	SLOT_ANSWER_PROGRESS,
};

struct slot_answer {
	enum slot_answer_kind kind;
	struct ota_why why; /* why.err is OTA_OK when it was done */
	uint64_t first, second;
	struct digest digest;
	const uint8_t *bytes; /* into the message */
	size_t len;
};

/* "begin", …; "?" for what is no verb. */
const char *slot_verb_name(enum slot_verb verb);
/* Bytes of the message that it wrote to `to`, which has room for all of it; `request` must be
 * sound. Bytes that stand there already, behind the header, are not copied. */
size_t slot_request_write(const struct slot_request *request, uint8_t *to);
/* OTA_BAD_REQUEST for anything that is not exactly a request. */
enum ota_err slot_request_read(const uint8_t *message, size_t len,
			       struct slot_request *ret_request,
			       struct ota_why *why) OTA_CHECKED;
size_t slot_answer_write(const struct slot_answer *answer, uint8_t *to);
enum ota_err slot_answer_read(const uint8_t *message, size_t len,
			      struct slot_answer *ret_answer, struct ota_why *why) OTA_CHECKED;
