#include "host_posix.h"

#include "program.h"
#include "digest.h"
#include "outage.h"
#include "own.h"
#include "sign.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/statvfs.h>
#include <sys/wait.h>
#include <time.h>

#define CHECK_TIMEOUT_MS 30000u /* one run of the health check */
#define OUTAGE_TIMEOUT_S 5
#define DISK_ROOM_MIN	 (64u << 10) /* bytes; a report with its log and some */

struct host_posix {
	struct host_options options;
	pid_t pid; /* of the health check */
	uint64_t deadline_ms;
	uint64_t boot_id;
};

static uint64_t boot_ms(void *ctx)
{
	struct timespec now;

	(void)ctx;
	clock_gettime(CLOCK_BOOTTIME, &now);
	return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000 + 1;
}

static uint64_t wall_s(void *ctx)
{
	time_t now = time(NULL);

	(void)ctx;
	return now > 0 ? (uint64_t)now : 0;
}

static uint32_t minute(void *ctx, uint64_t unix_s)
{
	time_t at = (time_t)unix_s;
	struct tm local;

	(void)ctx;
	if (!localtime_r(&at, &local))
		return 0;
	return (uint32_t)(local.tm_hour * 60 + local.tm_min);
}

static enum ota_err random_bytes(void *ctx, void *ret_bytes, size_t len, struct ota_why *why)
{
	(void)ctx;
	return sign_random(ret_bytes, len, why);
}

static uint64_t boot_id(void *ctx)
{
	const struct host_posix *host = ctx;

	return host->boot_id;
}

static size_t read_some(const char *path, char *to, size_t size)
{
	AUTO_CLOSE int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t len = fd >= 0 ? read(fd, to, size) : 0;

	return len > 0 ? (size_t)len : 0;
}

static uint64_t read_boot_id(const char *boot_file)
{
	char text[128];
	struct digest digest;
	uint64_t id = 0;
	size_t len = read_some("/proc/sys/kernel/random/boot_id", text, sizeof(text) / 2);

	if (boot_file)
		len += read_some(boot_file, text + len, sizeof(text) / 2);
	if (len > 0 && !digest_of(text, len, &digest, NULL))
		memcpy(&id, digest.bytes, sizeof(id));
	return id ? id : 1;
}

/* --- health --- */

static enum ota_err check_start(void *ctx, const char *path, struct ota_why *why)
{
	struct host_posix *host = ctx;
	AUTO(program_done) struct program_line line = {0};

	if (!host->options.health_command || host->pid)
		return OTA_OK;
	enum ota_err err = program_parse(host->options.health_command, path, &line, why);
	if (!err)
		err = program_start(&line, &host->pid, why);
	if (err)
		return ota_context(why, err, "health_command");
	host->deadline_ms = boot_ms(NULL) + CHECK_TIMEOUT_MS;
	return OTA_OK;
}

static enum trial_health bad(struct ota_why *why, int detail, const char *text)
{
	enum ota_err err = ota_fail(why, OTA_HEALTH_CHECK_FAILED, "%s", text);

	(void)err;
	if (why)
		why->detail = detail;
	return TRIAL_HEALTH_BAD;
}

static void check_stop(void *ctx)
{
	struct host_posix *host = ctx;

	if (!host->pid)
		return;
	kill(-host->pid, SIGKILL);
	waitpid(host->pid, NULL, 0);
	host->pid = 0;
}

static enum trial_health check_result(void *ctx, struct ota_why *why)
{
	struct host_posix *host = ctx;
	char text[128];
	int status;

	if (!host->options.health_command)
		return TRIAL_HEALTH_GOOD;
	if (!host->pid)
		return bad(why, 0, "no health check runs");
	pid_t pid = waitpid(host->pid, &status, WNOHANG);
	if (pid == 0) {
		if (boot_ms(NULL) < host->deadline_ms)
			return TRIAL_HEALTH_UNKNOWN;
		check_stop(host);
		(void)bad(why, ETIMEDOUT, "it did not end within 30 s");
		return TRIAL_HEALTH_SILENT;
	}
	host->pid = 0;
	if (pid > 0 && WIFEXITED(status) && WEXITSTATUS(status) == 0)
		return TRIAL_HEALTH_GOOD;
	program_explain(status, text, sizeof(text));
	return bad(why, pid > 0 && WIFEXITED(status) ? WEXITSTATUS(status) : 0, text);
}

/* --- outages --- */

static bool run_outage_check(const char *command)
{
	const struct timespec pause = {.tv_nsec = 50 * 1000000};
	AUTO(program_done) struct program_line line = {0};
	int status = 0;
	pid_t pid;

	if (program_parse(command, "", &line, NULL) || program_start(&line, &pid, NULL))
		return false;
	for (int i = 0; i < OUTAGE_TIMEOUT_S * 20; i++) {
		pid_t ended = waitpid(pid, &status, WNOHANG);

		if (ended)
			return ended == pid && WIFEXITED(status) && WEXITSTATUS(status) == 0;
		nanosleep(&pause, NULL);
	}
	kill(-pid, SIGKILL);
	waitpid(pid, &status, 0);
	return false;
}

static bool outage_elsewhere(void *ctx)
{
	const struct host_posix *host = ctx;

	if (host->options.outage_check)
		return run_outage_check(host->options.outage_check);
	return outage_is_elsewhere(host->options.broker);
}

static bool network_is_down(void *ctx, struct ota_why *why)
{
	const struct host_posix *host = ctx;

	return outage_is_total(host->options.broker, why);
}

static bool disk_is_full(void *ctx)
{
	const struct host_posix *host = ctx;
	struct statvfs fs;

	if (!host->options.directory || statvfs(host->options.directory, &fs) < 0)
		return false;
	return (uint64_t)fs.f_bavail * fs.f_frsize < DISK_ROOM_MIN ||
	       (fs.f_files > 0 && fs.f_ffree == 0);
}

static void alive(void *ctx)
{
	const struct host_posix *host = ctx;

	if (host->options.alive)
		host->options.alive(host->options.alive_ctx);
}

enum ota_err host_new(const struct host_options *options, struct host *ret_host,
		      struct ota_why *why)
{
	struct host_posix *host = calloc(1, sizeof(*host));

	if (!host)
		return ota_fail(why, OTA_OUT_OF_MEMORY, "host");
	host->options = *options;
	host->boot_id = read_boot_id(options->boot_file);
	*ret_host = (struct host){
		.ctx = host,
		.boot_ms = boot_ms,
		.wall_s = wall_s,
		.minute = minute,
		.random = random_bytes,
		.boot_id = boot_id,
		.check_start = check_start,
		.check_result = check_result,
		.check_stop = check_stop,
		.outage_elsewhere = outage_elsewhere,
		.network_is_down = network_is_down,
		.disk_is_full = disk_is_full,
		.alive = alive,
	};
	return OTA_OK;
}

void host_free(struct host *ret_host)
{
	struct host_posix *host = ret_host->ctx;

	if (host)
		check_stop(host);
	free(host);
	memset(ret_host, 0, sizeof(*ret_host));
}
