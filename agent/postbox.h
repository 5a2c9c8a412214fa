/* Reports on their way out: stored before they are sent, sent in order after each connection,
 * kept until the plugin has stored them (PROTOCOL.md, report). */
#pragma once

#include "keep.h"
#include "link.h"
#include "message.h"

/* Sent and not yet acknowledged at a time: half of what the plugin's guard lets through at
 * once. */
#define POSTBOX_WINDOW	   16u
#define POSTBOX_RESEND_MS  30000u
#define POSTBOX_RESEND_MAX 600000u

struct postbox {
	struct keep *keep;
	const struct link *link;
	char topic[TOPIC_SIZE];
	bool online;
	uint64_t sent_seq; /* the greatest one sent on this connection */
	uint64_t sent_ms;  /* the last time something moved */
	uint64_t resend_ms;
};

void postbox_init(struct postbox *postbox, struct keep *keep, const struct link *link,
		  const char *device);
/* Numbers the report (its `v` and `seq` are set here) and stores it. Progress is only sent,
 * when online, and not kept: the next one says it all. */
enum ota_err postbox_add(struct postbox *postbox, struct report *report,
			 enum keep_report_kind kind, struct ota_why *why) OTA_CHECKED;
/* True when a final report of this attempt waits to be acknowledged: the attempt is over. */
bool postbox_has_final(struct postbox *postbox, uint64_t release, uint32_t attempt);
void postbox_online(struct postbox *postbox, bool online);
enum ota_err postbox_ack(struct postbox *postbox, const uint64_t *seqs, unsigned count,
			 uint64_t now_ms, struct ota_why *why) OTA_CHECKED;
/* Sends what may be sent; milliseconds until there is more to do. */
enum ota_err postbox_tick(struct postbox *postbox, uint64_t now_ms, uint64_t *ret_next_ms,
			  struct ota_why *why) OTA_CHECKED;
