/* fleetsim: one process that is a fleet of devices, ten thousand and more, speaking the real
 * wire over real TLS to a real broker. Options are the rows below; commands come on standard
 * input (command.h); figures go to standard output, one JSON object a line.
 *
 * Exits 0 when the end that `until` names was reached and nothing came that no honest broker
 * sends, 1 otherwise. */
#include "bulk.h"
#include "command.h"
#include "haul.h"
#include "option.h"
#include "own.h"
#include "passage.h"

#include "file.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stddef.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>

#define EVENTS_MAX     512
#define HANDSHAKES_MAX 64 /* at a time: the broker does them one after another */
#define COMMAND_MAX    512
#define NOBODY	       UINT32_MAX /* epoll's name for standard input */
#define ROOT_MAX       (64u << 10)

static const char *const until_names[] = {"stopped", "joined", "finished", NULL};

#define AT(member) offsetof(struct fleet_options, member)
static const struct option_row rows[] = {
	{"broker", OPTION_STRING, AT(broker), 0, 0, "localhost", NULL,
	 "The broker's host, as its certificate names it."},
	{"port", OPTION_STRING, AT(port), 0, 0, "8883", NULL, "Its port."},
	{"ca", OPTION_STRING, AT(ca), 0, 0, NULL, NULL, "The CA's certificate, PEM."},
	{"ca-key", OPTION_STRING, AT(ca_key), 0, 0, NULL, NULL,
	 "The CA's key: the devices' certificates are made with it, in memory."},
	{"root", OPTION_STRING, AT(root), 0, 0, "", NULL,
	 "The trust root; with it the offers' signatures are verified."},
	{"prefix", OPTION_STRING, AT(prefix), 0, 0, "d", NULL,
	 "Device ids are this and a number."},
	{"first", OPTION_NUMBER, AT(first), 0, 1000000000, "1", NULL, "The first number."},
	{"count", OPTION_NUMBER, AT(count), 1, 100000, "10", NULL, "How many devices."},
	{"product", OPTION_STRING, AT(product), 0, 0, "thermo", NULL, "What they are."},
	{"hardware", OPTION_STRING, AT(hardware), 0, 0, "board-1", NULL, "Their hardware."},
	{"version", OPTION_STRING, AT(version), 0, 0, "1.0", NULL, "The version they run."},
	{"digest", OPTION_STRING, AT(image_digest), 0, 0, "", NULL,
	 "SHA-256 of the image they run; packs against this base are taken."},
	{"seed", OPTION_NUMBER, AT(seed), 0, 0, "1", NULL, "Fates and jitter repeat with it."},
	{"connect-rate", OPTION_NUMBER, AT(connect_rate), 1, 100000, "500", NULL,
	 "New connections a second at most."},
	{"window", OPTION_NUMBER, AT(window), 2, MESSAGE_WINDOW_MAX, "4", NULL,
	 "Chunks outstanding."},
	{"keepalive", OPTION_NUMBER, AT(keepalive_s), 5, 65535, "120", NULL, "Seconds."},
	{"timeout", OPTION_DURATION, AT(timeout_ms), 100, 3600000, "10s", NULL,
	 "Then a chunk is asked for again."},
	{"backoff", OPTION_DURATION, AT(backoff_ms), 1, 3600000, "1s", NULL,
	 "First pause before a new connection, doubled each time, with full jitter."},
	{"backoff-max", OPTION_DURATION, AT(backoff_max_ms), 1, 3600000, "60s", NULL,
	 "The longest pause."},
	{"install-time", OPTION_DURATION, AT(install_ms), 0, 3600000, "200ms", NULL,
	 "Mean time of an installation."},
	{"restart-time", OPTION_DURATION, AT(restart_ms), 0, 3600000, "1s", NULL,
	 "Mean time of a restart."},
	{"defer-time", OPTION_DURATION, AT(defer_ms), 0, 86400000, "5s", NULL,
	 "Mean time that a deferring device takes."},
	{"confirm-time", OPTION_DURATION, AT(confirm_ms), 1000, 86400000, "300s", NULL,
	 "A trial without a grant is reverted after it."},
	{"closed", OPTION_BOOL, AT(closed), 0, 0, "false", NULL,
	 "All start with the gate for downloads closed."},
	{"fail", OPTION_NUMBER, AT(share[FATE_FAIL]), 0, 10000, "0", NULL,
	 "Of ten thousand devices, how many fail to install."},
	{"vanish", OPTION_NUMBER, AT(share[FATE_VANISH]), 0, 10000, "0", NULL,
	 "… restart and are never heard of again."},
	{"roll-back", OPTION_NUMBER, AT(share[FATE_ROLL_BACK]), 0, 10000, "0", NULL,
	 "… come back with the old version: the new one found no broker."},
	{"unhealthy", OPTION_NUMBER, AT(share[FATE_UNHEALTHY]), 0, 10000, "0", NULL,
	 "… come back: the new one failed its health check."},
	{"crash", OPTION_NUMBER, AT(share[FATE_CRASH]), 0, 10000, "0", NULL,
	 "… come back: the new one crashed again and again."},
	{"reconnect", OPTION_NUMBER, AT(share[FATE_RECONNECT]), 0, 10000, "0", NULL,
	 "… lose their connection in the middle of the download."},
	{"reject", OPTION_NUMBER, AT(share[FATE_REJECT]), 0, 10000, "0", NULL,
	 "… refuse the offer."},
	{"defer", OPTION_NUMBER, AT(share[FATE_DEFER]), 0, 10000, "0", NULL, "… defer it."},
	{"bad-version", OPTION_STRING, AT(bad_version), 0, 0, "", NULL,
	 "Only updates to this version have a fate."},
	{"fate", OPTION_LIST, AT(fates), 0, 0, "", NULL, "DEVICE=FATE, as often as needed."},
	{"raw", OPTION_STRING, AT(raw), 0, 0, "", NULL,
	 "No OTA: only subscribe to THIS/<device> and count."},
	{"raw-shards", OPTION_NUMBER, AT(raw_shards), 0, 65536, "0", NULL,
	 "… to THIS/<shard of so many> instead."},
	{"raw-full", OPTION_BOOL, AT(raw_full), 0, 0, "false", NULL,
	 "… to four topics shaped like those of a device instead."},
	{"mute", OPTION_BOOL, AT(mute), 0, 0, "false", NULL,
	 "Offers are counted, and nothing is done about them but to end when they are cancelled."},
	{"flood", OPTION_NUMBER, AT(flood), 0, 1000000000, "0", NULL,
	 "Each sends so many reports (raw: messages), a window of 16 at a time, and has finished."},
	{"echo", OPTION_DURATION, AT(echo_ms), 0, 60000, "0ms", NULL,
	 "With raw: each sends to itself, and again this long after it came back; times are kept."},
	{"https", OPTION_BOOL, AT(https), 0, 0, "false", NULL,
	 "Packs are fetched from the HTTPS source that the offer names; indexes over MQTT."},
	{"https-least", OPTION_NUMBER, AT(https_least), 0, 1u << 30, "4194304", NULL,
	 "… those of at least so many bytes."},
	{"flood-size", OPTION_NUMBER, AT(flood_size), 1, 65536, "300", NULL,
	 "Bytes of a raw message of the flood."},
	{"until", OPTION_CHOICE, AT(until), 0, 0, "stopped", until_names,
	 "What ends the simulation; SIGTERM always does."},
	{"for", OPTION_DURATION, AT(for_ms), 0, 86400000, "0s", NULL,
	 "Ends it after this time at the latest; 0 never."},
	{"linger", OPTION_DURATION, AT(linger_ms), 0, 3600000, "0s", NULL,
	 "Goes on for this time after the end was reached."},
	{"every", OPTION_DURATION, AT(every_ms), 0, 3600000, "0s", NULL,
	 "Prints the figures this often; 0: at the end only."},
	{"commands", OPTION_BOOL, AT(commands), 0, 0, "false", NULL,
	 "Reads commands from standard input; its end is `stop`."},
	{0},
};

