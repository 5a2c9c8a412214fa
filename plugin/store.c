/* Copies of rows: what every store needs to keep a batch beyond the call. */
#include "store.h"

#include <stdlib.h>
#include <string.h>

#define TEXTS_MAX 6

/* Where the row's texts are; returns how many. */
static size_t texts_of(struct store_row *row, const char **places[TEXTS_MAX])
{
	size_t n = 0;

	switch (row->kind) {
	case STORE_PRODUCT:
		places[n++] = &row->product.title;
		break;
	case STORE_DEVICE:
		places[n++] = &row->device.notes;
		break;
	case STORE_FIRMWARE:
		places[n++] = &row->firmware.envelope;
		break;
	case STORE_RELEASE:
		places[n++] = &row->release.envelope;
		places[n++] = &row->release.reason;
		break;
	case STORE_UPDATE:
		places[n++] = &row->update.error_message;
		break;
	case STORE_REPORT:
		places[n++] = &row->report.reason;
		places[n++] = &row->report.error_message;
		places[n++] = &row->report.error_log;
		break;
	case STORE_AUDIT:
		places[n++] = &row->audit.who;
		places[n++] = &row->audit.from;
		places[n++] = &row->audit.what;
		places[n++] = &row->audit.product;
		places[n++] = &row->audit.object;
		places[n++] = &row->audit.why;
		break;
	case STORE_ROOT:
		places[n++] = &row->root.envelope;
		break;
	case STORE_HEAD:
		places[n++] = &row->head.envelope;
		break;
	case STORE_ANSWER:
		places[n++] = &row->answer.key;
		places[n++] = &row->answer.reply;
		break;
	case STORE_GROUP:
	case STORE_MEMBER:
	case STORE_MANAGER:
	case STORE_TOKEN:
	case STORE_BLOB:
	case STORE_KIND_COUNT:
		break;
	}
	return n;
}

static bool copy_packs(struct store_firmware *firmware)
{
	size_t size = firmware->pack_count * sizeof(*firmware->packs);
	struct offer_pack *packs = size ? malloc(size) : NULL;

	if (size && !packs)
		return false;
	if (size)
		memcpy(packs, firmware->packs, size);
	firmware->packs = packs;
	return true;
}

enum ota_err store_row_copy(const struct store_row *row, struct store_row *ret,
			    struct ota_why *why)
{
	struct store_row copy = *row;
	const char **places[TEXTS_MAX];
	size_t count = texts_of(&copy, places), done = 0;
	bool whole = true;

	if (copy.kind == STORE_FIRMWARE && !copy_packs(&copy.firmware))
		return ota_fail(why, OTA_OUT_OF_MEMORY, "a row for the store");
	for (; done < count; done++) {
		if (!*places[done])
			continue;
		*places[done] = strdup(*places[done]);
		if (!*places[done]) {
			whole = false;
			break;
		}
	}
	if (whole) {
		*ret = copy;
		return OTA_OK;
	}
	for (; done < count; done++)
		*places[done] = NULL; /* not ours */
	store_row_done(&copy);
	return ota_fail(why, OTA_OUT_OF_MEMORY, "a row for the store");
}

void store_row_done(struct store_row *row)
{
	const char **places[TEXTS_MAX];
	size_t count = texts_of(row, places);

	for (size_t i = 0; i < count; i++)
		free((void *)(uintptr_t)*places[i]);
	if (row->kind == STORE_FIRMWARE)
		free((void *)(uintptr_t)row->firmware.packs);
	memset(row, 0, sizeof(*row));
}

void store_page_done(struct store_page *page)
{
	for (uint32_t i = 0; i < page->count; i++)
		store_row_done(&page->rows[i]);
	free(page->rows);
	*page = (struct store_page){0};
}
