/* What the device knows about its own certificate, and why a TLS connection does not come
 * about: the MQTT library only says "failed", an operator needs "the broker's certificate
 * expired". */
#pragma once

#include "name.h"
#include "why.h"

struct tls_files {
	const char *ca_file, *cert_file, *key_file;
};

/* The first CN of the certificate's subject, which is the device's id; OTA_UNAUTHORIZED when it
 * is no name_is_id(). */
enum ota_err tls_identity(const char *cert_file, char ret_id[NAME_SIZE],
			  struct ota_why *why) OTA_CHECKED;

/* Makes one connection of its own to `broker` (host:port), within about `timeout_ms`, and
 * always answers with what it found: OTA_TLS_VERIFY_FAILED for a certificate of the wrong host,
 * of another CA or out of its time, and when the broker refuses ours; OTA_CONNECTION_LOST when
 * nothing answers; OTA_OK when nothing is wrong with the connection now. Blocks. */
enum ota_err tls_diagnose(const char *broker, const struct tls_files *files, int timeout_ms,
			  struct ota_why *why) OTA_CHECKED;

/* Splits "host:port"; brackets around an IPv6 address are taken off. False when it is not that.
 */
bool tls_split(const char *broker, char *ret_host, size_t host_size, char *ret_port,
	       size_t port_size);
