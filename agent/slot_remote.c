/* Slots behind ota-slot (slot_wire.h): the agent runs without privileges and asks. What the
 * classes and paths are it knows from its own configuration.
 *
 * The connection is made when it is needed. When ota-slot was started again meanwhile (an
 * upgrade of its package), the next request goes over a new one; what was being written then is
 * given up with OTA_BUSY, which is tried again by itself, and finds what is in the slot
 * already. */
#include "slot_wire.h"

#include "own.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>

struct remote {
	struct sockaddr_un address;
	uint32_t timeout_ms;
	struct slot_part parts[SLOT_PARTS_MAX];
	unsigned part_count;
	int fd;		   /* -1: not connected */
	bool writes, lost; /* a part was begun; the connection that it was begun over is gone */
	enum boot_slot running;
	uint8_t message[SLOT_WIRE_MAX];
};

static enum ota_err gone(struct remote *remote, int number, struct ota_why *why)
{
	close(remote->fd);
	remote->fd = -1;
	remote->lost = remote->writes;
	if (number == EAGAIN)
		return ota_fail(why, OTA_BUSY, "ota-slot did not answer within %u ms",
				remote->timeout_ms);
	if (number == 0)
		return ota_fail(why, OTA_BUSY, "ota-slot closed the connection");
	return ota_fail_errno(why, OTA_BUSY, number, "ota-slot");
}

/* The answer to what was sent; its bytes are in remote->message. */
static enum ota_err await(struct remote *remote, const struct slot_watch *watch,
			  struct slot_answer *ret_answer, struct ota_why *why)
{
	for (;;) {
		struct slot_request next = {.verb = SLOT_VERB_GO};
		ssize_t len = recv(remote->fd, remote->message, sizeof(remote->message), 0);
		enum ota_err err;

		if (len < 0 && errno == EINTR)
			continue;
		if (len <= 0)
			return gone(remote, len < 0 ? errno : 0, why);
		err = slot_answer_read(remote->message, (size_t)len, ret_answer, why);
		if (err)
			return ota_context(why, err, "ota-slot");
		if (ret_answer->kind == SLOT_ANSWER_DONE)
			break;
		if (watch && watch->go_on &&
		    !watch->go_on(watch->arg, ret_answer->first, ret_answer->second))
			next.verb = SLOT_VERB_STOP;
		size_t next_len = slot_request_write(&next, remote->message);
		if (send(remote->fd, remote->message, next_len, MSG_NOSIGNAL) < 0)
			return gone(remote, errno, why);
	}
	if (ret_answer->why.err && why)
		*why = ret_answer->why;
	return ret_answer->why.err;
}

static enum ota_err hello(struct remote *remote, struct ota_why *why)
{
	const struct slot_request request = {.verb = SLOT_VERB_HELLO,
					     .size = SLOT_WIRE_VERSION};
	size_t len = slot_request_write(&request, remote->message);
	struct slot_answer answer;
	enum ota_err err;

	if (send(remote->fd, remote->message, len, MSG_NOSIGNAL) < 0)
		return gone(remote, errno, why);
	err = await(remote, NULL, &answer, why);
	if (err)
		return err;
	if (answer.first >= BOOT_SLOT_COUNT || answer.second != remote->part_count)
		return ota_fail(why, OTA_SLOT_ERROR,
				"ota-slot has %llu parts, ota-agent %u: give both the same "
				"configuration",
				(unsigned long long)answer.second, remote->part_count);
	remote->running = (enum boot_slot)answer.first;
	return OTA_OK;
}

static enum ota_err reach(struct remote *remote, struct ota_why *why)
{
	const struct timeval patience = {.tv_sec = remote->timeout_ms / 1000,
					 .tv_usec = remote->timeout_ms % 1000 * 1000};
	const struct sockaddr *address = (const struct sockaddr *)&remote->address;

	if (remote->fd >= 0)
		return OTA_OK;
	AUTO_CLOSE int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience)) ||
	    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience)) ||
	    connect(fd, address, sizeof(remote->address)) < 0)
		return ota_fail_errno(why, OTA_BUSY, errno, "ota-slot at '%s'",
				      remote->address.sun_path);
	remote->fd = TAKE_FD(fd);
	enum ota_err err = hello(remote, why);
	if (err && remote->fd >= 0) {
		close(remote->fd);
		remote->fd = -1;
	}
	return err;
}

/* A connection whose other end is gone refuses the request before anyone has seen it, which is
 * then sent over a new one. */
static enum ota_err ask(struct remote *remote, const struct slot_request *request,
			const struct slot_watch *watch, struct slot_answer *ret_answer,
			struct ota_why *why)
{
	bool fresh = remote->fd < 0;

