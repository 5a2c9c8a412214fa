/* The agent's slots behind ota-slot: every case of the partitions once more, through the
 * socket. */
#include "slot_block_cases.h"

#include "own.h"
#include "slot_serve.h"

#include <pthread.h>
#include <sys/socket.h>
#include <sys/un.h>

static struct {
	pthread_t thread;
	bool runs;
	int listener, peer;
	struct slots slots;
	unsigned restarts, notes, connections;
	char last_note[64];
} server;

static enum ota_err count_restart(void *ctx, struct ota_why *why)
{
	(void)ctx;
	(void)why;
	server.restarts++;
	return OTA_OK;
}

static void keep_note(void *ctx, const char *verb, const struct ota_why *why)
{
	(void)ctx;
	server.notes++;
	snprintf(server.last_note, sizeof(server.last_note), "%s %s", verb,
		 ota_err_name(why->err));
}

static void *serve(void *unused)
{
	const struct slot_service service = {.slots = &server.slots,
					     .part_count = 2,
					     .restart = count_restart,
					     .note = keep_note};
	struct ota_why why;

	for (unsigned i = 0; i < server.connections; i++) {
		AUTO_CLOSE int peer = accept(server.listener, NULL, NULL);
		server.peer = peer;
		enum ota_err err = peer < 0 ? OTA_IO_ERROR : slot_serve(&service, peer, &why);
		(void)err;
	}
	return unused;
}

static void stop_server(void)
{
	if (!server.runs)
		return;
	pthread_join(server.thread, NULL);
	slots_done(&server.slots);
	close(server.listener);
	server.runs = false;
}

/* The server's side over `slots`, for so many connections. */
static void start_server(const struct place *place, unsigned connections)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};

	snprintf(address.sun_path, sizeof(address.sun_path), "%.90s/slot.sock",
		 place->directory);
	unlink(address.sun_path);
	server.listener = socket(AF_UNIX, SOCK_SEQPACKET, 0);
	assert_int_equal(bind(server.listener, (struct sockaddr *)&address, sizeof(address)),
			 0);
	assert_int_equal(listen(server.listener, 2), 0);
	server.connections = connections;
	server.restarts = server.notes = 0;
	server.runs = true;
	assert_int_equal(pthread_create(&server.thread, NULL, serve, NULL), 0);
}

static void connect_to(struct slots *slots, const struct place *place)
{
	struct slot_part parts[2];
	struct ota_why why;

	block_parts(place, parts);
	assert_ok(
		slot_remote_open(place_path(place, "slot.sock"), parts, 2, 10000, slots, &why),
		why);
}

static void open_with(struct slots *slots, const struct place *place, const struct disk *disk,
		      const enum boot_slot *running)
{
	stop_server();
	open_block(&server.slots, place, disk, running);
	start_server(place, 1);
	connect_to(slots, place);
}

static int remove_all(void **state)
{
	stop_server();
	return place_remove(state);
}

static void the_boot_state_goes_its_way_through_the_socket(void **state)
{
	struct boot_state seen;
	struct slots slots;
	struct ota_why why;
	enum boot_slot slot;
	char path[DISK_PATH_SIZE];

	open_with(&slots, *state, disk_posix(), NULL);
	put(&slots, 0, "rootfs 2");
	put(&slots, 1, "kernel 2");
	assert_ok(slots.arm(slots.ctx, 3, &why), why);
	assert_string_equal(server.last_note, "arm ok");
	assert_ok(slots.restart(slots.ctx, &why), why);
	assert_int_equal(server.restarts, 1);
	assert_ok(CALL(&slots, boot, &slot, &why), why);
	assert_int_equal(why.err, OTA_SLOT_ERROR);
	assert_int_equal(slot, BOOT_SLOT_A);
	assert_true(CALL(&slots, path, BOOT_SLOT_B, 1, path, sizeof(path)));
	assert_contains(path, "/kernel-b");
	slots_done(&slots);
	stop_server();

	/* the machine started again */
	open_block(&slots, *state, disk_posix(), NULL);
	assert_ok(CALL(&slots, boot, &slot, &why), why);
	assert_int_equal(slot, BOOT_SLOT_B);
	slots_done(&slots);
	open_with(&slots, *state, disk_posix(), NULL);
	assert_int_equal(slots.running(slots.ctx), BOOT_SLOT_B);
	assert_ok(slots.confirm(slots.ctx, &why), why);
	assert_ok(CALL(&slots, state, &seen, &why), why);
	assert_int_equal(seen.phase, BOOT_SETTLED);
	assert_int_equal(seen.active, BOOT_SLOT_B);
	slots_done(&slots);
}

static void a_machine_is_not_restarted_without_a_reason(void **state)
{
	struct slots slots;
	struct ota_why why;

	open_with(&slots, *state, disk_posix(), NULL);
	assert_int_equal(slots.restart(slots.ctx, &why), OTA_FORBIDDEN);
	assert_contains(why.text, "nothing to restart for");
	assert_string_equal(server.last_note, "restart forbidden");
	slots_done(&slots);
	stop_server();
	assert_int_equal(server.restarts, 0);
}

