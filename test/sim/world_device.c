/* How a device behaves: as ota-agent, told by PROTOCOL.md. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "world.h"

#include <stdlib.h>
#include <string.h>

void world_tell(struct world *world, struct sim_device *device, enum update_state state,
		enum ota_err err)
{
	struct report *report = &device->outbox[device->outbox_count];

	assert_true(device->outbox_count < WORLD_OUTBOX_MAX);
	memset(report, 0, sizeof(*report));
	report->v = 1;
	report->seq = ++device->seq;
	report->release = device->hand.release;
	report->attempt = device->hand.attempt;
	report->state = state;
	text_copy(report->version, NAME_SIZE, device->version);
	report->digest = world_image(device->version);
	if (err) {
		report->has_error = true;
		text_copy(report->error.name, sizeof(report->error.name), ota_err_name(err));
		report->error.number = err;
		text_copy(report->error.message, sizeof(report->error.message),
			  ota_err_sentence(err));
		report->error.state = device->hand.state;
	}
	device->outbox_count++;
	device->hand.state = update_state_is_final(state) ? UPDATE_NONE : state;
	if (device->online)
		world_report(world, device, report);
}

enum ota_err world_report(struct world *world, struct sim_device *device,
			  const struct report *report)
{
	return engine_report(world->engine, device->id, report, &world->why);
}

void world_hello(struct world *world, struct sim_device *device)
{
	struct hello hello = {.v = 1};

	hello.nonce[0] = ++device->nonce_count;
	memcpy(device->nonce, hello.nonce, sizeof(hello.nonce));
	text_copy(hello.agent, sizeof(hello.agent), "sim");
	text_copy(hello.product, NAME_SIZE, device->product);
	text_copy(hello.hardware, NAME_SIZE, device->hardware);
	text_copy(hello.version, NAME_SIZE, device->version);
	hello.digest = world_image(device->version);
	hello.security_version = device->security_version;
	hello.floor = device->floor;
	hello.number = device->number;
	hello.slot_size = device->slot_size;
	hello.consent = device->gates;
	if (device->lease_until_ms > world->now_ms)
		hello.lease_s = (device->lease_until_ms - world->now_ms + 999) / 1000;
	if (device->trial) {
		hello.boot = BOOT_TRIAL;
		hello.has_trial = true;
		hello.trial.release = device->hand.release;
		hello.trial.attempt = device->hand.attempt;
	}
	if (device->hand.state != UPDATE_NONE) {
		hello.has_update = true;
		hello.update.release = device->hand.release;
		hello.update.attempt = device->hand.attempt;
		hello.update.state = device->hand.state;
	}
	if (engine_hello(world->engine, device->id, &hello, &world->why) != OTA_OK &&
	    world->why.err != OTA_BUSY)
		fail_msg("%s", world->why.text);
}

void world_connect(struct world *world, struct sim_device *device)
{
	assert_false(device->online);
	device->online = true;
	engine_connected(world->engine, device->id);
	world_hello(world, device);
	for (unsigned i = 0; i < device->outbox_count; i++)
		(void)!world_report(world, device, &device->outbox[i]);
}

void world_cut(struct world *world, struct sim_device *device)
{
	device->online = false;
	device->inbox_count = 0;
	engine_disconnected(world->engine, device->id);
}

void world_gates(struct world *world, struct sim_device *device, bool open, uint64_t lease_s)
{
	struct consent consent = {.v = 1, .consent = {open, open, open}, .lease_s = lease_s};

	device->gates = consent.consent;
	device->lease_until_ms = lease_s ? world->now_ms + lease_s * 1000 : 0;
	if (!open)
		text_copy(consent.reason, sizeof(consent.reason), "the pump runs");
	if (device->online)
		(void)!engine_consent(world->engine, device->id, &consent, &world->why);
}

static void forget(struct sim_device *device, uint64_t seq)
{
	for (unsigned i = 0; i < device->outbox_count; i++) {
		if (device->outbox[i].seq != seq)
			continue;
		device->outbox_count--;
		memmove(&device->outbox[i], &device->outbox[i + 1],
			(device->outbox_count - i) * sizeof(*device->outbox));
		return;
	}
}

static void be_granted(struct world *world, struct sim_device *device,
		       const struct control *control)
{
	if (!device->trial || control->release != device->hand.release ||
	    control->attempt != device->hand.attempt ||
	    memcmp(control->nonce, device->nonce, sizeof(control->nonce)) != 0)
		return;
	device->trial = false;
	device->granted++;
	world_tell(world, device, UPDATE_SUCCEEDED, OTA_OK);
}

static void be_cancelled(struct world *world, struct sim_device *device,
			 const struct control *control)
{
	bool mine =
		device->hand.state != UPDATE_NONE && device->hand.release == control->release;

	if (!mine || device->hand.state >= UPDATE_INSTALLING)
		return;
	device->canceled++;
	world_tell(world, device,
		   control->reason == CANCEL_SUPERSEDED ? UPDATE_SUPERSEDED : UPDATE_CANCELED,
		   OTA_OK);
}

static void be_reverted(struct world *world, struct sim_device *device,
			const struct control *control)
{
	device->reverted++;
	if (strcmp(device->version, world->releases[control->release].version) != 0)
		return;
	text_copy(device->version, NAME_SIZE, device->previous);
	device->hand.release = control->release;
	device->hand.attempt = device->last_attempt;
	world_tell(world, device, UPDATE_ROLLED_BACK, OTA_REVERTED_BY_MANAGER);
}

static void take_offer(struct world *world, struct sim_device *device,
		       const struct sim_message *message)
{
	bool force = world->releases[message->release].force;
	bool in_hand = device->hand.state != UPDATE_NONE;

	device->offers++;
	if (in_hand && device->hand.release == message->release &&
	    device->hand.attempt == message->attempt) {
		device->twice = true;
		return;
	}
	if (in_hand && device->hand.state >= UPDATE_INSTALLING)
		return; /* finishes first */
	if (message->release < device->number)
		return;
	device->last_release = message->release;
	device->last_attempt = message->attempt;
	device->hand.release = message->release;
	device->hand.attempt = message->attempt;
	device->hand.state = UPDATE_OFFERED;
	device->number = message->release;
	if (strcmp(device->version, world->releases[message->release].version) == 0)
		world_tell(world, device, UPDATE_ALREADY_INSTALLED, OTA_OK);
	else if (!device->gates.download && !force)
		world_tell(world, device, UPDATE_DEFERRED, OTA_OK);
}