	for (;;) {
		enum ota_err err = reach(remote, why);

		if (err)
			return err;
		size_t len = slot_request_write(request, remote->message);
		if (send(remote->fd, remote->message, len, MSG_NOSIGNAL) >= 0)
			return await(remote, watch, ret_answer, why);
		int number = errno;
		err = gone(remote, number, why);
		if (number != EPIPE || fresh)
			return err;
		fresh = true;
	}
}

static enum ota_err tell(struct remote *remote, const struct slot_request *request,
			 struct ota_why *why)
{
	struct slot_answer answer;

	return ask(remote, request, NULL, &answer, why);
}

/* The same of a part that was begun: by the process that is there now? */
static enum ota_err tell_about_begun(struct remote *remote, const struct slot_request *request,
				     struct ota_why *why)
{
	enum ota_err err = tell(remote, request, why);

	if (err && remote->lost && remote->fd >= 0)
		err = ota_fail(why, OTA_BUSY,
			       "ota-slot was started again while the slot was being written");
	return err;
}

static bool remote_find(void *ctx, const char *slot_class, unsigned *ret_part)
{
	const struct remote *remote = ctx;

	for (unsigned i = 0; i < remote->part_count; i++) {
		if (strcmp(remote->parts[i].slot_class, slot_class) != 0)
			continue;
		*ret_part = i;
		return true;
	}
	return false;
}

static enum ota_err remote_capacity(void *ctx, unsigned part, uint64_t *ret_bytes,
				    struct ota_why *why)
{
	const struct slot_request request = {.verb = SLOT_VERB_CAPACITY, .part = part};
	struct slot_answer answer;
	enum ota_err err = ask(ctx, &request, NULL, &answer, why);

	if (!err)
		*ret_bytes = answer.first;
	return err;
}

static enum ota_err remote_begin(void *ctx, unsigned part, uint64_t size, struct ota_why *why)
{
	const struct slot_request request = {
		.verb = SLOT_VERB_BEGIN, .part = part, .size = size};
	struct remote *remote = ctx;
	enum ota_err err = tell(remote, &request, why);

	if (!err) {
		remote->writes = true;
		remote->lost = false;
	}
	return err;
}

static enum ota_err remote_write(void *ctx, unsigned part, uint64_t offset, const void *bytes,
				 size_t len, struct ota_why *why)
{
	struct remote *remote = ctx;
	enum ota_err err = OTA_OK;

	for (size_t done = 0, step; !err && done < len; done += step) {
		step = len - done < SLOT_WIRE_DATA_MAX ? len - done : SLOT_WIRE_DATA_MAX;
		const struct slot_request request = {.verb = SLOT_VERB_WRITE,
						     .part = part,
						     .offset = offset + done,
						     .bytes = (const uint8_t *)bytes + done,
						     .len = step};
		err = tell_about_begun(remote, &request, why);
	}
	return err;
}

static enum ota_err remote_read(void *ctx, enum slot_which which, unsigned part,
				uint64_t offset, void *ret_bytes, size_t len,
				struct ota_why *why)
{
	enum ota_err err = OTA_OK;

	for (size_t done = 0, step; !err && done < len; done += step) {
		step = len - done < SLOT_WIRE_DATA_MAX ? len - done : SLOT_WIRE_DATA_MAX;
		const struct slot_request request = {.verb = SLOT_VERB_READ,
						     .which = which,
						     .part = part,
						     .offset = offset + done,
						     .size = step};
		struct slot_answer answer;
		err = ask(ctx, &request, NULL, &answer, why);
		if (!err && answer.len != step)
			err = ota_fail(why, OTA_SLOT_ERROR, "ota-slot gave %zu of %zu bytes",
				       answer.len, step);
		if (!err)
			memcpy((uint8_t *)ret_bytes + done, answer.bytes, step);
	}
	return err;
}

static enum ota_err remote_finish(void *ctx, unsigned part, struct ota_why *why)
{
	const struct slot_request request = {.verb = SLOT_VERB_FINISH, .part = part};

	return tell_about_begun(ctx, &request, why);
}

static enum ota_err remote_verify(void *ctx, enum slot_which which, unsigned part,
				  uint64_t size, const struct digest *digest,
				  const struct slot_watch *watch, struct ota_why *why)
{
	const struct slot_request request = {.verb = SLOT_VERB_VERIFY,
					     .which = which,
					     .part = part,
					     .size = size,
					     .digest = *digest};
	struct slot_answer answer;

	return ask(ctx, &request, watch, &answer, why);
}

static enum ota_err remote_digest(void *ctx, enum slot_which which, unsigned part,
				  struct digest *ret_digest, uint64_t *ret_size,
				  const struct slot_watch *watch, struct ota_why *why)
{
	const struct slot_request request = {
		.verb = SLOT_VERB_DIGEST, .which = which, .part = part};
	struct slot_answer answer;
	enum ota_err err = ask(ctx, &request, watch, &answer, why);

	if (err)
		return err;
	*ret_digest = answer.digest;
	*ret_size = answer.first;
	return OTA_OK;
}

