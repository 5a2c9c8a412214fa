#include "unit.h"

#include "place.h"
#include "slot.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/wait.h>

#define CALL(slots, verb, ...) (slots)->verb((slots)->ctx, __VA_ARGS__)

static void open_with(struct slots *slots, const struct place *place, const struct disk *disk,
		      uint64_t limit)
{
	struct slot_part part = {.slot_class = "app"};
	struct boot_store store;
	struct ota_why why;

	snprintf(part.path[BOOT_SLOT_A], DISK_PATH_SIZE, "%s/a/app", place->directory);
	snprintf(part.path[BOOT_SLOT_B], DISK_PATH_SIZE, "%s/b/app", place->directory);
	snprintf(part.link, DISK_PATH_SIZE, "%s/current", place->directory);
	assert_ok(bootstate_record_open(disk, place_path(place, "boot"), 0, &store, &why), why);
	assert_ok(slot_file_open(disk, &part, 1, limit, &store, slots, &why), why);
}

static void open_slots(struct slots *slots, const struct place *place)
{
	open_with(slots, place, disk_posix(), 0);
}

static struct digest digest_of_text(const char *text)
{
	struct digest digest;
	struct ota_why why;

	assert_ok(digest_of(text, strlen(text), &digest, &why), why);
	return digest;
}

static void install(struct slots *slots, const char *image)
{
	struct digest digest = digest_of_text(image);
	size_t len = strlen(image);
	struct ota_why why;

	assert_ok(CALL(slots, begin, 0, len, &why), why);
	assert_ok(CALL(slots, write, 0, 0, image, len, &why), why);
	assert_ok(CALL(slots, finish, 0, &why), why);
	assert_ok(CALL(slots, verify, SLOT_TARGET, 0, len, &digest, NULL, &why), why);
	assert_ok(CALL(slots, arm, 3, &why), why);
}

static enum boot_slot boot(struct slots *slots)
{
	enum boot_slot slot;
	struct ota_why why;

	assert_ok(CALL(slots, boot, &slot, &why), why);
	assert_int_equal(why.err, OTA_OK);
	return slot;
}

static void assert_link(const struct place *place, const char *slot)
{
	char target[256] = "";

	assert_true(readlink(place_path(place, "current"), target, sizeof(target) - 1) > 0);
	assert_string_equal(target, place_path(place, slot));
}

static void an_update_switches_the_link_at_boot_and_not_before(void **state)
{
	struct slots slots;
	struct stat st;
	struct ota_why why;

	open_slots(&slots, *state);
	place_write(*state, "a/app", "version 1", 9);
	assert_int_equal(boot(&slots), BOOT_SLOT_A);
	assert_link(*state, "a/app");
	install(&slots, "version 2");
	assert_link(*state, "a/app");
	assert_int_equal(boot(&slots), BOOT_SLOT_B);
	assert_link(*state, "b/app");
	assert_int_equal(stat(place_path(*state, "b/app"), &st), 0);
	assert_int_equal(st.st_mode & 07777, 0755);
	assert_int_equal(st.st_size, 9);
	assert_ok(slots.confirm(slots.ctx, &why), why);
	slots_done(&slots);
	open_slots(&slots, *state);
	assert_int_equal(slots.running(slots.ctx), BOOT_SLOT_B);
	assert_int_equal(boot(&slots), BOOT_SLOT_B);
	slots_done(&slots);
}

static void an_unconfirmed_version_goes_after_its_tries(void **state)
{
	struct slots slots;

	open_slots(&slots, *state);
	place_write(*state, "a/app", "version 1", 9);
	install(&slots, "version 2");
	for (unsigned try = 0; try < 3; try++)
		assert_int_equal(boot(&slots), BOOT_SLOT_B);
	assert_int_equal(boot(&slots), BOOT_SLOT_A);
	assert_link(*state, "a/app");
	slots_done(&slots);
}

static void a_shorter_image_leaves_nothing_of_the_longer_one(void **state)
{
	struct slots slots;
	struct stat st;

	open_slots(&slots, *state);
	place_write(*state, "b/app", "a much longer old image", 23);
	install(&slots, "new");
	assert_int_equal(stat(place_path(*state, "b/app"), &st), 0);
	assert_int_equal(st.st_size, 3);
	slots_done(&slots);
}

