#include "speech.h"

#include "passage.h"

#include <string.h>

/* Three random-looking 64-bit words are not a secret: the nonce of a simulation only has to
 * differ. */
static void make_nonce(struct fleet *fleet, struct member *member)
{
	for (size_t i = 0; i < MESSAGE_NONCE_SIZE; i++)
		member->nonce[i] = (uint8_t)fleet_random(fleet, 256);
}

static struct hello hello_of(const struct fleet *fleet, const struct member *member)
{
	const struct passage *passage = &member->passage;
	struct hello hello = {
		.v = 1,
		.agent = "fleetsim",
		.digest = member->digest,
		.security_version = 1,
		.floor = 0,
		.root = 1,
		.number = member->highest,
		.slot_size = UINT64_C(1) << 40,
		.consent = {!member->closed, true, true},
		.previous = member->old_digest,
	};
	memcpy(hello.nonce, member->nonce, sizeof(hello.nonce));
	text_copy(hello.product, NAME_SIZE, fleet->options.product);
	text_copy(hello.hardware, NAME_SIZE, fleet->options.hardware);
	text_copy(hello.version, NAME_SIZE, member->version);
	if (passage->trial)
		hello.boot = BOOT_TRIAL;
	else if (passage->reverted)
		hello.boot = BOOT_REVERTED;
	if (passage->offering) {
		uint64_t release = passage->offering->number;
		uint32_t attempt = passage->offering->offer.attempt;
		hello.has_trial = passage->trial;
		if (passage->trial) {
			hello.trial.release = release;
			hello.trial.attempt = attempt;
		}
		hello.has_update = true;
		hello.update.release = release;
		hello.update.attempt = attempt;
		hello.update.state = passage->state;
	}
	return hello;
}

void speech_hello(struct fleet *fleet, struct member *member)
{
	make_nonce(fleet, member);
	struct hello hello = hello_of(fleet, member);
	struct text text = {0};
	struct ota_why why = {0};
	if (json_write(&hello_shape, &hello, &text, &why))
		fleet_broken(fleet, member->name, &why);
	else
		member_publish(fleet, member, TOPIC_HELLO, text.data, text.len, 1);
	text_done(&text);
}

static void send_report(struct fleet *fleet, struct member *member,
			const struct member_report *kept)
{
	struct report report = {
		.v = 1,
		.seq = kept->seq,
		.release = kept->release,
		.attempt = kept->attempt,
		.state = kept->state,
		.at_ms = kept->at_ms,
		.digest = member->digest,
		.fetched = kept->fetched,
	};
	char log[] = "fleetsim: so it was planned";
	text_copy(report.version, NAME_SIZE, member->version);
	if (kept->state == UPDATE_DEFERRED)
		text_copy(report.reason, sizeof(report.reason), "not now");
	if (kept->err) {
		report.has_error = true;
		report.error = (struct report_error){
			.number = (uint32_t)kept->err, .state = kept->state, .log = log};
		text_copy(report.error.name, sizeof(report.error.name),
			  ota_err_name(kept->err));
		text_copy(report.error.message, sizeof(report.error.message),
			  ota_err_sentence(kept->err));
	}
	struct text text = {0};
	struct ota_why why = {0};
	if (json_write(&report_shape, &report, &text, &why))
		fleet_broken(fleet, member->name, &why);
	else
		member_publish(fleet, member, TOPIC_REPORT, text.data, text.len, 1);
	text_done(&text);
	fleet->tally.reports++;
}

void speech_report(struct fleet *fleet, struct member *member, enum update_state state,
		   enum ota_err err)
{
	const struct passage *passage = &member->passage;
	if (member->report_count == MEMBER_REPORTS_MAX)
		memmove(member->reports, member->reports + 1,
			--member->report_count * sizeof(*member->reports));
	struct member_report *report = &member->reports[member->report_count++];
	*report = (struct member_report){
		.seq = ++member->seq,
		.release = passage->offering ? passage->offering->number : member->highest,
		.attempt = passage->offering ? passage->offering->offer.attempt : 1,
		.state = state,
		.at_ms = passage->offering ? fleet->now_ms - passage->began_ms : 0,
		.fetched = passage->fetched,
		.err = err,
	};
	if (member->phase == MEMBER_READY)
		send_report(fleet, member, report);
}

