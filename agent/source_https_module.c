/* The module's handles, its life, and the one symbol that the agent looks up. */
#include "source_https_inside.h"

#include "own.h"
#include "text.h"

#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>

#define RECEIVE_SIZE 32768L

CURL *https_easy_new(const struct https *https)
{
	const struct source_https_options *options = &https->options;
	CURL *easy = curl_easy_init();

	if (!easy)
		return NULL;
	/* What is not of the type that libcurl wants does not compile; what fails for want of
	 * memory must not leave a check out. */
	if (curl_easy_setopt(easy, CURLOPT_SSL_VERIFYPEER, 1L) ||
	    curl_easy_setopt(easy, CURLOPT_SSL_VERIFYHOST, 2L) ||
	    curl_easy_setopt(easy, CURLOPT_CAINFO, options->ca_file(options->ca_ctx)) ||
	    curl_easy_setopt(easy, CURLOPT_CAPATH, NULL) || /* not the system's as well */
	    curl_easy_setopt(easy, CURLOPT_SSLCERT, options->cert_file) ||
	    curl_easy_setopt(easy, CURLOPT_SSLKEY, options->key_file) ||
	    curl_easy_setopt(easy, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2) ||
	    curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "https") ||
	    curl_easy_setopt(easy, CURLOPT_FOLLOWLOCATION, 0L) ||
	    curl_easy_setopt(easy, CURLOPT_PROXY, "") || /* nor the environment's */
	    curl_easy_setopt(easy, CURLOPT_NETRC, (long)CURL_NETRC_IGNORED) ||
	    curl_easy_setopt(easy, CURLOPT_USERAGENT, "ota-agent/" OTA_VERSION) ||
	    curl_easy_setopt(easy, CURLOPT_SHARE, https->share) ||
	    curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L) ||
	    /* A name server that does not answer must not hold up the agent. */
	    curl_easy_setopt(easy, CURLOPT_QUICK_EXIT, 1L) ||
	    curl_easy_setopt(easy, CURLOPT_BUFFERSIZE, RECEIVE_SIZE) ||
	    curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, (long)options->timeout_ms) ||
	    curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, https_on_header) ||
	    curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, https_on_data)) {
		curl_easy_cleanup(easy);
		return NULL;
	}
	/* Where libcurl has no HTTP/2 the ranges go one after the other. */
	curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_2TLS);
	curl_easy_setopt(easy, CURLOPT_PIPEWAIT, 1L);
	https_tls_prepare(easy);
	return easy;
}

/* --- what libcurl waits for --- */

static int on_socket(CURL *easy, curl_socket_t fd, int what, void *ctx, void *socket_ctx)
{
	struct https *https = ctx;
	struct epoll_event event = {.data = {.fd = fd}};

	(void)easy;
	(void)socket_ctx;
	if (what == CURL_POLL_REMOVE) {
		epoll_ctl(https->epoll, EPOLL_CTL_DEL, fd, NULL);
		return 0;
	}
	event.events =
		(what & CURL_POLL_IN ? EPOLLIN : 0u) | (what & CURL_POLL_OUT ? EPOLLOUT : 0u);
	if (epoll_ctl(https->epoll, EPOLL_CTL_MOD, fd, &event) &&
	    epoll_ctl(https->epoll, EPOLL_CTL_ADD, fd, &event))
		return -1;
	return 0;
}

static int on_timer(CURLM *multi, long ms, void *ctx)
{
	struct https *https = ctx;

	(void)multi;
	https->curl_due_ms = ms < 0 ? 0 : https_clock_ms() + (uint64_t)ms;
	return 0;
}

/* --- life --- */

static void close_https(void *ctx)
{
	struct https *https = ctx;

	https_drop_all(https);
	while (https->spare_count)
		curl_easy_cleanup(https->spares[--https->spare_count]);
	if (https->multi)
		curl_multi_cleanup(https->multi);
	if (https->share)
		curl_share_cleanup(https->share);
	if (https->timer >= 0)
		close(https->timer);
	if (https->epoll >= 0)
		close(https->epoll);
	curl_global_cleanup();
	free(https);
}