static bool go_on_until(void *arg, uint64_t done, uint64_t total)
{
	unsigned *calls = arg;

	assert_true(done <= total);
	return (*calls)-- > 1;
}

static void a_long_verify_says_how_far_it_is_and_can_be_stopped(void **state)
{
	static char image[9 << 20];
	struct digest digest, seen;
	struct slots slots;
	struct ota_why why;
	uint64_t size;
	unsigned calls = 3;
	const struct slot_watch watch = {go_on_until, &calls};

	place_write(*state, "rootfs-a", image, sizeof(image));
	place_write(*state, "rootfs-b", image, sizeof(image));
	assert_ok(digest_of(image, sizeof(image), &digest, &why), why);
	open_with(&slots, *state, disk_posix(), NULL);
	assert_int_equal(
		CALL(&slots, verify, SLOT_TARGET, 0, sizeof(image), &digest, &watch, &why),
		OTA_BUSY);
	assert_int_equal(calls, 0);
	calls = 1000;
	assert_ok(CALL(&slots, digest, SLOT_TARGET, 0, &seen, &size, &watch, &why), why);
	assert_int_equal(calls, 997);
	assert_int_equal(size, sizeof(image));
	assert_true(digest_equal(&seen, &digest));
	slots_done(&slots);
}

static void what_is_longer_than_a_message_is_taken_apart(void **state)
{
	static char image[200000], back[200000];
	struct digest digest;
	struct slots slots;
	struct ota_why why;

	for (size_t i = 0; i < sizeof(image); i++)
		image[i] = (char)(i * 31 + i / 256);
	place_write(*state, "rootfs-a", back, sizeof(back));
	place_write(*state, "rootfs-b", back, sizeof(back));
	assert_ok(digest_of(image, sizeof(image), &digest, &why), why);
	open_with(&slots, *state, disk_posix(), NULL);
	assert_ok(CALL(&slots, begin, 0, sizeof(image), &why), why);
	assert_ok(CALL(&slots, write, 0, 0, image, sizeof(image), &why), why);
	assert_ok(CALL(&slots, finish, 0, &why), why);
	assert_ok(CALL(&slots, read, SLOT_TARGET, 0, 0, back, sizeof(back), &why), why);
	assert_memory_equal(image, back, sizeof(image));
	assert_ok(CALL(&slots, verify, SLOT_TARGET, 0, sizeof(image), &digest, NULL, &why),
		  why);
	slots_done(&slots);
}

/* What was begun went with the old process; the seam says so instead of writing, with an error
 * that is tried again. */
static void an_ota_slot_that_was_started_again_is_found_again(void **state)
{
	struct boot_state seen;
	struct slots slots;
	struct ota_why why;

	open_with(&slots, *state, disk_posix(), NULL);
	assert_ok(CALL(&slots, begin, 0, 100, &why), why);
	shutdown(server.peer, SHUT_RDWR);
	stop_server();
	assert_int_equal(CALL(&slots, state, &seen, &why), OTA_BUSY);
	open_block(&server.slots, *state, disk_posix(), NULL);
	start_server(*state, 1);
	assert_int_equal(CALL(&slots, write, 0, 0, "x", 1, &why), OTA_BUSY);
	assert_contains(why.text, "was started again");
	assert_ok(CALL(&slots, begin, 0, 100, &why), why);
	assert_ok(CALL(&slots, write, 0, 0, "x", 1, &why), why);
	slots_done(&slots);
}

static void an_ota_slot_that_is_not_there_is_named(void **state)
{
	struct slot_part parts[2];
	struct slots slots;
	struct ota_why why;

	block_parts(*state, parts);
	assert_int_equal(
		slot_remote_open(place_path(*state, "slot.sock"), parts, 2, 1000, &slots, &why),
		OTA_BUSY);
	assert_contains(why.text, "slot.sock");
	assert_int_equal(why.detail, ENOENT);
}

static int connect_raw(const struct place *place)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_SEQPACKET, 0);

	snprintf(address.sun_path, sizeof(address.sun_path), "%.90s/slot.sock",
		 place->directory);
	assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	return fd;
}

static void say(int fd, const struct slot_request *request)
{
	static uint8_t message[SLOT_WIRE_MAX];
	size_t len = slot_request_write(request, message);

	assert_int_equal(send(fd, message, len, 0), len);
}

static enum ota_err hear(int fd, struct slot_answer *ret_answer)
{
	static uint8_t message[SLOT_WIRE_MAX];
	struct ota_why why;
	ssize_t len = recv(fd, message, sizeof(message), 0);

	assert_true(len > 0);
	assert_ok(slot_answer_read(message, (size_t)len, ret_answer, &why), why);
	return ret_answer->why.err;
}

static enum ota_err raw(int fd, const struct slot_request *request)
{
	struct slot_answer answer;

	say(fd, request);
	return hear(fd, &answer);
}