static void what_a_cut_left_is_still_there_after_begin(void **state)
{
	struct slots slots;
	struct ota_why why;
	char back[8];

	open_slots(&slots, *state);
	assert_ok(CALL(&slots, begin, 0, 8, &why), why);
	assert_ok(CALL(&slots, write, 0, 0, "half", 4, &why), why);
	slots_done(&slots);
	open_slots(&slots, *state);
	assert_ok(CALL(&slots, begin, 0, 8, &why), why);
	assert_ok(CALL(&slots, read, SLOT_TARGET, 0, 0, back, 4, &why), why);
	assert_memory_equal(back, "half", 4);
	slots_done(&slots);
}

static void only_what_was_verified_since_its_last_write_is_armed(void **state)
{
	struct slots slots;
	struct ota_why why;
	struct digest digest = digest_of_text("image");

	open_slots(&slots, *state);
	assert_int_equal(slots.arm(slots.ctx, 3, &why), OTA_SLOT_ERROR);
	assert_ok(CALL(&slots, begin, 0, 5, &why), why);
	assert_ok(CALL(&slots, write, 0, 0, "image", 5, &why), why);
	assert_ok(CALL(&slots, verify, SLOT_TARGET, 0, 5, &digest, NULL, &why), why);
	assert_int_equal(slots.arm(slots.ctx, 3, &why), OTA_SLOT_ERROR);
	assert_ok(CALL(&slots, finish, 0, &why), why);
	assert_int_equal(slots.arm(slots.ctx, 3, &why), OTA_SLOT_ERROR);
	assert_ok(CALL(&slots, verify, SLOT_TARGET, 0, 5, &digest, NULL, &why), why);
	assert_ok(CALL(&slots, begin, 0, 5, &why), why);
	assert_int_equal(slots.arm(slots.ctx, 3, &why), OTA_SLOT_ERROR);
	slots_done(&slots);
}

static void another_image_than_the_signed_one_is_not_verified(void **state)
{
	struct slots slots;
	struct ota_why why;
	struct digest digest = digest_of_text("imagE");
	const struct digest zero = {{0}};

	open_slots(&slots, *state);
	assert_ok(CALL(&slots, begin, 0, 5, &why), why);
	assert_ok(CALL(&slots, write, 0, 0, "image", 5, &why), why);
	assert_ok(CALL(&slots, finish, 0, &why), why);
	assert_int_equal(CALL(&slots, verify, SLOT_TARGET, 0, 5, &digest, NULL, &why),
			 OTA_IMAGE_HASH_MISMATCH);
	assert_int_equal(CALL(&slots, verify, SLOT_TARGET, 0, 6, &digest, NULL, &why),
			 OTA_SIZE_MISMATCH);
	assert_int_equal(CALL(&slots, verify, SLOT_TARGET, 0, 5, &zero, NULL, &why),
			 OTA_INTERNAL);
	assert_int_equal(slots.arm(slots.ctx, 3, &why), OTA_SLOT_ERROR);
	slots_done(&slots);
}

static bool stop_at_once(void *arg, uint64_t done, uint64_t total)
{
	(void)arg;
	assert_true(done <= total);
	return false;
}

static void a_verify_that_is_stopped_verifies_nothing(void **state)
{
	struct slots slots;
	struct ota_why why;
	struct digest digest = digest_of_text("image");
	const struct slot_watch watch = {stop_at_once, NULL};

	open_slots(&slots, *state);
	assert_ok(CALL(&slots, begin, 0, 5, &why), why);
	assert_ok(CALL(&slots, write, 0, 0, "image", 5, &why), why);
	assert_ok(CALL(&slots, finish, 0, &why), why);
	assert_int_equal(CALL(&slots, verify, SLOT_TARGET, 0, 5, &digest, &watch, &why),
			 OTA_BUSY);
	assert_int_equal(slots.arm(slots.ctx, 3, &why), OTA_SLOT_ERROR);
	slots_done(&slots);
}

