#include "agenda.h"

#include <stdlib.h>

enum ota_err agenda_init(struct agenda *agenda, uint32_t count, struct ota_why *why)
{
	*agenda = (struct agenda){
		.due = calloc(count, sizeof(*agenda->due)),
		.place = calloc(count, sizeof(*agenda->place)),
		.heap = calloc(count, sizeof(*agenda->heap)),
		.count = count,
	};
	if (!agenda->due || !agenda->place || !agenda->heap) {
		agenda_done(agenda);
		return ota_fail(why, OTA_OUT_OF_MEMORY, "the agenda");
	}
	for (uint32_t i = 0; i < count; i++) {
		agenda->due[i] = AGENDA_NEVER;
		agenda->place[i] = agenda->heap[i] = i;
	}
	return OTA_OK;
}

void agenda_done(struct agenda *agenda)
{
	free(agenda->due);
	free(agenda->place);
	free(agenda->heap);
	*agenda = (struct agenda){0};
}

static uint64_t due_at(const struct agenda *agenda, uint32_t place)
{
	return agenda->due[agenda->heap[place]];
}

static void swap(struct agenda *agenda, uint32_t a, uint32_t b)
{
	uint32_t member = agenda->heap[a];
	agenda->heap[a] = agenda->heap[b];
	agenda->heap[b] = member;
	agenda->place[agenda->heap[a]] = a;
	agenda->place[agenda->heap[b]] = b;
}

void agenda_set(struct agenda *agenda, uint32_t member, uint64_t due_ms)
{
	if (agenda->due[member] == due_ms)
		return;
	agenda->due[member] = due_ms;
	uint32_t at = agenda->place[member];
	while (at && due_at(agenda, at) < due_at(agenda, (at - 1) / 2)) {
		swap(agenda, at, (at - 1) / 2);
		at = (at - 1) / 2;
	}
	for (;;) {
		uint32_t least = at;
		for (uint32_t child = 2 * at + 1; child <= 2 * at + 2; child++) {
			if (child < agenda->count &&
			    due_at(agenda, child) < due_at(agenda, least))
				least = child;
		}
		if (least == at)
			return;
		swap(agenda, at, least);
		at = least;
	}
}

uint64_t agenda_first(const struct agenda *agenda, uint32_t *ret_member)
{
	*ret_member = agenda->heap[0];
	return due_at(agenda, 0);
}