static volatile sig_atomic_t stopped;

static void on_signal(int number)
{
	(void)number;
	stopped = 1;
}

static enum ota_err read_arguments(struct fleet_options *options, int count, char **arguments,
				   struct ota_why *why)
{
	enum ota_err err = option_defaults(rows, options, why);
	for (int i = 1; i < count && !err; i++) {
		char key[64] = "";
		const char *text = arguments[i];
		const char *equals = strchr(text, '=');
		size_t len = equals ? (size_t)(equals - text) : 0;
		if (strncmp(text, "--", 2) != 0 || len < 3 || len - 2 >= sizeof(key))
			return ota_fail(why, OTA_BAD_REQUEST, "'%s' is not --option=value",
					text);
		memcpy(key, text + 2, len - 2);
		err = option_set(rows, options, key, equals + 1, "command line", why);
	}
	return err ? err : option_complete(rows, options, "command line", why);
}

static enum ota_err read_root(struct fleet *fleet, struct ota_why *why)
{
	AUTO_FREE char *text = NULL;
	size_t len;
	enum ota_err err = file_read(fleet->options.root, ROOT_MAX, &text, &len, why);
	if (!err)
		err = trust_new(text, len, &fleet->trust, why);
	fleet->offerings.trust = fleet->trust;
	return err;
}