static void writes_outside_the_image_are_refused(void **state)
{
	struct slots slots;
	struct ota_why why;

	open_slots(&slots, *state);
	assert_int_equal(CALL(&slots, write, 0, 0, "x", 1, &why), OTA_SLOT_ERROR);
	assert_ok(CALL(&slots, begin, 0, 5, &why), why);
	assert_int_equal(CALL(&slots, write, 0, 5, "x", 1, &why), OTA_SIZE_MISMATCH);
	assert_int_equal(CALL(&slots, write, 0, 4, "xx", 2, &why), OTA_SIZE_MISMATCH);
	assert_int_equal(CALL(&slots, write, 0, UINT64_MAX, "x", 1, &why), OTA_SIZE_MISMATCH);
	assert_int_equal(CALL(&slots, write, 1, 0, "x", 1, &why), OTA_SLOT_ERROR);
	slots_done(&slots);
}

static int little_space(void *ctx, const char *path, uint64_t *ret_free)
{
	(void)ctx;
	(void)path;
	*ret_free = 1000;
	return 0;
}

static void a_full_disk_says_how_much_is_missing(void **state)
{
	struct disk disk = *disk_posix();
	struct slots slots;
	struct ota_why why;

	disk.space = little_space;
	open_with(&slots, *state, &disk, 0);
	assert_int_equal(CALL(&slots, begin, 0, 5000, &why), OTA_INSUFFICIENT_STORAGE);
	assert_int_equal(why.detail, ENOSPC);
	assert_contains(why.text,
			"4000 bytes are missing: 5000 more are needed, 1000 are free");
	slots_done(&slots);
}

static void an_image_beyond_the_limit_is_refused(void **state)
{
	struct slots slots;
	struct ota_why why;
	uint64_t capacity;

	open_with(&slots, *state, disk_posix(), 100);
	assert_ok(CALL(&slots, capacity, 0, &capacity, &why), why);
	assert_int_equal(capacity, 100);
	assert_int_equal(CALL(&slots, begin, 0, 101, &why), OTA_INSUFFICIENT_STORAGE);
	assert_int_equal(CALL(&slots, begin, 0, 0, &why), OTA_INSUFFICIENT_STORAGE);
	slots_done(&slots);
}

/* The boot state says A, the link says B runs. */
static void the_slot_that_the_link_names_is_not_written(void **state)
{
	struct slots slots;
	struct ota_why why;

	open_slots(&slots, *state);
	place_write(*state, "a/app", "1", 1);
	boot(&slots);
	unlink(place_path(*state, "current"));
	assert_int_equal(symlink(place_path(*state, "b/app"), place_path(*state, "current")),
			 0);
	assert_int_equal(CALL(&slots, begin, 0, 5, &why), OTA_SLOT_ERROR);
	assert_contains(why.text, "is the running one");
	slots_done(&slots);
}

static void a_program_that_is_being_executed_is_not_written(void **state)
{
	struct slots slots;
	struct ota_why why;
	size_t len;
	int ready[2], hold[2];

	open_slots(&slots, *state);
	char *program = unit_read("/bin/cat", &len);
	place_write(*state, "b/app", program, len);
	test_free(program);
	assert_int_equal(chmod(place_path(*state, "b/app"), 0755), 0);
	assert_int_equal(pipe2(ready, O_CLOEXEC), 0);
	assert_int_equal(pipe2(hold, O_CLOEXEC), 0);
	pid_t pid = fork();
	if (pid == 0) {
		dup2(hold[0], 0);
		dup2(ready[1], 1);
		execl(place_path(*state, "b/app"), "app", (char *)NULL);
		_exit(127);
	}
	char byte = 'x';
	assert_int_equal(write(hold[1], &byte, 1), 1);
	assert_int_equal(read(ready[0], &byte, 1), 1);
	assert_int_equal(CALL(&slots, begin, 0, 5, &why), OTA_SLOT_ERROR);
	assert_contains(why.text, "it is being executed");
	close(hold[1]);
	waitpid(pid, NULL, 0);
	assert_ok(CALL(&slots, begin, 0, 5, &why), why);
	slots_done(&slots);
}

