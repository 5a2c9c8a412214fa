#include "bulk.h"

#include "text.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum ota_err bulk_peer_find(const char *url, struct bulk_peer *ret_peer, struct ota_why *why)
{
	static const char scheme[] = "https://";
	struct bulk_peer peer = {0};
	char host[256], port[8] = "443";
	const char *at = url + strlen(scheme), *slash, *colon;
	size_t host_len;
	enum ota_err err;

	if (strncmp(url, scheme, strlen(scheme)) != 0)
		return ota_fail(why, OTA_BAD_REQUEST, "'%s' is not https", url);
	slash = at + strcspn(at, "/");
	colon = memchr(at, ':', (size_t)(slash - at));
	host_len = (size_t)((colon ? colon : slash) - at);
	snprintf(peer.host, sizeof(peer.host), "%.*s", (int)(slash - at), at);
	snprintf(host, sizeof(host), "%.*s", (int)host_len, at);
	if (colon)
		snprintf(port, sizeof(port), "%.*s", (int)(slash - colon - 1), colon + 1);
	if (!text_copy(peer.base, sizeof(peer.base), slash))
		return ota_fail(why, OTA_BAD_REQUEST, "'%s' is too long", url);
	while (*peer.base && peer.base[strlen(peer.base) - 1] == '/')
		peer.base[strlen(peer.base) - 1] = '\0';
	err = wire_peer_find(host, port, &peer.peer, why);
	if (!err)
		*ret_peer = peer;
	return err;
}

void bulk_ask(struct bulk *bulk, const struct bulk_peer *peer, const struct digest *blob,
	      uint64_t offset, uint64_t len)
{
	char hex[TEXT_HEX32_SIZE];

	text_from_digest(hex, blob->bytes);
	text_printf(&bulk->wire.out,
		    "GET %s/%.2s/%s HTTP/1.1\r\nHost: %s\r\nRange: bytes=%" PRIu64 "-%" PRIu64
		    "\r\n\r\n",
		    peer->base, hex, hex, peer->host, offset, offset + len - 1);
	bulk->asked = true;
	bulk->in_body = false;
	bulk->body_left = len;
}

static bool head_says_length(const char *head, uint64_t *ret_length)
{
	const char *line = strcasestr(head, "\r\nContent-Length:");
	char digits[24] = "";

	if (!line)
		return false;
	line += strlen("\r\nContent-Length:");
	line += strspn(line, " \t");
	snprintf(digits, sizeof(digits), "%.*s", (int)strspn(line, "0123456789"), line);
	return text_to_u64(digits, UINT64_MAX, ret_length);
}

/* OTA_BUSY: it has not come whole. */
static enum ota_err take_head(struct bulk *bulk, struct ota_why *why)
{
	const char *bytes = bulk->wire.in.data + bulk->place;
	size_t len = bulk->wire.in.len - bulk->place;
	const char *end = len ? memmem(bytes, len, "\r\n\r\n", 4) : NULL;
	char head[BULK_HEAD_MAX];
	uint64_t length;

	if (!end && len < BULK_HEAD_MAX)
		return OTA_BUSY;
	if (!end || (size_t)(end - bytes) + 3 >= BULK_HEAD_MAX)
		return ota_fail(why, OTA_CONNECTION_LOST, "an HTTP head without end");
	snprintf(head, sizeof(head), "%.*s", (int)(end - bytes) + 2, bytes);
	if (strncmp(head, "HTTP/1.1 206 ", 13) != 0)
		return ota_fail(why, OTA_CHUNK_REFUSED, "HTTPS answers '%.32s'", head);
	if (!head_says_length(head, &length) || length != bulk->body_left)
		return ota_fail(why, OTA_SIZE_MISMATCH, "HTTPS sends another length");
	bulk->place += (size_t)(end - bytes) + 4;
	bulk->in_body = true;
	return OTA_OK;
}

enum ota_err bulk_next(struct bulk *bulk, size_t want, const uint8_t **ret_bytes,
		       struct ota_why *why)
{
	enum ota_err err;

	*ret_bytes = NULL;
	if (!bulk->asked)
		return OTA_OK;
	if (!bulk->in_body) {
		err = take_head(bulk, why);
		if (err)
			return err == OTA_BUSY ? OTA_OK : err;
	}
	if (want > bulk->body_left)
		return ota_fail(why, OTA_SIZE_MISMATCH, "more is wanted than was asked for");
	if (bulk->wire.in.len - bulk->place < want)
		return OTA_OK;
	*ret_bytes = (const uint8_t *)bulk->wire.in.data + bulk->place;
	bulk->place += want;
	bulk->body_left -= want;
	bulk->asked = bulk->body_left > 0;
	return OTA_OK;
}

void bulk_forget(struct bulk *bulk)
{
	wire_forget(&bulk->wire, bulk->place);
	bulk->place = 0;
}