static enum ota_err prepare(struct fleet *fleet, struct ota_why *why)
{
	const struct fleet_options *options = &fleet->options;
	fleet->count = (uint32_t)options->count;
	fleet->random_state = options->seed;
	fleet->fates.seed = options->seed;
	fleet->fates.version = options->bad_version;
	memcpy(fleet->fates.share, options->share, sizeof(fleet->fates.share));
	for (char **fate = options->fates; fate && *fate; fate++) {
		enum ota_err err = fate_name(&fleet->fates, *fate, why);
		if (err)
			return err;
	}
	if (options->image_digest &&
	    (strlen(options->image_digest) != 64 ||
	     !text_to_bytes(options->image_digest, fleet->digest.bytes, DIGEST_SIZE)))
		return ota_fail(why, OTA_BAD_REQUEST, "digest: 64 hexadecimal digits");
	if (!options->image_digest) {
		enum ota_err err = digest_of(options->version, strlen(options->version),
					     &fleet->digest, why);
		if (err)
			return err;
	}
	enum ota_err err = wire_peer_find(options->broker, options->port, &fleet->peer, why);
	if (!err)
		err = issuer_open(options->ca, options->ca_key, &fleet->issuer, why);
	if (!err && options->root)
		err = read_root(fleet, why);
	return err ? err : agenda_init(&fleet->agenda, fleet->count, why);
}

static enum ota_err gather(struct fleet *fleet, struct ota_why *why)
{
	struct rlimit files;
	getrlimit(RLIMIT_NOFILE, &files);
	files.rlim_cur = files.rlim_max;
	setrlimit(RLIMIT_NOFILE, &files);
	if (files.rlim_cur < fleet->count * (fleet->options.https ? 2 : 1) + 32)
		return ota_fail(
			why, OTA_TOO_LARGE,
			"%u devices need as many open files, twice with https; %lu allowed",
			fleet->count, (unsigned long)files.rlim_cur);
	fleet->members = calloc(fleet->count, sizeof(*fleet->members));
	fleet->waiting = calloc(fleet->count, sizeof(*fleet->waiting));
	if (!fleet->members || !fleet->waiting)
		return ota_fail(why, OTA_OUT_OF_MEMORY, "%u devices", fleet->count);
	fleet->epoll = epoll_create1(EPOLL_CLOEXEC);
	if (fleet->epoll < 0)
		return ota_fail_errno(why, OTA_IO_ERROR, errno, "epoll");
	for (uint32_t i = 0; i < fleet->count; i++) {
		member_init(fleet, &fleet->members[i], i);
		member_queue(fleet, &fleet->members[i]);
	}
	return OTA_OK;
}

static void release(struct fleet *fleet)
{
	for (uint32_t i = 0; fleet->members && i < fleet->count; i++)
		member_done(&fleet->members[i]);
	if (fleet->epoll > 0)
		close(fleet->epoll);
	free(fleet->members);
	free(fleet->waiting);
	free(fleet->source);
	echo_done(&fleet->echo);
	agenda_done(&fleet->agenda);
	offering_book_done(&fleet->offerings);
	blob_shelf_done(&fleet->blobs);
	trust_free(fleet->trust);
	issuer_free(fleet->issuer);
	option_done(rows, &fleet->options);
}

/* Lets in as many as the rate and the handshakes under way allow. */
static void admit(struct fleet *fleet)
{
	uint64_t step_us = 1000000 / fleet->options.connect_rate;
	uint64_t now_us = fleet_clock_us();
	if (fleet->connect_credit_us + 1000000 < now_us)
		fleet->connect_credit_us = now_us - 20000;
	while (fleet->waiting_count && fleet->handshakes < HANDSHAKES_MAX &&
	       fleet->connect_credit_us <= now_us) {
		uint32_t who = fleet->waiting[fleet->waiting_first];
		fleet->waiting_first = (fleet->waiting_first + 1) % fleet->count;
		fleet->waiting_count--;
		fleet->connect_credit_us += step_us;
		member_connect(fleet, &fleet->members[who]);
	}
}

static void do_due(struct fleet *fleet)
{
	uint32_t who;
	for (uint32_t turn = 0; turn < fleet->count; turn++) {
		if (agenda_first(&fleet->agenda, &who) > fleet->now_ms)
			return;
		member_due(fleet, &fleet->members[who]);
	}
}

