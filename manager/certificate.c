#include "certificate.h"

#include "own.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>

static void free_x509(X509 **place)
{
	X509_free(*place);
}

static void free_context(SSL_CTX **place)
{
	SSL_CTX_free(*place);
}

static void free_ssl(SSL **place)
{
	SSL_free(*place);
}

static const char *tls_error_text(void)
{
	const char *reason = ERR_reason_error_string(ERR_peek_last_error());

	ERR_clear_error();
	return reason ? reason : "no reason given";
}

static void first_entry(const X509_NAME *subject, int nid, char ret_text[NAME_SIZE])
{
	int at = X509_NAME_get_index_by_NID(subject, nid, -1);
	unsigned char *utf8 = NULL;
	int len;

	ret_text[0] = '\0';
	if (at < 0)
		return;
	len = ASN1_STRING_to_UTF8(&utf8,
				  X509_NAME_ENTRY_get_data(X509_NAME_get_entry(subject, at)));
	if (len >= 0)
		text_sanitize(ret_text, NAME_SIZE, (const char *)utf8, (size_t)len, false);
	OPENSSL_free(utf8);
}

static void append_name(char names[CERTIFICATE_NAMES_MAX], const char *name, size_t len)
{
	size_t used = strlen(names);
	char clean[128];

	text_sanitize(clean, sizeof(clean), name, len, false);
	if (used + strlen(clean) + 3 > CERTIFICATE_NAMES_MAX)
		return;
	snprintf(names + used, CERTIFICATE_NAMES_MAX - used, "%s%s", used ? ", " : "", clean);
}

static void alternative_names(X509 *x509, char names[CERTIFICATE_NAMES_MAX])
{
	GENERAL_NAMES *all = X509_get_ext_d2i(x509, NID_subject_alt_name, NULL, NULL);
	char address[INET6_ADDRSTRLEN];
	int i;

	names[0] = '\0';
	for (i = 0; i < sk_GENERAL_NAME_num(all); i++) {
		const GENERAL_NAME *each = sk_GENERAL_NAME_value(all, i);

		if (each->type == GEN_DNS) {
			append_name(names, (const char *)ASN1_STRING_get0_data(each->d.dNSName),
				    (size_t)ASN1_STRING_length(each->d.dNSName));
		} else if (each->type == GEN_IPADD) {
			const ASN1_OCTET_STRING *ip = each->d.iPAddress;

			if (inet_ntop(ASN1_STRING_length(ip) == 4 ? AF_INET : AF_INET6,
				      ASN1_STRING_get0_data(ip), address, sizeof(address)))
				append_name(names, address, strlen(address));
		}
	}
	GENERAL_NAMES_free(all);
}

static time_t to_time(const ASN1_TIME *from)
{
	struct tm tm = {0};

	return ASN1_TIME_to_tm(from, &tm) ? timegm(&tm) : 0;
}

static void describe(X509 *x509, struct certificate *ret)
{
	const X509_NAME *subject = X509_get_subject_name(x509);

	memset(ret, 0, sizeof(*ret));
	first_entry(subject, NID_commonName, ret->name);
	first_entry(subject, NID_organizationalUnitName, ret->role);
	alternative_names(x509, ret->names);
	ret->not_before = to_time(X509_get0_notBefore(x509));
	ret->not_after = to_time(X509_get0_notAfter(x509));
	ret->is_authority = X509_check_ca(x509) > 0;
}

static enum ota_err load(const char *path, X509 **ret_x509, struct ota_why *why)
{
	AUTO_FCLOSE FILE *file = fopen(path, "re");
	X509 *x509;

	if (!file)
		return ota_fail_errno(why, OTA_NOT_FOUND, errno, "certificate '%s'", path);
	x509 = PEM_read_X509(file, NULL, NULL, NULL);
	ERR_clear_error();
	if (!x509)
		return ota_fail(why, OTA_BAD_REQUEST, "'%s' holds no PEM certificate", path);
	*ret_x509 = x509;
	return OTA_OK;
}

enum ota_err certificate_read(const char *path, struct certificate *ret_certificate,
			      struct ota_why *why)
{
	AUTO(free_x509) X509 *x509 = NULL;
	enum ota_err err = load(path, &x509, why);

	if (err)
		return err;
	describe(x509, ret_certificate);
	return OTA_OK;
}