static int symlink_fails(void *ctx, const char *target, const char *path)
{
	(void)ctx;
	(void)target;
	(void)path;
	return -ENOSPC;
}

static void a_link_that_cannot_be_replaced_leaves_the_old_version_running(void **state)
{
	struct disk disk = *disk_posix();
	struct boot_state boot_state;
	struct slots slots;
	struct ota_why why;
	enum boot_slot slot;

	open_slots(&slots, *state);
	place_write(*state, "a/app", "1", 1);
	boot(&slots);
	slots_done(&slots);
	unlink(place_path(*state, "current.new"));
	disk.symlink = symlink_fails;
	open_with(&slots, *state, &disk, 0);
	install(&slots, "version 2");
	assert_ok(CALL(&slots, boot, &slot, &why), why);
	assert_int_equal(why.err, OTA_INSUFFICIENT_STORAGE);
	assert_int_equal(slot, BOOT_SLOT_A);
	assert_ok(CALL(&slots, state, &boot_state, &why), why);
	assert_int_equal(boot_state.phase, BOOT_ARMED);
	assert_int_equal(boot_state.tries, 2);
	assert_int_equal(slots.confirm(slots.ctx, &why), OTA_BOOTLOADER_ERROR);
	slots_done(&slots);
}

static void the_way_back_needs_no_inode(void **state)
{
	struct disk disk = *disk_posix();
	struct slots slots;
	struct ota_why why;
	enum boot_slot slot;

	open_slots(&slots, *state);
	place_write(*state, "a/app", "1", 1);
	install(&slots, "version 2");
	assert_int_equal(boot(&slots), BOOT_SLOT_B);
	slots_done(&slots);
	disk.symlink = symlink_fails;
	open_with(&slots, *state, &disk, 0);
	assert_ok(slots.revert(slots.ctx, &why), why);
	assert_ok(CALL(&slots, boot, &slot, &why), why);
	assert_int_equal(why.err, OTA_OK);
	assert_int_equal(slot, BOOT_SLOT_A);
	slots_done(&slots);
}

static void a_revert_boots_the_old_version(void **state)
{
	struct boot_state boot_state;
	struct slots slots;
	struct ota_why why;

	open_slots(&slots, *state);
	place_write(*state, "a/app", "1", 1);
	install(&slots, "version 2");
	assert_int_equal(boot(&slots), BOOT_SLOT_B);
	assert_ok(slots.revert(slots.ctx, &why), why);
	assert_int_equal(slots.running(slots.ctx), BOOT_SLOT_B);
	assert_int_equal(boot(&slots), BOOT_SLOT_A);
	assert_ok(CALL(&slots, state, &boot_state, &why), why);
	assert_int_equal(boot_state.phase, BOOT_RETURNED);
	assert_false(boot_state.bootable[BOOT_SLOT_B]);
	assert_ok(slots.settle(slots.ctx, &why), why);
	slots_done(&slots);
}

#define IN_PLACE(test) cmocka_unit_test_setup_teardown(test, place_make, place_remove)

int main(void)
{
	const struct CMUnitTest tests[] = {
		IN_PLACE(an_update_switches_the_link_at_boot_and_not_before),
		IN_PLACE(an_unconfirmed_version_goes_after_its_tries),
		IN_PLACE(a_shorter_image_leaves_nothing_of_the_longer_one),
		IN_PLACE(what_a_cut_left_is_still_there_after_begin),
		IN_PLACE(only_what_was_verified_since_its_last_write_is_armed),
		IN_PLACE(another_image_than_the_signed_one_is_not_verified),
		IN_PLACE(a_verify_that_is_stopped_verifies_nothing),
		IN_PLACE(writes_outside_the_image_are_refused),
		IN_PLACE(a_full_disk_says_how_much_is_missing),
		IN_PLACE(an_image_beyond_the_limit_is_refused),
		IN_PLACE(the_slot_that_the_link_names_is_not_written),
		IN_PLACE(a_program_that_is_being_executed_is_not_written),
		IN_PLACE(a_link_that_cannot_be_replaced_leaves_the_old_version_running),
		IN_PLACE(the_way_back_needs_no_inode),
		IN_PLACE(a_revert_boots_the_old_version),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
