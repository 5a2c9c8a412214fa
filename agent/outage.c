#include "outage.h"

#include "own.h"
#include "tls.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>

#define ANSWER_MS     2000
#define GATEWAY_PORT  9 /* discard: an answer of any kind is all that is wanted */
#define ADDRESSES_MAX 4

enum answer {
	ANSWER_NONE = 0,
	ANSWER_REFUSED,
	ANSWER_OPEN,
};

static enum answer ask(const struct sockaddr *address, socklen_t len)
{
	AUTO_CLOSE int fd =
		socket(address->sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	struct pollfd one = {.fd = fd, .events = POLLOUT};
	int error = 0;
	socklen_t size = sizeof(error);

	if (fd < 0)
		return ANSWER_NONE;
	if (!connect(fd, address, len))
		return ANSWER_OPEN;
	if (errno == ECONNREFUSED)
		return ANSWER_REFUSED;
	if (errno != EINPROGRESS || poll(&one, 1, ANSWER_MS) <= 0 ||
	    getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size) < 0)
		return ANSWER_NONE;
	return error == 0 ? ANSWER_OPEN : error == ECONNREFUSED ? ANSWER_REFUSED : ANSWER_NONE;
}

static bool is_this_machine(const struct sockaddr *address)
{
	if (address->sa_family == AF_INET) {
		const struct sockaddr_in *v4 = (const void *)address;

		return ntohl(v4->sin_addr.s_addr) >> 24 == 127;
	}
	if (address->sa_family == AF_INET6) {
		const struct sockaddr_in6 *v6 = (const void *)address;

		return IN6_IS_ADDR_LOOPBACK(&v6->sin6_addr);
	}
	return false;
}

static bool broker_refuses(const char *broker)
{
	const struct addrinfo hints = {.ai_socktype = SOCK_STREAM};
	struct addrinfo *list = NULL;
	char host[256], port[6];
	bool refuses = false;
	int count = 0;

	if (!tls_split(broker, host, sizeof(host), port, sizeof(port)) ||
	    getaddrinfo(host, port, &hints, &list))
		return false;
	for (const struct addrinfo *one = list; one && count < ADDRESSES_MAX;
	     one = one->ai_next, count++) {
		if (!is_this_machine(one->ai_addr) &&
		    ask(one->ai_addr, one->ai_addrlen) == ANSWER_REFUSED)
			refuses = true;
	}
	freeaddrinfo(list);
	return refuses;
}

/* The default route of IPv4, from /proc/net/route. */
static bool find_gateway(struct in_addr *ret_gateway)
{
	AUTO_FCLOSE FILE *file = fopen("/proc/net/route", "re");
	char line[256];

	while (file && fgets(line, sizeof(line), file)) {
		char *save = NULL;
		const char *device = strtok_r(line, "\t ", &save);
		const char *destination = device ? strtok_r(NULL, "\t ", &save) : NULL;
		const char *gateway = destination ? strtok_r(NULL, "\t ", &save) : NULL;

		if (!gateway || strcmp(destination, "00000000"))
			continue;
		ret_gateway->s_addr = (in_addr_t)strtoul(gateway, NULL, 16);
		if (ret_gateway->s_addr)
			return true;
	}
	return false;
}

static bool gateway_is_silent(void)
{
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(GATEWAY_PORT)};

	if (!find_gateway(&address.sin_addr))
		return false; /* no route at all: that is this device's own trouble */
	return ask((const struct sockaddr *)&address, sizeof(address)) == ANSWER_NONE;
}

bool outage_is_elsewhere(const char *broker)
{
	return broker_refuses(broker) || gateway_is_silent();
}

/* What the kernel says of a way there; 0: there is one. Connecting a datagram socket sends
 * nothing. */
static int way_error(const struct sockaddr *address, socklen_t len)
{
	AUTO_CLOSE int fd = socket(address->sa_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return errno;
	return connect(fd, address, len) < 0 ? errno : 0;
}

bool outage_is_total(const char *broker, struct ota_why *why)
{
	const struct addrinfo hints = {.ai_socktype = SOCK_STREAM};
	/* An address of nobody (RFC 5737): is there a way into the world? */
	struct sockaddr_in any = {.sin_family = AF_INET, .sin_port = htons(GATEWAY_PORT)};
	struct addrinfo *list = NULL;
	char host[256] = "", port[6];

	any.sin_addr.s_addr = htonl(UINT32_C(0xc0000201));
	int error = way_error((const struct sockaddr *)&any, sizeof(any));
	if (tls_split(broker, host, sizeof(host), port, sizeof(port)) &&
	    !getaddrinfo(host, port, &hints, &list)) {
		for (const struct addrinfo *one = list; one && error; one = one->ai_next)
			error = way_error(one->ai_addr, one->ai_addrlen);
		freeaddrinfo(list);
	}
	if (!error)
		return false;
	enum ota_err err =
		ota_fail_errno(why, OTA_NO_NETWORK_AFTER_UPDATE, error, "'%s'", host);
	(void)err;
	return true;
}
