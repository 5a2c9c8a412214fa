#include "watchdog.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/watchdog.h>
#include <sys/ioctl.h>
#include <unistd.h>

void watchdog_init(struct watchdog *watchdog, const char *path, uint64_t timeout_ms)
{
	*watchdog = (struct watchdog){.path = path, .timeout_ms = timeout_ms, .fd = -1};
}

enum ota_err watchdog_open(struct watchdog *watchdog, struct ota_why *why)
{
	int seconds = (int)((watchdog->timeout_ms + 999) / 1000);

	if (!watchdog->path || watchdog->fd >= 0)
		return OTA_OK;
	watchdog->fd = open(watchdog->path, O_WRONLY | O_CLOEXEC);
	if (watchdog->fd < 0)
		return ota_fail_errno(why, OTA_IO_ERROR, errno, "the watchdog '%s'",
				      watchdog->path);
	/* A device of a fixed time says which; what is no such device takes what it is fed. */
	if (ioctl(watchdog->fd, WDIOC_SETTIMEOUT, &seconds) < 0 &&
	    ioctl(watchdog->fd, WDIOC_GETTIMEOUT, &seconds) < 0)
		seconds = (int)((watchdog->timeout_ms + 999) / 1000);
	watchdog->every_ms = (uint64_t)(seconds > 0 ? seconds : 1) * 1000 / WATCHDOG_FEEDS;
	watchdog->due_ms = 0;
	return OTA_OK;
}

enum ota_err watchdog_feed(struct watchdog *watchdog, uint64_t now_ms, struct ota_why *why)
{
	if (watchdog->fd < 0 || now_ms < watchdog->due_ms)
		return OTA_OK;
	watchdog->due_ms = now_ms + watchdog->every_ms;
	if (write(watchdog->fd, "", 1) != 1)
		return ota_fail_errno(why, OTA_IO_ERROR, errno, "the watchdog '%s'",
				      watchdog->path);
	return OTA_OK;
}

static void end(struct watchdog *watchdog, const char *last)
{
	if (watchdog->fd < 0)
		return;
	if (last[0] && write(watchdog->fd, last, 1) != 1) {
		/* then it goes on counting, and the machine is reset: nothing better is left */
	}
	close(watchdog->fd);
	watchdog->fd = -1;
}

void watchdog_close(struct watchdog *watchdog)
{
	end(watchdog, "V");
}

void watchdog_abandon(struct watchdog *watchdog)
{
	end(watchdog, "");
}

enum ota_err watchdog_leave(const char *path, uint64_t timeout_ms, struct ota_why *why)
{
	struct watchdog watchdog;

	watchdog_init(&watchdog, path, timeout_ms);
	enum ota_err err = watchdog_open(&watchdog, why);
	if (!err)
		err = watchdog_feed(&watchdog, 0, why);
	watchdog_abandon(&watchdog);
	return err;
}
