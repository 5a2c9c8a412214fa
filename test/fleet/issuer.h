/* Certificates for simulated devices, made in memory from the development CA's key. All devices
 * share one private key, which a simulation may do and a fleet may not: ten thousand keys would
 * cost memory and prove nothing. */
#pragma once

#include "why.h"

#include <openssl/ssl.h>

struct issuer; /* opaque */

/* From PEM files. OTA_NOT_FOUND, or OTA_BAD_REQUEST when they hold something else. */
enum ota_err issuer_open(const char *ca_path, const char *ca_key_path,
			 struct issuer **ret_issuer, struct ota_why *why) OTA_CHECKED;
void issuer_free(struct issuer *issuer);
/* A client context that trusts this CA only and checks the broker's certificate. */
SSL_CTX *issuer_context(struct issuer *issuer);
/* Makes a certificate (CN = name, OU = ota-device) and gives it and the key to the session. */
enum ota_err issuer_equip(struct issuer *issuer, const char *name, SSL *ssl,
			  struct ota_why *why) OTA_CHECKED;