static void read_message(struct world *world, struct sim_device *device,
			 const struct sim_message *message)
{
	if (message->is_offer) {
		take_offer(world, device, message);
		return;
	}
	switch (message->control.type) {
	case CONTROL_WELCOME:
		device->welcomed++;
		break;
	case CONTROL_ACK:
		forget(device, message->control.release);
		break;
	case CONTROL_GRANT:
		be_granted(world, device, &message->control);
		break;
	case CONTROL_CANCEL:
		be_cancelled(world, device, &message->control);
		break;
	case CONTROL_REVERT:
		be_reverted(world, device, &message->control);
		break;
	case CONTROL_RESUME:
		device->resumed++;
		break;
	case CONTROL_REHELLO:
		device->rehellos++;
		world_hello(world, device);
		break;
	case CONTROL_TYPE_COUNT:
		fail();
	}
}

static bool gate_is_open(const struct world *world, const struct sim_device *device, bool gate)
{
	return gate || world->releases[device->hand.release].force;
}

/* The new version starts; it may fail to come, or to come through. */
static bool restart(struct world *world, struct sim_device *device)
{
	if (device->online)
		world_cut(world, device);
	if (device->dies_at_restart)
		return false;
	if (device->reverts) {
		device->reverts = device->fails_always;
		world_connect(world, device);
		world_tell(world, device, UPDATE_ROLLED_BACK, OTA_NO_CONNECTIVITY_AFTER_UPDATE);
		return true;
	}
	text_copy(device->previous, NAME_SIZE, device->version);
	text_copy(device->version, NAME_SIZE, world->releases[device->hand.release].version);
	device->trial = true;
	device->hand.state = UPDATE_TRIAL;
	world_connect(world, device);
	world_tell(world, device, UPDATE_TRIAL, OTA_OK);
	return true;
}

