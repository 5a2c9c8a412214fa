#include "bootstate.h"

#include <stdio.h>
#include <string.h>

const char *const boot_slot_names[] = {"a", "b", NULL};
const char *const boot_phase_names[] = {"settled", "armed", "trying", "returned", NULL};

void bootstate_done(struct boot_store *store)
{
	if (store->done)
		store->done(store->ctx);
	memset(store, 0, sizeof(*store));
}

static enum boot_slot other(enum boot_slot slot)
{
	return slot == BOOT_SLOT_A ? BOOT_SLOT_B : BOOT_SLOT_A;
}

static bool is_tried(const struct boot_state *state)
{
	return state->phase == BOOT_ARMED || state->phase == BOOT_TRYING;
}

enum boot_slot bootstate_running(const struct boot_state *state)
{
	return state->phase == BOOT_TRYING ? state->trying : state->active;
}

enum boot_slot bootstate_target(const struct boot_state *state)
{
	return other(bootstate_running(state));
}

bool bootstate_is_sound(const struct boot_state *state)
{
	return state->phase < BOOT_PHASE_COUNT && state->active < BOOT_SLOT_COUNT &&
	       state->trying < BOOT_SLOT_COUNT && state->tries <= BOOT_TRIES_MAX &&
	       state->bootable[state->active] &&
	       (!is_tried(state) ||
		(state->trying != state->active && state->bootable[state->trying]));
}

const struct boot_state bootstate_factory = {
	.phase = BOOT_SETTLED,
	.active = BOOT_SLOT_A,
	.bootable = {true, false},
};

void bootstate_to_text(const struct boot_state *state, char ret_text[BOOT_TEXT_SIZE])
{
	snprintf(ret_text, BOOT_TEXT_SIZE, "%s %s %s %u %u %u %u",
		 boot_phase_names[state->phase], boot_slot_names[state->active],
		 boot_slot_names[state->trying], state->tries, state->bootable[BOOT_SLOT_A],
		 state->bootable[BOOT_SLOT_B], state->exhausted);
}

static bool word_among(const char *word, const char *const *names, unsigned *ret_index)
{
	for (unsigned i = 0; names[i]; i++) {
		if (strcmp(word, names[i]) != 0)
			continue;
		*ret_index = i;
		return true;
	}
	return false;
}

bool bootstate_from_text(const char *text, struct boot_state *ret_state)
{
	static const char *const no_yes[] = {"0", "1", NULL};
	static const char *const digits[] = {"0", "1", "2", "3", "4", "5",
					     "6", "7", "8", "9", NULL};
	const char *const *const words[] = {
		boot_phase_names, boot_slot_names, boot_slot_names, digits,
		no_yes,		  no_yes,	   no_yes};
	char copy[BOOT_TEXT_SIZE], *rest = copy;
	unsigned value[7];

	if (!text_copy(copy, sizeof(copy), text))
		return false;
	for (unsigned i = 0; i < 7; i++) {
		const char *word = strsep(&rest, " ");
		if (!word || !word_among(word, words[i], &value[i]))
			return false;
	}
	if (rest)
		return false;
	*ret_state = (struct boot_state){
		.phase = (enum boot_phase)value[0],
		.active = (enum boot_slot)value[1],
		.trying = (enum boot_slot)value[2],
		.tries = value[3],
		.bootable = {value[4] != 0, value[5] != 0},
		.exhausted = value[6] != 0,
	};
	return true;
}

static enum ota_err bootstate_read(const struct boot_store *store, struct boot_state *ret_state,
				   struct ota_why *why)
{
	struct boot_state state;
	enum ota_err err = store->read(store->ctx, &state, why);

	if (err)
		return ota_context(why, err, "the boot state");
	if (!bootstate_is_sound(&state))
		return ota_fail(why, OTA_BOOTLOADER_ERROR, "the boot state contradicts itself");
	*ret_state = state;
	return OTA_OK;
}

static enum ota_err bootstate_write(const struct boot_store *store,
				    const struct boot_state *state, struct ota_why *why)
{
	enum ota_err err = store->write(store->ctx, state, why);
	return err ? ota_context(why, err, "the boot state") : OTA_OK;
}

