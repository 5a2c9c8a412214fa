#include "notify.h"

#include "own.h"
#include "text.h"

#include <stddef.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

void notify_say(const char *text)
{
	const char *path = getenv("NOTIFY_SOCKET");
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	AUTO_CLOSE int fd = -1;

	if (!path || (path[0] != '/' && path[0] != '@') ||
	    !text_copy(address.sun_path, sizeof(address.sun_path), path))
		return;
	size_t len = offsetof(struct sockaddr_un, sun_path) + strlen(path);
	if (path[0] == '@')
		address.sun_path[0] = '\0';
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd >= 0 && sendto(fd, text, strlen(text), MSG_NOSIGNAL, (struct sockaddr *)&address,
			      (socklen_t)len) < 0) {
		/* a service manager that does not listen is no reason to stop */
	}
}

uint64_t notify_watchdog_ms(void)
{
	const char *usec = getenv("WATCHDOG_USEC"), *pid = getenv("WATCHDOG_PID");
	uint64_t value, owner;

	if (!usec || !text_to_u64(usec, UINT64_MAX / 2, &value))
		return 0;
	if (pid && (!text_to_u64(pid, INT32_MAX, &owner) || owner != (uint64_t)getpid()))
		return 0;
	return value / 2000;
}
