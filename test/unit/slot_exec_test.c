#include "unit.h"

#include "place.h"
#include "slot.h"

#include <signal.h>
#include <sys/stat.h>

#define CALL(slots, verb, ...) (slots)->verb((slots)->ctx, __VA_ARGS__)

/* A slot program in shell: the state directory is where it lies. */
static const char program[] =
	"#!/bin/sh\n"
	"cd \"$(dirname \"$0\")\" || exit 1\n"
	"[ -f state ] || echo 'settled a a 0 1 0 0' > state\n"
	"[ -f fail ] && [ \"$(cat fail)\" = \"$1\" ] && { echo 'first line' >&2;"
	" echo 'the sub-device does not answer' >&2; exit \"$(cat code)\"; }\n"
	"case $1 in\n"
	"capacity) echo 4096 ;;\n"
	"begin) echo 'settled a a 0 1 0 0' > state; : >> target-$2 ;;\n"
	"write) dd of=target-$2 bs=1 seek=\"$3\" conv=notrunc 2>/dev/null ;;\n"
	"read) dd if=\"$2-$3\" bs=1 skip=\"$4\" count=\"$5\" 2>/dev/null ;;\n"
	"finish) sync target-$2 ;;\n"
	"digest) n=$4; [ \"$n\" = 0 ] && n=$(wc -c < \"$2-$3\");"
	" set -- $(head -c \"$n\" \"$2-$3\" | sha256sum) $(head -c \"$n\" \"$2-$3\" | wc -c);"
	" echo \"$1 $3\" ;;\n"
	"arm) echo \"armed a b $2 1 1 0\" > state ;;\n"
	"state) cat state ;;\n"
	"boot) echo 'trying a b 2 1 1 0' > state; echo b ;;\n"
	"confirm) echo 'settled b b 0 1 1 0' > state ;;\n"
	"revert) echo 'returned a b 0 1 0 0' > state ;;\n"
	"settle) echo 'settled a b 0 1 0 0' > state ;;\n"
	"*) exit 64 ;;\n"
	"esac\n";

static int make_program(void **state)
{
	if (place_make(state))
		return -1;
	place_write(*state, "program", program, sizeof(program) - 1);
	return chmod(place_path(*state, "program"), 0755);
}

static void open_slots(struct slots *slots, const struct place *place)
{
	static const char *const classes[] = {"sensor", "radio"};
	struct ota_why why;

	assert_ok(slot_exec_open(place_path(place, "program"), classes, 2, 10000, slots, &why),
		  why);
}

static void fail_at(const struct place *place, const char *verb, const char *code)
{
	place_write(place, "fail", verb, strlen(verb));
	place_write(place, "code", code, strlen(code));
}

static void put(struct slots *slots, unsigned part, const char *image)
{
	size_t len = strlen(image);
	struct digest digest;
	struct ota_why why;

	assert_ok(digest_of(image, len, &digest, &why), why);
	assert_ok(CALL(slots, begin, part, len, &why), why);
	assert_ok(CALL(slots, write, part, 0, image, 4, &why), why);
	assert_ok(CALL(slots, write, part, 4, image + 4, len - 4, &why), why);
	assert_ok(CALL(slots, finish, part, &why), why);
	assert_ok(CALL(slots, verify, SLOT_TARGET, part, len, &digest, NULL, &why), why);
}

static void components_of_a_sub_device_are_installed_all_or_none(void **state)
{
	struct boot_state boot_state;
	struct slots slots;
	struct ota_why why;
	enum boot_slot slot;
	char back[5];

	open_slots(&slots, *state);
	put(&slots, 0, "sensor version 2");
	assert_int_equal(slots.arm(slots.ctx, 3, &why), OTA_SLOT_ERROR);
	assert_contains(why.text, "the part 'radio' was not verified");
	put(&slots, 1, "radio version 2");
	assert_ok(CALL(&slots, read, SLOT_TARGET, 1, 6, back, 5, &why), why);
	assert_memory_equal(back, "versi", 5);
	assert_ok(slots.arm(slots.ctx, 3, &why), why);
	assert_ok(CALL(&slots, state, &boot_state, &why), why);
	assert_int_equal(boot_state.phase, BOOT_ARMED);
	assert_ok(CALL(&slots, boot, &slot, &why), why);
	assert_int_equal(slot, BOOT_SLOT_B);
	assert_int_equal(slots.running(slots.ctx), BOOT_SLOT_B);
	assert_ok(slots.confirm(slots.ctx, &why), why);
	assert_ok(CALL(&slots, state, &boot_state, &why), why);
	assert_int_equal(boot_state.active, BOOT_SLOT_B);
	slots_done(&slots);
}

