/* TLS sessions that can be resumed. OpenSSL marks a session as bad when its connection ends
 * without a close_notify (SSL_free, ssl_clear_bad_session), as one does that broke or was
 * HTTP/2, and libcurl before 8.12 keeps that very session for the next connection. So libcurl
 * is given a copy. */
#include "source_https_inside.h"

#include <openssl/ssl.h>
#include <string.h>

static int (*keep_session)(SSL *ssl, SSL_SESSION *session);

static int on_session(SSL *ssl, SSL_SESSION *session)
{
	SSL_SESSION *copy = SSL_SESSION_dup(session);

	/* 1: it was kept, and with it our reference. */
	if (copy && !keep_session(ssl, copy))
		SSL_SESSION_free(copy);
	return 0;
}

static CURLcode on_context(CURL *easy, void *context, void *ctx)
{
	int (*const theirs)(SSL *, SSL_SESSION *) = SSL_CTX_sess_get_new_cb(context);

	(void)easy;
	(void)ctx;
	if (theirs && theirs != on_session) {
		keep_session = theirs;
		SSL_CTX_sess_set_new_cb(context, on_session);
	}
	return CURLE_OK;
}

void https_tls_prepare(CURL *easy)
{
	const char *library = curl_version_info(CURLVERSION_NOW)->ssl_version;

	if (library && !strncmp(library, "OpenSSL/", 8))
		curl_easy_setopt(easy, CURLOPT_SSL_CTX_FUNCTION, on_context);
}
