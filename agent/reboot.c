#include "reboot.h"

#include "program.h"
#include "own.h"

#include <string.h>
#include <sys/wait.h>

#define REAP_MS 200

struct reboot {
	struct reboot_options options;
	pid_t pid;
	struct ota_why wrong; /* why the switch was not made; err is OTA_OK when it was */
	bool has_event;
	struct runner_event event;
};

static void look(struct reboot *reboot, bool adopted)
{
	const struct slots *slots = reboot->options.slots;

	reboot->event = (struct runner_event){
		.kind = RUNNER_STARTED, .slot = slots->running(slots->ctx), .adopted = adopted};
	reboot->has_event = true;
}

static enum ota_err reboot_begin(void *ctx, struct ota_why *why)
{
	(void)why;
	look(ctx, true);
	return OTA_OK;
}

static enum ota_err reboot_restart(void *ctx, struct ota_why *why)
{
	struct reboot *reboot = ctx;
	const struct slots *slots = reboot->options.slots;
	AUTO(program_done) struct program_line line = {0};
	enum boot_slot slot;
	enum ota_err err;

	if (reboot->pid)
		return OTA_OK; /* it is at it */
	if (slots->restart)
		return slots->restart(slots->ctx, why);
	if (reboot->options.selects) {
		reboot->wrong.err = OTA_OK;
		err = slots->boot(slots->ctx, &slot, &reboot->wrong);
		if (err) {
			*why = reboot->wrong;
			return err;
		}
	}
	err = program_parse(reboot->options.command, "", &line, why);
	if (!err)
		err = program_start(&line, &reboot->pid, why);
	if (err)
		return ota_context(why, err, "restart_command");
	return OTA_OK;
}

static uint64_t reboot_tick(void *ctx, uint64_t now_ms)
{
	struct reboot *reboot = ctx;
	int status;

	(void)now_ms;
	if (reboot->pid && waitpid(reboot->pid, &status, WNOHANG) != 0) {
		reboot->pid = 0;
		if (reboot->options.selects)
			look(reboot, false);
	}
	if (reboot->has_event)
		return 0;
	return reboot->pid ? REAP_MS : UINT64_MAX;
}

static bool reboot_next(void *ctx, struct runner_event *ret_event)
{
	struct reboot *reboot = ctx;

	if (!reboot->has_event)
		return false;
	if (reboot->wrong.err) {
		*ret_event = (struct runner_event){.kind = RUNNER_EXITED, .why = reboot->wrong};
		reboot->wrong.err = OTA_OK;
		return true;
	}
	*ret_event = reboot->event;
	reboot->has_event = false;
	return true;
}

static int reboot_fd(void *ctx)
{
	(void)ctx;
	return -1;
}

enum ota_err reboot_new(const struct reboot_options *options, struct runner *ret_runner,
			struct ota_why *why)
{
	struct reboot *reboot = calloc(1, sizeof(*reboot));

	if (!reboot)
		return ota_fail(why, OTA_OUT_OF_MEMORY, "restart");
	reboot->options = *options;
	*ret_runner = (struct runner){.ctx = reboot,
				      .begin = reboot_begin,
				      .restart = reboot_restart,
				      .tick = reboot_tick,
				      .next = reboot_next,
				      .fd = reboot_fd};
	return OTA_OK;
}

void reboot_free(struct runner *runner)
{
	free(runner->ctx);
	memset(runner, 0, sizeof(*runner));
}
