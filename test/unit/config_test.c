#include "unit.h"

#include "config.h"
#include "logbook.h"
#include "place.h"

static const char minimal[] = "broker = broker.example:8883\n"
			      "ca_file = /etc/ota/ca.crt\n"
			      "cert_file = /etc/ota/device.crt\n"
			      "key_file = /etc/ota/device.key\n"
			      "trust_root = /etc/ota/root.json\n"
			      "product = lamp\n"
			      "hardware = lamp-a\n"
			      "slot_a = /data/a\n"
			      "slot_b = /data/b\n";

static enum ota_err read_text(void **state, const char *first, const char *second,
			      struct config *config, struct ota_why *why)
{
	struct place *place = *state;
	char text[4096];

	snprintf(text, sizeof(text), "%s%s", first, second);
	place_write(place, "agent.conf", text, strlen(text));
	memset(config, 0, sizeof(*config));
	return config_read(config, place_path(place, "agent.conf"), why);
}

static void a_minimal_file_gets_the_defaults(void **state)
{
	struct config config;
	struct ota_why why;

	assert_ok(read_text(state, minimal, "", &config, &why), why);
	assert_string_equal(config.state_dir, "/var/lib/ota-agent");
	assert_string_equal(config.socket, "/var/lib/ota-agent/control");
	assert_string_equal(config.boot_record, "/var/lib/ota-agent/boot-state");
	assert_string_equal(config.slot_class, "main");
	assert_int_equal(config.slot, CONFIG_SLOT_FILE);
	assert_int_equal(config.confirm_timeout, 300000);
	assert_int_equal(config.health_timeout, 60000);
	assert_int_equal(config.download, CONFIG_ALLOW);
	assert_int_equal(config.log_level, LOG_LEVEL_INFO);
	assert_null(config.command);
	config_done(&config);
}

static void each_bootloader_has_its_own_place(void **state)
{
	struct config config;
	struct ota_why why;

	assert_ok(read_text(state, minimal, "boot_state = uboot\n", &config, &why), why);
	assert_string_equal(config.boot_record, "/etc/fw_env.config");
	config_done(&config);
	assert_ok(read_text(state, minimal, "boot_state = grub\n", &config, &why), why);
	assert_string_equal(config.boot_record, "/boot/grub/grubenv");
	config_done(&config);
}

static void the_boot_state_is_out_of_reach_where_root_writes_the_slots(void **state)
{
	struct config config;
	struct ota_why why;

	assert_ok(read_text(state, minimal, "slot = block\nslot_socket = /run/ota-slot.sock\n",
			    &config, &why),
		  why);
	assert_string_equal(config.boot_record, "/var/lib/ota-slot/boot-state");
	assert_string_equal(config.slot_user, "ota-agent");
	config_done(&config);
}

static void exec_slots_have_several_classes(void **state)
{
	char classes[SLOT_PARTS_MAX][33];
	struct config config;
	struct ota_why why;

	assert_ok(read_text(state, minimal,
			    "slot = exec\nslot_program = /p\nslot_class = sensor  radio\n",
			    &config, &why),
		  why);
	assert_int_equal(config_classes(&config, classes), 2);
	assert_string_equal(classes[0], "sensor");
	assert_string_equal(classes[1], "radio");
	config_done(&config);
}

static void what_cannot_work_is_refused_by_key(void **state)
{
	static const struct {
		const char *line, *says;
	} bad[] = {
		{"colour = red\n", "colour"},
		{"slot = tape\n", "slot"},
		{"confirm_timeout = 300\n", "confirm_timeout"},
		{"confirm_timeout = 10ms\n", "confirm_timeout"},
		{"window = 2-4\n", "window"},
		{"slot_class = A B\n", "slot_class"},
		{"slot = exec\n", "slot_program"},
		{"slot = block\ncommand = run\n", "command"},
		{"factory_version = a b\n", "factory_version"},
		{"reconnect_min = 10s\nreconnect_max = 1s\n", "reconnect_min"},
		{"probation = 60s\nconfirm_timeout = 60s\n", "probation"},
		{"groups = beta Stable\n", "groups 'beta Stable'"},
		{"rate_limit = fast\n", "rate_limit"},
		{"socket = control\n", "socket"},
		{"slot_socket = /run/ota-slot.sock\n", "slot_socket needs slot = block"},
		{"slot = block\nslot_socket = slot.sock\n", "slot_socket"},
		{"slot = block\nslot_socket = /run/s\nboot_record = /var/lib/ota-agent/b\n",
		 "boot_record must not lie in state_dir"},
		{"slot_class = rootfs kernel\n", "several need slot = exec"},
		{"slot = exec\nslot_program = /p\nslot_class = a b c d e f g h i\n",
		 "slot_class"},
	};

	for (unsigned i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct config config;
		struct ota_why why = {0};

		if (!read_text(state, minimal, bad[i].line, &config, &why))
			fail_msg("taken: %s", bad[i].line);
		assert_contains(why.text, bad[i].says);
		config_done(&config);
	}
}

static void every_required_key_is_missed_by_name(void **state)
{
	static const char *const required[] = {"broker",   "ca_file",	 "cert_file",
					       "key_file", "trust_root", "product",
					       "hardware", "slot_a",	 "slot_b"};

	for (unsigned i = 0; i < sizeof(required) / sizeof(required[0]); i++) {
		struct config config;
		struct ota_why why = {0};
		char text[sizeof(minimal)];
		char key[32];

		snprintf(text, sizeof(text), "%s", minimal);
		snprintf(key, sizeof(key), "%s =", required[i]);
		*strstr(text, key) = '#';
		if (!read_text(state, text, "", &config, &why))
			fail_msg("%s is not missed", required[i]);
		assert_contains(why.text, required[i]);
		config_done(&config);
	}
}

static void a_broker_is_a_host_and_a_port(void **state)
{
	static const char *const bad[] = {"broker.example", "broker.example:", ":8883",
					  "broker:99999",   "a:b:8883",	       "[::1:8883"};

	for (unsigned i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct config config;
		struct ota_why why = {0};
		char text[sizeof(minimal) + 64];

		snprintf(text, sizeof(text), "broker = %s\n%s", bad[i],
			 strchr(minimal, '\n') + 1);
		assert_int_equal(read_text(state, text, "", &config, &why), OTA_BAD_REQUEST);
		assert_contains(why.text, bad[i]);
		config_done(&config);
	}
}

static void the_sample_names_every_key(void **state)
{
	(void)state;
	struct text sample = {0};

	option_sample(config_rows, &sample);
	for (const struct option_row *row = config_rows; row->key; row++)
		assert_contains(sample.data, row->key);
	text_done(&sample);
}

#define IN_PLACE(test) cmocka_unit_test_setup_teardown(test, place_make, place_remove)

int main(void)
{
	const struct CMUnitTest tests[] = {
		IN_PLACE(a_minimal_file_gets_the_defaults),
		IN_PLACE(each_bootloader_has_its_own_place),
		IN_PLACE(the_boot_state_is_out_of_reach_where_root_writes_the_slots),
		IN_PLACE(exec_slots_have_several_classes),
		IN_PLACE(what_cannot_work_is_refused_by_key),
		IN_PLACE(every_required_key_is_missed_by_name),
		IN_PLACE(a_broker_is_a_host_and_a_port),
		cmocka_unit_test(the_sample_names_every_key),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
