#include "tls.h"

#include "own.h"
#include "text.h"

#include <errno.h>
#include <netdb.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <arpa/inet.h>
#include <time.h>

static void free_x509(X509 **place)
{
	X509_free(*place);
}

static void free_ctx(SSL_CTX **place)
{
	SSL_CTX_free(*place);
}

static void free_ssl(SSL **place)
{
	SSL_free(*place);
}

static void free_addrinfo(struct addrinfo **place)
{
	if (*place)
		freeaddrinfo(*place);
}

static const char *last_reason(unsigned long *ret_code)
{
	unsigned long code = ERR_peek_last_error();
	const char *text = ERR_reason_error_string(code);

	*ret_code = code;
	return text ? text : "unknown TLS error";
}

enum ota_err tls_identity(const char *cert_file, char ret_id[NAME_SIZE], struct ota_why *why)
{
	AUTO_FCLOSE FILE *file = fopen(cert_file, "re");
	AUTO(free_x509) X509 *cert = NULL;
	char name[NAME_SIZE + 1];

	if (!file)
		return ota_fail_errno(why, OTA_IO_ERROR, errno, "certificate '%s'", cert_file);
	cert = PEM_read_X509(file, NULL, NULL, NULL);
	if (!cert)
		return ota_fail(why, OTA_UNAUTHORIZED, "'%s' holds no certificate in PEM",
				cert_file);
	int len = X509_NAME_get_text_by_NID(X509_get_subject_name(cert), NID_commonName, name,
					    sizeof(name));
	if (len <= 0 || (size_t)len != strlen(name) || !name_is_id(name))
		return ota_fail(why, OTA_UNAUTHORIZED,
				"the common name in '%s' is no device id (" NAME_ALLOWED ")",
				cert_file);
	text_copy(ret_id, NAME_SIZE, name);
	return OTA_OK;
}

bool tls_split(const char *broker, char *ret_host, size_t host_size, char *ret_port,
	       size_t port_size)
{
	const char *colon = strrchr(broker, ':');
	const char *begin = broker, *end = colon;
	uint64_t port;

	if (!colon || colon == broker || !text_to_u64(colon + 1, 65535, &port) || !port)
		return false;
	if (*begin == '[') {
		begin++;
		end--;
		if (end <= begin || *end != ']')
			return false;
	} else if (memchr(begin, ':', (size_t)(end - begin))) {
		return false;
	}
	if ((size_t)(end - begin) >= host_size)
		return false;
	memcpy(ret_host, begin, (size_t)(end - begin));
	ret_host[end - begin] = '\0';
	return text_copy(ret_port, port_size, colon + 1);
}

static int64_t now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* 0 when the descriptor became ready, else an errno. */
static int wait_for(int fd, short events, int64_t until_ms)
{
	for (;;) {
		struct pollfd one = {.fd = fd, .events = events};
		int64_t left = until_ms - now_ms();
		int count = poll(&one, 1, left > 0 ? (int)left : 0);

		if (count > 0)
			return 0;
		if (count == 0)
			return ETIMEDOUT;
		if (errno != EINTR)
			return errno;
	}
}

static int connect_one(const struct addrinfo *address, int64_t until_ms, int *ret_fd)
{
	AUTO_CLOSE int fd =
		socket(address->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	int error = 0;
	socklen_t len = sizeof(error);

	if (fd < 0)
		return errno;
	if (connect(fd, address->ai_addr, address->ai_addrlen) < 0) {
		if (errno != EINPROGRESS)
			return errno;
		error = wait_for(fd, POLLOUT, until_ms);
		if (error)
			return error;
		if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len) < 0)
			return errno;
		if (error)
			return error;
	}
	*ret_fd = TAKE_FD(fd);
	return 0;
}

static enum ota_err connect_to(const char *host, const char *port, int64_t until_ms,
			       int *ret_fd, struct ota_why *why)
{
	const struct addrinfo hints = {.ai_socktype = SOCK_STREAM};
	AUTO(free_addrinfo) struct addrinfo *list = NULL;
	int error = ECONNREFUSED;
	int found = getaddrinfo(host, port, &hints, &list);

	if (found)
		return ota_fail(why, OTA_CONNECTION_LOST, "broker '%s': %s", host,
				gai_strerror(found));
	for (const struct addrinfo *one = list; one; one = one->ai_next) {
		error = connect_one(one, until_ms, ret_fd);
		if (!error)
			return OTA_OK;
	}
	return ota_fail_errno(why, OTA_CONNECTION_LOST, error, "broker '%s:%s'", host, port);
}

/* Runs one step of TLS until it is done; 1: done. */
static int finish(SSL *ssl, int (*step)(SSL *ssl), int64_t until_ms)
{
	for (;;) {
		ERR_clear_error();
		int rc = step(ssl);

		if (rc == 1)
			return 1;
		int reason = SSL_get_error(ssl, rc);
		if (reason != SSL_ERROR_WANT_READ && reason != SSL_ERROR_WANT_WRITE)
			return rc;
		if (wait_for(SSL_get_fd(ssl), reason == SSL_ERROR_WANT_READ ? POLLIN : POLLOUT,
			     until_ms))
			return -1;
	}
}

static enum ota_err explain_verify(SSL *ssl, const char *host, struct ota_why *why)
{
	long result = SSL_get_verify_result(ssl);
	enum ota_err err;

