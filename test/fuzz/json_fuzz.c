/* Whatever json_check accepts, cJSON accepts too, as a whole; its compact form is accepted and
 * is its own compact form. */
#include "fuzz.h"

#include "json.h"
#include "own.h"

#include <cjson/cJSON.h>

struct whole {
	char *value;
};

static const struct json_field fields[] = {
	{"value", JSON_RAW, .offset = offsetof(struct whole, value), .max = 1 << 20},
	{0},
};
static const struct json_shape shape = {"whole", sizeof(struct whole), fields};

static bool compact(const char *text, size_t len, struct whole *ret)
{
	AUTO(text_done) struct text wrapped = {0};

	text_put(&wrapped, "{\"value\":");
	text_add(&wrapped, text, len);
	text_put(&wrapped, "}");
	return json_read(&shape, wrapped.data, wrapped.len, 2 << 20, OTA_BAD_REQUEST, ret,
			 NULL) == OTA_OK;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
	const char *text = (const char *)bytes;
	struct whole once, twice;
	struct ota_why why = {0};

	if (json_check(text, len, 1 << 20, OTA_BAD_REQUEST, &why)) {
		MUST(why.err && why.text[0] && strlen(why.text) < OTA_WHY_TEXT_MAX);
		return 0;
	}
	AUTO_FREE char *string = strndup(text, len);
	cJSON *other = cJSON_ParseWithOpts(string, NULL, 1);

	MUST(strlen(string) == len);
	MUST(other);
	cJSON_Delete(other);
	if (!compact(text, len, &once))
		return 0; /* no object, or one level too deep */
	MUST(strlen(once.value) <= len);
	MUST(compact(once.value, strlen(once.value), &twice));
	MUST(strcmp(once.value, twice.value) == 0);
	json_done(&shape, &once);
	json_done(&shape, &twice);
	return 0;
}
