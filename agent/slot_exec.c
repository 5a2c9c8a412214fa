/* A program that keeps the slots: for sub-devices behind a gateway, and for whatever else has
 * an updater of its own. It is called with one verb at a time, WHICH being running or target:
 *
 *   capacity CLASS               prints the bytes an image may have at most
 *   begin CLASS SIZE             the target is not bootable from here on
 *   write CLASS OFFSET LENGTH    the bytes on its standard input
 *   read WHICH CLASS OFFSET LENGTH    prints the bytes
 *   finish CLASS                 all is on the medium
 *   digest WHICH CLASS SIZE      prints the SHA-256, in hexadecimal, of the first SIZE bytes
 *                                as they come back from the medium (0: all), and their number
 *   arm TRIES                    all classes in one step, or none
 *   state                        prints the boot state (bootstate_to_text())
 *   boot                         counts a try, starts the slot, prints its letter; the agent
 *                                calls it where a machine would restart
 *   confirm, revert, settle
 *
 * Exit 0 means done; 28 no space; 75 busy; anything else failed, with the reason as the last
 * line on its standard error. Every verb may be repeated after a power cut. What it prints ends
 * with at most one newline. It is not trusted with the decision: a digest that is not the
 * signed one is not armed. */
#include "slot_exec.h"

#include "own.h"
#include "slot.h"

#include <stdlib.h>
#include <string.h>

#define ANSWER_SIZE 128u
#define NUMBER_SIZE 24u

struct exec_slots {
	char program[DISK_PATH_SIZE];
	char slot_class[SLOT_PARTS_MAX][33];
	unsigned part_count;
	uint32_t timeout_ms;
	enum boot_slot running;
	uint64_t size[SLOT_PARTS_MAX]; /* of what was begun; 0: nothing was */
	bool finished[SLOT_PARTS_MAX], verified[SLOT_PARTS_MAX];
};

static const char *which_word(enum slot_which which)
{
	return which == SLOT_RUNNING ? "running" : "target";
}

static const char *number(char to[NUMBER_SIZE], uint64_t value)
{
	snprintf(to, NUMBER_SIZE, "%llu", (unsigned long long)value);
	return to;
}

/* Calls it for an answer of one line. */
static enum ota_err ask(const struct exec_slots *exec, struct exec_call call,
			char ret_answer[ANSWER_SIZE], struct ota_why *why)
{
	char answer[ANSWER_SIZE];
	size_t len;

	call.program = exec->program;
	call.timeout_ms = exec->timeout_ms;
	call.out = answer;
	call.out_room = sizeof(answer) - 1;
	enum ota_err err = exec_run(&call, &len, why);
	if (err)
		return err;
	if (len > 0 && answer[len - 1] == '\n')
		len--;
	answer[len] = '\0';
	memcpy(ret_answer, answer, len + 1);
	return OTA_OK;
}

static enum ota_err nonsense(const struct exec_slots *exec, const char *verb,
			     const char *answer, struct ota_why *why)
{
	char shown[64];

	text_sanitize(shown, sizeof(shown), answer, strlen(answer), false);
	return ota_fail(why, OTA_SLOT_ERROR, "'%s %s' answers '%s'", exec->program, verb,
			shown);
}

static enum ota_err tell(const struct exec_slots *exec, struct exec_call call,
			 struct ota_why *why)
{
	char answer[ANSWER_SIZE];

	return ask(exec, call, answer, why);
}

static enum ota_err check_part(const struct exec_slots *exec, unsigned part,
			       struct ota_why *why)
{
	if (part >= exec->part_count)
		return ota_fail(why, OTA_SLOT_ERROR, "there is no part %u", part);
	return OTA_OK;
}

static bool exec_find(void *ctx, const char *slot_class, unsigned *ret_part)
{
	const struct exec_slots *exec = ctx;

	for (unsigned i = 0; i < exec->part_count; i++) {
		if (strcmp(exec->slot_class[i], slot_class) != 0)
			continue;
		*ret_part = i;
		return true;
	}
	return false;
}

static enum ota_err exec_capacity(void *ctx, unsigned part, uint64_t *ret_bytes,
				  struct ota_why *why)
{
	const struct exec_slots *exec = ctx;
	char answer[ANSWER_SIZE];
	enum ota_err err = check_part(exec, part, why);

	if (!err)
		err = ask(exec,
			  (struct exec_call){.words = {"capacity", exec->slot_class[part]}},
			  answer, why);
	if (err)
		return err;
	if (!text_to_u64(answer, UINT64_MAX, ret_bytes))
		return nonsense(exec, "capacity", answer, why);
	return OTA_OK;
}

static enum ota_err exec_begin(void *ctx, unsigned part, uint64_t size, struct ota_why *why)
{
	struct exec_slots *exec = ctx;
	char bytes[NUMBER_SIZE];
	enum ota_err err = check_part(exec, part, why);

