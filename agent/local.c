#include "local.h"

#include "own.h"

#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>

struct client {
	int fd; /* -1: free */
	uint64_t since_ms;
	char line[LOCAL_LINE_MAX];
	size_t len;
};

struct local {
	char path[sizeof(((struct sockaddr_un *)0)->sun_path)];
	int listener, poll;
	local_answer *answer;
	void *ctx;
	struct client clients[LOCAL_CLIENTS_MAX];
};

static enum ota_err make_address(const char *path, struct sockaddr_un *ret_address,
				 struct ota_why *why)
{
	*ret_address = (struct sockaddr_un){.sun_family = AF_UNIX};
	if (!text_copy(ret_address->sun_path, sizeof(ret_address->sun_path), path))
		return ota_fail(why, OTA_BAD_REQUEST, "socket '%s' is longer than %zu bytes",
				path, sizeof(ret_address->sun_path) - 1);
	return OTA_OK;
}

static void drop(struct local *local, struct client *client)
{
	epoll_ctl(local->poll, EPOLL_CTL_DEL, client->fd, NULL);
	close(client->fd);
	client->fd = -1;
	client->len = 0;
}

void local_free(struct local *local)
{
	if (!local)
		return;
	for (unsigned i = 0; i < LOCAL_CLIENTS_MAX; i++) {
		if (local->clients[i].fd >= 0)
			close(local->clients[i].fd);
	}
	if (local->listener >= 0) {
		close(local->listener);
		unlink(local->path);
	}
	if (local->poll >= 0)
		close(local->poll);
	free(local);
}

static void free_local(struct local **place)
{
	local_free(*place);
}

static enum ota_err watch(const struct local *local, int fd, struct ota_why *why)
{
	struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};

	if (epoll_ctl(local->poll, EPOLL_CTL_ADD, fd, &event) < 0)
		return ota_fail_errno(why, OTA_IO_ERROR, errno, "control socket");
	return OTA_OK;
}

enum ota_err local_open(const char *path, local_answer *answer, void *ctx,
			struct local **ret_local, struct ota_why *why)
{
	AUTO(free_local) struct local *local = calloc(1, sizeof(*local));
	struct sockaddr_un address;
	enum ota_err err = make_address(path, &address, why);

	if (err)
		return err;
	if (!local)
		return ota_fail(why, OTA_OUT_OF_MEMORY, "control socket");
	for (unsigned i = 0; i < LOCAL_CLIENTS_MAX; i++)
		local->clients[i].fd = -1;
	text_copy(local->path, sizeof(local->path), path);
	local->answer = answer;
	local->ctx = ctx;
	local->listener = -1;
	local->poll = epoll_create1(EPOLL_CLOEXEC);
	if (local->poll < 0)
		return ota_fail_errno(why, OTA_IO_ERROR, errno, "control socket");
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return ota_fail_errno(why, OTA_IO_ERROR, errno, "control socket");
	const bool read_only = unlink(path) < 0 && errno == EROFS;
	mode_t mask = umask(0177);
	int bound = bind(fd, (struct sockaddr *)&address, sizeof(address));
	int error = errno;
	umask(mask);
	if (bound < 0 && (read_only || error == EROFS)) {
		/* Nobody can ask; what matters goes on. */
		close(fd);
		*ret_local = TAKE(local);
		return OTA_OK;
	}
	if (bound < 0) {
		close(fd);
		return ota_fail_errno(why, OTA_IO_ERROR, error, "control socket '%s'", path);
	}
	local->listener = fd;
	if (listen(fd, LOCAL_CLIENTS_MAX) < 0)
		return ota_fail_errno(why, OTA_IO_ERROR, errno, "control socket '%s'", path);
	err = watch(local, fd, why);
	if (err)
		return err;
	*ret_local = TAKE(local);
	return OTA_OK;
}

int local_fd(const struct local *local)
{
	return local->poll;
}

static bool is_allowed(int fd)
{
	struct ucred peer;
	socklen_t len = sizeof(peer);

	return !getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) &&
	       (peer.uid == 0 || peer.uid == geteuid());
}

