/* Any sequence of requests: ota-slot answers each of them, the slots behind it are only ever
 * asked for parts and bytes that a message can carry, and an answer can be read back. The input
 * is a row of messages, each with its length before it (16 bits). */
#include "fuzz.h"

#include "slot_serve.h"

#include "own.h"

static struct boot_state boot;

static enum ota_err any_part(unsigned part, struct ota_why *why)
{
	return part < SLOT_PARTS_MAX ? OTA_OK : ota_fail(why, OTA_SLOT_ERROR, "%u", part);
}

static enum ota_err capacity(void *ctx, unsigned part, uint64_t *ret, struct ota_why *why)
{
	(void)ctx;
	*ret = 1000;
	return any_part(part, why);
}

static enum ota_err begin(void *ctx, unsigned part, uint64_t size, struct ota_why *why)
{
	(void)ctx;
	(void)size;
	return any_part(part, why);
}

static enum ota_err take(void *ctx, unsigned part, uint64_t offset, const void *bytes,
			 size_t len, struct ota_why *why)
{
	uint8_t sum = 0;

	(void)ctx;
	(void)offset;
	MUST(len <= SLOT_WIRE_DATA_MAX);
	for (size_t i = 0; i < len; i++)
		sum ^= ((const uint8_t *)bytes)[i];
	return any_part(part + (sum == 255), why);
}

static enum ota_err give(void *ctx, enum slot_which which, unsigned part, uint64_t offset,
			 void *ret_bytes, size_t len, struct ota_why *why)
{
	(void)ctx;
	(void)offset;
	MUST(which == SLOT_RUNNING || which == SLOT_TARGET);
	MUST(len <= SLOT_WIRE_DATA_MAX);
	memset(ret_bytes, 'x', len);
	return any_part(part, why);
}

static enum ota_err finish(void *ctx, unsigned part, struct ota_why *why)
{
	(void)ctx;
	return any_part(part, why);
}

static enum ota_err verify(void *ctx, enum slot_which which, unsigned part, uint64_t size,
			   const struct digest *digest, const struct slot_watch *watch,
			   struct ota_why *why)
{
	(void)ctx;
	(void)size;
	(void)watch;
	MUST(which == SLOT_RUNNING || which == SLOT_TARGET);
	return digest_is_zero(digest) ? ota_fail(why, OTA_INTERNAL, "zero")
				      : any_part(part, why);
}

static enum ota_err digest(void *ctx, enum slot_which which, unsigned part,
			   struct digest *ret_digest, uint64_t *ret_size,
			   const struct slot_watch *watch, struct ota_why *why)
{
	(void)ctx;
	(void)which;
	(void)watch;
	memset(ret_digest, 7, sizeof(*ret_digest));
	*ret_size = 1;
	return any_part(part, why);
}

static enum ota_err arm(void *ctx, uint32_t tries, struct ota_why *why)
{
	(void)ctx;
	if (tries < 1 || tries > BOOT_TRIES_MAX)
		return ota_fail(why, OTA_INTERNAL, "%u", tries);
	boot = (struct boot_state){BOOT_ARMED, BOOT_SLOT_A,  BOOT_SLOT_B,
				   tries,      {true, true}, false};
	return OTA_OK;
}

static enum ota_err state(void *ctx, struct boot_state *ret_state, struct ota_why *why)
{
	(void)ctx;
	(void)why;
	*ret_state = boot;
	return OTA_OK;
}

static enum boot_slot running(void *ctx)
{
	(void)ctx;
	return BOOT_SLOT_A;
}

static enum ota_err settle(void *ctx, struct ota_why *why)
{
	(void)ctx;
	(void)why;
	boot = bootstate_factory;
	return OTA_OK;
}

static enum ota_err restart(void *ctx, struct ota_why *why)
{
	(void)ctx;
	(void)why;
	MUST(boot.phase == BOOT_ARMED);
	return OTA_OK;
}

static const struct slots slots = {
	.capacity = capacity,
	.begin = begin,
	.write = take,
	.read = give,
	.finish = finish,
	.verify = verify,
	.digest = digest,
	.arm = arm,
	.state = state,
	.running = running,
	.confirm = settle,
	.revert = settle,
	.settle = settle,
};

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
	static const struct slot_service service = {
		.slots = &slots, .part_count = 1, .restart = restart};
	AUTO_FREE uint8_t *out = malloc(SLOT_WIRE_MAX);
	struct slot_answer answer;

	boot = bootstate_factory;
	for (size_t at = 0; at + 2 <= len;) {
		size_t size = bytes[at] | (size_t)bytes[at + 1] << 8;
		at += 2;
		if (size > len - at)
			size = len - at;
		/* of its own size, so that a read beyond it is seen */
		AUTO_FREE uint8_t *message = malloc(size + !size);
		memcpy(message, bytes + at, size);
		size_t out_len = slot_serve_one(&service, message, size, NULL, out);
		MUST(out_len >= SLOT_WIRE_HEADER && out_len <= SLOT_WIRE_MAX);
		MUST(slot_answer_read(out, out_len, &answer, NULL) == OTA_OK);
		enum ota_err err = slot_answer_read(message, size, &answer, NULL);
		(void)err; /* the agent's side of the same wire takes anything, too */
		at += size;
	}
	return 0;
}
