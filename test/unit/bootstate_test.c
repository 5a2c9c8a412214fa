#include "unit.h"

#include "bootstate.h"
#include "place.h"

static void open_store(const struct place *place, struct boot_store *ret_store)
{
	struct ota_why why;

	assert_ok(bootstate_record_open(disk_posix(), place_path(place, "boot"), 0, ret_store,
					&why),
		  why);
}

/* "<phase> active=<slot> trying=<slot> tries=<n> <bootable slots>" */
static const char *shown(const struct boot_store *store)
{
	static char text[96];
	struct boot_state state;
	struct ota_why why;

	assert_ok(store->read(store->ctx, &state, &why), why);
	snprintf(text, sizeof(text), "%s active=%s trying=%s tries=%u %s%s%s",
		 boot_phase_names[state.phase], boot_slot_names[state.active],
		 boot_slot_names[state.trying], state.tries, state.bootable[0] ? "a" : "-",
		 state.bootable[1] ? "b" : "-", state.exhausted ? " exhausted" : "");
	return text;
}

static void begin(const struct boot_store *store, enum boot_slot slot)
{
	struct ota_why why;

	assert_ok(bootstate_begin(store, slot, &why), why);
}

static void arm(const struct boot_store *store, enum boot_slot slot)
{
	struct ota_why why;

	assert_ok(bootstate_arm(store, slot, 3, &why), why);
}

static enum boot_slot select_slot(const struct boot_store *store)
{
	enum boot_slot slot;
	struct ota_why why;

	assert_ok(bootstate_select(store, &slot, &why), why);
	return slot;
}

static void a_device_is_delivered_with_slot_a(void **state)
{
	struct boot_store store;

	open_store(*state, &store);
	assert_string_equal(shown(&store), "settled active=a trying=a tries=0 a-");
	assert_int_equal(select_slot(&store), BOOT_SLOT_A);
	bootstate_done(&store);
}

static void an_update_that_is_confirmed_moves_the_active_slot(void **state)
{
	struct boot_store store;
	struct ota_why why;

	open_store(*state, &store);
	begin(&store, BOOT_SLOT_B);
	arm(&store, BOOT_SLOT_B);
	assert_string_equal(shown(&store), "armed active=a trying=b tries=3 ab");
	assert_int_equal(select_slot(&store), BOOT_SLOT_B);
	assert_string_equal(shown(&store), "trying active=a trying=b tries=2 ab");
	assert_ok(bootstate_confirm(&store, BOOT_SLOT_B, &why), why);
	assert_string_equal(shown(&store), "settled active=b trying=b tries=0 ab");
	assert_ok(bootstate_confirm(&store, BOOT_SLOT_B, &why), why);
	assert_int_equal(select_slot(&store), BOOT_SLOT_B);
	begin(&store, BOOT_SLOT_A);
	assert_string_equal(shown(&store), "settled active=b trying=b tries=0 -b");
	bootstate_done(&store);
}

static void a_crash_loop_ends_in_the_old_slot_after_the_last_try(void **state)
{
	struct boot_store store;

	open_store(*state, &store);
	arm(&store, BOOT_SLOT_B);
	for (unsigned try = 0; try < 3; try++)
		assert_int_equal(select_slot(&store), BOOT_SLOT_B);
	assert_string_equal(shown(&store), "trying active=a trying=b tries=0 ab");
	assert_int_equal(select_slot(&store), BOOT_SLOT_A);
	assert_string_equal(shown(&store), "returned active=a trying=b tries=0 a- exhausted");
	assert_int_equal(select_slot(&store), BOOT_SLOT_A);
	bootstate_done(&store);
}

static void a_revert_takes_the_bootable_flag_from_the_tried_slot(void **state)
{
	struct boot_store store;
	struct ota_why why;

	open_store(*state, &store);
	arm(&store, BOOT_SLOT_B);
	select_slot(&store);
	assert_ok(bootstate_revert(&store, &why), why);
	assert_string_equal(shown(&store), "returned active=a trying=b tries=0 a-");
	assert_ok(bootstate_revert(&store, &why), why);
	assert_ok(bootstate_settle(&store, &why), why);
	assert_string_equal(shown(&store), "settled active=a trying=b tries=0 a-");
	bootstate_done(&store);
}

static void the_active_slot_is_never_given_up(void **state)
{
	struct boot_store store;
	struct ota_why why;

	open_store(*state, &store);
	assert_int_equal(bootstate_begin(&store, BOOT_SLOT_A, &why), OTA_BOOTLOADER_ERROR);
	assert_int_equal(bootstate_arm(&store, BOOT_SLOT_A, 3, &why), OTA_BOOTLOADER_ERROR);
	assert_string_equal(shown(&store), "settled active=a trying=a tries=0 a-");
	bootstate_done(&store);
}

