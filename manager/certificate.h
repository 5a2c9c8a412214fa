/* Certificates as the tools need them: whose it is, until when, and what exactly is wrong with
 * a broker's TLS. The connection itself is verified by line.c; this only names causes. */
#pragma once

#include "name.h"
#include "text.h"

#include <time.h>

#define CERTIFICATE_NAMES_MAX 256

struct certificate {
	char name[NAME_SIZE];		   /* the first CN */
	char role[NAME_SIZE];		   /* the first OU; "" when there is none */
	char names[CERTIFICATE_NAMES_MAX]; /* subjectAltName DNS and IP, joined by ", " */
	time_t not_before, not_after;
	bool is_authority;
};

/* Reads the first certificate of a PEM file. OTA_NOT_FOUND or OTA_BAD_REQUEST (not a PEM
 * certificate), naming the file. */
enum ota_err certificate_read(const char *path, struct certificate *ret_certificate,
			      struct ota_why *why) OTA_CHECKED;
/* Tells `each` every certificate of a PEM file, in its order, with the base64 of its DER; ends
 * with its first error. OTA_NOT_FOUND, or OTA_BAD_REQUEST when there is none or one cannot be
 * read. */
typedef enum ota_err (*certificate_told)(void *ctx, const struct certificate *certificate,
					 const char *der_base64, struct ota_why *why);
enum ota_err certificate_each(const char *path, certificate_told each, void *ctx,
			      struct ota_why *why) OTA_CHECKED;
/* OTA_BAD_REQUEST when it is not one certificate's DER. */
enum ota_err certificate_from_base64(const char *der_base64,
				     struct certificate *ret_certificate,
				     struct ota_why *why) OTA_CHECKED;
/* OTA_BAD_REQUEST when the private key (unencrypted PEM) is not the certificate's. */
enum ota_err certificate_check_key(const char *path, const char *key_path,
				   struct ota_why *why) OTA_CHECKED;

struct certificate_peer {
	const char *host, *port;
	const char *ca, *certificate, *key; /* PEM files */
	unsigned timeout_ms;
};
/* Connects, makes a TLS handshake and hangs up. OTA_OK when chain, name and dates of the peer
 * are good: *ret_peer (may be NULL) is its certificate. OTA_UNREACHABLE: no TCP connection, in
 * the system's words. OTA_TLS_VERIFY_FAILED: says which check failed and what the certificate
 * holds instead. OTA_CONNECTION_LOST: TCP only; it does not speak TLS or hung up on us. */
enum ota_err certificate_probe(const struct certificate_peer *peer,
			       struct certificate *ret_peer, struct ota_why *why) OTA_CHECKED;
