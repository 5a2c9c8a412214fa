#include "tls_anchors.h"

#include "own.h"

#include <openssl/x509.h>
#include <stdlib.h>
#include <string.h>

#define CONFIGURED_MAX (1u << 20) /* bytes; a whole public CA bundle has about 220 KiB */
#define PEM_COLUMNS    64

enum ota_err tls_anchors_init(struct tls_anchors *anchors, const struct disk *disk,
			      const char *directory, const char *configured,
			      struct ota_why *why)
{
	anchors->disk = disk;
	anchors->configured = configured;
	return disk_join(anchors->path, directory, "ca.pem", why);
}

/* One block that cannot be read would spoil the whole file. */
static bool is_certificate(const char *base64)
{
	AUTO_FREE uint8_t *der = NULL;
	const unsigned char *at;
	size_t len;

	if (text_unbase64(base64, strlen(base64), strlen(base64), &der, &len, NULL))
		return false;
	at = der;
	X509 *x509 = d2i_X509(NULL, &at, (long)len);
	const bool is = x509 && at == der + len;

	X509_free(x509);
	return is;
}

static void put_pem(struct text *text, const char *base64)
{
	const size_t len = strlen(base64);

	text_put(text, "-----BEGIN CERTIFICATE-----\n");
	for (size_t at = 0; at < len; at += PEM_COLUMNS)
		text_printf(text, "%.*s\n", PEM_COLUMNS, base64 + at);
	text_put(text, "-----END CERTIFICATE-----\n");
}

static bool is_there(const struct tls_anchors *anchors, const struct text *wanted)
{
	AUTO_FREE char *present = NULL;
	size_t len;

	return !disk_read_file(anchors->disk, anchors->path, wanted->len, &present, &len,
			       NULL) &&
	       len == wanted->len && !memcmp(present, wanted->data, len);
}

const char *tls_anchors_file(const struct tls_anchors *anchors,
			     const struct root_document *root)
{
	AUTO(text_done) struct text text = {0};
	AUTO_FREE char *configured = NULL;
	size_t len;
	bool any = false;

	/* Whoever uses the file that is not there says so. */
	if (!root->anchor_count || disk_read_file(anchors->disk, anchors->configured,
						  CONFIGURED_MAX, &configured, &len, NULL))
		return anchors->configured;
	text_put(&text, configured);
	if (len && configured[len - 1] != '\n')
		text_put(&text, "\n");
	for (uint32_t i = 0; i < root->anchor_count; i++) {
		if (!is_certificate(root->anchors[i].der_base64))
			continue;
		put_pem(&text, root->anchors[i].der_base64);
		any = true;
	}
	if (!any || text.failed)
		return anchors->configured;
	if (!is_there(anchors, &text) &&
	    disk_replace(anchors->disk, anchors->path, text.data, text.len, 0600, NULL))
		return anchors->configured;
	return anchors->path;
}