enum ota_err bootstate_begin(const struct boot_store *store, enum boot_slot target,
			     struct ota_why *why)
{
	struct boot_state state;
	enum ota_err err = bootstate_read(store, &state, why);

	if (err)
		return err;
	if (state.phase == BOOT_TRYING)
		return ota_fail(why, OTA_BOOTLOADER_ERROR,
				"slot %s is on trial: both slots are needed",
				boot_slot_names[state.trying]);
	if (target == state.active)
		return ota_fail(why, OTA_BOOTLOADER_ERROR, "slot %s is the active one",
				boot_slot_names[target]);
	if (!state.bootable[target] && state.phase != BOOT_ARMED)
		return OTA_OK;
	state.bootable[target] = false;
	if (state.phase == BOOT_ARMED)
		state.phase = BOOT_SETTLED;
	state.tries = 0;
	return bootstate_write(store, &state, why);
}

enum ota_err bootstate_arm(const struct boot_store *store, enum boot_slot target,
			   uint32_t tries, struct ota_why *why)
{
	struct boot_state state;
	enum ota_err err = bootstate_read(store, &state, why);

	if (err)
		return err;
	if (tries < 1 || tries > BOOT_TRIES_MAX)
		return ota_fail(why, OTA_INTERNAL, "%u tries, 1 to %u are allowed", tries,
				BOOT_TRIES_MAX);
	if (state.phase == BOOT_TRYING)
		return ota_fail(why, OTA_BOOTLOADER_ERROR, "slot %s is on trial",
				boot_slot_names[state.trying]);
	if (target == state.active)
		return ota_fail(why, OTA_BOOTLOADER_ERROR, "slot %s is the active one",
				boot_slot_names[target]);
	if (state.phase == BOOT_ARMED && state.tries == tries)
		return OTA_OK;
	state.phase = BOOT_ARMED;
	state.trying = target;
	state.tries = tries;
	state.bootable[target] = true;
	state.exhausted = false;
	return bootstate_write(store, &state, why);
}

static void state_return(struct boot_state *state, bool exhausted)
{
	state->phase = BOOT_RETURNED;
	state->bootable[state->trying] = false;
	state->tries = 0;
	state->exhausted = exhausted;
}

enum ota_err bootstate_select(const struct boot_store *store, enum boot_slot *ret_slot,
			      struct ota_why *why)
{
	struct boot_state state;
	enum ota_err err = bootstate_read(store, &state, why);

	if (err)
		return err;
	enum boot_slot active = state.active;
	if (!is_tried(&state)) {
		*ret_slot = active;
		return OTA_OK;
	}
	if (state.tries > 0) {
		state.phase = BOOT_TRYING;
		state.tries--;
	} else {
		state_return(&state, true);
	}
	/* A try that could not be counted could go on for ever. */
	err = bootstate_write(store, &state, why);
	*ret_slot = err ? active : bootstate_running(&state);
	return OTA_OK;
}

enum ota_err bootstate_confirm(const struct boot_store *store, enum boot_slot running,
			       struct ota_why *why)
{
	struct boot_state state;
	enum ota_err err = bootstate_read(store, &state, why);

	if (err)
		return err;
	if (state.phase == BOOT_SETTLED && state.active == running)
		return OTA_OK;
	if (state.phase != BOOT_TRYING || state.trying != running)
		return ota_fail(why, OTA_BOOTLOADER_ERROR, "slot %s is not on trial",
				boot_slot_names[running]);
	state.phase = BOOT_SETTLED;
	state.active = running;
	state.tries = 0;
	return bootstate_write(store, &state, why);
}

enum ota_err bootstate_revert(const struct boot_store *store, struct ota_why *why)
{
	struct boot_state state;
	enum ota_err err = bootstate_read(store, &state, why);

	if (err || !is_tried(&state))
		return err;
	state_return(&state, false);
	return bootstate_write(store, &state, why);
}

enum ota_err bootstate_settle(const struct boot_store *store, struct ota_why *why)
{
	struct boot_state state;
	enum ota_err err = bootstate_read(store, &state, why);

	if (err || state.phase != BOOT_RETURNED)
		return err;
	state.phase = BOOT_SETTLED;
	state.exhausted = false;
	return bootstate_write(store, &state, why);
}