	if (result == X509_V_OK)
		return OTA_OK;
	if (result == X509_V_ERR_HOSTNAME_MISMATCH || result == X509_V_ERR_IP_ADDRESS_MISMATCH)
		err = ota_fail(why, OTA_TLS_VERIFY_FAILED,
			       "the broker's certificate is not for '%s' (wrong host)", host);
	else if (result == X509_V_ERR_CERT_HAS_EXPIRED)
		err = ota_fail(why, OTA_TLS_VERIFY_FAILED,
			       "the broker's certificate has expired");
	else if (result == X509_V_ERR_CERT_NOT_YET_VALID)
		err = ota_fail(
			why, OTA_TLS_VERIFY_FAILED,
			"the broker's certificate is not valid yet (is the clock right?)");
	else if (result == X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY ||
		 result == X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN ||
		 result == X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT ||
		 result == X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE ||
		 result == X509_V_ERR_CERT_SIGNATURE_FAILURE)
		err = ota_fail(why, OTA_TLS_VERIFY_FAILED,
			       "the broker's certificate is of another CA than ours: %s",
			       X509_verify_cert_error_string(result));
	else
		err = ota_fail(why, OTA_TLS_VERIFY_FAILED, "the broker's certificate: %s",
			       X509_verify_cert_error_string(result));
	if (why)
		why->detail = (int)result;
	return err;
}

static enum ota_err make_context(const struct tls_files *files, SSL_CTX **ret_ctx,
				 struct ota_why *why)
{
	AUTO(free_ctx) SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
	unsigned long code;

	if (!ctx)
		return ota_fail(why, OTA_OUT_OF_MEMORY, "TLS context");
	SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER, NULL);
	if (SSL_CTX_load_verify_locations(ctx, files->ca_file, NULL) != 1)
		return ota_fail(why, OTA_TLS_VERIFY_FAILED, "CA file '%s': %s", files->ca_file,
				last_reason(&code));
	if (SSL_CTX_use_certificate_chain_file(ctx, files->cert_file) != 1)
		return ota_fail(why, OTA_TLS_VERIFY_FAILED, "certificate '%s': %s",
				files->cert_file, last_reason(&code));
	if (SSL_CTX_use_PrivateKey_file(ctx, files->key_file, SSL_FILETYPE_PEM) != 1)
		return ota_fail(why, OTA_TLS_VERIFY_FAILED, "key '%s': %s", files->key_file,
				last_reason(&code));
	*ret_ctx = TAKE(ctx);
	return OTA_OK;
}

static bool is_address(const char *host)
{
	unsigned char bytes[16];

	return inet_pton(AF_INET, host, bytes) == 1 || inet_pton(AF_INET6, host, bytes) == 1;
}

/* In TLS 1.3 the broker judges our certificate after the handshake is over for us: its alert,
 * if any, comes with the first bytes read. */
static enum ota_err explain_alert(SSL *ssl, struct ota_why *why)
{
	char byte;
	unsigned long code;

	if (wait_for(SSL_get_fd(ssl), POLLIN, now_ms() + 500))
		return OTA_OK; /* it waits for us to speak: all is well */
	ERR_clear_error();
	if (SSL_read(ssl, &byte, 1) > 0 || !ERR_peek_error())
		return OTA_OK;
	enum ota_err err = ota_fail(why, OTA_TLS_VERIFY_FAILED,
				    "the broker refuses this device's certificate: %s",
				    last_reason(&code));
	if (why)
		why->detail = ERR_GET_REASON(code);
	return err;
}

enum ota_err tls_diagnose(const char *broker, const struct tls_files *files, int timeout_ms,
			  struct ota_why *why)
{
	AUTO(free_ctx) SSL_CTX *ctx = NULL;
	AUTO(free_ssl) SSL *ssl = NULL;
	AUTO_CLOSE int fd = -1;
	char host[256], port[6];
	int64_t until_ms = now_ms() + timeout_ms;
	unsigned long code;

	if (!tls_split(broker, host, sizeof(host), port, sizeof(port)))
		return ota_fail(why, OTA_CONNECTION_LOST, "'%s' is not host:port", broker);
	enum ota_err err = make_context(files, &ctx, why);
	if (err)
		return err;
	err = connect_to(host, port, until_ms, &fd, why);
	if (err)
		return err;
	ssl = SSL_new(ctx);
	if (!ssl || SSL_set_fd(ssl, fd) != 1)
		return ota_fail(why, OTA_OUT_OF_MEMORY, "TLS session");
	SSL_set_tlsext_host_name(ssl, host);
	if (is_address(host))
		X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl), host);
	else
		SSL_set1_host(ssl, host);
	if (finish(ssl, SSL_connect, until_ms) == 1)
		return explain_alert(ssl, why);
	const char *reason = last_reason(&code);
	err = explain_verify(ssl, host, why);
	if (err)
		return err;
	if (!code || ERR_GET_REASON(code) == SSL_R_UNEXPECTED_EOF_WHILE_READING)
		return ota_fail(why, OTA_CONNECTION_LOST,
				"the broker closed the connection during the TLS handshake");
	return ota_fail(why, OTA_TLS_VERIFY_FAILED, "TLS handshake: %s", reason);
}