static void accept_one(struct local *local, uint64_t now_ms)
{
	AUTO_CLOSE int fd = accept4(local->listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

	if (fd < 0 || !is_allowed(fd))
		return;
	for (unsigned i = 0; i < LOCAL_CLIENTS_MAX; i++) {
		struct client *client = &local->clients[i];

		if (client->fd >= 0)
			continue;
		if (watch(local, fd, NULL))
			return;
		client->fd = TAKE_FD(fd);
		client->since_ms = now_ms;
		client->len = 0;
		return;
	}
}

/* What does not fit into the socket's buffer at once is lost: the answer is smaller than that.
 */
static void answer(struct local *local, struct client *client)
{
	struct text body = {0}, whole = {0};
	struct ota_why why = {0};
	enum ota_err err = local->answer(local->ctx, client->line, &body, &why);

	if (err)
		text_printf(&whole, "error %s: %s\n", ota_err_name(err), why.text);
	else
		text_put(&whole, "ok\n");
	if (!err && body.data)
		text_add(&whole, body.data, body.len);
	if (!whole.failed && send(client->fd, whole.data, whole.len, MSG_NOSIGNAL) < 0) {
		/* the client went away */
	}
	text_done(&body);
	text_done(&whole);
	drop(local, client);
}

static bool read_one(struct local *local, struct client *client)
{
	ssize_t len = recv(client->fd, client->line + client->len,
			   sizeof(client->line) - 1 - client->len, 0);

	if (len < 0 && (errno == EAGAIN || errno == EINTR))
		return false;
	if (len <= 0) {
		drop(local, client);
		return false;
	}
	client->len += (size_t)len;
	client->line[client->len] = '\0';
	char *end = strchr(client->line, '\n');
	if (end) {
		*end = '\0';
		answer(local, client);
		return true;
	}
	if (client->len == sizeof(client->line) - 1)
		drop(local, client);
	return false;
}

bool local_step(struct local *local, uint64_t now_ms)
{
	bool answered = false;
	struct epoll_event events[LOCAL_CLIENTS_MAX + 1];
	int count = epoll_wait(local->poll, events, LOCAL_CLIENTS_MAX + 1, 0);

	for (int i = 0; i < count; i++) {
		if (events[i].data.fd == local->listener) {
			accept_one(local, now_ms);
			continue;
		}
		for (unsigned k = 0; k < LOCAL_CLIENTS_MAX; k++) {
			if (local->clients[k].fd == events[i].data.fd &&
			    read_one(local, &local->clients[k]))
				answered = true;
		}
	}
	for (unsigned i = 0; i < LOCAL_CLIENTS_MAX; i++) {
		struct client *client = &local->clients[i];

		if (client->fd >= 0 && now_ms - client->since_ms > LOCAL_PATIENCE_MS)
			drop(local, client);
	}
	return answered;
}

/* --- the client's side --- */

static enum ota_err read_answer(int fd, struct text *to, struct ota_why *why)
{
	char buffer[1024];

	for (;;) {
		ssize_t len = read(fd, buffer, sizeof(buffer));

		if (len < 0 && errno == EINTR)
			continue;
		if (len < 0)
			return ota_fail_errno(why, OTA_UNREACHABLE, errno,
					      "the agent's answer");
		if (len == 0)
			break;
		text_add(to, buffer, (size_t)len);
		if (to->len > LOCAL_ANSWER_MAX)
			break;
	}
	if (!to->len)
		return ota_fail(why, OTA_UNREACHABLE, "the agent did not answer");
	return OTA_OK;
}

static enum ota_err judge(const char *text, char **ret_answer, struct ota_why *why)
{
	const char *end = strchr(text, '\n');
	enum ota_err err = OTA_INTERNAL;

	if (end && end - text == 2 && !strncmp(text, "ok", 2)) {
		*ret_answer = strdup(end + 1);
		return *ret_answer ? OTA_OK : ota_fail(why, OTA_OUT_OF_MEMORY, "answer");
	}
	if (!strncmp(text, "error ", 6)) {
		const char *colon = strchr(text, ':');
		char name[64] = "";

		if (colon && (size_t)(colon - text - 6) < sizeof(name)) {
			memcpy(name, text + 6, (size_t)(colon - text - 6));
			if (!ota_err_from_name(name, &err))
				err = OTA_INTERNAL;
			return ota_fail(why, err, "%.*s", (int)strcspn(colon + 2, "\n"),
					colon + 2);
		}
	}
	return ota_fail(why, OTA_INTERNAL, "the agent's answer makes no sense");
}

enum ota_err local_ask(const char *path, const char *request, char **ret_answer,
		       struct ota_why *why)
{
	AUTO_CLOSE int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	const struct timeval patience = {.tv_sec = 30};
	struct sockaddr_un address;
	struct text text = {0};
	enum ota_err err = make_address(path, &address, why);

	if (err)
		return err;
	if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0)
		return ota_fail_errno(why, OTA_UNREACHABLE, errno, "agent at '%s'", path);
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	text_printf(&text, "%s\n", request);
	if (text.failed || send(fd, text.data, text.len, MSG_NOSIGNAL) < 0) {
		text_done(&text);
		return ota_fail_errno(why, OTA_UNREACHABLE, errno, "agent at '%s'", path);
	}
	text_done(&text);
	err = read_answer(fd, &text, why);
	if (!err)
		err = judge(text.data, ret_answer, why);
	text_done(&text);
	return err;
}
