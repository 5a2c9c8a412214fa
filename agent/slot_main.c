/* ota-slot: writes the partitions and the boot state for an ota-agent that has no right to. */
#include "config.h"
#include "notify.h"
#include "own.h"
#include "program.h"
#include "slot_serve.h"

#include <errno.h>
#include <getopt.h>
#include <pwd.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>

#define CONFIG_DEFAULT	"/etc/ota-agent.conf"
#define LISTEN_FD	3 /* sd_listen_fds(3) */
#define BACKLOG		4
#define RESTART_TRIES	50
#define RESTART_WAIT_MS 100

static int complain(const struct ota_why *why)
{
	fprintf(stderr, "ota-slot: %s (%s)\n", why->text, ota_err_name(why->err));
	return 1;
}

static int usage(FILE *to, int code)
{
	fprintf(to,
		"usage: ota-slot [--config FILE]\n"
		"       ota-slot --version\n"
		"\nWrites the partitions that FILE (%s unless it is named) gives to ota-agent,\n"
		"and what boots, for the ota-agent of slot_user that connects to slot_socket.\n",
		CONFIG_DEFAULT);
	return code;
}

static void note(void *ctx, const char *verb, const struct ota_why *why)
{
	(void)ctx;
	if (why->err)
		fprintf(stderr, "ota-slot: %s: %s (%s)\n", verb, why->text,
			ota_err_name(why->err));
	else
		fprintf(stderr, "ota-slot: %s: done\n", verb);
}

/* A command that ends at once with an error is one; the machine's end may take its time. */
static enum ota_err restart(void *ctx, struct ota_why *why)
{
	const struct timespec pause = {.tv_nsec = RESTART_WAIT_MS * 1000000};
	const struct config *config = ctx;
	AUTO(program_done) struct program_line line = {0};
	char text[128];
	int status = 0;
	pid_t pid, ended = 0;
	enum ota_err err = program_parse(
		config->restart_command ? config->restart_command : "reboot", "", &line, why);

	if (!err)
		err = program_start(&line, &pid, why);
	if (err)
		return ota_context(why, err, "restart_command");
	for (int i = 0; i < RESTART_TRIES && !ended; i++) {
		nanosleep(&pause, NULL);
		ended = waitpid(pid, &status, WNOHANG);
	}
	if (ended != pid || (WIFEXITED(status) && WEXITSTATUS(status) == 0))
		return OTA_OK;
	program_explain(status, text, sizeof(text));
	return ota_fail(why, OTA_SLOT_ERROR, "restart_command: %s", text);
}

static enum ota_err find_user(const char *name, uid_t *ret_user, struct ota_why *why)
{
	errno = 0;
	const struct passwd *entry = getpwnam(name);

	if (!entry)
		return ota_fail(why, OTA_BAD_REQUEST, "slot_user: there is no user '%s'", name);
	*ret_user = entry->pw_uid;
	return OTA_OK;
}

/* The socket that systemd made, if it made one. */
static int given_socket(void)
{
	const char *count = getenv("LISTEN_FDS"), *pid = getenv("LISTEN_PID");
	uint64_t value, owner;

	if (!count || !pid || !text_to_u64(count, 1, &value) || value != 1 ||
	    !text_to_u64(pid, INT32_MAX, &owner) || owner != (uint64_t)getpid())
		return -1;
	return LISTEN_FD;
}

static enum ota_err make_socket(const char *path, uid_t user, int *ret_fd, struct ota_why *why)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	struct stat there;
	AUTO_CLOSE int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

	if (!text_copy(address.sun_path, sizeof(address.sun_path), path))
		return ota_fail(why, OTA_BAD_REQUEST,
				"slot_socket '%s' is longer than %zu bytes", path,
				sizeof(address.sun_path) - 1);
	if (!lstat(path, &there) && S_ISSOCK(there.st_mode))
		unlink(path); /* of an earlier run */
	mode_t mask = umask(0177);
	int failed = fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0;
	umask(mask);
	/* Only root can give it away; who is not root can only be the user itself. */
	if (failed || (user != geteuid() && lchown(path, user, (gid_t)-1) < 0) ||
	    listen(fd, BACKLOG) < 0)
		return ota_fail_errno(why, OTA_IO_ERROR, errno, "slot_socket '%s'", path);
	*ret_fd = TAKE_FD(fd);
	return OTA_OK;
}

static bool is_allowed(int peer, uid_t user)
{
	struct ucred who;
	socklen_t len = sizeof(who);

	if (getsockopt(peer, SOL_SOCKET, SO_PEERCRED, &who, &len))
		return false;
	if (who.uid == 0 || who.uid == user)
		return true;
	fprintf(stderr, "ota-slot: user %lu is refused: it is not slot_user\n",
		(unsigned long)who.uid);
	return false;
}

/* Each connection gets slots that nothing was begun or verified in, as the agent has after its
 * own start. */
static void serve(struct config *config, int peer)
{
	struct slots slots = {0};
	struct ota_why why = {0};
	const struct slot_service service = {.slots = &slots,
					     .part_count = 1,
					     .ctx = config,
					     .restart = restart,
					     .note = note};
	enum ota_err err = config_slots(config, &slots, &why);

	if (err) {
		complain(&why);
		slot_serve_refuse(peer, &why);
		return;
	}
	if (slot_serve(&service, peer, &why))
		complain(&why);
	slots_done(&slots);
}

static int run(const char *path)
{
	AUTO(config_done) struct config config = {0};
	AUTO_CLOSE int listener = given_socket();
	struct ota_why why = {0};
	uid_t user = 0;
	enum ota_err err = config_read(&config, path, &why);

	if (!err && !config.slot_socket)
		err = ota_fail(&why, OTA_BAD_REQUEST, "%s: ota-slot needs slot_socket", path);
	if (!err)
		err = find_user(config.slot_user, &user, &why);
	if (!err)
		err = config_make_record_place(&config, &why);
	if (!err && listener < 0)
		err = make_socket(config.slot_socket, user, &listener, &why);
	if (err)
		return complain(&why);
	signal(SIGPIPE, SIG_IGN);
	signal(SIGXFSZ, SIG_IGN);
	notify_say("READY=1");
	for (;;) {
		AUTO_CLOSE int peer = accept4(listener, NULL, NULL, SOCK_CLOEXEC);

		if (peer >= 0 && is_allowed(peer, user))
			serve(&config, peer);
		else if (peer < 0 && errno != EINTR && errno != ECONNABORTED)
			return perror("ota-slot: slot_socket"), 1;
	}
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{"config", required_argument, NULL, 'c'},
		{"help", no_argument, NULL, 'h'},
		{"version", no_argument, NULL, 'v'},
		{0},
	};
	const char *path = CONFIG_DEFAULT;

	for (int option; (option = getopt_long(argc, argv, "+c:h", options, NULL)) != -1;) {
		if (option == 'c')
			path = optarg;
		else if (option == 'h')
			return usage(stdout, 0);
		else if (option == 'v')
			return printf("ota-slot %s\n", OTA_VERSION) < 0;
		else
			return usage(stderr, 2);
	}
	return optind == argc ? run(path) : usage(stderr, 2);
}