/* What a hostile agent could send; the partitions and the boot state stay as they are. */
static void hostile_requests_are_refused_and_change_nothing(void **state)
{
	static const struct slot_request bad[] = {
		{.verb = SLOT_VERB_HELLO, .size = 2},
		{.verb = SLOT_VERB_BEGIN, .part = 2, .size = 10},
		{.verb = SLOT_VERB_BEGIN, .part = UINT32_MAX, .size = 10},
		{.verb = SLOT_VERB_BEGIN, .size = PARTITION + 1},
		{.verb = SLOT_VERB_BEGIN, .size = UINT64_MAX},
		{.verb = SLOT_VERB_BEGIN},
		{.verb = SLOT_VERB_WRITE, .bytes = (const uint8_t *)"x", .len = 1},
		{.verb = SLOT_VERB_READ, .offset = PARTITION, .size = 1},
		{.verb = SLOT_VERB_READ, .offset = UINT64_MAX, .size = 1},
		{.verb = SLOT_VERB_READ, .offset = UINT64_MAX / 2, .size = SLOT_WIRE_DATA_MAX},
		{.verb = SLOT_VERB_READ, .part = 7, .size = 1},
		{.verb = SLOT_VERB_READ, .size = SLOT_WIRE_DATA_MAX + 1},
		{.verb = SLOT_VERB_FINISH},
		{.verb = SLOT_VERB_ARM, .tries = 3},
		{.verb = SLOT_VERB_ARM},
		{.verb = SLOT_VERB_RESTART},
		{.verb = SLOT_VERB_RESTART, .part = 1},
		{.verb = SLOT_VERB_STATE, .size = 1},
		{.verb = SLOT_VERB_STATE, .bytes = (const uint8_t *)"rm -rf /", .len = 8},
		{.verb = SLOT_VERB_GO},
		{.verb = SLOT_VERB_STOP},
		{.verb = (enum slot_verb)0},
		{.verb = SLOT_VERB_COUNT},
		{.verb = (enum slot_verb)UINT32_MAX},
	};
	char text[2][BOOT_TEXT_SIZE];
	struct boot_state before, after;
	struct slots slots;
	struct ota_why why;

	open_block(&server.slots, *state, disk_posix(), NULL);
	assert_ok(CALL(&server.slots, state, &before, &why), why);
	start_server(*state, 1);
	int fd = connect_raw(*state);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		if (!raw(fd, &bad[i]))
			fail_msg("request %zu (%s) was done", i, slot_verb_name(bad[i].verb));
	for (size_t len = 1; len < SLOT_WIRE_HEADER; len += 9) {
		struct slot_answer answer;
		assert_int_equal(send(fd, bad, len, 0), len);
		assert_int_equal(hear(fd, &answer), OTA_BAD_REQUEST);
	}
	close(fd);
	stop_server();
	open_block(&slots, *state, disk_posix(), NULL);
	assert_ok(CALL(&slots, state, &after, &why), why);
	bootstate_to_text(&before, text[0]);
	bootstate_to_text(&after, text[1]);
	assert_string_equal(text[0], text[1]);
	slots_done(&slots);
	char *bytes = unit_read(place_path(*state, "rootfs-a"), NULL);
	for (unsigned i = 0; i < PARTITION; i++)
		assert_int_equal(bytes[i], 'r');
	test_free(bytes);
}

static void a_request_in_the_midst_of_a_read_ends_the_connection(void **state)
{
	static char image[5 << 20];
	const struct slot_request digest = {.verb = SLOT_VERB_DIGEST};
	const struct slot_request confirm = {.verb = SLOT_VERB_CONFIRM};
	struct slot_answer answer;
	char byte;

	place_write(*state, "rootfs-a", image, sizeof(image));
	place_write(*state, "rootfs-b", image, sizeof(image));
	open_block(&server.slots, *state, disk_posix(), NULL);
	start_server(*state, 1);
	int fd = connect_raw(*state);
	say(fd, &digest);
	assert_int_equal(hear(fd, &answer), OTA_OK);
	assert_int_equal(answer.kind, SLOT_ANSWER_PROGRESS);
	assert_int_equal(answer.first, SLOT_WIRE_PROGRESS);
	say(fd, &confirm);
	assert_int_equal(recv(fd, &byte, 1, 0), 0);
	close(fd);
}

#define SERVED(test) cmocka_unit_test_setup_teardown(test, make_partitions, remove_all)
#undef IN_PLACE
#define IN_PLACE(test) SERVED(test)

int main(void)
{
	const struct CMUnitTest tests[] = {
		BLOCK_CASES SERVED(the_boot_state_goes_its_way_through_the_socket),
		SERVED(a_machine_is_not_restarted_without_a_reason),
		SERVED(a_long_verify_says_how_far_it_is_and_can_be_stopped),
		SERVED(what_is_longer_than_a_message_is_taken_apart),
		SERVED(an_ota_slot_that_was_started_again_is_found_again),
		SERVED(an_ota_slot_that_is_not_there_is_named),
		SERVED(hostile_requests_are_refused_and_change_nothing),
		SERVED(a_request_in_the_midst_of_a_read_ends_the_connection),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