	if (err)
		return err;
	exec->size[part] = 0;
	exec->finished[part] = exec->verified[part] = false;
	err = tell(exec,
		   (struct exec_call){
			   .words = {"begin", exec->slot_class[part], number(bytes, size)}},
		   why);
	if (!err)
		exec->size[part] = size;
	return err;
}

static enum ota_err exec_write(void *ctx, unsigned part, uint64_t offset, const void *bytes,
			       size_t len, struct ota_why *why)
{
	struct exec_slots *exec = ctx;
	char at[NUMBER_SIZE], count[NUMBER_SIZE];
	enum ota_err err = check_part(exec, part, why);

	if (err)
		return err;
	if (exec->size[part] == 0)
		return ota_fail(why, OTA_SLOT_ERROR, "part %u was not begun", part);
	if (offset > exec->size[part] || len > exec->size[part] - offset)
		return ota_fail(why, OTA_SIZE_MISMATCH,
				"%zu bytes at %llu reach beyond the image", len,
				(unsigned long long)offset);
	exec->finished[part] = exec->verified[part] = false;
	return tell(exec,
		    (struct exec_call){.words = {"write", exec->slot_class[part],
						 number(at, offset), number(count, len)},
				       .in = bytes,
				       .in_len = len},
		    why);
}

static enum ota_err exec_read(void *ctx, enum slot_which which, unsigned part, uint64_t offset,
			      void *ret_bytes, size_t len, struct ota_why *why)
{
	const struct exec_slots *exec = ctx;
	char at[NUMBER_SIZE], count[NUMBER_SIZE];
	size_t got;
	enum ota_err err = check_part(exec, part, why);

	if (err)
		return err;
	const struct exec_call call = {.program = exec->program,
				       .words = {"read", which_word(which),
						 exec->slot_class[part], number(at, offset),
						 number(count, len)},
				       .out = ret_bytes,
				       .out_room = len,
				       .timeout_ms = exec->timeout_ms};
	err = exec_run(&call, &got, why);
	if (!err && got != len)
		err = ota_fail(why, OTA_SIZE_MISMATCH, "'%s read' gave %zu of %zu bytes",
			       exec->program, got, len);
	return err;
}

static enum ota_err exec_finish(void *ctx, unsigned part, struct ota_why *why)
{
	struct exec_slots *exec = ctx;
	enum ota_err err = check_part(exec, part, why);

	if (!err && exec->size[part] == 0)
		err = ota_fail(why, OTA_SLOT_ERROR, "part %u was not begun", part);
	if (!err)
		err = tell(exec,
			   (struct exec_call){.words = {"finish", exec->slot_class[part]}},
			   why);
	if (!err)
		exec->finished[part] = true;
	return err;
}

static enum ota_err exec_ask_digest(const struct exec_slots *exec, enum slot_which which,
				    unsigned part, uint64_t size, struct digest *ret_digest,
				    uint64_t *ret_size, struct ota_why *why)
{
	char answer[ANSWER_SIZE], bytes[NUMBER_SIZE];
	enum ota_err err = check_part(exec, part, why);

	if (!err)
		err = ask(exec,
			  (struct exec_call){.words = {"digest", which_word(which),
						       exec->slot_class[part],
						       number(bytes, size)}},
			  answer, why);
	if (err)
		return err;
	char *space = strchr(answer, ' ');
	if (!space)
		return nonsense(exec, "digest", answer, why);
	*space = '\0';
	struct digest digest;
	if (!text_to_bytes(answer, digest.bytes, DIGEST_SIZE) ||
	    !text_to_u64(space + 1, UINT64_MAX, ret_size))
		return nonsense(exec, "digest", answer, why);
	*ret_digest = digest;
	return OTA_OK;
}

static enum ota_err exec_verify(void *ctx, enum slot_which which, unsigned part, uint64_t size,
				const struct digest *digest, const struct slot_watch *watch,
				struct ota_why *why)
{
	struct exec_slots *exec = ctx;
	struct digest seen;
	uint64_t seen_size;

	if (size == 0 || digest_is_zero(digest))
		return ota_fail(why, OTA_INTERNAL, "an image without a size or a digest");
	enum ota_err err = exec_ask_digest(exec, which, part, size, &seen, &seen_size, why);
	if (err)
		return err;
	if (seen_size != size)
		return ota_fail(why, OTA_SIZE_MISMATCH, "%llu bytes came back of %llu",
				(unsigned long long)seen_size, (unsigned long long)size);
	if (!digest_equal(&seen, digest))
		return ota_fail(why, OTA_IMAGE_HASH_MISMATCH,
				"the image read back is not the signed one");
	if (watch && watch->go_on && !watch->go_on(watch->arg, size, size))
		return ota_fail(why, OTA_BUSY, "reading the slot was stopped");
	if (which == SLOT_TARGET && (exec->finished[part] || exec->size[part] == 0))
		exec->verified[part] = true;
	return OTA_OK;
}