/* Lines from standard input; false at its end or on `stop`. */
static bool obey(struct fleet *fleet)
{
	static char line[COMMAND_MAX];
	static size_t len;
	for (;;) {
		ssize_t got = read(STDIN_FILENO, line + len, sizeof(line) - 1 - len);
		if (got < 0)
			return errno == EAGAIN || errno == EINTR;
		if (got == 0)
			return false;
		len += (size_t)got;
		line[len] = '\0';
		char *end;
		while ((end = strchr(line, '\n'))) {
			*end = '\0';
			if (!command_run(fleet, line))
				return false;
			len -= (size_t)(end + 1 - line);
			memmove(line, end + 1, len + 1);
		}
		if (len == sizeof(line) - 1)
			len = 0; /* no command is that long */
	}
}

static bool is_over(const struct fleet *fleet)
{
	if (fleet->options.until == FLEET_UNTIL_JOINED)
		return fleet->joined == fleet->count;
	return fleet->options.until == FLEET_UNTIL_FINISHED && fleet->finished == fleet->count;
}

static int pause_ms(const struct fleet *fleet, uint64_t until_ms)
{
	uint32_t who;
	uint64_t due = agenda_first(&fleet->agenda, &who);
	if (until_ms < due)
		due = until_ms;
	if (fleet->waiting_count && fleet->handshakes < HANDSHAKES_MAX)
		return 1;
	uint64_t now = fleet_clock_ms();
	if (due <= now)
		return 0;
	return due - now > 1000 ? 1000 : (int)(due - now);
}

/* One round of events; false when a command said stop. */
static bool turn(struct fleet *fleet, int wait_ms)
{
	struct epoll_event events[EVENTS_MAX];
	bool going = true;
	int count = epoll_wait(fleet->epoll, events, EVENTS_MAX, wait_ms);
	fleet->now_ms = fleet_clock_ms();
	for (int i = 0; i < count; i++) {
		if (events[i].data.u32 == NOBODY)
			going = obey(fleet);
		else if (events[i].data.u32 & HAUL_KEY)
			haul_event(fleet, &fleet->members[events[i].data.u32 & ~HAUL_KEY]);
		else
			member_event(fleet, &fleet->members[events[i].data.u32],
				     events[i].events);
	}
	do_due(fleet);
	admit(fleet);
	return going;
}

static bool run(struct fleet *fleet)
{
	const struct fleet_options *options = &fleet->options;
	uint64_t start = fleet->now_ms = fleet_clock_ms();
	uint64_t limit = options->for_ms ? start + options->for_ms : AGENDA_NEVER;
	uint64_t print = options->every_ms ? start + options->every_ms : AGENDA_NEVER;
	uint64_t end = AGENDA_NEVER;
	while (!stopped && fleet->now_ms < limit && fleet->now_ms < end) {
		uint64_t next = print < limit ? print : limit;
		if (!turn(fleet, pause_ms(fleet, next < end ? next : end)))
			break;
		if (end == AGENDA_NEVER && is_over(fleet))
			end = fleet->now_ms + options->linger_ms;
		if (fleet->now_ms >= print) {
			command_print_status(fleet);
			print = fleet->now_ms + options->every_ms;
		}
	}
	return options->until == FLEET_UNTIL_STOPPED || is_over(fleet);
}

static void listen_to_commands(struct fleet *fleet)
{
	struct epoll_event event = {.events = EPOLLIN, .data.u32 = NOBODY};
	if (!fleet->options.commands)
		return;
	fcntl(STDIN_FILENO, F_SETFL, O_NONBLOCK);
	epoll_ctl(fleet->epoll, EPOLL_CTL_ADD, STDIN_FILENO, &event);
}

static int help(void)
{
	struct text text = {0};
	option_help(rows, &text);
	printf("usage: fleetsim --option=value …\n%s", text.failed ? "" : text.data);
	text_done(&text);
	return 0;
}

int main(int count, char **arguments)
{
	struct fleet fleet = {0};
	struct ota_why why = {0};
	if (count == 2 && !strcmp(arguments[1], "--help"))
		return help();
	enum ota_err err = read_arguments(&fleet.options, count, arguments, &why);
	if (!err)
		err = prepare(&fleet, &why);
	if (!err)
		err = gather(&fleet, &why);
	if (err) {
		fprintf(stderr, "fleetsim: %s\n", why.text);
		release(&fleet);
		return 2;
	}
	struct sigaction action = {.sa_handler = on_signal};
	sigaction(SIGTERM, &action, NULL);
	sigaction(SIGINT, &action, NULL);
	signal(SIGPIPE, SIG_IGN);
	listen_to_commands(&fleet);
	bool reached = run(&fleet);
	command_print_status(&fleet);
	bool broken = fleet.tally.broken > 0;
	release(&fleet);
	return reached && !broken ? 0 : 1;
}
