#include "problem.h"

#include "json.h"

#define PROBLEM_BASE "/errors/"

unsigned problem_status(enum ota_err err)
{
	static const struct {
		enum ota_err err;
		unsigned status;
	} rows[] = {
		{OTA_OK, 200},
		{OTA_BUSY, 503},
		{OTA_OUT_OF_MEMORY, 503},
		{OTA_UNREACHABLE, 503},
		{OTA_CONNECTION_LOST, 503},
		{OTA_DOWNLOAD_STALLED, 503},
		{OTA_INSUFFICIENT_STORAGE, 507},
		{OTA_QUOTA_EXCEEDED, 507},
		{OTA_INTERNAL, 500},
		{OTA_IO_ERROR, 500},
		{OTA_UNAUTHORIZED, 401},
		{OTA_FORBIDDEN, 403},
		{OTA_NOT_FOUND, 404},
		{OTA_CONFLICT, 409},
		{OTA_NOT_PROVEN, 409},
		{OTA_RELEASE_STALE, 409},
		{OTA_VERSION_EXISTS, 409},
		{OTA_APPROVAL_REQUIRED, 409},
		{OTA_NO_TARGETS, 409},
		{OTA_TOO_LARGE, 413},
		{OTA_RATE_LIMITED, 429},
	};

	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
		if (rows[i].err == err)
			return rows[i].status;
	return 422; /* the rest says that what was sent is not right */
}

void problem_answer_status(struct http_request *request, unsigned status, enum ota_err err,
			   const char *detail)
{
	struct text body = {0};

	if (status == 429 || status == 503)
		http_set_header(request, "Retry-After", "1");
	if (status == 401)
		http_set_header(request, "WWW-Authenticate", "Bearer realm=\"ota\"");
	text_printf(&body, "{\"type\":\"" PROBLEM_BASE "%s\",\"title\":", ota_err_name(err));
	json_put_string(&body, ota_err_sentence(err));
	text_printf(&body, ",\"status\":%u,\"name\":\"%s\",\"number\":%d,\"detail\":", status,
		    ota_err_name(err), (int)err);
	json_put_string(&body, detail);
	text_put(&body, "}");
	if (body.failed)
		http_answer_static(request, 503, "application/problem+json", "{}", 2);
	else
		http_answer(request, status, "application/problem+json", body.data, body.len);
	text_done(&body);
}

void problem_answer(struct http_request *request, enum ota_err err, const char *detail)
{
	problem_answer_status(request, problem_status(err), err, detail);
}

void problem_answer_why(struct http_request *request, const struct ota_why *why)
{
	problem_answer(request, why->err, why->text);
}
