/* A document that is read is written, and what was written is read as the same bytes again. */
#include "fuzz.h"

#include "document.h"
#include "own.h"

union any {
	struct root_document root;
	struct firmware_document firmware;
	struct release_document release;
	struct head_document head;
};

static enum ota_err read_any(int kind, const void *bytes, size_t len, union any *any)
{
	switch (kind) {
	case 0:
		return root_read(bytes, len, &any->root, NULL);
	case 1:
		return firmware_read(bytes, len, &any->firmware, NULL);
	case 2:
		return release_read(bytes, len, &any->release, NULL);
	default:
		return head_read(bytes, len, &any->head, NULL);
	}
}

static void check(int kind, const void *bytes, size_t len)
{
	static const struct json_shape *const shapes[] = {&root_shape, &firmware_shape,
							  &release_shape, &head_shape};
	AUTO(text_done) struct text once = {0}, twice = {0};
	union any any;
	enum ota_err err = read_any(kind, bytes, len, &any);

	MUST(err == OTA_OK || err == OTA_MANIFEST_INVALID);
	if (err)
		return;
	MUST(json_write(shapes[kind], &any, &once, NULL) == OTA_OK);
	json_done(shapes[kind], &any);
	MUST(read_any(kind, once.data, once.len, &any) == OTA_OK);
	MUST(json_write(shapes[kind], &any, &twice, NULL) == OTA_OK);
	json_done(shapes[kind], &any);
	MUST(once.len == twice.len && memcmp(once.data, twice.data, once.len) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
	for (int kind = 0; kind < 4; kind++)
		check(kind, bytes, len);
	return 0;
}