static enum ota_err exec_digest(void *ctx, enum slot_which which, unsigned part,
				struct digest *ret_digest, uint64_t *ret_size,
				const struct slot_watch *watch, struct ota_why *why)
{
	(void)watch;
	return exec_ask_digest(ctx, which, part, 0, ret_digest, ret_size, why);
}

static enum ota_err exec_arm(void *ctx, uint32_t tries, struct ota_why *why)
{
	struct exec_slots *exec = ctx;
	char count[NUMBER_SIZE];

	for (unsigned part = 0; part < exec->part_count; part++)
		if (!exec->verified[part])
			return ota_fail(why, OTA_SLOT_ERROR,
					"the part '%s' was not verified since its last write",
					exec->slot_class[part]);
	return tell(exec, (struct exec_call){.words = {"arm", number(count, tries)}}, why);
}

static enum ota_err exec_state(void *ctx, struct boot_state *ret_state, struct ota_why *why)
{
	const struct exec_slots *exec = ctx;
	char answer[ANSWER_SIZE];
	struct boot_state state;
	enum ota_err err = ask(exec, (struct exec_call){.words = {"state"}}, answer, why);

	if (err)
		return err;
	if (!bootstate_from_text(answer, &state) || !bootstate_is_sound(&state))
		return nonsense(exec, "state", answer, why);
	*ret_state = state;
	return OTA_OK;
}

static enum boot_slot exec_running(void *ctx)
{
	const struct exec_slots *exec = ctx;

	return exec->running;
}

static enum ota_err exec_boot(void *ctx, enum boot_slot *ret_slot, struct ota_why *why)
{
	struct exec_slots *exec = ctx;
	struct ota_why wrong = {.err = OTA_OK};
	char answer[ANSWER_SIZE];
	enum ota_err err = ask(exec, (struct exec_call){.words = {"boot"}}, answer, &wrong);

	if (!err && strcmp(answer, boot_slot_names[BOOT_SLOT_A]) == 0)
		exec->running = BOOT_SLOT_A;
	else if (!err && strcmp(answer, boot_slot_names[BOOT_SLOT_B]) == 0)
		exec->running = BOOT_SLOT_B;
	else if (!err)
		err = nonsense(exec, "boot", answer, &wrong);
	for (unsigned part = 0; part < exec->part_count; part++)
		exec->verified[part] = false;
	if (why)
		*why = wrong;
	*ret_slot = exec->running;
	return OTA_OK;
}

static enum ota_err exec_confirm(void *ctx, struct ota_why *why)
{
	return tell(ctx, (struct exec_call){.words = {"confirm"}}, why);
}

static enum ota_err exec_revert(void *ctx, struct ota_why *why)
{
	return tell(ctx, (struct exec_call){.words = {"revert"}}, why);
}

static enum ota_err exec_settle(void *ctx, struct ota_why *why)
{
	return tell(ctx, (struct exec_call){.words = {"settle"}}, why);
}

static bool exec_path(void *ctx, enum boot_slot slot, unsigned part, char *ret_path,
		      size_t size)
{
	(void)ctx;
	(void)slot;
	(void)part;
	(void)ret_path;
	(void)size;
	return false;
}

enum ota_err slot_exec_open(const char *program, const char *const *slot_classes,
			    unsigned part_count, uint32_t timeout_ms, struct slots *ret_slots,
			    struct ota_why *why)
{
	struct boot_state state;
	AUTO_FREE struct exec_slots *exec = calloc(1, sizeof(*exec));

	if (!exec)
		return ota_fail(why, OTA_OUT_OF_MEMORY, "the slots");
	if (part_count < 1 || part_count > SLOT_PARTS_MAX)
		return ota_fail(why, OTA_SLOT_ERROR, "%u parts, 1 to %u are allowed",
				part_count, SLOT_PARTS_MAX);
	if (program[0] != '/' || !text_copy(exec->program, sizeof(exec->program), program))
		return ota_fail(why, OTA_SLOT_ERROR, "'%s' is not the whole path of a program",
				program);
	for (unsigned part = 0; part < part_count; part++)
		if (!text_copy(exec->slot_class[part], sizeof(exec->slot_class[part]),
			       slot_classes[part]))
			return ota_fail(why, OTA_SLOT_ERROR, "the class '%s' is too long",
					slot_classes[part]);
	exec->part_count = part_count;
	exec->timeout_ms = timeout_ms;
	enum ota_err err = exec_state(exec, &state, why);
	if (err)
		return err;
	exec->running = bootstate_running(&state);
	*ret_slots = (struct slots){
		.ctx = TAKE(exec),
		.find = exec_find,
		.capacity = exec_capacity,
		.begin = exec_begin,
		.write = exec_write,
		.read = exec_read,
		.finish = exec_finish,
		.verify = exec_verify,
		.digest = exec_digest,
		.arm = exec_arm,
		.state = exec_state,
		.running = exec_running,
		.boot = exec_boot,
		.confirm = exec_confirm,
		.revert = exec_revert,
		.settle = exec_settle,
		.path = exec_path,
		.done = free,
	};
	return OTA_OK;
}
