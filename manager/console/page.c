#include "page.h"

#include "problem.h"

#include <string.h>

void page_security_headers(struct http_request *request)
{
	http_set_header(request, "X-Content-Type-Options", "nosniff");
	http_set_header(request, "Referrer-Policy", "no-referrer");
	http_set_header(request, "Cross-Origin-Resource-Policy", "same-origin");
	http_set_header(request, "X-Frame-Options", "DENY");
}

static const struct page *page_find(const char *path)
{
	for (const struct page *page = pages; page->path; page++)
		if (!strcmp(page->path, path))
			return page;
	if (strchr(path, '.'))
		return NULL;
	return page_find("/index.html");
}

void page_answer(struct http_request *request)
{
	const char *path = http_path(request), *match = http_header(request, "If-None-Match");
	const struct page *page = page_find(!strcmp(path, "/") ? "/index.html" : path);

	page_security_headers(request);
	if (strcmp(http_method(request), "GET") && strcmp(http_method(request), "HEAD")) {
		http_set_header(request, "Allow", "GET, HEAD");
		problem_answer_status(request, 405, OTA_BAD_REQUEST,
				      "only GET and HEAD are allowed");
		return;
	}
	if (!page) {
		problem_answer(request, OTA_NOT_FOUND, "there is no such file");
		return;
	}
	http_set_header(
		request, "Content-Security-Policy",
		"default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' "
		"data:; connect-src 'self'; font-src 'none'; base-uri 'none'; form-action "
		"'none'; frame-ancestors 'none'; require-trusted-types-for 'script'");
	http_set_header(request, "ETag", page->etag);
	http_set_header(request, "Cache-Control", "no-cache");
	if (match && !strcmp(match, page->etag)) {
		http_answer_static(request, 304, NULL, "", 0);
		return;
	}
	http_set_header(request, "Content-Encoding", "gzip");
	http_answer_static(request, 200, page->type, page->gzip,
			   (size_t)(page->gzip_end - page->gzip));
}