static void nothing_is_begun_or_armed_while_a_trial_runs(void **state)
{
	struct boot_store store;
	struct ota_why why;

	open_store(*state, &store);
	arm(&store, BOOT_SLOT_B);
	select_slot(&store);
	assert_int_equal(bootstate_begin(&store, BOOT_SLOT_B, &why), OTA_BOOTLOADER_ERROR);
	assert_int_equal(bootstate_begin(&store, BOOT_SLOT_A, &why), OTA_BOOTLOADER_ERROR);
	assert_int_equal(bootstate_arm(&store, BOOT_SLOT_B, 3, &why), OTA_BOOTLOADER_ERROR);
	bootstate_done(&store);
}

static void there_is_no_road_to_active_but_through_a_trial(void **state)
{
	struct boot_store store;
	struct ota_why why;

	open_store(*state, &store);
	assert_int_equal(bootstate_confirm(&store, BOOT_SLOT_B, &why), OTA_BOOTLOADER_ERROR);
	arm(&store, BOOT_SLOT_B);
	assert_int_equal(bootstate_confirm(&store, BOOT_SLOT_B, &why), OTA_BOOTLOADER_ERROR);
	select_slot(&store);
	assert_int_equal(bootstate_confirm(&store, BOOT_SLOT_A, &why), OTA_BOOTLOADER_ERROR);
	assert_ok(bootstate_revert(&store, &why), why);
	assert_int_equal(bootstate_confirm(&store, BOOT_SLOT_B, &why), OTA_BOOTLOADER_ERROR);
	bootstate_done(&store);
}

static void a_begin_disarms(void **state)
{
	struct boot_store store;

	open_store(*state, &store);
	arm(&store, BOOT_SLOT_B);
	begin(&store, BOOT_SLOT_B);
	assert_string_equal(shown(&store), "settled active=a trying=b tries=0 a-");
	assert_int_equal(select_slot(&store), BOOT_SLOT_A);
	bootstate_done(&store);
}

static enum ota_err write_that_fails(void *ctx, const struct boot_state *state,
				     struct ota_why *why)
{
	(void)ctx;
	(void)state;
	return ota_fail(why, OTA_IO_ERROR, "no");
}

static void a_try_that_cannot_be_counted_is_not_made(void **state)
{
	struct boot_store store;

	open_store(*state, &store);
	arm(&store, BOOT_SLOT_B);
	struct boot_store broken = store;
	broken.write = write_that_fails;
	assert_int_equal(select_slot(&broken), BOOT_SLOT_A);
	bootstate_done(&store);
}

static enum ota_err read_nonsense(void *ctx, struct boot_state *ret_state, struct ota_why *why)
{
	(void)why;
	*ret_state = *(const struct boot_state *)ctx;
	return OTA_OK;
}

static void a_state_that_contradicts_itself_is_not_acted_upon(void **state)
{
	static const struct boot_state nonsense[] = {
		{.phase = BOOT_SETTLED, .active = BOOT_SLOT_B, .bootable = {true, false}},
		{.phase = BOOT_ARMED, .trying = BOOT_SLOT_A, .bootable = {true, true}},
		{.phase = BOOT_TRYING, .trying = BOOT_SLOT_B, .bootable = {true, false}},
		{.phase = BOOT_SETTLED, .tries = BOOT_TRIES_MAX + 1, .bootable = {true, true}},
		{.phase = BOOT_PHASE_COUNT, .bootable = {true, true}},
		{.active = BOOT_SLOT_COUNT, .bootable = {true, true}},
	};
	struct boot_store store = {.read = read_nonsense, .write = write_that_fails};
	enum boot_slot slot;
	struct ota_why why;

	(void)state;
	for (size_t i = 0; i < sizeof(nonsense) / sizeof(nonsense[0]); i++) {
		struct boot_state copy = nonsense[i];
		store.ctx = &copy;
		assert_int_equal(bootstate_select(&store, &slot, &why), OTA_BOOTLOADER_ERROR);
		assert_int_equal(bootstate_arm(&store, BOOT_SLOT_B, 3, &why),
				 OTA_BOOTLOADER_ERROR);
	}
}

#define IN_PLACE(test) cmocka_unit_test_setup_teardown(test, place_make, place_remove)

int main(void)
{
	const struct CMUnitTest tests[] = {
		IN_PLACE(a_device_is_delivered_with_slot_a),
		IN_PLACE(an_update_that_is_confirmed_moves_the_active_slot),
		IN_PLACE(a_crash_loop_ends_in_the_old_slot_after_the_last_try),
		IN_PLACE(a_revert_takes_the_bootable_flag_from_the_tried_slot),
		IN_PLACE(the_active_slot_is_never_given_up),
		IN_PLACE(nothing_is_begun_or_armed_while_a_trial_runs),
		IN_PLACE(there_is_no_road_to_active_but_through_a_trial),
		IN_PLACE(a_begin_disarms),
		IN_PLACE(a_try_that_cannot_be_counted_is_not_made),
		cmocka_unit_test(a_state_that_contradicts_itself_is_not_acted_upon),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