static enum ota_err remote_arm(void *ctx, uint32_t tries, struct ota_why *why)
{
	const struct slot_request request = {.verb = SLOT_VERB_ARM, .tries = tries};

	return tell_about_begun(ctx, &request, why);
}

static enum ota_err remote_state(void *ctx, struct boot_state *ret_state, struct ota_why *why)
{
	const struct slot_request request = {.verb = SLOT_VERB_STATE};
	char text[BOOT_TEXT_SIZE];
	struct slot_answer answer;
	struct boot_state state;
	enum ota_err err = ask(ctx, &request, NULL, &answer, why);

	if (err)
		return err;
	size_t len = answer.len < sizeof(text) ? answer.len : sizeof(text) - 1;
	memcpy(text, answer.bytes, len);
	text[len] = '\0';
	if (!bootstate_from_text(text, &state) || !bootstate_is_sound(&state))
		return ota_fail(why, OTA_SLOT_ERROR,
				"ota-slot answers with a boot state that makes no sense");
	*ret_state = state;
	return OTA_OK;
}

static enum boot_slot remote_running(void *ctx)
{
	const struct remote *remote = ctx;

	return remote->running;
}

/* The selector is a boot script or the bootloader, never the agent. */
static enum ota_err remote_boot(void *ctx, enum boot_slot *ret_slot, struct ota_why *why)
{
	struct ota_why wrong = {0};
	enum ota_err err = ota_fail(&wrong, OTA_SLOT_ERROR,
				    "ota-slot does not choose what boots; the machine does");

	(void)err;
	if (why)
		*why = wrong;
	*ret_slot = remote_running(ctx);
	return OTA_OK;
}

static enum ota_err remote_confirm(void *ctx, struct ota_why *why)
{
	const struct slot_request request = {.verb = SLOT_VERB_CONFIRM};

	return tell(ctx, &request, why);
}

static enum ota_err remote_revert(void *ctx, struct ota_why *why)
{
	const struct slot_request request = {.verb = SLOT_VERB_REVERT};

	return tell(ctx, &request, why);
}

static enum ota_err remote_settle(void *ctx, struct ota_why *why)
{
	const struct slot_request request = {.verb = SLOT_VERB_SETTLE};

	return tell(ctx, &request, why);
}

static enum ota_err remote_restart(void *ctx, struct ota_why *why)
{
	const struct slot_request request = {.verb = SLOT_VERB_RESTART};

	return tell(ctx, &request, why);
}

static bool remote_path(void *ctx, enum boot_slot slot, unsigned part, char *ret_path,
			size_t size)
{
	const struct remote *remote = ctx;

	return part < remote->part_count &&
	       text_copy(ret_path, size, remote->parts[part].path[slot]);
}

static void remote_done(void *ctx)
{
	struct remote *remote = ctx;

	if (remote->fd >= 0)
		close(remote->fd);
	free(remote);
}

enum ota_err slot_remote_open(const char *path, const struct slot_part *parts,
			      unsigned part_count, uint32_t timeout_ms, struct slots *ret_slots,
			      struct ota_why *why)
{
	AUTO_FREE struct remote *remote = calloc(1, sizeof(*remote));

	if (!remote)
		return ota_fail(why, OTA_OUT_OF_MEMORY, "the slots");
	if (part_count < 1 || part_count > SLOT_PARTS_MAX)
		return ota_fail(why, OTA_SLOT_ERROR, "%u parts, 1 to %u are allowed",
				part_count, SLOT_PARTS_MAX);
	remote->address.sun_family = AF_UNIX;
	if (!text_copy(remote->address.sun_path, sizeof(remote->address.sun_path), path))
		return ota_fail(why, OTA_BAD_REQUEST, "socket '%s' is longer than %zu bytes",
				path, sizeof(remote->address.sun_path) - 1);
	memcpy(remote->parts, parts, part_count * sizeof(*parts));
	remote->part_count = part_count;
	remote->timeout_ms = timeout_ms;
	remote->fd = -1;
	enum ota_err err = reach(remote, why);
	if (err)
		return err;
	*ret_slots = (struct slots){
		.ctx = TAKE(remote),
		.find = remote_find,
		.capacity = remote_capacity,
		.begin = remote_begin,
		.write = remote_write,
		.read = remote_read,
		.finish = remote_finish,
		.verify = remote_verify,
		.digest = remote_digest,
		.arm = remote_arm,
		.state = remote_state,
		.running = remote_running,
		.boot = remote_boot,
		.confirm = remote_confirm,
		.revert = remote_revert,
		.settle = remote_settle,
		.path = remote_path,
		.restart = remote_restart,
		.done = remote_done,
	};
	return OTA_OK;
}
