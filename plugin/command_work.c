/* Commands over many devices, piece by piece: no callback may take long, however large the
 * fleet. */
#include "command.h"
#include "show.h"

#include <stdlib.h>

#define WORK_US	   2000u /* of the broker's time, within a callback and at a tick */
#define EACH_PIECE 16u	 /* of a list */

enum ota_err command_keep(struct command_call *call, size_t size, void (*more_free)(void *more),
			  struct ota_why *why)
{
	call->more = calloc(1, size);
	if (!call->more)
		return ota_fail(why, OTA_OUT_OF_MEMORY, "no memory for a command");
	call->more_free = more_free;
	return OTA_OK;
}

void command_work(struct command_call *call, command_step step)
{
	call->step = step;
	call->later = true;
}

/* One piece; true when it was the last. */
static bool work(struct command_call *call, enum ota_err *ret_err, struct ota_why *why)
{
	uint64_t before = engine_ticket(call->service->engine);
	bool more = false;

	*ret_err = call->step(call, &more, why);
	command_note_tickets(call, before);
	if (more && !*ret_err)
		return false;
	call->step = NULL;
	return true;
}

void command_begin(struct command_call *call)
{
	uint64_t start_us = service_mono_us();
	struct ota_why why = {0};
	enum ota_err err;

	do {
		if (work(call, &err, &why)) {
			command_finish(call, err, &why);
			return;
		}
	} while (command_has_room(call) && service_mono_us() - start_us < WORK_US);
	command_wait(call);
}

/* A piece of each in turn, so that a long one does not keep the others waiting. */
bool command_tick(struct service *service)
{
	uint64_t start_us = service_mono_us();
	struct command_call *call, *next;
	bool worked;

	do {
		worked = false;
		for (call = service->first_call; call; call = next) {
			struct ota_why why = {0};
			enum ota_err err;

			next = call->next;
			if (!call->step || !command_has_room(call))
				continue;
			if (service_mono_us() - start_us >= WORK_US)
				return true;
			worked = true;
			if (!work(call, &err, &why))
				continue;
			command_take_out(service, call);
			command_finish(call, err, &why);
		}
	} while (worked);
	return false;
}

struct each {
	uint32_t at, count;
	command_one one;
	command_end end;
	struct command_tally tally;
};

static enum ota_err each_step(struct command_call *call, bool *ret_more, struct ota_why *why)
{
	struct each *each = call->more;

	for (unsigned n = 0; n < EACH_PIECE && each->at < each->count; n++) {
		enum engine_answer answer = ENGINE_UNKNOWN;
		enum ota_err err = each->one(call, each->at, &answer, why);

		if (err)
			return err;
		each->tally.counts[answer]++;
		each->at++;
	}
	*ret_more = each->at < each->count;
	return *ret_more ? OTA_OK : each->end(call, &each->tally, why);
}

enum ota_err command_each(struct command_call *call, uint32_t count, command_one one,
			  command_end end, struct ota_why *why)
{
	struct each *each;
	enum ota_err err = command_keep(call, sizeof(*each), free, why);

	if (err)
		return err;
	each = call->more;
	each->count = count;
	each->one = one;
	each->end = end;
	command_work(call, each_step);
	return OTA_OK;
}

enum ota_err command_show_tally(struct command_call *call, const struct command_tally *tally,
				struct ota_why *why)
{
	(void)why;
	show_open(&call->result, NULL);
	show_number(&call->result, "changed", tally->counts[ENGINE_CHANGED]);
	show_number(&call->result, "unchanged", tally->counts[ENGINE_UNCHANGED]);
	show_number(&call->result, "unknown", tally->counts[ENGINE_UNKNOWN]);
	show_close(&call->result, '}');
	return OTA_OK;
}
