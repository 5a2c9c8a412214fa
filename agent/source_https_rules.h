/* What is asked of an HTTPS server, and which answer is one.
 *
 * A blob is at `<base URL>/<first two hex digits>/<hex digest>` and is asked for by one range
 * of bytes. The only good answer is 206 with exactly that range of a blob of exactly that size
 * (RFC 9110, 14.4 and 15.3.7). A redirect is not followed, to no host: a server that wants the
 * device elsewhere is to be named in the offer. No I/O here. */
#pragma once

#include "digest.h"
#include "why.h"

#define HTTPS_URL_MAX  256u /* of a base URL (PROTOCOL.md, offer) */
#define HTTPS_PATH_MAX 68u  /* "/ab/" and 64 digits */
#define HTTPS_URL_SIZE (HTTPS_URL_MAX + HTTPS_PATH_MAX + 1)
#define HTTPS_HEAD_MAX (16u << 10) /* bytes of header of one answer */

/* False for a base URL that is not https://host[:port][/path] in printable ASCII; one with a
 * user's name, a query or a fragment is not. */
bool https_url_is_usable(const char *base);
/* `https://host:port` of a usable one, for messages: a path may be a secret. */
void https_url_origin(const char *base, char *ret_origin, size_t size);
void https_url_of(const char *base, const struct digest *blob, char ret_url[HTTPS_URL_SIZE]);

struct https_range {
	uint64_t first, last; /* bytes, both included */
	uint64_t size;	      /* of the blob */
};

struct https_head {
	size_t bytes;
	unsigned status; /* 0: no status line yet */
	bool is_over;	 /* the header has ended and is a good one */
	bool has_range, has_length, range_is_wrong;
	uint64_t length;
};

/* Takes one line of the header as it comes, line ending included. An error ends the request:
 * OTA_CHUNK_REFUSED for an answer that is none to what was asked. */
enum ota_err https_head_line(struct https_head *head, const struct https_range *wanted,
			     const char *line, size_t len, struct ota_why *why) OTA_CHECKED;
/* The server may give another answer to the same question later: overload, a gateway. */
bool https_head_is_temporary(const struct https_head *head);