static void another_image_than_the_signed_one_is_not_armed(void **state)
{
	struct slots slots;
	struct ota_why why;
	struct digest digest;

	open_slots(&slots, *state);
	assert_ok(digest_of("sensor version 3", 16, &digest, &why), why);
	put(&slots, 1, "radio version 2");
	put(&slots, 0, "sensor version 2");
	assert_ok(CALL(&slots, begin, 0, 16, &why), why);
	assert_ok(CALL(&slots, finish, 0, &why), why);
	assert_int_equal(CALL(&slots, verify, SLOT_TARGET, 0, 16, &digest, NULL, &why),
			 OTA_IMAGE_HASH_MISMATCH);
	assert_int_equal(slots.arm(slots.ctx, 3, &why), OTA_SLOT_ERROR);
	slots_done(&slots);
}

static void a_failure_says_the_programs_last_line(void **state)
{
	struct slots slots;
	struct ota_why why;

	open_slots(&slots, *state);
	fail_at(*state, "begin", "3");
	assert_int_equal(CALL(&slots, begin, 0, 10, &why), OTA_SLOT_ERROR);
	assert_contains(why.text, "begin' ended with 3: the sub-device does not answer");
	fail_at(*state, "begin", "28");
	assert_int_equal(CALL(&slots, begin, 0, 10, &why), OTA_INSUFFICIENT_STORAGE);
	fail_at(*state, "begin", "75");
	assert_int_equal(CALL(&slots, begin, 0, 10, &why), OTA_BUSY);
	slots_done(&slots);
}

static void replace_program(const struct place *place, const char *text)
{
	place_write(place, "program", text, strlen(text));
}

static void a_program_that_hangs_is_killed_with_its_children(void **state)
{
	static const char *const classes[] = {"sensor"};
	struct slots slots;
	struct ota_why why;

	replace_program(*state, "#!/bin/sh\nsleep 600 &\nwait\n");
	assert_int_equal(
		slot_exec_open(place_path(*state, "program"), classes, 1, 300, &slots, &why),
		OTA_SLOT_ERROR);
	assert_contains(why.text, "did not end within 300 ms");
}

static void nonsense_is_not_a_state(void **state)
{
	static const char *const classes[] = {"sensor"};
	static const char *const answers[] = {"",
					      "armed",
					      "settled a a 0 1 0 0 0",
					      "settled c a 0 1 0 0",
					      "settled b a 0 1 0 0",
					      "settled a a 10 1 0 0",
					      " settled a a 0 1 0 0"};
	char text[128];
	struct slots slots;
	struct ota_why why;

	for (size_t i = 0; i < sizeof(answers) / sizeof(answers[0]); i++) {
		snprintf(text, sizeof(text), "#!/bin/sh\necho '%s'\n", answers[i]);
		replace_program(*state, text);
		assert_int_equal(slot_exec_open(place_path(*state, "program"), classes, 1, 5000,
						&slots, &why),
				 OTA_SLOT_ERROR);
		assert_contains(why.text, "answers '");
	}
}

static void more_answer_than_asked_for_is_refused(void **state)
{
	struct slots slots;
	struct ota_why why;
	char back[4];

	open_slots(&slots, *state);
	replace_program(*state, "#!/bin/sh\nyes | head -c 100000\n");
	assert_int_equal(CALL(&slots, read, SLOT_TARGET, 0, 0, back, 4, &why), OTA_SLOT_ERROR);
	assert_contains(why.text, "answers more than 4 bytes");
	replace_program(*state, "#!/bin/sh\nprintf abc\n");
	assert_int_equal(CALL(&slots, read, SLOT_TARGET, 0, 0, back, 4, &why),
			 OTA_SIZE_MISMATCH);
	slots_done(&slots);
}

static void a_program_that_is_not_there_is_named(void **state)
{
	static const char *const classes[] = {"sensor"};
	struct slots slots;
	struct ota_why why;

	(void)state;
	assert_int_equal(slot_exec_open("/nowhere/program", classes, 1, 1000, &slots, &why),
			 OTA_SLOT_ERROR);
	assert_contains(why.text, "'/nowhere/program' could not be started");
}

#define IN_PLACE(test) cmocka_unit_test_setup_teardown(test, make_program, place_remove)

int main(void)
{
	const struct CMUnitTest tests[] = {
		IN_PLACE(components_of_a_sub_device_are_installed_all_or_none),
		IN_PLACE(another_image_than_the_signed_one_is_not_armed),
		IN_PLACE(a_failure_says_the_programs_last_line),
		IN_PLACE(a_program_that_hangs_is_killed_with_its_children),
		IN_PLACE(nonsense_is_not_a_state),
		IN_PLACE(more_answer_than_asked_for_is_refused),
		IN_PLACE(a_program_that_is_not_there_is_named),
	};

	signal(SIGPIPE, SIG_IGN);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
