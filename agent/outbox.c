#include "outbox.h"

#include "own.h"

#include <string.h>

static void done_text(struct text *text)
{
	text_done(text);
}

void outbox_init(struct outbox *outbox, struct keep *keep, const struct link *link,
		 const char *device)
{
	memset(outbox, 0, sizeof(*outbox));
	outbox->keep = keep;
	outbox->link = link;
	outbox->resend_ms = OUTBOX_RESEND_MS;
	topic_of(TOPIC_REPORT, device, outbox->topic);
}

enum ota_err outbox_add(struct outbox *outbox, struct report *report,
			enum keep_report_kind kind, struct ota_why *why)
{
	AUTO(done_text) struct text payload = {0};
	enum ota_err err;

	if (kind == KEEP_PROGRESS && !outbox->online)
		return OTA_OK;
	report->v = 1;
	err = keep_report_seq(outbox->keep, &report->seq, why);
	if (!err)
		err = json_write(&report_shape, report, &payload, why);
	if (err)
		return ota_context(why, err, "report of '%s'",
				   update_state_names[report->state]);
	if (kind == KEEP_PROGRESS)
		return outbox->link->publish(outbox->link->ctx, outbox->topic, payload.data,
					     payload.len, 1, why);
	return keep_report_add(outbox->keep, report->seq, kind, payload.data, payload.len, why);
}

bool outbox_has_final(struct outbox *outbox, uint64_t release, uint32_t attempt)
{
	for (unsigned i = outbox->keep->report_count; i-- > 0;) {
		AUTO_FREE char *payload = NULL;
		struct report report;
		size_t len;

		if (outbox->keep->reports[i].kind != KEEP_FINAL ||
		    keep_report_read(outbox->keep, i, &payload, &len, NULL) ||
		    report_read(payload, len, &report, NULL))
			continue;
		bool found = report.release == release && report.attempt == attempt &&
			     update_state_is_final(report.state);
		json_done(&report_shape, &report);
		if (found)
			return true;
	}
	return false;
}

void outbox_online(struct outbox *outbox, bool online)
{
	outbox->online = online;
	outbox->sent_seq = 0;
	outbox->resend_ms = OUTBOX_RESEND_MS;
}

enum ota_err outbox_ack(struct outbox *outbox, const uint64_t *seqs, unsigned count,
			uint64_t now_ms, struct ota_why *why)
{
	outbox->resend_ms = OUTBOX_RESEND_MS;
	outbox->sent_ms = now_ms;
	return keep_report_ack(outbox->keep, seqs, count, why);
}

static enum ota_err send_one(struct outbox *outbox, unsigned i, struct ota_why *why)
{
	AUTO_FREE char *payload = NULL;
	size_t len;
	enum ota_err err = keep_report_read(outbox->keep, i, &payload, &len, why);

	if (err)
		return err;
	return outbox->link->publish(outbox->link->ctx, outbox->topic, payload, len, 1, why);
}

enum ota_err outbox_tick(struct outbox *outbox, uint64_t now_ms, uint64_t *ret_next_ms,
			 struct ota_why *why)
{
	const struct keep *keep = outbox->keep;
	unsigned under_way = 0;

	*ret_next_ms = UINT64_MAX;
	if (!outbox->online || !keep->report_count)
		return OTA_OK;
	while (under_way < keep->report_count &&
	       keep->reports[under_way].seq <= outbox->sent_seq)
		under_way++;
	if (under_way && now_ms >= outbox->sent_ms + outbox->resend_ms) {
		outbox->sent_seq = 0;
		under_way = 0;
		outbox->resend_ms *= 2;
		if (outbox->resend_ms > OUTBOX_RESEND_MAX)
			outbox->resend_ms = OUTBOX_RESEND_MAX;
	}
	for (unsigned i = under_way; i < keep->report_count && i < OUTBOX_WINDOW; i++) {
		enum ota_err err = send_one(outbox, i, why);

		if (err)
			return err;
		outbox->sent_seq = keep->reports[i].seq;
		outbox->sent_ms = now_ms;
	}
	*ret_next_ms = outbox->sent_ms + outbox->resend_ms - now_ms;
	return OTA_OK;
}