static int descriptor(void *ctx)
{
	return ((struct server *)ctx)->https->epoll;
}

static enum ota_err take_urls(struct https *https, const struct offer_source *urls,
			      unsigned count, struct ota_why *why)
{
	for (unsigned i = 0; i < count && https->count < MESSAGE_SOURCES_MAX; i++) {
		struct server *server = &https->servers[https->count];

		if (!https_url_is_usable(urls[i].url))
			continue;
		text_copy(server->base, sizeof(server->base), urls[i].url);
		https_url_origin(server->base, server->name, sizeof(server->name));
		server->https = https;
		server->source = (struct source){
			.ctx = server,
			.name = server->name,
			.ask = https_ask,
			.next = https_next,
			.fd = descriptor,
			.forget = https_forget,
		};
		https->count++;
	}
	return https->count ? OTA_OK
			    : ota_fail(why, OTA_BAD_REQUEST,
				       "the offer names no usable https:// URL");
}

static enum ota_err set_up(struct https *https, struct ota_why *why)
{
	struct epoll_event event = {.events = EPOLLIN};

	https->epoll = epoll_create1(EPOLL_CLOEXEC);
	https->timer = timerfd_create(CLOCK_BOOTTIME, TFD_NONBLOCK | TFD_CLOEXEC);
	event.data.fd = https->timer;
	if (https->epoll < 0 || https->timer < 0 ||
	    epoll_ctl(https->epoll, EPOLL_CTL_ADD, https->timer, &event))
		return ota_fail_errno(why, OTA_INTERNAL, errno, "HTTPS: epoll");
	https->multi = curl_multi_init();
	https->share = curl_share_init();
	if (!https->multi || !https->share)
		return ota_fail(why, OTA_OUT_OF_MEMORY, "HTTPS: libcurl");
	/* Sessions outlive their connection: the next handshake is a short one. */
	curl_share_setopt(https->share, CURLSHOPT_SHARE, CURL_LOCK_DATA_SSL_SESSION);
	curl_multi_setopt(https->multi, CURLMOPT_SOCKETFUNCTION, on_socket);
	curl_multi_setopt(https->multi, CURLMOPT_SOCKETDATA, https);
	curl_multi_setopt(https->multi, CURLMOPT_TIMERFUNCTION, on_timer);
	curl_multi_setopt(https->multi, CURLMOPT_TIMERDATA, https);
	curl_multi_setopt(https->multi, CURLMOPT_PIPELINING, (long)CURLPIPE_MULTIPLEX);
	curl_multi_setopt(https->multi, CURLMOPT_MAX_HOST_CONNECTIONS, 1L);
	curl_multi_setopt(https->multi, CURLMOPT_MAXCONNECTS, 1L);
	return OTA_OK;
}

static enum ota_err open_https(const struct source_https_options *options,
			       const struct offer_source *urls, unsigned count,
			       void **ret_https, struct ota_why *why)
{
	struct https *https;

	if (curl_global_init(CURL_GLOBAL_DEFAULT))
		return ota_fail(why, OTA_INTERNAL, "HTTPS: libcurl does not start");
	https = calloc(1, sizeof(*https));
	if (!https) {
		curl_global_cleanup();
		return ota_fail(why, OTA_OUT_OF_MEMORY, "HTTPS");
	}
	https->options = *options;
	https->epoll = https->timer = -1;
	enum ota_err err = take_urls(https, urls, count, why);
	if (!err)
		err = set_up(https, why);
	if (err) {
		close_https(https);
		return err;
	}
	*ret_https = https;
	return OTA_OK;
}

static const struct source *source_of(void *ctx, unsigned i)
{
	const struct https *https = ctx;

	return i < https->count ? &https->servers[i].source : NULL;
}

__attribute__((visibility("default"))) const struct source_https_module source_https_module = {
	.version = OTA_VERSION,
	.open = open_https,
	.source = source_of,
	.close = close_https,
};
