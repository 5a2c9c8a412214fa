/* What the local socket answers. */
#include "ota_agent_inside.h"

#include "own.h"

#include <string.h>

static void put_status(struct ota_agent *agent, struct text *to)
{
	char digest[TEXT_HEX32_SIZE];
	struct agent_view view;

	agent_look(agent->core, &view);
	text_from_digest(digest, view.digest.bytes);
	text_printf(to, "device %s\n", agent->device);
	text_printf(to, "online %s\n", view.online ? "yes" : "no");
	text_printf(to, "version %s\n", view.version);
	text_printf(to, "digest %s\n", digest);
	text_printf(to, "slot %c\n", view.slot);
	text_printf(to, "state %s\n",
		    view.state == UPDATE_NONE ? "idle" : update_state_names[view.state]);
	if (view.state != UPDATE_NONE) {
		text_printf(to, "release %llu\n", (unsigned long long)view.release);
		text_printf(to, "attempt %u\n", view.attempt);
		text_printf(to, "target %s\n", view.target_version);
	}
	if (view.total)
		text_printf(to, "progress %llu/%llu\n", (unsigned long long)view.done,
			    (unsigned long long)view.total);
	for (unsigned i = 0; i < CONSENT_GATE_COUNT; i++)
		text_printf(to, "%s %s\n", consent_gate_names[i],
			    view.open[i] ? "open" : "closed");
	if (view.reason[0])
		text_printf(to, "reason %s\n", view.reason);
	text_printf(to, "reports %u\n", view.reports);
	if (view.last_error.err)
		text_printf(to, "error %s: %s\n", ota_err_name(view.last_error.err),
			    view.last_error.text);
}

static bool find_gate(const char *name, unsigned *ret_first, unsigned *ret_count)
{
	if (!strcmp(name, "all")) {
		*ret_first = 0;
		*ret_count = CONSENT_GATE_COUNT;
		return true;
	}
	for (unsigned i = 0; i < CONSENT_GATE_COUNT; i++) {
		if (!strcmp(name, consent_gate_names[i])) {
			*ret_first = i;
			*ret_count = 1;
			return true;
		}
	}
	return false;
}

static enum ota_err hold_or_release(struct ota_agent *agent, char *request, struct ota_why *why)
{
	char *save = NULL;
	const char *verb = strtok_r(request, " ", &save);
	const char *gate = strtok_r(NULL, " ", &save);
	const char *seconds = gate ? strtok_r(NULL, " ", &save) : NULL;
	unsigned first, count;
	uint64_t lease_s = 0;

	if (!gate || !find_gate(gate, &first, &count))
		return ota_fail(why, OTA_BAD_REQUEST,
				"which gate? download, install, restart or all");
	if (seconds && !text_to_u64(seconds, CONSENT_LEASE_MAX_MS / 1000, &lease_s))
		return ota_fail(why, OTA_BAD_REQUEST, "the lease is 0 to %u seconds",
				(unsigned)(CONSENT_LEASE_MAX_MS / 1000));
	for (unsigned i = first; i < first + count; i++) {
		enum ota_err err = OTA_OK;

		if (!strcmp(verb, "release"))
			agent_release(agent->core, (enum consent_gate)i);
		else
			err = agent_hold(agent->core, (enum consent_gate)i, lease_s * 1000,
					 save ? save : "", why);
		if (err)
			return err;
	}
	return OTA_OK;
}

enum ota_err ota_local_answer(void *ctx, const char *request, struct text *to,
			      struct ota_why *why)
{
	struct ota_agent *agent = ctx;
	char copy[LOCAL_LINE_MAX];

	if (!strcmp(request, "status")) {
		put_status(agent, to);
		return OTA_OK;
	}
	if (!strcmp(request, "log")) {
		AUTO_FREE char *tail = logbook_tail(&agent->logbook, LOGBOOK_SIZE);

		text_put(to, tail ? tail : "");
		return OTA_OK;
	}
	text_copy(copy, sizeof(copy), request);
	if (!strncmp(copy, "hold ", 5) || !strncmp(copy, "release ", 8))
		return hold_or_release(agent, copy, why);
	return ota_fail(why, OTA_BAD_REQUEST, "status, hold, release or log");
}
