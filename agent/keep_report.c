/* One file a report, `<seq, 20 digits>-<kind>` in reports/, made by atomic replace and removed
 * when acknowledged. A removal that a cut undid costs one report sent twice, which the plugin
 * knows by its number.
 *
 * Numbers are reserved in blocks: the record holds the first number that is not reserved, so a
 * restart goes on there, and a number is never given out twice. Files raise it too, should the
 * record have been lost. */
#include "keep_report.h"

#include "own.h"

#include <errno.h>
#include <string.h>

#define SEQ_MAGIC UINT32_C(0x5341544f) /* "OTAS" */
#define SEQ_SIZE  16u

static const char kind_letters[] = "psf"; /* enum keep_report_kind */

static enum ota_err report_directory(const struct keep *keep, char ret_path[DISK_PATH_SIZE],
				     struct ota_why *why)
{
	return disk_join(ret_path, keep->directory, "reports", why);
}

static enum ota_err report_path(const struct keep *keep, const struct keep_report *report,
				char ret_path[DISK_PATH_SIZE], struct ota_why *why)
{
	char directory[DISK_PATH_SIZE], name[32];
	enum ota_err err = report_directory(keep, directory, why);

	snprintf(name, sizeof(name), "%020llu-%c", (unsigned long long)report->seq,
		 kind_letters[report->kind]);
	return err ? err : disk_join(ret_path, directory, name, why);
}

static bool name_to_report(const char *name, struct keep_report *ret_report)
{
	char digits[21];
	const char *kind;

	if (strlen(name) != 22 || name[20] != '-')
		return false;
	memcpy(digits, name, 20);
	digits[20] = '\0';
	kind = strchr(kind_letters, name[21]);
	if (!kind || !*kind || !text_to_u64(digits, UINT64_MAX, &ret_report->seq))
		return false;
	ret_report->kind = (enum keep_report_kind)(kind - kind_letters);
	return ret_report->seq > 0;
}

/* In ascending order of their numbers; there is room for it. */
static void report_insert(struct keep *keep, const struct keep_report *report)
{
	unsigned at = keep->report_count;

	while (at > 0 && keep->reports[at - 1].seq > report->seq)
		at--;
	memmove(&keep->reports[at + 1], &keep->reports[at],
		(keep->report_count - at) * sizeof(*report));
	keep->reports[at] = *report;
	keep->report_count++;
}

struct report_scan {
	struct keep *keep;
	char leftover[64]; /* a name that is no report's: an interrupted replace */
	uint64_t greatest;
};

static bool scan_name(void *arg, const char *name)
{
	struct report_scan *scan = arg;
	struct keep_report report;

	if (!name_to_report(name, &report)) {
		text_copy(scan->leftover, sizeof(scan->leftover), name);
		return true;
	}
	if (report.seq > scan->greatest)
		scan->greatest = report.seq;
	if (scan->keep->report_count < KEEP_REPORTS_MAX)
		report_insert(scan->keep, &report);
	return true;
}

static enum ota_err seq_reserve(struct keep *keep, uint64_t up_to, struct ota_why *why)
{
	uint8_t payload[SEQ_SIZE] = {0};
	uint8_t *at = payload;

	record_put_u64(&at, up_to);
	enum ota_err err = record_write(&keep->seq_record, payload, why);
	if (err)
		return ota_context(why, err, "the report number");
	keep->reserved_seq = up_to;
	return OTA_OK;
}

enum ota_err keep_report_open(struct keep *keep, struct ota_why *why)
{
	const struct disk *disk = keep->disk;
	struct report_scan scan = {.keep = keep};
	char directory[DISK_PATH_SIZE], path[DISK_PATH_SIZE];
	uint8_t payload[SEQ_SIZE] = {1};
	const uint8_t *at = payload;
	enum record_found found;
	enum ota_err err = disk_join(path, keep->directory, "seq", why);

	if (!err)
		err = record_open(&keep->seq_record, disk, path, 0, SEQ_MAGIC, payload,
				  SEQ_SIZE, &found, why);
	if (!err)
		err = report_directory(keep, directory, why);
	if (!err)
		err = disk_make_directory(disk, directory, 0700, why);
	if (!err)
		err = disk_join(path, directory, "any", why);
	if (!err)
		err = disk_sync_parent(disk, path, why);
	if (err)
		return err;
	int listed = disk->list(disk->ctx, directory, scan_name, &scan);
	if (listed < 0)
		return ota_fail_errno(why, OTA_IO_ERROR, -listed, "the directory '%s'",
				      directory);
	if (scan.leftover[0] && !disk_join(path, directory, scan.leftover, NULL))
		disk->unlink(disk->ctx, path);
	keep->reserved_seq = record_get_u64(&at);
	if (keep->reserved_seq <= scan.greatest)
		keep->reserved_seq = scan.greatest + 1;
	keep->next_seq = keep->reserved_seq;
	return OTA_OK;
}

