#include "access.h"

#include "message.h"

#include <string.h>

enum relation {
	RELATION_OWN,	 /* the topic's name is the client's own */
	RELATION_MEMBER, /* of the topic's product and group */
	RELATION_VIEWER, /* of the topic's product */
	RELATION_NONE,	 /* the topic has no name: any that is welcome */
};

/* One row for each thing that is allowed. All else is not. */
static const struct rule {
	enum topic_kind kind;
	bool device;  /* else a manager or console */
	bool publish; /* else subscribe and receive */
	enum relation relation;
	size_t payload_max;
} rules[] = {
	{TOPIC_HELLO, true, true, RELATION_OWN, MESSAGE_PAYLOAD_MAX},
	{TOPIC_REPORT, true, true, RELATION_OWN, MESSAGE_REPORT_MAX},
	{TOPIC_CONSENT, true, true, RELATION_OWN, MESSAGE_PAYLOAD_MAX},
	{TOPIC_GET, true, true, RELATION_OWN, MESSAGE_PAYLOAD_MAX},
	{TOPIC_OFFER, true, false, RELATION_OWN, 0},
	{TOPIC_CONTROL_DEVICE, true, false, RELATION_OWN, 0},
	{TOPIC_CHUNK, true, false, RELATION_OWN, 0},
	{TOPIC_RELEASE, true, false, RELATION_MEMBER, 0},
	{TOPIC_RELEASE_GROUP, true, false, RELATION_MEMBER, 0},
	{TOPIC_RELEASE, false, false, RELATION_VIEWER, 0},
	{TOPIC_RELEASE_GROUP, false, false, RELATION_VIEWER, 0},
	{TOPIC_EVENTS, false, false, RELATION_VIEWER, 0},
	{TOPIC_COMMAND, false, true, RELATION_NONE, MESSAGE_COMMAND_MAX},
	{TOPIC_UPLOAD, false, true, RELATION_OWN,
	 MESSAGE_UPLOAD_HEADER + MESSAGE_UPLOAD_DATA_MAX},
	{TOPIC_REPLY, false, false, RELATION_OWN, 0},
};

static const char *under(const char *topic)
{
	if (strncmp(topic, "$share/", 7) == 0) {
		const char *slash = strchr(topic + 7, '/');

		return slash ? slash + 1 : topic;
	}
	return topic;
}

bool access_concerns(const char *topic)
{
	return topic_is_ours(under(topic));
}

static const struct rule *rule_for(enum topic_kind kind, bool device, bool publish)
{
	for (size_t i = 0; i < sizeof(rules) / sizeof(*rules); i++)
		if (rules[i].kind == kind && rules[i].device == device &&
		    rules[i].publish == publish)
			return &rules[i];
	return NULL;
}

static bool relation_holds(const struct access_facts *facts, const struct rule *rule,
			   const struct access_question *question, const struct topic *topic)
{
	const char *name = question->identity->name;

	switch (rule->relation) {
	case RELATION_OWN:
		return strcmp(topic->name, name) == 0;
	case RELATION_MEMBER:
		return facts->is_member(facts->ctx, name, topic->name, topic->group) &&
		       (question->action != ACCESS_RECEIVE ||
			facts->receives(facts->ctx, name, topic));
	case RELATION_VIEWER:
		return facts->is_viewer(facts->ctx, name, topic->name);
	case RELATION_NONE:
		return true;
	}
	return false;
}

static const char *why_not(const struct access_facts *facts,
			   const struct access_question *question)
{
	const struct identity *identity = question->identity;
	struct topic topic;
	const struct rule *rule;

	if (!identity || identity->role == IDENTITY_STRANGER)
		return "no certificate with a role";
	if (strncmp(question->topic, "$share/", 7) == 0)
		return "shared subscriptions are refused";
	topic_parse(question->topic, &topic);
	rule = rule_for(topic.kind, identity->role == IDENTITY_DEVICE,
			question->action == ACCESS_PUBLISH);
	if (!rule)
		return "the role has no such right on this topic";
	if (question->action == ACCESS_PUBLISH) {
		if (question->retain)
			return "the retain flag is refused";
		if (question->qos > 1)
			return "QoS 2 is refused";
		if (question->payload_len > rule->payload_max)
			return "the payload is too large";
	}
	if (!facts->is_welcome(facts->ctx, identity))
		return "denied, revoked or unknown";
	if (!relation_holds(facts, rule, question, &topic))
		return "not this client's own topic, product or group";
	return NULL;
}

enum access_answer access_decide(const struct access_facts *facts,
				 const struct access_question *question,
				 const char **ret_reason)
{
	const char *reason;

	if (!access_concerns(question->topic))
		return ACCESS_NOT_OURS;
	reason = why_not(facts, question);
	if (!reason)
		return ACCESS_ALLOWED;
	if (ret_reason)
		*ret_reason = reason;
	return ACCESS_DENIED;
}
