#include "postbox.h"

#include "own.h"

#include <string.h>

static void done_text(struct text *text)
{
	text_done(text);
}

void postbox_init(struct postbox *postbox, struct keep *keep, const struct link *link,
		  const char *device)
{
	memset(postbox, 0, sizeof(*postbox));
	postbox->keep = keep;
	postbox->link = link;
	postbox->resend_ms = POSTBOX_RESEND_MS;
	topic_of(TOPIC_REPORT, device, postbox->topic);
}

enum ota_err postbox_add(struct postbox *postbox, struct report *report,
			 enum keep_report_kind kind, struct ota_why *why)
{
	AUTO(done_text) struct text payload = {0};
	enum ota_err err;

	if (kind == KEEP_PROGRESS && !postbox->online)
		return OTA_OK;
	report->v = 1;
	err = keep_report_seq(postbox->keep, &report->seq, why);
	if (!err)
		err = json_write(&report_shape, report, &payload, why);
	if (err)
		return ota_context(why, err, "report of '%s'",
				   update_state_names[report->state]);
	if (kind == KEEP_PROGRESS)
		return postbox->link->publish(postbox->link->ctx, postbox->topic, payload.data,
					      payload.len, 1, why);
	return keep_report_add(postbox->keep, report->seq, kind, payload.data, payload.len,
			       why);
}

bool postbox_has_final(struct postbox *postbox, uint64_t release, uint32_t attempt)
{
	for (unsigned i = postbox->keep->report_count; i-- > 0;) {
		AUTO_FREE char *payload = NULL;
		struct report report;
		size_t len;

		if (postbox->keep->reports[i].kind != KEEP_FINAL ||
		    keep_report_read(postbox->keep, i, &payload, &len, NULL) ||
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

void postbox_online(struct postbox *postbox, bool online)
{
	postbox->online = online;
	postbox->sent_seq = 0;
	postbox->resend_ms = POSTBOX_RESEND_MS;
}

enum ota_err postbox_ack(struct postbox *postbox, const uint64_t *seqs, unsigned count,
			 uint64_t now_ms, struct ota_why *why)
{
	postbox->resend_ms = POSTBOX_RESEND_MS;
	postbox->sent_ms = now_ms;
	return keep_report_ack(postbox->keep, seqs, count, why);
}

static enum ota_err send_one(struct postbox *postbox, unsigned i, struct ota_why *why)
{
	AUTO_FREE char *payload = NULL;
	size_t len;
	enum ota_err err = keep_report_read(postbox->keep, i, &payload, &len, why);

	if (err)
		return err;
	return postbox->link->publish(postbox->link->ctx, postbox->topic, payload, len, 1, why);
}

enum ota_err postbox_tick(struct postbox *postbox, uint64_t now_ms, uint64_t *ret_next_ms,
			  struct ota_why *why)
{
	const struct keep *keep = postbox->keep;
	unsigned under_way = 0;

	*ret_next_ms = UINT64_MAX;
	if (!postbox->online || !keep->report_count)
		return OTA_OK;
	while (under_way < keep->report_count &&
	       keep->reports[under_way].seq <= postbox->sent_seq)
		under_way++;
	if (under_way && now_ms >= postbox->sent_ms + postbox->resend_ms) {
		postbox->sent_seq = 0;
		under_way = 0;
		postbox->resend_ms *= 2;
		if (postbox->resend_ms > POSTBOX_RESEND_MAX)
			postbox->resend_ms = POSTBOX_RESEND_MAX;
	}
	for (unsigned i = under_way; i < keep->report_count && i < POSTBOX_WINDOW; i++) {
		enum ota_err err = send_one(postbox, i, why);

		if (err)
			return err;
		postbox->sent_seq = keep->reports[i].seq;
		postbox->sent_ms = now_ms;
	}
	*ret_next_ms = postbox->sent_ms + postbox->resend_ms - now_ms;
	return OTA_OK;
}
