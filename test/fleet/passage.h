/* One simulated device's passage through one release: offer, download, installation, restart,
 * trial, end; or the end that its fate has in store. */
#pragma once

#include "member.h"

void passage_offer(struct fleet *fleet, struct member *member, const void *payload, size_t len);
void passage_chunk(struct fleet *fleet, struct member *member, const void *payload, size_t len);
void passage_granted(struct fleet *fleet, struct member *member, uint64_t release);
void passage_canceled(struct fleet *fleet, struct member *member, uint64_t release,
		      enum cancel_reason reason);
void passage_revert(struct fleet *fleet, struct member *member, uint64_t release);
/* After a welcome: goes on with what was interrupted. */
void passage_resume(struct fleet *fleet, struct member *member);
/* The blob in hand is whole: what comes next. */
void passage_downloaded(struct fleet *fleet, struct member *member);
/* Asks over MQTT for what is missing of the blob in hand. */
void passage_go_on(struct fleet *fleet, struct member *member);
/* Does what is due. */
void passage_due(struct fleet *fleet, struct member *member);
uint64_t passage_next_due(const struct fleet *fleet, const struct member *member);
/* The gate for downloads was opened. */
void passage_gate_opened(struct fleet *fleet, struct member *member);