static void forget_reports(struct fleet *fleet, struct member *member,
			   const struct control *control)
{
	for (uint32_t i = 0; i < control->seq_count; i++) {
		for (uint32_t at = 0; at < member->report_count; at++) {
			if (member->reports[at].seq != control->seqs[i])
				continue;
			memmove(&member->reports[at], &member->reports[at + 1],
				(member->report_count - at - 1) * sizeof(*member->reports));
			member->report_count--;
			fleet->tally.acks++;
			member_flood_acked(fleet, member);
			break;
		}
	}
}

/* The fleet topics: of the product, and of each group that the device is in. */
static void subscribe_fleet(struct fleet *fleet, struct member *member,
			    const struct control *control)
{
	static char topics[MESSAGE_GROUPS_MAX + 1][TOPIC_SIZE];
	const char *list[MESSAGE_GROUPS_MAX + 1];
	struct topic topic = {.kind = TOPIC_RELEASE,
			      .shard = name_shard(member->name, control->shards)};
	text_copy(topic.name, NAME_SIZE, control->product);
	topic_format(&topic, topics[0]);
	list[0] = topics[0];
	topic.kind = TOPIC_RELEASE_GROUP;
	for (uint32_t i = 0; i < control->group_count; i++) {
		text_copy(topic.group, NAME_SIZE, control->groups[i].text);
		topic_format(&topic, topics[i + 1]);
		list[i + 1] = topics[i + 1];
	}
	packet_subscribe(&member->wire.out, member_next_id(member), list,
			 control->group_count + 1, 1);
	member->ping_ms = fleet->now_ms + fleet->options.keepalive_s * 800;
}

static void welcomed(struct fleet *fleet, struct member *member, const struct control *control)
{
	if (memcmp(control->nonce, member->nonce, sizeof(member->nonce)) != 0)
		return;
	fleet->tally.welcomes++;
	if (control->status == DEVICE_APPROVED && control->shards)
		subscribe_fleet(fleet, member, control);
	if (member->phase != MEMBER_GREET)
		return;
	member_ready(fleet, member);
	for (uint32_t i = 0; i < member->report_count; i++)
		send_report(fleet, member, &member->reports[i]);
	passage_resume(fleet, member);
	member_flood(fleet, member);
}

static void take_control(struct fleet *fleet, struct member *member, const void *payload,
			 size_t len)
{
	struct control control;
	struct ota_why why = {0};
	if (control_read(payload, len, &control, &why)) {
		fleet_broken(fleet, member->name, &why);
		return;
	}
	switch (control.type) {
	case CONTROL_WELCOME:
		welcomed(fleet, member, &control);
		break;
	case CONTROL_ACK:
		forget_reports(fleet, member, &control);
		break;
	case CONTROL_GRANT:
		if (!memcmp(control.nonce, member->nonce, sizeof(member->nonce)))
			passage_granted(fleet, member, control.release);
		break;
	case CONTROL_CANCEL:
		passage_canceled(fleet, member, control.release, control.reason);
		break;
	case CONTROL_REVERT:
		passage_revert(fleet, member, control.release);
		break;
	case CONTROL_RESUME:
		passage_gate_opened(fleet, member);
		break;
	case CONTROL_REHELLO:
		speech_hello(fleet, member);
		break;
	case CONTROL_TYPE_COUNT:
	default:
		break;
	}
	control_done(&control);
}

void speech_take(struct fleet *fleet, struct member *member,
		 const struct packet_message *message)
{
	char text[TOPIC_SIZE] = "";
	struct topic topic;
	if (message->topic_len >= sizeof(text))
		return;
	memcpy(text, message->topic, message->topic_len);
	fleet->tally.messages++;
	fleet->tally.message_bytes += message->len;
	topic_parse(text, &topic);
	if (topic.kind == TOPIC_CHUNK) {
		passage_chunk(fleet, member, message->payload, message->len);
	} else if (topic.kind == TOPIC_CONTROL_DEVICE) {
		take_control(fleet, member, message->payload, message->len);
	} else if (topic.kind == TOPIC_OFFER || topic.kind == TOPIC_RELEASE ||
		   topic.kind == TOPIC_RELEASE_GROUP) {
		passage_offer(fleet, member, message->payload, message->len);
	} else if (topic.kind == TOPIC_OTHER) {
		fleet_mark(fleet);
		member_echoed(fleet, member, message);
	}
}
