/* The web console's files, embedded and compressed when the program is built. */
#pragma once

#include "http.h"

struct page {
	const char *path, *type, *etag;
	const unsigned char *gzip; /* ends at gzip_end */
	const unsigned char *gzip_end;
};

extern const struct page pages[]; /* ends with a NULL path; made by the build */

/* Answers a GET or HEAD for one of the files (every other path that has no dot in it is the
 * console itself, which routes within the page), with the headers that keep a page from doing
 * anything but being the console. */
void page_answer(struct http_request *request);
/* The same headers, for every other answer too. */
void page_security_headers(struct http_request *request);