enum ota_err keep_report_seq(struct keep *keep, uint64_t *ret_seq, struct ota_why *why)
{
	if (keep->next_seq == keep->reserved_seq) {
		enum ota_err err = seq_reserve(keep, keep->next_seq + KEEP_SEQ_BLOCK, why);
		if (err)
			return err;
	}
	*ret_seq = keep->next_seq++;
	return OTA_OK;
}

static enum ota_err report_forget(struct keep *keep, unsigned i, struct ota_why *why)
{
	char path[DISK_PATH_SIZE];
	enum ota_err err = report_path(keep, &keep->reports[i], path, why);
	int gone = err ? 0 : keep->disk->unlink(keep->disk->ctx, path);

	if (gone < 0 && gone != -ENOENT)
		err = ota_fail_errno(why, OTA_IO_ERROR, -gone, "the report '%s'", path);
	if (err)
		return err;
	keep->report_count--;
	memmove(&keep->reports[i], &keep->reports[i + 1],
		(keep->report_count - i) * sizeof(keep->reports[0]));
	return OTA_OK;
}

/* Makes room for one of `kind`; *ret_drop: it is the new one that must go. */
static enum ota_err report_make_room(struct keep *keep, enum keep_report_kind kind,
				     bool *ret_drop, struct ota_why *why)
{
	*ret_drop = false;
	if (keep->report_count < KEEP_REPORTS_MAX)
		return OTA_OK;
	for (unsigned give = KEEP_PROGRESS; give < KEEP_FINAL && give <= kind; give++) {
		for (unsigned i = 0; i < keep->report_count; i++) {
			if (keep->reports[i].kind != give)
				continue;
			keep->dropped++;
			return report_forget(keep, i, why);
		}
	}
	if (kind == KEEP_FINAL)
		return ota_fail(why, OTA_INSUFFICIENT_STORAGE,
				"%u final reports wait for their acknowledgement",
				KEEP_REPORTS_MAX);
	keep->dropped++;
	*ret_drop = true;
	return OTA_OK;
}

enum ota_err keep_report_add(struct keep *keep, uint64_t seq, enum keep_report_kind kind,
			     const char *payload, size_t len, struct ota_why *why)
{
	struct keep_report report = {.seq = seq, .kind = kind};
	char path[DISK_PATH_SIZE];
	bool drop;

	if (len > KEEP_REPORT_MAX)
		return ota_fail(why, OTA_TOO_LARGE,
				"a report of %zu bytes, at most %u are kept", len,
				KEEP_REPORT_MAX);
	if (seq == 0 || seq >= keep->next_seq ||
	    (keep->report_count > 0 && seq <= keep->reports[keep->report_count - 1].seq))
		return ota_fail(why, OTA_INTERNAL, "report number %llu is not the next",
				(unsigned long long)seq);
	enum ota_err err = report_make_room(keep, kind, &drop, why);
	if (err || drop)
		return err;
	err = report_path(keep, &report, path, why);
	if (!err)
		err = disk_replace(keep->disk, path, payload, len, 0600, why);
	if (err == OTA_INSUFFICIENT_STORAGE && kind == KEEP_FINAL && keep_reserve_give(keep))
		err = disk_replace(keep->disk, path, payload, len, 0600, why);
	if (err) {
		/* It may be there all the same, and would be sent beside the one to come. */
		keep->disk->unlink(keep->disk->ctx, path);
		return ota_context(why, err, "report %llu", (unsigned long long)seq);
	}
	report_insert(keep, &report);
	return OTA_OK;
}

enum ota_err keep_report_read(struct keep *keep, unsigned i, char **ret_payload,
			      size_t *ret_len, struct ota_why *why)
{
	char path[DISK_PATH_SIZE];

	if (i >= keep->report_count)
		return ota_fail(why, OTA_NOT_FOUND, "there are %u reports", keep->report_count);
	enum ota_err err = report_path(keep, &keep->reports[i], path, why);
	return err ? err
		   : disk_read_file(keep->disk, path, KEEP_REPORT_MAX, ret_payload, ret_len,
				    why);
}

enum ota_err keep_report_ack(struct keep *keep, const uint64_t *seqs, unsigned count,
			     struct ota_why *why)
{
	for (unsigned s = 0; s < count; s++) {
		unsigned i = 0;
		while (i < keep->report_count && keep->reports[i].seq != seqs[s])
			i++;
		if (i == keep->report_count)
			continue;
		enum ota_err err = report_forget(keep, i, why);
		if (err)
			return err;
	}
	if (!keep->report_count)
		keep_reserve_make(keep);
	return OTA_OK;
}
