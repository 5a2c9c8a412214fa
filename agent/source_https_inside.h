/* The inside of the module, shared by source_https_curl.c (requests and what comes of them) and
 * source_https_module.c (handles, life, what the agent sees). Nobody else includes it. */
#pragma once

#include "source_https.h"
#include "source_https_rules.h"

#include <curl/curl.h>

#define HTTPS_SPARES_MAX 8u

struct server {
	struct source source;
	struct https *https;
	char base[HTTPS_URL_MAX + 1];
	char name[HTTPS_URL_MAX + 1];
};

struct request {
	struct request *next;
	struct https *https;
	CURL *easy; /* NULL: it pauses, or is complete */
	uint32_t transfer, first, count, taken;
	uint64_t from, size; /* bytes of the blob */
	uint64_t blob_size;
	size_t got;
	uint8_t *data; /* of `size` bytes, until all of it was handed over */
	struct https_range asked;
	struct https_head head;
	struct ota_why why; /* of our own callbacks */
	char url[HTTPS_URL_SIZE];
	char error[CURL_ERROR_SIZE];
};

struct https {
	struct source_https_options options;
	struct server servers[MESSAGE_SOURCES_MAX];
	unsigned count;
	CURLM *multi;
	CURLSH *share;
	CURL *spares[HTTPS_SPARES_MAX];
	unsigned spare_count;
	int epoll, timer;
	uint64_t curl_due_ms;	  /* 0: libcurl waits for no moment */
	struct request *requests; /* in the order of the questions */
	unsigned request_count;
	const struct server *asked;
	uint32_t transfer, chunk; /* of the last question */
	bool is_broken;		  /* the server is of no more use: `why` */
	struct ota_why why;
	unsigned failures;
	uint64_t pause_until_ms; /* 0: no pause */
	uint64_t watch_ms;	 /* the speed is watched since; 0: nobody waits */
	uint64_t watch_bytes;
};

/* source_https_curl.c */
uint64_t https_clock_ms(void); /* never 0 */
enum ota_err https_ask(void *ctx, uint32_t transfer, const struct digest *blob, uint64_t size,
		       const struct get_range *ranges, unsigned count,
		       struct ota_why *why) OTA_CHECKED;
bool https_next(void *ctx, struct source_answer *ret_answer);
void https_forget(void *ctx);
/* Ends every request; whether the server is of use is forgotten, too. */
void https_drop_all(struct https *https);

/* source_https_module.c */
CURL *https_easy_new(const struct https *https); /* NULL for want of memory */
/* For libcurl, of the easy handle's struct request. */
size_t https_on_header(char *line, size_t size, size_t count, void *ctx);
size_t https_on_data(char *bytes, size_t size, size_t count, void *ctx);

/* source_https_tls.c */
void https_tls_prepare(CURL *easy);