static enum ota_err tell_one(X509 *x509, certificate_told each, void *ctx, struct ota_why *why)
{
	AUTO_FREE char *base64 = NULL;
	struct certificate certificate;
	unsigned char *der = NULL;
	int len = i2d_X509(x509, &der);
	enum ota_err err = OTA_OUT_OF_MEMORY;

	if (len > 0)
		err = text_base64(der, (size_t)len, &base64, why);
	OPENSSL_free(der);
	if (err)
		return ota_fail(why, err, "no memory for a certificate");
	describe(x509, &certificate);
	return each(ctx, &certificate, base64, why);
}

enum ota_err certificate_each(const char *path, certificate_told each, void *ctx,
			      struct ota_why *why)
{
	AUTO_FCLOSE FILE *file = fopen(path, "re");
	enum ota_err err = OTA_OK;
	unsigned count = 0;
	bool at_end = false;

	if (!file)
		return ota_fail_errno(why, OTA_NOT_FOUND, errno, "certificates '%s'", path);
	while (!err && !at_end) {
		AUTO(free_x509) X509 *x509 = PEM_read_X509(file, NULL, NULL, NULL);

		at_end = !x509 && ERR_GET_REASON(ERR_peek_last_error()) == PEM_R_NO_START_LINE;
		ERR_clear_error();
		if (!x509 && !(at_end && count))
			return ota_fail(why, OTA_BAD_REQUEST,
					"'%s': certificate %u is no PEM certificate", path,
					count + 1);
		if (x509)
			err = tell_one(x509, each, ctx, why);
		count++;
	}
	return err;
}

enum ota_err certificate_from_base64(const char *der_base64,
				     struct certificate *ret_certificate, struct ota_why *why)
{
	AUTO_FREE uint8_t *der = NULL;
	AUTO(free_x509) X509 *x509 = NULL;
	const unsigned char *at;
	size_t len = 0;
	enum ota_err err = text_unbase64(der_base64, strlen(der_base64), strlen(der_base64),
					 &der, &len, why);

	if (err)
		return err;
	at = der;
	x509 = d2i_X509(NULL, &at, (long)len);
	ERR_clear_error();
	if (!x509 || at != der + len)
		return ota_fail(why, OTA_BAD_REQUEST, "no X.509 certificate");
	describe(x509, ret_certificate);
	return OTA_OK;
}

enum ota_err certificate_check_key(const char *path, const char *key_path, struct ota_why *why)
{
	AUTO(free_x509) X509 *x509 = NULL;
	AUTO_FCLOSE FILE *file = NULL;
	EVP_PKEY *key;
	bool fits;
	enum ota_err err = load(path, &x509, why);

	if (err)
		return err;
	file = fopen(key_path, "re");
	if (!file)
		return ota_fail_errno(why, OTA_NOT_FOUND, errno, "private key '%s'", key_path);
	key = PEM_read_PrivateKey(file, NULL, NULL, (void *)(uintptr_t) "");
	fits = key && X509_check_private_key(x509, key) == 1;
	EVP_PKEY_free(key);
	ERR_clear_error();
	if (!fits)
		return ota_fail(why, OTA_BAD_REQUEST,
				"'%s' is not the private key of the certificate '%s'", key_path,
				path);
	return OTA_OK;
}

static enum ota_err connect_one(const struct addrinfo *to, unsigned timeout_ms, int *ret_fd,
				struct ota_why *why)
{
	AUTO_CLOSE int fd =
		socket(to->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	struct pollfd wait = {.fd = fd, .events = POLLOUT};
	int error = 0;
	socklen_t len = sizeof(error);

	if (fd < 0)
		return ota_fail_errno(why, OTA_UNREACHABLE, errno, "cannot make a socket");
	if (connect(fd, to->ai_addr, to->ai_addrlen) && errno != EINPROGRESS)
		return ota_fail_errno(why, OTA_UNREACHABLE, errno, "cannot connect");
	if (poll(&wait, 1, (int)timeout_ms) <= 0)
		return ota_fail_errno(why, OTA_UNREACHABLE, ETIMEDOUT, "cannot connect");
	if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len) || error)
		return ota_fail_errno(why, OTA_UNREACHABLE, error, "cannot connect");
	*ret_fd = TAKE_FD(fd);
	return OTA_OK;
}

