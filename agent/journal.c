#include "journal.h"

#include <string.h>

#define JOURNAL_MAGIC UINT32_C(0x4a41544f) /* "OTAJ" */
#define JOURNAL_SIZE  256u		   /* room for members to come, all zero until then */

static void entry_put(const struct journal_entry *entry, uint8_t payload[JOURNAL_SIZE])
{
	uint8_t *at = payload;

	memset(payload, 0, JOURNAL_SIZE);
	record_put_u32(&at, entry->state);
	record_put_u32(&at, entry->flags);
	record_put_u64(&at, entry->release);
	record_put_u32(&at, entry->attempt);
	record_put_u32(&at, entry->cause);
	record_put_u32(&at, entry->cause_detail);
	record_put_u32(&at, entry->trial_boots);
	record_put_u64(&at, entry->elapsed_ms);
	record_put_u64(&at, entry->done);
	record_put_u64(&at, entry->fetched);
	record_put_u64(&at, entry->reverted_release);
	record_put_u32(&at, entry->reverted_cause);
	record_put_u32(&at, entry->target);
	const struct digest *digests[] = {&entry->firmware, &entry->image, &entry->pack};
	for (unsigned i = 0; i < sizeof(digests) / sizeof(digests[0]); i++) {
		memcpy(at, digests[i]->bytes, DIGEST_SIZE);
		at += DIGEST_SIZE;
	}
	record_put_u64(&at, entry->boot_id);
	record_put_u32(&at, entry->restarts);
	record_put_u32(&at, entry->reverts);
}

static void entry_get(struct journal_entry *entry, const uint8_t payload[JOURNAL_SIZE])
{
	const uint8_t *at = payload;

	entry->state = record_get_u32(&at);
	entry->flags = record_get_u32(&at);
	entry->release = record_get_u64(&at);
	entry->attempt = record_get_u32(&at);
	entry->cause = record_get_u32(&at);
	entry->cause_detail = record_get_u32(&at);
	entry->trial_boots = record_get_u32(&at);
	entry->elapsed_ms = record_get_u64(&at);
	entry->done = record_get_u64(&at);
	entry->fetched = record_get_u64(&at);
	entry->reverted_release = record_get_u64(&at);
	entry->reverted_cause = record_get_u32(&at);
	entry->target = record_get_u32(&at);
	struct digest *digests[] = {&entry->firmware, &entry->image, &entry->pack};
	for (unsigned i = 0; i < sizeof(digests) / sizeof(digests[0]); i++) {
		memcpy(digests[i]->bytes, at, DIGEST_SIZE);
		at += DIGEST_SIZE;
	}
	entry->boot_id = record_get_u64(&at);
	entry->restarts = record_get_u32(&at);
	entry->reverts = record_get_u32(&at);
}

enum ota_err journal_open(struct journal *journal, const struct disk *disk,
			  const char *directory, bool *ret_lost, struct ota_why *why)
{
	char path[DISK_PATH_SIZE];
	uint8_t payload[JOURNAL_SIZE] = {0};
	enum record_found found;
	struct journal opening = {.record.file = -1};

	enum ota_err err = disk_join(path, directory, "journal", why);
	if (!err)
		err = record_open(&opening.record, disk, path, 0, JOURNAL_MAGIC, payload,
				  JOURNAL_SIZE, &found, why);
	if (err)
		return err;
	entry_get(&opening.entry, payload);
	*journal = opening;
	if (ret_lost)
		*ret_lost = found == RECORD_LOST;
	return OTA_OK;
}

enum ota_err journal_write(struct journal *journal, const struct journal_entry *entry,
			   struct ota_why *why)
{
	uint8_t payload[JOURNAL_SIZE];

	entry_put(entry, payload);
	enum ota_err err = record_write(&journal->record, payload, why);
	if (err)
		return ota_context(why, err, "the journal");
	journal->entry = *entry;
	return OTA_OK;
}

void journal_done(struct journal *journal)
{
	record_done(&journal->record);
}
