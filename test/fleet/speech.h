/* What a simulated device says and hears: hello and welcome, reports and their
 * acknowledgements, and everything else by its topic. */
#pragma once

#include "member.h"

void speech_hello(struct fleet *fleet, struct member *member);
/* One more report, kept until it is acknowledged. */
void speech_report(struct fleet *fleet, struct member *member, enum update_state state,
		   enum ota_err err);
/* A message has come. It may end the connection: a restart, a planned cut. */
void speech_take(struct fleet *fleet, struct member *member,
		 const struct packet_message *message);
