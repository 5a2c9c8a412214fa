#include "command.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>

static uint32_t count_phase(const struct fleet *fleet, enum member_phase phase)
{
	uint32_t count = 0;
	for (uint32_t i = 0; i < fleet->count; i++)
		count += fleet->members[i].phase == phase;
	return count;
}

static void put_in_hand(const struct fleet *fleet, struct text *text)
{
	uint32_t counts[UPDATE_STATE_COUNT] = {0};
	for (uint32_t i = 0; i < fleet->count; i++) {
		if (fleet->members[i].passage.offering)
			counts[fleet->members[i].passage.state]++;
	}
	const char *comma = "";
	text_put(text, "\"in_hand\":{");
	for (int state = 1; state < UPDATE_STATE_COUNT; state++) {
		if (!counts[state])
			continue;
		text_printf(text, "%s\"%s\":%u", comma, update_state_names[state],
			    counts[state]);
		comma = ",";
	}
	text_put(text, "},\"ended\":{");
	comma = "";
	for (int state = 1; state < UPDATE_STATE_COUNT; state++) {
		uint64_t ended = fleet->tally.finals[state];
		if (!ended)
			continue;
		text_printf(text, "%s\"%s\":%" PRIu64, comma, update_state_names[state], ended);
		comma = ",";
	}
	text_put(text, "},");
}

static void put_figures(const struct fleet *fleet, struct text *text)
{
	const struct fleet_tally *tally = &fleet->tally;
	const struct {
		const char *name;
		uint64_t value;
	} figures[] = {
		{"connects", tally->connects},
		{"refusals", tally->refusals},
		{"losses", tally->losses},
		{"welcomes", tally->welcomes},
		{"offers", tally->offers},
		{"offered_devices", tally->offered_devices},
		{"repeated_offers", tally->repeated_offers},
		{"stale_offers", tally->stale_offers},
		{"chunks", tally->chunks},
		{"chunk_bytes", tally->chunk_bytes},
		{"chunk_repeats", tally->chunk_repeats},
		{"chunk_timeouts", tally->chunk_timeouts},
		{"chunk_refusals", tally->chunk_refusals},
		{"waits", tally->waits},
		{"https_bytes", tally->https_bytes},
		{"https_failures", tally->https_failures},
		{"reports", tally->reports},
		{"acks", tally->acks},
		{"grants", tally->grants},
		{"messages", tally->messages},
		{"message_bytes", tally->message_bytes},
		{"marked", tally->marked},
		{"first_us", tally->first_us},
		{"last_us", tally->last_us},
		{"broken", tally->broken},
	};
	struct echo_figures echo;
	echo_figures(&fleet->echo, &echo);
	if (echo.count)
		text_printf(text,
			    "\"echoes\":%" PRIu64
			    ",\"echo_p50_us\":%u,\"echo_p99_us\":%u,\"echo_max_us\":%u,",
			    echo.count, echo.p50_us, echo.p99_us, echo.max_us);
	for (size_t i = 0; i < sizeof(figures) / sizeof(*figures); i++)
		text_printf(text, "\"%s\":%" PRIu64 ",", figures[i].name, figures[i].value);
}

void command_print_status(struct fleet *fleet)
{
	struct text text = {0};
	struct rusage usage;
	getrusage(RUSAGE_SELF, &usage);
	text_printf(&text,
		    "{\"devices\":%u,\"joined\":%u,\"connected\":%u,\"finished\":%u,"
		    "\"gone\":%u,\"off\":%u,",
		    fleet->count, fleet->joined, fleet->connected, fleet->finished, fleet->gone,
		    count_phase(fleet, MEMBER_OFF));
	put_in_hand(fleet, &text);
	put_figures(fleet, &text);
	text_put(&text, "\"last_loss\":");
	json_put_string(&text, fleet->tally.last_loss.text);
	text_put(&text, ",\"last_broken\":");
	json_put_string(&text, fleet->tally.last_broken);
	text_printf(&text, ",\"cpu_ms\":%ld,\"rss_kib\":%ld,\"now_us\":%" PRIu64 "}\n",
		    usage.ru_utime.tv_sec * 1000 + usage.ru_utime.tv_usec / 1000 +
			    usage.ru_stime.tv_sec * 1000 + usage.ru_stime.tv_usec / 1000,
		    usage.ru_maxrss, fleet_clock_us());
	if (text.failed)
		fputs("{\"error\":\"out of memory\"}\n", stdout);
	else
		fputs(text.data, stdout);
	fflush(stdout);
	text_done(&text);
}

static void cut(struct fleet *fleet, struct member *member)
{
	if (member->wire.state == WIRE_OPEN)
		member_drop(fleet, member, fleet_about(fleet, fleet->options.backoff_ms));
}

static void open_gate(struct fleet *fleet, struct member *member)
{
	member_open_gate(fleet, member, true);
}

static void close_gate(struct fleet *fleet, struct member *member)
{
	member_open_gate(fleet, member, false);
}

static void start_flood(struct fleet *fleet, struct member *member)
{
	member->flood_sent = member->flood_acked = 0;
	if (member->ended)
		fleet->finished--;
	member->ended = false;
	member_flood(fleet, member);
	agenda_set(&fleet->agenda, member->number, fleet->now_ms);
}

/* Does it to one device by name, or to the first so many. */
static bool each(struct fleet *fleet, const char *which,
		 void (*act)(struct fleet *fleet, struct member *member))
{
	uint64_t count = 0;
	bool is_count = text_to_u64(which, fleet->count, &count);
	bool found = false;
	for (uint32_t i = 0; i < fleet->count; i++) {
		struct member *member = &fleet->members[i];
		if (is_count ? i >= count : strcmp(member->name, which) != 0)
			continue;
		act(fleet, member);
		found = true;
	}
	return found || is_count;
}

bool command_run(struct fleet *fleet, char *line)
{
	char *save = NULL;
	const char *verb = strtok_r(line, " \t\r\n", &save);
	const char *first = strtok_r(NULL, " \t\r\n", &save);
	const char *second = strtok_r(NULL, " \t\r\n", &save);
	struct ota_why why = {0};
	bool known = true;
	if (!verb)
		return true;
	if (!strcmp(verb, "stop"))
		return false;
	if (!strcmp(verb, "status")) {
		command_print_status(fleet);
	} else if (!strcmp(verb, "mark")) {
		fleet->tally.marked = 0;
		echo_clear(&fleet->echo);
	} else if (!strcmp(verb, "fate") && first) {
		known = !fate_name(&fleet->fates, first, &why);
	} else if (!strcmp(verb, "flood") && first) {
		known = text_to_u64(first, UINT32_MAX, &fleet->options.flood);
		for (uint32_t i = 0; i < fleet->count; i++)
			start_flood(fleet, &fleet->members[i]);
	} else if (!strcmp(verb, "cut") && first) {
		known = each(fleet, first, cut);
	} else if (!strcmp(verb, "gate") && first && second) {
		known = each(fleet, first, strcmp(second, "open") ? close_gate : open_gate);
	} else {
		known = false;
	}
	if (!known)
		fprintf(stderr, "fleetsim: '%s' was not understood %s\n", verb, why.text);
	return true;
}