static bool fails_here(struct world *world, struct sim_device *device)
{
	if (!device->fails_in || device->hand.state != device->fails_in)
		return false;
	world_tell(world, device, UPDATE_FAILED, device->fails_with);
	if (!device->fails_always)
		device->fails_in = UPDATE_NONE;
	return true;
}

static bool download(struct world *world, struct sim_device *device)
{
	if (engine_fetch(world->engine, device->id, MESSAGE_CHUNK_SIZE) != 0)
		return false;
	device->downloads++;
	world_tell(world, device, UPDATE_DOWNLOADED, OTA_OK);
	return true;
}

static bool work(struct world *world, struct sim_device *device)
{
	if (device->hand.state == UPDATE_RESTARTING)
		return restart(world, device);
	if (!device->online || device->trial || fails_here(world, device))
		return false;
	switch (device->hand.state) {
	case UPDATE_OFFERED:
	case UPDATE_DEFERRED:
		if (!gate_is_open(world, device, device->gates.download))
			return false;
		world_tell(world, device, UPDATE_DOWNLOADING, OTA_OK);
		return true;
	case UPDATE_DOWNLOADING:
		return download(world, device);
	case UPDATE_DOWNLOADED:
		world_tell(world, device, UPDATE_VERIFIED, OTA_OK);
		return true;
	case UPDATE_VERIFIED:
		if (!gate_is_open(world, device, device->gates.install))
			return false;
		world_tell(world, device, UPDATE_INSTALLING, OTA_OK);
		return true;
	case UPDATE_INSTALLING:
		world_tell(world, device, UPDATE_INSTALLED, OTA_OK);
		return true;
	case UPDATE_INSTALLED:
		if (!gate_is_open(world, device, device->gates.restart))
			return false;
		world_tell(world, device, UPDATE_RESTARTING, OTA_OK);
		return true;
	case UPDATE_NONE:
	case UPDATE_TARGETED:
	case UPDATE_RESTARTING:
	case UPDATE_TRIAL:
	case UPDATE_SUCCEEDED:
	case UPDATE_ALREADY_INSTALLED:
	case UPDATE_FAILED:
	case UPDATE_ROLLED_BACK:
	case UPDATE_REJECTED:
	case UPDATE_TIMED_OUT:
	case UPDATE_CANCELED:
	case UPDATE_SUPERSEDED:
	case UPDATE_REMOVED:
	case UPDATE_EXPIRED:
	case UPDATE_LOST:
	case UPDATE_STATE_COUNT:
		break;
	}
	return false;
}

bool world_step(struct world *world, struct sim_device *device)
{
	struct sim_message message;

	if (device->inbox_count) {
		message = device->inbox[0];
		device->inbox_count--;
		memmove(device->inbox, device->inbox + 1,
			device->inbox_count * sizeof(*device->inbox));
		read_message(world, device, &message);
		return true;
	}
	return work(world, device);
}

void world_work(struct world *world, enum update_state until)
{
	bool moved = true;

	for (unsigned round = 0; moved; round++) {
		assert_true(round < 100000);
		moved = false;
		for (unsigned i = 0; i < world->device_count; i++) {
			struct sim_device *device = &world->devices[i];
			if (until && device->hand.state >= until && !device->inbox_count)
				continue;
			moved |= world_step(world, device);
		}
		world_settle(world);
		for (unsigned i = 0; i < world->device_count; i++)
			moved |= world->devices[i].inbox_count > 0;
	}
}
