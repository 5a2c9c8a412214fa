#include "audit.h"

#include "own.h"

#include <inttypes.h>

static const char *or_empty(const char *text)
{
	return text ? text : "";
}

enum ota_err audit_hash(const struct store_audit *row, struct digest *ret_hash,
			struct ota_why *why)
{
	AUTO(text_done) struct text text = {0};
	char previous[TEXT_HEX32_SIZE];

	text_from_digest(previous, row->previous.bytes);
	text_printf(&text,
		    "%s\n%" PRIu64 "\n%" PRIu64 "\n%s\n%s\n%s\n%s\n%s\n%" PRIu32 "\n%s\n",
		    previous, row->sequence, row->time_ms, or_empty(row->who),
		    or_empty(row->from), or_empty(row->what), or_empty(row->product),
		    or_empty(row->object), row->decision, or_empty(row->why));
	if (text.failed)
		return ota_fail(why, OTA_OUT_OF_MEMORY, "no memory for an audit row");
	return digest_of(text.data, text.len, ret_hash, why);
}

enum ota_err audit_check_row(struct audit_check *check, const struct store_audit *row,
			     struct ota_why *why)
{
	struct digest hash;
	enum ota_err err = audit_hash(row, &hash, why);

	if (err)
		return err;
	if (!check->first_bad &&
	    (!digest_equal(&hash, &row->hash) || !digest_equal(&row->previous, &check->tip)))
		check->first_bad = row->sequence;
	check->entries++;
	check->tip = row->hash;
	if (check->entries == check->entries_then)
		check->then_seen = digest_equal(&check->tip, &check->tip_then);
	return OTA_OK;
}

const char *audit_check_end(const struct audit_check *check, uint64_t entries,
			    const struct digest *tip)
{
	if (check->first_bad)
		return "a row was changed, moved or removed";
	if (check->entries != entries || !digest_equal(&check->tip, tip))
		return "rows are missing at the end";
	if (check->entries_then && !check->then_seen)
		return "the chain is not the one that was noted earlier";
	return NULL;
}