static enum ota_err connect_any(const struct certificate_peer *peer, int *ret_fd,
				struct ota_why *why)
{
	const struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_ADDRCONFIG};
	struct addrinfo *all = NULL, *each;
	enum ota_err err = OTA_UNREACHABLE;
	int code = getaddrinfo(peer->host, peer->port, &hints, &all);

	if (code)
		return ota_fail(why, OTA_UNREACHABLE, "cannot find '%s': %s", peer->host,
				gai_strerror(code));
	for (each = all; each && err; each = each->ai_next)
		err = connect_one(each, peer->timeout_ms, ret_fd, why);
	freeaddrinfo(all);
	return err ? ota_context(why, err, "%s port %s", peer->host, peer->port) : OTA_OK;
}

static enum ota_err make_context(const struct certificate_peer *peer, SSL_CTX **ret_context,
				 struct ota_why *why)
{
	AUTO(free_context) SSL_CTX *context = SSL_CTX_new(TLS_client_method());

	if (!context)
		return ota_fail(why, OTA_OUT_OF_MEMORY, "no memory for TLS");
	SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION);
	SSL_CTX_set_verify(context, SSL_VERIFY_NONE, NULL); /* the result is looked at below */
	if (SSL_CTX_load_verify_file(context, peer->ca) != 1)
		return ota_fail(why, OTA_BAD_REQUEST, "CA file '%s': %s", peer->ca,
				tls_error_text());
	if (peer->certificate &&
	    (SSL_CTX_use_certificate_chain_file(context, peer->certificate) != 1 ||
	     SSL_CTX_use_PrivateKey_file(context, peer->key, SSL_FILETYPE_PEM) != 1))
		return ota_fail(why, OTA_BAD_REQUEST, "certificate '%s' with key '%s': %s",
				peer->certificate, peer->key, tls_error_text());
	*ret_context = TAKE(context);
	return OTA_OK;
}

static enum ota_err handshake(SSL *ssl, int fd, unsigned timeout_ms, struct ota_why *why)
{
	struct pollfd wait = {.fd = fd};
	int code, reason;

	while ((code = SSL_connect(ssl)) != 1) {
		reason = SSL_get_error(ssl, code);
		if (reason != SSL_ERROR_WANT_READ && reason != SSL_ERROR_WANT_WRITE)
			return ota_fail(why, OTA_CONNECTION_LOST,
					"the TLS handshake failed: %s", tls_error_text());
		wait.events = reason == SSL_ERROR_WANT_READ ? POLLIN : POLLOUT;
		if (poll(&wait, 1, (int)timeout_ms) <= 0)
			return ota_fail(why, OTA_CONNECTION_LOST,
					"no answer to the TLS handshake");
	}
	return OTA_OK;
}

static enum ota_err judge(SSL *ssl, const char *host, X509 *x509, struct ota_why *why)
{
	struct certificate peer;
	long result = SSL_get_verify_result(ssl);
	bool named = X509_check_host(x509, host, 0, 0, NULL) == 1 ||
		     X509_check_ip_asc(x509, host, 0) == 1;

	describe(x509, &peer);
	if (result != X509_V_OK)
		return ota_fail(why, OTA_TLS_VERIFY_FAILED,
				"the broker's certificate ('%s') is not to be trusted: %s",
				peer.name, X509_verify_cert_error_string(result));
	if (!named)
		return ota_fail(why, OTA_TLS_VERIFY_FAILED,
				"the broker's certificate is not for '%s' but for: %s", host,
				peer.names[0] ? peer.names : peer.name);
	return OTA_OK;
}

enum ota_err certificate_probe(const struct certificate_peer *peer,
			       struct certificate *ret_peer, struct ota_why *why)
{
	AUTO(free_context) SSL_CTX *context = NULL;
	AUTO(free_ssl) SSL *ssl = NULL;
	AUTO(free_x509) X509 *x509 = NULL;
	AUTO_CLOSE int fd = -1;
	enum ota_err err = make_context(peer, &context, why);

	if (!err)
		err = connect_any(peer, &fd, why);
	if (err)
		return err;
	ssl = SSL_new(context);
	if (!ssl || SSL_set_fd(ssl, fd) != 1)
		return ota_fail(why, OTA_OUT_OF_MEMORY, "no memory for TLS");
	SSL_set_tlsext_host_name(ssl, peer->host);
	err = handshake(ssl, fd, peer->timeout_ms, why);
	if (err)
		return ota_context(why, err, "%s port %s", peer->host, peer->port);
	x509 = SSL_get1_peer_certificate(ssl);
	if (!x509)
		return ota_fail(why, OTA_TLS_VERIFY_FAILED, "the broker has no certificate");
	err = judge(ssl, peer->host, x509, why);
	if (!err && ret_peer)
		describe(x509, ret_peer);
	return err;
}
